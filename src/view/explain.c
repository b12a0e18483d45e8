/* explain: see explain.h. */
#include "view/explain.h"

#include "base/hash.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

enum { ROWS_SHOWN = 12 };

typedef struct asked {
    const evidence *v;
    int32_t arm, other; /* other: of a difference; else -1 */
} asked;

typedef struct measure {
    const char *name, *what, *formula;
    const stat_estimate *(*of)(const asked *); /* NULL: neither an estimate nor of one arm */
    void (*inputs)(const asked *, buf *, err *);
} measure;

static const verdict_arm *result_of(const asked *q) { return &q->v->g->stats.arm[q->arm]; }
static const evidence_arm *evidence_of(const asked *q) { return &q->v->arm[q->arm]; }
static const char *name_of(const asked *q, int32_t k) { return q->v->g->in.arm[k].name; }
static const verdict *stats_of(const asked *q) { return &q->v->g->stats; }

static const stat_estimate *auroc(const asked *q) { return &evidence_of(q)->auroc->logit; }
static const stat_estimate *auprc(const asked *q) { return &evidence_of(q)->auprc; }
static const stat_estimate *brier(const asked *q) { return &result_of(q)->brier; }
static const stat_estimate *accuracy(const asked *q) { return &evidence_of(q)->cut.accuracy; }
static const stat_estimate *sensitivity(const asked *q) { return &evidence_of(q)->cut.sensitivity; }
static const stat_estimate *specificity(const asked *q) { return &evidence_of(q)->cut.specificity; }
static const stat_estimate *ppv(const asked *q) { return &evidence_of(q)->cut.ppv; }
static const stat_estimate *npv(const asked *q) { return &evidence_of(q)->cut.npv; }
static const stat_estimate *f1(const asked *q) { return &evidence_of(q)->cut.f1; }
static const stat_estimate *mcc(const asked *q) { return &evidence_of(q)->cut.mcc; }
static const stat_estimate *kappa(const asked *q) { return &evidence_of(q)->cut.kappa; }
static const stat_estimate *balanced(const asked *q)
{
    return &evidence_of(q)->cut.balanced_accuracy;
}
static const stat_estimate *log_loss(const asked *q) { return &evidence_of(q)->log_loss; }
static const stat_estimate *ratio(const asked *q) { return &evidence_of(q)->observed_expected; }
static const stat_estimate *intercept(const asked *q) { return &evidence_of(q)->line.in_the_large; }
static const stat_estimate *slope(const asked *q) { return &evidence_of(q)->line.slope; }
static const stat_estimate *ece(const asked *q) { return &evidence_of(q)->ece; }

static const stat_estimate *brier_own(const asked *q) { return &result_of(q)->brier_own; }
static const stat_estimate *slope_own(const asked *q) { return &evidence_of(q)->line_own.slope; }

static const evidence_multi *multi_of(const asked *q)
{
    return q->v->multi ? &q->v->multi[q->arm] : NULL;
}
static const stat_estimate none_multi = {.status = STAT_NO_CASES, .method = ""};
static const stat_estimate *macro(const asked *q)
{
    return multi_of(q) ? &multi_of(q)->macro : &none_multi;
}
static const stat_estimate *weighted(const asked *q)
{
    return multi_of(q) ? &multi_of(q)->weighted : &none_multi;
}
static const stat_estimate *hand_till(const asked *q)
{
    return multi_of(q) ? &multi_of(q)->hand_till : &none_multi;
}

static void head(buf *b, const char *name) { buf_printf(b, "%-10s", name); }

/* Pairs of a positive and another text, counted from the curve. */
static void say_pairs(const asked *q, buf *b, err *e)
{
    arena *a = &q->v->g->memory;
    size_t mark = arena_mark(a);
    rank_roc roc;
    const verdict_arm *s = result_of(q);
    if (!rank_roc_take(s->score, s->positive, stats_of(q)->n, a, &roc, e)) return;
    long long won = 0, tied = 0, all = (long long)roc.n_positive * roc.n_negative;
    for (int64_t i = 1; i < roc.n_point; i++) {
        int64_t negatives = roc.false_positive[i] - roc.false_positive[i - 1];
        won += (long long)negatives * roc.true_positive[i - 1];
        tied += (long long)negatives * (roc.true_positive[i] - roc.true_positive[i - 1]);
    }
    if (roc.n_point > 0) {
        buf_printf(
            b,
            "%lld pairs of a positive and another text: the positive one scores higher in %lld, "
            "equal in %lld, lower in %lld\n",
            all, won, tied, all - won - tied);
        head(b, "");
        buf_printf(b, "(%lld + %lld / 2) / %lld = %.17g\n", won, tied, all,
                   ((double)won + (double)tied / 2) / (double)all);
    } else {
        buf_printf(b, "no pairs: %s\n", stat_status_reason(roc.status));
    }
    arena_reset(a, mark);
}

static void say_table(const asked *q, buf *b, err *e)
{
    (void)e;
    cut_table t = result_of(q)->at_point.table;
    buf_add_text(b, "called positive at a probability ");
    if (isinf(result_of(q)->threshold)) buf_add_text(b, "above every score (nobody)");
    else buf_printf(b, "of %.17g or more", result_of(q)->threshold);
    buf_printf(b, ": TP %lld, FP %lld, TN %lld, FN %lld\n", (long long)t.tp, (long long)t.fp,
               (long long)t.tn, (long long)t.fn);
}

static void say_probabilities(const asked *q, buf *b, err *e)
{
    (void)e;
    const verdict *r = stats_of(q);
    const verdict_arm *s = result_of(q);
    double squares = 0, expected = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double d = s->probability[i] - s->positive[i];
        squares += d * d;
        expected += s->probability[i];
    }
    buf_printf(b, "sum of (p - y)^2 = %.17g; sum of p = %.17g; events %lld; n %lld\n", squares,
               expected, (long long)r->events, (long long)r->n);
}

static void say_bins(const asked *q, buf *b, err *e)
{
    (void)e;
    buf_printf(b, "%d bins of equal width: from, n, events, mean p\n", EVIDENCE_BINS);
    for (int32_t i = 0; i < EVIDENCE_BINS; i++) {
        const calib_bin *k = &evidence_of(q)->bin[i];
        head(b, "");
        buf_printf(b, "%.1f  %6lld %6lld  %.6f\n", k->low, (long long)k->n, (long long)k->events,
                   k->mean);
    }
}

static void say_mass(const asked *q, buf *b, err *e)
{
    (void)e;
    const verdict_arm *s = result_of(q);
    buf_printf(
        b, "median %.17g, 5th to 95th percentile %.6f to %.6f, under 0.5 in %.1f %% of the texts\n",
        s->mass_median, s->mass_low, s->mass_high, 100 * s->mass_share_below_half);
}

static void say_classes(const asked *q, buf *b, err *e)
{
    (void)e;
    const verdict *r = stats_of(q);
    if (!multi_of(q)) {
        buf_add_text(b, "the study has two classes: see auroc\n");
        return;
    }
    buf_printf(b, "%d of %d classes can be judged; %lld resamples\n", (int)multi_of(q)->n_judged,
               (int)r->n_class, (long long)multi_of(q)->n_draw);
    for (int32_t c = 0; c < r->n_class; c++) {
        const stat_estimate *o = &result_of(q)->class_auroc[c].logit;
        head(b, "");
        buf_printf(b, "%s against the rest: ", q->v->g->in.class_name[c]);
        if (o->has_value) buf_printf(b, "%.17g\n", o->value);
        else buf_printf(b, "not estimable (%s)\n", stat_status_reason(o->status));
    }
}

static void say_threshold(const asked *q, buf *b, err *e)
{
    (void)e;
    const verdict *r = stats_of(q);
    const verdict_arm *s = result_of(q);
    buf_add_text(b, "called ");
    evidence_add_point(r, b);
    buf_add_char(b, '\n');
    head(b, "");
    if (isinf(s->threshold)) buf_add_text(b, "threshold above every score\n");
    else buf_printf(b, "threshold %.17g\n", s->threshold);
    if (!r->point.chosen) return;
    head(b, "");
    buf_printf(b,
               "on %lld tune texts, %lld of them positive: sensitivity %.17g, specificity %.17g "
               "(%s)\n",
               (long long)r->n_tune, (long long)r->n_tune_events, s->choice.sensitivity,
               s->choice.specificity, stat_status_name(s->choice.status));
}

static void say_map(const asked *q, buf *b, err *e)
{
    (void)e;
    const recal_map *m = &result_of(q)->recal;
    const char *how = evidence_recal_words(stats_of(q));
    if (!how) buf_add_text(b, "none: the model's own probabilities\n");
    else if (m->status != STAT_OK)
        buf_printf(b, "%s was not fitted (%s): the model's own probabilities\n", how,
                   stat_status_reason(m->status));
    else if (m->n_knot > 0)
        buf_printf(b, "%s on %lld tune texts, %d knots\n", how, (long long)stats_of(q)->n_tune,
                   (int)m->n_knot);
    else
        buf_printf(b, "%s on %lld tune texts: logit p = %.17g z + %.17g\n", how,
                   (long long)stats_of(q)->n_tune, m->slope, m->intercept);
}

/* Each subgroup's AUROC, and whether they differ. */
static void say_groups(const asked *q, buf *b, err *e)
{
    (void)e;
    if (q->v->n_group == 0) buf_add_text(b, "the study names no subgroup columns\n");
    for (int32_t g = 0; g < q->v->n_group; g++) {
        const evidence_group *group = &q->v->group[g];
        if (g) head(b, "");
        buf_printf(b, "%.*s: ", (int)group->name.size, group->name.data);
        if (group->n_level == 0) {
            buf_add_text(b, "more than 40 values\n");
            continue;
        }
        const subgroup_test *t = &group->test[q->arm];
        if (t->status == STAT_OK) buf_printf(b, "Q %.10g, p %.10g\n", t->q, t->p);
        else buf_printf(b, "not estimable (%s)\n", stat_status_reason(t->status));
        for (int32_t i = 0; i < group->n_level; i++) {
            const stat_estimate *o = &group->level[i].auroc[q->arm].logit;
            head(b, "");
            buf_printf(b, "  %.*s: ", (int)group->level[i].name.size, group->level[i].name.data);
            if (o->has_value && o->has_variance)
                buf_printf(b, "%.17g, variance %.10g\n", o->value, o->variance);
            else buf_printf(b, "not estimable (%s)\n", stat_status_reason(o->status));
        }
    }
}

static void say_difference(const asked *q, buf *b, err *e)
{
    (void)e;
    int sign = 1;
    const verdict_pair *pair = evidence_pair(q->v, q->arm, q->other, &sign);
    assert(pair); /* two different arms */
    const rank_test *t = evidence_test(q->v, pair);
    for (int i = 0; i < 2; i++) {
        int32_t k = i ? q->other : q->arm;
        if (i) head(b, "");
        buf_printf(b, "%s: AUROC ", name_of(q, k));
        const stat_estimate *o = &q->v->arm[k].auroc->logit;
        if (o->has_value) buf_printf(b, "%.17g, variance %.10g\n", o->value, o->variance);
        else buf_printf(b, "not estimable (%s)\n", stat_status_reason(o->status));
    }
    head(b, "test");
    if (!t->has_value) {
        buf_printf(b, "not estimable (%s)\n", stat_status_reason(t->status));
        return;
    }
    buf_printf(b, "difference %.17g, variance %.10g, z %.10g, p %.10g; %s %.10g (%s)\n",
               sign * t->difference, t->variance, sign * t->statistic, t->p,
               pair->primary ? "primary, not adjusted:" : "Holm over the pairs:",
               q->v->p_holm[pair - stats_of(q)->pair], t->method);
    if (t->has_interval) {
        head(b, "interval");
        buf_printf(b, "%.17g to %.17g\n", sign > 0 ? t->low : -t->high,
                   sign > 0 ? t->high : -t->low);
    }
}

static const measure measures[] = {
    {"auroc", "chance that a positive text scores above another one, ties half",
     "(pairs won + pairs tied / 2) / pairs; variance DeLong 1988, by patient Obuchowski 1997; "
     "interval on "
     "the logit scale",
     auroc, say_pairs},
    {"auprc", "average precision; a useless score has the prevalence",
     "sum over distinct scores, highest first, of (recall - last recall) x precision; interval by "
     "bootstrap",
     auprc, say_pairs},
    {"brier", "mean squared error of the probabilities", "sum of (p - y)^2 / n; Wald interval",
     brier, say_probabilities},
    {"accuracy", "share of texts called right", "(TP + TN) / n; Wilson", accuracy, say_table},
    {"sensitivity", "share of positives called so",
     "TP / (TP + FN); Wilson, of several texts a patient by bootstrap", sensitivity, say_table},
    {"specificity", "share of the others called so",
     "TN / (TN + FP); Wilson, of several texts a patient by bootstrap", specificity, say_table},
    {"ppv", "share of positive calls that are right",
     "TP / (TP + FP); Wilson, of several texts a patient by bootstrap", ppv, say_table},
    {"npv", "share of other calls that are right",
     "TN / (TN + FN); Wilson, of several texts a patient by bootstrap", npv, say_table},
    {"f1", "harmonic mean of PPV and sensitivity", "2 TP / (2 TP + FP + FN)", f1, say_table},
    {"mcc", "correlation of call and truth", "(TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN))",
     mcc, say_table},
    {"kappa", "agreement of call and truth beyond chance", "(observed - expected) / (1 - expected)",
     kappa, say_table},
    {"balanced_accuracy", "mean of sensitivity and specificity", "(sensitivity + specificity) / 2",
     balanced, say_table},
    {"log_loss", "mean surprise at the truth", "-sum of log(probability of the truth) / n",
     log_loss, say_probabilities},
    {"observed_expected", "events over those the probabilities expect", "events / sum of p", ratio,
     say_probabilities},
    {"intercept", "calibration in the large: 0 is right, below 0 probabilities are too high",
     "intercept of a logistic regression of y with the log-odds of p as offset", intercept,
     say_probabilities},
    {"slope", "calibration slope: 1 is right, below 1 too sure",
     "slope of a logistic regression of y on the log-odds of p", slope, say_probabilities},
    {"ece", "expected calibration error", "sum over bins of n_k / n |observed share - mean p|", ece,
     say_bins},
    {"label_mass", "how much of the model's belief lies on any listed answer",
     "sum over classes of exp(Z), each class's Z the log-sum-exp over its ways of being written",
     NULL, say_mass},
    {"threshold", "the probability from which a text is called positive",
     "as the study declares; chosen on tune texts, or set beforehand", NULL, say_threshold},
    {"recalibration", "the map from scores to probabilities", "fitted on tune texts alone", NULL,
     say_map},
    {"brier_own", "Brier score before recalibration", "sum of (p - y)^2 / n; Wald interval",
     brier_own, say_map},
    {"slope_own", "calibration slope before recalibration",
     "slope of a logistic regression of y on the log-odds of the model's own p", slope_own,
     say_map},
    {"interaction", "do subgroups differ in AUROC?",
     "Cochran's Q = sum of (AUROC - weighted mean)^2 / variance over a column's values", NULL,
     say_groups},
    {"macro_auroc", "mean over classes of each one's AUROC against the rest",
     "sum / classes that can be judged; interval by bootstrap", macro, say_classes},
    {"weighted_auroc", "the same, weighted by the classes' texts",
     "sum of share x AUROC; interval by bootstrap", weighted, say_classes},
    {"hand_till", "mean over pairs of classes (Hand and Till 2001)",
     "mean of (A(i|j) + A(j|i)) / 2; interval by bootstrap", hand_till, say_classes},
    {"difference", "AUROC of the first arm less that of the second, same texts",
     "paired test: z = difference / sqrt(var + var - 2 cov)", NULL, say_difference},
};

/* --- rows --- */

/* SHA-256 over the rows used: id, label, score, each field with its length. */
static hash_text rows_hash(const asked *q)
{
    hash_state h;
    hash_start(&h);
    for (int64_t i = 0; i < stats_of(q)->n; i++) {
        char number[40];
        const store_row *row = &q->v->g->study.row[stats_of(q)->row[i]];
        snprintf(number, sizeof number, "%.17g", result_of(q)->score[i]);
        hash_add_field(&h, row->id);
        hash_add_field(&h, q->v->g->study.class_name[row->label]);
        hash_add_field(&h, str_of(number));
    }
    return hash_finish(&h);
}

static void say_rows(const asked *q, buf *b)
{
    const verdict *r = stats_of(q);
    head(b, "rows");
    buf_printf(b, "%lld texts that every arm scored (%lld of %lld left out)", (long long)r->n,
               (long long)(r->n_row - r->n), (long long)r->n_row);
    if (r->n_patient > 0) buf_printf(b, ", of %d patients", (int)r->n_patient);
    buf_printf(b, "; %lld %s, %lld others\n", (long long)r->events,
               q->v->g->in.class_name[r->positive], (long long)(r->n - r->events));
    head(b, "");
    buf_printf(b, "SHA-256 over id, label and score of each: %s\n", rows_hash(q).hex);
    head(b, "");
    buf_add_text(b, "id, label, score, probability:\n");
    for (int64_t i = 0; i < r->n && i < ROWS_SHOWN; i++) {
        const store_row *row = &q->v->g->study.row[r->row[i]];
        head(b, "");
        buf_printf(b, "  %.*s  %s  %.17g  %.17g\n", (int)row->id.size, row->id.data,
                   q->v->g->in.class_name[row->label], result_of(q)->score[i],
                   result_of(q)->probability[i]);
    }
    if (r->n > ROWS_SHOWN) {
        head(b, "");
        buf_printf(b, "  .. and %lld more: scores.csv, arm %s, status scored\n",
                   (long long)(r->n - ROWS_SHOWN), name_of(q, q->arm));
    }
}

static void say_records(const asked *q, buf *b)
{
    static const char *const facts[][2] = {{"study file SHA-256", "study_sha256"},
                                           {"table SHA-256", "data_sha256"},
                                           {"model SHA-256", "model_sha256"},
                                           {"tokenizer SHA-256", "tokenizer_sha256"},
                                           {"arithmetic", "numerics"},
                                           {"last run", "ended"}};
    bool first = true;
    for (size_t i = 0; i < countof(facts); i++) {
        const char *value = gather_fact(q->v->g, facts[i][1]);
        if (!value[0]) continue;
        head(b, first ? "records" : "");
        buf_printf(b, "%s %s\n", facts[i][0], value);
        first = false;
    }
    head(b, "");
    buf_add_text(
        b,
        "score = log-odds of the positive class, from class_logprob of table score in study.db\n");
}

static void say_value(const asked *q, const measure *m, buf *b)
{
    if (!m->of) return;
    const stat_estimate *o = m->of(q);
    head(b, "value");
    if (o->has_value) buf_printf(b, "%.17g\n", o->value);
    else buf_printf(b, "not estimable (%s)\n", stat_status_reason(o->status));
    if (o->has_interval) {
        head(b, "interval");
        buf_printf(b, "%.17g to %.17g at %.2f (%s)\n", o->low, o->high, stats_of(q)->level,
                   o->method);
    }
    if (o->has_variance) {
        head(b, "variance");
        buf_printf(b, "%.17g\n", o->variance);
    }
    head(b, "status");
    buf_printf(b, "%s\n", stat_status_name(o->status));
}

/* --- what was asked for --- */

static int32_t find_arm(const evidence *v, str name)
{
    for (int32_t k = 0; k < v->g->stats.n_arm; k++) {
        if (str_is(name, v->g->in.arm[k].name)) return k;
    }
    return -1;
}

static bool fail_measure(err *e)
{
    char list[700] = "";
    for (size_t i = 0; i < countof(measures); i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", measures[i].name);
    }
    return err_set(e, ERR_USAGE,
                   "--explain takes MEASURE/ARM, such as auroc/zero-shot, or "
                   "difference/ARM/ARM; measures: %s",
                   list);
}

static bool fail_arm(const evidence *v, str name, err *e)
{
    char list[600] = "";
    for (int32_t k = 0; k < v->g->stats.n_arm; k++) {
        size_t used = strlen(list);
        if (used + strlen(v->g->in.arm[k].name) + 8 > sizeof list) break;
        snprintf(list + used, sizeof list - used, "%s%s", k ? "; " : "", v->g->in.arm[k].name);
    }
    return err_set(e, ERR_USAGE, "--explain: there is no arm '%.*s'; arms: %s",
                   (int)(name.size < 100 ? name.size : 100), name.data, list);
}

/* An arm's name may hold a slash: every place is tried. */
static bool split_arms(const evidence *v, str both, asked *q)
{
    for (size_t i = 0; i < both.size; i++) {
        if (both.data[i] != '/') continue;
        q->arm = find_arm(v, str_part(both, 0, i));
        q->other = find_arm(v, str_part(both, i + 1, both.size - i - 1));
        if (q->arm >= 0 && q->other >= 0 && q->arm != q->other) return true;
    }
    return false;
}

bool explain_number(const evidence *v, const char *path, buf *out, err *e)
{
    asked q = {.v = v, .other = -1};
    str all = str_of(path);
    int64_t slash = str_find(all, STR("/"));
    const measure *m = NULL;
    for (size_t i = 0; i < countof(measures) && slash > 0; i++) {
        if (str_is(str_part(all, 0, (size_t)slash), measures[i].name)) m = &measures[i];
    }
    if (!m) return fail_measure(e);
    bool several = m->inputs == say_classes;
    if (!v->binary && !several)
        return err_set(e, ERR_USAGE,
                       "--explain: without a positive class there are macro_auroc, "
                       "weighted_auroc and hand_till");
    str rest = str_part(all, (size_t)slash + 1, all.size - (size_t)slash - 1);
    if (m->inputs == say_difference) {
        if (!split_arms(v, rest, &q)) return fail_arm(v, rest, e);
    } else if ((q.arm = find_arm(v, rest)) < 0) {
        return fail_arm(v, rest, e);
    }
    buf_printf(out, "%s\n", path);
    head(out, "what");
    buf_printf(out, "%s\n", m->what);
    head(out, "formula");
    buf_printf(out, "%s\n", m->formula);
    say_value(&q, m, out);
    head(out, "inputs");
    m->inputs(&q, out, e);
    if (v->binary) say_rows(&q, out);
    say_records(&q, out);
    return e->code == ERR_NONE && buf_check(out, "the explanation", e);
}
