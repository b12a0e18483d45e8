/* plot: see plot.h. Panels, axes and legends; the figures are in plot_curves.c and plot_rows.c. */
#include "view/plot_in.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

enum { TEXT_BYTES_MAX = 256 << 20 };

static const struct {
    const char *name;
    bool binary; /* needs a positive class */
    double width;
    bool (*draw)(plot *, const evidence *, err *);
} kinds[PLOT_KINDS] = {
    {"roc", true, 85, plot_roc},
    {"pr", true, 85, plot_pr},
    {"calibration", true, 0, plot_calibration},
    {"decision", true, 85, plot_decision},
    {"scores", true, 0, plot_scores},
    {"confusion", true, 0, plot_confusion},
    {"forest", true, 178, plot_forest},
    {"flow", false, 120, plot_flow},
    {"arms", true, 178, plot_arms},
    {"frontier", true, 85, plot_frontier},
    {"training", false, 178, plot_training},
    {"learning", false, 85, plot_learning},
    {"likeness", false, 178, plot_likeness},
};

/* Why the study has no such figure; NULL: it has. */
static const char *why_not(int32_t kind, const evidence *v)
{
    if (kinds[kind].binary && !v->binary) return "no class is declared positive";
    if (kinds[kind].draw == plot_likeness && !v->likeness) return "there are no references";
    return NULL;
}

const char *plot_name(int32_t kind) { return kinds[kind].name; }

const char *plot_positive(const evidence *v) { return v->g->in.class_name[v->g->stats.positive]; }

grid grid_of(int32_t n, int32_t most)
{
    grid g = {.n = n < most ? n : most, .gap = 14};
    g.columns = g.n <= 1 ? 1 : g.n == 2 || g.n == 4 ? 2 : 3;
    g.width = g.columns == 1 ? figure_column : figure_page;
    g.room = (g.width - (g.columns - 1) * g.gap) / g.columns;
    return g;
}

int32_t plot_kind(const char *name)
{
    int32_t k = 0;
    while (k < PLOT_KINDS && strcmp(kinds[k].name, name)) k++;
    assert(k < PLOT_KINDS);
    return k;
}

static bool draw(plot *p, const evidence *v, int32_t kind, int32_t arm, err *e)
{
    assert(kind >= 0 && kind < PLOT_KINDS);
    *p = (plot){.name = kinds[kind].name, .arm = arm};
    p->title = p->description = p->caption = p->csv = buf_up_to(TEXT_BYTES_MAX);
    double width = kinds[kind].width / 25.4 * 72;
    if (width == 0) width = grid_of(arm < 0 ? v->n_drawn : 1, EVIDENCE_CURVES_MAX).width;
    if (!figure_open(&p->figure, width, e)) return false;
    p->figure.date = v->g->in.date;
    const char *why = why_not(kind, v);
    if (why) {
        panel q = {.x = 4, .y = 4, .width = width - 8, .height = 60};
        p->figure.height = 68;
        panel_frame(&p->figure, &q);
        panel_nothing(&p->figure, &q, why);
        buf_printf(&p->title, "%s", p->name);
        buf_printf(&p->caption, "Not estimable: %s.", why);
        buf_add_str(&p->description, buf_view(&p->caption));
        buf_printf(&p->csv, "status\r\n%s\r\n", why);
    } else if (!kinds[kind].draw(p, v, e)) {
        return false;
    }
    if (!buf_check(&p->title, "a figure", e) || !buf_check(&p->description, "a figure", e) ||
        !buf_check(&p->caption, "a figure", e) || !buf_check(&p->csv, "a figure", e))
        return false;
    p->figure.title = p->title.data;
    p->figure.description = p->description.data;
    return true;
}

bool plot_draw(plot *p, const evidence *v, int32_t kind, err *e) { return draw(p, v, kind, -1, e); }

bool plot_draw_calibration(plot *p, const evidence *v, int32_t arm, err *e)
{
    assert(arm >= 0 && arm < v->g->stats.n_arm);
    return draw(p, v, plot_kind("calibration"), arm, e);
}

void plot_close(plot *p)
{
    figure_close(&p->figure);
    buf_close(&p->title);
    buf_close(&p->description);
    buf_close(&p->caption);
    buf_close(&p->csv);
}

/* --- panels --- */

void panel_frame(figure *f, const panel *p)
{
    figure_box(f, p->x, p->y, p->width, p->height, (figure_style){.ink = FIGURE_SOFT});
}

static void add_mark(figure *f, figure_words w, double v, int32_t decimals)
{
    char text[40];
    if (fabs(v) < 0.5 * pow(10, -decimals)) v = 0;
    snprintf(text, sizeof text, "%s%.*f", v < 0 ? "−" : "", (int)decimals, fabs(v));
    figure_text(f, w, str_of(text));
}

void panel_axis_x(figure *f, const panel *p, panel_axis a)
{
    for (int32_t i = 0; i < a.n; i++) {
        double v = a.from + i * a.step, x = panel_x(p, v), y = p->y + p->height;
        figure_line(f, x, y, x, y + 2.5, (figure_style){.ink = FIGURE_SOFT});
        figure_words w = {
            .x = x, .y = y + 10.5, .align = FIGURE_MIDDLE, .ink = FIGURE_SOFT, .size = 7};
        add_mark(f, w, v, a.decimals);
    }
    figure_words w = {.x = p->x + p->width / 2,
                      .y = p->y + p->height + 21,
                      .align = FIGURE_MIDDLE,
                      .size = 7.5};
    if (a.name) figure_text(f, w, str_of(a.name));
}

void panel_axis_y(figure *f, const panel *p, panel_axis a)
{
    double widest = 0;
    for (int32_t i = 0; i < a.n; i++) {
        char text[40];
        double v = a.from + i * a.step, y = panel_y(p, v);
        snprintf(text, sizeof text, "%s%.*f", v < 0 ? "−" : "", (int)a.decimals, fabs(v));
        widest = fmax(widest, figure_text_width(f, str_of(text), 7, false));
        figure_line(f, p->x - 2.5, y, p->x, y, (figure_style){.ink = FIGURE_SOFT});
        figure_words w = {
            .x = p->x - 4.5, .y = y + 2.5, .align = FIGURE_RIGHT, .ink = FIGURE_SOFT, .size = 7};
        add_mark(f, w, v, a.decimals);
    }
    figure_words w = {.x = p->x - 9 - widest,
                      .y = p->y + p->height / 2,
                      .align = FIGURE_MIDDLE,
                      .size = 7.5,
                      .upwards = true};
    if (a.name) figure_text(f, w, str_of(a.name));
}

panel_axis panel_marks(double low, double high, int32_t most)
{
    double range = high - low, step = pow(10, floor(log10(range / most)));
    if (range / step > 5 * most) step *= 10;
    else if (range / step > 2 * most) step *= 5;
    else if (range / step > most) step *= 2;
    panel_axis a = {.from = ceil(low / step - 1e-9) * step, .step = step};
    a.n = (int32_t)floor((high - a.from) / step + 1e-9) + 1;
    a.decimals = step < 1 ? (int32_t)ceil(-log10(step) - 1e-9) : 0;
    return a;
}

/* Part of the segment a-b inside bottom..top, as shares of its length; false: none. */
static bool inside(const panel *p, double a, double b, double *from, double *to)
{
    *from = 0, *to = 1;
    double low = p->bottom, high = p->top;
    if ((a < low && b < low) || (a > high && b > high)) return false;
    if (a < low) *from = (low - a) / (b - a);
    if (a > high) *from = (high - a) / (b - a);
    if (b < low) *to = (low - a) / (b - a);
    if (b > high) *to = (high - a) / (b - a);
    return true;
}

void panel_curve(figure *f, const panel *p, const double *x, const double *y, int32_t n,
                 figure_style s)
{
    buf xy = buf_up_to(64 << 20);
    double last[2] = {0, 0};
    for (int32_t i = 1; i <= n; i++) {
        double from = 0, to = 1;
        bool some = i < n && inside(p, y[i - 1], y[i], &from, &to);
        double ends[4] = {0};
        for (int k = 0; some && k < 2; k++) {
            double at = k ? to : from;
            ends[2 * k] = panel_x(p, x[i - 1] + at * (x[i] - x[i - 1]));
            ends[2 * k + 1] = panel_y(p, y[i - 1] + at * (y[i] - y[i - 1]));
        }
        bool joins = some && xy.size && fabs(last[0] - ends[0]) + fabs(last[1] - ends[1]) < 1e-6;
        if (xy.size && !joins) {
            int32_t n_point = (int32_t)(xy.size / (2 * sizeof(double)));
            figure_path(f, (const double *)(const void *)xy.data, n_point, false, s);
            buf_clear(&xy);
        }
        if (some) {
            buf_add(&xy, joins ? ends + 2 : ends, (joins ? 2 : 4) * sizeof *ends);
            last[0] = ends[2];
            last[1] = ends[3];
        }
    }
    f->numbers.failed = f->numbers.failed || xy.failed;
    buf_close(&xy);
}

void panel_steps(figure *f, const panel *p, const curve *c, double x_from, figure_style s)
{
    buf xy = buf_up_to(64 << 20);
    for (int32_t i = 0; i < c->n; i++) {
        const double step[4] = {panel_x(p, i ? c->x[i - 1] : x_from), panel_y(p, c->value[i]),
                                panel_x(p, c->x[i]), panel_y(p, c->value[i])};
        buf_add(&xy, step, sizeof step);
    }
    f->numbers.failed = f->numbers.failed || xy.failed;
    if (!xy.failed) figure_path(f, (const double *)(const void *)xy.data, 2 * c->n, false, s);
    buf_close(&xy);
}

void panel_band(figure *f, const panel *p, const curve *c, figure_ink ink)
{
    if (!c->has_band) return;
    buf xy = buf_up_to(1 << 20);
    for (int32_t i = 0; i < 2 * c->n; i++) {
        int32_t k = i < c->n ? i : 2 * c->n - 1 - i;
        double v = i < c->n ? c->high[k] : c->low[k];
        const double at[2] = {panel_x(p, c->x[k]), panel_y(p, fmin(fmax(v, p->bottom), p->top))};
        buf_add(&xy, at, sizeof at);
    }
    figure_style s = {.ink = ink, .fill = true, .opacity = 0.16};
    figure_path(f, (const double *)(const void *)xy.data, 2 * c->n, true, s);
    buf_close(&xy);
}

void panel_nothing(figure *f, const panel *p, const char *reason)
{
    figure_style blank = {.ink = FIGURE_PAPER, .fill = true};
    figure_box(f, p->x + 1, p->y + p->height / 2 - 14, p->width - 2, 32, blank);
    figure_words w = {.x = p->x + p->width / 2,
                      .y = p->y + p->height / 2 - 3,
                      .align = FIGURE_MIDDLE,
                      .ink = FIGURE_SOFT};
    figure_text(f, w, STR("not estimable"));
    char text[200];
    snprintf(text, sizeof text, "(%s)", reason);
    w.y += 10;
    words_add(f, w, str_of(text), p->width - 8, 9);
}

void legend_add(figure *f, double y, double width, legend_line l)
{
    double x = 2, key = 20, room = width - key - 8;
    figure_style s = {.ink = FIGURE_SOFT, .width = 0.8, .dash = 2};
    if (l.series >= 0)
        s = (figure_style){.ink = figure_series(l.series), .width = 1.2, .dash = l.series};
    figure_line(f, x, y - 2.6, x + key - 2, y - 2.6, s);
    if (l.mark >= 0) figure_mark(f, x + key / 2 - 1, y - 2.6, 4.6, l.mark, figure_series(l.series));
    if (l.value) {
        figure_words w = {.x = width - 2, .y = y, .align = FIGURE_RIGHT, .size = 7};
        figure_text(f, w, str_of(l.value));
        room -= figure_text_width(f, str_of(l.value), 7, false) + 6;
    }
    buf name = buf_up_to(1 << 16);
    figure_text_fit(f, str_of(l.name), 7, room, &name);
    figure_text(f, (figure_words){.x = x + key + 3, .y = y, .size = 7}, buf_view(&name));
    buf_close(&name);
}

/* --- words --- */

/* The length of the next line of `text`: up to the last blank that fits, at least one word or
 * what fits. */
static size_t line_size(const figure *f, str text, double size, double room)
{
    size_t best = 0;
    for (size_t i = 0; i <= text.size; i++) {
        if (i < text.size && text.data[i] != ' ') continue;
        if (best && figure_text_width(f, str_part(text, 0, i), size, false) > room) break;
        best = i;
    }
    while (best > 1 && figure_text_width(f, str_part(text, 0, best), size, false) > room) {
        best--; /* one long word: broken at a character */
        while (best > 1 && ((unsigned char)text.data[best] & 0xC0) == 0x80) best--;
    }
    return best;
}

static int32_t set_lines(figure *f, const figure *measure, figure_words w, str text, double room,
                         double line)
{
    int32_t n = 0;
    double size = w.size == 0 ? 7.5 : w.size;
    while (text.size > 0) {
        size_t k = line_size(measure, text, size, room);
        if (k == 0) k = 1;
        if (f) figure_text(f, w, str_part(text, 0, k));
        w.y += line;
        n++;
        while (k < text.size && text.data[k] == ' ') k++;
        text = str_part(text, k, text.size - k);
    }
    return n;
}

int32_t words_add(figure *f, figure_words w, str text, double room, double line)
{
    return set_lines(f, f, w, text, room, line);
}

int32_t words_count(const figure *f, str text, double size, double room)
{
    return set_lines(NULL, f, (figure_words){.size = size}, text, room, 0);
}

/* --- CSV --- */

static void csv_comma(buf *csv)
{
    if (csv->size && csv->data[csv->size - 1] != '\n') buf_add_char(csv, ',');
}

void csv_cell(buf *csv, str cell)
{
    csv_comma(csv);
    bool quote = cell.size == 0 || strchr("=+@-", cell.data[0]);
    for (size_t i = 0; i < cell.size; i++) quote = quote || strchr(",\"\r\n", cell.data[i]);
    if (!quote) {
        buf_add_str(csv, cell);
        return;
    }
    buf_add_char(csv, '"');
    /* a spreadsheet would take it for a formula */
    if (cell.size && strchr("=+@-", cell.data[0])) buf_add_char(csv, '\'');
    for (size_t i = 0; i < cell.size; i++) {
        if (cell.data[i] == '"') buf_add_char(csv, '"');
        buf_add_char(csv, cell.data[i]);
    }
    buf_add_char(csv, '"');
}

void csv_text(buf *csv, const char *cell) { csv_cell(csv, str_of(cell)); }

void csv_number(buf *csv, bool exists, double x)
{
    csv_comma(csv);
    assert(!exists || isfinite(x));
    if (exists) buf_printf(csv, "%.17g", x);
    else buf_add_text(csv, "\"\"");
}

void csv_end(buf *csv) { buf_add_text(csv, "\r\n"); }
