/* boot: the bootstrap. Units (patients, or rows) are drawn with replacement; every statistic of
 * every arm is computed on the same resample, so differences between arms are paired.
 *
 * Default unit: the patient when there is one, else the row; strata (the class) for rows only,
 * since a patient may hold both classes. A resample on which some statistic does not exist (one
 * class only) is drawn again and counted; more than 5 % of those and there is no interval.
 * Resample d of an analysis depends on (seed_study, seed_analysis, d) alone: not on threads, not on
 * which analyses ran before. Efron and Tibshirani 1993; BCa: Efron, JASA 1987;82:171.
 */
#ifndef CASELOAD_STATS_BOOT_H
#define CASELOAD_STATS_BOOT_H

#include "base/pool.h"
#include "stats/stat.h"

enum { BOOT_DRAWS_DEFAULT = 2000, BOOT_DRAWS_PRINT = 10000, BOOT_DRAWS_MAX = 1000000 };

/* Fills value[n_value] from rows that count weight[n] times; false: some value does not exist.
 * Called from several threads at once on one const context. */
typedef bool boot_statistic(const void *context, const uint16_t *weight, double *value);

typedef struct boot_plan {
    int64_t n;              /* rows */
    const int32_t *unit;    /* [n] 0 .. n_unit - 1; NULL: every row is a unit */
    int32_t n_unit;         /* ignored when unit is NULL */
    const uint8_t *stratum; /* [number of units]; NULL: one stratum */
    int64_t n_draw;         /* 0: BOOT_DRAWS_DEFAULT */
    uint64_t seed_study, seed_analysis;
    bool jackknife; /* also leave out each unit in turn: needed for BCa */
    int32_t n_value;
    boot_statistic *statistic;
    const void *context;
} boot_plan;

typedef struct boot_result {
    stat_status status; /* ok; one_class (no value on all rows); too_many_redraws */
    int64_t n, n_draw, n_redraw;
    int32_t n_value, n_unit;
    double *value;    /* [n_value] on all rows */
    double *draw;     /* [n_value x n_draw] in the order of the draws */
    double *left_out; /* [n_value x n_unit]; NULL without jackknife or where some does not exist */
} boot_result;

bool boot_run(const boot_plan *plan, pool *p, arena *a, boot_result *out, err *e);

typedef enum boot_method { BOOT_PERCENTILE = 0, BOOT_BCA } boot_method;
typedef struct boot_interval {
    boot_method method;
    double level; /* 0: 0.95 */
} boot_interval;

/* Interval of value i. `variance` is that of the draws. Events are not known here. */
bool boot_estimate(const boot_result *r, int32_t i, boot_interval how, arena *scratch,
                   stat_estimate *out, err *e);

typedef struct boot_pair {
    int32_t i, j; /* values */
} boot_pair;
typedef struct boot_gap {
    stat_estimate estimate; /* of value i - value j, draw by draw, percentile */
    double
        p; /* two-sided: twice the smaller share of draws on either side of 0 (ties count half; at
                 least 1 / n_draw) */
} boot_gap;

bool boot_difference(const boot_result *r, boot_pair pair, double level, arena *scratch,
                     boot_gap *out, err *e);

/* A seed from the name of an analysis, so that each has draws of its own. */
uint64_t boot_seed(const char *analysis);

#endif
