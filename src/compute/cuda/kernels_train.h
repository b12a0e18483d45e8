/* kernels_train: what only training needs, in the manner of kernels.h. */
#ifndef CASELOAD_COMPUTE_CUDA_KERNELS_TRAIN_H
#define CASELOAD_COMPUTE_CUDA_KERNELS_TRAIN_H

#include "compute/cuda/kernels.h"

/* train.cu; float32 where no type is said */
typedef struct k_norm_back {
    void *dx;
    const void *dy, *x;
    const void *more[2]; /* added to dy; NULL: none */
    const float *w;
    int32_t type, type_dy, type_x;
    float eps, w_plus;
    int32_t add;
    int64_t n, width;
} k_norm_back;
void k_rmsnorm_back(k_stream s, const k_norm_back *h);
typedef struct k_norm_keep { /* y and kept of `type` */
    void *y, *kept;
    const float *x, *w;
    float *scale; /* [n] (mean x^2 + eps)^-1/2; NULL: not wanted */
    int32_t type;
    float eps, w_plus;
    int64_t n, width;
} k_norm_keep;
void k_rmsnorm_keep(k_stream s, const k_norm_keep *h); /* y = norm(x), kept = x */
void k_glu_back(k_stream s, k_rows gate, k_rows up, k_rows dy, int32_t gelu);
void k_scale(k_stream s, k_rows y, float factor);
void k_scatter_add(k_stream s, k_rows y, k_rows x, const int32_t *rows);
typedef struct k_loss {
    float *logits;
    int64_t m, n, first;
    float softcap;
    const int32_t *target;
    const float *weight;
    const double *log_sum_exp;
} k_loss;
void k_softmax_back(k_stream s, const k_loss *l);
void k_sum_squares(k_stream s, double *part, int32_t parts, const float *x, int64_t n);
typedef struct k_adamw_step {
    float *value, *first, *second;
    const float *grad;
    int64_t n;
    double rate, beta1, beta2, eps, decay, grad_scale, fix1, fix2;
} k_adamw_step;
void k_adamw(k_stream s, const k_adamw_step *t);

#endif
