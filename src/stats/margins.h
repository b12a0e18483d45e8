/* margins: are the categories of two choices on the same rows equally frequent?
 *
 * Each row has a gap for each category: what the first choice gives it less what the second does
 * (both 0 or 1: Stuart, Biometrika 1955;42:412, Maxwell, Br J Psychiatry 1970;116:651), or less
 * what is expected, such as 1/k. The gaps of a row add up to 0. With units (rows, or clusters
 * whose rows are summed), chi-square = s' V^-1 s on k - 1 degrees of freedom, where s is the sum
 * of gaps and V the sum of their squares and products over units. Categories that never differ,
 * and others that V cannot tell apart, take no degree of freedom.
 */
#ifndef CASELOAD_STATS_MARGINS_H
#define CASELOAD_STATS_MARGINS_H

#include "stats/stat.h"

enum { MARGINS_CATEGORIES_MAX = 64 };

typedef struct margins_test {
    stat_status status; /* ok; no_cases; constant: no gap anywhere, p is 1 */
    bool has_value;
    int64_t n_unit;
    int32_t df;
    double chi2, p;
} margins_test;

typedef struct margins_rows {
    int64_t n;
    int32_t n_category;
    const double *gap;      /* [n x n_category] */
    const int32_t *cluster; /* [n] 0 .. n_cluster - 1; NULL: every row is a unit */
    int32_t n_cluster;
} margins_rows;

bool margins_compare(const margins_rows *rows, arena *scratch, margins_test *out, err *e);

#endif
