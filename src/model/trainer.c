/* trainer: memory, and a micro-batch from its first row to its gradient; see trainer.h. The layers
 * themselves are in backward.c. */
#include "compute/device.h"
#include "compute/graph.h"
#include "model/backward_in.h"
#include "model/take.h"

#include <assert.h>
#include <math.h>

static void take_keep(trainer *t, layer_keep *keep, int64_t rows, int64_t out, arena *a, err *e)
{
    const model_config *c = t->model->config;
    const int64_t q = (int64_t)c->n_head * c->head_dim, kv = (int64_t)c->n_head_kv * c->head_dim;
    keep->query = take_rows(t->backend, a, out, q, e);
    keep->key = take_rows(t->backend, a, rows, kv, e);
    keep->value = take_rows(t->backend, a, rows, kv, e);
    keep->attended = take_rows(t->backend, a, out, q, e);
    keep->log_sum_exp = take_floats(t->backend, a, out, c->n_head, e);
    keep->x = take_rows(t->backend, a, rows, c->d_model, e);
    keep->middle = take_rows(t->backend, a, out, c->d_model, e);
    if (t->backend->rows != DTYPE_F32) {
        keep->x_scale = take_floats(t->backend, a, rows, 1, e);
        keep->middle_scale = take_floats(t->backend, a, out, 1, e);
    }
    keep->gate = take_rows(t->backend, a, out, c->d_ff, e);
    keep->up = take_rows(t->backend, a, out, c->d_ff, e);
    for (int i = 0; i < LORA_TARGETS; i++) {
        const bool all = i == LORA_K || i == LORA_V; /* the others' rows may end before the last */
        keep->low[i] = take_rows(t->backend, a, all ? rows : out, t->adapter->config.rank, e);
    }
    if (!c->family->post_norms) return;
    keep->attn_out = take_floats(t->backend, a, out, c->d_model, e);
    keep->ffn_out = take_floats(t->backend, a, out, c->d_model, e);
}

/* The first rerun_layers share one set of everything but x. */
static void take_layers(trainer *t, arena *a, err *e)
{
    const model_config *c = t->model->config;
    layer_keep shared = {0}, unused;
    t->keep = arena_take_zero(a, (size_t)c->n_layer, sizeof *t->keep, e);
    for (int32_t i = 0; i < c->n_layer; i++) {
        const bool last = i == c->n_layer - 1, rerun = i < t->shape.rerun_layers;
        layer_keep *keep = t->keep ? &t->keep[i] : &unused;
        if (rerun && !last) {
            if (i == 0) take_keep(t, &shared, t->shape.rows, t->shape.rows, a, e);
            *keep = shared;
            keep->full = take_floats(t->backend, a, t->shape.rows, c->d_model, e);
        } else { /* the last layer comes first on the way back: nothing is won by a rerun */
            take_keep(t, keep, t->shape.rows, last ? t->shape.out_rows : t->shape.rows, a, e);
        }
    }
}

static void take_scratch(trainer *t, arena *a, err *e)
{
    const model_config *c = t->model->config;
    const int64_t rows = t->shape.rows, out = t->shape.out_rows, d = c->d_model;
    const int64_t q = (int64_t)c->n_head * c->head_dim, kv = (int64_t)c->n_head_kv * c->head_dim;
    float **narrow[] = {&t->out_x, &t->out_dx, &t->out_dh};
    t->x = take_floats(t->backend, a, rows, d, e);
    t->dh = op_adds_parts(t->backend) ? take_rows(t->backend, a, ADAPTER_PARTS_MAX * rows, d, e)
                                      : (void *)take_floats(t->backend, a, rows, d, e);
    for (size_t i = 0; i < countof(narrow); i++) *narrow[i] = take_floats(t->backend, a, out, d, e);
    t->dx = take_rows(t->backend, a, rows, d, e);
    t->normed = take_rows(t->backend, a, rows, d, e);
    t->out_normed = take_rows(t->backend, a, out, d, e);
    if (c->family->qk_norm) {
        t->query = take_rows(t->backend, a, rows, q, e);
        t->key = take_rows(t->backend, a, rows, kv, e);
    }
    t->dq = take_rows(t->backend, a, rows, q, e);
    t->d_o = take_rows(t->backend, a, rows, q, e);
    t->dk = take_rows(t->backend, a, rows, kv, e);
    t->dv = take_rows(t->backend, a, rows, kv, e);
    t->act = take_rows(t->backend, a, rows, c->d_ff, e);
    t->dact = take_rows(t->backend, a, rows, c->d_ff, e);
    t->dlow = take_rows(t->backend, a, ADAPTER_PARTS_MAX * rows, t->adapter->config.rank, e);
    t->chunk_ids = q > d ? q : d;
    if (c->d_ff > t->chunk_ids) t->chunk_ids = c->d_ff;
    if (c->n_vocab < t->chunk_ids) t->chunk_ids = c->n_vocab;
    t->chunk = take_floats(t->backend, a, out, t->chunk_ids, e);
    t->rope_global =
        take_angles(t->backend, (take_turn){&c->rope, c->rotary_dim, t->shape.positions}, a, e);
    t->rope_local =
        take_angles(t->backend, (take_turn){&c->rope_local, c->rotary_dim, t->shape.positions}, a,
                    e);
    t->answer_logit = arena_take(a, (size_t)out, sizeof *t->answer_logit, e);
    t->answer_log_sum_exp = arena_take(a, (size_t)out, sizeof(double), e);
    t->out_position = arena_take(a, (size_t)out, sizeof(int32_t), e);
    t->out_span = arena_take(a, (size_t)out, sizeof(attend_span), e);
    t->count_up = arena_take(a, (size_t)rows, sizeof(int32_t), e);
    t->one_each = arena_take(a, (size_t)out + 1, sizeof(int64_t), e);
}

bool trainer_lay_out(trainer *t, const train_setup *s, arena *a, err *e)
{
    const train_shape shape = s->shape;
    const model_config *c = s->model->config;
    lora *adapter = s->adapter;
    backend *b = s->backend;
    assert(shape.rows > 0 && shape.out_rows > 0 && shape.out_rows <= shape.rows);
    assert(shape.positions > 0 && shape.rerun_layers >= 0 && shape.rerun_layers <= c->n_layer);
    *t = (trainer){.model = s->model, .backend = b, .adapter = adapter, .shape = shape};
    size_t start = device_mark(b, a);
    t->grad = take_floats(t->backend, a, adapter->n_value, 1, e);
    t->total = shape.micros > 1 ? take_floats(t->backend, a, adapter->n_value, 1, e) : t->grad;
    t->first = take_floats(t->backend, a, adapter->n_value, 1, e);
    t->second = take_floats(t->backend, a, adapter->n_value, 1, e);
    t->bytes_optimiser = device_mark(b, a) - start;
    take_layers(t, a, e);
    take_scratch(t, a, e);
    backend_shape widths = {.rows = shape.rows,
                            .d_model = c->d_model,
                            .d_ff = c->d_ff,
                            .n_vocab = c->n_vocab,
                            .head_rows = shape.out_rows,
                            .n_head = c->n_head,
                            .n_head_kv = c->n_head_kv,
                            .head_dim = c->head_dim,
                            .adapter_rank = adapter->config.rank,
                            .graphs = !shape.no_graphs};
    start = device_mark(b, a);
    bool ok = backend_lay_out(b, &widths, a, e) && train_lay_out(b, &widths, a, e);
    t->bytes_workspace = device_mark(b, a) - start;
    if (!ok || e->code != ERR_NONE || arena_measures(a)) return ok && e->code == ERR_NONE;
    for (int32_t i = 0; i < shape.rows; i++) t->count_up[i] = i;
    for (int32_t i = 0; i <= shape.out_rows; i++) t->one_each[i] = i;
    op_zero(b, tensor_f32(t->first, 1, adapter->n_value));
    op_zero(b, tensor_f32(t->second, 1, adapter->n_value));
    trainer_zero(t);
    return true;
}

void trainer_zero(trainer *t)
{
    op_zero(t->backend, tensor_f32(t->grad, 1, t->adapter->n_value));
    if (t->total != t->grad) op_zero(t->backend, tensor_f32(t->total, 1, t->adapter->n_value));
}

/* Each out row alone: the span that holds it, cut to that row. */
static void cut_out_rows(trainer *t, const train_batch *b)
{
    int32_t i = 0;
    for (int32_t j = 0; j < b->n_span && i < b->n_out; j++) {
        const attend_span *span = &b->span[j];
        for (; i < b->n_out && b->out_row[i] < span->row + span->count; i++) {
            t->out_span[i] = *span;
            t->out_span[i].row = i;
            t->out_span[i].count = 1;
            t->out_span[i].position = span->position + b->out_row[i] - span->row;
            t->out_position[i] = b->position[b->out_row[i]];
        }
    }
    assert(i == b->n_out);
}

/* The loss of the last layer's rows; out_dx becomes their gradient. */
static double answer_loss(trainer *t, const train_batch *b)
{
    const model_config *c = t->model->config;
    const model_weights *w = &t->model->weights;
    tensor x = tensor_f32(t->out_x, b->n_out, c->d_model);
    tensor normed = {.data = t->out_normed,
                     .type = t->backend->rows,
                     .rank = 2,
                     .dim = {b->n_out, c->d_model, 1, 1}};
    tensor dx = tensor_f32(t->out_dx, b->n_out, c->d_model);
    op_rmsnorm(t->backend, normed, x, w->output_norm, c->norm_eps, c->norm_plus);
    loss_rows rows = {.target = b->target,
                      .weight = b->weight,
                      .log_sum_exp = t->answer_log_sum_exp,
                      .logit = t->answer_logit,
                      .chunk = t->chunk,
                      .chunk_ids = t->chunk_ids,
                      .softcap = c->softcap_final,
                      .one_each = t->one_each};
    double loss = op_answer_loss(t->backend, dx, normed, w->lm_head, &rows);
    norm_shape norm = {.w = w->output_norm, .eps = c->norm_eps, .w_plus = c->norm_plus};
    op_rmsnorm_back(t->backend, dx, dx, x, norm, false);
    return loss;
}

typedef struct pass { /* of a micro-batch, forward or back: a graph each */
    trainer *t;
    const train_batch *b;
    bool again; /* as graphs */
} pass;

static void run_forward(void *context)
{
    const pass *p = context;
    const model_config *c = p->t->model->config;
    tensor x = tensor_f32(p->t->x, p->b->n_row, c->d_model);
    op_embed(p->t->backend, x, p->t->model->weights.embed, p->b->id, c->embed_scale);
    for (int32_t i = 0; i < c->n_layer; i++) layer_forward(p->t, p->b, i, false);
}

static void run_back(void *context)
{
    const pass *p = context;
    const int32_t n = p->t->model->config->n_layer;
    for (int32_t i = n - 1; i >= 0; i--) {
        const bool rerun = i < p->t->shape.rerun_layers && i < n - 1;
        if (rerun) layer_forward(p->t, p->b, i, true);
        layer_backward(p->t, p->b, i);
    }
}

/* Has a micro-batch of these sizes been there? Most that are cut from real texts come once. */
static bool comes_again(trainer *t, const train_batch *b)
{
    const uint64_t sizes =
        (uint64_t)b->n_row << 40 ^ (uint64_t)b->n_out << 20 ^ (uint64_t)b->n_span;
    for (int32_t i = 0; i < t->n_met && i < TRAIN_MET; i++) {
        if (t->met[i] == sizes) return true;
    }
    t->met[t->n_met % TRAIN_MET] = sizes;
    t->n_met = t->n_met < 2 * TRAIN_MET - 1 ? t->n_met + 1 : TRAIN_MET;
    return false;
}

static void start(pass *p, void (*body)(void *context))
{
    if (p->again) graph_run(p->t->backend, body, p);
    else body(p);
}

bool trainer_add(trainer *t, const train_batch *b, double *loss, err *e)
{
    pass p = {t, b, !t->shape.no_graphs && comes_again(t, b)};
    assert(b->n_row > 0 && b->n_row <= t->shape.rows);
    assert(b->n_out > 0 && b->n_out <= t->shape.out_rows);
    cut_out_rows(t, b);
    start(&p, run_forward);
    *loss = answer_loss(t, b);
    if (!isfinite(*loss)) {
        return err_set(e, ERR_USAGE,
                       "the loss after %lld updates is not a number; lower the learning rate",
                       (long long)t->updates);
    }
    start(&p, run_back);
    return backend_sync(t->backend, e);
}

bool trainer_update(trainer *t, const optim_config *o, double *norm, err *e)
{
    adamw_state s = {.value = t->adapter->placed,
                     .grad = t->total,
                     .first = t->first,
                     .second = t->second,
                     .n = t->adapter->n_value};
    if (!optim_update(t->backend, o, &s, t->updates + 1, norm, e)) return false;
    t->updates++;
    trainer_zero(t);
    return backend_sync(t->backend, e);
}
