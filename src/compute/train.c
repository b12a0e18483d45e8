/* train: see train.h. Checks shapes once, and puts the adapter pair and the loss together from
 * smaller ops; the devices rely on what is asserted here. */
#include "compute/train_table.h"

#include <assert.h>
#include <string.h>

bool train_lay_out(backend *b, const backend_shape *shape, arena *a, err *e)
{
    assert(b && b->ops && b->ops->train && shape);
    return b->ops->train->lay_out(b, shape, a, e);
}

static bool is_f32(const tensor *t) { return t->type == DTYPE_F32; }

static bool same_shape(const tensor *a, const tensor *b)
{
    return memcmp(a->dim, b->dim, sizeof a->dim) == 0;
}

static bool is_rows(const backend *b, const tensor *t)
{
    return t->type == DTYPE_F32 || t->type == b->rows;
}

static tensor as_rows(tensor x)
{
    x.rank = 2, x.dim[1] *= x.dim[2] * x.dim[3];
    x.dim[2] = x.dim[3] = 1;
    return x;
}

static void check_plan(const attend_tape *t, const attend_plan *plan)
{
    assert(same_shape(&t->o, &t->q) && same_shape(&t->k, &t->v));
    assert(t->q.rank == 3 && t->k.rank == 3 && t->q.dim[1] % t->k.dim[1] == 0);
    assert(t->k.dim[2] == t->q.dim[2] && t->log_sum_exp && t->q.type == t->k.type);
    for (int32_t i = 0; i < plan->n_span; i++) {
        const attend_span *s = &plan->span[i];
        assert(s->row >= 0 && s->count >= 0 && s->row + (int64_t)s->count <= t->q.dim[0]);
        for (int32_t r = s->first_range; r < s->first_range + s->n_range; r++) {
            assert(plan->range[r].slot >= 0 && plan->range[r].count >= 0);
            assert(plan->range[r].slot + (int64_t)plan->range[r].count <= t->k.dim[0]);
        }
    }
}

void op_attend_keep(backend *b, const attend_tape *t, const attend_plan *plan)
{
    check_plan(t, plan);
    if (t->q.dim[0] == 0 || plan->n_span == 0) return;
    b->ops->train->attend_keep(b, t, plan);
}

void op_attend_back(backend *b, const attend_tape *t, const attend_grad *g, const attend_plan *plan)
{
    check_plan(t, plan);
    assert(same_shape(&g->d_o, &t->o) && same_shape(&g->dq, &t->q) && b->train_space);
    assert(same_shape(&g->dk, &t->k) && same_shape(&g->dv, &t->v));
    assert(g->d_o.type == t->q.type && g->dq.type == t->q.type && g->dk.type == t->q.type);
    if (t->k.dim[0] == 0) return;
    b->ops->train->attend_back(b, t, g, plan);
}

void op_matmul_back(backend *b, tensor dx, tensor dy, tensor w, bool add)
{
    dx = as_rows(dx), dy = as_rows(dy);
    assert(is_rows(b, &dx) && is_rows(b, &dy) && w.rank == 2 && b->train_space);
    assert(dx.data != dy.data);
    assert(dx.dim[0] == dy.dim[0] && dx.dim[1] == w.dim[1] && dy.dim[1] == w.dim[0]);
    if (dx.dim[0] == 0) return;
    b->ops->train->matmul_back(b, dx, dy, w, add);
}

void op_weight_grad(backend *b, tensor dw, tensor dy, tensor x)
{
    dy = as_rows(dy), x = as_rows(x);
    assert(is_f32(&dw) && dw.rank == 2 && dy.dim[0] == x.dim[0] && b->train_space);
    assert(is_rows(b, &dy) && is_rows(b, &x));
    assert(dw.dim[0] == dy.dim[1] && dw.dim[1] == x.dim[1]);
    if (x.dim[0] == 0) return;
    b->ops->train->weight_grad(b, dw, dy, x);
}

void op_rmsnorm_keep(backend *b, tensor y, tensor kept, tensor x, norm_shape norm)
{
    assert(is_f32(&x) && y.type == b->rows && kept.type == b->rows && kept.data != x.data);
    assert(same_shape(&y, &x) && same_shape(&kept, &x) && norm.w.dim[0] == x.dim[x.rank - 1]);
    if (tensor_count(&x) == 0) return;
    if (b->ops->train->rmsnorm_keep) {
        b->ops->train->rmsnorm_keep(b, y, kept, x, &norm);
        return;
    }
    assert(!b->device);
    if (norm.adapter) op_matmul(b, x, norm.low, norm.adapter->b, NULL, true);
    memcpy(kept.data, x.data, (size_t)tensor_count(&x) * sizeof(float));
    op_rmsnorm(b, y, x, norm.w, norm.eps, norm.w_plus);
}

bool op_adds_parts(const backend *b) { return b->rows != DTYPE_F32; }

bool op_norm_adds(const backend *b) { return b->ops->train->rmsnorm_keep != NULL; }

void op_rmsnorm_back(backend *b, tensor dx, tensor dy, tensor x, norm_shape norm, bool add)
{
    assert(same_shape(&dx, &dy) && same_shape(&x, &dy) && dx.data != x.data);
    assert(is_rows(b, &dx) && is_rows(b, &dy) && is_rows(b, &x));
    assert(dx.type == dy.type || dx.data != dy.data);
    assert(norm.w.rank == 1 && norm.w.dim[0] == x.dim[x.rank - 1] && b->train_space);
    assert(!add || dx.data != dy.data);
    for (size_t i = 0; i < countof(norm.more); i++) {
        if (!norm.more[i].data) continue;
        assert(op_adds_parts(b) && dy.type == b->rows && norm.more[i].type == dy.type);
        assert(same_shape(&norm.more[i], &dy) && norm.more[i].data != dx.data);
    }
    if (tensor_count(&x) == 0) return;
    b->ops->train->rmsnorm_back(b, dx, dy, x, &norm, add);
}

void op_rope_back(backend *b, tensor dx, const int32_t *positions, tensor table, rope_style style)
{
    assert(is_rows(b, &dx) && dx.rank == 3 && table.dim[1] % 2 == 0 && table.dim[1] <= dx.dim[2]);
    if (tensor_count(&dx) == 0) return;
    assert(positions);
    b->ops->train->rope_back(b, dx, positions, table, style);
}

void op_glu_back(backend *b, tensor gate, tensor up, tensor dy, glu_kind kind)
{
    assert(same_shape(&gate, &up) && same_shape(&gate, &dy));
    assert(is_rows(b, &gate) && gate.type == up.type && gate.type == dy.type);
    if (tensor_count(&gate) == 0) return;
    b->ops->train->glu_back(b, gate, up, dy, kind);
}

void op_scale(backend *b, tensor y, float factor)
{
    assert(is_rows(b, &y));
    if (tensor_count(&y) == 0 || factor == 1) return;
    b->ops->train->scale(b, y, factor);
}

void op_zero(backend *b, tensor y)
{
    assert(is_rows(b, &y));
    if (tensor_count(&y) > 0) b->ops->train->zero(b, y);
}

void op_scatter_add(backend *b, tensor y, tensor x, const int32_t *rows)
{
    y = as_rows(y), x = as_rows(x);
    assert(y.dim[1] == x.dim[1] && y.data != x.data && is_rows(b, &y) && is_f32(&x));
    if (x.dim[0] == 0) return;
    assert(rows);
    b->ops->train->scatter_add(b, y, x, rows);
}

void lora_low_by_ops(backend *b, tensor low, tensor x, const lora_pair *pair)
{
    op_matmul(b, low, x, pair->a, NULL, false);
    op_scale(b, low, pair->scale);
}

void op_lora_low(backend *b, tensor low, tensor x, const lora_pair *pair)
{
    x = as_rows(x);
    assert(is_rows(b, &x) && is_rows(b, &low) && low.dim[0] == x.dim[0]);
    assert(low.dim[1] == pair->a.dim[0] && pair->a.dim[1] == x.dim[1]);
    if (x.dim[0] == 0) return;
    if (b->ops->train->lora_low) b->ops->train->lora_low(b, low, x, pair);
    else lora_low_by_ops(b, low, x, pair);
}

void op_lora(backend *b, tensor y, tensor x, const lora_pair *pair, tensor t)
{
    assert(pair->a.dim[0] == pair->b.dim[1] && t.dim[1] == pair->a.dim[0]);
    lora_low_by_ops(b, t, x, pair);
    op_matmul(b, y, t, pair->b, NULL, true);
}

void product_back_by_ops(backend *b, const back_part *p)
{
    if (p->dx) op_matmul_back(b, *p->dx, p->dy, p->w, p->add);
    if (!p->adapter) return;
    const lora_pair *pair = p->adapter;
    if (p->low.data) op_weight_grad(b, pair->db, p->dy, p->low);
    op_matmul_back(b, p->dlow, p->dy, pair->b, false);
    op_scale(b, p->dlow, pair->scale);
    op_weight_grad(b, pair->da, p->dlow, p->x);
    if (p->dx) op_matmul_back(b, *p->dx, p->dlow, pair->a, true);
}

void products_norm_x(backend *b, back_part *p, int n)
{
    const norm_shape *norm = p->normed;
    if (!norm) return;
    op_rmsnorm(b, p->h, p->x, norm->w, norm->eps, norm->w_plus);
    for (int i = 0; i < n; i++) p[i].x = p->h, p[i].normed = NULL;
}

void part_turn_back(backend *b, back_part *p)
{
    const rope_turn *turn = p->turn;
    tensor heads = p->dy;
    p->turn = NULL;
    if (!turn || !turn->table.data) return;
    heads.rank = 3, heads.dim[1] /= turn->head_dim, heads.dim[2] = turn->head_dim;
    op_rope_back(b, heads, turn->positions, turn->table, turn->style);
}

static void check_part(const backend *b, const back_part *p)
{
    const int64_t n = p->dy.dim[0];
    assert(is_rows(b, &p->dy) && is_rows(b, &p->x) && p->x.dim[0] == n);
    assert(p->w.rank == 2 && p->dy.dim[1] == p->w.dim[0] && p->x.dim[1] == p->w.dim[1]);
    if (p->dx) {
        assert(is_rows(b, p->dx) && same_shape(p->dx, &p->x));
        assert(p->dx->data != p->dy.data && p->dx->data != p->x.data);
    }
    if (!p->adapter) return;
    const lora_pair *pair = p->adapter;
    assert(pair->da.data && pair->db.data && pair->a.dim[0] == pair->b.dim[1]);
    assert(pair->a.dim[1] == p->w.dim[1] && pair->b.dim[0] == p->w.dim[0]);
    assert(is_rows(b, &p->low) && is_rows(b, &p->dlow));
    assert(p->low.dim[0] == n && p->low.dim[1] == pair->a.dim[0]);
    assert(same_shape(&p->low, &p->dlow) && p->low.data != p->dlow.data);
}

void op_products_back(backend *b, const back_part *p, int n)
{
    const train_table *ops = b->ops->train;
    back_part flat[ADAPTER_PARTS_MAX];
    tensor dx[ADAPTER_PARTS_MAX] = {0};
    assert(n >= 1 && n <= ADAPTER_PARTS_MAX && b->train_space);
    for (int i = 0; i < n; i++) {
        flat[i] = p[i];
        flat[i].dy = as_rows(p[i].dy), flat[i].x = as_rows(p[i].x);
        assert(!p->dx == !p[i].dx);
        if (p->dx) dx[i] = as_rows(*p[i].dx), flat[i].dx = &dx[i];
        if (dx[i].data == dx[0].data) flat[i].add = p->add || i > 0;
        check_part(b, &flat[i]);
        assert(flat[i].x.data == flat[0].x.data && flat[i].x.dim[0] == flat[0].x.dim[0]);
        assert(flat[i].normed == flat[0].normed);
    }
    if (flat[0].dy.dim[0] == 0) return;
    if (ops->group_back) {
        ops->group_back(b, flat, n);
        return;
    }
    products_norm_x(b, flat, n);
    for (int i = 0; i < n; i++) part_turn_back(b, &flat[i]);
    for (int i = 0; i < n; i++) {
        if (ops->product_back) ops->product_back(b, &flat[i]);
        else product_back_by_ops(b, &flat[i]);
    }
}

void op_product_back(backend *b, const back_part *p) { op_products_back(b, p, 1); }

void matmul_turned_by_ops(backend *b, tensor x, const matmul_part *part, const rope_turn *turn,
                          int n)
{
    op_matmul_group(b, x, part, n);
    for (int i = 0; i < n; i++) {
        tensor heads = part[i].y;
        if (!turn[i].table.data) continue;
        heads.rank = 3, heads.dim[1] /= turn[i].head_dim, heads.dim[2] = turn[i].head_dim;
        op_rope(b, heads, turn[i].positions, turn[i].table, turn[i].style);
    }
}

void op_matmul_turned(backend *b, tensor x, const matmul_part *part, const rope_turn *turn, int n)
{
    assert(n >= 1 && n <= ADAPTER_PARTS_MAX);
    for (int i = 0; i < n; i++) {
        assert(part[i].y.rank == 2);
        assert(!turn[i].table.data || part[i].y.dim[1] % turn[i].head_dim == 0);
    }
    if (b->ops->train->matmul_turned && x.dim[0] > 0)
        b->ops->train->matmul_turned(b, x, part, turn, n);
    else matmul_turned_by_ops(b, x, part, turn, n);
}

void gates_by_ops(backend *b, tensor x, const gate_block *g)
{
    const matmul_part part[2] = {g->gate, g->up};
    op_matmul_group(b, x, part, 2);
    op_glu(b, g->act, g->gate.y, g->up.y, g->kind);
}

void op_gates(backend *b, tensor x, const gate_block *g)
{
    assert(same_shape(&g->gate.y, &g->up.y) && same_shape(&g->act, &g->up.y));
    if (b->ops->train->gates && x.dim[0] > 0) b->ops->train->gates(b, x, g);
    else gates_by_ops(b, x, g);
}

void gates_back_by_ops(backend *b, const gate_block *g, const back_part *down)
{
    op_glu(b, g->act, g->gate.y, g->up.y, g->kind);
    op_product_back(b, down);
    op_glu_back(b, g->gate.y, g->up.y, *down->dx, g->kind);
}

bool op_gates_back(backend *b, const gate_block *g, const back_part *down)
{
    assert(down->dx && !down->add && down->x.data == g->act.data);
    check_part(b, down);
    if (b->ops->train->gates_back && down->dy.dim[0] > 0)
        return b->ops->train->gates_back(b, g, down);
    gates_back_by_ops(b, g, down);
    return false;
}

/* Rows [from, from + n) of a matrix, in place. */
static tensor rows_of(tensor w, int64_t from, int64_t n)
{
    int64_t row_bytes = 0;
    bool whole = dtype_row_bytes(w.type, w.dim[1], &row_bytes);
    assert(whole && from + n <= w.dim[0]);
    w.data = (unsigned char *)w.data + from * row_bytes;
    w.dim[0] = n;
    return w;
}

double op_answer_loss(backend *b, tensor dx, tensor x, tensor w, const loss_rows *l)
{
    assert(same_shape(&dx, &x) && dx.data != x.data && x.dim[1] == w.dim[1]);
    assert(l->chunk_ids > 0 && l->target && l->weight && l->one_each);
    const int64_t m = x.dim[0], n_vocab = w.dim[0];
    if (m == 0) return 0;
    head_request want = {.pick_start = l->one_each, .pick_id = l->target, .softcap = l->softcap};
    head_result got = {.log_sum_exp = l->log_sum_exp, .pick_logit = l->logit};
    op_head(b, x, w, &want, &got);
    for (int64_t first = 0; first < n_vocab; first += l->chunk_ids) {
        int64_t n = n_vocab - first < l->chunk_ids ? n_vocab - first : l->chunk_ids;
        tensor part = rows_of(w, first, n), logits = tensor_f32(l->chunk, m, n);
        op_matmul(b, logits, x, part, NULL, false);
        b->ops->train->softmax_back(b, logits, l, first);
        op_matmul_back(b, dx, logits, part, first > 0);
    }
    double sum = 0;
    for (int64_t i = 0; i < m; i++) {
        sum += (double)l->weight[i] * (l->log_sum_exp[i] - (double)l->logit[i]);
    }
    return sum;
}

double op_sum_squares(backend *b, const float *x, int64_t n)
{
    assert(x && n >= 0 && b->train_space);
    return n ? b->ops->train->sum_squares(b, x, n) : 0;
}

void op_adamw(backend *b, const adamw_state *s, const adamw_step *step)
{
    assert(s->value && s->grad && s->first && s->second && step->number >= 1);
    if (s->n > 0) b->ops->train->adamw(b, s, step);
}
