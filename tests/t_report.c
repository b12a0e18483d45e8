/* Tests of src/stats/verdict and src/view: rows to statistics; a page that is well-formed, says no
 * NaN, holds no address and no script; JSON that reads back; the terminal view. */
#include "view/results.h"
#include "view/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "report_sample.h"
#include "t24.h"

static const double shifts[SAMPLE_ARMS] = {0.9, 1.4, 0.1};

typedef struct world {
    arena a;
    sample s;
    buf out;
} world;

static int open_world(void **state)
{
    static world w;
    err e = {0};
    w.out = buf_up_to(BUF_MAX);
    *state = &w;
    return arena_open(&w.a, (size_t)1 << 30, "test", &e) ? 0 : 1;
}

static int close_world(void **state)
{
    world *w = *state;
    buf_close(&w->out);
    arena_close(&w->a);
    return 0;
}

static const char *text_of(const buf *b)
{
    assert_false(b->failed);
    return b->data;
}

/* --- well-formedness: every tag closed in order, every & an entity, attributes quoted --- */

static bool is_entity(const char *s)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&apos;"};
    for (size_t i = 0; i < countof(known); i++) {
        if (!strncmp(s, known[i], strlen(known[i]))) return true;
    }
    return false;
}

/* From the '<' of a tag to behind its '>', checking the quotes of attributes. */
static const char *walk_tag(const char *s, char name[20], bool *closes, bool *empty)
{
    int n = 0;
    *closes = *++s == '/';
    s += *closes;
    while ((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9')) {
        assert_true(n < 19);
        name[n++] = *s++;
    }
    name[n] = 0;
    assert_true(n > 0);
    bool quoted = false;
    for (; *s && (quoted || *s != '>'); s++) {
        if (*s == '"') quoted = !quoted;
        assert_false(*s == '<');
        if (*s == '=' && !quoted) assert_true(s[1] == '"');
        if (*s == '&') assert_true(is_entity(s));
    }
    assert_true(*s == '>' && !quoted);
    *empty = s[-1] == '/';
    return s + 1;
}

static void check_well_formed(const char *s)
{
    static char open[100][20];
    int depth = 0, n_tag = 0;
    if (!strncmp(s, "<!DOCTYPE html>", 15)) s += 15;
    while (*s) {
        if (*s == '&') assert_true(is_entity(s));
        if (*s != '<') {
            assert_false(*s == '>' && strcmp(open[depth - 1], "style") != 0);
            s++;
            continue;
        }
        char name[20];
        bool closes, empty;
        s = walk_tag(s, name, &closes, &empty);
        n_tag++;
        if (closes) {
            assert_true(depth > 0);
            assert_string_equal(open[--depth], name);
        } else if (!empty) {
            assert_true(depth < 100);
            snprintf(open[depth++], sizeof open[0], "%s", name);
        }
    }
    assert_int_equal(depth, 0);
    assert_true(n_tag > 3);
}

static void check_page(const char *page)
{
    static const char *const never[] = {"NaN",  "nan",  "inf ",    "-inf",    "http:", "https:",
                                        "src=", "url(", "<script", "@import", "href"};
    check_well_formed(page);
    for (size_t i = 0; i < countof(never); i++) {
        if (strstr(page, never[i])) fail_msg("the page holds \"%s\"", never[i]);
    }
}

static void make(world *w, int32_t n_class, int32_t positive)
{
    err e = {0};
    arena_reset(&w->a, 0);
    buf_clear(&w->out);
    assert_true(sample_make(&w->s, &w->a, n_class, positive, shifts, &e));
}

static void test_page(void **state)
{
    world *w = *state;
    err e = {0};
    make(w, 2, 1);
    assert_true(report_write(&w->s.in, &w->a, &w->out, &e));
    const char *page = text_of(&w->out);
    check_page(page);
    assert_non_null(strstr(page, "serious-events &lt;판독&gt; &amp;"));
    assert_null(strstr(page, "<판독>"));
    assert_non_null(strstr(page, "&lt;|im_start|&gt;user"));
    assert_non_null(strstr(page, "<mark>{text}</mark>"));
    char value[40];
    const stat_estimate *o = &w->s.stats.arm[1].auroc.logit;
    snprintf(value, sizeof value, "%.3f (%.3f to %.3f)", o->value, o->low, o->high);
    assert_non_null(strstr(page, value));
    assert_non_null(strstr(page, "7 texts were too long and were cut"));
    assert_non_null(strstr(page, "median label mass 0.020"));
    assert_non_null(strstr(page, "come from 311 patients, and"));
}

static void test_page_same_bytes(void **state)
{
    world *w = *state;
    err e = {0};
    make(w, 2, 1);
    assert_true(report_write(&w->s.in, &w->a, &w->out, &e));
    buf again = buf_up_to(BUF_MAX);
    assert_true(report_write(&w->s.in, &w->a, &again, &e));
    assert_true(str_equal(buf_view(&again), buf_view(&w->out)));
    buf_close(&again);
}

static void test_page_many_classes(void **state)
{
    world *w = *state;
    for (int32_t positive = -1; positive < 2; positive += 2) {
        err e = {0};
        make(w, 3, positive);
        assert_true(report_write(&w->s.in, &w->a, &w->out, &e));
        check_page(text_of(&w->out));
        assert_non_null(strstr(w->out.data, "against the rest"));
        assert_non_null(strstr(w->out.data, "심각 &lt;불명&gt; &amp; &quot;?&quot;"));
    }
}

/* A study of `n` rows of T24, from the end, all shown as one arm: edges of the page. */
static void show_small(world *w, int64_t n, int value_of_all)
{
    static double z[2 * T24_N];
    static int32_t label[T24_N];
    static const double *z_of[1] = {z};
    err e = {0};
    arena_reset(&w->a, 0);
    buf_clear(&w->out);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = T24_N - 1 - i * (T24_N / 8) % T24_N;
        label[i] = value_of_all >= 0 ? value_of_all : t24_y[row];
        z[2 * i] = log(1 - t24_a[row]);
        z[2 * i + 1] = log(t24_a[row]);
    }
    if (n > 2) z[3] = -INFINITY; /* a score of -infinity orders, and must not reach the page */
    verdict_input in = {
        .n_arm = 1, .n_class = 2, .positive = 1, .n_row = n, .label = label, .log_score = z_of};
    assert_true(verdict_judge(&in, &w->a, &w->s.stats, &e));
    w->s.in = (report_input){.title = "t",
                             .class_name = sample_class,
                             .stats = &w->s.stats,
                             .arm = sample_arm};
    assert_true(report_write(&w->s.in, &w->a, &w->out, &e));
    check_page(text_of(&w->out));
    buf lines = buf_up_to(BUF_MAX);
    text_arms(&w->s.in, (text_style){0}, &lines);
    text_forest(&w->s.in, (text_style){0}, &lines);
    assert_true(text_roc(&w->s.in, (text_style){.ascii = true}, &w->a, &lines, &e));
    assert_null(strstr(text_of(&lines), "nan"));
    assert_null(strstr(text_of(&lines), "inf"));
    buf json = buf_up_to(BUF_MAX);
    assert_true(results_write(&w->s.in, &json, &e));
    json_t *j = json_loads(text_of(&json), 0, NULL);
    assert_non_null(j);
    json_t *arm = json_array_get(json_object_get(j, "arms"), 0);
    assert_int_equal(json_is_null(json_object_get(arm, "auroc")), value_of_all >= 0 || n < 2);
    assert_non_null(json_string_value(json_object_get(arm, "status")));
    json_decref(j);
    buf_close(&json);
    buf_close(&lines);
}

static void test_edges(void **state)
{
    world *w = *state;
    show_small(w, 0, 1);
    assert_non_null(strstr(w->out.data, "not estimable (there are no cases)"));
    show_small(w, 1, 1);
    show_small(w, 8, 0);
    assert_non_null(strstr(w->out.data, "not estimable (only one class is present)"));
    show_small(w, 8, 1);
    show_small(w, 8, -1);
    assert_non_null(strstr(w->out.data, "intervals are rough"));
}

static void test_judge_matches_known(void **state)
{
    world *w = *state;
    err e = {0};
    arena_reset(&w->a, 0);
    static double z[2][2 * T24_N];
    static const double *z_of[2] = {z[0], z[1]};
    int32_t label[T24_N];
    for (int i = 0; i < T24_N; i++) {
        label[i] = t24_y[i];
        for (int k = 0; k < 2; k++) {
            double p = k ? t24_b[i] : t24_a[i];
            z[k][2 * i] = log(1 - p) - 0.1 * i * k; /* arm 1: another mass in each row */
            z[k][2 * i + 1] = log(p) - 0.1 * i * k;
        }
    }
    verdict_input in = {
        .n_arm = 2, .n_class = 2, .positive = 1, .n_row = T24_N, .label = label, .log_score = z_of};
    verdict r;
    assert_true(verdict_judge(&in, &w->a, &r, &e));
    assert_int_equal(r.n, 24);
    assert_int_equal(r.events, 10);
    assert_true(fabs(r.arm[0].brier.value - 0.179375) < 1e-12);
    assert_true(fabs(r.arm[0].at_point.mcc.value - 0.409917025789) < 1e-11);
    assert_true(fabs(r.arm[1].mass_median - exp(-1.15)) < 0.01);
    assert_int_equal(r.n_pair, 1);
    assert_true(r.n_patient == 0 && !r.arm[0].clustered.logit.has_value);
    in.patient = t24_patient;
    assert_true(verdict_judge(&in, &w->a, &r, &e));
    assert_int_equal(r.n_patient, 16);
    assert_true(fabs(r.arm[0].clustered.logit.variance - 0.0148262686843) < 1e-12);
    assert_true(r.pair[0].clustered.has_value &&
                r.pair[0].clustered.variance > r.pair[0].test.variance / 2);
    assert_true(fabs(r.arm[0].auroc.logit.value - 0.810714285714) < 1e-11);
    /* a row that arm 1 could not score leaves both */
    z[1][6] = NAN;
    assert_true(verdict_judge(&in, &w->a, &r, &e));
    assert_int_equal(r.n, 23);
    assert_int_equal(r.n_row, 24);
    assert_int_equal(r.arm[0].auroc.logit.n, 23);
    assert_int_equal(r.arm[1].auroc.logit.n, 23);
    z[0][0] = z[0][1] = -INFINITY; /* no belief in any answer: not a score */
    assert_true(verdict_judge(&in, &w->a, &r, &e));
    assert_int_equal(r.n, 22);
}

static void test_json(void **state)
{
    world *w = *state;
    err e = {0};
    make(w, 2, 1);
    assert_true(results_write(&w->s.in, &w->out, &e));
    json_error_t je;
    json_t *j = json_loads(text_of(&w->out), JSON_REJECT_DUPLICATES, &je);
    if (!j) fail_msg("line %d: %s", je.line, je.text);
    json_t *arms = json_object_get(j, "arms");
    assert_int_equal(json_array_size(arms), SAMPLE_ARMS);
    for (int k = 0; k < SAMPLE_ARMS; k++) {
        json_t *arm = json_array_get(arms, (size_t)k);
        const rank_auroc *r = &w->s.stats.arm[k].auroc;
        assert_string_equal(json_string_value(json_object_get(arm, "name")), sample_arm[k].name);
        assert_int_equal(json_integer_value(json_object_get(arm, "n")), SAMPLE_ROWS);
        /* bit for bit */
        assert_true(json_real_value(json_object_get(arm, "auroc")) == r->logit.value);
        assert_true(json_real_value(json_object_get(arm, "auroc_low")) == r->logit.low);
        assert_true(json_real_value(json_object_get(arm, "auroc_var")) == r->logit.variance);
        assert_true(json_real_value(json_object_get(arm, "auroc_wald_high")) == r->wald_high);
        assert_string_equal(json_string_value(json_object_get(arm, "status")), "ok");
        assert_string_equal(json_string_value(json_object_get(arm, "method")), "DeLong, logit");
    }
    assert_int_equal(json_array_size(json_object_get(j, "pairs")), 3);
    assert_string_equal(json_string_value(json_object_get(j, "study")), w->s.in.title);
    json_decref(j);
    make(w, 3, -1);
    assert_true(results_write(&w->s.in, &w->out, &e));
    j = json_loads(text_of(&w->out), JSON_REJECT_DUPLICATES, &je);
    assert_non_null(j);
    json_t *arm = json_array_get(json_object_get(j, "arms"), 0);
    assert_int_equal(json_object_size(json_object_get(arm, "class_auroc")), 3);
    json_decref(j);
}

static void test_terminal(void **state)
{
    world *w = *state;
    err e = {0};
    make(w, 2, 1);
    text_style plain = {.ascii = true, .width = 72}, painted = {.colour = true};
    text_arms(&w->s.in, plain, &w->out);
    assert_true(text_roc(&w->s.in, plain, &w->a, &w->out, &e));
    text_forest(&w->s.in, plain, &w->out);
    const char *out = text_of(&w->out);
    assert_null(strchr(out, 0x1b));
    char value[60];
    const stat_estimate *o = &w->s.stats.arm[0].auroc.logit;
    snprintf(value, sizeof value, "%.3f  %.3f to %.3f", o->value, o->low, o->high);
    assert_non_null(strstr(out, value));
    assert_non_null(strstr(out, "zero-shot"));
    assert_non_null(strchr(out, 'o'));
    buf_clear(&w->out);
    text_arms(&w->s.in, painted, &w->out);
    assert_non_null(strchr(text_of(&w->out), 0x1b));
    buf_clear(&w->out);
    make(w, 3, -1);
    text_arms(&w->s.in, plain, &w->out);
    assert_non_null(strstr(text_of(&w->out), "macro"));
}

static void test_full_buffer_is_an_error(void **state)
{
    world *w = *state;
    err e = {0};
    make(w, 2, 1);
    buf small = buf_up_to(3000);
    assert_false(report_write(&w->s.in, &w->a, &small, &e));
    assert_int_equal(e.code, ERR_RESOURCE);
    buf_close(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_page_same_bytes),
        cmocka_unit_test(test_page_many_classes),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_judge_matches_known),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_full_buffer_is_an_error),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
