/* stat: what every statistic of this folder returns, and what it says when it cannot be computed.
 *
 * A statistic never returns NaN. It returns a status, and says which of its numbers exist:
 *
 *   has_value     `value` is the estimate
 *   has_variance  `variance` is the sampling variance of `value`
 *   has_interval  `low` .. `high` is the interval that `method` names, at `level`
 *
 * Numbers that do not exist are 0 and must be shown as "not estimable (reason)".
 * Status `few` and `zero_variance` are warnings: the value stands, its interval is rough or absent.
 *
 * This folder is plain C over arrays in double precision and needs nothing but base, so that a
 * statistician can review it alone. Direction is always "a higher score means positive"; nothing is
 * ever flipped.
 */
#ifndef CASELOAD_STATS_STAT_H
#define CASELOAD_STATS_STAT_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum stat_status {
    STAT_OK = 0,
    STAT_NO_CASES,              /* no rows at all */
    STAT_ONE_CLASS,             /* only positives or only negatives */
    STAT_NO_PREDICTED_POSITIVE, /* an empty margin: the ratio has no denominator */
    STAT_ZERO_VARIANCE,         /* perfect, reversed or all tied: the variance formula gives 0 */
    STAT_FEW,                   /* fewer than 10 positives or negatives */
    STAT_MISSING_SCORES,        /* a score is NaN */
    STAT_OUT_OF_RANGE,          /* a probability outside 0..1 */
    STAT_SEPARATION,            /* a logistic fit runs off to infinity */
    STAT_CONSTANT,              /* all inputs equal: no slope, no kappa */
    STAT_TOO_MANY_REDRAWS,      /* over 5 % of the resamples had one class only */
} stat_status;

enum { STAT_FEW_BELOW = 10 };

typedef struct stat_estimate {
    stat_status status;
    bool has_value, has_variance, has_interval;
    double value, variance, low, high;
    int64_t n, events;  /* rows, and positives among them */
    const char *method; /* of the interval, e.g. "DeLong, logit"; "" when there is none */
} stat_estimate;

const char *stat_status_name(stat_status s);   /* "ok", "one_class", ... as in results.json */
const char *stat_status_reason(stat_status s); /* words for a reader: "only one class is present" */

/* True when the status leaves a value standing (ok, few, zero_variance). */
static inline bool stat_status_usable(stat_status s)
{
    return s == STAT_OK || s == STAT_FEW || s == STAT_ZERO_VARIANCE;
}

static inline stat_estimate stat_none(stat_status why, int64_t n, int64_t events)
{
    return (stat_estimate){.status = why, .n = n, .events = events, .method = ""};
}

/* Rows as columns, for functions that need more than a few arguments besides. */
typedef struct stat_rows {
    int64_t n;
    const double *score;     /* [n]; a probability or log-odds where the function says so */
    const uint8_t *positive; /* [n] 0 or 1 */
    const uint16_t *weight;  /* [n] how often a row counts; NULL: once */
} stat_rows;

/* Rows as columns: score[i] belongs to positive[i] (0 or 1). Checks them: no rows, one class, NaN
 * scores. Infinite scores are allowed: they order. STAT_OK, or STAT_FEW below 10 of a class. */
stat_status stat_check_rows(const double *score, const uint8_t *positive, int64_t n,
                            int64_t *n_positive);

/* The same for probabilities: also refuses values outside 0..1. One class alone is fine here. */
stat_status stat_check_probabilities(const double *p, int64_t n);

/* order[0..n) = row numbers by rising x; equal values (0.0 and -0.0 are equal) keep their order.
 * No NaN. Radix sort, O(n). n <= INT32_MAX. Scratch comes from `a` and is given back. */
bool stat_order(const double *x, int64_t n, int32_t *order, arena *a, err *e);

double stat_mean(const double *x, int64_t n);
/* Sample covariance with divisor n - 1; n >= 2. */
double stat_covariance(const double *x, const double *y, int64_t n);

/* Sorts x[n] in place; no NaN. */
bool stat_sort(double *x, int64_t n, arena *a, err *e);
/* Quantile of sorted x[n], n > 0, by linear interpolation (Hyndman and Fan's type 7). */
double stat_quantile(const double *sorted, int64_t n, double p);

#endif
