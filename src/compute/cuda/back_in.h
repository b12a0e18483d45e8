/* back_in: what the kernels of attention's way back share: what belongs to a row, and which rows
 * see a block of slots. For .cu files only. */
#ifndef CASELOAD_COMPUTE_CUDA_BACK_IN_H
#define CASELOAD_COMPUTE_CUDA_BACK_IN_H

#include "compute/cuda/tiles_in.h"

typedef struct row_number { /* what a row's pairs need */
    float lse, term;        /* lse in units of log 2; do . o */
    int32_t query;
} row_number;

/* Past the span's end inf: p is 0 there. */
static __device__ __forceinline__ float lse_of(const k_attention_back &b, const k_span &span,
                                               int32_t p)
{
    if (p >= span.count * (b.a.heads / b.a.heads_kv)) return CUDART_INF_F;
    return b.a.log_sum_exp[packed_at(b.a, span, p)] * TO_TWO;
}

typedef struct own_slots { /* of a block of slots, part of them in a range */
    int32_t position;      /* of the first, were it in the range */
    int32_t from, end;     /* those of them that are in it */
} own_slots;

typedef struct rows_walk { /* over packed rows that see some of a block's keys */
    k_span span;
    int32_t i, range;      /* which span, and range of it */
    int32_t first, packed; /* the rows' first; the span's number of them */
    own_slots own;
} rows_walk;

static __device__ __forceinline__ rows_walk rows_begin(void)
{
    return (rows_walk){{0, 0, 0, 0, 0}, -1, 0, 0, 0, {0, 0, 0}};
}

/* From w->first on to the next n packed rows that see some of `left` slots from slot0 on; false at
 * the end. */
static __device__ __forceinline__ bool rows_on(const k_attention_back &b, int32_t slot0,
                                               int32_t left, int32_t n, rows_walk *w)
{
    const k_attention &a = b.a;
    const int32_t group = a.heads / a.heads_kv;
    for (;;) {
        if (w->first < w->packed) {
            if (a.window == 0) return true;
            const int32_t query = w->span.position + w->first / group;
            if (query - (w->own.position + w->own.end - 1) < a.window) return true;
        }
        w->packed = 0;
        if (++w->range >= w->span.n_range) {
            if (++w->i >= b.n_span) return false;
            w->span = a.span[w->i], w->range = -1;
            continue;
        }
        const k_range range = a.range[w->span.first_range + w->range];
        const int32_t from = range.slot - slot0, end = from + range.count;
        w->own = (own_slots){range.position - from, from < 0 ? 0 : from, end < left ? end : left};
        if (w->own.from >= w->own.end) continue;
        const int32_t row0 = w->own.position + w->own.from - w->span.position;
        w->first = row0 < 0 ? 0 : row0 * group / n * n; /* nobody before sees them */
        w->packed = w->span.count * group;
    }
}

static __device__ __forceinline__ void copy_float(float *to, const float *from, bool there)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(at), "l"(from),
                 "r"(there ? 4 : 0));
}

#endif
