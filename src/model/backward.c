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

static void norm_back(const layer_at *l, tensor dx, tensor dy, tensor x, tensor w)
{
    op_rmsnorm_back(l->t->backend, dx, dy, x, (norm_shape){w, l->c->norm_eps, l->c->norm_plus},
                    false);
}

static void rotate(const layer_at *l, tensor x, const int32_t *position, bool back)
{
    float *table = l->c->layer_is_local[l->layer] ? l->t->rope_local : l->t->rope_global;
    tensor angles = tensor_f32(table, l->t->shape.positions, l->c->rotary_dim);
    rope_style style = l->c->from_gguf ? l->c->family->rope_gguf : l->c->family->rope_hf;
    if (back) op_rope_back(l->t->backend, x, position, angles, style);
    else op_rope(l->t->backend, x, position, angles, style);
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
    part.low = tensor_f32(l->keep->low[target], y.dim[0], pair->a.dim[0]);
    return part;
}

/* The way back through one product and its adapter: dx (+)= dy W, NULL when nobody asks. */
static void product_back(const layer_at *l, lora_target target, const tensor *dx, tensor dy,
                         tensor x, bool add)
{
    lora_pair pair;
    const matmul_part forward = part_of(l, target, dy, &pair);
    back_part part = {.dy = dy, .x = x, .w = forward.w, .dx = dx, .add = add};
    if (forward.adapter) {
        part.adapter = &pair;
        part.low = forward.low;
        part.dlow = tensor_f32(l->t->dlow, x.dim[0], pair.a.dim[0]);
    }
    op_product_back(l->t->backend, &part);
}

static void copy_rows(const layer_at *l, tensor y, tensor x)
{
    op_gather(l->t->backend, y, x, l->t->count_up);
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

static void project(const layer_at *l)
{
    trainer *t = l->t;
    const layer_weights *w = l->w;
    tensor h = h_rows(l, t->normed, l->n), out_h = h;
    tensor k = flat(kv_heads(l, l->keep->key)), v = flat(kv_heads(l, l->keep->value));
    tensor q = flat(q_heads(l, l->keep->query));
    norm_rows(l, h, d_rows(l, l->keep->x, l->n), w->attn_norm);
    lora_pair pair[3];
    const matmul_part part[3] = {part_of(l, LORA_K, k, &pair[0]), part_of(l, LORA_V, v, &pair[1]),
                                 part_of(l, LORA_Q, q, &pair[2])};
    op_matmul_group(t->backend, h, part, l->last ? 2 : 3);
    if (l->last) {
        out_h = h_rows(l, t->out_normed, l->m);
        op_gather(t->backend, out_h, h, l->b->out_row);
        op_matmul_group(t->backend, out_h, &part[2], 1);
    }
    if (w->q_norm.data) return;
    rotate(l, q_heads(l, l->keep->query), l->position, false);
    rotate(l, kv_heads(l, l->keep->key), l->b->position, false);
}

/* A rerun's last want: what the adapter of the last product keeps of its input. */
static void reduce_again(const layer_at *l, tensor act)
{
    lora_pair pair;
    const matmul_part part = part_of(l, LORA_DOWN, d_rows(l, l->t->dh, l->m), &pair);
    if (!part.adapter) return;
    op_matmul(l->t->backend, part.low, act, pair.a, NULL, false);
    op_scale(l->t->backend, part.low, pair.scale);
}

void layer_forward(trainer *t, const train_batch *b, int32_t i, float *next)
{
    layer_at at = layer_of(t, b, i), *l = &at;
    const layer_weights *w = l->w;
    project(l);
    attend_tape tape = tape_of(l);
    op_attend_keep(t->backend, &tape, &l->plan);
    tensor x = d_rows(l, l->keep->x, l->n), middle = d_rows(l, l->keep->middle, l->m);
    if (l->last) op_gather(t->backend, middle, x, b->out_row);
    else copy_rows(l, middle, x);
    add_block(l, LORA_O, middle, flat(tape.o), l->keep->attn_out);
    tensor h = h_rows(l, t->normed, l->m), act = f_rows(l, t->act);
    tensor gate = f_rows(l, l->keep->gate), up = f_rows(l, l->keep->up);
    norm_rows(l, h, middle, w->ffn_norm);
    lora_pair pair[2];
    const matmul_part part[2] = {part_of(l, LORA_GATE, gate, &pair[0]),
                                 part_of(l, LORA_UP, up, &pair[1])};
    op_matmul_group(t->backend, h, part, 2);
    op_glu(t->backend, act, gate, up, l->c->family->glu);
    if (!next && !w->post_ffn_norm.data) {
        reduce_again(l, act);
        return;
    }
    tensor out = d_rows(l, next ? next : t->dh, l->m); /* a rerun wants only what add_block keeps */
    copy_rows(l, out, middle);
    add_block(l, LORA_DOWN, out, act, l->keep->ffn_out);
}

static void feed_forward_back(const layer_at *l, tensor dx)
{
    trainer *t = l->t;
    const layer_weights *w = l->w;
    tensor gate = f_rows(l, l->keep->gate), up = f_rows(l, l->keep->up);
    tensor act = f_rows(l, t->act), dact = f_rows(l, t->dact);
    tensor middle = d_rows(l, l->keep->middle, l->m), h = h_rows(l, t->normed, l->m);
    tensor dh = d_rows(l, t->dh, l->m), dy = dx;
    norm_shape norm = {w->ffn_norm, l->c->norm_eps, l->c->norm_plus};
    if (w->post_ffn_norm.data) {
        dy = dh;
        norm_back(l, dy, dx, d_rows(l, l->keep->ffn_out, l->m), w->post_ffn_norm);
    }
    op_glu(t->backend, act, gate, up, l->c->family->glu);
    product_back(l, LORA_DOWN, &dact, dy, act, false);
    op_glu_back(t->backend, gate, up, dact, l->c->family->glu);
    norm_rows(l, h, middle, w->ffn_norm);
    product_back(l, LORA_GATE, &dh, gate, h, false);
    product_back(l, LORA_UP, &dh, up, h, true);
    op_rmsnorm_back(t->backend, dx, dh, middle, norm, true);
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
    product_back(l, LORA_O, &d_o, dy, flat(tape.o), false);
    op_attend_back(t->backend, &tape, &grad, &l->plan);
    rotate(l, grad.dq, l->position, true);
    rotate(l, grad.dk, l->b->position, true);
    if (!w->q_norm.data) return;
    norm_back(l, grad.dq, grad.dq, q_heads(l, l->keep->query), w->q_norm);
    norm_back(l, grad.dk, grad.dk, kv_heads(l, l->keep->key), w->k_norm);
}

/* dh of the rows that K and V (and, but in the last layer, q) were made of, and t->dx. */
static void project_back(const layer_at *l)
{
    trainer *t = l->t;
    tensor h = h_rows(l, t->normed, l->n), x = d_rows(l, l->keep->x, l->n), out_h = h;
    tensor dh = d_rows(l, t->dh, l->n), out_dh = d_rows(l, t->out_dh, l->m);
    tensor dq = flat(q_heads(l, t->dq)), dk = flat(kv_heads(l, t->dk));
    tensor dv = flat(kv_heads(l, t->dv)), dx = d_rows(l, t->dx, l->n);
    const bool below = l->layer > 0; /* does anybody ask for dx? */
    norm_shape norm = {l->w->attn_norm, l->c->norm_eps, l->c->norm_plus};
    norm_rows(l, h, x, l->w->attn_norm);
    if (l->last) {
        out_h = h_rows(l, t->out_normed, l->m);
        op_gather(t->backend, out_h, h, l->b->out_row);
    }
    product_back(l, LORA_K, below ? &dh : NULL, dk, h, false);
    product_back(l, LORA_V, below ? &dh : NULL, dv, h, true);
    const tensor *to = l->last ? &out_dh : &dh;
    product_back(l, LORA_Q, below ? to : NULL, dq, out_h, !l->last);
    if (!below) return;
    if (l->last) op_scatter_add(t->backend, dh, out_dh, l->b->out_row);
    op_rmsnorm_back(t->backend, dx, dh, x, norm, !l->last);
    if (l->last) op_scatter_add(t->backend, dx, d_rows(l, t->out_dx, l->m), l->b->out_row);
}

void layer_backward(trainer *t, const train_batch *b, int32_t i)
{
    layer_at at = layer_of(t, b, i), *l = &at;
    tensor dx = d_rows(l, l->last ? t->out_dx : t->dx, l->m);
    feed_forward_back(l, dx);
    attention_back(l, dx);
    project_back(l);
}
