/* requests: `caseload score`, the door for other programs: prompts in, log-probabilities out.
 *
 * One JSON object a line.
 *   in   {"id": .., "prompt": ".." | "messages": [{"role", "content"}, ..], "answers": ["..", ..]}
 *   out  {"id": .., "ids": [..],
 *         "answers": {text: {"ids": [..], "logprob": x, "boundary": "clean" | "forced"}},
 *         "top": [[id, logprob] x 10], "prompt_logprob": x}
 *
 * With "generate": {"samples": 1, "max_tokens": 256, "temperature": 0, "top_k", "top_p", "min_p",
 * "repetition_penalty", "seed", "stop": [..], "constrain": {"choice": [..]} or {"pattern": ".."} or
 * {"schema": {..}}} (all optional; greedy by default) the output also has
 *         "samples": [{"text": "..", "ids": [..], "end": "end" | "stop" | "length"}, ..]
 * A text keeps to its form (text/automaton.h) but where "end" is "length". It is always UTF-8:
 * bytes that are no character, as where a text ended inside one, are written as U+FFFD.
 * A sample is seeded by (seed, the request's id, its number): the same in any company.
 *
 * A prompt is taken verbatim: special tokens in it are recognised, BOS is added where the model
 * asks for it and none is there. Messages go through the model's template with its generation
 * prompt; what they spell out is plain. prompt_logprob sums over the prompt's tokens from the
 * second on. Logarithms are natural.
 */
#ifndef CASELOAD_STUDY_REQUESTS_H
#define CASELOAD_STUDY_REQUESTS_H

#include "study/engine.h"

typedef struct requests_options {
    int32_t rows;        /* row budget of a step; 0: engine_rows */
    int32_t batch_items; /* 0: as many as fit */
    bool (*done)(void *context, int64_t n_done,
                 int64_t n_all); /* requests; after a step, a token's too; false stops. NULL */
    void *context;
} requests_options;

/* Bad lines are ERR_DATA with the line's number, before anything is computed. Lines come out in the
 * order of input. */
bool requests_run(engine *g, str jsonl, requests_options o, buf *out, err *e);

#endif
