/* prompt: see prompt.h. Marks are U+E000 number U+E001 from the private-use area: no template
 * writes them. They stand for contents only while a form is made, so a content may hold such
 * characters. */
#include "text/prompt.h"

#include <assert.h>

#define MARK_OPEN "\xEE\x80\x80"
#define MARK_CLOSE "\xEE\x80\x81"

enum { PROMPT_BYTES_MAX = 64 << 20 };

/* `text` NULL: marks in the place of contents. */
static json_t *context_of(const prompt_form *f, const str *text)
{
    json_t *messages = json_array();
    for (int32_t i = 0; i < f->n_message; i++) {
        const prompt_message *m = &f->message[i];
        buf content = buf_up_to(PROMPT_BYTES_MAX);
        if (text) {
            buf_add_str(&content, m->content);
            if (m->slot) buf_add_str(&content, *text);
            if (m->slot) buf_add_str(&content, m->after);
        } else {
            buf_printf(&content, MARK_OPEN "%d" MARK_CLOSE, i);
        }
        json_t *message = json_object();
        json_object_set_new(message, "role", json_string(m->role));
        json_object_set_new(message, "content",
                            json_stringn(buf_view(&content).data, content.size));
        json_array_append_new(messages, message);
        buf_close(&content);
    }
    json_t *context = json_object();
    json_object_set_new(context, "messages", messages);
    json_object_set_new(context, "bos_token", json_stringn(f->rules.bos.data, f->rules.bos.size));
    json_object_set_new(context, "eos_token", json_stringn(f->rules.eos.data, f->rules.eos.size));
    json_object_set_new(context, "add_generation_prompt", json_true());
    return context;
}

static bool render(const prompt_form *f, const str *text, buf *out, err *e)
{
    if (!f->rules.chat) { /* plain text: contents one after the other, as their makers wrote them */
        for (int32_t i = 0; i < f->n_message; i++) {
            const prompt_message *m = &f->message[i];
            if (!text) {
                buf_printf(out, MARK_OPEN "%d" MARK_CLOSE, i);
                continue;
            }
            buf_add_str(out, m->content);
            if (m->slot) buf_add_str(out, *text);
            if (m->slot) buf_add_str(out, m->after);
        }
        return buf_check(out, "a prompt", e);
    }
    json_t *context = context_of(f, text);
    bool ok = chat_render(f->rules.chat, context, out, e);
    json_decref(context);
    return ok;
}

/* The next mark in s from *at on: its number, or -1. *from and *to are its bytes. */
static int32_t next_mark(str s, size_t at, size_t *from, size_t *to)
{
    int64_t open = str_find(str_part(s, at, s.size - at), STR(MARK_OPEN));
    if (open < 0) return -1;
    *from = at + (size_t)open;
    size_t inside = *from + strlen(MARK_OPEN);
    int64_t close = str_find(str_part(s, inside, s.size - inside), STR(MARK_CLOSE));
    int64_t number = -1;
    if (close < 0 || !str_to_int(str_part(s, inside, (size_t)close), &number)) return -1;
    *to = inside + (size_t)close + strlen(MARK_CLOSE);
    return (int32_t)number;
}

static bool template_fails(err *e)
{
    return err_set(e, ERR_MODEL,
                   "the chat template changes, repeats or leaves out a message, so the prompt "
                   "cannot be cut at the "
                   "text; use `template: plain` in the study file");
}

/* Puts the contents back in the place of their marks and notes where they stand. */
static bool fill_marks(prompt_form *f, str marked, buf *before, buf *after, err *e)
{
    size_t at = 0, from = 0, to = 0;
    int32_t seen = 0;
    buf *out = before;
    for (int32_t i = next_mark(marked, at, &from, &to); i >= 0;
         i = next_mark(marked, at, &from, &to)) {
        if (i != seen || i >= f->n_message) return template_fails(e);
        const prompt_message *m = &f->message[i];
        buf_add(out, marked.data + at, from - at);
        int64_t start = (int64_t)(before->size + after->size);
        buf_add_str(out, m->content);
        if (m->slot) {
            f->slot = i;
            out = after;
            buf_add_str(out, m->after);
        }
        f->plain[i] = (token_range){start, (int64_t)(before->size + after->size)};
        at = to;
        seen++;
    }
    buf_add(out, marked.data + at, marked.size - at);
    if (seen != f->n_message) return template_fails(e);
    return buf_check(before, "a prompt", e) && buf_check(after, "a prompt", e);
}

static bool check_contents(const prompt_message *m, int32_t n_message, err *e)
{
    int32_t slots = 0;
    for (int32_t i = 0; i < n_message; i++) {
        slots += m[i].slot;
    }
    assert(slots <= 1);
    if (n_message > PROMPT_MESSAGES_MAX) {
        return err_set(e, ERR_USAGE, "a prompt of %d messages; at most %d are allowed", n_message,
                       PROMPT_MESSAGES_MAX);
    }
    return true;
}

static int32_t common_prefix(const token_list *a, const token_list *b)
{
    int32_t n = 0;
    while (n < a->n && n < b->n && a->id[n] == b->id[n]) n++;
    return n;
}

/* Tokens that stay whatever stands in the slot: the common beginning over probes of every kind of
 * character. */
static bool find_head(prompt_form *f, arena *a, err *e)
{
    static const char *const probes[] = {"",          "a",   "Zq",    "the ", " x",
                                         "  y",       "\n",  "\n\nz", "7",    "00",
                                         ".",         "-- ", "'s",    "(",    "환자",
                                         " 열",       "é",   "\t",    "```",  "\xF0\x9F\x98\xB7",
                                         "\xC2\xB5g", "患者"};
    token_list first = {0}, other = {0};
    bool ok = prompt_encode(f, STR("A"), &first, e);
    int32_t n = (int32_t)first.n;
    for (size_t i = 0; ok && i < countof(probes); i++) {
        other.n = 0;
        ok = prompt_encode(f, str_of(probes[i]), &other, e);
        int32_t same = ok ? common_prefix(&first, &other) : 0;
        if (same < n) n = same;
    }
    f->n_head = n;
    f->head = ok ? arena_take(a, (size_t)n, sizeof *f->head, e) : NULL;
    f->n_tail = (int32_t)first.n - n;
    f->tail = f->head ? arena_take(a, (size_t)f->n_tail, sizeof *f->tail, e) : NULL;
    if (f->head && n) memcpy(f->head, first.id, (size_t)n * sizeof *f->head);
    if (f->tail && f->n_tail) memcpy(f->tail, first.id + n, (size_t)f->n_tail * sizeof *f->tail);
    token_list_close(&first);
    token_list_close(&other);
    return ok && f->head && f->tail;
}

/* The last special token that the template writes behind the contents, and what follows it. Taken
 * only when its ids alone are those at the end of a whole prompt. */
static bool find_closing(prompt_form *f, arena *a, err *e)
{
    const tokenizer *t = f->rules.tokens;
    token_list whole = {0}, alone = {0};
    int64_t end_plain = 0;
    for (int32_t i = 0; i < f->n_plain; i++) {
        if (f->plain[i].to > end_plain) end_plain = f->plain[i].to;
    }
    int64_t from = end_plain - (int64_t)f->before.size, n = 0;
    if (from < 0) from = 0;
    str rest = str_part(f->after, (size_t)from, f->after.size - (size_t)from);
    bool ok = prompt_encode(f, STR("A"), &whole, e);
    for (n = whole.n; ok && n > f->n_head && !token_is_special(t, whole.id[n - 1]);) n--;
    str mark = ok && n > f->n_head ? token_text(t, whole.id[n - 1]) : STR("");
    int64_t at = -1;
    for (size_t i = 0; mark.size && i + mark.size <= rest.size; i++) {
        if (!memcmp(rest.data + i, mark.data, mark.size)) at = (int64_t)i;
    }
    if (ok && at >= 0) {
        f->closing = str_part(rest, (size_t)at, rest.size - (size_t)at);
        ok = token_encode(t, f->closing, (token_options){.parse_special = true}, &alone, e);
        bool same = alone.n == whole.n - n + 1 &&
                    !memcmp(alone.id, whole.id + n - 1, (size_t)alone.n * sizeof *alone.id);
        f->closing_id = ok && same ? arena_take(a, (size_t)alone.n, sizeof(int32_t), e) : NULL;
        if (f->closing_id) {
            memcpy(f->closing_id, alone.id, (size_t)alone.n * sizeof *alone.id);
            f->n_closing = (int32_t)alone.n;
        }
    }
    token_list_close(&whole);
    token_list_close(&alone);
    return ok && e->code == ERR_NONE;
}

int32_t prompt_stem(const prompt_form *f, const int32_t *id, int32_t n)
{
    int32_t same = 0;
    while (same < f->n_tail && same < n && f->tail[f->n_tail - 1 - same] == id[n - 1 - same])
        same++;
    return same >= PROMPT_TAIL_MIN && n - same > f->n_head ? n - same : 0;
}

bool prompt_form_make(prompt_form *f, const prompt_rules *r, const prompt_message *m,
                      int32_t n_message, arena *a, err *e)
{
    assert(r->tokens && n_message > 0);
    *f = (prompt_form){
        .rules = *r, .message = m, .n_message = n_message, .n_plain = n_message, .slot = -1};
    if (!check_contents(m, n_message, e)) return false;
    buf marked = buf_up_to(PROMPT_BYTES_MAX), before = buf_up_to(PROMPT_BYTES_MAX),
        after = buf_up_to(PROMPT_BYTES_MAX);
    f->plain = arena_take_zero(a, (size_t)n_message, sizeof *f->plain, e);
    bool ok = f->plain && render(f, NULL, &marked, e);
    ok = ok && fill_marks(f, buf_view(&marked), &before, &after, e);
    if (ok) {
        f->before = str_keep(a, buf_view(&before), e);
        f->after = str_keep(a, buf_view(&after), e);
    }
    buf_close(&marked);
    buf_close(&before);
    buf_close(&after);
    return ok && e->code == ERR_NONE &&
           (f->slot < 0 || (find_head(f, a, e) && find_closing(f, a, e)));
}

void prompt_write(const prompt_form *f, str text, buf *out)
{
    buf_add_str(out, f->before);
    if (f->slot >= 0) buf_add_str(out, text);
    buf_add_str(out, f->after);
}

/* Encodes prompt + answer; contents, text and answer are plain. */
static bool encode_with(const prompt_form *f, str text, str answer, token_list *out, err *e)
{
    buf whole = buf_up_to(PROMPT_BYTES_MAX), ranges = buf_up_to(PROMPT_BYTES_MAX);
    prompt_write(f, text, &whole);
    int64_t stretch = f->slot >= 0 ? (int64_t)text.size : 0, end = (int64_t)whole.size;
    for (int32_t i = 0; i < f->n_plain; i++) {
        token_range g = f->plain[i];
        if (f->slot >= 0 && i > f->slot) g.from += stretch;
        if (f->slot >= 0 && i >= f->slot) g.to += stretch;
        if (g.to > g.from) buf_add(&ranges, &g, sizeof g);
    }
    buf_add_str(&whole, answer);
    token_range last = {end, (int64_t)whole.size};
    if (answer.size) buf_add(&ranges, &last, sizeof last);
    token_options o = {.parse_special = true,
                       .add_bos = true,
                       .plain = (const token_range *)(const void *)ranges.data,
                       .n_plain = (int32_t)(ranges.size / sizeof(token_range))};
    bool ok = buf_check(&whole, "a prompt", e) && buf_check(&ranges, "a prompt", e);
    ok = ok && token_encode(f->rules.tokens, buf_view(&whole), o, out, e);
    buf_close(&whole);
    buf_close(&ranges);
    return ok;
}

bool prompt_encode(const prompt_form *f, str text, token_list *out, err *e)
{
    return encode_with(f, text, STR(""), out, e);
}

bool prompt_check(const prompt_form *f, str text, err *e)
{
    buf rendered = buf_up_to(PROMPT_BYTES_MAX), written = buf_up_to(PROMPT_BYTES_MAX);
    bool ok = render(f, &text, &rendered, e);
    prompt_write(f, text, &written);
    if (ok && !str_equal(buf_view(&rendered), buf_view(&written))) ok = template_fails(e);
    buf_close(&rendered);
    buf_close(&written);
    return ok;
}

/* `whole` are the ids of prompt + answer: takes the answer's, or encodes the answer apart. */
static bool split_answer(const tokenizer *t, const token_list *whole, bool special,
                         prompt_answer *a, err *e)
{
    int64_t n = a->prompt->n, before = a->out->n;
    a->forced = whole->n <= n || common_prefix(a->prompt, whole) < n;
    if (!a->forced) return token_list_add(a->out, whole->id + n, whole->n - n, e);
    token_options apart = {.parse_special = special};
    if (!token_encode(t, a->answer, apart, a->out, e)) return false;
    if (a->out->n > before) return true;
    return err_set(e, ERR_USAGE, "an answer of %zu bytes has no tokens; give it some text",
                   a->answer.size);
}

/* The answer behind the closing alone; false without an error: the prompt does not end in it. */
static bool encode_behind_closing(const prompt_form *f, prompt_answer *a, bool *done, err *e)
{
    int64_t n = f->n_closing;
    *done = n > 0 && a->prompt->n > n &&
            !memcmp(a->prompt->id + a->prompt->n - n, f->closing_id, (size_t)n * sizeof(int32_t));
    if (!*done) return true;
    buf both = buf_up_to(PROMPT_BYTES_MAX);
    token_list ids = {0}, closing = {.id = f->closing_id, .n = n};
    const token_list *prompt = a->prompt;
    buf_add_str(&both, f->closing);
    buf_add_str(&both, a->answer);
    token_range plain = {(int64_t)f->closing.size, (int64_t)both.size};
    token_options o = {.parse_special = true, .plain = &plain, .n_plain = a->answer.size > 0};
    bool ok = buf_check(&both, "an answer", e) &&
              token_encode(f->rules.tokens, buf_view(&both), o, &ids, e);
    a->prompt = &closing;
    ok = ok && split_answer(f->rules.tokens, &ids, false, a, e);
    a->prompt = prompt;
    token_list_close(&ids);
    buf_close(&both);
    return ok;
}

bool prompt_encode_answer(const prompt_form *f, str text, prompt_answer *a, err *e)
{
    bool done = false;
    if (!encode_behind_closing(f, a, &done, e)) return false;
    return done || prompt_encode_answer_whole(f, text, a, e);
}

bool prompt_encode_answer_whole(const prompt_form *f, str text, prompt_answer *a, err *e)
{
    token_list whole = {0};
    bool ok = encode_with(f, text, a->answer, &whole, e);
    ok = ok && split_answer(f->rules.tokens, &whole, false, a, e);
    token_list_close(&whole);
    return ok;
}

bool prompt_encode_verbatim(const tokenizer *t, str prompt, token_list *out, err *e)
{
    token_options o = {.parse_special = true, .add_bos = true};
    return token_encode(t, prompt, o, out, e);
}

bool prompt_encode_answer_verbatim(const tokenizer *t, str prompt, prompt_answer *a, err *e)
{
    token_list whole = {0};
    buf text = buf_up_to(PROMPT_BYTES_MAX);
    buf_add_str(&text, prompt);
    buf_add_str(&text, a->answer);
    bool ok = buf_check(&text, "a prompt", e);
    ok = ok && prompt_encode_verbatim(t, buf_view(&text), &whole, e);
    ok = ok && split_answer(t, &whole, true, a, e);
    buf_close(&text);
    token_list_close(&whole);
    return ok;
}
