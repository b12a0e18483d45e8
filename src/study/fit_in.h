/* fit_in: what the files of fit share. */
#ifndef CASELOAD_STUDY_FIT_IN_H
#define CASELOAD_STUDY_FIT_IN_H

#include "study/fit.h"

/* Splits the layers of a job over as few cards as hold it; fills line->n_split and share. */
bool fit_split(fit_line *line, const fit_job *j, const fit_target *where, arena *a, err *e);

#endif
