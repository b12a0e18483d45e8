/* session: its memory; see session.h. The K/V cache and each activation are one take each, so the
 * block is the sum of what this file lists. */
#include "model/session.h"

#include "compute/device.h"
#include "model/rope.h"

#include <assert.h>

/* [count, each] numbers of a type, where the device keeps its numbers. */
static void *take_numbers(session *s, arena *a, dtype type, int64_t count, int64_t each, err *e)
{
    assert(count >= 0 && each >= 0);
    size_t items = 0;
    if (!size_multiply((size_t)count, (size_t)each, &items)) {
        err_set(e, ERR_RESOURCE, "a buffer of %lld x %lld numbers is too large for this machine",
                (long long)count, (long long)each);
        return NULL;
    }
    return device_take(s->backend, a, items, (size_t)dtype_get(type)->block_bytes, e);
}

static float *take_floats(session *s, arena *a, int64_t count, int64_t each, err *e)
{
    return take_numbers(s, a, DTYPE_F32, count, each, e);
}

static void *take_rows(session *s, arena *a, int64_t count, int64_t each, err *e)
{
    return take_numbers(s, a, s->backend->rows, count, each, e);
}

/* Filled by the host, read by the device. */
static float *take_angles(session *s, const rope_config *how, arena *a, err *e)
{
    const int32_t width = s->model->config->rotary_dim, n = s->shape.positions;
    const size_t count = (size_t)n * (size_t)width;
    float *table = arena_take(a, count, sizeof *table, e);
    float *there = device_mirror(s->backend, table, count, sizeof *table, e);
    if (!table || !there) return NULL;
    rope_fill_table(table, how, width, n, n);
    device_write(s->backend, there, table, count * sizeof *table);
    return there;
}

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
    s->key_new = take_rows(s, a, rows, width_kv, e);
    s->value_new = take_rows(s, a, rows, width_kv, e);
    s->hidden = take_floats(s, a, rows, c->d_model, e);
    size_t logits = (size_t)rows * (size_t)c->n_vocab;
    s->logits = arena_take(a, logits, sizeof *s->logits, e);
    s->logits_there = device_mirror(s->backend, s->logits, logits, sizeof *s->logits, e);
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
    s->key = take_rows(s, a, (int64_t)c->n_layer * shape.slots, width_kv, e);
    s->value = take_rows(s, a, (int64_t)c->n_layer * shape.slots, width_kv, e);
    s->bytes_kv = device_mark(b, a) - start;
    s->x = take_floats(s, a, shape.rows, c->d_model, e);
    s->normed = take_rows(s, a, shape.rows, c->d_model, e);
    s->query = take_rows(s, a, shape.rows, width_q, e);
    s->attended = take_rows(s, a, shape.rows, width_q, e);
    s->low = take_floats(s, a, (int64_t)ADAPTER_PARTS_MAX * shape.rows, shape.adapter_rank, e);
    s->gate = take_rows(s, a, shape.rows, c->d_ff, e);
    s->up = take_rows(s, a, shape.rows, c->d_ff, e);
    s->out_x = take_floats(s, a, shape.out_rows, c->d_model, e);
    s->out_normed = take_rows(s, a, shape.out_rows, c->d_model, e);
    if (c->family->post_norms) s->block_out = take_floats(s, a, shape.rows, c->d_model, e);
    s->rope_global = take_angles(s, &c->rope, a, e);
    s->rope_local = take_angles(s, &c->rope_local, a, e);
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
                            .adapter_rank = shape.adapter_rank};
    start = device_mark(b, a);
    bool ok = backend_lay_out(b, &widths, a, e) && e->code == ERR_NONE;
    s->bytes_workspace = device_mark(b, a) - start;
    return ok;
}
