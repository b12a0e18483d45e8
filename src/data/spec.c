/* spec: see spec.h. Each place of the study file (top, data, limits, an arm) has a table of keys; a
 * row says how a value is read and where it goes. After reading come the checks that span keys,
 * then the canonical text that the hash is taken of. */
#include "data/spec.h"

#include "base/file.h"
#include "data/spec_in.h"

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static const int32_t default_shares[3] = {60, 20, 20}; /* train, tune, test unless said */

bool spec_fail(const spec *s, int32_t line, err *e, const char *format, ...)
{
    char text[sizeof e->text];
    va_list rest;
    va_start(rest, format);
    vsnprintf(text, sizeof text, format, rest);
    va_end(rest);
    if (line <= 0) return err_set(e, ERR_USAGE, "%s: %s", s->path, text);
    return err_set(e, ERR_USAGE, "%s: line %d: %s", s->path, line, text);
}

const yaml_item *spec_child(const spec_reader *r, int32_t i)
{
    return i < 0 ? NULL : r->tree.item + i;
}

bool spec_need_text(spec_reader *r, const spec_key *key, const yaml_item *value)
{
    if (value->kind != YAML_TEXT)
        return spec_fail(r->s, value->line, r->e, "'%s' (%s) is one text, not a %s", key->name,
                         key->what, value->kind == YAML_LIST ? "list" : "map");
    if (str_trim(value->text).size == 0)
        return spec_fail(r->s, value->line, r->e, "'%s' (%s) is empty", key->name, key->what);
    return true;
}

/* A scalar in NFC. */
spec_text spec_keep_text(spec_reader *r, const yaml_item *value)
{
    assert(value->kind == YAML_TEXT);
    buf composed = buf_up_to(4 * SPEC_BYTES_MAX);
    encoding_count unused = {0};
    encoding_add_nfc(&composed, value->text, &unused);
    spec_text t = {.line = value->line};
    if (buf_check(&composed, "the study file", r->e))
        t.text = str_keep(r->a, buf_view(&composed), r->e);
    buf_close(&composed);
    return t;
}

/* --- setters: one kind of value each --- */

bool spec_set_text(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    if (!spec_need_text(r, key, value)) return false;
    *(spec_text *)(void *)((char *)base + key->offset) = spec_keep_text(r, value);
    return r->e->code == ERR_NONE;
}

/* A name that becomes part of file names and of tables in papers. */
bool spec_set_name(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    if (!spec_set_text(r, key, value, base)) return false;
    str name = value->text;
    bool ok = name.size <= 64 && name.data[0] != '.' && name.data[0] != '-';
    for (size_t i = 0; i < name.size && ok; i++) {
        char c = name.data[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '.' || c == '_' || c == '-';
    }
    if (ok) return true;
    return spec_fail(r->s, value->line, r->e,
                     "'%s' (%s) has at most 64 letters, digits, '.', '_' or '-', and begins with a "
                     "letter, digit or '_'",
                     key->name, key->what);
}

/* Kept as its bytes are; relative to the study file's folder. */
bool spec_keep_path(spec_reader *r, const spec_key *key, const yaml_item *value, spec_text *to)
{
    if (!spec_need_text(r, key, value)) return false;
    to->line = value->line;
    buf path = buf_up_to(1 << 16);
    if (value->text.data[0] != '/' && strcmp(r->s->folder, ".") != 0)
        buf_printf(&path, "%s/", r->s->folder);
    buf_add_str(&path, value->text);
    if (path.failed || path.size >= 4096)
        spec_fail(r->s, value->line, r->e, "'%s' is too long a path", key->name);
    else to->text = str_keep(r->a, buf_view(&path), r->e);
    buf_close(&path);
    return r->e->code == ERR_NONE;
}

bool spec_set_path(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_text *to = (spec_text *)(void *)((char *)base + key->offset);
    if (!spec_keep_path(r, key, value, to)) return false;
    if (base == r->s) r->model_written = value->text;
    else if (key->offset == offsetof(spec_data, file)) r->file_written = value->text;
    else r->split_written = value->text;
    return true;
}

bool spec_read_number(spec_reader *r, const spec_key *key, const yaml_item *value, int64_t *n)
{
    if (!spec_need_text(r, key, value)) return false;
    if (str_to_int(str_trim(value->text), n) && *n >= key->least && *n <= key->most) return true;
    return spec_fail(r->s, value->line, r->e, "'%s' (%s) is a whole number from %lld to %lld",
                     key->name, key->what, (long long)key->least, (long long)key->most);
}

bool spec_set_count(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    int64_t n = 0;
    if (!spec_read_number(r, key, value, &n)) return false;
    *(int32_t *)(void *)((char *)base + key->offset) = (int32_t)n;
    return true;
}

bool spec_set_seed(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    int64_t n = 0;
    if (!spec_read_number(r, key, value, &n)) return false;
    *(uint64_t *)(void *)((char *)base + key->offset) = (uint64_t)n;
    return true;
}

bool spec_set_choice(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    if (!spec_need_text(r, key, value)) return false;
    int n = 0;
    for (; key->choices[n]; n++) {
        if (!str_is(value->text, key->choices[n])) continue;
        memcpy((char *)base + key->offset, &n, sizeof n); /* an enum */
        return true;
    }
    buf list = buf_up_to(1000);
    for (int i = 0; i < n; i++)
        buf_printf(&list, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", key->choices[i]);
    const char *nearest = str_nearest(value->text, key->choices, (size_t)n);
    spec_fail(r->s, value->line, r->e, "'%s' is %s%s%s%s", key->name, list.data,
              nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    buf_close(&list);
    return false;
}

static bool set_encoding(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    if (!spec_need_text(r, key, value)) return false;
    if (encoding_find(value->text, (encoding *)(void *)((char *)base + key->offset))) return true;
    return spec_fail(r->s, value->line, r->e, "'encoding' is auto, %s", encoding_names());
}

/* One text or a list of texts, none of them twice. */
bool spec_read_list(spec_reader *r, const spec_key *key, const yaml_item *value, spec_list *to)
{
    bool one = value->kind == YAML_TEXT;
    if (one && !spec_need_text(r, key, value)) return false;
    if (value->kind == YAML_MAP)
        return spec_fail(r->s, value->line, r->e,
                         "'%s' (%s) is a text or a list of texts, not a map", key->name, key->what);
    int32_t n = one ? 1 : value->n;
    if (n < key->least || n > key->most)
        return spec_fail(r->s, value->line, r->e, "'%s' (%s) is %s", key->name, key->what,
                         n == 0 ? "empty" : "too long a list");
    *to = (spec_list){.line = value->line,
                      .item = arena_take_zero(r->a, (size_t)n, sizeof(spec_text), r->e)};
    const yaml_item *item = one ? value : spec_child(r, value->first);
    for (; item && to->item && to->n < n; item = one ? NULL : spec_child(r, item->next)) {
        if (item->kind != YAML_TEXT || item->text.size == 0)
            return spec_fail(r->s, item->line, r->e, "'%s' (%s) holds something that is not a text",
                             key->name, key->what);
        spec_text t = spec_keep_text(r, item);
        for (int32_t k = 0; k < to->n; k++) {
            if (!str_equal(to->item[k].text, t.text)) continue;
            str shown = encoding_cut(t.text, 60);
            return spec_fail(r->s, item->line, r->e, "'%.*s' is twice in '%s'", (int)shown.size,
                             shown.data, key->name);
        }
        to->item[to->n++] = t;
    }
    return r->e->code == ERR_NONE;
}

bool spec_set_list(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    return spec_read_list(r, key, value, (spec_list *)(void *)((char *)base + key->offset));
}

bool spec_set_map(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    if (value->kind != YAML_MAP)
        return spec_fail(r->s, value->line, r->e, "'%s' (%s) is a map: indented 'key: value' lines",
                         key->name, key->what);
    return spec_read_map(r, key->name, value, *key->keys, (char *)base + key->offset);
}

bool spec_read_classes(spec_reader *r, const spec_key *key, const yaml_item *value, int32_t *n,
                       spec_class **out)
{
    if (value->kind == YAML_TEXT)
        return spec_fail(r->s, value->line, r->e,
                         "'%s' (%s) is a map: indented 'name: [text, ..]' lines", key->name,
                         key->what);
    if (value->n < key->least || value->n > key->most)
        return spec_fail(r->s, value->line, r->e, "'%s' (%s) has from %lld to %lld entries, not %d",
                         key->name, key->what, (long long)key->least, (long long)key->most,
                         value->n);
    *out = arena_take_zero(r->a, (size_t)value->n, sizeof(spec_class), r->e);
    if (!*out) return false;
    const yaml_item *name = spec_child(r, value->first);
    for (*n = 0; name && *n < value->n; ++*n) {
        if (name->kind != YAML_TEXT || str_trim(name->text).size == 0)
            return spec_fail(r->s, name->line, r->e, "'%s' holds a class without a name",
                             key->name);
        const yaml_item *answers = value->kind == YAML_MAP ? spec_child(r, name->next) : name;
        spec_class *c = &(*out)[*n];
        c->name = spec_keep_text(r, name);
        spec_key own = {c->name.text.data, key->what, .least = 1, .most = SPEC_SURFACES_MAX};
        if (r->e->code || !spec_read_list(r, &own, answers, &c->surfaces)) return false;
        for (int32_t k = 0; k < *n; k++) {
            if (str_equal((*out)[k].name.text, c->name.text))
                return spec_fail(r->s, name->line, r->e, "'%s' names a class twice", key->name);
        }
        name = spec_child(r, answers->next);
    }
    return r->e->code == ERR_NONE;
}

/* The first of n classes that has the surface; -1: none. */
static int32_t find_surface(const spec_class *c, int32_t n, str text)
{
    for (int32_t i = 0; i < n; i++) {
        for (int32_t k = 0; k < c[i].surfaces.n; k++) {
            if (str_equal(c[i].surfaces.item[k].text, text)) return i;
        }
    }
    return -1;
}

bool spec_check_surfaces(spec_reader *r, const char *key, const spec_class *c, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        for (int32_t k = 0; k < c[i].surfaces.n; k++) {
            spec_text one = c[i].surfaces.item[k];
            int32_t other = find_surface(c, i, one.text);
            if (other < 0) continue;
            str s = encoding_cut(one.text, 60), a = encoding_cut(c[other].name.text, 60),
                b = encoding_cut(c[i].name.text, 60);
            return spec_fail(r->s, one.line, r->e,
                             "'%.*s' stands for two classes in '%s', %.*s and %.*s", (int)s.size,
                             s.data, key, (int)a.size, a.data, (int)b.size, b.data);
        }
    }
    return true;
}

static bool set_study_classes(spec_reader *r, const spec_key *key, const yaml_item *v, void *base)
{
    spec *s = base;
    s->lettered = false;
    if (s->data.several == SPEC_EACH_OPTION) s->positive = -1; /* of the classes that stood in */
    return spec_read_classes(r, key, v, &s->n_class, &s->classes) &&
           spec_check_surfaces(r, key->name, s->classes, s->n_class);
}

static bool set_labels(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_data *d = base;
    return spec_read_classes(r, key, value, &d->n_labels, &d->labels) &&
           spec_check_surfaces(r, key->name, d->labels, d->n_labels);
}

int32_t spec_find_class(const spec *s, str name)
{
    for (int32_t i = 0; i < s->n_class; i++) {
        if (str_equal(s->classes[i].name.text, name)) return i;
    }
    return -1;
}

bool spec_fail_class(spec_reader *r, const char *key, spec_text name)
{
    buf list = buf_up_to(1000);
    for (int32_t i = 0; i < r->s->n_class && list.size < 300; i++) {
        if (i) buf_add_text(&list, ", ");
        buf_add_str(&list, encoding_cut(r->s->classes[i].name.text, 60));
    }
    str shown = encoding_cut(name.text, 60);
    spec_fail(r->s, name.line, r->e, "'%s' names '%.*s', which is not among the classes (%s)", key,
              (int)shown.size, shown.data, list.data ? list.data : "");
    buf_close(&list);
    return false;
}

static bool set_positive(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec *s = base;
    if (!spec_need_text(r, key, value)) return false;
    spec_text name = spec_keep_text(r, value);
    s->positive = spec_find_class(s, name.text);
    return s->positive >= 0 || spec_fail_class(r, key->name, name);
}

static bool set_splits(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);

/* A row's own options have letters for classes, until `classes` says other names. How many there
 * are is known when the table is read (rows_count_options). */
static bool make_letters(spec_reader *r, int32_t n)
{
    spec *s = r->s;
    s->n_class = n;
    s->classes = arena_take_zero(r->a, (size_t)n, sizeof *s->classes, r->e);
    spec_text *answer = arena_take_zero(r->a, (size_t)n, sizeof *answer, r->e);
    for (int32_t i = 0; i < n && r->e->code == ERR_NONE; i++) {
        char letter[2] = {(char)('A' + i), 0};
        answer[i] = (spec_text){str_keep(r->a, str_of(letter), r->e), s->data.options.line};
        s->classes[i] = (spec_class){answer[i], {1, s->data.options.line, &answer[i]}};
    }
    s->lettered = true;
    s->baselines = 0; /* places have no words: none unless asked for */
    return r->e->code == ERR_NONE;
}

/* Nothing is labelled: texts are compared with references. One class that no answer stands for. */
static bool make_one_class(spec_reader *r)
{
    spec *s = r->s;
    spec_text *name = arena_take_zero(r->a, 1, sizeof *name, r->e);
    s->classes = arena_take_zero(r->a, 1, sizeof *s->classes, r->e);
    if (r->e->code) return false;
    *name = (spec_text){STR("text"), s->data.line};
    s->classes[0] = (spec_class){*name, {1, s->data.line, name}};
    s->n_class = 1;
    s->baselines = 0;
    return true;
}

/* Each option of a question is asked about by itself: is it right? */
static bool make_right_and_wrong(spec_reader *r)
{
    static const char *const words[2][2] = {{"right", "Yes"}, {"wrong", "No"}};
    spec *s = r->s;
    spec_text *text = arena_take_zero(r->a, 4, sizeof *text, r->e);
    s->classes = arena_take_zero(r->a, 2, sizeof *s->classes, r->e);
    if (r->e->code) return false;
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++)
            text[2 * i + k] = (spec_text){str_of(words[i][k]), s->data.options.line};
        s->classes[i] = (spec_class){text[2 * i], {1, s->data.options.line, &text[2 * i + 1]}};
    }
    s->n_class = 2;
    s->positive = 0;
    return true;
}

static bool check_several(spec_reader *r)
{
    const spec_data *d = &r->s->data;
    if (d->several == SPEC_ONE_RIGHT) return true;
    if (d->options.n == 0)
        return spec_fail(r->s, d->line, r->e, "'several: each' needs 'options' (their columns)");
    if (d->n_labels > 0)
        return spec_fail(r->s, d->line, r->e,
                         "'labels' names classes, but with 'several: each' the label lists the "
                         "right options; leave 'labels' out");
    return true;
}

static bool set_data(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    if (!spec_set_map(r, key, value, base)) return false;
    spec_data *d = &r->s->data;
    bool compares = d->reference.text.data != NULL;
    d->line = value->line;
    if (!d->label.text.data && !compares)
        return spec_fail(r->s, value->line, r->e,
                         "data lacks the key 'label' (the column with the right answer)");
    if (d->options.n > 0 && !d->label.text.data)
        return spec_fail(r->s, d->options.line, r->e,
                         "'options' needs 'label' (the column that names the right one)");
    if (d->label_is != SPEC_LABEL_AUTO && d->options.n == 0)
        return spec_fail(r->s, value->line, r->e,
                         "'label_is' says which of a row's own options is right; 'options' (their "
                         "columns) is missing");
    if (!d->label.text.data) return make_one_class(r);
    if (!check_several(r)) return false;
    if (d->options.n == 0) return true;
    if (d->several == SPEC_EACH_OPTION) return make_right_and_wrong(r);
    return make_letters(r, d->options.n > 1 ? d->options.n : SPEC_OPTIONS_MAX);
}

static const char *const baseline_names[] = {"prevalence", "keywords", "tfidf"};

static bool set_baselines(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec *s = base;
    spec_list list;
    if (!spec_read_list(r, key, value, &list)) return false;
    s->baselines = 0;
    if (list.n == 1 && str_is(list.item[0].text, "none")) return true;
    for (int32_t i = 0; i < list.n; i++) {
        int32_t found = -1;
        for (int32_t k = 0; k < (int32_t)countof(baseline_names); k++) {
            if (str_is(list.item[i].text, baseline_names[k])) found = k;
        }
        if (found < 0)
            return spec_fail(r->s, list.item[i].line, r->e,
                             "'baselines' is none, or a list of prevalence, keywords and tfidf");
        s->baselines |= 1 << found;
    }
    return true;
}

/* A list is the positive class's words; a map gives words to classes. Checked when all is read. */
static bool set_keywords(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec *s = base;
    if (value->kind == YAML_MAP)
        return spec_read_classes(r, key, value, &s->n_keywords, &s->keywords);
    s->keywords = arena_take_zero(r->a, 1, sizeof *s->keywords, r->e);
    s->n_keywords = 1;
    if (!s->keywords) return false;
    s->keywords[0].name.line = value->line;
    spec_key own = *key;
    own.most = SPEC_SURFACES_MAX;
    return spec_read_list(r, &own, value, &s->keywords[0].surfaces);
}

/* --- the keys --- */

static const char *const template_choices[] = {"auto", "chat", "plain", NULL};
static const char *const cut_choices[] = {"refuse",   "head",   "tail", "head+tail",
                                          "sections", "chunks", NULL};

static const char *const rule_choices[] = {"random", "time", "site", NULL};
static const char *const stratify_choices[] = {"label", "none", NULL};
static const char *const paper_choices[] = {"no", "yes", NULL};
static const char *const tfidf_choices[] = {"auto", "words", "characters", NULL};

static const char *const label_choices[] = {"auto",          "letter", "number",
                                            "number-from-1", "text",   NULL};

static const char *const several_choices[] = {"one", "each", NULL};

static const spec_key across_keys[] = {
    {"allowed", "why it is", spec_set_text, .offset = offsetof(spec_data, across),
     .required = true},
};
static const spec_keys across_place = {.key = across_keys, .n = countof(across_keys)};

static const spec_key split_keys[] = {
    {"by", "how the table is divided", spec_set_choice, .offset = offsetof(spec_splits, rule),
     .choices = rule_choices},
    {"train", "percent of the rows", spec_set_count, .offset = offsetof(spec_splits, share[0]),
     .most = 100},
    {"tune", "percent of the rows", spec_set_count, .offset = offsetof(spec_splits, share[1]),
     .most = 100},
    {"test", "percent of the rows", spec_set_count, .offset = offsetof(spec_splits, share[2]),
     .most = 100},
    {"folds", "parts for cross-validation outside the test rows", spec_set_count,
     .offset = offsetof(spec_splits, folds), .least = 2, .most = 100},
    {"seed", "of the division", spec_set_seed, .offset = offsetof(spec_splits, seed),
     .most = INT64_MAX},
    {"stratify", "whether parts have equal shares of the classes", spec_set_choice,
     .offset = offsetof(spec_splits, stratify), .choices = stratify_choices},
    {"date", "the column with each row's date", spec_set_text,
     .offset = offsetof(spec_splits, date)},
    {"site", "the column with each row's site", spec_set_text,
     .offset = offsetof(spec_splits, site)},
    {"hold_out", "the sites to test on", spec_set_list, .offset = offsetof(spec_splits, hold_out),
     .least = 1, .most = SPEC_COLUMNS_MAX},
};
static const spec_keys split_place = {.key = split_keys, .n = countof(split_keys)};

static const spec_key data_keys[] = {
    {"file", "the table of texts", spec_set_path, .offset = offsetof(spec_data, file),
     .required = true},
    {"encoding", "of the table", set_encoding, .offset = offsetof(spec_data, encoding)},
    {"id", "the column with each row's id", spec_set_text, .offset = offsetof(spec_data, id),
     .required = true},
    {"text", "the column or columns with the text", spec_set_list,
     .offset = offsetof(spec_data, text), .required = true, .least = 1, .most = SPEC_COLUMNS_MAX},
    {"label", "the column with the right answer", spec_set_text,
     .offset = offsetof(spec_data, label)},
    {"labels", "values of the label column, by class", set_labels, .offset = 0, .least = 1,
     .most = SPEC_CLASSES_MAX},
    {"missing", "label values that count as none", spec_set_list,
     .offset = offsetof(spec_data, missing), .least = 1, .most = SPEC_SURFACES_MAX},
    {"patient", "the column that says whose text it is", spec_set_text,
     .offset = offsetof(spec_data, patient)},
    {"group", "columns of subgroups", spec_set_list, .offset = offsetof(spec_data, group),
     .least = 1, .most = SPEC_COLUMNS_MAX},
    {"split", "the column that says which part a row is in", spec_set_text,
     .offset = offsetof(spec_data, split)},
    {"use", "the value of split for rows to score", spec_set_text,
     .offset = offsetof(spec_data, use)},
    {"train", "the value of split for examples", spec_set_text,
     .offset = offsetof(spec_data, train)},
    {"tune", "the value of split for choosing settings", spec_set_text,
     .offset = offsetof(spec_data, tune)},
    {"split_file", "the file that says which part a row is in", spec_set_path,
     .offset = offsetof(spec_data, split_file)},
    {"options", "the column or columns with a row's own options", spec_set_list,
     .offset = offsetof(spec_data, options), .least = 1, .most = SPEC_OPTIONS_MAX},
    {"label_is", "how the label names the right option", spec_set_choice,
     .offset = offsetof(spec_data, label_is), .choices = label_choices},
    {"several", "whether several options of a question may be right", spec_set_choice,
     .offset = offsetof(spec_data, several), .choices = several_choices},
    {"reference", "the column with texts to compare with", spec_set_text,
     .offset = offsetof(spec_data, reference)},
    {"patients_across_splits", "whether a patient may be in several parts", spec_set_map,
     .offset = 0, .keys = &across_place},
};
static const spec_keys data_place = {.key = data_keys, .n = countof(data_keys)};

static const spec_key limit_keys[] = {
    {"max_tokens", "the longest prompt", spec_set_count, .offset = offsetof(spec, max_tokens),
     .least = 16, .most = 1 << 24},
    {"cut", "what to do with a longer one", spec_set_choice, .offset = offsetof(spec, cut),
     .choices = cut_choices},
    {"sections", "headings that are kept, the dearest first", spec_set_list,
     .offset = offsetof(spec, sections), .least = 1, .most = SPEC_SURFACES_MAX},
    {"chunk_tokens", "the longest chunk", spec_set_count, .offset = offsetof(spec, chunk_tokens),
     .least = 16, .most = 1 << 24},
    {"overlap", "of chunks, in percent", spec_set_count, .offset = offsetof(spec, overlap),
     .most = 50},
    {"combine", "how a row's chunks make one score", spec_set_choice,
     .offset = offsetof(spec, combine), .choices = spec_combine_choices},
};
static const spec_keys limit_place = {.key = limit_keys, .n = countof(limit_keys)};

static const spec_key study_keys[] = {
    {"study", "the study's name", spec_set_name, .offset = offsetof(spec, study), .required = true},
    {"model", "the model's file or folder", spec_set_path, .offset = offsetof(spec, model)},
    {"data", "the table and its columns", set_data, .offset = offsetof(spec, data),
     .required = true, .keys = &data_place},
    {"classes", "the answers by class", set_study_classes, .offset = 0, .least = 2,
     .most = SPEC_CLASSES_MAX},
    {"positive", "the class that counts as positive", set_positive, .offset = 0},
    {"template", "how a prompt is framed", spec_set_choice, .offset = offsetof(spec, template_kind),
     .choices = template_choices},
    {"paper", "whether it is for a paper", spec_set_choice, .offset = offsetof(spec, paper),
     .choices = paper_choices},
    {"seed", "of everything random", spec_set_seed, .offset = offsetof(spec, seed),
     .most = INT64_MAX},
    {"limits", "of a prompt's length", spec_set_map, .offset = 0, .keys = &limit_place},
    {"splits", "how `caseload split` divides the table", set_splits, .offset = 0},
    {"baselines", "what the model is compared with", set_baselines, .offset = 0, .least = 1,
     .most = countof(baseline_names)},
    {"keywords", "words that speak for a class", set_keywords, .offset = 0, .least = 1,
     .most = SPEC_CLASSES_MAX},
    {"tfidf", "what the bag of words counts", spec_set_choice, .offset = offsetof(spec, tfidf),
     .choices = tfidf_choices},
    {"matrix", "keys with several values", spec_set_matrix, .offset = 0},
    {"arms", "the ways of asking that are compared", spec_set_arms, .offset = 0},
    {"primary", "the comparison that the study is made for", spec_set_primary,
     .offset = offsetof(spec, evidence)},
    {"operating_point", "how the threshold is chosen", spec_set_operating_point,
     .offset = offsetof(spec, evidence)},
    {"recalibrate", "what makes probabilities of scores, on tune rows", spec_set_recalibrate,
     .offset = offsetof(spec, evidence)},
};
static const spec_keys study_place = {.key = study_keys,
                                      .n = countof(study_keys),
                                      .also = &spec_ask_place,
                                      .also_before = 5, /* behind the classes */
                                      .also_offset = offsetof(spec, all)};

/* The keys of a place in the order they are read: with those of another that are taken here too. */
typedef struct key_list {
    const spec_key *key[SPEC_KEYS_MAX];
    size_t offset[SPEC_KEYS_MAX], n;
} key_list;

static void add_keys(key_list *l, const spec_key *key, size_t n, size_t offset)
{
    assert(l->n + n <= SPEC_KEYS_MAX);
    for (size_t i = 0; i < n; i++) {
        l->key[l->n] = &key[i];
        l->offset[l->n++] = offset;
    }
}

static key_list list_keys(spec_keys keys)
{
    key_list l = {.n = 0};
    size_t first = keys.also ? keys.also_before : keys.n;
    add_keys(&l, keys.key, first, 0);
    if (keys.also) add_keys(&l, keys.also->key, keys.also->n, keys.also_offset);
    add_keys(&l, keys.key + first, keys.n - first, 0);
    return l;
}

static bool fail_key(spec_reader *r, const char *place, const yaml_item *key, const key_list *keys)
{
    const char *names[SPEC_KEYS_MAX];
    buf list = buf_up_to(2000);
    for (size_t i = 0; i < keys->n; i++) {
        names[i] = keys->key[i]->name;
        buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    }
    str shown = encoding_cut(key->text, 60);
    const char *nearest = str_nearest(key->text, names, keys->n);
    if (nearest)
        spec_fail(r->s, key->line, r->e, "unknown key '%.*s'; did you mean '%s'?", (int)shown.size,
                  shown.data, nearest);
    else
        spec_fail(r->s, key->line, r->e, "unknown key '%.*s'; the keys of %s are: %s",
                  (int)shown.size, shown.data, place, list.data);
    buf_close(&list);
    return false;
}

bool spec_read_map(spec_reader *r, const char *place, const yaml_item *map, spec_keys keys,
                   void *base)
{
    const yaml_item *values[SPEC_KEYS_MAX] = {NULL};
    key_list list = list_keys(keys);
    assert(map->kind == YAML_MAP);
    for (const yaml_item *k = spec_child(r, map->first); k;) {
        const yaml_item *value = spec_child(r, k->next);
        size_t i = 0;
        while (i < list.n && !str_is(k->text, list.key[i]->name)) i++;
        if (i == list.n) return fail_key(r, place, k, &list);
        values[i] = value;
        k = spec_child(r, value->next);
    }
    for (size_t i = 0; i < list.n; i++) {
        const spec_key *key = list.key[i];
        if (values[i] && !key->set(r, key, values[i], (char *)base + list.offset[i])) return false;
        if (!values[i] && key->required)
            return spec_fail(r->s, map->line, r->e, "%s lacks the key '%s' (%s)", place, key->name,
                             key->what);
    }
    return true;
}

/* --- splits --- */

static bool set_splits(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_splits *p = &((spec *)base)->splits;
    if (value->kind != YAML_MAP)
        return spec_fail(r->s, value->line, r->e, "'splits' (%s) is a map such as {by: random}",
                         key->what);
    p->line = value->line;
    for (int k = 0; k < 3; k++) p->share[k] = -1;
    if (!spec_read_map(r, "splits", value, split_place, p)) return false;
    bool said = p->share[0] >= 0 || p->share[1] >= 0 || p->share[2] >= 0;
    for (int k = 0; k < 3; k++) {
        if (p->share[k] < 0) p->share[k] = said ? 0 : default_shares[k];
    }
    bool site = p->rule == SPEC_SPLIT_SITE;
    if (site && (!p->site.text.data || p->hold_out.n == 0))
        return spec_fail(r->s, p->line, r->e,
                         "a split by site needs 'site' (the column) and 'hold_out' (the sites to "
                         "test on)");
    if (p->rule == SPEC_SPLIT_TIME && !p->date.text.data)
        return spec_fail(r->s, p->line, r->e, "a split by time needs 'date' (the column)");
    int32_t sum = p->share[0] + p->share[1] + p->share[2];
    if (p->share[0] > 0 &&
        ((site && sum > 0 && sum <= 100) || (!site && sum == 100 && p->share[2] > 0)))
        return true;
    return spec_fail(
        r->s, p->line, r->e,
        site ? "'train' and 'tune' divide the rows outside the sites held out: 'train' "
               "is above 0"
             : "'train', 'tune' and 'test' are percents that make 100 together, 'train' "
               "and 'test' above 0");
}

/* --- checks that span keys --- */

static bool check_positive(spec_reader *r)
{
    const spec_data *d = &r->s->data;
    if (d->several == SPEC_EACH_OPTION && r->s->n_class != 2)
        return spec_fail(r->s, d->line, r->e,
                         "with 'several: each' a study has two classes, such as {right: [Yes], "
                         "wrong: [No]} and 'positive: right'");
    bool compares = d->reference.text.data && !d->label.text.data;
    if (compares && r->s->n_class > 1)
        return spec_fail(r->s, d->line, r->e, "a study with 'classes' needs 'label' under 'data'");
    if (r->s->n_class == 0 && !compares)
        return spec_fail(r->s, r->tree.item[0].line, r->e,
                         "a study lacks the key 'classes' (the answers by class)");
    if (r->s->lettered || compares) return true;
    if (r->s->n_class > 2 || r->s->positive >= 0) return true;
    return spec_fail(r->s, r->tree.item[0].line, r->e,
                     "with two classes a study needs the key 'positive' (the class that counts as "
                     "positive)");
}

static bool check_split(spec_reader *r)
{
    spec_data *d = &r->s->data;
    spec_text *const part[] = {&d->use, &d->train, &d->tune};
    static const char *const otherwise[] = {"test", "train", "tune"};
    int32_t line = d->split.text.data ? d->split.line : d->split_file.line;
    if (d->split.text.data && d->split_file.text.data)
        return spec_fail(r->s, d->split_file.line, r->e,
                         "'split' (a column) and 'split_file' both say which part a row is in; "
                         "keep one");
    for (size_t i = 0; i < countof(part); i++) {
        if (line == 0 && part[i]->text.data)
            return spec_fail(r->s, part[i]->line, r->e,
                             "'use', 'train' and 'tune' are values of a 'split' column, which "
                             "'data' does not name");
        if (line > 0 && !part[i]->text.data) *part[i] = (spec_text){str_of(otherwise[i]), line};
    }
    if (line == 0 || !str_equal(str_trim(d->use.text), str_trim(d->train.text))) return true;
    return spec_fail(
        r->s, d->use.line, r->e,
        "'use' and 'train' are the same part of the table: examples would be asked about "
        "themselves");
}

/* Keywords of classes that exist; a list is the positive class's. */
static bool check_keywords(spec_reader *r)
{
    spec *s = r->s;
    for (int32_t i = 0; i < s->n_keywords; i++) {
        spec_class *k = &s->keywords[i];
        if (!k->name.text.data && s->positive < 0)
            return spec_fail(s, k->name.line, r->e,
                             "'keywords' is a map of classes to words when no class is 'positive'");
        if (!k->name.text.data) k->name.text = s->classes[s->positive].name.text;
        if (spec_find_class(s, k->name.text) < 0) return spec_fail_class(r, "keywords", k->name);
    }
    return true;
}

static bool check_labels(spec_reader *r)
{
    const spec_data *d = &r->s->data;
    for (int32_t i = 0; i < d->n_labels; i++) {
        if (spec_find_class(r->s, d->labels[i].name.text) < 0)
            return spec_fail_class(r, "labels", d->labels[i].name);
        for (int32_t k = 0; k < d->labels[i].surfaces.n; k++) {
            spec_text value = d->labels[i].surfaces.item[k];
            for (int32_t j = 0; j < d->missing.n; j++) {
                if (str_equal(d->missing.item[j].text, value.text))
                    return spec_fail(r->s, d->missing.item[j].line, r->e,
                                     "a value of 'missing' is also a value of 'labels'");
            }
        }
    }
    return true;
}

/* --- canonical text --- */

void spec_write_text(buf *out, const char *key, str value)
{
    buf_printf(out, "%s: \"", key);
    buf_add_json(out, value);
    buf_add_text(out, "\"\n");
}

void spec_write_list(buf *out, const char *key, spec_list list)
{
    for (int32_t i = 0; i < list.n; i++) spec_write_text(out, key, list.item[i].text);
}

void spec_write_classes(buf *out, const char *key, const spec_class *c, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        spec_write_text(out, key, c[i].name.text);
        spec_write_list(out, "  is", c[i].surfaces);
    }
}

static void write_data(const spec_reader *r, buf *out)
{
    const spec_data *d = &r->s->data;
    spec_write_text(out, "data.file", r->file_written);
    spec_write_text(out, "data.encoding", str_of(encoding_name(d->encoding)));
    spec_write_text(out, "data.id", d->id.text);
    spec_write_list(out, "data.text", d->text);
    spec_write_text(out, "data.label", d->label.text);
    spec_write_classes(out, "data.labels", d->labels, d->n_labels);
    spec_write_list(out, "data.missing", d->missing);
    spec_write_text(out, "data.patient", d->patient.text);
    spec_write_list(out, "data.group", d->group);
    spec_write_text(out, "data.split", d->split.text);
    spec_write_text(out, "data.use", d->use.text);
    spec_write_text(out, "data.train", d->train.text);
    spec_write_text(out, "data.tune", d->tune.text);
    spec_write_text(out, "data.split_file", r->split_written);
    spec_write_text(out, "data.patients_across_splits", d->across.text);
    spec_write_list(out, "data.options", d->options);
    if (d->label_is) buf_printf(out, "data.label_is: %s\n", label_choices[d->label_is]);
    if (d->several) buf_printf(out, "data.several: %s\n", several_choices[d->several]);
    if (d->reference.text.data) spec_write_text(out, "data.reference", d->reference.text);
}

static void write_splits(const spec *s, buf *out)
{
    const spec_splits *p = &s->splits;
    buf_printf(out, "splits: %s %d %d %d, folds %d, seed %llu, stratify %s\n",
               rule_choices[p->rule], p->share[0], p->share[1], p->share[2], p->folds,
               (unsigned long long)p->seed, stratify_choices[p->stratify]);
    spec_write_text(out, "splits.date", p->date.text);
    spec_write_text(out, "splits.site", p->site.text);
    spec_write_list(out, "splits.hold_out", p->hold_out);
    buf_printf(out, "baselines: %d, tfidf: %s\n", s->baselines, tfidf_choices[s->tfidf]);
    spec_write_classes(out, "keywords", s->keywords, s->n_keywords);
}

static bool write_canonical(spec_reader *r)
{
    spec *s = r->s;
    buf out = buf_up_to((size_t)16 * SPEC_BYTES_MAX * 8);
    spec_write_text(&out, "study", s->study.text);
    spec_write_text(&out, "model", r->model_written);
    write_data(r, &out);
    spec_write_classes(&out, "class", s->classes, s->n_class);
    buf_printf(&out, "positive: %d\ntemplate: %s\nseed: %llu\nmax_tokens: %d\ncut: %s\n",
               s->positive, template_choices[s->template_kind], (unsigned long long)s->seed,
               s->max_tokens, cut_choices[s->cut]);
    if (s->paper) buf_printf(&out, "paper: yes\n");
    spec_write_list(&out, "section", s->sections);
    if (s->cut == SPEC_CUT_CHUNKS)
        buf_printf(&out, "chunk_tokens: %d\noverlap: %d\ncombine: %s\n", s->chunk_tokens,
                   s->overlap, spec_combine_name(s->combine));
    write_splits(s, &out);
    spec_write_arms(s, &out);
    spec_write_evidence(s, &out);
    if (buf_check(&out, "the study file", r->e))
        s->canonical = str_keep(r->a, buf_view(&out), r->e);
    buf_close(&out);
    s->hash = hash_of(s->canonical.data, s->canonical.size);
    return r->e->code == ERR_NONE;
}

/* --- the door --- */

bool spec_parse(spec *s, str yaml, const char *path, arena *a, err *e)
{
    assert(s && path && !arena_measures(a));
    *s = (spec){.seed = 1, .positive = -1, .overlap = 15};
    s->all.ask = (spec_ask){.draws = 1,
                            .orders = 1,
                            .language = SPEC_LANGUAGE_COUNT,
                            .think = {.temperature = -1}};
    s->baselines = SPEC_PREVALENCE | SPEC_KEYWORDS | SPEC_TFIDF;
    s->splits.seed = 1;
    memcpy(s->splits.share, default_shares, sizeof default_shares);
    const char *slash = strrchr(path, '/');
    size_t n_folder = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    s->path = arena_copy_text(a, path, strlen(path), e);
    s->folder = slash ? arena_copy_text(a, path, n_folder, e) : arena_copy_text(a, ".", 1, e);
    if (!s->path || !s->folder) return false;
    spec_reader r = {.s = s, .a = a, .e = e};
    if (!yaml_read(&r.tree, yaml, path, a, e)) return false;
    const yaml_item *root = r.tree.item;
    return spec_read_map(&r, "a study", root, study_place, s) && check_positive(&r) &&
           check_split(&r) && check_labels(&r) && check_keywords(&r) && spec_finish_arms(&r) &&
           spec_check_evidence(&r) && write_canonical(&r);
}

bool spec_read(spec *s, const char *path, arena *a, err *e)
{
    file_map m;
    if (!file_map_open(&m, path, ERR_USAGE, e)) return false;
    bool ok = spec_parse(s, (str){(const char *)m.data, m.size}, path, a, e);
    file_map_close(&m);
    return ok;
}

const char *spec_cut_name(spec_cut c)
{
    assert(c <= SPEC_CUT_CHUNKS);
    return cut_choices[c];
}
