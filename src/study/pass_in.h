/* pass_in: what the files of pass share. */
#ifndef CASELOAD_STUDY_PASS_IN_H
#define CASELOAD_STUDY_PASS_IN_H

#include "study/run_in.h"

/* The state of a row under the k-th arm of the pass. */
static inline row_state *pass_row(const run *r, const pass *p, int32_t k, int32_t row)
{
    return &p->row[(int64_t)k * r->rows.scored.n + row];
}

/* Which of the pass's arms is this arm of the study? */
int32_t pass_arm(const pass *p, int32_t arm);

/* Scores every chapter; the session is open. */
bool pass_score(run *r, pass *p, err *e);

/* Makes the scores of open rows whose parts are all there. */
bool pass_complete(run *r, pass *p, err *e);

#endif
