/* run_in: what the files of run share. */
#ifndef CASELOAD_STUDY_RUN_IN_H
#define CASELOAD_STUDY_RUN_IN_H

#include "study/run.h"

/* Inside the transaction that records the study: the baselines' rows and keys, the split's facts.
 * */
bool run_record_baselines(run *r, err *e);
bool run_record_split(run *r, err *e);

/* In the same transaction: what is declared about the evidence, what the table's parts hold. */
bool run_record_evidence(run *r, err *e);

/* Makes the baselines' scores that are not in the store yet. */
bool run_score_baselines(run *r, err *e);

#endif
