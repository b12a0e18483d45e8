/* token_build: from what a source tells (vocabulary, merges or scores, steps, added tokens) to a
 * tokenizer that can encode: checks everything once, then makes the look-up tables.
 *
 *   by_text     every token by its stored text
 *   by_piece    tokens that plain text may become, by what the text must read
 *   merges      (left, right) -> rank, result; from the merge list, or from scores: each token of
 *               two or more characters can be made from any two others that spell it, and a higher
 *               score comes first (SentencePiece; rank files, where the score is minus the rank)
 *   trie        unigram pieces
 *   added_trie  tokens looked for before anything else
 *   WHOLE       words found here, once, to become exactly one token
 */
#include "text/token_work.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define META "\xE2\x96\x81" /* U+2581, SentencePiece's blank */

tokenizer *token_new(const char *path, int64_t n_token, arena *a, err *e)
{
    if (n_token < 1 || n_token > TOKEN_VOCAB_MAX) {
        err_set(e, ERR_MODEL, "%s: a vocabulary of %lld tokens; between 1 and %d are possible",
                path, (long long)n_token, TOKEN_VOCAB_MAX);
        return NULL;
    }
    tokenizer *t = arena_take_zero(a, 1, sizeof *t, e);
    if (!t) return NULL;
    size_t n = (size_t)n_token;
    t->path = str_keep(a, str_of(path), e).data;
    t->kind = "";
    t->n_token = (int32_t)n_token;
    t->bos = t->eos = t->unk = -1;
    t->text = arena_take_zero(a, n, sizeof *t->text, e);
    t->type = arena_take_zero(a, n, sizeof *t->type, e);
    t->mark = arena_take_zero(a, n, 1, e);
    if (!t->text || !t->type || !t->mark) return NULL;
    memset(t->type, TYPE_NORMAL, n);
    return t;
}

char *token_take_text(tokenizer *t, size_t size, arena *a, err *e)
{
    enum { BLOCK = 1 << 16 };
    if (size > BLOCK / 4) return arena_take(a, size, 1, e);
    if (size > t->room_left) {
        t->room = arena_take(a, BLOCK, 1, e);
        t->room_left = t->room ? BLOCK : 0;
    }
    if (!t->room) return NULL;
    char *taken = t->room;
    t->room += size;
    t->room_left -= size;
    return taken;
}

str token_keep(tokenizer *t, str s, arena *a, err *e)
{
    char *copy = token_take_text(t, s.size + 1, a, e);
    if (!copy) return (str){"", 0};
    if (s.size) memcpy(copy, s.data, s.size);
    copy[s.size] = 0;
    return (str){copy, s.size};
}

/* ---- what tokens stand for ---- */

static bool is_byte_text(str s, unsigned char *byte)
{
    if (s.size != 6 || memcmp(s.data, "<0x", 3) != 0 || s.data[5] != '>') return false;
    unsigned value = 0;
    for (int i = 3; i < 5; i++) {
        char c = s.data[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return false;
        value = value * 16 + (unsigned)digit;
    }
    *byte = (unsigned char)value;
    return true;
}

static str unmapped(tokenizer *t, str text, arena *a, err *e)
{
    char *out = token_take_text(t, text.size + 1, a, e);
    if (!out) return text;
    size_t n = 0;
    for (size_t i = 0; i < text.size;) {
        int byte = token_char_byte(utf8_next(text, &i));
        if (byte < 0) return text; /* stored as plain text */
        out[n++] = (char)byte;
    }
    return (str){out, n};
}

str token_unescaped(tokenizer *t, str text, arena *a, err *e)
{
    if (str_find(text, STR(META)) < 0) return text;
    char *out = token_take_text(t, text.size + 1, a, e);
    if (!out) return text;
    size_t n = 0;
    for (size_t i = 0; i < text.size;) {
        if (str_starts(str_part(text, i, text.size - i), META)) {
            out[n++] = ' ';
            i += sizeof META - 1;
        } else {
            out[n++] = text.data[i++];
        }
    }
    return (str){out, n};
}

static bool check_texts(const tokenizer *t, err *e)
{
    for (int32_t i = 0; i < t->n_token; i++) {
        if (t->text[i].size > TOKEN_BYTES_MAX)
            return err_set(e, ERR_MODEL, "%s: token %d is %zu bytes long; at most %d are possible",
                           t->path, i, t->text[i].size, TOKEN_BYTES_MAX);
        if (utf8_check(t->text[i]) >= 0)
            return err_set(e, ERR_MODEL, "%s: token %d is not valid UTF-8", t->path, i);
        if (t->type[i] < TYPE_NORMAL || t->type[i] > TYPE_BYTE)
            return err_set(e, ERR_MODEL, "%s: token %d has type %d; 1 to 6 are known", t->path, i,
                           t->type[i]);
        if (t->score && !isfinite(t->score[i]))
            return err_set(e, ERR_MODEL, "%s: the score of token %d is not a finite number",
                           t->path, i);
    }
    return true;
}

static bool check_id(const tokenizer *t, int32_t id, const char *what, err *e)
{
    if (id >= -1 && id < t->n_token) return true;
    return err_set(e, ERR_MODEL, "%s: the %s token is %d, outside the vocabulary of %d tokens",
                   t->path, what, id, t->n_token);
}

static bool lay_out_bytes(tokenizer *t, arena *a, err *e)
{
    t->bytes = arena_take(a, (size_t)t->n_token, sizeof *t->bytes, e);
    if (!t->bytes) return false;
    for (int i = 0; i < 256; i++) t->byte_id[i] = -1;
    for (int32_t i = 0; i < t->n_token; i++) {
        str text = t->text[i];
        unsigned char byte = 0;
        bool plain =
            t->type[i] == TYPE_CONTROL || t->type[i] == TYPE_USER || t->type[i] == TYPE_UNKNOWN;
        if (t->byte_level) {
            t->bytes[i] = plain ? text : unmapped(t, text, a, e);
            if (!plain && t->bytes[i].size == 1 && t->byte_id[(unsigned char)*t->bytes[i].data] < 0)
                t->byte_id[(unsigned char)*t->bytes[i].data] = i;
        } else if (t->type[i] == TYPE_BYTE || (t->byte_fallback && is_byte_text(text, &byte))) {
            if (!is_byte_text(text, &byte))
                return err_set(e, ERR_MODEL, "%s: byte token %d does not read <0x00> to <0xFF>",
                               t->path, i);
            t->bytes[i] = token_keep(t, (str){(const char *)&byte, 1}, a, e);
            t->type[i] = TYPE_BYTE;
            if (t->byte_id[byte] < 0) t->byte_id[byte] = i;
        } else {
            t->bytes[i] = token_unescaped(t, text, a, e);
        }
    }
    return e->code == ERR_NONE;
}

/* ---- pieces ---- */

static bool may_be_piece(const tokenizer *t, int32_t i)
{
    if (t->text[i].size == 0 || t->mark[i] & MARK_SPECIAL) return false;
    if (t->type[i] == TYPE_BYTE) return t->unigram && t->double_sum; /* as tokenizers has it */
    return t->type[i] == TYPE_NORMAL || (t->type[i] == TYPE_USER && !t->by_score && !t->byte_level);
}

/* Scores let pieces grow from characters that are no pieces themselves: those get numbers behind
 * the vocabulary. They are written out as bytes or unknown when they stay alone. */
static bool add_bare_characters(tokenizer *t, arena *a, err *e)
{
    buf bare = buf_up_to((size_t)TOKEN_VOCAB_MAX * sizeof(str));
    text_map seen;
    const int32_t most = t->n_token + 4096;
    bool good = text_map_open(&seen, most, a, e);
    for (int32_t i = 0; good && i < t->n_token; i++) {
        if (!(t->mark[i] & MARK_PIECE)) continue;
        for (size_t at = 0; good && at < t->text[i].size;) {
            str one =
                str_part(t->text[i], at, (size_t)utf8_size((unsigned char)t->text[i].data[at]));
            at += one.size;
            if (text_map_find(&t->by_piece, t->text, one) >= 0) continue;
            int32_t n = (int32_t)(bare.size / sizeof(str));
            if (n >= most) {
                good = err_set(e, ERR_MODEL, "%s: too many characters that are no tokens", t->path);
                break;
            }
            buf_add(&bare, &one, sizeof one);
            good = buf_check(&bare, "a tokenizer's characters", e);
            if (!good) break;
            const str *all = (const str *)(const void *)bare.data;
            if (text_map_find(&seen, all, one) >= 0) bare.size -= sizeof one;
            else text_map_add(&seen, all, n);
        }
    }
    size_t n_bare = bare.size / sizeof(str);
    if (good && n_bare > 0) {
        size_t n = (size_t)t->n_token + n_bare;
        str *wider = arena_take(a, n, sizeof *wider, e);
        uint8_t *mark = arena_take_zero(a, n, 1, e);
        good = wider && mark && text_map_open(&t->by_piece, (int64_t)n, a, e);
        if (good) {
            memcpy(wider, t->text, (size_t)t->n_token * sizeof *wider);
            memcpy(wider + t->n_token, bare.data, n_bare * sizeof *wider);
            memcpy(mark, t->mark, (size_t)t->n_token);
            t->text = wider;
            t->mark = mark;
            t->n_symbol = (int32_t)n;
            t->reads = wider;
            for (int32_t i = 0; i < t->n_symbol; i++)
                if (i >= t->n_token || mark[i] & MARK_PIECE) text_map_add(&t->by_piece, t->text, i);
        }
    }
    buf_close(&bare);
    return good;
}

static bool map_texts(tokenizer *t, arena *a, err *e)
{
    t->reads = t->byte_level ? t->bytes : t->text;
    t->n_symbol = t->n_token;
    if (!text_map_open(&t->by_text, t->n_token, a, e) ||
        !text_map_open(&t->by_piece, t->n_token, a, e))
        return false;
    for (int32_t i = 0; i < t->n_token; i++) {
        if (t->text[i].size > 0) text_map_add(&t->by_text, t->text, i);
        if (!may_be_piece(t, i)) continue;
        t->mark[i] |= MARK_PIECE;
        text_map_add(&t->by_piece, t->reads, i);
        if ((int32_t)t->reads[i].size > t->bytes_piece_max)
            t->bytes_piece_max = (int32_t)t->reads[i].size;
    }
    return true;
}

/* ---- merges ---- */

static bool merge_error(const tokenizer *t, int32_t n, const char *why, err *e)
{
    return err_set(e, ERR_MODEL, "%s: merge %d %s", t->path, n, why);
}

static bool merges_from_list(tokenizer *t, err *e)
{
    char joined[2 * TOKEN_BYTES_MAX];
    for (int32_t i = 0; i < t->n_merge; i++) {
        str left = t->merge[2 * i], right = t->merge[2 * i + 1];
        if (left.size == 0 || right.size == 0) return merge_error(t, i, "has an empty side", e);
        if (left.size > TOKEN_BYTES_MAX || right.size > TOKEN_BYTES_MAX)
            return merge_error(t, i, "is too long", e);
        int32_t l = text_map_find(&t->by_text, t->text, left);
        int32_t r = text_map_find(&t->by_text, t->text, right);
        if (l < 0 || r < 0)
            return merge_error(t, i,
                               l < 0 ? "joins a left side that is not in the vocabulary"
                                     : "joins a right side that is not in the vocabulary",
                               e);
        memcpy(joined, left.data, left.size);
        memcpy(joined + left.size, right.data, right.size);
        int32_t made = text_map_find(&t->by_text, t->text, (str){joined, left.size + right.size});
        if (made < 0) return merge_error(t, i, "makes a piece that is not in the vocabulary", e);
        if (!pair_map_add(&t->merges, pair_key(l, r), i, made))
            return err_set(e, ERR_RESOURCE, "%s: out of memory for %d merges", t->path, t->n_merge);
    }
    return true;
}

static int falling(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Ranks of the scores, 0 for the highest; equal scores share one. */
static int32_t *rank_scores(const tokenizer *t, arena *a, err *e)
{
    size_t n = (size_t)t->n_token;
    double *sorted = arena_take(a, n, sizeof *sorted, e);
    int32_t *rank = arena_take(a, n, sizeof *rank, e);
    if (!sorted || !rank) return NULL;
    memcpy(sorted, t->score, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, falling);
    size_t distinct = 0;
    for (size_t i = 0; i < n; i++)
        if (i == 0 || sorted[i] != sorted[distinct - 1]) sorted[distinct++] = sorted[i];
    for (size_t i = 0; i < n; i++) {
        const double *at = bsearch(&t->score[i], sorted, distinct, sizeof *sorted, falling);
        assert(at);
        rank[i] = (int32_t)(at - sorted);
    }
    return rank;
}

static bool merges_from_scores(tokenizer *t, arena *a, err *e)
{
    if (!t->byte_level && !add_bare_characters(t, a, e)) return false;
    int32_t *rank = rank_scores(t, a, e);
    if (!rank) return false;
    for (int32_t i = 0; i < t->n_token; i++) {
        if (!(t->mark[i] & MARK_PIECE)) continue;
        str whole = t->reads[i];
        if (text_map_find(&t->by_piece, t->reads, whole) != i)
            continue; /* an equal one came first */
        for (size_t at = 0; at < whole.size;) {
            at += t->byte_level ? 1 : (size_t)utf8_size((unsigned char)whole.data[at]);
            if (at >= whole.size) break;
            int32_t l = text_map_find(&t->by_piece, t->reads, str_part(whole, 0, at));
            if (l < 0) continue;
            int32_t r = text_map_find(&t->by_piece, t->reads, str_part(whole, at, whole.size - at));
            if (r < 0) continue;
            if (t->merges.n > TOKEN_MERGE_MAX)
                return err_set(e, ERR_MODEL, "%s: the vocabulary gives more than %d merges",
                               t->path, TOKEN_MERGE_MAX);
            if (!pair_map_add(&t->merges, pair_key(l, r), rank[i], i))
                return err_set(e, ERR_RESOURCE, "%s: out of memory for merges", t->path);
        }
    }
    return true;
}

static bool lay_out_unigram(tokenizer *t, err *e)
{
    if (!t->score) return err_set(e, ERR_MODEL, "%s: a unigram vocabulary without scores", t->path);
    int32_t n_node = 1;
    double least = 0, most = -1e30;
    bool any = false;
    for (int32_t i = 0; i < t->n_token; i++) {
        if (t->type[i] == TYPE_NORMAL) {
            least = any ? fmin(least, t->score[i]) : t->score[i];
            most = fmax(most, t->score[i]);
            any = true;
        }
        if (t->mark[i] & MARK_PIECE && !trie_add(&t->trie, &n_node, t->text[i], i))
            return err_set(e, ERR_RESOURCE, "%s: out of memory for a unigram vocabulary", t->path);
    }
    t->score_unk = least - 10.0; /* SentencePiece's penalty */
    t->score_max = any ? most : 0;
    return true;
}

/* ---- added tokens ---- */

/* Reads like a control token whatever its type says: in a text that is to be taken as plain it
 * must not act as one. <s> counts only where the vocabulary uses it as a control token (Gemma's
 * is HTML's). */
static bool looks_special(const tokenizer *t, str s)
{
    static const char *const names[] = {"<start_of_turn>", "<end_of_turn>", "<think>",
                                        "</think>",        "<tool_call>",   "</tool_call>",
                                        "[INST]",          "[/INST]",       "<<SYS>>",
                                        "<</SYS>>",        "[TOOL_CALLS]",  "<eos>",
                                        "<bos>",           "<pad>",         "<unk>"};
    if (str_starts(s, "<|") && str_ends(s, "|>")) return true;
    if (str_starts(s, "<\xEF\xBD\x9C") && str_ends(s, "\xEF\xBD\x9C>")) return true;
    for (size_t i = 0; i < countof(names); i++)
        if (str_is(s, names[i])) return true;
    if (!str_is(s, "<s>") && !str_is(s, "</s>")) return false;
    int32_t start = text_map_find(&t->by_text, t->text, STR("<s>"));
    return start >= 0 && t->mark[start] & MARK_SPECIAL;
}

/* Tokens marked `normalized` are looked for in the normalized text, by their own normalized
 * form. */
static bool lay_out_added(tokenizer *t, arena *a, err *e)
{
    token_work w;
    token_work_open(&w, t, NULL, e);
    int32_t n_node[2] = {1, 1};
    bool good = true;
    for (int32_t i = 0; good && i < t->n_added; i++) {
        token_added *x = &t->added[i];
        x->guard = x->special || x->id == t->bos || x->id == t->eos || looks_special(t, x->text);
        text_view v = {.text = x->text, .end = (int32_t)x->text.size, .leads = true, .side = -1};
        if (x->normalized && !x->as_is && !token_normalize(&w, &v)) good = false;
        if (!good || v.text.size == 0) continue;
        int which = x->normalized ? 1 : 0;
        if (x->normalized) x->text = str_keep(a, v.text, e);
        t->added_lead[which][(unsigned char)x->text.data[0]] = true;
        if (!trie_add(&t->added_trie[which], &n_node[which], x->text, i))
            good = err_set(e, ERR_RESOURCE, "%s: out of memory for added tokens", t->path);
    }
    token_work_close(&w);
    return good && e->code == ERR_NONE;
}

static bool check_added(tokenizer *t, err *e)
{
    for (int32_t i = 0; i < t->n_added; i++) {
        token_added *x = &t->added[i];
        if (x->id < 0 || x->id >= t->n_token)
            return err_set(e, ERR_MODEL,
                           "%s: an added token has id %d, outside the vocabulary of %d tokens",
                           t->path, x->id, t->n_token);
        if (x->text.size == 0 || x->text.size > TOKEN_BYTES_MAX || utf8_check(x->text) >= 0)
            return err_set(e, ERR_MODEL, "%s: added token %d has no usable text", t->path, x->id);
        if (x->special) t->mark[x->id] |= MARK_SPECIAL;
    }
    for (int32_t i = 0; i < t->n_token; i++)
        if (t->type[i] == TYPE_CONTROL || t->type[i] == TYPE_UNKNOWN) t->mark[i] |= MARK_SPECIAL;
    return true;
}

/* ---- short cuts ---- */

static void find_cuts(tokenizer *t)
{
    int32_t blank = text_map_find(&t->by_piece, t->text, STR(META));
    t->cuts = !t->byte_level && !t->unigram && blank >= 0 && blank < t->n_token;
    for (int32_t i = 0; t->cuts && i < t->n_token; i++) {
        if (!(t->mark[i] & MARK_PIECE)) continue;
        str s = t->text[i];
        for (size_t at = 1; at + sizeof META - 1 <= s.size; at++) {
            if (!memcmp(s.data + at, META, sizeof META - 1))
                t->no_cut[(unsigned char)s.data[at - 1]] = true;
        }
    }
}

static bool find_whole_words(tokenizer *t, err *e)
{
    token_list ids = {0};
    token_work w;
    token_work_open(&w, t, &ids, e);
    bool mapped = t->mapped, cuts = t->cuts, fallback = t->byte_fallback;
    int32_t unk = t->unk;
    t->mapped = t->cuts = false;
    if (unk < 0 && !fallback) t->unk = 0; /* anything: a word with an unknown part is not whole */
    for (int32_t i = 0; i < t->n_token && !w.failed; i++) {
        if (!(t->mark[i] & MARK_PIECE) || t->unigram) continue;
        if (text_map_find(&t->by_piece, t->reads, t->reads[i]) != i) continue;
        ids.n = 0;
        token_model_run(&w, t->reads[i]);
        if (ids.n == 1 && ids.id[0] == i && t->reads[i].size > 0) t->mark[i] |= MARK_WHOLE;
    }
    t->mapped = mapped;
    t->cuts = cuts;
    t->unk = unk;
    bool good = !w.failed;
    token_work_close(&w);
    token_list_close(&ids);
    return good;
}

static bool lay_out_characters(tokenizer *t, arena *a, err *e)
{
    if (t->byte_level) return true;
    t->char_id = arena_take(a, CHAR_TABLE, sizeof *t->char_id, e);
    if (!t->char_id) return false;
    for (int32_t i = 0; i < CHAR_TABLE; i++) t->char_id[i] = -1;
    for (int32_t i = t->n_symbol - 1; i >= 0; i--) { /* backwards: the first of equal ones stays */
        str s = t->text[i];
        bool piece = i >= t->n_token || t->mark[i] & MARK_PIECE;
        if (!piece || s.size > 3 || (size_t)utf8_size((unsigned char)s.data[0]) != s.size) continue;
        size_t at = 0;
        t->char_id[utf8_next(s, &at)] = i;
    }
    return true;
}

static bool is_mapped(const tokenizer *t)
{
    for (int32_t i = 0; i < t->n_pre; i++)
        if (t->pre[i].kind == STEP_BYTE_MAP) return true;
    return false;
}

bool token_build(tokenizer *t, arena *a, err *e)
{
    assert(t->n_token >= 1 && t->n_added >= 0);
    t->merges = pair_map_empty();
    t->trie = pair_map_empty();
    t->added_trie[0] = pair_map_empty();
    t->added_trie[1] = pair_map_empty();
    t->limits = pcre2_match_context_create(NULL);
    t->mapped = is_mapped(t);
    if (!t->limits) return err_set(e, ERR_RESOURCE, "out of memory for a tokenizer");
    bool good = check_texts(t, e) && check_id(t, t->bos, "BOS", e) &&
                check_id(t, t->eos, "EOS", e) && check_id(t, t->unk, "unknown", e) &&
                check_added(t, e) && lay_out_bytes(t, a, e) && map_texts(t, a, e);
    if (good && t->mapped && !t->byte_level)
        good = err_set(e, ERR_MODEL, "%s: a byte-level step in a tokenizer that is not byte-level",
                       t->path);
    if (good && t->unigram) good = lay_out_unigram(t, e);
    else if (good) good = t->by_score ? merges_from_scores(t, a, e) : merges_from_list(t, e);
    good = good && lay_out_characters(t, a, e) && lay_out_added(t, a, e);
    pair_map *maps[] = {&t->merges, &t->trie, &t->added_trie[0], &t->added_trie[1]};
    for (size_t i = 0; i < countof(maps); i++) {
        if (good) good = pair_map_settle(maps[i], a, e);
        else buf_close(&maps[i]->grow);
    }
    if (!good) return false;
    find_cuts(t);
    return find_whole_words(t, e);
}

/* ---- GGUF ---- */

static bool is_phi3(const tokenizer *t)
{
    int n = 0;
    for (int32_t i = 0; i < t->n_token; i++) {
        if (t->type[i] == TYPE_NORMAL) continue;
        n += str_is(t->text[i], "<|placeholder1|>") || str_is(t->text[i], "<|assistant|>") ||
             str_is(t->text[i], "<|end|>");
    }
    return n == 3;
}

/* GGUF does not say which tokens take the white space behind them; Phi-3's do. */
static bool takes_space(str s)
{
    return !str_is(s, "<unk>") && !str_is(s, "<s>") && !str_is(s, "<|endoftext|>");
}

static bool add_tokens_of_types(tokenizer *t, arena *a, err *e)
{
    bool phi3 = !t->byte_level && is_phi3(t);
    for (int pass = 0; pass < 2; pass++) {
        int32_t n = 0;
        for (int32_t i = 0; i < t->n_token; i++) {
            int type = t->type[i];
            if (type != TYPE_CONTROL && type != TYPE_USER && type != TYPE_UNKNOWN) continue;
            if (t->text[i].size == 0) continue;
            if (pass == 1)
                t->added[n] =
                    (token_added){.text = t->byte_level ? t->text[i]
                                                        : token_unescaped(t, t->text[i], a, e),
                                  .id = i,
                                  .special = type != TYPE_USER,
                                  .rstrip = phi3 && takes_space(t->text[i])};
            n++;
        }
        if (pass == 0 && !(t->added = arena_take(a, (size_t)n, sizeof *t->added, e))) return false;
        t->n_added = n;
    }
    return true;
}

bool token_add_blank_steps(tokenizer *t, step_scheme scheme, err *e)
{
    token_step lead = {.kind = STEP_PREPEND, .content = STR(" "), .scheme = scheme};
    token_step blank = {.kind = STEP_REPLACE, .pattern = STR(" "), .content = STR(META)};
    if (scheme != LEAD_NEVER && !token_step_add(t, false, lead, e)) return false;
    return token_step_add(t, false, blank, e);
}

static bool set_kind_of_source(tokenizer *t, const token_source *s, arena *a, err *e)
{
    const char *pre = s->pre && *s->pre ? s->pre : "default";
    if (!strcmp(s->model, "gpt2")) {
        t->byte_level = true;
        if (!token_pre_by_name(t, pre, e)) return false;
        buf kind = buf_up_to(200);
        buf_printf(&kind, "byte-level BPE, pre-tokenizer %s%s", pre,
                   s->pre && *s->pre ? "" : " (the file names none)");
        t->kind = str_keep(a, buf_view(&kind), e).data;
        buf_close(&kind);
        return true;
    }
    bool bpe = !strcmp(s->model, "llama");
    if (!bpe && strcmp(s->model, "t5") != 0)
        return err_set(
            e, ERR_MODEL,
            "%s: tokenizer.ggml.model: unknown tokenizer \"%.60s\" (known: llama, gpt2, t5)",
            t->path, s->model);
    if (!s->score) return err_set(e, ERR_MODEL, "%s: tokenizer.ggml.scores: missing", t->path);
    t->unigram = !bpe;
    t->by_score = bpe;
    t->fuse_unk = true;
    t->kind = bpe ? "SentencePiece BPE" : "SentencePiece unigram";
    t->adds_bos = bpe;
    t->adds_eos = !bpe;
    return token_add_blank_steps(t, s->add_space_prefix == 0 ? LEAD_NEVER : LEAD_ALWAYS, e);
}

static bool copy_source(tokenizer *t, const token_source *s, arena *a, err *e)
{
    if (s->score) t->score = arena_take(a, (size_t)s->n_token, sizeof *t->score, e);
    for (int32_t i = 0; i < s->n_token; i++) {
        t->text[i] = token_keep(t, s->token[i], a, e);
        if (t->score) t->score[i] = (double)s->score[i];
        if (!s->type || s->type[i] == 0) continue; /* 0: not stated */
        if (s->type[i] < TYPE_NORMAL || s->type[i] > TYPE_BYTE)
            return err_set(e, ERR_MODEL,
                           "%s: tokenizer.ggml.token_type: token %d has type %d; 1 to 6 are known",
                           t->path, i, s->type[i]);
        t->type[i] = (uint8_t)s->type[i];
        t->byte_fallback |= t->type[i] == TYPE_BYTE;
    }
    if (s->n_merge < 0 || s->n_merge > TOKEN_MERGE_MAX)
        return err_set(e, ERR_MODEL,
                       "%s: tokenizer.ggml.merges: %d merges; at most %d are possible", t->path,
                       s->n_merge, TOKEN_MERGE_MAX);
    if (!t->byte_level || e->code != ERR_NONE) return e->code == ERR_NONE;
    if (s->n_merge == 0)
        return err_set(e, ERR_MODEL, "%s: tokenizer.ggml.merges: missing", t->path);
    t->merge = arena_take(a, (size_t)s->n_merge, 2 * sizeof *t->merge, e);
    for (int32_t i = 0; t->merge && i < s->n_merge; i++) {
        str m = token_keep(t, s->merge[i], a, e);
        const char *blank = m.size > 2 ? memchr(m.data + 1, ' ', m.size - 2) : NULL;
        if (!blank) return merge_error(t, i, "is not two pieces with a blank between", e);
        size_t n = (size_t)(blank - m.data);
        t->merge[2 * i] = str_part(m, 0, n);
        t->merge[2 * i + 1] = str_part(m, n + 1, m.size - n - 1);
    }
    t->n_merge = s->n_merge;
    return e->code == ERR_NONE;
}

tokenizer *token_open_source(const token_source *s, const char *path, arena *a, err *e)
{
    assert(s && s->model && path);
    tokenizer *t = token_new(path, s->n_token, a, e);
    if (!t) return NULL;
    t->bos = s->bos;
    t->eos = s->eos;
    t->unk = s->unk;
    bool good =
        set_kind_of_source(t, s, a, e) && copy_source(t, s, a, e) && add_tokens_of_types(t, a, e);
    if (s->add_bos >= 0) t->adds_bos = s->add_bos;
    if (s->add_eos >= 0) t->adds_eos = s->add_eos;
    if (good && t->adds_bos && t->bos < 0) {
        if (s->add_bos == 1)
            good = err_set(e, ERR_MODEL,
                           "%s: tokenizer.ggml.add_bos_token is set, but there is no "
                           "tokenizer.ggml.bos_token_id",
                           path);
        else t->adds_bos = false;
    }
    if (good && t->adds_eos && t->eos < 0) t->adds_eos = false;
    if (good && token_build(t, a, e)) return t;
    token_close(t);
    return NULL;
}
