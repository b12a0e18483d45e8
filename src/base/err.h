/* err: one error type for the whole program.
 *
 * The caller owns it and passes it last; functions that can fail return bool or a pointer.
 * The first failure sticks, so a run of calls may be checked once at its end.
 * `assert` is for our own mistakes, `err` for the world's (files, tables, models, memory).
 *
 * A message is one finished sentence: what went wrong, where (file, row id, column, line), what to
 * try. It never holds the text of a row: clinical text must not leak into terminals or logs.
 */
#ifndef CASELOAD_BASE_ERR_H
#define CASELOAD_BASE_ERR_H

#include <stdbool.h>

#define PRINTF(format_at, first_at) __attribute__((format(printf, format_at, first_at)))
#define countof(array) (sizeof(array) / sizeof((array)[0]))

typedef enum err_code { /* the values are the program's exit codes */
                        ERR_NONE = 0,
                        ERR_OTHER = 1,    /* anything else */
                        ERR_USAGE = 2,    /* command line or study file */
                        ERR_DATA = 3,     /* the user's table */
                        ERR_MODEL = 4,    /* the model's files */
                        ERR_RESOURCE = 5, /* memory, disk, permissions */
                        ERR_STOPPED = 6,  /* interrupted; a rerun goes on from there */
} err_code;

typedef struct err {
    err_code code;
    char text[1000]; /* one sentence, 0-terminated; empty while code is ERR_NONE */
} err;

/* Keeps the first failure. Always returns false, so a function can `return err_set(e, ...)`. */
bool err_set(err *e, err_code code, const char *format, ...) PRINTF(3, 4);

/* Puts "place: " in front of a failure on its way up; does nothing on success. Returns false. */
bool err_in(err *e, const char *format, ...) PRINTF(2, 3);

#endif
