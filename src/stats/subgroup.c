/* subgroup: see subgroup.h. */
#include "stats/subgroup.h"

#include "stats/dist.h"

static bool takes_part(const stat_estimate *o)
{
    return o->has_value && o->has_variance && o->variance > 0;
}

subgroup_test subgroup_heterogeneity(const stat_estimate *estimate, int32_t n)
{
    subgroup_test t = {.status = STAT_CONSTANT};
    double weight = 0, sum = 0;
    for (int32_t i = 0; i < n; i++) {
        if (!takes_part(&estimate[i])) continue;
        t.n_group++;
        weight += 1 / estimate[i].variance;
        sum += estimate[i].value / estimate[i].variance;
    }
    if (t.n_group < 2) return t;
    t.status = STAT_OK;
    t.pooled = sum / weight;
    for (int32_t i = 0; i < n; i++) {
        double gap = estimate[i].value - t.pooled;
        if (takes_part(&estimate[i])) t.q += gap * gap / estimate[i].variance;
    }
    t.df = t.n_group - 1;
    t.p = dist_chi2_upper(t.q, t.df);
    return t;
}
