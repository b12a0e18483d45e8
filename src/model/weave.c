/* weave: see weave.h. A tied head and embedding are one tensor, and are woven once. */
#include "model/weave.h"

#include "base/file.h"
#include "compute/device.h"
#include "compute/weave.h"

#include <assert.h>

/* What was laid out in memory when it was bound has no file to go back to. */
static bool is_in_file(const model_header *h, const void *p)
{
    bool inside = false;
    for (int32_t i = 0; i < h->n_file; i++) {
        const unsigned char *at = p, *from = h->file[i].data;
        inside |= from && at >= from && at < from + h->file[i].size;
    }
    return inside;
}

static bool weave_tensor(const model *m, backend *b, tensor *w, arena *a, err *e)
{
    int64_t row = 0;
    if (!w->data || w->woven || !backend_weaves(b, w->type) || !is_in_file(m->header, w->data)) {
        return true;
    }
    bool whole = dtype_row_bytes(w->type, w->dim[1], &row);
    assert(whole && w->rank == 2);
    const size_t bytes = (size_t)row * (size_t)w->dim[0];
    void *to = arena_take(a, (size_t)w->dim[0], (size_t)row, e);
    if (!to) return e->code == ERR_NONE;
    const void *from = w->data;
    backend_weave(b, w, to);
    file_rest(from, bytes);
    return true;
}

bool model_weave(model *m, backend *b, arena *a, err *e)
{
    model_weights *w = &m->weights;
    const bool tied = w->lm_head.data == w->embed.data;
    if (device_is_apart(b)) return true;
    assert(m->header && w->layer && w->embed.data);
    for (int32_t i = 0; i < m->config->n_layer; i++) {
        layer_weights *l = &w->layer[i];
        tensor *all[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
        for (size_t k = 0; k < countof(all); k++) {
            if (!weave_tensor(m, b, all[k], a, e)) return false;
        }
    }
    if (!weave_tensor(m, b, &w->lm_head, a, e)) return false;
    if (tied) w->embed = w->lm_head;
    return true;
}
