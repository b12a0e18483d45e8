/* err: see err.h. Text that does not fit is cut at the last whole UTF-8 character;
 * control characters become spaces. */
#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void cut_at_character(char *text, size_t size)
{
    size_t n = strnlen(text, size);
    if (n + 1 < size) return; /* it fitted */
    while (n > 0 && ((unsigned char)text[n - 1] & 0xC0) == 0x80) n--;
    if (n > 0 && ((unsigned char)text[n - 1] & 0x80)) n--;
    text[n] = 0;
}

/* Names in a message come from files: a line end or an escape code must not reach the terminal. */
static void drop_controls(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        bool high = c[0] == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0; /* U+0080 .. U+009F */
        if (high) *c++ = ' ';
        if (high || *c < 0x20 || *c == 0x7F) *c = ' ';
    }
}

bool err_set(err *e, err_code code, const char *format, ...)
{
    assert(e && code != ERR_NONE);
    if (e->code != ERR_NONE) return false;
    e->code = code;
    va_list rest;
    va_start(rest, format);
    vsnprintf(e->text, sizeof e->text, format, rest);
    va_end(rest);
    cut_at_character(e->text, sizeof e->text);
    drop_controls(e->text);
    return false;
}

bool err_in(err *e, const char *format, ...)
{
    assert(e);
    if (e->code == ERR_NONE) return false;
    char place[400], whole[sizeof e->text];
    va_list rest;
    va_start(rest, format);
    vsnprintf(place, sizeof place, format, rest);
    va_end(rest);
    cut_at_character(place, sizeof place);
    int n = snprintf(whole, sizeof whole, "%s: ", place);
    assert(n > 0 && (size_t)n < sizeof whole);
    size_t room = sizeof whole - (size_t)n;
    snprintf(whole + n, room, "%.*s", (int)(room - 1), e->text);
    cut_at_character(whole, sizeof whole);
    memcpy(e->text, whole, sizeof whole);
    return false;
}
