/* chat_lex: a template's source to tokens.
 *
 * How: walks text and tags as Jinja's lexer does, its white space rules included:
 *
 *     trim_blocks     one line break after %} or #} goes
 *     lstrip_blocks   blanks before {% or {# on its line go
 *     -               at either end of a tag strips all white space on that side
 *     +               keeps it
 *
 * Assumes nothing of the source: UTF-8 is checked, lines are made to end in \n and one line break
 * at the very end is dropped, as Jinja does. Refuses: names that are not ASCII, \N{} escapes, whole
 * numbers beyond 64 bits.
 */
#include "text/chat_parse_in.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <utf8proc.h>

bool chat_parse_fail(parser *p, int32_t line, const char *format, ...)
{
    char text[600];
    va_list rest;
    va_start(rest, format);
    vsnprintf(text, sizeof text, format, rest);
    va_end(rest);
    p->next = p->n_token ? p->n_token - 1 : 0; /* the end token */
    return err_set(p->e, ERR_MODEL, "%s: line %d: %s", p->t->name, line, text);
}

/* ---- characters ---- */

bool chat_is_space(int32_t c)
{
    if (c < 128) return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static size_t space_at(str s, size_t at) /* bytes of the white space character there, or 0 */
{
    if (at >= s.size) return 0;
    utf8proc_int32_t c = 0;
    const utf8proc_uint8_t *data = (const utf8proc_uint8_t *)s.data + at;
    utf8proc_ssize_t n = utf8proc_iterate(data, (utf8proc_ssize_t)(s.size - at), &c);
    return n > 0 && chat_is_space(c) ? (size_t)n : 0;
}

static size_t strip_end(str s, size_t from) /* the size of s without white space after `from` */
{
    size_t end = from, at = from;
    while (at < s.size) {
        size_t n = space_at(s, at);
        at += n ? n : 1;
        if (!n) end = at;
    }
    return end;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_name_part(char c) { return is_name_start(c) || is_digit(c); }

static char peek_char(const parser *p, size_t ahead)
{
    return ahead < p->source.size - p->at ? p->source.data[p->at + ahead] : 0;
}

static bool looking_at(const parser *p, const char *text)
{
    return str_starts(str_part(p->source, p->at, p->source.size - p->at), text);
}

static void skip_bytes(parser *p, size_t n)
{
    for (size_t i = 0; i < n; i++) p->line += p->source.data[p->at + i] == '\n';
    p->at += n;
}

static void skip_space(parser *p)
{
    for (size_t n; (n = space_at(p->source, p->at)) > 0;) skip_bytes(p, n);
}

/* ---- tables of the tree ---- */

int32_t chat_add_constant(parser *p, value v)
{
    chat_template *t = p->t;
    assert(t->n_constant < p->room_constant);
    t->constants[t->n_constant] = v;
    return t->n_constant++;
}

int32_t chat_add_name(parser *p, str name)
{
    chat_template *t = p->t;
    for (int32_t i = 0; i < t->n_name; i++) {
        if (str_equal(t->names[i], name)) return i;
    }
    if (t->n_name == p->room_name) {
        chat_parse_fail(p, p->line, "more than %d different names", p->room_name);
        return 0;
    }
    t->names[t->n_name] = name;
    return t->n_name++;
}

static token *add_token(parser *p, token_kind kind, str text)
{
    assert(p->n_token < p->room_token);
    token *k = &p->tokens[p->n_token++];
    *k = (token){.kind = (uint8_t)kind, .line = p->line, .text = text};
    return k;
}

/* ---- lexer ---- */

/* The part of `text` that stays before a tag with this sign ('-', '+' or 0). */
static str text_before(const parser *p, str text, char sign, bool is_block)
{
    if (sign == '-') return str_part(text, 0, strip_end(text, 0));
    if (sign == '+' || !is_block) return text;
    const char *line = text.size ? memrchr(text.data, '\n', text.size) : NULL;
    size_t from = line ? (size_t)(line - text.data) + 1 : 0;
    if (from == 0 && !p->line_starting) return text;
    return strip_end(text, from) == from ? str_part(text, 0, from) : text;
}

static void add_data(parser *p, str text, str kept)
{
    if (kept.size) add_token(p, T_DATA, kept);
    for (size_t i = 0; i < text.size; i++) p->line += text.data[i] == '\n';
}

/* After a tag's end: a `-` takes all white space with it, a block takes one line break. */
static void end_tag(parser *p, char sign, size_t size, bool is_block)
{
    skip_bytes(p, size);
    size_t at = p->at;
    if (sign == '-') skip_space(p);
    else if (is_block && sign != '+' && peek_char(p, 0) == '\n') skip_bytes(p, 1);
    p->line_starting = p->at > at && p->source.data[p->at - 1] == '\n';
}

static bool lex_comment(parser *p)
{
    int32_t line = p->line;
    size_t begin = p->at;
    int64_t end = str_find(str_part(p->source, begin, p->source.size - begin), STR("#}"));
    if (end < 0) return chat_parse_fail(p, line, "the comment is not closed with #}");
    skip_bytes(p, (size_t)end);
    char sign = end > 0 ? p->source.data[p->at - 1] : 0;
    end_tag(p, sign == '-' || sign == '+' ? sign : 0, 2, true);
    return true;
}

/* `{% raw %}`: p->at is after "{%" and its sign; 0 when it is another tag, else bytes to skip. */
static size_t raw_tag(str rest, const char *word, char *sign)
{
    size_t at = 0, n;
    while ((n = space_at(rest, at)) > 0) at += n;
    str tail = str_part(rest, at, rest.size - at);
    if (!str_starts(tail, word)) return 0;
    at += strlen(word);
    while ((n = space_at(rest, at)) > 0) at += n;
    tail = str_part(rest, at, rest.size - at);
    *sign = tail.size && (tail.data[0] == '-' || tail.data[0] == '+') ? tail.data[0] : 0;
    if (*sign) tail = str_part(tail, 1, tail.size - 1);
    if (!str_starts(tail, "%}")) return 0;
    return at + (*sign ? 3 : 2);
}

static bool lex_raw(parser *p, size_t size, char sign)
{
    int32_t line = p->line;
    end_tag(p, sign, size, false);
    for (size_t at = p->at; at + 2 <= p->source.size; at++) {
        if (p->source.data[at] != '{' || p->source.data[at + 1] != '%') continue;
        str rest = str_part(p->source, at + 2, p->source.size - at - 2);
        char before = rest.size && (rest.data[0] == '-' || rest.data[0] == '+') ? rest.data[0] : 0;
        if (before) rest = str_part(rest, 1, rest.size - 1);
        char after = 0;
        size_t n = raw_tag(rest, "endraw", &after);
        if (!n) continue;
        str text = str_part(p->source, p->at, at - p->at);
        add_data(p, text, text_before(p, text, before, true));
        p->at = at;
        end_tag(p, after, n + 2 + (before != 0), true);
        return true;
    }
    return chat_parse_fail(p, line, "the raw block is not closed with {%% endraw %%}");
}

static int hex_digit(char c)
{
    if (is_digit(c)) return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One escape of a string constant; *at is on the character after the backslash. */
static bool unescape(parser *p, str s, size_t *at, buf *out)
{
    static const char plain[] = "n\nt\tr\rb\bf\fv\va\a\\\\''\"\"";
    char c = s.data[(*at)++];
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    int64_t code = 0;
    for (size_t i = 0; i + 1 < sizeof plain; i += 2) {
        if (c == plain[i]) return buf_add_char(out, plain[i + 1]), true;
    }
    if (c == '\n') return true;
    if (c >= '0' && c <= '7') {
        code = c - '0';
        for (int i = 0; i < 2 && *at < s.size && s.data[*at] >= '0' && s.data[*at] <= '7'; i++)
            code = code * 8 + s.data[(*at)++] - '0';
    } else if (!digits) {
        if (c == 'N' || (unsigned char)c >= 128)
            return chat_parse_fail(p, p->line, "the escape \\%c of a string is not supported",
                                   c == 'N' ? c : '?');
        buf_add_char(out, '\\');
        buf_add_char(out, c);
        return true;
    }
    for (int i = 0; i < digits; i++) {
        int digit = *at < s.size ? hex_digit(s.data[*at]) : -1;
        if (digit < 0)
            return chat_parse_fail(p, p->line, "a string's \\%c escape needs %d hex digits", c,
                                   digits);
        code = code * 16 + digit;
        (*at)++;
    }
    utf8proc_uint8_t text[4];
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return chat_parse_fail(p, p->line, "a string's \\%c escape is not a Unicode character", c);
    buf_add(out, text, (size_t)utf8proc_encode_char((utf8proc_int32_t)code, text));
    return true;
}

static bool lex_string(parser *p)
{
    char quote = peek_char(p, 0);
    size_t end = p->at + 1;
    bool escaped = false;
    for (; end < p->source.size && p->source.data[end] != quote; end++) {
        if (p->source.data[end] != '\\') continue;
        escaped = true;
        end++;
    }
    if (end >= p->source.size)
        return chat_parse_fail(p, p->line, "the string is not closed with %c", quote);
    str text = str_part(p->source, p->at + 1, end - p->at - 1);
    token *k = add_token(p, T_CONST, text);
    if (escaped) {
        buf b = buf_up_to(CHAT_SOURCE_MAX * 4);
        for (size_t at = 0; at < text.size && !p->e->code;) {
            if (text.data[at] == '\\') at++, unescape(p, text, &at, &b);
            else buf_add_char(&b, text.data[at++]);
        }
        if (buf_check(&b, "a template's string", p->e))
            k->text = str_keep(&p->t->memory, buf_view(&b), p->e);
        buf_close(&b);
    }
    k->id = chat_add_constant(p, (value){.kind = V_STR, .s = k->text});
    skip_bytes(p, end + 1 - p->at);
    return !p->e->code;
}

/* Digits with single underscores between them; returns the bytes used. */
static size_t digits_at(const parser *p, size_t ahead, int base, buf *out)
{
    size_t n = 0;
    for (;; n++) {
        char c = peek_char(p, ahead + n);
        int digit = hex_digit(c);
        if (c == '_' && n) {
            digit = hex_digit(peek_char(p, ahead + n + 1));
            if (digit < 0 || digit >= base) return n;
            continue;
        }
        if (digit < 0 || digit >= base) return n;
        buf_add_char(out, c);
    }
}

static bool lex_whole(parser *p, buf *b, size_t *n, int64_t *whole)
{
    char kind = peek_char(p, 0) == '0' ? (char)(peek_char(p, 1) | 32) : 0;
    int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    buf_clear(b);
    *n = digits_at(p, base == 10 ? 0 : 2, base, b);
    if (base != 10 && *n) *n += 2;
    if (base != 10 && !*n) *n = 1, base = 10; /* "0" and then a name */
    bool zero = base == 10 && peek_char(p, 0) == '0';
    *whole = 0;
    for (size_t i = 0; i < b->size; i++) {
        if (zero && b->data[i] != '0')
            return chat_parse_fail(p, p->line, "a number may not begin with 0");
        if (__builtin_mul_overflow(*whole, base, whole) ||
            __builtin_add_overflow(*whole, hex_digit(b->data[i]), whole))
            return chat_parse_fail(p, p->line, "the number is too large");
    }
    return true;
}

static bool lex_number(parser *p)
{
    buf b = buf_up_to(CHAT_SOURCE_MAX);
    size_t n = digits_at(p, 0, 10, &b), used = n;
    bool after_dot = p->at && p->source.data[p->at - 1] == '.';
    if (peek_char(p, n) == '.' && is_digit(peek_char(p, n + 1))) {
        buf_add_char(&b, '.');
        used = n + 1 + digits_at(p, n + 1, 10, &b);
    }
    if ((peek_char(p, used) | 32) == 'e') {
        size_t sign = peek_char(p, used + 1) == '+' || peek_char(p, used + 1) == '-';
        if (is_digit(peek_char(p, used + 1 + sign))) {
            buf_add_char(&b, 'e');
            if (sign) buf_add_char(&b, peek_char(p, used + 1));
            used += 1 + sign + digits_at(p, used + 1 + sign, 10, &b);
        }
    }
    value v = {.kind = V_FLOAT};
    bool good = true;
    if (used > n && !after_dot) {
        if (!str_to_double(buf_view(&b), &v.f))
            good = chat_parse_fail(p, p->line, "the number is too long");
    } else {
        v.kind = V_INT;
        good = lex_whole(p, &b, &used, &v.i);
    }
    buf_close(&b);
    if (!good) return false;
    add_token(p, T_CONST, str_part(p->source, p->at, used))->id = chat_add_constant(p, v);
    p->at += used;
    return true;
}

static bool lex_operator(parser *p)
{
    static const struct {
        char text[3];
        uint8_t op;
    } two[] = {{"//", OP_FLOOR}, {"**", OP_POWER}, {"==", OP_EQ},
               {"!=", OP_NE},    {">=", OP_GE},    {"<=", OP_LE}};
    char c = peek_char(p, 0);
    for (size_t i = 0; i < countof(two); i++) {
        if (!looking_at(p, two[i].text)) continue;
        add_token(p, T_OP, str_part(p->source, p->at, 2))->op = two[i].op;
        p->at += 2;
        return true;
    }
    if (!c || !strchr("+-/*%~[](){}><=.:|,", c)) {
        if ((unsigned char)c >= 128 || c < 32)
            return chat_parse_fail(p, p->line, "unexpected character (code %02x) in a tag",
                                   (unsigned char)c);
        return chat_parse_fail(p, p->line, "unexpected character '%c' in a tag", c);
    }
    if (strchr("([{", c)) {
        if (p->n_bracket == CHAT_NEST_MAX)
            return chat_parse_fail(p, p->line, "brackets are nested too deeply");
        p->brackets[p->n_bracket++] = (uint8_t)(c == '(' ? ')' : c == '[' ? ']' : '}');
    } else if (strchr(")]}", c)) {
        if (!p->n_bracket) return chat_parse_fail(p, p->line, "unexpected '%c'", c);
        char wanted = (char)p->brackets[--p->n_bracket];
        if (wanted != c)
            return chat_parse_fail(p, p->line, "unexpected '%c', expected '%c'", c, wanted);
    }
    add_token(p, T_OP, str_part(p->source, p->at, 1))->op = (uint8_t)c;
    p->at++;
    return true;
}

/* The inside of {{ }} or {% %}, up to and with its end. */
static bool lex_inside(parser *p, bool is_block)
{
    const char *end = is_block ? "%}" : "}}";
    int32_t line = p->line;
    p->n_bracket = 0;
    while (p->at < p->source.size) {
        char c = peek_char(p, 0);
        char sign = c == '-' || (c == '+' && is_block) ? c : 0;
        if (!p->n_bracket && peek_char(p, sign != 0) == end[0] &&
            peek_char(p, (sign != 0) + 1) == end[1]) {
            add_token(p, is_block ? T_TAG_END : T_VAR_END, STR(""));
            end_tag(p, sign, sign ? 3 : 2, is_block);
            return true;
        }
        bool good = true;
        if (space_at(p->source, p->at)) {
            skip_space(p);
        } else if (is_digit(c)) {
            good = lex_number(p);
        } else if (is_name_start(c)) {
            size_t n = 1;
            while (is_name_part(peek_char(p, n))) n++;
            str name = str_part(p->source, p->at, n);
            add_token(p, T_NAME, name)->id = chat_add_name(p, name);
            p->at += n;
        } else if (c == '"' || c == '\'') {
            good = lex_string(p);
        } else {
            good = lex_operator(p);
        }
        if (!good || p->e->code) return false;
    }
    return chat_parse_fail(p, line, "the tag is not closed with %s", end);
}

static bool lex_next_tag(parser *p)
{
    size_t at = p->at;
    while (at + 1 < p->source.size &&
           !(p->source.data[at] == '{' && strchr("{%#", p->source.data[at + 1]) &&
             p->source.data[at + 1]))
        at++;
    bool found = at + 1 < p->source.size;
    if (!found) at = p->source.size;
    str text = str_part(p->source, p->at, at - p->at);
    if (!found) {
        add_data(p, text, text);
        p->at = at;
        return true;
    }
    char kind = p->source.data[at + 1];
    char sign = at + 2 < p->source.size ? p->source.data[at + 2] : 0;
    if (sign != '-' && sign != '+') sign = 0;
    add_data(p, text, text_before(p, text, sign, kind != '{'));
    p->at = at + 2 + (sign != 0);
    p->line_starting = false;
    if (kind == '#') return lex_comment(p);
    str rest = str_part(p->source, p->at, p->source.size - p->at);
    char after = 0;
    size_t raw = kind == '%' ? raw_tag(rest, "raw", &after) : 0;
    if (raw && after != '+') return lex_raw(p, raw, after);
    add_token(p, kind == '%' ? T_TAG : T_VAR, STR(""));
    return lex_inside(p, kind == '%');
}

/* ---- the whole ---- */

/* Jinja's reading of lines: \r\n and \r are \n, and one at the very end is dropped. */
static str normalise(parser *p, str source)
{
    char *copy = arena_take(&p->t->memory, source.size + 1, 1, p->e);
    size_t n = 0;
    if (!copy) return STR("");
    for (size_t i = 0; i < source.size; i++) {
        char c = source.data[i];
        if (c == '\n' && i && source.data[i - 1] == '\r') continue;
        copy[n++] = c == '\r' ? '\n' : c;
    }
    if (n && copy[n - 1] == '\n') n--;
    copy[n] = 0;
    return (str){copy, n};
}

static bool check_utf8(parser *p, str s)
{
    utf8proc_int32_t c;
    for (size_t at = 0; at < s.size;) {
        const utf8proc_uint8_t *data = (const utf8proc_uint8_t *)s.data + at;
        utf8proc_ssize_t n = utf8proc_iterate(data, (utf8proc_ssize_t)(s.size - at), &c);
        if (n <= 0) {
            int32_t line = 1;
            for (size_t i = 0; i < at; i++) line += s.data[i] == '\n';
            return chat_parse_fail(p, line, "the template is not valid UTF-8 (byte %zu)", at);
        }
        at += (size_t)n;
    }
    return true;
}

bool chat_lex(parser *p, str source)
{
    p->line = 1;
    if (source.size > CHAT_SOURCE_MAX)
        return chat_parse_fail(p, 1, "the template is larger than 1 MB");
    if (!check_utf8(p, source)) return false;
    p->source = normalise(p, source);
    p->room_token = (int32_t)p->source.size + 16; /* each has a byte, but for the last */
    p->tokens = arena_take(&p->t->memory, (size_t)p->room_token, sizeof *p->tokens, p->e);
    p->line_starting = true;
    while (!p->e->code && p->at < p->source.size) lex_next_tag(p);
    if (!p->e->code) add_token(p, T_END, STR(""));
    return !p->e->code;
}
