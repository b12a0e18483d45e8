/* curves: the points of a paper's figures, with pointwise bootstrap bands.
 *
 *   ROC          sensitivity at 101 false-positive rates 0, 0.01, .. 1 (linear between the ROC's
 *                points, the upper end of a vertical stretch)
 *   calibration  smoothed observed share (calib_spline) at 51 probabilities from the 1st to the
 *                99th percentile of the rows'
 *   decision     net benefit at thresholds 0.01, 0.02, .. 0.99, beside treating all
 *   precision    precision and recall at every distinct score, no band
 *
 * Bands are percentiles of resamples of patients where there are any, else of rows within their
 * class (boot.h); pointwise: each point is inside its band with the stated confidence, not the
 * curve as a whole. What cannot be computed has a status, no points and no band.
 */
#ifndef CASELOAD_STATS_CURVES_H
#define CASELOAD_STATS_CURVES_H

#include "stats/boot.h"
#include "stats/rank.h"

enum { CURVES_ROC = 101, CURVES_CALIBRATION = 51, CURVES_DECISION = 99 };

typedef struct curves_rows { /* columns [n] */
    int64_t n;
    const double *score;       /* what is ranked; no NaN */
    const double *probability; /* 0..1 */
    const uint8_t *positive;
    const int32_t *unit; /* patients 0 .. n_unit - 1; NULL: rows */
    int32_t n_unit;
} curves_rows;

typedef struct curves_plan {
    int64_t n_draw; /* 0: curves_draws of the rows */
    uint64_t seed;  /* of the study; each kind of curve has its own draws */
    double level;   /* 0: 0.95 */
    pool *pool;
} curves_plan;

typedef struct curve {
    stat_status status; /* of the values: points exist when usable */
    int32_t n;
    double *x, *value;
    bool has_band;
    stat_status band_status; /* why there is no band */
    double *low, *high;      /* [n] where has_band */
    int64_t n_draw;          /* of the band */
    bool by_patient;
} curve;

/* Resamples for n rows: 1,000 up to 20,000 rows, fewer beyond, never under 200; `fits`: each
 * resample fits a model, a fifth of the work is allowed. */
int64_t curves_draws(int64_t n, bool fits);

bool curves_roc(const curves_rows *rows, const curves_plan *plan, arena *a, curve *out, err *e);
bool curves_calibration(const curves_rows *rows, const curves_plan *plan, arena *a, curve *out,
                        err *e);
/* `all` [CURVES_DECISION]: net benefit of treating all. */
bool curves_decision(const curves_rows *rows, const curves_plan *plan, arena *a, curve *out,
                     double *all, err *e);
/* x: recall, value: precision, from the highest score down; ties together. */
bool curves_precision(const curves_rows *rows, arena *a, curve *out, err *e);

#endif
