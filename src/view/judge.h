/* judge: every statistic of scores from anywhere, as one JSON object (`caseload judge TABLE.csv`).
 *
 *   rows, n, events, unscored, threshold, level
 *   arms   {NAME: {n, events, status, method, auroc, auroc_var, auroc_low, auroc_high, auroc_wald_low,
 *            auroc_wald_high, auroc_cluster_var, auroc_cluster_low, auroc_cluster_high (with patients),
 *            auprc, tp, fp, tn, fn, accuracy, sens, spec, ppv, npv (each with _low, _high), f1, macro_f1,
 *            mcc, kappa, balanced_accuracy, youden {threshold, sens, spec};
 *            with probabilities: brier, brier_scaled, log_loss, clipped, citl, intercept, slope, oe,
 *            spiegelhalter_z, spiegelhalter_p, ece10, ece10_mass, calibration_status;
 *            with draws: auroc_boot_low, auroc_boot_high, auprc_low, auprc_high, brier_low, ..}}
 *   pairs  [{a, b, diff (a - b), low, high, z, p, p_holm, status, mcnemar {b, c, p, p_mid, method};
 *            with patients: cluster_low, cluster_high, cluster_p; with draws: boot_low, boot_high, boot_p}]
 *   groups {COLUMN: {values: {VALUE: {n, events, arms, pairs}}, interaction: {ARM: {q, df, p, status}}}}
 *
 * What is not estimable is null; `status` says why. A row that some arm has no score for (NaN) is left out of
 * all arms and counted in `unscored`. Thresholds such as youden are optimistic: chosen on these rows.
 */
#ifndef CASELOAD_VIEW_JUDGE_H
#define CASELOAD_VIEW_JUDGE_H

#include "base/pool.h"
#include "base/str.h"

typedef struct judge_group { /* a column that splits the rows, e.g. site */
    const char *name;
    int32_t n_value;
    const char *const *value_name; /* [n_value] */
    const int32_t *value;          /* [n] 0 .. n_value - 1; -1: unknown, in no group */
} judge_group;

typedef struct judge_input {
    int64_t n;
    const uint8_t *positive; /* [n] */
    int32_t n_arm;
    const char *const *name;    /* [n_arm] */
    const double *const *score; /* [n_arm] -> [n]; NaN: no score */
    bool probability;           /* scores are probabilities of the positive class */
    double threshold;           /* a case is called positive at score >= threshold */
    const int32_t *patient;     /* [n] any numbers, negative: unknown; NULL: none */
    int32_t n_group;
    const judge_group *group;
    double level;   /* 0: 0.95 */
    int64_t n_draw; /* bootstrap resamples; 0: none. By patient when there are patients */
    uint64_t seed;
} judge_input;

/* `threads` may be NULL when n_draw is 0. */
bool judge_write(const judge_input *in, pool *threads, arena *scratch, buf *json, err *e);

#endif
