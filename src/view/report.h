/* report: one self-contained HTML page of a study. No script, no outside address, no text of a row.
 *
 * Readable on paper, on a phone and on a desk, light and dark; figures are inline SVG. Each number
 * has a sentence under it for a clinician. What cannot be computed is "not estimable (reason)".
 * Numbers come from `stats` (verdict.h) alone; this module shows them. The rest is plain facts,
 * given as borrowed 0-terminated UTF-8 text and escaped here. NULL or n = 0 leaves a part out.
 */
#ifndef CASELOAD_VIEW_REPORT_H
#define CASELOAD_VIEW_REPORT_H

#include "base/str.h"
#include "stats/verdict.h"

typedef struct report_fact { /* one line of a table of facts */
    const char *name, *value;
    bool code; /* a hash, a file name: set in monospace */
} report_fact;

typedef struct report_facts {
    int32_t n;
    const report_fact *fact;
} report_facts;

typedef struct report_count { /* rows left out, and why */
    const char *reason;
    int64_t n;
    bool printed; /* by other tables too: not to be withheld */
    bool small;   /* with another table a small count could be worked out from it */
} report_count;

typedef struct report_flow {
    const char *source; /* the table's name, without its folder */
    int64_t n_read;     /* rows in the table */
    int32_t n_excluded;
    const report_count *excluded; /* [n_excluded] before scoring: no label, other split, .. */
    int64_t n_asked;              /* rows that were to be scored */
    int32_t n_unscored;
    const report_count *unscored; /* [n_unscored] too long and refused, not reached yet, .. */
} report_flow;

typedef struct report_arm {
    const char *name;
    bool baseline;      /* made without the model: no prompt, tokens, label mass or time */
    const char *detail; /* "3 examples, seed 1"; NULL */
    const char *prompt; /* as the model saw it, with {text} where the row's text stood, and
                           {example 1} .. for texts of examples: never a text */
    int64_t n_cut;      /* rows whose text was cut to fit */
    int64_t n_forced;   /* rows with a forced token boundary */
    double tokens_median, tokens_max;
    double seconds, texts_per_s;     /* of this arm's scoring; 0: not measured */
    int64_t n_forwarded, n_unshared; /* tokens computed; tokens if every prompt stood alone */
} report_arm;

typedef struct report_picture { /* a figure made elsewhere, as <svg> of the page */
    const char *section;        /* a new heading when it differs from the last one's */
    const char *say;            /* under the heading; of the section's first picture */
    const char *svg;
    const char *caption; /* NULL */
    bool wide;           /* of a page's width, not a column's */
} report_picture;

typedef struct report_sheet { /* a table of the paper, as <table> */
    const char *section, *say, *html;
} report_sheet;

typedef struct report_input {
    const char *title;    /* the study's name */
    const char *subtitle; /* model and data in a few words; NULL */
    const char *question;
    const char *const *class_name; /* [stats->n_class] */
    report_flow flow;
    const verdict *stats;
    const report_arm *arm; /* [stats->n_arm] */
    int32_t n_picture;
    const report_picture *picture;
    int32_t n_sheet;
    const report_sheet *sheet;
    const struct evidence *evidence; /* more than stats: evidence.h; NULL: not computed */
    int32_t n_warning;
    const char *const *warning; /* finished sentences; this module adds its own (label mass, few
                                   events, cut texts) */
    report_facts model, data, run, determinism; /* names, hashes, settings, machine, dates */
    const char *version;                        /* of caseload */
    const char *date;                           /* of this page */
} report_input;

/* Appends the page. False (ERR_RESOURCE) when html or the arena is full. */
bool report_write(const report_input *in, arena *scratch, buf *html, err *e);

#endif
