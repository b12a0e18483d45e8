/* adjust: see adjust.h. */
#include "stats/adjust.h"

#include <assert.h>
#include <math.h>

bool adjust_holm(const double *p, int64_t n, double *out, arena *scratch, err *e)
{
    size_t mark = arena_mark(scratch);
    int32_t *order = arena_take(scratch, (size_t)n, sizeof *order, e);
    bool fine = order && stat_order(p, n, order, scratch, e);
    double least = 0; /* adjusted values never fall as p rises */
    for (int64_t i = 0; fine && i < n; i++) {
        assert(p[order[i]] >= 0 && p[order[i]] <= 1);
        least = fmax(least, fmin(1, (double)(n - i) * p[order[i]]));
        out[order[i]] = least;
    }
    arena_reset(scratch, mark);
    return fine;
}

bool adjust_benjamini_hochberg(const double *p, int64_t n, double *out, arena *scratch, err *e)
{
    size_t mark = arena_mark(scratch);
    int32_t *order = arena_take(scratch, (size_t)n, sizeof *order, e);
    bool fine = order && stat_order(p, n, order, scratch, e);
    double most = 1;
    for (int64_t i = n - 1; fine && i >= 0; i--) {
        assert(p[order[i]] >= 0 && p[order[i]] <= 1);
        most = fmin(most, (double)n / (double)(i + 1) * p[order[i]]);
        out[order[i]] = most;
    }
    arena_reset(scratch, mark);
    return fine;
}
