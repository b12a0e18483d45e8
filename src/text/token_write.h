/* token_write: an open tokenizer as another program's files: the arrays of a GGUF file, or
 * tokenizer.json and tokenizer_config.json.
 *
 * What is written is opened again and compared with the original on a page of probes (languages,
 * digits, blanks, emoji, special tokens): a tokenizer that has no such form is refused, with
 * ERR_MODEL, and never written nearly right. */
#ifndef CASELOAD_TEXT_TOKEN_WRITE_H
#define CASELOAD_TEXT_TOKEN_WRITE_H

#include "text/token.h"

/* Views into `t` and `a`. `n_row`: rows of the embedding; ids beyond the vocabulary get names that
 * no text gives ("[PAD7]"). */
bool token_to_source(const tokenizer *t, int32_t n_row, token_source *s, arena *a, err *e);

/* `eos`, `chat_template` may be empty. */
bool token_to_json(const tokenizer *t, buf *json, arena *a, err *e);
void token_to_config(const tokenizer *t, str chat_template, buf *json);

#endif
