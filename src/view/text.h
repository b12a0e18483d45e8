/* text: a study's arms in a terminal: a table, a ROC figure and a forest of intervals, as text. */
#ifndef CASELOAD_VIEW_TEXT_H
#define CASELOAD_VIEW_TEXT_H

#include "view/report.h"

typedef struct text_style {
    bool colour; /* ANSI colours; only when the reader is a terminal and NO_COLOR is unset */
    bool ascii;  /* no characters beyond ASCII */
    int width;   /* columns; 0 means 80; at least 40 */
} text_style;

/* Each appends lines ending in "\n". */
void text_arms(const report_input *in, text_style style, buf *out);
bool text_roc(const report_input *in, text_style style, arena *scratch, buf *out, err *e);
void text_forest(const report_input *in, text_style style, buf *out);

#endif
