/* logistic: logistic regression with a few terms, by Newton's method with step halving.
 *
 * log-likelihood = sum_i w_i (y_i log p_i + (1 - y_i) log(1 - p_i)),  logit p_i = offset_i + x_i .
 * beta.
 * Targets may be fractions (Platt). Terms include the column of ones if there is to be an
 * intercept.
 * Statuses: ok; one_class (all targets 0, or all 1); constant (terms depend on each other);
 * separation (no finite maximum: coefficients run away).
 */
#ifndef CASELOAD_STATS_LOGISTIC_H
#define CASELOAD_STATS_LOGISTIC_H

#include "stats/stat.h"

enum { LOGISTIC_TERMS_MAX = 8 };

typedef struct logistic_rows {
    int64_t n;
    int32_t n_term;
    const double *x;        /* [n x n_term], row after row */
    const double *offset;   /* [n]; NULL: 0 */
    const double *target;   /* [n] in 0..1 */
    const uint16_t *weight; /* [n]; NULL: 1 each */
} logistic_rows;

typedef struct logistic_fit {
    stat_status status;
    double beta[LOGISTIC_TERMS_MAX];
    double variance[LOGISTIC_TERMS_MAX][LOGISTIC_TERMS_MAX]; /* inverse information */
    double log_likelihood;
    int32_t n_step;
} logistic_fit;

logistic_fit logistic_of(const logistic_rows *rows);

#endif
