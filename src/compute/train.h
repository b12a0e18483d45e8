/* train: the operations that only training needs, beside those of backend.h: what goes backward
 * through each op, the adapter pair, the loss, and the optimiser.
 *
 * Weights of the model are frozen: nothing here computes their gradients. Gradients of adapters are
 * f32; those of the residual stream and of rows between products are of the rows' type.
 *
 * Accumulate or assign: a gradient of rows (dx, dq, ..) is assigned, unless a parameter `add` says
 * otherwise; a gradient of an adapter's matrix is always added to.
 *
 * Promise: the same bits for any number of threads. Sums over rows run in row order, sums over the
 * keys or queries of attention in the order of the plan.
 *
 * Shapes as in backend.h; r the adapter's rank, m rows whose loss is taken.
 */
#ifndef CASELOAD_COMPUTE_TRAIN_H
#define CASELOAD_COMPUTE_TRAIN_H

#include "compute/backend.h"

typedef struct attend_tape { /* what attention leaves for its way back */
    tensor q, o;             /* [n,h,hd] */
    tensor k, v;             /* [slots,g,hd] */
    float *log_sum_exp;      /* [n,h] natural, of the row's logits after scale and soft-cap */
} attend_tape;

typedef struct attend_grad {
    tensor d_o, dq; /* [n,h,hd]; d_o is read, dq assigned; rows outside every span are left alone */
    tensor dk, dv;  /* [slots,g,hd], assigned: 0 where no query looks */
} attend_grad;

typedef struct norm_shape { /* of the forward op */
    tensor w;               /* [d] */
    float eps, w_plus;
    float *scale; /* [n] a norm that keeps fills it where it is not NULL: (mean x^2 + eps)^-1/2 */
    const lora_pair *adapter; /* a norm that keeps: x += low B^T first; NULL: nothing */
    tensor low;
    tensor more[ADAPTER_PARTS_MAX - 1]; /* way back: parts of dy that are added to it; data NULL */
} norm_shape;

typedef struct loss_rows {   /* one target a row */
    const int32_t *target;   /* [m] token ids */
    const float *weight;     /* [m] what the row's loss counts */
    double *log_sum_exp;     /* [m] filled */
    float *logit;            /* [m] filled: of the target */
    float *chunk;            /* [m, chunk_ids] scratch: never rows x vocabulary */
    int64_t chunk_ids;       /* 1 .. the largest width the backend was laid out for */
    float softcap;           /* of the final logits; 0: none */
    const int64_t *one_each; /* [m + 1] 0, 1, 2, .. */
} loss_rows;

typedef struct adamw_step { /* Loshchilov and Hutter 2019, as torch.optim.AdamW computes it */
    double rate, beta1, beta2, eps, decay;
    double grad_scale; /* multiplies the gradient first: clipping */
    int64_t number;    /* 1 for the first */
} adamw_step;

typedef struct adamw_state { /* all [n] */
    float *value;
    const float *grad;
    float *first, *second; /* moments; zero before step 1 */
    int64_t n;
} adamw_state;

typedef struct rope_turn { /* op_rope of a product's output; table.data NULL: none */
    const int32_t *positions;
    tensor table;
    rope_style style;
    int32_t head_dim;
} rope_turn;

typedef struct back_part {    /* one product y = x w^T and its adapter, backwards */
    tensor dy, x, w;          /* [n,out], [n,in], [out,in] */
    const tensor *dx;         /* [n,in]; NULL: not wanted; the first part's, or one of its own */
    bool add;                 /* dx holds something already */
    const lora_pair *adapter; /* NULL: none */
    tensor low;               /* [n,r] scale x A^T, as the forward product left it; rows; data NULL:
                                 dB has this product's share already */
    tensor dlow;              /* [n,r] scratch, rows */
    const rope_turn *turn;    /* dy turns back first, in place; NULL: it does not */
    const norm_shape
        *normed; /* NULL, or the product's x was this norm (its scale filled) of this x */
    tensor h;    /* [n,in] rows, scratch for that */
} back_part;

typedef struct gate_block { /* a gated feed-forward but for its last product */
    matmul_part gate, up;   /* y [n,f], of one x; their biases and adapters */
    tensor act;             /* [n,f] */
    glu_kind kind;
} gate_block;

/* Workspace of the ops below; after backend_lay_out with the same shape, whose rows count the K/V
 * slots too. */
bool train_lay_out(backend *b, const backend_shape *shape, arena *a, err *e);

/* As op_attend, and the log-sum-exp of every row and head is kept. Fills t->o and t->log_sum_exp.
 */
void op_attend_keep(backend *b, const attend_tape *t, const attend_plan *plan);
void op_attend_back(backend *b, const attend_tape *t, const attend_grad *g,
                    const attend_plan *plan);

/* dx [n,in] (+)= dy [n,out] w; dx is not dy. */
void op_matmul_back(backend *b, tensor dx, tensor dy, tensor w, bool add);
/* dw [out,in] += dy^T x over the rows of dy [n,out], x [n,in]. */
void op_weight_grad(backend *b, tensor dw, tensor dy, tensor x);
/* y = op_rmsnorm(x) of x [n,d] f32, and kept = x, both of the rows' type. */
bool op_norm_adds(const backend *b);  /* is it faster there to leave an adapter to the next norm? */
bool op_adds_parts(const backend *b); /* a sum's parts in the rows' type instead of it in f32? */
void op_rmsnorm_keep(backend *b, tensor y, tensor kept, tensor x, norm_shape norm);
/* Through y = op_rmsnorm(x); dx may be dy, not x. With add: dx += , and dx is not dy. Each of the
 * three is f32 or of the rows' type; dy may have `more` parts, all rows, where op_adds_parts. */
void op_rmsnorm_back(backend *b, tensor dx, tensor dy, tensor x, norm_shape norm, bool add);
void op_rope_back(backend *b, tensor dx, const int32_t *positions, tensor table,
                  rope_style style); /* in place: the transposed rotation */
/* Through op_glu, in place: gate becomes its gradient, up its own. */
void op_glu_back(backend *b, tensor gate, tensor up, tensor dy, glu_kind kind);
void op_scale(backend *b, tensor y, float factor); /* rows */
void op_zero(backend *b, tensor y);
void op_scatter_add(backend *b, tensor y, tensor x, const int32_t *rows); /* y[rows[i]] += x[i],
                                                                             rows distinct */

/* low [n,r] = scale x A^T, as op_matmul_group leaves it. */
void op_lora_low(backend *b, tensor low, tensor x, const lora_pair *pair);
/* y += scale (x A^T) B^T; t [n,r] is scratch (t = scale x A^T afterwards). */
void op_lora(backend *b, tensor y, tensor x, const lora_pair *pair, tensor t);

/* op_matmul_group of at most ADAPTER_PARTS_MAX parts; their outputs, adapters included, turn. */
void op_matmul_turned(backend *b, tensor x, const matmul_part *part, const rope_turn *turn, int n);

/* dx (+)= dy (w + scale B A); the adapter's dA += scale (dy B)^T x, dB += dy^T low. Several
 * products of one x at once, at most ADAPTER_PARTS_MAX, each with a dlow of its own. Those of one
 * dx add to it (`add`: the first's); one with its own dx assigns it: the sum of all is meant. */
void op_products_back(backend *b, const back_part *p, int n);
void op_product_back(backend *b, const back_part *p);

/* gate and up = their products of x, act = op_glu of them. A device may leave what the adapters add
 * out of gate and up, but not out of act, until the way back, which takes the same block. */
void op_gates(backend *b, tensor x, const gate_block *g);
/* The way back through `down`, whose x is g->act (filled again where that is needed) and whose dx
 * is scratch, and then through the gates: gate and up become the gradients of their products'
 * outputs. True: dB of gate's and up's adapters has been added to, too. */
bool op_gates_back(backend *b, const gate_block *g, const back_part *down);

/* Cross-entropy of rows x [m,d] over w [V,d], in chunks of ids: returns the sum of weight x loss;
 * dx [m,d] becomes the gradient of that sum. */
double op_answer_loss(backend *b, tensor dx, tensor x, tensor w, const loss_rows *l);

double op_sum_squares(backend *b, const float *x, int64_t n);
void op_adamw(backend *b, const adamw_state *s, const adamw_step *step);

#endif
