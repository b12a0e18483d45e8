/* audit: what errors in the reference labels do to an accuracy, and how to look without bias.
 *
 * Reading again only the cases that the model got wrong (discrepant analysis) can only raise its
 * accuracy, however well it is read. An audit draws cases at random from both strata, the ones that
 * the model got right and the ones it got wrong, blind, and weighs them back:
 *
 *   accuracy = (right - wrong labels among right + wrong labels among wrong) / rows, each a stratum
 *   estimate variance = sum over strata of (rows_h / rows)^2 (1 - audited_h / rows_h) q_h (1 - q_h)
 *   / (audited_h - 1)
 * with q_h the share of wrong labels (Cochran, Sampling Techniques 1977, ch. 5). For two classes,
 * where a wrong label means that the other one is right.
 */
#ifndef CASELOAD_STATS_AUDIT_H
#define CASELOAD_STATS_AUDIT_H

#include "stats/stat.h"

typedef struct audit_stratum {
    int64_t rows, audited, label_wrong; /* label_wrong <= audited <= rows */
} audit_stratum;

/* The corrected accuracy with a logit interval. No value (no_cases) when a stratum has rows of
 * which none was read: the wrong ones alone do not correct anything. `level` 0: 0.95. */
stat_estimate audit_accuracy(audit_stratum model_right, audit_stratum model_wrong, double level);

/* For the warning: with true accuracy a and a share e of labels wrong at random, what is measured,
 * and what is reported after correcting the wrong cases only. (0.80, 0.05): 0.77 and 0.81. */
double audit_measured(double accuracy, double label_error);
double audit_wrong_only(double accuracy, double label_error);

#endif
