/* comm: the gradients of ranks that train together become one sum, on every rank, the same bits
 * for any number of ranks.
 *
 * An update is cut into micro-batches, however many ranks there are. Their gradients are added one
 * by one in their order:
 *
 *     total = ((0 + g0) + g1) + g2 + ..
 *
 * Ranks compute a round of them at a time, rank i the i-th of the round; comm_add adds a round.
 * There each rank adds its own stretch of the numbers (gathered from the others); comm_share gives
 * every stretch to every rank. All calls are one thread's.
 *
 * Between GPUs the numbers go by NCCL (make CUDA=1 NCCL=1), each GPU being one rank; otherwise, and
 * for several ranks on one GPU, by the driver's copies (through the host where cards do not reach
 * each other). What NCCL takes of a card is planned beside the block. On the processor nothing is
 * moved.
 *
 * A rank that fails fails all: nobody waits for what will not come. */
#ifndef CASELOAD_COMPUTE_COMM_H
#define CASELOAD_COMPUTE_COMM_H

#include "compute/ranks.h"
#include "compute/train.h"

typedef struct comm_rank {
    backend *backend;
    float *grad,
        *total;    /* [n_value] the micro-batch's; the update's (one where nothing is added) */
    float *inbox; /* [ranks, stretch] gradients of the own stretch; NULL: read where they are */
} comm_rank;

typedef struct comm {
    int32_t n;
    comm_rank rank[RANKS_MAX];
    int64_t n_value;
    void *joined; /* NCCL's; NULL: by device_pass */
} comm;

/* What a rank of `n` takes for n_value numbers, where its device keeps them. */
bool comm_lay_out(comm_rank *r, int32_t n, int64_t n_value, arena *a, err *e);

/* Ranks, n and n_value are set. */
bool comm_open(comm *c, err *e);
void comm_close(comm *c); /* twice is fine */

/* total += grad of ranks 0 .. used - 1, in order; their gradients are zero afterwards. */
bool comm_add(comm *c, int32_t used, err *e);
/* Every rank has the whole total. */
bool comm_share(comm *c, err *e);

/* How numbers go between the ranks, for people: "through NCCL", ..; of ranks and n alone. */
const char *comm_way(const comm *c);

#endif
