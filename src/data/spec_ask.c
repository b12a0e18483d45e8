/* spec_ask: the keys that say how an arm asks; see spec_ask.h. Parts of a prompt are rows of a
 * table: a new method is a new row, with its words in both languages. */
#include "data/spec_in.h"

#include <assert.h>
#include <stddef.h>

typedef struct part_row {
    const char *name;
    bool thinks;                           /* asks for text before the label */
    const char *text[SPEC_LANGUAGE_COUNT]; /* our own words; NULL: the user's are needed */
} part_row;

static const part_row part_rows[SPEC_PART_COUNT] = {
    [SPEC_PART_ROLE] = {"role",
                        false,
                        {"You are an experienced clinician who reads medical texts with care.",
                         "당신은 의료 기록을 꼼꼼히 읽는 숙련된 임상의입니다."}},
    [SPEC_PART_DEFINITIONS] = {"definitions", false, {NULL, NULL}},
    [SPEC_PART_COT] = {"cot",
                       true,
                       {"Think step by step before you answer.",
                        "답하기 전에 단계별로 생각하십시오."}},
    [SPEC_PART_SELF_CONSISTENCY] = {"self-consistency",
                                    true,
                                    {"Think step by step before you answer.",
                                     "답하기 전에 단계별로 생각하십시오."}},
    [SPEC_PART_META] = {"meta",
                        false,
                        {"INPUT: T, the medical text below\nTASK: {question}\nOUTPUT ∈ {set}",
                         "INPUT: T, 아래의 의료 기록\nTASK: {question}\nOUTPUT ∈ {set}"}},
    [SPEC_PART_REFINED] = {"refined", false, {"", ""}},
    [SPEC_PART_BRIDGE] = {"bridge", false, {"So the answer is", "따라서 답은"}},
    [SPEC_PART_LETTER] = {"letter",
                          false,
                          {"Answer with the letter of the right option.",
                           "맞는 보기의 글자로 답하십시오."}},
    [SPEC_PART_OPTION] = {"option",
                          false,
                          {"Answer with the words of the right option.",
                           "맞는 보기의 내용을 그대로 답하십시오."}},
    [SPEC_PART_ANSWER] = {"answer", false, {"Answer:", "답:"}},
    [SPEC_PART_OR] = {"or", false, {"or", "또는"}},
};

static const char *const framing_choices[] = {"labels", "options", "text", NULL};
static const char *const by_choices[] = {"letter", "text", "both", NULL};
static const char *const position_choices[] = {"as-is", "cyclic", "prior", NULL};
static const char *const calibrate_choices[] = {"none", "contextual", "domain", "batch", NULL};
static const char *const pick_choices[] = {"balanced", "random", "nearest", "ids", NULL};
static const char *const language_choices[] = {"en", "ko", NULL};
static const char *const order_choices[] = {"given", "reversed", "both", NULL};
const char *const spec_combine_choices[] = {"mean", "max", "noisy-or", NULL};
static const char *const parse_choices[] = {"exact", "letter", "first",   "last",
                                            "after", "json",   "pattern", NULL};

const char *spec_part_name(spec_part p)
{
    assert(p < SPEC_PART_COUNT);
    return part_rows[p].name;
}

const char *spec_part_words(spec_part p, spec_language l)
{
    assert(p < SPEC_PART_COUNT && l < SPEC_LANGUAGE_COUNT);
    return part_rows[p].text[l];
}

bool spec_thinks(const spec_ask *a)
{
    bool thinks = a->framing == SPEC_TEXT || a->think.line > 0;
    for (int p = 0; p < SPEC_METHODS; p++)
        thinks = thinks || ((a->methods >> p & 1) && part_rows[p].thinks);
    return thinks;
}

const char *spec_framing_name(spec_framing f) { return framing_choices[f]; }
const char *spec_by_name(spec_by b) { return by_choices[b]; }
const char *spec_position_name(spec_position p) { return position_choices[p]; }
const char *spec_calibrate_name(spec_calibrate c) { return calibrate_choices[c]; }
const char *spec_pick_name(spec_pick p) { return pick_choices[p]; }
const char *spec_language_name(spec_language l) { return language_choices[l]; }
const char *spec_combine_name(spec_combine c) { return spec_combine_choices[c]; }
const char *spec_parse_name(spec_parse_kind k) { return parse_choices[k]; }

/* --- values --- */

static bool set_real(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    double x = 0;
    if (!spec_need_text(r, key, value)) return false;
    if (!str_to_double(str_trim(value->text), &x) || !(x >= (double)key->least) ||
        !(x <= (double)key->most))
        return spec_fail(r->s, value->line, r->e, "'%s' (%s) is a number from %lld to %lld",
                         key->name, key->what, (long long)key->least, (long long)key->most);
    *(double *)(void *)((char *)base + key->offset) = x;
    return true;
}

/* Names of parts; `none` and the empty list are no part. */
static bool set_method(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_ask *ask = (spec_ask *)(void *)((char *)base + key->offset);
    const char *names[SPEC_METHODS];
    for (int p = 0; p < SPEC_METHODS; p++) names[p] = part_rows[p].name;
    ask->methods = 0;
    ask->method = (spec_list){0};
    if (value->kind == YAML_TEXT && str_is(str_trim(value->text), "none")) return true;
    if (!spec_read_list(r, key, value, &ask->method)) return false;
    for (int32_t i = 0; i < ask->method.n; i++) {
        spec_text one = ask->method.item[i];
        int p = 0;
        while (p < SPEC_METHODS && !str_is(one.text, names[p])) p++;
        if (p < SPEC_METHODS) {
            ask->methods |= 1u << p;
            continue;
        }
        str shown = encoding_cut(one.text, 60);
        const char *nearest = str_nearest(one.text, names, SPEC_METHODS);
        return spec_fail(r->s, one.line, r->e,
                         "'%.*s' is no method: the methods are role, definitions, cot, "
                         "self-consistency, meta and refined%s%s%s",
                         (int)shown.size, shown.data, nearest ? "; did you mean '" : "",
                         nearest ? nearest : "", nearest ? "'?" : "");
    }
    return true;
}

/* class: meaning, one a line; or one text. */
static bool set_definitions(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    if (value->kind != YAML_MAP) return spec_set_text(r, key, value, base);
    buf out = buf_up_to(SPEC_BYTES_MAX);
    for (const yaml_item *k = spec_child(r, value->first); k && r->e->code == ERR_NONE;) {
        const yaml_item *v = spec_child(r, k->next);
        if (!spec_need_text(r, key, v)) break;
        spec_text name = spec_keep_text(r, k), meaning = spec_keep_text(r, v);
        if (r->e->code) break;
        if (out.size) buf_add_char(&out, '\n');
        buf_add_text(&out, "- ");
        buf_add_str(&out, str_trim(name.text));
        buf_add_text(&out, ": ");
        buf_add_str(&out, str_trim(meaning.text));
        k = spec_child(r, v->next);
    }
    spec_text *to = (spec_text *)(void *)((char *)base + key->offset);
    to->line = value->line;
    if (buf_check(&out, "the definitions", r->e)) to->text = str_keep(r->a, buf_view(&out), r->e);
    buf_close(&out);
    return r->e->code == ERR_NONE;
}

static bool set_parts(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_key rows[SPEC_PART_COUNT];
    size_t n = 0;
    for (int p = 0; p < SPEC_PART_COUNT; p++) {
        if (p == SPEC_PART_REFINED) continue;
        rows[n++] = (spec_key){part_rows[p].name, "words of a part of the prompt",
                               p == SPEC_PART_DEFINITIONS ? set_definitions : spec_set_text,
                               .offset = offsetof(spec_ask, part) + (size_t)p * sizeof(spec_text)};
    }
    if (value->kind != YAML_MAP)
        return spec_fail(r->s, value->line, r->e,
                         "'parts' (%s) is a map of parts to texts, such as {role: You are ..}",
                         key->what);
    return spec_read_map(r, "parts", value, (spec_keys){.key = rows, .n = n},
                         (char *)base + key->offset);
}

/* --- questions --- */

static bool read_question(spec_reader *r, const spec_key *key, const yaml_item *value,
                          spec_question *q)
{
    *q = (spec_question){.text = {.line = value->line}};
    if (value->kind == YAML_TEXT) {
        if (!spec_need_text(r, key, value)) return false;
        q->text = spec_keep_text(r, value);
        return r->e->code == ERR_NONE;
    }
    static const spec_key question_keys[] = {
        {"version", "a file of prompts/", spec_set_name,
         .offset = offsetof(spec_question, version)},
        {"en", "the question in English", spec_set_text,
         .offset = offsetof(spec_question, by_language[SPEC_ENGLISH])},
        {"ko", "the question in Korean", spec_set_text,
         .offset = offsetof(spec_question, by_language[SPEC_KOREAN])},
    };
    static const spec_keys place = {.key = question_keys, .n = countof(question_keys)};
    if (value->kind != YAML_MAP)
        return spec_fail(r->s, value->line, r->e,
                         "'%s' (%s) is one text, {version: q2}, or {en: .., ko: ..}", key->name,
                         key->what);
    if (!spec_read_map(r, "question", value, place, q)) return false;
    bool spoken = q->by_language[0].text.data || q->by_language[1].text.data;
    if (spoken == (q->version.text.data != NULL))
        return spec_fail(r->s, value->line, r->e,
                         "'%s' names a version, or gives a text by language, not %s", key->name,
                         spoken ? "both" : "nothing");
    return true;
}

static bool take_questions(spec_reader *r, spec_ask *ask, int32_t n)
{
    ask->n_question = 0;
    ask->question = arena_take_zero(r->a, (size_t)n, sizeof *ask->question, r->e);
    return ask->question != NULL;
}

static bool set_question(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_ask *ask = (spec_ask *)(void *)((char *)base + key->offset);
    if (!take_questions(r, ask, 1) || !read_question(r, key, value, ask->question)) return false;
    ask->n_question = 1;
    return true;
}

static bool set_questions(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_ask *ask = base;
    if (value->kind != YAML_LIST || value->n < 1 || value->n > SPEC_WORDINGS_MAX)
        return spec_fail(r->s, value->line, r->e, "'%s' (%s) is a list of 1 to %d questions",
                         key->name, key->what, SPEC_WORDINGS_MAX);
    if (!take_questions(r, ask, value->n)) return false;
    for (const yaml_item *q = spec_child(r, value->first); q; q = spec_child(r, q->next)) {
        if (!read_question(r, key, q, &ask->question[ask->n_question])) return false;
        ask->n_question++;
    }
    return true;
}

/* Sets of label words: each a map of all classes. */
static bool set_words(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_ask *ask = base;
    if (value->kind != YAML_LIST || value->n < 1 || value->n > SPEC_WORDINGS_MAX)
        return spec_fail(r->s, value->line, r->e,
                         "'%s' (%s) is a list of 1 to %d maps of classes to words", key->name,
                         key->what, SPEC_WORDINGS_MAX);
    ask->words = arena_take_zero(r->a, (size_t)value->n, sizeof *ask->words, r->e);
    if (!ask->words) return false;
    ask->n_words = 0;
    for (const yaml_item *w = spec_child(r, value->first); w; w = spec_child(r, w->next)) {
        if (!spec_read_words(r, key, w, &ask->words[ask->n_words])) return false;
        ask->n_words++;
    }
    return true;
}

static bool set_wordings(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    static const spec_key wording_keys[] = {
        {"questions", "paraphrases of the question", set_questions, .offset = 0},
        {"labels", "sets of label words", set_words, .offset = 0, .least = 1,
         .most = SPEC_CLASSES_MAX},
        {"label_order", "in which the labels are named", spec_set_choice,
         .offset = offsetof(spec_ask, label_order), .choices = order_choices},
    };
    static const spec_keys place = {.key = wording_keys, .n = countof(wording_keys)};
    spec_ask *ask = (spec_ask *)(void *)((char *)base + key->offset);
    ask->line_wordings = value->line;
    if (value->kind != YAML_MAP)
        return spec_fail(r->s, value->line, r->e,
                         "'wordings' (%s) is a map of questions, labels and label_order",
                         key->what);
    return spec_read_map(r, "wordings", value, place, ask);
}

/* --- examples, thinking, parsing --- */

static bool set_examples(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    static const spec_key example_keys[] = {
        {"n", "the number of examples", spec_set_count, .offset = offsetof(spec_arm, shots),
         .most = SPEC_SHOTS_MAX},
        {"pick", "how examples are chosen", spec_set_choice, .offset = offsetof(spec_arm, ask.pick),
         .choices = pick_choices},
        {"ids", "the rows that serve as examples", spec_set_list,
         .offset = offsetof(spec_arm, ask.example_ids), .least = 1, .most = SPEC_SHOTS_MAX},
        {"draws", "the number of draws", spec_set_count, .offset = offsetof(spec_arm, ask.draws),
         .least = 1, .most = SPEC_WAYS_MAX},
        {"orders", "the number of orders of each draw", spec_set_count,
         .offset = offsetof(spec_arm, ask.orders), .least = 1, .most = SPEC_WAYS_MAX},
        {"seed", "of the draws", spec_set_seed, .offset = offsetof(spec_arm, seed),
         .most = INT64_MAX},
    };
    static const spec_keys place = {.key = example_keys, .n = countof(example_keys)};
    spec_arm *arm = (spec_arm *)(void *)((char *)base + key->offset);
    arm->ask.line_examples = value->line;
    if (value->kind == YAML_TEXT) { /* a number, as `shots` */
        spec_key n = example_keys[0];
        return spec_set_count(r, &n, value, arm);
    }
    if (value->kind != YAML_MAP)
        return spec_fail(r->s, value->line, r->e,
                         "'examples' (%s) is a number, or a map such as {n: 3, pick: balanced}",
                         key->what);
    arm->shots = 0;
    if (!spec_read_map(r, "examples", value, place, arm)) return false;
    if (arm->ask.example_ids.n) arm->ask.pick = SPEC_IDS;
    if (arm->ask.pick == SPEC_IDS && arm->shots == 0) arm->shots = arm->ask.example_ids.n;
    if (arm->ask.pick == SPEC_IDS && arm->shots != arm->ask.example_ids.n)
        return spec_fail(r->s, value->line, r->e,
                         "'examples' asks for %d rows, and 'ids' names %d; leave out 'n'",
                         arm->shots, arm->ask.example_ids.n);
    if (arm->shots > 0) return true;
    return spec_fail(r->s, value->line, r->e, "'examples' lacks the key 'n' (how many)");
}

static bool set_think(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    static const spec_key think_keys[] = {
        {"samples", "texts a row", spec_set_count, .offset = offsetof(spec_think, samples),
         .least = 1, .most = SPEC_SAMPLES_MAX},
        {"max_tokens", "the longest text", spec_set_count,
         .offset = offsetof(spec_think, max_tokens), .least = 1, .most = 1 << 16},
        {"temperature", "of the draw, 0: the likeliest token", set_real,
         .offset = offsetof(spec_think, temperature), .most = 100},
        {"top_k", "the likeliest tokens, 0: all", spec_set_count,
         .offset = offsetof(spec_think, top_k), .most = 1 << 20},
        {"top_p", "the likeliest share", set_real, .offset = offsetof(spec_think, top_p),
         .most = 1},
        {"min_p", "the least share of the likeliest", set_real,
         .offset = offsetof(spec_think, min_p), .most = 1},
        {"repetition_penalty", "on tokens seen before", set_real,
         .offset = offsetof(spec_think, repetition_penalty), .most = 100},
        {"stop", "texts that end it", spec_set_list, .offset = offsetof(spec_think, stop),
         .least = 1, .most = 16},
    };
    static const spec_keys place = {.key = think_keys, .n = countof(think_keys)};
    spec_think *think = (spec_think *)(void *)((char *)base + key->offset);
    think->line = value->line;
    if (value->kind != YAML_MAP)
        return spec_fail(r->s, value->line, r->e,
                         "'think' (%s) is a map such as {samples: 5, temperature: 0.7}", key->what);
    return spec_read_map(r, "think", value, place, think);
}

static bool read_rule(spec_reader *r, const spec_key *key, const yaml_item *value, spec_rule *p)
{
    const yaml_item *name = value->kind == YAML_MAP ? spec_child(r, value->first) : value;
    const yaml_item *text = value->kind == YAML_MAP ? spec_child(r, name->next) : NULL;
    if (value->kind == YAML_LIST || value->n > 1 || name->kind != YAML_TEXT)
        return spec_fail(r->s, value->line, r->e,
                         "a rule of 'parse' is a word such as first, or one pair such as "
                         "{after: \"Answer:\"}");
    int kind = 0;
    spec_key choice = {key->name, key->what, .choices = parse_choices};
    if (!spec_set_choice(r, &choice, name, &kind)) return false;
    p->kind = (spec_parse_kind)kind;
    bool wants = p->kind >= SPEC_PARSE_AFTER;
    if (wants != (text != NULL))
        return spec_fail(r->s, value->line, r->e,
                         wants ? "the rule '%s' of 'parse' needs its text: {%s: ..}"
                               : "the rule '%s' of 'parse' takes no text: write %s alone",
                         parse_choices[kind], parse_choices[kind]);
    if (!wants) return true;
    spec_key own = {.name = parse_choices[kind], .what = "what a rule of 'parse' looks for"};
    if (!spec_need_text(r, &own, text)) return false;
    p->text = spec_keep_text(r, text);
    return r->e->code == ERR_NONE;
}

static bool set_parse(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_think *think = (spec_think *)(void *)((char *)base + key->offset);
    bool list = value->kind == YAML_LIST;
    int32_t n = list ? value->n : 1;
    if (n < 1 || n > SPEC_PARSE_MAX)
        return spec_fail(r->s, value->line, r->e, "'parse' (%s) is a list of 1 to %d rules",
                         key->what, SPEC_PARSE_MAX);
    think->parse = arena_take_zero(r->a, (size_t)n, sizeof *think->parse, r->e);
    if (!think->parse) return false;
    think->n_parse = 0;
    for (const yaml_item *v = list ? spec_child(r, value->first) : value; v;
         v = list ? spec_child(r, v->next) : NULL) {
        if (!read_rule(r, key, v, &think->parse[think->n_parse])) return false;
        think->n_parse++;
    }
    return true;
}

/* --- the keys: of an arm, and of the study for all its arms --- */

static const spec_key ask_keys[] = {
    {"question", "what the model is asked", set_question, .offset = offsetof(spec_arm, ask)},
    {"system", "the role text", spec_set_text, .offset = offsetof(spec_arm, system)},
    {"framing", "how the question is put", spec_set_choice,
     .offset = offsetof(spec_arm, ask.framing), .choices = framing_choices},
    {"method", "parts of the prompt", set_method, .offset = offsetof(spec_arm, ask), .least = 0,
     .most = SPEC_METHODS},
    {"parts", "words of the parts", set_parts, .offset = offsetof(spec_arm, ask)},
    {"language", "of our own words", spec_set_choice, .offset = offsetof(spec_arm, ask.language),
     .choices = language_choices},
    {"score", "by what an option is scored", spec_set_choice, .offset = offsetof(spec_arm, ask.by),
     .choices = by_choices},
    {"position", "against the bias of places", spec_set_choice,
     .offset = offsetof(spec_arm, ask.position), .choices = position_choices},
    {"calibrate", "of the labels", spec_set_choice, .offset = offsetof(spec_arm, ask.calibrate),
     .choices = calibrate_choices},
    {"wordings", "ways of putting it that are averaged", set_wordings,
     .offset = offsetof(spec_arm, ask)},
    {"shots", "the number of examples", spec_set_count, .offset = offsetof(spec_arm, shots),
     .most = SPEC_SHOTS_MAX},
    {"examples", "rows of the training part that are shown", set_examples, .offset = 0},
    {"think", "text before the label", set_think, .offset = offsetof(spec_arm, ask.think)},
    {"constrain", "the form of a generated text", spec_set_constrain,
     .offset = offsetof(spec_arm, ask.think.form)},
    {"parse", "how an answer is found in a text", set_parse,
     .offset = offsetof(spec_arm, ask.think)},
};
const spec_keys spec_ask_place = {.key = ask_keys, .n = countof(ask_keys)};
