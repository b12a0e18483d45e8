/* session: its memory; see session.h. The K/V cache and each activation are one take each, so the
 * block is the sum of what this file lists. */
#include "model/session.h"

#include "compute/device.h"
#include "model/take.h"

#include <assert.h>

static void lay_out_result(session *s, arena *a, err *e)
{
    size_t rows = (size_t)s->shape.out_rows, n_top = (size_t)s->shape.n_top;
    s->got.log_sum_exp = arena_take(a, rows, sizeof(double), e);
    s->got.pick_logit = arena_take(a, (size_t)s->shape.picks, sizeof(float), e);
    s->got.top_id = arena_take(a, rows * n_top, sizeof(int32_t), e);
    s->got.top_logit = arena_take(a, rows * n_top, sizeof(float), e);
    s->out_position = arena_take(a, rows, sizeof(int32_t), e);
    s->out_span = arena_take(a, rows, sizeof(attend_span), e);
}

static void lay_out_decode(session *s, arena *a, err *e)
{
    const model_config *c = s->model->config;
    int64_t rows = s->shape.logit_rows, width_kv = (int64_t)c->n_head_kv * c->head_dim;
    s->key_new = take_rows(s->backend, a, rows, width_kv, e);
    s->value_new = take_rows(s->backend, a, rows, width_kv, e);
    s->hidden = take_floats(s->backend, a, rows, c->d_model, e);
    size_t logits = (size_t)rows * (size_t)c->n_vocab;
    s->logits = arena_take(a, logits, sizeof *s->logits, e);
    s->logits_there = device_mirror(s->backend, s->logits, logits, sizeof *s->logits, e);
    s->drawn_there = device_take(s->backend, a, (size_t)rows, sizeof *s->drawn_there, e);
}

int64_t session_bytes_slot(const model_config *c, dtype rows)
{
    return (int64_t)c->n_layer * c->n_head_kv * c->head_dim * 2 * dtype_get(rows)->block_bytes;
}

bool session_lay_out(session *s, const model *m, backend *b, session_shape shape, arena *a, err *e)
{
    const model_config *c = m->config;
    assert(shape.rows > 0 && shape.slots >= shape.rows && shape.positions > 0);
    assert(shape.out_rows > 0 && shape.picks >= 0 && shape.n_top >= 0);
    *s = (session){.model = m, .backend = b, .shape = shape};
    int64_t width_kv = (int64_t)c->n_head_kv * c->head_dim,
            width_q = (int64_t)c->n_head * c->head_dim;
    size_t start = device_mark(b, a);
    s->key = take_rows(s->backend, a, (int64_t)c->n_layer * shape.slots, width_kv, e);
    s->value = take_rows(s->backend, a, (int64_t)c->n_layer * shape.slots, width_kv, e);
    s->bytes_kv = device_mark(b, a) - start;
    s->x = take_floats(s->backend, a, shape.rows, c->d_model, e);
    s->normed = take_rows(s->backend, a, shape.rows, c->d_model, e);
    s->query = take_rows(s->backend, a, shape.rows, width_q, e);
    s->attended = take_rows(s->backend, a, shape.rows, width_q, e);
    s->low =
        take_floats(s->backend, a, (int64_t)ADAPTER_PARTS_MAX * shape.rows, shape.adapter_rank, e);
    s->gate = take_rows(s->backend, a, shape.rows, c->d_ff, e);
    s->up = take_rows(s->backend, a, shape.rows, c->d_ff, e);
    s->out_x = take_floats(s->backend, a, shape.out_rows, c->d_model, e);
    s->out_normed = take_rows(s->backend, a, shape.out_rows, c->d_model, e);
    if (c->family->post_norms) s->block_out = take_floats(s->backend, a, shape.rows, c->d_model, e);
    s->rope_global =
        take_angles(s->backend, (take_turn){&c->rope, c->rotary_dim, s->shape.positions}, a, e);
    s->rope_local =
        take_angles(s->backend, (take_turn){&c->rope_local, c->rotary_dim, s->shape.positions}, a,
                    e);
    if (shape.logit_rows > 0) lay_out_decode(s, a, e);
    lay_out_result(s, a, e);
    backend_shape widths = {.rows = shape.rows,
                            .d_model = c->d_model,
                            .d_ff = c->d_ff,
                            .n_vocab = c->n_vocab,
                            .head_rows = shape.out_rows,
                            .n_head = c->n_head,
                            .n_head_kv = c->n_head_kv,
                            .head_dim = c->head_dim,
                            .adapter_rank = shape.adapter_rank,
                            .graphs = shape.logit_rows > 0 && !shape.no_graphs};
    start = device_mark(b, a);
    bool ok = backend_lay_out(b, &widths, a, e) && e->code == ERR_NONE;
    s->bytes_workspace = device_mark(b, a) - start;
    return ok;
}
