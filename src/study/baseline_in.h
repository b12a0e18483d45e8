/* baseline_in: what the files of baseline share. */
#ifndef CASELOAD_STUDY_BASELINE_IN_H
#define CASELOAD_STUDY_BASELINE_IN_H

#include "study/baseline.h"

/* Row numbers of a set by rising id. */
int32_t *baseline_order(const row_set *set, arena *a, err *e);

bool baseline_tfidf(const baselines *b, pool *p, arena *a, baseline_scores *out, err *e);

#endif
