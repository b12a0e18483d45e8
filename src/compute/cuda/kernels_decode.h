/* kernels_decode: what steps of few rows and products of two terms need besides kernels.h, under
 * the same rules. */
#ifndef CASELOAD_COMPUTE_CUDA_KERNELS_DECODE_H
#define CASELOAD_COMPUTE_CUDA_KERNELS_DECODE_H

#include "compute/cuda/kernels.h"

#include <stddef.h>

/* gemm.cu */
/* n random bf16 between -1 and 1; *flag becomes 1 when two stretches of bytes differ. */
void k_noise(k_stream s, void *to, int64_t n);
void k_differ(k_stream s, const void *a, const void *b, size_t bytes, uint32_t *flag);

/* rows.cu: x = hi + lo, both bf16, to 16 bits */
void k_two_terms(k_stream s, void *hi, void *lo, const float *x, int64_t n);

/* cache.cu: see cache.h */
typedef struct k_cache {
    void *q; /* may be NULL with heads 0 */
    const void *k, *v;
    void *key, *value;
    const int32_t *position, *slot;
    const float *table; /* [.., turned] */
    int32_t type, heads, heads_kv, head_dim, turned;
    int32_t pairs; /* 1: ROPE_PAIRS */
    int64_t n;
} k_cache;
void k_cache_rows(k_stream s, const k_cache *c);

/* draw.cu: see draw.h; a row of the request */
typedef struct k_draw_row {
    float temperature, top_p, min_p, penalty;
    int32_t top_k, first_seen, n_seen;
    double unit;
} k_draw_row;
typedef struct k_draw {
    float *logits;
    const k_draw_row *row;
    const int32_t *seen;
    int32_t *id;
    int32_t n, n_vocab;
    float softcap;
} k_draw;
void k_draw_rows(k_stream s, const k_draw *d);

#endif
