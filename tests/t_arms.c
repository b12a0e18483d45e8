/* How an arm asks: what stands in its prompts, its variants, what is made of their scores. On the
 * tiny tokenizer of tests/golden/models. */
#include "base/rng.h"
#include "data/options.h"
#include "stats/score.h"
#include "study/arms.h"
#include "view/centre.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char template_text[] =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

typedef struct place {
    arena a;
    err e;
    tokenizer *tokens;
    chat_template *chat;
    spec s;
    table t;
    rows r;
    arms_model model;
    int32_t model_of[SPEC_ARMS_MAX];
    arms x;
} place;

static int set_up(void **state)
{
    static place p;
    p = (place){0};
    *state = &p;
    if (!arena_open(&p.a, (size_t)1 << 32, "test", &p.e)) return 1;
    p.tokens = token_open_folder("tests/golden/models", &p.a, &p.e);
    p.chat = chat_open(str_of(template_text), "template", &p.e);
    return p.tokens && p.chat ? 0 : 1;
}

static int tear_down(void **state)
{
    place *p = *state;
    token_close(p->tokens);
    chat_close(p->chat);
    arena_close(&p->a);
    return 0;
}

static const char notes[] = "id,text,label,patient,split\n"
                            "e1,old cough,yes,p1,train\ne2,mild rash,no,p2,train\n"
                            "e3,cough and fever,yes,p3,train\ne4,rash on arm,no,p4,train\n"
                            "e5,fever at night,yes,p5,train\ne6,arm pain,no,p6,train\n"
                            "t1,new cough,yes,p1,test\nt2,rash on leg,no,p9,test\n";

static const char study[] = "study: s\ndata: {file: t.csv, id: id, text: text, label: label, "
                            "patient: patient, split: split,\n"
                            "  patients_across_splits: {allowed: a test}}\n"
                            "classes: {yes: [Yes], no: [No]}\npositive: yes\nbaselines: none\n"
                            "question: Ill?\nlimits: {max_tokens: 600}\n";

static bool make(place *p, bool chat, const char *yaml, const char *more, const char *csv)
{
    buf text = buf_up_to(1 << 20);
    p->e = (err){0};
    buf_printf(&text, "%s%s", yaml, more);
    if (!spec_parse(&p->s, buf_view(&text), "study.yaml", &p->a, &p->e)) fail_msg("%s", p->e.text);
    buf_close(&text);
    table_options how = {.format = csv[0] == '{' ? TABLE_JSONL : TABLE_CSV};
    if (!table_parse(&p->t, str_of(csv), "t.csv", how, &p->a, &p->e)) fail_msg("%s", p->e.text);
    if (!options_complete(&p->s, &p->t, &p->a, &p->e) ||
        !rows_make(&p->r, &p->s, &p->t, (rows_options){0}, &p->a, &p->e))
        return false;
    p->model = (arms_model){.rules = {.tokens = p->tokens,
                                      .chat = chat ? p->chat : NULL,
                                      .bos = STR(""),
                                      .eos = STR("")}};
    p->x = (arms){.spec = &p->s,
                  .rows = &p->r,
                  .memory = &p->a,
                  .n_model = 1,
                  .model = &p->model,
                  .model_of = p->model_of};
    return arms_make(&p->x, &p->e);
}

static void must(place *p, bool chat, const char *yaml, const char *more, const char *csv)
{
    if (!make(p, chat, yaml, more, csv)) fail_msg("%s", p->e.text);
}

static void expect_prompt(place *p, int32_t arm, int32_t row, int32_t variant, const char *want)
{
    buf out = buf_up_to(1 << 20);
    arms_write(&p->x, arm, row, variant, &out);
    assert_string_equal(out.data ? out.data : "", want);
    buf_close(&out);
}

/* ---- prompts ---- */

static void test_three_framings(void **state)
{
    place *p = *state;
    must(p, false, study,
         "arms:\n  - {name: words, question: 'Ill? {labels}.'}\n"
         "  - {name: letters, framing: options}\n"
         "  - {name: placed, framing: options, score: text, question: 'Q: {text}\n\n    "
         "{options}'}\n"
         "  - {name: text, framing: text, method: [definitions, cot], parts: {definitions: D, cot: "
         "T.}}\n",
         notes);
    expect_prompt(p, 0, 0, 0, "Ill? Yes or No.\n\nnew cough\nAnswer:");
    expect_prompt(p, 1, 0, 0,
                  "Ill?\n\nnew cough\n\nA. Yes\nB. No\n\nAnswer with the letter of the right "
                  "option.\nAnswer:");
    expect_prompt(p, 2, 0, 0, "Q: new cough\nA. Yes\nB. No\nAnswer:");
    expect_prompt(p, 3, 0, 0, "D\n\nIll?\n\nnew cough\n\nT.\nAnswer:");
    assert_string_equal(p->x.arm[3].bridge.data, "\n\nSo the answer is");
    must(p, true, study, "arms:\n  - {name: a, method: [role, meta], system: Be brief.}\n", notes);
    expect_prompt(
        p, 0, 0, 0,
        "<|im_start|>system\nYou are an experienced clinician who reads medical texts with "
        "care.\nBe brief.<|im_end|>\n<|im_start|>user\nINPUT: T, the medical text below\n"
        "TASK: Ill?\nOUTPUT ∈ {Yes, No}\n\nnew cough<|im_end|>\n<|im_start|>assistant\n");
}

static void test_korean_words(void **state)
{
    place *p = *state;
    must(p, false, study,
         "arms:\n  - {name: a, question: '{labels} 중에 답하십시오.', framing: options, "
         "method: cot}\n",
         notes);
    expect_prompt(p, 0, 0, 0,
                  "A 또는 B 중에 답하십시오.\n\nnew cough\n\nA. Yes\nB. No\n\n맞는 보기의 글자로 "
                  "답하십시오.\n\n답하기 전에 단계별로 생각하십시오.\n답:");
}

static void test_wordings_are_ways(void **state)
{
    place *p = *state;
    must(p, false, study,
         "arms:\n  - name: a\n    wordings: {questions: ['Ill? {labels}', 'Sick? {labels}'], "
         "label_order: both,\n"
         "      labels: [{yes: Y, no: N}, {no: minus, yes: plus}]}\n",
         notes);
    assert_int_equal(arms_variants(&p->x, 0, 0), 8);
    expect_prompt(p, 0, 0, 0, "Ill? Y or N\n\nnew cough\nAnswer:");
    expect_prompt(p, 0, 0, 1, "Ill? N or Y\n\nnew cough\nAnswer:");
    expect_prompt(p, 0, 0, 2, "Ill? plus or minus\n\nnew cough\nAnswer:");
    expect_prompt(p, 0, 0, 7, "Sick? minus or plus\n\nnew cough\nAnswer:");
    arms_answers all = {.memory = &p->a};
    assert_true(arms_list_answers(&p->x, 0, 0, 7, &all, &p->e));
    assert_int_equal(all.n, 2);
    assert_string_equal(all.text[0].data, " plus");
    assert_int_equal(all.class[0], 0);
}

/* ---- examples ---- */

static int32_t count(const char *text, const char *part)
{
    int32_t n = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part)) n++;
    return n;
}

static void test_draws_and_orders(void **state)
{
    place *p = *state;
    must(p, false, study, "arms:\n  - {name: a, examples: {n: 2, draws: 3, orders: 2}}\n", notes);
    assert_int_equal(arms_variants(&p->x, 0, 0), 6);
    for (int32_t row = 0; row < 2; row++) {
        buf text[6];
        for (int32_t v = 0; v < 6; v++) {
            text[v] = buf_up_to(1 << 20);
            arms_write(&p->x, 0, row, v, &text[v]);
            assert_int_equal(count(text[v].data, "Answer: Yes"), 1); /* balanced */
            assert_int_equal(count(text[v].data, "Answer: No"), 1);
            /* the row t1 is of patient p1, as the example e1 is */
            if (row == 0) assert_null(strstr(text[v].data, "old cough"));
        }
        for (int32_t d = 0; d < 6; d += 2) { /* two orders of one draw: the same lines */
            assert_int_equal(text[d].size, text[d + 1].size);
            assert_string_not_equal(text[d].data, text[d + 1].data);
        }
        for (int32_t v = 0; v < 6; v++) buf_close(&text[v]);
    }
}

static void test_examples_by_id_and_nearest(void **state)
{
    place *p = *state;
    must(p, false, study,
         "arms:\n  - {name: ids, examples: {ids: [e4, e1]}}\n"
         "  - {name: near, examples: {n: 1, pick: nearest}}\n"
         "  - {name: any, examples: {n: 5, pick: random}}\n",
         notes);
    expect_prompt(p, 0, 1, 0,
                  "Ill?\n\nrash on arm\nAnswer: No\n\nIll?\n\nold cough\nAnswer: Yes\n\n"
                  "Ill?\n\nrash on leg\nAnswer:");
    buf out = buf_up_to(1 << 20);
    arms_write(&p->x, 0, 0, 0, &out); /* e1 is of t1's patient: another row with the same label */
    assert_null(strstr(out.data, "old cough"));
    assert_int_equal(count(out.data, "Answer: Yes"), 1);
    buf_close(&out);
    expect_prompt(p, 1, 1, 0, "Ill?\n\nrash on arm\nAnswer: No\n\nIll?\n\nrash on leg\nAnswer:");
    expect_prompt(p, 1, 0, 0, "Ill?\n\ncough and fever\nAnswer: Yes\n\nIll?\n\nnew cough\nAnswer:");
    out = buf_up_to(1 << 20);
    arms_write(&p->x, 2, 0, 0, &out);
    assert_int_equal(count(out.data, "Ill?"), 6);
    assert_null(strstr(out.data, "old cough"));
    buf_close(&out);
    assert_false(make(p, false, study, "arms:\n  - {name: a, examples: {ids: [e4, t1]}}\n", notes));
    assert_non_null(strstr(p->e.text, "arm 'a': the example 't1' is no row of the training part"));
}

/* ---- a row's own options ---- */

static const char own[] =
    "study: s\ndata: {file: t.csv, id: id, text: q, label: right, options: options, split: split}\n"
    "question: '{text}\n\n  {options}'\nframing: options\nlimits: {max_tokens: 600}\n";
static const char asked_lines[] = "{\"id\": \"a\", \"q\": \"One?\", \"options\": [\"x\", \"y\", "
                                  "\"z\"], \"right\": 2, \"split\": \"test\"}\n"
                                  "{\"id\": \"b\", \"q\": \"Two?\", \"options\": [\"u\", \"v\"], "
                                  "\"right\": 0, \"split\": \"test\"}\n"
                                  "{\"id\": \"c\", \"q\": \"Three?\", \"options\": [\"k\", \"l\", "
                                  "\"k\"], \"right\": 1, \"split\": \"train\"}\n";

static void test_own_options_at_every_place(void **state)
{
    place *p = *state;
    must(p, false, own,
         "arms:\n  - {name: a, position: cyclic}\n  - {name: b, score: text, shots: 1}\n",
         asked_lines);
    assert_int_equal(p->s.n_class, 3);
    assert_int_equal(arms_variants(&p->x, 0, 0), 3);
    assert_int_equal(arms_variants(&p->x, 0, 1), 2);
    expect_prompt(p, 0, 0, 1, "One?\nA. y\nB. z\nC. x\nAnswer:");
    expect_prompt(p, 0, 1, 1, "Two?\nA. v\nB. u\nAnswer:");
    expect_prompt(p, 1, 1, 0, "Three?\nA. k\nB. l\nC. k\nAnswer: l\n\nTwo?\nA. u\nB. v\nAnswer:");
    for (int32_t v = 0; v < 3; v++) {
        asked q = {0};
        assert_true(arms_ask(&p->x, 0, 0, v, &q, &p->e));
        assert_int_equal(q.n_answer, 3);
        for (int32_t k = 0; k < 3; k++) assert_int_equal(q.answer_class.id[k], (k + v) % 3);
        asked_close(&q);
    }
    asked q = {0};
    assert_true(arms_ask(&p->x, 1, 1, 0, &q, &p->e));
    assert_int_equal(q.n_answer, 2);
    asked_close(&q);
}

/* What a letter gets by its place alone does not move the average over places. */
static void test_place_bias_is_averaged_out(void **state)
{
    place *p = *state;
    must(p, false, own, "arms:\n  - {name: a, position: cyclic}\n", asked_lines);
    static const double content[] = {0.2, 1.4, 0.9}, bias[] = {3.0, 0.0, -1.0};
    double z[3][3], out[3], way[3];
    for (int32_t v = 0; v < 3; v++) {
        for (int32_t at = 0; at < 3; at++) z[v][(at + v) % 3] = content[(at + v) % 3] + bias[at];
    }
    arms_combine(&p->x, 0, 0, &z[0][0], out, way);
    assert_true(out[1] > out[2] && out[2] > out[0]);
    for (int32_t c = 0; c < 3; c++) assert_true(fabs(out[c] - way[c]) < 1e-12);
    double want[3] = {0}, one[3];
    for (int32_t v = 0; v < 3; v++) {
        assert_true(score_probabilities(z[v], 3, one));
        for (int32_t c = 0; c < 3; c++) want[c] += one[c] / 3;
    }
    assert_true(score_probabilities(out, 3, one));
    for (int32_t c = 0; c < 3; c++) assert_true(fabs(one[c] - want[c]) < 1e-12);
}

/* ---- what is made of variants ---- */

/* A reference that is the same for every row takes the same from every row's score: no binary
 * ranking changes. Twice: contextual (three references) and domain (one). */
static void test_calibration_keeps_a_binary_ranking(void **state)
{
    place *p = *state;
    must(p, false, study,
         "arms:\n  - {name: c, calibrate: contextual}\n  - {name: d, calibrate: domain}\n", notes);
    rng g = rng_for(7, 7, 7);
    for (int32_t arm = 0; arm < 2; arm++) {
        int32_t n = arms_variants(&p->x, arm, 0);
        assert_int_equal(n, arm == 0 ? 4 : 2);
        double z[4][2], out[2], taken = NAN;
        for (int32_t v = 1; v < n; v++) {
            for (int32_t c = 0; c < 2; c++) z[v][c] = -3 * rng_unit(&g);
        }
        for (int round = 0; round < 500; round++) {
            z[0][0] = -40 * rng_unit(&g);
            z[0][1] = -40 * rng_unit(&g);
            arms_combine(&p->x, arm, 0, &z[0][0], out, NULL);
            double moved = (z[0][0] - z[0][1]) - (out[0] - out[1]);
            if (round == 0) taken = moved;
            assert_true(fabs(moved - taken) < 1e-9);
            /* the mass is the row's own */
            assert_true(fabs(score_log_sum(out, 2) - score_log_sum(z[0], 2)) < 1e-9);
        }
        assert_true(fabs(taken) > 1e-6);
    }
    expect_prompt(p, 0, 0, 1, "Ill?\n\nN/A\nAnswer:");
    expect_prompt(p, 0, 0, 2, "Ill?\n\n\nAnswer:");
    expect_prompt(p, 1, 0, 1, "Ill?\n\n\nAnswer:");
}

/* Zhao et al.'s numbers: (0.7, 0.3) by (0.8, 0.2). */
static void test_domain_known_answer(void **state)
{
    place *p = *state;
    must(p, false, study, "arms:\n  - {name: d, calibrate: domain}\n", notes);
    const double z[2][2] = {{log(0.7), log(0.3)}, {log(0.8), log(0.2)}};
    double out[2], share[2];
    arms_combine(&p->x, 0, 0, &z[0][0], out, NULL);
    assert_true(score_probabilities(out, 2, share));
    assert_true(fabs(share[0] - 0.3684210526) < 1e-9);
}

/* Batch calibration: the mean of the tune rows goes from every Z; the ranking stays. */
static void test_batch_takes_a_constant(void **state)
{
    (void)state;
    bool scored[] = {true, true, true, false};
    int32_t row[] = {0, 1, 2, 3};
    double z[] = {-1, -3, -2, -0.5, -4, -6, NAN, NAN};
    store_arm plain = {.record_json = STR("{\"ask\": {\"calibrate\": \"none\"}}")},
              batch = {.record_json = STR("{\"ask\": {\"calibrate\": \"batch\"}}")};
    store_results r = {.n = 4, .n_class = 2, .row = row, .scored = scored, .class_logprob = z};
    assert_false(centre_arm(&plain, 2, &r));
    assert_true(z[0] == -1);
    assert_true(centre_arm(&batch, 2, &r)); /* row 2 is the tune row */
    assert_true(fabs(z[0] - z[1]) < 1e-12);
    assert_float_equal(z[2] - z[3], 2 - 5.5, 1e-12);
    assert_true(fabs(z[4] - z[5]) < 1e-12);
    /* what the model believes in any label at all is what it was */
    const double mass[] = {exp(-1) + exp(-3), exp(-2) + exp(-0.5), exp(-4) + exp(-6)};
    for (int i = 0; i < 3; i++)
        assert_float_equal(exp(z[2 * i]) + exp(z[2 * i + 1]), mass[i], 1e-12);
    assert_true(centre_arm(&batch, 3, &r)); /* none: the judged rows themselves */
    assert_true(fabs(z[0] + z[2] + z[4] - z[1] - z[3] - z[5]) < 1e-12);
}

static void test_prior_of_letters(void **state)
{
    place *p = *state;
    must(p, false, own, "arms:\n  - {name: a, position: prior}\n", asked_lines);
    assert_int_equal(arms_variants(&p->x, 0, 0), 2);
    expect_prompt(p, 0, 0, 1, "One?\nA. N/A\nB. N/A\nC. N/A\nAnswer:");
    const double z[2][3] = {{-1, -2, -3}, {-1, -2.5, -4}};
    double out[3];
    arms_combine(&p->x, 0, 0, &z[0][0], out, NULL);
    assert_true(out[2] > out[1] && out[1] > out[0]);
}

static void test_one_way_keeps_its_bits(void **state)
{
    place *p = *state;
    must(p, false, study, "", notes);
    const double z[2] = {-0.1234567890123, -31.5};
    double out[2];
    arms_combine(&p->x, 0, 0, z, out, NULL);
    assert_memory_equal(z, out, sizeof z);
}

static void test_a_class_without_answer(void **state)
{
    place *p = *state;
    must(p, false, own, "arms:\n  - {name: a, position: cyclic}\n", asked_lines);
    const double z[2][3] = {{-1, -2, -INFINITY}, {-1.5, -2, -INFINITY}};
    double out[3];
    arms_combine(&p->x, 0, 1, &z[0][0], out, NULL);
    assert_true(isinf(out[2]) && out[0] > out[1] && !isnan(out[0]));
}

/* ---- long texts ---- */

static void add_long(buf *csv, int n)
{
    buf_add_text(csv, "id,text,label,patient,split\nt1,\"");
    for (int i = 0; i < n; i++) buf_printf(csv, "word%d ", i);
    buf_add_text(csv, "\",yes,p1,test\nt2,short,no,p2,test\n");
}

static void test_chunks_hold_everything(void **state)
{
    place *p = *state;
    static const char *const rules[] = {"mean", "max", "noisy-or"};
    for (int k = 0; k < 3; k++) {
        buf csv = buf_up_to(1 << 20);
        char more[200];
        add_long(&csv, 300);
        snprintf(more, sizeof more,
                 "limits: {max_tokens: 300, cut: chunks, overlap: 20, combine: %s}\n", rules[k]);
        char yaml[1000];
        snprintf(yaml, sizeof yaml, "%s", study);
        *strstr(yaml, "limits") = 0;
        must(p, false, yaml, more, csv.data);
        int32_t n = arms_variants(&p->x, 0, 0);
        assert_true(n > 3 && n < 64);
        assert_int_equal(arms_variants(&p->x, 0, 1), 1);
        buf all = buf_up_to(1 << 22);
        for (int32_t v = 0; v < n; v++) {
            asked q = {0};
            assert_true(arms_ask(&p->x, 0, 0, v, &q, &p->e));
            assert_true(q.prompt.n <= 300);
            asked_close(&q);
            arms_write(&p->x, 0, 0, v, &all);
        }
        for (int i = 0; i < 300; i++) { /* whole at least once */
            char word[32];
            snprintf(word, sizeof word, "word%d", i);
            assert_non_null(strstr(all.data, word));
        }
        double z[64][2], out[2], mean = 0, most = 0, none = 1;
        for (int32_t v = 0; v < n; v++) {
            double share = 0.1 + 0.5 * v / n;
            z[v][0] = log(share), z[v][1] = log(1 - share);
            mean += share / n;
            most = share > most ? share : most;
            none *= 1 - share;
        }
        arms_combine(&p->x, 0, 0, &z[0][0], out, NULL);
        double want = k == 0 ? mean : k == 1 ? most : 1 - none;
        assert_true(fabs(exp(out[0]) - want) < 1e-9);
        assert_true(fabs(exp(out[1]) - (1 - want)) < 1e-9);
        buf_close(&all);
        buf_close(&csv);
    }
}

static void test_sections(void **state)
{
    place *p = *state;
    buf csv = buf_up_to(1 << 20);
    buf_add_text(&csv, "id,text,label,patient,split\nt1,\"Findings: ");
    for (int i = 0; i < 400; i++) buf_printf(&csv, "filler%d ", i);
    buf_add_text(&csv, "\n결론: 폐렴 의심\n");
    for (int i = 0; i < 200; i++) buf_printf(&csv, "tail%d ", i);
    buf_add_text(&csv, "\nIMPRESSION:\n pneumonia\n\",yes,p1,test\nt2,short,no,p2,test\n");
    char yaml[1000];
    snprintf(yaml, sizeof yaml, "%s", study);
    *strstr(yaml, "limits") = 0;
    must(p, false, yaml, "limits: {max_tokens: 400, cut: sections, sections: [Impression]}\n",
         csv.data);
    expect_prompt(p, 0, 0, 0, "Ill?\n\n[...]\nIMPRESSION:\n pneumonia\nAnswer:");
    assert_true(p->x.n_cut[0] > 500);
    must(p, false, yaml,
         "limits: {max_tokens: 2000, cut: sections, sections: [Impression, 결론]}\n", csv.data);
    buf out = buf_up_to(1 << 20);
    arms_write(&p->x, 0, 0, 0, &out);
    assert_non_null(strstr(out.data, "폐렴 의심"));
    assert_non_null(strstr(out.data, "pneumonia"));
    assert_null(strstr(out.data, "filler5"));
    buf_close(&out);
    must(p, false, yaml, "limits: {max_tokens: 400, cut: sections, sections: [Plan]}\n", csv.data);
    out = buf_up_to(1 << 20); /* no such heading: both ends */
    arms_write(&p->x, 0, 0, 0, &out);
    assert_non_null(strstr(out.data, ARMS_GAP));
    assert_non_null(strstr(out.data, "Findings"));
    assert_non_null(strstr(out.data, "pneumonia"));
    buf_close(&out);
    buf_close(&csv);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_three_framings),
        TEST(test_korean_words),
        TEST(test_wordings_are_ways),
        TEST(test_draws_and_orders),
        TEST(test_examples_by_id_and_nearest),
        TEST(test_own_options_at_every_place),
        TEST(test_place_bias_is_averaged_out),
        TEST(test_calibration_keeps_a_binary_ranking),
        TEST(test_domain_known_answer),
        TEST(test_batch_takes_a_constant),
        TEST(test_prior_of_letters),
        TEST(test_one_way_keeps_its_bits),
        TEST(test_a_class_without_answer),
        TEST(test_chunks_hold_everything),
        TEST(test_sections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
