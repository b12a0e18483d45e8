/* ref_in: what the files of ref share. */
#ifndef CASELOAD_COMPUTE_REF_REF_IN_H
#define CASELOAD_COMPUTE_REF_REF_IN_H

#include "compute/ref/ref.h"
#include "compute/train_table.h"

/* Vocabulary rows are read once for this many rows of op_head. */
enum { REF_HEAD_ROWS = 8 };

typedef struct ref_workspace {
    float *row;    /* [threads, row_size] one expanded weight row a thread */
    float *vector; /* [row_size] an expanded norm weight */
    float *logit;  /* [REF_HEAD_ROWS, n_vocab] */
    int64_t row_size;
    int64_t n_vocab;
} ref_workspace;

const void *ref_row(const tensor *w, int64_t i); /* row i of a weight, still packed */
double ref_dot(const float *a, const float *b, int64_t n);

void ref_attend(backend *b, tensor o, tensor q, tensor k, tensor v, const attend_plan *plan);
void ref_head(backend *b, tensor x, tensor w, const head_request *want, head_result *got);

extern const train_table ref_train_ops;
void ref_attend_keep(backend *b, const attend_tape *t, const attend_plan *plan);
void ref_attend_back(backend *b, const attend_tape *t, const attend_grad *g,
                     const attend_plan *plan);

typedef struct ref_train_space {
    double *sums; /* [threads, sums_size]: rows of a product, or dK and dV of one head */
    int64_t sums_size;
    float *vector; /* [threads, row_size] an expanded weight row */
    int64_t row_size, slots;
} ref_train_space;

#endif
