/* optim: see optim.h. */
#include "model/optim.h"

#include <assert.h>
#include <math.h>

double optim_rate(const optim_config *o, int64_t number)
{
    assert(number >= 1 && o->warmup >= 0 && o->updates >= 0);
    const int64_t done = number - 1;
    if (done < o->warmup) return o->rate * (double)done / (double)o->warmup;
    if (o->schedule == OPTIM_CONSTANT) return o->rate;
    int64_t rest = o->updates - o->warmup > 1 ? o->updates - o->warmup : 1;
    double progress = (double)(done - o->warmup) / (double)rest;
    if (progress > 1) progress = 1;
    const double pi = 3.14159265358979323846;
    return o->rate * 0.5 * (1 + cos(pi * progress));
}

bool optim_update(backend *b, const optim_config *o, const adamw_state *s, int64_t number,
                  double *norm, err *e)
{
    *norm = sqrt(op_sum_squares(b, s->grad, s->n));
    if (!isfinite(*norm)) {
        return err_set(e, ERR_USAGE,
                       "the gradient of update %lld is not a number; lower the learning rate (%g)",
                       (long long)number, o->rate);
    }
    adamw_step step = {.rate = optim_rate(o, number),
                       .beta1 = o->beta1 > 0 ? o->beta1 : 0.9,
                       .beta2 = o->beta2 > 0 ? o->beta2 : 0.999,
                       .eps = o->eps > 0 ? o->eps : 1e-8,
                       .decay = o->decay,
                       .grad_scale = 1,
                       .number = number};
    if (o->clip > 0) {
        double factor = o->clip / (*norm + 1e-6);
        if (factor < 1) step.grad_scale = factor;
    }
    op_adamw(b, s, &step);
    return true;
}
