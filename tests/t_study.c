/* A whole study on tiny random models, through the public header: results, privacy, resume, and the
 * promise that a score belongs to its text. */
#include "study.h" /* beside this file */

static void test_results_are_there_and_hold_no_text(void **state)
{
    (void)state;
    static const char *const files[] = {"scores.csv", "results.json", "report.html", "study.db"};
    world w;
    open_world(&w, "llama2", true);
    must_run(&w, w.out, (caseload_engine_options){0});
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        size_t n = 0;
        char *data = read_file(w.out, files[i], &n);
        assert_non_null(data);
        assert_true(n > 100);
        assert_null(memmem(data, n, SECRET, strlen(SECRET)));
        if (i == 1) {
            assert_non_null(strstr(data, "\"arms\""));
            assert_non_null(strstr(data, "\"auroc\""));
            assert_null(strstr(data, "nan"));
        }
        if (i == 0) { /* a header and 12 rows an arm, three of them baselines */
            int lines = 0;
            for (size_t k = 0; k < n; k++) lines += data[k] == '\n';
            assert_int_equal(lines, 1 + 5 * 12);
        }
        free(data);
    }
    close_world(&w);
}

static bool int16_is_here(void) { return __builtin_cpu_supports("avx2"); }

static void test_a_score_belongs_to_its_text(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        bool gguf;
        bool int16; /* products of 16-bit integers, of weights of 8 bits */
    } models[] = {{"llama2", true, false},     {"gemma3", true, false},   {"gemma3", false, false},
                  {"gemma2", false, false},    {"mistral", false, false}, {"qwen2", true, false},
                  {"qwen3", false, false},     {"phi3", false, false},    {"llama3.1", true, false},
                  {"llama-coarse", true, true}};
    static const caseload_engine_options ways[] = {
        {.batch = 1},       {.batch = 2},   {.batch = 7, .threads = 1},
        {.batch = 32},      {.rows = 5},    {.rows = 64, .threads = 2},
        {.unshared = true}, {.threads = 3}, {.unshared = true, .rows = 33, .batch = 3},
    };
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        world w;
        open_world(&w, models[m].model, models[m].gguf);
        if (models[m].int16) write_model_as(w.dir, "model.gguf", models[m].model, true, DTYPE_Q4_1);
        const char *device = models[m].int16 && int16_is_here() ? "cpu:int16" : NULL;
        must_run(&w, w.out, (caseload_engine_options){.device = device});
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            char out[200];
            snprintf(out, sizeof out, "%s/way%zu", w.dir, i);
            caseload_engine_options way = ways[i];
            way.device = device;
            must_run(&w, out, way);
            assert_same_scores(w.out, out);
        }
        close_world(&w);
    }
}

static void test_stopped_anywhere_goes_on(void **state)
{
    (void)state;
    world w;
    char out[200];
    open_world(&w, "smollm2", true);
    caseload_engine_options two = {.batch = 2};
    must_run(&w, w.out, two);
    int stops = 0;
    for (int at = 0;; at++) {
        snprintf(out, sizeof out, "%s/stop%d", w.dir, at);
        w.stop_at = at;
        w.calls = 0;
        if (run_study(&w, out, two)) break;
        assert_int_equal(w.e.code, CASELOAD_STOPPED);
        stops++;
        w.stop_at = -1;
        must_run(&w, out, two);
        assert_same_scores(w.out, out);
    }
    assert_true(stops > 12);
    close_world(&w);
}

static void test_a_changed_prompt_meets_no_old_score(void **state)
{
    (void)state;
    world w;
    open_world(&w, "llama2", true);
    must_run(&w, w.out, (caseload_engine_options){0});
    size_t n = 0, m = 0;
    char *before = read_file(w.out, "scores.csv", &n);
    char command[300];
    snprintf(command, sizeof command, "sed -i 's/question: Bad/question: Ill/' %s", w.study);
    assert_int_equal(system(command), 0);
    must_run(&w, w.out, (caseload_engine_options){0});
    char *after = read_file(w.out, "scores.csv", &m);
    assert_true(n != m || memcmp(before, after, n) != 0);
    snprintf(command, sizeof command, "sed -i 's/question: Ill/question: Bad/' %s", w.study);
    assert_int_equal(system(command), 0);
    must_run(&w, w.out, (caseload_engine_options){0});
    char *again = read_file(w.out, "scores.csv", &m);
    assert_int_equal(n, m);
    assert_memory_equal(before, again, n);
    free(before);
    free(after);
    free(again);
    close_world(&w);
}

static void test_report_needs_only_the_store(void **state)
{
    (void)state;
    world w;
    char command[300];
    open_world(&w, "qwen2", false);
    must_run(&w, w.out, (caseload_engine_options){0});
    size_t n = 0, m = 0;
    char *before = read_file(w.out, "results.json", &n);
    snprintf(command, sizeof command,
             "cd %s && rm -r model texts.csv study.yaml out/results.json out/report.html", w.dir);
    assert_int_equal(system(command), 0);
    assert_true(caseload_report(&(caseload_report_options){.out = w.out}, NULL, NULL, &w.e));
    caseload_report_options paper = {.out = w.out, .paper = true};
    assert_true(caseload_report(&paper, NULL, NULL, &w.e));
    snprintf(command, sizeof command, "%s/paper", w.out);
    char *methods = read_file(command, "methods.en.txt", &m);
    assert_non_null(methods);
    assert_non_null(strstr(methods, "qwen2"));
    assert_null(strstr(methods, SECRET));
    free(methods);
    caseload_report_options explain = {.out = w.out, .explain = "auroc/zero"};
    assert_true(caseload_report(&explain, NULL, NULL, &w.e));
    explain.explain = "auroc/nowhere";
    assert_false(caseload_report(&explain, NULL, NULL, &w.e));
    assert_int_equal(w.e.code, CASELOAD_USAGE);
    char *after = read_file(w.out, "results.json", &m);
    assert_non_null(after);
    assert_int_equal(n, m);
    free(before);
    free(after);
    close_world(&w);
}

static void test_unwritable_output(void **state)
{
    (void)state;
    world w;
    open_world(&w, "llama2", true);
    assert_false(run_study(&w, "/proc/caseload-out", (caseload_engine_options){0}));
    assert_int_equal(w.e.code, CASELOAD_RESOURCE);
    close_world(&w);
}

static void test_too_long_is_refused_by_name(void **state)
{
    (void)state;
    world w;
    char command[300];
    open_world(&w, "llama2", true);
    snprintf(command, sizeof command,
             "sed -i 's/max_tokens: 250, cut: head+tail/max_tokens: 205, cut: refuse/' %s",
             w.study);
    assert_int_equal(system(command), 0);
    bool ran = run_study(&w, w.out, (caseload_engine_options){0});
    if (!ran) {
        assert_true(w.e.code == CASELOAD_DATA || w.e.code == CASELOAD_USAGE);
        assert_null(strstr(w.e.text, SECRET));
    }
    close_world(&w);
}

static void test_a_template_without_system(void **state)
{
    (void)state;
    world w;
    char command[400], folder[128];
    size_t n = 0;
    open_world(&w, "llama2", false);
    snprintf(folder, sizeof folder, "%s/model", w.dir);
    write_text(
        folder, "chat_template.jinja",
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + "
        "'<|im_end|>\n' }}{% endfor %}{{ '<|im_start|>assistant\n' }}");
    snprintf(command, sizeof command, "sed -i 's/^question:/system: QROLE\\nquestion:/' %s",
             w.study);
    assert_int_equal(system(command), 0);
    must_run(&w, w.out, (caseload_engine_options){0});
    char *report = read_file(w.out, "report.html", &n);
    assert_non_null(strstr(report, "takes no system message"));
    assert_non_null(strstr(report, "user\nQROLE"));
    free(report);
    close_world(&w);
}

/* A score of one precision never stands for one of the other. */
static void test_precisions_do_not_mix(void **state)
{
    (void)state;
    world w;
    char fresh[200];
    if (!int16_is_here()) skip();
    open_world(&w, "llama-coarse", true);
    write_model_as(w.dir, "model.gguf", "llama-coarse", true, DTYPE_Q4_1);
    snprintf(fresh, sizeof fresh, "%s/fresh", w.dir);
    must_run(&w, w.out, (caseload_engine_options){0});
    size_t n = 0;
    char *before = read_file(w.out, "scores.csv", &n);
    must_run(&w, w.out, (caseload_engine_options){.device = "cpu:int16"});
    must_run(&w, fresh, (caseload_engine_options){.device = "cpu:int16"});
    assert_same_scores(w.out, fresh);
    char *after = read_file(w.out, "scores.csv", &n);
    assert_string_not_equal(before, after);
    must_run(&w, w.out, (caseload_engine_options){0});
    char *again = read_file(w.out, "scores.csv", &n);
    assert_string_equal(before, again);
    free(before), free(after), free(again);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_are_there_and_hold_no_text),
        cmocka_unit_test(test_a_score_belongs_to_its_text),
        cmocka_unit_test(test_precisions_do_not_mix),
        cmocka_unit_test(test_stopped_anywhere_goes_on),
        cmocka_unit_test(test_a_changed_prompt_meets_no_old_score),
        cmocka_unit_test(test_report_needs_only_the_store),
        cmocka_unit_test(test_a_template_without_system),
        cmocka_unit_test(test_unwritable_output),
        cmocka_unit_test(test_too_long_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
