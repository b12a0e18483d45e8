/* tune_certify_in: the certificate of an adapter that was trained. */
#ifndef CASELOAD_STUDY_TUNE_CERTIFY_IN_H
#define CASELOAD_STUDY_TUNE_CERTIFY_IN_H

#include "study/tune_in.h"

/* certificate.json into the adapter's folder, a table into `shown`; ERR_MODEL when a form of it
 * differs beyond rounding (certificate.h). */
bool tune_certify(tune *t, const tune_plan *p, buf *shown, err *e);

#endif
