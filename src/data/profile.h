/* profile: what each part of a study's table holds, as counts and moments without any text: for the
 * table of characteristics by split (T1). All rows of the table, scored or not.
 *
 * JSON: {"parts": [{"name": "train", "role": "train", "n": 12, "texts": 11, "patients": 9,
 *                   "classes": [5, 6], "characters": {"n", "mean", "sd", "q1", "median", "q3"},
 *                   "hangul": {..}, "first_date": "2019", "last_date": "2021"}],
 *        "groups": [{"name": "sex", "levels": ["f", "m"], "n": [[3, 8], ..]},
 *                   {"name": "age", "numbers": [{..}, ..]}]}
 *
 * role: train, tune, use or other; without a split there is one part, "all rows". texts: rows with
 * a text and a class, which all that follows is about. `n` of a group: a list a part. A group
 * column of over PROFILE_LEVELS values is shown as numbers when they are, else not at all. hangul:
 * share of a text's letters. Dates are those of `splits: date:`, to the year.
 */
#ifndef CASELOAD_DATA_PROFILE_H
#define CASELOAD_DATA_PROFILE_H

#include "data/rows.h"

enum { PROFILE_LEVELS = 12, PROFILE_PARTS = 8 };

bool profile_write(const rows *r, const spec *s, const table *t, arena *scratch, buf *json, err *e);

#endif
