/* plot_in: what the files of plot share: panels, axes, legends, lines of words. */
#ifndef CASELOAD_VIEW_PLOT_IN_H
#define CASELOAD_VIEW_PLOT_IN_H

#include "view/plot.h"

typedef struct panel { /* a rectangle of the figure and the values at its edges */
    double x, y, width, height;
    double left, right, bottom, top;
} panel;

typedef struct panel_axis { /* marks at from, from + step, .. */
    double from, step;
    int32_t n, decimals;
    const char *name;
} panel_axis;

static inline double panel_x(const panel *p, double v)
{
    return p->x + (v - p->left) / (p->right - p->left) * p->width;
}
static inline double panel_y(const panel *p, double v)
{
    return p->y + p->height - (v - p->bottom) / (p->top - p->bottom) * p->height;
}

void panel_frame(figure *f, const panel *p);
void panel_axis_x(figure *f, const panel *p, panel_axis a);
void panel_axis_y(figure *f, const panel *p, panel_axis a);
/* A line through n points, cut off where it leaves the panel at its bottom or top. */
void panel_curve(figure *f, const panel *p, const double *x, const double *y, int32_t n,
                 figure_style s);
/* The same as steps: y[i] holds from x[i - 1] (x_from for the first) to x[i]. */
void panel_steps(figure *f, const panel *p, const curve *c, double x_from, figure_style s);
void panel_band(figure *f, const panel *p, const curve *c, figure_ink ink);
/* "not estimable (reason)" in the middle. */
void panel_nothing(figure *f, const panel *p, const char *reason);

/* Marks at 1, 2 or 5 times a power of ten, at most `most`. */
panel_axis panel_marks(double low, double high, int32_t most);

typedef struct legend_line {
    const char *name;
    int32_t series;    /* -1: the line of chance */
    int32_t mark;      /* of the point at its middle; -1: none */
    const char *value; /* at the right; NULL */
} legend_line;

enum { LEGEND_ROW = 11 };
void legend_add(figure *f, double y, double width, legend_line l);

/* Words broken at blanks to fit `room`; returns the number of lines (drawn downwards from w.y). */
int32_t words_add(figure *f, figure_words w, str text, double room, double line);
int32_t words_count(const figure *f, str text, double size, double room);

const char *plot_positive(const evidence *v); /* the name of the positive class */
/* Columns and left edge of panel k of n, each `room` wide. */
typedef struct grid {
    int32_t n, columns;
    double width, room, gap;
} grid;
grid grid_of(int32_t n, int32_t most);

/* A cell of CSV, quoted where it must be, a comma in front unless it is the first of its line. */
void csv_cell(buf *csv, str cell);
void csv_text(buf *csv, const char *cell);
void csv_number(buf *csv, bool exists, double x);
void csv_end(buf *csv);

bool plot_roc(plot *p, const evidence *v, err *e);
bool plot_pr(plot *p, const evidence *v, err *e);
bool plot_calibration(plot *p, const evidence *v, err *e);
bool plot_decision(plot *p, const evidence *v, err *e);
bool plot_scores(plot *p, const evidence *v, err *e);
bool plot_confusion(plot *p, const evidence *v, err *e);
bool plot_forest(plot *p, const evidence *v, err *e);
bool plot_flow(plot *p, const evidence *v, err *e);
bool plot_arms(plot *p, const evidence *v, err *e);
bool plot_frontier(plot *p, const evidence *v, err *e);
bool plot_training(plot *p, const evidence *v, err *e);
bool plot_learning(plot *p, const evidence *v, err *e);
bool plot_likeness(plot *p, const evidence *v, err *e); /* texts_figure.c; of v->likeness */

#endif
