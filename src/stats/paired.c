/* paired: see paired.h. */
#include "stats/paired.h"

#include "stats/dist.h"

#include <assert.h>
#include <math.h>

paired_mcnemar paired_mcnemar_of(int64_t both, int64_t b, int64_t c, int64_t neither)
{
    assert(both >= 0 && b >= 0 && c >= 0 && neither >= 0);
    paired_mcnemar o = {
        .n = both + b + c + neither, .both = both, .b = b, .c = c, .neither = neither};
    o.p_chi2 = o.p_corrected = o.p_exact = o.p_mid = o.p = 1;
    o.method = "McNemar, exact";
    if (o.n > 0) o.difference = (double)(b - c) / (double)o.n;
    if (b + c == 0) return o;
    double gap = fabs((double)(b - c)), sum = (double)(b + c);
    o.chi2 = gap * gap / sum;
    o.p_chi2 = dist_chi2_upper(o.chi2, 1);
    o.chi2_corrected = gap > 1 ? (gap - 1) * (gap - 1) / sum : 0;
    o.p_corrected = dist_chi2_upper(o.chi2_corrected, 1);
    int64_t less = b < c ? b : c;
    double twice = 2 * dist_binomial_lower(less, b + c, 0.5);
    o.p_exact = fmin(1, twice);
    o.p_mid = fmin(1, twice - dist_binomial_mass(less, b + c, 0.5));
    bool exact = b + c < PAIRED_EXACT_BELOW;
    o.p = exact ? o.p_exact : o.p_chi2;
    if (!exact) o.method = "McNemar, chi-square";
    return o;
}

paired_mcnemar paired_mcnemar_rows(const uint8_t *right_a, const uint8_t *right_b, int64_t n)
{
    int64_t count[2][2] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        assert(right_a[i] <= 1 && right_b[i] <= 1);
        count[right_a[i]][right_b[i]]++;
    }
    return paired_mcnemar_of(count[1][1], count[1][0], count[0][1], count[0][0]);
}

paired_noninferiority paired_noninferior(const rank_test *a_minus_b, double margin)
{
    assert(margin > 0);
    paired_noninferiority o = {.status = a_minus_b->status, .margin = margin};
    if (a_minus_b->has_value && !a_minus_b->has_interval) { /* the very same curve */
        o.has_value = o.shown = a_minus_b->difference == 0;
        return o;
    }
    if (!a_minus_b->has_interval) return o;
    o.has_value = true;
    o.low = a_minus_b->low;
    o.shown = o.low > -margin;
    o.p = dist_normal_upper((a_minus_b->difference + margin) / sqrt(a_minus_b->variance));
    return o;
}
