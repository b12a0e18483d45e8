/* fit_study: see fit_study.h. */
#include "study/fit_study.h"

#include "study/fit_in.h"

#include <assert.h>
#include <math.h>

/* Rows of an arm and the keys that they attend to, in all. */
static double keys_of(const schedule *s)
{
    double keys = 0;
    for (int32_t i = 0; i < tree_count(s->tree); i++) {
        const tree_segment *g = tree_at(s->tree, i);
        double rows = tree_rows(g);
        keys += rows * (g->position + (rows + 1) / 2);
    }
    return keys;
}

/* Samples drawn behind the cases, each as long as it may get. */
static int64_t new_tokens(const arm_job *job)
{
    const schedule_options *o = &job->schedule.options;
    return o->streams > 0 ? (int64_t)job->n_todo * o->stream_tokens : 0;
}

static bool open_device(backend *b, const fit_target *where, const run *r, const pass *p, err *e)
{
    const engine *g = &r->model[p->model].engine;
    const char *device = r->options.engine.device ? r->options.engine.device : "cpu";
    bool quantised = false;
    for (int32_t i = 0; i < g->header.n_tensor; i++)
        quantised = quantised || dtype_get(g->header.tensor[i].view.type)->block_size > 1;
    if (!where->cuda) return backend_open(b, device, g->threads, e);
    plan_open_cuda(b, g->threads, quantised);
    return true;
}

typedef struct planner {
    run *run;
    fit_study *study;
    arena *scratch;
    err *e;
} planner;

/* One arm alone; on several cards its layers are split where it does not fit on one. */
static bool plan_arm(planner *p, const pass *pass, int32_t which)
{
    run *r = p->run;
    err *e = p->e;
    fit_arm *f = &p->study->arm[which];
    const engine *g = &r->model[pass->model].engine;
    const arm_job *job = &r->job[which];
    const fit_target *where = &p->study->target;
    backend b;
    if (!open_device(&b, where, r, pass, e)) return false;
    fit_job j = {.header = &g->header,
                 .backend = &b,
                 .kind = FIT_SCORE,
                 .tree = &job->tree,
                 .given = &job->schedule.options,
                 .adapter_rank = pass->adapter_rank,
                 .scratch = p->scratch};
    *f = (fit_arm){.name = r->spec.arms[which].name.text,
                   .model = g->header.name,
                   .adapter = pass->adapter,
                   .texts = job->n_todo,
                   .longest = job->schedule.shape.positions,
                   .tokens_shared = job->tokens_forwarded,
                   .tokens_alone = job->tokens_unshared,
                   .tokens_new = new_tokens(job),
                   .rows = job->schedule.options.rows,
                   .speed_of = pass->model};
    bool ok = fit_measure(&j, (fit_size){f->rows, 0}, &f->bytes, e);
    f->fits = ok && f->bytes.total <= where->bytes_free;
    f->n_split = f->fits ? 1 : 0;
    if (ok && !f->fits && where->n_card > 1) {
        fit_line line = {.size = f->rows};
        j.ask.rows = f->rows;
        ok = fit_split(&line, &j, where, p->scratch, e);
        f->n_split = line.n_split;
    }
    backend_close(&b);
    return ok;
}

/* All arms of a pass share one session. */
static bool plan_pass(fit_study *f, run *r, pass *p, err *e)
{
    engine *g = &r->model[p->model].engine;
    const backend own = g->backend;
    int64_t session = 0, bytes;
    if (f->target.cuda && !open_device(&g->backend, &f->target, r, p, e)) return false;
    bool ok = pass_plan(r, p, &session, e);
    bytes = f->target.cuda ? (int64_t)g->bytes_device : g->header.bytes_weights + session;
    g->backend = own;
    if (bytes > f->bytes_peak) f->bytes_peak = bytes;
    return ok;
}

static bool find_speed(fit_study *f, run *r, int32_t m, err *e)
{
    const engine *g = &r->model[m].engine;
    fit_speed *s = &f->speed[m];
    int32_t longest = 0;
    if (f->target.card) {
        fit_speed_of_card(s, &g->header, f->target.card);
        return true;
    }
    for (int32_t i = 0; i < f->n_arm; i++) {
        if (f->arm[i].speed_of == m && f->arm[i].longest > longest) longest = f->arm[i].longest;
    }
    fit_trial t = {.header = &g->header,
                   .has_weights = g->header.n_file > 0 && !g->incomplete,
                   .device = r->options.engine.device ? r->options.engine.device : "cpu",
                   .threads = g->threads,
                   .rows = r->options.rows ? r->options.rows : ENGINE_ROWS,
                   .context = longest};
    err why = {0};
    if (run_tell(r, "measuring this computer", e) && fit_measure_speed(s, &t, &why)) return true;
    if (why.code == ERR_NONE) return false;
    *s = (fit_speed){.token = (double)NAN, .key = (double)NAN};
    memcpy(s->source, why.text, sizeof s->source - 1);
    return true;
}

/* What the table by number type should ask: this study's lengths. */
static void find_ask(fit_study *f, const run *r)
{
    f->ask.rows = r->options.rows;
    for (int32_t i = 0; i < f->n_arm; i++) {
        const tree *t = &r->job[i].tree;
        if (r->job[i].n_todo > f->ask.texts) f->ask.texts = r->job[i].n_todo;
        for (int32_t k = 0; k < tree_count(t); k++) {
            const tree_segment *g = tree_at(t, k);
            int32_t *most = g->kind == TREE_HEAD   ? &f->ask.head_tokens
                            : g->kind == TREE_CASE ? &f->ask.text_tokens
                                                   : NULL;
            if (most && g->count > *most) *most = g->count;
        }
    }
}

bool fit_study_make(fit_study *f, run *r, const fit_target *where, arena *a, err *e)
{
    *f = (fit_study){.target = *where, .path = r->spec.path, .n_arm = r->spec.n_arm};
    f->arm = arena_take_zero(a, (size_t)f->n_arm, sizeof *f->arm, e);
    f->n_speed = r->n_model;
    f->speed = arena_take_zero(a, (size_t)f->n_speed, sizeof *f->speed, e);
    if (!f->arm || !f->speed) return false;
    planner all = {r, f, a, e};
    for (int32_t i = 0; i < r->n_pass; i++) {
        pass *p = &r->pass[i];
        for (int32_t k = 0; k < p->n_arm; k++) {
            if (!plan_arm(&all, p, p->arm[k])) return false;
        }
        if (!plan_pass(f, r, p, e)) return false;
    }
    for (int32_t i = 0; i < r->n_model; i++) {
        if (!find_speed(f, r, i, e)) return false;
    }
    f->fits = true;
    for (int32_t i = 0; i < f->n_arm; i++) {
        fit_arm *arm = &f->arm[i];
        const schedule *s = &r->job[i].schedule;
        double copies = arm->fits ? where->n_card : 1;
        arm->seconds = fit_seconds(&f->speed[arm->speed_of], s->rows_all, keys_of(s)) / copies;
        f->seconds += arm->seconds;
        f->fits = f->fits && arm->n_split > 0;
    }
    f->fits = f->fits && (f->bytes_peak <= where->bytes_free || where->n_card > 1);
    find_ask(f, r);
    return e->code == ERR_NONE;
}
