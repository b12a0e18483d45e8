/* Tests of src/stats/plan and audit: the figures of the statistics plan, pROC's power, simulation
 * of the optimism. */
#include "base/rng.h"
#include "stats/audit.h"
#include "stats/dist.h"
#include "stats/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "golden_file.h"
#include "stat_tests.h"

static void test_hanley_mcneil(void **state)
{
    (void)state;
    static const struct {
        double n, share, half;
    } known[] = {{200, 0.5, 0.068},  {500, 0.1, 0.081},  {1000, 0.1, 0.057}, {2000, 0.1, 0.040},
                 {2000, 0.3, 0.025}, {2500, 0.2, 0.026}, {3000, 0.05, 0.046}};
    for (size_t k = 0; k < countof(known); k++) {
        double m = known[k].n * known[k].share, se = plan_auroc_se(0.75, m, known[k].n - m);
        near_to(1.959964 * se, known[k].half, 6e-4);
    }
    near_to(plan_auroc_se(0.893171061528, 51, 58), 0.0324865796073, 1e-12); /* their own ratings */
}

static void test_widths(void **state)
{
    (void)state;
    near_to(plan_auroc_se_newcombe(0.75, 1000, 0.1), 0.025603, 5e-7);
    assert_int_equal(plan_auroc_rows(0.75, 0.1, 0.10, 0), 1008);
    assert_int_equal(plan_auroc_rows(0.75, 0.1, 0.05, 0.95), 4026);
    assert_int_equal(plan_observed_expected_rows_for_width(0.1, 0.2, 0), 3469);
    assert_int_equal(plan_observed_expected_rows(0.5, 0.1), 100);
    assert_int_equal(plan_auroc_rows(0.75, 0.1, 1e-6, 0), 0); /* not with 10^9 rows */
}

static void test_power(void **state)
{
    (void)state;
    golden_file r;
    golden_read(&r, "tests/golden/stats_r.txt");
    near_to(plan_auroc_power(0.73, 41, 72, 0.05), 0.989745, 5e-7);
    near_to(plan_auroc_power(0.73, 41, 72, 0.05), golden(&r, "power_113"), 1e-9);
    int64_t m = plan_auroc_positives(0.73, 72.0 / 41, 0.05, 0.9);
    assert_true(plan_auroc_power(0.73, (double)m, (double)m * 72 / 41, 0.05) >= 0.9);
    assert_true(plan_auroc_power(0.73, (double)m - 1, ((double)m - 1) * 72 / 41, 0.05) < 0.9);
}

static void test_validation(void **state)
{
    (void)state;
    plan_validation v = plan_validate(0.75, 0.1, 0.025, 0.1, 0.1);
    near_to((double)v.rows, 1536,
            31); /* 1,536 by the package sampsizeval, whose integrals are approximate: within 2 % */
    assert_true(v.rows_slope >= v.rows_auroc && v.rows == v.rows_slope);
    /* the log-odds found give the prevalence and AUROC asked for */
    int64_t n[2] = {0, 0};
    double x[2][3000], won = 0;
    for (int i = 0; n[0] < 3000 || n[1] < 3000; i++) {
        rng r = rng_for(5, (uint64_t)i, 0);
        double eta = v.mean + v.sd * rng_normal(&r);
        int c = rng_unit(&r) < 1 / (1 + exp(-eta));
        if (n[c] < 3000) x[c][n[c]++] = eta;
    }
    for (int i = 0; i < 3000; i++)
        for (int j = 0; j < 3000; j++) won += x[1][i] > x[0][j];
    near_to(won / 9e6, 0.75, 0.02);
}

static void test_optimism(void **state)
{
    (void)state;
    static const int32_t k[5] = {5, 10, 20, 50, 100};
    static const double at_200[5] = {0.018, 0.024, 0.029, 0.035, 0.039};
    static const double at_1000[5] = {0.008, 0.011, 0.013, 0.015, 0.017};
    for (int i = 0; i < 5; i++) {
        near_to(plan_optimism(plan_auroc_se(0.75, 100, 100), 0.8, k[i]), at_200[i], 1e-3);
        near_to(plan_optimism(plan_auroc_se(0.75, 500, 500), 0.8, k[i]), at_1000[i], 1e-3);
    }
    near_to(plan_largest_of(1), 0, 1e-12);
    near_to(plan_largest_of(2), 0.56418958354775628695, 1e-9); /* 1 / sqrt(pi) */
    near_to(plan_largest_of(3), 0.84628437532163443042, 1e-9); /* 3 / (2 sqrt(pi)) */
}

static void test_smd(void **state)
{
    (void)state;
    near_to(plan_smd_shares(0.3, 0.4).value, 0.210818511, 5e-10);
    near_to(plan_smd_means(50, 10, 54, 12).value, 0.362142984, 5e-10);
    assert_false(plan_smd_means(50, 0, 54, 0).has_value);
}

static void test_label_errors(void **state)
{
    (void)state;
    static const double known[3][4] = {{0.80, 0.05, 0.770, 0.810},
                                       {0.70, 0.10, 0.660, 0.730},
                                       {0.90, 0.05, 0.860, 0.905}};
    for (int k = 0; k < 3; k++) {
        near_to(audit_measured(known[k][0], known[k][1]), known[k][2], 1e-15);
        near_to(audit_wrong_only(known[k][0], known[k][1]), known[k][3], 1e-15);
    }
    /* true accuracy 0.80, 5 % of labels wrong: a whole audit finds 0.80 again */
    audit_stratum right = {770, 770, 10}, wrong = {230, 230, 40};
    stat_estimate o = audit_accuracy(right, wrong, 0);
    near_to(o.value, 0.80, 1e-15);
    assert_true(o.variance == 0 && !o.has_interval);
    right = (audit_stratum){770, 0, 0}; /* only the wrong ones were read: refused */
    assert_false(audit_accuracy(right, wrong, 0).has_value);
}

/* 95 % intervals of audits of 150 + 150 of 2,000 rows cover the truth. */
static void test_audit_coverage(void **state)
{
    (void)state;
    int covered = 0;
    double sum = 0;
    for (int set = 0; set < 2000; set++) {
        rng r = rng_for(9, 3, (uint64_t)set);
        audit_stratum right = {1540, 150, 0}, wrong = {460, 150, 0};
        int64_t left[2] = {20, 80}; /* wrong labels in each stratum: accuracy 0.80 */
        for (int i = 0; i < 150; i++) {
            if ((int64_t)rng_below(&r, (uint64_t)(1540 - i)) < left[0])
                right.label_wrong++, left[0]--;
            if ((int64_t)rng_below(&r, (uint64_t)(460 - i)) < left[1])
                wrong.label_wrong++, left[1]--;
        }
        stat_estimate o = audit_accuracy(right, wrong, 0);
        sum += o.value;
        covered += o.low <= 0.80 && 0.80 <= o.high;
    }
    near_to(sum / 2000, 0.80, 0.001); /* unbiased */
    assert_in_range(covered, 1840, 1950);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hanley_mcneil), cmocka_unit_test(test_widths),
        cmocka_unit_test(test_power),         cmocka_unit_test(test_validation),
        cmocka_unit_test(test_optimism),      cmocka_unit_test(test_smd),
        cmocka_unit_test(test_label_errors),  cmocka_unit_test(test_audit_coverage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
