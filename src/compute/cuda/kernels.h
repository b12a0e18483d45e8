/* kernels: the door between the host's C and the kernels in the .cu files. Each function starts
 * work on a stream and returns; all pointers are the device's. Launch failures are read by the
 * caller from the runtime.
 *
 * Counts of nothing start nothing. C++ sees this file inside extern "C" (lanes_in.h). */
#ifndef CASELOAD_COMPUTE_CUDA_KERNELS_H
#define CASELOAD_COMPUTE_CUDA_KERNELS_H

#include "compute/dtype.h"

#include <stdint.h>

enum { ROWS_F32, ROWS_BF16 };

typedef struct CUstream_st *k_stream;
typedef struct k_rows { /* n rows of `width` numbers */
    void *data;
    int32_t type;
    int64_t n, width;
} k_rows;

typedef struct k_weight { /* rows of a stored matrix */
    const void *data;
    dtype type;
    int64_t rows, columns, bytes_row;
} k_weight;

/* expand.cu: 1 when stored weights of this type can be read here. */
int32_t k_reads(dtype type);
/* out [rows, columns] = the weight's values; in float32 the bits of dtype_to_f32. */
void k_expand(k_stream s, void *out, int32_t type, k_weight w);
/* y[i] = w[ids[i]] * scale, float32 */
void k_embed(k_stream s, float *y, k_weight w, const int32_t *ids, int64_t n, float scale);

/* rows.cu */
void k_rmsnorm(k_stream s, k_rows y, k_rows x, k_rows w, float eps, float w_plus); /* w [width] */
typedef struct k_rope_how {
    const int32_t *positions;
    const float *table; /* [.., turned] */
    int32_t heads, head_dim, turned;
    int32_t pairs; /* 1: ROPE_PAIRS */
    float sign;    /* -1: the way back */
} k_rope_how;
void k_rope(k_stream s, k_rows x, k_rope_how how);
void k_glu(k_stream s, k_rows y, k_rows gate, k_rows up, int32_t gelu);
void k_add(k_stream s, k_rows y, k_rows x);                           /* y += x */
void k_add_bias(k_stream s, k_rows y, int64_t ld, const float *bias); /* rows ld apart */
void k_gather(k_stream s, k_rows y, k_rows x, const int32_t *rows);
void k_scatter(k_stream s, k_rows y, k_rows x, const int32_t *rows);
void k_convert(k_stream s, void *out, int32_t type, k_rows x); /* or a copy */

/* gemm.cu: y [n, out] (row i at ld * i) = x [n, in] w^T (+ y); for shapes that cuBLASLt has no
 * aligned algorithm for. Strides in numbers: of x and w along their rows and along k. */
typedef struct k_product {
    const void *x, *w;
    void *y;
    int32_t type_x, type_w, type_y, add;
    int64_t n, out, in; /* of the product: n x in times in x out */
    int64_t x_row, x_k, w_row, w_k, ld;
} k_product;
void k_gemm(k_stream s, k_product p);

/* attend.cu: see backend.h for spans and ranges. */
typedef struct k_span {
    int32_t row, count, position, first_range, n_range;
} k_span;
typedef struct k_range {
    int32_t slot, count, position;
} k_range;
typedef struct k_tile { /* up to `height` packed rows (query x heads of a group) of one span, */
    int32_t span, first, n_span; /* or of n_span spans of one row, alike but for the last range */
} k_tile;
typedef struct k_attention {
    const void *q, *k, *v;
    void *o;
    float *log_sum_exp;               /* [n, h] or NULL */
    int32_t type, precise, two_terms; /* float32 throughout; of two terms (heads up to 128) */
    int32_t hopper;                   /* the card has the instructions of sm_90a */
    int32_t heads, heads_kv, head_dim;
    const k_span *span;
    const k_range *range;
    const k_tile *tile;
    int32_t n_tile, height; /* packed rows a tile: 16, 64, 128 (64 in attend_back); precise: 4 */
    float scale, softcap;
    int32_t window;
} k_attention;
void k_attend(k_stream s, const k_attention *a);
/* hopper_attend.cu: tiles of WIDE_HEIGHT rows where k_attend_is_wide (the card, heads, rows). */
enum { WIDE_HEIGHT = 64 };
bool k_attend_is_wide(const k_attention *a);
void k_attend_wide(k_stream s, const k_attention *a);
/* attend_few.cu: tiles of 16 rows where k_attend_is_few (the card, bf16, heads of 64 or 128). */
bool k_attend_is_few(const k_attention *a);
void k_attend_few(k_stream s, const k_attention *a);

/* head.cu: a stretch of the vocabulary for m rows: logits [m, ld], ids first .. first + count. */
typedef struct k_head {
    float *logits;
    int64_t m, ld, first, count;
    float softcap;
    float *largest; /* [m] so far */
    double *sum;    /* [m] of exp(logit - largest) */
    int32_t n_top, top_stride;
    int32_t *top_id; /* [m, top_stride], falling; -1: none yet */
    float *top_logit;
    const int64_t *pick_start; /* [m + 1], from pick_base */
    int64_t pick_base;
    const int32_t *pick_id;
    float *pick_logit;
} k_head;
void k_head_begin(k_stream s, const k_head *h);
void k_head_read(k_stream s, const k_head *h);
void k_head_end(k_stream s, const k_head *h, double *log_sum_exp);

/* attend_back.cu: dk and dv are assigned, 0 where no query looks. */
typedef struct k_attention_back {
    k_attention a;   /* with o and log_sum_exp of the way forward */
    const void *d_o; /* of a's type, like dq, dk, dv */
    void *dq, *dk, *dv;
    float *row_term; /* [rows, heads] scratch */
    int64_t rows, slots;
    int32_t n_span;
    float one_by_cap; /* 1 / softcap */
} k_attention_back;
void k_attend_back(k_stream s, const k_attention_back *b);
/* hopper_back.cu: as k_attend_wide. */
void k_attend_back_wide(k_stream s, const k_attention_back *b);

#endif
