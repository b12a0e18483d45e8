/* chat_call: filters, tests, methods and functions of templates, one table row each.
 *
 * How: a row names its parameters; `bind` puts a call's arguments to them, by place and by name,
 * and the row's function reads them from call.p (V_ABSENT where none was given). `*` instead of
 * names: the function reads the arguments itself; `/` first: by place only.
 *
 * What filters of Jinja return lazily (map, select, reject, unique, items, reverse) is worked out
 * at once here, and marked V_LAZY so that a second pass finds nothing, as in Python.
 *
 * Refuses: whatever has no row; what changes a list or dict; %(name)s and {:spec} formats.
 */
#include "text/chat_call_in.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

typedef bool (*call_fn)(run *r, const call *c, value *out);

typedef struct row {
    const char *name, *params;
    call_fn fn;
    int required, aux;
    uint32_t kinds; /* methods: 1 << kind of the values that have it */
} row;

static bool bind_named(run *r, const row *w, const char *params, const named *n, call *c)
{
    int at = 0;
    for (const char *p = params; *p; at++) {
        size_t size = strcspn(p, " ");
        if (str_equal(n->name, (str){p, size}) && at < CHAT_PARAM_MAX) {
            if (c->p[at].kind != V_ABSENT)
                return chat_fail(r, "%s is given '%.*s' twice", w->name, (int)size, p);
            c->p[at] = n->value;
            return true;
        }
        p += size + (p[size] == ' ');
    }
    return chat_fail(r, "%s takes no argument '%.*s'", w->name,
                     n->name.size < 80 ? (int)n->name.size : 80, n->name.data);
}

/* Puts the arguments to the row's parameters. */
static bool bind(run *r, const row *w, const args *a, call *c)
{
    const char *params = w->params;
    c->all = a;
    c->aux = w->aux;
    for (int i = 0; i < CHAT_PARAM_MAX; i++) c->p[i] = (value){.kind = V_ABSENT};
    if (*params == '*') return true;
    bool by_place = *params == '/';
    if (by_place) params += params[1] ? 2 : 1;
    int64_t most = *params != 0;
    for (const char *p = params; *p; p++) most += *p == ' ';
    if (a->n > most)
        return chat_fail(r, "%s takes at most %lld arguments", w->name, (long long)most);
    for (int64_t i = 0; i < a->n; i++) c->p[i] = a->at[i];
    for (int64_t i = 0; i < a->n_named; i++) {
        if (!bind_named(r, w, by_place ? "" : params, &a->named[i], c)) return false;
    }
    for (int i = 0; i < w->required; i++) {
        if (c->p[i].kind == V_ABSENT)
            return chat_fail(r, "%s needs %d argument%s", w->name, w->required,
                             w->required > 1 ? "s" : "");
    }
    return true;
}

/* ---- items ---- */

/* item.a.b or item.0.b; `otherwise` (if not absent) stands for what is undefined on the way. */
static bool follow(run *r, value item, value path, value otherwise, value *out)
{
    *out = item;
    if (chat_absent(path)) return true;
    if (is_whole(path)) return chat_value_item(r, item, path, out);
    str rest = {0};
    if (!chat_str_arg(r, path, &rest)) return false;
    for (bool more = true; more;) {
        int64_t dot = str_find(rest, STR(".")), whole = 0;
        str part = dot < 0 ? rest : str_part(rest, 0, (size_t)dot);
        more = dot >= 0;
        if (more) rest = str_part(rest, (size_t)dot + 1, rest.size - (size_t)dot - 1);
        bool digits = part.size && part.data[0] >= '0' && str_to_int(part, &whole);
        value key = digits ? of_int(whole) : of_str(part), next;
        key.id = 1;
        if (!chat_value_item(r, *out, key, &next)) return false;
        *out = next.kind == V_UNDEFINED && !chat_absent(otherwise) ? otherwise : next;
    }
    return true;
}

static bool sort_key(run *r, value item, value path, bool exact, value *out)
{
    if (!follow(r, item, path, of_none(), out)) return false;
    if (exact || out->kind != V_STR) return true;
    str low = {0};
    bool good = chat_text_map(r, out->s, CASE_LOWER, &low);
    *out = of_str(low);
    return good;
}

/* The key of sort: for "a,b" a tuple of both. */
static bool sort_keys(run *r, value item, value path, bool exact, value *out)
{
    int64_t n = 1, i = 0;
    seq *q = NULL;
    if (path.kind != V_STR || str_find(path.s, STR(",")) < 0)
        return sort_key(r, item, path, exact, out);
    for (size_t k = 0; k < path.s.size; k++) n += path.s.data[k] == ',';
    if (!chat_value_seq(r, n, &q)) return false;
    for (str rest = path.s; i < n; i++) {
        int64_t comma = str_find(rest, STR(","));
        str part = comma < 0 ? rest : str_part(rest, 0, (size_t)comma);
        if (!sort_key(r, item, of_str(part), exact, &q->at[i])) return false;
        if (comma >= 0) rest = str_part(rest, (size_t)comma + 1, rest.size - (size_t)comma - 1);
    }
    *out = of_seq(V_TUPLE, q);
    return true;
}

typedef struct sorted {
    value key, item;
} sorted;

/* A stable merge of two sorted halves. */
static bool merge(run *r, const sorted *from, sorted *to, int64_t n[2], bool down)
{
    int64_t a = 0, b = n[0], k = 0, end = n[0] + n[1];
    while (a < n[0] || b < end) {
        bool first = b >= end, less = false;
        if (a < n[0] && b < end) {
            const value *x = &from[a].key, *y = &from[b].key;
            if (!chat_compare(r, '<', down ? *x : *y, down ? *y : *x, &less)) return false;
            first = !less;
        }
        to[k++] = first ? from[a++] : from[b++];
    }
    return true;
}

static bool sort_items(run *r, sorted *at, int64_t n, bool down)
{
    sorted *other = chat_take(r, n, sizeof *other), *from = at, *to = other;
    if (!other) return false;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t i = 0; i < n; i += 2 * width) {
            int64_t left = n - i < width ? n - i : width;
            int64_t right = n - i - left < width ? n - i - left : width;
            if (!merge(r, from + i, to + i, (int64_t[2]){left, right}, down)) return false;
        }
        sorted *swap = from;
        from = to;
        to = swap;
    }
    if (from != at && n) memcpy(at, from, (size_t)n * sizeof *at);
    return true;
}

static bool do_sort(run *r, const call *c, value *out)
{
    seq *q = NULL, *result = NULL;
    if (!chat_value_items(r, c->self, &q) || !chat_value_seq(r, q->n, &result)) return false;
    sorted *at = chat_take(r, q->n, sizeof *at);
    if (!at) return false;
    for (int64_t i = 0; i < q->n; i++) {
        at[i].item = q->at[i];
        if (!sort_keys(r, q->at[i], c->p[2], chat_value_true(c->p[1]), &at[i].key)) return false;
        /* Python compares lists of one key: equal ones need no order, None beside None is fine */
        seq *one = NULL;
        if (!chat_value_seq(r, 1, &one)) return false;
        one->at[0] = at[i].key;
        at[i].key = of_seq(V_TUPLE, one);
    }
    if (!sort_items(r, at, q->n, chat_value_true(c->p[0]))) return false;
    for (int64_t i = 0; i < q->n; i++) result->at[i] = at[i].item;
    *out = of_seq(V_LIST, result);
    return true;
}

static bool pair_value(run *r, const pair *p, value *out)
{
    seq *q = NULL;
    if (!chat_value_seq(r, 2, &q)) return false;
    q->at[0] = p->key;
    q->at[1] = p->value;
    *out = of_seq(V_TUPLE, q);
    return true;
}

static bool do_dictsort(run *r, const call *c, value *out)
{
    str by = STR("key");
    seq *q = NULL;
    if (!chat_need_defined(r, c->self)) return false;
    if (c->self.kind != V_DICT)
        return chat_fail(r, "dictsort takes a dict, not %s", chat_value_type(c->self));
    if (c->p[1].kind != V_ABSENT && !chat_str_arg(r, c->p[1], &by)) return false;
    bool by_value = str_is(by, "value");
    if (!by_value && !str_is(by, "key")) return chat_fail(r, "dictsort sorts by key or value");
    const dict *d = c->self.dict;
    sorted *at = chat_take(r, d->n, sizeof *at);
    if (!at || !chat_value_seq(r, d->n, &q)) return false;
    for (int64_t i = 0; i < d->n; i++) {
        value key = by_value ? d->at[i].value : d->at[i].key;
        if (!pair_value(r, &d->at[i], &at[i].item)) return false;
        if (!sort_key(r, key, of_none(), chat_value_true(c->p[0]), &at[i].key)) return false;
    }
    if (!sort_items(r, at, d->n, chat_value_true(c->p[2]))) return false;
    for (int64_t i = 0; i < d->n; i++) q->at[i] = at[i].item;
    *out = of_seq(V_LIST, q);
    return true;
}

static bool do_unique(run *r, const call *c, value *out)
{
    seq *q = NULL, *keys = NULL, *result = NULL;
    if (!chat_value_items(r, c->self, &q)) return false;
    if (!chat_value_seq(r, q->n, &keys) || !chat_value_seq(r, q->n, &result)) return false;
    result->n = 0;
    for (int64_t i = 0; i < q->n; i++) {
        value key;
        bool seen = false;
        if (!sort_key(r, q->at[i], c->p[1], chat_value_true(c->p[0]), &key)) return false;
        if (!chat_value_hashable(key))
            return chat_fail(r, "unique: %s has no hash", chat_value_type(key));
        for (int64_t k = 0; k < result->n && !seen; k++) {
            if (!chat_spend(r, 1) || !chat_value_equal(r, keys->at[k], key, &seen)) return false;
        }
        if (seen) continue;
        keys->at[result->n] = key;
        result->at[result->n++] = q->at[i];
    }
    *out = of_seq(V_LAZY, result);
    return true;
}

static bool do_extreme(run *r, const call *c, value *out) /* aux: '<' min, '>' max */
{
    seq *q = NULL;
    value best = of_none(), key;
    if (!chat_value_items(r, c->self, &q)) return false;
    *out = of_message("the sequence of min or max is empty");
    for (int64_t i = 0; i < q->n; i++) {
        bool better = i == 0;
        if (!sort_key(r, q->at[i], c->p[1], chat_value_true(c->p[0]), &key)) return false;
        if (i && !chat_compare(r, c->aux, key, best, &better)) return false;
        if (!better) continue;
        best = key;
        *out = q->at[i];
    }
    return true;
}

static bool do_sum(run *r, const call *c, value *out)
{
    seq *q = NULL;
    *out = c->p[1].kind == V_ABSENT ? of_int(0) : c->p[1];
    if (!chat_value_items(r, c->self, &q)) return false;
    for (int64_t i = 0; i < q->n; i++) {
        value v;
        if (!follow(r, q->at[i], c->p[0], of_none(), &v)) return false;
        if (!chat_binary(r, '+', *out, v, out)) return false;
    }
    return true;
}

static bool do_first(run *r, const call *c, value *out) /* aux: the last */
{
    seq *q = NULL;
    if (!chat_value_items(r, c->self, &q)) return false;
    *out = q->n ? q->at[c->aux ? q->n - 1 : 0] : of_message("the sequence is empty");
    return true;
}

static bool do_length(run *r, const call *c, value *out)
{
    int64_t n = 0;
    if (!chat_value_length(r, c->self, &n)) return false;
    *out = of_int(n);
    return true;
}

static bool do_list(run *r, const call *c, value *out)
{
    seq *q = NULL;
    if (!chat_value_items(r, c->self, &q)) return false;
    *out = of_seq(V_LIST, q);
    return true;
}

static bool do_reverse(run *r, const call *c, value *out)
{
    seq *q = NULL, *copy = NULL;
    if (!chat_value_items(r, c->self, &q) || !chat_value_seq(r, q->n, &copy)) return false;
    for (int64_t i = 0; i < q->n; i++) copy->at[i] = q->at[q->n - 1 - i];
    *out = of_seq(c->self.kind == V_LAZY ? V_LIST : V_LAZY, copy);
    return c->self.kind != V_STR || chat_join_items(r, STR(""), copy, true, out);
}

static bool do_join(run *r, const call *c, value *out)
{
    seq *q = NULL, *picked = NULL;
    str by = {0};
    if (c->p[0].kind != V_ABSENT && !chat_value_str(r, c->p[0], &by)) return false;
    if (!chat_value_items(r, c->self, &q)) return false;
    if (chat_absent(c->p[1])) return chat_join_items(r, by, q, false, out);
    if (!chat_value_seq(r, q->n, &picked)) return false;
    for (int64_t i = 0; i < q->n; i++) {
        if (!follow(r, q->at[i], c->p[1], of_none(), &picked->at[i])) return false;
    }
    return chat_join_items(r, by, picked, false, out);
}

static bool do_default(run *r, const call *c, value *out)
{
    (void)r;
    bool missing =
        c->self.kind == V_UNDEFINED || (chat_value_true(c->p[1]) && !chat_value_true(c->self));
    value other = c->p[0].kind == V_ABSENT ? of_str(STR("")) : c->p[0];
    *out = missing ? other : c->self;
    return true;
}

/* map and select take None, 0 and false for nothing at all, as Jinja's do. */
static bool items_if_true(run *r, value v, seq **q)
{
    return chat_value_true(v) ? chat_value_items(r, v, q) : chat_value_seq(r, 0, q);
}

static bool map_attribute(run *r, const seq *q, const args *a, seq *result)
{
    value path = of_none(), otherwise = of_none();
    for (int64_t i = 0; i < a->n_named; i++) {
        if (str_is(a->named[i].name, "attribute")) path = a->named[i].value;
        else if (str_is(a->named[i].name, "default")) otherwise = a->named[i].value;
        else return chat_fail(r, "map takes attribute and default as keywords");
    }
    if (chat_absent(path)) return chat_fail(r, "map needs a filter or attribute=");
    for (int64_t i = 0; i < q->n; i++) {
        if (!follow(r, q->at[i], path, otherwise, &result->at[i])) return false;
    }
    return true;
}

static bool do_map(run *r, const call *c, value *out)
{
    const args *a = c->all;
    seq *q = NULL, *result = NULL;
    str name = {0};
    if (!items_if_true(r, c->self, &q) || !chat_value_seq(r, q->n, &result)) return false;
    *out = of_seq(V_LAZY, result);
    if (!a->n) return map_attribute(r, q, a, result);
    if (!chat_str_arg(r, a->at[0], &name)) return false;
    const char *nearest = NULL;
    int32_t filter = chat_find_filter(name, &nearest);
    if (filter < 0) return chat_fail(r, "map is given the name of an unknown filter");
    args rest = {.at = a->at + 1, .n = a->n - 1, .named = a->named, .n_named = a->n_named};
    for (int64_t i = 0; i < q->n; i++) {
        if (!chat_spend(r, 1) || !chat_call_filter(r, filter, q->at[i], &rest, &result->at[i]))
            return false;
    }
    return true;
}

enum { SELECT_NOT = 1, SELECT_ATTRIBUTE = 2 };

static bool do_select(run *r, const call *c, value *out) /* aux: SELECT_.. bits */
{
    args rest = *c->all;
    seq *q = NULL, *result = NULL;
    value path = of_none();
    int32_t test = -1;
    if (!items_if_true(r, c->self, &q) || !chat_value_seq(r, q->n, &result)) return false;
    if (c->aux & SELECT_ATTRIBUTE) {
        if (!rest.n) return chat_fail(r, "selectattr and rejectattr need an attribute's name");
        path = *rest.at++;
        rest.n--;
    }
    if (rest.n) {
        str name = {0};
        const char *nearest = NULL;
        if (!chat_str_arg(r, *rest.at++, &name)) return false;
        rest.n--;
        test = chat_find_test(name, &nearest);
        if (test < 0) return chat_fail(r, "select or reject is given the name of an unknown test");
    }
    result->n = 0;
    for (int64_t i = 0; i < q->n; i++) {
        value v;
        if (!chat_spend(r, 1) || !follow(r, q->at[i], path, of_none(), &v)) return false;
        bool holds = chat_value_true(v);
        if (test >= 0 && !chat_call_test(r, test, v, &rest, &holds)) return false;
        if (holds != (c->aux & SELECT_NOT)) result->at[result->n++] = q->at[i];
    }
    *out = of_seq(V_LAZY, result);
    return true;
}

static bool dict_seq(run *r, const dict *d, int what, seq **q) /* 0 keys, 1 values, 2 pairs */
{
    if (!chat_value_seq(r, d->n, q)) return false;
    for (int64_t i = 0; i < d->n; i++) {
        value *at = &(*q)->at[i];
        if (what == 2 && !pair_value(r, &d->at[i], at)) return false;
        if (what < 2) *at = what ? d->at[i].value : d->at[i].key;
    }
    return true;
}

static bool do_items(run *r, const call *c, value *out)
{
    seq *q = NULL;
    if (c->self.kind != V_DICT && c->self.kind != V_UNDEFINED)
        return chat_fail(r, "items takes a dict, not %s", chat_value_type(c->self));
    bool good =
        c->self.kind == V_DICT ? dict_seq(r, c->self.dict, 2, &q) : chat_value_seq(r, 0, &q);
    *out = of_seq(V_LAZY, q);
    return good;
}

static bool do_view(run *r, const call *c, value *out) /* .keys(), .values(), .items() by aux */
{
    seq *q = NULL;
    if (!dict_seq(r, c->self.dict, c->aux, &q)) return false;
    *out = of_seq(V_VIEW, q);
    out->mark = (uint8_t)c->aux;
    return true;
}

static bool do_get(run *r, const call *c, value *out)
{
    value *found = NULL;
    if (!chat_value_hashable(c->p[0]))
        return chat_fail(r, "%s cannot be a key", chat_value_type(c->p[0]));
    if (!chat_value_find(r, c->self.dict, c->p[0], &found)) return false;
    *out = found ? *found : c->p[1].kind == V_ABSENT ? of_none() : c->p[1];
    return true;
}

static bool do_copy(run *r, const call *c, value *out)
{
    (void)r;
    *out = c->self; /* nothing changes a dict or list, so a copy is the thing itself */
    return true;
}

static bool do_list_find(run *r, const call *c, value *out) /* list.index; aux: list.count */
{
    int64_t n = 0;
    for (int64_t i = 0; i < c->self.seq->n; i++) {
        bool same = false;
        if (!chat_spend(r, 1) || !chat_value_equal(r, c->self.seq->at[i], c->p[0], &same))
            return false;
        if (same && !c->aux) return *out = of_int(i), true;
        n += same;
    }
    if (!c->aux) return chat_fail(r, "index: the value is not in the list");
    *out = of_int(n);
    return true;
}

static bool do_change(run *r, const call *c, value *out)
{
    (void)out;
    return chat_fail(r, "a template may not change %s", chat_value_type(c->self));
}

static bool do_cycle(run *r, const call *c, value *out)
{
    return chat_loop_cycle(r, c->self.loop, c->all, out);
}

static bool do_changed(run *r, const call *c, value *out)
{
    return chat_loop_changed(r, c->self.loop, c->all, out);
}

static bool do_tojson(run *r, const call *c, value *out)
{
    size_t start = r->scratch.size;
    json_style style = {.item = STR(", "), .key = STR(": ")};
    value spaces = of_str(STR(" "));
    style.ascii = chat_value_true(c->p[0]);
    style.sorted = chat_value_true(c->p[3]);
    if (!chat_absent(c->p[1])) {
        style.lines = true;
        style.item = STR(",");
        if (c->p[1].kind == V_STR) spaces = c->p[1];
        else if (!chat_binary(r, '*', spaces, c->p[1], &spaces)) return false;
        style.indent = spaces.s;
    }
    if (!chat_absent(c->p[2])) {
        const value *v = &c->p[2];
        if ((v->kind != V_TUPLE && v->kind != V_LIST) || v->seq->n != 2)
            return chat_fail(r, "tojson: separators are two texts");
        if (!chat_str_arg(r, v->seq->at[0], &style.item) ||
            !chat_str_arg(r, v->seq->at[1], &style.key))
            return false;
    }
    return chat_value_json(r, &style, c->self, 0) && chat_finish_text(r, start, out);
}

/* ---- tests ---- */

static bool test_kinds(run *r, const call *c, value *out) /* aux: bits of kinds */
{
    (void)r;
    *out = of_bool((c->aux >> c->self.kind) & 1);
    return true;
}

static bool test_bool(run *r, const call *c, value *out)
{
    (void)r;
    *out = of_bool(c->self.kind == V_BOOL && c->self.i == c->aux);
    return true;
}

static bool test_compare(run *r, const call *c, value *out)
{
    bool holds = false;
    if (!chat_compare(r, c->aux, c->self, c->p[0], &holds)) return false;
    *out = of_bool(holds);
    return true;
}

static bool test_rest(run *r, const call *c, value *out) /* odd: 1, even: 0; divisibleby */
{
    value by = c->p[0].kind == V_ABSENT ? of_int(2) : c->p[0], rest;
    bool holds = false;
    if (c->self.kind == V_STR) return chat_fail(r, "odd and even take a number, not a text");
    if (!chat_binary(r, '%', c->self, by, &rest)) return false;
    if (!chat_value_equal(r, rest, of_int(c->aux), &holds)) return false;
    *out = of_bool(holds);
    return true;
}

static bool test_case(run *r, const call *c, value *out)
{
    str s = {0};
    if (!chat_self_text(r, c, &s)) return false;
    *out = of_bool(chat_text_is_case(s, c->aux));
    return chat_spend(r, s.size / 16);
}

static bool test_same(run *r, const call *c, value *out)
{
    bool equal = false;
    if (!chat_value_equal(r, c->self, c->p[0], &equal)) return false;
    if (c->self.kind >= V_LIST && c->self.kind <= V_MACRO) equal = c->self.seq == c->p[0].seq;
    *out = of_bool(c->self.kind == c->p[0].kind && equal);
    return true;
}

static bool test_escaped(run *r, const call *c, value *out)
{
    (void)r;
    *out = of_bool(c->self.kind == V_STR && c->self.mark == MARK_SAFE);
    return true;
}

/* ---- functions ---- */

static bool fn_range(run *r, const call *c, value *out)
{
    int64_t start = 0, stop = 0, step = 1, n = 0;
    bool one = c->p[1].kind == V_ABSENT;
    seq *q = NULL;
    if (!chat_whole_arg(r, c->p[0], 0, one ? &stop : &start)) return false;
    if (!one && !chat_whole_arg(r, c->p[1], 0, &stop)) return false;
    if (!chat_whole_arg(r, c->p[2], 1, &step)) return false;
    if (step == 0) return chat_fail(r, "the step of range is zero");
    __int128 span = step > 0 ? (__int128)stop - start : (__int128)start - stop;
    __int128 size = step > 0 ? (__int128)step : -(__int128)step;
    if (span > 0) {
        if ((span - 1) / size + 1 > CHAT_RANGE_MAX)
            return chat_fail(r, "range has more than %d items", CHAT_RANGE_MAX);
        n = (int64_t)((span - 1) / size + 1);
    }
    if (!chat_value_seq(r, n, &q)) return false;
    for (int64_t i = 0; i < n; i++) q->at[i] = of_int(start + i * step);
    q->start = start;
    q->step = step;
    *out = of_seq(V_RANGE, q);
    return true;
}

static bool fn_dict(run *r, const call *c, value *out) /* aux: namespace */
{
    const args *a = c->all;
    dict *d = NULL;
    if (a->n > 1) return chat_fail(r, "dict and namespace take one dict and keywords");
    if (!chat_value_dict(r, a->n_named, &d)) return false;
    if (a->n) {
        if (a->at[0].kind != V_DICT)
            return chat_fail(r, "dict and namespace take a dict, not %s",
                             chat_value_type(a->at[0]));
        for (int64_t i = 0; i < a->at[0].dict->n; i++) {
            const pair *p = &a->at[0].dict->at[i];
            if (!chat_value_put(r, d, p->key, p->value)) return false;
        }
    }
    for (int64_t i = 0; i < a->n_named; i++) {
        if (!chat_value_put(r, d, of_str(a->named[i].name), a->named[i].value)) return false;
    }
    for (int64_t i = 0; c->aux && i < d->n; i++) {
        if (d->at[i].key.kind == V_STR && str_starts(d->at[i].key.s, "_"))
            return chat_fail(r, "a namespace takes no name that begins with _");
    }
    *out = (value){.kind = c->aux ? V_SPACE : V_DICT, .dict = d};
    return true;
}

/* Does the text hold what a message says? Then it must not go into an error. */
static bool quotes_messages(const json_t *messages, str s)
{
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *text = json_object_get(json_array_get(messages, i), "content");
        str content = {json_string_value(text), json_string_length(text)};
        if (content.size >= 8 && str_find(s, content) >= 0) return true;
    }
    return false;
}

static bool fn_raise(run *r, const call *c, value *out)
{
    str s = {0};
    (void)out;
    if (!chat_value_str(r, c->p[0], &s)) return false;
    if (quotes_messages(json_object_get(r->context, "messages"), s))
        return chat_fail(r, "the template refuses these messages (its reason quotes one of them)");
    return chat_fail(r, "the template refuses these messages: %.*s",
                     s.size < 300 ? (int)s.size : 300, s.data);
}

/* One directive of strftime for midnight of a day; yday counts from 0. */
static bool add_date(buf *b, char how, const int date[3], int yday)
{
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    int64_t y = date[0] - 1;
    const char *month = months[date[1] - 1];
    const char *day = days[(y * 365 + y / 4 - y / 100 + y / 400 + yday + 1) % 7];
    switch (how) {
    case 'Y': buf_printf(b, "%d", date[0]); break;
    case 'y': buf_printf(b, "%02d", date[0] % 100); break;
    case 'm': buf_printf(b, "%02d", date[1]); break;
    case 'd': buf_printf(b, "%02d", date[2]); break;
    case 'j': buf_printf(b, "%03d", yday + 1); break;
    case 'B': buf_add_text(b, month); break;
    case 'b': buf_add(b, month, 3); break;
    case 'A': buf_add_text(b, day); break;
    case 'a': buf_add(b, day, 3); break;
    case 'H':
    case 'M':
    case 'S': buf_add_text(b, "00"); break;
    case '%': buf_add_char(b, '%'); break;
    default: return false;
    }
    return true;
}

static bool fn_strftime(run *r, const call *c, value *out)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    const char *text = json_string_value(json_object_get(r->context, "strftime_now"));
    int date[3] = {0}, end = 0;
    size_t start = r->scratch.size;
    str s = {0};
    if (!chat_str_arg(r, c->p[0], &s)) return false;
    assert(text); /* without a date the name is undefined */
    int found = sscanf(text, "%4d-%2d-%2d%n", &date[0], &date[1], &date[2], &end);
    bool good = found == 3 && !text[end] && date[0] >= 1 && date[1] >= 1 && date[1] <= 12;
    if (!good || date[2] < 1 || date[2] > 31)
        return chat_fail(r, "the variable strftime_now is not a date YYYY-MM-DD");
    bool leap = (date[0] % 4 == 0 && date[0] % 100 != 0) || date[0] % 400 == 0;
    int yday = before[date[1] - 1] + date[2] - 1 + (leap && date[1] > 2);
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] != '%') {
            buf_add_char(&r->scratch, s.data[i]);
        } else if (++i >= s.size || !add_date(&r->scratch, s.data[i], date, yday)) {
            return chat_fail(r,
                             "strftime_now knows %%Y %%y %%m %%d %%j %%B %%b %%A %%a %%H %%M %%S");
        }
    }
    return chat_finish_text(r, start, out);
}

/* ---- the tables ---- */

enum {
    KIND_TEXT = 1 << V_STR,
    KIND_DICT = 1 << V_DICT,
    KIND_LIST = 1 << V_LIST,
    KIND_TUPLE = 1 << V_TUPLE,
    KIND_RANGE = 1 << V_RANGE,
    KIND_LOOP = 1 << V_LOOP,
    KIND_CALLS = 1 << V_UNDEFINED | 1 << V_MACRO | 1 << V_METHOD | 1 << V_FUNCTION | 1 << V_LOOP,
    KIND_SIZED =
        1 << V_STR | 1 << V_LIST | 1 << V_TUPLE | 1 << V_RANGE | 1 << V_DICT | 1 << V_UNDEFINED,
    KIND_ITEMS = KIND_SIZED | 1 << V_LAZY | 1 << V_VIEW | 1 << V_LOOP,
};

static const row filters[] = {
    {.name = "abs", .params = "", .fn = chat_do_abs},
    {.name = "capitalize", .params = "", .fn = chat_do_case, .aux = CASE_CAPITAL},
    {.name = "count", .params = "", .fn = do_length},
    {.name = "d", .params = "default_value boolean", .fn = do_default},
    {.name = "default", .params = "default_value boolean", .fn = do_default},
    {.name = "dictsort", .params = "case_sensitive by reverse", .fn = do_dictsort},
    {.name = "e", .params = "", .fn = chat_do_escape},
    {.name = "escape", .params = "", .fn = chat_do_escape},
    {.name = "first", .params = "", .fn = do_first},
    {.name = "float", .params = "default", .fn = chat_do_float},
    {.name = "format", .params = "*", .fn = chat_do_format_filter},
    {.name = "indent", .params = "width first blank", .fn = chat_do_indent},
    {.name = "int", .params = "default base", .fn = chat_do_int},
    {.name = "items", .params = "", .fn = do_items},
    {.name = "join", .params = "d attribute", .fn = do_join},
    {.name = "last", .params = "", .fn = do_first, .aux = 1},
    {.name = "length", .params = "", .fn = do_length},
    {.name = "list", .params = "", .fn = do_list},
    {.name = "lower", .params = "", .fn = chat_do_case, .aux = CASE_LOWER},
    {.name = "map", .params = "*", .fn = do_map},
    {.name = "max", .params = "case_sensitive attribute", .fn = do_extreme, .aux = '>'},
    {.name = "min", .params = "case_sensitive attribute", .fn = do_extreme, .aux = '<'},
    {.name = "reject", .params = "*", .fn = do_select, .aux = SELECT_NOT},
    {.name = "rejectattr", .params = "*", .fn = do_select, .aux = SELECT_NOT | SELECT_ATTRIBUTE},
    {.name = "replace", .params = "old new count", .fn = chat_do_replace_filter, .required = 2},
    {.name = "reverse", .params = "", .fn = do_reverse},
    {.name = "round", .params = "precision method", .fn = chat_do_round},
    {.name = "safe", .params = "", .fn = chat_do_safe},
    {.name = "select", .params = "*", .fn = do_select},
    {.name = "selectattr", .params = "*", .fn = do_select, .aux = SELECT_ATTRIBUTE},
    {.name = "sort", .params = "reverse case_sensitive attribute", .fn = do_sort},
    {.name = "string", .params = "", .fn = chat_do_string},
    {.name = "sum", .params = "attribute start", .fn = do_sum},
    {.name = "title", .params = "", .fn = chat_do_title_filter},
    {.name = "tojson", .params = "ensure_ascii indent separators sort_keys", .fn = do_tojson},
    {.name = "trim", .params = "chars", .fn = chat_do_strip, .aux = 3},
    {.name = "unique", .params = "case_sensitive attribute", .fn = do_unique},
    {.name = "upper", .params = "", .fn = chat_do_case, .aux = CASE_UPPER},
};

static const row tests[] = {
    {.name = "boolean", .params = "", .fn = test_kinds, .aux = 1 << V_BOOL},
    {.name = "callable", .params = "", .fn = test_kinds, .aux = KIND_CALLS},
    {.name = "defined", .params = "", .fn = test_kinds, .aux = ~(1 << V_UNDEFINED)},
    {.name = "divisibleby", .params = "num", .fn = test_rest, .required = 1},
    {.name = "escaped", .params = "", .fn = test_escaped},
    {.name = "even", .params = "", .fn = test_rest},
    {.name = "false", .params = "", .fn = test_bool},
    {.name = "float", .params = "", .fn = test_kinds, .aux = 1 << V_FLOAT},
    {.name = "integer", .params = "", .fn = test_kinds, .aux = 1 << V_INT},
    {.name = "iterable", .params = "", .fn = test_kinds, .aux = KIND_ITEMS},
    {.name = "lower", .params = "", .fn = test_case},
    {.name = "mapping", .params = "", .fn = test_kinds, .aux = 1 << V_DICT},
    {.name = "none", .params = "", .fn = test_kinds, .aux = 1 << V_NONE},
    {.name = "number",
     .params = "",
     .fn = test_kinds,
     .aux = 1 << V_BOOL | 1 << V_INT | 1 << V_FLOAT},
    {.name = "odd", .params = "", .fn = test_rest, .aux = 1},
    {.name = "sameas", .params = "other", .fn = test_same, .required = 1},
    {.name = "sequence", .params = "", .fn = test_kinds, .aux = KIND_SIZED},
    {.name = "string", .params = "", .fn = test_kinds, .aux = 1 << V_STR},
    {.name = "true", .params = "", .fn = test_bool, .aux = 1},
    {.name = "undefined", .params = "", .fn = test_kinds, .aux = 1 << V_UNDEFINED},
    {.name = "upper", .params = "", .fn = test_case, .aux = 1},
    {.name = "in", .params = "seq", .fn = test_compare, .required = 1, .aux = OP_IN},
    {.name = "==", .params = "/ b", .fn = test_compare, .required = 1, .aux = OP_EQ},
    {.name = "eq", .params = "/ b", .fn = test_compare, .required = 1, .aux = OP_EQ},
    {.name = "equalto", .params = "/ b", .fn = test_compare, .required = 1, .aux = OP_EQ},
    {.name = "!=", .params = "/ b", .fn = test_compare, .required = 1, .aux = OP_NE},
    {.name = "ne", .params = "/ b", .fn = test_compare, .required = 1, .aux = OP_NE},
    {.name = ">", .params = "/ b", .fn = test_compare, .required = 1, .aux = '>'},
    {.name = "gt", .params = "/ b", .fn = test_compare, .required = 1, .aux = '>'},
    {.name = "greaterthan", .params = "/ b", .fn = test_compare, .required = 1, .aux = '>'},
    {.name = ">=", .params = "/ b", .fn = test_compare, .required = 1, .aux = OP_GE},
    {.name = "ge", .params = "/ b", .fn = test_compare, .required = 1, .aux = OP_GE},
    {.name = "<", .params = "/ b", .fn = test_compare, .required = 1, .aux = '<'},
    {.name = "lt", .params = "/ b", .fn = test_compare, .required = 1, .aux = '<'},
    {.name = "lessthan", .params = "/ b", .fn = test_compare, .required = 1, .aux = '<'},
    {.name = "<=", .params = "/ b", .fn = test_compare, .required = 1, .aux = OP_LE},
    {.name = "le", .params = "/ b", .fn = test_compare, .required = 1, .aux = OP_LE},
};

static const row methods[] = {
    {"strip", "/ chars", chat_do_strip, 0, 3, KIND_TEXT},
    {"lstrip", "/ chars", chat_do_strip, 0, 1, KIND_TEXT},
    {"rstrip", "/ chars", chat_do_strip, 0, 2, KIND_TEXT},
    {"split", "sep maxsplit", chat_do_split, 0, 0, KIND_TEXT},
    {"rsplit", "sep maxsplit", chat_do_split, 0, 1, KIND_TEXT},
    {"splitlines", "keepends", chat_do_split_lines, 0, 0, KIND_TEXT},
    {"startswith", "/ prefix", chat_do_has_end, 1, 0, KIND_TEXT},
    {"endswith", "/ suffix", chat_do_has_end, 1, 1, KIND_TEXT},
    {"removeprefix", "/ prefix", chat_do_remove_end, 1, 0, KIND_TEXT},
    {"removesuffix", "/ suffix", chat_do_remove_end, 1, 1, KIND_TEXT},
    {"replace", "old new count", chat_do_replace, 2, 0, KIND_TEXT},
    {"upper", "/", chat_do_case, 0, CASE_UPPER, KIND_TEXT},
    {"lower", "/", chat_do_case, 0, CASE_LOWER, KIND_TEXT},
    {"title", "/", chat_do_case, 0, CASE_TITLE, KIND_TEXT},
    {"capitalize", "/", chat_do_case, 0, CASE_CAPITAL, KIND_TEXT},
    {"join", "/ items", chat_do_join_method, 1, 0, KIND_TEXT},
    {"find", "/ part", chat_do_find, 1, FIND, KIND_TEXT},
    {"rfind", "/ part", chat_do_find, 1, FIND_LAST, KIND_TEXT},
    {"index", "/ part", chat_do_find, 1, FIND_NEED, KIND_TEXT},
    {"count", "/ part", chat_do_find, 1, FIND_COUNT, KIND_TEXT},
    {"isdigit", "/", chat_do_is_kind, 0, IS_DIGIT, KIND_TEXT},
    {"isalpha", "/", chat_do_is_kind, 0, IS_ALPHA, KIND_TEXT},
    {"isalnum", "/", chat_do_is_kind, 0, IS_ALNUM, KIND_TEXT},
    {"isspace", "/", chat_do_is_kind, 0, IS_SPACE, KIND_TEXT},
    {"isupper", "/", chat_do_is_kind, 0, IS_UPPER, KIND_TEXT},
    {"islower", "/", chat_do_is_kind, 0, IS_LOWER, KIND_TEXT},
    {"format", "*", chat_do_format_method, 0, 0, KIND_TEXT},
    {"get", "/ key default", do_get, 1, 0, KIND_DICT},
    {"keys", "/", do_view, 0, 0, KIND_DICT},
    {"values", "/", do_view, 0, 1, KIND_DICT},
    {"items", "/", do_view, 0, 2, KIND_DICT},
    {"copy", "/", do_copy, 0, 0, KIND_DICT | KIND_LIST},
    {"index", "/ value", do_list_find, 1, 0, KIND_LIST | KIND_TUPLE | KIND_RANGE},
    {"count", "/ value", do_list_find, 1, 1, KIND_LIST | KIND_TUPLE | KIND_RANGE},
    {"append", "*", do_change, 0, 0, KIND_LIST},
    {"extend", "*", do_change, 0, 0, KIND_LIST},
    {"insert", "*", do_change, 0, 0, KIND_LIST},
    {"remove", "*", do_change, 0, 0, KIND_LIST},
    {"reverse", "*", do_change, 0, 0, KIND_LIST},
    {"sort", "*", do_change, 0, 0, KIND_LIST},
    {"clear", "*", do_change, 0, 0, KIND_LIST | KIND_DICT},
    {"pop", "*", do_change, 0, 0, KIND_LIST | KIND_DICT},
    {"popitem", "*", do_change, 0, 0, KIND_DICT},
    {"setdefault", "*", do_change, 0, 0, KIND_DICT},
    {"update", "*", do_change, 0, 0, KIND_DICT},
    {"cycle", "*", do_cycle, 0, 0, KIND_LOOP},
    {"changed", "*", do_changed, 0, 0, KIND_LOOP},
};

static const row functions[] = {
    {.name = "range", .params = "/ start stop step", .fn = fn_range, .required = 1},
    {.name = "dict", .params = "*", .fn = fn_dict},
    {.name = "namespace", .params = "*", .fn = fn_dict, .aux = 1},
    {.name = "raise_exception", .params = "message", .fn = fn_raise, .required = 1},
    {.name = "strftime_now", .params = "format", .fn = fn_strftime, .required = 1},
};

static int32_t find_row(const row *rows, size_t n, str name, uint32_t kind)
{
    for (size_t i = 0; i < n; i++) {
        if (str_is(name, rows[i].name) && (!kind || (rows[i].kinds & kind))) return (int32_t)i;
    }
    return -1;
}

static int32_t find_near(const row *rows, size_t n, str name, const char **nearest)
{
    const char *names[64];
    int32_t found = find_row(rows, n, name, 0);
    assert(n <= countof(names));
    for (size_t i = 0; i < n; i++) names[i] = rows[i].name;
    if (found < 0) *nearest = str_nearest(name, names, n);
    return found;
}

int32_t chat_find_filter(str name, const char **nearest)
{
    return find_near(filters, countof(filters), name, nearest);
}

int32_t chat_find_test(str name, const char **nearest)
{
    return find_near(tests, countof(tests), name, nearest);
}

int32_t chat_find_method(value self, str name)
{
    return find_row(methods, countof(methods), name, 1u << self.kind);
}

int32_t chat_find_function(str name) { return find_row(functions, countof(functions), name, 0); }

static bool call_row(run *r, const row *w, value self, const args *a, value *out)
{
    call c = {.self = self};
    return bind(r, w, a, &c) && w->fn(r, &c, out);
}

bool chat_call_filter(run *r, int32_t at, value self, const args *a, value *out)
{
    assert(at >= 0 && (size_t)at < countof(filters));
    call_fn fn = filters[at].fn;
    if (!call_row(r, &filters[at], self, a, out)) return false;
    bool plain = fn == do_tojson || fn == chat_do_replace_filter || fn == do_join;
    if (self.kind == V_STR && self.mark && out->kind == V_STR && !plain) out->mark = MARK_SAFE;
    return true;
}

bool chat_call_test(run *r, int32_t at, value self, const args *a, bool *out)
{
    value v = of_bool(false);
    assert(at >= 0 && (size_t)at < countof(tests));
    if (!call_row(r, &tests[at], self, a, &v)) return false;
    *out = chat_value_true(v);
    return true;
}

bool chat_call_method(run *r, value self, int32_t at, const args *a, value *out)
{
    assert(at >= 0 && (size_t)at < countof(methods));
    if (self.kind == V_STR && self.mark)
        return chat_fail(r, "methods of text marked safe are not known; call them before |safe");
    return call_row(r, &methods[at], self, a, out);
}

bool chat_call_function(run *r, int32_t at, const args *a, value *out)
{
    assert(at >= 0 && (size_t)at < countof(functions));
    return call_row(r, &functions[at], of_none(), a, out);
}
