/* place: see place.h. */
#include "model/place.h"

#include "compute/device.h"

#include <assert.h>

static bool place_tensor(backend *b, tensor *t, err *e)
{
    int64_t row = 0;
    if (!t->data) return true;
    bool whole = dtype_row_bytes(t->type, t->dim[t->rank - 1], &row);
    assert(whole && t->rank <= 2);
    const size_t bytes = (size_t)row * (size_t)(t->rank == 2 ? t->dim[0] : 1);
    void *there = device_mirror(b, t->data, bytes, 1, e);
    if (there) {
        device_write(b, there, t->data, bytes);
        t->data = there;
    }
    return e->code == ERR_NONE;
}

static bool place_layer(backend *b, layer_weights *w, err *e)
{
    tensor *all[] = {&w->attn_norm, &w->q,       &w->k,         &w->v,
                     &w->o,         &w->q_bias,  &w->k_bias,    &w->v_bias,
                     &w->o_bias,    &w->q_norm,  &w->k_norm,    &w->post_attn_norm,
                     &w->ffn_norm,  &w->gate,    &w->up,        &w->down,
                     &w->gate_bias, &w->up_bias, &w->down_bias, &w->post_ffn_norm};
    _Static_assert(sizeof *w == countof(all) * sizeof(tensor), "every tensor of a layer");
    for (size_t i = 0; i < countof(all); i++) {
        if (!place_tensor(b, all[i], e)) return false;
    }
    return true;
}

void model_cut(model *m, model_part *part)
{
    assert(m->header != &part->header && part->first >= 0 && part->first < part->end);
    assert(part->end <= m->config->n_layer);
    part->goes_on = part->end < m->config->n_layer;
    part->header = *m->header;
    part->header.config.n_layer = part->end - part->first;
    part->header.config.layer_is_local += part->first;
    m->header = &part->header;
    m->config = &part->header.config;
}

void model_cut_weights(model *m, const model_part *part)
{
    model_weights *w = &m->weights;
    w->layer += part->first;
    if (part->first > 0) w->embed = (tensor){0};
    if (part->goes_on) w->output_norm = w->lm_head = (tensor){0};
}

bool model_place(model *m, backend *b, err *e)
{
    model_weights *w = &m->weights;
    const bool tied = w->lm_head.data == w->embed.data; /* nothing of both, in a middle part */
    if (!device_is_apart(b)) return true;
    assert(w->layer);
    if (!place_tensor(b, &w->embed, e) || !place_tensor(b, &w->output_norm, e)) return false;
    if (tied) w->lm_head = w->embed;
    else if (!place_tensor(b, &w->lm_head, e)) return false;
    for (int32_t i = 0; i < m->config->n_layer; i++) {
        if (!place_layer(b, &w->layer[i], e)) return false;
    }
    return backend_sync(b, e);
}
