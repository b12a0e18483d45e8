/* requests_in: shared by requests.c and generate_ask.c. */
#ifndef CASELOAD_STUDY_REQUESTS_IN_H
#define CASELOAD_STUDY_REQUESTS_IN_H

#include "base/hash.h"
#include "study/requests.h"

/* `object` NULL: nothing is generated. `id`: the request's id as JSON text; it seeds the samples.
 * Texts stay borrowed from `object`. ERR_DATA names the key. */
bool requests_read_generate(const json_t *object, str id, generate_ask *ask, err *e);

#endif
