/* train: the way back through norm, gate and softmax, sums of squares and AdamW; see kernels.h
 * and compute/train.h. Rows and numbers stand alone, but for the sum of squares, whose parts are
 * fixed. */
#include "compute/cuda/lanes_in.h"

enum { THREADS = 256 };

/* y_j = x_j s w_j with s = (mean(x^2) + eps)^-1/2, so dx_j = s (g_j - x_j s^2 mean(g x)), g = dy w.
 * A warp a row. */
template <typename T> static __global__ void rmsnorm_back(k_norm_back h)
{
    const int64_t row = (int64_t)blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP;
    if (row >= h.n) return;
    const T *x = (const T *)h.x + row * h.width, *dy = (const T *)h.dy + row * h.width;
    T *dx = (T *)h.dx + row * h.width;
    float squares = 0, along = 0;
    const int lane = (int)threadIdx.x % WARP;
    for (int64_t j = lane; j < h.width; j += WARP) {
        const float at = number(x[j]);
        squares += at * at;
        along += number(dy[j]) * (h.w[j] + h.w_plus) * at;
    }
    squares = warp_sum(squares), along = warp_sum(along);
    const float scale = 1 / sqrtf(squares / (float)h.width + h.eps);
    along *= scale * scale / (float)h.width;
    for (int64_t j = lane; j < h.width; j += WARP) {
        const float g = scale * (number(dy[j]) * (h.w[j] + h.w_plus) - number(x[j]) * along);
        put(dx + j, h.add ? number(dx[j]) + g : g);
    }
}

void k_rmsnorm_back(k_stream s, const k_norm_back *h)
{
    const unsigned blocks = blocks_of(h->n, THREADS / WARP);
    if (h->n == 0) return;
    if (h->type == ROWS_BF16) rmsnorm_back<bf16><<<blocks, THREADS, 0, s>>>(*h);
    else rmsnorm_back<float><<<blocks, THREADS, 0, s>>>(*h);
}

static __device__ __forceinline__ void glu_pair(float *g, float *u, float d, int32_t gelu)
{
    float act, slope;
    if (gelu) {
        const float root = 0.79788456080286535588f; /* sqrt(2 / pi) */
        const float t = tanhf(root * (*g + 0.044715f * *g * *g * *g));
        act = 0.5f * *g * (1 + t);
        slope = 0.5f * (1 + t) + 0.5f * *g * (1 - t * t) * root * (1 + 3 * 0.044715f * *g * *g);
    } else {
        const float sigmoid = 1 / (1 + expf(-*g));
        act = *g * sigmoid;
        slope = sigmoid * (1 + *g * (1 - sigmoid));
    }
    *g = d * *u * slope;
    *u = d * act;
}

template <typename T>
static __global__ void glu_back(T *gate, T *up, const T *dy, int32_t gelu, int64_t n, bool wide)
{
    const int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * LANES;
    float g[LANES], u[LANES], d[LANES];
    if (i >= n) return;
    if (!wide || i + LANES > n) {
        for (int64_t k = i; k < n && k < i + LANES; k++) {
            g[0] = number(gate[k]), u[0] = number(up[k]);
            glu_pair(g, u, number(dy[k]), gelu);
            put(gate + k, g[0]), put(up + k, u[0]);
        }
        return;
    }
    load8(g, gate + i), load8(u, up + i), load8(d, dy + i);
#pragma unroll
    for (int k = 0; k < LANES; k++) glu_pair(g + k, u + k, d[k], gelu);
    store8(gate + i, g), store8(up + i, u);
}

void k_glu_back(k_stream s, k_rows gate, k_rows up, k_rows dy, int32_t gelu)
{
    const int64_t n = gate.n * gate.width;
    const unsigned blocks = blocks_of(n, THREADS * LANES);
    const bool wide = is_aligned(gate.data) && is_aligned(up.data) && is_aligned(dy.data);
    if (n == 0) return;
    if (gate.type == ROWS_BF16)
        glu_back<<<blocks, THREADS, 0, s>>>((bf16 *)gate.data, (bf16 *)up.data,
                                            (const bf16 *)dy.data, gelu, n, wide);
    else
        glu_back<<<blocks, THREADS, 0, s>>>((float *)gate.data, (float *)up.data,
                                            (const float *)dy.data, gelu, n, wide);
}

static __global__ void scale_all(float *y, float factor, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n) y[i] *= factor;
}

void k_scale(k_stream s, float *y, float factor, int64_t n)
{
    if (n > 0) scale_all<<<blocks_of(n, THREADS), THREADS, 0, s>>>(y, factor, n);
}

static __global__ void scatter_add(float *y, const float *x, const int32_t *rows, int64_t width)
{
    float *to = y + rows[blockIdx.x] * width;
    const float *from = x + blockIdx.x * width;
    for (int64_t j = threadIdx.x; j < width; j += THREADS) to[j] += from[j];
}

void k_scatter_add(k_stream s, k_rows y, k_rows x, const int32_t *rows)
{
    if (x.n == 0) return;
    scatter_add<<<(unsigned)x.n, THREADS, 0, s>>>((float *)y.data, (const float *)x.data, rows,
                                                  x.width);
}

/* Logits of ids first .. become the gradient of weight x (log-sum-exp - the target's logit). */
static __global__ void softmax_back(k_loss l)
{
    const int64_t row = blockIdx.y, j = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (j >= l.n) return;
    float *at = l.logits + row * l.n + j, slope = 1, logit = *at;
    if (l.softcap > 0) {
        const float t = tanhf(logit / l.softcap);
        logit = l.softcap * t;
        slope = 1 - t * t;
    }
    const float p = expf((float)((double)logit - l.log_sum_exp[row]));
    *at = (p - (l.first + j == l.target[row] ? 1.0f : 0.0f)) * slope * l.weight[row];
}

void k_softmax_back(k_stream s, const k_loss *l)
{
    const dim3 grid(blocks_of(l->n, THREADS), (unsigned)l->m);
    if (l->m > 0 && l->n > 0) softmax_back<<<grid, THREADS, 0, s>>>(*l);
}

/* One part a block, a fixed number of them. */
static __global__ void sum_squares(double *part, const float *x, int64_t n)
{
    __shared__ double space[THREADS / WARP];
    double sum = 0;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * THREADS) {
        sum += (double)x[i] * (double)x[i];
    }
    sum = block_sum(sum, space);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

void k_sum_squares(k_stream s, double *part, int32_t parts, const float *x, int64_t n)
{
    sum_squares<<<(unsigned)parts, THREADS, 0, s>>>(part, x, n);
}

static __global__ void adamw(k_adamw_step t)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= t.n) return;
    const double g = (double)t.grad[i] * t.grad_scale;
    double p = (double)t.value[i], m = (double)t.first[i], v = (double)t.second[i];
    p *= 1 - t.rate * t.decay;
    m += (g - m) * (1 - t.beta1);
    v = v * t.beta2 + g * g * (1 - t.beta2);
    p -= t.rate / t.fix1 * m / (sqrt(v) / t.fix2 + t.eps);
    t.value[i] = (float)p;
    t.first[i] = (float)m;
    t.second[i] = (float)v;
}

void k_adamw(k_stream s, const k_adamw_step *t)
{
    if (t->n > 0) adamw<<<blocks_of(t->n, THREADS), THREADS, 0, s>>>(*t);
}
