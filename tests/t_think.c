/* Rows asked in several ways and with generated texts: the same scores and the same texts whatever
 * else is in the study, for any batch, row budget and number of threads, and after a stop at any
 * place; what prompts share is computed once. */
#include "data/store_parts.h"
#include "study.h" /* beside this file */
#include "study/run.h"

#include <signal.h>
#include <sys/wait.h>

#define ASK_1 "\\n\\nWas the patient taken to a hospital after all this, yes or no?"
#define ASK_2 "\\n\\nIs there a word of a fever or a rash anywhere in this text?"

static const char *const arm_lines[] = {
    "  - {name: zero, question: Bad?}\n",
    "  - {name: cot, question: Bad?, method: [cot], think: {samples: 3, temperature: 1.1, "
    "max_tokens: 9}}\n",
    "  - {name: first, question: \"{text}" ASK_1 "\"}\n",
    "  - {name: other, question: \"{text}" ASK_2 "\"}\n",
    "  - {name: ways, wordings: {questions: [Bad?, Ill?, \"{text}" ASK_2 "\"]}, question: Bad?}\n",
    "  - {name: both, shots: 1, seed: 2, question: Bad?, wordings: {questions: [Bad?, Ill?]}, "
    "think: "
    "{samples: 2, temperature: 0.9, max_tokens: 5, stop: [e]}}\n",
};
static const char *const names[] = {"zero", "cot", "first", "other", "ways", "both"};

static void write_arms(world *w, uint32_t which)
{
    char rest[4000] =
        "limits: {max_tokens: 900, cut: head+tail}\nbaselines: none\nseed: 7\narms:\n";
    for (size_t i = 0; i < 6; i++) {
        if (which >> i & 1) strncat(rest, arm_lines[i], sizeof rest - strlen(rest) - 1);
    }
    write_study(w, "model", rest);
}

static void open_think(world *w, const char *model)
{
    char command[300];
    open_world(w, model, false);
    snprintf(command, sizeof command,
             "sed -i 's/\"max_position_embeddings\": [0-9]*/\"max_position_embeddings\": 1024/' "
             "%s/model/config.json",
             w->dir);
    assert_int_equal(system(command), 0);
    write_arms(w, 63);
}

/* Everything that is kept of an arm: scores, parts, texts. */
static void read_all(const char *out, const char *arm, arena *a, store_results *r, store_parts *p,
                     store_samples *s)
{
    err e = {0};
    char path[300];
    store_study study;
    snprintf(path, sizeof path, "%s/study.db", out);
    store *db = store_open_read(path, &e);
    assert_non_null(db);
    assert_true(store_get_study(db, &study, a, &e));
    int32_t k = 0;
    while (!str_is(study.arm[k].name, arm)) k++;
    assert_true(store_get_results(db, k, r, a, &e));
    assert_true(store_get_parts(db, k, -1, p, a, &e));
    assert_true(store_get_samples(db, k, -1, s, a, &e));
    store_close(db);
}

static void assert_same_arm(const char *x, const char *y, const char *arm)
{
    err e = {0};
    arena a;
    store_results r[2];
    store_parts p[2];
    store_samples s[2];
    assert_true(arena_open(&a, 1 << 26, "test", &e));
    read_all(x, arm, &a, &r[0], &p[0], &s[0]);
    read_all(y, arm, &a, &r[1], &p[1], &s[1]);
    assert_int_equal(r[0].n, 12);
    assert_int_equal(r[1].n, 12);
    for (int32_t i = 0; i < 12; i++) assert_true(r[0].scored[i] && r[1].scored[i]);
    assert_memory_equal(r[0].class_logprob, r[1].class_logprob, 24 * sizeof(double));
    assert_int_equal(p[0].n, p[1].n);
    for (int32_t i = 0; i < p[0].n; i++) assert_true(p[0].there[i] && p[1].there[i]);
    if (p[0].n)
        assert_memory_equal(p[0].class_logprob, p[1].class_logprob,
                            (size_t)p[0].n * 2 * sizeof(double));
    assert_int_equal(s[0].n, s[1].n);
    for (int32_t i = 0; i < s[0].n; i++) {
        assert_true(str_equal(s[0].text[i], s[1].text[i]));
        assert_int_equal(s[0].number[i], s[1].number[i]);
        assert_memory_equal(s[0].class_logprob + 2 * i, s[1].class_logprob + 2 * i,
                            2 * sizeof(double));
    }
    arena_close(&a);
}

static void test_the_same_alone_and_in_any_company(void **state)
{
    static const char *const models[] = {"smollm2", "gemma3", "phi3"};
    static const caseload_engine_options ways[] = {{.batch = 1, .threads = 1},
                                                   {.rows = 33, .threads = 2},
                                                   {.unshared = true}};
    for (size_t m = 0; m < (*state ? 3 : 1); m++) {
        world w;
        char out[200];
        open_think(&w, models[m]);
        must_run(&w, w.out, (caseload_engine_options){0});
        for (size_t i = 0; i < 3; i++) {
            snprintf(out, sizeof out, "%s/way%zu", w.dir, i);
            must_run(&w, out, ways[i]);
            for (size_t k = 0; k < 6; k++) assert_same_arm(w.out, out, names[k]);
        }
        for (size_t k = 0; k < 6 && m == 0; k++) {
            write_arms(&w, 1u << k);
            snprintf(out, sizeof out, "%s/alone%zu", w.dir, k);
            must_run(&w, out, (caseload_engine_options){.batch = 3});
            assert_same_arm(w.out, out, names[k]);
        }
        close_world(&w);
    }
}

static void test_stopped_anywhere_goes_on(void **state)
{
    world w;
    char out[200];
    open_think(&w, "smollm2");
    write_arms(&w, 1 << 1 | 1 << 4 | 1 << 5);
    must_run(&w, w.out, (caseload_engine_options){.batch = 4});
    int stops = 0;
    for (int at = 4;; at += *state ? 7 : 50) {
        snprintf(out, sizeof out, "%s/stop%d", w.dir, at);
        w.stop_at = at;
        w.calls = 0;
        if (run_study(&w, out, (caseload_engine_options){.batch = 4})) break;
        assert_int_equal(w.e.code, CASELOAD_STOPPED);
        stops++;
        w.stop_at = at / 2; /* and once more, elsewhere */
        w.calls = 0;
        run_study(&w, out, (caseload_engine_options){.batch = 2});
        w.stop_at = -1;
        must_run(&w, out, (caseload_engine_options){0});
        assert_same_arm(w.out, out, "cot");
        assert_same_arm(w.out, out, "ways");
        assert_same_arm(w.out, out, "both");
    }
    assert_true(stops > (*state ? 10 : 1));
    close_world(&w);
}

/* kill -9 between texts: the run that goes on has the same texts. */
static void test_killed_goes_on(void **state)
{
    (void)state;
    world w;
    char out[200];
    int killed = 0;
    open_think(&w, "smollm2");
    write_arms(&w, 1 << 1 | 1 << 5);
    must_run(&w, w.out, (caseload_engine_options){0});
    snprintf(out, sizeof out, "%s/killed", w.dir);
    for (int round = 0; round < 8; round++) {
        pid_t child = fork();
        if (child == 0) {
            caseload_error e = {0};
            caseload_run_options o = {.study = w.study, .out = out, .engine = {.batch = 1}};
            caseload_run(&o, &e);
            _exit(0);
        }
        usleep((unsigned)(15000 + 9000 * round));
        kill(child, SIGKILL);
        int how = 0;
        assert_int_equal(waitpid(child, &how, 0), child);
        killed += WIFSIGNALED(how);
    }
    assert_true(killed > 0);
    must_run(&w, out, (caseload_engine_options){.batch = 3});
    assert_same_arm(w.out, out, "cot");
    assert_same_arm(w.out, out, "both");
    close_world(&w);
}

/* ---- what comes of parts ---- */

static void test_a_row_is_made_of_its_parts(void **state)
{
    (void)state;
    err e = {0};
    arena a;
    world w;
    store_results r;
    store_parts p;
    store_samples s;
    open_think(&w, "smollm2");
    must_run(&w, w.out, (caseload_engine_options){0});
    assert_true(arena_open(&a, 1 << 26, "test", &e));
    read_all(w.out, "cot", &a, &r, &p, &s);
    assert_int_equal(p.n, 12);
    assert_int_equal(s.n, 36);
    int different = 0;
    for (int32_t i = 0; i < 12; i++) { /* one way of three texts */
        for (int32_t c = 0; c < 2; c++) {
            double mean = 0;
            for (int32_t k = 0; k < 3; k++) mean += exp(s.class_logprob[2 * (3 * i + k) + c]) / 3;
            assert_true(fabs(log(mean) - p.class_logprob[2 * i + c]) < 1e-12);
            assert_true(p.class_logprob[2 * i + c] == r.class_logprob[2 * i + c]);
        }
        different += !str_equal(s.text[3 * i], s.text[3 * i + 1]);
        assert_true(s.n_token[3 * i] <= 9);
    }
    assert_true(different > 9);
    read_all(w.out, "ways", &a, &r, &p, &s);
    assert_int_equal(p.n, 36);
    assert_int_equal(s.n, 0);
    for (int32_t i = 0; i < 36; i++) assert_true(p.there[i]);
    for (int32_t i = 0; i < 12; i++) { /* three ways: the mean of their probabilities */
        double mean = 0;
        for (int32_t k = 0; k < 3; k++) {
            const double *z = p.class_logprob + 2 * (3 * i + k);
            mean += 1 / (1 + exp(z[1] - z[0])) / 3;
        }
        double got = 1 / (1 + exp(r.class_logprob[2 * i + 1] - r.class_logprob[2 * i]));
        assert_true(fabs(mean - got) < 1e-12);
    }
    read_all(w.out, "both", &a, &r, &p, &s);
    assert_int_equal(p.n, 24);
    assert_int_equal(s.n, 48);
    for (int32_t i = 0; i < s.n; i++) assert_true(str_find(s.text[i], STR("e")) < 0);
    arena_close(&a);
    close_world(&w);
}

/* Two questions behind the same text cost little more than one; two arms that differ in their
 * answers alone cost one prompt. */
static void test_what_is_shared_is_computed_once(void **state)
{
    (void)state;
    err e = {0};
    world w;
    run r;
    int64_t all, alone[2] = {0};
    open_think(&w, "smollm2");
    write_arms(&w, 1 << 2 | 1 << 3);
    run_options o = {.study = w.study};
    assert_true(run_prepare(&r, &o, &e));
    all = r.pass[0].book.all.shared;
    for (int k = 0; k < 2; k++) alone[k] = r.cost[k].shared;
    assert_int_equal(book_count(&r.pass[0].book), 1);
    assert_int_equal(r.pass[0].tokens_todo, all);
    run_close(&r);
    assert_true(all < alone[0] + alone[1] - 200);
    o.unshared = true;
    assert_true(run_prepare(&r, &o, &e));
    assert_int_equal(r.pass[0].book.all.shared, r.pass[0].book.all.unshared);
    assert_true(r.pass[0].book.all.shared > all);
    run_close(&r);
    write_study(
        &w, "model",
        "limits: {max_tokens: 900, cut: head+tail}\nbaselines: none\nquestion: Bad?\narms:\n"
        "  - name: one\n  - {name: two, classes: {bad: [Ill], good: [Fine]}}\n");
    o.unshared = false;
    assert_true(run_prepare(&r, &o, &e));
    int64_t answers = r.pass[0].book.all.shared - r.cost[0].shared;
    assert_true(answers > 0 && answers < r.cost[1].shared / 2); /* the second's answers alone */
    run_close(&r);
    close_world(&w);
}

/* A smaller row budget takes less, for texts too, and what it takes can be told beforehand. */
static void test_the_row_budget_bounds_memory(void **state)
{
    (void)state;
    err e = {0};
    world w;
    run r;
    int64_t told = 0;
    open_think(&w, "smollm2");
    run_options o = {.study = w.study};
    assert_true(run_prepare(&r, &o, &e));
    assert_true(pass_plan_rows(&r, &r.pass[0], 64, &told, &e));
    assert_true(told > 0 && told < r.pass[0].bytes_planned);
    run_close(&r);
    o.rows = 64;
    assert_true(run_prepare(&r, &o, &e));
    assert_int_equal(r.pass[0].bytes_planned, told);
    run_close(&r);
    close_world(&w);
}

/* Texts that must have a form: all of them have it, and the rules read each. */
static void test_texts_of_a_form(void **state)
{
    (void)state;
    static const char rest[] =
        "limits: {max_tokens: 900, cut: head+tail}\nbaselines: none\nquestion: Bad?\nseed: 3\n"
        "arms:\n"
        "  - {name: word, framing: text, constrain: {choice: labels}, think: {samples: 4, "
        "temperature: 1, max_tokens: 30}}\n"
        "  - {name: stage, framing: text, constrain: {pattern: \"(T[1-4][ab]?|환자) "
        "{1,2}(Yes|No)\"}, "
        "parse: [last], think: {samples: 3, temperature: 1, max_tokens: 60}}\n"
        "  - {name: json, framing: text, constrain: {schema: {type: object, properties: {answer: "
        "{type: string, enum: [Yes, No]}, grade: {type: integer, minimum: 1, maximum: 12}}}}, "
        "parse: [{json: answer}], think: {max_tokens: 90}}\n";
    static const char *const forms[] = {"word", "stage", "json"};
    err e = {0};
    arena a;
    world w;
    char out[200];
    open_think(&w, "smollm2");
    write_study(&w, "model", rest);
    must_run(&w, w.out, (caseload_engine_options){0});
    snprintf(out, sizeof out, "%s/way", w.dir);
    must_run(&w, out, (caseload_engine_options){.batch = 2, .rows = 20});
    assert_true(arena_open(&a, 1 << 27, "test", &e));
    for (size_t k = 0; k < 3; k++) {
        store_results r;
        store_parts p;
        store_samples s;
        assert_same_arm(w.out, out, forms[k]);
        read_all(w.out, forms[k], &a, &r, &p, &s);
        for (int32_t i = 0; i < s.n; i++) {
            str t = str_trim(s.text[i]);
            if (!str_is(s.end[i], "end")) fail_msg("'%.*s' is not whole", (int)t.size, t.data);
            assert_true(s.class[i] >= 0); /* each can be read */
            if (k == 0) assert_true(str_is(t, "Yes") || str_is(t, "No") || str_is(t, "yes sir"));
            if (k == 1) assert_int_equal(s.class[i], str_ends(t, "No"));
            if (k < 2) continue;
            json_t *got = json_loadb(t.data, t.size, 0, NULL);
            json_int_t grade = json_integer_value(json_object_get(got, "grade"));
            assert_true(grade >= 1 && grade <= 12);
            json_decref(got);
        }
    }
    arena_close(&a);
    close_world(&w);
}

static void test_what_forms_refuse(void **state)
{
    (void)state;
    static const struct {
        const char *form, *words;
    } wrong[] = {{"{pattern: \"(a\"}", "line 9: the pattern of a constraint"},
                 {"{schema: {type: date}}", "date"},
                 {"{choice: []}", "choice"},
                 {"labels", "constrain"},
                 {"{regex: a}", "constrain"}};
    world w;
    open_think(&w, "smollm2");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char rest[500];
        snprintf(rest, sizeof rest,
                 "question: Bad?\narms:\n  - {name: x, framing: text, constrain: %s}\n",
                 wrong[i].form);
        write_study(&w, "model", rest);
        assert_false(run_study(&w, w.out, (caseload_engine_options){0}));
        assert_int_equal(w.e.code, CASELOAD_USAGE);
        if (!strstr(w.e.text, wrong[i].words)) fail_msg("%s", w.e.text);
    }
    write_study(&w, "model", "question: Bad?\narms:\n  - {name: x, constrain: {choice: labels}}\n");
    assert_false(run_study(&w, w.out, (caseload_engine_options){0}));
    assert_non_null(strstr(w.e.text, "generated text"));
    close_world(&w);
}

/* The texts are in the store alone: not in what is shown. */
static void test_texts_are_not_shown(void **state)
{
    (void)state;
    static const char *const files[] = {"scores.csv", "results.json", "report.html"};
    err e = {0};
    arena a;
    world w;
    store_results r;
    store_parts p;
    store_samples s;
    open_think(&w, "smollm2");
    write_arms(&w, 1 << 1);
    must_run(&w, w.out, (caseload_engine_options){0});
    assert_true(arena_open(&a, 1 << 26, "test", &e));
    read_all(w.out, "cot", &a, &r, &p, &s);
    for (size_t f = 0; f < 3; f++) {
        size_t n = 0;
        char *data = read_file(w.out, files[f], &n);
        for (int32_t i = 0; i < s.n; i++) {
            if (s.text[i].size < 12) continue;
            assert_null(memmem(data, n, s.text[i].data, s.text[i].size));
        }
        free(data);
    }
    arena_close(&a);
    close_world(&w);
}

/* With an argument: on more models, and stopped at more places. */
int main(int argc, char **argv)
{
    void *slow = argc > 1 ? argv : NULL;

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_is_made_of_its_parts),
        cmocka_unit_test(test_what_is_shared_is_computed_once),
        cmocka_unit_test_prestate(test_the_same_alone_and_in_any_company, slow),
        cmocka_unit_test_prestate(test_stopped_anywhere_goes_on, slow),
        cmocka_unit_test(test_killed_goes_on),
        cmocka_unit_test(test_the_row_budget_bounds_memory),
        cmocka_unit_test(test_texts_of_a_form),
        cmocka_unit_test(test_what_forms_refuse),
        cmocka_unit_test(test_texts_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
