/* texts: generated texts beside their references, from the store's fact "likeness"
 * (study/likeness.h) to tables, a figure, likeness.json and the terminal. Numbers are
 * stats/alike.h's.
 */
#ifndef CASELOAD_VIEW_TEXTS_H
#define CASELOAD_VIEW_TEXTS_H

#include "stats/alike.h"
#include "view/gather.h"

typedef struct texts {
    gather *g;  /* its arena holds all this */
    bool there; /* the study compares with references, and its run has ended */
    alike found;
    const int32_t *arm; /* [found.n_arm] number of the study's arm */
} texts;

/* A study without the fact has there = false; one that is damaged is ERR_DATA. */
bool texts_read(texts *t, gather *g, err *e);

/* The page's tables and figure, behind what in.sheet and in.picture hold. */
bool texts_add(const texts *t, err *e);

void texts_json(const texts *t, buf *out);
void texts_table(const texts *t, buf *shown);

#endif
