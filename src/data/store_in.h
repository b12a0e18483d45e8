/* store_in: what the files of store share: the open file, its statements, numbers as text. */
#ifndef CASELOAD_DATA_STORE_IN_H
#define CASELOAD_DATA_STORE_IN_H

#include "data/store.h"

#include <sqlite3.h>

typedef enum statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SET,
    SQL_GET,
    SQL_RUN_START,
    SQL_RUN_END,
    SQL_CLEAR_CLASS,
    SQL_CLEAR_FLOW,
    SQL_CLEAR_ARM,
    SQL_CLEAR_ROW,
    SQL_CLEAR_GROUP,
    SQL_CLEAR_ASKED,
    SQL_CLEAR_ASKED_PART,
    SQL_ADD_CLASS,
    SQL_ADD_FLOW,
    SQL_ADD_ARM,
    SQL_SET_ARM,
    SQL_ADD_ROW,
    SQL_ADD_GROUP,
    SQL_ADD_ASKED,
    SQL_ADD_SCORE,
    SQL_HAS,
    SQL_COUNTS,
    SQL_CLASSES,
    SQL_FLOW,
    SQL_ARMS,
    SQL_ROWS,
    SQL_GROUP_NAMES,
    SQL_GROUPS,
    SQL_RESULTS,
    SQL_META,
    SQL_RUNS,
    SQL_ADD_ASKED_PART, /* from here on: tables of schema 2 */
    SQL_ADD_PART,
    SQL_HAS_PART,
    SQL_PARTS,
    SQL_ADD_SAMPLE,
    SQL_SAMPLES,
    SQL_SAMPLES_OF,
    SQL_COUNT
} statement;

struct store {
    sqlite3 *db;
    sqlite3_stmt *stmt[SQL_COUNT];
    int lock_fd; /* -1: opened to read */
    bool in_transaction, in_memory, writes;
    int64_t version; /* of the schema */
    char path[4096];
};

bool store_fail(const store *s, err *e); /* SQLite's last error as a sentence */
bool store_damaged(const store *s, err *e, const char *what);

void store_bind_text(sqlite3_stmt *q, int at, str text);
str store_column_text(sqlite3_stmt *q, int at);
double store_column_double(sqlite3_stmt *q, int at); /* NaN: null */

/* Runs a statement that gives no rows; its bindings are dropped. */
bool store_do(const store *s, statement which, err *e);
/* One more row? False at the end (the statement is reset then) and on failure (in e). */
bool store_next(const store *s, statement which, err *e);

/* "[-0.125,null]": minus infinity is null; false when one is not a number. */
bool store_write_numbers(buf *out, const double *x, int32_t n);
int32_t store_count_numbers(str text);
bool store_read_numbers(str text, double *x, int32_t n); /* exactly n */

#endif
