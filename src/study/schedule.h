/* schedule: the tree of prompts as steps of the model.
 *
 * Shared heads are forwarded once and keep their K/V slots for the whole run. Everything else comes
 * in **items**: a case and its answers (and, when sharing is off, its own copy of the head),
 * consecutive in the tree. Items are taken in batches of at most `rows` rows; a longer one goes
 * through in several steps. A batch's slots are used again by the next.
 *
 * Behind the cases, samples may be generated (generate.h): each has slots of its own, and so have
 * the question and the answers that follow it.
 *
 * Nothing here changes a number: rows are packed, never padded, and a row's result depends on its
 * own path.
 */
#ifndef CASELOAD_STUDY_SCHEDULE_H
#define CASELOAD_STUDY_SCHEDULE_H

#include "model/session.h"
#include "text/tree.h"

typedef struct item { /* consecutive segments of the tree with one owner */
    int32_t first_segment, n_segment;
    int32_t rows; /* rows they forward */
    int32_t owner;
} item;

typedef struct schedule_options {
    int32_t rows;        /* row budget of a step */
    int32_t batch_items; /* most items a batch; 0: as many as fit */
    int32_t n_top;       /* likeliest next tokens kept for each case */
    bool prompt_logprob; /* also sum the log-probabilities of the case's own tokens */
    int32_t batch_rows;  /* most rows a batch, in several steps; 0: one step's */
    int32_t streams,
        stream_tokens;        /* room for so many samples at once, of so many tokens; 0: none */
    int32_t follow_rows;      /* most rows of what follows one sample; 0: nothing does */
    int32_t follow_positions; /* most tokens on a path there */
    int32_t follow_segments;  /* most answers there, and one for the question */
} schedule_options;

typedef struct schedule { /* made from the whole tree, before a weight is read */
    const tree *tree;
    schedule_options options;
    int32_t n_item, n_head, n_batch, n_owner;
    item *item;                       /* [n_item], longest first: like lengths end up together */
    int32_t *head;                    /* [n_head] segments whose K/V is kept, in tree order */
    int32_t *batch;                   /* [n_batch + 1] first item of each batch */
    int64_t rows_head, rows_all;      /* rows to forward: kept heads; everything */
    session_shape shape;              /* what a session must offer */
    int32_t n_segment;                /* of the tree; of one that is built later: at most */
    int32_t stream_slot, follow_slot; /* first slots of samples, of what follows them */
    int32_t follow_samples;           /* so many samples are followed at once */
} schedule;

bool schedule_make(schedule *s, const tree *t, schedule_options o, arena *a, err *e);
int32_t schedule_batch_rows(const schedule *s, int32_t b);

typedef struct scorer { /* runs a schedule on a session */
    const schedule *schedule;
    session *session;
    int32_t *slot;      /* [n_segment] first K/V slot; -1: not placed */
    double *logprob;    /* [n_segment] an answer's log-probability; a case's own, when asked */
    int32_t *top_id;    /* [n_owner, n_top] */
    float *top_logprob; /* [n_owner, n_top] natural logarithms, falling */
    /* the step under way */
    int32_t *id, *position, *out_row, *pick_id, *pick_segment;
    int32_t *out_case; /* the case whose last row an out row is; -1 */
    int64_t *pick_start;
    attend_span *span;
    attend_range *range;
} scorer;

/* The schedule of the trees of what follows the samples of s: each is built when the samples are
 * there, on their cases' K/V. */
schedule schedule_follow(const schedule *s, const tree *t);

bool scorer_lay_out(scorer *r, const schedule *s, session *on, arena *a, err *e);

/* What a token behind segment g sees: its ancestors and itself, whole; their number, at most
 * `max`. */
int32_t scorer_path(const scorer *r, int32_t g, attend_range *path, int32_t max);

/* For a tree that is built later: forgets the one before; says where a segment's K/V is already;
 * forwards all other segments from `first_slot` on. */
void scorer_clear(scorer *r);
void scorer_place(scorer *r, int32_t g, int32_t slot);
bool scorer_run_rest(scorer *r, int32_t first_slot, err *e);

/* Forwards the kept heads; once, before any batch. */
bool scorer_run_heads(scorer *r, err *e);

/* Forwards batch b; afterwards logprob[] of its segments is final. */
bool scorer_run_batch(scorer *r, int32_t b, err *e);

#endif
