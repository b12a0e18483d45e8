/* cpu int16: rows and weights to the kernels of int16_in.h. */
#include "compute/cpu/int16_in.h"

#include <assert.h>

bool cpu_int16_takes(const cpu_workspace *s, dtype type)
{
    return s->int16.kernels && s->int16.kernels->group(type) > 0;
}

typedef struct round_work {
    cpu_workspace *space;
    const float *x;
    int64_t n, in;
} round_work;

static void round_task(void *context, int64_t tile, int thread)
{
    (void)thread;
    const round_work *w = context;
    const int16_space *to = &w->space->int16;
    const int64_t height = w->space->kernels->tile_rows, first = tile * height;
    const int16_round t = {
        .to = to->x + first * w->in / 2,
        .scale = to->scale + first * w->in / INT16_BLOCK,
        .sum = to->sum + first * w->in / INT16_BLOCK,
        .sum_16 = to->sum_16 + 2 * first * w->in / INT16_BLOCK,
        .q_sum = to->q_sum,
        .x = w->x + first * w->in,
        .rows = w->n - first < height ? w->n - first : height,
        .in = w->in,
    };
    if (to->one) to->kernels->round_one(&t);
    else to->kernels->round(&t);
}

void cpu_int16_rows(backend *b, const float *x, int64_t n, int64_t in)
{
    round_work w = {.space = b->workspace, .x = x, .n = n, .in = in};
    const int64_t height = w.space->kernels->tile_rows, tiles = (n + height - 1) / height;
    assert(in % INT16_BLOCK == 0 && tiles * height <= w.space->rows_padded);
    assert(in <= w.space->in_max);
    w.space->int16.one = n == 1;
    pool_run(b->threads, tiles, round_task, &w);
}

void cpu_int16_weights(const cpu_workspace *s, uint32_t *panels, weight_part part, int64_t width)
{
    for (int64_t c = 0; c < width && !s->int16.one; c += PACK_ROWS) {
        pack_job t = cpu_sixteen_rows(&part, c, PACK_ROWS);
        s->int16.kernels->pack(&t, panels + c / PACK_ROWS * INT16_WORDS * part.k);
    }
}

/* One row alone and C outputs from `column` on. */
static void one_row(const cpu_workspace *s, int16_job *job, const weight_part *part, int64_t column)
{
    enum { SIXTEENS = 2 }; /* most of a panel */
    pack_job from[SIXTEENS];
    const int64_t k0 = part->k0;
    job->x = s->int16.x + k0 / 2;
    job->x_scale = s->int16.scale + k0 / INT16_BLOCK;
    job->x_sum = s->int16.sum + k0 / INT16_BLOCK;
    job->x_sum_16 = s->int16.sum_16 + k0 / PACK_ROWS;
    job->q_sum = s->int16.q_sum + k0 / PACK_ROWS;
    assert(s->kernels->panel <= SIXTEENS * PACK_ROWS);
    for (int64_t h = 0; h < s->kernels->panel / PACK_ROWS; h++) {
        from[h] = cpu_sixteen_rows(part, column + h * PACK_ROWS, s->kernels->panel);
    }
    s->int16.kernels->one(job, from);
}

void cpu_int16_tile(const cpu_workspace *s, const tile_job *t, const weight_part *part, int64_t row,
                    const float *panels, int64_t column)
{
    const int64_t height = s->kernels->tile_rows, in = part->w->dim[1];
    const int64_t block = (row * in + part->k0 * height) / INT16_BLOCK;
    const uint32_t *words = (const uint32_t *)panels;
    int16_job job = {
        .to = *t,
        .x = s->int16.x + block * INT16_BLOCK / 2,
        .x_scale = s->int16.scale + block,
        .x_sum = s->int16.sum + block,
        .x_sum_16 = s->int16.sum_16 + 2 * block,
        .panel = words + column / PACK_ROWS * INT16_WORDS * part->k,
        .group = s->int16.kernels->group(part->w->type),
        .has_least = s->int16.kernels->has_least(part->w->type),
    };
    if (s->int16.one) one_row(s, &job, part, column);
    else s->int16.kernels->tile(&job);
}
