/* train_batch: micro-batches out of the tree of prompts.
 *
 * A batch takes answers one by one, each with its ancestors; what is there already (the shared
 * head) is not taken again. Rows stand in the order of taking:
 *
 *     head . case(row 0) . answer . case(row 1) . answer ..
 *
 * The answer's first token is the target of the case's last row, each later token that of the row
 * before it; so an answer of n tokens brings n - 1 rows and n targets.
 */
#ifndef CASELOAD_MODEL_TRAIN_BATCH_H
#define CASELOAD_MODEL_TRAIN_BATCH_H

#include "model/trainer.h"
#include "text/tree.h"

typedef struct batcher {
    const tree *tree;
    train_shape shape;
    int32_t *slot;   /* [n_segment] first row; -1: not in the batch */
    int32_t *placed; /* [n_segment] the segments in the batch, in order */
    int32_t n_placed, n_row, n_out, n_span, n_range;
    int32_t *id, *position, *out_row, *target; /* [rows], [rows], [out_rows] .. */
    float *weight;                             /* [out_rows] */
    attend_span *span;                         /* [rows] */
    attend_range *range;                       /* [rows * BATCH_PATH_MAX] */
} batcher;

enum { BATCH_PATH_MAX = 8 }; /* segments of a path */

bool batcher_lay_out(batcher *b, const tree *t, train_shape shape, arena *a, err *e);

/* Forgets the answers taken. */
void batcher_reset(batcher *b);

/* Takes an answer; each of its tokens' losses counts `weight`. False when it no longer fits beside
 * the others: then nothing changed. An answer taken twice counts twice and is computed once. An
 * answer of no tokens is no answer. */
bool batcher_take(batcher *b, int32_t answer, float weight);

/* Rows and targets that a batch of this answer alone needs. */
void batcher_measure(const batcher *b, int32_t answer, int32_t *rows, int32_t *out_rows);

train_batch batcher_view(const batcher *b);

#endif
