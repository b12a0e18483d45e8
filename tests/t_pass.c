/* Several models and adapters in one study: each arm's scores are those of the arm alone, whatever
 * else is in the study; kill and resume; the adapter's hash is in the key; planned is used. */
#include "data/store.h"
#include "study/run.h"

#include "study_adapter.h" /* beside this file */

static const char limits[] = "limits: {max_tokens: 250, cut: head+tail}\nbaselines: none\n";
static const char arm_zero[] = "  - name: zero\n";
static const char arm_other[] = "  - {name: other, model: other, shots: 1, seed: 2}\n";
static const char arm_tuned[] = "  - {name: tuned, adapter: tuned}\n";

static void write_arms(world *w, const char *arms)
{
    char rest[1000];
    snprintf(rest, sizeof rest, "question: Bad?\n%sarms:\n%s", limits, arms);
    write_study(w, "model.gguf", rest);
}

static void open_three(world *w)
{
    open_world(w, "smollm2", true);
    write_model(w->dir, "other", "gemma3", false);
    write_adapter(w, "tuned", 5);
}

/* Lines of an arm in scores.csv, in order. */
static void lines_of(const char *dir, const char *arm, buf *out)
{
    size_t n = 0, n_arm = strlen(arm);
    char *data = read_file(dir, "scores.csv", &n);
    assert_non_null(data);
    for (char *line = data; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (!strncmp(line, arm, n_arm) && line[n_arm] == ',')
            buf_add(out, line, strcspn(line, "\n") + 1);
    }
    free(data);
    assert_true(out->size > 100);
}

static void assert_same_lines(const char *a, const char *b, const char *arm)
{
    buf x = buf_up_to(1 << 20), y = buf_up_to(1 << 20);
    lines_of(a, arm, &x);
    lines_of(b, arm, &y);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    buf_close(&x);
    buf_close(&y);
}

static void test_an_arm_is_the_same_alone(void **state)
{
    (void)state;
    static const char *const arms[] = {arm_zero, arm_other, arm_tuned};
    static const char *const names[] = {"zero", "other", "tuned"};
    char all[400], out[200];
    world w;
    open_three(&w);
    snprintf(all, sizeof all, "%s%s%s", arm_tuned, arm_other, arm_zero);
    write_arms(&w, all);
    must_run(&w, w.out, (caseload_engine_options){0});
    for (size_t i = 0; i < 3; i++) {
        write_arms(&w, arms[i]);
        snprintf(out, sizeof out, "%s/alone%zu", w.dir, i);
        must_run(&w, out, (caseload_engine_options){.batch = 3, .threads = 1});
        assert_same_lines(w.out, out, names[i]);
    }
    close_world(&w);
}

static void test_stopped_between_passes(void **state)
{
    (void)state;
    char all[400], out[200];
    world w;
    open_three(&w);
    snprintf(all, sizeof all, "%s%s%s", arm_zero, arm_tuned, arm_other);
    write_arms(&w, all);
    must_run(&w, w.out, (caseload_engine_options){.batch = 5});
    for (int at = 3;; at += 2) {
        snprintf(out, sizeof out, "%s/stop%d", w.dir, at);
        w.stop_at = at;
        w.calls = 0;
        if (run_study(&w, out, (caseload_engine_options){.batch = 5})) break;
        w.stop_at = -1;
        must_run(&w, out, (caseload_engine_options){.batch = 5});
        assert_same_scores(w.out, out);
    }
    close_world(&w);
}

static void test_another_adapter_meets_no_old_score(void **state)
{
    (void)state;
    world w;
    buf before = buf_up_to(1 << 20), after = buf_up_to(1 << 20), again = buf_up_to(1 << 20);
    open_three(&w);
    write_arms(&w, arm_tuned);
    must_run(&w, w.out, (caseload_engine_options){0});
    lines_of(w.out, "tuned", &before);
    write_adapter(&w, "tuned", 6);
    must_run(&w, w.out, (caseload_engine_options){0});
    lines_of(w.out, "tuned", &after);
    assert_string_not_equal(before.data, after.data);
    write_adapter(&w, "tuned", 5);
    must_run(&w, w.out, (caseload_engine_options){0});
    lines_of(w.out, "tuned", &again);
    assert_string_equal(before.data, again.data);
    buf_close(&before);
    buf_close(&after);
    buf_close(&again);
    close_world(&w);
}

static void test_each_arm_names_its_model(void **state)
{
    (void)state;
    char all[400], path[200];
    err e = {0};
    world w;
    open_three(&w);
    snprintf(all, sizeof all, "%s%s%s", arm_zero, arm_tuned, arm_other);
    write_arms(&w, all);
    must_run(&w, w.out, (caseload_engine_options){0});
    snprintf(path, sizeof path, "%s/study.db", w.out);
    store *s = store_open_read(path, &e);
    arena a;
    store_study study;
    assert_non_null(s);
    assert_true(arena_open(&a, 1 << 24, "test", &e) && store_get_study(s, &study, &a, &e));
    assert_int_equal(study.n_arm, 3);
    for (int32_t i = 0; i < 3; i++) {
        json_t *record =
            json_loadb(study.arm[i].record_json.data, study.arm[i].record_json.size, 0, NULL);
        const char *model = json_string_value(json_object_get(record, "model"));
        const char *adapter = json_string_value(json_object_get(record, "adapter_sha256"));
        assert_int_equal(strstr(model, "other") != NULL, i == 2);
        assert_int_equal(strlen(adapter), i == 1 ? 64 : 0);
        assert_string_equal(json_string_value(json_object_get(record, "quantisation")), "F32");
        json_decref(record);
        buf cost = buf_up_to(1000);
        char key[64];
        snprintf(key, sizeof key, "cost/%s", study.arm[i].name.data);
        assert_true(store_get(s, key, &cost, &e));
        json_t *c = json_loadb(cost.data, cost.size, 0, NULL);
        assert_true(json_integer_value(json_object_get(c, "bytes_planned")) > 0);
        assert_true(json_integer_value(json_object_get(c, "tokens_forwarded")) > 0);
        assert_true(json_number_value(json_object_get(c, "seconds")) > 0);
        json_decref(c);
        buf_close(&cost);
    }
    store_close(s);
    arena_close(&a);
    close_world(&w);
}

/* ---- an adapter that is made on the way ---- */

typedef struct maker {
    world *w;
    int made;
    bool fails;
    char folder[100];
} maker;

static bool find_one(void *context, const run *r, int32_t arm, run_adapter *out, err *e)
{
    maker *m = context;
    (void)e;
    if (!str_is(r->spec.arms[arm].name.text, "late")) return true;
    char path[200];
    snprintf(m->folder, sizeof m->folder, "%s/late", m->w->dir);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", m->folder);
    *out = (run_adapter){.folder = m->folder, .rank = 3, .ready = file_exists(path)};
    return true;
}

static bool make_one(void *context, run *r, int32_t arm, err *e)
{
    maker *m = context;
    assert_true(str_is(r->spec.arms[arm].name.text, "late"));
    assert_true(r->pass[1].bytes_planned > 0); /* planned before it was there */
    if (m->fails) return err_set(e, ERR_DATA, "cannot");
    m->made++;
    write_adapter(m->w, "late", 5);
    return true;
}

/* The arm's record: the hash of the adapter that its scores were made with, in the very run that
 * made it. */
static void check_adapter_hash(const char *out)
{
    arena a;
    err e = {0};
    store_study study;
    char path[300];
    snprintf(path, sizeof path, "%s/study.db", out);
    store *s = store_open(path, &e);
    assert_true(s && arena_open(&a, 1 << 24, "test", &e) && store_get_study(s, &study, &a, &e));
    for (int32_t i = 0; i < 2; i++) {
        const str json = study.arm[i].record_json;
        json_t *record = json_loadb(json.data, json.size, 0, NULL);
        const char *adapter = json_string_value(json_object_get(record, "adapter_sha256"));
        assert_int_equal(strlen(adapter), i == 1 ? 64 : 0);
        assert_int_equal(json_integer_value(json_object_get(record, "adapter_rank")), 3 * i);
        json_decref(record);
    }
    store_close(s);
    arena_close(&a);
}

static void test_an_adapter_made_on_the_way(void **state)
{
    (void)state;
    world w;
    err e = {0};
    open_three(&w);
    write_arms(&w, "  - name: zero\n  - name: late\n");
    for (int round = 0; round < 3; round++) {
        maker m = {.w = &w, .fails = round == 0};
        run r;
        run_options o = {.study = w.study, .out = w.out};
        o.maker = (run_maker){.find = find_one, .make = make_one, .context = &m};
        assert_true(run_prepare(&r, &o, &e));
        assert_int_equal(r.n_pass, 2);
        assert_int_equal(r.pass[1].late, round < 2);
        assert_int_equal(run_score(&r, &e), round > 0);
        assert_int_equal(m.made, round == 1);
        assert_int_equal(r.state.texts_done, round ? r.state.texts_all : 12);
        run_close(&r);
        if (round > 0) check_adapter_hash(w.out);
        e = (err){0};
    }
    char out[200];
    buf x = buf_up_to(1 << 20), y = buf_up_to(1 << 20);
    snprintf(out, sizeof out, "%s/given", w.dir);
    write_arms(&w, "  - {name: late, adapter: tuned}\n");
    must_run(&w, out, (caseload_engine_options){0});
    assert_true(caseload_report(&(caseload_report_options){.out = w.out}, NULL, NULL, &w.e));
    lines_of(w.out, "late", &x);
    lines_of(out, "late", &y);
    assert_string_equal(x.data, y.data);
    buf_close(&x);
    buf_close(&y);
    close_world(&w);
}

static void test_missing_adapter_is_named(void **state)
{
    (void)state;
    world w;
    open_world(&w, "llama2", true);
    write_arms(&w, "  - {name: tuned, adapter: nowhere}\n");
    assert_false(run_study(&w, w.out, (caseload_engine_options){0}));
    assert_int_equal(w.e.code, CASELOAD_MODEL);
    assert_non_null(strstr(w.e.text, "nowhere"));
    assert_non_null(strstr(w.e.text, "tuned"));
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_arm_is_the_same_alone),
        cmocka_unit_test(test_stopped_between_passes),
        cmocka_unit_test(test_another_adapter_meets_no_old_score),
        cmocka_unit_test(test_each_arm_names_its_model),
        cmocka_unit_test(test_an_adapter_made_on_the_way),
        cmocka_unit_test(test_missing_adapter_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
