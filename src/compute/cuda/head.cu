/* head: what is read off a stretch of logits; see kernels.h. One block a row; stretches come in id
 * order, so a row's sum does not depend on the rows beside it. The soft-cap is applied in place. */
#include "compute/cuda/best_in.h"

#include <math_constants.h>

enum { THREADS = 256, WARPS = THREADS / WARP };

static __global__ void begin_rows(k_head h)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < h.m) h.largest[i] = -CUDART_INF_F, h.sum[i] = 0;
    if (i >= h.m * h.n_top) return;
    const int64_t at = i / h.n_top * h.top_stride + i % h.n_top;
    h.top_id[at] = -1;
    h.top_logit[at] = -CUDART_INF_F;
}

void k_head_begin(k_stream s, const k_head *h)
{
    const int64_t n = h->m * (h->n_top > 1 ? h->n_top : 1);
    if (n > 0) begin_rows<<<blocks_of(n, THREADS), THREADS, 0, s>>>(*h);
}

/* Puts the stretch's likeliest into the row's list, one after the other, until none beats its
 * last. */
static __device__ void keep_top(const k_head &h, const float *logit, int64_t row)
{
    __shared__ candidate space[WARPS];
    int32_t *ids = h.top_id + row * h.top_stride;
    float *values = h.top_logit + row * h.top_stride;
    candidate taken = {CUDART_INF_F, -1}; /* the last one taken: the next comes after it */
    for (int32_t k = 0; k < h.n_top; k++) {
        const candidate last = {values[h.n_top - 1], ids[h.n_top - 1]};
        candidate mine = {-CUDART_INF_F, -1};
        for (int64_t j = threadIdx.x; j < h.count; j += THREADS) {
            const candidate c = {logit[j], (int32_t)(h.first + j)};
            if (taken.id >= 0 && !before(taken, c)) continue;
            if (before(c, mine)) mine = c;
        }
        taken = block_best<WARPS>(mine, space);
        if (taken.id < 0 || !before(taken, last)) return;
        if (threadIdx.x == 0) {
            int32_t at = h.n_top - 1;
            for (; at > 0; at--) {
                const candidate above = {values[at - 1], ids[at - 1]};
                if (!before(taken, above)) break;
                values[at] = above.logit, ids[at] = above.id;
            }
            values[at] = taken.logit, ids[at] = taken.id;
        }
        __syncthreads();
    }
}

static __global__ void read_rows(k_head h)
{
    __shared__ float space[WARPS];
    __shared__ double wide[WARPS];
    const int64_t row = blockIdx.x;
    float *logit = h.logits + row * h.ld, most = -CUDART_INF_F;
    for (int64_t j = threadIdx.x; j < h.count; j += THREADS) {
        if (h.softcap > 0) logit[j] = h.softcap * tanhf(logit[j] / h.softcap);
        most = fmaxf(most, logit[j]);
    }
    const float before_it = h.largest[row], largest = fmaxf(block_max(most, space), before_it);
    double sum = 0;
    for (int64_t j = threadIdx.x; j < h.count; j += THREADS)
        sum += (double)expf(logit[j] - largest);
    sum = block_sum(sum, wide);
    if (threadIdx.x == 0) {
        const double kept =
            h.sum[row] > 0 ? h.sum[row] * exp((double)before_it - (double)largest) : 0;
        h.sum[row] = kept + sum;
        h.largest[row] = largest;
    }
    const int64_t end = h.pick_start[row + 1] - h.pick_base;
    for (int64_t j = h.pick_start[row] - h.pick_base + threadIdx.x; j < end; j += THREADS) {
        const int64_t id = h.pick_id[j] - h.first;
        if (id >= 0 && id < h.count) h.pick_logit[j] = logit[id];
    }
    if (h.n_top > 0) keep_top(h, logit, row);
}

void k_head_read(k_stream s, const k_head *h)
{
    if (h->m > 0 && h->count > 0) read_rows<<<(unsigned)h->m, THREADS, 0, s>>>(*h);
}

static __global__ void end_rows(k_head h, double *log_sum_exp)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < h.m) log_sum_exp[i] = (double)h.largest[i] + log(h.sum[i]);
}

void k_head_end(k_stream s, const k_head *h, double *log_sum_exp)
{
    if (h->m > 0) end_rows<<<blocks_of(h->m, THREADS), THREADS, 0, s>>>(*h, log_sum_exp);
}
