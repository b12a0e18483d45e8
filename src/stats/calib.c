/* calib: see calib.h. */
#include "stats/calib.h"

#include "stats/dist.h"

#include <assert.h>
#include <math.h>

static int64_t count_positive(const uint8_t *positive, int64_t n)
{
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++) m += positive[i];
    return m;
}

stat_estimate calib_brier(const double *p, const uint8_t *positive, int64_t n)
{
    assert(n >= 0);
    stat_estimate o = stat_none(stat_check_probabilities(p, n), n, count_positive(positive, n));
    if (o.status != STAT_OK) return o;
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        double miss = (p[i] - positive[i]) * (p[i] - positive[i]);
        sum += miss;
        squares += miss * miss;
    }
    o.has_value = true;
    o.value = sum / (double)n;
    if (n < 2) return o;
    o.variance = fmax(0, (squares - sum * o.value) / (double)(n - 1) / (double)n);
    double half = dist_normal_factor(0.95) * sqrt(o.variance);
    o.low = fmax(0, o.value - half);
    o.high = fmin(1, o.value + half);
    o.has_variance = o.has_interval = o.variance > 0;
    o.method = o.has_interval ? "Wald" : "";
    return o;
}

stat_estimate calib_brier_scaled(const double *p, const uint8_t *positive, int64_t n)
{
    stat_estimate o = calib_brier(p, positive, n);
    if (o.status != STAT_OK) return o;
    double prevalence = (double)o.events / (double)n, worst = prevalence * (1 - prevalence);
    if (worst == 0) return stat_none(STAT_ONE_CLASS, n, o.events);
    o.value = 1 - o.value / worst;
    o.has_variance = o.has_interval = false;
    o.variance = o.low = o.high = 0;
    o.method = "";
    return o;
}
