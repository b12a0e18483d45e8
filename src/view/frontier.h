/* frontier: size against quality: what each arm's model takes, how fast it is, and what it is worth
 * beside the same question asked of the model in more bits.
 *
 * An arm is compared with the arm that asks the same (question, examples, role) of the same model
 * in the most bits a weight; the one in the most bits with the arm of the largest model that asks
 * the same. Reads the records that a run leaves: the arm's (model, number type, parameters) and
 * "cost/ARM" (planned and measured bytes, tokens, seconds). */
#ifndef CASELOAD_VIEW_FRONTIER_H
#define CASELOAD_VIEW_FRONTIER_H

#include "view/evidence.h"

typedef struct frontier_arm {
    int32_t arm;                 /* of the evidence */
    const char *model, *numbers; /* "Llama 2 7B", "Q4_K"; adapter: "" none */
    const char *adapter;
    double bits; /* a weight, on average */
    int64_t parameters;
    int64_t bytes_planned, bytes_peak; /* of the process; 0: not recorded */
    double tokens_per_second;          /* forwarded; 0: not recorded */
    int32_t against;                   /* frontier arm it is compared with; -1: it is a reference */
} frontier_arm;

typedef struct frontier {
    int32_t n, n_model; /* models: distinct files */
    frontier_arm *arm;  /* [n] in the order of the study */
} frontier;

/* n is 0 where fewer than two models are there. */
bool frontier_make(frontier *f, const evidence *v, err *e);

/* The paired difference in AUROC, arm - against; false: not estimable, or a reference. */
bool frontier_difference(const frontier *f, const evidence *v, int32_t i, rank_test *out);

#endif
