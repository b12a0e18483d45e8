/* arms: see arms.h. */
#include "study/arms.h"

#include <assert.h>
#include <stdio.h>

enum {
    TEXT_BYTES_MAX = 64 << 20,
    SLACK_TOKENS = 4 /* merges at the edges of a text may cost a token or two */
};

static str surface_of(const spec_arm *arm, int32_t class)
{
    return arm->classes[class].surfaces.item[0].text;
}

/* ---- texts within the budget ---- */

static bool count_tokens(const tokenizer *t, str text, token_list *ids, err *e)
{
    ids->n = 0;
    return token_encode(t, text, (token_options){0}, ids, e);
}

/* The first (or last) bytes of s that are whole characters and hold at most `size` bytes. */
static str whole_characters(str s, bool first)
{
    if (first) {
        size_t n = s.size;
        while (n > 0 && ((unsigned char)s.data[n - 1] & 0xC0) == 0x80) n--;
        if (n > 0 &&
            ((unsigned char)s.data[n - 1] & 0x80)) { /* a lead byte: is its character whole? */
            unsigned char lead = (unsigned char)s.data[n - 1];
            size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
            return str_part(s, 0, s.size - (n - 1) == need ? s.size : n - 1);
        }
        return s;
    }
    size_t at = 0;
    while (at < s.size && ((unsigned char)s.data[at] & 0xC0) == 0x80) at++;
    return str_part(s, at, s.size - at);
}

static void add_piece(const tokenizer *t, const int32_t *id, int64_t n, bool first, buf *out)
{
    buf piece = buf_up_to(TEXT_BYTES_MAX);
    token_decode(t, id, n, true, &piece);
    buf_add_str(out, str_trim_unicode(whole_characters(buf_view(&piece), first)));
    buf_close(&piece);
}

/* Keeps `keep` of the text's tokens by the rule. */
static void write_cut(const tokenizer *t, const token_list *ids, spec_cut rule, int64_t keep,
                      buf *out)
{
    int64_t head = rule == SPEC_CUT_HEAD ? keep : rule == SPEC_CUT_TAIL ? 0 : (keep + 1) / 2;
    int64_t tail = keep - head;
    if (head > 0) add_piece(t, ids->id, head, true, out);
    buf_add_text(out, ARMS_GAP);
    if (tail > 0) add_piece(t, ids->id + ids->n - tail, tail, false, out);
}

/* Without the gap's outer blank: templates may strip what stands at a message's ends. */
static str cut_view(const buf *out) { return str_trim_unicode(buf_view(out)); }

typedef struct fitted { /* a text within a budget */
    str text;           /* whole, or cut, in the run's memory */
    int32_t n_cut;      /* tokens left out; under `refuse`: tokens too many */
} fitted;

/* `text` within `budget` tokens of a tokenizer by the study's rule. */
static bool fit_tokens(const arms *a, const tokenizer *t, str text, int32_t budget, fitted *out_fit,
                       err *e)
{
    spec_cut rule = a->spec->cut;
    token_list ids = {0}, again = {0};
    buf out = buf_up_to(TEXT_BYTES_MAX);
    *out_fit = (fitted){.text = text};
    bool ok = count_tokens(t, text, &ids, e);
    int64_t keep = budget - SLACK_TOKENS;
    while (ok && ids.n > budget && rule != SPEC_CUT_REFUSE) {
        if (keep < 1) {
            ok = err_set(e, ERR_USAGE, "`limits: max_tokens` leaves %d tokens for a text: too few",
                         budget);
            break;
        }
        buf_clear(&out);
        write_cut(t, &ids, rule, keep, &out);
        ok = buf_check(&out, "a text", e) && count_tokens(t, cut_view(&out), &again, e);
        out_fit->n_cut = (int32_t)(ids.n - keep);
        if (ok && again.n <= budget) break;
        keep -= again.n - budget > 0 ? again.n - budget : 1;
    }
    if (ok && out_fit->n_cut > 0) out_fit->text = str_keep(a->memory, cut_view(&out), e);
    if (ok && rule == SPEC_CUT_REFUSE && ids.n > budget) out_fit->n_cut = (int32_t)(ids.n - budget);
    buf_close(&out);
    token_list_close(&ids);
    token_list_close(&again);
    return ok && e->code == ERR_NONE;
}

/* Tokens that a text has too many for one of the models: the most. */
static bool find_excess(const arms *a, str text, const int32_t *budget, int32_t *excess, err *e)
{
    token_list ids = {0};
    bool ok = true;
    *excess = 0;
    for (int32_t i = 0; ok && i < a->n_model; i++) {
        ok = count_tokens(a->model[i].rules.tokens, text, &ids, e);
        if (ids.n - budget[i] > *excess) *excess = (int32_t)(ids.n - budget[i]);
    }
    token_list_close(&ids);
    return ok;
}

/* `text` within budget[m] tokens of every model m: the shortest text that one of them needs. */
static bool fit_text(const arms *a, str text, const int32_t *budget, fitted *out, err *e)
{
    int32_t by = 0, most = 0, excess = 0;
    if (!fit_tokens(a, a->model[0].rules.tokens, text, budget[0], out, e)) return false;
    most = out->n_cut;
    for (int32_t i = 1; i < a->n_model; i++) {
        fitted other;
        if (!fit_tokens(a, a->model[i].rules.tokens, text, budget[i], &other, e)) return false;
        if (other.n_cut > most) most = other.n_cut;
        if (other.text.size < out->text.size) *out = other, by = i;
    }
    int32_t room = budget[by];
    while (a->n_model > 1 && most > 0 && a->spec->cut != SPEC_CUT_REFUSE) {
        if (!find_excess(a, out->text, budget, &excess, e)) return false;
        if (excess == 0) break;
        room -= excess;
        if (!fit_tokens(a, a->model[by].rules.tokens, text, room, out, e)) return false;
        if (out->n_cut > most) most = out->n_cut;
    }
    out->n_cut = most;
    return true;
}

/* ---- messages ---- */

typedef struct writer { /* of one arm's messages, in the run's memory */
    const arms *arms;
    const spec_arm *arm;
    const arms_model *model;
    arena *memory;
    prompt_message *message;
    int32_t n;
    bool masked; /* names in the place of the examples' texts */
} writer;

static str join(arena *memory, str a, str b, str c, err *e)
{
    buf out = buf_up_to(TEXT_BYTES_MAX);
    buf_add_str(&out, a);
    buf_add_str(&out, b);
    buf_add_str(&out, c);
    str kept = buf_check(&out, "a prompt", e) ? str_keep(memory, buf_view(&out), e) : STR("");
    buf_close(&out);
    return kept;
}

/* What stands before and behind a text: the question, cut at {text}. */
static void question_parts(const writer *w, str *before, str *after, err *e)
{
    str question = str_trim_unicode(w->arm->question.text), slot = STR("{text}");
    int64_t at = str_find(question, slot);
    *after = STR("");
    if (at < 0) {
        *before = join(w->memory, question, STR("\n\n"), STR(""), e);
        return;
    }
    *before = str_part(question, 0, (size_t)at);
    *after = str_part(question, (size_t)at + slot.size, question.size - (size_t)at - slot.size);
}

static void add_message(writer *w, const char *role, str content)
{
    w->message[w->n++] = (prompt_message){.role = role, .content = content, .after = STR("")};
}

static bool add_example(writer *w, int32_t example, int32_t number, err *e)
{
    const row_set *pool = &w->arms->rows->pool;
    str before, after;
    fitted fit;
    int32_t *budget = arena_take(w->memory, (size_t)w->arms->n_model, sizeof *budget, e);
    for (int32_t i = 0; budget && i < w->arms->n_model; i++)
        budget[i] = w->arms->model[i].max_tokens / (w->arm->shots + 2);
    question_parts(w, &before, &after, e);
    if (!budget || !fit_text(w->arms, str_trim_unicode(pool->text[example]), budget, &fit, e))
        return false;
    if (fit.n_cut > 0 && w->arms->spec->cut == SPEC_CUT_REFUSE) {
        return spec_fail(w->arms->spec, w->arm->line, e,
                         "the example row '%.*s' has %d tokens more than the %d that %d examples "
                         "leave each; set "
                         "`limits: cut: head+tail`, or raise `max_tokens`",
                         (int)pool->id[example].size, pool->id[example].data, fit.n_cut,
                         budget[w->model - w->arms->model], w->arm->shots);
    }
    char name[32];
    snprintf(name, sizeof name, "{example %d}", number);
    str text = w->masked ? str_keep(w->memory, str_of(name), e) : fit.text;
    str label = str_trim_unicode(surface_of(w->arm, pool->label[example]));
    str asked = join(w->memory, before, text, after, e);
    if (!w->model->chat) {
        add_message(w, "user", join(w->memory, asked, STR("\nAnswer: "), label, e));
        add_message(w, "user", STR("\n\n"));
    } else {
        add_message(w, "user", str_trim_unicode(asked));
        add_message(w, "assistant", label);
    }
    return e->code == ERR_NONE;
}

static bool write_messages(writer *w, const int32_t *example, err *e)
{
    str system = str_trim_unicode(w->arm->system.text);
    if (system.size) {
        str content = w->model->chat ? system : join(w->memory, system, STR("\n\n"), STR(""), e);
        if (w->model->takes_system) add_message(w, "system", content);
    }
    for (int32_t i = 0; i < w->arm->shots; i++) {
        if (!add_example(w, example[i], i + 1, e)) return false;
    }
    str before, after;
    question_parts(w, &before, &after, e);
    if (!w->model->chat) after = join(w->memory, after, STR("\nAnswer:"), STR(""), e);
    w->message[w->n++] =
        (prompt_message){.role = "user", .content = before, .after = after, .slot = true};
    if (system.size && !w->model->takes_system) { /* the role text goes into the first message */
        str *first = &w->message[0].content;
        *first = join(w->memory, system, STR("\n\n"), *first, e);
    }
    return e->code == ERR_NONE;
}

static bool make_form(const arms *a, const arm *m, int32_t set, bool masked, prompt_form *f, err *e)
{
    size_t n_message = 2 + 2 * (size_t)m->spec->shots;
    writer w = {
        .arms = a, .arm = m->spec, .model = m->model, .memory = a->memory, .masked = masked};
    w.message = arena_take_zero(a->memory, n_message, sizeof *w.message, e);
    if (!w.message) return false;
    const int32_t *example = m->spec->shots ? m->shots.example + (int64_t)set * m->shots.k : NULL;
    return write_messages(&w, example, e) &&
           prompt_form_make(f, &m->model->rules, w.message, w.n, a->memory, e);
}

static bool make_forms(const arms *a, arm *m, err *e)
{
    prompt_form masked;
    for (int32_t i = 0; i < m->n_form; i++) {
        if (!make_form(a, m, i, false, &m->form[i], e)) return false;
    }
    if (!make_form(a, m, 0, true, &masked, e)) return false;
    m->shown = join(a->memory, masked.before, STR("{text}"), masked.after, e);
    return e->code == ERR_NONE;
}

static bool list_answers(const arms *a, arm *m, err *e)
{
    arena *memory = a->memory;
    int32_t n_class = a->spec->n_class;
    for (int32_t c = 0; c < n_class; c++) m->n_answer += m->spec->classes[c].surfaces.n;
    m->answer = arena_take(memory, (size_t)m->n_answer, sizeof *m->answer, e);
    m->answer_class = arena_take(memory, (size_t)m->n_answer, sizeof *m->answer_class, e);
    if (!m->answer || !m->answer_class) return false;
    int32_t n = 0;
    for (int32_t c = 0; c < n_class; c++) {
        const spec_list *surfaces = &m->spec->classes[c].surfaces;
        for (int32_t i = 0; i < surfaces->n; i++) {
            str text = surfaces->item[i].text;
            bool space = !m->model->chat && text.size && text.data[0] != ' ';
            m->answer[n] = space ? join(memory, STR(" "), text, STR(""), e) : text;
            m->answer_class[n++] = c;
        }
    }
    return e->code == ERR_NONE;
}

static bool make_arm(const arms *a, arm *m, const spec_arm *s, err *e)
{
    *m = (arm){.spec = s, .model = &a->model[a->model_of[s - a->spec->arms]], .n_form = 1};
    if (s->shots > 0) {
        if (!shots_pick(&m->shots, a->rows, s, a->spec->seed, a->memory, e)) return false;
        m->n_form = m->shots.n_set;
    }
    if (s->ask.think.samples > 0)
        m->bridge = join(a->memory, STR("\n\n"), s->ask.part[SPEC_PART_BRIDGE].text, STR(""), e);
    m->form = arena_take_zero(a->memory, (size_t)m->n_form, sizeof *m->form, e);
    if (!m->form || !list_answers(a, m, e)) return false;
    if (make_forms(a, m, e)) return true;
    return err_in(e, "arm %.*s", (int)s->name.text.size, s->name.text.data);
}

/* Tokens that the longest frame of any arm of a model takes with its longest answer. */
static bool find_longest_frame(const arms *a, const arms_model *of, int32_t *longest, err *e)
{
    token_list ids = {0};
    bool ok = true;
    *longest = 0;
    for (int32_t i = 0; ok && i < a->n_arm; i++) {
        const arm *m = &a->arm[i];
        int64_t answer = 0;
        if (m->model != of) continue;
        for (int32_t j = 0; ok && j < m->n_answer; j++) {
            ok = count_tokens(m->form[0].rules.tokens, m->answer[j], &ids, e);
            if (ids.n > answer) answer = ids.n;
        }
        if (m->bridge.size) { /* the generated text and the question behind it need room too */
            ok = ok && count_tokens(m->form[0].rules.tokens, m->bridge, &ids, e);
            answer += ids.n + m->spec->ask.think.max_tokens;
        }
        for (int32_t j = 0; ok && j < m->n_form; j++) {
            ids.n = 0;
            ok = prompt_encode(&m->form[j], STR(""), &ids, e);
            if (ok && ids.n + answer > *longest) *longest = (int32_t)(ids.n + answer);
        }
    }
    token_list_close(&ids);
    return ok;
}

static bool refuse_row(const arms *a, int32_t row, int32_t n_too_long, err *e)
{
    const arms_model *m = &a->model[0];
    for (int32_t i = 1; i < a->n_model; i++) {
        if (a->model[i].note_tokens < m->note_tokens) m = &a->model[i];
    }
    str id = a->rows->scored.id[row];
    return err_set(e, ERR_DATA,
                   "row '%.*s' has %d tokens of text, but `max_tokens: %d` leaves %d for it; %d of "
                   "%d rows are too long: "
                   "raise `limits: max_tokens`, or state how to cut them (`cut: head+tail`)",
                   (int)id.size, id.data, m->note_tokens + a->n_cut[row], m->max_tokens,
                   m->note_tokens, n_too_long, a->rows->scored.n);
}

static bool fit_rows(arms *a, err *e)
{
    const row_set *scored = &a->rows->scored;
    a->text = arena_take(a->memory, (size_t)scored->n, sizeof *a->text, e);
    a->n_cut = arena_take_zero(a->memory, (size_t)scored->n, sizeof *a->n_cut, e);
    int32_t *budget = arena_take(a->memory, (size_t)a->n_model, sizeof *budget, e);
    if (!a->text || !a->n_cut || !budget) return false;
    for (int32_t i = 0; i < a->n_model; i++) budget[i] = a->model[i].note_tokens;
    int32_t first = -1;
    for (int32_t i = 0; i < scored->n; i++) {
        str text = str_trim_unicode(scored->text[i]);
        fitted fit;
        if (!fit_text(a, text, budget, &fit, e)) {
            return err_in(e, "row '%.*s'", (int)scored->id[i].size, scored->id[i].data);
        }
        a->text[i] = fit.text;
        a->n_cut[i] = fit.n_cut;
        a->n_row_cut += a->n_cut[i] > 0;
        if (a->n_cut[i] > 0 && first < 0) first = i;
    }
    bool refused = first >= 0 && a->spec->cut == SPEC_CUT_REFUSE;
    return refused ? refuse_row(a, first, a->n_row_cut, e) : true;
}

static bool template_takes_system(const prompt_rules *rules)
{
    json_t *context = json_object();
    json_object_set_new(context, "bos_token", json_stringn(rules->bos.data, rules->bos.size));
    json_object_set_new(context, "eos_token", json_stringn(rules->eos.data, rules->eos.size));
    json_object_set_new(context, "add_generation_prompt", json_true());
    bool takes = chat_takes_system(rules->chat, context);
    json_decref(context);
    return takes;
}

static bool find_budget(const arms *a, arms_model *m, err *e)
{
    int32_t frame = 0;
    if (!find_longest_frame(a, m, &frame, e)) return false;
    m->note_tokens = m->max_tokens - frame - SLACK_TOKENS;
    if (m->note_tokens >= 16) return true;
    return err_set(e, ERR_USAGE,
                   "%s: `max_tokens: %d` leaves %d tokens for a text after the longest "
                   "instructions and examples "
                   "(%d tokens); raise it or use fewer shots",
                   a->spec->path, m->max_tokens, m->note_tokens > 0 ? m->note_tokens : 0, frame);
}

bool arms_make(arms *a, err *e)
{
    const spec *s = a->spec;
    assert(s && a->rows && a->n_model > 0 && a->model_of && a->memory);
    a->n_arm = s->n_arm;
    for (int32_t i = 0; i < a->n_model; i++) {
        arms_model *m = &a->model[i];
        m->chat = m->rules.chat != NULL;
        m->takes_system = !m->chat || template_takes_system(&m->rules);
        m->max_tokens = s->max_tokens > 0 ? s->max_tokens : m->n_context > 0 ? m->n_context : 4096;
    }
    a->arm = arena_take_zero(a->memory, (size_t)s->n_arm, sizeof *a->arm, e);
    if (!a->arm) return false;
    for (int32_t i = 0; i < s->n_arm; i++) {
        if (!make_arm(a, &a->arm[i], &s->arms[i], e)) return false;
    }
    for (int32_t i = 0; i < a->n_model; i++) {
        if (!find_budget(a, &a->model[i], e)) return false;
    }
    return fit_rows(a, e);
}

int32_t arms_variants(const arms *a, int32_t which, int32_t row)
{
    assert(which >= 0 && which < a->n_arm && row >= 0 && row < a->rows->scored.n);
    return 1;
}

const prompt_form *arms_form(const arms *a, int32_t which, int32_t row, int32_t variant)
{
    const arm *m = &a->arm[which];
    assert(variant >= 0 && variant < arms_variants(a, which, row));
    return &m->form[m->spec->shots > 0 ? m->shots.set[row] : 0];
}

void arms_write(const arms *a, int32_t which, int32_t row, int32_t variant, buf *out)
{
    prompt_write(arms_form(a, which, row, variant), a->text[row], out);
}

static bool is_prefix(const asked *q, int32_t i, int32_t j)
{
    const int32_t *start = q->start.id;
    int32_t n = start[i + 1] - start[i], m = start[j + 1] - start[j];
    const int32_t *a = q->answers.id + start[i], *b = q->answers.id + start[j];
    return n <= m && !memcmp(a, b, (size_t)n * sizeof *a);
}

/* Answers of two classes that are the same tokens could never be told apart. */
static bool check_distinct(const arm *m, const asked *q, err *e)
{
    const int32_t *class = q->answer_class.id;
    for (int32_t i = 0; i < q->n_answer; i++) {
        for (int32_t j = 0; j < i; j++) {
            if (class[i] == class[j] || !is_prefix(q, i, j) || !is_prefix(q, j, i)) continue;
            return err_set(
                e, ERR_USAGE,
                "'%.*s' of class %d and '%.*s' of class %d are the same tokens here; use "
                "other answers",
                (int)m->answer[j].size, m->answer[j].data, class[j] + 1, (int)m->answer[i].size,
                m->answer[i].data, class[i] + 1);
        }
    }
    return true;
}

/* No answer may be the beginning of another class's: its probability would hold the other's. If one
 * is, every answer gets the end of turn as its last token. */
static bool part_classes(const arm *m, const tokenizer *t, asked *q, err *e)
{
    bool clash = false;
    const int32_t *class = q->answer_class.id;
    for (int32_t i = 0; i < q->n_answer; i++) {
        for (int32_t j = 0; j < q->n_answer; j++)
            clash = clash || (class[i] != class[j] && is_prefix(q, i, j));
    }
    if (!clash) return true;
    if (!check_distinct(m, q, e)) return false;
    int32_t end = token_eos(t);
    if (end < 0) {
        return err_set(
            e, ERR_USAGE,
            "an answer of one class begins an answer of another, and the model has no end token to "
            "tell them apart; use other answers");
    }
    token_list longer = {0};
    for (int32_t i = 0; i < q->n_answer; i++) {
        int32_t from = q->start.id[i], n = q->start.id[i + 1] - from;
        q->start.id[i] = (int32_t)longer.n;
        if (!token_list_add(&longer, q->answers.id + from, n, e) ||
            !token_list_add(&longer, &end, 1, e)) {
            token_list_close(&longer);
            return false;
        }
    }
    q->start.id[q->n_answer] = (int32_t)longer.n;
    token_list_close(&q->answers);
    q->answers = longer;
    return true;
}

static bool add_answer(const prompt_form *f, str text, str answer, asked *q, err *e)
{
    prompt_answer ask = {.prompt = &q->prompt, .answer = answer, .out = &q->answers};
    int32_t start = (int32_t)q->answers.n;
    if (!token_list_add(&q->start, &start, 1, e) || !prompt_encode_answer(f, text, &ask, e))
        return false;
    q->any_forced = q->any_forced || ask.forced;
    return true;
}

/* An answer behind the bridge: encoded with it, or apart where that would change its ids. */
static bool add_answer_behind(const arm *m, str answer, asked *q, err *e)
{
    const tokenizer *t = m->model->rules.tokens;
    buf both = buf_up_to(TEXT_BYTES_MAX);
    token_list ids = {0};
    int32_t start = (int32_t)q->answers.n;
    buf_add_str(&both, m->bridge);
    if (answer.size && answer.data[0] != ' ') buf_add_char(&both, ' ');
    buf_add_str(&both, answer);
    bool ok = buf_check(&both, "an answer", e) && token_list_add(&q->start, &start, 1, e) &&
              count_tokens(t, buf_view(&both), &ids, e);
    int64_t n = q->bridge.n;
    bool apart =
        ok && (ids.n <= n || memcmp(ids.id, q->bridge.id, (size_t)n * sizeof *ids.id) != 0);
    if (apart) {
        ok = count_tokens(t, str_part(buf_view(&both), m->bridge.size, both.size - m->bridge.size),
                          &ids, e);
        n = 0;
    }
    q->any_forced = q->any_forced || apart;
    ok = ok && token_list_add(&q->answers, ids.id + n, ids.n - n, e);
    token_list_close(&ids);
    buf_close(&both);
    return ok;
}

bool arms_ask(const arms *a, int32_t which, int32_t row, int32_t variant, asked *q, err *e)
{
    const arm *m = &a->arm[which];
    const prompt_form *f = arms_form(a, which, row, variant);
    str text = a->text[row];
    q->prompt.n = q->answers.n = q->start.n = q->answer_class.n = q->bridge.n = 0;
    q->any_forced = false;
    q->n_answer = m->n_answer;
    bool ok = prompt_check(f, text, e) && prompt_encode(f, text, &q->prompt, e) &&
              token_list_add(&q->answer_class, m->answer_class, m->n_answer, e);
    q->n_stem = ok ? prompt_stem(f, q->prompt.id, (int32_t)q->prompt.n) : 0;
    if (m->bridge.size) ok = ok && count_tokens(f->rules.tokens, m->bridge, &q->bridge, e);
    for (int32_t i = 0; ok && i < m->n_answer; i++) {
        ok = m->bridge.size ? add_answer_behind(m, m->answer[i], q, e)
                            : add_answer(f, text, m->answer[i], q, e);
    }
    int32_t end = (int32_t)q->answers.n;
    ok = ok && token_list_add(&q->start, &end, 1, e);
    if (ok && part_classes(m, f->rules.tokens, q, e)) return true;
    return err_in(e, "row '%.*s'", (int)a->rows->scored.id[row].size, a->rows->scored.id[row].data);
}

void asked_close(asked *q)
{
    token_list_close(&q->prompt);
    token_list_close(&q->answers);
    token_list_close(&q->start);
    token_list_close(&q->answer_class);
    token_list_close(&q->bridge);
}
