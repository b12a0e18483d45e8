/* table_in: what the readers of CSV and JSONL share: cells in reading order, before they are
 * columns. */
#ifndef CASELOAD_DATA_TABLE_IN_H
#define CASELOAD_DATA_TABLE_IN_H

#include "data/table.h"

typedef struct table_cell_in { /* a cell's bytes lie in builder.bytes */
    int64_t start;
    int32_t size, column;
} table_cell_in;

typedef struct table_builder {
    const char *path;
    buf bytes;      /* names, then cells, in NFC */
    buf cells;      /* table_cell_in[] */
    buf row_first;  /* int64_t[]: each row's first cell */
    buf row_line;   /* int64_t[]: the line each row begins at */
    buf names;      /* table_cell_in[]: the columns */
    buf nested_row; /* int32_t[]: as in table; shorter than names when the rest is -1 */
    int32_t n_row, n_column;
    encoding_count count, count_names;
    int32_t row, column; /* where the reader is: row from 1 (0: the header), column from 0 */
    int64_t line;        /* from 1 */
    bool open_end;       /* CSV: the last row had no line end */
} table_builder;

bool table_csv_read(table_builder *b, str text, char delimiter, err *e);
char table_csv_delimiter(str text,
                         str *rest); /* of the header line; `rest` is after a "sep=;" line */
bool table_jsonl_read(table_builder *b, str text, err *e);

/* "texts.csv: row 12 (line 15), column 'text'" of where the reader is. */
void table_where(const table_builder *b, char out[400]);

bool table_add_name(table_builder *b, str name, err *e);
bool table_start_row(table_builder *b, err *e);
bool table_add_cell(table_builder *b, int32_t column, str cell, err *e);
str table_name_in(const table_builder *b, int32_t column);

#endif
