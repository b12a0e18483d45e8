/* rows: norm, rotation, gates, sums and moves of rows; see kernels.h. Each row is computed alone:
 * by a warp where it is short, else by a block, which depends on its width only. Eight numbers a
 * thread where widths allow it. */
#include "compute/cuda/gates_in.h"

enum { THREADS = 256, SHORT_ROW = 1024, KEPT = 2 /* eights of a row that a thread keeps */ };

/* ---- RMS norm ---- */

template <typename Y, typename X, int EACH>
static __device__ __forceinline__ void norm_read(float v[LANES], const X *x)
{
    if (EACH == LANES) load8(v, x);
    else v[0] = number(*x);
}

/* The norm's own weights, as they are stored. */
template <int EACH>
static __device__ __forceinline__ void norm_weights(float v[LANES], const k_rows &w, int64_t j)
{
    const float *wide = (const float *)w.data + j;
    const bf16 *half = (const bf16 *)w.data + j;
    if (EACH == LANES && w.type == ROWS_BF16) load8(v, half);
    else if (EACH == LANES) load8(v, wide);
    else v[0] = w.type == ROWS_BF16 ? number(*half) : *wide;
}

/* One row by `threads` threads, this one being `me`; `warp_row`: they are one warp. */
template <typename Y, typename X, int EACH, bool WARP_ROW>
static __device__ void norm_row(Y *y, const X *x, k_rows w, float eps, float w_plus, int64_t width,
                                int me, int threads, float *space)
{
    const int64_t stride = (int64_t)threads * EACH, first = (int64_t)me * EACH;
    float kept[KEPT][LANES], v[LANES], weight[LANES], sum = 0;
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        if (first + k * stride >= width) continue;
        norm_read<Y, X, EACH>(kept[k], x + first + k * stride);
#pragma unroll
        for (int i = 0; i < EACH; i++) sum += kept[k][i] * kept[k][i];
    }
    for (int64_t j = first + KEPT * stride; j < width; j += stride) {
        norm_read<Y, X, EACH>(v, x + j);
#pragma unroll
        for (int i = 0; i < EACH; i++) sum += v[i] * v[i];
    }
    sum = WARP_ROW ? warp_sum(sum) : block_sum(sum, space);
    const float scale = 1 / sqrtf(sum / (float)width + eps);
#pragma unroll
    for (int k = 0; k < KEPT; k++) {
        const int64_t j = first + k * stride;
        if (j >= width) continue;
        norm_weights<EACH>(weight, w, j);
#pragma unroll
        for (int i = 0; i < EACH; i++) v[i] = kept[k][i] * scale * (weight[i] + w_plus);
        if (EACH == LANES) store8(y + j, v);
        else put(y + j, v[0]);
    }
    for (int64_t j = first + KEPT * stride; j < width; j += stride) {
        norm_read<Y, X, EACH>(v, x + j);
        norm_weights<EACH>(weight, w, j);
#pragma unroll
        for (int i = 0; i < EACH; i++) v[i] = v[i] * scale * (weight[i] + w_plus);
        if (EACH == LANES) store8(y + j, v);
        else put(y + j, v[0]);
    }
}

template <typename Y, typename X, int EACH>
static __global__ void rmsnorm_long(Y *y, const X *x, k_rows w, float eps, float w_plus,
                                    int64_t width)
{
    __shared__ float space[THREADS / WARP];
    const int64_t at = (int64_t)blockIdx.x * width;
    norm_row<Y, X, EACH, false>(y + at, x + at, w, eps, w_plus, width, (int)threadIdx.x, THREADS,
                                space);
}

template <typename Y, typename X, int EACH>
static __global__ void rmsnorm_short(Y *y, const X *x, k_rows w, float eps, float w_plus,
                                     int64_t width, int64_t n)
{
    const int64_t row = (int64_t)blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP;
    if (row >= n) return;
    norm_row<Y, X, EACH, true>(y + row * width, x + row * width, w, eps, w_plus, width,
                               (int)threadIdx.x % WARP, WARP, NULL);
}

template <typename Y, typename X, int EACH>
static void start_norm(k_stream s, k_rows y, k_rows x, k_rows w, float eps, float w_plus)
{
    if (x.width <= SHORT_ROW) {
        rmsnorm_short<Y, X, EACH>
            <<<blocks_of(x.n, THREADS / WARP), THREADS, 0, s>>>((Y *)y.data, (const X *)x.data, w,
                                                                eps, w_plus, x.width, x.n);
    } else {
        rmsnorm_long<Y, X, EACH><<<(unsigned)x.n, THREADS, 0, s>>>((Y *)y.data, (const X *)x.data,
                                                                   w, eps, w_plus, x.width);
    }
}

template <typename Y, typename X>
static void start_norm_of(k_stream s, k_rows y, k_rows x, k_rows w, float eps, float w_plus)
{
    if (x.width % LANES == 0 && is_aligned(x.data) && is_aligned(y.data) && is_aligned(w.data))
        start_norm<Y, X, LANES>(s, y, x, w, eps, w_plus);
    else start_norm<Y, X, 1>(s, y, x, w, eps, w_plus);
}

void k_rmsnorm(k_stream s, k_rows y, k_rows x, k_rows w, float eps, float w_plus)
{
    if (x.n == 0) return;
    if (y.type == ROWS_BF16 && x.type == ROWS_BF16)
        start_norm_of<bf16, bf16>(s, y, x, w, eps, w_plus);
    else if (y.type == ROWS_BF16) start_norm_of<bf16, float>(s, y, x, w, eps, w_plus);
    else if (x.type == ROWS_BF16) start_norm_of<float, bf16>(s, y, x, w, eps, w_plus);
    else start_norm_of<float, float>(s, y, x, w, eps, w_plus);
}

/* ---- rotation ---- */

template <typename T> static __global__ void rope_each(T *x, k_rope_how h, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, half = h.turned / 2;
    if (i >= n) return;
    const int64_t j = i % half, head = i / half;
    const float *cosine = h.table + (int64_t)h.positions[head / h.heads] * h.turned;
    T *first = x + head * h.head_dim + (h.pairs ? 2 * j : j);
    T *second = first + (h.pairs ? 1 : half);
    const float a = number(*first), b = number(*second), c = cosine[j];
    const float d = cosine[half + j] * h.sign;
    put(first, __fsub_rn(__fmul_rn(a, c), __fmul_rn(b, d)));
    put(second, __fadd_rn(__fmul_rn(a, d), __fmul_rn(b, c)));
}

/* Halves, eight pairs a thread. The same arithmetic as above. */
template <typename T> static __global__ void rope_eight(T *x, k_rope_how h, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x, half = h.turned / 2;
    if (i >= n) return;
    const int64_t chunks = half / LANES, j = i % chunks * LANES, head = i / chunks;
    const float *cosine = h.table + (int64_t)h.positions[head / h.heads] * h.turned + j;
    T *first = x + head * h.head_dim + j, *second = first + half;
    float a[LANES], b[LANES], c[LANES], d[LANES];
    load8(a, first), load8(b, second), load8(c, cosine), load8(d, cosine + half);
#pragma unroll
    for (int k = 0; k < LANES; k++) {
        const float sine = d[k] * h.sign, was = a[k];
        a[k] = __fsub_rn(__fmul_rn(was, c[k]), __fmul_rn(b[k], sine));
        b[k] = __fadd_rn(__fmul_rn(was, sine), __fmul_rn(b[k], c[k]));
    }
    store8(first, a), store8(second, b);
}

template <typename T> static void start_rope(k_stream s, k_rows x, k_rope_how h)
{
    const int64_t pairs = x.n * h.heads * (h.turned / 2);
    const bool wide = !h.pairs && h.turned % (2 * LANES) == 0 && h.head_dim % LANES == 0 &&
                      is_aligned(x.data) && is_aligned(h.table);
    if (wide) {
        rope_eight<T>
            <<<blocks_of(pairs / LANES, THREADS), THREADS, 0, s>>>((T *)x.data, h, pairs / LANES);
    } else {
        rope_each<T><<<blocks_of(pairs, THREADS), THREADS, 0, s>>>((T *)x.data, h, pairs);
    }
}

void k_rope(k_stream s, k_rows x, k_rope_how h)
{
    if (x.n == 0 || h.turned == 0) return;
    if (x.type == ROWS_BF16) start_rope<bf16>(s, x, h);
    else start_rope<float>(s, x, h);
}

/* ---- gates ---- */

/* `coarse`: the result is rounded to bf16, so the last bits of the quotient need not be right. */
static __device__ __forceinline__ float gate_of(float g, int32_t gelu, bool coarse)
{
    return coarse && !gelu ? __fdividef(g, 1 + __expf(-g)) : activate(g, gelu);
}

template <typename T>
static __global__ void glu_eight(T *y, const T *gate, const T *up, int32_t gelu, int64_t n,
                                 bool wide)
{
    constexpr bool coarse = sizeof(T) == sizeof(bf16);
    const int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * LANES;
    if (i >= n) return;
    if (!wide || i + LANES > n) {
        for (int64_t k = i; k < n && k < i + LANES; k++)
            put(y + k, gate_of(number(gate[k]), gelu, coarse) * number(up[k]));
        return;
    }
    float g[LANES], u[LANES];
    load8(g, gate + i), load8(u, up + i);
#pragma unroll
    for (int k = 0; k < LANES; k++) g[k] = gate_of(g[k], gelu, coarse) * u[k];
    store8(y + i, g);
}

void k_glu(k_stream s, k_rows y, k_rows gate, k_rows up, int32_t gelu)
{
    const int64_t n = y.n * y.width;
    const unsigned blocks = blocks_of(n, THREADS * LANES);
    const bool wide = is_aligned(y.data) && is_aligned(gate.data) && is_aligned(up.data);
    if (n == 0) return;
    if (y.type == ROWS_BF16) {
        glu_eight<bf16><<<blocks, THREADS, 0, s>>>((bf16 *)y.data, (const bf16 *)gate.data,
                                                   (const bf16 *)up.data, gelu, n, wide);
    } else {
        glu_eight<float><<<blocks, THREADS, 0, s>>>((float *)y.data, (const float *)gate.data,
                                                    (const float *)up.data, gelu, n, wide);
    }
}

/* ---- sums ---- */

template <typename Y, typename X>
static __global__ void add_eight(Y *y, const X *x, int64_t n, bool wide)
{
    const int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * LANES;
    if (i >= n) return;
    if (!wide || i + LANES > n) {
        for (int64_t k = i; k < n && k < i + LANES; k++) put(y + k, number(y[k]) + number(x[k]));
        return;
    }
    float a[LANES], b[LANES];
    load8(a, y + i), load8(b, x + i);
#pragma unroll
    for (int k = 0; k < LANES; k++) a[k] += b[k];
    store8(y + i, a);
}

void k_add(k_stream s, k_rows y, k_rows x)
{
    const int64_t n = y.n * y.width;
    const unsigned blocks = blocks_of(n, THREADS * LANES);
    const bool wide = is_aligned(y.data) && is_aligned(x.data);
    if (n == 0) return;
    if (y.type == ROWS_BF16 && x.type == ROWS_BF16)
        add_eight<<<blocks, THREADS, 0, s>>>((bf16 *)y.data, (const bf16 *)x.data, n, wide);
    else if (y.type == ROWS_BF16)
        add_eight<<<blocks, THREADS, 0, s>>>((bf16 *)y.data, (const float *)x.data, n, wide);
    else if (x.type == ROWS_BF16)
        add_eight<<<blocks, THREADS, 0, s>>>((float *)y.data, (const bf16 *)x.data, n, wide);
    else add_eight<<<blocks, THREADS, 0, s>>>((float *)y.data, (const float *)x.data, n, wide);
}

template <typename T>
static __global__ void add_bias(T *y, int64_t ld, const float *bias, int64_t width, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n) return;
    T *to = y + i / width * ld + i % width;
    put(to, number(*to) + bias[i % width]);
}

void k_add_bias(k_stream s, k_rows y, int64_t ld, const float *bias)
{
    const int64_t n = y.n * y.width;
    const unsigned blocks = blocks_of(n, THREADS);
    if (n == 0) return;
    if (y.type == ROWS_BF16)
        add_bias<<<blocks, THREADS, 0, s>>>((bf16 *)y.data, ld, bias, y.width, n);
    else add_bias<<<blocks, THREADS, 0, s>>>((float *)y.data, ld, bias, y.width, n);
}

/* ---- moves ---- */

template <typename T>
static __global__ void move_rows(T *y, const T *x, const int32_t *rows, int64_t width, bool scatter)
{
    const int64_t i = blockIdx.x, from = scatter ? i : rows[i], to = scatter ? rows[i] : i;
    for (int64_t j = threadIdx.x; j < width; j += THREADS) y[to * width + j] = x[from * width + j];
}

static void start_move(k_stream s, k_rows y, k_rows x, const int32_t *rows, int64_t n, bool scatter)
{
    const int64_t bytes = x.width * (x.type == ROWS_BF16 ? 2 : 4);
    const unsigned blocks = (unsigned)n;
    if (n == 0 || bytes == 0) return;
    if (bytes % 16 == 0 && is_aligned(y.data) && is_aligned(x.data)) {
        move_rows<<<blocks, THREADS, 0, s>>>((uint4 *)y.data, (const uint4 *)x.data, rows,
                                             bytes / 16, scatter);
    } else if (bytes % 4 == 0) {
        move_rows<<<blocks, THREADS, 0, s>>>((uint32_t *)y.data, (const uint32_t *)x.data, rows,
                                             bytes / 4, scatter);
    } else {
        move_rows<<<blocks, THREADS, 0, s>>>((uint16_t *)y.data, (const uint16_t *)x.data, rows,
                                             bytes / 2, scatter);
    }
}

void k_gather(k_stream s, k_rows y, k_rows x, const int32_t *rows)
{
    start_move(s, y, x, rows, y.n, false);
}

void k_scatter(k_stream s, k_rows y, k_rows x, const int32_t *rows)
{
    start_move(s, y, x, rows, x.n, true);
}

template <typename Y, typename X>
static __global__ void convert_eight(Y *y, const X *x, int64_t n, bool wide)
{
    const int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * LANES;
    if (i >= n) return;
    if (!wide || i + LANES > n) {
        for (int64_t k = i; k < n && k < i + LANES; k++) put(y + k, number(x[k]));
        return;
    }
    float v[LANES];
    load8(v, x + i);
    store8(y + i, v);
}

void k_convert(k_stream s, void *out, int32_t type, k_rows x)
{
    const int64_t n = x.n * x.width;
    const unsigned blocks = blocks_of(n, THREADS * LANES);
    const bool wide = is_aligned(out) && is_aligned(x.data);
    if (n == 0) return;
    if (type == ROWS_BF16 && x.type == ROWS_BF16)
        convert_eight<<<blocks, THREADS, 0, s>>>((bf16 *)out, (const bf16 *)x.data, n, wide);
    else if (type == ROWS_BF16)
        convert_eight<<<blocks, THREADS, 0, s>>>((bf16 *)out, (const float *)x.data, n, wide);
    else if (x.type == ROWS_BF16)
        convert_eight<<<blocks, THREADS, 0, s>>>((float *)out, (const bf16 *)x.data, n, wide);
    else convert_eight<<<blocks, THREADS, 0, s>>>((float *)out, (const float *)x.data, n, wide);
}

static __global__ void two_terms(bf16 *hi, bf16 *lo, const float *x, int64_t n, bool wide)
{
    const int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * LANES;
    if (i >= n) return;
    if (!wide || i + LANES > n) {
        for (int64_t k = i; k < n && k < i + LANES; k++) {
            put(hi + k, x[k]);
            put(lo + k, x[k] - number(hi[k]));
        }
        return;
    }
    float v[LANES], high[LANES];
    load8(v, x + i);
    store8(hi + i, v);
    load8(high, hi + i);
#pragma unroll
    for (int k = 0; k < LANES; k++) v[k] -= high[k];
    store8(lo + i, v);
}

void k_two_terms(k_stream s, void *hi, void *lo, const float *x, int64_t n)
{
    const bool wide = is_aligned(hi) && is_aligned(lo) && is_aligned(x);
    if (n == 0) return;
    two_terms<<<blocks_of(n, THREADS * LANES), THREADS, 0, s>>>((bf16 *)hi, (bf16 *)lo, x, n, wide);
}
