/* texts_figure: the measures of likeness, arm by arm: a panel a measure, names at the left. */
#include "view/plot_in.h"
#include "view/texts_in.h"

#include <math.h>
#include <stdio.h>

enum { ROW = 16, TOP = 18, NAMES = 118, GAP = 16, FOOT = 26, PANELS = 3 };
static const alike_measure drawn[PANELS] = {ALIKE_ROUGE_L, ALIKE_BLEU, ALIKE_CHRF};

/* From 0, so that lengths can be compared, to a little above the highest. */
static panel panel_of(const texts *t, const figure *f, int32_t k)
{
    double room = (f->width - NAMES - PANELS * GAP) / PANELS, top = 0;
    for (int32_t i = 0; i < t->found.n_arm; i++) {
        const stat_estimate *o = &t->found.arm[i].measure[drawn[k]];
        top = fmax(top, o->has_interval ? o->high : o->value);
    }
    if (top <= 0) top = alike_decimals(drawn[k]) == 3 ? 1 : 100;
    return (panel){.x = NAMES + k * (room + GAP),
                   .y = TOP,
                   .width = room,
                   .height = (double)t->found.n_arm * ROW,
                   .left = 0,
                   .right = 1.05 * top,
                   .bottom = 0,
                   .top = 1};
}

static void draw_row(figure *f, const panel *q, const stat_estimate *o, int32_t k)
{
    double y = q->y + k * ROW + 10;
    figure_style s = {.ink = figure_series(k), .width = 1};
    if (!o->has_value) return;
    if (o->has_interval) {
        double low = panel_x(q, o->low), high = panel_x(q, o->high);
        figure_line(f, low, y, high, y, s);
        figure_line(f, low, y - 2, low, y + 2, s);
        figure_line(f, high, y - 2, high, y + 2, s);
    }
    figure_mark(f, panel_x(q, o->value), y, 5, k, s.ink);
}

static void add_points(buf *csv, const texts *t)
{
    buf_add_text(csv, "arm,measure,value,low,high\r\n");
    for (int32_t i = 0; i < t->found.n_arm; i++) {
        for (int32_t k = 0; k < PANELS; k++) {
            const stat_estimate *o = &t->found.arm[i].measure[drawn[k]];
            csv_text(csv, texts_arm_name(t, i));
            csv_text(csv, alike_name(drawn[k]));
            csv_number(csv, o->has_value, o->value);
            csv_number(csv, o->has_interval, o->low);
            csv_number(csv, o->has_interval, o->high);
            csv_end(csv);
        }
    }
}

static void say_points(buf *b, const texts *t)
{
    buf_add_text(b, "ROUGE-L, BLEU and chrF of each arm.");
    for (int32_t i = 0; i < t->found.n_arm; i++) {
        buf_printf(b, " %s", texts_arm_name(t, i));
        for (int32_t k = 0; k < PANELS; k++) {
            buf_printf(b, "%s %s ", k ? "," : ":", alike_name(drawn[k]));
            evidence_add(b, &t->found.arm[i].measure[drawn[k]], alike_decimals(drawn[k]));
        }
        buf_add_char(b, i + 1 < t->found.n_arm ? ';' : '.');
    }
}

bool plot_likeness(plot *p, const evidence *v, err *e)
{
    (void)e;
    const texts *t = v->likeness;
    figure *f = &p->figure;
    f->height = TOP + t->found.n_arm * ROW + FOOT;
    for (int32_t i = 0; i < t->found.n_arm; i++) {
        buf name = buf_up_to(1 << 16);
        figure_text_fit(f, str_of(texts_arm_name(t, i)), 7.5, NAMES - 8, &name);
        figure_text(f, (figure_words){.x = 2, .y = TOP + i * ROW + 12.5}, buf_view(&name));
        buf_close(&name);
    }
    for (int32_t k = 0; k < PANELS; k++) {
        panel q = panel_of(t, f, k);
        panel_axis axis = panel_marks(q.left, q.right, 5);
        panel_frame(f, &q);
        axis.name = alike_name(drawn[k]);
        panel_axis_x(f, &q, axis);
        for (int32_t i = 0; i < t->found.n_arm; i++)
            draw_row(f, &q, &t->found.arm[i].measure[drawn[k]], i);
    }
    buf_add_text(&p->title, "Likeness to the references");
    buf_printf(&p->caption,
               "ROUGE-L, BLEU and chrF of each arm's texts against their references, with 95 %% "
               "intervals (bootstrap of %s).",
               t->found.by_patient ? "patients" : "rows");
    say_points(&p->description, t);
    add_points(&p->csv, t);
    return true;
}
