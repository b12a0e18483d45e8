/* requests_form: the "constrain" object of a request's "generate"; see requests.h. Requests asking
 * for the same form share its automaton and masks: a file of many requests makes each form once. */
#include "study/requests_in.h"

enum { CHOICES_MAX = 1000, FORM_BYTES_MAX = 1 << 20 };

typedef struct form_kept {
    str asked; /* the object as JSON: the order of a schema's properties counts */
    constrainer *only;
} form_kept;

static bool read_choice(const json_t *list, automaton *m, arena *a, err *e)
{
    size_t n = json_array_size(list);
    if (n == 0 || n > CHOICES_MAX) {
        return err_set(e, ERR_DATA, "`constrain: choice` must be a list of 1 to %d texts",
                       CHOICES_MAX);
    }
    str *text = arena_take(a, n, sizeof *text, e);
    for (size_t i = 0; text && i < n; i++) {
        const json_t *one = json_array_get(list, i);
        text[i] = (str){json_string_value(one), json_string_length(one)};
        if (!json_is_string(one) || text[i].size == 0)
            return err_set(e, ERR_DATA, "`constrain: choice` needs texts that are not empty");
    }
    return text && automaton_choice(m, text, (int32_t)n, a, e);
}

static bool read_pattern(const json_t *pattern, automaton *m, arena *a, err *e)
{
    if (!json_is_string(pattern))
        return err_set(e, ERR_DATA, "`constrain: pattern` must be a text");
    return automaton_pattern(m, (str){json_string_value(pattern), json_string_length(pattern)}, a,
                             e);
}

static int add_bytes(const char *bytes, size_t size, void *to)
{
    buf_add(to, bytes, size);
    return 0;
}

static bool read_schema(const json_t *schema, automaton *m, arena *a, err *e)
{
    if (!json_is_object(schema))
        return err_set(e, ERR_DATA, "`constrain: schema` must be an object");
    buf text = buf_up_to(FORM_BYTES_MAX);
    json_dump_callback(schema, add_bytes, &text, JSON_COMPACT);
    bool ok = buf_check(&text, "a schema", e) && automaton_schema(m, buf_view(&text), a, e);
    buf_close(&text);
    return ok;
}

typedef struct form_kind {
    const char *name;
    bool (*read)(const json_t *value, automaton *m, arena *a, err *e);
} form_kind;

static const form_kind kinds[] = {{"choice", read_choice},
                                  {"pattern", read_pattern},
                                  {"schema", read_schema}};

static const form_kind *kind_of(const json_t *object, err *e)
{
    const char *known[countof(kinds)], *name = NULL;
    json_t *value = NULL;
    const form_kind *found = NULL;
    for (size_t i = 0; i < countof(kinds); i++) known[i] = kinds[i].name;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        for (size_t i = 0; i < countof(kinds); i++) {
            if (!strcmp(name, known[i])) found = &kinds[i];
        }
        if (found && json_object_size(object) == 1) return found;
        const char *near = found ? NULL : str_nearest(str_of(name), known, countof(known));
        if (near) {
            err_set(e, ERR_DATA, "`constrain` has no key '%.40s'; did you mean '%s'?", name, near);
            return NULL;
        }
    }
    err_set(e, ERR_DATA,
            "`constrain` must be an object with one of `choice`, `pattern` and "
            "`schema`, such as {\"choice\": [\"Yes\", \"No\"]}");
    return NULL;
}

static bool make(request_forms *f, const json_t *object, form_kept *k, err *e)
{
    const form_kind *kind = kind_of(object, e);
    automaton *m = arena_take_zero(f->memory, 1, sizeof *m, e);
    k->only = arena_take(f->memory, 1, sizeof *k->only, e);
    if (!kind || !m || !k->only) return false;
    if (!kind->read(json_object_get(object, kind->name), m, f->memory, e)) {
        if (e->code == ERR_USAGE) e->code = ERR_DATA; /* it stood in a line of the input */
        return false;
    }
    if (!f->vocabulary) {
        f->vocabulary = arena_take(f->memory, 1, sizeof *f->vocabulary, e);
        const model_header *h = f->header;
        if (!f->vocabulary ||
            !token_bytes_make(f->vocabulary, h->tokens, h->config.n_vocab, f->memory, e))
            return false;
    }
    return constrainer_make(k->only, m, f->vocabulary, f->memory, e);
}

static constrainer *find(const request_forms *f, str asked)
{
    const form_kept *kept = (const form_kept *)(const void *)f->kept.data;
    for (size_t i = 0; i < f->kept.size / sizeof *kept; i++) {
        if (str_equal(kept[i].asked, asked)) return kept[i].only;
    }
    return NULL;
}

bool requests_read_form(request_forms *f, const json_t *object, constrainer **only, err *e)
{
    *only = NULL;
    if (!object) return true;
    buf asked = buf_up_to(FORM_BYTES_MAX);
    json_dump_callback(object, add_bytes, &asked, JSON_COMPACT | JSON_ENCODE_ANY);
    bool ok = buf_check(&asked, "a form", e);
    if (ok) *only = find(f, buf_view(&asked));
    if (ok && !*only && f->kept.size / sizeof(form_kept) == REQUESTS_FORMS_MAX) {
        ok = err_set(e, ERR_DATA, "more than %d different forms in one input; send it in parts",
                     REQUESTS_FORMS_MAX);
    } else if (ok && !*only) {
        form_kept k = {.asked = str_keep(f->memory, buf_view(&asked), e)};
        ok = k.asked.data && make(f, object, &k, e);
        if (ok) buf_add(&f->kept, &k, sizeof k);
        *only = ok ? k.only : NULL;
    }
    buf_close(&asked);
    return ok && buf_check(&f->kept, "the forms", e);
}
