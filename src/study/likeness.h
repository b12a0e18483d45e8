/* likeness: how the generated texts of a study stand to its references (`data: reference`), text by
 * text: ROUGE-1, 2, L (words of any script), exact match, the counts of BLEU and chrF
 * (stats/overlap.h). What is made of them, with intervals, is stats/alike.h's; view/texts.h shows
 * it. Words shared are not facts shared: these stand beside readers' judgement. */
#ifndef CASELOAD_STUDY_LIKENESS_H
#define CASELOAD_STUDY_LIKENESS_H

#include "study/run.h"

/* Does the study compare with references? */
bool likeness_wanted(const run *r);

/* Reads the texts from the store and sets its fact "likeness": numbers, no text. A line an arm and
 * row, of both from 0: arm, row, words of the reference, then alike_text as its fields stand. */
bool likeness_record(run *r, err *e);

#endif
