/* curves: see curves.h. Rows are sorted once; a resample is a vector of counts and one walk. */
#include "stats/curves.h"

#include "stats/calib.h"
#include "stats/decide.h"

#include <assert.h>
#include <math.h>
#include <string.h>

int64_t curves_draws(int64_t n, bool fits)
{
    int64_t work = fits ? 4000000 : 20000000, draws = work / (n > 0 ? n : 1);
    return draws > 1000 ? 1000 : draws < 200 ? 200 : draws;
}

/* Room for n points; has_band is settled later. */
static bool take_points(curve *c, int32_t n, arena *a, err *e)
{
    *c = (curve){.n = n};
    c->x = arena_take_zero(a, (size_t)n, sizeof *c->x, e);
    c->value = arena_take_zero(a, (size_t)n, sizeof *c->value, e);
    c->low = arena_take_zero(a, (size_t)n, sizeof *c->low, e);
    c->high = arena_take_zero(a, (size_t)n, sizeof *c->high, e);
    return c->x && c->value && c->low && c->high;
}

typedef struct kind { /* what one kind of curve needs of the bootstrap */
    const char *name;
    boot_statistic *statistic;
    const void *context;
    bool fits;
} kind;

/* Values on all rows and pointwise percentiles. Scratch is given back. */
static bool draw_band(const curves_rows *rows, const curves_plan *plan, kind k, arena *a, curve *c,
                      err *e)
{
    size_t mark = arena_mark(a);
    int64_t n_draw = plan->n_draw ? plan->n_draw : curves_draws(rows->n, k.fits);
    boot_plan how = {.n = rows->n,
                     .unit = rows->unit,
                     .n_unit = rows->n_unit,
                     .stratum = rows->unit ? NULL : rows->positive,
                     .n_draw = n_draw,
                     .seed_study = plan->seed,
                     .seed_analysis = boot_seed(k.name),
                     .n_value = c->n,
                     .statistic = k.statistic,
                     .context = k.context};
    boot_result r;
    if (!boot_run(&how, plan->pool, a, &r, e)) return false;
    c->n_draw = n_draw;
    c->by_patient = rows->unit != NULL;
    c->band_status = r.status;
    for (int32_t i = 0; i < c->n && r.status == STAT_OK; i++) {
        stat_estimate o;
        if (!boot_estimate(&r, i, (boot_interval){.level = plan->level}, a, &o, e)) return false;
        /* a point that no resample moves (the end of a ROC) is its own band; a whole curve is not
         * */
        c->has_band = c->has_band || (o.has_interval && o.high - o.low > 1e-9);
        c->low[i] = o.has_interval ? o.low : o.value;
        c->high[i] = o.has_interval ? o.high : o.value;
    }
    if (r.status == STAT_OK && !c->has_band) c->band_status = STAT_ZERO_VARIANCE;
    arena_reset(a, mark);
    return true;
}

/* --- rows from the highest score down, with the ends of ties --- */

typedef struct descent {
    int64_t n;
    int32_t *row;
    bool *last; /* the next score is lower */
    const uint8_t *positive;
} descent;

static bool take_descent(const curves_rows *rows, arena *a, descent *d, err *e)
{
    int64_t n = rows->n;
    *d = (descent){.n = n, .positive = rows->positive};
    d->row = arena_take(a, (size_t)n, sizeof *d->row, e);
    d->last = arena_take(a, (size_t)n, sizeof *d->last, e);
    if (!d->row || !d->last || !stat_order(rows->score, n, d->row, a, e)) return false;
    for (int64_t i = 0; i < n / 2; i++) {
        int32_t low = d->row[i];
        d->row[i] = d->row[n - 1 - i];
        d->row[n - 1 - i] = low;
    }
    for (int64_t i = 0; i < n; i++)
        d->last[i] = i + 1 == n || rows->score[d->row[i + 1]] < rows->score[d->row[i]];
    return true;
}

/* --- ROC --- */

static bool roc_at_grid(const void *context, const uint16_t *weight, double *value)
{
    const descent *d = context;
    int64_t all[2] = {0, 0}, called[2] = {0, 0}, before[2] = {0, 0};
    for (int64_t i = 0; i < d->n; i++) all[d->positive[i]] += weight[i];
    if (all[0] == 0 || all[1] == 0) return false;
    int32_t k = 0;
    for (int64_t i = 0; i < d->n && k < CURVES_ROC; i++) {
        called[d->positive[d->row[i]]] += weight[d->row[i]];
        if (!d->last[i]) continue;
        /* grid points before this point's false-positive rate lie on the line from the last point
         * */
        while (k < CURVES_ROC && k * all[0] < 100 * called[0]) {
            double run = (double)(called[0] - before[0]);
            double at = ((double)k * (double)all[0] / 100 - (double)before[0]) / run;
            double rise = (double)(called[1] - before[1]);
            value[k++] = ((double)before[1] + at * rise) / (double)all[1];
        }
        before[0] = called[0];
        before[1] = called[1];
    }
    while (k < CURVES_ROC) value[k++] = 1;
    return true;
}

bool curves_roc(const curves_rows *rows, const curves_plan *plan, arena *a, curve *out, err *e)
{
    int64_t n_positive = 0;
    if (!take_points(out, CURVES_ROC, a, e)) return false;
    out->status = stat_check_rows(rows->score, rows->positive, rows->n, &n_positive);
    if (!stat_status_usable(out->status)) {
        out->n = 0;
        return true;
    }
    size_t mark = arena_mark(a);
    descent d;
    uint16_t *ones = arena_take(a, (size_t)rows->n, sizeof *ones, e);
    if (!ones || !take_descent(rows, a, &d, e)) return false;
    for (int64_t i = 0; i < rows->n; i++) ones[i] = 1;
    bool some = roc_at_grid(&d, ones, out->value);
    assert(some); /* both classes are there */
    for (int32_t k = 0; k < out->n; k++) out->x[k] = k / 100.0;
    kind k = {.name = "roc band", .statistic = roc_at_grid, .context = &d};
    if (!draw_band(rows, plan, k, a, out, e)) return false;
    arena_reset(a, mark);
    return true;
}

/* --- calibration --- */

typedef struct smooth {
    calib_spline spline;
    const double *p;
} smooth;

static bool smooth_at_grid(const void *context, const uint16_t *weight, double *value)
{
    const smooth *s = context;
    return calib_spline_curve(&s->spline, weight, s->p, CURVES_CALIBRATION, value) == STAT_OK;
}

static bool calibration_grid(const curves_rows *rows, arena *a, curve *out, err *e)
{
    size_t mark = arena_mark(a);
    double *sorted = arena_take(a, (size_t)rows->n, sizeof *sorted, e);
    if (!sorted) return false;
    memcpy(sorted, rows->probability, (size_t)rows->n * sizeof *sorted);
    if (!stat_sort(sorted, rows->n, a, e)) return false;
    double from = stat_quantile(sorted, rows->n, 0.01), to = stat_quantile(sorted, rows->n, 0.99);
    for (int32_t k = 0; k < out->n; k++) out->x[k] = from + (to - from) * k / (out->n - 1);
    arena_reset(a, mark);
    return true;
}

bool curves_calibration(const curves_rows *rows, const curves_plan *plan, arena *a, curve *out,
                        err *e)
{
    if (!take_points(out, CURVES_CALIBRATION, a, e)) return false;
    out->status = stat_check_probabilities(rows->probability, rows->n);
    size_t mark = arena_mark(a);
    double *log_odds = arena_take(a, (size_t)rows->n, sizeof *log_odds, e);
    if (!log_odds) return false;
    if (out->status == STAT_OK) {
        int64_t n_clipped = 0, events = 0;
        smooth s = {.p = out->x};
        for (int64_t i = 0; i < rows->n; i++) events += rows->positive[i];
        calib_log_odds(rows->probability, rows->n, log_odds, &n_clipped);
        if (!calibration_grid(rows, a, out, e)) return false;
        if (!calib_spline_take(log_odds, rows->positive, rows->n, a, &s.spline, e)) return false;
        out->status = events == 0 || events == rows->n
                          ? STAT_ONE_CLASS
                          : calib_spline_curve(&s.spline, NULL, out->x, out->n, out->value);
        kind k = {.name = "calibration band",
                  .statistic = smooth_at_grid,
                  .context = &s,
                  .fits = true};
        if (out->status == STAT_OK && !draw_band(rows, plan, k, a, out, e)) return false;
    }
    if (out->status != STAT_OK) out->n = 0;
    arena_reset(a, mark);
    return true;
}

/* --- decision curve --- */

typedef struct decision {
    int64_t n;
    const uint8_t *reached; /* [n] thresholds at or under the probability */
    const uint8_t *positive;
} decision;

static bool benefit_at_grid(const void *context, const uint16_t *weight, double *value)
{
    const decision *d = context;
    int64_t count[CURVES_DECISION + 1][2] = {0}, called[2] = {0, 0}, total = 0, events = 0;
    for (int64_t i = 0; i < d->n; i++) {
        count[d->reached[i]][d->positive[i]] += weight[i];
        events += d->positive[i] ? weight[i] : 0;
        total += weight[i];
    }
    if (events == 0) return false;
    for (int32_t k = CURVES_DECISION - 1; k >= 0; k--) { /* threshold k is the (k + 1)-th */
        double t = (k + 1) / 100.0, odds = t / (1 - t);
        called[0] += count[k + 1][0];
        called[1] += count[k + 1][1];
        value[k] = ((double)called[1] - (double)called[0] * odds) / (double)total;
    }
    return true;
}

bool curves_decision(const curves_rows *rows, const curves_plan *plan, arena *a, curve *out,
                     double *all, err *e)
{
    if (!take_points(out, CURVES_DECISION, a, e)) return false;
    size_t mark = arena_mark(a);
    decide_point *point = arena_take_zero(a, CURVES_DECISION, sizeof *point, e);
    uint8_t *reached = arena_take_zero(a, (size_t)rows->n, sizeof *reached, e);
    if (!point || !reached) return false;
    for (int32_t k = 0; k < CURVES_DECISION; k++) out->x[k] = (k + 1) / 100.0;
    decide_rows all_rows = {.n = rows->n, .p = rows->probability, .positive = rows->positive};
    out->status = decide_curve(&all_rows, out->x, CURVES_DECISION, point);
    if (out->status != STAT_OK) {
        out->n = 0;
    } else {
        for (int32_t k = 0; k < CURVES_DECISION; k++) {
            out->value[k] = point[k].model;
            all[k] = point[k].all;
        }
        for (int64_t i = 0; i < rows->n; i++) {
            while (reached[i] < CURVES_DECISION && rows->probability[i] >= out->x[reached[i]])
                reached[i]++;
        }
        decision d = {.n = rows->n, .reached = reached, .positive = rows->positive};
        kind k = {.name = "decision band", .statistic = benefit_at_grid, .context = &d};
        if (!draw_band(rows, plan, k, a, out, e)) return false;
    }
    arena_reset(a, mark);
    return true;
}

/* --- precision and recall --- */

bool curves_precision(const curves_rows *rows, arena *a, curve *out, err *e)
{
    int64_t n_positive = 0;
    stat_status status = stat_check_rows(rows->score, rows->positive, rows->n, &n_positive);
    bool usable = stat_status_usable(status);
    if (!take_points(out, usable ? (int32_t)rows->n : 0, a, e)) return false;
    out->status = status;
    out->band_status = STAT_OK;
    if (!usable) return true;
    size_t mark = arena_mark(a);
    descent d;
    if (!take_descent(rows, a, &d, e)) return false;
    int64_t called = 0, right = 0;
    out->n = 0;
    for (int64_t i = 0; i < d.n; i++) {
        called++;
        right += d.positive[d.row[i]];
        if (!d.last[i]) continue;
        out->x[out->n] = (double)right / (double)n_positive;
        out->value[out->n++] = (double)right / (double)called;
    }
    arena_reset(a, mark);
    return true;
}
