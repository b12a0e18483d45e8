/* store_parts: a row asked in several ways, or with generated texts: what each gave.
 *
 *   asked_part  arm, row, variant, key      the ways in which the row is asked now
 *   part        key, class_logprob, answer_logprob, n_token, time_ms
 *   sample      key, number, text, n_token, end, class, class_logprob, time_ms
 *
 * A row asked in one way and without generated text has none of these: its `score` is all. Else
 * `score` holds what the rule of the arm made of its parts, under a key of its own (store_row_key);
 * its answer_logprob then is [ways][classes], when the arm has several ways (study/arms.h). Every
 * part and sample is kept under its key as soon as it is there: a killed run loses none.
 * A sample belongs to the part with its key; the part is there when all its samples are.
 *
 * Generated texts may repeat what a patient's text says: they are in this file (mode 0600) and are
 * shown by `caseload try` alone; never in a report, a log or an error.
 */
#ifndef CASELOAD_DATA_STORE_PARTS_H
#define CASELOAD_DATA_STORE_PARTS_H

#include "data/store.h"

enum { STORE_UNPARSED = -1, STORE_NOT_PARSED = -2 }; /* no rule fits; there are no rules */

typedef struct store_part {
    hash_text key;
    int32_t n_token; /* of the prompt */
    int32_t n_class, n_answer;
    const double *class_logprob;  /* [n_class]; -infinity: no answer stands for the class */
    const double *answer_logprob; /* [n_answer] */
    double time_ms;
} store_part;

typedef struct store_sample {
    hash_text key;
    int32_t number;
    str text;
    int32_t n_token;
    str end;       /* "end", "stop", "length" */
    int32_t class; /* what the text says, by the arm's rules */
    int32_t n_class;
    const double *class_logprob; /* [n_class] of the label asked behind the text */
    double time_ms;
} store_sample;

hash_text store_row_key(str rule, const hash_text *part, int32_t n); /* of a row of n parts */

bool store_add_asked_part(store *s, int32_t arm, int32_t row, int32_t variant, const hash_text *key,
                          err *e);
bool store_add_part(store *s, const store_part *p, err *e); /* a key that is there stays */
bool store_has_part(const store *s, const hash_text *key, bool *has, err *e);
bool store_add_sample(store *s, const store_sample *p, err *e); /* what is there stays */

typedef struct store_parts {      /* of one arm by row and variant; columns, all [n] unless said */
    int32_t n, n_class, n_answer; /* n_answer: largest */
    int32_t *row, *variant;
    bool *there; /* else the numbers are NaN */
    int32_t *n_token;
    double *time_ms;
    double *class_logprob;  /* [n][n_class] */
    double *answer_logprob; /* [n][n_answer] */
} store_parts;

/* row -1: all rows of the arm. */
bool store_get_parts(const store *s, int32_t arm, int32_t row, store_parts *p, arena *a, err *e);

typedef struct store_samples { /* by row, variant and number; columns, all [n] unless said */
    int32_t n, n_class;
    int32_t *row, *variant, *number, *n_token, *class;
    str *text, *end;
    double *time_ms;
    double *class_logprob; /* [n][n_class] */
} store_samples;

/* row -1: all rows of the arm. Of one part: `key`, arm and row are not looked at. */
bool store_get_samples(const store *s, int32_t arm, int32_t row, store_samples *p, arena *a,
                       err *e);
bool store_get_samples_of(const store *s, const hash_text *key, store_samples *p, arena *a, err *e);

#endif
