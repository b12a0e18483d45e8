/* automaton: from the syntax tree to the automaton, and choices; see automaton.h. Code points
 * become bytes by cutting a range where the length of UTF-8 or a lead byte changes. */
#include "text/automaton_in.h"

#include "text/utf8.h"

#include <assert.h>
#include <stdlib.h>

enum { NFA_STATES_MAX = 1 << 20 };
static const size_t bytes_work = (size_t)4 << 30; /* address space while compiling */

/* ---- the syntax tree ---- */

static int32_t add_node(syntax *s, syntax_node n)
{
    int32_t number = (int32_t)(s->node.size / sizeof n);
    if (s->e->code != ERR_NONE) return -1;
    if (number >= SYNTAX_NODES_MAX) {
        err_set(s->e, ERR_USAGE, "the constraint is too large; make it simpler");
        return -1;
    }
    buf_add(&s->node, &n, sizeof n);
    return buf_check(&s->node, "a constraint", s->e) ? number : -1;
}

int32_t syntax_empty(syntax *s) { return add_node(s, (syntax_node){.kind = SYNTAX_EMPTY}); }

int32_t syntax_byte(syntax *s, int32_t low, int32_t high)
{
    assert(low >= 0 && low <= high && high < 256);
    return add_node(s, (syntax_node){.kind = SYNTAX_BYTE, .low = low, .high = high});
}

int32_t syntax_both(syntax *s, int32_t left, int32_t right)
{
    if (left < 0 || right < 0) return -1;
    return add_node(s, (syntax_node){.kind = SYNTAX_BOTH, .left = left, .right = right});
}

int32_t syntax_either(syntax *s, int32_t left, int32_t right)
{
    if (left < 0 || right < 0) return right;
    return add_node(s, (syntax_node){.kind = SYNTAX_EITHER, .left = left, .right = right});
}

int32_t syntax_repeat(syntax *s, int32_t of, int32_t low, int32_t high)
{
    if (of < 0) return -1;
    return add_node(s, (syntax_node){.kind = SYNTAX_REPEAT, .left = of, .low = low, .high = high});
}

int32_t syntax_text(syntax *s, str bytes)
{
    int32_t all = syntax_empty(s);
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char b = (unsigned char)bytes.data[i];
        all = syntax_both(s, all, syntax_byte(s, b, b));
    }
    return all;
}

/* Code points low to high whose UTF-8 has `n` bytes, all but the last `tail` of them the same. */
static int32_t utf8_range(syntax *s, int32_t low, int32_t high, int n)
{
    for (int tail = n - 1; tail > 0; tail--) { /* cut until each trailing byte is free or fixed */
        int32_t span = 1 << 6 * tail;
        if (low / span == high / span) continue;
        int32_t cut = (low / span + 1) * span; /* first above low's block */
        if (low % span != 0)
            return syntax_either(s, utf8_range(s, low, cut - 1, n), utf8_range(s, cut, high, n));
        cut = high / span * span;
        if ((high + 1) % span != 0)
            return syntax_either(s, utf8_range(s, low, cut - 1, n), utf8_range(s, cut, high, n));
        break;
    }
    char from[4], to[4];
    int size = utf8_put(from, low), same = utf8_put(to, high);
    assert(size == n && same == n);
    (void)same;
    int32_t all = syntax_empty(s);
    for (int i = 0; i < size; i++)
        all = syntax_both(s, all, syntax_byte(s, (unsigned char)from[i], (unsigned char)to[i]));
    return all;
}

int32_t syntax_range(syntax *s, int32_t low, int32_t high)
{
    static const struct {
        int32_t low, high;
        int n;
    } lengths[] = {{0, 0x7F, 1},
                   {0x80, 0x7FF, 2},
                   {0x800, 0xD7FF, 3},
                   {0xE000, 0xFFFF, 3},
                   {0x10000, 0x10FFFF, 4}};
    int32_t all = -1;
    for (size_t i = 0; i < countof(lengths); i++) {
        int32_t from = low > lengths[i].low ? low : lengths[i].low;
        int32_t to = high < lengths[i].high ? high : lengths[i].high;
        if (from <= to) all = syntax_either(s, all, utf8_range(s, from, to, lengths[i].n));
    }
    if (all < 0) err_set(s->e, ERR_USAGE, "a range of characters in a constraint is empty");
    return all;
}

/* ---- NFA: a state reads a byte, or splits without reading ---- */

typedef struct nfa_state {
    int32_t low, high; /* -1: splits to next and other; -2: accepts */
    int32_t next, other;
} nfa_state;

typedef struct compiler {
    const syntax *syntax;
    buf nfa;
    err *e;
} compiler;

static int32_t add_state(compiler *c, nfa_state n)
{
    int32_t number = (int32_t)(c->nfa.size / sizeof n);
    if (c->e->code != ERR_NONE) return 0;
    if (number >= NFA_STATES_MAX) {
        err_set(c->e, ERR_USAGE, "the constraint is too large; make it simpler");
        return 0;
    }
    buf_add(&c->nfa, &n, sizeof n);
    return buf_check(&c->nfa, "a constraint", c->e) ? number : 0;
}

static int32_t compile(compiler *c, int32_t node, int32_t then);

static int32_t compile_repeat(compiler *c, const syntax_node *n, int32_t then)
{
    int32_t at = then;
    if (n->high < 0) {
        int32_t loop = add_state(c, (nfa_state){.low = -1, .other = then});
        int32_t body = compile(c, n->left, loop);
        if (c->e->code != ERR_NONE) return 0;
        ((nfa_state *)(void *)c->nfa.data)[loop].next = body;
        at = loop;
    }
    for (int32_t i = n->low; i < n->high && c->e->code == ERR_NONE; i++) {
        int32_t body = compile(c, n->left, at);
        at = add_state(c, (nfa_state){.low = -1, .next = body, .other = then});
    }
    for (int32_t i = 0; i < n->low && c->e->code == ERR_NONE; i++) at = compile(c, n->left, at);
    return at;
}

/* The state from which what `node` says and then `then` is read. The tree's depth is bounded by its
 * makers, but for long rows of SYNTAX_BOTH, which lean left. */
static int32_t compile(compiler *c, int32_t node, int32_t then)
{
    const syntax_node *n = (const syntax_node *)(const void *)c->syntax->node.data + node;
    while (c->e->code == ERR_NONE && n->kind == SYNTAX_BOTH) {
        then = compile(c, n->right, then);
        n = (const syntax_node *)(const void *)c->syntax->node.data + n->left;
    }
    if (c->e->code != ERR_NONE || n->kind == SYNTAX_EMPTY) return then;
    if (n->kind == SYNTAX_BYTE)
        return add_state(c, (nfa_state){.low = n->low, .high = n->high, .next = then});
    if (n->kind == SYNTAX_REPEAT) return compile_repeat(c, n, then);
    int32_t all = -1; /* rows of SYNTAX_EITHER lean left too */
    while (c->e->code == ERR_NONE) {
        bool more = n->kind == SYNTAX_EITHER;
        int32_t one = more ? n->right
                           : (int32_t)(n - (const syntax_node *)(const void *)c->syntax->node.data);
        int32_t way = compile(c, one, then);
        all = all < 0 ? way : add_state(c, (nfa_state){.low = -1, .next = way, .other = all});
        if (!more) break;
        n = (const syntax_node *)(const void *)c->syntax->node.data + n->left;
    }
    return all;
}

/* ---- DFA: sets of NFA states ---- */

typedef struct builder {
    const nfa_state *nfa;
    int32_t n_nfa;
    buf set;        /* int32_t[] members of all sets, one after the other, each rising */
    buf first;      /* int64_t[] where each set begins */
    int32_t *table; /* [n_table] set + 1 by hash of members */
    int32_t n_table;
    int32_t *stack, *mark, *member; /* [n_nfa]; mark: the round in which a state was met */
    int32_t round, n_member;
    automaton *m;
    err *e;
} builder;

static int by_number(const void *left, const void *right)
{
    const int32_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

/* Adds a state and all it splits to: those that read or accept. */
static void add_closure(builder *b, int32_t state)
{
    int32_t n = 0;
    b->stack[n++] = state;
    while (n > 0) {
        int32_t at = b->stack[--n];
        if (b->mark[at] == b->round) continue;
        b->mark[at] = b->round;
        const nfa_state *s = &b->nfa[at];
        if (s->low != -1) {
            b->member[b->n_member++] = at;
            continue;
        }
        if (b->mark[s->next] != b->round) b->stack[n++] = s->next;
        if (b->mark[s->other] != b->round) b->stack[n++] = s->other;
    }
}

static const int32_t *set_of(const builder *b, int32_t state, int32_t *n)
{
    const int64_t *first = (const int64_t *)(const void *)b->first.data;
    int64_t all = (int64_t)(b->set.size / sizeof(int32_t));
    int64_t end = (size_t)(state + 1) * sizeof *first < b->first.size ? first[state + 1] : all;
    *n = (int32_t)(end - first[state]);
    return (const int32_t *)(const void *)b->set.data + first[state];
}

/* The number of the set in b->member, which is new or not; -1: too many. */
static int32_t find_set(builder *b)
{
    qsort(b->member, (size_t)b->n_member, sizeof *b->member, by_number);
    uint32_t hash = 2166136261u;
    for (int32_t i = 0; i < b->n_member; i++) hash = (hash ^ (uint32_t)b->member[i]) * 16777619u;
    int32_t at = (int32_t)(hash % (uint32_t)b->n_table);
    for (; b->table[at]; at = (at + 1) % b->n_table) {
        int32_t n = 0;
        const int32_t *other = set_of(b, b->table[at] - 1, &n);
        if (n == b->n_member && !memcmp(other, b->member, (size_t)n * sizeof *other))
            return b->table[at] - 1;
    }
    if (b->m->n_state == AUTOMATON_STATES_MAX) {
        err_set(b->e, ERR_USAGE, "the constraint has more than %d states; shorten its repetitions",
                AUTOMATON_STATES_MAX);
        return -1;
    }
    int64_t first = (int64_t)(b->set.size / sizeof(int32_t));
    buf_add(&b->first, &first, sizeof first);
    buf_add(&b->set, b->member, (size_t)b->n_member * sizeof *b->member);
    if (!buf_check(&b->set, "a constraint", b->e) || !buf_check(&b->first, "a constraint", b->e))
        return -1;
    b->table[at] = ++b->m->n_state;
    return b->m->n_state - 1;
}

/* Where byte `byte` leads from a set. */
static int32_t follow(builder *b, int32_t state, int32_t byte)
{
    int32_t n = 0;
    b->round++;
    b->n_member = 0;
    const int32_t *set = set_of(b, state, &n);
    for (int32_t i = 0; i < n; i++) {
        const nfa_state *s = &b->nfa[set[i]];
        if (s->low <= byte && byte <= s->high) add_closure(b, s->next);
    }
    return b->n_member == 0 ? AUTOMATON_DEAD : find_set(b);
}

/* Bytes at which some state of the set begins or ends to read: between them all lead alike. */
static void find_cuts(const builder *b, int32_t state, bool cut[257])
{
    int32_t n = 0;
    const int32_t *set = set_of(b, state, &n);
    memset(cut, 0, 257);
    cut[0] = true;
    for (int32_t i = 0; i < n; i++) {
        const nfa_state *s = &b->nfa[set[i]];
        if (s->low >= 0) cut[s->low] = cut[s->high + 1] = true;
    }
}

static bool build(builder *b, int32_t start)
{
    b->round++;
    add_closure(b, start);
    if (find_set(b) < 0) return false;
    for (int32_t state = 0; state < b->m->n_state; state++) {
        bool cut[257];
        int32_t n = 0, *next = b->m->next + (int64_t)state * 256;
        const int32_t *set = set_of(b, state, &n);
        b->m->accepts[state] = b->m->goes_on[state] = false;
        for (int32_t i = 0; i < n; i++) {
            if (b->nfa[set[i]].low == -2) b->m->accepts[state] = true;
        }
        find_cuts(b, state, cut);
        for (int32_t byte = 0; byte < 256; byte++) {
            next[byte] = cut[byte] ? follow(b, state, byte) : next[byte - 1];
            if (b->e->code != ERR_NONE) return false;
            if (next[byte] >= 0) b->m->goes_on[state] = true;
        }
    }
    return true;
}

static bool take_lists(builder *b, arena *work, err *e)
{
    size_t n = (size_t)b->n_nfa, most = AUTOMATON_STATES_MAX;
    b->n_table = 4 * AUTOMATON_STATES_MAX;
    b->table = arena_take_zero(work, (size_t)b->n_table, sizeof *b->table, e);
    b->stack = arena_take(work, 2 * n + 2, sizeof *b->stack, e);
    b->mark = arena_take_zero(work, n, sizeof *b->mark, e);
    b->member = arena_take(work, n, sizeof *b->member, e);
    b->m->next = arena_take(work, most * 256, sizeof(int32_t), e);
    b->m->accepts = arena_take(work, most, sizeof(bool), e);
    b->m->goes_on = arena_take(work, most, sizeof(bool), e);
    return e->code == ERR_NONE;
}

static bool keep(automaton *m, arena *a, err *e)
{
    size_t n = (size_t)m->n_state;
    automaton own = {.n_state = m->n_state,
                     .next = arena_take(a, n * 256, sizeof(int32_t), e),
                     .accepts = arena_take(a, n, sizeof(bool), e),
                     .goes_on = arena_take(a, n, sizeof(bool), e)};
    if (e->code != ERR_NONE) return false;
    memcpy(own.next, m->next, n * 256 * sizeof(int32_t));
    memcpy(own.accepts, m->accepts, n * sizeof(bool));
    memcpy(own.goes_on, m->goes_on, n * sizeof(bool));
    *m = own;
    return true;
}

bool syntax_compile(syntax *s, int32_t root, automaton *m, arena *a)
{
    compiler c = {.syntax = s, .nfa = buf_up_to((size_t)1 << 30), .e = s->e};
    builder b = {.set = buf_up_to((size_t)1 << 32), .first = buf_up_to(1 << 24), .m = m, .e = s->e};
    arena work;
    *m = (automaton){0};
    int32_t blank = syntax_repeat(s, syntax_byte(s, ' ', ' '), 0, 1);
    root = syntax_both(s, blank, root);
    if (root < 0 || !arena_open_up_to(&work, bytes_work, "a constraint", s->e)) return false;
    int32_t end = add_state(&c, (nfa_state){.low = -2, .high = -2});
    int32_t start = compile(&c, root, end);
    b.nfa = (const nfa_state *)(const void *)c.nfa.data;
    b.n_nfa = (int32_t)(c.nfa.size / sizeof(nfa_state));
    bool ok = s->e->code == ERR_NONE && take_lists(&b, &work, s->e) && build(&b, start) &&
              keep(m, a, s->e);
    buf_close(&c.nfa);
    buf_close(&b.set);
    buf_close(&b.first);
    arena_close(&work);
    return ok;
}

bool automaton_choice(automaton *m, const str *text, int32_t n, arena *a, err *e)
{
    syntax s = {.node = buf_up_to((size_t)1 << 28), .e = e};
    int32_t all = -1;
    assert(n > 0);
    for (int32_t i = 0; i < n; i++) {
        str one = text[i];
        if (one.size && one.data[0] == ' ') one = str_part(one, 1, one.size - 1);
        if (one.size == 0) err_set(e, ERR_USAGE, "a choice of a constraint is empty");
        all = syntax_either(&s, all, syntax_text(&s, one));
    }
    bool ok = e->code == ERR_NONE && syntax_compile(&s, all, m, a);
    buf_close(&s.node);
    return ok;
}

int32_t automaton_run(const automaton *m, int32_t state, str bytes)
{
    for (size_t i = 0; i < bytes.size && state >= 0; i++)
        state = m->next[(int64_t)state * 256 + (unsigned char)bytes.data[i]];
    return state;
}
