/* token_read: what the readers of a folder's tokenizer files share (token_json.c,
 * token_files.c). */
#ifndef CASELOAD_TEXT_TOKEN_READ_H
#define CASELOAD_TEXT_TOKEN_READ_H

#include "text/token_in.h"

#include <jansson.h>

json_t *token_json_load(const char *path, size_t flags, err *e);
str token_json_str(const json_t *v); /* no data: not a string */
bool token_json_error(const tokenizer *t, const char *key, const char *why, err *e);

/* The highest id of a vocabulary (object or list) and a list of added tokens; -1: none, or a
 * wrong one. */
int64_t token_json_highest(const json_t *vocab, const json_t *added);
int64_t token_json_highest_decoder(const json_t *decoder); /* the same of added_tokens_decoder */

bool token_json_set(tokenizer *t, int64_t id, str text, arena *a, err *e);
bool token_json_vocab(tokenizer *t, const json_t *vocab, arena *a, err *e);
bool token_json_added(tokenizer *t, const json_t *x, int64_t id, arena *a, err *e);
bool token_json_added_decoder(tokenizer *t, const json_t *decoder, arena *a, err *e);

/* BOS, EOS and whether they are added, as tokenizer_config.json says; `config` may be NULL. */
bool token_apply_config(tokenizer *t, const json_t *config, err *e);

tokenizer *token_read_json(const json_t *root, const json_t *config, const char *path, arena *a,
                           err *e);

/* tokenizer.model: SentencePiece's protobuf, or ranks (base64). */
tokenizer *token_read_proto(str bytes, const json_t *config, const char *path, arena *a, err *e);
tokenizer *token_read_ranks(str bytes, const json_t *config, const char *path, arena *a, err *e);

#endif
