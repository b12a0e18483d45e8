/* rank: AUROC, DeLong's variance and covariance, tests between two AUROCs, the ROC curve.
 *
 *   AUROC   theta = P(S1 > S0) + 0.5 P(S1 = S0): the chance that a positive case scores above a
 *           negative one, ties counting half.
 *   V10_i   mean over the negatives of psi(S1_i, S0_j), one number a positive case (its placement)
 *   V01_j   mean over the positives of psi(S1_i, S0_j), one number a negative case
 *   var     var(V10) / m + var(V01) / n, with divisors m - 1 and n - 1
 *   cov     the same with covariances between two scores of the same cases
 *
 * DeLong, DeLong and Clarke-Pearson, Biometrics 1988;44:837. Placements from one sort, O(n log n):
 * Sun and Xu, IEEE Signal Processing Letters 2014;21:1389. The count of won and tied pairs is kept
 * in whole numbers, so AUROC is exact to its last rounding and does not depend on the order of the
 * rows.
 *
 * Interval: on the logit scale by default, which stays inside 0..1; the Wald interval stands beside
 * it for comparison with other programs, and may leave 0..1.
 * Edges: AUROC of 0 or 1, or all scores tied, has variance 0 by the formula: status zero_variance
 * and a rough Clopper-Pearson bound on min(m, n) cases, never an interval of [1, 1]. One case of a
 * class:
 * no variance, no interval, status few.
 */
#ifndef CASELOAD_STATS_RANK_H
#define CASELOAD_STATS_RANK_H

#include "stats/stat.h"

/* The placements of one score over its rows; what every function below works on. */
typedef struct rank_parts {
    stat_status status; /* of the rows; unless usable, the rest is empty */
    int64_t n, n_positive;
    double auroc;
    double *v10; /* [n_positive], in the order of the rows */
    double *v01; /* [n - n_positive] */
} rank_parts;

/* False only when `a` is full. n <= INT32_MAX. The parts live in `a`. */
bool rank_parts_take(const double *score, const uint8_t *positive, int64_t n, arena *a,
                     rank_parts *out, err *e);

/* Covariance of two AUROCs over the same rows (a == b: the variance). Needs usable parts with at
 * least two cases of each class. */
double rank_covariance(const rank_parts *a, const rank_parts *b);

typedef struct rank_auroc {
    stat_estimate logit; /* the value, its variance, and the interval to report */
    bool has_wald;
    double wald_low, wald_high;
} rank_auroc;

/* `level` 0 means 0.95. */
rank_auroc rank_auroc_of(const rank_parts *p, double level);

/* The same with a variance from elsewhere (clusters); `exists` false: none, so no interval. */
rank_auroc rank_auroc_with(const rank_parts *p, bool exists, double variance, double level);

/* All in one, giving the arena's space back. */
bool rank_auroc_rows(const double *score, const uint8_t *positive, int64_t n, arena *scratch,
                     rank_auroc *out, err *e);

typedef struct rank_test {
    stat_status status;
    bool has_value;      /* difference, statistic, p exist */
    bool has_interval;   /* variance, low, high exist */
    double difference;   /* a - b */
    double variance;     /* of the difference */
    double low, high;    /* interval of the difference at `level` */
    double statistic, p; /* two-sided */
    double df;           /* of t when unpaired; 0 when the reference is normal */
    const char *method;
} rank_test;

/* Same rows, two scores: Z = (a - b) / sqrt(var a + var b - 2 cov). Two identical curves give Z 0,
 * p 1.
 * The two must have been made from the same rows in the same order. */
rank_test rank_compare_paired(const rank_parts *a, const rank_parts *b, double level);

/* The test of a difference whose variance is known; variance <= 0 is zero_variance. */
rank_test rank_test_with(double difference, double variance, stat_status status, double level);

/* Different rows (two sites): t with Welch-Satterthwaite degrees of freedom. */
rank_test rank_compare_unpaired(const rank_parts *a, const rank_parts *b, double level);

/* The ROC curve: one point a distinct score, from (0, 0) with threshold +infinity to (1, 1). A case
 * is called positive when its score >= threshold. */
typedef struct rank_roc {
    stat_status status;
    int64_t n_point, n_positive, n_negative;
    double *threshold;
    int64_t *true_positive, *false_positive; /* [n_point] each */
} rank_roc;

/* Area under the ROC between two false-positive rates, 0 <= from < to <= 1, and McClish's
 * correction (1989), which gives 0.5 to chance and 1 to perfection whatever the stretch. Needs
 * points. */
double rank_partial_area(const rank_roc *r, double fpr_from, double fpr_to);
double rank_partial_corrected(double area, double fpr_from, double fpr_to);

bool rank_roc_take(const double *score, const uint8_t *positive, int64_t n, arena *a, rank_roc *out,
                   err *e);

static inline double rank_roc_tpr(const rank_roc *r, int64_t i)
{
    return (double)r->true_positive[i] / (double)r->n_positive;
}
static inline double rank_roc_fpr(const rank_roc *r, int64_t i)
{
    return (double)r->false_positive[i] / (double)r->n_negative;
}

#endif
