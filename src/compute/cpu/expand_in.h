/* expand_in: stored weights to float32 over `vec`, the bits of dtype_to_f32, row by row or sixteen
 * rows at once, transposed into a panel.
 *
 * A format is one function that unpacks its codes (unpack_in.h); what follows is the same for all:
 * product and sum, each rounded on its own, as the definition has it (no fused multiply-add here).
 * For a panel the bytes are transposed, which is four times cheaper than floats. */
#include "compute/cpu/unpack_in.h"

static void expand_16_bit(float *to, dtype type, const uint8_t *p, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec_store(to + i, type == DTYPE_F16 ? vec_halves(p + 2 * i) : vec_bfloats(p + 2 * i));
    }
    if (i < n) dtype_to_f32(type, to + i, p + 2 * i, n - i);
}

static void expand(float *to, dtype type, const void *from, int64_t n)
{
    if (type == DTYPE_F16 || type == DTYPE_BF16) {
        expand_16_bit(to, type, from, n);
        return;
    }
    if (!formats[type].unpack) {
        dtype_to_f32(type, to, from, n);
        return;
    }
    const dtype_info *info = dtype_get(type);
    int8_t code[EXPAND_MAX];
    float scale[EXPAND_MAX], least[EXPAND_MAX];
    const uint8_t *p = from;
    for (int64_t m; n > 0; n -= m, to += m, p += m / info->block_size * info->block_bytes) {
        m = n < EXPAND_MAX ? n : EXPAND_MAX;
        formats[type].unpack(code, scale, least, p, m);
        for (int64_t i = 0; i < m; i += LANES) {
            const int64_t group = i / GROUP * GROUP;
            const __m128i c = bytes16(code + group);
            const int part = i % GROUP != 0;
            const code_kind kind = formats[type].kind;
            vec x = vec_mul(vec_all(scale[group]),
                            kind == CODE_NF4 ? vec_nf4(c, part) : vec_codes(c, part));
            if (kind == CODE_SHIFTED) x = vec_add(x, vec_all(least[group]));
            vec_store(to + i, x);
        }
    }
}

/* The 16 x 16 transpose of bytes: the same perfect shuffle four times. */
static inline __attribute__((always_inline)) void transpose_bytes(__m128i x[16])
{
    __m128i y[16];
#pragma GCC unroll 2
    for (int round = 0; round < 2; round++) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            y[2 * i] = _mm_unpacklo_epi8(x[i], x[i + 8]);
            y[2 * i + 1] = _mm_unpackhi_epi8(x[i], x[i + 8]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            x[2 * i] = _mm_unpacklo_epi8(y[i], y[i + 8]);
            x[2 * i + 1] = _mm_unpackhi_epi8(y[i], y[i + 8]);
        }
    }
}

/* One group of all sixteen rows: to [16 values][ld], one row a column. */
static inline __attribute__((always_inline)) void put_group(float *to, int64_t ld,
                                                            const int8_t *code, const float *scale,
                                                            const float *least,
                                                            const code_kind kind)
{
    __m128i x[GROUP];
#pragma GCC unroll 16
    for (int i = 0; i < GROUP; i++) x[i] = bytes16(code + i * EXPAND_MAX);
    transpose_bytes(x);
#pragma GCC unroll 2
    for (int part = 0; part < SIXTEEN; part++) {
        const vec s = vec_load(scale + part * LANES), l = vec_load(least + part * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < GROUP; i++) {
            vec v = vec_mul(s, kind == CODE_NF4 ? vec_nf4(x[i], part) : vec_codes(x[i], part));
            vec_store(to + i * ld + part * LANES, kind == CODE_SHIFTED ? vec_add(v, l) : v);
        }
    }
}

static void pack_codes(const pack_job *t)
{
    const dtype_info *info = dtype_get(t->type);
    const code_kind kind = formats[t->type].kind;
    int8_t code[GROUP * EXPAND_MAX];
    float scale[EXPAND_MAX], least[EXPAND_MAX]; /* [group][row] */
    if (t->rows < GROUP) {
        memset(code, 0, sizeof code);
        memset(scale, 0, sizeof scale);
        memset(least, 0, sizeof least);
    }
    for (int64_t p = 0; p < t->k; p += EXPAND_MAX) {
        int64_t m = t->k - p < EXPAND_MAX ? t->k - p : EXPAND_MAX;
        const unsigned char *from = t->from + p / info->block_size * info->block_bytes;
        for (int i = 0; i < t->rows; i++) {
            formats[t->type].unpack(code + i * EXPAND_MAX, scale + i, least + i,
                                    from + i * t->bytes_row, m);
        }
        for (int64_t g = 0; g < m; g += GROUP) {
            float *to = t->to + (p + g) * t->ld;
            const int8_t *c = code + g;
            const float *d = scale + g, *l = least + g;
            if (kind == CODE_SHIFTED) put_group(to, t->ld, c, d, l, CODE_SHIFTED);
            else if (kind == CODE_NF4) put_group(to, t->ld, c, d, l, CODE_NF4);
            else put_group(to, t->ld, c, d, l, CODE_SCALED);
        }
    }
}

static void pack(const pack_job *t)
{
    if (formats[t->type].unpack) {
        pack_codes(t);
        return;
    }
    const dtype_info *info = dtype_get(t->type);
    if (t->type == DTYPE_F32) {
        transpose(t->to, t->ld, (const float *)t->from, t->bytes_row / 4, t->rows, t->k, GROUP);
        return;
    }
    enum { LD = EXPAND_MAX + 16 }; /* not a power of two: rows in different cache sets */
    float rows[GROUP * LD];
    for (int64_t p = 0; p < t->k; p += EXPAND_MAX) {
        int64_t m = t->k - p < EXPAND_MAX ? t->k - p : EXPAND_MAX;
        for (int i = 0; i < t->rows; i++) {
            expand(rows + i * LD, t->type, t->from + i * t->bytes_row + p * info->block_bytes, m);
        }
        transpose(t->to + p * t->ld, t->ld, rows, LD, t->rows, m, GROUP);
    }
}
