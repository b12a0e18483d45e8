/* fit_forecast: see fit_forecast.h. */
#include "study/fit_forecast.h"

#include "study/fit_in.h"
#include "study/tune_in.h"

#include <assert.h>
#include <math.h>

static const double rate_assumed = 20e9; /* of a thread, to tell long from short */
static const double seconds_long = 40;   /* work of fewer is not worth measuring for */
static const size_t bytes_scratch = (size_t)1 << 30; /* address space */

static double threads_of(const run *r) { return pool_size(r->model[0].engine.threads); }

static double operations(const engine *g, int64_t tokens)
{
    return 2.0 * (double)g->header.n_parameter * (double)tokens;
}

/* Seconds of all that is asked, roughly. */
static double rough_seconds(const fit_forecast_ask *ask)
{
    const run *r = ask->run;
    double sum = 0;
    for (int32_t i = 0; ask->scores && i < r->n_pass; i++)
        sum += operations(&r->model[r->pass[i].model].engine,
                          r->pass[i].tokens_todo + r->pass[i].drawn_todo);
    for (int32_t i = 0; ask->tune && i < ask->tune->n_group; i++) {
        const tune_group *g = &ask->tune->group[i];
        for (int32_t k = 0; k < g->n_unit; k++) {
            if (!g->done[k]) sum += operations(g->texts.engine, 3 * g->unit[k].tokens);
        }
    }
    return sum / (rate_assumed * threads_of(r));
}

static bool can_tell(const run *r)
{
    for (int32_t i = 0; i < r->n_model; i++) {
        if (device_is_apart(&r->model[i].engine.backend) || r->model[i].crew.n > 1) return false;
    }
    return r->n_model > 0;
}

static bool add_pass(fit_forecast *f, fit_study *s, const fit_forecast_ask *ask, const pass *p,
                     err *e)
{
    int64_t rows;
    int32_t longest;
    double keys;
    fit_speed *speed = &s->speed[p->model];
    if (book_count(&p->book) == 0) return true; /* all is there */
    if (!fit_find_speed(speed, ask->run, p, &s->target, e)) return false;
    if (!ask->scores) return true;
    fit_count_rows(&p->book, &rows, &keys, &longest);
    f->scoring += fit_seconds(speed, rows, keys) + speed->drawn * (double)p->drawn_todo;
    return true;
}

bool fit_forecast_make(fit_forecast *f, const fit_forecast_ask *ask, err *e)
{
    run *r = ask->run;
    arena a;
    fit_study s = {.n_speed = r->n_model}; /* no target: trainings as they are planned */
    *f = (fit_forecast){0};
    if (!can_tell(r) || (!ask->always && rough_seconds(ask) < seconds_long)) return true;
    if (!arena_open_up_to(&a, bytes_scratch, "the forecast", e)) return false;
    s.speed = arena_take_zero(&a, (size_t)r->n_model, sizeof *s.speed, e);
    bool ok = s.speed != NULL;
    for (int32_t i = 0; ok && i < r->n_pass; i++) ok = add_pass(f, &s, ask, &r->pass[i], e);
    ok = ok && fit_make_trainings(&s, r, ask->tune, &a, e);
    f->training = s.seconds_training;
    f->made = ok && isfinite(f->scoring) && isfinite(f->training) && f->scoring + f->training > 0;
    arena_close(&a);
    return ok;
}

void fit_forecast_say(const fit_forecast *f, double seconds_taken, buf *out)
{
    const double all = f->scoring + f->training;
    if (!f->made) return;
    buf_printf(out, "time: predicted %.0f s (scoring %.0f, training %.0f), took %.0f s: %+.0f %%\n",
               all, f->scoring, f->training, seconds_taken, 100 * (seconds_taken / all - 1));
}
