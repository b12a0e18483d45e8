/* token: the public door (see token.h): from a text to its added tokens and the stretches between,
 * each normalized, cut and given to the model; and everything that asks a tokenizer about itself.
 *
 * Added tokens are found leftmost first, the longest of those that start together. Those not marked
 * `normalized` are looked for in the text as given, the others in the normalized stretches between.
 */
#include "text/token_work.h"

#include "base/hash.h"

#include <assert.h>

enum { WORK_BUFFERS = 12 };

static void work_buffers(token_work *w, buf *all[WORK_BUFFERS])
{
    buf *list[WORK_BUFFERS] = {&w->text[0], &w->text[1], &w->text[2],  &w->text[3],
                               &w->from[0], &w->from[1], &w->piece[0], &w->piece[1],
                               &w->symbol,  &w->heap,    &w->lattice,  &w->raw};
    memcpy(all, list, sizeof list);
}

void token_work_open(token_work *w, const tokenizer *t, token_list *out, err *e)
{
    const size_t most = (size_t)1 << 36;
    *w = (token_work){.t = t, .out = out, .e = e};
    buf *all[WORK_BUFFERS];
    work_buffers(w, all);
    for (size_t i = 0; i < WORK_BUFFERS; i++) *all[i] = buf_up_to(most);
    w->match = pcre2_match_data_create(1, NULL);
    if (!w->match) {
        w->failed = true;
        err_set(e, ERR_RESOURCE, "out of memory for a tokenizer");
    }
}

void token_work_close(token_work *w)
{
    buf *all[WORK_BUFFERS];
    work_buffers(w, all);
    for (size_t i = 0; i < WORK_BUFFERS; i++) buf_close(all[i]);
    pcre2_match_data_free(w->match);
}

/* ---- added tokens ---- */

/* Does [from, to) of the input touch a plain range? */
static bool touches_plain(const token_options *o, int64_t from, int64_t to)
{
    int32_t low = 0, high = o->n_plain;
    while (low < high) { /* the first range that ends behind `from` */
        int32_t middle = low + (high - low) / 2;
        if (o->plain[middle].to > from) high = middle;
        else low = middle + 1;
    }
    return low < o->n_plain && o->plain[low].from < to;
}

static bool word_before(str s, size_t at)
{
    if (at == 0) return false;
    size_t last = at - 1;
    while (last > 0 && ((unsigned char)s.data[last] & 0xC0) == 0x80) last--;
    return utf8_is_word(utf8_next(s, &last));
}

static bool word_after(str s, size_t at) { return at < s.size && utf8_is_word(utf8_next(s, &at)); }

static int64_t origin_of(const text_view *v, size_t at)
{
    if (at >= v->text.size) return v->end;
    return v->from ? v->from[at] : v->start + (int64_t)at;
}

static bool may_match(const token_work *w, const text_view *v, const token_added *x, size_t at)
{
    size_t to = at + x->text.size;
    if (x->single_word && (word_before(v->text, at) || word_after(v->text, to))) return false;
    if (!x->guard) return true;
    if (!w->option.parse_special) return false;
    if (w->option.n_plain == 0) return true;
    int64_t from = origin_of(v, at), last = origin_of(v, to - 1), end = origin_of(v, to);
    return !touches_plain(&w->option, from, end > last ? end : last + 1);
}

typedef struct found {
    const token_added *token;
    size_t from, to; /* with the white space it takes */
} found;

static const token_added *longest_at(const token_work *w, const text_view *v, int which, size_t at)
{
    const tokenizer *t = w->t;
    const token_added *best = NULL;
    int32_t node = 0;
    for (size_t i = at; i < v->text.size; i++) {
        const pair_slot *edge =
            pair_map_find(&t->added_trie[which], pair_key(node, (unsigned char)v->text.data[i]));
        if (!edge) break;
        node = edge->rank;
        if (edge->id >= 0 && may_match(w, v, &t->added[edge->id], at)) best = &t->added[edge->id];
    }
    return best;
}

static bool find_added(const token_work *w, const text_view *v, int which, size_t from, found *f)
{
    for (size_t at = from; at < v->text.size; at++) {
        if (!w->t->added_lead[which][(unsigned char)v->text.data[at]]) continue;
        const token_added *x = longest_at(w, v, which, at);
        if (!x) continue;
        *f = (found){.token = x, .from = at, .to = at + x->text.size};
        while (x->lstrip && f->from > from) {
            size_t last = f->from - 1, end;
            while (last > from && ((unsigned char)v->text.data[last] & 0xC0) == 0x80) last--;
            end = last;
            if (!utf8_is_space(utf8_next(v->text, &end))) break;
            f->from = last;
        }
        while (x->rstrip && f->to < v->text.size) {
            size_t next = f->to;
            if (!utf8_is_space(utf8_next(v->text, &next))) break;
            f->to = next;
        }
        return true;
    }
    return false;
}

static text_view view_part(const text_view *v, size_t from, size_t to)
{
    text_view part = *v;
    part.text = str_part(v->text, from, to - from);
    part.start = (int32_t)origin_of(v, from);
    part.end = (int32_t)origin_of(v, to);
    if (v->from) part.from = v->from + from;
    return part;
}

/* A stretch between tokens found in the text as given. */
static void encode_stretch(token_work *w, text_view v)
{
    if (!token_normalize(w, &v)) return;
    size_t at = 0;
    found f;
    while (find_added(w, &v, 1, at, &f)) {
        text_view before = view_part(&v, at, f.from);
        token_split_run(w, before);
        token_put(w, f.token->id);
        at = f.to;
        if (w->failed) return;
    }
    token_split_run(w, view_part(&v, at, v.text.size));
}

static void encode_text(token_work *w, str text)
{
    text_view whole = {.text = text, .end = (int32_t)text.size, .leads = true, .side = -1};
    size_t at = 0;
    for (;;) {
        found f;
        bool any = find_added(w, &whole, 0, at, &f);
        size_t to = any ? f.from : text.size;
        if (to > at) {
            text_view v = view_part(&whole, at, to);
            v.leads = at == 0;
            encode_stretch(w, v);
        }
        if (!any || w->failed) return;
        token_put(w, f.token->id);
        at = f.to;
    }
}

void token_limit_ids(tokenizer *t, int32_t n_usable)
{
    assert(t && n_usable > 0);
    t->n_usable = n_usable;
}

bool token_encode(const tokenizer *t, str text, token_options o, token_list *out, err *e)
{
    assert(t && out && (o.n_plain == 0 || o.plain));
    if (text.size > TOKEN_TEXT_MAX)
        return err_set(e, ERR_DATA, "a text of %zu bytes; at most %d can be tokenized", text.size,
                       TOKEN_TEXT_MAX);
    int64_t bad = utf8_check(text);
    if (bad >= 0)
        return err_set(e, ERR_DATA, "a text is not valid UTF-8 at byte %lld", (long long)bad);
    for (int32_t i = 0; i < o.n_plain; i++) {
        assert(o.plain[i].from <= o.plain[i].to);
        assert(i == 0 || o.plain[i - 1].to <= o.plain[i].from);
    }
    token_work w;
    token_work_open(&w, t, out, e);
    w.option = o;
    w.tracks = o.n_plain > 0 && o.parse_special && t->added_trie[1].n > 0 && t->n_norm > 0;
    int64_t start = out->n;
    bool bos = o.add_bos && t->adds_bos, eos = o.add_eos && t->adds_eos;
    if (bos) token_put(&w, t->bos);
    if (!w.failed) encode_text(&w, text);
    if (bos && !w.failed && out->n > start + 1 && out->id[start + 1] == t->bos) { /* written out */
        memmove(out->id + start, out->id + start + 1,
                (size_t)(out->n - start - 1) * sizeof *out->id);
        out->n--;
    }
    if (eos && !w.failed && !(out->n > start && out->id[out->n - 1] == t->eos))
        token_put(&w, t->eos);
    for (int64_t i = start; t->n_usable > 0 && !w.failed && i < out->n; i++) {
        if (out->id[i] < t->n_usable) continue;
        w.failed = true;
        err_set(e, ERR_DATA,
                "a text holds the token %d, for which the model has no weights (%d rows)",
                out->id[i], t->n_usable);
    }
    if (w.failed) out->n = out->n < start ? out->n : start;
    token_work_close(&w);
    assert(!w.failed || e->code != ERR_NONE);
    return !w.failed;
}

void token_decode(const tokenizer *t, const int32_t *id, int64_t n, bool show_special, buf *out)
{
    for (int64_t i = 0; i < n; i++) {
        assert(id[i] >= 0 && id[i] < t->n_token);
        if (show_special || !(t->mark[id[i]] & MARK_SPECIAL)) buf_add_str(out, t->bytes[id[i]]);
    }
}

int32_t token_count(const tokenizer *t) { return t->n_token; }
int32_t token_bos(const tokenizer *t) { return t->bos; }
int32_t token_eos(const tokenizer *t) { return t->eos; }
bool token_adds_bos(const tokenizer *t) { return t->adds_bos; }
const char *token_kind(const tokenizer *t) { return t->kind; }

bool token_is_special(const tokenizer *t, int32_t id)
{
    assert(id >= 0 && id < t->n_token);
    return t->mark[id] & MARK_SPECIAL;
}

str token_text(const tokenizer *t, int32_t id)
{
    assert(id >= 0 && id < t->n_token);
    return t->text[id].data ? t->text[id] : STR("");
}

int32_t token_find(const tokenizer *t, str stored_text)
{
    return text_map_find(&t->by_text, t->text, stored_text);
}

/* ---- identity ---- */

static void hash_number(hash_state *h, int64_t n)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)n >> (8 * i));
    hash_add(h, bytes, sizeof bytes);
}

static void hash_steps(hash_state *h, const token_step *s, int32_t n)
{
    hash_number(h, n);
    for (int32_t i = 0; i < n; i++) {
        hash_number(h, s[i].kind);
        hash_number(h, s[i].behaviour * 64 + s[i].scheme * 16 + (int)s[i].form);
        hash_number(h, s[i].invert * 4 + s[i].left * 2 + s[i].right);
        hash_add_field(h, s[i].pattern);
        hash_add_field(h, s[i].content);
    }
}

void token_hash(const tokenizer *t, char hex[65])
{
    hash_state h;
    hash_start(&h);
    const int64_t flags[] = {t->byte_level,    t->unigram,       t->by_score, t->double_sum,
                             t->ignore_merges, t->byte_fallback, t->fuse_unk, t->adds_bos,
                             t->adds_eos,      t->bos,           t->eos,      t->unk,
                             t->n_token,       t->n_merge,       t->n_added};
    for (size_t i = 0; i < countof(flags); i++) hash_number(&h, flags[i]);
    for (int32_t i = 0; i < t->n_token; i++) {
        int64_t score = 0;
        if (t->score) memcpy(&score, &t->score[i], sizeof score);
        hash_add_field(&h, token_text(t, i));
        hash_number(&h, t->type[i]);
        hash_number(&h, score);
    }
    for (int32_t i = 0; i < 2 * t->n_merge; i++) hash_add_field(&h, t->merge[i]);
    for (int32_t i = 0; i < t->n_added; i++) {
        const token_added *x = &t->added[i];
        hash_add_field(&h, x->text);
        hash_number(&h, x->id);
        hash_number(&h, x->special + 2 * x->normalized + 4 * x->lstrip + 8 * x->rstrip +
                            16 * x->single_word + 32 * x->as_is);
    }
    hash_steps(&h, t->norm, t->n_norm);
    hash_steps(&h, t->pre, t->n_pre);
    memcpy(hex, hash_finish(&h).hex, 65);
}

void token_close(tokenizer *t)
{
    if (!t) return;
    for (int32_t i = 0; i < t->n_norm; i++) pcre2_code_free(t->norm[i].code);
    for (int32_t i = 0; i < t->n_pre; i++) pcre2_code_free(t->pre[i].code);
    pcre2_match_context_free(t->limits);
    t->n_norm = t->n_pre = 0;
    t->limits = NULL;
}
