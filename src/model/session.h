/* session: everything that changes while a model computes: the K/V cache and the activations of one
 * step.
 *
 * The model is read-only; a session is one block laid out by `session_lay_out`, once measuring and
 * once for real with the same bytes (that number is the plan).
 *
 * A **step** is a run of rows (tokens) forwarded together. Row r writes its K/V to slot `first_slot
 * + r`, and attends to the ranges of slots its span names: the segments that are its ancestors,
 * then its own. So one call serves a prompt's head, its text, its answers, and any mixture of them;
 * nothing is padded. Rows whose distribution nobody reads stop early: in the last layer only `out`
 * rows have queries.
 *
 * Bits: what a row computes depends on its own path (token ids, positions, how the template cuts
 * them into segments), never on the rest of the step.
 */
#ifndef CASELOAD_MODEL_SESSION_H
#define CASELOAD_MODEL_SESSION_H

#include "model/lora.h"

typedef struct model { /* read-only once open */
    const model_header *header;
    const model_config *config;
    model_weights weights;
} model;

typedef struct session_shape { /* the largest of each that will be asked */
    int32_t rows;              /* rows a step */
    int32_t slots;             /* K/V slots: kept heads, then the batch under way */
    int32_t positions;         /* longest path in tokens */
    int32_t out_rows;          /* rows a step whose distribution is read */
    int32_t picks;             /* logits picked a step */
    int32_t n_top;             /* likeliest tokens kept a row */
    int32_t logit_rows;        /* rows a step whose logits are wanted whole (decode); 0: none */
    int32_t adapter_rank;      /* largest rank of an adapter; 0: none will be used */
    bool follows;              /* its rows come from another session (session_follow) */
    bool no_graphs;            /* decode starts op by op; the bits are the same (graph.h) */
} session_shape;

typedef struct step {
    int32_t n_row, first_slot;
    const int32_t *slot;     /* [n_row] one a row, instead of first_slot (needs logit_rows) */
    const int32_t *id;       /* [n_row] token ids */
    const int32_t *position; /* [n_row] */
    const attend_span *span; /* [n_span], covering the rows in order */
    const attend_range *range;
    int32_t n_span;
    const int32_t *out_row; /* [n_out], rising */
    int32_t n_out;
    const int64_t *pick_start; /* [n_out + 1] */
    const int32_t *pick_id;
    int32_t n_top;
    bool hidden_only; /* the out rows' last hidden states only, for session_read_logits */
} step;

typedef struct session {
    const model *model;
    const lora
        *adapter; /* computed beside the model; NULL: none. Changed between runs: K/V keeps it */
    backend *backend;
    session_shape shape;
    struct session *before; /* of the layers before these, on another device; NULL: none */
    bool goes_on;           /* others' layers follow: no answers here */
    pool *turn;             /* with others on one device: who has its lock computes; NULL: alone */
    /* The device's; void: in the backend's `rows` type. */
    float *low;                      /* [ADAPTER_PARTS_MAX, rows, adapter_rank] */
    void *key, *value;               /* each [n_layer, slots, n_head_kv * head_dim] */
    float *x;                        /* [rows, d_model] */
    void *normed;                    /* [rows, d_model] */
    void *query, *attended;          /* [rows, n_head * head_dim] */
    void *gate, *up;                 /* [rows, d_ff] */
    float *block_out;                /* [rows, d_model], families with post-norms only */
    float *rope_global, *rope_local; /* [positions, rotary_dim]: cos, sin */
    float *out_x;                    /* [out_rows, d_model]: the last layer's rows that go on */
    void *out_normed;                /* [out_rows, d_model] */
    void *key_new, *value_new;       /* [logit_rows, n_head_kv * head_dim], on their way to slots */
    float *hidden;                   /* [logit_rows, d_model] */
    float *logits_there;             /* [logit_rows, n_vocab] */
    int32_t *drawn_there;            /* [logit_rows] */
    /* The host's. */
    float *logits;                    /* [logit_rows, n_vocab], of session_read_logits */
    int32_t *out_position;            /* [out_rows] */
    attend_span *out_span;            /* [out_rows] */
    head_result got;                  /* of the last step */
    size_t bytes_kv, bytes_workspace; /* where the device keeps its numbers: K/V; its own */
} session;

bool session_lay_out(session *s, const model *m, backend *b, session_shape shape, arena *a, err *e);

/* The layers of a model on several devices, each with a session over a model of some of them
 * (place.h): `s` goes on where `before` ends. Steps are forwarded by the last, which has the
 * answers; the others are laid out with its shape. Where several such rows of sessions stand on the
 * same devices, those of one device take turns (`turn`, the same pool): while one computes on the
 * first device, another does on the second. Side by side on each they would all wait together. */
void session_follow(session *s, session *before);

/* Forwards one step; the answers about `out` rows are in s->got until the next step. */
void session_forward(session *s, const step *st);

/* s->logits_there [n, n_vocab] = the logits, without any soft-cap, of out rows out[0..n) of the
 * last step; n <= logit_rows. */
void session_find_logits(session *s, const int32_t *out, int32_t n);

/* s->logits [n, n_vocab] = those logits, soft-capped where the family does. */
void session_fetch_logits(session *s, int32_t n);

/* s->logits [n, n_vocab] = the logits (soft-capped where the family does) of out rows out[0..n) of
 * the last step; n <= logit_rows. */
void session_read_logits(session *s, const int32_t *out, int32_t n);

/* Bytes of K/V a slot takes over all layers, in a device's `rows` type. */
int64_t session_bytes_slot(const model_config *c, dtype rows);

#endif
