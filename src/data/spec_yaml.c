/* spec_yaml: libyaml's events to a small tree. Everything YAML has beyond scalars, lists and maps
 * is refused: a study file that two people read must mean one thing. */
#include "data/spec_in.h"

#include <assert.h>
#include <yaml.h>

typedef struct yaml_open { /* a list or map that is not closed yet */
    int32_t item, last;    /* last child, -1 */
    int32_t n_child;
} yaml_open;

typedef struct yaml_reader {
    yaml_parser_t parser;
    const char *path;
    str source;
    arena *a;
    buf items; /* yaml_item[] */
    yaml_open open[YAML_DEPTH_MAX];
    int32_t depth, n;
    bool done;
} yaml_reader;

static yaml_item *item_at(const yaml_reader *r, int32_t i)
{
    return (yaml_item *)(void *)r->items.data + i;
}

static bool fail(const yaml_reader *r, int64_t line, err *e, const char *what)
{
    return err_set(e, ERR_USAGE, "%s: line %lld: %s", r->path, (long long)line, what);
}

static bool fail_parse(const yaml_reader *r, err *e)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) return err_set(e, ERR_RESOURCE, "out of memory");
    if (p->error == YAML_READER_ERROR) { /* it counts bytes, not lines */
        int64_t line = 1;
        for (size_t i = 0; i < p->problem_offset && i < r->source.size; i++)
            line += r->source.data[i] == '\n';
        return fail(
            r, line, e,
            "a control character, or bytes that are not UTF-8; save the study file as UTF-8");
    }
    const char *problem = p->problem ? p->problem : "it cannot be read";
    bool tab = strstr(problem, "cannot start any token") != NULL;
    return err_set(e, ERR_USAGE, "%s: line %zu: not YAML: %s%s%s%s", r->path,
                   p->problem_mark.line + 1, problem, p->context ? " " : "",
                   p->context ? p->context : "",
                   tab ? " (indent with spaces, not tabs; quote texts that begin with a sign)"
                       : "");
}

/* Adds an item below the innermost open list or map; returns its index, -1 on failure. */
static int32_t add_item(yaml_reader *r, const yaml_item *item, err *e)
{
    if (r->n == YAML_ITEMS_MAX)
        return fail(r, item->line, e, "too many items for a study file"), -1;
    int32_t i = r->n++;
    buf_add(&r->items, item, sizeof *item);
    if (!buf_check(&r->items, "the study file", e)) return -1;
    if (r->depth == 0) return i;
    yaml_open *in = &r->open[r->depth - 1];
    if (item_at(r, in->item)->kind == YAML_MAP && in->n_child % 2 == 0 && item->kind != YAML_TEXT)
        return fail(r, item->line, e, "a key must be a word, not a list or map"), -1;
    if (in->last >= 0) item_at(r, in->last)->next = i;
    else item_at(r, in->item)->first = i;
    in->last = i;
    in->n_child++;
    return i;
}

static bool open_item(yaml_reader *r, yaml_kind kind, int32_t line, err *e)
{
    if (r->depth == YAML_DEPTH_MAX) return fail(r, line, e, "nested too deeply for a study file");
    yaml_item item = {.kind = kind, .line = line, .first = -1, .next = -1};
    int32_t i = add_item(r, &item, e);
    if (i < 0) return false;
    r->open[r->depth++] = (yaml_open){.item = i, .last = -1};
    return true;
}

/* No two keys of a closed map may be equal. Maps are small: pairs are compared. */
static bool check_keys(const yaml_reader *r, const yaml_item *map, err *e)
{
    enum { KEYS_MAX = 1000 };
    if (map->n > KEYS_MAX) return fail(r, map->line, e, "a map with more than 1,000 keys");
    for (int32_t i = map->first; i >= 0; i = item_at(r, item_at(r, i)->next)->next) {
        for (int32_t k = map->first; k != i; k = item_at(r, item_at(r, k)->next)->next) {
            const yaml_item *one = item_at(r, k), *two = item_at(r, i);
            if (!str_equal(one->text, two->text)) continue;
            str shown = encoding_cut(two->text, 60);
            return err_set(e, ERR_USAGE,
                           "%s: line %d: the key '%.*s' is there twice (first on line %d)", r->path,
                           two->line, (int)shown.size, shown.data, one->line);
        }
    }
    return true;
}

static bool close_item(yaml_reader *r, err *e)
{
    assert(r->depth > 0);
    yaml_open *in = &r->open[--r->depth];
    yaml_item *item = item_at(r, in->item);
    item->n = item->kind == YAML_MAP ? in->n_child / 2 : in->n_child;
    return item->kind != YAML_MAP || check_keys(r, item, e);
}

static bool add_scalar(yaml_reader *r, const yaml_event_t *event, int32_t line, err *e)
{
    str text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    if (memchr(text.data, 0, text.size)) return fail(r, line, e, "a NUL character");
    if (encoding_utf8_valid(text) >= 0) return fail(r, line, e, "a text that is not UTF-8");
    yaml_item item = {.kind = YAML_TEXT, .line = line, .first = -1, .next = -1};
    item.text = str_keep(r->a, text, e);
    return e->code == ERR_NONE && add_item(r, &item, e) >= 0;
}

static bool take_event(yaml_reader *r, const yaml_event_t *event, err *e)
{
    int32_t line = (int32_t)event->start_mark.line + 1;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default: break;
    }
    if (anchor)
        return fail(r, line, e, "anchors (&name) are not used in study files; write it out");
    if (tag)
        return fail(r, line, e, "tags (!name) are not used in study files; every value is text");
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return fail(r, line, e,
                    "aliases (*name) are not used in study files; write it out, or quote the text");
    case YAML_DOCUMENT_START_EVENT:
        return r->n == 0 || fail(r, line, e, "a second document begins here; keep one a file");
    case YAML_SCALAR_EVENT: return add_scalar(r, event, line, e);
    case YAML_SEQUENCE_START_EVENT: return open_item(r, YAML_LIST, line, e);
    case YAML_MAPPING_START_EVENT: return open_item(r, YAML_MAP, line, e);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return close_item(r, e);
    case YAML_STREAM_END_EVENT: r->done = true; return true;
    default: return true;
    }
}

static bool read_events(yaml_reader *r, err *e)
{
    while (!r->done) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->parser, &event)) return fail_parse(r, e);
        bool ok = take_event(r, &event, e);
        yaml_event_delete(&event);
        if (!ok) return false;
    }
    if (r->n == 0 || item_at(r, 0)->kind != YAML_MAP) {
        return err_set(e, ERR_USAGE,
                       "%s: not a study file: it begins with keys such as 'study: name', "
                       "'data:' and 'classes:'",
                       r->path);
    }
    return true;
}

bool yaml_read(yaml_tree *t, str text, const char *path, arena *a, err *e)
{
    assert(t && path);
    if (text.size > SPEC_BYTES_MAX)
        return err_set(e, ERR_USAGE, "%s: %.1f MB; a study file has at most 4 MB", path,
                       (double)text.size / 1e6);
    yaml_reader r = {.path = path,
                     .source = text,
                     .a = a,
                     .items = buf_up_to((YAML_ITEMS_MAX + 1) * sizeof(yaml_item))};
    if (text.size == 0) text = STR(""); /* libyaml wants an address */
    if (!yaml_parser_initialize(&r.parser)) return err_set(e, ERR_RESOURCE, "out of memory");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.data, text.size);
    yaml_item *items = NULL;
    if (read_events(&r, e)) {
        items = arena_take(a, (size_t)r.n, sizeof *items, e);
        if (items) memcpy(items, r.items.data, (size_t)r.n * sizeof *items);
    }
    yaml_parser_delete(&r.parser);
    buf_close(&r.items);
    *t = (yaml_tree){.item = items, .n = r.n};
    return items != NULL;
}
