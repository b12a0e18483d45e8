/* spec_constrain: the form that a generated text must have.
 *
 *   constrain: {choice: [Yes, No]}       one of these texts; `choice: labels`: of the arm's answers
 *              {pattern: "T[1-4][ab]?"}  a regular expression that fits the whole text
 *              {schema: {type: object, properties: {grade: {type: integer, minimum: 1,
 *                        maximum: 5}}}}  JSON of a schema; or the schema as one text of JSON
 *
 * What is known of expressions and schemas: text/automaton.h. In a schema written as YAML, values
 * that read as numbers, true, false or null are those, but beside `type: string`, where they are
 * texts. */
#ifndef CASELOAD_DATA_SPEC_CONSTRAIN_H
#define CASELOAD_DATA_SPEC_CONSTRAIN_H

#include "data/spec_evidence.h"

typedef enum spec_form_kind {
    SPEC_FORM_ANY,
    SPEC_FORM_CHOICE,
    SPEC_FORM_PATTERN,
    SPEC_FORM_SCHEMA
} spec_form_kind;

typedef struct spec_form { /* that a generated text must have (spec_constrain.c) */
    spec_form_kind kind;
    int32_t line;
    spec_list choice; /* empty: the arm's answers */
    str text;         /* the pattern; the schema as JSON */
} spec_form;

#endif
