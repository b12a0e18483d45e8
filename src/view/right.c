/* right: see right.h. */
#include "view/right.h"

#include "stats/cluster.h"

#include <assert.h>
#include <math.h>

static int32_t most_probable(const double *z, int32_t n_class)
{
    int32_t best = -1;
    for (int32_t c = 0; c < n_class; c++) {
        if (!isnan(z[c]) && (best < 0 || z[c] > z[best])) best = c;
    }
    return best;
}

static bool number_patients(rights *r, const evidence *v, arena *a, err *e)
{
    const gather *g = v->g;
    if (!v->clusters) return true;
    int32_t *own = arena_take(a, (size_t)r->n, sizeof *own, e);
    r->patient = arena_take(a, (size_t)r->n, sizeof *r->patient, e);
    if (!own || !r->patient) return false;
    for (int64_t i = 0; i < r->n; i++) own[i] = g->study.row[g->stats.row[i]].patient;
    return cluster_number(own, r->n, r->patient, &r->n_patient, a, e);
}

bool right_read(rights *r, const evidence *v, arena *a, err *e)
{
    const gather *g = v->g;
    *r = (rights){.n = g->stats.n, .level = g->stats.level};
    const size_t n_row = (size_t)g->study.n_row, n_arm = (size_t)g->stats.n_arm;
    r->right = arena_take_zero(a, n_arm * (size_t)r->n + 1, 1, e);
    int32_t *judged = arena_take(a, n_row + 1, sizeof *judged, e);
    if (!r->right || !judged) return false;
    for (size_t i = 0; i < n_row; i++) judged[i] = -1;
    for (int64_t i = 0; i < r->n; i++) judged[g->stats.row[i]] = (int32_t)i;
    for (int32_t k = 0; k < g->stats.n_arm; k++) {
        const store_results *got = &g->got[k];
        for (int32_t i = 0; i < got->n; i++) {
            const int32_t at = judged[got->row[i]];
            const double *z = got->class_logprob + (size_t)i * (size_t)g->stats.n_class;
            if (at < 0 || !got->scored[i]) continue;
            r->right[k * r->n + at] =
                most_probable(z, g->stats.n_class) == g->study.row[got->row[i]].label;
        }
    }
    return number_patients(r, v, a, e);
}

/* Sum of squares of the units' differences from their share of the mean. */
static double squares(const rights *r, const double *difference, double mean, arena *a, err *e)
{
    const int64_t n = r->patient ? r->n_patient : r->n;
    double *sum = arena_take_zero(a, (size_t)n + 1, sizeof *sum, e), total = 0;
    for (int64_t i = 0; sum && i < r->n; i++)
        sum[r->patient ? r->patient[i] : i] += difference[i] - mean;
    for (int64_t u = 0; sum && u < n; u++) total += sum[u] * sum[u];
    return n > 1 ? total * (double)n / (double)(n - 1) : 0;
}

bool right_compare(const rights *r, const right_pair *pairs, int32_t n, arena *scratch,
                   rank_test *out, err *e)
{
    assert(n > 0);
    *out = (rank_test){.status = STAT_NO_CASES};
    if (r->n == 0) return true;
    size_t mark = arena_mark(scratch);
    double *difference = arena_take_zero(scratch, (size_t)r->n, sizeof *difference, e), mean = 0;
    if (!difference) return false;
    for (int64_t i = 0; i < r->n; i++) {
        for (int32_t k = 0; k < n; k++)
            difference[i] += r->right[pairs[k].to * r->n + i] - r->right[pairs[k].from * r->n + i];
        difference[i] /= n;
        mean += difference[i] / (double)r->n;
    }
    const double variance =
        squares(r, difference, mean, scratch, e) / ((double)r->n * (double)r->n);
    *out = rank_test_with(mean, variance, STAT_OK, r->level);
    if (n == 1 && !r->patient) {
        paired_mcnemar m =
            paired_mcnemar_rows(r->right + pairs->to * r->n, r->right + pairs->from * r->n, r->n);
        out->p = m.p;
        out->has_value = true;
    }
    arena_reset(scratch, mark);
    return e->code == ERR_NONE;
}
