/* convert_config: what a container says about a model, in the words of the other one. Keys as
 * arch_gguf.c and arch_json.c read them; a key of ours, caseload.rope.llama3, keeps Llama 3.1's
 * four numbers beside the factors that other readers use. */
#include "model/convert_in.h"
#include "model/rope.h"

#include "text/token_write.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

/* llama.cpp's number of a mixture by the type of its matrices. */
static uint32_t file_type(const convert_plan *p)
{
    static const uint32_t number[DTYPE_COUNT] = {
        [DTYPE_F32] = 0,   [DTYPE_F16] = 1,   [DTYPE_BF16] = 32, [DTYPE_Q4_0] = 2,
        [DTYPE_Q4_1] = 3,  [DTYPE_Q5_0] = 8,  [DTYPE_Q5_1] = 9,  [DTYPE_Q8_0] = 7,
        [DTYPE_Q4_K] = 14, [DTYPE_Q5_K] = 16, [DTYPE_Q6_K] = 18};
    if (p->matrix_type != DTYPE_COUNT) return number[p->matrix_type];
    for (int32_t i = 0; i < p->n_item; i++) {
        if (p->item[i].slot == SLOT_O) return number[p->item[i].type];
    }
    return 0;
}

typedef struct keys {
    gguf_head *g;
    const char *arch;
} keys;

static const char *key_of(char out[160], const keys *k, const char *suffix)
{
    snprintf(out, 160, "%s.%s", k->arch, suffix);
    return out;
}

static void put_int(const keys *k, const char *suffix, int32_t value)
{
    char key[160];
    gguf_put_u32(k->g, key_of(key, k, suffix), (uint32_t)value);
}

static void put_float(const keys *k, const char *suffix, double value)
{
    char key[160];
    gguf_put_f32(k->g, key_of(key, k, suffix), (float)value);
}

static bool add_factors(convert_plan *p, const char *name, const float *value, err *e)
{
    const int32_t n = p->source.config.rotary_dim / 2;
    convert_item *item = &p->item[p->n_item++]; /* room for two was kept */
    float *kept = arena_take(&p->memory, (size_t)n, sizeof *kept, e);
    if (!kept) return false;
    memcpy(kept, value, (size_t)n * sizeof *kept);
    *item = (convert_item){.name = name, .slot = SLOT_COUNT, .type = DTYPE_F32};
    item->from = (tensor){.data = kept, .type = DTYPE_F32, .rank = 1, .dim = {n, 1, 1, 1}};
    return true;
}

static bool put_rope(convert_plan *p, const keys *k, err *e)
{
    const model_config *c = &p->source.config;
    const rope_config *r = &c->rope;
    char key[160];
    put_int(k, "rope.dimension_count", c->rotary_dim);
    put_float(k, "rope.freq_base", r->base);
    if (c->family->rope_base_local > 0) put_float(k, "rope.freq_base_swa", c->rope_local.base);
    switch (r->scaling) {
    case ROPE_SCALE_NONE: return true;
    case ROPE_SCALE_LINEAR:
        gguf_put_text(k->g, key_of(key, k, "rope.scaling.type"), STR("linear"));
        put_float(k, "rope.scaling.factor", r->factor);
        return true;
    case ROPE_SCALE_LLAMA3: {
        const float numbers[4] = {(float)r->factor, (float)r->low_freq_factor,
                                  (float)r->high_freq_factor, (float)r->original_context};
        float factor[512];
        assert(c->rotary_dim <= 1024);
        rope_llama3_factors(factor, r, c->rotary_dim);
        gguf_put_floats(k->g, "caseload.rope.llama3", numbers, 4);
        return add_factors(p, "rope_freqs.weight", factor, e);
    }
    case ROPE_SCALE_FACTORS:
        put_int(k, "rope.scaling.original_context_length", r->original_context);
        put_float(k, "rope.scaling.attn_factor", r->attention_factor);
        return add_factors(p, "rope_factors_short.weight", r->short_factor, e) &&
               add_factors(p, "rope_factors_long.weight", r->long_factor, e);
    }
    return false;
}

static bool put_window(const convert_plan *p, const keys *k, err *e)
{
    const model_config *c = &p->source.config;
    const model_family *f = c->family;
    char key[160];
    int32_t local[MODEL_LAYERS_MAX], usual = 1, any = 0;
    for (int32_t i = 0; i < c->n_layer; i++) {
        const bool by_rule = f->window != WINDOW_PERIOD || (i + 1) % f->window_period != 0;
        local[i] = c->layer_is_local[i];
        usual = usual && local[i] == by_rule;
        any |= local[i];
    }
    if (c->window == 0 || !any) return true;
    if (f->window == WINDOW_UPPER) {
        return err_set(e, ERR_MODEL,
                       "%s: its sliding window has no place in a GGUF file of a %s model; keep the "
                       "model as a folder",
                       p->source.path, f->name);
    }
    put_int(k, "attention.sliding_window", c->window);
    if (!usual)
        gguf_put_ints(k->g, key_of(key, k, "attention.sliding_window_pattern"), local, c->n_layer);
    return true;
}

static bool put_config(convert_plan *p, const keys *k, err *e)
{
    const model_config *c = &p->source.config;
    const struct {
        const char *suffix;
        int32_t value;
    } counts[] = {{"block_count", c->n_layer},
                  {"context_length", c->n_context},
                  {"embedding_length", c->d_model},
                  {"feed_forward_length", c->d_ff},
                  {"vocab_size", c->n_vocab},
                  {"attention.head_count", c->n_head},
                  {"attention.head_count_kv", c->n_head_kv},
                  {"attention.key_length", c->head_dim},
                  {"attention.value_length", c->head_dim}};
    for (size_t i = 0; i < countof(counts); i++) put_int(k, counts[i].suffix, counts[i].value);
    put_float(k, "attention.layer_norm_rms_epsilon", (double)c->norm_eps);
    if (c->softcap_attention > 0)
        put_float(k, "attn_logit_softcapping", (double)c->softcap_attention);
    if (c->softcap_final > 0) put_float(k, "final_logit_softcapping", (double)c->softcap_final);
    if (c->query_scale != (float)(1 / sqrt((double)c->head_dim)))
        put_float(k, "attention.scale", (double)c->query_scale);
    return put_rope(p, k, e) && put_window(p, k, e);
}

static bool put_tokens(convert_plan *p, gguf_head *g, err *e)
{
    const model_header *h = &p->source;
    token_source s;
    if (!token_to_source(h->tokens, h->config.n_vocab, &s, &p->memory, e)) return false;
    gguf_put_text(g, "tokenizer.ggml.model", str_of(s.model));
    gguf_put_text(g, "tokenizer.ggml.pre", str_of(s.pre));
    gguf_put_texts(g, "tokenizer.ggml.tokens", s.token, s.n_token);
    if (s.score) gguf_put_floats(g, "tokenizer.ggml.scores", s.score, s.n_token);
    gguf_put_ints(g, "tokenizer.ggml.token_type", s.type, s.n_token);
    if (s.n_merge) gguf_put_texts(g, "tokenizer.ggml.merges", s.merge, s.n_merge);
    const struct {
        const char *key;
        int32_t id;
    } ids[] = {{"tokenizer.ggml.bos_token_id", s.bos},
               {"tokenizer.ggml.eos_token_id", s.eos},
               {"tokenizer.ggml.unknown_token_id", s.unk}};
    for (size_t i = 0; i < countof(ids); i++)
        if (ids[i].id >= 0) gguf_put_u32(g, ids[i].key, (uint32_t)ids[i].id);
    gguf_put_bool(g, "tokenizer.ggml.add_bos_token", s.add_bos == 1);
    gguf_put_bool(g, "tokenizer.ggml.add_eos_token", s.add_eos == 1);
    gguf_put_bool(g, "tokenizer.ggml.add_space_prefix", s.add_space_prefix == 1);
    if (h->chat_template.size) gguf_put_text(g, "tokenizer.chat_template", h->chat_template);
    return true;
}

/* From one GGUF file into another: every key but those that say how it was cut or stored. */
static bool carry_keys(convert_plan *p, gguf_head *g, err *e)
{
    static const char *const dropped[] = {
        "general.alignment", "general.file_type", "general.quantization_version",
        "split.no",          "split.count",       "split.tensors.count"};
    const file_map *m = &p->source.file[0];
    gguf from;
    if (!gguf_read(&from, m->path, m->data, m->size, &p->memory, e)) return false;
    for (int32_t i = 0; i < from.n_pair; i++) {
        bool drop = false;
        for (size_t k = 0; k < countof(dropped); k++)
            drop = drop || str_is(from.pair[i].key, dropped[k]);
        if (!drop) gguf_put_pair(g, &from.pair[i]);
    }
    return true;
}

bool convert_add_keys(convert_plan *p, gguf_head *g, err *e)
{
    const model_header *h = &p->source;
    const keys k = {g, h->config.family->gguf_arch ? h->config.family->gguf_arch : "llama"};
    bool ok;
    if (h->config.from_gguf) {
        ok = carry_keys(p, g, e);
    } else {
        gguf_put_text(g, "general.architecture", str_of(k.arch));
        gguf_put_text(g, "general.name", str_of(h->name));
        ok = put_config(p, &k, e) && put_tokens(p, g, e);
    }
    gguf_put_u32(g, "general.file_type", file_type(p));
    gguf_put_u32(g, "general.quantization_version", 2);
    return ok;
}

/* ---- config.json ---- */

static json_t *real(double x) { return json_real(x); }

/* A float as the shortest decimal number that reads back as it. */
static json_t *short_real(float x)
{
    char text[40];
    for (int digits = 1; digits < 10; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        double back = 0;
        if (str_to_double(str_of(text), &back) && (float)back == x) return json_real(back);
    }
    return json_real((double)x);
}

/* Some classes want a whole number where it is one. */
static json_t *whole_or_real(double x)
{
    const double whole = floor(x + 0.5);
    return fabs(x - whole) <= 1e-6 * whole ? json_integer((json_int_t)whole) : short_real((float)x);
}

static json_t *float_list(const float *x, int32_t n)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < n; i++) json_array_append_new(list, short_real(x[i]));
    return list;
}

/* Llama 3.1 and 3.2: a GGUF file of another converter keeps only the factors; are they those of
 * the published numbers? */
static bool is_llama3(const rope_config *r, int32_t rotary_dim, rope_config *found)
{
    static const double factors[] = {8, 32};
    float want[512];
    if (r->short_factor != r->long_factor || rotary_dim > 1024) return false;
    for (size_t k = 0; k < countof(factors); k++) {
        *found = (rope_config){.base = r->base,
                               .scaling = ROPE_SCALE_LLAMA3,
                               .factor = factors[k],
                               .low_freq_factor = 1,
                               .high_freq_factor = 4,
                               .original_context = 8192,
                               .attention_factor = 1};
        rope_llama3_factors(want, found, rotary_dim);
        bool same = true;
        for (int32_t i = 0; i < rotary_dim / 2; i++)
            same = same && fabsf(want[i] - r->short_factor[i]) <= 1e-5f * want[i];
        if (same) return true;
    }
    return false;
}

static void set_rope(json_t *root, const model_config *c)
{
    rope_config r = c->rope, found;
    if (r.scaling == ROPE_SCALE_FACTORS && is_llama3(&r, c->rotary_dim, &found)) r = found;
    json_object_set_new(root, "rope_theta", short_real((float)r.base));
    if (c->family->rope_base_local > 0)
        json_object_set_new(root, "rope_local_base_freq", short_real((float)c->rope_local.base));
    if (c->rotary_dim != c->head_dim)
        json_object_set_new(root, "partial_rotary_factor",
                            real((double)c->rotary_dim / c->head_dim));
    json_t *scaling = json_object();
    switch (r.scaling) {
    case ROPE_SCALE_NONE: break;
    case ROPE_SCALE_LINEAR:
        json_object_set_new(scaling, "rope_type", json_string("linear"));
        json_object_set_new(scaling, "factor", short_real((float)r.factor));
        break;
    case ROPE_SCALE_LLAMA3:
        json_object_set_new(scaling, "rope_type", json_string("llama3"));
        json_object_set_new(scaling, "factor", real(r.factor));
        json_object_set_new(scaling, "low_freq_factor", real(r.low_freq_factor));
        json_object_set_new(scaling, "high_freq_factor", real(r.high_freq_factor));
        json_object_set_new(scaling, "original_max_position_embeddings",
                            json_integer(r.original_context));
        break;
    case ROPE_SCALE_FACTORS:
        json_object_set_new(scaling, c->family->fused ? "type" : "rope_type",
                            json_string("longrope"));
        json_object_set_new(scaling, "short_factor", float_list(r.short_factor, c->rotary_dim / 2));
        json_object_set_new(scaling, "long_factor", float_list(r.long_factor, c->rotary_dim / 2));
        json_object_set_new(root, "original_max_position_embeddings",
                            json_integer(r.original_context));
        const double factor = (double)c->n_context / r.original_context;
        const double usual = factor <= 1 ? 1 : sqrt(1 + log(factor) / log(r.original_context));
        if ((float)usual != (float)r.attention_factor)
            json_object_set_new(scaling, "attention_factor", short_real((float)r.attention_factor));
        break;
    }
    if (json_object_size(scaling)) json_object_set(root, "rope_scaling", scaling);
    json_decref(scaling);
}

static void set_window(json_t *root, const model_config *c)
{
    const model_family *f = c->family;
    if (c->window == 0) {
        if (f->window == WINDOW_ALL) json_object_set_new(root, "sliding_window", json_null());
        if (f->window == WINDOW_UPPER)
            json_object_set_new(root, "use_sliding_window", json_false());
        return;
    }
    json_object_set_new(root, "sliding_window", json_integer(c->window));
    if (f->window != WINDOW_PERIOD) return;
    json_t *types = json_array();
    for (int32_t i = 0; i < c->n_layer; i++)
        json_array_append_new(types, json_string(c->layer_is_local[i] ? "sliding_attention"
                                                                      : "full_attention"));
    json_object_set_new(root, "layer_types", types);
}

static void set_family(json_t *root, const model_config *c)
{
    const model_family *f = c->family;
    if (f->window == WINDOW_NONE && c->window > 0) /* the llama form of a mistral */
        f = model_family_by_type(STR("mistral"));
    json_object_set_new(root, "architectures", json_pack("[s]", f->hf_class[0]));
    json_object_set_new(root, "model_type", json_string(f->hf_type[0]));
    const bool gelu = f->glu == GLU_GELU_TANH;
    json_object_set_new(root, gelu ? "hidden_activation" : "hidden_act",
                        json_string(gelu ? "gelu_pytorch_tanh" : "silu"));
    if (gelu) json_object_set_new(root, "hidden_act", json_string("gelu_pytorch_tanh"));
    if (f->query_scalar) {
        const double scale = (double)c->query_scale;
        json_object_set_new(root, "query_pre_attn_scalar", whole_or_real(1 / (scale * scale)));
        json_object_set_new(root, "attn_logit_softcapping",
                            c->softcap_attention > 0 ? short_real(c->softcap_attention)
                                                     : json_null());
        json_object_set_new(root, "final_logit_softcapping",
                            c->softcap_final > 0 ? short_real(c->softcap_final) : json_null());
    }
    if (c->o_bias || (c->qkv_bias && !f->qkv_bias))
        json_object_set_new(root, "attention_bias", json_true());
    if (c->mlp_bias) json_object_set_new(root, "mlp_bias", json_true());
}

static json_t *config_of(const convert_plan *p)
{
    const model_header *h = &p->source;
    const model_config *c = &h->config;
    json_t *root = json_object();
    set_family(root, c);
    const struct {
        const char *key;
        int32_t value;
    } counts[] = {{"hidden_size", c->d_model},
                  {"intermediate_size", c->d_ff},
                  {"num_hidden_layers", c->n_layer},
                  {"num_attention_heads", c->n_head},
                  {"num_key_value_heads", c->n_head_kv},
                  {"head_dim", c->head_dim},
                  {"vocab_size", c->n_vocab},
                  {"max_position_embeddings", c->n_context}};
    for (size_t i = 0; i < countof(counts); i++)
        json_object_set_new(root, counts[i].key, json_integer(counts[i].value));
    json_object_set_new(root, "rms_norm_eps", short_real(c->norm_eps));
    json_object_set_new(root, "tie_word_embeddings", json_boolean(c->tied));
    set_rope(root, c);
    set_window(root, c);
    const struct {
        const char *key;
        int32_t id;
    } ids[] = {{"bos_token_id", token_bos(h->tokens)}, {"eos_token_id", token_eos(h->tokens)}};
    for (size_t i = 0; i < countof(ids); i++)
        json_object_set_new(root, ids[i].key,
                            ids[i].id >= 0 ? json_integer(ids[i].id) : json_null());
    json_object_set_new(root, "pad_token_id", json_null());
    return root;
}

static const char *word_of(dtype t)
{
    return t == DTYPE_F16 ? "float16" : t == DTYPE_BF16 ? "bfloat16" : "float32";
}

dtype convert_main_type(const convert_plan *p)
{
    for (int32_t i = 0; i < p->n_item; i++)
        if (p->item[i].slot == SLOT_EMBED) return p->item[i].type;
    return DTYPE_F32;
}

static int add_piece(const char *text, size_t size, void *to)
{
    buf_add(to, text, size);
    return 0;
}

static bool write_json(json_t *root, const char *path, err *e)
{
    buf text = buf_up_to((size_t)1 << 26);
    json_dump_callback(root, add_piece, &text, JSON_INDENT(2));
    buf_add_char(&text, '\n');
    const bool ok =
        buf_check(&text, "config.json", e) && file_write_atomic(path, buf_view(&text), e);
    buf_close(&text);
    return ok;
}

static bool write_tokens(convert_plan *p, const char *folder, err *e)
{
    arena *a = &p->memory;
    const char *path[2] = {path_join(a, folder, "tokenizer.json", e),
                           path_join(a, folder, "tokenizer_config.json", e)};
    if (!path[0] || !path[1]) return false;
    buf json = buf_up_to((size_t)1 << 30), config = buf_up_to((size_t)1 << 24);
    token_to_config(p->source.tokens, p->source.chat_template, &config);
    const bool ok = token_to_json(p->source.tokens, &json, a, e) &&
                    buf_check(&config, "tokenizer_config.json", e) &&
                    file_write_atomic(path[0], buf_view(&json), e) &&
                    file_write_atomic(path[1], buf_view(&config), e);
    buf_close(&json);
    buf_close(&config);
    return ok;
}

/* What transformers asks of a folder in bitsandbytes' layout. */
static json_t *packing_of(const convert_plan *p)
{
    const bool nf4 = p->matrix_type == DTYPE_NF4;
    const char *word = word_of(convert_main_type(p));
    json_t *q = json_pack("{s:s, s:b, s:b, s:[s]}", "quant_method", "bitsandbytes", "load_in_4bit",
                          nf4, "load_in_8bit", !nf4, "llm_int8_skip_modules", "lm_head");
    json_object_set_new(q, "bnb_4bit_quant_type", json_string(nf4 ? "nf4" : "fp4"));
    json_object_set_new(q, "bnb_4bit_use_double_quant", json_boolean(nf4));
    json_object_set_new(q, "bnb_4bit_compute_dtype", json_string(word));
    json_object_set_new(q, "bnb_4bit_quant_storage", json_string("uint8"));
    json_object_set_new(q, "llm_int8_enable_fp32_cpu_offload", json_false());
    json_object_set_new(q, "llm_int8_has_fp16_weight", json_false());
    json_object_set_new(q, "llm_int8_threshold", json_real(6.0));
    return q;
}

bool convert_write_config(convert_plan *p, const char *folder, err *e)
{
    arena *a = &p->memory;
    const char *to = path_join(a, folder, "config.json", e);
    if (!to) return false;
    json_t *root;
    if (p->source.config.from_gguf) {
        root = config_of(p);
    } else {
        const char *from = path_join(a, p->source.path, "config.json", e);
        root = from ? json_read_file(from, (size_t)4 << 20, e) : NULL;
    }
    if (!root) return false;
    const char *key = json_object_get(root, "dtype") ? "dtype" : "torch_dtype";
    json_object_set_new(root, key, json_string(word_of(convert_main_type(p))));
    json_object_del(root, "quantization_config");
    if (convert_is_packed(p->matrix_type))
        json_object_set_new(root, "quantization_config", packing_of(p));
    bool ok = write_json(root, to, e);
    json_decref(root);
    return ok && (!p->source.config.from_gguf || write_tokens(p, folder, e));
}
