/* weigh: see weigh.h. */
#include "stats/weigh.h"

#include <assert.h>
#include <math.h>

bool weigh_order_take(const double *score, const uint8_t *positive, int64_t n, arena *a,
                      weigh_order *out, err *e)
{
    assert(n >= 0 && n <= WEIGH_ROWS_MAX);
    uint32_t *entry = arena_take(a, (size_t)n, sizeof *entry, e);
    size_t mark = arena_mark(a);
    int32_t *order = arena_take(a, (size_t)n, sizeof *order, e);
    if (!entry || !order || !stat_order(score, n, order, a, e)) return false;
    for (int64_t i = 0; i < n; i++) {
        int32_t row = order[i];
        bool last = i + 1 == n || score[row] != score[order[i + 1]];
        entry[i] = (uint32_t)row << 2 | (uint32_t)positive[row] << 1 | (uint32_t)last;
    }
    arena_reset(a, mark);
    *out = (weigh_order){.n = n, .entry = entry};
    return true;
}

bool weigh_auroc(const weigh_order *o, const uint16_t *weight, double *out)
{
    /* plain variables and masks: this walk is the bootstrap's inner loop */
    uint64_t below = 0, positives = 0, tied_pos = 0, tied_neg = 0, won_twice = 0;
    for (int64_t i = 0; i < o->n; i++) {
        uint32_t entry = o->entry[i];
        uint64_t w = weight ? weight[entry >> 2] : 1, pos = w & (0 - (uint64_t)(entry >> 1 & 1));
        tied_pos += pos;
        tied_neg += w - pos;
        if (!(entry & 1)) continue;
        won_twice += tied_pos * (2 * below + tied_neg);
        below += tied_neg;
        positives += tied_pos;
        tied_pos = tied_neg = 0;
    }
    if (below == 0 || positives == 0) return false;
    *out = (double)won_twice / (2.0 * (double)below * (double)positives);
    return true;
}

bool weigh_average_precision(const weigh_order *o, const uint16_t *weight, double *out)
{
    double sum = 0;
    uint64_t called = 0, right = 0, tied[2] = {0, 0};
    for (int64_t i = o->n - 1; i >= 0; i--) {
        uint32_t entry = o->entry[i];
        tied[entry >> 1 & 1] += weight ? weight[entry >> 2] : 1;
        if (i > 0 && !(o->entry[i - 1] & 1)) continue; /* the next one down is tied with this */
        called += tied[0] + tied[1];
        right += tied[1];
        if (tied[1]) sum += (double)tied[1] * (double)right / (double)called;
        tied[0] = tied[1] = 0;
    }
    if (right == 0) return false;
    *out = sum / (double)right;
    return true;
}

cut_table weigh_cut(const double *score, const uint8_t *positive, const uint16_t *weight, int64_t n,
                    double threshold)
{
    int64_t count[2][2] = {{0}}; /* [positive][called] */
    for (int64_t i = 0; i < n; i++)
        count[positive[i]][score[i] >= threshold] += weight ? weight[i] : 1;
    return (cut_table){.tp = count[1][1], .fp = count[0][1], .tn = count[0][0], .fn = count[1][0]};
}

bool weigh_brier(const double *p, const uint8_t *positive, const uint16_t *weight, int64_t n,
                 double *out)
{
    double sum = 0;
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t w = weight ? weight[i] : 1;
        sum += (double)w * (p[i] - positive[i]) * (p[i] - positive[i]);
        total += w;
    }
    if (total == 0) return false;
    *out = sum / (double)total;
    return true;
}

bool weigh_auprc_rows(const double *score, const uint8_t *positive, int64_t n, arena *scratch,
                      stat_estimate *out, err *e)
{
    int64_t m = 0;
    stat_status status = stat_check_rows(score, positive, n, &m);
    *out = stat_none(status, n, m);
    bool only_positives = status == STAT_ONE_CLASS && m == n; /* precision is 1 throughout */
    if (!stat_status_usable(status) && !only_positives) return true;
    size_t mark = arena_mark(scratch);
    weigh_order o;
    bool fine = weigh_order_take(score, positive, n, scratch, &o, e);
    if (fine) out->has_value = weigh_average_precision(&o, NULL, &out->value);
    arena_reset(scratch, mark);
    return fine;
}
