/* parse: what a generated text says, by the arm's declared list of rules (data/spec_ask.h): the
 * first rule that finds an answer decides. What no rule can read is its own category, never a guess
 * and never dropped.
 *
 * Answers are compared without case (ASCII) and without blanks, quotes and stops at their ends.
 * Within a text they count as whole words: no letter or digit at either side; behind a Korean
 * answer an ending may follow (예입니다). Where several begin at one place the longest counts, so that
 * "not serious" is not read as "serious". */
#ifndef CASELOAD_TEXT_PARSE_H
#define CASELOAD_TEXT_PARSE_H

#include "data/spec.h"

enum { PARSE_NOTHING = -1 };

typedef struct parse_answers {
    int32_t n;
    const str *text; /* [n] */
    const int32_t *class;
    int32_t n_letter;            /* letters A, B, .. that stand for options; 0: none */
    const int32_t *letter_class; /* [n_letter] */
} parse_answers;

/* ERR_USAGE when an expression cannot be read. */
bool parse_check(const spec *s, const spec_arm *arm, err *e);

/* The class, or PARSE_NOTHING. The rules have been checked. */
int32_t parse_text(const spec_think *rules, const parse_answers *all, str text);

#endif
