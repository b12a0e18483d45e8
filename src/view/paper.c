/* paper: see paper.h. Writes the folder; tables, words and checklists are in files of their own. */
#include "base/file.h"
#include "view/frontier.h"
#include "view/paper_in.h"
#include "view/plot.h"
#include "view/report_in.h"
#include "view/trainings.h"

#include <assert.h>
#include <stdio.h>

enum { FILE_BYTES_MAX = 1 << 30 };

typedef struct folder { /* where files go, and the page that shows them all */
    char path[4096];
    buf page, missing; /* missing: <li> of what is not there, and why */
    int32_t unknown;   /* characters without a font */
    int32_t n_figure, n_table;
} folder;

static bool write_file(const folder *f, const char *name, const char *ending, const buf *b, err *e)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/%s%s", f->path, name, ending);
    return buf_check(b, name, e) && file_write_atomic(path, buf_view(b), e);
}

static void add_escaped(buf *b, const char *open, str text, const char *close)
{
    buf_add_text(b, open);
    buf_add_html(b, text);
    buf_add_text(b, close);
}

/* --- figures --- */

static bool write_figure(folder *f, const plot *p, err *e)
{
    static const struct {
        const char *ending;
        bool (*make)(const figure *, buf *, err *);
    } forms[] = {{".svg", figure_svg}, {".pdf", figure_pdf}, {".png", figure_png}};
    char name[64];
    snprintf(name, sizeof name, "figures/%s", p->name);
    bool ok = true;
    for (size_t i = 0; ok && i < countof(forms); i++) {
        buf b = buf_up_to(FILE_BYTES_MAX);
        ok = forms[i].make(&p->figure, &b, e) && write_file(f, name, forms[i].ending, &b, e);
        buf_close(&b);
    }
    buf csv = buf_up_to(FILE_BYTES_MAX);
    buf_add_text(&csv, "\xEF\xBB\xBF");
    buf_add_str(&csv, buf_view(&p->csv));
    ok = ok && write_file(f, name, ".csv", &csv, e);
    buf_close(&csv);
    f->unknown += figure_unknown(&p->figure);
    return ok;
}

static void show_figure(folder *f, const plot *p)
{
    buf *b = &f->page;
    bool wide = p->figure.width > 1.2 * figure_column;
    buf_printf(b, "<figure class=\"%s\" style=\"max-width:%.0fpx\">\n", wide ? "wide" : "column",
               2 * p->figure.width);
    figure_inline(&p->figure, b);
    buf_printf(b, "\n<figcaption><b>Figure %d.</b> ", (int)++f->n_figure);
    add_escaped(b, "", buf_view(&p->caption), " <span class=\"files\">");
    static const char *const endings[] = {"pdf", "svg", "png", "csv"};
    for (size_t i = 0; i < countof(endings); i++)
        buf_printf(b, "%s<a href=\"figures/%s.%s\">%s</a>", i ? " " : "", p->name, endings[i],
                   endings[i]);
    buf_add_text(b, "</span></figcaption>\n</figure>\n");
}

/* Tables and figures that are there without labels: who was asked, how, at what cost, and what the
 * texts have in common with their references. */
static bool without_labels(const char *name)
{
    static const char *const names[] = {"T1", "S1", "S3", "S8", "S9", "flow", "likeness"};
    for (size_t i = 0; i < countof(names); i++) {
        if (!strcmp(names[i], name)) return true;
    }
    return false;
}

/* The table, or why there is none. */
static bool make_table(const paper *p, int32_t which, sheet *s, char why[200], err *e)
{
    *s = (sheet){0};
    if (p->v->g->stats.n_class > 1 || without_labels(paper_table_id(which)))
        return paper_table(p, which, s, why, e);
    snprintf(why, 200, "the study has no labels");
    return true;
}

/* Why the study has no such figure; NULL: it has. */
static const char *why_none(const char *kind, const evidence *v, const frontier *models,
                            const trainings *trained)
{
    if (!strcmp(kind, "forest") && v->n_group == 0) return "the study names no subgroup columns";
    if (!strcmp(kind, "frontier") && models->n == 0) return "the study has one model";
    if (!strcmp(kind, "training") && trained->n == 0) return "no model was tuned";
    if (!strcmp(kind, "learning") && !trained->sizes)
        return "no model was tuned on several numbers of texts";
    if (!strcmp(kind, "likeness") && !v->likeness)
        return "the study has no references that texts are compared with";
    if (v->g->stats.n_class == 1 && !without_labels(kind)) return "the study has no labels";
    return NULL;
}

static bool add_figures(folder *f, const evidence *v, err *e)
{
    frontier models;
    trainings trained;
    buf_add_text(&f->page, "<section class=\"figures\">\n<h2>Figures</h2>\n");
    bool ok = frontier_make(&models, v, e) && trainings_read(&trained, v, e);
    for (int32_t kind = 0; ok && kind < PLOT_KINDS; kind++) {
        plot p;
        const char *none = why_none(plot_name(kind), v, &models, &trained);
        if (none) {
            buf_printf(&f->missing, "<li>Figure <i>%s</i>: %s.</li>\n", plot_name(kind), none);
            continue;
        }
        ok = plot_draw(&p, v, kind, e) && write_figure(f, &p, e);
        if (ok) show_figure(f, &p);
        plot_close(&p);
    }
    buf_add_text(&f->page, "</section>\n");
    return ok;
}

/* --- tables --- */

static bool write_sheet(const folder *f, const char *place, const sheet *s, bool latex, err *e)
{
    static const char *const endings[] = {".csv", ".html", ".tex"};
    char name[64];
    bool ok = true;
    snprintf(name, sizeof name, "%s%s", place, s->id);
    for (int i = 0; ok && i < 2 + latex; i++) {
        buf b = buf_up_to(FILE_BYTES_MAX);
        if (i == 0) sheet_csv(s, &b);
        if (i == 1) {
            buf_add_text(
                &b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n");
            buf_printf(&b, "<title>%s</title>\n</head>\n<body>\n", s->id);
            sheet_html(s, &b);
            buf_add_text(&b, "</body>\n</html>\n");
        }
        if (i == 2) sheet_latex(s, &b);
        ok = write_file(f, name, endings[i], &b, e);
        buf_close(&b);
    }
    return ok;
}

static void show_sheet(folder *f, const sheet *s)
{
    buf_add_text(&f->page, "<div class=\"scroll\">\n");
    sheet_html(s, &f->page);
    buf_add_text(&f->page, "</div>\n");
}

static bool add_tables(folder *f, const paper *p, sheet made[PAPER_TABLES], err *e)
{
    buf_add_text(&f->page,
                 "<section>\n<h2>Tables</h2>\n<p class=\"say\">Each as CSV, HTML and LaTeX in "
                 "<a href=\"tables/\">tables</a>, all in <a href=\"tables.xlsx\">tables.xlsx</a>."
                 "</p>\n");
    for (int32_t i = 0; i < PAPER_TABLES; i++) {
        char why[200];
        if (!make_table(p, i, &made[i], why, e)) return false;
        if (made[i].n_column == 0) {
            buf_printf(&f->missing, "<li>Table %s: %s.</li>\n", paper_table_id(i), why);
            continue;
        }
        if (!write_sheet(f, "tables/", &made[i], true, e)) return false;
        show_sheet(f, &made[i]);
        f->n_table++;
    }
    buf_add_text(&f->page, "</section>\n");
    return true;
}

static bool add_sheets(folder *f, const paper *p, err *e)
{
    char path[4200];
    sheet made[PAPER_TABLES], checklist;
    const sheet *all[PAPER_TABLES + 1];
    int32_t n = 0;
    memset(made, 0, sizeof made);
    bool ok = add_tables(f, p, made, e);
    paper_checklist(p, &checklist);
    ok = ok && buf_check(&checklist.cells, "the checklists", e) &&
         write_sheet(f, "", &checklist, false, e);
    if (ok) {
        buf_add_text(&f->page, "<section>\n<h2>Checklists</h2>\n");
        show_sheet(f, &checklist);
        buf_add_text(&f->page, "</section>\n");
    }
    for (int32_t i = 0; i < PAPER_TABLES; i++) {
        if (made[i].n_column > 0) all[n++] = &made[i];
    }
    all[n++] = &checklist;
    snprintf(path, sizeof path, "%s/tables.xlsx", f->path);
    ok = ok && sheet_workbook(all, n, path, p->v->g->in.date, e);
    for (int32_t i = 0; i < PAPER_TABLES; i++) sheet_close(&made[i]);
    sheet_close(&checklist);
    return ok;
}

/* --- words --- */

static bool add_methods(folder *f, const paper *p, err *e)
{
    static const struct {
        const char *name, *language;
        void (*write)(const paper *, buf *);
    } tongues[] = {{"methods.en", "en", paper_methods_english},
                   {"methods.ko", "ko", paper_methods_korean}};
    bool ok = true;
    buf_add_text(&f->page, "<section>\n<h2>Methods</h2>\n");
    for (size_t i = 0; ok && i < countof(tongues); i++) {
        buf b = buf_up_to(FILE_BYTES_MAX);
        tongues[i].write(p, &b);
        ok = write_file(f, tongues[i].name, ".txt", &b, e);
        buf_printf(&f->page, "<p lang=\"%s\">", tongues[i].language);
        add_escaped(&f->page, "", buf_view(&b), "</p>\n");
        buf_close(&b);
    }
    buf_add_text(&f->page, "</section>\n");
    return ok;
}

static void open_page(folder *f, const report_input *in)
{
    buf *b = &f->page;
    buf_add_text(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                    "style-src 'unsafe-inline'\"/>\n");
    add_escaped(b, "<title>", str_of(in->title), " - for the paper</title>\n<style>\n");
    buf_add_text(b, report_css);
    buf_add_text(b, "</style>\n</head>\n<body>\n<main>\n<header>\n");
    add_escaped(b, "<h1>", str_of(in->title), ": for the paper</h1>\n");
    buf_add_text(
        b,
        "<p class=\"soft\">Made from the study's records alone. No text and no id of any case is "
        "in this folder.</p>\n</header>\n");
}

static void end_page(folder *f, const report_input *in)
{
    buf *b = &f->page;
    if (f->missing.size) {
        buf_add_text(b, "<section>\n<h2>What is not here, and why</h2>\n<ul>\n");
        buf_add_str(b, buf_view(&f->missing));
        buf_add_text(b, "</ul>\n</section>\n");
    }
    buf_printf(
        b,
        "<footer>\n<p>For research. caseload %s, %s.</p>\n</footer>\n</main>\n</body>\n</html>\n",
        in->version, in->date);
    if (f->missing.failed) b->failed = true;
}

static bool make_folders(const folder *f, err *e)
{
    static const char *const names[] = {"", "/figures", "/tables"};
    char path[4200];
    for (size_t i = 0; i < countof(names); i++) {
        snprintf(path, sizeof path, "%s%s", f->path, names[i]);
        if (!file_make_folder(path, e)) return false;
    }
    return true;
}

/* Tables of the page: number, heading, what it is for. */
static const struct {
    int32_t table;
    const char *section, *say;
} page_tables[] = {
    {13, "Whole questions", "A question is answered when all its options are decided right."},
    {14, "Generated texts and references",
     "What each way of asking wrote, measured against the references."},
    {15, "Differences in likeness",
     "An interval that holds 0 leaves open which arm is more like the references."},
    {0, "What each part holds",
     "The parts of the table side by side; a difference near 0 says "
     "that the judged part is like the others."},
    {8, "The texts that were judged",
     "By class: who they are, how long, and how many were cut to fit. A class that is cut more "
     "often is judged on less."},
    {2, "Ways of asking", "What each way of asking changes, on the same texts."},
    {3, "Models and their size", "Memory and speed against what the model finds."},
    {4, "Tuning", "Adapters, over their seeds."},
    {5, "Subgroups", "AUROC of every arm by subgroup."},
    {11, "What each part changes",
     "Pairs of arms that differ in one part alone, on the same texts. An interval that holds 0 "
     "leaves open whether the part helps."},
    {12, "Places of the options",
     "Does the model prefer a place in the list, whatever stands there?"},
    {9, "Within the arms", "Ways of asking a text, generated texts, and what each arm cost."},
    {10, "Trainings", "Each adapter's training, by texts and seed."},
    {6, "Variability", "How far results move when only chance or wording changes."},
};

bool paper_sheets(evidence *v, err *e)
{
    paper p = {.v = v};
    arena *a = &v->g->memory;
    report_input *in = &v->g->in;
    int32_t n = in->n_sheet;
    report_sheet *list = arena_take_zero(a, (size_t)n + countof(page_tables), sizeof *list, e);
    if (!list || !paper_read_arms(&p, e)) return false;
    if (n > 0) memcpy(list, in->sheet, (size_t)n * sizeof *list);
    for (size_t i = 0; i < countof(page_tables); i++) {
        sheet made;
        char why[200];
        buf html = buf_up_to(FILE_BYTES_MAX);
        bool ok = make_table(&p, page_tables[i].table, &made, why, e);
        if (ok && made.n_column > 0) {
            sheet_html(&made, &html);
            list[n++] = (report_sheet){page_tables[i].section, page_tables[i].say,
                                       str_keep(a, buf_view(&html), e).data};
        }
        ok = ok && buf_check(&html, "a table", e) && e->code == ERR_NONE;
        buf_close(&html);
        sheet_close(&made);
        if (!ok) return false;
    }
    in->sheet = list;
    in->n_sheet = n;
    return true;
}

bool paper_write(const evidence *v, const char *out, buf *shown, err *e)
{
    assert(v && out && shown);
    folder f = {.page = buf_up_to(FILE_BYTES_MAX), .missing = buf_up_to(FILE_BYTES_MAX)};
    paper p = {.v = v};
    int n = snprintf(f.path, sizeof f.path, "%s/paper", out);
    if (n < 0 || (size_t)n >= sizeof f.path)
        return err_set(e, ERR_USAGE, "the output folder's name is too long");
    open_page(&f, &v->g->in);
    bool ok = make_folders(&f, e) && paper_read_arms(&p, e) && add_figures(&f, v, e) &&
              add_sheets(&f, &p, e) && add_methods(&f, &p, e);
    end_page(&f, &v->g->in);
    ok = ok && write_file(&f, "index", ".html", &f.page, e);
    if (ok) {
        buf_printf(shown, "paper:  %s/index.html (%d tables, %d figures, methods, checklists)\n",
                   f.path, (int)f.n_table, (int)f.n_figure);
        if (f.unknown > 0)
            buf_printf(
                shown,
                "note: %d characters in the figures have no font on this machine; install "
                "one that has them (fonts-nanum for Korean) and run `caseload report` again\n",
                (int)f.unknown);
    }
    buf_close(&f.page);
    buf_close(&f.missing);
    return ok;
}
