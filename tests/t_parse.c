/* Reading an answer out of a generated text, rule by rule. */
#include "text/parse.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const str words[] = {{"serious", 7}, {"not serious", 11}, {"예", 3}, {"아니오", 9}};
static const int32_t classes[] = {1, 0, 1, 0}, letters[] = {0, 1};
static const parse_answers all = {
    .n = 4, .text = words, .class = classes, .n_letter = 2, .letter_class = letters};

static int32_t by(spec_parse_kind kind, const char *what, const char *text)
{
    spec_rule rule = {.kind = kind, .text = {str_of(what), 1}};
    spec_think t = {.n_parse = 1, .parse = &rule};
    return parse_text(&t, &all, str_of(text));
}

static void test_exact(void **state)
{
    (void)state;
    assert_int_equal(by(SPEC_PARSE_EXACT, "", " Serious.\n"), 1);
    assert_int_equal(by(SPEC_PARSE_EXACT, "", "**Not serious**"), 0);
    assert_int_equal(by(SPEC_PARSE_EXACT, "", "serious event"), PARSE_NOTHING);
    assert_int_equal(by(SPEC_PARSE_EXACT, "", ""), PARSE_NOTHING);
}

static void test_letter(void **state)
{
    (void)state;
    assert_int_equal(by(SPEC_PARSE_LETTER, "", "B"), 1);
    assert_int_equal(by(SPEC_PARSE_LETTER, "", "The answer is (A)"), 0);
    assert_int_equal(by(SPEC_PARSE_LETTER, "", "A patient. So: B."), 1);
    assert_int_equal(by(SPEC_PARSE_LETTER, "", "HIV-AB. C."), PARSE_NOTHING);
    assert_int_equal(by(SPEC_PARSE_LETTER, "", "a."), PARSE_NOTHING);
}

static void test_words(void **state)
{
    (void)state;
    assert_int_equal(by(SPEC_PARSE_FIRST, "", "It was not serious, though serious once"), 0);
    assert_int_equal(by(SPEC_PARSE_LAST, "", "It was not serious, though serious once"), 1);
    assert_int_equal(by(SPEC_PARSE_LAST, "", "First serious; at last NOT SERIOUS!"), 0);
    assert_int_equal(by(SPEC_PARSE_FIRST, "", "seriousness"), PARSE_NOTHING);
    assert_int_equal(by(SPEC_PARSE_FIRST, "", "unserious"), PARSE_NOTHING);
    assert_int_equal(by(SPEC_PARSE_FIRST, "", "정답은 예입니다."), 1);
    assert_int_equal(by(SPEC_PARSE_FIRST, "", "예방 접종 뒤 아니오"), 0);
    assert_int_equal(by(SPEC_PARSE_FIRST, "", "동예"), PARSE_NOTHING);
}

static void test_places(void **state)
{
    (void)state;
    assert_int_equal(by(SPEC_PARSE_AFTER, "Answer:", "serious? answer: x\nANSWER: not serious"), 0);
    assert_int_equal(by(SPEC_PARSE_AFTER, "Answer:", "Answer: B"), 1);
    assert_int_equal(by(SPEC_PARSE_AFTER, "Answer:", "serious"), PARSE_NOTHING);
    assert_int_equal(by(SPEC_PARSE_JSON, "label", "Here: {\"label\": \"Not serious\"} ok"), 0);
    assert_int_equal(by(SPEC_PARSE_JSON, "label", "{\"label\": 3}"), PARSE_NOTHING);
    assert_int_equal(by(SPEC_PARSE_JSON, "label", "{\"label\": "), PARSE_NOTHING);
    assert_int_equal(by(SPEC_PARSE_JSON, "label", "[]"), PARSE_NOTHING);
    assert_int_equal(by(SPEC_PARSE_PATTERN, "^final=(.*)$", "serious\nfinal=not serious\n"), 0);
    assert_int_equal(by(SPEC_PARSE_PATTERN, "(x+x+)+y", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
                     PARSE_NOTHING);
}

/* The first rule that finds something decides. */
static void test_rules_in_order(void **state)
{
    (void)state;
    spec_rule rules[] = {{.kind = SPEC_PARSE_AFTER, .text = {STR("Answer:"), 1}},
                         {.kind = SPEC_PARSE_LAST}};
    spec_think t = {.n_parse = 2, .parse = rules};
    assert_int_equal(parse_text(&t, &all, STR("Answer: not serious. Yet serious.")), 0);
    assert_int_equal(parse_text(&t, &all, STR("not serious. Yet serious.")), 1);
    assert_int_equal(parse_text(&t, &all, STR("Who knows?")), PARSE_NOTHING);
    t.n_parse = 0;
    assert_int_equal(parse_text(&t, &all, STR("serious")), PARSE_NOTHING);
}

static void test_a_bad_pattern_is_a_sentence(void **state)
{
    (void)state;
    err e = {0};
    spec_rule rule = {.kind = SPEC_PARSE_PATTERN, .text = {STR("final=("), 9}};
    spec s = {.path = "study.yaml"};
    spec_arm arm = {.ask = {.think = {.n_parse = 1, .parse = &rule}}};
    assert_false(parse_check(&s, &arm, &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_non_null(strstr(e.text, "study.yaml: line 9: the pattern of 'parse' cannot be read"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),          cmocka_unit_test(test_letter),
        cmocka_unit_test(test_words),          cmocka_unit_test(test_places),
        cmocka_unit_test(test_rules_in_order), cmocka_unit_test(test_a_bad_pattern_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
