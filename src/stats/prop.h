/* prop: a share x / n and its interval. Wilson (JASA 1927;22:209) by default, Clopper-Pearson
 * (Biometrika 1934;26:404) on request. n = 0: not estimable. */
#ifndef CASELOAD_STATS_PROP_H
#define CASELOAD_STATS_PROP_H

#include "stats/stat.h"

typedef enum prop_method { PROP_WILSON = 0, PROP_CLOPPER_PEARSON } prop_method;

/* `level` 0 means 0.95. The estimate's n is n, its events x. */
stat_estimate prop_of(int64_t x, int64_t n, prop_method method, double level);

#endif
