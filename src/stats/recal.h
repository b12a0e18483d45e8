/* recal: better probabilities from the same scores. Fitted on tune rows, applied to test rows; none
 * of them changes the order of binary scores (isotonic may tie some).
 *
 *   temperature  logit p = z / T, T > 0 minimising log loss (Guo and others 2017)
 *   Platt        logit p = a z + b by maximum likelihood; `smooth` uses Platt's targets (N+ +
 *   1)/(N+ + 2) and
 *                1/(N- + 2) in place of 1 and 0 (Platt 1999)
 *   isotonic     the non-decreasing step curve nearest in squares (pool adjacent violators), linear
 *   between
 *                its steps; refused below 1,000 tune rows, where it overfits
 */
#ifndef CASELOAD_STATS_RECAL_H
#define CASELOAD_STATS_RECAL_H

#include "stats/stat.h"

enum { RECAL_ISOTONIC_ROWS = 1000 };

typedef struct recal_map {
    stat_status status;
    double slope, intercept; /* logit p = slope z + intercept; temperature is 1 / slope */
    double log_loss;         /* on the rows it was fitted on, against their plain targets */
    int32_t n_knot;          /* isotonic: p[k] at z[k], linear between; 0: the line above */
    const double *z, *p;
} recal_map;

/* The scores z are log-odds, or any score for Platt and isotonic; weights are not used. */
bool recal_temperature(const stat_rows *tune, arena *scratch, recal_map *out, err *e);
bool recal_platt(const stat_rows *tune, bool smooth, arena *scratch, recal_map *out, err *e);
/* `n_least` 0: RECAL_ISOTONIC_ROWS. The knots live in `a`. */
bool recal_isotonic(const stat_rows *tune, int64_t n_least, arena *a, recal_map *out, err *e);

double recal_apply(const recal_map *m, double z);

#endif
