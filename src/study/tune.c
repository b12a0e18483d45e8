/* tune: see tune.h. Arms are grouped by the name that the study file gives them: the seeds and
 * sizes of one are trained on the same prompts, and its sweep is done once. */
#include "study/tune_certify_in.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

static const size_t bytes_memory = (size_t)64
                                   << 30; /* address space; pages are taken when touched */
enum { RECORD_BYTES_MAX = 256 << 20 };

tune *tune_open(const tune_options *o, err *e)
{
    arena memory;
    if (!arena_open_up_to(&memory, bytes_memory, "the training's prompts", e)) return NULL;
    tune *t = arena_take_zero(&memory, 1, sizeof *t, e);
    if (!t) {
        arena_close(&memory);
        return NULL;
    }
    *t = (tune){.memory = memory, .options = *o};
    t->state.loss = t->state.auroc = (double)NAN;
    return t;
}

void tune_close(tune *t)
{
    if (!t) return;
    for (int32_t i = 0; i < t->n_group; i++) {
        tune_texts_close(&t->group[i].texts);
        for (int32_t k = 0; k < t->group[i].n_rank; k++) backend_close(&t->group[i].backend[k]);
    }
    arena memory = t->memory; /* `t` lies in it */
    arena_close(&memory);
}

bool tune_tell(tune *t, const char *phase, err *e)
{
    tune_state *s = &t->state;
    s->phase = phase;
    s->tokens_left = t->work_all > s->tokens_now ? t->work_all - s->tokens_now : 0;
    if (!t->options.progress || t->options.progress(t->options.context, s)) return true;
    return err_set(e, ERR_STOPPED, "stopped; the same command goes on from here");
}

/* ---- plans ---- */

static const char *folder_of(tune *t, const char *unit, err *e)
{
    char path[4096], inner[4096];
    int n = snprintf(inner, sizeof inner, "adapters/%s", unit);
    if (n < 0 || (size_t)n >= sizeof inner || !tune_path(path, t->options.out, inner, e))
        return NULL;
    return arena_copy_text(&t->memory, path, strlen(path), e);
}

static bool plan_unit(tune *t, tune_group *g, int32_t i, lora_config lora, double rate, err *e)
{
    tune_plan *p = &g->unit[i];
    const char *unit = g->arm[i].name.text.data;
    *p = (tune_plan){.texts = &g->texts, .training = g->arm[i].training, .unit = unit};
    p->lora.rank = lora.rank;
    p->optim.rate = rate;
    p->folder = folder_of(t, unit, e);
    return p->folder && tune_plan_make(t, p, e) &&
           tune_read_done(p, &t->memory, &g->adapter[i], &g->done[i], e);
}

/* The unit that trials stand for: the most rows, the first seed. */
static const spec_training *trial_training(const tune_group *g)
{
    const spec_training *best = g->arm[0].training;
    for (int32_t i = 1; i < g->n_unit; i++) {
        const spec_training *one = g->arm[i].training;
        if (best->size != 0 && (one->size == 0 || one->size > best->size)) best = one;
    }
    return best;
}

static bool plan_trial(tune *t, tune_group *g, int32_t rank, double rate, err *e)
{
    tune_trial *trial = &g->trial[g->n_trial++];
    char name[300];
    str arm = g->arm->training->arm;
    snprintf(name, sizeof name, "%.*s/trials/rank-%d_rate-%g", (int)arm.size, arm.data, rank, rate);
    const char *unit = arena_copy_text(&t->memory, name, strlen(name), e);
    *trial = (tune_trial){.training = *trial_training(g), .auroc = (double)NAN};
    tune_plan *p = &trial->plan;
    *p = (tune_plan){.texts = &g->texts, .training = &trial->training, .unit = unit};
    p->lora.rank = rank;
    p->optim.rate = rate;
    if (unit) p->folder = folder_of(t, unit, e);
    return p->folder && tune_plan_make(t, p, e) &&
           tune_read_done(p, &t->memory, &trial->adapter, &trial->done, e);
}

static bool plan_trials(tune *t, tune_group *g, err *e)
{
    const spec_lora *l = g->arm->training->lora;
    const spec_sweep *s = &l->sweep;
    if (s->n_rank + s->n_rate == 0) return true;
    if (g->texts.n_choose == 0 || !(l->evaluate > 0))
        return spec_fail(&t->run->spec, l->line, e, "a sweep is chosen by the tune rows, but %s",
                         g->texts.n_choose ? "'evaluate' is 0" : "there are none");
    int32_t n_rank = s->n_rank > 0 ? s->n_rank : 1, n_rate = s->n_rate > 0 ? s->n_rate : 1;
    g->trial = arena_take_zero(&t->memory, (size_t)n_rank * (size_t)n_rate, sizeof *g->trial, e);
    for (int32_t i = 0; g->trial && i < n_rank; i++) {
        for (int32_t k = 0; k < n_rate; k++) {
            int32_t rank = s->n_rank > 0 ? s->rank[i] : l->rank;
            if (!plan_trial(t, g, rank, s->n_rate > 0 ? s->rate[k] : l->rate, e)) return false;
        }
    }
    return g->trial != NULL;
}

/* ---- the store's copy of the records, for the report ---- */

static bool record(tune *t, const char *key, const char *name, str json, err *e)
{
    char full[300];
    store *s = t->run->store;
    if (!s || t->options.stop_after > 0) return true;
    snprintf(full, sizeof full, "%s/%s", key, name);
    return store_begin(s, e) && store_set(s, full, json, e) && store_commit(s, e);
}

static void write_trial(const tune_trial *t, bool chosen, buf *b)
{
    buf_printf(b, "{\"rank\": %d, \"learning_rate\": %.17g, \"rows\": %d, \"seed\": %llu, ",
               t->plan.lora.rank, t->plan.optim.rate, t->plan.n_row,
               (unsigned long long)t->training.seed);
    if (t->exploded) buf_add_text(b, "\"failed\": \"the loss was not a number\", ");
    if (!t->exploded && !isnan(t->auroc)) buf_printf(b, "\"tune_auroc\": %.17g, ", t->auroc);
    if (!t->exploded)
        buf_printf(b, "\"tune_loss\": %.9g, \"adapter_sha256\": \"%s\", ", t->loss,
                   t->adapter.hash.hex);
    buf_printf(b, "\"chosen\": %s}", chosen ? "true" : "false");
}

static bool record_trials(tune *t, const tune_group *g, int32_t chosen, err *e)
{
    char path[4096], name[300];
    str arm = g->arm->training->arm;
    buf lines = buf_up_to(RECORD_BYTES_MAX), list = buf_up_to(RECORD_BYTES_MAX);
    for (int32_t i = 0; i < g->n_trial; i++) {
        buf_add_text(&list, i ? ", " : "[");
        write_trial(&g->trial[i], i == chosen, &list);
        write_trial(&g->trial[i], i == chosen, &lines);
        buf_add_char(&lines, '\n');
    }
    buf_add_char(&list, ']');
    snprintf(name, sizeof name, "adapters/%.*s/trials.jsonl", (int)arm.size, arm.data);
    bool ok = buf_check(&lines, "the trials", e) && buf_check(&list, "the trials", e) &&
              tune_path(path, t->options.out, name, e) &&
              file_write_atomic(path, buf_view(&lines), e) &&
              record(t, "trials", arm.data, buf_view(&list), e);
    buf_close(&lines);
    buf_close(&list);
    return ok;
}

/* ---- the sweep's choice ---- */

static void read_best(tune_trial *trial)
{
    json_error_t why;
    str record = trial->adapter.record_json;
    json_t *root = json_loadb(record.data, record.size, 0, &why);
    const json_t *best = json_object_get(root, "best");
    const json_t *auroc = json_object_get(best, "tune_auroc");
    if (auroc) trial->auroc = json_number_value(auroc);
    trial->loss = json_number_value(json_object_get(best, "tune_loss"));
    json_decref(root);
}

static bool beats(const tune_trial *a, const tune_trial *b)
{
    if (b->exploded) return true;
    if (isnan(a->auroc) || isnan(b->auroc) || a->auroc == b->auroc) return a->loss < b->loss;
    return a->auroc > b->auroc;
}

/* When every trial is there: the settings of the best become those of the units. */
static bool choose(tune *t, tune_group *g, err *e)
{
    int32_t best = -1;
    for (int32_t i = 0; i < g->n_trial; i++) {
        tune_trial *trial = &g->trial[i];
        if (!trial->done && !trial->exploded) return true; /* not yet */
        if (trial->exploded) continue;
        read_best(trial);
        if (best < 0 || beats(trial, &g->trial[best])) best = i;
    }
    if (g->n_trial > 0 && best < 0)
        return err_set(e, ERR_USAGE,
                       "every trial of arm '%s' ended in a loss that is not a number; lower the "
                       "learning rates of its sweep",
                       g->arm->training->arm.data);
    if (g->n_trial > 0 && !record_trials(t, g, best, e)) return false;
    for (int32_t i = 0; best >= 0 && i < g->n_unit; i++) {
        const tune_plan *p = &g->trial[best].plan;
        if (!plan_unit(t, g, i, p->lora, p->optim.rate, e)) return false;
    }
    g->chosen = true;
    return true;
}

static bool plan_group(tune *t, tune_group *g, err *e)
{
    const spec_lora *l = g->arm->training->lora;
    const lora_config lora = {.rank = l->rank};
    t->state.unit = g->arm->training->arm.data;
    g->unit = arena_take_zero(&t->memory, (size_t)g->n_unit, sizeof *g->unit, e);
    g->adapter = arena_take_zero(&t->memory, (size_t)g->n_unit, sizeof *g->adapter, e);
    g->done = arena_take_zero(&t->memory, (size_t)g->n_unit, sizeof *g->done, e);
    if (e->code != ERR_NONE || !tune_texts_make(t, &g->texts, e) || !plan_trials(t, g, e))
        return false;
    for (int32_t i = 0; i < g->n_unit; i++) {
        if (!plan_unit(t, g, i, lora, l->rate, e)) return false;
    }
    return choose(t, g, e);
}

static bool same_arm(const spec_arm *a, const spec_arm *b)
{
    return b->training && a->training->lora == b->training->lora;
}

/* Beside each rank's own, which scores. */
static bool open_backends(tune *t, tune_group *g, const crew *c, err *e)
{
    g->backend = arena_take_zero(&t->memory, (size_t)c->n, sizeof *g->backend, e);
    for (int32_t i = 0; g->backend && i < c->n; i++) {
        if (!device_open_beside(&g->backend[i], &c->rank[i]->backend, e)) return false;
        g->n_rank = i + 1;
    }
    device_enter(&c->rank[0]->backend);
    return g->backend != NULL;
}

/* The group of an arm, planned when it is first asked for. */
static tune_group *group_of(tune *t, const run *r, int32_t arm, err *e)
{
    const spec *s = &r->spec;
    int32_t first = arm, end = arm + 1;
    while (first > 0 && same_arm(&s->arms[arm], &s->arms[first - 1])) first--;
    while (end < s->n_arm && same_arm(&s->arms[arm], &s->arms[end])) end++;
    for (int32_t i = 0; i < t->n_group; i++) {
        if (t->group[i].arm == &s->arms[first]) return &t->group[i];
    }
    if (!t->group) t->group = arena_take_zero(&t->memory, (size_t)s->n_arm, sizeof *t->group, e);
    if (!t->group) return NULL;
    tune_group *g = &t->group[t->n_group++];
    run_model *m = &r->model[r->model_of[arm]];
    *g = (tune_group){.arm = &s->arms[first], .n_unit = end - first};
    if (!open_backends(t, g, &m->crew, e)) return NULL;
    g->texts = (tune_texts){
        .arm = g->arm, .model = m, .engine = &m->engine, .crew = &m->crew, .backend = g->backend};
    return plan_group(t, g, e) ? g : NULL;
}

/* ---- for the run ---- */

static bool find(void *context, const run *r, int32_t arm, run_adapter *out, err *e)
{
    tune *t = context;
    const spec_arm *a = &r->spec.arms[arm];
    if (!a->training || !t->options.out) return true; /* `try` shows the model as it is */
    t->run = r;
    tune_group *g = group_of(t, r, arm, e);
    if (!g) return false;
    const ptrdiff_t i = a - g->arm;
    out->folder = g->unit[i].folder;
    out->rank = g->unit[i].lora.rank;
    out->ready = g->chosen && g->done[i];
    for (int32_t k = 0; !g->chosen && k < g->n_trial; k++) {
        if (g->trial[k].plan.lora.rank > out->rank) out->rank = g->trial[k].plan.lora.rank;
    }
    if (!out->ready) return true;
    return record(t, "training", g->unit[i].unit, g->adapter[i].record_json, e);
}

/* ---- training ---- */

static int64_t work_of(const tune_plan *p) { return 3 * p->tokens + p->tokens_choose; }

/* What is still to be done; *n: adapters. */
static int64_t work_left(const tune *t, int32_t *n)
{
    int64_t sum = 0;
    *n = 0;
    for (int32_t i = 0; i < t->n_group; i++) {
        const tune_group *g = &t->group[i];
        for (int32_t k = 0; !g->chosen && k < g->n_trial; k++) {
            if (g->trial[k].done || g->trial[k].exploded) continue;
            sum += work_of(&g->trial[k].plan);
            ++*n;
        }
        for (int32_t k = 0; k < g->n_unit; k++) {
            if (g->chosen && g->done[k]) continue;
            sum += work_of(&g->unit[k]);
            ++*n;
        }
    }
    return sum;
}

/* Trains it; *done stays false when stop_after ended it. */
static bool train_one(tune *t, const tune_plan *p, tune_adapter *out, bool *done, err *e)
{
    engine *g = p->texts->engine;
    int32_t left = 0;
    bool finished = false;
    if (p->texts->crew->split == CREW_LAYERS)
        return err_set(e, ERR_USAGE,
                       "--split layers is for scoring: a training needs the whole model on each "
                       "device; train '%s' without it first, with `caseload tune`",
                       p->unit);
    t->work_all = t->state.tokens_now + work_left(t, &left);
    if (t->state.of == 0) t->state.of = left;
    t->state.number = t->state.of - left + 1;
    t->state.unit = p->unit;
    if (!g->model.weights.layer && !model_bind(&g->model.weights, &g->header, &g->memory, e))
        return false;
    if (!tune_train(t, p, &finished, e)) return false;
    if (!finished) return true;
    if (!tune_read_done(p, &t->memory, out, done, e)) return false;
    return *done || err_set(e, ERR_OTHER, "%s changed while it was written", p->folder);
}

static bool run_sweep(tune *t, tune_group *g, err *e)
{
    for (int32_t i = 0; i < g->n_trial; i++) {
        tune_trial *trial = &g->trial[i];
        err why = {0};
        if (trial->done || trial->exploded) continue;
        if (train_one(t, &trial->plan, &trial->adapter, &trial->done, &why)) continue;
        trial->exploded = why.code == ERR_USAGE; /* other failures are not the settings' */
        if (!trial->exploded) return *e = why, false;
    }
    return choose(t, g, e);
}

/* The chosen trial is the adapter of the same rows and seed: it is not trained twice. */
static bool take_trial(tune *t, tune_group *g, int32_t i, err *e)
{
    for (int32_t k = 0; k < g->n_trial; k++) {
        const tune_plan *p = &g->trial[k].plan;
        if (!g->trial[k].done || strcmp(p->key.hex, g->unit[i].key.hex) != 0) continue;
        return tune_copy_done(p, &g->unit[i], e) &&
               tune_read_done(&g->unit[i], &t->memory, &g->adapter[i], &g->done[i], e);
    }
    return true;
}

static bool train_unit(tune *t, tune_group *g, int32_t i, err *e)
{
    if (!g->chosen && !run_sweep(t, g, e)) return false;
    if (!g->chosen || g->done[i]) return true; /* stop_after: nothing to choose from yet */
    if (!take_trial(t, g, i, e)) return false;
    if (!g->done[i] && !train_one(t, &g->unit[i], &g->adapter[i], &g->done[i], e)) return false;
    return !g->done[i] || record(t, "training", g->unit[i].unit, g->adapter[i].record_json, e);
}

static bool make(void *context, run *r, int32_t arm, err *e)
{
    tune *t = context;
    tune_group *g = group_of(t, r, arm, e);
    return g && train_unit(t, g, (int32_t)(&r->spec.arms[arm] - g->arm), e);
}

static bool is_wanted(const tune *t, const spec_training *training)
{
    return training && (!t->options.arm || str_is(training->arm, t->options.arm));
}

static bool check(void *context, const spec *s, err *e)
{
    const tune *t = context;
    bool any = !t->options.needed;
    for (int32_t i = 0; i < s->n_arm; i++) any = any || is_wanted(t, s->arms[i].training);
    if (any) return true;
    if (t->options.arm)
        return err_set(e, ERR_USAGE, "%s has no arm '%s' with `lora`", s->path, t->options.arm);
    return err_set(e, ERR_USAGE,
                   "%s has no arm with `lora`; add one, such as `- {name: tuned, lora: {}}`",
                   s->path);
}

run_maker tune_maker(tune *t)
{
    return (run_maker){.check = check, .find = find, .make = make, .context = t};
}

/* ---- by itself ---- */

static double mb(const json_t *record, const char *key)
{
    return json_number_value(json_object_get(record, key)) / 1e6;
}

static void show_memory(const json_t *record, buf *shown)
{
    const double before = mb(record, "bytes_before"), weights = mb(record, "bytes_weights"),
                 own = mb(record, "bytes_planned");
    if (before > 0) /* else of an older build */
        buf_printf(shown,
                   "  memory: planned %.1f MB (before %.1f, weights %.1f, training %.1f), measured "
                   "peak %.1f MB\n",
                   before + weights + own, before, weights, own, mb(record, "bytes_peak"));
}

static void show_adapter(const tune_group *g, int32_t i, buf *shown)
{
    json_error_t why;
    const tune_plan *p = &g->unit[i];
    str record = g->adapter[i].record_json;
    json_t *root = json_loadb(record.data, record.size, 0, &why);
    const json_t *best = json_object_get(root, "best");
    const json_t *auroc = json_object_get(best, "tune_auroc");
    const double seconds = json_number_value(json_object_get(root, "seconds"));
    const double done = json_number_value(json_object_get(root, "updates_done"));
    const double share = done / (double)p->optim.updates / seconds;
    buf_printf(shown, "%-24s %5.0f updates %8.1f s %7.1f tokens/s %6.2f rows/s", p->unit, done,
               seconds, (double)p->tokens * share, (double)p->n_draw * share);
    if (auroc)
        buf_printf(shown, "  tune AUROC %.4f (update %lld)", json_number_value(auroc),
                   (long long)json_integer_value(json_object_get(best, "update")));
    buf_printf(shown, "\n  %s, SHA-256 %.12s..\n", p->folder, g->adapter[i].hash.hex);
    show_memory(root, shown);
    json_decref(root);
}

bool tune_train_all(tune *t, run *r, buf *shown, err *e)
{
    t->run = r;
    for (int32_t i = 0; i < t->n_group; i++) {
        tune_group *g = &t->group[i];
        if (!is_wanted(t, g->arm->training)) continue;
        for (int32_t k = 0; k < g->n_unit; k++) {
            if (!train_unit(t, g, k, e)) return false;
            if (!g->chosen || !g->done[k]) continue;
            show_adapter(g, k, shown);
            if (t->options.certify && !tune_certify(t, &g->unit[k], shown, e)) return false;
        }
    }
    if (t->stopped)
        buf_printf(shown,
                   "stopped after %d updates each; the same command without --steps goes on\n",
                   t->options.stop_after);
    return buf_check(shown, "the result", e);
}

bool tune_trains(const tune *t) { return t->n_group > 0; }

/* How the ranks share an update. */
static void describe_ranks(const tune_plan *p, buf *out)
{
    comm all = {.n = p->texts->crew->n};
    if (all.n == 1) return;
    for (int32_t i = 0; i < all.n; i++) all.rank[i].backend = &p->texts->backend[i];
    buf_printf(out, "%-28s %d ranks, each with so much; at most %d micro-batches an update, ", "",
               all.n, p->micros);
    buf_printf(out, "gradients added %s\n", comm_way(&all));
    if (p->micros < all.n)
        buf_printf(out,
                   "%-28s %d ranks wait: a lower `micro_tokens` or a larger `batch` gives them "
                   "work\n",
                   "", all.n - p->micros);
}

static void describe_plan(const tune_plan *p, buf *out)
{
    buf_printf(out, "%-28s %6d %6d %8lld %12lld %12lld %9.1f\n", p->unit, p->n_row,
               p->texts->n_choose, (long long)p->optim.updates, (long long)p->tokens,
               (long long)p->tokens_unshared, (double)p->bytes / 1e6);
    if (p->there_trainer > 0)
        buf_printf(out, "%-28s on the GPU: %.1f MB for training, %.1f MB for the tune rows\n", "",
                   (double)p->there_trainer / 1e6, (double)p->there_scoring / 1e6);
    if (p->shape.rerun_layers > 0)
        buf_printf(out, "%-28s layers forwarded again: %d (%.1f MB with all kept)\n", "",
                   p->shape.rerun_layers, (double)p->bytes_keep_all / 1e6);
    describe_ranks(p, out);
}

bool tune_describe(const tune *t, buf *out, err *e)
{
    buf_printf(out, "%-28s %6s %6s %8s %12s %12s %9s\n", "adapter", "rows", "tune", "updates",
               "tokens", "unshared", "MB");
    for (int32_t i = 0; i < t->n_group; i++) {
        const tune_group *g = &t->group[i];
        if (!is_wanted(t, g->arm->training)) continue;
        for (int32_t k = 0; k < g->n_trial; k++) describe_plan(&g->trial[k].plan, out);
        for (int32_t k = 0; k < g->n_unit; k++) describe_plan(&g->unit[k], out);
        if (g->texts.n_left_out > 0)
            buf_printf(out, "%d training rows are left out: they are among their own examples\n",
                       g->texts.n_left_out);
    }
    return buf_check(out, "the plan", e);
}
