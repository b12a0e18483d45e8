/* plot: the figures of a paper, each from the evidence to one drawing, its caption, its words for
 * who cannot see it, and a CSV of every plotted point.
 *
 *   roc  pr  calibration  decision  scores  confusion  forest  flow  arms  frontier  training
 *   learning  likeness
 *
 * No title stands inside a figure; several arms are panels (a), (b), ... A curve or row that
 * cannot be computed says "not estimable (reason)" in its place; nothing is left blank. Counts
 * from 1 to 4 are not printed (small.h).
 */
#ifndef CASELOAD_VIEW_PLOT_H
#define CASELOAD_VIEW_PLOT_H

#include "view/evidence.h"
#include "view/figure.h"

enum { PLOT_KINDS = 13 };

typedef struct plot {
    const char *name; /* "roc": of its files */
    int32_t arm;      /* calibration of one arm alone, a column wide; -1: all */
    figure figure;    /* its title and description point into the texts below */
    buf title, description, caption, csv;
} plot;

/* Draws figure `kind` (0 .. PLOT_KINDS - 1). Close it in any case. */
bool plot_draw(plot *p, const evidence *v, int32_t kind, err *e);
bool plot_draw_calibration(plot *p, const evidence *v, int32_t arm, err *e);
void plot_close(plot *p);

/* The kind of that name; "roc" is 0. */
int32_t plot_kind(const char *name);
const char *plot_name(int32_t kind);

#endif
