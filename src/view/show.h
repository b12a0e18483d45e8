/* show: from a store to everything that is shown: statistics, results.json, scores.csv, report.html
 * and the closing table. Reads study.db alone: neither model nor table, so old studies can be drawn
 * again anywhere. */
#ifndef CASELOAD_VIEW_SHOW_H
#define CASELOAD_VIEW_SHOW_H

#include "data/store.h"

typedef struct show_options {
    const char *out;  /* the study's folder: holds study.db, takes the files */
    bool colour;      /* of the closing table */
    const char *date; /* "2026-01-31" of the report */
    const char *version;
    bool paper; /* also the folder `paper` (paper.h) */
} show_options;

/* Where a number of the report comes from (explain.h), appended to `shown`; writes nothing. */
bool show_number(const store *s, const show_options *o, const char *number, buf *shown, err *e);

/* Appends the closing table to `shown`. Files are written whole or not at all. */
bool show_study(const store *s, const show_options *o, buf *shown, err *e);

#endif
