/* cpu: the op tables, the workspace and the row-wise ops (embedding, norm, rotation, gate, add,
 * gather). Row-wise work is shared among the threads in stretches of rows; each row is computed
 * alone. */
#include "compute/cpu/int16_in.h"
#include "compute/cpu/train_in.h"

#include <assert.h>
#include <cpuid.h>
#include <string.h>

enum {
    SHARE_FLOATS = 16384
}; /* below this many values a step of row-wise work is not worth a list */

bool cpu_has_avx2(void)
{
    unsigned a, b, c, d;
    bool halves =
        __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C); /* no name of its own in clang */
    return halves && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool cpu_has_avx512(void)
{
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

bool cpu_has_vnni(void) { return cpu_has_avx512() && __builtin_cpu_supports("avx512vnni"); }

/* Row-wise work: rows first .. first + count of whatever `context` is. */
typedef struct row_work {
    void (*run)(const void *context, int64_t first, int64_t count);
    const void *context;
    int64_t n, step;
} row_work;

static void row_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const row_work *w = context;
    int64_t first = task * w->step;
    w->run(w->context, first, w->n - first < w->step ? w->n - first : w->step);
}

static void share_rows(backend *b, row_work w, int64_t floats_a_row)
{
    int64_t least =
        floats_a_row >= SHARE_FLOATS / 4 ? 1 : SHARE_FLOATS / 4 / (floats_a_row + 1) + 1;
    if (w.n * floats_a_row < SHARE_FLOATS || pool_size(b->threads) == 1) {
        w.run(w.context, 0, w.n);
        return;
    }
    w.step = (w.n + 4 * pool_size(b->threads) - 1) / (4 * pool_size(b->threads));
    if (w.step < least) w.step = least;
    pool_run(b->threads, (w.n + w.step - 1) / w.step, row_task, &w);
}

typedef struct row_args { /* what the ops below hand to their rows */
    const cpu_kernels *kernels;
    float *y;
    const float *x, *w; /* w: norm weights, gate, or rotation table */
    const unsigned char *packed;
    const tensor *woven; /* NULL: rows lie one after the other */
    const int32_t *ids;
    int64_t width, bytes_row, heads, turned; /* turned: dimensions of a head that rope turns */
    float scale, eps;
    dtype type;
    rope_style style;
    glu_kind kind;
} row_args;

static row_args args_of(backend *b, tensor y, int64_t width)
{
    cpu_workspace *s = b->workspace;
    return (row_args){.kernels = s->kernels, .y = y.data, .width = width};
}

static void expand_woven(const row_args *a, float *y, int64_t row)
{
    unsigned char stored[4 * EXPAND_MAX];
    for (int64_t i = 0; i < a->width; i += EXPAND_MAX) {
        const int64_t n = a->width - i < EXPAND_MAX ? a->width - i : EXPAND_MAX;
        cpu_unweave(stored, a->woven, row, i, n);
        a->kernels->expand(y + i, a->type, stored, n);
    }
}

static void embed_rows(const void *context, int64_t first, int64_t count)
{
    const row_args *a = context;
    for (int64_t i = first; i < first + count; i++) {
        float *y = a->y + i * a->width;
        if (a->woven) expand_woven(a, y, a->ids[i]);
        else a->kernels->expand(y, a->type, a->packed + a->ids[i] * a->bytes_row, a->width);
        if (a->scale != 1) a->kernels->scale(y, y, a->scale, a->width);
    }
}

static void cpu_embed(backend *b, tensor y, tensor w, const int32_t *ids, float scale)
{
    row_args a = args_of(b, y, y.dim[1]);
    a.packed = w.data, a.woven = w.woven ? &w : NULL, a.type = w.type, a.ids = ids, a.scale = scale;
    bool whole = dtype_row_bytes(w.type, w.dim[1], &a.bytes_row);
    assert(whole);
    share_rows(b, (row_work){.run = embed_rows, .context = &a, .n = y.dim[0]}, a.width);
}

static void rmsnorm_rows(const void *context, int64_t first, int64_t count)
{
    const row_args *a = context;
    for (int64_t i = first; i < first + count; i++) {
        a->kernels->rmsnorm(a->y + i * a->width, a->x + i * a->width, a->w, a->eps, a->width);
    }
}

static void cpu_rmsnorm(backend *b, tensor y, tensor x, tensor w, float eps, float w_plus)
{
    cpu_workspace *s = b->workspace;
    row_args a = args_of(b, y, w.dim[0]);
    assert(a.width <= s->out_max);
    s->kernels->expand(s->vector, w.type, w.data, a.width);
    if (w_plus != 0) {
        for (int64_t i = 0; i < a.width; i++) s->vector[i] += w_plus;
    }
    a.x = x.data, a.w = s->vector, a.eps = eps;
    int64_t n = tensor_count(&x) / a.width;
    share_rows(b, (row_work){.run = rmsnorm_rows, .context = &a, .n = n}, a.width);
}

static void rope_rows(const void *context, int64_t first, int64_t count)
{
    const row_args *a = context;
    int64_t head_dim = a->width / a->heads;
    for (int64_t i = first; i < first + count; i++) {
        for (int64_t h = 0; h < a->heads; h++) {
            a->kernels->rope(a->y + i * a->width + h * head_dim, a->w + a->ids[i] * a->turned,
                             a->style, a->turned, 1);
        }
    }
}

static void cpu_rope(backend *b, tensor x, const int32_t *positions, tensor table, rope_style style)
{
    row_args a = args_of(b, x, x.dim[1] * x.dim[2]);
    a.w = table.data, a.ids = positions, a.heads = x.dim[1], a.style = style;
    a.turned = table.dim[1];
    share_rows(b, (row_work){.run = rope_rows, .context = &a, .n = x.dim[0]}, a.width);
}

static void glu_rows(const void *context, int64_t first, int64_t count)
{
    const row_args *a = context;
    int64_t at = first * a->width;
    a->kernels->glu(a->y + at, a->w + at, a->x + at, a->kind, count * a->width);
}

static void cpu_glu(backend *b, tensor y, tensor gate, tensor up, glu_kind kind)
{
    row_args a = args_of(b, y, tensor_count(&y) / y.dim[0]);
    a.w = gate.data, a.x = up.data, a.kind = kind;
    share_rows(b, (row_work){.run = glu_rows, .context = &a, .n = y.dim[0]}, 4 * a.width);
}

static void add_rows(const void *context, int64_t first, int64_t count)
{
    const row_args *a = context;
    a->kernels->add(a->y + first * a->width, a->x + first * a->width, count * a->width);
}

static void cpu_add(backend *b, tensor y, tensor x)
{
    row_args a = args_of(b, y, tensor_count(&y) / y.dim[0]);
    a.x = x.data;
    share_rows(b, (row_work){.run = add_rows, .context = &a, .n = y.dim[0]}, a.width);
}

static void gather_rows(const void *context, int64_t first, int64_t count)
{
    const row_args *a = context;
    for (int64_t i = first; i < first + count; i++) {
        memcpy(a->y + i * a->width, a->x + a->ids[i] * a->width, (size_t)a->width * sizeof *a->y);
    }
}

static void cpu_gather(backend *b, tensor y, tensor x, const int32_t *rows)
{
    row_args a = args_of(b, y, y.dim[1]);
    a.x = x.data, a.ids = rows;
    share_rows(b, (row_work){.run = gather_rows, .context = &a, .n = y.dim[0]}, a.width);
}

static void scatter_rows(const void *context, int64_t first, int64_t count)
{
    const row_args *a = context;
    for (int64_t i = first; i < first + count; i++) {
        memcpy(a->y + a->ids[i] * a->width, a->x + i * a->width, (size_t)a->width * sizeof *a->y);
    }
}

static void cpu_scatter(backend *b, tensor y, tensor x, const int32_t *rows)
{
    row_args a = args_of(b, y, y.dim[1]);
    a.x = x.data, a.ids = rows;
    share_rows(b, (row_work){.run = scatter_rows, .context = &a, .n = x.dim[0]}, a.width);
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t up_to(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

static void *take(arena *a, int64_t count, int64_t each, size_t size, err *e)
{
    size_t n = 0;
    if (!size_multiply((size_t)count, (size_t)each, &n)) {
        err_set(e, ERR_RESOURCE, "the model's sizes are too large for this machine");
        return NULL;
    }
    return arena_take(a, n, size, e);
}

static void lay_out_int16(int16_space *s, const cpu_workspace *all, arena *a, err *e)
{
    const int64_t in = up_to(all->in_max, INT16_BLOCK), rows = all->rows_padded;
    s->x = take(a, rows, in / 2, sizeof *s->x, e);
    s->scale = take(a, rows, in / INT16_BLOCK, sizeof *s->scale, e);
    s->sum = take(a, rows, in / INT16_BLOCK, sizeof *s->sum, e);
    s->sum_16 = take(a, rows, 2 * in / INT16_BLOCK, sizeof *s->sum_16, e);
    s->q_sum = take(a, 2 * in / INT16_BLOCK, 1, sizeof *s->q_sum, e);
}

typedef struct kernel_set {
    const cpu_kernels *floats;
    const int16_kernels *int16; /* NULL: float32 */
} kernel_set;

static bool lay_out(backend *b, kernel_set set, const backend_shape *shape, arena *a, err *e)
{
    const cpu_kernels *kernels = set.floats;
    cpu_workspace *s = arena_take_zero(a, 1, sizeof *s, e), measured = {0};
    if (!s) s = &measured;
    int64_t threads = pool_size(b->threads), heads = (int64_t)shape->n_head * shape->head_dim;
    int64_t most = larger(shape->rows, shape->head_rows);
    s->kernels = kernels;
    s->int16.kernels = set.int16;
    s->rows_padded = up_to(larger(most, 1), kernels->tile_rows);
    s->in_max = larger(larger(shape->d_model, shape->d_ff), heads);
    s->out_max = up_to(s->in_max, TASK_COLUMNS);
    s->head_tasks = (shape->n_vocab + HEAD_COLUMNS - 1) / HEAD_COLUMNS;
    s->head_rows = up_to(shape->head_rows, kernels->tile_rows);
    s->partial_size = (size_t)larger(s->rows_padded * TASK_COLUMNS, s->head_rows * HEAD_COLUMNS);
    s->attend_size = cpu_attend_floats(kernels, shape);
    const size_t f = sizeof(float);
    s->packed = take(a, s->rows_padded, s->in_max + 1, f, e);
    s->few = take(a, s->in_max + 4, FEW_ROWS, f, e);
    s->vector = take(a, MATMUL_PARTS_MAX, s->out_max, f, e);
    s->adapter_rank = shape->adapter_rank;
    s->panel_size = (int64_t)K_BLOCK_MAX * TASK_COLUMNS + s->adapter_rank * PANEL_WIDEST;
    s->panel = take(a, threads, s->panel_size, f, e);
    s->low = take(a, ADAPTER_PARTS_MAX * s->rows_padded, s->adapter_rank, f, e);
    s->partial = take(a, threads, (int64_t)s->partial_size, f, e);
    s->attention = take(a, threads, (int64_t)s->attend_size, f, e);
    s->items_max = larger(shape->rows, 1);
    s->item = take(a, s->items_max, 1, sizeof *s->item, e);
    s->head_largest = take(a, s->head_tasks, s->head_rows, f, e);
    s->head_sum = take(a, s->head_tasks, s->head_rows, sizeof(double), e);
    s->top_id = take(a, threads * s->head_rows, HEAD_TOP_MAX, sizeof(int32_t), e);
    s->top_logit = take(a, threads * s->head_rows, HEAD_TOP_MAX, f, e);
    if (set.int16) lay_out_int16(&s->int16, s, a, e);
    b->workspace = s == &measured ? NULL : s;
    return e->code == ERR_NONE;
}

static bool lay_out_avx2(backend *b, const backend_shape *shape, arena *a, err *e)
{
    return lay_out(b, (kernel_set){&cpu_kernels_avx2, NULL}, shape, a, e);
}

static bool lay_out_avx512(backend *b, const backend_shape *shape, arena *a, err *e)
{
    return lay_out(b, (kernel_set){&cpu_kernels_avx512, NULL}, shape, a, e);
}

static bool lay_out_avx2_int16(backend *b, const backend_shape *shape, arena *a, err *e)
{
    return lay_out(b, (kernel_set){&cpu_kernels_avx2, &cpu_int16_avx2}, shape, a, e);
}

static bool lay_out_avx512_int16(backend *b, const backend_shape *shape, arena *a, err *e)
{
    return lay_out(b, (kernel_set){&cpu_kernels_avx512, &cpu_int16_vnni}, shape, a, e);
}

/* Both instruction sets take the same types apart. */
static bool weaves(dtype type) { return cpu_kernels_avx2.takes_few(type); }

/* clang-format off */
#define OPS /* the instruction sets differ in their kernels alone */ \
    .embed = cpu_embed, .rmsnorm = cpu_rmsnorm, .matmul = cpu_matmul, .adapts = true, \
    .rope = cpu_rope, .attend = cpu_attend, .glu = cpu_glu, .add = cpu_add, .gather = cpu_gather, \
    .scatter = cpu_scatter, .head = cpu_head, .weaves = weaves, .weave = cpu_weave
/* clang-format on */

const op_table cpu_ops_avx2 = {
    .name = "cpu:avx2", .lay_out = lay_out_avx2, OPS, .train = &cpu_train_ops};
const op_table cpu_ops_avx512 = {
    .name = "cpu:avx512", .lay_out = lay_out_avx512, OPS, .train = &cpu_train_ops};
const op_table cpu_ops_avx2_int16 = {
    .name = "cpu:avx2:int16", .lay_out = lay_out_avx2_int16, OPS, .train = &cpu_train_ops};
const op_table cpu_ops_avx512_int16 = {
    .name = "cpu:avx512:int16", .lay_out = lay_out_avx512_int16, OPS, .train = &cpu_train_ops};
