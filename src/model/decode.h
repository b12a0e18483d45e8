/* decode: samples of text, many at once, each a path of its own behind a shared prefix.
 *
 * A stream continues a path whose K/V is in the session (head, case): it owns one slot a new token,
 * and reads what its ancestors wrote. All streams advance together, one row each a step. A stream's
 * tokens depend on its own path, its sampling and its generator alone: not on its neighbours or
 * their number.
 *
 * The next token, from the row's logits: repetition penalty (Keskar et al. 2019) over the path's
 * ids; temperature 0 takes the likeliest (ties: the lower id); else logits / temperature, then
 * top-k, top-p (Holtzman et al. 2020: the fewest likeliest tokens whose probabilities reach p),
 * min-p (those with at least that share of the likeliest's probability), and a draw in double
 * precision. A device that can draws where the logits are (compute/draw.h): the same number of the
 * stream's generator, the same token. Forms are held, and what it leaves is drawn, on the host.
 */
#ifndef CASELOAD_MODEL_DECODE_H
#define CASELOAD_MODEL_DECODE_H

#include "base/rng.h"
#include "model/session.h"

enum { DECODE_PATH_MAX = 8, DECODE_SEEN_MAX = 1 << 20 };

typedef struct sampling {     /* zero is greedy without limits */
    float temperature;        /* 0: greedy */
    int32_t top_k;            /* 0: all */
    float top_p;              /* 0 or 1: all */
    float min_p;              /* 0: all */
    float repetition_penalty; /* 0 or 1: none */
} sampling;

typedef enum decode_end {
    DECODE_GOES_ON,
    DECODE_END_TOKEN,
    DECODE_LENGTH,
    DECODE_STOPPED
} decode_end;

typedef struct decode_stream {
    sampling how;
    rng generator;
    attend_range
        path[DECODE_PATH_MAX];  /* of the prefix, from the root; its K/V is in the session */
    int32_t n_path, position;   /* position of the first new token */
    int32_t last_id, last_slot; /* the prefix's last token and where its K/V is */
    const int32_t *prefix;      /* [n_prefix] ids before it, for the repetition penalty */
    int32_t n_prefix;
    int32_t slot; /* first of `max_new` own slots */
    int32_t max_new;
    int32_t *id; /* [max_new] what was drawn; an end token is not kept */
    int32_t n;
    decode_end end;
} decode_stream;

typedef struct decode_rules {
    const int32_t *end_id; /* [n_end] tokens that end a turn */
    int32_t n_end;
    /* After each token: true ends the stream (stop strings). NULL: never. */
    bool (*stop)(void *context, const decode_stream *s);
    /* Before each draw: sets logits of what may not come to -infinity; false: nothing may, and the
     * stream ends as stopped. NULL: all may come. */
    bool (*allow)(void *context, const decode_stream *s, float *logit);
    /* After each step of so many rows: false, with an error, ends everything. NULL: goes on. */
    bool (*step)(void *context, int32_t n_row, err *e);
    void *context;
} decode_rules;

typedef struct decoder { /* arrays of one decode step, for at most `streams` streams */
    session *session;
    int32_t streams;
    int32_t *id, *position, *slot, *out_row;
    int32_t *live, *row_of; /* streams that go on, and the step's row of each */
    int64_t *pick_start;
    attend_span *span;
    attend_range *range;
    int32_t *drawn;       /* [streams] */
    struct draw_row *ask; /* [streams], where the device draws */
    int32_t *seen;        /* [DECODE_SEEN_MAX] ids under penalties of a step, likewise */
    struct decode_candidate *candidate; /* [threads, n_vocab] */
} decoder;

/* The session's shape must have `logit_rows` >= streams, and slots for the streams' own tokens. */
bool decoder_lay_out(decoder *d, session *s, int32_t streams, arena *a, err *e);

/* Draws until every stream has ended; n <= streams. Streams of one prefix stand together. The first
 * step forwards each prefix's last token once more (the same bits), to read its logits. */
bool decode_run(decoder *d, decode_stream *stream, int32_t n, const decode_rules *r, err *e);

/* One draw from logits [n_vocab] (changed in place). The part that needs no model. */
int32_t decode_draw(float *logit, int32_t n_vocab, decode_stream *s,
                    struct decode_candidate *scratch);

#endif
