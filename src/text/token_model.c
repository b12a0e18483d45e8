/* token_model: from a piece of text to ids: byte-pair merges and the unigram lattice.
 *
 * Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909): start from bytes or characters,
 * again and again merge the neighbouring pair of the lowest rank (the leftmost of equals) until no
 * pair is a merge. Three short cuts, none of which can change a result: a word that was found at
 * opening to become exactly one token does so by one look-up; words of up to WORD_SHORT symbols are
 * merged in arrays; longer ones with a heap over a linked list, O(n log n).
 *
 * Unigram (Kudo 2018, arXiv:1804.10959): the segmentation with the largest sum of scores (Viterbi).
 *
 * Characters the vocabulary lacks become byte tokens where there are any, else the unknown token.
 */
#include "text/token_work.h"

#include <assert.h>
#include <float.h>

enum { WORD_SHORT = 40 };

/* GPT-2's printable character for each byte: itself where it is printable in Latin-1, else the
 * next free one from U+0100 on. */
int32_t token_byte_char(unsigned char byte)
{
    if (byte <= 0x20) return 0x100 + byte;
    if (byte >= 0x7F && byte <= 0xA0) return 0x121 + (byte - 0x7F);
    return byte == 0xAD ? 0x143 : byte;
}

int token_char_byte(int32_t code)
{
    if (code >= 0x21 && code <= 0xFF && code != 0x7F && !(code >= 0x80 && code <= 0xA0) &&
        code != 0xAD)
        return code;
    if (code >= 0x100 && code <= 0x120) return code - 0x100;
    if (code >= 0x121 && code <= 0x142) return code - 0x121 + 0x7F;
    return code == 0x143 ? 0xAD : -1;
}

/* Bytes of a piece that no token stands for. */
static void put_unknown(token_work *w, str bytes, bool *follows_unknown)
{
    const tokenizer *t = w->t;
    bool all = t->byte_fallback;
    for (size_t i = 0; all && i < bytes.size; i++)
        all = t->byte_id[(unsigned char)bytes.data[i]] >= 0;
    if (all) {
        for (size_t i = 0; i < bytes.size; i++)
            token_put(w, t->byte_id[(unsigned char)bytes.data[i]]);
        *follows_unknown = false;
    } else if (t->unk >= 0) {
        if (!(t->fuse_unk && *follows_unknown)) token_put(w, t->unk);
        *follows_unknown = true;
    } else {
        w->failed = true;
        err_set(w->e, ERR_MODEL,
                "%s: the text holds a character that the tokenizer's vocabulary lacks, and it has "
                "neither byte tokens nor an unknown token",
                t->path);
    }
}

/* The symbols of a piece, `from` with one more entry for the end. */
typedef struct symbols {
    int32_t *id, *from;
    int32_t n;
} symbols;

static inline int32_t first_symbol(const tokenizer *t, str piece_text, size_t at, size_t *size)
{
    unsigned char c = (unsigned char)piece_text.data[at];
    if (t->byte_level) {
        *size = 1;
        return t->byte_id[c];
    }
    *size = (size_t)utf8_size(c);
    if (*size < 4) {
        size_t next = at;
        return t->char_id[utf8_next(piece_text, &next)];
    }
    return text_map_find(&t->by_piece, t->reads, str_part(piece_text, at, *size));
}

static void emit(token_work *w, str piece_text, symbols s)
{
    bool follows_unknown = false;
    for (int32_t i = 0; i < s.n; i++) {
        if (s.id[i] >= 0 && s.id[i] < w->t->n_token) {
            token_put(w, s.id[i]);
            follows_unknown = false;
        } else {
            size_t from = (size_t)s.from[i], to = (size_t)s.from[i + 1];
            put_unknown(w, str_part(piece_text, from, to - from), &follows_unknown);
        }
    }
}

static inline const pair_slot *merge_of(const tokenizer *t, int32_t left, int32_t right)
{
    return left < 0 || right < 0 ? NULL : pair_map_find(&t->merges, pair_key(left, right));
}

static void merge_short(const tokenizer *t, symbols *s)
{
    int32_t rank[WORD_SHORT], result[WORD_SHORT];
    assert(s->n <= WORD_SHORT);
    for (int32_t i = 0; i + 1 < s->n; i++) {
        const pair_slot *m = merge_of(t, s->id[i], s->id[i + 1]);
        rank[i] = m ? m->rank : INT32_MAX;
        result[i] = m ? m->id : -1;
    }
    while (s->n > 1) {
        int32_t best = 0;
        for (int32_t i = 1; i + 1 < s->n; i++) best = rank[i] < rank[best] ? i : best;
        if (rank[best] == INT32_MAX) return;
        s->id[best] = result[best];
        for (int32_t i = best + 1; i + 1 < s->n; i++) {
            s->id[i] = s->id[i + 1];
            s->from[i] = s->from[i + 1];
            rank[i - 1] = rank[i];
            result[i - 1] = result[i];
        }
        s->n--;
        s->from[s->n] = s->from[s->n + 1];
        for (int32_t i = best - 1; i <= best; i++) {
            if (i < 0 || i + 1 >= s->n) continue;
            const pair_slot *m = merge_of(t, s->id[i], s->id[i + 1]);
            rank[i] = m ? m->rank : INT32_MAX;
            result[i] = m ? m->id : -1;
        }
    }
}

/* Long words: symbols in a linked list, candidate merges in a heap ordered by (rank, place). A
 * candidate is stale when either side has changed since. */
typedef struct candidate {
    int32_t rank, left, left_id, right_id, result;
} candidate;

typedef struct chain {
    const tokenizer *t;
    int32_t *id, *from, *next, *previous;
    candidate *heap;
    int32_t n_heap;
} chain;

static inline bool comes_first(const candidate *a, const candidate *b)
{
    return a->rank < b->rank || (a->rank == b->rank && a->left < b->left);
}

static void heap_push(chain *c, candidate x)
{
    int32_t i = c->n_heap++;
    while (i > 0 && comes_first(&x, &c->heap[(i - 1) / 2])) {
        c->heap[i] = c->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    c->heap[i] = x;
}

static candidate heap_pop(chain *c)
{
    candidate top = c->heap[0], last = c->heap[--c->n_heap];
    int32_t i = 0;
    for (;;) {
        int32_t child = 2 * i + 1;
        if (child >= c->n_heap) break;
        if (child + 1 < c->n_heap && comes_first(&c->heap[child + 1], &c->heap[child])) child++;
        if (!comes_first(&c->heap[child], &last)) break;
        c->heap[i] = c->heap[child];
        i = child;
    }
    c->heap[i] = last;
    return top;
}

static void offer(chain *c, int32_t left)
{
    if (left < 0 || c->next[left] < 0) return;
    int32_t right = c->next[left];
    const pair_slot *m = merge_of(c->t, c->id[left], c->id[right]);
    if (!m) return;
    heap_push(c, (candidate){.rank = m->rank,
                             .left = left,
                             .left_id = c->id[left],
                             .right_id = c->id[right],
                             .result = m->id});
}

static void merge_all(chain *c)
{
    while (c->n_heap > 0) {
        candidate x = heap_pop(c);
        int32_t right = c->next[x.left];
        if (right < 0 || c->id[x.left] != x.left_id || c->id[right] != x.right_id) continue;
        c->id[x.left] = x.result;
        c->id[right] = -2; /* gone */
        c->next[x.left] = c->next[right];
        if (c->next[right] >= 0) c->previous[c->next[right]] = x.left;
        offer(c, c->previous[x.left]);
        offer(c, x.left);
    }
}

static int32_t *ints(buf *b, size_t n, size_t each)
{
    buf_clear(b);
    static const char zero[1024];
    for (size_t left = n * each; left > 0 && !b->failed;) {
        size_t part = left < sizeof zero ? left : sizeof zero;
        buf_add(b, zero, part);
        left -= part;
    }
    return b->failed ? NULL : (int32_t *)(void *)b->data;
}

static void merge_long(token_work *w, str piece_text)
{
    size_t n = piece_text.size;
    int32_t *memory = ints(&w->symbol, n + 1, 4 * sizeof *memory);
    /* each merge offers at most two candidates and removes a symbol: 3n in all */
    candidate *heap = memory ? (candidate *)(void *)ints(&w->heap, 3 * n, sizeof *heap) : NULL;
    if (!heap) {
        w->failed = true;
        err_set(w->e, ERR_RESOURCE, "out of memory for the tokens of a word of %zu bytes", n);
        return;
    }
    chain c = {.t = w->t,
               .id = memory,
               .from = memory + (n + 1),
               .next = memory + 2 * (n + 1),
               .previous = memory + 3 * (n + 1),
               .heap = heap};
    int32_t count = 0;
    for (size_t i = 0, size; i < n; i += size) {
        c.id[count] = first_symbol(w->t, piece_text, i, &size);
        c.from[count] = (int32_t)i;
        c.previous[count] = count - 1;
        c.next[count] = i + size < n ? count + 1 : -1;
        count++;
    }
    for (int32_t i = 0; i + 1 < count; i++) offer(&c, i);
    merge_all(&c);
    symbols s = {.id = c.id, .from = c.from};
    for (int32_t i = 0; i >= 0; i = c.next[i]) { /* s.n <= i: closing up in place */
        s.id[s.n] = c.id[i];
        s.from[s.n++] = c.from[i];
    }
    s.from[s.n] = (int32_t)n;
    emit(w, piece_text, s);
}

static void merge_piece(token_work *w, str piece_text)
{
    int32_t id[WORD_SHORT + 1], from[WORD_SHORT + 1];
    symbols s = {.id = id, .from = from};
    for (size_t i = 0, size; i < piece_text.size; i += size) {
        if (s.n == WORD_SHORT) {
            merge_long(w, piece_text);
            return;
        }
        id[s.n] = first_symbol(w->t, piece_text, i, &size);
        from[s.n++] = (int32_t)i;
    }
    from[s.n] = (int32_t)piece_text.size;
    merge_short(w->t, &s);
    emit(w, piece_text, s);
}

static void run_word(token_work *w, str word)
{
    const tokenizer *t = w->t;
    if (word.size <= (size_t)t->bytes_piece_max) {
        int32_t id = text_map_find(&t->by_piece, t->reads, word);
        if (id >= 0 && id < t->n_token && (t->ignore_merges || t->mark[id] & MARK_WHOLE)) {
            token_put(w, id);
            return;
        }
    }
    merge_piece(w, word);
}

/* Where no token has U+2581 behind such a character, no merge crosses the place between them:
 * the text falls apart into words there. */
static void run_cut(token_work *w, str text)
{
    size_t start = 0;
    for (size_t i = 1; i + 2 < text.size; i++) {
        const char *at = memchr(text.data + i, '\xE2', text.size - 2 - i);
        if (!at) break;
        i = (size_t)(at - text.data);
        if (at[1] != '\x96' || at[2] != '\x81' || w->t->no_cut[(unsigned char)at[-1]]) continue;
        run_word(w, str_part(text, start, i - start));
        start = i;
    }
    run_word(w, str_part(text, start, text.size - start));
}

/* One place between characters of a unigram lattice. */
typedef struct node {
    double score;
    int32_t from, id; /* the best piece that ends here; id -1: none yet, -2: unknown character */
} node;

static void relax(const tokenizer *t, node *lattice, int32_t from, int32_t to, int32_t id)
{
    bool user = id >= 0 && t->type[id] == TYPE_USER && !t->double_sum;
    double score = id < 0 ? t->score_unk : user ? (to - from) * t->score_max - 0.1 : t->score[id];
    double sum = lattice[from].score + score;
    if (!t->double_sum) sum = (double)((float)lattice[from].score + (float)score);
    if (lattice[to].id != -1 && !(sum > lattice[to].score)) return;
    lattice[to] = (node){.score = sum, .from = from, .id = id < 0 ? -2 : id};
}

static void relax_from(const tokenizer *t, node *lattice, str text, int32_t at)
{
    int32_t branch = 0, size = utf8_size((unsigned char)text.data[at]);
    bool single = false;
    for (int32_t to = at; to < (int32_t)text.size;) {
        const pair_slot *edge =
            pair_map_find(&t->trie, pair_key(branch, (unsigned char)text.data[to++]));
        if (!edge) break;
        branch = edge->rank;
        if (edge->id < 0) continue;
        relax(t, lattice, at, to, edge->id);
        single |= to - at == size;
    }
    if (!single) relax(t, lattice, at, at + size, -1);
}

static void run_unigram(token_work *w, str text)
{
    const tokenizer *t = w->t;
    int32_t n = (int32_t)text.size;
    node *lattice = (node *)(void *)ints(&w->lattice, text.size + 1, sizeof *lattice);
    int32_t *path = lattice ? ints(&w->symbol, text.size + 1, sizeof *path) : NULL;
    if (!path) {
        w->failed = true;
        err_set(w->e, ERR_RESOURCE, "out of memory for the tokens of a text of %zu bytes",
                text.size);
        return;
    }
    for (int32_t i = 0; i <= n; i++) lattice[i] = (node){.id = -1};
    for (int32_t at = 0; at < n; at += utf8_size((unsigned char)text.data[at]))
        relax_from(t, lattice, text, at);
    int32_t steps = 0;
    for (int32_t at = n; at > 0; at = lattice[at].from) path[steps++] = at;
    int32_t unknown_from = -1; /* a run of unknown characters is one unknown token */
    while (steps-- > 0) {
        int32_t at = path[steps];
        bool unknown = lattice[at].id == -2 || lattice[at].id == t->unk;
        if (unknown && unknown_from < 0) unknown_from = lattice[at].from;
        bool closes = unknown_from >= 0 && (!unknown || !t->fuse_unk || steps == 0);
        int32_t to = unknown ? at : lattice[at].from;
        if (closes) {
            bool fresh = false;
            put_unknown(w, str_part(text, (size_t)unknown_from, (size_t)(to - unknown_from)),
                        &fresh);
            unknown_from = -1;
        }
        if (!unknown) token_put(w, lattice[at].id);
    }
}

/* Printable characters back to bytes; false when one is none of them. */
static bool unmap(str text, buf *raw)
{
    buf_clear(raw);
    for (size_t i = 0; i < text.size;) {
        int byte = token_char_byte(utf8_next(text, &i));
        if (byte < 0) return false;
        buf_add_char(raw, (char)byte);
    }
    return true;
}

void token_model_run(token_work *w, str piece_text)
{
    if (w->failed || piece_text.size == 0) return;
    assert(piece_text.size < INT32_MAX / 8);
    if (w->t->mapped) {
        bool all = unmap(piece_text, &w->raw);
        assert(all); /* every byte was mapped before */
        if (!buf_check(&w->raw, "a text's bytes", w->e)) w->failed = true;
        else run_word(w, buf_view(&w->raw));
    } else if (w->t->unigram) {
        run_unigram(w, piece_text);
    } else if (w->t->cuts) {
        run_cut(w, piece_text);
    } else {
        run_word(w, piece_text);
    }
}
