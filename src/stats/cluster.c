/* cluster: see cluster.h. */
#include "stats/cluster.h"

#include "stats/dist.h"

#include <assert.h>
#include <math.h>

bool cluster_number(const int32_t *id, int64_t n, int32_t *out, int32_t *n_cluster, arena *scratch,
                    err *e)
{
    assert(n >= 0 && n <= INT32_MAX);
    size_t mark = arena_mark(scratch);
    double *key = arena_take(scratch, (size_t)n, sizeof *key, e);
    int32_t *order = arena_take(scratch, (size_t)n, sizeof *order, e);
    int32_t *first =
        arena_take(scratch, (size_t)n, sizeof *first, e); /* first row of the row's cluster */
    bool fine = key && order && first;
    for (int64_t i = 0; fine && i < n; i++) key[i] = id[i];
    fine = fine && stat_order(key, n, order, scratch, e);
    for (int64_t i = 0; fine && i < n; i++) {
        int32_t row = order[i];
        bool same = i > 0 && id[row] >= 0 && id[row] == id[order[i - 1]];
        first[row] = same ? first[order[i - 1]] : row;
    }
    int32_t next = 0;
    for (int64_t i = 0; fine && i < n; i++) out[i] = first[i] == i ? next++ : out[first[i]];
    *n_cluster = next;
    arena_reset(scratch, mark);
    return fine;
}

typedef struct sums {          /* of one cluster and one score */
    double positive, negative; /* X_i - m_i theta, Y_i - n_i theta */
} sums;

static sums *cluster_sums(const cluster_rows *rows, const rank_parts *p, arena *a, err *e)
{
    sums *s = arena_take_zero(a, (size_t)rows->n_cluster, sizeof *s, e);
    int64_t next[2] = {0, 0};
    for (int64_t i = 0; s && i < rows->n; i++) {
        assert(rows->cluster[i] >= 0 && rows->cluster[i] < rows->n_cluster);
        sums *at = &s[rows->cluster[i]];
        if (rows->positive[i]) at->positive += p->v10[next[1]++] - p->auroc;
        else at->negative += p->v01[next[0]++] - p->auroc;
    }
    return s;
}

/* How many clusters hold a positive, a negative. */
static bool count_clusters(const cluster_rows *rows, int64_t with[2], arena *a, err *e)
{
    uint8_t *seen = arena_take_zero(a, (size_t)rows->n_cluster, sizeof *seen, e);
    if (!seen) return false;
    with[0] = with[1] = 0;
    for (int64_t i = 0; i < rows->n; i++) {
        int c = rows->positive[i] != 0;
        uint8_t *at = &seen[rows->cluster[i]];
        if (!(*at >> c & 1)) with[c]++;
        *at |= (uint8_t)(1 << c);
    }
    return true;
}

bool cluster_covariance(const cluster_rows *rows, const rank_parts *a, const rank_parts *b,
                        arena *scratch, cluster_variance *out, err *e)
{
    assert(rows->n == a->n && rows->n == b->n && a->n_positive == b->n_positive);
    assert(stat_status_usable(a->status) && stat_status_usable(b->status));
    size_t mark = arena_mark(scratch);
    int64_t with[2];
    sums *x = cluster_sums(rows, a, scratch, e);
    sums *y = a == b ? x : cluster_sums(rows, b, scratch, e);
    bool fine = x && y && count_clusters(rows, with, scratch, e);
    *out = (cluster_variance){.exists = fine && with[0] >= 2 && with[1] >= 2};
    if (out->exists) {
        double pos = 0, neg = 0, mixed = 0, all = rows->n_cluster;
        for (int32_t i = 0; i < rows->n_cluster; i++) {
            pos += x[i].positive * y[i].positive;
            neg += x[i].negative * y[i].negative;
            mixed += x[i].positive * y[i].negative + x[i].negative * y[i].positive;
        }
        double m = (double)a->n_positive, n = (double)(a->n - a->n_positive);
        double i10 = (double)with[1], i01 = (double)with[0];
        out->value = i10 / (i10 - 1) * pos / (m * m) + i01 / (i01 - 1) * neg / (n * n) +
                     all / (all - 1) * mixed / (m * n);
    }
    arena_reset(scratch, mark);
    return fine;
}

bool cluster_auroc(const cluster_rows *rows, const rank_parts *p, double level, arena *scratch,
                   rank_auroc *out, err *e)
{
    *out =
        rank_auroc_of(p, level); /* status, value; and the rough bound where the value is an end */
    if (!stat_status_usable(p->status) || out->logit.status == STAT_ZERO_VARIANCE) return true;
    cluster_variance v;
    if (!cluster_covariance(rows, p, p, scratch, &v, e)) return false;
    *out = rank_auroc_with(p, v.exists, v.value, level);
    if (out->logit.has_interval && out->logit.status != STAT_ZERO_VARIANCE)
        out->logit.method = "Obuchowski clusters, logit";
    return true;
}

bool cluster_compare(const cluster_rows *rows, const rank_parts *pair[2], double level,
                     arena *scratch, rank_test *out, err *e)
{
    *out = rank_compare_paired(pair[0], pair[1], level);
    if (!stat_status_usable(out->status) || !out->has_interval) return true;
    const rank_parts *first[3] = {pair[0], pair[1], pair[0]};
    const rank_parts *second[3] = {pair[0], pair[1], pair[1]};
    cluster_variance c[3]; /* two variances, one covariance */
    for (int k = 0; k < 3; k++) {
        if (!cluster_covariance(rows, first[k], second[k], scratch, &c[k], e)) return false;
        if (!c[k].exists) {
            *out = (rank_test){.status = STAT_FEW,
                               .difference = out->difference,
                               .method = out->method};
            return true;
        }
    }
    *out = rank_test_with(out->difference, c[0].value + c[1].value - 2 * c[2].value, out->status,
                          level);
    out->method = "Obuchowski clusters, paired";
    return true;
}
