/* block_in: the words of a block of LANES rows, whether they lie apart or woven; included before
 * wide_in.h. */

/* Where a block of LANES rows is: rows apart, or woven (weave.c), from lane `lane` on. */
typedef struct block_at {
    const uint8_t *p;
    int64_t stride; /* from row to row; 0: woven */
    int lane;
} block_at;

static inline __attribute__((always_inline)) void next_block(block_at *b, int bytes)
{
    b->p += b->stride ? bytes : GROUP * bytes;
}

/* The words at byte `at` of the block. */
static inline __attribute__((always_inline)) words word_at(block_at b, int at)
{
    if (b.stride) return words_at(b.p + at, b.stride);
    return words_load((const uint32_t *)(const void *)b.p + at / 4 * GROUP + b.lane);
}

/* Four of them. */
static inline __attribute__((always_inline)) void turn(words to[4], block_at b, int at)
{
    if (b.stride) words_turn(to, b.p + at, b.stride);
    else {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) to[i] = word_at(b, at + 4 * i);
    }
}

/* The 16-bit floats at byte `at`, in a block of so many words. */
static inline __attribute__((always_inline)) vec half_of(block_at b, int at, int n_words)
{
    if (b.stride) return words_halves(b.p + at, b.stride);
    return vec_halves(b.p + 4 * GROUP * n_words + 2 * b.lane);
}
