/* compare: see compare.h. */
#include "view/compare.h"

#include "view/centre.h"

#include "data/encoding.h"
#include "data/names.h"
#include "stats/score.h"
#include "view/gather.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const size_t bytes_memory = (size_t)16 << 30; /* address space */

typedef struct compare_reader {
    const compare_options *o;
    const store *store;
    store_study study; /* without tune rows */
    judge_rows rows;
    judge_notes notes;
    int32_t *kept; /* [rows.n] row of the study */
    arena *a;
    err *e;
} compare_reader;

static int32_t find_arm(compare_reader *r, const char *name)
{
    buf list = buf_up_to(1000);
    int32_t found = -1;
    for (int32_t i = 0; i < r->study.n_arm; i++) {
        if (str_is(r->study.arm[i].name, name)) found = i;
        if (i) buf_add_text(&list, ", ");
        buf_add_str(&list, r->study.arm[i].name);
    }
    if (found < 0)
        err_set(r->e, ERR_USAGE, "no arm '%.60s' in this study; its arms are %.600s", name,
                list.data ? list.data : "");
    buf_close(&list);
    return found;
}

/* The binary score of one row: Z of the positive class against the others. */
static double score_of(const store_study *s, const double *z, double *part)
{
    int32_t n = 0;
    for (int32_t c = 0; c < s->n_class; c++) {
        if (c != s->positive) part[n++] = z[c];
    }
    return z[s->positive] - (n == 1 ? part[0] : score_log_sum(part, n));
}

/* Scores and probabilities of arm k over all rows of the study; NaN: none. */
static bool read_arm(compare_reader *r, int32_t k, double *score, double *probability)
{
    int32_t which = find_arm(r, r->o->arm[k]);
    store_results got;
    double *part = arena_take(r->a, (size_t)r->study.n_class, sizeof *part, r->e);
    double *p = arena_take(r->a, (size_t)r->study.n_class, sizeof *p, r->e);
    if (which < 0 || !part || !p || !store_get_results(r->store, which, &got, r->a, r->e))
        return false;
    centre_arm(&r->study.arm[which], r->study.n_row, &got);
    for (int32_t i = 0; i < r->study.n_row; i++) score[i] = probability[i] = (double)NAN;
    for (int32_t i = 0; i < got.n && got.row[i] < r->study.n_row; i++) {
        const double *z = got.class_logprob + (size_t)i * (size_t)r->study.n_class;
        if (!got.scored[i] || !score_probabilities(z, r->study.n_class, p)) continue;
        score[got.row[i]] = score_of(&r->study, z, part);
        probability[got.row[i]] = p[r->study.positive];
    }
    return true;
}

/* Columns over the rows that every named arm has scored. */
static bool take_columns(compare_reader *r)
{
    const store_study *s = &r->study;
    size_t n = (size_t)s->n_row, n_arm = (size_t)r->o->n_arm;
    double **column = arena_take(r->a, 2 * n_arm, sizeof *column, r->e);
    uint8_t *positive = arena_take(r->a, n, sizeof *positive, r->e);
    int32_t *patient = arena_take(r->a, n, sizeof *patient, r->e);
    r->kept = arena_take(r->a, n, sizeof *r->kept, r->e);
    if (!column || !positive || !patient || !r->kept) return false;
    for (size_t k = 0; k < n_arm; k++) {
        column[k] = arena_take(r->a, n, sizeof **column, r->e);
        column[n_arm + k] = arena_take(r->a, n, sizeof **column, r->e);
        if (!column[k] || !column[n_arm + k] ||
            !read_arm(r, (int32_t)k, column[k], column[n_arm + k]))
            return false;
    }
    int32_t at = 0;
    bool any_patient = false;
    for (int32_t i = 0; i < s->n_row; i++) {
        bool complete = true;
        for (size_t k = 0; k < n_arm; k++) complete = complete && !isnan(column[k][i]);
        if (!complete) continue;
        for (size_t k = 0; k < 2 * n_arm; k++) column[k][at] = column[k][i];
        positive[at] = s->row[i].label == s->positive;
        patient[at] = s->row[i].patient;
        any_patient = any_patient || patient[at] >= 0;
        r->kept[at++] = i;
    }
    r->rows = (judge_rows){.n = at,
                           .positive = positive,
                           .patient = any_patient ? patient : NULL,
                           .n_arm = r->o->n_arm,
                           .arm_name = r->o->arm,
                           .score = (const double *const *)column,
                           .probability = (const double *const *)(column + n_arm)};
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool take_groups(compare_reader *r)
{
    names known;
    int32_t which = -1;
    for (int32_t g = 0; g < r->study.n_group; g++) {
        if (str_is(r->study.group_name[g], r->o->group)) which = g;
    }
    if (which < 0)
        return err_set(r->e, ERR_USAGE,
                       "no subgroup column '%.60s' in this study; it has those that `data: group:` "
                       "of the study file named",
                       r->o->group);
    int32_t *group = arena_take(r->a, (size_t)r->rows.n, sizeof *group, r->e);
    if (!group || !names_make(&known, r->study.n_row, r->a, r->e)) return false;
    for (int64_t i = 0; i < r->rows.n; i++) {
        str value = r->study.row[r->kept[i]].group[which];
        names_add(&known, value.size ? value : STR("(empty)"), NULL);
    }
    if (known.n > JUDGE_GROUPS_MAX)
        return err_set(r->e, ERR_USAGE, "column '%.60s' has more than %d values", r->o->group,
                       JUDGE_GROUPS_MAX);
    const char **name = arena_take(r->a, (size_t)known.n, sizeof *name, r->e);
    for (int32_t g = 0; name && g < known.n; g++)
        name[g] = str_keep(r->a, known.name[g], r->e).data;
    if (!name || r->e->code != ERR_NONE) return false;
    qsort(name, (size_t)known.n, sizeof *name, by_text);
    for (int64_t i = 0; i < r->rows.n; i++) {
        str value = r->study.row[r->kept[i]].group[which];
        for (int32_t g = 0; g < known.n; g++) {
            if (str_is(value.size ? value : STR("(empty)"), name[g])) group[i] = g;
        }
    }
    r->rows.group = group;
    r->rows.group_name = name;
    r->rows.n_group = known.n;
    return true;
}

static bool read_study(compare_reader *r)
{
    const compare_options *o = r->o;
    if (!store_get_study(r->store, &r->study, r->a, r->e) ||
        !gather_rows_use(r->store, &r->study, &r->study.n_row, r->e))
        return false;
    if (r->study.n_class == 1)
        return err_set(r->e, ERR_USAGE,
                       "this study has no labels; likeness.json and the report compare its arms");
    if (r->study.positive < 0)
        return err_set(r->e, ERR_USAGE,
                       "this study has several classes and no positive one: there is no one AUROC "
                       "to compare; name a class under `positive`");
    for (int32_t k = 0; k < o->n_arm; k++) {
        for (int32_t j = 0; j < k; j++) {
            if (!strcmp(o->arm[k], o->arm[j]))
                return err_set(r->e, ERR_USAGE, "arm '%.60s' is named twice", o->arm[k]);
        }
    }
    return take_columns(r) && (!o->group || take_groups(r));
}

/* Says which of these comparisons the study declared beforehand. */
static void note_primary(compare_reader *r)
{
    static const char *const keys[2] = {"primary_first", "primary_second"};
    int found = 0;
    buf name[2] = {buf_up_to(1000), buf_up_to(1000)};
    for (int side = 0; side < 2; side++) {
        if (!store_get(r->store, keys[side], &name[side], r->e)) continue;
        for (int32_t k = 0; k < r->o->n_arm; k++)
            found += str_is(buf_view(&name[side]), r->o->arm[k]);
    }
    if (found == 2)
        judge_note(&r->notes, r->a, r->e,
                   "Primary comparison, declared beforehand: %.60s against %.60s; its p is to be "
                   "read unadjusted, the others adjusted.",
                   name[0].data, name[1].data);
    for (int side = 0; side < 2; side++) buf_close(&name[side]);
}

static bool write_comparison(compare_reader *r, pool *threads, buf *out)
{
    judge_result result;
    static const char *const fact_name[] = {"rows", "without_score"};
    if (!judge_compute(&r->rows, r->o->settings, threads, r->a, &result, r->e)) return false;
    int64_t missing = r->study.n_row - r->rows.n;
    if (missing)
        judge_note(&r->notes, r->a, r->e,
                   "%lld rows lack a score in at least one of these arms and are left out of all.",
                   (long long)missing);
    judge_explain(&result, &r->notes, r->a, r->e);
    note_primary(r);
    buf name = buf_up_to(1000);
    bool ok = store_get(r->store, "study", &name, r->e);
    str class = encoding_cut(r->study.class_name[r->study.positive], 200);
    const int64_t fact[] = {r->study.n_row, missing};
    judge_about about = {.source = ok ? name.data : "study",
                         .positive = str_keep(r->a, class, r->e).data,
                         .n_fact = countof(fact),
                         .fact_name = fact_name,
                         .fact = fact,
                         .n_note = r->notes.n,
                         .note = r->notes.note};
    ok = r->e->code == ERR_NONE && (r->o->json ? judge_write_json(&result, &about, out, r->e)
                                               : judge_write_text(&result, &about, out, r->e));
    buf_close(&name);
    return ok;
}

bool compare_arms(const store *s, const compare_options *o, buf *out, err *e)
{
    assert(s && o->n_arm >= 2 && o->n_arm <= JUDGE_SCORES_MAX);
    arena memory;
    if (!arena_open_up_to(&memory, bytes_memory, "the comparison", e)) return false;
    compare_reader r = {.o = o, .store = s, .a = &memory, .e = e};
    pool *threads = pool_open(0, e);
    bool ok = threads && read_study(&r) && write_comparison(&r, threads, out);
    pool_close(threads);
    arena_close(&memory);
    return ok;
}
