/* judge: see judge.h. */
#include "view/judge.h"

#include "stats/adjust.h"
#include "stats/boot.h"
#include "stats/calib.h"
#include "stats/cluster.h"
#include "stats/cut.h"
#include "stats/paired.h"
#include "stats/subgroup.h"
#include "stats/weigh.h"
#include "view/json_out.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

enum { VALUES = 3 }; /* of an arm in the bootstrap: AUROC, average precision, Brier */

typedef struct part { /* some rows of the input, as columns; all arms on the same rows */
    const judge_input *in;
    int64_t n, events;
    uint8_t *positive;       /* [n] */
    double **score;          /* [n_arm] -> [n] */
    rank_parts *parts;       /* [n_arm] */
    cluster_rows clusters;   /* n_cluster 0: no patients */
    const boot_result *boot; /* NULL: none */
} part;

typedef struct work {
    pool *threads;
    arena *a;
    buf *json;
    err *e;
} work;

/* Rows of `group` (all when NULL) with this value that every arm has a score for. */
static bool keep(const judge_input *in, const judge_group *group, int32_t value, int64_t i)
{
    if (group && group->value[i] != value) return false;
    for (int32_t k = 0; k < in->n_arm; k++) {
        if (isnan(in->score[k][i])) return false;
    }
    return true;
}

static bool take_part(const judge_input *in, const judge_group *group, int32_t value, work *w,
                      part *p)
{
    *p = (part){.in = in};
    int32_t *patient = arena_take(w->a, (size_t)in->n, sizeof *patient, w->e);
    int32_t *cluster = arena_take(w->a, (size_t)in->n, sizeof *cluster, w->e);
    p->positive = arena_take(w->a, (size_t)in->n, sizeof *p->positive, w->e);
    p->score = arena_take(w->a, (size_t)in->n_arm, sizeof *p->score, w->e);
    p->parts = arena_take(w->a, (size_t)in->n_arm, sizeof *p->parts, w->e);
    if (!patient || !cluster || !p->positive || !p->score || !p->parts) return false;
    for (int32_t k = 0; k < in->n_arm; k++) {
        p->score[k] = arena_take(w->a, (size_t)in->n, sizeof(double), w->e);
        if (!p->score[k]) return false;
    }
    for (int64_t i = 0; i < in->n; i++) {
        if (!keep(in, group, value, i)) continue;
        for (int32_t k = 0; k < in->n_arm; k++) p->score[k][p->n] = in->score[k][i];
        p->positive[p->n] = in->positive[i];
        p->events += in->positive[i];
        patient[p->n++] = in->patient ? in->patient[i] : -1;
    }
    for (int32_t k = 0; k < in->n_arm; k++) {
        if (!rank_parts_take(p->score[k], p->positive, p->n, w->a, &p->parts[k], w->e))
            return false;
    }
    if (!in->patient) return true;
    p->clusters = (cluster_rows){.n = p->n, .positive = p->positive, .cluster = cluster};
    return cluster_number(patient, p->n, cluster, &p->clusters.n_cluster, w->a, w->e);
}

/* --- bootstrap --- */

typedef struct booted {
    const part *p;
    const weigh_order *order; /* [n_arm] */
} booted;

static bool boot_values(const void *context, const uint16_t *weight, double *value)
{
    const booted *b = context;
    for (int32_t k = 0; k < b->p->in->n_arm; k++) {
        double *v = value + (int64_t)k * VALUES;
        v[2] = 0;
        if (!weigh_auroc(&b->order[k], weight, &v[0])) return false;
        if (!weigh_average_precision(&b->order[k], weight, &v[1])) return false;
        if (b->p->in->probability &&
            !weigh_brier(b->p->score[k], b->p->positive, weight, b->p->n, &v[2]))
            return false;
    }
    return true;
}

static bool boot_part(part *p, work *w)
{
    const judge_input *in = p->in;
    if (in->n_draw == 0 || !stat_status_usable(p->parts[0].status)) return true;
    weigh_order *order = arena_take(w->a, (size_t)in->n_arm, sizeof *order, w->e);
    boot_result *r = arena_take(w->a, 1, sizeof *r, w->e);
    if (!order || !r) return false;
    for (int32_t k = 0; k < in->n_arm; k++) {
        if (!weigh_order_take(p->score[k], p->positive, p->n, w->a, &order[k], w->e)) return false;
    }
    booted b = {.p = p, .order = order};
    boot_plan plan = {.n = p->n,
                      .n_draw = in->n_draw,
                      .seed_study = in->seed,
                      .seed_analysis = boot_seed("judge"),
                      .n_value = in->n_arm * VALUES,
                      .statistic = boot_values,
                      .context = &b};
    if (p->clusters.n_cluster) {
        plan.unit = p->clusters.cluster;
        plan.n_unit = p->clusters.n_cluster;
    } else {
        plan.stratum = p->positive;
    }
    p->boot = r;
    return boot_run(&plan, w->threads, w->a, r, w->e);
}

static bool add_boot_interval(const part *p, int32_t value, const char *name, work *w)
{
    stat_estimate o;
    char key[40];
    if (!p->boot) return true;
    if (!boot_estimate(p->boot, value, BOOT_PERCENTILE, p->in->level, w->a, &o, w->e)) return false;
    snprintf(key, sizeof key, "%s_low", name);
    json_number(w->json, key, o.has_interval, o.low);
    snprintf(key, sizeof key, "%s_high", name);
    json_number(w->json, key, o.has_interval, o.high);
    return true;
}

/* --- one arm --- */

static void add_share(buf *b, const char *name, const stat_estimate *o)
{
    char key[40];
    json_number(b, name, o->has_value, o->value);
    snprintf(key, sizeof key, "%s_low", name);
    json_number(b, key, o->has_interval, o->low);
    snprintf(key, sizeof key, "%s_high", name);
    json_number(b, key, o->has_interval, o->high);
}

static void add_number(buf *b, const char *name, const stat_estimate *o)
{
    json_number(b, name, o->has_value, o->value);
}

static bool add_auroc(const part *p, int32_t k, work *w)
{
    buf *b = w->json;
    rank_auroc r = rank_auroc_of(&p->parts[k], p->in->level), c = {0};
    stat_estimate precision;
    const stat_estimate *o = &r.logit;
    json_text(b, "status", stat_status_name(o->status));
    json_text(b, "method", o->method[0] ? o->method : NULL);
    add_number(b, "auroc", o);
    json_number(b, "auroc_var", o->has_variance, o->variance);
    json_number(b, "auroc_low", o->has_interval, o->low);
    json_number(b, "auroc_high", o->has_interval, o->high);
    json_number(b, "auroc_wald_low", r.has_wald, r.wald_low);
    json_number(b, "auroc_wald_high", r.has_wald, r.wald_high);
    if (p->clusters.n_cluster &&
        !cluster_auroc(&p->clusters, &p->parts[k], p->in->level, w->a, &c, w->e))
        return false;
    json_number(b, "auroc_cluster_var", c.logit.has_variance, c.logit.variance);
    if (p->clusters.n_cluster) {
        json_whole(b, "patients", p->clusters.n_cluster);
        json_number(b, "auroc_cluster_low", c.logit.has_interval, c.logit.low);
        json_number(b, "auroc_cluster_high", c.logit.has_interval, c.logit.high);
    }
    if (!weigh_auprc_rows(p->score[k], p->positive, p->n, w->a, &precision, w->e)) return false;
    add_number(b, "auprc", &precision);
    return add_boot_interval(p, k * VALUES, "auroc_boot", w) &&
           add_boot_interval(p, k * VALUES + 1, "auprc", w);
}

static bool add_threshold(const part *p, int32_t k, work *w)
{
    buf *b = w->json;
    cut_table t = cut_table_of(p->score[k], p->positive, p->n, p->in->threshold);
    cut_measures m = cut_measures_of(t, PROP_WILSON, p->in->level);
    json_whole(b, "tp", t.tp);
    json_whole(b, "fp", t.fp);
    json_whole(b, "tn", t.tn);
    json_whole(b, "fn", t.fn);
    add_share(b, "accuracy", &m.accuracy);
    add_share(b, "sens", &m.sensitivity);
    add_share(b, "spec", &m.specificity);
    add_share(b, "ppv", &m.ppv);
    add_share(b, "npv", &m.npv);
    add_number(b, "f1", &m.f1);
    add_number(b, "macro_f1", &m.macro_f1);
    add_number(b, "mcc", &m.mcc);
    add_number(b, "kappa", &m.kappa);
    add_number(b, "balanced_accuracy", &m.balanced_accuracy);
    size_t mark = arena_mark(w->a);
    rank_roc roc;
    if (!rank_roc_take(p->score[k], p->positive, p->n, w->a, &roc, w->e)) return false;
    cut_choice best = cut_choose(&roc, CUT_YOUDEN, 0);
    bool exists = stat_status_usable(best.status);
    json_open(b, "youden", '{');
    json_number(b, "threshold", exists, best.threshold);
    json_number(b, "sens", exists, best.sensitivity);
    json_number(b, "spec", exists, best.specificity);
    json_close(b, '}');
    arena_reset(w->a, mark);
    return true;
}

static bool add_line(const part *p, int32_t k, work *w)
{
    buf *b = w->json;
    int64_t n_clipped = 0;
    calib_line line = {.status = stat_check_probabilities(p->score[k], p->n)};
    double *odds = arena_take(w->a, (size_t)p->n, sizeof *odds, w->e);
    if (!odds) return false;
    if (line.status == STAT_OK) {
        calib_log_odds(p->score[k], p->n, odds, &n_clipped);
        if (!calib_line_of(odds, p->positive, NULL, p->n, w->a, &line, w->e)) return false;
    }
    json_text(b, "calibration_status", stat_status_name(line.status));
    json_whole(b, "clipped", n_clipped);
    add_number(b, "citl", &line.in_the_large);
    json_number(b, "citl_se", line.in_the_large.has_variance, sqrt(line.in_the_large.variance));
    add_number(b, "intercept", &line.intercept);
    add_share(b, "slope", &line.slope);
    return true;
}

static bool add_calibration(const part *p, int32_t k, work *w)
{
    buf *b = w->json;
    const double *s = p->score[k];
    stat_estimate o;
    calib_bin bin[10];
    int64_t n_clipped;
    o = calib_brier(s, p->positive, p->n);
    add_number(b, "brier", &o);
    if (!add_boot_interval(p, k * VALUES + 2, "brier", w)) return false;
    o = calib_brier_scaled(s, p->positive, p->n);
    add_number(b, "brier_scaled", &o);
    o = calib_log_loss(s, p->positive, p->n, &n_clipped);
    add_number(b, "log_loss", &o);
    if (!add_line(p, k, w)) return false;
    o = calib_observed_expected(s, p->positive, p->n);
    add_share(b, "oe", &o);
    calib_spiegelhalter z = calib_spiegelhalter_of(s, p->positive, p->n);
    json_number(b, "spiegelhalter_z", z.status == STAT_OK, z.z);
    json_number(b, "spiegelhalter_p", z.status == STAT_OK, z.p);
    if (!calib_ece(s, p->positive, p->n, false, 10, bin, w->a, &o, w->e)) return false;
    add_number(b, "ece10", &o);
    if (!calib_ece(s, p->positive, p->n, true, 10, bin, w->a, &o, w->e)) return false;
    add_number(b, "ece10_mass", &o);
    return true;
}

static bool add_arms(const part *p, work *w)
{
    json_open(w->json, "arms", '{');
    for (int32_t k = 0; k < p->in->n_arm; k++) {
        json_open(w->json, p->in->name[k], '{');
        json_whole(w->json, "n", p->n);
        json_whole(w->json, "events", p->events);
        if (!add_auroc(p, k, w) || !add_threshold(p, k, w)) return false;
        if (p->in->probability && !add_calibration(p, k, w)) return false;
        json_close(w->json, '}');
    }
    json_close(w->json, '}');
    return true;
}

/* --- pairs --- */

static void add_mcnemar(const part *p, int32_t i, int32_t j, buf *b)
{
    int64_t count[2][2] = {{0}};
    for (int64_t r = 0; r < p->n; r++) {
        bool a = (p->score[i][r] >= p->in->threshold) == p->positive[r];
        bool c = (p->score[j][r] >= p->in->threshold) == p->positive[r];
        count[a][c]++;
    }
    paired_mcnemar m = paired_mcnemar_of(count[1][1], count[1][0], count[0][1], count[0][0]);
    json_open(b, "mcnemar", '{');
    json_whole(b, "b", m.b);
    json_whole(b, "c", m.c);
    json_number(b, "p", true, m.p);
    json_number(b, "p_mid", true, m.p_mid);
    json_text(b, "method", m.method);
    json_close(b, '}');
}

static bool add_pair(const part *p, int32_t i, int32_t j, double p_holm, work *w)
{
    buf *b = w->json;
    const rank_parts *two[2] = {&p->parts[i], &p->parts[j]};
    rank_test t = rank_compare_paired(two[0], two[1], p->in->level), c;
    json_open(b, NULL, '{');
    json_text(b, "a", p->in->name[i]);
    json_text(b, "b", p->in->name[j]);
    json_text(b, "status", stat_status_name(t.status));
    json_number(b, "diff", stat_status_usable(t.status), t.difference);
    json_number(b, "low", t.has_interval, t.low);
    json_number(b, "high", t.has_interval, t.high);
    json_number(b, "z", t.has_value, t.statistic);
    json_number(b, "p", t.has_value, t.p);
    json_number(b, "p_holm", t.has_value, p_holm);
    if (p->clusters.n_cluster) {
        if (!cluster_compare(&p->clusters, two, p->in->level, w->a, &c, w->e)) return false;
        json_number(b, "cluster_low", c.has_interval, c.low);
        json_number(b, "cluster_high", c.has_interval, c.high);
        json_number(b, "cluster_p", c.has_value, c.p);
    }
    if (p->boot) {
        stat_estimate o;
        double p_boot;
        if (!boot_difference(p->boot, i * VALUES, j * VALUES, p->in->level, w->a, &o, &p_boot,
                             w->e))
            return false;
        json_number(b, "boot_low", o.has_interval, o.low);
        json_number(b, "boot_high", o.has_interval, o.high);
        json_number(b, "boot_p", o.has_interval, p_boot);
    }
    add_mcnemar(p, i, j, b);
    json_close(b, '}');
    return true;
}

static bool add_pairs(const part *p, work *w)
{
    int32_t n_arm = p->in->n_arm, n = 0;
    size_t room = (size_t)n_arm * (size_t)(n_arm - 1) / 2;
    double *raw = arena_take(w->a, room, sizeof *raw, w->e);
    double *holm = arena_take(w->a, room, sizeof *holm, w->e);
    if (!raw || !holm) return false;
    for (int32_t i = 0; i < n_arm; i++) {
        for (int32_t j = i + 1; j < n_arm; j++) {
            rank_test t = rank_compare_paired(&p->parts[i], &p->parts[j], p->in->level);
            if (t.has_value) raw[n++] = t.p;
        }
    }
    if (!adjust_holm(raw, n, holm, w->a, w->e)) return false;
    json_open(w->json, "pairs", '[');
    n = 0;
    for (int32_t i = 0; i < n_arm; i++) {
        for (int32_t j = i + 1; j < n_arm; j++) {
            bool tested = rank_compare_paired(&p->parts[i], &p->parts[j], p->in->level).has_value;
            if (!add_pair(p, i, j, tested ? holm[n] : 0, w)) return false;
            n += tested;
        }
    }
    json_close(w->json, ']');
    return true;
}

/* --- groups --- */

static bool add_group(const judge_input *in, const judge_group *g, work *w)
{
    stat_estimate *of_arm =
        arena_take_zero(w->a, (size_t)in->n_arm, (size_t)g->n_value * sizeof *of_arm, w->e);
    if (!of_arm) return false;
    json_open(w->json, g->name, '{');
    json_open(w->json, "values", '{');
    for (int32_t v = 0; v < g->n_value; v++) {
        size_t mark = arena_mark(w->a);
        part p;
        if (!take_part(in, g, v, w, &p)) return false;
        json_open(w->json, g->value_name[v], '{');
        json_whole(w->json, "n", p.n);
        json_whole(w->json, "events", p.events);
        if (!add_arms(&p, w) || !add_pairs(&p, w)) return false;
        json_close(w->json, '}');
        for (int32_t k = 0; k < in->n_arm; k++)
            of_arm[k * g->n_value + v] = rank_auroc_of(&p.parts[k], in->level).logit;
        arena_reset(w->a, mark);
    }
    json_close(w->json, '}');
    json_open(w->json, "interaction", '{');
    for (int32_t k = 0; k < in->n_arm; k++) {
        subgroup_test t = subgroup_heterogeneity(of_arm + k * g->n_value, g->n_value);
        json_open(w->json, in->name[k], '{');
        json_number(w->json, "q", t.status == STAT_OK, t.q);
        json_number(w->json, "df", t.status == STAT_OK, t.df);
        json_number(w->json, "p", t.status == STAT_OK, t.p);
        json_text(w->json, "status", stat_status_name(t.status));
        json_close(w->json, '}');
    }
    json_close(w->json, '}');
    json_close(w->json, '}');
    return true;
}

bool judge_write(const judge_input *in, pool *threads, arena *scratch, buf *json, err *e)
{
    assert(in->n >= 0 && in->n_arm > 0 && (threads || in->n_draw == 0) && json->size == 0);
    work w = {.threads = threads, .a = scratch, .json = json, .e = e};
    size_t mark = arena_mark(scratch);
    part all;
    if (!take_part(in, NULL, 0, &w, &all) || !boot_part(&all, &w)) return false;
    json_open(json, NULL, '{');
    json_whole(json, "rows", in->n);
    json_whole(json, "n", all.n);
    json_whole(json, "events", all.events);
    json_whole(json, "unscored", in->n - all.n);
    json_number(json, "threshold", true, in->threshold);
    json_number(json, "level", true, in->level == 0 ? 0.95 : in->level);
    if (all.boot) {
        json_whole(json, "draws", all.boot->n_draw);
        json_whole(json, "redrawn", all.boot->n_redraw);
        json_text(json, "draw_unit", all.clusters.n_cluster ? "patient" : "row, within class");
    }
    if (!add_arms(&all, &w) || !add_pairs(&all, &w)) return false;
    json_open(json, "groups", '{');
    for (int32_t g = 0; g < in->n_group; g++) {
        if (!add_group(in, &in->group[g], &w)) return false;
    }
    json_close(json, '}');
    json_close(json, '}');
    buf_add_char(json, '\n');
    arena_reset(scratch, mark);
    return buf_check(json, "the judgement", e);
}
