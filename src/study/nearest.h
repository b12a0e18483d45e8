/* nearest: for each row to score the rows of the training part whose texts are most like its own,
 * by the cosine of TF-IDF counts (text/tfidf.h); never of the row's own patient. The likest stands
 * last, next to the question. Equal likeness: by id. What a row gets depends on its text, its
 * patient and the training part alone. */
#ifndef CASELOAD_STUDY_NEAREST_H
#define CASELOAD_STUDY_NEAREST_H

#include "data/rows.h"

/* list[scored.n][k] indices into r->pool, in `a`. ERR_DATA when a row has fewer than k. */
bool nearest_find(const rows *r, int32_t k, arena *a, int32_t **list, err *e);

#endif
