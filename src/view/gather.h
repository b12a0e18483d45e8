/* gather: from a store to all that a view shows: the study's rows and arms, statistics, records,
 * and the words of the report. Reads study.db alone: neither model nor table. Every view (page,
 * paper, explain, JSON) draws from one of these, so that no two of them can disagree.
 */
#ifndef CASELOAD_VIEW_GATHER_H
#define CASELOAD_VIEW_GATHER_H

#include "data/store.h"
#include "stats/margins.h"
#include "view/report.h"

enum { GATHER_PLACES_MAX = 26, GATHER_FACTORS = 6 }; /* letters; see gather_factor */

/* A thing in which an arm's ways differ (wording, label words, label order, ..): the mean AUROC of
 * the ways at each of its levels, and how far these lie apart. */
typedef struct gather_factor {
    const char *name;
    int32_t n_level;
    double mean, sd, low, high; /* of the levels' means */
} gather_factor;

/* A place in a list of options, over the ways in which each option stood at each place; or, where
 * options keep their places, over rows. Of judged rows with all options. */
typedef struct gather_place {
    int64_t n_chosen; /* most probable was the option here */
    int64_t n_held;   /* the right option stood here .. */
    int64_t n_right;  /* .. and was chosen */
    double share, sd; /* of a row's ways, those that chose this place: mean, SD over rows */
} gather_place;

/* An arm that asks each row in several ways, or has texts generated (store_parts.h). Of judged
 * rows. */
typedef struct gather_ways {
    int32_t n_way;              /* most of a row, without references; 0: asked in one way */
    int32_t n_auroc;            /* ways that scored every judged row, of which: */
    double mean, sd, low, high; /* of their AUROCs */
    int32_t n_factor;           /* with several levels */
    gather_factor factor[GATHER_FACTORS];
    int64_t n_row, n_turned; /* rows with several ways; whose most probable class depends on it */
    int64_t n_sample, n_unparsed, n_parsed, n_long; /* n_long: ended by the limit of tokens */
    int64_t n_token;                                /* generated */
    int32_t *vote;   /* [judged rows x (classes + 1)] texts that say each class, and none (votes.h);
                      NULL: none are generated */
    int32_t n_place; /* of the list of options; 0: no list */
    bool turned;     /* each option stood at each place */
    int64_t n_placed;        /* rows of it */
    gather_place *place;     /* [n_place] */
    margins_test place_test; /* are places chosen alike; or as often as they hold the right option?
                                By patient when there are clusters */
} gather_ways;

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
    gather_ways *ways;     /* [n_arm] */
    report_input in;       /* of report, results, text */
    struct json_t *record; /* {"meta": {..}, "runs": [..]} */
} gather;

/* `version` of caseload and `date` ("2026-01-31") are borrowed. */
bool gather_open(gather *g, const store *s, const char *version, const char *date, err *e);
void gather_close(gather *g);

/* A fact of the store, "" when absent; that of one arm under "what/arm". */
const char *gather_fact(const gather *g, const char *key);

bool gather_read_ways(gather *g, const store *s, err *e); /* after the statistics */

/* Rows of a store that are judged: the rest, behind them, are tune rows. All in older stores. */
bool gather_rows_use(const store *s, const store_study *study, int32_t *n, err *e);

#endif
