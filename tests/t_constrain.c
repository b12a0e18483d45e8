/* The forms that a generated text may have: the automaton against the C library's regular
 * expressions, JSON of schemas, Korean letters byte by byte; which tokens may come, against trying
 * each; and texts that are drawn under a form. */
#include "base/rng.h"
#include "study/engine.h"
#include "text/utf8.h"
#include "tiny.h"

#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static arena open_memory(void)
{
    err e = {0};
    arena a;
    assert_true(arena_open(&a, (size_t)1 << 30, "test", &e));
    return a;
}

static bool accepts(const automaton *m, const char *text)
{
    int32_t state = automaton_run(m, 0, str_of(text));
    return state >= 0 && m->accepts[state];
}

static automaton pattern_of(const char *pattern, arena *a)
{
    err e = {0};
    automaton m;
    if (!automaton_pattern(&m, str_of(pattern), a, &e)) fail_msg("%s: %s", pattern, e.text);
    return m;
}

/* Random texts of a few letters, so that many fit; a blank in front is allowed by us alone. */
static void test_patterns_as_the_library_reads_them(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "a",
        "ab|ba",
        "(a|b)*abb",
        "a{2,4}b{0,2}",
        "[a-c]+",
        "[^a]b?",
        "(ab?c){2}",
        "a.c",
        "(a|ab)(c|bc)",
        "((a|b)c?)+",
        "a*b*c*",
        "(abc|ab|a){1,3}",
        "[abc]{3}|[ab]*",
        "a+|(b|cc)*a",
        "(a?b?){3}c",
        "x?(a|b|c)*",
    };
    rng g = rng_for(7, 1, 2);
    for (size_t i = 0; i < countof(patterns); i++) {
        char whole[100];
        regex_t r;
        arena a = open_memory();
        automaton m = pattern_of(patterns[i], &a);
        snprintf(whole, sizeof whole, "^(%s)$", patterns[i]);
        assert_int_equal(regcomp(&r, whole, REG_EXTENDED | REG_NOSUB), 0);
        int fits = 0;
        for (int k = 0; k < 3000; k++) {
            char text[12] = {0};
            uint64_t n = rng_below(&g, 9);
            for (uint64_t c = 0; c < n; c++) text[c] = (char)('a' + rng_below(&g, 3));
            bool want = regexec(&r, text, 0, NULL, 0) == 0;
            if (want != accepts(&m, text)) fail_msg("%s on '%s': %d", patterns[i], text, want);
            fits += want;
        }
        assert_true(fits > 0);
        regfree(&r);
        arena_close(&a);
    }
}

static void test_patterns_of_unicode(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *yes[4], *no[4];
    } cases[] = {
        {"[가-힣]{2}", {"환자", "열이"}, {"환", "환a", "abc", "ㄱㄴ"}},
        {"예|아니요", {"예", "아니요", " 예"}, {"아니", "예요", "  예"}},
        {"(발열|기침)(, (발열|기침))*", {"발열", "기침, 발열"}, {"발열,", "열"}},
        {".", {"a", "é", "열", "😷"}, {"\n", "ab", ""}},
        {"[^가-힣]", {"a", "é", "😷", "ㄱ"}, {"각", "힣"}},
        {"\\d{1,3}\\.\\d mg", {"7.5 mg", "120.0 mg"}, {"7,5 mg", ".5 mg"}},
        {"[à-ÿ]+\\s\\w", {"é x", "ñü\t_"}, {"e x", "é "}},
        {"T[1-4][a-b]?|T(is|x)", {"T1", "T4b", "Tis"}, {"T5", "T", "Tisx"}},
        {"^Answer: (Yes|No)$", {"Answer: Yes", " Answer: No"}, {"Answer:Yes", "Yes"}},
        {"[\\d\\-a]+\\)", {"1-a)", "a)"}, {"b)", ")"}},
        {"[^\\W\\d]", {"a", "_"}, {"1", "-"}},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        arena a = open_memory();
        automaton m = pattern_of(cases[i].pattern, &a);
        for (int k = 0; k < 4 && cases[i].yes[k]; k++) {
            if (!accepts(&m, cases[i].yes[k]))
                fail_msg("%s refuses '%s'", cases[i].pattern, cases[i].yes[k]);
        }
        for (int k = 0; k < 4 && cases[i].no[k]; k++) {
            if (accepts(&m, cases[i].no[k]))
                fail_msg("%s takes '%s'", cases[i].pattern, cases[i].no[k]);
        }
        arena_close(&a);
    }
}

/* Every code point is in exactly the ranges that hold it; bytes that are not UTF-8 lead nowhere. */
static void test_ranges_of_code_points(void **state)
{
    (void)state;
    static const int32_t ranges[][2] = {{0x7F, 0x80},     {0x7FF, 0x800},    {0xAC00, 0xD7A3},
                                        {0x3131, 0x3163}, {0xFFFF, 0x10000}, {0x10001, 0x1F637},
                                        {0x41, 0x10FFFF}, {0xD000, 0xE100},  {0x4E01, 0x4E01}};
    for (size_t i = 0; i < countof(ranges); i++) {
        char pattern[20] = "[";
        size_t n = 1;
        n += (size_t)utf8_put(pattern + n, ranges[i][0]);
        pattern[n++] = '-';
        n += (size_t)utf8_put(pattern + n, ranges[i][1]);
        pattern[n] = ']';
        arena a = open_memory();
        automaton m = pattern_of(pattern, &a);
        for (int32_t code = 1; code <= 0x10FFFF; code += code < 0x11000 ? 1 : 97) {
            char text[8] = {0};
            if (code >= 0xD800 && code < 0xE000) continue;
            utf8_put(text, code);
            bool want = code >= ranges[i][0] && code <= ranges[i][1];
            if (accepts(&m, text) != want) fail_msg("%s, U+%04X", pattern, (unsigned)code);
        }
        assert_int_equal(automaton_run(&m, 0, STR("\xED\xA0\x80")), AUTOMATON_DEAD);
        assert_int_equal(automaton_run(&m, 0, STR("\xC0\x80")), AUTOMATON_DEAD);
        arena_close(&a);
    }
}

static void test_what_patterns_refuse(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",        "(a",     "a)",       "[a",      "*a",
                                        "a**",     "a{",     "a{3,1}",   "a{9999}", "(?=a)",
                                        "\\1",     "\\b",    "[z-a]",    "[]",      "a|*",
                                        "(?<n>a)", "\xFF\n", "a{4000}{", "[a-\\d]", "\\"};
    for (size_t i = 0; i < countof(wrong); i++) {
        err e = {0};
        automaton m;
        arena a = open_memory();
        if (automaton_pattern(&m, str_of(wrong[i]), &a, &e)) fail_msg("'%s' is taken", wrong[i]);
        assert_int_equal(e.code, ERR_USAGE);
        assert_true(strlen(e.text) > 20);
        arena_close(&a);
    }
    err e = {0};
    automaton m;
    arena a = open_memory();
    assert_false(automaton_pattern(&m, STR("((a{100}){100}){100}"), &a, &e));
    assert_int_equal(e.code, ERR_USAGE);
    arena_close(&a);
}

static void test_choices(void **state)
{
    (void)state;
    err e = {0};
    automaton m;
    arena a = open_memory();
    const str texts[] = {STR("Yes"), STR(" No"), STR("예"), STR("Yes sir")};
    assert_true(automaton_choice(&m, texts, 4, &a, &e));
    assert_true(accepts(&m, "Yes") && accepts(&m, " Yes sir") && accepts(&m, "No"));
    assert_true(accepts(&m, " 예") && accepts(&m, "예"));
    assert_false(accepts(&m, "Ye") || accepts(&m, "Yes "));
    assert_true(m.goes_on[automaton_run(&m, 0, STR("Yes"))]);
    assert_false(m.goes_on[automaton_run(&m, 0, STR("No"))]);
    assert_false(automaton_choice(&m, (str[]){STR("")}, 1, &a, &e));
    arena_close(&a);
}

/* ---- schemas ---- */

#define SCHEMA                                                                                   \
    "{\"type\": \"object\", \"properties\": {\"serious\": {\"type\": \"boolean\"}, \"grade\": "  \
    "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 5}, \"signs\": {\"type\": \"array\", " \
    "\"items\": {\"enum\": [\"fever\", \"열\"]}, \"minItems\": 1, \"maxItems\": 3}, \"note\": " \
    "{\"type\": [\"string\", \"null\"], \"maxLength\": 12}, \"dose\": {\"type\": \"number\"}}}"

static void test_json_of_a_schema(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "{\"serious\":true,\"grade\":3,\"signs\":[\"fever\"],\"note\":null,\"dose\":-1.5e3}",
        " {\"serious\": false, \"grade\": 5, \"signs\": [\"열\", \"fever\"],\n\"note\": \"a\\n열 "
        "\\u00e9\", \"dose\": 0 }"};
    static const char *const no[] = {
        "{\"serious\":true}",
        "{\"serious\":true,\"grade\":6,\"signs\":[\"fever\"],\"note\":null,\"dose\":1}",
        "{\"serious\":true,\"grade\":3,\"signs\":[],\"note\":null,\"dose\":1}",
        "{\"serious\":true,\"grade\":3,\"signs\":[\"열\"],\"note\":\"over twelve here\",\"dose\":1}",
        "{\"serious\":true,\"grade\":3,\"signs\":[\"fever\"],\"note\":null,\"dose\":01}"};
    err e = {0};
    automaton m;
    arena a = open_memory();
    if (!automaton_schema(&m, STR(SCHEMA), &a, &e)) fail_msg("%s", e.text);
    for (size_t i = 0; i < countof(yes); i++) assert_true(accepts(&m, yes[i]));
    for (size_t i = 0; i < countof(no); i++) assert_false(accepts(&m, no[i]));
    arena_close(&a);
}

/* What `required` leaves out may be left out, commas included; nested objects, lists of objects,
 * enums of any kind. */
static void test_optional_and_nested(void **state)
{
    (void)state;
    static const char schema[] =
        "{\"type\": \"object\", \"required\": [\"b\"], \"properties\": {"
        "\"a\": {\"type\": \"boolean\"}, \"b\": {\"enum\": [1, \"x\", null, [2], {\"k\": 3}]}, "
        "\"c\": {\"type\": \"array\", \"maxItems\": 2, \"items\": {\"type\": \"object\", "
        "\"required\": [], \"properties\": {\"d\": {\"type\": \"null\"}, \"e\": {\"type\": "
        "\"object\", \"properties\": {\"f\": {\"const\": \"열\"}}}}}}}}";
    static const char *const yes[] = {
        "{\"a\":true,\"b\":1,\"c\":[]}",
        "{\"b\":\"x\"}",
        "{\"a\": false, \"b\": null}",
        "{\"b\":[2],\"c\":[{}]}",
        "{\"b\":{\"k\":3},\"c\":[{\"d\":null},{\"e\":{\"f\":\"열\"}}]}",
        "{ \"b\":1, \"c\":[{\"d\":null, \"e\":{ \"f\":\"열\" } }] }"};
    static const char *const no[] = {"{}",
                                     "{\"a\":true}",
                                     "{,\"b\":1}",
                                     "{\"b\":1,}",
                                     "{\"a\":true \"b\":1}",
                                     "{\"b\":1,\"a\":true}",
                                     "{\"b\":2}",
                                     "{\"b\":1,\"c\":[{},{},{}]}",
                                     "{\"b\":1,\"c\":[{\"e\":{}}]}",
                                     "{\"b\":1,\"c\":[{\"d\":null,}]}"};
    err e = {0};
    automaton m;
    arena a = open_memory();
    if (!automaton_schema(&m, STR(schema), &a, &e)) fail_msg("%s", e.text);
    for (size_t i = 0; i < countof(yes); i++) {
        if (!accepts(&m, yes[i])) fail_msg("not taken: %s", yes[i]);
    }
    for (size_t i = 0; i < countof(no); i++) {
        if (accepts(&m, no[i])) fail_msg("taken: %s", no[i]);
    }
    arena_close(&a);
}

/* Random walks end in JSON that parses, with the keys in order. */
static void test_walks_give_json(void **state)
{
    (void)state;
    err e = {0};
    automaton m;
    arena a = open_memory();
    rng g = rng_for(1, 1, 1);
    assert_true(automaton_schema(&m, STR(SCHEMA), &a, &e));
    for (int k = 0; k < 300; k++) {
        char text[4000];
        size_t n = 0;
        int32_t at = 0;
        while (n < sizeof text && !(m.accepts[at] && !m.goes_on[at])) {
            int32_t byte = (int32_t)rng_below(&g, 256);
            if (m.next[at * 256 + byte] < 0) continue;
            at = m.next[at * 256 + byte];
            text[n++] = (char)byte;
        }
        json_error_t why;
        json_t *got = json_loadb(text, n, 0, &why);
        if (!got) fail_msg("%.*s: %s", (int)n, text, why.text);
        assert_int_equal(json_object_size(got), 5);
        assert_true(json_is_boolean(json_object_get(got, "serious")));
        json_int_t grade = json_integer_value(json_object_get(got, "grade"));
        assert_true(grade >= 1 && grade <= 5);
        json_decref(got);
    }
    arena_close(&a);
}

static void test_what_schemas_refuse(void **state)
{
    (void)state;
    static const struct {
        const char *json, *words;
    } wrong[] = {
        {"{", "not JSON"},
        {"[]", "a map is wanted"},
        {"{}", "lacks the key"},
        {"{\"type\": \"date\"}", "date"},
        {"{\"type\": \"object\"}", "properties"},
        {"{\"type\": \"string\", \"pattern\": \"a\"}", "pattern"},
        {"{\"type\": \"integer\", \"minimum\": 1}", "maximum"},
        {"{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 900000}", "too far"},
        {"{\"$ref\": \"#/x\"}", "type"},
        {"{\"type\": \"array\"}", "items"},
        {"{\"type\": \"string\", \"maxLength\": 1, \"minLength\": 2}", "maxLength"},
        {"{\"type\": \"string\", \"maxLength\": -1}", "maxLength"},
        {"{\"enum\": []}", "enum"},
        {"{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"null\"}}, "
         "\"additionalProperties\": true}",
         "additionalProperties"},
        {"{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"null\"}}, \"required\": "
         "[\"b\"]}",
         "`required` names what is no property: 'b'"},
        {"{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"null\"}}, \"required\": "
         "\"a\"}",
         "required"},
    };
    for (size_t i = 0; i < countof(wrong); i++) {
        err e = {0};
        automaton m;
        arena a = open_memory();
        assert_false(automaton_schema(&m, str_of(wrong[i].json), &a, &e));
        assert_int_equal(e.code, ERR_USAGE);
        if (!strstr(e.text, wrong[i].words)) fail_msg("%s: %s", wrong[i].json, e.text);
        arena_close(&a);
    }
}

/* ---- tokens ---- */

static void test_masks_are_what_trying_gives(void **state)
{
    (void)state;
    static const char *const models[] = {"smollm2", "gemma3", "llama2"};
    for (size_t i = 0; i < countof(models); i++) {
        char path[] = "/tmp/caseload-mask-XXXXXX", command[100];
        err e = {0};
        engine g;
        tiny_model t;
        arena a = open_memory();
        assert_non_null(mkdtemp(path));
        assert_true(tiny_open(&t, models[i]));
        tiny_write_folder(&t, path, 0);
        tiny_close(&t);
        assert_true(engine_peek(&g, &(engine_options){.model = path, .threads = 1}, &e));
        const tokenizer *tokens = g.header.tokens;
        int32_t n_vocab = g.header.config.n_vocab, eos = token_eos(tokens);
        token_bytes bytes;
        constrainer c;
        automaton m = pattern_of("(the|to|환자|열)( [a-z]{1,4}){0,3}[.!]?", &a);
        assert_true(token_bytes_make(&bytes, tokens, n_vocab, &a, &e));
        assert_true(constrainer_make(&c, &m, &bytes, &a, &e));
        float *logit = calloc((size_t)n_vocab, sizeof *logit);
        int64_t allowed = 0;
        for (int32_t s = 0; s < m.n_state; s++) {
            for (int32_t id = 0; id < n_vocab; id++) logit[id] = 1;
            constrainer_allow(&c, s, &eos, eos >= 0, logit);
            for (int32_t id = 0; id < n_vocab; id++) {
                buf piece = buf_up_to(10000);
                token_decode(tokens, &id, 1, false, &piece);
                bool want = piece.size > 0 && !token_is_special(tokens, id) &&
                            automaton_run(&m, s, buf_view(&piece)) >= 0;
                if (id == eos) want = m.accepts[s];
                if (want != (logit[id] == 1)) fail_msg("%s, state %d, token %d", models[i], s, id);
                allowed += want;
                buf_close(&piece);
            }
        }
        assert_true(allowed > m.n_state);
        free(logit);
        engine_close(&g);
        arena_close(&a);
        snprintf(command, sizeof command, "rm -r %s", path);
        assert_int_equal(system(command), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns_as_the_library_reads_them),
        cmocka_unit_test(test_patterns_of_unicode),
        cmocka_unit_test(test_ranges_of_code_points),
        cmocka_unit_test(test_what_patterns_refuse),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_json_of_a_schema),
        cmocka_unit_test(test_optional_and_nested),
        cmocka_unit_test(test_walks_give_json),
        cmocka_unit_test(test_what_schemas_refuse),
        cmocka_unit_test(test_masks_are_what_trying_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
