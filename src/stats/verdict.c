/* verdict: see verdict.h. */
#include "stats/verdict.h"

#include "stats/adjust.h"
#include "stats/score.h"

#include <assert.h>
#include <math.h>

/* A row is scored when every Z is a number and at least one class has any probability. */
static bool is_scored(const double *z, int32_t n_class)
{
    bool some = false;
    for (int32_t c = 0; c < n_class; c++) {
        if (isnan(z[c]) || z[c] == INFINITY) return false;
        some = some || z[c] > -INFINITY;
    }
    return some;
}

/* kept[0..n): the rows that every arm scored. */
static int64_t keep_common(const verdict_input *in, const double *const *log_score, int64_t n_row,
                           int32_t *kept)
{
    int64_t n = 0;
    for (int64_t i = 0; i < n_row; i++) {
        bool all = true;
        for (int32_t a = 0; a < in->n_arm && all; a++)
            all = is_scored(log_score[a] + i * in->n_class, in->n_class);
        if (all) kept[n++] = (int32_t)i;
    }
    return n;
}

typedef struct job { /* what every arm's judgement needs */
    const verdict_input *in;
    const int32_t *label;
    const int32_t *kept; /* [n] rows to judge */
    int64_t n;
    cluster_rows clusters; /* n_cluster 0: no patients */
    arena *a;
    err *e;
} job;

static bool judge_mass(const job *j, const double *log_score, verdict_arm *out)
{
    size_t mark = arena_mark(j->a);
    double *mass = arena_take(j->a, (size_t)j->n, sizeof *mass, j->e);
    if (!mass) return false;
    int64_t low = 0;
    for (int64_t i = 0; i < j->n; i++) {
        mass[i] =
            score_label_mass(log_score + (int64_t)j->kept[i] * j->in->n_class, j->in->n_class);
        low += mass[i] < 0.5;
    }
    bool fine = stat_sort(mass, j->n, j->a, j->e);
    if (fine && j->n > 0) {
        out->mass_median = stat_quantile(mass, j->n, 0.5);
        out->mass_low = stat_quantile(mass, j->n, 0.05);
        out->mass_high = stat_quantile(mass, j->n, 0.95);
        out->mass_share_below_half = (double)low / (double)j->n;
    }
    arena_reset(j->a, mark);
    return fine;
}

/* Columns of one class against the rest over the kept rows. */
static bool columns_of(const job *j, const double *log_score, int32_t c, verdict_arm *out)
{
    double *score = arena_take(j->a, (size_t)j->n, sizeof *score, j->e);
    double *probability = arena_take(j->a, (size_t)j->n, sizeof *probability, j->e);
    uint8_t *positive = arena_take(j->a, (size_t)j->n, sizeof *positive, j->e);
    size_t mark = arena_mark(j->a);
    double *p = arena_take(j->a, (size_t)j->in->n_class, sizeof *p, j->e);
    if (!score || !probability || !positive || !p) return false;
    for (int64_t i = 0; i < j->n; i++) {
        const double *z = log_score + (int64_t)j->kept[i] * j->in->n_class;
        score[i] = score_against_rest(z, j->in->n_class, c);
        bool some = score_probabilities(z, j->in->n_class, p);
        assert(some); /* is_scored */
        probability[i] = p[c];
        positive[i] = j->label[j->kept[i]] == c;
    }
    arena_reset(j->a, mark);
    out->score = score;
    out->own_probability = out->probability = probability;
    out->positive = positive;
    return true;
}

/* --- what is chosen on tune rows --- */

static bool fit_recal(const job *t, const verdict_arm *tune, recal_map *map)
{
    const stat_rows rows = {.n = t->n, .score = tune->score, .positive = tune->positive};
    switch (t->in->recalibrate) {
    case VERDICT_RECAL_TEMPERATURE: return recal_temperature(&rows, t->a, map, t->e);
    case VERDICT_RECAL_PLATT: return recal_platt(&rows, false, t->a, map, t->e);
    case VERDICT_RECAL_ISOTONIC: return recal_isotonic(&rows, 0, t->a, map, t->e);
    case VERDICT_RECAL_NONE: break;
    }
    return true;
}

/* Probabilities by the map; the model's own when there is none. */
static bool apply_recal(const job *j, const recal_map *map, verdict_arm *arm)
{
    if (j->in->recalibrate == VERDICT_RECAL_NONE || map->status != STAT_OK) return true;
    double *p = arena_take(j->a, (size_t)j->n, sizeof *p, j->e);
    if (!p) return false;
    for (int64_t i = 0; i < j->n; i++) {
        bool flat = map->n_knot == 0 && map->slope == 0; /* 0 times an infinite score */
        p[i] = recal_apply(map, flat ? 0 : arm->score[i]);
    }
    arm->probability = p;
    return true;
}

static bool choose_on_tune(const job *t, const double *log_score, verdict_arm *out)
{
    verdict_arm tune = {0};
    rank_roc roc;
    if (!t->in->tune) {
        out->recal.status = out->choice.status = STAT_NO_CASES;
        return true;
    }
    if (!columns_of(t, log_score, t->in->positive, &tune) || !fit_recal(t, &tune, &out->recal) ||
        !apply_recal(t, &out->recal, &tune) ||
        !rank_roc_take(tune.probability, tune.positive, t->n, t->a, &roc, t->e))
        return false;
    if (t->in->point.chosen) out->choice = cut_choose(&roc, t->in->point.rule, t->in->point.target);
    return true;
}

static void measure(const job *j, verdict_arm *out)
{
    const verdict_point *p = &j->in->point;
    out->threshold = p->chosen ? out->choice.threshold : p->target == 0.0 ? 0.5 : p->target;
    if (!p->chosen || stat_status_usable(out->choice.status)) {
        cut_table t = cut_table_of(out->probability, out->positive, j->n, out->threshold);
        out->at_point = cut_measures_of(t, PROP_WILSON, j->in->level);
        return;
    }
    stat_estimate none = stat_none(out->choice.status, j->n, out->auroc.logit.events);
    out->at_point = (cut_measures){.accuracy = none,
                                   .sensitivity = none,
                                   .specificity = none,
                                   .ppv = none,
                                   .npv = none,
                                   .f1 = none,
                                   .mcc = none,
                                   .kappa = none,
                                   .balanced_accuracy = none,
                                   .macro_f1 = none,
                                   .weighted_f1 = none};
}

static bool judge_binary(const job *j, const double *log_score, verdict_arm *out)
{
    if (!columns_of(j, log_score, j->in->positive, out)) return false;
    if (!rank_parts_take(out->score, out->positive, j->n, j->a, &out->parts, j->e)) return false;
    out->auroc = rank_auroc_of(&out->parts, j->in->level);
    if (j->clusters.n_cluster > 0) {
        cluster_rows rows = j->clusters;
        rows.positive = out->positive;
        if (!cluster_auroc(&rows, &out->parts, j->in->level, j->a, &out->clustered, j->e))
            return false;
    }
    out->brier_own = calib_brier(out->own_probability, out->positive, j->n);
    if (!apply_recal(j, &out->recal, out)) return false;
    out->brier = calib_brier(out->probability, out->positive, j->n);
    out->brier_scaled = calib_brier_scaled(out->probability, out->positive, j->n);
    measure(j, out);
    return true;
}

static int32_t most_probable(const double *z, int32_t n_class)
{
    int32_t best = 0;
    for (int32_t c = 1; c < n_class; c++) best = z[c] > z[best] ? c : best;
    return best;
}

static bool judge_classes(const job *j, const double *log_score, verdict_arm *out)
{
    rank_auroc *each = arena_take_zero(j->a, (size_t)j->in->n_class, sizeof *each, j->e);
    if (!each) return false;
    double sum = 0;
    for (int32_t c = 0; c < j->in->n_class; c++) {
        size_t mark = arena_mark(j->a);
        verdict_arm one = {0};
        if (!columns_of(j, log_score, c, &one)) return false;
        if (!rank_parts_take(one.score, one.positive, j->n, j->a, &one.parts, j->e)) return false;
        each[c] = rank_auroc_of(&one.parts, j->in->level);
        arena_reset(j->a, mark);
        if (!each[c].logit.has_value) continue;
        out->n_class_judged++;
        sum += each[c].logit.value;
    }
    int64_t right = 0;
    for (int64_t i = 0; i < j->n; i++) {
        const double *z = log_score + (int64_t)j->kept[i] * j->in->n_class;
        right += most_probable(z, j->in->n_class) == j->label[j->kept[i]];
    }
    out->class_auroc = each;
    out->accuracy = prop_of(right, j->n, PROP_WILSON, j->in->level);
    out->macro_auroc = stat_none(j->n ? STAT_ONE_CLASS : STAT_NO_CASES, j->n, 0);
    if (out->n_class_judged > 0) {
        out->macro_auroc.status = STAT_OK;
        out->macro_auroc.has_value = true;
        out->macro_auroc.value = sum / out->n_class_judged;
    }
    return true;
}

/* Patients of the kept rows, numbered densely. */
static bool number_patients(job *j)
{
    if (!j->in->patient) return true;
    int32_t *patient = arena_take(j->a, (size_t)j->n, sizeof *patient, j->e);
    int32_t *cluster = arena_take(j->a, (size_t)j->n, sizeof *cluster, j->e);
    if (!patient || !cluster) return false;
    for (int64_t i = 0; i < j->n; i++) patient[i] = j->in->patient[j->kept[i]];
    j->clusters = (cluster_rows){.n = j->n, .cluster = cluster};
    return cluster_number(patient, j->n, cluster, &j->clusters.n_cluster, j->a, j->e);
}

static bool is_primary(const verdict_input *in, int32_t a, int32_t b)
{
    const int32_t *two = in->primary;
    return (two[0] == a && two[1] == b) || (two[0] == b && two[1] == a);
}

static bool judge_pairs(const job *j, verdict *r)
{
    r->n_pair = r->n_arm * (r->n_arm - 1) / 2;
    arena *a = j->a;
    err *e = j->e;
    r->pair = arena_take_zero(a, (size_t)r->n_pair, sizeof *r->pair, e);
    size_t mark = arena_mark(a);
    double *p = arena_take(a, (size_t)r->n_pair, sizeof *p, e);
    double *holm = arena_take(a, (size_t)r->n_pair, sizeof *holm, e);
    if (!r->pair || !p || !holm) return false;
    int32_t k = 0;
    int64_t n_test = 0;
    for (int32_t first = 0; first < r->n_arm; first++) {
        for (int32_t second = first + 1; second < r->n_arm; second++) {
            verdict_pair *pair = &r->pair[k++];
            const rank_parts *two[2] = {&r->arm[second].parts, &r->arm[first].parts};
            *pair = (verdict_pair){.a = first, .b = second};
            pair->primary = is_primary(j->in, first, second);
            if (pair->primary) r->primary = k - 1;
            pair->test = rank_compare_paired(two[0], two[1], r->level);
            if (pair->test.has_value && !pair->primary) p[n_test++] = pair->test.p;
            if (j->clusters.n_cluster == 0) continue;
            cluster_rows rows = j->clusters;
            rows.positive = r->arm[first].positive;
            if (!cluster_compare(&rows, two, r->level, a, &pair->clustered, e)) return false;
        }
    }
    bool fine = adjust_holm(p, n_test, holm, a, e);
    n_test = 0;
    for (k = 0; fine && k < r->n_pair; k++) {
        verdict_pair *pair = &r->pair[k];
        if (!pair->test.has_value) continue;
        pair->p_holm = pair->primary ? pair->test.p : holm[n_test++];
    }
    arena_reset(a, mark);
    return fine;
}

static void count_classes(const verdict_input *in, verdict *out, int64_t *count)
{
    for (int64_t i = 0; i < out->n; i++) {
        int32_t c = in->label[out->row[i]];
        assert(c >= 0 && c < in->n_class);
        count[c]++;
    }
    out->class_count = count;
    out->events = in->positive >= 0 ? count[in->positive] : 0;
}

static bool take_tune(job *t, verdict *out)
{
    const verdict_tune *given = t->in->tune;
    if (!given) return true;
    int32_t *kept = arena_take(t->a, (size_t)given->n_row, sizeof *kept, t->e);
    if (!kept) return false;
    t->label = given->label;
    t->kept = kept;
    t->n = keep_common(t->in, given->log_score, given->n_row, kept);
    out->n_tune = t->n;
    for (int64_t i = 0; i < t->n; i++)
        out->n_tune_events += given->label[kept[i]] == t->in->positive;
    return true;
}

bool verdict_judge(const verdict_input *in, arena *a, verdict *out, err *e)
{
    assert(in->n_arm > 0 && in->n_class >= 2 && in->n_row >= 0 && in->n_row <= INT32_MAX);
    assert(in->positive >= -1 && in->positive < in->n_class);
    assert(in->n_class > 2 || in->positive >= 0);
    *out = (verdict){.n_arm = in->n_arm,
                     .n_class = in->n_class,
                     .positive = in->positive,
                     .level = in->level == 0 ? 0.95 : in->level,
                     .n_row = in->n_row,
                     .recalibrate = in->recalibrate,
                     .point = in->point,
                     .primary = -1};
    out->arm = arena_take_zero(a, (size_t)in->n_arm, sizeof *out->arm, e);
    int64_t *count = arena_take_zero(a, (size_t)in->n_class, sizeof *count, e);
    int32_t *kept = arena_take(a, (size_t)in->n_row, sizeof *kept, e);
    if (!out->arm || !count || !kept) return false;
    out->n = keep_common(in, in->log_score, in->n_row, kept);
    out->row = kept;
    count_classes(in, out, count);
    job j = {.in = in, .label = in->label, .kept = kept, .n = out->n, .a = a, .e = e};
    job tune = {.in = in, .a = a, .e = e};
    if (!number_patients(&j) || !take_tune(&tune, out)) return false;
    out->n_patient = j.clusters.n_cluster;
    for (int32_t k = 0; k < in->n_arm; k++) {
        const double *z = in->log_score[k];
        verdict_arm *arm = &out->arm[k];
        if (!judge_mass(&j, z, arm)) return false;
        if (in->positive >= 0 &&
            !(choose_on_tune(&tune, in->tune ? in->tune->log_score[k] : NULL, arm) &&
              judge_binary(&j, z, arm)))
            return false;
        if (in->n_class > 2 && !judge_classes(&j, z, arm)) return false;
    }
    return in->positive < 0 || judge_pairs(&j, out);
}
