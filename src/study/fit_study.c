/* fit_study: see fit_study.h. */
#include "study/fit_study.h"

#include "study/fit_in.h"

#include <assert.h>
#include <math.h>

typedef struct planner {
    run *run;
    fit_study *study;
    const pass *pass; /* under way */
    arena *scratch;
    err *e;
} planner;

static const engine *engine_of(const planner *p) { return &p->run->model[p->pass->model].engine; }

static bool open_device(const planner *p, backend *b)
{
    const engine *g = engine_of(p);
    const char *device = p->run->options.engine.device;
    if (!p->study->target.cuda) return backend_open(b, device ? device : "cpu", g->threads, p->e);
    plan_open_cuda(b, g->threads);
    return true;
}

/* The largest scorer of all chapters, behind the session. */
static bool measure_scorers(const planner *p, const model_header *h, session *s, arena *plan,
                            size_t *bytes)
{
    const book *b = &p->pass->book;
    const size_t mark = plan->used;
    *bytes = 0;
    for (int32_t i = 0; i < book_count(b); i++) {
        const schedule *made = &book_chapter(b, i)->schedule;
        scorer scores;
        generator draws;
        if (!scorer_lay_out(&scores, made, s, plan, p->e)) return false;
        if (made->options.streams > 0 && !generator_lay_out(&draws, &scores, h->tokens, plan, p->e))
            return false;
        if (plan->used - mark > *bytes) *bytes = plan->used - mark;
        arena_reset(plan, mark);
    }
    return true;
}

/* The session of the book, as engine_plan lays it out, for layers [first, end) of the model. */
static bool measure_layers(void *context, int32_t first, int32_t end, fit_bytes *bytes)
{
    const planner *p = context;
    const engine *g = engine_of(p);
    const book *b = &p->pass->book;
    model_header part = g->header;
    model m = {.header = &part, .config = &part.config};
    session s;
    backend device;
    arena plan = ARENA_MEASURE;
    size_t lists = 0, mark = arena_mark(p->scratch);
    const schedule **all = arena_take(p->scratch, (size_t)book_count(b), sizeof *all, p->e);
    if (!all || !open_device(p, &device)) return false;
    for (int32_t i = 0; i < book_count(b); i++) all[i] = &book_chapter(b, i)->schedule;
    engine_work w = {all, book_count(b), p->pass->adapter_rank};
    session_shape shape = engine_shape(&w);
    arena_reset(p->scratch, mark);
    part.config.n_layer = end - first;
    *bytes = (fit_bytes){.weights = plan_layer_bytes(&g->header, first, end)};
    size_t start = device_mark(&device, &plan);
    bool ok = session_lay_out(&s, &m, &device, shape, &plan, p->e);
    size_t session_bytes = device_mark(&device, &plan) - start;
    ok = ok && measure_scorers(p, &part, &s, &plan, &lists);
    if (device_is_apart(&device)) lists = 0; /* they are the host's */
    backend_close(&device);
    bytes->kv = (int64_t)s.bytes_kv;
    bytes->workspace = (int64_t)(s.bytes_workspace + lists);
    bytes->activations = (int64_t)(session_bytes - s.bytes_kv - s.bytes_workspace);
    bytes->total = bytes->weights + bytes->kv + bytes->activations + bytes->workspace;
    return ok;
}

void fit_count_rows(const book *b, int64_t *rows, double *keys, int32_t *longest)
{
    *rows = *longest = 0;
    *keys = 0;
    for (int32_t c = 0; c < book_count(b); c++) {
        const tree *t = &book_chapter(b, c)->tree;
        const schedule *s = &book_chapter(b, c)->schedule;
        if (s->shape.positions > *longest) *longest = s->shape.positions;
        for (int32_t i = 0; i < tree_count(t); i++) {
            const tree_segment *g = tree_at(t, i);
            const int64_t n = tree_rows(g);
            *rows += n;
            *keys += (double)n * (g->position + ((double)n + 1) / 2);
        }
    }
}

/* Memory of the pass under way; on several cards its layers are split where one does not do. */
static bool plan_work(planner *p, fit_work *w)
{
    const fit_target *where = &p->study->target;
    const int32_t n_layer = engine_of(p)->header.config.n_layer;
    w->rows = p->run->options.rows ? p->run->options.rows : ENGINE_ROWS;
    w->texts = p->pass->texts_todo;
    w->tokens_drawn = p->pass->drawn_todo;
    if (!measure_layers(p, 0, n_layer, &w->bytes)) return false;
    w->fits = w->bytes.total <= where->bytes_free;
    w->n_split = w->fits ? 1 : 0;
    if (w->fits || where->n_card < 2) return true;
    fit_splitter s = {.measure = measure_layers, .context = p, .n_layer = n_layer};
    fit_share share[FIT_CARDS_MAX];
    w->n_split = fit_split_layers(&s, where, share);
    return p->e->code == ERR_NONE;
}

static void time_work(const planner *p, fit_work *w, const fit_speed *s)
{
    const double copies = w->n_split > 0 ? p->study->target.n_card / w->n_split : 1;
    double keys = 0;
    int64_t rows = 0;
    fit_count_rows(&p->pass->book, &rows, &keys, &w->longest);
    const double least = s->step * ceil((double)rows / w->rows);
    const double forward = fmax(fit_seconds(s, rows, keys), least);
    w->seconds = (forward + s->drawn * (double)w->tokens_drawn) / copies;
}

bool fit_find_speed(fit_speed *s, run *r, const pass *p, const fit_target *where, err *e)
{
    const engine *g = &r->model[p->model].engine;
    double keys;
    int64_t rows;
    int32_t longest = 0;
    if (s->source[0]) return true; /* another pass of the model has it */
    if (where->card) {
        fit_speed_of_card(s, &g->header, where->card);
        return true;
    }
    fit_count_rows(&p->book, &rows, &keys, &longest);
    const run_options *o = &r->options;
    fit_trial t = {.header = &g->header,
                   .has_weights = !g->incomplete,
                   .device = g->device ? g->device : "cpu", /* of one rank, with its threads */
                   .threads = g->threads,
                   .rows = o->rows ? o->rows : ENGINE_ROWS,
                   .context = longest,
                   .draws = p->drawn_todo > 0};
    err why = {0};
    if (!run_tell(r, "measuring this computer", e)) return false;
    if (fit_measure_speed(s, &t, &why)) return true;
    *s = (fit_speed){.token = (double)NAN, .key = (double)NAN};
    memcpy(s->source, why.text, sizeof s->source - 1);
    return true;
}

static bool plan_pass(planner *p, fit_pass *f)
{
    const pass *of = p->pass;
    *f = (fit_pass){.model = engine_of(p)->header.name,
                    .adapter = of->adapter,
                    .n_arm = of->n_arm,
                    .speed_of = of->model};
    fit_speed *speed = &p->study->speed[of->model];
    if (!fit_find_speed(speed, p->run, of, &p->study->target, p->e) || !plan_work(p, &f->all))
        return false;
    time_work(p, &f->all, speed);
    for (int32_t k = 0; k < of->n_arm; k++) {
        f->all.tokens_alone += p->run->cost[of->arm[k]].unshared;
    }
    f->all.tokens_shared = of->tokens_todo;
    return true;
}

/* The arm as if it were the only one of its pass. */
static bool plan_arm(planner *p, int32_t which)
{
    run *r = p->run;
    const pass *of = p->pass;
    fit_arm *f = &p->study->arm[which];
    *f = (fit_arm){.name = r->spec.arms[which].name.text,
                   .model = engine_of(p)->header.name,
                   .adapter = of->adapter,
                   .speed_of = of->model};
    pass alone = {.model = of->model,
                  .adapter = of->adapter,
                  .adapter_rank = of->adapter_rank,
                  .adapter_hash = of->adapter_hash,
                  .late = of->late,
                  .n_arm = 1,
                  .arm = &which};
    const book_cost cost = r->cost[which];
    bool ok = pass_ask(r, &alone, p->e);
    r->cost[which] = cost;
    p->pass = &alone;
    ok = ok && plan_work(p, &f->alone);
    if (ok) time_work(p, &f->alone, &p->study->speed[of->model]);
    f->alone.tokens_shared = cost.shared;
    f->alone.tokens_alone = cost.unshared;
    pass_forget(&alone);
    p->pass = of;
    return ok;
}

/* What the table by number type should ask: this study's lengths. */
static void find_ask(fit_ask *ask, const run *r)
{
    ask->rows = r->options.rows;
    ask->texts = r->rows.scored.n;
    for (int32_t i = 0; i < r->n_pass; i++) {
        const book *b = &r->pass[i].book;
        for (int32_t c = 0; c < book_count(b); c++) {
            const tree *t = &book_chapter(b, c)->tree;
            for (int32_t k = 0; k < tree_count(t); k++) {
                const tree_segment *g = tree_at(t, k);
                const int32_t below = g->position + g->count;
                if (g->kind == TREE_HEAD && below > ask->head_tokens) ask->head_tokens = below;
                if (g->kind == TREE_CASE && g->count > ask->text_tokens)
                    ask->text_tokens = g->count;
            }
        }
    }
}

bool fit_study_make(fit_study *f, run *r, tune *t, const fit_target *where, arena *a, err *e)
{
    *f = (fit_study){.target = *where, .path = r->spec.path, .n_arm = r->spec.n_arm};
    f->n_pass = r->n_pass;
    f->n_speed = r->n_model;
    f->arm = arena_take_zero(a, (size_t)f->n_arm, sizeof *f->arm, e);
    f->pass = arena_take_zero(a, (size_t)f->n_pass, sizeof *f->pass, e);
    f->speed = arena_take_zero(a, (size_t)f->n_speed, sizeof *f->speed, e);
    if (!f->arm || !f->pass || !f->speed) return false;
    f->fits = true;
    find_ask(&f->ask, r);
    for (int32_t i = 0; i < r->n_pass; i++) {
        planner p = {.run = r, .study = f, .pass = &r->pass[i], .scratch = a, .e = e};
        if (!plan_pass(&p, &f->pass[i])) return false;
        for (int32_t k = 0; k < r->pass[i].n_arm; k++) {
            if (!plan_arm(&p, r->pass[i].arm[k])) return false;
        }
        const fit_work *w = &f->pass[i].all;
        if (w->bytes.total > f->bytes_peak) f->bytes_peak = w->bytes.total;
        f->fits = f->fits && w->n_split > 0;
        f->seconds += w->seconds;
    }
    return e->code == ERR_NONE && fit_make_trainings(f, r, t, a, e);
}
