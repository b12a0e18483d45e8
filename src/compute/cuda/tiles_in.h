/* tiles_in: what the attention kernels share: which keys a query sees, copies into shared memory,
 * and products on the tensor units (mma.sync m16n8k16, bf16 in, float32 out). For .cu files only.
 *
 * In shared memory a row of HD numbers takes HD + 8: rows then fall on other banks. */
#ifndef CASELOAD_COMPUTE_CUDA_TILES_IN_H
#define CASELOAD_COMPUTE_CUDA_TILES_IN_H

#include "compute/cuda/lanes_in.h"

#include <math_constants.h>

enum { KEYS = 64, M_ROWS = 16, AHEAD = 4 }; /* keys a block; rows of one product; loads ahead */

#define TO_TWO 1.4426950408889634f /* log2(e) */

static __device__ __forceinline__ bool sees(int32_t query, int32_t key, int32_t window)
{
    return (key <= query) & ((window == 0) | (query - key < window));
}

typedef struct stretch { /* columns of a block */
    int32_t first, count;
} stretch;

/* Which of n keys from `position` on a query sees. */
static __device__ __forceinline__ stretch seen_of(int32_t query, int32_t position, int32_t n,
                                                  int32_t window)
{
    const int32_t on = query - position + 1, end = on < n ? on : n;
    const int32_t first = window > 0 && on > window ? on - window : 0;
    return (stretch){first, end > first ? end - first : 0};
}

static __device__ __forceinline__ bool is_in(stretch s, int32_t column)
{
    return (uint32_t)(column - s.first) < (uint32_t)s.count;
}

static __device__ __forceinline__ float exp_two(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* ---- which keys ---- */

typedef struct seen { /* positions of the tile's queries, and the window */
    int32_t first, last, window;
} seen;

/* Which of the tile's spans alone sees range i; -1: all. A tile of several spans runs over what
 * they share and then over each one's last range. */
static __device__ __forceinline__ int32_t owner_of(const k_tile &tile, const k_span &span,
                                                   int32_t i)
{
    return tile.n_span > 1 && i >= span.n_range - 1 ? i - (span.n_range - 1) : -1;
}

static __device__ __forceinline__ k_range range_at(const k_attention &a, const k_tile &tile,
                                                   const k_span &span, int32_t i)
{
    const int32_t owner = owner_of(tile, span, i);
    if (owner < 0) return a.range[span.first_range + i];
    const k_span own = a.span[tile.span + owner];
    return a.range[own.first_range + own.n_range - 1];
}

typedef struct walk { /* over blocks of keys */
    k_range range;    /* where it is, */
    int32_t i, from;  /* this one of the tile's, and the block's first key in it */
} walk;

static __device__ __forceinline__ walk walk_begin(void) { return (walk){{0, 0, 0}, -1, 0}; }

/* From w->from on to the next block of which any query of the tile sees anything; false at the
 * end. */
static __device__ __forceinline__ bool walk_on(const k_attention &a, const k_tile &tile,
                                               const k_span &span, seen s, int32_t keys, walk *w)
{
    for (;;) {
        const int32_t first = w->range.position + w->from, left = w->range.count - w->from;
        if (left > 0 && first <= s.last) { /* else all of the range that is left is seen by none */
            const int32_t n = left < keys ? left : keys;
            if (s.window == 0 || s.first - (first + n - 1) < s.window) return true;
            w->from += keys;
            continue;
        }
        if (++w->i >= span.n_range + tile.n_span - 1) return false;
        w->range = range_at(a, tile, span, w->i), w->from = 0;
    }
}

/* ---- copies into shared memory ---- */

static __device__ __forceinline__ void copy_async(void *to, const void *from)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(at), "l"(from));
}

static __device__ __forceinline__ void copies_end(void)
{
    asm volatile("cp.async.commit_group;\n");
}

template <int LEFT> static __device__ __forceinline__ void copies_wait(void)
{
    asm volatile("cp.async.wait_group %0;\n" ::"n"(LEFT));
}

/* Eight numbers of a row of `width` into bf16, zeros past its end or where there is no row. */
static __device__ __forceinline__ void copy8(bf16 *to, const bf16 *row, int j, int width)
{
    if (row && width % LANES == 0 && j < width) {
        copy_async(to, row + j);
        return;
    }
    float v[LANES];
#pragma unroll
    for (int i = 0; i < LANES; i++) v[i] = row && j + i < width ? number(row[j + i]) : 0;
    store8(to, v);
}

static __device__ __forceinline__ void copy8(bf16 *to, const float *row, int j, int width)
{
    float v[LANES] = {0};
    if (row && width % LANES == 0 && j < width) {
        load8(v, row + j);
    } else {
#pragma unroll
        for (int i = 0; i < LANES; i++) v[i] = row && j + i < width ? row[j + i] : 0;
    }
    store8(to, v);
}

/* 16 bytes, or zeros when `there` is false. */
static __device__ __forceinline__ void copy_or_zero(void *to, const void *from, bool there)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(at), "l"(from),
                 "r"(there ? 16 : 0));
}

/* `rows` slots from `slot` on of one K/V head; slots from n on are zeros. Heads of exactly HD
 * numbers in bf16, whose chunks divide the threads: each thread walks down one column. */
template <typename T, int HD, int THREADS>
static __device__ __forceinline__ void copy_slots(bf16 *to, const T *from, const k_attention &a,
                                                  int32_t slot, int32_t n, int32_t rows)
{
    constexpr int CHUNKS = HD / LANES, LD = HD + LANES, STEP = THREADS / CHUNKS;
    if (sizeof(T) == sizeof(bf16) && THREADS % CHUNKS == 0 && a.head_dim == HD) {
        const int first = (int)threadIdx.x / CHUNKS, j = (int)threadIdx.x % CHUNKS * LANES;
        const int64_t stride = (int64_t)a.heads_kv * HD;
        const T *row = from + (slot + first) * stride + (int64_t)blockIdx.y * HD + j;
        bf16 *at = to + first * LD + j;
#pragma unroll 8
        for (int key = first; key < rows; key += STEP) {
            copy_or_zero(at, key < n ? row : from, key < n);
            row += STEP * stride, at += STEP * LD;
        }
        return;
    }
    for (int i = (int)threadIdx.x; i < rows * CHUNKS; i += THREADS) {
        const int key = i / CHUNKS, j = i % CHUNKS * LANES;
        const T *row = from + ((int64_t)(slot + key) * a.heads_kv + blockIdx.y) * a.head_dim;
        copy8(to + key * LD + j, key < n ? row : (const T *)NULL, j, a.head_dim);
    }
}

/* Row and head of packed row p of a span: its place in [n, heads]. */
static __device__ __forceinline__ int64_t packed_at(const k_attention &a, const k_span &span,
                                                    int32_t p)
{
    const int32_t group = a.heads / a.heads_kv;
    return (int64_t)(span.row + p / group) * a.heads + (int64_t)blockIdx.y * group + p % group;
}

/* Packed rows first .. of [n, heads, head_dim]; past the span's end zeros. */
template <typename T, int HD, int THREADS>
static __device__ void copy_packed(bf16 *to, const T *from, const k_attention &a,
                                   const k_span &span, int32_t first, int32_t rows)
{
    constexpr int CHUNKS = HD / LANES, LD = HD + LANES;
    const int32_t packed = span.count * (a.heads / a.heads_kv);
    for (int i = (int)threadIdx.x; i < rows * CHUNKS; i += THREADS) {
        const int32_t p = first + i / CHUNKS, j = i % CHUNKS * LANES;
        const T *row = p < packed ? from + packed_at(a, span, p) * a.head_dim : (const T *)NULL;
        copy8(to + i / CHUNKS * LD + j, row, j, a.head_dim);
    }
}

/* ---- tensor units ---- */

static __device__ __forceinline__ void load_matrices(uint32_t r[4], const bf16 *at)
{
    const uint32_t p = (uint32_t)__cvta_generic_to_shared(at);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(p));
}

static __device__ __forceinline__ void load_transposed(uint32_t r[4], const bf16 *at)
{
    const uint32_t p = (uint32_t)__cvta_generic_to_shared(at);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(p));
}

/* c [16,8] += a [16,16] b [16,8] */
static __device__ __forceinline__ void multiply(float c[4], const uint32_t a[4],
                                                const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* s [MT x 16, N] = rows of `as` times rows of `bs`, both of HD numbers in shared memory. */
template <int HD, int N, int MT>
static __device__ __forceinline__ void rows_by_rows(float s[MT][N / 8][4], const bf16 *as,
                                                    const bf16 *bs)
{
    constexpr int LD = HD + LANES;
    const int lane = (int)threadIdx.x % WARP;
    const bf16 *at_a = as + (lane % 8 + lane / 8 % 2 * 8) * LD + lane / 16 * 8;
    const bf16 *at_b = bs + (lane % 8 + lane / 16 * 8) * LD + lane / 8 % 2 * 8;
#pragma unroll
    for (int t = 0; t < MT; t++) {
#pragma unroll
        for (int i = 0; i < N / 8; i++) s[t][i][0] = s[t][i][1] = s[t][i][2] = s[t][i][3] = 0;
    }
#pragma unroll
    for (int d = 0; d < HD; d += 16) {
        uint32_t a[MT][4], b[N / 16][4]; /* all loads of a step before its products */
#pragma unroll
        for (int t = 0; t < MT; t++) load_matrices(a[t], at_a + t * M_ROWS * LD + d);
#pragma unroll
        for (int i = 0; i < N / 16; i++) load_matrices(b[i], at_b + i * 16 * LD + d);
#pragma unroll
        for (int i = 0; i < N / 16; i++) {
#pragma unroll
            for (int t = 0; t < MT; t++) {
                multiply(s[t][2 * i], a[t], b[i]);
                multiply(s[t][2 * i + 1], a[t], b[i] + 2);
            }
        }
    }
}

/* out [MT x 16, ND] += p [MT x 16, K] times numbers 0 .. ND of K rows of `vs` (HD numbers each). */
template <int HD, int ND, int K, int MT>
static __device__ __forceinline__ void by_columns(float out[MT][ND / 8][4],
                                                  const float p[MT][K / 8][4], const bf16 *vs)
{
    constexpr int LD = HD + LANES;
    const int lane = (int)threadIdx.x % WARP;
    const bf16 *v = vs + (lane % 8 + lane / 8 % 2 * 8) * LD + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < K / 16; k++) {
        uint32_t a[MT][4], b[AHEAD][4];
#pragma unroll
        for (int t = 0; t < MT; t++) {
            a[t][0] = two_bf16(p[t][2 * k][0], p[t][2 * k][1]);
            a[t][1] = two_bf16(p[t][2 * k][2], p[t][2 * k][3]);
            a[t][2] = two_bf16(p[t][2 * k + 1][0], p[t][2 * k + 1][1]);
            a[t][3] = two_bf16(p[t][2 * k + 1][2], p[t][2 * k + 1][3]);
        }
#pragma unroll
        for (int d = 0; d < ND / 16; d += AHEAD) {
#pragma unroll
            for (int j = 0; j < AHEAD; j++) {
                if (d + j < ND / 16) load_transposed(b[j], v + k * 16 * LD + (d + j) * 16);
            }
#pragma unroll
            for (int j = 0; j < AHEAD; j++) {
#pragma unroll
                for (int t = 0; t < MT && d + j < ND / 16; t++) {
                    multiply(out[t][2 * (d + j)], a[t], b[j]);
                    multiply(out[t][2 * (d + j) + 1], a[t], b[j] + 2);
                }
            }
        }
    }
}

#endif
