/* token_in: what the files of token*.c share. A reader (token_json, token_files, token_open_source) fills
 * in a `tokenizer` as far as its source tells, `token_build` checks it and makes the look-up tables, and
 * from then on it is read-only.
 */
#ifndef CASELOAD_TEXT_TOKEN_IN_H
#define CASELOAD_TEXT_TOKEN_IN_H

#include "text/token.h"
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

typedef struct text_slot {
    uint32_t tag; /* upper half of the hash */
    int32_t id;   /* -1: free */
} text_slot;

typedef struct text_map { /* text -> id, open addressing */
    text_slot *slot;
    uint32_t mask;
} text_map;

typedef struct pair_slot {
    uint64_t key; /* UINT64_MAX: free */
    int32_t rank, id;
} pair_slot;

typedef struct pair_map { /* two ids -> rank and result; also the edges of a trie */
    pair_slot *slot;
    uint32_t mask, n;
    buf grow; /* owns the slots until pair_map_settle */
} pair_map;

struct tokenizer {
    const char *path, *kind;
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

/* What one call of token_encode works with. */
typedef struct token_work {
    const tokenizer *t;
    token_options option;
    token_list *out;
    err *e;
    pcre2_match_data *match;
    buf text[4], from[2], piece[2]; /* texts being rewritten (0, 1 normalizer; 2, 3 pre-tokenizer),
                                       origins of the first two, and pieces */
    buf symbol, heap, lattice, raw;
    bool tracks; /* origins are kept: plain ranges meet normalized tokens */
    bool failed;
} token_work;

typedef struct piece {
    int32_t from, to;
} piece;

void token_work_open(token_work *w, const tokenizer *t, token_list *out, err *e);
void token_work_close(token_work *w);

bool token_list_put(token_list *l, int32_t id); /* grows the list */

static inline void token_put(token_work *w, int32_t id)
{
    token_list *l = w->out;
    if (l->n < l->room) {
        l->id[l->n++] = id;
    } else if (!token_list_put(l, id)) {
        w->failed = true;
        err_set(w->e, ERR_RESOURCE, "out of memory for a text's tokens");
    }
}

/* token_map.c */
bool text_map_open(text_map *m, int64_t n, arena *a, err *e);
void text_map_add(text_map *m, const str *text, int32_t id); /* the first of equal texts stays */
int32_t text_map_find(const text_map *m, const str *text, str key);
pair_map pair_map_empty(void);
bool pair_map_add(pair_map *m, uint64_t key, int32_t rank, int32_t id); /* keeps the lower rank */
bool pair_map_settle(pair_map *m, arena *a, err *e);
bool trie_add(pair_map *m, int32_t *n_node, str text, int32_t id);

static inline const pair_slot *pair_map_find(const pair_map *m, uint64_t key)
{
    uint64_t h = key * 0x9E3779B97F4A7C15u;
    uint32_t i = (uint32_t)(h >> 32) & m->mask;
    while (m->slot[i].key != UINT64_MAX) {
        if (m->slot[i].key == key) return &m->slot[i];
        i = (i + 1) & m->mask;
    }
    return NULL;
}

static inline uint64_t pair_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* token_model.c: appends the ids of one piece of text (its fields of `w` aside, reads `t` only). */
void token_model_run(token_work *w, str piece_text);
int32_t token_byte_char(unsigned char byte); /* GPT-2's printable character of each byte */
int token_char_byte(int32_t code);           /* back; -1: none */

/* token_split.c: the normalizer, the pre-tokenizer, and the published expressions. */
typedef struct text_view { /* a text on its way, and where its bytes came from */
    str text;
    const int32_t *from; /* [size] offset in the input, or NULL: start + i */
    int32_t start, end;  /* its range in the input */
    bool leads;          /* takes a dummy prefix by LEAD_FIRST too */
    int32_t side;        /* which of w->text holds it; -1: the input */
} text_view;

bool token_normalize(token_work *w, text_view *v);
void token_split_run(token_work *w, text_view v); /* pre-tokenizer and model */
bool token_step_add(tokenizer *t, bool pre, token_step step, err *e);
bool token_step_expression(tokenizer *t, const char *pattern, step_behaviour behaviour, err *e);
bool token_pre_by_name(tokenizer *t, const char *name, err *e);
extern const char *const token_gpt2_expression;

/* token_build.c */
bool token_build(tokenizer *t, arena *a, err *e);
str token_unescaped(str text, arena *a, err *e);                      /* U+2581 back to blanks */
bool token_add_blank_steps(tokenizer *t, step_scheme scheme, err *e); /* SentencePiece's */
tokenizer *token_new(const char *path, int64_t n_token, arena *a, err *e);

#endif
