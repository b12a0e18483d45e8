/* guess: looks at a table and writes a first study file for `caseload init`.
 *
 * Columns are guessed by name (English and Korean) and by content: ids are unique and short, the
 * text is the longest column, a label has few distinct values, a patient repeats, references are
 * texts under a usual name. A guess is a proposal: the study file written says in comments what was
 * seen, and spec_parse accepts it as it is.
 */
#ifndef CASELOAD_DATA_GUESS_H
#define CASELOAD_DATA_GUESS_H

#include "data/table.h"

enum { GUESS_CLASSES_MAX = 24, GUESS_GROUPS_MAX = 8, GUESS_MISSING_MAX = 8 };

typedef struct guess { /* column numbers; -1: none found */
    int32_t id, text, label, patient, split;
    int32_t options;   /* a column of lists: each row has options of its own */
    int32_t reference; /* texts to compare with; without a label the study has no classes */
    bool several;      /* the label holds lists: several options may be right */
    int32_t n_group, group[GUESS_GROUPS_MAX];
    str use, train; /* values of the split column; empty without one */
    int32_t n_class;
    str class_value[GUESS_CLASSES_MAX]; /* distinct labels, the commonest first */
    int32_t class_rows[GUESS_CLASSES_MAX];
    int32_t n_missing;
    str missing[GUESS_MISSING_MAX]; /* label values that look like none: NA, ".", 미상 */
    int32_t positive;               /* index into class_value */
    int64_t text_characters;        /* mean */
    bool answers; /* references are longer than the texts: answers rather than summaries */
    bool korean;  /* the texts are mostly Hangul: so is the question */
} guess;

/* ERR_DATA when no column can be the text, or none the label or the reference (says which columns
 * there are). */
bool guess_columns(guess *g, const table *t, arena *a, err *e);

/* `table_file` and `model_file` as they shall stand in the study file. */
bool guess_write_study(const guess *g, const table *t, str table_file, str model_file, buf *out,
                       err *e);

#endif
