/* adjust: p-values of several tests at once. Holm (Scandinavian J Statistics 1979;6:65) controls
 * the chance of any false finding; Benjamini and Hochberg (JRSS B 1995;57:289) the share of false
 * findings.
 * Adjusted p-values are in the order given; each p in 0..1. */
#ifndef CASELOAD_STATS_ADJUST_H
#define CASELOAD_STATS_ADJUST_H

#include "stats/stat.h"

bool adjust_holm(const double *p, int64_t n, double *out, arena *scratch, err *e);
bool adjust_benjamini_hochberg(const double *p, int64_t n, double *out, arena *scratch, err *e);

#endif
