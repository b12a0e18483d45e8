/* backward: a layer in training, both ways; see trainer.h for what is kept. Forward as in
 * forward.c. On the way back, for the gradient dx [n,d] of the layer's output:
 *
 *     feed-forward   d_act = dx Wdown   d_gate, d_up   dh = d_gate Wgate + d_up Wup
 *                    dx += norm'(dh)
 *     attention      d_o = dx Wo   dq, dk, dv   dh = dq Wq + dk Wk + dv Wv
 *                    dx += norm'(dh)
 *
 * with each adapter's dA and dB beside its product. In the last layer only the out rows have
 * queries. */
#include "model/backward_in.h"

#include <assert.h>

typedef struct layer_at { /* one layer of one micro-batch */
    trainer *t;
    const train_batch *b;
    const model_config *c;
    const layer_weights *w;
    layer_keep *keep;
    int32_t layer, n, m; /* rows; rows that go on after K/V */
    bool last;
    const int32_t *position; /* [m] */
    attend_plan plan;        /* of the m rows */
} layer_at;

static layer_at layer_of(trainer *t, const train_batch *b, int32_t i)
{
    const model_config *c = t->model->config;
    layer_at l = {.t = t, .b = b, .c = c, .keep = &t->keep[i], .layer = i, .n = b->n_row};
    l.w = &t->model->weights.layer[i];
    l.last = i == c->n_layer - 1;
    l.m = l.last ? b->n_out : b->n_row;
    l.position = l.last ? t->out_position : b->position;
    l.plan = (attend_plan){.span = l.last ? t->out_span : b->span,
                           .range = b->range,
                           .n_span = l.last ? b->n_out : b->n_span,
                           .scale = c->query_scale,
                           .softcap = c->softcap_attention,
                           .window = c->layer_is_local[i] ? c->window : 0};
    return l;
}

static tensor d_rows(const layer_at *l, float *x, int32_t n)
{
    return tensor_f32(x, n, l->c->d_model);
}

/* In the backend's own type. */
static tensor rows_of(const layer_at *l, void *x, int64_t n, int64_t width)
{
    return (tensor){.data = x, .type = l->t->backend->rows, .rank = 2, .dim = {n, width, 1, 1}};
}

static tensor heads_of(const layer_at *l, void *x, int64_t n, int64_t heads)
{
    tensor t = rows_of(l, x, n, heads);
    t.rank = 3, t.dim[2] = l->c->head_dim;
    return t;
}

static tensor h_rows(const layer_at *l, void *x, int32_t n)
{
    return rows_of(l, x, n, l->c->d_model);
}

static tensor f_rows(const layer_at *l, void *x) { return rows_of(l, x, l->m, l->c->d_ff); }
static tensor q_heads(const layer_at *l, void *x) { return heads_of(l, x, l->m, l->c->n_head); }

static tensor kv_heads(const layer_at *l, void *x) { return heads_of(l, x, l->n, l->c->n_head_kv); }

static tensor flat(tensor t)
{
    t.rank = 2, t.dim[1] *= t.dim[2], t.dim[2] = 1;
    return t;
}

static const tensor *bias_of(const tensor *t) { return t->data ? t : NULL; }

static void norm_rows(const layer_at *l, tensor y, tensor x, tensor w)
{
    op_rmsnorm(l->t->backend, y, x, w, l->c->norm_eps, l->c->norm_plus);
}

/* h = norm(x) of the stream, which stays in `kept` as well; x gets what it still lacks. */
static void norm_stream(const layer_at *l, tensor h, void *kept, tensor x, norm_shape norm)
{
    trainer *t = l->t;
    norm.adapter = t->pending_low.data ? &t->pending_pair : NULL, norm.low = t->pending_low;
    op_rmsnorm_keep(t->backend, h, h_rows(l, kept, (int32_t)x.dim[0]), x, norm);
    t->pending_low = (tensor){0};
}

static norm_shape norm_of(const layer_at *l, tensor w, float *scale)
{
    return (norm_shape){.w = w, .eps = l->c->norm_eps, .w_plus = l->c->norm_plus, .scale = scale};
}

/* The gradient of a norm's output in the stream, of n products: one sum, or a part of each. */
static void take_dh(const layer_at *l, tensor dh[ADAPTER_PARTS_MAX], int32_t rows)
{
    const backend *b = l->t->backend;
    const size_t each = (size_t)l->t->shape.rows * (size_t)l->c->d_model;
    for (int i = 0; i < ADAPTER_PARTS_MAX; i++) {
        dh[i] = d_rows(l, l->t->dh, rows);
        if (!op_adds_parts(b)) continue;
        const size_t at = (size_t)i * each * (size_t)dtype_get(b->rows)->block_bytes;
        dh[i] = h_rows(l, (char *)l->t->dh + at, rows);
    }
}

/* The gradient of the stream goes through one of its norms. */
static void stream_back(const layer_at *l, tensor dx, const tensor *dh, int n, tensor x, tensor w)
{
    norm_shape norm = norm_of(l, w, NULL);
    for (int i = 1; i < n && op_adds_parts(l->t->backend); i++) norm.more[i - 1] = dh[i];
    op_rmsnorm_back(l->t->backend, dx, dh[0], x, norm, true);
}

static void norm_back(const layer_at *l, tensor dx, tensor dy, tensor x, tensor w)
{
    op_rmsnorm_back(l->t->backend, dx, dy, x,
                    (norm_shape){.w = w, .eps = l->c->norm_eps, .w_plus = l->c->norm_plus}, false);
}

static rope_turn turn_of(const layer_at *l, const int32_t *position)
{
    float *table = l->c->layer_is_local[l->layer] ? l->t->rope_local : l->t->rope_global;
    return (rope_turn){.positions = position,
                       .table = tensor_f32(table, l->t->shape.positions, l->c->rotary_dim),
                       .style = l->c->from_gguf ? l->c->family->rope_gguf : l->c->family->rope_hf,
                       .head_dim = l->c->head_dim};
}

static void rotate(const layer_at *l, tensor x, const int32_t *position, bool back)
{
    const rope_turn turn = turn_of(l, position);
    if (back) op_rope_back(l->t->backend, x, position, turn.table, turn.style);
    else op_rope(l->t->backend, x, position, turn.table, turn.style);
}

/* y = x w^T with its adapter, whose pair is put into `pair`. */
static matmul_part part_of(const layer_at *l, lora_target target, tensor y, lora_pair *pair)
{
    const layer_weights *w = l->w;
    const tensor *all[LORA_TARGETS] = {&w->q, &w->k, &w->v, &w->o, &w->gate, &w->up, &w->down};
    const tensor *bias[LORA_TARGETS] = {&w->q_bias,    &w->k_bias,  &w->v_bias,   &w->o_bias,
                                        &w->gate_bias, &w->up_bias, &w->down_bias};
    matmul_part part = {.y = y, .w = *all[target], .bias = bias_of(bias[target])};
    if (!lora_pair_of(l->t->adapter, l->t->grad, l->layer, target, pair)) return part;
    part.adapter = pair;
    part.low = rows_of(l, l->keep->low[target], y.dim[0], pair->a.dim[0]);
    return part;
}

typedef struct input_back { /* of products: rows, or those and their norm, for which h is scratch */
    tensor x, h;
    const norm_shape *norm;
} input_back;

typedef struct way_back { /* through one product */
    lora_target target;
    tensor dy;
    bool b_done;           /* its dB has been added to already */
    const rope_turn *turn; /* dy turns back first; NULL: not here */
} way_back;

/* `i`: of those that go at once. */
static back_part back_of(const layer_at *l, way_back way, int i, const tensor *dx, tensor x,
                         lora_pair *pair)
{
    const int64_t rank = l->t->adapter->config.rank, rows = l->t->shape.rows;
    const matmul_part forward = part_of(l, way.target, way.dy, pair);
    back_part part = {.dy = way.dy, .x = x, .w = forward.w, .dx = dx};
    if (!forward.adapter) return part;
    part.adapter = pair;
    part.low = forward.low;
    if (way.b_done) part.low.data = NULL;
    part.dlow = rows_of(l, l->t->dlow, x.dim[0], rank);
    part.dlow.data =
        (char *)l->t->dlow + i * rows * rank * dtype_get(l->t->backend->rows)->block_bytes;
    return part;
}

/* The way back through products of one x and their adapters: the sum of the n dx is that of their
 * dy W; NULL: not wanted. */
static void products_back(const layer_at *l, const way_back *way, int n, const tensor *dx,
                          input_back input)
{
    lora_pair pair[ADAPTER_PARTS_MAX];
    back_part part[ADAPTER_PARTS_MAX];
    for (int i = 0; i < n; i++) {
        part[i] = back_of(l, way[i], i, dx ? &dx[i] : NULL, input.x, &pair[i]);
        part[i].normed = input.norm, part[i].h = input.h, part[i].turn = way[i].turn;
    }
    op_products_back(l->t->backend, part, n);
}

static void copy_rows(const layer_at *l, tensor y, tensor x)
{
    op_gather(l->t->backend, y, x, l->t->count_up);
}

/* Does the next norm of x add what the adapter of the target makes? Not where x is read before. */
static bool leaves(const layer_at *l, lora_target target)
{
    if (!op_norm_adds(l->t->backend)) return false;
    return target == LORA_O || (!l->last && !l->t->keep[l->layer + 1].full);
}

/* x += w(input), through the block's own norm where the family has one; `out` keeps its input. */
static void add_block(const layer_at *l, lora_target target, tensor x, tensor input, float *kept)
{
    const bool attention = target == LORA_O;
    const layer_weights *w = l->w;
    const tensor *post = attention ? &w->post_attn_norm : &w->post_ffn_norm;
    tensor out = post->data ? d_rows(l, kept, l->m) : x;
    lora_pair pair;
    matmul_part part = part_of(l, target, out, &pair);
    part.add = !post->data;
    if (part.add && part.adapter && leaves(l, target)) {
        op_lora_low(l->t->backend, part.low, input, &pair);
        l->t->pending_low = part.low, l->t->pending_pair = pair;
        part.adapter = NULL;
    }
    op_matmul_group(l->t->backend, input, &part, 1);
    if (!post->data) return;
    tensor normed = h_rows(l, l->t->normed, l->m);
    norm_rows(l, normed, out, *post);
    op_add(l->t->backend, x, normed);
}

/* Queries and keys as attention sees them. */
static attend_tape tape_of(const layer_at *l)
{
    const layer_keep *keep = l->keep;
    attend_tape tape = {.q = q_heads(l, keep->query),
                        .o = q_heads(l, keep->attended),
                        .k = kv_heads(l, keep->key),
                        .v = kv_heads(l, keep->value),
                        .log_sum_exp = keep->log_sum_exp};
    if (!l->w->q_norm.data) return tape;
    tensor q = q_heads(l, l->t->query), k = kv_heads(l, l->t->key);
    norm_rows(l, q, tape.q, l->w->q_norm);
    norm_rows(l, k, tape.k, l->w->k_norm);
    rotate(l, q, l->position, false);
    rotate(l, k, l->b->position, false);
    tape.q = q, tape.k = k;
    return tape;
}

static void project(const layer_at *l, tensor x)
{
    trainer *t = l->t;
    const layer_weights *w = l->w;
    tensor h = h_rows(l, t->normed, l->n), out_h = h;
    tensor k = flat(kv_heads(l, l->keep->key)), v = flat(kv_heads(l, l->keep->value));
    tensor q = flat(q_heads(l, l->keep->query));
    norm_stream(l, h, l->keep->x, x, norm_of(l, w->attn_norm, l->keep->x_scale));
    lora_pair pair[3];
    const matmul_part part[3] = {part_of(l, LORA_K, k, &pair[0]), part_of(l, LORA_V, v, &pair[1]),
                                 part_of(l, LORA_Q, q, &pair[2])};
    rope_turn turn[3] = {turn_of(l, l->b->position), {0}, turn_of(l, l->position)};
    if (w->q_norm.data) turn[0] = turn[2] = (rope_turn){0};
    op_matmul_turned(t->backend, h, part, turn, l->last ? 2 : 3);
    if (!l->last) return;
    out_h = h_rows(l, t->out_normed, l->m);
    op_gather(t->backend, out_h, h, l->b->out_row);
    op_matmul_turned(t->backend, out_h, &part[2], &turn[2], 1);
}

/* A rerun's last want: what the adapter of the last product keeps of its input. */
static void reduce_again(const layer_at *l, tensor act)
{
    lora_pair pair;
    const matmul_part part = part_of(l, LORA_DOWN, d_rows(l, l->t->dh, l->m), &pair);
    if (part.adapter) op_lora_low(l->t->backend, part.low, act, &pair);
}

static gate_block gates_of(const layer_at *l, lora_pair pair[2])
{
    return (gate_block){.gate = part_of(l, LORA_GATE, f_rows(l, l->keep->gate), &pair[0]),
                        .up = part_of(l, LORA_UP, f_rows(l, l->keep->up), &pair[1]),
                        .act = f_rows(l, l->t->act),
                        .kind = l->c->family->glu};
}

void layer_forward(trainer *t, const train_batch *b, int32_t i, bool again)
{
    layer_at at = layer_of(t, b, i), *l = &at;
    const layer_weights *w = l->w;
    tensor x = d_rows(l, t->x, l->n);
    if (again) copy_rows(l, x, d_rows(l, l->keep->full, l->n));
    else if (l->keep->full) copy_rows(l, d_rows(l, l->keep->full, l->n), x);
    project(l, x);
    attend_tape tape = tape_of(l);
    op_attend_keep(t->backend, &tape, &l->plan);
    if (l->last) {
        tensor out = d_rows(l, t->out_x, l->m);
        op_gather(t->backend, out, x, b->out_row);
        x = out;
    }
    add_block(l, LORA_O, x, flat(tape.o), l->keep->attn_out);
    tensor h = h_rows(l, t->normed, l->m);
    norm_stream(l, h, l->keep->middle, x, norm_of(l, w->ffn_norm, l->keep->middle_scale));
    lora_pair pair[2];
    const gate_block gates = gates_of(l, pair);
    op_gates(t->backend, h, &gates);
    if (again && !w->post_ffn_norm.data) reduce_again(l, gates.act);
    else add_block(l, LORA_DOWN, x, gates.act, l->keep->ffn_out);
}

static void feed_forward_back(const layer_at *l, tensor dx)
{
    trainer *t = l->t;
    const layer_weights *w = l->w;
    tensor dact = f_rows(l, t->dact), middle = h_rows(l, l->keep->middle, l->m);
    tensor h = h_rows(l, t->normed, l->m), dy = dx, dh[ADAPTER_PARTS_MAX];
    take_dh(l, dh, l->m);
    if (w->post_ffn_norm.data) {
        dy = d_rows(l, t->dh, l->m);
        norm_back(l, dy, dx, d_rows(l, l->keep->ffn_out, l->m), w->post_ffn_norm);
    }
    lora_pair pair[3];
    const gate_block gates = gates_of(l, pair);
    const back_part down =
        back_of(l, (way_back){.target = LORA_DOWN, .dy = dy}, 0, &dact, gates.act, &pair[2]);
    const bool done = op_gates_back(t->backend, &gates, &down);
    const norm_shape norm = norm_of(l, w->ffn_norm, l->keep->middle_scale);
    const way_back way[] = {{LORA_GATE, gates.gate.y, done, NULL},
                            {LORA_UP, gates.up.y, done, NULL}};
    products_back(l, way, 2, dh, (input_back){middle, h, &norm});
    stream_back(l, dx, dh, 2, middle, w->ffn_norm);
}

/* dq, dk, dv of the products' outputs, from the gradient of the block's output. */
static void attention_back(const layer_at *l, tensor dx)
{
    trainer *t = l->t;
    const layer_weights *w = l->w;
    attend_tape tape = tape_of(l);
    attend_grad grad = {.d_o = q_heads(l, t->d_o),
                        .dq = q_heads(l, t->dq),
                        .dk = kv_heads(l, t->dk),
                        .dv = kv_heads(l, t->dv)};
    tensor dy = dx, d_o = flat(grad.d_o);
    if (w->post_attn_norm.data) {
        dy = d_rows(l, t->dh, l->m);
        norm_back(l, dy, dx, d_rows(l, l->keep->attn_out, l->m), w->post_attn_norm);
    }
    products_back(l, &(way_back){.target = LORA_O, .dy = dy}, 1, &d_o,
                  (input_back){.x = flat(tape.o)});
    op_attend_back(t->backend, &tape, &grad, &l->plan);
    if (!w->q_norm.data) return; /* project_back turns them */
    rotate(l, grad.dq, l->position, true);
    rotate(l, grad.dk, l->b->position, true);
    norm_back(l, grad.dq, grad.dq, q_heads(l, l->keep->query), w->q_norm);
    norm_back(l, grad.dk, grad.dk, kv_heads(l, l->keep->key), w->k_norm);
}

/* dh of the rows that K and V (and, but in the last layer, q) were made of, and t->dx. */
static void project_back(const layer_at *l)
{
    trainer *t = l->t;
    tensor h = h_rows(l, t->normed, l->n), x = h_rows(l, l->keep->x, l->n);
    tensor dh[ADAPTER_PARTS_MAX], out_dh = d_rows(l, t->out_dh, l->m);
    tensor dq = flat(q_heads(l, t->dq)), dk = flat(kv_heads(l, t->dk));
    tensor dv = flat(kv_heads(l, t->dv)), dx = h_rows(l, t->dx, l->n);
    const bool below = l->layer > 0; /* does anybody ask for dx? */
    const norm_shape norm = norm_of(l, l->w->attn_norm, l->keep->x_scale);
    const rope_turn turn[] = {turn_of(l, l->b->position), turn_of(l, l->position)};
    const bool turns = !l->w->q_norm.data;
    const int n = l->last ? 2 : 3; /* products of all rows */
    const way_back way[] = {{LORA_K, dk, false, turns ? &turn[0] : NULL},
                            {LORA_V, dv, false, NULL},
                            {LORA_Q, dq, false, turns ? &turn[1] : NULL}};
    take_dh(l, dh, l->n);
    products_back(l, way, n, below ? dh : NULL, (input_back){x, h, &norm});
    if (l->last) {
        tensor out_h = h_rows(l, t->out_normed, l->m);
        norm_rows(l, h, x, l->w->attn_norm);
        op_gather(t->backend, out_h, h, l->b->out_row);
        products_back(l, &way[2], 1, below ? &out_dh : NULL, (input_back){.x = out_h});
    }
    if (!below) return;
    if (l->last) {
        op_scatter_add(t->backend, dh[0], out_dh, l->b->out_row);
        op_zero(t->backend, dx);
        op_scatter_add(t->backend, dx, d_rows(l, t->out_dx, l->m), l->b->out_row);
    }
    stream_back(l, dx, dh, n, x, l->w->attn_norm);
}

void layer_backward(trainer *t, const train_batch *b, int32_t i)
{
    layer_at at = layer_of(t, b, i), *l = &at;
    tensor dx = l->last ? d_rows(l, t->out_dx, l->m) : h_rows(l, t->dx, l->m);
    feed_forward_back(l, dx);
    attention_back(l, dx);
    project_back(l);
}
