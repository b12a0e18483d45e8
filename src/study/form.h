/* form: the form that an arm's generated texts must have, made before anything is computed. */
#ifndef CASELOAD_STUDY_FORM_H
#define CASELOAD_STUDY_FORM_H

#include "data/spec.h"
#include "text/automaton.h"

/* NULL in *m: any form. ERR_USAGE names the line of the study file. */
bool form_make(const spec *s, int32_t arm, automaton **m, arena *a, err *e);

#endif
