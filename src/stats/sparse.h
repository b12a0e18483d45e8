/* sparse: logistic regression with an L2 penalty over sparse rows (many columns, few per row).
 *
 *   minimises  0.5 |w|^2 + C sum_i loss_i,   intercepts without penalty
 *   two classes   loss = log(1 + exp(-y eta)), eta = w . x + b, one weight vector
 *   more classes  loss = -log softmax(eta)[y], one weight vector a class
 * the objective of scikit-learn's LogisticRegression(C, penalty="l2"). Newton's method; each step
 * solved by conjugate gradients (Jacobi) without forming the Hessian, halved until the objective
 * falls; stops when the gradient is 1e-9 of the first one. The objective is strictly convex, so the
 * answer does not depend on the path; sums run in the order of the rows, so it is the same bits for
 * the same rows in the same order.
 */
#ifndef CASELOAD_STATS_SPARSE_H
#define CASELOAD_STATS_SPARSE_H

#include "stats/stat.h"

typedef struct sparse_rows { /* row i: column[start[i] .. start[i + 1]), rising, with values */
    int64_t n;
    int32_t n_column;
    const int64_t *start;  /* [n + 1] */
    const int32_t *column; /* 0 .. n_column - 1 */
    const double *value;
} sparse_rows;

typedef struct sparse_model {
    stat_status status; /* ok; no_cases; one_class; separation: not converged (a warning) */
    int32_t n_class, n_output, n_column; /* n_output 1 for two classes, else n_class */
    double *weight;                      /* [n_output][n_column + 1]; the last is the intercept */
    double objective;
    int32_t n_step;
} sparse_model;

/* label[n] in 0 .. n_class - 1 (of two classes 1 is positive); rows with keep[i] == 0 are left out
 * (keep NULL: none). C > 0. A class without rows gets probability near 0. The model lives in `a`.
 * */
typedef struct sparse_task {
    const sparse_rows *rows;
    const int32_t *label;
    const uint8_t *keep;
    int32_t n_class;
    double c;
} sparse_task;

bool sparse_fit(const sparse_task *task, arena *a, sparse_model *out, err *e);

/* Log-probabilities of the classes of one row into out[n_class]. */
void sparse_log_probabilities(const sparse_model *m, const sparse_rows *rows, int64_t i,
                              double *out);

#endif
