/* space: the workspace of cuda's operations, taken from the device's block. No CUDA is needed to
 * lay it out: what fits on a card is planned where no card is (model/plan.h), by this very code. */
#ifndef CASELOAD_COMPUTE_CUDA_SPACE_H
#define CASELOAD_COMPUTE_CUDA_SPACE_H

#include "compute/backend.h"
#include "compute/cuda/kernels.h"

enum {
    STAGE_BYTES = 8 << 20,    /* small arrays of the host on their way: ids, positions, spans */
    LT_BYTES = 32 << 20,      /* cuBLASLt's own workspace, */
    LT_ALIGN = 256,           /* aligned as it asks */
    HEAD_IDS = 8192,          /* a stretch of the vocabulary */
    HEAD_ROWS = 1024,         /* rows read off it at once */
    HEAD_PICKS = 1 << 16,     /* picks of so many rows */
    VECTOR_MAX_PARTS = 4,     /* biases and norm weights that are not float32 */
    SQUARES_PARTS = 1024,     /* partial sums of squares */
    GRAPHS_BYTES = 128 << 20, /* what the driver keeps of graphs; in steps of 32 MiB on an H200 */
};

typedef struct cuda_workspace {
    unsigned char *stage; /* STAGE_BYTES */
    void *lt;             /* LT_BYTES */
    void *x;              /* [rows_max, width_max] rows in the products' type */
    void *dy;             /* the same, for products of two sets of rows (training) */
    void *w;              /* [w_max] a weight in the products' type */
    float *vector;        /* [VECTOR_MAX_PARTS, vector_max] */
    float *logits;        /* [head_rows, head_ids] */
    float *largest, *top_logit, *pick_logit;
    double *sum, *log_sum_exp;
    int32_t *top_id;
    k_tile *tile; /* [tiles_max], the host's */
    int64_t rows_max, width_max, w_max, vector_max, head_rows, head_ids, tiles_max;
    int next_vector;
    double *partial; /* train: sums of squares */
    float *row_term; /* train: [row_terms] of attention's way back */
    int64_t row_terms;
    void *adapter_m;      /* train: two sets of three adapters' matrices in bf16 */
    void *adapter_scaled; /* train: three adapters' inner rows times their rows' scale */
    float *adapter_sums;  /* train: [adapter_sums_max] sums of splits of the rows */
    float *adapter_inner; /* train: sums of k_adapter_turn_back for rows up to turn_width wide */
    int64_t adapter_sums_max, adapter_inner_max, turn_width;
    int32_t adapter_slot; /* 0: adapters go through plain products */
} cuda_workspace;

/* Into b->workspace (NULL while measuring), b->train_space. */
bool cuda_space_lay_out(backend *b, const backend_shape *shape, arena *a, err *e);
bool cuda_space_lay_out_train(backend *b, const backend_shape *shape, arena *a, err *e);

#endif
