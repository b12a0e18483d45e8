/* results: see results.h. */
#include "view/results.h"

#include "view/evidence.h"
#include "view/flow.h"
#include "view/json_out.h"
#include "view/questions.h"
#include "view/small.h"
#include "view/texts.h"
#include "view/votes.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

static void add_auroc(buf *b, const rank_auroc *r)
{
    const stat_estimate *o = &r->logit;
    json_number(b, "auroc", o->has_value, o->value);
    json_number(b, "auroc_low", o->has_interval, o->low);
    json_number(b, "auroc_high", o->has_interval, o->high);
    json_number(b, "auroc_var", o->has_variance, o->variance);
    json_number(b, "auroc_wald_low", r->has_wald, r->wald_low);
    json_number(b, "auroc_wald_high", r->has_wald, r->wald_high);
    json_text(b, "method", o->method[0] ? o->method : NULL);
    json_text(b, "status", stat_status_name(o->status));
}

static void add_estimate(buf *b, const char *key, const stat_estimate *o)
{
    char name[60];
    json_number(b, key, o->has_value, o->value);
    if (!o->has_interval) return;
    snprintf(name, sizeof name, "%s_low", key);
    json_number(b, name, true, o->low);
    snprintf(name, sizeof name, "%s_high", key);
    json_number(b, name, true, o->high);
}

/* Counts from 1 to 4, and what they could be worked out from, are null. */
static void add_table(buf *b, const cut_table *t)
{
    static const char *const names[2][2] = {{"tp", "fn"}, {"tn", "fp"}};
    int64_t n[2][2] = {{t->tp, t->fn}, {t->tn, t->fp}};
    for (int truth = 0; truth < 2; truth++) {
        bool hidden[2];
        small_mark(n[truth], 2, hidden);
        for (int i = 0; i < 2; i++)
            json_number(b, names[truth][i], !hidden[i], (double)n[truth][i]);
    }
}

static void add_tune(buf *b, const verdict *r, const verdict_arm *s)
{
    static const char *const kinds[] = {"none", "temperature", "platt", "isotonic"};
    if (r->point.chosen) {
        bool has = stat_status_usable(s->choice.status);
        json_open(b, "threshold_on_tune", '{');
        json_number(b, "sensitivity", has, s->choice.sensitivity);
        json_number(b, "specificity", has, s->choice.specificity);
        json_text(b, "status", stat_status_name(s->choice.status));
        json_close(b, '}');
    }
    if (r->recalibrate == VERDICT_RECAL_NONE) return;
    bool line = s->recal.status == STAT_OK && s->recal.n_knot == 0;
    json_open(b, "recalibration", '{');
    json_text(b, "method", kinds[r->recalibrate]);
    json_number(b, "slope", line, s->recal.slope);
    json_number(b, "intercept", line, s->recal.intercept);
    json_text(b, "status", stat_status_name(s->recal.status));
    json_close(b, '}');
}

static void add_evidence(buf *b, const evidence_arm *a)
{
    add_estimate(b, "auprc", &a->auprc);
    add_estimate(b, "citl", &a->line.in_the_large);
    add_estimate(b, "slope", &a->line.slope);
    json_number(b, "log_loss", a->log_loss.has_value, a->log_loss.value);
    json_number(b, "observed_expected", a->observed_expected.has_value, a->observed_expected.value);
    json_number(b, "ece10", a->ece.has_value, a->ece.value);
}

static void add_multi(buf *b, const evidence_multi *m)
{
    add_estimate(b, "macro_auroc", &m->macro);
    add_estimate(b, "weighted_auroc", &m->weighted);
    add_estimate(b, "hand_till", &m->hand_till);
    add_estimate(b, "macro_f1", &m->macro_f1);
    add_estimate(b, "weighted_f1", &m->weighted_f1);
    add_estimate(b, "mcc_of_top_class", &m->mcc);
    add_estimate(b, "kappa_of_top_class", &m->kappa);
}

static void add_binary(buf *b, const verdict_arm *s, const cut_measures *m)
{
    const stat_estimate *c = &s->clustered.logit;
    add_auroc(b, &s->auroc);
    json_number(b, "auroc_cluster_var", c->has_variance, c->variance);
    json_number(b, "auroc_cluster_low", c->has_interval, c->low);
    json_number(b, "auroc_cluster_high", c->has_interval, c->high);
    json_number(b, "brier", s->brier.has_value, s->brier.value);
    json_number(b, "brier_scaled", s->brier_scaled.has_value, s->brier_scaled.value);
    if (s->probability != s->own_probability)
        json_number(b, "brier_own", s->brier_own.has_value, s->brier_own.value);
    json_number(b, "threshold", m->accuracy.has_value && isfinite(s->threshold), s->threshold);
    add_table(b, &m->table);
    add_estimate(b, "accuracy", &m->accuracy);
    add_estimate(b, "sensitivity", &m->sensitivity);
    add_estimate(b, "specificity", &m->specificity);
    add_estimate(b, "ppv", &m->ppv);
    add_estimate(b, "npv", &m->npv);
    json_number(b, "f1", m->f1.has_value, m->f1.value);
    json_number(b, "mcc", m->mcc.has_value, m->mcc.value);
    json_number(b, "kappa", m->kappa.has_value, m->kappa.value);
}

static void add_class_count(buf *b, const report_input *in, int32_t c)
{
    bool hidden[SMALL_CLASSES_MAX] = {false};
    int32_t n = in->stats->n_class < SMALL_CLASSES_MAX ? in->stats->n_class : SMALL_CLASSES_MAX;
    small_mark(in->stats->class_count, n, hidden);
    json_number(b, "events", c >= n || !hidden[c], (double)in->stats->class_count[c]);
}

static void add_classes(buf *b, const report_input *in, const verdict_arm *s)
{
    if (!in->evidence || !in->evidence->multi)
        json_number(b, "macro_auroc", s->macro_auroc.has_value, s->macro_auroc.value);
    json_whole(b, "classes_judged", s->n_class_judged);
    add_estimate(b, "accuracy_of_top_class", &s->accuracy);
    json_open(b, "class_auroc", '{');
    for (int32_t c = 0; c < in->stats->n_class; c++) {
        json_open(b, in->class_name[c], '{');
        add_class_count(b, in, c);
        add_auroc(b, &s->class_auroc[c]);
        json_close(b, '}');
    }
    json_close(b, '}');
}

static void add_votes(buf *b, gather *g, int32_t arm)
{
    votes v;
    err ignored = {0}; /* memory that ran out meets whoever takes next */
    if (votes_there(g, arm) && votes_count(g, arm, &g->memory, &v, &ignored)) votes_json(&v, b);
}

static void add_arm(buf *b, const report_input *in, int32_t k)
{
    const verdict *r = in->stats;
    const verdict_arm *s = &r->arm[k];
    const report_arm *about = &in->arm[k];
    json_open(b, NULL, '{');
    json_text(b, "name", about->name);
    json_text(b, "kind", about->baseline ? "baseline" : "model");
    json_text(b, "detail", about->detail);
    json_whole(b, "n", r->n);
    if (r->positive >= 0) {
        add_class_count(b, in, r->positive);
        add_binary(b, s, in->evidence ? &in->evidence->arm[k].cut : &s->at_point);
        add_tune(b, r, s);
        if (in->evidence) add_evidence(b, &in->evidence->arm[k]);
    }
    if (r->n_class > 2) add_classes(b, in, s);
    if (in->evidence && in->evidence->multi) add_multi(b, &in->evidence->multi[k]);
    if (in->evidence) questions_json(in->evidence->g, k, b);
    if (in->evidence) add_votes(b, in->evidence->g, k);
    bool mass = r->n > 0 && !about->baseline && r->n_class > 1;
    json_number(b, "label_mass_median", mass, s->mass_median);
    json_number(b, "label_mass_p05", mass, s->mass_low);
    json_number(b, "label_mass_p95", mass, s->mass_high);
    json_number(b, "label_mass_share_below_half", mass, s->mass_share_below_half);
    json_whole(b, "cut", about->n_cut);
    json_whole(b, "forced_boundary", about->n_forced);
    json_number(b, "texts_per_s", about->texts_per_s > 0, about->texts_per_s);
    json_number(b, "seconds", about->seconds > 0, about->seconds);
    json_whole(b, "tokens_forwarded", about->n_forwarded);
    json_whole(b, "tokens_unshared", about->n_unshared);
    json_close(b, '}');
}

static void add_pair(buf *b, const report_input *in, const verdict_pair *p)
{
    const rank_test *t = &p->test;
    json_open(b, NULL, '{');
    json_text(b, "a", in->arm[p->b].name);
    json_text(b, "b", in->arm[p->a].name);
    json_number(b, "difference", stat_status_usable(t->status), t->difference);
    json_number(b, "low", t->has_interval, t->low);
    json_number(b, "high", t->has_interval, t->high);
    json_number(b, "z", t->has_value, t->statistic);
    json_number(b, "p", t->has_value, t->p);
    json_number(b, "p_holm", t->has_value && !p->primary, p->p_holm);
    json_bool(b, "primary", p->primary);
    json_number(b, "cluster_low", p->clustered.has_interval, p->clustered.low);
    json_number(b, "cluster_high", p->clustered.has_interval, p->clustered.high);
    json_number(b, "cluster_p", p->clustered.has_value, p->clustered.p);
    json_text(b, "method", t->method);
    json_text(b, "status", stat_status_name(t->status));
    json_close(b, '}');
}

static void add_facts(buf *b, const char *key, const report_facts *f)
{
    json_open(b, key, '{');
    for (int32_t i = 0; i < f->n; i++) json_text(b, f->fact[i].name, f->fact[i].value);
    json_close(b, '}');
}

/* Counts that must not be printed are null. */
static void add_counts(buf *b, const char *key, const report_count *c, int32_t n,
                       const bool *hidden)
{
    json_open(b, key, '[');
    for (int32_t i = 0; i < n; i++) {
        json_open(b, NULL, '{');
        json_text(b, "reason", c[i].reason);
        json_number(b, "n", !hidden[i], (double)c[i].n);
        json_close(b, '}');
    }
    json_close(b, ']');
}

static void add_primary(buf *b, const report_input *in)
{
    int32_t first, second;
    int sign;
    const evidence *v = in->evidence;
    if (!v || !evidence_primary(v, &first, &second, &sign)) {
        json_text(b, "primary", NULL);
        return;
    }
    const rank_test *t = evidence_test(v, v->primary);
    json_open(b, "primary", '{');
    json_text(b, "a", in->arm[first].name);
    json_text(b, "b", in->arm[second].name);
    json_number(b, "difference", stat_status_usable(t->status), sign * t->difference);
    json_number(b, "low", t->has_interval, sign > 0 ? t->low : -t->high);
    json_number(b, "high", t->has_interval, sign > 0 ? t->high : -t->low);
    json_number(b, "p", t->has_value, t->p);
    json_text(b, "method", t->method);
    json_number(b, "margin", v->inferior.margin > 0, v->inferior.margin);
    if (v->inferior.margin > 0) {
        json_bool(b, "not_inferior", v->inferior.has_value && v->inferior.shown);
        json_number(b, "p_not_inferior", v->inferior.has_value, v->inferior.p);
    }
    json_close(b, '}');
}

static void add_declared(buf *b, const report_input *in)
{
    static const char *const rules[] = {"youden", "sensitivity", "specificity", "net_benefit"};
    const verdict_point *p = &in->stats->point;
    add_primary(b, in);
    json_open(b, "operating_point", '{');
    json_text(b, "rule", p->chosen ? rules[p->rule] : "fixed");
    json_number(b, "target", !p->chosen || p->rule != CUT_YOUDEN,
                !p->chosen && p->target == 0.0 ? 0.5 : p->target);
    json_text(b, "chosen_on", p->chosen ? "tune" : NULL);
    json_close(b, '}');
    json_whole(b, "tune_rows", in->stats->n_tune);
}

/* AUROC of each subgroup that has enough of both kinds, and whether subgroups differ. */
static void add_level(buf *b, const report_input *in, const evidence_level *l, const bool hidden[2])
{
    bool few = l->events < STAT_FEW_BELOW || l->n - l->events < STAT_FEW_BELOW;
    json_open(b, NULL, '{');
    buf name = buf_up_to(1 << 16);
    buf_add_str(&name, l->name.size ? l->name : STR("(empty)"));
    buf_add_char(&name, '\0');
    json_text(b, "level", name.failed ? "" : name.data);
    buf_close(&name);
    json_number(b, "n", !hidden[0], (double)l->n);
    json_number(b, "events", !hidden[1], (double)l->events);
    json_open(b, "auroc", '{');
    for (int32_t k = 0; !few && k < in->stats->n_arm; k++) {
        const stat_estimate *o = &l->auroc[k].logit;
        json_open(b, in->arm[k].name, '{');
        json_number(b, "value", o->has_value, o->value);
        json_number(b, "low", o->has_interval, o->low);
        json_number(b, "high", o->has_interval, o->high);
        json_close(b, '}');
    }
    json_close(b, '}');
    json_close(b, '}');
}

static void add_groups(buf *b, const report_input *in)
{
    const evidence *v = in->evidence;
    json_open(b, "groups", '[');
    for (int32_t g = 0; g < v->n_group; g++) {
        const evidence_group *group = &v->group[g];
        int64_t n[EVIDENCE_LEVELS_MAX] = {0}, events[EVIDENCE_LEVELS_MAX] = {0};
        bool hide_n[EVIDENCE_LEVELS_MAX] = {false}, hide_events[EVIDENCE_LEVELS_MAX] = {false};
        for (int32_t i = 0; i < group->n_level; i++)
            n[i] = group->level[i].n, events[i] = group->level[i].events;
        small_mark(n, group->n_level, hide_n);
        small_mark(events, group->n_level, hide_events);
        json_open(b, NULL, '{');
        json_text(b, "column", group->name.data);
        json_open(b, "levels", '[');
        for (int32_t i = 0; i < group->n_level; i++)
            add_level(b, in, &group->level[i], (const bool[2]){hide_n[i], hide_events[i]});
        json_close(b, ']');
        json_open(b, "interaction_p", '{');
        for (int32_t k = 0; group->n_level && k < in->stats->n_arm; k++)
            json_number(b, in->arm[k].name, group->test[k].status == STAT_OK, group->test[k].p);
        json_close(b, '}');
        json_close(b, '}');
    }
    json_close(b, ']');
}

bool results_write(const report_input *in, buf *json, err *e)
{
    const verdict *r = in->stats;
    flow_hidden h = flow_hide(&in->flow);
    assert(r && in->arm && in->class_name && json->size == 0);
    json_open(json, NULL, '{');
    json_text(json, "study", in->title);
    json_text(json, "version", in->version);
    json_text(json, "date", in->date);
    json_open(json, "classes", '[');
    for (int32_t c = 0; c < r->n_class; c++) json_text(json, NULL, in->class_name[c]);
    json_close(json, ']');
    json_text(json, "positive", r->positive >= 0 ? in->class_name[r->positive] : NULL);
    json_number(json, "rows_read", !h.read, (double)in->flow.n_read);
    add_counts(json, "excluded", in->flow.excluded, in->flow.n_excluded, h.excluded);
    json_number(json, "rows_asked", !h.asked, (double)in->flow.n_asked);
    add_counts(json, "unscored", in->flow.unscored, in->flow.n_unscored, h.unscored);
    json_whole(json, "n", r->n);
    if (r->positive >= 0) add_class_count(json, in, r->positive);
    json_whole(json, "patients", r->n_patient);
    json_number(json, "level", true, r->level);
    add_declared(json, in);
    json_open(json, "arms", '[');
    for (int32_t k = 0; k < r->n_arm; k++) add_arm(json, in, k);
    json_close(json, ']');
    json_open(json, "pairs", '[');
    for (int32_t k = 0; k < r->n_pair; k++) add_pair(json, in, &r->pair[k]);
    json_close(json, ']');
    if (in->evidence) add_groups(json, in);
    if (in->evidence && in->evidence->likeness)
        texts_json(in->evidence->likeness, "likeness", json);
    add_facts(json, "model", &in->model);
    add_facts(json, "data", &in->data);
    add_facts(json, "run", &in->run);
    add_facts(json, "determinism", &in->determinism);
    json_close(json, '}');
    buf_add_char(json, '\n');
    return buf_check(json, "results.json", e);
}
