/* results: the numbers of a study as JSON (results.json) for other programs.
 *
 *   study, version, date, positive, classes, n, events, rows (given), level
 *   arms   [{name, kind (model or baseline), detail, n, events, auroc, auroc_low, auroc_high,
 *   auroc_var, auroc_wald_low,
 *   auroc_wald_high,
 *            method, status, auroc_cluster_var, auroc_cluster_low, auroc_cluster_high (by patient),
 *            brier, brier_scaled, accuracy, sensitivity, specificity, ppv, npv, f1, mcc,
 *            label_mass_median, .., cut, texts_per_s, ..; with more than two classes: macro_auroc,
 *            class_auroc {name: {..}}}]
 *   pairs  [{a, b, difference, low, high, z, p, p_holm, cluster_low, cluster_high, cluster_p,
 *   status}]
 * A number that is not estimable is null and `status` says why. Doubles are written so that they
 * read back bit for bit.
 */
#ifndef CASELOAD_VIEW_RESULTS_H
#define CASELOAD_VIEW_RESULTS_H

#include "view/report.h"

bool results_write(const report_input *in, buf *json, err *e);

#endif
