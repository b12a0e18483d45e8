/* files_gguf: a GGUF file, or all parts of a split one, as a model_header.
 *
 * A split model is files NAME-00001-of-00004.gguf and so on; any of them may be given. Keys
 * split.no (from 0) and split.count must agree with the names; the first part holds the model's own
 * keys. Tensors point into the maps; nothing of them is touched. */
#include "model/files_in.h"

#include <assert.h>
#include <stdio.h>

enum { PARTS_MAX = 1000, NAME_TAIL = 20 /* "-00001-of-00004.gguf" */, TEMPLATE_MAX = 1 << 20 };

/* Reads five digits; -1 when they are not. */
static int five_digits(const char *p)
{
    int n = 0;
    for (int i = 0; i < 5; i++) {
        if (p[i] < '0' || p[i] > '9') return -1;
        n = 10 * n + (p[i] - '0');
    }
    return n;
}

typedef struct split { /* what a file's name says */
    int n_part;        /* 1 when it has no "-00001-of-0000N" ending */
    size_t stem;       /* bytes of the path before that ending */
    bool sizes_only;   /* the data may be cut off */
} split;

static split split_by_name(const char *path)
{
    size_t n = strlen(path);
    split whole = {1, n, false};
    if (n < NAME_TAIL) return whole;
    const char *tail = path + n - NAME_TAIL;
    int part = five_digits(tail + 1), count = five_digits(tail + 10);
    if (tail[0] != '-' || memcmp(tail + 6, "-of-", 4) != 0 || strcmp(tail + 15, ".gguf") != 0 ||
        part < 1 || count < part) {
        return whole;
    }
    return (split){count, n - NAME_TAIL, false};
}

static bool open_part(model_header *h, gguf *g, int part, const split *parts, arena *a, err *e)
{
    int n_part = parts->n_part;
    size_t stem = parts->stem;
    const char *path = h->path;
    if (n_part > 1) {
        char tail[32]; /* n_part has at most four digits here */
        snprintf(tail, sizeof tail, "-%05d-of-%05d.gguf", part + 1, n_part);
        char *name = arena_take(a, stem + NAME_TAIL + 1, 1, e);
        if (!name) return false;
        memcpy(name, h->path, stem);
        memcpy(name + stem, tail, NAME_TAIL + 1);
        path = name;
    }
    file_map *m = &h->file[part];
    if (!file_map_open(m, path, ERR_MODEL, e)) return false;
    h->n_file = part + 1;
    if (m->size == 0) return err_set(e, ERR_MODEL, "%s is empty", path);
    bool ok = parts->sizes_only ? gguf_read_header(g, path, m->data, m->size, a, e)
                                : gguf_read(g, path, m->data, m->size, a, e);
    if (!ok) return false;
    const gguf_value *no = gguf_find(g, "split.no"), *count = gguf_find(g, "split.count");
    int64_t said_no = 0, said_count = 1;
    if ((no && !gguf_item_int(no, 0, &said_no)) ||
        (count && !gguf_item_int(count, 0, &said_count))) {
        return err_set(e, ERR_MODEL, "%s: split.no or split.count is no whole number", path);
    }
    if (said_count < 1) said_count = 1;
    if (said_no != part || said_count != n_part) {
        return err_set(
            e, ERR_MODEL,
            "%s says it is part %lld of %lld, its name says part %d of %d; give the parts "
            "the names they were published under",
            path, (long long)said_no + 1, (long long)said_count, part + 1, n_part);
    }
    return true;
}

static bool list_tensors(model_header *h, const gguf *g, int n_part, arena *a, err *e)
{
    int64_t n = 0, promised = 0;
    for (int i = 0; i < n_part; i++) n += g[i].n_tensor;
    const gguf_value *v = gguf_find(&g[0], "split.tensors.count");
    if (n_part > 1 && v && gguf_item_int(v, 0, &promised) && promised != n) {
        return err_set(e, ERR_MODEL,
                       "%s: the parts hold %lld tensors, split.tensors.count says %lld", h->path,
                       (long long)n, (long long)promised);
    }
    if (n > GGUF_TENSORS_MAX) {
        return err_set(e, ERR_MODEL, "%s: over %d tensors", h->path, GGUF_TENSORS_MAX);
    }
    tensor_entry *entry = arena_take(a, (size_t)n, sizeof *entry, e);
    if (!entry) return false;
    tensor_entry *next = entry;
    for (int i = 0; i < n_part; i++) {
        for (int32_t k = 0; k < g[i].n_tensor; k++) {
            const gguf_tensor *t = &g[i].tensor[k];
            *next++ = (tensor_entry){t->name, t->view, t->bytes, i, NULL};
        }
    }
    return files_sort_tensors(h, entry, (int32_t)n, e);
}

/* Text of a key, or `absent`, copied with a closing 0. */
static const char *text_or(const gguf *g, const char *key, const char *absent, arena *a, err *e)
{
    const gguf_value *v = gguf_find(g, key);
    str text;
    if (!v || !gguf_text(v, &text)) return absent;
    return arena_copy_text(a, text.data, text.size, e);
}

/* A token id key: -1 when absent or outside the vocabulary. */
static int32_t token_id(const gguf *g, const char *key, int32_t n_token)
{
    const gguf_value *v = gguf_find(g, key);
    int64_t id;
    if (!v || v->is_array || !gguf_item_int(v, 0, &id) || id < 0 || id >= n_token) return -1;
    return (int32_t)id;
}

static int32_t yes_no(const gguf *g, const char *key)
{
    const gguf_value *v = gguf_find(g, key);
    int64_t answer;
    if (!v || v->is_array || !gguf_item_int(v, 0, &answer)) return -1;
    return answer != 0;
}

static bool read_scores(const gguf *g, token_source *s, arena *a, err *e)
{
    const gguf_value *v = gguf_find(g, "tokenizer.ggml.scores");
    if (!v) return true;
    if (!v->is_array || v->type != GGUF_F32 || v->count != s->n_token) {
        return err_set(e, ERR_MODEL, "%s: tokenizer.ggml.scores is no list of %d numbers", g->path,
                       s->n_token);
    }
    float *score = arena_take(a, (size_t)v->count, sizeof *score, e); /* the file's are unaligned */
    if (!score) return false;
    if (v->count) memcpy(score, v->data, v->size);
    s->score = score;
    return true;
}

static bool read_types(const gguf *g, token_source *s, arena *a, err *e)
{
    const gguf_value *v = gguf_find(g, "tokenizer.ggml.token_type");
    if (!v) return true;
    bool fits = v->is_array && v->count == s->n_token;
    int32_t *type = fits ? arena_take(a, (size_t)v->count, sizeof *type, e) : NULL;
    if (fits && !type) return false;
    for (int64_t i = 0; fits && i < v->count; i++) {
        int64_t value = 0;
        fits = gguf_item_int(v, i, &value) && value >= 0 && value <= 6;
        type[i] = (int32_t)value;
    }
    s->type = type;
    if (fits) return true;
    return err_set(e, ERR_MODEL, "%s: tokenizer.ggml.token_type is no list of %d kinds from 0 to 6",
                   g->path, s->n_token);
}

/* The tokenizer's arrays as views and small copies. */
static bool read_tokens(const gguf *g, token_source *s, arena *a, err *e)
{
    *s = (token_source){.model = text_or(g, "tokenizer.ggml.model", NULL, a, e)};
    s->pre = text_or(g, "tokenizer.ggml.pre", "", a, e);
    const gguf_value *list = gguf_find(g, "tokenizer.ggml.tokens");
    if (!s->model || !s->pre || !list) {
        return err_set(e, ERR_MODEL,
                       "%s holds no tokenizer (keys tokenizer.ggml.model and .tokens)", g->path);
    }
    if (list->count < 1 || list->count > MODEL_VOCAB_MAX || !(s->token = gguf_texts(list, a, e))) {
        return err_set(e, ERR_MODEL, "%s: tokenizer.ggml.tokens is no list of 1 to %d texts",
                       g->path, MODEL_VOCAB_MAX);
    }
    s->n_token = (int32_t)list->count;
    const gguf_value *merges = gguf_find(g, "tokenizer.ggml.merges");
    if (merges) {
        if (merges->count > MODEL_VOCAB_MAX || !(s->merge = gguf_texts(merges, a, e))) {
            return err_set(e, ERR_MODEL, "%s: tokenizer.ggml.merges is no list of at most %d texts",
                           g->path, MODEL_VOCAB_MAX);
        }
        s->n_merge = (int32_t)merges->count;
    }
    s->bos = token_id(g, "tokenizer.ggml.bos_token_id", s->n_token);
    s->eos = token_id(g, "tokenizer.ggml.eos_token_id", s->n_token);
    s->unk = token_id(g, "tokenizer.ggml.unknown_token_id", s->n_token);
    s->eot = token_id(g, "tokenizer.ggml.eot_token_id", s->n_token);
    s->add_bos = yes_no(g, "tokenizer.ggml.add_bos_token");
    s->add_eos = yes_no(g, "tokenizer.ggml.add_eos_token");
    s->add_space_prefix = yes_no(g, "tokenizer.ggml.add_space_prefix");
    return read_scores(g, s, a, e) && read_types(g, s, a, e);
}

static bool read_words(model_header *h, const gguf *g, bool with_tokenizer, arena *a, err *e)
{
    token_source s;
    if (!read_tokens(g, &s, a, e)) return false;
    if (s.bos >= 0) h->bos_text = s.token[s.bos];
    if (s.eos >= 0) h->eos_text = s.token[s.eos];
    const gguf_value *v = gguf_find(g, "tokenizer.chat_template");
    if (v && (!gguf_text(v, &h->chat_template) || h->chat_template.size > TEMPLATE_MAX)) {
        return err_set(e, ERR_MODEL, "%s: tokenizer.chat_template is no text of at most %d bytes",
                       g->path, TEMPLATE_MAX);
    }
    if (h->config.family && h->n_tensor > 0 && s.n_token > h->config.n_vocab) {
        return err_set(e, ERR_MODEL, "%s: the tokenizer has %d tokens, the embedding only %d rows",
                       g->path, s.n_token, h->config.n_vocab);
    }
    if (!with_tokenizer) return true;
    h->tokens = token_open_source(&s, h->path, a, e);
    return h->tokens != NULL;
}

bool files_read_gguf(model_header *h, peek_how how, arena *a, err *e)
{
    split parts = split_by_name(h->path);
    parts.sizes_only = how.sizes_only;
    int n_part = parts.n_part;
    if (n_part > PARTS_MAX) {
        return err_set(e, ERR_MODEL, "%s: %d parts; at most %d are read", h->path, n_part,
                       PARTS_MAX);
    }
    h->file = arena_take_zero(a, (size_t)n_part, sizeof *h->file, e);
    gguf *g = arena_take_zero(a, (size_t)n_part, sizeof *g, e);
    if (!h->file || !g) return false;
    for (int i = 0; i < n_part; i++) {
        if (!open_part(h, &g[i], i, &parts, a, e)) return false;
    }
    if (!list_tensors(h, g, n_part, a, e)) return false;
    if (!config_from_gguf(&h->config, &g[0], h, a, e)) return false;
    h->format = g[0].version == 2 ? "GGUF v2" : "GGUF v3";
    const char *slash = strrchr(h->path, '/');
    h->name = text_or(&g[0], "general.name", slash ? slash + 1 : h->path, a, e);
    h->licence = text_or(&g[0], "general.license", "", a, e);
    if (!h->name || !h->licence) return false;
    return read_words(h, &g[0], how.tokenizer, a, e);
}
