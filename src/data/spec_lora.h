/* spec_lora: how an arm's adapter is trained: the `lora` map of an arm.
 *
 *   lora:                        an empty map `{}` is all defaults
 *     rank: 16                   1 .. 4096
 *     alpha: 32                  above 0; default 2 x rank
 *     targets: all               or a list of q, k, v, o, gate, up, down
 *     learning_rate: 2e-4        above 0, at most 1: the highest
 *     schedule: cosine           or constant; after the warm-up
 *     warmup: 0.05               share of the updates, 0 .. 1
 *     epochs: 1                  above 0, at most 1000, parts are fine; or
 *     steps: 100                 updates, 1 .. 10 million
 *     batch: 8                   rows an update, 1 .. 4096
 *     weight_decay: 0            0 .. 1
 *     clip: 1                    largest norm of the gradient; 0: none
 *     seeds: [1]                 one adapter each; [1, 2, 3] where the study says `paper: yes`,
 *                                which asks for at least three
 *     class_weights: none        or balanced (n / (classes x n of the class)), or {class: number}
 *     sample: all                or balanced: every class equally often, rare rows repeated
 *     learn: label               or reference (the text of `data: reference`), or {column: NAME}:
 *                                that text is what the model learns to write. An arm that
 *                                generates text before it is asked for the label needs one
 *     evaluate: 2                times an epoch that the tune rows are scored; 0: never
 *     early_stop: 3              evaluations without a better one that end training; 0: none
 *     rerun_layers: auto         layers forwarded again instead of kept: as many as memory asks
 *                                for, or a number; changes no bit
 *     micro_tokens: 1024         most tokens forwarded and backward at once, 16 .. 262144
 *     sizes: [250, 500, all]     training rows: one adapter each; default all
 *     sweep: {learning_rate: [1e-4, 2e-4], rank: [8, 16]}     chosen by the tune rows
 *
 * An arm whose seeds or sizes are several becomes so many arms: NAME/seed-1, NAME/n-250,
 * NAME/n-250/seed-1. Training learns from the rows of `data: train`, chooses by those of `data:
 * tune`, and never sees the others. */
#ifndef CASELOAD_DATA_SPEC_LORA_H
#define CASELOAD_DATA_SPEC_LORA_H

#include "data/spec.h"

enum {
    SPEC_SEEDS_MAX = 100,
    SPEC_SIZES_MAX = 30,
    SPEC_SWEEP_MAX = 20, /* values of one setting */
    SPEC_RERUN_AUTO = -1
};

enum { SPEC_LEARN_LABEL, SPEC_LEARN_REFERENCE, SPEC_LEARN_COLUMN };
enum { SPEC_WEIGHTS_NONE, SPEC_WEIGHTS_BALANCED, SPEC_WEIGHTS_GIVEN };

typedef struct spec_sweep {
    int32_t n_rate, n_rank; /* 0: not swept */
    double rate[SPEC_SWEEP_MAX];
    int32_t rank[SPEC_SWEEP_MAX];
} spec_sweep;

typedef struct spec_lora {
    int32_t line;
    int32_t rank;
    double alpha;     /* 0: 2 x rank */
    uint32_t targets; /* bits of q, k, v, o, gate, up, down; 0: all */
    double rate, warmup, epochs, decay, clip, evaluate;
    int32_t schedule; /* 0 cosine, 1 constant */
    int32_t steps;    /* 0: epochs */
    int32_t batch, micro_tokens, rerun_layers, patience;
    int32_t sample;    /* 0 all, 1 balanced */
    int32_t weighting; /* SPEC_WEIGHTS_.. */
    double *weight;    /* [n_class] where given; 1 for classes not named */
    int32_t learn;     /* SPEC_LEARN_.. */
    spec_text column;  /* to write */
    int32_t n_seed, n_size;
    uint64_t seed[SPEC_SEEDS_MAX];
    int32_t size[SPEC_SIZES_MAX]; /* 0: all */
    spec_sweep sweep;
} spec_lora;

typedef struct spec_training { /* one adapter of an arm */
    spec_lora *lora;
    str arm; /* the arm's name as written; the adapter's arm may be NAME/seed-1 */
    uint64_t seed;
    int32_t size; /* 0: all rows */
} spec_training;

#endif
