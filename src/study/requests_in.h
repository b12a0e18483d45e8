/* requests_in: shared by requests.c, generate_ask.c and requests_form.c. */
#ifndef CASELOAD_STUDY_REQUESTS_IN_H
#define CASELOAD_STUDY_REQUESTS_IN_H

#include "base/hash.h"
#include "study/requests.h"

/* `object` NULL: nothing is generated. `id`: the request's id as JSON text; it seeds the samples.
 * Texts stay borrowed from `object`. ERR_DATA names the key. */
bool requests_read_generate(const json_t *object, str id, generate_ask *ask, err *e);

enum { REQUESTS_FORMS_MAX = 1000 };

typedef struct request_forms { /* forms that requests ask for, each made once */
    const model_header *header;
    arena *memory;
    token_bytes *vocabulary; /* NULL: no form was asked for */
    buf kept;                /* buf_up_to(REQUESTS_FORMS_BYTES) */
} request_forms;

enum { REQUESTS_FORMS_BYTES = REQUESTS_FORMS_MAX * 64 };

/* `object`: of "constrain"; NULL: any text. ERR_DATA says what is wrong with it. */
bool requests_read_form(request_forms *f, const json_t *object, constrainer **only, err *e);

#endif
