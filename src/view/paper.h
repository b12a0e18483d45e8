/* paper: the folder DIR/paper/ that goes with a manuscript, made from records alone.
 *
 *   index.html            all of it on one page; what is missing, and why
 *   tables/               T1 characteristics, T2 main results, T3 ways of asking, T4 memory and
 *                         number formats, T6 subgroups, T7 variability, S1 prompts to the letter,
 *                         S3 within the arms (ways, generated texts), S5 what each part changes, S6
 *                         places of options, S7 whole questions, S8 and S9 texts beside
 *                         references, each .csv .html .tex; T5, S4 need tuning
 *   tables.xlsx           the same tables and the checklists as pages of one workbook
 *   figures/roc.svg .pdf .png .csv ..   see plot.h
 *   methods.en.txt, methods.ko.txt   a methods paragraph
 *   checklists.csv .html  TRIPOD-LLM, MI-CLEAR-LLM, REFINE in short words of our own
 *
 * No text of a row and no id is in any of them. Counts from 1 to 4 are withheld (small.h). A
 * table without data is left out and listed with the reason. Running it again replaces every file.
 * A study without labels has what does not judge: T1, S1, S3, S8, S9, flow, likeness, words.
 */
#ifndef CASELOAD_VIEW_PAPER_H
#define CASELOAD_VIEW_PAPER_H

#include "view/evidence.h"

/* `out` is the study's folder. Appends a sentence for what a reader of the terminal should know. */
bool paper_write(const evidence *v, const char *out, buf *shown, err *e);

/* The tables that the page shows too, behind those of v->g->in.sheet. */
bool paper_sheets(evidence *v, err *e);

#endif
