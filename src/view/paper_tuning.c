/* paper_tuning: T5, adapters over their seeds. */
#include "view/paper_in.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

static const char *arm_name(const paper *p, int32_t k) { return p->v->g->in.arm[k].name; }

/* The AUROC, or for several classes their mean. */
static const stat_estimate *value_of(const paper *p, int32_t k)
{
    return p->v->binary ? &p->v->arm[k].auroc->logit : &p->v->multi[k].macro;
}

/* NAME of NAME/seed-3; the whole name of another arm. */
static str family_of(const paper *p, int32_t k)
{
    str name = str_of(arm_name(p, k));
    int64_t at = str_find(name, STR("/seed-"));
    return at < 0 ? name : str_part(name, 0, (size_t)at);
}

typedef struct family {
    int64_t n, trained, tokens;
    double auroc[64], seconds, steps;
} family;

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void add_member(const paper *p, int32_t k, family *f)
{
    char key[400];
    snprintf(key, sizeof key, "training/%s", arm_name(p, k));
    json_t *record = json_loads(gather_fact(p->v->g, key), 0, NULL);
    const stat_estimate *o = value_of(p, k);
    if (o->has_value && f->n < (int64_t)countof(f->auroc)) f->auroc[f->n++] = o->value;
    f->trained = (int64_t)number(record, "parameters");
    f->seconds += number(record, "seconds");
    f->tokens += (int64_t)number(record, "tokens");
    json_decref(record);
}

bool paper_tuning(const paper *p, sheet *s, char why[200])
{
    const verdict *r = &p->v->g->stats;
    static const char *const columns[] = {
        "rank",        "seeds", "trained parameters", "training (hours)", "AUROC, mean (SD)",
        "AUROC, range"};
    bool any = false;
    for (int32_t k = 0; k < r->n_arm; k++) any = any || p->arm[k].adapter_sha256[0];
    if (!any) {
        snprintf(why, 200, "no model was tuned");
        return true;
    }
    sheet_open(s, "T5", "Tuned models, over their seeds");
    sheet_column(s, "arm", false);
    for (size_t i = 0; i < countof(columns); i++) sheet_column(s, columns[i], true);
    for (int32_t k = 0; k < r->n_arm; k++) {
        bool first = p->arm[k].adapter_sha256[0] != 0;
        for (int32_t j = 0; j < k && first; j++)
            first = !p->arm[j].adapter_sha256[0] || !str_equal(family_of(p, j), family_of(p, k));
        if (!first) continue;
        family f = {0};
        int64_t seeds = 0;
        for (int32_t j = k; j < r->n_arm; j++) {
            if (!p->arm[j].adapter_sha256[0] || !str_equal(family_of(p, j), family_of(p, k)))
                continue;
            seeds++;
            add_member(p, j, &f);
        }
        double low = 1, high = 0;
        for (int64_t i = 0; i < f.n; i++)
            low = fmin(low, f.auroc[i]), high = fmax(high, f.auroc[i]);
        sheet_add(s, family_of(p, k));
        sheet_printf(s, "%d", (int)p->arm[k].adapter_rank);
        sheet_printf(s, "%lld", (long long)seeds);
        if (f.trained > 0) sheet_printf(s, "%lld", (long long)f.trained);
        else sheet_add(s, STR(""));
        if (f.seconds > 0) sheet_printf(s, "%.2f", f.seconds / 3600);
        else sheet_add(s, STR(""));
        if (f.n > 1)
            sheet_printf(s, "%.3f (%.3f)", stat_mean(f.auroc, f.n),
                         sqrt(stat_covariance(f.auroc, f.auroc, f.n)));
        else if (f.n == 1) sheet_printf(s, "%.3f", f.auroc[0]);
        else sheet_add(s, STR("not estimable"));
        if (f.n > 0) sheet_printf(s, "%.3f to %.3f", low, high);
        else sheet_add(s, STR(""));
    }
    sheet_note(s, "SD over seeds, on the same texts. Hours are of all seeds together.");
    return true;
}
