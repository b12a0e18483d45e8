/* split: picks of few-shot examples, from the training part, never of the row's own patient.
 *
 * One set of k examples serves a whole arm, so that the head of its prompts is shared. A row whose
 * patient is in that set gets its own set, made from the examples of other patients. A set depends
 * on (seed, pool, k, draw) and, for such rows, on the patient's id alone: never on which other rows
 * are scored.
 *
 *   balanced   covers the classes: with k >= n_class each class has floor(k / n_class) examples and
 *              the rest go to classes drawn at random; with k < n_class, k classes drawn at random
 *              have one each. A class with too few gives what it has, and the others fill up
 *   random     any k rows
 *   ids        the rows named, in that order; one of the row's own patient is replaced by another
 *              row, of the same class where there is one
 *   nearest    the caller's list of k rows for each row (study/nearest.h)
 * With several draws each has a set of its own; with several orders the examples of a set stand in
 * that many different orders, the first as drawn. A turn is one order of one draw.
 */
#ifndef CASELOAD_DATA_SPLIT_H
#define CASELOAD_DATA_SPLIT_H

#include "data/rows.h"

typedef struct shots {
    const int32_t *nearest; /* given for `pick: nearest`: [scored.n][k], else NULL */
    int32_t k, n_turn;      /* turn = draw * orders + order */
    int32_t n_set;
    int32_t *example; /* [n_set][k] indices into rows.pool, in the order of the prompt */
    int32_t *set;     /* [n_turn][rows.scored.n] the set of each row */
} shots;

/* ERR_DATA when the pool is too small, lacks a class, has one only from the row's patient, or has
 * not the row that is named. */
bool shots_pick(shots *s, const rows *r, const spec_arm *arm, uint64_t study_seed, arena *a,
                err *e);

#endif
