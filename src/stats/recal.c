/* recal: see recal.h. */
#include "stats/recal.h"

#include "stats/logistic.h"

#include <assert.h>
#include <math.h>

static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

static double line_loss(const stat_rows *r, double slope, double intercept)
{
    double sum = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double eta = slope * r->score[i] + intercept;
        sum += softplus(eta) - r->positive[i] * eta;
    }
    return sum / (double)r->n;
}

static stat_status check(const stat_rows *r, int64_t *m)
{
    stat_status status = stat_check_rows(r->score, r->positive, r->n, m);
    for (int64_t i = 0; i < r->n; i++) {
        if (isinf(r->score[i])) return STAT_MISSING_SCORES;
    }
    return status == STAT_FEW ? STAT_OK : status;
}

/* Fits slope (and intercept when n_term is 2) of target_of[class] on the score. */
static bool fit(const stat_rows *r, const double target_of[2], int32_t n_term, arena *scratch,
                recal_map *out, err *e)
{
    int64_t m = 0;
    *out = (recal_map){.status = check(r, &m)};
    if (out->status != STAT_OK) return true;
    size_t mark = arena_mark(scratch);
    double *target = arena_take(scratch, (size_t)r->n, sizeof *target, e);
    double *x = arena_take(scratch, (size_t)r->n, (size_t)n_term * sizeof *x, e);
    if (!target || !x) return false;
    for (int64_t i = 0; i < r->n; i++) {
        target[i] = target_of[r->positive[i]];
        x[i * n_term] = r->score[i];
        if (n_term == 2) x[i * n_term + 1] = 1;
    }
    logistic_fit f =
        logistic_of(&(logistic_rows){.n = r->n, .n_term = n_term, .x = x, .target = target});
    out->status = f.status;
    out->slope = f.beta[0];
    out->intercept = n_term == 2 ? f.beta[1] : 0;
    if (f.status == STAT_OK) out->log_loss = line_loss(r, out->slope, out->intercept);
    arena_reset(scratch, mark);
    return true;
}

bool recal_temperature(const stat_rows *tune, arena *scratch, recal_map *out, err *e)
{
    static const double plain[2] = {0, 1};
    if (!fit(tune, plain, 1, scratch, out, e)) return false;
    if (out->status == STAT_OK && out->slope <= 0) out->status = STAT_OUT_OF_RANGE; /* no T > 0 */
    return true;
}

bool recal_platt(const stat_rows *tune, bool smooth, arena *scratch, recal_map *out, err *e)
{
    double target_of[2] = {0, 1}, m = 0;
    for (int64_t i = 0; i < tune->n; i++) m += tune->positive[i];
    if (smooth) {
        target_of[0] = 1 / ((double)tune->n - m + 2);
        target_of[1] = (m + 1) / (m + 2);
    }
    return fit(tune, target_of, 2, scratch, out, e);
}

typedef struct block { /* a run of rows that share one value */
    double z_first, z_last, sum, n;
} block;

/* Pools the last blocks while they fall. */
static int64_t pool_last(block *b, int64_t n)
{
    while (n > 1 && b[n - 2].sum * b[n - 1].n >= b[n - 1].sum * b[n - 2].n) {
        b[n - 2].z_last = b[n - 1].z_last;
        b[n - 2].sum += b[n - 1].sum;
        b[n - 2].n += b[n - 1].n;
        n--;
    }
    return n;
}

bool recal_isotonic(const stat_rows *tune, int64_t n_least, arena *a, recal_map *out, err *e)
{
    const double *z = tune->score;
    const uint8_t *positive = tune->positive;
    int64_t n = tune->n;
    int64_t m = 0, n_block = 0;
    *out = (recal_map){.status = check(tune, &m)};
    if (out->status == STAT_OK && n < (n_least ? n_least : RECAL_ISOTONIC_ROWS))
        out->status = STAT_FEW;
    if (out->status != STAT_OK) return true;
    double *knot_z = arena_take(a, (size_t)n, 2 * sizeof *knot_z, e);
    double *knot_p = arena_take(a, (size_t)n, 2 * sizeof *knot_p, e);
    size_t mark = arena_mark(a);
    int32_t *order = arena_take(a, (size_t)n, sizeof *order, e);
    block *b = arena_take(a, (size_t)n, sizeof *b, e);
    if (!knot_z || !knot_p || !order || !b || !stat_order(z, n, order, a, e)) return false;
    for (int64_t i = 0; i < n;) { /* rows of one score are one block from the start */
        block one = {.z_first = z[order[i]], .z_last = z[order[i]]};
        for (; i < n && z[order[i]] == one.z_first; i++) {
            one.sum += positive[order[i]];
            one.n++;
        }
        b[n_block++] = one;
        n_block = pool_last(b, n_block);
    }
    for (int64_t k = 0; k < n_block; k++) {
        for (int side = 0; side < (b[k].z_last > b[k].z_first ? 2 : 1); side++) {
            knot_z[out->n_knot] = side ? b[k].z_last : b[k].z_first;
            knot_p[out->n_knot++] = b[k].sum / b[k].n;
        }
    }
    arena_reset(a, mark);
    out->z = knot_z;
    out->p = knot_p;
    return true;
}

double recal_apply(const recal_map *m, double z)
{
    assert(m->status == STAT_OK && !isnan(z));
    if (m->n_knot == 0) return 1 / (1 + exp(-(m->slope * z + m->intercept)));
    int32_t low = 0, high = m->n_knot - 1;
    if (z <= m->z[low]) return m->p[low];
    if (z >= m->z[high]) return m->p[high];
    while (high - low > 1) {
        int32_t mid = low + (high - low) / 2;
        if (m->z[mid] <= z) low = mid;
        else high = mid;
    }
    double share = (z - m->z[low]) / (m->z[high] - m->z[low]);
    return m->p[low] + share * (m->p[high] - m->p[low]);
}
