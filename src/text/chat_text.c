/* chat_text: the filters and methods of text and numbers, and the formats % and {}.
 *
 * How: text is a view where it can be (strip, split, slices) and built in the render's scratch
 * buffer otherwise; each loop pays steps for the bytes it reads and stops when its result passes 64
 * MB. Refuses: %(name)s and {:spec} formats, isdigit of signs that are numbers but no digits, int
 * in other bases.
 */
#include "text/chat_call_in.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <utf8proc.h>

/* ---- arguments ---- */

bool chat_absent(value v) { return v.kind == V_ABSENT || v.kind == V_NONE; }

bool chat_whole_arg(run *r, value v, int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    if (v.kind == V_ABSENT) return true;
    if (!chat_need_defined(r, v)) return false;
    if (!is_whole(v)) return chat_fail(r, "a whole number is expected, not %s", chat_value_type(v));
    *out = v.i;
    return true;
}

bool chat_str_arg(run *r, value v, str *out)
{
    if (!chat_need_defined(r, v)) return false;
    if (v.kind != V_STR) return chat_fail(r, "a text is expected, not %s", chat_value_type(v));
    *out = v.s;
    return true;
}

bool chat_finish_text(run *r, size_t start, value *out)
{
    *out = of_str(STR(""));
    return chat_value_scratch(r, start, &out->s);
}

/* ---- text: filters and methods ---- */

bool chat_self_text(run *r, const call *c, str *out) { return chat_value_str(r, c->self, out); }

bool chat_do_case(run *r, const call *c, value *out)
{
    str s = {0};
    *out = of_str(s);
    return chat_self_text(r, c, &s) && chat_text_map(r, s, (text_case)c->aux, &out->s);
}

static bool is_word_break(int32_t ch)
{
    return chat_is_space(ch) || (ch < 128 && strchr("-({[<", ch));
}

bool chat_do_title_filter(run *r, const call *c,
                          value *out) /* capitals after - ( { [ < and space */
{
    str s = {0};
    size_t start = r->scratch.size;
    if (!chat_self_text(r, c, &s)) return false;
    while (s.size) {
        str rest = s, word, piece;
        bool breaks = is_word_break(chat_text_next(&rest));
        for (str next = rest; next.size && is_word_break(chat_text_next(&next)) == breaks;)
            rest = next;
        word = str_part(s, 0, s.size - rest.size);
        s = rest;
        str tail = chat_text_from(word, 1), head = str_part(word, 0, word.size - tail.size);
        if (!chat_text_map(r, head, CASE_UPPER, &piece)) return false;
        buf_add_str(&r->scratch, piece);
        if (!chat_text_map(r, tail, CASE_LOWER, &piece)) return false;
        buf_add_str(&r->scratch, piece);
    }
    return chat_finish_text(r, start, out);
}

bool chat_do_strip(run *r, const call *c, value *out)
{
    str s = {0}, set = {0};
    if (!chat_self_text(r, c, &s)) return false;
    if (!chat_absent(c->p[0]) && !chat_str_arg(r, c->p[0], &set)) return false;
    *out = of_str(chat_text_strip(s, chat_absent(c->p[0]) ? NULL : &set, c->aux & 1, c->aux & 2));
    return chat_spend(r, s.size / 64);
}

static bool replace_text(run *r, str s, str old, str new, int64_t count, value *out)
{
    size_t start = r->scratch.size;
    if (count < 0) count = INT64_MAX;
    for (; count > 0; count--) {
        int64_t at = old.size ? str_find(s, old) : 0;
        if (at < 0) break;
        if (!chat_spend(r, 1 + ((size_t)at + new.size) / 64)) return false;
        if (r->scratch.size > CHAT_OUT_MAX) return chat_fail(r, "the text is larger than 64 MB");
        buf_add(&r->scratch, s.data, (size_t)at);
        buf_add_str(&r->scratch, new);
        s = str_part(s, (size_t)at + old.size, s.size - (size_t)at - old.size);
        if (old.size) continue;
        str rest = s; /* an empty text is found before each character and at the end */
        if (!s.size) break;
        chat_text_next(&rest);
        buf_add(&r->scratch, s.data, s.size - rest.size);
        s = rest;
    }
    buf_add_str(&r->scratch, s);
    return chat_finish_text(r, start, out);
}

bool chat_do_replace_filter(run *r, const call *c, value *out)
{
    str s = {0}, old = {0}, new = {0};
    int64_t count = -1;
    if (!chat_self_text(r, c, &s) || !chat_value_str(r, c->p[0], &old) ||
        !chat_value_str(r, c->p[1], &new))
        return false;
    if (!chat_absent(c->p[2]) && !chat_whole_arg(r, c->p[2], -1, &count)) return false;
    return replace_text(r, s, old, new, count, out);
}

bool chat_do_replace(run *r, const call *c, value *out)
{
    str old = {0}, new = {0};
    int64_t count = -1;
    if (!chat_str_arg(r, c->p[0], &old) || !chat_str_arg(r, c->p[1], &new)) return false;
    return chat_whole_arg(r, c->p[2], -1, &count) &&
           replace_text(r, c->self.s, old, new, count, out);
}

static bool push_text(run *r, seq *q, int64_t *room, str s)
{
    if (q->n == *room) {
        value *at = chat_take(r, *room * 2 + 8, sizeof *at);
        if (!at) return false;
        if (q->n) memcpy(at, q->at, (size_t)q->n * sizeof *at);
        q->at = at;
        *room = *room * 2 + 8;
    }
    q->at[q->n++] = of_str(s);
    return chat_spend(r, 1 + s.size / 64);
}

static bool split_words(run *r, str s, int64_t most, seq *q, int64_t *room)
{
    for (s = chat_text_strip(s, NULL, true, false); s.size;) {
        str rest = s, before = s;
        if (q->n == most) return push_text(r, q, room, s);
        while (rest.size) {
            before = rest;
            if (chat_is_space(chat_text_next(&rest))) break;
            before = rest;
        }
        if (!push_text(r, q, room, str_part(s, 0, s.size - before.size))) return false;
        s = chat_text_strip(before, NULL, true, false);
    }
    return true;
}

static bool rsplit_words(run *r, str s, int64_t most, seq *q, int64_t *room)
{
    for (s = chat_text_strip(s, NULL, false, true); s.size;) {
        size_t at = s.size;
        if (q->n == most) return push_text(r, q, room, s);
        for (size_t i = s.size; i > 0;) {
            do i--;
            while (i > 0 && ((unsigned char)s.data[i] & 0xC0) == 0x80);
            str c = str_part(s, i, s.size - i);
            if (chat_is_space(chat_text_next(&c))) break;
            at = i;
        }
        if (!push_text(r, q, room, str_part(s, at, s.size - at))) return false;
        s = chat_text_strip(str_part(s, 0, at), NULL, false, true);
    }
    return true;
}

static int64_t find_last(str s, str part)
{
    for (size_t i = s.size; i + 1 > 0 && part.size <= s.size; i--) {
        if (i + part.size <= s.size && !memcmp(s.data + i, part.data, part.size)) return (int64_t)i;
        if (i == 0) break;
    }
    return -1;
}

static void reverse_items(seq *q)
{
    for (int64_t i = 0; i < q->n / 2; i++) {
        value v = q->at[i];
        q->at[i] = q->at[q->n - 1 - i];
        q->at[q->n - 1 - i] = v;
    }
}

/* aux of the call: from the right, the parts in reverse. */
static bool split_at(run *r, const call *c, str part, int64_t most, seq *q)
{
    str s = c->self.s;
    int64_t room = 0;
    while (q->n < most) {
        int64_t at = c->aux ? find_last(s, part) : str_find(s, part);
        size_t end = (size_t)at + part.size;
        if (at < 0) break;
        str tail = str_part(s, end, s.size - end), head = str_part(s, 0, (size_t)at);
        if (!push_text(r, q, &room, c->aux ? tail : head)) return false;
        s = c->aux ? head : tail;
    }
    return push_text(r, q, &room, s);
}

bool chat_do_split(run *r, const call *c, value *out) /* aux: from the right */
{
    int64_t most = -1, room = 0;
    str part = {0};
    seq *q = NULL;
    if (!chat_value_seq(r, 0, &q) || !chat_whole_arg(r, c->p[1], -1, &most)) return false;
    if (most < 0) most = INT64_MAX;
    bool good;
    if (chat_absent(c->p[0])) {
        good = c->aux ? rsplit_words(r, c->self.s, most, q, &room)
                      : split_words(r, c->self.s, most, q, &room);
    } else {
        if (!chat_str_arg(r, c->p[0], &part)) return false;
        if (!part.size) return chat_fail(r, "split needs a separator that is not empty");
        good = split_at(r, c, part, most, q);
    }
    if (c->aux) reverse_items(q);
    *out = of_seq(V_LIST, q);
    return good;
}

static bool is_line_end(int32_t c)
{
    return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

static bool split_lines(run *r, str s, bool keep, seq *q)
{
    int64_t room = 0;
    while (s.size) {
        str rest = s, before = s;
        bool ended = false;
        while (rest.size && !ended) {
            before = rest;
            int32_t c = chat_text_next(&rest);
            ended = is_line_end(c);
            if (c == '\r' && rest.size && rest.data[0] == '\n') chat_text_next(&rest);
        }
        size_t size = s.size - (ended && !keep ? before.size : rest.size);
        if (!push_text(r, q, &room, str_part(s, 0, size))) return false;
        s = rest;
    }
    return true;
}

bool chat_do_split_lines(run *r, const call *c, value *out)
{
    seq *q = NULL;
    if (!chat_value_seq(r, 0, &q)) return false;
    *out = of_seq(V_LIST, q);
    return split_lines(r, c->self.s, chat_value_true(c->p[0]), q);
}

static bool has_end(str s, str part, bool last)
{
    if (part.size > s.size) return false;
    return str_equal(str_part(s, last ? s.size - part.size : 0, part.size), part);
}

bool chat_do_has_end(run *r, const call *c, value *out) /* startswith; aux: endswith */
{
    str part = {0};
    bool has = false;
    if (c->p[0].kind == V_TUPLE) {
        for (int64_t i = 0; i < c->p[0].seq->n && !has; i++) {
            if (!chat_str_arg(r, c->p[0].seq->at[i], &part)) return false;
            has = has_end(c->self.s, part, c->aux);
        }
    } else {
        if (!chat_str_arg(r, c->p[0], &part)) return false;
        has = has_end(c->self.s, part, c->aux);
    }
    *out = of_bool(has);
    return true;
}

bool chat_do_remove_end(run *r, const call *c, value *out) /* removeprefix; aux: removesuffix */
{
    str s = c->self.s, part = {0};
    if (!chat_str_arg(r, c->p[0], &part)) return false;
    if (has_end(s, part, c->aux)) s = str_part(s, c->aux ? 0 : part.size, s.size - part.size);
    *out = of_str(s);
    return true;
}

bool chat_do_find(run *r, const call *c, value *out)
{
    str s = c->self.s, part = {0};
    int64_t n = 0;
    if (!chat_str_arg(r, c->p[0], &part) || !chat_spend(r, s.size / 16)) return false;
    if (c->aux == FIND_COUNT) {
        if (!part.size) return *out = of_int(chat_text_length(s) + 1), true;
        for (int64_t at; (at = str_find(s, part)) >= 0; n++)
            s = str_part(s, (size_t)at + part.size, s.size - (size_t)at - part.size);
        return *out = of_int(n), true;
    }
    int64_t at = c->aux == FIND_LAST ? find_last(s, part) : str_find(s, part);
    if (at < 0 && c->aux == FIND_NEED) return chat_fail(r, "index: the part is not in the text");
    *out = of_int(at < 0 ? -1 : chat_text_length(str_part(s, 0, (size_t)at)));
    return true;
}

static bool is_kind(int32_t ch, int kind)
{
    utf8proc_category_t k = utf8proc_category(ch);
    bool alpha = k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
    if (kind == IS_SPACE) return chat_is_space(ch);
    return (kind != IS_ALPHA && k == UTF8PROC_CATEGORY_ND) || (kind != IS_DIGIT && alpha);
}

bool chat_do_is_kind(run *r, const call *c, value *out)
{
    str s = c->self.s;
    bool is = s.size > 0;
    if (c->aux >= IS_UPPER) return *out = of_bool(chat_text_is_case(s, c->aux == IS_UPPER)), true;
    while (s.size && is) {
        int32_t ch = chat_text_next(&s);
        utf8proc_category_t k = utf8proc_category(ch); /* some of these are digits to Python */
        if (c->aux != IS_SPACE && c->aux != IS_ALPHA &&
            (k == UTF8PROC_CATEGORY_NO || k == UTF8PROC_CATEGORY_NL))
            return chat_fail(r,
                             "isdigit and isalnum of signs such as \u00B2 or \u2167 are not known");
        is = is_kind(ch, c->aux);
    }
    *out = of_bool(is);
    return chat_spend(r, c->self.s.size / 64);
}

bool chat_join_items(run *r, str by, seq *q, bool strict, value *out)
{
    size_t start = r->scratch.size;
    for (int64_t i = 0; i < q->n; i++) {
        str s = {0};
        if (i) buf_add_str(&r->scratch, by);
        if (strict ? !chat_str_arg(r, q->at[i], &s) : !chat_value_str(r, q->at[i], &s))
            return false;
        buf_add_str(&r->scratch, s);
        if (!chat_spend(r, 1 + (s.size + by.size) / 64)) return false;
        if (r->scratch.size > CHAT_OUT_MAX) return chat_fail(r, "the text is larger than 64 MB");
    }
    return chat_finish_text(r, start, out);
}

bool chat_do_join_method(run *r, const call *c, value *out)
{
    seq *q = NULL;
    if (!chat_value_items(r, c->p[0], &q)) return false;
    return chat_join_items(r, c->self.s, q, true, out);
}

bool chat_do_indent(run *r, const call *c, value *out)
{
    size_t start = r->scratch.size;
    str s = {0}, by = {0};
    int64_t width = 4;
    bool first = chat_value_true(c->p[1]), blank = chat_value_true(c->p[2]);
    seq *q = NULL;
    value line_end = of_str(STR("\n")), lines, spaces = of_str(STR(" "));
    if (!chat_str_arg(r, c->self, &s)) return false;
    if (c->p[0].kind == V_STR) by = c->p[0].s;
    else if (!chat_whole_arg(r, c->p[0], 4, &width) ||
             !chat_binary(r, '*', spaces, of_int(width), &spaces))
        return false;
    else by = spaces.s;
    if (!chat_binary(r, '+', of_str(s), line_end, &lines) || !chat_value_seq(r, 0, &q))
        return false;
    if (!split_lines(r, lines.s, false, q)) return false;
    for (int64_t i = 0; i < q->n; i++) {
        if (i) buf_add_char(&r->scratch, '\n');
        if (i ? blank || q->at[i].s.size : first) buf_add_str(&r->scratch, by);
        buf_add_str(&r->scratch, q->at[i].s);
        if (!chat_spend(r, 1 + by.size / 64)) return false;
        if (r->scratch.size > CHAT_OUT_MAX) return chat_fail(r, "the text is larger than 64 MB");
    }
    return chat_finish_text(r, start, out);
}

bool chat_do_string(run *r, const call *c, value *out)
{
    *out = c->self;
    if (c->self.kind == V_STR) return true;
    *out = of_str(STR(""));
    return chat_value_str(r, c->self, &out->s);
}

bool chat_do_safe(run *r, const call *c, value *out)
{
    if (!chat_do_string(r, c, out)) return false;
    out->mark = MARK_SAFE;
    return true;
}

bool chat_do_escape(run *r, const call *c, value *out)
{
    size_t start = r->scratch.size;
    if (!chat_do_string(r, c, out)) return false;
    if (out->mark == MARK_SAFE) return true;
    for (size_t i = 0; i < out->s.size; i++) {
        char ch = out->s.data[i];
        const char *text = ch == '&'    ? "&amp;"
                           : ch == '<'  ? "&lt;"
                           : ch == '>'  ? "&gt;"
                           : ch == '\'' ? "&#39;"
                           : ch == '"'  ? "&#34;"
                                        : NULL;
        if (text) buf_add_text(&r->scratch, text);
        else buf_add_char(&r->scratch, ch);
    }
    if (!chat_spend(r, out->s.size / 16) || !chat_finish_text(r, start, out)) return false;
    out->mark = MARK_SAFE;
    return true;
}

/* ---- printf-like and {} formats ---- */

typedef struct spec {
    bool left, zero, plus;
    int width, precision; /* -1: none */
} spec;

static void pad(buf *b, const spec *p, str s, bool number)
{
    int64_t fill = p->width - chat_text_length(s);
    bool zero = p->zero && number && !p->left;
    if (zero && s.size && strchr("+-", s.data[0])) {
        buf_add_char(b, s.data[0]);
        s = str_part(s, 1, s.size - 1);
    }
    for (int64_t i = 0; i < fill && !p->left; i++) buf_add_char(b, zero ? '0' : ' ');
    buf_add_str(b, s);
    for (int64_t i = 0; i < fill && p->left; i++) buf_add_char(b, ' ');
}

static bool format_number(run *r, const spec *p, char how, value v)
{
    char text[500];
    if (!chat_need_defined(r, v)) return false;
    if (!is_number(v))
        return chat_fail(r, "%%%c formats a number, not %s", how, chat_value_type(v));
    const char *sign = p->plus && as_double(v) >= 0 ? "+" : "";
    int precision = p->precision < 0 ? 6 : p->precision;
    if (how == 'd' || how == 'i' || how == 'u' || how == 'x') {
        if (v.kind == V_FLOAT && !(fabs(v.f) < 9e18)) return chat_fail(r, "a number is too large");
        long long whole = v.kind == V_FLOAT ? (long long)v.f : (long long)v.i;
        if (how == 'x' && v.kind == V_FLOAT) return chat_fail(r, "%%x formats a whole number");
        if (how == 'x')
            snprintf(text, sizeof text, "%s%llx", whole < 0 ? "-" : sign,
                     whole < 0 ? 0ULL - (unsigned long long)whole : (unsigned long long)whole);
        else snprintf(text, sizeof text, "%s%lld", sign, whole);
    } else if (how == 'f' || how == 'F') {
        snprintf(text, sizeof text, "%s%.*f", sign, precision, as_double(v));
    } else if (how == 'e') {
        snprintf(text, sizeof text, "%s%.*e", sign, precision, as_double(v));
    } else {
        snprintf(text, sizeof text, "%s%.*g", sign, precision, as_double(v));
    }
    pad(&r->scratch, p, str_of(text), true);
    return true;
}

static bool format_one(run *r, const spec *p, char how, value v)
{
    str s = {0};
    if (strchr("diuxfFeg", how)) return format_number(r, p, how, v);
    if (how == 'r') {
        size_t start = r->scratch.size;
        if (!chat_value_repr(r, &r->scratch, v) || !chat_value_scratch(r, start, &s)) return false;
    } else if (!chat_value_str(r, v, &s)) {
        return false;
    }
    if (p->precision >= 0) s = str_part(s, 0, s.size - chat_text_from(s, p->precision).size);
    pad(&r->scratch, p, s, false);
    return chat_spend(r, 1 + s.size / 64);
}

static int small_number(str *s)
{
    int n = 0;
    while (s->size && s->data[0] >= '0' && s->data[0] <= '9') {
        if (n < 1000) n = n * 10 + s->data[0] - '0';
        *s = str_part(*s, 1, s->size - 1);
    }
    return n;
}

static spec read_spec(str *s)
{
    spec p = {.precision = -1};
    while (s->size && strchr("-0+ #", s->data[0])) {
        p.left = p.left || s->data[0] == '-';
        p.zero = p.zero || s->data[0] == '0';
        p.plus = p.plus || s->data[0] == '+';
        *s = str_part(*s, 1, s->size - 1);
    }
    p.width = small_number(s);
    if (s->size && s->data[0] == '.') {
        *s = str_part(*s, 1, s->size - 1);
        p.precision = small_number(s);
    }
    return p;
}

bool chat_call_format(run *r, str s, const args *a, bool strict, value *out)
{
    size_t start = r->scratch.size;
    int64_t used = 0;
    while (s.size) {
        const char *at = memchr(s.data, '%', s.size);
        size_t plain = at ? (size_t)(at - s.data) : s.size;
        buf_add(&r->scratch, s.data, plain);
        s = str_part(s, plain, s.size - plain);
        if (!at) break;
        s = str_part(s, 1, s.size - 1);
        spec p = read_spec(&s);
        char how = s.size ? s.data[0] : 0;
        if (!how || !strchr("%sdiuxfFegr", how) || p.width > 300 || p.precision > 100)
            return chat_fail(r, "this %% format is not supported");
        s = str_part(s, 1, s.size - 1);
        if (how == '%') {
            buf_add_char(&r->scratch, '%');
            continue;
        }
        if (used == a->n) return chat_fail(r, "the format has more places than arguments");
        if (!format_one(r, &p, how, a->at[used++])) return false;
        if (r->scratch.size > CHAT_OUT_MAX) return chat_fail(r, "the text is larger than 64 MB");
    }
    bool may_be_left = a->n == 1 && a->at[0].kind >= V_LIST && a->at[0].kind <= V_DICT && !strict;
    if ((used < a->n && !may_be_left) || a->n_named)
        return chat_fail(r, "the format does not use all arguments");
    return chat_finish_text(r, start, out);
}

bool chat_do_format_filter(run *r, const call *c, value *out)
{
    str s = {0};
    return chat_self_text(r, c, &s) && chat_call_format(r, s, c->all, true, out);
}

static bool brace_value(run *r, str field, int64_t *next, const args *a, value *out)
{
    int64_t i = 0;
    if (!field.size || str_to_int(field, &i)) {
        if (!field.size) i = (*next)++;
        if (i < 0 || i >= a->n) return chat_fail(r, "the format has more places than arguments");
        *out = a->at[i];
        return true;
    }
    for (i = 0; i < a->n_named; i++) {
        if (str_equal(a->named[i].name, field)) return *out = a->named[i].value, true;
    }
    return chat_fail(r, "this {} format is not supported");
}

bool chat_do_format_method(run *r, const call *c, value *out)
{
    size_t start = r->scratch.size;
    int64_t next = 0;
    for (str s = c->self.s; s.size;) {
        char ch = s.data[0];
        bool twice = s.size > 1 && s.data[1] == ch;
        if ((ch != '{' && ch != '}') || twice) {
            buf_add_char(&r->scratch, ch);
            s = str_part(s, twice && (ch == '{' || ch == '}') ? 2 : 1,
                         s.size - (twice && (ch == '{' || ch == '}') ? 2 : 1));
            continue;
        }
        int64_t end = str_find(s, STR("}"));
        value v;
        str text = {0};
        if (ch == '}' || end < 0) return chat_fail(r, "this {} format is not supported");
        if (!brace_value(r, str_part(s, 1, (size_t)end - 1), &next, c->all, &v)) return false;
        if (!chat_value_str(r, v, &text)) return false;
        buf_add_str(&r->scratch, text);
        if (!chat_spend(r, 1 + text.size / 64)) return false;
        if (r->scratch.size > CHAT_OUT_MAX) return chat_fail(r, "the text is larger than 64 MB");
        s = str_part(s, (size_t)end + 1, s.size - (size_t)end - 1);
    }
    return chat_finish_text(r, start, out);
}

/* ---- numbers ---- */

static bool read_whole(str s, int64_t *out) /* Python's int(text) */
{
    char text[64];
    size_t n = 0;
    s = chat_text_strip(s, NULL, true, true);
    for (size_t i = 0; i < s.size; i++) {
        bool between = i && i + 1 < s.size && s.data[i - 1] != '_' && s.data[i - 1] >= '0';
        if (s.data[i] == '_' && between) continue;
        if (n + 1 >= sizeof text) return false;
        text[n++] = s.data[i];
    }
    return str_to_int((str){text, n}, out);
}

static bool read_double(str s, double *out)
{
    static const char *const words[] = {"inf", "infinity", "nan"};
    s = chat_text_strip(s, NULL, true, true);
    if (str_to_double(s, out)) return true;
    bool minus = s.size && s.data[0] == '-';
    if (s.size && (s.data[0] == '-' || s.data[0] == '+')) s = str_part(s, 1, s.size - 1);
    for (size_t i = 0; i < countof(words); i++) {
        if (s.size != strlen(words[i]) || strncasecmp(s.data, words[i], s.size)) continue;
        *out = i == 2 ? (double)NAN : minus ? -HUGE_VAL : HUGE_VAL;
        return true;
    }
    return false;
}

bool chat_do_int(run *r, const call *c, value *out)
{
    double x = 0;
    int64_t whole = 0, base = 10;
    if (!chat_need_defined(r, c->self) || !chat_whole_arg(r, c->p[1], 10, &base)) return false;
    if (base != 10) return chat_fail(r, "int knows the base 10 only");
    *out = c->p[0].kind == V_ABSENT ? of_int(0) : c->p[0];
    if (is_whole(c->self)) return *out = of_int(c->self.i), true;
    if (c->self.kind == V_STR) {
        if (read_whole(c->self.s, &whole)) return *out = of_int(whole), true;
        if (!read_double(c->self.s, &x) || isinf(x)) return true;
    } else if (c->self.kind == V_FLOAT) {
        x = c->self.f;
    } else {
        return true;
    }
    if (isnan(x)) return true;
    if (!(fabs(x) < 9.2e18)) return chat_fail(r, "a number is too large");
    *out = of_int((int64_t)x);
    return true;
}

bool chat_do_float(run *r, const call *c, value *out)
{
    double x = 0;
    if (!chat_need_defined(r, c->self)) return false;
    *out = c->p[0].kind == V_ABSENT ? of_float(0) : c->p[0];
    if (is_number(c->self)) *out = of_float(as_double(c->self));
    else if (c->self.kind == V_STR && read_double(c->self.s, &x)) *out = of_float(x);
    return true;
}

bool chat_do_abs(run *r, const call *c, value *out)
{
    if (!chat_need_defined(r, c->self)) return false;
    if (!is_number(c->self))
        return chat_fail(r, "abs takes a number, not %s", chat_value_type(c->self));
    *out = c->self;
    if (c->self.kind == V_FLOAT) return out->f = fabs(out->f), true;
    return out->i < 0 ? chat_binary(r, '*', *out, of_int(-1), out) : (*out = of_int(out->i), true);
}

bool chat_do_round(run *r, const call *c, value *out)
{
    char text[400];
    int64_t precision = 0;
    str how = STR("common");
    if (!chat_need_defined(r, c->self) || !chat_whole_arg(r, c->p[0], 0, &precision)) return false;
    if (c->p[1].kind != V_ABSENT && !chat_str_arg(r, c->p[1], &how)) return false;
    if (!is_number(c->self))
        return chat_fail(r, "round takes a number, not %s", chat_value_type(c->self));
    if (precision < 0 || precision > 15)
        return chat_fail(r, "round takes a precision from 0 to 15");
    double x = as_double(c->self), scale = pow(10, (double)precision);
    if (str_is(how, "common")) {
        *out = is_whole(c->self) ? of_int(c->self.i) : c->self;
        if (is_whole(c->self) || !isfinite(x)) return true;
        snprintf(text, sizeof text, "%.*f", (int)precision, x); /* exact, ties to even: as Python */
        *out = of_float(x);
        return !str_to_double(str_of(text), &out->f) || true;
    }
    bool up = str_is(how, "ceil");
    if (!up && !str_is(how, "floor"))
        return chat_fail(r, "round knows the methods common, ceil and floor");
    *out = of_float(((up ? ceil(x * scale) : floor(x * scale)) + 0.0) / scale); /* no -0.0 */
    return true;
}
