/* constrain: which of a model's tokens may come next, so that a generated text keeps to an
 * automaton (automaton.h).
 *
 * A token may come if its bytes lead from the text's state to a living one; the tokens that end a
 * turn, if the text may end there. Tokens with names of their own (special ones) may never come.
 * The allowed tokens of a state are found once, by walking the vocabulary in the order of its
 * bytes, and kept as bits.
 */
#ifndef CASELOAD_TEXT_CONSTRAIN_H
#define CASELOAD_TEXT_CONSTRAIN_H

#include "text/automaton.h"
#include "text/token.h"

enum { CONSTRAIN_MASKS_MAX = 1024 }; /* kept; states beyond are walked each time */

typedef struct token_bytes { /* the vocabulary by its bytes: of one tokenizer */
    int32_t n;               /* tokens that stand for bytes, rising by them */
    int32_t *id;             /* [n] */
    int64_t *start;          /* [n + 1] into bytes */
    char *bytes;
    int32_t n_vocab; /* tokens of the model */
} token_bytes;

/* `n_vocab`: tokens that the model can draw; ids from there on are left out. */
bool token_bytes_make(token_bytes *b, const tokenizer *t, int32_t n_vocab, arena *a, err *e);

typedef struct constrainer {
    const automaton *rule;
    const token_bytes *tokens;
    int32_t *mask_of; /* [n_state] which of `mask`; -1: not made yet */
    uint64_t *mask;   /* [n_mask, words] bits of allowed tokens; the last is for all other states */
    int32_t n_mask, made, words;
} constrainer;

bool constrainer_make(constrainer *c, const automaton *rule, const token_bytes *b, arena *a,
                      err *e);

/* Sets the logits [n_vocab] of all tokens that may not come to -infinity; `end`: [n_end] ids that
 * end a turn. False: nothing may come (the vocabulary cannot spell what is wanted). */
bool constrainer_allow(constrainer *c, int32_t state, const int32_t *end, int32_t n_end,
                       float *logit);

/* The state behind a token. */
int32_t constrainer_step(const constrainer *c, const tokenizer *t, int32_t state, int32_t id);

#endif
