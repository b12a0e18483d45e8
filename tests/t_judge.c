/* Tests of src/view/judge and src/stats/subgroup: T24's known answers through the JSON door, and inputs that
 * have no answer. */
#include "stats/rank.h"
#include "stats/subgroup.h"
#include "view/judge.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "t24.h"

static void near_to(double got, double want, double within)
{
    if (!(fabs(got - want) <= within)) fail_msg("got %.15g, want %.15g", got, want);
}

static int open_arena(void **state)
{
    static arena a;
    err e = {0};
    *state = &a;
    return arena_open(&a, (size_t)1 << 30, "test", &e) ? 0 : 1;
}

static int close_arena(void **state)
{
    arena_close(*state);
    return 0;
}

static json_t *judge(arena *a, const judge_input *in)
{
    err e = {0};
    json_error_t je;
    buf b = buf_up_to(BUF_MAX);
    pool *p = pool_open(2, &e);
    assert_true(judge_write(in, p, a, &b, &e));
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

static void test_t24(void **state)
{
    int32_t site[T24_N];
    for (int i = 0; i < T24_N; i++) site[i] = t24_site[i] == 'Y';
    judge_group g = {.name = "site", .n_value = 2, .value_name = site_names, .value = site};
    judge_input in = {.n = T24_N,
                      .positive = t24_y,
                      .n_arm = 2,
                      .name = names,
                      .score = scores,
                      .probability = true,
                      .threshold = 0.5,
                      .patient = t24_patient,
                      .n_group = 1,
                      .group = &g,
                      .n_draw = 2000,
                      .seed = 24};
    json_t *j = judge(*state, &in), *arms = json_object_get(j, "arms");
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
    near_to(number(a, "auroc_boot_low"), 0.528, 0.02);
    near_to(number(a, "auroc_boot_high"), 0.994, 0.01);
    json_t *pair = json_array_get(json_object_get(j, "pairs"), 0);
    near_to(number(pair, "z"), 0.0452781834, 5e-11);
    near_to(number(pair, "p"), 0.963885576697, 1e-12);
    near_to(number(pair, "p_holm"), 0.963885576697, 1e-12);
    near_to(number(pair, "low"), -0.151025572506, 1e-12);
    near_to(number(pair, "boot_low"), -0.161, 0.02);
    near_to(number(json_object_get(pair, "mcnemar"), "b"), 3, 0);
    json_t *sites = json_object_get(json_object_get(j, "groups"), "site");
    json_t *x = json_object_get(
        json_object_get(json_object_get(json_object_get(sites, "values"), "X"), "arms"), "pA");
    near_to(number(x, "auroc"), 0.90625, 1e-12);
    json_t *test = json_object_get(json_object_get(sites, "interaction"), "pA");
    near_to(sqrt(number(test, "q")), 0.02516182566,
            5e-11); /* two groups: the unpaired DeLong statistic */
    json_decref(j);
}

static void test_without_probability(void **state)
{
    judge_input in = {.n = T24_N,
                      .positive = t24_y,
                      .n_arm = 1,
                      .name = names,
                      .score = scores,
                      .threshold = 0.5};
    json_t *j = judge(*state, &in), *a = json_object_get(json_object_get(j, "arms"), "pA");
    assert_null(json_object_get(a, "brier"));
    assert_true(is_null(a, "auroc_cluster_var"));
    near_to(number(a, "sens"), 0.7, 1e-15);
    json_decref(j);
}

static void test_no_answers(void **state)
{
    uint8_t ones[4] = {1, 1, 1, 1}, half[4] = {0, 1, 0, 1}, perfect[4] = {0, 0, 1, 1};
    double hole[4] = {0.1, NAN, 0.3, 0.4}, odd[4] = {-3, 0.2, 1.5, 0.5},
           same[4] = {0.4, 0.4, 0.4, 0.4};
    double apart[4] = {0.1, 0.2, 0.8, 0.9}, ends[4] = {-INFINITY, 1, 2, INFINITY};
    const double *score[2] = {hole, same};
    int32_t one_patient[4] = {5, 5, 5, 5};
    judge_input in = {.n = 4,
                      .positive = ones,
                      .n_arm = 2,
                      .name = names,
                      .score = score,
                      .probability = true,
                      .threshold = 0.5,
                      .patient = one_patient,
                      .n_draw = 200};
    json_t *j = judge(*state, &in), *a = json_object_get(json_object_get(j, "arms"), "pA");
    near_to(number(j, "unscored"), 1, 0); /* out of both arms */
    near_to(number(a, "n"), 3, 0);
    assert_string_equal(json_string_value(json_object_get(a, "status")), "one_class");
    assert_true(is_null(a, "auroc") && is_null(a, "auroc_low") && is_null(a, "spec") &&
                is_null(a, "slope"));
    json_decref(j);
    in.positive = half;
    score[0] = odd; /* not probabilities: AUROC stands, calibration says why not */
    j = judge(*state, &in);
    a = json_object_get(json_object_get(j, "arms"), "pA");
    assert_true(!is_null(a, "auroc") && is_null(a, "brier") && is_null(a, "ece10"));
    assert_string_equal(json_string_value(json_object_get(a, "calibration_status")),
                        "out_of_range");
    a = json_object_get(json_object_get(j, "arms"), "pB");
    near_to(number(a, "auroc"), 0.5, 0); /* all tied */
    assert_string_equal(json_string_value(json_object_get(a, "status")), "zero_variance");
    assert_string_equal(json_string_value(json_object_get(a, "calibration_status")), "constant");
    json_decref(j);
    in.positive = perfect;
    in.probability = false;
    score[0] = apart;
    score[1] = ends;
    j = judge(*state, &in);
    a = json_object_get(json_object_get(j, "arms"), "pA");
    near_to(number(a, "auroc"), 1, 0);
    assert_true(number(a, "auroc_low") < 0.9); /* never [1, 1] */
    json_decref(j);
    in.n = 0;
    j = judge(*state, &in);
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
        cmocka_unit_test(test_t24),
        cmocka_unit_test(test_without_probability),
        cmocka_unit_test(test_no_answers),
        cmocka_unit_test(test_heterogeneity),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
