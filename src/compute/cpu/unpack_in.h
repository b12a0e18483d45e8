/* unpack_in: one function a format, which unpacks codes, scales and leasts of a row (block layouts:
 * dtype.c). Every quantised value is scale * code (+ least), with one scale and one least for 16
 * values, and a code that fits a signed byte; NF4's code first becomes a value of its table. */

enum {
    GROUP = PACK_ROWS,           /* values that share a scale; also the rows packed at once: 16 */
    GROUP_BYTES = GROUP * GROUP, /* codes of a group of all sixteen rows */
    SIXTEEN = 16 / LANES         /* vectors in sixteen values */
};

/* Of one row: codes of group g at [g * GROUP_BYTES], scale and least at [g * GROUP]. */
typedef struct codes {
    int8_t *code;
    float *scale, *least;
} codes;

static inline __m128i bytes16(const void *p) { return _mm_loadu_si128((const __m128i *)p); }

static inline __m128i bits16(__m128i x, int shift, int mask) /* of each byte */
{
    return _mm_and_si128(_mm_srli_epi16(x, shift), _mm_set1_epi8((char)mask));
}

static inline float half_at(const uint8_t *p)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(p[0] | p[1] << 8)));
}

static inline void put_codes(int8_t *to, __m128i x) { _mm_storeu_si128((__m128i *)to, x); }

static inline void step(codes *to, int groups)
{
    to->code += groups * GROUP_BYTES;
    to->scale += groups * GROUP;
    to->least += groups * GROUP;
}

static inline void put_two(codes *to, __m128i low, __m128i high, float scale, float least)
{
    put_codes(to->code, low);
    put_codes(to->code + GROUP_BYTES, high);
    to->scale[0] = to->scale[GROUP] = scale;
    to->least[0] = to->least[GROUP] = least;
    step(to, 2);
}

static void unpack_q4_0(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    const __m128i eight = _mm_set1_epi8(8);
    for (; n > 0; n -= 32, p += 18) {
        __m128i q = bytes16(p + 2);
        put_two(&to, _mm_sub_epi8(bits16(q, 0, 15), eight), _mm_sub_epi8(bits16(q, 4, 15), eight),
                half_at(p), 0);
    }
}

static void unpack_q4_1(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 32, p += 20) {
        __m128i q = bytes16(p + 4);
        put_two(&to, bits16(q, 0, 15), bits16(q, 4, 15), half_at(p), half_at(p + 2));
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

static void unpack_q5_0(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    const __m128i sixteen = _mm_set1_epi8(16);
    for (; n > 0; n -= 32, p += 22) {
        __m128i q = bytes16(p + 6);
        __m128i low = _mm_or_si128(bits16(q, 0, 15), fifth_bits(p + 2));
        __m128i high = _mm_or_si128(bits16(q, 4, 15), fifth_bits(p + 4));
        put_two(&to, _mm_sub_epi8(low, sixteen), _mm_sub_epi8(high, sixteen), half_at(p), 0);
    }
}

static void unpack_q5_1(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 32, p += 24) {
        __m128i q = bytes16(p + 8);
        __m128i low = _mm_or_si128(bits16(q, 0, 15), fifth_bits(p + 4));
        __m128i high = _mm_or_si128(bits16(q, 4, 15), fifth_bits(p + 6));
        put_two(&to, low, high, half_at(p), half_at(p + 2));
    }
}

static void unpack_q8_0(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 32, p += 34) put_two(&to, bytes16(p + 2), bytes16(p + 18), half_at(p), 0);
}

static inline __m128i iq4_codes(__m128i x)
{
    const __m128i table =
        _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
    return _mm_shuffle_epi8(table, x);
}

static void unpack_iq4_nl(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 32, p += 18) {
        __m128i q = bytes16(p + 2);
        put_two(&to, iq4_codes(bits16(q, 0, 15)), iq4_codes(bits16(q, 4, 15)), half_at(p), 0);
    }
}

static void unpack_iq4_xs(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 256, p += 136) {
        float d = half_at(p);
        int upper = p[2] | p[3] << 8;
        for (int j = 0; j < 8; j++) {
            int s = (p[4 + j / 2] >> (4 * (j % 2)) & 15) | (upper >> (2 * j) & 3) << 4;
            __m128i q = bytes16(p + 8 + 16 * j);
            put_two(&to, iq4_codes(bits16(q, 0, 15)), iq4_codes(bits16(q, 4, 15)),
                    d * (float)(s - 32), 0);
        }
    }
}

/* The two bits of group j (16 values) of Q2_K and Q3_K. */
static inline __m128i two_bits16(const uint8_t *qs, int j)
{
    return bits16(bytes16(qs + 32 * (j / 8) + 16 * (j % 2)), 2 * (j / 2 % 4), 3);
}

static void unpack_q2_k(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 256, p += 84) {
        float d = half_at(p + 80), m = half_at(p + 82);
        for (int j = 0; j < 16; j++, step(&to, 1)) {
            float lowered = m * (float)(p[j] >> 4);
            put_codes(to.code, two_bits16(p + 16, j));
            to.scale[0] = d * (float)(p[j] & 15);
            to.least[0] = -lowered;
        }
    }
}

static void unpack_q3_k(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 256, p += 110) {
        const uint8_t *s = p + 96;
        float d = half_at(p + 108);
        for (int j = 0; j < 16; j++, step(&to, 1)) {
            int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
            int high = s[8 + j % 4] >> (2 * (j / 4)) & 3;
            __m128i bit = _mm_set1_epi8((char)(1 << j / 2));
            __m128i clear = _mm_andnot_si128(bytes16(p + 16 * (j % 2)), bit);
            __m128i four = _mm_and_si128(_mm_cmpeq_epi8(clear, bit), _mm_set1_epi8(4));
            put_codes(to.code, _mm_sub_epi8(two_bits16(p + 32, j), four));
            to.scale[0] = d * (float)((low | high << 4) - 32);
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
    for (int i = 0; i < 8; i++) {
        to[i] = d * (float)bytes[i];
        to[8 + i] = -(m * (float)bytes[8 + i]);
    }
}

static void unpack_q4_k(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 256, p += 144) {
        float s[16];
        k_scales(s, p + 4, half_at(p), half_at(p + 2));
        for (int j = 0; j < 8; j += 2) {
            __m128i a = bytes16(p + 16 + 16 * j), b = bytes16(p + 32 + 16 * j);
            put_two(&to, bits16(a, 0, 15), bits16(b, 0, 15), s[j], s[8 + j]);
            put_two(&to, bits16(a, 4, 15), bits16(b, 4, 15), s[j + 1], s[9 + j]);
        }
    }
}

static inline __m128i fifth_of_k(const uint8_t *p, int j) /* bit j of 16 bytes as bit 4 */
{
    __m128i bit = _mm_set1_epi8((char)(1 << j));
    return _mm_and_si128(_mm_cmpeq_epi8(_mm_and_si128(bytes16(p), bit), bit), _mm_set1_epi8(16));
}

static void unpack_q5_k(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 256, p += 176) {
        float s[16];
        k_scales(s, p + 4, half_at(p), half_at(p + 2));
        for (int j = 0; j < 8; j++) {
            const uint8_t *qs = p + 48 + 32 * (j / 2);
            __m128i low = bits16(bytes16(qs), 4 * (j % 2), 15);
            __m128i high = bits16(bytes16(qs + 16), 4 * (j % 2), 15);
            put_two(&to, _mm_or_si128(low, fifth_of_k(p + 16, j)),
                    _mm_or_si128(high, fifth_of_k(p + 32, j)), s[j], s[8 + j]);
        }
    }
}

static void unpack_q6_k(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 256, p += 210) {
        float d = half_at(p + 208);
        for (int j = 0; j < 16; j++, step(&to, 1)) { /* half j / 8, quarter j / 2 % 4 of it */
            int half = j / 8, k = j / 2 % 4, l = 16 * (j % 2);
            __m128i low = bytes16(p + 64 * half + 32 * (k % 2) + l);
            __m128i high = bits16(bytes16(p + 128 + 32 * half + l), 2 * k, 3);
            __m128i q = _mm_or_si128(bits16(low, 4 * (k / 2), 15), _mm_slli_epi16(high, 4));
            put_codes(to.code, _mm_sub_epi8(q, _mm_set1_epi8(32)));
            to.scale[0] = d * (float)(int8_t)p[192 + j];
        }
    }
}

static inline float float_at(const uint8_t *p)
{
    float x;
    memcpy(&x, p, 4);
    return x;
}

/* Sixteen codes of NF4, in order, out of eight bytes. */
static inline __m128i nf4_codes(const uint8_t *p)
{
    const __m128i x = _mm_loadl_epi64((const __m128i *)p);
    return _mm_unpacklo_epi8(bits16(x, 4, 15), bits16(x, 0, 15));
}

static void unpack_nf4(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 64, p += 36) {
        const float d = float_at(p);
        put_two(&to, nf4_codes(p + 4), nf4_codes(p + 12), d, 0);
        put_two(&to, nf4_codes(p + 20), nf4_codes(p + 28), d, 0);
    }
}

static void unpack_nf4_16(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 16, p += 12, step(&to, 1)) {
        put_codes(to.code, nf4_codes(p + 4));
        to.scale[0] = float_at(p);
    }
}

static void unpack_int8(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 64, p += 68) {
        const float d = float_at(p);
        put_two(&to, bytes16(p + 4), bytes16(p + 20), d, 0);
        put_two(&to, bytes16(p + 36), bytes16(p + 52), d, 0);
    }
}

static void unpack_int8_16(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n)
{
    codes to = {code, scale, least};
    for (; n > 0; n -= 16, p += 20, step(&to, 1)) {
        put_codes(to.code, bytes16(p + 4));
        to.scale[0] = float_at(p);
    }
}

/* What becomes of a code: times its scale; with `least` added; or first a value of NF4. */
typedef enum code_kind { CODE_SCALED, CODE_SHIFTED, CODE_NF4 } code_kind;

static const struct {
    void (*unpack)(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n);
    code_kind kind; /* shifted only where there is a least: adding a 0 would turn -0 into 0 */
} formats[DTYPE_COUNT] = {
    [DTYPE_Q4_0] = {unpack_q4_0, CODE_SCALED},     [DTYPE_Q4_1] = {unpack_q4_1, CODE_SHIFTED},
    [DTYPE_Q5_0] = {unpack_q5_0, CODE_SCALED},     [DTYPE_Q5_1] = {unpack_q5_1, CODE_SHIFTED},
    [DTYPE_Q8_0] = {unpack_q8_0, CODE_SCALED},     [DTYPE_Q2_K] = {unpack_q2_k, CODE_SHIFTED},
    [DTYPE_Q3_K] = {unpack_q3_k, CODE_SCALED},     [DTYPE_Q4_K] = {unpack_q4_k, CODE_SHIFTED},
    [DTYPE_Q5_K] = {unpack_q5_k, CODE_SHIFTED},    [DTYPE_Q6_K] = {unpack_q6_k, CODE_SCALED},
    [DTYPE_IQ4_NL] = {unpack_iq4_nl, CODE_SCALED}, [DTYPE_IQ4_XS] = {unpack_iq4_xs, CODE_SCALED},
    [DTYPE_NF4] = {unpack_nf4, CODE_NF4},          [DTYPE_NF4_16] = {unpack_nf4_16, CODE_NF4},
    [DTYPE_INT8] = {unpack_int8, CODE_SCALED},     [DTYPE_INT8_16] = {unpack_int8_16, CODE_SCALED},
};
