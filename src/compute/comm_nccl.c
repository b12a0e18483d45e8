/* comm_nccl: NCCL between GPUs of one process, one communicator a rank, all called by one thread.
 * Sums are not NCCL's: the order in which it adds is its own. It carries, comm.c adds.
 *
 * A kernel of NCCL waits on its card for the others, forever if need be: so nobody here waits for
 * one card alone. All are asked in turn, and when one has failed the communicators are aborted,
 * which ends those kernels. */
#include "compute/comm_in.h"
#include "compute/cuda/cuda.h"
#include "compute/device.h"

#include <assert.h>
#include <nccl.h>
#include <stdio.h>
#include <time.h>

typedef struct joined {
    arena own; /* holds this struct */
    ncclComm_t rank[RANKS_MAX];
    bool given_up;
} joined;

static bool check(ncclResult_t r, const char *what, err *e)
{
    if (r == ncclSuccess) return true;
    return err_set(e, ERR_RESOURCE,
                   "NCCL failed in %s: %s; see `caseload devices`, or give one GPU", what,
                   ncclGetErrorString(r));
}

bool comm_has_nccl(void) { return true; }

/* NCCL refuses two ranks on one GPU. */
bool comm_can_join(const comm *c)
{
    int32_t card[RANKS_MAX];
    if (c->n < 2) return false;
    for (int32_t i = 0; i < c->n; i++) {
        card[i] = cuda_card_of(c->rank[i].backend);
        bool alone = card[i] >= 0;
        for (int32_t k = 0; k < i; k++) alone = alone && card[k] != card[i];
        if (!alone) return false;
    }
    return true;
}

static ncclResult_t open_all(const comm *c, joined *j)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId id;
    ncclResult_t r = ncclGetUniqueId(&id);
    if (r != ncclSuccess) return r;
    config.minCTAs = 1;
    config.maxCTAs = COMM_NCCL_BLOCKS;
    r = ncclGroupStart();
    for (int32_t i = 0; i < c->n && r == ncclSuccess; i++) {
        device_enter(c->rank[i].backend);
        r = ncclCommInitRankConfig(&j->rank[i], c->n, id, i, &config);
    }
    const ncclResult_t end = ncclGroupEnd();
    device_enter(c->rank[0].backend);
    return r != ncclSuccess ? r : end;
}

bool comm_join(comm *c, err *e)
{
    arena own;
    c->joined = NULL;
    if (!comm_can_join(c)) return true;
    if (!arena_open(&own, sizeof(joined) + ARENA_ALIGN, "NCCL's state", e)) return false;
    joined *j = arena_take_zero(&own, 1, sizeof *j, e);
    assert(j);
    j->own = own;
    if (!check(open_all(c, j), "opening", e)) {
        arena_close(&own);
        return false;
    }
    c->joined = j;
    return true;
}

static void give_up(comm *c)
{
    joined *j = c->joined;
    for (int32_t i = 0; i < c->n && !j->given_up; i++) ncclCommAbort(j->rank[i]);
    j->given_up = true;
}

void comm_leave(comm *c)
{
    joined *j = c->joined;
    bool fails = false;
    if (!j) return;
    for (int32_t i = 0; i < c->n; i++) fails |= c->rank[i].backend->failure.code != ERR_NONE;
    if (fails) give_up(c);
    for (int32_t i = 0; i < c->n && !j->given_up; i++) ncclCommDestroy(j->rank[i]);
    arena own = j->own;
    arena_close(&own);
    c->joined = NULL;
}

bool comm_carry(comm *c, const comm_parcel *parcel, int32_t n, err *e)
{
    const joined *j = c->joined;
    assert(!j->given_up);
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
    if (check(r != ncclSuccess ? r : end, "carrying gradients", e)) return true;
    give_up(c);
    return false;
}

/* Has any failed so far? *done: nothing is under way. */
static bool look(comm *c, bool *done, err *e)
{
    const joined *j = c->joined;
    *done = true;
    for (int32_t i = 0; i < c->n; i++) {
        ncclResult_t r = ncclSuccess;
        backend *b = c->rank[i].backend;
        *done = cuda_is_done(b) && *done;
        if (b->failure.code != ERR_NONE) return err_set(e, b->failure.code, "%s", b->failure.text);
        ncclCommGetAsyncError(j->rank[i], &r);
        if (!check(r == ncclInProgress ? ncclSuccess : r, "carrying gradients", e)) return false;
    }
    return true;
}

bool comm_settle(comm *c, err *e)
{
    const struct timespec moment = {.tv_nsec = 20000};
    bool done;
    while (look(c, &done, e)) {
        if (done) return true;
        nanosleep(&moment, NULL);
    }
    give_up(c);
    return false;
}
