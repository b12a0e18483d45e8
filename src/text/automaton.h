/* automaton: the texts that a generated answer may be, as a finite automaton over bytes.
 *
 * Made whole before a token is drawn: syntax tree, NFA (Thompson 1968), DFA (subset construction);
 * every state can still reach an accepted text. In front of it one blank may stand, which some
 * models put before an answer's first word.
 *
 *   choice    one of the texts
 *   pattern   characters, . (any but a new line), [a-z가-힣], [^..], \d \w \s \D \W \S, \n \t \r,
 *             \. and other marks, ( ), (?: ), |, * + ? {n} {n,} {n,m}; ^ first and $ last say what
 *             holds anyway: the whole text fits. \d, \w, \s are of ASCII. No look-around, no back
 *             references, no lazy forms: they are refused.
 *   schema    JSON of a schema (JSON Schema, a part): `type` object (its `properties` in their
 *             order: those of `required`, or all of them without it; others may be left out), array
 *             (`items`, `minItems`, `maxItems`), string (`minLength`, `maxLength` in characters),
 *             integer (with `minimum` and `maximum` within 10,000 of each other), number, boolean,
 *             null, or a list of types; `enum`, `const`, `anyOf`, `oneOf`. Up to two blanks or new
 *             lines between the parts. `title`, `description`,
 *             `default`, `examples`, `$schema` say nothing; other keys are refused by name.
 *
 * ERR_USAGE says what is wrong and where; also when the automaton would have more than
 * AUTOMATON_STATES_MAX states.
 */
#ifndef CASELOAD_TEXT_AUTOMATON_H
#define CASELOAD_TEXT_AUTOMATON_H

#include "base/str.h"

enum { AUTOMATON_STATES_MAX = 16384, AUTOMATON_DEAD = -1 };

typedef struct automaton {
    int32_t n_state; /* 0 is the start */
    int32_t *next;   /* [n_state, 256] or AUTOMATON_DEAD */
    bool *accepts;   /* [n_state] */
    bool *goes_on;   /* [n_state] some byte may follow */
} automaton;

bool automaton_choice(automaton *m, const str *text, int32_t n, arena *a, err *e);
bool automaton_pattern(automaton *m, str pattern, arena *a, err *e);
bool automaton_schema(automaton *m, str json, arena *a, err *e);

/* The state behind `bytes`, or AUTOMATON_DEAD. */
int32_t automaton_run(const automaton *m, int32_t state, str bytes);

#endif
