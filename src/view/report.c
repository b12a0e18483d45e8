/* report: see report.h. Sections in reading order; figures are in report_figure.c, the look in
 * report_css.c. The page is also well-formed XML, so that a test can walk its tags. */
#include "view/evidence.h"
#include "view/flow.h"
#include "view/report_in.h"

#include <assert.h>
#include <math.h>

enum { PAIRS_SHOWN_MAX = 28 }; /* all pairs of eight arms */

/* --- numbers as text --- */

void report_add_value(buf *b, const stat_estimate *o, int decimals)
{
    if (o->has_value) buf_printf(b, "%.*f", decimals, o->value);
    else buf_printf(b, "not estimable (%s)", stat_status_reason(o->status));
}

/* The same in a cell of a table, where the reason is small and may wrap. */
static void add_value_cell(buf *b, const stat_estimate *o, int decimals)
{
    if (o->has_value) buf_printf(b, "%.*f", decimals, o->value);
    else
        buf_printf(b, "<span class=\"why\">not estimable (%s)</span>",
                   stat_status_reason(o->status));
}

void report_add_interval(buf *b, bool exists, double low, double high, int decimals)
{
    if (exists) buf_printf(b, "%.*f to %.*f", decimals, low, decimals, high);
}

void report_add_p(buf *b, double p)
{
    if (p < 0.001) buf_add_text(b, "&lt;0.001");
    else buf_printf(b, p < 0.1 ? "%.3f" : "%.2f", p);
}

void report_add_count(buf *b, int64_t n)
{
    char digits[32];
    int size = 0;
    uint64_t rest = n < 0 ? (uint64_t)-n : (uint64_t)n;
    do {
        digits[size++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (n < 0) buf_add_char(b, '-');
    while (size) {
        buf_add_char(b, digits[--size]);
        if (size && size % 3 == 0) buf_add_char(b, ',');
    }
}

static void add_escaped(buf *b, const char *text) { buf_add_html(b, str_of(text ? text : "")); }

/* "<tag>text</tag>" with the text escaped */
static void add_in(buf *b, const char *open, const char *text, const char *close)
{
    buf_add_text(b, open);
    add_escaped(b, text);
    buf_add_text(b, close);
}

/* A signed number with a true minus sign. */
static void add_signed(buf *b, double x)
{
    buf_printf(b, "%s%.3f", x < 0 ? "\xe2\x88\x92" : "+", fabs(x));
}

static double percent(int64_t part, int64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static const char *positive_name(const report_input *in)
{
    return in->class_name[in->stats->positive];
}

/* Some patient has more than one text. */
static bool has_clusters(const verdict *r) { return r->n_patient > 0 && r->n_patient < r->n; }

static bool has_positive(const report_input *in) { return in->stats->positive >= 0; }

/* Texts beside references, and nothing is labelled. */
static bool has_labels(const report_input *in) { return in->stats->n_class > 1; }

/* --- head --- */

static void add_head(const report_input *in, buf *b)
{
    buf_add_text(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                    "style-src 'unsafe-inline'\"/>\n");
    add_in(b, "<title>", in->title, " - caseload report</title>\n<style>\n");
    buf_add_text(b, report_css);
    buf_add_text(b, "</style>\n</head>\n<body>\n<main>\n<header>\n");
    add_in(b, "<h1>", in->title, "</h1>\n");
    if (in->subtitle) add_in(b, "<p class=\"soft\">", in->subtitle, "</p>\n");
    buf_add_text(b, "</header>\n");
}

/* One sentence for each arm, as words. */
static void add_answer(const report_input *in, buf *b)
{
    const verdict *r = in->stats;
    buf_add_text(b, "<section>\n<p class=\"lead\">");
    report_add_count(b, r->n);
    const char *what =
        has_labels(in) ? "judged" : "answered, and the answers compared with references";
    buf_printf(b, r->n == 1 ? " text was %s" : " texts were %s", what);
    if (has_positive(in)) {
        buf_add_text(b, ", ");
        report_add_events(in, b);
        buf_printf(b, " of them (%.1f %%) ", percent(r->events, r->n));
        add_in(b, "<i>", positive_name(in), "</i>");
    }
    int32_t n_baseline = 0;
    for (int32_t k = 0; k < r->n_arm; k++) n_baseline += in->arm[k].baseline;
    int32_t n_asking = r->n_arm - n_baseline;
    buf_add_text(b, n_asking == 1 ? ", in one way of asking." : ". ");
    if (n_asking > 1) buf_printf(b, "The question was asked in %d ways (arms).", (int)n_asking);
    if (n_baseline > 0)
        buf_printf(b, " Beside %s %d %s that ask no model.", n_asking == 1 ? "it" : "them",
                   (int)n_baseline, n_baseline == 1 ? "baseline stands" : "baselines stand");
    buf_add_text(b, "</p>\n");
    if (has_positive(in)) {
        buf_add_text(b, "<figure class=\"forest\">\n");
        report_add_forest(in, b);
        buf_printf(
            b,
            "<figcaption>AUROC of each arm with its %.0f %% interval. 1 is perfect; the dotted "
            "line at 0.5 is a coin toss.</figcaption>\n</figure>\n",
            100 * r->level);
    }
    buf_add_text(b, "</section>\n");
}

/* --- warnings --- */

/* One budget serves all arms, so as a rule they all cut the same texts: said once. */
static bool all_cut_alike(const report_input *in)
{
    for (int32_t k = 1; k < in->stats->n_arm; k++) {
        if (in->arm[k].n_cut != in->arm[0].n_cut) return false;
    }
    return in->stats->n_arm > 1;
}

static void add_arm_warnings(const report_input *in, int32_t k, buf *b)
{
    const verdict_arm *s = &in->stats->arm[k];
    const report_arm *about = &in->arm[k];
    const stat_estimate *o = &s->auroc.logit;
    if (in->stats->n > 0 && s->mass_median < 0.5) {
        add_in(b, "<li>Arm <b>", about->name, "</b>: ");
        buf_printf(
            b,
            "in half of the texts the model gave less than %.1f %% of its belief to any of the "
            "answers (median label mass %.3f). It wanted to say something else, so its scores "
            "rest on unlikely words; try other wording or other answers.</li>\n",
            100 * fmax(s->mass_median, 0.001), s->mass_median);
    }
    if (about->n_cut > 0 && !all_cut_alike(in)) {
        add_in(b, "<li>Arm <b>", about->name, "</b>: ");
        report_add_count(b, about->n_cut);
        buf_add_text(b,
                     " texts were too long and were cut by the study's rule: the model did not see "
                     "all of them.</li>\n");
    }
    if (about->n_forced > 0) {
        add_in(b, "<li>Arm <b>", about->name, "</b>: in ");
        report_add_count(b, about->n_forced);
        buf_add_text(b,
                     " texts the prompt and an answer would have merged into one token; they were "
                     "kept apart by force.</li>\n");
    }
    const cut_table *t = &s->at_point.table;
    bool all = t->tn + t->fn == 0, none = t->tp + t->fp == 0;
    if (has_positive(in) && in->stats->n > 1 && all != none) {
        add_in(b, "<li>Arm <b>", about->name, "</b>: at its threshold (");
        evidence_add_threshold(b, s);
        buf_add_text(b, ") it calls ");
        buf_add_text(b, all ? "every text <i>" : "no text <i>");
        add_in(b, "", positive_name(in),
               "</i>. Its probabilities lean to one side; the order of its scores, "
               "and so the AUROC, is not touched by that, but these calls can't be used.</li>\n");
    }
    if (has_positive(in) && o->has_interval && o->high < 0.5) {
        add_in(b, "<li>Arm <b>", about->name,
               "</b>: the scores point the wrong way (AUROC below 0.5). Nothing was flipped; check "
               "which class is the positive one and how the question is worded.</li>\n");
    } else if (has_positive(in) && o->has_interval && o->low <= 0.5 && o->high >= 0.5) {
        add_in(
            b, "<li>Arm <b>", about->name,
            "</b>: the interval of its AUROC includes 0.5, so with these texts it cannot be told "
            "from guessing.</li>\n");
    }
}

static void add_study_warnings(const report_input *in, buf *b)
{
    const verdict *r = in->stats;
    if (has_positive(in) && r->n > 0 &&
        (r->events < STAT_FEW_BELOW || r->n - r->events < STAT_FEW_BELOW)) {
        add_in(b, "<li>Fewer than 10 texts are <i>", positive_name(in), "</i>, or fewer than 10 ");
        buf_add_text(b, "are not: intervals are rough.</li>\n");
    }
    if (r->n < r->n_row) {
        buf_add_text(b, "<li>");
        report_add_count(b, r->n_row - r->n);
        buf_add_text(b, " texts have no score in some arm and are left out of all arms.</li>\n");
    }
    if (in->arm[0].n_cut > 0 && all_cut_alike(in)) {
        buf_add_text(b, "<li>");
        report_add_count(b, in->arm[0].n_cut);
        buf_add_text(
            b, " texts were too long and were cut by the study's rule, alike in every arm: the "
               "model did not see all of them.</li>\n");
    }
    if (has_clusters(r)) {
        buf_add_text(b, "<li>The ");
        report_add_count(b, r->n);
        buf_add_text(b, " texts come from ");
        report_add_count(b, r->n_patient);
        buf_add_text(
            b,
            " patients, and texts of one patient are alike. Intervals marked <i>by patient</i> "
            "allow for that; prefer them to the ones that treat every text as independent.</li>\n");
    }
}

static void add_warnings(const report_input *in, buf *b)
{
    buf list = buf_up_to(BUF_MAX);
    for (int32_t i = 0; i < in->n_warning; i++) add_in(&list, "<li>", in->warning[i], "</li>\n");
    add_study_warnings(in, &list);
    for (int32_t k = 0; k < in->stats->n_arm; k++) {
        if (!in->arm[k].baseline && has_labels(in)) add_arm_warnings(in, k, &list);
    }
    if (list.size) {
        buf_add_text(b, "<section class=\"warn\">\n<h2>Read this first</h2>\n<ul>\n");
        buf_add_str(b, buf_view(&list));
        buf_add_text(b, "</ul>\n</section>\n");
    }
    if (list.failed) b->failed = true;
    buf_close(&list);
}

/* --- flow --- */

static void add_shown(buf *b, const buf *count)
{
    buf_add_html(b, buf_view(count));
    if (count->failed) b->failed = true;
}

static void add_flow_box(buf *b, const char *what, buf *count)
{
    buf_add_text(b, "<li><div class=\"box\"><b>");
    add_shown(b, count);
    add_in(b, "</b>", what, "</div></li>\n");
    buf_close(count);
}

/* `total`: the sum must not be printed. */
static void add_flow_out(buf *b, const report_count *c, int32_t n, const bool *hidden, bool total)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += c[i].n;
    if (sum == 0) {
        buf_add_text(b, "<li><div class=\"down\"></div></li>\n");
        return;
    }
    buf_add_text(b, "<li><div class=\"down\"></div><div class=\"dash\"></div><div class=\"out\">"
                    "left out");
    if (!total) {
        buf_add_text(b, ": ");
        report_add_count(b, sum);
    }
    buf_add_text(b, "<ul>");
    for (int32_t i = 0; i < n; i++) {
        if (c[i].n == 0) continue;
        buf_add_text(b, "<li>");
        buf count = buf_up_to(100);
        flow_add(&count, c[i].n, hidden[i]);
        add_shown(b, &count);
        buf_close(&count);
        add_in(b, " ", c[i].reason, "</li>");
    }
    buf_add_text(b, "</ul></div></li>\n");
}

static void add_flow(const report_input *in, buf *b)
{
    const report_flow *f = &in->flow;
    buf_add_text(b, "<section>\n<h2>From table to result</h2>\n<ol class=\"flow\">\n");
    flow_hidden h = flow_hide(f);
    int64_t n = in->stats->n;
    buf read = buf_up_to(100), asked = buf_up_to(100), judged = buf_up_to(100);
    flow_add_read(&read, f, &h, n);
    flow_add_asked(&asked, f, &h, n);
    flow_add(&judged, n, false);
    add_flow_box(b, "rows in the table", &read);
    add_flow_out(b, f->excluded, f->n_excluded, h.excluded, h.read || h.asked);
    add_flow_box(b, "texts asked", &asked);
    add_flow_out(b, f->unscored, f->n_unscored, h.unscored, h.asked);
    add_flow_box(b, has_labels(in) ? "texts judged" : "texts compared", &judged);
    buf_add_text(b, "</ol>\n<p class=\"say\">");
    if (f->source) add_in(b, "Table: <code>", f->source, "</code>. ");
    if (has_labels(in)) buf_add_text(b, "Among the judged: ");
    for (int32_t c = 0; c < in->stats->n_class && has_labels(in); c++) {
        if (c) buf_add_text(b, ", ");
        report_add_class_count(in, c, b);
        add_in(b, " <i>", in->class_name[c], "</i>");
    }
    if (in->stats->n_patient > 0) {
        buf_add_text(b, "; ");
        report_add_count(b, in->stats->n_patient);
        buf_add_text(b, " patients");
    }
    buf_add_text(b, has_labels(in) ? ". " : "");
    buf_add_text(b, "A text that one arm could not score is left out of every arm, so that arms "
                    "are compared on the same texts.</p>\n</section>\n");
}

/* --- arms --- */

static void add_share_cell(buf *b, const stat_estimate *o)
{
    buf_add_text(b, "<td class=\"n\">");
    add_value_cell(b, o, 2);
    if (o->has_interval)
        buf_printf(b, "<br/><span class=\"ci\">%.2f to %.2f</span>", o->low, o->high);
    buf_add_text(b, "</td>");
}

static void add_arm_row(const report_input *in, int32_t k, buf *b)
{
    const verdict_arm *s = &in->stats->arm[k];
    const stat_estimate *o = &s->auroc.logit;
    add_in(b, "<tr><th scope=\"row\">", in->arm[k].name, "");
    if (in->arm[k].detail) add_in(b, "<br/><span class=\"ci\">", in->arm[k].detail, "</span>");
    buf_add_text(b, in->arm[k].baseline ? "</th><td>baseline" : "</th><td>model");
    buf_add_text(b, "</td><td class=\"n\"><b>");
    add_value_cell(b, o, 3);
    buf_add_text(b, "</b>");
    if (o->has_interval)
        buf_printf(b, "<br/><span class=\"ci\">%.3f to %.3f</span>", o->low, o->high);
    const stat_estimate *c = &s->clustered.logit;
    if (has_clusters(in->stats) && c->has_interval) {
        buf_printf(b, "<br/><span class=\"ci\">by patient %.3f to %.3f</span>", c->low, c->high);
    }
    if (o->has_value && o->status != STAT_OK)
        buf_printf(b, "<br/><span class=\"why\">rough: %s</span>", stat_status_reason(o->status));
    buf_add_text(b, "</td>");
    const cut_measures *m = in->evidence ? &in->evidence->arm[k].cut : &s->at_point;
    add_share_cell(b, &m->sensitivity);
    add_share_cell(b, &m->specificity);
    add_share_cell(b, &m->ppv);
    add_share_cell(b, &m->npv);
    buf_add_text(b, "<td class=\"n\">");
    add_value_cell(b, &s->brier, 3);
    if (in->arm[k].baseline) buf_add_text(b, "</td><td class=\"n\">&ndash;</td><td class=\"n\">");
    else buf_printf(b, "</td><td class=\"n\">%.3f</td><td class=\"n\">", s->mass_median);
    report_add_count(b, o->n);
    buf_add_text(b, " / ");
    report_add_events(in, b);
    buf_add_text(b, "</td></tr>\n");
}

/* What the first arm's numbers mean, in words. */
static void add_arm_words(const report_input *in, buf *b)
{
    const verdict *r = in->stats;
    const verdict_arm *s = &r->arm[0];
    const stat_estimate *o = &s->auroc.logit;
    double prevalence = r->n > 0 ? (double)r->events / (double)r->n : 0;
    buf_add_text(b, "<ul class=\"say\">\n");
    if (o->has_value) {
        add_in(b, "<li><b>AUROC.</b> Take one <i>", positive_name(in),
               "</i> text and one other at random: ");
        add_in(b, "arm <b>", in->arm[0].name, "</b> gives the ");
        add_in(b, "<i>", positive_name(in), "</i> one the higher score in ");
        buf_printf(b, "%.0f of 100 such pairs (50 would be guessing). ", 100 * o->value);
        if (o->has_interval) {
            buf_printf(
                b,
                "With other texts of the same kind the figure might be anywhere from %.0f to "
                "%.0f of 100.",
                100 * o->low, 100 * o->high);
        }
        buf_add_text(b, "</li>\n");
    }
    buf_add_text(b, "<li><b>Sensitivity</b> and <b>specificity</b>: the share of ");
    add_in(b, "<i>", positive_name(in),
           "</i> texts called so, and of the others called otherwise, ");
    evidence_add_point(r, b);
    buf_add_text(b, r->point.chosen
                        ? ", and used here unchanged.</li>\n"
                        : ". A study that needs another cut-off chooses it on other texts "
                          "(<code>operating_point</code>).</li>\n");
    add_in(b, "<li><b>PPV</b> and <b>NPV</b>: the share of calls of <i>", positive_name(in),
           "</i>, and of calls of the opposite, that are right. They hold for texts with this "
           "share of ");
    add_in(b, "<i>", positive_name(in), "</i> ");
    buf_printf(b, "only (%.1f %%).</li>\n", 100 * prevalence);
    buf_printf(
        b,
        "<li><b>Brier</b>: how far the probabilities lie from the truth, squared; 0 is perfect, "
        "and always answering %.1f %% would score %.3f.</li>\n",
        100 * prevalence, prevalence * (1 - prevalence));
    buf_add_text(
        b, "<li><b>Label mass</b>: how much of its belief the model gave to the answers that the "
           "study lists (median). Near 1: it understood that it should answer so. Under 0.5: it "
           "wanted to say something else.</li>\n</ul>\n");
}

static void add_arms_table(const report_input *in, buf *b)
{
    buf_printf(b,
               "<section>\n<h2>Results by arm</h2>\n<div class=\"scroll\"><table>\n<thead><tr>"
               "<th scope=\"col\">arm</th><th scope=\"col\">kind</th>"
               "<th class=\"n\" scope=\"col\">AUROC<br/>(%.0f %% interval)</th>"
               "<th class=\"n\" scope=\"col\">sensitivity</th><th class=\"n\" scope=\"col\">"
               "specificity</th><th class=\"n\" scope=\"col\">PPV</th><th class=\"n\" "
               "scope=\"col\">NPV</th><th class=\"n\" scope=\"col\">Brier</th><th class=\"n\" "
               "scope=\"col\">label<br/>mass</th>",
               100 * in->stats->level);
    add_in(b, "<th class=\"n\" scope=\"col\">texts /<br/>", positive_name(in),
           "</th></tr></thead>\n<tbody>\n");
    for (int32_t k = 0; k < in->stats->n_arm; k++) add_arm_row(in, k, b);
    buf_add_text(b, "</tbody></table></div>\n");
    add_arm_words(in, b);
    buf_add_text(b, "<p class=\"say\">Intervals: AUROC by DeLong's variance on the logit scale, by "
                    "patient with Obuchowski's; shares: ");
    buf_add_text(b, in->evidence ? evidence_share_words(in->evidence)
                                 : "by Wilson, texts taken as independent");
    buf_add_text(b, ".</p>\n</section>\n");
}

static bool add_roc_section(const report_input *in, arena *scratch, buf *b, err *e)
{
    const verdict *r = in->stats;
    if (!r->arm[0].auroc.logit.has_value) return true;
    buf_add_text(b, "<section>\n<h2>ROC curves</h2>\n<figure>\n<div class=\"pair\">\n<div>");
    if (!report_add_roc(in, scratch, b, e)) return false;
    buf_add_text(b, "</div>\n<div>\n<ul class=\"legend\">\n");
    for (int32_t k = 0; k < r->n_arm && k < REPORT_CURVES_MAX; k++) {
        const stat_estimate *o = &r->arm[k].auroc.logit;
        buf_add_text(b, "<li>");
        report_add_key(b, k);
        add_in(b, "<span><b>", in->arm[k].name, "</b> <span>");
        report_add_value(b, o, 3);
        if (o->has_interval) buf_printf(b, " (%.3f to %.3f)", o->low, o->high);
        buf_add_text(b, "</span></span></li>\n");
    }
    buf_add_text(
        b,
        "</ul>\n<figcaption>Every point is a cut-off on the score: to the right more texts are "
        "called positive wrongly, upwards more are called so rightly. A curve that hugs the upper "
        "left corner separates the classes; the dotted diagonal is guessing.");
    if (r->n_arm > REPORT_CURVES_MAX)
        buf_printf(b, " The first %d of %d arms are drawn.", REPORT_CURVES_MAX, (int)r->n_arm);
    buf_add_text(b, "</figcaption>\n</div>\n</div>\n</figure>\n</section>\n");
    return true;
}

static bool add_scores_section(const report_input *in, arena *scratch, buf *b, err *e)
{
    const verdict *r = in->stats;
    if (r->n == 0) return true;
    buf_add_text(b, "<section>\n<h2>Scores of both classes</h2>\n<p class=\"say\">");
    add_in(b, "Upwards the texts that are <i>", positive_name(in),
           "</i>, downwards the others, each as ");
    add_in(b, "shares of their class. To the right the model leans towards <i>", positive_name(in),
           "</i>: ");
    buf_add_text(
        b,
        "the score is the log of the odds it gives, 0 is even. The more the two shapes stand "
        "apart, "
        "the better. The end bars hold the outermost scores as well.</p>\n<div class=\"many\">\n");
    for (int32_t k = 0; k < r->n_arm && k < REPORT_CURVES_MAX; k++) {
        add_in(b, "<figure>\n<h3>", in->arm[k].name, "</h3>\n");
        if (!report_add_scores(in, k, scratch, b, e)) return false;
        buf_add_text(b, "</figure>\n");
    }
    buf_add_text(b, "</div>\n");
    if (r->n_arm > REPORT_CURVES_MAX)
        buf_printf(b, "<p class=\"say\">The first %d of %d arms are drawn.</p>\n",
                   REPORT_CURVES_MAX, (int)r->n_arm);
    buf_add_text(b, "</section>\n");
    return true;
}

static void add_pictures(const report_input *in, buf *b)
{
    const char *last = "";
    for (int32_t i = 0; i < in->n_picture; i++) {
        const report_picture *p = &in->picture[i];
        if (strcmp(last, p->section)) {
            if (i) buf_add_text(b, "</div>\n</section>\n");
            add_in(b, "<section>\n<h2>", p->section, "</h2>\n");
            add_in(b, "<p class=\"say\">", p->say, "</p>\n<div class=\"many\">\n");
        }
        last = p->section;
        buf_add_text(b, p->wide ? "<figure class=\"wide\">\n" : "<figure>\n");
        buf_add_text(b, p->svg);
        if (p->caption) add_in(b, "\n<figcaption>", p->caption, "</figcaption>");
        buf_add_text(b, "\n</figure>\n");
    }
    if (in->n_picture > 0) buf_add_text(b, "</div>\n</section>\n");
}

static void add_pair_row(const report_input *in, const verdict_pair *p, buf *b)
{
    const rank_test *t = &p->test;
    add_in(b, "<tr><th scope=\"row\">", in->arm[p->b].name, "");
    add_in(b, " against ", in->arm[p->a].name, "");
    if (p->primary) buf_add_text(b, "<br/><span class=\"ci\">primary comparison</span>");
    buf_add_text(b, "</th>");
    if (!t->has_value) {
        buf_printf(b, "<td colspan=\"3\">not estimable (%s)</td></tr>\n",
                   stat_status_reason(t->status));
        return;
    }
    buf_add_text(b, "<td class=\"n\">");
    add_signed(b, t->difference);
    if (t->has_interval) {
        buf_add_text(b, "<br/><span class=\"ci\">");
        add_signed(b, t->low);
        buf_add_text(b, " to ");
        add_signed(b, t->high);
        buf_add_text(b, "</span>");
    }
    if (has_clusters(in->stats) && p->clustered.has_interval) {
        buf_add_text(b, "<br/><span class=\"ci\">by patient ");
        add_signed(b, p->clustered.low);
        buf_add_text(b, " to ");
        add_signed(b, p->clustered.high);
        buf_add_text(b, ", p ");
        report_add_p(b, p->clustered.p);
        buf_add_text(b, "</span>");
    }
    buf_add_text(b, "</td><td class=\"n\">");
    report_add_p(b, t->p);
    buf_add_text(b, "</td><td class=\"n\">");
    if (p->primary) buf_add_text(b, "not adjusted");
    else report_add_p(b, p->p_holm);
    buf_add_text(b, "</td></tr>\n");
}

static void add_pairs(const report_input *in, buf *b)
{
    const verdict *r = in->stats;
    if (r->n_pair == 0) return;
    buf_add_text(
        b,
        "<section>\n<h2>Differences between arms</h2>\n<div class=\"scroll\"><table>\n<thead><tr>"
        "<th scope=\"col\">arms</th><th class=\"n\" scope=\"col\">difference in AUROC</th>"
        "<th class=\"n\" scope=\"col\">p</th><th class=\"n\" scope=\"col\">p, "
        "Holm</th></tr></thead>"
        "\n<tbody>\n");
    bool all = r->n_pair <= PAIRS_SHOWN_MAX;
    if (r->primary >= 0) add_pair_row(in, &r->pair[r->primary], b);
    for (int32_t k = 0; k < r->n_pair; k++) {
        if (k != r->primary && (all || r->pair[k].a == 0)) add_pair_row(in, &r->pair[k], b);
    }
    buf_add_text(b,
                 "</tbody></table></div>\n<p class=\"say\">Same texts in both arms (paired DeLong "
                 "test). An interval that includes 0 means that these texts cannot tell the two "
                 "arms apart. ");
    if (!all) buf_add_text(b, "Shown against the first arm; results.json has every pair. ");
    buf_printf(
        b,
        "With many pairs some small p arise by chance; the Holm column allows for all %d %spairs "
        "of the study.</p>\n</section>\n",
        (int)(r->n_pair - (r->primary >= 0)), r->primary >= 0 ? "other " : "");
}

/* --- more than two classes --- */

static void add_class_table(const report_input *in, int32_t k, buf *b)
{
    const verdict *r = in->stats;
    const verdict_arm *s = &r->arm[k];
    add_in(b, "<h3>", in->arm[k].name, "</h3>\n<div class=\"scroll\"><table>\n<thead><tr>");
    buf_add_text(
        b, "<th scope=\"col\">class</th><th class=\"n\" scope=\"col\">texts</th><th class=\"n\" "
           "scope=\"col\">AUROC against the rest</th></tr></thead>\n<tbody>\n");
    for (int32_t c = 0; c < r->n_class; c++) {
        const stat_estimate *o = &s->class_auroc[c].logit;
        add_in(b, "<tr><th scope=\"row\">", in->class_name[c], "</th><td class=\"n\">");
        report_add_class_count(in, c, b);
        buf_add_text(b, "</td><td class=\"n\">");
        report_add_value(b, o, 3);
        if (o->has_interval)
            buf_printf(b, "<br/><span class=\"ci\">%.3f to %.3f</span>", o->low, o->high);
        buf_add_text(b, "</td></tr>\n");
    }
    buf_add_text(
        b, "</tbody></table></div>\n<p class=\"say\">Mean of the classes that can be judged (");
    buf_printf(b, "%d of %d): ", (int)s->n_class_judged, (int)r->n_class);
    report_add_value(b, &s->macro_auroc, 3);
    report_add_multi(in, k, b);
    buf_add_text(b, ". Most probable class right: ");
    report_add_value(b, &s->accuracy, 3);
    if (s->accuracy.has_interval)
        buf_printf(b, " (%.3f to %.3f)", s->accuracy.low, s->accuracy.high);
    buf_printf(b, ". Median label mass: %.3f.</p>\n", s->mass_median);
}

static void add_classes(const report_input *in, buf *b)
{
    if (in->stats->n_class <= 2) return;
    buf_add_text(b, "<section>\n<h2>Each class against the rest</h2>\n");
    for (int32_t k = 0; k < in->stats->n_arm; k++) add_class_table(in, k, b);
    buf_add_text(b, "</section>\n");
}

/* --- what was run --- */

static void add_facts(const char *title, const report_facts *f, buf *b)
{
    if (f->n == 0) return;
    add_in(b, "<h3>", title, "</h3>\n<table class=\"facts\"><tbody>\n");
    for (int32_t i = 0; i < f->n; i++) {
        const report_fact *one = &f->fact[i];
        add_in(b, "<tr><th scope=\"row\">", one->name, "</th><td>");
        buf value = buf_up_to(1 << 16);
        if (one->code) buf_add_text(&value, one->value);
        else flow_add_digits(&value, one->value);
        buf_add_text(b, one->code ? "<code>" : "");
        add_shown(b, &value);
        buf_add_text(b, one->code ? "</code>" : "");
        buf_close(&value);
        buf_add_text(b, "</td></tr>\n");
    }
    buf_add_text(b, "</tbody></table>\n");
}

static void add_timing_row(const report_arm *a, buf *b)
{
    add_in(b, "<tr><th scope=\"row\">", a->name, "</th><td class=\"n\">");
    if (a->texts_per_s > 0) buf_printf(b, "%.2f", a->texts_per_s);
    else buf_add_text(b, "not measured");
    buf_add_text(b, "</td><td class=\"n\">");
    if (a->seconds > 0) buf_printf(b, "%.1f", a->seconds);
    buf_printf(b, "</td><td class=\"n\">%.0f / %.0f</td><td class=\"n\">", a->tokens_median,
               a->tokens_max);
    report_add_count(b, a->n_forwarded);
    buf_add_text(b, "</td><td class=\"n\">");
    report_add_count(b, a->n_unshared);
    buf_add_text(b, "</td></tr>\n");
}

static void add_run(const report_input *in, buf *b)
{
    buf_add_text(b, "<section>\n<h2>What was run</h2>\n");
    add_facts("Model", &in->model, b);
    add_facts("Data", &in->data, b);
    add_facts("Run", &in->run, b);
    add_facts("Same result again", &in->determinism, b);
    buf_add_text(
        b,
        "<h3>Time and tokens</h3>\n<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">arm"
        "</th><th class=\"n\" scope=\"col\">texts / s</th><th class=\"n\" "
        "scope=\"col\">seconds</th>"
        "<th class=\"n\" scope=\"col\">tokens a prompt<br/>(median / most)</th><th class=\"n\" "
        "scope=\"col\">tokens<br/>computed</th><th class=\"n\" scope=\"col\">tokens without<br/>"
        "sharing</th></tr></thead>\n<tbody>\n");
    for (int32_t k = 0; k < in->stats->n_arm; k++) {
        if (!in->arm[k].baseline) add_timing_row(&in->arm[k], b);
    }
    buf_add_text(
        b, "</tbody></table></div>\n<p class=\"say\">What prompts have in common is computed once; "
           "the last column is what it would have been otherwise. Scores are the same bit for bit "
           "either way.</p>\n</section>\n");
}

/* The prompt, with the place of the text marked. */
static void add_prompt(const char *prompt, buf *b)
{
    str rest = str_of(prompt), slot = STR("{text}");
    buf_add_text(b, "<pre>");
    for (int64_t at; (at = str_find(rest, slot)) >= 0;) {
        buf_add_html(b, str_part(rest, 0, (size_t)at));
        buf_add_text(b, "<mark>{text}</mark>");
        rest = (str){rest.data + at + slot.size, rest.size - (size_t)at - slot.size};
    }
    buf_add_html(b, rest);
    buf_add_text(b, "</pre>\n");
}

static void add_question(const report_input *in, buf *b)
{
    if (!in->question) return;
    buf_add_text(b, "<section>\n<h2>The question</h2>\n");
    add_in(b, "<blockquote>", in->question, "</blockquote>\n</section>\n");
}

static void add_prompts(const report_input *in, buf *b)
{
    buf_add_text(b, "<section>\n<h2>Prompts to the letter</h2>\n");
    buf_add_text(b, "<p class=\"say\">Each arm's prompt as the model saw it, to the letter; "
                    "<mark>{text}</mark> is where the text of the case stood.</p>\n");
    for (int32_t k = 0; k < in->stats->n_arm; k++) {
        if (!in->arm[k].prompt) continue;
        buf_add_text(b, in->stats->n_arm <= 4 ? "<details open=\"open\">" : "<details>");
        add_in(b, "<summary>", in->arm[k].name, "</summary>\n");
        add_prompt(in->arm[k].prompt, b);
        buf_add_text(b, "</details>\n");
    }
    buf_add_text(b, "</section>\n");
}

static void add_foot(const report_input *in, buf *b)
{
    buf_add_text(
        b, "<footer>\n<p>For research. Not a medical device, and no advice about any patient. This "
           "page holds no text of any case, loads nothing and runs no script.</p>\n<p>");
    if (in->version) add_in(b, "caseload ", in->version, ". ");
    if (in->date) add_in(b, "Made ", in->date, ".");
    buf_add_text(b, "</p>\n</footer>\n</main>\n</body>\n</html>\n");
}

bool report_write(const report_input *in, arena *scratch, buf *html, err *e)
{
    assert(in->title && in->stats && in->arm && in->class_name);
    assert(in->stats->n_arm > 0);
    add_head(in, html);
    add_answer(in, html);
    add_warnings(in, html);
    add_question(in, html);
    if (has_positive(in)) report_add_primary(in, html);
    add_flow(in, html);
    if (has_positive(in)) {
        add_arms_table(in, html);
        report_add_choices(in, html);
        if (!add_roc_section(in, scratch, html, e)) return false;
        if (!add_scores_section(in, scratch, html, e)) return false;
        add_pictures(in, html);
        add_pairs(in, html);
    } else {
        add_pictures(in, html);
    }
    if (has_labels(in)) add_classes(in, html);
    report_add_sheets(in, html);
    add_prompts(in, html);
    add_run(in, html);
    add_foot(in, html);
    return buf_check(html, "the report", e);
}
