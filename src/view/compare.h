/* compare: arms of a study, read from its store, through the statistics of judge.h: the paired
 * difference with DeLong's and the patient bootstrap's interval, McNemar at probability 0.5.
 * Rows that one of the named arms has no score for are left out of all of them and counted. */
#ifndef CASELOAD_VIEW_COMPARE_H
#define CASELOAD_VIEW_COMPARE_H

#include "data/store.h"
#include "view/judge.h"

typedef struct compare_options {
    const char *const *arm; /* [n_arm] names, 2 .. JUDGE_SCORES_MAX; the first against the others */
    int32_t n_arm;
    const char *group; /* a subgroup column of the study; NULL: none */
    judge_settings settings;
    bool json;
} compare_options;

/* ERR_USAGE: no such arm or group, or a study of several classes without a positive one. */
bool compare_arms(const store *s, const compare_options *o, buf *out, err *e);

#endif
