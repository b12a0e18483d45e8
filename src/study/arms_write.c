/* arms_write: an arm's messages. What a part of the arm's method adds stands in data/spec_ask.c as
 * words; here is where it stands:
 *
 *   system      role text                                     (the spec has put it into `system`)
 *   before      definitions, then the question (within meta's notation, if it is a part), up to the
 *               text's place
 *   slot        the text; then what the question says up to {options}, and the list of options
 *   behind      the rest of the question; what is asked for (a letter); cot
 * Examples have the same layout without cot: they show the answer alone. */
#include "study/arms_in.h"

#include <assert.h>
#include <stdio.h>

str arms_join(arena *memory, str a, str b, str c, err *e)
{
    buf out = buf_up_to(ARMS_TEXT_BYTES_MAX);
    buf_add_str(&out, a);
    buf_add_str(&out, b);
    buf_add_str(&out, c);
    str kept = buf_check(&out, "a prompt", e) ? str_keep(memory, buf_view(&out), e) : STR("");
    buf_close(&out);
    return kept;
}

/* ---- options ---- */

bool arms_has_list(const arm *m) { return m->spec->ask.framing == SPEC_OPTIONS; }

int32_t arms_n_option(const arms *a, const row_set *set, int32_t row)
{
    if (!set->option_start) return a->spec->n_class;
    return set->option_start[row + 1] - set->option_start[row];
}

int32_t arms_option_at(const arms *a, const arms_way *way, const arms_list *l, int32_t place)
{
    int32_t n = arms_n_option(a, l->set, l->row), at = (place + l->shift) % n;
    return way->reversed ? n - 1 - at : at;
}

str arms_option_text(const arm *m, const arms_way *way, const arms_list *l, int32_t option)
{
    if (l->set->option_start) return l->set->option[l->set->option_start[l->row] + option];
    return str_trim_unicode(m->spec->ask.words[way->words][option].surfaces.item[0].text);
}

void arms_write_options(const arms *a, const arm *m, const arms_way *way, const arms_list *l,
                        buf *out)
{
    int32_t n = arms_n_option(a, l->set, l->row);
    for (int32_t place = 0; place < n; place++) {
        int32_t option = arms_option_at(a, way, l, place);
        buf_printf(out, "%s%c. ", place ? "\n" : "", 'A' + place);
        buf_add_str(out, l->alike ? STR("N/A") : arms_option_text(m, way, l, option));
    }
}

void arms_write_slot_of(const arms *a, const arm *m, const arms_way *way, str text,
                        const arms_list *l, buf *out)
{
    buf_add_str(out, text);
    if (!arms_has_list(m)) return;
    buf_add_str(out, way->between);
    arms_write_options(a, m, way, l, out);
}

/* ---- the question ---- */

typedef struct writer { /* of one form's messages, in the run's memory */
    const arms *arms;
    const arm *arm;
    const arms_way *way;
    arena *memory;
    prompt_message *message;
    int32_t n;
    bool masked; /* names in the place of the examples' texts */
} writer;

static str part_of(const arm *m, spec_part p) { return m->spec->ask.part[p].text; }

static bool has_part(const arm *m, spec_part p) { return m->spec->ask.methods >> p & 1; }

/* The labels as a question names them: "Yes or No", or as a set: "{Yes, No}". */
static void add_labels(const arms *a, const arm *m, const arms_way *way, bool set, buf *out)
{
    int32_t n = a->spec->n_class;
    bool letters = (arms_has_list(m) && !way->by_text) || a->spec->lettered;
    if (set) buf_add_char(out, '{');
    for (int32_t i = 0; i < n; i++) {
        int32_t c = way->reversed && !letters ? n - 1 - i : i;
        if (i > 0 && (set || i < n - 1)) buf_add_text(out, ", ");
        else if (i > 0) {
            buf_add_char(out, ' ');
            buf_add_str(out, part_of(m, SPEC_PART_OR));
            buf_add_char(out, ' ');
        }
        if (letters) buf_add_char(out, (char)('A' + i));
        else
            buf_add_str(out,
                        str_trim_unicode(m->spec->ask.words[way->words][c].surfaces.item[0].text));
    }
    if (set) buf_add_char(out, '}');
}

/* `text` with {question}, {labels} and {set} filled in; other braces stay. */
static void fill_places(const arms *a, const arm *m, const arms_way *way, str text, str question,
                        buf *out)
{
    static const char *const names[] = {"{question}", "{labels}", "{set}"};
    for (size_t at = 0; at < text.size; at++) {
        str rest = str_part(text, at, text.size - at);
        int found = -1;
        for (int i = 0; i < (int)countof(names) && found < 0; i++)
            found = str_starts(rest, names[i]) ? i : -1;
        if (found == 0 && question.data) fill_places(a, m, way, question, (str){NULL, 0}, out);
        else if (found > 0) add_labels(a, m, way, found == 2, out);
        else {
            buf_add_char(out, text.data[at]);
            continue;
        }
        at += strlen(names[found]) - 1;
    }
}

typedef struct question {              /* around a text and its options */
    str before, between, behind, last; /* last: what examples leave out (cot) */
} question;

/* Cuts s at the first `slot`: false when it is not there. */
static bool cut_at(str s, str slot, str *before, str *after)
{
    int64_t at = str_find(s, slot);
    if (at < 0) return false;
    size_t from = (size_t)at + slot.size;
    *before = str_part(s, 0, (size_t)at);
    *after = str_part(s, from, s.size - from);
    return true;
}

static str write_question(const arms *a, const arm *m, const arms_way *way, err *e)
{
    str asked = str_trim_unicode(m->spec->ask.question[way->question].text.text);
    str meta = str_trim_unicode(part_of(m, SPEC_PART_META));
    buf out = buf_up_to(ARMS_TEXT_BYTES_MAX);
    fill_places(a, m, way, has_part(m, SPEC_PART_META) ? meta : asked, asked, &out);
    str kept = buf_check(&out, "a question", e) ? str_keep(a->memory, buf_view(&out), e) : STR("");
    buf_close(&out);
    return kept;
}

static question make_question(const arms *a, const arm *m, const arms_way *way, err *e)
{
    question q = {.between = STR(""), .behind = STR(""), .last = STR("")};
    str whole = write_question(a, m, way, e), rest = STR("");
    bool placed = cut_at(whole, STR("{text}"), &q.before, &rest);
    if (!placed) q.before = arms_join(a->memory, whole, STR("\n\n"), STR(""), e);
    q.behind = rest;
    if (arms_has_list(m) && !cut_at(rest, STR("{options}"), &q.between, &q.behind)) {
        spec_part asks = way->by_text ? SPEC_PART_OPTION : SPEC_PART_LETTER;
        q.between = arms_join(a->memory, rest, STR("\n\n"), STR(""), e);
        q.behind = arms_join(a->memory, STR("\n\n"), part_of(m, asks), STR(""), e);
    }
    if (has_part(m, SPEC_PART_DEFINITIONS)) {
        str words = str_trim_unicode(part_of(m, SPEC_PART_DEFINITIONS));
        bool korean = m->spec->ask.language == SPEC_KOREAN;
        str lead = !str_starts(words, "- ") ? STR("")
                   : korean                 ? STR("정의:\n")
                                            : STR("Definitions:\n");
        q.before = arms_join(a->memory, arms_join(a->memory, lead, words, STR("\n\n"), e), q.before,
                             STR(""), e);
    }
    bool reasons = has_part(m, SPEC_PART_COT) || has_part(m, SPEC_PART_SELF_CONSISTENCY);
    if (reasons) {
        spec_part p = has_part(m, SPEC_PART_COT) ? SPEC_PART_COT : SPEC_PART_SELF_CONSISTENCY;
        q.last = arms_join(a->memory, STR("\n\n"), str_trim_unicode(part_of(m, p)), STR(""), e);
    }
    return q;
}

/* ---- messages ---- */

static void add_message(writer *w, const char *role, str content)
{
    w->message[w->n++] = (prompt_message){.role = role, .content = content, .after = STR("")};
}

/* What the example answers: its label's word, letter or option. */
static str answer_of(const writer *w, int32_t example)
{
    const row_set *pool = &w->arms->rows->pool;
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    int32_t class = pool->label[example];
    arms_list l = {.set = pool, .row = example};
    if (!spec_has_labels(w->arms->spec))
        return pool->reference ? str_trim_unicode(pool->reference[example]) : STR("");
    if (arms_has_list(w->arm) && !w->way->by_text) {
        int32_t place = 0;
        while (arms_option_at(w->arms, w->way, &l, place) != class) place++;
        return str_part(STR(letters), (size_t)place, 1);
    }
    return arms_option_text(w->arm, w->way, &l, class);
}

static bool fit_example(const writer *w, int32_t example, arms_fit *fit, err *e)
{
    const arms *a = w->arms;
    const row_set *pool = &a->rows->pool;
    int32_t shots = w->arm->spec->shots;
    int32_t *budget = arena_take(w->memory, (size_t)a->n_model, sizeof *budget, e);
    for (int32_t i = 0; budget && i < a->n_model; i++)
        budget[i] = a->model[i].max_tokens / (shots + 2);
    if (!budget || !arms_fit_text(a, str_trim_unicode(pool->text[example]), budget, fit, e))
        return false;
    if (fit->n_cut == 0 || a->spec->cut != SPEC_CUT_REFUSE) return true;
    return spec_fail(a->spec, w->arm->spec->line, e,
                     "the example row '%.*s' has %d tokens more than the %d that %d examples "
                     "leave each; set "
                     "`limits: cut: head+tail`, or raise `max_tokens`",
                     (int)pool->id[example].size, pool->id[example].data, fit->n_cut,
                     budget[w->arm->model - a->model], shots);
}

static bool add_example(writer *w, const question *q, int32_t example, int32_t number, err *e)
{
    arms_fit fit;
    char name[32];
    if (!fit_example(w, example, &fit, e)) return false;
    snprintf(name, sizeof name, "{example %d}", number);
    arms_list l = {.set = &w->arms->rows->pool, .row = example};
    buf asked = buf_up_to(ARMS_TEXT_BYTES_MAX);
    buf_add_str(&asked, q->before);
    if (w->masked) buf_add_text(&asked, name);
    else arms_write_slot_of(w->arms, w->arm, w->way, fit.text, &l, &asked);
    buf_add_str(&asked, q->behind);
    str label = str_trim_unicode(answer_of(w, example));
    if (w->masked && (w->arms->rows->pool.option_start || !spec_has_labels(w->arms->spec)))
        label = STR("{answer}");
    if (!w->arm->model->chat) {
        buf_add_char(&asked, '\n');
        buf_add_str(&asked, part_of(w->arm, SPEC_PART_ANSWER));
        buf_add_char(&asked, ' ');
        buf_add_str(&asked, label);
    }
    bool ok = buf_check(&asked, "an example", e);
    str kept = ok ? str_keep(w->memory, buf_view(&asked), e) : STR("");
    buf_close(&asked);
    if (!ok) return false;
    if (!w->arm->model->chat) {
        add_message(w, "user", kept);
        add_message(w, "user", STR("\n\n"));
    } else {
        add_message(w, "user", str_trim_unicode(kept));
        add_message(w, "assistant", label);
    }
    return e->code == ERR_NONE;
}

static bool write_messages(writer *w, const int32_t *example, err *e)
{
    const arms_model *model = w->arm->model;
    str system = str_trim_unicode(w->arm->spec->system.text);
    if (system.size && model->takes_system)
        add_message(w, "system",
                    model->chat ? system : arms_join(w->memory, system, STR("\n\n"), STR(""), e));
    question q = make_question(w->arms, w->arm, w->way, e);
    for (int32_t i = 0; i < w->arm->spec->shots; i++) {
        if (!add_example(w, &q, example[i], i + 1, e)) return false;
    }
    str behind = arms_join(w->memory, q.behind, q.last, STR(""), e);
    if (!model->chat)
        behind = arms_join(w->memory, behind, STR("\n"), part_of(w->arm, SPEC_PART_ANSWER), e);
    w->message[w->n++] =
        (prompt_message){.role = "user", .content = q.before, .after = behind, .slot = true};
    if (system.size && !model->takes_system) { /* the role text goes into the first message */
        str *first = &w->message[0].content;
        *first = arms_join(w->memory, system, STR("\n\n"), *first, e);
    }
    return e->code == ERR_NONE;
}

static bool make_form(writer w, int32_t set, prompt_form *f, err *e)
{
    const arm *m = w.arm;
    w.message = arena_take_zero(w.memory, 2 + 2 * (size_t)m->spec->shots, sizeof *w.message, e);
    if (!w.message) return false;
    const int32_t *example = m->spec->shots ? m->shots.example + (int64_t)set * m->shots.k : NULL;
    return write_messages(&w, example, e) &&
           prompt_form_make(f, &m->model->rules, w.message, w.n, w.memory, e);
}

/* For the report: the first way, with names in the place of texts. */
static bool make_shown(const arms *a, arm *m, err *e)
{
    prompt_form masked;
    writer w = {.arms = a, .arm = m, .way = &m->way[0], .memory = a->memory, .masked = true};
    if (!make_form(w, 0, &masked, e)) return false;
    str slot = STR("{text}");
    if (arms_has_list(m)) slot = arms_join(a->memory, slot, m->way[0].between, STR("{options}"), e);
    m->shown = arms_join(a->memory, masked.before, slot, masked.after, e);
    return e->code == ERR_NONE;
}

bool arms_make_forms(const arms *a, arm *m, err *e)
{
    for (int32_t w = 0; w < m->n_way; w++)
        m->way[w].between = make_question(a, m, &m->way[w], e).between;
    int32_t n = 0;
    for (int32_t w = 0; w < m->n_way && e->code == ERR_NONE; w++) {
        m->way[w].first_form = n;
        int32_t turn = m->way[w].draw * m->spec->ask.orders + m->way[w].order;
        for (int32_t s = 0; s < m->n_set; s++, n++) {
            if (m->set_turn[s] != turn) continue; /* no row of this way has that set */
            writer one = {.arms = a, .arm = m, .way = &m->way[w], .memory = a->memory};
            if (!make_form(one, s, &m->form[n], e)) return false;
        }
    }
    return e->code == ERR_NONE && make_shown(a, m, e);
}
