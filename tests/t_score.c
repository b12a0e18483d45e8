/* Tests of src/stats/score, prop, cut and calib (Brier): known answers, and what must not move. */
#include "stats/calib.h"
#include "stats/cut.h"
#include "stats/rank.h"
#include "stats/score.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "stat_tests.h"
#include "t24.h"

static void test_two_answers(void **state)
{
    (void)state;
    const double z[2] = {-1.2, -0.7};
    double p[2];
    assert_true(score_probabilities(z, 2, p));
    near_to(p[1], 0.6224593312, 5e-11);
    near_to(score_label_mass(z, 2), 0.7977795157, 5e-11);
}

static void test_surfaces(void **state)
{
    (void)state;
    const double yes[3] = {-1, -2, -3}, no[2] = {-1.5, -2.5};
    double z[2] = {score_log_sum(no, 2), score_log_sum(yes, 3)}, p[2];
    near_to(z[1], -0.5923940356, 5e-11);
    near_to(z[0], -1.1867383125, 5e-11);
    assert_true(score_probabilities(z, 2, p));
    near_to(p[1], 0.6443613026, 5e-11);
    near_to(score_label_mass(z, 2), 0.8582169515482,
            1e-13); /* e^-1 + e^-2 + e^-3 + e^-1.5 + e^-2.5 */
}

static void test_contextual(void **state)
{
    (void)state;
    const double p[2] = {0.7, 0.3}, free_p[2] = {0.8, 0.2}, nothing[2] = {0, 0};
    double out[2];
    assert_true(score_contextual(p, free_p, 2, out));
    near_to(out[0], 0.3684210526, 5e-11);
    near_to(out[1], 0.6315789474, 5e-11);
    assert_false(score_contextual(nothing, free_p, 2, out));
}

static void test_length_normalisation_flips(void **state)
{
    (void)state;
    const double one[2] = {-1.2, -0.3}, two[1] = {-1.0};
    for (int per_token = 0; per_token < 2; per_token++) {
        double z[2] = {score_surface(one, 2, per_token), score_surface(two, 1, per_token)}, p[2];
        assert_true(score_probabilities(z, 2, p));
        near_to(p[0], per_token ? 0.5621765009 : 0.3775406688, 5e-11);
    }
}

static void test_votes(void **state)
{
    (void)state;
    near_to(score_votes(7, 10, false), 0.7, 1e-16);
    near_to(score_votes(7, 10, true), 8.0 / 12, 1e-16);
}

static void test_extremes(void **state)
{
    (void)state;
    const double none[2] = {-INFINITY, -INFINITY}, one[2] = {-INFINITY, -800},
                 far[2] = {-900, -800};
    double p[2];
    assert_false(score_probabilities(none, 2, p));
    assert_true(p[0] == 0 && p[1] == 0 && score_label_mass(none, 2) == 0);
    assert_true(score_probabilities(one, 2, p) && p[1] == 1 && p[0] == 0);
    assert_true(score_probabilities(far, 2, p));
    near_to(p[0], exp(-100), 1e-55);
    near_to(score_log_sum(far, 2), -800, 1e-12);
    assert_true(isinf(score_log_sum(none, 0)));
    const double three[3] = {-1, -2, -3};
    near_to(score_against_rest(three, 3, 1), -2 - log(exp(-1) + exp(-3)), 1e-15);
    assert_true(score_against_rest(one, 2, 1) == INFINITY && score_against_rest(far, 2, 0) == -100);
}

static void test_permutations_average_contents(void **state)
{
    (void)state;
    /* three cyclic shifts of three options; the model always likes the first place by 0.6 */
    const double p[9] = {0.6, 0.3, 0.1, 0.6, 0.3, 0.1, 0.6, 0.3, 0.1};
    const int32_t at[9] = {0, 1, 2, 1, 2, 0, 2, 0, 1};
    double out[3];
    score_permutation_average(p, at, 3, 3, out);
    for (int k = 0; k < 3; k++) near_to(out[k], 1.0 / 3, 1e-15);
}

/* Whatever adds a constant a class leaves a binary AUROC where it was. */
static void test_constants_leave_auroc(void **state)
{
    (void)state;
    arena a;
    err e = {0};
    assert_true(arena_open(&a, 1 << 22, "test", &e));
    double z[2 * T24_N], score[T24_N], free_z[2] = {-0.3, -2.0}, out[2];
    rank_auroc before, pmi, batch;
    for (int i = 0; i < T24_N; i++) {
        z[2 * i] = log(1 - t24_a[i]) - 1;
        z[2 * i + 1] = log(t24_a[i]) - 1;
        score[i] = z[2 * i + 1] - z[2 * i];
    }
    assert_true(rank_auroc_rows(score, t24_y, T24_N, &a, &before, &e));
    for (int i = 0; i < T24_N; i++) {
        score_domain_pmi(z + 2 * i, free_z, 2, out);
        score[i] = out[1] - out[0];
    }
    assert_true(rank_auroc_rows(score, t24_y, T24_N, &a, &pmi, &e));
    score_batch_centre(z, T24_N, 2);
    for (int i = 0; i < T24_N; i++) score[i] = z[2 * i + 1] - z[2 * i];
    assert_true(rank_auroc_rows(score, t24_y, T24_N, &a, &batch, &e));
    near_to(before.logit.value, 0.810714285714, 1e-12);
    assert_true(pmi.logit.value == before.logit.value && batch.logit.value == before.logit.value);
    arena_close(&a);
}

static void test_intervals_of_shares(void **state)
{
    (void)state;
    static const struct {
        int64_t x, n;
        double wilson[2], exact[2];
    } known[] = {
        {7, 10, {0.396778147, 0.892208733}, {0.347547150, 0.933260489}},
        {10, 14, {0.453509157, 0.882786214}, {0.418964743, 0.916110682}},
        {81, 263, {0.255288520, 0.366209577}, {0.252736746, 0.367621923}},
        {15, 148, {0.062386400, 0.160487242}, {0.057844010, 0.161650490}},
        {0, 20, {0, 0.161125158}, {0, 0.168433471}},
        {1, 29, {0.006113214, 0.171755219}, {0.000872647, 0.177644295}},
        {20, 20, {0.838874842, 1}, {0.831566529, 1}},
    };
    for (size_t k = 0; k < countof(known); k++) {
        stat_estimate w = prop_of(known[k].x, known[k].n, PROP_WILSON, 0);
        stat_estimate c = prop_of(known[k].x, known[k].n, PROP_CLOPPER_PEARSON, 0.95);
        near_to(w.low, known[k].wilson[0], 5e-10);
        near_to(w.high, known[k].wilson[1], 5e-10);
        near_to(c.low, known[k].exact[0], 5e-10);
        near_to(c.high, known[k].exact[1], 5e-10);
        near_to(w.value, (double)known[k].x / (double)known[k].n, 1e-16);
    }
    stat_estimate none = prop_of(0, 0, PROP_WILSON, 0);
    assert_false(none.has_value || none.has_interval);
}

static void test_t24_at_point(void **state)
{
    (void)state;
    const double *both[2] = {t24_a, t24_b};
    for (int k = 0; k < 2; k++) {
        cut_table t = cut_table_of(both[k], t24_y, T24_N, 0.5);
        assert_true(t.tp == 7 && t.fp == 4 && t.tn == 10 && t.fn == 3);
        cut_measures m = cut_measures_of(t, PROP_WILSON, 0);
        near_to(m.accuracy.value, 0.708333, 5e-7);
        near_to(m.sensitivity.value, 0.7, 1e-15);
        near_to(m.specificity.value, 0.714286, 5e-7);
        near_to(m.ppv.value, 0.636364, 5e-7);
        near_to(m.npv.value, 0.769231, 5e-7);
        near_to(m.f1.value, 0.666667, 5e-7);
        near_to(m.macro_f1.value, 0.703704, 5e-7);
        near_to(m.weighted_f1.value, 0.709877, 5e-7);
        near_to(m.mcc.value, 0.409917025789, 1e-12);
        near_to(m.kappa.value, 0.408450704225, 1e-12);
        near_to(m.balanced_accuracy.value, 0.707143, 5e-7);
        near_to(m.sensitivity.low, 0.396778147, 5e-10);
        near_to(m.specificity.high, 0.882786214, 5e-10);
    }
}

static void test_undefined_ratios(void **state)
{
    (void)state;
    cut_measures m = cut_measures_of((cut_table){.tn = 5}, PROP_WILSON, 0);
    assert_false(m.f1.has_value || m.mcc.has_value || m.ppv.has_value || m.sensitivity.has_value);
    assert_int_equal(m.f1.status, STAT_NO_PREDICTED_POSITIVE);
    assert_true(m.accuracy.has_value && m.accuracy.value == 1 && m.npv.value == 1);
    assert_false(m.kappa.has_value); /* everyone in one corner */
    m = cut_measures_of((cut_table){.tp = 2, .fp = 1, .fn = 1}, PROP_WILSON, 0);
    near_to(m.mcc.value, -1.0 / 3, 1e-15); /* (+,+,+,-) against (+,-,+,+) */
    m = cut_measures_of((cut_table){0}, PROP_WILSON, 0);
    assert_false(m.accuracy.has_value || m.balanced_accuracy.has_value);
}

static void test_brier(void **state)
{
    (void)state;
    const double p[4] = {0.1, 0.9, 0.8, 0.3}, odd[2] = {0.5, 1.5}, hole[2] = {0.5, NAN};
    const uint8_t y[4] = {0, 1, 1, 0}, ones[2] = {1, 1};
    near_to(calib_brier(p, y, 4).value, 0.0375, 1e-15);
    near_to(calib_brier(t24_a, t24_y, T24_N).value, 0.179375, 1e-14);
    near_to(calib_brier(t24_b, t24_y, T24_N).value, 0.175104166667, 1e-12);
    near_to(calib_brier_scaled(t24_a, t24_y, T24_N).value, 0.262, 1e-12);
    near_to(calib_brier_scaled(t24_b, t24_y, T24_N).value, 0.279571428571, 1e-12);
    assert_int_equal(calib_brier(odd, y, 2).status, STAT_OUT_OF_RANGE);
    assert_int_equal(calib_brier(hole, y, 2).status, STAT_MISSING_SCORES);
    assert_int_equal(calib_brier(p, y, 0).status, STAT_NO_CASES);
    assert_true(calib_brier(p, ones, 2).has_value); /* one class: Brier is fine, scaled is not */
    assert_int_equal(calib_brier_scaled(p, ones, 2).status, STAT_ONE_CLASS);
}

static void test_every_status_speaks(void **state)
{
    (void)state;
    for (int s = STAT_OK; s <= STAT_TOO_MANY_REDRAWS; s++) {
        assert_non_null(stat_status_name(s));
        assert_true(strlen(stat_status_reason(s)) > 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_answers),
        cmocka_unit_test(test_surfaces),
        cmocka_unit_test(test_contextual),
        cmocka_unit_test(test_length_normalisation_flips),
        cmocka_unit_test(test_votes),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_permutations_average_contents),
        cmocka_unit_test(test_constants_leave_auroc),
        cmocka_unit_test(test_intervals_of_shares),
        cmocka_unit_test(test_t24_at_point),
        cmocka_unit_test(test_undefined_ratios),
        cmocka_unit_test(test_brier),
        cmocka_unit_test(test_every_status_speaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
