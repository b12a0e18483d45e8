/* alike: how far the texts of several arms agree with references, from each row's counts to
 * intervals and paired differences (overlap.h has the measures).
 *
 * ROUGE-1, 2, L (F) and exact match: the mean over rows of the mean over a row's texts. BLEU and
 * chrF: of the corpus, all texts of all rows together. Intervals, differences and p by bootstrap:
 * patients are drawn where some patient has several rows, else rows; all arms and measures on the
 * same draws (percentile; Koehn, EMNLP 2004:388, for corpus measures). p of differences also by
 * Holm, over the pairs, for each measure. A row that lacks a text in some arm is left out of all.
 */
#ifndef CASELOAD_STATS_ALIKE_H
#define CASELOAD_STATS_ALIKE_H

#include "stats/boot.h"
#include "stats/overlap.h"

typedef enum alike_measure {
    ALIKE_ROUGE_1,
    ALIKE_ROUGE_2,
    ALIKE_ROUGE_L,
    ALIKE_EXACT,
    ALIKE_MEANS, /* above: means over rows, 0 to 1; below: of the corpus, 0 to 100 */
    ALIKE_BLEU = ALIKE_MEANS,
    ALIKE_CHRF,
    ALIKE_MEASURES
} alike_measure;

typedef struct alike_text {   /* a row's texts in one arm, against the row's reference */
    int32_t n;                /* 0: none */
    double mean[ALIKE_MEANS]; /* over the row's texts */
    double words;             /* of a text, mean */
    overlap_counts counts;    /* of all of them */
} alike_text;

typedef struct alike_input {
    int32_t n_arm;
    int64_t n_row;
    const alike_text *const *text; /* [n_arm] -> [n_row] */
    const double *reference_words; /* [n_row] */
    const int32_t *patient;        /* [n_row], negative: unknown; NULL: none */
    uint64_t seed;                 /* of the study */
    pool *threads;
} alike_input;

typedef struct alike_arm {
    int64_t n_text;
    stat_estimate measure[ALIKE_MEASURES];
    double words, share; /* words of a text; in parts of its reference's (means over rows) */
} alike_arm;

typedef struct alike_pair { /* b less a, a < b */
    int32_t a, b;
    boot_gap gap[ALIKE_MEASURES];
    double p_holm[ALIKE_MEASURES];
} alike_pair;

typedef struct alike {
    int32_t n_arm, n_pair;
    int64_t n, n_left; /* rows compared; rows that lack a text in some arm */
    bool by_patient;
    double reference_words; /* mean */
    alike_arm *arm;         /* [n_arm] */
    alike_pair *pair;       /* [n_pair] all pairs; none without rows */
} alike;

bool alike_judge(const alike_input *in, arena *a, alike *out, err *e);

/* "rougeL", as in files; "ROUGE-L", for readers; 3 or 1. */
const char *alike_key(alike_measure m);
const char *alike_name(alike_measure m);
int alike_decimals(alike_measure m);

#endif
