/* options: a row's own options (multiple choice) and which of them is right.
 *
 * Options stand in one column that holds lists (["yes", "no"] in JSONL, or the same text in a CSV
 * cell), or in one column each; cells that are empty at the end are options that the row does not
 * have. The first option is the study's first class, and so on.
 *
 * The label names the right one by its letter, its number or its text, as `label_is` says. With
 * `auto` all four are tried on the whole column: one that fits every row is taken; when several fit
 * and do not agree, that is an error, not a guess. With `data: labels` the values are looked up
 * there as in any study.
 *
 * ERR_DATA, naming the row: a cell that is no list, an option that is no text or number, fewer than
 * two options or more than the classes or letters, a label that is none of the row's options.
 */
#ifndef CASELOAD_DATA_OPTIONS_H
#define CASELOAD_DATA_OPTIONS_H

#include "data/spec.h"
#include "data/table.h"

typedef struct options {
    int32_t n_row, n_most; /* of one row */
    int32_t n_repeated;    /* rows that list one text twice */
    int32_t *start;        /* [n_row + 1] into text */
    str *text;
    int32_t *class; /* [n_row] of the right one; -1: no label, or marked as missing */
} options;

/* Nothing for a study without options: start is NULL then. */
bool options_read(options *o, const spec *s, const table *t, arena *a, err *e);

/* `data: several: each`: a question may have several right options, none or all. Its row becomes
 * one row an option, with the id "ID/A", "ID/B", .., the option in a column of its own (behind the
 * other columns of the text) and the label of the study's two classes: the positive one where the
 * option is right. The label column holds a list ([0, 2], ["A", "C"]) or such items between commas
 * or semicolons. Options of one question are one patient's, unless a patient column says more. Rows
 * without a label stay so. Changes the table and the study; right after the table is read. */
bool options_each(spec *s, table *t, arena *a, err *e);

/* Where the classes are the options' letters: as many as the longest list. After the table is read
 * and before anything else looks at the classes. */
bool options_complete(spec *s, const table *t, arena *a, err *e);

#endif
