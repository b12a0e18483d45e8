/* Tests of src/stats/curves: points equal what rank, calib and decide say; bands do not depend on
 * threads; what cannot be computed has a status. */
#include "stats/calib.h"
#include "stats/curves.h"
#include "stats/decide.h"
#include "stats/weigh.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ROWS = 300 };

typedef struct world {
    arena a;
    err e;
    double score[ROWS], p[ROWS];
    uint8_t positive[ROWS];
    int32_t unit[ROWS];
    curves_rows rows;
    pool *one, *three;
} world;

static int open_world(void **state)
{
    static world w;
    w = (world){0};
    *state = &w;
    if (!arena_open(&w.a, (size_t)1 << 30, "test", &w.e)) return 1;
    w.one = pool_open(1, &w.e);
    w.three = pool_open(3, &w.e);
    for (int i = 0; i < ROWS; i++) {
        rng r = rng_for(11, (uint64_t)i, 0);
        w.positive[i] = rng_unit(&r) < 0.3;
        double z = rng_normal(&r) - 1 + 1.4 * w.positive[i];
        w.score[i] = round(8 * z) / 8; /* ties */
        w.p[i] = 1 / (1 + exp(-w.score[i]));
        w.unit[i] = i / 3;
    }
    w.rows = (curves_rows){.n = ROWS, .score = w.score, .probability = w.p, .positive = w.positive};
    return w.one && w.three ? 0 : 1;
}

static int close_world(void **state)
{
    world *w = *state;
    pool_close(w->one);
    pool_close(w->three);
    arena_close(&w->a);
    return 0;
}

static curves_plan plan_of(pool *p) { return (curves_plan){.n_draw = 300, .seed = 5, .pool = p}; }

static void check_band(const curve *c)
{
    assert_true(c->has_band);
    int inside = 0;
    for (int32_t i = 0; i < c->n; i++) {
        assert_true(isfinite(c->low[i]) && isfinite(c->high[i]) && c->low[i] <= c->high[i]);
        inside += c->low[i] <= c->value[i] && c->value[i] <= c->high[i];
    }
    assert_true(inside >= c->n * 9 / 10); /* percentiles need not hold the value, but mostly do */
}

static void check_same(const curve *a, const curve *b)
{
    assert_int_equal(a->n, b->n);
    for (int32_t i = 0; i < a->n; i++) {
        assert_true(a->value[i] == b->value[i]);
        assert_true(a->low[i] == b->low[i] && a->high[i] == b->high[i]);
    }
}

/* Sensitivity at a rate, from the curve's points, the plain way. */
static double interpolate(const rank_roc *r, double fpr)
{
    double best = 0;
    for (int64_t i = 0; i < r->n_point; i++) {
        double x = rank_roc_fpr(r, i), y = rank_roc_tpr(r, i);
        if (x <= fpr + 1e-12) best = y;
        if (x <= fpr + 1e-12 || i == 0) continue;
        double x0 = rank_roc_fpr(r, i - 1), y0 = rank_roc_tpr(r, i - 1);
        return x0 <= fpr + 1e-12 ? y0 + (fpr - x0) / (x - x0) * (y - y0) : best;
    }
    return best;
}

static void test_roc(void **state)
{
    world *w = *state;
    curve c, again, clustered;
    rank_roc roc;
    curves_plan one = plan_of(w->one), three = plan_of(w->three);
    assert_true(curves_roc(&w->rows, &one, &w->a, &c, &w->e));
    assert_true(rank_roc_take(w->score, w->positive, ROWS, &w->a, &roc, &w->e));
    assert_int_equal(c.n, CURVES_ROC);
    assert_int_equal(c.n_draw, 300);
    for (int32_t i = 0; i < c.n; i++)
        assert_true(fabs(c.value[i] - interpolate(&roc, c.x[i])) < 1e-9);
    assert_true(c.value[c.n - 1] == 1);
    check_band(&c);
    assert_true(curves_roc(&w->rows, &three, &w->a, &again, &w->e));
    check_same(&c, &again);
    curves_rows by_patient = w->rows;
    by_patient.unit = w->unit;
    by_patient.n_unit = ROWS / 3;
    assert_true(curves_roc(&by_patient, &one, &w->a, &clustered, &w->e));
    check_band(&clustered);
    assert_true(clustered.by_patient && !c.by_patient);
    assert_true(clustered.low[30] != c.low[30]);
}

static void test_decision(void **state)
{
    world *w = *state;
    curve c;
    double all[CURVES_DECISION];
    decide_point point[CURVES_DECISION];
    curves_plan one = plan_of(w->one);
    assert_true(curves_decision(&w->rows, &one, &w->a, &c, all, &w->e));
    decide_rows rows = {.n = ROWS, .p = w->p, .positive = w->positive};
    assert_int_equal(decide_curve(&rows, c.x, c.n, point), STAT_OK);
    for (int32_t i = 0; i < c.n; i++)
        assert_true(c.value[i] == point[i].model && all[i] == point[i].all);
    check_band(&c);
    /* the band's own way of counting gives the same net benefit: its draws centre on the value */
    double gap = 0;
    for (int32_t i = 0; i < c.n; i++) gap += (c.low[i] + c.high[i]) / 2 - c.value[i];
    assert_true(fabs(gap / c.n) < 0.02);
}

static void test_calibration(void **state)
{
    world *w = *state;
    curve c;
    curves_plan one = plan_of(w->one);
    assert_true(curves_calibration(&w->rows, &one, &w->a, &c, &w->e));
    assert_int_equal(c.status, STAT_OK);
    assert_int_equal(c.n, CURVES_CALIBRATION);
    double log_odds[ROWS], observed[CURVES_CALIBRATION];
    int64_t clipped;
    calib_spline s;
    calib_log_odds(w->p, ROWS, log_odds, &clipped);
    assert_true(calib_spline_take(log_odds, w->positive, ROWS, &w->a, &s, &w->e));
    assert_int_equal(calib_spline_curve(&s, NULL, c.x, c.n, observed), STAT_OK);
    for (int32_t i = 0; i < c.n; i++) assert_true(c.value[i] == observed[i]);
    check_band(&c);
}

static void test_precision(void **state)
{
    world *w = *state;
    curve c;
    stat_estimate o;
    assert_true(curves_precision(&w->rows, &w->a, &c, &w->e));
    assert_true(weigh_auprc_rows(w->score, w->positive, ROWS, &w->a, &o, &w->e));
    double sum = 0;
    for (int32_t i = 0; i < c.n; i++) sum += (c.x[i] - (i ? c.x[i - 1] : 0)) * c.value[i];
    assert_true(fabs(sum - o.value) < 1e-12);
    assert_true(c.x[c.n - 1] == 1);
}

static void test_what_cannot_be_computed(void **state)
{
    world *w = *state;
    curves_plan one = plan_of(w->one);
    curve c;
    double all[CURVES_DECISION];
    uint8_t ones[ROWS], zeros[ROWS] = {0};
    double tied[ROWS];
    for (int i = 0; i < ROWS; i++) ones[i] = 1, tied[i] = 0.4;
    for (int k = 0; k < 2; k++) {
        curves_rows rows = w->rows;
        rows.positive = k ? ones : zeros;
        assert_true(curves_roc(&rows, &one, &w->a, &c, &w->e));
        assert_true(c.status == STAT_ONE_CLASS && c.n == 0 && !c.has_band);
        assert_true(curves_precision(&rows, &w->a, &c, &w->e));
        assert_true(c.status == STAT_ONE_CLASS && c.n == 0);
        assert_true(curves_calibration(&rows, &one, &w->a, &c, &w->e));
        assert_true(c.status == STAT_ONE_CLASS && c.n == 0 && !c.has_band);
    }
    curves_rows rows = w->rows;
    rows.positive = zeros;
    assert_true(curves_decision(&rows, &one, &w->a, &c, all, &w->e));
    assert_true(c.status == STAT_ONE_CLASS && c.n == 0);
    rows = w->rows;
    rows.score = rows.probability = tied;
    assert_true(curves_calibration(&rows, &one, &w->a, &c, &w->e));
    assert_true(c.status == STAT_CONSTANT && c.n == 0);
    assert_true(curves_roc(&rows, &one, &w->a, &c, &w->e)); /* the diagonal, which nothing moves */
    assert_true(c.n == CURVES_ROC && !c.has_band && c.band_status == STAT_ZERO_VARIANCE);
    assert_true(fabs(c.value[50] - 0.5) < 1e-12);
    rows.n = 0;
    assert_true(curves_roc(&rows, &one, &w->a, &c, &w->e));
    assert_true(c.status == STAT_NO_CASES && c.n == 0);
    assert_int_equal(curves_draws(0, false), 1000);
    assert_int_equal(curves_draws(40000, false), 500);
    assert_int_equal(curves_draws(1000000, true), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roc),
        cmocka_unit_test(test_decision),
        cmocka_unit_test(test_calibration),
        cmocka_unit_test(test_precision),
        cmocka_unit_test(test_what_cannot_be_computed),
    };
    return cmocka_run_group_tests_name("curves", tests, open_world, close_world);
}
