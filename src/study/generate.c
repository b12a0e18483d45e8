/* generate: see generate.h. Streams are taken in groups of at most `streams`; a case's samples may
 * fall into two. */
#include "study/generate_in.h"

#include "text/utf8.h"

#include <assert.h>

enum { STOP_WINDOW_TOKENS = 64, TEXT_BYTES_MAX = 16 << 20 };

/* Tokens that end a turn: the tokenizer's own, and the names that chat models give to theirs. */
static void find_ends(generator *g)
{
    static const char *const names[] = {"<|im_end|>", "<|eot_id|>",    "<end_of_turn>",   "<|end|>",
                                        "</s>",       "<|endoftext|>", "<|end_of_text|>", "<eos>"};
    if (token_eos(g->tokens) >= 0) g->end_id[g->n_end++] = token_eos(g->tokens);
    for (size_t i = 0; i < countof(names); i++) {
        int32_t id = token_find(g->tokens, str_of(names[i]));
        bool known = id < 0 || !token_is_special(g->tokens, id);
        for (int32_t k = 0; k < g->n_end; k++) known = known || g->end_id[k] == id;
        if (!known) g->end_id[g->n_end++] = id;
    }
}

int32_t generate_streams(int64_t samples, int32_t max_tokens, int32_t rows)
{
    enum { ROWS_A_STREAM = 16, SLOTS_A_ROW = 4 };
    int64_t n = (int64_t)rows * SLOTS_A_ROW / (max_tokens > 0 ? max_tokens : 1);
    if (n > rows / ROWS_A_STREAM) n = rows / ROWS_A_STREAM;
    if (n < GENERATE_STREAMS_USUAL) n = GENERATE_STREAMS_USUAL;
    if (n > GENERATE_STREAMS) n = GENERATE_STREAMS;
    return (int32_t)(samples < n ? samples : n);
}

bool generator_lay_out(generator *g, scorer *r, const tokenizer *t, arena *a, err *e)
{
    const schedule *s = r->schedule;
    assert(s->options.streams > 0 && s->options.stream_tokens > 0);
    *g = (generator){.scorer = r,
                     .tokens = t,
                     .streams = s->options.streams,
                     .max_tokens = s->options.stream_tokens};
    size_t n = (size_t)g->streams;
    g->stream = arena_take_zero(a, n, sizeof *g->stream, e);
    g->ask = arena_take(a, n, sizeof *g->ask, e);
    g->number = arena_take(a, n, sizeof(int32_t), e);
    g->state = arena_take(a, n, sizeof(int32_t), e);
    g->id = arena_take(a, n * (size_t)g->max_tokens, sizeof(int32_t), e);
    if (!decoder_lay_out(&g->decoder, r->session, g->streams, a, e)) return false;
    if (!arena_measures(a)) find_ends(g);
    return generate_follow_lay_out(g, a, e);
}

/* The first place of any stop string in the text, or -1. */
static int64_t find_stop(const generate_ask *ask, str text)
{
    int64_t first = -1;
    for (int32_t i = 0; i < ask->n_stop; i++) {
        int64_t at = str_find(text, ask->stop[i]);
        if (at >= 0 && (first < 0 || at < first)) first = at;
    }
    return first;
}

/* Moves the stream's state past its newest token: is the text whole, and can nothing follow? */
static bool is_complete(generator *g, const decode_stream *s)
{
    constrainer *c = g->ask[s - g->stream]->only;
    int32_t *state = &g->state[s - g->stream];
    *state = constrainer_step(c, g->tokens, *state, s->id[s->n - 1]);
    assert(*state >= 0); /* it was allowed */
    return !c->rule->goes_on[*state];
}

static bool allow(void *context, const decode_stream *s, float *logit)
{
    generator *g = context;
    constrainer *c = g->ask[s - g->stream]->only;
    return !c || constrainer_allow(c, g->state[s - g->stream], g->end_id, g->n_end, logit);
}

static bool stops(void *context, const decode_stream *s)
{
    generator *g = context;
    const generate_ask *ask = g->ask[s - g->stream];
    if (ask->only && is_complete(g, s)) return true;
    if (ask->n_stop == 0) return false;
    buf text = buf_up_to(TEXT_BYTES_MAX);
    int32_t from = s->n > STOP_WINDOW_TOKENS ? s->n - STOP_WINDOW_TOKENS : 0;
    token_decode(g->tokens, s->id + from, s->n - from, true, &text);
    bool found = find_stop(ask, buf_view(&text)) >= 0;
    buf_close(&text);
    return found;
}

/* Tokens whose text is within the first `bytes` bytes. */
static int32_t count_within(const generator *g, const decode_stream *s, size_t bytes)
{
    buf text = buf_up_to(TEXT_BYTES_MAX);
    int32_t n = 0;
    while (n < s->n) {
        token_decode(g->tokens, s->id + n, 1, false, &text);
        if (text.size > bytes) break;
        n++;
    }
    buf_close(&text);
    return n;
}

typedef struct finished { /* a stream's text */
    buf text;             /* up to the first stop string, mended: valid UTF-8 */
    bool stopped;
} finished;

static void finish(generator *g, int32_t i, finished *f, int32_t *kept)
{
    const decode_stream *s = &g->stream[i];
    buf drawn = buf_up_to(TEXT_BYTES_MAX);
    token_decode(g->tokens, s->id, s->n, false, &drawn);
    int64_t stop = find_stop(g->ask[i], buf_view(&drawn));
    f->stopped = stop >= 0;
    size_t size = f->stopped ? (size_t)stop : drawn.size;
    *kept = f->stopped ? count_within(g, s, size) : s->n;
    f->text = buf_up_to(3 * (size_t)TEXT_BYTES_MAX); /* U+FFFD is three bytes */
    utf8_mend(str_part(buf_view(&drawn), 0, size), &f->text);
    f->text.failed = f->text.failed || drawn.failed;
    buf_close(&drawn);
}

static bool hand_out(generator *g, int32_t i, int32_t n_group, const finished *f, err *e)
{
    static const char *const ends[] = {
        [DECODE_END_TOKEN] = "end", [DECODE_LENGTH] = "length", [DECODE_STOPPED] = "stop"};
    const decode_stream *s = &g->stream[i];
    const constrainer *c = g->ask[i]->only; /* ended because nothing can follow */
    bool whole = c && s->end == DECODE_STOPPED && !f->stopped && c->rule->accepts[g->state[i]];
    generate_sample sample = {.owner = g->ask[i]->owner,
                              .number = g->number[i],
                              .n_group = n_group,
                              .id = s->id,
                              .n = s->n,
                              .text = buf_view(&f->text),
                              .end = whole ? "end" : ends[s->end]};
    if (g->ask[i]->follow.n_answer > 0) sample.answer_logprob = generate_answers(g, i);
    return buf_check(&f->text, "a sample", e) && g->done(g->context, &sample, e);
}

static bool after_step(void *context, int32_t n_row, err *e)
{
    generator *g = context;
    return !g->step || g->step(g->context, n_row, e);
}

static bool run_group(generator *g, int32_t n, err *e)
{
    decode_rules rules = {.end_id = g->end_id,
                          .n_end = g->n_end,
                          .stop = stops,
                          .allow = allow,
                          .step = after_step,
                          .context = g};
    finished f[GENERATE_STREAMS];
    int32_t kept[GENERATE_STREAMS] = {0};
    bool held = false; /* to a form */
    for (int32_t i = 0; i < n; i++) held = held || g->ask[i]->only;
    if (!held) rules.allow = NULL;
    if (n == 0) return true;
    if (!decode_run(&g->decoder, g->stream, n, &rules, e)) return false;
    for (int32_t i = 0; i < n; i++) finish(g, i, &f[i], &kept[i]);
    bool ok = generate_follow_run(g, n, kept, e);
    for (int32_t i = 0; i < n; i++) {
        ok = ok && hand_out(g, i, n, &f[i], e);
        buf_close(&f[i].text);
    }
    return ok && (!g->group || g->group(g->context, e));
}

static void set_stream(generator *g, int32_t i, const generate_ask *ask, int32_t number)
{
    const tree *t = g->scorer->schedule->tree;
    const int32_t segment = ask->segment;
    const tree_segment *c = tree_at(t, segment);
    decode_stream *s = &g->stream[i];
    *s = (decode_stream){.how = ask->how,
                         .generator = rng_for(ask->seed, ask->row, (uint64_t)number),
                         .position = c->position + c->count,
                         .last_id = tree_ids(t, segment)[c->count - 1],
                         .last_slot = g->scorer->slot[segment] + c->count - 1,
                         .prefix = ask->n_prompt > 0 ? ask->prompt : tree_ids(t, segment),
                         .n_prefix = ask->n_prompt > 0 ? ask->n_prompt : c->count,
                         .slot = g->scorer->schedule->stream_slot + i * g->max_tokens,
                         .max_new = ask->max_tokens,
                         .id = g->id + (int64_t)i * g->max_tokens};
    s->n_path = scorer_path(g->scorer, segment, s->path, DECODE_PATH_MAX);
    g->ask[i] = ask;
    g->number[i] = number;
    g->state[i] = 0;
}

bool generator_run(generator *g, const generate_ask *asks, int32_t n_ask, err *e)
{
    int32_t n = 0;
    assert(g->done && g->streams <= GENERATE_STREAMS);
    for (int32_t i = 0; i < n_ask; i++) {
        const generate_ask *ask = &asks[i];
        assert(ask->first >= 0 && ask->samples >= 0 && ask->max_tokens <= g->max_tokens);
        for (int32_t k = ask->first; k < ask->samples; k++) {
            set_stream(g, n++, ask, k);
            if (n < g->streams) continue;
            if (!run_group(g, n, e)) return false;
            n = 0;
        }
    }
    return run_group(g, n, e);
}
