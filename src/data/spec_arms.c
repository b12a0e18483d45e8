/* spec_arms: the arms of a study file; see spec.h. What an arm does not say is the study's. */
#include "data/spec_in.h"

#include <assert.h>
#include <stddef.h>

/* An arm's own answers: the study's classes, in the study's order, all of them. */
static bool set_arm_classes(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_arm *arm = base;
    int32_t n = 0;
    spec_class *own = NULL;
    if (!spec_read_classes(r, key, value, &n, &own) || !spec_check_surfaces(r, key->name, own, n))
        return false;
    arm->classes = arena_take_zero(r->a, (size_t)r->s->n_class, sizeof(spec_class), r->e);
    if (!arm->classes) return false;
    for (int32_t i = 0; i < n; i++) {
        int32_t c = spec_find_class(r->s, own[i].name.text);
        if (c < 0) return spec_fail_class(r, "classes", own[i].name);
        arm->classes[c] = own[i];
    }
    return n == r->s->n_class ||
           spec_fail(r->s, value->line, r->e, "an arm's 'classes' gives answers for all %d classes",
                     r->s->n_class);
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
    {"question", "what the model is asked", spec_set_text, .offset = offsetof(spec_arm, question)},
    {"system", "the role text", spec_set_text, .offset = offsetof(spec_arm, system)},
    {"classes", "the answers by class", set_arm_classes, .offset = 0, .least = 1,
     .most = SPEC_CLASSES_MAX},
    {"shots", "the number of examples", spec_set_count, .offset = offsetof(spec_arm, shots),
     .most = SPEC_SHOTS_MAX},
    {"seed", "of the choice of examples", spec_set_seed, .offset = offsetof(spec_arm, seed),
     .most = INT64_MAX},
    {"lora", "how an adapter is trained", spec_set_lora, .offset = 0},
    {"model", "the arm's own model", set_arm_path, .offset = offsetof(spec_arm, model)},
    {"adapter", "the folder of a LoRA adapter", set_arm_path,
     .offset = offsetof(spec_arm, adapter)},
};
static const spec_keys arm_place = {arm_keys, countof(arm_keys)};

/* --- arms --- */

static bool finish_arm(spec_reader *r, spec_arm *arm)
{
    const spec *s = r->s;
    if (!arm->question.text.data) arm->question = s->question;
    if (!arm->system.text.data) arm->system = s->system;
    if (!arm->classes) arm->classes = s->classes;
    str slot = STR("{text}"), question = arm->question.text;
    int64_t at = question.data ? str_find(question, slot) + (int64_t)slot.size : 0;
    if (question.data && at >= (int64_t)slot.size &&
        str_find(str_part(question, (size_t)at, question.size - (size_t)at), slot) >= 0)
        return spec_fail(s, arm->question.line, r->e,
                         "the question of arm '%s' holds {text} twice; a text has one place",
                         arm->name.text.data);
    if (question.data) return true;
    return spec_fail(s, arm->line, r->e,
                     "arm '%s' has no 'question', and the study has none for all arms",
                     arm->name.text.data);
}

bool spec_set_arms(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec *s = base;
    if (value->kind != YAML_LIST || value->n == 0 || value->n > SPEC_ARMS_MAX)
        return spec_fail(s, value->line, r->e,
                         "'arms' (%s) is a list of 1 to %d entries that begin with '- name: ..'",
                         key->what, SPEC_ARMS_MAX);
    s->arms = arena_take_zero(r->a, (size_t)value->n, sizeof(spec_arm), r->e);
    if (!s->arms) return false;
    for (const yaml_item *item = spec_child(r, value->first); item;
         item = spec_child(r, item->next)) {
        if (item->kind != YAML_MAP)
            return spec_fail(s, item->line, r->e, "an arm is a map that begins with '- name: ..'");
        spec_arm *arm = &s->arms[s->n_arm];
        *arm = (spec_arm){.line = item->line, .seed = s->seed};
        if (!spec_read_map(r, "an arm", item, arm_place, arm)) return false;
        for (int32_t k = 0; k < s->n_arm; k++) {
            if (str_equal(s->arms[k].name.text, arm->name.text))
                return spec_fail(s, arm->name.line, r->e, "two arms are called '%s'",
                                 arm->name.text.data);
        }
        s->n_arm++;
    }
    return true;
}

bool spec_finish_arms(spec_reader *r)
{
    spec *s = r->s;
    if (s->n_arm == 0) {
        s->arms = arena_take_zero(r->a, 1, sizeof(spec_arm), r->e);
        if (!s->arms) return false;
        s->arms[0] = (spec_arm){.name = {.text = STR("zero-shot")}, .seed = s->seed, .line = 1};
        s->n_arm = 1;
    }
    for (int32_t i = 0; i < s->n_arm; i++) {
        spec_arm *arm = &s->arms[i];
        if (!finish_arm(r, arm)) return false;
        if (arm->shots > 0 && !s->data.split.text.data && !s->data.split_file.text.data)
            return spec_fail(
                s, arm->line, r->e,
                "arm '%s' wants %d examples, but 'data' names no 'split' column to take "
                "them from (rows whose split is 'train')",
                arm->name.text.data, arm->shots);
    }
    return spec_spread_lora(r);
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
        spec_write_lora(s, arm, out);
    }
}
