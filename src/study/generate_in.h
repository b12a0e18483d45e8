/* generate_in: what the files of generate share. */
#ifndef CASELOAD_STUDY_GENERATE_IN_H
#define CASELOAD_STUDY_GENERATE_IN_H

#include "study/generate.h"

bool generate_follow_lay_out(generator *g, arena *a, err *e);

/* Asks behind the first n streams, whose samples are finished: fills answer_logprob. `kept`: so
 * many tokens of each sample count. */
bool generate_follow_run(generator *g, int32_t n, const int32_t *kept, err *e);

/* An answer's place: [stream][answer]. */
static inline double *generate_answers(const generator *g, int32_t stream)
{
    int32_t most = g->scorer->schedule->options.follow_segments - 1;
    return g->answer_logprob + (int64_t)stream * most;
}

#endif
