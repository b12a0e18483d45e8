/* paper_ways: S3, what lies within arms that ask in several ways or have texts generated, with what
 * each arm cost; S4, each training. */
#include "stats/dist.h"
#include "view/paper_in.h"
#include "view/small.h"
#include "view/votes.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

bool paper_generates(const paper *p)
{
    for (int32_t k = 0; k < p->v->g->stats.n_arm; k++) {
        if (p->v->g->ways[k].n_sample > 0 || p->arm[k].samples > 0) return true;
    }
    return false;
}

bool paper_adapts(const paper *p)
{
    for (int32_t k = 0; k < p->v->g->stats.n_arm; k++) {
        if (p->arm[k].adapter_sha256[0]) return true;
    }
    return false;
}

/* "12 (4.3 %)", small counts withheld. */
static void add_share(sheet *s, int64_t n, int64_t of)
{
    int64_t both[2] = {n, of - n};
    bool hidden[2];
    buf text = buf_up_to(100);
    if (of <= 0) {
        sheet_add(s, STR(""));
        return;
    }
    small_mark(both, 2, hidden);
    small_add(&text, n, hidden[0]);
    if (!hidden[0]) buf_printf(&text, " (%.1f %%)", 100 * (double)n / (double)of);
    sheet_add(s, buf_view(&text));
    buf_close(&text);
}

/* What the texts say, beside what is scored behind them (votes.h). */
static bool add_votes(const paper *p, sheet *s, int32_t k, err *e)
{
    votes v;
    if (!votes_there(p->v->g, k)) {
        sheet_add(s, STR(""));
        sheet_add(s, STR(""));
        return true;
    }
    if (!votes_count(p->v->g, k, &p->v->g->memory, &v, e)) return false;
    paper_add_estimate(s, &v.right, 3);
    if (p->v->g->stats.positive < 0) sheet_add(s, STR(""));
    else paper_add_estimate(s, &v.share, 3);
    return true;
}

static void add_whole(sheet *s, int64_t n)
{
    if (n > 0) sheet_printf(s, "%lld", (long long)n);
    else sheet_add(s, STR(""));
}

/* Columns that some arm fills. */
enum { SHOW_WAYS = 1, SHOW_TEXTS = 2, SHOW_RULES = 4 };

static bool add_way_row(const paper *p, sheet *s, int32_t k, int shown, err *e)
{
    const gather_ways *w = &p->v->g->ways[k];
    const report_arm *about = &p->v->g->in.arm[k];
    sheet_add(s, str_of(about->name));
    if (shown & SHOW_WAYS) {
        sheet_printf(s, "%d", (int)(w->n_way > 1 ? w->n_way : 1));
        if (w->n_auroc > 1) {
            sheet_printf(s, "%.3f (%.3f)", w->mean, w->sd);
            sheet_printf(s, "%.3f to %.3f", w->low, w->high);
        } else {
            sheet_add(s, STR(""));
            sheet_add(s, STR(""));
        }
        add_share(s, w->n_turned, w->n_row);
    }
    if (shown & SHOW_TEXTS) {
        add_whole(s, w->n_sample);
        if (shown & SHOW_RULES) add_share(s, w->n_unparsed, w->n_parsed + w->n_unparsed);
        if ((shown & SHOW_RULES) && !add_votes(p, s, k, e)) return false;
        add_share(s, w->n_long, w->n_sample);
        add_whole(s, w->n_token);
    }
    sheet_printf(s, "%lld", (long long)about->n_forwarded);
    double seconds = p->arm[k].seconds > 0 ? p->arm[k].seconds : about->seconds;
    if (seconds > 0) sheet_printf(s, "%.1f", seconds);
    else sheet_add(s, STR(""));
    return true;
}

bool paper_ways(const paper *p, sheet *s, char why[200], err *e)
{
    static const char *const columns[] = {"ways a text is asked",
                                          "AUROC over ways, mean (SD)",
                                          "range",
                                          "texts whose class depends on the way",
                                          "texts generated",
                                          "without an answer by the rules",
                                          "most texts say the right class",
                                          "AUROC of the share of texts",
                                          "ended by the limit",
                                          "tokens generated",
                                          "tokens computed for prompts",
                                          "seconds"};
    bool any = false;
    int shown = paper_generates(p) ? SHOW_TEXTS : 0;
    if (shown && p->v->g->stats.n_class > 1) shown |= SHOW_RULES; /* there is a right answer */
    for (int32_t k = 0; k < p->v->g->stats.n_arm; k++) {
        any = any || !p->v->g->in.arm[k].baseline;
        if (p->v->g->ways[k].n_way > 1) shown |= SHOW_WAYS;
    }
    if (!any) {
        snprintf(why, 200, "no arm asks a model");
        return true;
    }
    sheet_open(s, "S3", "Within the arms: ways, generated texts, cost");
    sheet_column(s, "arm", false);
    for (size_t i = 0; i < countof(columns); i++) {
        const int needs = i < 4    ? SHOW_WAYS
                          : i == 4 ? SHOW_TEXTS
                          : i < 8  ? SHOW_RULES
                          : i < 10 ? SHOW_TEXTS
                                   : 0;
        if ((shown & needs) != needs) continue;
        sheet_column(s, columns[i], true);
    }
    for (int32_t k = 0; k < p->v->g->stats.n_arm; k++) {
        if (!p->v->g->in.arm[k].baseline && !add_way_row(p, s, k, shown, e)) return false;
    }
    if (shown & SHOW_WAYS)
        sheet_note(s,
                   "Ways: wordings, orders of options or answers, draws of examples within an arm; "
                   "their class probabilities are combined by the arm's rule.");
    if (shown & SHOW_RULES)
        sheet_note(s,
                   "A generated text without an answer by the rules counts as no answer there; its "
                   "label was still asked behind it and scored. Most texts: the class that more "
                   "texts of a row say than any other; a tie or no answer is not right. Share of "
                   "texts: of those that say the positive class; it has ties (votes.csv has the "
                   "counts), the arm's AUROC has not.%s",
                   p->v->clusters ? " Intervals of both allow for several texts of a patient."
                                  : "");
    return true;
}

/* --- S4 --- */

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void add_training(sheet *s, const char *arm, const json_t *r)
{
    const json_t *loss = json_object_get(r, "loss"), *best = json_object_get(r, "best");
    size_t n = json_array_size(loss);
    sheet_add(s, str_of(arm));
    sheet_printf(s, "%.0f", number(r, "rows"));
    sheet_printf(s, "%.0f", number(r, "seed"));
    sheet_printf(s, "%.0f", number(r, "updates_done"));
    for (int i = 0; i < 2; i++) {
        const json_t *point = n > 0 ? json_array_get(loss, i ? n - 1 : 0) : NULL;
        if (point) sheet_printf(s, "%.4f", json_number_value(json_array_get(point, 1)));
        else sheet_add(s, STR(""));
    }
    if (best) sheet_printf(s, "%.0f", number(best, "update"));
    else sheet_add(s, STR(""));
    if (best && json_is_number(json_object_get(best, "tune_auroc")))
        sheet_printf(s, "%.3f", number(best, "tune_auroc"));
    else sheet_add(s, STR(""));
    sheet_printf(s, "%.1f", number(r, "seconds"));
}

bool paper_trainings(const paper *p, sheet *s, char why[200], err *e)
{
    (void)e;
    static const char *const columns[] = {"training texts",      "seed",       "updates",
                                          "loss, first",         "loss, last", "update kept",
                                          "AUROC on tune texts", "seconds"};
    for (int32_t k = 0; k < p->v->g->stats.n_arm; k++) {
        char key[400];
        snprintf(key, sizeof key, "training/%s", p->v->g->in.arm[k].name);
        json_t *r = json_loads(gather_fact(p->v->g, key), 0, NULL);
        if (!r) continue;
        if (s->n_column == 0) {
            sheet_open(s, "S4", "Trainings, by texts and seed");
            sheet_column(s, "adapter", false);
            for (size_t i = 0; i < countof(columns); i++) sheet_column(s, columns[i], true);
        }
        add_training(s, p->v->g->in.arm[k].name, r);
        json_decref(r);
    }
    if (s->n_column == 0) snprintf(why, 200, "no model was tuned");
    else
        sheet_note(s, "The update with the best AUROC on tune texts was kept; the judged texts had "
                      "no part in it.");
    return true;
}

/* --- S6 --- */

/* "27.1 % (24.0 to 30.2)": a mean over texts. */
static void add_mean_share(const paper *p, sheet *s, const gather_ways *w, int32_t place)
{
    const gather_place *at = &w->place[place];
    const double half =
        dist_normal_factor(p->v->g->stats.level) * at->sd / sqrt((double)w->n_placed);
    sheet_printf(s, "%.1f %% (%.1f to %.1f)", 100 * at->share, 100 * fmax(0, at->share - half),
                 100 * fmin(1, at->share + half));
}

/* Are places preferred? */
static void add_place_test(const paper *p, sheet *s, int32_t k)
{
    const gather_ways *w = &p->v->g->ways[k];
    const margins_test *t = &w->place_test;
    buf text = buf_up_to(200);
    sheet_add(s, str_of(p->v->g->in.arm[k].name));
    sheet_add(s, STR("all, test"));
    buf_printf(&text, "χ² %.2f, %d df, p ", t->chi2, (int)t->df);
    evidence_add_p(&text, t->has_value, t->p);
    sheet_add(s, buf_view(&text));
    sheet_add(s, w->turned ? STR("") : STR("as the right options"));
    sheet_add(s, STR(""));
    buf_close(&text);
}

static void add_places(const paper *p, sheet *s, int32_t k)
{
    const gather_ways *w = &p->v->g->ways[k];
    int64_t chosen[GATHER_PLACES_MAX], held[GATHER_PLACES_MAX];
    bool hidden[GATHER_PLACES_MAX], hidden_held[GATHER_PLACES_MAX] = {false};
    for (int32_t c = 0; c < w->n_place; c++) chosen[c] = w->place[c].n_chosen;
    for (int32_t c = 0; c < w->n_place; c++) held[c] = w->place[c].n_held;
    small_mark(chosen, w->n_place, hidden);
    if (!w->turned) small_mark(held, w->n_place, hidden_held);
    for (int32_t c = 0; c < w->n_place; c++) {
        sheet_add(s, str_of(p->v->g->in.arm[k].name));
        sheet_printf(s, "%c", (char)('A' + c));
        if (hidden[c]) sheet_add(s, STR("withheld"));
        else add_mean_share(p, s, w, c);
        if (hidden_held[c]) sheet_add(s, STR("withheld"));
        else
            sheet_printf(s, "%.1f %%",
                         w->turned ? 100.0 / w->n_place
                                   : 100.0 * (double)held[c] / (double)w->n_placed);
        if (hidden_held[c]) sheet_add(s, STR("withheld"));
        else add_share(s, w->place[c].n_right, w->place[c].n_held);
    }
    if (w->place_test.has_value) add_place_test(p, s, k);
}

bool paper_places(const paper *p, sheet *s, char why[200], err *e)
{
    (void)e;
    static const char *const columns[] = {"chosen", "if no place were preferred",
                                          "right when the right option stands here"};
    for (int32_t k = 0; k < p->v->g->stats.n_arm; k++) {
        if (p->v->g->ways[k].n_place == 0) continue;
        if (s->n_column == 0) {
            sheet_open(s, "S6", "Preference for places in the list of options");
            sheet_column(s, "arm", false);
            sheet_column(s, "place", false);
            for (size_t i = 0; i < countof(columns); i++) sheet_column(s, columns[i], true);
        }
        add_places(p, s, k);
    }
    if (s->n_column == 0) {
        snprintf(why, 200, "no arm lists options");
        return true;
    }
    sheet_note(
        s,
        "Options turned through all places (`position: cyclic`): before places are averaged, "
        "each option stood at each place, so a model without a preference chooses all alike. "
        "Options that kept their places: chosen, beside how often the right option stands "
        "there. %.0f %% intervals over texts.",
        100 * p->v->g->stats.level);
    sheet_note(s,
               "Test: chi-square of the gaps between both, text by text (Stuart, Biometrika "
               "1955;42:412; Maxwell, Br J Psychiatry 1970;116:651)%s. A small p says that places "
               "matter; with many arms some small p arise by chance.",
               p->v->clusters ? ", texts of a patient taken together; the shares count them as "
                                "several"
                              : "");
    return true;
}
