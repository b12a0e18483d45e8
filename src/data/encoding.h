/* encoding: any table's bytes to UTF-8, strictly, and texts to NFC.
 *
 * Asked for "auto": a byte order mark decides (UTF-8, UTF-16 LE or BE); else UTF-8 if every byte of
 * the file fits; else CP949 (the superset of EUC-KR that Korean Windows writes) if every byte fits.
 * Anything else must be named by the user. Nothing is replaced or dropped: the first byte that does
 * not decode stops the reading. A file without a mark whose bytes fit CP949 only as syllables that
 * Korean hardly uses is taken for Windows-1252 (curly quotes) and refused with a request to name
 * the encoding.
 */
#ifndef CASELOAD_DATA_ENCODING_H
#define CASELOAD_DATA_ENCODING_H

#include "base/str.h"

typedef enum encoding { /* values are rows of a table in encoding.c */
                        ENCODING_AUTO,
                        ENCODING_UTF8,
                        ENCODING_UTF16LE,
                        ENCODING_UTF16BE,
                        ENCODING_CP949,
                        ENCODING_WINDOWS1252,
                        ENCODING_SHIFT_JIS,
                        ENCODING_GB18030,
                        ENCODING_BIG5,
                        ENCODING_COUNT
} encoding;

typedef struct encoding_result {
    encoding used;
    bool has_mark; /* a byte order mark was there (and dropped) */
    str text;      /* UTF-8: a view of the input, or of `store` */
    buf store;     /* close it when `text` is no longer needed */
    int64_t
        failed_at; /* -1, or the byte offset in the input that does not decode; `text` is then what
                           came before it */
    bool looks_western; /* why failed_at was set: it decodes as CP949, but hardly as Korean */
} encoding_result;

/* False only when memory runs out; a byte that does not decode is in `r->failed_at`, for the caller
 * to say in which row and column. */
bool encoding_decode(encoding_result *r, str bytes, encoding asked, err *e);

const char *encoding_name(encoding k); /* "UTF-8", "CP949", .. */
bool encoding_find(str name,
                   encoding *out);  /* any common spelling: utf8, EUC-KR, ms949, latin1, .. */
const char *encoding_names(void);   /* "utf-8, utf-16, cp949, .." for messages */
int64_t encoding_utf8_valid(str s); /* -1, or the offset of the first byte that is not UTF-8 */
int64_t encoding_count_characters(str utf8); /* Unicode code points */
str encoding_cut(str utf8,
                 size_t bytes_max); /* the longest start of whole characters; for messages */

typedef struct encoding_count { /* what a text holds, counted while it is brought to NFC */
    int64_t n_changed;          /* texts that NFC changed */
    int64_t n_replacement;      /* U+FFFD */
    int64_t n_private;          /* private-use characters */
} encoding_count;

/* Appends valid UTF-8 `s` in NFC to `out`. */
void encoding_add_nfc(buf *out, str s, encoding_count *count);

#endif
