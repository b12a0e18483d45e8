/* study: a study of tiny random models in a folder of its own, run through the public header: for
 * the tests of whole studies. */
#ifndef CASELOAD_TESTS_STUDY_H
#define CASELOAD_TESTS_STUDY_H

#include "caseload.h"
#include "tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SECRET "XQZWPATIENT" /* in every text; must be in no result */

typedef struct world {
    char dir[64], study[128], out[128];
    caseload_error e;
    int stop_at, calls; /* of progress */
} world;

static inline void write_text(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static inline void write_table(const char *dir)
{
    char table[8000];
    size_t n = (size_t)snprintf(table, sizeof table, "id,text,label,patient,split,site\n");
    for (int i = 0; i < 16; i++) {
        n += (size_t)snprintf(table + n, sizeof table - n,
                              "r%02d,\"" SECRET " %.*s 열 %d\",%s,p%d,%s,%s\n", i, 3 + i,
                              "fever and cough and rash", i * 7, i % 2 ? "bad" : "good", i / 2,
                              i < 4 ? "train" : "test", i % 3 ? "A" : "B");
    }
    write_text(dir, "texts.csv", table);
}

/* type: of a GGUF file's matrices */
static inline void write_model_as(const char *dir, const char *name, const char *model, bool gguf,
                                  dtype type)
{
    tiny_model t;
    char path[256];
    assert_true(tiny_open(&t, model));
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (gguf) tiny_write_gguf(&t, path, type);
    else assert_int_equal(mkdir(path, 0700), 0), tiny_write_folder(&t, path, 0);
    tiny_close(&t);
}

static inline void write_model(const char *dir, const char *name, const char *model, bool gguf)
{
    write_model_as(dir, name, model, gguf, DTYPE_F32);
}

/* `rest`: question, arms, limits. */
static inline void write_study(world *w, const char *model, const char *rest)
{
    char study[4000];
    int n = snprintf(
        study, sizeof study,
        "study: tiny\nmodel: %s\ndata: {file: texts.csv, id: id, text: text, label: label, "
        "patient: patient,\n"
        "  split: split, use: test, group: site}\nclasses: {bad: [Yes, yes sir], good: "
        "[No]}\npositive: bad\n%s",
        model, rest);
    assert_true(n > 0 && n < (int)sizeof study);
    write_text(w->dir, "study.yaml", study);
}

static inline void open_world(world *w, const char *model, bool gguf)
{
    *w = (world){.stop_at = -1};
    snprintf(w->dir, sizeof w->dir, "/tmp/caseload-study-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    const char *name = gguf ? "model.gguf" : "model";
    write_model(w->dir, name, model, gguf);
    write_table(w->dir);
    write_study(w, name,
                "question: Bad?\narms:\n  - name: zero\n  - {name: one, shots: 1, seed: 2}\n"
                "limits: {max_tokens: 250, cut: head+tail}\n");
    snprintf(w->study, sizeof w->study, "%s/study.yaml", w->dir);
    snprintf(w->out, sizeof w->out, "%s/out", w->dir);
}

static inline void close_world(world *w)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", w->dir);
    assert_int_equal(system(command), 0);
}

static inline bool stopper(void *context, const caseload_state *s)
{
    world *w = context;
    assert_true(s->texts_done <= s->texts_all);
    return w->stop_at < 0 || w->calls++ < w->stop_at;
}

static inline bool run_study(world *w, const char *out, caseload_engine_options engine)
{
    caseload_run_options o = {
        .study = w->study, .out = out, .engine = engine, .progress = stopper, .context = w};
    w->e = (caseload_error){0};
    return caseload_run(&o, &w->e);
}

static inline char *read_file(const char *dir, const char *name, size_t *size)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *data = malloc(1 << 22);
    *size = fread(data, 1, (1 << 22) - 1, f);
    data[*size] = 0;
    fclose(f);
    return data;
}

static inline void assert_same_scores(const char *a, const char *b)
{
    size_t n = 0, m = 0;
    char *x = read_file(a, "scores.csv", &n), *y = read_file(b, "scores.csv", &m);
    assert_non_null(x);
    assert_non_null(y);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

static inline void must_run(world *w, const char *out, caseload_engine_options engine)
{
    if (run_study(w, out, engine)) return;
    fail_msg("%s (code %d)", w->e.text, w->e.code);
}

#endif
