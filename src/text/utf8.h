/* utf8: the little of Unicode that tokenizers need: validity, code points, classes, normal forms.
 *
 * Every function but utf8_check assumes valid text: check once at the door. Classes and normal
 * forms are utf8proc's (Unicode 14).
 */
#ifndef CASELOAD_TEXT_UTF8_H
#define CASELOAD_TEXT_UTF8_H

#include "base/str.h"

/* -1 when valid (RFC 3629: shortest form, no surrogates, up to U+10FFFF), else the byte offset
 * of the first byte that is not. */
int64_t utf8_check(str s);

/* Appends s with every run of bytes that is no character as U+FFFD: one for each start of a
 * character that is cut short, one for each other byte (Unicode 3.9, "maximal subparts"; Python's
 * errors="replace" and Rust's from_utf8_lossy do the same). Valid text is appended as it is. */
void utf8_mend(str s, buf *out);

/* The code point at *at, which is moved past it. *at < s.size. */
int32_t utf8_next(str s, size_t *at);

/* Bytes of the character that starts with `lead`: 1..4. */
static inline int utf8_size(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* Writes the 1..4 bytes of a code point, returns how many. */
int utf8_put(char out[4], int32_t code);

bool utf8_is_space(int32_t code); /* the White_Space property */
bool utf8_is_word(int32_t code);  /* letters, marks, digits, connectors */

typedef enum utf8_form { UTF8_NFC, UTF8_NFD, UTF8_NFKC, UTF8_NFKD } utf8_form;

/* Appends the normal form of s. False when memory is short or the text is far beyond reason. */
bool utf8_normalize(str s, utf8_form form, buf *out);

/* Appends the lower case of s, character by character (no final-sigma rule). */
void utf8_lower(str s, buf *out);

#endif
