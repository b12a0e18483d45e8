/* lora: a low-rank adapter beside a frozen model (Hu et al. 2021, arXiv 2106.09685).
 *
 * For each chosen weight [out,in] of a layer: A [r,in] and B [out,r]; the product gains
 * (alpha / r) (x A^T) B^T. All numbers are one f32 block in the order layer, target, A, B: the
 * optimiser sees a vector. The model is never patched: whoever computes is handed the adapter.
 *
 * Where a family stores q, k, v (or gate, up) as one matrix, so do its adapters: they share one A,
 * and their B are rows of one matrix, as PEFT has it for the same checkpoint.
 */
#ifndef CASELOAD_MODEL_LORA_H
#define CASELOAD_MODEL_LORA_H

#include "compute/train.h"
#include "model/bind.h"

typedef enum lora_target {
    LORA_Q,
    LORA_K,
    LORA_V,
    LORA_O,
    LORA_GATE,
    LORA_UP,
    LORA_DOWN,
    LORA_TARGETS
} lora_target;

typedef struct lora_config {
    int32_t rank;     /* 1 .. the model's width */
    double alpha;     /* > 0 */
    uint32_t targets; /* 1 << lora_target each; 0: all seven */
} lora_config;

typedef struct lora_place { /* first numbers of A and B in the block; -1: no adapter here */
    int64_t a, b;
} lora_place;

typedef struct lora {
    const model_config *model;
    lora_config config;
    lora_place *place; /* [n_layer, LORA_TARGETS] */
    float *value;      /* [n_value] the host's: what files hold */
    float *placed;     /* [n_value] the device's: what ops read and the optimiser changes */
    int64_t n_value;
} lora;

const char *lora_target_name(lora_target t); /* "q", "k", .. as a study file says them */

/* Sizes of the adapted weight. */
int64_t lora_in(const model_config *c, lora_target t);
int64_t lora_out(const model_config *c, lora_target t);

/* Takes the block (unset). ERR_USAGE: rank or alpha out of range, or a part of a fused matrix. */
bool lora_lay_out(lora *l, const model_config *c, lora_config o, arena *a, err *e);

/* As PEFT starts: A uniform in +-1/sqrt(in) (Kaiming with a = sqrt 5), B zero; the model with a
 * fresh adapter is the model. The same seed gives the same numbers, whatever the targets. */
void lora_start(lora *l, uint64_t seed);

/* The block on its way to the device (measuring: its room there), and back after training. On
 * devices that compute in the host's memory both are one block and nothing moves. */
bool lora_upload(lora *l, backend *b, err *e);
void lora_download(lora *l, backend *b);

/* The pair beside a weight, with gradients out of `grad` [n_value] (NULL: none). False: not
 * adapted. */
bool lora_pair_of(const lora *l, float *grad, int32_t layer, lora_target t, lora_pair *pair);

#endif
