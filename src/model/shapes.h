/* shapes: published models as figures alone, so that "what fits?" has an answer before anything is
 * downloaded.
 *
 * A row holds what config.json holds of sizes, and the number of parameters that the publisher
 * states; the two agree exactly (tests/t_shapes.c). A model that also sees counts its eyes apart:
 * they are not loaded for texts.
 *
 *   caseload fit --shape 7b-llama2         `llama2-7b` and `Llama2-7B` mean the same
 */
#ifndef CASELOAD_MODEL_SHAPES_H
#define CASELOAD_MODEL_SHAPES_H

#include "model/arch.h"

typedef struct shape {
    const char *name;   /* "7b-llama2": size, then series */
    const char *series; /* "Llama 2": models that differ in size alone */
    const char *title;  /* "Llama 2 7B" */
    const char *family; /* model_type of config.json */
    int32_t n_layer, d_model, d_ff, n_head, n_head_kv, head_dim, n_vocab, n_context;
    bool tied;
    int64_t n_parameter; /* as published, eyes included */
    int64_t n_eyes;      /* of them in the vision tower and its projector; 0: a model of text */
} shape;

const shape *shapes_all(int32_t *n);

/* By name, in either order, upper or lower case. ERR_USAGE names the nearest one. */
const shape *shape_find(const char *name, err *e);

/* The published shape that this configuration has; NULL: none. */
const shape *shape_of_config(const model_config *c);

/* The next smaller of the series; NULL: it is the smallest. */
const shape *shape_smaller(const shape *s);

/* Through the reader of config.json, so with all that a family's makers leave unsaid. */
bool shape_config(const shape *s, model_config *c, arena *a, err *e);

#endif
