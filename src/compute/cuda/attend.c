/* cuda attention, the host's part: a plan becomes tiles of packed rows; see attend.cu. */
#include "compute/cuda/cuda_in.h"

#include <assert.h>
#include <string.h>

enum {
    HEIGHT_SMALL = 16,
    HEIGHT_MIDDLE = 64,
    HEIGHT_LARGE = 128,
    HEIGHT_PRECISE = 4,
    TERMS_HEAD_MAX = 128
};

_Static_assert(sizeof(k_span) == sizeof(attend_span), "spans go over as they are");
_Static_assert(sizeof(k_range) == sizeof(attend_range), "ranges go over as they are");
_Static_assert(offsetof(k_span, n_range) == offsetof(attend_span, n_range), "field by field");
_Static_assert(offsetof(k_range, position) == offsetof(attend_range, position), "field by field");

/* Do two spans of one row look at the same keys but for their last range (samples of one prompt)?
 * Rows and positions must let one tile hold both. */
static bool are_alike(const attend_plan *plan, const attend_span *s, const attend_span *t)
{
    if (s->count != 1 || t->count != 1 || s->n_range != t->n_range || s->n_range < 2) return false;
    if (t->row != s->row + 1 || t->position != s->position) return false;
    const size_t shared = (size_t)(s->n_range - 1) * sizeof *plan->range;
    return !memcmp(plan->range + s->first_range, plan->range + t->first_range, shared);
}

/* Spans from i on that one tile can hold. */
static int32_t bundle_of(const attend_plan *plan, int32_t i, int32_t most)
{
    int32_t n = 1;
    while (n < most && i + n < plan->n_span &&
           are_alike(plan, &plan->span[i + n - 1], &plan->span[i + n]))
        n++;
    return n;
}

static int32_t height_of(const attend_plan *plan, const k_attention *a)
{
    const int32_t group = a->heads / a->heads_kv;
    int64_t most = 0;
    if (a->precise) return HEIGHT_PRECISE;
    for (int32_t i = 0; i < plan->n_span;) {
        const int32_t n = bundle_of(plan, i, HEIGHT_MIDDLE / group);
        const int64_t packed = (n > 1 ? n : (int64_t)plan->span[i].count) * group;
        if (packed > most) most = packed;
        i += n;
    }
    if (most <= HEIGHT_SMALL) return HEIGHT_SMALL;
    return most <= HEIGHT_MIDDLE || a->head_dim > 128 || a->two_terms ? HEIGHT_MIDDLE
                                                                      : HEIGHT_LARGE;
}

/* Later tiles of a span see more keys: they start first. */
static int32_t cut_tiles(backend *b, const k_attention *a, const attend_plan *plan, int32_t most)
{
    cuda_workspace *w = cuda_space(b);
    const int32_t group = a->heads / a->heads_kv;
    int32_t n = 0;
    for (int32_t i = 0; i < plan->n_span;) {
        const int32_t bundle = bundle_of(plan, i, most), packed = plan->span[i].count * group;
        int32_t p = (packed - 1) / a->height * a->height;
        if (bundle > 1) p = 0;
        for (; packed > 0 && p >= 0; p -= a->height) {
            assert(n < w->tiles_max);
            w->tile[n++] = (k_tile){i, p, bundle};
        }
        i += bundle;
    }
    return n;
}

/* All layers of a step ask for the same tiles: what stands on the device at these places has not
 * changed since the stage last began anew, so neither have they. */
static bool known_tiles(backend *b, k_attention *a, const attend_plan *plan)
{
    const known *k = &cuda_of(b)->tiles;
    if (!k->a.tile || k->n_span != plan->n_span || k->a.span != a->span || k->a.range != a->range ||
        k->asked != a->height || k->a.heads != a->heads || k->a.heads_kv != a->heads_kv ||
        k->a.head_dim != a->head_dim || k->a.precise != a->precise ||
        k->a.two_terms != a->two_terms)
        return false;
    a->tile = k->a.tile, a->n_tile = k->a.n_tile, a->height = k->a.height;
    return true;
}

/* Their number; 0 after a failure, and where an op is only written down. */
static int32_t tiles_there(backend *b, const k_attention *a)
{
    cuda_graphs *g = &cuda_of(b)->graphs;
    cuda_graph_note(g, (uint64_t)a->n_tile << 32 | (uint32_t)a->height);
    return b->failure.code == ERR_NONE && !g->describing ? a->n_tile : 0;
}

/* Steps of single rows, in a graph: the last tile again, up to a number that is met again when some
 * of the rows are gone. It writes what it wrote before. */
static void fill_tiles(backend *b, k_attention *a, const attend_plan *plan)
{
    const cuda_workspace *w = cuda_space(b);
    for (int32_t i = 0; i < plan->n_span; i++) {
        if (plan->span[i].count != 1) return;
    }
    const int32_t most = w->tiles_max < INT32_MAX ? (int32_t)w->tiles_max : INT32_MAX;
    const int32_t n = graph_rows(b, a->n_tile, most);
    while (a->n_tile < n) w->tile[a->n_tile] = w->tile[a->n_tile - 1], a->n_tile++;
}

int32_t cuda_tiles(backend *b, k_attention *a, const attend_plan *plan)
{
    const int32_t asked = a->height; /* 0 on the way forward; the way back has no bundles */
    const int64_t began = cuda_of(b)->stage_began;
    int32_t n_range = 0;
    for (int32_t i = 0; i < plan->n_span; i++) {
        const int32_t end = plan->span[i].first_range + plan->span[i].n_range;
        if (end > n_range) n_range = end;
    }
    if (plan->n_span == 0) return 0;
    a->scale = plan->scale, a->softcap = plan->softcap, a->window = plan->window;
    a->range = NULL;
    a->span = cuda_stage_at(b, plan->span, (size_t)plan->n_span * sizeof *plan->span);
    if (n_range > 0)
        a->range = cuda_stage_at(b, plan->range, (size_t)n_range * sizeof *plan->range);
    if (known_tiles(b, a, plan)) return tiles_there(b, a);
    if (asked == 0) a->height = height_of(plan, a);
    const int32_t most = asked == 0 && !a->precise ? a->height / (a->heads / a->heads_kv) : 1;
    a->n_tile = cut_tiles(b, a, plan, most);
    if (a->n_tile == 0) return 0;
    if (asked == 0 && cuda_of(b)->graphs.inside) fill_tiles(b, a, plan);
    a->tile = cuda_stage_at(b, cuda_space(b)->tile, (size_t)a->n_tile * sizeof *a->tile);
    if (cuda_of(b)->stage_began == began) cuda_of(b)->tiles = (known){*a, plan->n_span, asked};
    return tiles_there(b, a);
}

void cuda_attend(backend *b, tensor o, tensor q, tensor k, tensor v, const attend_plan *plan)
{
    const bool terms = cuda_of(b)->two_terms && q.dim[2] <= TERMS_HEAD_MAX;
    k_attention a = {.q = q.data,
                     .k = k.data,
                     .v = v.data,
                     .o = o.data,
                     .type = cuda_row_type(q.type),
                     .precise = cuda_of(b)->precise && !terms,
                     .two_terms = terms,
                     .hopper = cuda_of(b)->hopper,
                     .heads = (int32_t)q.dim[1],
                     .heads_kv = (int32_t)k.dim[1],
                     .head_dim = (int32_t)q.dim[2]};
    if (cuda_tiles(b, &a, plan) == 0) return;
    k_attend(cuda_of(b)->stream, &a);
    cuda_launched(b, "attention");
}
