/* train_batch: see train_batch.h. */
#include "model/train_batch.h"

#include <assert.h>

bool batcher_lay_out(batcher *b, const tree *t, train_shape shape, arena *a, err *e)
{
    assert(t && shape.rows > 0 && shape.out_rows > 0);
    *b = (batcher){.tree = t, .shape = shape};
    const size_t segments = (size_t)tree_count(t), rows = (size_t)shape.rows;
    const size_t out = (size_t)shape.out_rows;
    b->slot = arena_take(a, segments, sizeof *b->slot, e);
    b->placed = arena_take(a, segments, sizeof *b->placed, e);
    b->id = arena_take(a, rows, sizeof *b->id, e);
    b->position = arena_take(a, rows, sizeof *b->position, e);
    b->out_row = arena_take(a, out, sizeof *b->out_row, e);
    b->target = arena_take(a, out, sizeof *b->target, e);
    b->weight = arena_take(a, out, sizeof *b->weight, e);
    b->span = arena_take(a, rows, sizeof *b->span, e);
    b->range = arena_take(a, rows * BATCH_PATH_MAX, sizeof *b->range, e);
    if (e->code != ERR_NONE) return false;
    for (size_t i = 0; b->slot && i < segments; i++) b->slot[i] = -1;
    return true;
}

void batcher_reset(batcher *b)
{
    for (int32_t i = 0; i < b->n_placed; i++) b->slot[b->placed[i]] = -1;
    b->n_placed = b->n_row = b->n_out = b->n_span = b->n_range = 0;
}

/* The segments from the root to `leaf` into path; their number. */
static int32_t path_of(const tree *t, int32_t leaf, int32_t path[BATCH_PATH_MAX])
{
    int32_t depth = 0;
    for (int32_t i = leaf; i != TREE_ROOT; i = tree_at(t, i)->parent) depth++;
    assert(depth <= BATCH_PATH_MAX);
    for (int32_t i = leaf, k = depth; i != TREE_ROOT; i = tree_at(t, i)->parent) path[--k] = i;
    return depth;
}

static void place(batcher *b, const int32_t *path, int32_t depth)
{
    const tree *t = b->tree;
    const int32_t g = path[depth];
    const tree_segment *s = tree_at(t, g);
    const int32_t rows = tree_rows(s);
    b->slot[g] = b->n_row;
    b->placed[b->n_placed++] = g;
    if (rows == 0) return;
    attend_span *span = &b->span[b->n_span++];
    *span = (attend_span){b->n_row, rows, s->position, b->n_range, 0};
    for (int32_t i = 0; i <= depth; i++) {
        const tree_segment *up = tree_at(t, path[i]);
        if (tree_rows(up) == 0) continue;
        b->range[b->n_range++] = (attend_range){b->slot[path[i]], tree_rows(up), up->position};
        span->n_range++;
    }
    for (int32_t j = 0; j < rows; j++) {
        b->id[b->n_row] = tree_ids(t, g)[j];
        b->position[b->n_row++] = s->position + j;
    }
}

static void add_target(batcher *b, int32_t row, int32_t target, float weight)
{
    assert(b->n_out == 0 || row > b->out_row[b->n_out - 1]);
    b->out_row[b->n_out] = row;
    b->target[b->n_out] = target;
    b->weight[b->n_out++] = weight;
}

void batcher_measure(const batcher *b, int32_t answer, int32_t *rows, int32_t *out_rows)
{
    int32_t path[BATCH_PATH_MAX], depth = path_of(b->tree, answer, path);
    *rows = 0;
    for (int32_t i = 0; i < depth; i++) *rows += tree_rows(tree_at(b->tree, path[i]));
    *out_rows = tree_at(b->tree, answer)->count;
}

/* An answer that is in the batch already: it counts once more. */
static void add_weight(batcher *b, int32_t last_row, int32_t count, float weight)
{
    int32_t k = 0;
    while (k < b->n_out && b->out_row[k] != last_row) k++;
    assert(k + count <= b->n_out);
    for (int32_t j = 0; j < count; j++) b->weight[k + j] += weight;
}

bool batcher_take(batcher *b, int32_t answer, float weight)
{
    const tree *t = b->tree;
    const tree_segment *s = tree_at(t, answer);
    assert(s->kind == TREE_ANSWER && s->count > 0 && s->parent != TREE_ROOT);
    if (b->slot[answer] >= 0) {
        add_weight(b, b->slot[s->parent] + tree_rows(tree_at(t, s->parent)) - 1, s->count, weight);
        return true;
    }
    int32_t path[BATCH_PATH_MAX], depth = path_of(t, answer, path), rows = 0;
    for (int32_t i = 0; i < depth; i++) {
        if (b->slot[path[i]] < 0) rows += tree_rows(tree_at(t, path[i]));
    }
    if (b->n_row + rows > b->shape.rows || b->n_out + s->count > b->shape.out_rows) return false;
    for (int32_t i = 0; i < depth; i++) {
        if (b->slot[path[i]] < 0) place(b, path, i);
    }
    const int32_t last = b->slot[s->parent] + tree_rows(tree_at(t, s->parent)) - 1;
    assert(tree_rows(tree_at(t, s->parent)) > 0);
    add_target(b, last, tree_ids(t, answer)[0], weight);
    for (int32_t j = 1; j < s->count; j++) {
        add_target(b, b->slot[answer] + j - 1, tree_ids(t, answer)[j], weight);
    }
    return true;
}

train_batch batcher_view(const batcher *b)
{
    return (train_batch){.n_row = b->n_row,
                         .n_out = b->n_out,
                         .n_span = b->n_span,
                         .id = b->id,
                         .position = b->position,
                         .span = b->span,
                         .range = b->range,
                         .out_row = b->out_row,
                         .target = b->target,
                         .weight = b->weight};
}
