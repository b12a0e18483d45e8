/* decode: see decode.h. */
#include "model/decode.h"

#include "compute/device.h"
#include "compute/draw.h"
#include "compute/graph.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct decode_candidate {
    double p; /* log-weight, then probability */
    int32_t id;
} decode_candidate;

bool decoder_lay_out(decoder *d, session *s, int32_t streams, arena *a, err *e)
{
    assert(streams > 0 && streams <= s->shape.rows && streams <= s->shape.logit_rows);
    *d = (decoder){.session = s, .streams = streams};
    size_t n = (size_t)streams;
    d->id = arena_take(a, n, sizeof(int32_t), e);
    d->position = arena_take(a, n, sizeof(int32_t), e);
    d->slot = arena_take(a, n, sizeof(int32_t), e);
    d->out_row = arena_take(a, n, sizeof(int32_t), e);
    d->live = arena_take(a, n, sizeof(int32_t), e);
    d->row_of = arena_take(a, n, sizeof(int32_t), e);
    d->pick_start = arena_take_zero(a, n + 1, sizeof(int64_t), e);
    d->span = arena_take(a, n, sizeof(attend_span), e);
    d->range = arena_take(a, n * (DECODE_PATH_MAX + 1), sizeof(attend_range), e);
    d->drawn = arena_take(a, n, sizeof(int32_t), e);
    const bool there = op_can_draw(s->backend);
    d->ask = arena_take(a, there ? n : 0, sizeof *d->ask, e);
    d->seen = arena_take(a, there ? DECODE_SEEN_MAX : 0, sizeof *d->seen, e);
    const size_t threads = (size_t)pool_size(s->backend->threads);
    d->candidate =
        arena_take(a, threads * (size_t)s->model->config->n_vocab, sizeof(decode_candidate), e);
    return e->code == ERR_NONE;
}

static void penalise(float *logit, int32_t n_vocab, const decode_stream *s)
{
    float penalty = s->how.repetition_penalty;
    if (penalty <= 0 || penalty == 1) return;
    for (int32_t i = 0; i < s->n_prefix + s->n; i++) {
        int32_t id = i < s->n_prefix ? s->prefix[i] : s->id[i - s->n_prefix];
        bool seen = id < 0 || id >= n_vocab;
        for (int32_t j = 0; j < i && !seen; j++) {
            seen = id == (j < s->n_prefix ? s->prefix[j] : s->id[j - s->n_prefix]);
        }
        if (!seen) logit[id] = logit[id] > 0 ? logit[id] / penalty : logit[id] * penalty;
    }
}

static int32_t likeliest(const float *logit, int32_t n_vocab)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n_vocab; i++) {
        if (logit[i] > logit[best]) best = i;
    }
    return best;
}

/* Does candidate a stand before b? Falling weight; ties by id. */
static bool before(const decode_candidate *a, const decode_candidate *b)
{
    return a->p != b->p ? a->p > b->p : a->id < b->id;
}

static void sift(decode_candidate *heap, int32_t n, int32_t i, bool first_on_top)
{
    const decode_candidate moved = heap[i];
    for (int32_t child = 2 * i + 1; child < n; i = child, child = 2 * i + 1) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child]) == first_on_top) child++;
        if (before(&heap[child], &moved) != first_on_top) break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

static void heapify(decode_candidate *heap, int32_t n, bool first_on_top)
{
    for (int32_t i = n / 2 - 1; i >= 0; i--) sift(heap, n, i, first_on_top);
}

/* The `k` likeliest of the logits, in no order: a heap with the last of them on top. */
static int32_t collect_likeliest(const float *logit, int32_t n_vocab, int32_t k,
                                 decode_candidate *c)
{
    for (int32_t i = 0; i < k; i++) c[i] = (decode_candidate){.p = (double)logit[i], .id = i};
    heapify(c, k, false);
    for (int32_t i = k; i < n_vocab; i++) {
        if (!((double)logit[i] > c[0].p)) continue; /* a tie's lower id is there already */
        c[0] = (decode_candidate){.p = (double)logit[i], .id = i};
        sift(c, k, 0, false);
    }
    return k;
}

/* Weights beside the likeliest's, which is 1. One that is nothing beside it cannot be drawn:
 * exp(-50) of it. */
static int32_t collect(const float *logit, int32_t n_vocab, const sampling *how,
                       decode_candidate *c)
{
    const double top = (double)logit[likeliest(logit, n_vocab)];
    const bool few = how->top_k > 0 && how->top_k < n_vocab;
    const int32_t from = few ? collect_likeliest(logit, n_vocab, how->top_k, c) : n_vocab;
    int32_t n = 0;
    for (int32_t i = 0; i < from; i++) {
        const int32_t id = few ? c[i].id : i;
        double w = ((double)logit[id] - top) / (double)how->temperature;
        if (w > -50) c[n++] = (decode_candidate){.p = exp(w), .id = id};
    }
    return n;
}

typedef struct falling { /* candidates taken one by one in falling order, as far as anybody asks */
    decode_candidate *c; /* a heap of n - taken, then the taken ones, the first of them last */
    int32_t n, taken;
} falling;

static const decode_candidate *at_place(falling *f, int32_t i)
{
    while (f->taken <= i) {
        const int32_t last = f->n - ++f->taken;
        const decode_candidate first = f->c[0];
        f->c[0] = f->c[last];
        f->c[last] = first;
        if (last > 0) sift(f->c, last, 0, true);
    }
    return &f->c[f->n - 1 - i];
}

/* How many of the first candidates the rules leave; *mass: their weight. */
static int32_t keep_likeliest(falling *f, const sampling *how, double *mass)
{
    int32_t n = f->n;
    *mass = 0;
    for (int32_t i = 0; i < n; i++) *mass += f->c[i].p;
    if (how->top_p > 0 && how->top_p < 1) {
        const double enough = (double)how->top_p * *mass;
        *mass = 0;
        for (n = 0; n < f->n && *mass < enough; n++) *mass += at_place(f, n)->p;
    }
    if (how->min_p > 0) {
        const double least = (double)how->min_p * at_place(f, 0)->p;
        const int32_t left = n;
        *mass = 0;
        for (n = 0; n < left && (n == 0 || at_place(f, n)->p >= least); n++) {
            *mass += at_place(f, n)->p;
        }
    }
    return n;
}

/* Temperature above 0, penalties paid; `unit`: where in the kept mass. */
static int32_t draw_with(const float *logit, int32_t n_vocab, const sampling *how, double unit,
                         decode_candidate *scratch)
{
    falling f = {.c = scratch, .n = collect(logit, n_vocab, how, scratch)};
    if (f.n == 0)
        return likeliest(logit, n_vocab); /* no number above another: nothing to draw from */
    heapify(f.c, f.n, true);
    double mass = 0, sum = 0;
    const int32_t n = keep_likeliest(&f, how, &mass);
    for (int32_t i = 0; i < n; i++) {
        sum += at_place(&f, i)->p;
        if (unit * mass < sum) return at_place(&f, i)->id;
    }
    return at_place(&f, n - 1)->id; /* rounding left a crumb above the sum */
}

int32_t decode_draw(float *logit, int32_t n_vocab, decode_stream *s, decode_candidate *scratch)
{
    assert(n_vocab > 0 && s->how.temperature >= 0);
    penalise(logit, n_vocab, s);
    if (s->how.temperature == 0) return likeliest(logit, n_vocab);
    return draw_with(logit, n_vocab, &s->how, rng_unit(&s->generator), scratch);
}

typedef struct draws { /* of one step, a task a stream: each from its own row and generator */
    decoder *d;
    decode_stream *stream;
} draws;

static void draw_task(void *context, int64_t i, int thread)
{
    const draws *w = context;
    const int32_t n_vocab = w->d->session->model->config->n_vocab;
    float *logit = w->d->session->logits + i * n_vocab;
    decode_candidate *scratch = w->d->candidate + (int64_t)thread * n_vocab;
    decode_stream *s = &w->stream[w->d->live[i]];
    if (s->end == DECODE_GOES_ON) w->d->drawn[i] = decode_draw(logit, n_vocab, s, scratch);
}

static void take_token(decode_stream *s, int32_t id, const decode_rules *r)
{
    for (int32_t i = 0; i < r->n_end; i++) {
        if (id == r->end_id[i]) s->end = DECODE_END_TOKEN;
    }
    if (s->end != DECODE_GOES_ON) return;
    s->id[s->n++] = id;
    if (r->stop && r->stop(r->context, s)) s->end = DECODE_STOPPED;
    else if (s->n == s->max_new) s->end = DECODE_LENGTH;
}

/* What the device needs to know of each live stream; false: too many ids under penalties. Each
 * stream's number is taken from its generator. */
static bool ask_device(decoder *d, decode_stream *stream, int32_t n, int32_t *n_seen)
{
    *n_seen = 0;
    for (int32_t i = 0; i < n; i++) {
        const decode_stream *s = &stream[d->live[i]];
        const bool penalty = s->how.repetition_penalty > 0 && s->how.repetition_penalty != 1;
        const int32_t ids = penalty ? s->n_prefix + s->n : 0;
        if (ids > DECODE_SEEN_MAX - *n_seen) return false;
        d->ask[i] = (draw_row){.temperature = s->how.temperature,
                               .top_p = s->how.top_p,
                               .min_p = s->how.min_p,
                               .penalty = s->how.repetition_penalty,
                               .top_k = s->how.top_k,
                               .first_seen = *n_seen,
                               .n_seen = ids};
        for (int32_t k = 0; k < ids; k++)
            d->seen[(*n_seen)++] = k < s->n_prefix ? s->prefix[k] : s->id[k - s->n_prefix];
    }
    for (int32_t i = 0; i < n; i++) {
        decode_stream *s = &stream[d->live[i]];
        if (s->how.temperature > 0) d->ask[i].unit = rng_unit(&s->generator);
    }
    return true;
}

/* A row that the device left: its logits are changed already, and its number is taken. */
static int32_t draw_left(decoder *d, const decode_stream *stream, int32_t row)
{
    const int64_t n_vocab = d->session->model->config->n_vocab;
    float *logit = d->session->logits + row * n_vocab;
    device_read(d->session->backend, logit, d->session->logits_there + row * n_vocab,
                (size_t)n_vocab * sizeof *logit);
    return draw_with(logit, (int32_t)n_vocab, &stream->how, d->ask[row].unit, d->candidate);
}

/* Where layers stand on several devices no graph has the whole step. */
static bool records(const decoder *d)
{
    return !d->session->before && !d->session->shape.no_graphs;
}

/* The rows that a step of n is filled up to. */
static int32_t filled_of(const decoder *d, int32_t n)
{
    return records(d) ? graph_rows(d->session->backend, n, d->streams) : n;
}

typedef struct decode_pass { /* a step as the device computes it: one graph */
    decoder *d;
    step st;
    int32_t n_logits;
    bool draws; /* where the logits are; */
    int32_t n_seen;
} decode_pass;

static void compute(void *context)
{
    const decode_pass *p = context;
    session *s = p->d->session;
    const int64_t n_vocab = s->model->config->n_vocab;
    session_forward(s, &p->st);
    session_find_logits(s, p->d->row_of, p->n_logits);
    if (!p->draws) return;
    const draw_request want = {.row = p->d->ask,
                               .n = p->n_logits,
                               .n_seen = p->n_seen,
                               .seen = p->d->seen,
                               .softcap = s->model->config->softcap_final,
                               .id = s->drawn_there};
    op_draw(s->backend, tensor_f32(s->logits_there, p->n_logits, n_vocab), &want);
}

/* What the device drew. */
static void read_drawn(decoder *d, const decode_stream *stream, int32_t n)
{
    session *s = d->session;
    device_read(s->backend, d->drawn, s->drawn_there, (size_t)n * sizeof *d->drawn);
    for (int32_t i = 0; i < n && s->backend->failure.code == ERR_NONE; i++) {
        if (d->drawn[i] < 0) d->drawn[i] = draw_left(d, &stream[d->live[i]], i);
    }
}

/* Draws from logits on the host, held to what may come. */
static bool draw_here(decoder *d, decode_stream *stream, int32_t n, const decode_rules *r, err *e)
{
    session_fetch_logits(d->session, n);
    if (!backend_sync(d->session->backend, e)) return false;
    for (int32_t i = 0; r->allow && i < n; i++) {
        decode_stream *s = &stream[d->live[i]];
        float *logit = d->session->logits + (int64_t)i * d->session->model->config->n_vocab;
        if (!r->allow(r->context, s, logit)) s->end = DECODE_STOPPED;
    }
    draws w = {.d = d, .stream = stream};
    pool_run(d->session->backend->threads, n, draw_task, &w);
    return true;
}

/* Computes a step and draws the next token of every live stream from its row. */
static bool advance(decode_pass *p, decode_stream *stream, int32_t n, const decode_rules *r, err *e)
{
    decoder *d = p->d;
    backend *b = d->session->backend;
    p->draws = op_can_draw(b) && !r->allow && ask_device(d, stream, n, &p->n_seen);
    for (int32_t i = n; p->draws && i < p->n_logits; i++) d->ask[i] = (draw_row){.n_seen = 0};
    if (records(d)) graph_run(b, compute, p);
    else compute(p);
    if (p->draws) read_drawn(d, stream, n);
    else if (!draw_here(d, stream, n, r, e)) return false;
    if (!backend_sync(b, e)) return false;
    for (int32_t i = 0; i < n; i++) {
        decode_stream *s = &stream[d->live[i]];
        if (s->end == DECODE_GOES_ON) take_token(s, d->drawn[i], r);
    }
    return true;
}

/* Row `row` of the step for a stream: its last drawn token, or its prefix's last one. */
static int32_t add_row(decoder *d, const decode_stream *s, int32_t row, int32_t n_range)
{
    bool first = s->n == 0;
    int32_t own = s->n - 1; /* own tokens whose K/V is in the session */
    d->id[row] = first ? s->last_id : s->id[own];
    d->position[row] = s->position + own;
    d->slot[row] = first ? s->last_slot : s->slot + own;
    d->out_row[row] = row;
    d->span[row] = (attend_span){.row = row,
                                 .count = 1,
                                 .position = s->position + own,
                                 .first_range = n_range};
    for (int32_t i = 0; i < s->n_path; i++) d->range[n_range++] = s->path[i];
    if (!first) d->range[n_range++] = (attend_range){s->slot, s->n, s->position};
    d->span[row].n_range = n_range - d->span[row].first_range;
    return n_range;
}

/* The last row again until there are `filled`: so many were met before (graph.h). Nobody reads what
 * they compute; their keys and values are the last row's, at its place. */
static void fill_rows(decoder *d, int32_t rows, int32_t filled, int32_t n_range)
{
    for (int32_t i = rows; i < filled; i++) {
        const attend_span last = d->span[i - 1];
        d->id[i] = d->id[i - 1], d->position[i] = d->position[i - 1], d->slot[i] = d->slot[i - 1];
        d->out_row[i] = i;
        d->span[i] = last;
        d->span[i].row = i, d->span[i].first_range = n_range;
        for (int32_t k = 0; k < last.n_range; k++)
            d->range[n_range++] = d->range[last.first_range + k];
    }
}

/* One row a live stream; streams that begin behind the same prefix share one. */
static int32_t add_rows(decoder *d, const decode_stream *stream, int32_t n, int32_t *n_live)
{
    int32_t rows = 0, n_range = 0;
    *n_live = 0;
    for (int32_t i = 0; i < n; i++) {
        const decode_stream *s = &stream[i];
        if (s->end != DECODE_GOES_ON) continue;
        bool shared = rows > 0 && s->n == 0 && d->slot[rows - 1] == s->last_slot;
        if (!shared) n_range = add_row(d, s, rows++, n_range);
        d->live[*n_live] = i;
        d->row_of[(*n_live)++] = rows - 1;
    }
    if (rows == 0) return 0;
    fill_rows(d, rows, filled_of(d, rows), n_range);
    const int32_t n_logits = filled_of(d, *n_live);
    for (int32_t i = *n_live; i < n_logits; i++) d->row_of[i] = rows - 1;
    return rows;
}

bool decode_run(decoder *d, decode_stream *stream, int32_t n, const decode_rules *r, err *e)
{
    assert(n <= d->streams);
    for (int32_t i = 0; i < n; i++) {
        assert(stream[i].n == 0 && stream[i].max_new > 0 && stream[i].n_path <= DECODE_PATH_MAX);
        stream[i].end = DECODE_GOES_ON;
    }
    for (;;) {
        int32_t n_live = 0;
        const int32_t rows = add_rows(d, stream, n, &n_live);
        if (rows == 0) return true;
        const int32_t filled = filled_of(d, rows);
        decode_pass p = {.d = d,
                         .n_logits = filled_of(d, n_live),
                         .st = {.n_row = filled,
                                .slot = d->slot,
                                .id = d->id,
                                .position = d->position,
                                .span = d->span,
                                .range = d->range,
                                .n_span = filled,
                                .out_row = d->out_row,
                                .n_out = filled,
                                .hidden_only = true}};
        if (!advance(&p, stream, n_live, r, e)) return false;
        if (r->step && !r->step(r->context, rows, e)) return false;
    }
}
