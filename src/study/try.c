/* try: see try.h. The run is prepared whole (so that budgets and examples are those of the study),
 * with its results in memory; only the asked row is scored, under every arm; then it is shown. */
#include "study/try.h"

#include "data/store_parts.h"
#include "stats/score.h"
#include "text/utf8.h"

#include <math.h>

static void colour(buf *out, bool on, const char *code)
{
    if (on) buf_printf(out, "\033[%sm", code);
}

/* A token as visible text: new lines, control characters and parts of characters shown. */
static void add_token(buf *out, const tokenizer *t, int32_t id)
{
    buf piece = buf_up_to(1 << 20);
    token_decode(t, &id, 1, true, &piece);
    str s = buf_view(&piece);
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        bool whole = utf8_check(str_part(s, i, s.size - i)) != 0; /* a character begins here */
        if (c == '\n') buf_add_text(out, "⏎");
        else if (c == '\t') buf_add_text(out, "⇥");
        else if (c < 0x20 || c == 0x7F || !whole) buf_printf(out, "\\x%02X", c);
        else {
            buf_add(out, s.data + i, (size_t)utf8_size(c));
            i += (size_t)utf8_size(c) - 1;
        }
    }
    buf_close(&piece);
}

typedef struct trying {
    run *run;
    const try_options *what;
    buf *out;
    arena *memory;
    int32_t arm, row;
    asked asked;
} trying;

static void show_ids(const trying *t, const char *name, const char *code, const int32_t *id,
                     int32_t n)
{
    const tokenizer *tokens = t->run->model[t->run->model_of[t->arm]].engine.header.tokens;
    if (n == 0) return;
    buf_printf(t->out, "  %s, %d tokens:", name, n);
    for (int32_t i = 0; i < n; i++) {
        buf_add_char(t->out, i % 12 == 0 ? '\n' : ' ');
        if (i % 12 == 0) buf_add_text(t->out, "    ");
        buf_printf(t->out, "%d:", id[i]);
        colour(t->out, t->what->colour, code);
        add_token(t->out, tokens, id[i]);
        colour(t->out, t->what->colour, "0");
    }
    buf_add_char(t->out, '\n');
}

/* The prompt cut as it is computed: what others share, the row's text, what is asked behind it. */
static bool show_tokens(trying *t, int32_t variant, err *e)
{
    const run *r = t->run;
    const prompt_form *f = arms_form(&r->arms, t->arm, t->row, variant);
    if (!arms_ask(&r->arms, t->arm, t->row, variant, &t->asked, e)) return false;
    const int32_t *id = t->asked.prompt.id;
    int32_t n = (int32_t)t->asked.prompt.n, head = f->n_head < n ? f->n_head : n - 1;
    int32_t stem = t->asked.n_stem > head ? t->asked.n_stem : head;
    buf_add_text(t->out, "--- tokens ---\n");
    show_ids(t, "head", "2", id, head);
    if (stem > head) show_ids(t, "text", "36", id + head, stem - head);
    show_ids(t, stem > head ? "question" : "case", stem > head ? "35" : "36", id + stem, n - stem);
    show_ids(t, "bridge", "34", t->asked.bridge.id, (int32_t)t->asked.bridge.n);
    if (r->arms.n_cut[t->row] > 0)
        buf_printf(t->out, "  cut: %d tokens of the text were left out\n", r->arms.n_cut[t->row]);
    return true;
}

static void show_mass(const trying *t, double mass)
{
    buf_printf(
        t->out, "  label mass %.3f%s\n", mass,
        mass < 0.5
            ? ": the model would rather write something else; reword the question or the answers"
            : "");
}

/* Answers of a way with their log-probabilities. */
static bool show_answers(trying *t, int32_t variant, const double *logprob, err *e)
{
    const run *r = t->run;
    const asked *q = &t->asked;
    arms_answers all = {.memory = t->memory, .behind = q->bridge.n > 0};
    double mass = 0;
    if (!arms_list_answers(&r->arms, t->arm, t->row, variant, &all, e)) return false;
    buf_add_text(t->out, "--- answers ---\n");
    for (int32_t i = 0; i < q->n_answer && i < all.n; i++) {
        int32_t n = q->start.id[i + 1] - q->start.id[i];
        str name = r->spec.classes[q->answer_class.id[i]].name.text;
        buf_printf(t->out, "  %9.4f  %7.3f %%  ", logprob[i], 100 * exp(logprob[i]));
        colour(t->out, t->what->colour, "33");
        buf_printf(t->out, "%-14.*s", (int)all.text[i].size, all.text[i].data);
        colour(t->out, t->what->colour, "0");
        buf_printf(t->out, " -> %.*s  (%d token%s)\n", (int)name.size, name.data, n,
                   n == 1 ? "" : "s");
        mass += exp(logprob[i]);
    }
    show_mass(t, mass);
    return true;
}

static void show_classes(const trying *t, const double *z)
{
    const spec *s = &t->run->spec;
    for (int32_t c = 0; c < s->n_class; c++) {
        buf_printf(t->out, "%s%.*s %.3f %%", c ? ", " : "", (int)s->classes[c].name.text.size,
                   s->classes[c].name.text.data, 100 * exp(z[c]));
    }
    buf_add_char(t->out, '\n');
}

static void show_text(const trying *t, const store_samples *s, int32_t i)
{
    const spec *study = &t->run->spec;
    buf_printf(t->out, "  text %d, %d tokens, ended by %.*s", s->number[i] + 1, s->n_token[i],
               (int)s->end[i].size, s->end[i].data);
    if (s->class[i] == STORE_UNPARSED) buf_add_text(t->out, ", says nothing that the rules find");
    if (s->class[i] >= 0) {
        str name = study->classes[s->class[i]].name.text;
        buf_printf(t->out, ", says %.*s", (int)name.size, name.data);
    }
    buf_add_text(t->out, ":\n");
    colour(t->out, t->what->colour, "32");
    buf_add_str(t->out, s->text[i]);
    colour(t->out, t->what->colour, "0");
    buf_add_text(t->out, "\n  label behind it: ");
    show_classes(t, s->class_logprob + (int64_t)i * s->n_class);
}

static void show_texts(const trying *t, int32_t variant, const store_samples *s)
{
    bool any = false;
    for (int32_t i = 0; i < s->n; i++) {
        if (s->variant[i] != variant) continue;
        if (!any) buf_add_text(t->out, "--- generated ---\n");
        any = true;
        show_text(t, s, i);
    }
}

static void show_title(const trying *t)
{
    const run *r = t->run;
    str name = r->spec.arms[t->arm].name.text;
    colour(t->out, t->what->colour, "1");
    buf_printf(t->out, "arm %.*s", (int)name.size, name.data);
    if (r->n_model > 1)
        buf_printf(t->out, ", %s", r->model[r->model_of[t->arm]].engine.header.name);
    buf_add_char(t->out, '\n');
    colour(t->out, t->what->colour, "0");
}

static void show_way(const trying *t, int32_t variant, int32_t n)
{
    arms_variant v = arms_describe(&t->run->arms, t->arm, t->row, variant);
    if (n > 1)
        buf_printf(t->out, "way %d of %d%s\n", variant + 1, n,
                   v.reference >= 0 ? " (a reference that the others are divided by)" : "");
    buf_add_text(t->out, "--- prompt as the model reads it ---\n");
    arms_write(&t->run->arms, t->arm, t->row, variant, t->out);
    buf_add_char(t->out, '\n');
}

/* The row's place among an arm's results; -1: not there. */
static int32_t find_result(const store_results *all, int32_t row)
{
    for (int32_t i = 0; i < all->n; i++) {
        if (all->row[i] == row && all->scored[i]) return i;
    }
    return -1;
}

static bool show_arm(trying *t, const store_results *all, err *e)
{
    const run *r = t->run;
    store_parts parts;
    store_samples texts;
    int32_t n = arms_variants(&r->arms, t->arm, t->row), at = find_result(all, t->row);
    if (!store_get_parts(r->store, t->arm, t->row, &parts, t->memory, e) ||
        !store_get_samples(r->store, t->arm, t->row, &texts, t->memory, e))
        return false;
    if (at < 0) return err_set(e, ERR_OTHER, "the row has no score");
    show_title(t);
    for (int32_t v = 0; v < n; v++) {
        show_way(t, v, n);
        if (!show_tokens(t, v, e)) return false;
        show_texts(t, v, &texts);
        const double *logprob = parts.n == 0 ? all->answer_logprob + (int64_t)at * all->n_answer
                                             : parts.answer_logprob + (int64_t)v * parts.n_answer;
        bool by_texts = t->asked.bridge.n > 0;
        if (!by_texts && !show_answers(t, v, logprob, e)) return false;
        if (parts.n > 0) {
            buf_printf(t->out, "%s: ", by_texts ? "mean over texts" : "this way");
            show_classes(t, parts.class_logprob + (int64_t)v * parts.n_class);
        }
    }
    buf_add_char(t->out, '\n');
    return true;
}

static void show_line(const trying *t, const store_results *all, double *p)
{
    const spec *s = &t->run->spec;
    int32_t at = find_result(all, t->row);
    str name = s->arms[t->arm].name.text;
    buf_printf(t->out, "%-28.*s", (int)name.size, name.data);
    score_probabilities(all->class_logprob + (int64_t)at * all->n_class, s->n_class, p);
    for (int32_t c = 0; c < s->n_class; c++) buf_printf(t->out, " %13.4f", p[c]);
    buf_printf(t->out, " %10.4f %10.3f\n", all->score[at], all->label_mass[at]);
}

/* One line an arm: the classes' probabilities, the score, the label mass. */
static void show_table(trying *t, const store_results *all)
{
    const spec *s = &t->run->spec;
    err failure = {0};
    double *p = arena_take(t->memory, (size_t)s->n_class, sizeof *p, &failure);
    if (!p) return;
    buf_printf(t->out, "%-28s", "side by side");
    for (int32_t c = 0; c < s->n_class; c++) {
        str name = s->classes[c].name.text;
        buf_printf(t->out, " %13.*s", name.size > 13 ? 13 : (int)name.size, name.data);
    }
    buf_printf(t->out, " %10s %10s\n", "score", "label mass");
    for (t->arm = 0; t->arm < s->n_arm; t->arm++) {
        if (find_result(&all[t->arm], t->row) >= 0) show_line(t, &all[t->arm], p);
    }
}

static bool show(run *r, const try_options *what, buf *out, err *e)
{
    trying t = {.run = r, .what = what, .out = out, .memory = &r->memory, .row = r->first_row};
    str id = r->rows.scored.id[t.row];
    str label = r->spec.classes[r->rows.scored.label[t.row]].name.text;
    store_results *all = arena_take_zero(&r->memory, (size_t)r->spec.n_arm, sizeof *all, e);
    int32_t shown = 0;
    bool ok = all != NULL;
    buf_printf(out, "row %.*s, label %.*s\n\n", (int)id.size, id.data, (int)label.size, label.data);
    for (int32_t i = 0; ok && i < r->spec.n_arm; i++) {
        t.arm = i;
        ok = store_get_results(r->store, i, &all[i], &r->memory, e);
        if (!ok || all[i].n == 0) continue;
        ok = show_arm(&t, &all[i], e);
        shown++;
    }
    if (ok && shown > 1) show_table(&t, all);
    asked_close(&t.asked);
    if (ok && shown == 0)
        return err_set(e, ERR_USAGE, "%s has no arm '%s'", r->spec.path, what->arm);
    return ok && buf_check(out, "the prompt", e);
}

bool try_row(const run_options *how, const try_options *what, buf *out, err *e)
{
    run r;
    run_options alone = *how;
    alone.out = NULL;
    alone.in_memory = true;
    alone.only_row = what->row;
    alone.only_arm = what->arm;
    if (!what->row) alone.limit = 1;
    bool ok = run_prepare(&r, &alone, e) && run_score(&r, e) && show(&r, what, out, e);
    run_close(&r);
    return ok;
}
