/* Tests of src/view/judge and src/stats/subgroup: T24's known answers through the JSON door, and
 * inputs that have no answer. */
#include "stats/rank.h"
#include "stats/subgroup.h"
#include "view/judge.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "stat_tests.h"
#include "t24.h"

static json_t *judge(arena *a, const judge_rows *rows, int64_t n_draw)
{
    err e = {0};
    json_error_t je;
    judge_result r;
    judge_notes notes = {0};
    judge_settings how = {.threshold = 0.5, .n_draw = n_draw, .seed = 24};
    buf b = buf_up_to(BUF_MAX), text = buf_up_to(BUF_MAX);
    pool *p = pool_open(2, &e);
    assert_true(judge_compute(rows, how, p, a, &r, &e));
    judge_explain(&r, &notes, a, &e);
    judge_about about = {"t24.csv", "y = 1", .n_note = notes.n, .note = notes.note};
    assert_true(judge_write_json(&r, &about, &b, &e));
    assert_true(judge_write_text(&r, &about, &text, &e));
    assert_null(strstr(text.data, "nan"));
    assert_true(notes.n > 0 || rows->n >= 20); /* small sets always have something to be said */
    buf_close(&text);
    assert_null(strstr(b.data, "nan"));
    assert_null(strstr(b.data, "inf"));
    json_t *j = json_loadb(b.data, b.size, JSON_REJECT_DUPLICATES, &je);
    if (!j) fail_msg("line %d column %d: %s", je.line, je.column, je.text);
    buf_close(&b);
    pool_close(p);
    return j;
}

static const char *const names[2] = {"pA", "pB"};
static const double *const scores[2] = {t24_a, t24_b};
static const char *const site_names[2] = {"X", "Y"};

static double number(const json_t *j, const char *key)
{
    json_t *v = json_object_get(j, key);
    if (!json_is_number(v)) fail_msg("%s is not a number", key);
    return json_number_value(v);
}

static bool is_null(const json_t *j, const char *key)
{
    json_t *v = json_object_get(j, key);
    if (!v) fail_msg("%s is missing", key);
    return json_is_null(v);
}

static json_t *judge_t24(arena *a, bool patients)
{
    int32_t site[T24_N];
    for (int i = 0; i < T24_N; i++) site[i] = t24_site[i] == 'Y';
    judge_rows in = {.n = T24_N,
                     .positive = t24_y,
                     .patient = patients ? t24_patient : NULL,
                     .group = site,
                     .n_group = 2,
                     .group_name = site_names,
                     .n_arm = 2,
                     .arm_name = names,
                     .score = scores,
                     .probability = scores};
    return judge(a, &in, 10000);
}

static void test_t24_arms(void **state)
{
    json_t *j = judge_t24(*state, true), *arms = json_object_get(j, "arms");
    json_t *a = json_object_get(arms, "pA"), *b = json_object_get(arms, "pB");
    near_to(number(a, "auroc"), 0.810714285714, 1e-12);
    near_to(number(a, "auroc_var"), 0.00815345368917, 1e-13);
    near_to(number(a, "auroc_low"), 0.574780, 5e-7);
    near_to(number(a, "auroc_high"), 0.931370, 5e-7);
    near_to(number(a, "auroc_wald_low"), 0.633736, 5e-7);
    near_to(number(a, "auroc_cluster_var"), 0.0148262686843, 1e-13);
    near_to(number(b, "auroc_cluster_var"), 0.0109867582952, 1e-13);
    near_to(number(a, "auprc"), 0.775476190476, 1e-12);
    near_to(number(a, "brier"), 0.179375, 1e-12);
    near_to(number(a, "citl"), -0.38063409057, 1e-11);
    near_to(number(a, "slope"), 0.912623264, 5e-10);
    near_to(number(a, "ece10"), 0.120833333, 5e-10);
    near_to(number(a, "oe"), 0.869565217391, 1e-12);
    near_to(number(a, "sens"), 0.7, 1e-15);
    near_to(number(a, "spec"), 0.714286, 5e-7);
    near_to(number(a, "ppv"), 0.636364, 5e-7);
    near_to(number(a, "npv"), 0.769231, 5e-7);
    near_to(number(a, "f1"), 0.666667, 5e-7);
    near_to(number(a, "mcc"), 0.409917025789, 1e-12);
    near_to(number(a, "kappa"), 0.408450704225, 1e-12);
    near_to(number(json_object_get(a, "youden"), "threshold"), 0.6, 1e-15);
    near_to(number(a, "auroc_boot_low"), 0.528, 0.01);
    near_to(number(a, "auroc_boot_high"), 0.994, 0.01);
    json_decref(j);
}

static void test_t24(void **state)
{
    json_t *j = judge_t24(*state, true), *arms = json_object_get(j, "arms");
    json_t *a = json_object_get(arms, "pA"), *b = json_object_get(arms, "pB");
    json_t *pair = json_array_get(json_object_get(j, "pairs"), 0);
    near_to(number(pair, "z"), 0.0452781834, 5e-11);
    near_to(number(pair, "p"), 0.963885576697, 1e-12);
    near_to(number(pair, "p_holm"), 0.963885576697, 1e-12);
    near_to(number(pair, "low"), -0.151025572506, 1e-12);
    near_to(number(pair, "high"), 0.158168429649, 1e-12);
    near_to(number(pair, "boot_low"), -0.161, 0.01);
    near_to(number(pair, "boot_high"), 0.145, 0.01);
    near_to(number(pair, "mcnemar_b"), 3, 0);
    near_to(number(pair, "mcnemar_c"), 3, 0);
    near_to(number(pair, "mcnemar_p"), 1, 0);
    near_to(number(a, "ece5"), 0.104166666667, 1e-12);
    near_to(number(a, "ece4_equal_mass"), 0.154166666667, 1e-12);
    near_to(number(b, "ece4_equal_mass"), 0.110416666667, 1e-12);
    near_to(number(a, "temperature"), 1.0921198, 2e-7);
    near_to(number(b, "temperature_log_loss"), 0.5068477338, 5e-11);
    near_to(number(b, "slope"), 1.350184634, 5e-10);
    near_to(number(b, "spiegelhalter_z"), -0.524628835, 5e-10);
    near_to(number(b, "auprc"), 0.766973070789, 1e-12);
    near_to(number(b, "log_loss"), 0.515865592431, 1e-12);
    near_to(number(a, "citl_se"), 0.508194543, 5e-6); /* glm stops one step earlier */
    near_to(number(a, "slope_se"), 0.395257, 1e-5);
    json_t *benefit = json_array_get(json_object_get(b, "net_benefit"), 2);
    near_to(number(benefit, "model"), 0.255952381, 5e-10);
    near_to(number(benefit, "all"), 0.166666667, 5e-10);
    json_t *groups = json_object_get(j, "groups");
    json_t *x = json_object_get(json_object_get(json_object_get(groups, "X"), "arms"), "pA");
    near_to(number(x, "auroc"), 0.90625, 1e-12);
    json_t *between = json_array_get(json_object_get(j, "group_tests"), 0);
    near_to(number(between, "z"), 0.02516182566, 5e-11);
    near_to(number(between, "df"), 21.84491073, 5e-9);
    near_to(number(between, "p"), 0.980154328, 5e-10);
    json_decref(j);
    j = judge_t24(*state, false); /* two groups: Q is the square of the unpaired statistic */
    json_t *test = json_object_get(json_object_get(j, "interaction"), "pA");
    near_to(sqrt(number(test, "q")), 0.02516182566, 5e-11);
    json_decref(j);
}

static void test_without_probability(void **state)
{
    judge_rows in = {.n = T24_N, .positive = t24_y, .n_arm = 1, .arm_name = names, .score = scores};
    json_t *j = judge(*state, &in, -1), *a = json_object_get(json_object_get(j, "arms"), "pA");
    assert_true(is_null(a, "brier"));
    assert_true(is_null(a, "auroc_cluster_var"));
    near_to(number(a, "sens"), 0.7, 1e-15);
    json_decref(j);
}

static void test_no_answers(void **state)
{
    uint8_t ones[4] = {1, 1, 1, 1}, half[4] = {0, 1, 0, 1}, perfect[4] = {0, 0, 1, 1};
    double hole[4] = {0.1, 0.2, 0.3, 0.4}, odd[4] = {-3, 0.2, 1.5, 0.5},
           same[4] = {0.4, 0.4, 0.4, 0.4};
    double apart[4] = {0.1, 0.2, 0.8, 0.9}, ends[4] = {-INFINITY, 1, 2, INFINITY};
    const double *score[2] = {hole, same};
    int32_t one_patient[4] = {5, 5, 5, 5};
    judge_rows in = {.n = 4,
                     .positive = ones,
                     .patient = one_patient,
                     .n_arm = 2,
                     .arm_name = names,
                     .score = score,
                     .probability = score};
    json_t *j = judge(*state, &in, 200), *a = json_object_get(json_object_get(j, "arms"), "pA");
    near_to(number(a, "n"), 4, 0);
    assert_string_equal(json_string_value(json_object_get(a, "status")), "one_class");
    assert_true(is_null(a, "auroc") && is_null(a, "auroc_low") && is_null(a, "spec") &&
                is_null(a, "slope"));
    json_decref(j);
    in.positive = half;
    score[0] = odd; /* not probabilities: AUROC stands, calibration says why not */
    j = judge(*state, &in, 200);
    a = json_object_get(json_object_get(j, "arms"), "pA");
    assert_true(!is_null(a, "auroc") && is_null(a, "brier") && is_null(a, "ece10"));
    assert_string_equal(json_string_value(json_object_get(a, "probability_status")),
                        "out_of_range");
    a = json_object_get(json_object_get(j, "arms"), "pB");
    near_to(number(a, "auroc"), 0.5, 0); /* all tied */
    assert_string_equal(json_string_value(json_object_get(a, "status")), "zero_variance");
    assert_string_equal(json_string_value(json_object_get(a, "calibration_status")), "constant");
    json_decref(j);
    in.positive = perfect;
    in.probability = NULL;
    score[0] = apart;
    score[1] = ends;
    j = judge(*state, &in, 200);
    a = json_object_get(json_object_get(j, "arms"), "pA");
    near_to(number(a, "auroc"), 1, 0);
    assert_true(number(a, "auroc_low") < 0.9); /* never [1, 1] */
    json_decref(j);
    in.n = 0;
    j = judge(*state, &in, 200);
    a = json_object_get(json_object_get(j, "arms"), "pA");
    assert_string_equal(json_string_value(json_object_get(a, "status")), "no_cases");
    json_decref(j);
}

static void test_heterogeneity(void **state)
{
    (void)state;
    stat_estimate o[4] = {
        {.has_value = true, .has_variance = true, .value = 0.7, .variance = 0.001},
        {.has_value = true, .has_variance = true, .value = 0.8, .variance = 0.002},
        {.has_value = true, .has_variance = false, .value = 1},
        {.has_value = true, .has_variance = true, .value = 0.75, .variance = 0.004}};
    subgroup_test t = subgroup_heterogeneity(o, 4);
    assert_int_equal(t.n_group, 3);
    near_to(t.pooled, (0.7 * 1000 + 0.8 * 500 + 0.75 * 250) / 1750, 1e-14);
    near_to(t.df, 2, 0);
    near_to(t.p, exp(-t.q / 2), 1e-14); /* chi-square with 2 degrees */
    assert_int_equal(subgroup_heterogeneity(o + 2, 2).status, STAT_CONSTANT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t24_arms),
        cmocka_unit_test(test_t24),
        cmocka_unit_test(test_without_probability),
        cmocka_unit_test(test_no_answers),
        cmocka_unit_test(test_heterogeneity),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
