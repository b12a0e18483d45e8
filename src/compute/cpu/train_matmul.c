/* cpu products of training, on the tiles of matmul.
 *
 *   dx [n,in] = dy [n,out] w    dy is packed like x of the forward product; a task owns a stretch
 *                               of inputs and expands it of each weight row into panels; the
 *                               adapter's dlow A follows in the same sums
 *   dw [out,in] += dy^T x       a task owns GRAD_ROWS x GRAD_COLUMNS of it and sums over the
 *                               batch's rows, which are read in place
 *
 * An output is summed by one task, k upwards, in blocks that the weight alone fixes: the threads
 * change nothing. */
#include "compute/cpu/train_in.h"

#include <assert.h>
#include <string.h>

typedef struct product {
    const cpu_workspace *space;
    tensor dx, w;
    const tensor *down;                /* the adapter's A; NULL: none */
    const float *low;                  /* packed dlow */
    int64_t n, columns, k_block, rows; /* of a task */
    int64_t stretches;                 /* of rows */
    bool add;
} product;

static void copy_row(float *to, const float *from, int64_t n, int64_t width)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) memcpy(to + i, from + i, 8 * sizeof *to);
    for (; i < n; i++) to[i] = from[i];
    for (; i < width; i++) to[i] = 0;
}

/* Rows [k0, k0 + k) of w, values [first, first + count), as panels [ceil(count / C)][k][C]. */
static void pack_back(const cpu_workspace *s, float *panels, weight_part part)
{
    const tensor *w = part.w; /* here first and count are values, k0 and k are rows */
    const dtype_info *type = dtype_get(w->type);
    const int64_t panel = s->kernels->panel, count = part.count;
    const int64_t bytes_row = w->dim[1] / type->block_size * type->block_bytes;
    float row[PANEL_WIDEST];
    assert(count <= PANEL_WIDEST && !w->woven);
    for (int64_t i = 0; i < part.k; i++) {
        const unsigned char *from = (const unsigned char *)w->data + (part.k0 + i) * bytes_row;
        from += part.first / type->block_size * type->block_bytes;
        const float *value = row;
        if (w->type == DTYPE_F32) value = (const float *)(const void *)from;
        else s->kernels->expand(row, w->type, from, count);
        for (int64_t c = 0; c < count; c += panel) {
            copy_row(panels + c * part.k + i * panel, value + c,
                     count - c < panel ? count - c : panel, panel);
        }
    }
}

static void matmul_back_task(void *context, int64_t task, int thread)
{
    const product *p = context;
    const cpu_workspace *s = p->space;
    const cpu_kernels *kernels = s->kernels;
    const int64_t in = p->w.dim[1], out = p->w.dim[0], height = kernels->tile_rows;
    const int64_t panel = kernels->panel, r = p->low ? p->down->dim[0] : 0;
    const int64_t first = task / p->stretches * p->columns, begin = task % p->stretches * p->rows;
    const int64_t count = in - first < p->columns ? in - first : p->columns;
    const int64_t end = begin + p->rows < p->n ? begin + p->rows : p->n;
    const float *panels = cpu_panels(s, thread), *low_panels = cpu_low_panels(s, thread);
    for (int64_t k0 = 0; k0 < out; k0 += p->k_block) {
        const int64_t k = out - k0 < p->k_block ? out - k0 : p->k_block;
        const bool more = r > 0 && k0 + k == out;
        pack_back(s, cpu_panels(s, thread), (weight_part){&p->w, first, count, k0, k});
        if (more) {
            pack_back(s, cpu_low_panels(s, thread), (weight_part){p->down, first, count, 0, r});
        }
        for (int64_t row = begin; row < end; row += height) {
            tile_job t = {.a = s->packed + row * out + k0 * height,
                          .k = k,
                          .ld = in,
                          .rows = (int32_t)(end - row < height ? end - row : height),
                          .add = p->add || k0 > 0};
            if (more) t.a2 = p->low + row * r, t.k2 = r;
            for (int64_t c = 0; c < count; c += panel) {
                t.b = panels + c * k;
                t.b2 = more ? low_panels + c * r : NULL;
                t.y = (float *)p->dx.data + row * in + first + c;
                t.columns = (int32_t)(count - c < panel ? count - c : panel);
                kernels->tile(&t);
            }
        }
    }
}

/* The rows are cut when the columns alone do not feed the threads: the cut decides who computes an
 * output, never how. */
static void run_back(backend *b, product *p)
{
    const int64_t unit = dtype_get(p->w.type)->block_size, in = p->w.dim[1];
    const int64_t threads = pool_size(b->threads), height = p->space->kernels->tile_rows;
    const bool narrow = unit <= 32 && in < 8 * threads * TASK_COLUMNS;
    p->columns = unit > TASK_COLUMNS ? PANEL_WIDEST : narrow ? TASK_COLUMNS / 2 : TASK_COLUMNS;
    p->k_block = unit > TASK_COLUMNS ? K_BLOCK_MAX * TASK_COLUMNS / PANEL_WIDEST : K_BLOCK_MAX;
    assert(p->columns % unit == 0);
    int64_t across = (in + p->columns - 1) / p->columns, most = (p->n + BACK_ROWS - 1) / BACK_ROWS;
    p->stretches = (8 * threads + across - 1) / across;
    if (threads == 1) p->stretches = 1;
    if (p->stretches > most) p->stretches = most;
    p->rows = (p->n + p->stretches - 1) / p->stretches;
    p->rows = (p->rows + height - 1) / height * height;
    pool_run(b->threads, across * p->stretches, matmul_back_task, p);
}

void cpu_matmul_back(backend *b, tensor dx, tensor dy, tensor w, bool add)
{
    product p = {.space = b->workspace, .dx = dx, .w = w, .n = dx.dim[0], .add = add};
    cpu_pack_rows(b, dy.data, dy.dim[0], dy.dim[1]);
    run_back(b, &p);
}

typedef struct grad_part { /* to [a's columns, b's columns] += a^T b, or its transpose */
    tensor a, b;
    float *to;
    bool turned;
} grad_part;

typedef struct grad_work {
    const cpu_workspace *space;
    const cpu_train_space *train;
    grad_part part[2];
    int64_t start[3];
} grad_work;

/* Rows n0 .. n0 + n of b, columns from `first`, where a whole panel would end past the row. */
static const float *edge_of(tensor b, float *to, int64_t n0, int64_t n, int64_t first)
{
    const int64_t all = b.dim[1], count = all - first;
    for (int64_t i = 0; i < n; i++) {
        copy_row(to + i * GRAD_COLUMNS, (const float *)b.data + (n0 + i) * all + first, count,
                 GRAD_COLUMNS);
    }
    return to;
}

static void grad_task(void *context, int64_t task, int thread)
{
    const grad_work *w = context;
    const int which = task >= w->start[1];
    const grad_part *p = &w->part[which];
    const int64_t n = p->a.dim[0], height = p->a.dim[1], width = p->b.dim[1];
    const int64_t across = (width + GRAD_COLUMNS - 1) / GRAD_COLUMNS,
                  panel = w->space->kernels->panel;
    task -= w->start[which];
    const int64_t column = task % across * GRAD_COLUMNS, row = task / across * GRAD_ROWS;
    const int64_t count = width - column < GRAD_COLUMNS ? width - column : GRAD_COLUMNS;
    const int64_t rows = height - row < GRAD_ROWS ? height - row : GRAD_ROWS;
    float *sum = w->train->grad + (size_t)thread * w->train->grad_size;
    float *edge = sum + GRAD_ROWS * GRAD_COLUMNS;
    memset(sum, 0, (size_t)(rows * GRAD_COLUMNS) * sizeof *sum);
    for (int64_t n0 = 0; n0 < n; n0 += GRAD_K) {
        const int64_t k = n - n0 < GRAD_K ? n - n0 : GRAD_K;
        const bool whole = count % panel == 0;
        const float *b = whole ? (const float *)p->b.data + n0 * width + column
                               : edge_of(p->b, edge, n0, k, column);
        for (int64_t c = 0; c < count; c += panel) {
            outer_job t = {.a = (const float *)p->a.data + n0 * height + row,
                           .b = b + c,
                           .to = sum + c,
                           .a_step = height,
                           .b_step = whole ? width : GRAD_COLUMNS,
                           .k = k,
                           .ld = GRAD_COLUMNS,
                           .rows = rows};
            w->space->kernels->outer(&t);
        }
    }
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < count; j++) {
            const int64_t at =
                p->turned ? (column + j) * height + row + i : (row + i) * width + column + j;
            p->to[at] += sum[i * GRAD_COLUMNS + j];
        }
    }
}

static void run_grad(backend *b, grad_work *w, int n_part)
{
    w->space = b->workspace;
    w->train = b->train_space;
    for (int i = 0; i < 2; i++) {
        int64_t tasks = 0;
        if (i < n_part) {
            const grad_part *p = &w->part[i];
            tasks = (p->a.dim[1] + GRAD_ROWS - 1) / GRAD_ROWS;
            tasks *= (p->b.dim[1] + GRAD_COLUMNS - 1) / GRAD_COLUMNS;
        }
        w->start[i + 1] = w->start[i] + tasks;
    }
    pool_run(b->threads, w->start[2], grad_task, w);
}

void cpu_weight_grad(backend *b, tensor dw, tensor dy, tensor x)
{
    grad_work w = {.part = {{.a = dy, .b = x, .to = dw.data}}};
    run_grad(b, &w, 1);
}

void cpu_product_back(backend *b, const back_part *part)
{
    cpu_workspace *s = b->workspace;
    const lora_pair *pair = part->adapter;
    const int64_t n = part->dy.dim[0];
    assert(!pair || part->low.data);
    if (part->dx || pair) cpu_pack_rows(b, part->dy.data, n, part->dy.dim[1]);
    product p = {.space = s, .w = part->w, .n = n, .add = part->add};
    if (pair) {
        product low = {.space = s, .dx = part->dlow, .w = pair->b, .n = n};
        run_back(b, &low);
        p.down = &pair->a;
        p.low = cpu_pack_low(b, part->dlow, pair->scale, 0);
    }
    if (part->dx) {
        p.dx = *part->dx;
        run_back(b, &p);
    }
    if (!pair) return;
    grad_work w = {.part = {{.a = part->dlow, .b = part->x, .to = pair->da.data},
                            {.a = part->low, .b = part->dy, .to = pair->db.data, .turned = true}}};
    run_grad(b, &w, 2);
}
