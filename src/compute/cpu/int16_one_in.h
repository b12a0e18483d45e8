/* int16_one_in: one row of x alone, straight from the weights; included by int16_kernels_in.h. The
 * sums are those of its tile, bit for bit: integers in whatever order, then the same floats.
 *
 * Codes are taken as they are unpacked, never negative; what their format takes off is taken off
 * the sum: sum of q * (code - minus) = sum of q * code - minus * sum of q. */

/* Sums of one row against two vectors of outputs. */
typedef struct one_sums {
    vec code[2], least[2];
} one_sums;

/* acc[0] + acc[1] += four values of x times the codes of a vector of words. */
static inline __attribute__((always_inline)) void dot_codes(words acc[2], words codes,
                                                            const uint32_t *x)
{
    acc[0] = words_dot(acc[0], words_all(x[0]), words_and(codes, words_all(0x00ff00ff)));
    acc[1] = words_dot(acc[1], words_all(x[1]), words_right_halves(codes, 8));
}

/* What a group of values adds to vector j. */
static inline __attribute__((always_inline)) void
end_group(one_sums *s, int j, words acc[2], vec scale, vec least, const int16_job *t, int64_t k)
{
    const vec by = vec_mul(scale, vec_all(t->x_scale[k / INT16_BLOCK]));
    const vec x =
        vec_all(t->group == INT16_BLOCK ? t->x_sum[k / INT16_BLOCK] : t->x_sum_16[k / GROUP]);
    s->code[j] = vec_fma(words_float(words_add(acc[0], acc[1])), by, s->code[j]);
    if (t->has_least) s->least[j] = vec_fma(x, least, s->least[j]);
}

static inline words taken_off(const int16_job *t, int64_t k, int64_t group, int minus)
{
    uint32_t sum = (uint32_t)t->q_sum[k / GROUP];
    if (group == INT16_BLOCK) sum += (uint32_t)t->q_sum[k / GROUP + 1];
    return words_all(0u - (uint32_t)minus * sum);
}

/* Weights woven in blocks of 32 values: codes go from memory into the sums without leaving the
 * registers. */
static inline __attribute__((always_inline)) void one_blocks(one_sums *s, const int16_job *t,
                                                             const pack_job *from, const dtype type)
{
    const int bytes = dtype_get(type)->block_bytes;
    const uint32_t *x = t->x;
    block_at at[2] = {{from[0].from, 0, 0}, {from[0].from, 0, LANES}};
    if (SIXTEEN == 1) at[1] = (block_at){from[1].from, 0, 0};
    for (int64_t k = 0; k < t->to.k; k += INT16_BLOCK, x += INT16_BLOCK / 2) {
        const words off = taken_off(t, k, INT16_BLOCK, wide[type].minus);
        const unsigned char *soon = later(from, k / INT16_BLOCK * GROUP * bytes, FETCHED_AHEAD);
        const int64_t apart = SIXTEEN == 1 ? from[1].from - from[0].from : 0;
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            block_rows b;
            words acc[2] = {off, words_all(0)};
            block_read(&b, at[j], type);
            next_block(&at[j], bytes);
#pragma GCC unroll 8
            for (int i = 0; i < INT16_BLOCK / 4; i++) {
                const int line = GROUP * bytes * i / 512, end = GROUP * bytes * (i + 1) / 512;
                if (j < 2 / SIXTEEN) fetch_some(soon + j * apart + 64 * line, end - line);
                dot_codes(acc, block_codes(&b, i, type), x + 2 * i);
            }
            end_group(s, j, acc, b.scale, b.least, t, k);
        }
    }
}

/* All formats: a few values are unpacked to the first cache level, then read from there. */
static inline void one_rows(one_sums *s, const int16_job *t, const pack_job *from)
{
    code_rows w[2 / SIXTEEN];
    const int minus = wide[from->type].minus;
    for (int64_t p = 0; p < t->to.k; p += EXPAND_MAX) {
        const int64_t m = t->to.k - p < EXPAND_MAX ? t->to.k - p : EXPAND_MAX;
        const int64_t lines = bytes_of(from, m) / 64, done = bytes_of(from, p);
        for (int h = 0; h < 2 / SIXTEEN; h++) {
            fetch_some(later(&from[h], done, bytes_of(from, m)), lines);
            unpack_rows((lanes){w[h].code, w[h].scale, w[h].least}, &from[h], p, m);
        }
        for (int64_t g = 0; g < m; g += t->group) {
            const words off = taken_off(t, p + g, t->group, minus);
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++) {
                const code_rows *of = &w[j / SIXTEEN];
                const int lane = j % SIXTEEN * LANES;
                words acc[2] = {off, words_all(0)};
                for (int i = 0; i < t->group / 4; i++) {
                    dot_codes(acc, words_load(of->code + (g / 4 + i) * GROUP + lane),
                              t->x + (p + g) / 2 + 2 * i);
                }
                end_group(s, j, acc, vec_load(of->scale + g + lane), vec_load(of->least + g + lane),
                          t, p + g);
            }
        }
    }
}

static void one(const int16_job *t, const pack_job *from)
{
    one_sums s = {{vec_zero(), vec_zero()}, {vec_zero(), vec_zero()}};
    float sum[PANEL] __attribute__((aligned(64)));
    const dtype type = from[2 / SIXTEEN - 1].woven ? from->type : DTYPE_COUNT;
    switch (type) {
    case DTYPE_Q4_0: one_blocks(&s, t, from, DTYPE_Q4_0); break;
    case DTYPE_Q4_1: one_blocks(&s, t, from, DTYPE_Q4_1); break;
    case DTYPE_Q5_0: one_blocks(&s, t, from, DTYPE_Q5_0); break;
    case DTYPE_Q5_1: one_blocks(&s, t, from, DTYPE_Q5_1); break;
    case DTYPE_Q8_0: one_blocks(&s, t, from, DTYPE_Q8_0); break;
    default: one_rows(&s, t, from); break;
    }
    for (int j = 0; j < 2; j++) {
        const vec all = t->has_least ? vec_add(s.code[j], s.least[j]) : s.code[j];
        vec_store(sum + j * LANES, all);
    }
    if (t->to.k2 > 0) more_sums(1, &t->to, sum);
    tile_end(1, t->to.columns > LANES ? 2 : 1, sum, PANEL, &t->to);
}

/* One row rounded, as round_block does it: pairs [in / 4][2], and sums of q. */
static void round_one(const int16_round *t)
{
    int32_t q[INT16_BLOCK];
    for (int64_t k = 0; k < t->in; k += INT16_BLOCK) {
        vec most = vec_zero(), wrong = vec_zero();
        for (int i = 0; i < INT16_BLOCK; i += LANES) {
            const vec v = vec_load(t->x + k + i);
            most = vec_max(vec_max(v, vec_sub(vec_zero(), v)), most);
            wrong = vec_fma(v, vec_zero(), wrong);
        }
        const float top = vec_largest(most), m = top > INT16_LEAST ? top : INT16_LEAST;
        const float scale = m / INT16_MOST + vec_sum(wrong);
        const vec way = vec_all(INT16_MOST / m);
        for (int i = 0; i < INT16_BLOCK; i += LANES) {
            words_store((uint32_t *)q + i, words_rounded(vec_mul(vec_load(t->x + k + i), way)));
        }
        uint32_t sum[2] = {0, 0}; /* wraps where no number was one: the scale tells */
        for (int i = 0; i < INT16_BLOCK; i++) sum[i / GROUP] += (uint32_t)q[i];
        for (int i = 0; i < INT16_BLOCK; i += 4) {
            uint32_t *to = t->to + (k + i) / 2;
            to[0] = ((uint32_t)q[i] & 0xffff) | (uint32_t)q[i + 2] << 16;
            to[1] = ((uint32_t)q[i + 1] & 0xffff) | (uint32_t)q[i + 3] << 16;
        }
        t->scale[k / INT16_BLOCK] = scale;
        t->sum[k / INT16_BLOCK] = (float)(int32_t)(sum[0] + sum[1]) * scale;
        for (int i = 0; i < 2; i++) {
            t->q_sum[k / GROUP + i] = (int32_t)sum[i];
            t->sum_16[k / GROUP + i] = (float)(int32_t)sum[i] * scale;
        }
    }
}
