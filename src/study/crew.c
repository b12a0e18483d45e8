/* crew: see crew.h. */
#include "study/crew.h"

#include "compute/device.h"

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
    for (int32_t i = 1; i < l->n; i++) {
        engine_options own = *o;
        own.device = l->name[i];
        c->rank[i] = &other[i];
        c->n = i + 1;
        if (!engine_open_beside(c->rank[i], first, &own, e) ||
            !check_alike(first, c->rank[i], l, i, e))
            return false;
    }
    return true;
}

bool crew_peek(crew *c, engine *first, const engine_options *o, err *e)
{
    rank_list l;
    engine_options own = *o;
    *c = (crew){.n = 1, .rank = {first}};
    *first = (engine){0};
    if (!ranks_read(&l, o->device ? o->device : "cpu", o->ranks, e)) return false;
    own.device = l.name[0];
    own.ranks = 0;
    if (l.n > 1) {
        const int all = o->threads > 0 ? o->threads : pool_default();
        own.threads = all / l.n > 1 ? all / l.n : 1;
    }
    c->together = pool_open(l.n, e);
    if (!c->together || !engine_peek(first, &own, e)) return false;
    first->device = arena_copy_text(&first->memory, l.name[0], strlen(l.name[0]), e);
    if (l.n > 1 && !open_others(c, &l, &own, e)) return false;
    device_enter(&first->backend);
    return e->code == ERR_NONE;
}

void crew_close(crew *c)
{
    for (int32_t i = 1; i < c->n; i++) engine_close(c->rank[i]);
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

bool crew_plan(crew *c, const engine_work *w, int64_t *bytes, err *e)
{
    *bytes = 0;
    for (int32_t i = 0; i < c->n; i++) {
        int64_t own = 0;
        if (!engine_plan(c->rank[i], w, &own, e)) return false;
        *bytes += own;
    }
    return true;
}

/* ---- together ---- */

typedef struct job {
    crew *crew;
    crew_task *task;
    void *context;
    err *failure; /* [n] */
} job;

static void run_one(void *context, int64_t i, int thread)
{
    (void)thread;
    const job *j = context;
    device_enter(&j->crew->rank[i]->backend);
    if (!j->task(j->context, (int32_t)i, &j->failure[i])) assert(j->failure[i].code != ERR_NONE);
}

bool crew_run(crew *c, crew_task *task, void *context, err *e)
{
    err failure[RANKS_MAX];
    job j = {c, task, context, failure};
    if (c->n == 1) return task(context, 0, e);
    for (int32_t i = 0; i < c->n; i++) failure[i] = (err){0};
    pool_run(c->together, c->n, run_one, &j);
    device_enter(&c->rank[0]->backend);
    for (int32_t i = 0; i < c->n; i++) {
        const err *f = &failure[i];
        const bool first = e->code == ERR_NONE || e->code == ERR_STOPPED;
        if (f->code != ERR_NONE && first && (e->code == ERR_NONE || f->code != ERR_STOPPED))
            *e = *f;
    }
    return e->code == ERR_NONE;
}

typedef struct start {
    crew *crew;
    const engine_work *work;
    const lora *adapter;
} start;

static bool start_one(void *context, int32_t rank, err *e)
{
    const start *s = context;
    return engine_start(s->crew->rank[rank], s->work, s->adapter, e);
}

bool crew_start(crew *c, const engine_work *w, const lora *adapter, err *e)
{
    start s = {c, w, adapter};
    return crew_run(c, start_one, &s, e);
}

void crew_stop(crew *c)
{
    for (int32_t i = 0; i < c->n; i++) engine_stop(c->rank[i]);
    device_enter(&c->rank[0]->backend);
}

void crew_describe(const crew *c, buf *out)
{
    if (c->n < 2) return;
    buf_printf(out, "%d ranks share the texts:", c->n);
    for (int32_t i = 0; i < c->n; i++) {
        const engine *g = c->rank[i];
        buf_printf(out, "%s %s %.1f MB", i ? "," : "", g->device, (double)g->bytes_planned / 1e6);
        if (g->bytes_device > 0) buf_printf(out, " + %.1f MB there", (double)g->bytes_device / 1e6);
    }
    buf_add_char(out, '\n');
}
