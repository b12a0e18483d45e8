/* calib: are the probabilities right as probabilities? Proper scores and calibration. */
#ifndef CASELOAD_STATS_CALIB_H
#define CASELOAD_STATS_CALIB_H

#include "stats/stat.h"

/* Brier score: mean (p - y)^2 (Brier 1950). 0 is best; always saying the prevalence scores
 * prev (1 - prev). Refuses p outside 0..1. Interval: Wald on the mean of the squared errors. */
stat_estimate calib_brier(const double *p, const uint8_t *positive, int64_t n);

/* 1 - Brier / (prev (1 - prev)): 1 is best, 0 is no better than the prevalence. */
stat_estimate calib_brier_scaled(const double *p, const uint8_t *positive, int64_t n);

#endif
