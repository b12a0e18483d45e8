/* Tests of src/stats/rank: known answers (T24; Hanley and McNeil 1982; the aSAH values of the
 * shared vectors when they are there), edges, properties, coverage, speed of growth. */
#include "base/file.h"
#include "base/rng.h"
#include "stats/dist.h"
#include "stats/rank.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "golden_file.h"
#include "stat_tests.h"
#include "t24.h"

static const char *const shared = "../shared/data/auroc-vectors";

static rank_parts parts_of(arena *a, const double *score, const uint8_t *y, int64_t n)
{
    err e = {0};
    rank_parts p;
    assert_true(rank_parts_take(score, y, n, a, &p, &e));
    return p;
}

static void test_t24(void **state)
{
    rank_parts a = parts_of(*state, t24_a, t24_y, T24_N), b = parts_of(*state, t24_b, t24_y, T24_N);
    rank_auroc one = rank_auroc_of(&a, 0), two = rank_auroc_of(&b, 0.95);
    assert_int_equal(one.logit.status, STAT_OK);
    assert_int_equal(one.logit.n, 24);
    assert_int_equal(one.logit.events, 10);
    near_to(one.logit.value, 0.810714285714, 1e-12);
    near_to(one.logit.variance, 0.00815345368917, 1e-14);
    near_to(one.wald_low, 0.633736, 5e-7);
    near_to(one.wald_high, 0.987692, 5e-7);
    near_to(one.logit.low, 0.574780, 5e-7);
    near_to(one.logit.high, 0.931370, 5e-7);
    near_to(two.logit.value, 0.807142857143, 1e-12);
    near_to(two.logit.variance, 0.00789682539683, 1e-14);
    near_to(two.wald_low, 0.632972, 5e-7);
    near_to(two.wald_high, 0.981313, 5e-7);
    near_to(two.logit.low, 0.577534, 5e-7);
    near_to(two.logit.high, 0.927603, 5e-7);
    near_to(rank_covariance(&a, &b), 0.0049143118786, 1e-13);
    rank_test t = rank_compare_paired(&a, &b, 0);
    assert_true(t.has_value && t.has_interval);
    near_to(t.statistic, 0.0452781834, 5e-11);
    near_to(t.p, 0.963885576697, 1e-12);
    near_to(t.low, -0.151025572506, 1e-12);
    near_to(t.high, 0.158168429649, 1e-12);
}

static rank_parts site_parts(arena *a, char site)
{
    double score[T24_N];
    uint8_t y[T24_N];
    int64_t n = 0;
    for (int i = 0; i < T24_N; i++) {
        if (t24_site[i] != site) continue;
        score[n] = t24_a[i];
        y[n++] = t24_y[i];
    }
    return parts_of(a, score, y, n);
}

static void test_t24_sites_unpaired(void **state)
{
    rank_parts x = site_parts(*state, 'X'), y = site_parts(*state, 'Y');
    assert_int_equal(x.status, STAT_FEW);
    near_to(x.auroc, 0.90625, 1e-15);
    near_to(rank_covariance(&x, &x), 0.0103236607143, 1e-13);
    near_to(y.auroc, 0.902777777778, 1e-12);
    near_to(rank_covariance(&y, &y), 0.00871913580247, 1e-13);
    rank_test t = rank_compare_unpaired(&x, &y, 0);
    assert_true(t.has_value);
    near_to(t.statistic, 0.02516182566, 5e-12);
    near_to(t.df, 21.84491073, 5e-9);
    near_to(t.p, 0.980154328, 5e-10);
}

static void test_hanley_mcneil_ratings(void **state)
{
    static const int normal[5] = {33, 6, 6, 11, 2}, abnormal[5] = {3, 2, 2, 11, 33};
    double score[109];
    uint8_t y[109];
    int n = 0;
    for (int r = 0; r < 5; r++) {
        for (int i = 0; i < normal[r]; i++) score[n] = r + 1, y[n++] = 0;
        for (int i = 0; i < abnormal[r]; i++) score[n] = r + 1, y[n++] = 1;
    }
    assert_int_equal(n, 109);
    rank_parts p = parts_of(*state, score, y, n);
    rank_auroc r = rank_auroc_of(&p, 0);
    near_to(r.logit.value, 0.893171061528, 1e-12);
    near_to(sqrt(r.logit.variance), 0.0307244083794, 1e-13);
    near_to(r.wald_low, 0.832952327658, 1e-12);
    near_to(r.wald_high, 0.953389795398, 1e-12);
}

static void test_small_known(void **state)
{
    static const double s[4] = {0.1, 0.4, 0.35, 0.8};
    static const uint8_t y[4] = {0, 0, 1, 1};
    rank_parts p = parts_of(*state, s, y, 4);
    rank_auroc r = rank_auroc_of(&p, 0);
    assert_int_equal(r.logit.status, STAT_FEW);
    near_to(r.logit.value, 0.75, 0);
    near_to(r.logit.variance, 0.125, 1e-16);
    near_to(r.wald_low, 0.75 - 1.959963984540054 * sqrt(0.125), 1e-14);
}

static rank_auroc auroc_of(arena *a, const double *s, const uint8_t *y, int64_t n)
{
    err e = {0};
    rank_auroc r;
    size_t mark = arena_mark(a);
    assert_true(rank_auroc_rows(s, y, n, a, &r, &e));
    assert_int_equal(arena_mark(a), mark);
    return r;
}

static void test_edges(void **state)
{
    static const double rising[6] = {1, 2, 3, 4, 5, 6}, same[6] = {7, 7, 7, 7, 7, 7};
    static const uint8_t half[6] = {0, 0, 0, 1, 1, 1}, flip[6] = {1, 1, 1, 0, 0, 0};
    static const uint8_t ones[6] = {1, 1, 1, 1, 1, 1}, none[6] = {0}, one[6] = {0, 0, 0, 0, 1, 0};
    rank_auroc r = auroc_of(*state, rising, half, 6);
    assert_int_equal(r.logit.status, STAT_ZERO_VARIANCE);
    assert_true(r.logit.has_interval && r.logit.value == 1 && r.logit.high == 1);
    near_to(r.logit.low, pow(0.025, 1.0 / 3), 1e-12); /* Clopper-Pearson, 3 of 3 */
    assert_false(r.has_wald);
    r = auroc_of(*state, rising, flip, 6);
    assert_true(r.logit.value == 0 && r.logit.low == 0);
    near_to(r.logit.high, 1 - pow(0.025, 1.0 / 3), 1e-12);
    r = auroc_of(*state, same, half, 6);
    assert_true(r.logit.value == 0.5 && r.logit.status == STAT_ZERO_VARIANCE);
    assert_true(r.logit.low > 0 && r.logit.low < 0.2 && r.logit.high > 0.8 && r.logit.high < 1);
    const uint8_t *single[2] = {ones, none};
    for (int i = 0; i < 2; i++) {
        r = auroc_of(*state, rising, single[i], 6);
        assert_int_equal(r.logit.status, STAT_ONE_CLASS);
        assert_false(r.logit.has_value || r.logit.has_interval || r.logit.has_variance);
        assert_true(r.logit.value == 0);
    }
    r = auroc_of(*state, rising, one, 6); /* one positive: a value, no variance */
    assert_true(r.logit.has_value && !r.logit.has_variance && !r.logit.has_interval);
    assert_int_equal(r.logit.status, STAT_FEW);
    near_to(r.logit.value, 0.8, 1e-15);
    r = auroc_of(*state, rising, half, 0);
    assert_int_equal(r.logit.status, STAT_NO_CASES);
    double hole[6] = {1, 2, NAN, 4, 5, 6};
    r = auroc_of(*state, hole, half, 6);
    assert_int_equal(r.logit.status, STAT_MISSING_SCORES);
    double ends[6] = {-INFINITY, 0.0, 1, -0.0, 5, INFINITY}; /* infinities order, 0 ties with -0 */
    r = auroc_of(*state, ends, half, 6);
    near_to(r.logit.value, 7.5 / 9, 1e-15);
}

static void test_identical_curves(void **state)
{
    rank_parts a = parts_of(*state, t24_a, t24_y, T24_N);
    double scaled[T24_N];
    for (int i = 0; i < T24_N; i++) scaled[i] = log(t24_a[i]);
    rank_parts b = parts_of(*state, scaled, t24_y, T24_N);
    rank_test t = rank_compare_paired(&a, &b, 0);
    assert_true(t.has_value && t.statistic == 0 && t.p == 1 && !t.has_interval);
    assert_int_equal(t.status, STAT_ZERO_VARIANCE);
}

static double pairs_won(const double *s, const uint8_t *y, int64_t n)
{
    double won = 0;
    int64_t pairs = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            if (!y[i] || y[j]) continue;
            won += s[i] > s[j] ? 1 : s[i] == s[j] ? 0.5 : 0;
            pairs++;
        }
    }
    return won / (double)pairs;
}

/* AUROC equals the pair count; it does not move under rising transforms or a new order of the rows;
 * reversed scores and swapped classes mirror it. */
static void test_properties(void **state)
{
    arena *a = *state;
    rng r = rng_for(1, 2, 3);
    for (int round = 0; round < 300; round++) {
        int64_t n = 2 + (int64_t)rng_below(&r, 60);
        double s[64], minus[64], moved[64], mixed[64];
        uint8_t y[64], swapped[64], mixed_y[64];
        int32_t order[64];
        for (int64_t i = 0; i < n; i++) {
            s[i] = (double)rng_below(&r, 1 + rng_below(&r, 40)) - 3;
            y[i] = (uint8_t)(i < 2 ? i : (int64_t)rng_below(&r, 2));
            minus[i] = -s[i];
            moved[i] = exp(0.1 * s[i]);
            swapped[i] = !y[i];
            order[i] = (int32_t)i;
        }
        rng_shuffle(&r, order, n);
        for (int64_t i = 0; i < n; i++) mixed[i] = s[order[i]], mixed_y[i] = y[order[i]];
        rank_auroc base = auroc_of(a, s, y, n), shuffled = auroc_of(a, mixed, mixed_y, n);
        rank_auroc rising = auroc_of(a, moved, y, n);
        near_to(base.logit.value, pairs_won(s, y, n), 1e-14);
        assert_true(base.logit.value == shuffled.logit.value);
        assert_true(base.logit.value == rising.logit.value);
        near_to(auroc_of(a, minus, y, n).logit.value, 1 - base.logit.value, 1e-15);
        rank_auroc swap = auroc_of(a, s, swapped, n);
        near_to(swap.logit.value, 1 - base.logit.value, 1e-15);
        near_to(swap.logit.variance, base.logit.variance, 1e-13);
        if (base.logit.has_interval) {
            assert_true(base.logit.low >= 0 && base.logit.high <= 1);
            assert_true(base.logit.low < base.logit.high);
            assert_true(base.logit.low <= base.logit.value && base.logit.value <= base.logit.high);
        }
    }
}

/* 95 % logit DeLong intervals on 2,000 binormal sets of 100 + 100 cover the truth 93 to 97 times in
 * 100. */
static void test_coverage(void **state)
{
    static const double truth[3] = {0.70, 0.75, 0.80}, shift[3] = {0.741614, 0.953873, 1.190232};
    for (int k = 0; k < 3; k++) {
        near_to(sqrt(2) * dist_normal_quantile(truth[k]), shift[k], 5e-7);
        int covered = 0;
        for (int set = 0; set < 2000; set++) {
            rng r = rng_for(20, (uint64_t)k, (uint64_t)set);
            double s[200];
            uint8_t y[200];
            for (int i = 0; i < 200; i++) {
                y[i] = i < 100;
                s[i] = rng_normal(&r) + (y[i] ? shift[k] : 0);
            }
            rank_auroc got = auroc_of(*state, s, y, 200);
            covered += got.logit.low <= truth[k] && truth[k] <= got.logit.high;
        }
        assert_in_range(covered, 1860, 1940);
    }
}

static void test_roc_points(void **state)
{
    err e = {0};
    rank_roc c;
    assert_true(rank_roc_take(t24_a, t24_y, T24_N, *state, &c, &e));
    assert_int_equal(c.n_point, 1 + 17); /* 17 distinct scores */
    assert_true(isinf(c.threshold[0]) && c.true_positive[0] == 0 && c.false_positive[0] == 0);
    assert_true(rank_roc_tpr(&c, c.n_point - 1) == 1 && rank_roc_fpr(&c, c.n_point - 1) == 1);
    double area = 0;
    for (int64_t i = 1; i < c.n_point; i++) {
        assert_true(c.threshold[i] < c.threshold[i - 1]);
        assert_true(c.true_positive[i] >= c.true_positive[i - 1]);
        area += (rank_roc_fpr(&c, i) - rank_roc_fpr(&c, i - 1)) *
                (rank_roc_tpr(&c, i) + rank_roc_tpr(&c, i - 1)) / 2;
    }
    near_to(area, 0.810714285714, 1e-12); /* the trapezoid is the AUROC */
    for (int64_t i = 0; i < c.n_point; i++) {
        if (c.threshold[i] != 0.60) continue;
        near_to(rank_roc_tpr(&c, i), 0.70, 1e-15);
        near_to(1 - rank_roc_fpr(&c, i), 0.785714285714, 1e-12);
    }
    uint8_t none[3] = {0};
    assert_true(rank_roc_take(t24_a, none, 3, *state, &c, &e));
    assert_true(c.status == STAT_ONE_CLASS && c.n_point == 0);
}

static void test_arena_full_is_an_error(void **state)
{
    (void)state;
    arena small;
    err e = {0};
    rank_parts p;
    assert_true(arena_open(&small, 256, "small", &e));
    assert_false(rank_parts_take(t24_a, t24_y, T24_N, &small, &p, &e));
    assert_int_equal(e.code, ERR_RESOURCE);
    arena_close(&small);
}

/* --- shared vectors --- */

static json_t *shared_json(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", shared, name);
    if (!file_exists(path)) {
        print_message("skip: %s is not there\n", path);
        skip();
    }
    json_error_t je;
    json_t *j = json_load_file(path, 0, &je);
    assert_non_null(j);
    return j;
}

static int64_t read_rows(const json_t *row, double *s, uint8_t *y)
{
    const json_t *js = json_object_get(row, "score"), *jy = json_object_get(row, "y");
    int64_t n = (int64_t)json_array_size(jy);
    for (int64_t i = 0; i < n; i++) {
        s[i] = json_number_value(json_array_get(js, (size_t)i));
        y[i] = (uint8_t)json_integer_value(json_array_get(jy, (size_t)i));
    }
    return n;
}

static void test_shared_toy_cases(void **state)
{
    json_t *cases = shared_json("toy-cases.json"), *row;
    size_t k;
    int n_checked = 0;
    json_array_foreach(cases, k, row)
    {
        json_t *want = json_object_get(row, "auc");
        double s[200];
        uint8_t y[200];
        if (!want) continue;
        int64_t n = read_rows(row, s, y);
        rank_auroc r = auroc_of(*state, s, y, n);
        assert_int_equal(r.logit.has_value, !json_is_null(want));
        if (!json_is_null(want)) near_to(r.logit.value, json_number_value(want), 1e-10);
        n_checked++;
    }
    assert_in_range(n_checked, 7, 100);
    json_decref(cases);
}

static void test_shared_asah(void **state)
{
    static const char *const name[3] = {"wfns", "s100b", "ndka"};
    json_t *want = shared_json("asah-expected.json");
    static double score[3][113];
    uint8_t y[113];
    assert_int_equal(read_asah(score, y), 113);
    rank_parts p[3];
    for (int k = 0; k < 3; k++) {
        p[k] = parts_of(*state, score[k], y, 113);
        double auc = json_number_value(json_object_get(json_object_get(want, "auc"), name[k]));
        json_t *var = json_object_get(json_object_get(want, "delong_variance"), name[k]);
        near_to(p[k].auroc, auc, 1e-10);
        near_to(rank_covariance(&p[k], &p[k]), json_number_value(var), 1e-10);
    }
    rank_auroc ndka = rank_auroc_of(&p[2], 0);
    json_t *ci = json_object_get(json_object_get(want, "ci95_delong"), "ndka");
    near_to(ndka.wald_low, json_number_value(json_array_get(ci, 0)), 1e-10);
    near_to(ndka.wald_high, json_number_value(json_array_get(ci, 2)), 1e-10);
    static const struct {
        const char *test, *cov;
        int a, b;
    } pairs[3] = {{"wfns vs s100b", "s100b,wfns", 0, 1},
                  {"wfns vs ndka", "wfns,ndka", 0, 2},
                  {"ndka vs s100b", "ndka,s100b", 2, 1}};
    for (int k = 0; k < 3; k++) {
        json_t *t = json_object_get(json_object_get(want, "paired_delong_test"), pairs[k].test);
        json_t *cov = json_object_get(json_object_get(want, "delong_covariance"), pairs[k].cov);
        json_t *range = json_object_get(t, "ci95_of_difference");
        rank_test got = rank_compare_paired(&p[pairs[k].a], &p[pairs[k].b], 0);
        near_to(rank_covariance(&p[pairs[k].a], &p[pairs[k].b]), json_number_value(cov), 1e-10);
        near_to(got.statistic, json_number_value(json_object_get(t, "z")), 1e-10);
        near_to(got.p, json_number_value(json_object_get(t, "p")), 1e-10);
        near_to(got.low, json_number_value(json_array_get(range, 0)), 1e-10);
        near_to(got.high, json_number_value(json_array_get(range, 1)), 1e-10);
    }
    rank_test unpaired = rank_compare_unpaired(&p[0], &p[1], 0);
    near_to(unpaired.statistic, 1.43490640926908, 1e-10);
    near_to(unpaired.p, 0.152825378808796, 1e-10);
    json_decref(want);
}

/* pROC 1.18 on 600 made-up rows with ties: tools/golden/stats.R */
static void test_against_proc(void **state)
{
    static golden_file r;
    static golden_rows rows;
    golden_read(&r, "tests/golden/stats_r.txt");
    golden_rows_read(&rows);
    rank_parts p[2];
    for (int k = 0; k < 2; k++) p[k] = parts_of(*state, rows.z[k], rows.y, GOLDEN_ROWS);
    rank_auroc a = rank_auroc_of(&p[0], 0), b = rank_auroc_of(&p[1], 0);
    near_to(a.logit.value, golden(&r, "auc_a"), 1e-13);
    near_to(b.logit.value, golden(&r, "auc_b"), 1e-13);
    near_to(a.logit.variance, golden(&r, "var_a"), 1e-15);
    near_to(b.logit.variance, golden(&r, "var_b"), 1e-15);
    near_to(a.wald_low, golden(&r, "low_a"), 1e-12);
    near_to(b.wald_high, golden(&r, "high_b"), 1e-12);
    near_to(rank_covariance(&p[0], &p[1]), golden(&r, "cov"), 1e-15);
    rank_test t = rank_compare_paired(&p[0], &p[1], 0);
    near_to(t.statistic, golden(&r, "paired_z"), 1e-11);
    near_to(t.p, golden(&r, "paired_p"), 1e-11);
    rank_parts of_site[2];
    for (int site = 0; site < 2; site++) {
        double score[GOLDEN_ROWS];
        uint8_t y[GOLDEN_ROWS];
        int64_t n = 0;
        for (int i = 0; i < GOLDEN_ROWS; i++) {
            if (rows.site[i] == site) score[n] = rows.z[0][i], y[n++] = rows.y[i];
        }
        of_site[site] = parts_of(*state, score, y, n);
    }
    t = rank_compare_unpaired(&of_site[0], &of_site[1], 0);
    near_to(t.statistic, golden(&r, "unpaired_d"), 1e-11);
    near_to(t.df, golden(&r, "unpaired_df"), 1e-8);
    near_to(t.p, golden(&r, "unpaired_p"), 1e-11);
    err e = {0};
    rank_roc c;
    assert_true(rank_roc_take(rows.z[0], rows.y, GOLDEN_ROWS, *state, &c, &e));
    const double to[3] = {0.1, 0.2, 0.4};
    for (int k = 0; k < 3; k++) {
        char name[40];
        double area = rank_partial_area(&c, 0, to[k]);
        snprintf(name, sizeof name, "partial_%.1f", 1 - to[k]);
        near_to(area, golden(&r, name), 1e-12);
        snprintf(name, sizeof name, "partial_corrected_%.1f", 1 - to[k]);
        near_to(rank_partial_corrected(area, 0, to[k]), golden(&r, name), 1e-12);
    }
    double middle = rank_partial_area(&c, 0.1, 0.3);
    near_to(middle, golden(&r, "partial_mid"), 1e-12);
    near_to(rank_partial_corrected(middle, 0.1, 0.3), golden(&r, "partial_corrected_mid"), 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t24),
        cmocka_unit_test(test_t24_sites_unpaired),
        cmocka_unit_test(test_hanley_mcneil_ratings),
        cmocka_unit_test(test_small_known),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_identical_curves),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_roc_points),
        cmocka_unit_test(test_arena_full_is_an_error),
        cmocka_unit_test(test_against_proc),
        cmocka_unit_test(test_shared_toy_cases),
        cmocka_unit_test(test_shared_asah),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
