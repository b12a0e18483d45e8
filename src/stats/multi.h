/* multi: more than two classes, and several labels at once.
 *
 * A class (label) without cases, or with nothing else, cannot be judged: it is counted and left out
 * of the means, never averaged as 0.5. Intervals: the bootstrap.
 */
#ifndef CASELOAD_STATS_MULTI_H
#define CASELOAD_STATS_MULTI_H

#include "stats/weigh.h"

enum { MULTI_CLASSES_MAX = 200 };

typedef struct multi_rows { /* single label */
    int64_t n;
    int32_t n_class;
    const int32_t *label; /* [n] */
    const double *p;      /* [n x n_class] probabilities or scores */
} multi_rows;

typedef struct multi_auroc {
    stat_status status;     /* missing_scores, no_cases, one_class, ok */
    int32_t n_judged;       /* classes with cases and non-cases */
    stat_estimate macro;    /* mean over judged classes, each against the rest */
    stat_estimate weighted; /* weighted by their cases */
    stat_estimate
        hand_till; /* M: mean over pairs of (A(i|j) + A(j|i)) / 2 (Machine Learning 2001;45:171) */
    stat_estimate hand_till_weighted; /* pairs weighted by their share of the cases */
    double *each;                     /* [n_class] against the rest */
    bool *has_each;                   /* [n_class] */
} multi_auroc;

/* The columns live in `a`. */
bool multi_auroc_of(const multi_rows *rows, arena *a, multi_auroc *out, err *e);

typedef struct multi_measures { /* of the most probable class; ties: the lowest index */
    stat_estimate accuracy;     /* Wilson; micro-F1 is the same number */
    stat_estimate macro_f1, weighted_f1, mcc;
    stat_estimate kappa, kappa_linear, kappa_quadratic;
    stat_estimate log_loss,
        brier; /* p must be probabilities: Brier is the sum over classes of (p - y)^2 */
} multi_measures;

/* n_class at most AGREE_CATEGORIES_MAX. F1 of a class neither true nor called is left out of the
 * mean. */
multi_measures multi_measures_of(const multi_rows *rows);

/* --- for the bootstrap (boot.h): the same values under row weights --- */

typedef enum multi_value {
    MULTI_MACRO,
    MULTI_WEIGHTED,
    MULTI_HAND_TILL,
    MULTI_ACCURACY,
    MULTI_MACRO_F1,
    MULTI_WEIGHTED_F1,
    MULTI_MCC,
    MULTI_KAPPA,
    MULTI_VALUES
} multi_value;

typedef struct multi_draws {
    const multi_rows *rows;
    const weigh_order *rest; /* [n_class] each class against the rest */
    const weigh_order
        *pair; /* [n_class x n_class] column i, classes i and j; empty on the diagonal */
    const int32_t *called; /* [n] most probable class */
    const bool *present;   /* [n_class] has cases among all rows */
} multi_draws;

/* n_class at most AGREE_CATEGORIES_MAX; no NaN among p. `rows` must outlive the draws. */
bool multi_draws_take(const multi_rows *rows, arena *a, multi_draws *out, err *e);

/* A boot_statistic over MULTI_VALUES values, `context` a multi_draws. False when a class that is
 * present has vanished from the resample, or some value does not exist. */
bool multi_draw(const void *context, const uint16_t *weight, double *value);

/* The first values alone, up to MULTI_ACCURACY: they exist where kappa or MCC does not (one class
 * called for all rows). */
enum { MULTI_RANK_VALUES = MULTI_ACCURACY + 1 };
bool multi_draw_ranks(const void *context, const uint16_t *weight, double *value);

typedef struct multi_labels { /* several labels a row */
    int64_t n;
    int32_t n_label;
    const uint8_t *truth; /* [n x n_label] */
    const double *p;      /* [n x n_label] */
} multi_labels;

typedef struct multi_label_measures {
    stat_estimate macro_auroc, micro_auroc;
    double *auroc;                                /* [n_label] */
    bool *has_auroc;                              /* [n_label] */
    stat_estimate macro_f1, micro_f1, samples_f1; /* at p >= threshold */
    stat_estimate subset_accuracy, hamming_loss;
} multi_label_measures;

bool multi_label_measures_of(const multi_labels *rows, double threshold, arena *a,
                             multi_label_measures *out, err *e);

#endif
