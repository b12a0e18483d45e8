/* cuda adapters in training, the host's part: matrices packed into bf16, and which products of an
 * adapter go through one pass over the wide rows; see kernels_adapter.h. What these kernels do not
 * take (check mode, a rank above 64 or not a multiple of eight) goes through plain products. */
#include "compute/cuda/cuda_in.h"
#include "compute/cuda/kernels_fused.h"

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

/* ---- products whose outputs turn ---- */

/* Can one kernel turn this output beside an adapter? NULL: it does not turn. */
static bool turns(tensor y, const rope_turn *turn)
{
    if (y.dim[1] % 8 != 0 || y.dim[1] > INT32_MAX) return false;
    if (!turn || !turn->table.data) return true;
    const int64_t turned = turn->table.dim[1];
    const bool whole = turn->style == ROPE_PAIRS ? turned % 8 == 0 : turned % 16 == 0;
    return y.type == DTYPE_BF16 && (uintptr_t)y.data % 16 == 0 && turned == turn->head_dim &&
           whole && (uintptr_t)turn->table.data % 16 == 0;
}

const int32_t *cuda_stage_turn(backend *b, const rope_turn *turn, tensor y)
{
    if (!turn || !turn->table.data) return NULL;
    return cuda_stage(b, turn->positions, (size_t)y.dim[0] * sizeof *turn->positions);
}

static k_rope_how turn_of(backend *b, const rope_turn *turn, tensor y)
{
    k_rope_how how = {.turned = 0};
    if (!turn || !turn->table.data) return how;
    how.positions = cuda_stage_turn(b, turn, y);
    how.table = turn->table.data;
    how.heads = (int32_t)y.dim[1] / turn->head_dim, how.head_dim = turn->head_dim;
    how.turned = (int32_t)turn->table.dim[1], how.pairs = turn->style == ROPE_PAIRS, how.sign = 1;
    return how;
}

void cuda_matmul_turned(backend *b, tensor x, const matmul_part *part, const rope_turn *turn, int n)
{
    group g = {0};
    k_turns k = {.n_job = n, .low = {.n_part = n, .slot = ADAPTER_SLICE, .n = x.dim[0]}};
    matmul_part plain[ADAPTER_PARTS];
    bool fit = b->rows == DTYPE_BF16 && n <= ADAPTER_PARTS && cuda_space(b)->adapter_slot > 0;
    for (int i = 0; i < n; i++) cuda_stage_turn(b, &turn[i], part[i].y);
    for (int i = 0; i < n && fit; i++) {
        const lora_pair *pair = part[i].adapter;
        fit = part[i].y.type == DTYPE_BF16 && (uintptr_t)part[i].y.data % 16 == 0 &&
              turns(part[i].y, &turn[i]) &&
              (!pair || (pair->da.data && cuda_adapter_fits(b, pair, &part[i].low)));
        plain[i] = part[i], plain[i].adapter = NULL;
        if (fit && pair) group_add(&g, pair, part[i].low);
    }
    if (!fit) {
        matmul_turned_by_ops(b, x, part, turn, n);
        return;
    }
    cuda_matmul(b, x, plain, n);
    k_adapter down = {0};
    if (g.n > 0) {
        down = reduction_of_x(b, &g, cuda_factor(b, x, cuda_space(b)->x), x.dim[1]);
        k.low.slot = g.slot;
    }
    for (int i = 0, at = 0; i < n; i++) {
        k.job[i] =
            (k_turn){part[i].y.data, NULL, part[i].y.dim[1], turn_of(b, &turn[i], part[i].y)};
        if (!part[i].adapter) continue;
        k.low.rows[i] = g.low[at].data, k.low.rank[i] = (int32_t)part[i].adapter->a.dim[0];
        k.job[i].m = pack(b, &g, at++, true, FOR_SPREAD);
    }
    if (b->failure.code != ERR_NONE) return;
    if (g.n > 0) {
        start_packing(b, &g);
        k_adapter_reduce(cuda_of(b)->stream, &down);
    }
    k_adapter_turn(cuda_of(b)->stream, &k);
    cuda_launched(b, "adapters and a rotation");
}

/* x += low B^T and the norm that keeps. False: not for these kernels, and nothing was done. */
bool cuda_adapter_norm(backend *b, const k_norm_keep *keep, float *x, const norm_shape *norm)
{
    const lora_pair *pair = norm->adapter;
    const cuda_workspace *s = cuda_space(b);
    const bool whole = (uintptr_t)x % 16 == 0 && (uintptr_t)keep->y % 16 == 0 &&
                       (uintptr_t)keep->kept % 16 == 0 && (uintptr_t)keep->w % 16 == 0;
    if (!whole || !cuda_adapter_fits(b, pair, &norm->low)) return false;
    const int32_t rank = (int32_t)pair->a.dim[0];
    const k_pack job = {.from = pair->b.data,
                        .to = s->adapter_m,
                        .wide = keep->width,
                        .from_rank = 1,
                        .from_wide = rank,
                        .rank = rank,
                        .slot = slot_of(rank)};
    k_norm_add add = {.norm = *keep,
                      .x = x,
                      .low = norm->low.data,
                      .m = s->adapter_m,
                      .rank = rank,
                      .slot = slot_of(rank)};
    k_adapter_pack_tiles(cuda_of(b)->stream, &job, 1);
    k_adapter_norm(cuda_of(b)->stream, &add);
    cuda_launched(b, "a norm and an adapter");
    return true;
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

/* dA += dlow^T x; parts of a fused matrix have one A between them and take turns. With a norm, x
 * is what stands before it, and the norm's scale is in dlow. */
static void grad_a(backend *b, const group *g, const void *x, int64_t in, const norm_shape *norm)
{
    const float *w = norm ? cuda_vector(b, &norm->w) : NULL;

    bool shared = false;
    for (int32_t i = 1; i < g->n; i++) {
        shared = shared || g->pair[i]->da.data == g->pair[0]->da.data;
    }
    const int32_t at_once = shared ? 1 : g->n;
    for (int32_t first = 0; first < g->n; first += at_once) {
        k_adapter a = {.low = lows_of(g, first, at_once)};
        k_adapter_sums to = {.w = w, .w_plus = norm ? norm->w_plus : 0};
        a.n_job = stacks(g) ? 1 : at_once;
        for (int32_t i = 0; i < at_once; i++) {
            a.job[i] = (k_wide){(void *)(uintptr_t)x, NULL, in};
            to.to[i] = g->pair[first + i]->da.data;
        }
        start_grad(b, &a, &to);
    }
}

/* dx = sum dlow A, where one pass can serve them all. */
static void write_back(backend *b, const group *g, tensor dx)
{
    k_pack job[ADAPTER_PARTS];
    k_adapter a = {.n_job = 1, .low = lows_of(g, 0, g->n)};
    void *const to = cuda_space(b)->adapter_m;
    for (int32_t i = 0; i < g->n; i++) {
        job[i] = (k_pack){.from = g->pair[i]->a.data,
                          .to = to,
                          .wide = dx.dim[1],
                          .from_rank = dx.dim[1],
                          .from_wide = 1,
                          .rank = (int32_t)g->pair[i]->a.dim[0],
                          .slot = g->slot};
    }
    a.job[0] = (k_wide){dx.data, to, dx.dim[1]};
    k_adapter_pack_tiles(cuda_of(b)->stream, job, g->n);
    k_adapter_write(cuda_of(b)->stream, &a, cuda_row_type(dx.type));
    cuda_launched(b, "adapters back");
}

/* dx (+)= sum dlow A, else */
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

bool cuda_adapter_turns_back(const backend *b, const back_part *part, int n)
{
    const cuda_workspace *s = cuda_space(b);
    for (int i = 0; i < n; i++) {
        if (!part[i].adapter) continue;
        if (!part[i].low.data || slot_of(part[i].adapter->a.dim[0]) > GATE_SLOTS ||
            part[i].dy.dim[1] > s->turn_width || s->adapter_inner_max == 0 ||
            !turns(part[i].dy, part[i].turn))
            return false;
    }
    return true;
}

typedef struct outputs_back { /* of products with adapters, going back */
    group up, down;           /* with low as the way forward left it; with its gradient */
    k_wide rows[ADAPTER_PARTS], whole[ADAPTER_PARTS]; /* those of `up`; of `down` */
    k_rope_how turn[ADAPTER_PARTS];
    const norm_shape *norm; /* of the products' x; NULL: none */
} outputs_back;

/* Where dlow goes, and times the norm's scale as well, as `of_a` has it then. */
static k_lows lows_back(backend *b, const outputs_back *o, group *of_a)
{
    k_lows l = lows_of(&o->down, 0, o->down.n);
    *of_a = o->down;
    if (!o->norm) return l;
    l.row_scale = o->norm->scale;
    for (int32_t i = 0; i < o->down.n; i++) {
        uint16_t *scaled = cuda_space(b)->adapter_scaled;
        of_a->low[i].data = scaled + i * tensor_count(&o->down.low[i]);
        l.scaled[i] = of_a->low[i].data;
    }
    return l;
}

/* dlow, and dB += dy^T low: by one pass that turns dy too, or by one for each. */
static void outputs_to_low(backend *b, outputs_back *o, k_lows lows, bool at_once)
{
    const cuda_workspace *s = cuda_space(b);
    const cudaStream_t stream = cuda_of(b)->stream;
    const int32_t n = o->down.n;
    if (!at_once) {
        k_adapter to_low = {.n_job = n, .low = lows};
        for (int32_t i = 0; i < n; i++) {
            to_low.job[i] = o->whole[i];
            to_low.job[i].m = pack(b, &o->down, i, true, FOR_REDUCE);
        }
        start_packing(b, &o->down);
        k_adapter_reduce(stream, &to_low);
        if (o->up.n > 0) grad_b(b, &o->up, o->rows);
        return;
    }
    k_turns_back k = {.a = {.n_job = n, .low = lows_of(&o->up, 0, n)},
                      .inner = lows,
                      .sums = s->adapter_sums,
                      .inner_sums = s->adapter_inner};
    int64_t widest = 0;
    for (int32_t i = 0; i < n; i++) {
        k_turn *job = &k.a.job[i];
        *job = (k_turn){o->whole[i].rows, pack(b, &o->down, i, true, FOR_SPREAD), o->whole[i].width,
                        o->turn[i]};
        k.grad[i] = o->up.pair[i]->db.data;
        if (job->width > widest) widest = job->width;
    }
    assert(turn_back_inner(lows.n, widest, lows.slot, n) <= s->adapter_inner_max);
    assert(turn_back_sums(lows.n, widest, lows.slot, n) <= s->adapter_sums_max);
    if (b->failure.code != ERR_NONE) return;
    start_packing(b, &o->down);
    k_adapter_turn_back(stream, &k);
    cuda_launched(b, "adapters back");
}

bool cuda_adapter_back(backend *b, const back_part *part, int n, const void *const *dy)
{
    outputs_back o = {.norm = part[0].normed};
    const void *m[ADAPTER_PARTS];
    group of_a;
    for (int i = 0; i < n; i++) {
        if (!part[i].adapter) continue;
        o.turn[o.down.n] = turn_of(b, part[i].turn, part[i].dy);
        o.whole[o.down.n] = (k_wide){(void *)(uintptr_t)dy[i], NULL, part[i].dy.dim[1]};
        group_add(&o.down, part[i].adapter, part[i].dlow);
        if (!part[i].low.data) continue;
        o.rows[o.up.n] = o.whole[o.down.n - 1];
        group_add(&o.up, part[i].adapter, part[i].low);
    }
    if (o.down.n == 0) return false;
    const k_lows lows = lows_back(b, &o, &of_a);
    outputs_to_low(b, &o, lows, cuda_adapter_turns_back(b, part, n));
    grad_a(b, &of_a, cuda_factor(b, part[0].x, cuda_space(b)->x), part[0].x.dim[1], o.norm);
    if (!part[0].dx) return true;
    if (!part[0].add && stacks(&o.down)) {
        write_back(b, &o.down, *part[0].dx);
        return true;
    }
    o.down.n_pack = 0;
    for (int32_t i = 0; i < o.down.n; i++) m[i] = pack(b, &o.down, i, false, BESIDE);
    start_packing(b, &o.down);
    spread_back(b, &o.down, m, *part[0].dx, part[0].add);
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
        k.grad[i] = i < 2 ? a->g.pair[at]->db.data : a->g.pair[at]->da.data;
    }
    k.scratch = cuda_space(b)->adapter_sums;
    const int64_t sums = (int64_t)ADAPTER_PARTS * k.low.slot * k.width;
    assert(k.low.slot > GATE_SLOTS ||
           gate_splits(k.low.n, k.width, k.low.slot) * sums <= cuda_space(b)->adapter_sums_max);
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

static bool take_gates_back(const backend *b, gate_adapters *a, const gate_block *g,
                            const back_part *down)
{
    return take_gates(b, a, g) && take_adapter(b, a, 2, down->adapter, down->dlow) &&
           (!down->adapter || cuda_adapter_fits(b, down->adapter, &down->low));
}

bool cuda_gates_add_b(const backend *b, const gate_block *g, const back_part *down)
{
    gate_adapters a = {0};
    return take_gates_back(b, &a, g, down) && a.g.slot <= GATE_SLOTS;
}

bool cuda_gates_back(backend *b, const gate_block *g, const back_part *down)
{
    gate_adapters a = {0};
    if (!take_gates_back(b, &a, g, down)) {
        gates_back_by_ops(b, g, down);
        return false;
    }
    const void *dy = cuda_factor(b, down->dy, cuda_space(b)->dy);
    outputs_back o = {.norm = NULL};
    group low;
    if (down->adapter) {
        group_add(&o.up, down->adapter, down->low), group_add(&o.down, down->adapter, down->dlow);
        o.rows[0] = o.whole[0] = (k_wide){(void *)(uintptr_t)dy, NULL, down->dy.dim[1]};
        outputs_to_low(b, &o, lows_back(b, &o, &low), cuda_adapter_turns_back(b, down, 1));
    }
    cuda_multiply_back(b, *down->dx, dy, down->w, false);
    k_gates k = gates_of(b, &a, g, 3);
    k.d_act = down->dx->data;
    if (a.g.n > 0) start_packing(b, &a.g);
    k_adapter_gates_back(cuda_of(b)->stream, &k);
    cuda_launched(b, "gates back");
    if (k.low.slot <= GATE_SLOTS) return true;
    if (down->adapter) grad_a(b, &low, g->act.data, g->act.dim[1], NULL);
    return false;
}
