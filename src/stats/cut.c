/* cut: see cut.h. */
#include "stats/cut.h"

#include <assert.h>
#include <math.h>

cut_table cut_table_of(const double *score, const uint8_t *positive, int64_t n, double threshold)
{
    assert(!isnan(threshold));
    cut_table t = {0};
    for (int64_t i = 0; i < n; i++) {
        assert(!isnan(score[i]) && positive[i] <= 1);
        bool called = score[i] >= threshold;
        t.tp += called && positive[i];
        t.fp += called && !positive[i];
        t.tn += !called && !positive[i];
        t.fn += !called && positive[i];
    }
    return t;
}

static stat_estimate ratio(double top, double bottom, int64_t n, int64_t events)
{
    stat_estimate o = stat_none(STAT_NO_PREDICTED_POSITIVE, n, events);
    if (bottom == 0) return o;
    o.status = STAT_OK;
    o.has_value = true;
    o.value = top / bottom;
    return o;
}

/* The mean of two estimates with weights; not estimable when one of them is not. */
static stat_estimate mix(stat_estimate a, double weight_a, stat_estimate b, double weight_b)
{
    if (!a.has_value) return a;
    if (!b.has_value) return b;
    a.value = (a.value * weight_a + b.value * weight_b) / (weight_a + weight_b);
    return a;
}

cut_measures cut_measures_of(cut_table t, prop_method method, double level)
{
    assert(t.tp >= 0 && t.fp >= 0 && t.tn >= 0 && t.fn >= 0);
    int64_t n = t.tp + t.fp + t.tn + t.fn, events = t.tp + t.fn;
    double tp = (double)t.tp, fp = (double)t.fp, tn = (double)t.tn, fn = (double)t.fn;
    cut_measures m = {.table = t};
    m.accuracy = prop_of(t.tp + t.tn, n, method, level);
    m.sensitivity = prop_of(t.tp, events, method, level);
    m.specificity = prop_of(t.tn, t.tn + t.fp, method, level);
    m.ppv = prop_of(t.tp, t.tp + t.fp, method, level);
    m.npv = prop_of(t.tn, t.tn + t.fn, method, level);
    m.f1 = ratio(2 * tp, 2 * tp + fp + fn, n, events);
    stat_estimate f1_negative = ratio(2 * tn, 2 * tn + fp + fn, n, events);
    m.macro_f1 = mix(m.f1, 1, f1_negative, 1);
    m.weighted_f1 = mix(m.f1, tp + fn, f1_negative, tn + fp);
    m.mcc =
        ratio(tp * tn - fp * fn, sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)), n, events);
    /* kappa = (observed - expected) / (1 - expected), both times n squared */
    double expected = (tp + fp) * (tp + fn) + (tn + fn) * (tn + fp), all = (double)n * (double)n;
    m.kappa = ratio((double)n * (tp + tn) - expected, all - expected, n, events);
    m.balanced_accuracy = mix(ratio(tp, tp + fn, n, events), 1, ratio(tn, tn + fp, n, events), 1);
    return m;
}

static double worth(const rank_roc *r, int64_t i, cut_rule rule, double target)
{
    double sens = rank_roc_tpr(r, i), spec = 1 - rank_roc_fpr(r, i);
    switch (rule) {
    case CUT_YOUDEN: return sens - rank_roc_fpr(r, i);
    case CUT_SENSITIVITY: return sens >= target ? 2 + spec : sens;
    case CUT_SPECIFICITY: return spec >= target ? 2 + sens : spec;
    case CUT_NET_BENEFIT:
        return (double)r->true_positive[i] - (double)r->false_positive[i] * target / (1 - target);
    }
    assert(false);
    return 0;
}

cut_choice cut_choose(const rank_roc *tune, cut_rule rule, double target)
{
    assert(rule == CUT_YOUDEN || (target > 0 && target < 1));
    cut_choice out = {.status = tune->status};
    if (!stat_status_usable(tune->status)) return out;
    int64_t best = 0;
    double best_worth = worth(tune, 0, rule, target);
    /* points run from high thresholds to low; a later equal one wins where the lowest is wanted */
    bool lowest = rule != CUT_SENSITIVITY;
    for (int64_t i = 1; i < tune->n_point; i++) {
        double w = worth(tune, i, rule, target);
        double slack = 1e-12 * fabs(best_worth);
        if (w > best_worth + slack || (lowest && w >= best_worth - slack)) {
            best = i;
            best_worth = fmax(w, best_worth);
        }
    }
    out.threshold = tune->threshold[best];
    out.sensitivity = rank_roc_tpr(tune, best);
    out.specificity = 1 - rank_roc_fpr(tune, best);
    out.youden = out.sensitivity + out.specificity - 1;
    return out;
}

stat_estimate cut_ppv_at(double sensitivity, double specificity, double prevalence)
{
    assert(prevalence >= 0 && prevalence <= 1);
    double right = sensitivity * prevalence, wrong = (1 - specificity) * (1 - prevalence);
    return ratio(right, right + wrong, 0, 0);
}

stat_estimate cut_npv_at(double sensitivity, double specificity, double prevalence)
{
    return cut_ppv_at(specificity, sensitivity, 1 - prevalence);
}
