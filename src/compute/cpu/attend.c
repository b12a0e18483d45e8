/* cpu attention: which query rows meet which blocks of keys; the arithmetic is in attend_in.h.
 *
 * A task is a stretch of query rows of one span and one K/V head, with all query heads of that K/V
 * head as rows beside each other (row = query * heads of the group + head): K and V are packed once
 * for all of them. Keys come in blocks of ATTEND_BLOCK from the start of each range; a block that
 * no row of a tile sees is skipped, which changes no bit (see attend_in.h). */
#include "compute/cpu/cpu_in.h"
#include "compute/cpu/train_in.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct attention {
    const cpu_workspace *space;
    tensor o, q, k, v;
    const attend_plan *plan;
    float *log_sum_exp; /* [n,h] kept for the way back; NULL: not wanted */
    int64_t items;
} attention;

typedef struct
    attend_space {  /* one thread's scratch; R is the kernels' tile height, n tiles of it */
    float *q;       /* [n][hd][R] */
    float *mixed;   /* [n R][ld_v] */
    float *largest; /* [n R] */
    float *sum;     /* [n R][lanes] */
    float *k;       /* [ATTEND_BLOCK / C][hd][C] */
    float *v;       /* [ld_v / C][ATTEND_BLOCK][C] */
    float *score;   /* [R][ATTEND_BLOCK] */
    float *scaled;  /* [R][hd] */
} attend_space;

static int64_t up_to(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

/* Lays the scratch out from `at`; returns its size in floats. */
static size_t attend_cut(attend_space *a, float *at, const cpu_kernels *kernels, int64_t rows,
                         int64_t head_dim)
{
    const int64_t height = kernels->tile_rows, panel = kernels->panel;
    const int64_t n = up_to(rows, height), ld_v = up_to(head_dim, panel);
    const int64_t size[8] = {n * head_dim,
                             n * ld_v,
                             n,
                             n * kernels->lanes,
                             ATTEND_BLOCK * head_dim,
                             ld_v * ATTEND_BLOCK,
                             height * ATTEND_BLOCK,
                             height * head_dim};
    float **part[8] = {&a->q, &a->mixed, &a->largest, &a->sum, &a->k, &a->v, &a->score, &a->scaled};
    size_t used = 0;
    for (int i = 0; i < 8; i++) {
        *part[i] = at ? at + used : NULL;
        used += (size_t)up_to(size[i], 16);
    }
    return used;
}

size_t cpu_attend_floats(const cpu_kernels *kernels, const backend_shape *shape)
{
    attend_space unused;
    int64_t group = shape->n_head_kv > 0 ? shape->n_head / shape->n_head_kv : 1;
    int64_t rows = group > ATTEND_ROWS_MAX ? group : ATTEND_ROWS_MAX;
    return attend_cut(&unused, NULL, kernels, rows, shape->head_dim);
}

/* Query rows a task takes: as many as fill ATTEND_ROWS_MAX with all heads of the group. */
static int32_t queries_a_task(int64_t group, int64_t head_dim)
{
    int64_t rows = head_dim > 128 ? ATTEND_ROWS_MAX / 2 : ATTEND_ROWS_MAX;
    return (int32_t)(rows / group > 1 ? rows / group : 1);
}

typedef struct attend_task { /* one task on its way */
    const attention *a;
    attend_space s;
    const attend_span *span;
    int64_t first, rows; /* query rows of the span; rows = queries * group */
    int64_t kv_head, group;
} attend_task;

static void pack_queries(const attend_task *t)
{
    const attention *a = t->a;
    const cpu_kernels *kernels = a->space->kernels;
    const int64_t hd = a->q.dim[2], h = a->q.dim[1], height = kernels->tile_rows;
    const float log2_e = 1.44269504f, cap = a->plan->softcap;
    const float scale = cap > 0 ? a->plan->scale / cap : a->plan->scale * log2_e;
    for (int64_t tile = 0; tile < t->rows; tile += height) {
        int64_t rows = t->rows - tile < height ? t->rows - tile : height;
        for (int64_t i = 0; i < rows; i++) {
            int64_t query = t->span->row + t->first + (tile + i) / t->group;
            int64_t head = t->kv_head * t->group + (tile + i) % t->group;
            kernels->scale(t->s.scaled + i * hd, (const float *)a->q.data + (query * h + head) * hd,
                           scale, hd);
        }
        kernels->transpose(t->s.q + tile * hd, height, t->s.scaled, hd, rows, hd, height);
    }
}

/* A block of `keys` keys from `slot`: K transposed into panels, V copied into panels
 * (zero-filled). */
static void pack_keys(const attend_task *t, int64_t slot, int64_t keys)
{
    const attention *a = t->a;
    const cpu_kernels *kernels = a->space->kernels;
    const int64_t hd = a->k.dim[2], ld = a->k.dim[1] * hd, panel = kernels->panel;
    const float *k = (const float *)a->k.data + slot * ld + t->kv_head * hd;
    const float *v = (const float *)a->v.data + slot * ld + t->kv_head * hd;
    for (int64_t c = 0; c < keys; c += panel) {
        int64_t n = keys - c < panel ? keys - c : panel;
        kernels->transpose(t->s.k + c * hd, panel, k + c * ld, ld, n, hd, panel);
    }
    for (int64_t c = 0; c < hd; c += panel) {
        int64_t n = hd - c < panel ? hd - c : panel;
        for (int64_t i = 0; i < keys; i++) {
            float *to = t->s.v + c * ATTEND_BLOCK + i * panel;
            memcpy(to, v + i * ld + c, (size_t)n * sizeof *to);
            if (n < panel) memset(to + n, 0, (size_t)(panel - n) * sizeof *to);
        }
    }
}

/* The keys [low, high) of a block that query position q sees. */
static void seen(const attend_plan *plan, int64_t q, int64_t position, int64_t keys, int32_t *low,
                 int32_t *high)
{
    int64_t from = plan->window > 0 ? q - plan->window + 1 - position : 0;
    int64_t to = q + 1 - position;
    if (from < 0) from = 0;
    if (to > keys) to = keys;
    if (to < from) to = from = 0;
    *low = (int32_t)from;
    *high = (int32_t)to;
}

static bool sees_any(const attend_plan *plan, int64_t first_q, int64_t last_q, int64_t position,
                     int64_t keys)
{
    if (position > last_q) return false;
    return plan->window == 0 || position + keys - 1 > first_q - plan->window;
}

static void meet_block(const attend_task *t, int64_t position, int64_t keys)
{
    const attention *a = t->a;
    const cpu_kernels *kernels = a->space->kernels;
    const int64_t hd = a->q.dim[2], height = kernels->tile_rows, ld_v = up_to(hd, kernels->panel);
    const int64_t start = t->span->position + t->first;
    int32_t low[16] = {0}, high[16] = {0};
    assert(height <= 16);
    for (int64_t tile = 0; tile < t->rows; tile += height) {
        int64_t rows = t->rows - tile < height ? t->rows - tile : height;
        int64_t first_q = start + tile / t->group, last_q = start + (tile + rows - 1) / t->group;
        if (!sees_any(a->plan, first_q, last_q, position, keys)) continue;
        for (int64_t i = 0; i < height; i++) {
            low[i] = high[i] = 0;
            if (i >= rows) continue;
            seen(a->plan, start + (tile + i) / t->group, position, keys, &low[i], &high[i]);
        }
        int32_t used = 0; /* keys past the last one seen add nothing: leave them out */
        for (int64_t i = 0; i < rows; i++) used = high[i] > used ? high[i] : used;
        attend_job job = {
            .q = t->s.q + tile * hd,
            .k = t->s.k,
            .v = t->s.v,
            .mixed = t->s.mixed + tile * ld_v,
            .largest = t->s.largest + tile,
            .sum = t->s.sum + tile * kernels->lanes,
            .score = t->s.score,
            .low = low,
            .high = high,
            .rows = (int32_t)rows,
            .keys = used,
            .head_dim = (int32_t)hd,
            .softcap_log2 = a->plan->softcap > 0 ? a->plan->softcap * 1.44269504f : 0,
        };
        kernels->attend(&job);
    }
}

static void write_rows(const attend_task *t)
{
    const attention *a = t->a;
    const int64_t hd = a->q.dim[2], h = a->q.dim[1];
    attend_job job = {.mixed = t->s.mixed, .sum = t->s.sum, .head_dim = (int32_t)hd};
    for (int64_t i = 0; i < t->rows; i++) {
        int64_t query = t->span->row + t->first + i / t->group;
        int64_t head = t->kv_head * t->group + i % t->group;
        float *out = (float *)a->o.data + (query * h + head) * hd;
        float sum = a->space->kernels->attend_end(&job, (int32_t)i, out);
        if (!a->log_sum_exp) continue;
        const float log_2 = 0.693147181f;
        a->log_sum_exp[query * h + head] = sum > 0 ? (t->s.largest[i] + log2f(sum)) * log_2 : 0;
    }
}

static void attend_run(void *context, int64_t task, int thread)
{
    const attention *a = context;
    const cpu_workspace *space = a->space;
    const int64_t g = a->k.dim[1];
    const attend_item *item = &space->item[task / g];
    attend_task t = {.a = a, .span = &a->plan->span[item->span], .first = item->first};
    t.group = a->q.dim[1] / g;
    t.kv_head = task % g;
    t.rows = item->count * t.group;
    attend_cut(&t.s, space->attention + (size_t)thread * space->attend_size, space->kernels, t.rows,
               a->q.dim[2]);
    const int64_t n = up_to(t.rows, space->kernels->tile_rows);
    memset(t.s.mixed, 0, (size_t)(n * up_to(a->q.dim[2], space->kernels->panel)) * sizeof(float));
    memset(t.s.sum, 0, (size_t)(n * space->kernels->lanes) * sizeof(float));
    for (int64_t i = 0; i < n; i++) t.s.largest[i] = -3e38f;
    pack_queries(&t);
    const int64_t first_q = t.span->position + t.first, last_q = first_q + item->count - 1;
    for (int32_t r = 0; r < t.span->n_range; r++) {
        const attend_range *range = &a->plan->range[t.span->first_range + r];
        for (int64_t i = 0; i < range->count; i += ATTEND_BLOCK) {
            int64_t keys = range->count - i < ATTEND_BLOCK ? range->count - i : ATTEND_BLOCK;
            int64_t position = (int64_t)range->position + i;
            if (!sees_any(a->plan, first_q, last_q, position, keys)) continue;
            pack_keys(&t, range->slot + i, keys);
            meet_block(&t, position, keys);
        }
    }
    write_rows(&t);
}

static void attend_all(backend *b, attention a)
{
    cpu_workspace *s = b->workspace;
    const attend_plan *plan = a.plan;
    const tensor q = a.q, k = a.k;
    a.space = s;
    const int32_t step = queries_a_task(q.dim[1] / k.dim[1], q.dim[2]);
    for (int32_t i = plan->n_span - 1; i >= 0;
         i--) { /* the last rows see most keys: they go first */
        int32_t count = plan->span[i].count;
        for (int32_t first = (count - 1) / step * step; count > 0 && first >= 0; first -= step) {
            int32_t n = count - first < step ? count - first : step;
            assert(a.items < s->items_max);
            s->item[a.items++] = (attend_item){.span = i, .first = first, .count = n};
        }
    }
    pool_run(b->threads, a.items * k.dim[1], attend_run, &a);
}

void cpu_attend(backend *b, tensor o, tensor q, tensor k, tensor v, const attend_plan *plan)
{
    attend_all(b, (attention){.o = o, .q = q, .k = k, .v = v, .plan = plan});
}

void cpu_attend_keep(backend *b, const attend_tape *t, const attend_plan *plan)
{
    attend_all(b, (attention){.o = t->o,
                              .q = t->q,
                              .k = t->k,
                              .v = t->v,
                              .plan = plan,
                              .log_sum_exp = t->log_sum_exp});
}
