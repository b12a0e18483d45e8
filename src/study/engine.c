/* engine: see engine.h. */
#include "study/engine.h"

#include "compute/device.h"
#include "model/plan.h"
#include "model/weave.h"

#include <assert.h>

static const size_t bytes_memory = (size_t)16
                                   << 30; /* address space; pages are taken when touched */

/* Every tensor is where its file's map is. */
static bool header_is_whole(const model_header *h)
{
    for (int32_t i = 0; i < h->n_tensor; i++) {
        const unsigned char *at = h->tensor[i].view.data;
        const file_map *m = h->n_file > 0 ? &h->file[h->tensor[i].file] : NULL;
        if (!m || at < m->data || at >= m->data + m->size) return false;
    }
    return true;
}

static bool check_single(const engine_options *o, err *e)
{
    const char *device = o->device ? o->device : "";
    if (o->ranks < 2 && !o->split && !strchr(device, ',') && strncmp(device, "cuda:all", 8) != 0)
        return true;
    return err_set(
        e, ERR_USAGE,
        "several devices (%s%s%s) are for `run`, `try` and `tune`; give one --device here", device,
        o->ranks > 1 ? ", --ranks" : "", o->split ? ", --split" : "");
}

bool engine_open_beside(engine *g, const engine *first, const engine_options *o, err *e)
{
    assert(o->device);
    *g = (engine){.header = first->header,
                  .bytes_limit = first->bytes_limit,
                  .bytes_elsewhere = first->bytes_elsewhere,
                  .incomplete = first->incomplete,
                  .beside = true};
    if (!arena_open_up_to(&g->memory, bytes_memory, "a rank's tables", e)) return false;
    g->model.header = &g->header;
    g->model.config = &g->header.config;
    g->device = arena_copy_text(&g->memory, o->device, strlen(o->device), e);
    g->threads = pool_open(o->threads, e);
    return g->device && g->threads && backend_open(&g->backend, o->device, g->threads, e);
}

bool engine_open_borrower(engine *g, const engine *lender, err *e)
{
    *g = (engine){.header = lender->header,
                  .bytes_limit = lender->bytes_limit,
                  .bytes_elsewhere = lender->bytes_elsewhere,
                  .incomplete = lender->incomplete,
                  .beside = true,
                  .in_company = true,
                  .lender = lender,
                  .device = lender->device};
    if (!arena_open_up_to(&g->memory, bytes_memory, "a rank's tables", e)) return false;
    g->model = (struct model){.header = &g->header, .config = &g->header.config};
    g->threads = pool_open(pool_size(lender->threads), e);
    if (!g->threads || !device_open_beside(&g->backend, &lender->backend, e)) return false;
    g->backend.threads = g->threads;
    return true;
}

bool engine_peek(engine *g, const engine_options *o, err *e)
{
    assert(o->model);
    *g = (engine){0};
    if (!check_single(o, e)) return false;
    if (!arena_open_up_to(&g->memory, bytes_memory, "the model's tables", e)) return false;
    bool ok = o->sizes_only ? model_peek_sizes(&g->header, o->model, true, &g->memory, e) &&
                                  plan_complete_header(&g->header, &g->memory, e)
                            : model_peek(&g->header, o->model, &g->memory, e);
    if (!ok) return false;
    g->incomplete = o->sizes_only && !header_is_whole(&g->header);
    g->bytes_limit = o->bytes_limit;
    g->bytes_elsewhere = o->bytes_elsewhere;
    g->model.header = &g->header;
    g->model.config = &g->header.config;
    if (g->header.chat_template.size) {
        g->chat = chat_open(g->header.chat_template, "chat template", e);
        if (!g->chat) return err_in(e, "%s", o->model);
    }
    g->threads = pool_open(o->threads, e);
    return g->threads && backend_open(&g->backend, o->device ? o->device : "cpu", g->threads, e);
}

int32_t engine_rows(const engine *g)
{
    return device_is_apart(&g->backend) ? ENGINE_ROWS_APART : ENGINE_ROWS;
}

static int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }

session_shape engine_shape(const engine_work *w)
{
    const schedule *const *s = w->schedule;
    session_shape shape = {.adapter_rank = w->adapter_rank};
    for (int32_t i = 0; i < w->n_schedule; i++) {
        shape.rows = larger(shape.rows, s[i]->shape.rows);
        shape.slots = larger(shape.slots, s[i]->shape.slots);
        shape.positions = larger(shape.positions, s[i]->shape.positions);
        shape.out_rows = larger(shape.out_rows, s[i]->shape.out_rows);
        shape.picks = larger(shape.picks, s[i]->shape.picks);
        shape.n_top = larger(shape.n_top, s[i]->shape.n_top);
        shape.logit_rows = larger(shape.logit_rows, s[i]->shape.logit_rows);
    }
    return shape;
}

static session_shape shape_of_part(const engine *g, const engine_work *w)
{
    session_shape shape = engine_shape(w);
    shape.follows = g->part.first > 0;
    return shape;
}

static bool check_context(const engine *g, int32_t positions, err *e)
{
    int32_t n_context = g->header.config.n_context;
    if (n_context <= 0 || positions <= n_context) return true;
    return err_set(
        e, ERR_USAGE,
        "the longest prompt has %d tokens, but %s was made for %d; set `limits: max_tokens`",
        positions, g->header.path, n_context);
}

static bool lay_out_scorer(engine *g, const schedule *s, arena *a, err *e)
{
    if (!scorer_lay_out(&g->scorer, s, &g->session, a, e)) return false;
    return s->options.streams == 0 ||
           generator_lay_out(&g->generator, &g->scorer, g->header.tokens, a, e);
}

/* Where weights are: pointers into the file's map. Nothing of them is read. Of a lender: where its
 * device has them. */
static bool bind_once(engine *g, err *e)
{
    if (g->lender) {
        g->model.weights = g->lender->model.weights;
        return true;
    }
    if (g->model.weights.layer) return true;
    if (!model_bind(&g->model.weights, &g->header, &g->memory, e)) return false;
    if (g->part.end > 0) model_cut_weights(&g->model, &g->part);
    return true;
}

void engine_take_part(engine *g, int32_t first, int32_t end)
{
    const bool whole = first == 0 && end == g->header.config.n_layer;
    assert(!g->block.block);
    if (whole ? g->part.end == 0 : g->part.first == first && g->part.end == end) return;
    g->part = (model_part){.first = whole ? 0 : first, .end = whole ? 0 : end};
    g->model = (model){.header = &g->header, .config = &g->header.config};
    if (!whole) model_cut(&g->model, &g->part);
}

static bool place_weights(engine *g, err *e)
{
    return g->lender || model_place(&g->model, &g->backend, e);
}

/* The adapter beside the model; one that is not made yet counts as if it had every target. */
static bool place_adapter(engine *g, const lora *adapter, int32_t rank, err *e)
{
    arena unused = ARENA_MEASURE;
    const lora_config any = {.rank = rank, .alpha = 1};
    g->adapter = adapter ? *adapter : (lora){0};
    if (rank == 0) return true;
    if (!adapter && !lora_lay_out(&g->adapter, &g->header.config, any, &unused, e)) return false;
    if (!lora_upload(&g->adapter, &g->backend, e)) return false;
    if (g->adapter.place) g->adapter.place += (int64_t)g->part.first * LORA_TARGETS;
    return true;
}

static bool plan_with(engine *g, const engine_work *w, const lora *adapter, int64_t *bytes, err *e)
{
    arena plan = ARENA_MEASURE;
    device_measure(&g->backend);
    if (device_is_apart(&g->backend) &&
        !(bind_once(g, e) && place_weights(g, e) &&
          place_adapter(g, adapter, w->adapter_rank, e)))
        return false;
    session_shape shape = shape_of_part(g, w);
    if (!check_context(g, shape.positions, e)) return false;
    if (!session_lay_out(&g->session, &g->model, &g->backend, shape, &plan, e)) return false;
    g->mark = plan.used;
    for (int32_t i = 0; i < w->n_schedule; i++) {
        if (!lay_out_scorer(g, w->schedule[i], &plan, e)) return false;
        arena_reset(&plan, g->mark);
    }
    *bytes = (int64_t)plan.peak;
    g->bytes_planned = plan.peak;
    g->bytes_device = device_planned(&g->backend);
    return true;
}

room engine_room(const engine *g)
{
    if (g->bytes_elsewhere == 0) return room_now(g->bytes_limit);
    return (room){.bytes = g->bytes_elsewhere,
                  .bound = "that place has only",
                  .bytes_mapping = INT64_MAX};
}

bool engine_plan(engine *g, const engine_work *w, int64_t *bytes, err *e)
{
    return plan_with(g, w, NULL, bytes, e);
}

/* Of the device's own memory. */
static bool check_card(const engine *g, err *e)
{
    const int64_t left = device_room(&g->backend);
    if (left < 0 || (int64_t)g->bytes_device <= left) return true;
    return err_set(e, ERR_RESOURCE,
                   "%s: weights and session take %.2f GB of the GPU, and %.2f GB are free there; "
                   "give a smaller --rows, or take a smaller or quantised model",
                   g->header.path, (double)g->bytes_device / 1e9, (double)left / 1e9);
}

bool engine_check_room(const engine *g, int64_t bytes_session, err *e)
{
    const room now = engine_room(g);
    const int64_t weights = device_is_apart(&g->backend) ? 0 : g->header.bytes_weights;
    const bool mapped = bytes_session > now.bytes_mapping;
    if (!mapped && weights + bytes_session <= now.bytes) return check_card(g, e);
    return err_set(
        e, ERR_RESOURCE,
        "%s: weights of %.3g GB and the session of %.3g GB do not fit: %s %.3g GB; give a "
        "smaller --rows, or take a smaller model",
        g->header.path, (double)weights / 1e9, (double)bytes_session / 1e9,
        mapped ? "`ulimit` leaves" : now.bound,
        (double)(mapped ? now.bytes_mapping : now.bytes) / 1e9);
}

/* Where tokens are drawn: one row a step reads all weights. */
static bool weave_for(engine *g, const engine_work *w, err *e)
{
    arena plan = ARENA_MEASURE;
    bool draws = false;
    for (int32_t i = 0; i < w->n_schedule; i++) draws |= w->schedule[i]->options.streams > 0;
    if (!draws || g->in_company || g->beside) return true;
    if (!model_weave(&g->model, &g->backend, &plan, e)) return false;
    if (plan.used == 0) return true;
    if (!arena_open(&g->woven, plan.used, "the weights", e)) return false;
    arena_want_large_pages(&g->woven);
    return model_weave(&g->model, &g->backend, &g->woven, e);
}

bool engine_start(engine *g, const engine_work *w, const lora *adapter, err *e)
{
    int64_t bytes = 0;
    assert(!g->block.block && (adapter ? adapter->config.rank : 0) == w->adapter_rank);
    if (!bind_once(g, e)) return false;
    if (!plan_with(g, w, adapter, &bytes, e)) return false;
    if (!engine_check_room(g, bytes, e)) return false;
    if (!arena_open(&g->block, g->bytes_planned, "the session", e)) return false;
    if (!device_reserve(&g->backend, g->bytes_device, e)) return false;
    if (!place_weights(g, e)) return false;
    if (!place_adapter(g, adapter, w->adapter_rank, e)) return false;
    if (!weave_for(g, w, e)) return false;
    if (!session_lay_out(&g->session, &g->model, &g->backend, shape_of_part(g, w), &g->block, e))
        return false;
    assert(g->block.used == g->mark); /* the estimate is the allocation */
    assert(device_used(&g->backend) == g->bytes_device);
    if (adapter) g->session.adapter = &g->adapter;
    return true;
}

void engine_stop(engine *g)
{
    if (device_is_apart(&g->backend)) { /* the block, and the weights with it */
        device_measure(&g->backend);
        g->model.weights = (model_weights){0};
    }
    if (g->woven.block || g->lender) g->model.weights = (model_weights){0};
    arena_close(&g->woven);
    arena_close(&g->block);
}

bool engine_take_scorer(engine *g, const schedule *s, err *e)
{
    arena_reset(&g->block, g->mark);
    return lay_out_scorer(g, s, &g->block, e);
}

void engine_close(engine *g)
{
    backend_close(&g->backend);
    pool_close(g->threads);
    if (!g->beside) chat_close(g->chat);
    if (!g->beside && g->header.path) model_close_header(&g->header);
    arena_close(&g->woven);
    arena_close(&g->block);
    arena_close(&g->memory);
    *g = (engine){0};
}

prompt_rules engine_prompt_rules(const engine *g, bool chat)
{
    return (prompt_rules){.tokens = g->header.tokens,
                          .chat = chat ? g->chat : NULL,
                          .bos = g->header.bos_text,
                          .eos = g->header.eos_text};
}
