/* tune_job_in: an adapter in training, on the ranks that train it together. Each has the whole
 * adapter; micro-batches are dealt to them in turn, gradients are added in the micro-batches'
 * order (compute/comm.h), and every rank takes the same step of the optimiser for itself. */
#ifndef CASELOAD_STUDY_TUNE_JOB_IN_H
#define CASELOAD_STUDY_TUNE_JOB_IN_H

#include "compute/comm.h"
#include "model/train_batch.h"
#include "study/crew.h"

typedef struct tune_evaluation {
    int64_t update;
    double auroc, loss; /* NaN: none; mean of -log p(right class) */
} tune_evaluation;

typedef struct tune_progress {  /* of an adapter: what a checkpoint keeps besides its numbers */
    int64_t updates;            /* done */
    int32_t n_evaluation, best; /* index; -1: none */
    int32_t n_worse;            /* evaluations since the best */
    int64_t log_bytes, event_bytes;
    double seconds;              /* spent */
    tune_evaluation *evaluation; /* [n_evaluation] */
    double *loss;                /* [updates] */
} tune_progress;

typedef struct tune_job { /* an adapter in training, on one rank */
    struct tune *tune;
    const struct tune_plan *plan;
    engine *engine;   /* weights; its backend scores the tune rows */
    backend *backend; /* of training */
    struct tune_ranks *all;
    arena block; /* exactly what was planned */
    lora adapter;
    trainer trainer;
    float *first, *second; /* [n_value] the trainer's moments on the host, for checkpoints */
    batcher batcher;
    session session;
    scorer scorer;
    tune_progress at;
    double *way_z, *class_z, *part, *score, *chance; /* of an evaluation */
    double time_checkpoint;
} tune_job;

typedef struct tune_ranks {  /* those that train an adapter together */
    tune_job job[RANKS_MAX]; /* the first keeps records, files and the place in the order */
    int32_t n;
    comm comm;
    int64_t bytes_before, bytes_weights; /* resident before it; weights on the host */
    int64_t bytes_peak;                  /* before the adapter's files are read for their hash */
    double loss[RANKS_MAX], norm[RANKS_MAX]; /* of each rank's micro-batch; of the update */
    int32_t used;                            /* ranks that have a micro-batch now */
    int32_t next;                            /* batch of tune rows that no rank has */
    bool failed;
} tune_ranks;

#endif
