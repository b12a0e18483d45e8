/* weave: weights in the order that products of few rows read best: sixteen rows together, the words
 * of a row in a lane, as many bytes as before. Values, and the bits of every product, are the same.
 * Only products, the answer head and the embedding take such a weight (tensor.woven). */
#ifndef CASELOAD_COMPUTE_WEAVE_H
#define CASELOAD_COMPUTE_WEAVE_H

#include "compute/backend.h"

/* Whether this device reads weights of the type faster so. */
bool backend_weaves(const backend *b, dtype type);

/* Copies w [out, in] to `to` (w.dim[0] rows of bytes, other memory), where it then points. */
void backend_weave(backend *b, tensor *w, void *to);

#endif
