/* run: a whole study, from left to right, once.
 *
 *   read study and table -> peek at the models -> write and tokenise every prompt
 *   -> plan from the true lengths -> open the weights -> score step by step, one transaction a step
 *
 * Arms that share a model and an adapter are one pass (pass.h). Every pass is peeked, tokenised and
 * planned before any weights are opened; then one after the other is opened, scored and closed.
 *
 * Running again with the same output folder goes on where the last run stopped: a score is keyed by
 * everything that shapes it, so what is there is kept, and what changed is computed anew.
 */
#ifndef CASELOAD_STUDY_RUN_H
#define CASELOAD_STUDY_RUN_H

#include "data/store.h"
#include "study/arms.h"
#include "study/baseline.h"
#include "study/crew.h"
#include "study/pass.h"
#include "text/automaton.h"

#define RUN_SCORER_VERSION "label-logprob-3" /* changes whenever the meaning of a score does */

typedef struct run_state {
    const char *phase;
    int64_t texts_done, texts_all, texts_now, tokens_done, tokens_all;
    int64_t drawn_done, drawn_all; /* generated tokens; all: at most */
    double seconds_forward, seconds_drawn;
} run_state;

typedef struct run_adapter {
    const char *folder; /* where the adapter is or will be; NULL: the arm has none */
    int32_t rank;
    bool ready; /* it is there, whole */
} run_adapter;

/* Whoever trains the adapters of a study's arms. `find` is asked while everything is planned, and
 * opens no weights. `make` is called just before the pass of an adapter that was not ready opens:
 * nothing else is open then, prompts and rows of `r` stand; afterwards the adapter is in its
 * folder. Its hash becomes part of every key, so the pass is then asked anew. */
typedef struct run_maker {
    bool (*check)(void *context, const spec *s, err *e); /* NULL: none; of the study as read */
    bool (*find)(void *context, const struct run *r, int32_t arm, run_adapter *out, err *e);
    bool (*make)(void *context, struct run *r, int32_t arm, err *e);
    void *context;
} run_maker;

typedef struct run_options {
    const char *study;
    const char *out; /* folder of results; NULL: nothing is written (plan) */
    engine_options engine;
    int32_t batch_items, rows, limit;
    bool unshared;
    const char *only_row; /* id: ask about this row alone (try); NULL: all */
    const char *only_arm; /* name: of this arm alone; NULL: all */
    bool in_memory;       /* results are kept in memory (try), until the run is closed */
    run_maker maker;      /* zero: none; arms name their adapters' folders */
    bool (*progress)(void *context, const run_state *s); /* NULL: none; false stops */
    void *context;
} run_options;

typedef struct run_model { /* a model of the study, peeked at */
    const char *path;
    engine engine; /* the first rank */
    crew crew;
    hash_text hash, tokenizer_hash, template_hash;
    char numerics[160]; /* scorer version, backend, instruction set: part of every key */
} run_model;

typedef struct run {
    arena memory;
    int32_t first_row, end_row; /* of rows.scored: what is asked about */
    spec spec;
    table table;
    rows rows;
    int32_t n_model, n_pass;
    run_model *model;  /* [n_model] in the order of the arms */
    int32_t *model_of; /* [spec.n_arm] */
    pass *pass;        /* [n_pass] in the order of the arms */
    arms arms;
    baselines baselines; /* arms of the store after those of the study */
    book_cost *cost;     /* [spec.n_arm] of each arm alone */
    automaton **form;    /* [spec.n_arm] that its generated texts must have; NULL: any */
    store *store;        /* NULL: only planned */
    run_options options;
    run_state state;
} run;

/* Everything before the weights: a run that stands ready, or the first thing that is wrong. */
bool run_prepare(run *r, const run_options *o, err *e);

/* What the run will take, as text for people: tokens, memory, texts an arm. Opens no weights. */
bool run_describe_plan(run *r, buf *out, err *e);

/* Computes what is missing; ERR_STOPPED when progress() said so, with every finished step kept. */
bool run_score(run *r, err *e);

/* Tokens forwarded, and what they would be if each prompt stood alone; a line. */
void run_say_cost(const run *r, buf *out);

/* Planned and measured memory, a line a pass that ran. */
void run_say_memory(const run *r, buf *out);

void run_close_models(run *r); /* the store stays open */
void run_close(run *r);

/* Tells progress(); false with ERR_STOPPED when it says so. */
bool run_tell(run *r, const char *phase, err *e);

#endif
