/* Tests of src/text/token*.c.
 *
 * With ../shared/data (skipped with a line where absent): tokenizer-vectors, every text exact, from
 * folders (tokenizer.json, tokenizer.model, vocab.json + merges.txt, ranks) and from
 * vocabulary-only GGUF files; with models/ too: the ids of models/reference. Without: our own small
 * tokenizers of each kind (tests/golden/token, made by tools/golden/make_tokenizers.py), broken
 * inputs (tests/broken/token), and properties.
 */
#include "base/file.h"
#include "base/pool.h"
#include "base/rng.h"
#include "model/files.h"
#include "text/token.h"
#include "text/utf8.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define VECTORS "../shared/data/tokenizer-vectors/"
#define FOLDERS "../shared/data/tokenizers/"

typedef struct opened {
    arena memory;
    model_header header;
    tokenizer *t;
} opened;

static opened *open_any(const char *path, err *e)
{
    opened *o = calloc(1, sizeof *o);
    assert_non_null(o);
    assert_true(arena_open(&o->memory, (size_t)4 << 30, "test", e));
    if (file_is_folder(path)) o->t = token_open_folder(path, &o->memory, e);
    else if (model_peek(&o->header, path, &o->memory, e)) o->t = o->header.tokens;
    return o;
}

static opened *open_good(const char *path)
{
    err e = {0};
    opened *o = open_any(path, &e);
    if (!o->t) print_error("%s\n", e.text);
    assert_non_null(o->t);
    return o;
}

static void close_any(opened *o)
{
    if (o->header.path) model_close_header(&o->header);
    else token_close(o->t);
    arena_close(&o->memory);
    free(o);
}

static void skip_without(const char *path)
{
    if (file_exists(path) || file_is_folder(path)) return;
    printf("skip: %s is not here\n", path);
    skip();
}

static token_list encode(const tokenizer *t, str text, token_options o)
{
    token_list ids = {0};
    err e = {0};
    bool good = token_encode(t, text, o, &ids, &e);
    if (!good) print_error("%s\n", e.text);
    assert_true(good);
    return ids;
}

static bool same(const token_list *got, const int32_t *want, size_t n)
{
    return (size_t)got->n == n && (n == 0 || !memcmp(got->id, want, n * sizeof *want));
}

static void print_ids(const char *word, const int32_t *id, int64_t n)
{
    print_error("  %s", word);
    for (int64_t i = 0; i < n && i < 60; i++) print_error(" %d", id[i]);
    print_error("\n");
}

/* 1 when the ids of `text` differ from the list. */
static int check_list(const tokenizer *t, const char *name, str text, const json_t *list,
                      token_options o)
{
    int32_t want[8192];
    size_t n = json_array_size(list);
    assert_true(n <= countof(want));
    for (size_t i = 0; i < n; i++) want[i] = (int32_t)json_integer_value(json_array_get(list, i));
    token_list got = encode(t, text, o);
    bool good = same(&got, want, n);
    if (!good) {
        print_error("%s: other ids for <<%.*s>>\n", name, (int)text.size, text.data);
        print_ids("got ", got.id, got.n);
        print_ids("want", want, (int64_t)n);
    }
    token_list_close(&got);
    return !good;
}

static str json_text(const json_t *v) { return (str){json_string_value(v), json_string_length(v)}; }

static json_t *load(const char *path)
{
    json_error_t why;
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &why);
    if (!root) print_error("%s: %s\n", path, why.text);
    assert_non_null(root);
    return root;
}

/* The next line of a file of lines; false at its end. */
static bool next_line(str *rest, str *line)
{
    if (rest->size == 0) return false;
    const char *end = memchr(rest->data, '\n', rest->size);
    line->data = rest->data;
    line->size = end ? (size_t)(end - rest->data) : rest->size;
    size_t used = line->size + (end ? 1 : 0);
    *rest = str_part(*rest, used, rest->size - used);
    return true;
}

static file_map map_file(const char *path)
{
    file_map m;
    err e = {0};
    assert_true(file_map_open(&m, path, ERR_DATA, &e));
    return m;
}

static str map_text(const file_map *m) { return (str){(const char *)m->data, m->size}; }

/* ---- llama-cpp/NAME.inp and .out: texts between marks, ids a line ---- */

static int check_marked(const tokenizer *t, const char *name, int *count)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char path[400];
    snprintf(path, sizeof path, VECTORS "llama-cpp/ggml-vocab-%s.gguf.inp", name);
    file_map in = map_file(path);
    snprintf(path, sizeof path, VECTORS "llama-cpp/ggml-vocab-%s.gguf.out", name);
    file_map out = map_file(path);
    str texts = map_text(&in), lines = map_text(&out), line;
    int bad = 0;
    while (next_line(&lines, &line)) {
        int64_t at = str_find(texts, STR(mark));
        str text = str_part(texts, 0, at < 0 ? texts.size : (size_t)at);
        int32_t want[4096];
        size_t n = 0;
        for (char *p = (char *)(uintptr_t)line.data;
             p < line.data + line.size && n < countof(want);) {
            want[n++] = (int32_t)strtol(p, &p, 10);
            while (p < line.data + line.size && *p == ' ') p++;
        }
        token_list got = encode(t, text, (token_options){0});
        if (!same(&got, want, n)) {
            bad++;
            print_error("%s: other ids for <<%.*s>>\n", name, (int)text.size, text.data);
            print_ids("got ", got.id, got.n);
            print_ids("want", want, (int64_t)n);
        }
        token_list_close(&got);
        (*count)++;
        if (at < 0) break;
        size_t used = (size_t)at + sizeof mark - 1;
        texts = str_part(texts, used, texts.size - used);
    }
    file_map_close(&in);
    file_map_close(&out);
    return bad;
}

static const struct {
    const char *vectors, *folder;
} marked[] = {{"gpt-2", "gpt2"},
              {"falcon", "falcon"},
              {"llama-spm", "llama2"},
              {"phi-3", "phi-3-mini"},
              {"llama-bpe", "llama3"},
              {"qwen2", "qwen2"},
              {"deepseek-r1-qwen", "qwen2"}}; /* the same vocabulary and, on these texts, ids */

static void test_llama_cpp_vectors(void **state)
{
    (void)state;
    skip_without(VECTORS "llama-cpp");
    for (size_t i = 0; i < countof(marked); i++) {
        char path[400];
        int count = 0;
        snprintf(path, sizeof path, FOLDERS "%s", marked[i].folder);
        opened *o = open_good(path);
        assert_int_equal(check_marked(o->t, marked[i].vectors, &count), 0);
        assert_int_equal(count, 46);
        close_any(o);
    }
}

static void test_vocabulary_only_gguf(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt-2", "llama-spm", "phi-3"};
    skip_without(VECTORS "llama-cpp");
    for (size_t i = 0; i < countof(names); i++) {
        char path[400];
        int count = 0;
        snprintf(path, sizeof path, VECTORS "llama-cpp/ggml-vocab-%s.gguf", names[i]);
        opened *o = open_good(path);
        assert_int_equal(check_marked(o->t, names[i], &count), 0);
        assert_int_equal(count, 46);
        close_any(o);
    }
}

/* ---- jsonl vectors ---- */

static int check_lines(const tokenizer *t, const char *name, const char *file, int *count)
{
    file_map m = map_file(file);
    str rest = map_text(&m), line;
    int bad = 0;
    while (next_line(&rest, &line)) {
        json_t *v = json_loadb(line.data, line.size, JSON_ALLOW_NUL, NULL);
        assert_non_null(v);
        const json_t *ids = json_object_get(v, "ids"), *whose = json_object_get(v, "tokenizer");
        token_options o = {0};
        if (whose) o = (token_options){.parse_special = true, .add_bos = true};
        else ids = json_object_get(ids, name);
        if (ids && (!whose || !strcmp(json_string_value(whose), name))) {
            bad += check_list(t, name, json_text(json_object_get(v, "text")), ids, o);
            (*count)++;
        }
        json_decref(v);
    }
    file_map_close(&m);
    return bad;
}

static void check_all_folders(const char *file, const char *const *names, const int *counts,
                              size_t n)
{
    skip_without(file);
    for (size_t i = 0; i < n; i++) {
        char path[400];
        int count = 0;
        snprintf(path, sizeof path, FOLDERS "%s", names[i]);
        opened *o = open_good(path);
        assert_int_equal(check_lines(o->t, names[i], file, &count), 0);
        assert_int_equal(count, counts[i]);
        close_any(o);
    }
}

static void test_clinical_korean(void **state)
{
    (void)state;
    static const char *const names[] = {"llama2", "phi-3-mini", "gpt2",
                                        "falcon", "qwen2",      "llama3"};
    static const int counts[] = {38, 38, 38, 38, 38, 38};
    check_all_folders(VECTORS "clinical-korean.jsonl", names, counts, countof(names));
}

static void test_transformers_js(void **state)
{
    (void)state;
    static const char *const names[] = {"llama2", "llama3", "gpt2", "falcon", "qwen2"};
    static const int counts[] = {37, 37, 26, 24, 25};
    check_all_folders(VECTORS "transformers-js.jsonl", names, counts, countof(names));
}

/* ---- real models ---- */

static const struct {
    const char *reference, *model;
} references[] = {
    {"gemma3-270m-q4_k_m", "gemma-3-270m.Q4_K_M.gguf"},
    {"smollm2-135m-instruct-q4_1", "SmolLM2-135M-Instruct.Q4_1.gguf"},
    {"qwen2.5-coder-0.5b-instruct-q4_k_m", "qwen2.5-coder-0.5b-instruct.Q4_K_M.gguf"},
    {"qwen2.5-coder-1.5b-instruct-q4_k_m", "qwen2.5-coder-1.5b-instruct.Q4_K_M.gguf"},
};

static void test_reference_ids(void **state)
{
    (void)state;
    int seen = 0;
    for (size_t i = 0; i < countof(references); i++) {
        char path[400], model[400];
        snprintf(path, sizeof path, "../shared/data/models/reference/%s.json",
                 references[i].reference);
        snprintf(model, sizeof model, "models/%s", references[i].model);
        if (!file_exists(path) || !file_exists(model)) {
            printf("skip: %s or %s is not here\n", path, model);
            continue;
        }
        json_t *root = load(path);
        opened *o = open_good(model);
        const json_t *cases = json_object_get(root, "cases"), *c;
        size_t k;
        int bad = 0;
        json_array_foreach(cases, k, c)
        {
            token_options options = {.parse_special = true, .add_bos = true};
            bad += check_list(o->t, model, json_text(json_object_get(c, "text")),
                              json_object_get(c, "ids"), options);
        }
        assert_int_equal(bad, 0);
        assert_true(k >= 12);
        close_any(o);
        json_decref(root);
        seen++;
    }
    if (!seen) skip();
}

/* ---- one model, several files: the same ids ---- */

/* A folder of links to `files` (a list that ends with NULL), with a configuration of its own or
 * none. */
static void make_folder(char path[64], const char *from, const char *const *files,
                        const char *config)
{
    err e = {0};
    snprintf(path, 64, "/tmp/caseload-token-XXXXXX");
    assert_non_null(mkdtemp(path));
    for (; *files; files++) {
        char here[4096], there[400], link[400];
        assert_non_null(realpath(from, here));
        snprintf(there, sizeof there, "%s/%s", from, *files);
        assert_non_null(realpath(there, here));
        snprintf(link, sizeof link, "%s/%s", path, *files);
        assert_int_equal(symlink(here, link), 0);
    }
    if (!config) return;
    char file[400];
    snprintf(file, sizeof file, "%s/tokenizer_config.json", path);
    assert_true(file_write_atomic(file, str_of(config), &e));
}

static void remove_folder(const char *path, const char *const *files)
{
    char file[400];
    for (; *files; files++) {
        snprintf(file, sizeof file, "%s/%s", path, *files);
        unlink(file);
    }
    snprintf(file, sizeof file, "%s/tokenizer_config.json", path);
    unlink(file);
    assert_int_equal(rmdir(path), 0);
}

static void check_agreement(const char *one, const char *other)
{
    opened *a = open_good(one), *b = open_good(other);
    json_t *root = load("tests/golden/token/cases.json");
    file_map m = map_file(VECTORS "clinical-korean.jsonl");
    str rest = map_text(&m), line;
    const json_t *list = json_object_get(root, "texts");
    size_t n = json_array_size(list), compared = 0;
    for (size_t i = 0; i < n || next_line(&rest, &line); i++, compared++) {
        json_t *v = i < n ? NULL : json_loadb(line.data, line.size, JSON_ALLOW_NUL, NULL);
        str text = json_text(v ? json_object_get(v, "text") : json_array_get(list, i));
        token_list x = encode(a->t, text, (token_options){0}),
                   y = encode(b->t, text, (token_options){0});
        if (!same(&x, y.id, (size_t)y.n)) {
            print_error("%s and %s differ on <<%.*s>>\n", one, other, (int)text.size, text.data);
            print_ids("first ", x.id, x.n);
            print_ids("second", y.id, y.n);
        }
        assert_true(same(&x, y.id, (size_t)y.n));
        token_list_close(&x);
        token_list_close(&y);
        json_decref(v);
    }
    assert_true(compared > 100);
    file_map_close(&m);
    json_decref(root);
    close_any(a);
    close_any(b);
}

static void test_sources_of_one_model_agree(void **state)
{
    (void)state;
    static const char *const gpt2[] = {"vocab.json", "merges.txt", NULL};
    static const char *const model[] = {"tokenizer.model", NULL};
    char path[64];
    skip_without(FOLDERS);
    make_folder(path, FOLDERS "gpt2", gpt2, "{\"tokenizer_class\": \"GPT2Tokenizer\"}");
    check_agreement(FOLDERS "gpt2", path);
    remove_folder(path, gpt2);
    make_folder(path, FOLDERS "llama2", model, NULL);
    check_agreement(FOLDERS "llama2", path);
    check_agreement(VECTORS "llama-cpp/ggml-vocab-llama-spm.gguf", path);
    remove_folder(path, model);
    if (!file_is_folder("../shared/data/models/stories260k")) return;
    check_agreement("../shared/data/models/stories260k/hf",
                    "../shared/data/models/stories260k/stories260K-f16.gguf");
}

/* ---- our own small tokenizers ---- */

#define GOLDEN "tests/golden/token/"

/* The libraries put a second BOS (EOS) where the text brings one: we never do. */
static json_t *without_doubles(const json_t *list, const tokenizer *t)
{
    json_t *kept = json_array();
    size_t n = json_array_size(list), i;
    const json_t *x;
    int64_t before = -1;
    json_array_foreach(list, i, x)
    {
        int64_t id = json_integer_value(x);
        bool bos = i == 1 && id == before && id == token_bos(t) && token_adds_bos(t);
        bool eos = i + 1 == n && i > 0 && id == before && id == token_eos(t) && !token_adds_bos(t);
        if (token_adds_bos(t) && i + 1 == n && i > 1 && id == before && id == token_eos(t))
            eos = true;
        if (!bos && !eos) json_array_append_new(kept, json_integer(id));
        before = id;
    }
    return kept;
}

static int check_golden(const tokenizer *t, const char *name, const json_t *root)
{
    const json_t *made = json_object_get(json_object_get(root, "tokenizers"), name), *ids;
    bool special = json_is_true(json_object_get(made, "special"));
    token_options o = {.parse_special = special, .add_bos = special, .add_eos = special};
    size_t i;
    int bad = 0;
    json_array_foreach(json_object_get(made, "ids"), i, ids)
    {
        str text = json_text(json_array_get(json_object_get(root, "texts"), i));
        json_t *want = without_doubles(ids, t);
        bad += check_list(t, name, text, want, o);
        json_decref(want);
    }
    assert_true(i >= 60);
    return bad;
}

static void test_golden_folders(void **state)
{
    (void)state;
    json_t *root = load(GOLDEN "cases.json");
    const char *name;
    json_t *made;
    int n = 0;
    json_object_foreach(json_object_get(root, "tokenizers"), name, made)
    {
        char path[400];
        snprintf(path, sizeof path, GOLDEN "%s", name);
        opened *o = open_good(path);
        assert_int_equal(check_golden(o->t, name, root), 0);
        close_any(o);
        n++;
    }
    assert_int_equal(n, 16);
    json_decref(root);
}

/* The same tokenizers as arrays of a GGUF file. */
typedef struct arrays {
    arena memory;
    token_source s;
    tokenizer *t;
} arrays;

static void open_arrays(arrays *x, const char *pre, const json_t *vocab, const json_t *merges)
{
    err e = {0};
    size_t n = json_object_size(vocab), m = json_array_size(merges), i;
    str *token = arena_take(&x->memory, n, sizeof *token, &e);
    str *merge = arena_take(&x->memory, m, sizeof *merge, &e);
    const char *key;
    json_t *id;
    json_object_foreach((json_t *)(uintptr_t)vocab, key, id) token[json_integer_value(id)] =
        str_of(key);
    const json_t *pair;
    json_array_foreach(merges, i, pair)
    {
        char text[400];
        int size = snprintf(text, sizeof text, "%s %s", json_string_value(json_array_get(pair, 0)),
                            json_string_value(json_array_get(pair, 1)));
        merge[i] = str_keep(&x->memory, (str){text, (size_t)size}, &e);
    }
    x->s = (token_source){.model = "gpt2",
                          .pre = pre,
                          .n_token = (int32_t)n,
                          .token = token,
                          .merge = merge,
                          .n_merge = (int32_t)m,
                          .bos = -1,
                          .eos = -1,
                          .unk = -1,
                          .eot = -1,
                          .add_bos = -1,
                          .add_eos = -1,
                          .add_space_prefix = -1};
    x->t = token_open_source(&x->s, "arrays", &x->memory, &e);
    if (!x->t) print_error("%s\n", e.text);
    assert_non_null(x->t);
}

static void test_gguf_names_are_the_published_expressions(void **state)
{
    (void)state;
    static const struct {
        const char *golden, *pre;
    } pairs[] = {{"llama3", "llama-bpe"},
                 {"llama3", "llama3"},
                 {"qwen2", "qwen2"},
                 {"falcon", "falcon"},
                 {"digits", "smollm"}};
    json_t *cases = load(GOLDEN "cases.json");
    for (size_t p = 0; p < countof(pairs); p++) {
        char path[400];
        err e = {0};
        arrays x = {0};
        assert_true(arena_open(&x.memory, (size_t)1 << 30, "arrays", &e));
        snprintf(path, sizeof path, GOLDEN "%s", pairs[p].golden);
        opened *o = open_good(path);
        snprintf(path, sizeof path, GOLDEN "%s/tokenizer.json", pairs[p].golden);
        json_t *root = load(path);
        const json_t *model = json_object_get(root, "model");
        open_arrays(&x, pairs[p].pre, json_object_get(model, "vocab"),
                    json_object_get(model, "merges"));
        size_t i;
        const json_t *text;
        json_array_foreach(json_object_get(cases, "texts"), i, text)
        {
            token_list a = encode(o->t, json_text(text), (token_options){0});
            token_list b = encode(x.t, json_text(text), (token_options){0});
            bool has_added =
                strstr(json_string_value(text), "<t>") || strstr(json_string_value(text), "</t>");
            if (!has_added) assert_true(same(&a, b.id, (size_t)b.n)); /* <t> is only in the JSON */
            token_list_close(&a);
            token_list_close(&b);
        }
        token_close(x.t);
        arena_close(&x.memory);
        close_any(o);
        json_decref(root);
    }
    json_decref(cases);
}

static void open_pieces(arrays *x, const char *name, const char *model, int32_t space)
{
    char path[400];
    err e = {0};
    snprintf(path, sizeof path, GOLDEN "%s/pieces.json", name);
    json_t *root = load(path);
    size_t n = json_array_size(root), i;
    assert_true(arena_open(&x->memory, (size_t)1 << 30, "arrays", &e));
    str *token = arena_take(&x->memory, n, sizeof *token, &e);
    float *score = arena_take(&x->memory, n, sizeof *score, &e);
    int32_t *type = arena_take(&x->memory, n, sizeof *type, &e);
    const json_t *piece;
    json_array_foreach(root, i, piece)
    {
        token[i] = str_keep(&x->memory, json_text(json_array_get(piece, 0)), &e);
        score[i] = (float)json_number_value(json_array_get(piece, 1));
        type[i] = (int32_t)json_integer_value(json_array_get(piece, 2));
    }
    x->s = (token_source){.model = model,
                          .pre = "default",
                          .n_token = (int32_t)n,
                          .token = token,
                          .score = score,
                          .type = type,
                          .bos = 1,
                          .eos = 2,
                          .unk = 0,
                          .eot = -1,
                          .add_bos = 1,
                          .add_eos = 0,
                          .add_space_prefix = space};
    x->t = token_open_source(&x->s, "arrays", &x->memory, &e);
    if (!x->t) print_error("%s\n", e.text);
    assert_non_null(x->t);
    json_decref(root);
}

static void test_pieces_as_arrays(void **state)
{
    (void)state;
    json_t *cases = load(GOLDEN "cases.json");
    arrays x = {0};
    open_pieces(&x, "sp-bpe", "llama", 1);
    const json_t *made = json_object_get(json_object_get(cases, "tokenizers"), "sp-bpe"), *text;
    size_t i, n = 0;
    json_array_foreach(json_object_get(cases, "texts"), i, text)
    {
        str s =
            json_text(text); /* user-defined pieces are matched in the text as given: other rules */
        if (strstr(s.data, "<t>") || strstr(s.data, "word.") || strstr(s.data, "[a]")) continue;
        const json_t *ids = json_array_get(json_object_get(made, "ids"), i);
        assert_int_equal(check_list(x.t, "pieces", s, ids, (token_options){0}), 0);
        n++;
    }
    assert_true(n > 55);
    token_close(x.t);
    arena_close(&x.memory);
    json_decref(cases);
}

/* ---- special tokens, plain ranges, BOS ---- */

static void expect(const tokenizer *t, const char *text, token_options o, const char *want)
{
    token_list got = encode(t, str_of(text), o);
    buf shown = buf_up_to(4096);
    for (int64_t i = 0; i < got.n; i++) {
        str s = token_text(t, got.id[i]);
        buf_printf(&shown, "%s%.*s", i ? " " : "", (int)s.size, s.data);
    }
    assert_string_equal(buf_view(&shown).data, want);
    buf_close(&shown);
    token_list_close(&got);
}

static void test_special_tokens_act_only_where_asked(void **state)
{
    (void)state;
    opened *o = open_good(GOLDEN "llama3");
    token_options parse = {.parse_special = true};
    expect(o->t, "<|user|>a<|end|>", parse, "<|user|> a <|end|>");
    expect(o->t, "<|user|>", (token_options){0}, "< | us er | >");
    int64_t n = 0;
    for (int32_t i = 0; i < token_count(o->t); i++) n += token_is_special(o->t, i);
    assert_int_equal(n, 3);
    /* plain: the second <|end|> and all that touches its range */
    const char text[] = "<|user|>a<|end|>b<|end|>";
    token_range plain[] = {{9, 9}, {20, 21}};
    parse.plain = plain;
    parse.n_plain = 2;
    expect(o->t, text, parse, "<|user|> a <|end|> b < | e nd | >");
    plain[1] = (token_range){0, 1};
    parse.plain = plain + 1;
    parse.n_plain = 1;
    expect(o->t, text, parse, "< | us er | > a <|end|> b <|end|>");
    plain[1] = (token_range){16, 17}; /* touches none */
    expect(o->t, text, parse, "<|user|> a <|end|> b <|end|>");
    close_any(o);
}

static void test_plain_ranges_survive_normalization(void **state)
{
    (void)state;
    opened *o = open_good(GOLDEN "characters"); /* NFKC, lower case; <|END|> is found in that */
    const char text[] =
        "\xEF\xAC\x81 <|END|> x \xEF\xAC\x81 <|End|>"; /* ligatures grow under NFKC */
    token_options parse = {.parse_special = true};
    int32_t end = token_find(o->t, STR("<|END|>"));
    assert_true(end > 0);
    for (int where = 0; where < 4; where++) {
        token_range plain = {where & 1 ? 5 : 30, where & 1 ? 6 : 30};
        token_range both[] = {{4, 11}, {18, 25}};
        parse.plain = where == 3 ? both : &plain;
        parse.n_plain = where == 3 ? 2 : 1;
        if (where == 2) plain = (token_range){19, 20};
        token_list got = encode(o->t, str_of(text), parse);
        int n = 0;
        for (int64_t i = 0; i < got.n; i++) n += got.id[i] == end;
        assert_int_equal(n, where == 0 ? 2 : where == 3 ? 0 : 1);
        token_list_close(&got);
    }
    close_any(o);
}

static void test_never_a_second_bos(void **state)
{
    (void)state;
    opened *o = open_good(GOLDEN "llama3");
    assert_true(token_adds_bos(o->t));
    token_options both = {.parse_special = true, .add_bos = true};
    expect(o->t, "a", both, "<|begin|> a");
    expect(o->t, "<|begin|>a", both, "<|begin|> a");
    expect(o->t, "", both, "<|begin|>");
    expect(o->t, "<|begin|>", both, "<|begin|>");
    expect(o->t, "<|begin|>a", (token_options){.parse_special = true}, "<|begin|> a");
    token_list ids = {0}; /* what was in the list before is left alone */
    err e = {0};
    assert_true(token_encode(o->t, STR("<|begin|>"), both, &ids, &e));
    assert_true(token_encode(o->t, STR("<|begin|>a"), both, &ids, &e));
    assert_int_equal(ids.n, 3);
    token_list_close(&ids);
    close_any(o);
}

static void test_bad_text_is_refused(void **state)
{
    (void)state;
    opened *o = open_good(GOLDEN "llama3");
    static const char *const bad[] = {"ab\xFF",           "\xC0\x80", "\xED\xA0\x80",
                                      "\xF4\x90\x80\x80", "\xE2\x82", "abcdefghij\x80"};
    static const int at[] = {2, 0, 0, 0, 0, 10};
    for (size_t i = 0; i < countof(bad); i++) {
        token_list ids = {0};
        err e = {0};
        char want[80];
        assert_false(token_encode(o->t, str_of(bad[i]), (token_options){0}, &ids, &e));
        assert_int_equal(e.code, ERR_DATA);
        assert_int_equal(ids.n, 0);
        snprintf(want, sizeof want, "not valid UTF-8 at byte %d", at[i]);
        assert_non_null(strstr(e.text, want));
        token_list_close(&ids);
    }
    close_any(o);
}

/* ---- properties ---- */

static size_t random_text(rng *r, char *out, size_t most)
{
    size_t n = 0, want = rng_below(r, most - 8);
    while (n < want) {
        static const int32_t tops[] = {0x80, 0x80, 0x80, 0x800, 0x10000, 0x110000};
        int32_t code = (int32_t)rng_below(r, (uint64_t)tops[rng_below(r, countof(tops))]);
        if (rng_below(r, 4) == 0) code = ' ';
        if (rng_below(r, 6) == 0) code = 0xAC00 + (int32_t)rng_below(r, 11172);
        if (code >= 0xD800 && code < 0xE000) code = 'x';
        if (code < 0x80) out[n++] = (char)code;
        else if (code < 0x800)
            out[n++] = (char)(0xC0 | code >> 6), out[n++] = (char)(0x80 | (code & 63));
        else {
            if (code < 0x10000) out[n++] = (char)(0xE0 | code >> 12);
            else out[n++] = (char)(0xF0 | code >> 18), out[n++] = (char)(0x80 | (code >> 12 & 63));
            out[n++] = (char)(0x80 | (code >> 6 & 63));
            out[n++] = (char)(0x80 | (code & 63));
        }
    }
    return n;
}

static void test_bytes_come_back(void **state)
{
    (void)state;
    static const char *const names[] = {"llama3", "falcon", "digits"};
    for (size_t k = 0; k < countof(names); k++) {
        char path[400], text[600];
        snprintf(path, sizeof path, GOLDEN "%s", names[k]);
        opened *o = open_good(path);
        rng r = rng_for(1, k, 0);
        buf back = buf_up_to(1 << 20);
        for (int i = 0; i < 2000; i++) {
            str s = {text, random_text(&r, text, sizeof text)};
            token_list ids = encode(o->t, s, (token_options){0});
            buf_clear(&back);
            token_decode(o->t, ids.id, ids.n, true, &back);
            assert_true(str_equal(buf_view(&back), s));
            token_list_close(&ids);
        }
        buf_close(&back);
        close_any(o);
    }
}

/* A piece longer than the short path's 40 symbols goes through the heap. Both orders of merging
 * are the same: pieces that repeat a unit whose ids are known by the short path end in a stable
 * pattern, and every text must equal its encoding by plain repeated search, done here. */
static void test_long_words_merge_as_short_ones(void **state)
{
    (void)state;
    opened *o = open_good(GOLDEN "metaspace-never"); /* one word: no cuts but those found safe */
    rng r = rng_for(2, 0, 0);
    json_t *root = load(GOLDEN "metaspace-never/tokenizer.json");
    const json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
    for (int round = 0; round < 60; round++) {
        static const char letters[] = "abcdehilnoprst";
        char text[200];
        size_t n = 41 + rng_below(&r, 150);
        for (size_t i = 0; i < n; i++) text[i] = letters[rng_below(&r, sizeof letters - 1)];
        /* plain search: the first merge of the list that applies anywhere, leftmost, until none
         * does */
        char parts[200][200];
        size_t count = n;
        for (size_t i = 0; i < n; i++) snprintf(parts[i], sizeof parts[i], "%c", text[i]);
        for (size_t m = 0; m < json_array_size(merges); m++) {
            const json_t *pair = json_array_get(merges, m);
            const char *left = json_string_value(json_array_get(pair, 0));
            const char *right = json_string_value(json_array_get(pair, 1));
            for (size_t i = 0; i + 1 < count; i++) {
                if (strcmp(parts[i], left) != 0 || strcmp(parts[i + 1], right) != 0) continue;
                snprintf(parts[i], sizeof parts[i], "%s%s", left, right);
                memmove(parts[i + 1], parts[i + 2], (count - i - 2) * sizeof parts[0]);
                count--;
                m = (size_t)-1; /* from the start of the list */
                break;
            }
        }
        token_list got = encode(o->t, (str){text, n}, (token_options){0});
        assert_int_equal(got.n, count);
        for (size_t i = 0; i < count; i++)
            assert_true(str_is(token_text(o->t, got.id[i]), parts[i]));
        token_list_close(&got);
    }
    json_decref(root);
    close_any(o);
}

static void test_long_words_are_not_quadratic(void **state)
{
    (void)state;
    opened *o = open_good(GOLDEN "llama3");
    size_t n = 4 << 20;
    char *text = malloc(n);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) text[i] = "acehiopst"[i * 2654435761u >> 7 & 7];
    token_list ids = encode(o->t, (str){text, n}, (token_options){0});
    assert_true(ids.n > 1000); /* and it ended: quadratic work would take hours */
    token_list_close(&ids);
    free(text);
    close_any(o);
}

static void test_questions(void **state)
{
    (void)state;
    opened *o = open_good(GOLDEN "llama3"), *other = open_good(GOLDEN "qwen2"),
           *again = open_good(GOLDEN "llama3");
    char a[65], b[65], c[65];
    token_hash(o->t, a);
    token_hash(other->t, b);
    token_hash(again->t, c);
    assert_string_equal(a, c);
    assert_string_not_equal(a, b);
    assert_int_equal(token_find(o->t, STR("nowhere to be found")), -1);
    assert_int_equal(token_find(o->t, STR("<|begin|>")), token_bos(o->t));
    assert_non_null(strstr(token_kind(o->t), "byte-level BPE"));
    int32_t ids[] = {token_bos(o->t), token_find(o->t, STR("a")),
                     token_find(o->t, STR("\xC4\xA0"))};
    buf out = buf_up_to(100);
    token_decode(o->t, ids, 3, false, &out);
    assert_string_equal(out.data, "a ");
    buf_clear(&out);
    token_decode(o->t, ids, 3, true, &out);
    assert_string_equal(out.data, "<|begin|>a ");
    buf_close(&out);
    close_any(o);
    close_any(other);
    close_any(again);
}

/* ---- arrays that a broken GGUF file could give ---- */

static void refused(token_source s, const char *want)
{
    arena a;
    err e = {0};
    assert_true(arena_open(&a, (size_t)1 << 28, "test", &e));
    assert_null(token_open_source(&s, "broken.gguf", &a, &e));
    assert_int_equal(e.code, ERR_MODEL);
    if (!strstr(e.text, want) || strncmp(e.text, "broken.gguf", 11) != 0)
        print_error("%s\n", e.text);
    assert_non_null(strstr(e.text, want));
    arena_close(&a);
}

static void test_broken_arrays(void **state)
{
    (void)state;
    const str token[] = {STR("<unk>"), STR("a"), STR("b"), STR("ab")};
    const str merge[] = {STR("a b")}, bad_merge[] = {STR("ab")}, unknown[] = {STR("a c")};
    const float score[] = {0, -1, -2, -3}, nan_score[] = {0, -1, (float)(0.0 / 0.0), -3};
    const int32_t type[] = {2, 1, 1, 1}, bad_type[] = {2, 1, 9, 1}, byte_type[] = {2, 6, 1, 1};
    const str bad_utf8[] = {STR("<unk>"), STR("a"), STR("\xFF"), STR("ab")};
    token_source bpe = {.model = "gpt2",
                        .pre = "gpt-2",
                        .n_token = 4,
                        .token = token,
                        .n_merge = 1,
                        .merge = merge,
                        .bos = -1,
                        .eos = -1,
                        .unk = -1,
                        .eot = -1,
                        .add_bos = -1,
                        .add_eos = -1,
                        .add_space_prefix = -1};
    token_source sp = bpe, s;
    sp.model = "llama";
    sp.score = score;
    sp.type = type;
    s = bpe, s.pre = "my-own", refused(s, "unknown pre-tokenizer \"my-own\" (known: gpt-2,");
    s = bpe, s.model = "bert", refused(s, "unknown tokenizer \"bert\"");
    s = bpe, s.n_token = 0, refused(s, "a vocabulary of 0 tokens");
    s = bpe, s.n_token = 2000001, refused(s, "a vocabulary of 2000001 tokens");
    s = bpe, s.n_merge = 0, refused(s, "merges: missing");
    s = bpe, s.merge = bad_merge, refused(s, "merge 0 is not two pieces");
    s = bpe, s.merge = unknown, refused(s, "merge 0 joins a right side");
    s = bpe, s.token = bad_utf8, refused(s, "token 2 is not valid UTF-8");
    s = bpe, s.bos = 4, refused(s, "the BOS token is 4, outside");
    s = bpe, s.eos = -7, refused(s, "the EOS token is -7, outside");
    s = bpe, s.add_bos = 1, refused(s, "there is no tokenizer.ggml.bos_token_id");
    s = sp, s.score = NULL, refused(s, "tokenizer.ggml.scores: missing");
    s = sp, s.score = nan_score, refused(s, "the score of token 2 is not a finite number");
    s = sp, s.type = bad_type, refused(s, "token 2 has type 9");
    s = sp, s.type = byte_type, refused(s, "byte token 1 does not read");
}

static void test_broken_files(void **state)
{
    (void)state;
    file_map m = map_file("tests/broken/token/EXPECT");
    str rest = map_text(&m), line;
    int n = 0, bad = 0;
    while (next_line(&rest, &line)) {
        char text[600], path[700];
        assert_true(line.size < sizeof text);
        memcpy(text, line.data, line.size);
        text[line.size] = 0;
        char *code = strchr(text, '\t'), *want = code ? strchr(code + 1, '\t') : NULL;
        assert_non_null(want);
        *code++ = 0;
        *want++ = 0;
        snprintf(path, sizeof path, "tests/broken/token/%s", text);
        err e = {0};
        opened *o = open_any(path, &e);
        bool good = !o->t && (int)e.code == atoi(code) && strstr(e.text, want);
        if (!good)
            print_error("%s: wanted %s <<%s>>, got %d <<%s>>\n", text, code, want, (int)e.code,
                        e.text);
        bad += !good;
        close_any(o);
        n++;
    }
    file_map_close(&m);
    assert_int_equal(bad, 0);
    assert_true(n >= 60);
}

/* ---- memory and threads ---- */

static void test_little_memory_is_an_error(void **state)
{
    (void)state;
    static const char *const names[] = {"llama3", "characters", "unigram-bytes", "sp-bpe",
                                        "vocab-merges"};
    for (size_t k = 0; k < countof(names); k++) {
        char path[400];
        snprintf(path, sizeof path, GOLDEN "%s", names[k]);
        int refusals = 0;
        bool opened_once = false;
        for (size_t bytes = 1 << 12; !opened_once; bytes += bytes / 4) {
            arena a;
            err e = {0};
            assert_true(arena_open(&a, bytes, "test", &e));
            tokenizer *t = token_open_folder(path, &a, &e);
            if (!t) assert_int_equal(e.code, ERR_RESOURCE);
            refusals += !t;
            opened_once = t != NULL;
            token_close(t);
            arena_close(&a);
            assert_true(bytes < 1 << 27);
        }
        assert_true(refusals > 10);
    }
}

typedef struct together {
    const tokenizer *t;
    const json_t *texts;
    token_list *ids; /* one a text and round */
    int64_t n;
} together;

static void encode_one(void *context, int64_t index, int thread)
{
    (void)thread;
    together *x = context;
    err e = {0};
    str text = json_text(json_array_get(x->texts, (size_t)(index % x->n)));
    if (!token_encode(x->t, text, (token_options){.parse_special = true}, &x->ids[index], &e))
        abort();
}

static void test_threads_share_a_tokenizer(void **state)
{
    (void)state;
    static const char *const names[] = {"qwen2", "characters", "unigram-bytes", "sp-bpe"};
    json_t *root = load(GOLDEN "cases.json");
    err e = {0};
    pool *p = pool_open(4, &e);
    assert_non_null(p);
    for (size_t k = 0; k < countof(names); k++) {
        char path[400];
        snprintf(path, sizeof path, GOLDEN "%s", names[k]);
        opened *o = open_good(path);
        together x = {.t = o->t, .texts = json_object_get(root, "texts")};
        x.n = (int64_t)json_array_size(x.texts);
        int64_t all = 20 * x.n;
        x.ids = calloc((size_t)all, sizeof *x.ids);
        pool_run(p, all, encode_one, &x);
        for (int64_t i = 0; i < all; i++) {
            assert_true(same(&x.ids[i], x.ids[i % x.n].id, (size_t)x.ids[i % x.n].n));
            if (i >= x.n) token_list_close(&x.ids[i]);
        }
        for (int64_t i = 0; i < x.n; i++) {
            token_list alone = encode(o->t, json_text(json_array_get(x.texts, (size_t)i)),
                                      (token_options){.parse_special = true});
            assert_true(same(&alone, x.ids[i].id, (size_t)x.ids[i].n));
            token_list_close(&alone);
            token_list_close(&x.ids[i]);
        }
        free(x.ids);
        close_any(o);
    }
    pool_close(p);
    json_decref(root);
}

/* Expected: what Python 3.11 makes of the same bytes by decode("utf-8", "replace"). */
static void test_mended_text(void **state)
{
    (void)state;
    static const struct {
        str broken;
        const char *mended;
    } cases[] = {
        {STR("\xEA\xB0"), "\xEF\xBF\xBD"},
        {STR("\xEA\xB0\x80\xEA"), "\xEA\xB0\x80\xEF\xBF\xBD"},
        {STR("\x61\xF0\x9F\x98\x62"), "\x61\xEF\xBF\xBD\x62"},
        {STR("\xC3"), "\xEF\xBF\xBD"},
        {STR("\xFF\xFE"), "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {STR("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {STR("\xE0\x80\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {STR("\xF4\x90\x80\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {STR("\x80\x80\x78"), "\xEF\xBF\xBD\xEF\xBF\xBD\x78"},
        {STR("\xF0\x9F\xC3\xA9"), "\xEF\xBF\xBD\xC3\xA9"},
        {STR("\xC3\xC3\xA9"), "\xEF\xBF\xBD\xC3\xA9"},
        {STR("\xF5\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {STR("\x6F\x6B"), "\x6F\x6B"},
        {STR("\xE2\x82"), "\xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        buf out = buf_up_to(100);
        utf8_mend(cases[i].broken, &out);
        if (!str_is(buf_view(&out), cases[i].mended)) fail_msg("case %zu", i);
        assert_int_equal(utf8_check(buf_view(&out)), -1);
        buf_close(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mended_text),
        cmocka_unit_test(test_llama_cpp_vectors),
        cmocka_unit_test(test_vocabulary_only_gguf),
        cmocka_unit_test(test_clinical_korean),
        cmocka_unit_test(test_transformers_js),
        cmocka_unit_test(test_reference_ids),
        cmocka_unit_test(test_sources_of_one_model_agree),
        cmocka_unit_test(test_golden_folders),
        cmocka_unit_test(test_gguf_names_are_the_published_expressions),
        cmocka_unit_test(test_pieces_as_arrays),
        cmocka_unit_test(test_special_tokens_act_only_where_asked),
        cmocka_unit_test(test_plain_ranges_survive_normalization),
        cmocka_unit_test(test_never_a_second_bos),
        cmocka_unit_test(test_bad_text_is_refused),
        cmocka_unit_test(test_bytes_come_back),
        cmocka_unit_test(test_long_words_merge_as_short_ones),
        cmocka_unit_test(test_long_words_are_not_quadratic),
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_broken_arrays),
        cmocka_unit_test(test_broken_files),
        cmocka_unit_test(test_little_memory_is_an_error),
        cmocka_unit_test(test_threads_share_a_tokenizer),
    };
    return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
