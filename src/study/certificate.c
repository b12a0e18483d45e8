/* certificate: see certificate.h. */
#include "study/certificate.h"

#include "model/adapter_files.h"
#include "model/convert.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

static const size_t bytes_memory = (size_t)16 << 30; /* address space */

typedef struct work {
    const certificate_job *job;
    certificate *c;
    arena memory;
    tree tree;          /* the first texts */
    double *want, *got; /* [n_answer] */
    int done, all;      /* forms, the first one beside the base included */
    char path[4][4200]; /* what is made: PEFT folder, GGUF adapter, merged folder, merged GGUF */
    err *e;
} work;

/* ---- prompts ---- */

static bool take_tree(work *w)
{
    const tree *from = w->job->prompts;
    const int32_t n = tree_count(from);
    int32_t *to = arena_take(&w->memory, (size_t)n, sizeof *to, w->e);
    if (!to) return false;
    for (int32_t i = 0; i < n; i++) {
        tree_segment s = *tree_at(from, i);
        if (w->c->n_text == CERTIFICATE_TEXTS && s.kind != TREE_ANSWER) break;
        w->c->n_text += s.kind == TREE_CASE;
        w->c->n_answer += s.kind == TREE_ANSWER;
        if (s.parent >= 0) s.parent = to[s.parent];
        to[i] = tree_add(&w->tree, s, tree_ids(from, i), s.count, w->e);
        if (to[i] < 0) return false;
    }
    if (w->c->n_answer > 0) return true;
    return err_set(w->e, ERR_DATA, "there is no row to certify the adapter on");
}

/* ---- scores ---- */

static bool go_on(const work *w)
{
    const certificate_job *j = w->job;
    return !j->progress || j->progress(j->context, w->done, w->all);
}

static bool tell(work *w)
{
    return go_on(w) || err_set(w->e, ERR_STOPPED, "stopped; nothing was certified");
}

static bool run_all(work *w, scorer *r, const schedule *s)
{
    if (!scorer_run_heads(r, w->e)) return false;
    for (int32_t b = 0; b < s->n_batch; b++)
        if (!scorer_run_batch(r, b, w->e) || !tell(w)) return false;
    return true;
}

/* What a certificate allows is float32's rounding; other arithmetic says nothing about forms. */
static bool is_precise(const engine *g, err *e)
{
    return g->backend.rows == DTYPE_F32 ||
           err_set(e, ERR_USAGE,
                   "a certificate needs float32 arithmetic, and this device multiplies in %s; use "
                   "--device cpu or cuda:fp32",
                   dtype_get(g->backend.rows)->name);
}

/* The answers' log-probabilities under a model, with an adapter beside it or none. */
static bool score(work *w, const char *model, const char *adapter, double *out)
{
    engine g = {0};
    lora l = {0};
    schedule s;
    const schedule *all = &s;
    engine_options how = w->job->engine;
    const size_t mark = arena_mark(&w->memory);
    how.model = model;
    bool ok =
        engine_peek(&g, &how, w->e) && is_precise(&g, w->e) &&
        (!adapter || adapter_read(&l, adapter, &g.header.config, &w->memory, w->e)) &&
        schedule_make(&s, &w->tree, (schedule_options){.rows = ENGINE_ROWS}, &w->memory, w->e);
    const engine_work what = {.schedule = &all, .n_schedule = 1, .adapter_rank = l.config.rank};
    ok = ok && engine_start(&g, &what, adapter ? &l : NULL, w->e) &&
         engine_take_scorer(&g, &s, w->e) && run_all(w, &g.scorer, &s);
    int64_t n = 0;
    for (int32_t i = 0; ok && i < tree_count(&w->tree); i++) {
        if (tree_at(&w->tree, i)->kind == TREE_ANSWER) out[n++] = g.scorer.logprob[i];
    }
    engine_close(&g);
    arena_reset(&w->memory, mark);
    if (ok) w->done++;
    return ok && tell(w);
}

/* ---- forms ---- */

/* Usual relative error of a type on weights; see certificate.h. */
static double error_of(dtype t)
{
    static const double error[DTYPE_COUNT] = {
        [DTYPE_F16] = 2.9e-4,  [DTYPE_BF16] = 2.4e-3,    [DTYPE_Q8_0] = 5.5e-3,
        [DTYPE_Q6_K] = 0.018,  [DTYPE_Q5_K] = 0.037,     [DTYPE_Q5_0] = 0.042,
        [DTYPE_Q5_1] = 0.037,  [DTYPE_Q4_K] = 0.072,     [DTYPE_Q4_0] = 0.085,
        [DTYPE_Q4_1] = 0.072,  [DTYPE_NF4] = 0.095,      [DTYPE_NF4_16] = 0.095,
        [DTYPE_INT8] = 8.5e-3, [DTYPE_INT8_16] = 8.5e-3, [DTYPE_Q3_K] = 0.15,
        [DTYPE_Q2_K] = 0.3,    [DTYPE_IQ4_NL] = 0.08,    [DTYPE_IQ4_XS] = 0.08};
    return error[t];
}

/* The coarsest type of a model's matrices. */
static bool coarsest(work *w, const char *model, dtype *type)
{
    model_header h;
    const size_t mark = arena_mark(&w->memory);
    if (!model_peek_without_tokenizer(&h, model, &w->memory, w->e)) return false;
    *type = DTYPE_F32;
    for (int32_t i = 0; i < h.n_tensor; i++) {
        const dtype t = h.tensor[i].view.type;
        if (h.tensor[i].view.rank > 1 && error_of(t) > error_of(*type)) *type = t;
    }
    model_close_header(&h);
    arena_reset(&w->memory, mark);
    return true;
}

static void compare(work *w, const char *name, const char *type, double bound)
{
    certificate *c = w->c;
    certificate_form *f = &c->form[c->n_form++];
    assert(c->n_form <= CERTIFICATE_FORMS);
    *f = (certificate_form){.name = name, .type = type, .bound = bound};
    for (int64_t i = 0; i < c->n_answer; i++) {
        const double off = fabs(w->want[i] - w->got[i]);
        f->mean += off / (double)c->n_answer;
        if (!(off <= f->worst)) f->worst = off; /* NaN stays and fails */
    }
    f->within = f->worst <= f->bound;
    c->passed = c->passed && f->within;
}

static bool beside(work *w, const char *name, const char *adapter, double bound)
{
    if (!score(w, w->job->model, adapter, w->got)) return false;
    compare(w, name, "beside the base", bound);
    return true;
}

static bool merged(work *w, const char *name, const char *model)
{
    dtype type;
    if (!coarsest(w, model, &type) || !score(w, model, NULL, w->got)) return false;
    const double bound = 60 * error_of(type);
    compare(w, name, dtype_get(type)->name, bound > 1e-3 ? bound : 1e-3);
    return true;
}

static bool merging(void *context, int64_t done, int64_t all)
{
    (void)done;
    (void)all;
    return go_on(context);
}

static bool merge(work *w, const char *out)
{
    buf report = buf_up_to(1 << 20);
    convert_options o = {.model = w->job->model,
                         .adapter = w->job->adapter,
                         .out = out,
                         .type = "f32",
                         .force = true,
                         .progress = merging,
                         .context = w};
    o.threads = pool_open(w->job->engine.threads, w->e);
    const bool ok = o.threads && convert_model(&o, &report, w->e);
    pool_close(o.threads);
    buf_close(&report);
    return ok;
}

static bool hash_adapter(work *w, const char *name)
{
    char path[4200];
    file_map m;
    const bool whole = !name[0];
    snprintf(path, sizeof path, whole ? "%s" : "%s/%s", w->job->adapter, name);
    if (!file_map_open(&m, path, ERR_MODEL, w->e)) return false;
    w->c->adapter_hash = hash_of(m.data, m.size);
    file_map_close(&m);
    return true;
}

/* The adapter's files in both layouts. */
static bool write_adapters(work *w)
{
    model_header h;
    lora l;
    const size_t mark = arena_mark(&w->memory);
    if (!model_peek_without_tokenizer(&h, w->job->model, &w->memory, w->e)) return false;
    const adapter_about about = {.base = h.name, .patient_derived = true};
    const bool ok = adapter_read(&l, w->job->adapter, &h.config, &w->memory, w->e) &&
                    adapter_write(&l, w->path[0], &about, w->e) &&
                    adapter_write_gguf(&l, w->path[1], &about, w->e);
    w->c->alpha = l.config.alpha;
    w->c->rank = l.config.rank;
    model_close_header(&h);
    arena_reset(&w->memory, mark);
    const bool folder = file_is_folder(w->job->adapter);
    return ok && hash_adapter(w, folder ? "adapter_model.safetensors" : "");
}

static bool run_forms(work *w)
{
    const certificate_job *j = w->job;
    if (!score(w, j->model, j->adapter, w->want)) return false;
    const bool exact = (double)(float)w->c->alpha == w->c->alpha;
    if (!beside(w, "PEFT round trip", w->path[0], 0) ||
        !beside(w, "GGUF adapter", w->path[1], exact ? 0 : 1e-4)) {
        return false;
    }
    static const char *const names[2] = {"merged folder", "merged GGUF"};
    for (int i = 0; i < 2 && !j->given_only; i++) {
        if (!merge(w, w->path[2 + i]) || !merged(w, names[i], w->path[2 + i])) return false;
        if (!file_drop(w->path[2 + i], w->e)) return false; /* before the next takes its room */
    }
    return !j->given || merged(w, "merged model", j->given);
}

static void clean(work *w)
{
    for (int i = 0; i < 4; i++) {
        err ignored = {0};
        file_drop(w->path[i], &ignored);
    }
}

static bool take_names(work *w)
{
    static const char *const tails[4] = {"peft", "adapter.gguf", "merged", "merged.gguf"};
    for (int i = 0; i < 4; i++) {
        const int n = snprintf(w->path[i], sizeof w->path[i], "%s-%s", w->job->scratch, tails[i]);
        if (n < 0 || n > 4000)
            return err_set(w->e, ERR_USAGE, "the path of the certificate's files is too long");
    }
    return true;
}

bool certificate_make(const certificate_job *j, certificate *c, err *e)
{
    assert(j->model && j->adapter && j->prompts && j->scratch && (j->given || !j->given_only));
    work w = {.job = j, .c = c, .e = e};
    *c = (certificate){.base = j->model, .adapter = j->adapter, .passed = true};
    w.all = 3 + (j->given_only ? 0 : 2) + (j->given != NULL);
    if (!take_names(&w) || !arena_open_up_to(&w.memory, bytes_memory, "the certificate", e))
        return false;
    tree_open(&w.tree, (int64_t)tree_count(j->prompts) + 1, (int64_t)1 << 32);
    bool ok = take_tree(&w);
    w.want = arena_take(&w.memory, (size_t)c->n_answer, sizeof *w.want, e);
    w.got = arena_take(&w.memory, (size_t)c->n_answer, sizeof *w.got, e);
    if (ok && w.want && w.got) {
        ok = write_adapters(&w) && run_forms(&w);
        clean(&w);
    }
    tree_close(&w.tree);
    arena_close(&w.memory);
    return ok && e->code == ERR_NONE;
}

/* ---- told ---- */

static void add_number(buf *b, double x)
{
    if (isfinite(x)) buf_printf(b, "%.9g", x);
    else buf_add_text(b, "null");
}

bool certificate_write(const certificate *c, const char *path, err *e)
{
    buf b = buf_up_to(1 << 20);
    buf_add_text(&b, "{\n \"certificate\": 1,\n \"base\": \"");
    buf_add_json(&b, str_of(c->base));
    buf_printf(&b,
               "\",\n \"adapter_sha256\": \"%s\",\n \"rank\": %d,\n \"alpha\": %.17g,\n"
               " \"texts\": %d,\n \"log_probabilities\": %lld,\n \"passed\": %s,\n \"forms\": [",
               c->adapter_hash.hex, c->rank, c->alpha, c->n_text, (long long)c->n_answer,
               c->passed ? "true" : "false");
    for (int i = 0; i < c->n_form; i++) {
        const certificate_form *f = &c->form[i];
        buf_printf(&b, "%s\n  {\"form\": \"%s\", \"type\": \"%s\", \"worst\": ", i ? "," : "",
                   f->name, f->type);
        add_number(&b, f->worst);
        buf_add_text(&b, ", \"mean\": ");
        add_number(&b, f->mean);
        buf_printf(&b, ", \"bound\": %.9g, \"within\": %s}", f->bound,
                   f->within ? "true" : "false");
    }
    buf_add_text(&b, "\n ]\n}\n");
    const bool ok = buf_check(&b, "the certificate", e) && file_write_atomic(path, buf_view(&b), e);
    buf_close(&b);
    return ok;
}

void certificate_describe(const certificate *c, buf *out)
{
    buf_printf(out,
               "%d texts, %lld log-probabilities, against the adapter beside %s\n"
               "%-16s %-16s %10s %10s %10s\n",
               c->n_text, (long long)c->n_answer, c->base, "form", "type", "worst", "mean",
               "bound");
    for (int i = 0; i < c->n_form; i++) {
        const certificate_form *f = &c->form[i];
        buf_printf(out, "%-16s %-16s %10.2g %10.2g %10.2g%s\n", f->name, f->type, f->worst, f->mean,
                   f->bound, f->within ? "" : "  BEYOND ROUNDING");
    }
}

bool certificate_check(const certificate *c, err *e)
{
    for (int i = 0; i < c->n_form; i++) {
        const certificate_form *f = &c->form[i];
        if (f->within) continue;
        return err_set(e, ERR_MODEL,
                       "%s: as %s (%s) its log-probabilities differ by up to %.3g, more than the "
                       "%.3g that rounding explains; do not use that form",
                       c->adapter, f->name, f->type, f->worst, f->bound);
    }
    return true;
}
