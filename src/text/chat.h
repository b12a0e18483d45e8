/* chat: an interpreter for the part of Jinja that models' chat templates use.
 *
 * Strict: an unknown tag, filter, test or construct is an error with its line, found when the
 * template is read if possible. It renders as transformers does (Jinja's sandbox, trim_blocks and
 * lstrip_blocks on, loop controls, {% generation %}, tojson, raise_exception) and spells values as
 * Python (True, None, 'text' in lists). A name that is not defined prints as nothing; its
 * attributes are an error.
 *
 * Two things differ on purpose:
 *   - strftime_now(format) is refused, because a prompt must not depend on the day, unless the
 *     context's member "strftime_now" is a date "YYYY-MM-DD": then it is that day at midnight.
 *     Without one the name counts as undefined, so templates that hold their own date use it.
 *   - what map, select and their like return has a length and items, where Python would raise.
 */
#ifndef CASELOAD_TEXT_CHAT_H
#define CASELOAD_TEXT_CHAT_H

#include "base/str.h"

#include <jansson.h>

typedef struct chat_template chat_template;

/* `source` and `name` are copied; `name` is for messages. At most 1 MB of UTF-8.
 * ERR_MODEL "<name>: line 12: unknown filter 'foo'". */
chat_template *chat_open(str source, const char *name, err *e);
void chat_close(chat_template *t); /* NULL is fine */

/* Adds the text to `out`; on failure `out` is as it was. `context`: a JSON object whose members are
 * the template's variables (messages, bos_token, eos_token, add_generation_prompt, tools, ..).
 * Bounded: 10 million steps, 64 MB of text, 256 MB of memory, 200 calls within calls.
 * raise_exception(m) is ERR_MODEL with m. One template may render in several threads at once. */
bool chat_render(const chat_template *t, const json_t *context, buf *out, err *e);

/* Does the template print a system message? Some refuse it (Gemma), some drop it without a word:
 * found by rendering one. `context` as above, its messages are not used. */
bool chat_takes_system(const chat_template *t, const json_t *context);

/* A new array of messages in which a leading system message is put before the first user message's
 * text, a line break between them: for templates that take no system message. NULL when `messages`
 * is not an array or memory ran out. The caller owns the result. */
json_t *chat_fold_system(const json_t *messages);

#endif
