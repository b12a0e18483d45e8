/* figure: one drawing, four forms: SVG, PDF and PNG for a paper (cairo and pango; Hangul set
 * right), inline SVG for a page.
 *
 * A figure is a list of strokes, shapes and words in points (1/72 inch), y downwards. What draws
 * it adds to the list; the forms are made from the list, so no two of them can differ.
 *
 *   SVG   words as outlines: needs no font where it is read; title and description inside
 *   PDF   fonts embedded; title, description and date as metadata
 *   PNG   600 dots per inch, said in the file (pHYs); title and description in it (iTXt)
 *   page  <svg> with words as text and colours as classes, so that a page can be dark
 *
 * Colours: those of Okabe and Ito (2008), told apart by colour-blind readers; every series has a
 * dash and a mark of its own as well.
 * Same list, same bytes (same library versions and fonts). Words that no font here can draw are
 * counted.
 */
#ifndef CASELOAD_VIEW_FIGURE_H
#define CASELOAD_VIEW_FIGURE_H

#include "base/str.h"

#include <stdint.h>

enum { FIGURE_DPI = 600, FIGURE_SERIES = 7, FIGURE_DASHES = 6, FIGURE_MARKS = 6 };

/* Widths that journals ask for, in points; the least size of words. */
static const double figure_column = 85 / 25.4 * 72, figure_page = 178 / 25.4 * 72;
static const double figure_text_least = 7;

typedef enum figure_ink { /* FIGURE_SERIES_0 + k: the colour of series k */
                          FIGURE_INK,
                          FIGURE_SOFT,
                          FIGURE_LINE,
                          FIGURE_PAPER,
                          FIGURE_SERIES_0
} figure_ink;

static inline figure_ink figure_series(int32_t k)
{
    return (figure_ink)(FIGURE_SERIES_0 + k % FIGURE_SERIES);
}

typedef struct figure_style {
    figure_ink ink;
    double width;   /* of the line; 0: 0.6 */
    int32_t dash;   /* 0: none; k % FIGURE_DASHES */
    double opacity; /* 0: 1 */
    bool fill;      /* inside instead of the line */
} figure_style;

typedef enum figure_align { FIGURE_LEFT, FIGURE_MIDDLE, FIGURE_RIGHT } figure_align;

typedef struct figure_words {
    double x, y; /* of the base line's start, middle or end */
    figure_align align;
    figure_ink ink;
    double size; /* 0: 7.5; not under figure_text_least */
    bool bold, upwards;
} figure_words;

typedef struct figure {
    double width, height;
    const char *title, *description; /* borrowed; the description is the text for who cannot see */
    const char *date;                /* "2026-01-31"; of the PDF */
    buf ops, numbers, texts;         /* the list */
    struct figure_fonts *fonts;
} figure;

bool figure_open(figure *f, double width, err *e);
void figure_close(figure *f);

/* xy [n][2]. `closed`: back to the first point. */
void figure_path(figure *f, const double *xy, int32_t n, bool closed, figure_style s);
void figure_line(figure *f, double x0, double y0, double x1, double y1, figure_style s);
void figure_box(figure *f, double x, double y, double width, double height, figure_style s);
void figure_mark(figure *f, double x, double y, double size, int32_t k, figure_ink ink);
void figure_text(figure *f, figure_words w, str text);

/* Width of words in points, as they will be set. */
double figure_text_width(const figure *f, str text, double size, bool bold);
/* The longest beginning of `text` that fits into `room`, "..." added when it is not the whole;
 * appended. */
void figure_text_fit(const figure *f, str text, double size, double room, buf *out);

/* Characters that no font on this machine has: shown as boxes. */
int32_t figure_unknown(const figure *f);

bool figure_svg(const figure *f, buf *out, err *e);
bool figure_pdf(const figure *f, buf *out, err *e);
bool figure_png(const figure *f, buf *out, err *e);
void figure_inline(const figure *f, buf *out);

#endif
