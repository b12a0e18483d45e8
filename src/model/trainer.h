/* trainer: fine-tunes a low-rank adapter of a frozen model.
 *
 * A **micro-batch** is one step of rows: a tree of segments in which whatever several prompts share
 * (instructions, examples) stands once. Its gradients are exactly those of the prompts alone, to
 * rounding: attention goes backward through the same ranges, and what all prompts ask of the head's
 * keys and values is collected there. Nothing is padded; rows of different prompts never see each
 * other. The loss is taken on answer rows only, and only they go through the last layer's queries
 * and the head.
 *
 * Memory: for each row and layer x, q, k, v, o, x after attention, gate, up and the adapter's inner
 * numbers are kept (and, where a family norms a block's output, that output), all in the type that
 * the backend's products read; norms, rotation and gates are computed again. The first
 * `rerun_layers` layers keep x alone, in float32, and are forwarded again on the way back.
 *
 * `trainer_lay_out` runs once measuring and once for real with the same bytes. The backend is the
 * trainer's own: a session on the same device opens another.
 */
#ifndef CASELOAD_MODEL_TRAINER_H
#define CASELOAD_MODEL_TRAINER_H

#include "model/lora.h"
#include "model/optim.h"
#include "model/session.h"

enum { TRAIN_MET = 32 };

typedef struct train_shape { /* the largest of each */
    int32_t rows, out_rows;  /* of a micro-batch */
    int32_t positions;
    int32_t rerun_layers; /* 0 .. n_layer */
    int32_t micros;       /* micro-batches an update; beyond 1 their gradients are added apart */
    bool no_graphs;       /* ops start one by one; the bits are the same (graph.h) */
} train_shape;

typedef struct train_batch { /* K/V slots are row numbers */
    int32_t n_row, n_out, n_span;
    const int32_t *id, *position; /* [n_row] */
    const attend_span *span;      /* [n_span], covering the rows in order */
    const attend_range *range;
    const int32_t *out_row; /* [n_out], rising */
    const int32_t *target;  /* [n_out] the token that follows */
    const float *weight;    /* [n_out] what its loss counts */
} train_batch;

typedef struct layer_keep { /* n: rows, but out rows in the last layer where marked *;
                                  void: in the backend's `rows` type */
    float *full;            /* [n, d] the layer's input; layers that are forwarded again only */
    void *x;                /* [n, d] it as attention's norm read it */
    void *query;            /* [n*, h hd] rotated; before its norm where the family has one */
    void *key, *value;      /* [n, g hd] likewise */
    void *attended;         /* [n*, h hd] */
    float *log_sum_exp;     /* [n*, h] */
    void *middle;           /* [n*, d] x after attention */
    float *x_scale;         /* [n] of the norm of x, and [n*] of middle; NULL where rows are f32 */
    float *middle_scale;
    void *gate, *up;         /* [n*, f] as op_gates leaves them; their gradients on the way back */
    void *low[LORA_TARGETS]; /* [n*, r] what the adapter's A made of the product's input */
    float *attn_out, *ffn_out; /* [n*, d] before the post-norms; families with them only */
} layer_keep;

typedef struct trainer {
    const model *model;
    backend *backend;
    lora *adapter;
    train_shape shape;
    layer_keep *keep;             /* [n_layer] */
    float *grad, *first, *second; /* [adapter->n_value] */
    float *total;    /* [n_value] the update's: what comm_add adds up; grad itself for one micro */
    int64_t updates; /* done so far */
    uint64_t met[TRAIN_MET]; /* sizes of micro-batches; of those that come again graphs are made */
    int32_t n_met;
    float *rope_global, *rope_local; /* [positions, rotary_dim] */
    void *normed;                    /* [rows, d] */
    float *x;                        /* [rows, d] on the way forward */
    lora_pair pending_pair; /* x still lacks what this adapter makes of these inner rows: */
    tensor pending_low;     /* the next norm of x adds it; data NULL: nothing */
    void *dh; /* [rows, d] f32, or ADAPTER_PARTS_MAX of them in the rows' type: op_adds_parts */
    void *dx; /* [rows, d] */
    void *query, *key;              /* [rows, heads] normed and rotated; qk-norm families only */
    void *dq, *d_o;                 /* [rows, h hd] */
    void *dk, *dv;                  /* [rows, g hd] */
    void *act, *dact;               /* [rows, f] */
    void *dlow;                     /* [ADAPTER_PARTS_MAX, rows, r] */
    void *out_normed;               /* [out_rows, d] */
    float *out_x, *out_dx, *out_dh; /* [out_rows, d] */
    int32_t *out_position;          /* [out_rows] */
    attend_span *out_span;          /* [out_rows] */
    int32_t *count_up;              /* [rows] 0, 1, 2, .. */
    int64_t *one_each;              /* [out_rows + 1] 0, 1, 2, .. */
    double *answer_log_sum_exp;     /* [out_rows] of the last micro-batch */
    float *answer_logit;            /* [out_rows] */
    float *chunk;                   /* [out_rows, chunk_ids] */
    int64_t chunk_ids;
    size_t bytes_optimiser, bytes_workspace; /* where the device keeps its numbers */
} trainer;

typedef struct train_setup { /* what a trainer is made of; all borrowed */
    const model *model;
    backend *backend;
    lora *adapter;
    train_shape shape;
} train_setup;

bool trainer_lay_out(trainer *t, const train_setup *s, arena *a, err *e);

/* Forgets the gradients gathered so far. */
void trainer_zero(trainer *t);

/* Adds the gradient of a micro-batch's weighted loss; *loss = that loss. ERR_USAGE when it is not
 * finite. */
bool trainer_add(trainer *t, const train_batch *b, double *loss, err *e);

/* One step of the optimiser with `total`, which is then forgotten, as `grad` is. */
bool trainer_update(trainer *t, const optim_config *o, double *norm, err *e);

#endif
