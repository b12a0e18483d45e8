/* overlap: the scores; see overlap.h. Words and n-grams are in overlap_words.c. */
#include "stats/overlap_in.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* Equal beta of 1: the harmonic mean. */
static overlap_score score_of(double match, double n_generated, double n_reference)
{
    overlap_score s = {0};
    if (n_generated > 0) s.precision = match / n_generated;
    if (n_reference > 0) s.recall = match / n_reference;
    if (match > 0) s.f = 2 * s.precision * s.recall / (s.precision + s.recall);
    return s;
}

typedef struct two_texts { /* 0: reference, 1: generated */
    word_list list[2];
    int32_t *id[2];
} two_texts;

static bool read_two(str reference, str generated, overlap_options o, arena *a, two_texts *t,
                     err *e)
{
    return overlap_split(reference, o, a, &t->list[0], e) &&
           overlap_split(generated, o, a, &t->list[1], e) &&
           overlap_number(t->list, 2, a, t->id, e);
}

bool overlap_rouge_n(str reference, str generated, overlap_options o, arena *scratch,
                     overlap_score *out, err *e)
{
    assert(o.n >= 0 && o.n <= 9);
    int32_t n = o.n ? o.n : 1;
    size_t mark = arena_mark(scratch);
    two_texts t;
    gram_list grams[2];
    bool fine = read_two(reference, generated, o, scratch, &t, e);
    for (int k = 0; k < 2 && fine; k++)
        fine = overlap_grams(t.id[k], t.list[k].n, n, scratch, &grams[k], e);
    if (fine)
        *out = score_of((double)overlap_matches(&grams[1], &grams[0], 1), (double)grams[1].n,
                        (double)grams[0].n);
    arena_reset(scratch, mark);
    return fine;
}

/* Length of the longest common subsequence, two rows at a time. */
static int64_t lcs_length(const int32_t *a, int64_t n, const int32_t *b, int64_t m, int32_t *row)
{
    for (int64_t j = 0; j <= m; j++) row[j] = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t corner = 0;
        for (int64_t j = 0; j < m; j++) {
            int32_t above = row[j + 1];
            if (a[i] == b[j]) row[j + 1] = corner + 1;
            else if (row[j] > above) row[j + 1] = row[j];
            corner = above;
        }
    }
    return row[m];
}

static bool too_long(const two_texts *t, err *e)
{
    for (int k = 0; k < 2; k++) {
        if (t->list[k].n <= OVERLAP_WORDS_MAX) continue;
        err_set(e, ERR_DATA, "a text has %lld words; ROUGE-L is computed for at most %d",
                (long long)t->list[k].n, OVERLAP_WORDS_MAX);
        return true;
    }
    return false;
}

bool overlap_rouge_l(str reference, str generated, overlap_options o, arena *scratch,
                     overlap_score *out, err *e)
{
    size_t mark = arena_mark(scratch);
    two_texts t;
    bool fine = read_two(reference, generated, o, scratch, &t, e) && !too_long(&t, e);
    int32_t *row = fine ? arena_take(scratch, (size_t)t.list[1].n + 1, sizeof *row, e) : NULL;
    if (row) {
        int64_t length = lcs_length(t.id[0], t.list[0].n, t.id[1], t.list[1].n, row);
        *out = score_of((double)length, (double)t.list[1].n, (double)t.list[0].n);
    }
    arena_reset(scratch, mark);
    return row != NULL;
}

/* --- ROUGE-Lsum --- */

enum { SENTENCES_MAX = 2000 };

typedef struct
    sentences { /* words of all sentences in a row; sentence k is from[k] .. from[k + 1] */
    word_list words;
    int32_t *from;
    int32_t n;
} sentences;

static bool split_sentences(str s, overlap_options o, arena *a, sentences *out, err *e)
{
    out->from = arena_take(a, SENTENCES_MAX + 1, sizeof *out->from, e);
    out->words.word = arena_take(a, s.size + 1, sizeof *out->words.word, e);
    out->words.n = out->n = 0;
    if (!out->from || !out->words.word) return false;
    for (size_t i = 0, start = 0; i <= s.size; i++) {
        word_list line;
        if (i < s.size && s.data[i] != '\n') continue;
        if (!overlap_split(str_part(s, start, i - start), o, a, &line, e)) return false;
        start = i + 1;
        if (line.n == 0) continue;
        if (out->n == SENTENCES_MAX)
            return err_set(e, ERR_DATA, "a text has over %d sentences", SENTENCES_MAX);
        out->from[out->n++] = (int32_t)out->words.n;
        for (int64_t k = 0; k < line.n; k++) out->words.word[out->words.n++] = line.word[k];
    }
    out->from[out->n] = (int32_t)out->words.n;
    return true;
}

typedef struct id_span { /* words as numbers */
    const int32_t *id;
    int32_t n;
} id_span;

/* Marks in hit[x.n] the words of x that lie on the longest common subsequence with y. */
static bool mark_lcs(id_span x, id_span y, uint8_t *hit, arena *space, err *e)
{
    const int32_t *a = x.id, *b = y.id;
    int32_t n = x.n, m = y.n;
    size_t mark = arena_mark(space), wide = (size_t)m + 1;
    int32_t *table = arena_take_zero(space, ((size_t)n + 1) * wide, sizeof *table, e);
    if (!table) return false;
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < m; j++) {
            int32_t *at = table + ((size_t)i + 1) * wide + (size_t)j + 1;
            int32_t up = at[-(ptrdiff_t)wide], left = at[-1], corner = at[-(ptrdiff_t)wide - 1];
            *at = a[i] == b[j] ? corner + 1 : up > left ? up : left;
        }
    }
    for (int32_t i = n, j = m; i > 0 && j > 0;) {
        const int32_t *at = table + (size_t)i * wide + (size_t)j;
        if (a[i - 1] == b[j - 1]) hit[--i] = 1, j--;
        else if (at[-1] > at[-(ptrdiff_t)wide]) j--;
        else i--;
    }
    arena_reset(space, mark);
    return true;
}

typedef struct lsum {
    sentences text[2];
    int32_t *id[2];
    int32_t *left[2]; /* [words] how often each word may still be counted */
} lsum;

static void count_words(lsum *l)
{
    for (int k = 0; k < 2; k++) {
        for (int64_t i = 0; i < l->text[k].words.n; i++) l->left[k][l->id[k][i]]++;
    }
}

/* Hits of one reference sentence: the union over generated sentences, each word as often as both
 * texts have it. */
static bool union_hits(lsum *l, int32_t sentence, double *hits, arena *a, err *e)
{
    const sentences *r = &l->text[0], *g = &l->text[1];
    int32_t from = r->from[sentence], n = r->from[sentence + 1] - from;
    uint8_t *hit = arena_take_zero(a, (size_t)n, 1, e);
    if (!hit) return false;
    for (int32_t k = 0; k < g->n; k++) {
        id_span own = {l->id[0] + from, n};
        id_span other = {l->id[1] + g->from[k], g->from[k + 1] - g->from[k]};
        if (!mark_lcs(own, other, hit, a, e)) return false;
    }
    for (int32_t i = 0; i < n; i++) {
        int32_t id = l->id[0][from + i];
        if (!hit[i] || l->left[0][id] == 0 || l->left[1][id] == 0) continue;
        l->left[0][id]--;
        l->left[1][id]--;
        ++*hits;
    }
    return true;
}

static bool rouge_lsum(str reference, str generated, overlap_options o, arena *a,
                       overlap_score *out, err *e)
{
    lsum l;
    if (!split_sentences(reference, o, a, &l.text[0], e) ||
        !split_sentences(generated, o, a, &l.text[1], e))
        return false;
    word_list list[2] = {l.text[0].words, l.text[1].words};
    if (!overlap_number(list, 2, a, l.id, e)) return false;
    size_t n_word = (size_t)(list[0].n + list[1].n);
    for (int k = 0; k < 2; k++) l.left[k] = arena_take_zero(a, n_word, sizeof(int32_t), e);
    if (!l.left[0] || !l.left[1]) return false;
    count_words(&l);
    double hits = 0;
    for (int32_t s = 0; s < l.text[0].n; s++) {
        if (!union_hits(&l, s, &hits, a, e)) return false;
    }
    *out = score_of(hits, (double)list[1].n, (double)list[0].n);
    return true;
}

bool overlap_rouge_lsum(str reference, str generated, overlap_options o, arena *scratch,
                        overlap_score *out, err *e)
{
    size_t mark = arena_mark(scratch);
    bool fine = rouge_lsum(reference, generated, o, scratch, out, e);
    arena_reset(scratch, mark);
    return fine;
}

/* --- BLEU --- */

enum { REFERENCES_MAX = 16 };

typedef struct bleu_counts {
    double match[OVERLAP_BLEU_ORDER], total[OVERLAP_BLEU_ORDER], generated, reference;
} bleu_counts;

/* Adds one segment: list[0] generated, then its references. */
static bool add_segment(const word_list *list, int32_t n_reference, bleu_counts *c, arena *a,
                        err *e)
{
    int32_t *id[REFERENCES_MAX + 1];
    if (!overlap_number(list, n_reference + 1, a, id, e)) return false;
    int64_t n = list[0].n, best = -1, gap = INT64_MAX;
    for (int32_t k = 1; k <= n_reference; k++) {
        int64_t far = llabs(list[k].n - n);
        if (far < gap || (far == gap && list[k].n < best)) gap = far, best = list[k].n;
    }
    c->generated += (double)n;
    c->reference += (double)best;
    for (int32_t order = 1; order <= OVERLAP_BLEU_ORDER; order++) {
        gram_list own, others[REFERENCES_MAX];
        if (!overlap_grams(id[0], n, order, a, &own, e)) return false;
        for (int32_t k = 0; k < n_reference; k++) {
            if (!overlap_grams(id[k + 1], list[k + 1].n, order, a, &others[k], e)) return false;
        }
        c->total[order - 1] += (double)own.n;
        c->match[order - 1] += (double)overlap_matches(&own, others, n_reference);
    }
    return true;
}

static double bleu_of(const bleu_counts *c, bool smooth)
{
    double sum = 0, halves = 1, any = 0;
    for (int k = 0; k < OVERLAP_BLEU_ORDER; k++) any += c->match[k];
    if (any == 0) return 0;
    for (int k = 0; k < OVERLAP_BLEU_ORDER; k++) {
        double top = c->match[k];
        if (c->total[k] == 0) return 0;
        if (top == 0 && !smooth) return 0;
        if (top == 0) top = 1 / (halves *= 2);
        sum += log(top / c->total[k]);
    }
    double brevity = c->generated < c->reference ? exp(1 - c->reference / c->generated) : 1;
    return 100 * brevity * exp(sum / OVERLAP_BLEU_ORDER);
}

bool overlap_bleu(const overlap_corpus *c, overlap_bleu_words words, bool smooth, arena *scratch,
                  stat_estimate *out, err *e)
{
    assert(c->n_reference >= 1 && c->n_reference <= REFERENCES_MAX);
    bleu_counts counts = {0};
    *out = stat_none(c->n ? STAT_OK : STAT_NO_CASES, c->n, 0);
    size_t mark = arena_mark(scratch);
    bool fine = true;
    for (int64_t i = 0; i < c->n && fine; i++) {
        word_list list[REFERENCES_MAX + 1];
        fine = overlap_split_bleu(c->generated[i], words, scratch, &list[0], e);
        for (int32_t k = 0; k < c->n_reference && fine; k++)
            fine = overlap_split_bleu(c->reference[k * c->n + i], words, scratch, &list[k + 1], e);
        fine = fine && add_segment(list, c->n_reference, &counts, scratch, e);
        arena_reset(scratch, mark);
    }
    if (fine && c->n > 0) {
        out->has_value = true;
        out->value = bleu_of(&counts, smooth);
    }
    return fine;
}

/* --- chrF --- */

typedef struct chrf_counts {
    double generated[OVERLAP_CHRF_ORDER], reference[OVERLAP_CHRF_ORDER], match[OVERLAP_CHRF_ORDER];
} chrf_counts;

static double f_beta(double precision, double recall, double beta)
{
    double bottom = beta * beta * precision + recall;
    return bottom > 0 ? (1 + beta * beta) * precision * recall / bottom : 0;
}

static double chrf_of(const chrf_counts *c, double beta, bool every_order)
{
    double sum = 0, precision = 0, recall = 0, n = 0;
    for (int k = 0; k < OVERLAP_CHRF_ORDER; k++) {
        if (c->generated[k] == 0 || c->reference[k] == 0) continue;
        double p = c->match[k] / c->generated[k], r = c->match[k] / c->reference[k];
        sum += f_beta(p, r, beta);
        precision += p;
        recall += r;
        n++;
    }
    if (n == 0) return 0;
    if (every_order) return 100 * sum / OVERLAP_CHRF_ORDER;
    return 100 * f_beta(precision / n, recall / n, beta);
}

static bool decode_dense(str s, arena *a, code_text *t, err *e)
{
    if (!overlap_decode(s, a, t, e)) return false;
    int64_t n = 0;
    for (int64_t i = 0; i < t->n; i++) {
        if (!overlap_is_space(t->code[i])) t->code[n++] = t->code[i];
    }
    t->n = n;
    return true;
}

static bool chrf_segment(str generated, str reference, chrf_counts *c, arena *a, err *e)
{
    code_text g, r;
    *c = (chrf_counts){0};
    if (!decode_dense(generated, a, &g, e) || !decode_dense(reference, a, &r, e)) return false;
    for (int32_t order = 1; order <= OVERLAP_CHRF_ORDER; order++) {
        gram_list own, other;
        if (!overlap_grams(g.code, g.n, order, a, &own, e) ||
            !overlap_grams(r.code, r.n, order, a, &other, e))
            return false;
        c->generated[order - 1] =
            other.n ? (double)own.n : 0; /* no reference of this order: no say */
        c->reference[order - 1] = (double)other.n;
        c->match[order - 1] = (double)overlap_matches(&own, &other, 1);
    }
    return true;
}

bool overlap_chrf(const overlap_corpus *c, double beta, bool every_order, arena *scratch,
                  stat_estimate *out, err *e)
{
    assert(c->n_reference >= 1 && beta > 0);
    chrf_counts sum = {0};
    *out = stat_none(c->n ? STAT_OK : STAT_NO_CASES, c->n, 0);
    for (int64_t i = 0; i < c->n; i++) {
        chrf_counts best = {0};
        double best_score = -1;
        for (int32_t k = 0; k < c->n_reference; k++) { /* the reference that fits best */
            size_t mark = arena_mark(scratch);
            chrf_counts one;
            if (!chrf_segment(c->generated[i], c->reference[k * c->n + i], &one, scratch, e))
                return false;
            arena_reset(scratch, mark);
            double score = chrf_of(&one, beta, every_order);
            if (score > best_score) best = one, best_score = score;
        }
        for (int k = 0; k < OVERLAP_CHRF_ORDER; k++) {
            sum.generated[k] += best.generated[k];
            sum.reference[k] += best.reference[k];
            sum.match[k] += best.match[k];
        }
    }
    out->has_value = c->n > 0;
    if (out->has_value) out->value = chrf_of(&sum, beta, every_order);
    return true;
}

/* --- counts of one text --- */

static bool count(str reference, str generated, arena *a, overlap_counts *out, err *e)
{
    word_list list[2];
    bleu_counts b = {0};
    chrf_counts c;
    if (!overlap_split_bleu(generated, OVERLAP_13A, a, &list[0], e) ||
        !overlap_split_bleu(reference, OVERLAP_13A, a, &list[1], e) ||
        !add_segment(list, 1, &b, a, e) || !chrf_segment(generated, reference, &c, a, e))
        return false;
    *out = (overlap_counts){.generated = b.generated, .reference = b.reference};
    memcpy(out->match, b.match, sizeof b.match);
    memcpy(out->total, b.total, sizeof b.total);
    memcpy(out->same, c.match, sizeof c.match);
    memcpy(out->drawn, c.generated, sizeof c.generated);
    memcpy(out->wanted, c.reference, sizeof c.reference);
    return true;
}

bool overlap_count(str reference, str generated, arena *scratch, overlap_counts *out, err *e)
{
    size_t mark = arena_mark(scratch);
    bool fine = count(reference, generated, scratch, out, e);
    arena_reset(scratch, mark);
    return fine;
}

void overlap_counts_add(overlap_counts *sum, const overlap_counts *c, double times)
{
    for (int k = 0; k < OVERLAP_BLEU_ORDER; k++) {
        sum->match[k] += times * c->match[k];
        sum->total[k] += times * c->total[k];
    }
    sum->generated += times * c->generated;
    sum->reference += times * c->reference;
    for (int k = 0; k < OVERLAP_CHRF_ORDER; k++) {
        sum->same[k] += times * c->same[k];
        sum->drawn[k] += times * c->drawn[k];
        sum->wanted[k] += times * c->wanted[k];
    }
}

double overlap_counts_bleu(const overlap_counts *c)
{
    bleu_counts b = {.generated = c->generated, .reference = c->reference};
    memcpy(b.match, c->match, sizeof b.match);
    memcpy(b.total, c->total, sizeof b.total);
    return bleu_of(&b, true);
}

double overlap_counts_chrf(const overlap_counts *c)
{
    chrf_counts s;
    memcpy(s.match, c->same, sizeof s.match);
    memcpy(s.generated, c->drawn, sizeof s.generated);
    memcpy(s.reference, c->wanted, sizeof s.reference);
    return chrf_of(&s, 2, false);
}

bool overlap_word_count(str text, overlap_words words, arena *scratch, int64_t *n, err *e)
{
    word_list list;
    size_t mark = arena_mark(scratch);
    bool fine = overlap_split(text, (overlap_options){.words = words}, scratch, &list, e);
    *n = fine ? list.n : 0;
    arena_reset(scratch, mark);
    return fine;
}
