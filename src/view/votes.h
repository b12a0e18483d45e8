/* votes: what an arm's generated texts say, read by its rules: a row's votes, their majority, and
 * the share that is for the positive class. Beside the score, which is the label's probability
 * behind the texts: a share of k texts has k + 1 values, and so ties. */
#ifndef CASELOAD_VIEW_VOTES_H
#define CASELOAD_VIEW_VOTES_H

#include "view/gather.h"

typedef struct votes {
    int64_t n, n_right, n_none; /* judged rows; majority right; no text with an answer, or a tie */
    /* A row without a majority is not right. Wilson; of several texts a patient by bootstrap. */
    stat_estimate right;
    /* AUROC of the share, by patient likewise; no value without a positive class. */
    stat_estimate share;
} votes;

bool votes_there(const gather *g, int32_t arm); /* some arm's texts were read by rules */
bool votes_count(const gather *g, int32_t arm, arena *scratch, votes *out, err *e);

/* Of judged row i: texts that say each class, then texts that say none: [n_class + 1]. */
const int32_t *votes_of(const gather *g, int32_t arm, int64_t i);

/* The object "votes" of an arm in results.json. */
void votes_json(const votes *v, buf *out);

#endif
