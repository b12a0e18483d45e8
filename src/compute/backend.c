/* backend: see backend.h. Opens a device's table and checks the shapes of every call once, here;
 * the devices rely on what is asserted in this file. */
#include "compute/backend.h"
#include "compute/cache.h"
#include "compute/cpu/cpu.h"
#include "compute/cuda/cuda.h"
#include "compute/device.h"
#include "compute/draw.h"
#include "compute/ref/ref.h"
#include "compute/train.h"
#include "compute/weave.h"

#include <assert.h>
#include <string.h>

enum { HEAD_DIM_MAX = 256 };

static const char devices[] = /* for messages */
    "auto, cpu, cpu:int16, cpu:avx2, cpu:avx512, ref, cuda, cuda:N (also cuda:N:bf16x3, "
    "cuda:N:fp32) or several, like cuda:0,1";

static bool open_as(backend *b, const op_table *ops, const char *isa)
{
    b->ops = ops;
    b->isa = isa;
    return true;
}

/* The ways of the CPU, best first of those that a name stands for. */
static const struct {
    const char *name, *isa;
    bool int16;
    bool (*is_here)(void);
    const op_table *ops;
} cpus[] = {
    {"cpu:avx512", "avx512", false, cpu_has_avx512, &cpu_ops_avx512},
    {"cpu:avx2", "avx2", false, cpu_has_avx2, &cpu_ops_avx2},
    {"cpu:avx512:int16", "avx512", true, cpu_has_vnni, &cpu_ops_avx512_int16},
    {"cpu:avx2:int16", "avx2", true, cpu_has_avx2, &cpu_ops_avx2_int16},
};

static bool open_cpu(backend *b, const char *device, err *e)
{
    const bool any = !strcmp(device, "cpu"), any_int16 = !strcmp(device, "cpu:int16");
    bool known = any || any_int16;
    for (size_t i = 0; i < countof(cpus); i++) {
        const bool meant = cpus[i].int16 ? any_int16 : any;
        if (!meant && strcmp(device, cpus[i].name) != 0) continue;
        if (cpus[i].is_here()) return open_as(b, cpus[i].ops, cpus[i].isa);
        known = true;
    }
    if (any) return open_as(b, &ref_ops, "ref");
    if (known)
        return err_set(e, ERR_RESOURCE, "this machine cannot run device \"%s\"; try --device cpu",
                       device);
    return err_set(e, ERR_USAGE, "unknown device \"%s\"; choose %s", device, devices);
}

bool backend_open(backend *b, const char *device, pool *threads, err *e)
{
    assert(b && device && threads);
    *b = (backend){.threads = threads, .rows = DTYPE_F32};
    if (!strcmp(device, "auto")) device = cuda_count() > 0 ? "cuda" : "cpu";
    if (!strncmp(device, "cuda", 4) && (!device[4] || device[4] == ':')) {
        return cuda_open(b, device, e);
    }
    if (!strcmp(device, "ref")) return open_as(b, &ref_ops, "ref");
    return open_cpu(b, device, e);
}

void backend_close(backend *b)
{
    if (b->device) b->device->close(b);
    *b = (backend){0};
}

bool backend_lay_out(backend *b, const backend_shape *shape, arena *a, err *e)
{
    assert(b && b->ops && shape && a && e);
    assert(shape->rows >= 0 && shape->d_model > 0 && shape->head_rows >= 0);
    assert(shape->head_dim <= HEAD_DIM_MAX);
    return b->ops->lay_out(b, shape, a, e);
}

bool backend_sync(backend *b, err *e)
{
    assert(b && e);
    if (b->device) b->device->sync(b);
    if (b->failure.code == ERR_NONE) return true;
    return err_set(e, b->failure.code, "%s", b->failure.text);
}

static bool is_f32(const tensor *t) { return t->type == DTYPE_F32; }

static bool is_rows(const backend *b, const tensor *t)
{
    return t->type == DTYPE_F32 || t->type == b->rows;
}

static bool same_shape(const tensor *a, const tensor *b)
{
    return memcmp(a->dim, b->dim, sizeof a->dim) == 0;
}

static bool is_weight(const tensor *w, int rank)
{
    return w->data && w->rank == rank && !dtype_is_raw(w->type) &&
           w->dim[rank - 1] % dtype_get(w->type)->block_size == 0;
}

/* [n, the rest] */
static tensor as_rows(tensor x)
{
    int64_t columns = x.dim[1] * x.dim[2] * x.dim[3];
    x.rank = 2;
    x.dim[1] = columns;
    x.dim[2] = x.dim[3] = 1;
    return x;
}

void op_embed(backend *b, tensor y, tensor w, const int32_t *ids, float scale)
{
    assert(is_f32(&y) && is_weight(&w, 2) && y.dim[1] == w.dim[1]);
    if (y.dim[0] == 0) return;
    assert(ids);
    b->ops->embed(b, y, w, ids, scale);
}

void op_rmsnorm(backend *b, tensor y, tensor x, tensor w, float eps, float w_plus)
{
    assert(is_rows(b, &x) && is_rows(b, &y) && same_shape(&x, &y) && b->workspace);
    assert(is_weight(&w, 1) && x.dim[x.rank - 1] == w.dim[0]);
    if (tensor_count(&x) == 0) return;
    b->ops->rmsnorm(b, y, x, w, eps, w_plus);
}

void op_matmul(backend *b, tensor y, tensor x, tensor w, const tensor *bias, bool add)
{
    matmul_part part = {.y = y, .w = w, .bias = bias, .add = add};
    op_matmul_group(b, x, &part, 1);
}

static int check_adapter(const backend *b, const matmul_part *p, int64_t n)
{
    const lora_pair *pair = p->adapter;
    if (!pair) return 0;
    assert(is_f32(&pair->a) && is_f32(&pair->b) && pair->a.dim[0] == pair->b.dim[1]);
    assert(pair->a.dim[1] == p->w.dim[1] && pair->b.dim[0] == p->w.dim[0]);
    assert(is_rows(b, &p->low) && p->low.dim[0] == n && p->low.dim[1] == pair->a.dim[0]);
    return 1;
}

bool backend_weaves(const backend *b, dtype type) { return b->ops->weaves && b->ops->weaves(type); }

void backend_weave(backend *b, tensor *w, void *to)
{
    assert(is_weight(w, 2) && !w->woven && backend_weaves(b, w->type) && to != w->data);
    b->ops->weave(b, *w, to);
    w->data = to;
    w->woven = true;
}

void op_matmul_group(backend *b, tensor x, const matmul_part *part, int n_part)
{
    assert(is_rows(b, &x) && n_part >= 1 && n_part <= MATMUL_PARTS_MAX && b->workspace);
    x = as_rows(x);
    if (x.dim[0] == 0) return;
    matmul_part flat[MATMUL_PARTS_MAX];
    int n_adapter = 0;
    for (int i = 0; i < n_part; i++) {
        flat[i] = part[i];
        flat[i].y = as_rows(part[i].y);
        const tensor *y = &flat[i].y, *w = &flat[i].w;
        assert(is_rows(b, y) && is_weight(w, 2) && x.dim[1] == w->dim[1]);
        assert(y->dim[0] == x.dim[0] && y->dim[1] == w->dim[0] && y->data != x.data);
        assert(!part[i].bias || (is_weight(part[i].bias, 1) && part[i].bias->dim[0] == w->dim[0]));
        n_adapter += check_adapter(b, &flat[i], x.dim[0]);
    }
    assert(n_adapter <= ADAPTER_PARTS_MAX);
    b->ops->matmul(b, x, flat, n_part);
    for (int i = 0; i < n_part && !b->ops->adapts; i++) {
        if (flat[i].adapter) op_lora(b, flat[i].y, x, flat[i].adapter, flat[i].low);
    }
}

void op_rope(backend *b, tensor x, const int32_t *positions, tensor table, rope_style style)
{
    assert(is_rows(b, &x) && x.rank == 3 && is_f32(&table) && table.rank == 2);
    assert(table.dim[1] > 0 && table.dim[1] % 2 == 0 && table.dim[1] <= x.dim[2]);
    if (tensor_count(&x) == 0) return;
    assert(positions);
    b->ops->rope(b, x, positions, table, style);
}

void op_attend(backend *b, tensor o, tensor q, tensor k, tensor v, const attend_plan *plan)
{
    assert(is_rows(b, &o) && o.type == q.type && plan && b->workspace);
    assert(is_rows(b, &k) && k.type == v.type && k.type == q.type);
    assert(q.rank == 3 && same_shape(&o, &q) && k.rank == 3 && same_shape(&k, &v));
    assert(k.dim[2] == q.dim[2] && q.dim[1] % k.dim[1] == 0 && q.dim[2] <= HEAD_DIM_MAX);
    for (int32_t i = 0; i < plan->n_span; i++) {
        const attend_span *s = &plan->span[i];
        assert(s->row >= 0 && s->count >= 0 && s->row + (int64_t)s->count <= q.dim[0]);
        for (int32_t r = 0; r < s->n_range; r++) {
            const attend_range *range = &plan->range[s->first_range + r];
            assert(range->slot >= 0 && range->count >= 0);
            assert(range->slot + (int64_t)range->count <= k.dim[0]);
        }
    }
    if (tensor_count(&q) == 0 || plan->n_span == 0) return;
    b->ops->attend(b, o, q, k, v, plan);
}

void op_glu(backend *b, tensor y, tensor gate, tensor up, glu_kind kind)
{
    assert(is_rows(b, &y) && y.type == gate.type && y.type == up.type);
    assert(same_shape(&y, &gate) && same_shape(&y, &up));
    if (tensor_count(&y) == 0) return;
    b->ops->glu(b, y, gate, up, kind);
}

void op_add(backend *b, tensor y, tensor x)
{
    assert(is_rows(b, &y) && is_rows(b, &x) && same_shape(&y, &x));
    if (tensor_count(&y) == 0) return;
    b->ops->add(b, y, x);
}

void op_gather(backend *b, tensor y, tensor x, const int32_t *rows)
{
    y = as_rows(y), x = as_rows(x);
    assert(is_rows(b, &y) && y.type == x.type && y.dim[1] == x.dim[1]);
    if (tensor_count(&y) == 0) return;
    assert(rows && y.data != x.data);
    b->ops->gather(b, y, x, rows);
}

void op_scatter(backend *b, tensor y, tensor x, const int32_t *rows)
{
    y = as_rows(y), x = as_rows(x);
    assert(is_rows(b, &y) && y.type == x.type && y.dim[1] == x.dim[1]);
    if (tensor_count(&x) == 0) return;
    assert(rows && y.data != x.data);
    b->ops->scatter(b, y, x, rows);
}

static void cache_by_ops(backend *b, const cache_rows *c)
{
    if (c->q.data) op_rope(b, c->q, c->position, c->table, c->style);
    op_rope(b, c->k, c->position, c->table, c->style);
    op_scatter(b, c->key, c->k, c->slot);
    op_scatter(b, c->value, c->v, c->slot);
}

void op_cache(backend *b, const cache_rows *c)
{
    assert(is_rows(b, &c->k) && c->k.rank == 3 && c->k.type == c->v.type);
    assert(same_shape(&c->k, &c->v) && same_shape(&c->key, &c->value));
    assert(c->key.type == c->k.type && c->value.type == c->k.type && c->key.rank == 3);
    assert(c->key.dim[1] == c->k.dim[1] && c->key.dim[2] == c->k.dim[2]);
    assert(c->table.rank == 2 && c->table.dim[1] % 2 == 0 && c->table.dim[1] <= c->k.dim[2]);
    assert(!c->q.data || (c->q.rank == 3 && c->q.type == c->k.type && c->q.dim[0] == c->k.dim[0]));
    assert(!c->q.data || c->q.dim[2] == c->k.dim[2]);
    if (tensor_count(&c->k) == 0) return;
    if (b->ops->cache && c->k.dim[2] % 2 == 0) b->ops->cache(b, c);
    else cache_by_ops(b, c);
}

void op_head(backend *b, tensor x, tensor w, const head_request *want, head_result *got)
{
    assert(is_rows(b, &x) && is_weight(&w, 2) && x.dim[1] == w.dim[1] && b->workspace);
    assert(want && got && want->n_top >= 0 && want->n_top <= HEAD_TOP_MAX);
    assert(want->n_top <= w.dim[0]);
    if (x.dim[0] == 0) return;
    assert(want->pick_start && got->log_sum_exp);
    assert(want->n_top == 0 || (got->top_id && got->top_logit));
    b->ops->head(b, x, w, want, got);
}

bool op_can_draw(const backend *b) { return b->ops->draw; }

void op_draw(backend *b, tensor logits, const draw_request *want)
{
    assert(op_can_draw(b) && b->workspace && logits.type == DTYPE_F32 && logits.rank == 2);
    assert(want->n == logits.dim[0] && logits.dim[1] > 0);
    if (want->n > 0) b->ops->draw(b, logits, want);
}
