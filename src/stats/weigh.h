/* weigh: statistics of rows that count several times (or not at all), for the bootstrap and the
 * jackknife.
 *
 * The rows are sorted once; every resample is then a vector of counts and one walk. Sums are kept
 * in whole numbers, so a resample's value does not depend on the order in which its rows were
 * drawn.
 * Each function returns false when its value does not exist under these weights. Weights NULL: 1
 * each.
 */
#ifndef CASELOAD_STATS_WEIGH_H
#define CASELOAD_STATS_WEIGH_H

#include "stats/cut.h"

enum { WEIGH_ROWS_MAX = 1 << 30 };

typedef struct weigh_order { /* rows by rising score */
    int64_t n;
    const uint32_t *entry; /* [n] row * 4 + positive * 2 + (1 when the next score differs) */
} weigh_order;

/* The scores must hold no NaN. */
bool weigh_order_take(const double *score, const uint8_t *positive, int64_t n, arena *a,
                      weigh_order *out, err *e);

bool weigh_auroc(const weigh_order *o, const uint16_t *weight, double *out);

/* Average precision: sum (R_k - R_{k-1}) P_k over distinct thresholds from high to low, ties
 * together.
 * Not the interpolated area, which is too kind. Its value for a useless score is the prevalence. */
bool weigh_average_precision(const weigh_order *o, const uint16_t *weight, double *out);

/* The 2 x 2 table at score >= threshold. */
cut_table weigh_cut(const double *score, const uint8_t *positive, const uint16_t *weight, int64_t n,
                    double threshold);

bool weigh_brier(const double *p, const uint8_t *positive, const uint16_t *weight, int64_t n,
                 double *out);

/* --- average precision of plain rows --- */

/* Value and status; the interval is the bootstrap's. No positive: not estimable. */
bool weigh_auprc_rows(const double *score, const uint8_t *positive, int64_t n, arena *scratch,
                      stat_estimate *out, err *e);

#endif
