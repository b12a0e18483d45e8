/* texts: see texts.h. The fact is read line by line; each number is checked. */
#include "view/texts_in.h"

#include "base/hash.h"
#include "view/evidence.h"
#include "view/json_out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAIRS_SHOWN_MAX = 28 };

/* ---- reading ---- */

typedef struct lines { /* of the fact, read from `rest` on */
    const char *rest;
    alike_text **text;       /* [n_arm of the study]; NULL: no line yet */
    double *reference_words; /* [n_row] */
    int32_t n_row, n_arm;    /* of the study */
} lines;

static bool next_number(lines *l, double *out)
{
    char *end = NULL;
    if (*l->rest == '\n' || *l->rest == '\0') return false;
    *out = strtod(l->rest, &end);
    if (end == l->rest || !isfinite(*out) || *out < 0) return false;
    l->rest = *end == ' ' ? end + 1 : end;
    return true;
}

static bool next_numbers(lines *l, double *out, int n)
{
    for (int i = 0; i < n; i++) {
        if (!next_number(l, &out[i])) return false;
    }
    return true;
}

static bool next_text(lines *l, double *words, alike_text *t)
{
    double n;
    overlap_counts *c = &t->counts;
    if (!next_number(l, words) || !next_number(l, &n) || n < 1 || n > 1e6) return false;
    t->n = (int32_t)n;
    return next_numbers(l, t->mean, ALIKE_MEANS) && next_number(l, &t->words) &&
           next_numbers(l, c->match, OVERLAP_BLEU_ORDER) &&
           next_numbers(l, c->total, OVERLAP_BLEU_ORDER) && next_number(l, &c->generated) &&
           next_number(l, &c->reference) && next_numbers(l, c->same, OVERLAP_CHRF_ORDER) &&
           next_numbers(l, c->drawn, OVERLAP_CHRF_ORDER) &&
           next_numbers(l, c->wanted, OVERLAP_CHRF_ORDER);
}

static bool read_line(lines *l, arena *a, err *e)
{
    double arm, row, words;
    alike_text t = {0};
    bool ok = next_number(l, &arm) && next_number(l, &row) && arm < l->n_arm &&
              next_text(l, &words, &t) && *l->rest == '\n';
    if (!ok) return err_set(e, ERR_DATA, "study.db: its record of the likeness is damaged");
    l->rest++;
    alike_text **own = &l->text[(int32_t)arm];
    if (row >= l->n_row) return true; /* a tune row */
    if (!*own) *own = arena_take_zero(a, (size_t)l->n_row, sizeof **own, e);
    if (!*own) return false;
    (*own)[(int32_t)row] = t;
    l->reference_words[(int32_t)row] = words;
    return true;
}

static bool read_lines(lines *l, gather *g, err *e)
{
    arena *a = &g->memory;
    size_t n_arm = (size_t)g->study.n_arm, n_row = (size_t)g->study.n_row;
    *l = (lines){.rest = gather_fact(g, "likeness"),
                 .text = arena_take_zero(a, n_arm, sizeof *l->text, e),
                 .reference_words = arena_take_zero(a, n_row, sizeof(double), e),
                 .n_row = g->study.n_row,
                 .n_arm = g->study.n_arm};
    if (!l->text || !l->reference_words) return false;
    while (*l->rest) {
        if (!read_line(l, a, e)) return false;
    }
    return true;
}

bool texts_read(texts *t, gather *g, err *e)
{
    lines l;
    arena *a = &g->memory;
    const char *study = gather_fact(g, "study_sha256");
    *t = (texts){.g = g, .there = gather_fact(g, "likeness")[0] != '\0'};
    if (!t->there) return true;
    if (!read_lines(&l, g, e)) return false;
    int32_t *arm = arena_take(a, (size_t)l.n_arm, sizeof *arm, e), n = 0;
    int32_t *patient = arena_take(a, (size_t)l.n_row, sizeof *patient, e);
    if (!arm || !patient) return false;
    for (int32_t k = 0; k < l.n_arm; k++) {
        if (!l.text[k]) continue;
        arm[n] = k;
        l.text[n++] = l.text[k];
    }
    for (int32_t i = 0; i < l.n_row; i++) patient[i] = g->study.row[i].patient;
    t->arm = arm;
    alike_input in = {.n_arm = n,
                      .n_row = l.n_row,
                      .text = (const alike_text *const *)l.text,
                      .reference_words = l.reference_words,
                      .patient = patient,
                      .seed = hash_to_seed(hash_of(study, strlen(study))),
                      .threads = pool_open(0, e)};
    bool ok = in.threads && alike_judge(&in, a, &t->found, e);
    pool_close(in.threads);
    return ok;
}

/* ---- tables ---- */

static const char *unit(const texts *t) { return t->found.by_patient ? "patients" : "texts"; }

static void add_estimate(sheet *s, const stat_estimate *o, int decimals)
{
    buf text = buf_up_to(200);
    evidence_add(&text, o, decimals);
    sheet_add(s, buf_view(&text));
    buf_close(&text);
}

void texts_arms(const texts *t, sheet *s)
{
    const alike *f = &t->found;
    sheet_open(s, "S8", "Generated texts beside their references");
    sheet_column(s, "arm", false);
    sheet_column(s, "texts", true);
    for (int m = 0; m < ALIKE_MEASURES; m++) {
        char name[80];
        snprintf(name, sizeof name, "%s (95 %% CI)", alike_name((alike_measure)m));
        sheet_column(s, name, true);
    }
    sheet_column(s, "words a text", true);
    sheet_column(s, "in parts of its reference", true);
    for (int32_t k = 0; k < f->n_arm; k++) {
        const alike_arm *arm = &f->arm[k];
        sheet_add(s, str_of(texts_arm_name(t, k)));
        sheet_printf(s, "%lld", (long long)arm->n_text);
        for (int m = 0; m < ALIKE_MEASURES; m++)
            add_estimate(s, &arm->measure[m], alike_decimals((alike_measure)m));
        sheet_printf(s, "%.1f", arm->words);
        sheet_printf(s, "%.2f", arm->share);
    }
    sheet_note(s,
               "%lld rows%s; a reference has %.1f words (mean). ROUGE: F of words of any script "
               "(Lin 2004) and exact match, means over rows, 0 to 1. BLEU (Papineni and others "
               "2002, 13a words, smoothed) and chrF (Popović 2015, beta 2): of all texts together, "
               "0 to 100. Intervals: bootstrap of %s, percentile.",
               (long long)f->n, f->n_left > 0 ? " with a text in every arm" : "",
               f->reference_words, unit(t));
    sheet_note(s, "These count shared words, not shared facts: a text can score well and be wrong. "
                  "They stand beside readers' judgement.");
}

static void add_gap(sheet *s, const boot_gap *g, double p_holm, int decimals)
{
    const stat_estimate *o = &g->estimate;
    buf text = buf_up_to(200);
    if (!o->has_value) evidence_add(&text, o, decimals);
    else evidence_add_signed(&text, o->value, decimals);
    if (o->has_value && o->has_interval) {
        buf_add_text(&text, " (");
        evidence_add_signed(&text, o->low, decimals);
        buf_add_text(&text, " to ");
        evidence_add_signed(&text, o->high, decimals);
        buf_add_char(&text, ')');
    }
    sheet_add(s, buf_view(&text));
    for (int i = 0; i < 2; i++) {
        buf_clear(&text);
        evidence_add_p(&text, o->has_value, i ? p_holm : g->p);
        sheet_add(s, buf_view(&text));
    }
    buf_close(&text);
}

static const alike_measure compared[] = {ALIKE_ROUGE_L, ALIKE_BLEU, ALIKE_CHRF};

void texts_pairs(const texts *t, sheet *s)
{
    const alike *f = &t->found;
    bool all = f->n_pair <= PAIRS_SHOWN_MAX;
    sheet_open(s, "S9", "Differences in likeness between arms, on the same rows");
    if (f->n_pair == 0) return;
    sheet_column(s, "arm", false);
    sheet_column(s, "less arm", false);
    for (size_t i = 0; i < countof(compared); i++) {
        sheet_column(s, alike_name(compared[i]), true);
        sheet_column(s, "p", true);
        sheet_column(s, "p, Holm", true);
    }
    for (int32_t k = 0; k < f->n_pair; k++) {
        const alike_pair *q = &f->pair[k];
        if (!all && q->a != 0) continue;
        sheet_add(s, str_of(texts_arm_name(t, q->b)));
        sheet_add(s, str_of(texts_arm_name(t, q->a)));
        for (size_t i = 0; i < countof(compared); i++) {
            alike_measure m = compared[i];
            add_gap(s, &q->gap[m], q->p_holm[m], alike_decimals(m));
        }
    }
    sheet_note(s,
               "Paired: the same draws of %s for both arms (bootstrap, percentile; Koehn 2004). "
               "Holm's p allows for all %d pairs of a measure.%s",
               unit(t), (int)f->n_pair,
               all ? "" : " Shown against the first arm; likeness.json has every pair.");
}

/* ---- likeness.json, the terminal ---- */

static void json_estimate(buf *b, const char *key, const stat_estimate *o)
{
    json_open(b, key, '{');
    json_number(b, "value", o->has_value, o->value);
    json_number(b, "low", o->has_interval, o->low);
    json_number(b, "high", o->has_interval, o->high);
    json_close(b, '}');
}

static void json_arm(const texts *t, int32_t k, buf *b)
{
    const alike_arm *arm = &t->found.arm[k];
    const report_arm *about = &t->g->in.arm[t->arm[k]];
    json_open(b, NULL, '{');
    json_text(b, "name", about->name);
    json_whole(b, "rows", t->found.n);
    json_whole(b, "texts", arm->n_text);
    for (int m = 0; m < ALIKE_MEASURES; m++)
        json_estimate(b, alike_key((alike_measure)m), &arm->measure[m]);
    json_number(b, "words", true, arm->words);
    json_number(b, "words_share_of_reference", true, arm->share);
    json_whole(b, "tokens_generated", t->g->ways[t->arm[k]].n_token);
    json_whole(b, "tokens_forwarded", about->n_forwarded);
    json_number(b, "seconds", true, about->seconds);
    json_close(b, '}');
}

static void json_pair(const texts *t, const alike_pair *q, buf *b)
{
    json_open(b, NULL, '{');
    json_text(b, "arm", texts_arm_name(t, q->b));
    json_text(b, "less", texts_arm_name(t, q->a));
    for (int m = 0; m < ALIKE_MEASURES; m++) {
        const stat_estimate *o = &q->gap[m].estimate;
        json_open(b, alike_key((alike_measure)m), '{');
        json_number(b, "difference", o->has_value, o->value);
        json_number(b, "low", o->has_interval, o->low);
        json_number(b, "high", o->has_interval, o->high);
        json_number(b, "p", o->has_value, q->gap[m].p);
        json_number(b, "p_holm", o->has_value, q->p_holm[m]);
        json_close(b, '}');
    }
    json_close(b, '}');
}

void texts_json(const texts *t, const char *key, buf *out)
{
    const alike *f = &t->found;
    json_open(out, key, '{');
    json_text(out, "interval",
              f->by_patient ? "bootstrap of patients, percentile, 95 %"
                            : "bootstrap of rows, percentile, 95 %");
    json_text(out, "words", "any script, case folded");
    json_text(out, "bleu", "13a, smoothed");
    json_text(out, "chrf", "beta 2");
    json_whole(out, "rows", f->n);
    json_whole(out, "rows_without_a_text", f->n_left);
    json_number(out, "reference_words", true, f->reference_words);
    json_open(out, "arms", '[');
    for (int32_t k = 0; k < f->n_arm; k++) json_arm(t, k, out);
    json_close(out, ']');
    json_open(out, "pairs", '[');
    for (int32_t k = 0; k < f->n_pair; k++) json_pair(t, &f->pair[k], out);
    json_close(out, ']');
    json_close(out, '}');
}

void texts_table(const texts *t, buf *shown)
{
    buf_printf(shown, "%-24s %6s  %s\n", "likeness to references", "texts",
               "ROUGE-1  -2     -L                      exact   BLEU   chrF  words");
    for (int32_t k = 0; k < t->found.n_arm; k++) {
        const alike_arm *arm = &t->found.arm[k];
        buf_printf(shown, "%-24s %6lld", texts_arm_name(t, k), (long long)arm->n_text);
        for (int m = 0; m < ALIKE_MEANS; m++) {
            const stat_estimate *o = &arm->measure[m];
            buf_printf(shown, "  %.3f", o->value);
            if (m == ALIKE_ROUGE_L) buf_printf(shown, " (%.3f to %.3f)", o->low, o->high);
        }
        buf_printf(shown, "  %5.1f  %5.1f  %5.1f\n", arm->measure[ALIKE_BLEU].value,
                   arm->measure[ALIKE_CHRF].value, arm->words);
    }
}
