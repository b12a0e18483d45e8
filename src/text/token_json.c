/* token_json: the reader of Hugging Face's tokenizer.json and of tokenizer_config.json beside it.
 *
 *   model           BPE (vocab object, merges) or Unigram (vocab list of [text, score])
 *   added_tokens    id, content, special, normalized, lstrip, rstrip, single_word
 *   normalizer      Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip
 *   pre_tokenizer   Sequence, Split, ByteLevel, Digits, Punctuation, Metaspace, Whitespace,
 *                   WhitespaceSplit
 *   post_processor  TemplateProcessing (what stands before and behind the text), Sequence,
 *                   ByteLevel
 *
 * What is not known is refused by name, never skipped: a tokenizer that is a little wrong gives
 * other ids. `truncation`, `padding` and `decoder` do not shape the ids of a text and are left
 * alone.
 */
#include "text/token_read.h"

#include "base/file.h"

#include <assert.h>

bool token_json_error(const tokenizer *t, const char *key, const char *why, err *e)
{
    return err_set(e, ERR_MODEL, "%s: %s: %s", t->path, key, why);
}

json_t *token_json_load(const char *path, size_t flags, err *e)
{
    file_map m;
    if (!file_map_open(&m, path, ERR_MODEL, e)) return NULL;
    json_t *root = NULL;
    json_error_t why = {0};
    if (m.size > TOKEN_FILE_MAX)
        err_set(e, ERR_MODEL, "%s: %zu bytes; a tokenizer file may have %d", path, m.size,
                TOKEN_FILE_MAX);
    else
        root = json_loadb((const char *)m.data, m.size,
                          JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | flags, &why);
    file_map_close(&m);
    if (root && !json_is_object(root)) {
        json_decref(root);
        root = NULL;
        err_set(e, ERR_MODEL, "%s: not a JSON object", path);
    }
    if (!root) err_set(e, ERR_MODEL, "%s: not JSON: line %d: %.80s", path, why.line, why.text);
    return root;
}

str token_json_str(const json_t *v)
{
    return json_is_string(v) ? (str){json_string_value(v), json_string_length(v)} : (str){NULL, 0};
}

static bool json_flag(const json_t *object, const char *key, bool absent)
{
    const json_t *v = json_object_get(object, key);
    return json_is_boolean(v) ? json_is_true(v) : absent;
}

static str kept(tokenizer *t, const json_t *v, arena *a, err *e)
{
    str s = token_json_str(v);
    return s.data ? token_keep(t, s, a, e) : s;
}

/* ---- vocabulary ---- */

/* The highest id of a vocabulary object, -1 when an id is no number from 0 to the limit. */
static int64_t highest_id(const json_t *vocab)
{
    int64_t most = -1;
    json_t *object = json_incref((json_t *)(uintptr_t)vocab);
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const json_t *id = json_object_iter_value(at);
        json_int_t n = json_is_integer(id) ? json_integer_value(id) : -1;
        if (n < 0 || n >= TOKEN_VOCAB_MAX) {
            most = -1;
            break;
        }
        if (n > most) most = n;
    }
    json_decref(object);
    return most;
}

int64_t token_json_highest(const json_t *vocab, const json_t *added)
{
    int64_t most = -1;
    size_t i, count = json_is_array(vocab) ? json_array_size(vocab) : json_object_size(vocab);
    const json_t *x;
    if (json_is_array(vocab)) most = (int64_t)count - 1;
    else if (count > 0 && (most = highest_id(vocab)) < 0) return -1;
    json_array_foreach(added, i, x)
    {
        const json_t *id = json_object_get(x, "id");
        json_int_t n = json_is_integer(id) ? json_integer_value(id) : -1;
        if (n < 0 || n >= TOKEN_VOCAB_MAX) return -1;
        if (n > most) most = n;
    }
    count += json_array_size(added);
    return most < 2 * (int64_t)count + TOKEN_HOLES_MAX ? most : -1;
}

bool token_json_set(tokenizer *t, int64_t id, str text, arena *a, err *e)
{
    assert(id >= 0 && id < t->n_token);
    if (t->text[id].data)
        return err_set(e, ERR_MODEL, "%s: id %lld is given to two tokens", t->path, (long long)id);
    if (text.size > TOKEN_BYTES_MAX)
        return err_set(e, ERR_MODEL, "%s: token %lld is %zu bytes long; at most %d are possible",
                       t->path, (long long)id, text.size, TOKEN_BYTES_MAX);
    t->text[id] = token_keep(t, text, a, e);
    return e->code == ERR_NONE;
}

bool token_json_vocab(tokenizer *t, const json_t *vocab, arena *a, err *e)
{
    json_t *object = json_incref((json_t *)(uintptr_t)vocab);
    bool good = true;
    for (void *at = json_object_iter(object); good && at; at = json_object_iter_next(object, at)) {
        str text = {json_object_iter_key(at), json_object_iter_key_len(at)};
        good = token_json_set(t, json_integer_value(json_object_iter_value(at)), text, a, e);
    }
    json_decref(object);
    return good;
}

static bool read_scored(tokenizer *t, const json_t *vocab, arena *a, err *e)
{
    t->score = arena_take_zero(a, (size_t)t->n_token, sizeof *t->score, e);
    if (!t->score) return false;
    size_t i;
    const json_t *x;
    json_array_foreach(vocab, i, x)
    {
        const json_t *text = json_array_get(x, 0), *score = json_array_get(x, 1);
        if (!json_is_string(text) || !json_is_number(score))
            return err_set(e, ERR_MODEL, "%s: model.vocab: entry %zu is not [text, score]", t->path,
                           i);
        if (!token_json_set(t, (int64_t)i, token_json_str(text), a, e)) return false;
        t->score[i] = json_number_value(score);
    }
    return true;
}

static bool split_merge(tokenizer *t, size_t i, const json_t *x, arena *a, err *e)
{
    str *pair = &t->merge[2 * i];
    if (json_is_array(x) && json_array_size(x) == 2) {
        pair[0] = kept(t, json_array_get(x, 0), a, e);
        pair[1] = kept(t, json_array_get(x, 1), a, e);
    } else if (json_is_string(x)) {
        str m = kept(t, x, a, e);
        const char *blank = m.data && m.size ? memchr(m.data, ' ', m.size) : NULL;
        if (blank) {
            size_t n = (size_t)(blank - m.data);
            pair[0] = str_part(m, 0, n);
            pair[1] = str_part(m, n + 1, m.size - n - 1);
        }
    }
    if (e->code == ERR_NONE && pair[0].size && pair[1].size) return true;
    return err_set(e, ERR_MODEL, "%s: model.merges: merge %zu is not two pieces", t->path, i);
}

static bool read_merges(tokenizer *t, const json_t *merges, arena *a, err *e)
{
    if (!json_is_array(merges)) return token_json_error(t, "model.merges", "not a list", e);
    size_t i, n = json_array_size(merges);
    if (n > TOKEN_MERGE_MAX) return token_json_error(t, "model.merges", "too many", e);
    t->merge = arena_take_zero(a, n, 2 * sizeof *t->merge, e);
    t->n_merge = (int32_t)n;
    const json_t *x;
    json_array_foreach(merges, i, x)
    {
        if (!t->merge || !split_merge(t, i, x, a, e)) return false;
    }
    return t->merge != NULL;
}

static bool empty_text(const json_t *v)
{
    return !v || json_is_null(v) || token_json_str(v).size == 0;
}

static bool read_bpe(tokenizer *t, const json_t *model, arena *a, err *e)
{
    if (!empty_text(json_object_get(model, "continuing_subword_prefix")))
        return token_json_error(t, "model.continuing_subword_prefix", "not supported", e);
    if (!empty_text(json_object_get(model, "end_of_word_suffix")))
        return token_json_error(t, "model.end_of_word_suffix", "not supported", e);
    if (json_number_value(json_object_get(model, "dropout")) != 0)
        return token_json_error(t, "model.dropout", "random merges are not supported", e);
    if (!token_json_vocab(t, json_object_get(model, "vocab"), a, e)) return false;
    t->fuse_unk = json_flag(model, "fuse_unk", false);
    t->byte_fallback = json_flag(model, "byte_fallback", false);
    t->ignore_merges = json_flag(model, "ignore_merges", false);
    str unk = token_json_str(json_object_get(model, "unk_token"));
    const json_t *id =
        json_object_getn(json_object_get(model, "vocab"), unk.data ? unk.data : "", unk.size);
    if (unk.size && !id) return token_json_error(t, "model.unk_token", "not in the vocabulary", e);
    if (id && unk.size) t->unk = (int32_t)json_integer_value(id);
    return read_merges(t, json_object_get(model, "merges"), a, e);
}

static bool read_unigram(tokenizer *t, const json_t *model, arena *a, err *e)
{
    t->unigram = t->double_sum = t->fuse_unk = true;
    t->byte_fallback = json_flag(model, "byte_fallback", false);
    const json_t *unk = json_object_get(model, "unk_id"), *vocab = json_object_get(model, "vocab");
    if (json_is_integer(unk)) {
        json_int_t id = json_integer_value(unk);
        if (id < 0 || id >= (json_int_t)json_array_size(vocab))
            return token_json_error(t, "model.unk_id", "outside the vocabulary", e);
        t->unk = (int32_t)id;
        t->type[id] = TYPE_UNKNOWN;
    }
    return read_scored(t, vocab, a, e);
}

/* ---- added tokens ---- */

bool token_json_added(tokenizer *t, const json_t *x, int64_t id, arena *a, err *e)
{
    str content = kept(t, json_object_get(x, "content"), a, e);
    if (!content.size)
        return err_set(e, ERR_MODEL, "%s: added_tokens: token %lld has no content", t->path,
                       (long long)id);
    if (t->mark[id] & MARK_ADDED && str_equal(t->text[id], content)) return true; /* known */
    if (t->mark[id] & MARK_ADDED)
        return err_set(e, ERR_MODEL, "%s: added_tokens: id %lld is given to two tokens", t->path,
                       (long long)id);
    t->mark[id] |= MARK_ADDED;
    if (!t->text[id].data) t->text[id] = content;
    else if (!str_equal(t->text[id], content))
        return err_set(e, ERR_MODEL, "%s: added_tokens: id %lld has another text in the vocabulary",
                       t->path, (long long)id);
    bool special = json_flag(x, "special", false);
    if (t->type[id] == TYPE_NORMAL) t->type[id] = special ? TYPE_CONTROL : TYPE_USER;
    t->added[t->n_added++] = (token_added){.text = content,
                                           .id = (int32_t)id,
                                           .special = special,
                                           .normalized = json_flag(x, "normalized", !special),
                                           .lstrip = json_flag(x, "lstrip", false),
                                           .rstrip = json_flag(x, "rstrip", false),
                                           .single_word = json_flag(x, "single_word", false)};
    return e->code == ERR_NONE;
}

static bool read_added(tokenizer *t, const json_t *added, const json_t *more, arena *a, err *e)
{
    size_t i, n = json_array_size(added) + json_object_size(more);
    const json_t *x;
    t->added = arena_take_zero(a, n, sizeof *t->added, e);
    if (!t->added) return false;
    json_array_foreach(added, i, x)
    {
        if (!token_json_added(t, x, json_integer_value(json_object_get(x, "id")), a, e))
            return false;
    }
    return token_json_added_decoder(t, more, a, e);
}

int64_t token_json_highest_decoder(const json_t *decoder)
{
    int64_t most = -1, id;
    json_t *object = json_incref((json_t *)(uintptr_t)decoder);
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        if (str_to_int(str_of(json_object_iter_key(at)), &id) && id < TOKEN_VOCAB_MAX && id > most)
            most = id;
    }
    json_decref(object);
    return most;
}

bool token_json_added_decoder(tokenizer *t, const json_t *decoder, arena *a, err *e)
{
    json_t *object = json_incref((json_t *)(uintptr_t)decoder);
    bool good = true;
    for (void *at = json_object_iter(object); good && at; at = json_object_iter_next(object, at)) {
        int64_t id = -1;
        if (!str_to_int(str_of(json_object_iter_key(at)), &id) || id < 0 || id >= t->n_token)
            good = err_set(
                e, ERR_MODEL,
                "%s: added_tokens_decoder: \"%.20s\" is not an id of the vocabulary (%d tokens)",
                t->path, json_object_iter_key(at), t->n_token);
        else good = token_json_added(t, json_object_iter_value(at), id, a, e);
    }
    json_decref(object);
    return good;
}

/* ---- normalizer and pre-tokenizer ---- */

static str type_of(const json_t *x) { return token_json_str(json_object_get(x, "type")); }

static bool refuse(const tokenizer *t, const char *key, const json_t *x, err *e)
{
    str type = type_of(x);
    return err_set(e, ERR_MODEL, "%s: %s: \"%.*s\" is not supported", t->path, key,
                   type.size > 60 ? 60 : (int)type.size, type.data ? type.data : "");
}

/* A pattern is {"String": literal} or {"Regex": expression}. */
static bool read_pattern(tokenizer *t, const json_t *x, token_step *s, bool *regex, arena *a,
                         err *e)
{
    const json_t *pattern = json_object_get(x, "pattern");
    const json_t *literal = json_is_string(pattern) ? pattern : json_object_get(pattern, "String");
    *regex = !json_is_string(literal);
    s->pattern = kept(t, *regex ? json_object_get(pattern, "Regex") : literal, a, e);
    if (s->pattern.size > 0 && s->pattern.size <= TOKEN_PATTERN_MAX) return true;
    return token_json_error(t, "pattern", "neither a String nor a Regex of 1 to 20,000 bytes", e);
}

static bool read_replace(tokenizer *t, const json_t *x, arena *a, err *e)
{
    bool regex = false;
    token_step s = {0};
    if (!read_pattern(t, x, &s, &regex, a, e)) return false;
    s.kind = regex ? STEP_REPLACE_MATCH : STEP_REPLACE;
    s.content = kept(t, json_object_get(x, "content"), a, e);
    if (!s.content.data) return token_json_error(t, "normalizer", "Replace without content", e);
    return token_step_add(t, false, s, e);
}

static bool read_normalizer(tokenizer *t, const json_t *x, int depth, arena *a, err *e)
{
    static const struct {
        const char *name;
        utf8_form form;
    } forms[] = {{"NFC", UTF8_NFC}, {"NFD", UTF8_NFD}, {"NFKC", UTF8_NFKC}, {"NFKD", UTF8_NFKD}};
    if (!x || json_is_null(x)) return true;
    str type = type_of(x);
    if (str_is(type, "Sequence") && depth < 8) {
        size_t i;
        const json_t *one;
        json_array_foreach(json_object_get(x, "normalizers"), i, one)
        {
            if (!read_normalizer(t, one, depth + 1, a, e)) return false;
        }
        return true;
    }
    for (size_t i = 0; i < countof(forms); i++) {
        if (str_is(type, forms[i].name))
            return token_step_add(t, false, (token_step){.kind = STEP_FORM, .form = forms[i].form},
                                  e);
    }
    if (str_is(type, "Replace")) return read_replace(t, x, a, e);
    if (str_is(type, "Lowercase"))
        return token_step_add(t, false, (token_step){.kind = STEP_LOWER}, e);
    if (str_is(type, "Prepend")) {
        token_step s = {.kind = STEP_PREPEND,
                        .scheme = LEAD_ALWAYS,
                        .content = kept(t, json_object_get(x, "prepend"), a, e)};
        return s.content.data ? token_step_add(t, false, s, e) : refuse(t, "normalizer", x, e);
    }
    if (str_is(type, "Strip")) {
        token_step s = {.kind = STEP_STRIP,
                        .left = json_flag(x, "strip_left", true),
                        .right = json_flag(x, "strip_right", true)};
        return token_step_add(t, false, s, e);
    }
    return refuse(t, "normalizer", x, e);
}

static bool read_behaviour(const tokenizer *t, const json_t *x, step_behaviour *out, err *e)
{
    static const char *const names[] = {[SPLIT_ISOLATED] = "Isolated",
                                        [SPLIT_REMOVED] = "Removed",
                                        [SPLIT_CONTIGUOUS] = "Contiguous",
                                        [SPLIT_PREVIOUS] = "MergedWithPrevious",
                                        [SPLIT_NEXT] = "MergedWithNext"};
    const json_t *behaviour = json_object_get(x, "behavior");
    *out = SPLIT_ISOLATED;
    if (!behaviour) return true;
    for (size_t i = 0; i < countof(names); i++) {
        if (!str_is(token_json_str(behaviour), names[i])) continue;
        *out = (step_behaviour)i;
        return true;
    }
    return token_json_error(t, "pre_tokenizer", "unknown behavior of a split", e);
}

/* A literal as an expression: every character that is not a letter, digit or beyond ASCII is
 * escaped. */
static str escaped(str literal, arena *a, err *e)
{
    char *out = arena_take(a, 2 * literal.size + 1, 1, e);
    if (!out) return literal;
    size_t n = 0;
    for (size_t i = 0; i < literal.size; i++) {
        unsigned char c = (unsigned char)literal.data[i];
        bool word = c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!word) out[n++] = '\\';
        out[n++] = (char)c;
    }
    return (str){out, n};
}

static bool read_split(tokenizer *t, const json_t *x, arena *a, err *e)
{
    bool regex = false;
    token_step s = {.kind = STEP_SPLIT, .invert = json_flag(x, "invert", false)};
    if (!read_pattern(t, x, &s, &regex, a, e) || !read_behaviour(t, x, &s.behaviour, e))
        return false;
    if (!regex) s.pattern = escaped(s.pattern, a, e);
    return token_step_add(t, true, s, e);
}

static bool read_metaspace(tokenizer *t, const json_t *x, arena *a, err *e)
{
    str mark = kept(t, json_object_get(x, "replacement"), a, e);
    if (!str_is(mark, "\xE2\x96\x81"))
        return token_json_error(t, "pre_tokenizer", "Metaspace with another mark than U+2581", e);
    token_step s = {.kind = STEP_META, .content = mark, .scheme = LEAD_ALWAYS};
    str scheme = token_json_str(json_object_get(x, "prepend_scheme"));
    if (str_is(scheme, "first")) s.scheme = LEAD_FIRST;
    else if (str_is(scheme, "never")) s.scheme = LEAD_NEVER;
    else if (scheme.size && !str_is(scheme, "always"))
        return token_json_error(t, "pre_tokenizer", "unknown prepend_scheme of Metaspace", e);
    if (!json_flag(x, "add_prefix_space", true)) s.scheme = LEAD_NEVER;
    if (!token_step_add(t, true, s, e)) return false;
    return !json_flag(x, "split", true) || token_step_expression(t, "\xE2\x96\x81", SPLIT_NEXT, e);
}

static bool read_byte_level(tokenizer *t, const json_t *x, err *e)
{
    t->byte_level = true;
    if (json_flag(x, "add_prefix_space", true) &&
        !token_step_add(t, true, (token_step){.kind = STEP_BYTE_LEAD}, e))
        return false;
    if (json_flag(x, "use_regex", true) &&
        !token_step_expression(t, token_gpt2_expression, SPLIT_ISOLATED, e))
        return false;
    return token_step_add(t, true, (token_step){.kind = STEP_BYTE_MAP}, e);
}

static bool read_pre_tokenizer(tokenizer *t, const json_t *x, int depth, arena *a, err *e)
{
    if (!x || json_is_null(x)) return true;
    str type = type_of(x);
    if (str_is(type, "Sequence") && depth < 8) {
        size_t i;
        const json_t *one;
        json_array_foreach(json_object_get(x, "pretokenizers"), i, one)
        {
            if (!read_pre_tokenizer(t, one, depth + 1, a, e)) return false;
        }
        return true;
    }
    if (str_is(type, "Split")) return read_split(t, x, a, e);
    if (str_is(type, "ByteLevel")) return read_byte_level(t, x, e);
    if (str_is(type, "Metaspace")) return read_metaspace(t, x, a, e);
    if (str_is(type, "Digits"))
        return token_step_expression(t,
                                     json_flag(x, "individual_digits", false) ? "\\p{N}"
                                                                              : "\\p{N}+",
                                     SPLIT_ISOLATED, e);
    if (str_is(type, "Punctuation")) {
        step_behaviour behaviour;
        return read_behaviour(t, x, &behaviour, e) &&
               token_step_expression(t, "[\\p{P}$+<=>^`|~]", behaviour, e);
    }
    if (str_is(type, "Whitespace"))
        return token_step_expression(t, "\\s", SPLIT_REMOVED, e) &&
               token_step_expression(t, "\\w+|[^\\w\\s]+", SPLIT_ISOLATED, e);
    if (str_is(type, "WhitespaceSplit")) return token_step_expression(t, "\\s", SPLIT_REMOVED, e);
    return refuse(t, "pre_tokenizer", x, e);
}

/* ---- what stands before and behind a text ---- */

static int32_t id_of_special(const tokenizer *t, const json_t *processor, const json_t *item)
{
    const json_t *name = json_object_get(json_object_get(item, "SpecialToken"), "id");
    if (!json_is_string(name)) return -1;
    const json_t *special =
        json_object_get(json_object_get(processor, "special_tokens"), json_string_value(name));
    const json_t *ids = json_object_get(special, "ids");
    const json_t *id = json_array_get(ids, 0);
    json_int_t n = json_array_size(ids) == 1 && json_is_integer(id) ? json_integer_value(id) : -1;
    return n >= 0 && n < t->n_token ? (int32_t)n : -1;
}

/* TemplateProcessing: at most one token before the text (BOS) and one behind it (EOS). */
static bool read_template(tokenizer *t, const json_t *x, err *e)
{
    bool behind = false;
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(x, "single"), i, item)
    {
        if (json_object_get(item, "Sequence")) {
            behind = true;
            continue;
        }
        int32_t id = id_of_special(t, x, item);
        bool *adds = behind ? &t->adds_eos : &t->adds_bos;
        if (id < 0 || *adds)
            return token_json_error(
                t, "post_processor",
                "TemplateProcessing with other than one known token before and one behind "
                "the text",
                e);
        *adds = true;
        *(behind ? &t->eos : &t->bos) = id;
    }
    return true;
}

static bool read_post_processor(tokenizer *t, const json_t *x, int depth, err *e)
{
    if (!x || json_is_null(x)) return true;
    str type = type_of(x);
    if (str_is(type, "ByteLevel")) return true;
    if (str_is(type, "TemplateProcessing")) return read_template(t, x, e);
    if (!str_is(type, "Sequence") || depth >= 8) return refuse(t, "post_processor", x, e);
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(x, "processors"), i, one)
    {
        if (!read_post_processor(t, one, depth + 1, e)) return false;
    }
    return true;
}

static int32_t id_of_text(const tokenizer *t, str text)
{
    for (int32_t i = 0; i < t->n_token; i++)
        if (t->text[i].data && str_equal(t->text[i], text)) return i;
    return -1;
}

/* "bos_token": "<s>" or {"content": "<s>"} or null. */
static bool apply_token(tokenizer *t, const json_t *config, const char *key, int32_t *id, err *e)
{
    const json_t *v = json_object_get(config, key);
    str text = token_json_str(json_is_object(v) ? json_object_get(v, "content") : v);
    if (!text.size) return true;
    *id = id_of_text(t, text);
    return *id >= 0 ||
           token_json_error(t, key, "of tokenizer_config.json is not in the vocabulary", e);
}

bool token_apply_config(tokenizer *t, const json_t *config, err *e)
{
    if (!config) return true;
    if (!t->adds_bos && !apply_token(t, config, "bos_token", &t->bos, e)) return false;
    if (!t->adds_eos && !apply_token(t, config, "eos_token", &t->eos, e)) return false;
    t->adds_bos = json_flag(config, "add_bos_token", t->adds_bos);
    t->adds_eos = json_flag(config, "add_eos_token", t->adds_eos);
    if (t->adds_bos && t->bos < 0)
        return token_json_error(t, "add_bos_token", "set, but there is no bos_token", e);
    if (t->adds_eos && t->eos < 0)
        return token_json_error(t, "add_eos_token", "set, but there is no eos_token", e);
    return true;
}

/* ---- the whole ---- */

static bool is_bpe(const json_t *model)
{
    str type = type_of(model);
    return type.size ? str_is(type, "BPE") : json_is_object(json_object_get(model, "vocab"));
}

static bool is_unigram(const json_t *model)
{
    str type = type_of(model);
    return type.size ? str_is(type, "Unigram") : json_is_array(json_object_get(model, "vocab"));
}

/* The last step maps bytes to characters for nobody: the model reads bytes. */
static void drop_last_map(tokenizer *t)
{
    int maps = 0;
    for (int32_t i = 0; i < t->n_pre; i++) maps += t->pre[i].kind == STEP_BYTE_MAP;
    if (maps == 1 && t->pre[t->n_pre - 1].kind == STEP_BYTE_MAP) t->n_pre--;
}

static bool read_parts(tokenizer *t, const json_t *root, const json_t *config, arena *a, err *e)
{
    const json_t *model = json_object_get(root, "model");
    bool good = is_bpe(model) ? read_bpe(t, model, a, e) : read_unigram(t, model, a, e);
    good = good && read_normalizer(t, json_object_get(root, "normalizer"), 0, a, e) &&
           read_pre_tokenizer(t, json_object_get(root, "pre_tokenizer"), 0, a, e) &&
           read_added(t, json_object_get(root, "added_tokens"),
                      json_object_get(config, "added_tokens_decoder"), a, e) &&
           read_post_processor(t, json_object_get(root, "post_processor"), 0, e);
    if (!good) return false;
    if (t->unigram && t->byte_level)
        return token_json_error(t, "pre_tokenizer", "ByteLevel before a Unigram model", e);
    int maps = 0;
    for (int32_t i = 0; i < t->n_pre; i++) maps += t->pre[i].kind == STEP_BYTE_MAP;
    if (maps > 1) return token_json_error(t, "pre_tokenizer", "more than one ByteLevel", e);
    drop_last_map(t);
    t->kind = t->unigram         ? "unigram (tokenizer.json)"
              : t->byte_level    ? "byte-level BPE (tokenizer.json)"
              : t->byte_fallback ? "SentencePiece BPE (tokenizer.json)"
                                 : "BPE of characters (tokenizer.json)";
    return true;
}

/* `config` is tokenizer_config.json's root, or NULL. */
tokenizer *token_read_json(const json_t *root, const json_t *config, const char *path, arena *a,
                           err *e)
{
    const json_t *model = json_object_get(root, "model");
    const json_t *vocab = json_object_get(model, "vocab");
    bool bpe = is_bpe(model);
    if (!bpe && !is_unigram(model)) {
        str type = type_of(model);
        err_set(e, ERR_MODEL, "%s: model.type: \"%.*s\" is not supported (known: BPE, Unigram)",
                path, type.size > 60 ? 60 : (int)type.size, type.data ? type.data : "");
        return NULL;
    }
    if (bpe ? !json_is_object(vocab) : !json_is_array(vocab)) {
        err_set(e, ERR_MODEL, "%s: model.vocab: missing or of the wrong kind", path);
        return NULL;
    }
    int64_t most = token_json_highest(vocab, json_object_get(root, "added_tokens"));
    if (most < 0) {
        err_set(e, ERR_MODEL,
                "%s: an id is not a number from 0 to %d or far beyond the tokens there are, or "
                "there are none",
                path, TOKEN_VOCAB_MAX - 1);
        return NULL;
    }
    int64_t beside = token_json_highest_decoder(json_object_get(config, "added_tokens_decoder"));
    tokenizer *t = token_new(path, (beside > most ? beside : most) + 1, a, e);
    if (!t) return NULL;
    if (read_parts(t, root, config, a, e) && token_apply_config(t, config, e) &&
        token_build(t, a, e))
        return t;
    token_close(t);
    return NULL;
}
