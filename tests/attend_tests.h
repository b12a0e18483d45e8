/* attend_tests: what the tests of attention share, on the CPU and on a GPU: a small tree of spans
 * with random lengths, tensors by heads, and the widths that are tried. */
#ifndef CASELOAD_TESTS_ATTEND_TESTS_H
#define CASELOAD_TESTS_ATTEND_TESTS_H

#include "backend_tests.h" /* beside this file */

static inline tensor heads_of(place *p, rng *r, int64_t n, int64_t h, int64_t hd)
{
    tensor t = randoms(p, r, n, h * hd);
    t.rank = 3, t.dim[1] = h, t.dim[2] = hd;
    return t;
}

typedef struct job { /* a small tree: a head, cases under it, each with its own rows */
    attend_span span[8];
    attend_range range[24];
    attend_plan plan;
    int32_t rows, slots;
} job;

typedef struct job_size {
    int n_span;
    int32_t head, middle, own; /* middle: fewer; own: up to */
} job_size;

/* Cases share a head; each has a middle segment of its own, then its own rows. */
static inline void job_make_sized(job *j, rng *r, job_size size, float softcap, int32_t window)
{
    const int32_t head = size.head;
    *j = (job){.plan = {.scale = 0.2f, .softcap = softcap, .window = window}};
    int32_t slot = head, n_range = 0;
    j->plan.n_span = size.n_span;
    for (int i = 0; i < size.n_span; i++) {
        int32_t middle = (int32_t)rng_below(r, (uint64_t)size.middle);
        int32_t own = 1 + (int32_t)rng_below(r, (uint64_t)size.own);
        attend_span *s = &j->span[i];
        *s = (attend_span){.row = j->rows, .count = own, .position = head + middle};
        s->first_range = n_range;
        s->n_range = 3;
        j->range[n_range++] = (attend_range){.slot = 0, .count = head, .position = 0};
        j->range[n_range++] = (attend_range){.slot = slot, .count = middle, .position = head};
        slot += middle;
        j->range[n_range++] = (attend_range){.slot = slot, .count = own, .position = s->position};
        slot += own;
        j->rows += own;
    }
    j->slots = slot;
    j->plan.span = j->span;
    j->plan.range = j->range;
}

static inline void job_make(job *j, rng *r, int n_span, int32_t head, float softcap, int32_t window)
{
    job_make_sized(j, r, (job_size){n_span, head, 140, 90}, softcap, window);
}

/* Rows `first` to `first + n` of a span as a plan of their own; later rows are not there yet. */
typedef struct job_piece {
    attend_span span;
    attend_range range[3];
    attend_plan plan;
    int32_t row;
} job_piece;

static inline void job_piece_make(job_piece *piece, const job *j, int i, int32_t first, int32_t n)
{
    const attend_span *s = &j->span[i];
    memcpy(piece->range, j->range + s->first_range, sizeof piece->range);
    piece->range[2].count = first + n;
    piece->row = s->row + first;
    piece->span = (attend_span){.count = n, .position = s->position + first, .n_range = 3};
    piece->plan = j->plan;
    piece->plan.span = &piece->span, piece->plan.range = piece->range, piece->plan.n_span = 1;
}

static const int32_t job_dims[] = {2, 8, 16, 30, 32, 64, 80, 96, 128, 256};

#endif
