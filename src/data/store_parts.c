/* store_parts: see store_parts.h. */
#include "data/store_parts.h"

#include "data/store_in.h"

#include <assert.h>
#include <math.h>

hash_text store_row_key(str rule, const hash_text *part, int32_t n)
{
    assert(n > 0);
    hash_state h;
    hash_start(&h);
    hash_add_field(&h, STR("caseload row 1"));
    hash_add_field(&h, rule);
    for (int32_t i = 0; i < n; i++) hash_add_field(&h, str_of(part[i].hex));
    return hash_finish(&h);
}

bool store_add_asked_part(store *s, int32_t arm, int32_t row, int32_t variant, const hash_text *key,
                          err *e)
{
    assert(s->in_transaction && key->hex[0]);
    sqlite3_stmt *q = s->stmt[SQL_ADD_ASKED_PART];
    sqlite3_bind_int(q, 1, arm);
    sqlite3_bind_int(q, 2, row);
    sqlite3_bind_int(q, 3, variant);
    store_bind_text(q, 4, str_of(key->hex));
    return store_do(s, SQL_ADD_ASKED_PART, e);
}

static bool fail_number(err *e)
{
    return err_set(
        e, ERR_MODEL,
        "a log-probability is not a number: the model's weights or arithmetic are broken");
}

bool store_add_part(store *s, const store_part *p, err *e)
{
    assert(s->in_transaction && p->n_class > 0 && p->n_answer >= 0 && p->key.hex[0]);
    sqlite3_stmt *q = s->stmt[SQL_ADD_PART];
    buf class = buf_up_to(1 << 24), answer = buf_up_to(1 << 24);
    bool ok = store_write_numbers(&class, p->class_logprob, p->n_class) &&
              store_write_numbers(&answer, p->answer_logprob, p->n_answer);
    ok = ok ? buf_check(&class, "a score", e) && buf_check(&answer, "a score", e) : fail_number(e);
    if (ok) {
        store_bind_text(q, 1, str_of(p->key.hex));
        store_bind_text(q, 2, buf_view(&class));
        store_bind_text(q, 3, buf_view(&answer));
        sqlite3_bind_int(q, 4, p->n_token);
        sqlite3_bind_double(q, 5, p->time_ms);
        ok = store_do(s, SQL_ADD_PART, e);
    }
    buf_close(&class);
    buf_close(&answer);
    return ok;
}

bool store_has_part(const store *s, const hash_text *key, bool *has, err *e)
{
    *has = false;
    if (s->version < 2) return true;
    store_bind_text(s->stmt[SQL_HAS_PART], 1, str_of(key->hex));
    while (store_next(s, SQL_HAS_PART, e)) *has = true;
    return e->code == ERR_NONE;
}

bool store_add_sample(store *s, const store_sample *p, err *e)
{
    assert(s->in_transaction && p->number >= 0 && p->n_class > 0 && p->key.hex[0]);
    sqlite3_stmt *q = s->stmt[SQL_ADD_SAMPLE];
    buf class = buf_up_to(1 << 24);
    bool ok = store_write_numbers(&class, p->class_logprob, p->n_class);
    ok = ok ? buf_check(&class, "a score", e) : fail_number(e);
    if (ok) {
        store_bind_text(q, 1, str_of(p->key.hex));
        sqlite3_bind_int(q, 2, p->number);
        store_bind_text(q, 3, p->text);
        sqlite3_bind_int(q, 4, p->n_token);
        store_bind_text(q, 5, p->end);
        if (p->class != STORE_NOT_PARSED) sqlite3_bind_int(q, 6, p->class);
        store_bind_text(q, 7, buf_view(&class));
        sqlite3_bind_double(q, 8, p->time_ms);
        ok = store_do(s, SQL_ADD_SAMPLE, e);
    }
    buf_close(&class);
    return ok;
}

/* ---- reading ---- */

static void *take(arena *a, int32_t n, int32_t each_n, size_t each, err *e)
{
    size_t count = 0;
    if (!size_multiply((size_t)n, (size_t)each_n, &count)) count = SIZE_MAX;
    return arena_take(a, count, each, e);
}

static int32_t count_classes(const store *s, err *e)
{
    int64_t n = 0;
    while (store_next(s, SQL_COUNTS, e)) n = sqlite3_column_int64(s->stmt[SQL_COUNTS], 0);
    return n >= 0 && n < INT32_MAX ? (int32_t)n : 0;
}

static void bind_place(const store *s, statement which, int32_t arm, int32_t row)
{
    sqlite3_bind_int(s->stmt[which], 1, arm);
    sqlite3_bind_int(s->stmt[which], 2, row);
}

static bool parts_make(store_parts *p, arena *a, err *e)
{
    p->row = take(a, p->n, 1, sizeof *p->row, e);
    p->variant = take(a, p->n, 1, sizeof *p->variant, e);
    p->there = take(a, p->n, 1, sizeof *p->there, e);
    p->n_token = take(a, p->n, 1, sizeof *p->n_token, e);
    p->time_ms = take(a, p->n, 1, sizeof *p->time_ms, e);
    p->class_logprob = take(a, p->n, p->n_class, sizeof(double), e);
    p->answer_logprob = take(a, p->n, p->n_answer, sizeof(double), e);
    if (e->code != ERR_NONE) return false;
    for (int64_t i = 0; i < (int64_t)p->n * p->n_class; i++) p->class_logprob[i] = NAN;
    for (int64_t i = 0; i < (int64_t)p->n * p->n_answer; i++) p->answer_logprob[i] = NAN;
    return true;
}

static void read_part(const store *s, store_parts *p, int32_t i, err *e)
{
    sqlite3_stmt *q = s->stmt[SQL_PARTS];
    p->row[i] = sqlite3_column_int(q, 0);
    p->variant[i] = sqlite3_column_int(q, 1);
    p->there[i] = sqlite3_column_int(q, 2) != 0;
    p->n_token[i] = sqlite3_column_int(q, 3);
    p->time_ms[i] = store_column_double(q, 4);
    if (!p->there[i]) return;
    str by_class = store_column_text(q, 5), by_answer = store_column_text(q, 6);
    int32_t n_answer = store_count_numbers(by_answer);
    bool fits =
        n_answer <= p->n_answer &&
        store_read_numbers(by_class, p->class_logprob + (int64_t)i * p->n_class, p->n_class) &&
        store_read_numbers(by_answer, p->answer_logprob + (int64_t)i * p->n_answer, n_answer);
    if (!fits) store_damaged(s, e, "a part does not fit the classes");
}

bool store_get_parts(const store *s, int32_t arm, int32_t row, store_parts *p, arena *a, err *e)
{
    *p = (store_parts){.n_class = count_classes(s, e)};
    if (s->version >= 2) {
        bind_place(s, SQL_PARTS, arm, row);
        while (store_next(s, SQL_PARTS, e)) {
            int32_t n = store_count_numbers(store_column_text(s->stmt[SQL_PARTS], 6));
            if (n > p->n_answer) p->n_answer = n;
            p->n++;
        }
    }
    if (e->code != ERR_NONE || !parts_make(p, a, e)) return false;
    if (p->n == 0) return true;
    int32_t i = 0;
    bind_place(s, SQL_PARTS, arm, row);
    while (store_next(s, SQL_PARTS, e)) { /* a run beside us may add some: only what was counted */
        if (i < p->n) read_part(s, p, i, e);
        i++;
    }
    if (i < p->n) store_damaged(s, e, "parts vanished while they were read");
    return e->code == ERR_NONE;
}

static bool samples_make(store_samples *p, arena *a, err *e)
{
    int32_t **const numbers[] = {&p->row, &p->variant, &p->number, &p->n_token, &p->class};
    for (size_t k = 0; k < countof(numbers); k++)
        *numbers[k] = take(a, p->n, 1, sizeof(int32_t), e);
    p->text = take(a, p->n, 1, sizeof *p->text, e);
    p->end = take(a, p->n, 1, sizeof *p->end, e);
    p->time_ms = take(a, p->n, 1, sizeof *p->time_ms, e);
    p->class_logprob = take(a, p->n, p->n_class, sizeof(double), e);
    return e->code == ERR_NONE;
}

static void read_sample(const store *s, sqlite3_stmt *q, store_samples *p, int32_t i, arena *a,
                        err *e)
{
    p->row[i] = sqlite3_column_int(q, 0);
    p->variant[i] = sqlite3_column_int(q, 1);
    p->number[i] = sqlite3_column_int(q, 2);
    p->text[i] = str_keep(a, store_column_text(q, 3), e);
    p->n_token[i] = sqlite3_column_int(q, 4);
    p->end[i] = str_keep(a, store_column_text(q, 5), e);
    bool parsed = sqlite3_column_type(q, 6) != SQLITE_NULL;
    p->class[i] = parsed ? sqlite3_column_int(q, 6) : STORE_NOT_PARSED;
    p->time_ms[i] = store_column_double(q, 8);
    bool fits = p->class[i] < p->n_class && p->class[i] >= STORE_NOT_PARSED &&
                store_read_numbers(store_column_text(q, 7),
                                   p->class_logprob + (int64_t)i * p->n_class, p->n_class);
    if (!fits) store_damaged(s, e, "a sample does not fit the classes");
}

/* The statement's first pass is done by the caller's binding; it is bound again for the second. */
typedef struct sample_query {
    statement which;
    int32_t arm, row;
    const hash_text *key; /* NULL: by arm and row */
} sample_query;

static void bind_query(const store *s, const sample_query *q)
{
    if (q->key) store_bind_text(s->stmt[q->which], 1, str_of(q->key->hex));
    else bind_place(s, q->which, q->arm, q->row);
}

static bool get_samples(const store *s, const sample_query *q, store_samples *p, arena *a, err *e)
{
    *p = (store_samples){.n_class = count_classes(s, e)};
    if (s->version >= 2) {
        bind_query(s, q);
        while (store_next(s, q->which, e)) p->n++;
    }
    if (e->code != ERR_NONE || !samples_make(p, a, e)) return false;
    if (p->n == 0) return true;
    int32_t i = 0;
    bind_query(s, q);
    while (store_next(s, q->which, e)) {
        if (i < p->n) read_sample(s, s->stmt[q->which], p, i, a, e);
        i++;
    }
    if (i < p->n) store_damaged(s, e, "samples vanished while they were read");
    return e->code == ERR_NONE;
}

bool store_get_samples(const store *s, int32_t arm, int32_t row, store_samples *p, arena *a, err *e)
{
    return get_samples(s, &(sample_query){.which = SQL_SAMPLES, .arm = arm, .row = row}, p, a, e);
}

bool store_get_samples_of(const store *s, const hash_text *key, store_samples *p, arena *a, err *e)
{
    return get_samples(s, &(sample_query){.which = SQL_SAMPLES_OF, .key = key}, p, a, e);
}
