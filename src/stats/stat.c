/* stat: see stat.h. */
#include "stats/stat.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const struct {
    const char *name, *reason;
} statuses[] = {
    [STAT_OK] = {"ok", "estimable"},
    [STAT_NO_CASES] = {"no_cases", "there are no cases"},
    [STAT_ONE_CLASS] = {"one_class", "only one class is present"},
    [STAT_NO_PREDICTED_POSITIVE] = {"no_predicted_positive",
                                    "no case falls on one side, so there is nothing to divide by"},
    [STAT_ZERO_VARIANCE] = {"zero_variance",
                            "the classes are perfectly apart, reversed or all tied, so the "
                            "usual variance is 0"},
    [STAT_FEW] = {"few", "fewer than 10 cases in one class"},
    [STAT_MISSING_SCORES] = {"missing_scores", "some cases have no score"},
    [STAT_OUT_OF_RANGE] = {"out_of_range", "some probabilities lie outside 0 to 1"},
    [STAT_SEPARATION] = {"separation", "the logistic fit has no finite solution"},
    [STAT_CONSTANT] = {"constant", "all values are equal"},
    [STAT_TOO_MANY_REDRAWS] = {"too_many_redraws",
                               "more than 5 % of the resamples held one class only"},
};

const char *stat_status_name(stat_status s)
{
    assert(s >= 0 && (size_t)s < countof(statuses));
    return statuses[s].name;
}

const char *stat_status_reason(stat_status s)
{
    assert(s >= 0 && (size_t)s < countof(statuses));
    return statuses[s].reason;
}

stat_status stat_check_rows(const double *score, const uint8_t *positive, int64_t n,
                            int64_t *n_positive)
{
    assert(n >= 0);
    int64_t m = 0;
    bool missing = false;
    for (int64_t i = 0; i < n; i++) {
        assert(positive[i] <= 1);
        m += positive[i];
        missing = missing || isnan(score[i]);
    }
    *n_positive = m;
    if (n == 0) return STAT_NO_CASES;
    if (missing) return STAT_MISSING_SCORES;
    if (m == 0 || m == n) return STAT_ONE_CLASS;
    return m < STAT_FEW_BELOW || n - m < STAT_FEW_BELOW ? STAT_FEW : STAT_OK;
}

stat_status stat_check_probabilities(const double *p, int64_t n)
{
    if (n == 0) return STAT_NO_CASES;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(p[i])) return STAT_MISSING_SCORES;
    }
    for (int64_t i = 0; i < n; i++) {
        if (p[i] < 0 || p[i] > 1) return STAT_OUT_OF_RANGE;
    }
    return STAT_OK;
}

/* A double's bits as an unsigned number of the same order: flip all bits of a negative one, the
 * sign bit alone of a positive one. */
static uint64_t ordered_bits(double x)
{
    x += 0.0; /* -0.0 becomes 0.0 */
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

enum { DIGITS = 8, DIGIT_VALUES = 256 };

typedef struct keyed { /* key and row move together, so that a pass reads in order */
    uint64_t key;
    int64_t row;
} keyed;

/* One stable pass on digit d. */
static void radix_pass(const keyed *from, keyed *to, int64_t n, const int64_t *count, int d)
{
    int64_t start[DIGIT_VALUES], sum = 0;
    for (int v = 0; v < DIGIT_VALUES; v++) {
        start[v] = sum;
        sum += count[v];
    }
    for (int64_t i = 0; i < n; i++) to[start[from[i].key >> (8 * d) & 255]++] = from[i];
}

bool stat_order(const double *x, int64_t n, int32_t *order, arena *a, err *e)
{
    assert(n >= 0 && n <= INT32_MAX);
    size_t mark = arena_mark(a);
    keyed *from = arena_take(a, (size_t)n, sizeof *from, e);
    keyed *to = arena_take(a, (size_t)n, sizeof *to, e);
    if (!from || !to) {
        arena_reset(a, mark);
        return false;
    }
    int64_t count[DIGITS][DIGIT_VALUES] = {0};
    for (int64_t i = 0; i < n; i++) {
        assert(!isnan(x[i]));
        from[i] = (keyed){.key = ordered_bits(x[i]), .row = i};
        for (int d = 0; d < DIGITS; d++) count[d][from[i].key >> (8 * d) & 255]++;
    }
    for (int d = 0; d < DIGITS && n > 0; d++) {
        if (count[d][from[0].key >> (8 * d) & 255] == n) continue; /* all alike in this digit */
        radix_pass(from, to, n, count[d], d);
        keyed *kept = from;
        from = to;
        to = kept;
    }
    for (int64_t i = 0; i < n; i++) order[i] = (int32_t)from[i].row;
    arena_reset(a, mark);
    return true;
}

double stat_mean(const double *x, int64_t n)
{
    assert(n > 0);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

double stat_covariance(const double *x, const double *y, int64_t n)
{
    assert(n >= 2);
    double mean_x = stat_mean(x, n), mean_y = stat_mean(y, n), sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (x[i] - mean_x) * (y[i] - mean_y);
    return sum / (double)(n - 1);
}

bool stat_sort(double *x, int64_t n, arena *a, err *e)
{
    size_t mark = arena_mark(a);
    int32_t *order = arena_take(a, (size_t)n, sizeof *order, e);
    double *copy = arena_take(a, (size_t)n, sizeof *copy, e);
    bool fine = order && copy && stat_order(x, n, order, a, e);
    if (fine) {
        memcpy(copy, x, (size_t)n * sizeof *x);
        for (int64_t i = 0; i < n; i++) x[i] = copy[order[i]];
    }
    arena_reset(a, mark);
    return fine;
}

double stat_quantile(const double *sorted, int64_t n, double p)
{
    assert(n > 0 && p >= 0 && p <= 1);
    double at = p * (double)(n - 1);
    int64_t i = (int64_t)at;
    if (i >= n - 1 || sorted[i] == sorted[i + 1]) return sorted[i < n ? i : n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}
