/* recal: see recal.h. */
#include "stats/recal.h"

#include "stats/logistic.h"

#include <assert.h>
#include <math.h>

static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

static double line_loss(const double *z, const uint8_t *positive, int64_t n, double slope,
                        double intercept)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double eta = slope * z[i] + intercept;
        sum += softplus(eta) - positive[i] * eta;
    }
    return sum / (double)n;
}

/* Fits slope (and intercept) of y on z. */
static bool fit_line(const double *z, const double *target, int64_t n, int32_t n_term,
                     arena *scratch, logistic_fit *out, err *e)
{
    double *x = arena_take(scratch, (size_t)n, (size_t)n_term * sizeof *x, e);
    if (!x) return false;
    for (int64_t i = 0; i < n; i++) {
        x[i * n_term] = z[i];
        if (n_term == 2) x[i * n_term + 1] = 1;
    }
    *out = logistic_of(&(logistic_rows){.n = n, .n_term = n_term, .x = x, .target = target});
    return true;
}

static stat_status check(const double *z, const uint8_t *positive, int64_t n, int64_t *m)
{
    stat_status status = stat_check_rows(z, positive, n, m);
    for (int64_t i = 0; i < n; i++) {
        if (isinf(z[i])) return STAT_MISSING_SCORES;
    }
    return status == STAT_FEW ? STAT_OK : status;
}

static bool fit(const double *z, const uint8_t *positive, int64_t n, const double target_of[2],
                int32_t n_term, arena *scratch, recal_map *out, err *e);

bool recal_temperature(const double *z, const uint8_t *positive, int64_t n, arena *scratch,
                       recal_map *out, err *e)
{
    static const double plain[2] = {0, 1};
    if (!fit(z, positive, n, plain, 1, scratch, out, e)) return false;
    if (out->status == STAT_OK && out->slope <= 0)
        out->status = STAT_OUT_OF_RANGE; /* no T > 0 helps */
    return true;
}

bool recal_platt(const double *z, const uint8_t *positive, int64_t n, bool smooth, arena *scratch,
                 recal_map *out, err *e)
{
    double target_of[2] = {0, 1}, m = 0;
    for (int64_t i = 0; i < n; i++) m += positive[i];
    if (smooth) {
        target_of[0] = 1 / ((double)n - m + 2);
        target_of[1] = (m + 1) / (m + 2);
    }
    return fit(z, positive, n, target_of, 2, scratch, out, e);
}

static bool fit(const double *z, const uint8_t *positive, int64_t n, const double target_of[2],
                int32_t n_term, arena *scratch, recal_map *out, err *e)
{
    int64_t m = 0;
    *out = (recal_map){.status = check(z, positive, n, &m)};
    if (out->status != STAT_OK) return true;
    size_t mark = arena_mark(scratch);
    double *target = arena_take(scratch, (size_t)n, sizeof *target, e);
    logistic_fit f;
    bool fine = target != NULL;
    for (int64_t i = 0; fine && i < n; i++) target[i] = target_of[positive[i]];
    fine = fine && fit_line(z, target, n, n_term, scratch, &f, e);
    if (fine) {
        out->status = f.status;
        out->slope = f.beta[0];
        out->intercept = n_term == 2 ? f.beta[1] : 0;
        if (f.status == STAT_OK)
            out->log_loss = line_loss(z, positive, n, out->slope, out->intercept);
    }
    arena_reset(scratch, mark);
    return fine;
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

bool recal_isotonic(const double *z, const uint8_t *positive, int64_t n, int64_t n_least, arena *a,
                    recal_map *out, err *e)
{
    int64_t m = 0, n_block = 0;
    *out = (recal_map){.status = check(z, positive, n, &m)};
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
