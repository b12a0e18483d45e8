/* names: distinct texts to numbers 0, 1, .. in order of first sight (ids, patients, labels). */
#ifndef CASELOAD_DATA_NAMES_H
#define CASELOAD_DATA_NAMES_H

#include "base/str.h"

typedef struct names {
    int32_t n, max;
    str *name;     /* [max], [n] filled; views of the caller's texts */
    int32_t *slot; /* [n_slot] open addressing; -1: free */
    int32_t n_slot;
} names;

/* Room for `max` distinct names in `a`. */
bool names_make(names *s, int32_t max, arena *a, err *e);
int32_t names_find(const names *s, str name);        /* -1: not there */
int32_t names_add(names *s, str name, bool *is_new); /* its number; `is_new` may be NULL */

#endif
