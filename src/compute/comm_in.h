/* comm_in: numbers on their way between ranks; by NCCL in comm_nccl.c, or comm_none.c. */
#ifndef CASELOAD_COMPUTE_COMM_IN_H
#define CASELOAD_COMPUTE_COMM_IN_H

#include "compute/comm.h"

typedef struct comm_parcel {
    int32_t from, to; /* ranks, not the same */
    const float *source;
    float *place;
    int64_t count;
} comm_parcel;

/* What NCCL takes of each GPU, with as many blocks as it may use: more would carry faster. Each of
 * two H100 over NVLink loses 529 MB, its kernels included (bench/gpu/b_ranks; 1,057 MB with as many
 * as NCCL chooses). */
enum { COMM_NCCL_BLOCKS = 4, COMM_NCCL_BYTES = 576 << 20 };
bool comm_has_nccl(void);

/* Is every rank a GPU of its own, and NCCL there? */
bool comm_can_join(const comm *c);
/* Sets c->joined where that is so; else NULL. */
bool comm_join(comm *c, err *e);
void comm_leave(comm *c);

/* All parcels at once; what was launched before on either rank is before them. */
bool comm_carry(comm *c, const comm_parcel *parcel, int32_t n, err *e);
/* Waits for all ranks, also where one fails on the way: what others still expect of it is then
 * given up, and nothing can be carried any more. */
bool comm_settle(comm *c, err *e);

#endif
