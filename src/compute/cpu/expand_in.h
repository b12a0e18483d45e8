/* expand_in: stored weights to float32 over `vec`, the bits of dtype_to_f32, row by row; pack_in.h
 * takes sixteen rows at once.
 *
 * A format is one function that unpacks its codes (unpack_in.h); what follows is the same for all:
 * product and sum, each rounded on its own, as the definition has it (no fused multiply-add here).
 */
#include "compute/cpu/unpack_in.h"

/* LANES codes at p as values. */
static inline vec code_values(const int8_t *p, vec scale, vec least, const code_kind kind)
{
    vec v = vec_mul(scale, kind == CODE_NF4 ? vec_nf4_at(p) : vec_codes_at(p));
    return kind == CODE_SHIFTED ? vec_add(v, least) : v;
}

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
    int8_t code[GROUP * EXPAND_MAX];
    float scale[EXPAND_MAX], least[EXPAND_MAX];
    const uint8_t *p = from;
    for (int64_t m; n > 0; n -= m, to += m, p += m / info->block_size * info->block_bytes) {
        m = n < EXPAND_MAX ? n : EXPAND_MAX;
        formats[type].unpack(code, scale, least, p, m);
        for (int64_t i = 0; i < m; i += LANES) {
            const int64_t group = i / GROUP * GROUP;
            vec x = code_values(code + group * GROUP + i % GROUP, vec_all(scale[group]),
                                vec_all(least[group]), formats[type].kind);
            vec_store(to + i, x);
        }
    }
}
