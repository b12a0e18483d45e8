/* Tests of stats/verdict: what is chosen on tune rows, and the declared comparison. */
#include "report_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { USE = 250, TUNE = SAMPLE_ROWS - USE };

typedef struct world {
    arena a;
    sample s;
    verdict_input in;
    verdict_tune tune;
    const double *tune_z[SAMPLE_ARMS];
    verdict out;
    err e;
} world;

static world *make(verdict_recal recal, verdict_point point)
{
    static const double shifts[SAMPLE_ARMS] = {0.9, 1.4, 0.1};
    static world w;
    w = (world){0};
    if (!arena_open(&w.a, (size_t)1 << 30, "test", &w.e) ||
        !sample_make(&w.s, &w.a, 2, 1, shifts, &w.e))
        fail_msg("%s", w.e.text);
    for (int k = 0; k < SAMPLE_ARMS; k++) w.tune_z[k] = w.s.z[k] + USE * 2;
    w.tune = (verdict_tune){.n_row = TUNE, .label = w.s.label + USE, .log_score = w.tune_z};
    w.in = (verdict_input){.n_arm = SAMPLE_ARMS,
                           .n_class = 2,
                           .positive = 1,
                           .n_row = USE,
                           .label = w.s.label,
                           .log_score = w.s.z_of,
                           .tune = &w.tune,
                           .recalibrate = recal,
                           .point = point};
    return &w;
}

static void judge(world *w)
{
    if (!verdict_judge(&w->in, &w->a, &w->out, &w->e)) fail_msg("%s", w->e.text);
}

static double p_of(const world *w, int32_t arm, int32_t row)
{
    const double *z = w->s.z[arm] + (size_t)row * 2;
    return 1 / (1 + exp(z[0] - z[1]));
}

/* The highest threshold with the wanted sensitivity on the tune rows, used on the others alone. */
static void test_threshold(void **state)
{
    (void)state;
    world *w = make(VERDICT_RECAL_NONE, (verdict_point){true, CUT_SENSITIVITY, 0.9});
    judge(w);
    assert_int_equal(w->out.n, USE);
    assert_int_equal(w->out.n_tune, TUNE);
    for (int32_t k = 0; k < SAMPLE_ARMS; k++) {
        const verdict_arm *a = &w->out.arm[k];
        int64_t found = 0, all = 0, above = 0, tp = 0;
        for (int32_t i = USE; i < SAMPLE_ROWS; i++) {
            all += w->s.label[i] == 1;
            found += w->s.label[i] == 1 && p_of(w, k, i) >= a->threshold - 1e-12;
            above += w->s.label[i] == 1 && p_of(w, k, i) > a->threshold + 1e-12;
        }
        assert_true((double)found / (double)all >= 0.9); /* it reaches the target, */
        assert_true((double)above / (double)all < 0.9);  /* and no higher one does */
        assert_true(fabs(a->choice.sensitivity - (double)found / (double)all) < 1e-12);
        for (int32_t i = 0; i < USE; i++)
            tp += w->s.label[i] == 1 && p_of(w, k, i) >= a->threshold - 1e-12;
        assert_int_equal(a->at_point.table.tp, tp);
    }
    arena_close(&w->a);
}

/* Platt's map by hand from the same rows; the AUROC does not move. */
static void test_recalibration(void **state)
{
    (void)state;
    world *w = make(VERDICT_RECAL_PLATT, (verdict_point){0});
    judge(w);
    verdict_arm *a = &w->out.arm[0];
    double z[TUNE];
    uint8_t positive[TUNE];
    for (int32_t i = 0; i < TUNE; i++) {
        const double *own = w->tune_z[0] + (size_t)i * 2;
        z[i] = own[1] - own[0];
        positive[i] = w->s.label[USE + i] == 1;
    }
    recal_map map;
    const stat_rows rows = {.n = TUNE, .score = z, .positive = positive};
    assert_true(recal_platt(&rows, false, &w->a, &map, &w->e));
    assert_int_equal(a->recal.status, STAT_OK);
    assert_true(fabs(a->recal.slope - map.slope) < 1e-9);
    assert_true(fabs(a->probability[7] - recal_apply(&map, a->score[7])) < 1e-12);
    assert_true(fabs(a->own_probability[7] - p_of(w, 0, 7)) < 1e-12);
    assert_true(a->brier.value < a->brier_own.value); /* the sample's scores are twice too sure */
    double auroc = a->auroc.logit.value;
    w->in.recalibrate = VERDICT_RECAL_NONE;
    judge(w);
    assert_true(w->out.arm[0].auroc.logit.value == auroc);
    assert_ptr_equal(w->out.arm[0].probability, w->out.arm[0].own_probability);
    arena_close(&w->a);
}

/* One class on the tune rows: nothing is chosen, nothing fitted, nothing is NaN. */
static void test_tune_of_one_class(void **state)
{
    (void)state;
    world *w = make(VERDICT_RECAL_TEMPERATURE, (verdict_point){.chosen = true});
    for (int32_t i = USE; i < SAMPLE_ROWS; i++) w->s.label[i] = 0;
    judge(w);
    const verdict_arm *a = &w->out.arm[1];
    assert_int_equal(a->recal.status, STAT_ONE_CLASS);
    assert_ptr_equal(a->probability, a->own_probability);
    assert_int_equal(a->choice.status, STAT_ONE_CLASS);
    assert_false(a->at_point.sensitivity.has_value);
    assert_int_equal(a->at_point.sensitivity.status, STAT_ONE_CLASS);
    assert_true(a->auroc.logit.has_value);
    arena_close(&w->a);
}

/* Tune rows are in no result: other labels there move thresholds alone. */
static void test_tune_is_not_judged(void **state)
{
    (void)state;
    world *w = make(VERDICT_RECAL_NONE, (verdict_point){.chosen = true});
    judge(w);
    double auroc = w->out.arm[0].auroc.logit.value, brier = w->out.arm[0].brier.value;
    for (int32_t i = USE; i < SAMPLE_ROWS; i++) w->s.label[i] = 1 - w->s.label[i];
    judge(w);
    assert_true(w->out.arm[0].auroc.logit.value == auroc && w->out.arm[0].brier.value == brier);
    arena_close(&w->a);
}

static void test_primary(void **state)
{
    (void)state;
    world *w = make(VERDICT_RECAL_NONE, (verdict_point){0});
    judge(w);
    assert_int_equal(w->out.primary, -1);
    double p[3];
    for (int k = 0; k < 3; k++) p[k] = w->out.pair[k].test.p;
    w->in.primary[0] = 2;
    judge(w); /* arm 2 against arm 0: pair 1 */
    assert_int_equal(w->out.primary, 1);
    assert_true(w->out.pair[1].primary && !w->out.pair[0].primary);
    assert_true(w->out.pair[1].p_holm == p[1]);
    double least = fmin(p[0], p[2]), most = fmax(p[0], p[2]);
    double first = fmin(1, 2 * least);
    assert_true(fabs(fmin(w->out.pair[0].p_holm, w->out.pair[2].p_holm) - first) < 1e-15);
    assert_true(fabs(fmax(w->out.pair[0].p_holm, w->out.pair[2].p_holm) - fmax(first, most)) <
                1e-15);
    arena_close(&w->a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threshold),         cmocka_unit_test(test_recalibration),
        cmocka_unit_test(test_tune_of_one_class), cmocka_unit_test(test_tune_is_not_judged),
        cmocka_unit_test(test_primary),
    };
    return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
