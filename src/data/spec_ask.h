/* spec_ask: how an arm asks. Keys of an arm; at the top of the study file they hold for every arm
 * that does not say otherwise.
 *
 *   framing: labels | options | text    label words; a lettered list of options; free text first
 *   method: [role, definitions, cot, self-consistency, meta, refined]     parts of the prompt, rows
 *                                       of the table in spec_ask.c, in any combination
 *   parts: {role: .., definitions: {serious: ..}, cot: .., meta: .., bridge: .., letter: ..}
 *                                       the parts' words; else short ones of our own, in `language`
 *   language: en | ko                   of our own words and of a question given in both; default:
 *                                       the question's
 *   question: text, {version: q2} (a file of prompts/, see prompts.h) or {en: .., ko: ..}
 *   score: letter | text | both         options: by what an option is scored
 *   position: as-is | cyclic | prior    options: each at every place, averaged; or what a
 *                                       letter gets when all options read alike is divided out
 *   calibrate: none | contextual | domain | batch       stats/score.h says what each does
 *   examples: {n: 3, pick: balanced | random | nearest | ids, ids: [..], draws: 3, orders: 2,
 *              seed: 1}                 short: `shots: 3`, `seed: 1`
 *   wordings: {questions: [.., ..], labels: [{serious: [Yes], ..}, ..], label_order: both}
 *   think: {samples: 5, temperature: 0.7, top_k: 0, top_p: 1, min_p: 0, repetition_penalty: 1,
 *           max_tokens: 256, stop: [..]}                text generated before the label is asked
 *   constrain: {choice: labels}         the form of the generated text (spec_constrain.h)
 *   parse: [exact, letter, first, last, {after: "Answer:"}, {json: answer}, {pattern: ".."}]
 *
 * A question may hold {text}, {options} (behind the text) and {labels}. Every question, set of
 * label words, label order, thing scored, draw and order of examples is one way of asking: an arm
 * with several is scored in each, its score is the mean, and the spread is reported.
 *
 *   matrix: {framing: [labels, options], method: [[], [role]], shots: [0, 3],
 *            without: [{framing: options, shots: 3}], only: [..]}
 * makes an arm of every combination, named after its parts; each value is one that the key
 * takes. */
#ifndef CASELOAD_DATA_SPEC_ASK_H
#define CASELOAD_DATA_SPEC_ASK_H

#include "data/spec_constrain.h"
#include "data/spec_evidence.h"

enum {
    SPEC_OPTIONS_MAX = 26, /* letters */
    SPEC_WAYS_MAX = 256,   /* of one arm */
    SPEC_WORDINGS_MAX = 64,
    SPEC_PARSE_MAX = 16,
    SPEC_SAMPLES_MAX = 100
};

typedef struct spec_class {
    spec_text name;
    spec_list surfaces; /* under `classes`: answers; under `data: labels`: values of the column */
} spec_class;

typedef enum spec_framing { SPEC_LABELS, SPEC_OPTIONS, SPEC_TEXT } spec_framing;
typedef enum spec_by { SPEC_BY_LETTER, SPEC_BY_TEXT, SPEC_BY_BOTH } spec_by;
typedef enum spec_position { SPEC_AS_IS, SPEC_CYCLIC, SPEC_PRIOR } spec_position;
typedef enum spec_calibrate {
    SPEC_UNCALIBRATED,
    SPEC_CONTEXTUAL,
    SPEC_DOMAIN,
    SPEC_BATCH
} spec_calibrate;
typedef enum spec_pick { SPEC_BALANCED, SPEC_RANDOM, SPEC_NEAREST, SPEC_IDS } spec_pick;
typedef enum spec_combine { SPEC_MEAN, SPEC_MAX, SPEC_NOISY_OR } spec_combine;
typedef enum spec_language { SPEC_ENGLISH, SPEC_KOREAN, SPEC_LANGUAGE_COUNT } spec_language;
typedef enum spec_label_order { SPEC_GIVEN, SPEC_REVERSED, SPEC_BOTH_ORDERS } spec_label_order;

typedef enum spec_part { /* texts that stand in a prompt beside the question */
                         SPEC_PART_ROLE,
                         SPEC_PART_DEFINITIONS,
                         SPEC_PART_COT,
                         SPEC_PART_SELF_CONSISTENCY,
                         SPEC_PART_META,
                         SPEC_PART_REFINED,
                         SPEC_METHODS, /* those before are methods; those behind always serve */
                         SPEC_PART_BRIDGE = SPEC_METHODS, /* asks for the label behind a text */
                         SPEC_PART_LETTER,                /* asks for a letter */
                         SPEC_PART_OPTION,                /* asks for an option's text */
                         SPEC_PART_ANSWER,                /* ends a plain prompt */
                         SPEC_PART_OR,                    /* between the last two of {labels} */
                         SPEC_PART_COUNT
} spec_part;

typedef struct spec_question { /* one wording */
    spec_text text;
    spec_text version; /* the file of prompts/ it came from; absent: none */
    spec_text by_language[SPEC_LANGUAGE_COUNT]; /* given as {en: .., ko: ..} */
} spec_question;

typedef enum spec_parse_kind {
    SPEC_PARSE_EXACT,  /* the whole text is an answer, case and blanks at its ends apart */
    SPEC_PARSE_LETTER, /* a letter of an option alone, in brackets or before "." or ":" */
    SPEC_PARSE_FIRST,  /* the answer that stands first, as whole words */
    SPEC_PARSE_LAST,
    SPEC_PARSE_AFTER,  /* what follows the last `text`, by the rules exact, letter, first */
    SPEC_PARSE_JSON,   /* the value of the key `text` of the first JSON object */
    SPEC_PARSE_PATTERN /* the first group of the expression `text` (PCRE2) */
} spec_parse_kind;

typedef struct spec_rule {
    spec_parse_kind kind;
    spec_text text;
} spec_rule;

typedef struct spec_think { /* samples 0: nothing is generated */
    int32_t line, samples, max_tokens, top_k;
    double temperature, top_p, min_p, repetition_penalty; /* as in model/decode.h */
    spec_list stop;
    int32_t n_parse;
    spec_rule *parse; /* [n_parse] the first that fits decides */
    spec_form form;
} spec_think;

typedef struct spec_ask {
    spec_framing framing;
    spec_by by;
    spec_position position;
    spec_calibrate calibrate;
    spec_pick pick;
    int32_t draws, orders; /* of examples; at least 1 */
    spec_list example_ids;
    spec_list method;                /* as written */
    uint32_t methods;                /* 1u << SPEC_PART_ROLE | .. */
    spec_language language;          /* SPEC_LANGUAGE_COUNT while reading: as the question's */
    spec_text part[SPEC_PART_COUNT]; /* as written; in a finished arm all that it uses are there */
    int32_t n_question;              /* wordings; at least 1 in a finished arm */
    spec_question *question;
    int32_t n_words; /* sets of label words; at least 1 */
    spec_class **words;
    spec_label_order label_order;
    spec_think think;
    int32_t line_wordings, line_examples;
} spec_ask;

const char *spec_part_name(spec_part p);       /* "self-consistency" */
const char *spec_framing_name(spec_framing f); /* "options" */
const char *spec_calibrate_name(spec_calibrate c);
const char *spec_position_name(spec_position p);
const char *spec_by_name(spec_by b);
const char *spec_pick_name(spec_pick p);
const char *spec_combine_name(spec_combine c);
const char *spec_parse_name(spec_parse_kind k);

#endif
