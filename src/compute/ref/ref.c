/* ref: embedding, norm, products, rotation, gates. See ref.h; attention and the answer head have
 * their own files. Sums run in double, in index order; each result is rounded to float32 once. */
#include "compute/ref/ref_in.h"

#include <assert.h>
#include <math.h>
#include <string.h>

const void *ref_row(const tensor *w, int64_t i)
{
    int64_t bytes = 0;
    bool whole = dtype_row_bytes(w->type, w->dim[1], &bytes);
    assert(whole);
    return (const unsigned char *)w->data + i * bytes;
}

double ref_dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static void ref_embed(backend *b, tensor y, tensor w, const int32_t *ids, float scale)
{
    (void)b;
    int64_t d = y.dim[1];
    for (int64_t i = 0; i < y.dim[0]; i++) {
        float *row = (float *)y.data + i * d;
        dtype_to_f32(w.type, row, ref_row(&w, ids[i]), d);
        for (int64_t j = 0; j < d; j++) row[j] *= scale;
    }
}

static void ref_rmsnorm(backend *b, tensor y, tensor x, tensor w, float eps, float w_plus)
{
    ref_workspace *s = b->workspace;
    int64_t d = w.dim[0], n = tensor_count(&x) / d;
    assert(d <= s->row_size);
    dtype_to_f32(w.type, s->vector, w.data, d);
    for (int64_t i = 0; i < n; i++) {
        const float *in = (const float *)x.data + i * d;
        float *out = (float *)y.data + i * d;
        double scale = 1 / sqrt(ref_dot(in, in, d) / (double)d + (double)eps);
        for (int64_t j = 0; j < d; j++) {
            out[j] = (float)((double)in[j] * scale * ((double)s->vector[j] + (double)w_plus));
        }
    }
}

typedef struct product {
    ref_workspace *space;
    tensor x;
    const matmul_part *part;
    const float *bias; /* [out] or NULL */
} product;

/* One output column of y: task index = weight row. */
static void product_column(void *context, int64_t out, int thread)
{
    const product *p = context;
    const matmul_part *part = p->part;
    int64_t n = p->x.dim[0], in = part->w.dim[1], n_out = part->w.dim[0];
    float *row = p->space->row + thread * p->space->row_size;
    dtype_to_f32(part->w.type, row, ref_row(&part->w, out), in);
    for (int64_t i = 0; i < n; i++) {
        float *y = (float *)part->y.data + i * n_out + out;
        double sum = ref_dot((const float *)p->x.data + i * in, row, in);
        if (p->bias) sum += (double)p->bias[out];
        *y = (float)(part->add ? (double)*y + sum : sum);
    }
}

static void ref_matmul(backend *b, tensor x, const matmul_part *part, int n_part)
{
    ref_workspace *s = b->workspace;
    for (int i = 0; i < n_part; i++) {
        product p = {.space = s, .x = x, .part = &part[i]};
        assert(part[i].w.dim[1] <= s->row_size &&
               part[i].w.dim[0] <= larger(s->row_size, s->n_vocab));
        if (part[i].bias) {
            dtype_to_f32(part[i].bias->type, s->vector, part[i].bias->data, part[i].w.dim[0]);
            p.bias = s->vector;
        }
        pool_run(b->threads, part[i].w.dim[0], product_column, &p);
    }
}

static void ref_rope(backend *b, tensor x, const int32_t *positions, tensor table, rope_style style)
{
    (void)b;
    int64_t n = x.dim[0], h = x.dim[1], hd = x.dim[2], rd = table.dim[1];
    for (int64_t i = 0; i < n * h; i++) {
        float *head = (float *)x.data + i * hd;
        const float *cosine = (const float *)table.data + positions[i / h] * rd;
        const float *sine = cosine + rd / 2;
        for (int64_t j = 0; j < rd / 2; j++) {
            float *first = style == ROPE_HALVES ? head + j : head + 2 * j;
            float *second = style == ROPE_HALVES ? first + rd / 2 : first + 1;
            double a = (double)*first, c = (double)*second;
            *first = (float)(a * (double)cosine[j] - c * (double)sine[j]);
            *second = (float)(a * (double)sine[j] + c * (double)cosine[j]);
        }
    }
}

static double silu(double g) { return g / (1 + exp(-g)); }

/* Hendrycks and Gimpel 2016 (arXiv 1606.08415), the tanh form. */
static double gelu_tanh(double g)
{
    const double root = 0.79788456080286535588; /* sqrt(2 / pi) */
    return 0.5 * g * (1 + tanh(root * (g + 0.044715 * g * g * g)));
}

static void ref_glu(backend *b, tensor y, tensor gate, tensor up, glu_kind kind)
{
    (void)b;
    int64_t n = tensor_count(&y);
    const float *g = gate.data, *u = up.data;
    float *out = y.data;
    for (int64_t i = 0; i < n; i++) {
        double act = kind == GLU_SILU ? silu((double)g[i]) : gelu_tanh((double)g[i]);
        out[i] = (float)(act * (double)u[i]);
    }
}

static void ref_add(backend *b, tensor y, tensor x)
{
    (void)b;
    int64_t n = tensor_count(&y);
    for (int64_t i = 0; i < n; i++) ((float *)y.data)[i] += ((const float *)x.data)[i];
}

static void ref_gather(backend *b, tensor y, tensor x, const int32_t *rows)
{
    (void)b;
    int64_t d = y.dim[0] ? tensor_count(&y) / y.dim[0] : 0;
    for (int64_t i = 0; i < y.dim[0]; i++) {
        memcpy((float *)y.data + i * d, (const float *)x.data + rows[i] * d,
               (size_t)d * sizeof(float));
    }
}

static void ref_scatter(backend *b, tensor y, tensor x, const int32_t *rows)
{
    (void)b;
    int64_t d = tensor_count(&x) / x.dim[0];
    for (int64_t i = 0; i < x.dim[0]; i++) {
        memcpy((float *)y.data + rows[i] * d, (const float *)x.data + i * d,
               (size_t)d * sizeof(float));
    }
}

static bool ref_lay_out(backend *b, const backend_shape *shape, arena *a, err *e)
{
    ref_workspace *s = arena_take_zero(a, 1, sizeof *s, e);
    ref_workspace measured;
    if (!s) s = &measured;
    size_t threads = (size_t)pool_size(b->threads);
    int64_t heads = (int64_t)shape->n_head * shape->head_dim;
    s->row_size = larger(larger(shape->d_model, shape->d_ff), larger(heads, shape->head_dim));
    s->n_vocab = shape->n_vocab;
    s->row = arena_take(a, threads * (size_t)s->row_size, sizeof(float), e);
    s->vector = arena_take(a, (size_t)larger(s->row_size, s->n_vocab), sizeof(float), e);
    s->logit = arena_take(a, REF_HEAD_ROWS * (size_t)s->n_vocab, sizeof(float), e);
    b->workspace = s == &measured ? NULL : s;
    return e->code == ERR_NONE;
}

const op_table ref_ops = {
    .name = "ref",
    .embed = ref_embed,
    .rmsnorm = ref_rmsnorm,
    .matmul = ref_matmul,
    .rope = ref_rope,
    .attend = ref_attend,
    .glu = ref_glu,
    .add = ref_add,
    .gather = ref_gather,
    .scatter = ref_scatter,
    .head = ref_head,
    .lay_out = ref_lay_out,
    .train = &ref_train_ops,
};
