/* str and buf: see str.h. */
#include "base/str.h"

#include <assert.h>
#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool str_equal(str a, str b)
{
    return a.size == b.size && (a.size == 0 || !memcmp(a.data, b.data, a.size));
}

bool str_is(str a, const char *text) { return str_equal(a, str_of(text)); }

bool str_starts(str a, const char *prefix)
{
    size_t n = strlen(prefix);
    return a.size >= n && !memcmp(a.data, prefix, n);
}

bool str_ends(str a, const char *suffix)
{
    size_t n = strlen(suffix);
    return a.size >= n && !memcmp(a.data + a.size - n, suffix, n);
}

int str_order(str a, str b)
{
    size_t n = a.size < b.size ? a.size : b.size;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    if (order) return order;
    return (a.size > b.size) - (a.size < b.size);
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

str str_trim(str s)
{
    while (s.size && is_space(s.data[0])) s.data++, s.size--;
    while (s.size && is_space(s.data[s.size - 1])) s.size--;
    return s;
}

/* Bytes of the white space character that begins s; 0: none does. The set of Python's
 * str.isspace. */
static size_t space_size(const unsigned char *c, size_t n)
{
    if (n >= 1 && ((c[0] >= 0x09 && c[0] <= 0x0D) || (c[0] >= 0x1C && c[0] <= 0x20))) return 1;
    if (n >= 2 && c[0] == 0xC2 && (c[1] == 0x85 || c[1] == 0xA0)) return 2;
    if (n < 3) return 0;
    int32_t code = c[1] << 8 | c[2];
    bool wide = (c[0] == 0xE1 && code == 0x9A80) || (c[0] == 0xE3 && code == 0x8080);
    bool general = code == 0x80A8 || code == 0x80A9 || code == 0x80AF || code == 0x819F;
    general = general || (code >= 0x8080 && code <= 0x808A);
    return wide || (c[0] == 0xE2 && general) ? 3 : 0;
}

str str_trim_unicode(str s)
{
    const unsigned char *c = (const unsigned char *)s.data;
    size_t from = 0, to = s.size, n = 0;
    while ((n = space_size(c + from, to - from)) > 0) from += n;
    for (bool more = true; more && to > from;) {
        more = false;
        for (size_t back = 1; back <= 3 && back <= to - from && !more; back++) {
            more = space_size(c + to - back, back) == back;
            if (more) to -= back;
        }
    }
    return str_part(s, from, to - from);
}

int64_t str_find(str s, str part)
{
    if (part.size == 0) return 0;
    const char *at = s.size >= part.size ? memmem(s.data, s.size, part.data, part.size) : NULL;
    return at ? at - s.data : -1;
}

str str_keep(arena *a, str s, err *e)
{
    char *copy = arena_copy_text(a, s.data, s.size, e);
    return copy ? (str){copy, s.size} : (str){"", 0};
}

bool str_to_int(str s, int64_t *out)
{
    size_t i = 0;
    bool minus = s.size && s.data[0] == '-';
    if (s.size && (s.data[0] == '-' || s.data[0] == '+')) i++;
    if (i == s.size) return false;
    int64_t n = 0;
    for (; i < s.size; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') return false;
        int digit = s.data[i] - '0';
        if (__builtin_mul_overflow(n, 10, &n)) return false;
        if (minus ? __builtin_sub_overflow(n, digit, &n) : __builtin_add_overflow(n, digit, &n))
            return false;
    }
    *out = n;
    return true;
}

bool str_to_double(str s, double *out)
{
    char text[64];
    s = str_trim(s);
    if (s.size == 0 || s.size >= sizeof text) return false;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i]; /* decimal notation only: no hex, no "nan(...)" */
        if (!((c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E'))
            return false;
        text[i] = c;
    }
    text[s.size] = 0;
    char *end = NULL;
    double value = strtod(text, &end); /* the program never calls setlocale: "C" numbers */
    if (end != text + s.size) return false;
    *out = value;
    return true;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

static size_t edit_distance(str a, str b)
{
    enum { LONGEST = 63 };
    size_t row[LONGEST + 1];
    if (a.size > LONGEST || b.size > LONGEST) return SIZE_MAX;
    for (size_t j = 0; j <= b.size; j++) row[j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a.data[i - 1] != b.data[j - 1]));
            diagonal = above;
        }
    }
    return row[b.size];
}

const char *str_nearest(str word, const char *const *words, size_t n_word)
{
    const char *best = NULL;
    size_t least = word.size / 2 + 1;
    for (size_t i = 0; i < n_word; i++) {
        size_t d = edit_distance(word, str_of(words[i]));
        if (d < least) {
            least = d;
            best = words[i];
        }
    }
    return best;
}

void buf_close(buf *b)
{
    free(b->data);
    *b = (buf){.max = b->max};
}

void buf_clear(buf *b)
{
    b->size = 0;
    b->failed = false;
    if (b->data) b->data[0] = 0;
}

static bool buf_reserve(buf *b, size_t more)
{
    assert(b->max > 0); /* a maximum from birth */
    if (b->failed) return false;
    if (more >= b->max || b->size > b->max - more - 1) return b->failed = true, false;
    size_t need = b->size + more + 1;
    if (need <= b->room) return true;
    size_t room = b->room < 64 ? 64 : b->room;
    while (room < need) room *= 2;
    char *data = realloc(b->data, room);
    if (!data) return b->failed = true, false;
    b->data = data;
    b->room = room;
    return true;
}

void buf_add(buf *b, const void *data, size_t size)
{
    if (!buf_reserve(b, size)) return;
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = 0;
}

void buf_add_str(buf *b, str s) { buf_add(b, s.data, s.size); }

void buf_add_text(buf *b, const char *text) { buf_add(b, text, strlen(text)); }

void buf_add_char(buf *b, char c) { buf_add(b, &c, 1); }

void buf_printf(buf *b, const char *format, ...)
{
    va_list rest, again;
    va_start(rest, format);
    va_copy(again, rest);
    int n = vsnprintf(NULL, 0, format, rest);
    va_end(rest);
    assert(n >= 0);
    if (buf_reserve(b, (size_t)n)) {
        vsnprintf(b->data + b->size, (size_t)n + 1, format, again);
        b->size += (size_t)n;
    }
    va_end(again);
}

bool buf_check(const buf *b, const char *what, err *e)
{
    if (!b->failed) return true;
    return err_set(e, ERR_RESOURCE, "out of memory for %s (it may hold %zu bytes)", what, b->max);
}

void buf_add_html(buf *b, str s)
{
    for (size_t i = 0; i < s.size; i++) {
        switch (s.data[i]) {
        case '&': buf_add_text(b, "&amp;"); break;
        case '<': buf_add_text(b, "&lt;"); break;
        case '>': buf_add_text(b, "&gt;"); break;
        case '"': buf_add_text(b, "&quot;"); break;
        case '\'': buf_add_text(b, "&#39;"); break;
        default: buf_add_char(b, s.data[i]);
        }
    }
}

void buf_add_json(buf *b, str s)
{
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        switch (c) {
        case '"': buf_add_text(b, "\\\""); break;
        case '\\': buf_add_text(b, "\\\\"); break;
        case '\n': buf_add_text(b, "\\n"); break;
        case '\r': buf_add_text(b, "\\r"); break;
        case '\t': buf_add_text(b, "\\t"); break;
        default:
            if (c < 0x20 || c == 0x7F) buf_printf(b, "\\u%04x", c);
            else buf_add_char(b, (char)c);
        }
    }
}
