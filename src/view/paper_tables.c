/* paper_tables: T1 to T7 and S1; S7 to S9 by questions.h and texts.h. */
#include "stats/plan.h"
#include "view/paper_in.h"
#include "view/questions.h"
#include "view/small.h"
#include "view/texts.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLASSES_SHOWN = 6, ARMS_SHOWN = 8 };

static const char *arm_name(const paper *p, int32_t k) { return p->v->g->in.arm[k].name; }
static const verdict *stats_of(const paper *p) { return &p->v->g->stats; }

/* --- arms --- */

static const char *keep(const paper *p, const json_t *record, const char *key, err *e)
{
    const char *text = json_string_value(json_object_get(record, key));
    return str_keep(&p->v->g->memory, str_of(text ? text : ""), e).data;
}

static int add_dump(const char *text, size_t n, void *to)
{
    buf_add(to, text, n);
    return 0;
}

/* Answers, framing, methods and their words, generation: what tells two arms apart whose questions
 * differ. */
static const char *keep_asking(const paper *p, const json_t *record, err *e)
{
    enum { MOST = 16 << 20 };
    buf text = buf_up_to(MOST);
    json_t *ask = json_copy(json_object_get(record, "ask"));
    const json_t *const dumped[] = {json_object_get(record, "answers"), ask};
    if (ask) json_object_del(ask, "wordings");
    for (size_t i = 0; i < countof(dumped); i++) {
        if (dumped[i])
            json_dump_callback(dumped[i], add_dump, &text, JSON_COMPACT | JSON_SORT_KEYS);
    }
    json_decref(ask);
    str kept = {"", 0};
    if (buf_check(&text, "an arm's record", e))
        kept = str_keep(&p->v->g->memory, buf_view(&text), e);
    buf_close(&text);
    return kept.data;
}

static void read_cost(const paper *p, str name, paper_arm *arm)
{
    char key[300];
    snprintf(key, sizeof key, "cost/%.*s", (int)name.size, name.data);
    json_t *cost = json_loads(gather_fact(p->v->g, key), 0, NULL);
    arm->bytes_planned = json_integer_value(json_object_get(cost, "bytes_planned"));
    arm->bytes_peak = json_integer_value(json_object_get(cost, "bytes_peak"));
    arm->tokens_forwarded = json_integer_value(json_object_get(cost, "tokens_forwarded"));
    arm->seconds = json_number_value(json_object_get(cost, "seconds"));
    json_decref(cost);
}

/* An arm's record is written before its adapter is trained: then the training's has the hash. */
static void read_trained(const paper *p, str name, paper_arm *arm, err *e)
{
    char key[400];
    if (arm->adapter_sha256[0] || arm->adapter_rank == 0) return;
    snprintf(key, sizeof key, "training/%.*s", (int)name.size, name.data);
    json_t *r = json_loads(gather_fact(p->v->g, key), 0, NULL);
    arm->adapter_sha256 = keep(p, r, "adapter_sha256", e);
    json_decref(r);
}

bool paper_read_arms(paper *p, err *e)
{
    const store_study *s = &p->v->g->study;
    paper_arm *arm = arena_take_zero(&p->v->g->memory, (size_t)s->n_arm, sizeof *arm, e);
    for (int32_t k = 0; arm && k < s->n_arm; k++) {
        json_error_t why;
        json_t *r = json_loadb(s->arm[k].record_json.data, s->arm[k].record_json.size, 0, &why);
        arm[k] =
            (paper_arm){.shots = (int32_t)json_integer_value(json_object_get(r, "shots")),
                        .seed = json_integer_value(json_object_get(r, "seed")),
                        .question = keep(p, r, "question", e),
                        .system = keep(p, r, "system", e),
                        .template_kind = keep(p, r, "template", e),
                        .kind = keep(p, r, "kind", e),
                        .framing = keep(p, r, "framing", e),
                        .method = keep(p, r, "method", e),
                        .wordings = (int32_t)json_integer_value(json_object_get(r, "wordings")),
                        .samples = (int32_t)json_integer_value(json_object_get(r, "samples")),
                        .model = keep(p, r, "model", e),
                        .model_sha256 = keep(p, r, "model_sha256", e),
                        .quantisation = keep(p, r, "quantisation", e),
                        .adapter_sha256 = keep(p, r, "adapter_sha256", e),
                        .parameters = json_integer_value(json_object_get(r, "parameters")),
                        .bytes_weights = json_integer_value(json_object_get(r, "bytes_weights")),
                        .adapter_rank =
                            (int32_t)json_integer_value(json_object_get(r, "adapter_rank"))};
        arm[k].asking = keep_asking(p, r, e);
        read_cost(p, s->arm[k].name, &arm[k]);
        if (e->code == ERR_NONE) read_trained(p, s->arm[k].name, &arm[k], e);
        json_decref(r);
    }
    p->arm = arm;
    return arm && e->code == ERR_NONE;
}

void paper_add_estimate(sheet *s, const stat_estimate *o, int decimals)
{
    buf text = buf_up_to(1000);
    evidence_add(&text, o, decimals);
    sheet_add(s, buf_view(&text));
    buf_close(&text);
}

void paper_add_p(sheet *s, bool exists, double p)
{
    buf text = buf_up_to(100);
    evidence_add_p(&text, exists, p);
    sheet_add(s, buf_view(&text));
    buf_close(&text);
}

/* "+0.012 (-0.010 to +0.034)" of arm k against the reference; "reference" for itself. */
void paper_add_difference(const paper *p, sheet *s, int32_t k)
{
    int sign = 1;
    const evidence *v = p->v;
    const verdict_pair *pair = k == v->reference ? NULL : evidence_pair(v, k, v->reference, &sign);
    const rank_test *t = pair ? evidence_test(v, pair) : NULL;
    buf text = buf_up_to(1000);
    if (k == v->reference) buf_add_text(&text, "reference");
    else if (!t || !t->has_value) buf_add_text(&text, "not estimable");
    else evidence_add_difference(&text, t, sign);
    sheet_add(s, buf_view(&text));
    buf_close(&text);
}

static void note_intervals(const paper *p, sheet *s)
{
    double level = 100 * stats_of(p)->level;
    if (p->v->clusters) {
        sheet_note(
            s,
            "AUROC and its differences with %.0f %% intervals and tests that allow for several "
            "texts of a patient (Obuchowski 1997).",
            level);
    } else {
        sheet_note(
            s,
            "AUROC and its differences with %.0f %% intervals and tests by DeLong's variance "
            "(intervals of AUROC on the logit scale); texts are taken as independent.",
            level);
    }
}

/* --- T1 --- */

typedef struct one_class { /* a column of T1: the judged rows of a class; all for -1 */
    int32_t which;
    int64_t n;
} one_class;

typedef struct characteristics {
    const paper *p;
    sheet *s;
    int32_t n_column;
    one_class column[1 + CLASSES_SHOWN];
    bool smd; /* between the second and the third column */
} characteristics;

static bool is_in(const characteristics *c, int32_t column, int64_t i)
{
    int32_t which = c->column[column].which;
    return which < 0 || c->p->v->g->study.row[stats_of(c->p)->row[i]].label == which;
}

static void add_smd(const characteristics *c, const stat_estimate *o)
{
    if (!c->smd) return;
    if (o && o->has_value) sheet_printf(c->s, "%.3f", o->value);
    else sheet_add(c->s, STR(""));
}

static void add_share(sheet *s, int64_t n, int64_t of, bool hidden)
{
    buf text = buf_up_to(100);
    small_add(&text, n, hidden);
    if (!hidden && of > 0) buf_printf(&text, " (%.1f %%)", 100 * (double)n / (double)of);
    sheet_add(s, buf_view(&text));
    buf_close(&text);
}

/* Small counts, what they could be worked out from along a column (its total is known), and,
 * where one class is withheld, the other classes of that level (the level's total is known):
 * until nothing changes. */
static void hide_levels(const characteristics *c, int64_t n[][EVIDENCE_LEVELS_MAX], int32_t n_level,
                        bool hidden[][EVIDENCE_LEVELS_MAX])
{
    for (int32_t k = 0; k < c->n_column; k++) small_mark(n[k], n_level, hidden[k]);
    for (bool changed = true; changed;) {
        changed = false;
        for (int32_t l = 0; l < n_level; l++) {
            bool any = false, all = true;
            for (int32_t k = 0; k < c->n_column; k++) any = any || hidden[k][l];
            for (int32_t k = 1; k < c->n_column; k++) all = all && hidden[k][l];
            if (!any || all) continue;
            for (int32_t k = 1; k < c->n_column; k++) hidden[k][l] = true;
            changed = true;
        }
        for (int32_t k = 0; k < c->n_column; k++)
            changed = small_complete(n[k], n_level, hidden[k]) || changed;
    }
}

static void add_group_rows(const characteristics *c, int32_t g)
{
    const evidence_group *group = &c->p->v->group[g];
    int64_t n[1 + CLASSES_SHOWN][EVIDENCE_LEVELS_MAX] = {{0}};
    bool hidden[1 + CLASSES_SHOWN][EVIDENCE_LEVELS_MAX];
    for (int64_t i = 0; i < stats_of(c->p)->n; i++) {
        str value = c->p->v->g->study.row[stats_of(c->p)->row[i]].group[g];
        int32_t l = 0;
        while (l < group->n_level && !str_equal(group->level[l].name, value)) l++;
        for (int32_t k = 0; k < c->n_column && l < group->n_level; k++) n[k][l] += is_in(c, k, i);
    }
    hide_levels(c, n, group->n_level, hidden);
    for (int32_t l = 0; l < group->n_level; l++) {
        str level = group->level[l].name.size ? group->level[l].name : STR("(empty)");
        sheet_printf(c->s, "%.*s: %.*s", (int)group->name.size, group->name.data, (int)level.size,
                     level.data);
        for (int32_t k = 0; k < c->n_column; k++)
            add_share(c->s, n[k][l], c->column[k].n, hidden[k][l]);
        stat_estimate o = {0};
        if (c->smd && c->column[1].n > 0 && c->column[2].n > 0)
            o = plan_smd_shares((double)n[1][l] / (double)c->column[1].n,
                                (double)n[2][l] / (double)c->column[2].n);
        add_smd(c, hidden[1][l] || hidden[2][l] ? NULL : &o);
    }
}

/* Tokens of the reference arm's prompts, by judged row. */
static double *tokens_of(const paper *p, bool *cut, err *e)
{
    const gather *g = p->v->g;
    const store_results *got = &g->got[p->v->reference];
    size_t n_row = (size_t)g->study.n_row;
    double *of_row = arena_take_zero(&p->v->g->memory, n_row, sizeof *of_row, e);
    bool *cut_row = arena_take_zero(&p->v->g->memory, n_row, sizeof *cut_row, e);
    double *out = arena_take(&p->v->g->memory, (size_t)g->stats.n, sizeof *out, e);
    if (!of_row || !cut_row || !out) return NULL;
    for (int32_t k = 0; k < got->n; k++) {
        of_row[got->row[k]] = got->n_token[k];
        cut_row[got->row[k]] = got->n_cut[k] > 0;
    }
    for (int64_t i = 0; i < g->stats.n; i++) {
        out[i] = of_row[g->stats.row[i]];
        cut[i] = cut_row[g->stats.row[i]];
    }
    return out;
}

static bool add_token_rows(const characteristics *c, err *e)
{
    arena *a = &c->p->v->g->memory;
    int64_t n = stats_of(c->p)->n, n_cut[1 + CLASSES_SHOWN] = {0};
    double mean[1 + CLASSES_SHOWN] = {0}, sd[1 + CLASSES_SHOWN] = {0};
    bool *cut = arena_take_zero(a, (size_t)n, sizeof *cut, e);
    double *x = arena_take(a, (size_t)n, sizeof *x, e),
           *token = cut ? tokens_of(c->p, cut, e) : NULL;
    if (!cut || !x || !token) return false;
    sheet_add(c->s, STR("tokens of the prompt, median (quartiles)"));
    for (int32_t k = 0; k < c->n_column; k++) {
        int64_t m = 0;
        for (int64_t i = 0; i < n; i++) {
            if (!is_in(c, k, i)) continue;
            x[m++] = token[i];
            n_cut[k] += cut[i];
        }
        if (m > 0) mean[k] = stat_mean(x, m);
        if (m > 1) sd[k] = sqrt(stat_covariance(x, x, m));
        if (!stat_sort(x, m, a, e)) return false;
        if (m == 0) sheet_add(c->s, STR("none"));
        else
            sheet_printf(c->s, "%.0f (%.0f to %.0f)", stat_quantile(x, m, 0.5),
                         stat_quantile(x, m, 0.25), stat_quantile(x, m, 0.75));
    }
    stat_estimate o = {0};
    if (c->smd && c->column[1].n > 1 && c->column[2].n > 1)
        o = plan_smd_means(mean[1], sd[1], mean[2], sd[2]);
    add_smd(c, &o);
    bool hidden[1 + CLASSES_SHOWN], any = false;
    small_mark(n_cut + 1, c->n_column - 1, hidden + 1);
    for (int32_t k = 1; k < c->n_column; k++) any = any || hidden[k];
    hidden[0] = n_cut[0] > 0 && n_cut[0] < SMALL_BELOW;
    for (int32_t k = 1; k < c->n_column && hidden[0] && !any; k++) hidden[k] = true;
    sheet_add(c->s, STR("texts cut to fit"));
    for (int32_t k = 0; k < c->n_column; k++) add_share(c->s, n_cut[k], c->column[k].n, hidden[k]);
    add_smd(c, NULL);
    return true;
}

static int by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static bool add_patient_row(const characteristics *c, err *e)
{
    const verdict *r = stats_of(c->p);
    if (r->n_patient == 0) return true;
    int32_t *x = arena_take(&c->p->v->g->memory, (size_t)r->n, sizeof *x, e);
    if (!x) return false;
    sheet_add(c->s, STR("patients"));
    for (int32_t k = 0; k < c->n_column; k++) {
        int64_t n = 0, distinct = 0;
        for (int64_t i = 0; i < r->n; i++) {
            if (is_in(c, k, i)) x[n++] = c->p->v->g->study.row[r->row[i]].patient;
        }
        qsort(x, (size_t)n, sizeof *x, by_number);
        for (int64_t i = 0; i < n; i++) distinct += x[i] < 0 || i == 0 || x[i] != x[i - 1];
        add_share(c->s, distinct, 0, distinct > 0 && distinct < SMALL_BELOW);
    }
    add_smd(c, NULL);
    return true;
}

static bool table_by_class(const paper *p, sheet *s, const char *id, err *e)
{
    const verdict *r = stats_of(p);
    characteristics c = {.p = p, .s = s, .n_column = 1, .column = {{-1, r->n}}};
    sheet_open(s, id, "Characteristics of the texts judged");
    sheet_column(s, "characteristic", false);
    sheet_column(s, "all", true);
    for (int32_t k = 0; r->n_class > 1 && k < r->n_class && k < CLASSES_SHOWN; k++) {
        /* the positive class first */
        int32_t which = r->positive <= 0 ? k : k == 0 ? r->positive : k <= r->positive ? k - 1 : k;
        c.column[c.n_column++] = (one_class){which, r->class_count[which]};
        sheet_column(s, p->v->g->in.class_name[which], true);
    }
    c.smd = r->n_class == 2;
    if (c.smd) sheet_column(s, "standardised difference", true);
    sheet_add(s, STR("texts"));
    int64_t n[1 + CLASSES_SHOWN];
    bool hidden[1 + CLASSES_SHOWN] = {false};
    for (int32_t k = 0; k < c.n_column; k++) n[k] = c.column[k].n;
    small_mark(n + 1, c.n_column - 1, hidden + 1);
    for (int32_t k = 0; k < c.n_column; k++) add_share(s, n[k], k ? r->n : 0, hidden[k]);
    add_smd(&c, NULL);
    if (!add_patient_row(&c, e)) return false;
    for (int32_t g = 0; g < p->v->n_group; g++) add_group_rows(&c, g);
    if (!add_token_rows(&c, e)) return false;
    sheet_note(
        s,
        "Texts that every arm scored. Shares are of the column. Tokens and cuts are those of arm "
        "%s.",
        arm_name(p, p->v->reference));
    sheet_note(
        s,
        "Counts from 1 to 4 are shown as <%d; counts from which they could be worked out are "
        "withheld.",
        SMALL_BELOW);
    if (r->n_class > CLASSES_SHOWN)
        sheet_note(s, "The first %d of %d classes are shown.", CLASSES_SHOWN, (int)r->n_class);
    return true;
}

static bool table_characteristics(const paper *p, sheet *s, char why[200], err *e)
{
    (void)why;
    if (!paper_has_parts(p)) return table_by_class(p, s, "T1", e);
    paper_parts(p, s);
    return true;
}

static bool table_judged(const paper *p, sheet *s, char why[200], err *e)
{
    if (paper_has_parts(p)) return table_by_class(p, s, "S2", e);
    snprintf(why, 200, "the table has one part: table T1 is by class");
    return true;
}

/* --- T2 --- */

static void add_main_row(const paper *p, sheet *s, int32_t k)
{
    const evidence *v = p->v;
    const evidence_arm *a = &v->arm[k];
    const verdict_arm *r = &stats_of(p)->arm[k];
    int sign;
    const verdict_pair *pair = k == v->reference ? NULL : evidence_pair(v, k, v->reference, &sign);
    const rank_test *t = pair ? evidence_test(v, pair) : NULL;
    sheet_add(s, str_of(arm_name(p, k)));
    buf text = buf_up_to(100);
    int64_t both[2] = {stats_of(p)->events, stats_of(p)->n - stats_of(p)->events};
    bool hidden[2];
    small_mark(both, 2, hidden);
    small_add(&text, stats_of(p)->n, false);
    buf_add_text(&text, " / ");
    small_add(&text, both[0], hidden[0]);
    sheet_add(s, buf_view(&text));
    buf_close(&text);
    paper_add_estimate(s, &a->auroc->logit, 3);
    paper_add_estimate(s, &a->auprc, 3);
    buf at = buf_up_to(100);
    evidence_add_threshold(&at, r);
    sheet_add(s, buf_view(&at));
    buf_close(&at);
    paper_add_estimate(s, &a->cut.sensitivity, 2);
    paper_add_estimate(s, &a->cut.specificity, 2);
    paper_add_estimate(s, &a->cut.ppv, 2);
    paper_add_estimate(s, &a->cut.npv, 2);
    paper_add_estimate(s, &r->brier, 3);
    paper_add_estimate(s, &a->line.slope, 2);
    paper_add_difference(p, s, k);
    if (k == v->reference) {
        sheet_add(s, STR(""));
        sheet_add(s, STR(""));
        return;
    }
    paper_add_p(s, t && t->has_value, t ? t->p : 0);
    if (pair && pair->primary) sheet_add(s, STR("primary"));
    else paper_add_p(s, t && t->has_value, pair ? v->p_holm[pair - stats_of(p)->pair] : 0);
}

static bool table_classes(const paper *p, sheet *s)
{
    const verdict *r = stats_of(p);
    sheet_open(s, "T2", "Results of the arms");
    static const char *const columns[] = {"texts",       "most probable class right",
                                          "macro AUROC", "weighted AUROC",
                                          "Hand-Till M", "macro F1",
                                          "kappa",       "classes judged"};
    sheet_column(s, "arm", false);
    for (size_t i = 0; i < countof(columns); i++) sheet_column(s, columns[i], true);
    int64_t n_draw = 0;
    for (int32_t k = 0; k < r->n_arm; k++) {
        const evidence_multi *m = &p->v->multi[k];
        sheet_add(s, str_of(arm_name(p, k)));
        sheet_printf(s, "%lld", (long long)r->n);
        paper_add_estimate(s, m->accuracy.has_value ? &m->accuracy : &r->arm[k].accuracy, 3);
        paper_add_estimate(s, &m->macro, 3);
        paper_add_estimate(s, &m->weighted, 3);
        paper_add_estimate(s, &m->hand_till, 3);
        paper_add_estimate(s, &m->macro_f1, 3);
        paper_add_estimate(s, &m->kappa, 3);
        sheet_printf(s, "%d of %d", (int)r->arm[k].n_class_judged, (int)r->n_class);
        n_draw = m->n_draw;
    }
    sheet_note(s, "AUROC of each class against the rest: mean (macro) and weighted by the classes' "
                  "texts; Hand-Till M: mean over pairs of classes. A class without texts is left "
                  "out and counted.");
    sheet_note(s,
               "In parentheses %.0f %% intervals: the share right by %s, the others by bootstrap "
               "(%lld resamples of %s).",
               100 * r->level, p->v->clusters ? "bootstrap of patients" : "Wilson",
               (long long)n_draw, p->v->clusters ? "patients" : "texts");
    return true;
}

static void note_point(const paper *p, sheet *s)
{
    buf text = buf_up_to(1000);
    evidence_add_point(stats_of(p), &text);
    buf_add_char(&text, '\0');
    sheet_note(s, "Sensitivity, specificity, PPV, NPV %s, with %s.", text.data ? text.data : "",
               evidence_share_words(p->v));
    buf_close(&text);
    if (evidence_recal_words(stats_of(p)))
        sheet_note(s,
                   "Brier (Wald) and slope after recalibration by %s, fitted on %lld tune texts.",
                   evidence_recal_words(stats_of(p)), (long long)stats_of(p)->n_tune);
    else sheet_note(s, "Brier (Wald) and slope of the model's own probabilities.");
}

/* The comparison that was declared: where it stands, or what it gives when it isn't with the
 * reference. */
static void note_primary(const paper *p, sheet *s)
{
    int32_t first, second;
    int sign;
    const evidence *v = p->v;
    if (!evidence_primary(v, &first, &second, &sign)) return;
    const rank_test *t = evidence_test(v, v->primary);
    buf text = buf_up_to(1000);
    if (t->has_value) {
        evidence_add_difference(&text, t, sign);
        buf_add_text(&text, ", p ");
        evidence_add_p(&text, true, t->p);
        if (v->inferior.margin > 0 && v->inferior.has_value)
            buf_printf(&text, "; %s at a margin of %g",
                       v->inferior.shown ? "not inferior" : "non-inferiority not shown",
                       v->inferior.margin);
    } else {
        buf_add_text(&text, "not estimable");
    }
    buf_add_char(&text, '\0');
    sheet_note(s, "Primary comparison, declared beforehand and not adjusted: %s against %s, %s.",
               arm_name(p, first), arm_name(p, second), text.data ? text.data : "");
    buf_close(&text);
}

static bool table_main(const paper *p, sheet *s, char why[200], err *e)
{
    (void)why, (void)e;
    static const char *const columns[] = {
        "texts / events",      "AUROC", "AUPRC",   "threshold", "sensitivity",
        "specificity",         "PPV",   "NPV",     "Brier",     "calibration slope",
        "difference in AUROC", "p",     "p (Holm)"};
    const verdict *r = stats_of(p);
    if (!p->v->binary) return table_classes(p, s);
    sheet_open(s, "T2", "Results of the arms");
    sheet_column(s, "arm", false);
    for (size_t i = 0; i < countof(columns); i++) sheet_column(s, columns[i], true);
    for (int32_t k = 0; k < r->n_arm; k++) add_main_row(p, s, k);
    note_intervals(p, s);
    sheet_note(
        s,
        "Event: %s. In parentheses %.0f %% intervals. AUPRC: average precision (a useless score "
        "has the prevalence, %.3f); its interval by bootstrap (%lld resamples of %s).",
        p->v->g->in.class_name[r->positive], 100 * r->level,
        r->n > 0 ? (double)r->events / (double)r->n : 0, (long long)p->v->arm[0].auprc_draws,
        p->v->clusters ? "patients" : "texts within their class");
    note_point(p, s);
    sheet_note(s,
               "Differences are from arm %s on the same texts (paired). Holm: over all %d %spairs "
               "of arms.",
               arm_name(p, p->v->reference), (int)(r->n_pair - (r->primary >= 0)),
               r->primary >= 0 ? "other " : "");
    note_primary(p, s);
    return true;
}

/* --- T3 --- */

/* The number of this arm's question among the distinct ones, from 1. */
static int32_t wording_of(const paper *p, int32_t arm)
{
    int32_t n = 0;
    for (int32_t k = 0; k <= arm; k++) {
        bool seen = false;
        for (int32_t j = 0; j < k && !seen; j++)
            seen = !strcmp(p->arm[j].question, p->arm[k].question);
        n += !seen;
        if (!strcmp(p->arm[k].question, p->arm[arm].question)) return n;
    }
    return n;
}

static bool table_methods(const paper *p, sheet *s, char why[200], err *e)
{
    (void)e;
    const verdict *r = stats_of(p);
    int32_t n_asking = 0;
    for (int32_t k = 0; k < r->n_arm; k++) n_asking += !p->v->g->in.arm[k].baseline;
    if (n_asking < 2 || !p->v->binary) {
        snprintf(why, 200, "%s",
                 p->v->binary ? "the study has one way of asking"
                              : "the study declares no positive class");
        return true;
    }
    sheet_open(s, "T3", "Ways of asking");
    static const char *const columns[] = {
        "framing",  "parts of the prompt", "examples",
        "seed",     "role text",           "question",
        "template", "texts generated",     "tokens of the prompt, median",
        "AUROC",    "difference in AUROC"};
    sheet_column(s, "arm", false);
    for (size_t i = 0; i < countof(columns); i++)
        sheet_column(s, columns[i], i == 2 || i == 3 || i > 6);
    for (int32_t k = 0; k < r->n_arm; k++) {
        const paper_arm *a = &p->arm[k];
        if (p->v->g->in.arm[k].baseline) continue;
        sheet_add(s, str_of(arm_name(p, k)));
        sheet_add(s, str_of(a->framing));
        sheet_add(s, str_of(a->method));
        sheet_printf(s, "%d", (int)a->shots);
        if (a->shots > 0) sheet_printf(s, "%lld", (long long)a->seed);
        else sheet_add(s, STR(""));
        sheet_add(s, str_of(a->system[0] ? "yes" : "no"));
        if (a->question[0]) sheet_printf(s, "wording %d", (int)wording_of(p, k));
        else sheet_add(s, STR("none"));
        sheet_add(s, str_of(a->template_kind));
        sheet_printf(s, "%d", (int)a->samples);
        sheet_printf(s, "%.0f", p->v->g->in.arm[k].tokens_median);
        paper_add_estimate(s, &p->v->arm[k].auroc->logit, 3);
        paper_add_difference(p, s, k);
    }
    note_intervals(p, s);
    sheet_note(s, "All arms on the same texts with the same room for a text. Prompts to the "
                  "letter: table S1.");
    return true;
}

static bool table_tuning(const paper *p, sheet *s, char why[200], err *e)
{
    (void)e;
    return paper_tuning(p, s, why);
}

/* --- T6 --- */

static void add_subgroup_rows(sheet *s, const evidence_group *g, int32_t n_arm)
{
    int64_t n[EVIDENCE_LEVELS_MAX] = {0}, events[EVIDENCE_LEVELS_MAX] = {0};
    bool hidden[EVIDENCE_LEVELS_MAX], hidden_events[EVIDENCE_LEVELS_MAX];
    for (int32_t i = 0; i < g->n_level; i++) n[i] = g->level[i].n, events[i] = g->level[i].events;
    small_mark(n, g->n_level, hidden);
    small_mark(events, g->n_level, hidden_events);
    for (int32_t i = 0; i < g->n_level; i++) {
        const evidence_level *l = &g->level[i];
        buf text = buf_up_to(200);
        sheet_add(s, g->name);
        sheet_add(s, l->name.size ? l->name : STR("(empty)"));
        small_add(&text, l->n, hidden[i]);
        buf_add_text(&text, " / ");
        small_add(&text, l->events, hidden_events[i]);
        sheet_add(s, buf_view(&text));
        buf_close(&text);
        bool few = l->events < STAT_FEW_BELOW || l->n - l->events < STAT_FEW_BELOW;
        for (int32_t k = 0; k < n_arm; k++) {
            if (few) sheet_add(s, STR("too few"));
            else paper_add_estimate(s, &l->auroc[k].logit, 3);
        }
    }
    sheet_add(s, g->name);
    sheet_add(s, g->n_level ? STR("p, do they differ?") : STR("more than 40 values: left out"));
    sheet_add(s, STR(""));
    for (int32_t k = 0; k < n_arm; k++)
        paper_add_p(s, g->n_level && g->test[k].status == STAT_OK, g->n_level ? g->test[k].p : 0);
}

static bool table_subgroups(const paper *p, sheet *s, char why[200], err *e)
{
    (void)e;
    int32_t n_arm = stats_of(p)->n_arm < ARMS_SHOWN ? stats_of(p)->n_arm : ARMS_SHOWN;
    if (p->v->n_group == 0) {
        snprintf(why, 200, "the study names no subgroup columns");
        return true;
    }
    sheet_open(s, "T6", "AUROC by subgroup");
    sheet_column(s, "column", false);
    sheet_column(s, "subgroup", false);
    sheet_column(s, "texts / events", true);
    for (int32_t k = 0; k < n_arm; k++) sheet_column(s, arm_name(p, k), true);
    for (int32_t g = 0; g < p->v->n_group; g++) add_subgroup_rows(s, &p->v->group[g], n_arm);
    note_intervals(p, s);
    sheet_note(s,
               "Too few: under %d events or others. p: Cochran's Q over the subgroups that have an "
               "interval. Exploratory, not adjusted.",
               STAT_FEW_BELOW);
    sheet_note(
        s,
        "Counts from 1 to 4 are shown as <%d; counts from which they could be worked out are "
        "withheld.",
        SMALL_BELOW);
    if (n_arm < stats_of(p)->n_arm)
        sheet_note(s, "The first %d of %d arms are shown.", (int)n_arm, (int)stats_of(p)->n_arm);
    return true;
}

/* --- T7 --- */

static bool same_asking(const paper_arm *a, const paper_arm *b)
{
    const char *const x[] = {a->system, a->template_kind, a->kind,
                             a->asking, a->model_sha256,  a->adapter_sha256};
    const char *const y[] = {b->system, b->template_kind, b->kind,
                             b->asking, b->model_sha256,  b->adapter_sha256};
    for (size_t i = 0; i < countof(x); i++) {
        if (strcmp(x[i], y[i])) return false;
    }
    return a->shots == b->shots && a->wordings == b->wordings;
}

/* Nothing but the question, or nothing but the draw of examples, tells the arms apart. */
static bool same_but(const paper_arm *a, const paper_arm *b, bool wording)
{
    bool question = !strcmp(a->question, b->question), seed = a->shots == 0 || a->seed == b->seed;
    if (!same_asking(a, b)) return false;
    return wording ? seed && (a == b || !question) : question && a->shots > 0;
}

/* One row for the arms that differ from arm k in the one thing alone; none when k is not their
 * first. */
static void add_family(const paper *p, sheet *s, int32_t k, bool wording)
{
    const verdict *r = stats_of(p);
    double x[SHEET_COLUMNS_MAX * 8], low = 1, high = 0;
    int64_t n = 0;
    for (int32_t j = 0; j < r->n_arm && n < (int64_t)countof(x); j++) {
        const stat_estimate *o = &p->v->arm[j].auroc->logit;
        if (p->v->g->in.arm[k].baseline || p->v->g->in.arm[j].baseline) continue;
        if (!same_but(&p->arm[k], &p->arm[j], wording)) continue;
        if (j < k) return;
        if (!o->has_value) continue;
        x[n++] = o->value;
        low = fmin(low, o->value);
        high = fmax(high, o->value);
    }
    if (n < 2) return;
    sheet_add(s, wording ? STR("wording of the question") : STR("draw of the examples"));
    sheet_add(s, str_of(arm_name(p, k)));
    sheet_printf(s, "%lld", (long long)n);
    sheet_printf(s, "%.3f (%.3f)", stat_mean(x, n), sqrt(stat_covariance(x, x, n)));
    sheet_printf(s, "%.3f to %.3f", low, high);
}

/* Rows of an arm that asks each text in several ways: all of them, and by what they differ in. */
static void add_within(const paper *p, sheet *s, int32_t k)
{
    const gather_ways *w = &p->v->g->ways[k];
    if (w->n_auroc < 2) return;
    sheet_add(s, STR("ways within the arm, all"));
    sheet_add(s, str_of(arm_name(p, k)));
    sheet_printf(s, "%d", (int)w->n_auroc);
    sheet_printf(s, "%.3f (%.3f)", w->mean, w->sd);
    sheet_printf(s, "%.3f to %.3f", w->low, w->high);
    for (int32_t i = 0; i < w->n_factor; i++) {
        const gather_factor *f = &w->factor[i];
        sheet_printf(s, "within the arm: %s", f->name);
        sheet_add(s, str_of(arm_name(p, k)));
        sheet_printf(s, "%d", (int)f->n_level);
        sheet_printf(s, "%.3f (%.3f)", f->mean, f->sd);
        sheet_printf(s, "%.3f to %.3f", f->low, f->high);
    }
}

static bool table_variability(const paper *p, sheet *s, char why[200], err *e)
{
    (void)e;
    sheet_open(s, "T7", "Variability over repeats and wordings");
    static const char *const columns[] = {"arms, ways or levels", "AUROC, mean (SD)",
                                          "AUROC, range"};
    sheet_column(s, "what varies", false);
    sheet_column(s, "first arm", false);
    for (size_t i = 0; i < countof(columns); i++) sheet_column(s, columns[i], true);
    for (int32_t k = 0; p->v->binary && k < stats_of(p)->n_arm; k++) {
        add_family(p, s, k, false);
        add_family(p, s, k, true);
        add_within(p, s, k);
    }
    sheet_note(
        s,
        "Arms that differ in nothing but what varies; SD over arms, on the same texts. Within an "
        "arm: SD over its ways, or over the levels of one thing in which they differ (of each "
        "the mean AUROC of its ways). Scoring itself has no randomness: asked again, a text gets "
        "the same score to the last bit.");
    if (s->n_cell > 0) return true;
    sheet_close(s);
    *s = (sheet){0};
    snprintf(why, 200,
             "no two arms differ only in the draw of the examples or only in the wording, and no "
             "arm asks in several ways");
    return true;
}

/* --- S1 --- */

static bool table_prompts(const paper *p, sheet *s, char why[200], err *e)
{
    (void)why, (void)e;
    sheet_open(s, "S1", "Prompts to the letter");
    sheet_column(s, "arm", false);
    sheet_column(s, "prompt", false);
    for (int32_t k = 0; k < stats_of(p)->n_arm; k++) {
        const char *prompt = p->v->g->in.arm[k].prompt;
        if (p->v->g->in.arm[k].baseline) continue;
        sheet_add(s, str_of(arm_name(p, k)));
        sheet_add(s, str_of(prompt ? prompt : ""));
    }
    sheet_note(s, "{text} is where the text of the case stood, {example 1} .. where texts of "
                  "examples stood.");
    return true;
}

/* --- S7, S8, S9: whole questions; texts beside references --- */

static bool table_questions(const paper *p, sheet *s, char why[200], err *e)
{
    (void)e;
    questions_table(p->v, s);
    snprintf(why, 200, "the study asks about no option by itself (`several: each`)");
    return true;
}

static bool no_likeness(char why[200])
{
    snprintf(why, 200, "the study has no references that texts are compared with");
    return true;
}

static bool table_likeness(const paper *p, sheet *s, char why[200], err *e)
{
    (void)e;
    if (!p->v->likeness) return no_likeness(why);
    texts_arms(p->v->likeness, s);
    return true;
}

static bool table_unlike(const paper *p, sheet *s, char why[200], err *e)
{
    (void)e;
    if (!p->v->likeness) return no_likeness(why);
    texts_pairs(p->v->likeness, s);
    snprintf(why, 200, "one arm alone is compared with references");
    return true;
}

static const struct {
    const char *id;
    bool (*make)(const paper *, sheet *, char[200], err *);
} tables[PAPER_TABLES] = {
    {"T1", table_characteristics}, {"T2", table_main},
    {"T3", table_methods},         {"T4", paper_table_frontier},
    {"T5", table_tuning},          {"T6", table_subgroups},
    {"T7", table_variability},     {"S1", table_prompts},
    {"S2", table_judged},          {"S3", paper_ways},
    {"S4", paper_trainings},       {"S5", paper_ablation},
    {"S6", paper_places},          {"S7", table_questions},
    {"S8", table_likeness},        {"S9", table_unlike},
};

const char *paper_table_id(int32_t which) { return tables[which].id; }

bool paper_table(const paper *p, int32_t which, sheet *s, char why[200], err *e)
{
    assert(which >= 0 && which < PAPER_TABLES);
    *s = (sheet){0};
    why[0] = 0;
    return tables[which].make(p, s, why, e) &&
           (s->n_column == 0 ||
            (buf_check(&s->cells, "a table", e) && buf_check(&s->notes, "a table", e)));
}
