/* place: a model's weights on the device that computes.
 *
 * Where the device computes in the host's memory, nothing happens: weights are read from the file's
 * map. A device apart gets a copy of each tensor as it is stored, and the tensors then point there.
 */
#ifndef CASELOAD_MODEL_PLACE_H
#define CASELOAD_MODEL_PLACE_H

#include "model/session.h"

/* While the backend measures: counts, and leaves the tensors alone. */
bool model_place(model *m, backend *b, err *e);

#endif
