/* nearest: see nearest.h. The training part's terms have lists of the rows that hold them; a row's
 * likeness to all of them is summed over the lists of its own terms. */
#include "study/nearest.h"

#include "text/tfidf.h"

#include <assert.h>

typedef struct near_maker {
    const rows *r;
    int32_t k;
    sparse_rows pool, own;
    int64_t *start; /* [n_column + 1] into row, value: rows of the pool by term */
    int32_t *row;
    double *value, *likeness; /* [pool.n] */
} near_maker;

static bool list_by_term(near_maker *m, arena *a, err *e)
{
    size_t n_term = (size_t)m->pool.n_column, n = (size_t)m->pool.start[m->pool.n];
    m->start = arena_take_zero(a, n_term + 2, sizeof *m->start, e);
    m->row = arena_take(a, n, sizeof *m->row, e);
    m->value = arena_take(a, n, sizeof *m->value, e);
    m->likeness = arena_take(a, (size_t)m->pool.n, sizeof *m->likeness, e);
    if (e->code) return false;
    int64_t *at = m->start + 1; /* while filling: where the term's next row goes */
    for (size_t i = 0; i < n; i++) at[m->pool.column[i] + 1]++;
    for (size_t t = 0; t < n_term; t++) at[t + 1] += at[t];
    for (int64_t i = 0; i < m->pool.n; i++) {
        for (int64_t k = m->pool.start[i]; k < m->pool.start[i + 1]; k++) {
            int64_t to = at[m->pool.column[k]]++;
            m->row[to] = (int32_t)i;
            m->value[to] = m->pool.value[k];
        }
    }
    return true;
}

static bool is_nearer(const near_maker *m, int32_t a, int32_t b)
{
    if (m->likeness[a] != m->likeness[b]) return m->likeness[a] > m->likeness[b];
    return str_order(m->r->pool.id[a], m->r->pool.id[b]) < 0;
}

/* The k nearest of other patients, the nearest last. */
static int32_t choose(const near_maker *m, int32_t patient, int32_t *out)
{
    int32_t n = 0;
    for (int32_t i = 0; i < m->r->pool.n; i++) {
        if (patient >= 0 && m->r->pool.patient[i] == patient) continue;
        if (n == m->k && !is_nearer(m, i, out[0])) continue;
        int32_t at = n < m->k ? n++ : 0;
        if (at > 0 || n == 1) { /* grows: the farthest stays first */
            for (; at > 0 && !is_nearer(m, i, out[at - 1]); at--) out[at] = out[at - 1];
        } else {
            for (; at + 1 < n && is_nearer(m, i, out[at + 1]); at++) out[at] = out[at + 1];
        }
        out[at] = i;
    }
    return n;
}

bool nearest_find(const rows *r, int32_t k, arena *a, int32_t **list, err *e)
{
    near_maker m = {.r = r, .k = k};
    tfidf t;
    assert(k > 0);
    size_t n = (size_t)r->scored.n;
    *list = arena_take(a, n * (size_t)k, sizeof **list, e);
    if (!*list) return false;
    size_t mark = arena_mark(a);
    tfidf_unit unit = tfidf_suited(r->pool.text, r->pool.n);
    if (!tfidf_fit(&t, r->pool.text, r->pool.n, unit, a, e) ||
        !tfidf_rows(&t, r->pool.text, r->pool.n, a, &m.pool, e) ||
        !tfidf_rows(&t, r->scored.text, r->scored.n, a, &m.own, e) || !list_by_term(&m, a, e))
        return false;
    for (int32_t i = 0; i < r->scored.n; i++) {
        for (int32_t p = 0; p < r->pool.n; p++) m.likeness[p] = 0;
        for (int64_t j = m.own.start[i]; j < m.own.start[i + 1]; j++) {
            int32_t term = m.own.column[j];
            for (int64_t x = m.start[term]; x < m.start[term + 1]; x++)
                m.likeness[m.row[x]] += m.own.value[j] * m.value[x];
        }
        int32_t found = choose(&m, r->scored.patient[i], *list + (size_t)i * (size_t)k);
        if (found < k) {
            str id = r->scored.id[i];
            return err_set(e, ERR_DATA,
                           "row '%.*s': %d examples are asked for, and the training part has %d "
                           "rows of other patients",
                           (int)id.size, id.data, k, found);
        }
    }
    arena_reset(a, mark);
    return true;
}
