/* notes: synthetic clinical notes with a known truth, for demonstrations and tests.
 *
 * Each note reports an unwanted event after a medicine; the question is whether the event was
 * serious (admission, intensive care, lasting damage or death) or not. All sentences are written by
 * us: no patient stands behind them. The text is put together from a style (site x language), one
 * course, one outcome, and, in a share `hard` of the notes, a sentence that points the other way:
 * what was ruled out, what happened years ago, what a relative had, what an earlier dose did.
 *
 * Columns: id, patient, site, date, age, sex, language, text, label, truth, split. A patient has
 * one to three notes, one site, one split (about a quarter `train`, the rest `test`). Sites: "ward"
 * writes sentences, "clinic" writes telegrams. Languages: en, ko ("clinic" mixes English terms into
 * Korean, as is done), or both, by patient.
 *
 * Known answer: `label` is `truth` turned over with probability `noise`, independently. A reader
 * who finds every truth therefore reaches, with a share p of serious events and noise r,
 *     sensitivity = p(1-r) / (p(1-r) + (1-p)r),   1 - specificity = pr / (pr + (1-p)(1-r)),
 *     AUROC = (1 + sensitivity - (1 - specificity)) / 2                          (notes_best_auroc)
 * against the labels, and no honest method more. Defaults (0.4, 0.05): 0.946.
 *
 * The same options give the same bytes on every machine. */
#ifndef CASELOAD_DATA_NOTES_H
#define CASELOAD_DATA_NOTES_H

#include "base/str.h"

enum { NOTES_ROWS_MAX = 1000000 };

typedef enum notes_language { NOTES_ENGLISH, NOTES_KOREAN, NOTES_MIXED } notes_language;

typedef struct notes_options { /* fractions: 0 means the default, a negative number means none */
    int64_t n_row;             /* 1 .. NOTES_ROWS_MAX */
    uint64_t seed;
    notes_language language;
    double share; /* of serious events, default 0.4 */
    double noise; /* of labels turned over, default 0.05, at most 0.5 */
    double hard;  /* of notes with a sentence that points the other way, default 0.4 */
} notes_options;

/* Appends the table as CSV (UTF-8, header line, LF) to `csv`. ERR_USAGE: options out of range. */
bool notes_write(const notes_options *o, buf *csv, err *e);

/* The AUROC of the truth against the noisy labels, in the limit of many notes. */
double notes_best_auroc(double share, double noise);
double notes_best_auroc_of(const notes_options *o); /* with its defaults filled in */

bool notes_language_from(const char *word, notes_language *out); /* "en", "ko", "mixed" */

#endif
