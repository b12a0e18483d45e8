/* generate: see generate.h. Streams are taken in groups of at most `streams`; a case's samples may
 * fall into two. */
#include "study/generate.h"

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

bool generator_lay_out(generator *g, scorer *r, const tokenizer *t, arena *a, err *e)
{
    const schedule *s = r->schedule;
    assert(s->options.streams > 0 && s->options.stream_tokens > 0);
    *g = (generator){.scorer = r,
                     .tokens = t,
                     .streams = s->options.streams,
                     .max_tokens = s->options.stream_tokens,
                     .first_slot = s->shape.slots - s->options.streams * s->options.stream_tokens};
    size_t n = (size_t)g->streams;
    g->stream = arena_take_zero(a, n, sizeof *g->stream, e);
    g->ask = arena_take(a, n, sizeof *g->ask, e);
    g->owner = arena_take(a, n, sizeof(int32_t), e);
    g->number = arena_take(a, n, sizeof(int32_t), e);
    g->id = arena_take(a, n * (size_t)g->max_tokens, sizeof(int32_t), e);
    if (!decoder_lay_out(&g->decoder, r->session, g->streams, a, e)) return false;
    if (!arena_measures(a)) find_ends(g);
    return true;
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

static bool stops(void *context, const decode_stream *s)
{
    generator *g = context;
    const generate_ask *ask = g->ask[s - g->stream];
    if (ask->n_stop == 0) return false;
    buf text = buf_up_to(TEXT_BYTES_MAX);
    int32_t from = s->n > STOP_WINDOW_TOKENS ? s->n - STOP_WINDOW_TOKENS : 0;
    token_decode(g->tokens, s->id + from, s->n - from, true, &text);
    bool found = find_stop(ask, buf_view(&text)) >= 0;
    buf_close(&text);
    return found;
}

static bool hand_out(generator *g, int32_t i, err *e)
{
    static const char *const ends[] = {
        [DECODE_END_TOKEN] = "end", [DECODE_LENGTH] = "length", [DECODE_STOPPED] = "stop"};
    const decode_stream *s = &g->stream[i];
    buf text = buf_up_to(TEXT_BYTES_MAX);
    token_decode(g->tokens, s->id, s->n, false, &text);
    str shown = buf_view(&text);
    int64_t stop = find_stop(g->ask[i], shown);
    if (stop >= 0) shown.size = (size_t)stop;
    generate_sample sample = {.owner = g->owner[i],
                              .number = g->number[i],
                              .id = s->id,
                              .n = s->n,
                              .text = shown,
                              .end = ends[s->end]};
    bool ok = buf_check(&text, "a sample", e) && g->done(g->context, &sample, e);
    buf_close(&text);
    return ok;
}

static bool run_group(generator *g, int32_t n, err *e)
{
    decode_rules rules = {.end_id = g->end_id, .n_end = g->n_end, .stop = stops, .context = g};
    if (n == 0) return true;
    if (!decode_run(&g->decoder, g->stream, n, &rules, e)) return false;
    for (int32_t i = 0; i < n; i++) {
        if (!hand_out(g, i, e)) return false;
    }
    return true;
}

static void set_stream(generator *g, int32_t i, int32_t segment, const generate_ask *ask,
                       int32_t number)
{
    const tree *t = g->scorer->schedule->tree;
    const tree_segment *c = tree_at(t, segment);
    decode_stream *s = &g->stream[i];
    *s = (decode_stream){.how = ask->how,
                         .generator = rng_for(ask->seed, ask->row, (uint64_t)number),
                         .position = c->position + c->count,
                         .last_id = tree_ids(t, segment)[c->count - 1],
                         .last_slot = g->scorer->slot[segment] + c->count - 1,
                         .prefix = tree_ids(t, segment),
                         .n_prefix = c->count,
                         .slot = g->first_slot + i * g->max_tokens,
                         .max_new = ask->max_tokens,
                         .id = g->id + (int64_t)i * g->max_tokens};
    s->n_path = scorer_path(g->scorer, segment, s->path, DECODE_PATH_MAX);
    g->ask[i] = ask;
    g->owner[i] = c->owner;
    g->number[i] = number;
}

bool generator_run_batch(generator *g, int32_t b, const generate_ask *asks, err *e)
{
    const schedule *s = g->scorer->schedule;
    assert(g->done && b >= 0 && b < s->n_batch);
    int32_t n = 0;
    for (int32_t i = s->batch[b]; i < s->batch[b + 1]; i++) {
        int32_t segment = s->item[i].first_segment;
        while (tree_at(s->tree, segment)->kind != TREE_CASE) segment++;
        const generate_ask *ask = &asks[s->item[i].owner];
        assert(ask->samples >= 0 && ask->max_tokens <= g->max_tokens);
        for (int32_t k = 0; k < ask->samples; k++) {
            set_stream(g, n++, segment, ask, k);
            if (n < g->streams) continue;
            if (!run_group(g, n, e)) return false;
            n = 0;
        }
    }
    return run_group(g, n, e);
}
