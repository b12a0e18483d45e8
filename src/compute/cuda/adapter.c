/* cuda adapters in training, the host's part: matrices packed into bf16, and which products of an
 * adapter go through one pass over the wide rows; see kernels_adapter.h. What these kernels do not
 * take (check mode, a rank above 64 or not a multiple of eight) goes through plain products. */
#include "compute/cuda/cuda_in.h"
#include "compute/cuda/kernels_adapter.h"

#include <assert.h>

static int32_t slot_of(int64_t rank)
{
    return (int32_t)((rank + ADAPTER_SLICE - 1) / ADAPTER_SLICE * ADAPTER_SLICE);
}

bool cuda_adapter_fits(const backend *b, const lora_pair *pair, const tensor *low)
{
    const int64_t rank = pair->a.dim[0];
    return b->rows == DTYPE_BF16 && low->type == DTYPE_BF16 && rank % 8 == 0 &&
           slot_of(rank) <= cuda_space(b)->adapter_slot && pair->a.dim[1] % 8 == 0 &&
           pair->b.dim[0] % 8 == 0;
}

/* ---- one group ---- */

typedef struct group { /* adapters of one x */
    const lora_pair *pair[ADAPTER_PARTS];
    tensor low[ADAPTER_PARTS];
    int32_t n, slot;
    k_pack pack[2 * ADAPTER_PARTS];
    int32_t n_pack;
} group;

static void group_add(group *g, const lora_pair *pair, tensor low)
{
    assert(g->n < ADAPTER_PARTS);
    g->slot = slot_of(pair->a.dim[0]);
    g->pair[g->n] = pair;
    g->low[g->n++] = low;
}

/* Can one pass serve them all? */
static bool stacks(const group *g) { return g->n * g->slot <= ADAPTER_SLOTS; }

static k_lows lows_of(const group *g, int32_t first, int32_t n)
{
    k_lows l = {.n_part = n, .slot = g->slot, .n = g->low[0].dim[0]};
    for (int32_t i = 0; i < n; i++) {
        l.rows[i] = g->low[first + i].data;
        l.rank[i] = (int32_t)g->pair[first + i]->a.dim[0];
        l.scale[i] = g->pair[first + i]->scale;
    }
    return l;
}

typedef enum pack_how { FOR_REDUCE, FOR_SPREAD, BESIDE } pack_how;

/* A [r, in] or B [out, r] of adapter i becomes [slots, width] for a reduction, [width, slots] for a
 * spread; BESIDE: one spread for all of them where that can be. A's of one x follow each other in a
 * reduction. Returns where it will be, or where all of them begin. */
static const void *pack(backend *b, group *g, int32_t i, bool is_b, pack_how how)
{
    const bool spread = how != FOR_REDUCE, beside = how == BESIDE && stacks(g);
    const cuda_workspace *s = cuda_space(b);
    const tensor m = is_b ? g->pair[i]->b : g->pair[i]->a;
    const int64_t width = is_b ? m.dim[0] : m.dim[1], each = g->slot * s->width_max;
    const int64_t slots = beside ? (int64_t)g->n * g->slot : g->slot;
    const int64_t at = (spread ? ADAPTER_PARTS * each : 0) +
                       (beside ? 0 : i * (is_b || spread ? each : g->slot * width));
    uint16_t *to = (uint16_t *)s->adapter_m + at;
    assert(width <= s->width_max && g->slot <= s->adapter_slot);
    g->pack[g->n_pack++] = (k_pack){.from = m.data,
                                    .to = beside ? to + (int64_t)i * g->slot : to,
                                    .wide = width,
                                    .from_rank = is_b ? 1 : width,
                                    .from_wide = is_b ? m.dim[1] : 1,
                                    .to_rank = spread ? 1 : width,
                                    .to_wide = spread ? slots : 1,
                                    .rank = (int32_t)g->pair[i]->a.dim[0],
                                    .slot = g->slot};
    return to;
}

static void start_packing(backend *b, const group *g)
{
    k_adapter_pack(cuda_of(b)->stream, g->pack, g->n_pack);
    cuda_launched(b, "packing adapters");
}

/* low of every adapter = scale x A^T */
static k_adapter reduction_of_x(backend *b, group *g, const void *x, int64_t in)
{
    k_adapter a = {.n_job = stacks(g) ? 1 : g->n, .low = lows_of(g, 0, g->n)};
    for (int32_t i = 0; i < g->n; i++) {
        const void *m = pack(b, g, i, false, FOR_REDUCE);
        if (i < a.n_job) a.job[i] = (k_wide){(void *)(uintptr_t)x, m, in};
    }
    return a;
}

void cuda_adapter_low(backend *b, tensor low, tensor x, const lora_pair *pair)
{
    group g = {0};
    group_add(&g, pair, low);
    k_adapter a = reduction_of_x(b, &g, cuda_factor(b, x, cuda_space(b)->x), x.dim[1]);
    start_packing(b, &g);
    k_adapter_reduce(cuda_of(b)->stream, &a);
    cuda_launched(b, "an adapter");
}

void cuda_adapter_forward(backend *b, const void *x, const matmul_part *part, int n_part)
{
    group g = {0};
    tensor y[ADAPTER_PARTS];
    for (int i = 0; i < n_part; i++) {
        if (!part[i].adapter) continue;
        y[g.n] = part[i].y;
        group_add(&g, part[i].adapter, part[i].low);
    }
    if (g.n == 0) return;
    k_adapter down = reduction_of_x(b, &g, x, part[0].w.dim[1]);
    k_adapter up = {.n_job = 1};
    const void *m[ADAPTER_PARTS];
    for (int32_t i = 0; i < g.n; i++) m[i] = pack(b, &g, i, true, FOR_SPREAD);
    start_packing(b, &g);
    k_adapter_reduce(cuda_of(b)->stream, &down);
    for (int32_t first = 0, n; first < g.n; first += n) { /* those of one type at once */
        for (n = 0; first + n < g.n && y[first + n].type == y[first].type; n++) {
            up.job[n] = (k_wide){y[first + n].data, m[first + n], y[first + n].dim[1]};
        }
        up.n_job = n, up.low = lows_of(&g, first, n);
        k_adapter_spread(cuda_of(b)->stream, &up, cuda_row_type(y[first].type), 1);
    }
    cuda_launched(b, "adapters");
}

/* ---- the way back ---- */

static void start_grad(backend *b, const k_adapter *a, k_adapter_sums *to)
{
    to->scratch = cuda_space(b)->adapter_sums;
    int64_t width = 0;
    for (int32_t i = 0; i < a->n_job; i++) {
        if (a->job[i].width > width) width = a->job[i].width;
    }
    const int64_t slots = a->n_job > 1 ? a->low.slot : (int64_t)a->low.slot * a->low.n_part;
    assert(k_adapter_splits(a) * a->n_job * slots * width <= cuda_space(b)->adapter_sums_max);
    k_adapter_grad(cuda_of(b)->stream, a, to);
    cuda_launched(b, "adapters' gradients");
}

/* dB += dy^T low */
static void grad_b(backend *b, const group *g, const k_wide *dy)
{
    k_adapter a = {.n_job = g->n, .low = lows_of(g, 0, g->n)};
    k_adapter_sums to = {.turned = 1};
    for (int32_t i = 0; i < g->n; i++) a.job[i] = dy[i], to.to[i] = g->pair[i]->db.data;
    start_grad(b, &a, &to);
}

/* dA += dlow^T x; parts of a fused matrix have one A between them and take turns. */
static void grad_a(backend *b, const group *g, const void *x, int64_t in)
{
    bool shared = false;
    for (int32_t i = 1; i < g->n; i++) {
        shared = shared || g->pair[i]->da.data == g->pair[0]->da.data;
    }
    const int32_t at_once = shared ? 1 : g->n;
    for (int32_t first = 0; first < g->n; first += at_once) {
        k_adapter a = {.low = lows_of(g, first, at_once)};
        k_adapter_sums to = {.turned = 0};
        a.n_job = stacks(g) ? 1 : at_once;
        for (int32_t i = 0; i < at_once; i++) {
            a.job[i] = (k_wide){(void *)(uintptr_t)x, NULL, in};
            to.to[i] = g->pair[first + i]->da.data;
        }
        start_grad(b, &a, &to);
    }
}

/* dx (+)= sum dlow A */
static void spread_back(backend *b, const group *g, const void *const *m, tensor dx, bool add)
{
    const int32_t at_once = stacks(g) ? g->n : 1;
    for (int32_t i = 0; i < g->n; i += at_once) {
        k_adapter a = {.n_job = 1, .low = lows_of(g, i, at_once)};
        a.job[0] = (k_wide){dx.data, m[i], dx.dim[1]};
        k_adapter_spread(cuda_of(b)->stream, &a, cuda_row_type(dx.type), add || i > 0);
    }
    cuda_launched(b, "adapters back");
}

bool cuda_adapter_back(backend *b, const back_part *part, int n, const void *const *dy)
{
    group up = {0}, down = {0}; /* with low as the way forward left it; with its gradient */
    k_adapter to_low = {0};
    k_wide rows[ADAPTER_PARTS];
    const void *m[ADAPTER_PARTS];
    for (int i = 0; i < n; i++) {
        if (!part[i].adapter) continue;
        rows[up.n] = (k_wide){(void *)(uintptr_t)dy[i], NULL, part[i].dy.dim[1]};
        group_add(&up, part[i].adapter, part[i].low);
        group_add(&down, part[i].adapter, part[i].dlow);
    }
    if (up.n == 0) return false;
    to_low.n_job = down.n, to_low.low = lows_of(&down, 0, down.n);
    for (int32_t i = 0; i < down.n; i++) {
        to_low.job[i] = rows[i];
        to_low.job[i].m = pack(b, &down, i, true, FOR_REDUCE);
        m[i] = pack(b, &down, i, false, BESIDE);
    }
    start_packing(b, &down);
    k_adapter_reduce(cuda_of(b)->stream, &to_low);
    grad_b(b, &up, rows);
    grad_a(b, &down, cuda_factor(b, part[0].x, cuda_space(b)->x), part[0].x.dim[1]);
    if (part[0].dx) spread_back(b, &down, m, *part[0].dx, part[0].add);
    return true;
}

/* ---- gates ---- */

typedef struct gate_adapters { /* those of gate, up and the last product that are there */
    group g;
    int32_t at[ADAPTER_PARTS]; /* in the group; -1: none */
} gate_adapters;

static bool take_adapter(const backend *b, gate_adapters *a, int part, const lora_pair *pair,
                         tensor low)
{
    a->at[part] = -1;
    if (!pair) return true;
    if (!pair->da.data || !cuda_adapter_fits(b, pair, &low)) return false;
    a->at[part] = a->g.n;
    group_add(&a->g, pair, low);
    return true;
}

static bool take_gates(const backend *b, gate_adapters *a, const gate_block *g)
{
    return b->rows == DTYPE_BF16 && cuda_space(b)->adapter_slot > 0 && g->act.dim[1] % 8 == 0 &&
           take_adapter(b, a, 0, g->gate.adapter, g->gate.low) &&
           take_adapter(b, a, 1, g->up.adapter, g->up.low);
}

/* The kernel's argument; B's of gate and up, and A of the last product, are packed for it. */
static k_gates gates_of(backend *b, gate_adapters *a, const gate_block *g, int n_part)
{
    k_gates k = {.gate = g->gate.y.data,
                 .up = g->up.y.data,
                 .act = g->act.data,
                 .width = g->act.dim[1],
                 .gelu = g->kind == GLU_GELU_TANH,
                 .low = {.n_part = n_part, .slot = ADAPTER_SLICE, .n = g->act.dim[0]}};
    for (int i = 0; i < n_part; i++) {
        const int32_t at = a->at[i];
        if (at < 0) continue;
        k.m[i] = pack(b, &a->g, at, i < 2, FOR_SPREAD);
        k.low.slot = a->g.slot;
        k.low.rows[i] = a->g.low[at].data;
        k.low.rank[i] = (int32_t)a->g.pair[at]->a.dim[0];
    }
    return k;
}

void cuda_gates(backend *b, tensor x, const gate_block *g)
{
    gate_adapters a = {0};
    if (!take_gates(b, &a, g)) {
        gates_by_ops(b, x, g);
        return;
    }
    matmul_part part[2] = {g->gate, g->up};
    part[0].adapter = part[1].adapter = NULL;
    cuda_matmul(b, x, part, 2);
    k_adapter down = {0};
    if (a.g.n > 0) {
        down = reduction_of_x(b, &a.g, cuda_factor(b, x, cuda_space(b)->x), x.dim[1]);
    }
    k_gates k = gates_of(b, &a, g, 2);
    if (a.g.n > 0) {
        start_packing(b, &a.g);
        k_adapter_reduce(cuda_of(b)->stream, &down);
    }
    k_adapter_gates(cuda_of(b)->stream, &k);
    cuda_launched(b, "gates");
}

void cuda_gates_back(backend *b, const gate_block *g, const back_part *down)
{
    gate_adapters a = {0};
    if (!take_gates(b, &a, g) || !take_adapter(b, &a, 2, down->adapter, down->dlow) ||
        (down->adapter && !cuda_adapter_fits(b, down->adapter, &down->low))) {
        gates_back_by_ops(b, g, down);
        return;
    }
    const void *dy = cuda_factor(b, down->dy, cuda_space(b)->dy);
    group up = {0}, low = {0};
    k_adapter to_low = {.n_job = 1};
    if (down->adapter) {
        group_add(&up, down->adapter, down->low), group_add(&low, down->adapter, down->dlow);
        to_low.low = lows_of(&low, 0, 1);
        to_low.job[0] = (k_wide){(void *)(uintptr_t)dy, NULL, down->dy.dim[1]};
        to_low.job[0].m = pack(b, &low, 0, true, FOR_REDUCE);
        start_packing(b, &low);
        k_adapter_reduce(cuda_of(b)->stream, &to_low);
        grad_b(b, &up, to_low.job);
    }
    cuda_multiply_back(b, *down->dx, dy, down->w, false);
    k_gates k = gates_of(b, &a, g, 3);
    k.d_act = down->dx->data;
    if (a.g.n > 0) start_packing(b, &a.g);
    k_adapter_gates_back(cuda_of(b)->stream, &k);
    cuda_launched(b, "gates back");
    if (down->adapter) grad_a(b, &low, g->act.data, g->act.dim[1]);
}
