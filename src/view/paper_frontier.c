/* paper_frontier: T4, memory and number formats. */
#include "view/frontier.h"
#include "view/paper_in.h"

#include <stdio.h>

static void add_gb(sheet *s, int64_t bytes)
{
    if (bytes > 0) sheet_printf(s, "%.*f", bytes < 1000000000 ? 3 : 2, (double)bytes / 1e9);
    else sheet_add(s, STR(""));
}

/* "yes", "no", "" for a reference, "no margin" where none was declared. */
static void add_verdict(sheet *s, bool exists, const rank_test *t, double margin)
{
    if (!exists || !t->has_interval) sheet_add(s, STR(""));
    else if (!(margin > 0)) sheet_add(s, STR("no margin declared"));
    else sheet_add(s, paired_noninferior(t, margin).shown ? STR("yes") : STR("not shown"));
}

static void add_row(const paper *p, sheet *s, const frontier *f, int32_t i)
{
    const evidence *v = p->v;
    const frontier_arm *a = &f->arm[i];
    rank_test t = {0};
    buf text = buf_up_to(1000);
    bool exists = frontier_difference(f, v, i, &t);
    sheet_add(s, str_of(v->g->in.arm[a->arm].name));
    sheet_printf(s, "%s%s", a->model, a->adapter[0] ? " + adapter" : "");
    sheet_printf(s, "%.1f", (double)a->parameters / 1e6);
    sheet_printf(s, "%.2f (%s)", a->bits, a->numbers);
    add_gb(s, a->bytes_planned);
    add_gb(s, a->bytes_peak);
    if (a->tokens_per_second > 0) sheet_printf(s, "%.0f", a->tokens_per_second);
    else sheet_add(s, STR(""));
    evidence_add(&text, &v->arm[a->arm].auroc->logit, 3);
    sheet_add(s, buf_view(&text));
    buf_clear(&text);
    if (a->against < 0) buf_add_text(&text, "reference");
    else if (!exists) buf_add_text(&text, "not estimable");
    else evidence_add_signed(&text, t.difference, 3);
    if (exists && t.has_interval) {
        buf_add_text(&text, " (");
        evidence_add_signed(&text, t.low, 3);
        buf_add_text(&text, " to ");
        evidence_add_signed(&text, t.high, 3);
        buf_add_char(&text, ')');
    }
    sheet_add(s, buf_view(&text));
    sheet_add(s, a->against < 0 ? STR("") : str_of(v->g->in.arm[f->arm[a->against].arm].name));
    add_verdict(s, exists, &t, v->inferior.margin);
    buf_close(&text);
}

bool paper_table_frontier(const paper *p, sheet *s, char why[200], err *e)
{
    static const struct {
        const char *name;
        bool number;
    } columns[] = {{"arm", false},           {"model", false},       {"parameters (10^6)", true},
                   {"bits a weight", true},  {"GB planned", true},   {"GB measured", true},
                   {"tokens/s", true},       {"AUROC", true},        {"difference in AUROC", true},
                   {"compared with", false}, {"non-inferior", false}};
    frontier f;
    if (!frontier_make(&f, p->v, e)) return false;
    if (f.n == 0) {
        snprintf(why, 200, "%s",
                 p->v->binary ? "the study has one model; memory and number formats are compared "
                                "over several"
                              : "the study declares no positive class");
        return true;
    }
    sheet_open(s, "T4", "Memory and number formats");
    for (size_t i = 0; i < countof(columns); i++)
        sheet_column(s, columns[i].name, columns[i].number);
    for (int32_t i = 0; i < f.n; i++) add_row(p, s, &f, i);
    sheet_note(s,
               "Bits a weight: all bytes of the weights over all weights, with the format of most "
               "of them. GB (10^9 bytes) of the whole process: planned before the weights were "
               "opened, and the highest that the system measured. Tokens/s as forwarded on this "
               "computer, what prompts share counted once.");
    sheet_note(s, "Differences are paired, on the same texts: from the same question asked of the "
                  "same model in the most bits; of that one, from the largest model.");
    if (p->v->inferior.margin > 0)
        sheet_note(s,
                   "Non-inferior: the interval of the difference lies above the declared margin "
                   "of -%.3g.",
                   p->v->inferior.margin);
    return true;
}
