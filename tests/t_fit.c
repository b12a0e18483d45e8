/* Tests of study/fit: the estimate is the allocation, to the byte, for every family and task; more
 * never costs less; parts add up; splits cover the model; what does not fit is said to. */
#include "study/fit_open.h"
#include "tiny.h"
#include "view/fit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const families[] = {
    "llama2", "llama3.1", "smollm2", "mistral", "qwen2",         "qwen3",
    "gemma",  "gemma2",   "gemma3",  "phi3",    "phi3-longrope",
};

typedef struct bench {
    arena a;
    err e;
    pool *threads;
    char folder[64];
} bench;

static int set_up(void **state)
{
    bench *b = calloc(1, sizeof *b);
    if (!b || !arena_open(&b->a, (size_t)4 << 30, "test", &b->e)) return -1;
    b->threads = pool_open(2, &b->e);
    snprintf(b->folder, sizeof b->folder, "/tmp/t_fit_XXXXXX");
    *state = b;
    return b->threads && mkdtemp(b->folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    bench *b = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", b->folder);
    int failed = system(command);
    pool_close(b->threads);
    arena_close(&b->a);
    free(b);
    return failed;
}

static void check_parts(const fit_bytes *b)
{
    assert_true(b->weights >= 0 && b->kv >= 0 && b->activations >= 0 && b->optimiser >= 0 &&
                b->workspace >= 0);
    assert_true(b->weights + b->kv + b->activations + b->optimiser + b->workspace == b->total);
}

/* Lays a job out for real in a block of exactly the planned bytes. */
static void check_real(const fit_job *j, int32_t size, int32_t rerun, bench *b)
{
    static fit_laid l;
    fit_bytes plan;
    arena block;
    assert_true(fit_measure(j, (fit_size){size, rerun}, &plan, &b->e));
    check_parts(&plan);
    int64_t bytes = plan.total - plan.weights;
    assert_true(arena_open(&block, (size_t)bytes, "the job", &b->e));
    size_t mark = arena_mark(&b->a);
    if (!fit_lay_out(&l, j, (fit_size){size, rerun}, &block, &b->e)) fail_msg("%s", b->e.text);
    assert_true((int64_t)block.used == bytes); /* planned == allocated, to the byte */
    assert_true(l.bytes.kv == plan.kv && l.bytes.activations == plan.activations);
    assert_true(l.bytes.optimiser == plan.optimiser && l.bytes.workspace == plan.workspace);
    arena_reset(&b->a, mark);
    arena_close(&block);
}

static const fit_ask tiny_ask = {.head_tokens = 9,
                                 .text_tokens = 13,
                                 .shots = 2,
                                 .samples = 3,
                                 .new_tokens = 5,
                                 .texts = 7,
                                 .rank = 4,
                                 .batch = 3,
                                 .rows = 32};

static void the_estimate_is_the_allocation(void **state)
{
    bench *b = *state;
    char path[128];
    static const char *const devices[] = {"cpu", "ref", "cpu:int16"};
    for (size_t i = 0; i < countof(families); i++) {
        tiny_model t;
        model_header h;
        arena_reset(&b->a, 0);
        assert_true(tiny_open(&t, families[i]));
        snprintf(path, sizeof path, "%s/%s", b->folder, families[i]);
        tiny_write_folder(&t, path, 1);
        assert_true(model_peek(&h, path, &b->a, &b->e));
        for (int k = 0; k < FIT_KINDS * (int)countof(devices); k++) {
            tree prompts;
            backend device;
            fit_job j = {.header = &h, .backend = &device, .kind = k % FIT_KINDS, .tree = &prompts};
            j.ask = tiny_ask;
            j.scratch = &b->a;
            assert_true(backend_open(&device, devices[k / FIT_KINDS], b->threads, &b->e));
            assert_true(fit_make_tree(&prompts, j.kind, &j.ask, &b->e));
            check_real(&j, j.kind == FIT_TUNE || j.kind == FIT_GENERATE ? 3 : 32, 0, b);
            check_real(&j, j.kind == FIT_TUNE || j.kind == FIT_GENERATE ? 1 : 64,
                       h.config.n_layer - 1, b);
            tree_close(&prompts);
        }
        model_close_header(&h);
        tiny_close(&t);
    }
}

/* With and without weights: a header made from config.json plans as the file does. */
static void weights_are_not_needed(void **state)
{
    bench *b = *state;
    for (size_t i = 0; i < countof(families); i++) {
        tiny_model t;
        char path[128], bare[160];
        fit_opened with, without;
        fit f, g;
        assert_true(tiny_open(&t, families[i]));
        snprintf(path, sizeof path, "%s/%s-w", b->folder, families[i]);
        tiny_write_folder(&t, path, 1);
        snprintf(bare, sizeof bare, "%s/%s-bare", b->folder, families[i]);
        mkdir(bare, 0700);
        snprintf(bare + strlen(bare), sizeof bare - strlen(bare), "/config.json");
        json_dump_file(t.config, bare, 0);
        *strrchr(bare, '/') = 0;
        fit_options o = {.memory = "1GB", .ask = tiny_ask, .model = path, .threads = 2};
        assert_true(fit_open(&with, &o, &b->e));
        o.model = bare;
        assert_true(fit_open(&without, &o, &b->e));
        assert_true(fit_make(&f, &with.setup, &with.memory, &b->e));
        assert_true(fit_make(&g, &without.setup, &without.memory, &b->e));
        assert_int_equal(f.n_line, g.n_line + FIT_KINDS); /* "as it is" stands before the rest */
        for (int32_t k = 0; k < g.n_line; k++) {
            check_parts(&g.line[k].bytes);
            assert_memory_equal(&f.line[k + FIT_KINDS].bytes, &g.line[k].bytes, sizeof(fit_bytes));
            assert_true(g.line[k].fits && g.line[k].largest >= g.line[k].size);
        }
        fit_close(&with);
        fit_close(&without);
        tiny_close(&t);
    }
}

static int64_t total_of(const fit_job *j, const fit_ask *ask, int32_t size, bench *b)
{
    fit_job job = *j;
    tree prompts;
    fit_bytes bytes;
    job.ask = *ask;
    job.tree = &prompts;
    job.scratch = &b->a;
    assert_true(fit_make_tree(&prompts, job.kind, ask, &b->e));
    if (!fit_measure(&job, (fit_size){size, 0}, &bytes, &b->e)) fail_msg("%s", b->e.text);
    check_parts(&bytes);
    tree_close(&prompts);
    return bytes.total;
}

/* Context, shots, batch, samples, rank, rows: more never lowers the figure. On the CPU and on a
 * card. */
static void more_never_costs_less(void **state)
{
    bench *b = *state;
    model_config c;
    model_header h;
    backend device[2];
    assert_true(shape_config(shape_find("1b-llama3.2", &b->e), &c, &b->a, &b->e));
    plan_source from = {"1b", &c, plan_numbers_find("Q4_K_M"), NULL};
    assert_true(plan_header(&h, &from, &b->a, &b->e));
    assert_true(backend_open(&device[0], "cpu", b->threads, &b->e));
    plan_open_cuda(&device[1], b->threads);
    const fit_ask base = {.head_tokens = 64,
                          .text_tokens = 100,
                          .shots = 1,
                          .samples = 2,
                          .new_tokens = 10,
                          .texts = 40,
                          .rank = 4,
                          .batch = 2,
                          .rows = 256};
    for (int k = 0; k < 2 * FIT_KINDS; k++) {
        fit_job j = {.header = &h, .backend = &device[k / FIT_KINDS], .kind = k % FIT_KINDS};
        int32_t size = j.kind == FIT_SCORE || j.kind == FIT_SHOTS ? 256 : 2;
        for (int what = 0; what < 8; what++) {
            int64_t before = 0;
            for (int32_t step = 0; step < 6; step++) {
                fit_ask ask = base;
                int32_t now = size;
                int32_t *knob[] = {&ask.head_tokens, &ask.text_tokens, &ask.shots, &ask.samples,
                                   &ask.new_tokens,  &ask.texts,       &ask.rank,  &now};
                *knob[what] += step * (*knob[what] / 3 + 1);
                if (what == 7 && j.kind == FIT_TUNE) ask.batch = now;
                int64_t total = total_of(&j, &ask, now, b);
                assert_true(total >= before);
                before = total;
            }
        }
    }
}

static void splits_cover_the_model(void **state)
{
    bench *b = *state;
    fit_options o = {.shape = "70b-llama2", .card = "rtx4090", .n_card = 8, .threads = 2};
    fit_opened opened;
    fit f;
    int32_t split = 0, none = 0;
    assert_true(fit_open(&opened, &o, &b->e));
    if (!fit_make(&f, &opened.setup, &opened.memory, &b->e)) fail_msg("%s", b->e.text);
    for (int32_t i = 0; i < f.n_line; i++) {
        const fit_line *l = &f.line[i];
        none += l->n_split == 0;
        if (l->fits) assert_int_equal(l->n_split, 1);
        if (l->n_split < 2) continue;
        split++;
        int64_t weights = 0, largest = 0, smallest = INT64_MAX;
        for (int32_t k = 0; k < l->n_split; k++) {
            const fit_share *s = &l->share[k];
            assert_int_equal(s->first_layer, k ? l->share[k - 1].end_layer : 0);
            assert_true(s->end_layer > s->first_layer);
            assert_true(s->bytes.total <= f.target.bytes_free);
            check_parts(&s->bytes);
            weights += s->bytes.weights;
            largest = s->bytes.total > largest ? s->bytes.total : largest;
            smallest = s->bytes.total < smallest ? s->bytes.total : smallest;
        }
        assert_int_equal(l->share[l->n_split - 1].end_layer, 80);
        assert_true(weights == l->bytes.weights);
        assert_true(largest - smallest < f.target.bytes_free / 2); /* no card idle */
    }
    assert_true(split > 0 && none > 0); /* f32: 276 GB on 8 x 24 is none */
    assert_string_equal(f.line[0].best ? f.line[0].best->name : "none", "none");
    fit_close(&opened);
}

static void copies_where_one_fits(void **state)
{
    bench *b = *state;
    fit_options o = {.shape = "7b-llama2", .card = "a6000", .n_card = 8, .threads = 2};
    fit_opened opened;
    fit f;
    buf text = buf_up_to(1 << 20), json = buf_up_to(1 << 20);
    assert_true(fit_open(&opened, &o, &b->e));
    assert_true(fit_make(&f, &opened.setup, &opened.memory, &b->e));
    assert_true(fit_write_text(&f, false, &text, &b->e));
    assert_non_null(strstr(text.data, "8 copies"));
    assert_non_null(strstr(text.data, "not yet measured"));
    assert_null(memchr(text.data, 27, text.size)); /* no colour unless asked */
    assert_true(fit_write_json(&f, NULL, &json, &b->e));
    json_t *root = json_loadb(json.data, json.size, 0, NULL);
    json_t *plan = json_object_get(root, "plan");
    assert_int_equal(json_array_size(plan), f.n_line);
    for (size_t i = 0; i < json_array_size(plan); i++) {
        json_t *bytes = json_object_get(json_array_get(plan, i), "bytes");
        const char *key;
        json_t *value;
        json_int_t sum = 0;
        json_object_foreach(bytes, key, value) if (strcmp(key, "total")) sum +=
            json_integer_value(value);
        assert_true(sum == json_integer_value(json_object_get(bytes, "total")));
    }
    /* The textbook's own example: 7 B parameters in 32 bit "need 33.6 GB" (here 6.74 B). */
    assert_true(plan_textbook(7000000000, 32) == 33600000000);
    json_decref(root);
    buf_close(&text);
    buf_close(&json);
    fit_close(&opened);
}

static void bad_asks_are_refused(void **state)
{
    bench *b = *state;
    static const struct {
        fit_options o;
        err_code code;
        const char *says;
    } bad[] = {
        {{.shape = "7b-llama2", .memory = "lots"}, ERR_USAGE, "write it like 48GB"},
        {{.shape = "9b-llama2", .card = "a6000"}, ERR_USAGE, "no shape is called"},
        {{.shape = "7b-llama2", .card = "a7000"}, ERR_USAGE, "no card is called"},
        {{.shape = "7b-llama2", .n_card = 4}, ERR_USAGE, "of which"},
        {{.shape = "7b-llama2", .card = "a6000", .n_card = 99}, ERR_USAGE, "at most"},
        {{.model = "/nonexistent"}, ERR_MODEL, "/nonexistent"},
        {{.model = "x", .shape = "7b-llama2"}, ERR_USAGE, "not both"},
        {{0}, ERR_USAGE, "give a model"},
    };
    for (size_t i = 0; i < countof(bad); i++) {
        err e = {0};
        fit_opened f;
        assert_false(fit_open(&f, &bad[i].o, &e));
        assert_int_equal(e.code, bad[i].code);
        assert_non_null(strstr(e.text, bad[i].says));
        fit_close(&f);
    }
    (void)b;
}

static void too_large_for_any_card_says_what_to_do(void **state)
{
    bench *b = *state;
    fit_options o = {.shape = "405b-llama3.1", .card = "t4", .threads = 2};
    fit_opened opened;
    fit f;
    buf text = buf_up_to(1 << 20);
    assert_true(fit_open(&opened, &o, &b->e));
    assert_true(fit_make(&f, &opened.setup, &opened.memory, &b->e));
    assert_true(fit_write_text(&f, false, &text, &b->e));
    assert_non_null(strstr(text.data, "Nothing fits."));
    assert_non_null(strstr(text.data, "a smaller model: Llama 3.1 8B fits"));
    buf_close(&text);
    fit_close(&opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_estimate_is_the_allocation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(weights_are_not_needed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_never_costs_less, set_up, tear_down),
        cmocka_unit_test_setup_teardown(splits_cover_the_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(copies_where_one_fits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_asks_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_large_for_any_card_says_what_to_do, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
