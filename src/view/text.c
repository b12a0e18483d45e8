/* text: see text.h. Column widths count characters as a terminal shows them: most of CJK take two.
 */
#include "view/text.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

enum { PLOT_WIDTH = 41, PLOT_HEIGHT = 17, CURVES_MAX = 6, NAME_MAX_COLUMNS = 28 };

static const char *const colours[CURVES_MAX] = {"\x1b[34m", "\x1b[33m", "\x1b[32m",
                                                "\x1b[35m", "\x1b[36m", "\x1b[31m"};
static const char marks[CURVES_MAX] = {'o', 'x', '+', '*', '#', '%'};

static void paint(buf *out, text_style style, int32_t k)
{
    if (style.colour) buf_add_text(out, k < 0 ? "\x1b[0m" : colours[k % CURVES_MAX]);
}

/* The code point at s[i] and its bytes; malformed bytes count as one. */
static uint32_t code_at(const char *s, int *bytes)
{
    const unsigned char *u = (const unsigned char *)s;
    *bytes = 1;
    if (u[0] >= 0xC0 && (u[1] & 0xC0) == 0x80) {
        if (u[0] < 0xE0) return *bytes = 2, (u[0] & 31u) << 6 | (u[1] & 63u);
        if ((u[2] & 0xC0) == 0x80) {
            if (u[0] < 0xF0)
                return *bytes = 3, (u[0] & 15u) << 12 | (u[1] & 63u) << 6 | (u[2] & 63u);
            if ((u[3] & 0xC0) == 0x80) return *bytes = 4, 0x20000;
        }
    }
    return u[0];
}

static int columns_of(uint32_t c)
{
    bool wide = (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) ||
                (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) ||
                (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) || c >= 0x1F300;
    return wide ? 2 : 1;
}

static int text_columns(const char *s)
{
    int columns = 0;
    for (int bytes; *s; s += bytes) columns += columns_of(code_at(s, &bytes));
    return columns;
}

/* The name in exactly `width` columns: padded, or cut with "..". Control characters become '?'. */
static void add_name(buf *out, const char *name, int width)
{
    int used = 0, whole = text_columns(name), room = whole > width ? width - 2 : width;
    for (int bytes; *name; name += bytes) {
        uint32_t c = code_at(name, &bytes);
        if (used + columns_of(c) > room) break;
        if (c < 32 || c == 127) buf_add_char(out, '?');
        else buf_add(out, name, (size_t)bytes);
        used += columns_of(c);
    }
    if (whole > width) buf_add_text(out, ".."), used += 2;
    while (used++ < width) buf_add_char(out, ' ');
}

static int name_width(const report_input *in)
{
    int width = 4;
    for (int32_t k = 0; k < in->stats->n_arm; k++) {
        int w = text_columns(in->arm[k].name);
        width = w > width ? w : width;
    }
    return width < NAME_MAX_COLUMNS ? width : NAME_MAX_COLUMNS;
}

/* A number of `width` columns, or a dash. */
static void add_cell(buf *out, bool exists, double value, int width, int decimals)
{
    if (exists) buf_printf(out, "%*.*f", width, decimals, value);
    else buf_printf(out, "%*s", width, "-");
}

static void add_auroc(buf *out, const stat_estimate *o)
{
    add_cell(out, o->has_value, o->value, 7, 3);
    if (o->has_interval) buf_printf(out, "  %.3f to %.3f", o->low, o->high);
    else buf_printf(out, "  %14s", "");
}

void text_arms(const report_input *in, text_style style, buf *out)
{
    const verdict *r = in->stats;
    int width = name_width(in);
    bool binary = r->positive >= 0;
    char interval[32] = "";
    if (binary) snprintf(interval, sizeof interval, "%.0f %% interval", 100 * r->level);
    add_name(out, "arm", width);
    buf_printf(out, "%8s%8s%7s  %-14s%7s%7s%9s\n", "texts", binary ? "events" : "classes",
               binary ? "AUROC" : "macro", interval, binary ? "Brier" : "right", "mass", "texts/s");
    for (int32_t k = 0; k < r->n_arm; k++) {
        const verdict_arm *s = &r->arm[k];
        paint(out, style, k);
        add_name(out, in->arm[k].name, width);
        paint(out, style, -1);
        buf_printf(out, "%8lld%8lld", (long long)r->n,
                   (long long)(binary ? r->events : r->n_class));
        add_auroc(out, binary ? &s->auroc.logit : &s->macro_auroc);
        const stat_estimate *last = binary ? &s->brier : &s->accuracy;
        add_cell(out, last->has_value, last->value, 7, 3);
        add_cell(out, r->n > 0 && !in->arm[k].baseline, s->mass_median, 7, 3);
        add_cell(out, in->arm[k].texts_per_s > 0, in->arm[k].texts_per_s, 9, 2);
        buf_add_char(out, '\n');
    }
    for (int32_t k = 0; k < r->n_arm; k++) {
        const stat_estimate *o = binary ? &r->arm[k].auroc.logit : &r->arm[k].macro_auroc;
        if (o->status == STAT_OK) continue;
        buf_printf(out, "note: %s: %s (%s)\n", in->arm[k].name,
                   o->has_value ? "the AUROC's interval is rough" : "AUROC not estimable",
                   stat_status_reason(o->status));
    }
}

/* --- ROC --- */

typedef struct plot {
    int8_t cell[PLOT_HEIGHT][PLOT_WIDTH]; /* 0 empty, -1 chance, k + 1 curve k */
} plot;

static void put(plot *p, double fpr, double tpr, int8_t what)
{
    int x = (int)lround(fpr * (PLOT_WIDTH - 1)), y = (int)lround((1 - tpr) * (PLOT_HEIGHT - 1));
    p->cell[y][x] = what;
}

/* Along a stretch, so that no column or line is skipped. */
static void put_line(plot *p, const double from[2], const double to[2], int8_t what)
{
    for (int i = 0; i <= 80; i++) {
        double f = i / 80.0;
        put(p, from[0] + f * (to[0] - from[0]), from[1] + f * (to[1] - from[1]), what);
    }
}

static bool plot_curves(const report_input *in, arena *scratch, plot *p, err *e)
{
    const double origin[2] = {0, 0}, corner[2] = {1, 1};
    const verdict *r = in->stats;
    put_line(p, origin, corner, -1);
    int32_t n = r->n_arm < CURVES_MAX ? r->n_arm : CURVES_MAX;
    for (int32_t k = n - 1; k >= 0; k--) { /* the first arm lies on top */
        size_t mark = arena_mark(scratch);
        rank_roc c;
        if (!rank_roc_take(r->arm[k].score, r->arm[k].positive, r->n, scratch, &c, e)) return false;
        for (int64_t i = 1; i < c.n_point; i++) {
            double a[2] = {rank_roc_fpr(&c, i - 1), rank_roc_tpr(&c, i - 1)};
            double b[2] = {rank_roc_fpr(&c, i), rank_roc_tpr(&c, i)};
            put_line(p, a, b, (int8_t)(k + 1));
        }
        arena_reset(scratch, mark);
    }
    return true;
}

static void add_plot_row(const plot *p, int y, text_style style, buf *out)
{
    buf_printf(out, "%5s ",
               y == 0                 ? "1.0"
               : y == PLOT_HEIGHT / 2 ? "0.5"
               : y == PLOT_HEIGHT - 1 ? "0.0"
                                      : "");
    buf_add_text(out, style.ascii ? "|" : "│");
    int now = 0;
    for (int x = 0; x < PLOT_WIDTH; x++) {
        int what = p->cell[y][x];
        if (what != now && now > 0) paint(out, style, -1);
        if (what != now && what > 0) paint(out, style, what - 1);
        if (what > 0) buf_add_char(out, marks[what - 1]);
        else buf_add_text(out, what == 0 ? " " : style.ascii ? "." : "·");
        now = what;
    }
    if (now > 0) paint(out, style, -1);
    buf_add_char(out, '\n');
}

bool text_roc(const report_input *in, text_style style, arena *scratch, buf *out, err *e)
{
    const verdict *r = in->stats;
    if (r->positive < 0 || !r->arm[0].auroc.logit.has_value) return true;
    plot p = {0};
    if (!plot_curves(in, scratch, &p, e)) return false;
    buf_add_text(out, "sensitivity\n");
    for (int y = 0; y < PLOT_HEIGHT; y++) add_plot_row(&p, y, style, out);
    buf_printf(out, "%5s %s", "", style.ascii ? "+" : "└");
    for (int x = 0; x < PLOT_WIDTH; x++) buf_add_text(out, style.ascii ? "-" : "─");
    buf_printf(out, "\n%6s 0.0%*s%*s\n", "", PLOT_WIDTH / 2 + 1, "1 - specificity",
               PLOT_WIDTH / 2 - 3, "1.0");
    for (int32_t k = 0; k < r->n_arm && k < CURVES_MAX; k++) {
        buf_printf(out, "%6s ", "");
        paint(out, style, k);
        buf_add_char(out, marks[k]);
        paint(out, style, -1);
        buf_add_char(out, ' ');
        add_name(out, in->arm[k].name, name_width(in));
        add_auroc(out, &r->arm[k].auroc.logit);
        buf_add_char(out, '\n');
    }
    return true;
}

/* --- forest --- */

void text_forest(const report_input *in, text_style style, buf *out)
{
    const verdict *r = in->stats;
    if (r->positive < 0) return;
    int total = style.width ? style.width : 80, width = name_width(in);
    assert(total >= 40);
    int side = total - width - 10 > 60 ? 60 : total - width - 10;
    if (side < 20) side = 20;
    int half = (int)lround(0.5 * (side - 1));
    for (int32_t k = 0; k < r->n_arm; k++) {
        const stat_estimate *o = &r->arm[k].auroc.logit;
        add_name(out, in->arm[k].name, width);
        buf_add_text(out, "  ");
        int low = o->has_interval ? (int)lround(o->low * (side - 1)) : -1;
        int high = o->has_interval ? (int)lround(o->high * (side - 1)) : -2;
        int at = o->has_value ? (int)lround(o->value * (side - 1)) : -1;
        for (int x = 0; x < side; x++) {
            bool in_bar = x >= low && x <= high;
            if (x == at || in_bar) paint(out, style, k);
            if (x == at) buf_add_text(out, style.ascii ? "o" : "●");
            else if (in_bar) buf_add_text(out, style.ascii ? "-" : "─");
            else buf_add_text(out, x == half ? (style.ascii ? ":" : "┊") : " ");
            if (x == at || in_bar) paint(out, style, -1);
        }
        add_cell(out, o->has_value, o->value, 7, 3);
        buf_add_char(out, '\n');
    }
    buf_printf(out, "%*s0%*s0.5%*s1\n", width + 2, "", half - 2, "", side - half - 3, "");
}
