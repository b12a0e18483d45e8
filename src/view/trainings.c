/* trainings: see trainings.h. */
#include "view/trainings.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

const stat_estimate *trainings_auroc(const evidence *v, int32_t arm)
{
    return v->binary ? &v->arm[arm].auroc->logit : &v->multi[arm].macro;
}

static double number(const json_t *o) { return json_is_number(o) ? json_number_value(o) : -1; }

static str before(str name, const char *mark)
{
    int64_t at = str_find(name, str_of(mark));
    return at < 0 ? name : str_part(name, 0, (size_t)at);
}

static double auroc_of(const json_t *evaluation)
{
    const json_t *x = json_object_get(evaluation, "tune_auroc");
    return json_is_number(x) ? json_number_value(x) : (double)NAN;
}

static bool read_curves(training_curve *c, const json_t *r, arena *a, err *e)
{
    const json_t *loss = json_object_get(r, "loss"), *seen = json_object_get(r, "evaluations");
    const double best = number(json_object_get(json_object_get(r, "best"), "update"));
    const size_t n_loss = json_array_size(loss), n_seen = json_array_size(seen);
    c->loss = arena_take_zero(a, n_loss, sizeof *c->loss, e);
    c->evaluation = arena_take_zero(a, n_seen, sizeof *c->evaluation, e);
    if (!c->loss || !c->evaluation) return false;
    for (size_t i = 0; i < n_loss; i++) {
        const json_t *p = json_array_get(loss, i);
        double update = number(json_array_get(p, 0));
        if (update < 0 || !json_is_number(json_array_get(p, 1))) continue;
        c->loss[c->n_loss++] =
            (training_point){update, json_number_value(json_array_get(p, 1)), (double)NAN};
    }
    for (size_t i = 0; i < n_seen; i++) {
        const json_t *p = json_array_get(seen, i);
        double update = number(json_object_get(p, "update"));
        if (update < 0 || !json_is_number(json_object_get(p, "tune_loss"))) continue;
        if (update == best) c->kept = c->n_evaluation;
        c->evaluation[c->n_evaluation++] =
            (training_point){update, json_number_value(json_object_get(p, "tune_loss")),
                             auroc_of(p)};
    }
    return true;
}

bool trainings_read(trainings *t, const evidence *v, err *e)
{
    arena *a = &v->g->memory;
    const int32_t n = v->g->stats.n_arm;
    bool ok = true;
    *t = (trainings){.curve = arena_take_zero(a, (size_t)n, sizeof *t->curve, e)};
    for (int32_t k = 0; t->curve && ok && k < n; k++) {
        char key[400];
        snprintf(key, sizeof key, "training/%s", v->g->in.arm[k].name);
        json_t *r = json_loads(gather_fact(v->g, key), 0, NULL);
        if (!json_is_object(r)) {
            json_decref(r);
            continue;
        }
        str family = before(str_of(v->g->in.arm[k].name), "/seed-");
        training_curve *c = &t->curve[t->n++];
        *c = (training_curve){.arm = k,
                              .family = family,
                              .base = before(family, "/n-"),
                              .n_row = json_integer_value(json_object_get(r, "rows")),
                              .seed = json_integer_value(json_object_get(r, "seed")),
                              .updates = json_integer_value(json_object_get(r, "updates_done")),
                              .kept = -1};
        ok = read_curves(c, r, a, e);
        for (int32_t i = 0; i + 1 < t->n; i++)
            t->sizes =
                t->sizes || (str_equal(t->curve[i].base, c->base) && t->curve[i].n_row != c->n_row);
        json_decref(r);
    }
    return t->curve && ok;
}
