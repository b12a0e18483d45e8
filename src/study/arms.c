/* arms: see arms.h. Ways, forms, budgets; arms_text.c cuts texts, arms_write.c writes messages,
 * arms_ask.c makes ids of them. */
#include "study/arms_in.h"

#include "study/nearest.h"
#include "text/parse.h"

#include <assert.h>

/* ---- ways ---- */

static bool make_ways(const arms *a, arm *m, err *e)
{
    const spec_ask *ask = &m->spec->ask;
    int32_t n_order = ask->label_order == SPEC_BOTH_ORDERS ? 2 : 1, n = 0;
    int32_t n_by = ask->by == SPEC_BY_BOTH ? 2 : 1;
    m->n_way = spec_ways(m->spec);
    m->way = arena_take_zero(a->memory, (size_t)m->n_way, sizeof *m->way, e);
    if (!m->way) return false;
    for (int32_t q = 0; q < ask->n_question; q++) {
        for (int32_t w = 0; w < ask->n_words * n_order * n_by; w++) {
            int32_t by = w % n_by, order = w / n_by % n_order;
            for (int32_t turn = 0; turn < ask->draws * ask->orders; turn++) {
                m->way[n++] =
                    (arms_way){.question = q,
                               .words = w / n_by / n_order,
                               .reversed = ask->label_order == SPEC_REVERSED || order == 1,
                               .by_text = ask->framing == SPEC_OPTIONS &&
                                          (by == 1 || ask->by == SPEC_BY_TEXT),
                               .draw = turn / ask->orders,
                               .order = turn % ask->orders};
            }
        }
    }
    assert(n == m->n_way);
    return true;
}

static bool pick_shots(const arms *a, arm *m, err *e)
{
    int32_t *nearest = NULL, n_row = a->rows->scored.n;
    bool near = m->spec->shots > 0 && m->spec->ask.pick == SPEC_NEAREST;
    m->n_set = 1;
    if (near && !nearest_find(a->rows, m->spec->shots, a->memory, &nearest, e)) return false;
    if (m->spec->shots > 0) {
        m->shots.nearest = nearest;
        if (!shots_pick(&m->shots, a->rows, m->spec, a->spec->seed, a->memory, e)) return false;
        m->n_set = m->shots.n_set;
    }
    m->set_turn = arena_take_zero(a->memory, (size_t)m->n_set, sizeof *m->set_turn, e);
    if (!m->set_turn || m->spec->shots == 0) return m->set_turn != NULL;
    for (int32_t s = 1; s < m->n_set; s++) m->set_turn[s] = -1;
    for (int32_t turn = 0; turn < m->shots.n_turn; turn++) {
        for (int32_t i = 0; i < n_row; i++)
            m->set_turn[m->shots.set[(size_t)turn * (size_t)n_row + (size_t)i]] = turn;
    }
    return true;
}

/* The first way's answers, for the report. */
static bool list_answers(const arms *a, arm *m, err *e)
{
    arms_answers all = {.memory = a->memory};
    if (!arms_list_answers(a, (int32_t)(m - a->arm), 0, 0, &all, e)) return false;
    m->n_answer = all.n;
    m->answer = all.text;
    m->answer_class = all.class;
    return true;
}

static bool make_arm(const arms *a, arm *m, const spec_arm *s, err *e)
{
    *m = (arm){.spec = s, .model = &a->model[a->model_of[s - a->spec->arms]]};
    if (!parse_check(a->spec, s, e) || !make_ways(a, m, e) || !pick_shots(a, m, e)) return false;
    if (s->ask.think.samples > 0)
        m->bridge =
            arms_join(a->memory, STR("\n\n"), s->ask.part[SPEC_PART_BRIDGE].text, STR(""), e);
    m->n_form = m->n_way * m->n_set;
    m->form = arena_take_zero(a->memory, (size_t)m->n_form, sizeof *m->form, e);
    if (m->form && arms_make_forms(a, m, e) && list_answers(a, m, e)) return true;
    return err_in(e, "arm %.*s", (int)s->name.text.size, s->name.text.data);
}

/* ---- the note budget ---- */

/* Tokens of the longest answer and of the longest list of options over all rows. */
static bool find_longest_parts(const arms *a, const arm *m, int64_t *answer, int64_t *list, err *e)
{
    const tokenizer *t = m->model->rules.tokens;
    bool own = a->rows->scored.option_start != NULL;
    int32_t n_row = own ? a->rows->scored.n : 1;
    token_list ids = {0};
    buf slot = buf_up_to(ARMS_TEXT_BYTES_MAX);
    *answer = *list = 0;
    for (int32_t row = 0; row < n_row && e->code == ERR_NONE; row++) {
        for (int32_t w = 0; w < m->n_way && e->code == ERR_NONE; w++) {
            size_t mark = arena_mark(a->memory);
            arms_answers all = {.memory = a->memory};
            arms_list l = {.set = &a->rows->scored, .row = row};
            buf_clear(&slot);
            arms_write_slot_of(a, m, &m->way[w], STR(""), &l, &slot);
            if (arms_count_tokens(t, buf_view(&slot), &ids, e) && ids.n > *list) *list = ids.n;
            bool ok = arms_list_answers(a, (int32_t)(m - a->arm), row, w, &all, e);
            for (int32_t j = 0; ok && j < all.n; j++) {
                if (arms_count_tokens(t, all.text[j], &ids, e) && ids.n > *answer) *answer = ids.n;
            }
            arena_reset(a->memory, mark);
        }
    }
    buf_close(&slot);
    token_list_close(&ids);
    return e->code == ERR_NONE;
}

/* Tokens that are generated before the label, with the words that ask for it. */
static bool count_generated(const arm *m, int64_t *n, err *e)
{
    const spec_ask *ask = &m->spec->ask;
    token_list ids = {0};
    *n = ask->think.samples > 0 ? ask->think.max_tokens : 0;
    if (m->bridge.size && arms_count_tokens(m->model->rules.tokens, m->bridge, &ids, e))
        *n += ids.n;
    token_list_close(&ids);
    return e->code == ERR_NONE;
}

/* Tokens that the longest frame of any arm of a model takes with its longest answer. */
static bool find_longest_frame(const arms *a, const arms_model *of, int32_t *longest, err *e)
{
    token_list ids = {0};
    bool ok = true;
    *longest = 0;
    for (int32_t i = 0; ok && i < a->n_arm; i++) {
        const arm *m = &a->arm[i];
        int64_t answer = 0, list = 0, generated = 0;
        if (m->model != of) continue;
        ok = find_longest_parts(a, m, &answer, &list, e) && count_generated(m, &generated, e);
        for (int32_t j = 0; ok && j < m->n_form; j++) {
            if (!m->form[j].message) continue; /* of no row */
            ids.n = 0;
            ok = prompt_encode(&m->form[j], STR(""), &ids, e);
            int64_t all = ids.n + answer + list + generated;
            if (ok && all > *longest) *longest = (int32_t)all;
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

/* Every row's text in overlapping pieces. */
static bool cut_rows(arms *a, const int32_t *budget, err *e)
{
    const row_set *scored = &a->rows->scored;
    buf pieces = buf_up_to((size_t)1 << 34);
    a->piece = arena_take(a->memory, (size_t)scored->n + 1, sizeof *a->piece, e);
    for (int32_t i = 0; a->piece && i < scored->n && e->code == ERR_NONE; i++) {
        a->piece[i] = (int32_t)(pieces.size / sizeof(str));
        if (!arms_cut_chunks(a, str_trim_unicode(scored->text[i]), budget, &pieces, e))
            err_in(e, "row '%.*s'", (int)scored->id[i].size, scored->id[i].data);
    }
    size_t n = pieces.size / sizeof(str);
    if (e->code == ERR_NONE) a->chunk = arena_take(a->memory, n, sizeof *a->chunk, e);
    if (a->chunk) {
        memcpy(a->chunk, pieces.data, n * sizeof *a->chunk);
        a->piece[scored->n] = (int32_t)n;
        for (int32_t i = 0; i < scored->n; i++) a->text[i] = a->chunk[a->piece[i]];
    }
    buf_close(&pieces);
    return e->code == ERR_NONE;
}

static bool fit_rows(arms *a, err *e)
{
    const row_set *scored = &a->rows->scored;
    a->text = arena_take(a->memory, (size_t)scored->n, sizeof *a->text, e);
    a->n_cut = arena_take_zero(a->memory, (size_t)scored->n, sizeof *a->n_cut, e);
    int32_t *budget = arena_take(a->memory, (size_t)a->n_model, sizeof *budget, e);
    if (!a->text || !a->n_cut || !budget) return false;
    for (int32_t i = 0; i < a->n_model; i++) budget[i] = a->model[i].note_tokens;
    if (a->spec->cut == SPEC_CUT_CHUNKS) return cut_rows(a, budget, e);
    int32_t first = -1;
    for (int32_t i = 0; i < scored->n; i++) {
        str text = str_trim_unicode(scored->text[i]);
        arms_fit fit;
        if (!arms_fit_text(a, text, budget, &fit, e)) {
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
    m->note_tokens = m->max_tokens - frame - ARMS_SLACK_TOKENS;
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
