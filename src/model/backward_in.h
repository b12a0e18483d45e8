/* backward_in: a layer forward and backward in training; shared by trainer.c and backward.c. */
#ifndef CASELOAD_MODEL_BACKWARD_IN_H
#define CASELOAD_MODEL_BACKWARD_IN_H

#include "model/trainer.h"

/* Layer i from keep[i].x; what the way back needs stays in keep[i]. `next` [n, d] gets the output
 * (the out rows' in the last layer); NULL: nobody wants it (a rerun). */
void layer_forward(trainer *t, const train_batch *b, int32_t i, float *next);

/* The adapter's gradients of layer i, and t->dx from the gradient of the layer's output to that of
 * its input. The last layer starts from t->out_dx. Nothing goes below layer 0: its dx is not
 * computed. */
void layer_backward(trainer *t, const train_batch *b, int32_t i);

#endif
