/* judge_compute: see judge.h. One set of rows at a time: all of them, then each subgroup. */
#include "view/judge.h"

#include "stats/adjust.h"
#include "stats/cluster.h"
#include "stats/weigh.h"

#include <assert.h>
#include <math.h>

static const double decisions[JUDGE_DECISIONS] = {0.1, 0.2, 0.3, 0.5};

typedef struct judge_maker {
    const judge_rows *rows;
    const judge_settings *settings;
    cluster_rows clusters;
    judge_set *set;
    arena *a;
    err *e;
} judge_maker;

static const double *cut_column(const judge_rows *r, int32_t k)
{
    return r->probability ? r->probability[k] : r->score[k];
}

/* ---- one score ---- */

static bool judge_rank(const judge_maker *m, int32_t k, judge_arm *arm)
{
    const judge_rows *r = m->rows;
    double level = m->settings->level;
    if (!rank_parts_take(r->score[k], r->positive, r->n, m->a, &arm->parts, m->e)) return false;
    arm->auroc = rank_auroc_of(&arm->parts, level);
    arm->cluster.logit = stat_none(arm->parts.status, r->n, m->set->events);
    arm->youden.status = arm->parts.status;
    if (!weigh_auprc_rows(r->score[k], r->positive, r->n, m->a, &arm->auprc, m->e)) return false;
    if (!arm->auroc.logit.has_value) return true;
    if (r->patient && !cluster_auroc(&m->clusters, &arm->parts, level, m->a, &arm->cluster, m->e))
        return false;
    size_t mark = arena_mark(m->a);
    rank_roc roc;
    if (!rank_roc_take(r->score[k], r->positive, r->n, m->a, &roc, m->e)) return false;
    arm->youden = cut_choose(&roc, CUT_YOUDEN, 0.5);
    arm->partial = rank_partial_area(&roc, 0, 0.1);
    arm->partial_corrected = rank_partial_corrected(arm->partial, 0, 0.1);
    arena_reset(m->a, mark);
    return true;
}

static bool judge_probabilities(const judge_maker *m, int32_t k, judge_arm *arm)
{
    const judge_rows *r = m->rows;
    const double *p = r->probability[k];
    calib_bin bin[CALIB_BINS_MAX];
    arm->probability_status = stat_check_probabilities(p, r->n);
    if (arm->probability_status != STAT_OK) return true;
    arm->has_probability = true;
    arm->brier = calib_brier(p, r->positive, r->n);
    arm->brier_scaled = calib_brier_scaled(p, r->positive, r->n);
    arm->log_loss = calib_log_loss(p, r->positive, r->n, &arm->n_clipped);
    arm->observed_expected = calib_observed_expected(p, r->positive, r->n);
    arm->spiegelhalter = calib_spiegelhalter_of(p, r->positive, r->n);
    decide_rows d = {.n = r->n, .p = p, .positive = r->positive};
    arm->decision_status = decide_curve(&d, decisions, JUDGE_DECISIONS, arm->decision);
    size_t mark = arena_mark(m->a);
    double *z = arena_take(m->a, (size_t)r->n, sizeof *z, m->e);
    if (!z) return false;
    calib_log_odds(p, r->n, z, &arm->n_clipped);
    stat_rows odds = {.n = r->n, .score = z, .positive = r->positive};
    stat_rows given = {.n = r->n, .score = p, .positive = r->positive};
    bool fine = calib_line_of(&odds, m->a, &arm->line, m->e) &&
                recal_temperature(&odds, m->a, &arm->temperature, m->e) &&
                calib_ece(&given, (calib_bins){10, false}, bin, m->a, &arm->ece10, m->e) &&
                calib_ece(&given, (calib_bins){5, false}, bin, m->a, &arm->ece5, m->e) &&
                calib_ece(&given, (calib_bins){4, true}, bin, m->a, &arm->ece4_mass, m->e);
    arena_reset(m->a, mark);
    return fine;
}

static bool judge_one(const judge_maker *m, int32_t k)
{
    const judge_rows *r = m->rows;
    judge_arm *arm = &m->set->arm[k];
    if (!judge_rank(m, k, arm)) return false;
    cut_table t = cut_table_of(cut_column(r, k), r->positive, r->n, m->settings->threshold);
    arm->cut = cut_measures_of(t, PROP_WILSON, m->settings->level);
    arm->probability_status = STAT_NO_CASES;
    return !r->probability || judge_probabilities(m, k, arm);
}

/* ---- the bootstrap ---- */

typedef struct judge_draws {
    const judge_rows *rows;
    double threshold;
    weigh_order *order; /* [n_arm] */
} judge_draws;

static bool draw_values(const void *context, const uint16_t *weight, double *value)
{
    const judge_draws *d = context;
    const judge_rows *r = d->rows;
    for (int32_t k = 0; k < r->n_arm; k++) {
        double *v = value + (size_t)k * JUDGE_BOOT_COUNT;
        cut_table t = weigh_cut(cut_column(r, k), r->positive, weight, r->n, d->threshold);
        int64_t m = t.tp + t.fn, n = t.tn + t.fp;
        if (m == 0 || n == 0 || !weigh_auroc(&d->order[k], weight, &v[JUDGE_BOOT_AUROC]) ||
            !weigh_average_precision(&d->order[k], weight, &v[JUDGE_BOOT_AUPRC]))
            return false;
        v[JUDGE_BOOT_SENS] = (double)t.tp / (double)m;
        v[JUDGE_BOOT_SPEC] = (double)t.tn / (double)n;
        v[JUDGE_BOOT_ACCURACY] = (double)(t.tp + t.tn) / (double)(m + n);
        v[JUDGE_BOOT_BRIER] = 0;
        if (r->probability &&
            !weigh_brier(r->probability[k], r->positive, weight, r->n, &v[JUDGE_BOOT_BRIER]))
            return false;
    }
    return true;
}

static bool wants_draws(const judge_maker *m)
{
    const judge_rows *r = m->rows;
    if (m->settings->n_draw < 0 || !stat_status_usable(m->set->arm[0].parts.status)) return false;
    if (r->patient && m->clusters.n_cluster < 2) return false;
    return m->settings->n_draw > 0 || r->n * r->n_arm <= JUDGE_BOOT_CELLS_MAX;
}

static bool take_draws(const judge_maker *m, const boot_result *b)
{
    judge_set *s = m->set;
    s->n_draw = b->n_draw;
    s->n_redraw = b->n_redraw;
    s->boot_status = b->status;
    boot_interval how = {.level = m->settings->level};
    for (int32_t k = 0; k < s->n_arm; k++) {
        for (int32_t v = 0; v < JUDGE_BOOT_COUNT; v++) {
            stat_estimate *o = &s->arm[k].boot[v];
            if (!boot_estimate(b, k * JUDGE_BOOT_COUNT + v, how, m->a, o, m->e)) return false;
            if (o->low == o->high) o->has_interval = false; /* never an interval of one point */
        }
    }
    for (int32_t i = 0; i < s->n_pair; i++) {
        judge_pair *p = &s->pair[i];
        boot_gap gap;
        boot_pair values = {p->a * JUDGE_BOOT_COUNT + JUDGE_BOOT_AUROC,
                            p->b * JUDGE_BOOT_COUNT + JUDGE_BOOT_AUROC};
        if (!boot_difference(b, values, m->settings->level, m->a, &gap, m->e)) return false;
        p->boot = gap.estimate;
        p->boot_p = gap.p;
    }
    return true;
}

static bool judge_draws_of(const judge_maker *m, pool *threads)
{
    const judge_rows *r = m->rows;
    if (!wants_draws(m)) return true;
    size_t mark = arena_mark(m->a);
    judge_draws d = {.rows = r, .threshold = m->settings->threshold};
    d.order = arena_take(m->a, (size_t)r->n_arm, sizeof *d.order, m->e);
    for (int32_t k = 0; d.order && k < r->n_arm; k++) {
        if (!weigh_order_take(r->score[k], r->positive, r->n, m->a, &d.order[k], m->e))
            return false;
    }
    boot_plan plan = {.n = r->n,
                      .unit = r->patient ? m->clusters.cluster : NULL,
                      .n_unit = r->patient ? m->clusters.n_cluster : 0,
                      .stratum = r->patient ? NULL : r->positive,
                      .n_draw = m->settings->n_draw,
                      .seed_study = m->settings->seed,
                      .seed_analysis = boot_seed("judge"),
                      .n_value = r->n_arm * JUDGE_BOOT_COUNT,
                      .statistic = draw_values,
                      .context = &d};
    boot_result b;
    bool fine = d.order && boot_run(&plan, threads, m->a, &b, m->e) && take_draws(m, &b);
    arena_reset(m->a, mark);
    return fine;
}

/* ---- pairs ---- */

static paired_mcnemar mcnemar_of(const judge_maker *m, int32_t a, int32_t b)
{
    const judge_rows *r = m->rows;
    const double *x = cut_column(r, a), *y = cut_column(r, b);
    int64_t count[2][2] = {{0}};
    for (int64_t i = 0; i < r->n; i++) {
        bool right_x = (x[i] >= m->settings->threshold) == (r->positive[i] == 1);
        bool right_y = (y[i] >= m->settings->threshold) == (r->positive[i] == 1);
        count[right_x][right_y]++;
    }
    return paired_mcnemar_of(count[1][1], count[1][0], count[0][1], count[0][0]);
}

static bool judge_one_pair(const judge_maker *m, judge_pair *p)
{
    const rank_parts *both[2] = {&m->set->arm[p->a].parts, &m->set->arm[p->b].parts};
    p->test = rank_compare_paired(both[0], both[1], m->settings->level);
    p->mcnemar = mcnemar_of(m, p->a, p->b);
    p->cluster = (rank_test){.status = p->test.status, .method = ""};
    return !m->rows->patient || !stat_status_usable(p->test.status) ||
           cluster_compare(&m->clusters, both, m->settings->level, m->a, &p->cluster, m->e);
}

typedef double *judge_p_of(void *list, int32_t i, bool adjusted, bool *exists);

static double *p_of_pair(void *list, int32_t i, bool adjusted, bool *exists)
{
    judge_pair *p = (judge_pair *)list + i;
    *exists = p->test.has_value;
    return adjusted ? &p->p_holm : &p->test.p;
}

static double *p_of_cluster(void *list, int32_t i, bool adjusted, bool *exists)
{
    judge_pair *p = (judge_pair *)list + i;
    *exists = p->cluster.has_value;
    return adjusted ? &p->cluster_p_holm : &p->cluster.p;
}

static double *p_of_test(void *list, int32_t i, bool adjusted, bool *exists)
{
    judge_test *t = (judge_test *)list + i;
    *exists = t->test.has_value;
    return adjusted ? &t->p_holm : &t->test.p;
}

/* Holm over those of n tests that have a p. */
static bool adjust_all(void *list, int32_t n, judge_p_of *p_of, arena *a, err *e)
{
    size_t mark = arena_mark(a);
    double *p = arena_take(a, (size_t)n, sizeof *p, e);
    double *holm = arena_take(a, (size_t)n, sizeof *holm, e);
    int64_t n_test = 0, at = 0;
    bool exists = false;
    for (int32_t i = 0; holm && p && i < n; i++) {
        double one = *p_of(list, i, false, &exists);
        if (exists) p[n_test++] = one;
    }
    bool fine = holm && p && adjust_holm(p, n_test, holm, a, e);
    for (int32_t i = 0; fine && i < n; i++) {
        double *to = p_of(list, i, true, &exists);
        if (exists) *to = holm[at++];
    }
    arena_reset(a, mark);
    return fine;
}

static bool judge_pairs(const judge_maker *m)
{
    judge_set *s = m->set;
    int32_t n = 0;
    for (int32_t a = 0; a < s->n_arm; a++) {
        for (int32_t b = a + 1; b < s->n_arm; b++) {
            s->pair[n] = (judge_pair){.a = a, .b = b, .boot = {.method = ""}};
            if (!judge_one_pair(m, &s->pair[n++])) return false;
        }
    }
    return adjust_all(s->pair, n, p_of_pair, m->a, m->e) &&
           adjust_all(s->pair, n, p_of_cluster, m->a, m->e);
}

/* ---- a set of rows ---- */

static bool judge_set_of(const judge_rows *r, const judge_settings *how, pool *threads, arena *a,
                         judge_set *out, err *e)
{
    *out = (judge_set){.n = r->n, .n_arm = r->n_arm, .n_pair = r->n_arm * (r->n_arm - 1) / 2};
    judge_maker m = {.rows = r, .settings = how, .set = out, .a = a, .e = e};
    for (int64_t i = 0; i < r->n; i++) out->events += r->positive[i];
    out->arm = arena_take_zero(a, (size_t)out->n_arm, sizeof *out->arm, e);
    out->pair = arena_take_zero(a, (size_t)out->n_pair, sizeof *out->pair, e);
    int32_t *cluster = r->patient ? arena_take(a, (size_t)r->n, sizeof *cluster, e) : NULL;
    if (!out->arm || !out->pair || (r->patient && !cluster)) return false;
    m.clusters = (cluster_rows){.n = r->n, .positive = r->positive, .cluster = cluster};
    if (r->patient && !cluster_number(r->patient, r->n, cluster, &m.clusters.n_cluster, a, e))
        return false;
    out->n_patient = m.clusters.n_cluster;
    for (int32_t k = 0; k < r->n_arm; k++) {
        for (int32_t v = 0; v < JUDGE_BOOT_COUNT; v++)
            out->arm[k].boot[v] = stat_none(STAT_NO_CASES, r->n, out->events);
        if (!judge_one(&m, k)) return false;
    }
    return judge_pairs(&m) && judge_draws_of(&m, threads);
}

/* ---- subgroups ---- */

static bool take_group(const judge_rows *r, int32_t g, arena *a, judge_rows *out, err *e)
{
    int64_t n = 0;
    for (int64_t i = 0; i < r->n; i++) n += r->group[i] == g;
    size_t room = (size_t)n, n_arm = (size_t)r->n_arm;
    uint8_t *positive = arena_take(a, room, sizeof *positive, e);
    int32_t *patient = r->patient ? arena_take(a, room, sizeof *patient, e) : NULL;
    double *cells = arena_take(a, room * n_arm, 2 * sizeof *cells, e);
    const double **score = arena_take(a, n_arm, sizeof *score, e);
    const double **probability = arena_take(a, n_arm, sizeof *probability, e);
    if (e->code != ERR_NONE) return false;
    *out = (judge_rows){.n = n,
                        .positive = positive,
                        .patient = patient,
                        .n_arm = r->n_arm,
                        .arm_name = r->arm_name,
                        .score = score};
    if (r->probability) out->probability = probability;
    for (size_t k = 0; k < n_arm; k++) {
        double *s = cells + 2 * k * room, *p = s + room;
        for (int64_t i = 0, at = 0; i < r->n; i++) {
            if (r->group[i] != g) continue;
            s[at] = r->score[k][i];
            p[at++] = r->probability ? r->probability[k][i] : 0;
        }
        score[k] = s;
        probability[k] = p;
    }
    for (int64_t i = 0, at = 0; i < r->n; i++) {
        if (r->group[i] != g) continue;
        if (patient) patient[at] = r->patient[i];
        positive[at++] = r->positive[i];
    }
    return true;
}

static bool judge_groups(judge_result *out, pool *threads, arena *a, err *e)
{
    const judge_rows *r = out->rows;
    judge_settings how = out->settings;
    how.n_draw = -1; /* analytic intervals in subgroups */
    for (int32_t g = 0; g < r->n_group; g++) {
        judge_rows part;
        if (!take_group(r, g, a, &part, e) ||
            !judge_set_of(&part, &how, threads, a, &out->group[g], e))
            return false;
    }
    return true;
}

/* The variance to use: of patients where there are any. */
static const stat_estimate *estimate_of(const judge_result *r, int32_t g, int32_t k)
{
    const judge_arm *arm = &r->group[g].arm[k];
    return r->rows->patient ? &arm->cluster.logit : &arm->auroc.logit;
}

static bool interaction_of(const judge_result *r, int32_t k, arena *a, err *e)
{
    size_t mark = arena_mark(a);
    stat_estimate *o = arena_take(a, (size_t)r->rows->n_group, sizeof *o, e);
    if (!o) return false;
    for (int32_t g = 0; g < r->rows->n_group; g++) o[g] = *estimate_of(r, g, k);
    r->interaction[k] = subgroup_heterogeneity(o, r->rows->n_group);
    arena_reset(a, mark);
    return true;
}

static bool judge_between(judge_result *out, arena *a, err *e)
{
    const judge_rows *r = out->rows;
    int32_t n = r->n_arm * (r->n_group * (r->n_group - 1) / 2);
    out->test = arena_take_zero(a, (size_t)n, sizeof *out->test, e);
    out->interaction = arena_take_zero(a, (size_t)r->n_arm, sizeof *out->interaction, e);
    if (!out->test || !out->interaction) return false;
    for (int32_t k = 0; k < r->n_arm; k++) {
        if (!interaction_of(out, k, a, e)) return false;
        for (int32_t x = 0; x < r->n_group; x++) {
            for (int32_t y = x + 1; y < r->n_group; y++) {
                judge_test *t = &out->test[out->n_test++];
                *t = (judge_test){.arm = k, .a = x, .b = y};
                t->test = rank_compare_unpaired(&out->group[x].arm[k].parts,
                                                &out->group[y].arm[k].parts, out->settings.level);
            }
        }
    }
    return adjust_all(out->test, out->n_test, p_of_test, a, e);
}

bool judge_compute(const judge_rows *rows, judge_settings settings, pool *p, arena *a,
                   judge_result *out, err *e)
{
    assert(rows->n_arm > 0 && rows->n_arm <= JUDGE_SCORES_MAX && rows->n <= INT32_MAX);
    assert(rows->n_group >= 0 && rows->n_group <= JUDGE_GROUPS_MAX);
    *out = (judge_result){.rows = rows, .settings = settings};
    if (settings.level == 0) out->settings.level = 0.95;
    out->group = arena_take_zero(a, (size_t)rows->n_group, sizeof *out->group, e);
    return out->group && judge_set_of(rows, &out->settings, p, a, &out->all, e) &&
           judge_groups(out, p, a, e) && (rows->n_group < 2 || judge_between(out, a, e));
}
