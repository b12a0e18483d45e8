/* Several ranks: threads of one process, each with a backend and a session of its own, give the
 * same bits as one: scores, generated texts, and what a stop leaves. On tiny random models. */
#include "compute/cuda/cuda.h"
#include "compute/device.h"
#include "compute/ranks.h"
#include "study.h" /* beside this file */
#include "study/crew.h"
#include "study/fit.h"

static void test_lists_of_devices(void **state)
{
    (void)state;
    static const struct {
        const char *device;
        int32_t ranks, n;
        const char *last;
    } good[] = {{"cpu", 0, 1, "cpu"},         {"cpu", 3, 3, "cpu"},
                {"cpu,cpu", 0, 2, "cpu"},     {"cuda:0,1", 0, 2, "cuda:1"},
                {"cuda:0,1", 4, 4, "cuda:1"}, {"cuda:2:fp32,3:fp32", 0, 2, "cuda:3:fp32"},
                {"0,1,2", 0, 3, "cuda:2"}};
    static const struct {
        const char *device;
        int32_t ranks;
    } bad[] = {{"", 0}, {"cpu,", 0}, {",cpu", 0}, {"cpu,cpu", 1}, {"cpu", 65}};
    rank_list l;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        err e = {0};
        assert_true(ranks_read(&l, good[i].device, good[i].ranks, &e));
        assert_int_equal(l.n, good[i].n);
        assert_string_equal(l.name[l.n - 1], good[i].last);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err e = {0};
        assert_false(ranks_read(&l, bad[i].device, bad[i].ranks, &e));
        assert_int_equal(e.code, ERR_USAGE);
    }
}

typedef struct setting {
    bool all;           /* every family, more stops */
    const char *device; /* on which the ranks stand */
    char one[32];       /* of "cuda:all.." the first */
} setting;

static const char *const arms =
    "question: Bad?\narms:\n  - name: zero\n  - {name: one, shots: 1, seed: 2}\n"
    "  - {name: ways, wordings: {questions: [Bad?, \"{text} -- bad?\"]}}\n"
    "  - {name: texts, method: [cot], think: {samples: 3, temperature: 0.9, max_tokens: 6}}\n"
    "  - {name: form, framing: text, constrain: {choice: labels}}\n"
    "limits: {max_tokens: 250, cut: head+tail}\n";

/* The same way on the devices under test. */
static caseload_engine_options on(const setting *s, caseload_engine_options o)
{
    const bool all = !strncmp(s->device, "cuda:all", 8), alone = !o.device && o.ranks == 0;
    int names = all ? cuda_count() : 1;
    if (!strcmp(s->device, "cpu")) return o;
    for (const char *at = o.device; at && *at; at++) names += *at == ',';
    if (names > o.ranks && !alone) o.ranks = names;
    o.device = all && alone ? s->one : s->device;
    return o;
}

typedef struct shown { /* a model of every family that is asked for */
    const char *model;
    bool gguf;
} shown;

/* A study of each model (of the first alone, unless all) has the scores of one rank in each way. */
static void check_ways(const setting *set, const shown models[4],
                       const caseload_engine_options ways[3], const char *split)
{
    const int n_model = set->all ? 4 : 1;
    for (int m = 0; m < n_model; m++) {
        world w;
        open_world(&w, models[m].model, models[m].gguf);
        write_study(&w, models[m].gguf ? "model.gguf" : "model", arms);
        must_run(&w, w.out, on(set, (caseload_engine_options){.threads = 1}));
        for (int i = 0; i < 3; i++) {
            char out[200];
            caseload_engine_options how = on(set, ways[i]);
            how.split = split;
            snprintf(out, sizeof out, "%s/way%d", w.dir, i);
            must_run(&w, out, how);
            assert_same_scores(w.out, out);
        }
        close_world(&w);
    }
}

static void test_scores_are_the_same_bits(void **state)
{
    static const shown models[4] = {
        {"llama2", true}, {"gemma3", false}, {"qwen3", false}, {"phi3", false}};
    static const caseload_engine_options ways[3] = {
        {.ranks = 2, .batch = 1, .threads = 2},
        {.device = "cpu,cpu,cpu", .batch = 2, .threads = 3},
        {.device = "cpu,cpu", .ranks = 5, .rows = 64, .threads = 1},
    };
    check_ways(*state, models, ways, NULL);
}

/* Stopped with two ranks anywhere, gone on with three, or one. */
static void test_stopped_anywhere_goes_on(void **state)
{
    const setting *set = *state;
    world w;
    char out[200];
    int stops = 0;
    const int most = set->all ? 60 : 20;
    open_world(&w, "smollm2", true);
    write_study(&w, "model.gguf", arms);
    must_run(&w, w.out, on(set, (caseload_engine_options){.threads = 1}));
    for (int at = 3; at < most; at += 7) {
        snprintf(out, sizeof out, "%s/stop%d", w.dir, at);
        w.stop_at = at;
        w.calls = 0;
        bool done = run_study(&w, out, on(set, (caseload_engine_options){.ranks = 2, .batch = 1}));
        if (!done) assert_int_equal(w.e.code, CASELOAD_STOPPED);
        stops += !done;
        w.stop_at = -1;
        must_run(&w, out, on(set, (caseload_engine_options){.ranks = at % 2 ? 3 : 1, .batch = 2}));
        assert_same_scores(w.out, out);
    }
    assert_true(stops > 1);
    close_world(&w);
}

/* Layers over ranks: also two lanes of two, and more ranks than layers. */
static void test_layers_are_the_same_bits(void **state)
{
    static const shown models[4] = {
        {"gemma3", false}, {"llama2", true}, {"qwen2", true}, {"phi3", false}};
    static const caseload_engine_options ways[3] = {{.ranks = 2, .threads = 2},
                                                    {.ranks = 3, .batch = 2, .threads = 3},
                                                    {.ranks = 9, .rows = 64}};
    check_ways(*state, models, ways, "layers");
}

/* ---- training ---- */

static void write_learning(const char *dir)
{
    static char table[20000];
    size_t n = (size_t)snprintf(table, sizeof table, "id,text,label,patient,split,site\n");
    for (int i = 0; i < 44; i++) {
        const bool bad = i % 3 == 0;
        n += (size_t)snprintf(table + n, sizeof table - n,
                              "r%02d,\"" SECRET " %d fever %.*s\",%s,p%d,%s,A\n", i, i * 7,
                              bad ? 17 : i % 9, "and died at night", bad ? "bad" : "good", i / 2,
                              i < 24   ? "train"
                              : i < 36 ? "tune"
                                       : "test");
    }
    write_text(dir, "texts.csv", table);
}

static bool tune_study(world *w, const char *out, caseload_engine_options engine, int steps)
{
    caseload_tune_options o = {.study = w->study, .out = out, .engine = engine, .steps = steps};
    w->e = (caseload_error){0};
    return caseload_tune(&o, &w->e);
}

static void find_words(void *context, const char *text, size_t size)
{
    bool *found = context;
    *found = memmem(text, size, "3 ranks", 7) != NULL &&
             memmem(text, size, "at most 4 micro-batches an update", 33) != NULL;
    if (!*found) print_message("%.*s", (int)size, text);
}

static void check_plan(const world *w)
{
    bool found = false;
    caseload_error e = {0};
    caseload_tune_options o = {.study = w->study,
                               .plan = true,
                               .engine = {.ranks = 3},
                               .sink = find_words,
                               .context = &found};
    assert_true(caseload_tune(&o, &e));
    assert_true(found);
}

static void assert_same_adapter(const char *a, const char *b)
{
    size_t n = 0, m = 0;
    char *x = read_file(a, "adapters/tuned/adapter_model.safetensors", &n);
    char *y = read_file(b, "adapters/tuned/adapter_model.safetensors", &m);
    assert_non_null(x);
    assert_non_null(y);
    assert_true(n > 100);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

/* Updates of 9 rows in micro-batches of two or three: more than ranks, and not a multiple. */
static const char *const learning =
    "question: Bad?\nbaselines: none\narms:\n  - {name: tuned, lora: {rank: 3, epochs: 2, batch: "
    "9, learning_rate: 0.01, micro_tokens: 110, evaluate: 1}}\nlimits: {max_tokens: 250}\n";

/* The adapter is there: scored beside layers on three ranks. */
static void score_by_layers(world *w, const setting *set, const char *out)
{
    caseload_engine_options how = on(set, (caseload_engine_options){.ranks = 3});
    how.split = "layers";
    must_run(w, out, how);
    assert_same_scores(w->out, out);
}

static void test_adapters_are_the_same_bits(void **state)
{
    const setting *set = *state;
    static const char *const models[] = {"llama2", "gemma3", "qwen3", "phi3"};
    static const caseload_engine_options ways[] = {{.ranks = 2, .threads = 2},
                                                   {.device = "cpu,cpu,cpu", .threads = 3},
                                                   {.ranks = 7}};
    const size_t n_model = set->all ? sizeof models / sizeof *models : 1;
    for (size_t m = 0; m < n_model; m++) {
        world w;
        open_world(&w, models[m], false);
        write_learning(w.dir);
        write_study(&w, "model", learning);
        must_run(&w, w.out, on(set, (caseload_engine_options){.threads = 1}));
        if (m == 0) check_plan(&w);
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            char out[200];
            snprintf(out, sizeof out, "%s/way%zu", w.dir, i);
            must_run(&w, out, on(set, ways[i]));
            assert_same_adapter(w.out, out);
            assert_same_scores(w.out, out);
        }
        char cut[200]; /* three updates by two ranks, the rest by three */
        snprintf(cut, sizeof cut, "%s/cut", w.dir);
        assert_true(tune_study(&w, cut, on(set, ways[0]), 3));
        if (!tune_study(&w, cut, on(set, ways[1]), 0)) fail_msg("%s", w.e.text);
        assert_same_adapter(w.out, cut);
        score_by_layers(&w, set, cut);
        close_world(&w);
    }
}

/* Whoever meets a weight that is not a number ends all, with that error. */
static void test_a_failing_rank_ends_all(void **state)
{
    (void)state;
    world w;
    char path[128];
    const unsigned char nan[64] = {[0 ... 63] = 0xff};
    open_world(&w, "llama2", true);
    write_study(&w, "model.gguf", arms);
    snprintf(path, sizeof path, "%s/model.gguf", w.dir);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, -(long)sizeof nan, SEEK_END), 0);
    assert_int_equal(fwrite(nan, 1, sizeof nan, f), sizeof nan);
    assert_int_equal(fclose(f), 0);
    for (int i = 0; i < 2; i++) {
        caseload_engine_options how = {.ranks = 3, .batch = 1, .split = i ? "layers" : NULL};
        assert_false(run_study(&w, w.out, how));
        assert_int_equal(w.e.code, CASELOAD_MODEL);
        assert_non_null(strstr(w.e.text, "not a number"));
    }
    close_world(&w);
}

/* ---- what is split, by what fits ---- */

static int64_t room_there(const backend *b) { return *(const int64_t *)b->own; }
static void do_nothing(backend *b) { (void)b; }
static bool open_the_same(backend *b, const backend *other, err *e)
{
    (void)e;
    plan_open_cuda(b, other->threads);
    b->device = other->device;
    b->own = other->own;
    return true;
}

/* Cards that only count, with `room` bytes free on each. */
static void stand_on_cards(crew *c, const device_table *card, int64_t *room)
{
    for (int32_t i = 0; i < c->n; i++) {
        backend *b = &c->rank[i]->backend;
        char *name = arena_take(&c->rank[i]->memory, RANK_NAME_MAX, 1, &(err){0});
        backend_close(b);
        plan_open_cuda(b, c->rank[i]->threads);
        b->device = card;
        b->own = room;
        snprintf(name, RANK_NAME_MAX, "card %d", i);
        c->rank[i]->device = name;
    }
}

static void check_shares(const crew *c, int64_t room)
{
    const int32_t n_layer = c->rank[0]->header.config.n_layer;
    for (int32_t lane = 0; lane < c->n_lane; lane++) {
        int32_t next = 0;
        for (int32_t k = 0; k < c->deep; k++) {
            const engine *g = c->rank[lane * c->deep + k];
            assert_int_equal(g->part.first, next);
            assert_true(g->part.end > next && (int64_t)g->bytes_device <= room);
            assert_int_equal(g->model.config->n_layer, g->part.end - g->part.first);
            next = g->part.end;
        }
        assert_int_equal(next, n_layer);
    }
}

/* Over all ranks: lanes that take turns on the same weights; what they take is within the room. */
static void check_turns(crew *c, const engine_work *work, int64_t room)
{
    err e = {0};
    int64_t bytes = 0;
    if (!crew_plan(c, work, &bytes, &e)) fail_msg("%s", e.text);
    assert_true(c->deep > 1);
    assert_int_equal(c->turns, c->deep);
    assert_int_equal(c->n_lane, c->n / c->deep * c->deep);
    for (int32_t i = 0; i < c->n / c->deep * c->deep; i++) {
        int64_t all = 0;
        for (int32_t k = 0; k < c->turns; k++) {
            const engine *g = c->rank[k * c->n + i];
            all += (int64_t)g->bytes_device;
            assert_int_equal(g->part.first, c->rank[i]->part.first);
            assert_true(k == 0 ? !g->lender : g->lender == c->rank[i]);
            assert_true(k == 0 || g->bytes_device < c->rank[i]->bytes_device);
        }
        assert_true(all <= room);
    }
    for (int32_t lane = 0; lane < c->n_lane; lane++) {
        for (int32_t k = 1; k < c->deep; k++)
            assert_int_equal(crew_at(c, lane, k)->part.first, crew_at(c, lane, k - 1)->part.end);
    }
}

/* Rows where a copy fits a card; else layers over as few as hold them, and more such lanes. */
static void test_layers_are_split_where_a_copy_does_not_fit(void **state)
{
    (void)state;
    static const device_table card = {.room = room_there,
                                      .sync = do_nothing,
                                      .beside = open_the_same,
                                      .release = do_nothing,
                                      .close = do_nothing};
    world w;
    crew c;
    engine g;
    err e = {0};
    arena a;
    tree t;
    schedule s;
    const schedule *all = &s;
    const engine_work work = {&all, 1, 0};
    int64_t room = INT64_MAX, bytes = 0;
    char path[128];
    open_world(&w, "llama2", true);
    snprintf(path, sizeof path, "%s/model.gguf", w.dir);
    assert_true(arena_open(&a, 1 << 24, "test", &e));
    engine_options how = {.model = path, .ranks = 8, .threads = 8};
    if (!crew_peek(&c, &g, &how, &e)) fail_msg("%s", e.text);
    stand_on_cards(&c, &card, &room);
    fit_ask ask = {.head_tokens = 8, .text_tokens = 40, .texts = 20};
    assert_true(fit_make_tree(&t, FIT_SCORE, &ask, &e));
    assert_true(schedule_make(&s, &t, (schedule_options){.rows = 64}, &a, &e));
    if (!crew_plan(&c, &work, &bytes, &e)) fail_msg("%s", e.text);
    assert_int_equal(c.n_lane, 8);
    assert_int_equal(c.deep, 1);
    room = (int64_t)g.bytes_device - 1;
    if (!crew_plan(&c, &work, &bytes, &e)) fail_msg("%s", e.text);
    assert_int_equal(c.deep, 2);
    assert_int_equal(c.n_lane, 4);
    check_shares(&c, room);
    assert_int_equal(c.turns, 1); /* one session a rank: no more fits */
    assert_int_equal(c.n_open, 8);
    const int64_t alone = (int64_t)crew_lane(&c, 0)->bytes_device;
    room = (int64_t)g.header.bytes_weights / 2 + 3 * alone;
    c.split = CREW_LAYERS;
    check_turns(&c, &work, room);
    c.split = CREW_AS_FITS;
    room = 1000; /* not even on all: whole copies, whose opening says what is missing */
    if (!crew_plan(&c, &work, &bytes, &e)) fail_msg("%s", e.text);
    assert_int_equal(c.deep, 1);
    assert_int_equal(g.part.end, 0);
    tree_close(&t);
    crew_close(&c);
    engine_close(&g);
    arena_close(&a);
    close_world(&w);
}

static void test_ranks_must_compute_alike(void **state)
{
    (void)state;
    world w;
    open_world(&w, "smollm2", true);
    assert_false(run_study(&w, w.out, (caseload_engine_options){.device = "cpu,ref"}));
    if (!strstr(w.e.text, "do not compute the same bits")) fail_msg("%s", w.e.text);
    assert_int_equal(w.e.code, CASELOAD_USAGE);
    assert_false(run_study(&w, w.out, (caseload_engine_options){.ranks = 2, .split = "heads"}));
    assert_non_null(strstr(w.e.text, "rows or layers"));
    if (cuda_count() > 0) {
        assert_false(run_study(&w, w.out, (caseload_engine_options){.device = "cuda:0,99"}));
        assert_non_null(strstr(w.e.text, "there is no GPU 99"));
        assert_int_equal(w.e.code, CASELOAD_RESOURCE);
    }
    write_learning(w.dir);
    write_study(&w, "model.gguf", learning);
    assert_false(run_study(&w, w.out, (caseload_engine_options){.ranks = 2, .split = "layers"}));
    if (!strstr(w.e.text, "--split layers is for scoring")) fail_msg("%s", w.e.text);
    assert_false(run_study(&w, w.out, (caseload_engine_options){.device = "cpu,tpu"}));
    assert_non_null(strstr(w.e.text, "unknown device \"tpu\""));
    close_world(&w);
}

/* `t_ranks [all] [DEVICE]`: every family, more stops; on another device than the processor: "cuda"
 * (several ranks on one GPU), "cuda:all" (a rank on each, or more). */
int main(int argc, char **argv)
{
    setting set = {.all = argc > 1 && !strcmp(argv[1], "all"), .device = "cpu"};
    if (argc > 1 + set.all) set.device = argv[1 + set.all];
    if (!strncmp(set.device, "cuda:all", 8))
        snprintf(set.one, sizeof set.one, "cuda%.20s", set.device + 8);
    if (!strncmp(set.device, "cuda", 4) && cuda_count() == 0) {
        puts("skip: no NVIDIA GPU can be used here");
        return 0;
    }
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_of_devices),
        cmocka_unit_test(test_scores_are_the_same_bits),
        cmocka_unit_test(test_stopped_anywhere_goes_on),
        cmocka_unit_test(test_layers_are_the_same_bits),
        cmocka_unit_test(test_adapters_are_the_same_bits),
        cmocka_unit_test(test_a_failing_rank_ends_all),
        cmocka_unit_test(test_layers_are_split_where_a_copy_does_not_fit),
        cmocka_unit_test(test_ranks_must_compute_alike),
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tests[i].initial_state = &set;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
