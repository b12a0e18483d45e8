/* train: the way back through norm, gate and softmax, sums of squares and AdamW; see kernels.h
 * and compute/train.h. Rows and numbers stand alone, but for the sum of squares, whose parts are
 * fixed. */
#include "compute/cuda/gates_in.h"

enum { THREADS = 256, SHORT_ROW = 1024, HELD = 2 /* eights of a row that a thread keeps */ };
enum { MORE = 2 /* parts of a gradient beside the first */ };

/* ---- norms: a warp a row where rows are short, else a block ---- */

template <typename T, int EACH>
static __device__ __forceinline__ void read_each(float v[LANES], const T *x)
{
    if (EACH == LANES) load8(v, x);
    else v[0] = number(*x);
}

template <typename T, int EACH>
static __device__ __forceinline__ void write_each(T *x, const float v[LANES])
{
    if (EACH == LANES) store8(x, v);
    else put(x, v[0]);
}

/* The row of this thread, and its place among the threads that share it. */
typedef struct my_row {
    int64_t row;
    int me, threads;
} my_row;

template <bool SHORT> static __device__ __forceinline__ my_row row_of_thread(void)
{
    my_row r = {blockIdx.x, (int)threadIdx.x, THREADS};
    if (SHORT) {
        r.row = (int64_t)blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP;
        r.me = (int)threadIdx.x % WARP, r.threads = WARP;
    }
    return r;
}

template <bool SHORT> static __device__ __forceinline__ float row_sum(float x, float *space)
{
    return SHORT ? warp_sum(x) : block_sum(x, space);
}

/* y = norm(x), and x once more, both in the rows' type. */
template <typename T, int EACH, bool SHORT> static __global__ void rmsnorm_keep(k_norm_keep h)
{
    __shared__ float space[THREADS / WARP];
    const my_row r = row_of_thread<SHORT>();
    if (r.row >= h.n) return;
    const float *x = h.x + r.row * h.width;
    T *y = (T *)h.y + r.row * h.width, *kept = (T *)h.kept + r.row * h.width;
    float v[LANES], sum = 0;
    for (int64_t j = (int64_t)r.me * EACH; j < h.width; j += (int64_t)r.threads * EACH) {
        read_each<float, EACH>(v, x + j);
        write_each<T, EACH>(kept + j, v);
#pragma unroll
        for (int i = 0; i < EACH; i++) sum += v[i] * v[i];
    }
    const float scale = 1 / sqrtf(row_sum<SHORT>(sum, space) / (float)h.width + h.eps);
    if (r.me == 0 && h.scale) h.scale[r.row] = scale;
    for (int64_t j = (int64_t)r.me * EACH; j < h.width; j += (int64_t)r.threads * EACH) {
        read_each<float, EACH>(v, x + j);
#pragma unroll
        for (int i = 0; i < EACH; i++) v[i] = v[i] * scale * (h.w[j + i] + h.w_plus);
        write_each<T, EACH>(y + j, v);
    }
}

/* Two sums over a row at once, for all threads that share it. */
template <bool SHORT> static __device__ __forceinline__ void row_sums(float x[2], float *space)
{
    x[0] = warp_sum(x[0]), x[1] = warp_sum(x[1]);
    if (SHORT) return;
    const int warp = (int)threadIdx.x / WARP;
    if (threadIdx.x % WARP == 0) space[2 * warp] = x[0], space[2 * warp + 1] = x[1];
    __syncthreads();
    x[0] = x[1] = 0;
#pragma unroll
    for (int i = 0; i < THREADS / WARP; i++) x[0] += space[2 * i], x[1] += space[2 * i + 1];
}

/* d becomes g = dy w. */
template <int EACH>
static __device__ __forceinline__ void add_along(float sums[2], const float at[LANES],
                                                 float d[LANES], const k_norm_back &h, int64_t j)
{
    float w[LANES];
    read_each<float, EACH>(w, h.w + j);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        d[i] *= w[i] + h.w_plus;
        sums[0] += at[i] * at[i];
        sums[1] += d[i] * at[i];
    }
}

/* to, what dx was, becomes what it is. */
template <typename D, int EACH>
static __device__ __forceinline__ void give_back(D *dx, float to[LANES], const float at[LANES],
                                                 const float g[LANES], float scale, float along)
{
#pragma unroll
    for (int i = 0; i < EACH; i++) to[i] += scale * (g[i] - at[i] * along);
    write_each<D, EACH>(dx, to);
}

template <typename T>
static __device__ __forceinline__ void open8(float v[LANES], const eight_raw<T> &r)
{
#pragma unroll
    for (int i = 0; i < LANES; i++) v[i] = raw_number(r, i);
}

/* dy at number `at` of all, and what is added to it: rows in bf16 only. */
template <typename G, int EACH>
static __device__ __forceinline__ void read_parts(float v[LANES], const k_norm_back &h, int64_t at)
{
    float w[LANES];
    read_each<G, EACH>(v, (const G *)h.dy + at);
    for (int p = 0; sizeof(G) == sizeof(bf16) && p < MORE && h.more[p]; p++) {
        read_each<G, EACH>(w, (const G *)h.more[p] + at);
#pragma unroll
        for (int i = 0; i < EACH; i++) v[i] += w[i];
    }
}

/* As they lie in memory: the parts of eight numbers of dy; zeros where there is none. */
template <typename G> struct parts_raw {
    static constexpr int N = sizeof(G) == sizeof(bf16) ? 1 + MORE : 1;
    eight_raw<G> part[N];
};

template <typename G>
static __device__ __forceinline__ void take_parts(parts_raw<G> *r, const k_norm_back &h, int64_t at)
{
    r->part[0] = raw8((const G *)h.dy + at);
#pragma unroll
    for (int p = 1; p < parts_raw<G>::N; p++)
        if (h.more[p - 1]) r->part[p] = raw8((const G *)h.more[p - 1] + at);
}

template <typename G>
static __device__ __forceinline__ void add_parts(float v[LANES], const parts_raw<G> &r)
{
    float w[LANES];
    open8(v, r.part[0]);
#pragma unroll
    for (int p = 1; p < parts_raw<G>::N; p++) {
        open8(w, r.part[p]);
#pragma unroll
        for (int i = 0; i < LANES; i++) v[i] += w[i];
    }
}

/* y_j = x_j s w_j with s = (mean(x^2) + eps)^-1/2, so dx_j = s (g_j - x_j s^2 mean(g x)), g = dy w.
 * What a thread keeps of x and of the dx to add to stays as it lies in memory. */
template <typename D, typename G, typename X, int EACH, bool SHORT>
static __global__ void rmsnorm_back(k_norm_back h)
{
    constexpr int KEPT = EACH == LANES ? HELD : 0, ROOM = KEPT > 0 ? KEPT : 1;
    __shared__ float space[2 * THREADS / WARP];
    const my_row r = row_of_thread<SHORT>();
    if (r.row >= h.n) return;
    const X *x = (const X *)h.x + r.row * h.width;
    const int64_t row = r.row * h.width;
    D *dx = (D *)h.dx + r.row * h.width;
    const int64_t first = (int64_t)r.me * EACH, stride = (int64_t)r.threads * EACH;
    eight_raw<X> kept_x[ROOM];
    eight_raw<D> old[ROOM] = {};
    parts_raw<G> parts[ROOM] = {};
    float at[LANES], d[LANES], to[LANES], kept_g[ROOM][LANES];
    float sums[2] = {0, 0}; /* of x^2, of g x */
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        const int64_t j = first + k * stride;
        if (j >= h.width) continue;
        kept_x[k] = raw8(x + j);
        if (h.add) old[k] = raw8(dx + j);
        take_parts(&parts[k], h, row + j);
    }
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        const int64_t j = first + k * stride;
        if (j >= h.width) continue;
        open8(at, kept_x[k]), add_parts(kept_g[k], parts[k]);
        add_along<EACH>(sums, at, kept_g[k], h, j);
    }
    for (int64_t j = first + KEPT * stride; j < h.width; j += stride) {
        read_each<X, EACH>(at, x + j), read_parts<G, EACH>(d, h, row + j);
        add_along<EACH>(sums, at, d, h, j);
    }
    row_sums<SHORT>(sums, space);
    const float scale = 1 / sqrtf(sums[0] / (float)h.width + h.eps);
    const float along = sums[1] * scale * scale / (float)h.width;
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        const int64_t j = first + k * stride;
        if (j >= h.width) continue;
        open8(at, kept_x[k]), open8(to, old[k]);
        give_back<D, EACH>(dx + j, to, at, kept_g[k], scale, along);
    }
    for (int64_t j = first + KEPT * stride; j < h.width; j += stride) {
        read_each<X, EACH>(at, x + j), read_parts<G, EACH>(d, h, row + j);
#pragma unroll
        for (int i = 0; i < EACH; i++) d[i] *= h.w[j + i] + h.w_plus, to[i] = 0;
        if (h.add) read_each<D, EACH>(to, dx + j);
        give_back<D, EACH>(dx + j, to, at, d, scale, along);
    }
}

template <typename D, typename G, int EACH, bool SHORT>
static void start_back_of(k_stream s, const k_norm_back *h)
{
    const unsigned blocks = SHORT ? blocks_of(h->n, THREADS / WARP) : (unsigned)h->n;
    if (h->type_x == ROWS_BF16)
        rmsnorm_back<D, G, bf16, EACH, SHORT><<<blocks, THREADS, 0, s>>>(*h);
    else rmsnorm_back<D, G, float, EACH, SHORT><<<blocks, THREADS, 0, s>>>(*h);
}

template <int EACH, bool SHORT> static void start_back(k_stream s, const k_norm_back *h)
{
    const bool low_dx = h->type == ROWS_BF16, low_dy = h->type_dy == ROWS_BF16;
    if (low_dx && low_dy) start_back_of<bf16, bf16, EACH, SHORT>(s, h);
    else if (low_dx) start_back_of<bf16, float, EACH, SHORT>(s, h);
    else if (low_dy) start_back_of<float, bf16, EACH, SHORT>(s, h);
    else start_back_of<float, float, EACH, SHORT>(s, h);
}

void k_rmsnorm_back(k_stream s, const k_norm_back *h)
{
    if (h->n == 0) return;
    const bool wide = h->width % LANES == 0 && is_aligned(h->dx) && is_aligned(h->dy) &&
                      is_aligned(h->x) && is_aligned(h->w) && is_aligned(h->more[0]) &&
                      is_aligned(h->more[1]);
    const bool is_short = h->width <= SHORT_ROW;
    if (wide && is_short) start_back<LANES, true>(s, h);
    else if (wide) start_back<LANES, false>(s, h);
    else if (is_short) start_back<1, true>(s, h);
    else start_back<1, false>(s, h);
}

template <int EACH, bool SHORT> static void start_keep(k_stream s, const k_norm_keep *h)
{
    const unsigned blocks = SHORT ? blocks_of(h->n, THREADS / WARP) : (unsigned)h->n;
    if (h->type == ROWS_BF16) rmsnorm_keep<bf16, EACH, SHORT><<<blocks, THREADS, 0, s>>>(*h);
    else rmsnorm_keep<float, EACH, SHORT><<<blocks, THREADS, 0, s>>>(*h);
}

void k_rmsnorm_keep(k_stream s, const k_norm_keep *h)
{
    if (h->n == 0) return;
    const bool wide = h->width % LANES == 0 && is_aligned(h->x) && is_aligned(h->y) &&
                      is_aligned(h->kept) && is_aligned(h->w);
    const bool is_short = h->width <= SHORT_ROW;
    if (wide && is_short) start_keep<LANES, true>(s, h);
    else if (wide) start_keep<LANES, false>(s, h);
    else if (is_short) start_keep<1, true>(s, h);
    else start_keep<1, false>(s, h);
}

/* ---- gates ---- */

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

template <typename T> static __global__ void scale_all(T *y, float factor, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n) put(y + i, number(y[i]) * factor);
}

void k_scale(k_stream s, k_rows y, float factor)
{
    const int64_t n = y.n * y.width;
    const unsigned blocks = blocks_of(n, THREADS);
    if (n == 0) return;
    if (y.type == ROWS_BF16) scale_all<<<blocks, THREADS, 0, s>>>((bf16 *)y.data, factor, n);
    else scale_all<<<blocks, THREADS, 0, s>>>((float *)y.data, factor, n);
}

template <typename Y>
static __global__ void scatter_add(Y *y, const float *x, const int32_t *rows, int64_t width)
{
    Y *to = y + rows[blockIdx.x] * width;
    const float *from = x + blockIdx.x * width;
    for (int64_t j = threadIdx.x; j < width; j += THREADS) put(to + j, number(to[j]) + from[j]);
}

void k_scatter_add(k_stream s, k_rows y, k_rows x, const int32_t *rows)
{
    if (x.n == 0) return;
    const float *from = (const float *)x.data;
    if (y.type == ROWS_BF16)
        scatter_add<<<(unsigned)x.n, THREADS, 0, s>>>((bf16 *)y.data, from, rows, x.width);
    else scatter_add<<<(unsigned)x.n, THREADS, 0, s>>>((float *)y.data, from, rows, x.width);
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
