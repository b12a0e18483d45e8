/* pass: the arms of a study that share a model and an adapter, and so one session.
 *
 * pass_ask writes and tokenises every prompt of the pass into trees and notes what has no score
 * yet; pass_plan says what the session takes; pass_run opens the weights, scores what is missing,
 * one transaction a step, and closes. The bytes planned are the bytes used.
 *
 * An adapter that is still to be trained (run.h, run_maker) has no hash yet: its pass is asked
 * once without the store, to check and to plan, and once more when the adapter is there.
 */
#ifndef CASELOAD_STUDY_PASS_H
#define CASELOAD_STUDY_PASS_H

#include "base/hash.h"
#include "study/schedule.h"
#include "text/token.h"

struct run;

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

typedef struct pass {
    int32_t model;       /* which of run.model */
    const char *adapter; /* folder; NULL: none */
    int32_t adapter_rank;
    hash_text adapter_hash; /* of its two files; empty: none, or not made yet */
    bool late;              /* the adapter is not made yet: run_maker makes it */
    int32_t n_arm;
    int32_t *arm; /* [n_arm] of the study */
    int64_t tokens_todo;
    int64_t bytes_planned, bytes_peak;   /* of the session; of the process while it ran */
    int64_t bytes_before, bytes_weights; /* of the process before it opened; of the model's file */
    double seconds;                      /* this run's */
} pass;

/* The hash of an adapter's files, and its rank: reads it whole, checks it against the model. */
bool pass_read_adapter(struct run *r, pass *p, err *e);

/* Inside a transaction when there is a store. */
bool pass_ask(struct run *r, pass *p, err *e);

/* Bytes of the session, without opening anything; 0 when nothing is left to do. */
bool pass_plan(struct run *r, pass *p, int64_t *bytes, err *e);

bool pass_run(struct run *r, pass *p, err *e);

void pass_forget(struct run *r); /* all trees, of every pass */

/* For `try`: opens the session for all arms of the pass; gives it back. */
bool pass_open(struct run *r, pass *p, err *e);
void pass_shut(struct run *r, pass *p);

#endif
