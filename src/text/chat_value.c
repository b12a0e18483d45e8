/* chat_value: the values of a render as Python has them.
 *
 * How: a value is 24 bytes; text is a view (into the template, the context or the render's memory),
 * lists and dicts are arrays in the render's memory, never changed once made. Text is UTF-8 and
 * counted in characters. Spelling goes through the render's scratch buffer.
 *
 * Assumes: text is valid UTF-8 (jansson and the lexer see to it).
 * Refuses: whole numbers beyond 64 bits, values nested deeper than CHAT_NEST_MAX, spelling things
 * whose Python spelling is an address (functions, lazy results).
 */
#include "text/chat_run_in.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

const char *chat_value_type(value v)
{
    static const char *const names[] = {
        [V_ABSENT] = "nothing",   [V_UNDEFINED] = "an undefined value",
        [V_NONE] = "None",        [V_BOOL] = "a bool",
        [V_INT] = "an int",       [V_FLOAT] = "a float",
        [V_STR] = "a str",        [V_LIST] = "a list",
        [V_TUPLE] = "a tuple",    [V_RANGE] = "a range",
        [V_LAZY] = "a generator", [V_VIEW] = "a view of a dict",
        [V_DICT] = "a dict",      [V_SPACE] = "a namespace",
        [V_LOOP] = "a loop",      [V_MACRO] = "a macro",
        [V_METHOD] = "a method",  [V_FUNCTION] = "a function",
    };
    assert(v.kind < countof(names));
    return names[v.kind];
}

static bool has_seq(value v) { return v.kind >= V_LIST && v.kind <= V_VIEW; }

bool chat_value_true(value v)
{
    switch (v.kind) {
    case V_ABSENT:
    case V_UNDEFINED:
    case V_NONE: return false;
    case V_BOOL:
    case V_INT: return v.i != 0;
    case V_FLOAT: return v.f != 0;
    case V_STR: return v.s.size != 0;
    case V_LIST:
    case V_TUPLE:
    case V_RANGE:
    case V_VIEW: return v.seq->n != 0;
    case V_DICT: return v.dict->n != 0;
    default: return true;
    }
}

/* ---- making ---- */

bool chat_value_seq(run *r, int64_t n, seq **out)
{
    seq *q = chat_take(r, 1, sizeof *q);
    value *at = q ? chat_take(r, n, sizeof *at) : NULL;
    if (!at) return false;
    *q = (seq){.at = at, .n = n};
    *out = q;
    return chat_spend(r, (size_t)n);
}

bool chat_value_dict(run *r, int64_t room, dict **out)
{
    dict *d = chat_take(r, 1, sizeof *d);
    pair *at = d ? chat_take(r, room, sizeof *at) : NULL;
    if (!at) return false;
    *d = (dict){.at = at, .room = room};
    *out = d;
    return true;
}

bool chat_value_hashable(value v)
{
    if (v.kind == V_TUPLE) {
        for (int64_t i = 0; i < v.seq->n; i++) {
            if (!chat_value_hashable(v.seq->at[i])) return false;
        }
    }
    return v.kind != V_LIST && v.kind != V_DICT && v.kind != V_SPACE && v.kind != V_VIEW;
}

bool chat_value_find(run *r, const dict *d, value key, value **out)
{
    *out = NULL;
    if (!chat_spend(r, (size_t)d->n / 8)) return false;
    for (int64_t i = 0; i < d->n; i++) {
        bool same = false;
        if (!chat_value_equal(r, d->at[i].key, key, &same)) return false;
        if (!same) continue;
        *out = &d->at[i].value;
        return true;
    }
    return true;
}

bool chat_value_put(run *r, dict *d, value key, value v)
{
    value *old = NULL;
    if (!chat_value_hashable(key)) return chat_fail(r, "%s cannot be a key", chat_value_type(key));
    if (!chat_value_find(r, d, key, &old)) return false;
    if (old) {
        *old = v;
        return true;
    }
    if (d->n == d->room) {
        int64_t room = d->room < 4 ? 8 : d->room * 2;
        pair *at = chat_take(r, room, sizeof *at);
        if (!at) return false;
        memcpy(at, d->at, (size_t)d->n * sizeof *at);
        d->at = at;
        d->room = room;
    }
    d->at[d->n++] = (pair){key, v};
    return true;
}

static bool list_of_json(run *r, const json_t *j, value *out)
{
    seq *q = NULL;
    if (!chat_value_seq(r, (int64_t)json_array_size(j), &q)) return false;
    for (int64_t i = 0; i < q->n; i++) {
        if (!chat_value_of_json(r, json_array_get(j, (size_t)i), &q->at[i])) return false;
    }
    *out = of_seq(V_LIST, q);
    return true;
}

static bool dict_of_json(run *r, const json_t *j, value *out)
{
    dict *d = NULL;
    if (!chat_value_dict(r, (int64_t)json_object_size(j), &d)) return false;
    json_t *members = (json_t *)(uintptr_t)j; /* jansson's iterator wants it, and changes nothing */
    for (void *i = json_object_iter(members); i; i = json_object_iter_next(members, i)) {
        pair *at = &d->at[d->n++];
        at->key = of_str((str){json_object_iter_key(i), json_object_iter_key_len(i)});
        if (!chat_value_of_json(r, json_object_iter_value(i), &at->value)) return false;
    }
    *out = (value){.kind = V_DICT, .dict = d};
    return chat_spend(r, (size_t)d->n);
}

bool chat_value_of_json(run *r, const json_t *j, value *out)
{
    bool good = true;
    if (r->depth > CHAT_DEPTH_MAX - 1) return chat_fail(r, "the context is nested too deeply");
    r->depth++;
    switch (json_typeof(j)) {
    case JSON_OBJECT: good = dict_of_json(r, j, out); break;
    case JSON_ARRAY: good = list_of_json(r, j, out); break;
    case JSON_STRING: *out = of_str((str){json_string_value(j), json_string_length(j)}); break;
    case JSON_INTEGER: *out = of_int(json_integer_value(j)); break;
    case JSON_REAL: *out = of_float(json_real_value(j)); break;
    case JSON_TRUE: *out = of_bool(true); break;
    case JSON_FALSE: *out = of_bool(false); break;
    case JSON_NULL: *out = of_none(); break;
    }
    r->depth--;
    return good;
}

/* ---- equality and order ---- */

static bool deeper(run *r)
{
    if (r->depth >= CHAT_DEPTH_MAX) return chat_fail(r, "a value is nested too deeply");
    r->depth++;
    return true;
}

static bool seq_equal(run *r, const seq *a, const seq *b, bool *equal)
{
    *equal = a == b;
    if (a == b || a->n != b->n) return true;
    *equal = true;
    for (int64_t i = 0; i < a->n && *equal; i++) {
        if (!chat_value_equal(r, a->at[i], b->at[i], equal)) return false;
    }
    return true;
}

static bool dict_equal(run *r, const dict *a, const dict *b, bool *equal)
{
    *equal = a == b || (a->n == b->n);
    if (a == b) return true;
    for (int64_t i = 0; i < a->n && *equal; i++) {
        value *other = NULL;
        if (!chat_value_find(r, b, a->at[i].key, &other)) return false;
        *equal = other != NULL;
        if (other && !chat_value_equal(r, a->at[i].value, *other, equal)) return false;
    }
    return true;
}

bool chat_value_equal(run *r, value a, value b, bool *equal)
{
    bool good = true;
    *equal = false;
    if (is_number(a) && is_number(b)) {
        *equal = is_whole(a) && is_whole(b) ? a.i == b.i : as_double(a) == as_double(b);
        return true;
    }
    if (a.kind != b.kind) return true;
    if (a.kind == V_STR) {
        *equal = str_equal(a.s, b.s);
        return a.s.size < 64 || chat_spend(r, a.s.size / 64);
    }
    if (!chat_spend(r, 1) || !deeper(r)) return false;
    switch (a.kind) {
    case V_LIST:
    case V_TUPLE:
    case V_RANGE: good = seq_equal(r, a.seq, b.seq, equal); break;
    case V_DICT: good = dict_equal(r, a.dict, b.dict, equal); break;
    case V_UNDEFINED:
    case V_NONE: *equal = true; break;
    case V_METHOD:
    case V_FUNCTION: *equal = a.id == b.id && (a.kind == V_FUNCTION || a.self == b.self); break;
    default: *equal = a.seq == b.seq; /* the same object */
    }
    r->depth--;
    return good;
}

static bool seq_order(run *r, const seq *a, const seq *b, int *order)
{
    for (int64_t i = 0; i < a->n && i < b->n; i++) {
        bool same = false;
        if (!chat_value_equal(r, a->at[i], b->at[i], &same)) return false;
        if (!same) return chat_value_order(r, a->at[i], b->at[i], order);
    }
    *order = (a->n > b->n) - (a->n < b->n);
    return true;
}

bool chat_value_order(run *r, value a, value b, int *order)
{
    if (is_whole(a) && is_whole(b)) {
        *order = (a.i > b.i) - (a.i < b.i);
        return chat_spend(r, 1);
    }
    if (is_number(a) && is_number(b)) {
        double x = as_double(a), y = as_double(b);
        *order = (x > y) - (x < y);
        return chat_spend(r, 1);
    }
    if (a.kind == V_STR && b.kind == V_STR) {
        *order = str_order(a.s, b.s); /* bytes of UTF-8 stand in the order of characters */
        return chat_spend(r, 1 + a.s.size / 64);
    }
    if (!chat_need_defined(r, a) || !chat_need_defined(r, b)) return false;
    if (a.kind != b.kind || (a.kind != V_LIST && a.kind != V_TUPLE))
        return chat_fail(r, "%s and %s have no order", chat_value_type(a), chat_value_type(b));
    if (!deeper(r)) return false;
    bool good = seq_order(r, a.seq, b.seq, order);
    r->depth--;
    return good;
}

/* ---- spelling ---- */

/* The shortest decimal digits that read back as x, laid out as Python's repr does. */
static void write_double(buf *b, double x)
{
    char digits[40], *e;
    if (isnan(x) || isinf(x)) {
        buf_add_text(b, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        return;
    }
    for (int p = 0; p < 17; p++) {
        snprintf(digits, sizeof digits, "%.*e", p, x);
        if (strtod(digits, NULL) == x) break;
    }
    e = strchr(digits, 'e');
    int exponent = (int)strtol(e + 1, NULL, 10);
    *e = 0;
    char *d = digits + (digits[0] == '-');
    size_t n = strlen(d);
    if (n > 1) memmove(d + 1, d + 2, n--); /* without the point */
    if (digits[0] == '-') buf_add_char(b, '-');
    if (exponent < -4 || exponent >= 16) {
        buf_add_char(b, d[0]);
        if (n > 1) buf_printf(b, ".%s", d + 1);
        buf_printf(b, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    if (exponent < 0) buf_add_text(b, "0.");
    for (int i = exponent + 1; i < 0; i++) buf_add_char(b, '0');
    for (int i = 0; i < (int)n || i <= exponent; i++) {
        buf_add_char(b, i < (int)n ? d[i] : '0');
        if (i == exponent) buf_add_text(b, i + 1 < (int)n ? "." : ".0");
    }
}

static bool is_printable(int32_t c)
{
    if (c < 128) return c >= 32 && c < 127;
    utf8proc_category_t k = utf8proc_category(c);
    return !(k == UTF8PROC_CATEGORY_CN || k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF ||
             k == UTF8PROC_CATEGORY_CS || k == UTF8PROC_CATEGORY_CO || k == UTF8PROC_CATEGORY_ZS ||
             k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP);
}

static void write_quoted(buf *b, str s)
{
    bool single = s.size && memchr(s.data, '\'', s.size),
         both = single && memchr(s.data, '"', s.size);
    char quote = single && !both ? '"' : '\'';
    buf_add_char(b, quote);
    while (s.size) {
        str before = s;
        int32_t c = chat_text_next(&s);
        if (c == quote || c == '\\') buf_printf(b, "\\%c", (char)c);
        else if (c == '\n') buf_add_text(b, "\\n");
        else if (c == '\r') buf_add_text(b, "\\r");
        else if (c == '\t') buf_add_text(b, "\\t");
        else if (is_printable(c)) buf_add(b, before.data, before.size - s.size);
        else buf_printf(b, c < 256 ? "\\x%02x" : c < 65536 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    }
    buf_add_char(b, quote);
}

static bool repr_seq(run *r, buf *b, const seq *q, const char *open, const char *close)
{
    buf_add_text(b, open);
    for (int64_t i = 0; i < q->n; i++) {
        if (i) buf_add_text(b, ", ");
        if (!chat_value_repr(r, b, q->at[i])) return false;
    }
    buf_add_text(b, close);
    return true;
}

static bool repr_dict(run *r, buf *b, const dict *d)
{
    buf_add_char(b, '{');
    for (int64_t i = 0; i < d->n; i++) {
        if (i) buf_add_text(b, ", ");
        if (!chat_value_repr(r, b, d->at[i].key)) return false;
        buf_add_text(b, ": ");
        if (!chat_value_repr(r, b, d->at[i].value)) return false;
    }
    buf_add_char(b, '}');
    return true;
}

static void repr_range(buf *b, const seq *q)
{
    int64_t stop = q->start + q->n * q->step;
    buf_printf(b, "range(%lld, %lld", (long long)q->start, (long long)stop);
    if (q->step != 1) buf_printf(b, ", %lld", (long long)q->step);
    buf_add_char(b, ')');
}

static bool repr_nested(run *r, buf *b, value v)
{
    static const char *const views[] = {"dict_keys([", "dict_values([", "dict_items(["};
    switch (v.kind) {
    case V_LIST: return repr_seq(r, b, v.seq, "[", "]");
    case V_TUPLE: return repr_seq(r, b, v.seq, "(", v.seq->n == 1 ? ",)" : ")");
    case V_VIEW: return repr_seq(r, b, v.seq, views[v.mark], "])");
    case V_DICT: return repr_dict(r, b, v.dict);
    case V_RANGE: return repr_range(b, v.seq), true;
    case V_LAZY: return chat_fail(r, "the result of a filter is printed; put |list after it");
    default: return chat_fail(r, "%s cannot be printed", chat_value_type(v));
    }
}

bool chat_value_repr(run *r, buf *b, value v)
{
    if (!chat_spend(r, 1 + (v.kind == V_STR ? v.s.size / 16 : 0))) return false;
    if (b->size > CHAT_OUT_MAX) return chat_fail(r, "the text is larger than 64 MB");
    switch (v.kind) {
    case V_ABSENT:
    case V_UNDEFINED: return buf_add_text(b, "Undefined"), true;
    case V_NONE: return buf_add_text(b, "None"), true;
    case V_BOOL: return buf_add_text(b, v.i ? "True" : "False"), true;
    case V_INT: return buf_printf(b, "%lld", (long long)v.i), true;
    case V_FLOAT: return write_double(b, v.f), true;
    case V_STR:
        if (v.mark) buf_add_text(b, "Markup(");
        write_quoted(b, v.s);
        if (v.mark) buf_add_char(b, ')');
        return true;
    default: break;
    }
    if (!deeper(r)) return false;
    bool good = repr_nested(r, b, v);
    r->depth--;
    return good;
}

bool chat_value_scratch(run *r, size_t start, str *out)
{
    if (!buf_check(&r->scratch, "a chat template's text", r->e)) return false;
    str s = buf_view(&r->scratch);
    bool good = chat_keep(r, str_part(s, start, s.size - start), out);
    r->scratch.size = start;
    return good;
}

bool chat_value_str(run *r, value v, str *out)
{
    size_t start = r->scratch.size;
    if (v.kind == V_STR) return *out = v.s, true;
    if (v.kind == V_UNDEFINED || v.kind == V_ABSENT) return *out = STR(""), true;
    return chat_value_repr(r, &r->scratch, v) && chat_value_scratch(r, start, out);
}

/* ---- JSON, as Python's json.dumps ---- */

static void json_text(buf *b, str s, bool ascii)
{
    static const char escaped[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
    buf_add_char(b, '"');
    while (s.size) {
        str before = s;
        int32_t c = chat_text_next(&s);
        const char *found = c && c < 128 ? strchr(escaped, c) : NULL;
        if (found) buf_printf(b, "\\%c", letters[found - escaped]);
        else if (c < 32 || (ascii && c == 127)) buf_printf(b, "\\u%04x", (unsigned)c);
        else if (c < 127 || !ascii) buf_add(b, before.data, before.size - s.size);
        else if (c < 65536) buf_printf(b, "\\u%04x", (unsigned)c);
        else
            buf_printf(b, "\\u%04x\\u%04x", 0xD800 + (unsigned)((c - 65536) >> 10),
                       0xDC00 + (unsigned)((c - 65536) & 0x3FF));
    }
    buf_add_char(b, '"');
}

static void json_line(buf *b, const json_style *style, int32_t level)
{
    if (!style->lines) return;
    buf_add_char(b, '\n');
    for (int32_t i = 0; i < level; i++) buf_add_str(b, style->indent);
}

static bool json_key(run *r, const json_style *style, value key)
{
    if (key.kind == V_STR) return json_text(&r->scratch, key.s, style->ascii), true;
    if (key.kind != V_NONE && !is_number(key))
        return chat_fail(r, "tojson: %s cannot be a key of JSON", chat_value_type(key));
    buf_add_char(&r->scratch, '"');
    bool good = chat_value_json(r, style, key, 0);
    buf_add_char(&r->scratch, '"');
    return good;
}

static bool json_dict(run *r, const json_style *style, const dict *d, int32_t level)
{
    pair *at = chat_take(r, d->n, sizeof *at);
    if (!at) return false;
    for (int64_t i = 0; i < d->n;
         i++) { /* insertion: few keys, and Python's errors for mixed ones */
        int64_t j = i;
        for (int order = -1; style->sorted && j > 0; j--) {
            if (!chat_value_order(r, at[j - 1].key, d->at[i].key, &order)) return false;
            if (order <= 0) break;
            at[j] = at[j - 1];
        }
        at[j] = d->at[i];
    }
    buf_add_char(&r->scratch, '{');
    for (int64_t i = 0; i < d->n; i++) {
        if (i) buf_add_str(&r->scratch, style->item);
        json_line(&r->scratch, style, level + 1);
        if (!json_key(r, style, at[i].key)) return false;
        buf_add_str(&r->scratch, style->key);
        if (!chat_value_json(r, style, at[i].value, level + 1)) return false;
    }
    if (d->n) json_line(&r->scratch, style, level);
    buf_add_char(&r->scratch, '}');
    return true;
}

static bool json_list(run *r, const json_style *style, const seq *q, int32_t level)
{
    buf_add_char(&r->scratch, '[');
    for (int64_t i = 0; i < q->n; i++) {
        if (i) buf_add_str(&r->scratch, style->item);
        json_line(&r->scratch, style, level + 1);
        if (!chat_value_json(r, style, q->at[i], level + 1)) return false;
    }
    if (q->n) json_line(&r->scratch, style, level);
    buf_add_char(&r->scratch, ']');
    return true;
}

bool chat_value_json(run *r, const json_style *style, value v, int32_t level)
{
    buf *b = &r->scratch;
    if (!chat_spend(r, 1 + (v.kind == V_STR ? v.s.size / 16 : 0))) return false;
    if (b->size > CHAT_OUT_MAX) return chat_fail(r, "the text is larger than 64 MB");
    switch (v.kind) {
    case V_NONE: return buf_add_text(b, "null"), true;
    case V_BOOL: return buf_add_text(b, v.i ? "true" : "false"), true;
    case V_INT: return buf_printf(b, "%lld", (long long)v.i), true;
    case V_STR: return json_text(b, v.s, style->ascii), true;
    case V_FLOAT:
        if (isnan(v.f) || isinf(v.f))
            buf_add_text(b, isnan(v.f) ? "NaN" : v.f < 0 ? "-Infinity" : "Infinity");
        else write_double(b, v.f);
        return true;
    case V_LIST:
    case V_TUPLE:
    case V_DICT: break;
    case V_UNDEFINED: return chat_need_defined(r, v);
    default: return chat_fail(r, "tojson: %s is not JSON", chat_value_type(v));
    }
    if (!deeper(r)) return false;
    bool good =
        v.kind == V_DICT ? json_dict(r, style, v.dict, level) : json_list(r, style, v.seq, level);
    r->depth--;
    return good;
}

/* ---- items ---- */

static bool chars_of(run *r, str s, seq **out)
{
    if (!chat_value_seq(r, chat_text_length(s), out)) return false;
    for (int64_t i = 0; s.size; i++) {
        str before = s;
        chat_text_next(&s);
        (*out)->at[i] = of_str(str_part(before, 0, before.size - s.size));
    }
    return true;
}

bool chat_value_items(run *r, value v, seq **out)
{
    switch (v.kind) {
    case V_UNDEFINED: return chat_value_seq(r, 0, out);
    case V_STR: return chars_of(r, v.s, out);
    case V_LIST:
    case V_TUPLE:
    case V_RANGE:
    case V_VIEW: *out = v.seq; return chat_spend(r, (size_t)v.seq->n);
    case V_LAZY:
        if (v.seq->spent) return chat_value_seq(r, 0, out);
        v.seq->spent = true;
        *out = v.seq;
        return chat_spend(r, (size_t)v.seq->n);
    case V_DICT:
        if (!chat_value_seq(r, v.dict->n, out)) return false;
        for (int64_t i = 0; i < v.dict->n; i++) (*out)->at[i] = v.dict->at[i].key;
        return true;
    default: return chat_fail(r, "%s has no items to go through", chat_value_type(v));
    }
}

bool chat_value_length(run *r, value v, int64_t *out)
{
    *out = 0;
    if (v.kind == V_UNDEFINED) return true;
    if (v.kind == V_STR) return *out = chat_text_length(v.s), chat_spend(r, v.s.size / 64);
    if (v.kind == V_DICT) return *out = v.dict->n, true;
    if (has_seq(v)) return *out = v.seq->n, true;
    return chat_fail(r, "%s has no length", chat_value_type(v));
}

static value undefined_of(value v, value key)
{
    value u = {.kind = V_UNDEFINED, .mark = (uint8_t)(MARK_OF + v.kind), .s = STR("this item")};
    if (key.kind == V_STR && key.id == 1) u.s = key.s; /* a name of the template, not of a row */
    return u;
}

static bool bound_method(run *r, value v, str name, value *out)
{
    int32_t row = chat_find_method(v, name);
    if (row < 0) return true;
    value *self = chat_take(r, 1, sizeof *self);
    if (!self) return false;
    *self = v;
    *out = (value){.kind = V_METHOD, .id = row, .self = self};
    return true;
}

bool chat_value_attribute(run *r, value v, str name, value *out)
{
    value key = of_str(name), *found = NULL;
    key.id = 1;
    if (!chat_need_defined(r, v)) return false;
    *out = undefined_of(v, key);
    if (!bound_method(r, v, name, out) || out->kind == V_METHOD) return !r->e->code;
    if (v.kind != V_DICT && v.kind != V_SPACE) return true;
    if (!chat_value_find(r, v.dict, key, &found)) return false;
    if (found) *out = *found;
    return true;
}

static bool text_item(str s, int64_t i, value *out)
{
    int64_t n = (int64_t)s.size;
    bool plain = true;
    for (size_t k = 0; k < s.size && plain; k++) plain = !(s.data[k] & 0x80);
    if (!plain) n = chat_text_length(s);
    if (i < 0) i += n;
    if (i < 0 || i >= n) return false;
    str rest = plain ? str_part(s, (size_t)i, s.size - (size_t)i) : chat_text_from(s, i),
        after = rest;
    chat_text_next(&after);
    *out = of_str(str_part(rest, 0, rest.size - after.size));
    return true;
}

bool chat_value_item(run *r, value v, value key, value *out)
{
    value *found = NULL;
    if (!chat_need_defined(r, v)) return false;
    *out = undefined_of(v, key);
    bool keyed = v.kind == V_DICT || (v.kind == V_SPACE && key.kind == V_STR);
    if (keyed && chat_value_hashable(key)) {
        if (!chat_value_find(r, v.dict, key, &found)) return false;
        if (found) return *out = *found, true;
    } else if (v.kind == V_STR && is_whole(key)) {
        if (!chat_spend(r, v.s.size / 64)) return false;
        if (text_item(v.s, key.i, out)) return true;
    } else if (has_seq(v) && v.kind != V_VIEW && is_whole(key)) {
        int64_t i = key.i < 0 ? key.i + v.seq->n : key.i;
        if (i >= 0 && i < v.seq->n) *out = v.seq->at[i];
        return true;
    }
    return key.kind == V_STR ? bound_method(r, v, key.s, out) : true;
}

/* Python's slice.indices: start, stop and step within n items. */
static bool slice_range(run *r, const value part[3], int64_t n, int64_t at[3])
{
    for (int i = 0; i < 3; i++) {
        if (part[i].kind != V_NONE && part[i].kind != V_ABSENT && !is_whole(part[i]))
            return chat_need_defined(r, part[i]) &&
                   chat_fail(r, "a slice takes whole numbers, not %s", chat_value_type(part[i]));
    }
    int64_t step = is_whole(part[2]) ? part[2].i : 1;
    if (step == 0) return chat_fail(r, "the step of a slice is zero");
    int64_t least = step < 0 ? -1 : 0, most = step < 0 ? n - 1 : n;
    for (int i = 0; i < 2; i++) {
        at[i] = (i == 0) == (step > 0) ? least : most;
        if (!is_whole(part[i])) continue;
        int64_t x = part[i].i < 0 ? part[i].i + n : part[i].i;
        at[i] = x < least ? least : x > most ? most : x;
    }
    if (step > n + 1) step = n + 1; /* the same items, without overflow */
    if (step < -n - 1) step = -n - 1;
    at[2] = step;
    return true;
}

static int64_t slice_count(const int64_t at[3])
{
    if (at[2] > 0) return at[1] > at[0] ? (at[1] - at[0] - 1) / at[2] + 1 : 0;
    return at[0] > at[1] ? (at[0] - at[1] - 1) / -at[2] + 1 : 0;
}

static bool slice_text(run *r, str s, const value part[3], value *out)
{
    int64_t at[3], n = chat_text_length(s);
    if (!chat_spend(r, 1 + s.size / 16) || !slice_range(r, part, n, at)) return false;
    int64_t count = slice_count(at);
    if (count == 0) return *out = of_str(STR("")), true;
    if (at[2] == 1) {
        str from = chat_text_from(s, at[0]);
        *out = of_str(str_part(from, 0, from.size - chat_text_from(from, count).size));
        return true;
    }
    seq *chars = NULL;
    if (!chars_of(r, s, &chars)) return false;
    size_t start = r->scratch.size;
    for (int64_t i = 0; i < count; i++) buf_add_str(&r->scratch, chars->at[at[0] + i * at[2]].s);
    *out = of_str(STR(""));
    return chat_value_scratch(r, start, &out->s);
}

bool chat_value_slice(run *r, value v, const value part[3], value *out)
{
    int64_t at[3];
    seq *q = NULL;
    if (!chat_need_defined(r, v)) return false;
    if (v.kind == V_STR) return slice_text(r, v.s, part, out);
    if (!has_seq(v) || v.kind == V_VIEW)
        return chat_fail(r, "%s has no slices", chat_value_type(v));
    if (!slice_range(r, part, v.seq->n, at)) return false;
    if (!chat_value_seq(r, slice_count(at), &q)) return false;
    for (int64_t i = 0; i < q->n; i++) q->at[i] = v.seq->at[at[0] + i * at[2]];
    q->start = v.seq->start + at[0] * v.seq->step;
    q->step = v.seq->step * at[2];
    *out = of_seq(v.kind == V_LAZY ? V_LIST : v.kind, q);
    return true;
}

/* ---- text ---- */

int32_t chat_text_next(str *s)
{
    utf8proc_int32_t c = 0;
    const utf8proc_uint8_t *data = (const utf8proc_uint8_t *)s->data;
    utf8proc_ssize_t n = 1;
    assert(s->size > 0);
    if (data[0] < 128) c = data[0];
    else n = utf8proc_iterate(data, (utf8proc_ssize_t)s->size, &c);
    if (n <= 0) n = 1, c = 0xFFFD; /* cannot be: text was checked on its way in */
    *s = str_part(*s, (size_t)n, s->size - (size_t)n);
    return c;
}

int64_t chat_text_length(str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.size; i++) n += ((unsigned char)s.data[i] & 0xC0) != 0x80;
    return n;
}

str chat_text_from(str s, int64_t n)
{
    while (n-- > 0 && s.size) chat_text_next(&s);
    return s;
}

static bool in_set(int32_t c, const str *set)
{
    if (!set) return chat_is_space(c);
    for (str rest = *set; rest.size;) {
        if (chat_text_next(&rest) == c) return true;
    }
    return false;
}

str chat_text_strip(str s, const str *set, bool left, bool right)
{
    while (left && s.size) {
        str rest = s;
        if (!in_set(chat_text_next(&rest), set)) break;
        s = rest;
    }
    while (right && s.size) {
        size_t at = s.size - 1;
        while (at > 0 && ((unsigned char)s.data[at] & 0xC0) == 0x80) at--;
        str last = str_part(s, at, s.size - at);
        if (!in_set(chat_text_next(&last), set)) break;
        s.size = at;
    }
    return s;
}

static bool is_cased(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT;
}

bool chat_text_is_case(str s, bool upper)
{
    bool any = false;
    while (s.size) {
        int32_t c = chat_text_next(&s);
        if (!is_cased(c)) continue;
        if ((utf8proc_category(c) == UTF8PROC_CATEGORY_LU) != upper) return false;
        any = true;
    }
    return any;
}

static void add_character(buf *b, int32_t c)
{
    utf8proc_uint8_t text[4];
    buf_add(b, text, (size_t)utf8proc_encode_char(c, text));
}

static void add_upper(buf *b, int32_t c, bool title)
{
    static const struct {
        int32_t c;
        const char *upper, *title;
    } longer[] = {/* whose capitals are more than one character (Unicode's SpecialCasing) */
                  {0xDF, "SS", "Ss"},     {0x149, "\u02BCN", "\u02BCN"}, {0xFB00, "FF", "Ff"},
                  {0xFB01, "FI", "Fi"},   {0xFB02, "FL", "Fl"},          {0xFB03, "FFI", "Ffi"},
                  {0xFB04, "FFL", "Ffl"}, {0xFB05, "ST", "St"},          {0xFB06, "ST", "St"}};
    for (size_t i = 0; c >= 128 && i < countof(longer); i++) {
        if (longer[i].c != c) continue;
        buf_add_text(b, title ? longer[i].title : longer[i].upper);
        return;
    }
    add_character(b, title ? utf8proc_totitle(c) : utf8proc_toupper(c));
}

static void add_lower(buf *b, int32_t c, bool after_cased, str rest)
{
    if (c == 0x130) buf_add_text(b, "i\u0307");
    else if (c == 0x3A3 && after_cased && !(rest.size && is_cased(chat_text_next(&rest))))
        add_character(b, 0x3C2); /* a sigma that ends its word */
    else add_character(b, utf8proc_tolower(c));
}

bool chat_text_map(run *r, str s, text_case how, str *out)
{
    size_t start = r->scratch.size;
    bool cased = false, first = true;
    if (!chat_spend(r, 1 + s.size / 16)) return false;
    while (s.size) {
        int32_t c = chat_text_next(&s);
        bool upper =
            how == CASE_UPPER || (how == CASE_TITLE && !cased) || (how == CASE_CAPITAL && first);
        if (upper) add_upper(&r->scratch, c, how != CASE_UPPER);
        else add_lower(&r->scratch, c, cased, s);
        cased = is_cased(c);
        first = false;
    }
    return chat_value_scratch(r, start, out);
}
