/* arch_json: config.json of a Hugging Face folder -> model_config.
 *
 * What a key's absence means is what the makers' configuration class fills in (the family's row in
 * arch.c); a key that has no default is missed by name. Where a model also sees (Gemma 3), the text
 * part is read.
 *
 *   RoPE   rope_theta + rope_scaling {rope_type or type, ...}, or the newer rope_parameters
 *          {rope_type, rope_theta, ...}, or that once for each of full_ and sliding_attention;
 *          default, linear, llama3, longrope ("su", in phi3 also "yarn"); others are refused
 *   window sliding_window, layer_types, sliding_window_pattern, use_sliding_window,
 *          max_window_layers
 *
 * Refused: quantization_config of others than bitsandbytes, attention that looks ahead, activations
 * the family never had. */
#include "model/files_in.h"

#include <assert.h>
#include <math.h>

typedef struct reader {
    const json_t *root; /* the whole file */
    const json_t *text; /* the text model's object: root, or its text_config */
    const char *path;
    arena *a;
    err *e;
} reader;

enum { REQUIRED = -1 };

static const json_t *get(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_null(v) ? NULL : v;
}

/* A whole number from 0 on. `absent` answers a missing or null key; REQUIRED: an error. */
static int32_t get_int(reader *r, const char *key, int32_t absent)
{
    const json_t *v = get(r->text, key);
    if (!v) {
        if (absent == REQUIRED) {
            err_set(r->e, ERR_MODEL, "%s: no `%s`; take the model's own config.json", r->path, key);
        }
        return absent;
    }
    json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
    if (n < 0 || n > INT32_MAX) {
        err_set(r->e, ERR_MODEL, "%s: `%s` is no whole number from 0 to %d", r->path, key,
                INT32_MAX);
        return 0;
    }
    return (int32_t)n;
}

static double get_double(reader *r, const json_t *object, const char *key, double absent)
{
    const json_t *v = get(object, key);
    if (!v) return absent;
    if (!json_is_number(v)) {
        err_set(r->e, ERR_MODEL, "%s: `%s` is no number", r->path, key);
        return absent;
    }
    return json_number_value(v);
}

static bool get_bool(reader *r, const json_t *object, const char *key, bool absent)
{
    const json_t *v = get(object, key);
    if (!v) return absent;
    if (!json_is_boolean(v))
        err_set(r->e, ERR_MODEL, "%s: `%s` is neither true nor false", r->path, key);
    return json_is_true(v);
}

static const char *get_text(reader *r, const json_t *object, const char *key, const char *absent)
{
    const json_t *v = get(object, key);
    if (!v) return absent;
    if (!json_is_string(v)) {
        err_set(r->e, ERR_MODEL, "%s: `%s` is no text", r->path, key);
        return absent;
    }
    return json_string_value(v);
}

static const model_family *find_family(reader *r)
{
    char shown[NAME_SHOWN];
    const json_t *list = get(r->root, "architectures");
    const char *name = json_string_value(json_array_get(list, 0));
    const char *type = get_text(r, r->root, "model_type", NULL);
    const model_family *f = NULL;
    if (name) {
        f = model_family_by_hf(str_of(name));
    } else if (type) {
        f = model_family_by_type(str_of(type));
    } else {
        err_set(r->e, ERR_MODEL,
                "%s: no `architectures` and no `model_type`; it is no model's config", r->path);
        return NULL;
    }
    if (!f) {
        err_set(
            r->e, ERR_MODEL,
            "%s: %s is not computed; the causal language models of Llama, Mistral, Qwen2, Qwen3, "
            "Gemma, Gemma2, Gemma3 and Phi3 are",
            r->path, name_shown(shown, str_of(name ? name : type)));
    }
    return f;
}

/* Its tensors say how they are packed (model/packed.h). */
static bool is_bitsandbytes(const json_t *quantised)
{
    const char *how = json_string_value(json_object_get(quantised, "quant_method"));
    return how && !strcmp(how, "bitsandbytes");
}

static void check_refused(reader *r, const model_family *f)
{
    const json_t *quantised = get(r->root, "quantization_config");
    if (!quantised) quantised = get(r->text, "quantization_config");
    if (quantised && !is_bitsandbytes(quantised)) {
        char shown[NAME_SHOWN];
        const char *how = json_string_value(json_object_get(quantised, "quant_method"));
        err_set(
            r->e, ERR_MODEL,
            "%s: the weights are quantised (%s), which is not read from folders; take the original "
            "model or a GGUF file of it",
            r->path, name_shown(shown, str_of(how ? how : "quantization_config")));
    }
    if (get_bool(r, r->text, "use_bidirectional_attention", false)) {
        err_set(r->e, ERR_MODEL,
                "%s: attention looks ahead (an embedding model); take a causal one", r->path);
    }
    bool gelu = f->glu == GLU_GELU_TANH;
    const char *act = get_text(r, r->text, "hidden_act", NULL);
    if (gelu) act = get_text(r, r->text, "hidden_activation", f->query_scalar ? NULL : act);
    bool fits = !act || (gelu ? !strcmp(act, "gelu_pytorch_tanh") ||
                                    (!f->query_scalar && !strcmp(act, "gelu"))
                              : !strcmp(act, "silu") || !strcmp(act, "swish"));
    if (!fits) {
        char shown[NAME_SHOWN];
        err_set(r->e, ERR_MODEL, "%s: the activation `%s` is not computed for a %s model", r->path,
                name_shown(shown, str_of(act)), f->name);
    }
}

static void read_sizes(reader *r, model_config *c)
{
    const model_family *f = c->family;
    c->n_layer = get_int(r, "num_hidden_layers", REQUIRED);
    c->d_model = get_int(r, "hidden_size", REQUIRED);
    c->d_ff = get_int(r, "intermediate_size", REQUIRED);
    c->n_head = get_int(r, "num_attention_heads", f->n_head ? f->n_head : REQUIRED);
    bool said_null = json_is_null(json_object_get(r->text, "num_key_value_heads"));
    c->n_head_kv =
        get_int(r, "num_key_value_heads", f->n_head_kv && !said_null ? f->n_head_kv : c->n_head);
    c->n_vocab = get_int(r, "vocab_size", f->n_vocab ? f->n_vocab : REQUIRED);
    c->n_context = get_int(r, "max_position_embeddings", f->n_context ? f->n_context : REQUIRED);
    int32_t plain = c->n_head > 0 ? c->d_model / c->n_head : 0;
    c->head_dim = get_int(r, "head_dim", f->head_dim ? f->head_dim : plain);
    if (c->head_dim == plain && c->n_head > 0 && c->d_model % c->n_head != 0) {
        err_set(r->e, ERR_MODEL,
                "%s: hidden_size %d is no multiple of num_attention_heads %d, and "
                "there is no head_dim",
                r->path, c->d_model, c->n_head);
    }
}

static const float *read_factors(reader *r, const json_t *rope, const char *key, int32_t n)
{
    const json_t *list = get(rope, key);
    if (!json_is_array(list) || json_array_size(list) != (size_t)n) {
        err_set(r->e, ERR_MODEL, "%s: `%s` of the RoPE scaling is no list of %d numbers", r->path,
                key, n);
        return NULL;
    }
    float *out = arena_take(r->a, (size_t)n, sizeof *out, r->e);
    for (int32_t i = 0; out && i < n; i++) {
        out[i] = (float)json_number_value(json_array_get(list, (size_t)i));
        if (!(out[i] > 0 && out[i] < 1e9f)) {
            err_set(r->e, ERR_MODEL,
                    "%s: `%s` of the RoPE scaling holds something that is no positive "
                    "number at place %d",
                    r->path, key, i + 1);
            return NULL;
        }
    }
    return out;
}

/* longrope, Microsoft's LongRoPE: its own divisor a frequency, one list up to the original context,
 * one beyond; cos and sin times sqrt(1 + ln(factor) / ln(original)). */
static void read_longrope(reader *r, const json_t *rope, const model_config *c, rope_config *out)
{
    out->scaling = ROPE_SCALE_FACTORS;
    out->short_factor = read_factors(r, rope, "short_factor", c->rotary_dim / 2);
    out->long_factor = read_factors(r, rope, "long_factor", c->rotary_dim / 2);
    if (out->original_context < 2) {
        err_set(r->e, ERR_MODEL, "%s: the RoPE scaling's original context is %d", r->path,
                out->original_context);
        return;
    }
    double factor = get_double(r, rope, "factor", (double)c->n_context / out->original_context);
    double usual = factor <= 1 ? 1 : sqrt(1 + log(factor) / log(out->original_context));
    out->attention_factor = get_double(r, rope, "attention_factor", usual);
}

/* `rope`: the object with rope_type and its numbers; NULL or empty means no scaling. */
static void read_rope_part(reader *r, const json_t *rope, double base, const model_config *c,
                           rope_config *out)
{
    *out = (rope_config){.attention_factor = 1, .factor = 1};
    out->base = get_double(r, rope, "rope_theta", base);
    const char *type = get_text(r, rope, "rope_type", get_text(r, rope, "type", "default"));
    bool phi3 = c->family->fused;
    /* Phi-3 files keep the original context outside, where it counts first. */
    int32_t original = get_int(r, "original_max_position_embeddings", phi3 ? 4096 : 0);
    if (original == 0 || (phi3 && !get(r->text, "original_max_position_embeddings"))) {
        double inside = get_double(r, rope, "original_max_position_embeddings",
                                   original > 0 ? original : c->n_context);
        original = inside >= 1 && inside <= INT32_MAX ? (int32_t)inside : 0;
    }
    out->original_context = original;
    if (!strcmp(type, "default")) {
        out->original_context = 0;
    } else if (!strcmp(type, "linear")) {
        out->scaling = ROPE_SCALE_LINEAR;
        out->factor = get_double(r, rope, "factor", 0);
    } else if (!strcmp(type, "llama3")) {
        out->scaling = ROPE_SCALE_LLAMA3;
        out->factor = get_double(r, rope, "factor", 0);
        out->low_freq_factor = get_double(r, rope, "low_freq_factor", 0);
        out->high_freq_factor = get_double(r, rope, "high_freq_factor", 0);
    } else if (!strcmp(type, "longrope") || !strcmp(type, "su") ||
               (phi3 && !strcmp(type, "yarn"))) {
        read_longrope(r, rope, c, out);
    } else {
        char shown[NAME_SHOWN];
        err_set(
            r->e, ERR_MODEL,
            "%s: RoPE scaling `%s` is not computed; default, linear, llama3 and longrope are. If "
            "the "
            "model also works without (most do up to their trained context), take rope_scaling out",
            r->path, name_shown(shown, str_of(type)));
    }
}

static void read_rope(reader *r, model_config *c)
{
    const model_family *f = c->family;
    const json_t *both = get(r->text, "rope_scaling");
    if (!both) both = get(r->text, "rope_parameters");
    if (both && !json_is_object(both)) {
        err_set(r->e, ERR_MODEL, "%s: `rope_scaling` or `rope_parameters` is no object", r->path);
        return;
    }
    const json_t *full = get(both, "full_attention"), *local = get(both, "sliding_attention");
    bool nested = full || local;
    if (!nested) full = both;
    double part = get_double(r, r->text, "partial_rotary_factor", 1);
    part = get_double(r, full, "partial_rotary_factor", part);
    if (!(part > 0 && part <= 1)) {
        err_set(r->e, ERR_MODEL, "%s: `partial_rotary_factor` is %g", r->path, part);
        return;
    }
    c->rotary_dim = (int32_t)(c->head_dim * part);
    double base = get_double(r, r->text, "rope_theta", f->rope_base);
    read_rope_part(r, full, base, c, &c->rope);
    c->rope_local = c->rope;
    if (f->rope_base_local > 0 || local) {
        double base_local = f->rope_base_local > 0 ? f->rope_base_local : base;
        base_local = get_double(r, r->text, "rope_local_base_freq", base_local);
        read_rope_part(r, local, base_local, c, &c->rope_local);
    }
}

/* layer_types: one of two words a layer. */
static void read_layer_types(reader *r, const json_t *types, model_config *c)
{
    if (!json_is_array(types) || json_array_size(types) != (size_t)c->n_layer) {
        err_set(r->e, ERR_MODEL, "%s: `layer_types` is no list of %d words", r->path, c->n_layer);
        return;
    }
    for (int32_t i = 0; i < c->n_layer; i++) {
        const char *type = json_string_value(json_array_get(types, (size_t)i));
        c->layer_is_local[i] = type && !strcmp(type, "sliding_attention");
        if (!type || (!c->layer_is_local[i] && strcmp(type, "full_attention") != 0)) {
            err_set(r->e, ERR_MODEL,
                    "%s: layer %d in `layer_types` is neither full_attention nor sliding_attention",
                    r->path, i);
            return;
        }
    }
}

static void read_window(reader *r, model_config *c)
{
    const model_family *f = c->family;
    if (f->window == WINDOW_NONE) return;
    const json_t *types = get(r->text, "layer_types");
    bool said_null = json_is_null(json_object_get(r->text, "sliding_window"));
    c->window = get_int(r, "sliding_window", said_null ? 0 : f->window_size);
    if (f->window == WINDOW_UPPER && !get_bool(r, r->text, "use_sliding_window", false))
        c->window = 0;
    if (f->window == WINDOW_PERIOD && c->window == 0)
        c->window = c->n_context; /* keeps local RoPE */
    if (c->window == 0) return;
    if (f->window != WINDOW_ALL && types) {
        read_layer_types(r, types, c);
        return;
    }
    int32_t period = get_int(r, "_sliding_window_pattern", f->window_period);
    period = get_int(r, "sliding_window_pattern", period);
    if (f->window == WINDOW_PERIOD && period < 1) {
        err_set(r->e, ERR_MODEL, "%s: `sliding_window_pattern` is %d", r->path, period);
        return;
    }
    int32_t first = get_int(r, "max_window_layers", 28);
    for (int32_t i = 0; i < c->n_layer; i++) {
        switch (f->window) {
        case WINDOW_PERIOD: c->layer_is_local[i] = (i + 1) % period != 0; break;
        case WINDOW_UPPER: c->layer_is_local[i] = i >= first; break;
        default: c->layer_is_local[i] = 1; break;
        }
    }
}

static void read_caps(reader *r, model_config *c)
{
    const model_family *f = c->family;
    bool null_here = json_is_null(json_object_get(r->text, "attn_logit_softcapping"));
    bool null_end = json_is_null(json_object_get(r->text, "final_logit_softcapping"));
    if (f->query_scalar) {
        c->softcap_attention = (float)get_double(r, r->text, "attn_logit_softcapping",
                                                 null_here ? 0 : f->softcap_attention);
        c->softcap_final = (float)get_double(r, r->text, "final_logit_softcapping",
                                             null_end ? 0 : f->softcap_final);
    }
    double scalar = c->head_dim;
    if (f->query_scalar) scalar = get_double(r, r->text, "query_pre_attn_scalar", 256);
    if (!(scalar > 0)) {
        err_set(r->e, ERR_MODEL, "%s: `query_pre_attn_scalar` is %g", r->path, scalar);
        scalar = 1;
    }
    c->query_scale = (float)(1 / sqrt(scalar));
    c->embed_scale = f->scale_embedding ? (float)sqrt((double)c->d_model) : 1;
    c->norm_plus = f->norm_plus_one_hf ? 1 : 0;
}

/* mistral and phi3 have no biases whatever the file says; qwen2 always has three. */
static void read_biases(reader *r, model_config *c)
{
    const model_family *f = c->family;
    bool asks = f->window != WINDOW_ALL && !f->qkv_bias;
    bool attention = asks && get_bool(r, r->text, "attention_bias", false);
    c->qkv_bias = f->qkv_bias || attention;
    c->o_bias = attention;
    c->mlp_bias =
        f->window == WINDOW_NONE && f->glu == GLU_SILU && get_bool(r, r->text, "mlp_bias", false);
}

bool config_from_json(model_config *c, const json_t *root, const char *path, arena *a, err *e)
{
    assert(c && path && a);
    *c = (model_config){0};
    if (!json_is_object(root)) return err_set(e, ERR_MODEL, "%s: it is no JSON object", path);
    reader r = {.root = root, .text = root, .path = path, .a = a, .e = e};
    c->family = find_family(&r);
    if (!c->family) return false;
    const json_t *inner = get(root, "text_config");
    if (json_is_object(inner)) r.text = inner;
    check_refused(&r, c->family);
    read_sizes(&r, c);
    if (e->code) return false;
    if (c->n_layer > MODEL_LAYERS_MAX || c->head_dim > 1024) {
        return err_set(e, ERR_MODEL, "%s: %d layers with heads of %d dimensions make no sense",
                       path, c->n_layer, c->head_dim);
    }
    c->layer_is_local = arena_take_zero(a, (size_t)c->n_layer, 1, e);
    if (!c->layer_is_local) return false;
    c->norm_eps = (float)get_double(&r, r.text, "rms_norm_eps", c->family->norm_eps);
    read_rope(&r, c);
    read_window(&r, c);
    read_caps(&r, c);
    read_biases(&r, c);
    bool tied = get_bool(&r, r.text, "tie_word_embeddings", c->family->tied_by_default);
    c->tied = get_bool(&r, root, "tie_word_embeddings", tied);
    return e->code == ERR_NONE && config_check(c, path, e);
}
