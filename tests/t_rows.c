/* Tests of data/rows, data/split and data/guess: what a study makes of its table. */
#include "base/file.h"
#include "data/guess.h"
#include "data/names.h"
#include "data/split.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct place {
    arena a;
    err e;
    spec s;
    table t;
    rows r;
} place;

static int set_up(void **state)
{
    static place p;
    p = (place){0};
    *state = &p;
    return arena_open(&p.a, (size_t)1 << 36, "test", &p.e) ? 0 : 1;
}

static int tear_down(void **state)
{
    arena_close(&((place *)*state)->a);
    return 0;
}

/* `data`: further lines of the data map; `more`: of the study. */
static bool make(place *p, const char *data, const char *more, const char *csv, int32_t limit)
{
    char text[4000];
    snprintf(text, sizeof text,
             "study: s\ndata:\n  file: t.csv\n  id: id\n  label: label\n%s"
             "classes: {yes: [Yes], no: [No]}\npositive: yes\nquestion: q\n%s",
             data, more);
    p->e = (err){0};
    arena_reset(&p->a, 0);
    if (!spec_parse(&p->s, str_of(text), "study.yaml", &p->a, &p->e)) fail_msg("%s", p->e.text);
    if (!table_parse(&p->t, str_of(csv), "t.csv", (table_options){0}, &p->a, &p->e))
        fail_msg("%s", p->e.text);
    rows_options o = {.limit = limit};
    bool ok = rows_make(&p->r, &p->s, &p->t, o, &p->a, &p->e);
    assert_int_equal(ok, p->e.code == ERR_NONE);
    return ok;
}

static void check_flow(const place *p)
{
    int32_t sum = 0;
    for (int f = 0; f < ROW_FATE_COUNT; f++) sum += p->r.flow[f];
    assert_int_equal(sum, p->r.n_read);
    assert_int_equal(p->r.flow[ROW_SCORED], p->r.scored.n);
    assert_int_equal(p->r.flow[ROW_EXAMPLE], p->r.pool.n);
}

static bool warns(const place *p, const char *words)
{
    for (int32_t i = 0; i < p->r.n_warning; i++) {
        if (strstr(p->r.warning[i].data, words)) return true;
    }
    return false;
}

static void test_every_row_has_a_fate(void **state)
{
    place *p = *state;
    assert_true(make(p,
                     "  text: text\n  patient: who\n  group: [sex, site]\n  split: part\n  "
                     "patients_across_splits: {allowed: a test}\n"
                     "  missing: [NA]\n",
                     "arms: [{name: a, shots: 2}]\n",
                     "id,text,label,who,sex,part,site\n"
                     "1,one,yes,p1,F,test,A\n"
                     " 2 ,two, no ,p2,M, test ,B\n"
                     "3,,yes,p3,F,test,A\n"
                     "4,four,,p4,F,test,A\n"
                     "5,five,NA,p5,F,test,A\n"
                     "6,six,yes,p1,F,train,A\n"
                     "7,seven,no,,F,train,A\n"
                     "8,,no,p6,F,train,A\n"
                     "9,nine,,p6,F,train,A\n"
                     "10,ten,unheard,p6,F,dev,A\n"
                     "11,eleven,no,,,test,\n",
                     0));
    check_flow(p);
    const rows *r = &p->r;
    assert_int_equal(r->n_read, 11);
    assert_int_equal(r->flow[ROW_SCORED], 3);
    assert_int_equal(r->flow[ROW_EXAMPLE], 2);
    assert_int_equal(r->flow[ROW_OTHER_SPLIT], 1);
    assert_int_equal(r->flow[ROW_NO_TEXT], 1);
    assert_int_equal(r->flow[ROW_NO_LABEL], 1);
    assert_int_equal(r->flow[ROW_MISSING_LABEL], 1);
    assert_int_equal(r->flow[ROW_EXAMPLE_UNUSABLE], 2);
    assert_true(str_is(r->scored.id[1], "2"));
    assert_int_equal(r->scored.label[0], 0);
    assert_int_equal(r->scored.label[1], 1);
    assert_int_equal(r->scored.table_row[2], 10);
    assert_int_equal(r->scored.patient[0], r->pool.patient[0]);
    assert_true(str_is(r->patient_id[r->scored.patient[1]], "p2"));
    assert_int_equal(r->scored.patient[2], -1);
    assert_int_equal(r->pool.patient[1], -1);
    assert_int_equal(r->n_patient, 2);
    assert_int_equal(r->n_group, 2);
    assert_true(str_is(r->group[0 * 3 + 1], "M"));
    assert_true(str_is(r->group[1 * 3 + 1], "B"));
    assert_true(str_is(r->group[1 * 3 + 2], ""));
    assert_int_equal(r->n_of_class[0], 1);
    assert_int_equal(r->n_of_class[1], 2);
    assert_int_equal(rows_find(r, STR("11")), 2);
    assert_int_equal(rows_find(r, STR("6")), -1);
    assert_true(
        warns(p, "2 patients are in two parts of the split, which the study allows: a test"));
    assert_true(warns(p, "1 rows to score have an empty patient"));
}

static void test_examples_only_when_asked(void **state)
{
    place *p = *state;
    static const char csv[] = "id,text,label,part\n1,a,yes,test\n2,b,no,test\n3,c,yes,train\n";
    assert_true(make(p, "  text: text\n  split: part\n", "baselines: keywords\n", csv, 0));
    assert_int_equal(p->r.flow[ROW_OTHER_SPLIT], 1);
    assert_int_equal(p->r.pool.n, 0);
    check_flow(p);
    assert_true(make(p, "  text: text\n", "", csv, 0)); /* no split: all rows */
    assert_int_equal(p->r.scored.n, 3);
    assert_false(p->r.has_patient);
}

static void test_texts_are_joined(void **state)
{
    place *p = *state;
    assert_true(make(p, "  text: [findings, impression]\n", "",
                     "id,findings,impression,label\n1,F one,I one,yes\n2, ,I two,no\n"
                     "3,F three,\xC2\xA0\xE3\x80\x80,no\n4,\xC2\xA0,,no\n",
                     0));
    assert_true(str_is(p->r.scored.text[0], "findings:\nF one\n\nimpression:\nI one"));
    assert_true(str_is(p->r.scored.text[1], "impression:\nI two"));
    assert_true(str_is(p->r.scored.text[2], "findings:\nF three"));
    assert_int_equal(p->r.flow[ROW_NO_TEXT], 1);
    check_flow(p);
}

static void test_labels_by_value(void **state)
{
    place *p = *state;
    assert_true(make(p, "  text: text\n  labels: {yes: [1, Y]}\n", "",
                     "id,text,label\n1,a,1\n2,b,Y\n3,c,no\n", 0));
    assert_int_equal(p->r.n_of_class[0], 2);
    assert_false(make(p, "  text: text\n  labels: {yes: [1]}\n", "",
                      "id,text,label\n1,a,1\n2,b,yes\n3,c,no\n4,d,yes\n", 0));
    assert_int_equal(p->e.code, ERR_DATA);
    assert_non_null(strstr(p->e.text, "column 'label' holds values that are no class of the study: "
                                      "'yes' (2 rows); the classes are yes, no"));
}

/* A column of texts taken for the labels must not be printed. */
static void test_texts_are_not_printed_as_labels(void **state)
{
    place *p = *state;
    assert_false(
        make(p, "  text: text\n", "",
             "id,text,label\n1,a,The patient Jane Doe of Main Street came on Monday with it\n"
             "2,b,no\n",
             0));
    assert_null(strstr(p->e.text, "Jane"));
    assert_non_null(strstr(p->e.text, "holds 1 values that are no class of the study, in 1 rows"));
}

static void test_errors_say_where(void **state)
{
    place *p = *state;
    assert_false(make(p, "  text: texte\n", "", "id,text,label\n1,a,yes\n2,b,no\n", 0));
    assert_int_equal(p->e.code, ERR_USAGE);
    assert_string_equal(p->e.text,
                        "study.yaml: line 6: no column 'texte' in t.csv; its columns are: "
                        "id, text, label; did you mean 'text'?");
    assert_false(make(p, "  text: text\n", "", "id,text,label\n1,a,yes\n2,b,no\n1,c,no\n", 0));
    assert_int_equal(p->e.code, ERR_DATA);
    assert_non_null(strstr(p->e.text, "t.csv: rows 1 and 3 have the same id '1'"));
    assert_false(make(p, "  text: text\n", "", "id,text,label\n1,\"a\nb\",yes\n ,b,no\n", 0));
    assert_non_null(strstr(p->e.text, "t.csv: row 2 (line 4) has an empty id"));
    assert_false(make(p, "  text: text\n", "", "id,text,label\n1,a,no\n2,b,no\n", 0));
    assert_non_null(strstr(p->e.text, "no row to score is of class 'yes'"));
    assert_false(make(p, "  text: text\n", "", "id,text,label\n1,a,yes\n2,b,yes\n", 0));
    assert_non_null(strstr(p->e.text, "all rows to score are of class 'yes'"));
    assert_false(make(p, "  text: text\n", "", "id,text,label\n1,,yes\n2,b,\n", 0));
    assert_non_null(
        strstr(p->e.text, "no row is left to score: of 2 rows, 1 have no text, 1 no label"));
    assert_false(make(p, "  text: text\n  split: part\n", "",
                      "id,text,label,part\n1,a,yes,dev\n2,b,no,dev\n", 0));
    assert_int_equal(p->e.code, ERR_USAGE);
    assert_non_null(strstr(p->e.text, "line 7: no row of t.csv has 'test' in its column 'part'"));
}

static void test_limit(void **state)
{
    place *p = *state;
    static const char csv[] = "id,text,label\n1,a,no\n2,,no\n3,c,no\n4,d,yes\n5,e,no\n";
    assert_true(make(p, "  text: text\n", "", csv, 3));
    check_flow(p);
    assert_int_equal(p->r.scored.n, 3);
    assert_int_equal(p->r.flow[ROW_BEYOND_LIMIT], 1);
    assert_int_equal(p->r.flow[ROW_NO_TEXT], 1);
    assert_true(make(p, "  text: text\n", "", csv, 2)); /* a look at two rows is not refused */
    assert_true(warns(p, "no AUROC can be made of them"));
}

static void test_warnings(void **state)
{
    place *p = *state;
    buf csv = buf_up_to(1 << 20);
    buf_add_text(&csv, "id,text,label,part\n1.23E+10,");
    for (int i = 0; i < 32767; i++) buf_add_char(&csv, 'x');
    buf_add_text(&csv,
                 ",yes,test\n1.23E+1,short \xEF\xBF\xBD,no,test\n3,same,no,test\n4,same,no,test\n"
                 "5,same ,no,train\n6,\xEE\x80\x80,yes,train\n,,,\n");
    assert_true(
        make(p, "  text: text\n  split: part\n", "arms: [{name: a, shots: 2}]\n", csv.data, 0));
    assert_true(warns(p, "1 texts have exactly 32,767 characters"));
    assert_true(warns(p, "(first: row '1.23E+10')"));
    assert_true(warns(p, "2 ids look like 1.23E+10"));
    assert_true(warns(p, "1 replacement characters"));
    assert_true(warns(p, "1 private-use characters"));
    assert_true(warns(p, "1 rows of empty cells at the end"));
    assert_true(warns(p, "1 rows to score repeat the text"));
    assert_true(
        warns(p, "1 rows of the training part have word for word the text of a row to score"));
    assert_true(make(p, "  text: text\n", "", "id,text,label\nE1,a,yes\n2.5,b,no\n1E+,c,no\n", 0));
    assert_int_equal(p->r.n_warning, 0);
    buf_close(&csv);
}

static void test_nested_cells(void **state)
{
    place *p = *state;
    static const char json[] = "{\"id\": 1, \"text\": [\"a\"], \"label\": \"yes\"}\n";
    p->e = (err){0};
    assert_true(spec_parse(&p->s,
                           STR("study: s\ndata: {file: t, id: id, text: text, label: label}\n"
                               "classes: {yes: [Y], no: [N]}\npositive: yes\nquestion: q\n"),
                           "study.yaml", &p->a, &p->e));
    assert_true(table_parse(&p->t, STR(json), "t.jsonl", (table_options){0}, &p->a, &p->e));
    assert_false(rows_make(&p->r, &p->s, &p->t, (rows_options){0}, &p->a, &p->e));
    assert_non_null(strstr(p->e.text, "column 'text': a list or object where one value is needed"));
}

static void test_names(void **state)
{
    place *p = *state;
    names n;
    char text[20];
    assert_true(names_make(&n, 3000, &p->a, &p->e));
    for (int i = 0; i < 6000; i++) {
        bool is_new = false;
        int k = snprintf(text, sizeof text, "name %d", i % 3000);
        str kept = str_keep(&p->a, (str){text, (size_t)k}, &p->e);
        assert_int_equal(names_add(&n, kept, &is_new), i % 3000);
        assert_int_equal(is_new, i < 3000);
    }
    assert_int_equal(n.n, 3000);
    assert_int_equal(names_find(&n, STR("name 2999")), 2999);
    assert_int_equal(names_find(&n, STR("name")), -1);
}

/* --- examples --- */

/* 60 examples: patients p0 .. p19 with three rows each, every fourth row positive; and 40 rows to
 * score of patients p10 .. p29. */
static void make_pool(place *p, int32_t k, int32_t limit)
{
    char more[100];
    buf csv = buf_up_to(1 << 20);
    buf_add_text(&csv, "id,text,label,who,part\n");
    for (int i = 0; i < 60; i++)
        buf_printf(&csv, "t%d,train %d,%s,p%d,train\n", i, i, i % 4 ? "no" : "yes", i / 3);
    for (int i = 0; i < 40; i++)
        buf_printf(&csv, "s%d,test %d,%s,p%d,test\n", i, i, i % 2 ? "no" : "yes", 10 + i / 2);
    snprintf(more, sizeof more, "arms: [{name: a, shots: %d, seed: 5}]\n", k);
    if (!make(p,
              "  text: text\n  patient: who\n  split: part\n  patients_across_splits: {allowed: a "
              "test}\n",
              more, csv.data, limit))
        fail_msg("%s", p->e.text);
    buf_close(&csv);
}

static void check_set(const place *p, const shots *s, int32_t set)
{
    int32_t n_class[2] = {0}, n_class_pool[2] = {15, 45};
    for (int32_t i = 0; i < s->k; i++) {
        int32_t x = s->example[set * s->k + i];
        assert_in_range(x, 0, p->r.pool.n - 1);
        for (int32_t j = 0; j < i; j++) assert_int_not_equal(x, s->example[set * s->k + j]);
        n_class[p->r.pool.label[x]]++;
    }
    for (int c = 0; c < 2 && s->k >= 2; c++) {
        assert_true(n_class[c] >= 1);
        if (s->k / 2 <= 12) assert_in_range(n_class[c], s->k / 2, s->k / 2 + 1);
        assert_true(n_class[c] <= n_class_pool[c]);
    }
}

static void test_shots(void **state)
{
    place *p = *state;
    int n_own = 0;
    for (int32_t k = 1; k <= 40; k += k < 8 ? 1 : 8) {
        shots s = {0};
        make_pool(p, k, 0);
        assert_true(shots_pick(&s, &p->r, &p->s.arms[0], p->s.seed, &p->a, &p->e));
        assert_int_equal(s.k, k);
        assert_in_range(s.n_set, 1, k + 1);
        for (int32_t set = 0; set < s.n_set; set++) check_set(p, &s, set);
        for (int32_t i = 0; i < p->r.scored.n; i++) {
            assert_in_range(s.set[i], 0, s.n_set - 1);
            n_own += s.set[i] > 0;
            for (int32_t j = 0; j < k; j++) {
                int32_t x = s.example[s.set[i] * k + j];
                assert_int_not_equal(p->r.pool.patient[x], p->r.scored.patient[i]);
            }
        }
    }
    assert_true(n_own > 20); /* the case the rule is for has happened */
}

static void copy_ids(const place *p, const shots *s, int32_t row, char out[2000])
{
    out[0] = 0;
    for (int32_t j = 0; j < s->k; j++) {
        str id = p->r.pool.id[s->example[s->set[row] * s->k + j]];
        size_t n = strlen(out);
        snprintf(out + n, 2000 - n, "%.*s ", (int)id.size, id.data);
    }
}

/* A row's examples do not depend on which other rows are scored; they do on the seed. */
static void test_shots_belong_to_the_row(void **state)
{
    place *p = *state;
    char all[40][2000], some[2000];
    shots s = {0};
    int n_own = 0, n_other = 0;
    make_pool(p, 6, 0);
    assert_true(shots_pick(&s, &p->r, &p->s.arms[0], p->s.seed, &p->a, &p->e));
    for (int32_t i = 0; i < 40; i++) copy_ids(p, &s, i, all[i]);
    for (int32_t limit = 1; limit <= 40; limit += 3) {
        make_pool(p, 6, limit);
        assert_true(shots_pick(&s, &p->r, &p->s.arms[0], p->s.seed, &p->a, &p->e));
        for (int32_t i = 0; i < limit; i++) {
            copy_ids(p, &s, i, some);
            assert_string_equal(some, all[i]);
            n_own += s.set[i] > 0;
        }
    }
    assert_true(n_own > 0);
    make_pool(p, 6, 0);
    for (uint64_t seed = 2; seed < 12; seed++) {
        assert_true(shots_pick(&s, &p->r, &p->s.arms[0], seed, &p->a, &p->e));
        copy_ids(p, &s, 0, some);
        n_other += strcmp(some, all[0]) != 0;
    }
    assert_int_equal(n_other, 10);
}

/* Every example of a class is as likely as any other, and every place in the order. */
static void test_shots_are_drawn_evenly(void **state)
{
    place *p = *state;
    int n_of[60] = {0}, n_first_yes = 0;
    shots s = {0};
    make_pool(p, 2, 0);
    size_t mark = arena_mark(&p->a);
    for (uint64_t seed = 0; seed < 4500; seed++) {
        assert_true(shots_pick(&s, &p->r, &p->s.arms[0], seed, &p->a, &p->e));
        for (int j = 0; j < 2; j++) n_of[s.example[j]]++;
        n_first_yes += p->r.pool.label[s.example[0]] == 0;
        arena_reset(&p->a, mark);
    }
    for (int i = 0; i < 60; i++) {
        int expected = i % 4 ? 100 : 300; /* 45 of one class, 15 of the other */
        assert_in_range(n_of[i], expected * 6 / 10, expected * 14 / 10);
    }
    assert_in_range(n_first_yes, 2250 - 170, 2250 + 170); /* 5 standard deviations */
}

static void test_shots_errors(void **state)
{
    place *p = *state;
    shots s = {0};
    static const char *const data = "  text: text\n  patient: who\n  split: part\n  "
                                    "patients_across_splits: {allowed: a test}\n";
    static const char *const arm = "arms: [{name: a, shots: 2}]\n";
    assert_true(make(p, data, arm,
                     "id,text,label,who,part\n1,a,yes,p,test\n2,b,no,q,test\n3,c,no,q,train\n"
                     "4,d,no,r,train\n",
                     0));
    assert_false(shots_pick(&s, &p->r, &p->s.arms[0], 1, &p->a, &p->e));
    assert_int_equal(p->e.code, ERR_DATA);
    assert_non_null(strstr(p->e.text,
                           "arm 'a': 2 examples must cover every class, but no row of the "
                           "examples' split is of class 'yes'"));
    assert_true(make(p, data, arm,
                     "id,text,label,who,part\n1,a,yes,p,test\n2,b,no,q,test\n3,c,no,q,train\n"
                     "4,d,yes,p,train\n",
                     0));
    assert_false(shots_pick(&s, &p->r, &p->s.arms[0], 1, &p->a, &p->e));
    assert_non_null(strstr(p->e.text, "and of another patient than the row to score"));
    assert_true(make(p, data, "arms: [{name: a, shots: 5}]\n",
                     "id,text,label,who,part\n1,a,yes,p,test\n2,b,no,q,test\n3,c,no,x,train\n"
                     "4,d,yes,y,train\n",
                     0));
    assert_false(shots_pick(&s, &p->r, &p->s.arms[0], 1, &p->a, &p->e));
    assert_non_null(
        strstr(p->e.text, "5 examples are asked for, but the examples' split has only 2"));
}

/* --- guess --- */

static bool guess_parse(place *p, const char *csv, guess *g, buf *study)
{
    p->e = (err){0};
    buf_clear(study);
    if (!table_parse(&p->t, str_of(csv), "t.csv", (table_options){0}, &p->a, &p->e))
        fail_msg("%s", p->e.text);
    if (!guess_columns(g, &p->t, &p->a, &p->e)) return false;
    if (!guess_write_study(g, &p->t, STR("my notes (1).csv"), STR("m.gguf"), study, &p->e))
        fail_msg("%s", p->e.text);
    if (!spec_parse(&p->s, buf_view(study), "study.yaml", &p->a, &p->e))
        fail_msg("%s\n%s", p->e.text, study->data);
    if (!rows_make(&p->r, &p->s, &p->t, (rows_options){0}, &p->a, &p->e))
        fail_msg("%s\n%s", p->e.text, study->data);
    return true;
}

static void add_notes(buf *csv, const char *header, const char *row)
{
    buf_clear(csv);
    buf_add_text(csv, header);
    for (int i = 0; i < 12; i++) {
        for (const char *c = row; *c; c++) {
            if (*c == '#') buf_printf(csv, "%d", i);
            else if (*c == '@') buf_printf(csv, "%d", i / 2);
            else if (*c == '?') buf_printf(csv, "%d", i % 3 == 0);
            else if (*c == '$') buf_add_text(csv, i < 6 ? "train" : "test");
            else buf_add_char(csv, *c);
        }
    }
}

static void test_guess(void **state)
{
    place *p = *state;
    guess g;
    buf csv = buf_up_to(1 << 20), study = buf_up_to(1 << 20);
    add_notes(&csv, "note_id,patient_id,sex,report_text,outcome,split\n",
              "n#,p@,F,A note of some length about a patient number #.,?,$\n");
    assert_true(guess_parse(p, csv.data, &g, &study));
    assert_true(g.id == 0 && g.patient == 1 && g.text == 3 && g.label == 4 && g.split == 5);
    assert_string_equal(p->s.classes[0].name.text.data, "positive");
    assert_string_equal(p->s.data.labels[0].surfaces.item[0].text.data, "1");
    assert_int_equal(p->r.scored.n, 6);
    assert_int_equal(p->s.n_arm, 2);
    assert_string_equal(p->s.study.text.data, "mynotes1");
    assert_string_equal(p->s.data.file.text.data, "my notes (1).csv");

    add_notes(&csv, "검사번호,환자번호,성별,판독문,라벨\n",
              "#,p@,남,흉부 영상에서 폐렴을 시사하는 소견이 관찰됩니다 번호 #.,등급?\n");
    assert_true(guess_parse(p, csv.data, &g, &study));
    assert_true(g.id == 0 && g.patient == 1 && g.text == 3 && g.label == 4 && g.split == -1);
    assert_true(g.korean);
    assert_string_equal(p->s.classes[0].surfaces.item[0].text.data, "예");

    /* names that say nothing, values that YAML and JSON must quote */
    add_notes(&csv, "\"a: b\",\"c #\n\",\"- d\"\n",
              "k#,\"Words enough to be taken for the text, number #\",\"x: [?] \"\"q\"\"\"\n");
    assert_true(guess_parse(p, csv.data, &g, &study));
    assert_true(g.id == 0 && g.text == 1 && g.label == 2);
    assert_string_equal(p->s.classes[0].name.text.data, "x: [1] \"q\"");

    /* texts to compare with; one short kind of them is no label */
    add_notes(&csv, "id,input,reference,section,split\n",
              "#,\"Doctor: how long have you had it? Patient: for # days.\",\"The patient has had "
              "this complaint for # days, without a fever.\",HX?,$\n");
    assert_true(guess_parse(p, csv.data, &g, &study));
    assert_true(g.id == 0 && g.text == 1 && g.reference == 2 && g.label == -1 && g.split == 4);
    assert_string_equal(p->s.data.reference.text.data, "reference");
    assert_int_equal(p->s.n_class, 1);
    assert_int_equal(p->r.scored.n, 6);
    /* a column that is named as the split is no label */
    add_notes(&csv, "id,text,split\n", "#,Words enough to be taken for the text number #,part?\n");
    assert_false(guess_parse(p, csv.data, &g, &study));

    add_notes(&csv, "id,text,label\n", "#,Words enough to be taken for the text number #,#\n");
    assert_false(guess_parse(p, csv.data, &g, &study));
    assert_int_equal(p->e.code, ERR_DATA);
    assert_non_null(strstr(p->e.text, "no column looks like the label"));
    add_notes(&csv, "id,label\n", "#,?\n");
    assert_false(guess_parse(p, csv.data, &g, &study));
    assert_non_null(strstr(p->e.text, "no column looks like the text"));
    add_notes(&csv, "text,label\n", "Words enough to be taken for the text of a row,?\n");
    assert_false(guess_parse(p, csv.data, &g, &study));
    assert_non_null(strstr(p->e.text, "no column can be the id"));
    buf_close(&csv);
    buf_close(&study);
}

static void test_guess_missing_labels(void **state)
{
    place *p = *state;
    guess g;
    buf study = buf_up_to(1 << 20);
    assert_true(guess_parse(p,
                            "id,text,label\n1,words enough to be a text one,yes\n"
                            "2,words enough to be a text two,no\n3,words enough to be a text 3,NA\n"
                            "4,words enough to be a text four,no\n5,words enough to be a text,\n"
                            "6,words enough to be a text six,yes\n7,words enough to be text,no\n",
                            &g, &study));
    assert_int_equal(g.n_class, 2);
    assert_int_equal(g.n_missing, 1);
    assert_int_equal(p->r.flow[ROW_MISSING_LABEL], 1);
    assert_int_equal(p->r.flow[ROW_NO_LABEL], 1);
    assert_int_equal(p->r.scored.n, 5);
    assert_int_equal(p->s.positive, 0);
    assert_string_equal(p->s.classes[0].name.text.data, "yes");
    buf_close(&study);
}

/* Too little memory, whatever the amount: a sentence. From the table to the examples. */
/* Rows on which something is chosen are scored after the others, and counted apart. */
static void test_tune_rows(void **state)
{
    place *p = *state;
    static const char data[] = "  text: text\n  split: part\n  group: sex\n";
    static const char head[] = "id,text,label,sex,part\n";
    char csv[1000];
    snprintf(csv, sizeof csv,
             "%s1,a,yes,f,test\n2,b,no,m,tune\n3,c,yes,f,tune\n4,d,no,m,test\n5,e,no,m,train\n",
             head);
    assert_true(make(p, data, "operating_point: youden\nbaselines: none\n", csv, 0));
    assert_int_equal(p->r.n_use, 2);
    assert_int_equal(p->r.scored.n, 4);
    assert_true(str_is(p->r.scored.id[2], "2"));
    assert_int_equal(p->r.scored.label[3], 0);
    assert_true(str_is(p->r.group[3], "f"));
    assert_int_equal(p->r.n_of_class[0], 1);
    assert_int_equal(p->r.flow[ROW_SCORED], 2);
    assert_int_equal(p->r.flow[ROW_TUNE], 2);
    assert_true(make(p, data, "recalibrate: platt\n", csv, 1));
    assert_int_equal(p->r.scored.n, 2);
    assert_true(make(p, data, "operating_point: 0.3\n", csv, 0));
    assert_int_equal(p->r.scored.n, 2);
    assert_false(make(p, data, "recalibrate: isotonic\n", csv, 0));
    assert_non_null(strstr(p->e.text, "needs at least 1000 tune rows and there are 2"));
    snprintf(csv, sizeof csv, "%s1,a,yes,f,test\n2,b,no,m,tune\n3,c,no,f,tune\n4,d,no,m,test\n",
             head);
    assert_false(make(p, data, "operating_point: youden\n", csv, 0));
    assert_int_equal(p->e.code, ERR_USAGE);
    assert_non_null(strstr(p->e.text, "line 12: 'operating_point' is chosen on tune rows, but the "
                                      "2 rows of part 'tune' are all of one kind"));
    snprintf(csv, sizeof csv, "%s1,a,yes,f,test\n4,d,no,m,test\n", head);
    assert_false(make(p, data, "recalibrate: platt\n", csv, 0));
    assert_non_null(strstr(p->e.text, "'recalibrate' is chosen on tune rows, but no row"));
}

static void test_memory_runs_out(void **state)
{
    place *p = *state;
    int n_failed = 0;
    static const char csv[] = "id,f,g,label,who,part\n1,a,b,yes,p,test\n2,b,c,no,q,test\n"
                              "3,c,d,no,q,train\n4,d,e,yes,p,train\n5,e,f,no,r,train\n"
                              "6,e,f,yes,r,train\n";
    assert_true(make(p,
                     "  text: [f, g]\n  patient: who\n  group: [who]\n  split: part\n  "
                     "patients_across_splits: {allowed: a test}\n",
                     "arms: [{name: a, shots: 2}]\n", csv, 0));
    for (size_t bytes = 64; bytes < 128 << 10; bytes += 64) {
        arena a;
        err e = {0};
        table t;
        rows r;
        shots s = {0};
        assert_true(arena_open(&a, bytes, "test", &e));
        bool ok = table_parse(&t, STR(csv), "t.csv", (table_options){0}, &a, &e) &&
                  rows_make(&r, &p->s, &t, (rows_options){0}, &a, &e) &&
                  shots_pick(&s, &r, &p->s.arms[0], 1, &a, &e);
        assert_int_equal(e.code, ok ? ERR_NONE : ERR_RESOURCE);
        n_failed += !ok;
        arena_close(&a);
    }
    assert_in_range(n_failed, 40, 1900);
}

/* --- real tables, when they are there --- */

static void test_real_tables(void **state)
{
    place *p = *state;
    static const struct {
        const char *file;
        int32_t n_scored, n_pool, n_class;
    } real[] = {{"vaers-2003/texts.csv", 3000, 6000, 2},
                {"nsmc-10k/texts.csv", 3057, 5968, 2},
                {"tcga-pathology/texts.csv", 1034, 0, 4},
                {"chatbot-ko/texts.csv", 11823, 0, 3}};
    int n_read = 0;
    buf study = buf_up_to(1 << 20);
    for (size_t i = 0; i < countof(real); i++) {
        char path[200];
        guess g;
        snprintf(path, sizeof path, "../shared/data/%s", real[i].file);
        if (!file_exists(path)) continue;
        arena_reset(&p->a, 0);
        buf_clear(&study);
        bool ok = table_read(&p->t, path, (table_options){0}, &p->a, &p->e) &&
                  guess_columns(&g, &p->t, &p->a, &p->e) &&
                  guess_write_study(&g, &p->t, STR("texts.csv"), STR(""), &study, &p->e) &&
                  spec_parse(&p->s, buf_view(&study), "study.yaml", &p->a, &p->e) &&
                  rows_make(&p->r, &p->s, &p->t, (rows_options){0}, &p->a, &p->e);
        if (!ok) fail_msg("%s", p->e.text);
        check_flow(p);
        assert_int_equal(p->r.scored.n, real[i].n_scored);
        assert_int_equal(p->r.pool.n, real[i].n_pool);
        assert_int_equal(p->r.n_class, real[i].n_class);
        n_read++;
    }
    buf_close(&study);
    if (n_read == 0) {
        printf("skip: no ../shared/data: studies of real tables not made\n");
        skip();
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_row_has_a_fate),
        TEST(test_examples_only_when_asked),
        TEST(test_texts_are_joined),
        TEST(test_labels_by_value),
        TEST(test_texts_are_not_printed_as_labels),
        TEST(test_errors_say_where),
        TEST(test_limit),
        TEST(test_warnings),
        TEST(test_nested_cells),
        TEST(test_names),
        TEST(test_shots),
        TEST(test_shots_belong_to_the_row),
        TEST(test_shots_are_drawn_evenly),
        TEST(test_shots_errors),
        TEST(test_guess),
        TEST(test_guess_missing_labels),
        TEST(test_tune_rows),
        TEST(test_memory_runs_out),
        TEST(test_real_tables),
    };
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
