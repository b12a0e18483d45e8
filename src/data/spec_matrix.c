/* spec_matrix: an arm of every combination of values.
 *
 *   matrix: {framing: [labels, options], method: [[], [role]], shots: [0, 3], only: [..],
 *            without: [..]}
 *
 * Each key but `only` and `without` is a key of an arm with a list of values, each one that the key
 * takes; the first key turns slowest. A value has a short name (`options`, `role`, `3-shot`); an
 * arm's name joins those of the keys that have several values. `without` lists combinations that
 * are left out, `only` those that are kept, as maps of keys to values or lists of values. */
#include "data/spec_in.h"

#include <assert.h>
#include <stdio.h>

enum { AXES_MAX = 16, VALUES_MAX = 256 };

typedef struct axis {
    const spec_key *key;
    size_t offset; /* of the key's place in an arm */
    const yaml_item *name;
    int32_t n;
    const yaml_item *value[VALUES_MAX];
    str piece[VALUES_MAX]; /* of the arm's name */
} axis;

typedef struct matrix {
    spec_reader *r;
    int32_t n_axis, line;
    axis *axis; /* [AXES_MAX] */
    const yaml_item *only, *without;
} matrix;

/* --- short names --- */

static void add_word(buf *out, str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '-';
        buf_add_char(out, ok ? c : '-');
    }
}

static str last_of_path(str text)
{
    for (size_t i = text.size; i > 0; i--) {
        if (text.data[i - 1] == '/') return str_part(text, i, text.size - i);
    }
    return text;
}

/* A value's name: its words where it is short; else its key and number. */
static str name_value(matrix *m, const axis *x, const yaml_item *value, int32_t number)
{
    buf out = buf_up_to(4096);
    str key = str_of(x->key->name), text = str_trim(value->text);
    bool count = str_is(key, "shots") || str_is(key, "examples");
    if (value->kind == YAML_TEXT && count) {
        if (str_is(text, "0")) buf_add_text(&out, "zero");
        else add_word(&out, text);
        buf_add_text(&out, "-shot");
    } else if (value->kind == YAML_TEXT && str_is(key, "model")) {
        str file = last_of_path(text);
        if (str_ends(file, ".gguf")) file.size -= 5;
        add_word(&out, file);
    } else if (value->kind == YAML_TEXT && text.size <= 24 && !str_is(key, "question") &&
               !str_is(key, "system")) {
        bool none = str_is(text, "none");
        if (none) buf_printf(&out, "no-");
        add_word(&out, none ? key : text);
    } else if (value->kind == YAML_LIST && value->n == 0) {
        buf_add_text(&out, "plain");
    } else if (value->kind == YAML_LIST && str_is(key, "method")) {
        for (const yaml_item *v = spec_child(m->r, value->first); v;
             v = spec_child(m->r, v->next)) {
            if (out.size) buf_add_char(&out, '-');
            add_word(&out, v->text);
        }
    } else if (value->kind == YAML_MAP && str_is(key, "question") && value->n == 1 &&
               spec_child(m->r, value->first)->text.size <= 24 &&
               str_is(spec_child(m->r, value->first)->text, "version")) {
        add_word(&out, str_trim(spec_child(m->r, spec_child(m->r, value->first)->next)->text));
    } else {
        add_word(&out, key);
        buf_printf(&out, "-%d", number);
    }
    str kept = buf_check(&out, "an arm's name", m->r->e)
                   ? str_keep(m->r->a, buf_view(&out), m->r->e)
                   : STR("");
    buf_close(&out);
    return kept;
}

/* --- reading the axes --- */

/* The key of an arm, or of what an arm takes too. */
static bool find_key(matrix *m, axis *x)
{
    const spec_keys *places[] = {&spec_arm_place, spec_arm_place.also};
    const char *names[SPEC_KEYS_MAX];
    size_t n = 0;
    for (size_t p = 0; p < countof(places); p++) {
        for (size_t i = 0; i < places[p]->n; i++) {
            const spec_key *key = &places[p]->key[i];
            if (!strcmp(key->name, "name")) continue;
            names[n++] = key->name;
            if (!str_is(x->name->text, key->name)) continue;
            x->key = key;
            x->offset = p ? spec_arm_place.also_offset : 0;
            return true;
        }
    }
    str shown = encoding_cut(x->name->text, 60);
    const char *nearest = str_nearest(x->name->text, names, n);
    return spec_fail(m->r->s, x->name->line, m->r->e,
                     "'matrix' holds '%.*s', which is no key of an arm%s%s%s", (int)shown.size,
                     shown.data, nearest ? "; did you mean '" : "", nearest ? nearest : "",
                     nearest ? "'?" : "");
}

static bool read_axis(matrix *m, const yaml_item *name, const yaml_item *list)
{
    axis *x = &m->axis[m->n_axis];
    x->name = name;
    if (!find_key(m, x)) return false;
    if (list->kind != YAML_LIST || list->n < 1 || list->n > VALUES_MAX)
        return spec_fail(m->r->s, list->line, m->r->e,
                         "'%s' in 'matrix' is a list of 1 to %d values", x->key->name, VALUES_MAX);
    for (const yaml_item *v = spec_child(m->r, list->first); v; v = spec_child(m->r, v->next)) {
        x->value[x->n] = v;
        x->piece[x->n] = name_value(m, x, v, x->n + 1);
        if (m->r->e->code) return false;
        for (int32_t k = 0; k < x->n; k++) {
            if (str_equal(x->piece[k], x->piece[x->n]))
                return spec_fail(m->r->s, v->line, m->r->e, "'%s' in 'matrix' has '%s' twice",
                                 x->key->name, x->piece[k].data);
        }
        x->n++;
    }
    m->n_axis++;
    return true;
}

static const axis *find_axis(const matrix *m, str name)
{
    for (int32_t i = 0; i < m->n_axis; i++) {
        if (str_is(name, m->axis[i].key->name)) return &m->axis[i];
    }
    return NULL;
}

/* --- combinations --- */

/* Is the axis' chosen value the one that `value` writes? Compared by short names. */
static bool is_value(matrix *m, const axis *x, int32_t chosen, const yaml_item *value)
{
    return str_equal(name_value(m, x, value, -1), x->piece[chosen]);
}

/* Does a map of `only` or `without` hold for the combination? */
static bool fits(matrix *m, const int32_t *chosen, const yaml_item *map)
{
    for (const yaml_item *k = spec_child(m->r, map->first); k;) {
        const yaml_item *value = spec_child(m->r, k->next);
        const axis *x = find_axis(m, k->text);
        int32_t at = chosen[x - m->axis];
        bool same = is_value(m, x, at, value);
        if (value->kind == YAML_LIST) {
            for (const yaml_item *v = spec_child(m->r, value->first); v && !same;
                 v = spec_child(m->r, v->next))
                same = is_value(m, x, at, v);
        }
        if (!same) return false;
        k = spec_child(m->r, value->next);
    }
    return true;
}

static bool fits_any(matrix *m, const int32_t *chosen, const yaml_item *list)
{
    if (list->kind == YAML_MAP) return fits(m, chosen, list);
    for (const yaml_item *map = spec_child(m->r, list->first); map;
         map = spec_child(m->r, map->next)) {
        if (fits(m, chosen, map)) return true;
    }
    return false;
}

static bool check_map(matrix *m, const char *which, const yaml_item *map)
{
    for (const yaml_item *k = map->kind == YAML_MAP ? spec_child(m->r, map->first) : NULL; k;) {
        const axis *x = find_axis(m, k->text);
        str shown = encoding_cut(k->text, 60);
        if (!x)
            return spec_fail(m->r->s, k->line, m->r->e,
                             "'%s' names '%.*s', which is no key of 'matrix'", which,
                             (int)shown.size, shown.data);
        k = spec_child(m->r, spec_child(m->r, k->next)->next);
    }
    return map->kind == YAML_MAP ||
           spec_fail(m->r->s, map->line, m->r->e,
                     "'%s' is a list of maps such as {framing: options, shots: 3}", which);
}

static bool check_list(matrix *m, const char *which, const yaml_item *list)
{
    if (!list) return true;
    if (list->kind == YAML_MAP) return check_map(m, which, list);
    if (list->kind == YAML_TEXT) return check_map(m, which, list);
    for (const yaml_item *map = spec_child(m->r, list->first); map;
         map = spec_child(m->r, map->next)) {
        if (!check_map(m, which, map)) return false;
    }
    return true;
}

static bool name_arm(matrix *m, spec_arm *arm, const int32_t *chosen)
{
    char tail[24];
    buf name = buf_up_to(1 << 16);
    for (int32_t i = 0; i < m->n_axis; i++) {
        if (m->axis[i].n < 2) continue;
        if (name.size) buf_add_char(&name, '_');
        buf_add_str(&name, m->axis[i].piece[chosen[i]]);
    }
    if (name.size == 0) buf_add_text(&name, "matrix");
    if (name.size > 64) { /* its number keeps it apart */
        name.size = 56;
        snprintf(tail, sizeof tail, "_%d", m->r->s->n_arm + 1);
        buf_add_text(&name, tail);
    }
    if (name.data && (name.data[0] == '.' || name.data[0] == '-')) name.data[0] = '_';
    arm->name.line = m->line;
    if (buf_check(&name, "an arm's name", m->r->e))
        arm->name.text = str_keep(m->r->a, buf_view(&name), m->r->e);
    buf_close(&name);
    return m->r->e->code == ERR_NONE;
}

static bool make_arm(matrix *m, const int32_t *chosen)
{
    spec_arm *arm = spec_add_arm(m->r, m->line);
    if (!arm || !name_arm(m, arm, chosen)) return false;
    for (int32_t i = 0; i < m->n_axis; i++) {
        const axis *x = &m->axis[i];
        if (!x->key->set(m->r, x->key, x->value[chosen[i]], (char *)arm + x->offset)) return false;
    }
    return spec_keep_arm(m->r);
}

static bool make_arms(matrix *m)
{
    int32_t chosen[AXES_MAX] = {0}, made = 0;
    for (bool more = true; more;) {
        bool kept = (!m->only || fits_any(m, chosen, m->only)) &&
                    !(m->without && fits_any(m, chosen, m->without));
        if (kept && !make_arm(m, chosen)) return false;
        made += kept;
        int32_t i = m->n_axis - 1;
        while (i >= 0 && ++chosen[i] == m->axis[i].n) chosen[i--] = 0;
        more = i >= 0;
    }
    return made > 0 ||
           spec_fail(m->r->s, m->line, m->r->e, "'only' and 'without' leave no arm of the matrix");
}

bool spec_set_matrix(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    (void)base;
    matrix m = {.r = r, .line = value->line};
    if (value->kind != YAML_MAP || value->n < 1 || value->n > AXES_MAX)
        return spec_fail(r->s, value->line, r->e,
                         "'matrix' (%s) is a map of 1 to %d keys of an arm, each with a list of "
                         "values, such as {shots: [0, 3]}",
                         key->what, AXES_MAX);
    m.axis = arena_take_zero(r->a, AXES_MAX, sizeof *m.axis, r->e);
    if (!m.axis) return false;
    for (const yaml_item *k = spec_child(r, value->first); k;) {
        const yaml_item *v = spec_child(r, k->next);
        if (str_is(k->text, "only")) m.only = v;
        else if (str_is(k->text, "without")) m.without = v;
        else if (!read_axis(&m, k, v)) return false;
        k = spec_child(r, v->next);
    }
    return check_list(&m, "only", m.only) && check_list(&m, "without", m.without) && make_arms(&m);
}
