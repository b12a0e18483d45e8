/* tree: see tree.h. */
#include "text/tree.h"

#include <assert.h>

void tree_open(tree *t, int64_t segment_max, int64_t id_max)
{
    assert(segment_max > 0 && id_max > 0);
    *t = (tree){.segments = buf_up_to((size_t)segment_max * sizeof(tree_segment) + 1),
                .ids = buf_up_to((size_t)id_max * sizeof(int32_t) + 1)};
}

void tree_close(tree *t)
{
    buf_close(&t->segments);
    buf_close(&t->ids);
}

/* A buffer whose room is its maximum never moves. */
static buf fixed(arena *a, int64_t n, size_t each, err *e)
{
    size_t bytes = (size_t)n * each + 1;
    return (buf){.data = arena_take(a, bytes, 1, e), .room = bytes, .max = bytes};
}

bool tree_lay_out(tree *t, int64_t segment_max, int64_t id_max, arena *a, err *e)
{
    assert(segment_max > 0 && id_max > 0);
    t->segments = fixed(a, segment_max, sizeof(tree_segment), e);
    t->ids = fixed(a, id_max, sizeof(int32_t), e);
    return e->code == ERR_NONE;
}

void tree_clear(tree *t)
{
    buf_clear(&t->segments);
    buf_clear(&t->ids);
}

int32_t tree_add(tree *t, tree_segment s, const int32_t *id, int32_t n, err *e)
{
    assert(n >= 0 && s.parent >= TREE_ROOT && s.parent < tree_count(t));
    s.start = (int64_t)(t->ids.size / sizeof(int32_t));
    s.count = n;
    s.position = 0;
    if (s.parent >= 0) s.position = tree_at(t, s.parent)->position + tree_at(t, s.parent)->count;
    int32_t number = tree_count(t);
    buf_add(&t->ids, id, (size_t)n * sizeof(int32_t));
    buf_add(&t->segments, &s, sizeof s);
    if (!buf_check(&t->ids, "the prompts' tokens", e)) return -1;
    if (!buf_check(&t->segments, "the prompts' segments", e)) return -1;
    return number;
}

bool tree_extend(tree *t, const int32_t *id, int32_t n, err *e)
{
    assert(tree_count(t) > 0 && n >= 0);
    buf_add(&t->ids, id, (size_t)n * sizeof(int32_t));
    if (!buf_check(&t->ids, "the prompts' tokens", e)) return false;
    tree_segment *last = (tree_segment *)(void *)t->segments.data + tree_count(t) - 1;
    last->count += n;
    return true;
}
