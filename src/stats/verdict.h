/* verdict: from every arm's class log-scores to every number of the study. The one place where a
 * study's rows become statistics; results.json, the report and the terminal show what stands here.
 *
 * In: for each arm, Z[n_row x n_class] (score.h) over the same rows in the same order, and the
 * rows' labels. A row that some arm could not score (NaN) is left out of *all* arms and counted, so
 * that arms are always compared on the same rows.
 *
 * With a positive class (always for two classes): score = Z_positive - logsumexp(Z of the others),
 * in double; probability = softmax. AUROC, Brier, measures at the operating point, paired
 * differences. With more than two classes, in addition: AUROC of each class against the rest and
 * accuracy. A class without cases is left out of the macro mean and counted, never averaged as 0.5.
 *
 * Tune rows, when given, are other rows of the same study: a threshold is chosen and probabilities
 * are recalibrated on them, each arm's on its own, and no statistic is made of them. What cannot be
 * fitted leaves the model's own probabilities; what cannot be chosen leaves measures not estimable.
 */
#ifndef CASELOAD_STATS_VERDICT_H
#define CASELOAD_STATS_VERDICT_H

#include "stats/calib.h"
#include "stats/cluster.h"
#include "stats/cut.h"
#include "stats/rank.h"
#include "stats/recal.h"

typedef enum verdict_recal { /* fitted on tune rows */
                             VERDICT_RECAL_NONE,
                             VERDICT_RECAL_TEMPERATURE,
                             VERDICT_RECAL_PLATT,
                             VERDICT_RECAL_ISOTONIC
} verdict_recal;

typedef struct verdict_point { /* how the threshold is found; all zero: 0.5 */
    bool chosen;               /* by `rule` on tune rows; else `target` is the threshold itself */
    cut_rule rule;
    double target;
} verdict_point;

typedef struct verdict_tune {
    int64_t n_row;
    const int32_t *label;           /* [n_row] */
    const double *const *log_score; /* [n_arm] -> [n_row x n_class] */
} verdict_tune;

typedef struct verdict_input {
    int32_t n_arm, n_class;
    int32_t positive; /* class index; -1: none (more than two classes) */
    int64_t n_row;
    const int32_t *label;           /* [n_row] class index */
    const int32_t *patient;         /* [n_row] any numbers, negative: unknown; NULL: none */
    const double *const *log_score; /* [n_arm] -> [n_row x n_class] Z; NaN: not scored */
    double level;                   /* 0: 0.95 */
    const verdict_tune *tune;       /* NULL: none */
    verdict_recal recalibrate;
    verdict_point point;
    int32_t primary[2]; /* two arms, the first less the second; equal: no primary comparison */
} verdict_input;

typedef struct verdict_arm {
    /* columns over the judged rows [n], for figures; NULL without a positive class */
    const double *score, *probability;
    const double *own_probability; /* the model's; `probability` itself unless recalibrated */
    const uint8_t *positive;
    rank_parts parts;
    rank_auroc auroc;
    rank_auroc clustered; /* the same with the variance by patient; no value without patients */
    stat_estimate brier, brier_scaled;
    stat_estimate brier_own; /* of own_probability */
    recal_map recal;         /* of the log-odds; STAT_OK: in use */
    cut_choice choice;       /* of the threshold, with what it reached on the tune rows */
    double threshold;        /* of the probability; +infinity: nobody is called */
    cut_measures at_point;   /* called positive when probability >= threshold */

    /* more than two classes; NULL / no value otherwise */
    const rank_auroc *class_auroc; /* [n_class], each against the rest */
    stat_estimate macro_auroc;     /* mean over the classes that can be judged */
    int32_t n_class_judged;
    stat_estimate accuracy; /* of the most probable class (ties: the first), Wilson */

    /* label mass: how much of the model's belief lies on any answer at all */
    double mass_median, mass_low, mass_high; /* median, 5th and 95th percentile; 0 when n = 0 */
    double mass_share_below_half;            /* share of rows with a mass under 0.5 */
} verdict_arm;

typedef struct verdict_pair { /* arm b against arm a, a < b: difference is b - a */
    int32_t a, b;
    rank_test test;
    rank_test clustered; /* by patient; without patients has_value is false */
    bool primary;        /* declared beforehand: not adjusted, p_holm is p */
    double p_holm;       /* over all other pairs of this study */
} verdict_pair;

typedef struct verdict {
    int32_t n_arm, n_class, positive, n_pair;
    int64_t n_row, n;              /* given; judged (the rows that every arm scored) */
    int64_t events;                /* positives among the judged */
    int32_t n_patient;             /* among the judged; 0: no patient column */
    int64_t n_tune, n_tune_events; /* tune rows that every arm scored */
    verdict_recal recalibrate;
    verdict_point point;
    int32_t primary; /* number of the primary pair; -1: none */
    double level;
    const int32_t *row;         /* [n] number of each judged row among the given */
    const int64_t *class_count; /* [n_class] among the judged */
    verdict_arm *arm;           /* [n_arm] */
    verdict_pair *pair;         /* [n_pair]: all pairs when there is a positive class */
} verdict;

/* Everything lives in `a`. False only when it is full. */
bool verdict_judge(const verdict_input *in, arena *a, verdict *out, err *e);

#endif
