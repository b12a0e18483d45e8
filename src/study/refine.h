/* refine: the model that answers a question is asked what in it could be read in two ways, and then
 * for rewrites that could not. Each rewrite becomes a version of the question (data/prompts.h) with
 * the model as author and the version it was made from as parent; the study's own question becomes
 * a version first, if it is none. Nothing is overwritten, and no row of the table is looked at: a
 * wording that was shaped on rows must be tested on others. */
#ifndef CASELOAD_STUDY_REFINE_H
#define CASELOAD_STUDY_REFINE_H

#include "data/prompts.h"
#include "study/engine.h"

enum { REFINE_PROPOSALS_MAX = 50 };

typedef struct refine_options {
    engine_options engine;   /* model NULL: the study's, or the arm's own */
    const char *study, *arm; /* arm NULL: the first */
    const char *folder;      /* of versions; NULL: `prompts` beside the study */
    const char *date;        /* of today, as it shall stand in the versions */
    int32_t proposals;       /* 0: 4 */
    uint64_t seed;
    bool (*done)(void *context, int64_t n_done,
                 int64_t n_all); /* tokens of the longest texts; false stops; NULL: none */
    void *context;
} refine_options;

/* What was found and written, as text for people. Stopped (ERR_STOPPED): versions that stand are
 * whole, none of the rewrites under way is kept. */
bool refine_question(const refine_options *o, buf *out, err *e);

#endif
