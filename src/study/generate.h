/* generate: samples of text behind the cases of a batch whose K/V is in the session, and the label
 * asked behind each.
 *
 *     head ── case ── a sample's tokens ── question (bridge) ── "Yes"
 *                  └─ another sample's ── ..                 └─ "No"
 *
 * A sample is seeded by (seed, what its owner is called, its number): any one can be drawn again
 * alone, in any company, and is the same bit for bit. The K/V of head, text and sample is shared by
 * all that stands behind it. */
#ifndef CASELOAD_STUDY_GENERATE_H
#define CASELOAD_STUDY_GENERATE_H

#include "model/decode.h"
#include "study/schedule.h"
#include "text/constrain.h"
#include "text/token.h"

enum {
    GENERATE_STREAMS = 512, /* at most, */
    GENERATE_STREAMS_USUAL = 32,
    GENERATE_ENDS_MAX = 16,
    GENERATE_STOPS_MAX = 16
};

typedef struct generate_follow { /* what is asked behind each sample; n_answer 0: nothing */
    const int32_t *bridge;       /* [n_bridge], at least one */
    int32_t n_bridge, n_answer;
    const int32_t *answer_start; /* [n_answer + 1] into answer_id */
    const int32_t *answer_id;
} generate_follow;

typedef struct generate_ask { /* of one case; zero samples: none */
    int32_t segment;          /* the case, in the schedule's tree */
    const int32_t *prompt;    /* [n_prompt] ids of the whole path, for the repetition penalty */
    int32_t n_prompt;         /* 0: those of the case */
    int32_t owner;            /* as the caller numbers it */
    int32_t first, samples;   /* samples number first .. samples - 1 are drawn */
    int32_t max_tokens;
    sampling how;
    uint64_t seed, row; /* row: a number made from the owner's name, not from its place */
    int32_t n_stop;
    str stop[GENERATE_STOPS_MAX]; /* the text ends before the first of these */
    constrainer *only;            /* the form that the text must have; NULL: any */
    generate_follow follow;
} generate_ask;

typedef struct generate_sample { /* one finished sample; borrowed until `done` returns */
    int32_t owner, number;
    int32_t n_group; /* finished together */
    const int32_t *id;
    int32_t n;
    str text;
    const char *end;              /* "end", "stop", "length" */
    const double *answer_logprob; /* [follow.n_answer] given the text */
} generate_sample;

typedef struct generator {
    scorer *scorer;
    const tokenizer *tokens;
    decoder decoder;
    decode_stream *stream;    /* [streams] */
    const generate_ask **ask; /* [streams] */
    int32_t *number;          /* [streams] */
    int32_t *state;           /* [streams] of the ask's constrainer */
    int32_t *id;              /* [streams, max_tokens] */
    int32_t streams, max_tokens;
    int32_t end_id[GENERATE_ENDS_MAX], n_end;
    /* what follows a group's samples */
    tree tree;
    schedule follow_schedule;
    scorer follow;
    int32_t *bridge_segment; /* [streams] of the tree; the answers stand behind it */
    double *answer_logprob;  /* [streams, follow_segments - 1] */
    /* the caller's; `group`: after all samples of a group were handed out, `step`: after each
     * token's step, of so many rows; NULL: none */
    bool (*done)(void *context, const generate_sample *s, err *e);
    bool (*group)(void *context, err *e);
    bool (*step)(void *context, int32_t n_row, err *e);
    void *context;
} generator;

/* How many streams of so many tokens a device draws at once that takes `rows` rows a step: a usual
 * number, or more where steps are large (a GPU reads its weights once for all of them), as long as
 * their slots are no more than four steps of rows. */
int32_t generate_streams(int64_t samples, int32_t max_tokens, int32_t rows);

/* The scorer's schedule was made with options.streams and options.stream_tokens; that is where the
 * room comes from. */
bool generator_lay_out(generator *g, scorer *r, const tokenizer *t, arena *a, err *e);

/* Samples for cases of the batch that scorer_run_batch has just forwarded, in groups of at most
 * `streams`. */
bool generator_run(generator *g, const generate_ask *asks, int32_t n, err *e);

#endif
