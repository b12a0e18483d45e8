/* combine: one score of a row's ways of asking, and one of a way's generated texts.
 *
 *   texts      Z_c = log of the mean over texts of exp(Z_c): the label's probability whatever the
 *              text says, P(label | prompt) = E_text P(label | prompt, text) (self-consistency with
 *              probabilities in the place of votes; Wang et al. 2023, arXiv 2203.11171)
 *   mean       the mean over ways of the classes' probabilities, each way's sum brought to 1
 *   max        the positive class: its largest probability over ways; the other classes share the
 *              rest as their means do
 *   noisy-or   the positive class: 1 - prod(1 - p): present if any way (a chunk of a text) says so;
 *              the others as above
 *
 * Rules over ways keep the mean label mass: sum exp(Z) of the result. Everything is done in
 * logarithms: a probability of 1 - 1e-300 still ranks below one of 1 - 1e-301.
 */
#ifndef CASELOAD_STUDY_COMBINE_H
#define CASELOAD_STUDY_COMBINE_H

#include "base/str.h"

typedef enum combine_rule { COMBINE_MEAN, COMBINE_MAX, COMBINE_NOISY_OR } combine_rule;

typedef struct combine_ways {
    combine_rule rule;
    int32_t n, n_class, positive; /* -1: max and noisy-or become mean */
    const double *z;              /* [n, n_class] class log-scores; -infinity is allowed */
} combine_ways;

/* out[n_class]; work[2 n + n_class]. Ways whose classes all have -infinity say nothing and are left
 * out; when there are no others, out is -infinity. One way is handed on bit for bit. */
void combine_rows(const combine_ways *w, double *out, double *work);

/* z[n, n_class] of texts. work[n]. */
void combine_texts(const double *z, int32_t n, int32_t n_class, double *out, double *work);

const char *combine_rule_name(combine_rule r);

#endif
