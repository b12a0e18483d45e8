/* tiny: writes the tiny random models of tests/golden/models to disk, as Hugging Face folders or
 * GGUF files.
 *
 * Nothing but config.json and reference.json is kept in the repository: every weight is made again
 * here from the formula at the head of tools/golden/make_models.py, which made the reference
 * answers with the same one. With `bits` 4 or 8 in the reference the values are exact in coarser
 * formats too, so one set of answers checks F32, F16, BF16, Q8_0 and (4 bits) Q4_0 storage.
 *
 * GGUF form as llama.cpp's converter writes it: q and k rows of the llama family permuted to pair
 * order, gemma's norms stored as w (not w - 1), Llama 3.1 scaling as rope_freqs.weight, Phi-3 long
 * factors as tensors, byte-level BPE vocabulary with its merges and the chat template.
 *
 *     tiny_model t;
 *     assert_true(tiny_open(&t, "llama3.1"));         // reads tests/golden/models/llama3.1
 *     tiny_write_folder(&t, "/tmp/x/model", 0);       // 0: as many shards as the reference says
 *     tiny_write_gguf(&t, "/tmp/x/model.gguf", DTYPE_F32);
 *     json_t *cases = json_object_get(t.reference, "cases");
 *     tiny_close(&t);
 *
 * For tests only: failures of the system abort. Paths are relative to the repository's root.
 */
#ifndef CASELOAD_TESTS_TINY_H
#define CASELOAD_TESTS_TINY_H

#include "base/str.h"
#include "compute/dtype.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define TINY_GOLDEN 0x9E3779B97F4A7C15u
#define TINY_FOLDER "tests/golden/models"

typedef struct tiny_model {
    const char *name;
    json_t *config, *reference, *tokenizer, *tokenizer_config;
    uint64_t seed;
    int bits;
    float norm_offset;
} tiny_model;

typedef struct tiny_tensor {
    const char *name, *kind;
    int64_t dim[2];
    int rank;
    int64_t n;
} tiny_tensor;

static inline void tiny_need(bool ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "tiny: cannot %s\n", what);
    abort();
}

/* ---- the formula ---- */

static inline uint64_t tiny_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline uint64_t tiny_fnv(const char *name)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001B3u;
    return h;
}

/* The whole number k in [-2^(b-1), 2^(b-1)) of element i; the weight is offset + amplitude * k /
 * 2^(b-1). */
static inline int64_t tiny_code(const tiny_model *t, const tiny_tensor *w, int64_t i, int *b)
{
    uint64_t key = tiny_mix(tiny_mix(t->seed + TINY_GOLDEN) ^ tiny_fnv(w->name));
    uint64_t word = tiny_mix(key + ((uint64_t)i + 1) * TINY_GOLDEN);
    *b = strcmp(w->kind, "norm") == 0 && t->bits > 5 ? 5 : t->bits;
    return (int64_t)(word >> (64 - *b)) - ((int64_t)1 << (*b - 1));
}

static inline float tiny_value(const tiny_model *t, const tiny_tensor *w, int64_t i)
{
    int b;
    float unit = (float)tiny_code(t, w, i, &b);
    unit /= (float)(1 << (b - 1));
    float amplitude = strcmp(w->kind, "embed") == 0 ? 0.5f : 0.25f;
    return (strcmp(w->kind, "norm") == 0 ? t->norm_offset : 0.0f) + amplitude * unit;
}

/* ---- opening ---- */

static inline json_t *tiny_load(const char *folder, const char *file)
{
    char path[512];
    json_error_t je;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return json_load_file(path, 0, &je);
}

static inline bool tiny_open(tiny_model *t, const char *name)
{
    char folder[300];
    snprintf(folder, sizeof folder, TINY_FOLDER "/%s", name);
    *t = (tiny_model){.name = name,
                      .config = tiny_load(folder, "config.json"),
                      .reference = tiny_load(folder, "reference.json"),
                      .tokenizer = tiny_load(TINY_FOLDER, "tokenizer.json"),
                      .tokenizer_config = tiny_load(TINY_FOLDER, "tokenizer_config.json")};
    if (!t->config || !t->reference || !t->tokenizer || !t->tokenizer_config) return false;
    t->seed = (uint64_t)json_integer_value(json_object_get(t->reference, "seed"));
    t->bits = (int)json_integer_value(json_object_get(t->reference, "bits"));
    t->norm_offset = (float)json_number_value(json_object_get(t->reference, "norm_offset"));
    return true;
}

static inline void tiny_close(tiny_model *t)
{
    json_decref(t->config);
    json_decref(t->reference);
    json_decref(t->tokenizer);
    json_decref(t->tokenizer_config);
}

static inline size_t tiny_count(const tiny_model *t)
{
    return json_array_size(json_object_get(t->reference, "tensors"));
}

static inline tiny_tensor tiny_at(const tiny_model *t, size_t i)
{
    json_t *row = json_array_get(json_object_get(t->reference, "tensors"), i);
    json_t *dims = json_array_get(row, 1);
    tiny_tensor w = {.name = json_string_value(json_array_get(row, 0)),
                     .kind = json_string_value(json_array_get(row, 2)),
                     .rank = (int)json_array_size(dims),
                     .dim = {1, 1}};
    w.n = 1;
    for (int d = 0; d < w.rank; d++) {
        w.dim[d] = json_integer_value(json_array_get(dims, (size_t)d));
        w.n *= w.dim[d];
    }
    return w;
}

static inline double tiny_number(const tiny_model *t, const char *key, double otherwise)
{
    json_t *v = json_object_get(t->config, key);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}

/* ---- storage ---- */

static inline void tiny_put(buf *b, const void *data, size_t size) { buf_add(b, data, size); }

/* Of values that need at most 11 bits and are far from the subnormals: exact. */
static inline uint16_t tiny_half(float x)
{
    int e;
    float m = frexpf(fabsf(x), &e); /* m in [0.5, 1) */
    if (x == 0) return 0;
    tiny_need(e > -14 && e < 16, "store a value as F16");
    uint32_t fraction = (uint32_t)(m * 2048.0f) - 1024;
    return (uint16_t)((x < 0 ? 0x8000u : 0) | (uint32_t)(e + 14) << 10 | fraction);
}

static inline void tiny_put_plain(buf *b, float x, dtype type)
{
    if (type == DTYPE_F32) {
        tiny_put(b, &x, 4);
        return;
    }
    uint16_t h;
    uint32_t u;
    memcpy(&u, &x, 4);
    h = type == DTYPE_BF16 ? (uint16_t)(u >> 16) : tiny_half(x);
    tiny_put(b, &h, 2);
}

/* One block of 32 codes of a matrix or embedding, scale a power of two. */
static inline void tiny_put_block(buf *b, const int64_t *code, int bits, float amplitude,
                                  dtype type)
{
    float step = amplitude / (float)(1 << (bits - 1));
    uint16_t d = tiny_half(step);
    unsigned char q[32];
    tiny_put(b, &d, 2);
    if (type == DTYPE_Q8_0) {
        for (int i = 0; i < 32; i++) q[i] = (unsigned char)(int8_t)code[i];
        tiny_put(b, q, 32);
        return;
    }
    tiny_need(bits <= 4, "store this model as Q4");
    if (type == DTYPE_Q4_1) { /* d * q + m with q 0..15 */
        uint16_t m = tiny_half(-8 * step);
        tiny_put(b, &m, 2);
    }
    for (int i = 0; i < 16; i++) q[i] = (unsigned char)((code[i] + 8) | (code[i + 16] + 8) << 4);
    tiny_put(b, q, 16);
}

/* Row r of the tensor, which the file stores at another place when GGUF permutes it. */
static inline void tiny_put_row(buf *b, const tiny_model *t, const tiny_tensor *w, int64_t r,
                                dtype type)
{
    int64_t columns = w->rank == 2 ? w->dim[1] : w->dim[0];
    if (type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16) {
        for (int64_t c = 0; c < columns; c++)
            tiny_put_plain(b, tiny_value(t, w, r * columns + c), type);
        return;
    }
    tiny_need(columns % 32 == 0 && t->bits <= 8, "store this model in blocks");
    for (int64_t c = 0; c < columns; c += 32) {
        int64_t code[32];
        int bits = 0;
        for (int i = 0; i < 32; i++) code[i] = tiny_code(t, w, r * columns + c + i, &bits);
        tiny_put_block(b, code, bits, strcmp(w->kind, "embed") == 0 ? 0.5f : 0.25f, type);
    }
}

static inline dtype tiny_dtype(const tiny_model *t)
{
    return dtype_from_name(json_string_value(json_object_get(t->reference, "dtype")));
}

static inline void tiny_write_file(const char *path, const buf *b)
{
    FILE *f = fopen(path, "wb");
    tiny_need(f && !b->failed && fwrite(b->data, 1, b->size, f) == b->size && fclose(f) == 0, path);
}

/* ---- Hugging Face folder ---- */

/* Tensors [from, to) as one safetensors file. */
static inline void tiny_write_safetensors(const tiny_model *t, const char *path, size_t from,
                                          size_t to)
{
    buf header = buf_up_to(1 << 24), data = buf_up_to(1 << 28), all = buf_up_to(1 << 28);
    dtype type = tiny_dtype(t);
    buf_add_text(&header, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = from; i < to; i++) {
        tiny_tensor w = tiny_at(t, i);
        size_t start = data.size;
        for (int64_t r = 0; r < (w.rank == 2 ? w.dim[0] : 1); r++)
            tiny_put_row(&data, t, &w, r, type);
        buf_printf(&header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%lld", w.name,
                   dtype_get(type)->name, (long long)w.dim[0]);
        if (w.rank == 2) buf_printf(&header, ",%lld", (long long)w.dim[1]);
        buf_printf(&header, "],\"data_offsets\":[%zu,%zu]}", start, data.size);
    }
    buf_add_char(&header, '}');
    while (header.size % 8) buf_add_char(&header, ' ');
    uint64_t size = header.size;
    tiny_put(&all, &size, 8);
    buf_add(&all, header.data, header.size);
    buf_add(&all, data.data, data.size);
    tiny_write_file(path, &all);
    buf_close(&header);
    buf_close(&data);
    buf_close(&all);
}

static inline void tiny_write_shards(const tiny_model *t, const char *folder, size_t n_shard)
{
    char path[600];
    json_t *map = json_object(), *index = json_object();
    size_t n = tiny_count(t);
    for (size_t s = 0; s < n_shard; s++) {
        char file[64];
        snprintf(file, sizeof file, "model-%05zu-of-%05zu.safetensors", s + 1, n_shard);
        snprintf(path, sizeof path, "%s/%s", folder, file);
        size_t from = n * s / n_shard, to = n * (s + 1) / n_shard;
        tiny_write_safetensors(t, path, from, to);
        for (size_t i = from; i < to; i++)
            json_object_set_new(map, tiny_at(t, i).name, json_string(file));
    }
    json_object_set_new(index, "metadata", json_pack("{s:i}", "total_size", 0));
    json_object_set_new(index, "weight_map", map);
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
    tiny_need(json_dump_file(index, path, JSON_INDENT(1)) == 0, path);
    json_decref(index);
}

/* `folder` must be new or empty. n_shard 0: as the reference says. */
static inline void tiny_write_folder(const tiny_model *t, const char *folder, size_t n_shard)
{
    char path[600];
    mkdir(folder, 0700);
    snprintf(path, sizeof path, "%s/config.json", folder);
    tiny_need(json_dump_file(t->config, path, JSON_INDENT(1)) == 0, path);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    tiny_need(json_dump_file(t->tokenizer, path, 0) == 0, path);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    tiny_need(json_dump_file(t->tokenizer_config, path, JSON_INDENT(1)) == 0, path);
    if (n_shard == 0) n_shard = (size_t)json_integer_value(json_object_get(t->reference, "shards"));
    if (n_shard > 1) {
        tiny_write_shards(t, folder, n_shard);
        return;
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    tiny_write_safetensors(t, path, 0, tiny_count(t));
}

/* ---- GGUF ---- */

enum { TINY_U32 = 4, TINY_I32 = 5, TINY_F32 = 6, TINY_BOOL = 7, TINY_TEXT = 8, TINY_ARRAY = 9 };

typedef struct tiny_gguf {
    buf keys, directory, data;
    uint64_t n_key, n_tensor;
} tiny_gguf;

static inline void tiny_put_u32(buf *b, uint32_t v) { tiny_put(b, &v, 4); }
static inline void tiny_put_u64(buf *b, uint64_t v) { tiny_put(b, &v, 8); }

static inline void tiny_put_text(buf *b, const char *text)
{
    tiny_put_u64(b, strlen(text));
    buf_add_text(b, text);
}

static inline buf *tiny_key(tiny_gguf *g, const char *name, uint32_t type)
{
    g->n_key++;
    tiny_put_text(&g->keys, name);
    tiny_put_u32(&g->keys, type);
    return &g->keys;
}

static inline void tiny_key_text(tiny_gguf *g, const char *name, const char *text)
{
    tiny_put_text(tiny_key(g, name, TINY_TEXT), text);
}

static inline void tiny_key_u32(tiny_gguf *g, const char *name, double value)
{
    tiny_put_u32(tiny_key(g, name, TINY_U32), (uint32_t)value);
}

static inline void tiny_key_f32(tiny_gguf *g, const char *name, double value)
{
    float v = (float)value;
    tiny_put(tiny_key(g, name, TINY_F32), &v, 4);
}

static inline void tiny_key_bool(tiny_gguf *g, const char *name, bool value)
{
    buf_add_char(tiny_key(g, name, TINY_BOOL), value ? 1 : 0);
}

static inline void tiny_key_array(tiny_gguf *g, const char *name, uint32_t type, uint64_t n)
{
    tiny_key(g, name, TINY_ARRAY);
    tiny_put_u32(&g->keys, type);
    tiny_put_u64(&g->keys, n);
}

static inline void tiny_gguf_tokens(tiny_gguf *g, const tiny_model *t)
{
    json_t *model = json_object_get(t->tokenizer, "model"),
           *vocab = json_object_get(model, "vocab");
    json_t *merges = json_object_get(model, "merges"),
           *added = json_object_get(t->tokenizer, "added_tokens"), *v;
    size_t n = json_object_size(vocab), n_added = json_array_size(added), i;
    const char *text[1024] = {0}, *name;
    tiny_need(n + n_added <= 1024, "hold the vocabulary");
    json_object_foreach(vocab, name, v) text[json_integer_value(v)] = name;
    json_array_foreach(added, i, v) text[n + i] = json_string_value(json_object_get(v, "content"));
    tiny_key_text(g, "tokenizer.ggml.model", "gpt2");
    tiny_key_text(g, "tokenizer.ggml.pre", "gpt-2");
    tiny_key_array(g, "tokenizer.ggml.tokens", TINY_TEXT, n + n_added);
    for (i = 0; i < n + n_added; i++) tiny_put_text(&g->keys, text[i]);
    tiny_key_array(g, "tokenizer.ggml.token_type", TINY_I32, n + n_added);
    for (i = 0; i < n + n_added; i++) tiny_put_u32(&g->keys, i < n ? 1 : 3);
    tiny_key_array(g, "tokenizer.ggml.merges", TINY_TEXT, json_array_size(merges));
    json_array_foreach(merges, i, v) tiny_put_text(&g->keys, json_string_value(v));
    tiny_key_u32(g, "tokenizer.ggml.bos_token_id", (double)n);
    tiny_key_u32(g, "tokenizer.ggml.eos_token_id", (double)n + 2);
    tiny_key_u32(g, "tokenizer.ggml.padding_token_id", (double)n + 3);
    tiny_key_bool(g, "tokenizer.ggml.add_bos_token", false);
    tiny_key_bool(g, "tokenizer.ggml.add_space_prefix", false);
    tiny_key_text(g, "tokenizer.chat_template",
                  json_string_value(json_object_get(t->tokenizer_config, "chat_template")));
}

static inline const char *tiny_gguf_arch(const tiny_model *t)
{
    const char *type = json_string_value(json_object_get(t->config, "model_type"));
    if (strcmp(type, "mistral") == 0) return "llama";
    return strcmp(type, "gemma3_text") == 0 ? "gemma3" : type;
}

static inline int64_t tiny_head_dim(const tiny_model *t)
{
    return (int64_t)tiny_number(t, "head_dim",
                                tiny_number(t, "hidden_size", 0) /
                                    tiny_number(t, "num_attention_heads", 1));
}

/* "arch.rest" */
static inline const char *tiny_name(char name[128], const char *arch, const char *rest)
{
    snprintf(name, 128, "%s.%s", arch, rest);
    return name;
}

static inline void tiny_gguf_config(tiny_gguf *g, const tiny_model *t)
{
    static const char *const counts[][2] = {
        {"num_hidden_layers", "block_count"},
        {"max_position_embeddings", "context_length"},
        {"hidden_size", "embedding_length"},
        {"intermediate_size", "feed_forward_length"},
        {"num_attention_heads", "attention.head_count"},
        {"num_key_value_heads", "attention.head_count_kv"},
    };
    static const char *const reals[][2] = {{"rms_norm_eps", "attention.layer_norm_rms_epsilon"},
                                           {"rope_theta", "rope.freq_base"},
                                           {"attn_logit_softcapping", "attn_logit_softcapping"},
                                           {"final_logit_softcapping", "final_logit_softcapping"}};
    char name[128];
    const char *arch = tiny_gguf_arch(t);
    tiny_key_text(g, "general.architecture", arch);
    tiny_key_text(g, "general.name", "tiny"); /* no family name: llama.cpp looks at it */
    for (size_t i = 0; i < countof(counts); i++) {
        tiny_key_u32(g, tiny_name(name, arch, counts[i][1]), tiny_number(t, counts[i][0], 0));
    }
    for (size_t i = 0; i < countof(reals); i++) {
        double v = tiny_number(t, reals[i][0], 0);
        if (v != 0) tiny_key_f32(g, tiny_name(name, arch, reals[i][1]), v);
    }
    double head = (double)tiny_head_dim(t);
    tiny_key_u32(g, tiny_name(name, arch, "attention.key_length"), head);
    tiny_key_u32(g, tiny_name(name, arch, "attention.value_length"), head);
    tiny_key_u32(g, tiny_name(name, arch, "rope.dimension_count"),
                 head * tiny_number(t, "partial_rotary_factor", 1));
    tiny_key_u32(g, tiny_name(name, arch, "vocab_size"), tiny_number(t, "vocab_size", 0));
    bool has_window = strncmp(arch, "gemma", 5) == 0 || strcmp(arch, "phi3") == 0;
    double window = tiny_number(t, "sliding_window", 0);
    if (has_window && window > 0)
        tiny_key_u32(g, tiny_name(name, arch, "attention.sliding_window"), window);
}

static inline void tiny_gguf_scaling(tiny_gguf *g, const tiny_model *t)
{
    char name[128];
    json_t *s = json_object_get(t->config, "rope_scaling");
    const char *type = json_string_value(json_object_get(s, "rope_type"));
    const char *arch = tiny_gguf_arch(t);
    if (type && strcmp(type, "linear") == 0) {
        tiny_key_text(g, tiny_name(name, arch, "rope.scaling.type"), "linear");
        tiny_key_f32(g, tiny_name(name, arch, "rope.scaling.factor"),
                     json_number_value(json_object_get(s, "factor")));
    }
    double original = tiny_number(t, "original_max_position_embeddings", 0);
    if (original > 0)
        tiny_key_u32(g, tiny_name(name, arch, "rope.scaling.original_context_length"), original);
    if (json_object_get(s, "long_factor")) {
        double factor = tiny_number(t, "max_position_embeddings", 0) / original;
        tiny_key_f32(g, tiny_name(name, arch, "rope.scaling.attn_factor"),
                     sqrt(1 + log(factor) / log(original)));
    }
}

static inline void tiny_gguf_tensor(tiny_gguf *g, const char *name, const tiny_tensor *w,
                                    dtype type)
{
    while (g->data.size % 32) buf_add_char(&g->data, 0);
    g->n_tensor++;
    tiny_put_text(&g->directory, name);
    tiny_put_u32(&g->directory, (uint32_t)w->rank);
    for (int d = w->rank - 1; d >= 0; d--) tiny_put_u64(&g->directory, (uint64_t)w->dim[d]);
    tiny_put_u32(&g->directory, (uint32_t)dtype_get(type)->ggml_type);
    tiny_put_u64(&g->directory, g->data.size);
}

static inline void tiny_gguf_floats(tiny_gguf *g, const char *name, const float *x, int64_t n)
{
    tiny_tensor w = {.rank = 1, .dim = {n, 1}, .n = n};
    tiny_gguf_tensor(g, name, &w, DTYPE_F32);
    tiny_put(&g->data, x, (size_t)n * sizeof *x);
}

/* Divisors of the frequencies: Llama 3.1's rule made a tensor, and Phi-3's lists. */
static inline void tiny_gguf_factors(tiny_gguf *g, const tiny_model *t)
{
    json_t *s = json_object_get(t->config, "rope_scaling"), *v;
    const char *type = json_string_value(json_object_get(s, "rope_type"));
    float x[64];
    size_t i;
    if (type && strcmp(type, "llama3") == 0) {
        double factor = json_number_value(json_object_get(s, "factor")),
               base = tiny_number(t, "rope_theta", 1e4);
        double low = json_number_value(json_object_get(s, "low_freq_factor"));
        double high = json_number_value(json_object_get(s, "high_freq_factor"));
        double original = json_number_value(json_object_get(s, "original_max_position_embeddings"));
        int64_t half = tiny_head_dim(t) / 2;
        for (int64_t k = 0; k < half; k++) {
            double wave = 2 * M_PI * pow(base, (double)k / (double)half);
            double smooth = (original / wave - low) / (high - low);
            double f = wave < original / high  ? 1
                       : wave > original / low ? factor
                                               : 1 / ((1 - smooth) / factor + smooth);
            x[k] = (float)f;
        }
        tiny_gguf_floats(g, "rope_freqs.weight", x, half);
    }
    static const char *const lists[][2] = {{"long_factor", "rope_factors_long.weight"},
                                           {"short_factor", "rope_factors_short.weight"}};
    for (size_t k = 0; k < 2; k++) {
        json_t *list = json_object_get(s, lists[k][0]);
        json_array_foreach(list, i, v) x[i] = (float)json_number_value(v);
        if (list) tiny_gguf_floats(g, lists[k][1], x, (int64_t)json_array_size(list));
    }
}

/* Hugging Face's name to GGUF's: "model.layers.3.self_attn.q_proj.weight" to
 * "blk.3.attn_q.weight". */
static inline void tiny_gguf_name(char out[128], const char *name, const char *arch)
{
    bool post = strcmp(arch, "gemma2") == 0 || strcmp(arch, "gemma3") == 0;
    const char *const parts[][2] = {{"self_attn.q_proj", "attn_q"},
                                    {"self_attn.k_proj", "attn_k"},
                                    {"self_attn.v_proj", "attn_v"},
                                    {"self_attn.o_proj", "attn_output"},
                                    {"self_attn.qkv_proj", "attn_qkv"},
                                    {"self_attn.q_norm", "attn_q_norm"},
                                    {"self_attn.k_norm", "attn_k_norm"},
                                    {"mlp.gate_proj", "ffn_gate"},
                                    {"mlp.up_proj", "ffn_up"},
                                    {"mlp.gate_up_proj", "ffn_up"},
                                    {"mlp.down_proj", "ffn_down"},
                                    {"input_layernorm", "attn_norm"},
                                    {"post_attention_layernorm",
                                     post ? "post_attention_norm" : "ffn_norm"},
                                    {"pre_feedforward_layernorm", "ffn_norm"},
                                    {"post_feedforward_layernorm", "post_ffw_norm"}};
    int layer, used = 0;
    if (sscanf(name, "model.layers.%d.%n", &layer, &used) == 1 && used > 0) {
        const char *rest = name + used, *end = strrchr(rest, '.');
        for (size_t i = 0; i < countof(parts); i++) {
            if (strlen(parts[i][0]) != (size_t)(end - rest) ||
                strncmp(rest, parts[i][0], (size_t)(end - rest)) != 0)
                continue;
            snprintf(out, 128, "blk.%d.%s%s", layer, parts[i][1], end);
            return;
        }
    }
    bool known = strcmp(name, "model.embed_tokens.weight") == 0 ||
                 strcmp(name, "model.norm.weight") == 0 || strcmp(name, "lm_head.weight") == 0;
    tiny_need(known, name);
    snprintf(out, 128, "%s.weight",
             name[0] == 'l'   ? "output"
             : name[6] == 'e' ? "token_embd"
                              : "output_norm");
}

static inline void tiny_gguf_weights(tiny_gguf *g, const tiny_model *t, dtype type)
{
    const char *arch = tiny_gguf_arch(t);
    int64_t half = tiny_head_dim(t) / 2;
    for (size_t i = 0; i < tiny_count(t); i++) {
        tiny_tensor w = tiny_at(t, i);
        char name[128];
        tiny_gguf_name(name, w.name, arch);
        tiny_gguf_tensor(g, name, &w, w.rank == 2 ? type : DTYPE_F32);
        if (w.rank == 1) {
            float plus = strcmp(w.kind, "norm") == 0 && t->norm_offset == 0 ? 1.0f : 0.0f;
            for (int64_t k = 0; k < w.n; k++)
                tiny_put_plain(&g->data, plus + tiny_value(t, &w, k), DTYPE_F32);
            continue;
        }
        bool permuted =
            strcmp(arch, "llama") == 0 && (strstr(name, "attn_q.") || strstr(name, "attn_k."));
        for (int64_t r = 0; r < w.dim[0];
             r++) { /* pair (2k, 2k+1) of a head holds rows (k, k + half) */
            int64_t in_head = r % (2 * half);
            int64_t from = permuted ? r - in_head + in_head / 2 + (in_head % 2) * half : r;
            tiny_put_row(&g->data, t, &w, from, type);
        }
    }
}

/* Matrices and embedding in `type` (F32, F16, BF16, Q8_0, Q4_0, Q4_1: what the model's bits allow);
 * the rest F32. */
static inline void tiny_write_gguf(const tiny_model *t, const char *path, dtype type)
{
    tiny_gguf g = {.keys = buf_up_to(1 << 24),
                   .directory = buf_up_to(1 << 24),
                   .data = buf_up_to(1 << 28)};
    tiny_gguf_config(&g, t);
    tiny_gguf_scaling(&g, t);
    tiny_gguf_tokens(&g, t);
    tiny_gguf_weights(&g, t, type);
    tiny_gguf_factors(&g, t);
    buf all = buf_up_to(1 << 28);
    buf_add_text(&all, "GGUF");
    tiny_put_u32(&all, 3);
    tiny_put_u64(&all, g.n_tensor);
    tiny_put_u64(&all, g.n_key);
    buf_add(&all, g.keys.data, g.keys.size);
    buf_add(&all, g.directory.data, g.directory.size);
    while (all.size % 32) buf_add_char(&all, 0);
    buf_add(&all, g.data.data, g.data.size);
    tiny_write_file(path, &all);
    buf_close(&all);
    buf_close(&g.keys);
    buf_close(&g.directory);
    buf_close(&g.data);
}

#endif
