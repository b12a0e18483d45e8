/* calib: are the probabilities right as probabilities? Proper scores and calibration.
 *
 * Functions on p take probabilities and refuse what lies outside 0..1; functions on log-odds take
 * logit p (a study's score is one already, and keeps digits that p = 0.99999.. has lost).
 */
#ifndef CASELOAD_STATS_CALIB_H
#define CASELOAD_STATS_CALIB_H

#include "stats/stat.h"

enum { CALIB_BINS_MAX = 100, CALIB_GRID = 101 };

/* Brier score: mean (p - y)^2 (Brier 1950). 0 is best; always saying the prevalence scores
 * prev (1 - prev). Interval: Wald on the mean of the squared errors. */
stat_estimate calib_brier(const double *p, const uint8_t *positive, int64_t n);

/* 1 - Brier / (prev (1 - prev)): 1 is best, 0 is no better than the prevalence. */
stat_estimate calib_brier_scaled(const double *p, const uint8_t *positive, int64_t n);

/* -mean log of the probability given to the truth; p clipped to [1e-15, 1 - 1e-15], clips counted.
 */
stat_estimate calib_log_loss(const double *p, const uint8_t *positive, int64_t n,
                             int64_t *n_clipped);

/* logit p with the same clipping. */
void calib_log_odds(const double *p, int64_t n, double *out, int64_t *n_clipped);

/* Observed / expected events; interval on the log scale, SE(log) = sqrt((1 - prev) / (n prev)). */
stat_estimate calib_observed_expected(const double *p, const uint8_t *positive, int64_t n);

typedef struct calib_line {
    stat_status status; /* ok, one_class, constant (all p equal), separation, missing_scores */
    stat_estimate in_the_large; /* intercept of y ~ offset(log-odds): 0 is right, below 0 means
                                       probabilities too high */
    stat_estimate intercept,
        slope; /* of y ~ log-odds: 0 and 1 are right; slope under 1 is too sure */
} calib_line;

/* Cox, Biometrika 1958;45:562. The scores are log-odds and must be finite. */
bool calib_line_of(const stat_rows *rows, arena *scratch, calib_line *out, err *e);

/* Spiegelhalter's test, Statistics in Medicine 1986;5:421: z of Brier against what p themselves
 * predict. */
typedef struct calib_spiegelhalter {
    stat_status status;
    double z, p; /* two-sided */
} calib_spiegelhalter;
calib_spiegelhalter calib_spiegelhalter_of(const double *p, const uint8_t *positive, int64_t n);

typedef struct calib_bin {
    double low,
        high; /* range of p: [low, high), the last one closed; equal mass: least and largest */
    int64_t n, events;
    double mean; /* of p; 0 when empty */
} calib_bin;

/* Expected calibration error: sum over bins of n_k/n |observed_k - mean p_k|. Bin k of m
 * equal-width bins holds k/m <= p < (k+1)/m and p = 1 is in the last; `equal_mass`: the sorted rows
 * in m runs of equal length (the first n mod m runs hold one more). */
typedef struct calib_bins {
    int32_t n; /* 1 .. CALIB_BINS_MAX */
    bool equal_mass;
} calib_bins;

/* The scores are probabilities; weights are not used. bin[bins.n] is filled. */
bool calib_ece(const stat_rows *rows, calib_bins bins, calib_bin *bin, arena *scratch,
               stat_estimate *out, err *e);

/* Smoothed calibration curve: logistic regression of y on a restricted cubic spline of the log-odds
 * with 3 knots at their 10th, 50th and 90th percentile (Harrell). Prepared once, fitted per
 * resample. */
typedef struct calib_spline {
    int64_t n;
    double knot[3];
    const double *x;      /* [n x 3] 1, log-odds, spline term */
    const double *target; /* [n] */
} calib_spline;

bool calib_spline_take(const double *log_odds, const uint8_t *positive, int64_t n, arena *a,
                       calib_spline *out, err *e);

/* observed[k] at p[k], both in 0..1: what the curve says when the model says p[k]. */
stat_status calib_spline_curve(const calib_spline *s, const uint16_t *weight, const double *p,
                               int32_t n, double *observed);

#endif
