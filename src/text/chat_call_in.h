/* chat_call_in: what the rows of filters and methods share; text and numbers are in chat_text.c. */
#ifndef CASELOAD_TEXT_CHAT_CALL_IN_H
#define CASELOAD_TEXT_CHAT_CALL_IN_H

#include "text/chat_run_in.h"

/* Arguments: V_ABSENT gives the value for it, another kind than wanted fails. */
bool chat_absent(value v);
bool chat_whole_arg(run *r, value v, int64_t otherwise, int64_t *out);
bool chat_str_arg(run *r, value v, str *out);
bool chat_finish_text(run *r, size_t start, value *out);
bool chat_self_text(run *r, const call *c, str *out);
bool chat_join_items(run *r, str by, seq *q, bool strict, value *out);

enum { FIND, FIND_LAST, FIND_NEED, FIND_COUNT };                     /* aux of chat_do_find */
enum { IS_DIGIT, IS_ALPHA, IS_ALNUM, IS_SPACE, IS_UPPER, IS_LOWER }; /* aux of chat_do_is_kind */

/* Rows. */
bool chat_do_case(run *r, const call *c, value *out);
bool chat_do_title_filter(run *r, const call *c, value *out);
bool chat_do_strip(run *r, const call *c, value *out);
bool chat_do_replace_filter(run *r, const call *c, value *out);
bool chat_do_replace(run *r, const call *c, value *out);
bool chat_do_split(run *r, const call *c, value *out);
bool chat_do_split_lines(run *r, const call *c, value *out);
bool chat_do_has_end(run *r, const call *c, value *out);
bool chat_do_remove_end(run *r, const call *c, value *out);
bool chat_do_find(run *r, const call *c, value *out);
bool chat_do_is_kind(run *r, const call *c, value *out);
bool chat_do_join_method(run *r, const call *c, value *out);
bool chat_do_indent(run *r, const call *c, value *out);
bool chat_do_string(run *r, const call *c, value *out);
bool chat_do_safe(run *r, const call *c, value *out);
bool chat_do_escape(run *r, const call *c, value *out);
bool chat_do_format_filter(run *r, const call *c, value *out);
bool chat_do_format_method(run *r, const call *c, value *out);
bool chat_do_int(run *r, const call *c, value *out);
bool chat_do_float(run *r, const call *c, value *out);
bool chat_do_abs(run *r, const call *c, value *out);
bool chat_do_round(run *r, const call *c, value *out);

#endif
