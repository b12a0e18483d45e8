/* tree: every prompt of a run as a path in one tree of segments.
 *
 * A segment is a stretch that the template declares: a head (role, instructions, examples), a case
 * (the text and what follows it), an answer. What prompts share is one segment, computed once. Cuts
 * depend on the template alone, never on other rows: that keeps a score the same whatever else is
 * in the run.
 *
 *     head ── case(row 0) ── "Yes"
 *          │             └─ "No"
 *          └─ case(row 1) ── ...
 *
 * An answer of n tokens forwards n - 1 rows: its first token is read off the last row of its
 * parent.
 */
#ifndef CASELOAD_TEXT_TREE_H
#define CASELOAD_TEXT_TREE_H

#include "base/str.h"

enum { TREE_ROOT = -1 };

typedef enum tree_kind { TREE_HEAD, TREE_CASE, TREE_ANSWER } tree_kind;

typedef struct tree_segment {
    int32_t parent;   /* segment, or TREE_ROOT; always lower than the segment's own number */
    int32_t position; /* of its first token on the path */
    int32_t count;    /* tokens */
    tree_kind kind;
    int64_t start;  /* first token in tree.id */
    int32_t owner;  /* what it belongs to, as its maker numbers it: a row, a request; -1: shared */
    int32_t answer; /* answers only: which of the owner's */
} tree_segment;

typedef struct tree {
    buf segments, ids; /* tree_segment[], int32_t[]; use the accessors */
} tree;

void tree_open(tree *t, int64_t segment_max, int64_t id_max);
void tree_close(tree *t);

/* A tree of fixed room in the arena, not to be closed; emptied by tree_clear. */
bool tree_lay_out(tree *t, int64_t segment_max, int64_t id_max, arena *a, err *e);
void tree_clear(tree *t);

/* Adds a segment; its number, or -1 with ERR_RESOURCE when the tree is full. `s` gives parent,
 * kind, owner and answer; `n` 0 is allowed. */
int32_t tree_add(tree *t, tree_segment s, const int32_t *id, int32_t n, err *e);

/* Makes the newest segment longer by n tokens. */
bool tree_extend(tree *t, const int32_t *id, int32_t n, err *e);

static inline int32_t tree_count(const tree *t)
{
    return (int32_t)(t->segments.size / sizeof(tree_segment));
}
static inline const tree_segment *tree_at(const tree *t, int32_t i)
{
    return (const tree_segment *)(const void *)t->segments.data + i;
}
static inline const int32_t *tree_ids(const tree *t, int32_t i)
{
    return (const int32_t *)(const void *)t->ids.data + tree_at(t, i)->start;
}

/* Rows that a segment forwards: all its tokens, or one less for an answer. */
static inline int32_t tree_rows(const tree_segment *s)
{
    return s->kind == TREE_ANSWER ? (s->count > 0 ? s->count - 1 : 0) : s->count;
}

#endif
