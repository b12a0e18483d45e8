/* A row's own options and which is right: every way to say it, and every way to say it badly. The
 * questions of ../shared/data are read as they are, where they are. */
#include "base/file.h"
#include "data/options.h"
#include "data/rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct place {
    arena a;
    err e;
    spec s;
    table t;
    options o;
} place;

static int set_up(void **state)
{
    static place p;
    p = (place){0};
    *state = &p;
    return arena_open(&p.a, (size_t)1 << 34, "test", &p.e) ? 0 : 1;
}

static int tear_down(void **state)
{
    arena_close(&((place *)*state)->a);
    return 0;
}

static bool read_options(place *p, const char *data, const char *more, const char *text)
{
    char study[1000];
    snprintf(study, sizeof study,
             "study: s\ndata: {file: t, id: id, text: q, label: right, %s}\nquestion: q\n%s", data,
             more);
    p->e = (err){0};
    if (!spec_parse(&p->s, str_of(study), "study.yaml", &p->a, &p->e)) fail_msg("%s", p->e.text);
    table_options how = {.format = text[0] == '{' ? TABLE_JSONL : TABLE_CSV};
    if (!table_parse(&p->t, str_of(text), "t", how, &p->a, &p->e)) fail_msg("%s", p->e.text);
    return options_complete(&p->s, &p->t, &p->a, &p->e) &&
           options_read(&p->o, &p->s, &p->t, &p->a, &p->e);
}

static void expect_classes(place *p, const char *data, const char *text, const char *classes)
{
    if (!read_options(p, data, "", text)) fail_msg("%s", p->e.text);
    for (int32_t i = 0; i < p->o.n_row; i++)
        assert_int_equal(p->o.class[i], classes[i] == '-' ? -1 : classes[i] - '0');
}

static void expect_failure(place *p, const char *data, const char *text, const char *words)
{
    if (read_options(p, data, "", text)) fail_msg("no error for: %s", words);
    if (!strstr(p->e.text, words)) fail_msg("not '%s' but '%s'", words, p->e.text);
}

static void test_labels_of_every_kind(void **state)
{
    place *p = *state;
    expect_classes(p, "options: [a, b, c]",
                   "id,q,a,b,c,right\n1,q,x,y,z,B\n2,q,x,y,,a\n3,q,x,y,z,\n", "10-");
    expect_classes(p, "options: [a, b, c]", "id,q,a,b,c,right\n1,q,x,y,z,0\n2,q,x,y,z,2\n", "02");
    expect_classes(p, "options: [a, b, c]", "id,q,a,b,c,right\n1,q,x,y,z,3\n2,q,x,y,z,1\n", "20");
    expect_classes(p, "options: [a, b, c]", "id,q,a,b,c,right\n1,q,x,y,z,y\n2,q,x, 열 ,z,열\n",
                   "11");
    expect_classes(p, "options: [a, b], label_is: number-from-1, missing: [NA]",
                   "id,q,a,b,right\n1,q,x,y,1\n2,q,x,y,NA\n", "0-");
    expect_classes(p, "options: o",
                   "{\"id\":1,\"q\":\"q\",\"o\":[\"x\",2,3.5],\"right\":2}\n"
                   "{\"id\":2,\"q\":\"q\",\"o\":[\"x\",\"y\"],\"right\":0}\n",
                   "20");
    assert_int_equal(p->s.n_class, 3);
    assert_string_equal(p->o.text[1].data, "2");
    expect_classes(p, "options: o", "id,q,o,right\n1,q,\"[\"\"x\"\", \"\"y\"\"]\",B\n", "1");
}

static void test_what_is_refused(void **state)
{
    place *p = *state;
    static const char abc[] = "options: [a, b, c]";
    expect_failure(p, abc, "id,q,a,b,c,right\n1,q,x,y,z,1\n2,q,x,y,z,2\n",
                   "every label is both a number from 0 and a number from 1, which mean different "
                   "options; add 'label_is: number' or 'label_is: number-from-1'");
    expect_failure(p, abc, "id,q,a,b,c,right\n1,q,1,0,2,0\n",
                   "every label is both a number from 0 and an option's text");
    expect_failure(p, abc, "id,q,a,b,c,right\n1,q,x,y,z,B\n2,q,x,y,,C\n",
                   "row '2' (line 3): its label names none of its 2 options as a letter");
    expect_failure(p, "options: [a, b, c], label_is: text", "id,q,a,b,c,right\n1,q,x,x,z,x\n",
                   "row '1' (line 2): its label names none of");
    expect_failure(p, abc, "id,q,a,b,c,right\n1,q,x,,z,A\n", "an option between others is empty");
    expect_failure(p, abc, "id,q,a,b,c,right\n1,q,x,,,A\n", "it has 1 option, and the study takes");
    expect_failure(p, "options: o", "id,q,o,right\n1,q,x|y,A\n", "its options are no list such as");
    expect_failure(p, "options: o", "id,q,o,right\n1,q,\"[x\",A\n", "no list that can be read");
    expect_failure(p, "options: o", "{\"id\":1,\"q\":\"q\",\"o\":[\"x\",[]],\"right\":0}\n",
                   "an option is neither text nor number");
    expect_failure(p, "options: o", "{\"id\":1,\"q\":\"q\",\"o\":[\"x\",\" \"],\"right\":0}\n",
                   "an option is empty");
    expect_failure(p, "options: o", "{\"id\":1,\"q\":\"q\",\"o\":[\"x\",\"y\"],\"right\":[0,1]}\n",
                   "a question with several right options has no one class");
    expect_failure(p, "options: [a, d]", "id,q,a,b,right\n1,q,x,y,A\n", "no column 'd'");
    if (read_options(p, abc, "classes: {p: P, q: Q}\npositive: p\n",
                     "id,q,a,b,c,right\n1,q,x,y,z,0\n"))
        fail_msg("three options for two classes");
    assert_non_null(strstr(p->e.text, "it has 3 options, and the study takes from 2 to 2"));
}

static void test_shared_questions(void **state)
{
    place *p = *state;
    static const struct {
        const char *file;
        int32_t n, options, repeated, last;
    } sets[] = {{"pubmedqa/questions.jsonl", 1000, 3, 0, -1},
                {"medqa-us/questions.jsonl", 1273, 4, 0, -1},
                {"medmcqa/questions.jsonl", 4183, 4, 21, -1},
                {"frenchmedmcqa/questions.jsonl", 1079, 5, -1, -1},
                {"kormedmcqa/questions.jsonl", 1200, 5, -1, 4}};
    int n_read = 0;
    for (size_t i = 0; i < countof(sets); i++) {
        char path[200], study[400];
        snprintf(path, sizeof path, "../shared/data/%s", sets[i].file);
        if (!file_exists(path)) continue;
        snprintf(study, sizeof study,
                 "study: s\ndata: {file: t, id: id, text: question, options: options, label: "
                 "answer}\nframing: options\nquestion: q\n");
        arena_reset(&p->a, 0);
        if (!spec_parse(&p->s, str_of(study), "study.yaml", &p->a, &p->e) ||
            !table_read(&p->t, path, (table_options){0}, &p->a, &p->e) ||
            !options_complete(&p->s, &p->t, &p->a, &p->e) ||
            !options_read(&p->o, &p->s, &p->t, &p->a, &p->e))
            fail_msg("%s: %s", path, p->e.text);
        assert_int_equal(p->o.n_row, sets[i].n);
        assert_int_equal(p->s.n_class, sets[i].options);
        if (sets[i].repeated >= 0) assert_int_equal(p->o.n_repeated, sets[i].repeated);
        if (sets[i].last >= 0) assert_int_equal(p->o.class[0], sets[i].last);
        n_read++;
    }
    if (n_read == 0) {
        print_message("skip: ../shared/data is not there\n");
        skip();
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_labels_of_every_kind),
        TEST(test_what_is_refused),
        TEST(test_shared_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
