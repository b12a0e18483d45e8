/* results: see results.h. */
#include "view/results.h"

#include "view/json_out.h"

#include <assert.h>
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

static void add_binary(buf *b, const verdict_arm *s)
{
    const cut_measures *m = &s->at_point;
    const stat_estimate *c = &s->clustered.logit;
    add_auroc(b, &s->auroc);
    json_number(b, "auroc_cluster_var", c->has_variance, c->variance);
    json_number(b, "auroc_cluster_low", c->has_interval, c->low);
    json_number(b, "auroc_cluster_high", c->has_interval, c->high);
    json_number(b, "brier", s->brier.has_value, s->brier.value);
    json_number(b, "brier_scaled", s->brier_scaled.has_value, s->brier_scaled.value);
    json_number(b, "threshold", true, 0.5);
    json_whole(b, "tp", m->table.tp);
    json_whole(b, "fp", m->table.fp);
    json_whole(b, "tn", m->table.tn);
    json_whole(b, "fn", m->table.fn);
    add_estimate(b, "accuracy", &m->accuracy);
    add_estimate(b, "sensitivity", &m->sensitivity);
    add_estimate(b, "specificity", &m->specificity);
    add_estimate(b, "ppv", &m->ppv);
    add_estimate(b, "npv", &m->npv);
    json_number(b, "f1", m->f1.has_value, m->f1.value);
    json_number(b, "mcc", m->mcc.has_value, m->mcc.value);
    json_number(b, "kappa", m->kappa.has_value, m->kappa.value);
}

static void add_classes(buf *b, const report_input *in, const verdict_arm *s)
{
    json_number(b, "macro_auroc", s->macro_auroc.has_value, s->macro_auroc.value);
    json_whole(b, "classes_judged", s->n_class_judged);
    add_estimate(b, "accuracy_of_top_class", &s->accuracy);
    json_open(b, "class_auroc", '{');
    for (int32_t c = 0; c < in->stats->n_class; c++) {
        json_open(b, in->class_name[c], '{');
        json_whole(b, "events", in->stats->class_count[c]);
        add_auroc(b, &s->class_auroc[c]);
        json_close(b, '}');
    }
    json_close(b, '}');
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
        json_whole(b, "events", r->events);
        add_binary(b, s);
    }
    if (r->n_class > 2) add_classes(b, in, s);
    bool mass = r->n > 0 && !about->baseline;
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
    json_number(b, "p_holm", t->has_value, p->p_holm);
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

static void add_counts(buf *b, const char *key, const report_count *c, int32_t n)
{
    json_open(b, key, '[');
    for (int32_t i = 0; i < n; i++) {
        json_open(b, NULL, '{');
        json_text(b, "reason", c[i].reason);
        json_whole(b, "n", c[i].n);
        json_close(b, '}');
    }
    json_close(b, ']');
}

bool results_write(const report_input *in, buf *json, err *e)
{
    const verdict *r = in->stats;
    assert(r && in->arm && in->class_name && json->size == 0);
    json_open(json, NULL, '{');
    json_text(json, "study", in->title);
    json_text(json, "version", in->version);
    json_text(json, "date", in->date);
    json_open(json, "classes", '[');
    for (int32_t c = 0; c < r->n_class; c++) json_text(json, NULL, in->class_name[c]);
    json_close(json, ']');
    json_text(json, "positive", r->positive >= 0 ? in->class_name[r->positive] : NULL);
    json_whole(json, "rows_read", in->flow.n_read);
    add_counts(json, "excluded", in->flow.excluded, in->flow.n_excluded);
    json_whole(json, "rows_asked", in->flow.n_asked);
    add_counts(json, "unscored", in->flow.unscored, in->flow.n_unscored);
    json_whole(json, "n", r->n);
    if (r->positive >= 0) json_whole(json, "events", r->events);
    json_whole(json, "patients", r->n_patient);
    json_number(json, "level", true, r->level);
    json_open(json, "arms", '[');
    for (int32_t k = 0; k < r->n_arm; k++) add_arm(json, in, k);
    json_close(json, ']');
    json_open(json, "pairs", '[');
    for (int32_t k = 0; k < r->n_pair; k++) add_pair(json, in, &r->pair[k]);
    json_close(json, ']');
    add_facts(json, "model", &in->model);
    add_facts(json, "data", &in->data);
    add_facts(json, "run", &in->run);
    add_facts(json, "determinism", &in->determinism);
    json_close(json, '}');
    buf_add_char(json, '\n');
    return buf_check(json, "results.json", e);
}
