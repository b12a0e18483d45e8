/* expand_in: stored weights to float32 over `vec`, the bits of dtype_to_f32 (block layouts:
 * dtype.c), row by row or sixteen rows at once, transposed into a panel.
 *
 * Every quantised value is scale * code (+ least), with one scale and one least for 16 values, and
 * a code that fits a signed byte. So a format is one function that unpacks codes, scales and
 * leasts; what follows is the same for all: product and sum, each rounded on its own, as the
 * definition has it (no fused multiply-add here). For a panel the bytes are transposed, which is
 * four times cheaper than floats. */

enum {
    GROUP = PACK_ROWS,   /* values that share a scale; also the rows packed at once: 16 */
    SIXTEEN = 16 / LANES /* vectors in sixteen values */
};

typedef struct codes { /* of one row: n codes; scale and least of group g at [g * GROUP] */
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
    to->code += groups * GROUP;
    to->scale += groups * GROUP;
    to->least += groups * GROUP;
}

static inline void put_two(codes *to, __m128i low, __m128i high, float scale, float least)
{
    put_codes(to->code, low);
    put_codes(to->code + GROUP, high);
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

static const struct {
    void (*unpack)(int8_t *code, float *scale, float *least, const uint8_t *p, int64_t n);
    bool has_least; /* adding a 0 would turn -0 into 0 */
} formats[DTYPE_COUNT] = {
    [DTYPE_Q4_0] = {unpack_q4_0, false},     [DTYPE_Q4_1] = {unpack_q4_1, true},
    [DTYPE_Q5_0] = {unpack_q5_0, false},     [DTYPE_Q5_1] = {unpack_q5_1, true},
    [DTYPE_Q8_0] = {unpack_q8_0, false},     [DTYPE_Q2_K] = {unpack_q2_k, true},
    [DTYPE_Q3_K] = {unpack_q3_k, false},     [DTYPE_Q4_K] = {unpack_q4_k, true},
    [DTYPE_Q5_K] = {unpack_q5_k, true},      [DTYPE_Q6_K] = {unpack_q6_k, false},
    [DTYPE_IQ4_NL] = {unpack_iq4_nl, false}, [DTYPE_IQ4_XS] = {unpack_iq4_xs, false},
};

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
            vec x =
                vec_mul(vec_all(scale[group]), vec_codes(bytes16(code + group), i % GROUP != 0));
            if (formats[type].has_least) x = vec_add(x, vec_all(least[group]));
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
                                                            const bool has_least)
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
            vec v = vec_mul(s, vec_codes(x[i], part));
            vec_store(to + i * ld + part * LANES, has_least ? vec_add(v, l) : v);
        }
    }
}

static void pack_codes(const pack_job *t)
{
    const dtype_info *info = dtype_get(t->type);
    const bool has_least = formats[t->type].has_least;
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
            if (has_least) put_group(to, t->ld, code + g, scale + g, least + g, true);
            else put_group(to, t->ld, code + g, scale + g, least + g, false);
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
