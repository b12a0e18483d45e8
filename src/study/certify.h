/* certify: a parity certificate (certificate.h) of an adapter on a study's own prompts: its tune
 * rows, or where it has none the rows it scores; the first way of asking under one arm. */
#ifndef CASELOAD_STUDY_CERTIFY_H
#define CASELOAD_STUDY_CERTIFY_H

#include "study/certificate.h"
#include "study/run.h"

typedef struct certify_options {
    const char *study, *arm; /* arm NULL: the first of the study that asks for a label alone */
    const char *model, *adapter;
    const char *given; /* a merged model; NULL: only the forms made here */
    bool given_only;
    const char *out; /* certificate.json; its folder is where forms are made and removed */
    engine_options engine;
    run_maker maker; /* finds the study's own adapters while it is prepared */
    bool (*progress)(void *context, int done, int all); /* forms; of 0: preparing */
    void *context;
} certify_options;

/* Writes `out` and a table into `shown`; false with ERR_MODEL when a form differs beyond rounding:
 * `out` is there all the same. */
bool certify(const certify_options *o, buf *shown, err *e);

#endif
