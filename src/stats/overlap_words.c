/* overlap_words: texts to words and n-grams; see overlap.h and overlap_in.h. */
#include "stats/overlap_in.h"

#include <assert.h>
#include <stdlib.h>
#include <utf8proc.h>

bool overlap_decode(str s, arena *a, code_text *out, err *e)
{
    out->code = arena_take(a, s.size, sizeof *out->code, e);
    out->n = 0;
    if (!out->code) return false;
    for (size_t i = 0; i < s.size;) {
        utf8proc_int32_t code;
        utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)s.data + i,
                                                 (utf8proc_ssize_t)(s.size - i), &code);
        if (size <= 0) size = 1, code = 0xFFFD;
        out->code[out->n++] = code;
        i += (size_t)size;
    }
    return true;
}

bool overlap_is_space(int32_t code)
{
    utf8proc_category_t c = utf8proc_category(code);
    return (code >= 9 && code <= 13) || (code >= 0x1C && code <= 0x1F) || code == 0x85 ||
           (c >= UTF8PROC_CATEGORY_ZS && c <= UTF8PROC_CATEGORY_ZP);
}

bool overlap_is_word(int32_t code)
{
    utf8proc_category_t c = utf8proc_category(code);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NO;
}

bool overlap_is_number(int32_t code)
{
    utf8proc_category_t c = utf8proc_category(code);
    return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
}

bool overlap_is_punctuation(int32_t code)
{
    utf8proc_category_t c = utf8proc_category(code);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

bool overlap_is_symbol(int32_t code)
{
    utf8proc_category_t c = utf8proc_category(code);
    return c >= UTF8PROC_CATEGORY_SM && c <= UTF8PROC_CATEGORY_SO;
}

/* Code points to words: what is parted by white space. */
static bool part_by_space(const code_text *t, arena *a, word_list *out, err *e)
{
    char *bytes = arena_take(a, (size_t)t->n, 4, e);
    out->word = arena_take(a, (size_t)t->n, sizeof *out->word, e);
    out->n = 0;
    if (!bytes || !out->word) return false;
    char *at = bytes, *from = bytes;
    for (int64_t i = 0; i <= t->n; i++) {
        bool gap = i == t->n || overlap_is_space(t->code[i]);
        if (!gap) at += utf8proc_encode_char(t->code[i], (utf8proc_uint8_t *)at);
        if (gap && at > from) {
            out->word[out->n++] = (str){from, (size_t)(at - from)};
            from = at;
        }
    }
    return true;
}

/* Lower case; in ASCII mode only A-Z, and everything but a-z 0-9 becomes a gap. */
static int32_t fold(int32_t code, overlap_words words)
{
    if (words == OVERLAP_UNICODE) return overlap_is_word(code) ? utf8proc_tolower(code) : ' ';
    if (code >= 'A' && code <= 'Z') return code + 32;
    bool plain = (code >= 'a' && code <= 'z') || (code >= '0' && code <= '9');
    return plain ? code : ' ';
}

bool overlap_split(str s, overlap_options o, arena *a, word_list *out, err *e)
{
    code_text t;
    if (!overlap_decode(s, a, &t, e)) return false;
    for (int64_t i = 0; i < t.n; i++) t.code[i] = fold(t.code[i], o.words);
    if (!part_by_space(&t, a, out, e)) return false;
    for (int64_t i = 0; o.stem && i < out->n; i++) {
        char *word = (char *)(uintptr_t)out->word[i].data; /* our own bytes, just made */
        if (out->word[i].size > 3) out->word[i].size = overlap_porter(word, out->word[i].size);
    }
    return true;
}

/* --- BLEU: rules of "put blanks around", applied one after the other --- */

static bool is_digit(int32_t c) { return c >= '0' && c <= '9'; }
static bool is_not_digit(int32_t c) { return !is_digit(c); }
static bool is_point(int32_t c) { return c == '.' || c == ','; }
static bool is_dash(int32_t c) { return c == '-'; }
static bool is_not_number(int32_t c) { return !overlap_is_number(c); }
/* ASCII punctuation but ' , - . and with the blank */
static bool is_mark(int32_t c)
{
    return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
           (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

typedef struct rule { /* a pair (first, second), or one character when second is NULL */
    bool (*first)(int32_t), (*second)(int32_t);
    bool around_first; /* blanks around the first of the pair; else around the second */
} rule;

static const rule rules_13a[] = {
    {is_mark, NULL, true},
    {is_not_digit, is_point, false},
    {is_point, is_not_digit, true},
    {is_digit, is_dash, false},
};
static const rule rules_intl[] = {
    {is_not_number, overlap_is_punctuation, false},
    {overlap_is_punctuation, is_not_number, true},
    {overlap_is_symbol, NULL, true},
};

/* A match uses its characters up: the next search starts behind it. out has room for 3 n. */
static void apply_rule(const rule *r, const code_text *in, code_text *out)
{
    out->n = 0;
    for (int64_t i = 0; i < in->n; i++) {
        int32_t c = in->code[i];
        bool pair = r->second != NULL;
        bool match = r->first(c) && (!pair || (i + 1 < in->n && r->second(in->code[i + 1])));
        if (match && r->around_first) out->code[out->n++] = ' ';
        out->code[out->n++] = c;
        if (!match) continue;
        out->code[out->n++] = ' ';
        if (!pair) continue;
        out->code[out->n++] = in->code[++i];
        if (!r->around_first) out->code[out->n++] = ' ';
    }
}

static bool apply_rules(const rule *r, size_t n, code_text *t, arena *a, err *e)
{
    for (size_t k = 0; k < n; k++) {
        code_text next = {.code = arena_take(a, (size_t)t->n, 3 * sizeof *next.code, e)};
        if (!next.code) return false;
        apply_rule(&r[k], t, &next);
        *t = next;
    }
    return true;
}

/* The part of mteval-v13a that does not depend on the language: entities, broken lines, blanks at
 * both ends. */
static bool clean_13a(str s, arena *a, str *out, err *e)
{
    static const struct {
        const char *from, *to;
    } swaps[] = {{"<skipped>", ""}, {"-\n", ""},   {"\n", " "},  {"&quot;", "\""},
                 {"&amp;", "&"},    {"&lt;", "<"}, {"&gt;", ">"}};
    char *text = arena_take(a, s.size + 2, 1, e);
    if (!text) return false;
    size_t n = s.size;
    if (n) memcpy(text + 1, s.data, n);
    for (size_t k = 0; k < countof(swaps); k++) {
        size_t from = strlen(swaps[k].from), to = strlen(swaps[k].to), size = 0;
        for (size_t i = 0; i < n;) {
            bool hit = n - i >= from && !memcmp(text + 1 + i, swaps[k].from, from);
            if (hit && to) memcpy(text + 1 + size, swaps[k].to, to);
            if (!hit) text[1 + size] = text[1 + i];
            size += hit ? to : 1;
            i += hit ? from : 1;
        }
        n = size;
    }
    text[0] = text[n + 1] = ' ';
    *out = (str){text, n + 2};
    return true;
}

static str trim_end(str s)
{
    while (s.size &&
           (s.data[s.size - 1] == ' ' || (s.data[s.size - 1] >= 9 && s.data[s.size - 1] <= 13)))
        s.size--;
    return s;
}

bool overlap_split_bleu(str s, overlap_bleu_words kind, arena *a, word_list *out, err *e)
{
    code_text t;
    s = trim_end(s);
    if (kind == OVERLAP_13A && !clean_13a(s, a, &s, e)) return false;
    if (!overlap_decode(s, a, &t, e)) return false;
    bool fine = true;
    if (kind == OVERLAP_13A) fine = apply_rules(rules_13a, countof(rules_13a), &t, a, e);
    if (kind == OVERLAP_INTL) fine = apply_rules(rules_intl, countof(rules_intl), &t, a, e);
    return fine && part_by_space(&t, a, out, e);
}

/* --- numbers for words, sorted n-grams --- */

static int word_order(const void *a, const void *b, void *context)
{
    const str *word = context;
    return str_order(word[*(const int32_t *)a], word[*(const int32_t *)b]);
}

bool overlap_number(const word_list *list, int32_t n_list, arena *a, int32_t **id, err *e)
{
    int64_t total = 0;
    for (int32_t k = 0; k < n_list; k++) total += list[k].n;
    assert(total <= INT32_MAX);
    str *word = arena_take(a, (size_t)total, sizeof *word, e);
    int32_t *order = arena_take(a, (size_t)total, sizeof *order, e);
    int32_t *number = arena_take(a, (size_t)total, sizeof *number, e);
    if (!word || !order || !number) return false;
    int64_t at = 0;
    for (int32_t k = 0; k < n_list; k++) {
        id[k] = number + at;
        for (int64_t i = 0; i < list[k].n; i++) word[at++] = list[k].word[i];
    }
    for (int64_t i = 0; i < total; i++) order[i] = (int32_t)i;
    if (total) qsort_r(order, (size_t)total, sizeof *order, word_order, word);
    int32_t next = -1;
    for (int64_t i = 0; i < total; i++) {
        if (i == 0 || !str_equal(word[order[i]], word[order[i - 1]])) next++;
        number[order[i]] = next;
    }
    return true;
}

static int compare_grams(const int32_t *a, const int32_t *b, int32_t order)
{
    for (int32_t k = 0; k < order; k++) {
        if (a[k] != b[k]) return a[k] < b[k] ? -1 : 1;
    }
    return 0;
}

static int gram_order(const void *a, const void *b, void *context)
{
    const gram_list *g = context;
    return compare_grams(g->id + *(const int32_t *)a, g->id + *(const int32_t *)b, g->order);
}

bool overlap_grams(const int32_t *id, int64_t n_id, int32_t order, arena *a, gram_list *out, err *e)
{
    assert(order >= 1 && n_id <= INT32_MAX);
    *out = (gram_list){.id = id, .order = order, .n = n_id >= order ? n_id - order + 1 : 0};
    out->start = arena_take(a, (size_t)out->n, sizeof *out->start, e);
    if (!out->start) return false;
    for (int64_t i = 0; i < out->n; i++) out->start[i] = (int32_t)i;
    if (out->n) qsort_r(out->start, (size_t)out->n, sizeof *out->start, gram_order, out);
    return true;
}

/* How often the run at `gram` stands in the list: two binary searches. */
static int64_t count_of(const gram_list *g, const int32_t *gram)
{
    int64_t edge[2];
    for (int side = 0; side < 2; side++) {
        int64_t low = 0, high = g->n;
        while (low < high) {
            int64_t mid = low + (high - low) / 2;
            int c = compare_grams(g->id + g->start[mid], gram, g->order);
            if (c < 0 || (side && c == 0)) low = mid + 1;
            else high = mid;
        }
        edge[side] = low;
    }
    return edge[1] - edge[0];
}

int64_t overlap_matches(const gram_list *a, const gram_list *b, int32_t n_b)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < a->n;) {
        const int32_t *gram = a->id + a->start[i];
        int64_t own = 1, most = 0;
        while (i + own < a->n && !compare_grams(a->id + a->start[i + own], gram, a->order)) own++;
        for (int32_t k = 0; k < n_b; k++) {
            int64_t there = count_of(&b[k], gram);
            most = there > most ? there : most;
        }
        sum += own < most ? own : most;
        i += own;
    }
    return sum;
}

typedef struct
    reader { /* a text's code points, runs of white space as one blank, none at the ends */
    str rest;
    bool begun, fold_case;
} reader;

static int32_t code_here(str s, size_t *size)
{
    utf8proc_int32_t code;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)s.data, (utf8proc_ssize_t)s.size, &code);
    *size = n > 0 ? (size_t)n : 1;
    return n > 0 ? code : 0xFFFD;
}

/* -1 at the end. */
static int32_t next_code(reader *r)
{
    size_t size = 0;
    int32_t code = -1;
    bool gap = false;
    while (r->rest.size && overlap_is_space(code = code_here(r->rest, &size))) {
        r->rest = str_part(r->rest, size, r->rest.size - size);
        gap = true;
    }
    if (r->rest.size == 0) return -1;
    if (gap && r->begun) return ' '; /* the character comes next time, without a gap before it */
    r->rest = str_part(r->rest, size, r->rest.size - size);
    r->begun = true;
    return r->fold_case ? utf8proc_tolower(code) : code;
}

bool overlap_exact(str reference, str generated, bool fold_case)
{
    reader a = {.rest = reference, .fold_case = fold_case};
    reader b = {.rest = generated, .fold_case = fold_case};
    int32_t code;
    do {
        code = next_code(&a);
        if (code != next_code(&b)) return false;
    } while (code >= 0);
    return true;
}
