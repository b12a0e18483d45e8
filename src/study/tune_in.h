/* tune_in: what the files of tune share. */
#ifndef CASELOAD_STUDY_TUNE_IN_H
#define CASELOAD_STUDY_TUNE_IN_H

#include "compute/device.h"
#include "model/adapter_files.h"
#include "study/arms.h"
#include "study/tune.h"
#include "study/tune_job_in.h"

/* ---- tune_rows.c: an arm's prompts over the rows that it learns from and chooses by ---- */

typedef struct tune_texts {
    const spec_arm *arm;
    const run_model *model;
    engine *engine;     /* the model's: peeked */
    crew *crew;         /* it and the other ranks */
    backend *backend;   /* [ranks] of training: a session has another */
    char numerics[160]; /* trainer version, backend, instruction set, format */
    arms arms;
    rows view; /* `scored` are the rows to learn from, then those to choose by, each by id */
    int32_t n_learn, n_choose;
    tree learn;         /* each prompt and its target */
    int32_t *label;     /* [n_learn + n_choose] */
    int32_t *target;    /* [n_target] answers of `learn` */
    int32_t *first;     /* [n_learn + 1] first target of a row: one a variant */
    tree choose;        /* each prompt and all its answers */
    int32_t *case_of;   /* [n_choose_prompt] */
    int32_t *first_way; /* [n_choose + 1] first prompt of a row: one a variant */
    schedule schedule;  /* of `choose` */
    hash_text learn_hash, choose_hash;
    int32_t n_left_out; /* training rows that are among their own examples */
    int32_t number;     /* of the arm in the study */
    bool by_loss;       /* choose by the loss of the text to learn: the arm generates it */
} tune_texts;

/* arm, model, engine and backend of `x` are given. */
bool tune_texts_make(tune *t, tune_texts *x, err *e);
void tune_texts_close(tune_texts *x);

/* ---- tune_order.c: which rows, in which order, in which micro-batches ---- */

typedef struct tune_plan { /* one adapter's training, decided before a weight is read */
    const tune_texts *texts;
    const spec_training *training;
    const char *unit, *folder; /* "tuned/seed-1", or a trial's; where its files are */
    lora_config lora;
    optim_config optim;
    int32_t n_row;                            /* rows to learn from */
    int32_t *row;                             /* [n_row] of texts->learn, rising */
    int64_t n_draw;                           /* rows drawn over the whole training */
    int32_t *draw;                            /* [n_draw] their targets */
    double *weight;                           /* [n_class] what a token's loss counts */
    train_shape shape;                        /* the largest micro-batch; layers forwarded again */
    train_shape most;                         /* what a micro-batch may have: cuts the updates */
    int64_t tokens, tokens_unshared, n_micro; /* of the whole training */
    int64_t tokens_choose;                    /* of all evaluations */
    int32_t n_evaluation;
    int32_t micros;                      /* the most that an update has */
    int64_t bytes, bytes_keep_all;       /* of a rank as planned; with no layer forwarded again */
    size_t there_trainer, there_scoring; /* likewise of a device with memory of its own */
    hash_text key;
} tune_plan;

bool tune_plan_make(tune *t, tune_plan *p, err *e);
bool tune_is_evaluation(const tune_plan *p, int64_t number); /* after update `number`? */
bool tune_cut_micro(tune *t, tune_plan *p, err *e); /* as tune_train cuts: shape, most, counts */

/* ---- tune_room.c ---- */

/* The fewest layers forwarded again with which it fits (no bit depends on it), and its bytes.
 * ERR_RESOURCE: none; the message names a setting that fits, where there is one. */
bool tune_choose_rerun(tune *t, tune_plan *p, err *e);

/* ---- tune_train.c ---- */

bool tune_lay_out(tune_job *j, arena *a, err *e);
bool tune_train(tune *t, const tune_plan *p, bool *finished, err *e); /* false: stop_after */

/* ---- tune_files.c ---- */

typedef struct tune_adapter { /* one, finished */
    hash_text hash;           /* of its two files */
    str record_json;          /* tune.json */
} tune_adapter;

bool tune_path(char path[4096], const char *folder, const char *name, err *e);
/* *done: a finished training of this key is there, with its record. */
bool tune_read_done(const tune_plan *p, arena *a, tune_adapter *out, bool *done, err *e);
bool tune_write_checkpoint(tune_job *j, err *e);
/* *there: one of this key was read into the job. False: bytes that no job of ours wrote. */
bool tune_parse_checkpoint(tune_job *j, str bytes, bool *there);
bool tune_read_checkpoint(tune_job *j, const char *path, bool *there, err *e);
bool tune_open_logs(tune_job *j, err *e); /* cut to what the checkpoint knows */
bool tune_log(tune_job *j, str line, str events, err *e);
bool tune_write_adapter(tune_job *j, err *e); /* the job's numbers as the best so far */
bool tune_write_done(tune_job *j, err *e);
bool tune_copy_done(const tune_plan *from, const tune_plan *to, err *e); /* of the same key */
double tune_clock(void), tune_time(void); /* seconds: monotonic; since 1970 */
int64_t tune_bytes_device(const tune_plan *p); /* 0: no such device */

/* ---- tune.c ---- */

typedef struct tune_trial { /* of a sweep */
    tune_plan plan;
    spec_training training;
    tune_adapter adapter;
    bool done, exploded; /* exploded: its loss was no number */
    double auroc, loss;
} tune_trial;

typedef struct tune_group { /* the adapters of one arm of the study file */
    const spec_arm *arm;    /* [n_unit] */
    int32_t n_unit, n_trial;
    backend *backend; /* [n_rank] of training */
    int32_t n_rank;
    tune_texts texts;
    tune_plan *unit;       /* [n_unit] */
    tune_adapter *adapter; /* [n_unit] */
    bool *done;            /* [n_unit] */
    tune_trial *trial;     /* [n_trial] */
    bool chosen;           /* the sweep is over, or there is none */
} tune_group;

struct tune {
    arena memory;
    const run *run; /* whose adapters; known from the first find */
    tune_options options;
    tune_state state;
    int32_t n_group;
    tune_group *group; /* [spec.n_arm] room */
    int64_t work_all;  /* of this run, in tokens: done and left */
    bool stopped;      /* by stop_after */
};

bool tune_tell(tune *t, const char *phase, err *e);
#endif
