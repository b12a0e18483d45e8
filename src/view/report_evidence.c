/* report_evidence: the parts of the page that draw from evidence: the primary comparison, what was
 * chosen on tune rows, summaries over several classes, tables of the paper. */
#include "view/evidence.h"
#include "view/report_in.h"
#include "view/small.h"

#include <math.h>

static void add_in(buf *b, const char *open, const char *text, const char *close)
{
    buf_add_text(b, open);
    buf_add_html(b, str_of(text ? text : ""));
    buf_add_text(b, close);
}

/* "0.812 (0.790 to 0.834)", the reason escaped. */
static void add_estimate(buf *b, const stat_estimate *o, int decimals)
{
    buf text = buf_up_to(1000);
    evidence_add(&text, o, decimals);
    buf_add_html(b, buf_view(&text));
    buf_close(&text);
}

static void add_small(buf *b, int64_t n, bool hidden)
{
    buf text = buf_up_to(100);
    if (n > 0 && (n < SMALL_BELOW || hidden)) {
        small_add(&text, n, hidden);
        buf_add_html(b, buf_view(&text));
    } else {
        report_add_count(b, n);
    }
    buf_close(&text);
}

void report_add_class_count(const report_input *in, int32_t c, buf *b)
{
    bool hidden[SMALL_CLASSES_MAX] = {false};
    const verdict *r = in->stats;
    int32_t n = r->n_class < SMALL_CLASSES_MAX ? r->n_class : SMALL_CLASSES_MAX;
    small_mark(r->class_count, n, hidden);
    add_small(b, r->class_count[c], c < n && hidden[c]);
}

void report_add_events(const report_input *in, buf *b)
{
    const verdict *r = in->stats;
    int64_t both[2] = {r->events, r->n - r->events};
    bool hidden[2];
    small_mark(both, 2, hidden);
    add_small(b, r->events, hidden[0]);
}

/* --- the primary comparison --- */

static void add_signed(buf *b, double x)
{
    buf text = buf_up_to(100);
    evidence_add_signed(&text, x, 3);
    buf_add_html(b, buf_view(&text));
    buf_close(&text);
}

static void add_margin(const evidence *v, buf *b)
{
    const paired_noninferiority *m = &v->inferior;
    if (!(m->margin > 0)) return;
    buf_printf(b, " Margin of non-inferiority, declared beforehand: %g. ", m->margin);
    if (!m->has_value) {
        buf_add_text(b, "It cannot be judged.");
        return;
    }
    buf_add_text(b, m->shown ? "<b>Not inferior</b>: the interval's lower end is above \u2212"
                             : "<b>Not shown to be non-inferior</b>: the interval's lower end is "
                               "not above \u2212");
    buf_printf(b, "%g (one-sided p ", m->margin);
    report_add_p(b, m->p);
    buf_add_text(b, ").");
}

void report_add_primary(const report_input *in, buf *b)
{
    const evidence *v = in->evidence;
    int32_t first, second;
    int sign;
    if (!v || !evidence_primary(v, &first, &second, &sign)) return;
    const rank_test *t = evidence_test(v, v->primary);
    buf_add_text(b, "<section class=\"primary\">\n<h2>Primary comparison</h2>\n<p>");
    add_in(b, "<b>", in->arm[first].name, "</b> against ");
    add_in(b, "<b>", in->arm[second].name, "</b>, declared beforehand and not adjusted: ");
    if (!t->has_value) {
        buf_printf(b, "not estimable (%s).", stat_status_reason(t->status));
    } else {
        buf_add_text(b, "difference in AUROC <b>");
        add_signed(b, sign * t->difference);
        buf_add_text(b, "</b>");
        if (t->has_interval) {
            buf_printf(b, " (%.0f %% interval ", 100 * in->stats->level);
            add_signed(b, sign > 0 ? t->low : -t->high);
            buf_add_text(b, " to ");
            add_signed(b, sign > 0 ? t->high : -t->low);
            buf_add_text(b, ")");
        }
        buf_add_text(b, ", p ");
        report_add_p(b, t->p);
        buf_printf(b, " (paired %s test, same texts).", v->clusters ? "Obuchowski" : "DeLong");
        add_margin(v, b);
    }
    buf_add_text(b, "</p>\n</section>\n");
}

/* --- what was chosen on tune rows --- */

static void add_map(const recal_map *m, verdict_recal kind, buf *b)
{
    if (kind == VERDICT_RECAL_NONE) return;
    buf_add_text(b, "<td>");
    if (m->status != STAT_OK)
        buf_printf(b, "<span class=\"why\">not fitted (%s); the model's own</span>",
                   stat_status_reason(m->status));
    else if (kind == VERDICT_RECAL_TEMPERATURE) buf_printf(b, "T = %.3f", 1 / m->slope);
    else if (m->n_knot > 0) buf_printf(b, "%d knots", (int)m->n_knot);
    else buf_printf(b, "%.3f z %+.3f", m->slope, m->intercept);
    buf_add_text(b, "</td>");
}

static void add_cell(const stat_estimate *o, buf *b)
{
    buf_add_text(b, "<td class=\"n\">");
    if (o->has_value) buf_printf(b, "%.3f", o->value);
    else buf_printf(b, "<span class=\"why\">%s</span>", stat_status_reason(o->status));
    buf_add_text(b, "</td>");
}

static void add_choice_row(const report_input *in, int32_t k, buf *b)
{
    const verdict *r = in->stats;
    const verdict_arm *s = &r->arm[k];
    const evidence_arm *a = &in->evidence->arm[k];
    add_in(b, "<tr><th scope=\"row\">", in->arm[k].name, "</th><td class=\"n\">");
    if (r->point.chosen && !stat_status_usable(s->choice.status))
        buf_printf(b, "<span class=\"why\">none (%s)</span>", stat_status_reason(s->choice.status));
    else evidence_add_threshold(b, s);
    buf_add_text(b, "</td>");
    if (r->point.chosen)
        buf_printf(b, "<td class=\"n\">%.2f / %.2f</td>", s->choice.sensitivity,
                   s->choice.specificity);
    add_map(&s->recal, r->recalibrate, b);
    if (r->recalibrate != VERDICT_RECAL_NONE) {
        add_cell(&s->brier_own, b);
        add_cell(&a->line_own.slope, b);
    }
    add_cell(&s->brier, b);
    add_cell(&a->line.slope, b);
    buf_add_text(b, "</tr>\n");
}

void report_add_choices(const report_input *in, buf *b)
{
    const verdict *r = in->stats;
    const char *recal = evidence_recal_words(r);
    if (!in->evidence || (!r->point.chosen && !recal)) return;
    buf_add_text(b, "<section>\n<h2>Chosen on tune texts</h2>\n<p class=\"say\">");
    report_add_count(b, r->n_tune);
    buf_add_text(b, " tune texts were scored alike and are in no result on this page. ");
    if (r->point.chosen) {
        buf_add_text(b, "Texts are called positive ");
        evidence_add_point(r, b);
        buf_add_text(b, ". ");
    }
    if (recal) {
        buf_printf(b,
                   "Probabilities were recalibrated by %s, fitted on them, each arm apart; that "
                   "leaves the AUROC as it is%s.",
                   recal,
                   r->recalibrate == VERDICT_RECAL_ISOTONIC ? ", but for ties among probabilities"
                                                            : "");
    }
    buf_add_text(b, "</p>\n<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">arm</th>"
                    "<th class=\"n\" scope=\"col\">threshold<br/>(probability)</th>");
    if (r->point.chosen)
        buf_add_text(b, "<th class=\"n\" scope=\"col\">on tune texts:<br/>sensitivity / "
                        "specificity</th>");
    if (recal)
        buf_add_text(b, "<th scope=\"col\">map of log-odds z</th><th class=\"n\" scope=\"col\">"
                        "Brier<br/>before</th><th class=\"n\" scope=\"col\">slope<br/>before</th>");
    buf_printf(b,
               "<th class=\"n\" scope=\"col\">Brier%s</th><th class=\"n\" scope=\"col\">"
               "slope%s</th></tr></thead>\n<tbody>\n",
               recal ? "<br/>after" : "", recal ? "<br/>after" : "");
    for (int32_t k = 0; k < r->n_arm; k++) add_choice_row(in, k, b);
    buf_add_text(b, "</tbody></table></div>\n<p class=\"say\">Brier and slope are of the judged "
                    "texts. A slope of 1 is right; under 1 the probabilities are too "
                    "sure.</p>\n</section>\n");
}

/* --- several classes --- */

void report_add_multi(const report_input *in, int32_t k, buf *b)
{
    const evidence *v = in->evidence;
    if (!v || !v->multi) return;
    const evidence_multi *m = &v->multi[k];
    if (m->macro.has_interval) buf_printf(b, " (%.3f to %.3f)", m->macro.low, m->macro.high);
    buf_add_text(b, "; weighted by their texts: ");
    add_estimate(b, &m->weighted, 3);
    buf_add_text(b, "; Hand and Till's mean over pairs of classes: ");
    add_estimate(b, &m->hand_till, 3);
    if (!m->accuracy.has_value) return;
    buf_add_text(b, ". Of the most probable class: macro F1 ");
    add_estimate(b, &m->macro_f1, 3);
    buf_add_text(b, ", Cohen's kappa ");
    add_estimate(b, &m->kappa, 3);
    if (m->n_draw > 0)
        buf_printf(b, " (intervals by bootstrap, %lld resamples of %s)", (long long)m->n_draw,
                   v->clusters ? "patients" : "texts");
}

/* --- tables of the paper --- */

void report_add_sheets(const report_input *in, buf *b)
{
    for (int32_t i = 0; i < in->n_sheet; i++) {
        const report_sheet *s = &in->sheet[i];
        add_in(b, "<section>\n<h2>", s->section, "</h2>\n");
        add_in(b, "<p class=\"say\">", s->say, "</p>\n<div class=\"scroll\">\n");
        buf_add_text(b, s->html);
        buf_add_text(b, "</div>\n</section>\n");
    }
}
