/* A training that needs no model: five updates of four rows, scored after the third and the fifth,
 * an adapter of six numbers. What reads checkpoints is tried on it (fuzz/f_checkpoint.c,
 * tests/t_tune.c); tools/golden/checkpoint.py writes files for it. */
#ifndef CASELOAD_FUZZ_CHECKPOINT_JOB_H
#define CASELOAD_FUZZ_CHECKPOINT_JOB_H

#include "data/spec_lora.h"
#include "study/tune_in.h"

enum { CHECKPOINT_VALUES = 6, CHECKPOINT_UPDATES = 5, CHECKPOINT_EVALUATIONS = 2 };

typedef struct checkpoint_job {
    spec_lora lora;
    spec_training training;
    tune_texts texts;
    tune_plan plan;
    float value[CHECKPOINT_VALUES], first[CHECKPOINT_VALUES], second[CHECKPOINT_VALUES];
    double loss[CHECKPOINT_UPDATES];
    tune_evaluation evaluation[CHECKPOINT_EVALUATIONS];
    tune_job job;
} checkpoint_job;

static inline void checkpoint_job_make(checkpoint_job *c)
{
    *c = (checkpoint_job){.lora = {.batch = 4, .evaluate = 2}, .texts = {.n_choose = 7}};
    c->training.lora = &c->lora;
    c->plan = (tune_plan){.texts = &c->texts, .training = &c->training, .n_row = 20};
    c->plan.optim.updates = CHECKPOINT_UPDATES;
    c->plan.n_evaluation = CHECKPOINT_EVALUATIONS;
    c->plan.key = hash_of("a training", 10);
    c->job = (tune_job){.plan = &c->plan, .first = c->first, .second = c->second};
    c->job.adapter.n_value = CHECKPOINT_VALUES;
    c->job.adapter.value = c->value;
    c->job.at.loss = c->loss;
    c->job.at.evaluation = c->evaluation;
    c->job.at.best = -1;
}

#endif
