/* automaton_schema: the texts of a JSON schema as a syntax tree; see automaton.h. */
#include "text/automaton_in.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>

enum { INTEGERS_MAX = 10000 };

typedef struct maker {
    syntax *syntax;
    int32_t depth;
} maker;

static int32_t fail(maker *m, const char *what, const char *name)
{
    err_set(m->syntax->e, ERR_USAGE, "the schema of a constraint: %s '%.60s'", what, name);
    return -1;
}

static int32_t text(maker *m, const char *bytes) { return syntax_text(m->syntax, str_of(bytes)); }

/* Two of them at most: enough for a new line and an indent of one, and no room to wander. */
static int32_t blanks(maker *m)
{
    syntax *s = m->syntax;
    int32_t one = syntax_either(s, syntax_byte(s, ' ', ' '), syntax_byte(s, '\n', '\n'));
    return syntax_repeat(s, one, 0, 2);
}

static int32_t both(maker *m, int32_t left, int32_t right)
{
    return syntax_both(m->syntax, left, right);
}

static int32_t value_of(maker *m, const json_t *schema);

/* ---- literal values ---- */

static int take_bytes(const char *bytes, size_t n, void *context)
{
    buf_add(context, bytes, n);
    return 0;
}

static int32_t literal(maker *m, const json_t *value)
{
    buf dumped = buf_up_to(1 << 20);
    bool ok = json_dump_callback(value, take_bytes, &dumped, JSON_ENCODE_ANY | JSON_COMPACT) == 0 &&
              !dumped.failed;
    int32_t node =
        ok ? syntax_text(m->syntax, buf_view(&dumped)) : fail(m, "cannot write a value of", "enum");
    buf_close(&dumped);
    return node;
}

static int32_t any_of(maker *m, const json_t *list, const char *name, bool literals)
{
    int32_t all = -1;
    size_t i = 0;
    const json_t *one = NULL;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return fail(m, "a list that is not empty is wanted under", name);
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        int32_t node = literals ? literal(m, one) : value_of(m, one);
        if (node < 0) return -1;
        all = syntax_either(m->syntax, all, node);
    }
    return all;
}

/* ---- types ---- */

/* A whole number of the schema, from 0 to 4096; `otherwise` when it is absent; -2: wrong. */
static int32_t count_of(maker *m, const json_t *schema, const char *key, int32_t otherwise)
{
    const json_t *value = json_object_get(schema, key);
    if (!value) return otherwise;
    json_int_t n = json_integer_value(value);
    if (json_is_integer(value) && n >= 0 && n <= SYNTAX_REPEAT_MAX) return (int32_t)n;
    fail(m, "a whole number from 0 to 4096 is wanted for", key);
    return -2;
}

static int32_t string_type(maker *m, const json_t *schema)
{
    syntax *s = m->syntax;
    int32_t low = count_of(m, schema, "minLength", 0), high = count_of(m, schema, "maxLength", -1);
    if (low == -2 || high == -2 || (high >= 0 && high < low))
        return s->e->code ? -1 : fail(m, "is less than minLength:", "maxLength");
    int32_t hex = syntax_either(s, syntax_byte(s, '0', '9'), syntax_byte(s, 'a', 'f'));
    hex = syntax_either(s, hex, syntax_byte(s, 'A', 'F'));
    int32_t mark = syntax_either(s, syntax_byte(s, '"', '"'), syntax_byte(s, '\\', '\\'));
    for (const char *c = "/bfnrt"; *c; c++) mark = syntax_either(s, mark, syntax_byte(s, *c, *c));
    mark = syntax_either(s, mark, both(m, text(m, "u"), syntax_repeat(s, hex, 4, 4)));
    int32_t one = syntax_either(s, syntax_range(s, ' ', '!'), syntax_range(s, '#', '['));
    one = syntax_either(s, one, syntax_range(s, ']', 0x10FFFF));
    one = syntax_either(s, one, both(m, text(m, "\\"), mark));
    return both(m, both(m, text(m, "\""), syntax_repeat(s, one, low, high)), text(m, "\""));
}

/* -?(0|[1-9][0-9]{0,17}) */
static int32_t whole_number(maker *m)
{
    syntax *s = m->syntax;
    int32_t digits = syntax_repeat(s, syntax_byte(s, '0', '9'), 0, 17);
    int32_t number = syntax_either(s, text(m, "0"), both(m, syntax_byte(s, '1', '9'), digits));
    return both(m, syntax_repeat(s, text(m, "-"), 0, 1), number);
}

static int32_t integer_type(maker *m, const json_t *schema)
{
    const json_t *low = json_object_get(schema, "minimum"),
                 *high = json_object_get(schema, "maximum");
    if (!low && !high) return whole_number(m);
    if (!json_is_integer(low) || !json_is_integer(high))
        return fail(m, "both of minimum and maximum, as whole numbers, go with", "integer");
    json_int_t from = json_integer_value(low), to = json_integer_value(high);
    if (from > to || from < -1000000000 || to > 1000000000 || to - from > INTEGERS_MAX)
        return fail(m, "minimum and maximum are out of order or too far apart for", "integer");
    int32_t all = -1;
    for (json_int_t i = from; i <= to; i++) {
        char digits[32];
        snprintf(digits, sizeof digits, "%lld", (long long)i);
        all = syntax_either(m->syntax, all, text(m, digits));
    }
    return all;
}

static int32_t number_type(maker *m, const json_t *schema)
{
    syntax *s = m->syntax;
    (void)schema;
    int32_t digits = syntax_repeat(s, syntax_byte(s, '0', '9'), 1, 17);
    int32_t part = syntax_repeat(s, both(m, text(m, "."), digits), 0, 1);
    int32_t sign = syntax_either(s, text(m, "+"), text(m, "-"));
    int32_t power = both(m, syntax_either(s, text(m, "e"), text(m, "E")),
                         both(m, syntax_repeat(s, sign, 0, 1),
                              syntax_repeat(s, syntax_byte(s, '0', '9'), 1, 2)));
    return both(m, both(m, whole_number(m), part), syntax_repeat(s, power, 0, 1));
}

static int32_t boolean_type(maker *m, const json_t *schema)
{
    (void)schema;
    return syntax_either(m->syntax, text(m, "true"), text(m, "false"));
}

static int32_t null_type(maker *m, const json_t *schema)
{
    (void)schema;
    return text(m, "null");
}

static int32_t comma(maker *m) { return both(m, both(m, blanks(m), text(m, ",")), blanks(m)); }

/* Every name under `required` is one of the properties. */
static bool check_required(maker *m, const json_t *required, const json_t *properties)
{
    size_t i = 0;
    const json_t *one = NULL;
    if (!required) return true;
    if (!json_is_array(required)) return fail(m, "a list is wanted under", "required") >= 0;
    json_array_foreach((json_t *)(uintptr_t)required, i, one)
    {
        const char *name = json_string_value(one);
        if (name && json_object_get(properties, name)) continue;
        return fail(m, "`required` names what is no property:", name ? name : "?") >= 0;
    }
    return true;
}

/* Without `required` all properties stand in a text. */
static bool is_required(const json_t *required, const char *name)
{
    bool found = !required;
    for (size_t i = 0; !found && i < json_array_size(required); i++)
        found = !strcmp(json_string_value(json_array_get(required, i)), name);
    return found;
}

/* `"name": value`, and as it stands behind another. */
typedef struct property {
    int32_t node, behind;
    bool required;
} property;

/* Properties from k on, with nothing before them: the first that stands has no comma. Those behind
 * it stand each with its comma, or not at all. */
static int32_t properties_from(maker *m, const property *p, size_t k, size_t n)
{
    syntax *s = m->syntax;
    int32_t all = -1;
    for (; k < n; k++) {
        int32_t here = p[k].node;
        for (size_t i = k + 1; i < n; i++)
            here = both(m, here, p[i].required ? p[i].behind : syntax_repeat(s, p[i].behind, 0, 1));
        all = syntax_either(s, all, here);
        if (all < 0 || p[k].required) return all;
    }
    return syntax_either(s, all, syntax_empty(s));
}

static int32_t object_type(maker *m, const json_t *schema)
{
    enum { PROPERTIES_MAX = 100 };
    const json_t *properties = json_object_get(schema, "properties"),
                 *required = json_object_get(schema, "required");
    const char *name = NULL;
    json_t *value = NULL;
    property own[PROPERTIES_MAX];
    size_t n = 0;
    if (!json_is_object(properties) || json_object_size(properties) == 0 ||
        json_object_size(properties) > PROPERTIES_MAX)
        return fail(m, "an object needs from 1 to 100 of its", "properties");
    if (!check_required(m, required, properties)) return -1;
    json_object_foreach((json_t *)(uintptr_t)properties, name, value)
    {
        json_t *key = json_string(name);
        int32_t node = both(m, literal(m, key), both(m, text(m, ":"), blanks(m)));
        json_decref(key);
        node = both(m, node, value_of(m, value));
        own[n++] =
            (property){node, node < 0 ? -1 : both(m, comma(m), node), is_required(required, name)};
        if (own[n - 1].behind < 0) return -1;
    }
    const int32_t open = both(m, text(m, "{"), blanks(m)),
                  all = both(m, open, properties_from(m, own, 0, n));
    return both(m, all, both(m, blanks(m), text(m, "}")));
}

static int32_t array_type(maker *m, const json_t *schema)
{
    const json_t *items = json_object_get(schema, "items");
    int32_t low = count_of(m, schema, "minItems", 0), high = count_of(m, schema, "maxItems", -1);
    if (low == -2 || high == -2) return -1;
    if (!items || (high >= 0 && high < low) || high == 0)
        return fail(m, "an array needs `items`, and maxItems of at least 1 and of", "minItems");
    int32_t one = value_of(m, items);
    int32_t more = both(m, comma(m), one);
    if (more < 0) return -1;
    int32_t rest = syntax_repeat(m->syntax, more, low > 0 ? low - 1 : 0, high < 0 ? -1 : high - 1);
    int32_t filled = both(m, both(m, blanks(m), both(m, one, rest)), blanks(m));
    if (low == 0) filled = syntax_either(m->syntax, syntax_empty(m->syntax), filled);
    return both(m, both(m, text(m, "["), filled), text(m, "]"));
}

typedef struct type_row {
    const char *name;
    int32_t (*make)(maker *m, const json_t *schema);
    const char *keys; /* that it knows, between blanks */
} type_row;

static const type_row types[] = {
    {"object", object_type, " properties required additionalProperties "},
    {"array", array_type, " items minItems maxItems "},
    {"string", string_type, " minLength maxLength "},
    {"integer", integer_type, " minimum maximum "},
    {"number", number_type, " "},
    {"boolean", boolean_type, " "},
    {"null", null_type, " "},
};

static const type_row *find_type(const char *name)
{
    for (size_t i = 0; name && i < countof(types); i++) {
        if (!strcmp(types[i].name, name)) return &types[i];
    }
    return NULL;
}

/* Every key says something that is kept, or nothing about the text. */
static bool check_keys(maker *m, const json_t *schema, const type_row *type)
{
    static const char silent[] = " type title description default examples $schema $id ";
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)schema, name, value)
    {
        char word[80];
        snprintf(word, sizeof word, " %.70s ", name);
        bool known = strstr(silent, word) || (type && strstr(type->keys, word));
        bool closed = !strcmp(name, "additionalProperties") && !json_is_false(value);
        if (known && !closed) continue;
        fail(m, closed ? "only false is kept for" : "this key is not known here:", name);
        return false;
    }
    return true;
}

static int32_t typed(maker *m, const json_t *schema, const char *name)
{
    const type_row *type = find_type(name);
    if (!type) return fail(m, "this type is not known:", name ? name : "(not a text)");
    return check_keys(m, schema, type) ? type->make(m, schema) : -1;
}

static int32_t union_of(maker *m, const json_t *schema, const json_t *list)
{
    int32_t all = -1;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *own = json_copy((json_t *)(uintptr_t)schema);
        const type_row *type = find_type(json_string_value(json_array_get(list, i)));
        for (size_t k = 0; own && k < countof(types); k++) { /* keys of its other types */
            if (&types[k] == type) continue;
            char keys[100], *at = keys, *word;
            snprintf(keys, sizeof keys, "%s", types[k].keys);
            while ((word = strsep(&at, " ")) != NULL) json_object_del(own, word);
        }
        int32_t one = own ? typed(m, own, json_string_value(json_array_get(list, i))) : -1;
        json_decref(own);
        if (one < 0) return m->syntax->e->code ? -1 : fail(m, "cannot be read:", "type");
        all = syntax_either(m->syntax, all, one);
    }
    return all < 0 ? fail(m, "is an empty list:", "type") : all;
}

static int32_t value_of(maker *m, const json_t *schema)
{
    if (!json_is_object(schema)) return fail(m, "a map is wanted in the place of", "a schema");
    if (m->depth >= SYNTAX_DEPTH_MAX / 4) return fail(m, "is too deep:", "a schema");
    m->depth++;
    const json_t *type = json_object_get(schema, "type"), *one = NULL;
    int32_t node;
    if ((one = json_object_get(schema, "const")) != NULL) node = literal(m, one);
    else if ((one = json_object_get(schema, "enum")) != NULL) node = any_of(m, one, "enum", true);
    else if ((one = json_object_get(schema, "anyOf")) != NULL)
        node = any_of(m, one, "anyOf", false);
    else if ((one = json_object_get(schema, "oneOf")) != NULL)
        node = any_of(m, one, "oneOf", false);
    else if (json_is_array(type)) node = union_of(m, schema, type);
    else if (!type) node = fail(m, "a schema lacks the key", "type");
    else node = typed(m, schema, json_string_value(type));
    m->depth--;
    return node;
}

bool automaton_schema(automaton *m, str json, arena *a, err *e)
{
    json_error_t why;
    json_t *schema = json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES, &why);
    if (!schema)
        return err_set(e, ERR_USAGE, "the schema of a constraint is not JSON: line %d: %s",
                       why.line, why.text);
    syntax s = {.node = buf_up_to((size_t)1 << 28), .e = e};
    maker mk = {.syntax = &s};
    int32_t root = value_of(&mk, schema);
    bool ok = root >= 0 && syntax_compile(&s, root, m, a);
    buf_close(&s.node);
    json_decref(schema);
    return ok;
}
