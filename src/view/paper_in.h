/* paper_in: what the files of paper share. */
#ifndef CASELOAD_VIEW_PAPER_IN_H
#define CASELOAD_VIEW_PAPER_IN_H

#include "view/paper.h"
#include "view/sheet.h"

enum { PAPER_TABLES = 8 }; /* T1 .. T7, S1 */

typedef struct paper_arm { /* from the arm's record; "" and 0 where it says nothing */
    int32_t shots;
    int64_t seed;
    const char *question, *system, *template_kind, *kind;
} paper_arm;

typedef struct paper {
    const evidence *v;
    const paper_arm *arm; /* [n_arm] */
} paper;

bool paper_read_arms(paper *p, err *e);

/* Fills the table, or says in `why` why there is none. */
bool paper_table(const paper *p, int32_t which, sheet *s, char why[200], err *e);
const char *paper_table_id(int32_t which);

void paper_methods_english(const paper *p, buf *out);
void paper_methods_korean(const paper *p, buf *out);

/* ": 149 serious, 271 not-serious", small counts withheld. */
void paper_add_classes(const paper *p, buf *out);

/* T4, of several models (paper_frontier.c). */
bool paper_table_frontier(const paper *p, sheet *s, char why[200], err *e);

void paper_checklist(const paper *p, sheet *s);

/* "head and tail", as words; what was done with long texts, "" when nothing is recorded. */
const char *paper_cut_words(const paper *p);
int64_t paper_n_cut(const paper *p); /* most texts cut in any arm */

#endif
