/* chat_parse: a template's tokens to its tree.
 *
 * How: recursive descent with Jinja's own precedence,
 *
 *     if else < or < and < not < compare, in < + - < ~ < * / // % < ** < unary < . [] () < | is
 *
 * After a failure the parser stands at the end token, so every loop ends and the first error
 * sticks.
 *
 * Refuses: tags that need other templates (include, extends, ..), filters and tests it does not
 * know.
 */
#include "text/chat_parse_in.h"

#include <assert.h>

/* ---- the stream of tokens ---- */

static const token *look(const parser *p) { return &p->tokens[p->next]; }

static const token *look_ahead(const parser *p)
{
    return &p->tokens[p->next + (p->next + 1 < p->n_token)];
}

static int32_t line_of(const parser *p) { return look(p)->line; }

static void step(parser *p)
{
    if (p->next + 1 < p->n_token) p->next++;
}

static bool is_op(const token *k, int op) { return k->kind == T_OP && k->op == op; }
static bool is_word(const token *k, const char *word)
{
    return k->kind == T_NAME && str_is(k->text, word);
}

static bool take_op(parser *p, int op)
{
    bool is = is_op(look(p), op);
    if (is) step(p);
    return is;
}

static bool take_word(parser *p, const char *word)
{
    bool is = is_word(look(p), word);
    if (is) step(p);
    return is;
}

static bool unexpected(parser *p, const char *wanted)
{
    const token *k = look(p);
    if (p->e->code) return false;
    if (k->kind == T_END)
        return chat_parse_fail(p, k->line, "the template ends where %s is expected", wanted);
    if (k->kind == T_VAR_END || k->kind == T_TAG_END)
        return chat_parse_fail(p, k->line, "the tag ends where %s is expected", wanted);
    return chat_parse_fail(p, k->line, "%s is expected before '%.*s'", wanted,
                           k->text.size < 40 ? (int)k->text.size : 40, k->text.data);
}

static void need_op(parser *p, char op)
{
    char wanted[] = {'\'', op, '\'', 0};
    if (!take_op(p, op)) unexpected(p, wanted);
}

static void need_tag_end(parser *p)
{
    if (look(p)->kind == T_TAG_END) step(p);
    else unexpected(p, "the tag's end");
}

static int32_t need_name(parser *p)
{
    int32_t id = look(p)->id;
    if (look(p)->kind != T_NAME) {
        unexpected(p, "a name");
        return 0;
    }
    step(p);
    return id;
}

static int32_t add_node(parser *p, node n)
{
    if (p->t->n_node == p->room_node) {
        chat_parse_fail(p, n.line, "the template is too large");
        return 0;
    }
    p->t->nodes[p->t->n_node] = n;
    return p->t->n_node++;
}

static void push(parser *p, int32_t child)
{
    if (p->n_stack == p->room_stack) chat_parse_fail(p, p->line, "the template is too large");
    else p->stack[p->n_stack++] = child;
}

/* The children pushed since `mark` become a list; returns its start. */
static int32_t pop_list(parser *p, int32_t mark)
{
    int32_t n = p->n_stack - mark, start = p->t->n_kid;
    p->n_stack = mark;
    if (n > p->room_kid - start) {
        chat_parse_fail(p, p->line, "the template is too large");
        return 0;
    }
    if (n) memcpy(p->t->kids + start, p->stack + mark, (size_t)n * sizeof *p->stack);
    p->t->n_kid += n;
    return start;
}

static bool enter(parser *p)
{
    if (p->depth >= CHAT_NEST_MAX)
        return chat_parse_fail(p, line_of(p), "the template is nested too deeply");
    p->depth++;
    return true;
}

/* ---- expressions ---- */

static int32_t parse_expression(parser *p);
static int32_t parse_or(parser *p);
static int32_t parse_unary(parser *p, bool with_filters);
static int32_t parse_postfix(parser *p, int32_t of);
static int32_t parse_primary(parser *p);

static bool at_tuple_end(const parser *p, const char *word)
{
    const token *k = look(p);
    return k->kind == T_VAR_END || k->kind == T_TAG_END || k->kind == T_END || is_op(k, ')') ||
           (word && is_word(k, word));
}

/* a, b, c without brackets; `in_brackets` allows the empty tuple; `word` also ends it. */
static int32_t parse_tuple(parser *p, bool with_if, bool in_brackets, const char *word)
{
    int32_t line = line_of(p), mark = p->n_stack;
    bool is_tuple = false;
    for (bool more = false;; more = true) {
        if (more) need_op(p, ',');
        if (at_tuple_end(p, word)) break;
        push(p, with_if ? parse_expression(p) : parse_or(p));
        if (!is_op(look(p), ',')) break;
        is_tuple = true;
    }
    int32_t n = p->n_stack - mark;
    if (!is_tuple && n) {
        int32_t only = p->stack[mark];
        p->n_stack = mark;
        return only;
    }
    if (!is_tuple && !in_brackets) unexpected(p, "an expression");
    int32_t list = pop_list(p, mark);
    return add_node(p, (node){.kind = E_TUPLE, .line = line, .a = list, .b = n});
}

static int32_t parse_list(parser *p)
{
    int32_t line = line_of(p), mark = p->n_stack;
    need_op(p, '[');
    while (look(p)->kind != T_END && !is_op(look(p), ']')) {
        push(p, parse_expression(p));
        if (!is_op(look(p), ']')) need_op(p, ',');
    }
    need_op(p, ']');
    int32_t n = p->n_stack - mark, list = pop_list(p, mark);
    return add_node(p, (node){.kind = E_LIST, .line = line, .a = list, .b = n});
}

static int32_t parse_dict(parser *p)
{
    int32_t line = line_of(p), mark = p->n_stack;
    need_op(p, '{');
    while (look(p)->kind != T_END && !is_op(look(p), '}')) {
        push(p, parse_expression(p));
        need_op(p, ':');
        push(p, parse_expression(p));
        if (!is_op(look(p), '}')) need_op(p, ',');
    }
    need_op(p, '}');
    int32_t n = (p->n_stack - mark) / 2, list = pop_list(p, mark);
    return add_node(p, (node){.kind = E_DICT, .line = line, .a = list, .b = n});
}

static bool word_constant(str name, value *v)
{
    if (str_is(name, "true") || str_is(name, "True")) *v = (value){.kind = V_BOOL, .i = 1};
    else if (str_is(name, "false") || str_is(name, "False")) *v = (value){.kind = V_BOOL};
    else if (str_is(name, "none") || str_is(name, "None")) *v = (value){.kind = V_NONE};
    else return false;
    return true;
}

static int32_t parse_name(parser *p)
{
    const token *k = look(p);
    value v;
    step(p);
    if (word_constant(k->text, &v))
        return add_node(p, (node){.kind = E_CONST, .line = k->line, .a = chat_add_constant(p, v)});
    if (k->id == NAME_CALLER) p->uses |= USES_CALLER;
    if (k->id == NAME_VARARGS) p->uses |= USES_VARARGS;
    if (k->id == NAME_KWARGS) p->uses |= USES_KWARGS;
    return add_node(p, (node){.kind = E_NAME, .line = k->line, .a = k->id});
}

static int32_t parse_constant(parser *p)
{
    const token *k = look(p);
    int32_t id = k->id;
    step(p);
    if (p->t->constants[id].kind != V_STR || look(p)->kind != T_CONST ||
        p->t->constants[look(p)->id].kind != V_STR)
        return add_node(p, (node){.kind = E_CONST, .line = k->line, .a = id});
    buf b = buf_up_to(CHAT_SOURCE_MAX * 4); /* "a" "b" is one string */
    buf_add_str(&b, p->t->constants[id].s);
    while (look(p)->kind == T_CONST && p->t->constants[look(p)->id].kind == V_STR) {
        buf_add_str(&b, p->t->constants[look(p)->id].s);
        step(p);
    }
    value v = {.kind = V_STR};
    if (buf_check(&b, "a template's string", p->e))
        v.s = str_keep(&p->t->memory, buf_view(&b), p->e);
    buf_close(&b);
    return add_node(p, (node){.kind = E_CONST, .line = k->line, .a = chat_add_constant(p, v)});
}

static int32_t parse_primary(parser *p)
{
    const token *k = look(p);
    if (k->kind == T_NAME) return parse_name(p);
    if (k->kind == T_CONST) return parse_constant(p);
    if (is_op(k, '[')) return parse_list(p);
    if (is_op(k, '{')) return parse_dict(p);
    if (take_op(p, '(')) {
        int32_t inner = parse_tuple(p, true, true, NULL);
        need_op(p, ')');
        return inner;
    }
    unexpected(p, "an expression");
    return 0;
}

static int32_t parse_args(parser *p)
{
    int32_t line = line_of(p), mark = p->n_stack, star = -1, stars = -1, n = 0, n_named = 0;
    need_op(p, '(');
    push(p, -1);
    push(p, -1);
    while (look(p)->kind != T_END && !is_op(look(p), ')')) {
        if (is_op(look(p), '*') && star < 0 && stars < 0) {
            step(p);
            star = parse_expression(p);
        } else if (is_op(look(p), OP_POWER) && stars < 0) {
            step(p);
            stars = parse_expression(p);
        } else if (look(p)->kind == T_NAME && is_op(look_ahead(p), '=') && stars < 0) {
            push(p, need_name(p));
            step(p);
            push(p, parse_expression(p));
            n_named++;
        } else if (n_named || star >= 0 || stars >= 0) {
            chat_parse_fail(p, line, "the arguments of the call are out of order");
        } else {
            push(p, parse_expression(p));
            n++;
        }
        if (!is_op(look(p), ')')) need_op(p, ',');
    }
    need_op(p, ')');
    if (p->e->code) return 0;
    p->stack[mark] = star;
    p->stack[mark + 1] = stars;
    int32_t list = pop_list(p, mark);
    return add_node(p, (node){.kind = E_ARGS, .line = line, .a = list, .b = n, .c = n_named});
}

static int32_t parse_filters(parser *p, int32_t of, bool first_inline)
{
    while (first_inline || take_op(p, '|')) {
        first_inline = false;
        const token *k = look(p);
        const char *nearest = NULL;
        need_name(p);
        int32_t row = chat_find_filter(k->text, &nearest);
        if (k->kind == T_NAME && row < 0)
            chat_parse_fail(p, k->line, "unknown filter '%.*s'%s%s%s", (int)k->text.size,
                            k->text.data, nearest ? " (the nearest known is '" : "",
                            nearest ? nearest : "", nearest ? "')" : "");
        int32_t args = is_op(look(p), '(') ? parse_args(p) : -1;
        node n = {.kind = E_FILTER, .line = k->line, .a = of, .b = row, .c = args};
        of = add_node(p, n);
    }
    return of;
}

static bool starts_argument(const token *k)
{
    if (is_word(k, "else") || is_word(k, "or") || is_word(k, "and")) return false;
    return k->kind == T_NAME || k->kind == T_CONST || is_op(k, '[') || is_op(k, '{');
}

static int32_t parse_test(parser *p, int32_t of)
{
    int32_t line = line_of(p), args = -1;
    step(p);
    bool negated = take_word(p, "not");
    const token *k = look(p);
    const char *nearest = NULL;
    need_name(p);
    int32_t row = chat_find_test(k->text, &nearest);
    if (k->kind == T_NAME && row < 0)
        chat_parse_fail(p, k->line, "unknown test '%.*s'%s%s%s", (int)k->text.size, k->text.data,
                        nearest ? " (the nearest known is '" : "", nearest ? nearest : "",
                        nearest ? "')" : "");
    if (is_op(look(p), '(')) {
        args = parse_args(p);
    } else if (starts_argument(look(p))) {
        if (is_word(look(p), "is")) chat_parse_fail(p, line, "tests cannot be chained with 'is'");
        int32_t mark = p->n_stack;
        push(p, -1);
        push(p, -1);
        push(p, parse_postfix(p, parse_primary(p)));
        int32_t list = pop_list(p, mark);
        args = add_node(p, (node){.kind = E_ARGS, .line = line, .a = list, .b = 1});
    }
    int32_t test = add_node(p, (node){.kind = E_TEST, .line = line, .a = of, .b = row, .c = args});
    return negated ? add_node(p, (node){.kind = E_NOT, .line = line, .a = test}) : test;
}

static int32_t parse_subscript(parser *p, int32_t of)
{
    int32_t line = line_of(p);
    int32_t part[3] = {-1, -1, -1};
    need_op(p, '[');
    if (!is_op(look(p), ':')) part[0] = parse_tuple(p, true, false, NULL);
    if (!is_op(look(p), ':')) {
        need_op(p, ']');
        return add_node(p, (node){.kind = E_ITEM, .line = line, .a = of, .b = part[0]});
    }
    for (int i = 1; i < 3 && take_op(p, ':'); i++) {
        if (!is_op(look(p), ':') && !is_op(look(p), ']')) part[i] = parse_expression(p);
    }
    need_op(p, ']');
    return add_node(
        p,
        (node){.kind = E_SLICE, .line = line, .a = of, .b = part[0], .c = part[1], .d = part[2]});
}

static int32_t parse_dot(parser *p, int32_t of)
{
    int32_t line = line_of(p);
    step(p);
    const token *k = look(p);
    if (k->kind == T_CONST && p->t->constants[k->id].kind == V_INT) {
        step(p);
        int32_t key = add_node(p, (node){.kind = E_CONST, .line = line, .a = k->id});
        return add_node(p, (node){.kind = E_ITEM, .line = line, .a = of, .b = key});
    }
    int32_t name = need_name(p);
    return add_node(p, (node){.kind = E_ATTRIBUTE, .line = line, .a = of, .b = name});
}

static int32_t parse_call(parser *p, int32_t of)
{
    int32_t line = line_of(p), args = parse_args(p);
    return add_node(p, (node){.kind = E_CALL, .line = line, .a = of, .b = args});
}

static int32_t parse_postfix(parser *p, int32_t of)
{
    for (;;) {
        if (is_op(look(p), '.')) of = parse_dot(p, of);
        else if (is_op(look(p), '[')) of = parse_subscript(p, of);
        else if (is_op(look(p), '(')) of = parse_call(p, of);
        else return of;
    }
}

static int32_t parse_unary(parser *p, bool with_filters)
{
    const token *k = look(p);
    int32_t of = 0;
    if (!enter(p)) return 0;
    if (is_op(k, '-') || is_op(k, '+')) {
        step(p);
        int32_t inner = parse_unary(p, false);
        of = add_node(p, (node){.kind = E_SIGN, .op = k->op, .line = k->line, .a = inner});
    } else {
        of = parse_primary(p);
    }
    of = parse_postfix(p, of);
    while (with_filters) {
        if (is_op(look(p), '|')) of = parse_filters(p, of, false);
        else if (is_word(look(p), "is")) of = parse_test(p, of);
        else if (is_op(look(p), '(')) of = parse_call(p, of);
        else break;
    }
    p->depth--;
    return of;
}

static int32_t add_binary(parser *p, const token *k, int32_t a, int32_t b)
{
    return add_node(p, (node){.kind = E_BINARY, .op = k->op, .line = k->line, .a = a, .b = b});
}

static int32_t parse_power(parser *p)
{
    int32_t left = parse_unary(p, true);
    for (const token *k; is_op(k = look(p), OP_POWER);) {
        step(p);
        left = add_binary(p, k, left, parse_unary(p, true));
    }
    return left;
}

static int32_t parse_product(parser *p)
{
    int32_t left = parse_power(p);
    for (;;) {
        const token *k = look(p);
        if (!is_op(k, '*') && !is_op(k, '/') && !is_op(k, OP_FLOOR) && !is_op(k, '%')) return left;
        step(p);
        left = add_binary(p, k, left, parse_power(p));
    }
}

static int32_t parse_join(parser *p)
{
    int32_t line = line_of(p), mark = p->n_stack, first = parse_product(p);
    if (!is_op(look(p), '~')) return first;
    push(p, first);
    while (take_op(p, '~')) push(p, parse_product(p));
    int32_t n = p->n_stack - mark, list = pop_list(p, mark);
    return add_node(p, (node){.kind = E_JOIN, .line = line, .a = list, .b = n});
}

static int32_t parse_sum(parser *p)
{
    int32_t left = parse_join(p);
    for (;;) {
        const token *k = look(p);
        if (!is_op(k, '+') && !is_op(k, '-')) return left;
        step(p);
        left = add_binary(p, k, left, parse_join(p));
    }
}

static int compare_op(parser *p)
{
    const token *k = look(p);
    if (k->kind == T_OP && (k->op == '<' || k->op == '>' || (k->op >= OP_EQ && k->op <= OP_GE)))
        return step(p), k->op;
    if (take_word(p, "in")) return OP_IN;
    if (is_word(k, "not") && is_word(look_ahead(p), "in")) return step(p), step(p), OP_NOT_IN;
    return 0;
}

static int32_t parse_compare(parser *p)
{
    int32_t line = line_of(p), mark = p->n_stack, first = parse_sum(p);
    for (int op; (op = compare_op(p));) {
        push(p, op);
        push(p, parse_sum(p));
    }
    int32_t n = (p->n_stack - mark) / 2;
    if (!n) return first;
    int32_t list = pop_list(p, mark);
    node compare = {.kind = E_COMPARE, .line = line, .a = first, .b = list, .c = n};
    return add_node(p, compare);
}

static int32_t parse_not(parser *p)
{
    int32_t line = line_of(p);
    if (!is_word(look(p), "not")) return parse_compare(p);
    if (!enter(p)) return 0;
    step(p);
    int32_t inner = parse_not(p);
    p->depth--;
    return add_node(p, (node){.kind = E_NOT, .line = line, .a = inner});
}

static int32_t parse_and(parser *p)
{
    int32_t line = line_of(p), left = parse_not(p);
    while (take_word(p, "and")) {
        int32_t right = parse_not(p);
        left = add_node(p, (node){.kind = E_AND, .line = line, .a = left, .b = right});
    }
    return left;
}

static int32_t parse_or(parser *p)
{
    int32_t line = line_of(p), left = parse_and(p);
    while (take_word(p, "or")) {
        int32_t right = parse_and(p);
        left = add_node(p, (node){.kind = E_OR, .line = line, .a = left, .b = right});
    }
    return left;
}

static int32_t parse_expression(parser *p)
{
    if (!enter(p)) return 0;
    int32_t line = line_of(p), chosen = parse_or(p);
    while (take_word(p, "if")) {
        int32_t test = parse_or(p), other = take_word(p, "else") ? parse_expression(p) : -1;
        node choice = {.kind = E_IF, .line = line, .a = test, .b = chosen, .c = other};
        chosen = add_node(p, choice);
    }
    p->depth--;
    return chosen;
}

/* ---- statements ---- */

static int32_t parse_body(parser *p, const char *tag, int32_t line, const char *const ends[3]);

/* What stands left of '=' or 'in': names, namespace attributes, tuples of them. */
static int32_t parse_target(parser *p, bool with_space, const char *word)
{
    int32_t line = line_of(p), mark = p->n_stack;
    bool is_tuple = false;
    if (!enter(p)) return 0;
    for (bool more = false;; more = true) {
        const token *k = look(p);
        value constant;
        if (more && (at_tuple_end(p, word) || is_op(k, '='))) break;
        if (take_op(p, '(')) {
            push(p, parse_target(p, with_space, NULL));
            need_op(p, ')');
        } else if (k->kind == T_NAME && word_constant(k->text, &constant)) {
            chat_parse_fail(p, k->line, "cannot assign to '%.*s'", (int)k->text.size, k->text.data);
        } else {
            int32_t name = need_name(p);
            bool dotted = with_space && take_op(p, '.');
            int32_t attribute = dotted ? need_name(p) : 0;
            push(p, add_node(p, (node){.kind = dotted ? T_SPACE : E_NAME,
                                       .line = k->line,
                                       .a = name,
                                       .b = attribute}));
        }
        if (!take_op(p, ',')) break;
        is_tuple = true;
    }
    p->depth--;
    int32_t n = p->n_stack - mark;
    if (!is_tuple && n == 1) return p->stack[--p->n_stack];
    int32_t list = pop_list(p, mark);
    return add_node(p, (node){.kind = E_TUPLE, .line = line, .a = list, .b = n});
}

static int32_t parse_for(parser *p, int32_t line)
{
    static const char *const ends[3] = {"endfor", "else"}, *const last[3] = {"endfor"};
    int32_t mark = p->n_stack;
    int32_t target = parse_target(p, false, "in");
    if (!take_word(p, "in")) unexpected(p, "'in'");
    int32_t of = parse_tuple(p, false, false, "recursive");
    int32_t test = take_word(p, "if") ? parse_expression(p) : -1;
    int32_t recursive = take_word(p, "recursive");
    p->loops++;
    int32_t body = parse_body(p, "for", line, ends);
    p->loops--;
    int32_t other = -1;
    if (take_word(p, "else")) other = parse_body(p, "for", line, last);
    take_word(p, "endfor");
    push(p, test);
    push(p, body);
    push(p, other);
    push(p, recursive);
    int32_t list = pop_list(p, mark);
    return add_node(p, (node){.kind = S_FOR, .line = line, .a = target, .b = of, .c = list});
}

static int32_t parse_if(parser *p, int32_t line)
{
    static const char *const ends[3] = {"elif", "else", "endif"}, *const last[3] = {"endif"};
    int32_t first = -1, before = -1;
    for (bool more = true; more && !p->e->code;) {
        int32_t test_line = line_of(p), test = parse_tuple(p, false, false, NULL);
        int32_t body = parse_body(p, "if", line, ends);
        int32_t branch =
            add_node(p, (node){.kind = S_IF, .line = test_line, .a = test, .b = body, .c = -1});
        if (before >= 0) p->t->nodes[before].c = branch;
        else first = branch;
        before = branch;
        more = take_word(p, "elif");
        if (!more && take_word(p, "else")) {
            int32_t other = parse_body(p, "if", line, last);
            p->t->nodes[branch].c = other;
        }
    }
    take_word(p, "endif");
    return first;
}

static int32_t parse_set(parser *p, int32_t line)
{
    static const char *const ends[3] = {"endset"};
    int32_t target = parse_target(p, true, NULL);
    if (take_op(p, '=')) {
        int32_t of = parse_tuple(p, true, false, NULL);
        return add_node(p, (node){.kind = S_SET, .line = line, .a = target, .b = of});
    }
    int32_t filters = -1;
    if (is_op(look(p), '|'))
        filters = parse_filters(p, add_node(p, (node){.kind = E_HOLE, .line = line}), false);
    int32_t body = parse_body(p, "set", line, ends);
    take_word(p, "endset");
    node set = {.kind = S_SET_BLOCK, .line = line, .a = target, .b = filters, .c = body};
    return add_node(p, set);
}

static int32_t parse_params(parser *p, int32_t line)
{
    int32_t mark = p->n_stack;
    bool defaults = false;
    need_op(p, '(');
    while (look(p)->kind != T_END && !is_op(look(p), ')')) {
        push(p, need_name(p));
        if (take_op(p, '=')) {
            defaults = true;
            push(p, parse_expression(p));
        } else {
            if (defaults)
                chat_parse_fail(p, line, "a parameter without default follows one with a default");
            push(p, -1);
        }
        if (!is_op(look(p), ')')) need_op(p, ',');
    }
    need_op(p, ')');
    int32_t n = (p->n_stack - mark) / 2, list = pop_list(p, mark);
    return add_node(p, (node){.kind = S_PARAMS, .line = line, .a = list, .b = n});
}

/* The body of a macro or call block: its own loops, its own special names. */
static int32_t parse_macro_body(parser *p, const char *tag, int32_t line, int32_t params)
{
    const char *const ends[3] = {!strcmp(tag, "macro") ? "endmacro" : "endcall"};
    int32_t loops = p->loops;
    uint8_t uses = p->uses;
    p->loops = 0;
    p->uses = 0;
    int32_t body = parse_body(p, tag, line, ends);
    step(p);
    p->t->nodes[params].c = p->uses;
    p->loops = loops;
    p->uses |= uses;
    return body;
}

static int32_t parse_macro(parser *p, int32_t line)
{
    int32_t name = need_name(p), params = parse_params(p, line);
    int32_t body = parse_macro_body(p, "macro", line, params);
    return add_node(p, (node){.kind = S_MACRO, .line = line, .a = name, .b = params, .c = body});
}

static int32_t parse_call_block(parser *p, int32_t line)
{
    int32_t params = 0;
    if (is_op(look(p), '(')) params = parse_params(p, line);
    else params = add_node(p, (node){.kind = S_PARAMS, .line = line, .a = p->t->n_kid});
    int32_t called = parse_expression(p);
    if (!p->e->code && p->t->nodes[called].kind != E_CALL)
        chat_parse_fail(p, line, "'call' needs a call");
    int32_t body = parse_macro_body(p, "call", line, params);
    return add_node(p, (node){.kind = S_CALL, .line = line, .a = called, .b = params, .c = body});
}

static int32_t parse_filter_block(parser *p, int32_t line)
{
    static const char *const ends[3] = {"endfilter"};
    int32_t hole = add_node(p, (node){.kind = E_HOLE, .line = line});
    int32_t filters = parse_filters(p, hole, true);
    int32_t body = parse_body(p, "filter", line, ends);
    take_word(p, "endfilter");
    return add_node(p, (node){.kind = S_FILTER, .line = line, .a = filters, .b = body});
}

static int32_t parse_with(parser *p, int32_t line)
{
    static const char *const ends[3] = {"endwith"};
    int32_t mark = p->n_stack;
    while (look(p)->kind != T_TAG_END && look(p)->kind != T_END) {
        if (p->n_stack > mark) need_op(p, ',');
        push(p, parse_target(p, false, NULL));
        need_op(p, '=');
        push(p, parse_expression(p));
    }
    int32_t n = (p->n_stack - mark) / 2, list = pop_list(p, mark);
    int32_t body = parse_body(p, "with", line, ends);
    take_word(p, "endwith");
    return add_node(p, (node){.kind = S_WITH, .line = line, .a = list, .b = n, .c = body});
}

static int32_t parse_generation(parser *p, int32_t line)
{
    static const char *const ends[3] = {"endgeneration"};
    int32_t loops = p->loops;
    p->loops = 0;
    int32_t body = parse_body(p, "generation", line, ends);
    take_word(p, "endgeneration");
    p->loops = loops;
    return add_node(p, (node){.kind = S_GENERATION, .line = line, .a = body});
}

static int32_t parse_jump(parser *p, int32_t line, node_kind kind)
{
    if (!p->loops)
        chat_parse_fail(p, line, "'%s' is outside a loop", kind == S_BREAK ? "break" : "continue");
    return add_node(p, (node){.kind = (uint8_t)kind, .line = line});
}

static int32_t refuse_tag(parser *p, const token *k)
{
    static const char *const whole[] = {"include", "import", "from",       "extends", "block",
                                        "do",      "debug",  "autoescape", "trans",   "print"};
    for (size_t i = 0; i < countof(whole); i++) {
        if (!is_word(k, whole[i])) continue;
        chat_parse_fail(p, k->line, "the tag '%s' of Jinja is not part of chat templates",
                        whole[i]);
        return 0;
    }
    if (str_starts(k->text, "end") || is_word(k, "else") || is_word(k, "elif"))
        chat_parse_fail(p, k->line, "'%.*s' has no block that it could end", (int)k->text.size,
                        k->text.data);
    else chat_parse_fail(p, k->line, "unknown tag '%.*s'", (int)k->text.size, k->text.data);
    return 0;
}

static int32_t parse_statement(parser *p)
{
    const token *k = look(p);
    need_name(p);
    if (p->e->code) return 0;
    if (is_word(k, "for")) return parse_for(p, k->line);
    if (is_word(k, "if")) return parse_if(p, k->line);
    if (is_word(k, "set")) return parse_set(p, k->line);
    if (is_word(k, "macro")) return parse_macro(p, k->line);
    if (is_word(k, "call")) return parse_call_block(p, k->line);
    if (is_word(k, "filter")) return parse_filter_block(p, k->line);
    if (is_word(k, "with")) return parse_with(p, k->line);
    if (is_word(k, "generation")) return parse_generation(p, k->line);
    if (is_word(k, "break")) return parse_jump(p, k->line, S_BREAK);
    if (is_word(k, "continue")) return parse_jump(p, k->line, S_CONTINUE);
    return refuse_tag(p, k);
}

static bool is_end(const token *k, const char *const ends[3])
{
    for (int i = 0; i < 3 && ends[i]; i++) {
        if (is_word(k, ends[i])) return true;
    }
    return false;
}

/* Text, prints and statements up to a tag of `ends`, on whose name the parser then stands. With a
 * tag NULL: up to the end of the template. */
static int32_t parse_body(parser *p, const char *tag, int32_t line, const char *const ends[3])
{
    int32_t mark = p->n_stack, begin = line_of(p);
    if (tag) {
        take_op(p, ':');
        need_tag_end(p);
    }
    if (!enter(p)) return 0;
    for (const token *k; (k = look(p))->kind != T_END;) {
        step(p);
        if (k->kind == T_DATA) {
            int32_t text = chat_add_constant(p, (value){.kind = V_STR, .s = k->text});
            push(p, add_node(p, (node){.kind = S_TEXT, .line = k->line, .a = text}));
        } else if (k->kind == T_VAR) {
            int32_t of = parse_tuple(p, true, false, NULL);
            push(p, add_node(p, (node){.kind = S_PRINT, .line = k->line, .a = of}));
            if (look(p)->kind == T_VAR_END) step(p);
            else unexpected(p, "'}}'");
        } else if (tag && is_end(look(p), ends)) {
            break;
        } else {
            push(p, parse_statement(p));
            need_tag_end(p);
        }
    }
    if (tag && look(p)->kind == T_END && !p->e->code)
        chat_parse_fail(p, line, "the block '%s' is not closed: 'end%s' is missing", tag, tag);
    p->depth--;
    int32_t n = p->n_stack - mark, list = pop_list(p, mark);
    return add_node(p, (node){.kind = S_BLOCK, .line = begin, .a = list, .b = n});
}

/* ---- the whole ---- */

bool chat_parse(chat_template *t, str source, err *e)
{
    static const char *const names[] = {"loop", "caller", "varargs", "kwargs", "strftime_now"};
    assert(t && e && !e->code);
    parser p = {.t = t, .e = e};
    int32_t n = (int32_t)(source.size < CHAT_SOURCE_MAX ? source.size : CHAT_SOURCE_MAX);
    p.room_stack = p.room_node = p.room_kid = 4 * n + 64; /* per token, at most one a byte */
    p.room_constant = 2 * n + 64;
    p.room_name = 4000;
    arena *m = &t->memory;
    t->nodes = arena_take(m, (size_t)p.room_node, sizeof *t->nodes, e);
    t->kids = arena_take(m, (size_t)p.room_kid, sizeof *t->kids, e);
    t->constants = arena_take(m, (size_t)p.room_constant, sizeof *t->constants, e);
    t->names = arena_take(m, (size_t)p.room_name, sizeof *t->names, e);
    p.stack = arena_take(m, (size_t)p.room_stack, sizeof *p.stack, e);
    if (e->code) return false;
    for (size_t i = 0; i < countof(names); i++) chat_add_name(&p, str_of(names[i]));
    if (!chat_lex(&p, source)) return false;
    add_node(&p, (node){.kind = S_BLOCK}); /* 0: what a failed part gives */
    t->root = parse_body(&p, NULL, 1, NULL);
    return !e->code;
}
