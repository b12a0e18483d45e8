/* logistic: see logistic.h. */
#include "stats/logistic.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { STEPS_MAX = 60, HALVINGS_MAX = 40 };

typedef double square[LOGISTIC_TERMS_MAX][LOGISTIC_TERMS_MAX];

/* log(1 + e^x) */
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

static double predictor(const logistic_rows *r, const double *beta, int64_t i)
{
    double eta = r->offset ? r->offset[i] : 0;
    for (int32_t k = 0; k < r->n_term; k++) eta += r->x[i * r->n_term + k] * beta[k];
    return eta;
}

static double log_likelihood(const logistic_rows *r, const double *beta)
{
    double sum = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double w = r->weight ? r->weight[i] : 1, eta = predictor(r, beta, i);
        if (w > 0) sum += w * (r->target[i] * eta - softplus(eta));
    }
    return sum;
}

static void derivatives(const logistic_rows *r, const double *beta, double *gradient,
                        square information)
{
    memset(gradient, 0, sizeof(double) * LOGISTIC_TERMS_MAX);
    memset(information, 0, sizeof(square));
    for (int64_t i = 0; i < r->n; i++) {
        double w = r->weight ? r->weight[i] : 1;
        double p = 1 / (1 + exp(-predictor(r, beta, i)));
        const double *x = r->x + i * r->n_term;
        for (int32_t k = 0; k < r->n_term; k++) {
            gradient[k] += w * (r->target[i] - p) * x[k];
            for (int32_t j = 0; j <= k; j++) information[k][j] += w * p * (1 - p) * x[k] * x[j];
        }
    }
}

/* Lower triangle to its Cholesky factor, in place; false when not positive definite. */
static bool factor(square a, int32_t n)
{
    for (int32_t k = 0; k < n; k++) {
        double whole = a[k][k];
        for (int32_t j = 0; j < k; j++) a[k][k] -= a[k][j] * a[k][j];
        if (!(a[k][k] > 1e-12 * whole) || whole <= 0) return false;
        a[k][k] = sqrt(a[k][k]);
        for (int32_t i = k + 1; i < n; i++) {
            for (int32_t j = 0; j < k; j++) a[i][k] -= a[i][j] * a[k][j];
            a[i][k] /= a[k][k];
        }
    }
    return true;
}

static void solve(square l, int32_t n, const double *b, double *x)
{
    for (int32_t i = 0; i < n; i++) {
        x[i] = b[i];
        for (int32_t j = 0; j < i; j++) x[i] -= l[i][j] * x[j];
        x[i] /= l[i][i];
    }
    for (int32_t i = n - 1; i >= 0; i--) {
        for (int32_t j = i + 1; j < n; j++) x[i] -= l[j][i] * x[j];
        x[i] /= l[i][i];
    }
}

static stat_status check_targets(const logistic_rows *r)
{
    double ones = 0, total = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double w = r->weight ? r->weight[i] : 1;
        assert(r->target[i] >= 0 && r->target[i] <= 1);
        ones += w * r->target[i];
        total += w;
    }
    if (total == 0) return STAT_NO_CASES;
    return ones == 0 || ones == total ? STAT_ONE_CLASS : STAT_OK;
}

/* beta + step, halved until the likelihood does not fall. False when even a tiny step falls. */
static bool move(const logistic_rows *r, logistic_fit *f, const double *step)
{
    double scale = 1;
    for (int h = 0; h < HALVINGS_MAX; h++, scale /= 2) {
        double next[LOGISTIC_TERMS_MAX] = {0};
        for (int32_t k = 0; k < r->n_term; k++) next[k] = f->beta[k] + scale * step[k];
        double l = log_likelihood(r, next);
        if (!(l >= f->log_likelihood)) continue;
        memcpy(f->beta, next, sizeof next);
        f->log_likelihood = l;
        return true;
    }
    return false;
}

logistic_fit logistic_of(const logistic_rows *r)
{
    assert(r->n_term > 0 && r->n_term <= LOGISTIC_TERMS_MAX);
    logistic_fit f = {.status = check_targets(r)};
    if (f.status != STAT_OK) return f;
    f.log_likelihood = log_likelihood(r, f.beta);
    square l;
    double gradient[LOGISTIC_TERMS_MAX], step[LOGISTIC_TERMS_MAX] = {0};
    bool done = false;
    while (!done && f.n_step < STEPS_MAX) {
        derivatives(r, f.beta, gradient, l);
        if (!factor(l, r->n_term)) {
            f.status = f.n_step == 0 ? STAT_CONSTANT : STAT_SEPARATION;
            return f;
        }
        solve(l, r->n_term, gradient, step);
        double gain = 0; /* twice what a full step is about to gain; each step squares it */
        for (int32_t k = 0; k < r->n_term; k++) gain += gradient[k] * step[k];
        done = !move(r, &f, step) || gain < 1e-14;
        f.n_step++;
    }
    derivatives(r, f.beta, gradient, l);
    if (!done || f.log_likelihood > -1e-7 || !factor(l, r->n_term)) {
        f.status = STAT_SEPARATION;
        return f;
    }
    for (int32_t k = 0; k < r->n_term; k++) {
        double unit[LOGISTIC_TERMS_MAX] = {0};
        unit[k] = 1;
        solve(l, r->n_term, unit, f.variance[k]);
    }
    return f;
}
