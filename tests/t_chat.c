/* Chat templates: own cases against what Python's jinja2 made of them (tests/golden/chat), broken
 * templates, the doors around system messages and dates, bounds, and the shared cases when
 * present. */
#include "base/file.h"
#include "text/chat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static const size_t text_max = (size_t)100 << 20;

static str member(const json_t *object, const char *key)
{
    const json_t *text = json_object_get(object, key);
    return (str){json_string_value(text), json_string_length(text)};
}

/* The text, or the error's message in e. The caller closes the buffer. */
static bool render(str source, const json_t *context, buf *out, err *e)
{
    *out = buf_up_to(text_max);
    chat_template *t = chat_open(source, "test", e);
    bool good = t && chat_render(t, context, out, e);
    chat_close(t);
    return good;
}

static json_t *object_of(const char *text)
{
    json_t *j = json_loads(text, 0, NULL);
    assert_non_null(j);
    return j;
}

static void expect_text(const char *source, const char *context, const char *expected)
{
    err e = {0};
    buf out;
    json_t *j = object_of(context);
    if (!render(str_of(source), j, &out, &e)) fail_msg("%s\n  %s", source, e.text);
    assert_string_equal(out.data ? out.data : "", expected);
    buf_close(&out);
    json_decref(j);
}

static void expect_error(const char *source, const char *context, const char *part)
{
    err e = {0};
    buf out;
    json_t *j = object_of(context);
    if (render(str_of(source), j, &out, &e)) fail_msg("rendered: %s", source);
    assert_int_equal(e.code, ERR_MODEL);
    if (!strstr(e.text, part)) fail_msg("'%s' is not in '%s'", part, e.text);
    assert_int_equal(out.size, 0);
    buf_close(&out);
    json_decref(j);
}

static void test_own_cases(void **state)
{
    (void)state;
    int wrong = 0;
    json_t *file = json_load_file("tests/golden/chat/cases.json", JSON_ALLOW_NUL, NULL);
    const json_t *cases = json_object_get(file, "cases");
    assert_true(json_array_size(cases) >= 160);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        bool wanted = json_object_get(c, "expected") != NULL;
        err e = {0};
        buf out;
        bool good = render(member(c, "template"), json_object_get(c, "context"), &out, &e);
        bool right = good == wanted;
        if (good && wanted) right = str_equal(buf_view(&out), member(c, "expected"));
        if (!good) right = right && e.code == ERR_MODEL && strstr(e.text, "test: line ");
        if (!right) {
            wrong++;
            printf("%s: python %s [%s]\n  here [%s] %s\n", member(c, "name").data,
                   wanted ? "gives" : "raises", member(c, wanted ? "expected" : "error").data,
                   out.data ? out.data : "", e.text);
        }
        buf_close(&out);
    }
    json_decref(file);
    assert_int_equal(wrong, 0);
}

/* The 35 cases that llama.cpp tests its own templates with. Where a template takes no system
 * message, it is put before the first user message there; chat_fold_system is that rule. */
static void test_shared_models(void **state)
{
    (void)state;
    const char *path = "../shared/data/chat-templates/cases-llama-cpp.json";
    if (!file_exists(path)) {
        printf("skip: %s is absent\n", path);
        skip();
    }
    int wrong = 0, folded = 0;
    json_t *cases = json_load_file(path, 0, NULL);
    assert_int_equal(json_array_size(cases), 35);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        json_t *context = json_object_get(c, "context");
        err e = {0};
        buf out = buf_up_to(text_max);
        chat_template *t = chat_open(member(c, "template"), member(c, "name").data, &e);
        if (t && !chat_takes_system(t, context)) {
            folded++;
            json_object_set_new(context, "messages",
                                chat_fold_system(json_object_get(context, "messages")));
        }
        bool good = t && chat_render(t, context, &out, &e);
        if (!good || !str_equal(buf_view(&out), member(c, "expected"))) {
            wrong++;
            printf("%s:\n  want [%s]\n  here [%s] %s\n", member(c, "name").data,
                   member(c, "expected").data, out.data ? out.data : "", e.text);
        }
        buf_close(&out);
        chat_close(t);
    }
    json_decref(cases);
    assert_int_equal(folded, 6);
    assert_int_equal(wrong, 0);
}

/* JavaScript's spelling of Python's values, for both sides of a comparison. */
static void spell(str s, buf *out)
{
    static const char *const words[][2] = {{"True", "true"},           {"False", "false"},
                                           {"None", "null"},           {"none", "null"},
                                           {"Undefined", "undefined"}, {"'", "\""}};
    *out = buf_up_to(text_max);
    while (s.size) {
        size_t i = 0;
        while (i < countof(words) && !str_starts(s, words[i][0])) i++;
        if (i < countof(words)) buf_add_text(out, words[i][1]);
        else buf_add_char(out, s.data[0]);
        size_t n = i < countof(words) ? strlen(words[i][0]) : 1;
        s = str_part(s, n, s.size - n);
    }
}

/* The cases of another engine whose answer is not Python's: what Python says of each. An answer
 * that begins with '!' is the reason of an error. (tools/golden/make_chat.py --shared lists
 * them.) */
static const char *const python_says[][2] = {
    {"FOR_LOOP_UNPACKING", "!an int and a str cannot be combined with +"},
    {"FOR_LOOP_OBJECTS", "!a str and an int cannot be combined with +"},
    {"OBJECT_OPERATORS_2", "!a str and an int cannot be combined with +"},
    {"MACROS_2", "!an int and a str cannot be combined with +"},
    {"FILTER_OPERATOR_7", "!'null' is undefined"},
    {"MEMBERSHIP", "|True|True|True|True|True|False|"}, /* True == 1 */
    {"MEMBERSHIP_NEGATION_1", "|False|False|False|False|False|True|"},
    {"MEMBERSHIP_NEGATION_2", "|False|False|False|False|False|True|"},
};

/* jansson takes no U+0000 in a key, as two of the cases have: they are read with U+0001 there, in
 * key and expected text alike. */
static json_t *load_engine_cases(const char *path)
{
    err e = {0};
    file_map m;
    assert_true(file_map_open(&m, path, ERR_DATA, &e));
    char *text = strndup((const char *)m.data, m.size);
    for (char *at = text; (at = strstr(at, "u0000")); at += 5) at[4] = '1';
    json_t *cases = json_loads(text, 0, NULL);
    free(text);
    file_map_close(&m);
    return cases;
}

static bool engine_case_is_right(const json_t *c, bool good, str out, const err *e, int *count)
{
    str name = member(c, "name");
    for (size_t i = 0; i < countof(python_says); i++) {
        const char *says = python_says[i][1];
        if (!str_is(name, python_says[i][0])) continue;
        count[2]++;
        return says[0] == '!' ? !good && strstr(e->text, says + 1) : good && str_is(out, says);
    }
    if (!good) return false;
    if (str_equal(out, member(c, "expected"))) return count[0]++, true;
    buf a, b;
    spell(out, &a);
    spell(member(c, "expected"), &b);
    bool same = str_equal(buf_view(&a), buf_view(&b));
    count[1] += same;
    buf_close(&a);
    buf_close(&b);
    return same;
}

static void test_shared_language(void **state)
{
    (void)state;
    const char *path = "../shared/data/chat-templates/cases-jinja-engine.json";
    if (!file_exists(path)) {
        printf("skip: %s is absent\n", path);
        skip();
    }
    int wrong = 0, count[3] = {0}; /* the same text, the same but for spelling, as Python says */
    json_t *cases = load_engine_cases(path);
    assert_int_equal(json_array_size(cases), 157);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        err e = {0};
        buf out;
        bool good = render(member(c, "template"), json_object_get(c, "context"), &out, &e);
        if (!engine_case_is_right(c, good, buf_view(&out), &e, count)) {
            wrong++;
            printf("%s:\n  want [%s]\n  here [%s] %s\n", member(c, "name").data,
                   member(c, "expected").data, out.data ? out.data : "", e.text);
        }
        buf_close(&out);
    }
    json_decref(cases);
    printf("%d the same, %d the same but for JavaScript's spelling, %d by Python's word\n",
           count[0], count[1], count[2]);
    assert_int_equal(wrong, 0);
    assert_int_equal(count[2], countof(python_says));
}

/* tests/broken/chat/EXPECT: "file<TAB>exit code<TAB>part of the message". */
static void test_broken(void **state)
{
    (void)state;
    err e = {0};
    file_map list;
    int n = 0;
    json_t *context = object_of("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}");
    assert_true(file_map_open(&list, "tests/broken/chat/EXPECT", ERR_DATA, &e));
    char *lines = strndup((const char *)list.data, list.size), *rest = NULL;
    for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char file[100], part[300], path[200];
        int code = 0;
        assert_int_equal(sscanf(line, "%99[^\t]\t%d\t%299[^\n]", file, &code, part), 3);
        snprintf(path, sizeof path, "tests/broken/chat/%s", file);
        file_map m;
        buf out;
        e = (err){0};
        assert_true(file_map_open(&m, path, ERR_DATA, &e));
        bool good = render((str){(const char *)m.data, m.size}, context, &out, &e);
        if (good || (int)e.code != code || !strstr(e.text, part))
            fail_msg("%s: code %d, [%s] without [%s]", file, e.code, e.text, part);
        buf_close(&out);
        file_map_close(&m);
        n++;
    }
    free(lines);
    file_map_close(&list);
    json_decref(context);
    assert_true(n >= 14);
}

static void test_dates(void **state)
{
    (void)state;
    const char *t = "{{ strftime_now('%d %b %Y') }}";
    expect_error(t, "{}", "strftime_now() is refused");
    expect_text(t, "{\"strftime_now\": \"2024-07-26\"}", "26 Jul 2024");
    expect_text("{{ strftime_now('%A %j %y-%m %B %a%%') }}", "{\"strftime_now\": \"2024-02-29\"}",
                "Thursday 060 24-02 February Thu%");
    expect_text("{{ strftime_now is defined }}", "{}", "False");
    expect_error(t, "{\"strftime_now\": \"2024-13-01\"}", "not a date YYYY-MM-DD");
    expect_error("{{ strftime_now('%c') }}", "{\"strftime_now\": \"2024-01-01\"}", "knows %Y");
}

/* Where this interpreter goes on and Python stops. */
static void test_wider_than_python(void **state)
{
    (void)state;
    expect_text("{{ [3, 1]|select('gt', 2)|length }}{{ ([1, 2]|map('string'))[1] }}", "{}", "12");
    expect_text("{{ ([1, 2, 3]|reject('odd'))[0:] }}", "{}", "[2]");
    expect_text("{{ 'abcabc'.replace('a', 'x', count=1) }}", "{}", "xbcabc"); /* Python 3.13 */
}

static void test_system_messages(void **state)
{
    (void)state;
    err e = {0};
    json_t *context = object_of("{\"bos_token\": \"<s>\", \"add_generation_prompt\": true}");
    const char *takes = "{% for m in messages %}{{ m.role ~ m.content }}{% endfor %}";
    const char *drops = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}";
    const char *refuses =
        "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}";
    const char *const templates[] = {takes, drops, refuses};
    for (int i = 0; i < 3; i++) {
        chat_template *t = chat_open(str_of(templates[i]), "test", &e);
        assert_non_null(t);
        assert_int_equal(chat_takes_system(t, context), i == 0);
        chat_close(t);
    }
    json_decref(context);
    static const char *const in[] = {
        "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"U\"}]",
        "[{\"role\":\"system\",\"content\":\"S\"}]", "[{\"role\":\"user\",\"content\":\"U\"}]"};
    static const char *const want[] = {"[{\"role\":\"user\",\"content\":\"S\\nU\"}]",
                                       "[{\"role\":\"user\",\"content\":\"S\"}]",
                                       "[{\"role\":\"user\",\"content\":\"U\"}]"};
    for (int i = 0; i < 3; i++) {
        json_t *messages = object_of(in[i]), *wanted = object_of(want[i]);
        json_t *folded = chat_fold_system(messages);
        assert_true(json_equal(folded, wanted));
        json_decref(folded);
        json_decref(messages);
        json_decref(wanted);
    }
    assert_null(chat_fold_system(NULL));
}

static void test_errors_hold_no_row(void **state)
{
    (void)state;
    const char *context = "{\"messages\": [{\"role\": \"user\", \"content\": \"private words\"}]}";
    const char *const sources[] = {"{{ raise_exception('bad: ' ~ messages[0].content) }}",
                                   "{{ {}[messages[0].content].x }}",
                                   "{{ messages[0].content + 1 }}",
                                   "{{ messages|map(messages[0].content)|list }}",
                                   "{{ messages[0].content[messages[0].content].x }}",
                                   "{{ messages[0].content is odd }}"};
    for (size_t i = 0; i < countof(sources); i++) {
        err e = {0};
        buf out;
        json_t *j = object_of(context);
        assert_false(render(str_of(sources[i]), j, &out, &e));
        assert_null(strstr(e.text, "private"));
        buf_close(&out);
        json_decref(j);
    }
    expect_error("{{ raise_exception('the role ' ~ messages[0].role) }}", context, "the role user");
}

static void test_output_stays_on_failure(void **state)
{
    (void)state;
    err e = {0};
    buf out = buf_up_to(1000);
    json_t *context = json_object();
    chat_template *t = chat_open(STR("abc{{ x.y }}"), "model", &e);
    buf_add_text(&out, "before");
    assert_false(chat_render(t, context, &out, &e));
    assert_string_equal(out.data, "before");
    assert_string_equal(e.text, "model: line 1: 'x' is undefined");
    chat_close(t);
    e = (err){0};
    t = chat_open(STR("abc{% for i in range(1000) %}0123456789{% endfor %}"), "model", &e);
    assert_false(chat_render(t, context, &out, &e)); /* the caller's buffer is full */
    assert_int_equal(e.code, ERR_RESOURCE);
    chat_close(t);
    json_decref(context);
    buf_close(&out);
}

/* 12,000 prompts are written in a study: one of 4,000 characters is to take well under 0.1 ms. */
static void test_fast_enough(void **state)
{
    (void)state;
    err e = {0};
    struct timespec begin, end;
    const char *source =
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}{% endif %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>' + "
        "'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif "
        "%}";
    char content[4001];
    memset(content, 'a', 4000);
    content[4000] = 0;
    json_t *context = json_pack("{s:[{s:s,s:s}], s:b}", "messages", "role", "user", "content",
                                content, "add_generation_prompt", 1);
    chat_template *t = chat_open(str_of(source), "test", &e);
    buf out = buf_up_to(text_max);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 2000; i++) {
        buf_clear(&out);
        assert_true(chat_render(t, context, &out, &e));
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double ms =
        (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6;
    printf("%.4f ms a render of 4,000 characters\n", ms / 2000);
    buf_close(&out);
    chat_close(t);
    json_decref(context);
    assert_true(ms / 2000 < 1.0); /* generous: the machine may be busy, sanitizers on */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_cases),
        cmocka_unit_test(test_shared_models),
        cmocka_unit_test(test_shared_language),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_wider_than_python),
        cmocka_unit_test(test_system_messages),
        cmocka_unit_test(test_output_stays_on_failure),
        cmocka_unit_test(test_errors_hold_no_row),
        cmocka_unit_test(test_fast_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
