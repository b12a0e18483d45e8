/* run: a whole study, from left to right, once.
 *
 *   read study and table -> peek at the model -> write and tokenise every prompt
 *   -> plan from the true lengths -> open the weights -> score step by step, one transaction a step
 *
 * Running again with the same output folder goes on where the last run stopped: a score is keyed by
 * everything that shapes it, so what is there is kept, and what changed is computed anew.
 */
#ifndef CASELOAD_STUDY_RUN_H
#define CASELOAD_STUDY_RUN_H

#include "data/store.h"
#include "study/arms.h"
#include "study/baseline.h"
#include "study/engine.h"

#define RUN_SCORER_VERSION "label-logprob-1" /* changes whenever the meaning of a score does */

typedef struct run_state {
    const char *phase;
    int64_t texts_done, texts_all, texts_now, tokens_done, tokens_all;
} run_state;

typedef struct run_options {
    const char *study;
    const char *out; /* folder of results; NULL: nothing is written (try, plan) */
    engine_options engine;
    int32_t batch_items, rows, limit;
    bool unshared;
    const char *only_row; /* id: ask about this row alone (try); NULL: all */
    bool (*progress)(void *context, const run_state *s); /* NULL: none; false stops */
    void *context;
} run_options;

typedef struct todo { /* one text under one arm that has no score yet */
    int32_t row;
    int32_t case_segment;          /* its answers follow in the arm's tree */
    int32_t n_answer, first_class; /* their classes, in arm_job.answer_class */
    hash_text key;
} todo;

typedef struct arm_job { /* what is left of an arm */
    tree tree;
    int32_t n_todo;
    todo *todo;
    token_list answer_class; /* of all todos, one after the other */
    int32_t n_answer_most;   /* of one of them */
    schedule schedule;
    int64_t tokens_forwarded,
        tokens_unshared; /* of the whole arm: as computed; every prompt alone */
} arm_job;

typedef struct run {
    arena memory;
    int32_t first_row, end_row; /* of rows.scored: what is asked about */
    spec spec;
    table table;
    rows rows;
    engine engine;
    arms arms;
    baselines baselines; /* arms of the store after those of the study */
    arm_job *job;        /* [n_arm] */
    store *store;        /* NULL without an output folder */
    hash_text model_hash, tokenizer_hash, template_hash;
    char numerics[160]; /* scorer version, backend, instruction set: part of every key */
    run_options options;
    run_state state;
} run;

/* Everything before the weights: a run that stands ready, or the first thing that is wrong. */
bool run_prepare(run *r, const run_options *o, err *e);

/* What the run will take, as text for people: tokens, memory, texts an arm. Opens no weights. */
bool run_describe_plan(run *r, buf *out, err *e);

/* Computes what is missing; ERR_STOPPED when progress() said so, with every finished step kept. */
bool run_score(run *r, err *e);

void run_close(run *r);

#endif
