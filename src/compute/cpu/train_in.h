/* train_in: what the training files of cpu share. */
#ifndef CASELOAD_COMPUTE_CPU_TRAIN_IN_H
#define CASELOAD_COMPUTE_CPU_TRAIN_IN_H

#include "compute/cpu/cpu_in.h"
#include "compute/train_table.h"

enum {
    BACK_ROWS = 256,      /* rows of a task of a product's way back, at least */
    GRAD_COLUMNS = 96,    /* stretch of columns of a weight's gradient: whole panels */
    GRAD_ROWS = 64,       /* stretch of its rows */
    GRAD_K = 64,          /* rows of the batch summed at a time */
    BACK_QUERIES = 84,    /* query rows (times heads of a group) met with a block of keys */
    SUM_FLOATS = 1 << 14, /* values a task of sums and optimiser steps */
    LANES_MAX = 16
};

typedef struct cpu_train_space {
    float *attention; /* a thread: cpu_back_floats */
    size_t attend_size;
    float *own; /* [rows, n_head] d_o.o of attention's rows */
    int64_t own_max;
    float
        *grad; /* a thread: GRAD_ROWS x GRAD_COLUMNS sums, GRAD_K x GRAD_COLUMNS of a ragged edge */
    size_t grad_size;
    float *vector; /* [vector_size] norm weights as f32 */
    int64_t vector_size;
    double *sum; /* [sums_max] */
    int64_t sums_max;
} cpu_train_space;

extern const train_table cpu_train_ops;

size_t cpu_back_floats(const cpu_kernels *kernels, const backend_shape *shape);
void cpu_attend_keep(backend *b, const attend_tape *t, const attend_plan *plan);
void cpu_attend_back(backend *b, const attend_tape *t, const attend_grad *g,
                     const attend_plan *plan);
void cpu_matmul_back(backend *b, tensor dx, tensor dy, tensor w, bool add);
void cpu_weight_grad(backend *b, tensor dw, tensor dy, tensor x);
void cpu_product_back(backend *b, const back_part *p);

#endif
