/* soften_in: what the kernels of attention's way forward share: the online softmax over blocks of
 * KEYS keys, and writing a tile's rows. A thread has two rows, 8 apart, and of each block the
 * columns that products on the tensor units leave it (mma m16n8 and wgmma alike). For .cu files
 * only. */
#ifndef CASELOAD_COMPUTE_CUDA_SOFTEN_IN_H
#define CASELOAD_COMPUTE_CUDA_SOFTEN_IN_H

#include "compute/cuda/tiles_in.h"

enum { TILES_MAX = 65535 }; /* of a launch */

#define LEAST (-1e30f) /* the largest of none: finite, so that differences are numbers */

typedef struct running {      /* of the two rows that a thread shares with three others */
    float largest[2], sum[2]; /* logit in units of log 2; of the thread's own columns */
} running;

typedef struct key_block { /* where a block's keys stand */
    int32_t position, n;
    bool all;      /* every query of the tile sees all of them */
    int32_t owner; /* the only span of the tile that does; -1: any */
} key_block;

typedef struct opening { /* a tile, of at most so many rows */
    k_tile tile;
    k_span span; /* of a bundle: its rows in a row, all at one position */
    int32_t group, packed;
    int32_t step; /* of the position, from query to query */
    seen see;
} opening;

static __device__ __forceinline__ opening open_tile(const k_attention &a, int32_t height)
{
    opening o;
    o.tile = a.tile[blockIdx.z], o.span = a.span[o.tile.span];
    if (o.tile.n_span > 1) o.span.count = o.tile.n_span;
    o.group = a.heads / a.heads_kv, o.packed = o.span.count * o.group;
    o.step = o.tile.n_span > 1 ? 0 : 1;
    const int32_t end = o.tile.first + height < o.packed ? o.tile.first + height : o.packed;
    o.see = (seen){o.span.position + o.tile.first / o.group * o.step,
                   o.span.position + (end - 1) / o.group * o.step, a.window};
    return o;
}

typedef struct two_rows {      /* of a thread: rows 8 apart */
    int32_t query[2], span[2]; /* position; which span of the tile's */
} two_rows;

static __device__ __forceinline__ two_rows two_rows_at(const opening &o, int32_t top)
{
    const int32_t i = top / o.group, j = (top + 8) / o.group;
    return (two_rows){{o.span.position + i * o.step, o.span.position + j * o.step}, {i, j}};
}

static __device__ __forceinline__ float most_of_four(float x)
{
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

static __device__ __forceinline__ float sum_of_four(float x)
{
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/* Where a query does not see the key: -inf. */
static __device__ __forceinline__ void mask(float s[KEYS / 8][4], const k_attention &a,
                                            const two_rows rows, key_block keys)
{
    const int column = (int)threadIdx.x % 4 * 2;
    stretch seen[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const bool other = keys.owner >= 0 && rows.span[h] != keys.owner;
        seen[h] = seen_of(rows.query[h], keys.position, other ? 0 : keys.n, a.window);
        seen[h].first -= column;
    }
#pragma unroll
    for (int i = 0; i < KEYS / 8 * 4; i++) {
        const bool there = is_in(seen[i % 4 / 2], i / 4 * 8 + i % 2);
        s[i / 4][i % 4] = there ? s[i / 4][i % 4] : -CUDART_INF_F; /* no branches */
    }
}

/* The same; dot products are to be multiplied by logit_factor() for logits in units of log 2; with
 * a soft-cap they become such logits here, and the factor is 1. */
static __device__ __forceinline__ void cap_and_mask(float s[KEYS / 8][4], const k_attention &a,
                                                    const two_rows rows, key_block keys)
{
    if (a.softcap > 0) {
        const float inside = a.scale / a.softcap, outside = a.softcap * TO_TWO;
#pragma unroll
        for (int i = 0; i < KEYS / 8 * 4; i++) {
            s[i / 4][i % 4] = __fmul_rn(outside, tanhf(s[i / 4][i % 4] * inside));
        }
    }
    if (!keys.all) mask(s, a, rows, keys);
}

static __device__ __forceinline__ float logit_factor(const k_attention &a)
{
    return a.softcap > 0 ? 1 : a.scale * TO_TWO;
}

/* Logits / factor become weights exp(logit - largest). `fade`: what earlier sums are to be
 * multiplied by, as the largest has changed. Roundings are spelled out: every kernel gives the same
 * bits. */
static __device__ __forceinline__ void soften(float s[KEYS / 8][4], float factor, running *r,
                                              float fade[2])
{
    float most[2] = {-CUDART_INF_F, -CUDART_INF_F}, base[2], sum[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < KEYS / 8; i++) {
        most[0] = fmaxf(most[0], fmaxf(s[i][0], s[i][1]));
        most[1] = fmaxf(most[1], fmaxf(s[i][2], s[i][3]));
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float largest = __fmul_rn(fmaxf(most_of_four(most[h]), LEAST), factor);
        base[h] = fmaxf(r->largest[h], largest);
        fade[h] = exp_two(__fsub_rn(r->largest[h], base[h]));
        r->largest[h] = base[h];
    }
#pragma unroll
    for (int i = 0; i < KEYS / 8; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            s[i][j] = exp_two(__fmaf_rn(s[i][j], factor, -base[j / 2]));
            sum[j / 2] = __fadd_rn(sum[j / 2], s[i][j]);
        }
    }
#pragma unroll
    for (int h = 0; h < 2; h++) r->sum[h] = __fmaf_rn(r->sum[h], fade[h], sum[h]);
}

template <int HD>
static __device__ __forceinline__ void fade_rows(float out[HD / 8][4], const float fade[2])
{
#pragma unroll
    for (int i = 0; i < HD / 8; i++) {
        out[i][0] = __fmul_rn(out[i][0], fade[0]), out[i][1] = __fmul_rn(out[i][1], fade[0]);
        out[i][2] = __fmul_rn(out[i][2], fade[1]), out[i][3] = __fmul_rn(out[i][3], fade[1]);
    }
}

/* ---- a tile ---- */

/* Of a row's weights; 0 for a row that sees nothing. */
static __device__ __forceinline__ float log_of(float largest, float sum)
{
    return sum > 0 ? __fmaf_rn(largest, 0.69314718055994531f, logf(sum)) : 0;
}

template <typename T, int HD>
static __device__ void write_rows(const float out[HD / 8][4], const running &r,
                                  const k_attention &a, const int64_t row[2])
{
    const int column = (int)threadIdx.x % 4 * 2;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float sum = sum_of_four(r.sum[h]), scale = sum > 0 ? 1 / sum : 0;
        if (row[h] < 0) continue;
        T *to = (T *)a.o + row[h] * a.head_dim;
#pragma unroll
        for (int i = 0; i < HD / 8; i++) {
            put_two(to, i * 8 + column, a.head_dim, out[i][2 * h] * scale,
                    out[i][2 * h + 1] * scale);
        }
        if (a.log_sum_exp && column == 0) {
            a.log_sum_exp[row[h]] = log_of(r.largest[h], sum);
        }
    }
}

/* A warp's 16 queries for the tensor units. */
template <int HD>
static __device__ __forceinline__ void keep_rows(uint32_t a[HD / 16][4], const bf16 *as)
{
    constexpr int LD = HD + LANES;
    const int lane = (int)threadIdx.x % WARP;
    const bf16 *at = as + (lane % 8 + lane / 8 % 2 * 8) * LD + lane / 16 * 8;
#pragma unroll
    for (int d = 0; d < HD / 16; d++) load_matrices(a[d], at + d * 16);
}

/* The first N columns of s [16, KEYS] = kept rows times rows of `bs`: rows_by_rows with the same
 * order of sums. The other columns are 0. */
template <int HD, int N>
static __device__ __forceinline__ void kept_by_rows(float s[KEYS / 8][4],
                                                    const uint32_t a[HD / 16][4], const bf16 *bs)
{
    constexpr int LD = HD + LANES;
    const int lane = (int)threadIdx.x % WARP;
    const bf16 *at_b = bs + (lane % 8 + lane / 16 * 8) * LD + lane / 8 % 2 * 8;
#pragma unroll
    for (int i = 0; i < KEYS / 8; i++) s[i][0] = s[i][1] = s[i][2] = s[i][3] = 0;
#pragma unroll
    for (int d = 0; d < HD / 16; d++) {
        uint32_t b[N / 16][4];
#pragma unroll
        for (int i = 0; i < N / 16; i++) load_matrices(b[i], at_b + i * 16 * LD + d * 16);
#pragma unroll
        for (int i = 0; i < N / 16; i++) {
            multiply(s[2 * i], a[d], b[i]);
            multiply(s[2 * i + 1], a[d], b[i] + 2);
        }
    }
}

#endif
