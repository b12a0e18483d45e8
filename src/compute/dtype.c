/* dtype: what a stored weight is, as float32 values.
 *
 * How: plain C, strict floating point, one block at a time, every load through memcpy or bytes, so
 * the input needs no alignment. Each product and each difference is rounded to float32 on its own,
 * in the order written here; that order is part of the definition (ggml's reference reading, with
 * which all bits agree). Assumes a little-endian machine.
 *
 * Block layouts, bytes in file order (f16: IEEE binary16; a half-byte "low" is bits 0-3):
 *
 *   F32     4  one float            F16  2  one f16           BF16  2  upper half of a float
 *
 *   32 values a block. Byte i of qs holds value i (low) and value i + 16 (high).
 *   Q4_0   18  d f16 | qs 16                   d * (q - 8)
 *   Q4_1   20  d f16 | m f16 | qs 16           d * q + m
 *   Q5_0   22  d f16 | qh 4 | qs 16            d * (q - 16)      bit i of qh is bit 4 of value i
 *   Q5_1   24  d f16 | m f16 | qh 4 | qs 16    d * q + m
 *   Q8_0   34  d f16 | qs 32 (int8)            d * q
 *   IQ4_NL 18  d f16 | qs 16                   d * table[q]
 *
 *   256 values a block, in groups of 16 or 32 with their own small scale.
 *   Q2_K    84 scales 16 (low: scale, high: min) | qs 64 | d f16 | m f16     d * s * q - m * min
 *   Q3_K   110 hmask 32 | qs 64 | scales 12 (16 of 6 bits) | d f16           d * (s - 32) * (q - 4)
 *   Q4_K   144 d f16 | m f16 | scales 12 (8 scales, 8 mins, 6 bits) | qs 128 d * s * q - m * min
 *   Q5_K   176 d f16 | m f16 | scales 12 | qh 32 | qs 128                    d * s * q - m * min
 *   Q6_K   210 ql 128 | qh 64 | scales 16 (int8) | d f16                     d * s * (q - 32)
 *   IQ4_XS 136 d f16 | scales_h u16 | scales_l 4 | qs 128           d * (s - 32) * table[q]
 *
 *   64 values a block, or 16 where rows are no multiple of 64; in memory only. Byte i of qs holds
 *   value 2 i (high) and 2 i + 1 (low).
 *   NF4     36  d f32 | qs 32            d * nf4[q]      NF4_16  12  d f32 | qs 8
 *   INT8    68  d f32 | qs 64 (int8)     d * q           INT8_16 20  d f32 | qs 16
 */
#include "compute/dtype.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

enum { K_BLOCK = 256 };

static const int8_t iq4_table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};

float dtype_half_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = (h >> 10) & 31, fraction = h & 0x3ff;
    uint32_t bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000u | fraction << 13; /* infinity, NaN */
    } else if (exponent > 0) {
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    } else {
        float value = (float)fraction * 0x1p-24f; /* subnormal: exact */
        memcpy(&bits, &value, 4);
        bits |= sign;
    }
    float out;
    memcpy(&out, &bits, 4);
    return out;
}

static uint16_t load_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static float load_half(const uint8_t *p) { return dtype_half_to_f32(load_u16(p)); }

static void f32_to_f32(float *out, const void *in, int64_t n)
{
    memcpy(out, in, (size_t)n * sizeof *out);
}

static void f16_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (int64_t i = 0; i < n; i++) out[i] = load_half(p + 2 * i);
}

static void bf16_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)load_u16(p + 2 * i) << 16;
        memcpy(&out[i], &bits, 4);
    }
}

static void q4_0_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (; n > 0; n -= 32, out += 32, p += 18) {
        float d = load_half(p);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((p[2 + i] & 15) - 8);
            out[i + 16] = d * (float)((p[2 + i] >> 4) - 8);
        }
    }
}

static void q4_1_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (; n > 0; n -= 32, out += 32, p += 20) {
        float d = load_half(p), m = load_half(p + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(p[4 + i] & 15) + m;
            out[i + 16] = d * (float)(p[4 + i] >> 4) + m;
        }
    }
}

/* Bit 4 of value i of a Q5_0 or Q5_1 block, in its place. */
static int high_bit(const uint8_t *qh, int i) { return (qh[i / 8] >> (i % 8) & 1) << 4; }

static void q5_0_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (; n > 0; n -= 32, out += 32, p += 22) {
        float d = load_half(p);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(((p[6 + i] & 15) | high_bit(p + 2, i)) - 16);
            out[i + 16] = d * (float)((p[6 + i] >> 4 | high_bit(p + 2, i + 16)) - 16);
        }
    }
}

static void q5_1_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (; n > 0; n -= 32, out += 32, p += 24) {
        float d = load_half(p), m = load_half(p + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((p[8 + i] & 15) | high_bit(p + 4, i)) + m;
            out[i + 16] = d * (float)(p[8 + i] >> 4 | high_bit(p + 4, i + 16)) + m;
        }
    }
}

static void q8_0_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (; n > 0; n -= 32, out += 32, p += 34) {
        float d = load_half(p);
        for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)p[2 + i];
    }
}

static void iq4_nl_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (; n > 0; n -= 32, out += 32, p += 18) {
        float d = load_half(p);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)iq4_table[p[2 + i] & 15];
            out[i + 16] = d * (float)iq4_table[p[2 + i] >> 4];
        }
    }
}

/* Group j (16 values) of a Q2_K or Q3_K block: two bits each at this byte and shift.
 *   groups 0-7 use qs bytes 0-31, groups 8-15 bytes 32-63; group pairs go up two bits at a time. */
static int two_bits(const uint8_t *qs, int group, int i)
{
    return qs[32 * (group / 8) + 16 * (group % 2) + i] >> (2 * (group / 2 % 4)) & 3;
}

static void q2_k_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (; n > 0; n -= K_BLOCK, out += K_BLOCK, p += 84) {
        float d = load_half(p + 80), m = load_half(p + 82);
        for (int j = 0; j < 16; j++) {
            float scale = d * (float)(p[j] & 15), least = m * (float)(p[j] >> 4);
            for (int i = 0; i < 16; i++) {
                out[16 * j + i] = scale * (float)two_bits(p + 16, j, i) - least;
            }
        }
    }
}

static void q3_k_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (; n > 0; n -= K_BLOCK, out += K_BLOCK, p += 110) {
        const uint8_t *hmask = p, *qs = p + 32, *s = p + 96;
        float d = load_half(p + 108);
        for (int j = 0; j < 16; j++) {
            /* Scale j: low four bits in s[j % 8] (low half for j < 8), high two in s[8 + j % 4]. */
            int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
            int high = s[8 + j % 4] >> (2 * (j / 4)) & 3;
            float scale = d * (float)((low | high << 4) - 32);
            for (int i = 0; i < 16; i++) {
                int set = hmask[16 * (j % 2) + i] >> (j / 2) & 1; /* 1: nothing is subtracted */
                out[16 * j + i] = scale * (float)(two_bits(qs, j, i) - (set ? 0 : 4));
            }
        }
    }
}

/* Scale and min j (0..7) of the 12 packed bytes of Q4_K and Q5_K:
 *   bytes 0-3   bits 0-5: scales 0-3    bits 6-7: upper bits of scales 4-7
 *   bytes 4-7   bits 0-5: mins 0-3      bits 6-7: upper bits of mins 4-7
 *   bytes 8-11  low: scales 4-7, lower four bits    high: mins 4-7, lower four bits */
static void k_scale(const uint8_t *s, int j, int *scale, int *least)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *least = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        *least = s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
}

static void q4_k_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (; n > 0; n -= K_BLOCK, out += K_BLOCK, p += 144) {
        float d = load_half(p), m = load_half(p + 2);
        for (int j = 0; j < 8; j++) {
            int s, l;
            k_scale(p + 4, j, &s, &l);
            float scale = d * (float)s, least = m * (float)l;
            const uint8_t *qs = p + 16 + 32 * (j / 2);
            for (int i = 0; i < 32; i++) {
                out[32 * j + i] = scale * (float)(qs[i] >> (4 * (j % 2)) & 15) - least;
            }
        }
    }
}

static void q5_k_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (; n > 0; n -= K_BLOCK, out += K_BLOCK, p += 176) {
        float d = load_half(p), m = load_half(p + 2);
        for (int j = 0; j < 8; j++) {
            int s, l;
            k_scale(p + 4, j, &s, &l);
            float scale = d * (float)s, least = m * (float)l;
            const uint8_t *qh = p + 16, *qs = p + 48 + 32 * (j / 2);
            for (int i = 0; i < 32; i++) {
                int q = (qs[i] >> (4 * (j % 2)) & 15) | (qh[i] >> j & 1) << 4;
                out[32 * j + i] = scale * (float)q - least;
            }
        }
    }
}

static void q6_k_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (; n > 0; n -= K_BLOCK, out += K_BLOCK, p += 210) {
        float d = load_half(p + 208);
        for (int i = 0; i < K_BLOCK; i++) {
            /* Each half of 128 values has 64 bytes of ql and 32 of qh; quarter k of it (32 values)
             * takes ql bytes 0-31 (k even) or 32-63 (k odd), low (k < 2) or high, and qh bits 2k */
            int half = i / 128, k = i % 128 / 32, l = i % 32;
            int low = p[64 * half + 32 * (k % 2) + l] >> (4 * (k / 2)) & 15;
            int high = p[128 + 32 * half + l] >> (2 * k) & 3;
            float scale = d * (float)(int8_t)p[192 + i / 16];
            out[i] = scale * (float)((low | high << 4) - 32);
        }
    }
}

static void iq4_xs_to_f32(float *out, const void *in, int64_t n)
{
    const uint8_t *p = in;
    for (; n > 0; n -= K_BLOCK, out += K_BLOCK, p += 136) {
        float d = load_half(p);
        uint16_t scales_h = load_u16(p + 2);
        for (int j = 0; j < 8; j++) {
            int s = (p[4 + j / 2] >> (4 * (j % 2)) & 15) | (scales_h >> (2 * j) & 3) << 4;
            float scale = d * (float)(s - 32);
            const uint8_t *qs = p + 8 + 16 * j;
            for (int i = 0; i < 16; i++) {
                out[32 * j + i] = scale * (float)iq4_table[qs[i] & 15];
                out[32 * j + i + 16] = scale * (float)iq4_table[qs[i] >> 4];
            }
        }
    }
}

const float dtype_nf4_table[16] = {DTYPE_NF4_VALUES};

static void nf4_blocks(float *out, const uint8_t *p, int64_t n, int block)
{
    for (; n > 0; n -= block, p += 4 + block / 2) {
        float d;
        memcpy(&d, p, 4);
        for (int i = 0; i < block / 2; i++) {
            *out++ = d * dtype_nf4_table[p[4 + i] >> 4];
            *out++ = d * dtype_nf4_table[p[4 + i] & 15];
        }
    }
}

static void int8_blocks(float *out, const uint8_t *p, int64_t n, int block)
{
    for (; n > 0; n -= block, p += 4 + block) {
        float d;
        memcpy(&d, p, 4);
        for (int i = 0; i < block; i++) *out++ = d * (float)(int8_t)p[4 + i];
    }
}

static void nf4_to_f32(float *out, const void *in, int64_t n) { nf4_blocks(out, in, n, 64); }
static void nf4_16_to_f32(float *out, const void *in, int64_t n) { nf4_blocks(out, in, n, 16); }
static void int8_to_f32(float *out, const void *in, int64_t n) { int8_blocks(out, in, n, 64); }
static void int8_16_to_f32(float *out, const void *in, int64_t n) { int8_blocks(out, in, n, 16); }

static const dtype_info table[DTYPE_COUNT] = {
    [DTYPE_F32] = {"F32", 1, 4, 0, f32_to_f32},
    [DTYPE_F16] = {"F16", 1, 2, 1, f16_to_f32},
    [DTYPE_BF16] = {"BF16", 1, 2, 30, bf16_to_f32},
    [DTYPE_Q4_0] = {"Q4_0", 32, 18, 2, q4_0_to_f32},
    [DTYPE_Q4_1] = {"Q4_1", 32, 20, 3, q4_1_to_f32},
    [DTYPE_Q5_0] = {"Q5_0", 32, 22, 6, q5_0_to_f32},
    [DTYPE_Q5_1] = {"Q5_1", 32, 24, 7, q5_1_to_f32},
    [DTYPE_Q8_0] = {"Q8_0", 32, 34, 8, q8_0_to_f32},
    [DTYPE_Q2_K] = {"Q2_K", K_BLOCK, 84, 10, q2_k_to_f32},
    [DTYPE_Q3_K] = {"Q3_K", K_BLOCK, 110, 11, q3_k_to_f32},
    [DTYPE_Q4_K] = {"Q4_K", K_BLOCK, 144, 12, q4_k_to_f32},
    [DTYPE_Q5_K] = {"Q5_K", K_BLOCK, 176, 13, q5_k_to_f32},
    [DTYPE_Q6_K] = {"Q6_K", K_BLOCK, 210, 14, q6_k_to_f32},
    [DTYPE_IQ4_NL] = {"IQ4_NL", 32, 18, 20, iq4_nl_to_f32},
    [DTYPE_IQ4_XS] = {"IQ4_XS", K_BLOCK, 136, 23, iq4_xs_to_f32},
    [DTYPE_I32] = {"I32", 1, 4, 26, NULL},
    [DTYPE_U8] = {"U8", 1, 1, -1, NULL},
    [DTYPE_I8] = {"I8", 1, 1, -1, NULL},
    [DTYPE_NF4] = {"NF4", 64, 36, -1, nf4_to_f32},
    [DTYPE_NF4_16] = {"NF4/16", 16, 12, -1, nf4_16_to_f32},
    [DTYPE_INT8] = {"INT8", 64, 68, -1, int8_to_f32},
    [DTYPE_INT8_16] = {"INT8/16", 16, 20, -1, int8_16_to_f32},
};

const dtype_info *dtype_get(dtype t)
{
    assert((unsigned)t < DTYPE_COUNT);
    return &table[t];
}

dtype dtype_from_ggml(uint32_t ggml_type)
{
    for (int t = 0; t < DTYPE_COUNT; t++) {
        if (table[t].ggml_type >= 0 && (uint32_t)table[t].ggml_type == ggml_type) return (dtype)t;
    }
    return DTYPE_COUNT;
}

dtype dtype_from_name(const char *name)
{
    assert(name);
    for (int t = 0; t < DTYPE_COUNT; t++) {
        if (!strcmp(table[t].name, name)) return (dtype)t;
    }
    return DTYPE_COUNT;
}

bool dtype_row_bytes(dtype t, int64_t n, int64_t *bytes)
{
    const dtype_info *d = dtype_get(t);
    if (n < 0 || n % d->block_size != 0) return false;
    return !__builtin_mul_overflow(n / d->block_size, (int64_t)d->block_bytes, bytes);
}
