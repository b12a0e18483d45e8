/* fit_training: memory and time of a study's trainings, with the micro-batches that `tune` has
 * decided on already. Memory is what tune_lay_out takes, here or on a device that only measures;
 * time is a usual micro-batch, measured on one and two layers or told of the card, for every token
 * of all epochs, with the layers that are forwarded again and the evaluations. */
#include "study/fit_in.h"
#include "study/tune_in.h"
#include "study/tune_job_in.h"

#include <math.h>

typedef struct trainings {
    fit_study *study;
    run *run;
    tune *tune;
} trainings;

/* On this computer: what tune_lay_out takes with k layers forwarded again. */
static bool measure_here(const trainings *m, const tune_plan *p, fit_bytes *bytes, err *e)
{
    arena plan = ARENA_MEASURE;
    backend *b = p->texts->backend;
    engine *g = p->texts->engine;
    tune_job j = {.tune = m->tune, .plan = p, .engine = g, .backend = b};
    device_measure(b);
    device_measure(&g->backend);
    if (!tune_lay_out(&j, &plan, e)) return false;
    const bool apart = device_is_apart(b); /* then weights are among what is planned there */
    const int64_t there = (int64_t)(device_planned(b) + device_planned(&g->backend));
    bytes->total = apart ? there : bytes->weights + (int64_t)plan.used;
    bytes->kv = (int64_t)j.session.bytes_kv;
    bytes->optimiser =
        j.adapter.n_value * (int64_t)sizeof(float) + (int64_t)j.trainer.bytes_optimiser;
    bytes->workspace = (int64_t)(j.trainer.bytes_workspace + j.session.bytes_workspace);
    return true;
}

/* The same functions on a card that only measures; lists and logs are the host's. */
static bool measure_card(const tune_plan *p, int32_t n_card, fit_bytes *bytes, err *e)
{
    const engine *g = p->texts->engine;
    const model what = {.header = &g->header, .config = &g->header.config};
    session_shape shape = p->texts->schedule.shape;
    arena plan = ARENA_MEASURE;
    backend trains, scores;
    session s = {0};
    trainer t;
    lora l;
    plan_open_cuda(&trains, g->threads);
    plan_open_cuda(&scores, g->threads);
    device_measure(&trains);
    device_measure(&scores);
    shape.adapter_rank = p->lora.rank;
    const train_setup setup = {&what, &trains, &l, p->shape};
    if (!lora_lay_out(&l, &g->header.config, p->lora, &plan, e) || !lora_upload(&l, &trains, e) ||
        !trainer_lay_out(&t, &setup, &plan, e))
        return false;
    comm_rank others = {.backend = &trains};
    if (n_card > 1 && !comm_lay_out(&others, n_card, l.n_value, &plan, e)) return false;
    if (p->n_evaluation > 0 && !session_lay_out(&s, &what, &scores, shape, &plan, e)) return false;
    bytes->total = bytes->weights + (int64_t)(device_planned(&trains) + device_planned(&scores));
    bytes->kv = (int64_t)s.bytes_kv;
    bytes->optimiser = l.n_value * (int64_t)sizeof(float) + (int64_t)t.bytes_optimiser;
    bytes->workspace = (int64_t)(t.bytes_workspace + s.bytes_workspace);
    return true;
}

static bool measure(const trainings *m, const tune_plan *p, int32_t k, fit_bytes *bytes, err *e)
{
    tune_plan with = *p;
    with.shape.rerun_layers = k;
    *bytes = (fit_bytes){.weights = p->texts->engine->header.bytes_weights};
    if (!(m->study->target.cuda ? measure_card(&with, m->study->target.n_card, bytes, e)
                                : measure_here(m, &with, bytes, e)))
        return false;
    bytes->activations =
        bytes->total - bytes->weights - bytes->kv - bytes->optimiser - bytes->workspace;
    return true;
}

/* The fewest layers forwarded again with which it fits; where none do, all of them. */
static bool plan_memory(const trainings *m, const tune_plan *p, fit_training *f, err *e)
{
    const int64_t room = m->study->target.bytes_free;
    if (room == 0) { /* nowhere in particular: as it is planned */
        f->rerun = p->shape.rerun_layers;
        return f->fits = true;
    }
    const int32_t wanted = p->training->lora->rerun_layers;
    int32_t low = wanted >= 0 ? wanted : 0, high = wanted >= 0 ? wanted : f->n_layer;
    while (low < high) { /* more of them never take more */
        const int32_t middle = low + (high - low) / 2;
        if (!measure(m, p, middle, &f->bytes, e)) return false;
        if (f->bytes.total <= room) high = middle;
        else low = middle + 1;
    }
    f->rerun = low;
    if (!measure(m, p, low, &f->bytes, e)) return false;
    f->fits = f->bytes.total <= room;
    return true;
}

/* A micro-batch of the usual size: every mean rounded, at least one text. */
static fit_micro usual_micro(const tune_plan *p)
{
    const tree *t = &p->texts->learn;
    fit_micro m = {.rank = p->lora.rank};
    int64_t answers = 0;
    for (int64_t i = 0; i < p->n_draw; i++) answers += tree_at(t, p->draw[i])->count;
    for (int32_t i = 0; i < tree_count(t); i++) {
        const tree_segment *s = tree_at(t, i);
        if (s->kind == TREE_HEAD && s->owner < 0 && s->count > m.head) m.head = s->count;
    }
    const double texts = (double)p->n_draw / (double)p->n_micro;
    const double rows = ((double)p->tokens - (double)p->n_micro * m.head) / (double)p->n_draw;
    m.answer = (int32_t)fmax(1, round((double)answers / (double)p->n_draw));
    m.own = (int32_t)fmax(1, round(rows) - (m.answer - 1));
    m.texts = (int32_t)fmax(1, round(texts));
    return m;
}

static bool find_rate(const trainings *m, const tune_plan *p, fit_training *f, err *e)
{
    const engine *g = p->texts->engine;
    const fit_micro micro = usual_micro(p);
    if (m->study->target.card) {
        f->token = fit_training_of_card(&g->header, m->study->target.card, &micro);
        return true;
    }
    if (device_is_apart(p->texts->backend)) {
        f->token = (double)NAN; /* a GPU of this machine: nothing is measured there */
        return true;
    }
    const fit_trial t = {.header = &g->header,
                         .has_weights = !g->incomplete,
                         .device = g->device ? g->device : "cpu",
                         .threads = g->threads,
                         .rows = p->most.rows};
    err why = {0};
    if (!run_tell(m->run, "measuring this computer", e)) return false;
    if (!fit_measure_training(&f->token, &t, &micro, &why)) f->token = (double)NAN;
    return true;
}

/* Several ranks take an update's micro-batches together. */
static void add_time(const trainings *m, const tune_plan *p, fit_training *f)
{
    const fit_speed *s = &m->study->speed[p->texts->model - m->run->model];
    const fit_micro micro = usual_micro(p);
    const double keys = micro.head + micro.own / 2.0, again = (double)f->rerun / f->n_layer;
    const double forward = fit_seconds(s, p->tokens, keys * (double)p->tokens);
    const double each = (double)p->n_micro / (double)p->optim.updates;
    const double ranks = fmin(fmax(m->study->target.n_card, 1), fmax(floor(each), 1));
    const card *c = m->study->target.card;
    const engine *g = p->texts->engine;
    const double least = c ? (double)p->n_micro * fit_micro_of_card(&g->header, c) : 0;
    const double there_and_back = fmax(f->token * (double)p->tokens, least);
    f->token = there_and_back / (double)p->tokens;
    f->seconds = (there_and_back + again * forward) / ranks +
                 fit_seconds(s, p->tokens_choose, keys * (double)p->tokens_choose);
    if (f->done) f->seconds = 0;
}

static bool add_one(const trainings *m, const tune_plan *p, bool done, const fit_training *same,
                    err *e)
{
    fit_study *s = m->study;
    fit_training *f = &s->training[s->n_training++];
    *f = (fit_training){.unit = p->unit,
                        .rows = p->n_row,
                        .rows_tune = p->texts->n_choose,
                        .updates = p->optim.updates,
                        .tokens = p->tokens,
                        .tokens_alone = p->tokens_unshared,
                        .tokens_tune = p->tokens_choose,
                        .n_layer = p->texts->engine->header.config.n_layer,
                        .done = done};
    if (!plan_memory(m, p, f, e)) return false;
    if (same) f->token = same->token; /* another seed or rate of the same prompts and rank */
    else if (!find_rate(m, p, f, e)) return false;
    add_time(m, p, f);
    if (f->bytes.total > s->bytes_peak) s->bytes_peak = f->bytes.total;
    s->fits = s->fits && f->fits;
    s->seconds_training += f->seconds;
    s->seconds += f->seconds;
    return true;
}

static bool add_group(const trainings *m, const tune_group *g, err *e)
{
    const int32_t first = m->study->n_training, trials = g->chosen ? 0 : g->n_trial;
    const char *only = m->tune->options.arm;
    int32_t rank = 0;
    if (only && !str_is(g->arm->training->arm, only)) return true;
    for (int32_t i = 0; i < trials + g->n_unit; i++) {
        const bool trial = i < trials;
        const tune_plan *p = trial ? &g->trial[i].plan : &g->unit[i - trials];
        const bool done = trial ? g->trial[i].done : g->done[i - trials];
        const fit_training *same =
            i > 0 && p->lora.rank == rank ? &m->study->training[first + i - 1] : NULL;
        rank = p->lora.rank;
        if (!add_one(m, p, done, same, e)) return false;
    }
    return true;
}

bool fit_make_trainings(fit_study *f, run *r, tune *t, arena *a, err *e)
{
    const trainings m = {.study = f, .run = r, .tune = t};
    int32_t n = 0;
    for (int32_t i = 0; t && i < t->n_group; i++) n += t->group[i].n_unit + t->group[i].n_trial;
    f->training = arena_take_zero(a, (size_t)n + 1, sizeof *f->training, e);
    for (int32_t i = 0; f->training && t && i < t->n_group; i++) {
        if (!add_group(&m, &t->group[i], e)) return false;
    }
    return f->training != NULL;
}
