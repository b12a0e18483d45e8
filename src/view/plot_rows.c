/* plot_rows: confusion matrices, forest of subgroups, flow diagram, ladder of arms. */
#include "view/flow.h"
#include "view/plot_in.h"
#include "view/small.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

static const char *arm_name(const evidence *v, int32_t k) { return v->g->in.arm[k].name; }

static void set_fit(figure *f, figure_words w, str text, double room)
{
    buf fit = buf_up_to(1 << 16);
    figure_text_fit(f, text, w.size == 0 ? 7.5 : w.size, room, &fit);
    figure_text(f, w, buf_view(&fit));
    buf_close(&fit);
}

/* --- confusion --- */

typedef struct square {  /* one arm's table */
    int64_t count[2][2]; /* [truth positive][called positive] */
    bool hidden[2][2];
} square;

/* A row's total is known (n and events), so both of its cells are withheld when one is small. */
static square square_of(const cut_table *t)
{
    square s = {.count = {{t->tn, t->fp}, {t->fn, t->tp}}};
    for (int c = 0; c < 2; c++) small_mark(s.count[c], 2, s.hidden[c]);
    return s;
}

static void draw_cell(figure *f, const panel *q, const square *s, int truth, int called)
{
    double wide = q->width / 2, tall = q->height / 2;
    double x = q->x + (called ? 0 : wide), y = q->y + (truth ? 0 : tall);
    int64_t total = s->count[truth][0] + s->count[truth][1];
    double share = total > 0 ? (double)s->count[truth][called] / (double)total : 0;
    figure_style shade = {.ink = figure_series(truth == called ? 0 : 1), .fill = true};
    shade.opacity = 0.06 + 0.34 * share;
    figure_box(f, x, y, wide, tall, shade);
    buf count = buf_up_to(100), part = buf_up_to(100);
    small_add(&count, s->count[truth][called], s->hidden[truth][called]);
    if (total > 0) buf_printf(&part, "%.1f %%", 100 * share);
    else buf_add_text(&part, "no such text");
    figure_words w = {.x = x + wide / 2, .y = y + tall / 2, .align = FIGURE_MIDDLE, .size = 9};
    figure_text(f, w, buf_view(&count));
    w.y += 11;
    w.size = 7;
    w.ink = FIGURE_SOFT;
    figure_text(f, w, buf_view(&part));
    buf_close(&count);
    buf_close(&part);
}

static void add_square_csv(plot *p, const evidence *v, int32_t k, const square *s)
{
    for (int truth = 1; truth >= 0; truth--) {
        for (int called = 1; called >= 0; called--) {
            int64_t total = s->count[truth][0] + s->count[truth][1];
            csv_text(&p->csv, arm_name(v, k));
            csv_text(&p->csv, truth ? "positive" : "other");
            csv_text(&p->csv, called ? "positive" : "other");
            buf_add_char(&p->csv, ',');
            small_add(&p->csv, s->count[truth][called], s->hidden[truth][called]);
            csv_number(&p->csv, total > 0,
                       total > 0 ? (double)s->count[truth][called] / (double)total : 0);
            csv_end(&p->csv);
        }
    }
}

static void draw_square(plot *p, const evidence *v, const panel *q, const square *s)
{
    figure *f = &p->figure;
    const char *names[2] = {"others", plot_positive(v)};
    for (int c = 0; c < 2; c++) {
        figure_words top = {.x = q->x + q->width * (c ? 0.25 : 0.75),
                            .y = q->y - 3,
                            .align = FIGURE_MIDDLE,
                            .size = 7};
        figure_words side = {.x = q->x - 4,
                             .y = q->y + q->height * (c ? 0.25 : 0.75),
                             .align = FIGURE_MIDDLE,
                             .size = 7,
                             .upwards = true};
        set_fit(f, top, str_of(names[c]), q->width / 2 - 4);
        set_fit(f, side, str_of(names[c]), q->height / 2 - 4);
        for (int called = 0; called < 2; called++) draw_cell(f, q, s, c, called);
    }
    figure_words top = {.x = q->x + q->width / 2,
                        .y = q->y - 12,
                        .align = FIGURE_MIDDLE,
                        .ink = FIGURE_SOFT,
                        .size = 7};
    figure_words side = {.x = q->x - 13,
                         .y = q->y + q->height / 2,
                         .align = FIGURE_MIDDLE,
                         .ink = FIGURE_SOFT,
                         .size = 7,
                         .upwards = true};
    figure_text(f, top, STR("called"));
    figure_text(f, side, STR("truth"));
    figure_style line = {.ink = FIGURE_SOFT};
    panel_frame(f, q);
    figure_line(f, q->x + q->width / 2, q->y, q->x + q->width / 2, q->y + q->height, line);
    figure_line(f, q->x, q->y + q->height / 2, q->x + q->width, q->y + q->height / 2, line);
}

static void add_letter(figure *f, const panel *cell, int32_t k, int32_t n, const char *name)
{
    char letter[16] = "";
    if (n > 1) snprintf(letter, sizeof letter, "(%c) ", 'a' + (char)k);
    double wide = figure_text_width(f, str_of(letter), 8, true);
    figure_text(f, (figure_words){.x = cell->x + 1, .y = cell->y + 9, .size = 8, .bold = true},
                str_of(letter));
    set_fit(f, (figure_words){.x = cell->x + wide + 3, .y = cell->y + 9, .size = 8}, str_of(name),
            cell->width - wide - 2);
}

bool plot_confusion(plot *p, const evidence *v, err *e)
{
    (void)e;
    grid g = grid_of(v->n_drawn, EVIDENCE_CURVES_MAX);
    double side = fmin(g.room - 21, 110), row = 34 + side + 8;
    int32_t n_row = (g.n + g.columns - 1) / g.columns;
    p->figure.height = n_row * row;
    buf_add_text(&p->title, "Confusion matrices");
    buf_add_text(&p->description, "Confusion matrices ");
    evidence_add_point(&v->g->stats, &p->description);
    buf_add_char(&p->description, '.');
    buf_add_text(&p->csv, "arm,truth,called,n,share_of_truth\r\n");
    for (int32_t i = 0; i < g.n; i++) {
        int32_t k = v->drawn[i];
        panel cell = {.x = i % g.columns * (g.room + g.gap),
                      .y = i / g.columns * row,
                      .width = g.room};
        panel q = {.x = cell.x + 19,
                   .y = cell.y + 34,
                   .width = fmin(g.room - 21, 1.3 * side),
                   .height = side};
        square s = square_of(&v->g->stats.arm[k].at_point.table);
        add_letter(&p->figure, &cell, i, g.n, arm_name(v, k));
        if (v->g->stats.n == 0) {
            panel_frame(&p->figure, &q);
            panel_nothing(&p->figure, &q, stat_status_reason(STAT_NO_CASES));
            continue;
        }
        draw_square(p, v, &q, &s);
        add_square_csv(p, v, k, &s);
        buf_printf(&p->description, " %s: sensitivity ", arm_name(v, k));
        evidence_add(&p->description, &v->arm[k].cut.sensitivity, 2);
        buf_add_text(&p->description, ", specificity ");
        evidence_add(&p->description, &v->arm[k].cut.specificity, 2);
        buf_add_char(&p->description, '.');
    }
    buf_printf(&p->caption, "Confusion matrices: texts called %s ", plot_positive(v));
    evidence_add_point(&v->g->stats, &p->caption);
    buf_add_text(&p->caption,
                 ". Counts, and shares of the row. Counts from 1 to 4 are not printed, nor is the "
                 "count they could be worked out from.");
    return true;
}

/* --- rows with an interval: forest, arms --- */

typedef struct ruler { /* where a value stands between two edges */
    double x, width, low, high;
} ruler;

static double ruler_x(const ruler *r, double v)
{
    return r->x + (fmin(fmax(v, r->low), r->high) - r->low) / (r->high - r->low) * r->width;
}

static void widen(ruler *r, const stat_estimate *o)
{
    if (!o->has_value) return;
    r->low = fmin(r->low, o->has_interval ? o->low : o->value);
    r->high = fmax(r->high, o->has_interval ? o->high : o->value);
}

static void round_ruler(ruler *r)
{
    r->low = fmax(0, floor(r->low * 10 - 0.1) / 10);
    r->high = fmin(1, ceil(r->high * 10 + 0.1) / 10);
}

static void draw_ruler(figure *f, const ruler *r, double top, double bottom)
{
    for (int32_t i = (int32_t)lround(r->low * 10); i <= (int32_t)lround(r->high * 10); i++) {
        double x = ruler_x(r, i / 10.0);
        figure_style s = {.ink = i == 5 ? FIGURE_SOFT : FIGURE_LINE,
                          .width = 0.5,
                          .dash = i == 5 ? 2 : 0};
        figure_line(f, x, top, x, bottom, s);
        char text[20];
        snprintf(text, sizeof text, "%.1f", i / 10.0);
        figure_words w = {
            .x = x, .y = bottom + 9, .align = FIGURE_MIDDLE, .ink = FIGURE_SOFT, .size = 7};
        figure_text(f, w, str_of(text));
    }
    figure_words w = {.x = r->x + r->width / 2, .y = bottom + 20, .align = FIGURE_MIDDLE};
    figure_text(f, w, STR("AUROC"));
}

static void draw_estimate(figure *f, const ruler *r, double y, const stat_estimate *o,
                          int32_t series)
{
    if (!o->has_value) return;
    figure_style s = {.ink = figure_series(series), .width = 1};
    if (o->has_interval) {
        double low = ruler_x(r, o->low), high = ruler_x(r, o->high);
        figure_line(f, low, y, high, y, s);
        figure_line(f, low, y - 2, low, y + 2, s);
        figure_line(f, high, y - 2, high, y + 2, s);
    }
    figure_mark(f, ruler_x(r, o->value), y, 5, series, s.ink);
}

/* In its column; "not estimable (reason)" over the ruler. */
static void set_estimate(figure *f, const ruler *r, figure_words w, const stat_estimate *o)
{
    if (!o->has_value) {
        figure_style blank = {.ink = FIGURE_PAPER, .fill = true};
        w.x = r->x + r->width;
        w.ink = FIGURE_SOFT;
        figure_box(f, r->x - 2, w.y - 7.5, r->width + 4, 10, blank);
    }
    buf text = buf_up_to(1000);
    evidence_add(&text, o, 3);
    figure_text(f, w, buf_view(&text));
    buf_close(&text);
}

/* "AUROC (95 % CI)" */
static void set_head(figure *f, figure_words w, const evidence *v, const char *what)
{
    char text[60];
    snprintf(text, sizeof text, "%s (%.0f %% CI)", what, 100 * v->g->stats.level);
    figure_text(f, w, str_of(text));
}

enum { FOREST_ROW = 12, FOREST_TOP = 16 };

static bool is_drawn(const evidence_level *l)
{
    return l->events >= STAT_FEW_BELOW && l->n - l->events >= STAT_FEW_BELOW;
}

typedef struct forest { /* the columns of the figure */
    plot *p;
    const evidence *v;
    ruler ruler;
    double counts, values, tests; /* right edges; left of the last */
    double y;
} forest;

typedef struct forest_row {
    str group, level;
    bool hidden, hidden_events; /* its counts */
} forest_row;

static void add_forest_csv(const forest *t, forest_row row, int32_t arm, const stat_estimate *o)
{
    buf *csv = &t->p->csv;
    csv_text(csv, arm_name(t->v, arm));
    csv_cell(csv, row.group);
    csv_cell(csv, row.level);
    buf_add_char(csv, ',');
    small_add(csv, o->n, row.hidden);
    buf_add_char(csv, ',');
    small_add(csv, o->events, row.hidden_events);
    csv_number(csv, o->has_value, o->value);
    csv_number(csv, o->has_interval, o->low);
    csv_number(csv, o->has_interval, o->high);
    csv_text(csv, stat_status_name(o->status));
    csv_end(csv);
}

typedef struct counts { /* which counts of a group's levels are withheld */
    bool n[EVIDENCE_LEVELS_MAX], events[EVIDENCE_LEVELS_MAX];
} counts;

static counts counts_of(const evidence_group *g)
{
    counts c = {0};
    int64_t n[EVIDENCE_LEVELS_MAX] = {0}, events[EVIDENCE_LEVELS_MAX] = {0};
    for (int32_t i = 0; i < g->n_level; i++) {
        n[i] = g->level[i].n;
        events[i] = g->level[i].events;
    }
    small_mark(n, g->n_level, c.n);
    small_mark(events, g->n_level, c.events);
    return c;
}

static void draw_counts(const forest *t, int64_t n, int64_t events, bool hidden, bool hidden_events)
{
    buf text = buf_up_to(200);
    small_add(&text, n, hidden);
    buf_add_text(&text, " / ");
    small_add(&text, events, hidden_events);
    figure_words w = {.x = t->counts, .y = t->y, .align = FIGURE_RIGHT, .size = 7};
    figure_text(&t->p->figure, w, buf_view(&text));
    buf_close(&text);
}

static void draw_level(const forest *t, const evidence_level *l, bool hidden, bool hidden_events)
{
    figure *f = &t->p->figure;
    int32_t k = t->v->reference;
    const stat_estimate *o = &l->auroc[k].logit;
    set_fit(f, (figure_words){.x = 10, .y = t->y, .size = 7},
            l->name.size ? l->name : STR("(empty)"), t->counts - 88);
    draw_counts(t, l->n, l->events, hidden, hidden_events);
    figure_words w = {.x = t->values, .y = t->y, .align = FIGURE_RIGHT, .size = 7};
    if (is_drawn(l)) {
        draw_estimate(f, &t->ruler, t->y - 2.5, o, k);
        set_estimate(f, &t->ruler, w, o);
    } else {
        w.ink = FIGURE_SOFT;
        figure_text(f, w, STR("too few to draw"));
    }
}

static void draw_group(forest *t, const evidence_group *g)
{
    figure *f = &t->p->figure;
    figure_words head = {.x = 2, .y = t->y, .bold = true, .size = 7};
    set_fit(f, head, g->name, t->counts - 80);
    if (g->n_level == 0) {
        figure_words w = {.x = t->counts + 8, .y = t->y, .ink = FIGURE_SOFT, .size = 7};
        figure_style blank = {.ink = FIGURE_PAPER, .fill = true};
        figure_box(f, w.x - 2, w.y - 7.5, 112, 10, blank);
        figure_text(f, w, STR("more than 40 values: left out"));
        t->y += FOREST_ROW;
        return;
    }
    const subgroup_test *test = &g->test[t->v->reference];
    buf text = buf_up_to(100);
    if (test->status == STAT_OK) evidence_add_p(&text, true, test->p);
    else buf_add_text(&text, "–");
    figure_text(f, (figure_words){.x = t->tests, .y = t->y, .size = 7}, buf_view(&text));
    buf_close(&text);
    t->y += FOREST_ROW;
    counts hidden = counts_of(g);
    for (int32_t i = 0; i < g->n_level; i++) {
        draw_level(t, &g->level[i], hidden.n[i], hidden.events[i]);
        for (int32_t k = 0; k < t->v->g->stats.n_arm; k++) {
            bool few = !is_drawn(&g->level[i]);
            stat_estimate o = g->level[i].auroc[k].logit;
            o.n = g->level[i].n, o.events = g->level[i].events;
            if (few) o.has_value = o.has_interval = false;
            add_forest_csv(t,
                           (forest_row){g->name, g->level[i].name, hidden.n[i], hidden.events[i]},
                           k, &o);
        }
        t->y += FOREST_ROW;
    }
}

static int32_t forest_rows(const evidence *v, ruler *r)
{
    int32_t n = 1;
    widen(r, &v->arm[v->reference].auroc->logit);
    for (int32_t g = 0; g < v->n_group; g++) {
        n += 1 + v->group[g].n_level;
        for (int32_t i = 0; i < v->group[g].n_level; i++) {
            if (is_drawn(&v->group[g].level[i]))
                widen(r, &v->group[g].level[i].auroc[v->reference].logit);
        }
    }
    round_ruler(r);
    return n;
}

bool plot_forest(plot *p, const evidence *v, err *e)
{
    (void)e;
    figure *f = &p->figure;
    forest t = {.p = p, .v = v, .counts = 170, .values = f->width - 54, .tests = f->width - 44};
    t.ruler = (ruler){.x = 184, .width = f->width - 184 - 148, .low = 0.5, .high = 0.8};
    int32_t n = forest_rows(v, &t.ruler);
    f->height = FOREST_TOP + n * FOREST_ROW + 28;
    buf_add_text(&p->title, "AUROC by subgroup");
    buf_add_text(&p->csv, "arm,group,level,n,events,auroc,low,high,status\r\n");
    figure_words head = {
        .x = t.counts, .y = 9, .align = FIGURE_RIGHT, .ink = FIGURE_SOFT, .size = 7};
    figure_text(f, head, STR("texts / events"));
    head.x = t.values;
    set_head(f, head, v, "AUROC");
    head = (figure_words){.x = t.tests, .y = 9, .ink = FIGURE_SOFT, .size = 7};
    figure_text(f, head, STR("p"));
    draw_ruler(f, &t.ruler, FOREST_TOP - 3, FOREST_TOP + n * FOREST_ROW);
    t.y = FOREST_TOP + 8;
    const stat_estimate *all = &v->arm[v->reference].auroc->logit;
    figure_text(f, (figure_words){.x = 2, .y = t.y, .bold = true, .size = 7}, STR("All texts"));
    draw_counts(&t, v->g->stats.n, v->g->stats.events, false, false);
    draw_estimate(f, &t.ruler, t.y - 2.5, all, v->reference);
    set_estimate(f, &t.ruler,
                 (figure_words){.x = t.values, .y = t.y, .align = FIGURE_RIGHT, .size = 7}, all);
    for (int32_t k = 0; k < v->g->stats.n_arm; k++)
        add_forest_csv(&t, (forest_row){STR("all"), STR("all"), false, false}, k,
                       &v->arm[k].auroc->logit);
    t.y += FOREST_ROW;
    for (int32_t g = 0; g < v->n_group; g++) draw_group(&t, &v->group[g]);
    buf_printf(&p->caption,
               "AUROC of arm %s by subgroup with %.0f %% intervals%s. Groups with fewer than %d "
               "events or others are listed and not drawn. p: do the subgroups differ (Cochran's "
               "Q; –: not estimable). "
               "Exploratory, not adjusted. The CSV holds every arm.",
               arm_name(v, v->reference), 100 * v->g->stats.level,
               v->clusters ? ", clustered by patient" : "", STAT_FEW_BELOW);
    if (v->n_group == 0) buf_add_text(&p->caption, " The study names no subgroup columns.");
    buf_printf(&p->description, "AUROC of arm %s by subgroup. All: ", arm_name(v, v->reference));
    evidence_add(&p->description, all, 3);
    buf_add_char(&p->description, '.');
    return true;
}

/* --- arms --- */

static void draw_arm_row(plot *p, const evidence *v, const ruler *r, int32_t k, double y)
{
    figure *f = &p->figure;
    const stat_estimate *o = &v->arm[k].auroc->logit;
    double values = f->width - 128;
    int sign = 1;
    const verdict_pair *pair = k == v->reference ? NULL : evidence_pair(v, k, v->reference, &sign);
    const rank_test *t = pair ? evidence_test(v, pair) : NULL;
    set_fit(f, (figure_words){.x = 2, .y = y, .size = 7.5}, str_of(arm_name(v, k)), r->x - 12);
    draw_estimate(f, r, y - 2.6, o, k);
    set_estimate(f, r, (figure_words){.x = values, .y = y, .align = FIGURE_RIGHT, .size = 7}, o);
    buf text = buf_up_to(200);
    bool has = t && t->has_value;
    double low = has && t->has_interval ? (sign > 0 ? t->low : -t->high) : 0;
    double high = has && t->has_interval ? (sign > 0 ? t->high : -t->low) : 0;
    if (k == v->reference) buf_add_text(&text, "reference");
    else if (!has) buf_add_text(&text, "not estimable");
    else {
        evidence_add_signed(&text, sign * t->difference, 3);
        if (t->has_interval) {
            buf_add_text(&text, " (");
            evidence_add_signed(&text, low, 3);
            buf_add_text(&text, " to ");
            evidence_add_signed(&text, high, 3);
            buf_add_char(&text, ')');
        }
    }
    figure_words w = {.x = f->width - 2, .y = y, .align = FIGURE_RIGHT, .size = 7};
    figure_text(f, w, buf_view(&text));
    buf_close(&text);
    csv_text(&p->csv, arm_name(v, k));
    csv_number(&p->csv, o->has_value, o->value);
    csv_number(&p->csv, o->has_interval, o->low);
    csv_number(&p->csv, o->has_interval, o->high);
    csv_number(&p->csv, has, has ? sign * t->difference : 0);
    csv_number(&p->csv, has && t->has_interval, low);
    csv_number(&p->csv, has && t->has_interval, high);
    csv_text(&p->csv, stat_status_name(o->status));
    csv_end(&p->csv);
}

bool plot_arms(plot *p, const evidence *v, err *e)
{
    (void)e;
    enum { ROW = 15, TOP = 16 };
    figure *f = &p->figure;
    int32_t n = v->g->stats.n_arm;
    ruler r = {.x = 130, .low = 0.5, .high = 0.8, .width = f->width - 130 - 228};
    for (int32_t k = 0; k < n; k++) widen(&r, &v->arm[k].auroc->logit);
    round_ruler(&r);
    f->height = TOP + n * ROW + 28;
    buf_add_text(&p->title, "AUROC of the arms");
    buf_add_text(&p->csv,
                 "arm,auroc,low,high,difference,difference_low,difference_high,status\r\n");
    figure_words head = {
        .x = f->width - 128, .y = 9, .align = FIGURE_RIGHT, .ink = FIGURE_SOFT, .size = 7};
    set_head(f, head, v, "AUROC");
    head.x = f->width - 2;
    set_head(f, head, v, "difference");
    draw_ruler(f, &r, TOP - 3, TOP + n * ROW);
    double last[2] = {0, 0};
    for (int32_t k = 0; k < n; k++) { /* the ladder: a line from each arm to the next */
        const stat_estimate *o = &v->arm[k].auroc->logit;
        double at[2] = {ruler_x(&r, o->value), TOP + k * ROW + 10 - 2.6};
        figure_style s = {.ink = FIGURE_SOFT, .width = 0.5};
        if (o->has_value && last[0] > 0) figure_line(f, last[0], last[1], at[0], at[1], s);
        if (o->has_value) last[0] = at[0], last[1] = at[1];
    }
    for (int32_t k = 0; k < n; k++) draw_arm_row(p, v, &r, k, TOP + k * ROW + 10);
    buf_printf(&p->caption,
               "AUROC of every arm, in the order of the study, with %.0f %% intervals%s, and its "
               "difference from arm %s on the same texts (paired). Dotted: chance.",
               100 * v->g->stats.level, v->clusters ? ", clustered by patient" : "",
               arm_name(v, v->reference));
    buf_add_text(&p->description, "AUROC of the arms.");
    for (int32_t k = 0; k < n; k++) {
        buf_printf(&p->description, " %s ", arm_name(v, k));
        evidence_add(&p->description, &v->arm[k].auroc->logit, 3);
        buf_add_char(&p->description, k + 1 < n ? ';' : '.');
    }
    return true;
}

/* --- flow --- */

enum { FLOW_LINE = 9, FLOW_PAD = 6 };

typedef struct box {
    double x, y, width, height;
} box;

/* A box with a bold count and words under it; returns its height. */
static double draw_box(figure *f, box b, const char *text, bool measure)
{
    double room = b.width - 2 * FLOW_PAD;
    int32_t n = words_count(f, str_of(text), 7.5, room);
    double height = n * FLOW_LINE + 2 * FLOW_PAD - 2;
    if (measure) return height;
    figure_box(f, b.x, b.y, b.width, height, (figure_style){.ink = FIGURE_INK, .width = 0.7});
    figure_words w = {.x = b.x + b.width / 2, .y = b.y + FLOW_PAD + 6, .align = FIGURE_MIDDLE};
    words_add(f, w, str_of(text), room, FLOW_LINE);
    return height;
}

static void draw_arrow(figure *f, double x0, double y0, double x1, double y1)
{
    figure_style s = {.ink = FIGURE_INK, .width = 0.7}, head = {.ink = FIGURE_INK, .fill = true};
    bool down = y1 > y0;
    figure_line(f, x0, y0, down ? x1 : x1 - 4, down ? y1 - 4 : y1, s);
    const double tip[6] = {x1,
                           y1,
                           down ? x1 - 2.2 : x1 - 4.5,
                           down ? y1 - 4.5 : y1 - 2.2,
                           down ? x1 + 2.2 : x1 - 4.5,
                           down ? y1 - 4.5 : y1 + 2.2};
    figure_path(f, tip, 3, true, head);
}

static void add_flow_csv(plot *p, const char *step, const char *reason, str n)
{
    csv_text(&p->csv, step);
    csv_text(&p->csv, reason);
    buf_add_char(&p->csv, ',');
    buf_add_str(&p->csv, n);
    csv_end(&p->csv);
}

typedef struct left_out { /* rows left out at a step */
    const report_count *c;
    int32_t n;
    const bool *hidden;
    bool total; /* the sum is withheld */
} left_out;

/* The side box of what was left out; returns the height it needs. */
static double draw_left_out(plot *p, const left_out *o, box b, bool measure)
{
    double y = b.y + FLOW_PAD + 6, room = b.width - 2 * FLOW_PAD;
    int64_t sum = 0;
    for (int32_t i = 0; i < o->n; i++) sum += o->c[i].n;
    if (sum == 0) return 0;
    buf text = buf_up_to(1 << 16), count = buf_up_to(100);
    for (int32_t i = -1; i < o->n; i++) {
        if (i >= 0 && o->c[i].n == 0) continue;
        buf_clear(&text), buf_clear(&count);
        if (i >= 0 || !o->total) flow_add(&count, i < 0 ? sum : o->c[i].n, i >= 0 && o->hidden[i]);
        if (i < 0) buf_add_text(&text, o->total ? "Left out" : "Left out: ");
        buf_add_str(&text, buf_view(&count));
        if (i >= 0) buf_printf(&text, " %s", o->c[i].reason);
        figure_words w = {.x = b.x + FLOW_PAD, .y = y, .size = 7};
        int32_t lines = measure ? words_count(&p->figure, buf_view(&text), 7, room)
                                : words_add(&p->figure, w, buf_view(&text), room, FLOW_LINE);
        y += lines * FLOW_LINE;
        if (!measure && i >= 0) add_flow_csv(p, "left out", o->c[i].reason, buf_view(&count));
    }
    buf_close(&text);
    buf_close(&count);
    double height = y - b.y - 2;
    if (!measure)
        figure_box(&p->figure, b.x, b.y, b.width, height, (figure_style){.ink = FIGURE_SOFT});
    return height;
}

static void say_judged(const evidence *v, buf *text)
{
    const verdict *r = &v->g->stats;
    flow_add(text, r->n, false);
    buf_add_text(text, " texts judged");
    if (r->n_patient > 0) buf_printf(text, " of %d patients", (int)r->n_patient);
    buf_add_text(text, ":");
    bool hidden[SMALL_CLASSES_MAX];
    int32_t n = r->n_class < SMALL_CLASSES_MAX ? r->n_class : SMALL_CLASSES_MAX;
    small_mark(r->class_count, n, hidden);
    for (int32_t c = 0; c < n; c++) {
        buf_add_text(text, c ? ", " : " ");
        small_add(text, r->class_count[c], hidden[c]);
        buf_printf(text, "\xc2\xa0%s", v->g->in.class_name[c]); /* on one line */
    }
}

bool plot_flow(plot *p, const evidence *v, err *e)
{
    (void)e;
    figure *f = &p->figure;
    const report_flow *w = &v->g->in.flow;
    box main = {.x = 2, .y = 2, .width = 150}, side = {.x = 176, .width = f->width - 178};
    double spine = main.x + main.width / 2;
    int64_t n = v->g->stats.n;
    flow_hidden h = flow_hide(w);
    buf text = buf_up_to(1 << 20), count = buf_up_to(100);
    buf_add_text(&p->csv, "step,reason,n\r\n");
    const left_out out[2] = {{w->excluded, w->n_excluded, h.excluded, h.read || h.asked},
                             {w->unscored, w->n_unscored, h.unscored, h.asked}};
    for (int step = 0; step < 3; step++) {
        buf_clear(&text), buf_clear(&count);
        if (step == 0) flow_add_read(&count, w, &h, n);
        if (step == 1) flow_add_asked(&count, w, &h, n);
        if (step == 2) flow_add(&count, n, false);
        if (step < 2) buf_add_str(&text, buf_view(&count));
        if (step == 0) buf_add_text(&text, " rows in the table");
        if (step == 1)
            buf_printf(&text, " texts asked, under %d %s", (int)v->g->stats.n_arm,
                       v->g->stats.n_arm == 1 ? "arm" : "arms");
        if (step == 2) say_judged(v, &text);
        double tall = draw_box(f, main, text.data, false), next;
        static const char *const steps[] = {"in the table", "asked", "judged"};
        add_flow_csv(p, steps[step], "", buf_view(&count));
        buf_printf(&p->description, "%s%s", step ? "; " : "Flow: ", text.data);
        if (step == 2) {
            main.y += tall;
            break;
        }
        side.y = main.y + tall + 8;
        double beside = draw_left_out(p, &out[step], side, true);
        next = beside > 0 ? side.y + beside + 8 : main.y + tall + 18;
        if (beside > 0) {
            draw_left_out(p, &out[step], side, false);
            draw_arrow(f, spine, side.y + beside / 2, side.x, side.y + beside / 2);
        }
        draw_arrow(f, spine, main.y + tall, spine, next);
        main.y = next;
    }
    f->height = main.y + 3;
    buf_close(&text);
    buf_close(&count);
    buf_add_text(&p->title, "Flow of texts");
    buf_add_text(
        &p->caption,
        "Flow of texts from the table to the analysis. A text that one arm could not score is "
        "left out of every arm.");
    if (h.read || h.asked || memchr(h.excluded, 1, sizeof h.excluded))
        buf_printf(&p->caption,
                   " Counts from 1 to 4 are shown as <%d; counts from which they could be worked "
                   "out are withheld or given as a bound.",
                   SMALL_BELOW);
    buf_add_char(&p->description, '.');
    return true;
}
