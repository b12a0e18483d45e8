/* plot_frontier: size against quality: memory of each arm's model, and its AUROC. */
#include "view/frontier.h"
#include "view/plot_in.h"

#include <math.h>

enum { HEIGHT = 150, LEFT = 30, LINE = 10 };

static double gb(const frontier_arm *a)
{
    int64_t bytes = a->bytes_peak > 0 ? a->bytes_peak : a->bytes_planned;
    return (double)bytes / 1e9;
}

/* The panel's edges: from 0 GB to above the largest, around all intervals. */
static panel find_panel(const frontier *f, const evidence *v, double width)
{
    panel p = {.x = LEFT, .y = 6, .width = width - LEFT - 6, .height = HEIGHT};
    double most = 0, low = 1, high = 0;
    for (int32_t i = 0; i < f->n; i++) {
        const stat_estimate *o = &v->arm[f->arm[i].arm].auroc->logit;
        most = fmax(most, gb(&f->arm[i]));
        if (!o->has_value) continue;
        low = fmin(low, o->has_interval ? o->low : o->value);
        high = fmax(high, o->has_interval ? o->high : o->value);
    }
    p.right = most > 0 ? 1.1 * most : 1;
    if (low > high) low = 0.5, high = 1;
    p.bottom = fmax(0, floor(20 * (low - 0.02)) / 20);
    p.top = fmin(1, ceil(20 * (high + 0.02)) / 20);
    if (p.top - p.bottom < 0.1) p.top = p.bottom + 0.1;
    return p;
}

static void draw_arm(plot *p, const panel *q, const frontier *f, const evidence *v, int32_t i)
{
    const frontier_arm *a = &f->arm[i];
    const stat_estimate *o = &v->arm[a->arm].auroc->logit;
    const figure_ink ink = figure_series(i);
    if (o->has_value && gb(a) > 0) {
        double x = panel_x(q, gb(a));
        if (o->has_interval)
            figure_line(&p->figure, x, panel_y(q, o->low), x, panel_y(q, o->high),
                        (figure_style){.ink = ink, .width = 0.7});
        figure_mark(&p->figure, x, panel_y(q, o->value), 2.6, i, ink);
    }
    buf value = buf_up_to(200);
    if (gb(a) > 0) buf_printf(&value, "%.2f GB  ", gb(a));
    if (o->has_value) buf_printf(&value, "%.3f", o->value);
    else buf_add_text(&value, "not estimable");
    legend_add(&p->figure, q->y + q->height + 30 + i * LEGEND_ROW, p->figure.width,
               (legend_line){.name = v->g->in.arm[a->arm].name,
                             .series = i,
                             .mark = i,
                             .value = buf_view(&value).data});
    buf_close(&value);
    csv_text(&p->csv, v->g->in.arm[a->arm].name);
    csv_text(&p->csv, a->model);
    csv_text(&p->csv, a->numbers);
    csv_number(&p->csv, a->bits > 0, a->bits);
    csv_number(&p->csv, a->bytes_planned > 0, (double)a->bytes_planned);
    csv_number(&p->csv, a->bytes_peak > 0, (double)a->bytes_peak);
    csv_number(&p->csv, a->tokens_per_second > 0, a->tokens_per_second);
    csv_number(&p->csv, o->has_value, o->value);
    csv_number(&p->csv, o->has_interval, o->low);
    csv_number(&p->csv, o->has_interval, o->high);
    csv_end(&p->csv);
}

bool plot_frontier(plot *p, const evidence *v, err *e)
{
    frontier f;
    if (!frontier_make(&f, v, e)) return false;
    panel q = find_panel(&f, v, p->figure.width);
    buf_add_text(&p->title, "Size against quality");
    buf_add_text(&p->csv, "arm,model,numbers,bits,bytes_planned,bytes_measured,tokens_per_second,"
                          "auroc,low,high\r\n");
    panel_frame(&p->figure, &q);
    p->figure.height = q.y + q.height + 30 + f.n * LEGEND_ROW + 4;
    if (f.n == 0) panel_nothing(&p->figure, &q, "the study has one model");
    panel_axis x = panel_marks(0, q.right, 6), y = panel_marks(q.bottom, q.top, 6);
    x.name = "memory measured (GB)";
    y.name = "AUROC";
    if (f.n > 0) panel_axis_x(&p->figure, &q, x), panel_axis_y(&p->figure, &q, y);
    buf_add_text(&p->description, "AUROC and memory of the arms:");
    for (int32_t i = 0; i < f.n; i++) {
        draw_arm(p, &q, &f, v, i);
        buf_printf(&p->description, "%s %s ", i ? ";" : "", v->g->in.arm[f.arm[i].arm].name);
        evidence_add(&p->description, &v->arm[f.arm[i].arm].auroc->logit, 3);
        buf_printf(&p->description, " in %.2f GB", gb(&f.arm[i]));
    }
    buf_add_char(&p->description, '.');
    buf_printf(&p->caption,
               "Size against quality: AUROC with %.0f %% intervals of each arm, and the highest "
               "memory of the program while it ran (10^9 bytes).",
               100 * v->g->stats.level);
    return true;
}
