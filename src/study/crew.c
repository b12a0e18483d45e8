/* crew: see crew.h. */
#include "study/crew.h"

#include "study/fit_in.h"

#include <assert.h>

/* Another rank computes the same bits. */
static bool check_alike(const engine *first, const engine *g, const rank_list *l, int32_t i, err *e)
{
    const backend *a = &first->backend, *b = &g->backend;
    if (a->rows == b->rows && !strcmp(a->ops->name, b->ops->name) && !strcmp(a->isa, b->isa))
        return true;
    return err_set(e, ERR_USAGE,
                   "%s (%s, %s) and %s (%s, %s) do not compute the same bits, and a score must not "
                   "depend on where it is computed; list devices of one kind",
                   l->name[0], a->ops->name, a->isa, l->name[i], b->ops->name, b->isa);
}

static bool open_others(crew *c, const rank_list *l, const engine_options *o, err *e)
{
    engine *first = c->rank[0];
    engine *other = arena_take_zero(&first->memory, (size_t)l->n, sizeof *other, e);
    if (!other) return false;
    first->in_company = l->n > 1;
    for (int32_t i = 1; i < l->n; i++) {
        engine_options own = *o;
        own.device = l->name[i];
        c->rank[i] = &other[i];
        c->n = c->n_open = i + 1;
        if (!engine_open_beside(c->rank[i], first, &own, e) ||
            !check_alike(first, c->rank[i], l, i, e))
            return false;
    }
    return true;
}

static bool read_split(crew *c, const char *split, err *e)
{
    if (!split) return true;
    c->split = !strcmp(split, "layers") ? CREW_LAYERS : CREW_ROWS;
    return c->split == CREW_LAYERS || !strcmp(split, "rows") ||
           err_set(e, ERR_USAGE, "--split is rows or layers, not '%.40s'", split);
}

bool crew_peek(crew *c, engine *first, const engine_options *o, err *e)
{
    rank_list l;
    engine_options own = *o;
    *c = (crew){.n = 1, .n_open = 1, .rank = {first}, .n_lane = 1, .deep = 1, .turns = 1};
    *first = (engine){0};
    if (!read_split(c, o->split, e) || !ranks_read(&l, o->device ? o->device : "cpu", o->ranks, e))
        return false;
    own.device = l.name[0];
    own.ranks = 0;
    own.split = NULL;
    if (l.n > 1) {
        const int all = o->threads > 0 ? o->threads : pool_default(e);
        own.threads = all / l.n > 1 ? all / l.n : 1;
    }
    c->together = pool_open(l.n, e);
    if (!c->together || !engine_peek(first, &own, e)) return false;
    first->device = arena_copy_text(&first->memory, l.name[0], strlen(l.name[0]), e);
    if (l.n > 1 && !open_others(c, &l, &own, e)) return false;
    c->n_lane = c->n; /* until it is planned */
    device_enter(&first->backend);
    return e->code == ERR_NONE;
}

void crew_close(crew *c)
{
    for (int32_t i = c->n_open - 1; i > 0; i--) {
        device_enter(&c->rank[i]->backend);
        engine_close(c->rank[i]);
    }
    pool_close(c->together);
    *c = (crew){0};
}

int32_t crew_beside(const crew *c)
{
    int32_t most = 1;
    for (int32_t i = 0; i < c->n && c->n > 1; i++) {
        int32_t n = 0;
        for (int32_t k = 0; k < c->n; k++) n += !strcmp(c->rank[i]->device, c->rank[k]->device);
        if (n > most) most = n;
    }
    return most;
}

/* ---- who has what ---- */

typedef struct splitting {
    engine *engine; /* stands for each */
    const engine_work *work;
    int32_t turns;
    err *e;
} splitting;

static int64_t bytes_of(const splitting *s, const engine *lender, int64_t *host)
{
    s->engine->lender = lender;
    const bool ok = engine_plan(s->engine, s->work, host, s->e);
    s->engine->lender = NULL;
    return ok ? (int64_t)s->engine->bytes_device : 0;
}

/* A rank's weights once, and a session for each turn. */
static bool measure(void *context, int32_t first, int32_t end, fit_bytes *bytes)
{
    const splitting *s = context;
    int64_t host = 0, more = 0, again = 0;
    engine_take_part(s->engine, first, end);
    *bytes = (fit_bytes){.total = bytes_of(s, NULL, &host)};
    if (s->turns > 1) again = bytes_of(s, s->engine, &more);
    bytes->total += (s->turns - 1) * again;
    if (!device_is_apart(&s->engine->backend))
        bytes->total = host + (s->turns - 1) * more +
                       plan_layer_bytes(&s->engine->header, first, end);
    return s->e->code == ERR_NONE;
}

/* Bytes that each rank may take where it stands; INT64_MAX: nobody counts. */
static int64_t room_of_rank(const crew *c)
{
    int64_t least = INT64_MAX;
    for (int32_t i = 0; i < c->n; i++) {
        const int64_t room = device_room(&c->rank[i]->backend);
        if (room >= 0 && room < least) least = room;
    }
    return least == INT64_MAX ? least : least / crew_beside(c);
}

static bool must_split(const crew *c, const engine_work *w, int64_t room, err *e)
{
    const int32_t n_layer = c->rank[0]->header.config.n_layer;
    splitting s = {c->rank[0], w, 1, e};
    fit_bytes whole;
    if (c->split != CREW_AS_FITS || c->n == 1 || room == INT64_MAX) return c->split == CREW_LAYERS;
    return measure(&s, 0, n_layer, &whole) && whole.total > room;
}

/* How many ranks hold the model with so many turns; 0: not even all. */
static int32_t split_layers(const crew *c, const engine_work *w, int32_t turns,
                            fit_share share[FIT_CARDS_MAX], err *e)
{
    splitting s = {c->rank[0], w, turns, e};
    const fit_splitter how = {.measure = measure,
                              .context = &s,
                              .n_layer = c->rank[0]->header.config.n_layer,
                              .on_all = c->split == CREW_LAYERS};
    const fit_target where = {.bytes_free = room_of_rank(c), .n_card = c->n};
    return fit_split_layers(&how, &where, share);
}

/* The sessions that take turns; once open they stay. */
static bool open_turns(crew *c, err *e)
{
    engine *first = c->rank[0];
    const int32_t want = c->n * c->turns - c->n_open;
    if (want <= 0) return true;
    engine *more = arena_take_zero(&first->memory, (size_t)want, sizeof *more, e);
    for (int32_t i = 0; i < want && more; i++) {
        const engine *lender = c->rank[c->n_open % c->n];
        c->rank[c->n_open++] = &more[i];
        device_enter(&lender->backend);
        if (!engine_open_borrower(&more[i], lender, e)) return false;
    }
    device_enter(&first->backend);
    return e->code == ERR_NONE;
}

/* Lanes of one rank, or of as many as hold the model. */
static bool arrange(crew *c, const engine_work *w, err *e)
{
    const int32_t n_layer = c->rank[0]->header.config.n_layer;
    fit_share share[FIT_CARDS_MAX] = {{.end_layer = n_layer}}, shared[FIT_CARDS_MAX];
    c->deep = c->turns = 1;
    if (must_split(c, w, room_of_rank(c), e)) {
        const int32_t n = split_layers(c, w, 1, share, e);
        if (n > 1) c->deep = n;
        else share[0] = (fit_share){.end_layer = n_layer}; /* whose opening says what is missing */
    }
    if (c->deep > 1 && c->n * c->deep <= RANKS_MAX &&
        split_layers(c, w, c->deep, shared, e) == c->deep) {
        memcpy(share, shared, sizeof share);
        c->turns = c->deep;
    }
    c->n_lane = c->n / c->deep * c->turns;
    if (e->code != ERR_NONE || !open_turns(c, e)) return false;
    for (int32_t i = 0; i < c->n_open; i++) {
        const fit_share *own = &share[i % c->n % c->deep];
        engine_take_part(c->rank[i], own->first_layer, own->end_layer);
        c->rank[i]->bytes_planned = c->rank[i]->bytes_device = 0;
    }
    return e->code == ERR_NONE;
}

void crew_make_whole(crew *c)
{
    for (int32_t i = 0; i < c->n; i++)
        engine_take_part(c->rank[i], 0, c->rank[i]->header.config.n_layer);
}

bool crew_plan(crew *c, const engine_work *w, int64_t *bytes, err *e)
{
    *bytes = 0;
    if (!arrange(c, w, e)) return false;
    for (int32_t i = 0; i < c->n_lane * c->deep; i++) {
        int64_t own = 0;
        if (!engine_plan(crew_at(c, i / c->deep, i % c->deep), w, &own, e)) return false;
        *bytes += own;
    }
    return true;
}

/* ---- together ---- */

typedef struct job {
    crew *crew;
    crew_task *task;
    void *context;
    bool lanes;   /* tasks are lanes, not ranks */
    err *failure; /* [n] */
} job;

static void run_one(void *context, int64_t i, int thread)
{
    (void)thread;
    const job *j = context;
    const engine *g = j->lanes ? crew_lane(j->crew, (int32_t)i) : j->crew->rank[i];
    device_enter(&g->backend);
    if (!j->task(j->context, (int32_t)i, &j->failure[i])) assert(j->failure[i].code != ERR_NONE);
}

static bool run_all(job *j, int32_t n, err *e)
{
    err failure[RANKS_MAX];
    crew *c = j->crew;
    if (n == 1) return j->task(j->context, 0, e);
    for (int32_t i = 0; i < n; i++) failure[i] = (err){0};
    j->failure = failure;
    pool_run(c->together, n, run_one, j);
    device_enter(&c->rank[0]->backend);
    for (int32_t i = 0; i < n; i++) {
        const err *f = &failure[i];
        const bool counts = e->code == ERR_NONE || (e->code == ERR_STOPPED && f->code != e->code);
        if (f->code != ERR_NONE && counts) *e = *f;
    }
    return e->code == ERR_NONE;
}

bool crew_run(crew *c, crew_task *task, void *context, err *e)
{
    job j = {.crew = c, .task = task, .context = context};
    return run_all(&j, c->n, e);
}

bool crew_run_lanes(crew *c, crew_task *task, void *context, err *e)
{
    job j = {.crew = c, .task = task, .context = context, .lanes = true};
    device_enter(&crew_lane(c, 0)->backend);
    const bool ok = run_all(&j, c->n_lane, e);
    device_enter(&c->rank[0]->backend);
    return ok;
}

typedef struct start {
    crew *crew;
    const engine_work *work;
    const lora *adapter;
    int32_t turn;
} start;

static bool start_one(void *context, int32_t rank, err *e)
{
    const start *s = context;
    const crew *c = s->crew;
    if (rank >= c->n / c->deep * c->deep) return true;
    return engine_start(c->rank[s->turn * c->n + rank], s->work, s->adapter, e);
}

bool crew_start(crew *c, const engine_work *w, const lora *adapter, err *e)
{
    start s = {c, w, adapter, 0};
    if (!arrange(c, w, e)) return false;
    for (; s.turn < c->turns; s.turn++) { /* who lends comes first */
        if (!crew_run(c, start_one, &s, e)) return false;
    }
    for (int32_t lane = 0; lane < c->n_lane; lane++) {
        for (int32_t k = 1; k < c->deep; k++)
            session_follow(&crew_at(c, lane, k)->session, &crew_at(c, lane, k - 1)->session);
    }
    for (int32_t i = 0; i < c->n * c->turns && c->turns > 1; i++)
        c->rank[i]->session.turn = c->rank[i % c->n]->threads;
    return true;
}

void crew_stop(crew *c)
{
    for (int32_t i = c->n_open - 1; i >= 0; i--) {
        device_enter(&c->rank[i]->backend);
        engine_stop(c->rank[i]);
    }
    device_enter(&c->rank[0]->backend);
}

void crew_describe(const crew *c, buf *out)
{
    if (c->n < 2) return;
    const int32_t apart = c->n / c->deep, used = apart * c->deep;
    if (c->deep > 1 && apart > 1)
        buf_printf(out, "%d times %d ranks share the texts, layers split:", apart, c->deep);
    else if (c->deep > 1) buf_printf(out, "%d ranks share the layers:", c->deep);
    else buf_printf(out, "%d ranks share the texts:", c->n);
    for (int32_t i = 0; i < used; i++) {
        const engine *g = c->rank[i];
        size_t here = 0, there = 0;
        for (int32_t k = i; k < c->n * c->turns; k += c->n)
            here += c->rank[k]->bytes_planned, there += c->rank[k]->bytes_device;
        buf_printf(out, "%s %s", i ? "," : "", g->device);
        if (c->deep > 1) buf_printf(out, " layers %d-%d", g->part.first + 1, g->part.end);
        buf_printf(out, " %.1f MB", (double)here / 1e6);
        if (there > 0) buf_printf(out, " + %.1f MB there", (double)there / 1e6);
    }
    if (c->turns > 1) buf_printf(out, "; %d batches take turns", c->turns);
    if (used < c->n) buf_printf(out, "; %d idle", c->n - used);
    buf_add_char(out, '\n');
}
