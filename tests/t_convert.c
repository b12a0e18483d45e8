/* Conversion on tiny models of every family: folder -> GGUF -> folder gives the same weights and
 * the same scores, bit for bit; bytes do not depend on threads; what stands in the way is said and
 * nothing half-written is left. */
#include "base/rng.h"
#include "model/adapter_files.h"
#include "model/convert.h"
#include "model/session.h"
#include "tiny.h" /* beside this file */

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { LENGTH = 40 };

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    (void)s;
    (void)kind;
    (void)where;
    return remove(path);
}

typedef struct opened {
    arena memory;
    model_header header;
    model model;
    pool *threads;
    backend backend;
} opened;

static void open_model(opened *o, const char *path)
{
    err e = {0};
    *o = (opened){.threads = pool_open(2, &e)};
    assert_true(backend_open(&o->backend, "cpu", o->threads, &e));
    assert_true(arena_open(&o->memory, (size_t)1 << 32, "test", &e));
    if (!model_peek(&o->header, path, &o->memory, &e)) fail_msg("%s", e.text);
    o->model = (model){.header = &o->header, .config = &o->header.config};
    if (!model_bind(&o->model.weights, &o->header, &o->memory, &e)) fail_msg("%s", e.text);
}

static void close_model(opened *o)
{
    model_close_header(&o->header);
    arena_close(&o->memory);
    pool_close(o->threads);
}

/* next[i]: log-probability of token i + 1 of a fixed run of ids; `adapter` (NULL: none) beside. */
static void score_with(const char *path, const char *adapter, double next[LENGTH])
{
    opened o;
    session s;
    lora l;
    err e = {0};
    open_model(&o, path);
    if (adapter && !adapter_read(&l, adapter, &o.header.config, &o.memory, &e))
        fail_msg("%s", e.text);
    int32_t id[LENGTH], position[LENGTH], out_row[LENGTH], pick_id[LENGTH];
    int64_t pick_start[LENGTH + 1];
    for (int32_t i = 0; i < LENGTH; i++) {
        id[i] = (7 * i + 5) % 200;
        position[i] = out_row[i] = i;
        pick_start[i] = i;
        pick_id[i] = (7 * (i + 1) + 5) % 200;
    }
    pick_start[LENGTH] = LENGTH;
    session_shape shape = {.rows = LENGTH,
                           .slots = LENGTH,
                           .positions = LENGTH,
                           .out_rows = LENGTH,
                           .picks = LENGTH,
                           .n_top = 1};
    if (adapter) shape.adapter_rank = l.config.rank;
    assert_true(session_lay_out(&s, &o.model, &o.backend, shape, &o.memory, &e));
    if (adapter) s.adapter = &l;
    attend_range range = {.count = LENGTH};
    attend_span span = {.count = LENGTH, .n_range = 1};
    session_forward(&s, &(step){.n_row = LENGTH,
                                .id = id,
                                .position = position,
                                .span = &span,
                                .range = &range,
                                .n_span = 1,
                                .out_row = out_row,
                                .n_out = LENGTH,
                                .pick_start = pick_start,
                                .pick_id = pick_id,
                                .n_top = 1});
    for (int32_t i = 0; i < LENGTH; i++)
        next[i] = (double)s.got.pick_logit[i] - s.got.log_sum_exp[i];
    close_model(&o);
}

static void score(const char *path, double next[LENGTH]) { score_with(path, NULL, next); }

static bool convert(const char *from, const char *to, const char *type, int threads, err *e)
{
    buf report = buf_up_to(1 << 20);
    convert_options o = {.model = from, .out = to, .type = type, .threads = pool_open(threads, e)};
    bool ok = convert_model(&o, &report, e);
    if (ok) assert_true(report.size > 0);
    pool_close(o.threads);
    buf_close(&report);
    return ok;
}

static void must_convert(const char *from, const char *to, const char *type)
{
    err e = {0};
    if (!convert(from, to, type, 2, &e)) fail_msg("%s", e.text);
}

/* Every tensor of `a` is in `b` with the same values. */
static void assert_same_weights(const char *a, const char *b)
{
    opened x, y;
    open_model(&x, a);
    open_model(&y, b);
    assert_int_equal(x.header.n_tensor, y.header.n_tensor);
    for (int32_t i = 0; i < x.header.n_tensor; i++) {
        const tensor_entry *p = &x.header.tensor[i];
        const tensor_entry *q = model_find_tensor(&y.header, p->name.data);
        assert_non_null(q);
        int64_t n = tensor_count(&p->view);
        assert_int_equal(n, tensor_count(&q->view));
        float *u = test_malloc((size_t)n * sizeof *u), *v = test_malloc((size_t)n * sizeof *v);
        dtype_to_f32(p->view.type, u, p->view.data, n);
        dtype_to_f32(q->view.type, v, q->view.data, n);
        if (memcmp(u, v, (size_t)n * sizeof *u)) fail_msg("%s differs", p->name.data);
        test_free(u);
        test_free(v);
    }
    close_model(&x);
    close_model(&y);
}

static void assert_same_tokens(const char *a, const char *b)
{
    static const char *const texts[] = {"The patient has fever.", "열이 났다", "  a  b\n\n1234",
                                        "<|im_start|>user\nx<|im_end|>"};
    opened x, y;
    open_model(&x, a);
    open_model(&y, b);
    for (size_t i = 0; i < countof(texts); i++) {
        token_list p = {0}, q = {0};
        err e = {0};
        const token_options o = {.parse_special = true, .add_bos = true};
        assert_true(token_encode(x.header.tokens, str_of(texts[i]), o, &p, &e));
        assert_true(token_encode(y.header.tokens, str_of(texts[i]), o, &q, &e));
        assert_int_equal(p.n, q.n);
        assert_memory_equal(p.id, q.id, (size_t)p.n * sizeof *p.id);
        token_list_close(&p);
        token_list_close(&q);
    }
    assert_int_equal(x.header.chat_template.size, y.header.chat_template.size);
    close_model(&x);
    close_model(&y);
}

static void test_family(void **state)
{
    char folder[] = "/tmp/caseload-convert-XXXXXX", path[4][200];
    tiny_model t;
    if (!tiny_open(&t, *state)) fail_msg("%s cannot be read", (char *)*state);
    assert_non_null(mkdtemp(folder));
    static const char *const names[] = {"hf", "x.gguf", "back", "again.gguf"};
    for (int i = 0; i < 4; i++) snprintf(path[i], sizeof path[i], "%s/%s", folder, names[i]);
    tiny_write_folder(&t, path[0], 0);
    must_convert(path[0], path[1], "f32");
    must_convert(path[1], path[2], NULL);
    must_convert(path[2], path[3], NULL);
    assert_same_weights(path[0], path[2]);
    assert_same_tokens(path[0], path[1]);
    assert_same_tokens(path[0], path[2]);
    double want[LENGTH], gguf[LENGTH], got[LENGTH], again[LENGTH];
    score(path[0], want);
    score(path[1], gguf);
    score(path[2], got);
    score(path[3], again);
    assert_memory_equal(want, got, sizeof want);
    assert_memory_equal(gguf, again, sizeof gguf);
    for (int i = 0; i < LENGTH; i++) { /* pairs are summed in another order than halves */
        if (!(fabs(want[i] - gguf[i]) < 1e-4)) fail_msg("%g, %g", want[i], gguf[i]);
    }
    tiny_close(&t);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static buf read_file(const char *path)
{
    buf b = buf_up_to(1 << 28);
    file_map m;
    err e = {0};
    if (!file_map_open(&m, path, ERR_DATA, &e)) fail_msg("%s", e.text);
    buf_add(&b, m.data, m.size);
    file_map_close(&m);
    return b;
}

static void test_types(void **state)
{
    (void)state;
    static const char *const types[] = {"f32",  "f16",  "bf16", "q8_0", "q6_k",
                                        "q5_k", "q4_k", "q4_1", "q4_0"};
    static const double bounds[] = {0, 0.01, 0.08, 0.2, 0.2, 1.5, 1.5, 2, 2};
    char folder[] = "/tmp/caseload-convert-XXXXXX", from[200], path[2][200];
    tiny_model t;
    assert_true(tiny_open(&t, "qwen2"));
    assert_non_null(mkdtemp(folder));
    snprintf(from, sizeof from, "%s/hf", folder);
    tiny_write_folder(&t, from, 0);
    double want[LENGTH], got[LENGTH];
    score(from, want);
    for (size_t i = 0; i < countof(types); i++) {
        for (int k = 0; k < 2; k++) {
            err e = {0};
            snprintf(path[k], sizeof path[k], "%s/%s-%d.gguf", folder, types[i], k);
            if (!convert(from, path[k], types[i], k ? 1 : 3, &e)) fail_msg("%s", e.text);
        }
        buf a = read_file(path[0]), b = read_file(path[1]);
        assert_int_equal(a.size, b.size);
        assert_memory_equal(a.data, b.data, a.size); /* for any number of threads */
        buf_close(&a);
        buf_close(&b);
        score(path[0], got);
        double worst = 0;
        for (int k = 0; k < LENGTH; k++) worst = fmax(worst, fabs(got[k] - want[k]));
        print_message("%s: worst difference of a log-probability %.4f\n", types[i], worst);
        assert_true(worst <= bounds[i]);
    }
    tiny_close(&t);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void make_adapter(const char *model, const char *folder)
{
    opened o;
    lora l;
    err e = {0};
    open_model(&o, model);
    assert_true(
        lora_lay_out(&l, &o.header.config, (lora_config){.rank = 4, .alpha = 8}, &o.memory, &e));
    rng r = rng_for(7, 7, 7);
    for (int64_t i = 0; i < l.n_value; i++) l.value[i] = (float)(0.2 * (rng_unit(&r) - 0.5));
    assert_true(adapter_write(&l, folder, &(adapter_about){.base = "x"}, &e));
    close_model(&o);
}

/* A merged model scores as the adapter beside the model does, in both containers. */
static void test_merge(void **state)
{
    (void)state;
    static const char *const families[] = {"llama2", "phi3", "gemma3", "qwen2", "mistral"};
    for (size_t f = 0; f < countof(families); f++) {
        char folder[] = "/tmp/caseload-convert-XXXXXX", from[200], adapter[200], out[200];
        tiny_model t;
        assert_true(tiny_open(&t, families[f]));
        assert_non_null(mkdtemp(folder));
        snprintf(from, sizeof from, "%s/hf", folder);
        snprintf(adapter, sizeof adapter, "%s/adapter", folder);
        tiny_write_folder(&t, from, 0);
        make_adapter(from, adapter);
        double plain[LENGTH], beside[LENGTH], merged[LENGTH];
        score(from, plain);
        score_with(from, adapter, beside);
        static const char *const names[] = {"merged", "merged.gguf"};
        for (int k = 0; k < 2; k++) {
            err e = {0};
            buf report = buf_up_to(1 << 20);
            snprintf(out, sizeof out, "%s/%s", folder, names[k]);
            convert_options o = {.model = from, .adapter = adapter, .out = out, .type = "f32"};
            o.threads = pool_open(2, &e);
            if (!convert_model(&o, &report, &e)) fail_msg("%s", e.text);
            pool_close(o.threads);
            buf_close(&report);
            score(out, merged);
            double effect = 0, off = 0;
            for (int i = 0; i < LENGTH; i++) {
                effect = fmax(effect, fabs(beside[i] - plain[i]));
                off = fmax(off, fabs(beside[i] - merged[i]));
            }
            print_message("%s: effect %.3f, merged off by %.1e\n", families[f], effect, off);
            assert_true(effect > 0.05 && off < 1e-4);
        }
        tiny_close(&t);
        nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    }
}

static bool never(void *context, int64_t done, int64_t all)
{
    (void)context;
    (void)done;
    (void)all;
    return false;
}

static void assert_absent(const char *path)
{
    char part[300];
    snprintf(part, sizeof part, "%s.part", path);
    assert_false(file_exists(path));
    assert_false(file_exists(part));
}

static void test_refusals(void **state)
{
    (void)state;
    char folder[] = "/tmp/caseload-convert-XXXXXX", from[200], gguf[200], out[200];
    tiny_model t;
    assert_true(tiny_open(&t, "llama2"));
    assert_non_null(mkdtemp(folder));
    snprintf(from, sizeof from, "%s/hf", folder);
    snprintf(gguf, sizeof gguf, "%s/x.gguf", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    tiny_write_folder(&t, from, 0);
    must_convert(from, gguf, NULL);
    const struct {
        const char *from, *to, *type, *says;
        err_code code;
    } rows[] = {
        {from, gguf, NULL, "--force", ERR_USAGE},
        {from, from, NULL, "--force", ERR_USAGE},
        {from, out, "q4_k", "not for a folder", ERR_USAGE},
        {from, out, "q3", "unknown number type", ERR_USAGE},
        {from, "/nowhere/at/all.gguf", NULL, "cannot write", ERR_RESOURCE},
        {"/nowhere", out, NULL, "cannot open", ERR_MODEL},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        err e = {0};
        assert_false(convert(rows[i].from, rows[i].to, rows[i].type, 1, &e));
        assert_int_equal(e.code, rows[i].code);
        if (!strstr(e.text, rows[i].says)) fail_msg("%s", e.text);
    }
    assert_absent(out);
    static const char *const ends[] = {"/out", "/out.gguf"};
    for (int i = 0; i < 2; i++) { /* stopped: nothing is left */
        err e = {0};
        buf report = buf_up_to(1 << 20);
        snprintf(out, sizeof out, "%s%s", folder, ends[i]);
        convert_options o = {.model = from, .out = out, .progress = never};
        o.threads = pool_open(1, &e);
        assert_false(convert_model(&o, &report, &e));
        assert_int_equal(e.code, ERR_STOPPED);
        pool_close(o.threads);
        buf_close(&report);
        assert_absent(out);
    }
    tiny_close(&t);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_force_replaces(void **state)
{
    (void)state;
    char folder[] = "/tmp/caseload-convert-XXXXXX", from[200], out[200];
    tiny_model t;
    assert_true(tiny_open(&t, "qwen3"));
    assert_non_null(mkdtemp(folder));
    snprintf(from, sizeof from, "%s/hf", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    tiny_write_folder(&t, from, 0);
    must_convert(from, out, "f16");
    for (int k = 0; k < 2; k++) {
        err e = {0};
        buf report = buf_up_to(1 << 20);
        convert_options o = {.model = from, .out = out, .force = k == 1};
        o.threads = pool_open(1, &e);
        assert_int_equal(convert_model(&o, &report, &e), k == 1);
        pool_close(o.threads);
        buf_close(&report);
    }
    assert_same_weights(from, out);
    tiny_close(&t);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* `t_convert adapter MODEL FOLDER` writes a random adapter of the model: for tests/cli. */
int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "adapter") == 0) {
        make_adapter(argv[2], argv[3]);
        return 0;
    }
    static char names[][20] = {"llama2",        "llama3.1",        "llama3.1-v5",   "mistral",
                               "qwen2",         "qwen3",           "gemma",         "gemma2",
                               "gemma2-scaled", "gemma3",          "gemma3-linear", "phi3",
                               "phi3-longrope", "phi3-partial",    "smollm2",       "llama-coarse",
                               "qwen2-bf16",    "gemma3-linear-v5"};
    struct CMUnitTest tests[countof(names) + 4];
    for (size_t i = 0; i < countof(names); i++) {
        tests[i] = (struct CMUnitTest){.name = names[i],
                                       .test_func = test_family,
                                       .initial_state = names[i]};
    }
    tests[countof(names)] = (struct CMUnitTest)cmocka_unit_test(test_types);
    tests[countof(names) + 1] = (struct CMUnitTest)cmocka_unit_test(test_refusals);
    tests[countof(names) + 2] = (struct CMUnitTest)cmocka_unit_test(test_force_replaces);
    tests[countof(names) + 3] = (struct CMUnitTest)cmocka_unit_test(test_merge);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
