/* attend_in: one tile of query rows against one block of keys, with the running softmax of Milakov and
 * Gimelshein 2018 (arXiv 1805.02867); included after tile_in.h and math_in.h.
 *
 * Scores are held as base-2 exponents: q carries scale * log2(e). A key that a row may not see has score
 * -inf, so it adds exact zeros, and a block without any seen key leaves a row's state as it is, bit for
 * bit: whether such a block is skipped or computed makes no difference. */

static inline __attribute__((always_inline)) void score_tile(const int rows, const attend_job *t,
                                                             const int64_t panel, const int n_vec)
{
    vec acc[TILE_ROWS][2];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) acc[i][0] = acc[i][1] = vec_zero();
    sums(acc, rows, n_vec, t->q, 1, TILE_ROWS, t->k + panel * t->head_dim * PANEL, PANEL,
         t->head_dim);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        vec_store(t->score + i * ATTEND_BLOCK + panel * PANEL, acc[i][0]);
        if (n_vec > 1) vec_store(t->score + i * ATTEND_BLOCK + panel * PANEL + LANES, acc[i][1]);
    }
}

/* Scores of row i become weights 2^(score - largest); returns what earlier sums are to be multiplied by. */
static inline void weigh_row(const attend_job *t, int i, float *factor)
{
    const int vectors = (t->keys + LANES - 1) / LANES;
    const vec never = vec_all(-__builtin_inff());
    float *score = t->score + i * ATTEND_BLOCK;
    vec s[ATTEND_BLOCK / LANES], top = never;
    const bool all = t->low[i] == 0 && t->high[i] >= vectors * LANES;
#pragma GCC unroll 8
    for (int j = 0; j < ATTEND_BLOCK / LANES; j++) {
        s[j] = never;
        if (j >= vectors) continue;
        s[j] = vec_load(score + j * LANES);
        if (t->softcap_log2 > 0) s[j] = vec_mul(vec_tanh(s[j]), vec_all(t->softcap_log2));
        if (!all) s[j] = vec_inside(s[j], never, j * LANES, t->low[i], t->high[i]);
        top = vec_max(s[j], top);
    }
    float before = t->largest[i], after = vec_largest(top);
    after = after > before ? after : before;
    t->largest[i] = after;
    const vec base = vec_all(after == -__builtin_inff() ? 0 : after);
    vec sum = vec_zero();
#pragma GCC unroll 8
    for (int j = 0; j < ATTEND_BLOCK / LANES; j++) {
        if (j >= vectors) continue;
        s[j] = vec_exp2(vec_sub(s[j], base));
        sum = vec_add(sum, s[j]);
        vec_store(score + j * LANES, s[j]);
    }
    vec kept = vec_exp2(vec_sub(vec_all(before), base));
    vec_store(t->sum + i * LANES, vec_fma(vec_load(t->sum + i * LANES), kept, sum));
    *factor = vec_first_lane(kept);
}

static inline __attribute__((always_inline)) void mix_tile(const int rows, const attend_job *t,
                                                           const float *factor, int64_t ld,
                                                           const int64_t first, const int n_vec)
{
    vec acc[TILE_ROWS][2];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        const float *mixed = t->mixed + i * ld + first;
        acc[i][0] = vec_mul(vec_load(mixed), vec_all(factor[i]));
        acc[i][1] = n_vec > 1 ? vec_mul(vec_load(mixed + LANES), vec_all(factor[i])) : vec_zero();
    }
    sums(acc, rows, n_vec, t->score, ATTEND_BLOCK, 1, t->v + first * ATTEND_BLOCK, PANEL, t->keys);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        float *mixed = t->mixed + i * ld + first;
        vec_store(mixed, acc[i][0]);
        if (n_vec > 1) vec_store(mixed + LANES, acc[i][1]);
    }
}

static inline __attribute__((always_inline)) void attend_of(const int rows, const attend_job *t)
{
    const int64_t keys = t->keys, width = t->head_dim;
    const int64_t ld = (width + PANEL - 1) / PANEL * PANEL;
    float factor[TILE_ROWS];
    for (int64_t p = 0; p * PANEL < keys; p++) {
        if (keys - p * PANEL > LANES) score_tile(rows, t, p, 2);
        else score_tile(rows, t, p, 1);
    }
    for (int i = 0; i < rows; i++) weigh_row(t, i, factor + i);
    for (int64_t c = 0; c < width; c += PANEL) {
        if (width - c > LANES) mix_tile(rows, t, factor, ld, c, 2);
        else mix_tile(rows, t, factor, ld, c, 1);
    }
}

static void attend_end(const attend_job *t, int32_t row, float *out)
{
    const int64_t width = t->head_dim, ld = (width + PANEL - 1) / PANEL * PANEL;
    float sum = vec_sum(vec_load(t->sum + row * LANES));
    vec divisor = vec_all(sum == 0 ? 1 : sum); /* a row that sees no key: zeros */
    for (int64_t c = 0; c < width; c += LANES) {
        store_columns(out + c, vec_div(vec_load(t->mixed + row * ld + c), divisor), width - c);
    }
}
