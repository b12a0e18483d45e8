/* desk: see desk.h. */
#include "view/desk.h"

#include "data/names.h"
#include "data/table.h"
#include "stats/agree.h"
#include "stats/boot.h"
#include "stats/overlap.h"
#include "stats/plan.h"
#include "stats/prop.h"
#include "view/json_out.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const size_t bytes_memory = (size_t)16 << 30; /* address space */

/* --- numbers by name, as text or JSON --- */

typedef struct page {
    buf *out;
    bool json;
} page;

static void open_page(page *p)
{
    if (p->json) json_open(p->out, NULL, '{');
}

static void end_page(page *p)
{
    if (!p->json) return;
    json_close(p->out, '}');
    buf_add_char(p->out, '\n');
}

/* "Cohen's kappa" as a key: cohen_s_kappa. */
static const char *key_of(const char *name, char key[80])
{
    size_t n = 0;
    for (const char *c = name; *c && n < 79; c++) {
        bool upper = *c >= 'A' && *c <= 'Z', word = (*c >= 'a' && *c <= 'z') || upper;
        if (word || (*c >= '0' && *c <= '9')) key[n++] = upper ? (char)(*c - 'A' + 'a') : *c;
        else if (n > 0 && key[n - 1] != '_') key[n++] = '_';
    }
    key[n] = 0;
    return key;
}

static void add_whole(page *p, const char *name, int64_t x)
{
    char key[80];
    if (p->json) json_whole(p->out, key_of(name, key), x);
    else buf_printf(p->out, "%-37s %lld\n", name, (long long)x);
}

/* Rows that are needed; 0: more than were tried. */
static void add_needed(page *p, const char *name, int64_t x)
{
    char key[80];
    if (x > 0) add_whole(p, name, x);
    else if (p->json) json_number(p->out, key_of(name, key), false, 0);
    else buf_printf(p->out, "%-37s more than 1,000,000,000\n", name);
}

static void add_number(page *p, const char *name, double x, int decimals)
{
    char key[80];
    if (p->json) json_number(p->out, key_of(name, key), true, x);
    else buf_printf(p->out, "%-37s %.*f\n", name, decimals, x);
}

static void add_estimate(page *p, const char *name, const stat_estimate *o)
{
    char key[80];
    if (p->json) {
        json_open(p->out, key_of(name, key), '{');
        json_number(p->out, "value", o->has_value, o->value);
        json_number(p->out, "se", o->has_variance, sqrt(o->variance));
        json_number(p->out, "low", o->has_interval, o->low);
        json_number(p->out, "high", o->has_interval, o->high);
        json_text(p->out, "status", stat_status_name(o->status));
        json_close(p->out, '}');
        return;
    }
    buf_printf(p->out, "%-37s ", name);
    if (!o->has_value) buf_printf(p->out, "not estimable (%s)", stat_status_reason(o->status));
    else buf_printf(p->out, "%.4f", o->value);
    if (o->has_interval) buf_printf(p->out, "  (%.4f to %.4f, %s)", o->low, o->high, o->method);
    buf_add_char(p->out, '\n');
}

/* --- tables --- */

static int32_t find_column(const table *t, const char *option, const char *name, err *e)
{
    int32_t c = table_need_column(t, str_of(name), e);
    if (c < 0) err_in(e, "%s", option);
    return c;
}

static bool is_missing(str s)
{
    return s.size == 0 || str_is(s, "NA") || str_is(s, ".") || str_is(s, "NaN");
}

/* --- agreement --- */

typedef struct ratings {
    const desk_agree *o;
    table t;
    int32_t *rating; /* [n_row x n] */
    int32_t n_category;
    arena *a;
    err *e;
} ratings;

static int by_value(const void *a, const void *b)
{
    double x = 0, y = 0;
    str_to_double(*(const str *)a, &x);
    str_to_double(*(const str *)b, &y);
    return (x > y) - (x < y);
}

static int by_text(const void *a, const void *b)
{
    return str_order(*(const str *)a, *(const str *)b);
}

/* Distinct ratings in their order. */
static bool list_categories(ratings *r, const int32_t *column, str level[AGREE_CATEGORIES_MAX])
{
    names known;
    double x;
    if (!names_make(&known, AGREE_CATEGORIES_MAX, r->a, r->e)) return false;
    for (int32_t i = 0; i < r->t.n_row; i++) {
        for (int k = 0; k < r->o->n; k++) {
            str cell = str_trim(table_cell(&r->t, i, column[k]));
            if (is_missing(cell) || names_find(&known, cell) >= 0) continue;
            if (known.n == AGREE_CATEGORIES_MAX)
                return err_set(r->e, ERR_DATA, "%s: the raters use more than %d different ratings",
                               r->t.path, AGREE_CATEGORIES_MAX);
            if (r->o->ordered && !str_to_double(cell, &x))
                return err_set(r->e, ERR_DATA,
                               "%s: row %d: a rating is no number, and --ordered needs numbers",
                               r->t.path, i + 1);
            names_add(&known, cell, NULL);
        }
    }
    for (int32_t c = 0; c < known.n; c++) level[c] = known.name[c];
    r->n_category = known.n;
    if (known.n > 1)
        qsort(level, (size_t)known.n, sizeof *level, r->o->ordered ? by_value : by_text);
    return true;
}

static bool read_ratings(ratings *r)
{
    int32_t column[DESK_RATERS_MAX];
    str level[AGREE_CATEGORIES_MAX];
    if (!table_read(&r->t, r->o->table, (table_options){0}, r->a, r->e)) return false;
    for (int k = 0; k < r->o->n; k++) {
        column[k] = find_column(&r->t, "--rater", r->o->rater[k], r->e);
        if (column[k] < 0) return false;
    }
    size_t n = (size_t)r->t.n_row * (size_t)r->o->n;
    r->rating = arena_take(r->a, n, sizeof *r->rating, r->e);
    if (!r->rating || !list_categories(r, column, level)) return false;
    for (int32_t i = 0; i < r->t.n_row; i++) {
        for (int k = 0; k < r->o->n; k++) {
            str cell = str_trim(table_cell(&r->t, i, column[k]));
            int32_t c = r->n_category - 1;
            while (c >= 0 && !str_equal(cell, level[c])) c--;
            r->rating[(size_t)i * (size_t)r->o->n + (size_t)k] = c;
        }
    }
    return true;
}

static void add_two(const ratings *r, page *p)
{
    agree_two t;
    int32_t *first = arena_take(r->a, (size_t)r->t.n_row, sizeof *first, r->e);
    int32_t *second = arena_take(r->a, (size_t)r->t.n_row, sizeof *second, r->e);
    if (!first || !second) return;
    for (int32_t i = 0; i < r->t.n_row; i++) {
        first[i] = r->rating[2 * i];
        second[i] = r->rating[2 * i + 1];
    }
    agree_table(first, second, r->t.n_row, r->n_category, &t);
    stat_estimate raw = agree_raw(&t), kappa = agree_kappa(&t, AGREE_UNWEIGHTED, 0);
    add_whole(p, "rows read by both", t.n);
    add_estimate(p, "raw agreement", &raw);
    add_estimate(p, "Cohen's kappa", &kappa);
    if (!r->o->ordered) return;
    stat_estimate linear = agree_kappa(&t, AGREE_LINEAR, 0);
    stat_estimate quadratic = agree_kappa(&t, AGREE_QUADRATIC, 0);
    add_estimate(p, "kappa, linear weights", &linear);
    add_estimate(p, "kappa, quadratic weights", &quadratic);
}

typedef struct alpha_draw {
    agree_many rows;
    agree_metric metric;
} alpha_draw;

static bool draw_alpha(const void *context, const uint16_t *weight, double *value)
{
    const alpha_draw *d = context;
    agree_many m = d->rows;
    m.weight = weight;
    stat_estimate o = agree_alpha(&m, d->metric);
    *value = o.value;
    return o.has_value;
}

/* Krippendorff's alpha with its interval by bootstrap of rows. */
static bool add_alpha(const ratings *r, const agree_many *m, pool *threads, page *p)
{
    alpha_draw d = {*m, r->o->ordered ? AGREE_ORDINAL : AGREE_NOMINAL};
    stat_estimate o = agree_alpha(m, d.metric), drawn = {0};
    boot_result b;
    boot_plan plan = {.n = m->n,
                      .n_draw = 2000,
                      .seed_study = r->o->seed,
                      .seed_analysis = boot_seed("alpha"),
                      .n_value = 1,
                      .statistic = draw_alpha,
                      .context = &d};
    if (o.has_value) {
        if (!boot_run(&plan, threads, r->a, &b, r->e) ||
            !boot_estimate(&b, 0, (boot_interval){0}, r->a, &drawn, r->e))
            return false;
        o.has_interval = b.status == STAT_OK && drawn.has_interval;
        o.low = drawn.low;
        o.high = drawn.high;
        o.method = "bootstrap of rows";
    }
    add_estimate(p, r->o->ordered ? "Krippendorff's alpha, ordinal" : "Krippendorff's alpha", &o);
    return true;
}

bool desk_write_agree(const desk_agree *o, bool json, buf *out, err *e)
{
    arena a;
    assert(o->n >= 2 && o->n <= DESK_RATERS_MAX);
    if (!arena_open_up_to(&a, bytes_memory, "the ratings", e)) return false;
    ratings r = {.o = o, .a = &a, .e = e};
    page p = {out, json};
    pool *threads = pool_open(0, e);
    bool ok = threads && read_ratings(&r);
    if (ok) {
        agree_many m = {.n = r.t.n_row,
                        .n_rater = o->n,
                        .n_category = r.n_category,
                        .rating = r.rating};
        open_page(&p);
        add_whole(&p, "rows", r.t.n_row);
        add_whole(&p, "raters", o->n);
        add_whole(&p, "categories", r.n_category);
        if (o->n == 2) add_two(&r, &p);
        if (o->n > 2) {
            stat_estimate fleiss = agree_fleiss(&m);
            add_estimate(&p, "Fleiss' kappa", &fleiss);
        }
        stat_estimate ac1 = agree_ac1(&m, 0);
        add_estimate(&p, "Gwet's AC1", &ac1);
        ok = add_alpha(&r, &m, threads, &p);
        end_page(&p);
    }
    pool_close(threads);
    arena_close(&a);
    return ok && e->code == ERR_NONE && buf_check(out, "the agreement", e);
}

/* --- overlap --- */

typedef struct texts {
    table t;
    int64_t n;
    str *reference, *generated;
    arena *a;
} texts;

static bool read_texts(texts *x, const desk_overlap *o, arena *a, err *e)
{
    if (!table_read(&x->t, o->table, (table_options){0}, a, e)) return false;
    int32_t reference = find_column(&x->t, "--reference", o->reference, e);
    int32_t generated = reference < 0 ? -1 : find_column(&x->t, "--generated", o->generated, e);
    if (generated < 0) return false;
    x->reference = arena_take(a, (size_t)x->t.n_row, sizeof(str), e);
    x->generated = arena_take(a, (size_t)x->t.n_row, sizeof(str), e);
    if (!x->reference || !x->generated) return false;
    for (int32_t i = 0; i < x->t.n_row; i++) {
        str one = str_trim(table_cell(&x->t, i, reference));
        if (one.size == 0) continue; /* nothing to compare with; an empty generated text counts */
        x->reference[x->n] = one;
        x->generated[x->n++] = str_trim(table_cell(&x->t, i, generated));
    }
    return true;
}

typedef bool rouge(str reference, str generated, overlap_options o, arena *scratch,
                   overlap_score *out, err *e);

/* Mean of F over rows with its Wald interval. */
static bool add_rouge(page *p, const texts *x, const char *key, rouge *of, overlap_options how,
                      err *e)
{
    arena *a = x->a;
    size_t mark = arena_mark(a);
    double *f = arena_take(a, (size_t)x->n, sizeof *f, e);
    if (!f) return false;
    for (int64_t i = 0; i < x->n; i++) {
        overlap_score s;
        if (!of(x->reference[i], x->generated[i], how, a, &s, e)) return false;
        f[i] = s.f;
    }
    stat_estimate o = stat_none(x->n ? STAT_OK : STAT_NO_CASES, x->n, 0);
    if (x->n > 0) {
        o.has_value = true;
        o.value = stat_mean(f, x->n);
    }
    if (x->n > 1) {
        o.has_variance = o.has_interval = true;
        o.variance = stat_covariance(f, f, x->n) / (double)x->n;
        o.low = fmax(0, o.value - 1.959963984540054 * sqrt(o.variance));
        o.high = fmin(1, o.value + 1.959963984540054 * sqrt(o.variance));
        o.method = "Wald on the mean of rows";
    }
    add_estimate(p, key, &o);
    arena_reset(a, mark);
    return true;
}

static bool add_overlap(page *p, const texts *x, const desk_overlap *o, arena *a, err *e)
{
    overlap_options how = {.words = o->ascii ? OVERLAP_ASCII : OVERLAP_UNICODE, .stem = o->stem};
    overlap_options two = how;
    overlap_corpus c = {.n = x->n,
                        .generated = x->generated,
                        .n_reference = 1,
                        .reference = x->reference};
    stat_estimate bleu, chrf;
    int64_t same = 0;
    two.n = 2;
    open_page(p);
    add_whole(p, "rows", x->t.n_row);
    add_whole(p, "rows with a reference", x->n);
    if (!add_rouge(p, x, "ROUGE-1", overlap_rouge_n, how, e) ||
        !add_rouge(p, x, "ROUGE-2", overlap_rouge_n, two, e) ||
        !add_rouge(p, x, "ROUGE-L", overlap_rouge_l, how, e))
        return false;
    if (!overlap_bleu(&c, o->ascii ? OVERLAP_13A : OVERLAP_INTL, true, a, &bleu, e) ||
        !overlap_chrf(&c, 2, false, a, &chrf, e))
        return false;
    add_estimate(p, "BLEU", &bleu);
    add_estimate(p, "chrF2", &chrf);
    for (int64_t i = 0; i < x->n; i++)
        same += overlap_exact(x->reference[i], x->generated[i], true);
    stat_estimate exact = prop_of(same, x->n, PROP_WILSON, 0.95);
    add_estimate(p, "exact match", &exact);
    end_page(p);
    return true;
}

bool desk_write_overlap(const desk_overlap *o, bool json, buf *out, err *e)
{
    arena a;
    texts x = {0};
    page p = {out, json};
    if (!arena_open_up_to(&a, bytes_memory, "the texts", e)) return false;
    x.a = &a;
    bool ok = read_texts(&x, o, &a, e) && add_overlap(&p, &x, o, &a, e);
    arena_close(&a);
    return ok && buf_check(out, "the overlap", e);
}

/* --- size --- */

bool desk_write_size(const desk_size *o, bool json, buf *out, err *e)
{
    page p = {out, json};
    double c = o->auroc, prevalence = o->prevalence;
    if (!(c > 0.5 && c < 0.999))
        return err_set(e, ERR_USAGE, "--auroc is above 0.5 and below 0.999");
    if (!(prevalence >= 1e-6 && prevalence <= 1 - 1e-6))
        return err_set(e, ERR_USAGE, "--prevalence is at least 0.000001, at most 0.999999");
    open_page(&p);
    add_number(&p, "expected AUROC", c, 3);
    add_number(&p, "prevalence", prevalence, 3);
    if (o->rows > 0) {
        double n = (double)o->rows, m = n * prevalence;
        double se = plan_auroc_se(c, m, n - m);
        add_whole(&p, "rows", o->rows);
        add_number(&p, "SE (Hanley, McNeil)", se, 4);
        add_number(&p, "half-width of the 95 % interval", 1.959963984540054 * se, 4);
        add_number(&p, "SE (Newcombe)", plan_auroc_se_newcombe(c, n, prevalence), 4);
        add_number(&p, "power against 0.5", plan_auroc_power(c, m, n - m, 0.05), 4);
        if (o->prompts > 1)
            add_number(&p, "expected optimism of the best way", plan_optimism(se, 0.8, o->prompts),
                       4);
    } else {
        double ratio = (1 - prevalence) / prevalence;
        int64_t positives = plan_auroc_positives(c, ratio, 0.05, o->power);
        plan_validation v = plan_validate(c, prevalence, 0.025, 0.1, 0.1);
        add_number(&p, "width of the 95 % interval", o->width, 3);
        add_needed(&p, "rows for that width", plan_auroc_rows(c, prevalence, o->width, 0.95));
        add_number(&p, "power against 0.5", o->power, 2);
        add_needed(&p, "positives for that power", positives);
        add_needed(&p, "rows for that power", (int64_t)ceil((double)positives / prevalence));
        add_needed(&p, "rows for observed/expected +-0.1",
                  plan_observed_expected_rows_for_width(prevalence, 0.2, 0.95));
        add_needed(&p, "rows for calibration slope SE 0.1", v.rows_slope);
    }
    end_page(&p);
    return buf_check(out, "the plan", e);
}

/* --- audit --- */

bool desk_write_audit(const desk_audit *o, bool json, buf *out, err *e)
{
    page p = {out, json};
    int64_t rows = o->right.rows + o->wrong.rows;
    const audit_stratum *both[2] = {&o->right, &o->wrong};
    for (int i = 0; i < 2; i++) {
        if (both[i]->label_wrong < 0 || both[i]->label_wrong > both[i]->audited ||
            both[i]->audited > both[i]->rows)
            return err_set(e, ERR_USAGE,
                           "%s: of ROWS texts READ were read again and WRONG labels were found "
                           "wrong: WRONG <= READ <= ROWS",
                           i ? "--wrong" : "--right");
    }
    if (o->right.rows > 0 && o->right.audited == 0 && o->wrong.audited > 0)
        return err_set(e, ERR_USAGE,
                       "only texts that the model got wrong were read again: correcting those "
                       "alone can only raise its accuracy, however well they were read; draw texts "
                       "at random from the ones it got right too");
    stat_estimate measured = prop_of(o->right.rows, rows, PROP_WILSON, 0.95);
    stat_estimate corrected = audit_accuracy(o->right, o->wrong, 0.95);
    open_page(&p);
    add_whole(&p, "rows", rows);
    add_estimate(&p, "accuracy against the labels", &measured);
    add_estimate(&p, "accuracy, labels' errors allowed for", &corrected);
    for (int i = 0; i < 2; i++) {
        stat_estimate share = prop_of(both[i]->label_wrong, both[i]->audited, PROP_WILSON, 0.95);
        add_estimate(&p, i ? "labels wrong, model wrong" : "labels wrong, model right", &share);
    }
    end_page(&p);
    return buf_check(out, "the audit", e);
}
