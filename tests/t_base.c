/* Tests of src/base: errors, arenas, text, hashes, randomness, threads, files. */
#include "base/file.h"
#include "base/hash.h"
#include "base/pool.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void test_err_keeps_the_first(void **state)
{
    (void)state;
    err e = {0};
    assert_false(err_set(&e, ERR_DATA, "row %d", 7));
    assert_false(err_set(&e, ERR_MODEL, "later"));
    assert_int_equal(e.code, ERR_DATA);
    err_in(&e, "texts.csv");
    assert_string_equal(e.text, "texts.csv: row 7");
}

static void test_err_cuts_whole_characters(void **state)
{
    (void)state;
    err e = {0};
    char text[1201];
    for (int i = 0; i < 400; i++) memcpy(text + 3 * i, "폐", 3);
    text[1200] = 0;
    err_set(&e, ERR_DATA, "%s", text);
    assert_int_equal(strlen(e.text) % 3, 0);
}

static void test_arena_measures_what_it_takes(void **state)
{
    (void)state;
    err e = {0};
    arena plan = ARENA_MEASURE, real;
    assert_true(arena_open(&real, 1 << 20, "test", &e));
    arena *both[2] = {&plan, &real};
    for (int i = 0; i < 2; i++) {
        for (size_t n = 1; n < 100; n += 13) arena_take(both[i], n, 7, &e);
    }
    assert_int_equal(plan.used, real.used);
    assert_int_equal(e.code, ERR_NONE);
    assert_null(arena_take(&real, SIZE_MAX / 2, 3, &e));
    assert_int_equal(e.code, ERR_RESOURCE);
    arena_close(&real);
}

static void test_numbers_are_strict(void **state)
{
    (void)state;
    int64_t i = 0;
    double d = 0;
    assert_true(str_to_int(STR("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_false(str_to_int(STR("9223372036854775808"), &i));
    assert_false(str_to_int(STR("12a"), &i));
    assert_false(str_to_int(STR(""), &i));
    assert_true(str_to_double(STR("1e-3"), &d));
    assert_false(str_to_double(STR("0x10"), &d));
    assert_false(str_to_double(STR("nan"), &d));
    assert_false(str_to_double(STR("1,5"), &d));
}

static void test_white_space_of_every_kind_is_trimmed(void **state)
{
    (void)state;
    static const char *const space[] = {"\t",           "\n",           "\v",
                                        "\f",           "\r",           " ",
                                        "\x1C",         "\x1F",         "\xC2\x85",
                                        "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80",
                                        "\xE2\x80\x8A", "\xE2\x80\xA8", "\xE2\x80\xA9",
                                        "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};
    static const char *const kept[] = {"열",   "é",    "\xC2\xA1", "\xE2\x80\x8B", "\xE3\x80\x81",
                                       "\x1B", "\x85", "\xA0",     "\x80\x80",     "\xE2\x80"};
    buf text = buf_up_to(1000);
    for (size_t k = 0; k < countof(kept); k++) {
        buf_clear(&text);
        for (size_t i = 0; i < countof(space); i++) buf_add_text(&text, space[i]);
        buf_add_text(&text, kept[k]);
        for (size_t i = 0; i < countof(space); i++) buf_add_text(&text, space[i]);
        assert_true(str_is(str_trim_unicode(buf_view(&text)), kept[k]));
    }
    for (size_t i = 0; i < countof(space); i++)
        assert_int_equal(str_trim_unicode(str_of(space[i])).size, 0);
    assert_int_equal(str_trim_unicode(STR("")).size, 0);
    buf_close(&text);
}

static void test_nearest_word(void **state)
{
    (void)state;
    const char *words[] = {"question", "classes", "positive"};
    assert_string_equal(str_nearest(STR("qestion"), words, 3), "question");
    assert_null(str_nearest(STR("zzz"), words, 3));
}

static void test_buf_has_a_maximum(void **state)
{
    (void)state;
    buf b = buf_up_to(100);
    for (int i = 0; i < 50; i++) buf_add_text(&b, "abc");
    assert_true(b.failed);
    err e = {0};
    assert_false(buf_check(&b, "test", &e));
    buf_close(&b);
    b = buf_up_to(1000);
    buf_add_html(&b, STR("<a href=\"x\">&'"));
    assert_string_equal(b.data, "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    buf_clear(&b);
    buf_add_json(&b, STR("\"\n\x01\\"));
    assert_string_equal(b.data, "\\\"\\n\\u0001\\\\");
    buf_close(&b);
}

static void test_sha256(void **state)
{
    (void)state; /* FIPS 180-4 example "abc" */
    hash_text h = hash_of("abc", 3);
    assert_string_equal(h.hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_rng_is_a_value(void **state)
{
    (void)state;
    rng a = rng_for(1, 2, 3), b = rng_for(1, 2, 3), c = rng_for(1, 3, 2);
    assert_true(rng_next(&a) == rng_next(&b));
    assert_true(rng_next(&a) != rng_next(&c));
    double sum = 0, squares = 0;
    for (int i = 0; i < 100000; i++) {
        double x = rng_normal(&a);
        sum += x;
        squares += x * x;
    }
    assert_true(sum / 1e5 > -0.02 && sum / 1e5 < 0.02);
    assert_true(squares / 1e5 > 0.98 && squares / 1e5 < 1.02);
}

static void count_task(void *context, int64_t i, int thread)
{
    (void)thread;
    atomic_int *seen = context;
    atomic_fetch_add(&seen[i], 1);
}

static void test_pool_runs_each_once(void **state)
{
    (void)state;
    static atomic_int seen[1000];
    for (int n_thread = 1; n_thread <= 4; n_thread++) {
        err e = {0};
        pool *p = pool_open(n_thread, &e);
        assert_non_null(p);
        for (int round = 0; round < 200; round++) pool_run(p, 1000, count_task, seen);
        pool_close(p);
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(seen[i], 800);
}

static void test_atomic_write(void **state)
{
    (void)state;
    char folder[] = "/tmp/caseload-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[100];
    snprintf(path, sizeof path, "%s/deep/er/out.txt", folder);
    err e = {0};
    assert_false(file_write_atomic(path, STR("x"), &e));
    assert_int_equal(e.code, ERR_RESOURCE);
    e = (err){0};
    char deep[100];
    snprintf(deep, sizeof deep, "%s/deep/er", folder);
    assert_true(file_make_folder(deep, &e));
    assert_true(file_write_atomic(path, STR("hello"), &e));
    file_map m;
    assert_true(file_map_open(&m, path, ERR_DATA, &e));
    assert_int_equal(m.size, 5);
    file_map_close(&m);
    file_out one, two; /* of two at once one is told so, and the other's file is whole */
    assert_true(file_out_open(&one, path, &e));
    assert_false(file_out_open(&two, path, &e));
    assert_int_equal(e.code, ERR_RESOURCE);
    assert_non_null(strstr(e.text, "another program is writing"));
    e = (err){0};
    fputs("whole", one.stream);
    assert_true(file_out_commit(&one, &e));
    assert_true(file_out_open(&two, path, &e));
    file_out_abandon(&two);
    assert_true(file_map_open(&m, path, ERR_DATA, &e));
    assert_int_equal(m.size, 5);
    file_map_close(&m);
    unlink(path);
    rmdir(deep);
    snprintf(deep, sizeof deep, "%s/deep", folder);
    rmdir(deep);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_keeps_the_first),
        cmocka_unit_test(test_err_cuts_whole_characters),
        cmocka_unit_test(test_arena_measures_what_it_takes),
        cmocka_unit_test(test_numbers_are_strict),
        cmocka_unit_test(test_white_space_of_every_kind_is_trimmed),
        cmocka_unit_test(test_nearest_word),
        cmocka_unit_test(test_buf_has_a_maximum),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_rng_is_a_value),
        cmocka_unit_test(test_pool_runs_each_once),
        cmocka_unit_test(test_atomic_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
