/* fit: what fits? Memory of every number type and task before anything is downloaded or opened.
 *
 * A task is a tree of prompts of stated lengths (or, with a study, of its true ones); its memory is
 * what schedule_make, session_lay_out, scorer_lay_out, generator_lay_out, lora_lay_out,
 * trainer_lay_out and batcher_lay_out take from a measuring arena: the functions that a run calls,
 * so the estimate is the allocation (tests/t_fit.c: to the byte).
 *
 *   task       prompts                                          size that is searched
 *   score      head . text . 2 answers of 2 tokens              rows a step
 *   few-shot   head with examples . text . 2 answers            rows a step
 *   generate   head . text, k samples of n tokens               samples at once
 *   LoRA       head . text . answer, forward and backward;      prompts a micro-batch
 *              QLoRA where the base is quantised
 *
 * On a graphics card what the card holds is counted: the same lay_out functions with a device that
 * only measures (model/plan.h). Its workspace is the one planned for the CUDA backend, not measured
 * before that backend exists.
 */
#ifndef CASELOAD_STUDY_FIT_H
#define CASELOAD_STUDY_FIT_H

#include "model/cards.h"
#include "model/plan.h"
#include "model/shapes.h"
#include "model/train_batch.h"
#include "study/engine.h"

typedef enum fit_kind { FIT_SCORE, FIT_SHOTS, FIT_GENERATE, FIT_TUNE, FIT_KINDS } fit_kind;

enum { FIT_CARDS_MAX = 64, FIT_ROWS_MAX = 16384, FIT_SIZE_MAX = 4096 };

typedef struct fit_ask { /* 0: the default in brackets */
    int32_t head_tokens; /* what all prompts share [256] */
    int32_t text_tokens; /* a text with its question [1024] */
    int32_t shots; /* examples of few-shot, as long as a text [4, or what the context holds] */
    int32_t samples, new_tokens; /* of generate [8], [256] */
    int32_t texts;               /* rows of the table [1000] */
    int32_t rank, batch;         /* of LoRA [16]; prompts a micro-batch [8] */
    int32_t rows;                /* a step [the card's] */
} fit_ask;

typedef struct fit_bytes { /* the parts add up to total */
    int64_t weights, kv, activations, optimiser, workspace, total;
} fit_bytes;

typedef struct fit_target { /* where it shall run */
    const card *card;       /* NULL: this computer, or a stated size */
    const char *title;
    int64_t bytes_free; /* of one card, after what the driver keeps */
    int64_t bytes_reserve;
    int32_t n_card;
    bool cuda;
} fit_target;

typedef struct fit_share { /* a card's part of a model that is split */
    int32_t first_layer, end_layer;
    fit_bytes bytes;
} fit_share;

typedef struct fit_line {
    const char *numbers; /* name of the number type, or "as it is" */
    bool quantised;
    int32_t bits; /* of the textbook rule */
    fit_kind kind;
    fit_bytes bytes;     /* at `size` and `rerun` */
    int32_t size, rerun; /* rows, samples or prompts; checkpointed layers */
    int32_t largest;     /* size that fits (LoRA: with every layer checkpointed); 0: none */
    bool fits;           /* on one card */
    int32_t n_split;     /* cards it takes when split; 1: fits on one; 0: not even on all */
    fit_share *share;    /* [n_split] when split */
    int64_t textbook;    /* bytes by the rule of thumb */
    const shape *best;   /* largest of the series that fits; NULL: none, or an unknown series */
} fit_line;

typedef struct fit {
    fit_target target;
    fit_ask ask; /* as used */
    const char *title;
    const model_header *header; /* of the model as it is, or of the shape in bf16 */
    const shape *shape;         /* NULL: not a published one */
    bool has_weights;
    int64_t n_parameter;
    int32_t n_line;
    fit_line *line;
} fit;

/* A job: one model, one task, a device that lays out. */
typedef struct fit_job {
    const model_header *header;
    backend *backend; /* opened; each lay-out takes a copy */
    fit_kind kind;
    fit_ask ask;
    int32_t n_card; /* that train together */
    const tree *tree;
    arena *scratch; /* of a lay-out: its schedule; as before after fit_measure */
} fit_job;

typedef struct fit_size { /* what is searched */
    int32_t n;            /* rows, samples or prompts */
    int32_t rerun;        /* checkpointed layers */
} fit_size;

typedef struct fit_laid { /* what a job laid out; for tests and for the calibration */
    model model;
    schedule schedule;
    session session;
    scorer scorer;
    generator generator;
    lora adapter;
    trainer trainer;
    batcher batcher;
    backend backend;
    fit_bytes bytes;
} fit_laid;

/* Fills what is 0 in `ask`; texts too long for the model's context are shortened. */
void fit_complete(fit_ask *ask, const model_config *c, const fit_target *where);

/* The prompts of a task; half of the texts as long as asked, half short. */
bool fit_make_tree(tree *t, fit_kind kind, const fit_ask *ask, err *e);

/* Lays a job out: measuring, or for real. Fills l->bytes but weights. */
bool fit_lay_out(fit_laid *l, const fit_job *j, fit_size size, arena *a, err *e);

/* The same on a measuring arena, weights and total included. */
bool fit_measure(const fit_job *j, fit_size size, fit_bytes *bytes, err *e);

/* The whole table. `h`: the model's header (with or without weights). `numbers`: NULL, or only this
 * type. */
typedef struct fit_setup {
    const model_header *header;
    const shape *shape;
    bool has_weights;
    fit_target target;
    fit_ask ask;
    pool *threads;
    const char *device; /* of this computer */
} fit_setup;

bool fit_make(fit *f, const fit_setup *s, arena *a, err *e);

#endif
