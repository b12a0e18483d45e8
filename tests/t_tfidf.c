/* Tests of src/text/tfidf and src/stats/sparse: the same terms, weights, coefficients and AUROCs as
 * scikit-learn (tests/golden/tfidf.txt), on shared data where it is there. */
#include "base/rng.h"
#include "data/table.h"
#include "stats/rank.h"
#include "text/tfidf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "golden_file.h"

static void near_to(const char *name, double got, double want, double within)
{
    if (!(fabs(got - want) <= within)) fail_msg("%s: got %.15g, want %.15g", name, got, want);
}

typedef struct part { /* rows of one split */
    int64_t n;
    str *text;
    int32_t *label, *kind; /* kind: site x language */
    uint8_t *positive;
} part;

static int open_arena(void **state)
{
    static arena a;
    err e = {0};
    *state = &a;
    return arena_open(&a, (size_t)8 << 30, "test", &e) ? 0 : 1;
}

static int close_arena(void **state)
{
    arena_close(*state);
    return 0;
}

static part take_part(const table *t, const char *split, const char *positive, arena *a)
{
    err e = {0};
    size_t n = (size_t)t->n_row;
    part p = {.text = arena_take(a, n, sizeof(str), &e),
              .label = arena_take(a, n, sizeof(int32_t), &e),
              .kind = arena_take(a, n, sizeof(int32_t), &e),
              .positive = arena_take(a, n, 1, &e)};
    int32_t text = table_find_column(t, STR("text")), label = table_find_column(t, STR("label"));
    int32_t at_split = table_find_column(t, STR("split"));
    int32_t site = table_find_column(t, STR("site"));
    int32_t language = table_find_column(t, STR("language"));
    assert_int_equal(e.code, ERR_NONE);
    for (int32_t i = 0; i < t->n_row; i++) {
        if (!str_is(table_cell(t, i, at_split), split)) continue;
        p.text[p.n] = table_cell(t, i, text);
        p.positive[p.n] = str_is(table_cell(t, i, label), positive);
        p.label[p.n] = p.positive[p.n];
        if (site >= 0 && language >= 0) /* sorted: clinicen, clinicko, warden, wardko */
            p.kind[p.n] = 2 * str_is(table_cell(t, i, site), "ward") +
                          str_is(table_cell(t, i, language), "ko");
        p.n++;
    }
    return p;
}

static double sum_of(const sparse_rows *r)
{
    double sum = 0;
    for (int64_t i = 0; i < r->start[r->n]; i++) sum += r->value[i];
    return sum;
}

static double auroc_of(const sparse_model *m, const sparse_rows *r, const uint8_t *positive,
                       arena *a, double *first)
{
    err e = {0};
    rank_auroc o;
    double *score = arena_take(a, (size_t)r->n, sizeof *score, &e), z[2];
    for (int64_t i = 0; i < r->n; i++) {
        sparse_log_probabilities(m, r, i, z);
        score[i] = z[1] - z[0];
        if (first && i < 3) first[i] = score[i];
    }
    assert_true(rank_auroc_rows(score, positive, r->n, a, &o, &e));
    return o.logit.value;
}

typedef struct checked {
    const golden_file *g;
    const char *unit;
    part train, test;
    sparse_rows x, z;
    arena *a;
} checked;

static double want(const checked *c, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "%s_%s", c->unit, what);
    return golden(c->g, name);
}

static void check_binary(const checked *c, double penalty)
{
    char name[64];
    err e = {0};
    double first[3];
    sparse_model m;
    sparse_task t = {.rows = &c->x, .label = c->train.label, .n_class = 2, .c = penalty};
    assert_true(sparse_fit(&t, c->a, &m, &e));
    assert_int_equal(m.status, STAT_OK);
    double auroc = auroc_of(&m, &c->z, c->test.positive, c->a, first);
    snprintf(name, sizeof name, "%g_auroc", penalty);
    near_to(name, auroc, want(c, name), 1e-12);
    snprintf(name, sizeof name, "%g_intercept", penalty);
    near_to(name, m.weight[m.n_column], want(c, name), 1e-6);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%g_eta_%d", penalty, i);
        near_to(name, first[i], want(c, name), 1e-5);
    }
}

static void check_classes(const checked *c)
{
    char name[64];
    err e = {0};
    double z[4];
    sparse_model m;
    sparse_task t = {.rows = &c->x, .label = c->train.kind, .n_class = 4, .c = 1};
    assert_true(sparse_fit(&t, c->a, &m, &e));
    assert_int_equal(m.status, STAT_OK);
    for (int i = 0; i < 3; i++) {
        sparse_log_probabilities(&m, &c->z, i, z);
        near_to("sum", exp(z[0]) + exp(z[1]) + exp(z[2]) + exp(z[3]), 1, 1e-12);
        for (int k = 0; k < 4; k++) {
            snprintf(name, sizeof name, "class_%d_%d", i, k);
            near_to(name, exp(z[k]), want(c, name), 1e-6);
        }
    }
}

static void check_unit(tfidf_unit unit, const char *name, arena *a)
{
    golden_file g;
    err e = {0};
    table t;
    tfidf f;
    size_t mark = arena_mark(a);
    golden_read(&g, "tests/golden/tfidf.txt");
    assert_true(table_read(&t, "tests/golden/tfidf_notes.csv", (table_options){0}, a, &e));
    checked c = {.g = &g, .unit = name, .a = a};
    c.train = take_part(&t, "train", "serious", a);
    c.test = take_part(&t, "test", "serious", a);
    assert_true(tfidf_fit(&f, c.train.text, c.train.n, unit, a, &e));
    assert_true(tfidf_rows(&f, c.train.text, c.train.n, a, &c.x, &e));
    assert_true(tfidf_rows(&f, c.test.text, c.test.n, a, &c.z, &e));
    near_to("terms", f.n_term, want(&c, "terms"), 0);
    near_to("cells", (double)c.x.start[c.x.n], want(&c, "cells"), 0);
    near_to("test cells", (double)c.z.start[c.z.n], want(&c, "test_cells"), 0);
    near_to("sum", sum_of(&c.x), want(&c, "sum"), 1e-9);
    near_to("cell", c.x.value[c.x.start[8] - 1], want(&c, "cell"), 1e-12);
    for (double penalty = 0.1; penalty < 200; penalty *= 10) check_binary(&c, penalty);
    check_classes(&c);
    arena_reset(a, mark);
}

static void test_words(void **state) { check_unit(TFIDF_WORDS, "words", *state); }
static void test_characters(void **state) { check_unit(TFIDF_CHARACTERS, "characters", *state); }

static void test_strange_texts(void **state)
{
    static const char *const text[] = {"a bb ccc dd_e f-g 3mg x1 I",
                                       "Straße İstanbul ΑΒΓ ½ ² Ⅷ 五",
                                       "été noël a\u0301b cafe\u0301s",
                                       "폐렴이 의심됨, CT상 GGO.",
                                       "one\u00a0two\u3000three\u2028four\034five",
                                       "A.B.C. it's U.S.A.",
                                       "",
                                       "   ",
                                       "_ __ _a"};
    static const char *const unit_name[] = {"words", "characters"};
    enum { N = sizeof text / sizeof text[0] };
    golden_file g;
    str rows[N];
    err e = {0};
    golden_read(&g, "tests/golden/tfidf.txt");
    for (int i = 0; i < N; i++) rows[i] = str_of(text[i]);
    for (int unit = 0; unit < 2; unit++) {
        checked c = {.g = &g, .unit = unit_name[unit]};
        tfidf f;
        sparse_rows x;
        assert_true(tfidf_fit(&f, rows, N, (tfidf_unit)unit, *state, &e));
        assert_true(tfidf_rows(&f, rows, N, *state, &x, &e));
        near_to("terms", f.n_term, want(&c, "strange_terms"), 0);
        near_to("cells", (double)x.start[N], want(&c, "strange_cells"), 0);
        for (int32_t i = 1; i < f.n_term; i++) assert_true(str_order(f.term[i - 1], f.term[i]) < 0);
    }
    assert_int_equal(tfidf_suited(rows, 3), TFIDF_WORDS);
    assert_int_equal(tfidf_suited(rows + 3, 1), TFIDF_CHARACTERS);
}

static void test_no_terms_and_one_class(void **state)
{
    str nothing[3] = {STR("! ?"), STR(""), STR("-")};
    int32_t label[3] = {0, 1, 1}, same[3] = {1, 1, 1};
    uint8_t keep[3] = {0, 1, 1};
    err e = {0};
    tfidf f;
    sparse_rows x;
    sparse_model m;
    double z[2];
    assert_true(tfidf_fit(&f, nothing, 3, TFIDF_WORDS, *state, &e));
    assert_int_equal(f.n_term, 0);
    assert_true(tfidf_rows(&f, nothing, 3, *state, &x, &e));
    sparse_task t = {.rows = &x, .label = label, .n_class = 2, .c = 1};
    assert_true(sparse_fit(&t, *state, &m, &e));
    sparse_log_probabilities(&m, &x, 0, z);
    near_to("the share", exp(z[1]), 2.0 / 3, 1e-9); /* the intercept alone */
    t.label = same;
    assert_true(sparse_fit(&t, *state, &m, &e));
    assert_int_equal(m.status, STAT_ONE_CLASS);
    t.label = label;
    t.keep = keep;
    assert_true(sparse_fit(&t, *state, &m, &e));
    assert_int_equal(m.status, STAT_ONE_CLASS);
    keep[1] = keep[2] = 0;
    assert_true(sparse_fit(&t, *state, &m, &e));
    assert_int_equal(m.status, STAT_NO_CASES);
}

/* Where the objective's last bits cannot tell a step any more the fit ends: a few steps, converged,
 * for many rows and every C. */
static void test_ends(void **state)
{
    enum { ROWS = 400, COLUMNS = 3000, TERMS = 12 };
    static const double c[] = {0.1, 1, 10, 100};
    static int64_t start[ROWS + 1];
    static int32_t column[ROWS * TERMS], label[ROWS];
    static double value[ROWS * TERMS];
    int32_t most = 0;
    for (uint64_t seed = 0; seed < 12; seed++) {
        rng g = rng_for(seed, 7, 0);
        for (int32_t i = 0; i < ROWS; i++) {
            start[i + 1] = start[i] + TERMS;
            label[i] = rng_unit(&g) < 0.4;
            for (int32_t j = 0; j < TERMS; j++) {
                const int32_t at = i * TERMS + j, wide = COLUMNS / TERMS;
                column[at] = j * wide + (int32_t)rng_below(&g, (uint64_t)wide);
                value[at] = 0.1 + rng_unit(&g) / 3;
                if (label[i] && j == 0) column[at] = 0;
            }
        }
        const sparse_rows rows = {ROWS, COLUMNS, start, column, value};
        for (size_t k = 0; k < sizeof c / sizeof c[0]; k++) {
            err e = {0};
            sparse_model m;
            const sparse_task task = {.rows = &rows, .label = label, .n_class = 2, .c = c[k]};
            assert_true(sparse_fit(&task, *state, &m, &e));
            assert_int_equal(m.status, STAT_OK);
            if (m.n_step > most) most = m.n_step;
        }
    }
    print_message("48 fits: at most %d steps\n", (int)most);
    assert_true(most <= 25);
}

/* 6,000 rows to train on, 3,000 to judge: the figures of scikit-learn 1.9.1 by
 * tools/golden/tfidf.py. */
static void test_shared_reports(void **state)
{
    static const struct {
        tfidf_unit unit;
        double c, auroc;
    } known[] = {{TFIDF_WORDS, 1, 0.9509389391898242},
                 {TFIDF_WORDS, 10, 0.9491443967542843},
                 {TFIDF_CHARACTERS, 10, 0.95431937090761}};
    err e = {0};
    table t;
    if (!table_read(&t, "../shared/data/vaers-2003/texts.csv", (table_options){0}, *state, &e)) {
        print_message("skip: ../shared/data/vaers-2003 is not here\n");
        skip();
    }
    part train = take_part(&t, "train", "serious", *state);
    part test = take_part(&t, "test", "serious", *state);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        tfidf f;
        sparse_rows x, z;
        sparse_model m;
        assert_true(tfidf_fit(&f, train.text, train.n, known[i].unit, *state, &e));
        assert_true(tfidf_rows(&f, train.text, train.n, *state, &x, &e));
        assert_true(tfidf_rows(&f, test.text, test.n, *state, &z, &e));
        sparse_task task = {.rows = &x, .label = train.label, .n_class = 2, .c = known[i].c};
        assert_true(sparse_fit(&task, *state, &m, &e));
        assert_int_equal(m.status, STAT_OK);
        double auroc = auroc_of(&m, &z, test.positive, *state, NULL);
        print_message("vaers-2003, %s, C %g: AUROC %.6f (scikit-learn %.6f), %d steps\n",
                      known[i].unit == TFIDF_WORDS ? "words" : "characters", known[i].c, auroc,
                      known[i].auroc, m.n_step);
        near_to("vaers", auroc, known[i].auroc, 1e-4);
    }
}

/* T stage of pathology reports, every other report: four classes against scikit-learn's
 * multinomial fit. */
static void test_shared_stages(void **state)
{
    static const double known[4] = {0.8287162439464827, 0.7676070198458259, 0.7848568790397046,
                                    0.8234946871310507};
    err e = {0};
    table t;
    tfidf f;
    sparse_rows x, z;
    sparse_model m;
    rank_auroc o;
    if (!table_read(&t, "../shared/data/tcga-pathology/texts.csv", (table_options){0}, *state,
                    &e)) {
        print_message("skip: ../shared/data/tcga-pathology is not here\n");
        skip();
    }
    int32_t text = table_find_column(&t, STR("text")), label = table_find_column(&t, STR("label"));
    str half[2][600];
    int32_t stage[2][600];
    for (int32_t i = 0; i < t.n_row; i++) {
        half[i % 2][i / 2] = table_cell(&t, i, text);
        stage[i % 2][i / 2] = table_cell(&t, i, label).data[1] - '1';
    }
    int32_t n = t.n_row / 2; /* 1,034 rows */
    assert_true(tfidf_fit(&f, half[0], n, TFIDF_WORDS, *state, &e));
    assert_true(tfidf_rows(&f, half[0], n, *state, &x, &e));
    assert_true(tfidf_rows(&f, half[1], n, *state, &z, &e));
    sparse_task task = {.rows = &x, .label = stage[0], .n_class = 4, .c = 1};
    assert_true(sparse_fit(&task, *state, &m, &e));
    double score[600], p[4], macro = 0;
    uint8_t positive[600];
    for (int c = 0; c < 4; c++) {
        for (int32_t i = 0; i < n; i++) {
            sparse_log_probabilities(&m, &z, i, p);
            score[i] = p[c];
            positive[i] = stage[1][i] == c;
        }
        assert_true(rank_auroc_rows(score, positive, n, *state, &o, &e));
        near_to("stage", o.logit.value, known[c], 1e-4);
        macro += o.logit.value / 4;
    }
    print_message("tcga-pathology, T stage: macro AUROC %.4f (scikit-learn %.4f)\n", macro,
                  (known[0] + known[1] + known[2] + known[3]) / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),          cmocka_unit_test(test_characters),
        cmocka_unit_test(test_strange_texts),  cmocka_unit_test(test_no_terms_and_one_class),
        cmocka_unit_test(test_shared_reports), cmocka_unit_test(test_shared_stages),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
