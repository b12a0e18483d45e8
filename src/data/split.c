/* split: see split.h. Without classes (a study that compares with references) all rows are one. */
#include "data/split.h"

#include "base/hash.h"
#include "base/rng.h"

#include <assert.h>
#include <stdlib.h>

/* Draws of one study and arm stand apart; the first is 0, as it has always been. */
static const uint64_t draw_step = 0x9E3779B97F4A7C15u, order_draw = 0x6F72646572u << 8;

typedef struct shots_maker {
    const rows *r;
    const spec_arm *arm;
    int32_t k;
    uint64_t study_seed;
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
    if (n_class == 1) {
        for (int32_t i = 0; i < pool->n; i++) m->class_member[i] = i;
        if (pool->n > 1)
            qsort_r(m->class_member, (size_t)pool->n, sizeof(int32_t), by_id, pool->id);
        return;
    }
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
        "of class '%.*s'%s; look at 'data: train:', add such rows or ask for fewer examples",
        m->arm->name.text.data, m->k, (int)name.size, name.data,
        patient >= 0 ? " and of another patient than the row to score" : "");
}

static bool fail_few(const shots_maker *m, int32_t n, int32_t patient)
{
    return err_set(
        m->e, ERR_DATA,
        "arm '%s': %d examples are asked for, but the examples' split has only %d usable "
        "rows%s",
        m->arm->name.text.data, m->k, n,
        patient >= 0 ? " of other patients than the row to score" : "");
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
    if (total < m->k) return fail_few(m, total, patient);
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

static int32_t take_from(shots_maker *m, rng *g, int32_t n_candidate, int32_t n, int32_t *set)
{
    for (int32_t i = 0; i < n; i++) { /* the first steps of a shuffle */
        int32_t j = i + (int32_t)rng_below(g, (uint64_t)(n_candidate - i));
        int32_t kept = m->candidate[i];
        m->candidate[i] = m->candidate[j];
        m->candidate[j] = kept;
        set[i] = m->candidate[i];
    }
    return n;
}

static bool draw_balanced(shots_maker *m, rng g, int32_t patient, int32_t *set)
{
    if (!share_out(m, &g, patient)) return false;
    int32_t n = 0;
    for (int32_t c = 0; c < m->r->n_class; c++)
        n += take_from(m, &g, list_candidates(m, c, patient), m->want[c], set + n);
    assert(n == m->k);
    rng_shuffle(&g, set, n);
    return true;
}

static bool draw_random(shots_maker *m, rng g, int32_t patient, int32_t *set)
{
    int32_t n = 0, n_pool = m->r->pool.n;
    for (int32_t i = 0; i < n_pool; i++) {
        int32_t example = m->class_member[i];
        if (patient < 0 || m->r->pool.patient[example] != patient) m->candidate[n++] = example;
    }
    if (n < m->k) return fail_few(m, n, patient);
    take_from(m, &g, n, m->k, set);
    return true;
}

/* The rows named; those of the patient are replaced by others, of their class if there are any. */
static bool take_ids(shots_maker *m, rng g, int32_t patient, int32_t *set)
{
    const row_set *pool = &m->r->pool;
    const spec_list *ids = &m->arm->ask.example_ids;
    for (int32_t i = 0; i < m->k; i++) {
        int32_t at = 0;
        while (at < pool->n && !str_equal(pool->id[at], str_trim(ids->item[i].text))) at++;
        str shown = encoding_cut(ids->item[i].text, 60);
        if (at == pool->n)
            return err_set(m->e, ERR_DATA,
                           "arm '%s': the example '%.*s' is no row of the training part with a "
                           "text and a label",
                           m->arm->name.text.data, (int)shown.size, shown.data);
        set[i] = at;
    }
    for (int32_t i = 0; i < m->k; i++) {
        if (patient < 0 || pool->patient[set[i]] != patient) continue;
        int32_t n[2] = {0, 0}; /* other rows: of the same class; of any */
        for (int same = 1; same >= 0 && n[0] == 0; same--) {
            for (int32_t k = 0; k < pool->n; k++) {
                int32_t other = m->class_member[k];
                bool taken = pool->patient[other] == patient ||
                             (same && pool->label[other] != pool->label[set[i]]);
                for (int32_t j = 0; j < m->k && !taken; j++) taken = set[j] == other;
                if (!taken) m->candidate[n[0]++] = other;
            }
        }
        if (n[0] == 0) return fail_few(m, m->k - 1, patient);
        set[i] = m->candidate[rng_below(&g, (uint64_t)n[0])];
    }
    return true;
}

static bool draw_set(shots_maker *m, rng g, int32_t patient, int32_t *set)
{
    if (m->arm->ask.pick == SPEC_IDS) return take_ids(m, g, patient, set);
    if (m->arm->ask.pick == SPEC_RANDOM || m->r->n_class == 1)
        return draw_random(m, g, patient, set);
    return draw_balanced(m, g, patient, set);
}

/* Rows whose patient is among the draw's shared examples get a set of their patient's own. */
static bool draw_replacements(shots_maker *m, shots *s, int32_t draw, int32_t *set_of_patient)
{
    const rows *r = m->r;
    int32_t shared = s->n_set - 1, *set_of_row = s->set + (size_t)draw * (size_t)r->scored.n;
    memset(set_of_patient, 0, ((size_t)r->n_patient + 1) * sizeof *set_of_patient);
    for (int32_t i = 0; i < s->k; i++) {
        int32_t patient = r->pool.patient[s->example[(size_t)shared * (size_t)s->k + (size_t)i]];
        if (patient >= 0) set_of_patient[patient] = -1; /* wanted, if a row needs it */
    }
    for (int32_t i = 0; i < r->scored.n; i++) {
        int32_t patient = r->scored.patient[i];
        set_of_row[i] = shared;
        if (patient < 0 || set_of_patient[patient] == 0) continue;
        if (set_of_patient[patient] < 0) {
            str id = r->patient_id[patient];
            uint64_t about =
                (hash_to_seed(hash_of(id.data, id.size)) + draw_step * (uint64_t)draw) | 1;
            int32_t *set = s->example + (size_t)s->n_set * (size_t)s->k;
            if (!draw_set(m, rng_for(m->study_seed, m->arm->seed, about), patient, set))
                return false;
            set_of_patient[patient] = s->n_set++;
        }
        set_of_row[i] = set_of_patient[patient];
    }
    return true;
}

static bool draw_all(shots_maker *m, shots *s, int32_t *set_of_patient)
{
    for (int32_t d = 0; d < m->arm->ask.draws; d++) {
        int32_t *set = s->example + (size_t)s->n_set * (size_t)s->k;
        uint64_t about = (draw_step * (uint64_t)d) & ~(uint64_t)1;
        if (!draw_set(m, rng_for(m->study_seed, m->arm->seed, about), -1, set)) return false;
        s->n_set++;
        if (!draw_replacements(m, s, d, set_of_patient)) return false;
    }
    return true;
}

/* Different orders of k places, order[orders][k]; the first is 0, 1, .. There are enough. */
static void draw_orders(shots_maker *m, int32_t k, int32_t orders, int32_t *order)
{
    rng g = rng_for(m->study_seed, m->arm->seed, order_draw);
    for (int32_t o = 0; o < orders; o++) {
        int32_t *own = order + (size_t)o * (size_t)k;
        for (bool is_new = false; !is_new;) {
            for (int32_t i = 0; i < k; i++) own[i] = i;
            if (o > 0) rng_shuffle(&g, own, k);
            is_new = true;
            for (int32_t p = 0; p < o && is_new; p++)
                is_new = memcmp(order + (size_t)p * (size_t)k, own, (size_t)k * sizeof *own) != 0;
        }
    }
}

/* Every set again in every further order; turns are spread out from the draws' places. */
static bool add_orders(shots_maker *m, shots *s, arena *a)
{
    int32_t orders = m->arm->ask.orders, n_draw = m->arm->ask.draws, n_set = s->n_set, k = s->k;
    size_t n_row = (size_t)m->r->scored.n;
    int32_t *order = arena_take(a, (size_t)orders * (size_t)k, sizeof *order, m->e);
    if (!order) return false;
    draw_orders(m, k, orders, order);
    for (int32_t o = 1; o < orders; o++) {
        for (int32_t i = 0; i < n_set * k; i++) {
            int32_t from = i / k * k + order[o * k + i % k];
            s->example[(size_t)o * (size_t)n_set * (size_t)k + (size_t)i] = s->example[from];
        }
    }
    for (int32_t d = n_draw - 1; d >= 0; d--) {
        for (int32_t o = orders - 1; o >= 0; o--) {
            int32_t *to = s->set + (size_t)(d * orders + o) * n_row;
            const int32_t *from = s->set + (size_t)d * n_row;
            for (size_t i = 0; i < n_row; i++) to[i] = from[i] + o * n_set;
        }
    }
    s->n_set = n_set * orders;
    return true;
}

static bool take_nearest(const shots_maker *m, shots *s, const int32_t *nearest)
{
    memcpy(s->example, nearest, (size_t)m->r->scored.n * (size_t)s->k * sizeof *nearest);
    for (int32_t i = 0; i < m->r->scored.n; i++) s->set[i] = i;
    s->n_set = m->r->scored.n;
    return true;
}

bool shots_pick(shots *s, const rows *r, const spec_arm *arm, uint64_t study_seed, arena *a, err *e)
{
    const int32_t *nearest = s->nearest;
    assert(r && arm && arm->shots >= 0 && arm->shots <= SPEC_SHOTS_MAX);
    assert((nearest != NULL) == (arm->shots > 0 && arm->ask.pick == SPEC_NEAREST));
    int32_t turns = arm->ask.draws * arm->ask.orders;
    *s = (shots){.nearest = nearest, .k = arm->shots, .n_turn = turns};
    size_t k = (size_t)arm->shots, n_class = (size_t)r->n_class, n_pool = (size_t)r->pool.n;
    size_t sets = (size_t)turns * (nearest ? (size_t)r->scored.n : k + 1);
    s->example = arena_take(a, sets * k, sizeof(int32_t), e);
    s->set = arena_take_zero(a, (size_t)turns * (size_t)r->scored.n, sizeof(int32_t), e);
    if (e->code || k == 0) return s->n_set = 1, e->code == ERR_NONE;
    size_t mark = arena_mark(a);
    shots_maker m = {.r = r, .arm = arm, .k = arm->shots, .study_seed = study_seed, .e = e};
    m.class_start = arena_take_zero(a, n_class + 1, sizeof(int32_t), e);
    m.class_member = arena_take(a, n_pool, sizeof(int32_t), e);
    m.candidate = arena_take(a, n_pool, sizeof(int32_t), e);
    m.want = arena_take(a, n_class, sizeof(int32_t), e);
    m.have = arena_take(a, n_class, sizeof(int32_t), e);
    m.order = arena_take(a, n_class, sizeof(int32_t), e);
    int32_t *set_of_patient = arena_take_zero(a, (size_t)r->n_patient + 1, sizeof(int32_t), e);
    if (e->code) return false;
    sort_by_class(&m);
    bool ok = (nearest ? take_nearest(&m, s, nearest) : draw_all(&m, s, set_of_patient)) &&
              add_orders(&m, s, a);
    arena_reset(a, mark);
    return ok;
}
