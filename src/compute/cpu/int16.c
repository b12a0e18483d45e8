/* cpu int16: rows and weights to the kernels of int16_in.h. */
#include "compute/cpu/int16_in.h"

#include <assert.h>

bool cpu_int16_takes(const cpu_workspace *s, dtype type)
{
    return s->int16.kernels && s->int16.kernels->group(type) > 0;
}

typedef struct round_work {
    const cpu_workspace *space;
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
        .x = w->x + first * w->in,
        .rows = w->n - first < height ? w->n - first : height,
        .in = w->in,
    };
    to->kernels->round(&t);
}

void cpu_int16_rows(backend *b, const float *x, int64_t n, int64_t in)
{
    round_work w = {.space = b->workspace, .x = x, .n = n, .in = in};
    const int64_t height = w.space->kernels->tile_rows, tiles = (n + height - 1) / height;
    assert(in % INT16_BLOCK == 0 && tiles * height <= w.space->rows_padded);
    assert(in <= w.space->in_max);
    pool_run(b->threads, tiles, round_task, &w);
}

void cpu_int16_weights(const cpu_workspace *s, uint32_t *panels, weight_part part, int64_t width)
{
    for (int64_t c = 0; c < width; c += PACK_ROWS) {
        pack_job t = cpu_sixteen_rows(&part, c, PACK_ROWS);
        s->int16.kernels->pack(&t, panels + c / PACK_ROWS * INT16_WORDS * part.k);
    }
}

void cpu_int16_tile(const cpu_workspace *s, const tile_job *t, const weight_part *part, int64_t row,
                    const uint32_t *panel)
{
    const int64_t height = s->kernels->tile_rows, in = part->w->dim[1];
    const int64_t block = (row * in + part->k0 * height) / INT16_BLOCK;
    const int16_job job = {
        .to = *t,
        .x = s->int16.x + block * INT16_BLOCK / 2,
        .x_scale = s->int16.scale + block,
        .x_sum = s->int16.sum + block,
        .x_sum_16 = s->int16.sum_16 + 2 * block,
        .panel = panel,
        .group = s->int16.kernels->group(part->w->type),
        .has_least = s->int16.kernels->has_least(part->w->type),
    };
    s->int16.kernels->tile(&job);
}
