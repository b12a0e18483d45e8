/* arch: the families, and what must hold between the numbers of any configuration. See arch.h.
 *
 * Defaults are those the makers' configuration classes fill in when config.json leaves a key out
 * (Gemma 3 files leave out most of them). A new family is a new row here and, if it names tensors
 * differently, a column in bind.c. */
#include "model/files_in.h"

#include <assert.h>
#include <math.h>

static const model_family families[] = {
    {
        .name = "llama", /* Llama 1 to 3, SmolLM2 and others of that shape */
        .hf_class = {"LlamaForCausalLM", "LLaMAForCausalLM"},
        .hf_type = {"llama"},
        .gguf_arch = "llama",
        .rope_hf = ROPE_HALVES,
        .rope_gguf = ROPE_PAIRS,
        .glu = GLU_SILU,
        .rope_base = 10000,
        .norm_eps = 1e-6,
    },
    {
        .name = "mistral",
        .hf_class = {"MistralForCausalLM"},
        .hf_type = {"mistral"},
        .rope_hf = ROPE_HALVES,
        .rope_gguf = ROPE_PAIRS,
        .glu = GLU_SILU,
        .window = WINDOW_ALL,
        .rope_base = 10000,
        .norm_eps = 1e-6,
        .n_head_kv = 8,
        .window_size = 4096,
    },
    {
        .name = "qwen2", /* Qwen2, Qwen2.5 */
        .hf_class = {"Qwen2ForCausalLM"},
        .hf_type = {"qwen2"},
        .gguf_arch = "qwen2",
        .rope_hf = ROPE_HALVES,
        .rope_gguf = ROPE_HALVES,
        .glu = GLU_SILU,
        .window = WINDOW_UPPER,
        .qkv_bias = true,
        .rope_base = 10000,
        .norm_eps = 1e-6,
        .window_size = 4096,
    },
    {
        .name = "qwen3",
        .hf_class = {"Qwen3ForCausalLM"},
        .hf_type = {"qwen3"},
        .gguf_arch = "qwen3",
        .rope_hf = ROPE_HALVES,
        .rope_gguf = ROPE_HALVES,
        .glu = GLU_SILU,
        .window = WINDOW_UPPER,
        .qk_norm = true,
        .rope_base = 10000,
        .norm_eps = 1e-6,
        .head_dim = 128,
        .window_size = 4096,
    },
    {
        .name = "gemma",
        .hf_class = {"GemmaForCausalLM"},
        .hf_type = {"gemma"},
        .gguf_arch = "gemma",
        .rope_hf = ROPE_HALVES,
        .rope_gguf = ROPE_HALVES,
        .glu = GLU_GELU_TANH,
        .norm_plus_one_hf = true,
        .scale_embedding = true,
        .tied_by_default = true,
        .rope_base = 10000,
        .norm_eps = 1e-6,
        .head_dim = 256,
    },
    {
        .name = "gemma2",
        .hf_class = {"Gemma2ForCausalLM"},
        .hf_type = {"gemma2"},
        .gguf_arch = "gemma2",
        .rope_hf = ROPE_HALVES,
        .rope_gguf = ROPE_HALVES,
        .glu = GLU_GELU_TANH,
        .window = WINDOW_PERIOD,
        .window_period = 2,
        .post_norms = true,
        .norm_plus_one_hf = true,
        .scale_embedding = true,
        .query_scalar = true,
        .tied_by_default = true,
        .softcap_attention = 50,
        .softcap_final = 30,
        .rope_base = 10000,
        .norm_eps = 1e-6,
        .n_head_kv = 4,
        .head_dim = 256,
        .window_size = 4096,
    },
    {
        .name = "gemma3", /* the text model; also the text part of the ones that see */
        .hf_class = {"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"},
        .hf_type = {"gemma3_text", "gemma3"},
        .gguf_arch = "gemma3",
        .rope_hf = ROPE_HALVES,
        .rope_gguf = ROPE_HALVES,
        .glu = GLU_GELU_TANH,
        .window = WINDOW_PERIOD,
        .window_period = 6,
        .qk_norm = true,
        .post_norms = true,
        .norm_plus_one_hf = true,
        .scale_embedding = true,
        .query_scalar = true,
        .tied_by_default = true,
        .rope_base = 1000000,
        .rope_base_local = 10000,
        .norm_eps = 1e-6,
        .n_head = 8,
        .n_head_kv = 4,
        .head_dim = 256,
        .n_vocab = 262208,
        .n_context = 131072,
        .window_size = 4096,
    },
    {
        .name = "phi3", /* Phi-3 and 3.5 mini, medium */
        .hf_class = {"Phi3ForCausalLM"},
        .hf_type = {"phi3"},
        .gguf_arch = "phi3",
        .rope_hf = ROPE_HALVES,
        .rope_gguf = ROPE_HALVES,
        .glu = GLU_SILU,
        .window = WINDOW_ALL,
        .fused = true,
        .rope_base = 10000,
        .norm_eps = 1e-5,
    },
};

const model_family *model_families(int32_t *n_family)
{
    assert(n_family);
    *n_family = (int32_t)countof(families);
    return families;
}

static const model_family *by_pair(str wanted, bool by_class)
{
    for (size_t i = 0; i < countof(families); i++) {
        const char *const *name = by_class ? families[i].hf_class : families[i].hf_type;
        for (int k = 0; k < 2; k++) {
            if (name[k] && str_is(wanted, name[k])) return &families[i];
        }
    }
    return NULL;
}

const model_family *model_family_by_hf(str hf_class) { return by_pair(hf_class, true); }
const model_family *model_family_by_type(str model_type) { return by_pair(model_type, false); }

const model_family *model_family_by_gguf(str gguf_arch)
{
    for (size_t i = 0; i < countof(families); i++) {
        if (families[i].gguf_arch && str_is(gguf_arch, families[i].gguf_arch)) return &families[i];
    }
    return NULL;
}

static bool check_rope(const rope_config *r, const char *path, err *e)
{
    if (!(r->base > 1 && r->base < 1e12)) {
        return err_set(e, ERR_MODEL, "%s: the RoPE base is %g; between 1 and 1e12 makes sense",
                       path, r->base);
    }
    if (!(r->attention_factor > 0 && r->attention_factor < 100)) {
        return err_set(e, ERR_MODEL, "%s: the RoPE attention factor is %g", path,
                       r->attention_factor);
    }
    if ((r->scaling == ROPE_SCALE_LINEAR || r->scaling == ROPE_SCALE_LLAMA3) &&
        !(r->factor >= 1 && r->factor <= 1e6)) {
        return err_set(e, ERR_MODEL, "%s: the RoPE scaling factor is %g; 1 or more makes sense",
                       path, r->factor);
    }
    if (r->scaling == ROPE_SCALE_LLAMA3 &&
        !(r->low_freq_factor > 0 && r->high_freq_factor > r->low_freq_factor &&
          r->high_freq_factor < 1e6 && r->original_context > 0)) {
        return err_set(
            e, ERR_MODEL,
            "%s: llama3 RoPE scaling needs 0 < low_freq_factor < high_freq_factor and an "
            "original context",
            path);
    }
    return true;
}

bool config_check(const model_config *c, const char *path, err *e)
{
    assert(c->family && c->layer_is_local);
    int64_t q_width = (int64_t)c->n_head * c->head_dim;
    const struct {
        const char *name;
        int64_t value, most;
    } rows[] = {
        {"number of layers", c->n_layer, MODEL_LAYERS_MAX},
        {"model width", c->d_model, MODEL_WIDTH_MAX},
        {"feed-forward width", c->d_ff, MODEL_WIDTH_MAX},
        {"number of heads", c->n_head, 4096},
        {"number of K/V heads", c->n_head_kv, c->n_head},
        {"head width", c->head_dim, 1024},
        {"width of all heads", q_width, MODEL_WIDTH_MAX},
        {"vocabulary", c->n_vocab, MODEL_VOCAB_MAX},
        {"context length", c->n_context, 1 << 30},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        if (rows[i].value < 1 || rows[i].value > rows[i].most) {
            return err_set(e, ERR_MODEL, "%s: the %s is %lld; 1 to %lld makes sense", path,
                           rows[i].name, (long long)rows[i].value, (long long)rows[i].most);
        }
    }
    if (c->n_head % c->n_head_kv != 0) {
        return err_set(e, ERR_MODEL, "%s: %d query heads cannot share %d K/V heads evenly", path,
                       c->n_head, c->n_head_kv);
    }
    if (c->head_dim % 2 != 0) {
        return err_set(e, ERR_MODEL, "%s: the head width %d is odd; RoPE needs pairs", path,
                       c->head_dim);
    }
    bool in_part = c->family->rope_gguf == ROPE_HALVES && c->rotary_dim >= 2 &&
                   c->rotary_dim % 2 == 0 && c->rotary_dim < c->head_dim;
    if (c->rotary_dim != c->head_dim && !in_part) {
        return err_set(e, ERR_MODEL,
                       "%s: RoPE turns %d of the %d dimensions of a head, which is not computed "
                       "for a %s model",
                       path, c->rotary_dim, c->head_dim, c->family->name);
    }
    if (!(c->norm_eps > 0 && c->norm_eps < 1)) {
        return err_set(e, ERR_MODEL, "%s: the norm's epsilon is %g", path, (double)c->norm_eps);
    }
    if (!(c->softcap_attention >= 0 && c->softcap_attention < 1e6f && c->softcap_final >= 0 &&
          c->softcap_final < 1e6f)) {
        return err_set(e, ERR_MODEL, "%s: a soft cap is below 0 or not a number", path);
    }
    if (!(c->query_scale > 0 && c->query_scale < 1e3f)) {
        return err_set(e, ERR_MODEL, "%s: the query scale is %g", path, (double)c->query_scale);
    }
    if (c->window < 0) {
        return err_set(e, ERR_MODEL, "%s: the sliding window is %d tokens", path, c->window);
    }
    return check_rope(&c->rope, path, e) && check_rope(&c->rope_local, path, e);
}
