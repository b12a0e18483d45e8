/* Tests of src/stats/calib, recal, logistic, decide, cut (choosing), paired, adjust: T24's known
 * answers, and scikit-learn, statsmodels and rms on 600 made-up rows (tests/golden/stats_*). */
#include "stats/adjust.h"
#include "stats/calib.h"
#include "stats/cut.h"
#include "stats/decide.h"
#include "stats/dist.h"
#include "stats/logistic.h"
#include "stats/paired.h"
#include "stats/recal.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "golden_file.h"
#include "stat_tests.h"
#include "t24.h"

static golden_file python, r;
static golden_rows rows;

static int open_all(void **state)
{
    static arena a;
    err e = {0};
    *state = &a;
    if (!arena_open(&a, (size_t)1 << 30, "test", &e)) return 1;
    golden_read(&python, "tests/golden/stats_python.txt");
    golden_read(&r, "tests/golden/stats_r.txt");
    golden_rows_read(&rows);
    return 0;
}

static int close_all(void **state)
{
    arena_close(*state);
    return 0;
}

static double named(const golden_file *g, const char *stem, const char *tail)
{
    char name[60];
    snprintf(name, sizeof name, "%s_%s", stem, tail);
    return golden(g, name);
}

static void test_t24_scores(void **state)
{
    err e = {0};
    int64_t n_clipped;
    double odds[T24_N];
    calib_line line;
    near_to(calib_log_loss(t24_a, t24_y, T24_N, &n_clipped).value, 0.525064803365, 1e-12);
    near_to(calib_log_loss(t24_b, t24_y, T24_N, &n_clipped).value, 0.515865592431, 1e-12);
    calib_log_odds(t24_a, T24_N, odds, &n_clipped);
    assert_int_equal(n_clipped, 0);
    assert_true(calib_line_of(&(stat_rows){T24_N, odds, t24_y, NULL}, *state, &line, &e));
    assert_int_equal(line.status, STAT_OK);
    /* solved with mpmath at 30 digits; R's glm stops 1e-9 before and gives SE 0.508194543 */
    near_to(line.in_the_large.value, -0.38063409056953959, 1e-13);
    near_to(sqrt(line.in_the_large.variance), 0.508198395477744, 1e-12);
    near_to(line.intercept.value, -0.372298178569712, 1e-12);
    near_to(line.slope.value, 0.912623264395650, 1e-12);
    near_to(sqrt(line.intercept.variance), 0.497110775379587, 1e-12);
    near_to(sqrt(line.slope.variance), 0.395262375103989, 1e-12);
    calib_log_odds(t24_b, T24_N, odds, &n_clipped);
    assert_true(calib_line_of(&(stat_rows){T24_N, odds, t24_y, NULL}, *state, &line, &e));
    near_to(line.in_the_large.value, -0.22777482884721878, 1e-13);
    near_to(line.intercept.value, -0.217578916, 5e-10);
    near_to(line.slope.value, 1.350184634, 5e-10);
    near_to(calib_observed_expected(t24_a, t24_y, T24_N).value, 0.869565217391, 1e-12);
    calib_spiegelhalter s = calib_spiegelhalter_of(t24_a, t24_y, T24_N);
    near_to(s.z, 0.326415266, 5e-10);
    near_to(s.p, 0.744110189, 5e-10);
    s = calib_spiegelhalter_of(t24_b, t24_y, T24_N);
    near_to(s.z, -0.524628835, 5e-10);
    near_to(s.p, 0.599841237, 5e-10);
}

static void test_t24_ece(void **state)
{
    static const struct {
        bool equal_mass;
        int32_t n_bin;
        double a, b;
    } want[3] = {{false, 10, 0.120833333, 0.14375},
                 {false, 5, 0.104166667, 0.14375},
                 {true, 4, 0.154166667, 0.110416667}};
    for (int k = 0; k < 3; k++) {
        err e = {0};
        calib_bin bin[10];
        stat_estimate o;
        assert_true(calib_ece(&(stat_rows){T24_N, t24_a, t24_y, NULL},
                              (calib_bins){want[k].n_bin, want[k].equal_mass}, bin, *state, &o,
                              &e));
        near_to(o.value, want[k].a, 5e-10);
        int64_t n = 0, events = 0;
        for (int i = 0; i < want[k].n_bin; i++) n += bin[i].n, events += bin[i].events;
        assert_true(n == T24_N && events == 10);
        assert_true(calib_ece(&(stat_rows){T24_N, t24_b, t24_y, NULL},
                              (calib_bins){want[k].n_bin, want[k].equal_mass}, bin, *state, &o,
                              &e));
        near_to(o.value, want[k].b, 5e-10);
    }
}

static void test_t24_temperature(void **state)
{
    const double *p[2] = {t24_a, t24_b}, want[2] = {1.0921198, 0.7301002};
    const double loss[2] = {0.5241498102, 0.5068477338};
    for (int k = 0; k < 2; k++) {
        err e = {0};
        recal_map m;
        double z[T24_N];
        int64_t n_clipped;
        calib_log_odds(p[k], T24_N, z, &n_clipped);
        assert_true(recal_temperature(&(stat_rows){T24_N, z, t24_y, NULL}, *state, &m, &e));
        assert_int_equal(m.status, STAT_OK);
        near_to(1 / m.slope, want[k], 1e-7);
        near_to(m.log_loss, loss[k], 5e-11);
        near_to(recal_apply(&m, 0), 0.5, 1e-16);
    }
}

static void test_against_python(void **state)
{
    const char *const tail[2] = {"a", "b"};
    for (int k = 0; k < 2; k++) {
        err e = {0};
        int64_t n_clipped;
        calib_line line;
        recal_map m;
        assert_true(
            calib_line_of(&(stat_rows){GOLDEN_ROWS, rows.z[k], rows.y, NULL}, *state, &line, &e));
        near_to(line.in_the_large.value, named(&python, "citl", tail[k]), 1e-10);
        near_to(sqrt(line.in_the_large.variance), named(&python, "citl_se", tail[k]), 1e-10);
        near_to(line.intercept.value, named(&python, "intercept", tail[k]), 1e-10);
        near_to(line.slope.value, named(&python, "slope", tail[k]), 1e-10);
        near_to(sqrt(line.slope.variance), named(&python, "slope_se", tail[k]), 1e-10);
        near_to(calib_log_loss(rows.p[k], rows.y, GOLDEN_ROWS, &n_clipped).value,
                named(&python, "log_loss", tail[k]), 1e-12);
        assert_true(
            recal_temperature(&(stat_rows){GOLDEN_ROWS, rows.z[k], rows.y, NULL}, *state, &m, &e));
        near_to(1 / m.slope, named(&python, "temperature", tail[k]), 1e-6);
        near_to(m.log_loss, named(&python, "temperature_loss", tail[k]), 1e-11);
        assert_true(
            recal_platt(&(stat_rows){GOLDEN_ROWS, rows.z[k], rows.y, NULL}, true, *state, &m, &e));
        near_to(m.slope, named(&python, "platt_slope", tail[k]), 2e-5); /* L-BFGS there */
        near_to(m.intercept, named(&python, "platt_intercept", tail[k]), 2e-5);
        assert_true(recal_isotonic(&(stat_rows){GOLDEN_ROWS, rows.z[k], rows.y, NULL}, 100, *state,
                                   &m, &e));
        for (double g = -4; g < 4.01; g += 0.25) {
            char name[40];
            snprintf(name, sizeof name, "isotonic_%s_%.2f", tail[k], g);
            near_to(recal_apply(&m, g), golden(&python, name), 1e-12);
        }
    }
    near_to(calib_brier(rows.p[0], rows.y, GOLDEN_ROWS).value, golden(&python, "brier_a"), 1e-12);
    cut_measures c =
        cut_measures_of(cut_table_of(rows.p[0], rows.y, GOLDEN_ROWS, 0.5), PROP_WILSON, 0);
    near_to(c.f1.value, golden(&python, "f1_a"), 1e-12);
    near_to(c.macro_f1.value, golden(&python, "macro_f1_a"), 1e-12);
    near_to(c.weighted_f1.value, golden(&python, "weighted_f1_a"), 1e-12);
    near_to(c.mcc.value, golden(&python, "mcc_a"), 1e-12);
    near_to(c.kappa.value, golden(&python, "kappa_a"), 1e-12);
    near_to(c.balanced_accuracy.value, golden(&python, "balanced_a"), 1e-12);
}

static void test_against_rms(void **state)
{
    err e = {0};
    calib_spline s;
    double p[19], observed[19];
    near_to(calib_brier(rows.p[0], rows.y, GOLDEN_ROWS).value, golden(&r, "val_Brier"), 1e-10);
    calib_spiegelhalter t = calib_spiegelhalter_of(rows.p[0], rows.y, GOLDEN_ROWS);
    near_to(t.z, golden(&r, "val_Sz"), 1e-9);
    near_to(t.p, golden(&r, "val_Sp"), 1e-10);
    assert_true(calib_spline_take(rows.z[0], rows.y, GOLDEN_ROWS, *state, &s, &e));
    for (int i = 0; i < 19; i++) p[i] = 0.05 * (i + 1);
    assert_int_equal(calib_spline_curve(&s, NULL, p, 19, observed), STAT_OK);
    for (int i = 0; i < 19; i++) {
        char name[20];
        snprintf(name, sizeof name, "curve_%.2f", p[i]);
        near_to(observed[i], golden(&r, name), 1e-8);
    }
}

static void test_calibration_edges(void **state)
{
    err e = {0};
    calib_line line;
    const double same[6] = {0.3, 0.3, 0.3, 0.3, 0.3, 0.3}, rising[6] = {-3, -2, -1, 1, 2, 3};
    const double wild[3] = {0, 1, 0.5}, out_of[2] = {-0.1, 0.4};
    const uint8_t half[6] = {0, 0, 0, 1, 1, 1}, ones[6] = {1, 1, 1, 1, 1, 1};
    assert_true(calib_line_of(&(stat_rows){6, same, half, NULL}, *state, &line, &e));
    assert_int_equal(line.status, STAT_CONSTANT);
    assert_true(!line.slope.has_value && line.in_the_large.has_value);
    assert_true(calib_line_of(&(stat_rows){6, rising, half, NULL}, *state, &line, &e));
    assert_int_equal(line.status, STAT_SEPARATION);
    assert_true(!line.slope.has_value && line.slope.value == 0);
    assert_true(calib_line_of(&(stat_rows){6, rising, ones, NULL}, *state, &line, &e));
    assert_int_equal(line.status, STAT_ONE_CLASS);
    int64_t n_clipped;
    stat_estimate o =
        calib_log_loss(wild, half, 3, &n_clipped); /* the truth got 0: large, finite */
    assert_int_equal(n_clipped, 2);
    near_to(o.value, (34.538776394910684 + 0.6931471805599453) / 3, 1e-3);
    o = calib_log_loss(out_of, half, 2, &n_clipped);
    assert_int_equal(o.status, STAT_OUT_OF_RANGE);
    calib_bin bin[10];
    assert_true(
        calib_ece(&(stat_rows){3, wild, half, NULL}, (calib_bins){10, false}, bin, *state, &o, &e));
    assert_true(bin[9].n == 1 && bin[0].n == 1 && bin[5].n == 1); /* p = 1 is in the last bin */
    assert_true(
        calib_ece(&(stat_rows){3, wild, half, NULL}, (calib_bins){10, true}, bin, *state, &o, &e));
    assert_true(o.has_value);
    const double exact[2] = {0, 1};
    assert_int_equal(calib_spiegelhalter_of(exact, half, 2).status, STAT_ZERO_VARIANCE);
    recal_map m;
    assert_true(recal_isotonic(&(stat_rows){6, rising, half, NULL}, 0, *state, &m, &e));
    assert_int_equal(m.status, STAT_FEW);
    assert_true(recal_platt(&(stat_rows){6, rising, ones, NULL}, false, *state, &m, &e));
    assert_int_equal(m.status, STAT_ONE_CLASS);
}

static void test_decision_curve(void **state)
{
    (void)state;
    const double t[5] = {0.1, 0.2, 0.3, 0.5, 0};
    const double a[4] = {0.356481481, 0.3125, 0.25, 0.125},
                 b[4] = {0.356481481, 0.302083333, 0.255952381, 0.125};
    const double all[4] = {0.351851852, 0.270833333, 0.166666667, -0.166666667};
    decide_point pa[5], pb[5];
    decide_rows ra = {.n = T24_N, .p = t24_a, .positive = t24_y},
                rb = {.n = T24_N, .p = t24_b, .positive = t24_y};
    assert_int_equal(decide_curve(&ra, t, 5, pa), STAT_OK);
    assert_int_equal(decide_curve(&rb, t, 5, pb), STAT_OK);
    for (int i = 0; i < 4; i++) {
        near_to(pa[i].model, a[i], 5e-10);
        near_to(pb[i].model, b[i], 5e-10);
        near_to(pa[i].all, all[i], 5e-10);
        near_to(pa[i].standardised, a[i] * 2.4, 5e-9);
    }
    near_to(pa[4].model, 10.0 / 24, 1e-15); /* t = 0: the prevalence */
    uint8_t none[T24_N] = {0};
    ra.positive = none;
    assert_int_equal(decide_curve(&ra, t, 5, pa), STAT_ONE_CLASS);
}

static void test_thresholds(void **state)
{
    err e = {0};
    rank_roc c;
    assert_true(rank_roc_take(t24_a, t24_y, T24_N, *state, &c, &e));
    cut_choice k = cut_choose(&c, CUT_YOUDEN, 0);
    near_to(k.threshold, 0.60, 1e-15);
    near_to(k.youden, 0.485714, 5e-7);
    near_to(k.sensitivity, 0.70, 1e-15);
    near_to(k.specificity, 0.785714, 5e-7);
    k = cut_choose(&c, CUT_SENSITIVITY, 0.9);
    assert_true(k.sensitivity >= 0.9 && k.threshold == 0.35); /* 9 of 10 at 0.35, 8 at 0.40 */
    k = cut_choose(&c, CUT_SPECIFICITY, 0.9);
    assert_true(k.specificity >= 0.9 && k.threshold == 0.75);
    k = cut_choose(&c, CUT_SPECIFICITY, 0.999);
    assert_true(k.specificity == 1 && k.threshold == 0.90);
    k = cut_choose(&c, CUT_NET_BENEFIT, 0.5); /* TP - FP is 6 at most */
    cut_table t = cut_table_of(t24_a, t24_y, T24_N, k.threshold);
    for (int64_t i = 0; i < c.n_point; i++)
        assert_true(t.tp - t.fp >= c.true_positive[i] - c.false_positive[i]);
    const double prevalence[3] = {0.5, 0.1, 0.01}, ppv[3] = {0.9, 0.5, 0.083333},
                 npv[3] = {0.9, 0.987805, 0.998879};
    for (int i = 0; i < 3; i++) {
        near_to(cut_ppv_at(0.9, 0.9, prevalence[i]).value, ppv[i], 5e-7);
        near_to(cut_npv_at(0.9, 0.9, prevalence[i]).value, npv[i], 5e-7);
    }
    assert_false(cut_ppv_at(0, 1, 0.3).has_value);
}

static void test_mcnemar(void **state)
{
    (void)state;
    paired_mcnemar m = paired_mcnemar_of(50, 12, 5, 10);
    near_to(m.chi2, 2.882352941, 5e-10);
    near_to(m.p_chi2, 0.089555074, 5e-10);
    near_to(m.chi2_corrected, 2.117647059, 5e-10);
    near_to(m.p_corrected, 0.145610095, 5e-10);
    near_to(m.p_exact, 0.143463135, 5e-10);
    near_to(m.p_mid, 0.096252441, 5e-10);
    assert_true(m.p == m.p_exact);
    m = paired_mcnemar_of(5, 0, 0, 1);
    assert_true(m.p == 1 && m.p_mid == 1 && m.p_chi2 == 1 && m.difference == 0);
    uint8_t right[2][T24_N];
    for (int i = 0; i < T24_N; i++) {
        right[0][i] = (t24_a[i] >= 0.5) == t24_y[i];
        right[1][i] = (t24_b[i] >= 0.5) == t24_y[i];
    }
    m = paired_mcnemar_rows(right[0], right[1], T24_N);
    assert_true(m.b == 3 && m.c == 3 && m.p == 1);
    uint8_t big[2][GOLDEN_ROWS];
    for (int i = 0; i < GOLDEN_ROWS; i++) {
        for (int k = 0; k < 2; k++) big[k][i] = (rows.p[k][i] >= 0.5) == rows.y[i];
    }
    m = paired_mcnemar_rows(big[0], big[1], GOLDEN_ROWS);
    near_to((double)m.b, golden(&python, "mcnemar_b"), 0);
    near_to((double)m.c, golden(&python, "mcnemar_c"), 0);
    near_to(m.p_exact, golden(&python, "mcnemar_exact"), 1e-12);
    near_to(m.p_chi2, golden(&python, "mcnemar_chi2"), 1e-12);
    near_to(m.p_corrected, golden(&python, "mcnemar_corrected"), 1e-12);
}

static void test_adjusted(void **state)
{
    err e = {0};
    const double p[4] = {0.01, 0.04, 0.03, 0.005}, holm[4] = {0.03, 0.06, 0.06, 0.02};
    const double bh[4] = {0.02, 0.04, 0.04, 0.02};
    double out[15];
    assert_true(adjust_holm(p, 4, out, *state, &e));
    for (int i = 0; i < 4; i++) near_to(out[i], holm[i], 1e-15);
    assert_true(adjust_benjamini_hochberg(p, 4, out, *state, &e));
    for (int i = 0; i < 4; i++) near_to(out[i], bh[i], 1e-15);
    const double p15[15] = {0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
                            0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1};
    const double bh5[5] = {0.0015, 0.003, 0.0095, 0.035625, 0.0603},
                 holm4[4] = {0.0015, 0.0056, 0.0247, 0.114};
    assert_true(adjust_benjamini_hochberg(p15, 15, out, *state, &e));
    int below = 0;
    for (int i = 0; i < 5; i++) near_to(out[i], bh5[i], 1e-14);
    for (int i = 0; i < 15; i++) below += out[i] <= 0.05;
    assert_int_equal(below, 4);
    assert_true(adjust_holm(p15, 15, out, *state, &e));
    for (int i = 0; i < 4; i++) near_to(out[i], holm4[i], 1e-14);
    const double p7[7] = {0.011, 0.2, 0.0007, 0.04, 0.04, 0.9, 0.0321};
    double other[7];
    assert_true(adjust_holm(p7, 7, out, *state, &e));
    assert_true(adjust_benjamini_hochberg(p7, 7, other, *state, &e));
    for (int i = 0; i < 7; i++) {
        char name[20];
        snprintf(name, sizeof name, "holm_%d", i);
        near_to(out[i], golden(&python, name), 1e-14);
        snprintf(name, sizeof name, "bh_%d", i);
        near_to(other[i], golden(&python, name), 1e-14);
    }
    assert_true(adjust_holm(p, 0, out, *state, &e));
}

static void test_noninferiority(void **state)
{
    (void)state;
    rank_test t = rank_test_with(-0.005, 0.0001, STAT_OK, 0); /* SE 0.01: low is -0.0246 */
    paired_noninferiority wide = paired_noninferior(&t, 0.03),
                          narrow = paired_noninferior(&t, 0.02);
    assert_true(wide.shown && !narrow.shown && wide.has_value);
    near_to(wide.low, -0.005 - 0.0195996398, 1e-10);
    near_to(wide.p, 0.00620966532577, 1e-12); /* P(Z > 2.5) */
    rank_test same = rank_test_with(0, 0, STAT_OK, 0);
    assert_true(paired_noninferior(&same, 0.02).shown);
    rank_test none = {.status = STAT_ONE_CLASS};
    assert_false(paired_noninferior(&none, 0.02).has_value ||
                 paired_noninferior(&none, 0.02).shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t24_scores),      cmocka_unit_test(test_t24_ece),
        cmocka_unit_test(test_t24_temperature), cmocka_unit_test(test_against_python),
        cmocka_unit_test(test_against_rms),     cmocka_unit_test(test_calibration_edges),
        cmocka_unit_test(test_decision_curve),  cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_mcnemar),         cmocka_unit_test(test_adjusted),
        cmocka_unit_test(test_noninferiority),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
