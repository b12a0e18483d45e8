/* spec_constrain: see spec_constrain.h. */
#include "data/spec_in.h"

#include <stddef.h>

static const char *const form_choices[] = {"", "choice", "pattern", "schema", NULL};

static bool add_value(spec_reader *r, buf *out, const yaml_item *value, bool texts, int depth);

static bool is_bare(str s)
{
    double number;
    if (str_is(s, "true") || str_is(s, "false") || str_is(s, "null")) return true;
    bool digit = s.size > 0 && ((s.data[0] >= '0' && s.data[0] <= '9') || s.data[0] == '-');
    for (size_t i = 0; i < s.size && digit; i++) digit = strchr("0123456789+-.eE", s.data[i]);
    return digit && str_to_double(s, &number);
}

static void add_text(spec_reader *r, buf *out, const yaml_item *value)
{
    spec_text kept = spec_keep_text(r, value);
    buf_add_char(out, '"');
    buf_add_json(out, kept.text);
    buf_add_char(out, '"');
}

static bool says_string(const spec_reader *r, const yaml_item *map)
{
    for (const yaml_item *k = spec_child(r, map->first); k;) {
        const yaml_item *v = spec_child(r, k->next);
        if (str_is(k->text, "type") && v->kind == YAML_TEXT) return str_is(v->text, "string");
        k = spec_child(r, v->next);
    }
    return false;
}

static bool add_map(spec_reader *r, buf *out, const yaml_item *map, int depth)
{
    bool first = true, string = says_string(r, map);
    buf_add_char(out, '{');
    for (const yaml_item *k = spec_child(r, map->first); k; first = false) {
        const yaml_item *v = spec_child(r, k->next);
        bool texts = string && (str_is(k->text, "enum") || str_is(k->text, "const"));
        if (!first) buf_add_text(out, ", ");
        add_text(r, out, k);
        buf_add_text(out, ": ");
        if (!add_value(r, out, v, texts, depth + 1)) return false;
        k = spec_child(r, v->next);
    }
    buf_add_char(out, '}');
    return true;
}

/* YAML as JSON; the depth of YAML is bounded by its reader. */
static bool add_value(spec_reader *r, buf *out, const yaml_item *value, bool texts, int depth)
{
    if (value->kind == YAML_MAP) return add_map(r, out, value, depth);
    if (value->kind == YAML_TEXT) {
        str bare = str_trim(value->text);
        if (!texts && is_bare(bare)) buf_add_str(out, bare);
        else add_text(r, out, value);
        return r->e->code == ERR_NONE;
    }
    buf_add_char(out, '[');
    for (const yaml_item *v = spec_child(r, value->first); v; v = spec_child(r, v->next)) {
        if (v != spec_child(r, value->first)) buf_add_text(out, ", ");
        if (!add_value(r, out, v, texts, depth + 1)) return false;
    }
    buf_add_char(out, ']');
    return true;
}

static bool read_schema(spec_reader *r, const spec_key *key, const yaml_item *value, spec_form *f)
{
    buf json = buf_up_to(SPEC_BYTES_MAX * 2);
    if (value->kind == YAML_TEXT) {
        if (!spec_need_text(r, key, value)) return false;
        f->text = spec_keep_text(r, value).text;
        return r->e->code == ERR_NONE;
    }
    if (add_value(r, &json, value, false, 0) && buf_check(&json, "a schema", r->e))
        f->text = str_keep(r->a, buf_view(&json), r->e);
    buf_close(&json);
    return r->e->code == ERR_NONE;
}

static bool read_choice(spec_reader *r, const yaml_item *value, spec_form *f)
{
    spec_key own = {.name = "choice", .what = "texts, or labels", .least = 1, .most = 1000};
    if (value->kind == YAML_TEXT && str_is(value->text, "labels")) return true;
    return spec_read_list(r, &own, value, &f->choice);
}

bool spec_set_constrain(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_form *f = (spec_form *)(void *)((char *)base + key->offset);
    int kind = 0;
    if (value->kind != YAML_MAP || value->n != 1)
        return spec_fail(
            r->s, value->line, r->e,
            "'constrain' (%s) is one pair: {choice: [..]}, {choice: labels}, {pattern: "
            "\"..\"} or {schema: {..}}",
            key->what);
    const yaml_item *name = spec_child(r, value->first), *what = spec_child(r, name->next);
    spec_key choice = {"constrain", key->what, .choices = form_choices};
    if (!spec_set_choice(r, &choice, name, &kind)) return false;
    *f = (spec_form){.kind = (spec_form_kind)kind, .line = value->line};
    if (f->kind == SPEC_FORM_CHOICE) return read_choice(r, what, f);
    spec_key own = {.name = form_choices[kind], .what = key->what};
    if (f->kind == SPEC_FORM_SCHEMA) return read_schema(r, &own, what, f);
    if (!spec_need_text(r, &own, what)) return false;
    f->text = spec_keep_text(r, what).text;
    return r->e->code == ERR_NONE;
}

void spec_write_form(const spec_form *f, buf *out)
{
    if (f->kind == SPEC_FORM_ANY) return;
    buf_printf(out, "  constrain %s", form_choices[f->kind]);
    spec_write_text(out, "", f->text);
    spec_write_list(out, "  one of", f->choice);
}
