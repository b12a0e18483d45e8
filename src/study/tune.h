/* tune: trains the adapters of a study's arms (data/spec_lora.h), each in a folder of its own:
 *
 *   OUT/adapters/ARM/                 ARM as in the study; NAME/seed-1 where seeds are several
 *     adapter_config.json             PEFT's layout: the best adapter by the tune rows so far
 *     adapter_model.safetensors
 *     README.md                       what it is, how it was made, that patients' data shaped it
 *     tune.json                       the record of a finished training, with its key and hashes
 *     log.jsonl                       a line an update, a line an evaluation
 *     events.out.tfevents.caseload    the same for TensorBoard
 *     certificate.json                where asked: the same scores in every form
 *     checkpoint.bin                  while training: adapter, optimiser, place in the order
 *   OUT/adapters/NAME/trials.jsonl    of a sweep: every trial; each has a folder trials/..
 *
 * The store keeps tune.json as the fact `training/ARM`, and a sweep's trials, a JSON array, as
 * `trials/NAME`: the report needs no folder.
 *
 * A training is keyed by the hash of everything that shapes it: model, tokenizer, arithmetic, the
 * token ids of every prompt and target, settings, seed. One that is finished is not done again; one
 * that was stopped or killed goes on from its checkpoint and gives the same adapter bit for bit.
 *
 * The prompts are those of scoring (arms_ask); the loss is taken on the tokens of the right answer
 * (or of a column's text and the end token) only. The mean over an update's tokens, weighted by the
 * row's class where the study says so. After each part of an epoch the tune rows are scored as any
 * rows are, and the adapter with the best AUROC (then the lower loss) is kept.
 *
 * Rows are taken in the order of their ids, shuffled anew each epoch by the seed: the order of the
 * table changes nothing; nor do threads, kills or how many layers are forwarded again.
 */
#ifndef CASELOAD_STUDY_TUNE_H
#define CASELOAD_STUDY_TUNE_H

#include "data/spec_lora.h"
#include "study/run.h"

#define TUNE_VERSION "lora-train-5" /* changes whenever the same settings give other numbers */

typedef struct tune_state {
    const char *phase;  /* "tokenising", "training", "scoring tune rows", .. */
    const char *unit;   /* the adapter under way: its arm, or its trial */
    int32_t number, of; /* adapters: this one, all; of 0: nothing trains yet */
    int64_t updates_done, updates_all, rows_done; /* of the adapter under way */
    int64_t tokens_now, tokens_left; /* work done and left, in tokens of a forward pass */
    double loss, auroc;              /* of the last update; the best so far; NaN: none */
} tune_state;

typedef struct tune_options {
    const char *out; /* the study's folder of results; NULL: nothing will be trained */
    const char *arm; /* train this one alone, as the study file names it; NULL: all */
    bool needed;     /* a study without such an arm is refused, before anything else is done */
    int32_t stop_after;       /* updates of each adapter; 0: all. It can go on later */
    int32_t checkpoint_every; /* updates; 0: by time */
    bool certify;             /* each finished adapter in every form (certificate.h) */
    bool (*progress)(void *context, const tune_state *s); /* NULL: none; false stops */
    void *context;
} tune_options;

typedef struct tune tune; /* the trainer of a study's adapters */

tune *tune_open(const tune_options *o, err *e);
void tune_close(tune *t); /* before the run; NULL is fine */

/* For run_options.maker: plans every adapter while the study is prepared (prompts, order, memory;
 * no weight is read), trains those that are not there just before their arms are scored. */
run_maker tune_maker(tune *t);

/* Trains what is not there yet of a prepared run whose maker this is. What was done is added to
 * `shown`. ERR_STOPPED when progress() said so, after a checkpoint. A loss that is no number is
 * ERR_USAGE, a full disk ERR_RESOURCE: the best adapter so far stays. */
bool tune_train_all(tune *t, run *r, buf *shown, err *e);

/* Has the study that was prepared an arm to train? */
bool tune_trains(const tune *t);

/* What it will take, as text for people. */
bool tune_describe(const tune *t, buf *out, err *e);

#endif
