/* ref attention with its log-sum-exp, and the way back; see train.h. With logits s and
 * p = exp(s - lse):
 *
 *     dv_k = sum_q p do_q        dp = do_q . v_k
 *     ds = p (dp - do_q . o_q) (1 - (s/c)^2 with a soft-cap)
 *     dq = scale sum_k ds k      dk = scale sum_q ds q
 *
 * in double, queries in the order of the plan (Dao 2023, "FlashAttention-2", equations of
 * section 2.2). */
#include "compute/ref/ref_in.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct attention {
    const ref_train_space *space;
    const attend_tape *tape;
    const attend_grad *grad;
    const attend_plan *plan;
} attention;

static bool sees(const attend_plan *plan, int64_t query, int64_t key)
{
    return key <= query && (plan->window == 0 || query - key < plan->window);
}

static const float *key_row(tensor t, int64_t slot, int64_t kv_head)
{
    return (const float *)t.data + (slot * t.dim[1] + kv_head) * t.dim[2];
}

static double logit(const attention *a, const float *q, int64_t slot, int64_t kv_head)
{
    double s = ref_dot(q, key_row(a->tape->k, slot, kv_head), a->tape->k.dim[2]);
    double cap = (double)a->plan->softcap;
    s *= (double)a->plan->scale;
    return cap > 0 ? cap * tanh(s / cap) : s;
}

static double log_sum_exp(const attention *a, const attend_span *span, int64_t row, int64_t head)
{
    const attend_plan *plan = a->plan;
    int64_t h = a->tape->q.dim[1], kv_head = head * a->tape->k.dim[1] / h;
    const float *q = key_row(a->tape->q, span->row + row, head);
    double largest = -INFINITY, sum = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t r = span->first_range; r < span->first_range + span->n_range; r++) {
            const attend_range *range = &plan->range[r];
            for (int32_t i = 0; i < range->count; i++) {
                if (!sees(plan, span->position + row, range->position + i)) continue;
                double s = logit(a, q, range->slot + i, kv_head);
                if (pass) sum += exp(s - largest);
                else if (s > largest) largest = s;
            }
        }
    }
    return sum > 0 ? largest + log(sum) : 0;
}

static void keep_task(void *context, int64_t head, int thread)
{
    (void)thread;
    const attention *a = context;
    for (int32_t i = 0; i < a->plan->n_span; i++) {
        const attend_span *span = &a->plan->span[i];
        for (int32_t row = 0; row < span->count; row++) {
            int64_t at = (span->row + row) * a->tape->q.dim[1] + head;
            a->tape->log_sum_exp[at] = (float)log_sum_exp(a, span, row, head);
        }
    }
}

void ref_attend_keep(backend *b, const attend_tape *t, const attend_plan *plan)
{
    attention a = {.tape = t, .plan = plan};
    ref_attend(b, t->o, t->q, t->k, t->v, plan);
    pool_run(b->threads, t->q.dim[1], keep_task, &a);
}

typedef struct head_sums {
    double *dk, *dv; /* [slots, hd] of one K/V head */
} head_sums;

static void row_back(const attention *a, const attend_span *span, int64_t row, int64_t head,
                     head_sums sums)
{
    const attend_tape *t = a->tape;
    const attend_plan *plan = a->plan;
    int64_t h = t->q.dim[1], hd = t->q.dim[2], kv_head = head * t->k.dim[1] / h;
    int64_t at = span->row + row;
    const float *q = key_row(t->q, at, head), *d_o = key_row(a->grad->d_o, at, head);
    double lse = log_sum_exp(a, span, row, head), dq[256] = {0};
    double own = ref_dot(d_o, key_row(t->o, at, head), hd), cap = (double)plan->softcap;
    for (int32_t r = span->first_range; r < span->first_range + span->n_range; r++) {
        const attend_range *range = &plan->range[r];
        for (int32_t i = 0; i < range->count; i++) {
            if (!sees(plan, span->position + row, range->position + i)) continue;
            int64_t slot = range->slot + i;
            double s = logit(a, q, slot, kv_head), p = exp(s - lse);
            double ds = p * (ref_dot(d_o, key_row(t->v, slot, kv_head), hd) - own);
            if (cap > 0) ds *= 1 - s / cap * (s / cap);
            ds *= (double)plan->scale;
            const float *k = key_row(t->k, slot, kv_head);
            for (int64_t j = 0; j < hd; j++) {
                dq[j] += ds * (double)k[j];
                sums.dk[slot * hd + j] += ds * (double)q[j];
                sums.dv[slot * hd + j] += p * (double)d_o[j];
            }
        }
    }
    float *to = (float *)a->grad->dq.data + (at * h + head) * hd;
    for (int64_t j = 0; j < hd; j++) to[j] = (float)dq[j];
}

static void back_task(void *context, int64_t kv_head, int thread)
{
    const attention *a = context;
    int64_t g = a->tape->k.dim[1], slots = a->tape->k.dim[0], hd = a->tape->k.dim[2];
    int64_t group = a->tape->q.dim[1] / g;
    double *sums = a->space->sums + thread * a->space->sums_size;
    head_sums both = {.dk = sums, .dv = sums + slots * hd};
    memset(sums, 0, (size_t)(2 * slots * hd) * sizeof *sums);
    for (int32_t i = 0; i < a->plan->n_span; i++) {
        const attend_span *span = &a->plan->span[i];
        for (int64_t row = 0; row < span->count; row++) {
            for (int64_t j = 0; j < group; j++) row_back(a, span, row, kv_head * group + j, both);
        }
    }
    for (int64_t slot = 0; slot < slots; slot++) {
        for (int64_t j = 0; j < hd; j++) {
            int64_t to = (slot * g + kv_head) * hd + j;
            ((float *)a->grad->dk.data)[to] = (float)both.dk[slot * hd + j];
            ((float *)a->grad->dv.data)[to] = (float)both.dv[slot * hd + j];
        }
    }
}

void ref_attend_back(backend *b, const attend_tape *t, const attend_grad *g,
                     const attend_plan *plan)
{
    attention a = {.space = b->train_space, .tape = t, .grad = g, .plan = plan};
    assert(t->k.dim[0] <= a.space->slots);
    pool_run(b->threads, t->k.dim[1], back_task, &a);
}
