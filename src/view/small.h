/* small: counts from 1 to 4 are not printed, so that nobody can be picked out of a table; and
 * where a total is known, a second count is withheld too, or the first could be worked out by
 * subtraction.
 *
 * Rates and intervals stay: they are what a study reports. Said in the notes of each table. */
#ifndef CASELOAD_VIEW_SMALL_H
#define CASELOAD_VIEW_SMALL_H

#include "base/str.h"

#include <stdint.h>

enum { SMALL_BELOW = 5, SMALL_CLASSES_MAX = 200 };

/* Marks which of n counts that add up to a known total must not be printed. */
void small_mark(const int64_t *count, int32_t n, bool *hidden);

/* Withholds a second count where exactly one is withheld; true when it did. */
bool small_complete(const int64_t *count, int32_t n, bool *hidden);

/* "12345", "<5" for a count of 1 to 4, "withheld" for a larger one that must not be printed. */
void small_add(buf *b, int64_t count, bool hidden);

#endif
