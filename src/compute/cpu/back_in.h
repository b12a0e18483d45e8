/* back_in: what only training needs over `vec`; included after attend_in.h. Row-wise ways back, and
 * the parts of attention's: p and ds of a tile of scores, and products whose left side is such a
 * tile, read along its rows (dQ) or its columns (dK, dV). Equations: ref/train.c and
 * ref/attend_back.c. */

static float dot(const float *x, const float *y, int64_t n)
{
    vec s[2] = {vec_zero(), vec_zero()};
    for (int64_t i = 0; i < n; i += LANES) {
        s[i / LANES % 2] =
            vec_fma(load_columns(x + i, n - i), load_columns(y + i, n - i), s[i / LANES % 2]);
    }
    return vec_sum(vec_add(s[0], s[1]));
}

static void rmsnorm_back(const norm_back_job *t, int64_t n)
{
    vec sum[2] = {vec_zero(), vec_zero()};
    for (int64_t i = 0; i < n; i += LANES) {
        vec pull = vec_mul(load_columns(t->dy + i, n - i), load_columns(t->w + i, n - i));
        sum[i / LANES % 2] = vec_fma(pull, load_columns(t->x + i, n - i), sum[i / LANES % 2]);
    }
    const float along = vec_sum(vec_add(sum[0], sum[1])), width = (float)n;
    const float s = 1 / __builtin_sqrtf(sum_squares(t->x, n) / width + t->eps);
    const vec factor = vec_all(s), back = vec_all(along * s * s / width);
    for (int64_t i = 0; i < n; i += LANES) {
        vec pull = vec_mul(load_columns(t->dy + i, n - i), load_columns(t->w + i, n - i));
        vec g = vec_mul(factor, vec_fnma(load_columns(t->x + i, n - i), back, pull));
        if (t->add) g = vec_add(load_columns(t->to + i, n - i), g);
        store_columns(t->to + i, g, n - i);
    }
}

/* The gradient of the gate's factor act(g) up, and act(g) itself. */
static inline vec silu_slope(vec g, vec *act)
{
    const vec one = vec_all(1);
    vec sigmoid = vec_div(one, vec_add(one, vec_exp(vec_sub(vec_zero(), g))));
    *act = vec_mul(g, sigmoid);
    return vec_mul(sigmoid, vec_fma(g, vec_sub(one, sigmoid), one));
}

static inline vec gelu_slope(vec g, vec *act)
{
    const vec one = vec_all(1), half = vec_all(0.5f), root = vec_all(0.797884561f);
    vec square = vec_mul(g, g);
    vec u = vec_mul(vec_mul(root, g), vec_fma(square, vec_all(0.044715f), one));
    vec t = vec_tanh(u), share = vec_mul(half, vec_add(one, t));
    *act = vec_mul(g, share);
    vec inner = vec_mul(root, vec_fma(square, vec_all(3 * 0.044715f), one));
    vec rise = vec_mul(vec_mul(half, g), vec_fnma(t, t, one));
    return vec_fma(rise, inner, share);
}

static void glu_back(float *gate, float *up, const float *dy, glu_kind kind, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        vec g = load_columns(gate + i, n - i), u = load_columns(up + i, n - i), act;
        vec pull = load_columns(dy + i, n - i);
        vec slope = kind == GLU_SILU ? silu_slope(g, &act) : gelu_slope(g, &act);
        store_columns(gate + i, vec_mul(vec_mul(pull, u), slope), n - i);
        store_columns(up + i, vec_mul(pull, act), n - i);
    }
}

/* row: logits become weight (softmax) d logit / d row; log_sum_exp in two floats, high and low. */
static void softmax_back(float *row, int64_t n, const float log_sum_exp[2], float weight, float cap)
{
    const vec high = vec_all(log_sum_exp[0]), low = vec_all(log_sum_exp[1]);
    for (int64_t i = 0; i < n; i += LANES) {
        vec x = load_columns(row + i, n - i), slope = vec_all(weight);
        if (cap > 0) {
            vec t = vec_tanh(vec_div(x, vec_all(cap)));
            slope = vec_mul(slope, vec_fnma(t, t, vec_all(1)));
            x = vec_mul(t, vec_all(cap));
        }
        vec p = vec_exp(vec_sub(vec_sub(x, high), low));
        store_columns(row + i, vec_mul(p, slope), n - i);
    }
}

/* One row of a block: products q.k become p, d_o.v become ds; keys not seen get 0. */
static inline void soften_row(const soften_job *t, int i)
{
    const float log2_e = 1.44269504f, cap = t->softcap;
    const vec scale = vec_all(t->scale), own = vec_all(t->own[i]);
    const vec unit = vec_all(cap > 0 ? cap * log2_e : t->scale * log2_e);
    const vec least = vec_all(t->log_sum_exp[i] * log2_e), inner = vec_all(t->scale / cap);
    float *score = t->score + i * ATTEND_BLOCK, *slope = t->slope + i * ATTEND_BLOCK;
    for (int j = 0; j < ATTEND_BLOCK; j += LANES) {
        vec s = vec_load(score + j), ds = vec_load(slope + j), bend = vec_all(1);
        if (cap > 0) {
            s = vec_tanh(vec_mul(s, inner));
            bend = vec_fnma(s, s, bend);
        }
        vec p = vec_exp2(vec_sub(vec_mul(s, unit), least));
        ds = vec_mul(vec_mul(p, vec_sub(ds, own)), scale);
        if (cap > 0) ds = vec_mul(ds, bend);
        if (t->low[i] > 0 || t->high[i] < ATTEND_BLOCK) {
            p = vec_inside(p, vec_zero(), j, t->low[i], t->high[i]);
            ds = vec_inside(ds, vec_zero(), j, t->low[i], t->high[i]);
        }
        vec_store(score + j, p);
        vec_store(slope + j, ds);
    }
}

static void soften(const soften_job *t)
{
    for (int i = 0; i < t->rows; i++) soften_row(t, i);
}

static inline __attribute__((always_inline)) void scores_of(const int rows, const mix_job *t)
{
    for (int64_t c = 0; c < t->columns; c += PANEL) {
        const operands o = {t->left, t->right + c * t->k, t->k, PANEL};
        const int r = TILE_ROWS;
        float *to = t->to + c;
        if (t->columns - c > LANES) sums(rows, 2, o, no_more(), 1, r, to, t->ld, NULL, NULL, 0);
        else sums(rows, 1, o, no_more(), 1, r, to, t->ld, NULL, NULL, 0);
    }
}

static const float once[ROWS_WRITTEN] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

static inline __attribute__((always_inline)) void mix_of(const int rows, const mix_job *t,
                                                         const int a_row, const int a_step)
{
    for (int64_t c = 0; c < t->columns; c += PANEL) {
        const operands o = {t->left, t->right + c * t->right_k, t->k, PANEL};
        const int s = a_step;
        float *to = t->to + c;
        if (t->columns - c > LANES) sums(rows, 2, o, no_more(), a_row, s, to, t->ld, once, NULL, 0);
        else sums(rows, 1, o, no_more(), a_row, s, to, t->ld, once, NULL, 0);
    }
}

static inline __attribute__((always_inline)) void mixed_of(const int rows, const mix_job *t)
{
    switch (t->way) {
    case MIX_PACKED: scores_of(rows, t); return;
    case MIX_ROWS: mix_of(rows, t, ATTEND_BLOCK, 1); return;
    case MIX_COLUMNS: mix_of(rows, t, 1, ATTEND_BLOCK); return;
    default: return;
    }
}

static void mix(const mix_job *t)
{
    switch (t->rows) {
    case 1: mixed_of(1, t); return;
    case 2: mixed_of(2, t); return;
    case 3: mixed_of(3, t); return;
    case 4: mixed_of(4, t); return;
    case 5: mixed_of(5, t); return;
    case 6: mixed_of(6, t); return;
    default: break;
    }
    if (TILE_ROWS <= 6) return;
    if (t->rows <= 8) mixed_of(TILE_ROWS <= 6 ? 1 : 8, t);
    else mixed_of(TILE_ROWS, t);
}

static inline __attribute__((always_inline)) void outer_of(const int rows, const outer_job *t)
{
    const operands o = {t->a, t->b, t->k, t->b_step};
    sums(rows, 2, o, no_more(), 1, t->a_step, t->to, t->ld, once, NULL, 0);
}

static void outer(const outer_job *t)
{
    outer_job at = *t;
    enum { MOST = LANES / 2 }; /* two vectors each: half of the registers */
    for (; at.rows > 0; at.rows -= MOST, at.a += MOST, at.to += MOST * at.ld) {
        switch (at.rows) {
        case 1: outer_of(1, &at); break;
        case 2: outer_of(2, &at); break;
        case 3: outer_of(3, &at); break;
        case 4: outer_of(4, &at); break;
        case 5: outer_of(MOST > 4 ? 5 : MOST, &at); break;
        case 6: outer_of(MOST > 4 ? 6 : MOST, &at); break;
        case 7: outer_of(MOST > 4 ? 7 : MOST, &at); break;
        default: outer_of(MOST, &at); break;
        }
    }
}
