/* vec_avx2_in: the small vector type of the kernels, 8 floats wide (AVX2 + FMA + F16C). See
 * vec_avx512_in.h for the meaning of each name. */
#include "compute/cpu/gather_in.h"
#include "compute/dtype.h"

typedef __m256 vec;

enum {
    LANES = 8,
    TILE_ROWS = 6,     /* 12 sums + 2 weights + 1 broadcast: 15 of 16 registers */
    PANEL = 2 * LANES, /* columns of a packed panel */
};

static inline vec vec_zero(void) { return _mm256_setzero_ps(); }
static inline vec vec_all(float x) { return _mm256_set1_ps(x); }
static inline vec vec_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void vec_store(float *p, vec x) { _mm256_storeu_ps(p, x); }

static inline __m256i vec_first(int64_t n) /* all bits of the first n lanes */
{
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}

static inline vec vec_load_part(const float *p, int64_t n)
{
    return _mm256_maskload_ps(p, vec_first(n));
}

static inline void vec_store_part(float *p, vec x, int64_t n)
{
    float all[LANES]; /* masked stores are slow on some machines, and this one is rare */
    _mm256_storeu_ps(all, x);
    memcpy(p, all, (size_t)n * sizeof *p);
}

static inline __attribute__((always_inline)) void vec_fetch(const float *p)
{
    _mm_prefetch((const char *)p, _MM_HINT_T0);
}
/* ... to write to it. */
static inline void vec_fetch_own(const float *p) { __builtin_prefetch(p, 1, 3); }
static inline float vec_first_lane(vec x) { return _mm256_cvtss_f32(x); }
static inline vec vec_add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec vec_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
static inline vec vec_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
static inline vec vec_div(vec a, vec b) { return _mm256_div_ps(a, b); }
static inline vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec vec_fnma(vec a, vec b, vec c) { return _mm256_fnmadd_ps(a, b, c); }
static inline vec vec_max(vec a, vec b) { return _mm256_max_ps(a, b); }
static inline vec vec_min(vec a, vec b) { return _mm256_min_ps(a, b); }

static inline vec vec_round(vec x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vec vec_scale(vec x, vec n)
{
    n = _mm256_max_ps(_mm256_set1_ps(-200), n);
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    __m256i rest = _mm256_sub_epi32(whole, half), bias = _mm256_set1_epi32(127);
    __m256 a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    __m256 b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(x, a), b);
}

static inline vec vec_inside(vec x, vec other, int first, int low, int high)
{
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    lane = _mm256_add_epi32(lane, _mm256_set1_epi32(first));
    __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32(low), lane);
    __m256i under = _mm256_cmpgt_epi32(_mm256_set1_epi32(high), lane);
    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(_mm256_andnot_si256(below, under)));
}

static inline vec vec_above_never(vec x)
{
    return _mm256_and_ps(x, _mm256_cmp_ps(x, _mm256_set1_ps(-3e38f), _CMP_NLE_UQ));
}

static inline vec vec_nf4_at(const int8_t *p)
{
    const __m256i i = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    const vec low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(dtype_nf4_table), i);
    const vec high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(dtype_nf4_table + 8), i);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(i, 28)));
}

static inline vec vec_codes_at(const int8_t *p)
{
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

typedef __m256i words;

static inline words words_load(const uint32_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
static inline void words_store(uint32_t *p, words x)
{
    _mm256_storeu_si256((__m256i *)(void *)p, x);
}
static inline words words_all(uint32_t x) { return _mm256_set1_epi32((int)x); }
static inline words words_and(words a, words b) { return _mm256_and_si256(a, b); }
static inline words words_or(words a, words b) { return _mm256_or_si256(a, b); }
static inline words words_flip(words a, words b) { return _mm256_xor_si256(a, b); }
static inline words words_multiply(words a, words b) { return _mm256_mullo_epi32(a, b); }
static inline words words_right(words x, int n) { return _mm256_srli_epi32(x, n); }
static inline words words_left(words x, int n) { return _mm256_slli_epi32(x, n); }
static inline words words_add_bytes(words a, words b) { return _mm256_add_epi8(a, b); }
/* Halves of words by themselves. */
static inline words words_right_halves(words x, int n) { return _mm256_srli_epi16(x, n); }
static inline words words_add(words a, words b) { return _mm256_add_epi32(a, b); }

static inline words words_even_bytes(words x)
{
    return _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
}
static inline words words_odd_bytes(words x) { return _mm256_srai_epi16(x, 8); }

static inline words words_choose(words mask, words a, words b)
{
    return _mm256_or_si256(_mm256_and_si256(mask, a), _mm256_andnot_si256(mask, b));
}

static inline words words_look(const uint8_t *table, words x)
{
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(
                                   _mm_loadu_si128((const __m128i *)(const void *)table)),
                               x);
}
static inline words words_order(words x, const uint8_t *order)
{
    return _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(
                                      _mm_loadu_si128((const __m128i *)(const void *)order)));
}

static inline vec words_float(words x) { return _mm256_cvtepi32_ps(x); }
static inline vec words_bits(words x) { return _mm256_castsi256_ps(x); }
static inline words words_rounded(vec x) { return _mm256_cvtps_epi32(x); }

static inline vec words_half(words x)
{
    x = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
    return _mm256_cvtph_ps(
        _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
}

static inline vec words_byte0(words x, vec base)
{
    x = _mm256_or_si256(_mm256_and_si256(x, _mm256_set1_epi32(0xff)),
                        _mm256_set1_epi32(0x4b000000));
    return _mm256_sub_ps(_mm256_castsi256_ps(x), base);
}
static inline vec words_byte1(words x, vec base)
{
    x = _mm256_or_si256(_mm256_and_si256(x, _mm256_set1_epi32(0xff00)),
                        _mm256_set1_epi32(0x47000000));
    return _mm256_sub_ps(_mm256_castsi256_ps(x), base);
}

static inline vec words_nf4(words x)
{
    const vec low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(dtype_nf4_table), x);
    const vec high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(dtype_nf4_table + 8), x);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(x, 28)));
}

static inline words words_add_where(words x, words bits, words y, words where)
{
    const words set = _mm256_cmpeq_epi8(_mm256_and_si256(y, where), where);
    return _mm256_add_epi8(x, _mm256_and_si256(set, bits));
}

static inline __attribute__((always_inline)) words words_at(const uint8_t *p, int64_t stride)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(four_at(p, stride)),
                                   four_at(p + 4 * stride, stride), 1);
}

static inline __attribute__((always_inline)) vec words_halves(const uint8_t *p, int64_t stride)
{
    return _mm256_cvtph_ps(eight_at(p, stride));
}

static inline __m256i bytes_two(const uint8_t *p, int64_t four) /* rows 0 and 4 from p */
{
    const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)p);
    const __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(p + four));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

static inline __attribute__((always_inline)) void words_turn(words to[4], const uint8_t *p,
                                                             int64_t stride)
{
    __m256i a[4], b[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) a[i] = bytes_two(p + i * stride, 4 * stride);
    b[0] = _mm256_unpacklo_epi32(a[0], a[1]), b[1] = _mm256_unpackhi_epi32(a[0], a[1]);
    b[2] = _mm256_unpacklo_epi32(a[2], a[3]), b[3] = _mm256_unpackhi_epi32(a[2], a[3]);
    to[0] = _mm256_unpacklo_epi64(b[0], b[2]), to[1] = _mm256_unpackhi_epi64(b[0], b[2]);
    to[2] = _mm256_unpacklo_epi64(b[1], b[3]), to[3] = _mm256_unpackhi_epi64(b[1], b[3]);
}

static inline vec vec_halves(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

static inline vec vec_bfloats(const uint8_t *p)
{
    __m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
}

static inline float vec_sum(vec x)
{
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

static inline float vec_largest(vec x)
{
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

static inline vec vec_swap_pairs(vec x) { return _mm256_permute_ps(x, 0xb1); }
static inline vec vec_evens(vec x) { return _mm256_moveldup_ps(x); }
static inline vec vec_odds(vec x) { return _mm256_movehdup_ps(x); }
static inline vec vec_fma_alternate(vec a, vec b, vec c) { return _mm256_fmaddsub_ps(a, b, c); }

static inline vec vec_doubled(const float *p, int64_t n)
{
    __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    return _mm256_permutevar8x32_ps(vec_load_part(p, n), twice);
}

/* The 8 x 8 transpose, in place. */
static inline __attribute__((always_inline)) void vec_transpose(vec x[LANES])
{
    vec d[LANES];
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i += 4) {
        vec a = _mm256_unpacklo_ps(x[i], x[i + 1]), b = _mm256_unpackhi_ps(x[i], x[i + 1]);
        vec c = _mm256_unpacklo_ps(x[i + 2], x[i + 3]), e = _mm256_unpackhi_ps(x[i + 2], x[i + 3]);
        d[i] = _mm256_shuffle_ps(a, c, 0x44);
        d[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        d[i + 2] = _mm256_shuffle_ps(b, e, 0x44);
        d[i + 3] = _mm256_shuffle_ps(b, e, 0xee);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2f128_ps(d[i], d[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(d[i], d[i + 4], 0x31);
    }
}
