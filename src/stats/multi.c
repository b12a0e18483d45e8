/* multi: see multi.h. */
#include "stats/multi.h"

#include "stats/agree.h"
#include "stats/prop.h"
#include "stats/rank.h"

#include <assert.h>
#include <math.h>

static stat_estimate plain(double value, bool exists, int64_t n)
{
    stat_estimate o = stat_none(exists ? STAT_OK : STAT_ONE_CLASS, n, 0);
    o.has_value = exists;
    o.value = exists ? value : 0;
    return o;
}

/* AUROC of class i's column for class i against class j (j < 0: against all others). */
static bool one_auroc(const multi_rows *rows, int32_t i, int32_t j, arena *a, rank_auroc *out,
                      err *e)
{
    size_t mark = arena_mark(a);
    double *score = arena_take(a, (size_t)rows->n, sizeof *score, e);
    uint8_t *positive = arena_take(a, (size_t)rows->n, sizeof *positive, e);
    int64_t n = 0;
    bool fine = score && positive;
    for (int64_t r = 0; fine && r < rows->n; r++) {
        if (rows->label[r] != i && j >= 0 && rows->label[r] != j) continue;
        score[n] = rows->p[r * rows->n_class + i];
        positive[n++] = rows->label[r] == i;
    }
    fine = fine && rank_auroc_rows(score, positive, n, a, out, e);
    arena_reset(a, mark);
    return fine;
}

static bool judge_each(const multi_rows *rows, const int64_t *cases, arena *a, multi_auroc *out,
                       err *e)
{
    double sum = 0, weighted = 0, weight = 0;
    for (int32_t c = 0; c < rows->n_class; c++) {
        rank_auroc one;
        if (!one_auroc(rows, c, -1, a, &one, e)) return false;
        out->has_each[c] = one.logit.has_value;
        if (!one.logit.has_value) continue;
        out->each[c] = one.logit.value;
        out->n_judged++;
        sum += one.logit.value;
        weighted += one.logit.value * (double)cases[c];
        weight += (double)cases[c];
    }
    out->macro = plain(sum / out->n_judged, out->n_judged > 0, rows->n);
    out->weighted = plain(weighted / weight, weight > 0, rows->n);
    return true;
}

static bool judge_pairs(const multi_rows *rows, const int64_t *cases, arena *a, multi_auroc *out,
                        err *e)
{
    double sum = 0, weighted = 0, weight = 0;
    int64_t n_pair = 0;
    for (int32_t i = 0; i < rows->n_class; i++) {
        for (int32_t j = i + 1; j < rows->n_class; j++) {
            rank_auroc of_i, of_j;
            if (cases[i] == 0 || cases[j] == 0) continue;
            if (!one_auroc(rows, i, j, a, &of_i, e) || !one_auroc(rows, j, i, a, &of_j, e))
                return false;
            double mean = (of_i.logit.value + of_j.logit.value) / 2,
                   w = (double)(cases[i] + cases[j]);
            sum += mean;
            weighted += mean * w;
            weight += w;
            n_pair++;
        }
    }
    out->hand_till = plain(sum / (double)n_pair, n_pair > 0, rows->n);
    out->hand_till_weighted = plain(weighted / weight, n_pair > 0, rows->n);
    return true;
}

bool multi_auroc_of(const multi_rows *rows, arena *a, multi_auroc *out, err *e)
{
    assert(rows->n_class >= 2 && rows->n_class <= MULTI_CLASSES_MAX);
    *out = (multi_auroc){.status = rows->n ? STAT_OK : STAT_NO_CASES};
    out->each = arena_take_zero(a, (size_t)rows->n_class, sizeof *out->each, e);
    out->has_each = arena_take_zero(a, (size_t)rows->n_class, sizeof *out->has_each, e);
    if (!out->each || !out->has_each) return false;
    int64_t cases[MULTI_CLASSES_MAX] = {0};
    for (int64_t r = 0; r < rows->n; r++) {
        assert(rows->label[r] >= 0 && rows->label[r] < rows->n_class);
        cases[rows->label[r]]++;
        for (int32_t c = 0; c < rows->n_class; c++)
            if (isnan(rows->p[r * rows->n_class + c])) out->status = STAT_MISSING_SCORES;
    }
    out->macro = out->weighted = out->hand_till = out->hand_till_weighted =
        stat_none(out->status, rows->n, 0);
    if (out->status != STAT_OK) return true;
    if (!judge_each(rows, cases, a, out, e) || !judge_pairs(rows, cases, a, out, e)) return false;
    if (out->n_judged == 0) out->status = STAT_ONE_CLASS;
    return true;
}

/* --- the most probable class --- */

static int32_t top_of(const double *p, int32_t n)
{
    int32_t best = 0;
    for (int32_t c = 1; c < n; c++) best = p[c] > p[best] ? c : best;
    return best;
}

static void add_f1(const agree_two *t, multi_measures *m)
{
    double sum = 0, weighted = 0;
    int32_t n_class = 0;
    for (int32_t c = 0; c < t->n_category; c++) {
        double truth = 0, called = 0, hit = (double)t->count[c][c];
        for (int32_t k = 0; k < t->n_category; k++) {
            truth += (double)t->count[c][k];
            called += (double)t->count[k][c];
        }
        if (truth + called == 0) continue;
        sum += 2 * hit / (truth + called);
        weighted += truth * 2 * hit / (truth + called);
        n_class++;
    }
    m->macro_f1 = plain(sum / n_class, n_class > 0, t->n);
    m->weighted_f1 = plain(weighted / (double)t->n, t->n > 0, t->n);
}

/* Gorodkin's R_K (2004): correlation of truth and call as class indicators. */
static void add_mcc(const agree_two *t, multi_measures *m)
{
    double n = (double)t->n, hit = 0, cross = 0, truth2 = 0, called2 = 0;
    for (int32_t c = 0; c < t->n_category; c++) {
        double truth = 0, called = 0;
        for (int32_t k = 0; k < t->n_category; k++) {
            truth += (double)t->count[c][k];
            called += (double)t->count[k][c];
        }
        hit += (double)t->count[c][c];
        cross += truth * called;
        truth2 += truth * truth;
        called2 += called * called;
    }
    double bottom = sqrt(n * n - truth2) * sqrt(n * n - called2);
    m->mcc = plain((hit * n - cross) / bottom, bottom > 0, t->n);
    if (!(bottom > 0)) m->mcc.status = STAT_CONSTANT;
}

static void add_scores(const multi_rows *rows, multi_measures *m)
{
    const double least = 1e-15;
    double loss = 0, brier = 0;
    stat_status status = stat_check_probabilities(rows->p, rows->n * rows->n_class);
    m->log_loss = m->brier = stat_none(status, rows->n, 0);
    if (status != STAT_OK) return;
    for (int64_t r = 0; r < rows->n; r++) {
        const double *p = rows->p + r * rows->n_class;
        loss -= log(fmax(least, fmin(1 - least, p[rows->label[r]])));
        for (int32_t c = 0; c < rows->n_class; c++) {
            double miss = p[c] - (rows->label[r] == c);
            brier += miss * miss;
        }
    }
    m->log_loss = plain(loss / (double)rows->n, true, rows->n);
    m->brier = plain(brier / (double)rows->n, true, rows->n);
}

multi_measures multi_measures_of(const multi_rows *rows)
{
    assert(rows->n_class >= 2 && rows->n_class <= AGREE_CATEGORIES_MAX);
    multi_measures m = {0};
    agree_two t = {.n_category = rows->n_class, .n = rows->n};
    int64_t hit = 0;
    for (int64_t r = 0; r < rows->n; r++) {
        int32_t called = top_of(rows->p + r * rows->n_class, rows->n_class);
        t.count[rows->label[r]][called]++;
        hit += called == rows->label[r];
    }
    m.accuracy = prop_of(hit, rows->n, PROP_WILSON, 0);
    add_f1(&t, &m);
    add_mcc(&t, &m);
    m.kappa = agree_kappa(&t, AGREE_UNWEIGHTED, 0);
    m.kappa_linear = agree_kappa(&t, AGREE_LINEAR, 0);
    m.kappa_quadratic = agree_kappa(&t, AGREE_QUADRATIC, 0);
    add_scores(rows, &m);
    return m;
}

/* --- under weights --- */

typedef struct draw_maker {
    const multi_rows *rows;
    arena *a;
    err *e;
} draw_maker;

/* Of class i's order over all rows: the rows of classes i and j alone, ties marked anew. */
static bool take_pair(const draw_maker *m, int32_t i, int32_t j, const weigh_order *all,
                      weigh_order *out)
{
    const multi_rows *r = m->rows;
    uint32_t *entry = arena_take(m->a, (size_t)all->n, sizeof *entry, m->e);
    if (!entry) return false;
    int64_t n = 0;
    for (int64_t k = 0; k < all->n; k++) {
        int32_t row = (int32_t)(all->entry[k] >> 2);
        if (r->label[row] != i && r->label[row] != j) continue;
        if (n > 0) {
            int32_t before = (int32_t)(entry[n - 1] >> 2);
            bool differs =
                r->p[before * (int64_t)r->n_class + i] != r->p[row * (int64_t)r->n_class + i];
            entry[n - 1] = (entry[n - 1] & ~1u) | differs;
        }
        entry[n++] = all->entry[k] | 1u;
    }
    *out = (weigh_order){.n = n, .entry = entry};
    return true;
}

static bool take_class(const draw_maker *m, int32_t c, weigh_order *rest, weigh_order *pair)
{
    const multi_rows *r = m->rows;
    double *column = arena_take(m->a, (size_t)r->n, sizeof *column, m->e);
    uint8_t *positive = arena_take(m->a, (size_t)r->n, sizeof *positive, m->e);
    if (!column || !positive) return false;
    for (int64_t i = 0; i < r->n; i++) {
        column[i] = r->p[i * r->n_class + c];
        positive[i] = r->label[i] == c;
    }
    if (!weigh_order_take(column, positive, r->n, m->a, rest, m->e)) return false;
    for (int32_t j = 0; j < r->n_class; j++) {
        if (j != c && !take_pair(m, c, j, rest, &pair[j])) return false;
    }
    return true;
}

bool multi_draws_take(const multi_rows *rows, arena *a, multi_draws *out, err *e)
{
    assert(rows->n_class >= 2 && rows->n_class <= AGREE_CATEGORIES_MAX);
    size_t n_class = (size_t)rows->n_class;
    draw_maker m = {.rows = rows, .a = a, .e = e};
    weigh_order *rest = arena_take_zero(a, n_class, sizeof *rest, e);
    weigh_order *pair = arena_take_zero(a, n_class * n_class, sizeof *pair, e);
    int32_t *called = arena_take(a, (size_t)rows->n, sizeof *called, e);
    bool *present = arena_take_zero(a, n_class, sizeof *present, e);
    if (!rest || !pair || !called || !present) return false;
    for (int64_t r = 0; r < rows->n; r++) {
        called[r] = top_of(rows->p + r * rows->n_class, rows->n_class);
        present[rows->label[r]] = true;
    }
    for (int32_t c = 0; c < rows->n_class; c++) {
        if (!take_class(&m, c, &rest[c], pair + c * rows->n_class)) return false;
    }
    *out = (multi_draws){
        .rows = rows, .rest = rest, .pair = pair, .called = called, .present = present};
    return true;
}

static bool draw_aurocs(const multi_draws *d, const uint16_t *weight, const double *cases,
                        double *value)
{
    double macro = 0, weighted = 0, total = 0, pairs = 0, n_class = 0, n_pair = 0;
    int32_t n = d->rows->n_class;
    for (int32_t i = 0; i < n; i++) {
        double one, two;
        if (!d->present[i]) continue;
        if (!weigh_auroc(&d->rest[i], weight, &one)) return false;
        macro += one;
        weighted += one * cases[i];
        total += cases[i];
        n_class++;
        for (int32_t j = i + 1; j < n; j++) {
            if (!d->present[j]) continue;
            if (!weigh_auroc(&d->pair[i * n + j], weight, &one) ||
                !weigh_auroc(&d->pair[j * n + i], weight, &two))
                return false;
            pairs += (one + two) / 2;
            n_pair++;
        }
    }
    if (n_pair == 0) return false;
    value[MULTI_MACRO] = macro / n_class;
    value[MULTI_WEIGHTED] = weighted / total;
    value[MULTI_HAND_TILL] = pairs / n_pair;
    return true;
}

bool multi_draw_ranks(const void *context, const uint16_t *weight, double *value)
{
    const multi_draws *d = context;
    double cases[AGREE_CATEGORIES_MAX] = {0}, hit = 0, n = 0;
    for (int64_t r = 0; r < d->rows->n; r++) {
        int32_t w = weight ? weight[r] : 1, label = d->rows->label[r];
        cases[label] += w;
        n += w;
        if (label == d->called[r]) hit += w;
    }
    value[MULTI_ACCURACY] = n > 0 ? hit / n : 0;
    return n > 0 && draw_aurocs(d, weight, cases, value);
}

bool multi_draw(const void *context, const uint16_t *weight, double *value)
{
    const multi_draws *d = context;
    agree_two t = {.n_category = d->rows->n_class};
    double cases[AGREE_CATEGORIES_MAX] = {0}, hit = 0;
    for (int64_t r = 0; r < d->rows->n; r++) {
        int32_t w = weight ? weight[r] : 1, label = d->rows->label[r];
        t.count[label][d->called[r]] += w;
        t.n += w;
        cases[label] += w;
        if (label == d->called[r]) hit += w;
    }
    if (t.n == 0 || !draw_aurocs(d, weight, cases, value)) return false;
    multi_measures m = {0};
    add_f1(&t, &m);
    add_mcc(&t, &m);
    m.kappa = agree_kappa(&t, AGREE_UNWEIGHTED, 0);
    value[MULTI_ACCURACY] = hit / (double)t.n;
    value[MULTI_MACRO_F1] = m.macro_f1.value;
    value[MULTI_WEIGHTED_F1] = m.weighted_f1.value;
    value[MULTI_MCC] = m.mcc.value;
    value[MULTI_KAPPA] = m.kappa.value;
    return m.macro_f1.has_value && m.mcc.has_value && m.kappa.has_value;
}

/* --- several labels --- */
static bool label_aurocs(const multi_labels *rows, arena *a, multi_label_measures *out, err *e)
{
    size_t mark = arena_mark(a);
    double *score = arena_take(a, (size_t)rows->n, sizeof *score, e), sum = 0;
    uint8_t *truth = arena_take(a, (size_t)rows->n, sizeof *truth, e);
    int32_t n_judged = 0;
    if (!score || !truth) return false;
    rank_auroc one;
    for (int32_t c = 0; c < rows->n_label; c++) {
        for (int64_t r = 0; r < rows->n; r++) {
            score[r] = rows->p[r * rows->n_label + c];
            truth[r] = rows->truth[r * rows->n_label + c];
        }
        if (!rank_auroc_rows(score, truth, rows->n, a, &one, e)) return false;
        out->has_auroc[c] = one.logit.has_value;
        out->auroc[c] = one.logit.value;
        sum += one.logit.value;
        n_judged += one.logit.has_value;
    }
    out->macro_auroc = plain(sum / n_judged, n_judged > 0, rows->n);
    if (!rank_auroc_rows(rows->p, rows->truth, rows->n * rows->n_label, a, &one, e)) return false;
    out->micro_auroc = plain(one.logit.value, one.logit.has_value, rows->n);
    arena_reset(a, mark);
    return true;
}

typedef struct hits {
    double hit, truth, called;
} hits;

static void count_hit(hits *h, bool truth, bool called)
{
    h->hit += truth && called;
    h->truth += truth;
    h->called += called;
}

/* 2 hit / (truth + called); a side of nothing true and nothing called is left out of means. */
static void add_to_mean(const hits *h, double *sum, int64_t *n)
{
    if (h->truth + h->called == 0) return;
    *sum += 2 * h->hit / (h->truth + h->called);
    ++*n;
}

bool multi_label_measures_of(const multi_labels *rows, double threshold, arena *a,
                             multi_label_measures *out, err *e)
{
    assert(rows->n_label > 0 && rows->n_label <= MULTI_CLASSES_MAX);
    *out = (multi_label_measures){0};
    out->auroc = arena_take_zero(a, (size_t)rows->n_label, sizeof *out->auroc, e);
    out->has_auroc = arena_take_zero(a, (size_t)rows->n_label, sizeof *out->has_auroc, e);
    if (!out->auroc || !out->has_auroc || !label_aurocs(rows, a, out, e)) return false;
    hits all = {0}, of_label[MULTI_CLASSES_MAX] = {{0}};
    double samples = 0, macro = 0;
    int64_t n_sample = 0, n_macro = 0, whole = 0, wrong = 0;
    for (int64_t r = 0; r < rows->n; r++) {
        hits row = {0};
        int64_t wrong_here = 0;
        for (int32_t c = 0; c < rows->n_label; c++) {
            bool truth = rows->truth[r * rows->n_label + c];
            bool called = rows->p[r * rows->n_label + c] >= threshold;
            count_hit(&all, truth, called);
            count_hit(&row, truth, called);
            count_hit(&of_label[c], truth, called);
            wrong_here += truth != called;
        }
        add_to_mean(&row, &samples, &n_sample);
        whole += wrong_here == 0;
        wrong += wrong_here;
    }
    for (int32_t c = 0; c < rows->n_label; c++) add_to_mean(&of_label[c], &macro, &n_macro);
    out->macro_f1 = plain(macro / (double)n_macro, n_macro > 0, rows->n);
    out->micro_f1 =
        plain(2 * all.hit / (all.truth + all.called), all.truth + all.called > 0, rows->n);
    out->samples_f1 = plain(samples / (double)n_sample, n_sample > 0, rows->n);
    out->subset_accuracy = prop_of(whole, rows->n, PROP_WILSON, 0);
    int64_t cells = rows->n * rows->n_label; /* cells of a row are not independent: no interval */
    out->hamming_loss = plain((double)wrong / (double)cells, cells > 0, rows->n);
    return true;
}
