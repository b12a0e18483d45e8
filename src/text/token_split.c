/* token_split: what happens to a text before the model sees it: the normalizer's and the
 * pre-tokenizer's steps, and the published expressions of the families.
 *
 * Expressions are the makers' own, run by pcre2 (JIT where there is one). Their engines (Oniguruma,
 * Rust's regex) read \s as White_Space and \w as letters, marks, digits and connectors; pcre2
 * counts U+180E as white space and no marks as \w. So \s, \S, \w and \W are rewritten into the
 * classes that are meant. Nested classes and class intersections, which pcre2 would read otherwise,
 * are refused.
 *
 * Compiled expressions are read-only; match data belongs to the call.
 */
#include "text/token_work.h"

#include <assert.h>

#define SPACE_CLASS "\\x{9}-\\x{d}\\x{85}\\p{Z}"
#define WORD_CLASS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}"

const char *const token_gpt2_expression =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* A row: names as GGUF's tokenizer.ggml.pre gives them, expressions as the makers publish them
 * (each splits what the one before left). GPT2 stands for GPT-2's, BYTES for the map of bytes to
 * printable characters in which Falcon's later expressions work. */
#define GPT2 "<gpt2>"
#define BYTES "<bytes>"

typedef struct pre_row {
    const char *names[10];
    const char *expression[5];
    bool ignore_merges, adds_bos, nfc;
} pre_row;

static const pre_row pre_rows[] = {
    {.names = {"gpt-2", "gpt2", "phi-2", "olmo", "mpt", "jais", "exaone4"}, .expression = {GPT2}},
    {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2"},
     .expression = {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     .ignore_merges = true,
     .adds_bos = true},
    {.names = {"dbrx", "smaug-bpe", "phi-4", "chatglm-bpe", "glm4"},
     .expression = {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {.names = {"qwen2", "megrez"},
     .expression = {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     .nfc = true},
    {.names = {"deepseek-r1-qwen"},
     .expression = {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {.names = {"qwen35"},
     .expression = {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}|"
                    " ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     .nfc = true},
    {.names = {"smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b"},
     .expression = {"\\p{N}", GPT2}},
    {.names = {"falcon"},
     .expression = {"[\\p{P}$+<=>^`|~]+", GPT2, BYTES, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {.names = {"tekken"},
     .expression = {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*"
                    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"
                    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
                    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|"
                    "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
     .ignore_merges = true,
     .adds_bos = true},
    {.names = {"gpt-4o", "llama4"},
     .expression = {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*"
                    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
                    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
                    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
                    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {.names = {"deepseek-v3"},
     .expression = {"\\p{N}{1,3}", "[一-龥\\x{3040}-ゟ゠-ヿ]+",
                    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"
                    "[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|"
                    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {.names = {"default"}, .expression = {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
};

static bool expression_error(const tokenizer *t, str pattern, const char *why, err *e)
{
    int shown = pattern.size > 60 ? 60 : (int)pattern.size;
    return err_set(e, ERR_MODEL, "%s: pre-tokenizer expression \"%.*s%s\": %s", t->path, shown,
                   pattern.data, pattern.size > 60 ? ".." : "", why);
}

/* What \s, \S, \w, \W, \h mean to the makers' engines. NULL: leave as it is. */
static const char *class_of(char letter, bool in_class)
{
    switch (letter) {
    case 's': return in_class ? SPACE_CLASS : "[" SPACE_CLASS "]";
    case 'S': return in_class ? NULL : "[^" SPACE_CLASS "]";
    case 'w': return in_class ? WORD_CLASS : "[" WORD_CLASS "]";
    case 'W': return in_class ? NULL : "[^" WORD_CLASS "]";
    case 'h': return in_class ? "0-9a-fA-F" : "[0-9a-fA-F]";
    default: return NULL;
    }
}

static bool rewrite(const tokenizer *t, str p, buf *out, err *e)
{
    bool in_class = false;
    size_t class_start = 0;
    for (size_t i = 0; i < p.size; i++) {
        char c = p.data[i];
        if (c == '\\' && i + 1 < p.size) {
            char letter = p.data[++i];
            const char *class = class_of(letter, in_class);
            if (class) buf_add_text(out, class);
            else if (letter == 'u' && i + 4 < p.size) { /* Oniguruma's \uHHHH */
                buf_printf(out, "\\x{%.4s}", p.data + i + 1);
                i += 4;
            } else if (in_class && letter == 'W')
                return expression_error(t, p, "\\W inside a class is not supported", e);
            else buf_add(out, p.data + i - 1, 2);
            continue;
        }
        buf_add_char(out, c);
        if (!in_class && c == '[') {
            in_class = true;
            if (i + 1 < p.size && p.data[i + 1] == '^') buf_add_char(out, p.data[++i]);
            class_start = i + 1;
        } else if (in_class && c == '[' && !(i + 1 < p.size && p.data[i + 1] == ':')) {
            return expression_error(t, p, "a class inside a class is not supported", e);
        } else if (in_class && c == '&' && i + 1 < p.size && p.data[i + 1] == '&') {
            return expression_error(t, p, "an intersection of classes is not supported", e);
        } else if (in_class && c == '[') { /* [:alpha:] */
            while (i + 1 < p.size && p.data[i] != ']') buf_add_char(out, p.data[++i]);
        } else if (in_class && c == ']' && i > class_start) {
            in_class = false;
        }
    }
    return true;
}

static bool compile(tokenizer *t, token_step *s, err *e)
{
    if (s->pattern.size == 0) return expression_error(t, s->pattern, "it is empty", e);
    if (s->pattern.size > TOKEN_PATTERN_MAX)
        return expression_error(t, s->pattern, "it is longer than 20,000 bytes", e);
    buf meant = buf_up_to(TOKEN_PATTERN_MAX * 16);
    if (!rewrite(t, s->pattern, &meant, e) || !buf_check(&meant, "an expression", e)) {
        buf_close(&meant);
        return false;
    }
    int code = 0;
    PCRE2_SIZE at = 0;
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    s->code = pcre2_compile((PCRE2_SPTR)meant.data, meant.size, options, &code, &at, NULL);
    buf_close(&meant);
    if (!s->code) {
        PCRE2_UCHAR why[200] = "";
        pcre2_get_error_message(code, why, sizeof why);
        return expression_error(t, s->pattern, (const char *)why, e);
    }
    pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE); /* without it pcre2_match still works, slower */
    return true;
}

bool token_step_add(tokenizer *t, bool pre, token_step step, err *e)
{
    int32_t *n = pre ? &t->n_pre : &t->n_norm;
    if (*n == TOKEN_STEP_MAX)
        return err_set(e, ERR_MODEL, "%s: more than %d steps in the %s", t->path, TOKEN_STEP_MAX,
                       pre ? "pre-tokenizer" : "normalizer");
    if ((step.kind == STEP_SPLIT || step.kind == STEP_REPLACE_MATCH) && !compile(t, &step, e))
        return false;
    (pre ? t->pre : t->norm)[(*n)++] = step;
    return true;
}

bool token_step_expression(tokenizer *t, const char *pattern, step_behaviour behaviour, err *e)
{
    token_step step = {.kind = STEP_SPLIT, .behaviour = behaviour, .pattern = str_of(pattern)};
    return token_step_add(t, true, step, e);
}

static const pre_row *find_row(const char *name)
{
    for (size_t i = 0; i < countof(pre_rows); i++) {
        for (size_t k = 0; k < countof(pre_rows[i].names) && pre_rows[i].names[k]; k++)
            if (!strcmp(pre_rows[i].names[k], name)) return &pre_rows[i];
    }
    return NULL;
}

static bool unknown_name(const tokenizer *t, const char *name, err *e)
{
    char known[600] = "";
    size_t n = 0;
    for (size_t i = 0; i < countof(pre_rows); i++) {
        for (size_t k = 0; k < countof(pre_rows[i].names) && pre_rows[i].names[k]; k++) {
            const char *word = pre_rows[i].names[k];
            if (n + strlen(word) + 3 > sizeof known) break;
            if (n) memcpy(known + n, ", ", 3), n += 2;
            memcpy(known + n, word, strlen(word) + 1);
            n += strlen(word);
        }
    }
    return err_set(
        e, ERR_MODEL,
        "%s: tokenizer.ggml.pre: unknown pre-tokenizer \"%.60s\" (known: %s); use the model "
        "as a folder with its tokenizer.json",
        t->path, name, known);
}

const char *token_pre_name(int row)
{
    return (size_t)row < countof(pre_rows) ? pre_rows[row].names[0] : NULL;
}

bool token_pre_by_name(tokenizer *t, const char *name, err *e)
{
    const pre_row *row = find_row(name);
    if (!row) return unknown_name(t, name, e);
    for (size_t i = 0; i < countof(row->expression) && row->expression[i]; i++) {
        const char *x = row->expression[i];
        bool good = !strcmp(x, BYTES)
                        ? token_step_add(t, true, (token_step){.kind = STEP_BYTE_MAP}, e)
                        : token_step_expression(t, strcmp(x, GPT2) ? x : token_gpt2_expression,
                                                SPLIT_ISOLATED, e);
        if (!good) return false;
    }
    if (row->nfc && !token_step_add(t, false, (token_step){.kind = STEP_FORM, .form = UTF8_NFC}, e))
        return false;
    t->ignore_merges = row->ignore_merges;
    t->adds_bos = row->adds_bos;
    return true;
}

/* ---- the normalizer: rewriting a text, byte origins kept where asked ---- */

static int32_t origin(const text_view *v, size_t at)
{
    if (at >= v->text.size) return v->end;
    return v->from ? v->from[at] : v->start + (int32_t)at;
}

static void put(token_work *w, int side, const char *data, size_t size, int32_t from)
{
    buf_add(&w->text[side], data, size);
    for (size_t i = 0; w->tracks && i < size; i++) buf_add(&w->from[side], &from, sizeof from);
}

/* Bytes [from, to) of v, unchanged. */
static void put_part(token_work *w, int side, const text_view *v, size_t from, size_t to)
{
    buf_add(&w->text[side], v->text.data + from, to - from);
    for (size_t i = from; w->tracks && i < to; i++) {
        int32_t at = origin(v, i);
        buf_add(&w->from[side], &at, sizeof at);
    }
}

static int other_side(token_work *w, const text_view *v)
{
    int side = v->side == 0 ? 1 : 0;
    buf_clear(&w->text[side]);
    buf_clear(&w->from[side]);
    return side;
}

static bool take_side(token_work *w, text_view *v, int side)
{
    if (!buf_check(&w->text[side], "a text being normalized", w->e) ||
        !buf_check(&w->from[side], "a text being normalized", w->e)) {
        w->failed = true;
        return false;
    }
    v->text = buf_view(&w->text[side]);
    v->from = w->tracks ? (const int32_t *)(const void *)w->from[side].data : NULL;
    v->side = side;
    return true;
}

static bool wants_lead(const text_view *v, step_scheme scheme)
{
    if (v->text.size == 0) return false;
    return scheme == LEAD_ALWAYS || (scheme == LEAD_FIRST && v->leads);
}

/* The next match of a compiled expression in `text` at or after `at`. 1 found, 0 none, -1
 * failure. */
static int match(token_work *w, const token_step *s, str text, size_t at, size_t range[2])
{
    uint32_t options = PCRE2_NO_UTF_CHECK;
    int rc =
        pcre2_match(s->code, (PCRE2_SPTR)text.data, text.size, at, options, w->match, w->t->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(s->code, (PCRE2_SPTR)text.data, text.size, at, options | PCRE2_NO_JIT,
                         w->match, w->t->limits);
    if (rc == PCRE2_ERROR_NOMATCH) return 0;
    if (rc < 0) {
        w->failed = true;
        expression_error(w->t, s->pattern, "it takes too many steps on a text", w->e);
        return -1;
    }
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(w->match);
    range[0] = found[0];
    range[1] = found[1];
    if (found[0] >= at && found[1] >= found[0] && found[1] <= text.size) return 1;
    w->failed = true; /* \K can turn a match around */
    expression_error(w->t, s->pattern, "it matches backwards", w->e);
    return -1;
}

static size_t next_character(str text, size_t at)
{
    return at + (at < text.size ? (size_t)utf8_size((unsigned char)text.data[at]) : 1);
}

static void replace_matches(token_work *w, const token_step *s, const text_view *v, int side)
{
    size_t at = 0, done = 0, range[2];
    while (at <= v->text.size && match(w, s, v->text, at, range) == 1) {
        put_part(w, side, v, done, range[0]);
        put(w, side, s->content.data, s->content.size, origin(v, range[0]));
        done = range[1];
        at = range[1] > range[0] ? range[1] : next_character(v->text, range[1]);
    }
    if (!w->failed) put_part(w, side, v, done, v->text.size);
}

static void replace_literal(token_work *w, const token_step *s, const text_view *v, int side)
{
    size_t done = 0;
    while (done < v->text.size) {
        const char *at =
            memmem(v->text.data + done, v->text.size - done, s->pattern.data, s->pattern.size);
        if (!at) break;
        size_t from = (size_t)(at - v->text.data);
        put_part(w, side, v, done, from);
        put(w, side, s->content.data, s->content.size, origin(v, from));
        done = from + s->pattern.size;
    }
    put_part(w, side, v, done, v->text.size);
}

/* A normal form, between ASCII characters: nothing composes with an ASCII character behind it,
 * and those are their own normal forms. */
static void put_form(token_work *w, const token_step *s, const text_view *v, int side)
{
    buf *out = &w->text[side];
    for (size_t i = 0; i < v->text.size;) {
        size_t start = i++;
        while (i < v->text.size && (unsigned char)v->text.data[i] >= 0x80) i++;
        if (i - start == 1) {
            put_part(w, side, v, start, i);
            continue;
        }
        size_t before = out->size;
        int32_t from = origin(v, start);
        if (!utf8_normalize(str_part(v->text, start, i - start), s->form, out)) out->failed = true;
        for (size_t k = before; w->tracks && k < out->size; k++)
            buf_add(&w->from[side], &from, sizeof from);
    }
}

static void put_lower(token_work *w, const text_view *v, int side)
{
    for (size_t i = 0; i < v->text.size;) {
        size_t next = next_character(v->text, i), before = w->text[side].size;
        int32_t from = origin(v, i);
        utf8_lower(str_part(v->text, i, next - i), &w->text[side]);
        for (size_t k = before; w->tracks && k < w->text[side].size; k++)
            buf_add(&w->from[side], &from, sizeof from);
        i = next;
    }
}

static void put_squeezed(token_work *w, const text_view *v, int side)
{
    size_t to = v->text.size;
    for (;;) { /* at the end a written-out U+2581 counts as a blank, as in SentencePiece */
        str rest = str_part(v->text, 0, to);
        if (str_ends(rest, " ")) to -= 1;
        else if (str_ends(rest, "\xE2\x96\x81")) to -= 3;
        else break;
    }
    bool after_blank = true;
    for (size_t i = 0; i < to; i++) {
        bool blank = v->text.data[i] == ' ';
        if (!(blank && after_blank)) put_part(w, side, v, i, i + 1);
        after_blank = blank;
    }
}

static void strip(const token_step *s, text_view *v)
{
    size_t from = 0, to = v->text.size;
    while (s->left && from < to) {
        size_t next = from;
        if (!utf8_is_space(utf8_next(v->text, &next))) break;
        from = next;
    }
    while (s->right && to > from) {
        size_t last = to - 1, end;
        while (last > from && ((unsigned char)v->text.data[last] & 0xC0) == 0x80) last--;
        end = last;
        if (!utf8_is_space(utf8_next(v->text, &end))) break;
        to = last;
    }
    if (to < v->text.size) v->end = origin(v, to);
    if (!v->from) v->start += (int32_t)from;
    else v->from += from;
    v->text = str_part(v->text, from, to - from);
}

bool token_normalize(token_work *w, text_view *v)
{
    for (int32_t i = 0; i < w->t->n_norm && !w->failed; i++) {
        const token_step *s = &w->t->norm[i];
        if (s->kind == STEP_STRIP) {
            strip(s, v);
            continue;
        }
        if (s->kind == STEP_PREPEND && !wants_lead(v, s->scheme)) continue;
        int side = other_side(w, v);
        switch (s->kind) {
        case STEP_PREPEND:
            put(w, side, s->content.data, s->content.size, origin(v, 0));
            put_part(w, side, v, 0, v->text.size);
            break;
        case STEP_REPLACE: replace_literal(w, s, v, side); break;
        case STEP_REPLACE_MATCH: replace_matches(w, s, v, side); break;
        case STEP_FORM: put_form(w, s, v, side); break;
        case STEP_LOWER: put_lower(w, v, side); break;
        case STEP_SQUEEZE: put_squeezed(w, v, side); break;
        default: assert(!"a step of the pre-tokenizer");
        }
        if (!w->failed) take_side(w, v, side);
    }
    return !w->failed;
}

/* ---- the pre-tokenizer: cutting a text into pieces ---- */

/* One piece being cut: its spans arrive from left to right. */
typedef struct cutter {
    buf *out;
    step_behaviour behaviour;
    size_t floor; /* pieces of `out` before this belong to others */
    bool previous_match, previous_empty;
} cutter;

static void add_piece(cutter *c, int32_t from, int32_t to)
{
    if (from < to) buf_add(c->out, &(piece){from, to}, sizeof(piece));
}

static piece *last_piece(cutter *c)
{
    if (c->out->failed || c->out->size <= c->floor) return NULL;
    return (piece *)(void *)(c->out->data + c->out->size) - 1;
}

static void add_span(cutter *c, int32_t from, int32_t to, bool is_match)
{
    piece *last = last_piece(c);
    bool joins = false;
    switch (c->behaviour) {
    case SPLIT_ISOLATED: break;
    case SPLIT_REMOVED:
        if (is_match) return;
        break;
    case SPLIT_CONTIGUOUS: joins = is_match == c->previous_match; break;
    case SPLIT_PREVIOUS: joins = is_match && !c->previous_match; break;
    case SPLIT_NEXT: joins = !is_match && c->previous_match && !c->previous_empty; break;
    }
    c->previous_match = is_match;
    c->previous_empty = from == to;
    if (joins && last && last->to == from) last->to = to;
    else add_piece(c, from, to);
}

/* Matches as the makers' engines list them: an empty one straight behind another match is none. */
static void cut_piece(token_work *w, const token_step *s, str text, piece p, cutter *c)
{
    str part = str_part(text, (size_t)p.from, (size_t)(p.to - p.from));
    size_t at = 0, done = 0, range[2];
    int64_t last_end = -1;
    while (at <= part.size && match(w, s, part, at, range) == 1) {
        if (range[0] == range[1] && (int64_t)range[1] == last_end) {
            at = next_character(part, at);
            continue;
        }
        if (range[0] > done)
            add_span(c, p.from + (int32_t)done, p.from + (int32_t)range[0], s->invert);
        add_span(c, p.from + (int32_t)range[0], p.from + (int32_t)range[1], !s->invert);
        done = at = range[1];
        last_end = (int64_t)range[1];
    }
    if (!w->failed && done < part.size) add_span(c, p.from + (int32_t)done, p.to, s->invert);
}

static void rewrite_piece(token_work *w, const token_step *s, const text_view *v, piece p, int side)
{
    static const char mark[] = "\xE2\x96\x81";
    str text = str_part(v->text, (size_t)p.from, (size_t)(p.to - p.from));
    buf *out = &w->text[side];
    if (s->kind == STEP_BYTE_LEAD) {
        if (text.data[0] != ' ') buf_add_char(out, ' ');
        buf_add_str(out, text);
    } else if (s->kind == STEP_BYTE_MAP) {
        for (size_t i = 0; i < text.size; i++) {
            char bytes[4];
            buf_add(out, bytes,
                    (size_t)utf8_put(bytes, token_byte_char((unsigned char)text.data[i])));
        }
    } else {
        assert(s->kind == STEP_META);
        bool led = text.data[0] == ' ' || str_starts(text, mark);
        text_view whole = *v;
        whole.leads = v->leads && p.from == 0;
        if (!led && wants_lead(&whole, s->scheme)) buf_add_str(out, s->content);
        for (size_t i = 0; i < text.size; i++) {
            if (text.data[i] == ' ') buf_add_str(out, s->content);
            else buf_add_char(out, text.data[i]);
        }
    }
}

/* One step over all pieces: from w->piece[which] to the other list. */
static void run_step(token_work *w, const token_step *s, text_view *v, int which)
{
    const piece *p = (const piece *)(const void *)w->piece[which].data;
    size_t n = w->piece[which].size / sizeof *p;
    buf *out = &w->piece[1 - which];
    buf_clear(out);
    if (s->kind == STEP_SPLIT) {
        for (size_t i = 0; i < n && !w->failed; i++) {
            cutter c = {.out = out, .behaviour = s->behaviour, .floor = out->size};
            cut_piece(w, s, v->text, p[i], &c);
        }
    } else {
        int side = v->side == 2 ? 3 : 2; /* not over the normalized text: more of it may follow */
        buf_clear(&w->text[side]);
        for (size_t i = 0; i < n; i++) {
            int32_t from = (int32_t)w->text[side].size;
            rewrite_piece(w, s, v, p[i], side);
            buf_add(out, &(piece){from, (int32_t)w->text[side].size}, sizeof(piece));
        }
        if (!buf_check(&w->text[side], "a text in pieces", w->e)) w->failed = true;
        v->text = buf_view(&w->text[side]);
        v->from = NULL; /* nothing is looked up by origin any more */
        v->side = side;
    }
    if (!w->failed && !buf_check(out, "the pieces of a text", w->e)) w->failed = true;
}

void token_split_run(token_work *w, text_view v)
{
    if (w->failed || v.text.size == 0) return;
    if (w->t->n_pre == 0) {
        token_model_run(w, v.text);
        return;
    }
    int which = 0;
    buf_clear(&w->piece[0]);
    buf_add(&w->piece[0], &(piece){0, (int32_t)v.text.size}, sizeof(piece));
    for (int32_t i = 0; i < w->t->n_pre && !w->failed; i++) {
        run_step(w, &w->t->pre[i], &v, which);
        which = 1 - which;
    }
    const piece *p = (const piece *)(const void *)w->piece[which].data;
    size_t n = w->failed ? 0 : w->piece[which].size / sizeof *p;
    for (size_t i = 0; i < n && !w->failed; i++)
        token_model_run(w, str_part(v.text, (size_t)p[i].from, (size_t)(p[i].to - p[i].from)));
}
