/* spec_data: the `data` of a study file: the table, and what its columns hold.
 *
 *   file: texts.csv                CSV, TSV, JSONL
 *   encoding: cp949                default: looked at (encoding.h)
 *   id: id                         columns of the table, from here on
 *   text: [findings, impression]   one name or a list; several are joined under their names
 *   label: label                   holds class names, or the values named under `labels`
 *   labels: {serious: [1, Y]}      optional: class -> values of the label column that mean it
 *   missing: [NA, "."]             optional: label values that count as no label
 *   patient: patient               optional
 *   group: [site, sex]             optional: subgroup columns
 *   split: split                   optional column; then `use` (default test) names the rows to
 *   use: test                        score, `train` (default train) those that examples and
 *   train: train                     baselines learn from, `tune` those that choose settings
 *   tune: tune
 *   split_file: splits.csv           instead of a column: made by `caseload split` (partition.h)
 *   patients_across_splits: {allowed: why}     else a patient in two parts is an error
 *   options: options                 a row's own options: a column of lists, or [colA, colB, ..];
 *   label_is: auto | letter | number | number-from-1 | text     what the label column then holds
 *   several: each                    each option is asked about by itself: several may be right
 *   reference: reference             texts that generated ones are compared with
 *
 * With `options` the classes are the letters A, B, .. unless the study names them: the first option
 * is the first class. With `several: each` every option makes a row, and the two classes are right
 * and wrong, answered Yes and No unless the study names others. With `reference` and no label a
 * study has no classes: generated texts are compared with the references alone (all arms have
 * `framing: text`). */
#ifndef CASELOAD_DATA_SPEC_DATA_H
#define CASELOAD_DATA_SPEC_DATA_H

#include "data/encoding.h"
#include "data/spec_ask.h"

typedef enum spec_label_is { /* numbers count from 0, or from 1 */
                             SPEC_LABEL_AUTO,
                             SPEC_LABEL_LETTER,
                             SPEC_LABEL_NUMBER,
                             SPEC_LABEL_NUMBER_FROM_1,
                             SPEC_LABEL_TEXT
} spec_label_is;

typedef enum spec_several { SPEC_ONE_RIGHT, SPEC_EACH_OPTION } spec_several;

typedef struct spec_data {
    int32_t line;
    spec_text file; /* resolved: relative to the study file's folder */
    encoding encoding;
    spec_text id, label, patient, split;
    spec_text use, train, tune; /* set when there is a split, else absent */
    spec_text split_file;       /* resolved */
    spec_text across;           /* why patients may be in several parts; absent: they may not */
    spec_list text, group, missing;
    spec_list options;      /* columns, or one column that holds lists */
    spec_label_is label_is; /* with options: how the label names the right one */
    spec_several several;   /* with options: may more than one be right? */
    spec_text reference;    /* column of texts that generated ones are compared with */
    int32_t n_labels;
    spec_class *labels; /* [n_labels] */
} spec_data;

#endif
