/* ref: the way back through products, norm, rotation and gate, the loss, the optimiser; see
 * train.h. Sums run in double, in index order; each result is rounded to float32 once. */
#include "compute/ref/ref_in.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct product_back {
    const ref_train_space *space;
    tensor dx, dy, w; /* of weight_grad: dw, dy, x */
    bool add;
} product_back;

static void matmul_back_row(void *context, int64_t i, int thread)
{
    const product_back *p = context;
    int64_t in = p->w.dim[1], out = p->w.dim[0];
    double *sum = p->space->sums + thread * p->space->sums_size;
    float *row = p->space->vector + thread * p->space->row_size;
    const float *dy = (const float *)p->dy.data + i * out;
    float *dx = (float *)p->dx.data + i * in;
    for (int64_t j = 0; j < in; j++) sum[j] = p->add ? (double)dx[j] : 0;
    for (int64_t o = 0; o < out; o++) {
        dtype_to_f32(p->w.type, row, ref_row(&p->w, o), in);
        for (int64_t j = 0; j < in; j++) sum[j] += (double)dy[o] * (double)row[j];
    }
    for (int64_t j = 0; j < in; j++) dx[j] = (float)sum[j];
}

static void ref_matmul_back(backend *b, tensor dx, tensor dy, tensor w, bool add)
{
    product_back p = {.space = b->train_space, .dx = dx, .dy = dy, .w = w, .add = add};
    assert(w.dim[1] <= p.space->row_size);
    pool_run(b->threads, dx.dim[0], matmul_back_row, &p);
}

static void weight_grad_row(void *context, int64_t o, int thread)
{
    const product_back *p = context;
    int64_t in = p->dx.dim[1], out = p->dx.dim[0], n = p->w.dim[0];
    double *sum = p->space->sums + thread * p->space->sums_size;
    float *dw = (float *)p->dx.data + o * in;
    for (int64_t j = 0; j < in; j++) sum[j] = (double)dw[j];
    for (int64_t i = 0; i < n; i++) {
        double dy = (double)((const float *)p->dy.data)[i * out + o];
        const float *x = (const float *)p->w.data + i * in;
        for (int64_t j = 0; j < in; j++) sum[j] += dy * (double)x[j];
    }
    for (int64_t j = 0; j < in; j++) dw[j] = (float)sum[j];
}

static void ref_weight_grad(backend *b, tensor dw, tensor dy, tensor x)
{
    product_back p = {.space = b->train_space, .dx = dw, .dy = dy, .w = x};
    assert(dw.dim[1] <= p.space->row_size);
    pool_run(b->threads, dw.dim[0], weight_grad_row, &p);
}

/* y_j = x_j s w_j with s = (mean(x^2) + eps)^-1/2, so
 * dx_j = s (g_j - x_j s^2 mean(g x)) with g = dy w. */
static void ref_rmsnorm_back(backend *b, tensor dx, tensor dy, tensor x, const norm_shape *norm,
                             bool add)
{
    ref_train_space *s = b->train_space;
    int64_t d = norm->w.dim[0], n = tensor_count(&x) / d;
    assert(d <= s->row_size);
    dtype_to_f32(norm->w.type, s->vector, norm->w.data, d);
    for (int64_t i = 0; i < n; i++) {
        const float *in = (const float *)x.data + i * d, *from = (const float *)dy.data + i * d;
        float *out = (float *)dx.data + i * d;
        double scale = 1 / sqrt(ref_dot(in, in, d) / (double)d + (double)norm->eps), along = 0;
        for (int64_t j = 0; j < d; j++) {
            s->sums[j] = (double)from[j] * ((double)s->vector[j] + (double)norm->w_plus);
            along += s->sums[j] * (double)in[j];
        }
        along *= scale * scale / (double)d;
        for (int64_t j = 0; j < d; j++) {
            double g = scale * (s->sums[j] - (double)in[j] * along);
            out[j] = (float)(add ? (double)out[j] + g : g);
        }
    }
}

static void ref_rope_back(backend *b, tensor dx, const int32_t *positions, tensor table,
                          rope_style style)
{
    (void)b;
    int64_t n = dx.dim[0], h = dx.dim[1], hd = dx.dim[2], rd = table.dim[1];
    for (int64_t i = 0; i < n * h; i++) {
        float *head = (float *)dx.data + i * hd;
        const float *cosine = (const float *)table.data + positions[i / h] * rd;
        const float *sine = cosine + rd / 2;
        for (int64_t j = 0; j < rd / 2; j++) {
            float *first = style == ROPE_HALVES ? head + j : head + 2 * j;
            float *second = style == ROPE_HALVES ? first + rd / 2 : first + 1;
            double a = (double)*first, c = (double)*second;
            *first = (float)(a * (double)cosine[j] + c * (double)sine[j]);
            *second = (float)(c * (double)cosine[j] - a * (double)sine[j]);
        }
    }
}

static double act_and_slope(double g, glu_kind kind, double *slope)
{
    if (kind == GLU_SILU) {
        double sigmoid = 1 / (1 + exp(-g));
        *slope = sigmoid * (1 + g * (1 - sigmoid));
        return g * sigmoid;
    }
    const double root = 0.79788456080286535588; /* sqrt(2 / pi) */
    double t = tanh(root * (g + 0.044715 * g * g * g));
    *slope = 0.5 * (1 + t) + 0.5 * g * (1 - t * t) * root * (1 + 3 * 0.044715 * g * g);
    return 0.5 * g * (1 + t);
}

static void ref_glu_back(backend *b, tensor gate, tensor up, tensor dy, glu_kind kind)
{
    (void)b;
    int64_t n = tensor_count(&gate);
    float *g = gate.data, *u = up.data;
    const float *d = dy.data;
    for (int64_t i = 0; i < n; i++) {
        double slope, act = act_and_slope((double)g[i], kind, &slope);
        g[i] = (float)((double)d[i] * (double)u[i] * slope);
        u[i] = (float)((double)d[i] * act);
    }
}

static void ref_scale(backend *b, tensor y, float factor)
{
    (void)b;
    int64_t n = tensor_count(&y);
    for (int64_t i = 0; i < n; i++) ((float *)y.data)[i] *= factor;
}

static void ref_zero(backend *b, tensor y)
{
    (void)b;
    memset(y.data, 0, (size_t)tensor_count(&y) * sizeof(float));
}

static void ref_scatter_add(backend *b, tensor y, tensor x, const int32_t *rows)
{
    (void)b;
    int64_t d = x.dim[1];
    for (int64_t i = 0; i < x.dim[0]; i++) {
        assert(rows[i] >= 0 && rows[i] < y.dim[0]);
        float *to = (float *)y.data + rows[i] * d;
        for (int64_t j = 0; j < d; j++) to[j] += ((const float *)x.data)[i * d + j];
    }
}

/* Logits of ids first_id.. become the gradient of weight x (log-sum-exp - the target's logit). */
static void ref_softmax_back(backend *b, tensor logits, const loss_rows *l, int64_t first_id)
{
    (void)b;
    int64_t n = logits.dim[1];
    double cap = (double)l->softcap;
    for (int64_t i = 0; i < logits.dim[0]; i++) {
        float *row = (float *)logits.data + i * n;
        for (int64_t j = 0; j < n; j++) {
            double capped = cap > 0 ? cap * tanh((double)row[j] / cap) : (double)row[j];
            double g = exp(capped - l->log_sum_exp[i]) - (first_id + j == l->target[i]);
            if (cap > 0) g *= 1 - capped / cap * (capped / cap);
            row[j] = (float)(g * (double)l->weight[i]);
        }
    }
}

static double ref_sum_squares(backend *b, const float *x, int64_t n)
{
    (void)b;
    return ref_dot(x, x, n);
}

static void ref_adamw(backend *b, const adamw_state *s, const adamw_step *step)
{
    (void)b;
    const double fix1 = 1 - pow(step->beta1, (double)step->number);
    const double fix2 = sqrt(1 - pow(step->beta2, (double)step->number));
    for (int64_t i = 0; i < s->n; i++) {
        double g = (double)s->grad[i] * step->grad_scale, p = (double)s->value[i];
        double m = (double)s->first[i], v = (double)s->second[i];
        p *= 1 - step->rate * step->decay;
        m += (g - m) * (1 - step->beta1);
        v = v * step->beta2 + g * g * (1 - step->beta2);
        p -= step->rate / fix1 * m / (sqrt(v) / fix2 + step->eps);
        s->value[i] = (float)p;
        s->first[i] = (float)m;
        s->second[i] = (float)v;
    }
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static bool ref_train_lay_out(backend *b, const backend_shape *shape, arena *a, err *e)
{
    ref_train_space *s = arena_take_zero(a, 1, sizeof *s, e), measured = {0};
    if (!s) s = &measured;
    size_t threads = (size_t)pool_size(b->threads);
    int64_t heads = (int64_t)shape->n_head * shape->head_dim;
    s->row_size = larger(larger(shape->d_model, shape->d_ff), heads);
    s->slots = shape->rows;
    s->sums_size = larger(s->row_size, 2 * shape->rows * shape->head_dim);
    s->sums = arena_take(a, threads * (size_t)s->sums_size, sizeof(double), e);
    s->vector = arena_take(a, threads * (size_t)s->row_size, sizeof(float), e);
    b->train_space = s == &measured ? NULL : s;
    return e->code == ERR_NONE;
}

const train_table ref_train_ops = {
    .attend_keep = ref_attend_keep,
    .attend_back = ref_attend_back,
    .matmul_back = ref_matmul_back,
    .weight_grad = ref_weight_grad,
    .rmsnorm_back = ref_rmsnorm_back,
    .rope_back = ref_rope_back,
    .glu_back = ref_glu_back,
    .scale = ref_scale,
    .zero = ref_zero,
    .scatter_add = ref_scatter_add,
    .softmax_back = ref_softmax_back,
    .sum_squares = ref_sum_squares,
    .adamw = ref_adamw,
    .lay_out = ref_train_lay_out,
};
