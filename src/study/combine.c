/* combine: see combine.h. */
#include "study/combine.h"

#include "stats/score.h"

#include <assert.h>
#include <math.h>

const char *combine_rule_name(combine_rule r)
{
    static const char *const names[] = {"mean", "max", "noisy-or"};
    return names[r];
}

void combine_texts(const double *z, int32_t n, int32_t n_class, double *out, double *work)
{
    assert(n > 0);
    for (int32_t c = 0; c < n_class; c++) {
        for (int32_t i = 0; i < n; i++) work[i] = z[(int64_t)i * n_class + c];
        out[c] = n == 1 ? work[0] : score_log_sum(work, n) - log((double)n);
    }
}

/* log(1 - exp(x)) for x <= 0 (Maechler 2012). */
static double log_complement(double x)
{
    if (x >= 0) return -INFINITY;
    return x > -0.6931471805599453 ? log(-expm1(x)) : log1p(-exp(x));
}

/* Probabilities of a way in logarithms: z less its log label mass. */
static double log_mass(const combine_ways *w, int32_t way)
{
    return score_log_sum(w->z + (int64_t)way * w->n_class, w->n_class);
}

/* log of the mean probability a class; `mass`: log label mass a way, -infinity: left out. */
static void mean_of_ways(const combine_ways *w, const double *mass, double *out, double *list)
{
    for (int32_t c = 0; c < w->n_class; c++) {
        int32_t n = 0;
        for (int32_t i = 0; i < w->n; i++) {
            if (mass[i] == -INFINITY) continue;
            list[n++] = w->z[(int64_t)i * w->n_class + c] - mass[i];
        }
        out[c] = score_log_sum(list, n) - log((double)n);
    }
}

/* log P and log (1 - P) of the positive class by the rule. */
static void find_positive(const combine_ways *w, const double *mass, double *yes, double *no)
{
    *yes = w->rule == COMBINE_MAX ? -INFINITY : 0;
    *no = 0;
    double log_no = 0;
    for (int32_t i = 0; i < w->n; i++) {
        if (mass[i] == -INFINITY) continue;
        const double *z = w->z + (int64_t)i * w->n_class;
        double p = z[w->positive] - mass[i];
        double against = score_against_rest(z, w->n_class, w->positive);
        double rest = p - against; /* log of the others' probability, without 1 - p */
        if (isinf(against)) rest = against > 0 ? -INFINITY : 0;
        if (w->rule == COMBINE_MAX && p >= *yes) *yes = p, *no = rest;
        log_no += rest;
    }
    if (w->rule == COMBINE_MAX) return;
    *no = log_no;
    *yes = log_complement(log_no);
}

void combine_rows(const combine_ways *w, double *out, double *work)
{
    double *mass = work, *list = work + w->n;
    int32_t n = 0;
    assert(w->n > 0 && w->n_class > 0 && w->positive < w->n_class);
    if (w->n == 1) {
        memcpy(out, w->z, (size_t)w->n_class * sizeof *out);
        return;
    }
    for (int32_t i = 0; i < w->n; i++) {
        mass[i] = log_mass(w, i);
        if (mass[i] > -INFINITY) list[n++] = mass[i];
    }
    double log_mean_mass = score_log_sum(list, n) - log((double)(n > 0 ? n : 1));
    for (int32_t c = 0; c < w->n_class; c++) out[c] = -INFINITY;
    if (n == 0) return;
    mean_of_ways(w, mass, out, list);
    if (w->rule != COMBINE_MEAN && w->positive >= 0) {
        double yes, no, rest = -INFINITY;
        find_positive(w, mass, &yes, &no);
        for (int32_t c = 0, k = 0; c < w->n_class; c++) {
            if (c != w->positive) list[k++] = out[c];
        }
        rest = score_log_sum(list, w->n_class - 1);
        for (int32_t c = 0; c < w->n_class; c++) {
            if (c == w->positive) out[c] = yes;
            else out[c] = rest == -INFINITY ? no - log((double)(w->n_class - 1)) : out[c] - rest + no;
        }
    }
    for (int32_t c = 0; c < w->n_class; c++) out[c] += log_mean_mass;
}
