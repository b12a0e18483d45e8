/* cpu attention of training: the log-sum-exp of each row, and the way back, on the tiles of matmul.
 *
 * Two passes, each output in one task. First dQ: a task is a stretch of query rows of one span and
 * one K/V head (all query heads of it as rows beside each other, row = query * group + head), and
 * walks the blocks of keys in the order of the ranges. Then dK and dV: a task is ATTEND_BLOCK slots
 * of one K/V head and walks spans, ranges and query rows in the plan's order. The scores are
 * computed again in each: no sum is ever shared, so nothing depends on the threads. Equations:
 * ref/attend_back.c. */
#include "compute/cpu/train_in.h"

#include <assert.h>
#include <math.h>
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
    float *strip;            /* [max(M, ATTEND_BLOCK)][R] */
    float *dq;               /* [M][ld] */
    float *dk, *dv;          /* [ATTEND_BLOCK + R][ld] */
    float *gather;           /* [M][hd] */
    float *lse, *own;        /* [M] */
} back_space;

static int64_t up_to(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

/* Lays the scratch out from `at`; returns its size in floats. */
static size_t cut(back_space *s, float *at, const cpu_kernels *kernels, int64_t rows,
                  int64_t head_dim)
{
    const int64_t height = kernels->tile_rows, m = up_to(rows, height);
    const int64_t ld = up_to(head_dim, kernels->panel), block = ATTEND_BLOCK;
    const int64_t most = m > block ? m : block;
    float **part[] = {&s->q,      &s->d_o,    &s->q_rows, &s->do_rows, &s->k,  &s->v,
                      &s->k_rows, &s->score,  &s->slope,  &s->strip,   &s->dq, &s->dk,
                      &s->dv,     &s->gather, &s->lse,    &s->own};
    const int64_t size[] = {m * head_dim,
                            m * head_dim,
                            m * ld,
                            m * ld,
                            block * head_dim,
                            block * head_dim,
                            block * ld,
                            m * block,
                            m * block,
                            most * height,
                            m * ld,
                            (block + height) * ld,
                            (block + height) * ld,
                            m * head_dim,
                            m,
                            m};
    size_t used = 0;
    for (size_t i = 0; i < countof(part); i++) {
        *part[i] = at ? at + used : NULL;
        used += (size_t)up_to(size[i] + LANES_MAX, 16);
    }
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
    for (int64_t i = 0; i < t->rows; i++) {
        const float *row = row_of(from, t->span->row + t->first + i / t->group,
                                  t->kv_head * t->group + i % t->group);
        memcpy(t->s.gather + i * hd, row, (size_t)hd * sizeof *row);
        for (int64_t c = 0; panels && c < hd; c += panel) {
            int64_t n = hd - c < panel ? hd - c : panel;
            float *to = panels + c * m + i * panel;
            memcpy(to, row + c, (size_t)n * sizeof *to);
            if (n < panel) memset(to + n, 0, (size_t)(panel - n) * sizeof *to);
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
    const int64_t hd = t->a->tape->k.dim[2], height = kernels->tile_rows, panel = kernels->panel;
    for (int64_t row = 0; row < t->rows; row += height) {
        for (int64_t c = 0; c < keys; c += panel) {
            tile_job job = {.a = tiles + row * hd,
                            .b = columns + c * hd,
                            .k = hd,
                            .y = to + row * ATTEND_BLOCK + c,
                            .ld = ATTEND_BLOCK,
                            .rows = (int32_t)(t->rows - row < height ? t->rows - row : height),
                            .columns = (int32_t)panel};
            kernels->tile(&job);
        }
    }
}

/* to [rows][ld] += left [k][R tiles] times right panels [ld / C][right_k][C]: one tile of rows. */
static void add_tile(const block_task *t, float *to, int64_t rows, int64_t k, const float *right,
                     int64_t right_k)
{
    const cpu_kernels *kernels = t->a->space->kernels;
    const int64_t ld = up_to(t->a->tape->k.dim[2], kernels->panel), panel = kernels->panel;
    for (int64_t c = 0; c < ld; c += panel) {
        tile_job job = {.a = t->s.strip,
                        .b = right + c * right_k,
                        .k = k,
                        .y = to + c,
                        .ld = ld,
                        .rows = (int32_t)rows,
                        .columns = (int32_t)panel,
                        .add = true};
        kernels->tile(&job);
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

static float logit_of(const attend_plan *plan, float product)
{
    float s = product * plan->scale;
    return plan->softcap > 0 ? plan->softcap * tanhf(s / plan->softcap) : s;
}

/* score: products become p; slope: d_o.v becomes ds. Keys outside [low, high) get 0. */
static void soften(const block_task *t, int64_t position, int64_t low_key, int64_t high_key)
{
    const attend_plan *plan = t->a->plan;
    for (int64_t i = 0; i < t->rows; i++) {
        int64_t low = low_key, high = high_key;
        seen(plan, t->span->position + t->first + i / t->group, position, &low, &high);
        float *p = t->s.score + i * ATTEND_BLOCK, *ds = t->s.slope + i * ATTEND_BLOCK;
        for (int64_t j = 0; j < low; j++) p[j] = ds[j] = 0;
        for (int64_t j = low; j < high; j++) {
            float s = logit_of(plan, p[j]);
            p[j] = expf(s - t->s.lse[i]);
            float g = p[j] * (ds[j] - t->s.own[i]);
            if (plan->softcap > 0) g *= 1 - s / plan->softcap * (s / plan->softcap);
            ds[j] = g * plan->scale;
        }
        for (int64_t j = high; j < ATTEND_BLOCK; j++) p[j] = ds[j] = 0;
    }
}

static block_task task_of(const attention *a, int64_t kv_head, int thread)
{
    block_task t = {.a = a, .kv_head = kv_head};
    t.group = a->tape->q.dim[1] / a->tape->k.dim[1];
    cut(&t.s, a->train->attention + (size_t)thread * a->train->attend_size, a->space->kernels,
        queries_a_block(t.group) * t.group, a->tape->q.dim[2]);
    return t;
}

/* lse and d_o.o of the task's rows. */
static void row_terms(const block_task *t)
{
    const attend_tape *tape = t->a->tape;
    const int64_t h = tape->q.dim[1], hd = tape->q.dim[2];
    for (int64_t i = 0; i < t->rows; i++) {
        int64_t row = t->span->row + t->first + i / t->group;
        int64_t head = t->kv_head * t->group + i % t->group;
        const float *o = row_of(tape->o, row, head), *d_o = row_of(t->a->grad->d_o, row, head);
        double own = 0;
        for (int64_t j = 0; j < hd; j++) own += (double)(o[j] * d_o[j]);
        t->s.own[i] = (float)own;
        t->s.lse[i] = tape->log_sum_exp[row * h + head];
    }
}

static void load_queries(block_task *t, const attend_span *span, int64_t first, int64_t count,
                         bool as_panels)
{
    t->span = span;
    t->first = first;
    t->rows = count * t->group;
    pack_queries(t, t->a->tape->q, t->s.q, as_panels ? t->s.q_rows : NULL);
    pack_queries(t, t->a->grad->d_o, t->s.d_o, as_panels ? t->s.do_rows : NULL);
    row_terms(t);
}

/* Rows of dQ: += ds k, the ds of a tile transposed first. */
static void add_dq(const block_task *t, int64_t keys)
{
    const cpu_kernels *kernels = t->a->space->kernels;
    const int64_t height = kernels->tile_rows, ld = up_to(t->a->tape->k.dim[2], kernels->panel);
    for (int64_t row = 0; row < t->rows; row += height) {
        int64_t n = t->rows - row < height ? t->rows - row : height;
        kernels->transpose(t->s.strip, height, t->s.slope + row * ATTEND_BLOCK, ATTEND_BLOCK, n,
                           keys, height);
        add_tile(t, t->s.dq + row * ld, n, keys, t->s.k_rows, ATTEND_BLOCK);
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
    load_queries(&t, span, item->first, item->count, false);
    memset(t.s.dq, 0, (size_t)(up_to(t.rows, a->space->kernels->tile_rows) * ld) * sizeof(float));
    const int64_t first_q = span->position + t.first, last_q = first_q + item->count - 1;
    for (int32_t r = span->first_range; r < span->first_range + span->n_range; r++) {
        const attend_range *range = &a->plan->range[r];
        for (int64_t i = 0; i < range->count; i += ATTEND_BLOCK) {
            int64_t keys = range->count - i < ATTEND_BLOCK ? range->count - i : ATTEND_BLOCK;
            if (!sees_any(a->plan, first_q, last_q, range->position + i, keys)) continue;
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

/* dK += ds^T q and dV += p^T d_o of the whole block, a strip of keys at a time. */
static void add_dkv(const block_task *t, const float *left, const float *right, float *to)
{
    const cpu_kernels *kernels = t->a->space->kernels;
    const int64_t height = kernels->tile_rows, ld = up_to(t->a->tape->k.dim[2], kernels->panel);
    const int64_t m = up_to(t->rows, height);
    for (int64_t key = 0; key < ATTEND_BLOCK; key += height) {
        int64_t n = ATTEND_BLOCK - key < height ? ATTEND_BLOCK - key : height;
        for (int64_t i = 0; i < t->rows; i++) {
            memcpy(t->s.strip + i * height, left + i * ATTEND_BLOCK + key,
                   (size_t)n * sizeof *left);
        }
        add_tile(t, to + key * ld, n, t->rows, right, m);
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
    for (int64_t first = 0; first < span->count && from < to; first += step) {
        int64_t count = span->count - first < step ? span->count - first : step;
        int64_t first_q = span->position + first;
        if (!sees_any(a->plan, first_q, first_q + count - 1, position + from, to - from)) continue;
        load_queries(t, span, first, count, true);
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

/* One block of keys into the running largest and sum (in `lse` and `own`) of each row. */
static void fold_block(const block_task *t, int64_t position, int64_t keys)
{
    for (int64_t i = 0; i < t->rows; i++) {
        int64_t low = 0, high = keys;
        seen(t->a->plan, t->span->position + t->first + i / t->group, position, &low, &high);
        const float *score = t->s.score + i * ATTEND_BLOCK;
        float largest = t->s.lse[i], sum = 0;
        for (int64_t j = low; j < high; j++)
            largest = fmaxf(largest, logit_of(t->a->plan, score[j]));
        for (int64_t j = low; j < high; j++) sum += expf(logit_of(t->a->plan, score[j]) - largest);
        if (low < high) t->s.own[i] = t->s.own[i] * expf(t->s.lse[i] - largest) + sum;
        t->s.lse[i] = largest;
    }
}

static void keep_task(void *context, int64_t task, int thread)
{
    const attention *a = context;
    const int64_t g = a->tape->k.dim[1], h = a->tape->q.dim[1];
    const attend_item *item = &a->space->item[task / g];
    const attend_span *span = &a->plan->span[item->span];
    block_task t = task_of(a, task % g, thread);
    t.span = span, t.first = item->first, t.rows = item->count * t.group;
    pack_queries(&t, a->tape->q, t.s.q, NULL);
    for (int64_t i = 0; i < t.rows; i++) t.s.lse[i] = -3e38f, t.s.own[i] = 0;
    const int64_t first_q = span->position + t.first, last_q = first_q + item->count - 1;
    for (int32_t r = span->first_range; r < span->first_range + span->n_range; r++) {
        const attend_range *range = &a->plan->range[r];
        for (int64_t i = 0; i < range->count; i += ATTEND_BLOCK) {
            int64_t keys = range->count - i < ATTEND_BLOCK ? range->count - i : ATTEND_BLOCK;
            if (!sees_any(a->plan, first_q, last_q, range->position + i, keys)) continue;
            pack_keys(&t, a->tape->k, range->slot + i, keys, t.s.k, NULL);
            times_keys(&t, t.s.score, t.s.q, t.s.k, keys);
            fold_block(&t, range->position + i, keys);
        }
    }
    for (int64_t i = 0; i < t.rows; i++) {
        int64_t row = span->row + t.first + i / t.group, head = t.kv_head * t.group + i % t.group;
        a->tape->log_sum_exp[row * h + head] = t.s.own[i] > 0 ? t.s.lse[i] + logf(t.s.own[i]) : 0;
    }
}

void cpu_attend_keep(backend *b, const attend_tape *t, const attend_plan *plan)
{
    attention a = {.space = b->workspace, .train = b->train_space, .tape = t, .plan = plan};
    b->ops->attend(b, t->o, t->q, t->k, t->v, plan);
    pool_run(b->threads, make_items(&a) * t->k.dim[1], keep_task, &a);
}
