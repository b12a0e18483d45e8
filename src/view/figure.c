/* figure: see figure.h. The list is an array of `op`, with the numbers and words of each in
 * buffers of their own. Drawing it for a paper is cairo's and pango's work; the page's form is
 * written by hand. */
#include "view/figure.h"
#include "view/png.h"

#include <assert.h>
#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <cairo.h>
#include <math.h>
#include <pango/pangocairo.h>
#include <stdio.h>

enum { LIST_BYTES_MAX = 256 << 20, OUT_BYTES_MAX = 1 << 30, PIXELS_MAX = 20000 };

typedef enum op_kind { OP_PATH, OP_DISC, OP_TEXT } op_kind;

typedef struct op {
    op_kind kind;
    bool closed;
    figure_style style; /* of paths and discs */
    figure_words words; /* of texts */
    size_t first, n;    /* numbers (pairs) or bytes of text; a disc: x, y, radius */
} op;

struct figure_fonts {
    PangoFontMap *map;
    PangoContext *context;
};

/* First what reads best at 7 points; the last find Hangul on any system that has it. */
static const char families[] =
    "Liberation Sans, Arial, Helvetica, Nimbus Sans, Noto Sans, DejaVu Sans, Noto Sans CJK KR, "
    "Noto Sans KR, NanumGothic, NanumBarunGothic, Malgun Gothic, sans-serif";

static const double inks[][3] = {{0.10, 0.11, 0.13}, {0.35, 0.38, 0.42}, {0.84, 0.85, 0.88},
                                 {1, 1, 1},          {0, 0.447, 0.698},  {0.835, 0.369, 0},
                                 {0, 0.56, 0.41},    {0.69, 0.31, 0.54}, {0.58, 0.38, 0},
                                 {0.16, 0.54, 0.75}, {0.30, 0.30, 0.30}};
static const char *const ink_names[] = {"--ink", "--soft", "--line", "--page", "--k0", "--k1",
                                        "--k2",  "--k3",   "--k4",   "--k5",   "--k6"};
static_assert(countof(inks) == (size_t)FIGURE_SERIES_0 + FIGURE_SERIES, "an ink for each name");
static_assert(countof(ink_names) == countof(inks), "a variable for each ink");

/* Lengths of dashes and gaps, in points; 0 ends a row. */
static const double dashes[FIGURE_DASHES][7] = {{0},        {4.5, 2},
                                                {1.2, 1.8}, {6, 2, 1.2, 2},
                                                {9, 2.5},   {2.5, 1.5, 1, 1.5}};

bool figure_open(figure *f, double width, err *e)
{
    assert(width > 0);
    *f = (figure){.width = width, .title = "", .description = "", .date = "1970-01-01"};
    f->ops = f->numbers = f->texts = buf_up_to(LIST_BYTES_MAX);
    struct figure_fonts *fonts = g_new0(struct figure_fonts, 1);
    fonts->map = pango_cairo_font_map_new();
    f->fonts = fonts;
    if (!fonts->map) return err_set(e, ERR_RESOURCE, "no fonts: the figures cannot be drawn");
    pango_cairo_font_map_set_resolution((PangoCairoFontMap *)fonts->map, 72);
    fonts->context = pango_font_map_create_context(fonts->map);
    cairo_font_options_t *o = cairo_font_options_create();
    cairo_font_options_set_hint_style(o, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_hint_metrics(o, CAIRO_HINT_METRICS_OFF);
    cairo_font_options_set_antialias(o, CAIRO_ANTIALIAS_GRAY);
    pango_cairo_context_set_font_options(fonts->context, o);
    cairo_font_options_destroy(o);
    pango_context_set_round_glyph_positions(fonts->context, FALSE);
    pango_context_set_language(fonts->context, pango_language_from_string("ko"));
    return true;
}

void figure_close(figure *f)
{
    if (f->fonts) {
        if (f->fonts->context) g_object_unref(f->fonts->context);
        if (f->fonts->map) g_object_unref(f->fonts->map);
        g_free(f->fonts);
    }
    buf_close(&f->ops);
    buf_close(&f->numbers);
    buf_close(&f->texts);
    *f = (figure){0};
}

/* --- adding to the list --- */

static void add_shape(figure *f, op what, const double *numbers, size_t n)
{
    what.first = f->numbers.size / sizeof *numbers;
    for (size_t i = 0; i < n; i++) assert(isfinite(numbers[i]));
    buf_add(&f->numbers, numbers, n * sizeof *numbers);
    buf_add(&f->ops, &what, sizeof what);
}

void figure_path(figure *f, const double *xy, int32_t n, bool closed, figure_style s)
{
    assert(n >= 0 && s.dash >= 0);
    if (n == 0) return;
    op what = {.kind = OP_PATH, .closed = closed, .style = s, .n = (size_t)n};
    add_shape(f, what, xy, 2 * (size_t)n);
}

void figure_line(figure *f, double x0, double y0, double x1, double y1, figure_style s)
{
    const double xy[4] = {x0, y0, x1, y1};
    figure_path(f, xy, 2, false, s);
}

void figure_box(figure *f, double x, double y, double width, double height, figure_style s)
{
    const double xy[8] = {x, y, x + width, y, x + width, y + height, x, y + height};
    figure_path(f, xy, 4, true, s);
}

void figure_mark(figure *f, double x, double y, double size, int32_t k, figure_ink ink)
{
    static const double shapes[FIGURE_MARKS][8] = {{0},
                                                   {-.9, -.9, .9, -.9, .9, .9, -.9, .9},
                                                   {0, -1.2, 1.1, .9, -1.1, .9, 0, -1.2},
                                                   {0, -1.25, 1.25, 0, 0, 1.25, -1.25, 0},
                                                   {0, 1.2, 1.1, -.9, -1.1, -.9, 0, 1.2},
                                                   {-1.2, -.6, 1.2, -.6, 1.2, .6, -1.2, .6}};
    const double *shape = shapes[k % FIGURE_MARKS];
    figure_style s = {.ink = ink, .fill = true};
    double xy[8] = {x, y, size / 2};
    if (k % FIGURE_MARKS == 0) {
        add_shape(f, (op){.kind = OP_DISC, .style = s}, xy, 3);
        return;
    }
    for (int i = 0; i < 8; i++) xy[i] = (i % 2 ? y : x) + shape[i] * size / 2;
    figure_path(f, xy, 4, true, s);
}

void figure_text(figure *f, figure_words w, str text)
{
    if (w.size == 0) w.size = 7.5;
    assert(w.size >= figure_text_least && isfinite(w.x) && isfinite(w.y));
    op what = {.kind = OP_TEXT, .words = w, .first = f->texts.size, .n = text.size};
    buf_add_str(&f->texts, text);
    buf_add(&f->ops, &what, sizeof what);
}

/* --- words --- */

static PangoLayout *set_words(const figure *f, str text, double size, bool bold)
{
    PangoLayout *l = pango_layout_new(f->fonts->context);
    PangoFontDescription *d = pango_font_description_new();
    pango_font_description_set_family_static(d, families);
    pango_font_description_set_absolute_size(d, size * PANGO_SCALE);
    if (bold) pango_font_description_set_weight(d, PANGO_WEIGHT_BOLD);
    pango_layout_set_font_description(l, d);
    pango_font_description_free(d);
    pango_layout_set_single_paragraph_mode(l, TRUE);
    pango_layout_set_text(l, text.size ? text.data : "", (int)text.size);
    return l;
}

double figure_text_width(const figure *f, str text, double size, bool bold)
{
    PangoLayout *l = set_words(f, text, size, bold);
    int width = 0, height = 0;
    pango_layout_get_size(l, &width, &height);
    g_object_unref(l);
    return (double)width / PANGO_SCALE;
}

void figure_text_fit(const figure *f, str text, double size, double room, buf *out)
{
    if (figure_text_width(f, text, size, false) <= room) {
        buf_add_str(out, text);
        return;
    }
    double dots = figure_text_width(f, STR("…"), size, false);
    size_t n = text.size;
    while (n > 0) {
        n--;
        while (n > 0 && ((unsigned char)text.data[n] & 0xC0) == 0x80) n--;
        if (figure_text_width(f, str_part(text, 0, n), size, false) + dots <= room) break;
    }
    buf_add_str(out, str_part(text, 0, n));
    buf_add_text(out, "…");
}

static const op *op_at(const figure *f, size_t i)
{
    return (const op *)(const void *)f->ops.data + i;
}
static size_t op_count(const figure *f) { return f->ops.size / sizeof(op); }

static str words_of(const figure *f, const op *o)
{
    return str_part(buf_view(&f->texts), o->first, o->n);
}

static const double *numbers_of(const figure *f, const op *o)
{
    return (const double *)(const void *)f->numbers.data + o->first;
}

int32_t figure_unknown(const figure *f)
{
    int32_t n = 0;
    for (size_t i = 0; i < op_count(f); i++) {
        const op *o = op_at(f, i);
        if (o->kind != OP_TEXT) continue;
        PangoLayout *l = set_words(f, words_of(f, o), o->words.size, o->words.bold);
        n += pango_layout_get_unknown_glyphs_count(l);
        g_object_unref(l);
    }
    return n;
}

/* --- cairo --- */

static void set_style(cairo_t *cr, figure_style s)
{
    const double *rgb = inks[s.ink];
    cairo_set_source_rgba(cr, rgb[0], rgb[1], rgb[2], s.opacity == 0 ? 1 : s.opacity);
    cairo_set_line_width(cr, s.width == 0 ? 0.6 : s.width);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    const double *dash = dashes[s.dash % FIGURE_DASHES];
    int n = 0;
    while (dash[n] > 0) n++;
    cairo_set_dash(cr, dash, n, 0);
}

static void draw_shape(cairo_t *cr, const op *o, const double *xy)
{
    cairo_new_path(cr);
    if (o->kind == OP_DISC) {
        cairo_arc(cr, xy[0], xy[1], xy[2], 0, 2 * G_PI);
    } else {
        for (size_t i = 0; i < o->n; i++) cairo_line_to(cr, xy[2 * i], xy[2 * i + 1]);
        if (o->closed) cairo_close_path(cr);
    }
    set_style(cr, o->style);
    if (o->style.fill) cairo_fill(cr);
    else cairo_stroke(cr);
}

static void draw_words(const figure *f, cairo_t *cr, const op *o)
{
    figure_words w = o->words;
    const double *rgb = inks[w.ink];
    cairo_save(cr);
    cairo_translate(cr, w.x, w.y);
    if (w.upwards) cairo_rotate(cr, -G_PI / 2);
    pango_cairo_update_context(cr, f->fonts->context);
    PangoLayout *l = set_words(f, words_of(f, o), w.size, w.bold);
    int width = 0, height = 0;
    pango_layout_get_size(l, &width, &height);
    double shift = w.align == FIGURE_LEFT ? 0 : w.align == FIGURE_RIGHT ? 1 : 0.5;
    cairo_move_to(cr, -shift * width / PANGO_SCALE,
                  -(double)pango_layout_get_baseline(l) / PANGO_SCALE);
    cairo_set_source_rgb(cr, rgb[0], rgb[1], rgb[2]);
    pango_cairo_show_layout(cr, l);
    g_object_unref(l);
    cairo_restore(cr);
}

static void draw_all(const figure *f, cairo_t *cr)
{
    for (size_t i = 0; i < op_count(f); i++) {
        const op *o = op_at(f, i);
        if (o->kind == OP_TEXT) draw_words(f, cr, o);
        else draw_shape(cr, o, numbers_of(f, o));
    }
}

static cairo_status_t take_bytes(void *context, const unsigned char *data, unsigned size)
{
    buf_add(context, data, size);
    return ((buf *)context)->failed ? CAIRO_STATUS_WRITE_ERROR : CAIRO_STATUS_SUCCESS;
}

static bool list_is_whole(const figure *f, err *e)
{
    return buf_check(&f->ops, "a figure", e) && buf_check(&f->numbers, "a figure", e) &&
           buf_check(&f->texts, "a figure", e);
}

static void write_png(const figure *f, cairo_surface_t *surface, buf *out)
{
    cairo_surface_flush(surface);
    const picture image = {.pixels = cairo_image_surface_get_data(surface),
                             .width = cairo_image_surface_get_width(surface),
                             .height = cairo_image_surface_get_height(surface),
                             .stride = cairo_image_surface_get_stride(surface),
                             .dots_per_inch = FIGURE_DPI,
                             .title = f->title,
                             .description = f->description};
    png_write(out, &image);
}

/* Draws on the surface, scaled, ends it and hands the failure on. `png` NULL: the surface writes
 * itself. */
static bool press(const figure *f, cairo_surface_t *surface, double scale, buf *png, err *e)
{
    cairo_t *cr = cairo_create(surface);
    cairo_scale(cr, scale, scale);
    if (png) {
        cairo_set_source_rgb(cr, 1, 1, 1);
        cairo_paint(cr);
    }
    draw_all(f, cr);
    cairo_status_t status = cairo_status(cr);
    cairo_destroy(cr);
    if (png && status == CAIRO_STATUS_SUCCESS) write_png(f, surface, png);
    cairo_surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS) status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    return status == CAIRO_STATUS_SUCCESS ||
           err_set(e, ERR_RESOURCE, "a figure could not be drawn: %s",
                   cairo_status_to_string(status));
}

/* cairo numbers its surfaces through the life of the program: the drawing's group loses that
 * name, so that the same drawing is the same bytes. */
static void add_without_number(buf *out, str svg)
{
    str mark = STR("<g id=\"surface");
    int64_t at = str_find(svg, mark);
    if (at < 0) {
        buf_add_str(out, svg);
        return;
    }
    str rest = str_part(svg, (size_t)at, svg.size - (size_t)at);
    int64_t end = str_find(rest, STR(">"));
    buf_add_str(out, str_part(svg, 0, (size_t)at));
    buf_add_text(out, "<g");
    buf_add_str(out, str_part(rest, (size_t)end, rest.size - (size_t)end));
}

/* cairo's SVG has no words for who cannot see: they go behind the opening tag. */
bool figure_svg(const figure *f, buf *out, err *e)
{
    if (!list_is_whole(f, e)) return false;
    buf raw = buf_up_to(OUT_BYTES_MAX);
    cairo_surface_t *s = cairo_svg_surface_create_for_stream(take_bytes, &raw, f->width, f->height);
    bool ok = press(f, s, 1, NULL, e) && buf_check(&raw, "a figure", e);
    str all = buf_view(&raw);
    int64_t at = ok ? str_find(all, STR("<svg ")) : -1;
    int64_t end = -1;
    if (at >= 0) end = str_find(str_part(all, (size_t)at, all.size - (size_t)at), STR(">"));
    ok = ok && (end >= 0 || err_set(e, ERR_OTHER, "cairo wrote an SVG that is none"));
    if (ok) {
        size_t opened = (size_t)(at + end);
        buf_add_str(out, str_part(all, 0, opened));
        buf_add_text(out, " role=\"img\" aria-labelledby=\"title desc\">\n<title id=\"title\">");
        buf_add_html(out, str_of(f->title));
        buf_add_text(out, "</title>\n<desc id=\"desc\">");
        buf_add_html(out, str_of(f->description));
        buf_add_text(out, "</desc>");
        add_without_number(out, str_part(all, opened + 1, all.size - opened - 1));
    }
    buf_close(&raw);
    return ok && buf_check(out, "a figure", e);
}

bool figure_pdf(const figure *f, buf *out, err *e)
{
    if (!list_is_whole(f, e)) return false;
    char date[40];
    snprintf(date, sizeof date, "%.10sT00:00:00Z", f->date);
    cairo_surface_t *s = cairo_pdf_surface_create_for_stream(take_bytes, out, f->width, f->height);
    cairo_pdf_surface_set_metadata(s, CAIRO_PDF_METADATA_TITLE, f->title);
    cairo_pdf_surface_set_metadata(s, CAIRO_PDF_METADATA_SUBJECT, f->description);
    cairo_pdf_surface_set_metadata(s, CAIRO_PDF_METADATA_CREATOR, "caseload");
    cairo_pdf_surface_set_metadata(s, CAIRO_PDF_METADATA_CREATE_DATE, date);
    return press(f, s, 1, NULL, e) && buf_check(out, "a figure", e);
}

/* --- PNG --- */

bool figure_png(const figure *f, buf *out, err *e)
{
    if (!list_is_whole(f, e)) return false;
    double scale = FIGURE_DPI / 72.0;
    long width = lround(f->width * scale), height = lround(f->height * scale);
    if (width > PIXELS_MAX || height > PIXELS_MAX)
        return err_set(e, ERR_RESOURCE, "a figure of %ld x %ld pixels is too large", width, height);
    cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
    return press(f, s, scale, out, e) && buf_check(out, "a figure", e);
}

/* --- the page's form --- */

static void add_shape_style(buf *b, figure_style s)
{
    buf_printf(b, " style=\"%s:var(%s)", s.fill ? "fill" : "fill:none;stroke", ink_names[s.ink]);
    if (!s.fill) buf_printf(b, ";stroke-width:%g", s.width == 0 ? 0.6 : s.width);
    if (s.opacity != 0 && s.opacity != 1) buf_printf(b, ";opacity:%g", s.opacity);
    const double *dash = dashes[s.dash % FIGURE_DASHES];
    for (int i = 0; dash[i] > 0; i++) buf_printf(b, i ? " %g" : ";stroke-dasharray:%g", dash[i]);
    buf_add_text(b, "\"/>");
}

static void add_inline_shape(buf *b, const op *o, const double *xy)
{
    if (o->kind == OP_DISC) {
        buf_printf(b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.2f\"", xy[0], xy[1], xy[2]);
    } else {
        buf_add_text(b, "<path d=\"");
        double last[2] = {xy[0], xy[1]};
        buf_printf(b, "M%.1f %.1f", xy[0], xy[1]);
        for (size_t i = 1; i < o->n; i++) { /* what is too near to be seen is left out */
            const double *at = xy + 2 * i;
            bool near = fabs(at[0] - last[0]) < 0.3 && fabs(at[1] - last[1]) < 0.3;
            if (near && i + 1 < o->n) continue;
            buf_printf(b, "L%.1f %.1f", at[0], at[1]);
            last[0] = at[0];
            last[1] = at[1];
        }
        buf_add_text(b, o->closed ? "z\"" : "\"");
    }
    add_shape_style(b, o->style);
}

static void add_inline_words(const figure *f, buf *b, const op *o)
{
    static const char *const anchors[] = {"start", "middle", "end"};
    figure_words w = o->words;
    buf_printf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"", w.x, w.y, anchors[w.align]);
    if (w.upwards) buf_printf(b, " transform=\"rotate(-90 %.1f %.1f)\"", w.x, w.y);
    buf_printf(b, " style=\"font-size:%gpx;fill:var(%s)%s\">", w.size, ink_names[w.ink],
               w.bold ? ";font-weight:600" : "");
    buf_add_html(b, words_of(f, o));
    buf_add_text(b, "</text>");
}

void figure_inline(const figure *f, buf *out)
{
    buf_printf(out, "<svg viewBox=\"0 0 %.1f %.1f\" role=\"img\" aria-label=\"", f->width,
               f->height);
    buf_add_html(out, str_of(f->description));
    buf_add_text(out, "\">");
    for (size_t i = 0; i < op_count(f); i++) {
        const op *o = op_at(f, i);
        if (o->kind == OP_TEXT) add_inline_words(f, out, o);
        else add_inline_shape(out, o, numbers_of(f, o));
    }
    buf_add_text(out, "</svg>");
    if (f->ops.failed || f->numbers.failed || f->texts.failed) out->failed = true;
}
