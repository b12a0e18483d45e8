/* centre: batch calibration (Zhou and others 2024) of an arm that asks for it (`calibrate:
 * batch`): from every Z of a class goes its mean over the tune rows of the store, or, when it has
 * none, over the judged rows themselves; labels are not looked at. A row's label mass stays. The
 * store keeps Z as the model gave them: the mean is over rows, and a score belongs to its row
 * alone. */
#ifndef CASELOAD_VIEW_CENTRE_H
#define CASELOAD_VIEW_CENTRE_H

#include "data/store.h"

/* Changes the results of an arm that asks for it; rows from `first_tune` on are tune rows.
 * False: it asks for none. */
bool centre_arm(const store_arm *arm, int32_t first_tune, store_results *got);

#endif
