/* cluster: AUROC when rows come in clusters (several notes of one patient).
 *
 * Obuchowski, Biometrics 1997;53:567. With V10, V01 the placements (rank.h), over clusters i
 *   X_i = sum of V10 of the cluster's m_i positives,  Y_i = sum of V01 of its n_i negatives
 *   S10 = I10 / ((I10 - 1) m) sum (X_i - m_i theta)^2     I10: clusters with a positive
 *   S01 = I01 / ((I01 - 1) n) sum (Y_i - n_i theta)^2     I01: clusters with a negative
 *   S11 = I / (I - 1) sum (X_i - m_i theta)(Y_i - n_i theta)
 *   var = S10 / m + S01 / n + 2 S11 / (m n)
 * and alike for the covariance of two scores. Every row its own cluster gives DeLong's variance.
 * Plain DeLong on clustered rows is too sure of itself: its interval is too short.
 */
#ifndef CASELOAD_STATS_CLUSTER_H
#define CASELOAD_STATS_CLUSTER_H

#include "stats/rank.h"

typedef struct cluster_rows {
    int64_t n;
    const uint8_t *positive; /* [n] as given to rank_parts_take */
    const int32_t *cluster;  /* [n] 0 .. n_cluster - 1 */
    int32_t n_cluster;
} cluster_rows;

/* Numbers clusters 0, 1, .. in order of appearance; a negative id (unknown patient) is a cluster of
 * its own. out[n]; returns their number through *n_cluster. */
bool cluster_number(const int32_t *id, int64_t n, int32_t *out, int32_t *n_cluster, arena *scratch,
                    err *e);

typedef struct cluster_variance {
    bool exists; /* false: fewer than two clusters with a positive, or with a negative */
    double value;
} cluster_variance;

/* Covariance of two AUROCs (a == b: the variance). */
bool cluster_covariance(const cluster_rows *rows, const rank_parts *a, const rank_parts *b,
                        arena *scratch, cluster_variance *out, err *e);

/* Value, clustered variance, logit interval. */
bool cluster_auroc(const cluster_rows *rows, const rank_parts *p, double level, arena *scratch,
                   rank_auroc *out, err *e);

/* Paired test with clustered variances. */
bool cluster_compare(const cluster_rows *rows, const rank_parts *pair[2], double level,
                     arena *scratch, rank_test *out, err *e);

#endif
