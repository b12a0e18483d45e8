/* Tests of src/stats/overlap: the published vectors when they are there, and rouge-score, sacreBLEU
 * and NLTK on made-up English and Korean texts (tests/golden/overlap.json). */
#include "base/file.h"
#include "stats/overlap.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "stat_tests.h"

static json_t *load(const char *path)
{
    json_error_t je;
    json_t *j = json_load_file(path, 0, &je);
    if (!j) fail_msg("%s: line %d: %s", path, je.line, je.text);
    return j;
}

static json_t *shared(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "../shared/data/text-metric-vectors/%s", name);
    if (file_exists(path)) return load(path);
    print_message("skip: %s is not there\n", path);
    skip();
    return NULL;
}

static str text_of(const json_t *j, const char *key)
{
    return str_of(json_string_value(json_object_get(j, key)));
}

static double number(const json_t *j, const char *key)
{
    return json_number_value(json_object_get(j, key));
}

static overlap_score rouge(arena *a, const char *kind, str ref, str gen, bool stem)
{
    err e = {0};
    overlap_score s;
    overlap_options o = {.stem = stem, .n = kind[5] >= '1' && kind[5] <= '9' ? kind[5] - '0' : 0};
    bool fine = !strcmp(kind, "rougeL")      ? overlap_rouge_l(ref, gen, o, a, &s, &e)
                : !strcmp(kind, "rougeLsum") ? overlap_rouge_lsum(ref, gen, o, a, &s, &e)
                                             : overlap_rouge_n(ref, gen, o, a, &s, &e);
    if (!fine) fail_msg("%s", e.text);
    return s;
}

static void test_shared_rouge(void **state)
{
    json_t *cases = shared("rouge.json"), *one;
    size_t k;
    json_array_foreach(cases, k, one)
    {
        double within = 0.5000001 * pow(10, -number(one, "places"));
        overlap_score s =
            rouge(*state, text_of(one, "metric").data, text_of(one, "reference"),
                  text_of(one, "hypothesis"), json_object_get(one, "stemmer") != NULL);
        near_to(s.precision, number(one, "precision"), within);
        near_to(s.recall, number(one, "recall"), within);
        near_to(s.f, number(one, "f"), within);
    }
    assert_int_equal(k, 19);
    json_decref(cases);
}

static void read_texts(const json_t *list, str *out)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        out[i] = str_of(json_string_value(json_array_get(list, i)));
}

static void test_shared_bleu_and_chrf(void **state)
{
    json_t *all = shared("bleu-chrf.json"), *one;
    size_t k;
    json_array_foreach(json_object_get(all, "corpus_bleu"), k, one)
    {
        err e = {0};
        str gen[10], ref[30];
        stat_estimate o;
        json_t *streams = json_object_get(one, "references"),
               *set = json_object_get(one, "settings");
        const char *words = json_string_value(json_object_get(set, "tokenize"));
        const char *smooth = json_string_value(json_object_get(set, "smooth_method"));
        size_t n = json_array_size(json_object_get(one, "hypotheses"));
        read_texts(json_object_get(one, "hypotheses"), gen);
        for (size_t r = 0; r < json_array_size(streams); r++)
            read_texts(json_array_get(streams, r), ref + r * n);
        overlap_corpus c = {(int64_t)n, gen, (int32_t)json_array_size(streams), ref};
        overlap_bleu_words kind = !words || !strcmp(words, "13a") ? OVERLAP_13A
                                  : !strcmp(words, "none")        ? OVERLAP_NONE
                                                                  : OVERLAP_INTL;
        assert_true(overlap_bleu(&c, kind, !smooth || strcmp(smooth, "none") != 0, *state, &o, &e));
        near_to(o.value, number(one, "score"), 1e-6);
    }
    assert_int_equal(k, 6);
    json_array_foreach(json_object_get(all, "chrf"), k, one)
    {
        err e = {0};
        str gen[10], ref[10];
        stat_estimate o;
        read_texts(json_object_get(one, "hypothesis"), gen);
        read_texts(json_object_get(one, "reference"), ref);
        overlap_corpus c = {(int64_t)json_array_size(json_object_get(one, "reference")), gen, 1,
                            ref};
        assert_true(overlap_chrf(&c, 3, true, *state, &o, &e));
        near_to(o.value, number(one, "score"), 1e-4);
    }
    assert_int_equal(k, 11);
    json_decref(all);
}

static void test_golden_rouge(void **state)
{
    json_t *all = load("tests/golden/overlap.json"), *one;
    size_t k;
    json_array_foreach(json_object_get(all, "rouge"), k, one)
    {
        overlap_score s =
            rouge(*state, text_of(one, "kind").data, text_of(one, "reference"),
                  text_of(one, "generated"), json_is_true(json_object_get(one, "stem")));
        near_to(s.precision, number(one, "precision"), 1e-12);
        near_to(s.recall, number(one, "recall"), 1e-12);
        near_to(s.f, number(one, "f"), 1e-12);
    }
    assert_true(k > 60);
    json_decref(all);
}

static void test_golden_bleu_and_chrf(void **state)
{
    json_t *all = load("tests/golden/overlap.json"), *one;
    str gen[20], ref[40];
    size_t k, n = json_array_size(json_object_get(all, "generated"));
    read_texts(json_object_get(all, "generated"), gen);
    for (size_t r = 0; r < 2; r++)
        read_texts(json_array_get(json_object_get(all, "references"), r), ref + r * n);
    json_array_foreach(json_object_get(all, "bleu"), k, one)
    {
        err e = {0};
        stat_estimate o;
        const char *words = text_of(one, "tokenize").data;
        overlap_corpus c = {(int64_t)n, gen, (int32_t)number(one, "n_reference"), ref};
        overlap_bleu_words kind = !strcmp(words, "13a")    ? OVERLAP_13A
                                  : !strcmp(words, "none") ? OVERLAP_NONE
                                                           : OVERLAP_INTL;
        assert_true(overlap_bleu(&c, kind, str_is(text_of(one, "smooth"), "exp"), *state, &o, &e));
        near_to(o.value, number(one, "score"), 1e-9);
    }
    assert_int_equal(k, 12);
    json_array_foreach(json_object_get(all, "chrf"), k, one)
    {
        err e = {0};
        stat_estimate o;
        overlap_corpus c = {(int64_t)n, gen, (int32_t)number(one, "n_reference"), ref};
        bool every = json_is_true(json_object_get(one, "every_order"));
        assert_true(overlap_chrf(&c, number(one, "beta"), every, *state, &o, &e));
        near_to(o.value, number(one, "score"), 1e-9);
    }
    assert_int_equal(k, 8);
    json_decref(all);
}

static void test_porter(void **state)
{
    (void)state;
    json_t *all = load("tests/golden/overlap.json"), *want;
    const char *word;
    json_object_foreach(json_object_get(all, "stems"), word, want)
    {
        char w[60];
        snprintf(w, sizeof w, "%s", word);
        w[overlap_porter(w, strlen(w))] = 0;
        assert_string_equal(w, json_string_value(want));
    }
    json_decref(all);
}

/* ASCII words do not see Korean; Unicode words do. */
static void test_korean_words(void **state)
{
    err e = {0};
    overlap_score s;
    str ref = STR("환자는 흉통을 호소함"), gen = STR("환자는, 흉통을 부인함.");
    assert_true(overlap_rouge_n(ref, gen, (overlap_options){0}, *state, &s, &e));
    assert_true(s.f == 0);
    overlap_options o = {.words = OVERLAP_UNICODE};
    assert_true(overlap_rouge_n(ref, gen, o, *state, &s, &e));
    near_to(s.f, 2.0 / 3, 1e-15);
    assert_true(overlap_rouge_l(ref, gen, o, *state, &s, &e));
    near_to(s.recall, 2.0 / 3, 1e-15);
    o.stem = true; /* stems leave other scripts alone */
    assert_true(overlap_rouge_n(ref, gen, o, *state, &s, &e));
    near_to(s.f, 2.0 / 3, 1e-15);
}

static void test_exact(void **state)
{
    (void)state;
    assert_true(overlap_exact(STR(" No  finding\n"), STR("No finding"), false));
    assert_false(overlap_exact(STR("No finding"), STR("no finding"), false));
    assert_true(overlap_exact(STR("No finding"), STR("no  FINDING "), true));
    assert_false(overlap_exact(STR("Nofinding"), STR("No finding"), true));
    assert_false(overlap_exact(STR("No finding"), STR("No findings"), true));
    assert_true(overlap_exact(STR(""), STR(" \t"), false));
    assert_true(overlap_exact(STR("소견 없음"), STR("소견\xE3\x80\x80없음"),
                              false)); /* ideographic blank */
    assert_false(overlap_exact(STR("\xff"), STR("a"), false));
}

static void test_empty_and_broken_text(void **state)
{
    err e = {0};
    stat_estimate o;
    str none[1] = {STR("")}, bytes[1] = {STR("\xff\xfe \xed\xa0\x80 a")};
    overlap_corpus c = {0, none, 1, none};
    assert_true(overlap_bleu(&c, OVERLAP_13A, true, *state, &o, &e));
    assert_false(o.has_value);
    c.n = 1;
    assert_true(overlap_bleu(&c, OVERLAP_13A, true, *state, &o, &e) && o.value == 0);
    assert_true(overlap_chrf(&c, 2, false, *state, &o, &e) && o.value == 0);
    c.generated = c.reference = bytes;
    assert_true(overlap_chrf(&c, 2, false, *state, &o, &e));
    near_to(o.value, 100, 1e-12);
    assert_true(overlap_bleu(&c, OVERLAP_INTL, true, *state, &o, &e));
    assert_true(overlap_bleu(&c, OVERLAP_13A, false, *state, &o, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_rouge), cmocka_unit_test(test_shared_bleu_and_chrf),
        cmocka_unit_test(test_golden_rouge), cmocka_unit_test(test_golden_bleu_and_chrf),
        cmocka_unit_test(test_porter),       cmocka_unit_test(test_korean_words),
        cmocka_unit_test(test_exact),        cmocka_unit_test(test_empty_and_broken_text),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
