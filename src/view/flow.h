/* flow: which counts of the way from table to result must not be printed: those from 1 to 4, and
 * enough of the others that none of them can be had by subtraction. Counts that other tables print
 * (texts of the training part, ..) stay; where nothing else can be withheld, the total is. */
#ifndef CASELOAD_VIEW_FLOW_H
#define CASELOAD_VIEW_FLOW_H

#include "view/report.h"

enum { FLOW_REASONS_MAX = 32 };

typedef struct flow_hidden {
    bool read, asked; /* the totals before and after the first step; then their differences too */
    bool excluded[FLOW_REASONS_MAX], unscored[FLOW_REASONS_MAX];
} flow_hidden;

/* More reasons than FLOW_REASONS_MAX: all is withheld. The texts judged, n below, are printed. */
flow_hidden flow_hide(const report_flow *f);

/* "12,345", "<5", "withheld"; a hidden total as more than what is left of it, ">12,340". */
void flow_add(buf *b, int64_t count, bool hidden);
void flow_add_read(buf *b, const report_flow *f, const flow_hidden *h, int64_t n);
void flow_add_asked(buf *b, const report_flow *f, const flow_hidden *h, int64_t n);

/* "134,515,008"; text that is not digits alone as it is. */
void flow_add_digits(buf *b, const char *digits);

#endif
