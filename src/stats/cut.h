/* cut: measures at one threshold. A case is called positive when its score >= threshold.
 *
 * Ratios without a denominator (F1 with nothing predicted and nothing true, MCC with an empty margin)
 * are "not estimable", never 0. Intervals of shares are Wilson or Clopper-Pearson; F1, MCC, kappa and
 * balanced accuracy get theirs from the bootstrap.
 */
#ifndef CASELOAD_STATS_CUT_H
#define CASELOAD_STATS_CUT_H

#include "stats/prop.h"

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

#endif
