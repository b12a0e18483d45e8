/* judge_json: see judge.h, which lists the keys. */
#include "view/judge.h"

#include "view/json_out.h"

#include <math.h>
#include <stdio.h>

static void add_range(buf *b, const char *key, bool exists, double low, double high)
{
    char name[64];
    snprintf(name, sizeof name, "%s_low", key);
    json_number(b, name, exists, low);
    snprintf(name, sizeof name, "%s_high", key);
    json_number(b, name, exists, high);
}

static void add_value(buf *b, const char *key, const stat_estimate *o)
{
    json_number(b, key, o->has_value, o->value);
}

static void add_share(buf *b, const char *key, const stat_estimate *o)
{
    add_value(b, key, o);
    add_range(b, key, o->has_interval, o->low, o->high);
}

static void add_rank(buf *b, const judge_arm *arm, bool patients)
{
    const stat_estimate *o = &arm->auroc.logit, *c = &arm->cluster.logit;
    add_value(b, "auroc", o);
    json_number(b, "auroc_var", o->has_variance, o->variance);
    add_range(b, "auroc", o->has_interval, o->low, o->high);
    json_text(b, "auroc_method", o->has_interval ? o->method : NULL);
    add_range(b, "auroc_wald", arm->auroc.has_wald, arm->auroc.wald_low, arm->auroc.wald_high);
    json_number(b, "auroc_cluster_var", patients && c->has_variance, c->variance);
    add_range(b, "auroc_cluster", patients && c->has_interval, c->low, c->high);
    o = &arm->boot[JUDGE_BOOT_AUROC];
    add_range(b, "auroc_boot", o->has_interval, o->low, o->high);
    json_number(b, "auroc_boot_var", o->has_variance, o->variance);
    bool exists = arm->auroc.logit.has_value;
    json_number(b, "pauc_spec90", exists, arm->partial);
    json_number(b, "pauc_spec90_corrected", exists, arm->partial_corrected);
    add_value(b, "auprc", &arm->auprc);
    o = &arm->boot[JUDGE_BOOT_AUPRC];
    add_range(b, "auprc", o->has_interval, o->low, o->high);
}

static void add_cut(buf *b, const judge_arm *arm)
{
    const cut_measures *m = &arm->cut;
    json_whole(b, "tp", m->table.tp);
    json_whole(b, "fp", m->table.fp);
    json_whole(b, "tn", m->table.tn);
    json_whole(b, "fn", m->table.fn);
    add_share(b, "accuracy", &m->accuracy);
    add_share(b, "sens", &m->sensitivity);
    add_share(b, "spec", &m->specificity);
    add_share(b, "ppv", &m->ppv);
    add_share(b, "npv", &m->npv);
    add_value(b, "f1", &m->f1);
    add_value(b, "macro_f1", &m->macro_f1);
    add_value(b, "weighted_f1", &m->weighted_f1);
    add_value(b, "mcc", &m->mcc);
    add_value(b, "kappa", &m->kappa);
    add_value(b, "balanced_accuracy", &m->balanced_accuracy);
    static const struct {
        const char *key;
        judge_boot which;
    } drawn[] = {{"sens_boot", JUDGE_BOOT_SENS},
                 {"spec_boot", JUDGE_BOOT_SPEC},
                 {"accuracy_boot", JUDGE_BOOT_ACCURACY}};
    for (size_t i = 0; i < countof(drawn); i++) {
        const stat_estimate *o = &arm->boot[drawn[i].which];
        add_range(b, drawn[i].key, o->has_interval, o->low, o->high);
    }
    bool chosen = stat_status_usable(arm->youden.status);
    json_open(b, "youden", '{');
    json_number(b, "threshold", chosen, arm->youden.threshold);
    json_number(b, "sens", chosen, arm->youden.sensitivity);
    json_number(b, "spec", chosen, arm->youden.specificity);
    json_number(b, "j", chosen, arm->youden.youden);
    json_close(b, '}');
}

static void add_decisions(buf *b, const judge_arm *arm)
{
    json_open(b, "net_benefit", '[');
    bool exists = arm->has_probability && stat_status_usable(arm->decision_status);
    for (int i = 0; exists && i < JUDGE_DECISIONS; i++) {
        json_open(b, NULL, '{');
        json_number(b, "threshold", true, arm->decision[i].threshold);
        json_number(b, "model", true, arm->decision[i].model);
        json_number(b, "all", true, arm->decision[i].all);
        json_close(b, '}');
    }
    json_close(b, ']');
}

static void add_probability(buf *b, const judge_arm *arm)
{
    const calib_line *line = &arm->line;
    const stat_estimate *drawn = &arm->boot[JUDGE_BOOT_BRIER];
    bool has = arm->has_probability;
    bool spiegelhalter = has && arm->spiegelhalter.status == STAT_OK;
    bool temperature = has && stat_status_usable(arm->temperature.status);
    add_value(b, "brier", &arm->brier);
    add_range(b, "brier", arm->brier.has_interval, arm->brier.low, arm->brier.high);
    add_range(b, "brier_boot", has && drawn->has_interval, drawn->low, drawn->high);
    add_value(b, "brier_scaled", &arm->brier_scaled);
    add_value(b, "log_loss", &arm->log_loss);
    add_share(b, "citl", &line->in_the_large);
    json_number(b, "citl_se", line->in_the_large.has_variance, sqrt(line->in_the_large.variance));
    add_value(b, "intercept", &line->intercept);
    json_number(b, "intercept_se", line->intercept.has_variance, sqrt(line->intercept.variance));
    add_share(b, "slope", &line->slope);
    json_number(b, "slope_se", line->slope.has_variance, sqrt(line->slope.variance));
    json_text(b, "calibration_status", has ? stat_status_name(line->status) : NULL);
    add_share(b, "oe", &arm->observed_expected);
    json_number(b, "spiegelhalter_z", spiegelhalter, arm->spiegelhalter.z);
    json_number(b, "spiegelhalter_p", spiegelhalter, arm->spiegelhalter.p);
    add_value(b, "ece10", &arm->ece10);
    add_value(b, "ece5", &arm->ece5);
    add_value(b, "ece4_equal_mass", &arm->ece4_mass);
    json_number(b, "temperature", temperature && arm->temperature.slope > 0,
                1 / (arm->temperature.slope > 0 ? arm->temperature.slope : 1));
    json_number(b, "temperature_log_loss", temperature, arm->temperature.log_loss);
    add_decisions(b, arm);
    json_text(b, "probability_status",
              arm->probability_status == STAT_NO_CASES ? NULL
                                                       : stat_status_name(arm->probability_status));
}

static void add_arms(buf *b, const judge_result *r, const judge_set *s)
{
    json_open(b, "arms", '{');
    for (int32_t k = 0; k < s->n_arm; k++) {
        const judge_arm *arm = &s->arm[k];
        json_open(b, r->rows->arm_name[k], '{');
        json_whole(b, "n", s->n);
        json_whole(b, "events", s->events);
        add_rank(b, arm, r->rows->patient != NULL);
        add_cut(b, arm);
        add_probability(b, arm);
        json_text(b, "status", stat_status_name(arm->auroc.logit.status));
        json_close(b, '}');
    }
    json_close(b, '}');
}

static void add_test(buf *b, const rank_test *t, double p_holm)
{
    json_number(b, "diff", stat_status_usable(t->status), t->difference);
    json_number(b, "low", t->has_interval, t->low);
    json_number(b, "high", t->has_interval, t->high);
    json_number(b, "z", t->has_value, t->statistic);
    json_number(b, "p", t->has_value, t->p);
    json_number(b, "p_holm", t->has_value, p_holm);
    json_text(b, "status", stat_status_name(t->status));
}

static void add_pairs(buf *b, const judge_result *r, const judge_set *s)
{
    json_open(b, "pairs", '[');
    for (int32_t i = 0; i < s->n_pair; i++) {
        const judge_pair *p = &s->pair[i];
        const rank_test *c = &p->cluster;
        bool patients = r->rows->patient != NULL;
        json_open(b, NULL, '{');
        json_text(b, "a", r->rows->arm_name[p->a]);
        json_text(b, "b", r->rows->arm_name[p->b]);
        add_test(b, &p->test, p->p_holm);
        json_number(b, "cluster_low", patients && c->has_interval, c->low);
        json_number(b, "cluster_high", patients && c->has_interval, c->high);
        json_number(b, "cluster_z", patients && c->has_value, c->statistic);
        json_number(b, "cluster_p", patients && c->has_value, c->p);
        json_number(b, "cluster_p_holm", patients && c->has_value, p->cluster_p_holm);
        json_number(b, "boot_low", p->boot.has_interval, p->boot.low);
        json_number(b, "boot_high", p->boot.has_interval, p->boot.high);
        json_number(b, "boot_p", p->boot.has_interval, p->boot_p);
        json_whole(b, "mcnemar_b", p->mcnemar.b);
        json_whole(b, "mcnemar_c", p->mcnemar.c);
        json_number(b, "mcnemar_p", s->n > 0, p->mcnemar.p);
        json_close(b, '}');
    }
    json_close(b, ']');
}

static void add_groups(buf *b, const judge_result *r)
{
    const judge_rows *rows = r->rows;
    json_open(b, "groups", '{');
    for (int32_t g = 0; g < rows->n_group; g++) {
        json_open(b, rows->group_name[g], '{');
        json_whole(b, "n", r->group[g].n);
        json_whole(b, "events", r->group[g].events);
        if (rows->patient) json_whole(b, "patients", r->group[g].n_patient);
        add_arms(b, r, &r->group[g]);
        add_pairs(b, r, &r->group[g]);
        json_close(b, '}');
    }
    json_close(b, '}');
    json_open(b, "group_tests", '[');
    for (int32_t i = 0; i < r->n_test; i++) {
        const judge_test *t = &r->test[i];
        json_open(b, NULL, '{');
        json_text(b, "arm", rows->arm_name[t->arm]);
        json_text(b, "a", rows->group_name[t->a]);
        json_text(b, "b", rows->group_name[t->b]);
        add_test(b, &t->test, t->p_holm);
        json_number(b, "df", t->test.has_value, t->test.df);
        json_close(b, '}');
    }
    json_close(b, ']');
    json_open(b, "interaction", '{');
    for (int32_t k = 0; r->interaction && k < rows->n_arm; k++) {
        const subgroup_test *o = &r->interaction[k];
        json_open(b, rows->arm_name[k], '{');
        json_number(b, "q", o->status == STAT_OK, o->q);
        json_number(b, "df", o->status == STAT_OK, o->df);
        json_number(b, "p", o->status == STAT_OK, o->p);
        json_close(b, '}');
    }
    json_close(b, '}');
}

bool judge_write_json(const judge_result *r, const judge_about *about, buf *out, err *e)
{
    const judge_set *s = &r->all;
    json_open(out, NULL, '{');
    json_text(out, "source", about->source);
    json_text(out, "positive", about->positive);
    for (int32_t i = 0; i < about->n_fact; i++)
        json_whole(out, about->fact_name[i], about->fact[i]);
    json_whole(out, "n", s->n);
    json_whole(out, "events", s->events);
    if (r->rows->patient) json_whole(out, "patients", s->n_patient);
    json_number(out, "level", true, r->settings.level);
    json_number(out, "threshold", true, r->settings.threshold);
    json_open(out, "bootstrap", '{');
    json_text(out, "unit", r->rows->patient ? "patient" : "row, within its class");
    json_whole(out, "draws", s->n_draw);
    json_whole(out, "redrawn", s->n_redraw);
    json_whole(out, "seed", (int64_t)r->settings.seed);
    json_text(out, "status", s->n_draw ? stat_status_name(s->boot_status) : "not run");
    json_close(out, '}');
    add_arms(out, r, s);
    add_pairs(out, r, s);
    add_groups(out, r);
    json_open(out, "notes", '[');
    for (int32_t i = 0; i < about->n_note; i++) json_text(out, NULL, about->note[i]);
    json_close(out, ']');
    json_close(out, '}');
    buf_add_char(out, '\n');
    return buf_check(out, "the statistics", e);
}
