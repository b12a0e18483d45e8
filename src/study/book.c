/* book: see book.h. Heads are known by their ids, forms by their address; both are few. */
#include "study/book.h"

#include "study/generate.h"

#include <assert.h>
#include <stdlib.h>

enum {
    SEGMENTS_MAX = 1 << 28,
    BATCH_STEPS = 8, /* where texts are generated a batch has so many steps' rows */
    STREAM_ROWS = 16 /* and a text for so many rows of a step: 32 for 512 */
};
static const int64_t ids_max = (int64_t)1 << 32;

typedef struct head { /* a beginning that prompts may share */
    const int32_t *id;
    int32_t n;
    uint64_t hash;
    int32_t row;              /* the first that has it */
    bool shared;              /* another row has it too */
    int32_t chapter, segment; /* -1: not there yet */
    token_list arms;          /* those that are charged with it */
    bool charged;
} head;

typedef struct form_head { /* of an open hash table: a form and its head */
    const prompt_form *form;
    int32_t head;
} form_head;

void book_open(book *b, bool unshared, book_cost *cost)
{
    *b = (book){.unshared = unshared,
                .chapter = buf_up_to((size_t)1 << 32),
                .head = buf_up_to((size_t)1 << 34),
                .form = buf_up_to((size_t)1 << 34),
                .arm = cost};
}

int32_t book_count(const book *b) { return (int32_t)(b->chapter.size / sizeof(chapter)); }

chapter *book_chapter(const book *b, int32_t i)
{
    assert(i >= 0 && i < book_count(b));
    return (chapter *)(void *)b->chapter.data + i;
}

static int32_t count_heads(const book *b) { return (int32_t)(b->head.size / sizeof(head)); }
static head *head_at(const book *b, int32_t i) { return (head *)(void *)b->head.data + i; }

void book_close(book *b)
{
    for (int32_t i = 0; i < book_count(b); i++) {
        chapter *c = book_chapter(b, i);
        tree_close(&c->tree);
        buf_close(&c->part);
        token_list_close(&c->first_part);
        token_list_close(&c->answer_segment);
        token_list_close(&c->answer_class);
        token_list_close(&c->kept);
    }
    for (int32_t i = 0; i < count_heads(b); i++) token_list_close(&head_at(b, i)->arms);
    buf_close(&b->chapter);
    buf_close(&b->head);
    buf_close(&b->form);
    *b = (book){0};
}

const book_part *chapter_parts(const chapter *c, int32_t item, int32_t *n)
{
    const book_part *all = (const book_part *)(const void *)c->part.data;
    int64_t end = item + 1 < c->first_part.n ? c->first_part.id[item + 1]
                                             : (int64_t)(c->part.size / sizeof(book_part));
    *n = (int32_t)(end - c->first_part.id[item]);
    return all + c->first_part.id[item];
}

/* ---- heads ---- */

static uint64_t hash_ids(const int32_t *id, int32_t n)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, as a quick first look only */
    for (int32_t i = 0; i < n; i++) h = (h ^ (uint32_t)id[i]) * 0x100000001b3u;
    return h;
}

static int32_t find_head(book *b, const prompt_form *f, int32_t row, err *e)
{
    head new = {.id = f->head, .n = f->n_head, .row = row, .chapter = -1, .segment = -1};
    new.hash = hash_ids(f->head, f->n_head);
    for (int32_t i = 0; i < count_heads(b); i++) {
        const head *h = head_at(b, i);
        if (h->hash == new.hash && h->n == new.n &&
            !memcmp(h->id, new.id, (size_t) new.n * sizeof *new.id))
            return i;
    }
    buf_add(&b->head, &new, sizeof new);
    return buf_check(&b->head, "the prompts' heads", e) ? count_heads(b) - 1 : -1;
}

static form_head *table_place(const book *b, const prompt_form *f)
{
    form_head *t = (form_head *)(void *)b->form.data;
    size_t n = b->form.size / sizeof *t, i = (size_t)((uintptr_t)f / sizeof *f * 0x9E3779B9u) % n;
    while (t[i].form && t[i].form != f) i = (i + 1) % n;
    return &t[i];
}

/* The table has at least twice as many places as forms. */
static bool make_room(book *b, err *e)
{
    size_t n = b->form.size / sizeof(form_head);
    if (n > 2 * (size_t)b->n_form + 2) return true;
    book old = *b;
    form_head none = {0};
    b->form = buf_up_to(old.form.max);
    for (size_t i = 0; i < 4 * n + 64; i++) buf_add(&b->form, &none, sizeof none);
    for (size_t i = 0; i < n && !b->form.failed; i++) {
        const form_head *one = (const form_head *)(const void *)old.form.data + i;
        if (one->form) *table_place(b, one->form) = *one;
    }
    buf_close(&old.form);
    return buf_check(&b->form, "the prompts' forms", e);
}

bool book_note(book *b, const prompt_form *form, int32_t row, err *e)
{
    if (!make_room(b, e)) return false;
    form_head *at = table_place(b, form);
    if (!at->form) {
        int32_t h = find_head(b, form, row, e);
        if (h < 0) return false;
        *at = (form_head){form, h};
        b->n_form++;
    }
    head *h = head_at(b, at->head);
    h->shared = h->shared || h->row != row;
    return true;
}

/* ---- one row: what its parts have in common ---- */

typedef struct place {      /* where a part's prompt is cut, and which earlier part has the same */
    int32_t head;           /* of the book; -1: its own, or none */
    int32_t n_head, n_stem; /* ends; n_stem 0: not cut there */
    int32_t as_head, as_stem, as_case;  /* first part of the row with the same; itself */
    int32_t head_segment, stem_segment; /* of the item under way */
    bool placed;
} place;

static bool same_ids(const book_ask *a, const book_ask *b, int32_t n)
{
    return !memcmp(a->q->prompt.id, b->q->prompt.id, (size_t)n * sizeof(int32_t));
}

static place cut(const book *b, const book_ask *a)
{
    const prompt_form *f = a->form;
    int32_t n_prompt = (int32_t)a->q->prompt.n;
    place p = {.head = -1, .n_head = f->n_head < n_prompt ? f->n_head : n_prompt - 1};
    bool same = p.n_head > 0 && p.n_head == f->n_head &&
                !memcmp(f->head, a->q->prompt.id, (size_t)p.n_head * sizeof *f->head);
    if (same && !b->unshared) {
        int32_t h = table_place(b, f)->head;
        if (head_at(b, h)->shared) p.head = h;
    }
    if (a->q->n_stem > p.n_head && a->q->n_stem < n_prompt) p.n_stem = a->q->n_stem;
    return p;
}

static void find_same(const book *b, const book_ask *ask, place *p, int32_t i)
{
    p[i].as_head = p[i].as_stem = p[i].as_case = i;
    if (b->unshared) return;
    int32_t n = (int32_t)ask[i].q->prompt.n;
    bool head = false, stem = p[i].n_stem == 0;
    for (int32_t j = 0; j < i; j++) {
        if (p[j].head != p[i].head || p[j].n_head != p[i].n_head ||
            !same_ids(&ask[i], &ask[j], p[i].n_head))
            continue;
        if (!head) p[i].as_head = j, head = true;
        if (p[j].n_stem != p[i].n_stem) continue;
        if (!stem && same_ids(&ask[i], &ask[j], p[i].n_stem)) p[i].as_stem = j, stem = true;
        if (ask[j].q->prompt.n != n || !same_ids(&ask[i], &ask[j], n)) continue;
        p[i].as_case = p[j].as_case;
        return;
    }
}

static bool same_answer(const asked *a, int32_t i, const asked *b, int32_t j)
{
    int32_t n = a->start.id[i + 1] - a->start.id[i], m = b->start.id[j + 1] - b->start.id[j];
    return n == m && !memcmp(a->answers.id + a->start.id[i], b->answers.id + b->start.id[j],
                             (size_t)n * sizeof(int32_t));
}

/* ---- what it costs ---- */

typedef struct row_of_parts {
    const book_ask *ask;
    place *place;
    int32_t n;
} row_of_parts;

/* Rows of the answers of part i that no part before it, from `from` on, has under the same case. */
static int64_t count_answers(const row_of_parts *r, int32_t from, int32_t i)
{
    const asked *q = r->ask[i].q;
    int64_t rows = 0;
    if (r->ask[i].part.samples > 0) return 0;
    for (int32_t k = 0; k < q->n_answer; k++) {
        bool seen = false;
        for (int32_t l = 0; l < k && !seen; l++) seen = same_answer(q, k, q, l);
        for (int32_t j = from; j < i && !seen; j++) {
            if (r->place[j].as_case != r->place[i].as_case || r->ask[j].part.samples > 0) continue;
            for (int32_t l = 0; l < r->ask[j].q->n_answer && !seen; l++)
                seen = same_answer(q, k, r->ask[j].q, l);
        }
        int32_t size = q->start.id[k + 1] - q->start.id[k];
        if (!seen && size > 0) rows += size - 1;
    }
    return rows;
}

/* Rows below the shared heads for parts from .. to - 1 asked together. */
static int64_t count_rows(const row_of_parts *r, int32_t from, int32_t to)
{
    int64_t rows = 0;
    for (int32_t i = from; i < to; i++) {
        const place *p = &r->place[i];
        bool head = false, stem = false, whole = false;
        for (int32_t j = from; j < i; j++) {
            head = head || r->place[j].as_head == p->as_head;
            stem = stem || (p->n_stem > 0 && r->place[j].as_stem == p->as_stem);
            whole = whole || r->place[j].as_case == p->as_case;
        }
        int32_t cased = p->n_stem > 0 ? p->n_stem : p->n_head;
        if (!head && p->head < 0) rows += p->n_head;
        if (!stem && p->n_stem > 0) rows += p->n_stem - p->n_head;
        if (!whole) rows += r->ask[i].q->prompt.n - cased;
        rows += count_answers(r, from, i);
    }
    return rows;
}

static int64_t count_alone(const book_ask *a)
{
    int64_t answers = a->q->answers.n - a->q->n_answer, texts = a->part.samples;
    if (texts == 0) return a->q->prompt.n + answers;
    return texts * (a->q->prompt.n + a->q->bridge.n + 1 + answers);
}

static int64_t count_follow(const book_ask *a)
{
    if (a->part.samples == 0) return 0;
    return a->part.samples * (a->q->bridge.n + 1 + a->q->answers.n - a->q->n_answer);
}

static bool charge_head(book *b, int32_t which, int32_t arm, err *e)
{
    head *h = head_at(b, which);
    if (!h->charged) b->all.shared += h->n;
    h->charged = true;
    for (int64_t i = 0; i < h->arms.n; i++) {
        if (h->arms.id[i] == arm) return true;
    }
    b->arm[arm].shared += h->n;
    return token_list_add(&h->arms, &arm, 1, e);
}

static bool charge(book *b, const row_of_parts *r, err *e)
{
    b->all.shared += count_rows(r, 0, r->n);
    for (int32_t i = 0, from = 0; i < r->n; i++) {
        int32_t arm = r->ask[i].part.arm;
        int64_t alone = count_alone(&r->ask[i]), follow = count_follow(&r->ask[i]);
        b->all.unshared += alone;
        b->all.shared += follow;
        b->arm[arm].unshared += alone;
        b->arm[arm].shared += follow;
        if (r->place[i].head >= 0 && !charge_head(b, r->place[i].head, arm, e)) return false;
        bool last = i + 1 == r->n || r->ask[i + 1].part.arm != arm;
        if (!last) continue;
        b->arm[arm].shared += count_rows(r, from, i + 1);
        from = i + 1;
    }
    return true;
}

/* ---- into trees ---- */

static chapter *new_chapter(book *b, err *e)
{
    chapter c = {.part = buf_up_to((size_t)1 << 36)};
    tree_open(&c.tree, SEGMENTS_MAX, ids_max);
    buf_add(&b->chapter, &c, sizeof c);
    return buf_check(&b->chapter, "the chapters", e) ? book_chapter(b, book_count(b) - 1) : NULL;
}

/* The chapter of a part's head; heads are packed in the order in which they are met. */
static chapter *chapter_for(book *b, int32_t which, err *e)
{
    head *h = which >= 0 ? head_at(b, which) : NULL;
    if (h && h->chapter >= 0) return book_chapter(b, h->chapter);
    int32_t n = book_count(b);
    chapter *last = n > 0 ? book_chapter(b, n - 1) : NULL;
    bool fits =
        last && (!h || last->head_tokens == 0 || last->head_tokens + h->n <= BOOK_HEAD_TOKENS);
    chapter *c = !h && last ? book_chapter(b, 0) : fits ? last : new_chapter(b, e);
    if (!c || !h) return c;
    h->chapter = book_count(b) - 1;
    c->head_tokens += h->n;
    tree_segment s = {.parent = TREE_ROOT, .kind = TREE_HEAD, .owner = -1};
    h->segment = tree_add(&c->tree, s, h->id, h->n, e);
    return h->segment >= 0 ? c : NULL;
}

static bool keep_ids(chapter *c, const token_list *l, int64_t *first, err *e)
{
    *first = c->kept.n;
    return token_list_add(&c->kept, l->id, l->n, e);
}

/* The answers of a part, as segments right behind their case; equal ones are there once. */
static bool add_answers(chapter *c, const book_ask *a, book_part *p, int32_t owner, err *e)
{
    const asked *q = a->q;
    p->first_answer = (int32_t)c->answer_segment.n;
    for (int32_t k = 0; k < q->n_answer; k++) {
        const int32_t *id = q->answers.id + q->start.id[k];
        int32_t n = q->start.id[k + 1] - q->start.id[k], at = p->case_segment + 1;
        while (at < tree_count(&c->tree) &&
               (tree_at(&c->tree, at)->count != n ||
                memcmp(tree_ids(&c->tree, at), id, (size_t)n * sizeof *id) != 0))
            at++;
        if (at == tree_count(&c->tree)) {
            tree_segment s = {.parent = p->case_segment,
                              .kind = TREE_ANSWER,
                              .owner = owner,
                              .answer = at - p->case_segment - 1};
            at = tree_add(&c->tree, s, id, n, e);
        }
        if (at < 0 || !token_list_add(&c->answer_segment, &at, 1, e)) return false;
    }
    return token_list_add(&c->answer_class, q->answer_class.id, q->n_answer, e);
}

static bool keep_question(chapter *c, const asked *q, book_part *p, err *e)
{
    p->n_bridge = (int32_t)q->bridge.n;
    p->first_answer = (int32_t)c->answer_class.n;
    int32_t none = -1;
    for (int32_t k = 0; k < q->n_answer; k++) token_list_add(&c->answer_segment, &none, 1, e);
    return keep_ids(c, &q->prompt, &p->prompt, e) && keep_ids(c, &q->bridge, &p->bridge, e) &&
           keep_ids(c, &q->start, &p->start, e) && keep_ids(c, &q->answers, &p->answers, e) &&
           token_list_add(&c->answer_class, q->answer_class.id, q->n_answer, e);
}

/* A case with the answers of all parts that ask so. */
static bool add_case(chapter *c, const row_of_parts *r, int32_t i, int32_t parent, err *e)
{
    const asked *q = r->ask[i].q;
    const place *of = r->place;
    int32_t owner = (int32_t)c->first_part.n - 1;
    int32_t from = of[i].n_stem > 0 ? of[i].n_stem : of[i].n_head;
    bool read = false; /* does anybody read the distribution behind it? */
    for (int32_t j = i; j < r->n; j++) {
        bool here = of[j].as_case == of[i].as_case && !r->ask[j].done;
        read = read || (here && r->ask[j].part.samples == 0);
    }
    tree_segment s = {.parent = parent, .kind = read ? TREE_CASE : TREE_HEAD, .owner = owner};
    int32_t segment = tree_add(&c->tree, s, q->prompt.id + from, (int32_t)q->prompt.n - from, e);
    for (int32_t j = i; segment >= 0 && j < r->n; j++) {
        if (of[j].as_case != of[i].as_case || r->ask[j].done) continue;
        book_part p = r->ask[j].part;
        p.case_segment = segment;
        p.n_answer = r->ask[j].q->n_answer;
        bool ok = p.samples > 0 ? keep_question(c, r->ask[j].q, &p, e)
                                : add_answers(c, &r->ask[j], &p, owner, e);
        if (!ok) return false;
        buf_add(&c->part, &p, sizeof p);
        r->place[j].placed = true;
    }
    return segment >= 0 && buf_check(&c->part, "the prompts' parts", e);
}

/* Does part j hang together with part i below the shared heads? */
static bool hang_together(const place *p, int32_t i, int32_t j)
{
    if (p[i].head < 0 && p[i].n_head > 0) return p[j].as_head == p[i].as_head;
    if (p[i].head != p[j].head || p[i].as_head != p[j].as_head) return false;
    if (p[i].n_stem > 0) return p[j].n_stem > 0 && p[j].as_stem == p[i].as_stem;
    return p[j].as_case == p[i].as_case;
}

/* The segment above part j's case: its head and, where it is cut there, its text. */
static int32_t add_above(chapter *c, const book *b, const row_of_parts *r, int32_t j, err *e)
{
    place *p = &r->place[j], *of_head = &r->place[p->as_head], *of_stem = &r->place[p->as_stem];
    const asked *q = r->ask[j].q;
    int32_t owner = (int32_t)c->first_part.n - 1, parent = TREE_ROOT;
    tree_segment s = {.kind = TREE_HEAD, .owner = owner};
    if (p->head >= 0) parent = head_at(b, p->head)->segment;
    else if (p->n_head > 0) {
        s.parent = TREE_ROOT;
        if (of_head->head_segment < 0)
            of_head->head_segment = tree_add(&c->tree, s, q->prompt.id, p->n_head, e);
        parent = of_head->head_segment;
    }
    if (p->n_stem == 0 || e->code != ERR_NONE) return parent;
    s.parent = parent;
    if (of_stem->stem_segment < 0)
        of_stem->stem_segment =
            tree_add(&c->tree, s, q->prompt.id + p->n_head, p->n_stem - p->n_head, e);
    return of_stem->stem_segment;
}

static bool add_item(book *b, const row_of_parts *r, int32_t i, err *e)
{
    chapter *c = chapter_for(b, r->place[i].head, e);
    if (!c) return false;
    int32_t first = (int32_t)(c->part.size / sizeof(book_part));
    if (!token_list_add(&c->first_part, &first, 1, e)) return false;
    for (int32_t j = i; j < r->n; j++) {
        if (r->ask[j].done || r->place[j].placed || !hang_together(r->place, i, j)) continue;
        int32_t parent = add_above(c, b, r, j, e);
        if (e->code != ERR_NONE || !add_case(c, r, j, parent, e)) return false;
    }
    return true;
}

bool book_add_row(book *b, const book_ask *ask, int32_t n, arena *scratch, err *e)
{
    size_t mark = arena_mark(scratch);
    row_of_parts r = {.ask = ask, .n = n};
    r.place = arena_take(scratch, (size_t)n, sizeof *r.place, e);
    if (!r.place) return false;
    for (int32_t i = 0; i < n; i++) {
        r.place[i] = cut(b, &ask[i]);
        r.place[i].head_segment = r.place[i].stem_segment = -1;
        find_same(b, ask, r.place, i);
    }
    bool ok = charge(b, &r, e);
    for (int32_t i = 0; ok && i < n; i++) {
        if (!ask[i].done && !r.place[i].placed) ok = add_item(b, &r, i, e);
    }
    arena_reset(scratch, mark);
    return ok;
}

/* ---- schedules ---- */

static void find_streams(const chapter *c, schedule_options *how)
{
    int32_t most_streams = how->rows / STREAM_ROWS > 1 ? how->rows / STREAM_ROWS : 1;
    const book_part *p = (const book_part *)(const void *)c->part.data;
    int64_t samples = 0, n = (int64_t)(c->part.size / sizeof *p);
    int32_t most = 1;
    for (int64_t i = 0; i < n; i++) {
        int32_t own = p[i].samples - p[i].first_sample;
        if (p[i].samples == 0) continue;
        samples += own;
        const int32_t *start = c->kept.id + p[i].start;
        int32_t rows = 1 + p[i].n_bridge + start[p[i].n_answer], path = 0;
        for (int32_t k = 0; k < p[i].n_answer; k++) {
            if (start[k + 1] - start[k] > path) path = start[k + 1] - start[k];
        }
        path += p[i].n_bridge;
        if (path > how->follow_positions) how->follow_positions = path;
        if (own > most) most = own;
        if (p[i].max_tokens > how->stream_tokens) how->stream_tokens = p[i].max_tokens;
        if (rows > how->follow_rows) how->follow_rows = rows;
        if (p[i].n_answer + 1 > how->follow_segments) how->follow_segments = p[i].n_answer + 1;
    }
    if (samples == 0) return;
    how->streams = generate_streams(samples, how->stream_tokens, how->rows);
    if (how->streams > most_streams) how->streams = most_streams;
    how->batch_rows = BATCH_STEPS * how->rows;
    if (how->batch_items == 0) how->batch_items = most < how->streams ? how->streams / most : 1;
}

schedule_options chapter_options(const chapter *c, schedule_options how)
{
    schedule_options own = {.rows = how.rows, .batch_items = how.batch_items};
    find_streams(c, &own);
    return own;
}

bool book_finish(book *b, schedule_options how, arena *a, err *e)
{
    for (int32_t i = 0; i < book_count(b); i++) {
        chapter *c = book_chapter(b, i);
        if (!schedule_make(&c->schedule, &c->tree, chapter_options(c, how), a, e)) return false;
    }
    return true;
}
