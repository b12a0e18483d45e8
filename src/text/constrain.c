/* constrain: see constrain.h. */
#include "text/constrain.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { TOKEN_BYTES_MAX = 1 << 16, DEPTH_MAX = 1024 };

/* ---- the vocabulary by its bytes ---- */

typedef struct piece {
    const char *bytes;
    int64_t n;
    int32_t id;
} piece;

static int by_bytes(const void *left, const void *right)
{
    const piece *a = left, *b = right;
    int64_t n = a->n < b->n ? a->n : b->n;
    int order = n ? memcmp(a->bytes, b->bytes, (size_t)n) : 0;
    if (order) return order;
    if (a->n != b->n) return a->n < b->n ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* Pieces of all tokens that stand for bytes, in `all`. */
static int32_t list_pieces(const tokenizer *t, int32_t n, buf *all, buf *ends, piece *list)
{
    int32_t kept = 0;
    for (int32_t id = 0; id < n; id++) {
        size_t from = all->size;
        if (token_is_special(t, id)) continue;
        token_decode(t, &id, 1, false, all);
        if (all->size == from || all->size - from > DEPTH_MAX) {
            all->size = from;
            continue;
        }
        int64_t end = (int64_t)all->size;
        buf_add(ends, &end, sizeof end);
        list[kept++].id = id;
    }
    const int64_t *end = (const int64_t *)(const void *)ends->data;
    for (int32_t i = 0; i < kept && !all->failed && !ends->failed; i++) {
        int64_t from = i ? end[i - 1] : 0;
        list[i].bytes = all->data + from;
        list[i].n = end[i] - from;
    }
    return kept;
}

bool token_bytes_make(token_bytes *b, const tokenizer *t, int32_t n_vocab, arena *a, err *e)
{
    int32_t n = token_count(t) < n_vocab ? token_count(t) : n_vocab;
    *b = (token_bytes){.n_vocab = n_vocab};
    b->id = arena_take(a, (size_t)n, sizeof *b->id, e);
    b->start = arena_take(a, (size_t)n + 1, sizeof *b->start, e);
    piece *list = arena_take(a, (size_t)n, sizeof *list, e);
    if (e->code != ERR_NONE) return false;
    buf all = buf_up_to((size_t)1 << 30), ends = buf_up_to((size_t)1 << 28);
    b->n = list_pieces(t, n, &all, &ends, list);
    b->bytes = arena_take(a, all.size, 1, e);
    bool ok =
        buf_check(&all, "the vocabulary", e) && buf_check(&ends, "the vocabulary", e) && b->bytes;
    if (ok && b->n > 1) qsort(list, (size_t)b->n, sizeof *list, by_bytes);
    int64_t at = 0;
    for (int32_t i = 0; ok && i < b->n; i++) {
        b->id[i] = list[i].id;
        b->start[i] = at;
        memcpy(b->bytes + at, list[i].bytes, (size_t)list[i].n);
        at += list[i].n;
    }
    b->start[b->n] = at;
    buf_close(&all);
    buf_close(&ends);
    return ok;
}

/* ---- masks ---- */

bool constrainer_make(constrainer *c, const automaton *rule, const token_bytes *b, arena *a, err *e)
{
    *c = (constrainer){.rule = rule, .tokens = b, .words = (b->n_vocab + 63) / 64};
    c->n_mask = rule->n_state < CONSTRAIN_MASKS_MAX ? rule->n_state : CONSTRAIN_MASKS_MAX;
    c->mask_of = arena_take(a, (size_t)rule->n_state, sizeof *c->mask_of, e);
    c->mask = arena_take(a, ((size_t)c->n_mask + 1) * (size_t)c->words, sizeof *c->mask, e);
    for (int32_t i = 0; c->mask_of && i < rule->n_state; i++) c->mask_of[i] = -1;
    return e->code == ERR_NONE;
}

/* Neighbours share their first bytes: where one died, all that begin alike are passed over, and
 * what is common is not walked again. */
static void walk(const constrainer *c, int32_t state, uint64_t *mask)
{
    const token_bytes *b = c->tokens;
    int32_t path[DEPTH_MAX + 1];
    int64_t alive = 0; /* bytes of the last token that were walked: path[0 .. alive] */
    const char *last = b->bytes;
    int64_t n_last = 0;
    path[0] = state;
    memset(mask, 0, (size_t)c->words * sizeof *mask);
    for (int32_t i = 0; i < b->n; i++) {
        const char *bytes = b->bytes + b->start[i];
        int64_t n = b->start[i + 1] - b->start[i], same = 0;
        while (same < n && same < n_last && bytes[same] == last[same]) same++;
        bool died = alive < n_last; /* the last token's byte `alive` led nowhere */
        if (!(died && same > alive)) {
            int64_t at = same < alive ? same : alive;
            while (at < n) {
                int32_t next = c->rule->next[(int64_t)path[at] * 256 + (unsigned char)bytes[at]];
                if (next < 0) break;
                path[++at] = next;
            }
            alive = at;
            if (at == n) mask[b->id[i] / 64] |= (uint64_t)1 << b->id[i] % 64;
            last = bytes;
            n_last = n;
        }
    }
}

static const uint64_t *mask_at(constrainer *c, int32_t state)
{
    int32_t which = c->mask_of[state];
    if (which >= 0) return c->mask + (int64_t)which * c->words;
    bool kept = c->made < c->n_mask;
    if (kept) c->mask_of[state] = c->made;
    uint64_t *mask = c->mask + (int64_t)(kept ? c->made++ : c->n_mask) * c->words;
    walk(c, state, mask);
    return mask;
}

bool constrainer_allow(constrainer *c, int32_t state, const int32_t *end, int32_t n_end,
                       float *logit)
{
    assert(state >= 0 && state < c->rule->n_state);
    const uint64_t *mask = mask_at(c, state);
    float keep[16];
    int32_t n_kept = 0;
    bool any = false;
    assert(n_end <= 16);
    for (int32_t i = 0; i < n_end && c->rule->accepts[state]; i++) keep[n_kept++] = logit[end[i]];
    for (int32_t id = 0; id < c->tokens->n_vocab; id++) {
        bool may = mask[id / 64] >> id % 64 & 1;
        any = any || may;
        if (!may) logit[id] = -INFINITY;
    }
    for (int32_t i = 0; i < n_kept; i++) logit[end[i]] = keep[i];
    return any || n_kept > 0;
}

int32_t constrainer_step(const constrainer *c, const tokenizer *t, int32_t state, int32_t id)
{
    buf piece = buf_up_to(TOKEN_BYTES_MAX);
    token_decode(t, &id, 1, false, &piece);
    int32_t next = automaton_run(c->rule, state, buf_view(&piece));
    buf_close(&piece);
    return next;
}
