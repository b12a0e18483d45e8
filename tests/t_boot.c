/* Tests of src/stats/cluster, weigh and boot: clustered variance, average precision, partial area,
 * bootstrap intervals; the same draws for any number of threads. */
#include "base/file.h"
#include "base/rng.h"
#include "stats/boot.h"
#include "stats/cluster.h"
#include "stats/weigh.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "golden_file.h"
#include "stat_tests.h"
#include "t24.h"

static rank_parts parts_of(arena *a, const double *score, const uint8_t *y, int64_t n)
{
    err e = {0};
    rank_parts p;
    assert_true(rank_parts_take(score, y, n, a, &p, &e));
    return p;
}

static void check_clusters(arena *a, const int32_t *patient, double want_a, double want_b)
{
    err e = {0};
    rank_parts pa = parts_of(a, t24_a, t24_y, T24_N), pb = parts_of(a, t24_b, t24_y, T24_N);
    int32_t cluster[T24_N], n_cluster;
    assert_true(cluster_number(patient, T24_N, cluster, &n_cluster, a, &e));
    cluster_rows rows = {T24_N, t24_y, cluster, n_cluster};
    rank_auroc ra, rb;
    assert_true(cluster_auroc(&rows, &pa, 0, a, &ra, &e));
    assert_true(cluster_auroc(&rows, &pb, 0, a, &rb, &e));
    near_to(ra.logit.variance, want_a, 1e-13);
    near_to(rb.logit.variance, want_b, 1e-13);
    assert_true(ra.logit.has_interval && ra.logit.low > 0 && ra.logit.high < 1);
    assert_string_equal(ra.logit.method, "Obuchowski clusters, logit");
}

static void test_obuchowski(void **state)
{
    check_clusters(*state, t24_patient, 0.0148262686843, 0.0109867582952);
    int32_t mixed[T24_N];
    for (int i = 0; i < T24_N; i++) mixed[i] = t24_patient[i];
    mixed[13] = 13; /* note 14 now belongs to P13, who has positives */
    check_clusters(*state, mixed, 0.0125546150909, 0.0105583847008);
    int32_t unknown[T24_N]; /* every note its own cluster: DeLong */
    for (int i = 0; i < T24_N; i++) unknown[i] = -1;
    check_clusters(*state, unknown, 0.00815345368917, 0.00789682539683);
}

static void test_cluster_numbers(void **state)
{
    err e = {0};
    const int32_t id[8] = {7, -1, 7, 3, -1, 900000, 3, 7}, want[8] = {0, 1, 0, 2, 3, 4, 2, 0};
    int32_t out[8], n;
    assert_true(cluster_number(id, 8, out, &n, *state, &e));
    assert_int_equal(n, 5);
    assert_memory_equal(out, want, sizeof want);
}

static void test_cluster_compare(void **state)
{
    err e = {0};
    rank_parts pa = parts_of(*state, t24_a, t24_y, T24_N),
               pb = parts_of(*state, t24_b, t24_y, T24_N);
    const rank_parts *pair[2] = {&pa, &pb};
    int32_t each[T24_N], by_patient[T24_N], n;
    for (int i = 0; i < T24_N; i++) each[i] = i;
    rank_test plain = rank_compare_paired(&pa, &pb, 0), clustered;
    cluster_rows rows = {T24_N, t24_y, each, T24_N};
    assert_true(cluster_compare(&rows, pair, 0, *state, &clustered, &e));
    near_to(clustered.statistic, plain.statistic, 1e-12); /* every note its own cluster */
    near_to(clustered.p, plain.p, 1e-12);
    assert_true(cluster_number(t24_patient, T24_N, by_patient, &n, *state, &e));
    rows = (cluster_rows){T24_N, t24_y, by_patient, n};
    assert_true(cluster_compare(&rows, pair, 0, *state, &clustered, &e));
    cluster_variance cov, var_a, var_b;
    assert_true(cluster_covariance(&rows, &pa, &pb, *state, &cov, &e));
    assert_true(cluster_covariance(&rows, &pa, &pa, *state, &var_a, &e));
    assert_true(cluster_covariance(&rows, &pb, &pb, *state, &var_b, &e));
    near_to(clustered.variance, var_a.value + var_b.value - 2 * cov.value, 1e-15);
    int32_t one[T24_N] = {0}; /* one patient: no variance */
    rows = (cluster_rows){T24_N, t24_y, one, 1};
    assert_true(cluster_compare(&rows, pair, 0, *state, &clustered, &e));
    assert_false(clustered.has_value || clustered.has_interval);
    rank_auroc r;
    assert_true(cluster_auroc(&rows, &pa, 0, *state, &r, &e));
    assert_true(r.logit.has_value && !r.logit.has_variance && !r.logit.has_interval);
}

static void test_average_precision(void **state)
{
    err e = {0};
    stat_estimate o;
    static const double s[4] = {0.1, 0.4, 0.35, 0.8};
    static const uint8_t y[4] = {0, 0, 1, 1}, none[4] = {0}, all[4] = {1, 1, 1, 1};
    assert_true(weigh_auprc_rows(t24_a, t24_y, T24_N, *state, &o, &e));
    near_to(o.value, 0.775476190476, 1e-12);
    assert_true(weigh_auprc_rows(t24_b, t24_y, T24_N, *state, &o, &e));
    near_to(o.value, 0.766973070789, 1e-12);
    assert_true(weigh_auprc_rows(s, y, 4, *state, &o, &e));
    near_to(o.value, 0.833333, 5e-7);
    assert_true(weigh_auprc_rows(s, none, 4, *state, &o, &e));
    assert_false(o.has_value);
    assert_true(weigh_auprc_rows(s, all, 4, *state, &o, &e));
    assert_true(o.has_value && o.value == 1);
    const double same[4] = {3, 3, 3, 3};
    assert_true(weigh_auprc_rows(same, y, 4, *state, &o, &e));
    near_to(o.value, 0.5, 1e-16); /* a useless score: the prevalence */
}

static void test_precision_against_python(void **state)
{
    err e = {0};
    static golden_file python;
    static golden_rows rows;
    stat_estimate o;
    rank_roc c;
    golden_read(&python, "tests/golden/stats_python.txt");
    golden_rows_read(&rows);
    assert_true(weigh_auprc_rows(rows.z[0], rows.y, GOLDEN_ROWS, *state, &o, &e));
    near_to(o.value, golden(&python, "ap_a"), 1e-12);
    assert_true(weigh_auprc_rows(rows.z[1], rows.y, GOLDEN_ROWS, *state, &o, &e));
    near_to(o.value, golden(&python, "ap_b"), 1e-12);
    assert_true(rank_roc_take(rows.z[0], rows.y, GOLDEN_ROWS, *state, &c, &e));
    near_to(rank_partial_corrected(rank_partial_area(&c, 0, 0.2), 0, 0.2),
            golden(&python, "partial_corrected_a_0.2"), 1e-12);
}

static void test_asah_precision_and_partial(void **state)
{
    err e = {0};
    double score[3][113];
    uint8_t y[113];
    static const double want[3] = {0.680336637117, 0.685620923172, 0.486248722623};
    if (read_asah(score, y) == 0) {
        print_message("skip: asah.csv is not there\n");
        skip();
    }
    for (int k = 0; k < 3; k++) {
        stat_estimate o;
        assert_true(weigh_auprc_rows(score[k], y, 113, *state, &o, &e));
        near_to(o.value, want[k], 1e-12);
    }
    rank_roc c;
    assert_true(rank_roc_take(score[1], y, 113, *state, &c, &e));
    double area = rank_partial_area(&c, 0, 0.1);
    near_to(area, 0.0327574525745, 1e-13);
    near_to(rank_partial_corrected(area, 0, 0.1), 0.646091855655, 1e-12);
    near_to(rank_partial_area(&c, 0, 1), 0.731368563686, 1e-12);
    near_to(rank_partial_area(&c, 0, 0.37) + rank_partial_area(&c, 0.37, 1), 0.731368563686, 1e-12);
}

static void test_shared_precision(void **state)
{
    const char *path = "../shared/data/auroc-vectors/toy-cases.json";
    err e = {0};
    if (!file_exists(path)) {
        print_message("skip: %s is not there\n", path);
        skip();
    }
    json_t *cases = json_load_file(path, 0, NULL), *row;
    size_t k;
    int n_checked = 0;
    json_array_foreach(cases, k, row)
    {
        json_t *want = json_object_get(row, "average_precision");
        if (!want) continue;
        double s[200];
        uint8_t y[200];
        json_t *js = json_object_get(row, "score"), *jy = json_object_get(row, "y");
        size_t n = json_array_size(jy);
        for (size_t i = 0; i < n; i++) {
            s[i] = json_number_value(json_array_get(js, i));
            y[i] = (uint8_t)json_integer_value(json_array_get(jy, i));
        }
        stat_estimate o;
        assert_true(weigh_auprc_rows(s, y, (int64_t)n, *state, &o, &e));
        near_to(o.value, json_number_value(want), 1e-10);
        n_checked++;
    }
    assert_in_range(n_checked, 5, 50);
    json_decref(cases);
}

/* --- bootstrap --- */

typedef struct two_arms {
    weigh_order a, b;
} two_arms;

static bool both_aurocs(const void *context, const uint16_t *weight, double *value)
{
    const two_arms *t = context;
    return weigh_auroc(&t->a, weight, &value[0]) && weigh_auroc(&t->b, weight, &value[1]);
}

static two_arms t24_arms(arena *a)
{
    err e = {0};
    two_arms t;
    assert_true(weigh_order_take(t24_a, t24_y, T24_N, a, &t.a, &e));
    assert_true(weigh_order_take(t24_b, t24_y, T24_N, a, &t.b, &e));
    return t;
}

static boot_result run(arena *a, const boot_plan *plan, int n_thread)
{
    err e = {0};
    pool *p = pool_open(n_thread, &e);
    assert_non_null(p);
    boot_result r;
    assert_true(boot_run(plan, p, a, &r, &e));
    pool_close(p);
    return r;
}

static void test_case_stratified(void **state)
{
    err e = {0};
    two_arms t = t24_arms(*state);
    boot_plan plan = {.n = T24_N,
                      .stratum = t24_y,
                      .n_draw = 20000,
                      .seed_study = 24,
                      .n_value = 2,
                      .seed_analysis = boot_seed("case"),
                      .statistic = both_aurocs,
                      .context = &t};
    boot_result r = run(*state, &plan, 2);
    assert_int_equal(r.status, STAT_OK);
    assert_int_equal(r.n_redraw, 0);
    stat_estimate o;
    assert_true(boot_estimate(&r, 0, (boot_interval){0}, *state, &o, &e));
    near_to(o.value, 0.810714285714, 1e-12);
    near_to(o.low, 0.611, 0.01);
    near_to(o.high, 0.957, 0.01);
    near_to(sqrt(o.variance), 0.0891, 0.002);
}

static void test_patients(void **state)
{
    err e = {0};
    two_arms t = t24_arms(*state);
    int32_t unit[T24_N], n_unit;
    assert_true(cluster_number(t24_patient, T24_N, unit, &n_unit, *state, &e));
    boot_plan plan = {.n = T24_N,
                      .unit = unit,
                      .n_unit = n_unit,
                      .n_draw = 20000,
                      .seed_study = 24,
                      .n_value = 2,
                      .seed_analysis = boot_seed("patient"),
                      .statistic = both_aurocs,
                      .context = &t};
    boot_result r = run(*state, &plan, 2);
    assert_int_equal(r.status, STAT_OK);
    stat_estimate o;
    boot_gap gap;
    assert_true(boot_estimate(&r, 0, (boot_interval){0}, *state, &o, &e));
    near_to(o.low, 0.528, 0.01);
    near_to(o.high, 0.994, 0.01);
    near_to(sqrt(o.variance), 0.1217, 0.002);
    assert_true(boot_difference(&r, (boot_pair){0, 1}, 0, *state, &gap, &e));
    near_to(gap.estimate.low, -0.161, 0.01);
    near_to(gap.estimate.high, 0.145, 0.01);
    assert_true(gap.p > 0.8 && gap.p <= 1);
    boot_plan print = plan;
    boot_result again = run(*state, &print, 1), other;
    assert_memory_equal(r.draw, again.draw, sizeof *r.draw * 2 * 20000); /* threads do not matter */
    assert_int_equal(r.n_redraw, again.n_redraw);
    print.seed_analysis = boot_seed("another analysis");
    other = run(*state, &print, 1);
    assert_memory_not_equal(r.draw, other.draw, sizeof *r.draw * 2 * 20000);
}

/* SciPy's BCa of the same statistic, cases drawn without strata: SciPy 1.17.1,
 * tools/golden/boot_bca.py. */
static void test_bca(void **state)
{
    err e = {0};
    two_arms t = t24_arms(*state);
    boot_plan plan = {.n = T24_N,
                      .n_draw = 50000,
                      .seed_study = 24,
                      .n_value = 2,
                      .jackknife = true,
                      .seed_analysis = boot_seed("bca"),
                      .statistic = both_aurocs,
                      .context = &t};
    boot_result r = run(*state, &plan, 2);
    assert_non_null(r.left_out);
    stat_estimate o, plain;
    assert_true(boot_estimate(&r, 0, (boot_interval){.method = BOOT_BCA}, *state, &o, &e));
    assert_true(boot_estimate(&r, 0, (boot_interval){0}, *state, &plain, &e));
    assert_string_equal(o.method, "bootstrap, BCa");
    near_to(o.low, 0.562963, 0.012);
    near_to(o.high, 0.944444, 0.006);
    assert_true(o.low < plain.low && o.high < plain.high); /* a left-skewed statistic moves down */
}

static void test_bootstrap_edges(void **state)
{
    err e = {0};
    static const double s[6] = {1, 2, 3, 4, 5, 6};
    static const uint8_t one[6] = {0, 0, 0, 0, 0, 1}, none[6] = {0}, half[6] = {0, 0, 0, 1, 1, 1};
    two_arms t;
    boot_plan plan = {.n = 6, .n_draw = 500, .n_value = 2, .statistic = both_aurocs, .context = &t};
    stat_estimate o;
    assert_true(weigh_order_take(s, one, 6, *state, &t.a, &e));
    t.b = t.a;
    boot_result r = run(*state, &plan, 1); /* a third of the resamples lack the one positive */
    assert_int_equal(r.status, STAT_TOO_MANY_REDRAWS);
    assert_in_range(r.n_redraw, 150, 400);
    assert_true(boot_estimate(&r, 0, (boot_interval){0}, *state, &o, &e));
    assert_true(o.has_value && !o.has_interval && o.value == 1);
    assert_true(weigh_order_take(s, none, 6, *state, &t.a, &e));
    t.b = t.a;
    r = run(*state, &plan, 1);
    assert_int_equal(r.status, STAT_ONE_CLASS);
    assert_true(boot_estimate(&r, 0, (boot_interval){0}, *state, &o, &e));
    assert_false(o.has_value || o.has_interval);
    assert_true(weigh_order_take(s, half, 6, *state, &t.a, &e));
    t.b = t.a;
    r = run(*state, &plan, 1); /* perfect in every resample */
    assert_true(boot_estimate(&r, 0, (boot_interval){0}, *state, &o, &e));
    assert_true(o.value == 1 && !o.has_interval && o.status == STAT_ZERO_VARIANCE);
    plan.n = 0;
    r = run(*state, &plan, 1);
    assert_int_equal(r.status, STAT_NO_CASES);
}

/* Weights are repetition: the weighted value is the value of the rows written out. */
static void test_weights_are_repetition(void **state)
{
    err e = {0};
    rng r = rng_for(3, 1, 4);
    for (int round = 0; round < 200; round++) {
        double s[40], long_s[200], p[40], long_p[200], got, want;
        uint8_t y[40], long_y[200];
        uint16_t w[40];
        int n = 4 + (int)rng_below(&r, 36), m = 0;
        for (int i = 0; i < n; i++) {
            s[i] = (double)rng_below(&r, 12);
            p[i] = s[i] / 12;
            y[i] = (uint8_t)(i < 2 ? i : (int)rng_below(&r, 2));
            w[i] = (uint16_t)(i < 2 ? 1 : rng_below(&r, 5));
            for (int k = 0; k < w[i]; k++) long_s[m] = s[i], long_p[m] = p[i], long_y[m++] = y[i];
        }
        size_t mark = arena_mark(*state);
        weigh_order o, long_o;
        assert_true(weigh_order_take(s, y, n, *state, &o, &e));
        assert_true(weigh_order_take(long_s, long_y, m, *state, &long_o, &e));
        assert_true(weigh_auroc(&o, w, &got));
        assert_true(weigh_auroc(&long_o, NULL, &want));
        assert_true(got == want);
        assert_true(weigh_average_precision(&o, w, &got));
        assert_true(weigh_average_precision(&long_o, NULL, &want));
        near_to(got, want, 1e-13);
        assert_true(weigh_brier(p, y, w, n, &got));
        assert_true(weigh_brier(long_p, long_y, NULL, m, &want));
        near_to(got, want, 1e-13);
        cut_table a = weigh_cut(s, y, w, n, 5), b = cut_table_of(long_s, long_y, m, 5);
        assert_true(a.tp == b.tp && a.fp == b.fp && a.tn == b.tn && a.fn == b.fn);
        arena_reset(*state, mark);
    }
}

static void test_asah_stratified(void **state)
{
    err e = {0};
    double score[3][113];
    uint8_t y[113];
    if (read_asah(score, y) == 0) {
        print_message("skip: asah.csv is not there\n");
        skip();
    }
    two_arms t;
    assert_true(weigh_order_take(score[1], y, 113, *state, &t.a, &e));
    t.b = t.a;
    boot_plan plan = {.n = 113,
                      .stratum = y,
                      .n_draw = 10000,
                      .n_value = 2,
                      .statistic = both_aurocs,
                      .context = &t};
    boot_result r = run(*state, &plan, 2);
    stat_estimate o;
    assert_true(boot_estimate(&r, 0, (boot_interval){0}, *state, &o, &e));
    near_to(o.low, 0.624, 0.006);
    near_to(o.high, 0.826, 0.006);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_obuchowski),
        cmocka_unit_test(test_cluster_numbers),
        cmocka_unit_test(test_cluster_compare),
        cmocka_unit_test(test_average_precision),
        cmocka_unit_test(test_precision_against_python),
        cmocka_unit_test(test_asah_precision_and_partial),
        cmocka_unit_test(test_shared_precision),
        cmocka_unit_test(test_case_stratified),
        cmocka_unit_test(test_patients),
        cmocka_unit_test(test_bca),
        cmocka_unit_test(test_bootstrap_edges),
        cmocka_unit_test(test_weights_are_repetition),
        cmocka_unit_test(test_asah_stratified),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
