/* caseload: the facade behind include/caseload.h. Translates options and errors, hands texts to
 * sinks. */
#include "caseload.h"

#include "base/file.h"
#include "compute/cuda/cuda.h"
#include "data/guess.h"
#include "data/notes.h"
#include "data/options.h"
#include "data/partition.h"
#include "data/prompts.h"
#include "model/adapter_convert.h"
#include "model/convert.h"
#include "model/describe.h"
#include "study/certify.h"
#include "study/fit_forecast.h"
#include "study/fit_open.h"
#include "study/fit_study.h"
#include "study/likeness.h"
#include "study/refine.h"
#include "study/requests.h"
#include "study/run.h"
#include "study/try.h"
#include "study/tune.h"
#include "view/compare.h"
#include "view/desk.h"
#include "view/fit.h"
#include "view/judge.h"
#include "view/show.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static const size_t bytes_inspect = (size_t)16 << 30; /* address space */
enum { OUTPUT_BYTES_MAX = 1 << 30 };

static bool hand_over(const err *from, caseload_error *to)
{
    if (to && from->code != ERR_NONE) {
        to->code = (int)from->code;
        memcpy(to->text, from->text, sizeof to->text);
    }
    return from->code == ERR_NONE;
}

_Static_assert(sizeof((caseload_error *)0)->text == sizeof((err *)0)->text,
               "errors are copied whole");

static void pour(const buf *b, caseload_sink *sink, void *context)
{
    if (sink && b->size) sink(context, b->data, b->size);
}

static engine_options engine_of(const caseload_engine_options *o)
{
    return (engine_options){.model = o->model,
                            .device = o->device,
                            .ranks = o->ranks,
                            .split = o->split,
                            .threads = o->threads,
                            .bytes_limit = o->memory_limit};
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool caseload_inspect(const caseload_inspect_options *o, caseload_sink *sink, void *context,
                      caseload_error *e)
{
    err failure = {0};
    arena memory;
    model_header h = {0};
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    bool opened = arena_open_up_to(&memory, bytes_inspect, "the model's tables", &failure);
    bool ok = opened && model_peek(&h, o->model, &memory, &failure);
    ok = ok && (o->json ? model_describe_json(&h, o->tensors, &out, &failure)
                        : model_describe(&h, o->tensors, &out, &failure));
    ok = ok && buf_check(&out, "the description", &failure);
    if (ok) pour(&out, sink, context);
    if (h.path) model_close_header(&h);
    if (opened) arena_close(&memory);
    buf_close(&out);
    return hand_over(&failure, e);
}

bool caseload_parse_memory(const char *text, int64_t *bytes, caseload_error *e)
{
    err failure = {0};
    card_parse_memory(str_of(text), bytes, &failure);
    return hand_over(&failure, e);
}

static fit_options fit_of(const caseload_fit_options *o)
{
    return (fit_options){.model = o->model,
                         .shape = o->shape,
                         .card = o->card,
                         .memory = o->memory,
                         .n_card = o->cards,
                         .device = o->device,
                         .threads = o->threads,
                         .ask = {.head_tokens = o->shared,
                                 .text_tokens = o->tokens,
                                 .shots = o->shots,
                                 .samples = o->samples,
                                 .new_tokens = o->new_tokens,
                                 .rank = o->rank,
                                 .batch = o->prompts,
                                 .rows = o->rows}};
}

typedef struct fit_open_work { /* what `fit` holds open */
    fit_options how;
    arena memory;
    tune *tune;
    run run; /* of a study */
    fit_study study;
    fit_opened opened;
    fit fit;
} fit_open_work;

/* Everything of a run but the weights. */
static bool prepare_study(const caseload_fit_options *o, const fit_target *where, fit_open_work *w,
                          err *e)
{
    int32_t of_card = where->card ? where->card->rows : 0;
    run_options how = {.study = o->study, .rows = o->rows ? o->rows : of_card};
    how.engine = (engine_options){.model = o->model,
                                  .device = o->device,
                                  .threads = o->threads,
                                  .sizes_only = true};
    if (o->card || o->memory) how.engine.bytes_elsewhere = INT64_MAX / 4; /* the verdict is ours */
    w->tune = tune_open(&(tune_options){.out = "."}, e); /* plans adapters, trains none */
    if (!w->tune) return false;
    how.maker = tune_maker(w->tune);
    return run_prepare(&w->run, &how, e);
}

/* A study's arms, and its lengths for the table by number type. */
static bool fit_one_study(const caseload_fit_options *o, fit_open_work *w, err *e)
{
    fit_target where;
    fit_options *how = &w->how;
    if (o->shape)
        return err_set(e, ERR_USAGE,
                       "a study needs a model's tokenizer: give its folder or file, not --shape");
    if (!arena_open_up_to(&w->memory, bytes_inspect, "the plan", e)) return false;
    if (!fit_find_target(&where, how, e) || !prepare_study(o, &where, w, e) ||
        !fit_study_make(&w->study, &w->run, w->tune, &where, &w->memory, e))
        return false;
    if (!how->model && w->run.n_model == 1) how->model = w->run.model[0].path;
    if (how->ask.head_tokens == 0) how->ask.head_tokens = w->study.ask.head_tokens;
    if (how->ask.text_tokens == 0) how->ask.text_tokens = w->study.ask.text_tokens;
    how->ask.texts = w->study.ask.texts;
    return true;
}

static bool fit_all(const caseload_fit_options *o, buf *out, err *e)
{
    fit_open_work w = {.how = fit_of(o)};
    const fit_study *study = o->study ? &w.study : NULL;
    bool ok = !study || fit_one_study(o, &w, e);
    if (ok && study && !o->json) ok = fit_study_write_text(study, o->colour, out, e);
    if (ok && study) w.fit = (fit){.target = w.study.target, .ask = w.study.ask};
    if (ok && (w.how.model || w.how.shape || !study)) /* several models: no table for each */
        ok = fit_open(&w.opened, &w.how, e) &&
             fit_make(&w.fit, &w.opened.setup, &w.opened.memory, e);
    if (ok && o->json) ok = fit_write_json(&w.fit, study, out, e);
    else if (ok && w.fit.n_line > 0) ok = fit_write_text(&w.fit, o->colour, out, e);
    fit_close(&w.opened);
    if (w.tune) tune_close(w.tune);
    if (w.run.memory.block) run_close(&w.run);
    if (w.memory.block) arena_close(&w.memory);
    return ok;
}

bool caseload_fit(const caseload_fit_options *o, caseload_sink *sink, void *context,
                  caseload_error *e)
{
    err failure = {0};
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    bool ok = o->list ? fit_write_lists(&out, &failure) : fit_all(o, &out, &failure);
    if (ok) pour(&out, sink, context);
    buf_close(&out);
    return hand_over(&failure, e);
}

typedef struct watch { /* progress of the library seen through the public callback */
    caseload_progress *progress;
    void *context;
    const char *phase, *detail;
    double start;
} watch;

/* Where texts are generated: tokens read and tokens written, each at its own measured speed. */
static double seconds_left_drawing(const run_state *s)
{
    if (s->tokens_done == 0 || s->drawn_done == 0) return -1;
    double read = s->seconds_forward * (double)(s->tokens_all - s->tokens_done);
    double written = s->seconds_drawn * (double)(s->drawn_all - s->drawn_done);
    double left = read / (double)s->tokens_done + written / (double)s->drawn_done;
    return left > 0 ? left : 0;
}

static bool tell(watch *w, const run_state *s)
{
    if (!w->progress) return true;
    double now = seconds_now();
    if (!w->phase || strcmp(w->phase, s->phase)) {
        w->phase = s->phase;
        w->start = now;
    }
    caseload_state state = {.phase = s->phase,
                            .detail = w->detail,
                            .texts_done = s->texts_done,
                            .texts_all = s->texts_all,
                            .texts_now = s->texts_now,
                            .tokens_done = s->tokens_done,
                            .tokens_all = s->tokens_all,
                            .seconds = now - w->start,
                            .seconds_left = -1};
    if (s->drawn_all > 0) state.seconds_left = seconds_left_drawing(s);
    else if (s->tokens_done > 0 && state.seconds > 0) {
        state.seconds_left =
            state.seconds * (double)(s->tokens_all - s->tokens_done) / (double)s->tokens_done;
    }
    return w->progress(w->context, &state);
}

static bool tell_run(void *context, const run_state *s) { return tell(context, s); }

static bool tell_requests(void *context, int64_t done, int64_t all)
{
    run_state s = {.phase = "scoring",
                   .texts_done = done,
                   .texts_all = all,
                   .texts_now = done,
                   .tokens_done = done,
                   .tokens_all = all};
    return tell(context, &s);
}

bool caseload_score(const caseload_score_options *o, caseload_error *e)
{
    err failure = {0};
    engine g = {0};
    engine_options how = engine_of(&o->engine);
    watch w = {.progress = o->progress, .context = o->context};
    buf out = buf_up_to(BUF_MAX);
    requests_options options = {.rows = o->engine.rows,
                                .batch_items = o->engine.batch,
                                .done = tell_requests,
                                .context = &w};
    bool ok = engine_peek(&g, &how, &failure);
    ok = ok && requests_run(&g, (str){o->jsonl, o->size}, options, &out, &failure);
    if (ok) pour(&out, o->sink, o->context);
    engine_close(&g);
    buf_close(&out);
    return hand_over(&failure, e);
}

bool caseload_init(const char *file, const char *model, caseload_sink *sink, void *context,
                   caseload_error *e)
{
    err failure = {0};
    arena memory;
    table t;
    guess g;
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    bool opened = arena_open_up_to(&memory, bytes_inspect, "the table", &failure);
    bool ok = opened && table_read(&t, file, (table_options){0}, &memory, &failure);
    ok = ok && guess_columns(&g, &t, &memory, &failure);
    ok = ok && guess_write_study(&g, &t, str_of(file), str_of(model ? model : "models/model.gguf"),
                                 &out, &failure);
    if (ok) pour(&out, sink, context);
    if (opened) arena_close(&memory);
    buf_close(&out);
    return hand_over(&failure, e);
}

static run_options run_of(const caseload_engine_options *o, const char *study, watch *w)
{
    return (run_options){.study = study,
                         .engine = engine_of(o),
                         .batch_items = o->batch,
                         .rows = o->rows,
                         .unshared = o->unshared,
                         .progress = tell_run,
                         .context = w};
}

bool caseload_try(const caseload_try_options *o, caseload_sink *sink, void *context,
                  caseload_error *e)
{
    err failure = {0};
    watch w = {0};
    run_options how = run_of(&o->engine, o->study, &w);
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    try_options what = {.row = o->row, .arm = o->arm, .colour = o->colour};
    tune *t = tune_open(&(tune_options){0}, &failure); /* trains nothing: the model as it is */
    if (t) how.maker = tune_maker(t);
    if (t && try_row(&how, &what, &out, &failure)) pour(&out, sink, context);
    tune_close(t);
    buf_close(&out);
    return hand_over(&failure, e);
}

/* Everything that is shown of a store; `explain` set: one number's origin instead. */
static bool judge_folder(const store *s, const caseload_report_options *o, buf *shown, err *e)
{
    char date[32];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%Y-%m-%d", &utc);
    show_options how = {.out = o->out,
                        .colour = o->colour,
                        .date = date,
                        .version = CASELOAD_VERSION,
                        .paper = o->paper};
    return o->explain ? show_number(s, &how, o->explain, shown, e) : show_study(s, &how, shown, e);
}

typedef struct tune_watch {
    const caseload_tune_options *o;
    double start, start_work; /* seconds: of all; of the first training */
} tune_watch;

static bool tell_tune(void *context, const tune_state *s)
{
    tune_watch *w = context;
    if (!w->o->progress) return true;
    const double now = seconds_now();
    caseload_tune_state state = {.phase = s->phase,
                                 .adapter = s->unit,
                                 .number = s->number,
                                 .of = s->of,
                                 .updates_done = s->updates_done,
                                 .updates_all = s->updates_all,
                                 .rows_done = s->rows_done,
                                 .loss = s->loss,
                                 .tune_auroc = s->auroc,
                                 .seconds = now - w->start,
                                 .seconds_left = -1};
    if (s->of > 0 && w->start_work == 0) w->start_work = now;
    if (s->tokens_now > 0 && now > w->start_work) {
        const double speed = (double)s->tokens_now / (now - w->start_work);
        state.tokens_per_second = speed / 3;
        state.seconds_left = (double)s->tokens_left / speed;
    }
    return w->o->progress(w->o->context, &state);
}

static bool tell_preparing(void *context, const run_state *s)
{
    const tune_state state = {.phase = s->phase, .loss = (double)NAN, .auroc = (double)NAN};
    return tell_tune(context, &state);
}

static bool tune_prepared(const caseload_tune_options *o, tune *t, run *r, buf *shown, err *e)
{
    fit_forecast plan;
    if (o->plan) return tune_describe(t, shown, e);
    if (!fit_forecast_make(&plan, &(fit_forecast_ask){.run = r, .tune = t}, e)) return false;
    const double start = seconds_now();
    if (!tune_train_all(t, r, shown, e)) return false;
    if (o->steps == 0 && !o->certify) fit_forecast_say(&plan, seconds_now() - start, shown);
    return true;
}

bool caseload_tune(const caseload_tune_options *o, caseload_error *e)
{
    err failure = {0};
    run r = {0};
    buf shown = buf_up_to(OUTPUT_BYTES_MAX);
    tune_watch w = {.o = o, .start = seconds_now()};
    tune_options what = {.out = o->out ? o->out : ".",
                         .arm = o->arm,
                         .needed = true,
                         .stop_after = o->steps,
                         .checkpoint_every = o->checkpoint,
                         .certify = o->certify,
                         .progress = tell_tune,
                         .context = &w};
    tune *t = tune_open(&what, &failure);
    run_options how = {.study = o->study,
                       .out = o->plan ? NULL : o->out,
                       .engine = engine_of(&o->engine),
                       .batch_items = o->engine.batch,
                       .rows = o->engine.rows,
                       .progress = tell_preparing,
                       .context = &w};
    if (t) how.maker = tune_maker(t);
    bool ok = t && run_prepare(&r, &how, &failure) && tune_prepared(o, t, &r, &shown, &failure);
    if (ok) pour(&shown, o->sink, o->context);
    tune_close(t);
    run_close(&r);
    buf_close(&shown);
    return hand_over(&failure, e);
}

/* A training within a run: the public state with a line about it. */
static bool tell_training(void *context, const tune_state *s)
{
    watch *w = context;
    char detail[400], loss[40] = "", auroc[40] = "";
    if (!w->progress || s->of == 0) return true;
    if (!isnan(s->loss)) snprintf(loss, sizeof loss, ", loss %.4f", s->loss);
    if (!isnan(s->auroc)) snprintf(auroc, sizeof auroc, ", tune AUROC %.4f", s->auroc);
    snprintf(detail, sizeof detail, "%.200s (%d of %d): update %lld of %lld%s%s", s->unit,
             s->number, s->of, (long long)s->updates_done, (long long)s->updates_all, loss, auroc);
    const run_state state = {.phase = "training",
                             .tokens_done = s->tokens_now,
                             .tokens_all = s->tokens_now + s->tokens_left};
    w->detail = detail;
    bool on = tell(w, &state);
    w->detail = NULL;
    return on;
}

/* What it cost: tokens, memory, time, planned beside measured. */
static bool score_as_predicted(run *r, tune *t, buf *shown, err *e)
{
    fit_forecast plan;
    if (!fit_forecast_make(&plan, &(fit_forecast_ask){.run = r, .tune = t, .scores = true}, e))
        return false;
    const double start = seconds_now();
    if (!run_score(r, e)) return false;
    run_say_cost(r, shown);
    run_say_memory(r, shown);
    fit_forecast_say(&plan, seconds_now() - start, shown);
    return true;
}

bool caseload_run(const caseload_run_options *o, caseload_error *e)
{
    err failure = {0};
    run r = {0};
    watch w = {.progress = o->progress, .context = o->context};
    run_options how = run_of(&o->engine, o->study, &w);
    buf shown = buf_up_to(OUTPUT_BYTES_MAX), memory = buf_up_to(1 << 20);
    caseload_report_options show = {.out = o->out, .colour = o->colour, .paper = o->paper};
    how.out = o->plan ? NULL : o->out;
    how.limit = o->limit;
    tune_options training = {.out = o->out ? o->out : ".",
                             .progress = tell_training,
                             .context = &w};
    tune *t = tune_open(&training, &failure);
    if (t) how.maker = tune_maker(t);
    bool ok = t && run_prepare(&r, &how, &failure);
    if (o->plan)
        ok = ok && run_describe_plan(&r, &shown, &failure) &&
             (!tune_trains(t) || tune_describe(t, &shown, &failure));
    else ok = ok && score_as_predicted(&r, t, &memory, &failure);
    if (ok && !o->plan) {
        tune_close(t);
        t = NULL;
        run_close_models(&r); /* drawing takes memory of its own */
        ok = !likeness_wanted(&r) || likeness_record(&r, &failure);
        ok = ok && judge_folder(r.store, &show, &shown, &failure);
        buf_add_str(&shown, buf_view(&memory));
    }
    if (ok) pour(&shown, o->sink, o->context);
    tune_close(t);
    run_close(&r);
    buf_close(&memory);
    buf_close(&shown);
    return hand_over(&failure, e);
}

bool caseload_report(const caseload_report_options *o, caseload_sink *sink, void *context,
                     caseload_error *e)
{
    err failure = {0};
    char path[4096];
    buf shown = buf_up_to(OUTPUT_BYTES_MAX);
    snprintf(path, sizeof path, "%s/study.db", o->out);
    store *s = store_open_read(path, &failure);
    bool ok = s && judge_folder(s, o, &shown, &failure);
    if (ok) pour(&shown, sink, context);
    store_close(s);
    buf_close(&shown);
    return hand_over(&failure, e);
}

static bool write_split(const spec *s, const table *t, const char *path, arena *a, buf *shown,
                        err *e)
{
    buf file = buf_up_to(BUF_MAX);
    bool ok =
        partition_make(s, t, a, &file, shown, e) && file_write_atomic(path, buf_view(&file), e);
    buf_close(&file);
    if (!ok) return false;
    buf_printf(shown, "wrote %s\n", path);
    if (!s->data.split_file.text.data)
        buf_printf(shown, "now name it in %s, under `data`:  split_file: %s\n", s->path, path);
    return buf_check(shown, "the split", e);
}

bool caseload_split(const char *study, const char *out, caseload_sink *sink, void *context,
                    caseload_error *e)
{
    err failure = {0};
    arena memory;
    spec s;
    table t;
    buf shown = buf_up_to(OUTPUT_BYTES_MAX);
    bool opened = arena_open_up_to(&memory, bytes_inspect, "the table", &failure);
    bool ok = opened && spec_read(&s, study, &memory, &failure);
    const char *path = out ? out : ok ? s.data.split_file.text.data : NULL;
    if (ok && !path)
        ok = err_set(&failure, ERR_USAGE,
                     "%s: give --out FILE, or say under `data` where the split goes: `split_file: "
                     "splits.csv`",
                     study);
    if (ok && file_exists(path))
        ok = err_set(&failure, ERR_USAGE,
                     "%s is there already: a split is made once; delete the file to make another",
                     path);
    ok = ok &&
         table_read(&t, s.data.file.text.data, (table_options){.encoding = s.data.encoding},
                    &memory, &failure) &&
         options_each(&s, &t, &memory, &failure) && options_complete(&s, &t, &memory, &failure);
    if (ok && write_split(&s, &t, path, &memory, &shown, &failure)) pour(&shown, sink, context);
    if (opened) arena_close(&memory);
    buf_close(&shown);
    return hand_over(&failure, e);
}

/* The folder of versions: named, or itself, or `prompts` beside the study. */
static const char *versions_folder(const caseload_prompts_options *o, arena *a, err *e)
{
    if (o->folder) return o->folder;
    if (file_is_folder(o->study)) return o->study;
    if (!file_exists(o->study)) {
        err_set(e, ERR_USAGE, "cannot find the study file %s; give it, or --folder DIR", o->study);
        return NULL;
    }
    const char *slash = strrchr(o->study, '/');
    const char *beside = slash ? arena_copy_text(a, o->study, (size_t)(slash - o->study), e) : ".";
    return beside ? prompts_folder(beside, a, e) : NULL;
}

static bool read_version_file(const char *path, prompt_version *v, arena *a, err *e)
{
    file_map m;
    if (!file_map_open(&m, path, ERR_USAGE, e)) return false;
    bool ok = prompts_parse(v, (str){(const char *)m.data, m.size}, path, a, e);
    file_map_close(&m);
    return ok;
}

static bool find_version(const prompt_list *l, const char *name, prompt_version *v, err *e)
{
    const prompt_version *found = prompts_find(l, str_of(name));
    if (found) *v = *found;
    return found || err_set(e, ERR_USAGE, "%s has no version '%.100s'", l->folder, name);
}

bool caseload_prompts(const caseload_prompts_options *o, caseload_sink *sink, void *context,
                      caseload_error *e)
{
    err failure = {0};
    arena memory;
    prompt_list list = {0};
    prompt_version a, b;
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    bool opened = arena_open_up_to(&memory, bytes_inspect, "the versions", &failure), ok = opened;
    const char *folder = ok && o->study ? versions_folder(o, &memory, &failure) : NULL;
    if (folder) ok = prompts_read(&list, folder, &memory, &failure);
    else if (ok && o->study) ok = false;
    if (ok && !o->a) prompts_show(&list, &out);
    else if (ok)
        ok = (o->study ? find_version(&list, o->a, &a, &failure) &&
                             find_version(&list, o->b, &b, &failure)
                       : read_version_file(o->a, &a, &memory, &failure) &&
                             read_version_file(o->b, &b, &memory, &failure)) &&
             prompts_diff(&a, &b, o->colour, &memory, &out, &failure);
    if (ok && buf_check(&out, "the versions", &failure)) pour(&out, sink, context);
    if (opened) arena_close(&memory);
    buf_close(&out);
    return hand_over(&failure, e);
}

static bool tell_refine(void *context, int64_t done, int64_t all)
{
    run_state s = {.phase = "reading the question", .tokens_done = done, .tokens_all = all};
    return tell(context, &s);
}

bool caseload_refine(const caseload_refine_options *o, caseload_sink *sink, void *context,
                     caseload_error *e)
{
    err failure = {0};
    watch w = {.progress = o->progress, .context = o->context};
    char today[16] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc)) strftime(today, sizeof today, "%Y-%m-%d", &utc);
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    refine_options how = {.engine = engine_of(&o->engine),
                          .study = o->study,
                          .arm = o->arm,
                          .folder = o->folder,
                          .date = today,
                          .proposals = o->proposals,
                          .seed = o->seed,
                          .done = tell_refine,
                          .context = &w};
    bool ok = refine_question(&how, &out, &failure);
    if (out.size) pour(&out, sink, context); /* what was written before a failure is there */
    buf_close(&out);
    (void)ok;
    return hand_over(&failure, e);
}

static bool pour_desk(bool ok, buf *out, caseload_sink *sink, void *context, err *failure,
                      caseload_error *e)
{
    if (ok) pour(out, sink, context);
    buf_close(out);
    return hand_over(failure, e);
}

bool caseload_agree(const caseload_desk_options *o, caseload_sink *sink, void *context,
                    caseload_error *e)
{
    err failure = {0};
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    desk_agree how = {.table = o->table,
                      .rater = o->column,
                      .n = o->n_column,
                      .ordered = o->ordered,
                      .seed = o->seed};
    bool ok = desk_write_agree(&how, o->json, &out, &failure);
    return pour_desk(ok, &out, sink, context, &failure, e);
}

bool caseload_overlap(const caseload_desk_options *o, caseload_sink *sink, void *context,
                      caseload_error *e)
{
    err failure = {0};
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    desk_overlap how = {.table = o->table,
                        .reference = o->column[0],
                        .generated = o->column[1],
                        .ascii = o->ascii,
                        .stem = o->stem};
    bool ok = desk_write_overlap(&how, o->json, &out, &failure);
    return pour_desk(ok, &out, sink, context, &failure, e);
}

bool caseload_size(const caseload_desk_options *o, caseload_sink *sink, void *context,
                   caseload_error *e)
{
    err failure = {0};
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    desk_size how = {.auroc = o->auroc,
                     .prevalence = o->prevalence,
                     .rows = o->rows,
                     .width = o->width,
                     .power = o->power,
                     .prompts = o->prompts};
    bool ok = desk_write_size(&how, o->json, &out, &failure);
    return pour_desk(ok, &out, sink, context, &failure, e);
}

bool caseload_audit(const caseload_desk_options *o, caseload_sink *sink, void *context,
                    caseload_error *e)
{
    err failure = {0};
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    desk_audit how = {.right = {o->right[0], o->right[1], o->right[2]},
                      .wrong = {o->wrong[0], o->wrong[1], o->wrong[2]}};
    bool ok = desk_write_audit(&how, o->json, &out, &failure);
    return pour_desk(ok, &out, sink, context, &failure, e);
}

bool caseload_judge(const caseload_judge_options *o, caseload_sink *sink, void *context,
                    caseload_error *e)
{
    err failure = {0};
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    judge_options how = {.table = o->table,
                         .label = o->label,
                         .positive = o->positive,
                         .score = o->score,
                         .n_score = o->n_score,
                         .patient = o->patient,
                         .group = o->group,
                         .probability = o->probability,
                         .json = o->json,
                         .settings = {.threshold = o->threshold,
                                      .n_draw = o->draws,
                                      .seed = o->seed}};
    if (judge_table(&how, &out, &failure)) pour(&out, sink, context);
    buf_close(&out);
    return hand_over(&failure, e);
}

bool caseload_compare(const caseload_compare_options *o, caseload_sink *sink, void *context,
                      caseload_error *e)
{
    err failure = {0};
    char path[4096];
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    compare_options how = {.arm = o->arm,
                           .n_arm = o->n_arm,
                           .group = o->group,
                           .json = o->json,
                           .settings = {.threshold = 0.5, .n_draw = o->draws, .seed = 1}};
    snprintf(path, sizeof path, "%s/study.db", o->out);
    store *s = store_open_read(path, &failure);
    if (s && compare_arms(s, &how, &out, &failure)) pour(&out, sink, context);
    store_close(s);
    buf_close(&out);
    return hand_over(&failure, e);
}

static const char *how_cards_meet(int32_t n)
{
    int32_t pairs = 0;
    for (int32_t i = 0; i < n; i++) {
        for (int32_t k = 0; k < n; k++) pairs += i != k && cuda_reaches(i, k);
    }
    return pairs == n * (n - 1) ? "all; each reaches the others' memory without the host"
           : pairs > 0          ? "all; some reach others' memory without the host"
                                : "all; what goes from one to another goes through the host";
}

static void list_cards(buf *out)
{
    const int32_t n = cuda_count();
    for (int32_t i = 0; i < n; i++) {
        err why = {0};
        cuda_card card;
        bool ok = cuda_describe(i, &card, &why);
        buf_printf(out, "cuda:%-6d ", i);
        if (!ok) buf_printf(out, "%s\n", why.text);
        else
            buf_printf(out, "%s, compute capability %d.%d, %.1f of %.1f GB free\n", card.name,
                       card.major, card.minor, (double)card.bytes_free / 1e9,
                       (double)card.bytes_total / 1e9);
    }
    if (n > 1) buf_printf(out, "%-11s %s\n", "cuda:all", how_cards_meet(n));
    if (n == 0) {
        err why = {0};
        cuda_card card;
        cuda_describe(0, &card, &why);
        buf_printf(out, "%-11s %s\n", "cuda", why.text);
    }
}

static bool tell_convert(void *context, int64_t done, int64_t all)
{
    run_state s = {.phase = "converting", .tokens_done = done, .tokens_all = all};
    return tell(context, &s);
}

bool caseload_convert(const caseload_convert_options *o, caseload_error *e)
{
    err failure = {0};
    watch w = {.progress = o->progress, .context = o->context};
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    convert_options how = {.model = o->model,
                           .adapter = o->adapter,
                           .out = o->out,
                           .type = o->type,
                           .force = o->force,
                           .progress = tell_convert,
                           .context = &w};
    adapter_convert_options only = {.base = o->model,
                                    .adapter = o->adapter,
                                    .out = o->out,
                                    .force = o->force};
    how.threads = pool_open(o->threads, &failure);
    bool ok = how.threads && (o->adapter_only ? adapter_convert(&only, &out, &failure)
                                              : convert_model(&how, &out, &failure));
    ok = ok && buf_check(&out, "the report", &failure);
    if (ok) pour(&out, o->sink, o->context);
    pool_close(how.threads);
    buf_close(&out);
    return hand_over(&failure, e);
}

static bool tell_certify(void *context, int done, int all)
{
    run_state s = {.phase = "certifying",
                   .texts_done = done,
                   .texts_all = all,
                   .tokens_done = done,
                   .tokens_all = all};
    return tell(context, &s);
}

bool caseload_certify(const caseload_certify_options *o, caseload_error *e)
{
    err failure = {0};
    watch w = {.progress = o->progress, .context = o->context};
    buf out = buf_up_to(OUTPUT_BYTES_MAX), path = buf_up_to(8192);
    if (o->out) buf_add_text(&path, o->out);
    else
        buf_printf(&path, "%s%scertificate.json", o->adapter,
                   file_is_folder(o->adapter) ? "/" : ".");
    tune *t = tune_open(&(tune_options){0}, &failure);
    certify_options how = {.study = o->study,
                           .arm = o->arm,
                           .model = o->model,
                           .adapter = o->adapter,
                           .given = o->merged,
                           .given_only = o->merged_only,
                           .out = path.data,
                           .engine = engine_of(&o->engine),
                           .progress = tell_certify,
                           .context = &w};
    if (t) how.maker = tune_maker(t);
    if (t && buf_check(&path, "the certificate's path", &failure)) certify(&how, &out, &failure);
    tune_close(t);
    pour(&out, o->sink, o->context);
    buf_close(&out);
    buf_close(&path);
    return hand_over(&failure, e);
}

bool caseload_devices(caseload_sink *sink, void *context, caseload_error *e)
{
    static const char *const devices[] = {"cpu", "cpu:int16", "cpu:avx512", "cpu:avx2", "ref"};
    err failure = {0};
    buf out = buf_up_to(OUTPUT_BYTES_MAX);
    pool *threads = pool_open(0, &failure);
    for (size_t i = 0; threads && i < countof(devices); i++) {
        err why = {0};
        backend b;
        bool ok = backend_open(&b, devices[i], threads, &why);
        if (ok) buf_printf(&out, "%-11s %s, %d threads\n", devices[i], b.isa, pool_size(threads));
        else buf_printf(&out, "%-11s not on this machine\n", devices[i]);
    }
    list_cards(&out);
    pool_close(threads);
    pour(&out, sink, context);
    buf_close(&out);
    return hand_over(&failure, e);
}

bool caseload_notes(const caseload_notes_options *o, double *best_auroc, caseload_error *e)
{
    err failure = {0};
    notes_options how = {
        .n_row = o->rows, .seed = o->seed, .share = o->serious, .noise = o->noise, .hard = o->hard};
    buf csv = buf_up_to(OUTPUT_BYTES_MAX);
    bool ok = !o->language || notes_language_from(o->language, &how.language) ||
              err_set(&failure, ERR_USAGE, "unknown language '%s'; there are en, ko and mixed",
                      o->language);
    ok = ok && notes_write(&how, &csv, &failure) &&
         file_write_atomic(o->out, buf_view(&csv), &failure);
    if (ok && best_auroc) *best_auroc = notes_best_auroc_of(&how);
    buf_close(&csv);
    return hand_over(&failure, e);
}
