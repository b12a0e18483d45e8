/* boot: see boot.h. */
#include "stats/boot.h"

#include "base/rng.h"
#include "stats/dist.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { BLOCK = 16, TRIES_MAX = 100 };

typedef struct worker {   /* scratch of one thread */
    uint16_t *unit_count; /* [n_unit] */
    uint16_t *weight;     /* [n] */
    double *value;        /* [n_value] */
} worker;

typedef struct job {
    const boot_plan *plan;
    boot_result *result;
    const int32_t *unit_by_stratum; /* [n_unit] units, stratum after stratum */
    const int32_t *stratum_start;   /* [n_stratum + 1] */
    int32_t n_stratum;
    worker *workers;
    int32_t *redraws; /* [n_draw]; -1: gave up */
    uint8_t *missing; /* [n_unit]: leaving this unit out left no value */
} job;

uint64_t boot_seed(const char *analysis)
{
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a, then mixed by rng_for */
    for (; *analysis; analysis++) h = (h ^ (unsigned char)*analysis) * 0x100000001B3u;
    return h;
}

static void spread_to_rows(const boot_plan *plan, const uint16_t *unit_count, uint16_t *weight)
{
    for (int64_t i = 0; i < plan->n; i++) weight[i] = unit_count[plan->unit[i]];
}

/* Below limit, unbiased, by multiplication (Lemire 2019): a draw is mostly one multiplication. */
static uint32_t below(rng *r, uint32_t limit)
{
    uint64_t product = (uint64_t)(uint32_t)(rng_next(r) >> 32) * limit;
    if ((uint32_t)product < limit) {
        uint32_t reject = (0u - limit) % limit;
        while ((uint32_t)product < reject)
            product = (uint64_t)(uint32_t)(rng_next(r) >> 32) * limit;
    }
    return (uint32_t)(product >> 32);
}

/* Draws each stratum's number of units from it, with replacement. */
static void draw_units(const job *j, rng *r, uint16_t *count)
{
    memset(count, 0, (size_t)j->result->n_unit * sizeof *count);
    for (int32_t s = 0; s < j->n_stratum; s++) {
        int32_t from = j->stratum_start[s], n = j->stratum_start[s + 1] - from;
        for (int32_t k = 0; k < n; k++) {
            uint16_t *at = &count[j->unit_by_stratum[from + (int32_t)below(r, (uint32_t)n)]];
            assert(*at < UINT16_MAX);
            ++*at;
        }
    }
}

static void draw_block(void *context, int64_t block, int thread)
{
    job *j = context;
    const boot_plan *plan = j->plan;
    worker *w = &j->workers[thread];
    int64_t n_draw = j->result->n_draw, end = (block + 1) * BLOCK;
    for (int64_t d = block * BLOCK; d < end && d < n_draw; d++) {
        rng r = rng_for(plan->seed_study, plan->seed_analysis, (uint64_t)d);
        int32_t tries = 0;
        bool got = false;
        for (; !got && tries < TRIES_MAX; tries++) {
            draw_units(j, &r, w->unit_count);
            if (plan->unit) spread_to_rows(plan, w->unit_count, w->weight);
            got = plan->statistic(plan->context, plan->unit ? w->weight : w->unit_count, w->value);
        }
        j->redraws[d] = got ? tries - 1 : -1;
        for (int32_t v = 0; v < plan->n_value; v++)
            j->result->draw[v * n_draw + d] = got ? w->value[v] : 0;
    }
}

static void leave_out(void *context, int64_t unit, int thread)
{
    job *j = context;
    const boot_plan *plan = j->plan;
    worker *w = &j->workers[thread];
    int32_t n_unit = j->result->n_unit;
    for (int32_t u = 0; u < n_unit; u++) w->unit_count[u] = u != unit;
    if (plan->unit) spread_to_rows(plan, w->unit_count, w->weight);
    bool got = plan->statistic(plan->context, plan->unit ? w->weight : w->unit_count, w->value);
    j->missing[unit] = !got;
    for (int32_t v = 0; v < plan->n_value && got; v++)
        j->result->left_out[(int64_t)v * n_unit + unit] = w->value[v];
}

static bool sort_by_stratum(job *j, arena *a, err *e)
{
    int32_t n_unit = j->result->n_unit;
    const uint8_t *stratum = j->plan->stratum;
    int32_t *units = arena_take(a, (size_t)n_unit, sizeof *units, e);
    int32_t *start = arena_take_zero(a, 258, sizeof *start, e);
    if (!units || !start) return false;
    for (int32_t u = 0; u < n_unit; u++) start[(stratum ? stratum[u] : 0) + 1]++;
    for (int s = 0; s < 257; s++) start[s + 1] += start[s];
    int32_t next[257];
    memcpy(next, start, sizeof next);
    for (int32_t u = 0; u < n_unit; u++) units[next[stratum ? stratum[u] : 0]++] = u;
    j->unit_by_stratum = units;
    j->stratum_start = start;
    j->n_stratum = 256;
    return true;
}

static bool take_workers(job *j, int n_thread, arena *a, err *e)
{
    j->workers = arena_take_zero(a, (size_t)n_thread, sizeof *j->workers, e);
    for (int t = 0; j->workers && t < n_thread; t++) {
        worker *w = &j->workers[t];
        size_t n_weight = j->plan->unit ? (size_t)j->plan->n : 0;
        w->unit_count = arena_take(a, (size_t)j->result->n_unit, sizeof *w->unit_count, e);
        w->weight = arena_take(a, n_weight, sizeof *w->weight, e);
        w->value = arena_take(a, (size_t)j->plan->n_value, sizeof *w->value, e);
        if (!w->unit_count || !w->weight || !w->value) return false;
    }
    return j->workers != NULL;
}

static void count_redraws(const job *j, boot_result *out)
{
    for (int64_t d = 0; d < out->n_draw; d++) {
        if (j->redraws[d] < 0) out->status = STAT_TOO_MANY_REDRAWS;
        out->n_redraw += j->redraws[d] < 0 ? TRIES_MAX : j->redraws[d];
    }
    if ((double)out->n_redraw > 0.05 * (double)out->n_draw) out->status = STAT_TOO_MANY_REDRAWS;
}

bool boot_run(const boot_plan *plan, pool *p, arena *a, boot_result *out, err *e)
{
    assert(plan->n >= 0 && plan->n <= INT32_MAX && plan->n_value > 0 && plan->statistic);
    assert(plan->n_draw >= 0 && plan->n_draw <= BOOT_DRAWS_MAX);
    *out = (boot_result){.n = plan->n, .n_value = plan->n_value};
    out->n_draw = plan->n_draw ? plan->n_draw : BOOT_DRAWS_DEFAULT;
    out->n_unit = plan->unit ? plan->n_unit : (int32_t)plan->n;
    out->value = arena_take_zero(a, (size_t)plan->n_value, sizeof *out->value, e);
    size_t n_draws = (size_t)plan->n_value * (size_t)out->n_draw;
    size_t n_left = plan->jackknife ? (size_t)plan->n_value * (size_t)out->n_unit : 0;
    out->draw = arena_take(a, n_draws, sizeof *out->draw, e);
    out->left_out = arena_take(a, n_left, sizeof *out->left_out, e);
    size_t mark = arena_mark(a);
    job j = {.plan = plan, .result = out};
    uint16_t *ones = arena_take(a, (size_t)plan->n, sizeof *ones, e);
    j.redraws = arena_take(a, (size_t)out->n_draw, sizeof *j.redraws, e);
    j.missing = arena_take_zero(a, (size_t)out->n_unit, sizeof *j.missing, e);
    if (!out->value || !out->draw || !out->left_out || !ones || !j.redraws || !j.missing)
        return false;
    for (int64_t i = 0; i < plan->n; i++) ones[i] = 1;
    if (plan->n == 0 || !plan->statistic(plan->context, ones, out->value)) {
        out->status = plan->n == 0 ? STAT_NO_CASES : STAT_ONE_CLASS;
        arena_reset(a, mark);
        return true;
    }
    if (!sort_by_stratum(&j, a, e) || !take_workers(&j, pool_size(p), a, e)) return false;
    pool_run(p, (out->n_draw + BLOCK - 1) / BLOCK, draw_block, &j);
    count_redraws(&j, out);
    bool all = plan->jackknife;
    if (plan->jackknife) pool_run(p, out->n_unit, leave_out, &j);
    for (int32_t u = 0; u < out->n_unit && all; u++) all = !j.missing[u];
    if (!all) out->left_out = NULL;
    arena_reset(a, mark);
    return true;
}

static double variance_of(const double *x, int64_t n)
{
    return n > 1 ? stat_covariance(x, x, n) : 0;
}

/* The two probabilities at which BCa reads the sorted draws; false where it does not exist. */
static bool bca_ends(const boot_result *r, int32_t i, const double *sorted, double level,
                     double at[2])
{
    if (!r->left_out) return false;
    double below = 0, mean = 0, squares = 0, cubes = 0;
    for (int64_t d = 0; d < r->n_draw; d++)
        below += sorted[d] < r->value[i] ? 1 : sorted[d] == r->value[i] ? 0.5 : 0;
    double share = below / (double)r->n_draw;
    if (share <= 0 || share >= 1) return false;
    const double *left = r->left_out + (int64_t)i * r->n_unit;
    mean = stat_mean(left, r->n_unit);
    for (int32_t u = 0; u < r->n_unit; u++) {
        double d = mean - left[u];
        squares += d * d;
        cubes += d * d * d;
    }
    double bias = dist_normal_quantile(share);
    double acceleration = squares > 0 ? cubes / (6 * pow(squares, 1.5)) : 0;
    for (int k = 0; k < 2; k++) {
        double z = bias + (k ? 1 : -1) * dist_normal_factor(level);
        double slope = 1 - acceleration * z;
        if (slope <= 0) return false;
        at[k] = dist_normal_lower(bias + z / slope);
    }
    return true;
}

bool boot_estimate(const boot_result *r, int32_t i, boot_interval how, arena *scratch,
                   stat_estimate *out, err *e)
{
    double level = how.level == 0 ? 0.95 : how.level;
    boot_method method = how.method;
    assert(i >= 0 && i < r->n_value && level > 0 && level < 1);
    *out = stat_none(r->status, r->n, 0);
    if (r->status != STAT_OK && r->status != STAT_TOO_MANY_REDRAWS) return true;
    out->has_value = true;
    out->value = r->value[i];
    if (r->status != STAT_OK) return true;
    size_t mark = arena_mark(scratch);
    double *sorted = arena_take(scratch, (size_t)r->n_draw, sizeof *sorted, e);
    if (!sorted) return false;
    memcpy(sorted, r->draw + (int64_t)i * r->n_draw, (size_t)r->n_draw * sizeof *sorted);
    bool fine = stat_sort(sorted, r->n_draw, scratch, e);
    double at[2] = {(1 - level) / 2, (1 + level) / 2};
    bool bca = fine && method == BOOT_BCA && bca_ends(r, i, sorted, level, at);
    if (fine && (bca || method == BOOT_PERCENTILE)) {
        out->variance = variance_of(sorted, r->n_draw);
        out->has_variance = true;
        out->low = stat_quantile(sorted, r->n_draw, at[0]);
        out->high = stat_quantile(sorted, r->n_draw, at[1]);
        out->has_interval = out->variance > 0;
        if (!out->has_interval) out->status = STAT_ZERO_VARIANCE;
        out->method = bca ? "bootstrap, BCa" : "bootstrap, percentile";
    } else if (fine) {
        out->status = STAT_ZERO_VARIANCE;
    }
    arena_reset(scratch, mark);
    return fine;
}

bool boot_difference(const boot_result *r, boot_pair pair, double level, arena *scratch,
                     boot_gap *out, err *e)
{
    int32_t i = pair.i, j = pair.j;
    assert(i >= 0 && i < r->n_value && j >= 0 && j < r->n_value);
    size_t mark = arena_mark(scratch);
    double *draw = arena_take(scratch, (size_t)r->n_draw, sizeof *draw, e);
    if (!draw) return false;
    double below = 0;
    const double *a = r->draw + (int64_t)i * r->n_draw, *b = r->draw + (int64_t)j * r->n_draw;
    bool drawn = r->status == STAT_OK;
    for (int64_t d = 0; drawn && d < r->n_draw; d++) {
        draw[d] = a[d] - b[d];
        below += draw[d] < 0 ? 1 : draw[d] == 0 ? 0.5 : 0;
    }
    double value = r->value[i] - r->value[j], share = below / (double)r->n_draw;
    boot_result one = *r;
    one.n_value = 1;
    one.value = &value;
    one.draw = draw;
    one.left_out = NULL;
    bool fine = boot_estimate(&one, 0, (boot_interval){.level = level}, scratch, &out->estimate, e);
    out->p = drawn ? fmax(2 * fmin(share, 1 - share), 1.0 / (double)r->n_draw) : 1;
    arena_reset(scratch, mark);
    return fine;
}
