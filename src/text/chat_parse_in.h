/* chat_parse_in: what the lexer (chat_lex.c) and the parser (chat_parse.c) share. */
#ifndef CASELOAD_TEXT_CHAT_PARSE_IN_H
#define CASELOAD_TEXT_CHAT_PARSE_IN_H

#include "text/chat_in.h"

typedef enum token_kind {
    T_END,
    T_DATA,
    T_VAR,
    T_VAR_END,
    T_TAG,
    T_TAG_END,
    T_NAME,
    T_CONST,
    T_OP,
} token_kind;

typedef struct token {
    uint8_t kind, op;
    int32_t line;
    int32_t id; /* name or constant */
    str text;
} token;

typedef struct parser {
    chat_template *t;
    err *e;
    str source;
    size_t at; /* lexer: offset in the source */
    int32_t line;
    bool line_starting;
    uint8_t brackets[CHAT_NEST_MAX];
    int32_t n_bracket;
    token *tokens;
    int32_t n_token, room_token, next;
    int32_t *stack; /* children of the lists being read */
    int32_t n_stack, room_stack, room_node, room_kid, room_constant, room_name;
    int32_t depth, loops;
    uint8_t uses; /* special names seen in the macro being read */
} parser;

/* ERR_MODEL "<name>: line N: ..."; the parser then stands at the end token. Returns false. */
bool chat_parse_fail(parser *p, int32_t line, const char *format, ...) PRINTF(3, 4);

/* Checks and normalises the source, then makes the tokens, a T_END last. */
bool chat_lex(parser *p, str source);

int32_t chat_add_constant(parser *p, value v);
int32_t chat_add_name(parser *p, str name);

#endif
