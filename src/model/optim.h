/* optim: AdamW (Loshchilov and Hutter 2019) with clipping by the global norm and a rate that warms
 * up and then falls by a cosine: the numbers of torch.optim.AdamW, torch.nn.utils.clip_grad_norm_
 * and transformers' get_cosine_schedule_with_warmup. */
#ifndef CASELOAD_MODEL_OPTIM_H
#define CASELOAD_MODEL_OPTIM_H

#include "compute/train.h"

typedef enum optim_schedule { OPTIM_COSINE, OPTIM_CONSTANT } optim_schedule;

typedef struct optim_config {
    double rate;             /* the highest */
    double beta1, beta2;     /* 0: 0.9, 0.999 */
    double eps;              /* 0: 1e-8 */
    double decay;            /* decoupled, of every number */
    double clip;             /* largest global norm; 0: no clipping */
    int64_t warmup, updates; /* steps of the warm-up; of the whole run */
    optim_schedule schedule; /* after the warm-up */
} optim_config;

/* The rate of update `number`, 1 for the first. */
double optim_rate(const optim_config *o, int64_t number);

/* One update; *norm = the gradient's global norm before clipping. ERR_USAGE when it is not finite,
 * and then nothing is changed. */
bool optim_update(backend *b, const optim_config *o, const adamw_state *s, int64_t number,
                  double *norm, err *e);

#endif
