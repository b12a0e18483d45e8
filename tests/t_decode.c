/* Decoding: greedy text as transformers gives it on tiny models, samples that do not depend on
 * their company, and draws that follow the distribution. `t_decode [DEVICE]`. */
#include "compute/cuda/cuda.h"
#include "study/engine.h"
#include "tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { TOKENS = 40, SAMPLES_MAX = 64 };

typedef struct world {
    engine engine;
    generate_ask now[64];
    tree tree;
    schedule schedule;
    arena memory;
    err e;
    char path[64];
    int32_t drawn[SAMPLES_MAX][TOKENS], length[SAMPLES_MAX];
    double answer[SAMPLES_MAX][3]; /* of what follows */
    int32_t n;
} world;

static bool keep_sample(void *context, const generate_sample *s, err *e)
{
    (void)e;
    world *w = context;
    memcpy(w->drawn[w->n], s->id, (size_t)s->n * sizeof(int32_t));
    for (int i = 0; s->answer_logprob && i < 3; i++) w->answer[w->n][i] = s->answer_logprob[i];
    w->length[w->n++] = s->n;
    return true;
}

static void open_world(world *w, const char *model, const char *device)
{
    *w = (world){0};
    tiny_model t;
    snprintf(w->path, sizeof w->path, "/tmp/caseload-decode-XXXXXX");
    assert_non_null(mkdtemp(w->path));
    assert_true(tiny_open(&t, model));
    tiny_write_folder(&t, w->path, 0);
    tiny_close(&t);
    engine_options o = {.model = w->path, .device = device, .threads = 2};
    if (!engine_peek(&w->engine, &o, &w->e)) fail_msg("%s", w->e.text);
    assert_true(arena_open(&w->memory, (size_t)1 << 28, "test", &w->e));
    tree_open(&w->tree, 1000, 100000);
}

static void close_world(world *w)
{
    tree_close(&w->tree);
    engine_close(&w->engine);
    arena_close(&w->memory);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", w->path);
    assert_int_equal(system(command), 0);
}

static void add_case(world *w, const int32_t *id, int32_t n, int32_t owner)
{
    tree_segment s = {.parent = TREE_ROOT, .kind = TREE_CASE, .owner = owner};
    assert_true(tree_add(&w->tree, s, id, n, &w->e) >= 0);
}

/* Cases are segments of their own here, in the order of their owners. */
static bool generate_batch(world *w, int32_t b, const generate_ask *asks)
{
    const schedule *s = &w->schedule;
    for (int32_t i = s->batch[b]; i < s->batch[b + 1]; i++) {
        int32_t owner = s->item[i].owner;
        generate_ask ask = asks[owner];
        ask.owner = owner;
        ask.segment = s->item[i].first_segment;
        w->now[i - s->batch[b]] = ask;
    }
    return generator_run(&w->engine.generator, w->now, s->batch[b + 1] - s->batch[b], &w->e);
}

static void generate_with(world *w, const generate_ask *asks, schedule_options how)
{
    const schedule *only = &w->schedule;
    engine_work all = {.schedule = &only, .n_schedule = 1};
    bool ok = schedule_make(&w->schedule, &w->tree, how, &w->memory, &w->e) &&
              engine_start(&w->engine, &all, NULL, &w->e) &&
              engine_take_scorer(&w->engine, &w->schedule, &w->e);
    w->engine.generator.done = keep_sample;
    w->engine.generator.context = w;
    w->engine.generator.n_end = 0; /* the whole length, whatever is drawn */
    for (int32_t b = 0; ok && b < w->schedule.n_batch; b++) {
        if (b == 0 && !scorer_run_heads(&w->engine.scorer, &w->e)) fail_msg("%s", w->e.text);
        ok = scorer_run_batch(&w->engine.scorer, b, &w->e) && generate_batch(w, b, asks);
    }
    if (!ok) fail_msg("%s", w->e.text);
}

static void generate(world *w, const generate_ask *asks, int32_t streams)
{
    generate_with(w, asks,
                  (schedule_options){.rows = 64, .streams = streams, .stream_tokens = TOKENS});
}

static int32_t read_ids(const json_t *list, int32_t *id)
{
    int32_t n = (int32_t)json_array_size(list);
    for (int32_t i = 0; i < n; i++)
        id[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    return n;
}

static void check_greedy(const json_t *one, const char *device)
{
    world w;
    int32_t prompt[256], want[TOKENS];
    int32_t n = read_ids(json_object_get(one, "ids"), prompt);
    assert_int_equal(read_ids(json_object_get(one, "greedy"), want), TOKENS);
    open_world(&w, json_string_value(json_object_get(one, "model")), device);
    add_case(&w, prompt, n, 0);
    generate(&w, &(generate_ask){.samples = 1, .max_tokens = TOKENS}, 1);
    assert_int_equal(w.length[0], TOKENS);
    for (int32_t i = 0; i < TOKENS; i++) {
        if (w.drawn[0][i] == want[i]) continue;
        double gap = json_number_value(json_array_get(json_object_get(one, "gap"), (size_t)i));
        print_message("%s: token %d differs, gap %.5f\n",
                      json_string_value(json_object_get(one, "model")), i, gap);
        assert_true(gap < 1e-3); /* rounding may choose between equals; nothing else may */
        break;
    }
    close_world(&w);
}

static void test_greedy_is_transformers(void **state)
{
    const char *device = *state;
    json_error_t why;
    size_t i = 0;
    json_t *golden = json_load_file("tests/golden/greedy.json", 0, &why), *one = NULL;
    assert_non_null(golden);
    json_array_foreach(json_object_get(golden, "cases"), i, one)
    {
        if (strcmp(device, "cuda") != 0) check_greedy(one, device); /* bf16 has other texts */
        check_greedy(one, "ref");
    }
    json_decref(golden);
}

/* Three cases, several samples each: with 1, 2, 7 and 32 streams at once every sample is the
 * same. */
static void test_samples_do_not_see_their_company(void **state)
{
    const char *device = *state;
    static const int32_t streams[] = {1, 2, 7, 32};
    static int32_t want[SAMPLES_MAX][TOKENS];
    int32_t id[30];
    for (int32_t i = 0; i < 30; i++) id[i] = (i * 37 + 11) % 300;
    for (size_t k = 0; k < countof(streams); k++) {
        world w;
        open_world(&w, "gemma3", device);
        generate_ask asks[3];
        for (int32_t c = 0; c < 3; c++) {
            add_case(&w, id + c, 30 - 2 * c, c);
            asks[c] = (generate_ask){.samples = 4 + c,
                                     .max_tokens = TOKENS - c,
                                     .seed = 9,
                                     .row = (uint64_t)c,
                                     .how = {.temperature = 0.9f, .top_p = 0.95f, .min_p = 0.01f}};
        }
        generate(&w, asks, streams[k]);
        assert_int_equal(w.n, 15);
        if (k == 0) memcpy(want, w.drawn, sizeof want);
        for (int32_t i = 0; i < w.n; i++) {
            assert_memory_equal(want[i], w.drawn[i], (size_t)w.length[i] * sizeof(int32_t));
        }
        assert_memory_not_equal(w.drawn[0], w.drawn[1], 5 * sizeof(int32_t));
        close_world(&w);
    }
}

/* ---- what is asked behind samples ---- */

static const int32_t bridge[] = {41, 42, 43}, answers[] = {1, 2, 5, 9, 8, 7},
                     starts[] = {0, 2, 3, 6};

/* The log-probabilities of the answers when head, case, sample and bridge are a plain prompt. */
static void score_plainly(const world *from, const int32_t *id, int32_t n_prompt, int32_t k,
                          const char *device, double *out)
{
    world w;
    int32_t whole[200], n = n_prompt;
    open_world(&w, "qwen3", device);
    memcpy(whole, id, (size_t)n_prompt * sizeof *id);
    memcpy(whole + n, from->drawn[k], (size_t)from->length[k] * sizeof *id);
    n += from->length[k];
    memcpy(whole + n, bridge, sizeof bridge);
    add_case(&w, whole, n + 3, 0);
    for (int32_t i = 0; i < 3; i++) {
        tree_segment s = {.parent = 0, .kind = TREE_ANSWER, .owner = 0, .answer = i};
        assert_true(tree_add(&w.tree, s, answers + starts[i], starts[i + 1] - starts[i], &w.e) > 0);
    }
    const schedule *only = &w.schedule;
    engine_work all = {.schedule = &only, .n_schedule = 1};
    assert_true(
        schedule_make(&w.schedule, &w.tree, (schedule_options){.rows = 200}, &w.memory, &w.e) &&
        engine_start(&w.engine, &all, NULL, &w.e) &&
        engine_take_scorer(&w.engine, &w.schedule, &w.e) &&
        scorer_run_batch(&w.engine.scorer, 0, &w.e));
    for (int32_t i = 0; i < 3; i++) out[i] = w.engine.scorer.logprob[1 + i];
    close_world(&w);
}

/* Two cases behind a kept head; samples from number 1 on; any number of streams and rows gives the
 * same bits, and what a plain prompt of the same tokens gives to rounding. */
static void test_what_follows_a_sample(void **state)
{
    const char *device = *state;
    const double bound = strcmp(device, "cuda") ? 1e-4 : 0.2; /* bf16 */
    static const struct {
        int32_t rows, streams;
    } ways[] = {{64, 1}, {64, 32}, {7, 3}, {200, 5}};
    static double want[SAMPLES_MAX][3];
    int32_t id[40];
    for (int32_t i = 0; i < 40; i++) id[i] = (i * 31 + 7) % 290 + 3;
    for (size_t k = 0; k < countof(ways); k++) {
        world w;
        open_world(&w, "qwen3", device);
        tree_segment head = {.parent = TREE_ROOT, .kind = TREE_HEAD, .owner = -1};
        assert_int_equal(tree_add(&w.tree, head, id, 12, &w.e), 0);
        generate_ask asks[2];
        for (int32_t c = 0; c < 2; c++) {
            tree_segment s = {.parent = 0, .kind = TREE_CASE, .owner = c};
            assert_true(tree_add(&w.tree, s, id + 12, 20 - c, &w.e) > 0);
            asks[c] = (generate_ask){
                .first = 1,
                .samples = 5,
                .max_tokens = TOKENS - 9 * c,
                .seed = 4,
                .row = (uint64_t)c,
                .how = {.temperature = 1},
                .follow = {bridge, 3, 3, starts, answers},
            };
        }
        generate_with(&w, asks,
                      (schedule_options){.rows = ways[k].rows,
                                         .streams = ways[k].streams,
                                         .stream_tokens = TOKENS,
                                         .follow_rows = 10,
                                         .follow_positions = 6,
                                         .follow_segments = 4});
        assert_int_equal(w.n, 8);
        for (int32_t i = 0; i < 8 && k == 0; i++) {
            double plain[3];
            score_plainly(&w, id, 12 + 20 - (i < 4 ? 0 : 1), i, device, plain);
            for (int32_t a = 0; a < 3; a++) assert_true(fabs(plain[a] - w.answer[i][a]) < bound);
        }
        if (k == 0) memcpy(want, w.answer, sizeof want);
        assert_memory_equal(want, w.answer, 8 * sizeof want[0]);
        close_world(&w);
    }
}

/* Chi-square of `draws` draws against the probabilities that the rules leave. */
static void check_distribution(sampling how, const double *p, int32_t n)
{
    enum { DRAWS = 40000 };
    static const float logits[8] = {1.0f, 0.2f, -0.5f, 1.7f, 0.9f, -2.0f, 0.0f, 1.2f};
    unsigned char room[8 * 32];
    int32_t count[8] = {0};
    for (int32_t i = 0; i < DRAWS; i++) {
        float copy[8];
        decode_stream s = {.how = how, .generator = rng_for(3, (uint64_t)i, 0)};
        memcpy(copy, logits, sizeof copy);
        count[decode_draw(copy, 8, &s, (struct decode_candidate *)(void *)room)]++;
    }
    double chi = 0;
    int32_t df = -1;
    for (int32_t i = 0; i < n; i++) {
        if (p[i] == 0) {
            assert_int_equal(count[i], 0);
            continue;
        }
        double expected = p[i] * DRAWS;
        chi += (count[i] - expected) * (count[i] - expected) / expected;
        df++;
    }
    assert_true(chi <
                df + 4 * sqrt(2.0 * df) + 4); /* far out in the tail: a fixed seed, no flicker */
}

static void softmax(const float *x, int32_t n, double t, double *p)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += p[i] = exp((double)x[i] / t);
    for (int32_t i = 0; i < n; i++) p[i] /= sum;
}

static void test_draws_follow_the_distribution(void **state)
{
    (void)state;
    static const float logits[8] = {1.0f, 0.2f, -0.5f, 1.7f, 0.9f, -2.0f, 0.0f, 1.2f};
    double p[8], q[8], sum = 0;
    softmax(logits, 8, 0.7, p);
    check_distribution((sampling){.temperature = 0.7f}, p, 8);
    for (int32_t i = 0; i < 8; i++)
        q[i] = i == 3 || i == 7 || i == 0 ? p[i] : 0; /* the three likeliest */
    for (int32_t i = 0; i < 8; i++) sum += q[i];
    for (int32_t i = 0; i < 8; i++) q[i] /= sum;
    check_distribution((sampling){.temperature = 0.7f, .top_k = 3}, q, 8);
    double two = p[3] + p[7]; /* top-p keeps the token that crosses the line */
    check_distribution((sampling){.temperature = 0.7f, .top_p = (float)(two + 0.01)}, q, 8);
    check_distribution((sampling){.temperature = 0.7f, .min_p = (float)(p[0] / p[3] * 0.999)}, q,
                       8);
}

static void test_penalty(void **state)
{
    (void)state;
    float logits[4] = {2.0f, 1.9f, -1.0f, 0.0f};
    unsigned char room[4 * 32];
    int32_t seen[3] = {0, 0, 2};
    decode_stream s = {.how = {.repetition_penalty = 2}, .prefix = seen, .n_prefix = 3};
    assert_int_equal(decode_draw(logits, 4, &s, (struct decode_candidate *)(void *)room), 1);
    assert_true(logits[0] == 1.0f && logits[2] == -2.0f); /* once each, toward less likely */
}

int main(int argc, char **argv)
{
    static char cpu[] = "cpu";
    char *const device = argc > 1 ? argv[1] : cpu;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_greedy_is_transformers, device),
        cmocka_unit_test_prestate(test_samples_do_not_see_their_company, device),
        cmocka_unit_test_prestate(test_what_follows_a_sample, device),
        cmocka_unit_test(test_draws_follow_the_distribution),
        cmocka_unit_test(test_penalty),
    };
    if (!strncmp(device, "cuda", 4) && cuda_count() == 0) {
        printf("t_decode: skipped on %s: no NVIDIA GPU here\n", device);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
