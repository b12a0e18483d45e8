/* Two texts, parted by a 0 byte, through every score of generated text: all stay in their ranges, a
 * text against itself is perfect when it has words at all, and swapping the two swaps precision and
 * recall. */
#include "stats/overlap.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const overlap_score *s)
{
    if (!(s->precision >= 0 && s->precision <= 1 && s->recall >= 0 && s->recall <= 1)) abort();
    if (!(s->f >= 0 && s->f <= 1)) abort();
}

static void check_rouge(str a, str b, arena *space)
{
    err e = {0};
    for (int k = 0; k < 8; k++) {
        overlap_options o = {.words = k & 1, .stem = k & 2, .n = k & 4 ? 2 : 1};
        overlap_score s, turned, l;
        if (!overlap_rouge_n(a, b, o, space, &s, &e)) abort();
        if (!overlap_rouge_n(b, a, o, space, &turned, &e)) abort();
        check(&s);
        if (s.precision != turned.recall || s.recall != turned.precision) abort();
        if (!overlap_rouge_n(a, a, o, space, &s, &e)) abort();
        if (s.f != 0 && s.f != 1) abort();
        if (overlap_rouge_l(a, b, o, space, &l, &e)) check(&l);
        if (overlap_rouge_lsum(a, b, o, space, &l, &e)) check(&l);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err e = {0};
    arena space;
    if (size > 600) return 0;
    size_t cut = 0;
    while (cut < size && data[cut]) cut++;
    str a = {(const char *)data, cut}, b = {(const char *)data + cut, 0};
    if (cut < size) b = (str){(const char *)data + cut + 1, size - cut - 1};
    if (!arena_open(&space, (size_t)1 << 24, "fuzz", &e)) return 0;
    check_rouge(a, b, &space);
    overlap_corpus c = {.n = 1, .generated = &a, .n_reference = 1, .reference = &b};
    for (int k = 0; k < 6; k++) {
        stat_estimate o;
        if (!overlap_bleu(&c, k % 3, k > 2, &space, &o, &e)) abort();
        if (!(o.value >= 0 && o.value <= 100.0000001)) abort();
        if (!overlap_chrf(&c, 1 + k % 3, k > 2, &space, &o, &e)) abort();
        if (!(o.value >= 0 && o.value <= 100.0000001)) abort();
    }
    if (!overlap_exact(a, a, false) || !overlap_exact(b, b, true)) abort();
    if (overlap_exact(a, b, true) != overlap_exact(b, a, true)) abort();
    arena_close(&space);
    return 0;
}
