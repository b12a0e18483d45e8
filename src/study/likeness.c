/* likeness: see likeness.h. */
#include "study/likeness.h"

#include "base/file.h"
#include "data/store_parts.h"
#include "stats/overlap.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

enum { ROUGE_1, ROUGE_2, ROUGE_L, EXACT, BY_ROW };
static const char *const row_names[BY_ROW] = {"rouge1", "rouge2", "rougeL", "exact"};

typedef struct tally { /* of one arm */
    int64_t n_text, n_row;
    double sum[BY_ROW], square[BY_ROW]; /* over rows, of the mean over a row's samples */
    stat_estimate bleu, chrf;
} tally;

bool likeness_wanted(const run *r) { return r->spec.data.reference.text.data != NULL; }

static bool measure(str reference, str text, double out[BY_ROW], arena *a, err *e)
{
    overlap_score one, two, l;
    overlap_options words = {.words = OVERLAP_UNICODE, .n = 1}, pairs = words;
    pairs.n = 2;
    if (!overlap_rouge_n(reference, text, words, a, &one, e) ||
        !overlap_rouge_n(reference, text, pairs, a, &two, e) ||
        !overlap_rouge_l(reference, text, words, a, &l, e))
        return false;
    out[ROUGE_1] = one.f;
    out[ROUGE_2] = two.f;
    out[ROUGE_L] = l.f;
    out[EXACT] = overlap_exact(reference, text, true);
    return true;
}

static void close_row(tally *t, double sum[BY_ROW], int32_t n)
{
    for (int k = 0; k < BY_ROW && n > 0; k++) {
        double mean = sum[k] / n;
        t->sum[k] += mean;
        t->square[k] += mean * mean;
        sum[k] = 0;
    }
    t->n_row += n > 0;
}

static bool tally_arm(run *r, int32_t arm, tally *t, err *e)
{
    store_samples s;
    const row_set *rows = &r->rows.scored;
    size_t mark = arena_mark(&r->memory);
    *t = (tally){0};
    if (!store_get_samples(r->store, arm, -1, &s, &r->memory, e)) return false;
    str *reference = arena_take(&r->memory, (size_t)s.n, sizeof *reference, e);
    double sum[BY_ROW] = {0}, own[BY_ROW];
    int32_t n = 0;
    for (int32_t i = 0; reference && i < s.n && e->code == ERR_NONE; i++) {
        size_t here = arena_mark(&r->memory);
        reference[i] = rows->reference[s.row[i]];
        if (i > 0 && s.row[i] != s.row[i - 1]) close_row(t, sum, n), n = 0;
        if (!measure(reference[i], s.text[i], own, &r->memory, e)) break;
        for (int k = 0; k < BY_ROW; k++) sum[k] += own[k];
        n++;
        arena_reset(&r->memory, here);
    }
    close_row(t, sum, n);
    t->n_text = s.n;
    overlap_corpus c = {.n = s.n, .generated = s.text, .n_reference = 1, .reference = reference};
    bool ok = e->code == ERR_NONE &&
              (s.n == 0 || (overlap_bleu(&c, OVERLAP_13A, true, &r->memory, &t->bleu, e) &&
                            overlap_chrf(&c, 2, false, &r->memory, &t->chrf, e)));
    arena_reset(&r->memory, mark);
    return ok;
}

static double half_width(const tally *t, int k)
{
    double n = (double)t->n_row, mean = t->sum[k] / n;
    double variance = n > 1 ? (t->square[k] - n * mean * mean) / (n - 1) : 0;
    return variance > 0 ? 1.959963984540054 * sqrt(variance / n) : 0;
}

static void write_arm(const tally *t, str name, bool first, buf *json, buf *shown)
{
    double n = t->n_row > 0 ? (double)t->n_row : 1;
    buf_printf(json, "%s\n  {\"name\": \"", first ? "" : ",");
    buf_add_json(json, name);
    buf_printf(json, "\", \"rows\": %lld, \"texts\": %lld", (long long)t->n_row,
               (long long)t->n_text);
    buf_printf(shown, "%-24.*s %6lld", (int)name.size, name.data, (long long)t->n_text);
    for (int k = 0; k < BY_ROW && t->n_row > 0; k++) {
        double mean = t->sum[k] / n, half = half_width(t, k);
        buf_printf(json, ", \"%s\": {\"value\": %.17g, \"low\": %.17g, \"high\": %.17g}",
                   row_names[k], mean, mean - half, mean + half);
        if (k == ROUGE_L)
            buf_printf(shown, "  %.3f (%.3f to %.3f)", mean, mean - half, mean + half);
        else buf_printf(shown, "  %.3f", mean);
    }
    if (t->bleu.has_value) buf_printf(json, ", \"bleu\": %.17g", t->bleu.value);
    if (t->chrf.has_value) buf_printf(json, ", \"chrf\": %.17g", t->chrf.value);
    if (t->bleu.has_value && t->chrf.has_value)
        buf_printf(shown, "  %5.1f  %5.1f", t->bleu.value, t->chrf.value);
    buf_add_char(json, '}');
    buf_add_char(shown, '\n');
}

bool likeness_report(run *r, const char *out, buf *shown, err *e)
{
    char path[4200];
    buf json = buf_up_to(1 << 24);
    assert(likeness_wanted(r) && r->store);
    buf_add_text(&json,
                 "{\"interval\": \"mean over rows, normal, 95 %\", \"words\": \"any script, "
                 "case folded\", \"bleu\": \"13a, smoothed\", \"chrf\": \"beta 2\", \"arms\": [");
    buf_printf(shown, "%-24s %6s  %s\n", "likeness to references", "texts",
               "ROUGE-1  -2     -L                      exact   BLEU   chrF");
    bool ok = true, first = true;
    for (int32_t i = 0; ok && i < r->spec.n_arm; i++) {
        tally t;
        if (r->spec.arms[i].ask.think.samples == 0) continue;
        ok = tally_arm(r, i, &t, e);
        if (ok) write_arm(&t, r->spec.arms[i].name.text, first, &json, shown);
        first = false;
    }
    buf_add_text(&json, "\n]}\n");
    snprintf(path, sizeof path, "%.4000s/likeness.json", out);
    ok = ok && buf_check(&json, "the likeness", e) && file_write_atomic(path, buf_view(&json), e);
    if (ok) buf_printf(shown, "\nlikeness: %s\n", path);
    buf_close(&json);
    return ok;
}
