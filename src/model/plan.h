/* plan: a model as it would be, before it is there: a header with every tensor of the right name,
 * shape and number type, so that the code that binds weights and lays out memory runs unchanged on
 * it. What `caseload fit` prints comes from those functions on measuring arenas, not from a formula
 * beside them.
 *
 * Number types are recipes: which matrix gets which format. Those of GGUF files follow
 * llama.cpp's own quantiser (src/llama-quant.cpp: the first and last eighth and every third layer
 * of v and down get more bits in the _M recipes, the output matrix Q6_K); tests/t_shapes.c compares
 * them with published files to the byte. NF4 and INT8: as model/packed.h keeps them in memory (4.5
 * and 8.5 bits a weight of the layers' matrices); embedding and output stay bf16.
 */
#ifndef CASELOAD_MODEL_PLAN_H
#define CASELOAD_MODEL_PLAN_H

#include "model/bind.h"

typedef struct plan_numbers {
    const char *name;                   /* "f32", "bf16", "Q8_0", "NF4", "Q4_K_M" .. */
    int32_t bits;                       /* Q of the textbook rule */
    dtype matrix, more, output, vector; /* of a layer; where more bits go; lm_head; norms */
    dtype fused;                        /* q, k and v in one matrix */
    bool quantised, layers_only;        /* layers_only: embedding and output stay `output` */
} plan_numbers;

const plan_numbers *plan_numbers_all(int32_t *n);
const plan_numbers *plan_numbers_find(const char *name); /* NULL: unknown */

/* Fills h as a file of this configuration would: names, shapes, types, bytes. Views get memory in
 * `weights`, whose bytes nobody has set; NULL: addresses that nobody may follow, for sizes alone.
 * `name`: for messages. */
typedef struct plan_source {
    const char *name;
    const model_config *config;
    const plan_numbers *numbers;
    arena *weights;
} plan_source;

bool plan_header(model_header *h, const plan_source *s, arena *a, err *e);

/* For a header of sizes alone: its tensors in bf16 when it lists none; addresses that nobody may
 * follow for those without data. */
bool plan_complete_header(model_header *h, arena *a, err *e);

/* P x 4 bytes / (32 / Q) x 1.2: the rule of thumb. */
int64_t plan_textbook(int64_t n_parameter, int32_t bits);

/* Bytes of the tensors of layers [first, end); with the embedding when first is 0, with the final
 * norm and lm_head when end is n_layer. */
int64_t plan_layer_bytes(const model_header *h, int32_t first, int32_t end);

/* A device that only lays out, with memory of its own: cuda's workspace (compute/cuda/space.h),
 * rows between products in bf16. It computes nothing. device_measure() before each lay-out. */
void plan_open_cuda(backend *b, pool *threads);

#endif
