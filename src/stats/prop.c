/* prop: see prop.h. */
#include "stats/prop.h"

#include "stats/dist.h"

#include <assert.h>
#include <math.h>

static void wilson(double x, double n, double level, stat_estimate *o)
{
    double z = dist_normal_factor(level), z2 = z * z, p = x / n;
    double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    o->low = x == 0 ? 0 : centre - half;
    o->high = x == n ? 1 : centre + half;
    o->method = "Wilson";
}

static void clopper_pearson(double x, double n, double level, stat_estimate *o)
{
    double tail = (1 - level) / 2;
    o->low = x == 0 ? 0 : dist_beta_quantile(tail, x, n - x + 1);
    o->high = x == n ? 1 : dist_beta_quantile(1 - tail, x + 1, n - x);
    o->method = "Clopper-Pearson";
}

stat_estimate prop_of(int64_t x, int64_t n, prop_method method, double level)
{
    assert(x >= 0 && n >= 0 && x <= n);
    if (level == 0) level = 0.95;
    assert(level > 0 && level < 1);
    stat_estimate o = stat_none(STAT_NO_PREDICTED_POSITIVE, n, x);
    if (n == 0) return o;
    o.status = STAT_OK;
    o.has_value = o.has_variance = o.has_interval = true;
    o.value = (double)x / (double)n;
    o.variance = o.value * (1 - o.value) / (double)n;
    if (method == PROP_WILSON) wilson((double)x, (double)n, level, &o);
    else clopper_pearson((double)x, (double)n, level, &o);
    return o;
}
