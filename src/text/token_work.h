/* token_work: what one call of token_encode works with, and the road of a text: normalizer, pieces,
 * model. Everything that grows is here, so that a tokenizer is const and any thread may use it. */
#ifndef CASELOAD_TEXT_TOKEN_WORK_H
#define CASELOAD_TEXT_TOKEN_WORK_H

#include "text/token_in.h"

typedef struct token_work {
    const tokenizer *t;
    token_options option;
    token_list *out;
    err *e;
    pcre2_match_data *match;
    buf text[4], from[2], piece[2]; /* texts being rewritten (0, 1 normalizer; 2, 3 pre-tokenizer),
                                       origins of the first two, and pieces */
    buf symbol, heap, lattice, raw;
    bool tracks; /* origins are kept: plain ranges meet normalized tokens */
    bool failed;
} token_work;

typedef struct piece {
    int32_t from, to;
} piece;

void token_work_open(token_work *w, const tokenizer *t, token_list *out, err *e);
void token_work_close(token_work *w);

bool token_list_put(token_list *l, int32_t id); /* grows the list */

static inline void token_put(token_work *w, int32_t id)
{
    token_list *l = w->out;
    if (l->n < l->room) {
        l->id[l->n++] = id;
    } else if (!token_list_put(l, id)) {
        w->failed = true;
        err_set(w->e, ERR_RESOURCE, "out of memory for a text's tokens");
    }
}

/* token_model.c: appends the ids of one piece of text (its fields of `w` aside, reads `t` only). */
void token_model_run(token_work *w, str piece_text);

/* token_split.c: the normalizer, the pre-tokenizer, and the published expressions. */
typedef struct text_view { /* a text on its way, and where its bytes came from */
    str text;
    const int32_t *from; /* [size] offset in the input, or NULL: start + i */
    int32_t start, end;  /* its range in the input */
    bool leads;          /* takes a dummy prefix by LEAD_FIRST too */
    int32_t side;        /* which of w->text holds it; -1: the input */
} text_view;

bool token_normalize(token_work *w, text_view *v);
void token_split_run(token_work *w, text_view v); /* pre-tokenizer and model */

#endif
