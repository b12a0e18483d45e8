/* evidence: see evidence.h. */
#include "view/evidence.h"

#include "base/hash.h"
#include "stats/adjust.h"
#include "stats/agree.h"
#include "stats/cluster.h"
#include "stats/multi.h"
#include "stats/score.h"
#include "stats/weigh.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

typedef struct work {
    evidence *v;
    verdict *stats;
    arena *a;
    pool *threads;
    uint64_t seed;
    int32_t *unit; /* [n] patients of the judged rows; NULL without clusters */
    int32_t n_unit;
} work;

static curves_rows rows_of(const work *w, const verdict_arm *s)
{
    return (curves_rows){.n = w->stats->n,
                         .score = s->score,
                         .probability = s->probability,
                         .positive = s->positive,
                         .unit = w->unit,
                         .n_unit = w->n_unit};
}

/* --- average precision with its interval --- */

static bool boot_precision(const void *context, const uint16_t *weight, double *value)
{
    return weigh_average_precision(context, weight, value);
}

static bool add_precision(work *w, const verdict_arm *s, evidence_arm *out, err *e)
{
    int64_t n = w->stats->n;
    if (!weigh_auprc_rows(s->score, s->positive, n, w->a, &out->auprc, e)) return false;
    if (!stat_status_usable(s->parts.status)) /* of one class alone it is 1 or nothing */
        out->auprc = stat_none(s->parts.status, n, w->stats->events);
    if (!out->auprc.has_value) return true;
    size_t mark = arena_mark(w->a);
    weigh_order order;
    boot_result r;
    boot_plan plan = {.n = n,
                      .unit = w->unit,
                      .n_unit = w->n_unit,
                      .stratum = w->unit ? NULL : s->positive,
                      .n_draw = curves_draws(n, false),
                      .seed_study = w->seed,
                      .seed_analysis = boot_seed("average precision"),
                      .n_value = 1,
                      .statistic = boot_precision,
                      .context = &order};
    stat_estimate o;
    if (!weigh_order_take(s->score, s->positive, n, w->a, &order, e) ||
        !boot_run(&plan, w->threads, w->a, &r, e) ||
        !boot_estimate(&r, 0, (boot_interval){.level = w->stats->level}, w->a, &o, e))
        return false;
    if (r.status == STAT_OK && o.has_interval && o.high - o.low > 1e-9) {
        out->auprc.has_interval = true;
        out->auprc.low = o.low;
        out->auprc.high = o.high;
        out->auprc.method = o.method;
        out->auprc_draws = plan.n_draw;
    }
    arena_reset(w->a, mark);
    return true;
}

/* --- shares by patient --- */

typedef struct share_job {
    const verdict_arm *s;
    int64_t n;
    enum { SHARES_OF_TRUTH, SHARES_OF_CALLS, SHARE_RIGHT } kind; /* a pair exists or not as one */
} share_job;

static bool boot_shares(const void *context, const uint16_t *weight, double *value)
{
    const share_job *j = context;
    cut_table t = weigh_cut(j->s->probability, j->s->positive, weight, j->n, j->s->threshold);
    bool calls = j->kind == SHARES_OF_CALLS;
    int64_t first = t.tp + (calls ? t.fp : t.fn), second = t.tn + (calls ? t.fn : t.fp);
    if (j->kind == SHARE_RIGHT) {
        int64_t all = first + second;
        value[0] = value[1] = all > 0 ? (double)(t.tp + t.tn) / (double)all : 0;
        return all > 0;
    }
    if (first == 0 || second == 0) return false;
    value[0] = (double)t.tp / (double)first;
    value[1] = (double)t.tn / (double)second;
    return true;
}

/* Shares of texts of few patients are not binomial: their intervals are drawn by patient. */
static bool add_shares(work *w, const verdict_arm *s, evidence_arm *out, err *e)
{
    out->cut = s->at_point;
    if (!w->unit || !out->cut.accuracy.has_value) return true;
    stat_estimate *to[3][2] = {{&out->cut.sensitivity, &out->cut.specificity},
                               {&out->cut.ppv, &out->cut.npv},
                               {&out->cut.accuracy, NULL}};
    for (int which = 0; which < 3; which++) {
        size_t mark = arena_mark(w->a);
        share_job j = {.s = s, .n = w->stats->n, .kind = which};
        boot_result r;
        boot_plan plan = {.n = j.n,
                          .unit = w->unit,
                          .n_unit = w->n_unit,
                          .n_draw = curves_draws(j.n, false),
                          .seed_study = w->seed,
                          .seed_analysis = boot_seed("shares by patient"),
                          .n_value = 2,
                          .statistic = boot_shares,
                          .context = &j};
        if (!boot_run(&plan, w->threads, w->a, &r, e)) return false;
        for (int i = 0; i < 2 && to[which][i]; i++) {
            stat_estimate o = {0};
            boot_interval how = {.level = w->stats->level};
            if (!boot_estimate(&r, i, how, w->a, &o, e)) return false;
            to[which][i]->has_interval = r.status == STAT_OK && o.has_interval;
            to[which][i]->low = o.low;
            to[which][i]->high = o.high;
            to[which][i]->method = to[which][i]->has_interval ? "bootstrap of patients" : "";
        }
        arena_reset(w->a, mark);
    }
    return true;
}

/* --- calibration --- */

static bool add_line(work *w, const verdict_arm *s, const double *p, calib_line *out, err *e)
{
    int64_t n = w->stats->n, n_clipped = 0;
    size_t mark = arena_mark(w->a);
    double *log_odds = arena_take(w->a, (size_t)n, sizeof *log_odds, e);
    if (!log_odds) return false;
    *out = (calib_line){.status = stat_check_probabilities(p, n)};
    if (out->status == STAT_OK) {
        calib_log_odds(p, n, log_odds, &n_clipped);
        const stat_rows odds = {.n = n, .score = log_odds, .positive = s->positive};
        if (!calib_line_of(&odds, w->a, out, e)) return false;
    } else {
        out->in_the_large = out->intercept = out->slope =
            stat_none(out->status, n, w->stats->events);
    }
    arena_reset(w->a, mark);
    return true;
}

static bool add_calibration(work *w, const verdict_arm *s, evidence_arm *out, err *e)
{
    int64_t n = w->stats->n, n_clipped = 0;
    out->log_loss = calib_log_loss(s->probability, s->positive, n, &n_clipped);
    out->observed_expected = calib_observed_expected(s->probability, s->positive, n);
    const stat_rows rows = {.n = n, .score = s->probability, .positive = s->positive};
    const calib_bins bins = {.n = EVIDENCE_BINS};
    return calib_ece(&rows, bins, out->bin, w->a, &out->ece, e) &&
           add_line(w, s, s->probability, &out->line, e) &&
           add_line(w, s, s->own_probability, &out->line_own, e);
}

/* A baseline that gives every text the same score: nothing to draw. */
static bool is_flat(const work *w, int32_t k)
{
    const double *score = w->stats->arm[k].score;
    if (!w->v->g->in.arm[k].baseline) return false;
    for (int64_t i = 1; i < w->stats->n; i++) {
        if (score[i] != score[0]) return false;
    }
    return true;
}

static bool add_arm(work *w, int32_t k, err *e)
{
    const verdict_arm *s = &w->stats->arm[k];
    evidence_arm *out = &w->v->arm[k];
    curves_rows rows = rows_of(w, s);
    curves_plan plan = {.seed = w->seed, .level = w->stats->level, .pool = w->threads};
    out->auroc = w->v->clusters ? &s->clustered : &s->auroc;
    if (!add_precision(w, s, out, e) || !add_shares(w, s, out, e) || !add_calibration(w, s, out, e))
        return false;
    if (w->v->n_drawn == EVIDENCE_CURVES_MAX || is_flat(w, k)) return true;
    w->v->drawn[w->v->n_drawn++] = k;
    if (s->own_probability != s->probability) {
        curves_rows own = rows;
        own.probability = s->own_probability;
        if (!curves_calibration(&own, &plan, w->a, &out->calibration_own, e)) return false;
    }
    return curves_roc(&rows, &plan, w->a, &out->roc, e) &&
           curves_precision(&rows, w->a, &out->precision, e) &&
           curves_calibration(&rows, &plan, w->a, &out->calibration, e) &&
           curves_decision(&rows, &plan, w->a, &out->decision, out->all, e);
}

/* --- subgroups --- */

typedef struct subset { /* columns of the rows of a level */
    int64_t n;
    int32_t *row; /* judged rows */
    double *score;
    uint8_t *positive;
    int32_t *patient, *cluster;
} subset;

static bool judge_level(work *w, subset *s, evidence_level *l, err *e)
{
    int32_t n_cluster = 0;
    bool patients = w->stats->n_patient > 0;
    if (patients && !cluster_number(s->patient, s->n, s->cluster, &n_cluster, w->a, e))
        return false;
    l->n = s->n;
    l->n_patient = n_cluster;
    cluster_rows rows = {.n = s->n,
                         .positive = s->positive,
                         .cluster = s->cluster,
                         .n_cluster = n_cluster};
    l->auroc = arena_take_zero(w->a, (size_t)w->stats->n_arm, sizeof *l->auroc, e);
    for (int64_t i = 0; l->auroc && i < s->n; i++) l->events += s->positive[i];
    size_t mark = arena_mark(w->a);
    for (int32_t k = 0; l->auroc && k < w->stats->n_arm; k++) {
        rank_parts parts;
        for (int64_t i = 0; i < s->n; i++) s->score[i] = w->stats->arm[k].score[s->row[i]];
        if (!rank_parts_take(s->score, s->positive, s->n, w->a, &parts, e)) return false;
        l->auroc[k] = rank_auroc_of(&parts, w->stats->level);
        if (w->v->clusters && stat_status_usable(parts.status) &&
            !cluster_auroc(&rows, &parts, w->stats->level, w->a, &l->auroc[k], e))
            return false;
        arena_reset(w->a, mark);
    }
    return l->auroc != NULL;
}

static int by_text(const void *a, const void *b)
{
    return str_order(*(const str *)a, *(const str *)b);
}

/* The distinct values of group column g among the judged rows, sorted; false too when memory is
 * out. */
static bool list_levels(work *w, int32_t g, evidence_group *out, err *e)
{
    const store_study *study = &w->v->g->study;
    size_t mark = arena_mark(w->a);
    str *name = arena_take(w->a, (size_t)w->stats->n, sizeof *name, e);
    if (!name) return false;
    for (int64_t i = 0; i < w->stats->n; i++) name[i] = study->row[w->stats->row[i]].group[g];
    qsort(name, (size_t)w->stats->n, sizeof *name, by_text);
    str distinct[EVIDENCE_LEVELS_MAX + 1];
    int32_t n = 0;
    for (int64_t i = 0; i < w->stats->n && n <= EVIDENCE_LEVELS_MAX; i++) {
        if (n == 0 || !str_equal(distinct[n - 1], name[i])) distinct[n++] = name[i];
    }
    arena_reset(w->a, mark);
    if (n > EVIDENCE_LEVELS_MAX) return true;
    out->n_level = n;
    out->level = arena_take_zero(w->a, (size_t)n, sizeof *out->level, e);
    for (int32_t i = 0; out->level && i < n; i++) out->level[i].name = distinct[i];
    return out->level != NULL;
}

static bool test_group(work *w, evidence_group *g, err *e)
{
    g->test = arena_take_zero(w->a, (size_t)w->stats->n_arm, sizeof *g->test, e);
    stat_estimate *of_level = arena_take(w->a, (size_t)g->n_level, sizeof *of_level, e);
    if (!g->test || !of_level) return false;
    for (int32_t k = 0; k < w->stats->n_arm; k++) {
        for (int32_t i = 0; i < g->n_level; i++) of_level[i] = g->level[i].auroc[k].logit;
        g->test[k] = subgroup_heterogeneity(of_level, g->n_level);
    }
    return true;
}

static bool add_group(work *w, int32_t which, subset *s, err *e)
{
    evidence_group *g = &w->v->group[which];
    const store_study *study = &w->v->g->study;
    g->name = study->group_name[which];
    if (!list_levels(w, which, g, e)) return false;
    for (int32_t l = 0; l < g->n_level; l++) {
        s->n = 0;
        for (int64_t i = 0; i < w->stats->n; i++) {
            const store_row *row = &study->row[w->stats->row[i]];
            if (!str_equal(row->group[which], g->level[l].name)) continue;
            s->row[s->n] = (int32_t)i;
            s->patient[s->n] = row->patient;
            s->positive[s->n++] = w->stats->arm[0].positive[i];
        }
        if (!judge_level(w, s, &g->level[l], e)) return false;
    }
    return test_group(w, g, e);
}

static bool add_groups(work *w, err *e)
{
    size_t n = (size_t)w->stats->n;
    w->v->n_group = w->v->g->study.n_group;
    w->v->group = arena_take_zero(w->a, (size_t)w->v->n_group, sizeof *w->v->group, e);
    subset s = {.row = arena_take(w->a, n, sizeof *s.row, e),
                .score = arena_take(w->a, n, sizeof *s.score, e),
                .positive = arena_take(w->a, n, sizeof *s.positive, e),
                .patient = arena_take(w->a, n, sizeof *s.patient, e),
                .cluster = arena_take(w->a, n, sizeof *s.cluster, e)};
    if (!w->v->group || !s.row || !s.score || !s.positive || !s.patient || !s.cluster) return false;
    for (int32_t g = 0; g < w->v->n_group; g++) {
        if (!add_group(w, g, &s, e)) return false;
    }
    return true;
}

static bool number_patients(work *w, err *e)
{
    if (!w->v->clusters) return true;
    size_t n = (size_t)w->stats->n;
    int32_t *patient = arena_take(w->a, n, sizeof *patient, e);
    w->unit = arena_take(w->a, n, sizeof *w->unit, e);
    if (!patient || !w->unit) return false;
    for (int64_t i = 0; i < w->stats->n; i++)
        patient[i] = w->v->g->study.row[w->stats->row[i]].patient;
    return cluster_number(patient, w->stats->n, w->unit, &w->n_unit, w->a, e);
}

static bool adjust_pairs(work *w, err *e)
{
    size_t n = (size_t)w->stats->n_pair;
    double *raw = arena_take(w->a, n, sizeof *raw, e), *holm = arena_take(w->a, n, sizeof *holm, e);
    w->v->p_holm = arena_take_zero(w->a, n, sizeof *w->v->p_holm, e);
    if (!raw || !holm || !w->v->p_holm) return false;
    int32_t n_test = 0;
    for (size_t i = 0; i < n; i++) {
        const verdict_pair *pair = &w->stats->pair[i];
        const rank_test *t = evidence_test(w->v, pair);
        if (t->has_value && !pair->primary) raw[n_test++] = t->p;
    }
    if (!adjust_holm(raw, n_test, holm, w->a, e)) return false;
    n_test = 0;
    for (size_t i = 0; i < n; i++) {
        const verdict_pair *pair = &w->stats->pair[i];
        const rank_test *t = evidence_test(w->v, pair);
        if (t->has_value) w->v->p_holm[i] = pair->primary ? t->p : holm[n_test++];
    }
    return true;
}

/* The primary pair as declared, and whether its first arm is worse by the margin. */
static void judge_primary(work *w)
{
    evidence *v = w->v;
    int32_t first, second;
    int sign;
    double margin = 0;
    if (w->stats->primary < 0) return;
    v->primary = &w->stats->pair[w->stats->primary];
    if (!evidence_primary(v, &first, &second, &sign)) return;
    if (!str_to_double(str_of(gather_fact(v->g, "primary_margin")), &margin) || !(margin > 0))
        return;
    rank_test t = *evidence_test(v, v->primary);
    if (sign < 0) {
        double low = t.low;
        t.low = -t.high;
        t.high = -low;
        t.difference = -t.difference;
        t.statistic = -t.statistic;
    }
    v->inferior = paired_noninferior(&t, margin);
}

/* --- more than two classes --- */

/* Probabilities of the judged rows under arm k: [n x n_class]. */
static bool take_probabilities(work *w, int32_t k, double *p)
{
    const gather *g = w->v->g;
    int32_t n_class = w->stats->n_class;
    const store_results *got = &g->got[k];
    bool all = true;
    for (int64_t i = 0, at = 0; i < w->stats->n; i++) {
        while (got->row[at] != w->stats->row[i]) at++; /* both by row; every judged row is there */
        all = score_probabilities(got->class_logprob + (size_t)at * (size_t)n_class, n_class,
                                  p + i * n_class) &&
              all;
    }
    return all;
}

static void set_interval(stat_estimate *to, const stat_estimate *drawn, const boot_result *r)
{
    to->has_interval = to->has_value && r->status == STAT_OK && drawn->has_interval;
    to->low = to->has_interval ? drawn->low : 0;
    to->high = to->has_interval ? drawn->high : 0;
    to->method = to->has_interval ? drawn->method : "";
}

static bool draw_multi(work *w, const multi_rows *rows, evidence_multi *out, err *e)
{
    size_t mark = arena_mark(w->a);
    multi_draws draws;
    boot_result r;
    boot_plan plan = {.n = rows->n,
                      .unit = w->unit,
                      .n_unit = w->n_unit,
                      .n_draw = curves_draws(rows->n, true),
                      .seed_study = w->seed,
                      .seed_analysis = boot_seed("several classes"),
                      .n_value = MULTI_VALUES,
                      .statistic = multi_draw,
                      .context = &draws};
    stat_estimate *to[MULTI_VALUES] = {[MULTI_MACRO] = &out->macro,
                                       [MULTI_WEIGHTED] = &out->weighted,
                                       [MULTI_HAND_TILL] = &out->hand_till,
                                       [MULTI_ACCURACY] = &out->accuracy,
                                       [MULTI_MACRO_F1] = &out->macro_f1,
                                       [MULTI_WEIGHTED_F1] = &out->weighted_f1,
                                       [MULTI_MCC] = &out->mcc,
                                       [MULTI_KAPPA] = &out->kappa};
    if (!multi_draws_take(rows, w->a, &draws, e)) return false;
    for (int all = 0; all < 2; all++) { /* kappa and its kin may not exist where the others do */
        plan.n_value = all ? MULTI_VALUES : MULTI_RANK_VALUES;
        plan.statistic = all ? multi_draw : multi_draw_ranks;
        if (!boot_run(&plan, w->threads, w->a, &r, e)) return false;
        for (int32_t i = all ? MULTI_RANK_VALUES : 0; i < plan.n_value; i++) {
            stat_estimate o = {0};
            if (i == MULTI_ACCURACY && !w->unit) continue; /* Wilson's stands */
            if (!boot_estimate(&r, i, (boot_interval){.level = w->stats->level}, w->a, &o, e))
                return false;
            set_interval(to[i], &o, &r);
        }
    }
    out->n_draw = plan.n_draw;
    out->n_redraw = r.n_redraw;
    arena_reset(w->a, mark);
    return true;
}

static bool add_multi(work *w, err *e)
{
    const verdict *s = w->stats;
    size_t n = (size_t)s->n * (size_t)s->n_class;
    w->v->multi = arena_take_zero(w->a, (size_t)s->n_arm, sizeof *w->v->multi, e);
    int32_t *label = arena_take(w->a, (size_t)s->n, sizeof *label, e);
    double *p = arena_take(w->a, n, sizeof *p, e);
    if (!w->v->multi || !label || !p) return false;
    for (int64_t i = 0; i < s->n; i++) label[i] = w->v->g->study.row[s->row[i]].label;
    for (int32_t k = 0; k < s->n_arm; k++) {
        evidence_multi *out = &w->v->multi[k];
        multi_rows rows = {.n = s->n, .n_class = s->n_class, .label = label, .p = p};
        multi_auroc a;
        if (!take_probabilities(w, k, p)) return err_set(e, ERR_DATA, "a score is damaged");
        if (!multi_auroc_of(&rows, w->a, &a, e)) return false;
        out->macro = a.macro;
        out->weighted = a.weighted;
        out->hand_till = a.hand_till;
        out->n_judged = a.n_judged;
        if (s->n_class > AGREE_CATEGORIES_MAX || s->n == 0) continue;
        multi_measures m = multi_measures_of(&rows);
        out->accuracy = m.accuracy;
        out->macro_f1 = m.macro_f1;
        out->weighted_f1 = m.weighted_f1;
        out->mcc = m.mcc;
        out->kappa = m.kappa;
        out->log_loss = m.log_loss;
        out->brier = m.brier;
        if (a.n_judged >= 2 && !draw_multi(w, &rows, out, e)) return false;
    }
    return true;
}

bool evidence_compute(evidence *v, gather *g, err *e)
{
    assert(g->stats.n_arm > 0);
    *v = (evidence){.g = g, .binary = g->stats.positive >= 0};
    v->clusters = g->stats.n_patient > 0 && g->stats.n_patient < g->stats.n;
    const char *study = gather_fact(g, "study_sha256");
    work w = {.v = v,
              .stats = &g->stats,
              .a = &g->memory,
              .seed = hash_to_seed(hash_of(study, strlen(study))),
              .threads = pool_open(0, e)};
    v->arm = arena_take_zero(w.a, (size_t)g->stats.n_arm, sizeof *v->arm, e);
    bool ok = w.threads && v->arm && number_patients(&w, e);
    if (ok && g->stats.n_class > 2) ok = add_multi(&w, e);
    for (int32_t k = 0; ok && v->binary && k < g->stats.n_arm; k++) ok = add_arm(&w, k, e);
    if (ok && v->binary) {
        ok = adjust_pairs(&w, e) && add_groups(&w, e);
        judge_primary(&w);
    }
    pool_close(w.threads);
    return ok;
}

const verdict_pair *evidence_pair(const evidence *v, int32_t arm, int32_t reference, int *sign)
{
    const verdict *r = &v->g->stats;
    for (int32_t i = 0; i < r->n_pair; i++) {
        const verdict_pair *p = &r->pair[i];
        *sign = p->b == arm ? 1 : -1; /* a pair's difference is b - a */
        if ((p->a == arm && p->b == reference) || (p->b == arm && p->a == reference)) return p;
    }
    return NULL;
}

bool evidence_primary(const evidence *v, int32_t *first, int32_t *second, int *sign)
{
    const verdict_pair *p = v->primary;
    if (!p) return false;
    bool as_made = !strcmp(v->g->in.arm[p->b].name, gather_fact(v->g, "primary_first"));
    *first = as_made ? p->b : p->a;
    *second = as_made ? p->a : p->b;
    *sign = as_made ? 1 : -1;
    return true;
}

/* --- words --- */

void evidence_add_threshold(buf *b, const verdict_arm *a)
{
    if (isinf(a->threshold)) buf_add_text(b, "above every score");
    else buf_printf(b, a->threshold < 0.01 || a->threshold > 0.99 ? "%.6g" : "%.4g", a->threshold);
}

void evidence_add_point(const verdict *r, buf *b)
{
    const verdict_point *p = &r->point;
    if (!p->chosen) {
        buf_printf(b, "at a probability of %g, set beforehand", p->target == 0.0 ? 0.5 : p->target);
        return;
    }
    buf_add_text(b, "at the threshold that gave each arm ");
    if (p->rule == CUT_YOUDEN) buf_add_text(b, "the largest sensitivity + specificity");
    else if (p->rule == CUT_SENSITIVITY) buf_printf(b, "a sensitivity of at least %g", p->target);
    else if (p->rule == CUT_SPECIFICITY) buf_printf(b, "a specificity of at least %g", p->target);
    else buf_printf(b, "the largest net benefit at %g", p->target);
    buf_printf(b, " on %lld tune texts", (long long)r->n_tune);
}

void evidence_add_point_korean(const verdict *r, buf *b)
{
    const verdict_point *p = &r->point;
    if (!p->chosen) {
        buf_printf(b, "미리 정한 확률 %g에서", p->target == 0.0 ? 0.5 : p->target);
        return;
    }
    buf_printf(b, "조정용(tune) 글 %lld건에서 ", (long long)r->n_tune);
    if (p->rule == CUT_YOUDEN) buf_add_text(b, "민감도와 특이도의 합이 가장 큰");
    else if (p->rule == CUT_SENSITIVITY) buf_printf(b, "민감도가 %g 이상이 되는", p->target);
    else if (p->rule == CUT_SPECIFICITY) buf_printf(b, "특이도가 %g 이상이 되는", p->target);
    else buf_printf(b, "임계 확률 %g의 순이득이 가장 큰", p->target);
    buf_add_text(b, " 조건별 임곗값에서");
}

const char *evidence_recal_words_korean(const verdict *r)
{
    static const char *const words[] = {NULL, "온도 조절", "Platt 방법", "단조 회귀"};
    return words[r->recalibrate];
}

const char *evidence_recal_words(const verdict *r)
{
    static const char *const words[] = {NULL, "a temperature", "Platt's method",
                                        "isotonic regression"};
    return words[r->recalibrate];
}

const rank_test *evidence_test(const evidence *v, const verdict_pair *p)
{
    return v->clusters ? &p->clustered : &p->test;
}

const char *evidence_share_words(const evidence *v)
{
    return v->clusters ? "intervals by bootstrap of patients" : "Wilson's intervals";
}

/* Two decimals of -0.001 are 0.00, not -0.00. */
static void add_plain(buf *b, double x, int decimals, const char *plus)
{
    double least = 0.5 * pow(10, -decimals);
    buf_printf(b, "%s%.*f", x <= -least ? "\u2212" : plus, decimals, fabs(x));
}

void evidence_add(buf *b, const stat_estimate *o, int decimals)
{
    if (!o->has_value) {
        buf_printf(b, "not estimable (%s)", stat_status_reason(o->status));
        return;
    }
    add_plain(b, o->value, decimals, "");
    if (!o->has_interval) return;
    buf_add_text(b, " (");
    add_plain(b, o->low, decimals, "");
    buf_add_text(b, " to ");
    add_plain(b, o->high, decimals, "");
    buf_add_char(b, ')');
}

void evidence_add_signed(buf *b, double x, int decimals) { add_plain(b, x, decimals, "+"); }

void evidence_add_difference(buf *b, const rank_test *t, int sign)
{
    evidence_add_signed(b, sign * t->difference, 3);
    if (!t->has_interval) return;
    buf_add_text(b, " (");
    evidence_add_signed(b, sign > 0 ? t->low : -t->high, 3);
    buf_add_text(b, " to ");
    evidence_add_signed(b, sign > 0 ? t->high : -t->low, 3);
    buf_add_char(b, ')');
}

void evidence_add_p(buf *b, bool exists, double p)
{
    if (!exists) buf_add_text(b, "not estimable");
    else if (p < 0.001) buf_add_text(b, "<0.001");
    else buf_printf(b, p < 0.1 ? "%.3f" : "%.2f", p);
}
