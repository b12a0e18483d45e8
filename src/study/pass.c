/* pass: see pass.h. */
#include "study/run_in.h"

#include "base/file.h"
#include "compute/device.h"
#include "model/adapter_files.h"
#include "stats/score.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>

/* ---- the adapter ---- */

static bool hash_file(hash_state *h, const char *folder, const char *name, err *e)
{
    char path[4200];
    file_map m;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!file_map_open(&m, path, ERR_MODEL, e)) return false;
    hash_add_field(h, (str){(const char *)m.data, m.size});
    file_map_close(&m);
    return true;
}

bool pass_read_adapter(run *r, pass *p, err *e)
{
    hash_state h;
    lora l;
    size_t mark = arena_mark(&r->memory);
    hash_start(&h);
    bool ok =
        adapter_read(&l, p->adapter, &r->model[p->model].engine.header.config, &r->memory, e) &&
        hash_file(&h, p->adapter, "adapter_config.json", e) &&
        hash_file(&h, p->adapter, "adapter_model.safetensors", e);
    if (ok) p->adapter_rank = l.config.rank;
    if (ok) p->adapter_hash = hash_finish(&h);
    arena_reset(&r->memory, mark);
    return ok;
}

/* ---- scores ---- */

typedef struct line { /* buffers for one score */
    const scorer *scorer;
    double *answer, *class_z, *part;
} line;

static bool same_ids(const tree *t, int32_t a, int32_t b)
{
    const tree_segment *x = tree_at(t, a), *y = tree_at(t, b);
    return x->count == y->count &&
           !memcmp(tree_ids(t, a), tree_ids(t, b), (size_t)x->count * sizeof(int32_t));
}

/* Z of class c: log-sum-exp over its distinct token sequences. */
static double class_log_score(const arm_job *job, const todo *t, int32_t c, line *l)
{
    const int32_t *class = job->answer_class.id + t->first_class;
    int32_t n = 0, first = t->case_segment + 1;
    for (int32_t i = 0; i < t->n_answer; i++) {
        bool seen = class[i] != c;
        for (int32_t j = 0; j < i && !seen; j++) {
            seen = class[j] == c && same_ids(&job->tree, first + i, first + j);
        }
        if (!seen) l->part[n++] = l->answer[i];
    }
    return score_log_sum(l->part, n);
}

static bool store_item(run *r, int32_t which, const item *it, double time_ms, line *l, err *e)
{
    const arm_job *job = &r->job[which];
    const todo *t = &job->todo[it->owner];
    int32_t first = t->case_segment + 1;
    for (int32_t i = 0; i < t->n_answer; i++) l->answer[i] = l->scorer->logprob[first + i];
    for (int32_t c = 0; c < r->spec.n_class; c++) l->class_z[c] = class_log_score(job, t, c, l);
    store_score score = {.key = t->key,
                         .score = r->spec.positive < 0
                                      ? (double)NAN
                                      : score_against_rest(l->class_z, r->spec.n_class,
                                                           r->spec.positive),
                         .label_mass = score_label_mass(l->class_z, r->spec.n_class),
                         .n_class = r->spec.n_class,
                         .n_answer = t->n_answer,
                         .class_logprob = l->class_z,
                         .answer_logprob = l->answer,
                         .time_ms = time_ms};
    return store_append(r->store, &score, e);
}

static bool score_batch(run *r, engine *g, int32_t which, int32_t b, line *l, err *e)
{
    const schedule *s = &r->job[which].schedule;
    double start = run_clock();
    if (!scorer_run_batch(&g->scorer, b, e)) return false;
    double ms = 1e3 * (run_clock() - start);
    int32_t rows = schedule_batch_rows(s, b);
    if (r->store && !store_begin(r->store, e)) return false;
    for (int32_t i = s->batch[b]; r->store && i < s->batch[b + 1]; i++) {
        double share = ms * (double)s->item[i].rows / (double)(rows > 0 ? rows : 1);
        if (!store_item(r, which, &s->item[i], share, l, e)) return store_undo(r->store), false;
    }
    if (r->store && !store_commit(r->store, e)) return false;
    r->state.texts_done += s->batch[b + 1] - s->batch[b];
    r->state.texts_now += s->batch[b + 1] - s->batch[b];
    r->state.tokens_done += rows;
    return run_tell(r, "scoring", e);
}

static bool score_arm(run *r, engine *g, int32_t which, err *e)
{
    const schedule *s = &r->job[which].schedule;
    if (r->job[which].n_todo == 0) return true;
    size_t mark = arena_mark(&r->memory);
    size_t n_answer = (size_t)r->job[which].n_answer_most, n_class = (size_t)r->spec.n_class;
    line l = {.scorer = &g->scorer,
              .answer = arena_take(&r->memory, n_answer, sizeof(double), e),
              .class_z = arena_take(&r->memory, n_class, sizeof(double), e),
              .part = arena_take(&r->memory, n_answer + n_class, sizeof(double), e)};
    bool ok = l.answer && l.class_z && l.part && engine_take_scorer(g, s, e) &&
              scorer_run_heads(&g->scorer, e);
    r->state.tokens_done += s->rows_head;
    for (int32_t b = 0; ok && b < s->n_batch; b++) ok = score_batch(r, g, which, b, &l, e);
    arena_reset(&r->memory, mark);
    return ok;
}

/* ---- the session ---- */

/* Schedules of the arms that have something left, in the run's memory. */
static bool find_work(run *r, const pass *p, engine_work *w, err *e)
{
    const schedule **all = arena_take(&r->memory, (size_t)p->n_arm, sizeof *all, e);
    *w = (engine_work){.schedule = all, .adapter_rank = p->adapter_rank};
    for (int32_t i = 0; all && i < p->n_arm; i++) {
        if (r->job[p->arm[i]].n_todo > 0) all[w->n_schedule++] = &r->job[p->arm[i]].schedule;
    }
    return all != NULL;
}

bool pass_plan(run *r, pass *p, int64_t *bytes, err *e)
{
    engine_work w;
    size_t mark = arena_mark(&r->memory);
    *bytes = 0;
    bool ok = find_work(r, p, &w, e);
    if (ok && w.n_schedule > 0) ok = engine_plan(&r->model[p->model].engine, &w, bytes, e);
    arena_reset(&r->memory, mark);
    return ok;
}

bool pass_open(run *r, pass *p, err *e)
{
    engine *g = &r->model[p->model].engine;
    engine_work w;
    lora *l = NULL;
    if (p->adapter) {
        l = arena_take(&r->memory, 1, sizeof *l, e);
        if (!l || !adapter_read(l, p->adapter, &g->header.config, &r->memory, e)) return false;
    }
    if (!find_work(r, p, &w, e) || !engine_start(g, &w, l, e)) return false;
    p->bytes_planned = (int64_t)g->bytes_planned;
    return true;
}

void pass_shut(run *r, pass *p) { engine_stop(&r->model[p->model].engine); }

/* Lets the kernel count the peak anew; where it cannot, the peak is the process's since birth. */
static void start_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return;
    fputs("5", f);
    fclose(f);
}

/* A line of /proc/self/status in kB; 0: not there. */
static long long status_kb(const char *key)
{
    char line[200];
    long long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) {
        size_t n = strlen(key);
        if (!strncmp(line, key, n) && sscanf(line + n, "%lld kB", &kb) == 1) break;
    }
    if (f) fclose(f);
    return kb;
}

/* Peak resident memory in bytes since start_peak. */
static int64_t bytes_peak(void)
{
    long long kb = status_kb("VmHWM:");
    struct rusage u;
    if (kb == 0 && getrusage(RUSAGE_SELF, &u) == 0) kb = u.ru_maxrss;
    return (int64_t)kb * 1024;
}

/* Pages of model files that hashing or another pass has read are not this pass's memory. */
static void rest_models(const run *r)
{
    for (int32_t i = 0; i < r->n_model; i++) {
        const model_header *h = &r->model[i].engine.header;
        for (int32_t k = 0; k < h->n_file; k++) file_map_rest(&h->file[k]);
    }
}

/* The adapter is made; now its hash is known, and with it which scores are there already. */
static bool make_adapter(run *r, pass *p, err *e)
{
    const run_maker *m = &r->options.maker;
    assert(m->make && p->n_arm > 0);
    if (!m->make(m->context, r, p->arm[0], e) || !pass_read_adapter(r, p, e)) return false;
    p->late = false;
    for (int32_t i = 0; i < p->n_arm; i++) r->state.texts_all -= r->job[p->arm[i]].n_todo;
    r->state.tokens_all -= p->tokens_todo;
    if (r->store && !store_begin(r->store, e)) return false;
    if (pass_ask(r, p, e)) return !r->store || store_commit(r->store, e);
    if (r->store) store_undo(r->store);
    return false;
}

bool pass_run(run *r, pass *p, err *e)
{
    engine *g = &r->model[p->model].engine;
    if (p->late && !make_adapter(r, p, e)) return false;
    if (p->tokens_todo == 0) return true;
    size_t mark = arena_mark(&r->memory);
    double start = run_clock();
    rest_models(r);
    start_peak();
    p->bytes_before = status_kb("VmRSS:") * 1024;
    p->bytes_weights = device_is_apart(&g->backend) ? 0 : g->header.bytes_weights;
    bool ok = run_tell(r, "opening the weights", e) && pass_open(r, p, e);
    for (int32_t i = 0; ok && i < p->n_arm; i++) ok = score_arm(r, g, p->arm[i], e);
    p->seconds = run_clock() - start;
    p->bytes_peak = bytes_peak();
    pass_shut(r, p);
    arena_reset(&r->memory, mark);
    if (!r->store || (!ok && e->code != ERR_STOPPED)) return ok;
    err failure = {0};
    bool kept = store_begin(r->store, &failure) && run_record_cost(r, p, &failure) &&
                store_commit(r->store, &failure);
    if (ok && !kept) *e = failure;
    return ok && kept;
}
