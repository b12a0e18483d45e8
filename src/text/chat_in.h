/* chat_in: what the files of chat share.
 *
 *   chat_lex.c    source -> tokens
 *   chat_parse.c  tokens -> a tree of nodes in one block of memory
 *   chat.c        statements and expressions, over values in the memory of one render
 *   chat_value.c  values: truth, equality, order, Python's spelling, JSON in and out
 *   chat_call.c   filters, tests, methods and functions: tables of rows
 *   chat_text.c   those of text and numbers
 */
#ifndef CASELOAD_TEXT_CHAT_IN_H
#define CASELOAD_TEXT_CHAT_IN_H

#include "text/chat.h"

enum {
    CHAT_SOURCE_MAX = 1 << 20,
    CHAT_STEPS_MAX = 10 * 1000 * 1000,
    CHAT_OUT_MAX = 64 << 20,
    CHAT_MEMORY_MAX = 256 << 20,
    CHAT_DEPTH_MAX = 1000, /* of the evaluator's own recursion */
    CHAT_CALLS_MAX = 200,  /* macros, callers and recursive loops within each other */
    CHAT_NEST_MAX = 200,   /* brackets and blocks in the source, levels of a value */
    CHAT_RANGE_MAX = 100000,
    CHAT_PARAM_MAX = 5,
};

/* A list n below is kids[list .. list + n). */
typedef enum node_kind {
    E_CONST,      /* a constant */
    E_NAME,       /* a name */
    E_HOLE,       /* the text a filter block or set block feeds to its filters */
    E_LIST,       /* a list, b n */
    E_TUPLE,      /* a list, b n; also a target */
    E_DICT,       /* a list of (key, value), b pairs */
    E_NOT,        /* a; op for E_SIGN: '-' or '+' */
    E_SIGN,       /* op a */
    E_AND,        /* a, b */
    E_OR,         /* a, b */
    E_BINARY,     /* a op b */
    E_JOIN,       /* a ~ b ~ ..: a list, b n */
    E_COMPARE,    /* a first, b list of (op, operand), c pairs */
    E_IF,         /* b if a else c (-1: nothing) */
    E_ATTRIBUTE,  /* a . name b */
    E_ITEM,       /* a [b] */
    E_SLICE,      /* a [b : c : d], -1 where absent */
    E_CALL,       /* a (arguments b) */
    E_FILTER,     /* a | row b (arguments c or -1) */
    E_TEST,       /* a is row b (arguments c or -1) */
    E_ARGS,       /* a list: *x or -1, **x or -1, b by place, c pairs (name, value) */
    T_SPACE,      /* target: name a . name b */
    S_TEXT,       /* a constant */
    S_PRINT,      /* a */
    S_BLOCK,      /* a list, b n */
    S_IF,         /* a, then b, else c (-1, a block or another S_IF) */
    S_FOR,        /* target a in b, c list: if, body, else, recursive */
    S_SET,        /* target a = b */
    S_SET_BLOCK,  /* target a, filters b or -1, body c */
    S_MACRO,      /* name a, parameters b, body c */
    S_CALL,       /* call a, parameters b, body c */
    S_FILTER,     /* filters a, body b */
    S_WITH,       /* a list of (target, value), b pairs, body c */
    S_GENERATION, /* a */
    S_BREAK,
    S_CONTINUE,
    S_PARAMS, /* a list of (name, default or -1), b pairs, c: USES_.. bits */
} node_kind;

enum { OP_EQ = 128, OP_NE, OP_LE, OP_GE, OP_FLOOR, OP_POWER, OP_IN, OP_NOT_IN };
enum { NAME_LOOP, NAME_CALLER, NAME_VARARGS, NAME_KWARGS, NAME_STRFTIME }; /* the first names */
enum { USES_CALLER = 1, USES_VARARGS = 2, USES_KWARGS = 4 };

typedef struct node {
    uint8_t kind, op;
    int32_t line;
    int32_t a, b, c, d;
} node;

typedef enum value_kind {
    V_ABSENT,    /* an argument that was not given */
    V_UNDEFINED, /* s: name or whole message; mark: MARK_.. */
    V_NONE,
    V_BOOL,
    V_INT,
    V_FLOAT,
    V_STR,
    V_LIST,
    V_TUPLE,
    V_RANGE,
    V_LAZY, /* what map, select, items .. return: gone after one pass */
    V_VIEW, /* of a dict; mark: 0 keys, 1 values, 2 items */
    V_DICT,
    V_SPACE, /* namespace() */
    V_LOOP,
    V_MACRO,
    V_METHOD,   /* row id of *self */
    V_FUNCTION, /* row id */
} value_kind;
enum { MARK_VARIABLE, MARK_MESSAGE, MARK_OF }; /* V_UNDEFINED; MARK_OF + kind: attribute of */
enum { MARK_SAFE = 1 };                        /* V_STR: Python's Markup */
typedef struct value {
    uint8_t kind, mark;
    int32_t id;
    union {
        int64_t i; /* V_BOOL, V_INT */
        double f;
        str s;
        struct seq *seq;
        struct dict *dict;
        struct loop *loop;
        struct macro *macro;
        struct value *self;
    };
} value;

typedef struct seq {
    value *at;
    int64_t n;
    int64_t start, step; /* V_RANGE: for its spelling */
    bool spent;          /* V_LAZY */
} seq;

typedef struct dict { /* in order of insertion */
    struct pair {
        value key, value;
    } * at;
    int64_t n, room;
} dict;
typedef struct pair pair;

struct chat_template {
    arena memory; /* holds all of this */
    const char *name;
    node *nodes;
    int32_t *kids;
    value *constants;
    str *names;
    int32_t n_node, n_kid, n_constant, n_name;
    int32_t root;
};

/* Reads the template's tree out of its source (chat_parse.c). */
bool chat_parse(chat_template *t, str source, err *e);

/* Rows of the tables of chat_call.c; -1 when there is none, then the nearest name or NULL. */
int32_t chat_find_filter(str name, const char **nearest);
int32_t chat_find_test(str name, const char **nearest);

bool chat_is_space(int32_t character); /* to Python's str.isspace */

#endif
