/* expand: stored weights as numbers; see kernels.h. Eight values a thread, each formed with the
 * products and differences of dtype.c in its order, each rounded on its own (no contraction), so
 * float32 results have the bits of dtype_to_f32. Layouts are drawn in compute/dtype.c. */
#include "compute/cuda/lanes_in.h"

enum { THREADS = 256 };

static __device__ const int8_t iq4_value[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                1,    13,   25,  38,  53,  69,  89,  113};

static __device__ const float nf4_value[16] = {DTYPE_NF4_VALUES};

static __device__ __forceinline__ uint32_t load_u16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static __device__ __forceinline__ uint32_t load_u32(const uint8_t *p)
{
    return load_u16(p) | load_u16(p + 2) << 16;
}

/* IEEE binary16 by bits: subnormals, infinities and NaN as dtype_half_to_f32 reads them. */
static __device__ __forceinline__ float half_value(const uint8_t *p)
{
    const uint32_t h = load_u16(p), sign = (h & 0x8000) << 16;
    const uint32_t exponent = h >> 10 & 31, fraction = h & 0x3ff;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
    if (exponent > 0) return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
    return __uint_as_float(__float_as_uint((float)fraction * 0x1p-24f) | sign);
}

static __device__ __forceinline__ float times(float a, float b) { return __fmul_rn(a, b); }

/* Half-bytes of eight consecutive bytes: low or high. */
static __device__ __forceinline__ void nibbles(int q[LANES], const uint8_t *p, bool high)
{
#pragma unroll
    for (int i = 0; i < LANES; i++) q[i] = high ? p[i] >> 4 : p[i] & 15;
}

/* Scale and least of part j (0..7) of Q4_K and Q5_K, six bits each. */
static __device__ __forceinline__ void k_scale(const uint8_t *s, int j, int *scale, int *least)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *least = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        *least = s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
}

static __device__ void block32(float out[LANES], dtype type, const uint8_t *p, int at)
{
    const float d = half_value(p);
    const int low = at % 16;
    int q[LANES];
    if (type == DTYPE_Q8_0) {
#pragma unroll
        for (int i = 0; i < LANES; i++) out[i] = times(d, (float)(int8_t)p[2 + at + i]);
        return;
    }
    const bool five = type == DTYPE_Q5_0 || type == DTYPE_Q5_1;
    const bool with_least = type == DTYPE_Q4_1 || type == DTYPE_Q5_1;
    const float m = with_least ? half_value(p + 2) : 0;
    const uint8_t *codes = p + 2 + (with_least ? 2 : 0) + (five ? 4 : 0);
    nibbles(q, codes + low, at >= 16);
    if (five) {
        const uint32_t high = load_u32(codes - 4) >> at;
#pragma unroll
        for (int i = 0; i < LANES; i++) q[i] |= (int)(high >> i & 1) << 4;
    }
#pragma unroll
    for (int i = 0; i < LANES; i++) {
        if (with_least) out[i] = __fadd_rn(times(d, (float)q[i]), m);
        else if (type == DTYPE_IQ4_NL) out[i] = times(d, (float)iq4_value[q[i]]);
        else out[i] = times(d, (float)(q[i] - (five ? 16 : 8)));
    }
}

static __device__ void block_q2_k(float out[LANES], const uint8_t *p, int at)
{
    const int group = at / 16;
    const float d = half_value(p + 80), m = half_value(p + 82);
    const float scale = times(d, (float)(p[group] & 15)), least = times(m, (float)(p[group] >> 4));
    const uint8_t *codes = p + 16 + 32 * (group / 8) + 16 * (group % 2) + at % 16;
#pragma unroll
    for (int i = 0; i < LANES; i++) {
        out[i] = __fsub_rn(times(scale, (float)(codes[i] >> (2 * (group / 2 % 4)) & 3)), least);
    }
}

static __device__ void block_q3_k(float out[LANES], const uint8_t *p, int at)
{
    const int group = at / 16;
    const uint8_t *s = p + 96, *codes = p + 32 + 32 * (group / 8) + 16 * (group % 2) + at % 16;
    const uint8_t *mask = p + 16 * (group % 2) + at % 16;
    const int low = group < 8 ? s[group] & 15 : s[group - 8] >> 4;
    const int high = s[8 + group % 4] >> (2 * (group / 4)) & 3;
    const float scale = times(half_value(p + 108), (float)((low | high << 4) - 32));
#pragma unroll
    for (int i = 0; i < LANES; i++) {
        const int set = mask[i] >> (group / 2) & 1;
        const int q = codes[i] >> (2 * (group / 2 % 4)) & 3;
        out[i] = times(scale, (float)(q - (set ? 0 : 4)));
    }
}

static __device__ void block_q45_k(float out[LANES], dtype type, const uint8_t *p, int at)
{
    const int part = at / 32;
    int s, l, q[LANES];
    k_scale(p + 4, part, &s, &l);
    const float scale = times(half_value(p), (float)s), least = times(half_value(p + 2), (float)l);
    const uint8_t *codes = p + (type == DTYPE_Q4_K ? 16 : 48) + 32 * (part / 2) + at % 32;
    nibbles(q, codes, part % 2);
#pragma unroll
    for (int i = 0; i < LANES; i++) {
        if (type == DTYPE_Q5_K) q[i] |= (p[16 + at % 32 + i] >> part & 1) << 4;
        out[i] = __fsub_rn(times(scale, (float)q[i]), least);
    }
}

static __device__ void block_q6_k(float out[LANES], const uint8_t *p, int at)
{
    const int half = at / 128, k = at % 128 / 32, l = at % 32;
    const uint8_t *low = p + 64 * half + 32 * (k % 2) + l, *high = p + 128 + 32 * half + l;
    const float scale = times(half_value(p + 208), (float)(int8_t)p[192 + at / 16]);
#pragma unroll
    for (int i = 0; i < LANES; i++) {
        const int q = (low[i] >> (4 * (k / 2)) & 15) | (high[i] >> (2 * k) & 3) << 4;
        out[i] = times(scale, (float)(q - 32));
    }
}

static __device__ void block_iq4_xs(float out[LANES], const uint8_t *p, int at)
{
    const int part = at / 32;
    const int low = p[4 + part / 2] >> (4 * (part % 2)) & 15;
    const int high = (int)(load_u16(p + 2) >> (2 * part) & 3);
    const float scale = times(half_value(p), (float)((low | high << 4) - 32));
    int q[LANES];
    nibbles(q, p + 8 + 16 * part + at % 16, at % 32 >= 16);
#pragma unroll
    for (int i = 0; i < LANES; i++) out[i] = times(scale, (float)iq4_value[q[i]]);
}

/* NF4 and INT8 in blocks of 64 or 16: a float32 scale, then codes; NF4's value 2 i is high. */
static __device__ void block_packed(float out[LANES], bool nf4, const uint8_t *p, int at)
{
    const float d = __uint_as_float(load_u32(p));
#pragma unroll
    for (int i = 0; i < LANES; i++) {
        if (nf4) out[i] = times(d, nf4_value[p[4 + (at + i) / 2] >> ((at + i) % 2 ? 0 : 4) & 15]);
        else out[i] = times(d, (float)(int8_t)p[4 + at + i]);
    }
}

/* One value of an unblocked type. */
static __device__ __forceinline__ float plain_value(dtype type, const uint8_t *row, int64_t i)
{
    if (type == DTYPE_F32) return __uint_as_float(load_u32(row + 4 * i));
    if (type == DTYPE_F16) return half_value(row + 2 * i);
    return __uint_as_float(load_u16(row + 2 * i) << 16);
}

static __device__ __forceinline__ bool is_plain(dtype type)
{
    return type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16;
}

/* Values at .. at + 8 of a row of a blocked type, at a multiple of eight. */
static __device__ void blocked_values(float out[LANES], dtype type, const uint8_t *row, int64_t at)
{
    switch (type) {
    case DTYPE_Q4_0: block32(out, DTYPE_Q4_0, row + at / 32 * 18, (int)(at % 32)); break;
    case DTYPE_Q4_1: block32(out, DTYPE_Q4_1, row + at / 32 * 20, (int)(at % 32)); break;
    case DTYPE_Q5_0: block32(out, DTYPE_Q5_0, row + at / 32 * 22, (int)(at % 32)); break;
    case DTYPE_Q5_1: block32(out, DTYPE_Q5_1, row + at / 32 * 24, (int)(at % 32)); break;
    case DTYPE_Q8_0: block32(out, DTYPE_Q8_0, row + at / 32 * 34, (int)(at % 32)); break;
    case DTYPE_IQ4_NL: block32(out, DTYPE_IQ4_NL, row + at / 32 * 18, (int)(at % 32)); break;
    case DTYPE_Q2_K: block_q2_k(out, row + at / 256 * 84, (int)(at % 256)); break;
    case DTYPE_Q3_K: block_q3_k(out, row + at / 256 * 110, (int)(at % 256)); break;
    case DTYPE_Q4_K: block_q45_k(out, DTYPE_Q4_K, row + at / 256 * 144, (int)(at % 256)); break;
    case DTYPE_Q5_K: block_q45_k(out, DTYPE_Q5_K, row + at / 256 * 176, (int)(at % 256)); break;
    case DTYPE_Q6_K: block_q6_k(out, row + at / 256 * 210, (int)(at % 256)); break;
    case DTYPE_IQ4_XS: block_iq4_xs(out, row + at / 256 * 136, (int)(at % 256)); break;
    case DTYPE_NF4: block_packed(out, true, row + at / 64 * 36, (int)(at % 64)); break;
    case DTYPE_NF4_16: block_packed(out, true, row + at / 16 * 12, (int)(at % 16)); break;
    case DTYPE_INT8: block_packed(out, false, row + at / 64 * 68, (int)(at % 64)); break;
    case DTYPE_INT8_16: block_packed(out, false, row + at / 16 * 20, (int)(at % 16)); break;
    default: break;
    }
}

int32_t k_reads(dtype type)
{
    switch (type) {
    case DTYPE_F32:
    case DTYPE_F16:
    case DTYPE_BF16:
    case DTYPE_Q4_0:
    case DTYPE_Q4_1:
    case DTYPE_Q5_0:
    case DTYPE_Q5_1:
    case DTYPE_Q8_0:
    case DTYPE_Q2_K:
    case DTYPE_Q3_K:
    case DTYPE_Q4_K:
    case DTYPE_Q5_K:
    case DTYPE_Q6_K:
    case DTYPE_IQ4_NL:
    case DTYPE_IQ4_XS:
    case DTYPE_NF4:
    case DTYPE_NF4_16:
    case DTYPE_INT8:
    case DTYPE_INT8_16: return 1;
    default: return 0;
    }
}

/* Eight values of row `row` from `at`; fewer at the end of an odd row of a plain type. */
template <typename T>
static __device__ void expand_at(T *out, k_weight w, int64_t row, int64_t at, float scale)
{
    const uint8_t *from = (const uint8_t *)w.data + row * w.bytes_row;
    float v[LANES];
    if (is_plain(w.type)) {
        for (int i = 0; i < LANES && at + i < w.columns; i++) {
            put(out + i, plain_value(w.type, from, at + i) * scale);
        }
        return;
    }
    blocked_values(v, w.type, from, at);
#pragma unroll
    for (int i = 0; i < LANES; i++) v[i] *= scale;
    store8(out, v);
}

template <typename T> static __global__ void expand_rows(T *out, k_weight w, int64_t chunks)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= w.rows * chunks) return;
    const int64_t row = i / chunks, at = i % chunks * LANES;
    expand_at(out + row * w.columns + at, w, row, at, 1);
}

void k_expand(k_stream s, void *out, int32_t type, k_weight w)
{
    const int64_t chunks = (w.columns + LANES - 1) / LANES, n = w.rows * chunks;
    const k_rows whole = {(void *)w.data, w.type == DTYPE_F32 ? ROWS_F32 : ROWS_BF16, w.rows,
                          w.columns};
    if (n == 0) return;
    if (w.type == DTYPE_F32 || w.type == DTYPE_BF16) { /* rows without gaps: wide reads */
        if ((uintptr_t)w.data % 32 == 0) {
            k_convert(s, out, type, whole);
            return;
        }
    }
    if (type == ROWS_BF16)
        expand_rows<<<blocks_of(n, THREADS), THREADS, 0, s>>>((bf16 *)out, w, chunks);
    else expand_rows<<<blocks_of(n, THREADS), THREADS, 0, s>>>((float *)out, w, chunks);
}

static __global__ void embed_rows(float *y, k_weight w, const int32_t *ids, float scale)
{
    const int64_t i = blockIdx.x;
    for (int64_t at = (int64_t)threadIdx.x * LANES; at < w.columns; at += THREADS * LANES) {
        expand_at(y + i * w.columns + at, w, ids[i], at, scale);
    }
}

void k_embed(k_stream s, float *y, k_weight w, const int32_t *ids, int64_t n, float scale)
{
    if (n > 0 && w.columns > 0) embed_rows<<<(unsigned)n, THREADS, 0, s>>>(y, w, ids, scale);
}
