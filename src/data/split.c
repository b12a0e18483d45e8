/* split: see split.h. */
#include "data/split.h"

#include "base/hash.h"
#include "base/rng.h"

#include <assert.h>
#include <stdlib.h>

typedef struct shots_maker {
    const rows *r;
    const spec_arm *arm;
    int32_t k;
    int32_t *class_start; /* [n_class + 1] into class_member: the pool by class */
    int32_t *class_member;
    int32_t *candidate, *want, *have, *order; /* scratch: [pool.n], [n_class] each */
    err *e;
} shots_maker;

static int by_id(const void *a, const void *b, void *id)
{
    const str *ids = id;
    return str_order(ids[*(const int32_t *)a], ids[*(const int32_t *)b]);
}

/* Within a class by id: a draw depends on which rows there are, not on their order in the table. */
static void sort_by_class(shots_maker *m)
{
    const row_set *pool = &m->r->pool;
    int32_t n_class = m->r->n_class;
    for (int32_t i = 0; i < pool->n; i++) m->class_start[pool->label[i] + 1]++;
    for (int32_t c = 0; c < n_class; c++) m->class_start[c + 1] += m->class_start[c];
    for (int32_t c = 0; c < n_class; c++) m->have[c] = 0;
    for (int32_t i = 0; i < pool->n; i++) {
        int32_t c = pool->label[i];
        m->class_member[m->class_start[c] + m->have[c]++] = i;
    }
    for (int32_t c = 0; c < n_class; c++) {
        size_t n = (size_t)(m->class_start[c + 1] - m->class_start[c]);
        int32_t *member = m->class_member + m->class_start[c];
        if (n > 1) qsort_r(member, n, sizeof(int32_t), by_id, pool->id);
    }
}

/* Candidates of class c that are not of `patient`, into m->candidate. */
static int32_t list_candidates(shots_maker *m, int32_t c, int32_t patient)
{
    int32_t n = 0;
    for (int32_t i = m->class_start[c]; i < m->class_start[c + 1]; i++) {
        int32_t example = m->class_member[i];
        if (patient < 0 || m->r->pool.patient[example] != patient) m->candidate[n++] = example;
    }
    return n;
}

static bool fail_class(const shots_maker *m, int32_t c, int32_t patient)
{
    str name = encoding_cut(m->arm->classes[c].name.text, 60);
    return err_set(
        m->e, ERR_DATA,
        "arm '%s': %d examples must cover every class, but no row of the examples' split is "
        "of class '%.*s'%s; add such rows or ask for fewer examples",
        m->arm->name.text.data, m->k, (int)name.size, name.data,
        patient >= 0 ? " and of another patient than the row to score" : "");
}

/* How many of each class, into m->want: an equal share, the rest to classes in the drawn order, and
 * what a class cannot give to the next ones that can. */
static bool share_out(shots_maker *m, rng *g, int32_t patient)
{
    int32_t n_class = m->r->n_class, share = m->k / n_class, left = m->k, total = 0;
    for (int32_t c = 0; c < n_class; c++) {
        m->have[c] = list_candidates(m, c, patient);
        m->order[c] = c;
        total += m->have[c];
        if (m->have[c] == 0 && share > 0) return fail_class(m, c, patient);
    }
    if (total < m->k) {
        return err_set(
            m->e, ERR_DATA,
            "arm '%s': %d examples are asked for, but the examples' split has only %d usable "
            "rows%s",
            m->arm->name.text.data, m->k, total,
            patient >= 0 ? " of other patients than the row to score" : "");
    }
    rng_shuffle(g, m->order, n_class);
    for (int32_t c = 0; c < n_class; c++) {
        m->want[c] = m->have[c] < share ? m->have[c] : share;
        left -= m->want[c];
    }
    while (left > 0) { /* total >= k: each turn gives at least one */
        for (int32_t i = 0; i < n_class && left > 0; i++) {
            int32_t c = m->order[i];
            if (m->want[c] == m->have[c]) continue;
            m->want[c]++;
            left--;
        }
    }
    return true;
}

static bool draw_set(shots_maker *m, rng g, int32_t patient, int32_t *set)
{
    if (!share_out(m, &g, patient)) return false;
    int32_t n = 0;
    for (int32_t c = 0; c < m->r->n_class; c++) {
        int32_t n_candidate = list_candidates(m, c, patient);
        for (int32_t i = 0; i < m->want[c]; i++) { /* the first steps of a shuffle */
            int32_t j = i + (int32_t)rng_below(&g, (uint64_t)(n_candidate - i));
            int32_t kept = m->candidate[i];
            m->candidate[i] = m->candidate[j];
            m->candidate[j] = kept;
            set[n++] = m->candidate[i];
        }
    }
    assert(n == m->k);
    rng_shuffle(&g, set, n);
    return true;
}

/* Rows whose patient is among the shared examples get a set of their patient's own. */
static bool draw_replacements(shots_maker *m, shots *s, uint64_t study_seed,
                              int32_t *set_of_patient)
{
    const rows *r = m->r;
    for (int32_t i = 0; i < s->k; i++) {
        int32_t patient = r->pool.patient[s->example[i]];
        if (patient >= 0) set_of_patient[patient] = -1; /* wanted, if a row needs it */
    }
    for (int32_t i = 0; i < r->scored.n; i++) {
        int32_t patient = r->scored.patient[i];
        s->set[i] = 0;
        if (patient < 0 || set_of_patient[patient] == 0) continue;
        if (set_of_patient[patient] < 0) {
            str id = r->patient_id[patient];
            uint64_t draw = hash_to_seed(hash_of(id.data, id.size)) | 1;
            int32_t *set = s->example + (size_t)s->n_set * (size_t)s->k;
            if (!draw_set(m, rng_for(study_seed, m->arm->seed, draw), patient, set)) return false;
            set_of_patient[patient] = s->n_set++;
        }
        s->set[i] = set_of_patient[patient];
    }
    return true;
}

bool shots_pick(shots *s, const rows *r, const spec_arm *arm, uint64_t study_seed, arena *a, err *e)
{
    assert(s && r && arm && arm->shots >= 0 && arm->shots <= SPEC_SHOTS_MAX);
    *s = (shots){.k = arm->shots, .n_set = 1};
    size_t k = (size_t)arm->shots, n_class = (size_t)r->n_class, n_pool = (size_t)r->pool.n;
    s->example = arena_take(a, (k + 1) * k, sizeof(int32_t), e);
    s->set = arena_take_zero(a, (size_t)r->scored.n, sizeof(int32_t), e);
    if (e->code || k == 0) return e->code == ERR_NONE;
    size_t mark = arena_mark(a);
    shots_maker m = {.r = r, .arm = arm, .k = arm->shots, .e = e};
    m.class_start = arena_take_zero(a, n_class + 1, sizeof(int32_t), e);
    m.class_member = arena_take(a, n_pool, sizeof(int32_t), e);
    m.candidate = arena_take(a, n_pool, sizeof(int32_t), e);
    m.want = arena_take(a, n_class, sizeof(int32_t), e);
    m.have = arena_take(a, n_class, sizeof(int32_t), e);
    m.order = arena_take(a, n_class, sizeof(int32_t), e);
    int32_t *set_of_patient = arena_take_zero(a, (size_t)r->n_patient + 1, sizeof(int32_t), e);
    if (e->code) return false;
    sort_by_class(&m);
    bool ok = draw_set(&m, rng_for(study_seed, arm->seed, 0), -1, s->example) &&
              draw_replacements(&m, s, study_seed, set_of_patient);
    arena_reset(a, mark);
    return ok;
}
