/* alike: see alike.h. */
#include "stats/alike.h"

#include "stats/adjust.h"

#include <assert.h>

static const struct {
    const char *key, *name;
    int decimals;
} measures[ALIKE_MEASURES] = {
    [ALIKE_ROUGE_1] = {"rouge1", "ROUGE-1", 3}, [ALIKE_ROUGE_2] = {"rouge2", "ROUGE-2", 3},
    [ALIKE_ROUGE_L] = {"rougeL", "ROUGE-L", 3}, [ALIKE_EXACT] = {"exact", "exact match", 3},
    [ALIKE_BLEU] = {"bleu", "BLEU", 1},         [ALIKE_CHRF] = {"chrf", "chrF", 1},
};

const char *alike_key(alike_measure m) { return measures[m].key; }
const char *alike_name(alike_measure m) { return measures[m].name; }
int alike_decimals(alike_measure m) { return measures[m].decimals; }

typedef struct rows { /* that are compared: row[0 .. n) among the given */
    const alike_input *in;
    const int64_t *row;
    int64_t n;
} rows;

static const alike_text *text_at(const rows *r, int32_t arm, int64_t i)
{
    return &r->in->text[arm][r->row[i]];
}

/* All measures of all arms, [arm][measure], of rows that count weight[n] times. */
static bool measure_all(const void *context, const uint16_t *weight, double *value)
{
    const rows *r = context;
    for (int32_t k = 0; k < r->in->n_arm; k++, value += ALIKE_MEASURES) {
        overlap_counts all = {0};
        double sum[ALIKE_MEANS] = {0}, n = 0;
        for (int64_t i = 0; i < r->n; i++) {
            if (weight[i] == 0) continue;
            const alike_text *t = text_at(r, k, i);
            n += weight[i];
            for (int m = 0; m < ALIKE_MEANS; m++) sum[m] += weight[i] * t->mean[m];
            overlap_counts_add(&all, &t->counts, weight[i]);
        }
        if (n == 0) return false;
        for (int m = 0; m < ALIKE_MEANS; m++) value[m] = sum[m] / n;
        value[ALIKE_BLEU] = overlap_counts_bleu(&all);
        value[ALIKE_CHRF] = overlap_counts_chrf(&all);
    }
    return true;
}

/* Numbers patients from 0 on; a row without one is its own. NULL: every row is a unit. */
static bool number_units(const rows *r, arena *a, int32_t **unit, int32_t *n_unit, err *e)
{
    const int32_t *patient = r->in->patient;
    *unit = NULL;
    *n_unit = 0;
    if (!patient || r->n == 0) return true;
    double *key = arena_take(a, (size_t)r->n, sizeof *key, e);
    int32_t *order = arena_take(a, (size_t)r->n, sizeof *order, e);
    int32_t *own = arena_take(a, (size_t)r->n, sizeof *own, e);
    if (!key || !order || !own) return false;
    for (int64_t i = 0; i < r->n; i++) {
        int32_t p = patient[r->row[i]];
        key[i] = p >= 0 ? (double)p : -1 - (double)i;
    }
    if (!stat_order(key, r->n, order, a, e)) return false;
    for (int64_t i = 0; i < r->n; i++) {
        bool same = i > 0 && !(key[order[i]] > key[order[i - 1]]);
        own[order[i]] = same ? *n_unit - 1 : (*n_unit)++;
    }
    if (*n_unit < r->n) *unit = own;
    return true;
}

static bool compare_pairs(const boot_result *boot, alike *out, arena *a, err *e)
{
    const boot_result *b = boot;
    size_t n = (size_t)out->n_arm * (size_t)(out->n_arm - 1) / 2;
    out->pair = arena_take_zero(a, n + 1, sizeof *out->pair, e);
    double *p = arena_take(a, n + 1, sizeof *p, e), *holm = arena_take(a, n + 1, sizeof *holm, e);
    if (!out->pair || !p || !holm) return false;
    for (int32_t i = 0; i < out->n_arm; i++) {
        for (int32_t j = i + 1; j < out->n_arm; j++)
            out->pair[out->n_pair++] = (alike_pair){.a = i, .b = j};
    }
    for (int m = 0; m < ALIKE_MEASURES; m++) {
        for (int32_t k = 0; k < out->n_pair; k++) {
            alike_pair *q = &out->pair[k];
            boot_pair which = {.i = q->b * ALIKE_MEASURES + m, .j = q->a * ALIKE_MEASURES + m};
            if (!boot_difference(b, which, 0, a, &q->gap[m], e)) return false;
            p[k] = q->gap[m].p;
        }
        if (!adjust_holm(p, out->n_pair, holm, a, e)) return false;
        for (int32_t k = 0; k < out->n_pair; k++) out->pair[k].p_holm[m] = holm[k];
    }
    return true;
}

static bool bootstrap(const rows *r, alike *out, arena *a, err *e)
{
    int32_t *unit = NULL, n_unit = 0;
    boot_result boot;
    if (!number_units(r, a, &unit, &n_unit, e)) return false;
    out->by_patient = unit != NULL;
    boot_plan plan = {.n = r->n,
                      .unit = unit,
                      .n_unit = n_unit,
                      .seed_study = r->in->seed,
                      .seed_analysis = boot_seed("alike"),
                      .n_value = r->in->n_arm * ALIKE_MEASURES,
                      .statistic = measure_all,
                      .context = r};
    if (!boot_run(&plan, r->in->threads, a, &boot, e)) return false;
    for (int32_t k = 0; k < out->n_arm; k++) {
        for (int m = 0; m < ALIKE_MEASURES; m++) {
            stat_estimate *o = &out->arm[k].measure[m];
            if (!boot_estimate(&boot, k * ALIKE_MEASURES + m, (boot_interval){0}, a, o, e))
                return false;
        }
    }
    return compare_pairs(&boot, out, a, e);
}

static void measure_lengths(const rows *r, alike *out)
{
    double n = (double)r->n;
    for (int64_t i = 0; i < r->n; i++)
        out->reference_words += r->in->reference_words[r->row[i]] / n;
    for (int32_t k = 0; k < out->n_arm; k++) {
        alike_arm *arm = &out->arm[k];
        double n_share = 0;
        for (int64_t i = 0; i < r->n; i++) {
            double wanted = r->in->reference_words[r->row[i]];
            arm->n_text += text_at(r, k, i)->n;
            arm->words += text_at(r, k, i)->words / n;
            if (wanted > 0) arm->share += text_at(r, k, i)->words / wanted, n_share++;
        }
        if (n_share > 0) arm->share /= n_share;
    }
}

bool alike_judge(const alike_input *in, arena *a, alike *out, err *e)
{
    assert(in->n_arm > 0 && in->n_row >= 0);
    *out = (alike){.n_arm = in->n_arm};
    out->arm = arena_take_zero(a, (size_t)in->n_arm, sizeof *out->arm, e);
    int64_t *row = arena_take(a, (size_t)in->n_row + 1, sizeof *row, e);
    if (!out->arm || !row) return false;
    for (int64_t i = 0; i < in->n_row; i++) {
        bool all = true;
        for (int32_t k = 0; k < in->n_arm; k++) all = all && in->text[k][i].n > 0;
        if (all) row[out->n++] = i;
    }
    out->n_left = in->n_row - out->n;
    rows r = {.in = in, .row = row, .n = out->n};
    for (int32_t k = 0; k < in->n_arm; k++) {
        for (int m = 0; m < ALIKE_MEASURES; m++)
            out->arm[k].measure[m] = stat_none(STAT_NO_CASES, 0, 0);
    }
    if (r.n == 0) return true;
    measure_lengths(&r, out);
    return bootstrap(&r, out, a, e);
}
