/* Tests of src/study/baseline: scores that scikit-learn gives, the same bits for any order of the
 * rows and number of threads, keywords, keys, and studies that have no baseline. */
#include "base/file.h"
#include "stats/rank.h"
#include "study/baseline.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "golden_file.h"

typedef struct place {
    arena a;
    err e;
    spec s;
    table t;
    rows r;
    baselines b;
} place;

static int set_up(void **state)
{
    static place p;
    p = (place){0};
    *state = &p;
    return arena_open(&p.a, (size_t)8 << 30, "test", &p.e) ? 0 : 1;
}

static int tear_down(void **state)
{
    arena_close(&((place *)*state)->a);
    return 0;
}

static bool plan(place *p, const char *study, str csv)
{
    p->e = (err){0};
    return spec_parse(&p->s, str_of(study), "study.yaml", &p->a, &p->e) &&
           table_parse(&p->t, csv, "t.csv", (table_options){0}, &p->a, &p->e) &&
           rows_make(&p->r, &p->s, &p->t, (rows_options){0}, &p->a, &p->e) &&
           baselines_plan(&p->b, &p->s, &p->r, &p->a, &p->e);
}

static double *score(place *p, int32_t which, int threads, char detail[300])
{
    baseline_scores made = {.detail = buf_up_to(10000)};
    pool *workers = pool_open(threads, &p->e);
    made.z = arena_take(&p->a, (size_t)p->r.scored.n * (size_t)p->s.n_class, sizeof(double), &p->e);
    if (!baselines_score(&p->b, which, workers, &p->a, &made, &p->e)) fail_msg("%s", p->e.text);
    if (detail) snprintf(detail, 300, "%s", made.detail.data);
    for (int64_t i = 0; i < p->r.scored.n; i++) { /* log-probabilities of one distribution */
        double sum = 0;
        for (int32_t c = 0; c < p->s.n_class; c++) sum += exp(made.z[i * p->s.n_class + c]);
        assert_true(fabs(sum - 1) < 1e-9);
    }
    buf_close(&made.detail);
    pool_close(workers);
    return made.z;
}

static double auroc(place *p, const double *z)
{
    rank_auroc o;
    double *s = arena_take(&p->a, (size_t)p->r.scored.n, sizeof *s, &p->e);
    uint8_t *positive = arena_take(&p->a, (size_t)p->r.scored.n, 1, &p->e);
    for (int32_t i = 0; i < p->r.scored.n; i++) {
        s[i] = z[2 * i + p->s.positive] - z[2 * i + 1 - p->s.positive];
        positive[i] = p->r.scored.label[i] == p->s.positive;
    }
    assert_true(rank_auroc_rows(s, positive, p->r.scored.n, &p->a, &o, &p->e));
    return o.logit.has_value ? o.logit.value : -1;
}

static str notes(place *p, bool turned)
{
    file_map m;
    assert_true(file_map_open(&m, "tests/golden/tfidf_notes.csv", ERR_DATA, &p->e));
    str all = str_keep(&p->a, (str){(const char *)m.data, m.size}, &p->e);
    file_map_close(&m);
    if (!turned) return all;
    buf out = buf_up_to(1 << 20); /* the header, then the lines from the last to the first */
    int64_t head = str_find(all, STR("\n")) + 1;
    buf_add_str(&out, str_part(all, 0, (size_t)head));
    for (size_t end = all.size; end > (size_t)head;) {
        size_t start = end - 1;
        while (start > (size_t)head && all.data[start - 1] != '\n') start--;
        buf_add_str(&out, str_part(all, start, end - start));
        end = start;
    }
    str kept = str_keep(&p->a, buf_view(&out), &p->e);
    buf_close(&out);
    return kept;
}

#define STUDY                                                                                   \
    "study: s\ndata: {file: t.csv, id: id, text: text, label: label, patient: patient, split: " \
    "split}\nclasses: {not-serious: [No], serious: [Yes]}\npositive: serious\nquestion: Q?\n"

static void test_as_scikit_learn(void **state)
{
    place *p = *state;
    golden_file g;
    char detail[300], name[64];
    double c;
    golden_read(&g, "tests/golden/tfidf.txt");
    static const char *const unit[] = {"words", "characters"};
    for (int u = 0; u < 2; u++) {
        char study[1000];
        snprintf(study, sizeof study, STUDY "baselines: tfidf\ntfidf: %s\n", unit[u]);
        if (!plan(p, study, notes(p, false))) fail_msg("%s", p->e.text);
        assert_int_equal(p->b.n, 1);
        double got = auroc(p, score(p, 0, 2, detail));
        assert_non_null(strstr(detail, "5 folds of the training rows"));
        assert_int_equal(sscanf(strstr(detail, "; C ") + 4, "%lf", &c), 1);
        snprintf(name, sizeof name, "%s_%g_auroc", unit[u], c);
        if (fabs(got - golden(&g, name)) > 1e-12) fail_msg("%s: %.12f", name, got);
        print_message("%s: AUROC %.4f\n", detail, got);
    }
}

static void test_same_bits(void **state)
{
    place *p = *state;
    double *first[BASELINES_MAX];
    assert_true(plan(p, STUDY, notes(p, false)));
    assert_int_equal(p->b.n, 3);
    int32_t n = p->r.scored.n;
    str *id = p->r.scored.id;
    hash_text key = baselines_key(&p->b, 2, 7), head = p->b.arm[2].head;
    for (int32_t k = 0; k < 3; k++) {
        first[k] = score(p, k, 1, NULL);
        double *again = score(p, k, 3, NULL);
        assert_memory_equal(first[k], again, (size_t)n * 2 * sizeof(double));
    }
    assert_true(fabs(auroc(p, first[0]) - 0.5) < 1e-15);
    assert_true(plan(p, STUDY, notes(p, true))); /* the table turned round */
    assert_string_equal(p->b.arm[2].head.hex, head.hex);
    for (int32_t k = 0; k < 3; k++) {
        double *z = score(p, k, 2, NULL);
        for (int32_t i = 0; i < n; i++) {
            int32_t j = rows_find(&p->r, id[i]);
            assert_memory_equal(&first[k][2 * i], &z[2 * j], 2 * sizeof(double));
        }
    }
    int32_t seven = rows_find(&p->r, id[7]);
    assert_string_equal(baselines_key(&p->b, 2, seven).hex, key.hex);
    assert_true(plan(p, STUDY "tfidf: words\n", notes(p, false)));
    assert_string_not_equal(p->b.arm[2].head.hex, head.hex);
}

static void test_keywords(void **state)
{
    place *p = *state;
    static const char csv[] = "id,text,label,patient,split\n"
                              "1,He DIED at home,serious,a,test\n"
                              "2,studied the case,not-serious,b,test\n"
                              "3,admitted to ICU; died,serious,c,test\n"
                              "4,중환자실에 입원함,serious,d,test\n"
                              "5,intensive   care unit,serious,e,test\n"
                              "6,no complaint,not-serious,f,test\n";
    assert_true(
        plan(p, STUDY "keywords: [died, admitted, ICU, intensive-care, 입원]\n", str_of(csv)));
    assert_int_equal(p->b.n, 1); /* no training rows: only the keywords */
    assert_non_null(strstr(p->b.left_out, "no training rows"));
    char detail[300];
    double *z = score(p, 0, 1, detail);
    static const int found[6] = {1, 0, 3, 1, 1, 0};
    for (int i = 0; i < 6; i++) {
        double want = (found[i] + 0.25) / (found[i] + 1);
        if (fabs(exp(z[2 * i + 1]) - want) > 1e-12)
            fail_msg("row %d: %g", i + 1, exp(z[2 * i + 1]));
    }
    assert_non_null(strstr(detail, "5 words or phrases given; found in 4 of 6 texts"));
    /* From the classes' names: the longer phrase wins, the shorter inside it does not count. */
    static const char names[] =
        "id,text,label,patient,split\n1,This was not serious.,not-serious,a,test\n"
        "2,This was serious.,serious,b,test\n3,neither,serious,c,test\n";
    assert_true(plan(p, STUDY, str_of(names)));
    z = score(p, 0, 1, detail);
    assert_true(exp(z[1]) < 0.2 && exp(z[3]) > 0.6 && fabs(exp(z[5]) - 0.25) < 1e-12);
}

static void test_classes_and_tuning_rows(void **state)
{
    place *p = *state;
    buf csv = buf_up_to(1 << 20);
    static const char *const word[3] = {"apple", "pear", "plum"}, *const part[3] = {"train", "tune",
                                                                                    "test"};
    buf_add_text(&csv, "id,text,label,split\n");
    for (int i = 0; i < 180; i++)
        buf_printf(&csv, "%d,the %s number %d,%s,%s\n", i, word[i % 3], i % 7, word[i % 3],
                   part[i / 3 % 3]);
    assert_true(
        plan(p,
             "study: s\ndata: {file: t.csv, id: id, text: text, label: label, split: split}\n"
             "classes: {apple: [A], pear: [B], plum: [C], none: [D]}\nquestion: Q?\n",
             buf_view(&csv)));
    assert_int_equal(p->b.n, 3);
    assert_int_equal(p->r.tune.n, 60);
    for (int32_t k = 1; k < 3; k++) { /* a class without rows, and every text says its class */
        char detail[300];
        double *z = score(p, k, 2, detail);
        for (int32_t i = 0; i < p->r.scored.n; i++) {
            int32_t best = 0;
            for (int32_t c = 1; c < 4; c++) best = z[4 * i + c] > z[4 * i + best] ? c : best;
            assert_int_equal(best, p->r.scored.label[i]);
        }
        if (k == 2) assert_non_null(strstr(detail, "on 60 tuning rows"));
    }
    buf_close(&csv);
}

static void test_none_and_names(void **state)
{
    place *p = *state;
    assert_true(plan(p, STUDY "baselines: none\n", notes(p, false)));
    assert_int_equal(p->b.n, 0);
    assert_int_equal(p->r.pool.n, 0);
    assert_false(plan(p, STUDY "arms: [{name: baseline-tfidf}]\n", notes(p, false)));
    assert_int_equal(p->e.code, ERR_USAGE);
    assert_non_null(strstr(p->e.text, "is the name of a baseline"));
}

/* 6,000 training rows, 1,000 tuning rows, 3,000 to judge: fast enough to be there always. */
static void test_shared_reports(void **state)
{
    place *p = *state;
    file_map m;
    err absent = {0};
    if (!file_map_open(&m, "../shared/data/vaers-2003/texts.csv", ERR_DATA, &absent)) {
        print_message("skip: ../shared/data/vaers-2003 is not here\n");
        skip();
    }
    str csv = str_keep(&p->a, (str){(const char *)m.data, m.size}, &p->e);
    file_map_close(&m);
    assert_true(
        plan(p,
             "study: s\ndata: {file: t.csv, id: id, text: text, label: label, split: split, "
             "tune: dev}\nclasses: {serious: [Yes], not-serious: [No]}\npositive: serious\n"
             "keywords: [hospital, hospitalized, admitted, died, death, disability]\n"
             "question: Q?\n",
             csv));
    static const double least[3] = {0.5, 0.6, 0.94};
    for (int32_t k = 0; k < 3; k++) {
        char detail[300];
        double got = auroc(p, score(p, k, 2, detail));
        print_message("vaers-2003, %s: AUROC %.4f (%s)\n", p->b.arm[k].name, got, detail);
        assert_true(got >= least[k]);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_as_scikit_learn),         TEST(test_same_bits),      TEST(test_keywords),
        TEST(test_classes_and_tuning_rows), TEST(test_none_and_names), TEST(test_shared_reports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
