/* Versions of a question: read, ordered, written once, compared. */
#include "data/prompts.h"

#include "base/file.h"
#include "broken.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct place {
    arena a;
    err e;
    char dir[64];
    prompt_list l;
} place;

static int set_up(void **state)
{
    static place p;
    p = (place){.dir = "/tmp/caseload-prompts-XXXXXX"};
    *state = &p;
    return mkdtemp(p.dir) && arena_open(&p.a, (size_t)1 << 30, "test", &p.e) ? 0 : 1;
}

static int tear_down(void **state)
{
    place *p = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", p->dir);
    arena_close(&p->a);
    return system(command);
}

static void add(place *p, const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    assert_true(file_write_atomic(path, str_of(text), &p->e));
}

static bool read_all(place *p)
{
    p->e = (err){0};
    return prompts_read(&p->l, p->dir, &p->a, &p->e);
}

static void test_order_and_parents(void **state)
{
    place *p = *state;
    add(p, "q10.txt", "author: A\nparent: q2\n\nThird?");
    add(p, "q2.txt",
        "author: \xEA\xB9\x80\nparent: q1\ndate: 2026-01-02\nwhy: shorter\n\nSecond?\n\nTwo "
        "lines.\n");
    add(p, "q1.txt",
        "\xEF\xBB\xBF"
        "author: A\r\n\r\nFirst?\r\n");
    add(p, "notes.md", "not a version");
    assert_true(read_all(p));
    assert_int_equal(p->l.n, 3);
    assert_string_equal(p->l.version[0].name.data, "q1");
    assert_string_equal(p->l.version[1].name.data, "q2");
    assert_string_equal(p->l.version[2].name.data, "q10");
    assert_string_equal(p->l.version[0].question.data, "First?");
    assert_string_equal(p->l.version[1].question.data, "Second?\n\nTwo lines.");
    assert_string_equal(p->l.version[1].why.data, "shorter");
    assert_int_equal(p->l.version[2].parent_at, 1);
    assert_string_equal(prompts_newest(&p->l)->name.data, "q10");
    assert_null(prompts_find(&p->l, STR("q3")));
    hash_text first = hash_of("First?", 6);
    assert_string_equal(p->l.version[0].hash.hex, first.hex);
}

static void test_parents_that_are_not_there_or_circle(void **state)
{
    place *p = *state;
    add(p, "a.txt", "author: A\nparent: b\n\nq");
    assert_false(read_all(p));
    assert_non_null(strstr(p->e.text, "a.txt: its parent 'b' is not in the folder"));
    add(p, "b.txt", "author: A\nparent: a\n\nq");
    assert_false(read_all(p));
    assert_non_null(strstr(p->e.text, "its parents go in a circle"));
}

static void test_nothing_is_overwritten(void **state)
{
    place *p = *state;
    prompt_version v = {.author = STR("A"), .question = STR("First?"), .why = STR("two\nlines")};
    assert_true(prompts_write(p->dir, &v, &p->a, &p->e));
    assert_string_equal(v.name.data, "q1");
    prompt_version w = {.author = STR("B"), .parent = STR("q1"), .question = STR("Second?")};
    assert_true(prompts_write(p->dir, &w, &p->a, &p->e));
    assert_string_equal(w.name.data, "q2");
    prompt_version again = {.name = STR("q1"), .author = STR("B"), .question = STR("Other?")};
    assert_false(prompts_write(p->dir, &again, &p->a, &p->e));
    assert_non_null(strstr(p->e.text, "q1.txt is there already: versions are not changed"));
    assert_true(read_all(p));
    assert_string_equal(p->l.version[0].question.data, "First?");
    assert_string_equal(p->l.version[0].why.data, "two lines");
    prompt_version bad = {.name = STR("../q"), .author = STR("B"), .question = STR("Other?")};
    assert_false(prompts_write(p->dir, &bad, &p->a, &p->e));
}

static void test_difference(void **state)
{
    place *p = *state;
    prompt_version a = {.name = STR("a"),
                        .author = STR("A"),
                        .question = STR("Was the event serious?")},
                   b = {.name = STR("b"),
                        .author = STR("B"),
                        .question = STR("Was this event very serious?")};
    buf out = buf_up_to(10000);
    assert_true(prompts_diff(&a, &b, false, &p->a, &out, &p->e));
    assert_non_null(strstr(out.data, "Was [-the-] {+this+} event {+very+} serious?"));
    buf_close(&out);
}

static void read_broken(const char *path, err *e)
{
    arena a;
    prompt_version v;
    file_map m;
    if (!arena_open(&a, (size_t)1 << 28, "test", e)) return;
    if (file_map_open(&m, path, ERR_USAGE, e)) {
        prompts_parse(&v, (str){(const char *)m.data, m.size}, path, &a, e);
        file_map_close(&m);
    }
    arena_close(&a);
}

static void test_broken_files(void **state)
{
    (void)state;
    assert_int_equal(broken_run("prompts", 10, read_broken), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_order_and_parents),      TEST(test_parents_that_are_not_there_or_circle),
        TEST(test_nothing_is_overwritten), TEST(test_difference),
        TEST(test_broken_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
