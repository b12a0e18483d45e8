/* chat: an interpreter for the part of Jinja that models' chat templates use.
 *
 * Strict: an unknown construct, filter, test or function is an error with its line, found when the
 * template is parsed if possible. Rendered as transformers does: trim_blocks and lstrip_blocks on, loop
 * controls, raise_exception(), strftime_now() (refused: a prompt must not depend on the day), tojson,
 * {% generation %}. Python's spelling of values (True, None).
 */
#ifndef CASELOAD_TEXT_CHAT_H
#define CASELOAD_TEXT_CHAT_H

#include "base/str.h"

#include <jansson.h>

typedef struct chat_template chat_template;

/* `name` is for messages. ERR_MODEL "<name>: line 12: unknown filter 'foo'". */
chat_template *chat_open(str source, const char *name, err *e);
void chat_close(chat_template *t); /* NULL is fine */

/* `context`: a JSON object whose members are the template's variables (messages, bos_token, ..).
 * Bounded: 10 million steps, 64 MB of output, 200 levels. raise_exception(m) is ERR_MODEL with m. */
bool chat_render(const chat_template *t, const json_t *context, buf *out, err *e);

#endif
