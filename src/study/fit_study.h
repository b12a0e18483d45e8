/* fit_study: a study's arms, with the true lengths of its prompts: memory, tokens, time. Prompts
 * are written and tokenised as for a run; nothing is opened.
 *
 * Each arm is planned alone, and each pass (the arms of one model and adapter, which share a
 * session and what their prompts have in common) as a run would do it. */
#ifndef CASELOAD_STUDY_FIT_STUDY_H
#define CASELOAD_STUDY_FIT_STUDY_H

#include "study/fit_time.h"
#include "study/run.h"
#include "study/tune.h"

typedef struct fit_work { /* of an arm alone, or of a pass */
    int64_t texts;
    int32_t longest;                     /* tokens of the longest path */
    int64_t tokens_shared, tokens_alone; /* to forward: as computed; every prompt alone */
    int64_t tokens_drawn;                /* to generate, at most */
    fit_bytes bytes;
    bool fits;
    int32_t rows;    /* of a step */
    int32_t n_split; /* cards; 1: fits on one; 0: does not fit */
    double seconds;  /* on several cards that hold copies: shared between them */
} fit_work;

typedef struct fit_arm {
    str name;
    const char *model, *adapter; /* adapter NULL: none */
    int32_t speed_of;            /* which of fit_study.speed */
    fit_work alone;
} fit_arm;

typedef struct fit_pass {
    const char *model, *adapter;
    int32_t n_arm, speed_of;
    fit_work all;
} fit_pass;

typedef struct fit_training { /* of one adapter */
    const char *unit; /* its arm, or its trial */
    int32_t rows, rows_tune;
    int64_t updates, tokens, tokens_alone, tokens_tune; /* all epochs; of all evaluations */
    fit_bytes bytes;
    int32_t rerun, n_layer; /* layers forwarded again, the fewest that fit */
    bool fits, done;        /* done: it is there; nothing is left to do */
    double token, seconds;  /* a token forward and backward; the whole training */
} fit_training;

typedef struct fit_study {
    fit_target target;
    const char *path;
    int32_t n_arm, n_pass, n_speed, n_training;
    fit_arm *arm;
    fit_pass *pass;
    fit_training *training;
    fit_speed *speed;   /* [n_speed] one a model */
    int64_t bytes_peak; /* of the largest pass or training */
    bool fits;
    double seconds, seconds_training; /* seconds: of all, training included */
    fit_ask ask; /* what the table by number type should ask, with these lengths */
} fit_study;

/* `r` stands ready (run_prepare with engine_options.sizes_only); `t` plans its adapters. */
bool fit_study_make(fit_study *f, run *r, tune *t, const fit_target *where, arena *a, err *e);

#endif
