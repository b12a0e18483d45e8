/* gather: from a store to all that a view shows: the study's rows and arms, statistics, records,
 * and the words of the report. Reads study.db alone: neither model nor table. Every view (page,
 * paper, explain, JSON) draws from one of these, so that no two of them can disagree.
 */
#ifndef CASELOAD_VIEW_GATHER_H
#define CASELOAD_VIEW_GATHER_H

#include "data/store.h"
#include "view/report.h"

typedef struct gather { /* changes nowhere once open */
    arena memory;       /* holds all below; also scratch of who draws */
    store_study study;
    store_results *got; /* [n_arm] */
    /* Tune rows of the store, of which no statistic is made; study.row and got hold the others. */
    int32_t n_tune;
    const store_row *tune_row;
    store_results *tune_got; /* [n_arm]; rows count from the first tune row */
    verdict stats;
    report_arm *arm;       /* [n_arm] */
    report_input in;       /* of report, results, text */
    struct json_t *record; /* {"meta": {..}, "runs": [..]} */
} gather;

/* `version` of caseload and `date` ("2026-01-31") are borrowed. */
bool gather_open(gather *g, const store *s, const char *version, const char *date, err *e);
void gather_close(gather *g);

/* A fact of the store, "" when absent; that of one arm under "what/arm". */
const char *gather_fact(const gather *g, const char *key);

/* Rows of a store that are judged: the rest, behind them, are tune rows. All in older stores. */
bool gather_rows_use(const store *s, const store_study *study, int32_t *n, err *e);

#endif
