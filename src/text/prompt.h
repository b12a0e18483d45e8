/* prompt: from messages with a slot for the text to token ids cut into head, case and answers.
 *
 * A form is rendered once with marks in the place of every content, which tells what the template
 * writes around them. The template's own words may hold special tokens; contents never do: whatever
 * a question, an example or a patient's text spells out is plain text. Each prompt is then checked
 * against a true rendering of the template.
 *
 * The **head** is what comes before the text and is sure to be tokenised the same whatever the text
 * is: its length is found from the form alone (with probes of many kinds in the slot), never from
 * the rows. A row whose ids do not begin with the head's keeps its own copy.
 *
 * Answers (Holtzman et al. 2021; the boundary rule of many bug reports): prompt and answer are
 * encoded as one string. If that changes the prompt's ids, the answer is encoded apart and marked
 * as forced.
 */
#ifndef CASELOAD_TEXT_PROMPT_H
#define CASELOAD_TEXT_PROMPT_H

#include "text/chat.h"
#include "text/token.h"

enum { PROMPT_MESSAGES_MAX = 600 };

typedef struct prompt_message {
    const char *role; /* "system", "user", "assistant" */
    str content;      /* of the message with the slot: what stands before the text */
    str after;        /* of the message with the slot: what stands behind it */
    bool slot;        /* exactly one message of a form, or none (a whole prompt) */
} prompt_message;

typedef struct prompt_rules { /* what the model brings */
    const tokenizer *tokens;
    const chat_template *chat; /* NULL: plain text, one message after the other */
    str bos, eos;              /* the template's bos_token and eos_token */
} prompt_rules;

typedef struct prompt_form {
    prompt_rules rules;
    const prompt_message *message;
    int32_t n_message;
    str before, after; /* rendered: everything up to the slot, everything behind it */
    token_range
        *plain; /* contents within before + after; the one with the slot is stretched by the text */
    int32_t n_plain, slot; /* which of `plain` holds the slot */
    int32_t n_head;        /* tokens of the head */
    int32_t *head;         /* [n_head] */
    int32_t n_tail;        /* tokens behind the head with a letter in the slot */
    int32_t *tail;         /* [n_tail] */
    str closing;           /* of `after`: from its last special token on, behind all contents */
    int32_t n_closing;     /* its tokens, whatever stands before it; 0: no such token */
    int32_t *closing_id;   /* [n_closing] */
} prompt_form;

/* `m` and its texts stay borrowed. */
bool prompt_form_make(prompt_form *f, const prompt_rules *r, const prompt_message *m,
                      int32_t n_message, arena *a, err *e);

/* The whole prompt as text / as ids (appended) with `text` in the slot. */
void prompt_write(const prompt_form *f, str text, buf *out);
bool prompt_encode(const prompt_form *f, str text, token_list *out, err *e);

/* Where in a prompt's ids the text ends and what follows it begins, when that is long enough to be
 * worth a segment of its own (another arm may ask something else behind the same text); 0 when not.
 * Depends on the form and the ids alone. */
enum { PROMPT_TAIL_MIN = 12 };
int32_t prompt_stem(const prompt_form *f, const int32_t *id, int32_t n);

/* Renders the template with the true contents; ERR_MODEL when it differs from what prompt_write
 * gives. */
bool prompt_check(const prompt_form *f, str text, err *e);

typedef struct prompt_answer { /* a question about an answer's ids, and the reply */
    const token_list *prompt;  /* ids of the prompt it follows */
    str answer;
    token_list *out; /* its ids are appended */
    bool forced;     /* reply: encoded apart, because together the prompt's ids would change */
} prompt_answer;

/* Where a special token stands behind the text, no merge crosses it: then what follows it is
 * encoded with the answer, and not the whole prompt once more (prompt_encode_answer_whole). */
bool prompt_encode_answer(const prompt_form *f, str text, prompt_answer *a, err *e);
bool prompt_encode_answer_whole(const prompt_form *f, str text, prompt_answer *a, err *e);

/* The same for a prompt taken verbatim: special tokens in it are recognised, BOS is added where
 * due. */
bool prompt_encode_verbatim(const tokenizer *t, str prompt, token_list *out, err *e);
bool prompt_encode_answer_verbatim(const tokenizer *t, str prompt, prompt_answer *a, err *e);

#endif
