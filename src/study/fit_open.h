/* fit_open: what `caseload fit` is about: a model's sizes from a file, a folder or the table of
 * shapes, and the place it shall run on. */
#ifndef CASELOAD_STUDY_FIT_OPEN_H
#define CASELOAD_STUDY_FIT_OPEN_H

#include "study/fit.h"

typedef struct fit_options {
    const char *model;  /* file or folder; NULL with a shape */
    const char *shape;  /* name of a published shape; NULL with a model */
    const char *card;   /* NULL: `memory`, or this computer */
    const char *memory; /* "48GB"; NULL */
    int32_t n_card;     /* 0: one */
    const char *device; /* of this computer; NULL: "cpu" */
    int32_t threads;
    fit_ask ask;
} fit_options;

typedef struct fit_opened {
    arena memory;
    pool *threads;
    model_header header;  /* of the file */
    model_header planned; /* where there are no weights: in bf16 */
    fit_setup setup;
} fit_opened;

/* Headers only; nothing is allocated for weights. */
bool fit_open(fit_opened *f, const fit_options *o, err *e);
void fit_close(fit_opened *f); /* twice is fine */

bool fit_find_target(fit_target *t, const fit_options *o, err *e);

#endif
