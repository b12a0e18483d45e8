/* pass_ask: every prompt of a pass as ids, into its book; what has no score yet. Rows are taken one
 * after the other with all their ways under all arms, and tokenised many at once. */
#include "data/store_parts.h"
#include "study/pass_in.h"

#include <assert.h>
#include <stdio.h>

enum { ASK_CHUNK = 256 }; /* ways of asking that are tokenised at once, or one row's */

typedef struct way { /* of asking */
    int32_t row, arm, variant;
} way;

typedef struct asking { /* a pass being asked */
    run *run;
    pass *pass;
    way *way;       /* [room] */
    asked *asked;   /* [room] */
    book_ask *ask;  /* [room] of one row */
    hash_text *key; /* [room] */
    int32_t n, room;
    buf *think; /* [n_arm of the pass] how texts are generated, for keys */
    buf rule;
} asking;

static void ask_one(void *context, int64_t i, int thread)
{
    (void)thread;
    asking *j = context;
    const way *w = &j->way[i];
    asked *q = &j->asked[i];
    q->failure = (err){0};
    arms_ask(&j->run->arms, w->arm, w->row, w->variant, q, &q->failure);
}

/* ---- keys ---- */

/* What shapes generated texts beside the prompt. */
static void write_think(const run *r, int32_t arm, buf *out)
{
    const spec_think *t = &r->spec.arms[arm].ask.think;
    buf_printf(out, "%d %d %.9g %d %.9g %.9g %.9g seed %llu", t->samples, t->max_tokens,
               t->temperature, t->top_k, t->top_p, t->min_p, t->repetition_penalty,
               (unsigned long long)r->spec.seed);
    if (t->form.kind != SPEC_FORM_ANY) {
        buf_printf(out, " form %d ", t->form.kind);
        buf_add_str(out, t->form.text);
        for (int32_t i = 0; i < t->form.choice.n; i++)
            buf_printf(out, " | %s", t->form.choice.item[i].text.data);
    }
    for (int32_t i = 0; i < t->stop.n; i++) {
        buf_add_char(out, '\n');
        buf_add_str(out, t->stop.item[i].text);
    }
}

static hash_text key_of(const asking *j, const way *w, const asked *q)
{
    const run_model *m = &j->run->model[j->pass->model];
    const buf *think = &j->think[pass_arm(j->pass, w->arm)];
    store_key_parts parts = {.model_hash = {m->hash.hex, 64},
                             .tokenizer_hash = {m->tokenizer_hash.hex, 64},
                             .adapter_hash = str_of(j->pass->adapter_hash.hex),
                             .numerics = str_of(m->numerics),
                             .n_prompt = (int32_t)q->prompt.n,
                             .prompt = q->prompt.id,
                             .n_answer = q->n_answer,
                             .answer_start = q->start.id,
                             .answer_id = q->answers.id,
                             .answer_class = q->answer_class.id};
    if (think->size) {
        parts.generation = buf_view(think);
        parts.row_id = j->run->rows.scored.id[w->row];
        parts.n_bridge = (int32_t)q->bridge.n;
        parts.bridge = q->bridge.id;
    }
    return store_key(&parts);
}

/* ---- keys that are in the book already: an open hash table of their first 64 bits ---- */

static bool grow_seen(pass *p, err *e)
{
    size_t n = p->seen.size / sizeof(uint64_t);
    if (n > 2 * (size_t)p->n_seen + 2) return true;
    buf old = p->seen, new = buf_up_to((size_t)1 << 34);
    uint64_t none = 0;
    for (size_t i = 0; i < 4 * n + 1024; i++) buf_add(&new, &none, sizeof none);
    if (!buf_check(&new, "the prompts' keys", e)) {
        buf_close(&new);
        return false;
    }
    uint64_t *to = (uint64_t *)(void *)new.data;
    size_t n_new = new.size / sizeof *to;
    for (size_t i = 0; i < n; i++) {
        uint64_t x = ((const uint64_t *)(const void *)old.data)[i];
        size_t at = (size_t)(x % n_new);
        while (x && to[at]) at = (at + 1) % n_new;
        if (x) to[at] = x;
    }
    buf_close(&old);
    p->seen = new;
    return true;
}

/* A way that is a row's whole score is kept elsewhere than a part: no part waits for it. */
static bool see_key(pass *p, const hash_text *key, bool alone, bool *seen, err *e)
{
    if (!grow_seen(p, e)) return false;
    uint64_t x = (hash_to_seed(*key) | 3) - 2 * (uint64_t)alone;
    uint64_t *list = (uint64_t *)(void *)p->seen.data;
    size_t n = p->seen.size / sizeof x, at = (size_t)(x % n);
    while (list[at] && list[at] != x) at = (at + 1) % n;
    *seen = list[at] == x;
    if (!*seen) list[at] = x, p->n_seen++;
    return true;
}

/* ---- one row under one arm ---- */

static bool kept(const asking *j) { return j->run->store && !j->pass->late; }

/* Texts that an earlier run has kept: number 0, 1, .. */
static bool count_samples(asking *j, const hash_text *key, int32_t *n, err *e)
{
    store_samples s;
    arena *a = &j->run->memory;
    size_t mark = arena_mark(a);
    *n = 0;
    if (kept(j) && !store_get_samples_of(j->run->store, key, &s, a, e)) return false;
    while (kept(j) && *n < s.n && s.number[*n] == *n) (*n)++;
    arena_reset(a, mark);
    return true;
}

/* Is this part to be computed, and by whom? */
static bool settle_part(asking *j, book_ask *a, row_state *state, err *e)
{
    bool has = false, seen = false;
    if (kept(j) && !store_has_part(j->run->store, &a->part.key, &has, e)) return false;
    if (!has && !see_key(j->pass, &a->part.key, false, &seen, e)) return false;
    a->done = has || seen; /* seen: the row waits for the other's */
    if (a->done) return true;
    state->left++;
    return a->part.samples == 0 || count_samples(j, &a->part.key, &a->part.first_sample, e);
}

static bool settle_parts(asking *j, book_ask *a, int32_t n, row_state *state, bool has, err *e)
{
    state->open = !has;
    j->pass->n_open += state->open;
    for (int32_t v = 0; v < n; v++) {
        const book_part *p = &a[v].part;
        if (kept(j) && !store_add_asked_part(j->run->store, p->arm, p->row, v, &p->key, e))
            return false;
        a[v].done = has;
        if (!has && !settle_part(j, &a[v], state, e)) return false;
    }
    return true;
}

/* A row under an arm with its n ways, which stand from `a` on. */
static bool settle_row(asking *j, book_ask *a, int32_t n, err *e)
{
    run *r = j->run;
    int32_t arm = a->part.arm, row = a->part.row;
    row_state *state = pass_row(r, j->pass, pass_arm(j->pass, arm), row);
    bool alone = n == 1 && a->part.samples == 0, has = false;
    store_asked asked = {.arm = arm, .row = row, .n_cut = r->arms.n_cut[row]};
    for (int32_t v = 0; v < n; v++) {
        j->key[v] = a[v].part.key;
        asked.forced = asked.forced || a[v].q->any_forced;
        if (a[v].part.n_token > asked.n_token) asked.n_token = a[v].part.n_token;
    }
    buf_clear(&j->rule);
    if (!alone) arms_rule(&r->arms, arm, &j->rule);
    asked.key = alone ? a->part.key : store_row_key(buf_view(&j->rule), j->key, n);
    if (!alone) state->key = asked.key;
    if (kept(j) &&
        (!store_add_asked(r->store, &asked, e) || !store_has(r->store, &asked.key, &has, e)))
        return false;
    r->state.texts_all++;
    if (has) r->state.texts_done++;
    else j->pass->texts_todo++;
    if (!alone) return settle_parts(j, a, n, state, has, e);
    bool seen = false;
    if (!has && !see_key(j->pass, &asked.key, true, &seen, e)) return false;
    if (seen) r->state.texts_done++, j->pass->texts_todo--; /* another row's text is the same */
    a->done = has || seen;
    return true;
}

/* ---- rows ---- */

static bool take_row(asking *j, int32_t from, int32_t to, err *e)
{
    int32_t n = to - from, first = 0;
    for (int32_t i = 0; i < n; i++) {
        const way *w = &j->way[from + i];
        const asked *q = &j->asked[from + i];
        const spec_think *t = &j->run->spec.arms[w->arm].ask.think;
        if (q->failure.code != ERR_NONE) {
            *e = q->failure;
            return err_in(e, "arm %.*s", (int)j->run->spec.arms[w->arm].name.text.size,
                          j->run->spec.arms[w->arm].name.text.data);
        }
        book_ask *a = &j->ask[i];
        *a = (book_ask){.q = q, .form = arms_form(&j->run->arms, w->arm, w->row, w->variant)};
        a->part = (book_part){.arm = w->arm,
                              .row = w->row,
                              .variant = w->variant,
                              .n_token = (int32_t)q->prompt.n,
                              .samples = t->samples,
                              .max_tokens = t->max_tokens,
                              .key = key_of(j, w, q)};
        bool last = i + 1 == n || j->way[from + i + 1].arm != w->arm;
        if (!last) continue;
        if (!settle_row(j, j->ask + first, i + 1 - first, e)) return false;
        first = i + 1;
    }
    return book_add_row(&j->pass->book, j->ask, n, &j->run->memory, e);
}

static bool take_ways(asking *j, err *e)
{
    pool_run(j->run->model[j->pass->model].engine.threads, j->n, ask_one, j);
    for (int32_t i = 0, from = 0; i < j->n; i++) {
        if (i + 1 < j->n && j->way[i + 1].row == j->way[i].row) continue;
        if (!take_row(j, from, i + 1, e)) return false;
        from = i + 1;
    }
    j->n = 0;
    return run_tell(j->run, "tokenising", e);
}

static bool is_wanted(const run *r, int32_t arm)
{
    const char *only = r->options.only_arm;
    return !only || str_is(r->spec.arms[arm].name.text, only);
}

static int32_t count_ways(const asking *j, int32_t row)
{
    int32_t n = 0;
    for (int32_t k = 0; k < j->pass->n_arm; k++) {
        int32_t arm = j->pass->arm[k];
        if (is_wanted(j->run, arm)) n += arms_variants(&j->run->arms, arm, row);
    }
    return n;
}

static bool ask_rows(asking *j, err *e)
{
    run *r = j->run;
    for (int32_t row = r->first_row; row < r->end_row; row++) {
        if (j->n > 0 && j->n + count_ways(j, row) > j->room && !take_ways(j, e)) return false;
        for (int32_t k = 0; k < j->pass->n_arm; k++) {
            int32_t arm = j->pass->arm[k];
            int32_t n = is_wanted(r, arm) ? arms_variants(&r->arms, arm, row) : 0;
            for (int32_t v = 0; v < n; v++) j->way[j->n++] = (way){row, arm, v};
        }
    }
    return take_ways(j, e);
}

/* Who begins with which head; the most ways that a row has. */
static bool note_forms(asking *j, err *e)
{
    run *r = j->run;
    j->room = ASK_CHUNK;
    for (int32_t row = r->first_row; row < r->end_row; row++) {
        int32_t n = count_ways(j, row);
        if (n > j->room) j->room = n;
        for (int32_t k = 0; k < j->pass->n_arm; k++) {
            int32_t arm = j->pass->arm[k];
            n = is_wanted(r, arm) ? arms_variants(&r->arms, arm, row) : 0;
            for (int32_t v = 0; v < n; v++) {
                if (!book_note(&j->pass->book, arms_form(&r->arms, arm, row, v), row, e))
                    return false;
            }
        }
    }
    return true;
}

static bool make_lists(asking *j, err *e)
{
    arena *a = &j->run->memory;
    size_t n = (size_t)j->room, n_arm = (size_t)j->pass->n_arm;
    j->way = arena_take(a, n, sizeof *j->way, e);
    j->asked = arena_take_zero(a, n, sizeof *j->asked, e);
    j->ask = arena_take(a, n, sizeof *j->ask, e);
    j->key = arena_take(a, n, sizeof *j->key, e);
    j->think = arena_take_zero(a, n_arm, sizeof *j->think, e);
    if (e->code != ERR_NONE) return false;
    for (int32_t k = 0; k < j->pass->n_arm; k++) {
        int32_t arm = j->pass->arm[k];
        j->think[k] = buf_up_to(1 << 20);
        if (j->run->spec.arms[arm].ask.think.samples > 0) write_think(j->run, arm, &j->think[k]);
    }
    return true;
}

static void close_lists(asking *j)
{
    for (int32_t i = 0; j->asked && i < j->room; i++) asked_close(&j->asked[i]);
    for (int32_t k = 0; j->think && k < j->pass->n_arm; k++) buf_close(&j->think[k]);
    buf_close(&j->rule);
}

/* ---- the pass ---- */

/* What the book's chapters forward and draw. */
static void count_work(pass *p)
{
    p->tokens_todo = p->drawn_todo = 0;
    for (int32_t i = 0; i < book_count(&p->book); i++) {
        const chapter *c = book_chapter(&p->book, i);
        const book_part *part = (const book_part *)(const void *)c->part.data;
        p->tokens_todo += c->schedule.rows_all;
        for (size_t k = 0; k < c->part.size / sizeof *part; k++) {
            int64_t n = part[k].samples - part[k].first_sample;
            if (part[k].samples == 0) continue;
            int32_t answers = c->kept.id[part[k].start + part[k].n_answer];
            p->drawn_todo += n * part[k].max_tokens;
            p->tokens_todo += n * (1 + part[k].n_bridge + answers - part[k].n_answer);
        }
    }
}

static bool open_book(run *r, pass *p, err *e)
{
    pass_forget(p);
    for (int32_t k = 0; k < p->n_arm; k++) r->cost[p->arm[k]] = (book_cost){0};
    book_open(&p->book, r->options.unshared, r->cost);
    p->seen = buf_up_to((size_t)1 << 34);
    p->texts_todo = 0;
    size_t n = (size_t)p->n_arm * (size_t)r->rows.scored.n;
    if (!p->row) p->row = arena_take(&r->memory, n, sizeof *p->row, e);
    if (p->row) memset(p->row, 0, n * sizeof *p->row);
    p->n_open = 0;
    return p->row != NULL;
}

bool pass_ask(run *r, pass *p, err *e)
{
    schedule_options how = {.rows = r->options.rows ? r->options.rows
                                                    : engine_rows(&r->model[p->model].engine),
                            .batch_items = r->options.batch_items};
    asking j = {.run = r, .pass = p, .rule = buf_up_to(1 << 20)};
    int64_t all = r->state.texts_all, done = r->state.texts_done;
    if (!open_book(r, p, e)) return false;
    bool ok = note_forms(&j, e);
    size_t mark = arena_mark(&r->memory);
    ok = ok && make_lists(&j, e) && ask_rows(&j, e);
    close_lists(&j);
    arena_reset(&r->memory, mark);
    ok = ok && book_finish(&p->book, how, &r->memory, e);
    if (!ok) return false;
    count_work(p);
    p->texts_all = r->state.texts_all - all;
    p->texts_done = r->state.texts_done - done;
    r->state.tokens_all += p->tokens_todo;
    r->state.drawn_all += p->drawn_todo;
    return !r->store || run_record_tokens(r, p, e);
}

void pass_forget(pass *p)
{
    if (p->book.arm) book_close(&p->book);
    buf_close(&p->seen);
    p->n_seen = 0;
}

int32_t pass_arm(const pass *p, int32_t arm)
{
    int32_t k = 0;
    while (p->arm[k] != arm) k++;
    assert(k < p->n_arm);
    return k;
}
