/* tune_room: does a training fit in what may be taken, with how few layers forwarded again; and
 * where it does not, which setting does: `rerun_layers` as it comes, fewer `micro_tokens`, a lower
 * `rank`. Each is planned by the functions that lay memory out, and named only when it fits. */
#include "study/tune_in.h"

#include <stdio.h>

enum { MICRO_LEAST = 16 };

static bool plan_bytes(tune *t, tune_plan *p, int64_t *bytes, err *e)
{
    tune_job j = {.tune = t, .plan = p, .engine = p->texts->engine, .backend = p->texts->backend};
    arena plan = ARENA_MEASURE;
    crew_make_whole(p->texts->crew);
    device_measure(p->texts->backend);
    device_measure(&p->texts->engine->backend);
    if (!tune_lay_out(&j, &plan, e)) return false;
    *bytes = (int64_t)plan.used;
    p->there_trainer = device_planned(p->texts->backend);
    p->there_scoring = device_planned(&p->texts->engine->backend);
    return true;
}

typedef struct limits { /* what may be taken, and what stands there besides */
    room now;
    int64_t card, weights; /* card -1: the caller's memory */
    int32_t n, beside;     /* ranks; of them on one device */
} limits;

static limits limits_of(const tune_plan *p)
{
    const bool apart = device_is_apart(p->texts->backend);
    return (limits){.now = engine_room(p->texts->engine),
                    .card = device_room(p->texts->backend),
                    .weights = apart ? 0 : p->texts->engine->header.bytes_weights,
                    .n = p->texts->crew->n,
                    .beside = crew_beside(p->texts->crew)};
}

static int64_t bytes_there(const limits *l, const tune_plan *p)
{
    return l->beside * (int64_t)(p->there_trainer + p->there_scoring);
}

static bool is_within(const limits *l, const tune_plan *p)
{
    const int64_t all = l->n * p->bytes;
    return l->weights + all <= l->now.bytes && all <= l->now.bytes_mapping &&
           (l->card < 0 || bytes_there(l, p) <= l->card);
}

/* The fewest layers forwarded again, from `first` on, with which it fits. */
static bool find_rerun(tune *t, tune_plan *p, const limits *l, int32_t first, bool *fits, err *e)
{
    *fits = false;
    for (int32_t k = first; k <= p->texts->engine->header.config.n_layer && !*fits; k++) {
        p->shape.rerun_layers = k;
        if (!plan_bytes(t, p, &p->bytes, e)) return false;
        *fits = is_within(l, p);
    }
    return true;
}

typedef struct setting { /* of a training of the same rows */
    int32_t micro, rank;
    int32_t rows; /* found: of its micro-batches, at most */
    bool fits;    /* found: with as many layers forwarded again as it takes */
} setting;

static bool try_setting(tune *t, const tune_plan *p, const limits *l, setting *s, err *e)
{
    tune_plan with = *p;
    spec_training training = *p->training;
    spec_lora lora = *training.lora;
    lora.micro_tokens = s->micro;
    training.lora = &lora;
    with.training = &training;
    with.lora.rank = s->rank;
    with.tokens = with.tokens_unshared = with.n_micro = 0;
    with.micros = 0;
    if (!tune_cut_micro(t, &with, e)) return false;
    s->rows = with.most.rows;
    return find_rerun(t, &with, l, 0, &s->fits, e);
}

/* Smaller micro-batches until they hold one text each; then lower ranks. */
static bool find_setting(tune *t, const tune_plan *p, const limits *l, setting *s, err *e)
{
    *s = (setting){p->training->lora->micro_tokens, p->lora.rank, p->most.rows, false};
    for (int32_t last = s->rows + 1; s->micro / 2 >= MICRO_LEAST && s->rows < last && !s->fits;) {
        last = s->rows;
        s->micro /= 2;
        if (!try_setting(t, p, l, s, e)) return false;
    }
    while (!s->fits && s->rank > 1) {
        s->rank /= 2;
        if (!try_setting(t, p, l, s, e)) return false;
    }
    return true;
}

static bool write_advice(tune *t, const tune_plan *p, const limits *l, char *out, size_t size,
                         err *e)
{
    bool fits = false;
    tune_plan with = *p;
    if (p->training->lora->rerun_layers >= 0 && !find_rerun(t, &with, l, 0, &fits, e)) return false;
    if (fits) {
        snprintf(out, size, "without `rerun_layers` it fits (%d would be forwarded again)",
                 with.shape.rerun_layers);
        return true;
    }
    setting s;
    if (!find_setting(t, p, l, &s, e)) return false;
    const char *as_comes =
        p->training->lora->rerun_layers >= 0 ? "without `rerun_layers` and " : "";
    if (!s.fits)
        snprintf(out, size,
                 "no `micro_tokens` and no `rank` is small enough: take shorter texts (`limits: "
                 "max_tokens`), the model in fewer bits or a smaller one; `caseload fit` tells "
                 "what fits");
    else if (s.rank < p->lora.rank)
        snprintf(out, size, "%swith `micro_tokens: %d` and `rank: %d` it fits", as_comes, s.micro,
                 s.rank);
    else snprintf(out, size, "%swith `micro_tokens: %d` it fits", as_comes, s.micro);
    return true;
}

static bool refuse(tune *t, const tune_plan *p, const limits *l, err *e)
{
    char advice[300];
    const int32_t n_layer = p->texts->engine->header.config.n_layer;
    if (!write_advice(t, p, l, advice, sizeof advice, e)) return false;
    if (l->card >= 0 && bytes_there(l, p) > l->card)
        return err_set(e, ERR_RESOURCE,
                       "training takes %.2f GB of the GPU with %d of %d layers forwarded again, "
                       "and %.2f GB are free there; %s (a training does not split layers over "
                       "devices)",
                       (double)bytes_there(l, p) / 1e9, p->shape.rerun_layers, n_layer,
                       (double)l->card / 1e9, advice);
    const int64_t all = l->n * p->bytes;
    const bool mapped = all > l->now.bytes_mapping;
    return err_set(e, ERR_RESOURCE,
                   "training takes %.2f GB (weights %.2f, the trainer %.2f with %d of %d layers "
                   "forwarded again), but %s %.2f GB; %s",
                   (double)(l->weights + all) / 1e9, (double)l->weights / 1e9, (double)all / 1e9,
                   p->shape.rerun_layers, n_layer, mapped ? "`ulimit` leaves" : l->now.bound,
                   (double)(mapped ? l->now.bytes_mapping : l->now.bytes) / 1e9, advice);
}

bool tune_choose_rerun(tune *t, tune_plan *p, err *e)
{
    const int32_t n_layer = p->texts->engine->header.config.n_layer;
    const int32_t wanted = p->training->lora->rerun_layers;
    const limits l = limits_of(p);
    bool fits = false;
    if (!plan_bytes(t, p, &p->bytes_keep_all, e)) return false;
    p->bytes = p->bytes_keep_all;
    if (wanted > n_layer)
        return spec_fail(&t->run->spec, p->training->lora->line, e,
                         "'rerun_layers: %d', but the model has %d layers", wanted, n_layer);
    if (wanted < 0) {
        if (!find_rerun(t, p, &l, 0, &fits, e)) return false;
    } else {
        p->shape.rerun_layers = wanted;
        if (!plan_bytes(t, p, &p->bytes, e)) return false;
        fits = is_within(&l, p);
    }
    return fits || refuse(t, p, &l, e);
}
