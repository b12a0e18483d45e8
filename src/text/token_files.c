/* token_files: the tokenizer of a Hugging Face folder. Looked for in this order:
 *
 *   tokenizer.json                        everything (token_json.c)
 *   tokenizer.model                       SentencePiece's protobuf, or Llama 3's ranks:
 *                                         lines "BASE64 RANK"
 *   vocab.json + merges.txt               byte-level BPE; tokenizer_class says which expression
 *
 * and beside each tokenizer_config.json, special_tokens_map.json, config.json (bos_token_id,
 * eos_token_id).
 *
 * SentencePiece's ModelProto, the fields read here (sentencepiece_model.proto):
 *
 *   1  pieces           LEN, repeated: 1 text LEN, 2 score I32, 3 type VARINT
 *   2  trainer_spec     LEN: 3 model_type (1 unigram, 2 BPE), 24 treat_whitespace_as_suffix,
 *                       35 byte_fallback, 40 unk_id, 41 bos_id, 42 eos_id
 *   3  normalizer_spec  LEN: 2 precompiled_charsmap LEN, 3 add_dummy_prefix,
 *                       4 remove_extra_whitespaces, 5 escape_whitespaces
 *
 * Lengths are checked against the bytes that remain. Refused: other model types, a precompiled map
 * of characters, white space as suffix, groups.
 */
#include "text/token_read.h"

#include "base/file.h"

#include <assert.h>
#include <math.h>
#include <sodium.h>

/* ---- protobuf ---- */

typedef struct cursor {
    const unsigned char *at, *end;
    bool broken;
} cursor;

typedef struct field {
    uint32_t number;
    int wire;      /* 0 VARINT, 1 I64, 2 LEN, 5 I32 */
    uint64_t bits; /* VARINT, I64, I32 */
    str bytes;     /* LEN */
} field;

static uint64_t read_varint(cursor *c)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (c->at == c->end) break;
        unsigned char byte = *c->at++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return value;
    }
    c->broken = true;
    return 0;
}

static uint64_t read_fixed(cursor *c, size_t size)
{
    if ((size_t)(c->end - c->at) < size) {
        c->broken = true;
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value |= (uint64_t)c->at[i] << (8 * i);
    c->at += size;
    return value;
}

/* The next field; false at the end or when broken. */
static bool next_field(cursor *c, field *f)
{
    if (c->broken || c->at == c->end) return false;
    uint64_t tag = read_varint(c);
    *f = (field){.number = (uint32_t)(tag >> 3), .wire = (int)(tag & 7)};
    switch (f->wire) {
    case 0: f->bits = read_varint(c); break;
    case 1: f->bits = read_fixed(c, 8); break;
    case 5: f->bits = read_fixed(c, 4); break;
    case 2: {
        uint64_t size = read_varint(c);
        if (c->broken || size > (uint64_t)(c->end - c->at)) {
            c->broken = true;
            break;
        }
        f->bytes = (str){(const char *)c->at, (size_t)size};
        c->at += size;
        break;
    }
    default: c->broken = true;
    }
    return !c->broken;
}

static cursor cursor_over(str s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    return (cursor){.at = p, .end = p + s.size};
}

typedef struct proto_spec {
    int64_t model_type, unk, bos, eos;
    bool suffix, byte_fallback, charsmap, dummy_prefix, squeeze, escape;
} proto_spec;

static void read_trainer(str bytes, proto_spec *s, bool *broken)
{
    cursor c = cursor_over(bytes);
    field f;
    while (next_field(&c, &f)) {
        switch (f.number) {
        case 3: s->model_type = (int64_t)f.bits; break;
        case 24: s->suffix = f.bits != 0; break;
        case 35: s->byte_fallback = f.bits != 0; break;
        case 40: s->unk = (int32_t)f.bits; break;
        case 41: s->bos = (int32_t)f.bits; break;
        case 42: s->eos = (int32_t)f.bits; break;
        default: break; /* how it was trained */
        }
    }
    *broken |= c.broken;
}

static void read_normalizer(str bytes, proto_spec *s, bool *broken)
{
    cursor c = cursor_over(bytes);
    field f;
    while (next_field(&c, &f)) {
        switch (f.number) {
        case 2: s->charsmap = f.bytes.size > 0; break;
        case 3: s->dummy_prefix = f.bits != 0; break;
        case 4: s->squeeze = f.bits != 0; break;
        case 5: s->escape = f.bits != 0; break;
        default: break;
        }
    }
    *broken |= c.broken;
}

static bool read_piece(tokenizer *t, int32_t id, str bytes, arena *a, err *e)
{
    cursor c = cursor_over(bytes);
    field f;
    str text = {0};
    float score = 0;
    uint64_t type = TYPE_NORMAL;
    while (next_field(&c, &f)) {
        if (f.number == 1 && f.wire == 2) text = f.bytes;
        if (f.number == 2 && f.wire == 5) {
            uint32_t bits = (uint32_t)f.bits;
            memcpy(&score, &bits, sizeof score);
        }
        if (f.number == 3 && f.wire == 0) type = f.bits;
    }
    if (c.broken) return err_set(e, ERR_MODEL, "%s: piece %d is broken off", t->path, id);
    if (text.size == 0 || text.size > TOKEN_BYTES_MAX)
        return err_set(e, ERR_MODEL, "%s: piece %d has a text of %zu bytes", t->path, id,
                       text.size);
    if (type < TYPE_NORMAL || type > TYPE_BYTE)
        return err_set(e, ERR_MODEL, "%s: piece %d has type %llu; 1 to 6 are known", t->path, id,
                       (unsigned long long)type);
    t->text[id] = token_keep(t, text, a, e);
    t->score[id] = (double)score;
    t->type[id] = (uint8_t)type;
    return e->code == ERR_NONE;
}

static bool check_spec(const tokenizer *t, const proto_spec *s, err *e)
{
    if (s->model_type != 1 && s->model_type != 2)
        return err_set(e, ERR_MODEL,
                       "%s: SentencePiece model type %lld is not supported (known: 1 unigram, 2 "
                       "BPE)",
                       t->path, (long long)s->model_type);
    if (s->charsmap)
        return err_set(e, ERR_MODEL,
                       "%s: SentencePiece's precompiled map of characters is not supported; use a "
                       "model whose normalizer is \"identity\"",
                       t->path);
    if (s->suffix)
        return err_set(e, ERR_MODEL, "%s: SentencePiece's white space as suffix is not supported",
                       t->path);
    if (!s->escape)
        return err_set(e, ERR_MODEL,
                       "%s: SentencePiece without escaped white space is not supported", t->path);
    return true;
}

static int32_t control_id(const tokenizer *t, int64_t id)
{
    return id >= 0 && id < t->n_token && t->type[id] == TYPE_CONTROL ? (int32_t)id : -1;
}

/* Tokens looked for before anything else: user-defined pieces (in the normalized text, as
 * SentencePiece does; in a unigram lattice they are pieces that always win), the
 * configuration's, control pieces. */
static bool add_proto_tokens(tokenizer *t, int32_t n_piece, const json_t *decoder, arena *a, err *e)
{
    size_t n = (size_t)n_piece + json_object_size(decoder);
    t->added = arena_take_zero(a, n, sizeof *t->added, e);
    if (!t->added) return false;
    for (int32_t i = 0; i < n_piece; i++) {
        if (t->type[i] != TYPE_USER) continue;
        t->mark[i] |= MARK_ADDED;
        if (!t->unigram)
            t->added[t->n_added++] =
                (token_added){.text = t->text[i], .id = i, .normalized = true, .as_is = true};
    }
    if (!token_json_added_decoder(t, decoder, a, e)) return false;
    for (int32_t i = 0; i < n_piece; i++) {
        bool control = t->type[i] == TYPE_CONTROL || t->type[i] == TYPE_UNKNOWN;
        if (!control || t->mark[i] & MARK_ADDED) continue;
        t->mark[i] |= MARK_ADDED;
        t->added[t->n_added++] = (token_added){.text = t->text[i], .id = i, .special = true};
    }
    return e->code == ERR_NONE;
}

static bool read_pieces(tokenizer *t, str bytes, proto_spec *s, arena *a, err *e)
{
    cursor c = cursor_over(bytes);
    field f;
    int32_t n = 0;
    bool broken = false;
    while (next_field(&c, &f)) {
        if (f.wire != 2) continue;
        if (f.number == 1 && !read_piece(t, n++, f.bytes, a, e)) return false;
        if (f.number == 2) read_trainer(f.bytes, s, &broken);
        if (f.number == 3) read_normalizer(f.bytes, s, &broken);
    }
    assert(!c.broken); /* counted before */
    if (broken) return err_set(e, ERR_MODEL, "%s: a specification inside is broken off", t->path);
    return check_spec(t, s, e);
}

static int64_t count_pieces(str bytes)
{
    cursor c = cursor_over(bytes);
    field f;
    int64_t n = 0;
    while (next_field(&c, &f)) n += f.number == 1 && f.wire == 2;
    return c.broken ? -1 : n;
}

static bool fill_from_proto(tokenizer *t, str bytes, const json_t *config, arena *a, err *e)
{
    proto_spec s = {
        .model_type = 1, .bos = 1, .eos = 2, .dummy_prefix = true, .squeeze = true, .escape = true};
    int32_t n_piece = (int32_t)count_pieces(bytes);
    t->score = arena_take_zero(a, (size_t)t->n_token, sizeof *t->score, e);
    if (!t->score || !read_pieces(t, bytes, &s, a, e)) return false;
    t->unigram = s.model_type == 1;
    t->by_score = !t->unigram;
    t->fuse_unk = true;
    t->byte_fallback = s.byte_fallback;
    for (int32_t i = 0; i < n_piece && t->unk < 0; i++)
        if (t->type[i] == TYPE_UNKNOWN) t->unk = i;
    if (t->unk < 0) return err_set(e, ERR_MODEL, "%s: no unknown piece", t->path);
    t->bos = control_id(t, s.bos);
    t->eos = control_id(t, s.eos);
    t->kind = t->unigram ? "SentencePiece unigram (tokenizer.model)"
                         : "SentencePiece BPE (tokenizer.model)";
    if (s.squeeze && !token_step_add(t, false, (token_step){.kind = STEP_SQUEEZE}, e)) return false;
    step_scheme lead = json_is_false(json_object_get(config, "legacy")) ? LEAD_FIRST : LEAD_ALWAYS;
    if (!token_add_blank_steps(t, s.dummy_prefix ? lead : LEAD_NEVER, e)) return false;
    if (!add_proto_tokens(t, n_piece, json_object_get(config, "added_tokens_decoder"), a, e))
        return false;
    if (!token_apply_config(t, config, e)) return false;
    if (!json_object_get(config, "add_bos_token")) t->adds_bos = !t->unigram && t->bos >= 0;
    if (!json_object_get(config, "add_eos_token")) t->adds_eos = t->unigram && t->eos >= 0;
    return true;
}

tokenizer *token_read_proto(str bytes, const json_t *config, const char *path, arena *a, err *e)
{
    int64_t n = count_pieces(bytes);
    if (n < 0) {
        err_set(e, ERR_MODEL, "%s: not a SentencePiece model, or broken off", path);
        return NULL;
    }
    int64_t beside =
        token_json_highest_decoder(json_object_get(config, "added_tokens_decoder")) + 1;
    tokenizer *t = token_new(path, beside > n && n > 0 ? beside : n, a, e);
    if (!t) return NULL;
    if (fill_from_proto(t, bytes, config, a, e) && token_build(t, a, e)) return t;
    token_close(t);
    return NULL;
}

/* ---- ranks ---- */

enum { LLAMA3_RANKS = 128000 };

static bool next_line(str *rest, str *line)
{
    if (rest->size == 0) return false;
    const char *end = memchr(rest->data, '\n', rest->size);
    size_t n = end ? (size_t)(end - rest->data) : rest->size;
    *line = str_part(*rest, 0, n);
    *rest = str_part(*rest, end ? n + 1 : n, rest->size - n - (end ? 1 : 0));
    if (line->size && line->data[line->size - 1] == '\r') line->size--;
    return true;
}

static bool read_rank(tokenizer *t, int64_t n, str line, arena *a, err *e)
{
    unsigned char bytes[TOKEN_BYTES_MAX / 2];
    const char *blank = memchr(line.data, ' ', line.size);
    size_t size = blank ? (size_t)(blank - line.data) : 0, got = 0;
    int64_t rank = -1;
    const char *end = NULL;
    bool good = blank && str_to_int(str_part(line, size + 1, line.size - size - 1), &rank) &&
                rank == n &&
                sodium_base642bin(bytes, sizeof bytes, line.data, size, NULL, &got, &end,
                                  sodium_base64_VARIANT_ORIGINAL) == 0 &&
                end == blank && got > 0;
    if (!good)
        return err_set(e, ERR_MODEL, "%s: line %lld is not a token in base64 and its rank %lld",
                       t->path, (long long)n + 1, (long long)n);
    char text[2 * sizeof bytes];
    size_t used = 0;
    for (size_t i = 0; i < got; i++)
        used += (size_t)utf8_put(text + used, token_byte_char(bytes[i]));
    t->text[n] = token_keep(t, (str){text, used}, a, e);
    return e->code == ERR_NONE;
}

static bool fill_from_ranks(tokenizer *t, str bytes, const json_t *config, arena *a, err *e)
{
    const json_t *decoder = json_object_get(config, "added_tokens_decoder");
    str line;
    t->byte_level = t->by_score = true;
    t->kind = "byte-level BPE by rank, pre-tokenizer llama3";
    t->score = arena_take_zero(a, (size_t)t->n_token, sizeof *t->score, e);
    t->added = arena_take_zero(a, json_object_size(decoder), sizeof *t->added, e);
    if (!t->score || !t->added) return false;
    for (int64_t n = 0; n < t->n_token; n++) t->score[n] = -(double)n;
    for (int64_t n = 0; next_line(&bytes, &line); n++)
        if (!read_rank(t, n, line, a, e)) return false;
    if (!token_json_added_decoder(t, decoder, a, e) || !token_pre_by_name(t, "llama3", e))
        return false;
    t->adds_bos = false; /* until the configuration's BOS is known */
    if (!token_apply_config(t, config, e)) return false;
    if (!json_object_get(config, "add_bos_token")) t->adds_bos = t->bos >= 0;
    return true;
}

tokenizer *token_read_ranks(str bytes, const json_t *config, const char *path, arena *a, err *e)
{
    int64_t n = 0;
    str rest = bytes, line;
    while (next_line(&rest, &line)) n++;
    if (n != LLAMA3_RANKS) {
        err_set(e, ERR_MODEL,
                "%s: neither a SentencePiece model nor Llama 3's %d ranks (%lld lines); use a "
                "folder with "
                "tokenizer.json",
                path, LLAMA3_RANKS, (long long)n);
        return NULL;
    }
    int64_t most = token_json_highest_decoder(json_object_get(config, "added_tokens_decoder"));
    if (most < n) {
        err_set(
            e, ERR_MODEL,
            "%s: holds ranks only; the special tokens must be in tokenizer_config.json beside it "
            "(added_tokens_decoder)",
            path);
        return NULL;
    }
    tokenizer *t = token_new(path, most + 1, a, e);
    if (!t) return NULL;
    if (fill_from_ranks(t, bytes, config, a, e) && token_build(t, a, e)) return t;
    token_close(t);
    return NULL;
}

/* ---- vocab.json and merges.txt ---- */

static bool read_merges_text(tokenizer *t, str bytes, const char *path, arena *a, err *e)
{
    str line, rest = bytes;
    int64_t n = 0, number = 0;
    while (next_line(&rest, &line)) n++;
    if (n > TOKEN_MERGE_MAX)
        return err_set(e, ERR_MODEL, "%s: more than %d merges", path, TOKEN_MERGE_MAX);
    t->merge = arena_take(a, (size_t)n, 2 * sizeof *t->merge, e);
    while (t->merge && next_line(&bytes, &line)) {
        number++;
        if (line.size == 0 || (number == 1 && str_starts(line, "#version"))) continue;
        const char *blank = memchr(line.data, ' ', line.size);
        size_t at = blank ? (size_t)(blank - line.data) : 0;
        if (!blank || at == 0 || at + 1 == line.size)
            return err_set(e, ERR_MODEL, "%s: line %lld is not two pieces", path,
                           (long long)number);
        t->merge[2 * t->n_merge] = token_keep(t, str_part(line, 0, at), a, e);
        t->merge[2 * t->n_merge + 1] =
            token_keep(t, str_part(line, at + 1, line.size - at - 1), a, e);
        t->n_merge++;
    }
    return e->code == ERR_NONE;
}

/* Which expression goes with vocab.json is in no file but in the class that reads it. */
static const char *pre_of_class(const json_t *config, const json_t *model)
{
    static const struct {
        const char *class, *pre;
    } rows[] = {{"Qwen2Tokenizer", "qwen2"},
                {"Qwen2TokenizerFast", "qwen2"},
                {"GPT2Tokenizer", "gpt-2"},
                {"GPT2TokenizerFast", "gpt-2"},
                {"qwen2", "qwen2"},
                {"qwen3", "qwen2"},
                {"gpt2", "gpt-2"}};
    str names[] = {token_json_str(json_object_get(config, "tokenizer_class")),
                   token_json_str(json_object_get(model, "model_type"))};
    for (size_t n = 0; n < countof(names); n++) {
        for (size_t i = 0; i < countof(rows); i++)
            if (names[n].size && str_is(names[n], rows[i].class)) return rows[i].pre;
    }
    return NULL;
}

typedef struct folder {
    const char *path;
    json_t *config; /* tokenizer_config.json and special_tokens_map.json; NULL: none */
    json_t *model;  /* config.json; NULL: none */
} folder;

static void path_in(const folder *f, const char *name, char out[4096])
{
    buf b = buf_up_to(4096);
    buf_printf(&b, "%s/%s", f->path, name);
    out[0] = 0;
    if (!b.failed) memcpy(out, b.data, b.size + 1);
    buf_close(&b);
}

static bool fill_from_vocab(tokenizer *t, const folder *f, const json_t *vocab, arena *a, err *e)
{
    char path[4096];
    const json_t *decoder = json_object_get(f->config, "added_tokens_decoder");
    const char *pre = pre_of_class(f->config, f->model);
    if (!pre)
        return err_set(e, ERR_MODEL,
                       "%s: tokenizer_class of tokenizer_config.json must say which pre-tokenizer "
                       "goes with it (known: Qwen2Tokenizer, GPT2Tokenizer)",
                       t->path);
    t->byte_level = true;
    t->kind = !strcmp(pre, "qwen2") ? "byte-level BPE, pre-tokenizer qwen2"
                                    : "byte-level BPE, pre-tokenizer gpt-2";
    t->added = arena_take_zero(a, json_object_size(decoder), sizeof *t->added, e);
    if (json_is_true(json_object_get(f->config, "add_prefix_space")) &&
        !token_step_add(t, true, (token_step){.kind = STEP_BYTE_LEAD}, e))
        return false;
    if (!t->added || !token_pre_by_name(t, pre, e) || !token_json_vocab(t, vocab, a, e))
        return false;
    if (!token_json_added_decoder(t, decoder, a, e)) return false;
    file_map m;
    path_in(f, "merges.txt", path);
    if (!file_map_open(&m, path, ERR_MODEL, e)) return false;
    bool good = m.size <= TOKEN_FILE_MAX || err_set(e, ERR_MODEL, "%s: too large", path);
    good = good && read_merges_text(t, (str){(const char *)m.data, m.size}, path, a, e);
    file_map_close(&m);
    return good && token_apply_config(t, f->config, e);
}

static tokenizer *open_vocab(const folder *f, const char *path, arena *a, err *e)
{
    json_t *vocab = token_json_load(path, 0, e);
    if (!vocab) return NULL;
    tokenizer *t = NULL;
    int64_t most = token_json_highest(vocab, NULL);
    int64_t beside = token_json_highest_decoder(json_object_get(f->config, "added_tokens_decoder"));
    if (most < 0)
        err_set(e, ERR_MODEL, "%s: an id is not a number from 0 to %d", path, TOKEN_VOCAB_MAX - 1);
    else t = token_new(path, (beside > most ? beside : most) + 1, a, e);
    if (t && !(fill_from_vocab(t, f, vocab, a, e) && token_build(t, a, e))) {
        token_close(t);
        t = NULL;
    }
    json_decref(vocab);
    return t;
}

/* ---- the folder ---- */

static tokenizer *open_model_file(const folder *f, const char *path, arena *a, err *e)
{
    file_map m;
    if (!file_map_open(&m, path, ERR_MODEL, e)) return NULL;
    tokenizer *t = NULL;
    str bytes = {(const char *)m.data, m.size};
    if (m.size > TOKEN_FILE_MAX || m.size == 0)
        err_set(e, ERR_MODEL, "%s: %zu bytes", path, m.size);
    else if (bytes.data[0] == '\n')
        t = token_read_proto(bytes, f->config, path, a, e); /* field 1, LEN */
    else t = token_read_ranks(bytes, f->config, path, a, e);
    file_map_close(&m);
    return t;
}

static tokenizer *open_json(const folder *f, const char *path, arena *a, err *e)
{
    json_t *root = token_json_load(path, 0, e);
    if (!root) return NULL;
    tokenizer *t = token_read_json(root, f->config, path, a, e);
    json_decref(root);
    return t;
}

/* An id of config.json where the tokenizer's own files name none: a number or a list whose first
 * counts. */
static void take_model_id(tokenizer *t, const json_t *model, const char *key, int32_t *id)
{
    const json_t *v = json_object_get(model, key);
    if (json_is_array(v)) v = json_array_get(v, 0);
    double n = json_is_number(v) ? json_number_value(v) : -1;
    if (*id < 0 && n >= 0 && n < t->n_token && n == floor(n)) *id = (int32_t)n;
}

static bool load_beside(folder *f, const char *name, json_t **out, err *e)
{
    char path[4096];
    path_in(f, name, path);
    if (!file_exists(path)) return true;
    *out = token_json_load(path, JSON_DECODE_INT_AS_REAL, e); /* model_max_length may be 1e30 */
    return *out != NULL;
}

tokenizer *token_open_folder(const char *path, arena *a, err *e)
{
    assert(path && a);
    static const struct {
        const char *name;
        tokenizer *(*open)(const folder *f, const char *path, arena *a, err *e);
    } kinds[] = {{"tokenizer.json", open_json},
                 {"tokenizer.model", open_model_file},
                 {"vocab.json", open_vocab}};
    folder f = {.path = path};
    json_t *map = NULL;
    tokenizer *t = NULL;
    bool good = load_beside(&f, "tokenizer_config.json", &f.config, e) &&
                load_beside(&f, "special_tokens_map.json", &map, e) &&
                load_beside(&f, "config.json", &f.model, e);
    if (map && !f.config) f.config = json_object();
    if (map && f.config) json_object_update_missing(f.config, map);
    bool any = false;
    for (size_t i = 0; good && !any && i < countof(kinds); i++) {
        char file[4096];
        path_in(&f, kinds[i].name, file);
        any = file_exists(file);
        if (any) t = kinds[i].open(&f, file, a, e);
    }
    if (good && !any)
        err_set(e, ERR_MODEL,
                "%s: no tokenizer: tokenizer.json, tokenizer.model or vocab.json and merges.txt",
                path);
    if (t) {
        take_model_id(t, f.model, "bos_token_id", &t->bos);
        take_model_id(t, f.model, "eos_token_id", &t->eos);
    }
    json_decref(f.config);
    json_decref(f.model);
    json_decref(map);
    assert(t || e->code != ERR_NONE);
    return t;
}
