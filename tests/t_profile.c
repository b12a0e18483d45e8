/* Tests of data/profile: what the parts of a table hold. */
#include "data/profile.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static json_t *profile_of(const char *study, const char *csv, bool limited)
{
    static arena a;
    err e = {0};
    spec s;
    table t;
    rows r;
    buf json = buf_up_to(1 << 20);
    if (!arena_open_up_to(&a, (size_t)1 << 30, "test", &e)) fail_msg("%s", e.text);
    if (!spec_parse(&s, str_of(study), "study.yaml", &a, &e) ||
        !table_parse(&t, str_of(csv), "t.csv", (table_options){0}, &a, &e) ||
        !rows_make(&r, &s, &t, (rows_options){.limit = limited}, &a, &e) ||
        !profile_write(&r, &s, &t, &a, &json, &e))
        fail_msg("%s", e.text);
    json_error_t why;
    json_t *made = json_loadb(json.data, json.size, 0, &why);
    if (!made) fail_msg("%s", why.text);
    buf_close(&json);
    arena_close(&a);
    return made;
}

static const json_t *part(const json_t *p, size_t i)
{
    return json_array_get(json_object_get(p, "parts"), i);
}

static double number(const json_t *o, const char *map, const char *key)
{
    if (map) o = json_object_get(o, map);
    return json_number_value(json_object_get(o, key));
}

static const char study[] = "study: s\ndata: {file: t.csv, id: id, text: text, label: label, "
                            "patient: who, group: [sex, age], split: part}\n"
                            "splits: {by: time, date: day}\n"
                            "classes: {yes: [Yes], no: [No]}\npositive: yes\nquestion: q\n";

static const char csv[] = "id,text,label,who,sex,age,day,part\n"
                          "1,abcd,yes,p1,f,30,2019-03-01,test\n"
                          "2,ab,no,p1,m,40,2021-03-01,test\n"
                          "3,,no,p2,m,41,2022-01-01,test\n"
                          "4,\xed\x8f\x90\xeb\xa0\xb4,no,p3,m,50,2018-01-01,train\n"
                          "5,abcdef,yes,,f,60.5,2017-01-01,train\n"
                          "6,abc,,p4,f,70,2016-01-01,train\n"
                          "7,abc,yes,p5,,,2015-01-01,later\n";

static void test_parts(void **state)
{
    (void)state;
    json_t *p = profile_of(study, csv, false);
    assert_int_equal(json_array_size(json_object_get(p, "parts")), 3);
    const json_t *train = part(p, 0), *use = part(p, 1), *other = part(p, 2);
    assert_string_equal(json_string_value(json_object_get(train, "name")), "train");
    assert_string_equal(json_string_value(json_object_get(use, "role")), "use");
    assert_string_equal(json_string_value(json_object_get(other, "role")), "other");
    assert_int_equal((int)number(train, NULL, "n"), 3);     /* row 6 has no label */
    assert_int_equal((int)number(train, NULL, "texts"), 2); /* and is no text that counts */
    assert_int_equal((int)number(train, NULL, "patients"), 2);
    assert_int_equal((int)number(use, NULL, "n"), 3);
    assert_int_equal((int)number(use, NULL, "texts"), 2);
    assert_int_equal((int)number(use, NULL, "patients"), 1);
    assert_true(number(use, "characters", "mean") == 3);
    assert_true(fabs(number(use, "characters", "sd") - sqrt(2)) < 1e-9);
    assert_true(number(train, "hangul", "mean") == 0.5);
    assert_true(number(train, "characters", "median") == 4);
    assert_string_equal(json_string_value(json_object_get(use, "first_date")), "2019");
    assert_string_equal(json_string_value(json_object_get(use, "last_date")), "2021");
    json_decref(p);
}

static void test_groups(void **state)
{
    (void)state;
    json_t *p = profile_of(study, csv, false);
    const json_t *sex = json_array_get(json_object_get(p, "groups"), 0);
    assert_int_equal(json_array_size(json_object_get(sex, "levels")), 3); /* (empty), f, m */
    const json_t *use = json_array_get(json_object_get(sex, "n"), 1);
    assert_int_equal(json_integer_value(json_array_get(use, 1)), 1);
    json_decref(p);
    char many[4000] = "id,text,label,who,sex,age,day,part\n";
    for (int i = 0; i < 30; i++) {
        size_t n = strlen(many);
        snprintf(many + n, sizeof many - n, "%d,t,%s,p%d,f,%d,2019,test\n", i, i % 2 ? "yes" : "no",
                 i, 20 + i);
    }
    p = profile_of(study, many, false);
    const json_t *age = json_array_get(json_object_get(p, "groups"), 1);
    const json_t *moments = json_array_get(json_object_get(age, "numbers"), 0);
    assert_true(number(moments, NULL, "mean") == 34.5);
    json_decref(p);
}

static void test_no_split(void **state)
{
    (void)state;
    json_t *p = profile_of("study: s\ndata: {file: t.csv, id: id, text: text, label: label}\n"
                           "classes: {yes: [Yes], no: [No]}\npositive: yes\nquestion: q\n",
                           "id,text,label\n1,a,yes\n2,b,no\n", false);
    assert_string_equal(json_string_value(json_object_get(part(p, 0), "name")), "all rows");
    assert_null(json_object_get(part(p, 0), "patients"));
    json_decref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_no_split),
    };
    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
