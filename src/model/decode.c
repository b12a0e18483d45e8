/* decode: see decode.h. */
#include "model/decode.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
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
    d->candidate = arena_take(a, (size_t)s->model->config->n_vocab, sizeof(decode_candidate), e);
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

/* Falling probability; ties by id. */
static int by_probability(const void *left, const void *right)
{
    const decode_candidate *a = left, *b = right;
    if (a->p != b->p) return a->p < b->p ? 1 : -1;
    return (a->id > b->id) - (a->id < b->id);
}

/* Tokens whose weight is nothing beside the likeliest's cannot be drawn: exp(-50) of it. */
static int32_t collect(const float *logit, int32_t n_vocab, double temperature, decode_candidate *c)
{
    double top = (double)logit[likeliest(logit, n_vocab)];
    int32_t n = 0;
    for (int32_t i = 0; i < n_vocab; i++) {
        double w = ((double)logit[i] - top) / temperature;
        if (w > -50) c[n++] = (decode_candidate){.p = exp(w), .id = i};
    }
    return n;
}

static double normalise(decode_candidate *c, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += c[i].p;
    for (int32_t i = 0; i < n; i++) c[i].p /= sum;
    return sum;
}

/* Candidates stand in falling order: each rule keeps a beginning of them. */
static int32_t keep_likeliest(decode_candidate *c, int32_t n, const sampling *how)
{
    if (how->top_k > 0 && n > how->top_k) n = how->top_k;
    normalise(c, n);
    if (how->top_p > 0 && how->top_p < 1) {
        double sum = 0;
        int32_t kept = 0;
        while (kept < n && sum < (double)how->top_p) sum += c[kept++].p;
        n = kept;
        normalise(c, n);
    }
    if (how->min_p > 0) {
        int32_t kept = 1;
        while (kept < n && c[kept].p >= (double)how->min_p * c[0].p) kept++;
        n = kept;
        normalise(c, n);
    }
    return n;
}

int32_t decode_draw(float *logit, int32_t n_vocab, decode_stream *s, decode_candidate *scratch)
{
    assert(n_vocab > 0 && s->how.temperature >= 0);
    penalise(logit, n_vocab, s);
    if (s->how.temperature == 0) return likeliest(logit, n_vocab);
    int32_t n = collect(logit, n_vocab, (double)s->how.temperature, scratch);
    if (n == 0)
        return likeliest(logit, n_vocab); /* no number above another: nothing to draw from */
    qsort(scratch, (size_t)n, sizeof *scratch, by_probability);
    n = keep_likeliest(scratch, n, &s->how);
    double at = rng_unit(&s->generator), sum = 0;
    for (int32_t i = 0; i < n; i++) {
        sum += scratch[i].p;
        if (at < sum) return scratch[i].id;
    }
    return scratch[n - 1].id; /* rounding left a crumb above the sum */
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

/* Draws the next token of every live stream from its row of the last step. */
static bool draw_all(decoder *d, decode_stream *stream, int32_t n, const decode_rules *r, err *e)
{
    int32_t n_vocab = d->session->model->config->n_vocab;
    session_read_logits(d->session, d->row_of, n);
    if (!backend_sync(d->session->backend, e)) return false;
    for (int32_t i = 0; i < n; i++) {
        decode_stream *s = &stream[d->live[i]];
        float *logit = d->session->logits + (int64_t)i * n_vocab;
        if (r->allow && !r->allow(r->context, s, logit)) s->end = DECODE_STOPPED;
        else take_token(s, decode_draw(logit, n_vocab, s, d->candidate), r);
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
        int32_t n_live = 0, rows = add_rows(d, stream, n, &n_live);
        if (rows == 0) return true;
        step st = {.n_row = rows,
                   .slot = d->slot,
                   .id = d->id,
                   .position = d->position,
                   .span = d->span,
                   .range = d->range,
                   .n_span = rows,
                   .out_row = d->out_row,
                   .n_out = rows,
                   .hidden_only = true};
        session_forward(d->session, &st);
        if (!draw_all(d, stream, n_live, r, e)) return false;
        if (r->step && !r->step(r->context, rows, e)) return false;
    }
}
