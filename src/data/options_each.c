/* options_each: questions with several right options, as one row an option; see options.h. The new
 * table is written column by column. */
#include "data/options_in.h"

#include "data/rows.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>

typedef struct each {
    options_reader reader;
    options option;
    int32_t *item_start; /* [n_row + 1] into item: what a label names */
    str *item;
    uint8_t *right; /* [n_text] */
    buf items;      /* str[] while read */
    int32_t n_item;
} each;

/* --- labels --- */

static bool add_item(each *m, str item)
{
    buf_add(&m->items, &item, sizeof item);
    m->n_item++;
    return buf_check(&m->items, "the labels", m->reader.e);
}

static bool add_json(each *m, int32_t row, const json_t *item)
{
    char number[32];
    options_reader *r = &m->reader;
    str text = {json_string_value(item), json_string_length(item)};
    if (json_is_integer(item)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(item));
        text = str_of(number);
    } else if (!json_is_string(item)) {
        return options_fail_row(r, row, "its label is a list of neither texts nor whole numbers");
    }
    str kept = str_keep(r->a, str_trim_unicode(text), r->e);
    return kept.data && add_item(m, kept);
}

static bool read_list(each *m, int32_t row, str cell)
{
    json_error_t why;
    json_t *list = json_loadb(cell.data, cell.size, JSON_REJECT_DUPLICATES, &why);
    bool ok = json_is_array(list) ||
              options_fail_row(&m->reader, row, "its label is no list that can be read");
    for (size_t i = 0; ok && i < json_array_size(list); i++)
        ok = add_json(m, row, json_array_get(list, i));
    json_decref(list);
    return ok;
}

static bool read_items(each *m, int32_t row)
{
    options_reader *r = &m->reader;
    str cell = str_trim_unicode(table_cell(r->t, row, r->label));
    m->item_start[row] = m->n_item;
    if (!options_has_label(r, row)) return true;
    if (cell.data[0] == '[') return read_list(m, row, cell);
    for (size_t i = 0, from = 0; i <= cell.size; i++) {
        if (i < cell.size && cell.data[i] != ',' && cell.data[i] != ';') continue;
        str item = str_trim_unicode(str_part(cell, from, i - from));
        if (item.size > 0 && !add_item(m, item)) return false;
        from = i + 1;
    }
    return true;
}

static int32_t named(const each *m, const options_reading *how, int32_t row, int32_t item)
{
    const options *o = &m->option;
    return how->find(o->text + o->start[row], o->start[row + 1] - o->start[row], m->item[item]);
}

/* The first row with an item that the reading does not know; -1: none. */
static int32_t first_misfit(const each *m, const options_reading *how)
{
    for (int32_t row = 0; row < m->option.n_row; row++) {
        for (int32_t i = m->item_start[row]; i < m->item_start[row + 1]; i++) {
            if (named(m, how, row, i) < 0) return row;
        }
    }
    return -1;
}

static bool same(const each *m, const options_reading *a, const options_reading *b)
{
    for (int32_t row = 0; row < m->option.n_row; row++) {
        for (int32_t i = m->item_start[row]; i < m->item_start[row + 1]; i++) {
            if (named(m, a, row, i) != named(m, b, row, i)) return false;
        }
    }
    return true;
}

static const options_reading *choose(each *m)
{
    options_reader *r = &m->reader;
    const spec_data *d = &r->s->data;
    const options_reading *found = NULL;
    int32_t misfit = 0;
    for (size_t i = 0; i < OPTIONS_READINGS; i++) {
        const options_reading *how = &options_readings[i];
        if (d->label_is != SPEC_LABEL_AUTO && d->label_is != how->is) continue;
        int32_t row = first_misfit(m, how);
        misfit = row > misfit ? row : misfit;
        if (row >= 0) continue;
        if (found && !same(m, found, how)) {
            spec_fail(r->s, d->label.line, r->e,
                      "every label is both %s and %s, which mean different options; add "
                      "'label_is: %s' or 'label_is: %s' under 'data'",
                      found->words, how->words, found->key, how->key);
            return NULL;
        }
        if (!found) found = how;
    }
    if (!found)
        options_fail_row(r, misfit,
                         "an item of its label names none of its options; say under 'data: "
                         "label_is' what items are (letter, number, number-from-1 or text)");
    return found;
}

static bool find_right(each *m)
{
    options_reader *r = &m->reader;
    size_t n_row = (size_t)m->option.n_row;
    m->items = buf_up_to(TABLE_BYTES_MAX);
    m->item_start = arena_take(r->a, n_row + 1, sizeof(int32_t), r->e);
    m->right = arena_take_zero(r->a, (size_t)r->n_text, 1, r->e);
    bool ok = m->item_start && m->right;
    for (int32_t row = 0; ok && row < m->option.n_row; row++) ok = read_items(m, row);
    if (ok) m->item_start[n_row] = m->n_item;
    m->item = ok ? arena_take(r->a, (size_t)m->n_item + 1, sizeof(str), r->e) : NULL;
    if (m->item && m->n_item > 0) memcpy(m->item, m->items.data, (size_t)m->n_item * sizeof(str));
    buf_close(&m->items);
    const options_reading *how = m->item ? choose(m) : NULL;
    if (!how) return false;
    for (int32_t row = 0; row < m->option.n_row; row++) {
        for (int32_t i = m->item_start[row]; i < m->item_start[row + 1]; i++)
            m->right[m->option.start[row] + named(m, how, row, i)] = 1;
    }
    return true;
}

/* --- the table of options --- */

typedef struct writer {
    const each *m;
    table made;
    buf bytes;
    str label[2]; /* names of the classes: of a wrong option, of a right one */
} writer;

/* Cell of the column for option i (all options counted) of the row. Columns behind the old ones:
 * the option, the question's id. */
static void add_cell(writer *w, int32_t column, int32_t row, int32_t i)
{
    const options_reader *r = &w->m->reader;
    const options *o = &w->m->option;
    const table *t = r->t;
    if (column == t->n_column) {
        buf_add_str(&w->bytes, o->text[i]);
        return;
    }
    if (column == t->n_column + 1) {
        buf_add_str(&w->bytes, str_trim(table_cell(t, row, r->id)));
        return;
    }
    if (column == r->label && options_has_label(r, row)) {
        buf_add_str(&w->bytes, w->label[w->m->right[i]]);
        return;
    }
    str cell = table_cell(t, row, column);
    if (column == r->id) cell = str_trim(cell);
    buf_add_str(&w->bytes, cell);
    if (column == r->id && cell.size > 0)
        buf_printf(&w->bytes, "/%c", (char)('A' + (i - o->start[row])));
}

static void write_column(writer *w, int32_t column)
{
    const options *o = &w->m->option;
    const table *t = w->m->reader.t;
    int64_t *start = w->made.cell_start + (int64_t)column * (w->made.n_row + 1);
    for (int32_t row = 0; row < t->n_row; row++) {
        for (int32_t i = o->start[row]; i < o->start[row + 1]; i++) {
            start[i] = (int64_t)w->bytes.size;
            add_cell(w, column, row, i);
            w->made.row_line[i] = t->row_line[row];
        }
    }
    start[w->made.n_row] = (int64_t)w->bytes.size;
}

static str free_name(const table *t, const char *const *names, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (table_find_column(t, str_of(names[i])) < 0) return str_of(names[i]);
    }
    return str_of(names[n - 1]);
}

/* Takes what the new table needs; names its columns. */
static bool make_room(writer *w)
{
    static const char *const options[] = {"option", "the option", "option of the question"},
                             *const ids[] = {"question id", "id of the question", "asked under"};
    const options_reader *r = &w->m->reader;
    const table *t = r->t;
    size_t n_column = (size_t)t->n_column + 2, n_row = (size_t)r->n_text;
    w->made = *t;
    w->made.n_row = r->n_text;
    w->made.n_column = (int32_t)n_column;
    w->made.column_name = arena_take(r->a, n_column, sizeof(str), r->e);
    w->made.cell_start = arena_take(r->a, n_column * (n_row + 1), sizeof(int64_t), r->e);
    w->made.row_line = arena_take(r->a, n_row, sizeof(int64_t), r->e);
    w->made.nested_row = arena_take(r->a, n_column, sizeof(int32_t), r->e);
    if (r->e->code) return false;
    for (int32_t c = 0; c < t->n_column; c++) {
        w->made.column_name[c] = t->column_name[c];
        w->made.nested_row[c] =
            t->nested_row[c] < 0 || c == r->label ? -1 : w->m->option.start[t->nested_row[c]];
    }
    w->made.column_name[t->n_column] = free_name(t, options, (int32_t)countof(options));
    w->made.column_name[t->n_column + 1] = free_name(t, ids, (int32_t)countof(ids));
    w->made.nested_row[t->n_column] = w->made.nested_row[t->n_column + 1] = -1;
    return true;
}

static bool write_table(writer *w, table *t)
{
    const options_reader *r = &w->m->reader;
    if (!make_room(w)) return false;
    w->bytes = buf_up_to(TABLE_BYTES_MAX);
    for (int32_t c = 0; c < w->made.n_column; c++) write_column(w, c);
    bool ok = buf_check(&w->bytes, "the table of options", r->e);
    w->made.bytes = ok ? arena_take(r->a, w->bytes.size + 1, 1, r->e) : NULL;
    if (w->made.bytes) memcpy(w->made.bytes, w->bytes.data, w->bytes.size);
    buf_close(&w->bytes);
    if (!w->made.bytes) return false;
    *t = w->made;
    return true;
}

/* The study reads the option too, and knows which options belong together. */
static bool change_study(spec *s, const table *t, arena *a, err *e)
{
    spec_data *d = &s->data;
    spec_text *text = arena_take(a, (size_t)d->text.n + 1, sizeof *text, e);
    if (!text) return false;
    for (int32_t i = 0; i < d->text.n; i++) text[i] = d->text.item[i];
    text[d->text.n] = (spec_text){t->column_name[t->n_column - 2], d->options.line};
    d->text.item = text;
    d->text.n++;
    if (!d->patient.text.data)
        d->patient = (spec_text){t->column_name[t->n_column - 1], d->options.line};
    d->options = (spec_list){0};
    return true;
}

bool options_each(spec *s, table *t, arena *a, err *e)
{
    if (s->data.several == SPEC_ONE_RIGHT) return true;
    assert(s->n_class == 2 && s->positive >= 0);
    each m = {.option = {0}};
    m.reader = (options_reader){.o = &m.option, .s = s, .t = t, .a = a, .e = e};
    if (!options_read_lists(&m.reader) || !find_right(&m)) return false;
    writer w = {.m = &m};
    for (int right = 0; right < 2; right++)
        w.label[right] = s->classes[right ? s->positive : 1 - s->positive].name.text;
    return write_table(&w, t) && change_study(s, t, a, e);
}
