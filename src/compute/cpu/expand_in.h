/* expand_in: stored weights to float32 over `vec`, the bits of dtype_to_f32 (block layouts: dtype.c).
 *
 * Codes are unpacked sixteen at a time as signed bytes; then each becomes a float, and product and sum are
 * rounded one after the other, as the definition has it (no fused multiply-add here). */

enum { SIXTEEN = 16 / LANES }; /* vectors in sixteen values */

static inline __m128i bytes16(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }

static inline __m128i bits16(__m128i x, int shift, int mask) /* of each byte */
{
    return _mm_and_si128(_mm_srli_epi16(x, shift), _mm_set1_epi8((char)mask));
}

static inline float half_at(const uint8_t *p)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(p[0] | p[1] << 8)));
}

static inline void put_scaled(float *to, __m128i codes, float d) /* d * q */
{
#pragma GCC unroll 2
    for (int i = 0; i < SIXTEEN; i++) {
        vec_store(to + i * LANES, vec_mul(vec_all(d), vec_codes(codes, i)));
    }
}

static inline void put_raised(float *to, __m128i codes, float d, float m) /* d * q + m */
{
#pragma GCC unroll 2
    for (int i = 0; i < SIXTEEN; i++) {
        vec product = vec_mul(vec_all(d), vec_codes(codes, i));
        vec_store(to + i * LANES, vec_add(product, vec_all(m)));
    }
}

static void expand_f16(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) vec_store(to + i, vec_halves(p + 2 * i));
    if (i < n) dtype_to_f32(DTYPE_F16, to + i, p + 2 * i, n - i);
}

static void expand_bf16(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) vec_store(to + i, vec_bfloats(p + 2 * i));
    if (i < n) dtype_to_f32(DTYPE_BF16, to + i, p + 2 * i, n - i);
}

static void expand_q4_0(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    for (; n > 0; n -= 32, to += 32, p += 18) {
        float d = half_at(p);
        __m128i q = bytes16(p + 2), eight = _mm_set1_epi8(8);
        put_scaled(to, _mm_sub_epi8(bits16(q, 0, 15), eight), d);
        put_scaled(to + 16, _mm_sub_epi8(bits16(q, 4, 15), eight), d);
    }
}

static void expand_q4_1(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    for (; n > 0; n -= 32, to += 32, p += 20) {
        float d = half_at(p), m = half_at(p + 2);
        __m128i q = bytes16(p + 4);
        put_raised(to, bits16(q, 0, 15), d, m);
        put_raised(to + 16, bits16(q, 4, 15), d, m);
    }
}

/* Bit i of two bytes as bit 4 of byte i. */
static inline __m128i fifth_bits(const uint8_t *p)
{
    __m128i x = _mm_shuffle_epi8(_mm_cvtsi32_si128(p[0] | p[1] << 8),
                                 _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));
    __m128i bit = _mm_set1_epi64x((long long)0x8040201008040201ull);
    return _mm_and_si128(_mm_cmpeq_epi8(_mm_and_si128(x, bit), bit), _mm_set1_epi8(16));
}

static void expand_q5_0(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    for (; n > 0; n -= 32, to += 32, p += 22) {
        float d = half_at(p);
        __m128i q = bytes16(p + 6), sixteen = _mm_set1_epi8(16);
        __m128i low = _mm_or_si128(bits16(q, 0, 15), fifth_bits(p + 2));
        __m128i high = _mm_or_si128(bits16(q, 4, 15), fifth_bits(p + 4));
        put_scaled(to, _mm_sub_epi8(low, sixteen), d);
        put_scaled(to + 16, _mm_sub_epi8(high, sixteen), d);
    }
}

static void expand_q5_1(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    for (; n > 0; n -= 32, to += 32, p += 24) {
        float d = half_at(p), m = half_at(p + 2);
        __m128i q = bytes16(p + 8);
        put_raised(to, _mm_or_si128(bits16(q, 0, 15), fifth_bits(p + 4)), d, m);
        put_raised(to + 16, _mm_or_si128(bits16(q, 4, 15), fifth_bits(p + 6)), d, m);
    }
}

static void expand_q8_0(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    for (; n > 0; n -= 32, to += 32, p += 34) {
        float d = half_at(p);
        put_scaled(to, bytes16(p + 2), d);
        put_scaled(to + 16, bytes16(p + 18), d);
    }
}

static inline __m128i iq4_codes(__m128i x)
{
    const __m128i table =
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
    return _mm_shuffle_epi8(table, x);
}

static void expand_iq4_nl(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    for (; n > 0; n -= 32, to += 32, p += 18) {
        float d = half_at(p);
        __m128i q = bytes16(p + 2);
        put_scaled(to, iq4_codes(bits16(q, 0, 15)), d);
        put_scaled(to + 16, iq4_codes(bits16(q, 4, 15)), d);
    }
}

static void expand_iq4_xs(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    for (; n > 0; n -= 256, to += 256, p += 136) {
        float d = half_at(p);
        int upper = p[2] | p[3] << 8;
        for (int j = 0; j < 8; j++) {
            int s = (p[4 + j / 2] >> (4 * (j % 2)) & 15) | (upper >> (2 * j) & 3) << 4;
            float scale = d * (float)(s - 32);
            __m128i q = bytes16(p + 8 + 16 * j);
            put_scaled(to + 32 * j, iq4_codes(bits16(q, 0, 15)), scale);
            put_scaled(to + 32 * j + 16, iq4_codes(bits16(q, 4, 15)), scale);
        }
    }
}

/* The two bits of group j (16 values) of Q2_K and Q3_K. */
static inline __m128i two_bits16(const uint8_t *qs, int j)
{
    return bits16(bytes16(qs + 32 * (j / 8) + 16 * (j % 2)), 2 * (j / 2 % 4), 3);
}

static void expand_q2_k(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    for (; n > 0; n -= 256, to += 256, p += 84) {
        float d = half_at(p + 80), m = half_at(p + 82);
        for (int j = 0; j < 16; j++) {
            float least = m * (float)(p[j] >> 4);
            put_raised(to + 16 * j, two_bits16(p + 16, j), d * (float)(p[j] & 15), -least);
        }
    }
}

static void expand_q3_k(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    for (; n > 0; n -= 256, to += 256, p += 110) {
        const uint8_t *s = p + 96;
        float d = half_at(p + 108);
        for (int j = 0; j < 16; j++) {
            int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
            int high = s[8 + j % 4] >> (2 * (j / 4)) & 3;
            __m128i bit = _mm_set1_epi8((char)(1 << j / 2));
            __m128i clear = _mm_andnot_si128(bytes16(p + 16 * (j % 2)), bit);
            __m128i four = _mm_and_si128(_mm_cmpeq_epi8(clear, bit), _mm_set1_epi8(4));
            put_scaled(to + 16 * j, _mm_sub_epi8(two_bits16(p + 32, j), four),
                       d * (float)((low | high << 4) - 32));
        }
    }
}

/* Eight scales times d, then eight mins times -m, of the 12 packed bytes of Q4_K and Q5_K. */
static inline void k_scales(float to[16], const uint8_t *p, float d, float m)
{
    uint32_t w[3], s[4];
    memcpy(w, p, sizeof w);
    s[0] = w[0] & 0x3f3f3f3f;
    s[1] = (w[2] & 0x0f0f0f0f) | (w[0] >> 6 & 0x03030303) << 4;
    s[2] = w[1] & 0x3f3f3f3f;
    s[3] = (w[2] >> 4 & 0x0f0f0f0f) | (w[1] >> 6 & 0x03030303) << 4;
    uint8_t bytes[16];
    memcpy(bytes, s, sizeof bytes);
    put_scaled(to, bytes16(bytes), 1);
    for (int i = 0; i < 8; i++) to[i] = d * to[i], to[8 + i] = -(m * to[8 + i]);
}

static void expand_q4_k(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    for (; n > 0; n -= 256, to += 256, p += 144) {
        float s[16];
        k_scales(s, p + 4, half_at(p), half_at(p + 2));
        for (int j = 0; j < 8; j++) {
            const uint8_t *qs = p + 16 + 32 * (j / 2);
            put_raised(to + 32 * j, bits16(bytes16(qs), 4 * (j % 2), 15), s[j], s[8 + j]);
            put_raised(to + 32 * j + 16, bits16(bytes16(qs + 16), 4 * (j % 2), 15), s[j], s[8 + j]);
        }
    }
}

static void expand_q5_k(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    for (; n > 0; n -= 256, to += 256, p += 176) {
        float s[16];
        k_scales(s, p + 4, half_at(p), half_at(p + 2));
        for (int j = 0; j < 8; j++) {
            __m128i bit = _mm_set1_epi8((char)(1 << j));
            for (int i = 0; i < 32; i += 16) {
                __m128i set = _mm_cmpeq_epi8(_mm_and_si128(bytes16(p + 16 + i), bit), bit);
                __m128i low = bits16(bytes16(p + 48 + 32 * (j / 2) + i), 4 * (j % 2), 15);
                __m128i q = _mm_or_si128(low, _mm_and_si128(set, _mm_set1_epi8(16)));
                put_raised(to + 32 * j + i, q, s[j], s[8 + j]);
            }
        }
    }
}

static void expand_q6_k(float *to, const void *from, int64_t n)
{
    const uint8_t *p = from;
    for (; n > 0; n -= 256, to += 256, p += 210) {
        float s[16];
        put_scaled(s, bytes16(p + 192), half_at(p + 208));
        for (int j = 0; j < 16; j++) { /* sixteen values: half j / 8, quarter j / 2 % 4 of it */
            int half = j / 8, k = j / 2 % 4, l = 16 * (j % 2);
            __m128i low = bytes16(p + 64 * half + 32 * (k % 2) + l);
            __m128i high = bits16(bytes16(p + 128 + 32 * half + l), 2 * k, 3);
            __m128i q = _mm_or_si128(bits16(low, 4 * (k / 2), 15), _mm_slli_epi16(high, 4));
            put_scaled(to + 16 * j, _mm_sub_epi8(q, _mm_set1_epi8(32)), s[j]);
        }
    }
}
