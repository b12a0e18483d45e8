/* table_csv: RFC 4180 as it is met in the wild.
 *
 *   row   = cell *(delimiter cell) (LF | CR LF | CR | end)
 *   cell  = quoted | bare
 *   quoted = '"' *(any but '"' | '""') '"'          new lines and delimiters belong to the cell
 *   bare  = *(any but delimiter, LF, CR)            a quote inside is a quote
 *
 * Our own rather than libcsv, which reports no position and, when not strict, reads on after `"a"b`
 * and takes the rows behind it into one cell. Here a closing quote must be followed by a delimiter
 * or the row's end: anything else is an error with its row, column and line. White space stays. */
#include "data/table_in.h"

#include <assert.h>

/* The header line's commonest of comma, semicolon and tab, outside quotes; comma when there is
 * none. */
char table_csv_delimiter(str text, str *rest)
{
    static const char choice[] = {',', ';', '\t'};
    *rest = text;
    if (text.size >= 5 && !memcmp(text.data, "sep=", 4) && text.data[4] > ' ') {
        size_t i = 5; /* Excel's own hint */
        if (i < text.size && text.data[i] == '\r') i++;
        if (i < text.size && text.data[i] == '\n') {
            *rest = str_part(text, i + 1, text.size - i - 1);
            return text.data[4];
        }
    }
    int64_t count[countof(choice)] = {0};
    bool quoted = false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '"') quoted = !quoted;
        if (!quoted && (c == '\n' || c == '\r')) break;
        for (size_t k = 0; k < countof(choice) && !quoted; k++) count[k] += c == choice[k];
    }
    size_t best = 0;
    for (size_t k = 1; k < countof(choice); k++) {
        if (count[k] > count[best]) best = k;
    }
    return choice[best];
}

typedef struct csv_at { /* the reader's place in the text */
    const char *data;
    size_t size, i;
    char delimiter;
    buf cell; /* a quoted cell with its doubled quotes undone */
} csv_at;

static bool ends_row(const csv_at *at)
{
    return at->i == at->size || at->data[at->i] == '\n' || at->data[at->i] == '\r';
}

static str take_bare(csv_at *at)
{
    size_t from = at->i;
    while (!ends_row(at) && at->data[at->i] != at->delimiter) at->i++;
    return (str){at->data + from, at->i - from};
}

/* At the opening quote. A cell without doubled quotes is a view of the text. */
static bool take_quoted(table_builder *b, csv_at *at, str *cell, err *e)
{
    char where[400];
    int64_t line = b->line;
    size_t from = ++at->i;
    buf_clear(&at->cell);
    for (;;) {
        const char *quote =
            at->i < at->size ? memchr(at->data + at->i, '"', at->size - at->i) : NULL;
        size_t end = quote ? (size_t)(quote - at->data) : at->size;
        for (; at->i < end; at->i++) {
            char c = at->data[at->i];
            bool pair = c == '\r' && at->i + 1 < at->size && at->data[at->i + 1] == '\n';
            b->line += c == '\n' || (c == '\r' && !pair);
        }
        if (!quote) {
            b->line = line;
            table_where(b, where);
            return err_set(e, ERR_DATA,
                           "%s: a quote opens here and never closes; double each quote inside a "
                           "quoted cell",
                           where);
        }
        bool doubled = end + 1 < at->size && at->data[end + 1] == '"';
        if (!doubled) break;
        buf_add(&at->cell, at->data + from, end + 1 - from);
        at->i = from = end + 2;
    }
    str rest = {at->data + from, at->i - from};
    if (at->cell.size) {
        buf_add_str(&at->cell, rest);
        rest = buf_view(&at->cell);
    }
    *cell = rest;
    at->i++;
    if (ends_row(at) || at->data[at->i] == at->delimiter) return buf_check(&at->cell, "a cell", e);
    table_where(b, where);
    return err_set(e, ERR_DATA,
                   "%s: text after a closing quote; double each quote inside a quoted cell", where);
}

static bool take_cell(table_builder *b, csv_at *at, err *e)
{
    str cell;
    if (at->i < at->size && at->data[at->i] == '"') {
        if (!take_quoted(b, at, &cell, e)) return false;
    } else {
        cell = take_bare(at);
    }
    return b->row == 0 ? table_add_name(b, cell, e) : table_add_cell(b, b->column, cell, e);
}

/* Only line ends from here to the end of the file? */
static bool is_blank_end(const csv_at *at)
{
    size_t i = at->i;
    while (i < at->size && (at->data[i] == '\n' || at->data[i] == '\r')) i++;
    return i == at->size;
}

static bool take_row(table_builder *b, csv_at *at, err *e)
{
    int64_t line = b->line;
    for (b->column = 0;; b->column++, at->i++) {
        if (b->row > 0 && b->column >= b->n_column) break;
        if (!take_cell(b, at, e)) return false;
        if (ends_row(at)) break;
    }
    int32_t n_cell = b->column + 1;
    if (b->row > 0 && n_cell != b->n_column) {
        return err_set(
            e, ERR_DATA,
            "%s: row %d (line %lld) has %s cells than the %d columns of the header; quote "
            "cells that hold the delimiter or a new line",
            b->path, b->row, (long long)line, n_cell < b->n_column ? "fewer" : "more", b->n_column);
    }
    b->open_end = at->i == at->size;
    if (b->open_end) return true;
    bool cr = at->data[at->i++] == '\r';
    if (cr && at->i < at->size && at->data[at->i] == '\n') at->i++;
    b->line++;
    return true;
}

bool table_csv_read(table_builder *b, str text, char delimiter, err *e)
{
    assert(b->n_row == 0 && b->line > 0);
    csv_at at = {.data = text.data,
                 .size = text.size,
                 .delimiter = delimiter,
                 .cell = buf_up_to(TABLE_BYTES_MAX)};
    bool ok = true;
    while (ok && !is_blank_end(&at)) {
        if (b->row > 0) ok = table_start_row(b, e);
        ok = ok && take_row(b, &at, e);
        b->row += ok;
    }
    buf_close(&at.cell);
    return ok;
}
