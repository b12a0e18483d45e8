/* Tests of src/stats/dist: every value of tests/golden/dist.txt to 1e-12 relative. */
#include "stats/dist.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static double apply(const char *name, const double *a)
{
    if (!strcmp(name, "normal_lower")) return dist_normal_lower(a[0]);
    if (!strcmp(name, "normal_quantile")) return dist_normal_quantile(a[0]);
    if (!strcmp(name, "beta_lower")) return dist_beta_lower(a[0], a[1], a[2]);
    if (!strcmp(name, "beta_upper")) return dist_beta_upper(a[0], a[1], a[2]);
    if (!strcmp(name, "beta_quantile")) return dist_beta_quantile(a[0], a[1], a[2]);
    if (!strcmp(name, "gamma_lower")) return dist_gamma_lower(a[0], a[1]);
    if (!strcmp(name, "gamma_upper")) return dist_gamma_upper(a[0], a[1]);
    if (!strcmp(name, "chi2_upper")) return dist_chi2_upper(a[0], a[1]);
    if (!strcmp(name, "t_two_sided")) return dist_t_two_sided(a[0], a[1]);
    if (!strcmp(name, "t_quantile")) return dist_t_quantile(a[0], a[1]);
    if (!strcmp(name, "f_upper")) return dist_f_upper(a[0], a[1], a[2]);
    if (!strcmp(name, "binomial_mass"))
        return dist_binomial_mass((int64_t)a[0], (int64_t)a[1], a[2]);
    if (!strcmp(name, "binomial_lower"))
        return dist_binomial_lower((int64_t)a[0], (int64_t)a[1], a[2]);
    fail_msg("unknown function %s", name);
    return 0;
}

static void test_golden_values(void **state)
{
    (void)state;
    FILE *f = fopen("tests/golden/dist.txt", "r");
    assert_non_null(f);
    char line[400], name[40];
    int n_value = 0, n_wrong = 0;
    while (fgets(line, sizeof line, f)) {
        double a[4] = {0};
        if (line[0] == '#') continue;
        int n = sscanf(line, "%39s %lf %lf %lf %lf", name, &a[0], &a[1], &a[2], &a[3]) - 1;
        assert_in_range(n, 2, 4);
        double want = a[n - 1], got = apply(name, a);
        bool wrong = !(fabs(got - want) <= 1e-12 * fabs(want));
        /* an argument is rounded to double first: the far lower tail feels that most */
        if (wrong) print_error("%s: got %.17g, off by %.2e\n", line, got, fabs(got / want - 1));
        n_wrong += wrong;
        n_value++;
    }
    fclose(f);
    assert_in_range(n_value, 150, 1000);
    assert_int_equal(n_wrong, 0);
}

static void test_ends_and_symmetry(void **state)
{
    (void)state;
    assert_true(dist_beta_lower(0, 2, 3) == 0 && dist_beta_lower(1, 2, 3) == 1);
    assert_true(dist_beta_upper(0, 2, 3) == 1 && dist_beta_upper(1, 2, 3) == 0);
    assert_true(dist_beta_quantile(0, 2, 3) == 0 && dist_beta_quantile(1, 2, 3) == 1);
    assert_true(dist_gamma_lower(0, 2) == 0 && dist_gamma_upper(0, 2) == 1);
    assert_true(dist_binomial_lower(-1, 5, 0.5) == 0 && dist_binomial_lower(5, 5, 0.5) == 1);
    assert_true(dist_binomial_mass(0, 5, 0) == 1 && dist_binomial_mass(5, 5, 1) == 1);
    assert_true(dist_t_two_sided(0, 4) == 1 && dist_normal_two_sided(0) == 1);
    for (double p = 0.01; p < 1; p += 0.07) {
        assert_true(fabs(dist_normal_quantile(p) + dist_normal_quantile(1 - p)) < 1e-13);
        assert_true(fabs(dist_normal_lower(dist_normal_quantile(p)) - p) < 1e-14);
        for (double df = 0.7; df < 1e5; df *= 5) {
            double t = dist_t_quantile(p, df);
            assert_true(fabs(dist_t_upper(t, df) - (1 - p)) < 1e-13);
        }
        for (double a = 0.1; a < 1e4; a *= 4) {
            double x = dist_beta_quantile(p, a, 2.5);
            assert_true(fabs(dist_beta_lower(x, a, 2.5) - p) < 1e-12);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_values),
        cmocka_unit_test(test_ends_and_symmetry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
