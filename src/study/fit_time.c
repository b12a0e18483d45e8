/* fit_time: see fit_time.h. */
#include "study/fit_time.h"

#include "base/rng.h"
#include "base/room.h"
#include "compute/quantise.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LAYERS = 2, OUT_ROWS = 4, ROWS_LEAST = 32, REPEATS_MAX = 15, RANDOM_ROWS = 16 };

static const double seconds_each = 0.6;   /* of one of the four measurements */
static const double rate_assumed = 100e9; /* to choose a step that takes about so long */

static double clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Small random numbers in the tensor's own format: a few rows, then copies of them. */
static bool fill_tensor(const tensor *t, arena *scratch, err *e)
{
    const int64_t columns = t->dim[t->rank - 1], rows = t->rank == 2 ? t->dim[0] : 1;
    int64_t row_bytes = 0;
    size_t mark = arena_mark(scratch);
    float *row = arena_take(scratch, (size_t)columns, sizeof *row, e);
    bool whole = dtype_row_bytes(t->type, columns, &row_bytes);
    if (!row || !whole) return false;
    char *to = t->data;
    for (int64_t i = 0; i < rows; i++, to += row_bytes) {
        if (i >= RANDOM_ROWS) {
            memcpy(to, to - RANDOM_ROWS * row_bytes, (size_t)row_bytes);
            continue;
        }
        rng r = rng_for(1, (uint64_t)i, (uint64_t)columns);
        for (int64_t k = 0; k < columns; k++) row[k] = (float)(0.04 * (rng_unit(&r) - 0.5));
        if (quantise_knows(t->type)) quantise(t->type, to, row, columns); /* else zeros: as fast */
    }
    arena_reset(scratch, mark);
    return true;
}

typedef struct rig { /* one and two layers, bound */
    arena memory, weights;
    model_header header;
    model_config config[LAYERS];
    model model[LAYERS];
    backend backend;
} rig;

/* Is the tensor one of a model of two layers? */
static bool is_taken(const tensor_entry *t)
{
    static const char *const parts[] = {"layers.", "blk."};
    for (size_t i = 0; i < countof(parts); i++) {
        int64_t at = str_find(t->name, str_of(parts[i]));
        if (at < 0) continue;
        size_t k = (size_t)at + strlen(parts[i]);
        return k + 1 < t->name.size && t->name.data[k] < '0' + LAYERS && t->name.data[k + 1] == '.';
    }
    return true;
}

/* The first layers' tensors in their own types, with memory and random numbers. */
static bool make_weights(rig *g, const fit_trial *t, err *e)
{
    const model_header *h = t->header;
    size_t bytes = 0;
    tensor_entry *own = arena_take(&g->memory, (size_t)h->n_tensor, sizeof *own, e);
    g->header.n_tensor = 0;
    for (int32_t i = 0; own && i < h->n_tensor; i++) {
        if (!is_taken(&h->tensor[i])) continue;
        own[g->header.n_tensor++] = h->tensor[i];
        bytes += (size_t)h->tensor[i].bytes + 2 * ARENA_ALIGN;
    }
    const room now = room_now(0);
    if (bytes > (size_t)now.bytes / 2)
        return err_set(e, ERR_RESOURCE, "two layers of %s take %.1f GB: not measured here", h->path,
                       (double)bytes / 1e9);
    if (!own || !arena_open(&g->weights, bytes, "two layers of the model", e)) return false;
    for (int32_t i = 0; i < g->header.n_tensor; i++) {
        own[i].view.data = arena_take(&g->weights, (size_t)own[i].bytes, 1, e);
        if (!own[i].view.data || !fill_tensor(&own[i].view, &g->memory, e)) return false;
    }
    g->header.tensor = own;
    return true;
}

static bool open_rig(rig *g, const fit_trial *t, err *e)
{
    if (!arena_open_up_to(&g->memory, (size_t)4 << 30, "the measuring", e)) return false;
    g->header = *t->header;
    if (g->header.config.n_layer > LAYERS) g->header.config.n_layer = LAYERS;
    if (!t->has_weights && !make_weights(g, t, e)) return false;
    if (!backend_open(&g->backend, t->device, t->threads, e)) return false;
    for (int32_t i = 0; i < LAYERS; i++) {
        g->config[i] = g->header.config;
        g->config[i].n_layer = i + 1 < g->header.config.n_layer ? i + 1 : g->header.config.n_layer;
        g->model[i] = (model){.header = &g->header, .config = &g->config[i]};
        if (!model_bind(&g->model[i].weights, &g->header, &g->memory, e)) return false;
    }
    return true;
}

static int order_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of a step of `rows` rows behind `context` keys that are there already. */
static bool time_step(rig *g, int32_t layers, int32_t rows, int32_t context, double *seconds,
                      err *e)
{
    const int32_t room_rows = rows + context;
    session_shape shape = {.rows = rows,
                           .slots = room_rows,
                           .positions = room_rows,
                           .out_rows = OUT_ROWS,
                           .picks = OUT_ROWS};
    session s;
    arena plan = ARENA_MEASURE, block;
    if (!session_lay_out(&s, &g->model[layers - 1], &g->backend, shape, &plan, e) ||
        !arena_open(&block, plan.peak, "the measuring", e))
        return false;
    size_t mark = arena_mark(&g->memory);
    bool ok = session_lay_out(&s, &g->model[layers - 1], &g->backend, shape, &block, e);
    int32_t *position = arena_take(&g->memory, (size_t)rows, sizeof *position, e);
    int32_t *id = arena_take_zero(&g->memory, (size_t)rows, sizeof *id, e);
    double each[REPEATS_MAX];
    int n = 0;
    for (int32_t i = 0; position && i < rows; i++) position[i] = context + i;
    const attend_range range[] = {{0, context, 0}, {context, rows, context}};
    const attend_span span = {.row = 0,
                              .count = rows,
                              .position = context,
                              .first_range = context ? 0 : 1,
                              .n_range = context ? 2 : 1};
    const int32_t out_row[OUT_ROWS] = {rows - 4, rows - 3, rows - 2, rows - 1};
    const int32_t pick[OUT_ROWS] = {0, 0, 0, 0};
    const int64_t pick_start[OUT_ROWS + 1] = {0, 1, 2, 3, 4};
    step st = {.n_row = rows,
               .first_slot = context,
               .id = id,
               .position = position,
               .span = &span,
               .range = range,
               .n_span = 1,
               .out_row = out_row,
               .n_out = OUT_ROWS,
               .pick_start = pick_start,
               .pick_id = pick};
    for (double all = 0; ok && id && position && n < REPEATS_MAX; n++) {
        double start = clock_now();
        session_forward(&s, &st);
        ok = backend_sync(&g->backend, e);
        each[n] = clock_now() - start;
        all += each[n];
        if (n > 0 && all > seconds_each) {
            n++;
            break;
        }
    }
    arena_reset(&g->memory, mark);
    arena_close(&block);
    if (!ok || e->code != ERR_NONE) return false;
    if (n > 1) qsort(each + 1, (size_t)(n - 1), sizeof *each, order_doubles); /* not the first */
    *seconds = n > 1 ? each[1 + (n - 2) / 2] : each[0];
    return true;
}

static int32_t choose_rows(const fit_trial *t)
{
    const model_config *c = &t->header->config;
    double layer =
        2.0 * ((double)c->d_model * c->d_ff * 3 +
               (double)c->d_model * c->head_dim * (2.0 * c->n_head + 2.0 * c->n_head_kv));
    double rows = seconds_each * rate_assumed / layer;
    int32_t n = rows > t->rows ? t->rows : (int32_t)rows / ROWS_LEAST * ROWS_LEAST;
    return n < ROWS_LEAST ? ROWS_LEAST : n;
}

bool fit_measure_speed(fit_speed *s, const fit_trial *t, err *e)
{
    rig g = {0};
    const int32_t n_layer = t->header->config.n_layer;
    double start = clock_now(), one[2] = {0}, two[2] = {0};
    *s = (fit_speed){.rows = choose_rows(t)};
    int32_t context[2] = {0, t->context > s->rows ? t->context : 4 * s->rows};
    bool ok = open_rig(&g, t, e);
    for (int i = 0; ok && i < 2; i++) {
        ok = time_step(&g, 1, s->rows, context[i], &one[i], e) &&
             time_step(&g, LAYERS, s->rows, context[i], &two[i], e);
    }
    double drawn[LAYERS] = {0};
    for (int32_t i = 0; ok && t->draws && i < LAYERS; i++)
        ok = time_step(&g, i + 1, GENERATE_STREAMS_USUAL, context[1], &drawn[i], e);
    backend_close(&g.backend);
    if (g.weights.block) arena_close(&g.weights);
    if (g.memory.block) arena_close(&g.memory);
    if (!ok) return false;
    double layer[2], own = s->rows / 2.0; /* keys of a row with no context */
    for (int i = 0; i < 2; i++) layer[i] = two[i] > one[i] ? two[i] - one[i] : 0;
    double key = layer[1] > layer[0] ? (layer[1] - layer[0]) / context[1] : 0;
    s->key = (n_layer - 1) * key / s->rows;
    s->token = (one[0] + (n_layer - 1) * layer[0]) / s->rows - s->key * own;
    if (s->token < 0) s->token = 0;
    double more = drawn[1] > drawn[0] ? drawn[1] - drawn[0] : 0;
    s->drawn = (drawn[0] + (n_layer - 1) * more) / GENERATE_STREAMS_USUAL;
    s->spent = clock_now() - start;
    snprintf(s->source, sizeof s->source,
             "measured here in %.1f s on %s of the model's shapes (%s weights, steps of %d)",
             s->spent, n_layer > 1 ? "two layers" : "a layer",
             t->has_weights ? "its own" : "random", s->rows);
    return true;
}

/* Numbers in matrix products of the layers. */
static double matrices_of(const model_header *h)
{
    const model_config *m = &h->config;
    return (double)h->n_parameter - (double)m->n_vocab * m->d_model * (m->tied ? 1 : 2);
}

/* ---- training ---- */

typedef struct drill { /* a micro-batch on so many layers */
    tree tree;
    lora adapter;
    trainer trainer;
    batcher batcher;
    backend backend; /* a trainer has its own */
} drill;

static bool grow_drill(drill *d, const fit_micro *m, arena *a, err *e)
{
    const int32_t most = m->head > m->own ? m->head : m->own;
    int32_t *id = arena_take_zero(a, (size_t)most + (size_t)m->answer, sizeof *id, e);
    int32_t parent = TREE_ROOT;
    if (!id) return false;
    const tree_segment head = {.parent = TREE_ROOT, .kind = TREE_HEAD, .owner = -1};
    if (m->head > 0) parent = tree_add(&d->tree, head, id, m->head, e);
    for (int32_t i = 0; i < m->texts && e->code == ERR_NONE; i++) {
        const tree_segment text = {.parent = parent, .kind = TREE_CASE, .owner = i};
        const int32_t at = tree_add(&d->tree, text, id, m->own, e);
        const tree_segment answer = {.parent = at, .kind = TREE_ANSWER, .owner = i};
        if (at >= 0) tree_add(&d->tree, answer, id, m->answer, e);
    }
    return e->code == ERR_NONE;
}

static bool lay_out_drill(drill *d, const rig *g, int32_t layers, const fit_micro *m, arena *a,
                          err *e)
{
    const int32_t own = m->own + m->answer - 1;
    const train_shape shape = {.rows = m->head + m->texts * own,
                               .out_rows = m->texts * m->answer,
                               .positions = m->head + own + 1,
                               .micros = 1};
    const lora_config how = {.rank = m->rank, .alpha = 2.0 * m->rank};
    const train_setup s = {&g->model[layers - 1], &d->backend, &d->adapter, shape};
    return lora_lay_out(&d->adapter, &g->config[layers - 1], how, a, e) &&
           trainer_lay_out(&d->trainer, &s, a, e) &&
           batcher_lay_out(&d->batcher, &d->tree, shape, a, e);
}

static bool run_drill(drill *d, double *seconds, err *e)
{
    double each[REPEATS_MAX];
    int n = 0;
    lora_start(&d->adapter, 1);
    batcher_reset(&d->batcher);
    for (int32_t i = 0; i < tree_count(&d->tree); i++) {
        if (tree_at(&d->tree, i)->kind == TREE_ANSWER) batcher_take(&d->batcher, i, 1e-3F);
    }
    const train_batch b = batcher_view(&d->batcher);
    for (double all = 0; n < REPEATS_MAX && (n < 2 || all < seconds_each); n++) {
        double loss, start = clock_now();
        if (!trainer_add(&d->trainer, &b, &loss, e)) return false;
        each[n] = clock_now() - start;
        all += each[n];
    }
    qsort(each + 1, (size_t)(n - 1), sizeof *each, order_doubles); /* not the first */
    *seconds = each[1 + (n - 2) / 2];
    return true;
}

static bool time_micro(rig *g, int32_t layers, const fit_trial *t, const fit_micro *m,
                       double *seconds, err *e)
{
    drill d = {0};
    arena plan = ARENA_MEASURE, block;
    const size_t mark = arena_mark(&g->memory);
    tree_open(&d.tree, 1 << 20, (int64_t)1 << 30);
    bool ok = backend_open(&d.backend, t->device, t->threads, e) &&
              grow_drill(&d, m, &g->memory, e) && lay_out_drill(&d, g, layers, m, &plan, e);
    if (ok && arena_open(&block, plan.peak, "the measuring", e)) {
        ok = lay_out_drill(&d, g, layers, m, &block, e) && run_drill(&d, seconds, e);
        arena_close(&block);
    }
    backend_close(&d.backend);
    tree_close(&d.tree);
    arena_reset(&g->memory, mark);
    return ok && e->code == ERR_NONE;
}

bool fit_measure_training(double *token, const fit_trial *t, const fit_micro *m, err *e)
{
    rig g = {0};
    fit_micro part = *m;
    double one = 0, two = 0;
    const int32_t most = choose_rows(t); /* about what a step of two layers takes in a moment */
    if (part.head > most) part.head = most;
    if (part.own > most) part.own = most;
    while (part.texts > 1 && part.head + part.texts * part.own > most) part.texts--;
    bool ok = open_rig(&g, t, e) && time_micro(&g, 1, t, &part, &one, e) &&
              time_micro(&g, LAYERS, t, &part, &two, e);
    backend_close(&g.backend);
    if (g.weights.block) arena_close(&g.weights);
    if (g.memory.block) arena_close(&g.memory);
    const double layer = two > one ? two - one : 0;
    const int32_t rows = part.head + part.texts * (part.own + part.answer - 1);
    *token = (one + (t->header->config.n_layer - 1) * layer) / rows;
    return ok;
}

void fit_speed_of_card(fit_speed *s, const model_header *h, const card *c)
{
    const model_config *m = &h->config;
    const card_rates rates = card_rates_of(c);
    *s = (fit_speed){.token = 2 * matrices_of(h) / rates.score, .rows = c->rows};
    s->key = 4.0 * m->n_layer * m->n_head * m->head_dim / rates.score;
    s->drawn = (double)h->bytes_weights / rates.draw / GENERATE_STREAMS_USUAL;
    s->step = m->n_layer * rates.layer_score;
    if (rates.source)
        snprintf(s->source, sizeof s->source,
                 "measured %s: %.0f TFLOP/s in scoring, %.0f in training, %.0f GB/s in generating",
                 rates.source, rates.score / 1e12, rates.train / 1e12, rates.draw / 1e9);
    else
        snprintf(s->source, sizeof s->source,
                 "assumed, not measured: %.0f %% of the %.0f TFLOP/s (%.0f %% in training) and "
                 "%.0f GB/s that the maker of the %s states",
                 100 * CARD_SHARE, c->rate / 1e12, 100 * CARD_SHARE_TRAIN, c->bandwidth / 1e9,
                 c->title);
}

double fit_micro_of_card(const model_header *h, const card *c)
{
    return h->config.n_layer * card_rates_of(c).layer_train;
}

double fit_training_of_card(const model_header *h, const card *c, const fit_micro *m)
{
    const model_config *k = &h->config;
    const double keys = m->head + m->own / 2.0; /* that a token attends to */
    const double attention = 4.0 * k->n_layer * k->n_head * k->head_dim * keys;
    return (4 * matrices_of(h) + 3.5 * attention) / card_rates_of(c).train;
}

double fit_seconds(const fit_speed *s, int64_t tokens, double keys)
{
    return s->token * (double)tokens + s->key * keys;
}
