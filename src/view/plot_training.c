/* plot_training: loss and tune AUROC by update, a row of panels an arm, a line a seed; and the
 * learning curve, AUROC against the number of training rows. */
#include "view/plot_in.h"
#include "view/trainings.h"

#include <math.h>
#include <stdio.h>

enum { LEFT = 36, GAP = 12, HEAD = 14, TALL = 88, AXIS = 32, FAMILIES = 12, SEEDS = 12 };

static const char *arm_name(const evidence *v, int32_t k) { return v->g->in.arm[k].name; }

typedef struct family { /* trainings that differ in their seed alone */
    const training_curve *of[SEEDS];
    int32_t n, n_all;
} family;

static bool is_first(const trainings *t, int32_t i)
{
    for (int32_t k = 0; k < i; k++) {
        if (str_equal(t->curve[k].family, t->curve[i].family)) return false;
    }
    return true;
}

static family family_of(const trainings *t, int32_t i)
{
    family f = {0};
    for (int32_t k = i; k < t->n; k++) {
        if (!str_equal(t->curve[k].family, t->curve[i].family)) continue;
        f.n_all++;
        if (f.n < SEEDS) f.of[f.n++] = &t->curve[k];
    }
    return f;
}

static void add_csv(plot *p, const evidence *v, const training_curve *c, int kind)
{
    static const char *const what[] = {"loss", "tune loss", "tune AUROC"};
    const int32_t n = kind == 0 ? c->n_loss : c->n_evaluation;
    for (int32_t i = 0; i < n; i++) {
        const training_point *q = kind == 0 ? &c->loss[i] : &c->evaluation[i];
        if (kind == 2 && isnan(q->auroc)) continue;
        csv_text(&p->csv, arm_name(v, c->arm));
        csv_number(&p->csv, true, (double)c->n_row);
        csv_number(&p->csv, true, (double)c->seed);
        csv_text(&p->csv, what[kind]);
        csv_number(&p->csv, true, q->update);
        csv_number(&p->csv, true, kind == 2 ? q->auroc : q->loss);
        csv_text(&p->csv, kind > 0 && i == c->kept ? "yes" : "no");
        csv_end(&p->csv);
    }
}

/* Edges around all points of the family; false: there is none. */
static bool set_edges(panel *q, const family *f, bool auroc)
{
    double low = INFINITY, high = -INFINITY;
    q->right = 1;
    for (int32_t i = 0; i < f->n; i++) {
        const training_curve *c = f->of[i];
        q->right = fmax(q->right, (double)c->updates);
        for (int32_t k = 0; !auroc && k < c->n_loss; k++) {
            low = fmin(low, c->loss[k].loss);
            high = fmax(high, c->loss[k].loss);
            q->right = fmax(q->right, c->loss[k].update);
        }
        for (int32_t k = 0; k < c->n_evaluation; k++) {
            const training_point *x = &c->evaluation[k];
            low = fmin(low, auroc ? x->auroc : x->loss); /* passes over NaN */
            high = fmax(high, auroc ? x->auroc : x->loss);
            q->right = fmax(q->right, x->update);
        }
    }
    if (low > high) return false;
    const double room = fmax(0.08 * (high - low), 1e-3 + 1e-3 * fabs(high));
    q->bottom = low >= 0 ? fmax(0, low - room) : low - room;
    q->top = auroc ? fmin(1, high + room) : high + room;
    if (q->top - q->bottom < 1e-3) q->bottom = q->top - 0.05;
    return true;
}

static void draw_points(figure *f, const panel *q, const training_point *at, int32_t n, bool auroc,
                        figure_style s)
{
    for (int32_t i = 1; i < n; i++) {
        double y0 = auroc ? at[i - 1].auroc : at[i - 1].loss, y1 = auroc ? at[i].auroc : at[i].loss;
        if (isnan(y0) || isnan(y1)) continue;
        figure_line(f, panel_x(q, at[i - 1].update), panel_y(q, y0), panel_x(q, at[i].update),
                    panel_y(q, y1), s);
    }
}

static void draw_evaluations(figure *f, const panel *q, const training_curve *c, int32_t k,
                             bool auroc)
{
    draw_points(f, q, c->evaluation, c->n_evaluation, auroc,
                (figure_style){.ink = figure_series(k), .width = 0.9, .dash = auroc ? k : 2});
    for (int32_t i = 0; i < c->n_evaluation; i++) {
        const training_point *x = &c->evaluation[i];
        double y = auroc ? x->auroc : x->loss;
        if (isnan(y)) continue;
        figure_mark(f, panel_x(q, x->update), panel_y(q, y), i == c->kept ? 5 : 2.4, k,
                    figure_series(k));
    }
}

static void draw_panel(figure *f, panel q, const family *of, bool auroc)
{
    const bool some = set_edges(&q, of, auroc);
    panel_frame(f, &q);
    if (!some) {
        panel_nothing(f, &q, "the adapter was chosen without an AUROC");
        return;
    }
    panel_axis x = panel_marks(0, q.right, 5), y = panel_marks(q.bottom, q.top, 5);
    x.name = "update";
    y.name = auroc ? "AUROC, tune texts" : "loss";
    panel_axis_x(f, &q, x);
    panel_axis_y(f, &q, y);
    for (int32_t k = 0; k < of->n; k++) {
        const training_curve *c = of->of[k];
        if (!auroc)
            draw_points(f, &q, c->loss, c->n_loss, false,
                        (figure_style){.ink = figure_series(k), .width = 0.8});
        draw_evaluations(f, &q, c, k, auroc);
    }
}

static void add_seed(plot *p, const training_curve *c, int32_t k, double y)
{
    char name[80], value[100] = "";
    snprintf(name, sizeof name, "seed %lld, %lld texts", (long long)c->seed, (long long)c->n_row);
    if (c->kept >= 0) {
        const training_point *best = &c->evaluation[c->kept];
        int n = snprintf(value, sizeof value, "update %.0f of %lld kept", best->update,
                         (long long)c->updates);
        if (!isnan(best->auroc))
            snprintf(value + n, sizeof value - (size_t)n, "; AUROC %.3f", best->auroc);
    }
    legend_add(&p->figure, y, p->figure.width,
               (legend_line){.name = name, .series = k, .mark = k, .value = value});
    buf_printf(&p->description, "; %s: loss %.3g to %.3g, %s", name,
               c->n_loss ? c->loss[0].loss : 0, c->n_loss ? c->loss[c->n_loss - 1].loss : 0,
               value[0] ? value : "none kept");
}

static void draw_family(plot *p, const family *of, char letter, double top)
{
    figure *f = &p->figure;
    const double half = f->width / 2, y = top + HEAD;
    buf head = buf_up_to(1 << 16), fit = buf_up_to(1 << 16);
    if (letter) buf_printf(&head, "(%c) ", letter);
    buf_add_str(&head, of->of[0]->family);
    figure_text_fit(f, buf_view(&head), 8, f->width - 4, &fit);
    figure_text(f, (figure_words){.x = 1, .y = top + 9, .size = 8}, buf_view(&fit));
    buf_printf(&p->description, " ");
    buf_add_str(&p->description, of->of[0]->family);
    panel q = {.x = LEFT, .y = y, .width = half - LEFT - GAP, .height = TALL};
    draw_panel(f, q, of, false);
    q.x = half + LEFT;
    q.width = half - LEFT - 6;
    draw_panel(f, q, of, true);
    for (int32_t k = 0; k < of->n; k++) add_seed(p, of->of[k], k, y + TALL + AXIS + k * LEGEND_ROW);
    buf_add_char(&p->description, '.');
    buf_close(&head);
    buf_close(&fit);
}

static void draw_none(plot *p, const char *reason)
{
    panel q = {.x = 4, .y = 4, .width = p->figure.width - 8, .height = 60};
    p->figure.height = 68;
    panel_frame(&p->figure, &q);
    panel_nothing(&p->figure, &q, reason);
    buf_printf(&p->description, " Not estimable: %s.", reason);
}

bool plot_training(plot *p, const evidence *v, err *e)
{
    trainings t;
    if (!trainings_read(&t, v, e)) return false;
    double y = 0;
    int32_t n = 0, n_drawn = 0, left_out = 0;
    buf_add_text(&p->title, "Training by update");
    buf_add_text(&p->description, "Loss and tune AUROC by update.");
    buf_add_text(&p->csv, "arm,training_rows,seed,curve,update,value,kept\r\n");
    for (int32_t i = 0; i < t.n; i++) n += is_first(&t, i);
    for (int32_t i = 0; i < t.n; i++) {
        for (int kind = 0; kind < 3; kind++) add_csv(p, v, &t.curve[i], kind);
        if (!is_first(&t, i)) continue;
        family f = family_of(&t, i);
        left_out += n_drawn < FAMILIES ? f.n_all - f.n : f.n_all;
        if (n_drawn >= FAMILIES) continue;
        draw_family(p, &f, n > 1 ? (char)('a' + n_drawn) : 0, y);
        n_drawn++;
        y += HEAD + TALL + AXIS + f.n * LEGEND_ROW + 4;
    }
    p->figure.height = y;
    if (n == 0) draw_none(p, "no model was tuned");
    buf_add_text(
        &p->caption,
        "Training by update. Left: loss of the training texts (whole lines: mean over the "
        "answer's tokens, of all tokens that could come) and of the tune texts (dotted, with "
        "marks: of the right class among the classes); right: AUROC on the tune texts. A line "
        "a seed; "
        "the large mark is the update that was kept. The judged texts had no part in it.");
    if (left_out > 0) buf_printf(&p->caption, " %d trainings are in the CSV alone.", (int)left_out);
    return true;
}

/* --- learning curve --- */

static bool is_first_base(const trainings *t, int32_t i)
{
    for (int32_t k = 0; k < i; k++) {
        if (str_equal(t->curve[k].base, t->curve[i].base)) return false;
    }
    return true;
}

static panel learning_panel(const trainings *t, const evidence *v, double width)
{
    panel q = {.x = LEFT, .y = 6, .width = width - LEFT - 6, .height = 150};
    double low = 1, high = 0, most = 1;
    for (int32_t i = 0; i < t->n; i++) {
        const stat_estimate *o = trainings_auroc(v, t->curve[i].arm);
        most = fmax(most, (double)t->curve[i].n_row);
        if (!o->has_value) continue;
        low = fmin(low, o->has_interval ? o->low : o->value);
        high = fmax(high, o->has_interval ? o->high : o->value);
    }
    if (low > high) low = 0.5, high = 1;
    q.right = 1.08 * most;
    q.bottom = fmax(0, floor(20 * (low - 0.02)) / 20);
    q.top = fmin(1, ceil(20 * (high + 0.02)) / 20);
    if (q.top - q.bottom < 0.1) q.bottom = fmax(0, q.top - 0.1);
    return q;
}

/* Mean AUROC over the seeds trained on n_row rows; NaN: none is known. */
static double mean_of(const trainings *t, const evidence *v, str base, int64_t n_row)
{
    double sum = 0;
    int32_t n = 0;
    for (int32_t i = 0; i < t->n; i++) {
        const stat_estimate *o = trainings_auroc(v, t->curve[i].arm);
        if (!str_equal(t->curve[i].base, base) || t->curve[i].n_row != n_row || !o->has_value)
            continue;
        sum += o->value;
        n++;
    }
    return n > 0 ? sum / n : (double)NAN;
}

/* The next larger number of rows of that arm; 0: none. */
static int64_t next_size(const trainings *t, str base, int64_t after)
{
    int64_t next = 0;
    for (int32_t i = 0; i < t->n; i++) {
        const int64_t n = t->curve[i].n_row;
        if (str_equal(t->curve[i].base, base) && n > after && (next == 0 || n < next)) next = n;
    }
    return next;
}

static void add_learning_csv(plot *p, const evidence *v, const training_curve *c)
{
    const stat_estimate *o = trainings_auroc(v, c->arm);
    csv_text(&p->csv, arm_name(v, c->arm));
    csv_number(&p->csv, true, (double)c->n_row);
    csv_number(&p->csv, true, (double)c->seed);
    csv_number(&p->csv, o->has_value, o->value);
    csv_number(&p->csv, o->has_interval, o->low);
    csv_number(&p->csv, o->has_interval, o->high);
    csv_end(&p->csv);
}

/* Points of one size stand side by side. */
static void draw_adapters(plot *p, const evidence *v, const panel *q, const trainings *t, str base,
                          int32_t series)
{
    for (int32_t i = 0; i < t->n; i++) {
        const training_curve *c = &t->curve[i];
        const stat_estimate *o = trainings_auroc(v, c->arm);
        int32_t place = 0, n = 0;
        if (!str_equal(c->base, base) || !o->has_value) continue;
        for (int32_t k = 0; k < t->n; k++) {
            if (t->curve[k].n_row != c->n_row) continue;
            place += k < i;
            n++;
        }
        double x = panel_x(q, (double)c->n_row) + 4 * (place - (n - 1) / 2.0);
        if (o->has_interval)
            figure_line(&p->figure, x, panel_y(q, o->low), x, panel_y(q, o->high),
                        (figure_style){.ink = figure_series(series), .width = 0.6});
        figure_mark(&p->figure, x, panel_y(q, o->value), 3, series, figure_series(series));
    }
}

static void draw_base(plot *p, const evidence *v, const panel *q, const trainings *t, str base,
                      int32_t series)
{
    double last_x = 0, last_y = (double)NAN;
    buf_printf(&p->description, " %.*s:", (int)base.size, base.data);
    for (int64_t n = next_size(t, base, 0); n > 0; n = next_size(t, base, n)) {
        const double x = panel_x(q, (double)n), mean = mean_of(t, v, base, n);
        buf_printf(&p->description, " %lld texts ", (long long)n);
        if (isnan(mean)) {
            buf_add_text(&p->description, "not estimable,");
            continue;
        }
        buf_printf(&p->description, "%.3f,", mean);
        if (!isnan(last_y))
            figure_line(&p->figure, last_x, last_y, x, panel_y(q, mean),
                        (figure_style){.ink = figure_series(series), .width = 1, .dash = series});
        last_x = x;
        last_y = panel_y(q, mean);
    }
    draw_adapters(p, v, q, t, base, series);
}

bool plot_learning(plot *p, const evidence *v, err *e)
{
    trainings t;
    int32_t n = 0;
    if (!trainings_read(&t, v, e)) return false;
    buf_add_text(&p->title, "Learning curve");
    buf_add_text(&p->description, "AUROC by number of training texts, mean over seeds.");
    buf_add_text(&p->csv, "arm,training_rows,seed,auroc,low,high\r\n");
    buf_printf(
        &p->caption,
        "Learning curve: AUROC on the judged texts with %.0f %% intervals against the number "
        "of training texts. A mark an adapter (a seed each); the line joins the means over "
        "seeds. %s",
        100 * v->g->stats.level, v->binary ? "" : "Of several classes: the mean over the classes.");
    for (int32_t i = 0; i < t.n; i++) add_learning_csv(p, v, &t.curve[i]);
    if (!t.sizes) {
        draw_none(p, t.n ? "every adapter was trained on the same number of texts"
                         : "no model was tuned");
        return true;
    }
    const panel q = learning_panel(&t, v, p->figure.width);
    panel_axis x = panel_marks(0, q.right, 6), y = panel_marks(q.bottom, q.top, 6);
    x.name = "training texts";
    y.name = "AUROC";
    panel_frame(&p->figure, &q);
    panel_axis_x(&p->figure, &q, x);
    panel_axis_y(&p->figure, &q, y);
    for (int32_t i = 0; i < t.n; i++) {
        if (!is_first_base(&t, i)) continue;
        buf name = buf_up_to(1 << 16);
        buf_add_str(&name, t.curve[i].base);
        draw_base(p, v, &q, &t, t.curve[i].base, n);
        legend_add(&p->figure, q.y + q.height + 32 + n * LEGEND_ROW, p->figure.width,
                   (legend_line){.name = buf_view(&name).data, .series = n, .mark = n});
        n++;
        buf_close(&name);
    }
    p->figure.height = q.y + q.height + 32 + n * LEGEND_ROW + 2;
    return true;
}
