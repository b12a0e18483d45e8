/* overlap_in: what the files of overlap share: texts as code points and as words. */
#ifndef CASELOAD_STATS_OVERLAP_IN_H
#define CASELOAD_STATS_OVERLAP_IN_H

#include "stats/overlap.h"

typedef struct code_text { /* code points; malformed bytes are U+FFFD */
    int32_t *code;
    int64_t n;
} code_text;

bool overlap_decode(str s, arena *a, code_text *out, err *e);
bool overlap_is_space(int32_t code);
bool overlap_is_word(int32_t code);        /* letter, digit or mark */
bool overlap_is_number(int32_t code);      /* general category N */
bool overlap_is_punctuation(int32_t code); /* P */
bool overlap_is_symbol(int32_t code);      /* S */

typedef struct word_list { /* words as views of one block of bytes */
    str *word;
    int64_t n;
} word_list;

/* Words of ROUGE; and of BLEU. */
bool overlap_split(str s, overlap_options o, arena *a, word_list *out, err *e);
bool overlap_split_bleu(str s, overlap_bleu_words kind, arena *a, word_list *out, err *e);

/* Equal words get equal numbers, over all lists together: id[k] -> [list[k].n]. */
bool overlap_number(const word_list *list, int32_t n_list, arena *a, int32_t **id, err *e);

/* All runs of `order` ids, sorted, so that equal ones are neighbours. */
typedef struct gram_list {
    const int32_t *id;
    int32_t order;
    int64_t n;
    int32_t *start; /* [n] */
} gram_list;

bool overlap_grams(const int32_t *id, int64_t n_id, int32_t order, arena *a, gram_list *out,
                   err *e);
/* Sum over distinct runs of `a` of min(count in a, largest count in any of b[0..n_b)). */
int64_t overlap_matches(const gram_list *a, const gram_list *b, int32_t n_b);

#endif
