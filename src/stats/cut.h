/* cut: measures at one threshold. A case is called positive when its score >= threshold.
 *
 * Ratios without a denominator (F1 with nothing predicted and nothing true, MCC with an empty
 * margin) are "not estimable", never 0. Intervals of shares are Wilson or Clopper-Pearson; F1, MCC,
 * kappa and balanced accuracy get theirs from the bootstrap.
 */
#ifndef CASELOAD_STATS_CUT_H
#define CASELOAD_STATS_CUT_H

#include "stats/prop.h"
#include "stats/rank.h"

typedef struct cut_table { /* counts */
    int64_t tp, fp, tn, fn;
} cut_table;

/* NaN scores are our mistake here: check the rows first. */
cut_table cut_table_of(const double *score, const uint8_t *positive, int64_t n, double threshold);

typedef struct cut_measures {
    cut_table table;
    stat_estimate accuracy, sensitivity, specificity, ppv, npv; /* with intervals */
    stat_estimate f1, mcc, kappa, balanced_accuracy;            /* values alone */
    stat_estimate macro_f1, weighted_f1;                        /* over both classes */
} cut_measures;

cut_measures cut_measures_of(cut_table t, prop_method method, double level);

/* --- choosing a threshold: on tune rows only, never on the rows it is judged on --- */

typedef enum cut_rule {
    CUT_YOUDEN, /* largest sensitivity + specificity - 1; ties: the lowest threshold, which has the
                        higher sensitivity */
    CUT_SENSITIVITY, /* the highest threshold with sensitivity >= target */
    CUT_SPECIFICITY, /* the lowest threshold with specificity >= target */
    CUT_NET_BENEFIT  /* largest TP - FP * target / (1 - target); ties: the lowest threshold */
} cut_rule;

typedef struct cut_choice {
    stat_status status;
    double threshold; /* one of the scores, or +infinity: call nobody positive */
    double sensitivity, specificity, youden; /* on the rows it was chosen on */
} cut_choice;

/* `target` in (0, 1); ignored by CUT_YOUDEN. */
cut_choice cut_choose(const rank_roc *tune, cut_rule rule, double target);

/* Predictive values at another prevalence (Bayes). No value: nobody would be called (or passed). */
stat_estimate cut_ppv_at(double sensitivity, double specificity, double prevalence);
stat_estimate cut_npv_at(double sensitivity, double specificity, double prevalence);

#endif
