/* pass: the arms of a study that share a model and an adapter, and so one session.
 *
 * pass_ask writes and tokenises every prompt of the pass into a book (book.h) and notes what has no
 * score yet; pass_plan says what the session takes; pass_run opens the weights, scores what is
 * missing, one transaction a step, and closes. The bytes planned are the bytes used.
 *
 * A row asked in one way, without generated texts, has its score as soon as it is computed. Else
 * each way (part) and each text (sample) is kept under a key of its own, and the row's score is
 * made of them when the last is there (arms_combine): a killed run loses no part and no text.
 * Z of a part with texts: log of the mean over texts of exp(Z), which is the label's probability
 * whatever the text says: P(label | prompt) = E P(label | prompt, text) (self-consistency with
 * probabilities in the place of votes; Wang et al. 2023, arXiv 2203.11171).
 *
 * An adapter that is still to be trained (run.h, run_maker) has no hash yet: its pass is asked
 * once without the store, to check and to plan, and once more when the adapter is there.
 */
#ifndef CASELOAD_STUDY_PASS_H
#define CASELOAD_STUDY_PASS_H

#include "base/hash.h"
#include "study/book.h"

struct run;

typedef struct row_state { /* a row under an arm that is asked in several ways, or by texts */
    hash_text key;         /* of its score; empty: asked in one way, which has the row's key */
    int32_t left;          /* parts to be computed for it */
    bool open;             /* it has no score yet */
} row_state;

typedef struct pass {
    int32_t model;       /* which of run.model */
    const char *adapter; /* folder; NULL: none */
    int32_t adapter_rank;
    hash_text adapter_hash; /* of its two files; empty: none, or not made yet */
    bool late;              /* the adapter is not made yet: run_maker makes it */
    int32_t n_arm;
    int32_t *arm; /* [n_arm] of the study */
    book book;
    row_state *row; /* [n_arm of the pass][rows.scored.n] */
    int32_t n_open; /* rows of it that are open */
    buf seen;       /* keys of parts that are in the book */
    int64_t n_seen;
    int64_t texts_all, texts_done;               /* added to the run's when it was asked */
    int64_t texts_todo, tokens_todo, drawn_todo; /* drawn: at most */
    int64_t bytes_planned, bytes_peak;           /* of the session; of the process while it ran */
    size_t bytes_device;                         /* weights and session of a GPU */
    str ranks_text;                              /* where each rank stands; empty: one */
    int64_t bytes_before, bytes_weights; /* of the process before it opened; of the model's file */
    double seconds;                      /* this run's */
} pass;

/* The hash of an adapter's files, and its rank: reads it whole, checks it against the model. */
bool pass_read_adapter(struct run *r, pass *p, err *e);

/* Inside a transaction when there is a store. */
bool pass_ask(struct run *r, pass *p, err *e);
void pass_forget(pass *p); /* the book */

/* Bytes of the session, without opening anything; 0 when nothing is left to do. */
bool pass_plan(struct run *r, pass *p, int64_t *bytes, err *e);
/* The same with another row budget. */
bool pass_plan_rows(struct run *r, const pass *p, int32_t rows, int64_t *bytes, err *e);

bool pass_run(struct run *r, pass *p, err *e);

#endif
