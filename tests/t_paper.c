/* Tests of the paper folder: files that are what they say, points that equal the statistics,
 * small counts withheld, no id and no text anywhere, studies on which little can be computed, and
 * where a number comes from. */
#include "view/explain.h"
#include "view/flow.h"
#include "view/paper_in.h"
#include "view/plot.h"
#include "view/results.h"
#include "view/show.h"
#include "view/small.h"

#include "base/file.h"
#include "paper_sample.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct world {
    char folder[100];
    arena a;
    err e;
    store *store;
    gather g;
    evidence v;
} world;

static void must(const world *w, bool good)
{
    if (!good || w->e.code) fail_msg("%d: %s", (int)w->e.code, w->e.text);
}

static void open_world(world *w, paper_sample how)
{
    char path[200];
    *w = (world){.folder = P_tmpdir "/t_paper.XXXXXX"};
    assert_non_null(mkdtemp(w->folder));
    must(w, arena_open(&w->a, (size_t)1 << 30, "test", &w->e));
    snprintf(path, sizeof path, "%s/study.db", w->folder);
    must(w, sample_store(path, &how, &w->a, &w->e));
    w->store = store_open_read(path, &w->e);
    must(w, w->store != NULL);
    must(w, gather_open(&w->g, w->store, "0.1.0", "2026-01-31", &w->e));
    must(w, evidence_compute(&w->v, &w->g, &w->e));
}

static void close_world(world *w)
{
    char command[200];
    gather_close(&w->g);
    store_close(w->store);
    arena_close(&w->a);
    snprintf(command, sizeof command, "rm -rf %s", w->folder);
    assert_int_equal(system(command), 0);
}

static const paper_sample usual = {
    .n_row = 240, .n_arm = 5, .n_class = 2, .positive = 0, .rows_a_patient = 2, .share = 0.3};

static char *read_file(const world *w, const char *name, size_t *size)
{
    char path[300];
    file_map m;
    err e = {0};
    snprintf(path, sizeof path, "%s/paper/%s", w->folder, name);
    if (!file_map_open(&m, path, ERR_DATA, &e)) fail_msg("%s", e.text);
    char *data = calloc(m.size + 1, 1);
    memcpy(data, m.data, m.size);
    *size = m.size;
    file_map_close(&m);
    return data;
}

/* A word, not a part of one. */
static bool holds_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at += n) {
        bool before = at > text && ((at[-1] | 32) >= 'a') && ((at[-1] | 32) <= 'z');
        bool after = ((at[n] | 32) >= 'a') && ((at[n] | 32) <= 'z');
        if (!before && !after) return true;
    }
    return false;
}

/* Every file of the folder: no id, no NaN; the ones that are text are text. */
static int check_folder(const world *w, const char *below)
{
    char path[300];
    int n = 0;
    snprintf(path, sizeof path, "%s/paper%s", w->folder, below);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.' || f->d_type == DT_DIR) continue;
        size_t size = 0;
        snprintf(path, sizeof path, "%s/%.100s", below, f->d_name);
        char *data = read_file(w, path, &size);
        assert_true(size > 20);
        assert_null(memmem(data, size, PAPER_SECRET, strlen(PAPER_SECRET)));
        const char *ending = strrchr(f->d_name, '.');
        if (!strcmp(ending, ".png")) assert_memory_equal(data, "\x89PNG", 4);
        else if (!strcmp(ending, ".pdf")) assert_memory_equal(data, "%PDF-", 5);
        else if (!strcmp(ending, ".xlsx")) assert_memory_equal(data, "PK\3\4", 4);
        else {
            assert_int_equal(strlen(data), size);
            if (holds_word(data, "nan") || holds_word(data, "inf") || holds_word(data, "NaN"))
                fail_msg("%s holds nan or inf", path);
        }
        if (!strcmp(ending, ".part")) fail_msg("%s was left behind", path);
        free(data);
        n++;
    }
    closedir(d);
    return n;
}

static void test_folder(void **state)
{
    (void)state;
    world w;
    buf shown = buf_up_to(BUF_MAX);
    paper_sample how = usual;
    how.n_arm = 6; /* with baselines */
    open_world(&w, how);
    must(&w, paper_write(&w.v, w.folder, &shown, &w.e));
    assert_non_null(strstr(shown.data, "8 tables, 9 figures"));
    assert_int_equal(check_folder(&w, "/figures"), 4 * 9); /* one model, none tuned */
    assert_int_equal(check_folder(&w, "/tables"), 3 * 8);
    assert_int_equal(check_folder(&w, ""), 6);
    size_t n = 0;
    char *page = read_file(&w, "index.html", &n);
    static const char *const holds[] = {
        "What is not here, and why",
        "Table T4: the study has one model",
        "Table T5: no model was tuned",
        "<caption><b>T2.</b>",
        "figures/roc.pdf",
        "TRIPOD-LLM",
        "baseline-prevalence gives every text the same score and is not drawn",
        "baselines made without the language model: baseline-tfidf",
        "lang=\"ko\""};
    for (size_t i = 0; i < countof(holds); i++) {
        if (!strstr(page, holds[i])) fail_msg("the page lacks \"%s\"", holds[i]);
    }
    assert_null(strstr(page, "http:"));
    assert_null(strstr(page, "<script"));
    free(page);
    buf_close(&shown);
    close_world(&w);
}

/* --- the points are the statistics' own --- */

/* Number k of a CSV line, counted from 0. */
static double number_of(const char *line, int k)
{
    for (; k > 0; k--) line = strchr(line, ',') + 1;
    return strtod(line, NULL);
}

static const char *next_line(const char *at)
{
    at = strstr(at, "\r\n");
    return at ? at + 2 : NULL;
}

static void test_points(void **state)
{
    (void)state;
    world w;
    plot p;
    rank_roc roc;
    open_world(&w, (paper_sample){.n_row = 200, .n_arm = 1, .n_class = 2, .share = 0.4});
    const verdict_arm *s = &w.g.stats.arm[0];
    must(&w, plot_draw(&p, &w.v, plot_kind("roc"), &w.e));
    must(&w, rank_roc_take(s->score, s->positive, w.g.stats.n, &w.g.memory, &roc, &w.e));
    const char *line = next_line(p.csv.data);
    for (int64_t i = 0; i < roc.n_point; i++, line = next_line(line)) {
        assert_true(number_of(line, 2) == rank_roc_fpr(&roc, i));
        assert_true(number_of(line, 3) == rank_roc_tpr(&roc, i));
    }
    for (int32_t i = 0; i < CURVES_ROC; i++, line = next_line(line)) {
        assert_true(number_of(line, 3) == w.v.arm[0].roc.value[i]);
        assert_true(number_of(line, 6) == w.v.arm[0].roc.low[i]);
    }
    assert_non_null(strstr(line, "operating point"));
    assert_true(number_of(line, 3) == s->at_point.sensitivity.value);
    plot_close(&p);
    must(&w, plot_draw(&p, &w.v, plot_kind("decision"), &w.e));
    line = next_line(p.csv.data);
    for (int32_t i = 0; i < CURVES_DECISION; i++, line = next_line(line)) {
        assert_true(number_of(line, 2) == w.v.arm[0].decision.value[i]);
        assert_true(number_of(line, 5) == w.v.arm[0].all[i]);
    }
    plot_close(&p);
    must(&w, plot_draw(&p, &w.v, plot_kind("arms"), &w.e));
    assert_true(number_of(next_line(p.csv.data), 1) == s->auroc.logit.value);
    plot_close(&p);
    close_world(&w);
}

static void test_by_patient(void **state)
{
    (void)state;
    world w;
    open_world(&w, usual);
    assert_true(w.v.clusters);
    assert_ptr_equal(w.v.arm[0].auroc, &w.g.stats.arm[0].clustered);
    int sign = 0;
    const verdict_pair *pair = evidence_pair(&w.v, 2, 0, &sign);
    assert_true(pair && sign == 1 && pair->a == 0 && pair->b == 2);
    assert_ptr_equal(evidence_test(&w.v, pair), &pair->clustered);
    assert_ptr_equal(evidence_pair(&w.v, 0, 2, &sign), pair);
    assert_int_equal(sign, -1);
    const stat_estimate *naive = &w.g.stats.arm[0].at_point.sensitivity;
    const stat_estimate *drawn = &w.v.arm[0].cut.sensitivity;
    assert_true(drawn->value == naive->value && drawn->has_interval);
    assert_true(drawn->low != naive->low && drawn->low < drawn->value &&
                drawn->value < drawn->high);
    int64_t n = 0;
    for (int32_t i = 0; i < w.v.group[1].n_level; i++) n += w.v.group[1].level[i].n;
    assert_int_equal(n, w.g.stats.n);
    close_world(&w);
}

/* --- small counts --- */

static void test_small(void **state)
{
    (void)state;
    const int64_t one[4] = {3, 50, 20, 0}, two[3] = {4, 1, 90}, none[3] = {0, 5, 6};
    bool hidden[4];
    small_mark(one, 4, hidden);
    assert_true(hidden[0] && !hidden[1] && hidden[2] && !hidden[3]);
    small_mark(two, 3, hidden);
    assert_true(hidden[0] && hidden[1] && !hidden[2]);
    small_mark(none, 3, hidden);
    assert_true(!hidden[0] && !hidden[1] && !hidden[2]);
    buf b = buf_up_to(100);
    small_add(&b, 3, true);
    small_add(&b, 20, true);
    small_add(&b, 20, false);
    assert_string_equal(b.data, "<5withheld20");
    buf_close(&b);
}

static flow_hidden hide(report_count *excluded, int32_t n, int64_t unscored)
{
    report_count late = {.reason = "late", .n = unscored};
    report_flow f = {.n_read = 100 + unscored,
                     .n_excluded = n,
                     .excluded = excluded,
                     .n_asked = 100 + unscored,
                     .n_unscored = unscored > 0,
                     .unscored = &late};
    for (int32_t i = 0; i < n; i++) f.n_read += excluded[i].n;
    flow_hidden h = flow_hide(&f);
    buf b = buf_up_to(100);
    flow_add_read(&b, &f, &h, 100);
    if (h.read) assert_string_equal(b.data, h.asked ? ">100" : unscored ? ">150" : ">100");
    buf_close(&b);
    return h;
}

/* No count from 1 to 4 on the way from table to result is printed or left to subtraction. */
static void test_small_flow(void **state)
{
    (void)state;
    report_count c[3] = {{.n = 240, .printed = true}, {.n = 3}, {.n = 12}};
    flow_hidden h = hide(c, 3, 0);
    assert_true(!h.read && !h.asked && !h.excluded[0] && h.excluded[1] && h.excluded[2]);
    h = hide(c, 2, 0); /* the other count stands in table T1: the total goes */
    assert_true(h.read && !h.excluded[0] && h.excluded[1]);
    c[1].n = 1, c[2].n = 1; /* together under 5 */
    h = hide(c, 3, 0);
    assert_true(h.read && h.excluded[1] && h.excluded[2]);
    c[1].n = 5, c[2].n = 1;
    h = hide(c, 3, 0);
    assert_true(!h.read && h.excluded[1] && h.excluded[2]);
    c[2].n = 60, c[2].small = true;
    h = hide(c, 3, 0);
    assert_true(!h.read && h.excluded[1] && h.excluded[2]);
    c[2].small = false;
    h = hide(c, 3, 0);
    assert_true(!h.read && !h.asked && !h.excluded[1] && !h.excluded[2]);
    h = hide(c, 3, 2); /* read - excluded is what was asked: one of them goes too */
    assert_true(h.asked && h.unscored[0] && h.excluded[1] && !h.read);
    h = hide(c, 1, 2);
    assert_true(h.asked && h.read);
    h = hide(c, 3, 50);
    assert_true(!h.asked && !h.read && !h.unscored[0]);
}

/* The same in every file that tells of it. */
static void test_small_flow_in_files(void **state)
{
    (void)state;
    world w;
    paper_sample how = usual;
    how.n_no_label = 3;
    open_world(&w, how);
    buf shown = buf_up_to(BUF_MAX), json = buf_up_to(BUF_MAX);
    w.g.in.evidence = &w.v;
    must(&w, paper_write(&w.v, w.folder, &shown, &w.e));
    must(&w, results_write(&w.g.in, &json, &w.e));
    json_t *results = json_loads(json.data, 0, NULL);
    const json_t *out = json_array_get(json_object_get(results, "excluded"), 0);
    assert_string_equal(json_string_value(json_object_get(out, "reason")), "excluded: empty label");
    assert_true(json_is_null(json_object_get(out, "n")));
    json_decref(results);
    static const char *const names[] = {"figures/flow.csv", "methods.en.txt", "methods.ko.txt",
                                        "checklists.csv"};
    static const char *const says[] = {"excluded: empty label,<5", "<5 excluded: empty label",
                                       "정답이 비어 있음 <5행", "<5 excluded: empty label"};
    for (size_t i = 0; i < countof(names); i++) {
        size_t size;
        char *text = read_file(&w, names[i], &size);
        if (!strstr(text, says[i])) fail_msg("%s: %s", names[i], text);
        assert_false(holds_word(text, "240 another") || holds_word(text, "3 excluded"));
        free(text);
    }
    buf_close(&shown);
    buf_close(&json);
    close_world(&w);
}

/* Rows less texts of a part of table T1 are its rows without a label. */
static void check_rows_of_parts(world *w, int n_use, const char *says)
{
    char profile[400];
    snprintf(profile, sizeof profile,
             "{\"parts\": [{\"name\": \"train\", \"role\": \"train\", \"n\": 120, \"texts\": 120},"
             "{\"name\": \"test\", \"role\": \"use\", \"n\": %d, \"texts\": 240}], \"groups\": []}",
             n_use);
    json_object_set_new(json_object_get(w->g.record, "meta"), "profile", json_string(profile));
    paper p = {.v = &w->v};
    sheet s;
    char why[200];
    buf csv = buf_up_to(BUF_MAX);
    must(w, paper_read_arms(&p, &w->e));
    must(w, paper_table(&p, 0, &s, why, &w->e));
    sheet_csv(&s, &csv);
    if (!strstr(csv.data, says)) fail_msg("%s", csv.data);
    buf_close(&csv);
    sheet_close(&s);
}

static void test_small_parts(void **state)
{
    (void)state;
    world w;
    open_world(&w, usual);
    check_rows_of_parts(&w, 243, "\"rows of the table\",\"withheld\",\"withheld\"");
    check_rows_of_parts(&w, 245, "\"rows of the table\",\"120\",\"245\"");
    close_world(&w);
}

/* Calibration: no share of a tenth with fewer than 5 events or 5 others, and none that its
 * neighbours give away. */
static void test_small_bins(void **state)
{
    (void)state;
    world w;
    plot p;
    open_world(&w, usual);
    for (int32_t i = 0; i < EVIDENCE_BINS; i++) {
        calib_bin *bin = &w.v.arm[0].bin[i];
        *bin = (calib_bin){.n = 20 + i, .events = 10, .mean = 0.05 + 0.1 * i};
        if (i == 4) bin->events = 2;
    }
    int32_t kind = 0;
    for (bool found = false; !found; kind++) {
        must(&w, plot_draw(&p, &w.v, kind, &w.e));
        found = !strcmp(p.name, "calibration");
        if (!found) plot_close(&p);
    }
    assert_null(strstr(p.csv.data, "zero-shot,bin,0.45,"));
    assert_null(strstr(p.csv.data, "zero-shot,bin,0.05,")); /* the smallest of the others */
    assert_non_null(strstr(p.csv.data, "zero-shot,bin,0.15"));
    plot_close(&p);
    close_world(&w);
}

/* In table T1 no number from 1 to 4 stands as a count. */
static void test_no_small_count_in_a_table(void **state)
{
    (void)state;
    world w;
    open_world(&w, usual);
    paper p = {.v = &w.v};
    must(&w, paper_read_arms(&p, &w.e));
    int n_hidden = 0;
    for (int32_t which = 0; which < PAPER_TABLES; which++) {
        sheet s;
        char why[200];
        buf csv = buf_up_to(BUF_MAX);
        must(&w, paper_table(&p, which, &s, why, &w.e));
        if (s.n_column == 0) {
            assert_true(strlen(why) > 10);
            continue;
        }
        assert_int_equal(s.n_cell % s.n_column, 0);
        sheet_csv(&s, &csv);
        if (!strcmp(s.id, "T1") || !strcmp(s.id, "T6")) {
            for (int i = 1; i < SMALL_BELOW; i++) {
                char bare[20], share[20], first[20], last[20];
                snprintf(bare, sizeof bare, "\"%d\"", i);
                snprintf(share, sizeof share, "\"%d (", i);
                snprintf(first, sizeof first, "\"%d / ", i);
                snprintf(last, sizeof last, " / %d\"", i);
                assert_null(strstr(csv.data, bare));
                assert_null(strstr(csv.data, share));
                assert_null(strstr(csv.data, first));
                assert_null(strstr(csv.data, last));
            }
            n_hidden += strstr(csv.data, "<5") != NULL;
        }
        buf_close(&csv);
        sheet_close(&s);
    }
    assert_int_equal(n_hidden,
                     2); /* the sample has small groups: both tables had something to hide */
    close_world(&w);
}

/* --- sheets --- */

static void test_sheet(void **state)
{
    (void)state;
    sheet s;
    buf csv = buf_up_to(BUF_MAX), html = buf_up_to(BUF_MAX), latex = buf_up_to(BUF_MAX);
    sheet_open(&s, "T9", "A & b");
    sheet_column(&s, "name", false);
    sheet_column(&s, "n_1", true);
    sheet_add(&s, STR("=cmd()"));
    sheet_add(&s, STR("1.50"));
    sheet_add(&s, STR("a \"b\" <c> 50% {x} \\ 한글"));
    sheet_printf(&s, "%d", 7);
    sheet_note(&s, "Note & %d", 3);
    sheet_csv(&s, &csv);
    sheet_html(&s, &html);
    sheet_latex(&s, &latex);
    assert_string_equal(csv.data, "\xEF\xBB\xBF\"name\",\"n_1\"\r\n\"'=cmd()\",\"1.50\"\r\n"
                                  "\"a \"\"b\"\" <c> 50% {x} \\ 한글\",\"7\"\r\n");
    assert_non_null(strstr(html.data, "a &quot;b&quot; &lt;c&gt; 50% {x}"));
    assert_non_null(strstr(html.data, "<td class=\"n\">1.50</td>"));
    assert_non_null(strstr(html.data, "Note &amp; 3"));
    assert_non_null(strstr(latex.data, "50\\% \\{x\\} \\textbackslash{} 한글 & 7 \\\\"));
    assert_non_null(strstr(latex.data, "name & n\\_1 \\\\"));
    buf_close(&csv);
    buf_close(&html);
    buf_close(&latex);
    sheet_close(&s);
}

/* --- words --- */

static void test_methods(void **state)
{
    (void)state;
    world w;
    open_world(&w, usual);
    paper p = {.v = &w.v};
    must(&w, paper_read_arms(&p, &w.e));
    buf en = buf_up_to(BUF_MAX), ko = buf_up_to(BUF_MAX);
    char events[60];
    paper_methods_english(&p, &en);
    paper_methods_korean(&p, &ko);
    const char *both[] = {"SmolLM2-135M-Instruct",
                          "134,515,008",
                          "2c0ffee92a6b7d1e",
                          "700",
                          "three-shot, seed 2 (3 examples, seed 2)",
                          "Was the event serious?",
                          "Obuchowski",
                          "Holm"};
    for (size_t i = 0; i < countof(both); i++) {
        if (!strstr(en.data, both[i]) || !strstr(ko.data, both[i])) fail_msg("lacks %s", both[i]);
    }
    snprintf(events, sizeof events, "%lld serious", (long long)w.g.stats.events);
    assert_non_null(strstr(en.data, events));
    snprintf(events, sizeof events, "serious %lld건", (long long)w.g.stats.events);
    assert_non_null(strstr(ko.data, events));
    assert_non_null(strstr(en.data, "intervals by bootstrap of patients"));
    assert_non_null(strstr(ko.data, "환자 단위 부트스트랩"));
    assert_non_null(strstr(en.data, "Of 492 rows"));
    assert_non_null(strstr(ko.data, "정답이 비어 있음 12행"));
    buf_close(&en);
    buf_close(&ko);
    sheet s;
    paper_checklist(&p, &s);
    buf csv = buf_up_to(BUF_MAX);
    sheet_csv(&s, &csv);
    assert_non_null(strstr(csv.data, "\"MI-CLEAR-LLM\",\"8\""));
    assert_non_null(strstr(csv.data, "\"TRIPOD-LLM\",\"7e\",\"comparison"));
    assert_non_null(strstr(csv.data, "\"REFINE\",\"4.10\",\"separation"));
    assert_non_null(strstr(csv.data, "\"A\""));
    assert_non_null(strstr(csv.data, "\"H\""));
    assert_non_null(strstr(csv.data, "\"M\""));
    buf_close(&csv);
    sheet_close(&s);
    close_world(&w);
}

/* --- little to compute --- */

static void check_bad(paper_sample how, const char *says, bool write)
{
    world w;
    open_world(&w, how);
    for (int32_t kind = 0; kind < PLOT_KINDS; kind++) {
        plot p;
        buf b = buf_up_to(BUF_MAX);
        must(&w, plot_draw(&p, &w.v, kind, &w.e));
        figure_inline(&p.figure, &b);
        assert_true(b.size > 200 && p.csv.size > 10 && p.caption.size > 10);
        assert_false(holds_word(b.data, "nan") || holds_word(b.data, "inf"));
        assert_false(holds_word(p.csv.data, "nan") || holds_word(p.description.data, "nan"));
        bool speaks = strcmp(p.name, "flow") && strcmp(p.name, "confusion") &&
                      strcmp(p.name, "decision") && strcmp(p.name, "scores") &&
                      strcmp(p.name, "frontier") && strcmp(p.name, "training") &&
                      strcmp(p.name, "learning") && strcmp(p.name, "likeness");
        if (says && speaks) {
            if (!strstr(b.data, "not estimable") || !strstr(b.data, says))
                fail_msg("figure %s does not say \"%s\"", p.name, says);
        }
        buf_close(&b);
        plot_close(&p);
    }
    buf shown = buf_up_to(BUF_MAX);
    if (write) {
        must(&w, paper_write(&w.v, w.folder, &shown, &w.e));
        check_folder(&w, "");
        check_folder(&w, "/figures");
        check_folder(&w, "/tables");
    }
    buf_close(&shown);
    close_world(&w);
}

static void test_one_class(void **state)
{
    (void)state;
    paper_sample how = {.n_row = 60, .n_arm = 2, .n_class = 2, .share = 1.1};
    check_bad(how, "only one class is present", true);
    how.share = 0;
    check_bad(how, "only one class is present", false);
}

static void test_three_cases(void **state)
{
    (void)state;
    check_bad((paper_sample){.n_row = 3, .n_arm = 2, .n_class = 2, .share = 0.5}, NULL, true);
    check_bad((paper_sample){.n_row = 1, .n_arm = 1, .n_class = 2, .share = 0.5},
              "only one class is present", false);
}

static void test_odd_scores(void **state)
{
    (void)state;
    paper_sample how = {.n_row = 80, .n_arm = 2, .n_class = 2, .share = 0.4, .tied = true};
    check_bad(how, NULL, false);
    how.tied = false;
    how.perfect = true;
    check_bad(how, NULL, false);
    how.perfect = false;
    how.rows_a_patient = 80; /* one patient */
    check_bad(how, NULL, false);
}

static void test_several_classes(void **state)
{
    (void)state;
    paper_sample how = {.n_row = 90, .n_arm = 2, .n_class = 3, .positive = -1, .share = 0.3};
    check_bad(how, NULL, true);
    how.positive = 0;
    check_bad(how, NULL, false);
}

/* --- where a number comes from; the page --- */

static void test_explain(void **state)
{
    (void)state;
    world w;
    char value[60];
    buf b = buf_up_to(BUF_MAX);
    open_world(&w, usual);
    must(&w, explain_number(&w.v, "auroc/zero-shot", &b, &w.e));
    snprintf(value, sizeof value, "value     %.17g\n", w.g.stats.arm[0].auroc.logit.value);
    assert_non_null(strstr(b.data, value));
    snprintf(value, sizeof value, "%lld serious", (long long)w.g.stats.events);
    assert_non_null(strstr(b.data, value));
    assert_non_null(strstr(b.data, "model SHA-256 2c0ffee"));
    long long won, tied, pairs;
    const char *sum = strstr(b.data, "          (");
    assert_non_null(sum);
    assert_int_equal(sscanf(sum, " (%lld + %lld / 2) / %lld", &won, &tied, &pairs), 3);
    assert_true(((double)won + 0.5 * (double)tied) / (double)pairs ==
                w.g.stats.arm[0].auroc.logit.value);
    static const char *const all[] = {"auprc",
                                      "brier",
                                      "accuracy",
                                      "sensitivity",
                                      "specificity",
                                      "ppv",
                                      "npv",
                                      "f1",
                                      "mcc",
                                      "kappa",
                                      "balanced_accuracy",
                                      "log_loss",
                                      "observed_expected",
                                      "intercept",
                                      "slope",
                                      "ece",
                                      "label_mass"};
    for (size_t i = 0; i < countof(all); i++) {
        char path[100];
        snprintf(path, sizeof path, "%s/three-shot, seed 2", all[i]);
        buf_clear(&b);
        must(&w, explain_number(&w.v, path, &b, &w.e));
        assert_null(strstr(b.data, "nan"));
    }
    buf_clear(&b);
    must(&w, explain_number(&w.v, "difference/three-shot, seed 1/zero-shot", &b, &w.e));
    snprintf(value, sizeof value, "difference %.17g",
             w.v.arm[1].auroc->logit.value - w.v.arm[0].auroc->logit.value);
    assert_non_null(strstr(b.data, value));
    static const char *const wrong[] = {"",
                                        "auroc",
                                        "auroc/",
                                        "auroc/x",
                                        "auc/zero-shot",
                                        "difference/x",
                                        "difference/zero-shot/zero-shot",
                                        "/",
                                        "auroc/zero-shot/"};
    for (size_t i = 0; i < countof(wrong); i++) {
        err e = {0};
        assert_false(explain_number(&w.v, wrong[i], &b, &e));
        assert_int_equal(e.code, ERR_USAGE);
        assert_true(strlen(e.text) > 20);
    }
    buf_close(&b);
    close_world(&w);
}

static void test_page_has_the_figures(void **state)
{
    (void)state;
    world w;
    char path[200];
    buf shown = buf_up_to(BUF_MAX);
    open_world(&w, usual);
    show_options o = {.out = w.folder, .date = "2026-01-31", .version = "0.1.0"};
    must(&w, show_study(w.store, &o, &shown, &w.e));
    snprintf(path, sizeof path, "%s/report.html", w.folder);
    file_map m;
    must(&w, file_map_open(&m, path, ERR_DATA, &w.e));
    const char *page = (const char *)m.data;
    static const char *const holds[] = {"<h2>Precision and recall</h2>", "<h2>Calibration</h2>",
                                        "<h2>Decision curves</h2>", "treat all",
                                        "<td>134,515,008</td>"};
    for (size_t i = 0; i < countof(holds); i++)
        assert_non_null(memmem(page, m.size, holds[i], strlen(holds[i])));
    static const char *const never[] = {"http:", "https:", "href", "nan<", "<script", PAPER_SECRET};
    for (size_t i = 0; i < countof(never); i++)
        assert_null(memmem(page, m.size, never[i], strlen(never[i])));
    assert_true(m.size < 1000000);
    file_map_close(&m);
    snprintf(path, sizeof path, "%s/paper", w.folder);
    assert_false(file_exists(path)); /* only when asked for */
    buf_close(&shown);
    close_world(&w);
}

static int32_t count_of(const char *text, const char *what)
{
    int32_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what)) n++;
    return n;
}

/* Curves of trainings: every recorded point is in the CSV, the kept update is marked, and the
 * learning curve's points are the AUROCs of the judged texts. */
static void test_trainings(void **state)
{
    (void)state;
    world w;
    plot p;
    paper_sample how = usual;
    how.tuned = true;
    open_world(&w, how);
    must(&w, plot_draw(&p, &w.v, plot_kind("training"), &w.e));
    assert_int_equal(count_of(p.csv.data, "\r\n"), 1 + 5 * (30 + 3 + 3));
    assert_non_null(strstr(p.csv.data, "tuned/n-40/seed-2,40,2,tune AUROC,20,0.875,yes\r\n"));
    assert_non_null(strstr(p.csv.data, "tuned/n-40/seed-2,40,2,tune AUROC,30,0.751"));
    assert_int_equal(count_of(p.csv.data, ",yes"), 2 * 5);
    assert_int_equal(count_of(p.description.data, "update 20 of 30 kept; AUROC 0.875"), 5);
    plot_close(&p);
    must(&w, plot_draw(&p, &w.v, plot_kind("learning"), &w.e));
    const char *line = p.csv.data;
    for (int32_t k = 0; k < how.n_arm; k++) {
        const stat_estimate *o = &w.v.arm[k].auroc->logit;
        assert_non_null(line = next_line(line));
        assert_true(number_of(line, 1) == sample_adapters[k].n_row);
        assert_true(number_of(line, 3) == o->value && number_of(line, 4) == o->low &&
                    number_of(line, 5) == o->high);
    }
    plot_close(&p);
    buf shown = buf_up_to(BUF_MAX);
    show_options o = {.out = w.folder, .date = "2026-01-31", .version = "0.1.0", .paper = true};
    must(&w, show_study(w.store, &o, &shown, &w.e));
    size_t n = 0;
    static const char *const made[] = {"figures/training.pdf", "figures/training.svg",
                                       "figures/training.png", "figures/learning.pdf",
                                       "figures/learning.svg", "figures/learning.png"};
    for (size_t i = 0; i < countof(made); i++) {
        free(read_file(&w, made[i], &n));
        assert_true(n > 1000);
    }
    char *page = read_file(&w, "../report.html", &n);
    assert_non_null(strstr(page, "<h2>Training by update</h2>"));
    assert_non_null(strstr(page, "<h2>Learning curve</h2>"));
    assert_int_equal(count_of(page, "<td class=\"n\">0.875</td>"), 5); /* table S4 */
    free(page);
    page = read_file(&w, "tables/T5.csv", &n);
    assert_non_null(strstr(page, "\"tuned/n-40\",\"4\",\"2\",\"9024\""));
    free(page);
    check_folder(&w, "/figures");
    buf_close(&shown);
    close_world(&w);
}

static const char *cell_of(const sheet *s, int64_t row, int32_t column)
{
    const char *at = s->cells.data;
    for (int64_t k = row * s->n_column + column; k > 0; k--) at += strlen(at) + 1;
    return at;
}

/* Pairs that differ in one part, their means with the pairs' covariance, places of options. */
static void test_parts_apart(void **state)
{
    (void)state;
    world w;
    sheet s;
    char why[200], want[100];
    paper_sample how = usual;
    how.asks = true;
    how.rows_a_patient = 0;
    open_world(&w, how);
    paper p = {.v = &w.v};
    must(&w, paper_read_arms(&p, &w.e) && paper_table(&p, 11, &s, why, &w.e));
    static const char *const rows[][3] = {{"framing", "labels → options, cyclic",
                                           "cyclic against plain"},
                                          {"role", "without → with", "role against plain"},
                                          {"role", "without → with", "role-meta against meta"},
                                          {"role", "without → with", "mean of 2 pairs"},
                                          {"meta", "without → with", "meta against plain"},
                                          {"meta", "without → with", "role-meta against role"},
                                          {"meta", "without → with", "mean of 2 pairs"}};
    assert_int_equal(s.n_cell, (int64_t)countof(rows) * s.n_column);
    for (int64_t i = 0; i < (int64_t)countof(rows); i++) {
        for (int32_t k = 0; k < 3; k++) {
            if (strcmp(cell_of(&s, i, k), rows[i][k]))
                fail_msg("row %d: \"%s\", not \"%s\"", (int)i, cell_of(&s, i, k), rows[i][k]);
        }
    }
    /* role: arms 1 and 2 with, 0 and 3 without, half a pair each */
    static const double weight[4] = {-0.5, 0.5, 0.5, -0.5};
    double mean = 0, variance = 0;
    for (int i = 0; i < 4; i++) {
        const rank_parts *a = &w.g.stats.arm[i].parts;
        mean += weight[i] * a->auroc;
        for (int k = 0; k < 4; k++)
            variance += weight[i] * weight[k] * rank_covariance(a, &w.g.stats.arm[k].parts);
    }
    buf b = buf_up_to(1000);
    const double half = 1.959963984540054 * sqrt(variance);
    evidence_add_signed(&b, mean, 3);
    buf_add_text(&b, " (");
    evidence_add_signed(&b, mean - half, 3);
    buf_add_text(&b, " to ");
    evidence_add_signed(&b, mean + half, 3);
    buf_add_char(&b, ')');
    buf_add_char(&b, 0);
    assert_string_equal(cell_of(&s, 3, 3), b.data);
    buf_close(&b);
    sheet_close(&s);

    must(&w, paper_table(&p, 12, &s, why, &w.e));
    assert_int_equal(s.n_cell, 3 * s.n_column);
    /* of 240 rows 80 take each place once, 160 always A */
    assert_int_equal(w.g.ways[4].place[0].n_chosen, 80 + 2 * 160);
    assert_int_equal(w.g.ways[4].place[1].n_chosen, 80);
    assert_memory_equal(cell_of(&s, 0, 2), "83.3 % (", 8);
    assert_memory_equal(cell_of(&s, 1, 2), "16.7 % (", 8);
    /* gaps of +-0.5 in 160 rows, none in 80: (80 x 80) / (160 / 4) */
    assert_string_equal(cell_of(&s, 2, 2), "χ² 160.00, 1 df, p <0.001");
    int64_t right = 0;
    for (int32_t i = 0; i < how.n_row; i++) right += i % 3 != 0 || w.g.study.row[i].label == 0;
    snprintf(want, sizeof want, "%lld (%.1f %%)", (long long)right, 100 * (double)right / 240);
    assert_string_equal(cell_of(&s, 0, 4), want);
    sheet_close(&s);
    close_world(&w);
}

/* T7 counts arms as one question in other words, or as one draw after another, when nothing else
 * tells them apart. */
static void test_variability(void **state)
{
#define ASK(question, seed, answers, ask)                                                      \
    "{\"shots\": 2, \"seed\": " seed ", \"question\": \"" question                             \
    "\", \"system\": \"\", \"template\": \"chat\", \"wordings\": 1, \"answers\": [[\"" answers \
    "\", 0]], \"ask\": {\"wordings\": [{\"question\": \"" question "\"}], " ask "}}"
#define PLAIN "\"framing\": \"labels\", \"calibrate\": \"none\", \"method\": []"
    static const char *const arms[][2] = {
        {"first", ASK("Serious?", "1", "Yes", PLAIN)},
        {"other words", ASK("Is it serious?", "1", "Yes", PLAIN)},
        {"drawn again", ASK("Serious?", "2", "Yes", PLAIN)},
        {"options", ASK("A or B?", "1", "Yes",
                        "\"framing\": \"options\", \"calibrate\": \"none\", \"method\": []")},
        {"method", ASK("Think: serious?", "1", "Yes",
                       "\"framing\": \"labels\", \"calibrate\": \"none\", \"method\": [\"cot\"]")},
        {"calibrated", ASK("Really serious?", "1", "Yes",
                           "\"framing\": \"labels\", \"calibrate\": \"batch\", \"method\": []")},
        {"label words", ASK("How grave?", "1", "Grave", PLAIN)},
    };
#undef ASK
#undef PLAIN
    (void)state;
    world w;
    sheet s;
    char why[200];
    paper_sample how = usual;
    how.own = arms;
    how.n_arm = countof(arms);
    open_world(&w, how);
    paper p = {.v = &w.v};
    must(&w, paper_read_arms(&p, &w.e) && paper_table(&p, 6, &s, why, &w.e));
    assert_string_equal(s.id, "T7");
    static const char *const rows[][3] = {{"draw of the examples", "first", "2"},
                                          {"wording of the question", "first", "2"}};
    assert_int_equal(s.n_cell, 2 * s.n_column);
    for (int64_t i = 0; i < 2; i++) {
        for (int32_t k = 0; k < 3; k++) assert_string_equal(cell_of(&s, i, k), rows[i][k]);
    }
    /* mean and SD of the two arms' AUROCs */
    const double x = w.v.arm[0].auroc->logit.value, y = w.v.arm[1].auroc->logit.value;
    char want[60];
    snprintf(want, sizeof want, "%.3f (%.3f)", (x + y) / 2, fabs(x - y) / sqrt(2));
    assert_string_equal(cell_of(&s, 1, 3), want);
    sheet_close(&s);
    close_world(&w);
}

/* AUROC of a variant, pair by pair. */
static double auroc_of_part(const world *w, const paper_sample *how, int32_t v)
{
    double won = 0, pairs = 0;
    for (int32_t i = 0; i < how->n_row; i++) {
        for (int32_t k = 0; k < how->n_row; k++) {
            if (w->g.study.row[i].label != 0 || w->g.study.row[k].label == 0) continue;
            const double x = sample_part_score(how, i, v), y = sample_part_score(how, k, v);
            won += x > y ? 1 : x == y ? 0.5 : 0;
            pairs++;
        }
    }
    return won / pairs;
}

/* Ways within an arm: all, and by each thing in which they differ; references of a calibration are
 * no ways. */
static void test_ways_within(void **state)
{
#define WAY(wording, reversed)                                          \
    "{\"wording\": " wording ", \"labels\": 0, \"reversed\": " reversed \
    ", \"by\": \"letter\", \"draw\": 0, \"order\": 0}"
    static const char *const arms[][2] = {
        {"four",
         "{\"shots\": 0, \"ask\": {\"calibrate\": \"none\", \"ways\": [" WAY("0", "false") ", " WAY(
             "0", "true") ", " WAY("1", "false") ", " WAY("1", "true") "]}}"},
        {"domain",
         "{\"shots\": 0, \"ask\": {\"calibrate\": \"domain\", \"ways\": [" WAY("0", "false") "]}}"},
        {"contextual",
         "{\"shots\": 0, \"ask\": {\"calibrate\": \"contextual\", \"ways\": [" WAY("0",
                                                                                   "false") "]}}"},
        {"prior",
         "{\"shots\": 0, \"ask\": {\"position\": \"prior\", \"ways\": [" WAY("0", "false") "]}}"}};
#undef WAY
    (void)state;
    world w;
    sheet s;
    char why[200], want[60];
    paper_sample how = usual;
    how.own = arms;
    how.n_arm = countof(arms);
    how.parts[0] = 4;
    how.parts[1] = 2;
    how.parts[2] = 4;
    how.parts[3] = 2;
    open_world(&w, how);
    double a[4];
    for (int32_t v = 0; v < 4; v++) a[v] = auroc_of_part(&w, &how, v);
    const gather_ways *g = w.g.ways;
    assert_int_equal(g[0].n_way, 4);
    for (int32_t k = 1; k < 4; k++) {
        assert_int_equal(g[k].n_way, 1);
        assert_int_equal(g[k].n_auroc, 0);
        assert_int_equal(g[k].n_row, 0);
    }
    assert_float_equal(g[0].mean, (a[0] + a[1] + a[2] + a[3]) / 4, 1e-12);
    assert_int_equal(g[0].n_factor, 2); /* the wording, the order of the labels */
    assert_float_equal(fmin((a[0] + a[1]) / 2, (a[2] + a[3]) / 2), g[0].factor[0].low, 1e-12);
    assert_float_equal(fmax((a[0] + a[1]) / 2, (a[2] + a[3]) / 2), g[0].factor[0].high, 1e-12);
    assert_float_equal(fabs(a[0] + a[2] - a[1] - a[3]) / 2 / sqrt(2), g[0].factor[1].sd, 1e-12);
    paper p = {.v = &w.v};
    must(&w, paper_read_arms(&p, &w.e) && paper_table(&p, 6, &s, why, &w.e));
    static const char *const rows[] = {"ways within the arm, all",
                                       "within the arm: wording of the question",
                                       "within the arm: order of the labels"};
    assert_int_equal(s.n_cell, 3 * s.n_column);
    for (int64_t i = 0; i < 3; i++) assert_string_equal(cell_of(&s, i, 0), rows[i]);
    snprintf(want, sizeof want, "%.3f (%.3f)", (a[0] + a[1] + a[2] + a[3]) / 4,
             fabs(a[0] + a[1] - a[2] - a[3]) / 2 / sqrt(2));
    assert_string_equal(cell_of(&s, 1, 3), want);
    sheet_close(&s);
    close_world(&w);
}

/* The member of results.json, "/"-separated; numbers of a list too. */
static json_t *member(json_t *from, const char *path)
{
    char name[60];
    for (size_t n; *path; path += n + (path[n] == '/')) {
        n = strcspn(path, "/");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        from = json_is_array(from) ? json_array_get(from, (size_t)atoi(name))
                                   : json_object_get(from, name);
        if (!from) fail_msg("no %s", path);
    }
    return from;
}

static json_t *read_json(const world *w, const char *name)
{
    size_t n;
    char *text = read_file(w, name, &n);
    json_t *j = json_loadb(text, n, 0, NULL);
    assert_non_null(j);
    free(text);
    return j;
}

static void show(const world *w, buf *shown, err *e)
{
    show_options o = {.out = w->folder, .date = "2026-01-31", .version = "0.1.0", .paper = true};
    must(w, show_study(w->store, &o, shown, e));
}

/* Whole questions are in the paper and in results.json, counted by hand from the scores. */
static void test_questions(void **state)
{
    (void)state;
    world w;
    sheet s;
    size_t n;
    char why[200], want[80];
    buf shown = buf_up_to(BUF_MAX);
    paper_sample how = usual;
    how.each = true;
    how.rows_a_patient = 3;
    open_world(&w, how);
    show(&w, &shown, &w.e);
    int64_t exact = 0, top = 0;
    const verdict_arm *a = &w.g.stats.arm[0];
    for (int64_t i = 0; i < 240; i += 3) {
        int64_t good = 0, best = i;
        for (int64_t k = i; k < i + 3; k++) {
            good += (a->score[k] >= 0) == (w.g.study.row[k].label == 0);
            if (a->score[k] > a->score[best]) best = k;
        }
        exact += good == 3;
        top += w.g.study.row[best].label == 0;
    }
    assert_true(exact > 5 && exact < 75 && top > 5);
    json_t *j = read_json(&w, "../results.json");
    assert_int_equal(json_integer_value(member(j, "arms/0/questions/n")), 80);
    assert_true(json_number_value(member(j, "arms/0/questions/every_option_right/value")) ==
                (double)exact / 80);
    assert_true(json_number_value(member(j, "arms/0/questions/highest_is_right/value")) ==
                (double)top / 80);
    json_decref(j);
    paper p = {.v = &w.v};
    must(&w, paper_read_arms(&p, &w.e) && paper_table(&p, 13, &s, why, &w.e));
    snprintf(want, sizeof want, "%.3f (", (double)exact / 80);
    assert_string_equal(cell_of(&s, 0, 1), "80");
    assert_memory_equal(cell_of(&s, 0, 2), want, strlen(want));
    sheet_close(&s);
    static const char *const made[] = {"tables/S7.csv", "tables/S7.html", "tables/S7.tex"};
    for (size_t i = 0; i < countof(made); i++) {
        char *text = read_file(&w, made[i], &n);
        assert_non_null(strstr(text, want));
        free(text);
    }
    check_folder(&w, "/tables");
    buf_close(&shown);
    close_world(&w);
}

/* What texts say: counted again from what they were made to say. */
static void check_votes(int32_t rows_a_patient)
{
    static const char *const arms[][2] = {
        {"reasons", "{\"shots\": 0, \"samples\": 3, \"ask\": {\"ways\": [{\"wording\": 0}], "
                    "\"think\": {\"samples\": 3}}}"},
        {"plain", "{\"shots\": 0, \"ask\": {\"ways\": [{\"wording\": 0}]}}"}};
    world w;
    size_t n;
    char want[200];
    buf shown = buf_up_to(BUF_MAX);
    paper_sample how = usual;
    how.own = arms;
    how.n_arm = countof(arms);
    how.parts[0] = 1;
    how.votes = true;
    how.rows_a_patient = rows_a_patient;
    open_world(&w, how);
    show(&w, &shown, &w.e);
    double share[240], won = 0, pairs = 0;
    int32_t right = 0, counts[240][3], is_right[240];
    for (int32_t i = 0; i < how.n_row; i++) {
        const int32_t label = w.g.study.row[i].label;
        int32_t c[3] = {0};
        for (int32_t t = 0; t < 3; t++) {
            const int32_t said = sample_says(label, i, t);
            c[said < 0 ? 2 : said]++;
        }
        share[i] = c[0] / 3.0;
        is_right[i] = c[label] > c[1 - label];
        right += is_right[i];
        memcpy(counts[i], c, sizeof c);
    }
    for (int32_t i = 0; i < how.n_row; i++) {
        for (int32_t k = 0; k < how.n_row; k++) {
            if (w.g.study.row[i].label != 0 || w.g.study.row[k].label == 0) continue;
            won += share[i] > share[k] ? 1 : share[i] == share[k] ? 0.5 : 0;
            pairs++;
        }
    }
    json_t *j = read_json(&w, "../results.json");
    assert_float_equal(json_number_value(member(j, "arms/0/votes/right/value")), right / 240.0,
                       1e-12);
    assert_float_equal(json_number_value(member(j, "arms/0/votes/auroc_of_share/value")),
                       won / pairs, 1e-12);
    const double low = json_number_value(member(j, "arms/0/votes/right/low"));
    const double high = json_number_value(member(j, "arms/0/votes/right/high"));
    assert_true(sample_is_interval(low, high, is_right, &how));
    assert_null(json_object_get(json_array_get(json_object_get(j, "arms"), 1), "votes"));
    json_decref(j);
    char *text = read_file(&w, "../votes.csv", &n);
    assert_int_equal(count_of(text, "\r\n"), 1 + how.n_row);
    for (int32_t i = 0; i < how.n_row; i += 7) {
        snprintf(want, sizeof want, "\nreasons," PAPER_SECRET "-%04d,%s,%d,%d,%d\r", i,
                 w.g.study.row[i].label ? "not-serious" : "serious", counts[i][0], counts[i][1],
                 counts[i][2]);
        if (!strstr(text, want)) fail_msg("votes.csv lacks %s", want);
    }
    free(text);
    text = read_file(&w, "tables/S3.csv", &n);
    snprintf(want, sizeof want, "\"%.3f (", right / 240.0);
    assert_non_null(strstr(text, "most texts say the right class"));
    assert_non_null(strstr(text, want));
    free(text);
    check_folder(&w, "/tables");
    buf_close(&shown);
    close_world(&w);
}

static void test_votes(void **state)
{
    (void)state;
    for (int32_t a_patient = 0; a_patient <= 2; a_patient += 2) check_votes(a_patient);
}

/* Texts beside references: tables, figure, words, JSON; with labels, and alone. */
static void check_references(paper_sample how, int n_table, int n_figure)
{
    world w;
    size_t n;
    buf shown = buf_up_to(BUF_MAX);
    how.references = true;
    open_world(&w, how);
    show(&w, &shown, &w.e);
    assert_int_equal(check_folder(&w, "/tables"), 3 * n_table);
    assert_int_equal(check_folder(&w, "/figures"), 4 * n_figure);
    check_folder(&w, "");
    json_t *j = read_json(&w, "../results.json");
    /* 1 or 2, and 1 to 3, of six, by turns */
    assert_float_equal(json_number_value(member(j, "likeness/arms/0/rougeL/value")), 0.25, 1e-12);
    assert_float_equal(json_number_value(member(j, "likeness/arms/1/rougeL/value")), 2 / 6.0,
                       1e-12);
    assert_float_equal(json_number_value(member(j, "likeness/pairs/0/rougeL/difference")), 1 / 12.0,
                       1e-12);
    json_t *own = read_json(&w, "../likeness.json");
    assert_true(json_equal(own, member(j, "likeness")));
    json_decref(own);
    json_decref(j);
    char *text = read_file(&w, "tables/S8.csv", &n);
    assert_non_null(strstr(text, "\"0.250 ("));
    assert_non_null(strstr(text, "\"0.333 ("));
    free(text);
    text = read_file(&w, "tables/S9.csv", &n);
    if (!strstr(text, "\"'+0.083 (+0.0")) fail_msg("%s", text);
    free(text);
    text = read_file(&w, "figures/likeness.csv", &n);
    assert_int_equal(count_of(text, "ROUGE-L,"), 2);
    free(text);
    text = read_file(&w, "methods.en.txt", &n);
    assert_non_null(strstr(text, "Generated texts of 240 rows were compared"));
    free(text);
    text = read_file(&w, "methods.ko.txt", &n);
    assert_non_null(strstr(text, "생성된 글은 240행에서"));
    free(text);
    text = read_file(&w, "../report.html", &n);
    assert_non_null(strstr(text, "<h2>Likeness to the references</h2>"));
    assert_non_null(strstr(text, "Differences in likeness between arms"));
    free(text);
    buf_close(&shown);
    close_world(&w);
}

static void test_references(void **state)
{
    (void)state;
    paper_sample how = usual;
    check_references(how, 10, 10);
    how.n_class = 1;
    how.positive = -1;
    how.n_arm = 2;
    check_references(how, 5, 2); /* T1, S1, S3, S8, S9; flow, likeness */
}

static void test_no_place_to_write(void **state)
{
    (void)state;
    world w;
    char path[200];
    buf shown = buf_up_to(BUF_MAX);
    open_world(&w, (paper_sample){.n_row = 20, .n_arm = 1, .n_class = 2, .share = 0.5});
    snprintf(path, sizeof path, "%s/paper", w.folder);
    must(&w, file_write_atomic(path, STR("a file in its place"), &w.e));
    err e = {0};
    assert_false(paper_write(&w.v, w.folder, &shown, &e));
    assert_int_equal(e.code, ERR_RESOURCE);
    buf_close(&shown);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_by_patient),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_small_flow),
        cmocka_unit_test(test_small_flow_in_files),
        cmocka_unit_test(test_small_bins),
        cmocka_unit_test(test_small_parts),
        cmocka_unit_test(test_no_small_count_in_a_table),
        cmocka_unit_test(test_sheet),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_one_class),
        cmocka_unit_test(test_three_cases),
        cmocka_unit_test(test_odd_scores),
        cmocka_unit_test(test_several_classes),
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_page_has_the_figures),
        cmocka_unit_test(test_trainings),
        cmocka_unit_test(test_parts_apart),
        cmocka_unit_test(test_variability),
        cmocka_unit_test(test_ways_within),
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_votes),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_no_place_to_write),
    };
    return cmocka_run_group_tests_name("paper", tests, NULL, NULL);
}
