/* schedule: see schedule.h. */
#include "study/schedule.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { PATH_MAX_SEGMENTS = 8 };

static int32_t max_of(int32_t a, int32_t b) { return a > b ? a : b; }

/* Longest first; equal lengths in tree order, so that the order is one and the same everywhere. */
static int by_length(const void *left, const void *right)
{
    const item *a = left, *b = right;
    if (a->rows != b->rows) return a->rows < b->rows ? 1 : -1;
    return (a->first_segment > b->first_segment) - (a->first_segment < b->first_segment);
}

/* A shared head (owner -1) is kept; every other segment belongs to the item that its owner
 * names. */
static void collect_items(schedule *s)
{
    for (int32_t i = 0; i < tree_count(s->tree); i++) {
        const tree_segment *g = tree_at(s->tree, i);
        if (g->owner < 0) {
            assert(g->kind == TREE_HEAD);
            s->head[s->n_head++] = i;
            s->rows_head += tree_rows(g);
            continue;
        }
        item *last = s->n_item ? &s->item[s->n_item - 1] : NULL;
        if (!last || last->owner != g->owner) {
            last = &s->item[s->n_item++];
            *last = (item){.first_segment = i, .owner = g->owner};
            s->n_owner = max_of(s->n_owner, g->owner + 1);
        }
        assert(last->first_segment + last->n_segment == i);
        last->n_segment++;
        last->rows += tree_rows(g);
    }
}

static void cut_batches(schedule *s)
{
    int32_t rows = 0, items = 0, most = s->options.batch_rows;
    if (most < s->options.rows) most = s->options.rows;
    for (int32_t i = 0; i < s->n_item; i++) {
        bool full = items > 0 && rows + s->item[i].rows > most;
        full = full || (s->options.batch_items > 0 && items == s->options.batch_items);
        if (i == 0 || full) {
            s->batch[s->n_batch++] = i;
            rows = items = 0;
        }
        rows += s->item[i].rows;
        items++;
    }
    s->batch[s->n_batch] = s->n_item;
}

int32_t schedule_batch_rows(const schedule *s, int32_t b)
{
    assert(b >= 0 && b < s->n_batch);
    int32_t rows = 0;
    for (int32_t i = s->batch[b]; i < s->batch[b + 1]; i++) rows += s->item[i].rows;
    return rows;
}

typedef struct demand { /* what one batch may ask of one step */
    int32_t answers, answer_rows, cases;
} demand;

static demand demand_of(const schedule *s, int32_t b)
{
    demand d = {0};
    for (int32_t i = s->batch[b]; i < s->batch[b + 1]; i++) {
        for (int32_t j = 0; j < s->item[i].n_segment; j++) {
            const tree_segment *g = tree_at(s->tree, s->item[i].first_segment + j);
            d.answers += g->kind == TREE_ANSWER;
            d.answer_rows += g->kind == TREE_ANSWER ? tree_rows(g) : 0;
            d.cases += g->kind == TREE_CASE;
        }
    }
    return d;
}

static void make_room_to_follow(schedule *s)
{
    session_shape *shape = &s->shape;
    int32_t rows = s->options.follow_rows, n = shape->rows / rows;
    if (n > s->options.streams) n = s->options.streams;
    if (n < 1) n = 1;
    int32_t outs = n * (rows + 1);
    s->follow_samples = n;
    shape->positions += s->options.follow_positions;
    shape->slots += n * rows;
    shape->out_rows = max_of(shape->out_rows, outs < shape->rows ? outs : shape->rows);
    shape->picks = max_of(shape->picks, n * (rows + s->options.follow_segments));
}

static void make_room_for_streams(schedule *s)
{
    session_shape *shape = &s->shape;
    int32_t streams = s->options.streams;
    assert(streams <= shape->rows && s->options.stream_tokens > 0);
    s->stream_slot = shape->slots;
    shape->logit_rows = streams;
    shape->out_rows = max_of(shape->out_rows, streams);
    shape->positions += s->options.stream_tokens;
    shape->slots += streams * s->options.stream_tokens;
    s->follow_slot = shape->slots;
    if (s->options.follow_rows > 0) make_room_to_follow(s);
}

static void find_shape(schedule *s)
{
    session_shape *shape = &s->shape;
    shape->rows = s->options.rows;
    shape->n_top = s->options.n_top;
    shape->positions = 1;
    shape->out_rows = s->options.prompt_logprob ? shape->rows : 1;
    int32_t longest = shape->rows;
    for (int32_t b = 0; b < s->n_batch; b++) {
        demand d = demand_of(s, b);
        longest = max_of(longest, schedule_batch_rows(s, b));
        shape->out_rows = max_of(shape->out_rows, d.cases + d.answer_rows);
        shape->picks = max_of(shape->picks, d.answers + d.answer_rows);
    }
    if (shape->out_rows > shape->rows) shape->out_rows = shape->rows;
    if (s->options.prompt_logprob) shape->picks += shape->rows;
    for (int32_t i = 0; i < tree_count(s->tree); i++) {
        const tree_segment *g = tree_at(s->tree, i);
        shape->positions = max_of(shape->positions, g->position + g->count);
    }
    shape->slots = (int32_t)s->rows_head + longest;
    if (s->options.streams > 0) make_room_for_streams(s);
}

static void count_rows(schedule *s)
{
    s->rows_all = s->rows_head;
    for (int32_t i = 0; i < tree_count(s->tree); i++) {
        const tree_segment *g = tree_at(s->tree, i);
        if (g->owner >= 0) s->rows_all += tree_rows(g);
    }
}

bool schedule_make(schedule *s, const tree *t, schedule_options o, arena *a, err *e)
{
    assert(o.rows > 0 && o.batch_items >= 0 && o.n_top >= 0);
    *s = (schedule){.tree = t, .options = o, .n_segment = tree_count(t)};
    size_t n = (size_t)tree_count(t);
    s->item = arena_take(a, n, sizeof *s->item, e);
    s->head = arena_take(a, n, sizeof *s->head, e);
    s->batch = arena_take(a, n + 1, sizeof *s->batch, e);
    if (e->code != ERR_NONE) return false;
    collect_items(s);
    if (s->n_item > 1) qsort(s->item, (size_t)s->n_item, sizeof *s->item, by_length);
    cut_batches(s);
    count_rows(s);
    if (s->rows_head > INT32_MAX / 4) {
        return err_set(e, ERR_USAGE,
                       "the instructions and examples of all arms have %lld tokens: too many",
                       (long long)s->rows_head);
    }
    find_shape(s);
    return true;
}

schedule schedule_follow(const schedule *s, const tree *t)
{
    int32_t n = s->follow_samples;
    assert(n > 0);
    schedule f = {.tree = t, .options = {.rows = s->options.rows}, .shape = s->shape};
    f.n_segment = n * (s->options.follow_segments + PATH_MAX_SEGMENTS);
    f.shape.picks = n * (s->options.follow_rows + s->options.follow_segments);
    return f;
}

bool scorer_lay_out(scorer *r, const schedule *s, session *on, arena *a, err *e)
{
    *r = (scorer){.schedule = s, .session = on};
    size_t n_segment = (size_t)s->n_segment, rows = (size_t)s->shape.rows;
    size_t top = (size_t)s->n_owner * (size_t)s->options.n_top;
    r->slot = arena_take(a, n_segment, sizeof *r->slot, e);
    r->logprob = arena_take_zero(a, n_segment, sizeof *r->logprob, e);
    r->top_id = arena_take(a, top, sizeof *r->top_id, e);
    r->top_logprob = arena_take(a, top, sizeof *r->top_logprob, e);
    r->id = arena_take(a, rows, sizeof *r->id, e);
    r->position = arena_take(a, rows, sizeof *r->position, e);
    r->out_row = arena_take(a, rows, sizeof *r->out_row, e);
    r->out_case = arena_take(a, rows, sizeof *r->out_case, e);
    r->pick_start = arena_take(a, rows + 1, sizeof *r->pick_start, e);
    r->pick_id = arena_take(a, (size_t)s->shape.picks, sizeof *r->pick_id, e);
    r->pick_segment = arena_take(a, (size_t)s->shape.picks, sizeof *r->pick_segment, e);
    r->span = arena_take(a, rows, sizeof *r->span, e);
    r->range = arena_take(a, rows * PATH_MAX_SEGMENTS, sizeof *r->range, e);
    if (e->code != ERR_NONE) return false;
    for (size_t i = 0; r->slot && i < n_segment; i++) r->slot[i] = -1;
    return true;
}

/* What a row of segment g sees: its ancestors' keys from the root down, then `own` keys of its
 * own. */
static int32_t add_ranges(scorer *r, int32_t g, int32_t own, int32_t n_range)
{
    const tree *t = r->schedule->tree;
    int32_t path[PATH_MAX_SEGMENTS], depth = 0;
    for (int32_t i = tree_at(t, g)->parent; i != TREE_ROOT; i = tree_at(t, i)->parent) {
        assert(depth < PATH_MAX_SEGMENTS - 1);
        path[depth++] = i;
    }
    while (depth-- > 0) {
        const tree_segment *up = tree_at(t, path[depth]);
        if (up->count == 0) continue;
        assert(r->slot[path[depth]] >= 0);
        r->range[n_range++] = (attend_range){r->slot[path[depth]], up->count, up->position};
    }
    r->range[n_range++] = (attend_range){r->slot[g], own, tree_at(t, g)->position};
    return n_range;
}

int32_t scorer_path(const scorer *r, int32_t g, attend_range *path, int32_t max)
{
    const tree *t = r->schedule->tree;
    int32_t n = 0;
    for (int32_t i = g; i != TREE_ROOT; i = tree_at(t, i)->parent) n += tree_at(t, i)->count > 0;
    assert(n <= max);
    int32_t at = n;
    for (int32_t i = g; i != TREE_ROOT; i = tree_at(t, i)->parent) {
        const tree_segment *s = tree_at(t, i);
        if (s->count > 0) path[--at] = (attend_range){r->slot[i], s->count, s->position};
    }
    return n;
}

static void add_pick(scorer *r, step *st, int32_t id, int32_t segment)
{
    int64_t n = r->pick_start[st->n_out];
    assert(n < r->schedule->shape.picks);
    r->pick_id[n] = id;
    r->pick_segment[n] = segment;
    r->pick_start[st->n_out] = n + 1;
}

/* Row `row` of the step is token j of segment g: which logits does anybody want of it? */
static void add_outputs(scorer *r, step *st, int32_t g, int32_t j, int32_t row)
{
    const tree *t = r->schedule->tree;
    const tree_segment *s = tree_at(t, g);
    bool last_of_case = s->kind == TREE_CASE && j == s->count - 1;
    bool own_next =
        s->kind == TREE_ANSWER || (s->kind == TREE_CASE && r->schedule->options.prompt_logprob);
    own_next = own_next && j + 1 < s->count;
    if (!last_of_case && !own_next) return;
    r->out_row[st->n_out] = row;
    r->out_case[st->n_out] = last_of_case ? g : -1;
    int64_t first = r->pick_start[st->n_out];
    st->n_out++;
    r->pick_start[st->n_out] = first;
    if (own_next) add_pick(r, st, tree_ids(t, g)[j + 1], g);
    for (int32_t i = g + 1; last_of_case && i < tree_count(t) && tree_at(t, i)->parent == g; i++) {
        if (tree_at(t, i)->count > 0) add_pick(r, st, tree_ids(t, i)[0], i);
    }
}

/* Tokens [from, to) of segment g at the end of the step. */
static void add_rows(scorer *r, step *st, int32_t g, int32_t from, int32_t to)
{
    const tree_segment *s = tree_at(r->schedule->tree, g);
    attend_span *span = &r->span[st->n_span];
    int32_t n_range = st->n_span ? span[-1].first_range + span[-1].n_range : 0;
    *span = (attend_span){.row = st->n_row,
                          .count = to - from,
                          .position = s->position + from,
                          .first_range = n_range};
    span->n_range = add_ranges(r, g, to, n_range) - n_range;
    st->n_span++;
    for (int32_t j = from; j < to; j++) {
        r->id[st->n_row] = tree_ids(r->schedule->tree, g)[j];
        r->position[st->n_row] = s->position + j;
        add_outputs(r, st, g, j, st->n_row);
        st->n_row++;
    }
}

/* A weight that is not a number, or a product too large for one: no score must come of it. */
static bool fail_number(const scorer *r, err *e)
{
    return err_set(
        e, ERR_MODEL,
        "%s: a log-probability is not a number: the weights are damaged, or too large for "
        "32-bit arithmetic; compare the file's hash with its source's",
        r->session->model->header->path);
}

static bool read_results(scorer *r, const step *st, err *e)
{
    const head_result *got = &r->session->got;
    int32_t n_top = r->schedule->options.n_top;
    for (int32_t i = 0; i < st->n_out; i++) {
        if (!isfinite(got->log_sum_exp[i])) return fail_number(r, e);
        for (int64_t p = r->pick_start[i]; p < r->pick_start[i + 1]; p++) {
            if (!isfinite(got->pick_logit[p])) return fail_number(r, e);
            r->logprob[r->pick_segment[p]] += (double)got->pick_logit[p] - got->log_sum_exp[i];
        }
        if (r->out_case[i] < 0) continue;
        int64_t to = (int64_t)tree_at(r->schedule->tree, r->out_case[i])->owner * n_top;
        for (int32_t k = 0; k < n_top; k++) {
            float logit = got->top_logit[(int64_t)i * n_top + k];
            r->top_id[to + k] = got->top_id[(int64_t)i * n_top + k];
            r->top_logprob[to + k] = (float)((double)logit - got->log_sum_exp[i]);
        }
    }
    return true;
}

static bool run_step(scorer *r, step *st, err *e)
{
    st->id = r->id;
    st->position = r->position;
    st->span = r->span;
    st->range = r->range;
    st->out_row = r->out_row;
    st->pick_start = r->pick_start;
    st->pick_id = r->pick_id;
    st->n_top = r->schedule->options.n_top;
    session_forward(r->session, st);
    if (!backend_sync(r->session->backend, e)) return false;
    if (!read_results(r, st, e)) return false;
    int32_t next_slot = st->first_slot + st->n_row;
    *st = (step){.first_slot = next_slot};
    r->pick_start[0] = 0;
    return true;
}

/* Places segments [first, first + n) behind the rows of the step, running it whenever it is
 * full. */
static bool add_segments(scorer *r, step *st, int32_t first, int32_t n, err *e)
{
    for (int32_t g = first; g < first + n; g++) {
        int32_t rows = tree_rows(tree_at(r->schedule->tree, g)), done = 0;
        r->slot[g] = st->first_slot + st->n_row;
        while (done < rows) {
            int32_t room = r->schedule->shape.rows - st->n_row;
            if (room == 0) {
                if (!run_step(r, st, e)) return false;
                continue;
            }
            int32_t take = rows - done < room ? rows - done : room;
            add_rows(r, st, g, done, done + take);
            done += take;
        }
    }
    return true;
}

void scorer_clear(scorer *r)
{
    for (int32_t i = 0; i < r->schedule->n_segment; i++) {
        r->slot[i] = -1;
        r->logprob[i] = 0;
    }
}

void scorer_place(scorer *r, int32_t g, int32_t slot)
{
    assert(g >= 0 && g < r->schedule->n_segment);
    r->slot[g] = slot;
}

bool scorer_run_rest(scorer *r, int32_t first_slot, err *e)
{
    step st = {.first_slot = first_slot};
    assert(tree_count(r->schedule->tree) <= r->schedule->n_segment);
    r->pick_start[0] = 0;
    for (int32_t g = 0; g < tree_count(r->schedule->tree); g++) {
        if (r->slot[g] < 0 && !add_segments(r, &st, g, 1, e)) return false;
    }
    return st.n_row == 0 || run_step(r, &st, e);
}

bool scorer_run_heads(scorer *r, err *e)
{
    step st = {0};
    r->pick_start[0] = 0;
    for (int32_t i = 0; i < r->schedule->n_head; i++) {
        if (!add_segments(r, &st, r->schedule->head[i], 1, e)) return false;
    }
    return st.n_row == 0 || run_step(r, &st, e);
}

bool scorer_run_batch(scorer *r, int32_t b, err *e)
{
    const schedule *s = r->schedule;
    assert(b >= 0 && b < s->n_batch);
    step st = {.first_slot = (int32_t)s->rows_head};
    r->pick_start[0] = 0;
    for (int32_t i = s->batch[b]; i < s->batch[b + 1]; i++) {
        if (!add_segments(r, &st, s->item[i].first_segment, s->item[i].n_segment, e)) return false;
    }
    return st.n_row == 0 || run_step(r, &st, e);
}

_Static_assert(sizeof(tree_segment) % 4 == 0, "segments are stored one after the other");
