/* json_out: writing JSON by hand, commas included. A member or element puts its own comma when it
 * follows another. Doubles read back bit for bit; a number that does not exist is null. */
#ifndef CASELOAD_VIEW_JSON_OUT_H
#define CASELOAD_VIEW_JSON_OUT_H

#include "base/str.h"

#include <stdbool.h>

/* `key` NULL: an element of an array. */
void json_open(buf *b, const char *key, char bracket);     /* '{' or '[' */
void json_close(buf *b, char bracket);                     /* '}' or ']' */
void json_text(buf *b, const char *key, const char *text); /* NULL text: null */
void json_whole(buf *b, const char *key, int64_t x);
void json_number(buf *b, const char *key, bool exists, double x);
void json_bool(buf *b, const char *key, bool x);

#endif
