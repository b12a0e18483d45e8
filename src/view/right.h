/* right: which judged texts each arm's most probable class has right, and paired differences of
 * those shares: what arms are compared by where no class is positive. */
#ifndef CASELOAD_VIEW_RIGHT_H
#define CASELOAD_VIEW_RIGHT_H

#include "view/evidence.h"

typedef struct rights {
    int64_t n;                   /* judged rows */
    uint8_t *right;              /* [n_arm x n] */
    int32_t *patient, n_patient; /* [n] numbered from 0; NULL where each has one text */
    double level;
} rights;

typedef struct right_pair {
    int32_t to, from; /* arms */
} right_pair;

/* Ties go to the first class, as in the arms' accuracy. */
bool right_read(rights *r, const evidence *v, arena *a, err *e);

/* Mean over the pairs of (share right of `to` - of `from`), on the same texts. Variance from each
 * text's (patient's) mean difference; p of one pair without clusters is McNemar's. */
bool right_compare(const rights *r, const right_pair *pairs, int32_t n, arena *scratch,
                   rank_test *out, err *e);

#endif
