/* store: one SQLite file a study: what was run, on which rows, every score keyed by what made it.
 *
 *   meta      key, value                                facts of the study and its last run
 *   run       run, started, ended, record               one row a run; record is a JSON object
 *   class     class, name, positive
 *   flow      step, name, n                             rows read, scored, excluded by reason
 *   arm       arm, name, record                         record: JSON (question, system, shots, ..)
 *   row       row, id, label, patient, split            patient is a number; no text anywhere
 *   row_group row, name, value
 *   asked     arm, row, key, n_token, n_cut, forced, refused   what is asked now
 *   score     key, score, label_mass, class_logprob, answer_logprob, time_ms
 *   asked_part, part, sample            rows asked in several ways (store_parts.h)
 *
 * A key (store_key) is the SHA-256 of everything that shapes a score; `asked` points at keys, so a
 * changed prompt, model or scorer never meets an old score, and a reverted one finds it again. Text
 * of rows is never stored. Numbers come back bit for bit. A file of schema 1 is read as it is; to
 * be written, it gets the tables that it lacks.
 *
 * Writing: WAL, synchronous=FULL, one transaction a step: after kill -9 or a full disk the file
 * holds every committed step. One writer a file (flock on `<path>-lock`); readers may look on. Mode
 * 0600. Errors: ERR_RESOURCE (disk full, read-only, another run is writing), ERR_USAGE (not ours,
 * other schema), ERR_DATA (damaged).
 */
#ifndef CASELOAD_DATA_STORE_H
#define CASELOAD_DATA_STORE_H

#include "base/hash.h"
#include "base/str.h"

enum { STORE_SCHEMA = 2 };

typedef struct store store;

store *store_open(const char *path, err *e); /* to write: makes the file or goes on with it */
store *store_open_read(const char *path,
                       err *e);   /* to read: must exist; works in a read-only folder */
store *store_open_memory(err *e); /* to write: gone when it is closed */
void store_close(store *s);       /* NULL is fine; an open transaction is undone */

/* A transaction: all that is written between begin and commit is there afterwards, or none. */
bool store_begin(store *s, err *e);
bool store_commit(store *s, err *e);
void store_undo(store *s);

/* Facts. A later value replaces the earlier one. `store_get` appends; false without an error:
 * absent. */
bool store_set(store *s, const char *key, str value, err *e);
bool store_get(const store *s, const char *key, buf *out, err *e);

/* One record a run of the program; times as "2026-01-31T09:00:00Z" (the caller's clock). */
bool store_run_start(store *s, str started, str record_json, int64_t *run, err *e);
bool store_run_end(store *s, int64_t run, str ended, str record_json, err *e);

typedef struct store_row {
    str id, split;
    int32_t label, patient; /* class index; number, -1 unknown */
    const str *group;       /* [n_group] */
} store_row;

typedef struct store_flow {
    str name;
    int64_t n;
} store_flow;

typedef struct store_arm {
    str name, record_json;
} store_arm;

typedef struct store_study {   /* what is studied now; replaces what was there, scores stay */
    int32_t n_class, positive; /* -1: none */
    const str *class_name;     /* [n_class] */
    int32_t n_flow, n_arm, n_row, n_group;
    const store_flow *flow; /* [n_flow] */
    const store_arm *arm;   /* [n_arm] */
    const store_row *row;   /* [n_row] */
    const str *group_name;  /* [n_group] */
} store_study;

bool store_set_study(store *s, const store_study *study,
                     err *e); /* inside a transaction; clears `asked` */
bool store_set_arm(store *s, int32_t arm, str record_json, err *e); /* its record, anew */
bool store_get_study(const store *s, store_study *study, arena *a, err *e);

typedef struct store_key_parts {              /* everything that shapes a score */
    str model_hash, tokenizer_hash, numerics; /* numerics: scorer version, backend, ISA label */
    str adapter_hash;                         /* empty: no adapter */
    str generation, row_id; /* what shapes generated texts; empty: none */
    int32_t n_bridge;       /* ids between such a text and the answers */
    const int32_t *bridge;
    int32_t n_prompt;
    const int32_t *prompt; /* [n_prompt] token ids */
    int32_t n_answer;
    const int32_t *answer_start; /* [n_answer + 1] into answer_id */
    const int32_t *answer_id;
    const int32_t *answer_class; /* [n_answer] */
} store_key_parts;

hash_text store_key(const store_key_parts *k);

typedef struct store_asked {
    int32_t arm, row;
    hash_text key;   /* empty hex when refused */
    int32_t n_token; /* of the prompt as asked */
    int32_t n_cut;   /* tokens of the text that the rule cut away */
    bool forced;     /* some answer's token boundary was forced */
    bool refused;    /* too long, and the study says refuse: not scored */
} store_asked;

typedef struct store_score {
    hash_text key;
    double score; /* Z against the rest, of the class that was positive then (readers compute it
                        * from class_logprob: a study's positive may change); NaN (null): none */
    double label_mass; /* sum over classes of exp(Z) */
    int32_t n_class, n_answer;
    const double *class_logprob;  /* [n_class] Z */
    const double *answer_logprob; /* [n_answer] in the order of the key's answers */
    double time_ms;               /* its share of the step */
} store_score;

bool store_add_asked(store *s, const store_asked *q, err *e); /* replaces (arm, row) */
bool store_append(store *s, const store_score *score,
                  err *e); /* a key that is there stays as it is */
bool store_has(const store *s, const hash_text *key, bool *has, err *e);

typedef struct store_results {    /* one arm's asked rows, by row; columns, all [n] unless said */
    int32_t n, n_class, n_answer; /* n_answer: largest */
    int32_t *row;
    bool *scored, *refused, *forced;
    int32_t *n_token, *n_cut;
    double *score, *label_mass, *time_ms; /* NaN where not scored */
    double *class_logprob;                /* [n][n_class] */
    double *answer_logprob;               /* [n][n_answer] */
} store_results;

bool store_get_results(const store *s, int32_t arm, store_results *r, arena *a, err *e);

/* All facts (meta) and run records for the report, as one object {"meta": {..}, "runs": [..]}. */
bool store_get_record(const store *s, buf *json, err *e);

#endif
