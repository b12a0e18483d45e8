/* arms: a study's arms as prompts: which messages, which examples, which answers, how much of a
 * text.
 *
 * Layout of a prompt (chat): [system] then for every example user: question + text, assistant: its
 * label's first answer; at last user: question + text. `{text}` in the question says where the text
 * goes; without it, it follows after an empty line. Options (`framing: options`) stand behind the
 * text, a letter and an option a line. Plain prompts put the same parts one after the other and end
 * in "Answer:"; their answers begin with a space. Parts of the arm's method stand before the
 * question (definitions, meta) or behind it (cot); see data/spec_ask.h.
 *
 * A template that takes no system message (some refuse it, some drop it) gets the role text before
 * the first question; the report says so.
 *
 * One note budget serves all arms: what `limits: max_tokens` leaves after the longest frame of any
 * arm, the longest list of options, the longest answer and what is generated. So every arm sees the
 * same text of a row. A text that is longer is cut by the study's rule, or refused. With several
 * models the budget holds for each one's tokens: the text kept is the shortest that any of them
 * needs.
 *
 * Ways and variants. A way is one question x label words x label order x thing scored x draw x
 * order of the examples. A row is asked in variants: each way x piece (chunk) of its text x place
 * of its options, and each way x reference prompt (content-free text, options that read alike) that
 * a calibration divides by. variant = way + n_way * inner; references come after all others.
 */
#ifndef CASELOAD_STUDY_ARMS_H
#define CASELOAD_STUDY_ARMS_H

#include "base/pool.h"
#include "data/rows.h"
#include "data/spec.h"
#include "data/split.h"
#include "text/prompt.h"

#define ARMS_GAP " [...] " /* stands where a text was cut */

typedef struct arms_way {
    int32_t question, words; /* of the spec's */
    bool reversed;           /* labels in the order opposite to the study's */
    bool by_text;            /* an option is answered by its text, not by its letter */
    int32_t draw, order;     /* of the examples */
    int32_t first_form;      /* of its n_set forms */
    str between;             /* between a text and its options */
} arms_way;

typedef struct arm {
    const spec_arm *spec;
    const struct arms_model *model;
    shots shots;
    int32_t n_way, n_set; /* n_set: sets of examples; at least 1 */
    struct arms_way *way; /* [n_way] */
    int32_t *set_turn;    /* [n_set] the turn of the shots whose rows use it; 0 without examples */
    int32_t n_form;       /* one a way and set: n_way x n_set at most */
    prompt_form *form;    /* [n_form] */
    int32_t n_answer;     /* of the first way and the study's classes: for the report */
    str *answer;          /* [n_answer] */
    int32_t *answer_class;
    str bridge; /* asks for the label behind a generated text; empty: none is generated */
    str shown; /* the prompt with {text} and {example 1} .. in the place of texts: for the report */
} arm;

typedef struct arms_model { /* what a model brings; rules and n_context are given */
    prompt_rules rules;
    int32_t n_context;   /* tokens that it was made for; 0: unknown */
    bool chat;           /* through the model's template */
    bool takes_system;   /* else the role text stands before the first question */
    int32_t max_tokens;  /* of a prompt and its longest answer */
    int32_t note_tokens; /* the note budget in its tokens */
} arms_model;

typedef struct arms {
    const spec *spec;
    const rows *rows;
    arena *memory; /* of the run */
    int32_t n_model;
    arms_model *model;       /* [n_model] */
    const int32_t *model_of; /* [spec->n_arm] */
    int32_t n_arm;
    arm *arm;
    str *text;      /* [rows->scored.n] as asked: whole or cut; in chunks: the first */
    int32_t *piece; /* [rows->scored.n + 1] into chunk; NULL: one text a row */
    str *chunk;
    int32_t *n_cut; /* [rows->scored.n] tokens cut away, counted by the model that cut most */
    int32_t n_row_cut;
} arms;

/* spec, rows, memory, models and model_of of `a` are given. ERR_USAGE for what the study file asks
 * and cannot have, ERR_DATA for a text that is too long under `cut: refuse` (naming the row),
 * ERR_MODEL from the template. */
bool arms_make(arms *a, err *e);

typedef struct arms_variant { /* what a variant is */
    int32_t way, chunk, shift;
    int32_t reference; /* -1: the row itself; else which reference prompt of its way and shift */
} arms_variant;

/* A row is asked in one or more variants: the row's score is made of all of theirs. */
int32_t arms_variants(const arms *a, int32_t arm, int32_t row);
arms_variant arms_describe(const arms *a, int32_t arm, int32_t row, int32_t variant);
const prompt_form *arms_form(const arms *a, int32_t arm, int32_t row, int32_t variant);

/* Class log-scores of the row from those of its variants, z[n_variant][n_class]: references are
 * divided out, places averaged, chunks combined, ways averaged. `way` [n_way][n_class], when not
 * NULL, gets each way's. A row of one variant keeps its own to the bit. */
void arms_combine(const arms *a, int32_t arm, int32_t row, const double *z, double *out,
                  double *way);
/* The arm as a JSON object: framing, parts and their words, wordings, ways, thinking. */
void arms_write_record(const arms *a, int32_t arm, buf *out);
/* The rule as text, for the key of a row's score. */
void arms_rule(const arms *a, int32_t arm, buf *out);

/* The prompt as text, for eyes. */
void arms_write(const arms *a, int32_t arm, int32_t row, int32_t variant, buf *out);

/* One prompt and its answers as ids; zero is empty, lists grow and are used again. Answers may
 * differ from row to row and from variant to variant; a class that no answer stands for is
 * allowed. Where texts are generated, the answers follow the bridge, and that the text. */
typedef struct asked {
    token_list prompt, answers; /* answers one after the other */
    int32_t n_answer;
    token_list start;        /* [n_answer + 1] where each answer begins in `answers` */
    token_list answer_class; /* [n_answer] the class that it stands for */
    int32_t n_stem;          /* where the prompt's text ends (prompt_stem); 0: not cut there */
    token_list bridge;       /* empty: nothing is generated */
    bool any_forced;
    err failure;
} asked;

/* The answers of a variant as text; `behind` a generated text they begin with a space. */
typedef struct arms_answers {
    arena *memory; /* given, as is `behind` */
    bool behind;
    bool own; /* options of the row itself: two may be the same */
    int32_t n;
    str *text; /* [n] */
    int32_t *class;
} arms_answers;
bool arms_list_answers(const arms *a, int32_t arm, int32_t row, int32_t variant, arms_answers *out,
                       err *e);
/* What a generated text says: a class, by the arm's rules, or PARSE_NOTHING (text/parse.h). */
int32_t arms_read_text(const arms *a, int32_t arm, int32_t row, int32_t variant, str text);
bool arms_ask(const arms *a, int32_t arm, int32_t row, int32_t variant, asked *q, err *e);
void asked_close(asked *q);

#endif
