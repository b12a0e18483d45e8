/* sheet: a table of finished words, in the forms that papers want: CSV (for Excel: UTF-8 with
 * mark, CRLF), HTML (pastes into a word processor as a table), LaTeX (booktabs), and pages of one
 * XLSX workbook.
 *
 * Cells are filled row by row. A cell that would be taken for a formula is marked as text. */
#ifndef CASELOAD_VIEW_SHEET_H
#define CASELOAD_VIEW_SHEET_H

#include "base/str.h"

#include <stdint.h>

enum { SHEET_COLUMNS_MAX = 32 };

typedef struct sheet {
    char id[16]; /* "T2" */
    char caption[300];
    int32_t n_column;
    char column[SHEET_COLUMNS_MAX][80];
    bool number[SHEET_COLUMNS_MAX]; /* set right */
    buf cells;                      /* each 0-terminated */
    int64_t n_cell;
    buf notes; /* each 0-terminated */
} sheet;

void sheet_open(sheet *s, const char *id, const char *caption);
void sheet_close(sheet *s);

void sheet_column(sheet *s, const char *name, bool number);
void sheet_add(sheet *s, str cell);
void sheet_printf(sheet *s, const char *format, ...) PRINTF(2, 3);
void sheet_note(sheet *s, const char *format, ...) PRINTF(2, 3);

void sheet_csv(const sheet *s, buf *out);
void sheet_html(const sheet *s, buf *out);  /* <table>..</table> with caption and notes */
void sheet_latex(const sheet *s, buf *out); /* table environment */

/* One workbook, a page a sheet; written whole or not at all. `date`: "2026-01-31". */
bool sheet_workbook(const sheet *const *s, int32_t n, const char *path, const char *date, err *e);

#endif
