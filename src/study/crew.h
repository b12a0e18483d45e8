/* crew: the ranks of a run: engines of one model, each on a device of its own with threads,
 * weights and session (compute/ranks.h names them).
 *
 *     rows     every rank has the whole model: they work at the same time, each a lane
 *     layers   a lane is several ranks with consecutive layers each; rows go from one to the next,
 *              one rank of a lane works at a time. For models larger than a device: the shares are
 *              those that `caseload fit` tells (fit_split.c), on as few ranks as hold it; the other
 *              ranks are more such lanes. Where memory is left, as many lanes as ranks take turns
 *              on the same ranks, with sessions of their own on the same weights: none waits then.
 *              Where rows fit, rows are split.
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

typedef enum crew_split { CREW_AS_FITS, CREW_ROWS, CREW_LAYERS } crew_split;

typedef struct crew {
    int32_t n, n_open;
    engine *rank[RANKS_MAX]; /* [n_open] the first is the caller's; from n on: those that take
                                turns with rank i % n, whose weights they read */
    pool *together;          /* a thread a rank */
    crew_split split;        /* as asked; layers: over all ranks */
    int32_t n_lane, deep;    /* as it is planned now: ranks of a lane */
    int32_t turns;           /* lanes on the same ranks */
} crew;

/* Peeks the model into `first`, and opens the other ranks beside it. */
bool crew_peek(crew *c, engine *first, const engine_options *o, err *e);
void crew_close(crew *c); /* but for the first; a zero crew is fine */

/* The most ranks that stand on one device. */
int32_t crew_beside(const crew *c);

/* Every rank has the whole model again (training); nothing is open. */
void crew_make_whole(crew *c);

/* As engine_plan, engine_start and engine_stop, for every rank; bytes: of all together. Both decide
 * how the work is split. */
bool crew_plan(crew *c, const engine_work *w, int64_t *bytes, err *e);
bool crew_start(crew *c, const engine_work *w, const lora *adapter, err *e);
void crew_stop(crew *c);

/* Calls task(context, rank) for every rank at the same time, each on its own device. Of several
 * failures, one that is no stop by the user counts, and the first rank's. */
typedef bool crew_task(void *context, int32_t rank, err *e);
bool crew_run(crew *c, crew_task *task, void *context, err *e);

/* The same for every lane; its engine is the one whose session gives the answers. */
bool crew_run_lanes(crew *c, crew_task *task, void *context, err *e);
static inline engine *crew_at(const crew *c, int32_t lane, int32_t step)
{
    const int32_t beside = c->n / c->deep; /* lanes that share nothing */
    return c->rank[lane / beside * c->n + lane % beside * c->deep + step];
}
static inline engine *crew_lane(const crew *c, int32_t lane)
{
    return crew_at(c, lane, c->deep - 1);
}

/* Where each rank stands and what it holds; a line. Nothing for one rank. */
void crew_describe(const crew *c, buf *out);

#endif
