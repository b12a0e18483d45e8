/* fit: see fit.h. Jobs and the table; splitting is in fit_split.c. */
#include "compute/comm.h"
#include "study/fit_in.h"

#include <assert.h>

enum {
    ANSWERS = 2,
    ANSWER_TOKENS = 2,
    SEGMENTS_MAX = 1 << 24,
    ROWS_LEAST = 32,
    SHOTS_DEFAULT = 4,
    TOKENS_DEFAULT = 1024,
    TOKENS_SHORT = 32,
};

static int32_t at_most(int32_t a, int32_t b) { return a < b ? a : b; }
static int32_t at_least(int32_t a, int32_t b) { return a > b ? a : b; }

void fit_complete(fit_ask *ask, const model_config *c, const fit_target *where)
{
    if (ask->head_tokens == 0) ask->head_tokens = 256;
    if (ask->text_tokens == 0) ask->text_tokens = TOKENS_DEFAULT;
    if (ask->samples == 0) ask->samples = 8;
    if (ask->new_tokens == 0) ask->new_tokens = 256;
    if (ask->texts == 0) ask->texts = 1000;
    if (ask->rank == 0) ask->rank = at_most(16, c->d_model);
    if (ask->batch == 0) ask->batch = 8;
    if (ask->rows == 0) ask->rows = where->card ? where->card->rows : ENGINE_ROWS;
    int32_t room = at_least(c->n_context, 8);
    ask->head_tokens = at_most(ask->head_tokens, room / 4);
    ask->new_tokens = at_most(ask->new_tokens, room / 4);
    int32_t longest = room - ask->head_tokens - at_least(ask->new_tokens, ANSWER_TOKENS);
    ask->text_tokens = at_most(ask->text_tokens, longest);
    int32_t hold = (room - ask->head_tokens - ANSWER_TOKENS) / ask->text_tokens - 1;
    if (ask->shots == 0) ask->shots = SHOTS_DEFAULT;
    ask->shots = at_least(at_most(ask->shots, hold), 0);
}

/* Half of the texts are short: a batch of those asks for more rows of the output than one of long
 * ones, and a plan for texts of up to so many tokens must hold for both. */
bool fit_make_tree(tree *t, fit_kind kind, const fit_ask *ask, err *e)
{
    int32_t head = ask->head_tokens;
    if (kind == FIT_SHOTS) head += ask->shots * ask->text_tokens;
    int32_t texts = kind == FIT_TUNE ? ask->batch : ask->texts, most = at_least(head, 1);
    most = at_least(most, ask->text_tokens);
    int64_t ids = head + (int64_t)texts * (ask->text_tokens + ANSWERS * ANSWER_TOKENS);
    buf zero = buf_up_to((size_t)most * sizeof(int32_t) + 1);
    static const int32_t nothing[256];
    for (int32_t i = 0; i < most; i += 256)
        buf_add(&zero, nothing, (size_t)at_most(256, most - i) * sizeof(int32_t));
    const int32_t *id = (const int32_t *)(const void *)zero.data;
    tree_open(t, SEGMENTS_MAX, ids + 1);
    bool ok = buf_check(&zero, "the prompts", e);
    tree_segment shared = {.parent = TREE_ROOT, .kind = TREE_HEAD, .owner = -1};
    int32_t parent = ok && head > 0 ? tree_add(t, shared, id, head, e) : TREE_ROOT;
    int32_t answers = kind == FIT_GENERATE ? 0 : kind == FIT_TUNE ? 1 : ANSWERS;
    for (int32_t i = 0; ok && i < texts && e->code == ERR_NONE; i++) {
        tree_segment text = {.parent = parent, .kind = TREE_CASE, .owner = i};
        bool is_short = kind != FIT_TUNE && i >= texts - texts / 2;
        int32_t tokens = is_short ? at_most(TOKENS_SHORT, ask->text_tokens) : ask->text_tokens;
        int32_t g = tree_add(t, text, id, tokens, e);
        for (int32_t k = 0; k < answers && g >= 0; k++) {
            tree_segment answer = {.parent = g, .kind = TREE_ANSWER, .owner = i, .answer = k};
            tree_add(t, answer, id, ANSWER_TOKENS, e);
        }
    }
    buf_close(&zero);
    return ok && e->code == ERR_NONE;
}

static train_shape shape_of_batch(const fit_ask *ask, int32_t prompts, int32_t rerun)
{
    int32_t own = ask->text_tokens + ANSWER_TOKENS - 1;
    return (train_shape){.rows = ask->head_tokens + prompts * own,
                         .out_rows = prompts * ANSWER_TOKENS,
                         .positions = ask->head_tokens + own + 1,
                         .rerun_layers = rerun};
}

static bool lay_out_tune(fit_laid *l, const fit_job *j, fit_size size, arena *a, err *e)
{
    const backend *b = &l->backend;
    size_t start = device_mark(b, a);
    lora_config how = {.rank = j->ask.rank, .alpha = 2.0 * j->ask.rank};
    if (!lora_lay_out(&l->adapter, &j->header->config, how, a, e) ||
        !lora_upload(&l->adapter, &l->backend, e))
        return false;
    size_t adapter = device_mark(b, a) - start;
    train_setup s = {.model = &l->model,
                     .backend = &l->backend,
                     .adapter = &l->adapter,
                     .shape = shape_of_batch(&j->ask, size.n, size.rerun)};
    if (!trainer_lay_out(&l->trainer, &s, a, e)) return false;
    size_t trained = device_mark(b, a) - start - adapter;
    comm_rank others = {.backend = &l->backend};
    if (j->n_card > 1 && !comm_lay_out(&others, j->n_card, l->adapter.n_value, a, e)) return false;
    if (!batcher_lay_out(&l->batcher, j->tree, s.shape, a, e)) return false;
    size_t lists = device_mark(b, a) - start - adapter - trained;
    l->bytes.optimiser = (int64_t)(adapter + l->trainer.bytes_optimiser);
    l->bytes.workspace = (int64_t)(l->trainer.bytes_workspace + lists);
    l->bytes.activations =
        (int64_t)(trained - l->trainer.bytes_optimiser - l->trainer.bytes_workspace);
    return true;
}

static bool lay_out_session(fit_laid *l, const fit_job *j, int32_t n, arena *a, err *e)
{
    const backend *b = &l->backend;
    bool generates = j->kind == FIT_GENERATE;
    schedule_options how = {.rows = generates ? at_least(j->ask.rows, n) : n};
    if (generates) how.streams = n, how.stream_tokens = j->ask.new_tokens;
    if (!schedule_make(&l->schedule, j->tree, how, j->scratch, e)) return false;
    size_t start = device_mark(b, a);
    if (!session_lay_out(&l->session, &l->model, &l->backend, l->schedule.shape, a, e))
        return false;
    size_t session_bytes = device_mark(b, a) - start;
    if (!scorer_lay_out(&l->scorer, &l->schedule, &l->session, a, e)) return false;
    if (generates && !generator_lay_out(&l->generator, &l->scorer, j->header->tokens, a, e))
        return false;
    size_t lists = device_mark(b, a) - start - session_bytes;
    l->bytes.kv = (int64_t)l->session.bytes_kv;
    l->bytes.workspace = (int64_t)(l->session.bytes_workspace + lists);
    l->bytes.activations =
        (int64_t)(session_bytes - l->session.bytes_kv - l->session.bytes_workspace);
    return true;
}

bool fit_lay_out(fit_laid *l, const fit_job *j, fit_size size, arena *a, err *e)
{
    assert(size.n > 0 && size.rerun >= 0 && !arena_measures(j->scratch));
    l->bytes = (fit_bytes){0};
    l->model.header = j->header;
    l->model.config = &j->header->config;
    l->backend = *j->backend;
    if (device_is_apart(&l->backend)) device_measure(&l->backend);
    if (j->kind == FIT_TUNE) return lay_out_tune(l, j, size, a, e);
    return lay_out_session(l, j, size.n, a, e);
}

bool fit_measure(const fit_job *j, fit_size size, fit_bytes *bytes, err *e)
{
    fit_laid l = {0};
    arena plan = ARENA_MEASURE;
    size_t mark = arena_mark(j->scratch);
    bool ok = fit_lay_out(&l, j, size, &plan, e);
    arena_reset(j->scratch, mark);
    if (!ok) return false;
    *bytes = l.bytes;
    bytes->weights = j->header->bytes_weights;
    bytes->total =
        bytes->weights + bytes->kv + bytes->activations + bytes->optimiser + bytes->workspace;
    return true;
}

/* ---- searching ---- */

typedef struct search {
    const fit_job *job;
    const fit_target *where;
    err *e;
} search;

static bool fits(const search *s, int32_t size, int32_t rerun, fit_bytes *bytes)
{
    return fit_measure(s->job, (fit_size){size, rerun}, bytes, s->e) &&
           bytes->total <= s->where->bytes_free;
}

/* The largest size from `least` to `most` in steps of `least` that fits; 0: none. */
static int32_t largest_size(const search *s, int32_t least, int32_t most, int32_t rerun)
{
    fit_bytes bytes;
    int32_t low = 0, high = most / least + 1; /* low fits (or is none), high does not */
    while (high - low > 1 && s->e->code == ERR_NONE) {
        int32_t middle = low + (high - low) / 2;
        if (fits(s, middle * least, rerun, &bytes)) low = middle;
        else high = middle;
    }
    return low * least;
}

/* The fewest checkpointed layers with which `size` prompts fit; -1: not even with all. */
static int32_t fewest_reruns(const search *s, int32_t size, int32_t n_layer)
{
    fit_bytes bytes;
    if (!fits(s, size, n_layer, &bytes)) return -1;
    int32_t low = -1, high = n_layer; /* high fits */
    while (high - low > 1 && s->e->code == ERR_NONE) {
        int32_t middle = low + (high - low) / 2;
        if (fits(s, size, middle, &bytes)) high = middle;
        else low = middle;
    }
    return high;
}

/* What is asked, or what comes nearest to it and fits; else what is asked, not fitting. */
static bool search_line(fit_line *line, const search *s)
{
    const int32_t n_layer = s->job->header->config.n_layer;
    const fit_ask *ask = &s->job->ask;
    if (s->job->kind == FIT_TUNE) {
        line->largest = largest_size(s, 1, FIT_SIZE_MAX, n_layer);
        line->size = line->largest > 0 ? at_most(ask->batch, line->largest) : 1;
        int32_t rerun = line->largest > 0 ? fewest_reruns(s, line->size, n_layer) : n_layer;
        line->rerun = rerun >= 0 ? rerun : n_layer;
    } else {
        int32_t wanted = s->job->kind == FIT_GENERATE ? ask->samples : ask->rows;
        int32_t least = s->job->kind == FIT_GENERATE ? 1 : at_most(ROWS_LEAST, wanted);
        int32_t most = s->job->kind == FIT_GENERATE ? FIT_SIZE_MAX : FIT_ROWS_MAX;
        line->largest = largest_size(s, least, most, 0);
        fit_bytes bytes; /* a budget that is no multiple of the step of the search */
        if (line->largest < wanted && line->largest > 0 && fits(s, wanted, 0, &bytes))
            line->largest = wanted;
        line->size = line->largest > 0 ? at_most(wanted, line->largest) : least;
    }
    line->fits = line->largest > 0;
    line->n_split = line->fits ? 1 : 0;
    return s->e->code == ERR_NONE &&
           fit_measure(s->job, (fit_size){line->size, line->rerun}, &line->bytes, s->e);
}

/* Does a shape of the series fit with this number type and task? */
static bool shape_fits(const shape *s, const fit_line *line, const fit_setup *how, arena *a, err *e)
{
    size_t mark = arena_mark(a);
    model_config c;
    model_header h;
    tree t = {0};
    backend b;
    const plan_numbers *q = plan_numbers_find(line->numbers);
    bool ok = shape_config(s, &c, a, e);
    plan_source from = {.name = s->name, .config = &c, .numbers = q};
    ok = ok && plan_header(&h, &from, a, e);
    if (how->target.cuda) plan_open_cuda(&b, how->threads);
    else ok = ok && backend_open(&b, how->device, how->threads, e);
    fit_job job = {.header = &h, .backend = &b, .kind = line->kind};
    job.ask = how->ask;
    job.n_card = how->target.n_card;
    if (ok) fit_complete(&job.ask, &c, &how->target);
    job.ask.texts = at_most(job.ask.texts, 64); /* lists of segments: a few kB either way */
    ok = ok && fit_make_tree(&t, line->kind, &job.ask, e);
    job.tree = &t;
    job.scratch = a;
    search look = {.job = &job, .where = &how->target, .e = e};
    fit_bytes bytes;
    int32_t least = line->kind == FIT_SCORE || line->kind == FIT_SHOTS ? ROWS_LEAST : 1;
    bool found = ok && fits(&look, least, line->kind == FIT_TUNE ? c.n_layer : 0, &bytes);
    tree_close(&t);
    arena_reset(a, mark);
    return found;
}

static const shape *largest_of_series(const fit_setup *how, const fit_line *line, arena *a, err *e)
{
    int32_t n = 0;
    const shape *all = shapes_all(&n), *best = NULL;
    if (!how->shape || !plan_numbers_find(line->numbers)) return NULL;
    for (int32_t i = 0; i < n && e->code == ERR_NONE; i++) {
        if (strcmp(all[i].series, how->shape->series) != 0) continue;
        if (best && all[i].n_parameter <= best->n_parameter) continue;
        if (shape_fits(&all[i], line, how, a, e)) best = &all[i];
    }
    return best;
}

/* ---- the table ---- */

typedef struct subject { /* the model in one number type */
    const char *name;
    int32_t bits;
    bool quantised;
    const model_header *header;
} subject;

static bool make_lines(fit *f, const fit_setup *s, const subject *m, arena *a, err *e)
{
    backend b;
    if (s->target.cuda) plan_open_cuda(&b, s->threads);
    else if (!backend_open(&b, s->device, s->threads, e)) return false;
    for (int kind = 0; kind < FIT_KINDS; kind++) {
        tree t;
        fit_line *line = &f->line[f->n_line++];
        *line = (fit_line){.numbers = m->name, .kind = (fit_kind)kind, .quantised = m->quantised};
        line->bits = m->bits;
        line->textbook = plan_textbook(m->header->n_parameter, m->bits);
        bool ok = fit_make_tree(&t, line->kind, &f->ask, e);
        fit_job job = {.header = m->header, .backend = &b, .kind = line->kind, .tree = &t};
        job.ask = f->ask;
        job.n_card = s->target.n_card;
        job.scratch = a;
        search look = {.job = &job, .where = &s->target, .e = e};
        ok = ok && search_line(line, &look);
        if (ok && !line->fits && s->target.n_card > 1) ok = fit_split(line, &job, &s->target, a, e);
        tree_close(&t);
        if (!ok) return false;
        line->best = largest_of_series(s, line, a, e);
    }
    return e->code == ERR_NONE;
}

/* Bits of the rule for a file as it is: the whole number nearest to its true average. */
static int32_t bits_of_file(const model_header *h)
{
    double bits =
        8.0 * (double)h->bytes_weights / (double)(h->n_parameter > 0 ? h->n_parameter : 1);
    return bits > 24 ? 32 : bits > 12 ? 16 : bits > 7 ? 8 : (int32_t)(bits < 2 ? 2 : bits);
}

static bool is_quantised(const model_header *h)
{
    for (int32_t i = 0; i < h->n_tensor; i++) {
        if (dtype_get(h->tensor[i].view.type)->block_size > 1) return true;
    }
    return false;
}

bool fit_make(fit *f, const fit_setup *s, arena *a, err *e)
{
    int32_t n_numbers = 0;
    const plan_numbers *numbers = plan_numbers_all(&n_numbers);
    const model_config *c = &s->header->config;
    *f = (fit){.target = s->target, .header = s->header, .shape = s->shape, .ask = s->ask};
    f->title = s->shape ? s->shape->title : s->header->name;
    f->has_weights = s->has_weights;
    f->n_parameter = s->header->n_parameter;
    fit_complete(&f->ask, c, &s->target);
    f->line = arena_take_zero(a, (size_t)(n_numbers + 1) * FIT_KINDS, sizeof *f->line, e);
    if (!f->line) return false;
    if (s->has_weights) {
        subject as_is = {"as it is", bits_of_file(s->header), is_quantised(s->header), s->header};
        if (!make_lines(f, s, &as_is, a, e)) return false;
    }
    for (int32_t i = 0; i < n_numbers; i++) {
        model_header *h = arena_take_zero(a, 1, sizeof *h, e);
        plan_source from = {.name = f->title, .config = c, .numbers = &numbers[i]};
        if (!h || !plan_header(h, &from, a, e)) return false;
        h->tokens = s->header->tokens;
        subject m = {numbers[i].name, numbers[i].bits, numbers[i].quantised, h};
        if (!make_lines(f, s, &m, a, e)) return false;
    }
    return true;
}
