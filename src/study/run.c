/* run: see run.h. */
#include "study/run_in.h"

#include "study/form.h"

#include "data/encoding.h"
#include "data/options.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

static const size_t bytes_memory = (size_t)64
                                   << 30; /* address space; pages are taken when touched */

bool run_tell(run *r, const char *phase, err *e)
{
    r->state.phase = phase;
    if (!r->options.progress || r->options.progress(r->options.context, &r->state)) return true;
    return err_set(e, ERR_STOPPED, "stopped; the same command goes on from here");
}

double run_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool read_inputs(run *r, err *e)
{
    const run_options *o = &r->options;
    const run_maker *m = &o->maker;
    if (!spec_read(&r->spec, o->study, &r->memory, e)) return false;
    if (m->check && !m->check(m->context, &r->spec, e)) return false;
    const spec_data *data = &r->spec.data;
    const char *file = arena_copy_text(&r->memory, data->file.text.data, data->file.text.size, e);
    table_options how = {.encoding = data->encoding};
    return file && table_read(&r->table, file, how, &r->memory, e) &&
           options_each(&r->spec, &r->table, &r->memory, e) &&
           options_complete(&r->spec, &r->table, &r->memory, e) &&
           rows_make(&r->rows, &r->spec, &r->table, (rows_options){.limit = o->limit}, &r->memory,
                     e) &&
           baselines_plan(&r->baselines, &r->spec, &r->rows, &r->memory, e);
}

static bool choose_rows(run *r, err *e)
{
    const char *id = r->options.only_row;
    r->end_row = r->rows.scored.n;
    if (!id) return true;
    r->first_row = rows_find(&r->rows, str_of(id));
    r->end_row = r->first_row + 1;
    if (r->first_row >= 0) return true;
    return err_set(e, ERR_DATA, "%s has no row to be scored with the id '%.100s'", r->table.path,
                   id);
}

/* ---- models and passes ---- */

/* The arm's own model, or the one given on the command line, or the study's. */
static const char *model_path(run *r, int32_t arm, err *e)
{
    str own = r->spec.arms[arm].model.file.text, of_study = r->spec.model.text;
    if (own.data) return arena_copy_text(&r->memory, own.data, own.size, e);
    if (r->options.engine.model) return r->options.engine.model;
    if (of_study.data) return arena_copy_text(&r->memory, of_study.data, of_study.size, e);
    err_set(e, ERR_USAGE, "%s: no model; add `model: FILE` or give --model FILE", r->spec.path);
    return NULL;
}

static bool add_model(run *r, int32_t arm, err *e)
{
    const char *path = model_path(r, arm, e);
    if (!path) return false;
    int32_t m = 0;
    while (m < r->n_model && strcmp(r->model[m].path, path) != 0) m++;
    r->model_of[arm] = m;
    if (m < r->n_model) return true;
    run_model *new = &r->model[r->n_model];
    engine_options o = r->options.engine;
    o.model = path;
    if (!file_exists(path))
        return err_set(e, ERR_MODEL,
                       "there is no model at %s; say in %s (`model:`) or with --model "
                       "where yours is",
                       path, r->spec.path);
    if (!run_tell(r, "reading", e) || !crew_peek(&new->crew, &new->engine, &o, e)) {
        crew_close(&new->crew);
        engine_close(&new->engine);
        return false;
    }
    new->path = path;
    r->n_model++;
    if (r->spec.template_kind != SPEC_TEMPLATE_CHAT || new->engine.chat) return true;
    return err_set(
        e, ERR_USAGE,
        "%s: `template: chat`, but the model %s brings no chat template; use `template: plain`",
        r->spec.path, path);
}

static bool peek_models(run *r, err *e)
{
    size_t n = (size_t)r->spec.n_arm;
    r->model = arena_take_zero(&r->memory, n, sizeof *r->model, e);
    r->model_of = arena_take_zero(&r->memory, n, sizeof *r->model_of, e);
    if (!r->model || !r->model_of) return false;
    for (int32_t i = 0; i < r->spec.n_arm; i++) {
        if (!add_model(r, i, e)) return false;
    }
    return true;
}

static bool hash_model(run *r, run_model *m, err *e)
{
    const model_header *h = &m->engine.header;
    hash_state all;
    if (r->options.engine.sizes_only) return true; /* keys are for scores */
    hash_start(&all);
    for (int32_t i = 0; i < h->n_file; i++) {
        if (!run_tell(r, "hashing the model", e)) return false;
        hash_text one = model_hash_file(h, i);
        hash_add(&all, one.hex, 64);
        if (h->n_file == 1) m->hash = one;
    }
    if (h->n_file != 1) m->hash = hash_finish(&all);
    token_hash(h->tokens, m->tokenizer_hash.hex);
    m->template_hash = hash_of(h->chat_template.data, h->chat_template.size);
    snprintf(m->numerics, sizeof m->numerics, "%s, %s, %s, %s", RUN_SCORER_VERSION,
             m->engine.backend.ops->name, m->engine.backend.isa, h->format);
    return true;
}

/* Where an arm's adapter is: the arm says it, or whoever trains it. */
static bool find_adapter(run *r, int32_t arm, run_adapter *a, err *e)
{
    str own = r->spec.arms[arm].adapter.file.text;
    *a = (run_adapter){0};
    if (own.data) {
        a->ready = true;
        a->folder = arena_copy_text(&r->memory, own.data, own.size, e);
        return a->folder != NULL;
    }
    const run_maker *m = &r->options.maker;
    if (m->find) return m->find(m->context, r, arm, a, e);
    if (!r->spec.arms[arm].training) return true;
    return spec_fail(&r->spec, r->spec.arms[arm].line, e,
                     "the arm's adapter (`lora`) cannot be trained here");
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool add_to_pass(run *r, int32_t arm, err *e)
{
    run_adapter a;
    if (!find_adapter(r, arm, &a, e)) return false;
    int32_t k = 0;
    while (k < r->n_pass &&
           (r->pass[k].model != r->model_of[arm] || !same_text(r->pass[k].adapter, a.folder)))
        k++;
    pass *p = &r->pass[k];
    if (k == r->n_pass) {
        *p = (pass){.model = r->model_of[arm],
                    .adapter = a.folder,
                    .adapter_rank = a.rank,
                    .late = a.folder && !a.ready};
        p->arm = arena_take(&r->memory, (size_t)r->spec.n_arm, sizeof *p->arm, e);
        if (!p->arm) return false;
        r->n_pass++;
        if (a.ready && !pass_read_adapter(r, p, e)) return false;
    }
    p->arm[p->n_arm++] = arm;
    return true;
}

static bool make_passes(run *r, err *e)
{
    r->pass = arena_take_zero(&r->memory, (size_t)r->spec.n_arm, sizeof *r->pass, e);
    if (!r->pass) return false;
    for (int32_t i = 0; i < r->spec.n_arm; i++) {
        if (!add_to_pass(r, i, e))
            return err_in(e, "arm %.*s", (int)r->spec.arms[i].name.text.size,
                          r->spec.arms[i].name.text.data);
    }
    return true;
}

static bool make_forms(run *r, err *e)
{
    r->form = arena_take_zero(&r->memory, (size_t)r->spec.n_arm, sizeof(automaton *), e);
    for (int32_t i = 0; r->form && i < r->spec.n_arm; i++) {
        if (!form_make(&r->spec, i, &r->form[i], &r->memory, e)) return false;
    }
    return r->form != NULL;
}

static bool make_arms(run *r, err *e)
{
    arms_model *m = arena_take_zero(&r->memory, (size_t)r->n_model, sizeof *m, e);
    if (!m) return false;
    for (int32_t i = 0; i < r->n_model; i++) {
        const engine *g = &r->model[i].engine;
        bool chat = r->spec.template_kind != SPEC_TEMPLATE_PLAIN && g->chat;
        m[i].rules = engine_prompt_rules(g, chat);
        m[i].n_context = g->header.config.n_context;
    }
    r->arms = (arms){.spec = &r->spec,
                     .rows = &r->rows,
                     .memory = &r->memory,
                     .n_model = r->n_model,
                     .model = m,
                     .model_of = r->model_of};
    return run_tell(r, "tokenising", e) && arms_make(&r->arms, e);
}

static bool open_store(run *r, err *e)
{
    char path[4096];
    if (r->options.in_memory) return (r->store = store_open_memory(e)) != NULL;
    if (!r->options.out) return true;
    if (!file_make_folder(r->options.out, e)) return false;
    int n = snprintf(path, sizeof path, "%s/study.db", r->options.out);
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(e, ERR_USAGE, "the output folder's name is too long");
    r->store = store_open(path, e);
    return r->store != NULL;
}

static bool ask_all(run *r, err *e)
{
    r->cost = arena_take_zero(&r->memory, (size_t)r->spec.n_arm, sizeof *r->cost, e);
    if (!r->cost) return false;
    if (r->store &&
        !(store_begin(r->store, e) && run_record_study(r, e) && run_record_split(r, e) &&
          run_record_facts(r, e) && run_record_evidence(r, e) && run_record_baselines(r, e)))
        return false;
    for (int32_t i = 0; i < r->n_pass; i++) {
        if (!pass_ask(r, &r->pass[i], e)) return false;
    }
    return !r->store || store_commit(r->store, e);
}

/* What no session can hold is said before a weight is read. */
static bool plan_all(run *r, err *e)
{
    for (int32_t i = 0; i < r->n_pass; i++) {
        if (!pass_plan(r, &r->pass[i], &r->pass[i].bytes_planned, e)) return false;
    }
    return true;
}

bool run_prepare(run *r, const run_options *o, err *e)
{
    assert(o->study);
    *r = (run){.options = *o};
    if (!arena_open_up_to(&r->memory, bytes_memory, "the study", e)) return false;
    if (!run_tell(r, "reading", e) || !read_inputs(r, e) || !choose_rows(r, e)) return false;
    if (!peek_models(r, e) || !open_store(r, e)) return false;
    for (int32_t i = 0; i < r->n_model; i++) {
        if (!hash_model(r, &r->model[i], e)) return false;
    }
    return make_passes(r, e) && make_forms(r, e) && make_arms(r, e) && ask_all(r, e) &&
           plan_all(r, e);
}

bool run_describe_plan(run *r, buf *out, err *e)
{
    int wide = 20;
    for (int32_t i = 0; i < r->spec.n_arm; i++) {
        const int n = (int)encoding_count_characters(r->spec.arms[i].name.text);
        wide = n > wide ? n : wide;
    }
    buf_printf(out, "%-*s %14s %14s\n", wide, "arm", "tokens", "unshared");
    for (int32_t i = 0; i < r->spec.n_arm; i++) {
        str name = r->spec.arms[i].name.text;
        buf_add_str(out, name);
        buf_printf(out, "%*s %14lld %14lld\n", wide - (int)encoding_count_characters(name), "",
                   (long long)r->cost[i].shared, (long long)r->cost[i].unshared);
    }
    run_say_cost(r, out);
    for (int32_t i = 0; i < r->n_pass; i++) {
        const pass *p = &r->pass[i];
        const model_header *h = &r->model[p->model].engine.header;
        if (r->n_pass > 1)
            buf_printf(out, "%s%s%s: ", h->name, p->adapter ? " + " : "",
                       p->adapter ? p->adapter : "");
        buf_printf(out, "model file %.1f MB, session %.1f MB (planned to the byte: %lld)\n",
                   (double)h->bytes_weights / 1e6, (double)p->bytes_planned / 1e6,
                   (long long)p->bytes_planned);
        if (p->bytes_device > 0)
            buf_printf(out, "on the GPU: %.1f MB of weights, adapter and session, in one block\n",
                       (double)p->bytes_device / 1e6);
        buf_add(out, p->ranks_text.data, p->ranks_text.size);
    }
    return buf_check(out, "the plan", e);
}

static void clock_text(char text[32])
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/* The largest of all passes. */
static void find_peak(const run *r, int64_t *planned, int64_t *peak)
{
    *planned = *peak = 0;
    for (int32_t i = 0; i < r->n_pass; i++) {
        const pass *p = &r->pass[i];
        if (p->bytes_peak > 0 && p->bytes_planned > *planned) *planned = p->bytes_planned;
        if (p->bytes_peak > *peak) *peak = p->bytes_peak;
    }
}

static bool end_record(run *r, int64_t number, double seconds, err *e)
{
    char ended[32], record[600];
    const run_model *first = &r->model[r->model_of[0]];
    int64_t planned, peak;
    clock_text(ended);
    find_peak(r, &planned, &peak);
    snprintf(record, sizeof record,
             "{\"texts\": %lld, \"tokens\": %lld, \"seconds\": %.3f, \"threads\": %d, "
             "\"ranks\": %d, \"bytes_planned\": %lld, \"bytes_peak\": %lld, \"numerics\": \"%s\"}",
             (long long)r->state.texts_now, (long long)r->state.tokens_done, seconds,
             pool_size(first->engine.threads), first->crew.n, (long long)planned, (long long)peak,
             first->numerics);
    return store_begin(r->store, e) &&
           store_run_end(r->store, number, str_of(ended), str_of(record), e) &&
           store_set(r->store, "ended", str_of(ended), e) &&
           run_set_number(r, "bytes_planned", planned, e) &&
           run_set_number(r, "bytes_peak", peak, e) && store_commit(r->store, e);
}

static bool start_record(run *r, int64_t *number, err *e)
{
    char started[32];
    clock_text(started);
    buf first = buf_up_to(1000);
    bool had = store_get(r->store, "started", &first, e);
    buf_close(&first);
    return e->code == ERR_NONE && store_begin(r->store, e) &&
           store_run_start(r->store, str_of(started), STR("{}"), number, e) &&
           (had || store_set(r->store, "started", str_of(started), e)) && store_commit(r->store, e);
}

static bool score_passes(run *r, err *e)
{
    for (int32_t i = 0; i < r->n_pass; i++) {
        if (!pass_run(r, &r->pass[i], e)) return false;
    }
    return true;
}

bool run_score(run *r, err *e)
{
    int64_t number = 0;
    double start = run_clock();
    if (!run_check_room(r, e)) return false;
    if (!run_tell(r, "baselines", e) || !run_score_baselines(r, e)) return false;
    if (r->state.texts_done == r->state.texts_all) return true;
    if (!start_record(r, &number, e)) return false;
    bool ok = score_passes(r, e);
    if (ok || e->code == ERR_STOPPED) { /* a stopped run's record is complete too */
        err failure = {0};
        bool kept = end_record(r, number, run_clock() - start, &failure);
        if (ok && !kept) *e = failure;
        ok = ok && kept;
    }
    return ok;
}

void run_close_models(run *r)
{
    for (int32_t i = 0; i < r->n_model; i++) {
        crew_close(&r->model[i].crew);
        engine_close(&r->model[i].engine);
    }
    r->n_model = 0;
}

void run_close(run *r)
{
    for (int32_t i = 0; i < r->n_pass; i++) pass_forget(&r->pass[i]);
    store_close(r->store);
    run_close_models(r);
    arena_close(&r->memory);
    *r = (run){0};
}
