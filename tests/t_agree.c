/* Tests of src/stats/agree and multi: textbook examples, T24's readers, F4 and F5 of the plan, and
 * scikit-learn, statsmodels and krippendorff on 600 made-up rows. */
#include "base/file.h"
#include "stats/agree.h"
#include "stats/boot.h"
#include "stats/margins.h"
#include "stats/multi.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "golden_file.h"
#include "stat_tests.h"
#include "t24.h"

static golden_file python;
static golden_rows rows;

static int open_all(void **state)
{
    static arena a;
    err e = {0};
    *state = &a;
    golden_read(&python, "tests/golden/stats_python.txt");
    golden_rows_read(&rows);
    return arena_open(&a, (size_t)1 << 30, "test", &e) ? 0 : 1;
}

static int close_all(void **state)
{
    arena_close(*state);
    return 0;
}

static void test_t24_readers(void **state)
{
    (void)state;
    agree_two t;
    agree_table(t24_r1, t24_r2, T24_N, 2, &t);
    near_to(agree_raw(&t).value, 0.791667, 5e-7);
    stat_estimate k = agree_kappa(&t, AGREE_UNWEIGHTED, 0);
    near_to(k.value, 0.583333333, 5e-10);
    near_to(sqrt(k.variance), 0.165219654, 5e-10);
    near_to(k.low, 0.259508760, 5e-9);
    near_to(k.high, 0.907157900, 5e-9);
    int32_t both[2 * T24_N];
    for (int i = 0; i < T24_N; i++) both[2 * i] = t24_r1[i], both[2 * i + 1] = t24_r2[i];
    agree_many m = {.n = T24_N, .n_rater = 2, .n_category = 2, .rating = both};
    near_to(agree_alpha(&m, AGREE_NOMINAL).value, 0.591304348, 5e-10);
    stat_estimate ac1 = agree_ac1(&m, 0);
    near_to(ac1.value, 0.584055459, 5e-10);
    assert_true(ac1.has_interval && ac1.low < ac1.value && ac1.high > ac1.value);
    /* all categories alike for two: every metric is the same */
    near_to(agree_alpha(&m, AGREE_ORDINAL).value, 0.591304348, 5e-10);
    near_to(agree_alpha(&m, AGREE_INTERVAL).value, 0.591304348, 5e-10);
}

static void test_textbook_kappas(void **state)
{
    (void)state;
    agree_two t = {.n_category = 2, .n = 50, .count = {{20, 5}, {10, 15}}};
    near_to(agree_kappa(&t, AGREE_UNWEIGHTED, 0).value, 0.4, 1e-15);
    static const int32_t fleiss[50] = {0, 0, 0, 0, 14, 0, 2, 6, 4, 2, 0, 0, 3, 5, 6, 0, 3,
                                       9, 2, 0, 2, 2,  8, 1, 1, 7, 7, 0, 0, 0, 3, 2, 6, 3,
                                       0, 2, 5, 3, 2,  2, 6, 5, 2, 1, 0, 0, 2, 2, 3, 7};
    near_to(agree_fleiss_counts(fleiss, 10, 5).value, 0.209930704, 5e-10);
    /* three coders, fifteen units; categories 1 to 4 are 0 to 3 here, * is -1 */
    static const int32_t coder[3][15] = {{-1, -1, -1, -1, -1, 2, 3, 0, 1, 0, 0, 2, 2, -1, 2},
                                         {0, -1, 1, 0, 2, 2, 3, 2, -1, -1, -1, -1, -1, -1, -1},
                                         {-1, -1, 1, 0, 2, 3, 3, -1, 1, 0, 0, 2, 2, -1, 3}};
    int32_t rating[45];
    for (int i = 0; i < 15; i++)
        for (int r = 0; r < 3; r++) rating[3 * i + r] = coder[r][i];
    agree_many m = {.n = 15, .n_rater = 3, .n_category = 4, .rating = rating};
    near_to(agree_alpha(&m, AGREE_NOMINAL).value, 0.691358025, 5e-10);
    near_to(agree_alpha(&m, AGREE_INTERVAL).value, 0.811, 5e-4);
    assert_int_equal(agree_fleiss(&m).status, STAT_MISSING_SCORES);
}

static void test_agreement_edges(void **state)
{
    (void)state;
    const int32_t same[4] = {1, 1, 1, 1}, gone[4] = {-1, -1, -1, -1};
    agree_two t;
    agree_table(same, same, 4, 2, &t);
    stat_estimate k = agree_kappa(&t, AGREE_UNWEIGHTED, 0);
    assert_true(!k.has_value && k.status == STAT_CONSTANT && agree_raw(&t).value == 1);
    int32_t pairs[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    agree_many m = {.n = 4, .n_rater = 2, .n_category = 2, .rating = pairs};
    assert_int_equal(agree_alpha(&m, AGREE_NOMINAL).status, STAT_CONSTANT);
    assert_int_equal(agree_fleiss(&m).status, STAT_CONSTANT);
    near_to(agree_ac1(&m, 0).value, 1, 1e-15); /* where kappa collapses */
    agree_table(same, gone, 4, 2, &t);
    assert_int_equal(agree_kappa(&t, AGREE_LINEAR, 0).status, STAT_NO_CASES);
    assert_false(agree_raw(&t).has_value);
    m.n = 0;
    assert_int_equal(agree_alpha(&m, AGREE_NOMINAL).status, STAT_NO_CASES);
    assert_int_equal(agree_ac1(&m, 0).status, STAT_NO_CASES);
}

static void test_against_python(void **state)
{
    (void)state;
    static const char *const kind[3] = {"none", "linear", "quadratic"};
    int32_t first[GOLDEN_ROWS], second[GOLDEN_ROWS];
    for (int i = 0; i < GOLDEN_ROWS; i++)
        first[i] = rows.rater[3 * i], second[i] = rows.rater[3 * i + 1];
    agree_two t;
    agree_table(first, second, GOLDEN_ROWS, 4, &t);
    for (int w = 0; w < 3; w++) {
        char name[40];
        stat_estimate k = agree_kappa(&t, (agree_weight)w, 0);
        snprintf(name, sizeof name, "rater_kappa_%s", kind[w]);
        near_to(k.value, golden(&python, name), 1e-12);
        snprintf(name, sizeof name, "rater_kappa_se_%s", kind[w]);
        near_to(sqrt(k.variance), golden(&python, name), 1e-12);
    }
    agree_many m = {.n = GOLDEN_ROWS, .n_rater = 3, .n_category = 4, .rating = rows.rater};
    near_to(agree_fleiss(&m).value, golden(&python, "fleiss"), 1e-12);
    m.rating = rows.rater_missing;
    near_to(agree_alpha(&m, AGREE_NOMINAL).value, golden(&python, "alpha_nominal"), 1e-12);
    near_to(agree_alpha(&m, AGREE_ORDINAL).value, golden(&python, "alpha_ordinal"), 1e-12);
    near_to(agree_alpha(&m, AGREE_INTERVAL).value, golden(&python, "alpha_interval"), 1e-12);
}

/* A weight repeats the item. */
static void test_weights(void **state)
{
    (void)state;
    static int32_t longer[GOLDEN_ROWS * 12];
    static uint16_t weight[GOLDEN_ROWS];
    int64_t n = 0;
    for (int i = 0; i < GOLDEN_ROWS; i++) {
        weight[i] = (uint16_t)((i * 7) % 4);
        for (int k = 0; k < weight[i]; k++, n++)
            for (int r = 0; r < 3; r++) longer[3 * n + r] = rows.rater_missing[3 * i + r];
    }
    agree_many m = {.n = GOLDEN_ROWS,
                    .n_rater = 3,
                    .n_category = 4,
                    .rating = rows.rater_missing,
                    .weight = weight};
    agree_many l = {.n = n, .n_rater = 3, .n_category = 4, .rating = longer};
    near_to(agree_alpha(&m, AGREE_ORDINAL).value, agree_alpha(&l, AGREE_ORDINAL).value, 1e-12);
    near_to(agree_ac1(&m, 0).value, agree_ac1(&l, 0).value, 1e-12);
    near_to(agree_ac1(&m, 0).variance, agree_ac1(&l, 0).variance, 1e-12);
}

/* --- several classes --- */

static void test_f4(void **state)
{
    static const int32_t y[15] = {0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2};
    static const double p[45] = {.7, .2, .1, .6, .3, .1, .5, .3, .2, .4, .4, .2, .3, .5, .2,
                                 .2, .2, .6, .3, .6, .1, .2, .5, .3, .5, .3, .2, .1, .3, .6,
                                 .2, .7, .1, .1, .1, .8, .2, .3, .5, .1, .6, .3, .4, .2, .4};
    err e = {0};
    multi_auroc r;
    multi_rows in = {15, 3, y, p};
    assert_true(multi_auroc_of(&in, *state, &r, &e));
    near_to(r.each[0], 0.833333333, 5e-10);
    near_to(r.each[1], 0.78, 1e-12);
    near_to(r.each[2], 0.852272727, 5e-10);
    near_to(r.macro.value, 0.821868686869, 1e-12);
    near_to(r.weighted.value, 0.820606060606, 1e-12);
    near_to(r.hand_till.value, 0.822222222222, 1e-12);
    near_to(r.hand_till_weighted.value, 0.821944444444, 1e-12);
    multi_measures m = multi_measures_of(&in);
    near_to(m.accuracy.value, 0.6, 1e-15);
    near_to(m.macro_f1.value, 0.588888889, 5e-10);
    near_to(m.weighted_f1.value, 0.6, 1e-12);
    near_to(m.mcc.value, 0.391891892, 5e-10);
    near_to(m.kappa.value, 0.391891892, 5e-10);
    near_to(m.kappa_linear.value, 0.387755102, 5e-10);
    near_to(m.kappa_quadratic.value, 0.383561644, 5e-10);
    near_to(m.log_loss.value, 0.8196997881259764, 1e-13); /* scikit-learn 1.9.1 */
    near_to(m.brier.value, 0.496, 1e-12);
}

static void test_f5(void **state)
{
    static const uint8_t truth[18] = {1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1};
    static const double p[18] = {.8, .3, .6, .4,  .6, .2, .7, .4, .5,
                                 .3, .5, .7, .35, .1, .4, .6, .9, .3};
    err e = {0};
    multi_label_measures m;
    multi_labels in = {6, 3, truth, p};
    assert_true(multi_label_measures_of(&in, 0.5, *state, &m, &e));
    const double each[3] = {0.777778, 0.888889, 0.777778};
    for (int k = 0; k < 3; k++) near_to(m.auroc[k], each[k], 5e-7);
    near_to(m.macro_auroc.value, 0.814815, 5e-7);
    near_to(m.micro_auroc.value, 0.802469, 5e-7);
    near_to(m.macro_f1.value, 0.666667, 5e-7);
    near_to(m.micro_f1.value, 0.666667, 5e-7);
    near_to(m.samples_f1.value, 0.611111, 5e-7);
    near_to(m.subset_accuracy.value, 0.333333, 5e-7);
    near_to(m.hamming_loss.value, 0.333333, 5e-7);
}

static void test_small_multiclass(void **state)
{
    (void)state;
    /* y 0 1 2 0 1 2, called 0 2 1 0 0 1 */
    static const int32_t y[6] = {0, 1, 2, 0, 1, 2}, called[6] = {0, 2, 1, 0, 0, 1};
    double p[18] = {0};
    for (int i = 0; i < 6; i++) p[3 * i + called[i]] = 1;
    multi_measures m = multi_measures_of(&(multi_rows){6, 3, y, p});
    near_to(m.macro_f1.value, 0.266667, 5e-7);
    near_to(m.accuracy.value, 0.333333, 5e-7);
}

static void test_absent_classes(void **state)
{
    err e = {0};
    static const int32_t y[4] = {0, 2, 0, 2}, one[4] = {1, 1, 1, 1};
    static const double p[12] = {.6, .3, .1, .2, .3, .5, .3, .4, .3, .1, .1, .8};
    multi_auroc r;
    assert_true(multi_auroc_of(&(multi_rows){4, 3, y, p}, *state, &r, &e));
    assert_int_equal(r.n_judged, 2); /* class 1 has no cases: left out, not 0.5 */
    assert_true(!r.has_each[1] && r.has_each[0]);
    near_to(r.macro.value, (r.each[0] + r.each[2]) / 2, 1e-15);
    assert_true(multi_auroc_of(&(multi_rows){4, 3, one, p}, *state, &r, &e));
    assert_true(r.status == STAT_ONE_CLASS && !r.macro.has_value && !r.hand_till.has_value);
    multi_measures m = multi_measures_of(&(multi_rows){4, 3, one, p});
    assert_true(!m.mcc.has_value && m.accuracy.has_value);
    double hole[12] = {NAN};
    assert_true(multi_auroc_of(&(multi_rows){4, 3, y, hole}, *state, &r, &e));
    assert_int_equal(r.status, STAT_MISSING_SCORES);
}

static void test_multi_against_python(void **state)
{
    err e = {0};
    multi_auroc r;
    multi_rows in = {GOLDEN_ROWS, 4, rows.k, rows.p4};
    assert_true(multi_auroc_of(&in, *state, &r, &e));
    near_to(r.macro.value, golden(&python, "ovr_macro"), 1e-12);
    near_to(r.weighted.value, golden(&python, "ovr_weighted"), 1e-12);
    near_to(r.hand_till.value, golden(&python, "ovo_macro"), 1e-12);
    near_to(r.hand_till_weighted.value, golden(&python, "ovo_weighted"), 1e-12);
    multi_measures m = multi_measures_of(&in);
    near_to(m.accuracy.value, golden(&python, "k_accuracy"), 1e-12);
    near_to(m.macro_f1.value, golden(&python, "k_macro_f1"), 1e-12);
    near_to(m.weighted_f1.value, golden(&python, "k_weighted_f1"), 1e-12);
    near_to(m.mcc.value, golden(&python, "k_mcc"), 1e-12);
    near_to(m.kappa.value, golden(&python, "k_kappa"), 1e-12);
    near_to(m.kappa_linear.value, golden(&python, "k_kappa_linear"), 1e-12);
    near_to(m.kappa_quadratic.value, golden(&python, "k_kappa_quadratic"), 1e-12);
    near_to(m.log_loss.value, golden(&python, "k_log_loss"), 1e-12);
}

/* Without weights the draws' values are the values; with weights, those of the rows written out. */
static void test_multi_draws(void **state)
{
    err e = {0};
    static uint16_t weight[GOLDEN_ROWS];
    static int32_t label[3 * GOLDEN_ROWS];
    static double p[12 * GOLDEN_ROWS];
    int64_t n = 0;
    for (int i = 0; i < GOLDEN_ROWS; i++) {
        weight[i] = (uint16_t)(i % 3);
        for (int k = 0; k < weight[i]; k++, n++) {
            label[n] = rows.k[i];
            memcpy(p + 4 * n, rows.p4 + 4 * i, 4 * sizeof *p);
        }
    }
    multi_rows in[2] = {{GOLDEN_ROWS, 4, rows.k, rows.p4}, {n, 4, label, p}};
    multi_draws d;
    assert_true(multi_draws_take(&in[0], *state, &d, &e));
    for (int k = 0; k < 2; k++) {
        double got[MULTI_VALUES];
        multi_auroc r;
        multi_measures m = multi_measures_of(&in[k]);
        assert_true(multi_auroc_of(&in[k], *state, &r, &e));
        assert_true(multi_draw(&d, k ? weight : NULL, got));
        const double want[MULTI_VALUES] = {r.macro.value,    r.weighted.value, r.hand_till.value,
                                           m.accuracy.value, m.macro_f1.value, m.weighted_f1.value,
                                           m.mcc.value,      m.kappa.value};
        for (int v = 0; v < MULTI_VALUES; v++) near_to(got[v], want[v], 1e-12);
    }
    pool *threads = pool_open(2, &e);
    assert_non_null(threads);
    boot_plan plan = {.n = GOLDEN_ROWS,
                      .n_draw = 500,
                      .n_value = MULTI_VALUES,
                      .statistic = multi_draw,
                      .context = &d};
    boot_result r;
    assert_true(boot_run(&plan, threads, *state, &r, &e));
    pool_close(threads);
    for (int v = 0; v < MULTI_VALUES; v++) {
        stat_estimate o;
        assert_true(boot_estimate(&r, v, (boot_interval){0}, *state, &o, &e));
        assert_true(o.has_interval && o.low < o.value && o.value < o.high && o.high - o.low < 0.15);
    }
    memset(weight, 0, sizeof weight);
    for (int i = 0; i < GOLDEN_ROWS; i++)
        weight[i] = rows.k[i] != 2; /* a class vanishes: draw again */
    double got[MULTI_VALUES];
    assert_false(multi_draw(&d, weight, got));
}

static void test_shared_multiclass(void **state)
{
    const char *path = "../shared/data/auroc-vectors/toy-cases.json";
    err e = {0};
    if (!file_exists(path)) {
        print_message("skip: %s is not there\n", path);
        skip();
    }
    json_t *cases = json_load_file(path, 0, NULL), *row;
    size_t at;
    int n_checked = 0;
    json_array_foreach(cases, at, row)
    {
        json_t *ovo = json_object_get(row, "ovo_macro"), *ovr = json_object_get(row, "ovr_macro");
        if (!ovo && !ovr) continue;
        json_t *js = json_object_get(row, "score"), *jy = json_object_get(row, "y");
        int32_t y[50];
        double p[150];
        size_t n = json_array_size(jy);
        for (size_t i = 0; i < n; i++) {
            y[i] = (int32_t)json_integer_value(json_array_get(jy, i));
            for (size_t c = 0; c < 3; c++)
                p[3 * i + c] = json_number_value(json_array_get(json_array_get(js, i), c));
        }
        multi_auroc r;
        assert_true(multi_auroc_of(&(multi_rows){(int64_t)n, 3, y, p}, *state, &r, &e));
        if (ovo) near_to(r.hand_till.value, json_number_value(ovo), 1e-10);
        if (ovo)
            near_to(r.hand_till_weighted.value,
                    json_number_value(json_object_get(row, "ovo_weighted")), 1e-10);
        if (ovr) near_to(r.macro.value, json_number_value(ovr), 1e-10);
        if (ovr)
            near_to(r.weighted.value, json_number_value(json_object_get(row, "ovr_weighted")),
                    1e-10);
        n_checked++;
    }
    assert_int_equal(n_checked, 2);
    json_decref(cases);
}

/* Stuart 1955: unaided distance vision of the eyes of 7,477 women, right eye by left eye. */
static void test_margins(void **state)
{
    static const int32_t count[4][4] = {{1520, 266, 124, 66},
                                        {234, 1512, 432, 78},
                                        {117, 362, 1772, 205},
                                        {36, 82, 179, 492}};
    enum { N = 7477 };
    arena *a = *state;
    err e = {0};
    size_t mark = arena_mark(a);
    double *gap = arena_take_zero(a, N * 4, sizeof *gap, &e);
    int64_t n = 0;
    margins_test t;
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 4; k++) {
            for (int32_t m = 0; m < count[i][k]; m++, n++) {
                gap[n * 4 + i] += 1;
                gap[n * 4 + k] -= 1;
            }
        }
    }
    assert_int_equal(n, N);
    margins_rows eyes = {.n = N, .n_category = 4, .gap = gap};
    assert_true(margins_compare(&eyes, a, &t, &e));
    assert_int_equal(t.df, 3);
    near_to(t.chi2, 11.957, 5e-4); /* as published */
    near_to(t.p, 0.007533, 5e-7);
    /* everyone twice says no more than everyone once, when the two are one unit */
    double *twice = arena_take(a, (size_t)2 * N * 4, sizeof *twice, &e);
    int32_t *unit = arena_take(a, (size_t)2 * N, sizeof *unit, &e);
    for (int64_t i = 0; i < 2 * N; i++) {
        memcpy(twice + i * 4, gap + i / 2 * 4, 4 * sizeof *gap);
        unit[i] = (int32_t)(i / 2);
    }
    margins_rows both = {
        .n = 2 * N, .n_category = 4, .gap = twice, .cluster = unit, .n_cluster = N};
    margins_test u;
    assert_true(margins_compare(&both, a, &u, &e));
    near_to(u.chi2, t.chi2, 1e-9);
    both.cluster = NULL;
    assert_true(margins_compare(&both, a, &u, &e));
    near_to(u.chi2, 2 * t.chi2, 1e-9);
    /* two categories: McNemar's chi-square; one that nobody chose takes no degree of freedom */
    const double few[5][3] = {{1, -1, 0}, {1, -1, 0}, {1, -1, 0}, {-1, 1, 0}, {0, 0, 0}};
    margins_rows small = {.n = 5, .n_category = 3, .gap = few[0]};
    assert_true(margins_compare(&small, a, &u, &e));
    assert_int_equal(u.df, 1);
    near_to(u.chi2, 4.0 / 4, 1e-12);
    small.gap = few[4], small.n = 1;
    assert_true(margins_compare(&small, a, &u, &e) && u.df == 0 && u.status == STAT_CONSTANT);
    near_to(u.p, 1, 0);
    arena_reset(a, mark);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t24_readers),
        cmocka_unit_test(test_textbook_kappas),
        cmocka_unit_test(test_agreement_edges),
        cmocka_unit_test(test_against_python),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_f4),
        cmocka_unit_test(test_f5),
        cmocka_unit_test(test_small_multiclass),
        cmocka_unit_test(test_absent_classes),
        cmocka_unit_test(test_multi_against_python),
        cmocka_unit_test(test_multi_draws),
        cmocka_unit_test(test_shared_multiclass),
        cmocka_unit_test(test_margins),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
