/* token: text to token ids and back, as the model's makers do it.
 *
 * Three kinds: byte-level BPE (published pre-tokenizer expressions run by pcre2), SentencePiece BPE
 * and SentencePiece unigram (both with byte fallback). Sources: a Hugging Face folder
 * (tokenizer.json, else tokenizer.model, else vocab.json + merges.txt) or the arrays of a GGUF
 * file.
 *
 * Special tokens in the text are recognised where asked, and never inside ranges marked as plain: a
 * patient's text cannot close the user turn. Tokens that are not declared special but read like it
 * (<|..|>, </s> where <s> is special, <think>, [INST], ..) are kept out of plain ranges too; other
 * added tokens (runs of blanks, HTML tags) are part of the running text and always recognised. BOS
 * is added where the model asks for it and the ids do not start with it already: never a second
 * BOS.
 *
 * What makers do is followed where a converter or another runtime differs: Qwen2's text is put into
 * NFC from a GGUF file too; Phi-3's tokens take the white space behind them.
 */
#ifndef CASELOAD_TEXT_TOKEN_H
#define CASELOAD_TEXT_TOKEN_H

#include "base/str.h"

typedef struct tokenizer tokenizer; /* read-only once open; lives in the arena it was opened with */

/* The tokenizer arrays of a GGUF file, borrowed views (tokenizer.ggml.*). */
typedef struct token_source {
    const char *model; /* "llama" (SentencePiece BPE), "gpt2" (byte-level BPE), "t5" (unigram) */
    const char
        *pre; /* name of the pre-tokenizer ("llama-bpe", "qwen2", "smollm", ..); "" if absent */
    int32_t n_token;
    const str *token;   /* [n_token] */
    const float *score; /* [n_token] or NULL */
    const int32_t
        *type; /* [n_token] or NULL: 1 normal 2 unknown 3 control 4 user 5 unused 6 byte */
    int32_t n_merge;
    const str *merge;           /* [n_merge] "left right" */
    int32_t bos, eos, unk, eot; /* -1: none */
    int32_t add_bos, add_eos;   /* 1 yes, 0 no, -1 not stated: the kind's own default */
    int32_t add_space_prefix;   /* likewise */
} token_source;

typedef struct token_list { /* a growing list of ids */
    int32_t *id;
    int64_t n, room;
} token_list;
void token_list_close(token_list *l);
bool token_list_add(token_list *l, const int32_t *id, int64_t n, err *e); /* token_list.c */

typedef struct token_range { /* bytes [from, to) of the text */
    int64_t from, to;
} token_range;

typedef struct token_options {
    bool parse_special;       /* recognise special tokens written out in the text */
    bool add_bos;             /* add BOS where the model asks and none is there */
    bool add_eos;             /* likewise EOS at the end */
    const token_range *plain; /* ranges in which nothing special is recognised; rising, disjoint */
    int32_t n_plain;
} token_options;

/* ERR_MODEL names the file, the key and what is wrong. `path` is for messages only. */
tokenizer *token_open_source(const token_source *s, const char *path, arena *a, err *e);
tokenizer *token_open_folder(const char *folder, arena *a, err *e);
void token_close(
    tokenizer *t); /* frees what is not in the arena (compiled expressions); NULL is fine */

/* For the reader of model files, once: ids from n_usable on have no row in the embedding (Gemma
 * 3 1B knows one such). A text that holds one is then ERR_DATA. */
void token_limit_ids(tokenizer *t, int32_t n_usable);

/* Appends the ids of `text` to `out`. Invalid UTF-8 is ERR_DATA with its byte offset. At most
 * 128 MB of text; on failure `out` is as before. Thread-safe: `t` is const. */
bool token_encode(const tokenizer *t, str text, token_options o, token_list *out, err *e);

/* Appends the bytes of the ids. `show_special`: special tokens are written out, else dropped. A
 * blank that SentencePiece put in front of a text is not taken away again: ids may come from the
 * middle of one. */
void token_decode(const tokenizer *t, const int32_t *id, int64_t n, bool show_special, buf *out);

int32_t token_count(const tokenizer *t);
int32_t token_bos(const tokenizer *t); /* -1: none */
int32_t token_eos(const tokenizer *t);
bool token_adds_bos(const tokenizer *t);
bool token_is_special(const tokenizer *t, int32_t id);
str token_text(const tokenizer *t, int32_t id);          /* as stored in the vocabulary */
int32_t token_find(const tokenizer *t, str stored_text); /* -1: none */
const char *token_kind(const tokenizer *t);              /* "byte-level BPE, pre-tokenizer qwen2" */
void token_hash(const tokenizer *t, char hex[65]); /* SHA-256 over everything that shapes ids */

#endif
