/* arch: what a model's configuration says, and one table row a family.
 *
 * A family is data: its names in config.json and in GGUF, the defaults its makers leave unsaid, and
 * the switches in which families differ. Nothing else in the program asks "is this Gemma?".
 *
 * Facts are those of the makers' own code as kept in transformers (models/<family>/) and, for GGUF,
 * of the converter that wrote the file: q and k rows of the llama family are stored in pair order
 * there, Gemma's norm weights have their 1 already added.
 */
#ifndef CASELOAD_MODEL_ARCH_H
#define CASELOAD_MODEL_ARCH_H

#include "base/str.h"
#include "compute/backend.h"

/* Which layers look through the sliding window, when the file gives one. */
typedef enum window_rule {
    WINDOW_NONE,   /* none: the family's makers ignore the key */
    WINDOW_ALL,    /* every layer (mistral, phi3) */
    WINDOW_PERIOD, /* layer i unless (i + 1) % period == 0 (gemma2, gemma3) */
    WINDOW_UPPER,  /* from max_window_layers on, if use_sliding_window (qwen2, qwen3) */
} window_rule;

typedef struct model_family {
    const char *name;        /* "llama", "gemma3", .. */
    const char *hf_class[2]; /* architectures[0] of config.json; NULL: none */
    const char *hf_type[2];  /* model_type, used when architectures is absent */
    const char *gguf_arch;   /* general.architecture; NULL: as another row (mistral: llama) */
    rope_style rope_hf, rope_gguf;
    glu_kind glu;
    window_rule window;
    int32_t window_period; /* WINDOW_PERIOD: unless the file says otherwise */
    bool qkv_bias;         /* q, k, v have biases though config.json does not say so (qwen2) */
    bool qk_norm;          /* RMSNorm of each query and key head before RoPE (qwen3, gemma3) */
    bool post_norms;       /* RMSNorm of each block's output before the residual (gemma2, gemma3) */
    bool norm_plus_one_hf; /* safetensors store w - 1 (gemma); GGUF stores w */
    bool scale_embedding;  /* embedding times sqrt(d_model), as float32 (gemma) */
    bool query_scalar;     /* query_pre_attn_scalar instead of head_dim (gemma2, gemma3) */
    bool fused;            /* q, k, v in one tensor, gate and up in another (phi3) */
    bool tied_by_default;
    float softcap_attention, softcap_final; /* unless the file says otherwise; 0: none */
    double rope_base, rope_base_local;      /* likewise; local 0: the same base everywhere */
    double norm_eps;                        /* likewise */
    /* Likewise; 0: must be stated, or follows (n_head_kv from n_head, head_dim from d_model). */
    int32_t n_head, n_head_kv, head_dim, n_vocab, n_context, window_size;
} model_family;

typedef enum rope_scaling {
    ROPE_SCALE_NONE,
    ROPE_SCALE_LINEAR,  /* frequencies / factor */
    ROPE_SCALE_LLAMA3,  /* Llama 3.1: by wavelength, four numbers */
    ROPE_SCALE_FACTORS, /* per-frequency divisors: GGUF rope_freqs.weight, Phi-3 longrope */
} rope_scaling;

typedef struct rope_config {
    double base;
    rope_scaling scaling;
    double factor, low_freq_factor, high_freq_factor; /* LINEAR: factor; LLAMA3: all three */
    int32_t original_context;                         /* LLAMA3, FACTORS */
    /* FACTORS: [rotary_dim / 2] divisors each; the long ones when the context in use is over
     * original_context. Both the same for rope_freqs. */
    const float *short_factor, *long_factor;
    double attention_factor; /* multiplies cos and sin; 1 by default */
} rope_config;

typedef struct model_config {
    const model_family *family; /* NULL: a vocabulary-only file of a family we do not compute */
    bool from_gguf;
    int32_t n_layer, d_model, n_head, n_head_kv, head_dim, d_ff, n_vocab, n_context;
    int32_t rotary_dim; /* the first dimensions of a head that RoPE turns */
    float norm_eps;
    rope_config rope; /* of global layers */
    rope_config
        rope_local; /* of sliding-window layers; same as rope where the family has one base */
    int32_t window; /* sliding window in tokens, the query's own included; 0: none */
    uint8_t *layer_is_local; /* [n_layer] 1: sees only the window. All 0 when window is 0 */
    float softcap_attention, softcap_final; /* 0: none */
    float
        query_scale; /* multiplies q.k: 1/sqrt(head_dim) unless the family or file says otherwise */
    float embed_scale;               /* 1 unless the family scales */
    bool tied;                       /* lm_head is the embedding */
    float norm_plus;                 /* 1 where stored norms are w - 1 */
    bool qkv_bias, o_bias, mlp_bias; /* which biases the file says it has (GGUF: has) */
} model_config;

/* More than any model known; a file over these is damaged or hostile. */
enum {
    MODEL_LAYERS_MAX = 1024,
    MODEL_WIDTH_MAX = 1 << 20, /* d_model, d_ff, heads x head_dim */
    MODEL_VOCAB_MAX = 1 << 22,
};

/* The rows, for --help, inspect and tests. */
const model_family *model_families(int32_t *n_family);
const model_family *model_family_by_hf(str hf_class);
const model_family *model_family_by_type(str model_type);
const model_family *model_family_by_gguf(str gguf_arch);

#endif
