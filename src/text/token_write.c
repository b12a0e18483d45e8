/* token_write: see token_write.h. */
#include "text/token_write.h"

#include "text/token_read.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define META "\xE2\x96\x81"

/* ---- probes ---- */

static const char *const probes[] = {
    "The patient, a 67-year-old man, was admitted on 2024-03-18 with chest pain (ST elevation).",
    "  two  blanks,\ttabs\n\nlines \r\n and   more    blanks     ",
    "환자는 67세 남성으로 3일 전부터 열이 났다. 혈압 120/80 mmHg, 체온 38.5°C",
    "don't I'll we've he'd IT'S 1234567 3.14 1,000,000 x=y+z; {\"a\": [1, 2]}",
    "naïve café Ångström e\xCC\x81 日本語 中文 العربية 😀👩‍⚕️ ½ ²",
    "<|endoftext|> <s> </s> <bos> [INST] ▁ ",
    "a",
    "",
};

static bool same_ids(const tokenizer *a, const tokenizer *b, str text, bool special, err *e)
{
    token_list x = {0}, y = {0};
    const token_options o = {.parse_special = special, .add_bos = true};
    bool ok = token_encode(a, text, o, &x, e) && token_encode(b, text, o, &y, e);
    bool same = ok && x.n == y.n && (x.n == 0 || !memcmp(x.id, y.id, (size_t)x.n * sizeof *x.id));
    token_list_close(&x);
    token_list_close(&y);
    if (ok && !same) {
        err_set(e, ERR_MODEL,
                "%s: its tokenizer has no form in the other container that reads every text alike; "
                "convert to the container it came in",
                a->path);
    }
    return same;
}

static bool compare(const tokenizer *a, const tokenizer *b, err *e)
{
    for (size_t i = 0; i < countof(probes); i++) {
        if (!same_ids(a, b, str_of(probes[i]), true, e)) return false;
        if (!same_ids(a, b, str_of(probes[i]), false, e)) return false;
    }
    for (int32_t i = 0; i < a->n_added; i++) {
        if (!same_ids(a, b, a->added[i].text, true, e)) return false;
    }
    return true;
}

/* ---- GGUF ---- */

static bool equal_steps(const token_step *a, const token_step *b, int32_t n, int32_t m)
{
    if (n != m) return false;
    for (int32_t i = 0; i < n; i++) {
        if (a[i].kind != b[i].kind || a[i].behaviour != b[i].behaviour || a[i].form != b[i].form ||
            a[i].invert != b[i].invert || !str_equal(a[i].pattern, b[i].pattern)) {
            return false;
        }
    }
    return true;
}

/* The name under which GGUF files ask for these steps; NULL: none. */
static const char *name_of_steps(const tokenizer *t, arena *a, err *e)
{
    for (int i = 0;; i++) {
        const char *name = token_pre_name(i);
        if (!name) return NULL;
        tokenizer *other = token_new(t->path, 1, a, e);
        if (!other || !token_pre_by_name(other, name, e)) return NULL;
        const bool equal = equal_steps(t->pre, other->pre, t->n_pre, other->n_pre) &&
                           equal_steps(t->norm, other->norm, t->n_norm, other->n_norm) &&
                           t->ignore_merges == other->ignore_merges;
        token_close(other);
        if (equal) return name;
    }
}

static bool take_texts(const tokenizer *t, int32_t n, token_source *s, arena *a, err *e)
{
    str *text = arena_take(a, (size_t)n, sizeof *text, e);
    int32_t *type = arena_take(a, (size_t)n, sizeof *type, e);
    if (!text || !type) return false;
    for (int32_t i = 0; i < n; i++) {
        if (i < t->n_token && t->text[i].size > 0) {
            text[i] = t->text[i];
            type[i] = t->type[i];
            continue;
        }
        char name[32];
        snprintf(name, sizeof name, "[PAD%d]", i);
        text[i] = str_keep(a, str_of(name), e);
        type[i] = TYPE_UNUSED;
    }
    for (int32_t i = 0; i < t->n_added; i++) {
        const token_added *x = &t->added[i];
        if (type[x->id] != TYPE_UNKNOWN) type[x->id] = x->special ? TYPE_CONTROL : TYPE_USER;
    }
    if (t->unk >= 0 && !t->byte_level) type[t->unk] = TYPE_UNKNOWN;
    s->token = text;
    s->type = type;
    s->n_token = n;
    return e->code == ERR_NONE;
}

static int rising_rank(const void *a, const void *b)
{
    const pair_slot *x = a, *y = b;
    if (x->rank != y->rank) return (x->rank > y->rank) - (x->rank < y->rank);
    return (x->key > y->key) - (x->key < y->key);
}

/* All merges by rank: [*n], in the arena. */
static const pair_slot *sorted_merges(const tokenizer *t, int64_t *n, arena *a, err *e)
{
    pair_slot *list = arena_take(a, (size_t)t->merges.n + 1, sizeof *list, e);
    *n = 0;
    if (!list || t->merges.n == 0) return list;
    for (int64_t i = 0; i <= (int64_t)t->merges.mask; i++) {
        if (t->merges.slot[i].key != UINT64_MAX) list[(*n)++] = t->merges.slot[i];
    }
    qsort(list, (size_t)*n, sizeof *list, rising_rank);
    return list;
}

/* "left right", as vocabularies store them. Merges of characters that are no tokens are left out:
 * no list can name them. */
static bool take_merges(const tokenizer *t, token_source *s, arena *a, err *e)
{
    int64_t n = 0;
    const pair_slot *list = sorted_merges(t, &n, a, e);
    str *merge = list ? arena_take(a, (size_t)n + 1, sizeof *merge, e) : NULL;
    if (!merge) return false;
    int32_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        const int32_t l = (int32_t)(list[i].key >> 32), r = (int32_t)(list[i].key & UINT32_MAX);
        if (l >= t->n_token || r >= t->n_token) continue;
        const str left = t->text[l], right = t->text[r];
        char *both = arena_take(a, left.size + right.size + 1, 1, e);
        if (!both) return false;
        memcpy(both, left.data, left.size);
        both[left.size] = ' ';
        memcpy(both + left.size + 1, right.data, right.size);
        merge[count++] = (str){both, left.size + right.size + 1};
    }
    s->merge = merge;
    s->n_merge = count;
    return true;
}

/* SentencePiece's scores out of a list of merges: a piece scores by the first merge that makes
 * it. */
static bool take_scores(const tokenizer *t, token_source *s, arena *a, err *e)
{
    float *score = arena_take_zero(a, (size_t)s->n_token, sizeof *score, e);
    int64_t n = 0;
    if (!score) return false;
    s->score = score;
    for (int32_t i = 0; t->score && i < t->n_token; i++) score[i] = (float)t->score[i];
    if (t->score) return true;
    const pair_slot *list = sorted_merges(t, &n, a, e);
    if (!list) return false;
    for (int32_t i = 0; i < s->n_token; i++) score[i] = -1e6f;
    for (int64_t i = n - 1; i >= 0; i--) score[list[i].id] = -(float)list[i].rank;
    return true;
}

static bool leads_with_blank(const tokenizer *t)
{
    for (int32_t i = 0; i < t->n_norm; i++)
        if (t->norm[i].kind == STEP_PREPEND && t->norm[i].scheme != LEAD_NEVER) return true;
    for (int32_t i = 0; i < t->n_pre; i++)
        if (t->pre[i].kind == STEP_META && t->pre[i].scheme != LEAD_NEVER) return true;
    return false;
}

bool token_to_source(const tokenizer *t, int32_t n_row, token_source *s, arena *a, err *e)
{
    assert(t && s && a);
    *s = (token_source){.pre = "default",
                        .bos = t->bos,
                        .eos = t->eos,
                        .unk = t->unk,
                        .eot = -1,
                        .add_bos = t->adds_bos,
                        .add_eos = t->adds_eos,
                        .add_space_prefix = leads_with_blank(t)};
    const int32_t n = n_row > t->n_token ? n_row : t->n_token;
    bool ok = take_texts(t, n, s, a, e);
    s->model = t->byte_level ? "gpt2" : t->unigram ? "t5" : "llama";
    if (ok && t->byte_level) {
        s->pre = name_of_steps(t, a, e);
        if (!s->pre) {
            return err_set(e, ERR_MODEL,
                           "%s: its pre-tokenizer has no name that GGUF files know; keep the model "
                           "as a folder",
                           t->path);
        }
        ok = take_merges(t, s, a, e);
    } else if (ok) {
        ok = take_scores(t, s, a, e);
    }
    tokenizer *again = ok ? token_open_source(s, t->path, a, e) : NULL;
    ok = again && compare(t, again, e);
    token_close(again);
    return ok;
}

/* ---- tokenizer.json ---- */

static void add_text(buf *b, str s)
{
    buf_add_char(b, '"');
    buf_add_json(b, s);
    buf_add_char(b, '"');
}

static const char *yes(bool b) { return b ? "true" : "false"; }

static void add_added(const tokenizer *t, buf *b)
{
    buf_add_text(b, " \"added_tokens\": [");
    for (int32_t i = 0; i < t->n_added; i++) {
        const token_added *x = &t->added[i];
        buf_printf(b, "%s\n  {\"id\": %d, \"content\": ", i ? "," : "", x->id);
        add_text(b, x->text);
        buf_printf(b,
                   ", \"single_word\": %s, \"lstrip\": %s, \"rstrip\": %s, \"normalized\": %s, "
                   "\"special\": %s}",
                   yes(x->single_word), yes(x->lstrip), yes(x->rstrip), yes(x->normalized),
                   yes(x->special));
    }
    buf_add_text(b, "\n ],\n");
}

static bool add_norm_step(const token_step *s, buf *b)
{
    static const char *const forms[] = {
        [UTF8_NFC] = "NFC", [UTF8_NFD] = "NFD", [UTF8_NFKC] = "NFKC", [UTF8_NFKD] = "NFKD"};
    switch (s->kind) {
    case STEP_PREPEND:
        buf_add_text(b, "{\"type\": \"Prepend\", \"prepend\": ");
        add_text(b, s->content);
        break;
    case STEP_REPLACE:
        buf_add_text(b, "{\"type\": \"Replace\", \"pattern\": {\"String\": ");
        add_text(b, s->pattern);
        buf_add_text(b, "}, \"content\": ");
        add_text(b, s->content);
        break;
    case STEP_FORM: buf_printf(b, "{\"type\": \"%s\"", forms[s->form]); break;
    default: return false;
    }
    buf_add_char(b, '}');
    return true;
}

static bool add_pre_step(const token_step *s, buf *b)
{
    static const char *const behaviours[] = {[SPLIT_ISOLATED] = "Isolated",
                                             [SPLIT_REMOVED] = "Removed",
                                             [SPLIT_CONTIGUOUS] = "Contiguous",
                                             [SPLIT_PREVIOUS] = "MergedWithPrevious",
                                             [SPLIT_NEXT] = "MergedWithNext"};
    static const char byte_level[] =
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": %s, \"trim_offsets\": true, "
        "\"use_regex\": false}";
    switch (s->kind) {
    case STEP_SPLIT:
        buf_add_text(b, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        add_text(b, s->pattern);
        buf_printf(b, "}, \"behavior\": \"%s\", \"invert\": %s}", behaviours[s->behaviour],
                   yes(s->invert));
        return true;
    case STEP_BYTE_MAP: buf_printf(b, byte_level, "false"); return true;
    default: return false;
    }
}

static bool add_steps(const tokenizer *t, buf *b)
{
    bool ok = true;
    buf_add_text(b, " \"normalizer\": ");
    buf_add_text(b, t->n_norm ? "{\"type\": \"Sequence\", \"normalizers\": [" : "null");
    for (int32_t i = 0; i < t->n_norm && ok; i++) {
        buf_add_text(b, i ? ",\n  " : "\n  ");
        ok = add_norm_step(&t->norm[i], b);
    }
    buf_add_text(b, t->n_norm ? "\n ]},\n \"pre_tokenizer\": " : ",\n \"pre_tokenizer\": ");
    const bool maps = t->byte_level && !t->mapped; /* the map that was dropped as the last step */
    const bool any = t->n_pre > 0 || maps;
    buf_add_text(b, any ? "{\"type\": \"Sequence\", \"pretokenizers\": [" : "null");
    for (int32_t i = 0; i < t->n_pre && ok; i++) {
        buf_add_text(b, i ? ",\n  " : "\n  ");
        ok = add_pre_step(&t->pre[i], b);
    }
    if (maps) {
        buf_add_text(b, t->n_pre ? ",\n  " : "\n  ");
        add_pre_step(&(token_step){.kind = STEP_BYTE_MAP}, b);
    }
    buf_add_text(b, any ? "\n ]},\n" : ",\n");
    return ok;
}

static void add_ends(const tokenizer *t, buf *b)
{
    const struct {
        bool adds;
        int32_t id;
    } ends[2] = {{t->adds_bos, t->bos}, {t->adds_eos, t->eos}};
    if (!t->adds_bos && !t->adds_eos) {
        buf_add_text(b,
                     t->byte_level
                         ? " \"post_processor\": {\"type\": \"ByteLevel\", \"add_prefix_space\": "
                           "true, \"trim_offsets\": false, \"use_regex\": true},\n"
                         : " \"post_processor\": null,\n");
        return;
    }
    buf_add_text(b, " \"post_processor\": {\"type\": \"TemplateProcessing\",\n");
    for (int pair = 0; pair < 2; pair++) {
        buf_add_text(b, pair ? "  \"pair\": [" : "  \"single\": [");
        for (int k = 0; k <= pair; k++) {
            for (int end = 0; end < 2; end++) {
                if (end == 1)
                    buf_printf(b, "%s{\"Sequence\": {\"id\": \"%c\", \"type_id\": %d}}",
                               k || t->adds_bos ? ", " : "", "AB"[k], k);
                if (!ends[end].adds) continue;
                buf_add_text(b, k || end ? ", {\"SpecialToken\": {\"id\": "
                                         : "{\"SpecialToken\": {\"id\": ");
                add_text(b, t->text[ends[end].id]);
                buf_printf(b, ", \"type_id\": %d}}", k);
            }
        }
        buf_add_text(b, "],\n");
    }
    buf_add_text(b, "  \"special_tokens\": {");
    bool first = true;
    for (int end = 0; end < 2; end++) {
        if (!ends[end].adds || (end == 1 && t->adds_bos && t->eos == t->bos)) continue;
        const str text = t->text[ends[end].id];
        buf_add_text(b, first ? "" : ", ");
        add_text(b, text);
        buf_add_text(b, ": {\"id\": ");
        add_text(b, text);
        buf_printf(b, ", \"ids\": [%d], \"tokens\": [", ends[end].id);
        add_text(b, text);
        buf_add_text(b, "]}");
        first = false;
    }
    buf_add_text(b, "}},\n");
}

static bool add_model(const tokenizer *t, buf *b, arena *a, err *e)
{
    if (t->unigram) {
        buf_printf(b,
                   " \"model\": {\"type\": \"Unigram\", \"unk_id\": %d, \"byte_fallback\": %s,\n",
                   t->unk, yes(t->byte_fallback));
        buf_add_text(b, "  \"vocab\": [");
        for (int32_t i = 0; i < t->n_token; i++) {
            buf_add_text(b, i ? ",\n   [" : "\n   [");
            add_text(b, t->text[i]);
            buf_printf(b, ", %.17g]", t->score[i]);
        }
        buf_add_text(b, "\n  ]}\n}\n");
        return true;
    }
    token_source s = {0};
    if (!take_merges(t, &s, a, e)) return false;
    buf_add_text(b, " \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": ");
    if (t->unk >= 0 && !t->byte_level) add_text(b, t->text[t->unk]);
    else buf_add_text(b, "null");
    buf_printf(b,
               ", \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null,\n"
               "  \"fuse_unk\": %s, \"byte_fallback\": %s, \"ignore_merges\": %s,\n  \"vocab\": {",
               yes(t->fuse_unk), yes(t->byte_fallback), yes(t->ignore_merges));
    bool first = true;
    for (int32_t i = 0; i < t->n_token; i++) {
        /* Added tokens stand in their own list; one that merges give is a piece all the same. */
        if (t->text[i].size == 0 || text_map_find(&t->by_text, t->text, t->text[i]) != i) continue;
        buf_add_text(b, first ? "\n   " : ",\n   ");
        add_text(b, t->text[i]);
        buf_printf(b, ": %d", i);
        first = false;
    }
    buf_add_text(b, "\n  },\n  \"merges\": [");
    for (int32_t i = 0; i < s.n_merge; i++) {
        const char *blank = memchr(s.merge[i].data + 1, ' ', s.merge[i].size - 1);
        const size_t n = (size_t)(blank - s.merge[i].data);
        buf_add_text(b, i ? ",\n   [" : "\n   [");
        add_text(b, str_part(s.merge[i], 0, n));
        buf_add_text(b, ", ");
        add_text(b, str_part(s.merge[i], n + 1, s.merge[i].size - n - 1));
        buf_add_char(b, ']');
    }
    buf_add_text(b, "\n  ]}\n}\n");
    return true;
}

static void add_decoder(const tokenizer *t, buf *b)
{
    if (t->byte_level) {
        buf_add_text(b, " \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
                        "\"trim_offsets\": true, \"use_regex\": true},\n");
        return;
    }
    buf_add_text(b, " \"decoder\": {\"type\": \"Sequence\", \"decoders\": [\n"
                    "  {\"type\": \"Replace\", \"pattern\": {\"String\": \"" META
                    "\"}, \"content\": \" \"},\n"
                    "  {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}");
    if (leads_with_blank(t))
        buf_add_text(b,
                     ",\n  {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}");
    buf_add_text(b, "]},\n");
}

bool token_to_json(const tokenizer *t, buf *json, arena *a, err *e)
{
    assert(t && json && a);
    const size_t from = json->size;
    buf_add_text(json, "{\n \"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n");
    add_added(t, json);
    bool ok = add_steps(t, json);
    if (!ok) {
        return err_set(e, ERR_MODEL, "%s: a step of its tokenizer has no form in tokenizer.json",
                       t->path);
    }
    add_ends(t, json);
    add_decoder(t, json);
    ok = add_model(t, json, a, e) && buf_check(json, "tokenizer.json", e);
    if (!ok) return false;
    json_error_t why;
    json_t *root = json_loadb(json->data + from, json->size - from, 0, &why);
    assert(root);
    tokenizer *again = token_read_json(root, NULL, t->path, a, e);
    json_decref(root);
    ok = again && compare(t, again, e);
    token_close(again);
    return ok;
}

void token_to_config(const tokenizer *t, str chat_template, buf *json)
{
    buf_add_text(json, "{\n");
    if (t->bos >= 0) {
        buf_add_text(json, " \"bos_token\": ");
        add_text(json, t->text[t->bos]);
        buf_add_text(json, ",\n");
    }
    if (t->eos >= 0) {
        buf_add_text(json, " \"eos_token\": ");
        add_text(json, t->text[t->eos]);
        buf_add_text(json, ",\n");
    }
    if (t->unk >= 0) {
        buf_add_text(json, " \"unk_token\": ");
        add_text(json, t->text[t->unk]);
        buf_add_text(json, ",\n");
    }
    buf_printf(json, " \"add_bos_token\": %s,\n \"add_eos_token\": %s,\n", yes(t->adds_bos),
               yes(t->adds_eos));
    if (chat_template.size) {
        buf_add_text(json, " \"chat_template\": ");
        add_text(json, chat_template);
        buf_add_text(json, ",\n");
    }
    buf_add_text(json, " \"clean_up_tokenization_spaces\": false,\n"
                       " \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n");
}
