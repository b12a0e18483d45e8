/* score: see score.h. */
#include "stats/score.h"

#include <assert.h>
#include <math.h>

double score_log_sum(const double *x, int64_t n)
{
    assert(n >= 0);
    double top = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) top = x[i] > top ? x[i] : top;
    if (top == -INFINITY) return top;
    for (int64_t i = 0; i < n; i++) sum += exp(x[i] - top);
    return top + log(sum);
}

bool score_probabilities(const double *z, int64_t n_class, double *p)
{
    assert(n_class > 0);
    double top = -INFINITY, sum = 0;
    for (int64_t c = 0; c < n_class; c++) top = z[c] > top ? z[c] : top;
    for (int64_t c = 0; c < n_class; c++) {
        p[c] = top == -INFINITY ? 0 : exp(z[c] - top);
        sum += p[c];
    }
    if (sum == 0) return false;
    for (int64_t c = 0; c < n_class; c++) p[c] /= sum;
    return true;
}

double score_against_rest(const double *z, int32_t n_class, int32_t c)
{
    assert(n_class >= 2 && c >= 0 && c < n_class);
    double rest = -INFINITY;
    if (n_class == 2) return z[c] - z[1 - c];
    for (int32_t k = 0; k < n_class; k++) {
        if (k == c) continue;
        const double both[2] = {rest, z[k]};
        rest = score_log_sum(both, 2);
    }
    return z[c] - rest;
}

double score_label_mass(const double *z, int64_t n_class) { return exp(score_log_sum(z, n_class)); }

double score_surface(const double *token_logprob, int64_t n_token, bool per_token)
{
    assert(n_token > 0);
    double sum = 0;
    for (int64_t i = 0; i < n_token; i++) sum += token_logprob[i];
    return per_token ? sum / (double)n_token : sum;
}

bool score_contextual(const double *p, const double *free, int64_t n_class, double *out)
{
    assert(n_class > 0);
    double sum = 0;
    for (int64_t c = 0; c < n_class; c++) {
        out[c] = free[c] > 0 ? p[c] / free[c] : 0;
        sum += out[c];
    }
    if (sum == 0) return false;
    for (int64_t c = 0; c < n_class; c++) out[c] /= sum;
    return true;
}

void score_domain_pmi(const double *z, const double *z_free, int64_t n_class, double *out)
{
    for (int64_t c = 0; c < n_class; c++) out[c] = z[c] - z_free[c];
}

void score_batch_centre(double *z, int64_t n_row, int64_t n_class)
{
    assert(n_row > 0 && n_class > 0);
    for (int64_t c = 0; c < n_class; c++) {
        double mean = 0;
        for (int64_t i = 0; i < n_row; i++) mean += z[i * n_class + c];
        mean /= (double)n_row;
        for (int64_t i = 0; i < n_row; i++) z[i * n_class + c] -= mean;
    }
}

void score_permutation_average(const double *p, const int32_t *content_at, int64_t n_order,
                               int64_t n_option, double *out)
{
    assert(n_order > 0 && n_option > 0);
    for (int64_t k = 0; k < n_option; k++) out[k] = 0;
    for (int64_t i = 0; i < n_order * n_option; i++) {
        assert(content_at[i] >= 0 && content_at[i] < n_option);
        out[content_at[i]] += p[i] / (double)n_order;
    }
}

double score_votes(int64_t n_for, int64_t n_vote, bool smooth)
{
    assert(n_for >= 0 && n_vote > 0 && n_for <= n_vote);
    return smooth ? (double)(n_for + 1) / (double)(n_vote + 2) : (double)n_for / (double)n_vote;
}
