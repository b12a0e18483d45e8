/* fit_time: how fast, before anything is run: a few seconds of this machine on the model's shapes,
 * or a card's rate, measured by the benches or a share of what its maker states.
 *
 * Measured: one and two layers of the model (its own weights, or random ones of the same number
 * type) forward a step at two lengths of context; their difference is a layer's time, linear in the
 * keys a token attends to; what one layer alone takes stands for embedding, last layer and output.
 * Five seconds or so, whatever the model's size. */
#ifndef CASELOAD_STUDY_FIT_TIME_H
#define CASELOAD_STUDY_FIT_TIME_H

#include "study/fit.h"

typedef struct fit_speed {
    double token, key; /* seconds of a forwarded token: token + key x (keys it attends to) */
    double drawn;      /* seconds of a generated token, many samples at once; 0: not asked */
    double step;       /* seconds that a step takes at least */
    double spent;      /* seconds the measuring took */
    int32_t rows;      /* a step of the measuring */
    char source[200];  /* for people: whose word it is */
} fit_speed;

typedef struct fit_trial { /* what is measured */
    const model_header *header;
    bool has_weights; /* else random numbers of its tensors' types */
    const char *device;
    pool *threads;
    int32_t rows;    /* of a step */
    int32_t context; /* the longer of the two */
    bool draws;      /* measure generation too */
} fit_trial;

/* ERR_RESOURCE when two layers do not fit in memory. */
bool fit_measure_speed(fit_speed *s, const fit_trial *t, err *e);

/* Operations of the whole model over the card's rate (model/cards.h). */
void fit_speed_of_card(fit_speed *s, const model_header *h, const card *c);

typedef struct fit_micro { /* a micro-batch of training, of the usual size */
    int32_t head, own, answer; /* tokens: shared, of a text, to be learned behind it */
    int32_t texts, rank;
} fit_micro;

/* Seconds of a token forward and backward: one and two layers with adapters, as above. */
bool fit_measure_training(double *token, const fit_trial *t, const fit_micro *m, err *e);
double fit_training_of_card(const model_header *h, const card *c, const fit_micro *m);
double fit_micro_of_card(const model_header *h, const card *c); /* a micro-batch at least */

/* Seconds of so many tokens that attend to so many keys in all. */
double fit_seconds(const fit_speed *s, int64_t tokens, double keys);

#endif
