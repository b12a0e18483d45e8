/* decide: decision curves. What acting on the probabilities gains, counted in true positives per
 * case.
 *
 *   net benefit at threshold t   NB(t) = TP/n - FP/n * t / (1 - t)     (Vickers and Elkin 2006)
 *   treat all                    prev - (1 - prev) t / (1 - t)
 *   treat none                   0
 * t is the probability at which a reader would act: t / (1 - t) is how many needless actions one
 * missed case is worth. Only meaningful for calibrated probabilities over a range of t stated
 * beforehand.
 */
#ifndef CASELOAD_STATS_DECIDE_H
#define CASELOAD_STATS_DECIDE_H

#include "stats/stat.h"

typedef struct decide_point {
    double threshold, model, all; /* net benefits */
    double standardised;          /* model / prevalence: 1 is the most there is */
} decide_point;

typedef struct decide_rows {
    int64_t n;
    const double *p;         /* [n] in 0..1 */
    const uint8_t *positive; /* [n] */
    const uint16_t *weight;  /* [n]; NULL: 1 each */
} decide_rows;

/* point[n] at threshold[n], each in [0, 1): 1 would divide by 0. No positive: one_class. */
stat_status decide_curve(const decide_rows *rows, const double *threshold, int32_t n,
                         decide_point *point);

#endif
