/* comm_nccl: NCCL between GPUs of one process, one communicator a rank, all called by one thread.
 * Sums are not NCCL's: the order in which it adds is its own. It carries, comm.c adds. */
#include "compute/comm_in.h"
#include "compute/cuda/cuda.h"

#include <assert.h>
#include <nccl.h>
#include <stdio.h>

typedef struct joined {
    arena own; /* holds this struct */
    ncclComm_t rank[RANKS_MAX];
} joined;

static bool check(ncclResult_t r, const char *what, err *e)
{
    if (r == ncclSuccess) return true;
    return err_set(e, ERR_RESOURCE,
                   "NCCL failed in %s: %s; see `caseload devices`, or give one GPU", what,
                   ncclGetErrorString(r));
}

/* NCCL refuses two ranks on one GPU. */
static bool find_cards(const comm *c, int *card)
{
    if (c->n < 2) return false;
    for (int32_t i = 0; i < c->n; i++) {
        card[i] = cuda_card_of(c->rank[i].backend);
        bool alone = card[i] >= 0;
        for (int32_t k = 0; k < i; k++) alone = alone && card[k] != card[i];
        if (!alone) return false;
    }
    return true;
}

bool comm_can_join(const comm *c)
{
    int card[RANKS_MAX];
    return find_cards(c, card);
}

bool comm_join(comm *c, err *e)
{
    int card[RANKS_MAX];
    arena own;
    c->joined = NULL;
    if (!find_cards(c, card)) return true;
    if (!arena_open(&own, sizeof(joined) + ARENA_ALIGN, "NCCL's state", e)) return false;
    joined *j = arena_take_zero(&own, 1, sizeof *j, e);
    assert(j);
    j->own = own;
    if (!check(ncclCommInitAll(j->rank, c->n, card), "opening", e)) {
        arena_close(&own);
        return false;
    }
    c->joined = j;
    return true;
}

void comm_leave(comm *c)
{
    joined *j = c->joined;
    if (!j) return;
    for (int32_t i = 0; i < c->n; i++) ncclCommDestroy(j->rank[i]);
    arena own = j->own;
    arena_close(&own);
    c->joined = NULL;
}

bool comm_carry(comm *c, const comm_parcel *parcel, int32_t n, err *e)
{
    const joined *j = c->joined;
    ncclResult_t r = ncclGroupStart();
    for (int32_t i = 0; i < n && r == ncclSuccess; i++) {
        const comm_parcel *p = &parcel[i];
        assert(p->from != p->to);
        r = ncclSend(p->source, (size_t)p->count, ncclFloat, p->to, j->rank[p->from],
                     cuda_stream_of(c->rank[p->from].backend));
        if (r != ncclSuccess) break;
        r = ncclRecv(p->place, (size_t)p->count, ncclFloat, p->from, j->rank[p->to],
                     cuda_stream_of(c->rank[p->to].backend));
    }
    const ncclResult_t end = ncclGroupEnd();
    return check(r != ncclSuccess ? r : end, "carrying gradients", e);
}
