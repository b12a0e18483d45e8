/* Tests of study/tune and study/events on tiny random models: order, sampling and weights of the
 * rows, units of an arm, sweeps, free text, what was planned is what was used; and TensorBoard's
 * format against its own writer. Kills, signals and full disks: tests/cli/tune.sh. With the word
 * `models`: losses of real models against PEFT's. */
#include "study/events.h"
#include "study/fit_forecast.h"
#include "study/tune_in.h"

#include "../fuzz/checkpoint_job.h"
#include "broken.h"
#include "study.h" /* beside this file */

/* The next line of a text that is cut up on the way; NULL: none. */
static char *next_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n');
    if (!*line) return NULL;
    if (end) *end = 0;
    *at = end ? end + 1 : line + strlen(line);
    return line;
}

/* ---- TensorBoard ---- */

static void test_events(void **state)
{
    (void)state;
    size_t size = 0;
    char *want = read_file("tests/golden", "events.bin", &size);
    assert_non_null(want);
    buf b = buf_up_to(1000);
    const event_value one[] = {{"loss/train", 0.6931472}, {"rate", 0}},
                      two[] = {{"auroc/tune", 0.75}};
    events_add_opening(&b, 1.5);
    events_add_scalars(&b, 2.25, 1, one, 2);
    events_add_scalars(&b, 1e9, 300, two, 1);
    assert_int_equal(b.size, size);
    assert_memory_equal(b.data, want, size);
    assert_int_equal(events_crc32c("123456789", 9), 0xE3069283); /* RFC 3720's check value */
    buf_close(&b);
    free(want);
}

/* ---- a study of tiny texts ---- */

typedef struct opened {
    world w;
    run r;
    tune *t;
    const tune_group *g;
} opened;

/* 40 rows to learn from (10 bad), 20 to choose by, 20 to test. */
static void write_rows(const char *dir)
{
    static char table[20000];
    size_t n = (size_t)snprintf(table, sizeof table, "id,text,label,patient,split,site,why\n");
    for (int i = 0; i < 80; i++) {
        bool bad = i % 4 == 0;
        n += (size_t)snprintf(table + n, sizeof table - n,
                              "r%02d,\"" SECRET " %d fever %.*s\",%s,p%d,%s,A,because %d\n", i,
                              i * 7, bad ? 12 : 3, "and died at night", bad ? "bad" : "good", i / 2,
                              i < 40   ? "train"
                              : i < 60 ? "tune"
                                       : "test",
                              i);
    }
    write_text(dir, "texts.csv", table);
}

static void open_study(opened *o, const char *rest)
{
    char study[3000];
    open_world(&o->w, "llama2", true);
    write_rows(o->w.dir);
    snprintf(study, sizeof study, "question: Bad?\nbaselines: none\nlimits: {max_tokens: 250}\n%s",
             rest);
    write_study(&o->w, "model.gguf", study);
}

static void prepare_on(opened *o, const char *rest, engine_options where)
{
    err e = {0};
    open_study(o, rest);
    o->t = tune_open(&(tune_options){.out = o->w.out}, &e);
    assert_non_null(o->t);
    run_options how = {.study = o->w.study, .maker = tune_maker(o->t), .engine = where};
    if (!run_prepare(&o->r, &how, &e)) fail_msg("%s", e.text);
    assert_int_equal(o->t->n_group, 1);
    o->g = &o->t->group[0];
}

static void prepare(opened *o, const char *rest) { prepare_on(o, rest, (engine_options){0}); }

static void close_study(opened *o)
{
    tune_close(o->t);
    run_close(&o->r);
    close_world(&o->w);
}

static str id_of(const tune_plan *p, int32_t target)
{
    return p->texts->view.scored.id[tree_at(&p->texts->learn, target)->owner];
}

static void test_order(void **state)
{
    (void)state;
    opened o;
    prepare(&o,
            "arms:\n  - {name: a, lora: {epochs: 2.5, batch: 8, warmup: 0.1, seeds: [1, 2]}}\n");
    const tune_plan *p = &o.g->unit[0], *q = &o.g->unit[1];
    assert_int_equal(o.g->n_unit, 2);
    assert_int_equal(p->n_row, 40);
    assert_int_equal(p->n_draw, 100);
    assert_int_equal(p->optim.updates, 13);
    assert_int_equal(p->optim.warmup, 2);
    int seen[3][80] = {{0}}, same = 0;
    for (int64_t i = 0; i < 100; i++) {
        str id = id_of(p, p->draw[i]);
        int row = atoi(id.data + 1);
        assert_true(row < 40); /* of `train` alone */
        seen[i / 40][row]++;
        same += p->draw[i] == q->draw[i];
    }
    for (int k = 0; k < 40; k++) assert_true(seen[0][k] == 1 && seen[1][k] == 1 && seen[2][k] <= 1);
    assert_true(same < 15); /* another seed, another order */
    assert_true(memcmp(p->draw, p->draw + 40, 40 * sizeof *p->draw) != 0);
    assert_string_not_equal(p->key.hex, q->key.hex);
    close_study(&o);
}

static void test_balance(void **state)
{
    (void)state;
    opened o;
    prepare(&o, "arms:\n  - {name: a, lora: {sample: balanced, epochs: 1, class_weights: balanced, "
                "sizes: [12, "
                "all]}}\n");
    const tune_plan *p = &o.g->unit[1], *small = &o.g->unit[0];
    int n_bad = 0, seen[40] = {0};
    for (int64_t i = 0; i < p->n_draw; i++) {
        int row = atoi(id_of(p, p->draw[i]).data + 1);
        n_bad += row % 4 == 0;
        seen[row]++;
    }
    assert_int_equal(p->n_draw, 40);
    assert_int_equal(n_bad, 20); /* 10 rows, each twice */
    for (int k = 0; k < 40; k++) assert_true(k % 4 ? seen[k] <= 1 : seen[k] == 2);
    assert_true(fabs(p->weight[0] - 2.0) < 1e-12 && fabs(p->weight[1] - 40.0 / 60) < 1e-12);
    assert_int_equal(small->n_row, 12);
    n_bad = 0;
    for (int i = 0; i < 12; i++) n_bad += p->texts->label[small->row[i]] == 0;
    assert_int_equal(n_bad, 3); /* each class's share */
    close_study(&o);
}

static void test_sizes_are_nested(void **state)
{
    (void)state;
    opened o;
    prepare(&o, "arms:\n  - {name: a, lora: {sizes: [8, 16, 30, all]}}\n");
    for (int u = 0; u + 1 < o.g->n_unit; u++) {
        const tune_plan *p = &o.g->unit[u], *q = &o.g->unit[u + 1];
        for (int32_t i = 0, k = 0; i < p->n_row; i++) {
            while (k < q->n_row && q->row[k] != p->row[i]) k++;
            assert_true(k < q->n_row);
        }
    }
    assert_int_equal(o.g->unit[3].n_row, 40);
    close_study(&o);
}

/* The targets are the answers that scoring asks about, behind the prompts that scoring asks. */
static void test_prompts_are_those_of_scoring(void **state)
{
    (void)state;
    opened o;
    err e = {0};
    prepare(&o, "arms:\n  - {name: zero}\n  - {name: a, lora: {}}\n");
    const tune_texts *x = &o.g->texts;
    asked q = {0};
    for (int32_t i = 0; i < x->n_learn; i++) {
        assert_true(arms_ask(&x->arms, 0, i, 0, &q, &e));
        const tree *t = &x->learn;
        const int32_t answer = x->target[x->first[i]], at = tree_at(t, answer)->parent;
        const int32_t head = tree_at(t, at)->parent, n_head = tree_at(t, head)->count;
        assert_int_equal(head, 0); /* one for all */
        assert_int_equal(n_head + tree_at(t, at)->count, q.prompt.n);
        assert_memory_equal(tree_ids(t, head), q.prompt.id, (size_t)n_head * sizeof(int32_t));
        assert_memory_equal(tree_ids(t, at), q.prompt.id + n_head,
                            (size_t)tree_at(t, at)->count * sizeof(int32_t));
        const int32_t first = x->label[i] == 0 ? 0 : 2; /* "Yes", "yes sir", "No" */
        const int32_t n = q.start.id[first + 1] - q.start.id[first];
        assert_int_equal(q.answer_class.id[first], x->label[i]);
        assert_int_equal(tree_at(t, answer)->count, n);
        assert_memory_equal(tree_ids(t, answer), q.answers.id + q.start.id[first],
                            (size_t)n * sizeof(int32_t));
    }
    asked_close(&q);
    close_study(&o);
}

static void test_examples_do_not_learn_themselves(void **state)
{
    (void)state;
    opened o;
    prepare(&o, "arms:\n  - {name: a, shots: 2, lora: {}}\n");
    const tune_texts *x = &o.g->texts;
    const arm *m = &x->arms.arm[0];
    for (int32_t i = 0; i < x->n_learn; i++) { /* patients have two rows each */
        for (int32_t k = 0; k < m->shots.k; k++) {
            int32_t example = m->shots.example[m->shots.set[i] * m->shots.k + k];
            assert_int_not_equal(o.r.rows.pool.patient[example], x->view.scored.patient[i]);
        }
    }
    assert_int_equal(x->n_left_out, 0);
    close_study(&o);
    open_study(&o, "arms:\n  - {name: a, shots: 2, lora: {}}\n");
    size_t n = 0;
    char *table = read_file(o.w.dir, "texts.csv", &n); /* without patients only the row is known */
    for (char *at = table; (at = strstr(at, ",p")) != NULL; at++) at[1] = ' ';
    free(table);
    char study[1000], path[200];
    snprintf(path, sizeof path, "%s/study.yaml", o.w.dir);
    snprintf(
        study, sizeof study,
        "study: s\nmodel: model.gguf\ndata: {file: texts.csv, id: id, text: text, label: label, "
        "split: split}\nclasses: {bad: [Yes], good: [No]}\npositive: bad\nquestion: Bad?\n"
        "limits: {max_tokens: 250}\nbaselines: none\narms:\n  - {name: a, shots: 2, lora: {}}\n");
    write_text(o.w.dir, "study.yaml", study);
    err e = {0};
    o.t = tune_open(&(tune_options){.out = o.w.out}, &e);
    run_options how = {.study = o.w.study, .maker = tune_maker(o.t)};
    if (!run_prepare(&o.r, &how, &e)) fail_msg("%s", e.text);
    assert_int_equal(o.t->group[0].texts.n_left_out, 2);
    assert_int_equal(o.t->group[0].unit[0].n_row, 38);
    close_study(&o);
}

/* ---- training ---- */

static bool train(opened *o, const char *out, caseload_tune_options more)
{
    more.study = o->w.study;
    more.out = out;
    o->w.e = (caseload_error){0};
    return caseload_tune(&more, &o->w.e);
}

static void must_train(opened *o, const char *out, caseload_tune_options more)
{
    if (!train(o, out, more)) fail_msg("%s (code %d)", o->w.e.text, o->w.e.code);
}

static void same_adapter(const char *a, const char *b, bool same)
{
    size_t n = 0, m = 0;
    char *x = read_file(a, "adapter_model.safetensors", &n);
    char *y = read_file(b, "adapter_model.safetensors", &m);
    assert_non_null(x);
    assert_non_null(y);
    assert_int_equal(n == m && !memcmp(x, y, n), same);
    free(x);
    free(y);
}

static json_t *record_of(const char *folder)
{
    char path[300];
    json_error_t why;
    snprintf(path, sizeof path, "%s/tune.json", folder);
    json_t *root = json_load_file(path, 0, &why);
    if (!root) fail_msg("%s: %s", path, why.text);
    return root;
}

/* Tokens, bytes and updates of the record are those of the plan and of the log. */
static void test_planned_is_used(void **state)
{
    (void)state;
    opened o;
    const char *arms =
        "arms:\n  - {name: a, lora: {rank: 3, epochs: 1.5, batch: 6, micro_tokens: 160, "
        "learning_rate: 3e-3, early_stop: 0}}\n";
    prepare(&o, arms);
    const int64_t tokens = o.g->unit[0].tokens, bytes = o.g->unit[0].bytes;
    const int64_t n_micro = o.g->unit[0].n_micro;
    assert_true(n_micro > o.g->unit[0].optim.updates); /* updates are cut by micro_tokens */
    assert_true(o.g->unit[0].tokens < o.g->unit[0].tokens_unshared);
    must_train(&o, o.w.out, (caseload_tune_options){0});
    char folder[200];
    snprintf(folder, sizeof folder, "%s/adapters/a", o.w.out);
    size_t n = 0;
    char *log = read_file(folder, "log.jsonl", &n);
    int64_t sum = 0, updates = 0;
    for (char *at = log, *line; (line = next_line(&at)) != NULL;) {
        json_error_t why;
        json_t *one = json_loads(line, 0, &why);
        assert_non_null(one);
        sum += json_integer_value(json_object_get(one, "tokens"));
        updates += json_object_get(one, "rate") != NULL;
        json_decref(one);
    }
    json_t *record = record_of(folder);
    assert_int_equal(sum, tokens);
    assert_int_equal(updates, 10);
    assert_int_equal(json_integer_value(json_object_get(record, "tokens")), tokens);
    assert_int_equal(json_integer_value(json_object_get(record, "bytes_planned")), bytes);
    assert_int_equal(json_array_size(json_object_get(record, "evaluations")), 3);
    json_decref(record);
    free(log);
    close_study(&o);
}

static void test_learns(void **state)
{
    (void)state;
    opened o;
    open_study(&o, "arms:\n  - {name: zero}\n"
                   "  - {name: a, lora: {rank: 4, epochs: 4, batch: 4, learning_rate: 1e-2}}\n");
    must_run(&o.w, o.w.out, (caseload_engine_options){0});
    char folder[200];
    snprintf(folder, sizeof folder, "%s/adapters/a", o.w.out);
    json_t *record = record_of(folder);
    json_t *best = json_object_get(record, "best");
    assert_true(json_number_value(json_object_get(best, "tune_auroc")) > 0.95);
    json_decref(record);
    size_t n = 0;
    char *results = read_file(o.w.out, "results.json", &n);
    json_error_t why;
    json_t *root = json_loads(results, 0, &why), *arms = json_object_get(root, "arms");
    double zero = 2, tuned = 2;
    size_t i;
    json_t *arm;
    json_array_foreach(arms, i, arm)
    {
        const char *name = json_string_value(json_object_get(arm, "name"));
        double value = json_number_value(json_object_get(arm, "auroc"));
        if (!strcmp(name, "zero")) zero = value;
        if (!strcmp(name, "a")) tuned = value;
    }
    print_message("  zero-shot %.3f, tuned %.3f\n", zero, tuned);
    assert_true(tuned > 0.9 && tuned > zero && tuned <= 1);
    json_decref(root);
    free(results);
    for (size_t k = 0; k < 4; k++) { /* nothing of a row in what is written */
        static const char *const names[] = {"tune.json", "log.jsonl", "README.md",
                                            "events.out.tfevents.caseload"};
        char *text = read_file(folder, names[k], &n);
        assert_non_null(text);
        assert_null(memmem(text, n, SECRET, strlen(SECRET)));
        free(text);
    }
    close_world(&o.w);
}

/* Seeds and sizes are adapters of their own; equal settings give equal adapters. */
static void test_units_and_sweep(void **state)
{
    (void)state;
    opened o;
    char a[200], b[200], line[400];
    open_study(&o, "arms:\n"
                   "  - {name: a, lora: {steps: 6, batch: 4, seeds: [1, 2], sizes: [20, all],\n"
                   "     sweep: {learning_rate: [1e-4, 1e-2], rank: [2, 3]}}}\n");
    must_train(&o, o.w.out, (caseload_tune_options){0});
    snprintf(a, sizeof a, "%s/adapters/a/n-all/seed-1", o.w.out);
    snprintf(b, sizeof b, "%s/adapters/a/n-all/seed-2", o.w.out);
    same_adapter(a, b, false);
    snprintf(b, sizeof b, "%s/adapters/a/n-20/seed-1", o.w.out);
    same_adapter(a, b, false);
    size_t n = 0;
    snprintf(line, sizeof line, "%s/adapters/a", o.w.out);
    char *trials = read_file(line, "trials.jsonl", &n);
    assert_non_null(trials);
    int n_trial = 0, n_chosen = 0, rank = 0;
    double rate = 0;
    for (char *rest = trials, *at; (at = next_line(&rest)) != NULL; n_trial++) {
        json_error_t why;
        json_t *one = json_loads(at, 0, &why);
        assert_true(json_is_number(json_object_get(one, "tune_auroc")));
        if (json_is_true(json_object_get(one, "chosen"))) {
            n_chosen++;
            rank = (int)json_integer_value(json_object_get(one, "rank"));
            rate = json_number_value(json_object_get(one, "learning_rate"));
        }
        json_decref(one);
    }
    free(trials);
    assert_int_equal(n_trial, 4);
    assert_int_equal(n_chosen, 1);
    snprintf(b, sizeof b, "%s/adapters/a/trials/rank-%d_rate-%g", o.w.out, rank, rate);
    json_t *record = record_of(a);
    assert_string_equal(json_string_value(json_object_get(record, "unit")), "a/n-all/seed-1");
    json_decref(record);
    same_adapter(a, b, true); /* the chosen trial is the adapter of all rows and the first seed */
    caseload_error e = {0};
    assert_true(caseload_run(&(caseload_run_options){.study = o.w.study, .out = o.w.out}, &e));
    err why = {0};
    snprintf(line, sizeof line, "%s/study.db", o.w.out);
    store *s = store_open_read(line, &why);
    buf got = buf_up_to(1 << 20);
    assert_true(store_get(s, "training/a/n-20/seed-2", &got, &why));
    assert_non_null(strstr(got.data, "\"rows\": 20,"));
    buf_clear(&got);
    assert_true(store_get(s, "trials/a", &got, &why));
    assert_int_equal(got.data[0], '[');
    buf_close(&got);
    store_close(s);
    close_world(&o.w);
}

/* A column's text is learned to its end, whatever the labels. */
static void test_free_text(void **state)
{
    (void)state;
    opened o;
    prepare(&o, "arms:\n  - {name: a, lora: {learn: {column: why}, steps: 3}}\n");
    const tune_texts *x = &o.g->texts;
    const tokenizer *tokens = x->engine->header.tokens;
    for (int32_t i = 0; i < x->n_learn; i++) {
        const int32_t g = x->target[x->first[i]], n = tree_at(&x->learn, g)->count;
        const int32_t *id = tree_ids(&x->learn, g);
        char want[40];
        buf text = buf_up_to(1000);
        if (token_eos(tokens) >= 0) assert_int_equal(id[n - 1], token_eos(tokens));
        token_decode(tokens, id, n - (token_eos(tokens) >= 0), false, &text);
        snprintf(want, sizeof want, "because %d", atoi(x->view.scored.id[i].data + 1));
        str got = str_trim(buf_view(&text));
        if (!str_is(got, want)) fail_msg("'%.*s' is not '%s'", (int)got.size, got.data, want);
        buf_close(&text);
    }
    must_train(&o, o.w.out, (caseload_tune_options){0});
    close_study(&o);
}

/* Options in a list: every place of the right one is learned, and the rows are scored at all. */
static void test_options(void **state)
{
    (void)state;
    opened o;
    prepare(
        &o,
        "arms:\n  - {name: a, framing: options, position: cyclic, lora: {steps: 6, batch: 4}}\n");
    const tune_texts *x = &o.g->texts;
    const tokenizer *tokens = x->engine->header.tokens;
    int letters[2] = {0};
    for (int32_t i = 0; i < x->n_learn; i++) {
        assert_int_equal(x->first[i + 1] - x->first[i], 2);
        for (int32_t k = x->first[i]; k < x->first[i + 1]; k++) {
            buf text = buf_up_to(100);
            const int32_t g = x->target[k];
            token_decode(tokens, tree_ids(&x->learn, g), tree_at(&x->learn, g)->count, false,
                         &text);
            str letter = str_trim(buf_view(&text));
            assert_true(str_is(letter, "A") || str_is(letter, "B"));
            letters[letter.data[0] - 'A']++;
            buf_close(&text);
        }
    }
    assert_int_equal(letters[0], letters[1]);
    must_train(&o, o.w.out, (caseload_tune_options){0});
    char folder[200];
    snprintf(folder, sizeof folder, "%s/adapters/a", o.w.out);
    json_t *record = record_of(folder);
    assert_true(json_is_number(json_object_get(json_object_get(record, "best"), "tune_auroc")));
    json_decref(record);
    close_study(&o);
}

/* An arm that writes first learns a text, and is chosen by the tune rows' loss of it. */
static void test_thinking_arm(void **state)
{
    (void)state;
    opened o;
    open_study(&o, "arms:\n  - {name: a, method: [cot], think: {samples: 1, max_tokens: 4}, lora: "
                   "{steps: 2}}\n");
    assert_false(train(&o, o.w.out, (caseload_tune_options){0}));
    assert_int_equal(o.w.e.code, CASELOAD_USAGE);
    assert_non_null(strstr(o.w.e.text, "generates a text before"));
    close_world(&o.w);
    prepare(&o, "arms:\n  - {name: a, method: [cot], think: {samples: 1, max_tokens: 4},\n"
                "     lora: {steps: 8, learning_rate: 5e-3, learn: {column: why}}}\n");
    assert_true(o.g->texts.by_loss);
    must_train(&o, o.w.out, (caseload_tune_options){0});
    char folder[200];
    snprintf(folder, sizeof folder, "%s/adapters/a", o.w.out);
    json_t *record = record_of(folder), *best = json_object_get(record, "best");
    assert_null(json_object_get(best, "tune_auroc"));
    assert_true(json_number_value(json_object_get(best, "tune_loss")) > 0);
    assert_int_equal(json_integer_value(json_object_get(best, "update")), 8);
    json_decref(record);
    close_study(&o);
}

/* Three classes and none positive: chosen by the mean of each against the rest. */
static void test_three_classes(void **state)
{
    (void)state;
    opened o;
    open_study(&o, "arms:\n  - {name: zero}\n");
    write_text(o.w.dir, "study.yaml",
               "study: s\nmodel: model.gguf\nbaselines: none\nquestion: Which site?\n"
               "data: {file: texts.csv, id: id, text: text, label: label, split: split,\n"
               "  labels: {bad: [bad], good: [good], none: [x]}}\n"
               "classes: {bad: [Yes], good: [No], none: [None]}\nlimits: {max_tokens: 250}\n"
               "arms:\n  - {name: a, lora: {steps: 6}}\n");
    assert_false(train(&o, o.w.out, (caseload_tune_options){0}));
    assert_int_equal(o.w.e.code, CASELOAD_DATA);
    assert_non_null(strstr(o.w.e.text, "no row of class 'none'"));
    size_t n = 0;
    char *table = read_file(o.w.dir, "texts.csv", &n);
    int i = 0;
    for (char *at = table; (at = strstr(at, ",good,")) != NULL; at++) {
        if (i++ % 3 == 0) memcpy(at, ",x   ,", 6);
    }
    write_text(o.w.dir, "texts.csv", table);
    free(table);
    must_train(&o, o.w.out, (caseload_tune_options){0});
    char folder[200];
    snprintf(folder, sizeof folder, "%s/adapters/a", o.w.out);
    json_t *record = record_of(folder);
    assert_true(json_is_number(json_object_get(json_object_get(record, "best"), "tune_auroc")));
    json_decref(record);
    close_world(&o.w);
}

/* Threads and the way of stopping change nothing; the weight of a class does. */
static void test_same_bits(void **state)
{
    (void)state;
    opened o;
    char one[300], two[300];
    open_study(&o, "arms:\n  - {name: a, lora: {steps: 5, batch: 5, micro_tokens: 64}}\n");
    static const caseload_tune_options ways[] = {{.engine = {.threads = 1}},
                                                 {.engine = {.threads = 3}},
                                                 {.engine = {.batch = 1, .rows = 16}}};
    for (int i = 0; i < 3; i++) {
        snprintf(two, sizeof two, "%s-%d", o.w.out, i);
        must_train(&o, two, ways[i]);
        snprintf(two, sizeof two, "%s-%d/adapters/a", o.w.out, i);
        snprintf(one, sizeof one, "%s-0/adapters/a", o.w.out);
        same_adapter(one, two, true);
    }
    write_study(
        &o.w, "model.gguf",
        "question: Bad?\nbaselines: none\nlimits: {max_tokens: 250}\narms:\n"
        "  - {name: a, lora: {steps: 5, batch: 5, micro_tokens: 64, class_weights: {bad: 3}}}\n");
    must_train(&o, o.w.out, (caseload_tune_options){0});
    snprintf(two, sizeof two, "%s/adapters/a", o.w.out);
    same_adapter(one, two, false);
    close_world(&o.w);
}

/* A patient in two parts stops the study before anything is learned. */
static void test_leak_is_an_error(void **state)
{
    (void)state;
    opened o;
    open_study(&o, "arms:\n  - {name: a, lora: {steps: 2}}\n");
    size_t n = 0;
    char *table = read_file(o.w.dir, "texts.csv", &n), *at = strstr(table, ",p39,");
    assert_non_null(at);
    memcpy(at, ",p00,", 5); /* not the p0 of the training part */
    at = strstr(table, ",p1,");
    memcpy(at, ",p0,", 4);
    at = strstr(table, ",p38,");
    memcpy(at, ",p0 ,", 5);
    write_text(o.w.dir, "texts.csv", table);
    free(table);
    assert_false(train(&o, o.w.out, (caseload_tune_options){0}));
    assert_int_equal(o.w.e.code, CASELOAD_DATA);
    assert_non_null(strstr(o.w.e.text, "in two parts of the split"));
    close_world(&o.w);
}

/* ---- real models: `t_tune models` ---- */

/* The study of tools/golden/make_tune_losses.py. */
static void write_losses_study(const char *dir, const char *model, json_t *golden)
{
    char study[2000], here[300];
    assert_non_null(getcwd(here, sizeof here));
    int n = snprintf(
        study, sizeof study,
        "study: losses\nmodel: %s/%s\n"
        "data: {file: notes.csv, id: id, text: text, label: label, patient: patient, split: "
        "split}\n"
        "classes: {serious: [\"Yes\"], not-serious: [\"No\"]}\npositive: serious\n"
        "question: Was the event serious? Answer Yes or No.\n"
        "limits: {max_tokens: 1024, cut: head+tail}\nbaselines: none\narms:\n"
        "  - {name: tuned, lora: {rank: 8, learning_rate: %s, warmup: 0.1, weight_decay: 0.01, "
        "batch: %d, steps: 30, evaluate: 0}}\n",
        here, model, json_string_value(json_object_get(golden, "rate")),
        (int)json_integer_value(json_object_get(golden, "batch")));
    assert_true(n > 0 && n < (int)sizeof study);
    write_text(dir, "study.yaml", study);
}

static double worst_loss(const char *folder, json_t *want)
{
    size_t n = 0, i = 0;
    double worst = 0;
    char *log = read_file(folder, "log.jsonl", &n);
    assert_non_null(log);
    for (char *at = log, *line; (line = next_line(&at)) != NULL;) {
        json_error_t why;
        json_t *one = json_loads(line, 0, &why), *loss = json_object_get(one, "loss");
        if (loss) {
            double theirs = json_number_value(json_array_get(want, i++));
            worst = fmax(worst, fabs(json_number_value(loss) - theirs));
        }
        json_decref(one);
    }
    assert_int_equal(i, json_array_size(want));
    free(log);
    return worst;
}

/* 30 updates on the quantised weights: losses within 1e-3 of PEFT on the dequantised base. */
static void test_losses_of_real_models(void **state)
{
    (void)state;
    json_error_t why;
    const char *name;
    json_t *golden = json_load_file("tests/golden/tune_losses.json", 0, &why), *one;
    assert_non_null(golden);
    json_object_foreach(golden, name, one)
    {
        char path[300], folder[200];
        opened o = {0};
        if (!json_is_object(one)) continue;
        snprintf(path, sizeof path, "models/%s", name);
        if (access(path, R_OK) != 0) {
            print_message("  %s is absent: skipped\n", path);
            continue;
        }
        open_study(&o, "arms:\n  - {name: zero}\n");
        write_losses_study(o.w.dir, path, one);
        snprintf(path, sizeof path, "%s/notes.csv", o.w.dir);
        caseload_notes_options notes = {.out = path, .language = "en", .rows = 80, .seed = 11};
        assert_true(caseload_notes(&notes, NULL, &o.w.e));
        must_train(&o, o.w.out, (caseload_tune_options){0});
        snprintf(folder, sizeof folder, "%s/adapters/tuned", o.w.out);
        double worst = worst_loss(folder, json_object_get(one, "losses"));
        print_message("  %s: losses of 30 updates differ by at most %.1e\n", name, worst);
        assert_true(worst < 1e-3);
        close_world(&o.w);
    }
    json_decref(golden);
}

/* ---- how long it takes, before it starts ---- */

static void test_forecast(void **state)
{
    (void)state;
    opened o;
    err e = {0};
    fit_forecast f, none;
    buf line = buf_up_to(1000);
    prepare(&o, "arms:\n  - name: zero\n"
                "  - {name: a, lora: {epochs: 2, batch: 4, seeds: [1, 2]}}\n");
    fit_forecast_ask ask = {.run = &o.r, .tune = o.t, .scores = true};
    assert_true(fit_forecast_make(&none, &ask, &e) && !none.made); /* over in a moment */
    fit_forecast_say(&none, 1, &line);
    assert_int_equal(line.size, 0);
    ask.always = true;
    assert_true(fit_forecast_make(&f, &ask, &e) && f.made);
    assert_true(f.scoring > 0 && f.training > 0 && f.scoring + f.training < 100);
    fit_forecast_say(&f, 2 * (f.scoring + f.training), &line);
    assert_non_null(strstr(line.data, "time: predicted "));
    assert_non_null(strstr(line.data, "+100 %"));
    ask.scores = false; /* `tune`: the adapters alone */
    assert_true(fit_forecast_make(&f, &ask, &e) && f.made && f.scoring == 0 && f.training > 0);
    assert_string_equal(f.assumed, "");
    close_study(&o);

    /* Two ranks share one's time; what is assumed is said. */
    prepare_on(&o, "arms:\n  - name: zero\n  - {name: a, lora: {epochs: 2, batch: 4}}\n",
               (engine_options){.device = "ref,ref", .threads = 2});
    ask = (fit_forecast_ask){.run = &o.r, .tune = o.t, .scores = true, .always = true};
    assert_true(fit_forecast_make(&f, &ask, &e) && f.made);
    assert_true(f.scoring > 0 && f.training > 0);
    buf_clear(&line);
    fit_forecast_say(&f, f.scoring + f.training, &line);
    assert_non_null(strstr(line.data, "+0 % (assumed: 2 ranks that do not slow each other)\n"));
    buf_close(&line);
    close_study(&o);
}

/* ---- checkpoints, on a training that needs no model ---- */

static void read_broken(const char *path, err *e)
{
    checkpoint_job c;
    bool there = true;
    checkpoint_job_make(&c);
    if (tune_read_checkpoint(&c.job, path, &there, e)) e->code = ERR_NONE;
    assert_false(there);
}

static void test_broken_checkpoints(void **state)
{
    (void)state;
    assert_int_equal(broken_run("checkpoint", 30, read_broken), 0);
}

/* What the maker wrote as sound is read as it was written. */
static void test_checkpoint_is_read(void **state)
{
    (void)state;
    const struct {
        const char *file;
        int64_t updates;
        int32_t n_evaluation, best;
    } sound[] = {{"after-the-third", 3, 1, 0},  {"before-its-evaluation", 3, 0, -1},
                 {"after-the-fourth", 4, 1, 0}, {"at-the-end", 5, 2, 0},
                 {"no-auroc", 3, 1, 0},         {"at-the-start", 0, 0, -1}};
    for (size_t i = 0; i < countof(sound); i++) {
        size_t size = 0;
        bool there = false;
        checkpoint_job c;
        checkpoint_job_make(&c);
        buf file = buf_up_to(10000);
        char *body = read_file("fuzz/corpus/checkpoint", sound[i].file, &size);
        assert_non_null(body);
        buf_printf(&file, "caseload-tune 1\n%s", c.plan.key.hex);
        buf_add(&file, body + 1, size - 1);
        buf_add_text(&file, hash_of(file.data, file.size).hex);
        assert_true(tune_parse_checkpoint(&c.job, buf_view(&file), &there) && there);
        assert_int_equal(c.job.at.updates, sound[i].updates);
        assert_int_equal(c.job.trainer.updates, sound[i].updates);
        assert_int_equal(c.job.at.n_evaluation, sound[i].n_evaluation);
        assert_int_equal(c.job.at.best, sound[i].best);
        for (int k = 0; k < CHECKPOINT_VALUES; k++) {
            assert_true(c.value[k] == 0.125F * (float)k && c.first[k] == 0.125F * (float)(k + 6));
            assert_true(c.second[k] == 0.125F * (float)(k + 12));
        }
        for (int k = 0; k < sound[i].updates; k++) assert_true(c.loss[k] == 0.7 - 0.1 * k);
        c.plan.key.hex[0] ^= 1; /* another training's: passed over */
        assert_true(tune_parse_checkpoint(&c.job, buf_view(&file), &there) && !there);
        buf_close(&file);
        free(body);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest slow[] = {cmocka_unit_test(test_losses_of_real_models)};
    if (argc > 1 && !strcmp(argv[1], "models"))
        return cmocka_run_group_tests_name("tune, real models", slow, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_forecast),
        cmocka_unit_test(test_checkpoint_is_read),
        cmocka_unit_test(test_broken_checkpoints),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_balance),
        cmocka_unit_test(test_sizes_are_nested),
        cmocka_unit_test(test_prompts_are_those_of_scoring),
        cmocka_unit_test(test_examples_do_not_learn_themselves),
        cmocka_unit_test(test_planned_is_used),
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_units_and_sweep),
        cmocka_unit_test(test_free_text),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_thinking_arm),
        cmocka_unit_test(test_three_classes),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_leak_is_an_error),
    };
    return cmocka_run_group_tests_name("tune", tests, NULL, NULL);
}
