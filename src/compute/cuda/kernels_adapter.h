/* kernels_adapter: products of low-rank adapters in training, rows in bf16; the manner is that of
 * kernels.h. With x or dy [n, width] and low [n, rank], each kernel is one pass over the wide rows:
 *
 *     reduce   low = scale x m^T                 m [slots, width]: A, or B transposed
 *     spread   y (+)= sum low m^T                m [width, slots]: B, or A transposed
 *     grad     to += low^T x, or its transpose   sums over the rows
 *
 * An adapter takes `slot` of the slots, its rank up to the next multiple of 16; the slots between
 * are zeros in m. Adapters of one x stand side by side there: one pass serves them all. */
#ifndef CASELOAD_COMPUTE_CUDA_KERNELS_ADAPTER_H
#define CASELOAD_COMPUTE_CUDA_KERNELS_ADAPTER_H

#include "compute/cuda/kernels_train.h"

enum {
    ADAPTER_PARTS = 3,     /* adapters at once */
    ADAPTER_SLICE = 16,    /* slots come in slices of 16, */
    ADAPTER_SLOTS = 64,    /* at most so many in one pass */
    ADAPTER_TILE_W = 64,   /* numbers of a width that k_adapter_norm takes at once */
    ADAPTER_STRETCH = 128, /* of a width, to a block of k_adapter_grad */
    ADAPTER_BLOCKS = 600,  /* blocks that k_adapter_grad aims at by splitting the rows, */
    ADAPTER_SPLITS = 8,    /* into so many at most */
};

static inline int64_t larger_of(int64_t a, int64_t b) { return a > b ? a : b; }

typedef struct k_lows { /* the adapters' inner rows */
    void *rows[ADAPTER_PARTS];
    int32_t rank[ADAPTER_PARTS]; /* a multiple of 8 */
    float scale[ADAPTER_PARTS];
    int32_t n_part, slot;
    int64_t n;
    void *scaled[ADAPTER_PARTS]; /* reduce: low x row_scale as well; NULL: not wanted */
    const float *row_scale;      /* [n] */
} k_lows;

typedef struct k_wide { /* the wide rows of a job and the small matrix that goes with them */
    void *rows;
    const void *m; /* bf16 */
    int64_t width; /* a multiple of 8 */
} k_wide;

typedef struct k_adapter { /* one job for all adapters, or one each */
    k_wide job[ADAPTER_PARTS];
    int32_t n_job;
    k_lows low;
} k_adapter;

typedef struct k_pack { /* an adapter's matrix, float32, becomes bf16 where the others read it */
    const float *from;
    void *to;
    int64_t wide;                                   /* its width */
    int64_t from_rank, from_wide, to_rank, to_wide; /* strides */
    int32_t rank, slot;
} k_pack;
void k_adapter_pack(k_stream s, const k_pack *job, int32_t n);
/* In the order of k_adapter_write and k_adapter_norm: jobs of one slot and width to one place,
 * side by side; takes the slots x the width up to the next multiple of ADAPTER_TILE_W. */
void k_adapter_pack_tiles(k_stream s, const k_pack *job, int32_t n);

void k_adapter_reduce(k_stream s, const k_adapter *a);
/* type: of the job's rows. One job for several adapters: their sum. */
void k_adapter_spread(k_stream s, const k_adapter *a, int32_t type, int32_t add);

/* One job: y = sum low m^T, m by k_adapter_pack_tiles; at most ADAPTER_SLOTS. */
void k_adapter_write(k_stream s, const k_adapter *a, int32_t type);

typedef struct k_adapter_sums {
    float *to[ADAPTER_PARTS]; /* [rank, width]; turned: [width, rank] */
    int32_t turned;
    const float *w; /* [width] times this + w_plus; NULL: times 1 */
    float w_plus;
    float *scratch; /* [splits, job, slots of a job, width] */
} k_adapter_sums;
int32_t k_adapter_splits(const k_adapter *a);
void k_adapter_grad(k_stream s, const k_adapter *a, const k_adapter_sums *to);

#endif
