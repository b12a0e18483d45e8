/* table_check: what must hold of any table that was read, and that written out it reads back the
 * same. */
#ifndef CASELOAD_FUZZ_TABLE_CHECK_H
#define CASELOAD_FUZZ_TABLE_CHECK_H

#include "data/table.h"

#include <stdlib.h>

static inline void add_csv(buf *out, str s)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] == '"') buf_add_char(out, '"');
        buf_add_char(out, s.data[i]);
    }
    buf_add_char(out, '"');
}

static inline void add_json(buf *out, str s)
{
    buf_add_char(out, '"');
    buf_add_json(out, s);
    buf_add_char(out, '"');
}

static inline void write_table(const table *t, bool json, buf *out)
{
    for (int32_t r = json ? 0 : -1; r < t->n_row; r++) {
        if (json) buf_add_char(out, '{');
        for (int32_t c = 0; c < t->n_column; c++) {
            str s = r < 0 ? t->column_name[c] : table_cell(t, r, c);
            if (c) buf_add_char(out, ',');
            if (json) add_json(out, t->column_name[c]);
            if (json) buf_add_char(out, ':');
            if (json) add_json(out, s);
            else add_csv(out, s);
        }
        buf_add_text(out, json ? "}\n" : "\r\n");
    }
}

static inline void check_again(const table *t, bool json)
{
    err e = {0};
    arena a;
    table again;
    buf out = buf_up_to((size_t)1 << 30);
    if (!arena_open(&a, (size_t)1 << 32, "again", &e)) abort();
    write_table(t, json, &out);
    table_options o = {.encoding = ENCODING_UTF8,
                       .format = json ? TABLE_JSONL : TABLE_CSV,
                       .delimiter = ','};
    if (!table_parse(&again, buf_view(&out), "again", o, &a, &e)) abort();
    if (again.n_row != t->n_row || again.n_column != t->n_column) abort();
    for (int32_t c = 0; c < t->n_column; c++) {
        if (!str_equal(t->column_name[c], again.column_name[c])) abort();
        for (int32_t r = 0; r < t->n_row; r++) {
            if (!str_equal(table_cell(t, r, c), table_cell(&again, r, c))) abort();
        }
    }
    buf_close(&out);
    arena_close(&a);
}

static inline void check_table(const uint8_t *data, size_t size, const char *name, bool json)
{
    err e = {0};
    arena a;
    table t;
    if (!arena_open(&a, (size_t)1 << 32, "fuzz", &e)) abort();
    bool good = table_parse(&t, (str){(const char *)data, size}, name, (table_options){0}, &a, &e);
    if (good != (e.code == ERR_NONE)) abort();
    if (!good && encoding_utf8_valid(str_of(e.text)) >= 0) abort();
    if (good && (t.n_row < 1 || t.n_column < 1)) abort();
    for (int32_t c = 0; good && c < t.n_column; c++) {
        for (int32_t r = 0; r < t.n_row; r++) {
            str s = table_cell(&t, r, c);
            if (encoding_utf8_valid(s) >= 0 || memchr(s.data, 0, s.size)) abort();
        }
    }
    if (good) check_again(&t, json);
    arena_close(&a);
}

#endif
