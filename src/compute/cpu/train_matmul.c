/* cpu products of training, on the tiles of matmul.
 *
 *   dx [n,in] = dy [n,out] w    dy is packed like x of the forward product; a task owns a stretch
 *                               of inputs and expands it of each weight row into panels
 *   dw [out,in] += dy^T x       the sum runs over the batch's rows, GRAD_K of them at a time
 *
 * An output is summed by one task, k upwards: the threads change nothing. */
#include "compute/cpu/train_in.h"

#include <assert.h>
#include <string.h>

typedef struct product {
    const cpu_workspace *space;
    const cpu_train_space *train;
    tensor dx, dy, w;
    int64_t columns; /* of a task */
    bool add;
} product;

/* Rows [k0, k0 + k) of w, values [first, first + count), as panels [ceil(count / C)][k][C]. */
static void pack_back(const product *p, int64_t first, int64_t count, int64_t k0, int64_t k,
                      int thread)
{
    const cpu_workspace *s = p->space;
    const dtype_info *type = dtype_get(p->w.type);
    const int64_t panel = s->kernels->panel;
    const int64_t bytes_row = p->w.dim[1] / type->block_size * type->block_bytes;
    float *panels = s->panel + thread * (int64_t)(K_BLOCK_MAX * TASK_COLUMNS);
    float row[EXPAND_MAX];
    assert(count <= EXPAND_MAX);
    for (int64_t i = 0; i < k; i++) {
        const unsigned char *from = (const unsigned char *)p->w.data + (k0 + i) * bytes_row;
        from += first / type->block_size * type->block_bytes;
        const float *value = row;
        if (p->w.type == DTYPE_F32) value = (const float *)(const void *)from;
        else s->kernels->expand(row, p->w.type, from, count);
        for (int64_t c = 0; c < count; c += panel) {
            int64_t n = count - c < panel ? count - c : panel;
            float *to = panels + c * k + i * panel;
            memcpy(to, value + c, (size_t)n * sizeof *to);
            if (n < panel) memset(to + n, 0, (size_t)(panel - n) * sizeof *to);
        }
    }
}

static void matmul_back_task(void *context, int64_t task, int thread)
{
    const product *p = context;
    const cpu_kernels *kernels = p->space->kernels;
    const int64_t in = p->w.dim[1], out = p->w.dim[0], n = p->dx.dim[0];
    const int64_t height = kernels->tile_rows, panel = kernels->panel;
    const int64_t first = task * p->columns;
    const int64_t count = in - first < p->columns ? in - first : p->columns;
    const float *panels = p->space->panel + thread * (int64_t)(K_BLOCK_MAX * TASK_COLUMNS);
    for (int64_t k0 = 0; k0 < out; k0 += BACK_K) {
        int64_t k = out - k0 < BACK_K ? out - k0 : BACK_K;
        pack_back(p, first, count, k0, k, thread);
        for (int64_t row = 0; row < n; row += height) {
            tile_job t = {.a = p->space->packed + row * out + k0 * height,
                          .k = k,
                          .ld = in,
                          .rows = (int32_t)(n - row < height ? n - row : height),
                          .add = p->add || k0 > 0};
            for (int64_t c = 0; c < count; c += panel) {
                t.b = panels + c * k;
                t.y = (float *)p->dx.data + row * in + first + c;
                t.columns = (int32_t)(count - c < panel ? count - c : panel);
                kernels->tile(&t);
            }
        }
    }
}

void cpu_matmul_back(backend *b, tensor dx, tensor dy, tensor w, bool add)
{
    product p = {.space = b->workspace, .dx = dx, .dy = dy, .w = w, .add = add};
    const int64_t unit = dtype_get(w.type)->block_size;
    p.columns = unit > 64 ? unit : w.dim[1] >= 64 * 4 * pool_size(b->threads) ? 128 : 64;
    assert(p.columns <= BACK_COLUMNS && p.columns % unit == 0);
    cpu_pack_rows(b, dy.data, dy.dim[0], dy.dim[1]);
    pool_run(b->threads, (w.dim[1] + p.columns - 1) / p.columns, matmul_back_task, &p);
}

/* [k][width] = columns [first, first + width) of rows k0.. of x; past the last column, zeros. */
static void copy_columns(float *to, tensor x, int64_t k0, int64_t k, int64_t first, int64_t width)
{
    const int64_t all = x.dim[1];
    int64_t n = all - first < width ? all - first : width;
    if (n < 0) n = 0;
    for (int64_t i = 0; i < k; i++) {
        const float *from = (const float *)x.data + (k0 + i) * all + first;
        memcpy(to + i * width, from, (size_t)n * sizeof *to);
        if (n < width) memset(to + i * width + n, 0, (size_t)(width - n) * sizeof *to);
    }
}

static void weight_grad_task(void *context, int64_t task, int thread)
{
    const product *p = context; /* dx is dw, w is x */
    const cpu_kernels *kernels = p->space->kernels;
    const int64_t out = p->dx.dim[0], in = p->dx.dim[1], n = p->dy.dim[0];
    const int64_t height = kernels->tile_rows, panel = kernels->panel;
    const int64_t across = (in + GRAD_COLUMNS - 1) / GRAD_COLUMNS;
    const int64_t column = task % across * GRAD_COLUMNS, strip = task / across;
    const int64_t count = in - column < GRAD_COLUMNS ? in - column : GRAD_COLUMNS;
    float *panels = p->train->grad + (size_t)thread * p->train->grad_size;
    float *tile = panels + GRAD_K * GRAD_COLUMNS;
    for (int64_t k0 = 0; k0 < n; k0 += GRAD_K) {
        const int64_t k = n - k0 < GRAD_K ? n - k0 : GRAD_K;
        for (int64_t c = 0; c < count; c += panel) {
            copy_columns(panels + c * k, p->w, k0, k, column + c, panel);
        }
        for (int64_t i = 0; i < GRAD_TILES; i++) {
            const int64_t row = (strip * GRAD_TILES + i) * height;
            if (row >= out) break;
            copy_columns(tile, p->dy, k0, k, row, height);
            tile_job t = {.a = tile, .k = k, .ld = in, .add = true};
            t.rows = (int32_t)(out - row < height ? out - row : height);
            for (int64_t c = 0; c < count; c += panel) {
                t.b = panels + c * k;
                t.y = (float *)p->dx.data + row * in + column + c;
                t.columns = (int32_t)(count - c < panel ? count - c : panel);
                kernels->tile(&t);
            }
        }
    }
}

void cpu_weight_grad(backend *b, tensor dw, tensor dy, tensor x)
{
    product p = {.space = b->workspace, .train = b->train_space, .dx = dw, .dy = dy, .w = x};
    const int64_t strip = (int64_t)GRAD_TILES * p.space->kernels->tile_rows;
    const int64_t across = (dw.dim[1] + GRAD_COLUMNS - 1) / GRAD_COLUMNS;
    pool_run(b->threads, across * ((dw.dim[0] + strip - 1) / strip), weight_grad_task, &p);
}
