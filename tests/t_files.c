/* Tests of model/: GGUF and safetensors containers, configurations of every family, binding, broken
 * files. */
#include "model/bind.h"
#include "model/describe.h"
#include "model/files_in.h"
#include "model/safetensors.h"
#include "tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const families[] = {
    "llama2", "llama3.1", "llama3.1-v5",   "llama-coarse",  "smollm2",          "mistral",
    "qwen2",  "qwen3",    "qwen2-bf16",    "gemma",         "gemma2",           "gemma2-scaled",
    "gemma3", "phi3",     "gemma3-linear", "phi3-longrope", "gemma3-linear-v5",
};

typedef struct room { /* what every test needs */
    arena a;
    err e;
    char folder[64];
} room;

static int make_room(void **state)
{
    room *r = calloc(1, sizeof *r);
    if (!r || !arena_open(&r->a, (size_t)1 << 28, "test", &r->e)) return -1;
    snprintf(r->folder, sizeof r->folder, "/tmp/t_files_XXXXXX");
    if (!mkdtemp(r->folder)) return -1;
    *state = r;
    return 0;
}

static int leave_room(void **state)
{
    room *r = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", r->folder);
    int rc = system(command);
    arena_close(&r->a);
    free(r);
    return rc;
}

/* ---- broken files -------------------------------------------------------------------------- */

static bool open_broken_gguf(const char *path, arena *a, err *e)
{
    model_header h;
    model_weights w;
    bool ok = model_peek_without_tokenizer(&h, path, a, e) && model_bind(&w, &h, a, e);
    model_close_header(&h);
    return ok;
}

static bool open_broken_safetensors(const char *path, arena *a, err *e)
{
    if (!str_ends(str_of(path), ".safetensors")) return open_broken_gguf(path, a, e);
    file_map m;
    safetensors s;
    if (!file_map_open(&m, path, ERR_MODEL, e)) return false;
    bool ok = safetensors_read(&s, path, m.data, m.size, a, e);
    file_map_close(&m);
    return ok;
}

static bool open_broken_config(const char *path, arena *a, err *e)
{
    model_config c;
    json_t *root = json_read_file(path, 1 << 20, e);
    bool ok = root && config_from_json(&c, root, path, a, e);
    json_decref(root);
    return ok;
}

/* Every line of tests/broken/<kind>/EXPECT: file, exit code, part of the message. */
static void check_broken(room *r, const char *kind, int least,
                         bool (*open)(const char *path, arena *a, err *e))
{
    char path[1024], line[512];
    snprintf(path, sizeof path, "tests/broken/%s/EXPECT", kind);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    int n = 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *code = strchr(line, '\t'), *message = code ? strchr(code + 1, '\t') : NULL;
        assert_non_null(message);
        *code++ = *message++ = 0;
        snprintf(path, sizeof path, "tests/broken/%s/%s", kind, line);
        err e = {0};
        size_t mark = arena_mark(&r->a);
        assert_false(open(path, &r->a, &e));
        if (e.code != (err_code)atoi(code) || !strstr(e.text, message)) {
            fail_msg("%s: got %d \"%s\", wanted %s \"%s\"", path, e.code, e.text, code, message);
        }
        path[strlen(path) - strlen(line)] = 0; /* a missing part is named, not the one given */
        if (!strstr(e.text, path)) fail_msg("\"%s\" names nothing in %s", e.text, path);
        arena_reset(&r->a, mark);
        n++;
    }
    fclose(f);
    assert_true(n >= least);
}

static void test_broken_gguf(void **state) { check_broken(*state, "gguf", 60, open_broken_gguf); }

static void test_broken_safetensors(void **state)
{
    check_broken(*state, "safetensors", 30, open_broken_safetensors);
}

static void test_broken_config(void **state)
{
    check_broken(*state, "config", 40, open_broken_config);
}

/* A sound file cut at every length: an error each time, never a crash or a success. */
static void test_every_cut(void **state)
{
    room *r = *state;
    file_map m;
    assert_true(file_map_open(&m, "fuzz/corpus/gguf/sound.gguf", ERR_MODEL, &r->e));
    for (size_t n = 0; n < m.size; n++) {
        uint8_t *copy =
            malloc(n ? n : 1); /* its own block: a read beyond the end is seen by ASan */
        assert_non_null(copy);
        memcpy(copy, m.data, n);
        gguf g;
        err e = {0};
        size_t mark = arena_mark(&r->a);
        bool ok = gguf_read(&g, "cut", copy, n, &r->a, &e);
        /* Only zero padding after the last tensor may be missing. */
        if (ok) assert_true(n + 32 > m.size);
        if (!ok) assert_int_equal(e.code, ERR_MODEL);
        arena_reset(&r->a, mark);
        free(copy);
    }
    file_map_close(&m);
}

/* ---- containers ---------------------------------------------------------------------------- */

static void test_gguf_values(void **state)
{
    room *r = *state;
    file_map m;
    gguf g;
    const char *path = "fuzz/corpus/gguf/sound-v2.gguf";
    assert_true(file_map_open(&m, path, ERR_MODEL, &r->e));
    assert_true(gguf_read(&g, path, m.data, m.size, &r->a, &r->e));
    assert_int_equal(g.version, 2);
    int64_t n;
    double x;
    str s;
    const gguf_value *v = gguf_find(&g, "x");
    assert_true(v && v->is_array && v->count == 3 && v->type == GGUF_U16);
    for (int64_t i = 0; i < 3; i++) assert_true(gguf_item_int(v, i, &n) && n == i + 1);
    assert_false(gguf_item_int(v, 3, &n) || gguf_item_int(v, -1, &n) || gguf_text(v, &s));
    assert_true(gguf_item_double(gguf_find(&g, "y"), 0, &x) && x == 1.5);
    assert_false(gguf_item_int(gguf_find(&g, "y"), 0, &n));
    assert_true(gguf_text(gguf_find(&g, "general.name"), &s) && str_is(s, "tiny"));
    const str *tokens = gguf_texts(gguf_find(&g, "tokenizer.ggml.tokens"), &r->a, &r->e);
    assert_true(tokens && str_is(tokens[0], "<unk>") && str_is(tokens[5], "ab"));
    assert_null(gguf_find(&g, "no such key"));
    const gguf_tensor *t = gguf_find_tensor(&g, "blk.0.attn_k.weight");
    assert_true(t && t->view.rank == 2 && t->view.dim[0] == 4 && t->view.dim[1] == 8 &&
                t->bytes == 128);
    assert_null(gguf_find_tensor(&g, "blk.1.attn_k.weight"));
    file_map_close(&m);
}

static void check_tiny_header(const model_header *h)
{
    const model_config *c = &h->config;
    assert_int_equal(h->n_tensor, 11);
    assert_int_equal(h->n_parameter, 6 * 8 + 3 * 8 + 8 * 8 * 2 + 4 * 8 * 2 + 3 * 16 * 8);
    assert_int_equal(h->bytes_weights, 4 * h->n_parameter);
    assert_true(c->n_layer == 1 && c->d_model == 8 && c->n_head == 2 && c->n_head_kv == 1);
    assert_true(c->head_dim == 4 && c->rotary_dim == 4 && c->d_ff == 16 && c->n_vocab == 6);
    assert_true(c->tied && c->window == 0 && c->norm_eps == 1e-5f && c->rope.base == 10000);
    assert_true(str_is(h->bos_text, "<s>") && str_is(h->eos_text, "</s>"));
}

static void test_split_gguf(void **state)
{
    room *r = *state;
    const char *parts[] = {"tests/golden/files/split-00001-of-00002.gguf",
                           "tests/golden/files/split-00002-of-00002.gguf"};
    for (int i = 0; i < 2; i++) { /* either part names the model */
        model_header h;
        model_weights w;
        assert_true(model_peek_without_tokenizer(&h, parts[i], &r->a, &r->e));
        check_tiny_header(&h);
        assert_int_equal(h.n_file, 2);
        assert_int_equal(model_find_tensor(&h, "blk.0.ffn_up.weight")->file, 1);
        assert_true(model_bind(&w, &h, &r->a, &r->e));
        assert_ptr_equal(w.layer[0].up.data,
                         model_find_tensor(&h, "blk.0.ffn_up.weight")->view.data);
        model_close_header(&h);
        model_close_header(&h);
    }
}

static void test_sharded_folder(void **state)
{
    room *r = *state;
    model_header h;
    model_weights w;
    assert_true(model_peek_without_tokenizer(&h, "tests/golden/files/shards/", &r->a, &r->e));
    check_tiny_header(&h);
    assert_int_equal(h.n_file, 2);
    assert_string_equal(h.name, "shards");
    assert_true(str_is(h.chat_template, "{{ messages }}")); /* the one named default */
    assert_true(model_bind(&w, &h, &r->a, &r->e) && w.n_unused == 0);
    assert_ptr_equal(w.lm_head.data, w.embed.data);
    model_close_header(&h);
}

/* Gemma 3 that also sees: the text part under either prefix; the jinja file counts first. */
static void test_nested_text_model(void **state)
{
    room *r = *state;
    const char *folders[] = {"tests/golden/files/sees", "tests/golden/files/sees-v5"};
    for (int i = 0; i < 2; i++) {
        model_header h;
        model_weights w;
        if (!model_peek_without_tokenizer(&h, folders[i], &r->a, &r->e)) fail_msg("%s", r->e.text);
        assert_string_equal(h.config.family->name, "gemma3");
        assert_true(h.config.n_context == 131072 && h.config.window == 4096);
        assert_true(h.config.rope.base == 1e6 && h.config.rope_local.base == 1e4);
        assert_true(h.config.query_scale == 0.5f && h.config.norm_plus == 1);
        assert_true(str_is(h.chat_template, "{{ bos_token }}") && str_is(h.bos_text, "<s>"));
        if (!model_bind(&w, &h, &r->a, &r->e)) fail_msg("%s", r->e.text);
        assert_int_equal(w.n_unused, 0);
        assert_true(w.layer[0].q_norm.dim[0] == 4 && w.layer[0].post_ffn_norm.dim[0] == 8);
        model_close_header(&h);
    }
}

static void test_vocabulary_alone(void **state)
{
    room *r = *state;
    model_header h;
    model_weights w;
    assert_true(model_peek_without_tokenizer(&h, "fuzz/corpus/gguf/vocabulary.gguf", &r->a, &r->e));
    assert_int_equal(h.n_tensor, 0);
    assert_false(model_bind(&w, &h, &r->a, &r->e));
    assert_non_null(strstr(r->e.text, "vocabulary but no weights"));
    model_close_header(&h);
}

/* An arena that is full at any point is ERR_RESOURCE, with everything closed again. */
static void test_full_arena(void **state)
{
    room *r = *state;
    const char *paths[] = {"fuzz/corpus/gguf/sound.gguf",
                           "tests/golden/files/split-00001-of-00002.gguf",
                           "tests/golden/files/shards", "tests/golden/files/sees"};
    size_t whole = r->a.size, mark = arena_mark(&r->a);
    for (size_t i = 0; i < countof(paths); i++) {
        int failures = 0;
        bool opened = false;
        for (size_t room_left = 0; !opened; room_left += 64) {
            err e = {0};
            model_header h;
            model_weights w;
            r->a.size = mark + room_left;
            opened = model_peek_without_tokenizer(&h, paths[i], &r->a, &e) &&
                     model_bind(&w, &h, &r->a, &e);
            if (!opened) assert_int_equal(e.code, ERR_RESOURCE);
            if (!opened) failures++;
            model_close_header(&h);
            arena_reset(&r->a, mark);
        }
        assert_true(failures > 10);
        r->a.size = whole;
    }
}

static void test_paths_that_are_no_models(void **state)
{
    room *r = *state;
    const struct {
        const char *path, *message;
    } rows[] = {
        {"tests/broken/no such file.gguf", "No such file"},
        {"tests", "no config.json"},
        {"tests/golden/files/shards/model-00001-of-00002.safetensors", "give the folder itself"},
        {"tests/t_files.c", "does not start with GGUF"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        err e = {0};
        model_header h;
        assert_false(model_peek_without_tokenizer(&h, rows[i].path, &r->a, &e));
        assert_int_equal(e.code, ERR_MODEL);
        if (!strstr(e.text, rows[i].message)) fail_msg("\"%s\"", e.text);
    }
}

/* ---- families ------------------------------------------------------------------------------ */

static void compare_rope(const rope_config *a, const rope_config *b, int32_t half,
                         double base_error)
{
    assert_true(fabs(a->base - b->base) <= base_error * a->base);
    assert_true(fabs(a->attention_factor - b->attention_factor) < 1e-6);
    if (a->scaling == ROPE_SCALE_LLAMA3) { /* the converter turns it into divisors */
        assert_int_equal(b->scaling, ROPE_SCALE_FACTORS);
        return;
    }
    assert_int_equal(a->scaling, b->scaling);
    if (a->scaling == ROPE_SCALE_LINEAR) assert_true(a->factor == b->factor);
    if (a->scaling != ROPE_SCALE_FACTORS) return;
    assert_int_equal(a->original_context, b->original_context);
    for (int32_t i = 0; i < half; i++) {
        assert_true(a->short_factor[i] == b->short_factor[i]);
        assert_true(a->long_factor[i] == b->long_factor[i]);
    }
}

/* The same model as folder and as GGUF gives the same configuration (but how norms and RoPE are
 * stored). */
static void compare_configs(const model_config *a, const model_config *b)
{
    assert_true(a->n_layer == b->n_layer && a->d_model == b->d_model && a->n_head == b->n_head);
    assert_true(a->n_head_kv == b->n_head_kv && a->head_dim == b->head_dim && a->d_ff == b->d_ff);
    assert_true(a->n_vocab == b->n_vocab && a->n_context == b->n_context && a->tied == b->tied);
    assert_true(a->norm_eps == b->norm_eps && a->embed_scale == b->embed_scale);
    assert_true(a->rotary_dim == b->rotary_dim && a->qkv_bias == b->qkv_bias);
    assert_true(a->softcap_attention == b->softcap_attention &&
                a->softcap_final == b->softcap_final);
    compare_rope(&a->rope, &b->rope, a->rotary_dim / 2, 1e-6);
    compare_rope(&a->rope_local, &b->rope_local, a->rotary_dim / 2, 1e-6);
    if (b->window == 0) return; /* a mistral GGUF says llama and nothing of its window */
    assert_int_equal(a->window, b->window);
    assert_memory_equal(a->layer_is_local, b->layer_is_local, (size_t)a->n_layer);
}

/* Each slot's tensor holds the values the formula gives for that name. */
static void check_values(const tiny_model *t, const model_header *h, const model_weights *w)
{
    for (size_t i = 0; i < tiny_count(t); i++) {
        tiny_tensor wanted = tiny_at(t, i);
        const tensor_entry *entry = model_find_tensor(h, wanted.name);
        assert_non_null(entry);
        assert_true(tensor_count(&entry->view) == wanted.n);
        float first;
        dtype_to_f32(entry->view.type, &first, entry->view.data, 1);
        assert_true(first == tiny_value(t, &wanted, 0));
    }
    assert_int_equal(w->n_unused, 0);
}

static void check_family(room *r, const char *name)
{
    tiny_model t;
    char folder[256], file[256];
    model_header hf, gg;
    model_weights w;
    assert_true(tiny_open(&t, name));
    snprintf(folder, sizeof folder, "%s/%s", r->folder, name);
    tiny_write_folder(&t, folder, 0);
    if (!model_peek_without_tokenizer(&hf, folder, &r->a, &r->e)) fail_msg("%s", r->e.text);
    if (!model_bind(&w, &hf, &r->a, &r->e)) fail_msg("%s", r->e.text);
    check_values(&t, &hf, &w);
    const char *has_gguf = json_string_value(json_object_get(t.reference, "gguf"));
    if (has_gguf && *has_gguf) {
        snprintf(file, sizeof file, "%s/%s.gguf", r->folder, name);
        tiny_write_gguf(&t, file, DTYPE_F32);
        if (!model_peek_without_tokenizer(&gg, file, &r->a, &r->e)) fail_msg("%s", r->e.text);
        if (!model_bind(&w, &gg, &r->a, &r->e)) fail_msg("%s", r->e.text);
        assert_int_equal(w.n_unused, 0);
        compare_configs(&hf.config, &gg.config);
        assert_true(str_equal(hf.chat_template, gg.chat_template) && hf.chat_template.size > 0);
        assert_true(str_equal(hf.bos_text, gg.bos_text) && str_equal(hf.eos_text, gg.eos_text));
        model_close_header(&gg);
    }
    model_close_header(&hf);
    tiny_close(&t);
}

static void test_every_family(void **state)
{
    for (size_t i = 0; i < countof(families); i++) check_family(*state, families[i]);
}

/* A tokenizer that knows more tokens than the model has rows: such a token in a text is an
 * error. */
static void test_token_without_row(void **state)
{
    room *r = *state;
    tiny_model t;
    char folder[256], path[300];
    model_header h;
    assert_true(tiny_open(&t, "llama2"));
    snprintf(folder, sizeof folder, "%s/fewer", r->folder);
    tiny_write_folder(&t, folder, 0);
    json_object_set_new(t.config, "vocab_size",
                        json_integer(319)); /* the last special has no row */
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(json_dump_file(t.config, path, 0), 0);
    if (!model_peek(&h, folder, &r->a, &r->e)) fail_msg("%s", r->e.text);
    assert_int_equal(token_count(h.tokens), 320);
    token_list ids = {0};
    token_options o = {.parse_special = true};
    assert_true(token_encode(h.tokens, STR("<|im_end|> yes"), o, &ids, &r->e) && ids.n > 1);
    int64_t n = ids.n;
    assert_false(token_encode(h.tokens, token_text(h.tokens, 319), o, &ids, &r->e));
    assert_int_equal(r->e.code, ERR_DATA);
    assert_int_equal(ids.n, n);
    token_list_close(&ids);
    model_close_header(&h);
    tiny_close(&t);
}

/* phi3's fused tensors: q, k, v and gate, up are rows of one tensor, one after the other. */
static void test_fused_rows(void **state)
{
    room *r = *state;
    tiny_model t;
    char file[256];
    model_header h;
    model_weights w;
    assert_true(tiny_open(&t, "phi3"));
    snprintf(file, sizeof file, "%s/phi3.gguf", r->folder);
    tiny_write_gguf(&t, file, DTYPE_F32);
    assert_true(model_peek_without_tokenizer(&h, file, &r->a, &r->e));
    assert_true(model_bind(&w, &h, &r->a, &r->e));
    const tensor_entry *qkv = model_find_tensor(&h, "blk.1.attn_qkv.weight");
    const tensor_entry *up = model_find_tensor(&h, "blk.1.ffn_up.weight");
    const layer_weights *l = &w.layer[1];
    const model_config *c = &h.config;
    int64_t row = 4 * c->d_model, q = (int64_t)c->n_head * c->head_dim,
            kv = (int64_t)c->n_head_kv * c->head_dim;
    char *start = qkv->view.data, *second = up->view.data;
    assert_true((char *)l->q.data == start && l->q.dim[0] == q);
    assert_true((char *)l->k.data == start + q * row && l->k.dim[0] == kv);
    assert_true((char *)l->v.data == start + (q + kv) * row && l->v.dim[0] == kv);
    assert_true((char *)l->gate.data == second && l->gate.dim[0] == c->d_ff);
    assert_true((char *)l->up.data == second + c->d_ff * row && l->up.dim[0] == c->d_ff);
    model_close_header(&h);
    tiny_close(&t);
}

static model_config parse(room *r, const char *text)
{
    model_config c = {0};
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    if (!config_from_json(&c, root, "config.json", &r->a, &r->e)) fail_msg("%s", r->e.text);
    json_decref(root);
    return c;
}

#define SIZES                                                                                      \
    "\"hidden_size\":64,\"intermediate_size\":96,\"num_hidden_layers\":4,\"num_attention_heads\":" \
    "4,"                                                                                           \
    "\"vocab_size\":99,\"max_position_embeddings\":128"

/* What keys that are absent mean, and what the odd ones do. Facts: transformers' configuration
 * classes. */
static void test_config_defaults(void **state)
{
    room *r = *state;
    model_config c = parse(r, "{\"model_type\":\"llama\"," SIZES "}");
    assert_true(c.n_head_kv == 4 && c.head_dim == 16 && c.norm_eps == 1e-6f && !c.tied);
    assert_true(c.rope.base == 10000 && c.query_scale == 0.25f && c.embed_scale == 1 &&
                !c.qkv_bias);
    c = parse(r, "{\"model_type\":\"llama\",\"attention_bias\":true,\"mlp_bias\":true," SIZES "}");
    assert_true(c.qkv_bias && c.o_bias && c.mlp_bias);
    c = parse(r, "{\"architectures\":[\"MistralForCausalLM\"],\"sliding_window\":null,"
                 "\"num_key_value_heads\":2,\"head_dim\":32," SIZES "}");
    assert_true(c.window == 0 && c.layer_is_local[0] == 0 && c.head_dim == 32);
    c = parse(r, "{\"model_type\":\"mistral\",\"sliding_window\":7,\"num_key_value_heads\":2," SIZES
                 "}");
    assert_true(c.window == 7 && c.layer_is_local[0] && c.layer_is_local[3]);
    c = parse(r,
              "{\"model_type\":\"qwen2\",\"sliding_window\":7,\"max_window_layers\":2," SIZES "}");
    assert_true(c.window == 0 && c.qkv_bias && !c.o_bias);
    c = parse(r, "{\"model_type\":\"qwen2\",\"sliding_window\":7,\"max_window_layers\":2,"
                 "\"use_sliding_window\":true," SIZES "}");
    assert_true(c.window == 7 && !c.layer_is_local[1] && c.layer_is_local[2]);
    c = parse(r, "{\"model_type\":\"qwen3\"," SIZES "}");
    assert_true(c.head_dim == 128 && c.family->qk_norm);
    c = parse(r, "{\"model_type\":\"gemma\",\"hidden_act\":\"gelu\"," SIZES "}");
    assert_true(c.head_dim == 256 && c.tied && c.embed_scale == 8 && c.norm_plus == 1);
    c = parse(r, "{\"model_type\":\"gemma2\"," SIZES "}");
    assert_true(c.softcap_attention == 50 && c.softcap_final == 30 && c.window == 4096);
    assert_true(c.layer_is_local[0] && !c.layer_is_local[1] && c.query_scale == 1.0f / 16);
    c = parse(r, "{\"model_type\":\"gemma2\",\"attn_logit_softcapping\":null,"
                 "\"query_pre_attn_scalar\":144," SIZES "}");
    assert_true(c.softcap_attention == 0 && c.query_scale == 1.0f / 12);
    c = parse(r,
              "{\"model_type\":\"gemma3_text\",\"_sliding_window_pattern\":2,\"sliding_window\":9,"
              "\"rope_scaling\":{\"type\":\"linear\",\"factor\":8}," SIZES "}");
    assert_true(c.window == 9 && c.layer_is_local[2] && !c.layer_is_local[3]);
    assert_true(c.rope.scaling == ROPE_SCALE_LINEAR && c.rope.factor == 8);
    assert_true(c.rope_local.scaling == ROPE_SCALE_NONE && c.rope_local.base == 10000);
}

static void test_config_rope(void **state)
{
    room *r = *state;
    model_config c = parse(r, "{\"model_type\":\"llama\",\"rope_theta\":500000,\"rope_scaling\":{"
                              "\"rope_type\":\"llama3\","
                              "\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,"
                              "\"original_max_position_embeddings\":64}," SIZES "}");
    assert_true(c.rope.scaling == ROPE_SCALE_LLAMA3 && c.rope.base == 500000 && c.rope.factor == 8);
    assert_true(c.rope.original_context == 64 && c.rope.high_freq_factor == 4);
    c = parse(r, "{\"model_type\":\"llama\",\"rope_parameters\":{\"rope_type\":\"default\","
                 "\"rope_theta\":7000}," SIZES "}");
    assert_true(c.rope.scaling == ROPE_SCALE_NONE && c.rope.base == 7000);
    c = parse(r,
              "{\"model_type\":\"phi3\",\"original_max_position_embeddings\":32,\"rope_scaling\":{"
              "\"type\":\"su\",\"short_factor\":[1,1,1,1,1,1,1,1],\"long_factor\":[2,2,2,2,2,2,2,9]"
              "}," SIZES "}");
    assert_true(c.rope.scaling == ROPE_SCALE_FACTORS && c.rope.long_factor[7] == 9);
    assert_true(c.rope.original_context == 32 && c.rope.short_factor[0] == 1);
    assert_true(fabs(c.rope.attention_factor - sqrt(1 + log(4) / log(32))) < 1e-12);
    assert_int_equal(c.rope_local.scaling, ROPE_SCALE_FACTORS);
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_boolean(v) ? json_is_true(v) : json_number_value(v);
}

static void compare_rope_answer(const char *name, const json_t *o, const rope_config *r)
{
    static const char *const kinds[] = {"default", "linear", "llama3", "longrope"};
    const char *kind = json_string_value(json_object_get(o, "kind"));
    bool same = !strcmp(kind, kinds[r->scaling]) && r->base == number(o, "base") &&
                fabs(r->attention_factor - number(o, "attention_factor")) < 1e-12;
    if (json_object_get(o, "factor")) same = same && r->factor == number(o, "factor");
    if (json_object_get(o, "low_freq_factor")) {
        same = same && r->low_freq_factor == number(o, "low_freq_factor") &&
               r->high_freq_factor == number(o, "high_freq_factor");
    }
    if (json_object_get(o, "original_context")) {
        same = same && r->original_context == number(o, "original_context");
    }
    if (!same) fail_msg("%s: another RoPE than transformers has", name);
}

/* config.json read as transformers reads it: tests/golden/configs.json
 * (tools/golden/make_configs.py). */
static void test_configs_of_transformers(void **state)
{
    room *r = *state;
    json_t *root = json_read_file("tests/golden/configs.json", 1 << 20, &r->e), *row;
    assert_non_null(root);
    size_t i;
    json_array_foreach(json_object_get(root, "rows"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        const json_t *o = json_object_get(row, "answer"), *local = json_object_get(o, "local");
        model_config c;
        if (!config_from_json(&c, json_object_get(row, "config"), name, &r->a, &r->e)) {
            fail_msg("%s", r->e.text);
        }
        const struct {
            const char *key;
            double ours;
        } fields[] = {
            {"n_layer", c.n_layer},
            {"d_model", c.d_model},
            {"d_ff", c.d_ff},
            {"n_head", c.n_head},
            {"n_head_kv", c.n_head_kv},
            {"head_dim", c.head_dim},
            {"n_vocab", c.n_vocab},
            {"n_context", c.n_context},
            {"norm_eps", c.norm_eps},
            {"tied", c.tied},
            {"window", c.window},
            {"softcap_attention", c.softcap_attention},
            {"softcap_final", c.softcap_final},
            {"query_scale", c.query_scale},
            {"embed_scale", c.embed_scale},
            {"qkv_bias", c.qkv_bias},
            {"o_bias", c.o_bias},
            {"mlp_bias", c.mlp_bias},
        };
        for (size_t k = 0; k < countof(fields); k++) {
            double wanted = number(o, fields[k].key);
            if (!json_object_get(o, fields[k].key) || (float)fields[k].ours != (float)wanted) {
                fail_msg("%s: %s is %g, transformers has %g", name, fields[k].key, fields[k].ours,
                         wanted);
            }
        }
        for (int32_t k = 0; k < c.n_layer; k++) {
            if (c.layer_is_local[k] != json_integer_value(json_array_get(local, (size_t)k))) {
                fail_msg("%s: layer %d is %slocal", name, k, c.layer_is_local[k] ? "" : "not ");
            }
        }
        compare_rope_answer(name, json_object_get(o, "rope"), &c.rope);
        if (c.window > 0)
            compare_rope_answer(name, json_object_get(o, "rope_local"), &c.rope_local);
    }
    assert_true(i >= 25);
    json_decref(root);
}

static void test_family_rows(void **state)
{
    (void)state;
    int32_t n;
    const model_family *f = model_families(&n);
    assert_int_equal(n, 8);
    for (int32_t i = 0; i < n; i++) {
        assert_ptr_equal(model_family_by_hf(str_of(f[i].hf_class[0])), &f[i]);
        assert_ptr_equal(model_family_by_type(str_of(f[i].hf_type[0])), &f[i]);
        if (f[i].gguf_arch) assert_ptr_equal(model_family_by_gguf(str_of(f[i].gguf_arch)), &f[i]);
    }
    assert_null(model_family_by_hf(STR("Llama")));
    assert_null(model_family_by_gguf(STR("mistral")));
    char name[128];
    f = model_family_by_gguf(STR("gemma3"));
    assert_string_equal(model_tensor_name(f, false, SLOT_FFN_NORM, 11, name),
                        "model.layers.11.pre_feedforward_layernorm.weight");
    assert_string_equal(model_tensor_name(f, true, SLOT_POST_FFN_NORM, 11, name),
                        "blk.11.post_ffw_norm.weight");
    f = model_family_by_gguf(STR("llama"));
    assert_string_equal(model_tensor_name(f, false, SLOT_FFN_NORM, 0, name),
                        "model.layers.0.post_attention_layernorm.weight");
    assert_string_equal(model_tensor_name(f, false, SLOT_LM_HEAD, 0, name), "lm_head.weight");
    assert_null(model_tensor_name(f, true, SLOT_Q_NORM, 0, name));
}

/* ---- real models --------------------------------------------------------------------------- */

/* Resident bytes of this process's map of a file, by /proc/self/smaps. */
static long resident_of(const char *name)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    long kib = 0, sum = 0;
    bool ours = false;
    while (f && fgets(line, sizeof line, f)) {
        if (strchr(line, '-') && strchr(line, ' ') && line[0] != ' ' && !strstr(line, "kB")) {
            ours = strstr(line, name) != NULL;
        }
        if (ours && sscanf(line, "Rss: %ld", &kib) == 1) sum += kib;
    }
    if (f) fclose(f);
    return sum * 1024;
}

static void test_real_models(void **state)
{
    room *r = *state;
    const struct {
        const char *file, *family;
        int32_t n_layer, d_model, n_head, n_head_kv, head_dim, d_ff, n_vocab, window;
    } rows[] = {
        {"SmolLM2-135M-Instruct.Q4_1.gguf", "llama", 30, 576, 9, 3, 64, 1536, 49152, 0},
        {"gemma-3-270m.Q4_K_M.gguf", "gemma3", 18, 640, 4, 1, 256, 2048, 262144, 512},
        {"qwen2.5-coder-0.5b-instruct.Q4_K_M.gguf", "qwen2", 24, 896, 14, 2, 64, 4864, 151936, 0},
        {"qwen2.5-coder-1.5b-instruct.Q4_K_M.gguf", "qwen2", 28, 1536, 12, 2, 128, 8960, 151936, 0},
    };
    int seen = 0;
    for (size_t i = 0; i < countof(rows); i++) {
        char path[256];
        snprintf(path, sizeof path, "models/%s", rows[i].file);
        if (!file_exists(path)) {
            printf("skip: %s is absent\n", path);
            continue;
        }
        seen++;
        model_header h;
        model_weights w;
        size_t mark = arena_mark(&r->a);
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        if (!model_peek_without_tokenizer(&h, path, &r->a, &r->e)) fail_msg("%s", r->e.text);
        if (!model_bind(&w, &h, &r->a, &r->e)) fail_msg("%s", r->e.text);
        clock_gettime(CLOCK_MONOTONIC, &to);
        double s = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) * 1e-9;
        long resident = resident_of(rows[i].file);
        printf("%s: opened and bound in %.1f ms, %.1f MB of %.1f resident\n", rows[i].file, s * 1e3,
               (double)resident * 1e-6, (double)h.file[0].size * 1e-6);
        assert_true(s < 0.3);
        assert_true(resident < 24 << 20); /* the directory and vocabulary, not the weights */
        const model_config *c = &h.config;
        assert_string_equal(c->family->name, rows[i].family);
        assert_true(c->n_layer == rows[i].n_layer && c->d_model == rows[i].d_model);
        assert_true(c->n_head == rows[i].n_head && c->n_head_kv == rows[i].n_head_kv);
        assert_true(c->head_dim == rows[i].head_dim && c->d_ff == rows[i].d_ff);
        assert_true(c->n_vocab == rows[i].n_vocab && c->window == rows[i].window);
        assert_int_equal(w.n_unused, 0);
        model_close_header(&h);
        arena_reset(&r->a, mark);
    }
    if (!seen) skip();
}

/* stories260K as folder and as GGUF: the same model twice. */
static void test_stories(void **state)
{
    room *r = *state;
    const char *folder = "../shared/data/models/stories260k/hf";
    if (!file_exists(folder)) {
        printf("skip: %s is absent\n", folder);
        skip();
    }
    model_header hf, gg;
    model_weights w;
    assert_true(model_peek_without_tokenizer(&hf, folder, &r->a, &r->e));
    assert_true(model_bind(&w, &hf, &r->a, &r->e) && w.n_unused == 0);
    assert_true(
        model_peek_without_tokenizer(&gg, "../shared/data/models/stories260k/stories260K-f32.gguf",
                                     &r->a, &r->e));
    compare_configs(&hf.config, &gg.config);
    assert_true(hf.n_parameter == 260032 && gg.n_parameter == 260032);
    const tensor_entry *a = model_find_tensor(&hf, "model.layers.3.mlp.up_proj.weight");
    const tensor_entry *b = model_find_tensor(&gg, "blk.3.ffn_up.weight");
    assert_memory_equal(a->view.data, b->view.data, (size_t)a->bytes);
    assert_string_equal(model_hash_file(&gg, 0).hex, hash_of(gg.file[0].data, gg.file[0].size).hex);
    model_close_header(&hf);
    model_close_header(&gg);
}

/* ---- describe ------------------------------------------------------------------------------ */

/* Opened with its tokenizer; the text says the main things, the JSON parses and says them too. */
static void test_describe(void **state)
{
    room *r = *state;
    tiny_model t;
    char file[256];
    model_header h;
    assert_true(tiny_open(&t, "gemma3"));
    snprintf(file, sizeof file, "%s/gemma3.gguf", r->folder);
    tiny_write_gguf(&t, file, DTYPE_F32);
    if (!model_peek(&h, file, &r->a, &r->e)) fail_msg("%s", r->e.text);
    buf text = buf_up_to(1 << 20), json = buf_up_to(1 << 20), all = buf_up_to(1 << 20);
    assert_true(model_describe(&h, false, &text, &r->e));
    assert_true(model_describe(&h, true, &all, &r->e));
    assert_true(model_describe_json(&h, true, &json, &r->e));
    hash_text sha = model_hash_file(&h, 0);
    const char *says[] = {"gemma3: ",
                          "GGUF v3",
                          sha.hex,
                          "window ",
                          "RoPE base 1e+06",
                          "F32 ",
                          "blk.0.attn_q_norm.weight",
                          "<|im_start|>",
                          "320 tokens"};
    for (size_t i = 0; i < countof(says); i++) {
        if (!strstr(text.data, says[i])) fail_msg("no \"%s\" in\n%s", says[i], text.data);
    }
    assert_null(strstr(text.data, "blk.1.attn_q_norm.weight"));
    assert_non_null(strstr(all.data, "blk.1.attn_q_norm.weight"));
    json_error_t why;
    json_t *root = json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES, &why);
    if (!root) fail_msg("%s\n%s", why.text, json.data);
    assert_int_equal(json_array_size(json_object_get(root, "tensors")), h.n_tensor);
    assert_string_equal(json_string_value(json_object_get(root, "family")), "gemma3");
    json_t *tokens = json_object_get(root, "tokenizer");
    assert_int_equal(json_integer_value(json_object_get(tokens, "tokens")), 320);
    json_decref(root);
    buf_close(&text);
    buf_close(&json);
    buf_close(&all);
    model_close_header(&h);
    tiny_close(&t);
}

/* A name with control bytes and half a character moves no terminal and breaks no JSON. */
static void test_describe_hostile_words(void **state)
{
    room *r = *state;
    model_header h;
    const char *path = "fuzz/corpus/gguf/vocabulary.gguf";
    assert_true(model_peek_without_tokenizer(&h, path, &r->a, &r->e));
    h.name = "a\x1b[2Jb\xff\x80\"";
    h.chat_template = STR("\x1b]0;x\x07 {{ \xed\x8f }}");
    buf text = buf_up_to(1 << 20), json = buf_up_to(1 << 20), tight = buf_up_to(100);
    assert_true(model_describe(&h, true, &text, &r->e));
    assert_null(strchr(text.data, '\x1b'));
    assert_null(strchr(text.data, '\x07'));
    assert_non_null(strstr(text.data, "a?[2Jb"));
    assert_true(model_describe_json(&h, true, &json, &r->e));
    json_error_t why;
    json_t *root = json_loadb(json.data, json.size, 0, &why);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "name")),
                        "a\x1b[2Jb\xEF\xBF\xBD\xEF\xBF\xBD\"");
    json_decref(root);
    assert_false(model_describe(&h, true, &tight, &r->e));
    assert_int_equal(r->e.code, ERR_RESOURCE);
    buf_close(&text);
    buf_close(&json);
    buf_close(&tight);
    model_close_header(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_broken_gguf, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_broken_safetensors, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_broken_config, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_every_cut, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_gguf_values, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_split_gguf, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_sharded_folder, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_nested_text_model, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_vocabulary_alone, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_full_arena, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_paths_that_are_no_models, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_every_family, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_token_without_row, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_fused_rows, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_config_defaults, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_config_rope, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_configs_of_transformers, make_room, leave_room),
        cmocka_unit_test(test_family_rows),
        cmocka_unit_test_setup_teardown(test_real_models, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_stories, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_describe, make_room, leave_room),
        cmocka_unit_test_setup_teardown(test_describe_hostile_words, make_room, leave_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
