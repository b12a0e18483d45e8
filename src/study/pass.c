/* pass: see pass.h. */
#include "study/pass_in.h"

#include "base/file.h"
#include "base/room.h"
#include "compute/device.h"
#include "model/adapter_files.h"

#include <assert.h>
#include <stdio.h>

/* ---- the adapter ---- */

/* `name` NULL: `folder` is a file itself. */
static bool hash_file(hash_state *h, const char *folder, const char *name, err *e)
{
    char path[4200];
    file_map m;
    snprintf(path, sizeof path, name ? "%s/%s" : "%s", folder, name);
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
        (file_is_folder(p->adapter) ? hash_file(&h, p->adapter, "adapter_config.json", e) &&
                                          hash_file(&h, p->adapter, "adapter_model.safetensors", e)
                                    : hash_file(&h, p->adapter, NULL, e));
    if (ok) p->adapter_rank = l.config.rank;
    if (ok) p->adapter_hash = hash_finish(&h);
    arena_reset(&r->memory, mark);
    return ok;
}

/* ---- the session ---- */

/* Schedules of all chapters, in the run's memory. */
static bool find_work(run *r, const pass *p, engine_work *w, err *e)
{
    int32_t n = book_count(&p->book);
    const schedule **all = arena_take(&r->memory, (size_t)n, sizeof *all, e);
    *w = (engine_work){.schedule = all, .adapter_rank = p->adapter_rank};
    for (int32_t i = 0; all && i < n; i++)
        all[w->n_schedule++] = &book_chapter(&p->book, i)->schedule;
    return all != NULL;
}

/* In the run's memory, for the plan. */
static bool describe_ranks(run *r, pass *p, const crew *c, err *e)
{
    buf text = buf_up_to(1 << 20);
    crew_describe(c, &text);
    p->ranks_text = str_keep(&r->memory, buf_view(&text), e);
    buf_close(&text);
    return e->code == ERR_NONE;
}

bool pass_plan(run *r, pass *p, int64_t *bytes, err *e)
{
    engine_work w;
    size_t mark = arena_mark(&r->memory);
    *bytes = 0;
    bool ok = find_work(r, p, &w, e);
    run_model *m = &r->model[p->model];
    if (ok && w.n_schedule > 0) ok = crew_plan(&m->crew, &w, bytes, e);
    p->bytes_device = m->engine.bytes_device;
    arena_reset(&r->memory, mark);
    return ok && (w.n_schedule == 0 || describe_ranks(r, p, &m->crew, e));
}

bool pass_plan_rows(run *r, const pass *p, int32_t rows, int64_t *bytes, err *e)
{
    size_t mark = arena_mark(&r->memory), n = (size_t)book_count(&p->book);
    const schedule **all = arena_take(&r->memory, n, sizeof *all, e);
    schedule *made = arena_take_zero(&r->memory, n, sizeof *made, e);
    engine_work w = {.schedule = all, .adapter_rank = p->adapter_rank};
    for (int32_t i = 0; e->code == ERR_NONE && i < (int32_t)n; i++) {
        const chapter *c = book_chapter(&p->book, i);
        schedule_options how = {.rows = rows, .batch_items = r->options.batch_items};
        how = chapter_options(c, how);
        if (schedule_make(&made[i], &c->tree, how, &r->memory, e)) all[w.n_schedule++] = &made[i];
    }
    *bytes = 0;
    bool ok = e->code == ERR_NONE;
    if (ok && w.n_schedule > 0) ok = crew_plan(&r->model[p->model].crew, &w, bytes, e);
    arena_reset(&r->memory, mark);
    return ok;
}

static bool open_session(run *r, pass *p, err *e)
{
    const engine *g = &r->model[p->model].engine;
    crew *c = &r->model[p->model].crew;
    engine_work w;
    lora *l = NULL;
    if (p->adapter) {
        l = arena_take(&r->memory, 1, sizeof *l, e);
        if (!l || !adapter_read(l, p->adapter, &g->header.config, &r->memory, e)) return false;
    }
    if (!find_work(r, p, &w, e) || !crew_start(c, &w, l, e)) return false;
    p->bytes_planned = 0;
    for (int32_t i = 0; i < c->n; i++) p->bytes_planned += (int64_t)c->rank[i]->bytes_planned;
    return true;
}

void run_rest_models(const run *r)
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
    r->state.texts_all -= p->texts_all;
    r->state.texts_done -= p->texts_done;
    r->state.tokens_all -= p->tokens_todo;
    r->state.drawn_all -= p->drawn_todo;
    if (!store_begin(r->store, e)) return false;
    if (pass_ask(r, p, e) && run_record_arms(r, p, e)) return store_commit(r->store, e);
    store_undo(r->store);
    return false;
}

bool pass_run(run *r, pass *p, err *e)
{
    engine *g = &r->model[p->model].engine;
    if (p->late && !make_adapter(r, p, e)) return false;
    if (book_count(&p->book) == 0) return pass_complete(r, p, e);
    size_t mark = arena_mark(&r->memory);
    double start = run_clock();
    run_rest_models(r);
    room_start_peak();
    p->bytes_before = room_bytes_resident();
    p->bytes_weights = device_is_apart(&g->backend) ? 0 : g->header.bytes_weights;
    bool ok = run_tell(r, "opening the weights", e) && open_session(r, p, e) &&
              pass_score(r, p, e) && pass_complete(r, p, e);
    p->seconds = run_clock() - start;
    p->bytes_peak = room_bytes_peak();
    crew_stop(&r->model[p->model].crew);
    arena_reset(&r->memory, mark);
    if (!ok && e->code != ERR_STOPPED) return false;
    err failure = {0};
    bool kept = store_begin(r->store, &failure) && run_record_cost(r, p, &failure) &&
                store_commit(r->store, &failure);
    if (ok && !kept) *e = failure;
    return ok && kept;
}
