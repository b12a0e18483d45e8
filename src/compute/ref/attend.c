/* ref attention: for each query row and head, three passes over the keys it sees (largest logit,
 * sum, weighted values), all in double. A row that sees no key gives zeros. */
#include "compute/ref/ref_in.h"

#include <math.h>

typedef struct attention {
    tensor o, q, k, v;
    const attend_plan *plan;
} attention;

static bool sees(const attend_plan *plan, int64_t query, int64_t key)
{
    return key <= query && (plan->window == 0 || query - key < plan->window);
}

static double logit(const attention *a, const float *q, int64_t slot, int64_t kv_head)
{
    int64_t g = a->k.dim[1], hd = a->k.dim[2];
    const float *key = (const float *)a->k.data + (slot * g + kv_head) * hd;
    double s = ref_dot(q, key, hd) * (double)a->plan->scale;
    double cap = (double)a->plan->softcap;
    return cap > 0 ? cap * tanh(s / cap) : s;
}

static void attend_head(const attention *a, const attend_span *span, int64_t row, int64_t head)
{
    const attend_plan *plan = a->plan;
    int64_t h = a->q.dim[1], hd = a->q.dim[2], g = a->k.dim[1], kv_head = head * g / h;
    const float *q = (const float *)a->q.data + ((span->row + row) * h + head) * hd;
    float *out = (float *)a->o.data + ((span->row + row) * h + head) * hd;
    const attend_range *range = plan->range + span->first_range;
    int64_t query = span->position + row;
    double largest = -INFINITY, sum = 0, mixed[256] = {0};
    for (int32_t r = 0; r < span->n_range; r++) {
        for (int32_t i = 0; i < range[r].count; i++) {
            if (!sees(plan, query, range[r].position + i)) continue;
            double s = logit(a, q, range[r].slot + i, kv_head);
            if (s > largest) largest = s;
        }
    }
    for (int32_t r = 0; r < span->n_range; r++) {
        for (int32_t i = 0; i < range[r].count; i++) {
            if (!sees(plan, query, range[r].position + i)) continue;
            double p = exp(logit(a, q, range[r].slot + i, kv_head) - largest);
            const float *value = (const float *)a->v.data;
            value += ((range[r].slot + i) * g + kv_head) * hd;
            sum += p;
            for (int64_t j = 0; j < hd; j++) mixed[j] += p * (double)value[j];
        }
    }
    for (int64_t j = 0; j < hd; j++) out[j] = sum != 0 ? (float)(mixed[j] / sum) : 0;
}

static void attend_task(void *context, int64_t head, int thread)
{
    (void)thread;
    const attention *a = context;
    for (int32_t i = 0; i < a->plan->n_span; i++) {
        const attend_span *span = &a->plan->span[i];
        for (int32_t row = 0; row < span->count; row++) attend_head(a, span, row, head);
    }
}

void ref_attend(backend *b, tensor o, tensor q, tensor k, tensor v, const attend_plan *plan)
{
    attention a = {.o = o, .q = q, .k = k, .v = v, .plan = plan};
    pool_run(b->threads, q.dim[1], attend_task, &a);
}
