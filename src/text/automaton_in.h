/* automaton_in: the syntax tree that choices, patterns and schemas are read into. */
#ifndef CASELOAD_TEXT_AUTOMATON_IN_H
#define CASELOAD_TEXT_AUTOMATON_IN_H

#include "text/automaton.h"

enum { SYNTAX_NODES_MAX = 1 << 18, SYNTAX_DEPTH_MAX = 64, SYNTAX_REPEAT_MAX = 4096 };

typedef enum syntax_kind {
    SYNTAX_EMPTY,
    SYNTAX_BYTE,   /* one byte from low to high */
    SYNTAX_BOTH,   /* left, then right */
    SYNTAX_EITHER, /* left or right */
    SYNTAX_REPEAT  /* left, low to high times; high -1: any number */
} syntax_kind;

typedef struct syntax_node {
    syntax_kind kind;
    int32_t low, high, left, right;
} syntax_node;

typedef struct syntax { /* nodes by number; -1 is failure, with the error set */
    buf node;
    err *e;
} syntax;

int32_t syntax_empty(syntax *s);
int32_t syntax_byte(syntax *s, int32_t low, int32_t high);
int32_t syntax_both(syntax *s, int32_t left, int32_t right);
int32_t syntax_either(syntax *s, int32_t left, int32_t right); /* -1 on the left: right alone */
int32_t syntax_repeat(syntax *s, int32_t of, int32_t low, int32_t high);
int32_t syntax_text(syntax *s, str bytes);
/* One character with a code point from low to high, as UTF-8; surrogates are left out. */
int32_t syntax_range(syntax *s, int32_t low, int32_t high);

/* The tree as an automaton. */
bool syntax_compile(syntax *s, int32_t root, automaton *m, arena *a);

#endif
