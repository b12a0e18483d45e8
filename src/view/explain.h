/* explain: where a number of the report comes from: the rows, the formula, the inputs, the records.
 *
 *   auroc/zero-shot                      a measure of an arm
 *   difference/three-shot/zero-shot      AUROC of the first less that of the second
 *
 * Measures: auroc auprc brier accuracy sensitivity specificity ppv npv f1 mcc kappa
 * balanced_accuracy log_loss observed_expected intercept slope ece label_mass difference.
 * Prints numbers and ids, never a text. The numbers are those of results.json, to the last digit.
 */
#ifndef CASELOAD_VIEW_EXPLAIN_H
#define CASELOAD_VIEW_EXPLAIN_H

#include "view/evidence.h"

/* ERR_USAGE: an unknown measure or arm; the message names those there are. */
bool explain_number(const evidence *v, const char *path, buf *out, err *e);

#endif
