/* Tests of src/data/partition: whole patients, shares, strata, dates, sites, folds; the same file
 * whatever the order of the rows; the seal. */
#include "data/partition.h"
#include "data/rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct place {
    arena a;
    err e;
    spec s;
    table t;
    partition p;
    buf file, shown;
} place;

static int set_up(void **state)
{
    static place p;
    p = (place){.file = buf_up_to(BUF_MAX), .shown = buf_up_to(BUF_MAX)};
    *state = &p;
    return arena_open(&p.a, (size_t)1 << 32, "test", &p.e) ? 0 : 1;
}

static int tear_down(void **state)
{
    place *p = *state;
    buf_close(&p->file);
    buf_close(&p->shown);
    arena_close(&p->a);
    return 0;
}

/* 600 rows of 250 patients: every fifth row positive; two sites, dates over a year. */
static void write_rows(buf *csv, bool turned)
{
    buf_add_text(csv, "id,text,label,who,site,day\n");
    for (int k = 0; k < 600; k++) {
        int i = turned ? 599 - k : k, patient = i * 7 % 250;
        buf_printf(csv, "r%03d,text,%s,p%d,%s,2024-%02d-%02d\n", i, i % 5 ? "no" : "yes", patient,
                   patient % 4 ? "A" : "B", 1 + patient / 21, 1 + i % 28);
    }
}

static bool make(place *p, const char *data, const char *splits, bool turned)
{
    char study[2000];
    buf csv = buf_up_to(1 << 20);
    snprintf(study, sizeof study,
             "study: s\ndata: {file: t.csv, id: id, text: text, label: label%s}\n%s"
             "classes: {yes: [Yes], no: [No]}\npositive: yes\nquestion: Q?\n",
             data, splits);
    write_rows(&csv, turned);
    buf_clear(&p->file);
    buf_clear(&p->shown);
    p->e = (err){0};
    bool ok = spec_parse(&p->s, str_of(study), "study.yaml", &p->a, &p->e) &&
              table_parse(&p->t, buf_view(&csv), "t.csv", (table_options){0}, &p->a, &p->e) &&
              partition_make(&p->s, &p->t, &p->a, &p->file, &p->shown, &p->e) &&
              partition_parse(&p->p, buf_view(&p->file), "splits.csv", &p->a, &p->e);
    buf_close(&csv);
    return ok;
}

static void must_make(place *p, const char *data, const char *splits)
{
    if (!make(p, data, splits, false)) fail_msg("%s", p->e.text);
}

typedef struct counts {
    int n[3], events[3];
} counts;

static counts count(const place *p)
{
    static const char *const part[3] = {"train", "tune", "test"};
    counts c = {0};
    for (int32_t i = 0; i < p->t.n_row; i++) {
        int32_t at = names_find(&p->p.id, table_cell(&p->t, i, 0));
        assert_true(at >= 0);
        for (int k = 0; k < 3; k++) {
            if (!str_is(p->p.part[at], part[k])) continue;
            c.n[k]++;
            c.events[k] += str_is(table_cell(&p->t, i, 2), "yes");
        }
    }
    assert_int_equal(c.n[0] + c.n[1] + c.n[2], 600);
    return c;
}

/* Of every two rows of a patient, part and fold are the same. */
static void check_patients(const place *p)
{
    int32_t at_of[250];
    for (int i = 0; i < 250; i++) at_of[i] = -1;
    for (int32_t i = 0; i < p->t.n_row; i++) {
        int64_t who = 0;
        str name = table_cell(&p->t, i, 3);
        assert_true(str_to_int(str_part(name, 1, name.size - 1), &who));
        int32_t at = names_find(&p->p.id, table_cell(&p->t, i, 0)), first = at_of[who];
        if (first < 0) at_of[who] = at;
        else assert_true(str_equal(p->p.part[at], p->p.part[first]));
        if (first >= 0) assert_int_equal(p->p.fold[at], p->p.fold[first]);
    }
}

static void test_random(void **state)
{
    place *p = *state;
    must_make(p, ", patient: who", "");
    check_patients(p);
    counts c = count(p);
    assert_in_range(c.n[0], 350, 370); /* 360 */
    assert_in_range(c.n[1], 112, 128); /* 120 */
    assert_in_range(c.n[2], 112, 128);
    assert_in_range(c.events[2], 20, 28); /* 24 */
    assert_non_null(strstr(p->shown.data, "fewer than 100"));
    assert_true(str_is(p->p.rule, "random by patient, 60/20/20, stratified, seed 1"));
    str first = str_keep(&p->a, buf_view(&p->file), &p->e);
    assert_true(make(p, ", patient: who", "", true)); /* rows in another order: the same bytes */
    assert_true(str_equal(first, buf_view(&p->file)));
    must_make(p, ", patient: who", "splits: {seed: 2}\n");
    assert_false(str_equal(first, buf_view(&p->file)));
    must_make(p, "", "splits: {train: 50, tune: 0, test: 50}\n"); /* rows alone: exact */
    c = count(p);
    assert_int_equal(c.n[0], 300);
    assert_int_equal(c.n[1], 0);
    assert_int_equal(c.events[0], 60);
    assert_non_null(strstr(p->shown.data, "no patient column"));
}

static void test_folds(void **state)
{
    place *p = *state;
    int n[4] = {0};
    must_make(p, ", patient: who", "splits: {folds: 3}\n");
    check_patients(p);
    for (int32_t i = 0; i < p->p.id.n; i++) {
        assert_true((p->p.fold[i] == 0) == str_is(p->p.part[i], "test"));
        n[p->p.fold[i]]++;
    }
    for (int k = 1; k < 4; k++) assert_in_range(n[k], 145, 175); /* 160 */
}

static void test_time(void **state)
{
    place *p = *state;
    must_make(p, ", patient: who", "splits: {by: time, date: day}\n");
    check_patients(p);
    counts c = count(p);
    assert_in_range(c.n[2], 100, 140);
    str last_train = STR(""), first_test = STR("9"); /* of patients' latest dates */
    for (int32_t i = 0; i < p->t.n_row; i++) {
        str who = table_cell(&p->t, i, 3), latest = STR("");
        for (int32_t j = 0; j < p->t.n_row; j++) {
            if (str_equal(table_cell(&p->t, j, 3), who) &&
                str_order(table_cell(&p->t, j, 5), latest) > 0)
                latest = table_cell(&p->t, j, 5);
        }
        str part = p->p.part[names_find(&p->p.id, table_cell(&p->t, i, 0))];
        if (str_is(part, "train") && str_order(latest, last_train) > 0) last_train = latest;
        if (str_is(part, "test") && str_order(latest, first_test) < 0) first_test = latest;
    }
    assert_true(str_order(last_train, first_test) < 0);
    assert_false(make(p, ", patient: who", "splits: {by: time, date: text}\n", false));
    assert_int_equal(p->e.code, ERR_DATA);
    assert_non_null(strstr(p->e.text, "no date such as 2026-01-31"));
}

static void test_site(void **state)
{
    place *p = *state;
    must_make(p, ", patient: who", "splits: {by: site, site: site, hold_out: [B]}\n");
    check_patients(p);
    for (int32_t i = 0; i < p->t.n_row; i++) {
        int32_t at = names_find(&p->p.id, table_cell(&p->t, i, 0));
        assert_true(str_is(p->p.part[at], "test") == str_is(table_cell(&p->t, i, 4), "B"));
    }
    counts c = count(p);
    assert_in_range(100 * c.n[0] / (c.n[0] + c.n[1]), 72, 78); /* 60 of 60 + 20 */
    assert_false(
        make(p, ", patient: who", "splits: {by: site, site: site, hold_out: [C]}\n", false));
    assert_non_null(strstr(p->e.text, "no row of t.csv is of a site in 'hold_out'"));
    assert_false(
        make(p, ", patient: site", "splits: {by: site, site: who, hold_out: [p4]}\n", false));
    assert_int_equal(p->e.code, ERR_DATA);
    assert_non_null(
        strstr(p->e.text, "1 patients were seen both at a site held out and at another"));
    must_make(p, ", patient: site, patients_across_splits: {allowed: a test}",
              "splits: {by: site, site: who, hold_out: [p4]}\n");
}

static void test_seal(void **state)
{
    place *p = *state;
    must_make(p, ", patient: who", "splits: {folds: 2}\n");
    buf changed = buf_up_to(1 << 20), crlf = buf_up_to(1 << 20);
    str file = buf_view(&p->file);
    for (size_t i = 0; i < file.size; i++) { /* an editor's line ends are no change */
        if (file.data[i] == '\n') buf_add_char(&crlf, '\r');
        buf_add_char(&crlf, file.data[i]);
    }
    assert_true(partition_parse(&p->p, buf_view(&crlf), "splits.csv", &p->a, &p->e));
    for (size_t at = 0; at < file.size; at += 1 + file.size / 97) { /* any other one is */
        buf_clear(&changed);
        buf_add_str(&changed, file);
        changed.data[at] = changed.data[at] == 'x' ? 'y' : 'x';
        p->e = (err){0};
        assert_false(partition_parse(&p->p, buf_view(&changed), "splits.csv", &p->a, &p->e));
        assert_int_equal(p->e.code, ERR_DATA);
    }
    for (size_t size = 0; size < file.size; size += 1 + size / 3) {
        p->e = (err){0};
        assert_false(partition_parse(&p->p, str_part(file, 0, size), "splits.csv", &p->a, &p->e));
    }
    p->e = (err){0};
    assert_false(partition_read(&p->p, "tests/none.csv", &p->a, &p->e));
    assert_int_equal(p->e.code, ERR_USAGE);
    assert_non_null(strstr(p->e.text, "`caseload split` makes it"));
    buf_close(&changed);
    buf_close(&crlf);
}

static void test_memory_runs_out(void **state)
{
    place *p = *state;
    must_make(p, ", patient: who", "splits: {folds: 2}\n");
    size_t all = p->a.size;
    for (size_t room = 64; room < (size_t)1 << 17; room += 4096 + room / 4) {
        buf file = buf_up_to(BUF_MAX), shown = buf_up_to(BUF_MAX);
        err e = {0};
        size_t mark = arena_mark(&p->a);
        p->a.size = mark + room;
        bool ok = partition_make(&p->s, &p->t, &p->a, &file, &shown, &e);
        p->a.size = all;
        arena_reset(&p->a, mark);
        assert_true(ok == (e.code == ERR_NONE));
        assert_true(ok || e.code == ERR_RESOURCE);
        buf_close(&file);
        buf_close(&shown);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_random), TEST(test_folds), TEST(test_time),
        TEST(test_site),   TEST(test_seal),  TEST(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
