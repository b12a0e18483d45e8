/* texts: generated texts beside their references, from the store's fact "likeness"
 * (study/likeness.h) to tables S8 and S9, a figure (plot_likeness), JSON and the terminal. Numbers
 * are stats/alike.h's.
 */
#ifndef CASELOAD_VIEW_TEXTS_H
#define CASELOAD_VIEW_TEXTS_H

#include "stats/alike.h"
#include "view/gather.h"
#include "view/sheet.h"

typedef struct texts {
    gather *g;  /* its arena holds all this */
    bool there; /* the study compares with references, and its run has ended */
    alike found;
    const int32_t *arm; /* [found.n_arm] number of the study's arm */
} texts;

/* A study without the fact has there = false; one that is damaged is ERR_DATA. */
bool texts_read(texts *t, gather *g, err *e);

/* S8, the measures of each arm; S9, paired differences: n_column 0 when there is one arm. */
void texts_arms(const texts *t, sheet *s);
void texts_pairs(const texts *t, sheet *s);

/* One object: the value of `key` in another, or all of likeness.json (NULL). */
void texts_json(const texts *t, const char *key, buf *out);
void texts_table(const texts *t, buf *shown);

#endif
