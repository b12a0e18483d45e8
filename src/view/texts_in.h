/* texts_in: shared by texts.c and texts_figure.c. */
#ifndef CASELOAD_VIEW_TEXTS_IN_H
#define CASELOAD_VIEW_TEXTS_IN_H

#include "view/figure.h"
#include "view/texts.h"

static inline const char *texts_arm_name(const texts *t, int32_t k)
{
    return t->g->in.arm[t->arm[k]].name;
}

/* ROUGE-L, BLEU and chrF of every arm, with intervals, side by side. Open the figure before. */
void texts_draw(const texts *t, figure *f);

#endif
