/* fit_forecast: see fit_forecast.h. */
#include "study/fit_forecast.h"

#include "study/fit_in.h"
#include "study/tune_in.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

static const double rate_assumed = 20e9; /* of a thread, to tell long from short */
static const double seconds_long = 40;   /* work of fewer is not worth measuring for .. */
static const double seconds_known = 5;   /* .. or telling, where rates are known */
static const double products_bf16x3 = 3; /* for one of bf16 */
static const size_t bytes_scratch = (size_t)1 << 30; /* address space */

static double operations(const engine *g, int64_t tokens)
{
    return 2.0 * (double)g->header.n_parameter * (double)tokens;
}

/* What a run works on: the same for all its models. */
typedef struct place {
    const card *card; /* NULL: this computer's processor */
    double slower;    /* of its rates in bf16 */
    int32_t ranks, lanes;
} place;

/* False: nothing is known of it. */
static bool find_place(place *q, const run *r)
{
    if (r->n_model == 0) return false;
    const crew *c = &r->model[0].crew;
    const backend *b = &r->model[0].engine.backend;
    *q = (place){.slower = 1, .ranks = c->n, .lanes = c->n_lane > 0 ? c->n_lane : 1};
    if (!device_is_apart(b)) return true;
    const char *how = strrchr(b->isa, ','); /* the last word is the arithmetic */
    q->card = card_of_device(b->isa);
    if (how && !strcmp(how, ", bf16x3")) q->slower = products_bf16x3;
    return q->card && (!how || strcmp(how, ", fp32") != 0);
}

static void say_assumed(const place *q, char *out, size_t size)
{
    int n = 0;
    out[0] = '\0';
    if (q->card) {
        const card_rates rates = card_rates_of(q->card);
        if (rates.source) n = snprintf(out, size, "rates measured %s", rates.source);
        else
            n = snprintf(out, size, "assumed: %.0f %% of what the maker of the %s states",
                         100 * CARD_SHARE, q->card->title);
        if (q->slower > 1) n += snprintf(out + n, size - (size_t)n, ", a third of it for bf16x3");
    }
    if (q->ranks > 1)
        snprintf(out + n, size - (size_t)n, "%sassumed: %d ranks that do not slow each other",
                 n ? "; " : "", q->ranks);
}

/* Seconds of all that is asked, roughly. */
static double rough_seconds(const fit_forecast_ask *ask, const place *q)
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
    const double rate = q->card ? card_rates_of(q->card).score / q->slower
                                : rate_assumed * pool_size(r->model[0].engine.threads);
    return sum / (rate * q->lanes);
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
    const int32_t budget = ask->run->options.rows ? ask->run->options.rows : ENGINE_ROWS;
    const double least = speed->step * ceil((double)rows / budget);
    f->scoring +=
        fmax(fit_seconds(speed, rows, keys), least) + speed->drawn * (double)p->drawn_todo;
    return true;
}

bool fit_forecast_make(fit_forecast *f, const fit_forecast_ask *ask, err *e)
{
    run *r = ask->run;
    arena a;
    place q;
    *f = (fit_forecast){0};
    if (!find_place(&q, r)) return true;
    /* no bytes in the target: trainings as they are planned */
    fit_study s = {.n_speed = r->n_model, .target = {.card = q.card, .n_card = q.ranks}};
    if (!ask->always && rough_seconds(ask, &q) < (q.card ? seconds_known : seconds_long))
        return true;
    if (!arena_open_up_to(&a, bytes_scratch, "the forecast", e)) return false;
    s.speed = arena_take_zero(&a, (size_t)r->n_model, sizeof *s.speed, e);
    bool ok = s.speed != NULL;
    for (int32_t i = 0; ok && i < r->n_pass; i++) ok = add_pass(f, &s, ask, &r->pass[i], e);
    ok = ok && fit_make_trainings(&s, r, ask->tune, &a, e);
    f->scoring *= q.slower / q.lanes;
    f->training = s.seconds_training * q.slower;
    say_assumed(&q, f->assumed, sizeof f->assumed);
    f->made = ok && isfinite(f->scoring) && isfinite(f->training) && f->scoring + f->training > 0;
    arena_close(&a);
    return ok;
}

void fit_forecast_say(const fit_forecast *f, double seconds_taken, buf *out)
{
    const double all = f->scoring + f->training;
    if (!f->made) return;
    buf_printf(out, "time: predicted %.0f s (scoring %.0f, training %.0f), took %.0f s: %+.0f %%",
               all, f->scoring, f->training, seconds_taken, 100 * (seconds_taken / all - 1));
    if (f->assumed[0]) buf_printf(out, " (%s)", f->assumed);
    buf_add_char(out, '\n');
}
