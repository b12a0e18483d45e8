/* audit: see audit.h. */
#include "stats/audit.h"

#include "stats/dist.h"

#include <assert.h>
#include <math.h>

static bool is_unread(audit_stratum s) { return s.rows > 0 && s.audited == 0; }

static double share_wrong(audit_stratum s)
{
    return s.audited > 0 ? (double)s.label_wrong / (double)s.audited : 0;
}

/* Variance of the stratum's share; a stratum read whole has none. */
static double variance_of(audit_stratum s)
{
    double q = share_wrong(s);
    if (s.audited == s.rows) return 0;
    if (s.audited < 2) return 0.25; /* one case says nothing about spread: the most there can be */
    return (1 - (double)s.audited / (double)s.rows) * q * (1 - q) / (double)(s.audited - 1);
}

stat_estimate audit_accuracy(audit_stratum right, audit_stratum wrong, double level)
{
    if (level == 0) level = 0.95;
    const audit_stratum both[2] = {right, wrong};
    for (int k = 0; k < 2; k++) {
        assert(both[k].label_wrong >= 0 && both[k].label_wrong <= both[k].audited);
        assert(both[k].audited <= both[k].rows);
    }
    int64_t rows = right.rows + wrong.rows;
    stat_estimate o = stat_none(STAT_NO_CASES, rows, 0);
    if (rows == 0 || is_unread(right) || is_unread(wrong)) return o;
    double n = (double)rows, part[2] = {(double)right.rows / n, (double)wrong.rows / n};
    o.status = STAT_OK;
    o.has_value = true;
    o.value = part[0] * (1 - share_wrong(right)) + part[1] * share_wrong(wrong);
    o.variance = part[0] * part[0] * variance_of(right) + part[1] * part[1] * variance_of(wrong);
    o.has_variance = true;
    if (o.variance == 0 || o.value <= 0 || o.value >= 1) {
        o.status = STAT_ZERO_VARIANCE;
        return o;
    }
    double centre = log(o.value / (1 - o.value));
    double half = dist_normal_factor(level) * sqrt(o.variance) / (o.value * (1 - o.value));
    o.low = 1 / (1 + exp(half - centre));
    o.high = 1 / (1 + exp(-half - centre));
    o.has_interval = true;
    o.method = "stratified audit, logit";
    return o;
}

double audit_measured(double a, double e) { return a * (1 - e) + (1 - a) * e; }

double audit_wrong_only(double a, double e) { return a + (1 - a) * e; }
