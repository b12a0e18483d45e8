/* texts_in: shared by texts.c and texts_figure.c. */
#ifndef CASELOAD_VIEW_TEXTS_IN_H
#define CASELOAD_VIEW_TEXTS_IN_H

#include "view/texts.h"

static inline const char *texts_arm_name(const texts *t, int32_t k)
{
    return t->g->in.arm[t->arm[k]].name;
}

#endif
