/* weave: a model's matrices copied into memory of ours, woven for products of few rows, when tokens
 * are to be drawn one after another (compute/backend.h: backend_weave).
 *
 * As many bytes as the file has of them: the copy takes the place of the file's pages, which leave
 * this process. Values, and so all results, are the same bits. Other tensors stay in the file. */
#ifndef CASELOAD_MODEL_WEAVE_H
#define CASELOAD_MODEL_WEAVE_H

#include "model/session.h"

/* Copies the matrices of `m` that the backend reads faster so; with a measuring arena it counts and
 * leaves the model alone. The tensors then point into `a`. */
bool model_weave(model *m, backend *b, arena *a, err *e);

#endif
