/* agree: do readers (or a model and a reader) agree beyond chance?
 *
 * Ratings are categories 0 .. n_category - 1; -1 is "did not read". Raw agreement always stands
 * beside a chance-corrected figure. Both raters constant and equal: kappa is undefined, agreement
 * is 1.
 */
#ifndef CASELOAD_STATS_AGREE_H
#define CASELOAD_STATS_AGREE_H

#include "stats/stat.h"

enum { AGREE_CATEGORIES_MAX = 64 };

typedef enum agree_weight { AGREE_UNWEIGHTED = 0, AGREE_LINEAR, AGREE_QUADRATIC } agree_weight;

/* Two raters. Rows that one of them did not read are left out (n says how many remain). */
typedef struct agree_two {
    int32_t n_category;
    int64_t n;
    int64_t count[AGREE_CATEGORIES_MAX][AGREE_CATEGORIES_MAX]; /* [first][second] */
} agree_two;

void agree_table(const int32_t *first, const int32_t *second, int64_t n, int32_t n_category,
                 agree_two *out);

/* Share of equal ratings, Wilson. */
stat_estimate agree_raw(const agree_two *t);

/* Cohen's kappa (1960), weighted (1968) with weights 1 - d/(k-1) or 1 - (d/(k-1))^2; large-sample
 * variance of Fleiss, Cohen and Everitt, Psych Bull 1969;72:323. `level` 0: 0.95. */
stat_estimate agree_kappa(const agree_two *t, agree_weight weight, double level);

/* Any number of raters; rating[n x n_rater]. Weight (NULL: 1 each) repeats items, for the
 * bootstrap. */
typedef struct agree_many {
    int64_t n;
    int32_t n_rater, n_category;
    const int32_t *rating;
    const uint16_t *weight;
} agree_many;

/* Fleiss, Psych Bull 1971;76:378. Every item must have the same number of ratings, at least two;
 * else missing_scores. Variance under no agreement is not given: it tests, it does not estimate. */
stat_estimate agree_fleiss(const agree_many *m);

/* The same from counts[n x n_category]. */
stat_estimate agree_fleiss_counts(const int32_t *count, int64_t n, int32_t n_category);

/* Gwet's AC1, Br J Math Stat Psych 2008;61:29, with its variance over items. Steady where one
 * category is nearly always right and kappa collapses. Missing ratings allowed. */
stat_estimate agree_ac1(const agree_many *m, double level);

typedef enum agree_metric { AGREE_NOMINAL = 0, AGREE_ORDINAL, AGREE_INTERVAL } agree_metric;

/* Krippendorff's alpha (Content Analysis, 2004). Missing ratings allowed; items with fewer than two
 * say nothing. Categories are their own numbers for the interval metric. Interval: the bootstrap
 * over items. */
stat_estimate agree_alpha(const agree_many *m, agree_metric metric);

#endif
