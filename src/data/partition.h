/* partition: which part of a study each row is in (train, tune, test), made once and frozen.
 *
 * Whole patients (rows without a patient stand alone) go to one part:
 *   random   shares of the rows, the same in each class; a patient counts for the rarest class it
 *   has
 *   time     by each patient's latest date: the first share train, the last test; equal dates
 *   together
 *   site     patients of the sites held out are test, the others train and tune at random
 * and outside test, when asked, to folds 1 .. k. What a patient gets depends on the seed, the ids
 * and the
 * other patients, never on the order of the rows; the file's rows stand in the order of their ids.
 *
 * The file (`data: split_file`), as CSV below one line that seals it:
 *   # caseload split 1, sha256 HASH, RULE
 *   id,split,fold                              fold: empty without folds
 * HASH is of RULE, "\n" and all below. A file that does not fit its hash, or lacks a row of the
 * table, is
 * refused (ERR_DATA): a split is made again, not edited.
 */
#ifndef CASELOAD_DATA_PARTITION_H
#define CASELOAD_DATA_PARTITION_H

#include "data/names.h"
#include "data/spec.h"
#include "data/table.h"

typedef struct partition {
    const char *path;
    str rule; /* in words: "random by patient, stratified, 60/20/20, seed 1" */
    hash_text hash;
    names id;
    str *part;     /* [id.n] */
    int32_t *fold; /* [id.n] 0: none */
} partition;

bool partition_read(partition *p, const char *path, arena *a, err *e);
bool partition_parse(partition *p, str bytes, const char *path, arena *a, err *e);

/* The hash of a split file: its rule and all below its first line. */
hash_text partition_seal(str rule, str body);

/* Makes the file's bytes, and a table of what is in each part with warnings for the terminal. */
bool partition_make(const spec *s, const table *t, arena *a, buf *file, buf *shown, err *e);

enum { PARTITION_TEST_EVENTS = 100 }; /* fewer positives in test: a warning */

#endif
