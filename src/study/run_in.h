/* run_in: what the files of run share. */
#ifndef CASELOAD_STUDY_RUN_IN_H
#define CASELOAD_STUDY_RUN_IN_H

#include "study/run.h"

/* Inside the transaction that records the study: its rows and arms, its facts, the baselines' rows
 * and keys, the split's facts. */
bool run_record_study(run *r, err *e);
bool run_record_facts(run *r, err *e);
bool run_record_baselines(run *r, err *e);
bool run_record_split(run *r, err *e);
bool run_set_number(run *r, const char *key, int64_t n, err *e);

/* The records of a pass's arms anew: its adapter is made, and has a hash. */
bool run_record_arms(run *r, const pass *p, err *e);

/* What asking counted: facts "tokens_forwarded/ARM" and "tokens_unshared/ARM", each arm alone. */
bool run_record_tokens(run *r, const pass *p, err *e);

/* What a pass took, for each of its arms: fact "cost/ARM". Inside a transaction. */
bool run_record_cost(run *r, const pass *p, err *e);

/* In the same transaction: what is declared about the evidence, what the table's parts hold. */
bool run_record_evidence(run *r, err *e);

/* Makes the baselines' scores that are not in the store yet. */
bool run_score_baselines(run *r, err *e);

/* Before anything opens: what the passes take fits in what may be taken; ERR_RESOURCE says what to
 * change. Afterwards: planned and measured, a line a pass. */
bool run_check_room(run *r, err *e);

/* Pages of model files that hashing or another pass has read are not the next one's memory. */
void run_rest_models(const run *r);

double run_clock(void); /* seconds, monotonic */

#endif
