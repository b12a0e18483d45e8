/* rows: see rows.h. One pass gives each row its fate, a second fills the two sets. */
#include "data/rows.h"

#include "data/names.h"
#include "data/options.h"
#include "data/partition.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct rows_columns { /* the table's columns the study names; -1: not named */
    int32_t id, label, patient, split, reference;
    int32_t n_text, text[SPEC_COLUMNS_MAX];
    int32_t n_group, group[SPEC_COLUMNS_MAX];
} rows_columns;

typedef struct rows_maker {
    rows *r;
    const spec *s;
    const table *t;
    rows_columns at;
    arena *a;
    err *e;
    options option;
    names id, label; /* label: values, numbered; then what each means: */
    int32_t *class_of_label, *rows_of_label;
    partition split; /* of the split file, if there is one */
    bool has_parts, wants_train, wants_tune;
    row_fate *fate; /* [n_read] */
    int32_t *class; /* [n_read] */
} rows_maker;

enum { LABEL_MISSING = -1, LABEL_UNKNOWN = -2 };

const char *row_fate_text(row_fate f)
{
    static const char *const text[ROW_FATE_COUNT] = {
        [ROW_SCORED] = "scored",
        [ROW_EXAMPLE] = "in the training part",
        [ROW_TUNE] = "in the tuning part",
        [ROW_OTHER_SPLIT] = "in another part of the table",
        [ROW_NO_TEXT] = "excluded: empty text",
        [ROW_NO_LABEL] = "excluded: empty label",
        [ROW_MISSING_LABEL] = "excluded: label marked as missing",
        [ROW_EXAMPLE_UNUSABLE] = "no use for training or tuning: empty text or label",
        [ROW_NO_REFERENCE] = "excluded: empty reference",
        [ROW_BEYOND_LIMIT] = "left out by --limit",
    };
    assert(f < ROW_FATE_COUNT);
    return text[f];
}

static void warn(rows_maker *m, const char *format, ...) PRINTF(2, 3);
static void warn(rows_maker *m, const char *format, ...)
{
    char text[600];
    err shown = {0}; /* for what it does to names from a file */
    va_list rest;
    va_start(rest, format);
    vsnprintf(text, sizeof text, format, rest);
    va_end(rest);
    str whole = encoding_cut(str_of(text), 590);
    err_set(&shown, ERR_DATA, "%.*s", (int)whole.size, whole.data);
    assert(m->r->n_warning < ROWS_WARNINGS_MAX);
    m->r->warning[m->r->n_warning++] = str_keep(m->a, str_of(shown.text), m->e);
}

/* --- columns --- */

int32_t rows_find_column(const spec *s, const table *t, spec_text name, err *e)
{
    if (!name.text.data || e->code != ERR_NONE) return -1;
    int32_t c = table_need_column(t, name.text, e);
    if (c < 0) err_in(e, name.line > 0 ? "%s: line %d" : "%s", s->path, name.line);
    return c;
}

static int32_t find_column(rows_maker *m, spec_text name)
{
    int32_t c = rows_find_column(m->s, m->t, name, m->e);
    return c >= 0 && table_check_flat(m->t, c, m->e) ? c : -1;
}

/* A column of the text that is also id, label or subgroup: the model would read the answer, or the
 * results would hold the texts. */
static bool check_text_column(rows_maker *m, spec_text name, int32_t column, const char *key)
{
    for (int32_t i = 0; i < m->at.n_text && !m->e->code && column >= 0; i++) {
        if (m->at.text[i] != column) continue;
        str shown = encoding_cut(name.text, 60);
        return spec_fail(m->s, name.line, m->e,
                         "column '%.*s' is both 'text' and '%s'; name another column",
                         (int)shown.size, shown.data, key);
    }
    return m->e->code == ERR_NONE;
}

static bool find_columns(rows_maker *m)
{
    const spec_data *d = &m->s->data;
    rows_columns *at = &m->at;
    at->id = find_column(m, d->id);
    at->label = find_column(m, d->label);
    at->patient = find_column(m, d->patient);
    at->split = find_column(m, d->split);
    at->reference = find_column(m, d->reference);
    for (int32_t i = 0; i < d->text.n; i++)
        at->text[at->n_text++] = find_column(m, d->text.item[i]);
    for (int32_t i = 0; i < d->group.n; i++)
        at->group[at->n_group++] = find_column(m, d->group.item[i]);
    for (int32_t i = 0; i < at->n_group; i++)
        if (check_text_column(m, d->group.item[i], at->group[i], "group"))
            table_check_short(m->t, at->group[i], m->e);
    check_text_column(m, d->id, at->id, "id");
    if (at->label >= 0) check_text_column(m, d->label, at->label, "label");
    if (at->reference >= 0) check_text_column(m, d->reference, at->reference, "reference");
    return m->e->code == ERR_NONE;
}

static str cell(const rows_maker *m, int32_t row, int32_t column)
{
    return str_trim(table_cell(m->t, row, column));
}

/* --- labels --- */

int32_t rows_class_of(const spec *s, str value)
{
    for (int32_t i = 0; i < s->data.missing.n; i++) {
        if (str_equal(str_trim(s->data.missing.item[i].text), value)) return LABEL_MISSING;
    }
    for (int32_t c = 0; c < s->n_class; c++) {
        str name = s->classes[c].name.text;
        const spec_list *values = NULL;
        for (int32_t i = 0; i < s->data.n_labels; i++) {
            if (str_equal(s->data.labels[i].name.text, name)) values = &s->data.labels[i].surfaces;
        }
        if (!values && str_equal(str_trim(name), value)) return c;
        for (int32_t i = 0; values && i < values->n; i++) {
            if (str_equal(str_trim(values->item[i].text), value)) return c;
        }
    }
    return LABEL_UNKNOWN;
}

/* The class of the row, LABEL_MISSING or LABEL_UNKNOWN. Distinct values are looked up once. */
static int32_t class_of_row(rows_maker *m, int32_t row)
{
    bool is_new = false;
    if (m->at.label < 0) return 0; /* the one class */
    if (m->option.start && m->s->data.n_labels == 0) return m->option.class[row];
    str value = cell(m, row, m->at.label);
    int32_t n = names_add(&m->label, value, &is_new);
    if (is_new) {
        m->class_of_label[n] = rows_class_of(m->s, value);
        m->rows_of_label[n] = 0;
    }
    m->rows_of_label[n]++;
    return m->class_of_label[n];
}

/* Values are named only when they look like labels: few and short. A text column taken for the
 * labels must not be printed. */
static bool fail_labels(rows_maker *m)
{
    enum { SHOWN = 8, LENGTH = 40, DISTINCT = 24 };
    int32_t n_unknown = 0, n_row = 0, n_long = 0;
    buf list = buf_up_to(2000);
    for (int32_t i = 0; i < m->label.n; i++) {
        if (m->class_of_label[i] != LABEL_UNKNOWN || m->label.name[i].size == 0) continue;
        n_row += m->rows_of_label[i];
        n_long += m->label.name[i].size > LENGTH;
        if (n_unknown++ >= SHOWN) continue;
        buf_add_text(&list, n_unknown > 1 ? ", '" : "'");
        buf_add_str(&list, encoding_cut(m->label.name[i], LENGTH));
        buf_printf(&list, "' (%d rows)", m->rows_of_label[i]);
    }
    str column = encoding_cut(m->t->column_name[m->at.label], 60);
    if (n_long > 0 || n_unknown > DISTINCT) {
        err_set(
            m->e, ERR_DATA,
            "%s: column '%.*s' holds %d values that are no class of the study, in %d rows; is it "
            "the column of labels?",
            m->t->path, (int)column.size, column.data, n_unknown, n_row);
    } else {
        if (n_unknown > SHOWN) buf_printf(&list, " and %d more", n_unknown - SHOWN);
        buf classes = buf_up_to(1000);
        for (int32_t c = 0; c < m->s->n_class && classes.size < 200; c++) {
            if (c) buf_add_text(&classes, ", ");
            buf_add_str(&classes, encoding_cut(m->s->classes[c].name.text, 40));
        }
        err_set(
            m->e, ERR_DATA,
            "%s: column '%.*s' holds values that are no class of the study: %s; the classes are "
            "%s: "
            "say under 'data: labels:' which values mean which class, or list them under 'missing'",
            m->t->path, (int)column.size, column.data, list.data, classes.data);
        buf_close(&classes);
    }
    buf_close(&list);
    return false;
}

/* --- fates --- */

/* Nothing to read: white space, byte-order marks, zero-width spaces. */
static bool is_empty(str s)
{
    static const char *const unseen[] = {"\xEF\xBB\xBF", "\xE2\x80\x8B"};
    size_t before = 0;
    do {
        before = s.size;
        s = str_trim_unicode(s);
        for (size_t i = 0; i < countof(unseen); i++) {
            if (str_starts(s, unseen[i])) s = str_part(s, 3, s.size - 3);
        }
    } while (s.size < before);
    return s.size == 0;
}

static bool has_text(const rows_maker *m, int32_t row)
{
    for (int32_t i = 0; i < m->at.n_text; i++) {
        if (!is_empty(table_cell(m->t, row, m->at.text[i]))) return true;
    }
    return false;
}

bool rows_add_id(names *ids, const table *t, int32_t row, int32_t column, err *e)
{
    str id = str_trim(table_cell(t, row, column));
    const char *called = t->column_name[column].data;
    if (id.size == 0)
        return err_set(e, ERR_DATA, "%s: row %d (line %lld) has an empty id (column '%.60s')",
                       t->path, row + 1, (long long)t->row_line[row], called);
    bool is_new = false;
    int32_t first = names_add(ids, id, &is_new); /* one name a row: its number is its row */
    if (is_new) return true;
    str shown = encoding_cut(id, 60);
    return err_set(
        e, ERR_DATA,
        "%s: rows %d and %d have the same id '%.*s' (column '%.60s'); ids name rows and must "
        "differ",
        t->path, first + 1, row + 1, (int)shown.size, shown.data, called);
}

/* The part of the study that a row is in. */
static bool find_part(rows_maker *m, int32_t row, str *part)
{
    *part = STR("");
    if (m->at.split >= 0) *part = cell(m, row, m->at.split);
    if (!m->s->data.split_file.text.data) return true;
    str id = cell(m, row, m->at.id);
    int32_t at = names_find(&m->split.id, id);
    str shown = encoding_cut(id, 60);
    if (at < 0)
        return err_set(m->e, ERR_DATA,
                       "%s: row '%.*s' is not in the split file %s, which was made for another "
                       "table; delete it and run `caseload split`",
                       m->t->path, (int)shown.size, shown.data, m->split.path);
    *part = m->split.part[at];
    return true;
}

static row_fate decide(rows_maker *m, int32_t row, str part)
{
    const spec_data *d = &m->s->data;
    bool use = !m->has_parts || str_equal(part, str_trim(d->use.text));
    bool train = !use && m->wants_train && str_equal(part, str_trim(d->train.text));
    bool tune = !use && !train && m->wants_tune && str_equal(part, str_trim(d->tune.text));
    if (!use && !train && !tune) return ROW_OTHER_SPLIT;
    if (!has_text(m, row)) return use ? ROW_NO_TEXT : ROW_EXAMPLE_UNUSABLE;
    m->class[row] = class_of_row(m, row);
    bool empty = m->at.label >= 0 && cell(m, row, m->at.label).size == 0;
    bool lacks = m->at.reference >= 0 && is_empty(table_cell(m->t, row, m->at.reference));
    if (lacks) return use ? ROW_NO_REFERENCE : ROW_EXAMPLE_UNUSABLE;
    if (!use && (empty || m->class[row] == LABEL_MISSING)) return ROW_EXAMPLE_UNUSABLE;
    if (!use) return train ? ROW_EXAMPLE : ROW_TUNE;
    if (empty) return ROW_NO_LABEL;
    return m->class[row] == LABEL_MISSING ? ROW_MISSING_LABEL : ROW_SCORED;
}

typedef struct part_check { /* patients and the part each was first seen in */
    names patient, part;
    int32_t *first, *twice; /* [patient.n] */
    int32_t n_twice, example;
} part_check;

static bool check_patient(rows_maker *m, part_check *c, int32_t row, str part)
{
    bool is_new = false;
    str who = cell(m, row, m->at.patient);
    if (who.size == 0 || part.size == 0) return true;
    int32_t p = names_add(&c->patient, who, &is_new), k = names_add(&c->part, part, NULL);
    if (is_new) {
        c->first[p] = k;
        c->twice[p] = 0;
    } else if (c->first[p] != k && !c->twice[p]) {
        c->twice[p] = 1;
        if (c->n_twice++ == 0) c->example = p;
    }
    return true;
}

/* A patient in two parts: an error, unless the study says why not. */
static bool check_parts(rows_maker *m, const str *part)
{
    part_check c = {.example = -1};
    size_t mark = arena_mark(m->a), n = (size_t)m->r->n_read;
    if (!m->has_parts || m->at.patient < 0) return true;
    c.first = arena_take(m->a, n, sizeof *c.first, m->e);
    c.twice = arena_take(m->a, n, sizeof *c.twice, m->e);
    if (!c.first || !c.twice || !names_make(&c.patient, m->r->n_read, m->a, m->e) ||
        !names_make(&c.part, m->r->n_read, m->a, m->e))
        return false;
    for (int32_t row = 0; row < m->r->n_read; row++) check_patient(m, &c, row, part[row]);
    str who = c.n_twice ? encoding_cut(c.patient.name[c.example], 60) : STR("");
    str why = m->s->data.across.text;
    arena_reset(m->a, mark);
    if (c.n_twice == 0) return true;
    if (!why.data)
        return err_set(m->e, ERR_DATA,
                       "%s: %d patients are in two parts of the split (first: '%.*s'): what is "
                       "learned from a patient would be tested on the same patient; split by "
                       "patient (`caseload split` does), or say under 'data: "
                       "patients_across_splits: {allowed: ..}' why it may be",
                       m->t->path, c.n_twice, (int)who.size, who.data);
    why = encoding_cut(why, 300);
    warn(m, "%d patients are in two parts of the split, which the study allows: %.*s", c.n_twice,
         (int)why.size, why.data);
    return true;
}

static bool read_parts(rows_maker *m)
{
    const spec *s = m->s;
    for (int32_t i = 0; i < s->n_arm; i++) m->wants_train |= s->arms[i].shots > 0;
    m->wants_train |= (s->baselines & (SPEC_PREVALENCE | SPEC_TFIDF)) != 0;
    m->wants_tune = (s->baselines & SPEC_TFIDF) != 0 || spec_scores_tune(s);
    for (int32_t i = 0; i < s->n_arm; i++) {
        m->wants_train |= s->arms[i].training != NULL;
        m->wants_tune |= s->arms[i].training != NULL;
    }
    m->has_parts = m->at.split >= 0 || s->data.split_file.text.data;
    if (!s->data.split_file.text.data) return true;
    if (!partition_read(&m->split, s->data.split_file.text.data, m->a, m->e)) return false;
    m->r->split_rule = m->split.rule.data;
    m->r->split_hash = m->split.hash;
    return true;
}

static bool decide_all(rows_maker *m, rows_options o)
{
    rows *r = m->r;
    bool unknown = false;
    str *part = arena_take(m->a, (size_t)r->n_read, sizeof *part, m->e);
    if (!part || !read_parts(m)) return false;
    for (int32_t row = 0; row < r->n_read; row++) {
        if (!rows_add_id(&m->id, m->t, row, m->at.id, m->e) || !find_part(m, row, &part[row]))
            return false;
        row_fate f = decide(m, row, part[row]);
        if (f == ROW_SCORED && o.limit > 0 && r->flow[ROW_SCORED] >= o.limit) f = ROW_BEYOND_LIMIT;
        m->fate[row] = f;
        r->flow[f]++;
    }
    if (!check_parts(m, part)) return false;
    r->part = m->has_parts ? part : NULL;
    for (int32_t i = 0; i < m->label.n; i++)
        unknown |= m->class_of_label[i] == LABEL_UNKNOWN && m->label.name[i].size > 0;
    return !unknown || fail_labels(m);
}

/* --- sets --- */

/* Room for the options and references of a set, where the study has them. */
static bool make_own(rows_maker *m, row_set *set, int32_t n)
{
    if (m->at.reference >= 0) set->reference = arena_take(m->a, (size_t)n, sizeof(str), m->e);
    if (!m->option.start) return m->e->code == ERR_NONE;
    set->option_start = arena_take_zero(m->a, (size_t)n + 1, sizeof(int32_t), m->e);
    set->option = arena_take(m->a, (size_t)n * (size_t)m->option.n_most, sizeof(str), m->e);
    return m->e->code == ERR_NONE;
}

static bool set_make(row_set *set, int32_t n, arena *a, err *e)
{
    size_t room = (size_t)n;
    set->table_row = arena_take(a, room, sizeof(int32_t), e);
    set->id = arena_take(a, room, sizeof(str), e);
    set->text = arena_take(a, room, sizeof(str), e);
    set->label = arena_take(a, room, sizeof(int32_t), e);
    set->patient = arena_take(a, room, sizeof(int32_t), e);
    return e->code == ERR_NONE;
}

static str join_text(rows_maker *m, int32_t row)
{
    if (m->at.n_text == 1) return table_cell(m->t, row, m->at.text[0]);
    buf joined = buf_up_to(TABLE_BYTES_MAX);
    for (int32_t i = 0; i < m->at.n_text; i++) {
        str part = table_cell(m->t, row, m->at.text[i]);
        if (is_empty(part)) continue;
        if (joined.size) buf_add_text(&joined, "\n\n");
        buf_add_str(&joined, m->t->column_name[m->at.text[i]]);
        buf_add_text(&joined, ":\n");
        buf_add_str(&joined, part);
    }
    str text = {0};
    if (buf_check(&joined, "a row's text", m->e)) text = str_keep(m->a, buf_view(&joined), m->e);
    buf_close(&joined);
    return text;
}

static row_set *set_of(rows *r, row_fate f)
{
    return f == ROW_SCORED    ? &r->scored
           : f == ROW_EXAMPLE ? &r->pool
           : f == ROW_TUNE    ? &r->tune
                              : NULL;
}

/* The row's own options and reference text. */
static void fill_own(rows_maker *m, row_set *set, int32_t row)
{
    int32_t i = set->n - 1;
    if (set->reference)
        set->reference[i] = str_trim_unicode(table_cell(m->t, row, m->at.reference));
    if (!set->option_start) return;
    int32_t at = set->option_start[i], from = m->option.start[row];
    int32_t n = m->option.start[row + 1] - from;
    memcpy(set->option + at, m->option.text + from, (size_t)n * sizeof(str));
    set->option_start[i + 1] = at + n;
}

static void fill_row(rows_maker *m, row_set *set, int32_t row, names *patient)
{
    int32_t i = set->n++;
    set->table_row[i] = row;
    set->id[i] = cell(m, row, m->at.id);
    set->text[i] = join_text(m, row);
    set->label[i] = m->class[row];
    fill_own(m, set, row);
    set->patient[i] = -1;
    if (set == &m->r->pool && m->r->pool_fold)
        m->r->pool_fold[i] = m->split.fold[names_find(&m->split.id, set->id[i])];
    if (m->at.patient < 0) return;
    str who = cell(m, row, m->at.patient);
    if (who.size) set->patient[i] = names_add(patient, who, NULL);
}

/* The tune rows after those of the study's own part: scored alike, judged apart. */
static void add_tune(rows_maker *m, int32_t n)
{
    rows *r = m->r;
    for (int32_t i = 0; i < n; i++) {
        int32_t at = r->scored.n++;
        r->scored.table_row[at] = r->tune.table_row[i];
        r->scored.id[at] = r->tune.id[i];
        r->scored.text[at] = r->tune.text[i];
        r->scored.label[at] = r->tune.label[i];
        r->scored.patient[at] = r->tune.patient[i];
        fill_own(m, &r->scored, r->tune.table_row[i]);
    }
}

static bool fill_sets(rows_maker *m, rows_options o)
{
    rows *r = m->r;
    names patient;
    int32_t n_tune = spec_scores_tune(m->s) ? r->flow[ROW_TUNE] : 0;
    if (o.limit > 0 && n_tune > o.limit) n_tune = o.limit;
    int32_t n_kept = r->flow[ROW_SCORED] + r->flow[ROW_EXAMPLE] + r->flow[ROW_TUNE];
    if (!names_make(&patient, n_kept, m->a, m->e) ||
        !set_make(&r->scored, r->flow[ROW_SCORED] + n_tune, m->a, m->e) ||
        !set_make(&r->pool, r->flow[ROW_EXAMPLE], m->a, m->e) ||
        !set_make(&r->tune, r->flow[ROW_TUNE], m->a, m->e) ||
        !make_own(m, &r->scored, r->flow[ROW_SCORED] + n_tune) ||
        !make_own(m, &r->pool, r->flow[ROW_EXAMPLE]) || !make_own(m, &r->tune, r->flow[ROW_TUNE]))
        return false;
    if (r->split_rule) {
        r->pool_fold = arena_take(m->a, (size_t)r->flow[ROW_EXAMPLE], sizeof *r->pool_fold, m->e);
        if (!r->pool_fold) return false;
    }
    for (int32_t row = 0; row < r->n_read; row++) {
        row_set *set = set_of(r, m->fate[row]);
        if (set) fill_row(m, set, row, &patient);
    }
    r->n_use = r->scored.n;
    add_tune(m, n_tune);
    r->has_patient = m->at.patient >= 0;
    r->n_patient = patient.n;
    r->patient_id = patient.name;
    return m->e->code == ERR_NONE;
}

static bool fill_groups(rows_maker *m)
{
    rows *r = m->r;
    size_t n_group = (size_t)m->at.n_group, n = (size_t)r->scored.n;
    r->n_group = m->at.n_group;
    r->group_name = arena_take(m->a, n_group, sizeof(str), m->e);
    r->group = arena_take(m->a, n_group * n, sizeof(str), m->e);
    if (m->e->code) return false;
    for (size_t g = 0; g < n_group; g++) {
        r->group_name[g] = m->t->column_name[m->at.group[g]];
        for (size_t i = 0; i < n; i++)
            r->group[g * n + i] = cell(m, r->scored.table_row[i], m->at.group[g]);
    }
    return true;
}

/* --- what is left --- */

static bool fail_empty(rows_maker *m)
{
    const rows *r = m->r;
    if (m->at.split >= 0 && r->flow[ROW_OTHER_SPLIT] + r->flow[ROW_EXAMPLE] + r->flow[ROW_TUNE] +
                                    r->flow[ROW_EXAMPLE_UNUSABLE] ==
                                r->n_read) {
        str use = encoding_cut(m->s->data.use.text, 60);
        return spec_fail(
            m->s, m->s->data.use.line, m->e,
            "no row of %s has '%.*s' in its column '%.60s'; say under 'data: use:' which "
            "rows to score",
            m->t->record.file, (int)use.size, use.data, m->t->column_name[m->at.split].data);
    }
    return err_set(
        m->e, ERR_DATA,
        "%s: no row is left to score: of %d rows, %d have no text, %d no label, %d a label "
        "marked as missing",
        m->t->path, r->n_read, r->flow[ROW_NO_TEXT], r->flow[ROW_NO_LABEL],
        r->flow[ROW_MISSING_LABEL]);
}

static bool check_classes(rows_maker *m, rows_options o)
{
    rows *r = m->r;
    r->n_class = m->s->n_class;
    r->n_of_class = arena_take_zero(m->a, (size_t)r->n_class, sizeof(int32_t), m->e);
    if (!r->n_of_class) return false;
    if (r->n_use == 0) return fail_empty(m);
    if (!spec_has_labels(m->s)) return true; /* compared with references alone */
    for (int32_t i = 0; i < r->n_use; i++) r->n_of_class[r->scored.label[i]]++;
    int32_t positive = m->s->positive, most = 0;
    for (int32_t c = 1; c < r->n_class; c++)
        most = r->n_of_class[c] > r->n_of_class[most] ? c : most;
    bool one_class = r->n_of_class[most] == r->n_use;
    bool no_positive = positive >= 0 && r->n_of_class[positive] == 0;
    if (!one_class && !no_positive) return true;
    str name = encoding_cut(m->s->classes[no_positive ? positive : most].name.text, 60);
    const char *what =
        no_positive ? "no row to score is of class" : "all rows to score are of class";
    if (o.limit == 0)
        return err_set(m->e, ERR_DATA, "%s: %s '%.*s'; an AUROC needs rows of both kinds",
                       m->t->path, what, (int)name.size, name.data);
    warn(m, "With --limit %d, %s '%.*s': no AUROC can be made of them.", o.limit, what,
         (int)name.size, name.data);
    return true;
}

/* What is chosen on tune rows needs some, of both kinds. */
static bool check_tune(rows_maker *m, rows_options o)
{
    rows *r = m->r;
    const spec_evidence *v = &m->s->evidence;
    int32_t n = r->scored.n - r->n_use, n_positive = 0;
    bool isotonic = v->recalibrate == SPEC_RECALIBRATE_ISOTONIC;
    if (!spec_scores_tune(m->s)) return true;
    for (int32_t i = r->n_use; i < r->scored.n; i++)
        n_positive += r->scored.label[i] == m->s->positive;
    int32_t line = v->point != SPEC_POINT_FIXED ? v->line_point : v->line_recalibrate;
    const char *key = v->point != SPEC_POINT_FIXED ? "operating_point" : "recalibrate";
    str tune = encoding_cut(m->s->data.tune.text, 60);
    if (n == 0)
        return spec_fail(m->s, line, m->e,
                         "'%s' is chosen on tune rows, but no row of %s is in part '%.*s'", key,
                         m->t->record.file, (int)tune.size, tune.data);
    if (o.limit > 0) return true;
    if (n_positive == 0 || n_positive == n)
        return spec_fail(m->s, line, m->e,
                         "'%s' is chosen on tune rows, but the %d rows of part '%.*s' are all of "
                         "one kind",
                         key, n, (int)tune.size, tune.data);
    if (isotonic && n < SPEC_ISOTONIC_ROWS)
        return spec_fail(m->s, v->line_recalibrate, m->e,
                         "'recalibrate: isotonic' needs at least %d tune rows and there are %d; "
                         "use platt",
                         SPEC_ISOTONIC_ROWS, n);
    return true;
}

/* --- warnings --- */

/* What spreadsheets make of long numbers: 1.23E+10. */
static bool is_scientific(str s)
{
    size_t e_at = 0, n_digit = 0;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        if (c >= '0' && c <= '9') n_digit++;
        else if (c == 'E' && !e_at && i > 0 && i + 1 < s.size && s.data[i + 1] == '+') e_at = i++;
        else if (c != '.' || i != 1) return false;
    }
    return e_at > 0 && n_digit > 1 && s.data[e_at - 1] != '.' && e_at + 2 < s.size;
}

static int64_t utf16_length(str s)
{
    int64_t n = encoding_count_characters(s);
    for (size_t i = 0; i < s.size; i++) n += (unsigned char)s.data[i] >= 0xF0;
    return n;
}

static void warn_excel(rows_maker *m)
{
    const row_set *set = &m->r->scored;
    int32_t n_cut = 0, n_id = 0, first = 0;
    for (int32_t i = 0; i < set->n; i++) {
        n_id += is_scientific(set->id[i]);
        for (int32_t k = 0; k < m->at.n_text; k++) {
            str text = table_cell(m->t, set->table_row[i], m->at.text[k]);
            if (text.size < 32767 || utf16_length(text) != 32767) continue;
            if (n_cut++ == 0) first = i;
        }
    }
    if (n_cut) {
        str id = encoding_cut(set->id[first], 60);
        warn(m,
             "%d texts have exactly 32,767 characters, the most an Excel cell holds: they were "
             "probably cut by Excel (first: row '%.*s').",
             n_cut, (int)id.size, id.data);
    }
    if (n_id)
        warn(m,
             "%d ids look like 1.23E+10: Excel has rounded long numbers; different rows may have "
             "lost their own ids.",
             n_id);
}

static void warn_table(rows_maker *m)
{
    const table_record *t = &m->t->record;
    if (t->count.n_replacement)
        warn(m,
             "The table holds %lld replacement characters (U+FFFD): an earlier conversion has lost "
             "letters.",
             (long long)t->count.n_replacement);
    if (t->count.n_private)
        warn(m, "The table holds %lld private-use characters, which no model knows.",
             (long long)t->count.n_private);
    if (t->n_blank_end)
        warn(m, "%d rows of empty cells at the end of the table were not counted as rows.",
             t->n_blank_end);
}

/* Same text twice: within the scored rows, and as an example. */
static bool warn_repeats(rows_maker *m)
{
    const rows *r = m->r;
    names text;
    size_t mark = arena_mark(m->a);
    if (!names_make(&text, r->n_use, m->a, m->e)) return false;
    for (int32_t i = 0; i < r->n_use; i++) names_add(&text, str_trim(r->scored.text[i]), NULL);
    int32_t n_repeated = r->n_use - text.n, n_shared = 0;
    for (int32_t i = 0; i < r->pool.n; i++)
        n_shared += names_find(&text, str_trim(r->pool.text[i])) >= 0;
    arena_reset(m->a, mark);
    if (n_repeated)
        warn(m, "%d rows to score repeat the text of another row to score.", n_repeated);
    if (n_shared)
        warn(m, "%d rows of the training part have word for word the text of a row to score.",
             n_shared);
    return m->e->code == ERR_NONE;
}

static void warn_patients(rows_maker *m)
{
    const rows *r = m->r;
    int32_t n_unknown = 0;
    for (int32_t i = 0; i < r->n_use; i++) n_unknown += r->scored.patient[i] < 0;
    if (r->has_patient && n_unknown)
        warn(m, "%d rows to score have an empty patient: each is taken for another patient.",
             n_unknown);
}

/* --- the door --- */

bool rows_make(rows *r, const spec *s, const table *t, rows_options o, arena *a, err *e)
{
    assert(r && s && t && o.limit >= 0);
    *r = (rows){.n_read = t->n_row};
    rows_maker m = {.r = r, .s = s, .t = t, .a = a, .e = e};
    size_t n = (size_t)t->n_row;
    m.fate = arena_take(a, n, sizeof *m.fate, e);
    m.class = arena_take(a, n, sizeof *m.class, e);
    m.class_of_label = arena_take(a, n, sizeof(int32_t), e);
    m.rows_of_label = arena_take(a, n, sizeof(int32_t), e);
    if (e->code || !names_make(&m.id, t->n_row, a, e) || !names_make(&m.label, t->n_row, a, e))
        return false;
    bool ok = find_columns(&m) && options_read(&m.option, s, t, a, e) && decide_all(&m, o) &&
              fill_sets(&m, o) && fill_groups(&m) && check_classes(&m, o) && check_tune(&m, o);
    if (!ok) return false;
    warn_table(&m);
    warn_excel(&m);
    warn_patients(&m);
    if (m.option.n_repeated)
        warn(&m, "%d rows list the same option twice: scored by its text the two get one score.",
             m.option.n_repeated);
    return warn_repeats(&m);
}

int32_t rows_find(const rows *r, str id)
{
    id = str_trim(id);
    for (int32_t i = 0; i < r->scored.n; i++) {
        if (str_equal(r->scored.id[i], id)) return i;
    }
    return -1;
}
