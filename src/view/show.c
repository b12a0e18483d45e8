/* show: see show.h. Columns of scores.csv:
 *
 *   arm, id, label, score, logprob_<class>.., probability_<class>.., label_mass, tokens, cut,
 *   boundary, status, kind (model or baseline)
 *
 * Numbers have 17 digits: they read back bit for bit. UTF-8 with a byte-order mark and CRLF, as
 * Excel wants it. */
#include "view/show.h"

#include "base/file.h"
#include "stats/score.h"
#include "view/explain.h"
#include "view/gather.h"
#include "view/paper.h"
#include "view/plot.h"
#include "view/results.h"
#include "view/text.h"
#include "view/texts.h"
#include "view/trainings.h"
#include "view/votes.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

enum { PAGE_BYTES_MAX = 1 << 30 };

/* ---- scores.csv ---- */

static void add_cell(FILE *f, str s)
{
    bool quote = false;
    for (size_t i = 0; i < s.size; i++) quote = quote || strchr(",\"\r\n", s.data[i]);
    if (!quote) {
        fwrite(s.data, 1, s.size, f);
        return;
    }
    fputc('"', f);
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] == '"') fputc('"', f);
        fputc(s.data[i], f);
    }
    fputc('"', f);
}

static void write_header(FILE *f, const store_study *s)
{
    fputs("\xEF\xBB\xBF"
          "arm,id,label,score",
          f);
    for (int32_t c = 0; c < s->n_class; c++) {
        fputs(",logprob_", f);
        add_cell(f, s->class_name[c]);
    }
    for (int32_t c = 0; c < s->n_class; c++) {
        fputs(",probability_", f);
        add_cell(f, s->class_name[c]);
    }
    fputs(",label_mass,tokens,cut,boundary,status,kind\r\n", f);
}

static void write_numbers(FILE *f, const double *x, int32_t n, bool scored)
{
    for (int32_t i = 0; i < n; i++) {
        if (scored && !isnan(x[i])) fprintf(f, ",%.17g", x[i]);
        else fputc(',', f);
    }
}

static void write_row(FILE *f, const gather *g, int32_t arm, int32_t k, double *p)
{
    const store_study *s = &g->study;
    const store_results *got = &g->got[arm];
    const store_row *row = &s->row[got->row[k]];
    const double *z = got->class_logprob + (size_t)k * (size_t)s->n_class;
    bool scored = got->scored[k];
    add_cell(f, s->arm[arm].name);
    fputc(',', f);
    add_cell(f, row->id);
    fputc(',', f);
    add_cell(f, s->class_name[row->label]);
    /* Computed here, not read: the store's is against the class that was positive when it was
     * made. */
    double score = s->positive < 0 ? (double)NAN : score_against_rest(z, s->n_class, s->positive);
    write_numbers(f, &score, 1, scored);
    write_numbers(f, z, s->n_class, scored);
    bool shares = scored && score_probabilities(z, s->n_class, p);
    write_numbers(f, p, s->n_class, shares);
    write_numbers(f, &got->label_mass[k], 1, scored);
    fprintf(f, ",%d,%d,%s,%s,%s\r\n", got->n_token[k], got->n_cut[k],
            got->forced[k] ? "forced" : "clean",
            scored            ? "scored"
            : got->refused[k] ? "refused"
                              : "pending",
            g->arm[arm].baseline ? "baseline" : "model");
}

static bool write_scores(gather *g, const char *path, err *e)
{
    file_out f;
    double *p = arena_take(&g->memory, (size_t)g->study.n_class, sizeof *p, e);
    if (!p || !file_out_open(&f, path, e)) return false;
    write_header(f.stream, &g->study);
    for (int32_t i = 0; i < g->study.n_arm; i++) {
        for (int32_t k = 0; k < g->got[i].n; k++) write_row(f.stream, g, i, k, p);
    }
    return file_out_commit(&f, e);
}

/* ---- votes.csv ---- */

/* arm, id, label, votes_<class>.., votes_none: what the generated texts of each judged row say. */
static bool write_votes(const gather *g, const char *path, err *e)
{
    file_out f;
    const store_study *s = &g->study;
    bool any = false;
    for (int32_t k = 0; k < s->n_arm; k++) any = any || votes_there(g, k);
    if (!any) {
        remove(path); /* of a study that asked otherwise */
        return true;
    }
    if (!file_out_open(&f, path, e)) return false;
    fputs("\xEF\xBB\xBF"
          "arm,id,label",
          f.stream);
    for (int32_t c = 0; c < s->n_class; c++) {
        fputs(",votes_", f.stream);
        add_cell(f.stream, s->class_name[c]);
    }
    fputs(",votes_none\r\n", f.stream);
    for (int32_t k = 0; k < s->n_arm; k++) {
        for (int64_t i = 0; votes_there(g, k) && i < g->stats.n; i++) {
            const store_row *row = &s->row[g->stats.row[i]];
            const str cell[] = {s->arm[k].name, row->id, s->class_name[row->label]};
            for (size_t n = 0; n < countof(cell); n++) {
                if (n) fputc(',', f.stream);
                add_cell(f.stream, cell[n]);
            }
            for (int32_t c = 0; c <= s->n_class; c++)
                fprintf(f.stream, ",%d", votes_of(g, k, i)[c]);
            fputs("\r\n", f.stream);
        }
    }
    return file_out_commit(&f, e);
}

static bool write_file(const char *out, const char *name, const buf *text, err *e)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", out, name);
    return buf_check(text, name, e) && file_write_atomic(path, buf_view(text), e);
}

/* ---- figures of the page ---- */

typedef struct pictures {
    evidence *v;
    report_picture *list;
    int32_t n;
} pictures;

static bool add_picture(pictures *p, plot *made, const char *section, const char *say, err *e)
{
    buf svg = buf_up_to(PAGE_BYTES_MAX);
    figure_inline(&made->figure, &svg);
    bool ok = buf_check(&svg, "a figure", e);
    if (ok)
        p->list[p->n++] = (report_picture){
            .section = section,
            .say = say,
            .wide = made->figure.width > 1.2 * figure_column,
            .svg = str_keep(&p->v->g->memory, buf_view(&svg), e).data,
        };
    buf_close(&svg);
    return ok && e->code == ERR_NONE;
}

static bool draw_kind(pictures *p, const char *kind, const char *section, const char *say, err *e)
{
    plot made;
    bool ok = plot_draw(&made, p->v, plot_kind(kind), e) && add_picture(p, &made, section, say, e);
    plot_close(&made);
    return ok;
}

/* The libraries below the figures end the program where memory is short: better to ask before. */
static bool check_room(err *e)
{
    arena probe;
    bool ok = arena_open(&probe, (size_t)256 << 20, "the figures", e);
    if (ok) arena_close(&probe);
    return ok;
}

static const char likeness[] =
    "How many words the generated texts share with the references: further right is more alike. "
    "Intervals that hardly overlap tell arms apart; the table of differences says it on the same "
    "rows.";

static bool draw_pictures(evidence *v, err *e)
{
    static const char precision[] = "Left to right more of the texts sought are found; upwards "
                                    "fewer of the finds are false. The "
                                    "dotted line is what guessing reaches.";
    static const char calibration[] =
        "Does 0.7 mean 70 of 100? A curve on the dotted diagonal says yes; below it the model's "
        "probabilities are too high. Bars: how often each probability was given, to the texts "
        "sought "
        "(upwards) and to the others.";
    static const char decision[] =
        "Would acting on the probabilities do more good than harm? The threshold says how sure one "
        "must "
        "be to act; a curve above both treating all and treating none is of use there.";
    static const char training[] =
        "The loss should fall and then level out; where the tune texts' loss rises again the "
        "adapter learns its texts by heart. The large mark is the update that was kept. Whole "
        "lines: training texts, over all tokens that "
        "could come; dotted: tune texts, among the classes, so the two begin apart.";
    static const char learning[] = "Would more texts help? A curve that still rises says yes.";
    report_input *in = &v->g->in;
    pictures p = {.v = v};
    trainings trained;
    p.list = arena_take_zero(&v->g->memory, 6 + EVIDENCE_CURVES_MAX, sizeof *p.list, e);
    static const char forest[] = "Does it work equally well for all? The interval of a small "
                                 "group is wide; p asks whether the groups differ at all.";
    bool ok = p.list && check_room(e) && trainings_read(&trained, v, e);
    if (ok && v->binary) ok = draw_kind(&p, "pr", "Precision and recall", precision, e);
    for (int32_t k = 0; ok && k < v->n_drawn; k++) {
        plot made;
        ok = plot_draw_calibration(&made, v, v->drawn[k], e) &&
             add_picture(&p, &made, "Calibration", calibration, e);
        plot_close(&made);
    }
    if (ok && v->binary) ok = draw_kind(&p, "decision", "Decision curves", decision, e);
    if (ok && v->n_group > 0) ok = draw_kind(&p, "forest", "Subgroups", forest, e);
    if (ok && trained.n > 0) ok = draw_kind(&p, "training", "Training by update", training, e);
    if (ok && trained.sizes) ok = draw_kind(&p, "learning", "Learning curve", learning, e);
    if (ok && v->likeness)
        ok = draw_kind(&p, "likeness", "Likeness to the references", likeness, e);
    in->picture = p.list;
    in->n_picture = p.n;
    return ok;
}

/* The likeness to references, where the study has them. */
static bool read_texts(texts *t, evidence *v, const char *out, err *e)
{
    if (!texts_read(t, v->g, e)) return false;
    if (!t->there || t->found.n_arm == 0) return true;
    buf json = buf_up_to(PAGE_BYTES_MAX);
    v->likeness = t;
    texts_json(t, NULL, &json);
    buf_add_char(&json, '\n');
    bool ok = write_file(out, "likeness.json", &json, e);
    buf_close(&json);
    return ok;
}

static bool write_results(evidence *v, const char *out, err *e)
{
    buf json = buf_up_to(PAGE_BYTES_MAX);
    v->g->in.evidence = v;
    bool ok = results_write(&v->g->in, &json, e) && write_file(out, "results.json", &json, e);
    buf_close(&json);
    return ok;
}

static bool write_page(gather *g, const char *out, err *e)
{
    buf html = buf_up_to(PAGE_BYTES_MAX);
    bool ok =
        report_write(&g->in, &g->memory, &html, e) && write_file(out, "report.html", &html, e);
    buf_close(&html);
    return ok;
}

static bool end_shown(const evidence *v, const show_options *o, buf *shown, err *e)
{
    if (v->likeness) {
        texts_table(v->likeness, shown);
        buf_printf(shown, "\nlikeness: %s/likeness.json", o->out);
    }
    buf_printf(shown, "\nreport: %s/report.html\n", o->out);
    if (o->paper && !paper_write(v, o->out, shown, e)) return false;
    return buf_check(shown, "the closing table", e);
}

/* A study without labels: what was written, beside the references. */
static bool write_references(gather *g, const show_options *o, buf *shown, err *e)
{
    evidence v;
    texts t;
    pictures p = {.v = &v, .list = arena_take_zero(&g->memory, 1, sizeof *p.list, e)};
    bool ok =
        p.list && evidence_compute(&v, g, e) && check_room(e) && read_texts(&t, &v, o->out, e);
    if (ok && !v.likeness)
        ok = err_set(e, ERR_USAGE,
                     "this study compares texts with references, and its run has not ended: the "
                     "same `caseload run` goes on where it was");
    ok = ok && draw_kind(&p, "likeness", "Likeness to the references", likeness, e);
    g->in.picture = p.list;
    g->in.n_picture = p.n;
    ok = ok && write_results(&v, o->out, e) && paper_sheets(&v, e) && write_page(g, o->out, e);
    return ok && end_shown(&v, o, shown, e);
}

static bool write_all(gather *g, const show_options *o, buf *shown, err *e)
{
    char path[4200], votes[4200];
    evidence v;
    texts t = {0};
    snprintf(path, sizeof path, "%s/scores.csv", o->out);
    snprintf(votes, sizeof votes, "%s/votes.csv", o->out);
    bool ok = write_scores(g, path, e) && write_votes(g, votes, e) && evidence_compute(&v, g, e) &&
              read_texts(&t, &v, o->out, e) && write_results(&v, o->out, e) &&
              draw_pictures(&v, e) && paper_sheets(&v, e) && write_page(g, o->out, e);
    if (!ok) return false;
    text_style style = {.colour = o->colour};
    text_arms(&g->in, style, shown);
    if (g->stats.positive >= 0 && !text_roc(&g->in, style, &g->memory, shown, e)) return false;
    return end_shown(&v, o, shown, e);
}

bool show_study(const store *s, const show_options *o, buf *shown, err *e)
{
    assert(s && o->out && o->date && o->version);
    gather g;
    if (!gather_open(&g, s, o->version, o->date, e)) return false;
    bool ok = g.stats.n_class == 1 ? write_references(&g, o, shown, e) : write_all(&g, o, shown, e);
    gather_close(&g);
    return ok;
}

bool show_number(const store *s, const show_options *o, const char *number, buf *shown, err *e)
{
    assert(s && o->date && o->version && number);
    gather g;
    evidence v;
    if (!gather_open(&g, s, o->version, o->date, e)) return false;
    bool ok = g.stats.n_class > 1 ||
              err_set(e, ERR_USAGE, "this study has no labels; its numbers are in likeness.json");
    ok = ok && evidence_compute(&v, &g, e) && explain_number(&v, number, shown, e);
    gather_close(&g);
    return ok;
}
