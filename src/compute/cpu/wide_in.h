/* wide_in: sixteen rows of a stored weight at once; included after expand_in.h.
 *
 * The bytes of a block are transposed as they are stored, all rows side by side: sixteen bytes that
 * hold one value (or two, or a bit of eight) of each row. So codes are taken apart for all rows in
 * the same instructions. Codes, scales and leasts are those of the row-by-row functions. */

typedef struct code_rows { /* of EXPAND_MAX values of sixteen rows */
    int8_t code[EXPAND_MAX * GROUP] __attribute__((aligned(64))); /* [value][row] */
    float scale[EXPAND_MAX], least[EXPAND_MAX];                   /* [group][row] */
} code_rows;

enum { TURNED = GROUP * GROUP };

static inline int half_bits(const uint8_t *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return half;
}

/* to [8] = the 16-bit floats at p, p + stride, .. */
static inline __attribute__((always_inline)) void eight_halves(float *to, const uint8_t *p,
                                                               int64_t stride)
{
    __m128i x = _mm_cvtsi32_si128(half_bits(p));
    x = _mm_insert_epi16(x, half_bits(p + stride), 1);
    x = _mm_insert_epi16(x, half_bits(p + 2 * stride), 2);
    x = _mm_insert_epi16(x, half_bits(p + 3 * stride), 3);
    x = _mm_insert_epi16(x, half_bits(p + 4 * stride), 4);
    x = _mm_insert_epi16(x, half_bits(p + 5 * stride), 5);
    x = _mm_insert_epi16(x, half_bits(p + 6 * stride), 6);
    x = _mm_insert_epi16(x, half_bits(p + 7 * stride), 7);
    _mm256_storeu_ps(to, _mm256_cvtph_ps(x));
}

/* to [row] = the 16-bit float at p + row * stride. */
static inline void halves_at(float *to, const uint8_t *p, int64_t stride)
{
    eight_halves(to, p, stride);
    eight_halves(to + 8, p + 8 * stride, stride);
}

static inline void twice(float *scale) /* both groups of 32 values have one */
{
    for (int i = 0; i < GROUP; i += LANES) vec_store(scale + GROUP + i, vec_load(scale + i));
}

/* Four-bit codes of a block of 32 values: bytes at p, lower halves first. */
static inline __attribute__((always_inline)) void turn_nibbles(int8_t *low, int8_t *high,
                                                               const uint8_t *p, int64_t stride)
{
    int8_t both[TURNED] __attribute__((aligned(64)));
    bytes_turn(both, p, stride);
    for (int i = 0; i < TURNED; i += BYTES) {
        const bytes x = bytes_load(both + i), four = bytes_all(15);
        bytes_store(low + i, bytes_and(x, four));
        bytes_store(high + i, bytes_and(bytes_right(x, 4), four));
    }
}

static inline void lower(int8_t *code, int n, int by)
{
    for (int i = 0; i < n; i += BYTES) {
        bytes_store(code + i, bytes_sub(bytes_load(code + i), bytes_all(by)));
    }
}

static void wide_q4_0(code_rows *to, const uint8_t *p, int64_t stride, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, p += 18) {
        int8_t *code = to->code + i * GROUP;
        halves_at(to->scale + i, p, stride);
        twice(to->scale + i);
        turn_nibbles(code, code + TURNED, p + 2, stride);
        lower(code, 2 * TURNED, 8);
    }
}

static void wide_q4_1(code_rows *to, const uint8_t *p, int64_t stride, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, p += 20) {
        int8_t *code = to->code + i * GROUP;
        halves_at(to->scale + i, p, stride);
        halves_at(to->least + i, p + 2, stride);
        twice(to->scale + i);
        twice(to->least + i);
        turn_nibbles(code, code + TURNED, p + 4, stride);
    }
}

/* code [32][16] gains 16 where the value's bit of the 32 at p is set. */
static inline __attribute__((always_inline)) void add_fifth(int8_t *code, const uint8_t *p,
                                                            int64_t stride)
{
    int8_t bits[TURNED] __attribute__((aligned(64)));
    bytes_turn(bits, p, stride);
    for (int i = 0; i < 2 * TURNED; i += BYTES) {
        const int value = i / GROUP;
        const bytes eight = bytes_repeat(bits + value / 8 * GROUP);
        const bytes set = bytes_where(eight, bytes_bits(value % 8));
        bytes_store(code + i, bytes_or(bytes_load(code + i), bytes_and(set, bytes_all(16))));
    }
}

static void wide_q5_0(code_rows *to, const uint8_t *p, int64_t stride, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, p += 22) {
        int8_t *code = to->code + i * GROUP;
        halves_at(to->scale + i, p, stride);
        twice(to->scale + i);
        turn_nibbles(code, code + TURNED, p + 6, stride);
        add_fifth(code, p + 2, stride);
        lower(code, 2 * TURNED, 16);
    }
}

static void wide_q5_1(code_rows *to, const uint8_t *p, int64_t stride, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, p += 24) {
        int8_t *code = to->code + i * GROUP;
        halves_at(to->scale + i, p, stride);
        halves_at(to->least + i, p + 2, stride);
        twice(to->scale + i);
        twice(to->least + i);
        turn_nibbles(code, code + TURNED, p + 8, stride);
        add_fifth(code, p + 4, stride);
    }
}

static void wide_q8_0(code_rows *to, const uint8_t *p, int64_t stride, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, p += 34) {
        halves_at(to->scale + i, p, stride);
        twice(to->scale + i);
        bytes_turn(to->code + i * GROUP, p + 2, stride);
        bytes_turn(to->code + i * GROUP + TURNED, p + 18, stride);
    }
}

static inline __m128i or16(__m128i low, __m128i high, int shift)
{
    return _mm_or_si128(low, _mm_slli_epi16(high, shift));
}

/* Eight scales and leasts of Q4_K and Q5_K, each for two groups; the packing: dtype.c, k_scale. */
static inline void wide_k_scales(code_rows *to, int64_t first, const uint8_t *p, int64_t stride)
{
    float d[GROUP], m[GROUP];
    int8_t s[TURNED] __attribute__((aligned(64)));
    halves_at(d, p, stride);
    halves_at(m, p + 2, stride);
    bytes_turn(s, p + 4, stride);
    for (int j = 0; j < 8; j++) {
        const __m128i a = bytes16(s + j * 16), b = bytes16(s + (j + 4) * 16);
        const __m128i before = bytes16(s + (j < 4 ? j : j - 4) * 16);
        const __m128i scale =
            j < 4 ? bits16(a, 0, 63) : or16(bits16(b, 0, 15), bits16(before, 6, 3), 4);
        const __m128i least = j < 4 ? bits16(b, 0, 63) : or16(bits16(b, 4, 15), bits16(a, 6, 3), 4);
        int8_t byte[2][16];
        put_codes(byte[0], scale);
        put_codes(byte[1], least);
        for (int i = 0; i < GROUP; i += LANES) {
            const int64_t at = first + 2 * j * GROUP + i;
            vec x = vec_mul(vec_load(d + i), vec_codes_at(byte[0] + i));
            vec y = vec_sub(vec_zero(), vec_mul(vec_load(m + i), vec_codes_at(byte[1] + i)));
            vec_store(to->scale + at, x);
            vec_store(to->scale + at + GROUP, x);
            vec_store(to->least + at, y);
            vec_store(to->least + at + GROUP, y);
        }
    }
}

static void wide_q4_k(code_rows *to, const uint8_t *p, int64_t stride, int64_t n)
{
    for (int64_t i = 0; i < n; i += 256, p += 144) {
        wide_k_scales(to, i, p, stride);
        for (int t = 0; t < 8; t++) {
            int8_t *low = to->code + (i + 64 * (t / 2) + 16 * (t % 2)) * GROUP;
            turn_nibbles(low, low + 2 * TURNED, p + 16 + 16 * t, stride);
        }
    }
}

static void wide_q5_k(code_rows *to, const uint8_t *p, int64_t stride, int64_t n)
{
    for (int64_t i = 0; i < n; i += 256, p += 176) {
        int8_t bits[2 * TURNED] __attribute__((aligned(64)));
        wide_k_scales(to, i, p, stride);
        bytes_turn(bits, p + 16, stride);
        bytes_turn(bits + TURNED, p + 32, stride);
        for (int t = 0; t < 8; t++) {
            int8_t *low = to->code + (i + 64 * (t / 2) + 16 * (t % 2)) * GROUP;
            turn_nibbles(low, low + 2 * TURNED, p + 48 + 16 * t, stride);
        }
        for (int at = 0; at < 256 * GROUP; at += BYTES) {
            const int value = at / GROUP;
            const bytes set = bytes_where(bytes_load(bits + value % 32 * GROUP + at % GROUP),
                                          bytes_all(1 << value / 32));
            int8_t *code = to->code + i * GROUP + at;
            bytes_store(code, bytes_or(bytes_load(code), bytes_and(set, bytes_all(16))));
        }
    }
}

static void wide_q6_k(code_rows *to, const uint8_t *p, int64_t stride, int64_t n)
{
    for (int64_t i = 0; i < n; i += 256, p += 210) {
        float d[GROUP];
        int8_t s[TURNED] __attribute__((aligned(64))), high[TURNED] __attribute__((aligned(64)));
        halves_at(d, p + 208, stride);
        bytes_turn(s, p + 192, stride);
        for (int at = 0; at < TURNED; at += LANES) {
            vec x = vec_mul(vec_load(d + at % GROUP), vec_codes_at(s + at));
            vec_store(to->scale + i + at, x);
        }
        for (int t = 0; t < 8; t++) { /* half of the block, 32 of its 64 bytes, 16 of these */
            const int half = t / 4, k = t / 2 % 2, l = 16 * (t % 2);
            int8_t *low = to->code + (i + 128 * half + 32 * k + l) * GROUP;
            turn_nibbles(low, low + 4 * TURNED, p + 16 * t, stride);
            bytes_turn(high, p + 128 + 32 * half + l, stride);
            for (int at = 0; at < TURNED; at += BYTES) {
                const bytes x = bytes_load(high + at), two = bytes_all(3), by = bytes_all(32);
                bytes a = bytes_and(bytes_right(x, 2 * k), two);
                bytes b = bytes_and(bytes_right(x, 2 * k + 4), two);
                a = bytes_or(bytes_load(low + at), bytes_left(a, 4));
                b = bytes_or(bytes_load(low + 4 * TURNED + at), bytes_left(b, 4));
                bytes_store(low + at, bytes_sub(a, by));
                bytes_store(low + 4 * TURNED + at, bytes_sub(b, by));
            }
        }
    }
}

static const struct {
    void (*unpack)(code_rows *to, const uint8_t *p, int64_t stride,
                   int64_t n); /* NULL: row by row */
} wide[DTYPE_COUNT] = {
    [DTYPE_Q4_0] = {wide_q4_0}, [DTYPE_Q4_1] = {wide_q4_1}, [DTYPE_Q5_0] = {wide_q5_0},
    [DTYPE_Q5_1] = {wide_q5_1}, [DTYPE_Q8_0] = {wide_q8_0}, [DTYPE_Q4_K] = {wide_q4_k},
    [DTYPE_Q5_K] = {wide_q5_k}, [DTYPE_Q6_K] = {wide_q6_k},
};
