/* backend: the one door to a device. The op_ functions check shapes once, then call its table.
 *
 * Devices: "ref" (plain C, double accumulation: the specification), "cpu" (AVX2 or AVX-512, chosen
 * at run time), "cuda" (cuda/cuda.h; memory of its own: device.h). Ops return nothing: a device
 * failure sticks to the backend and backend_sync reports it.
 *
 * Promise: every output row depends on its own input row (and on the K/V it attends to) alone, bit
 * for bit: not on the number of rows, their order, their neighbours, or the number of threads. Sums
 * over k run in one fixed order; a tail tile uses the same order as a full one.
 *
 * Shapes: n rows in the step, d model width, h heads, g K/V heads, hd head width, V vocabulary.
 * Rows are f32; what products read or write, q, k, v and gates may be of the backend's `rows` type.
 * Weights are [out, in] in any dtype and count as "expanded to f32, then used". */
#ifndef CASELOAD_COMPUTE_BACKEND_H
#define CASELOAD_COMPUTE_BACKEND_H

#include "base/arena.h"
#include "base/pool.h"
#include "compute/parts.h"

typedef enum rope_style {
    ROPE_HALVES, /* pairs (i, i + rd/2): Hugging Face's order, and GGUF's "neox" */
    ROPE_PAIRS,  /* pairs (2i, 2i + 1): GGUF's order for the llama family */
} rope_style;

typedef enum glu_kind { GLU_SILU, GLU_GELU_TANH } glu_kind;

/* What a block of consecutive query rows attends to: the K/V ranges of its ancestors, then its own.
 * A key at position p is seen by a query at position q when p <= q and (window == 0 or q - p <
 * window). Keys are summed range after range, each cut in blocks of ATTEND_BLOCK keys from the
 * range's start: that fixes the order of every sum whatever else is in the step. */
enum { ATTEND_BLOCK = 64 };

typedef struct attend_range {
    int32_t slot;     /* first K/V slot */
    int32_t count;    /* keys */
    int32_t position; /* position of the first key; the others follow */
} attend_range;

typedef struct attend_span {
    int32_t row;                  /* first query row of the step */
    int32_t count;                /* query rows */
    int32_t position;             /* position of the first query row; the others follow */
    int32_t first_range, n_range; /* into attend_plan.range, in path order */
} attend_span;

typedef struct attend_plan {
    const attend_span *span;
    const attend_range *range;
    int32_t n_span;
    float scale;    /* multiplies q.k */
    float softcap;  /* c > 0: logits become c * tanh(logit / c) */
    int32_t window; /* 0: none */
} attend_plan;

/* What to read off the vocabulary distribution of each row. */
enum { HEAD_TOP_MAX = 64 };

typedef struct head_request {
    const int64_t *pick_start; /* [m + 1] */
    const int32_t *pick_id;    /* [pick_start[m]] token ids whose logit is wanted */
    int32_t n_top;             /* likeliest tokens a row, <= HEAD_TOP_MAX, <= V; ties: lower id */
    float softcap;             /* 0: none */
} head_request;

typedef struct head_result {
    double *log_sum_exp; /* [m] of the row's logits */
    float *pick_logit;   /* [pick_start[m]] */
    int32_t *top_id;     /* [m, n_top] */
    float *top_logit;    /* [m, n_top], falling */
} head_result;

typedef struct backend_shape { /* the largest of each that a session will ask for */
    int64_t rows, d_model, d_ff, n_vocab, head_rows; /* of a step; head_rows: of one op_head */
    int32_t n_head, n_head_kv, head_dim;
    int32_t adapter_rank; /* 0: no part has an adapter */
    bool graphs;          /* graph_run will be called (graph.h) */
} backend_shape;

typedef struct backend backend;
struct draw_request; /* draw.h */
struct cache_rows;   /* cache.h */

typedef struct op_table { /* one device; rows are called by the front door only */
    const char *name;
    void (*embed)(backend *b, tensor y, tensor w, const int32_t *ids, float scale);
    void (*rmsnorm)(backend *b, tensor y, tensor x, tensor w, float eps, float w_plus);
    void (*matmul)(backend *b, tensor x, const matmul_part *part, int n_part);
    bool adapts; /* matmul computes adapters too; else the front door puts them together */
    void (*rope)(backend *b, tensor x, const int32_t *positions, tensor table, rope_style style);
    void (*attend)(backend *b, tensor o, tensor q, tensor k, tensor v, const attend_plan *plan);
    void (*glu)(backend *b, tensor y, tensor gate, tensor up, glu_kind kind);
    void (*add)(backend *b, tensor y, tensor x);
    void (*gather)(backend *b, tensor y, tensor x, const int32_t *rows);
    void (*scatter)(backend *b, tensor y, tensor x, const int32_t *rows);
    void (*head)(backend *b, tensor x, tensor w, const head_request *want, head_result *got);
    void (*draw)(backend *b, tensor logits, const struct draw_request *want); /* NULL: none */
    void (*cache)(backend *b, const struct cache_rows *c); /* NULL: put together (cache.h) */
    bool (*weaves)(dtype type);                            /* NULL: none. See weave.h */
    void (*weave)(backend *b, tensor w, void *to);
    /* Bytes of workspace for steps of at most `rows` rows; taken once in backend_lay_out. */
    bool (*lay_out)(backend *b, const backend_shape *shape, arena *a, err *e);
    const struct train_table *train; /* what training needs besides: train.h */
} op_table;
struct backend {
    const op_table *ops;
    pool *threads;
    const char *isa;   /* "ref", "avx2", "avx512", the card: which path runs, for the record */
    void *workspace;   /* the device's own struct, from backend_lay_out */
    void *train_space; /* likewise, from train_lay_out */
    err failure;       /* sticks */
    dtype rows;        /* what rows on their way to and from products are kept in */
    const struct device_table *device; /* NULL: it computes in the caller's memory */
    void *own;                         /* of a device apart: what is open */
    arena memory;                      /* and its block; */
    size_t beside;                     /* bytes planned there that are not of the block */
};

/* `device`: "ref", "cpu" (best path of this machine; "ref" without AVX2), "cpu:avx2", "cpu:avx512",
 * "cpu:int16" (products of integers: cpu/int16_in.h), "cuda[:N][:bf16x3|:fp32]", or "auto": the
 * first GPU, else cpu. Borrows `threads`. ERR_USAGE for an unknown device, ERR_RESOURCE when this
 * machine cannot run it. */
bool backend_open(backend *b, const char *device, pool *threads, err *e);
void backend_close(backend *b); /* a zero backend is fine */
/* Takes the workspace of all ops from `a`, once a session shape; measuring, it cannot run then. */
bool backend_lay_out(backend *b, const backend_shape *shape, arena *a, err *e);
bool backend_sync(backend *b, err *e);

/* y [n,d] = w[ids] * scale */
void op_embed(backend *b, tensor y, tensor w, const int32_t *ids, float scale);
/* y = x / sqrt(mean(x^2) + eps) * (w + w_plus), over the last dimension; y may be x. */
void op_rmsnorm(backend *b, tensor y, tensor x, tensor w, float eps, float w_plus);
/* y [n,out] (+)= x w^T + bias. x [n,in]; a rank-3 x counts as [n, the rest]. y is not x. */
void op_matmul(backend *b, tensor y, tensor x, tensor w, const tensor *bias, bool add);
/* Several weights of one x (q, k, v; gate, up) at once: bit-equal to one op_matmul each. n_part <=
 * MATMUL_PARTS_MAX, and at most ADAPTER_PARTS_MAX with an adapter. */
void op_matmul_group(backend *b, tensor x, const matmul_part *part, int n_part);
/* In place on x [n,h,hd]: a pair (a, b) becomes (a cos - b sin, a sin + b cos).
 * table [n_position, rd]: cos of rd/2 angles, then sin; the first rd <= hd dimensions turn. */
void op_rope(backend *b, tensor x, const int32_t *positions, tensor table, rope_style style);
/* o, q [n,h,hd]; k, v [slots,g,hd]; query head i uses K/V head i * g / h. */
void op_attend(backend *b, tensor o, tensor q, tensor k, tensor v, const attend_plan *plan);
/* y = act(gate) * up; y may be either */
void op_glu(backend *b, tensor y, tensor gate, tensor up, glu_kind kind);
void op_add(backend *b, tensor y, tensor x);                          /* y += x */
void op_gather(backend *b, tensor y, tensor x, const int32_t *rows);  /* y[i] = x[rows[i]] */
void op_scatter(backend *b, tensor y, tensor x, const int32_t *rows); /* y[rows[i]] = x[i] */
void op_head(backend *b, tensor x, tensor w, const head_request *want, head_result *got);

#endif
