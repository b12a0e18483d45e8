/* Tests of src/stats/alike: texts' counts add up to the corpus measures, intervals and paired
 * differences by bootstrap. */
#include "stats/alike.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "stat_tests.h"

enum { ROWS = 400 };

static const str wanted[] = {STR("The patient denies chest pain and fever."),
                             STR("Who manufactures cetirizine?"),
                             STR("환자는 흉통을 부인하고 열은 없었다."), STR("No acute distress")};
static const str drawn[] = {STR("The patient denies pain in the chest, and has no fever."),
                            STR("Who makes cetirizine, and where is it sold?"),
                            STR("환자는 흉통을 부인함."), STR("no acute distress")};

static void test_counts_add_up_to_the_corpus(void **state)
{
    err e = {0};
    stat_estimate bleu, chrf;
    overlap_counts sum = {0}, one;
    overlap_corpus c = {.n = countof(wanted),
                        .generated = drawn,
                        .n_reference = 1,
                        .reference = wanted};
    assert_true(overlap_bleu(&c, OVERLAP_13A, true, *state, &bleu, &e));
    assert_true(overlap_chrf(&c, 2, false, *state, &chrf, &e));
    for (size_t i = 0; i < countof(wanted); i++) {
        assert_true(overlap_count(wanted[i], drawn[i], *state, &one, &e));
        overlap_counts_add(&sum, &one, 1);
    }
    assert_true(bleu.value > 5 && chrf.value > 30);
    near_to(overlap_counts_bleu(&sum), bleu.value, 1e-12);
    near_to(overlap_counts_chrf(&sum), chrf.value, 1e-12);
    int64_t n = 0;
    assert_true(overlap_word_count(drawn[2], OVERLAP_UNICODE, *state, &n, &e) && n == 3);
}

/* Rows of arm 0 agree word for word by halves, of arms 1 and 2 by quarters; arm 2 lacks row 7. */
static void make(alike_text text[3][ROWS], double *words, int32_t *patient, arena *a)
{
    err e = {0};
    for (int32_t i = 0; i < ROWS; i++) {
        words[i] = 4;
        patient[i] = i / 8; /* rows of a patient are alike */
        for (int k = 0; k < 3; k++) {
            bool same = k == 0 ? patient[i] % 2 == 0 : patient[i] % 4 == 0;
            alike_text *t = &text[k][i];
            str got = same ? wanted[1] : drawn[1];
            *t = (alike_text){.n = 1 + (k == 1), .words = same ? 3 : 8};
            for (int m = 0; m < ALIKE_MEANS; m++) t->mean[m] = same;
            assert_true(overlap_count(wanted[1], got, a, &t->counts, &e));
        }
    }
    text[2][7].n = 0;
}

static void test_intervals_and_differences(void **state)
{
    static alike_text text[3][ROWS];
    static double words[ROWS];
    static int32_t patient[ROWS];
    const alike_text *arms[3] = {text[0], text[1], text[2]};
    err e = {0};
    alike rows, patients;
    make(text, words, patient, *state);
    alike_input in = {.n_arm = 3, .n_row = ROWS, .text = arms, .reference_words = words, .seed = 5};
    in.threads = pool_open(2, &e);
    assert_true(alike_judge(&in, *state, &rows, &e));
    in.patient = patient;
    assert_true(alike_judge(&in, *state, &patients, &e));
    pool_close(in.threads);
    assert_int_equal(rows.n, ROWS - 1);
    assert_int_equal(rows.n_left, 1);
    assert_int_equal(rows.n_pair, 3);
    assert_false(rows.by_patient);
    assert_true(patients.by_patient);
    const stat_estimate *o = &rows.arm[0].measure[ALIKE_EXACT];
    near_to(o->value, 199.0 / 399, 1e-12);
    near_to(o->high - o->low, 2 * 1.96 * sqrt(0.25 / 399), 0.01);
    const stat_estimate *w =
        &patients.arm[0].measure[ALIKE_EXACT]; /* eight rows say what one does */
    near_to((w->high - w->low) / (o->high - o->low), sqrt(8), 0.3);
    assert_int_equal(rows.arm[1].n_text, 2 * (ROWS - 1));
    near_to(rows.arm[0].words, (199 * 3 + 200 * 8) / 399.0, 1e-12);
    near_to(rows.arm[0].share, rows.arm[0].words / 4, 1e-12);
    const alike_pair *p = &rows.pair[0], *alike_arms = &rows.pair[2];
    assert_true(p->a == 0 && p->b == 1);
    assert_true(p->gap[ALIKE_ROUGE_L].estimate.value < -0.2 && p->gap[ALIKE_ROUGE_L].p < 0.01);
    assert_true(p->gap[ALIKE_BLEU].estimate.value < 0 && p->gap[ALIKE_CHRF].estimate.high < 0);
    assert_true(alike_arms->a == 1 && alike_arms->b == 2);
    for (int m = 0; m < ALIKE_MEASURES; m++) { /* arms that wrote the same differ by nothing */
        near_to(alike_arms->gap[m].estimate.value, 0, 1e-12);
        near_to(alike_arms->gap[m].p, 1, 1e-12);
        assert_true(p->p_holm[m] >= p->gap[m].p);
    }
}

static void test_nothing_to_compare(void **state)
{
    err e = {0};
    alike found;
    alike_text none[2] = {{0}};
    const alike_text *arms[1] = {none};
    const double words[2] = {3, 3};
    alike_input in = {.n_arm = 1, .n_row = 2, .text = arms, .reference_words = words};
    assert_true(alike_judge(&in, *state, &found, &e));
    assert_int_equal(found.n, 0);
    assert_int_equal(found.n_left, 2);
    assert_false(found.arm[0].measure[ALIKE_BLEU].has_value);
    assert_int_equal(found.arm[0].measure[ALIKE_BLEU].status, STAT_NO_CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_add_up_to_the_corpus),
        cmocka_unit_test(test_intervals_and_differences),
        cmocka_unit_test(test_nothing_to_compare),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
