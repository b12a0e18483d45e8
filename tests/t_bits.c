/* The bits of scores, generated texts and trained adapters of tiny random models, as hashes in
 * tests/golden/bits.txt beside the versions under which they stand (study/run.h, study/tune.h).
 * A key of the store holds the version: bits that change under the same version would let old
 * scores pass for new ones. So, when this test fails: were the bits to change? Then raise
 * RUN_SCORER_VERSION (or TUNE_VERSION) and write the file anew:
 *
 *     build/tests/t_bits write > tests/golden/bits.txt
 *
 * exp and log are the C library's: on another one, or without an instruction set, there is nothing
 * to compare. */
#include "data/store_parts.h"
#include "study/run.h"
#include "study/tune.h"

#include "study_adapter.h" /* beside this file */

#include <gnu/libc-version.h>

static const char *const families[] = {"smollm2", "gemma3", "phi3"};
static const char *const devices[] = {"ref", "cpu:avx2", "cpu:avx512"};
/* Products of 16-bit integers want weights of a few bits. */
static const char *const int16_devices[] = {"cpu:avx2:int16", "cpu:avx512:int16"};
static const char int16_family[] = "llama-coarse";

static const char arms_text[] =
    "baselines: none\nquestion: Bad?\nlimits: {max_tokens: 250, cut: head+tail}\narms:\n"
    "  - name: zero\n"
    "  - {name: one, shots: 1, seed: 2}\n"
    "  - {name: adapted, adapter: adapter}\n"
    "  - {name: cot, method: [cot], think: {samples: 2, temperature: 1.1, max_tokens: 12}}\n"
    "  - {name: tuned, lora: {rank: 2, steps: 3, batch: 2, learning_rate: 1e-3, evaluate: 0}}\n";
enum { ARMS = 5 };

/* Of all class log-probabilities and texts of an arm, and of the adapter that it trained. */
static hash_text hash_arm(const world *w, store *s, int32_t arm)
{
    err e = {0};
    arena a;
    hash_state h;
    store_results r;
    store_samples t;
    assert_true(arena_open(&a, 1 << 24, "test", &e));
    if (!store_get_results(s, arm, &r, &a, &e) || !store_get_samples(s, arm, -1, &t, &a, &e))
        fail_msg("%s", e.text);
    assert_true(r.n >= 10);
    hash_start(&h);
    for (int32_t i = 0; i < r.n; i++) assert_true(r.scored[i]);
    hash_add(&h, r.class_logprob, (size_t)r.n * (size_t)r.n_class * sizeof(double));
    for (int32_t i = 0; i < t.n; i++) hash_add_field(&h, t.text[i]);
    hash_add(&h, t.class_logprob, (size_t)t.n * (size_t)t.n_class * sizeof(double));
    if (arm == ARMS - 1) {
        size_t size = 0;
        char *bytes = read_file(w->out, "adapters/tuned/adapter_model.safetensors", &size);
        assert_non_null(bytes);
        hash_add(&h, bytes, size);
        free(bytes);
    }
    arena_close(&a);
    return hash_finish(&h);
}

/* A line a family and device: hashes of the arms, in their order. */
static void add_line(const char *family, const char *device, buf *out)
{
    world w;
    run r;
    err e = {0};
    open_world(&w, family, true);
    if (!strcmp(family, int16_family))
        write_model_as(w.dir, "model.gguf", family, true, DTYPE_Q4_1);
    write_adapter(&w, "adapter", 5);
    write_study(&w, "model.gguf", arms_text);
    tune *t = tune_open(&(tune_options){.out = w.out}, &e);
    assert_non_null(t);
    const run_options o = {.study = w.study,
                           .out = w.out,
                           .engine = {.device = device, .threads = 2},
                           .maker = tune_maker(t)};
    if (!run_prepare(&r, &o, &e) || !run_score(&r, &e)) fail_msg("%s", e.text);
    buf_printf(out, "%s %s", family, device);
    for (int32_t i = 0; i < ARMS; i++) buf_printf(out, " %.16s", hash_arm(&w, r.store, i).hex);
    buf_add_char(out, '\n');
    tune_close(t);
    run_close(&r);
    close_world(&w);
}

static bool is_here(const char *device)
{
    err e = {0};
    backend b;
    pool *threads = pool_open(1, &e);
    bool ok = threads && backend_open(&b, device, threads, &e);
    if (ok) backend_close(&b);
    pool_close(threads);
    return ok;
}

static void add_head(buf *out)
{
    buf_printf(out, "%s %s libc %s\n", RUN_SCORER_VERSION, TUNE_VERSION, gnu_get_libc_version());
}

static void add_all(buf *out)
{
    add_head(out);
    for (size_t i = 0; i < countof(families); i++) {
        for (size_t k = 0; k < countof(devices); k++) {
            if (is_here(devices[k])) add_line(families[i], devices[k], out);
        }
    }
    for (size_t k = 0; k < countof(int16_devices); k++) {
        if (is_here(int16_devices[k])) add_line(int16_family, int16_devices[k], out);
    }
}

static void test_bits(void **state)
{
    (void)state;
    size_t size = 0;
    char *golden = read_file("tests/golden", "bits.txt", &size);
    buf now = buf_up_to(1 << 20), head = buf_up_to(1000);
    assert_non_null(golden);
    add_head(&head);
    const char *words = strstr(head.data, " libc ");
    if (strncmp(golden, head.data, (size_t)(words - head.data)) != 0)
        fail_msg("the versions changed: write tests/golden/bits.txt anew (t_bits write)");
    if (strncmp(golden, head.data, head.size) != 0) {
        print_message("skip: another C library than that of tests/golden/bits.txt\n");
        skip();
    }
    add_all(&now);
    int n_bad = 0, n = 0;
    for (char *line = strchr(now.data, '\n') + 1, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        *end = 0;
        n++;
        if (strstr(golden, line)) continue;
        print_message("other bits: %s\n", line);
        n_bad++;
    }
    if (n_bad > 0) fail_msg("bits changed under the same version: see the head of tests/t_bits.c");
    assert_true(n >= (int)countof(families)); /* ref is everywhere */
    buf_close(&now);
    buf_close(&head);
    free(golden);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits)};
    if (argc > 1 && !strcmp(argv[1], "write")) {
        buf out = buf_up_to(1 << 20);
        add_all(&out);
        fwrite(out.data, 1, out.size, stdout);
        buf_close(&out);
        return 0;
    }
    return cmocka_run_group_tests_name("bits", tests, NULL, NULL);
}
