/* Tests of data/spec: the study file. */
#include "data/spec.h"

#include "broken.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const char base[] = "study: s\n"
                           "data:\n"
                           "  file: t.csv\n"
                           "  id: id\n"
                           "  text: text\n"
                           "  label: label\n"
                           "classes:\n"
                           "  yes: [Yes, yes]\n"
                           "  no: [No]\n"
                           "positive: yes\n"
                           "question: Was it?\n";

typedef struct place {
    arena a;
    err e;
    spec s;
} place;

static int set_up(void **state)
{
    static place p;
    p = (place){0};
    *state = &p;
    return arena_open(&p.a, (size_t)1 << 32, "test", &p.e) ? 0 : 1;
}

static int tear_down(void **state)
{
    arena_close(&((place *)*state)->a);
    return 0;
}

static bool parse(place *p, const char *text)
{
    p->e = (err){0};
    bool ok = spec_parse(&p->s, str_of(text), "study.yaml", &p->a, &p->e);
    if (!ok && !p->e.code) fail_msg("failed without an error");
    return ok;
}

static bool parse_with(place *p, const char *more)
{
    char text[4000];
    snprintf(text, sizeof text, "%s%s", base, more);
    return parse(p, text);
}

#define assert_str(s, text) assert_string_equal((s).data, (text))

/* The study file of the README, key by key. */
static void test_whole_file(void **state)
{
    place *p = *state;
    static const char text[] = "study: serious-events\n"
                               "model: models/SmolLM2-135M-Instruct.Q4_1.gguf      # or a folder\n"
                               "data:\n"
                               "  file: texts.csv\n"
                               "  encoding: EUC-KR\n"
                               "  id: id\n"
                               "  text: [findings, impression]\n"
                               "  label: label\n"
                               "  labels: {serious: [1, 007], not-serious: [No]}\n"
                               "  missing: [NA, \".\"]\n"
                               "  patient: patient\n"
                               "  group: [site, sex]\n"
                               "  split: split\n"
                               "  use: dev\n"
                               "classes:\n"
                               "  serious: [Yes, yes]\n"
                               "  not-serious: [No, no]\n"
                               "positive: serious\n"
                               "question: |\n"
                               "  Was the event serious? Answer Yes or No.\n"
                               "system: You are a clinician.\n"
                               "template: plain\n"
                               "seed: 7\n"
                               "arms:\n"
                               "  - name: zero-shot\n"
                               "  - name: three-shot\n"
                               "    shots: 3\n"
                               "    seed: 1\n"
                               "    system: You are a nurse.\n"
                               "  - name: korean\n"
                               "    question: 중대한가?\n"
                               "    classes: {not-serious: [아니오], serious: [예]}\n"
                               "limits: {max_tokens: 1024, cut: head+tail}\n";
    assert_true(spec_parse(&p->s, STR(text), "dir/study.yaml", &p->a, &p->e));
    const spec *s = &p->s;
    assert_str(s->study.text, "serious-events");
    assert_str(s->model.text, "dir/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert_str(s->data.file.text, "dir/texts.csv");
    assert_int_equal(s->data.file.line, 4);
    assert_int_equal(s->data.encoding, ENCODING_CP949);
    assert_int_equal(s->data.text.n, 2);
    assert_str(s->data.text.item[1].text, "impression");
    assert_int_equal(s->data.n_labels, 2);
    assert_str(s->data.labels[0].surfaces.item[1].text, "007");
    assert_int_equal(s->data.missing.n, 2);
    assert_int_equal(s->data.group.n, 2);
    assert_str(s->data.use.text, "dev");
    assert_str(s->data.train.text, "train");
    assert_int_equal(s->n_class, 2);
    assert_str(s->classes[1].surfaces.item[0].text, "No");
    assert_int_equal(s->positive, 0);
    assert_str(s->question.text, "Was the event serious? Answer Yes or No.\n");
    assert_int_equal(s->template_kind, SPEC_TEMPLATE_PLAIN);
    assert_int_equal(s->max_tokens, 1024);
    assert_int_equal(s->cut, SPEC_CUT_HEAD_TAIL);
    assert_string_equal(spec_cut_name(s->cut), "head+tail");
    assert_int_equal(s->n_arm, 3);
    assert_int_equal(s->arms[0].seed, 7);
    assert_int_equal(s->arms[1].seed, 1);
    assert_int_equal(s->arms[1].shots, 3);
    assert_str(s->arms[0].system.text, "You are a clinician.");
    assert_str(s->arms[1].system.text, "You are a nurse.");
    assert_ptr_equal(s->arms[1].classes, s->classes);
    assert_str(s->arms[2].question.text, "중대한가?");
    assert_str(s->arms[2].classes[0].name.text, "serious"); /* the study's order */
    assert_str(s->arms[2].classes[0].surfaces.item[0].text, "예");
}

static void test_defaults(void **state)
{
    place *p = *state;
    assert_true(parse(p, base));
    assert_string_equal(p->s.folder, ".");
    assert_str(p->s.data.file.text, "t.csv");
    assert_null(p->s.model.text.data);
    assert_null(p->s.data.split.text.data);
    assert_null(p->s.data.use.text.data);
    assert_int_equal(p->s.n_arm, 1);
    assert_str(p->s.arms[0].name.text, "zero-shot");
    assert_str(p->s.arms[0].question.text, "Was it?");
    assert_int_equal(p->s.seed, 1);
    assert_int_equal(p->s.max_tokens, 0);
    assert_int_equal(p->s.cut, SPEC_CUT_REFUSE);
    assert_int_equal(p->s.template_kind, SPEC_TEMPLATE_AUTO);
}

/* YAML would make booleans, numbers and nothing of these. */
static void test_scalars_are_text(void **state)
{
    place *p = *state;
    assert_true(parse(p, "study: 007\ndata: {file: 1.0, id: 0x10, text: null, label: ~}\n"
                         "classes: {Yes: [on, true, 1e3], No: [off, 010, 2020-01-01]}\n"
                         "positive: Yes\nquestion: 12\n"));
    assert_str(p->s.study.text, "007");
    assert_str(p->s.data.id.text, "0x10");
    assert_str(p->s.data.text.item[0].text, "null");
    assert_str(p->s.data.label.text, "~");
    assert_str(p->s.classes[0].name.text, "Yes");
    assert_str(p->s.classes[1].surfaces.item[1].text, "010");
    assert_str(p->s.classes[1].surfaces.item[2].text, "2020-01-01");
}

static void test_classes_as_list(void **state)
{
    place *p = *state;
    assert_true(parse(p, "study: s\ndata: {file: t, id: id, text: t, label: l}\n"
                         "classes: [T1, T2, T3]\nquestion: q\n"));
    assert_int_equal(p->s.n_class, 3);
    assert_int_equal(p->s.positive, -1);
    assert_str(p->s.classes[2].name.text, "T3");
    assert_int_equal(p->s.classes[2].surfaces.n, 1);
    assert_str(p->s.classes[2].surfaces.item[0].text, "T3");
}

/* Names typed on a Mac arrive decomposed; the table is in NFC. */
static void test_texts_are_composed(void **state)
{
    place *p = *state;
    assert_true(
        parse_with(p, "system: \xE1\x84\x91\xE1\x85\xA8\xE1\x84\x85\xE1\x85\xA7\xE1\x86\xB7\n"));
    assert_str(p->s.system.text, "폐렴");
}

static void test_byte_order_mark_and_crlf(void **state)
{
    place *p = *state;
    assert_true(parse(p, "\xEF\xBB\xBFstudy: s\r\ndata: {file: t, id: id, text: t, label: l}\r\n"
                         "classes: {a: [A], b: [B]}\r\npositive: b\r\nquestion: q\r\n"));
    assert_int_equal(p->s.positive, 1);
    assert_str(p->s.question.text, "q");
}

static void test_paths(void **state)
{
    place *p = *state;
    static const char text[] = "study: s\nmodel: /abs/m.gguf\ndata: {file: ../t.csv, id: id, "
                               "text: t, label: l}\nclasses: {a: [A], b: [B]}\npositive: b\n"
                               "question: q\n";
    assert_true(spec_parse(&p->s, STR(text), "/study.yaml", &p->a, &p->e));
    assert_string_equal(p->s.folder, "/");
    assert_str(p->s.model.text, "/abs/m.gguf");
    assert_true(spec_parse(&p->s, STR(text), "/a b/한글/study.yaml", &p->a, &p->e));
    assert_str(p->s.data.file.text, "/a b/한글/../t.csv");
}

/* Layout and comments leave the hash alone; anything that is asked changes it. */
static void test_hash_is_of_meaning(void **state)
{
    place *p = *state;
    assert_true(parse(p, base));
    hash_text first = p->s.hash;
    assert_true(parse(p, "# a comment\nquestion: \"Was it?\"\nstudy: s\nseed: 1\npositive: yes\n"
                         "classes: {yes: [Yes, yes], no: [No]}\n"
                         "data: {label: label, text: [text], id: id, file: t.csv}\n"
                         "limits: {cut: refuse}\n"));
    assert_string_equal(first.hex, p->s.hash.hex);
    static const char *const more[] = {
        "seed: 2\n",  "system: x\n",         "limits: {cut: head}\n",     "template: chat\n",
        "model: m\n", "arms: [{name: b}]\n", "limits: {max_tokens: 99}\n"};
    for (size_t i = 0; i < countof(more); i++) {
        assert_true(parse_with(p, more[i]));
        assert_string_not_equal(first.hex, p->s.hash.hex);
    }
}

static void test_too_large(void **state)
{
    place *p = *state;
    buf text = buf_up_to(SPEC_BYTES_MAX * 2);
    for (int i = 0; i < SPEC_BYTES_MAX / 4; i++) buf_add_text(&text, "# 34\n");
    assert_false(spec_parse(&p->s, buf_view(&text), "study.yaml", &p->a, &p->e));
    assert_int_equal(p->e.code, ERR_USAGE);
    assert_non_null(strstr(p->e.text, "at most 4 MB"));
    buf_close(&text);
}

static void test_absent_file(void **state)
{
    place *p = *state;
    assert_false(spec_read(&p->s, "tests/no-such.yaml", &p->a, &p->e));
    assert_int_equal(p->e.code, ERR_USAGE);
}

static void test_later_errors_have_lines(void **state)
{
    place *p = *state;
    assert_true(parse(p, base));
    assert_false(spec_fail(&p->s, p->s.data.text.item[0].line, &p->e, "no column '%s'", "text"));
    assert_string_equal(p->e.text, "study.yaml: line 5: no column 'text'");
    assert_int_equal(p->e.code, ERR_USAGE);
}

/* Whatever the cut, an answer or an error: never a crash, never an error without a sentence. */
static void test_every_prefix(void **state)
{
    place *p = *state;
    size_t mark = arena_mark(&p->a);
    for (size_t n = 0; n < sizeof base - 1; n++) {
        p->e = (err){0};
        bool ok = spec_parse(&p->s, str_part(STR(base), 0, n), "study.yaml", &p->a, &p->e);
        assert_int_equal(ok, p->e.code == ERR_NONE);
        if (!ok) assert_true(strlen(p->e.text) > 20);
        arena_reset(&p->a, mark);
    }
}

/* Too little memory, whatever the amount: a sentence. */
static void test_memory_runs_out(void **state)
{
    (void)state;
    int n_failed = 0;
    for (size_t bytes = 64; bytes < 64 << 10; bytes += 64) {
        arena a;
        err e = {0};
        spec s;
        static const char more[] = "arms: [{name: a}, {name: b, classes: {no: [n], yes: [y]}}]\n";
        char text[1000];
        snprintf(text, sizeof text, "%s%s", base, more);
        assert_true(arena_open(&a, bytes, "test", &e));
        bool ok = spec_parse(&s, str_of(text), "folder/study.yaml", &a, &e);
        assert_int_equal(e.code, ok ? ERR_NONE : ERR_RESOURCE);
        n_failed += !ok;
        arena_close(&a);
    }
    assert_in_range(n_failed, 40, 900);
}

static void expect_arms(const place *p, const char *const *name, int32_t n)
{
    assert_int_equal(p->s.n_arm, n);
    for (int32_t i = 0; i < n; i++) assert_str(p->s.arms[i].name.text, name[i]);
}

/* What the study says holds for every arm that does not say otherwise. */
static void test_study_speaks_for_its_arms(void **state)
{
    place *p = *state;
    assert_true(parse_with(p, "framing: options\nscore: both\nposition: cyclic\nmethod: [role]\n"
                              "parts: {role: Be kind., letter: Letter!}\nlanguage: ko\n"
                              "arms:\n  - name: a\n  - {name: b, framing: labels, score: letter,\n"
                              "     position: as-is, method: none, language: en}\n"));
    const spec_arm *a = &p->s.arms[0], *b = &p->s.arms[1];
    assert_int_equal(a->ask.framing, SPEC_OPTIONS);
    assert_int_equal(a->ask.position, SPEC_CYCLIC);
    assert_int_equal(spec_ways(a), 2);
    assert_str(a->system.text, "Be kind.");
    assert_str(a->ask.part[SPEC_PART_LETTER].text, "Letter!");
    assert_str(a->ask.part[SPEC_PART_ANSWER].text, "답:");
    assert_int_equal(a->ask.think.samples, 0);
    assert_int_equal(b->ask.framing, SPEC_LABELS);
    assert_int_equal(spec_ways(b), 1);
    assert_null(b->system.text.data);
    assert_str(b->ask.part[SPEC_PART_ANSWER].text, "Answer:");
    assert_str(b->question.text, "Was it?");
}

static void test_thinking(void **state)
{
    place *p = *state;
    assert_true(
        parse_with(p, "arms:\n  - {name: cot, method: cot}\n"
                      "  - {name: sc, method: [self-consistency, definitions],\n"
                      "     parts: {definitions: {yes: ill, no: well}}, think: {samples: 7}}\n"
                      "  - {name: text, framing: text, parse: [{after: \"Answer:\"}, first]}\n"));
    const spec_think *cot = &p->s.arms[0].ask.think, *sc = &p->s.arms[1].ask.think,
                     *text = &p->s.arms[2].ask.think;
    assert_int_equal(cot->samples, 1);
    assert_true(cot->temperature == 0);
    assert_int_equal(cot->parse[2].kind, SPEC_PARSE_LAST);
    assert_int_equal(sc->samples, 7);
    assert_true(sc->temperature == 0.7);
    assert_str(p->s.arms[1].ask.part[SPEC_PART_DEFINITIONS].text, "- yes: ill\n- no: well");
    assert_int_equal(text->n_parse, 2);
    assert_int_equal(text->parse[0].kind, SPEC_PARSE_AFTER);
    assert_str(text->parse[0].text.text, "Answer:");
}

static void test_matrix(void **state)
{
    place *p = *state;
    static const char *const names[] = {"labels_plain_zero-shot",    "labels_plain_3-shot",
                                        "labels_role-cot_zero-shot", "labels_role-cot_3-shot",
                                        "options_plain_zero-shot",   "options_role-cot_zero-shot"};
    static const char *const only[] = {"no-calibrate", "contextual"};
    static const char text[] =
        "study: s\ndata: {file: t.csv, id: id, text: text, label: label, split: s}\n"
        "classes: {yes: [Yes], no: [No]}\npositive: yes\nquestion: Was it?\n"
        "matrix:\n  framing: [labels, options]\n  method: [[], [role, cot]]\n  shots: [0, 3]\n"
        "  without: [{framing: options, shots: 3}]\n";
    assert_true(parse(p, text));
    expect_arms(p, names, 6);
    assert_int_equal(p->s.arms[3].shots, 3);
    assert_int_equal(p->s.arms[3].ask.think.samples, 1);
    assert_int_equal(p->s.arms[4].ask.framing, SPEC_OPTIONS);
    assert_true(parse_with(p, "matrix: {calibrate: [none, contextual], method: [[role]]}\n"));
    expect_arms(p, only, 2);
    assert_int_equal(p->s.arms[1].ask.calibrate, SPEC_CONTEXTUAL);
    assert_true(p->s.arms[1].system.text.size > 0);
}

static void test_evidence(void **state)
{
    place *p = *state;
    assert_true(parse(p, base));
    assert_int_equal(p->s.evidence.compare.n, 0);
    assert_true(p->s.evidence.target == 0.5);
    assert_false(spec_scores_tune(&p->s));
    hash_text plain = p->s.hash;
    assert_true(parse_with(p, "operating_point: 0.3\n"));
    assert_false(spec_scores_tune(&p->s));
    assert_true(p->s.evidence.target == 0.3);
    assert_string_not_equal(plain.hex, p->s.hash.hex);
    static const char split[] = "study: s\ndata: {file: t.csv, id: id, text: text, label: label, "
                                "split: part}\nclasses: {yes: [Yes], no: [No]}\npositive: yes\n"
                                "question: Was it?\narms: [{name: a}, {name: b}]\n";
    char text[2000];
    snprintf(text, sizeof text,
             "%sprimary: {compare: [b, baseline-tfidf], margin: 0.02}\n"
             "operating_point: {sensitivity: 0.95}\nrecalibrate: platt\n",
             split);
    assert_true(parse(p, text));
    const spec_evidence *v = &p->s.evidence;
    assert_int_equal(v->compare.n, 2);
    assert_str(v->compare.item[0].text, "b");
    assert_true(v->margin == 0.02 && v->target == 0.95);
    assert_string_equal(spec_point_name(v->point), "sensitivity");
    assert_string_equal(spec_recalibrate_name(v->recalibrate), "platt");
    assert_true(spec_scores_tune(&p->s));
    snprintf(text, sizeof text, "%soperating_point: youden\nprimary: {compare: [a/seed-1, b]}\n",
             split);
    assert_true(parse(p, text));
    assert_int_equal(v->point, SPEC_POINT_YOUDEN);
}

static void read_broken(const char *path, err *e)
{
    arena a;
    spec s;
    if (!arena_open(&a, (size_t)1 << 32, "test", e)) return;
    bool ok = spec_read(&s, path, &a, e);
    assert_int_equal(ok, e->code == ERR_NONE);
    arena_close(&a);
}

static void test_broken_files(void **state)
{
    (void)state;
    assert_int_equal(broken_run("spec", 40, read_broken), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_whole_file),
        TEST(test_defaults),
        TEST(test_scalars_are_text),
        TEST(test_classes_as_list),
        TEST(test_texts_are_composed),
        TEST(test_byte_order_mark_and_crlf),
        TEST(test_paths),
        TEST(test_hash_is_of_meaning),
        TEST(test_too_large),
        TEST(test_absent_file),
        TEST(test_later_errors_have_lines),
        TEST(test_every_prefix),
        TEST(test_memory_runs_out),
        TEST(test_study_speaks_for_its_arms),
        TEST(test_thinking),
        TEST(test_matrix),
        TEST(test_evidence),
        TEST(test_broken_files),
    };
    return cmocka_run_group_tests_name("spec", tests, NULL, NULL);
}
