/* table: the user's CSV, TSV or JSONL as columns of UTF-8 text in NFC.
 *
 * CSV: the delimiter (comma, semicolon, tab) is the commonest of the three in the header line;
 * quoted cells may hold delimiters, doubled quotes and new lines. A row with more or fewer cells
 * than the header is an error with its row and line; empty lines and rows of empty cells at the end
 * are not rows. A column without a name is called "column 3".
 *
 * JSONL: one object a line; the columns are the keys in order of first sight; numbers keep their
 * spelling, true and false are those words, null and absent keys are empty; a nested value stays as
 * JSON text and its column is marked, for `table_check_flat`.
 *
 * Refused with a sentence: no header or rows, repeated column names, NUL bytes, bytes that do not
 * decode, more than 10 million rows, 4,096 columns or 4 GB, workbooks, compressed files.
 */
#ifndef CASELOAD_DATA_TABLE_H
#define CASELOAD_DATA_TABLE_H

#include "base/hash.h"
#include "base/str.h"
#include "data/encoding.h"

enum { TABLE_ROWS_MAX = 10 * 1000 * 1000, TABLE_COLUMNS_MAX = 4096 };
#define TABLE_BYTES_MAX ((size_t)4 << 30)

typedef enum table_format { TABLE_AUTO, TABLE_CSV, TABLE_TSV, TABLE_JSONL } table_format;

typedef struct table_options { /* zero: look at the file */
    table_format format;       /* auto: by the name's ending, else by the first character */
    char delimiter;            /* 0: look at the header line */
    encoding encoding;
} table_options;

typedef struct table_record { /* how it was read; goes to the store and the report */
    const char *file;         /* base name */
    hash_text hash;           /* of the original bytes */
    int64_t bytes;
    table_format format;
    char delimiter;
    encoding encoding;
    bool has_mark;
    encoding_count count; /* cells brought to NFC, U+FFFD, private-use characters */
    int32_t n_blank_end;  /* rows of empty cells at the end, dropped (Excel writes them) */
} table_record;

typedef struct table {
    int32_t n_row, n_column;
    str *column_name;    /* [n_column], 0-terminated */
    int64_t *cell_start; /* [n_column][n_row + 1]: cell (r, c): bytes[start[c][r] .. [r + 1]) */
    char *bytes;
    int64_t *row_line;   /* [n_row] line of the file, from 1, where the row begins */
    int32_t *nested_row; /* [n_column] first row with a nested value, -1: none */
    const char *path;
    table_record record;
} table;

/* Everything lands in `a`. ERR_DATA "texts.csv: row 12 (line 15): 6 cells, but the header names 7
 * ..." */
bool table_read(table *t, const char *path, table_options o, arena *a, err *e);
bool table_parse(table *t, str bytes, const char *path, table_options o, arena *a, err *e);

int32_t table_find_column(const table *t, str name); /* -1: none */
str table_cell(const table *t, int32_t row, int32_t column);

/* ERR_DATA when a cell of the column holds a JSON list or object. */
bool table_check_flat(const table *t, int32_t column, err *e);

/* ERR_DATA when a cell of the column is longer than 60 characters: a column of subgroups, whose
 * values are printed, is none of texts. */
bool table_check_short(const table *t, int32_t column, err *e);

/* The column of that name; -1 with ERR_USAGE where there is none: the file and its columns are
 * named, the caller puts the place that asked in front (err_in). */
int32_t table_need_column(const table *t, str name, err *e);

/* "its columns are: id, text, ..; did you mean 'text'?" for the end of a message. Where the first
 * line looks like a row that is said instead: a row's text is never shown. */
void table_list_columns(const table *t, str wanted, buf *out);

const char *table_format_name(const table_record *r); /* "CSV, semicolon" */

#endif
