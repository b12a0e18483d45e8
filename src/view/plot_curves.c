/* plot_curves: ROC, precision and recall, calibration, decision curve, scores of both classes. */
#include "view/plot_in.h"
#include "view/small.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

enum { BANDS_MAX = 3, SCORE_BINS = 30, SHARE_BINS = 20 };

static const char *arm_name(const evidence *v, int32_t k) { return v->g->in.arm[k].name; }

static const panel_axis shares = {.step = 0.2, .n = 6, .decimals = 1};

static panel_axis named(panel_axis a, const char *name)
{
    a.name = name;
    return a;
}

/* "1,000 resamples of patients" */
static void say_draws(buf *b, const curve *c)
{
    buf_printf(b, "%lld resamples of %s", (long long)c->n_draw,
               c->by_patient ? "patients" : "texts within their class");
}

static void say_bands(buf *b, const evidence *v, const curve *c)
{
    if (!c->has_band) return;
    buf_printf(b, " Shaded: pointwise %.0f %% band by bootstrap, ", 100 * v->g->stats.level);
    say_draws(b, c);
    if (v->n_drawn > BANDS_MAX) buf_printf(b, ", of %s alone", arm_name(v, v->reference));
    buf_add_char(b, '.');
}

static void say_left_out(buf *b, const evidence *v)
{
    int32_t n = v->g->stats.n_arm;
    if (v->n_drawn == EVIDENCE_CURVES_MAX && n > EVIDENCE_CURVES_MAX)
        buf_printf(b, " The first %d of %d arms are drawn.", (int)v->n_drawn, (int)n);
    for (int32_t k = 0, i = 0; k < n && v->n_drawn < EVIDENCE_CURVES_MAX; k++) {
        if (i < v->n_drawn && v->drawn[i] == k) i++;
        else buf_printf(b, " %s gives every text the same score and is not drawn.", arm_name(v, k));
    }
}

/* What a picture says in words: each arm's estimate. */
static void describe_arms(plot *p, const evidence *v, const char *measure, bool auprc)
{
    for (int32_t i = 0; i < v->n_drawn; i++) {
        int32_t k = v->drawn[i];
        buf_printf(&p->description, "%s %s: %s ", i ? ";" : "", arm_name(v, k), measure);
        evidence_add(&p->description, auprc ? &v->arm[k].auprc : &v->arm[k].auroc->logit, 3);
    }
    buf_add_char(&p->description, '.');
}

static void say_cases(buf *b, const evidence *v)
{
    const verdict *r = &v->g->stats;
    buf_printf(b, " %lld texts, %lld of them %s.", (long long)r->n, (long long)r->events,
               plot_positive(v));
}

/* A square panel above a legend of n lines. */
static panel square_above(figure *f, int32_t n_line)
{
    panel p = {.x = 34, .y = 6, .right = 1, .top = 1};
    p.width = p.height = f->width - p.x - 8;
    f->height = p.y + p.height + 32 + n_line * LEGEND_ROW + 2;
    return p;
}

/* --- ROC --- */

static bool add_roc_points(plot *p, const evidence *v, int32_t k, rank_roc *roc, err *e)
{
    const verdict_arm *s = &v->g->stats.arm[k];
    const curve *c = &v->arm[k].roc;
    if (!rank_roc_take(s->score, s->positive, v->g->stats.n, &v->g->memory, roc, e)) return false;
    for (int64_t i = 0; i < roc->n_point; i++) {
        csv_text(&p->csv, arm_name(v, k));
        csv_text(&p->csv, "curve");
        csv_number(&p->csv, true, rank_roc_fpr(roc, i));
        csv_number(&p->csv, true, rank_roc_tpr(roc, i));
        for (int j = 0; j < 4; j++) csv_number(&p->csv, false, 0);
        csv_end(&p->csv);
    }
    for (int32_t i = 0; i < c->n; i++) {
        csv_text(&p->csv, arm_name(v, k));
        csv_text(&p->csv, "band");
        csv_number(&p->csv, true, c->x[i]);
        csv_number(&p->csv, true, c->value[i]);
        csv_number(&p->csv, false, 0);
        csv_number(&p->csv, false, 0);
        csv_number(&p->csv, c->has_band, c->low[i]);
        csv_number(&p->csv, c->has_band, c->high[i]);
        csv_end(&p->csv);
    }
    return true;
}

static void draw_roc_curve(figure *f, const panel *q, const rank_roc *roc, int32_t k)
{
    buf xy = buf_up_to(64 << 20);
    for (int64_t i = 0; i < roc->n_point; i++) {
        const double at[2] = {panel_x(q, rank_roc_fpr(roc, i)), panel_y(q, rank_roc_tpr(roc, i))};
        buf_add(&xy, at, sizeof at);
    }
    figure_style s = {.ink = figure_series(k), .width = 1.2, .dash = k};
    f->numbers.failed = f->numbers.failed || xy.failed;
    if (!xy.failed && roc->n_point > 0)
        figure_path(f, (const double *)(const void *)xy.data, (int32_t)roc->n_point, false, s);
    buf_close(&xy);
}

/* Sensitivity and false-positive rate at the operating point with their intervals as a cross. */
static void draw_operating_point(plot *p, const evidence *v, const panel *q, int32_t k)
{
    const cut_measures *m = &v->arm[k].cut;
    const stat_estimate *se = &m->sensitivity, *sp = &m->specificity;
    if (!se->has_value || !sp->has_value) return;
    double x = panel_x(q, 1 - sp->value), y = panel_y(q, se->value);
    figure_style s = {.ink = figure_series(k), .width = 0.7};
    if (sp->has_interval)
        figure_line(&p->figure, panel_x(q, 1 - sp->high), y, panel_x(q, 1 - sp->low), y, s);
    if (se->has_interval)
        figure_line(&p->figure, x, panel_y(q, se->low), x, panel_y(q, se->high), s);
    figure_mark(&p->figure, x, y, 4.6, k, figure_series(k));
    csv_text(&p->csv, arm_name(v, k));
    csv_text(&p->csv, "operating point");
    csv_number(&p->csv, true, 1 - sp->value);
    csv_number(&p->csv, true, se->value);
    csv_number(&p->csv, sp->has_interval, 1 - sp->high);
    csv_number(&p->csv, sp->has_interval, 1 - sp->low);
    csv_number(&p->csv, se->has_interval, se->low);
    csv_number(&p->csv, se->has_interval, se->high);
    csv_end(&p->csv);
}

static void draw_legend(plot *p, const evidence *v, double y, bool auprc, bool marks)
{
    for (int32_t i = 0; i < v->n_drawn; i++) {
        int32_t k = v->drawn[i];
        buf value = buf_up_to(1000);
        const stat_estimate *o = auprc ? &v->arm[k].auprc : &v->arm[k].auroc->logit;
        evidence_add(&value, o, 3);
        legend_add(&p->figure, y + (i + 1) * LEGEND_ROW, p->figure.width,
                   (legend_line){.name = arm_name(v, k),
                                 .series = k,
                                 .mark = marks ? k : -1,
                                 .value = value.data});
        buf_close(&value);
    }
}

bool plot_roc(plot *p, const evidence *v, err *e)
{
    figure *f = &p->figure;
    int32_t n = v->n_drawn;
    panel q = square_above(f, n);
    buf_add_text(&p->title, "ROC curves");
    buf_add_text(&p->csv, "arm,part,false_positive_rate,sensitivity,fpr_low,fpr_high,"
                          "sensitivity_low,sensitivity_high\r\n");
    for (int32_t i = n - 1; i >= 0; i--) {
        int32_t k = v->drawn[i];
        if (n <= BANDS_MAX || k == v->reference)
            panel_band(f, &q, &v->arm[k].roc, figure_series(k));
    }
    figure_line(f, panel_x(&q, 0), panel_y(&q, 0), panel_x(&q, 1), panel_y(&q, 1),
                (figure_style){.ink = FIGURE_SOFT, .width = 0.8, .dash = 2});
    bool some = false;
    for (int32_t i = n - 1; i >= 0; i--) {
        int32_t k = v->drawn[i];
        size_t mark = arena_mark(&v->g->memory);
        rank_roc roc;
        if (!add_roc_points(p, v, k, &roc, e)) return false;
        draw_roc_curve(f, &q, &roc, k);
        if (roc.n_point > 0) draw_operating_point(p, v, &q, k);
        some = some || roc.n_point > 0;
        arena_reset(&v->g->memory, mark);
    }
    panel_frame(f, &q);
    panel_axis_x(f, &q, named(shares, "1 − specificity"));
    panel_axis_y(f, &q, named(shares, "Sensitivity"));
    if (!some) panel_nothing(f, &q, stat_status_reason(v->arm[0].auroc->logit.status));
    draw_legend(p, v, q.y + q.height + 26, false, true);
    buf_printf(
        &p->caption,
        "ROC curves. In the legend AUROC with its %.0f %% interval (%s). Marks with crosses: "
        "sensitivity and specificity ",
        100 * v->g->stats.level,
        v->clusters ? "clustered by patient, Obuchowski, logit scale" : "DeLong, logit scale");
    evidence_add_point(&v->g->stats, &p->caption);
    buf_printf(&p->caption, ", with %s. Dotted: chance.", evidence_share_words(v));
    say_bands(&p->caption, v, &v->arm[v->reference].roc);
    say_left_out(&p->caption, v);
    say_cases(&p->caption, v);
    buf_add_text(&p->description, "ROC curves, sensitivity against 1 minus specificity.");
    describe_arms(p, v, "AUROC", false);
    return true;
}

/* --- precision and recall --- */

bool plot_pr(plot *p, const evidence *v, err *e)
{
    (void)e;
    figure *f = &p->figure;
    const verdict *r = &v->g->stats;
    int32_t n = v->n_drawn;
    panel q = square_above(f, n + 1);
    double prevalence = r->n > 0 ? (double)r->events / (double)r->n : 0;
    bool some = false;
    buf_add_text(&p->title, "Precision and recall");
    buf_add_text(&p->csv, "arm,part,recall,precision\r\n");
    figure_line(f, q.x, panel_y(&q, prevalence), q.x + q.width, panel_y(&q, prevalence),
                (figure_style){.ink = FIGURE_SOFT, .width = 0.8, .dash = 2});
    for (int32_t i = n - 1; i >= 0; i--) {
        int32_t k = v->drawn[i];
        const curve *c = &v->arm[k].precision;
        if (c->n > 0) {
            figure_style s = {.ink = figure_series(k), .width = 1.2, .dash = k};
            panel_steps(f, &q, c, 0, s);
            some = true;
        }
        for (int32_t j = 0; j < c->n; j++) {
            csv_text(&p->csv, arm_name(v, k));
            csv_text(&p->csv, "curve");
            csv_number(&p->csv, true, c->x[j]);
            csv_number(&p->csv, true, c->value[j]);
            csv_end(&p->csv);
        }
    }
    csv_text(&p->csv, "all");
    csv_text(&p->csv, "prevalence");
    csv_number(&p->csv, false, 0);
    csv_number(&p->csv, r->n > 0, prevalence);
    csv_end(&p->csv);
    panel_frame(f, &q);
    panel_axis_x(f, &q, named(shares, "Recall (sensitivity)"));
    panel_axis_y(f, &q, named(shares, "Precision (PPV)"));
    if (!some) panel_nothing(f, &q, stat_status_reason(v->arm[0].precision.status));
    draw_legend(p, v, q.y + q.height + 26, true, false);
    char value[40];
    snprintf(value, sizeof value, "%.3f", prevalence);
    legend_add(f, q.y + q.height + 26 + (n + 1) * LEGEND_ROW, f->width,
               (legend_line){.name = "prevalence", .series = -1, .mark = -1, .value = value});
    buf_printf(&p->caption,
               "Precision against recall, in steps. In the legend average precision with its %.0f "
               "%% interval by bootstrap (%lld resamples of %s). Dotted: prevalence, which a "
               "useless score would have as its average precision.",
               100 * r->level, (long long)v->arm[0].auprc_draws,
               v->clusters ? "patients" : "texts within their class");
    say_left_out(&p->caption, v);
    say_cases(&p->caption, v);
    buf_printf(&p->description, "Precision against recall; prevalence %.3f.", prevalence);
    describe_arms(p, v, "average precision", true);
    return true;
}

/* --- panels of arms --- */

static void add_letter(figure *f, const grid *g, const panel *cell, int32_t k, const char *name)
{
    char letter[16] = "";
    double x = cell->x + 1, y = cell->y + 9, room = g->room;
    if (g->n > 1) snprintf(letter, sizeof letter, "(%c) ", 'a' + (char)k);
    double wide = figure_text_width(f, str_of(letter), 8, true);
    figure_text(f, (figure_words){.x = x, .y = y, .size = 8, .bold = true}, str_of(letter));
    buf fit = buf_up_to(1 << 16);
    figure_text_fit(f, str_of(name), 8, room - wide - 2, &fit);
    figure_text(f, (figure_words){.x = x + wide + 2, .y = y, .size = 8}, buf_view(&fit));
    buf_close(&fit);
}

static panel panel_of(const grid *g, int32_t k, double row_height)
{
    return (panel){.x = (k % g->columns) * (g->room + g->gap),
                   .y = k / g->columns * row_height,
                   .width = g->room,
                   .height = row_height};
}

static double set_height(figure *f, const grid *g, double row_height)
{
    f->height = (double)((g->n + g->columns - 1) / g->columns) * row_height + 2;
    return row_height;
}

/* --- calibration --- */

typedef struct share_bins {
    int64_t n[2][SHARE_BINS]; /* others, positives */
    int64_t most;
} share_bins;

static share_bins count_shares(const verdict_arm *s, int64_t n)
{
    share_bins h = {.most = 1};
    for (int64_t i = 0; i < n; i++) {
        int k = (int)(s->probability[i] * SHARE_BINS);
        int64_t *at = &h.n[s->positive[i]][k < SHARE_BINS ? k : SHARE_BINS - 1];
        ++*at;
        h.most = *at > h.most ? *at : h.most;
    }
    return h;
}

/* How many of each class got which probability: positives upwards, others downwards. */
static void draw_shares(plot *p, const evidence *v, const panel *q, int32_t k)
{
    const verdict_arm *s = &v->g->stats.arm[k];
    share_bins h = count_shares(s, v->g->stats.n);
    double middle = q->y + q->height / 2, tall = q->height / 2 - 1, wide = q->width / SHARE_BINS;
    figure_line(&p->figure, q->x, middle, q->x + q->width, middle,
                (figure_style){.ink = FIGURE_SOFT, .width = 0.4});
    for (int c = 0; c < 2; c++) {
        bool hidden[SHARE_BINS];
        small_mark(h.n[c], SHARE_BINS, hidden);
        for (int i = 0; i < SHARE_BINS; i++) {
            double height = tall * (double)h.n[c][i] / (double)h.most;
            figure_style bar = {.ink = figure_series(c), .fill = true, .opacity = 0.85};
            if (height > 0)
                figure_box(&p->figure, q->x + i * wide + 0.3, c ? middle - height : middle,
                           wide - 0.6, height, bar);
            csv_text(&p->csv, arm_name(v, k));
            csv_text(&p->csv, c ? "histogram positive" : "histogram other");
            csv_number(&p->csv, true, (i + 0.5) / SHARE_BINS);
            for (int j = 0; j < 3; j++) csv_number(&p->csv, false, 0);
            buf_add_char(&p->csv, ',');
            small_add(&p->csv, h.n[c][i], hidden[i]);
            csv_end(&p->csv);
        }
    }
}

static void write_curve(plot *p, const char *arm, const char *part, const curve *c)
{
    for (int32_t i = 0; i < c->n; i++) {
        csv_text(&p->csv, arm);
        csv_text(&p->csv, part);
        csv_number(&p->csv, true, c->x[i]);
        csv_number(&p->csv, true, c->value[i]);
        csv_number(&p->csv, c->has_band, c->low[i]);
        csv_number(&p->csv, c->has_band, c->high[i]);
        csv_number(&p->csv, false, 0);
        csv_end(&p->csv);
    }
}

/* The curve before recalibration, dashed. */
static void draw_before(plot *p, const evidence *v, const panel *q, int32_t k)
{
    const curve *c = &v->arm[k].calibration_own;
    if (c->n == 0) return;
    panel_curve(&p->figure, q, c->x, c->value, c->n,
                (figure_style){.ink = FIGURE_SOFT, .width = 1, .dash = 1});
    write_curve(p, arm_name(v, k), "before recalibration", c);
}

/* Which bins' shares must not be printed: of fewer than 5 events or 5 others, or alone in that. */
static void hide_bins(const calib_bin *bin, bool hidden[EVIDENCE_BINS])
{
    int64_t n[EVIDENCE_BINS];
    for (int32_t i = 0; i < EVIDENCE_BINS; i++) {
        n[i] = bin[i].n;
        hidden[i] = n[i] > 0 && (bin[i].events < SMALL_BELOW || n[i] - bin[i].events < SMALL_BELOW);
    }
    small_complete(n, EVIDENCE_BINS, hidden);
}

static void draw_calibration(plot *p, const evidence *v, const panel *q, int32_t k)
{
    figure *f = &p->figure;
    const evidence_arm *a = &v->arm[k];
    const curve *c = &a->calibration;
    panel_band(f, q, c, figure_series(0));
    figure_line(f, panel_x(q, 0), panel_y(q, 0), panel_x(q, 1), panel_y(q, 1),
                (figure_style){.ink = FIGURE_SOFT, .width = 0.8, .dash = 2});
    if (c->n > 0)
        panel_curve(f, q, c->x, c->value, c->n,
                    (figure_style){.ink = figure_series(0), .width = 1.2});
    write_curve(p, arm_name(v, k), "smoothed", c);
    draw_before(p, v, q, k);
    bool hidden[EVIDENCE_BINS];
    hide_bins(a->bin, hidden);
    for (int32_t i = 0; i < EVIDENCE_BINS; i++) {
        const calib_bin *b = &a->bin[i];
        if (b->n == 0 || hidden[i]) continue;
        double share = (double)b->events / (double)b->n;
        figure_mark(f, panel_x(q, b->mean), panel_y(q, share), 3.6, 0, figure_series(1));
        csv_text(&p->csv, arm_name(v, k));
        csv_text(&p->csv, "bin");
        csv_number(&p->csv, true, b->mean);
        csv_number(&p->csv, true, share);
        csv_number(&p->csv, false, 0);
        csv_number(&p->csv, false, 0);
        buf_printf(&p->csv, ",%lld", (long long)b->n);
        csv_end(&p->csv);
    }
    panel_frame(f, q);
    if (c->n == 0) panel_nothing(f, q, stat_status_reason(c->status));
}

/* Slope, intercept and Brier, below the panel. */
static void add_calibration_words(plot *p, const evidence *v, int32_t k, double x, double y)
{
    const evidence_arm *a = &v->arm[k];
    const struct {
        const char *name;
        const stat_estimate *o;
        int decimals;
    } lines[3] = {{"slope", &a->line.slope, 2},
                  {"intercept", &a->line.in_the_large, 2},
                  {"Brier", &v->g->stats.arm[k].brier, 3}};
    for (int i = 0; i < 3; i++) {
        buf text = buf_up_to(1000);
        buf_printf(&text, "%s ", lines[i].name);
        evidence_add(&text, lines[i].o, lines[i].decimals);
        figure_text(&p->figure, (figure_words){.x = x, .y = y + 9.0 * i, .size = 7},
                    buf_view(&text));
        buf_printf(&p->description, "%s%s", i ? ", " : "", text.data);
        buf_close(&text);
    }
}

bool plot_calibration(plot *p, const evidence *v, err *e)
{
    (void)e;
    grid g = grid_of(p->arm < 0 ? v->n_drawn : 1, EVIDENCE_CURVES_MAX);
    double left = 32, side = g.room - left - 9, strip = 30;
    double row = set_height(&p->figure, &g, 14 + side + 6 + strip + 26 + 34);
    buf_add_text(&p->title, "Calibration");
    buf_add_text(&p->description, "Calibration, observed share against predicted probability.");
    buf_add_text(&p->csv, "arm,part,probability,observed,low,high,n\r\n");
    for (int32_t k = 0; k < g.n; k++) {
        panel cell = panel_of(&g, k, row);
        panel q = {.x = cell.x + left,
                   .y = cell.y + 14,
                   .width = side,
                   .height = side,
                   .right = 1,
                   .top = 1};
        panel h = {.x = q.x, .y = q.y + side + 6, .width = side, .height = strip, .right = 1};
        h.top = 1;
        int32_t arm = p->arm < 0 ? v->drawn[k] : p->arm;
        add_letter(&p->figure, &g, &cell, k, arm_name(v, arm));
        buf_printf(&p->description, " %s: ", arm_name(v, arm));
        draw_calibration(p, v, &q, arm);
        draw_shares(p, v, &h, arm);
        panel_axis_y(&p->figure, &q, named(shares, k % g.columns ? NULL : "Observed share"));
        panel_axis_x(&p->figure, &h, named(shares, "Predicted probability"));
        add_calibration_words(p, v, arm, q.x, h.y + strip + 33);
        buf_add_char(&p->description, '.');
    }
    buf_printf(
        &p->caption,
        "Calibration. Line: smoothed observed share (restricted cubic spline, 3 knots, on the "
        "log-odds) from the 1st to the 99th percentile of the probabilities; dots: tenths "
        "of the scale with at least %d events and %d others (where one tenth alone has fewer, the "
        "next smallest is withheld too); dotted: ideal.",
        SMALL_BELOW, SMALL_BELOW);
    if (evidence_recal_words(&v->g->stats))
        buf_printf(&p->caption, " Probabilities recalibrated by %s on tune texts; dashed: before.",
                   evidence_recal_words(&v->g->stats));
    if (v->arm[0].calibration.has_band) {
        buf_printf(&p->caption, " Shaded: pointwise %.0f %% band by bootstrap, ",
                   100 * v->g->stats.level);
        say_draws(&p->caption, &v->arm[0].calibration);
        buf_add_char(&p->caption, '.');
    }
    buf_printf(
        &p->caption,
        " Bars: how many texts got which probability, %s upwards, others downwards. Slope and "
        "intercept (calibration in the large) with their %.0f %% intervals; 1 and 0 are "
        "ideal.%s",
        plot_positive(v), 100 * v->g->stats.level,
        evidence_recal_words(&v->g->stats) ? "" : " Probabilities are the model's own.");
    say_left_out(&p->caption, v);
    say_cases(&p->caption, v);
    return true;
}

/* --- decision curve --- */

static panel decision_panel(figure *f, const evidence *v, int32_t n)
{
    const verdict *r = &v->g->stats;
    double prevalence = r->n > 0 ? (double)r->events / (double)r->n : 0.1;
    panel q = {.x = 40, .y = 6, .right = 1, .top = fmax(prevalence * 1.08, 0.02)};
    q.bottom = -0.25 * q.top;
    q.width = f->width - q.x - 8;
    q.height = q.width * 0.8;
    f->height = q.y + q.height + 32 + (n + 2) * LEGEND_ROW + 2;
    return q;
}

static void add_decision_points(plot *p, const evidence *v, int32_t k)
{
    const curve *c = &v->arm[k].decision;
    for (int32_t i = 0; i < c->n; i++) {
        csv_text(&p->csv, arm_name(v, k));
        csv_number(&p->csv, true, c->x[i]);
        csv_number(&p->csv, true, c->value[i]);
        csv_number(&p->csv, c->has_band, c->low[i]);
        csv_number(&p->csv, c->has_band, c->high[i]);
        csv_number(&p->csv, true, v->arm[k].all[i]);
        csv_end(&p->csv);
    }
}

bool plot_decision(plot *p, const evidence *v, err *e)
{
    (void)e;
    figure *f = &p->figure;
    int32_t n = v->n_drawn;
    panel q = decision_panel(f, v, n);
    const curve *first = &v->arm[v->reference].decision;
    figure_style all = {.ink = FIGURE_INK, .width = 0.9, .dash = 1};
    buf_add_text(&p->title, "Decision curves");
    buf_add_text(&p->csv, "arm,threshold,net_benefit,low,high,treat_all\r\n");
    for (int32_t i = n - 1; i >= 0; i--) {
        int32_t k = v->drawn[i];
        if (n <= BANDS_MAX || k == v->reference)
            panel_band(f, &q, &v->arm[k].decision, figure_series(k));
    }
    figure_line(f, q.x, panel_y(&q, 0), q.x + q.width, panel_y(&q, 0),
                (figure_style){.ink = FIGURE_SOFT, .width = 0.8, .dash = 2});
    if (first->n > 0) panel_curve(f, &q, first->x, v->arm[v->reference].all, first->n, all);
    for (int32_t i = n - 1; i >= 0; i--) {
        int32_t k = v->drawn[i];
        const curve *c = &v->arm[k].decision;
        panel_curve(f, &q, c->x, c->value, c->n,
                    (figure_style){.ink = figure_series(k), .width = 1.2, .dash = k});
        add_decision_points(p, v, k);
    }
    panel_frame(f, &q);
    panel_axis_x(f, &q, named(shares, "Threshold probability"));
    panel_axis_y(f, &q, named(panel_marks(q.bottom, q.top, 6), "Net benefit"));
    if (first->n == 0) panel_nothing(f, &q, stat_status_reason(first->status));
    double y = q.y + q.height + 26;
    for (int32_t i = 0; i < n; i++)
        legend_add(f, y + (i + 1) * LEGEND_ROW, f->width,
                   (legend_line){.name = arm_name(v, v->drawn[i]),
                                 .series = v->drawn[i],
                                 .mark = -1});
    legend_add(f, y + (n + 2) * LEGEND_ROW, f->width,
               (legend_line){.name = "treat none", .series = -1, .mark = -1});
    y += (n + 1) * LEGEND_ROW;
    figure_line(f, 2, y - 2.6, 20, y - 2.6, all);
    figure_text(f, (figure_words){.x = 25, .y = y, .size = 7}, STR("treat all"));
    buf_add_text(&p->caption,
                 "Decision curves: net benefit (true positives less false positives weighted by "
                 "the odds of the threshold, per text) of acting when the probability reaches the "
                 "threshold. Probabilities are the model's own, not recalibrated; what lies below "
                 "the panel is not drawn.");
    say_bands(&p->caption, v, first);
    say_left_out(&p->caption, v);
    say_cases(&p->caption, v);
    buf_add_text(&p->description,
                 "Decision curves, net benefit against threshold probability, beside treating all "
                 "and none.");
    for (int32_t i = 0; i < n; i++) {
        int32_t k = v->drawn[i];
        const curve *c = &v->arm[k].decision;
        if (c->n == CURVES_DECISION)
            buf_printf(&p->description, " %s at 0.2: %.3f, treating all %.3f.", arm_name(v, k),
                       c->value[19], v->arm[k].all[19]);
    }
    return true;
}

/* --- scores of both classes --- */

typedef struct histogram {
    double low, high;
    int64_t n[2][SCORE_BINS], of_class[2];
    double tallest; /* share of its class */
} histogram;

/* From the 0.5th to the 99.5th percentile of the finite scores; the end bins take what lies
 * beyond. */
static bool count_scores(const evidence *v, const verdict_arm *s, histogram *h, err *e)
{
    arena *a = &v->g->memory;
    int64_t n = v->g->stats.n, n_finite = 0;
    size_t mark = arena_mark(a);
    double *x = arena_take(a, (size_t)n, sizeof *x, e);
    *h = (histogram){.low = -1, .high = 1};
    for (int64_t i = 0; x && i < n; i++) {
        if (isfinite(s->score[i])) x[n_finite++] = s->score[i];
        h->of_class[s->positive[i]]++;
    }
    if (!x || !stat_sort(x, n_finite, a, e)) return false;
    if (n_finite > 0) {
        h->low = stat_quantile(x, n_finite, 0.005);
        h->high = stat_quantile(x, n_finite, 0.995);
    }
    arena_reset(a, mark);
    if (h->high - h->low < 1e-9) h->low -= 0.5, h->high += 0.5;
    for (int64_t i = 0; i < n; i++) {
        double at = (s->score[i] - h->low) / (h->high - h->low) * SCORE_BINS;
        int bin = at <= 0 ? 0 : at >= SCORE_BINS ? SCORE_BINS - 1 : (int)at;
        h->n[s->positive[i]][bin]++;
    }
    for (int c = 0; c < 2; c++) {
        for (int i = 0; i < SCORE_BINS; i++) {
            if (h->n[c][i])
                h->tallest = fmax(h->tallest, (double)h->n[c][i] / (double)h->of_class[c]);
        }
    }
    return true;
}

static void draw_scores(plot *p, const evidence *v, const panel *q, const histogram *h, int32_t k)
{
    double wide = q->width / SCORE_BINS, tall = q->height / 2 - 2, middle = q->y + q->height / 2;
    for (int c = 0; c < 2; c++) {
        bool hidden[SCORE_BINS];
        small_mark(h->n[c], SCORE_BINS, hidden);
        for (int i = 0; i < SCORE_BINS; i++) {
            double share = h->n[c][i] ? (double)h->n[c][i] / (double)h->of_class[c] : 0;
            double height = h->tallest > 0 ? tall * share / h->tallest : 0;
            figure_style bar = {.ink = figure_series(c), .fill = true, .opacity = 0.85};
            if (height > 0)
                figure_box(&p->figure, q->x + i * wide + 0.3, c ? middle - height : middle,
                           wide - 0.6, height, bar);
            csv_text(&p->csv, arm_name(v, k));
            csv_text(&p->csv, c ? "positive" : "other");
            csv_number(&p->csv, true, h->low + (h->high - h->low) * i / SCORE_BINS);
            csv_number(&p->csv, true, h->low + (h->high - h->low) * (i + 1) / SCORE_BINS);
            buf_add_char(&p->csv, ',');
            small_add(&p->csv, h->n[c][i], hidden[i]);
            csv_number(&p->csv, !hidden[i], share);
            csv_end(&p->csv);
        }
    }
    figure_line(&p->figure, q->x, middle, q->x + q->width, middle,
                (figure_style){.ink = FIGURE_SOFT});
    for (int c = 0; c < 2; c++) {
        figure_words w = {.x = q->x + 3, .y = c ? q->y + 8 : q->y + q->height - 4, .size = 7};
        buf name = buf_up_to(1 << 16);
        figure_text_fit(&p->figure, str_of(c ? plot_positive(v) : "others"), 7, q->width - 6,
                        &name);
        w.ink = figure_series(c);
        w.align = c ? FIGURE_LEFT : FIGURE_RIGHT; /* where the class has fewest */
        if (!c) w.x = q->x + q->width - 3;
        figure_text(&p->figure, w, buf_view(&name));
        buf_close(&name);
    }
}

bool plot_scores(plot *p, const evidence *v, err *e)
{
    grid g = grid_of(v->n_drawn, EVIDENCE_CURVES_MAX);
    double row = set_height(&p->figure, &g, 14 + 100 + 36);
    buf_add_text(&p->title, "Scores of both classes");
    buf_printf(&p->description, "Distributions of the score, %s upwards, others downwards.",
               plot_positive(v));
    buf_add_text(&p->csv, "arm,class,score_from,score_to,n,share_of_class\r\n");
    for (int32_t k = 0; k < g.n; k++) {
        int32_t arm = v->drawn[k];
        histogram h;
        panel cell = panel_of(&g, k, row);
        panel q = {.x = cell.x + 2, .y = cell.y + 14, .width = g.room - 6, .height = 100};
        if (!count_scores(v, &v->g->stats.arm[arm], &h, e)) return false;
        q.left = h.low, q.right = h.high, q.top = 1;
        add_letter(&p->figure, &g, &cell, k, arm_name(v, arm));
        if (v->g->stats.n > 0) draw_scores(p, v, &q, &h, arm);
        else panel_nothing(&p->figure, &q, stat_status_reason(STAT_NO_CASES));
        panel_frame(&p->figure, &q);
        panel_axis_x(&p->figure, &q, named(panel_marks(h.low, h.high, 6), "Score (log-odds)"));
    }
    buf_printf(
        &p->caption,
        "Distribution of the score (log of the odds the model gives) in texts that are %s "
        "(upwards) and in the others (downwards), as shares of their class, in %d equal bins "
        "from the 0.5th to the 99.5th percentile; the end bins hold what lies beyond.",
        plot_positive(v), SCORE_BINS);
    say_left_out(&p->caption, v);
    say_cases(&p->caption, v);
    return true;
}
