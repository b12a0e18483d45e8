/* options: see options.h. */
#include "data/options_in.h"

#include "data/rows.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>

bool options_fail_row(options_reader *r, int32_t row, const char *what)
{
    str id = encoding_cut(str_trim(table_cell(r->t, row, r->id)), 60);
    return err_set(r->e, ERR_DATA, "%s: row '%.*s' (line %lld): %s", r->t->path, (int)id.size,
                   id.data, (long long)r->t->row_line[row], what);
}

/* --- lists --- */

static bool add_text(options_reader *r, str text)
{
    str kept = str_trim_unicode(text);
    buf_add(&r->text, &kept, sizeof kept);
    r->n_text++;
    return buf_check(&r->text, "the options", r->e);
}

static bool add_json(options_reader *r, int32_t row, const json_t *item)
{
    if (json_is_string(item)) {
        buf composed = buf_up_to(TABLE_BYTES_MAX);
        encoding_count unused = {0};
        str raw = {json_string_value(item), json_string_length(item)};
        encoding_add_nfc(&composed, raw, &unused);
        bool ok = buf_check(&composed, "an option", r->e);
        str kept = ok ? str_keep(r->a, buf_view(&composed), r->e) : STR("");
        buf_close(&composed);
        if (!ok || r->e->code) return false;
        if (str_trim_unicode(kept).size == 0) return options_fail_row(r, row, "an option is empty");
        return add_text(r, kept);
    }
    char number[64];
    if (json_is_integer(item))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(item));
    else if (json_is_real(item)) snprintf(number, sizeof number, "%.15g", json_real_value(item));
    else return options_fail_row(r, row, "an option is neither text nor number");
    str kept = str_keep(r->a, str_of(number), r->e);
    return r->e->code == ERR_NONE && add_text(r, kept);
}

static bool read_list(options_reader *r, int32_t row)
{
    str cell = str_trim(table_cell(r->t, row, r->column[0]));
    if (cell.size == 0 || cell.data[0] != '[')
        return options_fail_row(
            r, row,
            "its options are no list such as [\"yes\", \"no\"]; name a column of "
            "lists, or one column for each option");
    json_error_t why;
    json_t *list = json_loadb(cell.data, cell.size, JSON_REJECT_DUPLICATES, &why);
    bool ok =
        json_is_array(list) || options_fail_row(r, row, "its options are no list that can be read");
    for (size_t i = 0; ok && i < json_array_size(list); i++)
        ok = add_json(r, row, json_array_get(list, i));
    json_decref(list);
    return ok;
}

static bool read_cells(options_reader *r, int32_t row)
{
    int32_t n = r->n_column;
    while (n > 0 && str_trim_unicode(table_cell(r->t, row, r->column[n - 1])).size == 0) n--;
    for (int32_t i = 0; i < n; i++) {
        str cell = table_cell(r->t, row, r->column[i]);
        if (str_trim_unicode(cell).size == 0)
            return options_fail_row(r, row, "an option between others is empty");
        if (!add_text(r, cell)) return false;
    }
    return true;
}

static const str *texts(const options_reader *r) { return (const str *)(const void *)r->text.data; }

static bool read_row(options_reader *r, int32_t row)
{
    char what[120];
    options *o = r->o;
    bool any = r->s->lettered || r->s->data.several == SPEC_EACH_OPTION;
    int32_t most = any ? SPEC_OPTIONS_MAX : r->s->n_class;
    o->start[row] = r->n_text;
    if (!(r->n_column == 1 ? read_list(r, row) : read_cells(r, row))) return false;
    int32_t n = r->n_text - o->start[row];
    bool twice = false;
    for (int32_t i = 0; i < n; i++) {
        for (int32_t k = 0; k < i; k++)
            twice = twice || str_equal(texts(r)[o->start[row] + i], texts(r)[o->start[row] + k]);
    }
    o->n_repeated += twice;
    if (n > o->n_most) o->n_most = n;
    if (n >= 2 && n <= most) return true;
    snprintf(what, sizeof what, "it has %d option%s, and the study takes from 2 to %d", n,
             n == 1 ? "" : "s", most);
    return options_fail_row(r, row, what);
}

/* --- the right one --- */

static int32_t by_letter(const str *option, int32_t n, str label)
{
    (void)option;
    if (label.size != 1) return -1;
    char c = label.data[0] >= 'a' ? (char)(label.data[0] - 32) : label.data[0];
    return c >= 'A' && c < 'A' + n ? c - 'A' : -1;
}

static int32_t by_number(int32_t n, str label, int32_t first)
{
    int64_t x = 0;
    return str_to_int(label, &x) && x >= first && x < n + first ? (int32_t)(x - first) : -1;
}

static int32_t by_number_from_0(const str *option, int32_t n, str label)
{
    (void)option;
    return by_number(n, label, 0);
}

static int32_t by_number_from_1(const str *option, int32_t n, str label)
{
    (void)option;
    return by_number(n, label, 1);
}

static int32_t by_text(const str *option, int32_t n, str label)
{
    int32_t found = -1;
    for (int32_t i = 0; i < n; i++) {
        if (!str_equal(option[i], label)) continue;
        if (found >= 0) return -1; /* which of two? */
        found = i;
    }
    return found;
}

const options_reading options_readings[OPTIONS_READINGS] = {
    {SPEC_LABEL_LETTER, "a letter", "letter", by_letter},
    {SPEC_LABEL_NUMBER, "a number from 0", "number", by_number_from_0},
    {SPEC_LABEL_NUMBER_FROM_1, "a number from 1", "number-from-1", by_number_from_1},
    {SPEC_LABEL_TEXT, "an option's text", "text", by_text},
};

bool options_has_label(const options_reader *r, int32_t row)
{
    str label = str_trim_unicode(table_cell(r->t, row, r->label));
    for (int32_t i = 0; i < r->s->data.missing.n; i++) {
        if (str_equal(str_trim(r->s->data.missing.item[i].text), label)) return false;
    }
    return label.size > 0;
}

static int32_t read_label(const options_reader *r, size_t reading, int32_t row)
{
    const options *o = r->o;
    str label = str_trim_unicode(table_cell(r->t, row, r->label));
    return options_readings[reading].find(o->text + o->start[row],
                                          o->start[row + 1] - o->start[row], label);
}

/* The first row that the reading does not fit; -1: it fits all. */
static int32_t first_misfit(const options_reader *r, size_t reading, int32_t *n_fit)
{
    int32_t first = -1;
    *n_fit = 0;
    for (int32_t row = 0; row < r->t->n_row; row++) {
        if (!options_has_label(r, row)) continue;
        bool fits = read_label(r, reading, row) >= 0;
        *n_fit += fits;
        if (!fits && first < 0) first = row;
    }
    return first;
}

static bool fail_reading(options_reader *r, size_t reading, int32_t row)
{
    char what[200];
    snprintf(what, sizeof what,
             "its label names none of its %d options as %s; say under 'data: label_is' what the "
             "label is (letter, number, number-from-1 or text)",
             r->o->start[row + 1] - r->o->start[row], options_readings[reading].words);
    return options_fail_row(r, row, what);
}

static bool same_reading(const options_reader *r, size_t a, size_t b)
{
    for (int32_t row = 0; row < r->t->n_row; row++) {
        if (options_has_label(r, row) && read_label(r, a, row) != read_label(r, b, row))
            return false;
    }
    return true;
}

static bool choose_reading(options_reader *r, size_t *chosen)
{
    int32_t best = -1, misfit[OPTIONS_READINGS];
    size_t nearest = 0;
    bool found = false;
    for (size_t i = 0; i < OPTIONS_READINGS; i++) {
        int32_t n_fit = 0;
        misfit[i] = first_misfit(r, i, &n_fit);
        if (n_fit > best) best = n_fit, nearest = i;
        if (misfit[i] >= 0) continue;
        if (found && !same_reading(r, *chosen, i))
            return spec_fail(r->s, r->s->data.label.line, r->e,
                             "every label is both %s and %s, which mean different options; add "
                             "'label_is: %s' or 'label_is: %s' under 'data'",
                             options_readings[*chosen].words, options_readings[i].words,
                             options_readings[*chosen].key, options_readings[i].key);
        if (!found) *chosen = i;
        found = true;
    }
    return found || fail_reading(r, nearest, misfit[nearest]);
}

static bool find_right(options_reader *r)
{
    options *o = r->o;
    size_t reading = 0;
    const spec_data *d = &r->s->data;
    for (int32_t row = 0; d->n_labels > 0 && row < o->n_row; row++)
        o->class[row] = rows_class_of(r->s, str_trim(table_cell(r->t, row, r->label)));
    if (d->n_labels > 0) return true;
    if (!table_check_flat(r->t, r->label, r->e))
        return err_in(r->e, "a question with several right options has no one class; `several: "
                            "each` under `data` asks about each option by itself");
    if (d->label_is == SPEC_LABEL_AUTO) {
        if (!choose_reading(r, &reading)) return false;
    } else {
        while (options_readings[reading].is != d->label_is) reading++;
        int32_t n_fit = 0, misfit = first_misfit(r, reading, &n_fit);
        if (misfit >= 0) return fail_reading(r, reading, misfit);
    }
    for (int32_t row = 0; row < o->n_row; row++)
        o->class[row] = options_has_label(r, row) ? read_label(r, reading, row) : -1;
    return true;
}

/* --- the door --- */

bool options_read_lists(options_reader *r)
{
    options *o = r->o;
    const spec_data *d = &r->s->data;
    o->n_row = r->t->n_row;
    r->n_column = d->options.n;
    r->id = rows_find_column(r->s, r->t, d->id, r->e);
    r->label = rows_find_column(r->s, r->t, d->label, r->e);
    for (int32_t i = 0; i < d->options.n; i++)
        r->column[i] = rows_find_column(r->s, r->t, d->options.item[i], r->e);
    o->start = arena_take(r->a, (size_t)r->t->n_row + 1, sizeof *o->start, r->e);
    if (r->e->code) return false;
    r->text = buf_up_to(TABLE_BYTES_MAX);
    bool ok = true;
    for (int32_t row = 0; ok && row < r->t->n_row; row++) ok = read_row(r, row);
    o->start[r->t->n_row] = r->n_text;
    o->text = ok ? arena_take(r->a, (size_t)r->n_text, sizeof(str), r->e) : NULL;
    if (o->text) memcpy(o->text, r->text.data, (size_t)r->n_text * sizeof(str));
    buf_close(&r->text);
    return o->text != NULL;
}

bool options_read(options *o, const spec *s, const table *t, arena *a, err *e)
{
    *o = (options){.n_row = t->n_row};
    if (s->data.options.n == 0) return true;
    options_reader r = {.o = o, .s = s, .t = t, .a = a, .e = e};
    o->class = arena_take(a, (size_t)t->n_row, sizeof *o->class, e);
    return o->class && options_read_lists(&r) && find_right(&r);
}

bool options_complete(spec *s, const table *t, arena *a, err *e)
{
    options o;
    if (!s->lettered) return true;
    size_t mark = arena_mark(a);
    if (!options_read(&o, s, t, a, e)) return false;
    arena_reset(a, mark);
    s->n_class = o.n_most;
    if (s->n_class == 2) s->positive = 0;
    return true;
}
