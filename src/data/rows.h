/* rows: the study's view of its table: which rows are asked about, which may serve as examples, and
 * why every other row is not there. Nothing is dropped in silence: n_read = the sum of `flow`.
 *
 * A row's text is its text column, or its text columns joined as "name:\ncell" with an empty line
 * between them (empty cells left out). Labels are class indices. Ids, labels, splits and patients
 * are compared without white space at their ends. Row numbers in messages count from 1, the header
 * apart.
 *
 * Errors (ERR_DATA): an empty or repeated id, a label value that no class has (all are listed, with
 * counts), no row left, no positive or no negative row left, a patient in two
 * parts unless the study allows it, a row that the split file does not have, and what options.h
 * says. A missing column is
 * ERR_USAGE with the
 * study file's line.
 */
#ifndef CASELOAD_DATA_ROWS_H
#define CASELOAD_DATA_ROWS_H

#include "data/spec.h"
#include "data/table.h"

typedef enum row_fate { /* each row of the table has exactly one; in order of asking */
                        ROW_SCORED,
                        ROW_EXAMPLE, /* in split `train`: examples and baselines learn from it */
                        ROW_TUNE,    /* in split `tune`: baselines choose by it */
                        ROW_OTHER_SPLIT,      /* none of these, or nothing needs them */
                        ROW_NO_TEXT,          /* to be scored, but its text is empty */
                        ROW_NO_LABEL,         /* ... its label is empty */
                        ROW_MISSING_LABEL,    /* ... its label is one of `missing` */
                        ROW_EXAMPLE_UNUSABLE, /* in `train` or `tune`, but without text or label */
                        ROW_NO_REFERENCE,     /* to be scored, but has no text to compare with */
                        ROW_BEYOND_LIMIT,     /* after the first N of `--limit N` */
                        ROW_FATE_COUNT
} row_fate;

typedef struct row_set { /* columns; all [n] */
    int32_t n;
    int32_t *table_row; /* row of the table, from 0 */
    str *id, *text;
    int32_t *label; /* class index */
    int32_t
        *patient; /* number of the patient, equal over the sets; -1: unknown (no column, empty) */
    int32_t *option_start; /* [n + 1] into option; NULL: rows have no options of their own */
    str *option;
    str *reference; /* NULL: the study compares with none */
} row_set;

enum { ROWS_WARNINGS_MAX = 16 };

typedef struct rows {
    row_set scored, pool, tune; /* pool: split `train` */
    int32_t n_use;              /* scored[n_use..): tune rows again, when something is chosen on
                                   them (spec_scores_tune); scored alike and never judged */
    const str *part;            /* [n_read] of the table; NULL: no split */
    int32_t *pool_fold;         /* [pool.n] of the split file, 0: none; NULL: no split file */
    const char *split_rule;     /* of the split file; NULL: none */
    hash_text split_hash;
    int32_t n_read;
    int32_t flow[ROW_FATE_COUNT]; /* rows of each fate; adds up to n_read */
    int32_t n_patient;            /* distinct, over the sets; 0 without a patient column */
    str *patient_id;              /* [n_patient] */
    int32_t n_group;              /* subgroup columns */
    str *group_name;              /* [n_group] */
    str *group;                   /* [n_group][scored.n]: "" where empty */
    int32_t n_class;
    int32_t *n_of_class; /* [n_class] of the n_use rows */
    bool has_patient;
    int32_t n_warning;
    str warning
        [ROWS_WARNINGS_MAX]; /* sentences without row text: Excel's marks, patients in two splits */
} rows;

typedef struct rows_options {
    int32_t limit; /* score the first `limit` rows only; 0: all */
} rows_options;

bool rows_make(rows *r, const spec *s, const table *t, rows_options o, arena *a, err *e);

/* The class that a value of the label column means; -1: marked as missing, -2: none of them. */
int32_t rows_class_of(const spec *s, str value);

/* The column that the study file names; -1: none named, or ERR_USAGE with the study file's line. */
int32_t rows_find_column(const spec *s, const table *t, spec_text name, err *e);

struct names; /* data/names.h */

/* One more row's id into `ids`; ERR_DATA when it is empty or there already. */
bool rows_add_id(struct names *ids, const table *t, int32_t row, int32_t column, err *e);

int32_t rows_find(const rows *r, str id); /* index in `scored`, or -1 */
const char *row_fate_text(row_fate f);    /* "excluded: empty label" */

#endif
