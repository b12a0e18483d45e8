/* gather_in: small things of several rows side by side; included by both vec headers. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

static inline int half_bits(const uint8_t *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return half;
}

static inline int word_bits(const uint8_t *p)
{
    int32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* 16 bits at p, p + stride, .. */
static inline __attribute__((always_inline)) __m128i eight_at(const uint8_t *p, int64_t stride)
{
    const uint8_t *q = p + 4 * stride;
    __m128i x = _mm_cvtsi32_si128(half_bits(p)), y = _mm_cvtsi32_si128(half_bits(q));
    x = _mm_insert_epi16(x, half_bits(p + stride), 1);
    y = _mm_insert_epi16(y, half_bits(q + stride), 1);
    x = _mm_insert_epi16(x, half_bits(p + 2 * stride), 2);
    y = _mm_insert_epi16(y, half_bits(q + 2 * stride), 2);
    x = _mm_insert_epi16(x, half_bits(p + 3 * stride), 3);
    y = _mm_insert_epi16(y, half_bits(q + 3 * stride), 3);
    return _mm_unpacklo_epi64(x, y);
}

/* 32 bits at p, p + stride, .. */
static inline __attribute__((always_inline)) __m128i four_at(const uint8_t *p, int64_t stride)
{
    __m128i x = _mm_cvtsi32_si128(word_bits(p));
    x = _mm_insert_epi32(x, word_bits(p + stride), 1);
    x = _mm_insert_epi32(x, word_bits(p + 2 * stride), 2);
    return _mm_insert_epi32(x, word_bits(p + 3 * stride), 3);
}
