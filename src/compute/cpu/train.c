/* cpu: the row-wise operations of training and the table; products and attention have their own
 * files. Row-wise work is shared among the threads in stretches; each value is computed alone, but
 * for sums, which are taken in stretches of SUM_FLOATS whatever the threads and put together in
 * order. */
#include "compute/cpu/train_in.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { SHARE_VALUES = 8192 }; /* values a task of row-wise work takes at least */

typedef struct row_work {
    void (*run)(const void *context, int64_t row);
    const void *context;
    int64_t n, step;
} row_work;

static void row_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const row_work *w = context;
    int64_t end = (task + 1) * w->step < w->n ? (task + 1) * w->step : w->n;
    for (int64_t i = task * w->step; i < end; i++) w->run(w->context, i);
}

static void share_rows(backend *b, row_work w, int64_t values_a_row)
{
    w.step = SHARE_VALUES / (values_a_row + 1) + 1;
    pool_run(b->threads, (w.n + w.step - 1) / w.step, row_task, &w);
}

typedef struct row_args {
    const cpu_kernels *kernels;
    float *to, *second;
    const float *dy, *x, *w; /* w: norm weight or rotation table */
    const int32_t *ids;
    const loss_rows *loss;
    int64_t width, heads, turned, first_id;
    float eps, factor;
    rope_style style;
    glu_kind kind;
    bool add;
} row_args;

static const cpu_kernels *kernels_of(const backend *b)
{
    return ((const cpu_workspace *)b->workspace)->kernels;
}

static void rmsnorm_row(const void *context, int64_t i)
{
    const row_args *a = context;
    const int64_t at = i * a->width;
    norm_back_job t = {.to = a->to + at,
                       .dy = a->dy + at,
                       .x = a->x + at,
                       .w = a->w,
                       .eps = a->eps,
                       .add = a->add};
    a->kernels->rmsnorm_back(&t, a->width);
}

static void cpu_rmsnorm_back(backend *b, tensor dx, tensor dy, tensor x, const norm_shape *norm,
                             bool add)
{
    const cpu_workspace *s = b->workspace;
    cpu_train_space *t = b->train_space;
    row_args a = {.kernels = kernels_of(b),
                  .to = dx.data,
                  .dy = dy.data,
                  .x = x.data,
                  .w = t->vector,
                  .add = add};
    a.width = norm->w.dim[0], a.eps = norm->eps;
    assert(a.width <= t->vector_size);
    s->kernels->expand(t->vector, norm->w.type, norm->w.data, a.width);
    for (int64_t i = 0; i < a.width && norm->w_plus != 0; i++) t->vector[i] += norm->w_plus;
    row_work w = {.run = rmsnorm_row, .context = &a, .n = tensor_count(&x) / a.width};
    share_rows(b, w, a.width);
}

static void rope_row(const void *context, int64_t i)
{
    const row_args *a = context;
    const int64_t hd = a->width / a->heads;
    for (int64_t h = 0; h < a->heads; h++) {
        a->kernels->rope(a->to + i * a->width + h * hd, a->w + a->ids[i] * a->turned, a->style,
                         a->turned, -1);
    }
}

static void cpu_rope_back(backend *b, tensor dx, const int32_t *positions, tensor table,
                          rope_style style)
{
    row_args a = {
        .kernels = kernels_of(b), .to = dx.data, .w = table.data, .ids = positions, .style = style};
    a.width = dx.dim[1] * dx.dim[2], a.heads = dx.dim[1], a.turned = table.dim[1];
    share_rows(b, (row_work){.run = rope_row, .context = &a, .n = dx.dim[0]}, a.width);
}

static void glu_row(const void *context, int64_t i)
{
    const row_args *a = context;
    const int64_t at = i * a->width;
    a->kernels->glu_back(a->to + at, a->second + at, a->dy + at, a->kind, a->width);
}

static void cpu_glu_back(backend *b, tensor gate, tensor up, tensor dy, glu_kind kind)
{
    row_args a = {
        .kernels = kernels_of(b), .to = gate.data, .second = up.data, .dy = dy.data, .kind = kind};
    a.width = tensor_count(&gate) / gate.dim[0];
    share_rows(b, (row_work){.run = glu_row, .context = &a, .n = gate.dim[0]}, 4 * a.width);
}

static void scale_row(const void *context, int64_t i)
{
    const row_args *a = context;
    float *row = a->to + i * a->width;
    a->kernels->scale(row, row, a->factor, a->width);
}

static void cpu_scale(backend *b, tensor y, float factor)
{
    row_args a = {.kernels = kernels_of(b),
                  .to = y.data,
                  .factor = factor,
                  .width = tensor_count(&y) / y.dim[0]};
    share_rows(b, (row_work){.run = scale_row, .context = &a, .n = y.dim[0]}, a.width);
}

static void cpu_zero(backend *b, tensor y)
{
    (void)b;
    memset(y.data, 0, (size_t)tensor_count(&y) * sizeof(float));
}

static void scatter_row(const void *context, int64_t i)
{
    const row_args *a = context;
    float *to = a->to + a->ids[i] * a->width;
    a->kernels->add(to, a->x + i * a->width, a->width);
}

static void cpu_scatter_add(backend *b, tensor y, tensor x, const int32_t *rows)
{
    row_args a = {
        .kernels = kernels_of(b), .to = y.data, .x = x.data, .ids = rows, .width = x.dim[1]};
    for (int64_t i = 0; i < x.dim[0]; i++) assert(rows[i] >= 0 && rows[i] < y.dim[0]);
    share_rows(b, (row_work){.run = scatter_row, .context = &a, .n = x.dim[0]}, a.width);
}

static void softmax_row(const void *context, int64_t i)
{
    const row_args *a = context;
    const loss_rows *l = a->loss;
    const float cap = l->softcap, weight = l->weight[i];
    const float high = (float)l->log_sum_exp[i];
    const float both[2] = {high, (float)(l->log_sum_exp[i] - (double)high)};
    float *row = a->to + i * a->width, pull = weight;
    const int64_t target = l->target[i] - a->first_id;
    const bool here = target >= 0 && target < a->width;
    if (here && cap > 0) {
        float t = tanhf(row[target] / cap);
        pull *= 1 - t * t;
    }
    a->kernels->softmax_back(row, a->width, both, weight, cap);
    if (here) row[target] -= pull;
}

static void cpu_softmax_back(backend *b, tensor logits, const loss_rows *l, int64_t first_id)
{
    row_args a = {.kernels = kernels_of(b),
                  .to = logits.data,
                  .loss = l,
                  .width = logits.dim[1],
                  .first_id = first_id};
    share_rows(b, (row_work){.run = softmax_row, .context = &a, .n = logits.dim[0]}, 8 * a.width);
}

typedef struct flat_work {
    cpu_train_space *space;
    const float *x;
    const adamw_state *state;
    const adamw_step *step;
    int64_t n;
    double fix1, fix2;
} flat_work;

static void squares_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const flat_work *w = context;
    int64_t end = (task + 1) * SUM_FLOATS < w->n ? (task + 1) * SUM_FLOATS : w->n;
    double sum = 0;
    for (int64_t i = task * SUM_FLOATS; i < end; i++) sum += (double)w->x[i] * (double)w->x[i];
    w->space->sum[task % w->space->sums_max] = sum;
}

static double cpu_sum_squares(backend *b, const float *x, int64_t n)
{
    flat_work w = {.space = b->train_space, .x = x};
    const int64_t round = w.space->sums_max * SUM_FLOATS;
    double sum = 0;
    for (int64_t first = 0; first < n; first += round) {
        w.x = x + first;
        w.n = n - first < round ? n - first : round;
        int64_t tasks = (w.n + SUM_FLOATS - 1) / SUM_FLOATS;
        pool_run(b->threads, tasks, squares_task, &w);
        for (int64_t i = 0; i < tasks; i++) sum += w.space->sum[i];
    }
    return sum;
}

static void adamw_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const flat_work *w = context;
    const adamw_state *s = w->state;
    const adamw_step *step = w->step;
    int64_t end = (task + 1) * SUM_FLOATS < s->n ? (task + 1) * SUM_FLOATS : s->n;
    for (int64_t i = task * SUM_FLOATS; i < end; i++) {
        double g = (double)s->grad[i] * step->grad_scale, p = (double)s->value[i];
        double m = (double)s->first[i], v = (double)s->second[i];
        p *= 1 - step->rate * step->decay;
        m += (g - m) * (1 - step->beta1);
        v = v * step->beta2 + g * g * (1 - step->beta2);
        p -= step->rate / w->fix1 * m / (sqrt(v) / w->fix2 + step->eps);
        s->value[i] = (float)p;
        s->first[i] = (float)m;
        s->second[i] = (float)v;
    }
}

static void cpu_adamw(backend *b, const adamw_state *s, const adamw_step *step)
{
    flat_work w = {.state = s, .step = step};
    w.fix1 = 1 - pow(step->beta1, (double)step->number);
    w.fix2 = sqrt(1 - pow(step->beta2, (double)step->number));
    pool_run(b->threads, (s->n + SUM_FLOATS - 1) / SUM_FLOATS, adamw_task, &w);
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static bool lay_out(backend *b, const backend_shape *shape, arena *a, err *e)
{
    cpu_train_space *s = arena_take_zero(a, 1, sizeof *s, e), measured = {0};
    if (!s) s = &measured;
    /* A measuring arena leaves no workspace: both sets of kernels are known by the table. */
    const bool wide = b->ops == &cpu_ops_avx512 || b->ops == &cpu_ops_avx512_int16;
    const cpu_kernels *kernels = wide ? &cpu_kernels_avx512 : &cpu_kernels_avx2;
    cpu_workspace *space = b->workspace;
    if (space) space->int16.kernels = NULL; /* training is float32 on either precision */
    const size_t threads = (size_t)pool_size(b->threads), f = sizeof(float);
    int64_t heads = (int64_t)shape->n_head * shape->head_dim;
    s->attend_size = cpu_back_floats(kernels, shape);
    s->grad_size = (size_t)(GRAD_ROWS + GRAD_K) * GRAD_COLUMNS;
    s->vector_size = larger(larger(shape->d_model, shape->d_ff), heads) + LANES_MAX;
    s->sums_max = 4096;
    s->own_max = shape->rows * shape->n_head;
    s->own = arena_take(a, (size_t)s->own_max, f, e);
    s->attention = arena_take(a, threads * s->attend_size, f, e);
    s->grad = arena_take(a, threads * s->grad_size, f, e);
    s->vector = arena_take(a, (size_t)s->vector_size, f, e);
    s->sum = arena_take(a, (size_t)s->sums_max, sizeof *s->sum, e);
    b->train_space = s == &measured ? NULL : s;
    return e->code == ERR_NONE;
}

const train_table cpu_train_ops = {
    .attend_keep = cpu_attend_keep,
    .attend_back = cpu_attend_back,
    .matmul_back = cpu_matmul_back,
    .weight_grad = cpu_weight_grad,
    .product_back = cpu_product_back,
    .rmsnorm_back = cpu_rmsnorm_back,
    .rope_back = cpu_rope_back,
    .glu_back = cpu_glu_back,
    .scale = cpu_scale,
    .zero = cpu_zero,
    .scatter_add = cpu_scatter_add,
    .softmax_back = cpu_softmax_back,
    .sum_squares = cpu_sum_squares,
    .adamw = cpu_adamw,
    .lay_out = lay_out,
};
