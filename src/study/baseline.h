/* baseline: what any model must beat, made from the training rows alone, without the model.
 *
 *   baseline-prevalence   every row gets the share of each class among the training rows
 *   baseline-keywords     words that speak for a class (study key `keywords`, else the classes'
 *   names),
 *                         counted; p_c = (found_c + prior_c) / (found + 1), prior 1/4 for the
 *                         positive
 *                         of two classes, else equal: a row without any word is called negative
 *   baseline-tfidf        TF-IDF (text/tfidf.h) and L2 logistic regression (stats/sparse.h), C of
 *   0.1, 1,
 *                         10, 100 with the least log loss on the tuning rows; without those, by
 *                         5-fold
 *                         cross-validation of the training rows, whole patients to a fold (folds of
 *                         the split file, if it has any); ties: the smaller C
 * They are arms like any other, on the same rows. Training rows are taken in the order of their
 * ids: a
 * score depends on the rows, not on their order in the table, nor on threads.
 * Scores are kept under keys of version, settings, training and tuning rows, and text.
 */
#ifndef CASELOAD_STUDY_BASELINE_H
#define CASELOAD_STUDY_BASELINE_H

#include "base/pool.h"
#include "data/rows.h"

#define BASELINE_VERSION "baseline-1" /* changes whenever the meaning of a score does */

enum { BASELINES_MAX = 3 };

typedef struct baseline {
    int32_t kind; /* SPEC_PREVALENCE, .. */
    const char *name;
    hash_text head;  /* all but the text of its keys */
    str record_json; /* of the arm: {"kind": "baseline", ..} */
} baseline;

typedef struct baselines {
    const spec *spec;
    const rows *rows;
    int32_t n;
    baseline arm[BASELINES_MAX];
    const char *left_out; /* a sentence: which one there cannot be, and why; NULL */
} baselines;

/* Which baselines this study has. ERR_USAGE: an arm of the study has a baseline's name. */
bool baselines_plan(baselines *b, const spec *s, const rows *r, arena *a, err *e);

hash_text baselines_key(const baselines *b, int32_t which, int32_t row); /* row of rows.scored */

typedef struct baseline_scores {
    double *z;  /* [rows.scored.n x n_class] class log-probabilities */
    buf detail; /* how they were made, for readers; the caller closes it */
} baseline_scores;

bool baselines_score(const baselines *b, int32_t which, pool *p, arena *a, baseline_scores *out,
                     err *e);

#endif
