/* arch: what a model's configuration says, and one table row a family.
 *
 * A family is data: names in config.json and in GGUF, and the switches in which families differ. Nothing
 * else in the program asks "is this Gemma?".
 */
#ifndef CASELOAD_MODEL_ARCH_H
#define CASELOAD_MODEL_ARCH_H

#include "base/str.h"
#include "compute/backend.h"

typedef struct model_family {
    const char *name; /* "llama", "gemma3", .. */
    const char
        *hf_class; /* config.json architectures[0], e.g. "LlamaForCausalLM"; alternatives by row */
    const char *gguf_arch; /* general.architecture */
    rope_style rope_hf, rope_gguf;
    glu_kind glu;
    bool qkv_bias_by_default; /* qwen2: config.json does not say */
    bool qk_norm;             /* RMSNorm of each query and key head before RoPE (qwen3, gemma3) */
    bool post_norms;       /* RMSNorm of each block's output before the residual (gemma2, gemma3) */
    bool norm_plus_one_hf; /* safetensors store w - 1 (gemma); GGUF stores w */
    bool
        scale_embedding; /* x sqrt(d_model), rounded to the weights' type as the maker does (gemma) */
    bool fused_qkv, fused_gate_up; /* one tensor each (phi3) */
    bool tied_by_default;
} model_family;

typedef enum rope_scaling {
    ROPE_SCALE_NONE,
    ROPE_SCALE_LINEAR,
    ROPE_SCALE_LLAMA3,  /* Llama 3.1: by wavelength, four numbers */
    ROPE_SCALE_FACTORS, /* per-frequency divisors: GGUF rope_freqs.weight, Phi-3 longrope */
} rope_scaling;

typedef struct rope_config {
    double base;
    rope_scaling scaling;
    double factor, low_freq_factor, high_freq_factor;
    int32_t original_context;
    const float *short_factor,
        *long_factor;        /* [rotary dims / 2] or NULL; long when the context in use
                                                is over original_context */
    double attention_factor; /* multiplies cos and sin; 1 by default */
} rope_config;

typedef struct model_config {
    const model_family *family;
    bool from_gguf;
    int32_t n_layer, d_model, n_head, n_head_kv, head_dim, rotary_dim, d_ff, n_vocab, n_context;
    float norm_eps;
    rope_config rope; /* of global layers */
    rope_config
        rope_local; /* of sliding-window layers; same as rope where the family has one base */
    int32_t window; /* sliding window in tokens; 0: none */
    int32_t window_period; /* with window > 0: layer i is global when window_period > 0 and
                               (i + 1) % window_period == 0, else local; 0: all local */
    uint8_t *
        layer_is_local; /* [n_layer]: the answer of the two fields above or of config's layer_types */
    float softcap_attention, softcap_final; /* 0: none */
    float query_scale; /* multiplies q.k: 1/sqrt(head_dim) unless the config says otherwise */
    float embed_scale; /* 1 unless the family scales */
    bool tied;         /* lm_head is the embedding */
    float norm_plus;   /* 1 where stored norms are w - 1 */
} model_config;

/* The rows, for --help, inspect and tests. */
const model_family *model_families(int32_t *n_family);
const model_family *model_family_by_hf(str hf_class);
const model_family *model_family_by_gguf(str gguf_arch);

#endif
