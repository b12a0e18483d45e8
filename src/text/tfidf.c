/* tfidf: see tfidf.h. Terms live in a hash table that doubles; then they are sorted and
 * renumbered. */
#include "text/tfidf.h"

#include "text/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <utf8proc.h>

bool tfidf_is_word(int32_t code)
{
    if (code < 0x80) {
        return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') ||
               (code >= '0' && code <= '9') || code == '_';
    }
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
    }
}

static bool is_blank(int32_t code) /* Python's str.split */
{
    return utf8_is_space(code) || (code >= 0x1C && code <= 0x1F);
}

/* ---- terms of a text ---- */

typedef bool term_taker(void *context, str term); /* false stops */

static bool each_word(str s, term_taker *take, void *context)
{
    size_t start = 0, n_code = 0;
    for (size_t at = 0; at <= s.size;) {
        size_t here = at;
        bool word = at < s.size && tfidf_is_word(utf8_next(s, &at));
        if (word && n_code++ == 0) start = here;
        if (!word && n_code >= 2 && !take(context, str_part(s, start, here - start))) return false;
        if (!word) n_code = 0;
        if (here == s.size) break;
    }
    return true;
}

/* Runs of characters of one padded word: " word ". */
static bool each_run(str padded, term_taker *take, void *context)
{
    size_t n_code = 0;
    for (size_t i = 0; i < padded.size; i++)
        n_code += ((unsigned char)padded.data[i] & 0xC0) != 0x80;
    for (size_t n = TFIDF_CHARACTERS_LEAST; n <= TFIDF_CHARACTERS_MOST; n++) {
        if (n_code <= n) return take(context, padded); /* short words count once */
        size_t from = 0, to = 0;
        for (size_t k = 0; k < n; k++) utf8_next(padded, &to);
        for (;;) {
            if (!take(context, str_part(padded, from, to - from))) return false;
            if (to == padded.size) break;
            utf8_next(padded, &from);
            utf8_next(padded, &to);
        }
    }
    return true;
}

static bool each_character_run(str s, buf *padded, term_taker *take, void *context)
{
    for (size_t at = 0; at < s.size;) {
        size_t here = at;
        if (is_blank(utf8_next(s, &at))) continue;
        size_t end = at;
        while (end < s.size) {
            size_t next = end;
            if (is_blank(utf8_next(s, &next))) break;
            end = next;
        }
        buf_clear(padded);
        buf_add_char(padded, ' ');
        buf_add_str(padded, str_part(s, here, end - here));
        buf_add_char(padded, ' ');
        if (padded->failed || !each_run(buf_view(padded), take, context)) return false;
        at = end;
    }
    return true;
}

typedef struct term_reader { /* scratch for reading texts */
    buf lower, padded;
} term_reader;

static term_reader open_reader(void)
{
    return (term_reader){buf_up_to(BUF_MAX), buf_up_to(BUF_MAX)};
}

static bool close_reader(term_reader *r, err *e)
{
    bool ok = buf_check(&r->lower, "a text", e) && buf_check(&r->padded, "a text", e);
    buf_close(&r->lower);
    buf_close(&r->padded);
    return ok;
}

static bool each_term(term_reader *r, str text, tfidf_unit unit, term_taker *take, void *context)
{
    buf_clear(&r->lower);
    utf8_lower(text, &r->lower);
    if (r->lower.failed) return false;
    return unit == TFIDF_WORDS ? each_word(buf_view(&r->lower), take, context)
                               : each_character_run(buf_view(&r->lower), &r->padded, take, context);
}

/* ---- the vocabulary ---- */

typedef struct known { /* a term while rows are read */
    str term;
    int32_t n_row, last_row;
} known;

typedef struct vocabulary {
    known *term;
    int32_t n, room, n_slot, row;
    int32_t *slot;
    char *bytes; /* of the terms' texts, one after another in blocks of the arena */
    size_t n_byte, byte_room;
    arena *a;
    err *e;
} vocabulary;

static uint64_t hash_term(str s)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < s.size; i++) h = (h ^ (unsigned char)s.data[i]) * 0x100000001B3u;
    return (h ^ h >> 32) * 0x9E3779B97F4A7C15u >> 17;
}

static bool grow(vocabulary *v)
{
    if (v->n >= TFIDF_TERMS_MAX)
        return err_set(v->e, ERR_RESOURCE, "the texts hold more than %d different terms",
                       TFIDF_TERMS_MAX);
    int32_t room = v->room ? 2 * v->room : 1 << 12, n_slot = 2 * room;
    known *term = arena_take(v->a, (size_t)room, sizeof *term, v->e);
    int32_t *slot = arena_take(v->a, (size_t)n_slot, sizeof *slot, v->e);
    if (!term || !slot) return false;
    for (int32_t i = 0; i < n_slot; i++) slot[i] = -1;
    for (int32_t i = 0; i < v->n; i++) {
        term[i] = v->term[i];
        uint64_t at = hash_term(term[i].term) & (uint64_t)(n_slot - 1);
        while (slot[at] >= 0) at = (at + 1) & (uint64_t)(n_slot - 1);
        slot[at] = i;
    }
    v->term = term;
    v->slot = slot;
    v->room = room;
    v->n_slot = n_slot;
    return true;
}

static char *keep_bytes(vocabulary *v, str term)
{
    if (v->n_byte + term.size > v->byte_room) {
        v->byte_room = ((size_t)1 << 20) + term.size;
        v->bytes = arena_take(v->a, v->byte_room, 1, v->e);
        v->n_byte = 0;
        if (!v->bytes) return NULL;
    }
    char *copy = v->bytes + v->n_byte;
    memcpy(copy, term.data, term.size);
    v->n_byte += term.size;
    return copy;
}

static bool count_term(void *context, str term)
{
    vocabulary *v = context;
    if (v->n == v->room && !grow(v)) return false;
    uint64_t mask = (uint64_t)v->n_slot - 1, at = hash_term(term) & mask;
    while (v->slot[at] >= 0 && !str_equal(v->term[v->slot[at]].term, term)) at = (at + 1) & mask;
    if (v->slot[at] < 0) {
        char *copy = keep_bytes(v, term);
        if (!copy) return false;
        v->term[v->n] = (known){.term = {copy, term.size}, .last_row = -1};
        v->slot[at] = v->n++;
    }
    known *k = &v->term[v->slot[at]];
    k->n_row += k->last_row != v->row;
    k->last_row = v->row;
    return true;
}

static int by_term(const void *a, const void *b)
{
    return str_order(((const known *)a)->term, ((const known *)b)->term);
}

static bool keep_terms(tfidf *t, vocabulary *v, int64_t n)
{
    t->n_term = v->n;
    t->n_slot = v->n_slot;
    t->slot = v->slot;
    t->term = arena_take(v->a, (size_t)v->n, sizeof *t->term, v->e);
    t->idf = arena_take(v->a, (size_t)v->n, sizeof *t->idf, v->e);
    if (!t->term || !t->idf) return false;
    if (v->n > 1) qsort(v->term, (size_t)v->n, sizeof *v->term, by_term);
    for (int32_t i = 0; i < v->n_slot; i++) t->slot[i] = -1;
    for (int32_t i = 0; i < v->n; i++) {
        t->term[i] = v->term[i].term;
        t->idf[i] = log((1.0 + (double)n) / (1.0 + v->term[i].n_row)) + 1;
        uint64_t at = hash_term(t->term[i]) & (uint64_t)(t->n_slot - 1);
        while (t->slot[at] >= 0) at = (at + 1) & (uint64_t)(t->n_slot - 1);
        t->slot[at] = i;
    }
    return true;
}

bool tfidf_fit(tfidf *t, const str *text, int64_t n, tfidf_unit unit, arena *a, err *e)
{
    assert(t && n >= 0 && n <= INT32_MAX);
    *t = (tfidf){.unit = unit};
    vocabulary v = {.a = a, .e = e};
    term_reader r = open_reader();
    bool ok = grow(&v);
    for (int64_t i = 0; ok && i < n; i++) {
        v.row = (int32_t)i;
        ok = each_term(&r, text[i], unit, count_term, &v);
    }
    ok = close_reader(&r, e) && ok;
    return ok && keep_terms(t, &v, n);
}

/* ---- rows ---- */

typedef struct row_terms { /* the terms of one text, in their order there */
    const tfidf *t;
    buf *column; /* int32 */
} row_terms;

static bool add_term(void *context, str term)
{
    row_terms *r = context;
    uint64_t mask = (uint64_t)r->t->n_slot - 1, at = hash_term(term) & mask;
    while (r->t->slot[at] >= 0 && !str_equal(r->t->term[r->t->slot[at]], term))
        at = (at + 1) & mask;
    if (r->t->slot[at] >= 0) buf_add(r->column, &r->t->slot[at], sizeof(int32_t));
    return !r->column->failed;
}

static int by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Equal columns of column[n] together, as count x idf, scaled to length 1. How many there are. */
static int64_t weigh_row(const tfidf *t, int32_t *column, int64_t n, double *value)
{
    int64_t n_kept = 0;
    double square = 0;
    if (n > 1) qsort(column, (size_t)n, sizeof *column, by_number);
    for (int64_t i = 0; i < n;) {
        int64_t j = i;
        while (j < n && column[j] == column[i]) j++;
        double weight = (double)(j - i) * t->idf[column[i]];
        column[n_kept] = column[i];
        value[n_kept++] = weight;
        square += weight * weight;
        i = j;
    }
    for (int64_t i = 0; i < n_kept; i++) value[i] /= sqrt(square);
    return n_kept;
}

/* start[n + 1] in terms as found, to be rewritten in terms kept. */
static bool fill_rows(const tfidf *t, buf *column, int64_t *start, sparse_rows *out, arena *a,
                      err *e)
{
    int64_t n = out->n;
    size_t n_all = column->size / sizeof(int32_t);
    int32_t *all = arena_take(a, n_all, sizeof *all, e);
    double *value = arena_take(a, n_all, sizeof *value, e);
    if (!all || !value) return false;
    if (n_all) memcpy(all, column->data, n_all * sizeof *all);
    int64_t to = 0, from = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t n_own = start[i + 1] - from;
        memmove(all + to, all + from, (size_t)n_own * sizeof *all);
        from = start[i + 1];
        start[i] = to;
        to += weigh_row(t, all + to, n_own, value + to);
    }
    start[n] = to;
    out->column = all;
    out->value = value;
    return true;
}

bool tfidf_rows(const tfidf *t, const str *text, int64_t n, arena *a, sparse_rows *out, err *e)
{
    assert(t->slot && n >= 0);
    int64_t *start = arena_take(a, (size_t)n + 1, sizeof *start, e);
    if (!start) return false;
    buf column = buf_up_to(BUF_MAX);
    term_reader r = open_reader();
    row_terms terms = {t, &column};
    bool ok = true;
    start[0] = 0;
    for (int64_t i = 0; ok && i < n; i++) {
        ok = each_term(&r, text[i], t->unit, add_term, &terms);
        start[i + 1] = (int64_t)(column.size / sizeof(int32_t));
    }
    ok = buf_check(&column, "the terms of the texts", e) && ok;
    ok = close_reader(&r, e) && ok;
    *out = (sparse_rows){.n = n, .n_column = t->n_term, .start = start};
    ok = ok && fill_rows(t, &column, start, out, a, e);
    buf_close(&column);
    return ok;
}

tfidf_unit tfidf_suited(const str *text, int64_t n)
{
    int64_t n_letter = 0, n_dense = 0;
    for (int64_t i = 0; i < n; i++) {
        for (size_t at = 0; at < text[i].size;) {
            int32_t c = utf8_next(text[i], &at);
            if (c < 0x41 || !tfidf_is_word(c)) continue;
            n_letter++;
            n_dense += (c >= 0x0E00 && c <= 0x0E7F) || (c >= 0x1100 && c <= 0x11FF) ||
                       (c >= 0x3040 && c <= 0x318F) || (c >= 0x3400 && c <= 0x9FFF) ||
                       (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0x20000 && c <= 0x3FFFF);
        }
    }
    return 10 * n_dense > 3 * n_letter ? TFIDF_CHARACTERS : TFIDF_WORDS;
}
