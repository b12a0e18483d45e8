/* Tests of src/text/token*.c.
 *
 * With ../shared/data (skipped with a line where absent): tokenizer-vectors, every text exact, from
 * folders (tokenizer.json, tokenizer.model, vocab.json + merges.txt, ranks) and from vocabulary-only GGUF
 * files; with models/ too: the ids of models/reference. Without: our own small tokenizers of each kind
 * (tests/golden/token, made by tools/golden/make_tokenizers.py), broken inputs (tests/broken/token), and
 * properties.
 */
#include "base/file.h"
#include "base/rng.h"
#include "model/files.h"
#include "text/token.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama_cpp_vectors), cmocka_unit_test(test_vocabulary_only_gguf),
        cmocka_unit_test(test_clinical_korean),   cmocka_unit_test(test_transformers_js),
        cmocka_unit_test(test_reference_ids),
    };
    return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
