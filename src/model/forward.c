/* forward: one step through the model; see session.h.
 *
 * A layer, for rows x [n, d]:
 *     h = norm(x)   q, k, v = h Wq, h Wk, h Wv   (+ bias)   (norm of each q and k head)   RoPE
 *     x += o(attend(q, K, V))   (through a norm first where the family has post-norms)
 *     h = norm(x)   x += down(act(h gate) * (h up))   (likewise)
 * Keys and values are computed straight into the cache. The last layer computes K/V for every row
 * but goes on with the `out` rows alone. */
#include "compute/cache.h"
#include "compute/device.h"
#include "model/session.h"

#include <assert.h>
#include <math.h>

typedef struct rows_view { /* the rows that a layer goes on with after its K/V */
    int32_t n;
    float *x;     /* [n, d] */
    void *normed; /* [n, d] in the backend's type */
    const int32_t *position;
    const attend_span *span;
    int32_t n_span;
} rows_view;

static const tensor *bias_of(const tensor *t) { return t->data ? t : NULL; }

/* Rows in the backend's own type. */
static tensor rows_of(const session *s, void *data, int64_t n, int64_t width)
{
    return (tensor){.data = data, .type = s->backend->rows, .rank = 2, .dim = {n, width, 1, 1}};
}

static tensor heads_of(const session *s, void *data, int64_t n, int64_t heads)
{
    const int64_t width = s->model->config->head_dim;
    return (tensor){.data = data, .type = s->backend->rows, .rank = 3, .dim = {n, heads, width, 1}};
}

static tensor cache_view(const session *s, void *cache, int32_t layer, int32_t slot, int32_t n)
{
    const model_config *c = s->model->config;
    int64_t width = (int64_t)c->n_head_kv * c->head_dim;
    int64_t at = ((int64_t)layer * s->shape.slots + slot) * width;
    char *data = (char *)cache + at * dtype_get(s->backend->rows)->block_bytes;
    return heads_of(s, data, n, c->n_head_kv);
}

static tensor flat(tensor t)
{
    return (tensor){.data = t.data,
                    .type = t.type,
                    .rank = 2,
                    .dim = {t.dim[0], t.dim[1] * t.dim[2], 1, 1}};
}

static void norm_rows(session *s, tensor y, tensor x, tensor w)
{
    op_rmsnorm(s->backend, y, x, w, s->model->config->norm_eps, s->model->config->norm_plus);
}

static tensor rope_table(const session *s, int32_t layer)
{
    const model_config *c = s->model->config;
    float *table = c->layer_is_local[layer] ? s->rope_local : s->rope_global;
    return tensor_f32(table, s->shape.positions, c->rotary_dim);
}

static rope_style style_of(const model_config *c)
{
    return c->from_gguf ? c->family->rope_gguf : c->family->rope_hf;
}

typedef struct adapters { /* of one group of products */
    lora_pair pair[ADAPTER_PARTS_MAX];
    int n;
} adapters;

/* y = x w^T with what the adapter adds, where there is one. */
static matmul_part part_of(session *s, int32_t layer, lora_target target, tensor y, adapters *some)
{
    const layer_weights *w = &s->model->weights.layer[layer];
    const tensor *all[LORA_TARGETS] = {&w->q, &w->k, &w->v, &w->o, &w->gate, &w->up, &w->down};
    const tensor *bias[LORA_TARGETS] = {&w->q_bias,    &w->k_bias,  &w->v_bias,   &w->o_bias,
                                        &w->gate_bias, &w->up_bias, &w->down_bias};
    matmul_part part = {.y = y, .w = *all[target], .bias = bias_of(bias[target])};
    lora_pair *pair = &some->pair[some->n];
    if (!lora_pair_of(s->adapter, NULL, layer, target, pair)) return part;
    const int64_t r = pair->a.dim[0];
    assert(r <= s->shape.adapter_rank);
    part.adapter = pair;
    part.low = tensor_f32(s->low + some->n++ * (int64_t)s->shape.rows * r, y.dim[0], r);
    return part;
}

/* x += o(input) or down(input), through the block's own norm where the family has one. */
static void add_block(session *s, int32_t layer, lora_target target, tensor x, tensor input)
{
    const layer_weights *w = &s->model->weights.layer[layer];
    const bool attention = target == LORA_O;
    const tensor *post_norm = attention ? &w->post_attn_norm : &w->post_ffn_norm;
    tensor out = post_norm->data ? tensor_f32(s->block_out, x.dim[0], x.dim[1]) : x;
    adapters none = {.n = 0};
    matmul_part part = part_of(s, layer, target, out, &none);
    part.add = !post_norm->data;
    op_matmul_group(s->backend, input, &part, 1);
    if (!post_norm->data) return;
    norm_rows(s, out, out, *post_norm);
    op_add(s->backend, x, out);
}

/* Where the step's K or V is computed: in the cache itself, or beside it when rows have slots of
 * their own. */
static tensor new_rows(const session *s, const step *st, void *cache, void *beside, int32_t layer)
{
    const model_config *c = s->model->config;
    if (!st->slot) return cache_view(s, cache, layer, st->first_slot, st->n_row);
    return heads_of(s, beside, st->n_row, c->n_head_kv);
}

/* New rows into slots of their own; q, where it was made with them, turns on the way. */
static void put_in_slots(session *s, const step *st, int32_t layer, tensor q, tensor k, tensor v)
{
    op_cache(s->backend, &(cache_rows){.q = q,
                                       .k = k,
                                       .v = v,
                                       .key = cache_view(s, s->key, layer, 0, s->shape.slots),
                                       .value = cache_view(s, s->value, layer, 0, s->shape.slots),
                                       .position = st->position,
                                       .slot = st->slot,
                                       .table = rope_table(s, layer),
                                       .style = style_of(s->model->config)});
}

/* K and V of every row into the cache; with `queries`, in the same product, q of every row too,
 * normed and rotated. */
static void write_cache(session *s, const step *st, const layer_weights *w, int32_t layer,
                        bool queries)
{
    const model_config *c = s->model->config;
    tensor h = rows_of(s, s->normed, st->n_row, c->d_model);
    tensor k = new_rows(s, st, s->key, s->key_new, layer);
    tensor v = new_rows(s, st, s->value, s->value_new, layer);
    tensor q = heads_of(s, s->query, st->n_row, c->n_head);
    adapters some = {.n = 0};
    const matmul_part part[3] = {part_of(s, layer, LORA_K, flat(k), &some),
                                 part_of(s, layer, LORA_V, flat(v), &some),
                                 part_of(s, layer, LORA_Q, flat(q), &some)};
    op_matmul_group(s->backend, h, part, queries ? 3 : 2);
    if (!queries) q.data = NULL;
    if (w->k_norm.data) norm_rows(s, k, k, w->k_norm);
    if (w->q_norm.data && queries) norm_rows(s, q, q, w->q_norm);
    if (st->slot) {
        put_in_slots(s, st, layer, q, k, v);
        return;
    }
    op_rope(s->backend, k, st->position, rope_table(s, layer), style_of(c));
    if (queries) op_rope(s->backend, q, st->position, rope_table(s, layer), style_of(c));
}

/* Queries of `rows` from their normed rows, where write_cache has not made them. */
static void write_queries(session *s, const layer_weights *w, int32_t layer, rows_view rows)
{
    const model_config *c = s->model->config;
    tensor h = rows_of(s, rows.normed, rows.n, c->d_model);
    tensor q = heads_of(s, s->query, rows.n, c->n_head);
    adapters some = {.n = 0};
    const matmul_part part = part_of(s, layer, LORA_Q, flat(q), &some);
    op_matmul_group(s->backend, h, &part, 1);
    if (w->q_norm.data) norm_rows(s, q, q, w->q_norm);
    op_rope(s->backend, q, rows.position, rope_table(s, layer), style_of(c));
}

static void attention(session *s, const step *st, int32_t layer, rows_view rows)
{
    const model_config *c = s->model->config;
    tensor x = tensor_f32(rows.x, rows.n, c->d_model);
    tensor q = heads_of(s, s->query, rows.n, c->n_head);
    tensor o = heads_of(s, s->attended, rows.n, c->n_head);
    attend_plan plan = {.span = rows.span,
                        .n_span = rows.n_span,
                        .range = st->range,
                        .scale = c->query_scale,
                        .softcap = c->softcap_attention,
                        .window = c->layer_is_local[layer] ? c->window : 0};
    tensor k = cache_view(s, s->key, layer, 0, s->shape.slots);
    tensor v = cache_view(s, s->value, layer, 0, s->shape.slots);
    op_attend(s->backend, o, q, k, v, &plan);
    add_block(s, layer, LORA_O, x, flat(o));
}

static void feed_forward(session *s, const layer_weights *w, int32_t layer, rows_view rows)
{
    const model_config *c = s->model->config;
    tensor x = tensor_f32(rows.x, rows.n, c->d_model),
           h = rows_of(s, rows.normed, rows.n, c->d_model);
    tensor gate = rows_of(s, s->gate, rows.n, c->d_ff), up = rows_of(s, s->up, rows.n, c->d_ff);
    norm_rows(s, h, x, w->ffn_norm);
    adapters some = {.n = 0};
    const matmul_part part[2] = {part_of(s, layer, LORA_GATE, gate, &some),
                                 part_of(s, layer, LORA_UP, up, &some)};
    op_matmul_group(s->backend, h, part, 2);
    op_glu(s->backend, gate, gate, up, c->family->glu);
    add_block(s, layer, LORA_DOWN, x, gate);
}

/* Each out row alone: the span that holds it, cut to that row. */
static rows_view keep_out_rows(session *s, const step *st)
{
    const model_config *c = s->model->config;
    int32_t i = 0;
    for (int32_t j = 0; j < st->n_span && i < st->n_out; j++) {
        const attend_span *span = &st->span[j];
        for (; i < st->n_out && st->out_row[i] < span->row + span->count; i++) {
            int32_t inside = st->out_row[i] - span->row;
            s->out_span[i] = *span;
            s->out_span[i].row = i;
            s->out_span[i].count = 1;
            s->out_span[i].position = span->position + inside;
            s->out_position[i] = st->position[st->out_row[i]];
        }
    }
    assert(i == st->n_out);
    op_gather(s->backend, tensor_f32(s->out_x, st->n_out, c->d_model),
              tensor_f32(s->x, st->n_row, c->d_model), st->out_row);
    op_gather(s->backend, rows_of(s, s->out_normed, st->n_out, c->d_model),
              rows_of(s, s->normed, st->n_row, c->d_model), st->out_row);
    return (rows_view){st->n_out, s->out_x, s->out_normed, s->out_position, s->out_span, st->n_out};
}

static void read_out(session *s, const step *st)
{
    const model_config *c = s->model->config;
    tensor x = tensor_f32(s->out_x, st->n_out, c->d_model);
    norm_rows(s, x, x, s->model->weights.output_norm);
    if (st->hidden_only) return;
    head_request want = {.pick_start = st->pick_start,
                         .pick_id = st->pick_id,
                         .n_top = st->n_top,
                         .softcap = c->softcap_final};
    op_head(s->backend, x, s->model->weights.lm_head, &want, &s->got);
}

void session_follow(session *s, session *before)
{
    assert(s->shape.follows && !before->goes_on && before->shape.rows == s->shape.rows);
    s->before = before;
    before->goes_on = true;
}

static void take_turn(const session *s)
{
    if (s->turn) pool_lock(s->turn);
}

static void end_turn(const session *s)
{
    if (s->turn) pool_unlock(s->turn);
}

/* The rows that the layers before these made: their turn ends when they are here. */
static void carry_rows(session *s, const step *st)
{
    session *from = s->before;
    const size_t bytes = (size_t)st->n_row * (size_t)s->model->config->d_model * sizeof(float);
    device_enter(from->backend);
    session_forward(from, st);
    device_pass(from->backend, from->x, s->backend, s->x, bytes);
    end_turn(from);
    device_enter(s->backend);
}

static void forward_layers(session *s, const step *st)
{
    const model_config *c = s->model->config;
    tensor x = tensor_f32(s->x, st->n_row, c->d_model);
    if (!s->before) op_embed(s->backend, x, s->model->weights.embed, st->id, c->embed_scale);
    rows_view rows = {st->n_row, s->x, s->normed, st->position, st->span, st->n_span};
    for (int32_t i = 0; i < c->n_layer; i++) {
        const layer_weights *w = &s->model->weights.layer[i];
        norm_rows(s, rows_of(s, s->normed, st->n_row, c->d_model), x, w->attn_norm);
        const bool last = i == c->n_layer - 1 && !s->goes_on;
        write_cache(s, st, w, i, !last);
        if (last) {
            if (st->n_out == 0) return;
            rows = keep_out_rows(s, st);
            write_queries(s, w, i, rows);
        }
        attention(s, st, i, rows);
        feed_forward(s, w, i, rows);
    }
    if (!s->goes_on) read_out(s, st);
}

void session_forward(session *s, const step *st)
{
    assert(st->n_row > 0 && st->n_row <= s->shape.rows && st->first_slot >= 0);
    assert(st->first_slot + st->n_row <= s->shape.slots && st->n_out <= s->shape.out_rows);
    assert(st->n_out == 0 || st->hidden_only || st->pick_start[st->n_out] <= s->shape.picks);
    assert(!st->slot || st->n_row <= s->shape.logit_rows);
    if (s->before) carry_rows(s, st);
    take_turn(s);
    forward_layers(s, st);
    if (!s->turn || s->goes_on) return;
    err sticks = {0}; /* to the backend */
    backend_sync(s->backend, &sticks);
    end_turn(s);
}

void session_find_logits(session *s, const int32_t *out, int32_t n)
{
    const model_config *c = s->model->config;
    assert(n > 0 && n <= s->shape.logit_rows);
    tensor hidden = tensor_f32(s->hidden, n, c->d_model);
    tensor logits = tensor_f32(s->logits_there, n, c->n_vocab);
    op_gather(s->backend, hidden, tensor_f32(s->out_x, s->shape.out_rows, c->d_model), out);
    op_matmul(s->backend, logits, hidden, s->model->weights.lm_head, NULL, false);
}

void session_fetch_logits(session *s, int32_t n)
{
    const model_config *c = s->model->config;
    const int64_t count = (int64_t)n * c->n_vocab;
    device_read(s->backend, s->logits, s->logits_there, (size_t)count * sizeof(float));
    if (c->softcap_final <= 0) return;
    for (int64_t i = 0; i < count; i++) {
        s->logits[i] = c->softcap_final * tanhf(s->logits[i] / c->softcap_final);
    }
}

void session_read_logits(session *s, const int32_t *out, int32_t n)
{
    session_find_logits(s, out, n);
    session_fetch_logits(s, n);
}
