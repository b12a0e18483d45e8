/* Tiny random models of every family against transformers in float32 (tests/golden/models, made by
 * tools/golden/make_models.py): each prompt's log-probability token by token, the ten likeliest
 * tokens after it, and answers, from a Hugging Face folder and from GGUF files of several number
 * formats, on every device of this machine, within each device's bound. */
#include "compute/device.h"
#include "model/place.h"
#include "model/session.h"
#include "tiny.h" /* beside this file */

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_TOP = 10, LENGTH_MAX = 256 };

typedef struct opened { /* a model on a device */
    arena memory;
    model_header header;
    model model;
    pool *threads;
    backend backend;
    size_t placed; /* bytes that the weights take on a device with memory of its own */
    double bound, worst;
} opened;

static const struct {
    const char *name;
    double bound;
} devices[] = {{"ref", 1e-4},        {"cpu", 1e-3},         {"cpu:avx2", 1e-3},
               {"cpu:avx512", 1e-3}, {"cpu:int16", 2e-3},   {"cpu:avx2:int16", 2e-3},
               {"cuda:fp32", 1e-3},  {"cuda:bf16x3", 2e-3}, {"cuda", 0.2}};

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    (void)s;
    (void)kind;
    (void)where;
    return remove(path);
}

/* false: this machine has no such device. */
static bool open_model(opened *o, const char *path, size_t d)
{
    err e = {0};
    *o = (opened){.bound = devices[d].bound};
    o->threads = pool_open(1, &e);
    assert_non_null(o->threads);
    if (!backend_open(&o->backend, devices[d].name, o->threads, &e)) {
        assert_int_equal(e.code, ERR_RESOURCE);
        pool_close(o->threads);
        return false;
    }
    assert_true(arena_open(&o->memory, (size_t)1 << 32, "test", &e));
    if (!model_peek(&o->header, path, &o->memory, &e)) fail_msg("%s", e.text);
    o->model = (model){.header = &o->header, .config = &o->header.config};
    if (!model_bind(&o->model.weights, &o->header, &o->memory, &e)) fail_msg("%s", e.text);
    if (!device_reserve(&o->backend, (size_t)512 << 20, &e)) fail_msg("%s", e.text);
    if (!model_place(&o->model, &o->backend, &e)) fail_msg("%s", e.text);
    o->placed = device_used(&o->backend);
    return true;
}

static void drop_session(opened *o, size_t mark)
{
    arena_reset(&o->memory, mark);
    if (device_is_apart(&o->backend)) arena_reset(&o->backend.memory, o->placed);
}

static void close_model(opened *o)
{
    backend_close(&o->backend);
    model_close_header(&o->header);
    arena_close(&o->memory);
    pool_close(o->threads);
}

static void compare(opened *o, double got, double want, const char *what, int64_t at)
{
    double off = fabs(got - want);
    if (!(off <= o->bound)) {
        fail_msg("%s, %s, %s at %lld: %.7f, should be %.7f", o->header.path, o->backend.ops->name,
                 what, (long long)at, got, want);
    }
    if (off > o->worst) o->worst = off;
}

/* Forwards `id` in two steps of `first` and n - first rows (first = n: one), reading every row;
 * next[i] becomes the log-probability of id[i + 1], and the session's last answer is that of the
 * last row. */
static void forward(opened *o, session *s, const int32_t *id, int32_t n, int32_t first,
                    double *next)
{
    int32_t position[LENGTH_MAX], out_row[LENGTH_MAX], pick_id[LENGTH_MAX];
    int64_t pick_start[LENGTH_MAX + 1];
    assert_true(n <= LENGTH_MAX && first >= 1 && first <= n);
    for (int32_t i = 0; i < n; i++) position[i] = i;
    for (int32_t from = 0, to = first; from < n; from = to, to = n) {
        int32_t rows = to - from;
        attend_range range[2] = {{.slot = 0, .count = from, .position = 0},
                                 {.slot = from, .count = rows, .position = from}};
        attend_span span = {.row = 0,
                            .count = rows,
                            .position = from,
                            .first_range = 0,
                            .n_range = from > 0 ? 2 : 1};
        for (int32_t i = 0; i < rows; i++) {
            out_row[i] = i;
            pick_start[i] = i;
            pick_id[i] = from + i + 1 < n ? id[from + i + 1] : 0;
        }
        pick_start[rows] = rows;
        session_forward(s, &(step){.n_row = rows,
                                   .first_slot = from,
                                   .id = id + from,
                                   .position = position + from,
                                   .span = &span,
                                   .range = from > 0 ? range : range + 1,
                                   .n_span = 1,
                                   .out_row = out_row,
                                   .n_out = rows,
                                   .pick_start = pick_start,
                                   .pick_id = pick_id,
                                   .n_top = N_TOP});
        err e = {0};
        assert_true(backend_sync(&o->backend, &e));
        for (int32_t i = 0; i < rows; i++)
            next[from + i] = (double)s->got.pick_logit[i] - s->got.log_sum_exp[i];
    }
}

static int32_t read_ids(json_t *list, int32_t *id, int32_t n)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v) id[n++] = (int32_t)json_integer_value(v);
    return n;
}

static session lay_out(opened *o, int32_t n)
{
    session s;
    err e = {0};
    session_shape shape = {
        .rows = n, .slots = n, .positions = n, .out_rows = n, .picks = n, .n_top = N_TOP};
    if (!session_lay_out(&s, &o->model, &o->backend, shape, &o->memory, &e)) fail_msg("%s", e.text);
    return s;
}

static void check_top(opened *o, const session *s, int32_t row, json_t *one)
{
    json_t *ids = json_object_get(one, "top_ids"), *values = json_object_get(one, "top_logprob");
    for (int32_t i = 0; i < N_TOP; i++) {
        double want = json_number_value(json_array_get(values, (size_t)i));
        double got = (double)s->got.top_logit[row * N_TOP + i] - s->got.log_sum_exp[row];
        compare(o, got, want, "likeliest tokens", i);
        double below =
            i + 1 < N_TOP ? json_number_value(json_array_get(values, (size_t)i + 1)) : -1e9;
        double above = i > 0 ? json_number_value(json_array_get(values, (size_t)i - 1)) : 1e9;
        if (above - want < 2 * o->bound || want - below < 2 * o->bound) continue; /* a near tie */
        if (i + 1 == N_TOP) continue; /* the eleventh is not recorded */
        assert_int_equal(s->got.top_id[row * N_TOP + i],
                         json_integer_value(json_array_get(ids, (size_t)i)));
    }
}

static void check_case(opened *o, json_t *one, int32_t split)
{
    int32_t id[LENGTH_MAX], n = read_ids(json_object_get(one, "ids"), id, 0);
    double next[LENGTH_MAX];
    size_t mark = arena_mark(&o->memory);
    session s = lay_out(o, n);
    int32_t first = split > 0 && split < n ? split : n;
    forward(o, &s, id, n, first, next);
    json_t *want = json_object_get(one, "next_logprob");
    assert_int_equal(json_array_size(want), n - 1);
    for (int32_t i = 0; i + 1 < n; i++) {
        compare(o, next[i], json_number_value(json_array_get(want, (size_t)i)),
                json_string_value(json_object_get(one, "id")), i);
    }
    check_top(o, &s, n - first > 0 ? n - first - 1 : n - 1, one);
    drop_session(o, mark);
}

/* The prompt that is a text: its ids by the model's own tokenizer, its answers. */
static void check_text(opened *o, json_t *one)
{
    const char *text = json_string_value(json_object_get(one, "text"));
    token_list ids = {0};
    err e = {0};
    if (!token_encode(o->header.tokens, str_of(text),
                      (token_options){.parse_special = true, .add_bos = true}, &ids, &e))
        fail_msg("%s", e.text);
    int32_t id[LENGTH_MAX], n = read_ids(json_object_get(one, "ids"), id, 0);
    assert_int_equal(ids.n, n);
    for (int32_t i = 0; i < n; i++) assert_int_equal(ids.id[i], id[i]);
    token_list_close(&ids);
    const char *answer;
    json_t *about;
    json_object_foreach(json_object_get(one, "answers"), answer, about)
    {
        int32_t all = read_ids(json_object_get(about, "ids"), id, n);
        double next[LENGTH_MAX], sum = 0;
        size_t mark = arena_mark(&o->memory);
        session s = lay_out(o, all);
        forward(o, &s, id, all, n, next);
        for (int32_t i = n - 1; i + 1 < all; i++) sum += next[i];
        compare(o, sum, json_number_value(json_object_get(about, "logprob")), answer, 0);
        drop_session(o, mark);
    }
}

/* `length_max`: cases up to this length (a GGUF file that cannot say the family's window). */
static void check_model(const tiny_model *t, const char *path, int32_t length_max)
{
    for (size_t d = 0; d < countof(devices); d++) {
        opened o;
        if (!open_model(&o, path, d)) continue;
        json_t *one;
        size_t i;
        json_array_foreach(json_object_get(t->reference, "cases"), i, one)
        {
            if ((int32_t)json_array_size(json_object_get(one, "ids")) > length_max) continue;
            check_case(&o, one, 0);
            check_case(&o, one, 21); /* in two segments, neither a whole block of keys */
            if (json_object_get(one, "text")) check_text(&o, one);
        }
        close_model(&o);
    }
}

static void check_gguf(const tiny_model *t, const char *folder, dtype type)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s.gguf", folder, dtype_get(type)->name);
    tiny_write_gguf(t, path, type);
    const char *form = json_string_value(json_object_get(t->reference, "gguf"));
    check_model(t, path,
                strcmp(form, "window") == 0 ? (int32_t)tiny_number(t, "sliding_window", 0)
                                            : LENGTH_MAX);
}

static void check_family(const char *name)
{
    char folder[] = "/tmp/caseload-golden-XXXXXX", path[200];
    tiny_model t;
    if (!tiny_open(&t, name))
        fail_msg(TINY_FOLDER "/%s cannot be read: run from the repository's root", name);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/hf", folder);
    tiny_write_folder(&t, path, 0);
    check_model(&t, path, LENGTH_MAX);
    if (json_string_length(json_object_get(t.reference, "gguf")) > 0) {
        check_gguf(&t, folder, DTYPE_F32);
        static const dtype coarse[] = {DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q4_1};
        for (size_t i = 0; i < countof(coarse) && t.bits <= 8; i++) {
            if (t.bits <= 4 || coarse[i] < DTYPE_Q4_0 || coarse[i] == DTYPE_Q8_0)
                check_gguf(&t, folder, coarse[i]);
        }
    }
    tiny_close(&t);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_family(void **state) { check_family(*state); }

/* Shards or one file: the same bits. */
static void test_shards_change_nothing(void **state)
{
    (void)state;
    char folder[] = "/tmp/caseload-golden-XXXXXX", path[2][200];
    tiny_model t;
    assert_true(tiny_open(&t, "smollm2"));
    assert_non_null(mkdtemp(folder));
    int32_t id[LENGTH_MAX], n = 0;
    double next[2][LENGTH_MAX];
    for (int k = 0; k < 2; k++) {
        snprintf(path[k], sizeof path[k], "%s/%d", folder, k);
        tiny_write_folder(&t, path[k], k == 0 ? 1 : 4);
        opened o;
        assert_true(open_model(&o, path[k], 0));
        json_t *one = json_array_get(json_object_get(t.reference, "cases"), 2);
        n = read_ids(json_object_get(one, "ids"), id, 0);
        session s = lay_out(&o, n);
        forward(&o, &s, id, n, n, next[k]);
        close_model(&o);
    }
    assert_memory_equal(next[0], next[1], (size_t)(n - 1) * sizeof(double));
    tiny_close(&t);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* `t_golden write VARIANT PATH` only writes the tiny model, a folder or (PATH ends in .gguf) a GGUF
 * file: for tests/cli. */
static int write_model(const char *name, const char *path)
{
    tiny_model t;
    if (!tiny_open(&t, name)) return 1;
    if (str_ends(str_of(path), ".gguf")) tiny_write_gguf(&t, path, DTYPE_F32);
    else tiny_write_folder(&t, path, 0);
    tiny_close(&t);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "write") == 0) return write_model(argv[2], argv[3]);
    static char llama2[] = "llama2", llama31[] = "llama3.1", llama31_v5[] = "llama3.1-v5",
                coarse[] = "llama-coarse";
    static char mistral[] = "mistral", qwen2[] = "qwen2", qwen2_bf16[] = "qwen2-bf16",
                qwen3[] = "qwen3";
    static char gemma[] = "gemma", gemma2[] = "gemma2", gemma2_scaled[] = "gemma2-scaled",
                gemma3[] = "gemma3";
    static char gemma3_linear[] = "gemma3-linear", gemma3_v5[] = "gemma3-linear-v5",
                phi3[] = "phi3";
    static char longrope[] = "phi3-longrope", partial[] = "phi3-partial", smollm2[] = "smollm2";
    char *const name[] = {llama2,        llama31,   llama31_v5, coarse,   mistral,       qwen2,
                          qwen2_bf16,    qwen3,     gemma,      gemma2,   gemma2_scaled, gemma3,
                          gemma3_linear, gemma3_v5, phi3,       longrope, partial,       smollm2};
    struct CMUnitTest tests[countof(name) + 1];
    for (size_t i = 0; i < countof(name); i++) {
        tests[i] = (struct CMUnitTest){.name = name[i],
                                       .test_func = test_family,
                                       .initial_state = name[i]};
    }
    tests[countof(name)] = (struct CMUnitTest)cmocka_unit_test(test_shards_change_nothing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
