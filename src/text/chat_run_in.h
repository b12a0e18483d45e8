/* chat_run_in: one render of a template, and what chat.c, chat_value.c and chat_call.c do with
 * it. */
#ifndef CASELOAD_TEXT_CHAT_RUN_IN_H
#define CASELOAD_TEXT_CHAT_RUN_IN_H

#include "text/chat_in.h"

typedef struct scope scope; /* chat.c */

typedef struct run {
    const chat_template *t;
    const json_t *context;
    buf *out;
    size_t out_start;
    buf scratch;
    arena memory;
    scope *base; /* the context's members that were asked for so far */
    err *e;
    value hole;
    int64_t steps;
    int32_t line, depth, calls;
} run;

typedef struct named {
    str name;
    value value;
} named;

typedef struct args {
    value *at;
    named *named;
    int64_t n, n_named;
} args;

typedef struct call { /* a call, its arguments put to their parameters */
    value self;
    value p[CHAT_PARAM_MAX]; /* V_ABSENT where none was given */
    const args *all;
    int aux; /* the row's */
} call;

static inline value of_none(void) { return (value){.kind = V_NONE}; }
static inline value of_bool(bool b) { return (value){.kind = V_BOOL, .i = b}; }
static inline value of_int(int64_t i) { return (value){.kind = V_INT, .i = i}; }
static inline value of_float(double f) { return (value){.kind = V_FLOAT, .f = f}; }
static inline value of_str(str s) { return (value){.kind = V_STR, .s = s}; }
static inline value of_seq(value_kind kind, seq *q) { return (value){.kind = kind, .seq = q}; }
static inline value of_message(const char *text)
{
    return (value){.kind = V_UNDEFINED, .mark = MARK_MESSAGE, .s = str_of(text)};
}
static inline bool is_number(value v) { return v.kind >= V_BOOL && v.kind <= V_FLOAT; }
static inline bool is_whole(value v) { return v.kind == V_BOOL || v.kind == V_INT; }
static inline double as_double(value v) { return v.kind == V_FLOAT ? v.f : (double)v.i; }

/* chat.c: all return false once the render has failed; the first failure sticks. */
bool chat_fail(run *r, const char *format, ...) PRINTF(2, 3);
bool chat_spend(run *r, size_t steps);
void *chat_take(run *r, int64_t count, size_t each);
bool chat_keep(run *r, str s, str *out); /* a copy in the render's memory */
bool chat_need_defined(run *r, value v); /* fails with the reason why v is undefined */
bool chat_call(run *r, value callee, const args *a, value *out);
bool chat_binary(run *r, int op, value a, value b, value *out);
bool chat_compare(run *r, int op, value a, value b, bool *holds); /* OP_EQ, '<', OP_IN, .. */
bool chat_loop_cycle(run *r, const struct loop *l, const args *a, value *out);
bool chat_loop_changed(run *r, struct loop *l, const args *a, value *out);

/* chat_value.c */
const char *chat_value_type(value v); /* Python's name of the type: "an int" */
bool chat_value_true(value v);
bool chat_value_equal(run *r, value a, value b, bool *equal);
bool chat_value_order(run *r, value a, value b,
                      int *order);              /* fails for kinds that have no order */
bool chat_value_str(run *r, value v, str *out); /* Python's str(v) */
bool chat_value_repr(run *r, buf *b, value v);  /* Python's repr(v), added to b */
bool chat_value_scratch(run *r, size_t start,
                        str *out);                 /* keeps the scratch from start, drops it */
bool chat_value_items(run *r, value v, seq **out); /* iter(v); spends a V_LAZY */
bool chat_value_length(run *r, value v, int64_t *out);
bool chat_value_seq(run *r, int64_t n, seq **out);
bool chat_value_dict(run *r, int64_t room, dict **out);
bool chat_value_put(run *r, dict *d, value key, value v);
bool chat_value_find(run *r, const dict *d, value key, value **out); /* *out NULL: not there */
bool chat_value_hashable(value v);
bool chat_value_of_json(run *r, const json_t *j, value *out);
bool chat_value_attribute(run *r, value v, str name, value *out); /* v.name */
bool chat_value_item(run *r, value v, value key, value *out);     /* v[key] */
bool chat_value_slice(run *r, value v, const value part[3], value *out);

typedef struct json_style {
    str item, key, indent;
    bool ascii, sorted, lines;
} json_style;
bool chat_value_json(run *r, const json_style *style, value v, int32_t level); /* into r->scratch */

int64_t chat_text_length(str s);      /* characters */
str chat_text_from(str s, int64_t n); /* s without its first n characters */
int32_t chat_text_next(str *s);       /* takes the first character off s, which is not empty */
str chat_text_strip(str s, const str *set, bool left, bool right); /* set NULL: white space */
typedef enum text_case { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_CAPITAL } text_case;
bool chat_text_map(run *r, str s, text_case how, str *out);
bool chat_text_is_case(str s, bool upper); /* str.isupper, str.islower */

/* chat_call.c */
bool chat_call_filter(run *r, int32_t row, value self, const args *a, value *out);
bool chat_call_test(run *r, int32_t row, value self, const args *a, bool *out);
bool chat_call_method(run *r, value self, int32_t row, const args *a, value *out);
bool chat_call_function(run *r, int32_t row, const args *a, value *out);
int32_t chat_find_method(value self, str name);
int32_t chat_find_function(str name);
/* format % values; not strict: a list or dict that is the one value need not be used, as in
 * Python */
bool chat_call_format(run *r, str format, const args *a, bool strict, value *out);

#endif
