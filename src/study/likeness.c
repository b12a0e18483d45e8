/* likeness: see likeness.h. */
#include "study/likeness.h"

#include "data/store_parts.h"
#include "stats/alike.h"

#include <assert.h>

enum { FACT_BYTES_MAX = 1 << 29 };

bool likeness_wanted(const run *r) { return r->spec.data.reference.text.data != NULL; }

/* One text; `t` holds sums until the row is closed. */
static bool add_text(str reference, str text, alike_text *t, arena *a, err *e)
{
    overlap_score one, two, l;
    overlap_counts counts;
    overlap_options words = {.words = OVERLAP_UNICODE, .n = 1}, pairs = words;
    int64_t n_word = 0;
    pairs.n = 2;
    if (!overlap_rouge_n(reference, text, words, a, &one, e) ||
        !overlap_rouge_n(reference, text, pairs, a, &two, e) ||
        !overlap_rouge_l(reference, text, words, a, &l, e) ||
        !overlap_count(reference, text, a, &counts, e) ||
        !overlap_word_count(text, OVERLAP_UNICODE, a, &n_word, e))
        return false;
    t->mean[ALIKE_ROUGE_1] += one.f;
    t->mean[ALIKE_ROUGE_2] += two.f;
    t->mean[ALIKE_ROUGE_L] += l.f;
    t->mean[ALIKE_EXACT] += overlap_exact(reference, text, true);
    t->words += (double)n_word;
    overlap_counts_add(&t->counts, &counts, 1);
    t->n++;
    return true;
}

static void write_numbers(buf *out, const double *x, int n)
{
    for (int i = 0; i < n; i++) buf_printf(out, " %.17g", x[i]);
}

static void write_row(buf *out, int32_t arm, int32_t row, int64_t reference_words, alike_text *t)
{
    const overlap_counts *c = &t->counts;
    for (int m = 0; m < ALIKE_MEANS; m++) t->mean[m] /= t->n;
    buf_printf(out, "%d %d %lld %d", arm, row, (long long)reference_words, t->n);
    write_numbers(out, t->mean, ALIKE_MEANS);
    buf_printf(out, " %.17g", t->words / t->n);
    write_numbers(out, c->match, OVERLAP_BLEU_ORDER);
    write_numbers(out, c->total, OVERLAP_BLEU_ORDER);
    buf_printf(out, " %.17g %.17g", c->generated, c->reference);
    write_numbers(out, c->same, OVERLAP_CHRF_ORDER);
    write_numbers(out, c->drawn, OVERLAP_CHRF_ORDER);
    write_numbers(out, c->wanted, OVERLAP_CHRF_ORDER);
    buf_add_char(out, '\n');
}

static bool record_arm(run *r, int32_t arm, buf *out, err *e)
{
    store_samples s;
    const row_set *rows = &r->rows.scored;
    size_t mark = arena_mark(&r->memory);
    bool ok = store_get_samples(r->store, arm, -1, &s, &r->memory, e);
    for (int32_t i = 0; ok && i < s.n;) {
        const int32_t row = s.row[i];
        const str reference = rows->reference[row];
        alike_text t = {0};
        int64_t n_word = 0;
        ok = overlap_word_count(reference, OVERLAP_UNICODE, &r->memory, &n_word, e);
        for (; ok && i < s.n && s.row[i] == row; i++) {
            size_t here = arena_mark(&r->memory);
            ok = add_text(reference, s.text[i], &t, &r->memory, e);
            arena_reset(&r->memory, here);
        }
        if (ok) write_row(out, arm, row, n_word, &t);
    }
    arena_reset(&r->memory, mark);
    return ok;
}

bool likeness_record(run *r, err *e)
{
    assert(likeness_wanted(r) && r->store);
    buf lines = buf_up_to(FACT_BYTES_MAX);
    bool ok = true;
    for (int32_t i = 0; ok && i < r->spec.n_arm; i++) {
        if (r->spec.arms[i].ask.think.samples > 0) ok = record_arm(r, i, &lines, e);
    }
    ok = ok && buf_check(&lines, "the likeness", e) &&
         store_set(r->store, "likeness", buf_view(&lines), e);
    buf_close(&lines);
    return ok;
}
