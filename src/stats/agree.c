/* agree: see agree.h. */
#include "stats/agree.h"

#include "stats/dist.h"
#include "stats/prop.h"

#include <assert.h>
#include <math.h>
#include <string.h>

void agree_table(const int32_t *first, const int32_t *second, int64_t n, int32_t n_category,
                 agree_two *out)
{
    assert(n_category > 0 && n_category <= AGREE_CATEGORIES_MAX);
    memset(out, 0, sizeof *out);
    out->n_category = n_category;
    for (int64_t i = 0; i < n; i++) {
        assert(first[i] < n_category && second[i] < n_category);
        if (first[i] < 0 || second[i] < 0) continue;
        out->count[first[i]][second[i]]++;
        out->n++;
    }
}

stat_estimate agree_raw(const agree_two *t)
{
    int64_t same = 0;
    for (int32_t k = 0; k < t->n_category; k++) same += t->count[k][k];
    return prop_of(same, t->n, PROP_WILSON, 0);
}

static double weight_of(agree_weight kind, int32_t i, int32_t j, int32_t n_category)
{
    if (kind == AGREE_UNWEIGHTED || n_category < 2) return i == j;
    double d = fabs((double)(i - j)) / (double)(n_category - 1);
    return 1 - (kind == AGREE_LINEAR ? d : d * d);
}

typedef struct margins {
    double row[AGREE_CATEGORIES_MAX], column[AGREE_CATEGORIES_MAX];
    double row_weight[AGREE_CATEGORIES_MAX], column_weight[AGREE_CATEGORIES_MAX];
    double observed, expected;
} margins;

static margins margins_of(const agree_two *t, agree_weight kind)
{
    margins m = {0};
    int32_t n = t->n_category;
    double total = (double)t->n;
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < n; j++) {
            double p = (double)t->count[i][j] / total;
            m.row[i] += p;
            m.column[j] += p;
            m.observed += weight_of(kind, i, j, n) * p;
        }
    }
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < n; j++) {
            double w = weight_of(kind, i, j, n);
            m.row_weight[i] += w * m.column[j];
            m.column_weight[j] += w * m.row[i];
            m.expected += w * m.row[i] * m.column[j];
        }
    }
    return m;
}

static void add_interval(stat_estimate *o, double variance, double level, const char *method)
{
    double half = dist_normal_factor(level) * sqrt(fmax(0, variance));
    o->variance = fmax(0, variance);
    o->has_variance = o->has_interval = o->variance > 0;
    if (!o->has_interval) {
        o->status = STAT_ZERO_VARIANCE;
        return;
    }
    o->low = o->value - half;
    o->high = fmin(1, o->value + half);
    o->method = method;
}

stat_estimate agree_kappa(const agree_two *t, agree_weight kind, double level)
{
    if (level == 0) level = 0.95;
    stat_estimate o = stat_none(t->n ? STAT_OK : STAT_NO_CASES, t->n, 0);
    if (t->n == 0) return o;
    margins m = margins_of(t, kind);
    double rest = 1 - m.expected;
    if (rest < 1e-12) {
        o.status = STAT_CONSTANT;
        return o;
    }
    o.has_value = true;
    o.value = (m.observed - m.expected) / rest;
    double sum = 0, centre = m.observed * m.expected - 2 * m.expected + m.observed;
    for (int32_t i = 0; i < t->n_category; i++) {
        for (int32_t j = 0; j < t->n_category; j++) {
            double w = weight_of(kind, i, j, t->n_category);
            double part = w * rest - (m.row_weight[i] + m.column_weight[j]) * (1 - m.observed);
            sum += (double)t->count[i][j] / (double)t->n * part * part;
        }
    }
    double variance = (sum - centre * centre) / ((double)t->n * rest * rest * rest * rest);
    add_interval(&o, variance, level, "Fleiss-Cohen-Everitt");
    return o;
}

/* Counts of item i by category; returns their sum. */
static int32_t item_counts(const agree_many *m, int64_t i, int32_t *count)
{
    int32_t total = 0;
    memset(count, 0, sizeof(int32_t) * (size_t)m->n_category);
    for (int32_t r = 0; r < m->n_rater; r++) {
        int32_t k = m->rating[i * m->n_rater + r];
        assert(k < m->n_category);
        if (k < 0) continue;
        count[k]++;
        total++;
    }
    return total;
}

static double item_weight(const agree_many *m, int64_t i) { return m->weight ? m->weight[i] : 1; }

/* Share of agreeing pairs among the ratings of one item; total >= 2. */
static double pair_agreement(const int32_t *count, int32_t n_category, int32_t total)
{
    double same = 0;
    for (int32_t k = 0; k < n_category; k++) same += (double)count[k] * (count[k] - 1);
    return same / ((double)total * (total - 1));
}

typedef struct pooled { /* over items */
    double n, agreement, share[AGREE_CATEGORIES_MAX];
} pooled;

static stat_estimate fleiss_from(const pooled *p, int32_t n_category)
{
    stat_estimate o = stat_none(STAT_OK, (int64_t)p->n, 0);
    double expected = 0;
    for (int32_t k = 0; k < n_category; k++) expected += p->share[k] / p->n * p->share[k] / p->n;
    if (1 - expected < 1e-12) {
        o.status = STAT_CONSTANT;
        return o;
    }
    o.has_value = true;
    o.value = (p->agreement / p->n - expected) / (1 - expected);
    return o;
}

stat_estimate agree_fleiss_counts(const int32_t *count, int64_t n, int32_t n_category)
{
    assert(n_category > 0 && n_category <= AGREE_CATEGORIES_MAX);
    pooled p = {.n = (double)n};
    int32_t first = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t total = 0;
        const int32_t *c = count + i * n_category;
        for (int32_t k = 0; k < n_category; k++) total += c[k];
        if (i == 0) first = total;
        if (total < 2 || total != first) return stat_none(STAT_MISSING_SCORES, n, 0);
        p.agreement += pair_agreement(c, n_category, total);
        for (int32_t k = 0; k < n_category; k++) p.share[k] += (double)c[k] / total;
    }
    return n == 0 ? stat_none(STAT_NO_CASES, 0, 0) : fleiss_from(&p, n_category);
}

stat_estimate agree_fleiss(const agree_many *m)
{
    assert(m->n_category > 0 && m->n_category <= AGREE_CATEGORIES_MAX);
    pooled p = {0};
    for (int64_t i = 0; i < m->n; i++) {
        int32_t count[AGREE_CATEGORIES_MAX];
        double w = item_weight(m, i);
        if (item_counts(m, i, count) != m->n_rater || m->n_rater < 2)
            return stat_none(STAT_MISSING_SCORES, m->n, 0);
        p.n += w;
        p.agreement += w * pair_agreement(count, m->n_category, m->n_rater);
        for (int32_t k = 0; k < m->n_category; k++) p.share[k] += w * count[k] / m->n_rater;
    }
    return p.n == 0 ? stat_none(STAT_NO_CASES, 0, 0) : fleiss_from(&p, m->n_category);
}

/* Items rated at all give shares, items rated twice give agreement. */
static void ac1_pool(const agree_many *m, pooled *agree, pooled *shares)
{
    for (int64_t i = 0; i < m->n; i++) {
        int32_t count[AGREE_CATEGORIES_MAX], total = item_counts(m, i, count);
        double w = item_weight(m, i);
        if (total == 0) continue;
        shares->n += w;
        for (int32_t k = 0; k < m->n_category; k++) shares->share[k] += w * count[k] / total;
        if (total < 2) continue;
        agree->n += w;
        agree->agreement += w * pair_agreement(count, m->n_category, total);
    }
}

stat_estimate agree_ac1(const agree_many *m, double level)
{
    assert(m->n_category >= 2 && m->n_category <= AGREE_CATEGORIES_MAX);
    if (level == 0) level = 0.95;
    pooled agree = {0}, shares = {0};
    ac1_pool(m, &agree, &shares);
    stat_estimate o = stat_none(STAT_OK, (int64_t)shares.n, 0);
    if (agree.n == 0) return stat_none(STAT_NO_CASES, 0, 0);
    double chance = 0, share[AGREE_CATEGORIES_MAX];
    for (int32_t k = 0; k < m->n_category; k++) {
        share[k] = shares.share[k] / shares.n;
        chance += share[k] * (1 - share[k]) / (m->n_category - 1);
    }
    double observed = agree.agreement / agree.n, rest = 1 - chance;
    o.has_value = true;
    o.value = (observed - chance) / rest;
    double sum = 0;
    for (int64_t i = 0; i < m->n; i++) {
        int32_t count[AGREE_CATEGORIES_MAX], total = item_counts(m, i, count);
        if (total == 0) continue;
        double item_chance = 0, item = 0;
        for (int32_t k = 0; k < m->n_category; k++)
            item_chance += share[k] * (1 - (double)count[k] / total) / (m->n_category - 1);
        if (total >= 2)
            item =
                shares.n / agree.n * (pair_agreement(count, m->n_category, total) - chance) / rest;
        double part = item - 2 * (1 - o.value) * (item_chance - chance) / rest - o.value;
        sum += item_weight(m, i) * part * part;
    }
    if (shares.n > 1) add_interval(&o, sum / (shares.n * (shares.n - 1)), level, "Gwet");
    return o;
}

/* Squared distance of categories c <= k, given how often each was used. */
static double distance(agree_metric metric, const double *used, int32_t c, int32_t k)
{
    if (c == k) return 0;
    if (metric == AGREE_NOMINAL) return 1;
    if (metric == AGREE_INTERVAL) return (double)(c - k) * (c - k);
    double between = -(used[c] + used[k]) / 2;
    for (int32_t g = c; g <= k; g++) between += used[g];
    return between * between;
}

stat_estimate agree_alpha(const agree_many *m, agree_metric metric)
{
    assert(m->n_category > 0 && m->n_category <= AGREE_CATEGORIES_MAX);
    double pairs[AGREE_CATEGORIES_MAX][AGREE_CATEGORIES_MAX] = {{0}}; /* coincidences, c <= k */
    double used[AGREE_CATEGORIES_MAX] = {0}, total = 0;
    int64_t n_item = 0;
    for (int64_t i = 0; i < m->n; i++) {
        int32_t count[AGREE_CATEGORIES_MAX], n = item_counts(m, i, count);
        double w = item_weight(m, i);
        if (n < 2 || w == 0) continue;
        n_item++;
        total += w * n;
        for (int32_t c = 0; c < m->n_category; c++) {
            used[c] += w * count[c];
            for (int32_t k = c + 1; k < m->n_category; k++)
                pairs[c][k] += w * count[c] * count[k] / (n - 1);
        }
    }
    stat_estimate o = stat_none(n_item ? STAT_OK : STAT_NO_CASES, n_item, 0);
    if (n_item == 0) return o;
    double observed = 0, expected = 0;
    for (int32_t c = 0; c < m->n_category; c++) {
        for (int32_t k = c + 1; k < m->n_category; k++) {
            double d = distance(metric, used, c, k);
            observed += pairs[c][k] * d;
            expected += used[c] * used[k] * d;
        }
    }
    if (expected == 0) {
        o.status = STAT_CONSTANT;
        return o;
    }
    o.has_value = true;
    o.value = 1 - (total - 1) * observed / expected;
    return o;
}
