/* place: a model's weights on the device that computes.
 *
 * Where the device computes in the host's memory, nothing happens: weights are read from the file's
 * map. A device apart gets a copy of each tensor as it is stored, and the tensors then point there.
 */
#ifndef CASELOAD_MODEL_PLACE_H
#define CASELOAD_MODEL_PLACE_H

#include "model/session.h"

/* Some layers of a model, as a model of its own: the weights of layers [first, end), with the
 * embedding when first is 0, with the final norm and output when end is the last. */
typedef struct model_part {
    model_header header; /* of the part: layers and lists of layers are its own */
    int32_t first, end;
    bool goes_on; /* other layers follow */
} model_part;

/* `m`, of the whole model, becomes the part, whose header is filled; once it is bound (to the whole
 * header), so do its weights. */
void model_cut(model *m, model_part *part);
void model_cut_weights(model *m, const model_part *part);

/* While the backend measures: counts, and leaves the tensors alone. */
bool model_place(model *m, backend *b, err *e);

#endif
