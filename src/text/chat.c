/* chat: statements and expressions of a template, evaluated over its tree.
 *
 * How: one recursive walk. Names live in scopes that chain outwards as Jinja's do (loops, macros,
 * set blocks, filter blocks and `with` open one; `if` does not); the outermost holds the context's
 * members, turned into values when first asked for. What a macro, a set block or a filter prints is
 * written to the output and taken off again as a value. All values live in memory that goes when
 * the render ends.
 *
 * Assumes: a tree from chat_parse. Refuses: more than the limits of chat_in.h, whatever Python
 * would refuse, text marked safe joined with + (Python would escape the other part).
 */
#include "text/chat_run_in.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct slot {
    int32_t name;
    value value;
} slot;

struct scope {
    scope *outer;
    slot *at;
    int32_t n, room;
    slot first[3];
};

typedef struct loop {
    const seq *items;
    int64_t i;
    int32_t node, depth; /* the S_FOR; 0 for the outermost of a recursive loop */
    scope *outer;
    value changed; /* the last arguments of loop.changed() */
} loop;

typedef struct macro {
    int32_t name, params, body; /* name -1: a call block's caller */
    scope *outer;
} macro;

typedef enum flow { FLOW_FAILED, FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } flow;

static bool eval(run *r, scope *s, int32_t at, value *out);
static flow exec(run *r, scope *s, int32_t at);

/* ---- the run ---- */

bool chat_fail(run *r, const char *format, ...)
{
    char text[700];
    va_list rest;
    va_start(rest, format);
    vsnprintf(text, sizeof text, format, rest);
    va_end(rest);
    return err_set(r->e, ERR_MODEL, "%s: line %d: %s", r->t->name, r->line, text);
}

bool chat_spend(run *r, size_t steps)
{
    if (steps <= (size_t)(CHAT_STEPS_MAX - r->steps)) return r->steps += (int64_t)steps, true;
    return chat_fail(r, "the template takes more than %d million steps", CHAT_STEPS_MAX / 1000000);
}

void *chat_take(run *r, int64_t count, size_t each)
{
    err full = {0};
    assert(count >= 0);
    void *p = arena_take(&r->memory, (size_t)count, each, &full);
    if (!p) chat_fail(r, "the template takes more than %d MB of memory", CHAT_MEMORY_MAX >> 20);
    return p;
}

bool chat_keep(run *r, str s, str *out)
{
    char *copy = chat_take(r, (int64_t)s.size + 1, 1);
    if (!copy) return false;
    if (s.size) memcpy(copy, s.data, s.size);
    copy[s.size] = 0;
    *out = (str){copy, s.size};
    return chat_spend(r, s.size / 64);
}

bool chat_need_defined(run *r, value v)
{
    int size = v.s.size < 80 ? (int)v.s.size : 80;
    if (v.kind != V_UNDEFINED) return true;
    if (v.mark == MARK_VARIABLE) return chat_fail(r, "'%.*s' is undefined", size, v.s.data);
    if (v.mark == MARK_MESSAGE) return chat_fail(r, "%s", v.s.data);
    value of = {.kind = (uint8_t)(v.mark - MARK_OF)};
    return chat_fail(r, "%s has no attribute or item '%.*s'", chat_value_type(of), size, v.s.data);
}

static void cut(buf *b, size_t size)
{
    b->size = size;
    if (b->data) b->data[size] = 0;
}

/* Takes what was printed since `start` off the output. */
static bool capture(run *r, size_t start, str *out)
{
    if (!buf_check(r->out, "a chat template's text", r->e)) return false;
    str all = buf_view(r->out);
    bool good = chat_keep(r, str_part(all, start, all.size - start), out);
    cut(r->out, start);
    return good;
}

static bool print_text(run *r, str s)
{
    if (s.size > CHAT_OUT_MAX || r->out->size - r->out_start > CHAT_OUT_MAX - s.size)
        return chat_fail(r, "the text is larger than %d MB", CHAT_OUT_MAX >> 20);
    buf_add_str(r->out, s);
    return chat_spend(r, s.size / 64);
}

static bool print(run *r, value v)
{
    str s = {0};
    return chat_value_str(r, v, &s) && print_text(r, s);
}

/* ---- scopes ---- */

static scope *open_scope(run *r, scope *outer)
{
    scope *s = chat_take(r, 1, sizeof *s);
    if (!s) return NULL;
    s->outer = outer;
    s->at = s->first;
    s->n = 0;
    s->room = (int32_t)countof(s->first);
    return s;
}

static bool set_name(run *r, scope *s, int32_t name, value v)
{
    for (int32_t i = 0; i < s->n; i++) {
        if (s->at[i].name != name) continue;
        s->at[i].value = v;
        return true;
    }
    if (s->n == s->room) {
        slot *at = chat_take(r, 2 * (int64_t)s->room, sizeof *at);
        if (!at) return false;
        memcpy(at, s->at, (size_t)s->n * sizeof *at);
        s->at = at;
        s->room *= 2;
    }
    s->at[s->n++] = (slot){name, v};
    return true;
}

static value strftime_value(const run *r)
{
    const json_t *date = json_object_get(r->context, "strftime_now");
    if (json_is_string(date))
        return (value){.kind = V_FUNCTION, .id = chat_find_function(STR("strftime_now"))};
    return of_message(
        "strftime_now() is refused, because a prompt must not depend on the day; give "
        "the date as \"strftime_now\": \"YYYY-MM-DD\" in the template's variables");
}

static bool find_outside(run *r, int32_t name, value *out)
{
    str text = r->t->names[name];
    const json_t *j = json_object_getn(r->context, text.data, text.size);
    *out = (value){.kind = V_UNDEFINED, .mark = MARK_VARIABLE, .s = text};
    if (name == NAME_STRFTIME) {
        *out = strftime_value(r);
    } else if (j) {
        if (!chat_value_of_json(r, j, out)) return false;
    } else {
        int32_t row = chat_find_function(text);
        if (row >= 0) *out = (value){.kind = V_FUNCTION, .id = row};
    }
    return set_name(r, r->base, name, *out);
}

static bool find_name(run *r, const scope *s, int32_t name, value *out)
{
    for (; s; s = s->outer) {
        for (int32_t i = 0; i < s->n; i++) {
            if (s->at[i].name != name) continue;
            *out = s->at[i].value;
            return true;
        }
    }
    return find_outside(r, name, out);
}

static bool unpack(run *r, scope *s, const node *target, value v)
{
    seq *q = NULL;
    if (!chat_need_defined(r, v) || !chat_value_items(r, v, &q)) return false;
    if (q->n != target->b)
        return chat_fail(r, "%lld values cannot be given to %d names", (long long)q->n, target->b);
    for (int32_t i = 0; i < target->b; i++) {
        const node *t = &r->t->nodes[r->t->kids[target->a + i]];
        value space;
        if (t->kind == E_NAME) {
            if (!set_name(r, s, t->a, q->at[i])) return false;
        } else if (t->kind == E_TUPLE) {
            if (!unpack(r, s, t, q->at[i])) return false;
        } else {
            if (!find_name(r, s, t->a, &space)) return false;
            if (space.kind != V_SPACE)
                return chat_fail(r, "attributes are set on a namespace only");
            value key = of_str(r->t->names[t->b]);
            if (!chat_value_put(r, space.dict, key, q->at[i])) return false;
        }
    }
    return true;
}

static bool assign(run *r, scope *s, int32_t target, value v)
{
    const node *t = &r->t->nodes[target];
    value space;
    if (t->kind == E_NAME) return set_name(r, s, t->a, v);
    if (t->kind == E_TUPLE) return unpack(r, s, t, v);
    if (!find_name(r, s, t->a, &space) || !chat_need_defined(r, space)) return false;
    if (space.kind != V_SPACE) return chat_fail(r, "attributes are set on a namespace only");
    str name = r->t->names[t->b];
    if (str_starts(name, "_")) return chat_fail(r, "a namespace takes no name that begins with _");
    return chat_value_put(r, space.dict, of_str(name), v);
}

/* ---- operators ---- */

static bool whole_power(run *r, int64_t base, int64_t power, value *out)
{
    int64_t x = 1;
    if (power < 0) {
        if (base == 0) return chat_fail(r, "division by zero");
        return *out = of_float(pow((double)base, (double)power)), true;
    }
    for (; power > 0; power--) {
        if (!chat_spend(r, 1)) return false;
        if (__builtin_mul_overflow(x, base, &x)) return chat_fail(r, "a number is too large");
        if (x == 0 || (x == 1 && base == 1)) break;
        if (base == -1) return *out = of_int(power % 2 ? -1 : 1), true;
    }
    *out = of_int(x);
    return true;
}

static bool whole_binary(run *r, int op, int64_t a, int64_t b, value *out)
{
    int64_t x = 0;
    bool over = false;
    switch (op) {
    case '+': over = __builtin_add_overflow(a, b, &x); break;
    case '-': over = __builtin_sub_overflow(a, b, &x); break;
    case '*': over = __builtin_mul_overflow(a, b, &x); break;
    case OP_POWER: return whole_power(r, a, b, out);
    default:
        if (b == 0) return chat_fail(r, "division by zero");
        if (op == '/') return *out = of_float((double)a / (double)b), true;
        if (b == -1) {
            over = op == OP_FLOOR && __builtin_sub_overflow((int64_t)0, a, &x);
            break;
        }
        x = op == OP_FLOOR ? a / b : a % b; /* towards the floor, as Python */
        if (a % b != 0 && (a < 0) != (b < 0)) x += op == OP_FLOOR ? -1 : b;
    }
    if (over) return chat_fail(r, "a number is too large");
    *out = of_int(x);
    return true;
}

static bool float_binary(run *r, int op, double a, double b, value *out)
{
    double x = 0;
    if (b == 0 && (op == '/' || op == OP_FLOOR || op == '%'))
        return chat_fail(r, "division by zero");
    if (a == 0 && b < 0 && op == OP_POWER) return chat_fail(r, "division by zero");
    switch (op) {
    case '+': x = a + b; break;
    case '-': x = a - b; break;
    case '*': x = a * b; break;
    case '/': x = a / b; break;
    case OP_POWER:
        if (a < 0 && b != floor(b)) return chat_fail(r, "a negative number has no such power");
        x = pow(a, b);
        break;
    default: {
        double rest = fmod(a, b);
        double whole = (a - rest) / b;
        if (rest != 0 && (rest < 0) != (b < 0)) rest += b, whole -= 1;
        if (rest == 0) rest = copysign(0, b);
        double down = floor(whole);
        if (whole - down > 0.5) down += 1;
        if (whole == 0) down = copysign(0, a / b);
        x = op == '%' ? rest : down;
    }
    }
    *out = of_float(x);
    return true;
}

static bool join_two(run *r, str a, str b, value *out)
{
    char *text = chat_take(r, (int64_t)(a.size + b.size) + 1, 1);
    if (!text) return false;
    if (a.size) memcpy(text, a.data, a.size);
    if (b.size) memcpy(text + a.size, b.data, b.size);
    text[a.size + b.size] = 0;
    *out = of_str((str){text, a.size + b.size});
    return chat_spend(r, out->s.size / 64);
}

static bool repeat(run *r, value v, int64_t times, value *out)
{
    int64_t n = v.kind == V_STR ? (int64_t)v.s.size : v.seq->n, size;
    if (times < 0) times = 0;
    if (__builtin_mul_overflow(n, times, &size) || size > CHAT_MEMORY_MAX)
        return chat_fail(r, "the template takes more than %d MB of memory", CHAT_MEMORY_MAX >> 20);
    if (!chat_spend(r, (size_t)size / 16)) return false;
    if (v.kind == V_STR) {
        char *text = chat_take(r, size + 1, 1);
        if (!text) return false;
        for (int64_t i = 0; i < size; i += n) memcpy(text + i, v.s.data, (size_t)n);
        text[size] = 0;
        *out = of_str((str){text, (size_t)size});
        return true;
    }
    seq *q = NULL;
    if (!chat_value_seq(r, size, &q)) return false;
    for (int64_t i = 0; i < size; i++) q->at[i] = v.seq->at[i % n];
    *out = of_seq(v.kind, q);
    return true;
}

static bool join_lists(run *r, value a, value b, value *out)
{
    seq *q = NULL;
    if (!chat_value_seq(r, a.seq->n + b.seq->n, &q)) return false;
    for (int64_t i = 0; i < a.seq->n; i++) q->at[i] = a.seq->at[i];
    for (int64_t i = 0; i < b.seq->n; i++) q->at[a.seq->n + i] = b.seq->at[i];
    *out = of_seq(a.kind, q);
    return true;
}

static bool is_listed(value v) { return v.kind == V_LIST || v.kind == V_TUPLE; }

static bool format_text(run *r, str format, value v, value *out)
{
    args a = {.at = &v, .n = 1};
    if (v.kind == V_TUPLE) a = (args){.at = v.seq->at, .n = v.seq->n};
    return chat_call_format(r, format, &a, v.kind == V_TUPLE, out);
}

bool chat_binary(run *r, int op, value a, value b, value *out)
{
    bool safe = op != '*' && ((a.kind == V_STR && a.mark) || (b.kind == V_STR && b.mark));
    if (a.kind == V_STR && b.kind == V_STR && op == '+' && !safe) return join_two(r, a.s, b.s, out);
    if (is_whole(a) && is_whole(b)) return whole_binary(r, op, a.i, b.i, out);
    if (is_number(a) && is_number(b)) return float_binary(r, op, as_double(a), as_double(b), out);
    if (!chat_need_defined(r, a) || !chat_need_defined(r, b)) return false;
    if (safe)
        return chat_fail(r, "text marked safe is joined; leave the filter safe or escape out");
    if (a.kind == V_STR && op == '%') return format_text(r, a.s, b, out);
    if (op == '+' && is_listed(a) && a.kind == b.kind) return join_lists(r, a, b, out);
    if (op == '*' && (a.kind == V_STR || is_listed(a)) && is_whole(b))
        return repeat(r, a, b.i, out);
    if (op == '*' && (b.kind == V_STR || is_listed(b)) && is_whole(a))
        return repeat(r, b, a.i, out);
    const char *text = op == OP_FLOOR ? "//" : op == OP_POWER ? "**" : NULL;
    char one[2] = {(char)op, 0};
    return chat_fail(r, "%s and %s cannot be combined with %s", chat_value_type(a),
                     chat_value_type(b), text ? text : one);
}

static bool contains(run *r, value part, value whole, bool *in)
{
    seq *q = NULL;
    *in = false;
    if (whole.kind == V_STR) {
        if (!chat_need_defined(r, part)) return false;
        if (part.kind != V_STR) return chat_fail(r, "%s is never in a text", chat_value_type(part));
        *in = str_find(whole.s, part.s) >= 0;
        return chat_spend(r, whole.s.size / 64);
    }
    if (whole.kind == V_DICT) {
        value *found = NULL;
        if (!chat_value_hashable(part))
            return chat_fail(r, "%s cannot be a key", chat_value_type(part));
        if (!chat_value_find(r, whole.dict, part, &found)) return false;
        *in = found != NULL;
        return true;
    }
    if (!chat_value_items(r, whole, &q)) return false;
    for (int64_t i = 0; i < q->n && !*in; i++) {
        if (!chat_value_equal(r, q->at[i], part, in)) return false;
    }
    return true;
}

bool chat_compare(run *r, int op, value a, value b, bool *holds)
{
    int order = 0;
    if (op == OP_EQ || op == OP_NE) {
        if (!chat_value_equal(r, a, b, holds)) return false;
        if (op == OP_NE) *holds = !*holds;
        return true;
    }
    if (op == OP_IN || op == OP_NOT_IN) {
        if (!contains(r, a, b, holds)) return false;
        if (op == OP_NOT_IN) *holds = !*holds;
        return true;
    }
    if (is_number(a) && is_number(b) && (isnan(as_double(a)) || isnan(as_double(b))))
        return *holds = false, true;
    if (!chat_value_order(r, a, b, &order)) return false;
    *holds = op == '<' ? order < 0 : op == '>' ? order > 0 : op == OP_LE ? order <= 0 : order >= 0;
    return true;
}

/* ---- expressions ---- */

static bool eval_seq(run *r, scope *s, const node *n, value *out)
{
    seq *q = NULL;
    if (!chat_value_seq(r, n->b, &q)) return false;
    for (int32_t i = 0; i < n->b; i++) {
        if (!eval(r, s, r->t->kids[n->a + i], &q->at[i])) return false;
    }
    *out = of_seq(n->kind == E_LIST ? V_LIST : V_TUPLE, q);
    return true;
}

static bool eval_dict(run *r, scope *s, const node *n, value *out)
{
    dict *d = NULL;
    if (!chat_value_dict(r, n->b, &d)) return false;
    for (int32_t i = 0; i < n->b; i++) {
        value key, v;
        if (!eval(r, s, r->t->kids[n->a + 2 * i], &key)) return false;
        if (!eval(r, s, r->t->kids[n->a + 2 * i + 1], &v) || !chat_value_put(r, d, key, v))
            return false;
    }
    *out = (value){.kind = V_DICT, .dict = d};
    return true;
}

static bool eval_sign(run *r, scope *s, const node *n, value *out)
{
    if (!eval(r, s, n->a, out) || !chat_need_defined(r, *out)) return false;
    if (!is_number(*out)) return chat_fail(r, "%s has no sign", chat_value_type(*out));
    if (out->kind == V_FLOAT) {
        if (n->op == '-') out->f = -out->f;
        return true;
    }
    return whole_binary(r, n->op, 0, out->i, out);
}

static bool eval_join(run *r, scope *s, const node *n, value *out)
{
    size_t start = r->out->size;
    for (int32_t i = 0; i < n->b; i++) { /* macros print on the output too, and take it off again */
        value part;
        if (!eval(r, s, r->t->kids[n->a + i], &part) || !print(r, part)) return false;
    }
    *out = of_str(STR(""));
    return capture(r, start, &out->s);
}

static bool eval_compare(run *r, scope *s, const node *n, value *out)
{
    value left, right;
    bool holds = true;
    if (!eval(r, s, n->a, &left)) return false;
    for (int32_t i = 0; i < n->c && holds; i++) {
        const int32_t *kid = &r->t->kids[n->b + 2 * i];
        if (!eval(r, s, kid[1], &right) || !chat_compare(r, kid[0], left, right, &holds))
            return false;
        left = right;
    }
    *out = of_bool(holds);
    return true;
}

static bool eval_if(run *r, scope *s, const node *n, value *out)
{
    value test;
    if (!eval(r, s, n->a, &test)) return false;
    if (chat_value_true(test)) return eval(r, s, n->b, out);
    if (n->c >= 0) return eval(r, s, n->c, out);
    *out = of_message("the value of an 'if' without 'else' is undefined");
    return true;
}

static bool loop_attribute(run *r, const loop *l, str name, value *out)
{
    int64_t n = l->items->n;
    if (str_is(name, "index")) *out = of_int(l->i + 1);
    else if (str_is(name, "index0")) *out = of_int(l->i);
    else if (str_is(name, "first")) *out = of_bool(l->i == 0);
    else if (str_is(name, "last")) *out = of_bool(l->i + 1 >= n);
    else if (str_is(name, "length")) *out = of_int(n);
    else if (str_is(name, "revindex")) *out = of_int(n - l->i);
    else if (str_is(name, "revindex0")) *out = of_int(n - l->i - 1);
    else if (str_is(name, "depth")) *out = of_int(l->depth + 1);
    else if (str_is(name, "depth0")) *out = of_int(l->depth);
    else if (str_is(name, "previtem"))
        *out = l->i > 0 ? l->items->at[l->i - 1] : of_message("there is no previous item");
    else if (str_is(name, "nextitem"))
        *out = l->i + 1 < n ? l->items->at[l->i + 1] : of_message("there is no next item");
    else
        return chat_value_attribute(r, (value){.kind = V_LOOP, .loop = (loop *)(uintptr_t)l}, name,
                                    out);
    return true;
}

static bool eval_attribute(run *r, scope *s, const node *n, value *out)
{
    value of;
    str name = r->t->names[n->b];
    if (!eval(r, s, n->a, &of)) return false;
    r->line = n->line;
    if (of.kind == V_LOOP) return loop_attribute(r, of.loop, name, out);
    return chat_value_attribute(r, of, name, out);
}

static bool eval_item(run *r, scope *s, const node *n, value *out)
{
    value of, key;
    if (!eval(r, s, n->a, &of) || !eval(r, s, n->b, &key)) return false;
    r->line = n->line;
    key.id = r->t->nodes[n->b].kind == E_CONST; /* its name may stand in a message */
    if (of.kind == V_LOOP && key.kind == V_STR) return loop_attribute(r, of.loop, key.s, out);
    return chat_value_item(r, of, key, out);
}

static bool eval_slice(run *r, scope *s, const node *n, value *out)
{
    value of, part[3];
    const int32_t at[3] = {n->b, n->c, n->d};
    if (!eval(r, s, n->a, &of)) return false;
    for (int i = 0; i < 3; i++) {
        part[i] = of_none();
        if (at[i] >= 0 && !eval(r, s, at[i], &part[i])) return false;
    }
    r->line = n->line;
    return chat_value_slice(r, of, part, out);
}

/* Arguments after those written out: *list and **dict. */
static bool eval_stars(run *r, scope *s, const node *n, args *a)
{
    int32_t star = r->t->kids[n->a], stars = r->t->kids[n->a + 1];
    value v;
    if (star >= 0) {
        seq *q = NULL;
        if (!eval(r, s, star, &v) || !chat_need_defined(r, v) || !chat_value_items(r, v, &q))
            return false;
        value *at = chat_take(r, a->n + q->n, sizeof *at);
        if (!at) return false;
        if (a->n) memcpy(at, a->at, (size_t)a->n * sizeof *at);
        for (int64_t i = 0; i < q->n; i++) at[a->n + i] = q->at[i];
        a->at = at;
        a->n += q->n;
    }
    if (stars >= 0) {
        if (!eval(r, s, stars, &v)) return false;
        if (v.kind != V_DICT) return chat_fail(r, "** takes a dict, not %s", chat_value_type(v));
        named *at = chat_take(r, a->n_named + v.dict->n, sizeof *at);
        if (!at) return false;
        if (a->n_named) memcpy(at, a->named, (size_t)a->n_named * sizeof *at);
        for (int64_t i = 0; i < v.dict->n; i++) {
            if (v.dict->at[i].key.kind != V_STR) return chat_fail(r, "a keyword must be a text");
            at[a->n_named + i] = (named){v.dict->at[i].key.s, v.dict->at[i].value};
        }
        a->named = at;
        a->n_named += v.dict->n;
    }
    return true;
}

static bool eval_args(run *r, scope *s, int32_t at, args *a)
{
    *a = (args){0};
    if (at < 0) return true;
    const node *n = &r->t->nodes[at];
    const int32_t *kid = &r->t->kids[n->a + 2];
    a->n = n->b;
    a->n_named = n->c;
    if (a->n && !(a->at = chat_take(r, a->n, sizeof *a->at))) return false;
    if (a->n_named && !(a->named = chat_take(r, a->n_named, sizeof *a->named))) return false;
    for (int64_t i = 0; i < a->n; i++) {
        if (!eval(r, s, kid[i], &a->at[i])) return false;
    }
    for (int64_t i = 0; i < a->n_named; i++) {
        a->named[i].name = r->t->names[kid[a->n + 2 * i]];
        if (!eval(r, s, kid[a->n + 2 * i + 1], &a->named[i].value)) return false;
    }
    return eval_stars(r, s, n, a);
}

static bool eval_filter(run *r, scope *s, const node *n, value *out)
{
    value of;
    args a;
    if (!eval(r, s, n->a, &of) || !eval_args(r, s, n->c, &a)) return false;
    r->line = n->line;
    return chat_call_filter(r, n->b, of, &a, out);
}

static bool eval_test(run *r, scope *s, const node *n, value *out)
{
    value of;
    args a;
    bool holds = false;
    if (!eval(r, s, n->a, &of) || !eval_args(r, s, n->c, &a)) return false;
    r->line = n->line;
    if (!chat_call_test(r, n->b, of, &a, &holds)) return false;
    *out = of_bool(holds);
    return true;
}

static bool eval_logic(run *r, scope *s, const node *n, value *out)
{
    if (!eval(r, s, n->a, out)) return false;
    if (n->kind == E_NOT) return *out = of_bool(!chat_value_true(*out)), true;
    return chat_value_true(*out) == (n->kind == E_OR) ? true : eval(r, s, n->b, out);
}

static bool eval_call(run *r, scope *s, const node *n, value *out)
{
    value callee;
    args a;
    if (!eval(r, s, n->a, &callee) || !eval_args(r, s, n->b, &a)) return false;
    r->line = n->line;
    return chat_call(r, callee, &a, out);
}

static bool eval_node(run *r, scope *s, const node *n, value *out)
{
    value b;
    switch ((node_kind)n->kind) {
    case E_CONST: *out = r->t->constants[n->a]; return true;
    case E_NAME: return find_name(r, s, n->a, out);
    case E_HOLE: *out = r->hole; return true;
    case E_LIST:
    case E_TUPLE: return eval_seq(r, s, n, out);
    case E_DICT: return eval_dict(r, s, n, out);
    case E_NOT:
    case E_AND:
    case E_OR: return eval_logic(r, s, n, out);
    case E_SIGN: return eval_sign(r, s, n, out);
    case E_BINARY:
        if (!eval(r, s, n->a, out) || !eval(r, s, n->b, &b)) return false;
        r->line = n->line;
        return chat_binary(r, n->op, *out, b, out);
    case E_JOIN: return eval_join(r, s, n, out);
    case E_COMPARE: return eval_compare(r, s, n, out);
    case E_IF: return eval_if(r, s, n, out);
    case E_ATTRIBUTE: return eval_attribute(r, s, n, out);
    case E_ITEM: return eval_item(r, s, n, out);
    case E_SLICE: return eval_slice(r, s, n, out);
    case E_CALL: return eval_call(r, s, n, out);
    case E_FILTER: return eval_filter(r, s, n, out);
    case E_TEST: return eval_test(r, s, n, out);
    default: assert(!"a statement where an expression belongs"); return false;
    }
}

static bool eval(run *r, scope *s, int32_t at, value *out)
{
    const node *n = &r->t->nodes[at];
    r->line = n->line;
    if (r->depth >= CHAT_DEPTH_MAX) return chat_fail(r, "the template is nested too deeply");
    if (!chat_spend(r, 1)) return false;
    r->depth++;
    bool good = eval_node(r, s, n, out);
    r->depth--;
    return good;
}

/* ---- calls ---- */

static bool named_value(const args *a, str name, value *out)
{
    for (int64_t i = 0; i < a->n_named; i++) {
        if (!str_equal(a->named[i].name, name)) continue;
        *out = a->named[i].value;
        return true;
    }
    return false;
}

/* What is left of the keywords once parameters took theirs: a dict, or an error. */
static bool rest_of_names(run *r, scope *s, const macro *m, const args *a)
{
    const node *params = &r->t->nodes[m->params];
    dict *d = NULL;
    if (!chat_value_dict(r, a->n_named, &d)) return false;
    for (int64_t i = 0; i < a->n_named; i++) {
        str name = a->named[i].name;
        bool is_param = (params->c & USES_CALLER) && str_is(name, "caller");
        for (int32_t k = 0; k < params->b && !is_param; k++) {
            is_param = str_equal(name, r->t->names[r->t->kids[params->a + 2 * k]]);
            if (is_param && k < a->n) return chat_fail(r, "a macro is given one argument twice");
        }
        if (is_param) continue;
        if (!(params->c & USES_KWARGS))
            return chat_fail(r, "the macro takes no argument '%.*s'", (int)name.size, name.data);
        if (!chat_value_put(r, d, of_str(name), a->named[i].value)) return false;
    }
    if (!(params->c & USES_KWARGS)) return true;
    return set_name(r, s, NAME_KWARGS, (value){.kind = V_DICT, .dict = d});
}

static bool rest_of_args(run *r, scope *s, const macro *m, const args *a)
{
    const node *params = &r->t->nodes[m->params];
    int64_t more = a->n > params->b ? a->n - params->b : 0;
    seq *q = NULL;
    if (!(params->c & USES_VARARGS))
        return !more || chat_fail(r, "the macro takes not more than %d arguments", params->b);
    if (!chat_value_seq(r, more, &q)) return false;
    for (int64_t i = 0; i < more; i++) q->at[i] = a->at[params->b + i];
    return set_name(r, s, NAME_VARARGS, of_seq(V_TUPLE, q));
}

static bool bind_params(run *r, scope *s, const macro *m, const args *a)
{
    const node *params = &r->t->nodes[m->params];
    bool has_caller = false;
    for (int32_t i = 0; i < params->b; i++) {
        const int32_t *kid = &r->t->kids[params->a + 2 * i];
        value v = of_message("a parameter of the macro was not given");
        if (i < a->n) v = a->at[i];
        else if (!named_value(a, r->t->names[kid[0]], &v) && kid[1] >= 0) {
            if (!eval(r, s, kid[1], &v)) return false;
        }
        has_caller = has_caller || kid[0] == NAME_CALLER;
        if (!set_name(r, s, kid[0], v)) return false;
    }
    if ((params->c & USES_CALLER) && !has_caller) {
        value v = of_message("there is no caller: the macro was not called by a call block");
        named_value(a, STR("caller"), &v);
        if (!set_name(r, s, NAME_CALLER, v)) return false;
    }
    return rest_of_names(r, s, m, a) && rest_of_args(r, s, m, a);
}

static bool enter_call(run *r)
{
    if (r->calls >= CHAT_CALLS_MAX)
        return chat_fail(r, "more than %d calls are within each other", CHAT_CALLS_MAX);
    r->calls++;
    return true;
}

static bool call_macro(run *r, const macro *m, const args *a, value *out)
{
    size_t start = r->out->size;
    scope *s = open_scope(r, m->outer);
    if (!s || !enter_call(r)) return false;
    bool good = bind_params(r, s, m, a) && exec(r, s, m->body) == FLOW_ON;
    r->calls--;
    *out = of_str(STR(""));
    return good && capture(r, start, &out->s);
}

static flow run_loop(run *r, scope *s, const loop *like, value items);

static bool call_loop(run *r, const loop *l, const args *a, value *out)
{
    size_t start = r->out->size;
    const node *n = &r->t->nodes[l->node];
    loop inner = {.node = l->node, .depth = l->depth + 1, .outer = l->outer};
    if (!r->t->kids[n->c + 3]) return chat_fail(r, "the loop is called but not marked 'recursive'");
    if (a->n != 1 || a->n_named) return chat_fail(r, "a recursive loop takes one argument");
    if (!enter_call(r)) return false;
    flow f = run_loop(r, l->outer, &inner, a->at[0]);
    r->calls--;
    *out = of_str(STR(""));
    return f != FLOW_FAILED && capture(r, start, &out->s);
}

bool chat_call(run *r, value callee, const args *a, value *out)
{
    switch (callee.kind) {
    case V_MACRO: return call_macro(r, callee.macro, a, out);
    case V_LOOP: return call_loop(r, callee.loop, a, out);
    case V_METHOD: return chat_call_method(r, *callee.self, callee.id, a, out);
    case V_FUNCTION: return chat_call_function(r, callee.id, a, out);
    case V_UNDEFINED: return chat_need_defined(r, callee);
    default: return chat_fail(r, "%s cannot be called", chat_value_type(callee));
    }
}

bool chat_loop_cycle(run *r, const loop *l, const args *a, value *out)
{
    if (!a->n) return chat_fail(r, "loop.cycle takes at least one argument");
    *out = a->at[l->i % a->n];
    return true;
}

bool chat_loop_changed(run *r, loop *l, const args *a, value *out)
{
    seq *q = NULL;
    bool same = false;
    if (!chat_value_seq(r, a->n, &q)) return false;
    for (int64_t i = 0; i < a->n; i++) q->at[i] = a->at[i];
    value now = of_seq(V_TUPLE, q);
    if (!chat_value_equal(r, now, l->changed, &same)) return false;
    l->changed = now;
    *out = of_bool(!same);
    return true;
}

/* ---- statements ---- */

static flow flow_of(bool good) { return good ? FLOW_ON : FLOW_FAILED; }

static flow exec_block(run *r, scope *s, const node *n)
{
    flow f = FLOW_ON;
    for (int32_t i = 0; i < n->b && f == FLOW_ON; i++) f = exec(r, s, r->t->kids[n->a + i]);
    return f;
}

static flow exec_if(run *r, scope *s, const node *n)
{
    for (;;) {
        value test;
        if (!eval(r, s, n->a, &test)) return FLOW_FAILED;
        if (chat_value_true(test)) return exec(r, s, n->b);
        if (n->c < 0) return FLOW_ON;
        const node *other = &r->t->nodes[n->c];
        if (other->kind != S_IF) return exec(r, s, n->c);
        n = other;
    }
}

/* Those of `all` for which the loop's `if` holds; the test sees the loop's names, not `loop`. */
static bool choose_items(run *r, scope *s, const node *n, const seq *all, const seq **out)
{
    int32_t test = r->t->kids[n->c];
    seq *q = NULL;
    if (test < 0) return *out = all, true;
    if (!chat_value_seq(r, all->n, &q)) return false;
    q->n = 0;
    for (int64_t i = 0; i < all->n; i++) {
        value holds;
        scope *inner = open_scope(r, s);
        if (!inner || !assign(r, inner, n->a, all->at[i]) || !eval(r, inner, test, &holds))
            return false;
        if (chat_value_true(holds)) q->at[q->n++] = all->at[i];
    }
    *out = q;
    return true;
}

static flow run_loop(run *r, scope *s, const loop *like, value items)
{
    const node *n = &r->t->nodes[like->node];
    const int32_t *kid = &r->t->kids[n->c];
    loop *l = chat_take(r, 1, sizeof *l);
    seq *all = NULL;
    if (!l || !chat_value_items(r, items, &all)) return FLOW_FAILED;
    *l = *like;
    if (!choose_items(r, s, n, all, &l->items)) return FLOW_FAILED;
    bool completed = false;
    for (; l->i < l->items->n; l->i++) {
        scope *inner = open_scope(r, s);
        value self = {.kind = V_LOOP, .loop = l};
        if (!inner || !set_name(r, inner, NAME_LOOP, self)) return FLOW_FAILED;
        if (!assign(r, inner, n->a, l->items->at[l->i])) return FLOW_FAILED;
        flow f = exec(r, inner, kid[1]);
        if (f == FLOW_FAILED) return f;
        if (f == FLOW_BREAK) break;
        if (f == FLOW_ON) completed = true;
    }
    if (completed || kid[2] < 0) return FLOW_ON;
    scope *inner = open_scope(r, s); /* Jinja's `else`: no round came to its end */
    return inner ? exec(r, inner, kid[2]) : FLOW_FAILED;
}

static flow exec_for(run *r, scope *s, const node *n)
{
    value items;
    loop first = {.node = (int32_t)(n - r->t->nodes), .outer = s};
    if (!eval(r, s, n->b, &items)) return FLOW_FAILED;
    r->line = n->line;
    return run_loop(r, s, &first, items);
}

/* Runs `body` in a scope of its own and takes off what it printed. */
static flow exec_captured(run *r, scope *s, int32_t body, value *out)
{
    size_t start = r->out->size;
    scope *inner = open_scope(r, s);
    if (!inner) return FLOW_FAILED;
    flow f = exec(r, inner, body);
    *out = of_str(STR(""));
    return f == FLOW_FAILED || capture(r, start, &out->s) ? f : FLOW_FAILED;
}

static flow exec_set_block(run *r, scope *s, const node *n)
{
    value v;
    flow f = exec_captured(r, s, n->c, &v);
    if (f != FLOW_ON) return f;
    r->hole = v;
    if (n->b >= 0 && !eval(r, s, n->b, &v)) return FLOW_FAILED;
    return flow_of(assign(r, s, n->a, v));
}

static flow exec_filter(run *r, scope *s, const node *n)
{
    value v;
    flow f = exec_captured(r, s, n->b, &v);
    if (f != FLOW_ON) return f;
    r->hole = v;
    return flow_of(eval(r, s, n->a, &v) && print(r, v));
}

static flow exec_macro(run *r, scope *s, const node *n)
{
    macro *m = chat_take(r, 1, sizeof *m);
    if (!m) return FLOW_FAILED;
    *m = (macro){.name = n->a, .params = n->b, .body = n->c, .outer = s};
    return flow_of(set_name(r, s, n->a, (value){.kind = V_MACRO, .macro = m}));
}

static flow exec_call(run *r, scope *s, const node *n)
{
    const node *called = &r->t->nodes[n->a];
    macro *m = chat_take(r, 1, sizeof *m);
    value callee, text;
    args a;
    if (!m || !eval(r, s, called->a, &callee) || !eval_args(r, s, called->b, &a))
        return FLOW_FAILED;
    *m = (macro){.name = -1, .params = n->b, .body = n->c, .outer = s};
    named *at = chat_take(r, a.n_named + 1, sizeof *at);
    if (!at) return FLOW_FAILED;
    if (a.n_named) memcpy(at, a.named, (size_t)a.n_named * sizeof *at);
    at[a.n_named++] = (named){STR("caller"), {.kind = V_MACRO, .macro = m}};
    a.named = at;
    r->line = n->line;
    return flow_of(chat_call(r, callee, &a, &text) && print(r, text));
}

static flow exec_with(run *r, scope *s, const node *n)
{
    scope *inner = open_scope(r, s);
    if (!inner) return FLOW_FAILED;
    for (int32_t i = 0; i < n->b; i++) {
        const int32_t *kid = &r->t->kids[n->a + 2 * i];
        value v;
        if (!eval(r, s, kid[1], &v) || !assign(r, inner, kid[0], v)) return FLOW_FAILED;
    }
    return exec(r, inner, n->c);
}

static flow exec_node(run *r, scope *s, const node *n)
{
    value v;
    scope *inner;
    switch ((node_kind)n->kind) {
    case S_TEXT: return flow_of(print_text(r, r->t->constants[n->a].s));
    case S_PRINT: return flow_of(eval(r, s, n->a, &v) && print(r, v));
    case S_BLOCK: return exec_block(r, s, n);
    case S_IF: return exec_if(r, s, n);
    case S_FOR: return exec_for(r, s, n);
    case S_SET: return flow_of(eval(r, s, n->b, &v) && assign(r, s, n->a, v));
    case S_SET_BLOCK: return exec_set_block(r, s, n);
    case S_MACRO: return exec_macro(r, s, n);
    case S_CALL: return exec_call(r, s, n);
    case S_FILTER: return exec_filter(r, s, n);
    case S_WITH: return exec_with(r, s, n);
    case S_GENERATION: return (inner = open_scope(r, s)) ? exec(r, inner, n->a) : FLOW_FAILED;
    case S_BREAK: return FLOW_BREAK;
    case S_CONTINUE: return FLOW_CONTINUE;
    default: assert(!"an expression where a statement belongs"); return FLOW_FAILED;
    }
}

static flow exec(run *r, scope *s, int32_t at)
{
    const node *n = &r->t->nodes[at];
    r->line = n->line;
    if (r->depth >= CHAT_DEPTH_MAX)
        return flow_of(chat_fail(r, "the template is nested too deeply"));
    if (!chat_spend(r, 1)) return FLOW_FAILED;
    r->depth++;
    flow f = exec_node(r, s, n);
    r->depth--;
    return f;
}

/* ---- the door ---- */

chat_template *chat_open(str source, const char *name, err *e)
{
    assert(name && e);
    arena memory;
    size_t size = source.size < CHAT_SOURCE_MAX ? source.size : CHAT_SOURCE_MAX;
    if (e->code) return NULL;
    if (!arena_open(&memory, size * 512 + (1 << 20), "the chat template", e)) return NULL;
    chat_template *t = arena_take_zero(&memory, 1, sizeof *t, e);
    if (t) t->name = arena_copy_text(&memory, name, strnlen(name, 300), e);
    if (!t || !t->name) return arena_close(&memory), NULL;
    t->memory = memory;
    if (chat_parse(t, source, e)) return t;
    chat_close(t);
    return NULL;
}

void chat_close(chat_template *t)
{
    if (!t) return;
    arena memory = t->memory; /* it holds the template itself */
    arena_close(&memory);
}

bool chat_render(const chat_template *t, const json_t *context, buf *out, err *e)
{
    assert(t && out && e);
    assert(json_is_object(context));
    if (e->code) return false;
    run r = {.t = t, .context = context, .out = out, .out_start = out->size, .e = e, .line = 1};
    if (!arena_open_up_to(&r.memory, CHAT_MEMORY_MAX, "a chat template's render", e)) return false;
    r.scratch = buf_up_to((size_t)CHAT_OUT_MAX * 2);
    r.base = open_scope(&r, NULL);
    scope *top = r.base ? open_scope(&r, r.base) : NULL;
    bool good = top && exec(&r, top, t->root) == FLOW_ON;
    good = good && buf_check(out, "a chat template's text", e);
    assert(good == (e->code == ERR_NONE));
    if (!good) cut(out, r.out_start);
    buf_close(&r.scratch);
    arena_close(&r.memory);
    return good;
}

bool chat_takes_system(const chat_template *t, const json_t *context)
{
    static const char needle[] = "qzsystemqz"; /* in no template */
    assert(t && json_is_object(context));
    json_t *probe = json_copy((json_t *)(uintptr_t)context);
    json_t *messages = json_pack("[{s:s, s:s}, {s:s, s:s}]", "role", "system", "content", needle,
                                 "role", "user", "content", "a");
    err e = {0};
    buf out = buf_up_to((size_t)CHAT_OUT_MAX * 2);
    bool takes = probe && messages && !json_object_set(probe, "messages", messages) &&
                 chat_render(t, probe, &out, &e) && str_find(buf_view(&out), str_of(needle)) >= 0;
    buf_close(&out);
    json_decref(messages);
    json_decref(probe);
    return takes;
}

static str text_member(const json_t *object, const char *key)
{
    const json_t *text = json_object_get(object, key);
    return (str){json_string_value(text), json_string_length(text)};
}

json_t *chat_fold_system(const json_t *messages)
{
    size_t n = json_array_size(messages), first = n;
    const json_t *head = json_array_get(messages, 0);
    bool has_system = str_is(text_member(head, "role"), "system");
    json_t *folded = json_is_array(messages) ? json_array() : NULL;
    for (size_t i = 1; has_system && i < n && first == n; i++) {
        if (str_is(text_member(json_array_get(messages, i), "role"), "user")) first = i;
    }
    for (size_t i = has_system; folded && i < n + (has_system && first == n); i++) {
        json_t *m = i < n ? json_deep_copy(json_array_get(messages, i)) : json_object();
        if (i == first && has_system) { /* one past the end when there is no user message */
            buf b = buf_up_to(BUF_MAX);
            buf_add_str(&b, text_member(head, "content"));
            if (i < n) buf_add_char(&b, '\n');
            buf_add_str(&b, text_member(json_array_get(messages, i), "content"));
            json_object_set_new(m, "role", json_string("user"));
            json_object_set_new(m, "content", json_stringn(buf_view(&b).data, b.size));
            if (b.failed) json_array_clear(folded);
            buf_close(&b);
        }
        if (json_array_append_new(folded, m)) {
            json_decref(folded);
            return NULL;
        }
    }
    return folded;
}
