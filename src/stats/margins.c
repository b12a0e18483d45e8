/* margins: see margins.h. */
#include "stats/margins.h"

#include "stats/dist.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { K = MARGINS_CATEGORIES_MAX };

typedef struct sums {
    int32_t k;
    double gap[K], product[K][K];
} sums;

static void add_unit(sums *s, const double *gap)
{
    for (int32_t i = 0; i < s->k; i++) {
        s->gap[i] += gap[i];
        for (int32_t j = 0; j < s->k; j++) s->product[i][j] += gap[i] * gap[j];
    }
}

/* s' V^-1 s by elimination with the largest pivot on the diagonal (V is symmetric and not
 * negative); what is left without a pivot takes no degree of freedom. */
static void solve(sums *s, margins_test *out)
{
    bool used[K] = {false};
    double most = 0;
    for (int32_t i = 0; i < s->k; i++) most = fmax(most, s->product[i][i]);
    for (;;) {
        int32_t at = -1;
        for (int32_t i = 0; i < s->k; i++) {
            if (!used[i] && (at < 0 || s->product[i][i] > s->product[at][at])) at = i;
        }
        if (at < 0 || !(s->product[at][at] > 1e-9 * most)) return;
        const double pivot = s->product[at][at];
        used[at] = true;
        out->df++;
        out->chi2 += s->gap[at] * s->gap[at] / pivot;
        for (int32_t i = 0; i < s->k; i++) {
            if (used[i]) continue;
            const double factor = s->product[i][at] / pivot;
            s->gap[i] -= factor * s->gap[at];
            for (int32_t j = 0; j < s->k; j++) {
                if (!used[j]) s->product[i][j] -= factor * s->product[at][j];
            }
        }
    }
}

bool margins_compare(const margins_rows *rows, arena *scratch, margins_test *out, err *e)
{
    const int32_t k = rows->n_category;
    assert(k >= 2 && k <= MARGINS_CATEGORIES_MAX);
    *out = (margins_test){.status = rows->n > 0 ? STAT_OK : STAT_NO_CASES, .p = 1};
    if (rows->n == 0) return true;
    size_t mark = arena_mark(scratch);
    sums *s = arena_take_zero(scratch, 1, sizeof *s, e);
    size_t n_cluster = rows->cluster ? (size_t)rows->n_cluster : 0;
    double *unit = arena_take_zero(scratch, n_cluster * (size_t)k + 1, sizeof *unit, e);
    if (!s || !unit) return false;
    s->k = k;
    for (int64_t i = 0; i < rows->n; i++) {
        const double *gap = rows->gap + i * k;
        if (!rows->cluster) add_unit(s, gap);
        for (int32_t c = 0; rows->cluster && c < k; c++)
            unit[(int64_t)rows->cluster[i] * k + c] += gap[c];
    }
    for (size_t u = 0; u < n_cluster; u++) add_unit(s, unit + u * (size_t)k);
    solve(s, out);
    arena_reset(scratch, mark);
    out->n_unit = rows->cluster ? rows->n_cluster : rows->n;
    out->has_value = true;
    if (out->df == 0) out->status = STAT_CONSTANT;
    else out->p = dist_chi2_upper(out->chi2, out->df);
    return true;
}
