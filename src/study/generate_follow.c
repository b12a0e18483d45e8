/* generate_follow: the label asked behind samples. A small tree is built when a group's samples
 * are there: of the case's path and the sample's own tokens it holds places only, their K/V is in
 * the session. A sample's last token was never forwarded, so it begins the question's segment. */
#include "study/generate_in.h"

#include <assert.h>

bool generate_follow_lay_out(generator *g, arena *a, err *e)
{
    const schedule *s = g->scorer->schedule;
    if (s->options.follow_rows == 0) return true;
    size_t n = (size_t)g->streams, n_answer = (size_t)s->options.follow_segments - 1;
    g->follow_schedule = schedule_follow(s, &g->tree);
    g->bridge_segment = arena_take(a, n, sizeof(int32_t), e);
    g->answer_logprob = arena_take(a, n * n_answer, sizeof(double), e);
    int64_t ids = (int64_t)s->follow_samples * s->shape.positions;
    return tree_lay_out(&g->tree, g->follow_schedule.n_segment,
                        ids + (int64_t)s->follow_samples * s->options.follow_rows * 2, a, e) &&
           scorer_lay_out(&g->follow, &g->follow_schedule, g->scorer->session, a, e) &&
           e->code == ERR_NONE;
}

/* A segment whose K/V is there already. */
static int32_t add_place(generator *g, int32_t parent, const int32_t *id, int32_t n, int32_t slot,
                         err *e)
{
    tree_segment s = {.parent = parent, .kind = TREE_HEAD};
    if (n == 0) return parent;
    int32_t number = tree_add(&g->tree, s, id, n, e);
    if (number >= 0) scorer_place(&g->follow, number, slot);
    return number;
}

/* The path down to a segment of the schedule's tree. */
static int32_t add_path(generator *g, int32_t segment, err *e)
{
    const tree *t = g->scorer->schedule->tree;
    int32_t path[DECODE_PATH_MAX], depth = 0, parent = TREE_ROOT;
    for (int32_t i = segment; i != TREE_ROOT; i = tree_at(t, i)->parent) {
        assert(depth < DECODE_PATH_MAX);
        path[depth++] = i;
    }
    while (depth-- > 0 && e->code == ERR_NONE) {
        parent = add_place(g, parent, tree_ids(t, path[depth]), tree_at(t, path[depth])->count,
                           g->scorer->slot[path[depth]], e);
    }
    return parent;
}

static bool add_question(generator *g, int32_t i, int32_t kept, err *e)
{
    const generate_ask *ask = g->ask[i];
    const generate_follow *f = &ask->follow;
    const decode_stream *s = &g->stream[i];
    int32_t parent = add_path(g, ask->segment, e), own = kept > 0 ? kept - 1 : 0;
    parent = add_place(g, parent, s->id, own, s->slot, e);
    if (e->code != ERR_NONE) return false;
    tree_segment question = {.parent = parent, .kind = TREE_CASE};
    int32_t n = kept > 0 ? 1 : 0, *id = g->id + (int64_t)i * g->max_tokens + own;
    /* the last token and the bridge, one after the other in the tree's ids */
    int32_t number = tree_add(&g->tree, question, id, n, e);
    if (number < 0 || !tree_extend(&g->tree, f->bridge, f->n_bridge, e)) return false;
    g->bridge_segment[i] = number;
    for (int32_t k = 0; k < f->n_answer; k++) {
        tree_segment answer = {.parent = number, .kind = TREE_ANSWER, .answer = k};
        int32_t from = f->answer_start[k], size = f->answer_start[k + 1] - from;
        if (tree_add(&g->tree, answer, f->answer_id + from, size, e) < 0) return false;
    }
    return true;
}

static void read_answers(generator *g, int32_t from, int32_t to)
{
    for (int32_t i = from; i < to; i++) {
        for (int32_t k = 0; k < g->ask[i]->follow.n_answer; k++)
            generate_answers(g, i)[k] = g->follow.logprob[g->bridge_segment[i] + 1 + k];
    }
}

bool generate_follow_run(generator *g, int32_t n, const int32_t *kept, err *e)
{
    const schedule *s = g->scorer->schedule;
    for (int32_t from = 0; from < n && s->options.follow_rows > 0; from += s->follow_samples) {
        int32_t to = n - from < s->follow_samples ? n : from + s->follow_samples;
        tree_clear(&g->tree);
        scorer_clear(&g->follow);
        for (int32_t i = from; i < to; i++) {
            if (g->ask[i]->follow.n_answer > 0 && !add_question(g, i, kept[i], e)) return false;
        }
        if (!scorer_run_rest(&g->follow, s->follow_slot, e)) return false;
        read_answers(g, from, to);
    }
    return true;
}
