/* baseline_tfidf: see baseline.h. Fits of different C (and folds) run side by side, each alone in
 * its
 * thread's memory; which C wins is decided afterwards, in order. */
#include "study/baseline_in.h"
#include "text/tfidf.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const double grid[] = {0.1, 1, 10, 100};
enum { GRID = sizeof grid / sizeof grid[0], FOLDS = 5, FOLDS_MAX = 101 };
static const size_t bytes_fit = (size_t)32 << 30; /* address space of one thread */

typedef struct trainer {
    const baselines *b;
    pool *threads;
    sparse_rows train, judge; /* judge: the tuning rows; empty when folds choose */
    const int32_t *label, *judge_label;
    int32_t *fold; /* [train.n] 1 .. n_fold; NULL: tuning rows choose */
    int32_t n_fold;
    arena *own;   /* [threads] */
    err *failure; /* [threads] */
    double *loss; /* [GRID][n_fold]: summed log loss */
    arena *a;
    err *e;
} trainer;

/* Log loss of the rows with `own` set (NULL: all). */
static double loss_of(const sparse_model *m, const sparse_rows *r, const int32_t *label,
                      const int32_t *fold, int32_t which)
{
    double sum = 0, z[SPEC_CLASSES_MAX];
    for (int64_t i = 0; i < r->n; i++) {
        if (fold && fold[i] != which) continue;
        sparse_log_probabilities(m, r, i, z);
        sum -= fmax(z[label[i]], -700); /* a class the fold never saw */
    }
    return sum;
}

static void fit_one(void *context, int64_t task, int thread)
{
    trainer *t = context;
    err *e = &t->failure[thread];
    arena *a = &t->own[thread];
    int32_t which = (int32_t)(task % t->n_fold) + 1;
    sparse_model m;
    if (e->code != ERR_NONE) return;
    arena_reset(a, 0);
    sparse_task fit = {.rows = &t->train,
                       .label = t->label,
                       .n_class = t->b->spec->n_class,
                       .c = grid[task / t->n_fold]};
    uint8_t *keep = t->fold ? arena_take(a, (size_t)t->train.n, 1, e) : NULL;
    if (t->fold && !keep) return;
    for (int64_t i = 0; keep && i < t->train.n; i++) keep[i] = t->fold[i] != which;
    fit.keep = keep;
    if (!sparse_fit(&fit, a, &m, e)) return;
    bool fitted = m.status == STAT_OK || m.status == STAT_SEPARATION;
    t->loss[task] = !fitted   ? INFINITY
                    : t->fold ? loss_of(&m, &t->train, t->label, t->fold, which)
                              : loss_of(&m, &t->judge, t->judge_label, NULL, 0);
}

static bool run_fits(trainer *t)
{
    int n = pool_size(t->threads), opened = 0;
    t->own = arena_take_zero(t->a, (size_t)n, sizeof *t->own, t->e);
    t->failure = arena_take_zero(t->a, (size_t)n, sizeof *t->failure, t->e);
    t->loss = arena_take_zero(t->a, GRID * (size_t)t->n_fold, sizeof *t->loss, t->e);
    if (!t->own || !t->failure || !t->loss) return false;
    while (opened < n && arena_open_up_to(&t->own[opened], bytes_fit, "a baseline's fit", t->e))
        opened++;
    if (opened == n) pool_run(t->threads, GRID * (int64_t)t->n_fold, fit_one, t);
    for (int i = 0; i < opened; i++) {
        if (t->failure[i].code != ERR_NONE && t->e->code == ERR_NONE) *t->e = t->failure[i];
        arena_close(&t->own[i]);
    }
    return t->e->code == ERR_NONE;
}

/* The C with the least loss over all folds; a fold without two classes says nothing of any C. */
static double choose(const trainer *t, double *mean)
{
    double best = INFINITY, c = 1;
    int64_t n = t->fold ? t->train.n : t->judge.n;
    for (int32_t k = 0; k < GRID; k++) {
        double sum = 0;
        for (int32_t f = 0; f < t->n_fold; f++) {
            double one = t->loss[k * t->n_fold + f];
            sum += isfinite(one) ? one : 0;
        }
        if (sum >= best) continue;
        best = sum;
        c = grid[k];
    }
    *mean = best / (double)(n > 0 ? n : 1);
    return c;
}

/* ---- folds ---- */

typedef struct fold_unit {
    hash_text order;
    int32_t patient, row; /* patient -1: the row stands alone */
} fold_unit;

static int by_hash(const void *a, const void *b)
{
    return strcmp(((const fold_unit *)a)->order.hex, ((const fold_unit *)b)->order.hex);
}

/* Whole patients to FOLDS folds in an order by chance: the k-th to fold k mod FOLDS. */
static bool deal_folds(trainer *t, const int32_t *order)
{
    const rows *r = t->b->rows;
    const row_set *train = &r->pool;
    fold_unit *unit = arena_take(t->a, (size_t)train->n, sizeof *unit, t->e);
    int32_t *of_patient = arena_take_zero(t->a, (size_t)r->n_patient + 1, sizeof(int32_t), t->e);
    int32_t n = 0;
    if (!unit || !of_patient) return false;
    for (int32_t i = 0; i < train->n; i++) {
        int32_t p = train->patient[order[i]];
        if (p >= 0 && of_patient[p]) continue;
        str name = p >= 0 ? r->patient_id[p] : train->id[order[i]];
        unit[n++] = (fold_unit){hash_of(name.data, name.size), p, i};
        if (p >= 0) of_patient[p] = 1;
    }
    qsort(unit, (size_t)n, sizeof *unit, by_hash);
    for (int32_t k = 0; k < n; k++) {
        if (unit[k].patient >= 0) of_patient[unit[k].patient] = k % FOLDS + 1;
        else t->fold[unit[k].row] = k % FOLDS + 1;
    }
    for (int32_t i = 0; i < train->n; i++) {
        int32_t p = train->patient[order[i]];
        if (p >= 0) t->fold[i] = of_patient[p];
    }
    t->n_fold = FOLDS;
    return true;
}

static bool take_folds(trainer *t, const int32_t *order)
{
    const int32_t *given = t->b->rows->pool_fold;
    t->fold = arena_take(t->a, (size_t)t->train.n, sizeof *t->fold, t->e);
    if (!t->fold) return false;
    bool all = given != NULL;
    for (int64_t i = 0; all && i < t->train.n; i++) {
        t->fold[i] = given[order[i]];
        all = t->fold[i] >= 1 && t->fold[i] < FOLDS_MAX;
        if (t->fold[i] > t->n_fold) t->n_fold = t->fold[i];
    }
    return (all && t->n_fold >= 2) || deal_folds(t, order);
}

/* ---- texts ---- */

static bool take_set(trainer *t, const row_set *set, const int32_t *order, const str **text,
                     const int32_t **label)
{
    str *own = arena_take(t->a, (size_t)set->n, sizeof *own, t->e);
    int32_t *class = arena_take(t->a, (size_t)set->n, sizeof *class, t->e);
    if (!own || !class) return false;
    for (int32_t i = 0; i < set->n; i++) {
        own[i] = set->text[order[i]];
        class[i] = set->label[order[i]];
    }
    *text = own;
    *label = class;
    return true;
}

static void describe(const trainer *t, const tfidf *v, double c, double loss, buf *detail)
{
    char how[64];
    int32_t n_tune = (int32_t)t->judge.n;
    if (t->fold) snprintf(how, sizeof how, "%d folds of the training rows", t->n_fold);
    else snprintf(how, sizeof how, "%d tuning rows", n_tune);
    buf_printf(
        detail,
        "TF-IDF of %s and L2 logistic regression: %d training rows, %d terms; C %g chosen by "
        "log loss (%.4f) on %s",
        v->unit == TFIDF_WORDS ? "words" : "2 to 4 characters within words", (int)t->train.n,
        v->n_term, c, loss, how);
}

bool baseline_tfidf(const baselines *b, pool *p, arena *a, baseline_scores *out, err *e)
{
    const rows *r = b->rows;
    trainer t = {.b = b, .threads = p, .n_fold = 1, .a = a, .e = e};
    const str *text, *tune_text;
    int32_t *order = baseline_order(&r->pool, a, e), *tune = baseline_order(&r->tune, a, e);
    if (!order || !tune || !take_set(&t, &r->pool, order, &text, &t.label) ||
        !take_set(&t, &r->tune, tune, &tune_text, &t.judge_label))
        return false;
    tfidf_unit unit = b->spec->tfidf == 0   ? tfidf_suited(text, r->pool.n)
                      : b->spec->tfidf == 1 ? TFIDF_WORDS
                                            : TFIDF_CHARACTERS;
    tfidf v;
    sparse_rows scored;
    sparse_model m;
    double loss;
    if (!tfidf_fit(&v, text, r->pool.n, unit, a, e) ||
        !tfidf_rows(&v, text, r->pool.n, a, &t.train, e) ||
        !tfidf_rows(&v, tune_text, r->tune.n, a, &t.judge, e) ||
        !tfidf_rows(&v, r->scored.text, r->scored.n, a, &scored, e))
        return false;
    if (r->tune.n == 0 && !take_folds(&t, order)) return false;
    if (!run_fits(&t)) return false;
    double c = choose(&t, &loss);
    sparse_task best = {.rows = &t.train, .label = t.label, .n_class = b->spec->n_class, .c = c};
    if (!sparse_fit(&best, a, &m, e)) return false;
    assert(m.status == STAT_OK || m.status == STAT_SEPARATION); /* planned with two classes */
    for (int64_t i = 0; i < scored.n; i++)
        sparse_log_probabilities(&m, &scored, i, out->z + i * b->spec->n_class);
    /* sparse's class 1 is class 1 of the study: the same numbering */
    describe(&t, &v, c, loss, &out->detail);
    return true;
}
