/* wide_in: a stored weight for LANES rows at once, a row a lane; included after expand_in.h.
 *
 * Four bytes of each row are a vector of words, so nothing but whole words is ever transposed. What
 * comes out has the codes of four successive values in the bytes of a word, whatever the format:
 * from there on all formats are one (pack_in.h). Codes are never negative here: a format takes its
 * `minus` off later. Scales and leasts are those of the row-by-row functions. */

typedef struct code_rows { /* of EXPAND_MAX values of sixteen rows */
    uint32_t code[EXPAND_MAX / 4 * GROUP] __attribute__((aligned(64))); /* [4 values][row] */
    float scale[EXPAND_MAX] __attribute__((aligned(64)));               /* [group][row] */
    float least[EXPAND_MAX] __attribute__((aligned(64)));               /* [group][row] */
} code_rows;

/* Of the first of LANES rows: words of values 4 i .. at [i * GROUP], scale and least of group g at
 * [g * GROUP]. */
typedef struct lanes {
    uint32_t *code;
    float *scale, *least;
} lanes;

/* x for `groups` groups. */
static inline __attribute__((always_inline)) void fill(float *to, vec x, int groups)
{
    for (int i = 0; i < groups; i++) vec_store(to + i * GROUP, x);
}

static inline void put_words(const lanes *to, int i, words x)
{
    words_store(to->code + i * GROUP, x);
}

static inline void next_values(lanes *to, int n)
{
    to->code += n / 4 * GROUP;
    to->scale += n / GROUP * GROUP;
    to->least += n / GROUP * GROUP;
}

static inline words low_four(words x) { return words_and(x, words_all(0x0f0f0f0f)); }
static inline words low_two(words x) { return words_and(x, words_all(0x03030303)); }
static inline words high_four(words x) { return low_four(words_right(x, 4)); }

/* Bits to the left (n > 0) or right. */
static inline words shifted(words x, int n)
{
    return n > 0 ? words_left(x, n) : n < 0 ? words_right(x, -n) : x;
}

/* A block of 32 values as it is stored, of LANES rows. */
typedef struct block_rows {
    words x[8], bits; /* bit i of `bits`: the fifth of value i */
    vec scale, least;
} block_rows;

static inline __attribute__((always_inline)) void block_read(block_rows *b, block_at at,
                                                             const dtype type)
{
    const bool shifted = type == DTYPE_Q4_1 || type == DTYPE_Q5_1;
    const bool fives = type == DTYPE_Q5_0 || type == DTYPE_Q5_1;
    const int first = shifted ? 4 : 2, codes = fives ? first + 4 : first;
    if (shifted) {
        const words head = word_at(at, 0);
        b->scale = words_half(head), b->least = words_half(words_right(head, 16));
    } else {
        b->scale = half_of(at, 0, type == DTYPE_Q4_0 ? 4 : type == DTYPE_Q5_0 ? 5 : 8);
        b->least = vec_zero();
    }
    if (fives) b->bits = word_at(at, first);
    turn(b->x, at, codes);
    if (type == DTYPE_Q8_0) turn(b->x + 4, at, codes + 16);
}

/* Codes of values 4 i .. 4 i + 3. Lower halves of the bytes come first. */
static inline __attribute__((always_inline)) words block_codes(const block_rows *b, const int i,
                                                               const dtype type)
{
    static const uint8_t byte[4][16] = {
        /* byte k of every word, four times */
        {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12},
        {1, 1, 1, 1, 5, 5, 5, 5, 9, 9, 9, 9, 13, 13, 13, 13},
        {2, 2, 2, 2, 6, 6, 6, 6, 10, 10, 10, 10, 14, 14, 14, 14},
        {3, 3, 3, 3, 7, 7, 7, 7, 11, 11, 11, 11, 15, 15, 15, 15},
    };
    if (type == DTYPE_Q8_0) return words_flip(b->x[i], words_all(0x80808080));
    const words low = i < 4 ? low_four(b->x[i % 4]) : high_four(b->x[i % 4]);
    if (type == DTYPE_Q4_0 || type == DTYPE_Q4_1) return low;
    const words eight = words_order(b->bits, byte[i / 2]);
    const words where = words_all(i % 2 ? 0x80402010 : 0x08040201);
    return words_add_where(low, words_all(0x10101010), eight, where);
}

static inline __attribute__((always_inline)) void wide_block(lanes to, block_at at, int64_t n,
                                                             const dtype type)
{
    const int bytes = dtype_get(type)->block_bytes;
    for (; n > 0; n -= 32, next_block(&at, bytes), next_values(&to, 32)) {
        block_rows b;
        block_read(&b, at, type);
        fill(to.scale, b.scale, 2);
        fill(to.least, b.least, 2);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) put_words(&to, i, block_codes(&b, i, type));
    }
}

static void wide_q4_0(lanes to, block_at at, int64_t n) { wide_block(to, at, n, DTYPE_Q4_0); }
static void wide_q4_1(lanes to, block_at at, int64_t n) { wide_block(to, at, n, DTYPE_Q4_1); }
static void wide_q5_0(lanes to, block_at at, int64_t n) { wide_block(to, at, n, DTYPE_Q5_0); }
static void wide_q5_1(lanes to, block_at at, int64_t n) { wide_block(to, at, n, DTYPE_Q5_1); }
static void wide_q8_0(lanes to, block_at at, int64_t n) { wide_block(to, at, n, DTYPE_Q8_0); }

/* n signed bytes as codes less 128. */
static inline __attribute__((always_inline)) void put_signed(const lanes *to, block_at from,
                                                             int byte, int n)
{
    for (int at = 0; at < n / 16; at++) {
        words x[4];
        turn(x, from, byte + 16 * at);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            put_words(to, 4 * at + i, words_flip(x[i], words_all(0x80808080)));
        }
    }
}

/* 32 codes of IQ4, plus 128. */
static inline __attribute__((always_inline)) void put_iq4(const lanes *to, block_at at, int byte)
{
    static const uint8_t table[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                      129, 141, 153, 166, 181, 197, 217, 241};
    words x[4];
    turn(x, at, byte);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        put_words(to, i, words_look(table, low_four(x[i])));
        put_words(to, 4 + i, words_look(table, high_four(x[i])));
    }
}

static void wide_iq4_nl(lanes to, block_at at, int64_t n)
{
    for (; n > 0; n -= 32, next_block(&at, 18), next_values(&to, 32)) {
        fill(to.scale, half_of(at, 0, 4), 2);
        put_iq4(&to, at, 2);
    }
}

/* Byte i of the words, 0 to 255. */
static inline vec byte_of(words x, int i)
{
    return words_float(words_and(words_right(x, 8 * i), words_all(255)));
}

static void wide_iq4_xs(lanes to, block_at at, int64_t n)
{
    for (; n > 0; n -= 256, next_block(&at, 136)) {
        const words head = word_at(at, 0), low = word_at(at, 4);
        const vec d = words_half(head);
        for (int j = 0; j < 8; j++, next_values(&to, 32)) {
            const words two = words_and(words_right(head, 16 + 2 * j), words_all(3));
            const words four = words_and(words_right(low, 4 * j), words_all(15));
            const vec s = words_float(words_or(four, words_left(two, 4)));
            fill(to.scale, vec_mul(d, vec_sub(s, vec_all(32))), 2);
            put_iq4(&to, at, 8 + 16 * j);
        }
    }
}

/* Eight scales and leasts of Q4_K and Q5_K, each for two groups; the packing: dtype.c, k_scale. */
static inline void wide_k_scales(const lanes *to, block_at at)
{
    words x[4];
    turn(x, at, 0);
    const vec d = words_half(x[0]), m = words_half(words_right(x[0], 16));
    const words six = words_all(0x3f3f3f3f), four = words_all(0x0f0f0f0f);
    const words byte[4] = {
        words_and(x[1], six),
        words_or(words_and(x[3], four), words_left(low_two(words_right(x[1], 6)), 4)),
        words_and(x[2], six),
        words_or(high_four(x[3]), words_left(low_two(words_right(x[2], 6)), 4)),
    };
    for (int j = 0; j < 8; j++) {
        const vec least = vec_mul(m, byte_of(byte[2 + j / 4], j % 4));
        fill(to->scale + 2 * j * GROUP, vec_mul(d, byte_of(byte[j / 4], j % 4)), 2);
        fill(to->least + 2 * j * GROUP, vec_sub(vec_zero(), least), 2);
    }
}

static void wide_q4_k(lanes to, block_at at, int64_t n)
{
    for (; n > 0; n -= 256, next_block(&at, 144), next_values(&to, 256)) {
        wide_k_scales(&to, at);
        for (int t = 0; t < 8; t++) { /* 16 of the 32 bytes that hold 64 values */
            words x[4];
            turn(x, at, 16 + 16 * t);
            const int first = 16 * (t / 2) + 4 * (t % 2);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                put_words(&to, first + i, low_four(x[i]));
                put_words(&to, first + 8 + i, high_four(x[i]));
            }
        }
    }
}

static void wide_q5_k(lanes to, block_at at, int64_t n)
{
    for (; n > 0; n -= 256, next_block(&at, 176), next_values(&to, 256)) {
        words high[8];
        wide_k_scales(&to, at);
        turn(high, at, 16);
        turn(high + 4, at, 32);
        const words fifth = words_all(0x10101010);
#pragma GCC unroll 8
        for (int t = 0; t < 8; t++) {
            words x[4];
            turn(x, at, 48 + 16 * t);
            const int j = t / 2 * 2, first = 8 * j + 4 * (t % 2);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                const words bits = high[4 * (t % 2) + i];
                const words a = words_and(shifted(bits, 4 - j), fifth);
                const words b = words_and(shifted(bits, 3 - j), fifth);
                put_words(&to, first + i, words_or(low_four(x[i]), a));
                put_words(&to, first + 8 + i, words_or(high_four(x[i]), b));
            }
        }
    }
}

static void wide_q6_k(lanes to, block_at at, int64_t n)
{
    for (; n > 0; n -= 256, next_block(&at, 210), next_values(&to, 256)) {
        const vec d = half_of(at, 208, 52);
        words s[4], high[4], x[4];
        turn(s, at, 192);
        for (int j = 0; j < 16; j++) {
            const words flipped = words_flip(s[j / 4], words_all(0x80808080));
            fill(to.scale + j * GROUP, vec_mul(d, vec_sub(byte_of(flipped, j % 4), vec_all(128))),
                 1);
        }
        for (int t = 0; t < 4; t++) { /* half of the block, 16 of its 32 columns of bytes */
            const int half = t / 2, l = 16 * (t % 2);
            turn(high, at, 128 + 32 * half + l);
#pragma GCC unroll 2
            for (int k = 0; k < 2; k++) {
                turn(x, at, 64 * half + 32 * k + l);
                const int first = 32 * half + 8 * k + 4 * (t % 2);
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) {
                    const words two = words_all(0x30303030);
                    const words a = words_and(shifted(high[i], 4 - 2 * k), two);
                    const words b = words_and(shifted(high[i], -2 * k), two);
                    put_words(&to, first + i, words_or(low_four(x[i]), a));
                    put_words(&to, first + 16 + i, words_or(high_four(x[i]), b));
                }
            }
        }
    }
}

static void wide_q2_k(lanes to, block_at at, int64_t n)
{
    for (; n > 0; n -= 256, next_block(&at, 84), next_values(&to, 256)) {
        const words head = word_at(at, 80);
        const vec d = words_half(head), m = words_half(words_right(head, 16));
        words x[4];
        turn(x, at, 0);
        for (int j = 0; j < 16; j++) {
            const vec least = vec_mul(m, byte_of(high_four(x[j / 4]), j % 4));
            fill(to.scale + j * GROUP, vec_mul(d, byte_of(low_four(x[j / 4]), j % 4)), 1);
            fill(to.least + j * GROUP, vec_sub(vec_zero(), least), 1);
        }
        for (int t = 0; t < 4; t++) {
            turn(x, at, 16 + 16 * t);
            for (int i = 0; i < 16; i++) { /* two bits of word i % 4 */
                const int first = 32 * (t / 2) + 4 * (t % 2) + 8 * (i / 4) + i % 4;
                put_words(&to, first, low_two(words_right(x[i % 4], 2 * (i / 4))));
            }
        }
    }
}

static void wide_q3_k(lanes to, block_at at, int64_t n)
{
    for (; n > 0; n -= 256, next_block(&at, 110), next_values(&to, 256)) {
        const vec d = half_of(at, 108, 27);
        const words low[2] = {word_at(at, 96), word_at(at, 100)};
        const words upper = word_at(at, 104);
        for (int j = 0; j < 16; j++) {
            const words four = words_right(low[j / 4 % 2], 4 * (j / 8));
            const words two = words_left(low_two(words_right(upper, 2 * (j / 4))), 4);
            const vec s = byte_of(words_or(low_four(four), two), j % 4);
            fill(to.scale + j * GROUP, vec_mul(d, vec_sub(s, vec_all(32))), 1);
        }
        for (int t = 0; t < 4; t++) {
            words x[4], mask[4];
            turn(mask, at, 16 * (t % 2));
            turn(x, at, 32 + 16 * t);
            for (int i = 0; i < 16; i++) { /* its third bit is bit 4 (t / 2) + i / 4 of the mask */
                const int first = 32 * (t / 2) + 4 * (t % 2) + 8 * (i / 4) + i % 4;
                const words bit = words_right(mask[i % 4], 4 * (t / 2) + i / 4);
                const words third = words_left(words_and(bit, words_all(0x01010101)), 2);
                put_words(&to, first, words_or(low_two(words_right(x[i % 4], 2 * (i / 4))), third));
            }
        }
    }
}

/* Eight codes of NF4 out of four bytes, upper half first. */
static inline void put_nf4(const lanes *to, int i, words x)
{
    static const uint8_t twice[2][16] = {
        {0, 0, 1, 1, 4, 4, 5, 5, 8, 8, 9, 9, 12, 12, 13, 13},
        {2, 2, 3, 3, 6, 6, 7, 7, 10, 10, 11, 11, 14, 14, 15, 15},
    };
    for (int k = 0; k < 2; k++) {
        const words both = words_order(x, twice[k]);
        const words code = words_choose(words_all(0xff00ff00), both, words_right(both, 4));
        put_words(to, i + k, low_four(code));
    }
}

static void wide_nf4(lanes to, block_at at, int64_t n)
{
    for (; n > 0; n -= 64, next_block(&at, 36), next_values(&to, 64)) {
        fill(to.scale, words_bits(word_at(at, 0)), 4);
        for (int t = 0; t < 2; t++) {
            words x[4];
            turn(x, at, 4 + 16 * t);
            for (int i = 0; i < 4; i++) put_nf4(&to, 8 * t + 2 * i, x[i]);
        }
    }
}

static void wide_nf4_16(lanes to, block_at at, int64_t n)
{
    for (; n > 0; n -= 16, next_block(&at, 12), next_values(&to, 16)) {
        fill(to.scale, words_bits(word_at(at, 0)), 1);
        put_nf4(&to, 0, word_at(at, 4));
        put_nf4(&to, 2, word_at(at, 8));
    }
}

static void wide_int8(lanes to, block_at at, int64_t n)
{
    for (; n > 0; n -= 64, next_block(&at, 68), next_values(&to, 64)) {
        fill(to.scale, words_bits(word_at(at, 0)), 4);
        put_signed(&to, at, 4, 64);
    }
}

static void wide_int8_16(lanes to, block_at at, int64_t n)
{
    for (; n > 0; n -= 16, next_block(&at, 20), next_values(&to, 16)) {
        fill(to.scale, words_bits(word_at(at, 0)), 1);
        put_signed(&to, at, 4, 16);
    }
}

static const struct {
    void (*unpack)(lanes to, block_at at, int64_t n);
    int minus; /* of every code */
} wide[DTYPE_COUNT] = {
    [DTYPE_Q4_0] = {wide_q4_0, 8},       [DTYPE_Q4_1] = {wide_q4_1, 0},
    [DTYPE_Q5_0] = {wide_q5_0, 16},      [DTYPE_Q5_1] = {wide_q5_1, 0},
    [DTYPE_Q8_0] = {wide_q8_0, 128},     [DTYPE_Q2_K] = {wide_q2_k, 0},
    [DTYPE_Q3_K] = {wide_q3_k, 4},       [DTYPE_Q4_K] = {wide_q4_k, 0},
    [DTYPE_Q5_K] = {wide_q5_k, 0},       [DTYPE_Q6_K] = {wide_q6_k, 32},
    [DTYPE_IQ4_NL] = {wide_iq4_nl, 128}, [DTYPE_IQ4_XS] = {wide_iq4_xs, 128},
    [DTYPE_NF4] = {wide_nf4, 0},         [DTYPE_NF4_16] = {wide_nf4_16, 0},
    [DTYPE_INT8] = {wide_int8, 128},     [DTYPE_INT8_16] = {wide_int8_16, 128},
};
