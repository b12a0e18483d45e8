/* try: one row of a study under its arms, to look at before the whole is run: the exact prompt, its
 * tokens coloured by segment, the generated texts, each answer with its log-probability and the
 * label; then all arms side by side. Shows the row's text and generated texts: nothing else in the
 * program does. */
#ifndef CASELOAD_STUDY_TRY_H
#define CASELOAD_STUDY_TRY_H

#include "study/run.h"

typedef struct try_options {
    const char *row; /* id; NULL: the first */
    const char *arm; /* NULL: all */
    bool colour;
} try_options;

bool try_row(const run_options *how, const try_options *what, buf *out, err *e);

#endif
