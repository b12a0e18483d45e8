/* store: see store.h. With store_parts.c the only file that sees SQLite. All statements are
 * prepared when the file is opened, so that writing a step allocates nothing of ours and a schema
 * that does not fit is found at once. Lists of numbers are JSON arrays of %.17g (exact for doubles;
 * null is minus infinity), so that the file can be read with any SQLite tool. */
#include "data/store_in.h"

#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STORE_APPLICATION = 0x434C6F64 }; /* "CLod": marks the file as ours */
enum { STORE_CHECK_BYTES = 256 << 20 };  /* files up to this size are checked whole when opened */

static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE run(run INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT,"
    "  record TEXT NOT NULL);"
    "CREATE TABLE class(class INTEGER PRIMARY KEY, name TEXT NOT NULL, positive INTEGER NOT NULL);"
    "CREATE TABLE flow(step INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER NOT NULL);"
    "CREATE TABLE arm(arm INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    "  record TEXT NOT NULL);"
    "CREATE TABLE row(row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, label INTEGER NOT NULL,"
    "  patient INTEGER NOT NULL, split TEXT NOT NULL);"
    "CREATE TABLE row_group(row INTEGER, grp INTEGER, name TEXT NOT NULL, value TEXT NOT NULL,"
    "  PRIMARY KEY(row, grp)) WITHOUT ROWID;"
    "CREATE TABLE asked(arm INTEGER, row INTEGER, key TEXT NOT NULL, n_token INTEGER NOT NULL,"
    "  n_cut INTEGER NOT NULL, forced INTEGER NOT NULL, refused INTEGER NOT NULL,"
    "  PRIMARY KEY(arm, row)) WITHOUT ROWID;"
    "CREATE TABLE score(key TEXT PRIMARY KEY, score REAL, label_mass REAL NOT NULL,"
    "  class_logprob TEXT NOT NULL, answer_logprob TEXT NOT NULL, time_ms REAL NOT NULL)"
    "  WITHOUT ROWID;";

static const char schema_parts[] = /* what schema 2 has more than 1 */
    "CREATE TABLE asked_part(arm INTEGER, row INTEGER, variant INTEGER, key TEXT NOT NULL,"
    "  PRIMARY KEY(arm, row, variant)) WITHOUT ROWID;"
    "CREATE TABLE part(key TEXT PRIMARY KEY, class_logprob TEXT NOT NULL,"
    "  answer_logprob TEXT NOT NULL, n_token INTEGER NOT NULL, time_ms REAL NOT NULL)"
    "  WITHOUT ROWID;"
    "CREATE TABLE sample(key TEXT, number INTEGER, text TEXT NOT NULL, n_token INTEGER NOT NULL,"
    "  end TEXT NOT NULL, class INTEGER, class_logprob TEXT NOT NULL, time_ms REAL NOT NULL,"
    "  PRIMARY KEY(key, number)) WITHOUT ROWID;";

static const char *const sql[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SET] = "INSERT OR REPLACE INTO meta VALUES(?, ?)",
    [SQL_GET] = "SELECT value FROM meta WHERE key = ?",
    [SQL_RUN_START] = "INSERT INTO run(started, record) VALUES(?1, iif(json_valid(?2), ?2, NULL))",
    [SQL_RUN_END] =
        "UPDATE run SET ended = ?1, record = iif(json_valid(?2), ?2, NULL) WHERE run = ?3",
    [SQL_CLEAR_CLASS] = "DELETE FROM class",
    [SQL_CLEAR_FLOW] = "DELETE FROM flow",
    [SQL_CLEAR_ARM] = "DELETE FROM arm",
    [SQL_CLEAR_ROW] = "DELETE FROM row",
    [SQL_CLEAR_GROUP] = "DELETE FROM row_group",
    [SQL_CLEAR_ASKED] = "DELETE FROM asked",
    [SQL_CLEAR_ASKED_PART] = "DELETE FROM asked_part",
    [SQL_ADD_CLASS] = "INSERT INTO class VALUES(?, ?, ?)",
    [SQL_ADD_FLOW] = "INSERT INTO flow VALUES(?, ?, ?)",
    [SQL_ADD_ARM] = "INSERT INTO arm VALUES(?1, ?2, iif(json_valid(?3), ?3, NULL))",
    [SQL_SET_ARM] = "UPDATE arm SET record = iif(json_valid(?2), ?2, NULL) WHERE arm = ?1",
    [SQL_ADD_ROW] = "INSERT INTO row VALUES(?, ?, ?, ?, ?)",
    [SQL_ADD_GROUP] = "INSERT INTO row_group VALUES(?, ?, ?, ?)",
    [SQL_ADD_ASKED] = "INSERT OR REPLACE INTO asked VALUES(?, ?, ?, ?, ?, ?, ?)",
    [SQL_ADD_SCORE] = "INSERT OR IGNORE INTO score VALUES(?, ?, ?, ?, ?, ?)",
    [SQL_HAS] = "SELECT 1 FROM score WHERE key = ?",
    [SQL_COUNTS] = "SELECT (SELECT count(*) FROM class), (SELECT count(*) FROM flow),"
                   " (SELECT count(*) FROM arm), (SELECT count(*) FROM row),"
                   " (SELECT count(DISTINCT grp) FROM row_group)",
    [SQL_CLASSES] = "SELECT class, name, positive FROM class ORDER BY class",
    [SQL_FLOW] = "SELECT step, name, n FROM flow ORDER BY step",
    [SQL_ARMS] = "SELECT arm, name, record FROM arm ORDER BY arm",
    [SQL_ROWS] = "SELECT row, id, label, patient, split FROM row ORDER BY row",
    [SQL_GROUP_NAMES] = "SELECT grp, max(name) FROM row_group GROUP BY grp ORDER BY grp",
    [SQL_GROUPS] = "SELECT row, grp, value FROM row_group ORDER BY row, grp",
    [SQL_RESULTS] =
        "SELECT asked.row, n_token, n_cut, forced, refused, score.key IS NOT NULL, score,"
        " label_mass, time_ms, class_logprob, answer_logprob FROM asked"
        " LEFT JOIN score ON score.key = asked.key WHERE arm = ? ORDER BY asked.row",
    [SQL_META] = "SELECT key, value FROM meta ORDER BY key",
    [SQL_RUNS] = "SELECT run, started, ended, record FROM run ORDER BY run",
    [SQL_ADD_ASKED_PART] = "INSERT OR REPLACE INTO asked_part VALUES(?, ?, ?, ?)",
    [SQL_ADD_PART] = "INSERT OR IGNORE INTO part VALUES(?, ?, ?, ?, ?)",
    [SQL_HAS_PART] = "SELECT 1 FROM part WHERE key = ?",
    [SQL_PARTS] = "SELECT row, variant, part.key IS NOT NULL, n_token, time_ms, class_logprob,"
                  " answer_logprob FROM asked_part LEFT JOIN part ON part.key = asked_part.key"
                  " WHERE arm = ?1 AND (?2 < 0 OR row = ?2) ORDER BY row, variant",
    [SQL_ADD_SAMPLE] = "INSERT OR IGNORE INTO sample VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_SAMPLES] =
        "SELECT row, variant, number, text, n_token, end, class, class_logprob, sample.time_ms"
        " FROM asked_part JOIN sample ON sample.key = asked_part.key"
        " WHERE arm = ?1 AND (?2 < 0 OR row = ?2) ORDER BY row, variant, number",
    [SQL_SAMPLES_OF] = ("SELECT 0, 0, number, text, n_token, end, class, class_logprob, time_ms"
                        " FROM sample WHERE key = ?1 ORDER BY number"),
};

/* --- errors --- */

bool store_fail(const store *s, err *e)
{
    int code = s->db ? sqlite3_extended_errcode(s->db) : SQLITE_NOMEM;
    const char *text = s->db ? sqlite3_errmsg(s->db) : "out of memory";
    switch (code & 0xFF) {
    case SQLITE_FULL:
        return err_set(
            e, ERR_RESOURCE,
            "%s: the disk is full; what was scored so far is safe: free some space and run "
            "again",
            s->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(
            e, ERR_DATA,
            "%s is damaged or not a study's results (%s); move it away or choose another "
            "folder",
            s->path, text);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return err_set(e, ERR_RESOURCE,
                       "%s cannot be written or opened (%s); check the folder's rights", s->path,
                       text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(e, ERR_RESOURCE, "%s is held by another program; close it and run again",
                       s->path);
    case SQLITE_NOMEM: return err_set(e, ERR_RESOURCE, "%s: out of memory", s->path);
    case SQLITE_IOERR:
        return err_set(e, ERR_RESOURCE,
                       "%s: the disk fails (%s: %s); what was scored so far is safe", s->path, text,
                       strerror(sqlite3_system_errno(s->db)));
    case SQLITE_CONSTRAINT:
        return err_set(e, ERR_OTHER, "%s: a record does not fit: %s", s->path, text);
    default: return err_set(e, ERR_OTHER, "%s: %s", s->path, text);
    }
}

bool store_damaged(const store *s, err *e, const char *what)
{
    return err_set(e, ERR_DATA, "%s is damaged: %s; move it away or choose another folder", s->path,
                   what);
}

/* --- statements: bind, step, reset --- */

void store_bind_text(sqlite3_stmt *q, int at, str text)
{
    sqlite3_bind_text64(q, at, text.data ? text.data : "", text.size, SQLITE_STATIC, SQLITE_UTF8);
}

str store_column_text(sqlite3_stmt *q, int at)
{
    const char *text = (const char *)sqlite3_column_text(q, at);
    return (str){text ? text : "", (size_t)sqlite3_column_bytes(q, at)};
}

/* Runs a statement that gives no rows; its bindings are dropped. A binding that failed for lack of
 * memory leaves a null, which the schema's NOT NULL turns into an error here. */
bool store_do(const store *s, statement which, err *e)
{
    sqlite3_stmt *q = s->stmt[which];
    int rc = sqlite3_step(q);
    bool ok = rc == SQLITE_DONE || (rc == SQLITE_ROW) || store_fail(s, e);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return ok;
}

/* One more row? False at the end (the statement is reset then) and on failure (in e). */
bool store_next(const store *s, statement which, err *e)
{
    sqlite3_stmt *q = s->stmt[which];
    if (e->code == ERR_NONE) {
        int rc = sqlite3_step(q);
        if (rc == SQLITE_ROW) return true;
        if (rc != SQLITE_DONE) store_fail(s, e);
    }
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return false;
}

/* --- opening --- */

static bool execute(store *s, const char *text, err *e)
{
    return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK || store_fail(s, e);
}

/* First value of the first row of a pragma. */
static bool ask_number(store *s, const char *text, int64_t *value, err *e)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(s->db, text, -1, &q, NULL) != SQLITE_OK) return store_fail(s, e);
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW) *value = sqlite3_column_int64(q, 0);
    bool ok = rc == SQLITE_ROW || rc == SQLITE_DONE || store_fail(s, e);
    sqlite3_finalize(q);
    return ok;
}

static bool check_whole(store *s, err *e)
{
    struct stat st;
    if (stat(s->path, &st) != 0 || st.st_size > STORE_CHECK_BYTES) return true;
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &q, NULL) != SQLITE_OK)
        return store_fail(s, e);
    int rc = sqlite3_step(q);
    bool ok = true;
    if (rc != SQLITE_ROW) ok = store_fail(s, e);
    else if (!str_is(store_column_text(q, 0), "ok"))
        ok = store_damaged(s, e, "its pages do not fit together");
    sqlite3_finalize(q);
    return ok;
}

static bool create_schema(store *s, err *e)
{
    char mark[200];
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
             STORE_APPLICATION, STORE_SCHEMA);
    s->version = STORE_SCHEMA;
    return execute(s, "BEGIN IMMEDIATE;", e) && execute(s, schema, e) &&
           execute(s, schema_parts, e) && execute(s, mark, e);
}

/* A file of schema 1 gets the tables that it lacks; what it holds stays as it is. */
static bool upgrade(store *s, err *e)
{
    char mark[100];
    snprintf(mark, sizeof mark, "PRAGMA user_version = %d; COMMIT;", STORE_SCHEMA);
    s->version = STORE_SCHEMA;
    return execute(s, "BEGIN IMMEDIATE;", e) && execute(s, schema_parts, e) && execute(s, mark, e);
}

static bool check_ours(store *s, bool may_create, err *e)
{
    int64_t application = 0, version = 0, n_table = 0;
    if (!ask_number(s, "PRAGMA application_id", &application, e) ||
        !ask_number(s, "PRAGMA user_version", &version, e) ||
        !ask_number(s, "SELECT count(*) FROM sqlite_schema", &n_table, e))
        return false;
    if (application == 0 && n_table == 0 && may_create) return create_schema(s, e);
    if (application != STORE_APPLICATION) {
        return err_set(e, ERR_USAGE,
                       "%s is a database of another program; choose another folder for the results",
                       s->path);
    }
    s->version = version;
    if (version < 1 || version > STORE_SCHEMA) {
        return err_set(
            e, ERR_USAGE,
            "%s was written by another version of caseload (schema %lld, this one reads %d); "
            "use that version, or choose another folder",
            s->path, (long long)version, STORE_SCHEMA);
    }
    if (!check_whole(s, e)) return false;
    return version == STORE_SCHEMA || !may_create || upgrade(s, e);
}

static bool prepare_all(store *s, err *e)
{
    for (int i = 0; i < SQL_COUNT; i++) {
        bool of_2 = i == SQL_CLEAR_ASKED_PART || i >= SQL_ADD_ASKED_PART;
        if (of_2 && s->version < 2) continue; /* read only: there are none */
        int rc =
            sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[i], NULL);
        if (rc == SQLITE_ERROR) return store_damaged(s, e, "a table is missing or differs");
        if (rc != SQLITE_OK) return store_fail(s, e);
    }
    return true;
}

static store *make(const char *path, err *e)
{
    store *s = sqlite3_malloc64(sizeof *s);
    if (!s) {
        err_set(e, ERR_RESOURCE, "out of memory");
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->lock_fd = -1;
    if (strlen(path) + 16 >= sizeof s->path) {
        err_set(e, ERR_USAGE, "the name of the results' folder is too long (%zu bytes)",
                strlen(path));
        store_close(s);
        return NULL;
    }
    memcpy(s->path, path, strlen(path) + 1);
    return s;
}

/* One writer: a lock the kernel drops when the process ends, however it ends. A file of its own,
 * because closing any other descriptor of the database would drop SQLite's locks. */
static bool take_lock(store *s, err *e)
{
    char name[sizeof s->path + 8];
    snprintf(name, sizeof name, "%s-lock", s->path);
    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return err_set(e, ERR_RESOURCE,
                       "cannot write %s: %s; choose another folder for the results", name,
                       strerror(errno));
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno == EWOULDBLOCK)
        return err_set(e, ERR_RESOURCE,
                       "another run is writing %s; wait until it ends, or choose another folder",
                       s->path);
    return err_set(e, ERR_RESOURCE, "cannot lock %s: %s", name, strerror(errno));
}

/* A folder or a pipe in its place: SQLite would wait, or speak of the disk. */
static bool check_regular(const store *s, err *e)
{
    struct stat st;
    if (stat(s->path, &st) != 0 || S_ISREG(st.st_mode)) return true;
    return err_set(
        e, ERR_RESOURCE,
        "%s is not a regular file; move it away or choose another folder for the results", s->path);
}

/* Made by us first, so that it and SQLite's files beside it are the owner's alone. */
static bool make_file(store *s, err *e)
{
    int fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, ERR_RESOURCE,
                       "cannot write %s: %s; choose another folder for the results", s->path,
                       strerror(errno));
    close(fd);
    return true;
}

static bool open_to_write(store *s, err *e)
{
    s->writes = true;
    if (!s->in_memory && (!take_lock(s, e) || !check_regular(s, e) || !make_file(s, e)))
        return false;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(s->path, &s->db, flags, NULL) != SQLITE_OK) return store_fail(s, e);
    sqlite3_busy_timeout(s->db, 10000);
    /* journal_mode stays `delete` on file systems without shared memory: as safe, a little slower.
     */
    int64_t ignored = 0;
    return execute(s, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;", e) &&
           ask_number(s, "PRAGMA journal_mode = WAL", &ignored, e) &&
           execute(s, "PRAGMA synchronous = FULL;", e) && check_ours(s, true, e) &&
           prepare_all(s, e);
}

/* A database in WAL mode wants to make files beside itself even to be read. Where it cannot, and no
 * run was cut off in between, the file is complete and is read as immutable. */
static bool find_uri(const store *s, buf *uri, err *e)
{
    char wal[sizeof s->path + 8], folder[sizeof s->path];
    snprintf(wal, sizeof wal, "%s-wal", s->path);
    snprintf(folder, sizeof folder, "%s", s->path);
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    bool writable = access(slash ? folder : ".", W_OK) == 0;
    struct stat st;
    bool pending = stat(wal, &st) == 0 && st.st_size > 0;
    if (!writable && pending)
        return err_set(
            e, ERR_RESOURCE,
            "%s was left by an interrupted run in a folder that cannot be written; copy the "
            "folder and read the copy",
            s->path);
    buf_add_text(uri, "file:");
    if (s->path[0] != '/') buf_add_text(uri, "./");
    for (const char *c = s->path; *c; c++) {
        if (*c == '?' || *c == '#' || *c == '%') buf_printf(uri, "%%%02X", (unsigned)*c);
        else buf_add_char(uri, *c);
    }
    if (!writable) buf_add_text(uri, "?immutable=1");
    return buf_check(uri, "a file name", e);
}

static bool open_to_read(store *s, err *e)
{
    if (!file_exists(s->path))
        return err_set(e, ERR_USAGE, "no results at %s: is it the folder of a run?", s->path);
    if (!check_regular(s, e)) return false;
    buf uri = buf_up_to(3 * sizeof s->path + 100);
    bool ok = find_uri(s, &uri, e);
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_EXRESCODE;
    if (ok) ok = sqlite3_open_v2(uri.data, &s->db, flags, NULL) == SQLITE_OK || store_fail(s, e);
    buf_close(&uri);
    if (ok) sqlite3_busy_timeout(s->db, 10000);
    return ok &&
           execute(s, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; BEGIN;", e) &&
           check_ours(s, false, e) && prepare_all(s, e); /* its first read fixes the moment */
}

store *store_open(const char *path, err *e)
{
    assert(path && e);
    store *s = make(path, e);
    if (s && open_to_write(s, e)) return s;
    store_close(s);
    return NULL;
}

store *store_open_memory(err *e)
{
    store *s = make(":memory:", e);
    if (s) s->in_memory = true;
    if (s && open_to_write(s, e)) return s;
    store_close(s);
    return NULL;
}

store *store_open_read(const char *path, err *e)
{
    assert(path && e);
    store *s = make(path, e);
    if (s && open_to_read(s, e)) return s;
    store_close(s);
    return NULL;
}

void store_close(store *s)
{
    if (!s) return;
    if (s->in_transaction) store_undo(s);
    for (int i = 0; i < SQL_COUNT; i++) sqlite3_finalize(s->stmt[i]);
    sqlite3_close(s->db);
    if (s->lock_fd >= 0) close(s->lock_fd);
    sqlite3_free(s);
}

/* --- transactions, facts, runs --- */

bool store_begin(store *s, err *e)
{
    assert(!s->in_transaction && s->writes);
    return s->in_transaction = store_do(s, SQL_BEGIN, e);
}

bool store_commit(store *s, err *e)
{
    assert(s->in_transaction);
    if (store_do(s, SQL_COMMIT, e)) return s->in_transaction = false, true;
    store_undo(s);
    return false;
}

void store_undo(store *s)
{
    err ignored = {0};
    if (!sqlite3_get_autocommit(s->db))
        store_do(s, SQL_ROLLBACK, &ignored); /* SQLite may have done it */
    s->in_transaction = false;
}

bool store_set(store *s, const char *key, str value, err *e)
{
    store_bind_text(s->stmt[SQL_SET], 1, str_of(key));
    store_bind_text(s->stmt[SQL_SET], 2, value);
    return store_do(s, SQL_SET, e);
}

bool store_get(const store *s, const char *key, buf *out, err *e)
{
    store_bind_text(s->stmt[SQL_GET], 1, str_of(key));
    bool found = false;
    while (store_next(s, SQL_GET, e)) {
        buf_add_str(out, store_column_text(s->stmt[SQL_GET], 0));
        found = true;
    }
    return found && buf_check(out, "a fact of the study", e);
}

bool store_run_start(store *s, str started, str record_json, int64_t *run_number, err *e)
{
    store_bind_text(s->stmt[SQL_RUN_START], 1, started);
    store_bind_text(s->stmt[SQL_RUN_START], 2, record_json);
    if (!store_do(s, SQL_RUN_START, e)) return false;
    *run_number = sqlite3_last_insert_rowid(s->db);
    return true;
}

bool store_run_end(store *s, int64_t run_number, str ended, str record_json, err *e)
{
    store_bind_text(s->stmt[SQL_RUN_END], 1, ended);
    store_bind_text(s->stmt[SQL_RUN_END], 2, record_json);
    sqlite3_bind_int64(s->stmt[SQL_RUN_END], 3, run_number);
    return store_do(s, SQL_RUN_END, e);
}

/* --- the study --- */

static bool add_named(store *s, statement which, int64_t number, str name, int64_t value, err *e)
{
    sqlite3_bind_int64(s->stmt[which], 1, number);
    store_bind_text(s->stmt[which], 2, name);
    sqlite3_bind_int64(s->stmt[which], 3, value);
    return store_do(s, which, e);
}

static bool add_row(store *s, const store_study *study, int32_t i, err *e)
{
    const store_row *row = &study->row[i];
    sqlite3_stmt *q = s->stmt[SQL_ADD_ROW], *g = s->stmt[SQL_ADD_GROUP];
    sqlite3_bind_int(q, 1, i);
    store_bind_text(q, 2, row->id);
    sqlite3_bind_int(q, 3, row->label);
    sqlite3_bind_int(q, 4, row->patient);
    store_bind_text(q, 5, row->split);
    if (!store_do(s, SQL_ADD_ROW, e)) return false;
    for (int32_t k = 0; k < study->n_group; k++) {
        sqlite3_bind_int(g, 1, i);
        sqlite3_bind_int(g, 2, k);
        store_bind_text(g, 3, study->group_name[k]);
        store_bind_text(g, 4, row->group[k]);
        if (!store_do(s, SQL_ADD_GROUP, e)) return false;
    }
    return true;
}

bool store_set_study(store *s, const store_study *study, err *e)
{
    assert(s->in_transaction && study->n_class > 0);
    for (int i = SQL_CLEAR_CLASS; i <= SQL_CLEAR_ASKED_PART; i++) {
        if (!store_do(s, (statement)i, e)) return false;
    }
    for (int32_t i = 0; i < study->n_class; i++) {
        if (!add_named(s, SQL_ADD_CLASS, i, study->class_name[i], i == study->positive, e))
            return false;
    }
    for (int32_t i = 0; i < study->n_flow; i++) {
        if (!add_named(s, SQL_ADD_FLOW, i, study->flow[i].name, study->flow[i].n, e)) return false;
    }
    for (int32_t i = 0; i < study->n_arm; i++) {
        sqlite3_bind_int(s->stmt[SQL_ADD_ARM], 1, i);
        store_bind_text(s->stmt[SQL_ADD_ARM], 2, study->arm[i].name);
        store_bind_text(s->stmt[SQL_ADD_ARM], 3, study->arm[i].record_json);
        if (!store_do(s, SQL_ADD_ARM, e)) return false;
    }
    for (int32_t i = 0; i < study->n_row; i++) {
        if (!add_row(s, study, i, e)) return false;
    }
    return true;
}

static bool get_counts(const store *s, store_study *study, err *e)
{
    int32_t n[5] = {0};
    while (store_next(s, SQL_COUNTS, e)) {
        for (int i = 0; i < 5; i++) {
            int64_t value = sqlite3_column_int64(s->stmt[SQL_COUNTS], i);
            n[i] = value >= 0 && value < INT32_MAX ? (int32_t)value : 0;
        }
    }
    *study = (store_study){.n_class = n[0],
                           .n_flow = n[1],
                           .n_arm = n[2],
                           .n_row = n[3],
                           .n_group = n[4],
                           .positive = -1};
    return e->code == ERR_NONE;
}

/* Rows of a table numbered 0, 1, ..: true while the next one is there and has number i. */
static bool next_numbered(const store *s, statement which, int32_t i, int32_t n, err *e)
{
    if (!store_next(s, which, e)) {
        if (i < n) store_damaged(s, e, "rows are missing");
        return false;
    }
    if (i < n && sqlite3_column_int64(s->stmt[which], 0) == i) return true;
    store_damaged(s, e, "rows are not numbered 0, 1, ..");
    sqlite3_reset(s->stmt[which]);
    return false;
}

typedef struct study_lists { /* what store_study points at, while it is filled */
    str *class_name, *group_name, *group;
    store_flow *flow;
    store_arm *arm;
    store_row *row;
} study_lists;

static void get_lists(const store *s, store_study *study, const study_lists *to, arena *a, err *e)
{
    for (int32_t i = 0; next_numbered(s, SQL_CLASSES, i, study->n_class, e); i++) {
        to->class_name[i] = str_keep(a, store_column_text(s->stmt[SQL_CLASSES], 1), e);
        if (sqlite3_column_int(s->stmt[SQL_CLASSES], 2)) study->positive = i;
    }
    for (int32_t i = 0; next_numbered(s, SQL_FLOW, i, study->n_flow, e); i++) {
        to->flow[i] = (store_flow){.name = str_keep(a, store_column_text(s->stmt[SQL_FLOW], 1), e),
                                   .n = sqlite3_column_int64(s->stmt[SQL_FLOW], 2)};
    }
    for (int32_t i = 0; next_numbered(s, SQL_ARMS, i, study->n_arm, e); i++) {
        to->arm[i] =
            (store_arm){.name = str_keep(a, store_column_text(s->stmt[SQL_ARMS], 1), e),
                        .record_json = str_keep(a, store_column_text(s->stmt[SQL_ARMS], 2), e)};
    }
    for (int32_t i = 0; next_numbered(s, SQL_GROUP_NAMES, i, study->n_group, e); i++)
        to->group_name[i] = str_keep(a, store_column_text(s->stmt[SQL_GROUP_NAMES], 1), e);
}

static void get_rows(const store *s, const store_study *study, const study_lists *to, arena *a,
                     err *e)
{
    sqlite3_stmt *q = s->stmt[SQL_ROWS], *g = s->stmt[SQL_GROUPS];
    size_t n_group = (size_t)study->n_group, at = 0, n = (size_t)study->n_row * n_group;
    for (int32_t i = 0; next_numbered(s, SQL_ROWS, i, study->n_row, e); i++) {
        store_row *row = &to->row[i];
        *row = (store_row){.id = str_keep(a, store_column_text(q, 1), e),
                           .label = sqlite3_column_int(q, 2),
                           .patient = sqlite3_column_int(q, 3),
                           .split = str_keep(a, store_column_text(q, 4), e),
                           .group = to->group + (size_t)i * n_group};
        if (row->label < 0 || row->label >= study->n_class)
            store_damaged(s, e, "a label has no class");
    }
    for (; store_next(s, SQL_GROUPS, e); at++) {
        bool fits = at < n && (size_t)sqlite3_column_int64(g, 0) == at / n_group &&
                    (size_t)sqlite3_column_int64(g, 1) == at % n_group;
        if (fits) to->group[at] = str_keep(a, store_column_text(g, 2), e);
        else store_damaged(s, e, "the subgroups do not fit the rows");
    }
    if (at < n) store_damaged(s, e, "subgroups are missing");
}

bool store_get_study(const store *s, store_study *study, arena *a, err *e)
{
    if (!get_counts(s, study, e)) return false;
    size_t n_cell = 0;
    if (!size_multiply((size_t)study->n_row, (size_t)study->n_group, &n_cell)) n_cell = SIZE_MAX;
    study_lists to = {0};
    to.class_name = arena_take_zero(a, (size_t)study->n_class, sizeof(str), e);
    to.flow = arena_take_zero(a, (size_t)study->n_flow, sizeof *to.flow, e);
    to.arm = arena_take_zero(a, (size_t)study->n_arm, sizeof *to.arm, e);
    to.row = arena_take_zero(a, (size_t)study->n_row, sizeof *to.row, e);
    to.group_name = arena_take_zero(a, (size_t)study->n_group, sizeof(str), e);
    to.group = arena_take_zero(a, n_cell, sizeof(str), e);
    if (e->code) return false;
    get_lists(s, study, &to, a, e);
    get_rows(s, study, &to, a, e);
    study->class_name = to.class_name;
    study->flow = to.flow;
    study->arm = to.arm;
    study->row = to.row;
    study->group_name = to.group_name;
    return e->code == ERR_NONE;
}

/* --- scores --- */

hash_text store_key(const store_key_parts *k)
{
    assert(k->n_prompt > 0 && k->n_answer >= 0);
    hash_state h;
    hash_start(&h);
    hash_add_field(&h, STR("caseload score 1"));
    hash_add_field(&h, k->model_hash);
    hash_add_field(&h, k->tokenizer_hash);
    hash_add_field(&h, k->numerics);
    if (k->adapter_hash.size) {
        hash_add_field(&h, STR("adapter"));
        hash_add_field(&h, k->adapter_hash);
    }
    if (k->generation.size) {
        hash_add_field(&h, STR("texts"));
        hash_add_field(&h, k->generation);
        hash_add_field(&h, k->row_id);
        hash_add_field(&h, (str){(const char *)k->bridge, (size_t)k->n_bridge * sizeof *k->bridge});
    }
    hash_add_field(&h, (str){(const char *)k->prompt, (size_t)k->n_prompt * sizeof *k->prompt});
    for (int32_t i = 0; i < k->n_answer; i++) {
        const int32_t *ids = k->answer_id + k->answer_start[i];
        int32_t n = k->answer_start[i + 1] - k->answer_start[i];
        hash_add(&h, &k->answer_class[i], sizeof k->answer_class[i]);
        hash_add_field(&h, (str){(const char *)ids, (size_t)n * sizeof *ids});
    }
    return hash_finish(&h);
}

bool store_set_arm(store *s, int32_t arm, str record_json, err *e)
{
    assert(s->in_transaction);
    sqlite3_bind_int(s->stmt[SQL_SET_ARM], 1, arm);
    store_bind_text(s->stmt[SQL_SET_ARM], 2, record_json);
    return store_do(s, SQL_SET_ARM, e);
}

bool store_add_asked(store *s, const store_asked *asked, err *e)
{
    assert(s->in_transaction && asked->n_token >= 0 && asked->n_cut >= 0);
    assert(asked->refused == (asked->key.hex[0] == 0));
    sqlite3_stmt *q = s->stmt[SQL_ADD_ASKED];
    sqlite3_bind_int(q, 1, asked->arm);
    sqlite3_bind_int(q, 2, asked->row);
    store_bind_text(q, 3, str_of(asked->key.hex));
    sqlite3_bind_int(q, 4, asked->n_token);
    sqlite3_bind_int(q, 5, asked->n_cut);
    sqlite3_bind_int(q, 6, asked->forced);
    sqlite3_bind_int(q, 7, asked->refused);
    return store_do(s, SQL_ADD_ASKED, e);
}

/* "[-0.125,null]"; false when one is not a number. */
bool store_write_numbers(buf *out, const double *x, int32_t n)
{
    buf_add_char(out, '[');
    for (int32_t i = 0; i < n; i++) {
        if (isnan(x[i]) || x[i] == INFINITY) return false;
        if (i) buf_add_char(out, ',');
        if (isinf(x[i])) buf_add_text(out, "null");
        else buf_printf(out, "%.17g", x[i]);
    }
    buf_add_char(out, ']');
    return true;
}

int32_t store_count_numbers(str text)
{
    if (text.size <= 2) return 0;
    int32_t n = 1;
    for (size_t i = 0; i < text.size; i++) n += text.data[i] == ',';
    return n;
}

/* Exactly n numbers into x. */
bool store_read_numbers(str text, double *x, int32_t n)
{
    if (text.size < 2 || text.data[0] != '[' || text.data[text.size - 1] != ']') return false;
    if (store_count_numbers(text) != n) return false;
    size_t from = 1;
    for (int32_t i = 0; i < n; i++) {
        size_t to = from;
        while (text.data[to] != ',' && to < text.size - 1) to++;
        str one = str_part(text, from, to - from);
        if (str_is(one, "null")) x[i] = -INFINITY;
        else if (!str_to_double(one, &x[i])) return false;
        from = to + 1;
    }
    return true;
}

bool store_append(store *s, const store_score *score, err *e)
{
    assert(s->in_transaction && score->n_class > 0 && score->n_answer >= 0);
    assert(score->key.hex[0]);
    buf text = buf_up_to(1 << 24);
    sqlite3_stmt *q = s->stmt[SQL_ADD_SCORE];
    bool ok = store_write_numbers(&text, score->class_logprob, score->n_class);
    size_t n_class_text = text.size;
    ok = ok && store_write_numbers(&text, score->answer_logprob, score->n_answer);
    ok = ok && !isnan(score->label_mass);
    if (!ok) {
        err_set(e, ERR_MODEL,
                "a log-probability is not a number: the model's weights or arithmetic are broken");
    } else if (buf_check(&text, "a score", e)) {
        store_bind_text(q, 1, str_of(score->key.hex));
        if (!isnan(score->score)) sqlite3_bind_double(q, 2, score->score);
        sqlite3_bind_double(q, 3, score->label_mass);
        store_bind_text(q, 4, str_part(buf_view(&text), 0, n_class_text));
        store_bind_text(q, 5, str_part(buf_view(&text), n_class_text, text.size - n_class_text));
        sqlite3_bind_double(q, 6, score->time_ms);
        store_do(s, SQL_ADD_SCORE, e);
    }
    buf_close(&text);
    return e->code == ERR_NONE;
}

bool store_has(const store *s, const hash_text *key, bool *has, err *e)
{
    store_bind_text(s->stmt[SQL_HAS], 1, str_of(key->hex));
    *has = store_next(s, SQL_HAS, e);
    sqlite3_reset(s->stmt[SQL_HAS]);
    sqlite3_clear_bindings(s->stmt[SQL_HAS]);
    return e->code == ERR_NONE;
}

static bool results_make(store_results *r, arena *a, err *e)
{
    size_t n = (size_t)r->n, n_class = 0, n_answer = 0;
    if (!size_multiply(n, (size_t)r->n_class, &n_class) ||
        !size_multiply(n, (size_t)r->n_answer, &n_answer))
        n_class = n_answer = SIZE_MAX;
    r->row = arena_take(a, n, sizeof *r->row, e);
    r->scored = arena_take(a, n, sizeof *r->scored, e);
    r->refused = arena_take(a, n, sizeof *r->refused, e);
    r->forced = arena_take(a, n, sizeof *r->forced, e);
    r->n_token = arena_take(a, n, sizeof *r->n_token, e);
    r->n_cut = arena_take(a, n, sizeof *r->n_cut, e);
    r->score = arena_take(a, n, sizeof *r->score, e);
    r->label_mass = arena_take(a, n, sizeof *r->label_mass, e);
    r->time_ms = arena_take(a, n, sizeof *r->time_ms, e);
    r->class_logprob = arena_take(a, n_class, sizeof(double), e);
    r->answer_logprob = arena_take(a, n_answer, sizeof(double), e);
    for (size_t i = 0; !e->code && i < n_class; i++) r->class_logprob[i] = NAN;
    for (size_t i = 0; !e->code && i < n_answer; i++) r->answer_logprob[i] = NAN;
    return e->code == ERR_NONE;
}

double store_column_double(sqlite3_stmt *q, int at)
{
    return sqlite3_column_type(q, at) == SQLITE_NULL ? NAN : sqlite3_column_double(q, at);
}

static void read_result(const store *s, int32_t n_row, store_results *r, int32_t i, err *e)
{
    sqlite3_stmt *q = s->stmt[SQL_RESULTS];
    int64_t row = sqlite3_column_int64(q, 0);
    if (row < 0 || row >= n_row) {
        store_damaged(s, e, "a score belongs to no row");
        return;
    }
    r->row[i] = (int32_t)row;
    r->n_token[i] = sqlite3_column_int(q, 1);
    r->n_cut[i] = sqlite3_column_int(q, 2);
    r->forced[i] = sqlite3_column_int(q, 3) != 0;
    r->refused[i] = sqlite3_column_int(q, 4) != 0;
    r->scored[i] = sqlite3_column_int(q, 5) != 0;
    r->score[i] = store_column_double(q, 6);
    r->label_mass[i] = store_column_double(q, 7);
    r->time_ms[i] = store_column_double(q, 8);
    if (!r->scored[i]) return;
    str by_class = store_column_text(q, 9), by_answer = store_column_text(q, 10);
    size_t at = (size_t)i;
    if (!store_read_numbers(by_class, r->class_logprob + at * (size_t)r->n_class, r->n_class) ||
        !store_read_numbers(by_answer, r->answer_logprob + at * (size_t)r->n_answer,
                            store_count_numbers(by_answer)))
        store_damaged(s, e, "a score does not fit the classes");
}

bool store_get_results(const store *s, int32_t arm, store_results *r, arena *a, err *e)
{
    store_study counts;
    if (!get_counts(s, &counts, e)) return false;
    *r = (store_results){.n_class = counts.n_class};
    sqlite3_bind_int(s->stmt[SQL_RESULTS], 1, arm);
    while (store_next(s, SQL_RESULTS, e)) {
        int32_t n = store_count_numbers(store_column_text(s->stmt[SQL_RESULTS], 10));
        if (n > r->n_answer) r->n_answer = n;
        r->n++;
    }
    if (e->code || !results_make(r, a, e)) return false;
    int32_t i = 0;
    sqlite3_bind_int(s->stmt[SQL_RESULTS], 1, arm);
    while (
        store_next(s, SQL_RESULTS, e)) { /* a run beside us may add rows: only what was counted */
        if (i < r->n) read_result(s, counts.n_row, r, i, e);
        i++;
    }
    if (i < r->n) store_damaged(s, e, "results vanished while they were read");
    return e->code == ERR_NONE;
}

bool store_get_record(const store *s, buf *json, err *e)
{
    sqlite3_stmt *meta = s->stmt[SQL_META], *runs = s->stmt[SQL_RUNS];
    buf_add_text(json, "{\"meta\": {");
    for (int i = 0; store_next(s, SQL_META, e); i++) {
        buf_add_text(json, i ? ", \"" : "\"");
        buf_add_json(json, store_column_text(meta, 0));
        buf_add_text(json, "\": \"");
        buf_add_json(json, store_column_text(meta, 1));
        buf_add_text(json, "\"");
    }
    buf_add_text(json, "}, \"runs\": [");
    for (int i = 0; store_next(s, SQL_RUNS, e); i++) {
        buf_printf(json, "%s{\"run\": %lld, \"started\": \"", i ? ", " : "",
                   (long long)sqlite3_column_int64(runs, 0));
        buf_add_json(json, store_column_text(runs, 1));
        buf_add_text(json, "\", \"ended\": \"");
        buf_add_json(json, store_column_text(runs, 2));
        buf_add_text(json, "\", \"record\": ");
        buf_add_str(json, store_column_text(runs, 3));
        buf_add_text(json, "}");
    }
    buf_add_text(json, "]}");
    return buf_check(json, "the study's record", e) && e->code == ERR_NONE;
}
