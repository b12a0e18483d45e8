/* Tests of synthetic notes: the same on every machine, the stated shares, patients together. */
#include "base/hash.h"
#include "data/notes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct line { /* one row, cut at its commas; the text holds no quotation mark */
    char field[11][64];
    const char *text;
    size_t n_text;
} line;

enum { PATIENT = 1, SITE = 2, DATE = 3, AGE = 4, LANGUAGE = 6, LABEL = 8, TRUTH = 9, SPLIT = 10 };

/* Reads the line at *at and moves behind it; false at the end. */
static bool next_line(const char **at, line *l)
{
    const char *p = *at;
    if (!*p) return false;
    for (int f = 0; f < 11; f++) {
        size_t n = 0;
        if (f == 7) {
            assert_int_equal(*p, '"');
            const char *end = strchr(p + 1, '"');
            assert_non_null(end);
            l->text = p + 1;
            l->n_text = (size_t)(end - p) - 1;
            p = end + 2;
            continue;
        }
        while (*p != ',' && *p != '\n') l->field[f][n++] = *p++;
        l->field[f][n] = 0;
        p++;
    }
    *at = p;
    return true;
}

static buf make(notes_options o)
{
    buf csv = buf_up_to(1 << 28);
    err e = {0};
    assert_true(notes_write(&o, &csv, &e));
    return csv;
}

static const char *body(const buf *csv) { return strchr(csv->data, '\n') + 1; }

static void test_same_bytes_everywhere(void **state)
{
    (void)state; /* recorded from this generator: a change of words or draws must be meant */
    buf csv = make((notes_options){.n_row = 1000, .seed = 1, .language = NOTES_MIXED});
    assert_string_equal(hash_of(csv.data, csv.size).hex,
                        "eece1ca297c16bf555bee9866def8f247b41df1400b355ebac9bf77cb81dc51a");
    buf again = make((notes_options){.n_row = 1000, .seed = 1, .language = NOTES_MIXED});
    assert_int_equal(csv.size, again.size);
    assert_memory_equal(csv.data, again.data, csv.size);
    buf other = make((notes_options){.n_row = 1000, .seed = 2, .language = NOTES_MIXED});
    assert_false(other.size == csv.size && memcmp(other.data, csv.data, csv.size) == 0);
    buf_close(&csv);
    buf_close(&again);
    buf_close(&other);
}

static void test_fewer_rows_are_a_beginning(void **state)
{
    (void)state;
    buf few = make((notes_options){.n_row = 37, .seed = 5}),
        many = make((notes_options){.n_row = 400, .seed = 5});
    assert_true(few.size < many.size);
    assert_memory_equal(few.data, many.data, few.size);
    buf_close(&few);
    buf_close(&many);
}

static void test_shares_are_as_stated(void **state)
{
    (void)state;
    enum { N = 20000 };
    notes_options o = {.n_row = N, .seed = 7, .share = 0.3, .noise = 0.1};
    buf csv = make(o);
    const char *at = body(&csv);
    line l;
    double serious = 0, turned = 0, train = 0, both[2][2] = {{0}}; /* [truth][label] */
    int64_t n = 0;
    for (; next_line(&at, &l); n++) {
        bool truth = strcmp(l.field[TRUTH], "serious") == 0,
             label = strcmp(l.field[LABEL], "serious") == 0;
        assert_true(truth || strcmp(l.field[TRUTH], "not-serious") == 0);
        serious += truth;
        turned += truth != label;
        train += strcmp(l.field[SPLIT], "train") == 0;
        both[truth][label]++;
    }
    assert_int_equal(n, N);
    assert_true(fabs(serious / N - 0.3) < 0.01); /* three standard errors: 0.0097 */
    assert_true(fabs(turned / N - 0.1) < 0.007);
    assert_true(fabs(train / N - 0.25) < 0.02);
    double sensitivity = both[1][1] / (both[1][1] + both[0][1]);
    double false_share = both[1][0] / (both[1][0] + both[0][0]);
    double auroc = (1 + sensitivity - false_share) / 2;
    assert_true(fabs(auroc - notes_best_auroc(0.3, 0.1)) < 0.01);
    buf_close(&csv);
}

static void test_best_auroc(void **state)
{
    (void)state; /* by hand: 0.38/0.41 and 0.02/0.59 */
    assert_true(fabs(notes_best_auroc(0.4, 0.05) - (1 + 0.38 / 0.41 - 0.02 / 0.59) / 2) < 1e-12);
    assert_true(fabs(notes_best_auroc(0.4, 0) - 1) < 1e-12);
    assert_true(fabs(notes_best_auroc(0.4, 0.5) - 0.5) < 1e-12);
    assert_true(fabs(notes_best_auroc(0, 0) - 0.5) < 1e-12);
}

static void test_patients_stay_together(void **state)
{
    (void)state;
    buf csv = make((notes_options){.n_row = 5000, .seed = 3, .language = NOTES_MIXED});
    const char *at = body(&csv);
    line l, last = {0};
    int64_t repeats = 0, sites = 0, korean = 0;
    while (next_line(&at, &l)) {
        sites += strcmp(l.field[SITE], "ward") == 0;
        korean += strcmp(l.field[LANGUAGE], "ko") == 0;
        if (strcmp(l.field[PATIENT], last.field[PATIENT]) == 0) {
            repeats++;
            assert_string_equal(l.field[SITE], last.field[SITE]);
            assert_string_equal(l.field[SPLIT], last.field[SPLIT]);
            assert_string_equal(l.field[LANGUAGE], last.field[LANGUAGE]);
            assert_true(strcmp(l.field[DATE], last.field[DATE]) > 0);
            assert_int_equal(atoi(l.field[AGE]), atoi(last.field[AGE]) + 1);
        }
        last = l;
    }
    assert_true(repeats > 1500 && repeats < 2500);
    assert_true(sites > 2000 && sites < 3000);
    assert_true(korean > 2000 && korean < 3000);
    buf_close(&csv);
}

/* Is the text UTF-8 of whole characters (lead byte, then its continuation bytes)? */
static bool is_utf8(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        size_t k = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : 0;
        if (k == 0 || i + k > n) return false;
        for (size_t j = 1; j < k; j++) {
            if (((unsigned char)s[i + j] & 0xC0) != 0x80) return false;
        }
        i += k;
    }
    return true;
}

static void test_texts_are_filled_in(void **state)
{
    (void)state;
    for (int language = NOTES_ENGLISH; language <= NOTES_MIXED; language++) {
        buf csv = make((notes_options){
            .n_row = 5000, .seed = 9, .language = (notes_language)language, .hard = 1});
        const char *at = body(&csv);
        line l;
        while (next_line(&at, &l)) {
            assert_null(memchr(l.text, '{', l.n_text));
            assert_null(memchr(l.text, '}', l.n_text));
            assert_true(l.n_text > 40 && l.n_text < 600);
            assert_true(is_utf8(l.text, l.n_text));
        }
        buf_close(&csv);
    }
}

static void test_hard_notes_are_longer_only_where_asked(void **state)
{
    (void)state;
    buf none = make((notes_options){.n_row = 2000, .seed = 4, .hard = -1});
    buf all = make((notes_options){.n_row = 2000, .seed = 4, .hard = 1});
    assert_null(strstr(none.data, "ruled out"));
    assert_null(strstr(none.data, "r/o "));
    assert_non_null(strstr(all.data, "ruled out"));
    assert_true(all.size > none.size + 2000 * 15);
    buf_close(&none);
    buf_close(&all);
}

static void test_refuses(void **state)
{
    (void)state;
    const notes_options wrong[] = {{.n_row = 0},
                                   {.n_row = NOTES_ROWS_MAX + 1},
                                   {.n_row = 5, .share = 1.5},
                                   {.n_row = 5, .hard = 2},
                                   {.n_row = 5, .noise = 0.6},
                                   {.n_row = 5, .noise = NAN}};
    for (size_t i = 0; i < countof(wrong); i++) {
        buf csv = buf_up_to(1 << 20);
        err e = {0};
        assert_false(notes_write(&wrong[i], &csv, &e));
        assert_int_equal(e.code, ERR_USAGE);
        buf_close(&csv);
    }
    buf small = buf_up_to(1000);
    err e = {0};
    assert_false(notes_write(&(notes_options){.n_row = 100}, &small, &e));
    assert_int_equal(e.code, ERR_RESOURCE);
    buf_close(&small);
    notes_language l;
    assert_true(notes_language_from("ko", &l) && l == NOTES_KOREAN);
    assert_false(notes_language_from("fr", &l));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes_everywhere),
        cmocka_unit_test(test_fewer_rows_are_a_beginning),
        cmocka_unit_test(test_shares_are_as_stated),
        cmocka_unit_test(test_best_auroc),
        cmocka_unit_test(test_patients_stay_together),
        cmocka_unit_test(test_texts_are_filled_in),
        cmocka_unit_test(test_hard_notes_are_longer_only_where_asked),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
