/* plan: how many cases a study needs, and how far the best of many prompts flatters itself. */
#ifndef CASELOAD_STATS_PLAN_H
#define CASELOAD_STATS_PLAN_H

#include "stats/stat.h"

/* Standard error of an AUROC expected beforehand.
 * Hanley and McNeil, Radiology 1982;143:29: Q1 = A/(2-A), Q2 = 2A^2/(1+A),
 *   var = (A(1-A) + (m-1)(Q1-A^2) + (n-1)(Q2-A^2)) / (m n).      m, n > 0 cases of each class
 * Newcombe, Stat Med 2006;25:559, with n rows at a prevalence in (0, 1). */
double plan_auroc_se(double auroc, double n_positive, double n_negative);
double plan_auroc_se_newcombe(double auroc, double n, double prevalence);

/* Fewest rows for a Newcombe interval of this total width; `level` 0: 0.95. 0 when 10^9 are not
 * enough. */
int64_t plan_auroc_rows(double auroc, double prevalence, double width, double level);

/* Power of the two-sided test of AUROC against 0.5 (Obuchowski and others, Clin Radiol
 * 2004;59:925):
 *   z_power = (sqrt(m) (A - 0.5) - z_alpha sqrt(0.0792 (1 + 1/k))) / sqrt(V)
 *   k = n/m,   a = 1.414 probit(A),   V = 0.0099 exp(-a^2/2) (5a^2 + 8 + (a^2 + 8)/k) */
double plan_auroc_power(double auroc, double n_positive, double n_negative, double alpha);
/* Fewest positives for that power with `ratio` negatives to each. */
int64_t plan_auroc_positives(double auroc, double ratio, double alpha, double power);

/* Rows for an observed/expected ratio with this standard error of its log: (1 - p) / (p SE^2); and
 * for an interval of this total width around 1. */
int64_t plan_observed_expected_rows(double prevalence, double se);
int64_t plan_observed_expected_rows_for_width(double prevalence, double width, double level);

/* Rows for precise calibration: log-odds normal with the prevalence and AUROC given (found
 * numerically), true intercept 0 and slope 1 (Pavlou and others, Stat Methods Med Res
 * 2021;30:2187). Standard errors wanted; 0 leaves one out. Also the AUROC's own (Newcombe). */
typedef struct plan_validation {
    double mean, sd; /* of the log-odds */
    int64_t rows_auroc, rows_slope, rows_in_the_large, rows;
} plan_validation;
plan_validation plan_validate(double auroc, double prevalence, double se_auroc, double se_slope,
                              double se_in_the_large);

/* Mean of the largest of k standard normals. */
double plan_largest_of(int32_t k);
/* What the best of k prompts overstates on the rows it was chosen on: SE sqrt(1 - correlation)
 * E[max of k].
 * `se` of one AUROC; correlation of the prompts' errors, 0.8 if nothing better is known. */
double plan_optimism(double se, double correlation, int32_t k);

/* Standardised mean difference of Table 1: two shares, or two means with their standard deviations.
 * No value when nothing varies. */
stat_estimate plan_smd_shares(double p, double q);
stat_estimate plan_smd_means(double mean_a, double sd_a, double mean_b, double sd_b);

#endif
