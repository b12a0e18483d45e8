/* plan: see plan.h. */
#include "stats/plan.h"

#include "stats/dist.h"

#include <assert.h>
#include <math.h>

double plan_auroc_se(double auroc, double n_positive, double n_negative)
{
    assert(auroc > 0 && auroc < 1 && n_positive > 0 && n_negative > 0);
    double square = auroc * auroc, q1 = auroc / (2 - auroc), q2 = 2 * square / (1 + auroc);
    double sum =
        auroc * (1 - auroc) + (n_positive - 1) * (q1 - square) + (n_negative - 1) * (q2 - square);
    return sqrt(sum / (n_positive * n_negative));
}

double plan_auroc_se_newcombe(double c, double n, double prevalence)
{
    assert(c > 0 && c < 1 && n > 0 && prevalence > 0 && prevalence < 1);
    double half = n / 2 - 1;
    double top = c * (1 - c) * (1 + half * (1 - c) / (2 - c) + half * c / (1 + c));
    return sqrt(top / (n * n * prevalence * (1 - prevalence)));
}

typedef double curve(double n, const double *given);

/* The least whole n >= 1 with f(n) <= goal, f falling; 0 when 10^9 are not enough. */
static int64_t least_rows(curve *f, const double *given, double goal)
{
    int64_t low = 0, high = 1;
    while (f((double)high, given) > goal) {
        low = high;
        high *= 2;
        if (high > 1000000000) return 0;
    }
    while (high - low > 1) {
        int64_t mid = low + (high - low) / 2;
        if (f((double)mid, given) > goal) low = mid;
        else high = mid;
    }
    return high;
}

static double newcombe_curve(double n, const double *given)
{
    return plan_auroc_se_newcombe(given[0], n, given[1]);
}

int64_t plan_auroc_rows(double auroc, double prevalence, double width, double level)
{
    assert(width > 0);
    const double given[2] = {auroc, prevalence};
    return least_rows(newcombe_curve, given,
                      width / 2 / dist_normal_factor(level == 0 ? 0.95 : level));
}

double plan_auroc_power(double auroc, double n_positive, double n_negative, double alpha)
{
    assert(auroc > 0.5 && auroc < 1 && alpha > 0 && alpha < 1);
    double k = n_negative / n_positive, a = 1.414 * dist_normal_quantile(auroc), a2 = a * a;
    double v = 0.0099 * exp(-a2 / 2) * (5 * a2 + 8 + (a2 + 8) / k);
    double z = sqrt(n_positive) * (auroc - 0.5) -
               dist_normal_factor(1 - alpha) * sqrt(0.0792 * (1 + 1 / k));
    return dist_normal_lower(z / sqrt(v));
}

static double power_curve(double n, const double *given)
{
    return 1 - plan_auroc_power(given[0], n, n * given[1], given[2]);
}

int64_t plan_auroc_positives(double auroc, double ratio, double alpha, double power)
{
    assert(ratio > 0 && power > 0 && power < 1);
    const double given[3] = {auroc, ratio, alpha};
    return least_rows(power_curve, given, 1 - power);
}

int64_t plan_observed_expected_rows(double prevalence, double se)
{
    assert(prevalence > 0 && prevalence < 1 && se > 0);
    return (int64_t)ceil((1 - prevalence) / (prevalence * se * se) - 1e-9);
}

int64_t plan_observed_expected_rows_for_width(double prevalence, double width, double level)
{
    double se = asinh(width / 2) / dist_normal_factor(level == 0 ? 0.95 : level);
    return plan_observed_expected_rows(prevalence, se);
}

/* --- calibration --- */

enum { GRID = 4001 };

typedef struct moments { /* over log-odds x ~ normal(mean, sd), p = expit x, w = p (1 - p) */
    double prevalence, auroc, w, wx, wxx;
} moments;

static moments moments_of(double mean, double sd)
{
    moments m = {0};
    double step = 16.0 / (GRID - 1), total = 0, negatives = 0, won = 0;
    for (int i = 0; i < GRID; i++) {
        double z = -8 + i * step, x = mean + sd * z, mass = exp(-z * z / 2), p = 1 / (1 + exp(-x));
        total += mass;
        m.prevalence += mass * p;
        won += mass * p * (negatives + 0.5 * mass * (1 - p));
        negatives += mass * (1 - p);
        m.w += mass * p * (1 - p);
        m.wx += mass * p * (1 - p) * x;
        m.wxx += mass * p * (1 - p) * x * x;
    }
    m.auroc = won / (m.prevalence * negatives);
    m.prevalence /= total;
    m.w /= total;
    m.wx /= total;
    m.wxx /= total;
    return m;
}

/* The mean that gives the prevalence at this sd. */
static double mean_for(double prevalence, double sd)
{
    double low = -60, high = 60;
    for (int i = 0; i < 60; i++) {
        double mid = (low + high) / 2;
        if (moments_of(mid, sd).prevalence < prevalence) low = mid;
        else high = mid;
    }
    return (low + high) / 2;
}

plan_validation plan_validate(double auroc, double prevalence, double se_auroc, double se_slope,
                              double se_in_the_large)
{
    assert(auroc > 0.5 && auroc < 0.999 && prevalence > 0 && prevalence < 1);
    double low = 0.001, high = 30;
    for (int i = 0; i < 50; i++) {
        double sd = (low + high) / 2;
        if (moments_of(mean_for(prevalence, sd), sd).auroc < auroc) low = sd;
        else high = sd;
    }
    plan_validation v = {.sd = (low + high) / 2};
    v.mean = mean_for(prevalence, v.sd);
    moments m = moments_of(v.mean, v.sd);
    const double given[2] = {auroc, prevalence};
    if (se_auroc > 0) v.rows_auroc = least_rows(newcombe_curve, given, se_auroc);
    if (se_slope > 0)
        v.rows_slope = (int64_t)ceil(m.w / (m.w * m.wxx - m.wx * m.wx) / (se_slope * se_slope));
    if (se_in_the_large > 0)
        v.rows_in_the_large = (int64_t)ceil(1 / m.w / (se_in_the_large * se_in_the_large));
    v.rows = v.rows_auroc;
    if (v.rows_slope > v.rows) v.rows = v.rows_slope;
    if (v.rows_in_the_large > v.rows) v.rows = v.rows_in_the_large;
    return v;
}

double plan_largest_of(int32_t k)
{
    assert(k >= 1);
    /* E[max] = integral of x k phi(x) Phi(x)^(k-1) */
    double step = 0.001, sum = 0;
    for (int i = -9000; i <= 9000; i++) {
        double x = i * step;
        sum += x * k * exp(-x * x / 2 + (k - 1) * log(dist_normal_lower(x)));
    }
    return sum * step / 2.50662827463100050242;
}

double plan_optimism(double se, double correlation, int32_t k)
{
    assert(se >= 0 && correlation >= 0 && correlation <= 1);
    return se * sqrt(1 - correlation) * plan_largest_of(k);
}

static stat_estimate smd(double difference, double variance_a, double variance_b)
{
    stat_estimate o = stat_none(STAT_CONSTANT, 0, 0);
    double pooled = (variance_a + variance_b) / 2;
    if (pooled <= 0) return o;
    o.status = STAT_OK;
    o.has_value = true;
    o.value = fabs(difference) / sqrt(pooled);
    return o;
}

stat_estimate plan_smd_shares(double p, double q) { return smd(p - q, p * (1 - p), q * (1 - q)); }

stat_estimate plan_smd_means(double mean_a, double sd_a, double mean_b, double sd_b)
{
    return smd(mean_a - mean_b, sd_a * sd_a, sd_b * sd_b);
}
