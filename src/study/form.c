/* form: see form.h. */
#include "study/form.h"

#include <assert.h>

/* The arm's answers: its label words, all sets of them; letters where it lists a row's options. */
static bool labels_form(const spec *s, const spec_ask *ask, automaton *m, arena *a, err *e)
{
    buf list = buf_up_to(1 << 24);
    for (int32_t w = 0; w < ask->n_words && ask->framing != SPEC_OPTIONS; w++) {
        for (int32_t c = 0; c < s->n_class; c++) {
            const spec_list *words = &ask->words[w][c].surfaces;
            for (int32_t i = 0; i < words->n; i++)
                buf_add(&list, &words->item[i].text, sizeof(str));
        }
    }
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (int32_t c = 0; c < s->n_class && ask->framing == SPEC_OPTIONS && letters[c]; c++) {
        str one = {letters + c, 1};
        buf_add(&list, &one, sizeof one);
    }
    bool ok = buf_check(&list, "the answers", e) &&
              automaton_choice(m, (const str *)(const void *)list.data,
                               (int32_t)(list.size / sizeof(str)), a, e);
    buf_close(&list);
    return ok;
}

static bool choice_form(const spec *s, const spec_ask *ask, automaton *m, arena *a, err *e)
{
    const spec_list *choice = &ask->think.form.choice;
    if (choice->n == 0) return labels_form(s, ask, m, a, e);
    str *text = arena_take(a, (size_t)choice->n, sizeof *text, e);
    for (int32_t i = 0; text && i < choice->n; i++) text[i] = choice->item[i].text;
    return text && automaton_choice(m, text, choice->n, a, e);
}

bool form_make(const spec *s, int32_t arm, automaton **m, arena *a, err *e)
{
    const spec_ask *ask = &s->arms[arm].ask;
    const spec_form *f = &ask->think.form;
    *m = NULL;
    if (f->kind == SPEC_FORM_ANY) return true;
    automaton *made = arena_take_zero(a, 1, sizeof *made, e);
    if (!made) return false;
    bool ok = f->kind == SPEC_FORM_CHOICE    ? choice_form(s, ask, made, a, e)
              : f->kind == SPEC_FORM_PATTERN ? automaton_pattern(made, f->text, a, e)
                                             : automaton_schema(made, f->text, a, e);
    *m = made;
    if (ok || e->code != ERR_USAGE) return ok;
    return err_in(e, "%s: line %d", s->path, f->line);
}
