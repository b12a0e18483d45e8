/* run_room: does the plan fit in what may still be taken? Before any weights are opened, for every
 * pass; and if not, what to change, in order of least harm: the row budget (changes no score), the
 * number type (changes scores a little), a smaller model. Each is tried with the functions that lay
 * memory out, and named only when it fits. */
#include "study/run_in.h"

#include "compute/device.h"
#include "model/plan.h"
#include "model/shapes.h"

#include <stdio.h>

enum { ROWS_LEAST = 32 };

static double gb(int64_t bytes) { return (double)bytes / 1e9; }

/* The pass's session with another row budget; -1: cannot be planned. */
static int64_t session_with_rows(run *r, const pass *p, int32_t rows)
{
    err ignored = {0};
    int64_t bytes = -1;
    return pass_plan_rows(r, p, rows, &bytes, &ignored) ? bytes : -1;
}

/* The largest budget below today's that fits; 0: none. */
static int32_t fitting_rows(run *r, const pass *p, const room *now, int64_t weights)
{
    int32_t rows = 0;
    for (int32_t i = 0; i < book_count(&p->book); i++) {
        int32_t own = book_chapter(&p->book, i)->schedule.options.rows;
        if (own > rows) rows = own;
    }
    for (rows = rows / 2 / ROWS_LEAST * ROWS_LEAST; rows >= ROWS_LEAST;
         rows = rows / 2 / ROWS_LEAST * ROWS_LEAST) {
        int64_t bytes = session_with_rows(r, p, rows);
        if (bytes >= 0 && weights + bytes <= now->bytes && bytes <= now->bytes_mapping) return rows;
    }
    return 0;
}

/* Weights of this configuration in a number type; -1: cannot be said. */
static int64_t weights_in(run *r, const model_config *c, const plan_numbers *q)
{
    err ignored = {0};
    model_header h;
    size_t mark = arena_mark(&r->memory);
    plan_source from = {.name = "plan", .config = c, .numbers = q};
    bool ok = plan_header(&h, &from, &r->memory, &ignored);
    arena_reset(&r->memory, mark);
    return ok ? h.bytes_weights : -1;
}

static const char *fitting_numbers(run *r, const model_header *h, int64_t session, const room *now)
{
    int32_t n = 0;
    const plan_numbers *all = plan_numbers_all(&n);
    for (int32_t i = 0; i < n; i++) { /* most bits first */
        int64_t weights = all[i].layers_only ? -1 : weights_in(r, &h->config, &all[i]);
        if (weights >= 0 && weights < h->bytes_weights && weights + session <= now->bytes)
            return all[i].name;
    }
    return NULL;
}

/* The largest smaller model of the series whose weights in 4 bits and the same session fit. */
static const shape *fitting_shape(run *r, const model_header *h, int64_t session, const room *now)
{
    const shape *s = shape_of_config(&h->config);
    while (s && (s = shape_smaller(s)) != NULL) {
        err ignored = {0};
        model_config c;
        if (!shape_config(s, &c, &r->memory, &ignored)) return NULL;
        int64_t weights = weights_in(r, &c, plan_numbers_find("Q4_K_M"));
        if (weights >= 0 && weights + session <= now->bytes) return s;
    }
    return NULL;
}

static void write_advice(run *r, const pass *p, const room *now, char *out, size_t size)
{
    const model_header *h = &r->model[p->model].engine.header;
    int32_t rows = fitting_rows(r, p, now, h->bytes_weights);
    if (rows > 0) {
        snprintf(out, size, "--rows %d fits, and changes no score", rows);
        return;
    }
    int64_t least = session_with_rows(r, p, ROWS_LEAST);
    const char *numbers = least < 0 ? NULL : fitting_numbers(r, h, least, now);
    const shape *smaller = least < 0 || numbers ? NULL : fitting_shape(r, h, least, now);
    if (numbers) {
        snprintf(out, size, "no row budget is small enough; the model in %s with --rows %d fits",
                 numbers, ROWS_LEAST);
    } else if (smaller) {
        snprintf(out, size, "no row budget and no number type is small enough; %s in Q4_K_M fits",
                 smaller->title);
    } else {
        snprintf(out, size,
                 "take a smaller model, shorter texts (`limits: max_tokens`), or more "
                 "memory; `caseload fit` tells what fits");
    }
}

static bool check_pass(run *r, const pass *p, const room *now, err *e)
{
    const engine *g = &r->model[p->model].engine;
    const int64_t weights = device_is_apart(&g->backend) ? 0 : g->header.bytes_weights;
    if (p->bytes_planned == 0) return true;
    if (weights + p->bytes_planned <= now->bytes && p->bytes_planned <= now->bytes_mapping)
        return true;
    char advice[300];
    bool mapped = p->bytes_planned > now->bytes_mapping;
    write_advice(r, p, now, advice, sizeof advice);
    return err_set(
        e, ERR_RESOURCE,
        "%s: the plan takes %.3g GB (weights %.3g, the session %.3g), but %s %.3g GB; %s",
        g->header.path, gb(weights + p->bytes_planned), gb(weights), gb(p->bytes_planned),
        mapped ? "`ulimit` leaves" : now->bound, gb(mapped ? now->bytes_mapping : now->bytes),
        advice);
}

bool run_check_room(run *r, err *e)
{
    for (int32_t i = 0; i < r->n_pass; i++) {
        const room now = engine_room(&r->model[r->pass[i].model].engine);
        if (!check_pass(r, &r->pass[i], &now, e)) return false;
    }
    return true;
}

void run_say_memory(const run *r, buf *out)
{
    for (int32_t i = 0; i < r->n_pass; i++) {
        const pass *p = &r->pass[i];
        if (p->bytes_peak == 0) continue;
        int64_t planned = p->bytes_before + p->bytes_weights + p->bytes_planned;
        buf_printf(out,
                   "memory%s%s: planned %.1f MB (before %.1f, weights %.1f, session %.1f), "
                   "measured peak %.1f MB\n",
                   r->n_pass > 1 ? " of " : "",
                   r->n_pass > 1 ? r->model[p->model].engine.header.name : "",
                   (double)planned / 1e6, (double)p->bytes_before / 1e6,
                   (double)p->bytes_weights / 1e6, (double)p->bytes_planned / 1e6,
                   (double)p->bytes_peak / 1e6);
    }
}
