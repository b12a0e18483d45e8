/* score: from log-probabilities of answers to a probability and a score a class.
 *
 *   L(s|x)       log-probability of one surface (a way to write the answer) after the prompt
 *   Z_c          log-sum-exp of L over the distinct surfaces of class c: the class log-score
 *   p_c          softmax of Z over the classes
 *   label mass   sum_c exp(Z_c): how much of the model's belief lies on any label at all
 *   binary score Z_1 - Z_0, in double: what AUROC ranks. Not the rounded probability, which ties at
 *   1.
 *
 * Everything that adds a constant to a class's Z (contextual, domain-PMI and batch calibration)
 * leaves a binary AUROC unchanged and moves Brier, thresholds and multi-class results only.
 * A class of probability zero has Z = -infinity and is fine; all classes at -infinity have no p.
 */
#ifndef CASELOAD_STATS_SCORE_H
#define CASELOAD_STATS_SCORE_H

#include <stdbool.h>
#include <stdint.h>

/* log(sum exp(x)); -infinity for n = 0 or all x at -infinity. */
double score_log_sum(const double *x, int64_t n);

/* p[n_class] = softmax(z); false (p all 0) when every z is -infinity. */
bool score_probabilities(const double *z, int64_t n_class, double *p);

/* Z of class c less the log-sum-exp of the others; of two classes Z1 - Z0. NaN when all are
 * -infinity. */
double score_against_rest(const double *z, int32_t n_class, int32_t c);

double score_label_mass(const double *z, int64_t n_class);

/* Sum of token log-probabilities, or their mean per token when `per_token`. n_token > 0. */
double score_surface(const double *token_logprob, int64_t n_token, bool per_token);

/* Contextual calibration (Zhao and others 2021): p_c / free_c, renormalised. `free` is the
 * probability a class of the content-free prompt, or its average over several. False when nothing
 * is left. */
bool score_contextual(const double *p, const double *free, int64_t n_class, double *out);

/* Domain-conditional PMI (Holtzman and others 2021): z - z of the prompt without its text. */
void score_domain_pmi(const double *z, const double *z_free, int64_t n_class, double *out);

/* Batch calibration (Zhou and others 2024): subtracts, a class, the mean over all rows.
 * z[n_row x n_class], in place. */
void score_batch_centre(double *z, int64_t n_row, int64_t n_class);

/* Options in several orders: the probability of each *content*, averaged over the orders.
 * p[n_order x n_option] by place; content_at[n_order x n_option] says which content stood at a
 * place. */
void score_permutation_average(const double *p, const int32_t *content_at, int64_t n_order,
                               int64_t n_option, double *out);

/* Share of votes; with add-one smoothing over two outcomes when `smooth`: (k + 1) / (n + 2). */
double score_votes(int64_t n_for, int64_t n_vote, bool smooth);

#endif
