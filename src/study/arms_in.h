/* arms_in: what the files of arms share. */
#ifndef CASELOAD_STUDY_ARMS_IN_H
#define CASELOAD_STUDY_ARMS_IN_H

#include "study/arms.h"

enum {
    ARMS_TEXT_BYTES_MAX = 64 << 20,
    ARMS_SLACK_TOKENS = 4, /* merges at the edges of a text may cost a token or two */
    ARMS_CHUNKS_MAX = 256  /* of one text */
};

/* --- arms_text.c: texts within a budget --- */

typedef struct arms_fit { /* a text within a budget */
    str text;             /* whole, or cut, in the run's memory */
    int32_t n_cut;        /* tokens left out; under `refuse`: tokens too many */
} arms_fit;

bool arms_count_tokens(const tokenizer *t, str text, token_list *ids, err *e);
/* `text` within budget[m] tokens of every model m: the shortest text that one of them needs. */
bool arms_fit_text(const arms *a, str text, const int32_t *budget, arms_fit *out, err *e);
/* Overlapping pieces within the budget, appended to `pieces` (str[]); one when all fits. */
bool arms_cut_chunks(const arms *a, str text, const int32_t *budget, buf *pieces, err *e);

/* --- arms_write.c: messages --- */

str arms_join(arena *memory, str a, str b, str c, err *e);
/* The options of a row as they stand in the prompt: a letter and an option a line, at places turned
 * by `shift`; `alike`: all options read the same. */
typedef struct arms_list {
    const row_set *set;
    int32_t row, shift;
    bool alike;
} arms_list;
int32_t arms_n_option(const arms *a, const row_set *set, int32_t row);
int32_t arms_option_at(const arms *a, const arms_way *way, const arms_list *l, int32_t place);
str arms_option_text(const arm *m, const arms_way *way, const arms_list *l, int32_t option);
void arms_write_options(const arms *a, const arm *m, const arms_way *way, const arms_list *l,
                        buf *out);
bool arms_has_list(const arm *m); /* options stand in its prompts */

/* The forms of an arm's ways and sets, and `shown`. */
bool arms_make_forms(const arms *a, arm *m, err *e);

/* --- arms_ask.c --- */

/* What stands in the slot of a variant: the text, and the options behind it. */
void arms_write_slot(const arms *a, int32_t arm, int32_t row, int32_t variant, buf *out);
void arms_write_slot_of(const arms *a, const arm *m, const arms_way *way, str text,
                        const arms_list *l, buf *out);

#endif
