/* cpu answer head: logits in stretches of HEAD_COLUMNS ids, each reduced at once to what is asked:
 * for every row the largest logit and the sum of exponentials below it, the picks, and a thread's
 * likeliest ids. The stretches are then put together in id order, in double. Memory does not grow
 * with the vocabulary but for two numbers a row and stretch. */
#include "compute/cpu/cpu_in.h"

#include <assert.h>
#include <math.h>

typedef struct head {
    const cpu_workspace *space;
    tensor x, w;
    const head_request *want;
    head_result *got;
    int64_t first, m; /* rows of x in this round */
    int threads;
} head;

static void logits(const head *p, float *logit, int64_t first, int64_t count, int thread)
{
    const cpu_workspace *s = p->space;
    const int64_t height = s->kernels->tile_rows, panel = s->kernels->panel, d = p->w.dim[1];
    const int64_t block = cpu_k_block(s, &p->w);
    for (int64_t c = 0; c < count; c += TASK_COLUMNS) {
        int64_t n = count - c < TASK_COLUMNS ? count - c : TASK_COLUMNS;
        for (int64_t k0 = 0; k0 < d; k0 += block) {
            int64_t k = d - k0 < block ? d - k0 : block;
            const weight_part part = {&p->w, first + c, n, k0, k};
            float *panels = cpu_panels(s, thread);
            cpu_pack_panels(s, panels, part, TASK_COLUMNS);
            tile_job t = {.ld = HEAD_COLUMNS, .from_ld = HEAD_COLUMNS};
            for (int64_t row = 0; row < p->m; row += height) {
                t.rows = (int32_t)(p->m - row < height ? p->m - row : height);
                for (int64_t j = 0; j < TASK_COLUMNS; j += panel) {
                    t.y = logit + row * HEAD_COLUMNS + c + j;
                    t.from = k0 > 0 ? t.y : NULL;
                    t.columns = (int32_t)panel;
                    cpu_tile(s, &t, &part, panels, row, j);
                }
            }
        }
    }
}

/* Keeps `id` when it is among the n likeliest so far: falling logits, the lower id first among
 * equals. The order is total, so the list does not depend on the order of arrival. */
static void keep_top(int32_t *ids, float *values, int32_t n, int32_t id, float logit)
{
    int32_t k = n;
    while (k > 0 && (ids[k - 1] < 0 || logit > values[k - 1] ||
                     (logit == values[k - 1] && id < ids[k - 1]))) {
        k--;
    }
    if (k == n) return;
    for (int32_t j = n - 1; j > k; j--) ids[j] = ids[j - 1], values[j] = values[j - 1];
    ids[k] = id;
    values[k] = logit;
}

static void read_row(const head *p, const float *logit, int64_t i, int64_t task, int64_t count,
                     int thread)
{
    const cpu_workspace *s = p->space;
    const head_request *want = p->want;
    const int64_t first = task * HEAD_COLUMNS;
    float largest = s->kernels->largest(logit, count);
    s->head_largest[task * s->head_rows + i] = largest;
    s->head_sum[task * s->head_rows + i] = s->kernels->sum_exp(logit, largest, count);
    for (int64_t j = want->pick_start[p->first + i]; j < want->pick_start[p->first + i + 1]; j++) {
        int64_t id = want->pick_id[j];
        if (id >= first && id < first + count) p->got->pick_logit[j] = logit[id - first];
    }
    if (want->n_top == 0) return;
    int32_t n = want->n_top;
    int32_t *ids = s->top_id + (thread * s->head_rows + i) * HEAD_TOP_MAX;
    float *values = s->top_logit + (thread * s->head_rows + i) * HEAD_TOP_MAX;
    if (ids[n - 1] >= 0 && largest < values[n - 1]) return;
    for (int64_t j = 0; j < count; j++) {
        if (ids[n - 1] < 0 || logit[j] >= values[n - 1]) {
            keep_top(ids, values, n, (int32_t)(first + j), logit[j]);
        }
    }
}

static void head_task(void *context, int64_t task, int thread)
{
    const head *p = context;
    const cpu_workspace *s = p->space;
    float *logit = s->partial + (size_t)thread * s->partial_size;
    int64_t first = task * HEAD_COLUMNS;
    int64_t count = p->w.dim[0] - first < HEAD_COLUMNS ? p->w.dim[0] - first : HEAD_COLUMNS;
    logits(p, logit, first, count, thread);
    for (int64_t i = 0; i < p->m; i++) {
        float *row = logit + i * HEAD_COLUMNS;
        if (p->want->softcap > 0) s->kernels->softcap(row, p->want->softcap, count);
        read_row(p, row, i, task, count, thread);
    }
}

static void end_row(void *context, int64_t i, int thread)
{
    (void)thread;
    const head *p = context;
    const cpu_workspace *s = p->space;
    int64_t tasks = (p->w.dim[0] + HEAD_COLUMNS - 1) / HEAD_COLUMNS, row = p->first + i;
    double largest = -INFINITY, sum = 0;
    for (int64_t t = 0; t < tasks; t++) {
        double top = (double)s->head_largest[t * s->head_rows + i];
        if (top > largest) largest = top;
    }
    for (int64_t t = 0; t < tasks; t++) {
        int64_t at = t * s->head_rows + i;
        sum += s->head_sum[at] * exp((double)s->head_largest[at] - largest);
    }
    p->got->log_sum_exp[row] = largest + log(sum);
    int32_t n = p->want->n_top;
    if (n == 0) return;
    int32_t *ids = s->top_id + i * HEAD_TOP_MAX;
    float *values = s->top_logit + i * HEAD_TOP_MAX;
    for (int other = 1; other < p->threads; other++) {
        int64_t at = (other * s->head_rows + i) * HEAD_TOP_MAX;
        for (int32_t k = 0; k < n && s->top_id[at + k] >= 0; k++) {
            keep_top(ids, values, n, s->top_id[at + k], s->top_logit[at + k]);
        }
    }
    for (int32_t k = 0; k < n; k++) {
        p->got->top_id[row * n + k] = ids[k];
        p->got->top_logit[row * n + k] = values[k];
    }
}

void cpu_head(backend *b, tensor x, tensor w, const head_request *want, head_result *got)
{
    cpu_workspace *s = b->workspace;
    head p = {.space = s, .x = x, .w = w, .want = want, .got = got};
    p.threads = pool_size(b->threads);
    int64_t tasks = (w.dim[0] + HEAD_COLUMNS - 1) / HEAD_COLUMNS;
    assert(tasks <= s->head_tasks && s->head_rows > 0);
    for (int64_t j = 0; j < want->pick_start[x.dim[0]]; j++) {
        assert(want->pick_id[j] >= 0 && want->pick_id[j] < w.dim[0]);
    }
    for (p.first = 0; p.first < x.dim[0]; p.first += s->head_rows) {
        p.m = x.dim[0] - p.first < s->head_rows ? x.dim[0] - p.first : s->head_rows;
        for (int64_t i = 0; want->n_top > 0 && i < p.threads * s->head_rows; i++) {
            for (int k = 0; k < HEAD_TOP_MAX; k++) s->top_id[i * HEAD_TOP_MAX + k] = -1;
        }
        const float *rows = (const float *)x.data + p.first * x.dim[1];
        if (cpu_int16_takes(s, w.type)) cpu_int16_rows(b, rows, p.m, x.dim[1]);
        else cpu_pack_rows(b, rows, p.m, x.dim[1]);
        pool_run(b->threads, tasks, head_task, &p);
        pool_run(b->threads, p.m, end_row, &p);
    }
}
