/* crew: the ranks of a run: engines of one model, each on a device of its own with threads,
 * weights and session, working at the same time (compute/ranks.h names them).
 *
 * Scoring is dealt in batches: each rank takes the next one that nobody has. A row's numbers depend
 * on its own path alone, so any number of ranks gives the same bits as one; the ranks must compute
 * alike for that (one kind of card, one arithmetic), or the crew is refused. One rank is the engine
 * alone, on the caller's thread.
 *
 * On the host all ranks read one map of the weights; each device apart has its own copy. Threads
 * are shared out evenly. */
#ifndef CASELOAD_STUDY_CREW_H
#define CASELOAD_STUDY_CREW_H

#include "compute/ranks.h"
#include "study/engine.h"

typedef struct crew {
    int32_t n;
    engine *rank[RANKS_MAX]; /* the first is the caller's */
    pool *together;          /* a thread a rank */
} crew;

/* Peeks the model into `first`, and opens the other ranks beside it. */
bool crew_peek(crew *c, engine *first, const engine_options *o, err *e);
void crew_close(crew *c); /* but for the first; a zero crew is fine */

/* The most ranks that stand on one device. */
int32_t crew_beside(const crew *c);

/* As engine_plan, engine_start and engine_stop, for every rank; bytes: of all together. */
bool crew_plan(crew *c, const engine_work *w, int64_t *bytes, err *e);
bool crew_start(crew *c, const engine_work *w, const lora *adapter, err *e);
void crew_stop(crew *c);

/* Calls task(context, rank) for every rank at the same time, each on its own device. Of several
 * failures, one that is no stop by the user counts, and the first rank's. */
typedef bool crew_task(void *context, int32_t rank, err *e);
bool crew_run(crew *c, crew_task *task, void *context, err *e);

/* Where each rank stands and what it holds; a line. Nothing for one rank. */
void crew_describe(const crew *c, buf *out);

#endif
