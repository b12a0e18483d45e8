/* subgroup: does the AUROC differ between groups of rows (sites, sexes)? Groups are taken as
 * independent.
 *
 * Cochran's Q over groups that have a variance: weights 1/var, Q = sum w (theta - mean)^2,
 * chi-square with groups - 1 degrees of freedom. With two groups Q is the square of the unpaired
 * DeLong statistic. */
#ifndef CASELOAD_STATS_SUBGROUP_H
#define CASELOAD_STATS_SUBGROUP_H

#include "stats/stat.h"

typedef struct subgroup_test {
    stat_status status; /* ok; constant: fewer than two groups with a variance */
    int32_t n_group;    /* that took part */
    double pooled, q, df, p;
} subgroup_test;

/* Estimates without a positive variance are left out. */
subgroup_test subgroup_heterogeneity(const stat_estimate *estimate, int32_t n);

#endif
