/* generate: samples of text behind the cases of a batch whose K/V is in the session.
 *
 * A sample is seeded by (seed, what its owner is called, its number): any one can be drawn again
 * alone, in any company, and is the same bit for bit. */
#ifndef CASELOAD_STUDY_GENERATE_H
#define CASELOAD_STUDY_GENERATE_H

#include "model/decode.h"
#include "study/schedule.h"
#include "text/token.h"

enum { GENERATE_STREAMS = 32, GENERATE_ENDS_MAX = 16, GENERATE_STOPS_MAX = 16 };

typedef struct generate_ask { /* of one case; zero samples: none */
    int32_t samples, max_tokens;
    sampling how;
    uint64_t seed, row; /* row: a number made from the owner's name, not from its place */
    int32_t n_stop;
    str stop[GENERATE_STOPS_MAX]; /* the text ends before the first of these */
} generate_ask;

typedef struct generate_sample { /* one finished sample; borrowed until `done` returns */
    int32_t owner, number;
    const int32_t *id;
    int32_t n;
    str text;
    const char *end; /* "end", "stop", "length" */
} generate_sample;

typedef struct generator {
    scorer *scorer;
    const tokenizer *tokens;
    decoder decoder;
    decode_stream *stream;    /* [streams] */
    const generate_ask **ask; /* [streams] */
    int32_t *owner, *number;  /* [streams] */
    int32_t *id;              /* [streams, max_tokens] */
    int32_t streams, max_tokens, first_slot;
    int32_t end_id[GENERATE_ENDS_MAX], n_end;
    bool (*done)(void *context, const generate_sample *s, err *e);
    void *context;
} generator;

/* `schedule` was made with options.streams and options.stream_tokens; that is where the room comes
 * from. */
bool generator_lay_out(generator *g, scorer *r, const tokenizer *t, arena *a, err *e);

/* Samples for every case of batch b, which scorer_run_batch has just forwarded; asks[owner]. */
bool generator_run_batch(generator *g, int32_t b, const generate_ask *asks, err *e);

#endif
