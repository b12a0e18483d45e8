/* arch_gguf: the keys of a GGUF file -> model_config.
 *
 *   key, after "<arch>."              what, and what its absence means
 *   block_count                       layers
 *   context_length embedding_length   required
 *   feed_forward_length               required; a list with one value a layer must be all the same
 *   attention.head_count              required; likewise
 *   attention.head_count_kv           head_count
 *   attention.key_length value_length head width; else embedding_length / head_count
 *   attention.layer_norm_rms_epsilon  the family's
 *   attention.sliding_window          none, for the families that have one
 *   attention.sliding_window_pattern  the family's period; or a list: 1 where local
 *   attention.scale                   query scale; else 1/sqrt(head width), except the 27B Gemmas
 *   rope.freq_base, freq_base_swa     the family's
 *   rope.dimension_count              the head width
 *   rope.scaling.type factor          none or linear; yarn is refused
 *   rope.scaling.attn_factor, original_context_length
 *                                     beside tensors rope_factors_short and _long (phi3)
 *   attn_logit_softcapping, final_logit_softcapping
 *                                     the family's
 *
 * Tensor rope_freqs.weight (Llama 3.1): one divisor a frequency, at every context length. */
#include "model/files_in.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

typedef struct reader {
    const gguf *g;
    const model_header *h;
    char arch[64];
    err *e;
} reader;

static const gguf_value *find(const reader *r, const char *suffix)
{
    char key[160];
    snprintf(key, sizeof key, "%s.%s", r->arch, suffix);
    return gguf_find(r->g, key);
}

enum { REQUIRED = -1 };

/* An integer key: lone, or a list of equal values (one a layer). `absent` is the answer when it is
 * not there, REQUIRED an error. The first failure sticks in r->e. */
static int32_t get_int(reader *r, const char *suffix, int32_t absent)
{
    const gguf_value *v = find(r, suffix);
    if (!v) {
        if (absent == REQUIRED) {
            err_set(r->e, ERR_MODEL, "%s: no key `%s.%s`", r->g->path, r->arch, suffix);
        }
        return absent;
    }
    int64_t value = 0;
    bool ok = v->count > 0 && gguf_item_int(v, 0, &value) && value >= 0 && value <= INT32_MAX;
    for (int64_t i = 1; ok && i < v->count; i++) {
        int64_t other;
        ok = gguf_item_int(v, i, &other);
        if (ok && other != value) {
            err_set(
                r->e, ERR_MODEL,
                "%s: `%s.%s` differs between layers (%lld, %lld); only models with equal layers "
                "are computed",
                r->g->path, r->arch, suffix, (long long)value, (long long)other);
            return 0;
        }
    }
    if (!ok) {
        err_set(r->e, ERR_MODEL, "%s: `%s.%s` is no whole number from 0 to %d", r->g->path, r->arch,
                suffix, INT32_MAX);
        return 0;
    }
    return (int32_t)value;
}

static double get_double(reader *r, const char *suffix, double absent)
{
    const gguf_value *v = find(r, suffix);
    double value = absent;
    if (v && (v->is_array || !gguf_item_double(v, 0, &value) || !isfinite(value))) {
        err_set(r->e, ERR_MODEL, "%s: `%s.%s` is no finite number", r->g->path, r->arch, suffix);
        return absent;
    }
    return value;
}

/* A list of rotary_dim / 2 frequency divisors, in place. NULL when absent. */
static const float *get_factors(reader *r, const char *name, int32_t rotary_dim)
{
    const tensor_entry *t = model_find_tensor(r->h, name);
    if (!t) return NULL;
    if (t->view.type != DTYPE_F32 || t->view.rank != 1 || t->view.dim[0] != rotary_dim / 2) {
        err_set(r->e, ERR_MODEL, "%s: tensor `%s` should be %d F32 values", r->g->path, name,
                rotary_dim / 2);
        return NULL;
    }
    const float *f = t->view.data;
    for (int32_t i = 0; i < rotary_dim / 2; i++) {
        if (!(f[i] > 0 && f[i] < 1e9f)) {
            err_set(r->e, ERR_MODEL, "%s: tensor `%s` holds the divisor %g", r->g->path, name,
                    (double)f[i]);
            return NULL;
        }
    }
    return f;
}

/* caseload.rope.llama3: factor, low_freq_factor, high_freq_factor, original context. False:
 * absent. */
static bool read_llama3(reader *r, rope_config *rope)
{
    const gguf_value *v = gguf_find(r->g, "caseload.rope.llama3");
    double number[4];
    if (!v) return false;
    for (int i = 0; i < 4; i++) {
        if (!v->is_array || v->count != 4 || !gguf_item_double(v, i, &number[i]) ||
            !(number[i] > 0 && number[i] < 1e9)) {
            return !err_set(r->e, ERR_MODEL, "%s: `caseload.rope.llama3` is no list of 4 numbers",
                            r->g->path);
        }
    }
    rope->scaling = ROPE_SCALE_LLAMA3;
    rope->factor = number[0];
    rope->low_freq_factor = number[1];
    rope->high_freq_factor = number[2];
    rope->original_context = (int32_t)number[3];
    return true;
}

static void read_rope(reader *r, model_config *c)
{
    const model_family *f = c->family;
    rope_config *rope = &c->rope;
    c->rotary_dim = get_int(r, "rope.dimension_count", c->head_dim);
    *rope = (rope_config){.base = get_double(r, "rope.freq_base", f->rope_base),
                          .attention_factor = 1,
                          .factor = 1};
    c->rope_local = *rope; /* without scaling: local layers never leave the trained range */
    if (f->rope_base_local > 0) {
        c->rope_local.base = get_double(r, "rope.freq_base_swa", f->rope_base_local);
    }
    str type = STR("none");
    const gguf_value *v = find(r, "rope.scaling.type");
    if (v && !gguf_text(v, &type)) {
        err_set(r->e, ERR_MODEL, "%s: `%s.rope.scaling.type` is no text", r->g->path, r->arch);
    }
    double factor = get_double(r, "rope.scaling.factor", get_double(r, "rope.scale_linear", 1));
    const float *freqs = get_factors(r, "rope_freqs.weight", c->rotary_dim);
    const float *shorts = get_factors(r, "rope_factors_short.weight", c->rotary_dim);
    const float *longs = get_factors(r, "rope_factors_long.weight", c->rotary_dim);
    if (freqs && read_llama3(r, rope)) {
        /* the numbers behind the factors, as a folder has them */
    } else if (freqs || (shorts && longs)) {
        rope->scaling = ROPE_SCALE_FACTORS;
        rope->short_factor = freqs ? freqs : shorts;
        rope->long_factor = freqs ? freqs : longs;
        rope->original_context = get_int(r, "rope.scaling.original_context_length", c->n_context);
        rope->attention_factor = get_double(r, "rope.scaling.attn_factor", 1);
    } else if (shorts || longs) {
        err_set(r->e, ERR_MODEL,
                "%s: only one of rope_factors_short and rope_factors_long is there", r->g->path);
    } else if (str_is(type, "linear") || (str_is(type, "none") && !v && factor != 1)) {
        rope->scaling = factor != 1 ? ROPE_SCALE_LINEAR : ROPE_SCALE_NONE;
        rope->factor = factor;
    } else if (!str_is(type, "none") && !str_is(type, "longrope")) {
        char shown[NAME_SHOWN];
        err_set(r->e, ERR_MODEL,
                "%s: RoPE scaling `%s` is not computed; none, linear, llama3 and "
                "longrope are",
                r->g->path, name_shown(shown, type));
    }
    if (f->rope_base_local == 0) c->rope_local = *rope;
}

/* Which layers are local: the family's rule, or the file's own list or period. */
static void read_window(reader *r, model_config *c)
{
    const model_family *f = c->family;
    if (f->window == WINDOW_UPPER) return; /* qwen: off unless asked for */
    c->window = get_int(r, "attention.sliding_window", 0);
    if (c->window == 0) return;
    int64_t period = f->window == WINDOW_PERIOD ? f->window_period : 0;
    const gguf_value *v = find(r, "attention.sliding_window_pattern");
    bool by_layer = v && v->is_array;
    if (v && ((by_layer && v->count < c->n_layer) ||
              (!by_layer && (!gguf_item_int(v, 0, &period) || period < 0 || period > INT32_MAX)))) {
        err_set(r->e, ERR_MODEL,
                "%s: `%s.attention.sliding_window_pattern` is no period and no list of %d layers",
                r->g->path, r->arch, c->n_layer);
        return;
    }
    for (int32_t i = 0; i < c->n_layer; i++) {
        int64_t local = period == 0 || (i + 1) % period != 0;
        if (by_layer && !gguf_item_int(v, i, &local)) {
            err_set(r->e, ERR_MODEL, "%s: `%s.attention.sliding_window_pattern` holds no numbers",
                    r->g->path, r->arch);
        }
        c->layer_is_local[i] = local != 0;
    }
}

/* Gemma 2 and 3 of 27B scale by the width a head would have; files do not say so. */
static double default_query_scale(const model_config *c)
{
    bool is_27b = (str_is(str_of(c->family->name), "gemma2") && c->n_layer == 46) ||
                  (str_is(str_of(c->family->name), "gemma3") && c->n_layer == 62);
    return 1 / sqrt((double)(is_27b ? c->d_model / c->n_head : c->head_dim));
}

static void read_vocabulary(reader *r, model_config *c)
{
    const tensor_entry *embed = model_find_tensor(r->h, "token_embd.weight");
    const gguf_value *list = gguf_find(r->g, "tokenizer.ggml.tokens");
    if (embed && embed->view.rank == 2 && embed->view.dim[0] <= MODEL_VOCAB_MAX) {
        c->n_vocab = (int32_t)embed->view.dim[0];
    } else {
        bool counted = list && list->is_array && list->count <= MODEL_VOCAB_MAX;
        c->n_vocab = get_int(r, "vocab_size", counted ? (int32_t)list->count : 0);
    }
}

static void read_heads(reader *r, model_config *c)
{
    c->n_head = get_int(r, "attention.head_count", REQUIRED);
    c->n_head_kv = get_int(r, "attention.head_count_kv", c->n_head);
    int32_t plain = c->n_head > 0 ? c->d_model / c->n_head : 0;
    c->head_dim = get_int(r, "attention.key_length", plain);
    if (get_int(r, "attention.value_length", c->head_dim) != c->head_dim) {
        err_set(r->e, ERR_MODEL, "%s: keys and values of different widths are not computed",
                r->g->path);
    }
    if (get_int(r, "expert_count", 0) > 0) {
        err_set(r->e, ERR_MODEL, "%s is a mixture of experts, which is not computed", r->g->path);
    }
}

bool config_from_gguf(model_config *c, const gguf *g, const model_header *h, arena *a, err *e)
{
    assert(c && g && h && a);
    *c = (model_config){.from_gguf = true};
    str arch = {0};
    char shown[NAME_SHOWN];
    const gguf_value *v = gguf_find(g, "general.architecture");
    if (!v || !gguf_text(v, &arch)) {
        return err_set(e, ERR_MODEL, "%s: no key `general.architecture`", g->path);
    }
    c->family = model_family_by_gguf(arch);
    if (!c->family) {
        if (h->n_tensor == 0) return true; /* a vocabulary alone */
        return err_set(
            e, ERR_MODEL,
            "%s: architecture `%s` is not computed; llama (also mistral, smollm), qwen2, "
            "qwen3, gemma, gemma2, gemma3 and phi3 are",
            g->path, name_shown(shown, arch));
    }
    reader r = {.g = g, .h = h, .e = e};
    snprintf(r.arch, sizeof r.arch, "%s", c->family->gguf_arch);
    c->n_layer = get_int(&r, "block_count", REQUIRED);
    c->n_context = get_int(&r, "context_length", REQUIRED);
    c->d_model = get_int(&r, "embedding_length", REQUIRED);
    c->d_ff = get_int(&r, "feed_forward_length", REQUIRED);
    read_heads(&r, c);
    read_vocabulary(&r, c);
    if (e->code) return false;
    if (c->n_layer > MODEL_LAYERS_MAX) {
        return err_set(e, ERR_MODEL, "%s: %d layers; at most %d make sense", g->path, c->n_layer,
                       MODEL_LAYERS_MAX);
    }
    c->layer_is_local = arena_take_zero(a, (size_t)c->n_layer, 1, e);
    if (!c->layer_is_local) return false;
    c->norm_eps = (float)get_double(&r, "attention.layer_norm_rms_epsilon", c->family->norm_eps);
    read_rope(&r, c);
    read_window(&r, c);
    c->softcap_attention =
        (float)get_double(&r, "attn_logit_softcapping", c->family->softcap_attention);
    c->softcap_final = (float)get_double(&r, "final_logit_softcapping", c->family->softcap_final);
    c->query_scale = (float)get_double(&r, "attention.scale", default_query_scale(c));
    c->embed_scale = c->family->scale_embedding ? (float)sqrt((double)c->d_model) : 1;
    c->tied = model_find_tensor(h, "output.weight") == NULL;
    c->qkv_bias = c->family->qkv_bias || model_find_tensor(h, "blk.0.attn_q.bias") != NULL;
    c->o_bias = model_find_tensor(h, "blk.0.attn_output.bias") != NULL;
    c->mlp_bias = model_find_tensor(h, "blk.0.ffn_down.bias") != NULL;
    return e->code == ERR_NONE && config_check(c, g->path, e);
}
