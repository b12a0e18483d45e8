/* cpu attention on its way back, on the tiles of back_in.h. The way forward is attend.c's, which
 * keeps each row's log-sum-exp.
 *
 * Two passes, each output in one task. First dQ: a task is a stretch of query rows of one span and
 * one K/V head (all query heads of it as rows beside each other, row = query * group + head), and
 * walks the blocks of keys in the order of the ranges. Then dK and dV: a task is ATTEND_BLOCK slots
 * of one K/V head and walks spans, ranges and query rows in the plan's order. The scores are
 * computed again in each: no sum is ever shared, so nothing depends on the threads. Equations:
 * ref/attend_back.c. */
#include "compute/cpu/train_in.h"

#include <assert.h>
#include <string.h>

typedef struct attention {
    const cpu_workspace *space;
    const cpu_train_space *train;
    const attend_tape *tape;
    const attend_grad *grad;
    const attend_plan *plan;
} attention;

typedef struct back_space {  /* one thread's; R tile height, C panel, M query rows rounded up */
    float *q, *d_o;          /* packed tiles [M / R][hd][R] */
    float *q_rows, *do_rows; /* panels [ld / C][M][C]: as right-hand sides */
    float *k, *v;            /* [ATTEND_BLOCK / C][hd][C] */
    float *k_rows;           /* [ld / C][ATTEND_BLOCK][C] */
    float *score, *slope;    /* [M][ATTEND_BLOCK]: p, then ds */
    float *dq;               /* [M][ld] */
    float *dk, *dv;          /* [ATTEND_BLOCK + R][ld] */
    float *gather;           /* [M][hd] */
    float *lse, *own;        /* [M] */
    int32_t *low, *high;     /* [M] */
} back_space;

static int64_t up_to(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

/* Lays the scratch out from `at`; returns its size in floats. */
static size_t cut(back_space *s, float *at, const cpu_kernels *kernels, int64_t rows,
                  int64_t head_dim)
{
    const int64_t height = kernels->tile_rows, m = up_to(rows, height);
    const int64_t ld = up_to(head_dim, kernels->panel), block = ATTEND_BLOCK;
    float *low = NULL, *high = NULL;
    float **part[] = {&s->q,      &s->d_o,   &s->q_rows, &s->do_rows, &s->k,  &s->v,
                      &s->k_rows, &s->score, &s->slope,  &s->dq,      &s->dk, &s->dv,
                      &s->gather, &s->lse,   &s->own,    &low,        &high};
    const int64_t size[] = {m * head_dim,
                            m * head_dim,
                            m * ld,
                            m * ld,
                            block * head_dim,
                            block * head_dim,
                            block * ld,
                            m * block,
                            m * block,
                            m * ld,
                            (block + height) * ld,
                            (block + height) * ld,
                            m * head_dim,
                            m,
                            m,
                            m,
                            m};
    size_t used = 0;
    for (size_t i = 0; i < countof(part); i++) {
        *part[i] = at ? at + used : NULL;
        used += (size_t)up_to(size[i] + LANES_MAX, 16);
    }
    s->low = (int32_t *)(void *)low;
    s->high = (int32_t *)(void *)high;
    return used;
}

static int64_t queries_a_block(int64_t group)
{
    return BACK_QUERIES / group > 1 ? BACK_QUERIES / group : 1;
}

size_t cpu_back_floats(const cpu_kernels *kernels, const backend_shape *shape)
{
    back_space unused;
    int64_t group = shape->n_head_kv > 0 ? shape->n_head / shape->n_head_kv : 1;
    return cut(&unused, NULL, kernels, queries_a_block(group) * group, shape->head_dim);
}

typedef struct block_task { /* a stretch of queries against a block of keys */
    const attention *a;
    back_space s;
    const attend_span *span;
    int64_t first, rows; /* first query of the span; rows = queries * group */
    int64_t kv_head, group;
} block_task;

static const float *row_of(tensor t, int64_t i, int64_t head)
{
    return (const float *)t.data + (i * t.dim[1] + head) * t.dim[2];
}

/* The query-side rows of `from`: packed as tiles and, with `panels`, as right-hand sides. */
static void pack_queries(const block_task *t, tensor from, float *tiles, float *panels)
{
    const cpu_kernels *kernels = t->a->space->kernels;
    const int64_t hd = from.dim[2], height = kernels->tile_rows, panel = kernels->panel;
    const int64_t m = up_to(t->rows, height);
    for (int64_t i = 0; i < t->rows; i += t->group) {
        const float *heads =
            row_of(from, t->span->row + t->first + i / t->group, t->kv_head * t->group);
        memcpy(t->s.gather + i * hd, heads, (size_t)(t->group * hd) * sizeof *heads);
    }
    for (int64_t c = 0; panels && c < hd; c += panel) {
        int64_t n = hd - c < panel ? hd - c : panel;
        for (int64_t i = 0; i < t->rows; i++) {
            float *to = panels + c * m + i * panel;
            if (n == panel) {
                memcpy(to, t->s.gather + i * hd + c, (size_t)panel * sizeof *to);
            } else {
                memcpy(to, t->s.gather + i * hd + c, (size_t)n * sizeof *to);
                memset(to + n, 0, (size_t)(panel - n) * sizeof *to);
            }
        }
    }
    for (int64_t row = 0; row < t->rows; row += height) {
        int64_t n = t->rows - row < height ? t->rows - row : height;
        kernels->transpose(tiles + row * hd, height, t->s.gather + row * hd, hd, n, hd, height);
    }
}

/* Slots [slot, slot + keys) of K or V: transposed panels, and with `rows` plain ones. */
static void pack_keys(const block_task *t, tensor from, int64_t slot, int64_t keys, float *columns,
                      float *rows)
{
    const cpu_kernels *kernels = t->a->space->kernels;
    const int64_t hd = from.dim[2], ld = from.dim[1] * hd, panel = kernels->panel;
    const float *base = row_of(from, slot, t->kv_head);
    for (int64_t c = 0; c < keys; c += panel) {
        int64_t n = keys - c < panel ? keys - c : panel;
        kernels->transpose(columns + c * hd, panel, base + c * ld, ld, n, hd, panel);
    }
    for (int64_t c = 0; rows && c < hd; c += panel) {
        int64_t n = hd - c < panel ? hd - c : panel;
        for (int64_t i = 0; i < keys; i++) {
            float *to = rows + c * ATTEND_BLOCK + i * panel;
            memcpy(to, base + i * ld + c, (size_t)n * sizeof *to);
            if (n < panel) memset(to + n, 0, (size_t)(panel - n) * sizeof *to);
        }
    }
}

/* to [rows][ATTEND_BLOCK] = the packed tiles times the packed columns of the block. */
static void times_keys(const block_task *t, float *to, const float *tiles, const float *columns,
                       int64_t keys)
{
    const cpu_kernels *kernels = t->a->space->kernels;
    const int64_t hd = t->a->tape->k.dim[2], height = kernels->tile_rows;
    for (int64_t row = 0; row < t->rows; row += height) {
        mix_job job = {.way = MIX_PACKED,
                       .left = tiles + row * hd,
                       .right = columns,
                       .to = to + row * ATTEND_BLOCK,
                       .ld = ATTEND_BLOCK,
                       .k = hd,
                       .columns = keys,
                       .rows = (int32_t)(t->rows - row < height ? t->rows - row : height)};
        kernels->mix(&job);
    }
}

/* The keys [low, high) of a block from `position` that query position q sees, of [from, to). */
static void seen(const attend_plan *plan, int64_t q, int64_t position, int64_t *low, int64_t *high)
{
    int64_t from = plan->window > 0 ? q - plan->window + 1 - position : 0, to = q + 1 - position;
    if (from > *low) *low = from;
    if (to < *high) *high = to;
    if (*high < *low) *high = *low;
}

static bool sees_any(const attend_plan *plan, int64_t first_q, int64_t last_q, int64_t position,
                     int64_t keys)
{
    if (position > last_q || keys <= 0) return false;
    return plan->window == 0 || position + keys - 1 > first_q - plan->window;
}

/* score: products become p; slope: d_o.v becomes ds. Keys outside [low, high) get 0. */
static void soften(const block_task *t, int64_t position, int64_t low_key, int64_t high_key)
{
    const attend_plan *plan = t->a->plan;
    for (int64_t i = 0; i < t->rows; i += t->group) {
        int64_t low = low_key, high = high_key;
        seen(plan, t->span->position + t->first + i / t->group, position, &low, &high);
        for (int64_t j = i; j < i + t->group; j++) {
            t->s.low[j] = (int32_t)low;
            t->s.high[j] = (int32_t)high;
        }
    }
    soften_job job = {.score = t->s.score,
                      .slope = t->s.slope,
                      .log_sum_exp = t->s.lse,
                      .own = t->s.own,
                      .low = t->s.low,
                      .high = t->s.high,
                      .rows = (int32_t)t->rows,
                      .scale = plan->scale,
                      .softcap = plan->softcap};
    t->a->space->kernels->soften(&job);
}

static block_task task_of(const attention *a, int64_t kv_head, int thread)
{
    block_task t = {.a = a, .kv_head = kv_head};
    t.group = a->tape->q.dim[1] / a->tape->k.dim[1];
    cut(&t.s, a->train->attention + (size_t)thread * a->train->attend_size, a->space->kernels,
        queries_a_block(t.group) * t.group, a->tape->q.dim[2]);
    return t;
}

/* lse and d_o.o of the task's rows; the first pass computes d_o.o for the second. */
static void row_terms(const block_task *t, bool compute)
{
    const attention *a = t->a;
    const attend_tape *tape = a->tape;
    const int64_t h = tape->q.dim[1], hd = tape->q.dim[2];
    for (int64_t i = 0; i < t->rows; i++) {
        int64_t row = t->span->row + t->first + i / t->group;
        int64_t head = t->kv_head * t->group + i % t->group;
        float *own = &a->train->own[row * h + head];
        if (compute) {
            *own = a->space->kernels->dot(row_of(tape->o, row, head),
                                          row_of(a->grad->d_o, row, head), hd);
        }
        t->s.own[i] = *own;
        t->s.lse[i] = tape->log_sum_exp[row * h + head];
    }
}

static void load_queries(block_task *t, const attend_span *span, int64_t first, int64_t count,
                         bool first_pass)
{
    t->span = span;
    t->first = first;
    t->rows = count * t->group;
    pack_queries(t, t->a->tape->q, t->s.q, first_pass ? NULL : t->s.q_rows);
    pack_queries(t, t->a->grad->d_o, t->s.d_o, first_pass ? NULL : t->s.do_rows);
    row_terms(t, first_pass);
}

/* Rows of dQ: += ds k. */
static void add_dq(const block_task *t, int64_t keys)
{
    const cpu_kernels *kernels = t->a->space->kernels;
    const int64_t hd = t->a->tape->k.dim[2], height = kernels->tile_rows;
    const int64_t ld = up_to(hd, kernels->panel);
    for (int64_t row = 0; row < t->rows; row += height) {
        mix_job job = {.way = MIX_ROWS,
                       .left = t->s.slope + row * ATTEND_BLOCK,
                       .right = t->s.k_rows,
                       .to = t->s.dq + row * ld,
                       .ld = ld,
                       .k = keys,
                       .right_k = ATTEND_BLOCK,
                       .columns = hd,
                       .rows = (int32_t)(t->rows - row < height ? t->rows - row : height)};
        kernels->mix(&job);
    }
}

static void query_task(void *context, int64_t task, int thread)
{
    const attention *a = context;
    const int64_t g = a->tape->k.dim[1], hd = a->tape->q.dim[2], h = a->tape->q.dim[1];
    const attend_item *item = &a->space->item[task / g];
    const attend_span *span = &a->plan->span[item->span];
    block_task t = task_of(a, task % g, thread);
    const int64_t ld = up_to(hd, a->space->kernels->panel);
    load_queries(&t, span, item->first, item->count, true);
    memset(t.s.dq, 0, (size_t)(up_to(t.rows, a->space->kernels->tile_rows) * ld) * sizeof(float));
    const int64_t first_q = span->position + t.first, last_q = first_q + item->count - 1;
    for (int32_t r = span->first_range; r < span->first_range + span->n_range; r++) {
        const attend_range *range = &a->plan->range[r];
        for (int64_t i = 0; i < range->count; i += ATTEND_BLOCK) {
            int64_t keys = range->count - i < ATTEND_BLOCK ? range->count - i : ATTEND_BLOCK;
            if (!sees_any(a->plan, first_q, last_q, range->position + i, keys)) continue;
            if (keys > last_q + 1 - range->position - i) keys = last_q + 1 - range->position - i;
            pack_keys(&t, a->tape->k, range->slot + i, keys, t.s.k, t.s.k_rows);
            pack_keys(&t, a->tape->v, range->slot + i, keys, t.s.v, NULL);
            times_keys(&t, t.s.score, t.s.q, t.s.k, keys);
            times_keys(&t, t.s.slope, t.s.d_o, t.s.v, keys);
            soften(&t, range->position + i, 0, keys);
            add_dq(&t, keys);
        }
    }
    for (int64_t i = 0; i < t.rows; i++) {
        int64_t row = span->row + t.first + i / t.group, head = t.kv_head * t.group + i % t.group;
        float *to = (float *)a->grad->dq.data + (row * h + head) * hd;
        memcpy(to, t.s.dq + i * ld, (size_t)hd * sizeof *to);
    }
}

/* dK += ds^T q or dV += p^T d_o of the whole block, a tile of keys at a time. */
static void add_dkv(const block_task *t, const float *left, const float *right, float *to)
{
    const cpu_kernels *kernels = t->a->space->kernels;
    const int64_t hd = t->a->tape->k.dim[2], height = kernels->tile_rows;
    const int64_t ld = up_to(hd, kernels->panel), m = up_to(t->rows, height);
    for (int64_t key = 0; key < ATTEND_BLOCK; key += height) {
        mix_job job = {.way = MIX_COLUMNS,
                       .left = left + key,
                       .right = right,
                       .to = to + key * ld,
                       .ld = ld,
                       .k = t->rows,
                       .right_k = m,
                       .columns = hd,
                       .rows =
                           (int32_t)(ATTEND_BLOCK - key < height ? ATTEND_BLOCK - key : height)};
        kernels->mix(&job);
    }
}

/* All queries of a span against the slots [first, end) of one of its ranges. */
static void meet_range(block_task *t, const attend_span *span, const attend_range *range,
                       int64_t block)
{
    const attention *a = t->a;
    int64_t from = range->slot > block ? range->slot - block : 0;
    int64_t to = (int64_t)range->slot + range->count - block;
    if (to > ATTEND_BLOCK) to = ATTEND_BLOCK;
    const int64_t position = (int64_t)range->position - range->slot + block;
    const int64_t step = queries_a_block(t->group);
    int64_t begin = position + from - span->position; /* earlier queries see none of these keys */
    if (begin < 0) begin = 0;
    for (int64_t first = begin; first < span->count && from < to; first += step) {
        int64_t count = span->count - first < step ? span->count - first : step;
        int64_t first_q = span->position + first;
        if (!sees_any(a->plan, first_q, first_q + count - 1, position + from, to - from)) continue;
        load_queries(t, span, first, count, false);
        times_keys(t, t->s.score, t->s.q, t->s.k, to);
        times_keys(t, t->s.slope, t->s.d_o, t->s.v, to);
        soften(t, position, from, to);
        add_dkv(t, t->s.slope, t->s.q_rows, t->s.dk);
        add_dkv(t, t->s.score, t->s.do_rows, t->s.dv);
    }
}

static void key_task(void *context, int64_t task, int thread)
{
    const attention *a = context;
    const int64_t g = a->tape->k.dim[1], hd = a->tape->k.dim[2], slots = a->tape->k.dim[0];
    const int64_t block = task / g * ATTEND_BLOCK;
    const int64_t keys = slots - block < ATTEND_BLOCK ? slots - block : ATTEND_BLOCK;
    const int64_t ld = up_to(hd, a->space->kernels->panel);
    block_task t = task_of(a, task % g, thread);
    const size_t bytes =
        (size_t)((ATTEND_BLOCK + a->space->kernels->tile_rows) * ld) * sizeof(float);
    memset(t.s.dk, 0, bytes);
    memset(t.s.dv, 0, bytes);
    pack_keys(&t, a->tape->k, block, keys, t.s.k, NULL);
    pack_keys(&t, a->tape->v, block, keys, t.s.v, NULL);
    for (int32_t i = 0; i < a->plan->n_span; i++) {
        const attend_span *span = &a->plan->span[i];
        for (int32_t r = span->first_range; r < span->first_range + span->n_range; r++) {
            meet_range(&t, span, &a->plan->range[r], block);
        }
    }
    for (int64_t i = 0; i < keys; i++) {
        int64_t to = ((block + i) * g + t.kv_head) * hd;
        memcpy((float *)a->grad->dk.data + to, t.s.dk + i * ld, (size_t)hd * sizeof(float));
        memcpy((float *)a->grad->dv.data + to, t.s.dv + i * ld, (size_t)hd * sizeof(float));
    }
}

/* Cuts the spans into stretches of queries; the last rows see most keys and go first. */
static int64_t make_items(const attention *a)
{
    const int64_t step = queries_a_block(a->tape->q.dim[1] / a->tape->k.dim[1]);
    int64_t n = 0;
    for (int32_t i = a->plan->n_span - 1; i >= 0; i--) {
        int64_t count = a->plan->span[i].count;
        for (int64_t first = (count - 1) / step * step; count > 0 && first >= 0; first -= step) {
            int64_t rows = count - first < step ? count - first : step;
            assert(n < a->space->items_max);
            a->space->item[n++] = (attend_item){i, (int32_t)first, (int32_t)rows};
        }
    }
    return n;
}

void cpu_attend_back(backend *b, const attend_tape *t, const attend_grad *g,
                     const attend_plan *plan)
{
    attention a = {
        .space = b->workspace, .train = b->train_space, .tape = t, .grad = g, .plan = plan};
    const int64_t kv_heads = t->k.dim[1];
    pool_run(b->threads, make_items(&a) * kv_heads, query_task, &a);
    int64_t blocks = (t->k.dim[0] + ATTEND_BLOCK - 1) / ATTEND_BLOCK;
    pool_run(b->threads, blocks * kv_heads, key_task, &a);
}
