/* cuda attention, the host's part: a plan becomes tiles of packed rows; see attend.cu. */
#include "compute/cuda/cuda_in.h"

#include <assert.h>

enum { HEIGHT_SMALL = 16, HEIGHT_MIDDLE = 64, HEIGHT_LARGE = 128, HEIGHT_PRECISE = 4 };

_Static_assert(sizeof(k_span) == sizeof(attend_span), "spans go over as they are");
_Static_assert(sizeof(k_range) == sizeof(attend_range), "ranges go over as they are");
_Static_assert(offsetof(k_span, n_range) == offsetof(attend_span, n_range), "field by field");
_Static_assert(offsetof(k_range, position) == offsetof(attend_range, position), "field by field");

static int32_t height_of(const backend *b, const attend_plan *plan, int32_t group, int32_t head_dim)
{
    int64_t most = 0;
    if (cuda_of(b)->precise) return HEIGHT_PRECISE;
    for (int32_t i = 0; i < plan->n_span; i++) {
        const int64_t packed = (int64_t)plan->span[i].count * group;
        if (packed > most) most = packed;
    }
    if (most <= HEIGHT_SMALL) return HEIGHT_SMALL;
    return most <= HEIGHT_MIDDLE || head_dim > 128 ? HEIGHT_MIDDLE : HEIGHT_LARGE;
}

/* Later tiles of a span see more keys: they start first. */
int32_t cuda_tiles(backend *b, k_attention *a, const attend_plan *plan)
{
    cuda_workspace *w = cuda_space(b);
    const int32_t group = a->heads / a->heads_kv;
    int32_t n = 0, n_range = 0;
    if (a->height == 0) a->height = height_of(b, plan, group, a->head_dim);
    for (int32_t i = 0; i < plan->n_span; i++) {
        const attend_span *s = &plan->span[i];
        const int32_t end = s->first_range + s->n_range, packed = s->count * group;
        if (end > n_range) n_range = end;
        for (int32_t p = (packed - 1) / a->height * a->height; packed > 0 && p >= 0;
             p -= a->height) {
            assert(n < w->tiles_max);
            w->tile[n++] = (k_tile){i, p};
        }
    }
    if (n == 0) return 0;
    a->span = cuda_stage(b, plan->span, (size_t)plan->n_span * sizeof *plan->span);
    a->tile = cuda_stage(b, w->tile, (size_t)n * sizeof *w->tile);
    a->range = NULL;
    if (n_range > 0) a->range = cuda_stage(b, plan->range, (size_t)n_range * sizeof *plan->range);
    a->n_tile = n;
    a->scale = plan->scale, a->softcap = plan->softcap, a->window = plan->window;
    return b->failure.code == ERR_NONE ? n : 0;
}

void cuda_attend(backend *b, tensor o, tensor q, tensor k, tensor v, const attend_plan *plan)
{
    k_attention a = {.q = q.data,
                     .k = k.data,
                     .v = v.data,
                     .o = o.data,
                     .type = cuda_row_type(q.type),
                     .precise = cuda_of(b)->precise,
                     .heads = (int32_t)q.dim[1],
                     .heads_kv = (int32_t)k.dim[1],
                     .head_dim = (int32_t)q.dim[2]};
    if (cuda_tiles(b, &a, plan) == 0) return;
    k_attend(cuda_of(b)->stream, &a);
    cuda_launched(b, "attention");
}
