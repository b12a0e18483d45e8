/* tfidf: texts to weighted counts of words, as scikit-learn's TfidfVectorizer makes them by
 * default.
 *
 *   words       lower case; runs of two or more word characters (letters, digits, numbers, "_"; as
 *               Python's \w\w+, so combining marks end a word)
 *   characters  runs of 2 to 4 characters within words, a blank at both ends of each word (analyzer
 *               "char_wb"): for languages that write particles onto words (Korean) or no blanks
 *   value       count x idf, idf = ln((1 + rows) / (1 + rows with the term)) + 1; each row scaled
 *               to length 1
 * Columns are the terms of the rows it was fitted on, in the order of their bytes; other terms of
 * later rows are dropped. Lower case is by character (no final-sigma rule). Texts are valid UTF-8.
 */
#ifndef CASELOAD_TEXT_TFIDF_H
#define CASELOAD_TEXT_TFIDF_H

#include "base/str.h"
#include "stats/sparse.h"

enum { TFIDF_TERMS_MAX = 1 << 25, TFIDF_CHARACTERS_LEAST = 2, TFIDF_CHARACTERS_MOST = 4 };

typedef enum tfidf_unit { TFIDF_WORDS, TFIDF_CHARACTERS } tfidf_unit;

typedef struct tfidf {
    tfidf_unit unit;
    int32_t n_term, n_slot;
    str *term;     /* [n_term] in order */
    double *idf;   /* [n_term] */
    int32_t *slot; /* [n_slot] by hash: a term, -1: none */
} tfidf;

/* ERR_RESOURCE when memory is short or there are more than TFIDF_TERMS_MAX terms. Lives in `a`. */
bool tfidf_fit(tfidf *t, const str *text, int64_t n, tfidf_unit unit, arena *a, err *e);

bool tfidf_rows(const tfidf *t, const str *text, int64_t n, arena *a, sparse_rows *out, err *e);

/* What the texts ask for: characters when over 30 % of their letters are Hangul, Han, Kana or
 * Thai. */
tfidf_unit tfidf_suited(const str *text, int64_t n);

bool tfidf_is_word(int32_t code); /* Python's \w */

#endif
