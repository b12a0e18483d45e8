/* cpu matmul: packing, the task list, and the loop over k blocks; the arithmetic is in
 * tile_in.h. */
#include "compute/cpu/int16_in.h"

#include <assert.h>
#include <string.h>

enum {
    FEW_COLUMNS = 256, /* outputs of a task of few rows */
    K_BLOCK = 768
}; /* a panel of it and a tile of rows stay in the second cache level */

int64_t cpu_k_block(const cpu_workspace *s, const tensor *w)
{
    const int64_t most = cpu_int16_takes(s, w->type) ? INT16_K : K_BLOCK;
    int64_t in = w->dim[1], unit = dtype_get(w->type)->block_size > 32 ? 256 : 32;
    int64_t blocks = (in + most - 1) / most;
    int64_t k = (in + blocks - 1) / blocks;
    k = (k + unit - 1) / unit * unit;
    return k < in ? k : in;
}

typedef struct pack_work {
    const cpu_workspace *space;
    const float *x;
    int64_t n, in;
} pack_work;

static void pack_task(void *context, int64_t tile, int thread)
{
    (void)thread;
    const pack_work *p = context;
    const cpu_kernels *kernels = p->space->kernels;
    int64_t height = kernels->tile_rows, first = tile * height;
    int64_t rows = p->n - first < height ? p->n - first : height;
    kernels->transpose(p->space->packed + first * p->in, height, p->x + first * p->in, p->in, rows,
                       p->in, height);
}

void cpu_pack_rows(backend *b, const float *x, int64_t n, int64_t in)
{
    pack_work p = {.space = b->workspace, .x = x, .n = n, .in = in};
    int64_t height = p.space->kernels->tile_rows, tiles = (n + height - 1) / height;
    assert(tiles * height <= p.space->rows_padded && in <= p.space->in_max);
    pool_run(b->threads, tiles, pack_task, &p);
}

typedef struct low_work {
    const cpu_workspace *space;
    float *low, *to;
    int64_t n, r;
    float scale;
} low_work;

static void low_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const low_work *w = context;
    const cpu_kernels *kernels = w->space->kernels;
    const int64_t height = kernels->tile_rows, r = w->r;
    for (int64_t tile = 8 * task; tile < 8 * task + 8 && tile * height < w->n; tile++) {
        int64_t row = tile * height, rows = w->n - row < height ? w->n - row : height;
        kernels->scale(w->low + row * r, w->low + row * r, w->scale, rows * r);
        kernels->transpose(w->to + row * r, height, w->low + row * r, r, rows, r, height);
    }
}

const float *cpu_pack_low(backend *b, tensor low, float scale, int slot)
{
    const cpu_workspace *s = b->workspace;
    low_work w = {.space = s, .low = low.data, .n = low.dim[0], .r = low.dim[1], .scale = scale};
    assert(w.r <= s->adapter_rank && w.n <= s->rows_padded && slot < ADAPTER_PARTS_MAX);
    w.to = s->low + slot * s->rows_padded * s->adapter_rank;
    int64_t rows = 8 * (int64_t)s->kernels->tile_rows;
    pool_run(b->threads, (w.n + rows - 1) / rows, low_task, &w);
    return w.to;
}

pack_job cpu_sixteen_rows(const weight_part *part, int64_t c, int64_t ahead)
{
    const tensor *w = part->w;
    const dtype_info *type = dtype_get(w->type);
    const int64_t bytes_row = w->dim[1] / type->block_size * type->block_bytes;
    const int64_t rows = part->count - c < PACK_ROWS ? part->count - c : PACK_ROWS;
    const unsigned char *row = (const unsigned char *)w->data + (part->first + c) * bytes_row;
    const bool woven = w->woven && rows >= PACK_ROWS;
    const int64_t before = part->k0 / type->block_size * type->block_bytes;
    assert(!woven || (part->first + c) % PACK_ROWS == 0);
    return (pack_job){.from = row + (woven ? PACK_ROWS : 1) * before,
                      .woven = woven,
                      .bytes_row = bytes_row,
                      .k = part->k,
                      .type = w->type,
                      .rows = (int32_t)(rows > 0 ? rows : 0),
                      .next = row + ahead * bytes_row + (woven ? 0 : PACK_ROWS * before),
                      .bytes_left = PACK_ROWS * (bytes_row - before)};
}

void cpu_pack_weights(const cpu_workspace *s, float *panels, weight_part part, int64_t width)
{
    const int64_t panel = s->kernels->panel;
    for (int64_t c = 0; c < width; c += PACK_ROWS) {
        pack_job t = cpu_sixteen_rows(&part, c, PACK_ROWS);
        t.to = panels + c / panel * panel * part.k + c % panel;
        t.ld = panel;
        s->kernels->pack(&t);
    }
}

typedef struct product { /* one list of tasks over all parts */
    const cpu_workspace *space;
    const matmul_part *part;
    const float *bias[MATMUL_PARTS_MAX];
    const float *low[MATMUL_PARTS_MAX];  /* packed scale x A^T of parts with an adapter */
    int64_t start[MATMUL_PARTS_MAX + 1]; /* first task of each part */
    int64_t n, in, columns;              /* columns of a task */
    int64_t stretches, tiles_a_stretch;  /* the rows are cut too when there are few columns */
    int n_part, threads;
    const float *rows; /* x itself */
    const float *few;  /* a few rows side by side, or NULL: by tiles */
} product;

void cpu_pack_panels(const cpu_workspace *s, float *panels, weight_part part, int64_t width)
{
    if (cpu_int16_takes(s, part.w->type)) cpu_int16_weights(s, (uint32_t *)panels, part, width);
    else cpu_pack_weights(s, panels, part, width);
}

void cpu_tile(const cpu_workspace *s, tile_job *t, const weight_part *part, const float *panels,
              int64_t row, int64_t column)
{
    t->k = part->k;
    if (cpu_int16_takes(s, part->w->type)) {
        cpu_int16_tile(s, t, part, row, panels, column);
        return;
    }
    t->a = s->packed + row * part->w->dim[1] + part->k0 * s->kernels->tile_rows;
    t->b = panels + column * part->k;
    s->kernels->tile(t);
}

/* All row tiles of this task against the panels of one k block. `last`: into y, by the step's rows;
 * else into the thread's own sums. */
static void multiply_block(const product *p, tile_job t, const weight_part *of, const float *panels,
                           int64_t first_tile, bool last)
{
    const cpu_kernels *kernels = p->space->kernels;
    const int64_t height = kernels->tile_rows, panel = kernels->panel;
    const int64_t end_tile = first_tile + p->tiles_a_stretch;
    const tile_job base = t;
    for (int64_t tile = first_tile; tile < end_tile && tile * height < p->n; tile++) {
        int64_t row = tile * height, local = (tile - first_tile) * height;
        t.rows = (int32_t)(p->n - row < height ? p->n - row : height);
        t.a2 = base.a2 + row * t.k2;
        for (int64_t c = 0; c < of->count; c += panel) {
            t.b2 = base.b2 + c * t.k2;
            t.columns = (int32_t)(base.columns - c);
            t.from = base.from ? base.from + local * TASK_COLUMNS + c : NULL;
            t.bias = base.bias ? base.bias + c : NULL;
            t.y = base.y + (last ? row : local) * base.ld + c;
            cpu_tile(p->space, &t, of, panels, row, c);
        }
    }
}

static void product_task(void *context, int64_t task, int thread)
{
    const product *p = context;
    const cpu_workspace *s = p->space;
    int64_t stretch = task % p->stretches;
    task /= p->stretches;
    int i = 0;
    while (task >= p->start[i + 1]) i++;
    const matmul_part *part = &p->part[i];
    const int64_t out = part->w.dim[0], block = cpu_k_block(s, &part->w);
    const int64_t first = (task - p->start[i]) * p->columns;
    const int64_t count = out - first < p->columns ? out - first : p->columns;
    const int64_t width = (count + s->kernels->panel - 1) / s->kernels->panel * s->kernels->panel;
    float *partial = s->partial + (size_t)thread * s->partial_size;
    for (int64_t k0 = 0; k0 < p->in; k0 += block) {
        int64_t k = p->in - k0 < block ? p->in - k0 : block;
        bool last = k0 + k == p->in;
        const weight_part block_of = {&part->w, first, count, k0, k};
        tile_job t = {
            .y = last ? (float *)part->y.data + first : partial,
            .ld = last ? out : TASK_COLUMNS,
            .from = k0 > 0 ? partial : NULL,
            .from_ld = TASK_COLUMNS,
            .bias = last && p->bias[i] ? p->bias[i] + first : NULL,
            .columns = (int32_t)(last ? count : width),
            .add = last && part->add,
        };
        if (last && p->low[i]) {
            const tensor *up = &part->adapter->b;
            cpu_pack_weights(s, cpu_low_panels(s, thread),
                             (weight_part){up, first, count, 0, up->dim[1]}, width);
            t.a2 = p->low[i], t.b2 = cpu_low_panels(s, thread), t.k2 = up->dim[1];
        }
        cpu_pack_panels(s, cpu_panels(s, thread), block_of, width);
        multiply_block(p, t, &block_of, cpu_panels(s, thread), stretch * p->tiles_a_stretch, last);
    }
}

static int64_t few_height(int64_t n) { return n == 1 ? 1 : FEW_ROWS; }

/* Few rows meet the weights as they are unpacked: panel after panel, in the order of the file. */
static void few_task(void *context, int64_t task, int thread)
{
    const product *p = context;
    const cpu_workspace *s = p->space;
    int i = 0;
    while (task >= p->start[i + 1]) i++;
    const matmul_part *part = &p->part[i];
    const int64_t out = part->w.dim[0], block = cpu_k_block(s, &part->w);
    const int64_t panel = s->kernels->few_panel;
    const int64_t first = (task - p->start[i]) * p->columns;
    const int64_t end = first + p->columns < out ? first + p->columns : out;
    float *partial = s->partial + (size_t)thread * s->partial_size;
    for (int64_t c = first; c < end; c += panel) {
        const int64_t count = end - c < panel ? end - c : panel;
        const int64_t ahead = c + panel < end ? panel : panel + (p->threads - 1) * p->columns;
        tile_job t = {.ld = panel, .from_ld = panel, .rows = (int32_t)p->n, .y = partial};
        for (int64_t k0 = 0; k0 < p->in; k0 += block) {
            t.k = p->in - k0 < block ? p->in - k0 : block;
            t.a = p->few + k0 * few_height(p->n);
            t.from = k0 > 0 ? partial : NULL;
            t.columns = (int32_t)panel;
            if (k0 + t.k == p->in) {
                t.y = (float *)part->y.data + c, t.ld = out, t.columns = (int32_t)count;
                t.bias = p->bias[i] ? p->bias[i] + c : NULL, t.add = part->add;
                if (p->low[i]) {
                    const weight_part up = {&part->adapter->b, c, count, 0, part->low.dim[1]};
                    cpu_pack_weights(s, cpu_low_panels(s, thread), up, panel);
                    t.a2 = p->low[i], t.b2 = cpu_low_panels(s, thread), t.k2 = up.k;
                }
            }
            pack_job from[FEW_PANEL_MAX / PACK_ROWS];
            const weight_part now = {&part->w, c, count, k0, t.k};
            for (int64_t h = 0; h < panel / PACK_ROWS; h++) {
                from[h] = cpu_sixteen_rows(&now, h * PACK_ROWS, ahead);
            }
            s->kernels->few(&t, from);
        }
    }
}

/* Narrow tasks when there are few outputs, stretches of rows when that is still too few for the
 * threads: the cut decides who computes an output, never how. */
static void plan_tasks(product *p)
{
    const int threads = p->threads;
    const cpu_kernels *kernels = p->space->kernels;
    int64_t outputs = 0, tiles = (p->n + kernels->tile_rows - 1) / kernels->tile_rows;
    for (int i = 0; i < p->n_part; i++) outputs += p->part[i].w.dim[0];
    const int64_t least = p->few ? kernels->few_panel : kernels->panel;
    p->columns = outputs / TASK_COLUMNS >= 8 * threads ? TASK_COLUMNS : least;
    if (p->few && outputs / FEW_COLUMNS >= 8 * threads) p->columns = FEW_COLUMNS;
    for (int i = 0; i < p->n_part; i++) {
        int64_t tasks = (p->part[i].w.dim[0] + p->columns - 1) / p->columns;
        p->start[i + 1] = p->start[i] + tasks;
    }
    int64_t tasks = p->start[p->n_part] ? p->start[p->n_part] : 1;
    p->stretches = tasks >= 2 * threads ? 1 : (2 * threads + tasks - 1) / tasks;
    if (p->stretches > (tiles + 7) / 8) p->stretches = (tiles + 7) / 8;
    assert(!p->few || p->stretches == 1);
    p->tiles_a_stretch = (tiles + p->stretches - 1) / p->stretches;
}

static bool takes_few(const product *p)
{
    bool few = p->n <= FEW_ROWS;
    for (int i = 0; i < p->n_part; i++) {
        few = few && p->space->kernels->takes_few(p->part[i].w.type) &&
              !cpu_int16_takes(p->space, p->part[i].w.type);
    }
    return few;
}

/* A row alone is as it should be already. */
static const float *pack_few(const product *p)
{
    if (p->n == 1) return p->rows;
    p->space->kernels->transpose(p->space->few, FEW_ROWS, p->rows, p->in, p->n, p->in, FEW_ROWS);
    return p->space->few;
}

static void run_product(backend *b, product *p)
{
    p->threads = pool_size(b->threads);
    p->few = takes_few(p) ? pack_few(p) : NULL;
    plan_tasks(p);
    pool_run(b->threads, p->start[p->n_part] * p->stretches, p->few ? few_task : product_task, p);
}

/* Do tiles of floats of x meet any of the parts' weights? */
static bool has_floats(const product *p)
{
    bool floats = false;
    for (int i = 0; i < p->n_part; i++) {
        floats |= !cpu_int16_takes(p->space, p->part[i].w.type);
    }
    return floats && !takes_few(p);
}

/* The adapters' scale x A^T, first; x is packed already, unless the weights are not met by tiles of
 * floats and A is. */
static void reduce(backend *b, product *p)
{
    matmul_part down[ADAPTER_PARTS_MAX];
    int slot[MATMUL_PARTS_MAX], n = 0;
    for (int i = 0; i < p->n_part; i++) {
        if (!p->part[i].adapter) continue;
        down[n] = (matmul_part){.y = p->part[i].low, .w = p->part[i].adapter->a};
        slot[i] = n++;
    }
    if (n == 0) return;
    product low = *p;
    low.part = down, low.n_part = n;
    memset(low.bias, 0, sizeof low.bias);
    if (!takes_few(&low) && !has_floats(p)) cpu_pack_rows(b, p->rows, p->n, p->in);
    run_product(b, &low);
    for (int i = 0; i < p->n_part; i++) {
        const matmul_part *part = &p->part[i];
        if (part->adapter) p->low[i] = cpu_pack_low(b, part->low, part->adapter->scale, slot[i]);
    }
}

/* As floats, rounded, or both, as the parts want it. */
static void pack_x(backend *b, const product *p)
{
    bool rounded = false;
    for (int i = 0; i < p->n_part; i++) {
        rounded |= cpu_int16_takes(p->space, p->part[i].w.type);
    }
    if (rounded) cpu_int16_rows(b, p->rows, p->n, p->in);
    if (has_floats(p)) cpu_pack_rows(b, p->rows, p->n, p->in);
}

void cpu_matmul(backend *b, tensor x, const matmul_part *part, int n_part)
{
    cpu_workspace *s = b->workspace;
    product p = {.space = s, .part = part, .n_part = n_part, .n = x.dim[0], .in = x.dim[1]};
    p.rows = x.data;
    for (int i = 0; i < n_part; i++) {
        if (!part[i].bias) continue;
        float *bias = s->vector + i * s->out_max;
        assert(part[i].w.dim[0] <= s->out_max);
        s->kernels->expand(bias, part[i].bias->type, part[i].bias->data, part[i].w.dim[0]);
        p.bias[i] = bias;
    }
    pack_x(b, &p);
    reduce(b, &p);
    run_product(b, &p);
}
