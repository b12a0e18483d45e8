/* judge_text: see judge.h. Tables of fixed width for a terminal; what cannot be computed is "-". */
#include "view/judge.h"

#include <stdarg.h>
#include <stdio.h>

enum { NAME_BYTES = 24 };

typedef struct cell { /* one cell of a table, as text */
    char text[64];
} cell;

static cell cell_of(const char *format, ...) PRINTF(1, 2);
static cell cell_of(const char *format, ...)
{
    cell c;
    va_list rest;
    va_start(rest, format);
    vsnprintf(c.text, sizeof c.text, format, rest);
    va_end(rest);
    return c;
}

static cell number(bool exists, double x) { return exists ? cell_of("%.3f", x) : cell_of("-"); }

static cell value(const stat_estimate *o) { return number(o->has_value, o->value); }

static cell range(bool exists, double low, double high)
{
    return exists ? cell_of("%.3f to %.3f", low, high) : cell_of("not estimable");
}

static cell interval(const stat_estimate *o) { return range(o->has_interval, o->low, o->high); }

static cell p_value(bool exists, double p)
{
    if (!exists) return cell_of("-");
    return p < 0.001 ? cell_of("<0.001") : cell_of("%.3f", p);
}

/* "0.700 (0.397 to 0.892)" */
static cell share(const stat_estimate *o)
{
    if (!o->has_value) return cell_of("-");
    if (!o->has_interval) return cell_of("%.3f", o->value);
    return cell_of("%.2f (%.2f-%.2f)", o->value, o->low, o->high);
}

/* A name cut to whole characters within the column. */
static void add_name(buf *b, const char *name)
{
    size_t n = strlen(name);
    if (n > NAME_BYTES - 1) n = NAME_BYTES - 1;
    while (n > 0 && ((unsigned char)name[n] & 0xC0) == 0x80) n--;
    buf_printf(b, "%.*s%*s", (int)n, name, NAME_BYTES - (int)n, "");
}

static void add_discrimination(buf *b, const judge_result *r, const judge_set *s)
{
    bool patients = r->rows->patient != NULL;
    buf_printf(b, "\n%-*s %-7s %-17s %-17s %-17s %-7s %s\n", NAME_BYTES - 1, "discrimination",
               "AUROC", "DeLong", patients ? "by patient" : "Wald", "bootstrap", "AUPRC", "status");
    for (int32_t k = 0; k < s->n_arm; k++) {
        const judge_arm *arm = &s->arm[k];
        cell other = patients
                         ? interval(&arm->cluster.logit)
                         : range(arm->auroc.has_wald, arm->auroc.wald_low, arm->auroc.wald_high);
        add_name(b, r->rows->arm_name[k]);
        buf_printf(b, "%-7s %-17s %-17s %-17s %-7s %s\n", value(&arm->auroc.logit).text,
                   interval(&arm->auroc.logit).text, other.text,
                   s->n_draw ? interval(&arm->boot[JUDGE_BOOT_AUROC]).text : "-",
                   value(&arm->auprc).text, stat_status_name(arm->auroc.logit.status));
    }
}

static void add_cuts(buf *b, const judge_result *r)
{
    const judge_set *s = &r->all;
    char title[64];
    snprintf(title, sizeof title, "at %s >= %.4g", r->rows->probability ? "p" : "score",
             r->settings.threshold);
    buf_printf(b, "\n%-*s %-17s %-17s %-17s %-17s %-6s %-6s %s\n", NAME_BYTES - 1, title, "sens",
               "spec", "PPV", "NPV", "F1", "MCC", "kappa");
    for (int32_t k = 0; k < s->n_arm; k++) {
        const cut_measures *m = &s->arm[k].cut;
        add_name(b, r->rows->arm_name[k]);
        buf_printf(b, "%-17s %-17s %-17s %-17s %-6s %-6s %s\n", share(&m->sensitivity).text,
                   share(&m->specificity).text, share(&m->ppv).text, share(&m->npv).text,
                   value(&m->f1).text, value(&m->mcc).text, value(&m->kappa).text);
    }
}

static void add_calibration(buf *b, const judge_result *r)
{
    const judge_set *s = &r->all;
    if (!r->rows->probability) return;
    buf_printf(b, "\n%-*s %-7s %-8s %-7s %-8s %-7s %-7s %s\n", NAME_BYTES - 1, "calibration",
               "Brier", "in large", "slope", "logloss", "O/E", "ECE 10", "Spiegelhalter p");
    for (int32_t k = 0; k < s->n_arm; k++) {
        const judge_arm *arm = &s->arm[k];
        bool z = arm->has_probability && arm->spiegelhalter.status == STAT_OK;
        add_name(b, r->rows->arm_name[k]);
        buf_printf(b, "%-7s %-8s %-7s %-8s %-7s %-7s %s\n", value(&arm->brier).text,
                   value(&arm->line.in_the_large).text, value(&arm->line.slope).text,
                   value(&arm->log_loss).text, value(&arm->observed_expected).text,
                   value(&arm->ece10).text, p_value(z, arm->spiegelhalter.p).text);
    }
}

static void add_pairs(buf *b, const judge_result *r)
{
    const judge_set *s = &r->all;
    bool patients = r->rows->patient != NULL;
    if (s->n_pair == 0) return;
    buf_printf(b, "\n%-*s %-7s %-17s %-7s %-7s %-17s %s\n", 2 * NAME_BYTES - 1,
               "paired difference (a, b)", "a - b", patients ? "by patient" : "DeLong", "p", "Holm",
               "bootstrap", "McNemar p");
    for (int32_t i = 0; i < s->n_pair; i++) {
        const judge_pair *p = &s->pair[i];
        const rank_test *t = patients ? &p->cluster : &p->test;
        add_name(b, r->rows->arm_name[p->a]);
        add_name(b, r->rows->arm_name[p->b]);
        buf_printf(b, "%-7s %-17s %-7s %-7s %-17s %s\n",
                   number(stat_status_usable(t->status), t->difference).text,
                   range(t->has_interval, t->low, t->high).text, p_value(t->has_value, t->p).text,
                   p_value(t->has_value, patients ? p->cluster_p_holm : p->p_holm).text,
                   s->n_draw ? interval(&p->boot).text : "-", p_value(s->n > 0, p->mcnemar.p).text);
    }
}

static void add_groups(buf *b, const judge_result *r)
{
    const judge_rows *rows = r->rows;
    for (int32_t g = 0; g < rows->n_group; g++) {
        const judge_set *s = &r->group[g];
        buf_printf(b, "\nsubgroup %s: %lld rows, %lld positive", rows->group_name[g],
                   (long long)s->n, (long long)s->events);
        add_discrimination(b, r, s);
    }
    for (int32_t k = 0; r->interaction && k < rows->n_arm; k++) {
        const subgroup_test *o = &r->interaction[k];
        buf_printf(b, "%s%s: do the subgroups differ? ", k ? "" : "\n", rows->arm_name[k]);
        if (o->status == STAT_OK) buf_printf(b, "Q %.3f, df %.0f, p %.3f\n", o->q, o->df, o->p);
        else buf_add_text(b, "not estimable (fewer than two subgroups with a variance)\n");
    }
}

bool judge_write_text(const judge_result *r, const judge_about *about, buf *out, err *e)
{
    const judge_set *s = &r->all;
    buf_printf(out, "%s: %lld rows, %lld positive (%s)", about->source, (long long)s->n,
               (long long)s->events, about->positive);
    if (r->rows->patient) buf_printf(out, ", %d patients", s->n_patient);
    buf_printf(out, "; intervals of %g %%\n", 100 * r->settings.level);
    for (int32_t i = 1; i < about->n_fact; i++) { /* the first is all rows */
        if (about->fact[i])
            buf_printf(out, "left out: %lld of %lld (%s)\n", (long long)about->fact[i],
                       (long long)about->fact[0], about->fact_name[i]);
    }
    add_discrimination(out, r, s);
    add_cuts(out, r);
    add_calibration(out, r);
    add_pairs(out, r);
    add_groups(out, r);
    if (s->n_draw) {
        buf_printf(out, "\nbootstrap: %lld draws of %s, %lld drawn again\n", (long long)s->n_draw,
                   r->rows->patient ? "patients" : "rows within their class",
                   (long long)s->n_redraw);
    }
    for (int32_t i = 0; i < about->n_note; i++)
        buf_printf(out, "%snote: %s\n", i ? "" : "\n", about->note[i]);
    return buf_check(out, "the statistics", e);
}
