/* try: see try.h. The run is prepared whole (so that budgets and examples are those of the study),
 * without an output folder; then only the asked row's item is scored, in each arm. */
#include "study/try.h"

#include <math.h>
#include <stdio.h>

static void colour(buf *out, bool on, const char *code)
{
    if (on) buf_printf(out, "\033[%sm", code);
}

/* A token as visible text: new lines and control characters shown. */
static void add_token(buf *out, const tokenizer *t, int32_t id)
{
    buf piece = buf_up_to(1 << 20);
    token_decode(t, &id, 1, true, &piece);
    str s = buf_view(&piece);
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c == '\n') buf_add_text(out, "⏎");
        else if (c == '\t') buf_add_text(out, "⇥");
        else if (c < 0x20 || c == 0x7F) buf_printf(out, "\\x%02X", c);
        else buf_add_char(out, (char)c);
    }
    buf_close(&piece);
}

static void show_tokens(const tree *t, int32_t segment, const tokenizer *tokens, bool coloured,
                        buf *out)
{
    static const char *const codes[] = {"2", "36", "33"}; /* head dim, case cyan, answer yellow */
    static const char *const names[] = {"head", "case", "answer"};
    const tree_segment *s = tree_at(t, segment);
    buf_printf(out, "  %s, %d tokens:", names[s->kind], s->count);
    for (int32_t i = 0; i < s->count; i++) {
        buf_add_char(out, i % 12 == 0 ? '\n' : ' ');
        if (i % 12 == 0) buf_add_text(out, "    ");
        buf_printf(out, "%d:", tree_ids(t, segment)[i]);
        colour(out, coloured, codes[s->kind]);
        add_token(out, tokens, tree_ids(t, segment)[i]);
        colour(out, coloured, "0");
    }
    buf_add_char(out, '\n');
}

static void show_answers(run *r, const scorer *scored, int32_t which, const todo *what,
                         bool coloured, buf *out)
{
    const arm *m = &r->arms.arm[which];
    const tree *t = &r->job[which].tree;
    double mass = 0;
    for (int32_t i = 0; i < what->n_answer; i++) {
        int32_t g = what->case_segment + 1 + i;
        double logprob = scored->logprob[g];
        int32_t class = r->job[which].answer_class.id[what->first_class + i];
        str name = r->spec.classes[class].name.text;
        buf_printf(out, "  %9.4f  %7.3f %%  ", logprob, 100 * exp(logprob));
        colour(out, coloured, "33");
        buf_printf(out, "%-14.*s", (int)m->answer[i].size, m->answer[i].data);
        colour(out, coloured, "0");
        buf_printf(out, " -> %.*s  (%d token%s)\n", (int)name.size, name.data, tree_at(t, g)->count,
                   tree_at(t, g)->count == 1 ? "" : "s");
        mass += exp(logprob);
    }
    buf_printf(
        out, "  label mass %.3f%s\n", mass,
        mass < 0.5
            ? ": the model would rather write something else; reword the question or the answers"
            : "");
}

static bool show_arm(run *r, int32_t which, int32_t row, const try_options *what, buf *out, err *e)
{
    arm_job *job = &r->job[which];
    int32_t at = -1;
    for (int32_t i = 0; i < job->n_todo; i++) {
        if (job->todo[i].row == row) at = i;
    }
    if (at < 0) return err_set(e, ERR_OTHER, "the row has no prompt");
    engine *g = &r->model[r->model_of[which]].engine;
    if (!engine_take_scorer(g, &job->schedule, e) || !scorer_run_heads(&g->scorer, e)) return false;
    const schedule *s = &job->schedule;
    for (int32_t b = 0; b < s->n_batch; b++) {
        bool here = false;
        for (int32_t i = s->batch[b]; i < s->batch[b + 1]; i++)
            here = here || s->item[i].owner == at;
        if (here && !scorer_run_batch(&g->scorer, b, e)) return false;
    }
    str name = r->spec.arms[which].name.text;
    colour(out, what->colour, "1");
    buf_printf(out, "arm %.*s\n", (int)name.size, name.data);
    colour(out, what->colour, "0");
    buf prompt = buf_up_to(64 << 20);
    arms_write(&r->arms, which, row, 0, &prompt);
    buf_add_text(out, "--- prompt as the model reads it ---\n");
    buf_add_str(out, buf_view(&prompt));
    buf_add_text(out, "\n--- tokens ---\n");
    buf_close(&prompt);
    int32_t c = job->todo[at].case_segment, head = tree_at(&job->tree, c)->parent;
    if (head >= 0) show_tokens(&job->tree, head, g->header.tokens, what->colour, out);
    show_tokens(&job->tree, c, g->header.tokens, what->colour, out);
    if (r->arms.n_cut[row] > 0)
        buf_printf(out, "  cut: %d tokens of the text were left out\n", r->arms.n_cut[row]);
    buf_add_text(out, "--- answers ---\n");
    show_answers(r, &g->scorer, which, &job->todo[at], what->colour, out);
    buf_add_char(out, '\n');
    return true;
}

/* The arms of a pass that are asked for. */
static bool show_pass(run *r, pass *p, const try_options *what, int32_t *shown, buf *out, err *e)
{
    bool opened = false, ok = true;
    for (int32_t i = 0; ok && i < p->n_arm; i++) {
        if (what->arm && !str_is(r->spec.arms[p->arm[i]].name.text, what->arm)) continue;
        if (!opened) ok = pass_open(r, p, e);
        opened = true;
        ok = ok && show_arm(r, p->arm[i], r->first_row, what, out, e);
        (*shown)++;
    }
    if (opened) pass_shut(r, p);
    return ok;
}

static bool show(run *r, const try_options *what, buf *out, err *e)
{
    int32_t row = r->first_row, shown = 0;
    str id = r->rows.scored.id[row], label = r->spec.classes[r->rows.scored.label[row]].name.text;
    buf_printf(out, "row %.*s, label %.*s\n\n", (int)id.size, id.data, (int)label.size, label.data);
    for (int32_t i = 0; i < r->n_pass; i++) {
        if (!show_pass(r, &r->pass[i], what, &shown, out, e)) return false;
    }
    if (shown == 0) return err_set(e, ERR_USAGE, "%s has no arm '%s'", r->spec.path, what->arm);
    return buf_check(out, "the prompt", e);
}

bool try_row(const run_options *how, const try_options *what, buf *out, err *e)
{
    run r;
    run_options alone = *how;
    alone.out = NULL;
    alone.only_row = what->row;
    if (!what->row) alone.limit = 1;
    alone.batch_items = 1;
    bool ok = run_prepare(&r, &alone, e) && show(&r, what, out, e);
    run_close(&r);
    return ok;
}
