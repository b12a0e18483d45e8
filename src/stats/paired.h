/* paired: two classifiers on the same rows. b: only the first is right; c: only the second. */
#ifndef CASELOAD_STATS_PAIRED_H
#define CASELOAD_STATS_PAIRED_H

#include "stats/rank.h"

enum { PAIRED_EXACT_BELOW = 25 }; /* b + c under this: exact binomial; else chi-square */

/* McNemar, Psychometrika 1947;12:153; mid-p: Fagerland and others, BMC Med Res Methodol 2013;13:91.
 */
typedef struct paired_mcnemar {
    int64_t n, both, b, c, neither;
    double difference;                  /* accuracy of the first - of the second, (b - c) / n */
    double chi2, p_chi2;                /* (b - c)^2 / (b + c) */
    double chi2_corrected, p_corrected; /* (|b - c| - 1)^2 / (b + c) */
    double p_exact, p_mid;              /* two-sided binomial */
    double p;                           /* exact below 25 discordant rows, chi-square above */
    const char *method;
} paired_mcnemar;

/* b = c = 0: no difference at all, every p is 1. */
paired_mcnemar paired_mcnemar_of(int64_t both, int64_t b, int64_t c, int64_t neither);

/* right_a[i], right_b[i]: 1 when the classifier is right on row i. */
paired_mcnemar paired_mcnemar_rows(const uint8_t *right_a, const uint8_t *right_b, int64_t n);

/* Is a not worse than b by more than `margin` (declared before looking)? Shown when the lower end
 * of the two-sided interval of a - b lies above -margin. One-sided p of "worse by the margin or
 * more". */
typedef struct paired_noninferiority {
    stat_status status;
    bool has_value, shown;
    double margin, low, p;
} paired_noninferiority;

paired_noninferiority paired_noninferior(const rank_test *a_minus_b, double margin);

#endif
