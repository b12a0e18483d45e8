/* attend_in: one tile of query rows against one block of keys, with the running softmax of Milakov
 * and Gimelshein 2018 (arXiv 1805.02867); included after tile_in.h and math_in.h.
 *
 * Scores are held as base-2 exponents: q carries scale * log2(e). A key that a row may not see has
 * a score so low that it adds exact zeros, and a block without any seen key leaves a row's state as
 * it is, bit for bit: whether such a block is skipped or computed makes no difference. */

static inline __attribute__((always_inline)) void score_tile(const int rows, const attend_job *t,
                                                             int64_t panel, const int n_vec)
{
    const operands o = {t->q, t->k + panel * t->head_dim * PANEL, t->head_dim, PANEL};
    sums(rows, n_vec, o, no_more(), 1, TILE_ROWS, t->score + panel * PANEL, ATTEND_BLOCK, NULL,
         NULL, 0);
}

/* What a key that may not be seen scores: finite, so that no step meets inf - inf; far below any
 * score. */
static inline vec vec_never(void) { return vec_all(-3e38f); }

/* Soft cap and mask of row i, in place; the largest score of each lane. */
static inline vec mask_row(const attend_job *t, int i)
{
    const int vectors = (t->keys + LANES - 1) / LANES;
    const bool all = t->low[i] == 0 && t->high[i] >= vectors * LANES;
    float *score = t->score + i * ATTEND_BLOCK;
    vec top = vec_never();
    if (all && t->softcap_log2 == 0) {
        for (int j = 0; j < vectors; j++) top = vec_max(vec_load(score + j * LANES), top);
        return top;
    }
    for (int j = 0; j < vectors; j++) {
        vec s = vec_load(score + j * LANES);
        if (t->softcap_log2 > 0) s = vec_mul(vec_tanh(s), vec_all(t->softcap_log2));
        s = vec_inside(s, vec_never(), j * LANES, t->low[i], t->high[i]);
        vec_store(score + j * LANES, s);
        top = vec_max(s, top);
    }
    return top;
}

/* Scores become weights 2^(score - largest); factor[i]: what row i's earlier sums are to be
 * multiplied by. */
static inline __attribute__((always_inline)) void weigh_tile(const int rows, const attend_job *t,
                                                             float factor[LANES])
{
    const int vectors = (t->keys + LANES - 1) / LANES;
    float base[LANES];
    if (rows > LANES / 2) {
        vec top[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) top[i] = i < rows ? mask_row(t, i) : vec_never();
        vec_transpose(top);
#pragma GCC unroll 4
        for (int n = LANES / 2; n > 0; n /= 2) {
#pragma GCC unroll 8
            for (int i = 0; i < n; i++) top[i] = vec_max(top[i], top[i + n]);
        }
        vec_store(base, top[0]);
    } else {
        for (int i = 0; i < LANES; i++) base[i] = i < rows ? vec_largest(mask_row(t, i)) : 0;
    }
    const vec before = vec_load_part(t->largest, rows), after = vec_max(before, vec_load(base));
    vec_store_part(t->largest, after, rows);
    const vec from = vec_above_never(after); /* 0 where nothing was seen yet */
    vec_store(base, from);
    vec_store(factor, vec_exp2(vec_sub(before, from)));
    for (int i = 0; i < rows; i++) {
        float *score = t->score + i * ATTEND_BLOCK, *sum = t->sum + i * LANES;
        const vec least = vec_all(base[i]);
        vec total = vec_mul(vec_load(sum), vec_all(factor[i]));
        for (int j = 0; j < vectors; j++) {
            vec p = vec_exp2(vec_sub(vec_load(score + j * LANES), least));
            vec_store(score + j * LANES, p);
            total = vec_add(total, p);
        }
        vec_store(sum, total);
    }
}

static inline __attribute__((always_inline)) void mix_tile(const int rows, const attend_job *t,
                                                           const float *factor, int64_t ld,
                                                           int64_t first, const int n_vec)
{
    const operands o = {t->score, t->v + first * ATTEND_BLOCK, t->keys, PANEL};
    sums(rows, n_vec, o, no_more(), ATTEND_BLOCK, 1, t->mixed + first, ld, factor, NULL, 0);
}

static inline __attribute__((always_inline)) void attend_of(const int rows, const attend_job *t)
{
    const int64_t keys = t->keys, width = t->head_dim;
    const int64_t ld = (width + PANEL - 1) / PANEL * PANEL;
    float factor[LANES];
    for (int64_t p = 0; p * PANEL < keys; p++) {
        if (keys - p * PANEL > LANES) score_tile(rows, t, p, 2);
        else score_tile(rows, t, p, 1);
    }
    weigh_tile(rows, t, factor);
    for (int64_t c = 0; c < width; c += PANEL) {
        if (width - c > LANES) mix_tile(rows, t, factor, ld, c, 2);
        else mix_tile(rows, t, factor, ld, c, 1);
    }
}

static float attend_end(const attend_job *t, int32_t row, float *out)
{
    const int64_t width = t->head_dim, ld = (width + PANEL - 1) / PANEL * PANEL;
    float sum = vec_sum(vec_load(t->sum + row * LANES));
    vec divisor = vec_all(sum == 0 ? 1 : sum); /* a row that sees no key: zeros */
    for (int64_t c = 0; c < width; c += LANES) {
        store_columns(out + c, vec_div(vec_load(t->mixed + row * ld + c), divisor), width - c);
    }
    return sum;
}
