/* json_out: see json_out.h. */
#include "view/json_out.h"

#include <assert.h>
#include <math.h>

static void start(buf *b, const char *key)
{
    char last = b->size ? b->data[b->size - 1] : '{';
    if (last != '{' && last != '[') buf_add_char(b, ',');
    if (!key) return;
    buf_add_char(b, '"');
    buf_add_json(b, str_of(key));
    buf_add_text(b, "\":");
}

void json_open(buf *b, const char *key, char bracket)
{
    assert(bracket == '{' || bracket == '[');
    start(b, key);
    buf_add_char(b, bracket);
}

void json_close(buf *b, char bracket)
{
    assert(bracket == '}' || bracket == ']');
    buf_add_char(b, bracket);
}

void json_text(buf *b, const char *key, const char *text)
{
    start(b, key);
    if (!text) {
        buf_add_text(b, "null");
        return;
    }
    buf_add_char(b, '"');
    buf_add_json(b, str_of(text));
    buf_add_char(b, '"');
}

void json_whole(buf *b, const char *key, int64_t x)
{
    start(b, key);
    buf_printf(b, "%lld", (long long)x);
}

void json_number(buf *b, const char *key, bool exists, double x)
{
    start(b, key);
    if (!exists || !isfinite(x)) buf_add_text(b, "null");
    else buf_printf(b, "%.17g", x);
}

void json_bool(buf *b, const char *key, bool x)
{
    start(b, key);
    buf_add_text(b, x ? "true" : "false");
}
