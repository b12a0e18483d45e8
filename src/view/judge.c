/* judge: see judge.h. From a table to columns, and the sentences about what cannot be computed. */
#include "view/judge.h"

#include "data/names.h"
#include "data/table.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const size_t bytes_memory = (size_t)64 << 30; /* address space */

/* ---- sentences ---- */

void judge_note(judge_notes *n, arena *a, err *e, const char *format, ...)
{
    char text[600];
    va_list rest;
    if (n->n >= JUDGE_NOTES_MAX) return;
    va_start(rest, format);
    vsnprintf(text, sizeof text, format, rest);
    va_end(rest);
    str kept = str_keep(a, encoding_cut(str_of(text), sizeof text - 10), e);
    if (kept.data) n->note[n->n++] = kept.data;
}

static void explain_arm(const judge_result *r, int32_t k, judge_notes *n, arena *a, err *e)
{
    const judge_arm *arm = &r->all.arm[k];
    const char *name = r->rows->arm_name[k];
    stat_status status = arm->auroc.logit.status;
    bool inside = arm->parts.auroc > 0 && arm->parts.auroc < 1;
    if (status == STAT_ZERO_VARIANCE && inside)
        judge_note(n, a, e,
                   "%s: all scores are tied (or nearly): AUROC %.3g says nothing; its "
                   "interval is a rough bound.",
                   name, arm->parts.auroc);
    else if (status == STAT_ZERO_VARIANCE)
        judge_note(n, a, e,
                   "%s: the classes are perfectly apart (AUROC %.0f): the interval is a "
                   "rough bound from the smaller class alone.",
                   name, arm->parts.auroc);
    if (arm->auroc.logit.has_value && !arm->auroc.logit.has_interval)
        judge_note(n, a, e, "%s: no interval: one of the classes has a single row.", name);
    else if (r->rows->patient && arm->auroc.logit.has_value && !arm->cluster.logit.has_interval)
        judge_note(n, a, e,
                   "%s: no interval by patient: it needs two patients with a positive "
                   "row and two with a negative one; the interval beside it takes the "
                   "rows for independent.",
                   name);
    if (arm->probability_status == STAT_OUT_OF_RANGE) {
        int64_t n_out = 0, first = -1;
        for (int64_t i = 0; i < r->rows->n; i++) {
            double p = r->rows->probability[k][i];
            if (p >= 0 && p <= 1) continue;
            if (n_out++ == 0) first = i;
        }
        judge_note(n, a, e,
                   "%s: %lld of %lld rows hold values outside 0 to 1 (first: judged row "
                   "%lld): they are no probabilities, so Brier score and calibration are "
                   "not estimable.",
                   name, (long long)n_out, (long long)r->rows->n, (long long)first + 1);
    }
    if (!arm->has_probability) return;
    if (arm->n_clipped)
        judge_note(n, a, e,
                   "%s: %lld probabilities of 0 or 1 were taken as 1e-15 from it for log "
                   "loss and calibration.",
                   name, (long long)arm->n_clipped);
    if (!stat_status_usable(arm->line.status) && r->all.n > 0)
        judge_note(n, a, e, "%s: calibration intercept and slope are not estimable (%s).", name,
                   stat_status_reason(arm->line.status));
}

void judge_explain(const judge_result *r, judge_notes *n, arena *a, err *e)
{
    const judge_set *s = &r->all;
    if (s->n == 0) {
        judge_note(n, a, e, "No row has a label and every score: nothing can be computed.");
        return;
    }
    if (s->events == 0 || s->events == s->n)
        judge_note(n, a, e,
                   "%s among the %lld rows: whatever compares the classes (AUROC, average "
                   "precision, calibration) is not estimable.",
                   s->events ? "There are only positives" : "There is no positive",
                   (long long)s->n);
    else if (s->events < STAT_FEW_BELOW || s->n - s->events < STAT_FEW_BELOW)
        judge_note(n, a, e,
                   "Only %lld positive and %lld negative rows: with fewer than %d of a "
                   "class intervals are rough.",
                   (long long)s->events, (long long)(s->n - s->events), STAT_FEW_BELOW);
    if (r->rows->patient && s->n_patient == 1)
        judge_note(n, a, e, "All rows are of one patient: they say nothing about other patients.");
    for (int32_t k = 0; k < s->n_arm; k++) explain_arm(r, k, n, a, e);
    if (s->n_draw && s->boot_status != STAT_OK)
        judge_note(n, a, e, "The bootstrap gave no intervals: %s.",
                   stat_status_reason(s->boot_status));
}

/* ---- the table ---- */

typedef struct judge_columns { /* of the table */
    int32_t label, patient, group, score[JUDGE_SCORES_MAX];
} judge_columns;

typedef struct judge_reader {
    const judge_options *o;
    table t;
    judge_columns at;
    judge_rows rows;
    judge_notes notes;
    int64_t n_no_label, n_no_score;
    arena *a;
    err *e;
} judge_reader;

static int32_t find_column(judge_reader *r, const char *option, const char *name)
{
    if (!name || r->e->code != ERR_NONE) return -1;
    int32_t c = table_need_column(&r->t, str_of(name), r->e);
    if (c < 0) err_in(r->e, "%s", option);
    return c;
}

static bool find_columns(judge_reader *r)
{
    const judge_options *o = r->o;
    r->at.label = find_column(r, "--label", o->label);
    r->at.patient = find_column(r, "--patient", o->patient);
    r->at.group = find_column(r, "--group", o->group);
    if (r->at.group >= 0 && !table_check_short(&r->t, r->at.group, r->e))
        return err_in(r->e, "--group");
    for (int32_t k = 0; k < o->n_score; k++) {
        r->at.score[k] = find_column(r, "--score", o->score[k]);
        for (int32_t j = 0; j < k && r->e->code == ERR_NONE; j++) {
            if (r->at.score[j] == r->at.score[k])
                return err_set(r->e, ERR_USAGE, "--score names the column '%s' twice", o->score[k]);
        }
    }
    return r->e->code == ERR_NONE;
}

static bool is_missing(str s)
{
    static const char *const words[] = {"", "NA", "N/A", "na", "NaN", "nan", ".", "null", "None"};
    for (size_t i = 0; i < countof(words); i++) {
        if (str_is(s, words[i])) return true;
    }
    return false;
}

/* Number of a cell; NaN: missing. */
static bool read_score(judge_reader *r, int32_t row, int32_t k, double *out)
{
    str s = str_trim(table_cell(&r->t, row, r->at.score[k]));
    *out = (double)NAN;
    if (is_missing(s)) return true;
    if (str_to_double(s, out) && !isnan(*out)) return true;
    bool below = str_starts(s, "-");
    if (str_is(s, "inf") || str_is(s, "Inf") || str_is(s, "-inf") || str_is(s, "-Inf"))
        return *out = below ? -INFINITY : INFINITY, true;
    return err_set(r->e, ERR_DATA,
                   "%s: row %d (line %lld), column '%s': not a number; an empty cell or NA stands "
                   "for a score that is missing",
                   r->t.path, row + 1, (long long)r->t.row_line[row], r->o->score[k]);
}

/* Rows with a label and all scores, as columns. */
static bool take_rows(judge_reader *r, int32_t *kept)
{
    size_t n = (size_t)r->t.n_row, n_arm = (size_t)r->o->n_score;
    uint8_t *positive = arena_take(r->a, n, sizeof *positive, r->e);
    double *cells = arena_take(r->a, n * n_arm, sizeof *cells, r->e);
    const double **score = arena_take(r->a, n_arm, sizeof *score, r->e);
    if (r->e->code != ERR_NONE) return false;
    str wanted = str_trim(str_of(r->o->positive));
    for (size_t k = 0; k < n_arm; k++) score[k] = cells + k * n;
    int64_t at = 0;
    for (int32_t i = 0; i < r->t.n_row; i++) {
        str label = str_trim(table_cell(&r->t, i, r->at.label));
        bool complete = true;
        for (int32_t k = 0; k < r->o->n_score; k++) {
            if (!read_score(r, i, k, &cells[(size_t)k * n + (size_t)at])) return false;
            complete = complete && !isnan(cells[(size_t)k * n + (size_t)at]);
        }
        if (is_missing(label) && !str_equal(label, wanted)) {
            r->n_no_label++;
        } else if (!complete) {
            r->n_no_score++;
        } else {
            positive[at] = str_equal(label, wanted);
            kept[at++] = i;
        }
    }
    r->rows = (judge_rows){.n = at,
                           .positive = positive,
                           .n_arm = r->o->n_score,
                           .arm_name = r->o->score,
                           .score = score};
    if (r->o->probability) r->rows.probability = score;
    return true;
}

static bool take_patients(judge_reader *r, const int32_t *kept)
{
    names known;
    int32_t *patient = arena_take(r->a, (size_t)r->rows.n, sizeof *patient, r->e);
    int64_t n_unknown = 0;
    if (!patient || !names_make(&known, r->t.n_row, r->a, r->e)) return false;
    for (int64_t i = 0; i < r->rows.n; i++) {
        str who = str_trim(table_cell(&r->t, kept[i], r->at.patient));
        patient[i] = who.size ? names_add(&known, who, NULL) : -1;
        n_unknown += who.size == 0;
    }
    if (n_unknown)
        judge_note(&r->notes, r->a, r->e,
                   "%lld rows have an empty patient: each is taken for another patient.",
                   (long long)n_unknown);
    r->rows.patient = patient;
    return true;
}

static int by_name(const void *a, const void *b, void *name)
{
    const str *names_of = name;
    return str_order(names_of[*(const int32_t *)a], names_of[*(const int32_t *)b]);
}

/* Subgroups by name, whatever the order of the rows. */
static bool take_groups(judge_reader *r, const int32_t *kept)
{
    names known;
    int32_t *group = arena_take(r->a, (size_t)r->rows.n, sizeof *group, r->e);
    if (!group || !names_make(&known, r->t.n_row, r->a, r->e)) return false;
    for (int64_t i = 0; i < r->rows.n; i++) {
        str value = str_trim(table_cell(&r->t, kept[i], r->at.group));
        group[i] = names_add(&known, value.size ? value : STR("(empty)"), NULL);
        if (known.n > JUDGE_GROUPS_MAX)
            return err_set(r->e, ERR_USAGE,
                           "--group: column '%s' has more than %d values; is it a column of "
                           "subgroups?",
                           r->o->group, JUDGE_GROUPS_MAX);
    }
    int32_t order[JUDGE_GROUPS_MAX], place[JUDGE_GROUPS_MAX];
    const char **name = arena_take(r->a, (size_t)known.n, sizeof *name, r->e);
    if (!name) return false;
    for (int32_t g = 0; g < known.n; g++) order[g] = g;
    qsort_r(order, (size_t)known.n, sizeof *order, by_name, known.name);
    for (int32_t g = 0; g < known.n; g++) {
        place[order[g]] = g;
        name[g] = str_keep(r->a, known.name[order[g]], r->e).data;
    }
    for (int64_t i = 0; i < r->rows.n; i++) group[i] = place[group[i]];
    r->rows.group = group;
    r->rows.group_name = name;
    r->rows.n_group = known.n;
    return r->e->code == ERR_NONE;
}

/* scores.csv of a study holds every row once an arm: together they are no study's rows. */
static bool check_arms(judge_reader *r, const int32_t *kept)
{
    const int32_t arm = table_find_column(&r->t, STR("arm"));
    const size_t mark = arena_mark(r->a);
    names known;
    if (arm < 0 || (r->o->group && !strcmp(r->o->group, "arm"))) return true;
    if (!names_make(&known, r->t.n_row, r->a, r->e)) return false;
    for (int64_t i = 0; i < r->rows.n; i++)
        names_add(&known, str_trim(table_cell(&r->t, kept[i], arm)), NULL);
    arena_reset(r->a, mark);
    if (known.n > 1)
        judge_note(&r->notes, r->a, r->e,
                   "Column 'arm' has %d values: the same texts stand here once an arm. Take one "
                   "arm's rows, or `caseload compare` for a study's arms.",
                   known.n);
    return true;
}

/* Says what the label column holds when that may not be what was meant. */
static bool check_labels(judge_reader *r, const int32_t *kept)
{
    names known;
    size_t mark = arena_mark(r->a);
    if (!names_make(&known, r->t.n_row, r->a, r->e)) return false;
    for (int64_t i = 0; i < r->rows.n; i++)
        names_add(&known, str_trim(table_cell(&r->t, kept[i], r->at.label)), NULL);
    int32_t n_value = known.n, found = names_find(&known, str_trim(str_of(r->o->positive)));
    arena_reset(r->a, mark);
    if (r->rows.n > 0 && found < 0)
        judge_note(&r->notes, r->a, r->e,
                   "No row's '%s' is '%s' (it has %d other values); --positive names the value "
                   "that means positive.",
                   r->o->label, r->o->positive, n_value);
    else if (n_value > 2)
        judge_note(&r->notes, r->a, r->e,
                   "Column '%s' has %d values: all but '%s' count as negative.", r->o->label,
                   n_value, r->o->positive);
    return r->e->code == ERR_NONE;
}

static bool judge_read(judge_reader *r)
{
    if (!table_read(&r->t, r->o->table, (table_options){0}, r->a, r->e) || !find_columns(r))
        return false;
    int32_t *kept = arena_take(r->a, (size_t)r->t.n_row, sizeof *kept, r->e);
    return kept && take_rows(r, kept) && check_arms(r, kept) && check_labels(r, kept) &&
           (r->at.patient < 0 || take_patients(r, kept)) &&
           (r->at.group < 0 || take_groups(r, kept));
}

static bool judge_all(judge_reader *r, pool *threads, buf *out)
{
    judge_result result;
    char positive[300];
    static const char *const fact_name[] = {"rows_read", "without_label", "without_score"};
    if (!judge_read(r) || !judge_compute(&r->rows, r->o->settings, threads, r->a, &result, r->e))
        return false;
    if (r->n_no_score)
        judge_note(&r->notes, r->a, r->e,
                   "%lld rows lack a score in at least one column and are left out of every one, "
                   "so that all are judged on the same rows.",
                   (long long)r->n_no_score);
    judge_explain(&result, &r->notes, r->a, r->e);
    snprintf(positive, sizeof positive, "%s = %s", r->o->label, r->o->positive);
    const int64_t fact[] = {r->t.n_row, r->n_no_label, r->n_no_score};
    judge_about about = {.source = r->t.record.file,
                         .positive = positive,
                         .n_fact = countof(fact),
                         .fact_name = fact_name,
                         .fact = fact,
                         .n_note = r->notes.n,
                         .note = r->notes.note};
    return r->e->code == ERR_NONE && (r->o->json ? judge_write_json(&result, &about, out, r->e)
                                                 : judge_write_text(&result, &about, out, r->e));
}

bool judge_table(const judge_options *o, buf *out, err *e)
{
    assert(o->table && o->label && o->positive && o->n_score > 0 && o->n_score <= JUDGE_SCORES_MAX);
    arena memory;
    if (!arena_open_up_to(&memory, bytes_memory, "the table", e)) return false;
    judge_reader r = {.o = o, .a = &memory, .e = e};
    pool *threads = pool_open(0, e);
    bool ok = threads && judge_all(&r, threads, out);
    pool_close(threads);
    arena_close(&memory);
    return ok;
}
