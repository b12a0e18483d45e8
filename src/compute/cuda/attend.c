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

_Static_assert((int)HEIGHT_MIDDLE == (int)WIDE_HEIGHT, "a warpgroup's rows");
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

/* The tiles that hold a span, or a bundle of them: of the least height that takes all of it. */
static int32_t height_for(const k_attention *a, int64_t packed)
{
    if (a->precise) return HEIGHT_PRECISE;
    if (packed <= HEIGHT_SMALL) return HEIGHT_SMALL;
    const bool middle = packed <= HEIGHT_MIDDLE || a->head_dim > 128 || a->two_terms;
    return middle || k_attend_is_wide(a) ? HEIGHT_MIDDLE : HEIGHT_LARGE;
}

/* The tiles of a height, from tile `n` of the workspace on; the number of all with them. A height
 * that was asked for takes every span, alone. Later tiles of a span see more keys: they start
 * first. */
static int32_t cut_tiles(backend *b, const k_attention *a, const attend_plan *plan, bool asked,
                         int32_t n)
{
    cuda_workspace *w = cuda_space(b);
    const int32_t group = a->heads / a->heads_kv;
    const int32_t most = asked || a->precise ? 1 : HEIGHT_MIDDLE / group;
    for (int32_t i = 0; i < plan->n_span;) {
        const int32_t bundle = bundle_of(plan, i, most), packed = plan->span[i].count * group;
        const int64_t all = bundle > 1 ? (int64_t)bundle * group : packed;
        int32_t p = (packed - 1) / a->height * a->height;
        if (bundle > 1) p = 0;
        if (packed == 0 || (!asked && height_for(a, all) != a->height)) p = -1;
        for (; p >= 0; p -= a->height) {
            assert(n < w->tiles_max);
            w->tile[n++] = (k_tile){i, p, bundle};
        }
        i += bundle;
    }
    return n;
}

/* Steps of single rows, in a graph: the last tile again, up to a number that is met again when some
 * of the rows are gone. It writes what it wrote before. Tiles first .. n; the new n. */
static int32_t fill_tiles(backend *b, const attend_plan *plan, int32_t first, int32_t n)
{
    const cuda_workspace *w = cuda_space(b);
    for (int32_t i = 0; i < plan->n_span; i++) {
        if (plan->span[i].count != 1) return n;
    }
    const int64_t left = w->tiles_max - first;
    const int32_t most = left < INT32_MAX ? (int32_t)left : INT32_MAX;
    const int32_t end = first + graph_rows(b, n - first, most);
    while (n < end) w->tile[n] = w->tile[n - 1], n++;
    return n;
}

/* Every height's tiles, the high ones first; cut and sent. */
static known make_tiles(backend *b, const k_attention *a, const attend_plan *plan)
{
    static const int32_t heights[] = {HEIGHT_LARGE, HEIGHT_MIDDLE, HEIGHT_SMALL, HEIGHT_PRECISE};
    k_attention one = *a;
    known k = {.a = *a, .n_span = plan->n_span};
    int32_t first[TILE_PARTS], n = 0;
    for (int i = 0; i < (a->height > 0 ? 1 : (int)countof(heights)); i++) {
        if (a->height == 0) one.height = heights[i];
        int32_t end = cut_tiles(b, &one, plan, a->height > 0, n);
        if (end == n) continue;
        if (a->height == 0 && cuda_of(b)->graphs.inside) end = fill_tiles(b, plan, n, end);
        first[k.n_part] = n;
        k.part[k.n_part++] = (tile_part){.n = end - n, .height = one.height};
        n = end;
    }
    if (n == 0) return k;
    const k_tile *at = cuda_stage_at(b, cuda_space(b)->tile, (size_t)n * sizeof *at);
    for (int i = 0; i < k.n_part; i++) k.part[i].tile = at ? at + first[i] : NULL;
    return k;
}

/* All layers of a step ask for the same tiles: what stands on the device at these places has not
 * changed since the stage last began anew, so neither have they. */
static bool are_known(const known *k, const k_attention *a, const attend_plan *plan)
{
    return k->n_part > 0 && k->n_span == plan->n_span && k->a.span == a->span &&
           k->a.range == a->range && k->a.height == a->height && k->a.heads == a->heads &&
           k->a.heads_kv == a->heads_kv && k->a.head_dim == a->head_dim &&
           k->a.precise == a->precise && k->a.two_terms == a->two_terms;
}

int cuda_tiles(backend *b, const k_attention *asked, const attend_plan *plan,
               k_attention part[TILE_PARTS])
{
    cuda_graphs *g = &cuda_of(b)->graphs;
    const int64_t began = cuda_of(b)->stage_began;
    k_attention a = *asked;
    int32_t n_range = 0;
    for (int32_t i = 0; i < plan->n_span; i++) {
        const int32_t end = plan->span[i].first_range + plan->span[i].n_range;
        if (end > n_range) n_range = end;
    }
    a.scale = plan->scale, a.softcap = plan->softcap, a.window = plan->window;
    part[0] = a;
    if (plan->n_span == 0) return 0;
    a.span = cuda_stage_at(b, plan->span, (size_t)plan->n_span * sizeof *plan->span);
    if (n_range > 0) a.range = cuda_stage_at(b, plan->range, (size_t)n_range * sizeof *plan->range);
    known k = cuda_of(b)->tiles;
    if (!are_known(&k, &a, plan)) {
        k = make_tiles(b, &a, plan);
        if (cuda_of(b)->stage_began == began) cuda_of(b)->tiles = k;
    }
    for (int i = 0; i < k.n_part; i++) {
        part[i] = a;
        part[i].tile = k.part[i].tile, part[i].n_tile = k.part[i].n;
        part[i].height = k.part[i].height;
        cuda_graph_note(g, (uint64_t)part[i].n_tile << 32 | (uint32_t)part[i].height);
    }
    return b->failure.code == ERR_NONE && !g->describing ? k.n_part : 0;
}

void cuda_attend_tiles(backend *b, const k_attention *a, const attend_plan *plan)
{
    k_attention part[TILE_PARTS];
    const int n = cuda_tiles(b, a, plan, part);
    for (int i = 0; i < n; i++) k_attend(cuda_of(b)->stream, &part[i]);
    if (n > 0) cuda_launched(b, "attention");
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
    cuda_attend_tiles(b, &a, plan);
}
