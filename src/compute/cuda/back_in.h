/* back_in: what the kernels of attention's way back share: what belongs to a row, and which rows
 * see a block of slots. For .cu files only. */
#ifndef CASELOAD_COMPUTE_CUDA_BACK_IN_H
#define CASELOAD_COMPUTE_CUDA_BACK_IN_H

#include "compute/cuda/tiles_in.h"

typedef struct row_number { /* what a row's pairs need */
    float lse, term;        /* lse in units of log 2 */
    int32_t query;
} row_number;

static __device__ __forceinline__ row_number number_of(const k_attention_back &b,
                                                       const k_span &span, int32_t p)
{
    const int32_t group = b.a.heads / b.a.heads_kv;
    row_number r = {CUDART_INF_F, 0, span.position + p / group}; /* past the end: p is 0 */
    if (p >= span.count * group) return r;
    const int64_t at = packed_at(b.a, span, p);
    r.lse = b.a.log_sum_exp[at] * TO_TWO, r.term = b.row_term[at];
    return r;
}

typedef struct own_slots { /* of a block of slots, part of them in a range */
    int32_t position;      /* of the first, were it in the range */
    int32_t from, end;     /* those of them that are in it */
} own_slots;

typedef struct rows_at {        /* packed rows that see some of a block's keys */
    int32_t span, range, first; /* first: -1 before any of this range */
    int32_t position;           /* of the span's first query */
    own_slots own;
} rows_at;

/* The next N packed rows from `at` on; false at the end. */
static __device__ __forceinline__ bool find_rows(const k_attention_back &b, int32_t slot0,
                                                 int32_t left, int32_t n, rows_at *at)
{
    const k_attention &a = b.a;
    const int32_t group = a.heads / a.heads_kv;
    for (; at->span < b.n_span; at->span++, at->range = 0, at->first = -1) {
        const k_span span = a.span[at->span];
        for (; at->range < span.n_range; at->range++, at->first = -1) {
            const k_range range = a.range[span.first_range + at->range];
            own_slots own = {range.position + slot0 - range.slot, range.slot - slot0,
                             range.slot + range.count - slot0};
            if (own.from < 0) own.from = 0;
            if (own.end > left) own.end = left;
            if (own.from >= own.end) continue;
            if (at->first < 0) {
                const int32_t row0 = own.position + own.from - span.position;
                at->first = row0 < 0 ? 0 : row0 * group / n * n; /* nobody before sees them */
            }
            if (at->first >= span.count * group) continue;
            const int32_t query = span.position + at->first / group;
            if (a.window > 0 && query - (own.position + own.end - 1) >= a.window) continue;
            at->own = own, at->position = span.position;
            return true;
        }
    }
    return false;
}

static __device__ __forceinline__ void copy_float(float *to, const float *from, bool there)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(at), "l"(from),
                 "r"(there ? 4 : 0));
}

#endif
