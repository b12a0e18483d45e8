/* calib: see calib.h. */
#include "stats/calib.h"

#include "stats/dist.h"
#include "stats/logistic.h"

#include <assert.h>
#include <math.h>

static int64_t count_positive(const uint8_t *positive, int64_t n)
{
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++) m += positive[i];
    return m;
}

stat_estimate calib_brier(const double *p, const uint8_t *positive, int64_t n)
{
    assert(n >= 0);
    stat_estimate o = stat_none(stat_check_probabilities(p, n), n, count_positive(positive, n));
    if (o.status != STAT_OK) return o;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        double miss = (p[i] - positive[i]) * (p[i] - positive[i]);
        sum += miss;
        squares += miss * miss;
    }
    o.has_value = true;
    o.value = sum / (double)n;
    if (n < 2) return o;
    o.variance = fmax(0, (squares - sum * o.value) / (double)(n - 1) / (double)n);
    double half = dist_normal_factor(0.95) * sqrt(o.variance);
    o.low = fmax(0, o.value - half);
    o.high = fmin(1, o.value + half);
    o.has_variance = o.has_interval = o.variance > 0;
    o.method = o.has_interval ? "Wald" : "";
    return o;
}

stat_estimate calib_brier_scaled(const double *p, const uint8_t *positive, int64_t n)
{
    stat_estimate o = calib_brier(p, positive, n);
    if (o.status != STAT_OK) return o;
    double prevalence = (double)o.events / (double)n, worst = prevalence * (1 - prevalence);
    if (worst == 0) return stat_none(STAT_ONE_CLASS, n, o.events);
    o.value = 1 - o.value / worst;
    o.has_variance = o.has_interval = false;
    o.variance = o.low = o.high = 0;
    o.method = "";
    return o;
}

static double clip(double p, int64_t *n_clipped)
{
    const double least = 1e-15;
    if (p >= least && p <= 1 - least) return p;
    ++*n_clipped;
    return p < least ? least : 1 - least;
}

stat_estimate calib_log_loss(const double *p, const uint8_t *positive, int64_t n,
                             int64_t *n_clipped)
{
    stat_estimate o = stat_none(stat_check_probabilities(p, n), n, count_positive(positive, n));
    *n_clipped = 0;
    if (o.status != STAT_OK) return o;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double q = clip(p[i], n_clipped);
        sum -= positive[i] ? log(q) : log1p(-q);
    }
    o.has_value = true;
    o.value = sum / (double)n;
    return o;
}

void calib_log_odds(const double *p, int64_t n, double *out, int64_t *n_clipped)
{
    *n_clipped = 0;
    for (int64_t i = 0; i < n; i++) {
        double q = clip(p[i], n_clipped);
        out[i] = log(q) - log1p(-q);
    }
}

stat_estimate calib_observed_expected(const double *p, const uint8_t *positive, int64_t n)
{
    stat_estimate o = stat_none(stat_check_probabilities(p, n), n, count_positive(positive, n));
    if (o.status != STAT_OK) return o;
    double expected = 0, observed = (double)o.events;
    for (int64_t i = 0; i < n; i++) expected += p[i];
    if (expected <= 0 || observed == 0) {
        o.status = expected <= 0 ? STAT_NO_PREDICTED_POSITIVE : STAT_ONE_CLASS;
        return o;
    }
    o.has_value = true;
    o.value = observed / expected;
    double se = sqrt((1 - observed / (double)n) / observed), z = dist_normal_factor(0.95);
    o.variance = o.value * o.value * se * se;
    o.low = o.value * exp(-z * se);
    o.high = o.value * exp(z * se);
    o.has_variance = o.has_interval = se > 0;
    o.method = "Wald on the log scale";
    return o;
}

static stat_estimate coefficient(const logistic_fit *f, int32_t k, int64_t n, int64_t events)
{
    stat_estimate o = stat_none(f->status, n, events);
    if (f->status != STAT_OK) return o;
    o.has_value = o.has_variance = o.has_interval = true;
    o.value = f->beta[k];
    o.variance = f->variance[k][k];
    double half = dist_normal_factor(0.95) * sqrt(o.variance);
    o.low = o.value - half;
    o.high = o.value + half;
    o.method = "Wald";
    return o;
}

bool calib_line_of(const stat_rows *rows, arena *scratch, calib_line *out, err *e)
{
    const double *log_odds = rows->score;
    const uint8_t *positive = rows->positive;
    int64_t n = rows->n;
    size_t mark = arena_mark(scratch);
    double *ones = arena_take(scratch, (size_t)n, sizeof *ones, e);
    double *x = arena_take(scratch, (size_t)n, 2 * sizeof *x, e);
    double *y = arena_take(scratch, (size_t)n, sizeof *y, e);
    if (!ones || !x || !y) return false;
    int64_t events = count_positive(positive, n);
    *out = (calib_line){.status = n ? STAT_OK : STAT_NO_CASES};
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(log_odds[i])) out->status = STAT_MISSING_SCORES;
        ones[i] = x[2 * i] = 1;
        x[2 * i + 1] = log_odds[i];
        y[i] = positive[i];
    }
    logistic_fit large = {.status = out->status}, line = {.status = out->status};
    if (out->status == STAT_OK) {
        large = logistic_of(&(logistic_rows){.n = n,
                                             .n_term = 1,
                                             .x = ones,
                                             .offset = log_odds,
                                             .target = y,
                                             .weight = rows->weight});
        line = logistic_of(
            &(logistic_rows){.n = n, .n_term = 2, .x = x, .target = y, .weight = rows->weight});
        out->status = line.status;
    }
    out->in_the_large = coefficient(&large, 0, n, events);
    out->intercept = coefficient(&line, 0, n, events);
    out->slope = coefficient(&line, 1, n, events);
    arena_reset(scratch, mark);
    return true;
}

calib_spiegelhalter calib_spiegelhalter_of(const double *p, const uint8_t *positive, int64_t n)
{
    calib_spiegelhalter o = {.status = stat_check_probabilities(p, n)};
    if (o.status != STAT_OK) return o;
    double top = 0, variance = 0;
    for (int64_t i = 0; i < n; i++) {
        top += (positive[i] - p[i]) * (1 - 2 * p[i]);
        variance += (1 - 2 * p[i]) * (1 - 2 * p[i]) * p[i] * (1 - p[i]);
    }
    if (variance <= 0) {
        o.status = STAT_ZERO_VARIANCE;
        return o;
    }
    o.z = top / sqrt(variance);
    o.p = dist_normal_two_sided(o.z);
    return o;
}

static double gap_of(const calib_bin *b)
{
    return b->n ? fabs((double)b->events - b->mean * (double)b->n) : 0;
}

/* Bin of p among m of equal width: the division decides, so that p = k/m is in bin k. */
static int32_t width_bin(double p, int32_t m)
{
    int32_t k = (int32_t)(p * m);
    while (k > 0 && p < (double)k / m) k--;
    while (k + 1 < m && p >= (double)(k + 1) / m) k++;
    return k < m ? k : m - 1;
}

bool calib_ece(const stat_rows *rows, calib_bins bins, calib_bin *bin, arena *scratch,
               stat_estimate *out, err *e)
{
    const double *p = rows->score;
    const uint8_t *positive = rows->positive;
    int64_t n = rows->n;
    int32_t n_bin = bins.n;
    bool equal_mass = bins.equal_mass;
    assert(n_bin > 0 && n_bin <= CALIB_BINS_MAX);
    *out = stat_none(stat_check_probabilities(p, n), n, count_positive(positive, n));
    for (int32_t k = 0; k < n_bin; k++)
        bin[k] = (calib_bin){.low = (double)k / n_bin, .high = (double)(k + 1) / n_bin};
    if (out->status != STAT_OK) return true;
    size_t mark = arena_mark(scratch);
    int32_t *order = arena_take(scratch, (size_t)n, sizeof *order, e);
    if (!order || !stat_order(p, n, order, scratch, e)) return false;
    int64_t run = n / n_bin, longer = n % n_bin;
    for (int64_t i = 0; i < n; i++) {
        int32_t row = order[i];
        int64_t k = i < longer * (run + 1) ? i / (run + 1)
                                           : longer + (i - longer * (run + 1)) / (run ? run : 1);
        calib_bin *b = &bin[equal_mass ? k : width_bin(p[row], n_bin)];
        if (equal_mass && b->n == 0) b->low = p[row];
        if (equal_mass) b->high = p[row];
        b->n++;
        b->events += positive[row];
        b->mean += p[row];
    }
    double sum = 0;
    for (int32_t k = 0; k < n_bin; k++) {
        if (bin[k].n) bin[k].mean /= (double)bin[k].n;
        sum += gap_of(&bin[k]);
    }
    out->has_value = true;
    out->value = sum / (double)n;
    arena_reset(scratch, mark);
    return true;
}

static double cube_above(double x) { return x > 0 ? x * x * x : 0; }

static double spline_term(const double knot[3], double x)
{
    double a = knot[0], b = knot[1], c = knot[2];
    double sum = cube_above(x - a) - cube_above(x - b) * (c - a) / (c - b) +
                 cube_above(x - c) * (b - a) / (c - b);
    return sum / ((c - a) * (c - a));
}

bool calib_spline_take(const double *log_odds, const uint8_t *positive, int64_t n, arena *a,
                       calib_spline *out, err *e)
{
    double *x = arena_take(a, (size_t)n, 3 * sizeof *x, e);
    double *y = arena_take(a, (size_t)n, sizeof *y, e);
    size_t mark = arena_mark(a);
    double *sorted = arena_take(a, (size_t)n, sizeof *sorted, e);
    if (!x || !y || !sorted) return false;
    *out = (calib_spline){.n = n, .x = x, .target = y};
    for (int64_t i = 0; i < n; i++) {
        assert(isfinite(log_odds[i]));
        sorted[i] = log_odds[i];
        y[i] = positive[i];
    }
    if (!stat_sort(sorted, n, a, e)) return false;
    for (int k = 0; k < 3 && n > 0; k++) out->knot[k] = stat_quantile(sorted, n, 0.1 + 0.4 * k);
    arena_reset(a, mark);
    bool distinct = out->knot[0] < out->knot[1] && out->knot[1] < out->knot[2];
    for (int64_t i = 0; i < n; i++) {
        x[3 * i] = 1;
        x[3 * i + 1] = log_odds[i];
        x[3 * i + 2] = distinct ? spline_term(out->knot, log_odds[i]) : 0;
    }
    return true;
}

stat_status calib_spline_curve(const calib_spline *s, const uint16_t *weight, const double *p,
                               int32_t n, double *observed)
{
    bool distinct = s->knot[0] < s->knot[1] && s->knot[1] < s->knot[2];
    if (!distinct) return STAT_CONSTANT;
    logistic_fit f = logistic_of(
        &(logistic_rows){.n = s->n, .n_term = 3, .x = s->x, .target = s->target, .weight = weight});
    if (f.status != STAT_OK) return f.status;
    for (int32_t k = 0; k < n; k++) {
        int64_t n_clipped = 0;
        double q = clip(p[k], &n_clipped), l = log(q) - log1p(-q);
        double eta = f.beta[0] + f.beta[1] * l + f.beta[2] * spline_term(s->knot, l);
        observed[k] = 1 / (1 + exp(-eta));
    }
    return STAT_OK;
}
