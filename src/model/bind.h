/* bind: which tensor of a file is which weight of the computation, checked shape by shape.
 *
 * Names are a table: one row a slot, one column a way of naming. Fused tensors (phi3's qkv and
 * gate_up) become views of their rows. Nothing is read or copied: every tensor points into the
 * file's map; but packed ones (model/packed.h) are laid out in the arena.
 *
 * Shapes (rows first): d model width, h heads, g K/V heads, hd head width, f feed-forward width,
 * V tokens.
 */
#ifndef CASELOAD_MODEL_BIND_H
#define CASELOAD_MODEL_BIND_H

#include "model/files.h"

typedef enum weight_slot {
    SLOT_EMBED,          /* [V, d] */
    SLOT_OUTPUT_NORM,    /* [d] */
    SLOT_LM_HEAD,        /* [V, d] */
    SLOT_ATTN_NORM,      /* [d] */
    SLOT_Q,              /* [h hd, d] */
    SLOT_K,              /* [g hd, d] */
    SLOT_V,              /* [g hd, d] */
    SLOT_QKV,            /* [(h + 2 g) hd, d]: q, k, v rows */
    SLOT_O,              /* [d, h hd] */
    SLOT_Q_BIAS,         /* [h hd] */
    SLOT_K_BIAS,         /* [g hd] */
    SLOT_V_BIAS,         /* [g hd] */
    SLOT_O_BIAS,         /* [d] */
    SLOT_Q_NORM,         /* [hd] */
    SLOT_K_NORM,         /* [hd] */
    SLOT_POST_ATTN_NORM, /* [d], on the block's output */
    SLOT_FFN_NORM,       /* [d], before the feed-forward block */
    SLOT_GATE,           /* [f, d] */
    SLOT_UP,             /* [f, d] */
    SLOT_GATE_UP,        /* [2 f, d]: gate, up rows */
    SLOT_DOWN,           /* [d, f] */
    SLOT_GATE_BIAS,      /* [f] */
    SLOT_UP_BIAS,        /* [f] */
    SLOT_DOWN_BIAS,      /* [d] */
    SLOT_POST_FFN_NORM,  /* [d], on the block's output */
    SLOT_COUNT
} weight_slot;

typedef struct layer_weights { /* data NULL: the family has none */
    tensor attn_norm, q, k, v, o, q_bias, k_bias, v_bias, o_bias, q_norm, k_norm, post_attn_norm;
    tensor ffn_norm, gate, up, down, gate_bias, up_bias, down_bias, post_ffn_norm;
} layer_weights;

typedef struct model_weights {
    tensor embed, output_norm, lm_head; /* lm_head is embed where the model is tied */
    layer_weights *layer;               /* [n_layer] */
    int32_t n_unused; /* tensors of the file that no slot wants, known harmless ones not counted */
    const char *first_unused; /* the name of one of them, or NULL */
} model_weights;

/* The name of a slot's tensor in GGUF, or in safetensors under the usual prefix "model.". NULL when
 * the family has no such slot there. `buffer` holds the answer. */
const char *model_tensor_name(const model_family *f, bool from_gguf, weight_slot slot,
                              int32_t layer, char buffer[128]);

/* Rows and columns (0: a vector) of a slot's tensor; false: a model of this configuration has no
 * such tensor of its own. */
bool model_slot_shape(const model_config *c, weight_slot slot, int64_t *rows, int64_t *columns);

/* The file's tensor of a slot; NULL when this model has none. */
const tensor_entry *model_slot_tensor(const model_header *h, weight_slot slot, int32_t layer);

/* Is this slot one of a layer's, or of the whole model? */
static inline bool slot_is_of_layer(weight_slot slot) { return slot > SLOT_LM_HEAD; }

/* ERR_MODEL names the missing or misshapen tensor, the file, and both shapes. */
bool model_bind(model_weights *w, const model_header *h, arena *a, err *e);

#endif
