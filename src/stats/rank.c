/* rank: see rank.h. */
#include "stats/rank.h"

#include "stats/dist.h"

#include <assert.h>
#include <math.h>

/* The end of the run of equal scores that starts at `from`, and the positives in it. */
static int64_t tie_end(const double *score, const int32_t *order, int64_t from, int64_t n)
{
    int64_t to = from + 1;
    while (to < n && score[order[to]] == score[order[from]]) to++;
    return to;
}

/* slot[i]: the number of row i among the rows of its own class. */
static void number_within_class(const uint8_t *positive, int64_t n, int32_t *slot)
{
    int32_t next[2] = {0, 0};
    for (int64_t i = 0; i < n; i++) slot[i] = next[positive[i]]++;
}

static void place(const double *score, const uint8_t *positive, const int32_t *order,
                  const int32_t *slot, rank_parts *out)
{
    int64_t n = out->n, m = out->n_positive, below[2] = {0, 0}, won_twice = 0;
    for (int64_t i = 0; i < n;) {
        int64_t end = tie_end(score, order, i, n), tied[2] = {0, 0};
        for (int64_t k = i; k < end; k++) tied[positive[order[k]]]++;
        double v10 = ((double)below[0] + 0.5 * (double)tied[0]) / (double)(n - m);
        double v01 = ((double)(m - below[1] - tied[1]) + 0.5 * (double)tied[1]) / (double)m;
        for (int64_t k = i; k < end; k++) {
            int32_t row = order[k];
            if (positive[row]) out->v10[slot[row]] = v10;
            else out->v01[slot[row]] = v01;
        }
        won_twice += tied[1] * (2 * below[0] + tied[0]);
        below[0] += tied[0];
        below[1] += tied[1];
        i = end;
    }
    out->auroc = (double)won_twice / (2.0 * (double)m * (double)(n - m));
}

bool rank_parts_take(const double *score, const uint8_t *positive, int64_t n, arena *a,
                     rank_parts *out, err *e)
{
    assert(n >= 0 && n <= INT32_MAX);
    *out = (rank_parts){.n = n};
    out->status = stat_check_rows(score, positive, n, &out->n_positive);
    if (!stat_status_usable(out->status)) return true;
    out->v10 = arena_take(a, (size_t)out->n_positive, sizeof *out->v10, e);
    out->v01 = arena_take(a, (size_t)(n - out->n_positive), sizeof *out->v01, e);
    size_t mark = arena_mark(a);
    int32_t *order = arena_take(a, (size_t)n, sizeof *order, e);
    int32_t *slot = arena_take(a, (size_t)n, sizeof *slot, e);
    if (!out->v10 || !out->v01 || !order || !slot || !stat_order(score, n, order, a, e))
        return false;
    number_within_class(positive, n, slot);
    place(score, positive, order, slot, out);
    arena_reset(a, mark);
    return true;
}

double rank_covariance(const rank_parts *a, const rank_parts *b)
{
    int64_t m = a->n_positive, n = a->n - m;
    assert(m == b->n_positive && a->n == b->n && m >= 2 && n >= 2);
    return stat_covariance(a->v10, b->v10, m) / (double)m +
           stat_covariance(a->v01, b->v01, n) / (double)n;
}

/* A bound for when the variance formula gives 0: Clopper-Pearson as if AUROC were a share of
 * min(m, n) cases. Rough, wide, and honest about perfection on few cases. */
static void rough_bound(double share, int64_t k, double level, stat_estimate *out)
{
    double tail = (1 - level) / 2, x = share * (double)k, rest = (double)k - x;
    out->low = x > 0 ? dist_beta_quantile(tail, x, rest + 1) : 0;
    out->high = rest > 0 ? dist_beta_quantile(1 - tail, x + 1, rest) : 1;
    out->has_interval = true;
    out->status = STAT_ZERO_VARIANCE;
    out->method = "Clopper-Pearson bound on the smaller class";
}

rank_auroc rank_auroc_with(const rank_parts *p, bool exists, double variance, double level)
{
    if (level == 0) level = 0.95;
    assert(level > 0 && level < 1);
    rank_auroc out = {.logit = stat_none(p->status, p->n, p->n_positive)};
    if (!stat_status_usable(p->status)) return out;
    stat_estimate *o = &out.logit;
    double v = p->auroc;
    o->has_value = true;
    o->value = v;
    if (!exists) return out;
    int64_t m = p->n_positive, n = p->n - m, smaller = m < n ? m : n;
    o->has_variance = true;
    o->variance = fmax(0, variance);
    double z = dist_normal_factor(level), se = sqrt(o->variance);
    if (se > 0) {
        out.has_wald = true;
        out.wald_low = v - z * se;
        out.wald_high = v + z * se;
    }
    if (se == 0 || v <= 0 || v >= 1) {
        rough_bound(v, smaller, level, o);
        return out;
    }
    double centre = log(v / (1 - v)), half = z * se / (v * (1 - v));
    o->low = 1 / (1 + exp(-(centre - half)));
    o->high = 1 / (1 + exp(-(centre + half)));
    o->has_interval = true;
    o->method = "DeLong, logit";
    return out;
}

rank_auroc rank_auroc_of(const rank_parts *p, double level)
{
    bool two = p->n_positive >= 2 && p->n - p->n_positive >= 2 && stat_status_usable(p->status);
    return rank_auroc_with(p, two, two ? rank_covariance(p, p) : 0, level);
}

bool rank_auroc_rows(const double *score, const uint8_t *positive, int64_t n, arena *scratch,
                     rank_auroc *out, err *e)
{
    size_t mark = arena_mark(scratch);
    rank_parts parts;
    bool fine = rank_parts_take(score, positive, n, scratch, &parts, e);
    if (fine) *out = rank_auroc_of(&parts, 0);
    arena_reset(scratch, mark);
    return fine;
}

/* Sample variance of x - y, exactly 0 when they are equal. */
static double variance_of_difference(const double *x, const double *y, int64_t n)
{
    double mean = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) mean += x[i] - y[i];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) sum += (x[i] - y[i] - mean) * (x[i] - y[i] - mean);
    return sum / (double)(n - 1);
}

static stat_status worse(stat_status a, stat_status b)
{
    if (!stat_status_usable(a)) return a;
    if (!stat_status_usable(b)) return b;
    return a != STAT_OK ? a : b;
}

rank_test rank_test_with(double difference, double variance, stat_status status, double level)
{
    if (level == 0) level = 0.95;
    rank_test out = {.status = status, .difference = difference, .method = "normal"};
    if (variance <= 0) { /* the same placements, or curves that differ by a constant */
        out.status = STAT_ZERO_VARIANCE;
        out.has_value = difference == 0;
        out.p = out.has_value ? 1 : 0;
        return out;
    }
    double z = dist_normal_factor(level), se = sqrt(variance);
    out.has_value = out.has_interval = true;
    out.variance = variance;
    out.statistic = difference / se;
    out.p = dist_normal_two_sided(out.statistic);
    out.low = difference - z * se;
    out.high = difference + z * se;
    return out;
}

rank_test rank_compare_paired(const rank_parts *a, const rank_parts *b, double level)
{
    if (level == 0) level = 0.95;
    rank_test out = {.status = worse(a->status, b->status), .method = "DeLong, paired"};
    if (!stat_status_usable(out.status)) return out;
    int64_t m = a->n_positive, n = a->n - m;
    assert(m == b->n_positive && a->n == b->n);
    out.difference = a->auroc - b->auroc;
    if (m < 2 || n < 2) return out;
    double variance = variance_of_difference(a->v10, b->v10, m) / (double)m +
                      variance_of_difference(a->v01, b->v01, n) / (double)n;
    rank_test tested = rank_test_with(out.difference, variance, out.status, level);
    tested.method = out.method;
    return tested;
}

rank_test rank_compare_unpaired(const rank_parts *a, const rank_parts *b, double level)
{
    if (level == 0) level = 0.95;
    rank_test out = {.status = worse(a->status, b->status), .method = "DeLong, unpaired (Welch)"};
    if (!stat_status_usable(out.status)) return out;
    out.difference = a->auroc - b->auroc;
    const rank_parts *both[2] = {a, b};
    double variance[2], sum = 0, spread = 0;
    for (int i = 0; i < 2; i++) {
        if (both[i]->n_positive < 2 || both[i]->n - both[i]->n_positive < 2) return out;
        variance[i] = rank_covariance(both[i], both[i]);
        sum += variance[i];
        spread += variance[i] * variance[i] / (double)(both[i]->n - 1);
    }
    if (sum <= 0) {
        out.status = STAT_ZERO_VARIANCE;
        return out;
    }
    double se = sqrt(sum);
    out.has_value = out.has_interval = true;
    out.variance = sum;
    out.df = sum * sum / spread;
    out.statistic = out.difference / se;
    out.p = dist_t_two_sided(out.statistic, out.df);
    double t = dist_t_quantile((1 + level) / 2, out.df);
    out.low = out.difference - t * se;
    out.high = out.difference + t * se;
    return out;
}

bool rank_roc_take(const double *score, const uint8_t *positive, int64_t n, arena *a, rank_roc *out,
                   err *e)
{
    assert(n >= 0 && n <= INT32_MAX);
    *out = (rank_roc){0};
    out->status = stat_check_rows(score, positive, n, &out->n_positive);
    out->n_negative = n - out->n_positive;
    if (!stat_status_usable(out->status)) return true;
    size_t room = (size_t)n + 1;
    out->threshold = arena_take(a, room, sizeof *out->threshold, e);
    out->true_positive = arena_take(a, room, sizeof *out->true_positive, e);
    out->false_positive = arena_take(a, room, sizeof *out->false_positive, e);
    size_t mark = arena_mark(a);
    int32_t *order = arena_take(a, (size_t)n, sizeof *order, e);
    if (!out->threshold || !out->true_positive || !out->false_positive || !order ||
        !stat_order(score, n, order, a, e))
        return false;
    int64_t count[2] = {0, 0}, point = 0;
    out->threshold[0] = INFINITY;
    out->true_positive[0] = out->false_positive[0] = 0;
    for (int64_t i = n - 1; i >= 0; i--) {
        count[positive[order[i]]]++;
        if (i > 0 && score[order[i]] == score[order[i - 1]]) continue;
        point++;
        out->threshold[point] = score[order[i]];
        out->true_positive[point] = count[1];
        out->false_positive[point] = count[0];
    }
    out->n_point = point + 1;
    arena_reset(a, mark);
    return true;
}

double rank_partial_area(const rank_roc *r, double fpr_from, double fpr_to)
{
    assert(r->n_point > 0 && fpr_from >= 0 && fpr_from < fpr_to && fpr_to <= 1);
    double area = 0;
    for (int64_t i = 1; i < r->n_point; i++) {
        double x0 = rank_roc_fpr(r, i - 1), x1 = rank_roc_fpr(r, i);
        double y0 = rank_roc_tpr(r, i - 1), y1 = rank_roc_tpr(r, i);
        double from = fmax(x0, fpr_from), to = fmin(x1, fpr_to);
        if (to <= from) continue;
        double slope = (y1 - y0) / (x1 - x0);
        area += (to - from) * (y0 + slope * (0.5 * (from + to) - x0));
    }
    return area;
}

double rank_partial_corrected(double area, double fpr_from, double fpr_to)
{
    double chance = 0.5 * (fpr_to * fpr_to - fpr_from * fpr_from), most = fpr_to - fpr_from;
    return 0.5 * (1 + (area - chance) / (most - chance));
}
