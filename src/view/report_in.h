/* report_in: what the files of the report share. */
#ifndef CASELOAD_VIEW_REPORT_IN_H
#define CASELOAD_VIEW_REPORT_IN_H

#include "view/report.h"

enum { REPORT_CURVES_MAX = 12, REPORT_COLOURS = 7 };

extern const char report_css[];

/* "0.812", "not estimable (reason)"; "0.775 to 0.846". */
void report_add_value(buf *b, const stat_estimate *o, int decimals);
void report_add_interval(buf *b, bool exists, double low, double high, int decimals);
void report_add_p(buf *b, double p); /* "0.012", "&lt;0.001" */
/* A whole number with thin spaces: 12 345. */
void report_add_count(buf *b, int64_t n);

/* Figures: each appends one <svg>. */
bool report_add_roc(const report_input *in, arena *scratch, buf *b, err *e);
void report_add_forest(const report_input *in, buf *b);
bool report_add_scores(const report_input *in, int32_t arm, arena *scratch, buf *b, err *e);
/* report_evidence.c: what was declared, what was chosen on tune rows, several classes. */
void report_add_primary(const report_input *in, buf *b);
void report_add_choices(const report_input *in, buf *b);
void report_add_sheets(const report_input *in, buf *b);
/* "; weighted mean 0.812 (0.79 to 0.83) .." of an arm over several classes. */
void report_add_multi(const report_input *in, int32_t arm, buf *b);
/* A count of a class, "&lt;5" where it may not be shown. */
void report_add_class_count(const report_input *in, int32_t c, buf *b);
void report_add_events(const report_input *in, buf *b);

/* The line sample of curve k, for the legend. */
void report_add_key(buf *b, int32_t k);

#endif
