/* split: picks of few-shot examples.
 *
 * One set of k examples serves a whole arm, so that the head of its prompts is shared. A row whose
 * patient is in that set gets its own set, drawn from the examples of other patients. A set depends
 * on (seed, pool, k) and, for such rows, on the patient's id alone: never on which other rows are
 * scored.
 *
 * A set covers the classes: with k >= n_class each class has floor(k / n_class) examples and the
 * rest go to classes drawn at random; with k < n_class, k classes drawn at random have one each. A
 * class with too few examples gives what it has, and the others fill up. The order in the prompt is
 * drawn too.
 */
#ifndef CASELOAD_DATA_SPLIT_H
#define CASELOAD_DATA_SPLIT_H

#include "data/rows.h"

typedef struct shots {
    int32_t k, n_set; /* n_set <= 1 + k */
    int32_t *example; /* [n_set][k] indices into rows.pool, in the order of the prompt */
    int32_t *set;     /* [rows.scored.n] the set of each row; mostly 0 */
} shots;

/* ERR_DATA when the pool is too small, lacks a class, or has one only from the row's patient. */
bool shots_pick(shots *s, const rows *r, const spec_arm *arm, uint64_t study_seed, arena *a,
                err *e);

#endif
