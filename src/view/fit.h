/* fit: the table of `caseload fit`, for people and for programs. GB are 10^9 bytes. */
#ifndef CASELOAD_VIEW_FIT_H
#define CASELOAD_VIEW_FIT_H

#include "study/fit_study.h"

/* The table, the cards' shares, why the rule of thumb differs, and what to do when nothing fits. */
bool fit_write_text(const fit *f, bool colour, buf *out, err *e);

/* A study's arms: memory, tokens, time. */
bool fit_study_write_text(const fit_study *f, bool colour, buf *out, err *e);

/* One JSON object, keys in a fixed order, sizes in bytes. */
bool fit_write_json(const fit *f, const fit_study *s, buf *out, err *e); /* s NULL: none */

/* Names of shapes and cards. */
bool fit_write_lists(buf *out, err *e);

const char *fit_kind_name(fit_kind kind, bool quantised);

#endif
