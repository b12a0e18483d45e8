/* Tests of data/store: what was scored is there, bit for bit, whatever happens to the program. */
#include "data/store_parts.h"

#include "base/file.h"
#include "base/rng.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct place {
    arena a;
    err e;
    char folder[100], path[120];
} place;

static int set_up(void **state)
{
    static place p;
    p = (place){.folder = P_tmpdir "/t_store.XXXXXX"};
    *state = &p;
    if (!mkdtemp(p.folder)) return 1;
    snprintf(p.path, sizeof p.path, "%s/study.db", p.folder);
    return arena_open(&p.a, (size_t)1 << 34, "test", &p.e) ? 0 : 1;
}

static int tear_down(void **state)
{
    place *p = *state;
    chmod(p->folder, 0700);
    DIR *d = opendir(p->folder);
    for (struct dirent *f; d && (f = readdir(d));) {
        char name[400];
        snprintf(name, sizeof name, "%s/%s", p->folder, f->d_name);
        if (f->d_name[0] != '.') unlink(name);
    }
    if (d) closedir(d);
    rmdir(p->folder);
    arena_close(&p->a);
    return 0;
}

static void ok(const place *p, bool good)
{
    if (!good || p->e.code) fail_msg("%d: %s", (int)p->e.code, p->e.text);
}

static store *open_new(place *p)
{
    store *s = store_open(p->path, &p->e);
    ok(p, s != NULL);
    return s;
}

static hash_text key_of(int i)
{
    char text[40];
    int n = snprintf(text, sizeof text, "key %d", i);
    return hash_of(text, (size_t)n);
}

static const str class_name[] = {{"serious", 7}, {"not-serious", 11}};
static const str group_name[] = {{"sex", 3}, {"site", 4}};

/* A study of n rows and two arms. */
static void set_study(place *p, store *s, int32_t n)
{
    static const store_flow flow[] = {{{"read", 4}, 12}, {{"scored", 6}, 10}};
    static const store_arm arm[] = {{{"zero-shot", 9}, {"{\"shots\": 0}", 12}},
                                    {{"three-shot", 10}, {"{}", 2}}};
    store_row *row = arena_take(&p->a, (size_t)n, sizeof *row, &p->e);
    for (int32_t i = 0; i < n; i++) {
        char id[20];
        static const str group[2][2] = {{{"F", 1}, {"A", 1}}, {{"M", 1}, {"", 0}}};
        int k = snprintf(id, sizeof id, "row-%d", i);
        row[i] = (store_row){.id = str_keep(&p->a, (str){id, (size_t)k}, &p->e),
                             .split = STR("test"),
                             .label = i % 2,
                             .patient = i / 3,
                             .group = group[i % 2]};
    }
    store_study study = {.n_class = 2,
                         .positive = 0,
                         .class_name = class_name,
                         .n_flow = 2,
                         .flow = flow,
                         .n_arm = 2,
                         .arm = arm,
                         .n_row = n,
                         .row = row,
                         .n_group = 2,
                         .group_name = group_name};
    ok(p, store_begin(s, &p->e));
    ok(p, store_set_study(s, &study, &p->e));
    for (int32_t a = 0; a < 2; a++) {
        for (int32_t i = 0; i < n; i++) {
            store_asked q = {
                .arm = a, .row = i, .n_token = 100 + i, .n_cut = i % 4, .forced = i == 2};
            q.refused = i == 5;
            if (!q.refused) q.key = key_of(a * n + i);
            ok(p, store_add_asked(s, &q, &p->e));
        }
    }
    ok(p, store_commit(s, &p->e));
}

static double number(int i, int k)
{
    rng g = rng_for((uint64_t)i, (uint64_t)k, 0);
    return -40 * rng_unit(&g) * rng_unit(&g) - 1e-300;
}

static bool append(store *s, int i, err *e)
{
    double by_class[2] = {number(i, 0), i == 7 ? -INFINITY : number(i, 1)};
    double by_answer[4] = {number(i, 2), number(i, 3), number(i, 4), number(i, 5)};
    store_score score = {.key = key_of(i),
                         .score = by_class[0] - by_class[1],
                         .label_mass = exp(by_class[0]),
                         .n_class = 2,
                         .n_answer = 4,
                         .class_logprob = by_class,
                         .answer_logprob = by_answer,
                         .time_ms = 1.5 * i};
    return store_append(s, &score, e);
}

static void append_step(place *p, store *s, int from, int to)
{
    ok(p, store_begin(s, &p->e));
    for (int i = from; i < to; i++) ok(p, append(s, i, &p->e));
    ok(p, store_commit(s, &p->e));
}

/* Of rows [0, n) of arm 0 the first n_scored (but the refused one) have exactly their numbers. */
static void check_results(place *p, const store *s, int32_t n, int32_t n_scored)
{
    store_results r;
    ok(p, store_get_results(s, 0, &r, &p->a, &p->e));
    assert_int_equal(r.n, n);
    assert_int_equal(r.n_class, 2);
    for (int32_t i = 0; i < n; i++) {
        assert_int_equal(r.row[i], i);
        assert_int_equal(r.n_token[i], 100 + i);
        assert_int_equal(r.n_cut[i], i % 4);
        assert_int_equal(r.forced[i], i == 2);
        assert_int_equal(r.refused[i], i == 5);
        assert_int_equal(r.scored[i], i < n_scored && i != 5);
        if (!r.scored[i]) {
            assert_true(isnan(r.score[i]) && isnan(r.class_logprob[2 * i]));
            continue;
        }
        double second = i == 7 ? -INFINITY : number(i, 1);
        assert_true(r.class_logprob[2 * i] == number(i, 0));
        assert_true(r.class_logprob[2 * i + 1] == second);
        assert_true(r.score[i] == number(i, 0) - second);
        assert_true(r.label_mass[i] == exp(number(i, 0)));
        assert_true(r.time_ms[i] == 1.5 * i);
        for (int k = 0; k < 4; k++)
            assert_true(r.answer_logprob[(size_t)i * (size_t)r.n_answer + (size_t)k] ==
                        number(i, 2 + k));
    }
}

static void test_there_and_back(void **state)
{
    place *p = *state;
    store *s = open_new(p);
    int64_t run = 0;
    buf text = buf_up_to(1 << 20);
    ok(p, store_run_start(s, STR("2026-01-31T09:00:00Z"), STR("{\"threads\": 2}"), &run, &p->e));
    ok(p, store_set(s, "model.sha256", STR("old"), &p->e));
    ok(p, store_set(s, "model.sha256", STR("ab\"c\nd"), &p->e));
    set_study(p, s, 10);
    append_step(p, s, 0, 4);
    append_step(p, s, 4, 10);
    ok(p, store_run_end(s, run, STR("2026-01-31T09:05:00Z"), STR("{\"n\": 10}"), &p->e));
    store_close(s);

    s = store_open_read(p->path, &p->e);
    ok(p, s != NULL);
    check_results(p, s, 10, 10);
    store_study study;
    ok(p, store_get_study(s, &study, &p->a, &p->e));
    assert_int_equal(study.n_row, 10);
    assert_int_equal(study.positive, 0);
    assert_string_equal(study.class_name[1].data, "not-serious");
    assert_int_equal(study.flow[0].n, 12);
    assert_string_equal(study.flow[1].name.data, "scored");
    assert_string_equal(study.arm[0].record_json.data, "{\"shots\": 0}");
    assert_string_equal(study.row[9].id.data, "row-9");
    assert_int_equal(study.row[9].label, 1);
    assert_int_equal(study.row[9].patient, 3);
    assert_string_equal(study.row[9].split.data, "test");
    assert_string_equal(study.group_name[1].data, "site");
    assert_string_equal(study.row[8].group[0].data, "F");
    assert_string_equal(study.row[9].group[1].data, "");
    assert_true(store_get(s, "model.sha256", &text, &p->e));
    assert_string_equal(text.data, "ab\"c\nd");
    assert_false(store_get(s, "absent", &text, &p->e));
    ok(p, true);
    buf_clear(&text);
    ok(p, store_get_record(s, &text, &p->e));
    assert_string_equal(text.data,
                        "{\"meta\": {\"model.sha256\": \"ab\\\"c\\nd\"}, \"runs\": [{\"run\": 1, "
                        "\"started\": \"2026-01-31T09:00:00Z\", \"ended\": "
                        "\"2026-01-31T09:05:00Z\", \"record\": {\"n\": 10}}]}");
    buf_close(&text);
    store_close(s);
}

/* Going on: what is there is known by its key; a second append changes nothing. */
static void test_resume(void **state)
{
    place *p = *state;
    bool has = false;
    store *s = open_new(p);
    set_study(p, s, 10);
    append_step(p, s, 0, 4);
    store_close(s);
    s = open_new(p);
    hash_text there = key_of(3), not_there = key_of(4);
    ok(p, store_has(s, &there, &has, &p->e));
    assert_true(has);
    ok(p, store_has(s, &not_there, &has, &p->e));
    assert_false(has);
    set_study(p, s, 10); /* the same study again keeps its scores */
    check_results(p, s, 10, 4);
    append_step(p, s, 2, 10);
    check_results(p, s, 10, 10);
    set_study(p, s, 3); /* another table: fewer rows */
    store_study study;
    ok(p, store_get_study(s, &study, &p->a, &p->e));
    assert_int_equal(study.n_row, 3);
    set_study(p, s, 10); /* and back: nothing was lost */
    check_results(p, s, 10, 10);
    store_close(s);
}

static void test_undo(void **state)
{
    place *p = *state;
    store *s = open_new(p);
    set_study(p, s, 10);
    ok(p, store_begin(s, &p->e));
    ok(p, append(s, 0, &p->e));
    store_undo(s);
    check_results(p, s, 10, 0);
    ok(p, store_begin(s, &p->e));
    ok(p, append(s, 0, &p->e));
    store_close(s); /* with a transaction open */
    s = open_new(p);
    check_results(p, s, 10, 0);
    store_close(s);
}

static void test_one_writer(void **state)
{
    place *p = *state;
    err e = {0};
    store *s = open_new(p);
    set_study(p, s, 10);
    assert_null(store_open(p->path, &e));
    assert_int_equal(e.code, ERR_RESOURCE);
    assert_non_null(strstr(e.text, "another run is writing"));
    store *reader = store_open_read(p->path, &p->e);
    ok(p, reader != NULL);
    append_step(p, s, 0, 10);
    check_results(p, reader, 10, 0); /* the reader sees the moment it was opened */
    store_close(reader);
    reader = store_open_read(p->path, &p->e);
    ok(p, reader != NULL);
    check_results(p, reader, 10, 10);
    store_close(reader);
    store_close(s);
}

/* kill -9 in the middle of a step, many times, at different moments: whole steps are there. */
static void test_killed(void **state)
{
    place *p = *state;
    enum { STEP = 5, ROWS = 200 };
    store *s = open_new(p);
    set_study(p, s, ROWS);
    store_close(s);
    for (int turn = 0; turn < 12; turn++) {
        pid_t child = fork();
        if (child == 0) {
            err e = {0};
            s = store_open(p->path, &e);
            for (int from = 0; s && from < ROWS; from += STEP) {
                bool has = false;
                hash_text last = key_of(from + STEP - 1);
                if (!store_has(s, &last, &has, &e) || has) continue;
                store_begin(s, &e);
                for (int i = from; i < from + STEP; i++) append(s, i, &e);
                store_commit(s, &e);
            }
            _exit(e.code);
        }
        usleep((useconds_t)(2000 + 1500 * turn));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        s = store_open(p->path, &p->e);
        ok(p, s != NULL);
        bool has = false;
        for (int32_t from = 0; from < ROWS; from += STEP) {
            int n_there = 0;
            for (int i = from; i < from + STEP; i++) {
                hash_text key = key_of(i);
                ok(p, store_has(s, &key, &has, &p->e));
                n_there += has;
            }
            assert_true(n_there == 0 || n_there == STEP);
        }
        store_close(s);
    }
    s = open_new(p);
    append_step(p, s, 0, ROWS);
    check_results(p, s, ROWS, ROWS);
    store_close(s);
}

/* A full disk, played by a limit on the size of files: the step fails with a sentence, the steps
 * before it are safe, and with room again the run goes on. */
static void test_disk_full(void **state)
{
    place *p = *state;
    store *s = open_new(p);
    set_study(p, s, 10);
    append_step(p, s, 0, 4);
    store_close(s);
    pid_t child = fork();
    if (child == 0) {
        err e = {0};
        struct rlimit room = {.rlim_cur = 64 << 10, .rlim_max = 64 << 10};
        signal(SIGXFSZ, SIG_IGN);
        s = store_open(p->path, &e);
        if (setrlimit(RLIMIT_FSIZE, &room) != 0 || !s) _exit(1);
        for (int i = 4; i < 20000 && !e.code; i += 100) {
            if (!store_begin(s, &e)) break;
            for (int k = i; k < i + 100; k++) append(s, k, &e);
            if (e.code) store_undo(s);
            else store_commit(s, &e);
        }
        bool good = e.code == ERR_RESOURCE && strstr(e.text, "what was scored so far is safe");
        if (!good) printf("%d %s\n", (int)e.code, e.text);
        store_close(s);
        _exit(good ? 0 : 2);
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    s = open_new(p);
    append_step(p, s, 4, 10);
    check_results(p, s, 10, 10);
    store_close(s);
}

static void test_read_only_folder(void **state)
{
    place *p = *state;
    store *s = open_new(p);
    set_study(p, s, 10);
    append_step(p, s, 0, 10);
    store_close(s);
    chmod(p->folder, 0500);
    pid_t child = fork(); /* root may write anywhere: be nobody */
    if (child == 0) {
        err e = {0};
        if (geteuid() == 0 && (chown(p->folder, 65534, 65534) != 0 ||
                               chown(p->path, 65534, 65534) != 0 || setuid(65534) != 0))
            _exit(1);
        s = store_open_read(p->path, &e);
        if (!s) printf("%s\n", e.text);
        if (!s) _exit(2);
        store_results r;
        bool good = store_get_results(s, 0, &r, &p->a, &e) && r.n == 10 && r.scored[9];
        store_close(s);
        if (!good) _exit(3);
        char elsewhere[140];
        snprintf(elsewhere, sizeof elsewhere, "%s/new.db", p->folder);
        if (store_open(elsewhere, &e) || e.code != ERR_RESOURCE) _exit(4);
        _exit(strstr(e.text, "cannot write") ? 0 : 5);
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_rights(void **state)
{
    place *p = *state;
    static const char *const ending[] = {"", "-wal", "-shm", "-lock"};
    mode_t before = umask(0);
    store *s = open_new(p);
    set_study(p, s, 10);
    for (size_t i = 0; i < countof(ending); i++) {
        struct stat st;
        char name[200];
        snprintf(name, sizeof name, "%s%s", p->path, ending[i]);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    store_close(s);
    umask(before);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    if (size) assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

static void refuse(place *p, err_code code, const char *words)
{
    store *(*const open_as[])(const char *, err *) = {store_open, store_open_read};
    for (int i = 0; i < 2; i++) {
        err e = {0};
        store *s = open_as[i](p->path, &e);
        assert_null(s);
        if (e.code != code || !strstr(e.text, words))
            fail_msg("expected %d '%s', got %d '%s'", (int)code, words, (int)e.code, e.text);
    }
}

/* ---- parts and samples ---- */

static void add_parts(place *p, store *s)
{
    double z[] = {-0.1, -2.5}, answer[] = {-0.25, -3, -INFINITY};
    ok(p, store_begin(s, &p->e));
    for (int32_t row = 0; row < 3; row++) {
        for (int32_t variant = 0; variant < 2; variant++) {
            hash_text key = key_of(100 * row + variant);
            ok(p, store_add_asked_part(s, 1, row, variant, &key, &p->e));
            if (row == 2 && variant == 1) continue; /* not there yet */
            store_part part = {.key = key,
                               .n_token = 30 + row,
                               .n_class = 2,
                               .n_answer = 2 + variant,
                               .class_logprob = z,
                               .answer_logprob = answer,
                               .time_ms = 1.5};
            ok(p, store_add_part(s, &part, &p->e));
        }
    }
    for (int32_t k = 0; k < 3; k++) {
        hash_text key = key_of(0);
        store_sample sample = {.key = key,
                               .number = 2 - k,
                               .text = k ? STR("ein Text\nmit Zeilen") : STR(""),
                               .n_token = 7,
                               .end = STR("length"),
                               .class = k - 2,
                               .n_class = 2,
                               .class_logprob = z};
        z[0] = -0.1 / (k + 3);
        ok(p, store_add_sample(s, &sample, &p->e));
        sample.text = STR("what is there stays");
        ok(p, store_add_sample(s, &sample, &p->e));
    }
    ok(p, store_commit(s, &p->e));
}

static void check_parts(place *p, const store *s)
{
    store_parts all, one;
    ok(p, store_get_parts(s, 1, -1, &all, &p->a, &p->e));
    assert_int_equal(all.n, 6);
    assert_int_equal(all.n_answer, 3);
    for (int32_t i = 0; i < 6; i++) {
        assert_int_equal(all.row[i], i / 2);
        assert_int_equal(all.variant[i], i % 2);
        assert_int_equal(all.there[i], i != 5);
        if (i == 5) assert_true(isnan(all.class_logprob[10]) && isnan(all.time_ms[5]));
        else {
            assert_true(all.class_logprob[2 * i] == -0.1 && all.class_logprob[2 * i + 1] == -2.5);
            double third = all.answer_logprob[3 * i + 2];
            assert_true(i % 2 ? third == -INFINITY : isnan(third));
            assert_int_equal(all.n_token[i], 30 + i / 2);
        }
    }
    ok(p, store_get_parts(s, 1, 1, &one, &p->a, &p->e));
    assert_int_equal(one.n, 2);
    assert_int_equal(one.row[0], 1);
    ok(p, store_get_parts(s, 0, -1, &one, &p->a, &p->e));
    assert_int_equal(one.n, 0);
}

static void check_samples(place *p, const store *s)
{
    store_samples got;
    hash_text key = key_of(0);
    for (int way = 0; way < 3; way++) {
        if (way < 2) ok(p, store_get_samples(s, 1, way - 1, &got, &p->a, &p->e));
        else ok(p, store_get_samples_of(s, &key, &got, &p->a, &p->e));
        assert_int_equal(got.n, 3);
        for (int32_t k = 0; k < 3; k++) {
            assert_int_equal(got.number[k], k);
            assert_int_equal(got.class[k], -k);
            assert_true(str_is(got.text[k], k == 2 ? "" : "ein Text\nmit Zeilen"));
            assert_true(str_is(got.end[k], "length"));
            assert_true(got.class_logprob[2 * k] == -0.1 / (5 - k));
        }
    }
    ok(p, store_get_samples(s, 1, 1, &got, &p->a, &p->e));
    assert_int_equal(got.n, 0);
}

static void test_parts_and_samples(void **state)
{
    place *p = *state;
    store *s = open_new(p);
    bool has = true;
    set_study(p, s, 5);
    add_parts(p, s);
    hash_text there = key_of(0), not_there = key_of(201);
    ok(p, store_has_part(s, &there, &has, &p->e));
    assert_true(has);
    ok(p, store_has_part(s, &not_there, &has, &p->e));
    assert_false(has);
    check_parts(p, s);
    check_samples(p, s);
    store_close(s);
    s = store_open_read(p->path, &p->e);
    ok(p, s != NULL);
    check_parts(p, s);
    check_samples(p, s);
    store_close(s);
    s = store_open_memory(&p->e);
    ok(p, s != NULL);
    set_study(p, s, 5);
    add_parts(p, s);
    check_parts(p, s);
    store_close(s);
}

static void test_row_keys(void **state)
{
    (void)state;
    hash_text part[] = {key_of(1), key_of(2)}, other[] = {key_of(2), key_of(1)};
    hash_text a = store_row_key(STR("mean"), part, 2), b = store_row_key(STR("max"), part, 2);
    assert_string_not_equal(a.hex, b.hex);
    b = store_row_key(STR("mean"), other, 2);
    assert_string_not_equal(a.hex, b.hex);
    b = store_row_key(STR("mean"), part, 1);
    assert_string_not_equal(a.hex, b.hex);
    b = store_row_key(STR("mean"), part, 2);
    assert_string_equal(a.hex, b.hex);
}

/* What version 0.1 wrote: read as it is, upgraded to be written, and its scores are still there. */
static void test_schema_1(void **state)
{
    place *p = *state;
    file_map m;
    store_study study;
    store_results r;
    store_parts parts;
    store_samples samples;
    ok(p, file_map_open(&m, "tests/golden/store-1.db", ERR_OTHER, &p->e));
    write_file(p->path, m.data, m.size);
    file_map_close(&m);
    for (int round = 0; round < 3; round++) { /* as it is; upgraded; upgraded, to read */
        store *s = round == 1 ? store_open(p->path, &p->e) : store_open_read(p->path, &p->e);
        ok(p, s != NULL);
        ok(p, store_get_study(s, &study, &p->a, &p->e));
        assert_int_equal(study.n_row, 2);
        ok(p, store_get_results(s, 0, &r, &p->a, &p->e));
        assert_true(r.n == 2 && r.scored[0] && r.score[0] == 0.75 && r.score[1] == -0.25);
        ok(p, store_get_parts(s, 0, -1, &parts, &p->a, &p->e));
        ok(p, store_get_samples(s, 0, -1, &samples, &p->a, &p->e));
        assert_int_equal(parts.n, 0);
        assert_int_equal(samples.n, 0);
        bool has = true;
        hash_text key = key_of(0);
        ok(p, store_has_part(s, &key, &has, &p->e));
        assert_false(has);
        store_close(s);
    }
    store *s = open_new(p);
    add_parts(p, s);
    check_parts(p, s);
    store_close(s);
}

static void test_foreign_files(void **state)
{
    place *p = *state;
    err e = {0};
    assert_null(store_open_read(p->path, &e));
    assert_int_equal(e.code, ERR_USAGE);
    char text[5000];
    memset(text, 'x', sizeof text);
    write_file(p->path, text, sizeof text);
    refuse(p, ERR_DATA, "is damaged or not a study's results");
    store *s = NULL;
    unlink(p->path);
    s = open_new(p);
    set_study(p, s, 10);
    store_close(s);
    /* application_id (68) and user_version (60) stand in the header, big-endian */
    file_map m;
    ok(p, file_map_open(&m, p->path, ERR_OTHER, &p->e));
    unsigned char *bytes = malloc(m.size);
    memcpy(bytes, m.data, m.size);
    size_t size = m.size;
    file_map_close(&m);
    bytes[63] = 3;
    write_file(p->path, bytes, size);
    refuse(p, ERR_USAGE, "was written by another version of caseload (schema 3, this one reads 2)");
    bytes[63] = 2;
    bytes[68] ^= 1;
    write_file(p->path, bytes, size);
    refuse(p, ERR_USAGE, "is a database of another program");
    bytes[68] ^= 1;
    write_file(p->path, bytes, size - 4096 - 100);
    refuse(p, ERR_DATA, "damaged");
    free(bytes);
}

/* Any byte changed: an error or an answer, never a crash. */
static void test_damaged_files(void **state)
{
    place *p = *state;
    store *s = open_new(p);
    set_study(p, s, 10);
    append_step(p, s, 0, 10);
    store_close(s);
    file_map m;
    ok(p, file_map_open(&m, p->path, ERR_OTHER, &p->e));
    size_t size = m.size;
    unsigned char *bytes = malloc(size), *bad = malloc(size);
    memcpy(bytes, m.data, size);
    file_map_close(&m);
    rng g = rng_for(1, 2, 3);
    int n_refused = 0;
    for (int turn = 0; turn < 300; turn++) {
        memcpy(bad, bytes, size);
        for (int k = 0; k < 8; k++) bad[rng_below(&g, size)] = (unsigned char)rng_next(&g);
        write_file(p->path, bad, size);
        err e = {0};
        size_t mark = arena_mark(&p->a);
        s = store_open_read(p->path, &e);
        store_study study;
        store_results r;
        buf text = buf_up_to(1 << 24);
        bool good = s && store_get_study(s, &study, &p->a, &e) &&
                    store_get_results(s, 0, &r, &p->a, &e) && store_get_record(s, &text, &e);
        assert_int_equal(good, e.code == ERR_NONE);
        n_refused += !good;
        buf_close(&text);
        store_close(s);
        arena_reset(&p->a, mark);
    }
    assert_true(n_refused > 30);
    free(bytes);
    free(bad);
}

/* Too little memory to read it: a sentence, and the store can be read again. */
static void test_memory_runs_out(void **state)
{
    place *p = *state;
    int n_failed = 0;
    store *s = open_new(p);
    set_study(p, s, 10);
    append_step(p, s, 0, 10);
    for (size_t bytes = 64; bytes < 64 << 10; bytes += 64) {
        arena a;
        err e = {0};
        store_study study;
        store_results r;
        assert_true(arena_open(&a, bytes, "test", &e));
        bool good = store_get_study(s, &study, &a, &e) && store_get_results(s, 0, &r, &a, &e);
        assert_int_equal(e.code, good ? ERR_NONE : ERR_RESOURCE);
        n_failed += !good;
        arena_close(&a);
    }
    assert_in_range(n_failed, 40, 900);
    check_results(p, s, 10, 10);
    store_close(s);
}

static void test_broken_numbers(void **state)
{
    place *p = *state;
    store *s = open_new(p);
    double nan_class[2] = {-1, NAN}, fine[2] = {-1, -2};
    store_score score = {.key = key_of(1), .score = 1, .n_class = 2, .n_answer = 2};
    score.class_logprob = nan_class;
    score.answer_logprob = fine;
    ok(p, store_begin(s, &p->e));
    assert_false(store_append(s, &score, &p->e));
    assert_int_equal(p->e.code, ERR_MODEL);
    store_close(s);
}

static hash_text key_with(const store_key_parts *base, int change)
{
    int32_t prompt[] = {1, 2, 3}, start[] = {0, 1, 3}, id[] = {7, 8, 9}, class[] = {0, 1};
    store_key_parts k = *base;
    k.prompt = prompt;
    k.answer_start = start;
    k.answer_id = id;
    k.answer_class = class;
    switch (change) {
    case 1: prompt[2] = 4; break;
    case 2: start[1] = 2; break;
    case 3: id[0] = 6; break;
    case 4: class[1] = 0; break;
    case 5: k.n_prompt = 2; break;
    case 6: k.model_hash = STR("m2"); break;
    case 7: k.tokenizer_hash = STR("t2"); break;
    case 8: k.numerics = STR("n2"); break;
    case 9: k.n_answer = 1; break;
    case 10: k.model_hash = STR("mt"), k.tokenizer_hash = STR(""); break;
    default: break;
    }
    return store_key(&k);
}

static void test_keys(void **state)
{
    (void)state;
    store_key_parts base = {.model_hash = STR("m"),
                            .tokenizer_hash = STR("t"),
                            .numerics = STR("n"),
                            .n_prompt = 3,
                            .n_answer = 2};
    hash_text key[11];
    for (int i = 0; i < 11; i++) {
        key[i] = key_with(&base, i);
        assert_string_equal(key[i].hex, key_with(&base, i).hex);
        for (int k = 0; k < i; k++) assert_string_not_equal(key[i].hex, key[k].hex);
    }
}

static void test_more_classes(void **state)
{
    place *p = *state;
    static const str name[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    static const store_arm arm = {{"x", 1}, {"{}", 2}};
    static const store_row row = {.id = {"r", 1}, .split = {"", 0}, .label = 2, .patient = -1};
    store_study study = {.n_class = 3,
                         .positive = -1,
                         .class_name = name,
                         .n_arm = 1,
                         .arm = &arm,
                         .n_row = 1,
                         .row = &row};
    double z[3] = {-1, -2, -3};
    store_score score = {
        .key = key_of(1), .score = NAN, .label_mass = 0.5, .n_class = 3, .class_logprob = z};
    store_asked q = {.key = key_of(1), .n_token = 5};
    store *s = open_new(p);
    ok(p, store_begin(s, &p->e));
    ok(p, store_set_study(s, &study, &p->e));
    ok(p, store_add_asked(s, &q, &p->e));
    ok(p, store_append(s, &score, &p->e));
    ok(p, store_commit(s, &p->e));
    store_results r;
    ok(p, store_get_results(s, 0, &r, &p->a, &p->e));
    assert_true(r.n == 1 && r.n_class == 3 && r.n_answer == 0 && r.scored[0]);
    assert_true(isnan(r.score[0]) && r.class_logprob[2] == -3);
    ok(p, store_get_study(s, &study, &p->a, &p->e));
    assert_int_equal(study.positive, -1);
    assert_int_equal(study.row[0].patient, -1);
    store_close(s);
}

/* A damaged file must not lead readers outside their rows. */
static void test_results_of_no_row(void **state)
{
    static const int32_t wrong[] = {10, 1000000, INT32_MAX, -1, INT32_MIN};
    place *p = *state;
    store *s = open_new(p);
    for (size_t i = 0; i < countof(wrong); i++) {
        set_study(p, s, 10);
        store_asked q = {.row = wrong[i], .key = key_of(1), .n_token = 5};
        store_results r;
        ok(p, store_begin(s, &p->e));
        ok(p, store_add_asked(s, &q, &p->e));
        ok(p, store_commit(s, &p->e));
        assert_false(store_get_results(s, 0, &r, &p->a, &p->e));
        assert_int_equal(p->e.code, ERR_DATA);
        assert_non_null(strstr(p->e.text, "belongs to no row"));
        p->e = (err){0};
    }
    store_close(s);
}

/* 10,000 rows, two arms: writing the study and its scores in steps of 64. */
static void test_speed(void **state)
{
    place *p = *state;
    struct timespec from, to;
    store *s = open_new(p);
    clock_gettime(CLOCK_MONOTONIC, &from);
    set_study(p, s, 10000);
    for (int i = 0; i < 2 * 10000; i += 64) append_step(p, s, i, i + 64 < 20000 ? i + 64 : 20000);
    clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
    store_results r;
    ok(p, store_get_results(s, 1, &r, &p->a, &p->e));
    clock_gettime(CLOCK_MONOTONIC, &from);
    double read = (double)(from.tv_sec - to.tv_sec) + 1e-9 * (double)(from.tv_nsec - to.tv_nsec);
    assert_int_equal(r.n, 10000);
    printf("20,000 scores in 313 steps: written in %.2f s; 10,000 read in %.3f s\n", seconds, read);
    store_close(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_there_and_back),
        TEST(test_resume),
        TEST(test_undo),
        TEST(test_one_writer),
        TEST(test_killed),
        TEST(test_disk_full),
        TEST(test_read_only_folder),
        TEST(test_rights),
        TEST(test_parts_and_samples),
        TEST(test_row_keys),
        TEST(test_schema_1),
        TEST(test_foreign_files),
        TEST(test_damaged_files),
        TEST(test_memory_runs_out),
        TEST(test_broken_numbers),
        TEST(test_keys),
        TEST(test_more_classes),
        TEST(test_results_of_no_row),
        TEST(test_speed),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
