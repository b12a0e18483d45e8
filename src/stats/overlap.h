/* overlap: how much a generated text shares with a reference: ROUGE, BLEU, chrF, exact match.
 *
 * These count words, not facts: a summary can score well and be wrong. They stand beside readers'
 * judgements.
 * The one file of this folder that reads text, and so the one that asks utf8proc for letters,
 * digits, marks.
 *
 * Words:
 *   OVERLAP_ASCII    runs of a-z and 0-9 after lower-casing, as ROUGE-1.5.5 has them. Anything
 *   else, all of
 *                    Korean included, is a gap: use it only to compare with published English
 *                    figures.
 *   OVERLAP_UNICODE  runs of letters, digits and marks of any script, case-folded
 * `stem`: the Porter stemmer (1980) on English words of more than three letters.
 */
#ifndef CASELOAD_STATS_OVERLAP_H
#define CASELOAD_STATS_OVERLAP_H

#include "base/str.h"
#include "stats/stat.h"

typedef enum overlap_words { OVERLAP_ASCII = 0, OVERLAP_UNICODE } overlap_words;

typedef struct overlap_options {
    overlap_words words;
    bool stem;
    int32_t n; /* of ROUGE-N: 1 .. 9; 0 means 1 */
} overlap_options;

typedef struct overlap_score { /* all 0 when either text has no words */
    double precision, recall, f;
} overlap_score;

/* Lin 2004. ROUGE-N: shared n-grams, each counted at most as often as in the other text. */
bool overlap_rouge_n(str reference, str generated, overlap_options o, arena *scratch,
                     overlap_score *out, err *e);
/* ROUGE-L: longest common subsequence of words. Texts of at most OVERLAP_WORDS_MAX words. */
bool overlap_rouge_l(str reference, str generated, overlap_options o, arena *scratch,
                     overlap_score *out, err *e);
/* ROUGE-Lsum: sentence by sentence (lines), union of the common subsequences. */
bool overlap_rouge_lsum(str reference, str generated, overlap_options o, arena *scratch,
                        overlap_score *out, err *e);

enum { OVERLAP_WORDS_MAX = 20000, OVERLAP_BLEU_ORDER = 4, OVERLAP_CHRF_ORDER = 6 };

typedef enum overlap_bleu_words {
    OVERLAP_13A = 0, /* mteval-v13a: the usual one */
    OVERLAP_NONE,    /* words are what blanks part */
    OVERLAP_INTL     /* mteval-v14: punctuation and symbols of any script apart */
} overlap_bleu_words;

typedef struct overlap_corpus {
    int64_t n;
    const str *generated; /* [n] */
    int32_t n_reference;
    const str *reference; /* [n_reference x n]: reference stream after stream */
} overlap_corpus;

/* Corpus BLEU (Papineni and others 2002), 0 to 100, orders 1 to 4, closest reference length (ties:
 * the shorter), exponential smoothing of orders without a match when `smooth` (as sacreBLEU by
 * default). */
bool overlap_bleu(const overlap_corpus *c, overlap_bleu_words words, bool smooth, arena *scratch,
                  stat_estimate *out, err *e);

/* Corpus chrF (Popovic 2015), 0 to 100: F_beta of character n-grams of orders 1 to 6, blanks left
 * out, averaged over orders that both sides have (`every_order`: over all six, as older figures).
 * beta 2 is usual; 3 was. */
bool overlap_chrf(const overlap_corpus *c, double beta, bool every_order, arena *scratch,
                  stat_estimate *out, err *e);

/* What corpus BLEU (13a words) and chrF (beta 2) are made of, of one text against one reference.
 * The counts of several texts add up, each as often as its row was drawn: so a bootstrap need not
 * read the texts again. */
typedef struct overlap_counts {
    double match[OVERLAP_BLEU_ORDER], total[OVERLAP_BLEU_ORDER], generated, reference;
    double same[OVERLAP_CHRF_ORDER], drawn[OVERLAP_CHRF_ORDER], wanted[OVERLAP_CHRF_ORDER];
} overlap_counts;
bool overlap_count(str reference, str generated, arena *scratch, overlap_counts *out, err *e);
void overlap_counts_add(overlap_counts *sum, const overlap_counts *c, double times);
double overlap_counts_bleu(const overlap_counts *c); /* smoothed; as overlap_bleu */
double overlap_counts_chrf(const overlap_counts *c); /* as overlap_chrf */

/* Words of a text. */
bool overlap_word_count(str text, overlap_words words, arena *scratch, int64_t *n, err *e);

/* Equal after trimming, joining runs of blanks, and case folding when `fold`. */
bool overlap_exact(str reference, str generated, bool fold);

/* The Porter stem of a lower-case word, in place; returns its new length. Words of other letters
 * stay. */
size_t overlap_porter(char *word, size_t size);

#endif
