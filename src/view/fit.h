/* fit: the table of `caseload fit`, for people and for programs. GB are 10^9 bytes. */
#ifndef CASELOAD_VIEW_FIT_H
#define CASELOAD_VIEW_FIT_H

#include "study/fit.h"

/* The table, the cards' shares, why the rule of thumb differs, and what to do when nothing fits. */
bool fit_write_text(const fit *f, bool colour, buf *out, err *e);

/* One JSON object, keys in a fixed order, sizes in bytes. */
bool fit_write_json(const fit *f, buf *out, err *e);

/* Names of shapes and cards. */
bool fit_write_lists(buf *out, err *e);

const char *fit_kind_name(fit_kind kind, bool quantised);

#endif
