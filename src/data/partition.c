/* partition: see partition.h. This file makes; partition_file.c reads. */
#include "data/partition.h"

#include "data/options.h"
#include "data/rows.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRAIN, TUNE, TEST, PARTS };
static const char *const part_name[PARTS] = {"train", "tune", "test"};

typedef struct unit { /* a patient, or a row without one */
    str name;
    bool is_row;
    int32_t n;        /* rows */
    int32_t stratum;  /* class, -1: none of its rows has one */
    int32_t date;     /* latest, 20260131 */
    bool held, other; /* has rows of a site held out; of others */
    int32_t part, fold;
    hash_text order;
} unit;

typedef struct partition_maker {
    const spec *s;
    const table *t;
    int32_t id, label, patient, date, site; /* columns; -1: none */
    int32_t *class_of;                      /* [n_row] -1: none */
    int32_t *unit_of;                       /* [n_row] */
    bool *held;                             /* [n_row] */
    int32_t *n_of_class;
    unit *unit;
    int32_t n_unit;
    int32_t *order; /* [n_unit] units in the order of dealing */
    arena *a;
    err *e;
} partition_maker;

static str cell(const partition_maker *m, int32_t row, int32_t column)
{
    return str_trim(table_cell(m->t, row, column));
}

/* ---- what the table says ---- */

static bool number_of(str s, size_t from, size_t n, int32_t *out)
{
    *out = 0;
    if (from + n > s.size) return false;
    for (size_t i = from; i < from + n; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') return false;
        *out = 10 * *out + (s.data[i] - '0');
    }
    return true;
}

/* 2026-01-31, 2026/01/31, 2026.01.31, 20260131, a time behind it or not. 0: none of these. */
static int32_t date_of(str s)
{
    int32_t y, m, d;
    bool marked = s.size >= 10 && (s.data[4] == '-' || s.data[4] == '/' || s.data[4] == '.');
    size_t step = marked ? 1 : 0, end = 8 + 2 * step;
    if (marked && s.data[7] != s.data[4]) return 0;
    if (!number_of(s, 0, 4, &y) || !number_of(s, 4 + step, 2, &m) ||
        !number_of(s, 6 + 2 * step, 2, &d))
        return 0;
    if (s.size > end && s.data[end] >= '0' && s.data[end] <= '9') return 0;
    return m >= 1 && m <= 12 && d >= 1 && d <= 31 ? 10000 * y + 100 * m + d : 0;
}

static bool read_units(partition_maker *m)
{
    names ids, patients;
    int32_t n = m->t->n_row;
    if (!names_make(&ids, n, m->a, m->e) || !names_make(&patients, n, m->a, m->e)) return false;
    int32_t *unit_of_patient = arena_take(m->a, (size_t)n, sizeof *unit_of_patient, m->e);
    if (!unit_of_patient) return false;
    for (int32_t i = 0; i < n; i++) {
        bool is_new = true;
        str id = cell(m, i, m->id), who = m->patient >= 0 ? cell(m, i, m->patient) : STR("");
        if (!rows_add_id(&ids, m->t, i, m->id, m->e)) return false;
        int32_t p = who.size ? names_add(&patients, who, &is_new) : -1;
        if (is_new) {
            m->unit[m->n_unit] =
                (unit){.name = who.size ? who : id, .is_row = who.size == 0, .stratum = -1};
            if (p >= 0) unit_of_patient[p] = m->n_unit;
            m->unit_of[i] = m->n_unit++;
        } else {
            m->unit_of[i] = unit_of_patient[p];
        }
        m->unit[m->unit_of[i]].n++;
    }
    return true;
}

/* A patient counts for the rarest class among its rows. */
static void read_classes(partition_maker *m, const options *o)
{
    for (int32_t i = 0; i < m->t->n_row; i++) {
        m->class_of[i] = o->start       ? o->class[i]
                         : m->label < 0 ? -1
                                        : rows_class_of(m->s, cell(m, i, m->label));
        if (m->class_of[i] >= 0) m->n_of_class[m->class_of[i]]++;
    }
    for (int32_t i = 0; i < m->t->n_row; i++) {
        unit *u = &m->unit[m->unit_of[i]];
        int32_t c = m->class_of[i];
        if (c < 0 || m->s->splits.stratify == 1) continue;
        if (u->stratum < 0 || m->n_of_class[c] < m->n_of_class[u->stratum] ||
            (m->n_of_class[c] == m->n_of_class[u->stratum] && c < u->stratum))
            u->stratum = c;
    }
}

static bool read_dates(partition_maker *m)
{
    for (int32_t i = 0; i < m->t->n_row; i++) {
        int32_t date = date_of(cell(m, i, m->date));
        unit *u = &m->unit[m->unit_of[i]];
        if (date == 0)
            return err_set(m->e, ERR_DATA,
                           "%s: row %d (line %lld), column '%.60s': no date such as 2026-01-31; a "
                           "split by time needs one in every row",
                           m->t->path, i + 1, (long long)m->t->row_line[i],
                           m->t->column_name[m->date].data);
        if (date > u->date) u->date = date;
    }
    return true;
}

static bool read_sites(partition_maker *m)
{
    const spec_list *hold = &m->s->splits.hold_out;
    int32_t n_both = 0, first = -1, n_held = 0;
    for (int32_t i = 0; i < m->t->n_row; i++) {
        unit *u = &m->unit[m->unit_of[i]];
        for (int32_t k = 0; k < hold->n; k++)
            m->held[i] = m->held[i] || str_equal(cell(m, i, m->site), str_trim(hold->item[k].text));
        u->held = u->held || m->held[i];
        u->other = u->other || !m->held[i];
        n_held += m->held[i];
    }
    if (n_held == 0 || n_held == m->t->n_row)
        return spec_fail(m->s, hold->line, m->e, "%s of %s is of a site in 'hold_out'",
                         n_held ? "every row" : "no row", m->t->record.file);
    for (int32_t k = 0; k < m->n_unit; k++) {
        if (!m->unit[k].held || !m->unit[k].other) continue;
        if (n_both++ == 0) first = k;
    }
    if (n_both == 0 || m->s->data.across.text.data) return true;
    str who = encoding_cut(m->unit[first].name, 60);
    return err_set(
        m->e, ERR_DATA,
        "%s: %d patients were seen both at a site held out and at another (first: '%.*s'); "
        "leave their rows out, or say under 'data: patients_across_splits: {allowed: ..}' "
        "why they may be in two parts",
        m->t->path, n_both, (int)who.size, who.data);
}

/* ---- dealing ---- */

static int by_stratum_and_hash(const void *a, const void *b, void *context)
{
    const unit *units = context, *x = &units[*(const int32_t *)a], *y = &units[*(const int32_t *)b];
    if (x->stratum != y->stratum) return x->stratum < y->stratum ? -1 : 1;
    int order = strcmp(x->order.hex, y->order.hex);
    return order ? order : str_order(x->name, y->name);
}

static int by_date(const void *a, const void *b, void *context)
{
    const unit *units = context, *x = &units[*(const int32_t *)a], *y = &units[*(const int32_t *)b];
    return (x->date > y->date) - (x->date < y->date);
}

/* An order by chance that depends on the seed, the purpose and the unit's name alone. */
static void shuffle_units(partition_maker *m, const char *purpose)
{
    for (int32_t k = 0; k < m->n_unit; k++) {
        unit *u = &m->unit[k];
        hash_state h;
        char head[64];
        snprintf(head, sizeof head, "%s %llu %d", purpose, (unsigned long long)m->s->splits.seed,
                 u->is_row);
        hash_start(&h);
        hash_add_field(&h, str_of(head));
        hash_add_field(&h, u->name);
        u->order = hash_finish(&h);
        m->order[k] = k;
    }
    qsort_r(m->order, (size_t)m->n_unit, sizeof *m->order, by_stratum_and_hash, m->unit);
}

/* The box that is furthest behind its share once `size` more rows are dealt; ties: the first. */
static int32_t most_behind(const double *share, const int32_t *dealt, int32_t n_box, int32_t size)
{
    int32_t best = -1, total = size;
    double most = 0;
    for (int32_t k = 0; k < n_box; k++) total += dealt[k];
    for (int32_t k = 0; k < n_box; k++) {
        double behind = share[k] * total - dealt[k];
        if (share[k] <= 0 || (best >= 0 && behind <= most)) continue;
        best = k;
        most = behind;
    }
    return best;
}

/* Units without a part (or, for folds, not in test) into boxes by their shares, stratum by
 * stratum. */
static void deal(partition_maker *m, const double *share, int32_t n_box, bool folds)
{
    int32_t dealt[100] = {0}, stratum = -2;
    assert(n_box <= (int32_t)countof(dealt));
    for (int32_t i = 0; i < m->n_unit; i++) {
        unit *u = &m->unit[m->order[i]];
        if (folds ? u->part == TEST : u->held) continue;
        if (u->stratum != stratum) memset(dealt, 0, sizeof dealt);
        stratum = u->stratum;
        int32_t box = most_behind(share, dealt, n_box, u->n);
        dealt[box] += u->n;
        if (folds) u->fold = box + 1;
        else u->part = box;
    }
}

static void deal_by_time(partition_maker *m)
{
    for (int32_t k = 0; k < m->n_unit; k++) m->order[k] = k;
    qsort_r(m->order, (size_t)m->n_unit, sizeof *m->order, by_date, m->unit);
    double all = m->t->n_row, before = 0;
    const int32_t *share = m->s->splits.share;
    for (int32_t i = 0; i < m->n_unit;) {
        int32_t j = i, n = 0;
        for (; j < m->n_unit && m->unit[m->order[j]].date == m->unit[m->order[i]].date; j++)
            n += m->unit[m->order[j]].n;
        double middle = 100 * (before + n / 2.0) / all;
        int32_t part = middle <= share[0] ? TRAIN : middle <= share[0] + share[1] ? TUNE : TEST;
        for (; i < j; i++) m->unit[m->order[i]].part = part;
        before += n;
    }
}

static void deal_parts(partition_maker *m)
{
    const spec_splits *p = &m->s->splits;
    double share[PARTS];
    for (int k = 0; k < PARTS; k++) share[k] = p->share[k] / 100.0;
    if (p->rule == SPEC_SPLIT_TIME) {
        deal_by_time(m);
    } else {
        double rest = share[TRAIN] + share[TUNE];
        bool site = p->rule == SPEC_SPLIT_SITE;
        for (int32_t k = 0; site && k < m->n_unit; k++)
            if (m->unit[k].held) m->unit[k].part = m->unit[k].other ? TRAIN : TEST;
        shuffle_units(m, "part");
        if (site) share[TRAIN] /= rest, share[TUNE] /= rest;
        deal(m, share, site ? TEST : PARTS, false);
    }
    if (p->folds == 0) return;
    double even[100];
    for (int32_t k = 0; k < p->folds; k++) even[k] = 1.0 / p->folds;
    shuffle_units(m, "fold");
    deal(m, even, p->folds, true);
}

static int32_t part_of_row(const partition_maker *m, int32_t row)
{
    return m->held[row] ? TEST : m->unit[m->unit_of[row]].part;
}

/* ---- writing ---- */

static void describe_rule(const partition_maker *m, buf *rule)
{
    const spec_splits *p = &m->s->splits;
    const char *whose = m->patient >= 0 ? "by patient" : "by row";
    if (p->rule == SPEC_SPLIT_TIME) {
        buf_printf(rule, "by time (%s), %s, %d/%d/%d", p->date.text.data, whose, p->share[0],
                   p->share[1], p->share[2]);
    } else if (p->rule == SPEC_SPLIT_SITE) {
        buf_printf(rule, "by site (%s), %s, test", p->site.text.data, whose);
        for (int32_t k = 0; k < p->hold_out.n; k++)
            buf_printf(rule, "%s %s", k ? "," : "", p->hold_out.item[k].text.data);
        buf_printf(rule, "; the others %d/%d", p->share[0], p->share[1]);
    } else {
        buf_printf(rule, "random %s, %d/%d/%d", whose, p->share[0], p->share[1], p->share[2]);
    }
    if (p->rule != SPEC_SPLIT_TIME)
        buf_printf(rule, ", %s, seed %llu", p->stratify == 1 ? "not stratified" : "stratified",
                   (unsigned long long)p->seed);
    if (p->folds) buf_printf(rule, ", %d folds", p->folds);
    for (size_t i = 0; i < rule->size; i++) /* one line, whatever a name holds */
        if ((unsigned char)rule->data[i] < 0x20) rule->data[i] = ' ';
}

static void add_cell(buf *b, str s)
{
    bool quote = false;
    for (size_t i = 0; i < s.size; i++) quote = quote || strchr(",\"\r\n;\t", s.data[i]);
    if (!quote) {
        buf_add_str(b, s);
        return;
    }
    buf_add_char(b, '"');
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] == '"') buf_add_char(b, '"');
        buf_add_char(b, s.data[i]);
    }
    buf_add_char(b, '"');
}

static int by_id(const void *a, const void *b, void *context)
{
    const partition_maker *m = context;
    return str_order(cell(m, *(const int32_t *)a, m->id), cell(m, *(const int32_t *)b, m->id));
}

static bool write_file(partition_maker *m, buf *file, hash_text *hash)
{
    buf rule = buf_up_to(10000), body = buf_up_to(BUF_MAX);
    int32_t *row = arena_take(m->a, (size_t)m->t->n_row, sizeof *row, m->e);
    if (!row) return false;
    describe_rule(m, &rule);
    for (int32_t i = 0; i < m->t->n_row; i++) row[i] = i;
    qsort_r(row, (size_t)m->t->n_row, sizeof *row, by_id, m);
    buf_add_text(&body, "id,split,fold\n");
    for (int32_t i = 0; i < m->t->n_row; i++) {
        int32_t fold = m->unit[m->unit_of[row[i]]].fold, part = part_of_row(m, row[i]);
        add_cell(&body, cell(m, row[i], m->id));
        buf_printf(&body, ",%s,", part_name[part]);
        if (fold && part != TEST) buf_printf(&body, "%d", fold);
        buf_add_char(&body, '\n');
    }
    *hash = partition_seal(buf_view(&rule), buf_view(&body));
    buf_printf(file, "# caseload split 1, sha256 %s, ", hash->hex);
    buf_add_str(file, buf_view(&rule));
    buf_add_char(file, '\n');
    buf_add_str(file, buf_view(&body));
    bool ok = buf_check(&rule, "the split", m->e) && buf_check(&body, "the split", m->e) &&
              buf_check(file, "the split", m->e);
    buf_close(&rule);
    buf_close(&body);
    return ok;
}

static void show_parts(const partition_maker *m, buf *shown)
{
    int32_t positive = m->s->positive, n_test_events = 0;
    buf_printf(shown, "%-8s %8s %8s %8s %10s\n", "part", "rows", "patients", "labelled",
               positive >= 0 ? "positive" : "");
    for (int32_t part = 0; part < PARTS; part++) {
        int32_t n = 0, n_label = 0, n_event = 0, n_patient = 0;
        for (int32_t i = 0; i < m->t->n_row; i++) {
            if (part_of_row(m, i) != part) continue;
            n++;
            n_label += m->class_of[i] >= 0;
            n_event += positive >= 0 && m->class_of[i] == positive;
        }
        for (int32_t k = 0; k < m->n_unit; k++)
            n_patient +=
                m->unit[k].held && !m->unit[k].other ? part == TEST : m->unit[k].part == part;
        buf_printf(shown, "%-8s %8d %8d %8d", part_name[part], n, n_patient, n_label);
        if (positive >= 0) buf_printf(shown, " %10d", n_event);
        buf_add_char(shown, '\n');
        if (part == TEST) n_test_events = n_event;
    }
    if (positive >= 0 && n_test_events < PARTITION_TEST_EVENTS)
        buf_printf(shown,
                   "warning: %d positive rows in test; with fewer than %d an AUROC's interval is "
                   "wide and calibration is hardly judged\n",
                   n_test_events, PARTITION_TEST_EVENTS);
    if (m->patient < 0)
        buf_add_text(shown,
                     "warning: no patient column: if a patient has several rows, they may be "
                     "in several parts; name it under 'data: patient'\n");
}

bool partition_make(const spec *s, const table *t, arena *a, buf *file, buf *shown, err *e)
{
    assert(s && t && file && shown);
    partition_maker m = {.s = s, .t = t, .a = a, .e = e};
    size_t n = (size_t)t->n_row;
    hash_text hash;
    m.id = rows_find_column(s, t, s->data.id, e);
    m.label = rows_find_column(s, t, s->data.label, e);
    m.patient = rows_find_column(s, t, s->data.patient, e);
    m.date = s->splits.rule == SPEC_SPLIT_TIME ? rows_find_column(s, t, s->splits.date, e) : -1;
    m.site = s->splits.rule == SPEC_SPLIT_SITE ? rows_find_column(s, t, s->splits.site, e) : -1;
    m.class_of = arena_take(a, n, sizeof *m.class_of, e);
    m.unit_of = arena_take(a, n, sizeof *m.unit_of, e);
    m.held = arena_take_zero(a, n, sizeof *m.held, e);
    m.n_of_class = arena_take_zero(a, (size_t)s->n_class, sizeof *m.n_of_class, e);
    m.unit = arena_take_zero(a, n, sizeof *m.unit, e);
    m.order = arena_take(a, n, sizeof *m.order, e);
    options own;
    if (e->code != ERR_NONE || !read_units(&m) || !options_read(&own, s, t, a, e)) return false;
    read_classes(&m, &own);
    if (m.date >= 0 && !read_dates(&m)) return false;
    if (m.site >= 0 && !read_sites(&m)) return false;
    deal_parts(&m);
    if (!write_file(&m, file, &hash)) return false;
    show_parts(&m, shown);
    buf_printf(shown, "sha256 %s\n", hash.hex);
    return buf_check(shown, "the split", e);
}
