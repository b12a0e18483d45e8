/* table_jsonl: one JSON object a line, or one array of objects, to cells.
 *
 *   string        its text, escapes undone       number   as it is spelt: 1.50 stays 1.50
 *   true, false   those words                         null     empty
 *   list, object  its JSON text, and the column is marked: fine while the study does not use it
 *
 * Our own walk over the top level, because JSON libraries turn numbers into doubles and lose their
 * spelling; nested values are checked by jansson. Refused: repeated keys, half surrogates, U+0000,
 * anything that RFC 8259 does not allow. */
#include "data/table_in.h"

#include <assert.h>
#include <jansson.h>

typedef struct json_at {
    const char *data;
    size_t size, i;
    table_builder *b;
    buf key, text; /* the string last read, escapes undone */
    buf seen;      /* int32_t[n_column]: 1 + the last row that had the column */
} json_at;

static bool fail(const json_at *at, err *e, const char *what)
{
    char where[400];
    table_where(at->b, where);
    return err_set(e, ERR_DATA, "%s: not JSON as expected: %s", where, what);
}

static char peek(const json_at *at) { return at->i < at->size ? at->data[at->i] : 0; }

static void skip_space(json_at *at)
{
    for (;; at->i++) {
        char c = peek(at);
        if (c == '\n') at->b->line++;
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
    }
}

static bool take_char(json_at *at, char c)
{
    if (peek(at) != c || at->i == at->size) return false;
    at->i++;
    return true;
}

static bool take_word(json_at *at, const char *word)
{
    size_t n = strlen(word);
    if (at->size - at->i < n || memcmp(at->data + at->i, word, n)) return false;
    at->i += n;
    return true;
}

static int64_t take_hex4(json_at *at)
{
    if (at->size - at->i < 4) return -1;
    int64_t value = 0;
    for (int k = 0; k < 4; k++) {
        char c = at->data[at->i++];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static void add_code(buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_add_char(out, (char)c);
        return;
    }
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    char bytes[4];
    for (int k = n - 1; k > 0; k--, c >>= 6) bytes[k] = (char)(0x80 | (c & 0x3F));
    static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    bytes[0] = (char)(lead[n] | c);
    buf_add(out, bytes, (size_t)n);
}

/* After "\u". */
static bool take_unicode(json_at *at, buf *out, err *e)
{
    int64_t c = take_hex4(at);
    if (c < 0) return fail(at, e, "\\u without four hexadecimal digits");
    if (c == 0) return fail(at, e, "a NUL character");
    if (c >= 0xD800 && c <= 0xDFFF) {
        int64_t low = c < 0xDC00 && take_word(at, "\\u") ? take_hex4(at) : -1;
        if (low < 0xDC00 || low > 0xDFFF) return fail(at, e, "half of a surrogate pair");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    add_code(out, (uint32_t)c);
    return true;
}

/* At the opening quote. */
static bool take_string(json_at *at, buf *out, err *e)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    buf_clear(out);
    if (!take_char(at, '"')) return fail(at, e, "a quoted key is missing");
    for (;;) {
        size_t start = at->i;
        while (at->i < at->size && (unsigned char)at->data[at->i] >= 0x20 &&
               at->data[at->i] != '"' && at->data[at->i] != '\\')
            at->i++;
        buf_add(out, at->data + start, at->i - start);
        if (at->i == at->size) return fail(at, e, "a string that never closes");
        char c = at->data[at->i++];
        if (c == '"') return buf_check(out, "a cell", e);
        if (c != '\\') return fail(at, e, "a line end or control character inside a string");
        c = peek(at);
        const char *known = c ? strchr(from, c) : NULL;
        at->i++;
        if (at->i > at->size) return fail(at, e, "a string that never closes");
        if (c == 'u') {
            if (!take_unicode(at, out, e)) return false;
        } else if (known) {
            buf_add_char(out, to[known - from]);
        } else {
            return fail(at, e, "an unknown escape after \\");
        }
    }
}

static size_t digits(json_at *at)
{
    size_t from = at->i;
    while (peek(at) >= '0' && peek(at) <= '9') at->i++;
    return at->i - from;
}

static bool take_number(json_at *at, str *out, err *e)
{
    size_t from = at->i;
    take_char(at, '-');
    bool zero = peek(at) == '0';
    size_t n = digits(at);
    bool ok = n > 0 && !(zero && n > 1);
    if (ok && take_char(at, '.')) ok = digits(at) > 0;
    if (ok && (take_char(at, 'e') || take_char(at, 'E'))) {
        if (!take_char(at, '+')) take_char(at, '-');
        ok = digits(at) > 0;
    }
    *out = (str){at->data + from, at->i - from};
    return ok || fail(at, e, "a bad number or an unquoted word");
}

/* At { or [: the whole value as it is written. */
static bool take_nested(json_at *at, str *out, err *e)
{
    size_t from = at->i, depth = 0;
    bool quoted = false;
    for (; at->i < at->size; at->i++) {
        char c = at->data[at->i];
        at->b->line += c == '\n';
        if (quoted) {
            at->i += c == '\\';
            quoted = c != '"';
            continue;
        }
        quoted = c == '"';
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        if (depth == 0) break;
    }
    if (at->i >= at->size) return fail(at, e, "a list or object that never closes");
    at->i++;
    *out = (str){at->data + from, at->i - from};
    json_t *value = json_loadb(out->data, out->size, JSON_ALLOW_NUL, NULL);
    json_decref(value);
    return value || fail(at, e, "a malformed list or object");
}

static bool take_value(json_at *at, str *out, bool *nested, err *e)
{
    char c = peek(at);
    *nested = c == '{' || c == '[';
    if (*nested) return take_nested(at, out, e);
    if (c == '"') {
        if (!take_string(at, &at->text, e)) return false;
        *out = buf_view(&at->text);
        return true;
    }
    if (take_word(at, "true")) *out = STR("true");
    else if (take_word(at, "false")) *out = STR("false");
    else if (take_word(at, "null")) *out = STR("");
    else return take_number(at, out, e);
    return true;
}

/* The column called `key`, made when new; keys mostly come in the order of the columns. */
static int32_t find_column(json_at *at, str key, int32_t expected, err *e)
{
    table_builder *b = at->b;
    if (str_trim(key).size == 0) return fail(at, e, "an empty key"), -1;
    buf composed = buf_up_to(TABLE_BYTES_MAX);
    encoding_count unused = {0};
    encoding_add_nfc(&composed, str_trim(key), &unused);
    str name = buf_view(&composed);
    int32_t found = -1;
    for (int32_t k = 0; k < b->n_column && found < 0; k++) {
        int32_t column = (int32_t)(((int64_t)expected + k) % b->n_column);
        if (str_equal(table_name_in(b, column), name)) found = column;
    }
    bool ok = buf_check(&composed, "a column name", e);
    buf_close(&composed);
    if (found >= 0 || !ok) return ok ? found : -1;
    int32_t never = 0;
    buf_add(&at->seen, &never, sizeof never);
    return table_add_name(b, key, e) && buf_check(&at->seen, "columns", e) ? b->n_column - 1 : -1;
}

static void mark_nested(table_builder *b, int32_t column)
{
    const int32_t none = -1;
    while (b->nested_row.size <= (size_t)column * sizeof none) {
        size_t before = b->nested_row.size;
        buf_add(&b->nested_row, &none, sizeof none);
        if (b->nested_row.size == before) return; /* full: table_finish reports it */
    }
    int32_t *row = (int32_t *)(void *)b->nested_row.data;
    if (row[column] < 0) row[column] = b->row - 1;
}

static bool take_member(json_at *at, int32_t expected, err *e)
{
    table_builder *b = at->b;
    str cell;
    bool nested = false;
    skip_space(at);
    b->column = b->n_column; /* not known yet */
    if (!take_string(at, &at->key, e)) return false;
    int32_t column = find_column(at, buf_view(&at->key), expected, e);
    if (column < 0) return false;
    b->column = column;
    skip_space(at);
    if (!take_char(at, ':')) return fail(at, e, "no ':' after a key");
    skip_space(at);
    if (!take_value(at, &cell, &nested, e)) return false;
    int32_t *seen = (int32_t *)(void *)at->seen.data;
    if (seen[column] == b->row) return fail(at, e, "the key is there twice");
    seen[column] = b->row;
    if (nested) mark_nested(b, column);
    skip_space(at);
    return table_add_cell(b, column, cell, e);
}

static bool take_object(json_at *at, err *e)
{
    table_builder *b = at->b;
    b->row++;
    b->column = b->n_column;
    if (peek(at) != '{') return fail(at, e, "an object, { .. }, is expected here");
    if (!table_start_row(b, e)) return false;
    at->i++;
    skip_space(at);
    if (take_char(at, '}')) return true;
    for (int32_t k = 0;; k++) {
        if (!take_member(at, b->column < b->n_column && k ? b->column + 1 : 0, e)) return false;
        if (take_char(at, '}')) return true;
        if (!take_char(at, ',')) return fail(at, e, "no ',' or '}' after a value");
    }
}

static bool take_all(json_at *at, err *e)
{
    skip_space(at);
    bool array = take_char(at, '[');
    skip_space(at);
    if (array && take_char(at, ']')) return true;
    while (array || at->i < at->size) {
        if (!take_object(at, e)) return false;
        int64_t end = at->b->line;
        skip_space(at);
        if (!array && at->i < at->size && at->b->line == end)
            return fail(at, e, "more than one value on the line");
        if (array && take_char(at, ']')) break;
        if (array && !take_char(at, ',')) return fail(at, e, "no ',' or ']' after an object");
        if (array) skip_space(at);
    }
    skip_space(at);
    return at->i == at->size || fail(at, e, "text after the closing ]");
}

bool table_jsonl_read(table_builder *b, str text, err *e)
{
    assert(b->n_row == 0 && b->line > 0);
    json_at at = {.data = text.data,
                  .size = text.size,
                  .b = b,
                  .key = buf_up_to(TABLE_BYTES_MAX),
                  .text = buf_up_to(TABLE_BYTES_MAX),
                  .seen = buf_up_to((TABLE_COLUMNS_MAX + 1) * sizeof(int32_t))};
    bool ok = take_all(&at, e);
    buf_close(&at.key);
    buf_close(&at.text);
    buf_close(&at.seen);
    return ok;
}
