/* ref answer head: logits of a few rows at a time over the whole vocabulary, then the log of their
 * sum of exponentials (largest first, then the sum, in double and id order), picks, and the
 * likeliest ids. */
#include "compute/ref/ref_in.h"

#include <assert.h>
#include <math.h>

enum { IDS_A_TASK = 256 };

typedef struct head {
    ref_workspace *space;
    tensor x, w;
    const head_request *want;
    head_result *got;
    int64_t first, count; /* rows of x in `space->logit` */
} head;

static void logits_task(void *context, int64_t task, int thread)
{
    const head *p = context;
    int64_t d = p->w.dim[1], n_vocab = p->w.dim[0], end = (task + 1) * IDS_A_TASK;
    float *row = p->space->row + thread * p->space->row_size;
    if (end > n_vocab) end = n_vocab;
    for (int64_t id = task * IDS_A_TASK; id < end; id++) {
        dtype_to_f32(p->w.type, row, ref_row(&p->w, id), d);
        for (int64_t i = 0; i < p->count; i++) {
            double s = ref_dot((const float *)p->x.data + (p->first + i) * d, row, d);
            double cap = (double)p->want->softcap;
            if (cap > 0) s = cap * tanh(s / cap);
            p->space->logit[i * n_vocab + id] = (float)s;
        }
    }
}

/* Is (logit, id) before (than_logit, than_id) in falling order, the lower id first among equals? */
static bool ranks_before(float logit, int64_t id, float than_logit, int64_t than_id)
{
    return logit > than_logit || (logit == than_logit && id < than_id);
}

static void top_of(const float *logit, int64_t n_vocab, const head_request *want, int32_t *top_id,
                   float *top_logit)
{
    for (int32_t k = 0; k < want->n_top; k++) {
        top_id[k] = -1;
        top_logit[k] = -INFINITY;
    }
    for (int64_t id = 0; id < n_vocab && want->n_top > 0; id++) {
        int32_t k = want->n_top;
        while (k > 0 && (top_id[k - 1] < 0 ||
                         ranks_before(logit[id], id, top_logit[k - 1], top_id[k - 1]))) {
            if (k < want->n_top) {
                top_id[k] = top_id[k - 1];
                top_logit[k] = top_logit[k - 1];
            }
            k--;
        }
        if (k == want->n_top) continue;
        top_id[k] = (int32_t)id;
        top_logit[k] = logit[id];
    }
}

static void read_task(void *context, int64_t i, int thread)
{
    (void)thread;
    const head *p = context;
    const head_request *want = p->want;
    int64_t n_vocab = p->w.dim[0], row = p->first + i;
    const float *logit = p->space->logit + i * n_vocab;
    double largest = -INFINITY, sum = 0;
    for (int64_t id = 0; id < n_vocab; id++) {
        if ((double)logit[id] > largest) largest = (double)logit[id];
    }
    for (int64_t id = 0; id < n_vocab; id++) sum += exp((double)logit[id] - largest);
    p->got->log_sum_exp[row] = largest + log(sum);
    for (int64_t k = want->pick_start[row]; k < want->pick_start[row + 1]; k++) {
        assert(want->pick_id[k] >= 0 && want->pick_id[k] < n_vocab);
        p->got->pick_logit[k] = logit[want->pick_id[k]];
    }
    int32_t *top_id = want->n_top ? p->got->top_id + row * want->n_top : NULL;
    float *top_logit = want->n_top ? p->got->top_logit + row * want->n_top : NULL;
    top_of(logit, n_vocab, want, top_id, top_logit);
}

void ref_head(backend *b, tensor x, tensor w, const head_request *want, head_result *got)
{
    head p = {.space = b->workspace, .x = x, .w = w, .want = want, .got = got};
    assert(w.dim[0] <= p.space->n_vocab && w.dim[1] <= p.space->row_size);
    for (p.first = 0; p.first < x.dim[0]; p.first += REF_HEAD_ROWS) {
        p.count = x.dim[0] - p.first < REF_HEAD_ROWS ? x.dim[0] - p.first : REF_HEAD_ROWS;
        pool_run(b->threads, (w.dim[0] + IDS_A_TASK - 1) / IDS_A_TASK, logits_task, &p);
        pool_run(b->threads, p.count, read_task, &p);
    }
}
