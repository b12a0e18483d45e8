/* spec_arms: the arms of a study file; see spec.h and spec_ask.h. An arm begins as a copy of what
 * the study says for all arms; then its own keys are read over it; at the end it is made complete:
 * wordings with their texts, parts with their words, limits of what goes together. */
#include "data/prompts.h"
#include "data/spec_in.h"

#include <ctype.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

enum { COT_TOKENS = 256, TEXT_TOKENS = 128, CONSISTENCY_SAMPLES = 5 };

static const double consistency_temperature = 0.7;

bool spec_read_words(spec_reader *r, const spec_key *key, const yaml_item *value, spec_class **to)
{
    int32_t n = 0;
    spec_class *own = NULL;
    spec_key classes = *key;
    classes.least = 1;
    classes.most = SPEC_CLASSES_MAX;
    if (!spec_read_classes(r, &classes, value, &n, &own) ||
        !spec_check_surfaces(r, key->name, own, n))
        return false;
    *to = arena_take_zero(r->a, (size_t)r->s->n_class + 1, sizeof(spec_class), r->e);
    if (!*to) return false;
    for (int32_t i = 0; i < n; i++) {
        int32_t c = spec_find_class(r->s, own[i].name.text);
        if (c < 0) return spec_fail_class(r, key->name, own[i].name);
        (*to)[c] = own[i];
    }
    return n == r->s->n_class ||
           spec_fail(r->s, value->line, r->e, "an arm's '%s' gives answers for all %d classes",
                     key->name, r->s->n_class);
}

/* An arm's own answers: the study's classes, in the study's order, all of them. */
static bool set_arm_classes(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    return spec_read_words(r, key, value, &((spec_arm *)base)->classes);
}

/* A model or an adapter of the arm's own. */
static bool set_arm_path(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_path *to = (spec_path *)(void *)((char *)base + key->offset);
    to->written = value->text;
    return spec_keep_path(r, key, value, &to->file);
}

static const spec_key arm_keys[] = {
    {"name", "the arm's name", spec_set_name, .offset = offsetof(spec_arm, name), .required = true},
    {"classes", "the answers by class", set_arm_classes, .offset = 0, .least = 1,
     .most = SPEC_CLASSES_MAX},
    {"seed", "of the choice of examples", spec_set_seed, .offset = offsetof(spec_arm, seed),
     .most = INT64_MAX},
    {"lora", "how an adapter is trained", spec_set_lora, .offset = 0},
    {"model", "the arm's own model", set_arm_path, .offset = offsetof(spec_arm, model)},
    {"adapter", "the folder of a LoRA adapter", set_arm_path,
     .offset = offsetof(spec_arm, adapter)},
};
const spec_keys spec_arm_place = {.key = arm_keys,
                                  .n = countof(arm_keys),
                                  .also = &spec_ask_place,
                                  .also_before = 1};

/* --- making an arm complete --- */

static bool fail_arm(spec_reader *r, const spec_arm *arm, int32_t line, const char *format, ...)
    PRINTF(4, 5);
static bool fail_arm(spec_reader *r, const spec_arm *arm, int32_t line, const char *format, ...)
{
    char text[sizeof r->e->text];
    va_list rest;
    va_start(rest, format);
    vsnprintf(text, sizeof text, format, rest);
    va_end(rest);
    return spec_fail(r->s, line ? line : arm->line, r->e, "arm '%s': %s", arm->name.text.data,
                     text);
}

static bool read_versions(spec_reader *r)
{
    if (r->versions) return true;
    const char *folder = prompts_folder(r->s->folder, r->a, r->e);
    r->versions = arena_take_zero(r->a, 1, sizeof *r->versions, r->e);
    return folder && r->versions && prompts_read(r->versions, folder, r->a, r->e);
}

static bool find_version(spec_reader *r, const spec_arm *arm, spec_question *q)
{
    if (!read_versions(r)) return false;
    const prompt_version *v = prompts_find(r->versions, q->version.text);
    if (!v)
        return fail_arm(r, arm, q->version.line,
                        "the question's version '%s' is not in %s; `caseload prompts` lists them",
                        q->version.text.data, r->versions->folder);
    q->text.text = v->question;
    return true;
}

/* The newest version in place of the question. */
static bool take_refined(spec_reader *r, spec_arm *arm)
{
    if (!read_versions(r)) return false;
    const prompt_version *v = prompts_newest(r->versions);
    if (!v)
        return fail_arm(r, arm, arm->ask.method.line,
                        "the method 'refined' needs a version of the question in %s; `caseload "
                        "refine` makes some",
                        r->versions->folder);
    arm->ask.question = arena_take_zero(r->a, 1, sizeof *arm->ask.question, r->e);
    if (!arm->ask.question) return false;
    arm->ask.n_question = 1;
    arm->ask.question[0] =
        (spec_question){.text = {v->question, arm->line}, .version = {v->name, arm->line}};
    return true;
}

/* Our own words are in the question's language unless the study says another. */
static void find_language(spec_ask *ask)
{
    if (ask->language != SPEC_LANGUAGE_COUNT) return;
    str text = ask->n_question ? ask->question[0].text.text : STR("");
    ask->language = SPEC_ENGLISH;
    for (size_t i = 0; i + 2 < text.size; i++) { /* Hangul syllables: U+AC00 to U+D7A3 */
        unsigned char lead = (unsigned char)text.data[i];
        if (lead >= 0xEA && lead <= 0xED) ask->language = SPEC_KOREAN;
    }
}

/* A misspelt place would be asked as it stands, and the text come after the question. */
static bool check_words(spec_reader *r, const spec_question *q)
{
    static const char *const words[] = {"text", "options", "labels"};
    const str text = q->text.text;
    for (size_t i = 0; i < text.size; i++) {
        size_t n = 0;
        if (text.data[i] != '{') continue;
        while (i + n + 1 < text.size && n < 12 && isalpha((unsigned char)text.data[i + n + 1])) n++;
        if (n == 0 || i + n + 1 >= text.size || text.data[i + n + 1] != '}') continue;
        const str word = str_part(text, i + 1, n);
        const char *near = str_nearest(word, words, countof(words));
        char slot[16];
        if (!near || str_equal(word, str_of(near))) continue;
        snprintf(slot, sizeof slot, "{%s}", near);
        if (str_find(text, str_of(slot)) < 0)
            return spec_fail(r->s, q->text.line, r->e, "the question holds {%.*s}; write %s",
                             (int)n, word.data, slot);
    }
    return true;
}

/* Places: {text} at most once, {options} at most once and behind it. */
static bool check_places(spec_reader *r, const spec_arm *arm, const spec_question *q)
{
    static const char *const slots[] = {"{text}", "{options}"};
    int64_t at[2];
    if (!check_words(r, q)) return false;
    for (int i = 0; i < 2; i++) {
        str text = q->text.text, slot = str_of(slots[i]);
        at[i] = str_find(text, slot);
        if (at[i] < 0) continue;
        size_t behind = (size_t)at[i] + slot.size;
        if (str_find(str_part(text, behind, text.size - behind), slot) >= 0)
            return spec_fail(r->s, q->text.line, r->e,
                             "the question of arm '%s' holds %s twice; a text has one place",
                             arm->name.text.data, slots[i]);
    }
    if (at[1] >= 0 && (at[0] < 0 || at[1] < at[0]))
        return fail_arm(r, arm, q->text.line, "{options} stands behind {text} in a question");
    if (at[1] >= 0 && arm->ask.framing != SPEC_OPTIONS)
        return fail_arm(r, arm, q->text.line, "{options} in a question needs `framing: options`");
    return true;
}

static bool finish_questions(spec_reader *r, spec_arm *arm)
{
    spec_ask *ask = &arm->ask;
    if ((ask->methods >> SPEC_PART_REFINED & 1) && !take_refined(r, arm)) return false;
    if (ask->n_question == 0)
        return spec_fail(r->s, arm->line, r->e,
                         "arm '%s' has no 'question', and the study has none for all arms",
                         arm->name.text.data);
    spec_question *own = arena_take(r->a, (size_t)ask->n_question, sizeof *own, r->e);
    if (!own) return false;
    memcpy(own, ask->question, (size_t)ask->n_question * sizeof *own);
    ask->question = own;
    for (int32_t i = 0; i < ask->n_question; i++) {
        if (own[i].version.text.data && !find_version(r, arm, &own[i])) return false;
    }
    find_language(ask);
    for (int32_t i = 0; i < ask->n_question; i++) {
        spec_question *q = &own[i];
        if (!q->text.text.data) q->text = q->by_language[ask->language];
        if (!q->text.text.data)
            return fail_arm(r, arm, own[i].by_language[!ask->language].line,
                            "its question is not given in '%s'", spec_language_name(ask->language));
        if (!check_places(r, arm, q)) return false;
    }
    arm->question = own[0].text;
    return true;
}

static bool is_named(const spec_arm *arm, str slot)
{
    for (int32_t i = 0; i < arm->ask.n_question; i++) {
        if (str_find(arm->ask.question[i].text.text, slot) < 0) return false;
    }
    return true;
}

static bool finish_words(spec_reader *r, spec_arm *arm)
{
    spec_ask *ask = &arm->ask;
    if (ask->n_words == 0) {
        ask->words = arena_take_zero(r->a, 1, sizeof *ask->words, r->e);
        if (!ask->words) return false;
        ask->words[0] = arm->classes;
        ask->n_words = 1;
    } else arm->classes = ask->words[0];
    bool named = ask->framing == SPEC_OPTIONS || (ask->methods >> SPEC_PART_META & 1) ||
                 is_named(arm, STR("{labels}"));
    if (ask->label_order != SPEC_GIVEN && !named)
        return fail_arm(r, arm, ask->line_wordings,
                        "its labels stand nowhere in an order of ours; write {labels} in the "
                        "question, as in 'Answer {labels}.'");
    return true;
}

static bool finish_parts(spec_reader *r, spec_arm *arm)
{
    spec_ask *ask = &arm->ask;
    for (int p = 0; p < SPEC_PART_COUNT; p++) {
        bool used = p >= SPEC_METHODS || (ask->methods >> p & 1);
        if (!used) ask->part[p] = (spec_text){0};
        if (!used || ask->part[p].text.data) continue;
        const char *own = spec_part_words((spec_part)p, ask->language);
        if (!own)
            return fail_arm(r, arm, ask->method.line,
                            "the method '%s' needs your words: `parts: {%s: ..}`",
                            spec_part_name((spec_part)p), spec_part_name((spec_part)p));
        ask->part[p].text = str_of(own);
    }
    str meta = ask->part[SPEC_PART_META].text;
    if (meta.data && str_find(meta, STR("{question}")) < 0)
        return fail_arm(r, arm, ask->part[SPEC_PART_META].line,
                        "the words of 'meta' hold {question}, the place of the question");
    return true;
}

static bool default_rules(spec_reader *r, spec_think *t, bool last)
{
    if (t->n_parse > 0 || !spec_has_labels(r->s)) return true;
    static const spec_parse_kind first[] = {SPEC_PARSE_EXACT, SPEC_PARSE_LETTER, SPEC_PARSE_FIRST};
    static const spec_parse_kind then[] = {SPEC_PARSE_EXACT, SPEC_PARSE_LETTER, SPEC_PARSE_LAST};
    t->parse = arena_take_zero(r->a, countof(first), sizeof *t->parse, r->e);
    if (!t->parse) return false;
    t->n_parse = (int32_t)countof(first);
    for (int32_t i = 0; i < t->n_parse; i++) t->parse[i].kind = last ? then[i] : first[i];
    return true;
}

static bool finish_think(spec_reader *r, spec_arm *arm)
{
    spec_ask *ask = &arm->ask;
    spec_think *t = &ask->think;
    bool many = ask->methods >> SPEC_PART_SELF_CONSISTENCY & 1;
    bool reasons = many || (ask->methods >> SPEC_PART_COT & 1);
    if (!spec_has_labels(r->s) && ask->framing != SPEC_TEXT)
        return fail_arm(r, arm, 0,
                        "without labels only generated texts can be compared; add `framing: text`");
    if (!spec_thinks(ask)) {
        if (t->form.line > 0)
            return fail_arm(r, arm, t->form.line,
                            "'constrain' is for generated text; add `framing: text` or 'cot'");
        if (t->n_parse == 0) return true;
        return fail_arm(r, arm, 0, "'parse' is for generated text; add `framing: text` or 'cot'");
    }
    if (t->samples == 0) t->samples = many ? CONSISTENCY_SAMPLES : 1;
    if (t->max_tokens == 0) t->max_tokens = reasons ? COT_TOKENS : TEXT_TOKENS;
    if (t->temperature < 0) t->temperature = t->samples > 1 ? consistency_temperature : 0;
    if (t->samples > 1 && t->temperature == 0)
        return fail_arm(r, arm, t->line,
                        "with `temperature: 0` all %d samples are the same text; raise it or ask "
                        "for one sample",
                        t->samples);
    if (ask->calibrate == SPEC_CONTEXTUAL || ask->calibrate == SPEC_DOMAIN)
        return fail_arm(r, arm, 0, "'calibrate: %s' has no meaning behind a generated text",
                        spec_calibrate_name(ask->calibrate));
    return default_rules(r, t, reasons);
}

static bool check_examples(spec_reader *r, const spec_arm *arm)
{
    const spec_ask *ask = &arm->ask;
    if (arm->shots > 0 && !r->s->data.split.text.data && !r->s->data.split_file.text.data)
        return spec_fail(r->s, arm->line, r->e,
                         "arm '%s' wants %d examples, but 'data' names no 'split' column to take "
                         "them from (rows whose split is 'train'); without one, write "
                         "'split_file: splits.csv' there and make it with `caseload split`",
                         arm->name.text.data, arm->shots);
    if (arm->shots == 0 && ask->draws * ask->orders > 1)
        return fail_arm(r, arm, ask->line_examples, "draws and orders need examples");
    bool fixed = ask->pick == SPEC_NEAREST || ask->pick == SPEC_IDS;
    if (fixed && ask->draws > 1)
        return fail_arm(r, arm, ask->line_examples,
                        "with `pick: %s` every draw is the same; leave out 'draws'",
                        spec_pick_name(ask->pick));
    int64_t possible = 1;
    for (int32_t i = 2; i <= arm->shots && possible < SPEC_WAYS_MAX; i++) possible *= i;
    if (arm->shots > 0 && ask->orders > possible)
        return fail_arm(r, arm, ask->line_examples, "%d example%s in %lld order%s, not in %d",
                        arm->shots, arm->shots == 1 ? " stands" : "s stand", (long long)possible,
                        possible == 1 ? "" : "s", ask->orders);
    return true;
}

static bool check_options(spec_reader *r, const spec_arm *arm)
{
    const spec_ask *ask = &arm->ask;
    bool lists = ask->framing == SPEC_OPTIONS;
    if (!lists && (ask->position != SPEC_AS_IS || ask->by != SPEC_BY_LETTER))
        return fail_arm(r, arm, 0, "'%s' is for `framing: options`",
                        ask->position != SPEC_AS_IS ? "position" : "score");
    if (ask->position == SPEC_PRIOR && ask->by != SPEC_BY_LETTER)
        return fail_arm(r, arm, 0,
                        "`position: prior` is the prior of letters; it needs `score: "
                        "letter`");
    if (lists && r->s->n_class > SPEC_OPTIONS_MAX)
        return fail_arm(r, arm, 0, "%d options are more than letters (%d)", r->s->n_class,
                        SPEC_OPTIONS_MAX);
    if (ask->position == SPEC_PRIOR && ask->calibrate != SPEC_UNCALIBRATED &&
        ask->calibrate != SPEC_BATCH)
        return fail_arm(r, arm, 0,
                        "'position: prior' and 'calibrate: %s' divide out the same; "
                        "take one",
                        spec_calibrate_name(ask->calibrate));
    return true;
}

int32_t spec_ways(const spec_arm *arm)
{
    const spec_ask *ask = &arm->ask;
    return ask->n_question * ask->n_words * (ask->label_order == SPEC_BOTH_ORDERS ? 2 : 1) *
           (ask->by == SPEC_BY_BOTH ? 2 : 1) * ask->draws * ask->orders;
}

static bool finish_arm(spec_reader *r, spec_arm *arm)
{
    spec_ask *ask = &arm->ask;
    if (!arm->classes) arm->classes = r->s->classes;
    bool ok = finish_questions(r, arm) && finish_words(r, arm) && finish_parts(r, arm) &&
              finish_think(r, arm) && check_examples(r, arm) && check_options(r, arm);
    if (!ok) return false;
    if (arm->system.text.data && (ask->methods >> SPEC_PART_ROLE & 1)) {
        buf both = buf_up_to(4 * SPEC_BYTES_MAX);
        buf_add_str(&both, str_trim_unicode(ask->part[SPEC_PART_ROLE].text));
        buf_add_char(&both, '\n');
        buf_add_str(&both, str_trim_unicode(arm->system.text));
        if (buf_check(&both, "the role text", r->e))
            arm->system.text = str_keep(r->a, buf_view(&both), r->e);
        buf_close(&both);
    } else if (ask->methods >> SPEC_PART_ROLE & 1) {
        arm->system = ask->part[SPEC_PART_ROLE];
        if (!arm->system.line) arm->system.line = arm->line;
    }
    int64_t n = (int64_t)ask->n_question * ask->n_words * ask->draws * ask->orders;
    if (n > SPEC_WAYS_MAX || spec_ways(arm) > SPEC_WAYS_MAX)
        return fail_arm(r, arm, 0, "%lld ways of asking; at most %d are taken",
                        (long long)(n > SPEC_WAYS_MAX ? n : spec_ways(arm)), SPEC_WAYS_MAX);
    return r->e->code == ERR_NONE;
}

/* --- the list --- */

spec_arm *spec_add_arm(spec_reader *r, int32_t line)
{
    spec *s = r->s;
    if (s->n_arm == SPEC_ARMS_MAX) {
        spec_fail(s, line, r->e, "more than %d arms", SPEC_ARMS_MAX);
        return NULL;
    }
    if (s->n_arm == r->arms_room) {
        r->arms_room = r->arms_room ? 2 * r->arms_room : 4;
        spec_arm *more = arena_take_zero(r->a, (size_t)r->arms_room, sizeof *more, r->e);
        if (!more) return NULL;
        if (s->n_arm) memcpy(more, s->arms, (size_t)s->n_arm * sizeof *more);
        s->arms = more;
    }
    spec_arm *arm = &s->arms[s->n_arm];
    *arm = s->all;
    arm->line = line;
    if (arm->seed == 0) arm->seed = s->seed; /* `examples: {seed: ..}` for all arms */
    return arm;
}

bool spec_keep_arm(spec_reader *r)
{
    spec *s = r->s;
    const spec_arm *arm = &s->arms[s->n_arm];
    for (int32_t k = 0; k < s->n_arm; k++) {
        if (str_equal(s->arms[k].name.text, arm->name.text))
            return spec_fail(s, arm->name.line, r->e, "two arms are called '%s'",
                             arm->name.text.data);
    }
    s->n_arm++;
    return true;
}

bool spec_set_arms(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec *s = base;
    if (value->kind != YAML_LIST || value->n == 0 || value->n > SPEC_ARMS_MAX)
        return spec_fail(s, value->line, r->e,
                         "'arms' (%s) is a list of 1 to %d entries that begin with '- name: ..'",
                         key->what, SPEC_ARMS_MAX);
    for (const yaml_item *item = spec_child(r, value->first); item;
         item = spec_child(r, item->next)) {
        if (item->kind != YAML_MAP)
            return spec_fail(s, item->line, r->e, "an arm is a map that begins with '- name: ..'");
        spec_arm *arm = spec_add_arm(r, item->line);
        if (!arm || !spec_read_map(r, "an arm", item, spec_arm_place, arm) || !spec_keep_arm(r))
            return false;
    }
    return true;
}

bool spec_finish_arms(spec_reader *r)
{
    spec *s = r->s;
    if (s->n_arm == 0) {
        spec_arm *arm = spec_add_arm(r, 1);
        if (!arm) return false;
        arm->name.text = STR("zero-shot");
        s->n_arm = 1;
    }
    if (s->all.ask.n_question > 0) s->question = s->all.ask.question[0].text;
    s->system = s->all.system;
    for (int32_t i = 0; i < s->n_arm; i++) {
        if (!finish_arm(r, &s->arms[i])) return false;
    }
    return spec_spread_lora(r);
}

/* --- canonical text: what an arm does not use is not written, so new keys leave old hashes --- */

static void write_think(const spec_think *t, buf *out)
{
    buf_printf(out,
               "  think: %d x %d tokens, temperature %.17g, top_k %d, top_p %.17g, min_p %.17g, "
               "repetition_penalty %.17g\n",
               t->samples, t->max_tokens, t->temperature, t->top_k, t->top_p, t->min_p,
               t->repetition_penalty);
    spec_write_list(out, "  stop", t->stop);
    spec_write_form(&t->form, out);
    for (int32_t i = 0; i < t->n_parse; i++) {
        buf_printf(out, "  parse %s", spec_parse_name(t->parse[i].kind));
        spec_write_text(out, "", t->parse[i].text.text);
    }
}

static void write_ask(const spec *s, const spec_arm *arm, buf *out)
{
    const spec_ask *ask = &arm->ask;
    for (int32_t i = 1; i < ask->n_question; i++)
        spec_write_text(out, "  or question", ask->question[i].text.text);
    for (int32_t i = 1; i < ask->n_words; i++)
        spec_write_classes(out, "  or class", ask->words[i], s->n_class);
    if (ask->label_order) buf_printf(out, "  label_order: %d\n", ask->label_order);
    if (ask->framing || ask->by || ask->position)
        buf_printf(out, "  framing: %s, score %s, position %s\n", spec_framing_name(ask->framing),
                   spec_by_name(ask->by), spec_position_name(ask->position));
    if (ask->calibrate) buf_printf(out, "  calibrate: %s\n", spec_calibrate_name(ask->calibrate));
    if (ask->pick || ask->draws * ask->orders > 1)
        buf_printf(out, "  examples: %s, draws %d, orders %d\n", spec_pick_name(ask->pick),
                   ask->draws, ask->orders);
    spec_write_list(out, "  example", ask->example_ids);
    for (int p = 0; p < SPEC_PART_COUNT; p++) {
        const char *own = spec_part_words((spec_part)p, SPEC_ENGLISH);
        if (!ask->part[p].text.data || (p >= SPEC_METHODS && str_is(ask->part[p].text, own)))
            continue;
        buf_printf(out, "  part %s", spec_part_name((spec_part)p));
        spec_write_text(out, "", ask->part[p].text);
    }
    if (ask->think.samples > 0) write_think(&ask->think, out);
}

void spec_write_arms(const spec *s, buf *out)
{
    for (int32_t i = 0; i < s->n_arm; i++) {
        const spec_arm *arm = &s->arms[i];
        spec_write_text(out, "arm", arm->name.text);
        spec_write_text(out, "  question", arm->question.text);
        spec_write_text(out, "  system", arm->system.text);
        if (arm->classes != s->classes)
            spec_write_classes(out, "  class", arm->classes, s->n_class);
        buf_printf(out, "  shots: %d\n  seed: %llu\n", arm->shots, (unsigned long long)arm->seed);
        spec_write_text(out, "  model", arm->model.written);
        spec_write_text(out, "  adapter", arm->adapter.written);
        write_ask(s, arm, out);
        spec_write_lora(s, arm, out);
    }
}
