/* vec_avx512_in: the small vector type of the kernels, 16 floats wide. vec_avx2_in.h has the same
 * names for 8. One rule: lane i of a result depends on lane i of the arguments alone, but for the
 * two folds. */
#include "compute/cpu/gather_in.h"
#include "compute/dtype.h"

typedef __m512 vec;

enum {
    LANES = 16,
    TILE_ROWS = 14,    /* 28 sums + 2 weights + 1 broadcast: 31 of 32 registers */
    PANEL = 2 * LANES, /* columns of a packed panel */
};

static inline vec vec_zero(void) { return _mm512_setzero_ps(); }
static inline vec vec_all(float x) { return _mm512_set1_ps(x); }
static inline vec vec_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void vec_store(float *p, vec x) { _mm512_storeu_ps(p, x); }

/* The first n lanes (0..LANES); the others are 0, or left alone. */
static inline vec vec_load_part(const float *p, int64_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

static inline void vec_store_part(float *p, vec x, int64_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x);
}

/* Inlined always: gcc 12 drops calls of a function that only fetches, as it returns nothing. */
static inline __attribute__((always_inline)) void vec_fetch(const float *p)
{
    _mm_prefetch((const char *)p, _MM_HINT_T0);
}
/* ... to write to it. */
static inline void vec_fetch_own(const float *p) { __builtin_prefetch(p, 1, 3); }
static inline float vec_first_lane(vec x) { return _mm512_cvtss_f32(x); }
static inline vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec vec_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
static inline vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
static inline vec vec_div(vec a, vec b) { return _mm512_div_ps(a, b); }
static inline vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }   /* ab + c */
static inline vec vec_fnma(vec a, vec b, vec c) { return _mm512_fnmadd_ps(a, b, c); } /* c - ab */
static inline vec vec_max(vec a, vec b) { return _mm512_max_ps(a, b); } /* b when one is NaN */
static inline vec vec_min(vec a, vec b) { return _mm512_min_ps(a, b); }

static inline vec vec_round(vec x) /* to the nearest whole number, ties to even */
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* x * 2^n, for whole n <= 200, far below -200 too. */
static inline vec vec_scale(vec x, vec n) { return _mm512_scalef_ps(x, n); }

/* Lanes i of this vector with low <= first + i < high keep x; the others become `other`. */
static inline vec vec_inside(vec x, vec other, int first, int low, int high)
{
    int from = low - first, to = high - first;
    from = from < 0 ? 0 : from > LANES ? LANES : from;
    to = to < 0 ? 0 : to > LANES ? LANES : to;
    uint32_t mask = ((1u << to) - 1) & ~((1u << from) - 1);
    return _mm512_mask_mov_ps(other, (__mmask16)mask, x);
}

/* x, or 0 where x is -3e38 or below. */
static inline vec vec_above_never(vec x)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(-3e38f), _CMP_NLE_UQ), x);
}

static inline vec vec_nf4_at(const int8_t *p) /* the values of 16 codes 0 to 15 */
{
    __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm512_permutexvar_ps(_mm512_cvtepi8_epi32(codes), _mm512_loadu_ps(dtype_nf4_table));
}

static inline vec vec_codes_at(const int8_t *p) /* 16 signed bytes as floats */
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

/* 32-bit lanes, one of a row each: four bytes of it. */
typedef __m512i words;

static inline words words_load(const uint32_t *p) { return _mm512_loadu_si512(p); }
static inline void words_store(uint32_t *p, words x) { _mm512_storeu_si512(p, x); }
static inline words words_all(uint32_t x) { return _mm512_set1_epi32((int)x); }
static inline words words_and(words a, words b) { return _mm512_and_si512(a, b); }
static inline words words_or(words a, words b) { return _mm512_or_si512(a, b); }
static inline words words_flip(words a, words b) { return _mm512_xor_si512(a, b); }
static inline words words_multiply(words a, words b) { return _mm512_mullo_epi32(a, b); }
static inline words words_right(words x, int n) { return (words)((__v16su)x >> (unsigned)n); }
static inline words words_left(words x, int n) { return (words)((__v16su)x << (unsigned)n); }
static inline words words_add_bytes(words a, words b) { return _mm512_add_epi8(a, b); }
/* Halves of words by themselves. */
static inline words words_right_halves(words x, int n) { return _mm512_srli_epi16(x, (unsigned)n); }
static inline words words_add(words a, words b) { return _mm512_add_epi32(a, b); }

/* Signed bytes 0 and 2 of each word as two of 16 bits; bytes 1 and 3. */
static inline words words_even_bytes(words x)
{
    return _mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8);
}
static inline words words_odd_bytes(words x) { return _mm512_srai_epi16(x, 8); }

/* a where `mask` has a bit, b elsewhere. */
static inline words words_choose(words mask, words a, words b)
{
    return _mm512_ternarylogic_epi32(mask, a, b, 0xca);
}

/* Byte i = table byte x[i], of sixteen; or byte order[i] of the same four words. */
static inline words words_look(const uint8_t *table, words x)
{
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(
                                   _mm_loadu_si128((const __m128i *)(const void *)table)),
                               x);
}
static inline words words_order(words x, const uint8_t *order)
{
    return _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(
                                      _mm_loadu_si128((const __m128i *)(const void *)order)));
}

static inline vec words_float(words x) { return _mm512_cvtepi32_ps(x); }   /* signed */
static inline vec words_bits(words x) { return _mm512_castsi512_ps(x); }   /* as they are */
static inline words words_rounded(vec x) { return _mm512_cvtps_epi32(x); } /* ties to even */

/* The lower half of each lane, a 16-bit float. */
static inline vec words_half(words x) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)); }

/* Byte 0 of each lane, or byte 1, less what `base` has over 2^23, or 2^15: a number beside which
 * the byte is the lowest bits of the fraction. Exact. */
static inline vec words_byte0(words x, vec base)
{
    const words top = _mm512_set1_epi32(0x4b000000), byte = _mm512_set1_epi32(0xff);
    x = _mm512_ternarylogic_epi32(x, byte, top, 0xea); /* x & byte | top */
    return _mm512_sub_ps(_mm512_castsi512_ps(x), base);
}
static inline vec words_byte1(words x, vec base)
{
    const words top = _mm512_set1_epi32(0x47000000), byte = _mm512_set1_epi32(0xff00);
    x = _mm512_ternarylogic_epi32(x, byte, top, 0xea);
    return _mm512_sub_ps(_mm512_castsi512_ps(x), base);
}

/* The value of NF4 that the low four bits of each lane stand for. */
static inline vec words_nf4(words x)
{
    return _mm512_permutexvar_ps(x, _mm512_loadu_ps(dtype_nf4_table));
}

/* x, with `bits` added in the bytes where y has a bit of `where`. */
static inline words words_add_where(words x, words bits, words y, words where)
{
    return _mm512_mask_add_epi8(x, _mm512_test_epi8_mask(y, where), x, bits);
}

/* 32 bits at p, p + stride, ... */
static inline __attribute__((always_inline)) words words_at(const uint8_t *p, int64_t stride)
{
    const words x = _mm512_castsi128_si512(four_at(p, stride));
    const __m256i y =
        _mm256_inserti128_si256(_mm256_castsi128_si256(four_at(p + 8 * stride, stride)),
                                four_at(p + 12 * stride, stride), 1);
    return _mm512_inserti64x4(_mm512_inserti32x4(x, four_at(p + 4 * stride, stride), 1), y, 1);
}

/* 16-bit floats there. */
static inline __attribute__((always_inline)) vec words_halves(const uint8_t *p, int64_t stride)
{
    return _mm512_cvtph_ps(_mm256_inserti128_si256(_mm256_castsi128_si256(eight_at(p, stride)),
                                                   eight_at(p + 8 * stride, stride), 1));
}

static inline __m128i bytes_at(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Rows 0, 4, 8, 12 from p. */
static inline __attribute__((always_inline)) __m512i bytes_four(const uint8_t *p, int64_t four)
{
    __m512i x = _mm512_castsi128_si512(bytes_at(p));
    x = _mm512_inserti32x4(x, bytes_at(p + four), 1);
    x = _mm512_inserti32x4(x, bytes_at(p + 2 * four), 2);
    return _mm512_inserti32x4(x, bytes_at(p + 3 * four), 3);
}

/* The four words of sixteen bytes at each of p, p + stride, ..: quarter q of a[i] is row 4 q + i,
 * and two rounds of unpacking put the rows of a quarter beside each other. */
static inline __attribute__((always_inline)) void words_turn(words to[4], const uint8_t *p,
                                                             int64_t stride)
{
    __m512i a[4], b[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) a[i] = bytes_four(p + i * stride, 4 * stride);
    b[0] = _mm512_unpacklo_epi32(a[0], a[1]), b[1] = _mm512_unpackhi_epi32(a[0], a[1]);
    b[2] = _mm512_unpacklo_epi32(a[2], a[3]), b[3] = _mm512_unpackhi_epi32(a[2], a[3]);
    to[0] = _mm512_unpacklo_epi64(b[0], b[2]), to[1] = _mm512_unpackhi_epi64(b[0], b[2]);
    to[2] = _mm512_unpacklo_epi64(b[1], b[3]), to[3] = _mm512_unpackhi_epi64(b[1], b[3]);
}

static inline vec vec_halves(const uint8_t *p) /* 16 IEEE binary16 */
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

static inline vec vec_bfloats(const uint8_t *p) /* 16 upper halves of floats */
{
    __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}

/* Folds: halves, quarters, ... in this order. */
static inline float vec_sum(vec x)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

static inline float vec_largest(vec x)
{
    __m256 a = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

/* Pairs (x0 x1)(x2 x3)... : swapped; the even ones twice; the odd ones twice. */
static inline vec vec_swap_pairs(vec x) { return _mm512_permute_ps(x, 0xb1); }
static inline vec vec_evens(vec x) { return _mm512_moveldup_ps(x); }
static inline vec vec_odds(vec x) { return _mm512_movehdup_ps(x); }

/* Even lanes a b - c, odd lanes a b + c. */
static inline vec vec_fma_alternate(vec a, vec b, vec c) { return _mm512_fmaddsub_ps(a, b, c); }

/* Each of n floats (1..LANES) twice: x0 x0 x1 x1 ...; reads LANES / 2 at most. */
static inline vec vec_doubled(const float *p, int64_t n)
{
    __m512i twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    return _mm512_permutexvar_ps(twice, vec_load_part(p, n));
}

/* The 16 x 16 transpose, in place. */
static inline __attribute__((always_inline)) void vec_transpose(vec x[LANES])
{
    __m512d d[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i += 4) {
        vec a = _mm512_unpacklo_ps(x[i], x[i + 1]), b = _mm512_unpackhi_ps(x[i], x[i + 1]);
        vec c = _mm512_unpacklo_ps(x[i + 2], x[i + 3]), e = _mm512_unpackhi_ps(x[i + 2], x[i + 3]);
        d[i] = _mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(c));
        d[i + 1] = _mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(c));
        d[i + 2] = _mm512_unpacklo_pd(_mm512_castps_pd(b), _mm512_castps_pd(e));
        d[i + 3] = _mm512_unpackhi_pd(_mm512_castps_pd(b), _mm512_castps_pd(e));
    }
#pragma GCC unroll 16
    for (int i = 0; i < 4; i++) {
        __m512d a = _mm512_shuffle_f64x2(d[i], d[i + 4], 0x88);
        __m512d b = _mm512_shuffle_f64x2(d[i + 8], d[i + 12], 0x88);
        __m512d c = _mm512_shuffle_f64x2(d[i], d[i + 4], 0xdd);
        __m512d e = _mm512_shuffle_f64x2(d[i + 8], d[i + 12], 0xdd);
        x[i] = _mm512_castpd_ps(_mm512_shuffle_f64x2(a, b, 0x88));
        x[i + 4] = _mm512_castpd_ps(_mm512_shuffle_f64x2(c, e, 0x88));
        x[i + 8] = _mm512_castpd_ps(_mm512_shuffle_f64x2(a, b, 0xdd));
        x[i + 12] = _mm512_castpd_ps(_mm512_shuffle_f64x2(c, e, 0xdd));
    }
}
