/* comm: see comm.h. Rank i adds the i-th stretch: whole cache lines, the last may be short. */
#include "compute/comm_in.h"

#include "compute/cuda/cuda.h"
#include "compute/device.h"

#include <assert.h>

enum { STRETCH_ALIGN = 64 };

static int64_t stretch_of(int32_t n, int64_t n_value)
{
    const int64_t even = (n_value + n - 1) / n;
    return (even + STRETCH_ALIGN - 1) / STRETCH_ALIGN * STRETCH_ALIGN;
}

typedef struct stretch {
    int64_t first, count;
} stretch;

static stretch stretch_at(const comm *c, int32_t rank)
{
    const int64_t each = stretch_of(c->n, c->n_value);
    stretch s = {each * rank, each};
    if (s.first > c->n_value) s.first = c->n_value;
    if (s.first + s.count > c->n_value) s.count = c->n_value - s.first;
    return s;
}

bool comm_lay_out(comm_rank *r, int32_t n, int64_t n_value, arena *a, err *e)
{
    assert(n > 0 && n <= RANKS_MAX && n_value > 0);
    const size_t each = (size_t)stretch_of(n, n_value);
    r->inbox = NULL;
    if (n == 1 || !device_is_apart(r->backend)) return true;
    r->inbox = device_take(r->backend, a, (size_t)n * each, sizeof *r->inbox, e);
    const bool planned = cuda_card_of(r->backend) < 0; /* for a machine that may have it */
    r->backend->beside += planned || comm_has_nccl() ? COMM_NCCL_BYTES : 0;
    return e->code == ERR_NONE;
}

bool comm_open(comm *c, err *e)
{
    assert(c->n > 0 && c->n <= RANKS_MAX && c->n_value > 0);
    return comm_join(c, e);
}

void comm_close(comm *c) { comm_leave(c); }

const char *comm_way(const comm *c)
{
    if (!device_is_apart(c->rank[0].backend)) return "in one memory";
    return comm_can_join(c) ? "through NCCL" : "by the driver's copies";
}

static bool carry(comm *c, const comm_parcel *p, int32_t n, err *e)
{
    if (c->joined) return comm_carry(c, p, n, e);
    for (int32_t i = 0; i < n; i++) {
        backend *from = c->rank[p[i].from].backend, *to = c->rank[p[i].to].backend;
        device_pass(from, p[i].source, to, p[i].place, (size_t)p[i].count * sizeof(float));
        if (!backend_sync(to, e)) return false;
    }
    return true;
}

static bool settle(comm *c, err *e)
{
    bool ok = !c->joined || comm_settle(c, e);
    for (int32_t i = 0; i < c->n && ok; i++) {
        device_enter(c->rank[i].backend);
        ok = backend_sync(c->rank[i].backend, e);
    }
    device_enter(c->rank[0].backend);
    return ok;
}

/* Rank i's stretch of rank r's gradient, as rank i reads it. */
static float *found_at(const comm *c, int32_t i, int32_t r)
{
    const comm_rank *own = &c->rank[i];
    if (r == i || !own->inbox) return c->rank[r].grad + stretch_at(c, i).first;
    return own->inbox + (int64_t)r * stretch_of(c->n, c->n_value);
}

/* Everybody's stretches to whom they belong. */
static bool gather(comm *c, int32_t used, err *e)
{
    comm_parcel parcel[RANKS_MAX];
    for (int32_t r = 0; r < used; r++) {
        int32_t n = 0;
        for (int32_t i = 0; i < c->n; i++) {
            const stretch s = stretch_at(c, i);
            if (i == r || s.count == 0 || !c->rank[i].inbox) continue;
            parcel[n++] =
                (comm_parcel){r, i, c->rank[r].grad + s.first, found_at(c, i, r), s.count};
        }
        if (n > 0 && !carry(c, parcel, n, e)) return false;
    }
    return true;
}

bool comm_add(comm *c, int32_t used, err *e)
{
    assert(used > 0 && used <= c->n);
    if (c->n == 1 && c->rank->total == c->rank->grad) return true;
    if (!gather(c, used, e)) return false;
    for (int32_t i = 0; i < c->n; i++) {
        const comm_rank *own = &c->rank[i];
        const stretch s = stretch_at(c, i);
        device_enter(own->backend);
        for (int32_t r = 0; r < used && s.count > 0; r++)
            op_add(own->backend, tensor_f32(own->total + s.first, 1, s.count),
                   tensor_f32(found_at(c, i, r), 1, s.count));
    }
    for (int32_t r = 0; r < used; r++) {
        device_enter(c->rank[r].backend);
        op_zero(c->rank[r].backend, tensor_f32(c->rank[r].grad, 1, c->n_value));
    }
    return settle(c, e);
}

bool comm_share(comm *c, err *e)
{
    comm_parcel parcel[RANKS_MAX];
    for (int32_t i = 0; i < c->n; i++) {
        const stretch s = stretch_at(c, i);
        int32_t n = 0;
        for (int32_t r = 0; r < c->n && s.count > 0; r++) {
            if (r == i) continue;
            parcel[n++] = (comm_parcel){i, r, c->rank[i].total + s.first,
                                        c->rank[r].total + s.first, s.count};
        }
        if (n > 0 && !carry(c, parcel, n, e)) return false;
    }
    return settle(c, e);
}
