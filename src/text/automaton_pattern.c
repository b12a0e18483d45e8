/* automaton_pattern: regular expressions as syntax trees; see automaton.h for what is known. */
#include "text/automaton_in.h"

#include "text/utf8.h"

#include <assert.h>
#include <stdlib.h>

enum { CODE_MAX = 0x10FFFF, RANGES_MAX = 1000 };

typedef struct reader {
    syntax *syntax;
    str pattern;
    size_t at;
    int32_t depth;
} reader;

static int32_t fail(reader *r, const char *what)
{
    err_set(r->syntax->e, ERR_USAGE, "the pattern of a constraint, character %zu: %s", r->at + 1,
            what);
    return -1;
}

static bool at_end(const reader *r) { return r->at >= r->pattern.size; }
static char peek(const reader *r) { return at_end(r) ? 0 : r->pattern.data[r->at]; }

static bool take(reader *r, char c)
{
    if (at_end(r) || peek(r) != c) return false;
    r->at++;
    return true;
}

/* ---- classes of characters: ranges of code points ---- */

typedef struct code_range {
    int32_t low, high;
} code_range;

typedef struct code_set {
    code_range range[RANGES_MAX];
    int32_t n;
} code_set;

static bool add_range(reader *r, code_set *s, int32_t low, int32_t high)
{
    if (low > high) return fail(r, "the range ends before it begins"), false;
    if (s->n == RANGES_MAX) return fail(r, "too many ranges in [..]"), false;
    s->range[s->n++] = (code_range){low, high};
    return true;
}

static int by_low(const void *left, const void *right)
{
    const code_range *a = left, *b = right;
    return (a->low > b->low) - (a->low < b->low);
}

/* Everything that is not in the set. */
static void invert(code_set *s)
{
    code_set out = {.n = 0};
    int32_t from = 0;
    qsort(s->range, (size_t)s->n, sizeof *s->range, by_low);
    for (int32_t i = 0; i < s->n; i++) {
        if (s->range[i].low > from) out.range[out.n++] = (code_range){from, s->range[i].low - 1};
        if (s->range[i].high + 1 > from) from = s->range[i].high + 1;
    }
    if (from <= CODE_MAX && out.n < RANGES_MAX) out.range[out.n++] = (code_range){from, CODE_MAX};
    *s = out;
}

/* \d and the like; false: c names no class. */
static bool add_named(reader *r, code_set *s, char c)
{
    static const struct {
        char name;
        const char *ranges; /* pairs */
    } classes[] = {{'d', "09"}, {'w', "09AZ__az"}, {'s', "\t\r  "}};
    for (size_t i = 0; i < countof(classes); i++) {
        if (classes[i].name != (c | 0x20)) continue;
        code_set own = {.n = 0};
        for (const char *p = classes[i].ranges; *p; p += 2)
            own.range[own.n++] = (code_range){p[0], p[1]};
        if (c != classes[i].name) invert(&own);
        for (int32_t k = 0; k < own.n; k++) {
            if (!add_range(r, s, own.range[k].low, own.range[k].high)) return true;
        }
        return true;
    }
    return false;
}

/* The character that \c stands for; -1: not one. */
static int32_t escaped(char c)
{
    static const char names[] = "ntrf", codes[] = "\n\t\r\f";
    for (size_t i = 0; names[i]; i++) {
        if (names[i] == c) return codes[i];
    }
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || (unsigned char)c >= 0x80 || c == 0 ? -1 : c;
}

/* One character of a class, escaped or not; -1: a named class was added, or failure. */
static int32_t class_character(reader *r, code_set *s)
{
    if (!take(r, '\\')) return utf8_next(r->pattern, &r->at);
    char c = peek(r);
    if (add_named(r, s, c)) return r->at++, -1;
    int32_t code = escaped(c);
    if (code < 0) return fail(r, "this escape is not known here");
    r->at++;
    return code;
}

static int32_t set_node(reader *r, const code_set *s)
{
    int32_t all = -1;
    if (s->n == 0) return fail(r, "[..] holds nothing");
    for (int32_t i = 0; i < s->n; i++)
        all = syntax_either(r->syntax, all,
                            syntax_range(r->syntax, s->range[i].low, s->range[i].high));
    return all;
}

static int32_t read_class(reader *r)
{
    code_set set = {.n = 0};
    bool inverted = take(r, '^');
    for (bool first = true; first || peek(r) != ']'; first = false) {
        if (at_end(r)) return fail(r, "[ is not closed");
        int32_t low = class_character(r, &set), high = low;
        if (r->syntax->e->code != ERR_NONE) return -1;
        if (low < 0) continue;
        bool range =
            peek(r) == '-' && r->at + 1 < r->pattern.size && r->pattern.data[r->at + 1] != ']';
        if (range) {
            r->at++;
            high = class_character(r, &set);
            if (high < 0) return fail(r, "a range ends in a class");
        }
        if (!add_range(r, &set, low, high)) return -1;
    }
    r->at++;
    if (inverted) invert(&set);
    return set_node(r, &set);
}

/* ---- expressions ---- */

static int32_t read_either(reader *r);

static int32_t read_group(reader *r)
{
    if (take(r, '?') && !take(r, ':')) return fail(r, "of groups with ? only (?: ) is known");
    if (++r->depth > SYNTAX_DEPTH_MAX) return fail(r, "groups are too deep");
    int32_t inner = read_either(r);
    r->depth--;
    if (inner >= 0 && !take(r, ')')) return fail(r, "( is not closed");
    return inner;
}

static int32_t read_escape(reader *r)
{
    code_set set = {.n = 0};
    char c = peek(r);
    if (add_named(r, &set, c)) {
        r->at++;
        return set_node(r, &set);
    }
    int32_t code = escaped(c);
    if (code < 0) return fail(r, "this escape is not known here");
    r->at++;
    return syntax_range(r->syntax, code, code);
}

static int32_t read_one(reader *r)
{
    if (take(r, '(')) return read_group(r);
    if (take(r, '[')) return read_class(r);
    if (take(r, '\\')) return read_escape(r);
    if (take(r, '.')) {
        code_set set = {.range = {{'\n', '\n'}}, .n = 1};
        invert(&set);
        return set_node(r, &set);
    }
    if (strchr("*+?{}^$])", peek(r)))
        return fail(r, "this mark stands for itself only behind a backslash");
    int32_t code = utf8_next(r->pattern, &r->at);
    return syntax_range(r->syntax, code, code);
}

/* A number of at most four digits; -1: none. */
static int32_t read_number(reader *r)
{
    int32_t n = -1;
    while (peek(r) >= '0' && peek(r) <= '9' && n < SYNTAX_REPEAT_MAX) {
        n = (n < 0 ? 0 : n * 10) + (peek(r) - '0');
        r->at++;
    }
    return n;
}

static bool read_counts(reader *r, int32_t *low, int32_t *high)
{
    *low = *high = read_number(r);
    if (take(r, ',')) *high = read_number(r);
    bool good = *low >= 0 && *low <= SYNTAX_REPEAT_MAX && *high <= SYNTAX_REPEAT_MAX &&
                (*high < 0 || *high >= *low) && take(r, '}');
    if (!good) fail(r, "a repetition is {n}, {n,} or {n,m} of at most 4096");
    return good;
}

static int32_t read_repeated(reader *r)
{
    int32_t one = read_one(r), low = 1, high = 1;
    if (one < 0) return -1;
    if (take(r, '*')) low = 0, high = -1;
    else if (take(r, '+')) low = 1, high = -1;
    else if (take(r, '?')) low = 0, high = 1;
    else if (take(r, '{')) {
        if (!read_counts(r, &low, &high)) return -1;
    } else return one;
    if (peek(r) && strchr("*+?{", peek(r))) return fail(r, "a repetition of a repetition");
    return syntax_repeat(r->syntax, one, low, high);
}

static int32_t read_row(reader *r)
{
    int32_t all = syntax_empty(r->syntax);
    while (all >= 0 && !at_end(r) && peek(r) != '|' && peek(r) != ')') {
        if (peek(r) == '$' && r->at + 1 == r->pattern.size) { /* the whole text fits anyway */
            r->at++;
            break;
        }
        all = syntax_both(r->syntax, all, read_repeated(r));
    }
    return all;
}

static int32_t read_either(reader *r)
{
    int32_t all = -1;
    do {
        int32_t one = read_row(r);
        if (one < 0) return -1;
        all = syntax_either(r->syntax, all, one);
    } while (take(r, '|'));
    return all;
}

bool automaton_pattern(automaton *m, str pattern, arena *a, err *e)
{
    syntax s = {.node = buf_up_to((size_t)1 << 28), .e = e};
    reader r = {.syntax = &s, .pattern = pattern};
    if (utf8_check(pattern) >= 0 || pattern.size == 0)
        return err_set(e, ERR_USAGE, "the pattern of a constraint is empty or not UTF-8");
    take(&r, '^');
    int32_t root = read_either(&r);
    if (root >= 0 && !at_end(&r)) root = fail(&r, "this ) opens nowhere");
    bool ok = root >= 0 && syntax_compile(&s, root, m, a);
    buf_close(&s.node);
    return ok;
}
