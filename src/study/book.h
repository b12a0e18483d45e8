/* book: every prompt of a pass as paths in trees, bound into chapters.
 *
 *     shared head ──┬── text ──┬── question of arm A ──┬── "Yes"
 *                   │          │                       └── "No"
 *                   │          └── question of arm B ── ..
 *                   └── another row's text ── ..
 *
 * What prompts of one row share below their head (the text, or all of it) is computed once for all
 * arms and ways of asking; a head that two rows or more begin with is kept in the session while
 * they are asked. A **chapter** is a tree whose kept heads stand there together: at most
 * BOOK_HEAD_TOKENS of them, or one longer head. Its items (schedule.h) are what hangs together
 * below the heads.
 *
 * Where a prompt is cut depends on its form and its own ids (prompt.h), never on what else is in
 * the book: a score keeps its bits whatever is asked beside it.
 */
#ifndef CASELOAD_STUDY_BOOK_H
#define CASELOAD_STUDY_BOOK_H

#include "base/hash.h"
#include "study/arms.h"
#include "study/schedule.h"

enum { BOOK_HEAD_TOKENS = 4096 };

typedef struct book_part { /* one way of asking one row under one arm, to be computed */
    int32_t arm, row, variant, n_token;
    int32_t case_segment;
    int32_t first_answer, n_answer; /* in answer_segment and answer_class; or in `kept` */
    int32_t first_sample, samples;  /* texts first_sample .. samples - 1 are to be generated */
    int32_t max_tokens;             /* of a text */
    int64_t prompt, bridge, start, answers; /* of generated texts: first numbers in `kept` */
    int32_t n_bridge;
    hash_text key;
} book_part;

typedef struct chapter {
    tree tree;
    schedule schedule;
    buf part;                                /* book_part[], item after item */
    token_list first_part;                   /* [n_item] of each item (the tree's owner) */
    token_list answer_segment, answer_class; /* a part's answers: equal ids share a segment */
    token_list kept;                         /* ids that outlive the asking */
    int64_t head_tokens;
} chapter;

typedef struct book_ask { /* a part, with what it is made of */
    book_part part;
    const prompt_form *form;
    const asked *q;
    bool done; /* it has its score: counted, not computed */
} book_ask;

typedef struct book_cost {    /* of whole studies, done or not; generated tokens apart */
    int64_t shared, unshared; /* tokens forwarded; if each prompt stood alone */
} book_cost;

typedef struct book {
    bool unshared;
    buf chapter;    /* chapter[] */
    buf head, form; /* see book.c */
    int64_t n_form;
    book_cost all, *arm; /* arm[n_arm]: each arm alone, sharing within itself */
} book;

/* `cost`: [n_arm] zeros of the caller. */
void book_open(book *b, bool unshared, book_cost *cost);
void book_close(book *b); /* twice is fine */

/* First for every way of asking: who begins with which head. */
bool book_note(book *b, const prompt_form *form, int32_t row, err *e);

/* All ways of asking of one row, arm after arm. */
bool book_add_row(book *b, const book_ask *ask, int32_t n, arena *scratch, err *e);

/* Makes the schedules; see chapter_options. */
bool book_finish(book *b, schedule_options how, arena *a, err *e);

int32_t book_count(const book *b);
chapter *book_chapter(const book *b, int32_t i);
/* How the chapter is scheduled within a row budget: `how` gives rows and batch_items. Where texts
 * are generated, the budget also bounds how many stand in the session at once. */
schedule_options chapter_options(const chapter *c, schedule_options how);
const book_part *chapter_parts(const chapter *c, int32_t item, int32_t *n);

#endif
