/* backward_in: a layer forward and backward in training; shared by trainer.c and backward.c. */
#ifndef CASELOAD_MODEL_BACKWARD_IN_H
#define CASELOAD_MODEL_BACKWARD_IN_H

#include "model/trainer.h"

/* Layer i, in place on t->x (the last layer leaves the out rows' in t->out_x); what the way back
 * needs stays in keep[i]. Again: from keep[i].full, and for what stays alone. */
void layer_forward(trainer *t, const train_batch *b, int32_t i, bool again);

/* The adapter's gradients of layer i, and t->dx from the gradient of the layer's output to that of
 * its input. The last layer starts from t->out_dx. Nothing goes below layer 0: its dx is not
 * computed. */
void layer_backward(trainer *t, const train_batch *b, int32_t i);

#endif
