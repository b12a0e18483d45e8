/* str: borrowed text with a length; buf: a growing byte buffer with a maximum from birth. */
#ifndef CASELOAD_BASE_STR_H
#define CASELOAD_BASE_STR_H

#include "base/arena.h"

#include <string.h>

typedef struct str { /* a view; not 0-terminated unless its maker says so */
    const char *data;
    size_t size;
} str;

#define STR(literal) ((str){.data = (literal), .size = sizeof(literal) - 1})

static inline str str_of(const char *text) { return (str){.data = text, .size = strlen(text)}; }
static inline str str_part(str s, size_t from, size_t size) { return (str){s.data + from, size}; }
bool str_equal(str a, str b);
bool str_is(str a, const char *text);
bool str_starts(str a, const char *prefix);
bool str_ends(str a, const char *suffix);
int str_order(str a, str b);       /* bytewise, as memcmp; the shorter first */
str str_trim(str s);               /* without ASCII white space at both ends */
str str_trim_unicode(str s);       /* without any white space at both ends, as Python's strip() */
int64_t str_find(str s, str part); /* first byte offset, or -1 */
str str_keep(arena *a, str s, err *e); /* a 0-terminated copy */

/* The whole of s as a number; false when it is not one, or out of range. Independent of locale. */
bool str_to_int(str s, int64_t *out);
bool str_to_double(str s, double *out);

/* The word of `words` nearest to `word` (edit distance, at most half its length); NULL when
 * none. */
const char *str_nearest(str word, const char *const *words, size_t n_word);

typedef struct buf {
    char *data; /* 0-terminated once anything was added */
    size_t size, room, max;
    bool failed; /* out of memory or over max; sticks, further adds are ignored */
} buf;

#define BUF_MAX ((size_t)1 << 40)

static inline buf buf_up_to(size_t max) { return (buf){.max = max}; }
void buf_close(buf *b);
void buf_clear(buf *b); /* keeps the room */
void buf_add(buf *b, const void *data, size_t size);
void buf_add_str(buf *b, str s);
void buf_add_text(buf *b, const char *text);
void buf_add_char(buf *b, char c);
void buf_printf(buf *b, const char *format, ...) PRINTF(2, 3);
static inline str buf_view(const buf *b) { return (str){b->data ? b->data : "", b->size}; }

/* Turns a failed buffer into ERR_RESOURCE. */
bool buf_check(const buf *b, const char *what, err *e);

/* Escapes for HTML text and attributes; for a JSON string (without the quotes). */
void buf_add_html(buf *b, str s);
void buf_add_json(buf *b, str s);

#endif
