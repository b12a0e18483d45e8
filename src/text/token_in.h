/* token_in: what the files of token*.c share. A reader (token_json, token_files, token_open_source)
 * fills in a `tokenizer` as far as its source tells, `token_build` checks it and makes the look-up
 * tables, and from then on it is read-only.
 */
#ifndef CASELOAD_TEXT_TOKEN_IN_H
#define CASELOAD_TEXT_TOKEN_IN_H

#include "text/token.h"
#include "text/token_map.h"
#include "text/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    TOKEN_VOCAB_MAX = 2000000,
    TOKEN_HOLES_MAX = 65536, /* ids without a token, beyond as many as there are tokens */
    TOKEN_FILE_MAX = 256 << 20,
    TOKEN_TEXT_MAX = 128 << 20,
    TOKEN_MERGE_MAX = 8000000,
    TOKEN_STEP_MAX = 32,
    TOKEN_BYTES_MAX = 4096, /* one token's text */
    TOKEN_PATTERN_MAX = 20000,
    CHAR_TABLE = 0x10000, /* the rest is looked up as text */
};

/* Types of tokens, numbered as SentencePiece and GGUF number them. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

enum {
    MARK_SPECIAL = 1, /* dropped by token_decode unless asked for */
    MARK_PIECE = 2,   /* plain text may become it */
    MARK_ADDED = 8,   /* among the added tokens */
    MARK_WHOLE = 4,   /* a word that reads like it becomes it, and nothing else */
};

typedef enum step_kind {
    STEP_PREPEND, /* `content` before the text, by `scheme` */
    STEP_REPLACE, /* literal `pattern` by `content` */
    STEP_REPLACE_MATCH,
    STEP_FORM, /* a normal form of Unicode */
    STEP_LOWER,
    STEP_STRIP,     /* white space at the ends */
    STEP_SQUEEZE,   /* blanks at the ends gone, runs of blanks made one */
    STEP_SPLIT,     /* at the matches of `code`, by `behaviour` */
    STEP_META,      /* blanks to `content`, maybe one in front (`scheme`) */
    STEP_BYTE_LEAD, /* a blank in front of each piece that has none */
    STEP_BYTE_MAP,  /* bytes to their printable characters, for the expressions that follow */
} step_kind;

typedef enum step_behaviour {
    SPLIT_ISOLATED,
    SPLIT_REMOVED,
    SPLIT_CONTIGUOUS,
    SPLIT_PREVIOUS,
    SPLIT_NEXT
} step_behaviour;

typedef enum step_scheme { LEAD_NEVER, LEAD_FIRST, LEAD_ALWAYS } step_scheme;

typedef struct token_step { /* one act of the normalizer or of the pre-tokenizer */
    step_kind kind;
    step_behaviour behaviour;
    step_scheme scheme;
    utf8_form form;
    bool invert, left, right;
    str pattern; /* literal or expression, as published */
    str content;
    pcre2_code *code;
} token_step;

typedef struct token_added { /* a token looked for in the text before anything else */
    str text;
    int32_t id;
    bool special, normalized, lstrip, rstrip, single_word;
    bool guard; /* never recognised in plain ranges nor without parse_special */
    bool as_is; /* its text is a normalized one already */
} token_added;

struct tokenizer {
    const char *path, *kind;
    char *room; /* small texts are kept side by side in blocks of the arena */
    size_t room_left;
    bool byte_level, unigram;
    bool by_score;   /* merges follow from scores (SentencePiece BPE, rank files) */
    bool double_sum; /* unigram: sums in double (tokenizer.json), else float (SentencePiece) */
    bool ignore_merges, byte_fallback, fuse_unk;
    int32_t n_token;
    str *text;     /* [n_symbol] as stored; no data: a hole in the numbering */
    str *bytes;    /* [n_token] what the token stands for */
    uint8_t *type; /* [n_token] */
    uint8_t *mark; /* [n_symbol] */
    double *score; /* [n_token] or NULL */
    str *merge;    /* [n_merge][2] left, right; NULL: none */
    int32_t n_merge;
    int32_t n_added, n_norm, n_pre;
    token_added *added;
    token_step norm[TOKEN_STEP_MAX], pre[TOKEN_STEP_MAX];
    int32_t bos, eos, unk;
    bool adds_bos, adds_eos;
    int32_t n_usable; /* ids from here on have no row in the model; 0: all have */

    /* made by token_build */
    int32_t n_symbol;        /* n_token and the characters that only occur inside pieces */
    text_map by_text;        /* every token, as stored */
    text_map by_piece;       /* tokens that text may become, as the model reads it */
    const str *reads;        /* [n_symbol] what text must read to become a token: text or bytes */
    int32_t byte_id[256];    /* the token of one byte; -1: none */
    int32_t *char_id;        /* [CHAR_TABLE] by code point: its piece or -1; NULL if byte-level */
    pair_map merges;         /* (left, right) -> rank, result */
    pair_map trie;           /* unigram: (node, byte) -> next node, token */
    pair_map added_trie[2];  /* tokens matched in the raw, in the normalized text */
    bool added_lead[2][256]; /* first bytes of those */
    bool cuts;               /* words may be cut before a U+2581 that does not follow.. */
    bool no_cut[256];        /* ..one of these bytes */
    bool mapped;             /* pieces arrive in printable characters */
    int32_t bytes_piece_max;
    double score_unk, score_max;
    pcre2_match_context *limits;
};

/* token_split.c: adding a step compiles its expression. */
bool token_step_add(tokenizer *t, bool pre, token_step step, err *e);
bool token_step_expression(tokenizer *t, const char *pattern, step_behaviour behaviour, err *e);
bool token_pre_by_name(tokenizer *t, const char *name, err *e);
const char *token_pre_name(int row); /* one name a row of known ones; NULL: no such row */
extern const char *const token_gpt2_expression;

/* token_model.c */
int32_t token_byte_char(unsigned char byte); /* GPT-2's printable character of each byte */
int token_char_byte(int32_t code);           /* back; -1: none */

/* token_build.c */
bool token_build(tokenizer *t, arena *a, err *e);
char *token_take_text(tokenizer *t, size_t size, arena *a, err *e); /* NULL and ERR_RESOURCE */
str token_keep(tokenizer *t, str s, arena *a, err *e);
str token_unescaped(tokenizer *t, str text, arena *a, err *e);        /* U+2581 back to blanks */
bool token_add_blank_steps(tokenizer *t, step_scheme scheme, err *e); /* SentencePiece's */
tokenizer *token_new(const char *path, int64_t n_token, arena *a, err *e);

#endif
