/* likeness: how much the generated texts of a study share with its references (`data: reference`),
 * arm by arm: ROUGE-1, 2, L (words of any script), BLEU, chrF, exact match (stats/overlap.h). All
 * samples of all rows count; intervals are of the mean over rows (normal, 95 %). Words shared are
 * not facts shared: these stand beside readers' judgement. */
#ifndef CASELOAD_STUDY_LIKENESS_H
#define CASELOAD_STUDY_LIKENESS_H

#include "study/run.h"

/* Does the study compare with references? */
bool likeness_wanted(const run *r);

/* Reads the texts from the store; writes OUT/likeness.json, a table into `shown`. No text of a row
 * is in either. */
bool likeness_report(run *r, const char *out, buf *shown, err *e);

#endif
