/* report_figure: the report's SVG figures. All are drawn on a canvas about 360 units wide, so that
 * their text stays readable when a phone shows one unit as one pixel. */
#include "view/report_in.h"

#include <assert.h>
#include <math.h>

static const char *const dashes[] = {"none", "7 3", "2 3", "9 3 2 3", "14 4", "4 2 1 2"};

static void add_class_and_dash(buf *b, int32_t k)
{
    buf_printf(b, "class=\"curve k%d\" stroke-dasharray=\"%s\"", (int)(k % REPORT_COLOURS),
               dashes[(size_t)k % countof(dashes)]);
}

void report_add_key(buf *b, int32_t k)
{
    buf_add_text(b, "<svg viewBox=\"0 0 40 10\" aria-hidden=\"true\"><path d=\"M1 5H39\" ");
    add_class_and_dash(b, k);
    buf_add_text(b, "/></svg>");
}

/* --- ROC --- */

enum { ROC_LEFT = 44, ROC_TOP = 8, ROC_SIDE = 300, ROC_WIDTH = 360, ROC_HEIGHT = 352 };

static double roc_x(double fpr) { return ROC_LEFT + fpr * ROC_SIDE; }
static double roc_y(double tpr) { return ROC_TOP + (1 - tpr) * ROC_SIDE; }

static void add_roc_axes(buf *b)
{
    for (int i = 0; i <= 5; i++) {
        double at = i / 5.0;
        if (i > 0 && i < 5) {
            buf_printf(b, "<path class=\"grid\" d=\"M%.1f %dV%dM%d %.1fH%d\"/>", roc_x(at), ROC_TOP,
                       ROC_TOP + ROC_SIDE, ROC_LEFT, roc_y(at), ROC_LEFT + ROC_SIDE);
        }
        buf_printf(b, "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.1f</text>",
                   roc_x(at), ROC_TOP + ROC_SIDE + 16, at);
        buf_printf(b, "<text class=\"soft\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.1f</text>",
                   ROC_LEFT - 6, roc_y(at) + 4, at);
    }
    buf_printf(b, "<path class=\"chance\" d=\"M%d %dL%d %d\"/>", ROC_LEFT, ROC_TOP + ROC_SIDE,
               ROC_LEFT + ROC_SIDE, ROC_TOP);
    buf_printf(b, "<path class=\"axis\" d=\"M%d %dh%dv%dh-%dz\"/>", ROC_LEFT, ROC_TOP, ROC_SIDE,
               ROC_SIDE, ROC_SIDE);
    buf_printf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">1 − specificity</text>",
               ROC_LEFT + ROC_SIDE / 2, ROC_HEIGHT - 10);
    buf_printf(b,
               "<text x=\"12\" y=\"%d\" text-anchor=\"middle\" transform=\"rotate(-90 12 %d)\">"
               "sensitivity</text>",
               ROC_TOP + ROC_SIDE / 2, ROC_TOP + ROC_SIDE / 2);
}

/* Points nearer than half a unit to the last drawn one are left out: nobody can see them. */
static void add_curve(buf *b, const rank_roc *c, int32_t k)
{
    double last_x = roc_x(0), last_y = roc_y(0);
    buf_printf(b, "<path ");
    add_class_and_dash(b, k);
    buf_printf(b, " d=\"M%.1f %.1f", last_x, last_y);
    for (int64_t i = 1; i < c->n_point; i++) {
        double x = roc_x(rank_roc_fpr(c, i)), y = roc_y(rank_roc_tpr(c, i));
        if (i + 1 < c->n_point && fabs(x - last_x) < 0.5 && fabs(y - last_y) < 0.5) continue;
        buf_printf(b, "L%.1f %.1f", x, y);
        last_x = x;
        last_y = y;
    }
    buf_add_text(b, "\"/>");
}

bool report_add_roc(const report_input *in, arena *scratch, buf *b, err *e)
{
    const verdict *r = in->stats;
    buf_printf(b, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"ROC curves of the arms\">",
               ROC_WIDTH, ROC_HEIGHT);
    add_roc_axes(b);
    for (int32_t k = 0; k < r->n_arm && k < REPORT_CURVES_MAX; k++) {
        size_t mark = arena_mark(scratch);
        rank_roc c;
        if (!rank_roc_take(r->arm[k].score, r->arm[k].positive, r->n, scratch, &c, e)) return false;
        if (c.n_point > 0) add_curve(b, &c, k);
        arena_reset(scratch, mark);
    }
    buf_add_text(b, "</svg>");
    return true;
}

/* --- forest of AUROCs --- */

enum { FOREST_WIDTH = 360, FOREST_LEFT = 8, FOREST_RIGHT = 352, FOREST_ROW = 40, FOREST_TOP = 6 };

typedef struct forest_axis {
    double low, high;
} forest_axis;

static double forest_x(forest_axis a, double v)
{
    return FOREST_LEFT + (v - a.low) / (a.high - a.low) * (FOREST_RIGHT - FOREST_LEFT);
}

/* A tenth on each side of what is to be shown, always with 0.5 inside. */
static forest_axis forest_range(const verdict *r)
{
    forest_axis a = {0.45, 0.85};
    for (int32_t k = 0; k < r->n_arm; k++) {
        const stat_estimate *o = &r->arm[k].auroc.logit;
        if (!o->has_value) continue;
        a.low = fmin(a.low, o->has_interval ? o->low : o->value);
        a.high = fmax(a.high, o->has_interval ? o->high : o->value);
    }
    a.low = fmax(0, floor(a.low * 10 - 0.2) / 10);
    a.high = fmin(1, ceil(a.high * 10 + 0.2) / 10);
    return a;
}

static void add_forest_row(const report_input *in, forest_axis a, int32_t k, buf *b)
{
    const stat_estimate *o = &in->stats->arm[k].auroc.logit;
    int colour = (int)(k % REPORT_COLOURS);
    double y = FOREST_TOP + (double)k * FOREST_ROW;
    buf_printf(b, "<text x=\"%d\" y=\"%.0f\">", FOREST_LEFT, y + 13);
    str name = str_of(in->arm[k].name);
    size_t shown = name.size; /* long names are cut at a character; the table has them whole */
    if (shown > 30) {
        shown = 29;
        while (shown > 0 && ((unsigned char)name.data[shown] & 0xC0) == 0x80) shown--;
    }
    buf_add_html(b, str_part(name, 0, shown));
    buf_add_text(b, shown < name.size ? "…</text>" : "</text>");
    buf_printf(b, "<text x=\"%d\" y=\"%.0f\" text-anchor=\"end\">", FOREST_RIGHT, y + 13);
    if (o->has_value) {
        buf_printf(b, "%.3f", o->value);
        if (o->has_interval) buf_printf(b, " (%.3f to %.3f)", o->low, o->high);
    } else {
        buf_add_text(b, "not estimable");
    }
    buf_add_text(b, "</text>");
    if (!o->has_value) return;
    if (o->has_interval) {
        double from = forest_x(a, o->low), to = forest_x(a, o->high);
        buf_printf(b, "<path class=\"curve k%d\" d=\"M%.1f %.0fH%.1fM%.1f %.0fv8M%.1f %.0fv8\"/>",
                   colour, from, y + 25, to, from, y + 21, to, y + 21);
    }
    buf_printf(b, "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.0f\" r=\"4.5\"/>", colour,
               forest_x(a, o->value), y + 25);
}

void report_add_forest(const report_input *in, buf *b)
{
    const verdict *r = in->stats;
    forest_axis a = forest_range(r);
    double bottom = FOREST_TOP + (double)r->n_arm * FOREST_ROW;
    buf_printf(b,
               "<svg viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"AUROC of each arm with its "
               "interval\">",
               FOREST_WIDTH, bottom + 24);
    for (double v = a.low; v < a.high + 0.05; v += 0.1) {
        double x = forest_x(a, v);
        const char *anchor = x < FOREST_LEFT + 9    ? "start"
                             : x > FOREST_RIGHT - 9 ? "end"
                                                    : "middle";
        buf_printf(b, "<path class=\"%s\" d=\"M%.1f %dV%.0f\"/>",
                   fabs(v - 0.5) < 0.01 ? "chance" : "grid", x, FOREST_TOP, bottom + 4);
        buf_printf(b, "<text class=\"soft\" x=\"%.1f\" y=\"%.0f\" text-anchor=\"%s\">%.1f</text>",
                   x, bottom + 18, anchor, v);
    }
    for (int32_t k = 0; k < r->n_arm; k++) add_forest_row(in, a, k, b);
    buf_add_text(b, "</svg>");
}

/* --- score distributions --- */

enum { BINS = 32, HIST_WIDTH = 360, HIST_LEFT = 6, HIST_SIDE = 348, HIST_MID = 78, HIST_TALL = 66 };

typedef struct histogram {
    double low, high;
    double share[2][BINS]; /* negatives, positives */
    double tallest;
} histogram;

/* From the 0.5th to the 99.5th percentile of the finite scores; the end bins take what lies beyond.
 */
static bool count_bins(const verdict_arm *s, int64_t n, arena *scratch, histogram *h, err *e)
{
    size_t mark = arena_mark(scratch);
    double *x = arena_take(scratch, (size_t)n, sizeof *x, e);
    if (!x) return false;
    int64_t n_finite = 0, of_class[2] = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        if (isfinite(s->score[i])) x[n_finite++] = s->score[i];
        of_class[s->positive[i]]++;
    }
    if (!stat_sort(x, n_finite, scratch, e)) return false;
    *h = (histogram){.low = -1, .high = 1};
    if (n_finite > 0) {
        h->low = stat_quantile(x, n_finite, 0.005);
        h->high = stat_quantile(x, n_finite, 0.995);
    }
    arena_reset(scratch, mark);
    if (h->high - h->low < 1e-9) h->low -= 0.5, h->high += 0.5;
    for (int64_t i = 0; i < n; i++) {
        double at = (s->score[i] - h->low) / (h->high - h->low) * BINS;
        int bin = at <= 0 ? 0 : at >= BINS ? BINS - 1 : (int)at;
        h->share[s->positive[i]][bin] += 1.0 / (double)of_class[s->positive[i]];
    }
    for (int i = 0; i < 2 * BINS; i++) h->tallest = fmax(h->tallest, h->share[i / BINS][i % BINS]);
    return true;
}

/* A step of 1, 2 or 5 times a power of ten that gives at most six marks. */
static double tick_step(double range)
{
    double step = pow(10, floor(log10(range / 6)));
    if (range / step > 30) return step * 10;
    if (range / step > 12) return step * 5;
    return range / step > 6 ? step * 2 : step;
}

static void add_hist_axis(buf *b, const histogram *h)
{
    double range = h->high - h->low, step = tick_step(range);
    int decimals = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
    buf_printf(b, "<path class=\"axis\" d=\"M%d %dh%d\"/>", HIST_LEFT, HIST_MID, HIST_SIDE);
    for (double v = ceil(h->low / step) * step; v <= h->high; v += step) {
        double x = HIST_LEFT + (v - h->low) / range * HIST_SIDE;
        const char *anchor = x < HIST_LEFT + 12               ? "start"
                             : x > HIST_LEFT + HIST_SIDE - 12 ? "end"
                                                              : "middle";
        buf_printf(b, "<path class=\"grid\" d=\"M%.1f %dV%d\"/>", x, HIST_MID - HIST_TALL,
                   HIST_MID + HIST_TALL);
        buf_printf(b, "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s%.*f</text>",
                   x, HIST_MID + HIST_TALL + 14, anchor, v < -step / 2 ? "−" : "", decimals,
                   fabs(v) < step / 2 ? 0.0 : fabs(v));
    }
}

bool report_add_scores(const report_input *in, int32_t arm, arena *scratch, buf *b, err *e)
{
    const verdict_arm *s = &in->stats->arm[arm];
    histogram h;
    if (!count_bins(s, in->stats->n, scratch, &h, e)) return false;
    buf_printf(b, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Scores of both classes\">",
               HIST_WIDTH, HIST_MID + HIST_TALL + 20);
    add_hist_axis(b, &h);
    double wide = (double)HIST_SIDE / BINS;
    for (int c = 0; c < 2; c++) {
        for (int i = 0; i < BINS; i++) {
            double tall = h.tallest > 0 ? h.share[c][i] / h.tallest * HIST_TALL : 0;
            if (tall <= 0) continue;
            buf_printf(b,
                       "<rect class=\"%s\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
                       c ? "pos" : "neg", HIST_LEFT + i * wide + 0.5,
                       c ? HIST_MID - tall : HIST_MID + 0.0, wide - 1, tall);
        }
    }
    buf_add_text(b, "</svg>");
    return true;
}
