/* ring_in: what the kernels share that walk down wide rows with adapters beside them: small factors
 * in shared memory, and pairs of bf16 as they lie in registers. For .cu files only. */
#ifndef CASELOAD_COMPUTE_CUDA_RING_IN_H
#define CASELOAD_COMPUTE_CUDA_RING_IN_H

#include "compute/cuda/tiles_in.h"

extern "C" {
#include "compute/cuda/kernels_fused.h"
}

enum { WARP_W = 32, TILES = WARP_W / 8 }; /* numbers of the width to a warp, products of them */

/* Rows of SLOTS in shared memory, such that eight of them fall on different banks. */
template <int SLOTS> struct slots_of_row {
    static constexpr int LD = SLOTS == 16 ? 16 : SLOTS + LANES;
    static constexpr int SLICES = SLOTS / ADAPTER_SLICE;
    static constexpr int WARPS = SLOTS <= 16 ? 8 : 4, THREADS = WARPS * WARP;
    static constexpr int CHUNK = SLOTS <= 16 ? 4 : 1; /* steps that one copy of inner rows serves */
    static constexpr int LOW = CHUNK * M_ROWS * LD;   /* of a part, in bf16 */
};

template <int SLOTS> static __device__ __forceinline__ int slots_at(int row, int chunk)
{
    return SLOTS == 16 ? row * 16 + (chunk ^ (row / 4 & 1)) * LANES
                       : row * (SLOTS + LANES) + chunk * LANES;
}

/* Where number `in` of a warp's 32 stands: number e of tile t is 2 t + e of a thread's eight. */
static __device__ __forceinline__ int tile_row(int in)
{
    return in % 8 / 2 * 8 + in / 8 * 2 + in % 2;
}

/* A chunk of an adapter's inner rows from `first` on. */
template <int SLOTS>
static __device__ __forceinline__ void copy_lows(bf16 *to, const k_lows &l, int part, int64_t first)
{
    typedef slots_of_row<SLOTS> P;
    constexpr int CHUNKS = SLOTS / LANES, COUNT = P::CHUNK * M_ROWS * CHUNKS;
    const int rank = l.rank[part], left = l.n - first < COUNT ? (int)(l.n - first) : COUNT;
    const bf16 *low = (const bf16 *)l.rows[part] + first * rank;
#pragma unroll
    for (int k = 0; k < (COUNT + P::THREADS - 1) / P::THREADS; k++) {
        const int i = (int)threadIdx.x + k * P::THREADS, row = i / CHUNKS, chunk = i % CHUNKS;
        if (COUNT % P::THREADS != 0 && i >= COUNT) continue;
        copy_or_zero(to + slots_at<SLOTS>(row, chunk), low + row * rank + chunk * LANES,
                     row < left && chunk * LANES < rank);
    }
}

/* Sixteen inner rows as the first factor; or turned, slots by rows. */
template <int SLOTS>
static __device__ __forceinline__ void load_low(uint32_t low[SLOTS / 16][4], const bf16 *from,
                                                int lane, bool turned)
{
#pragma unroll
    for (int s = 0; s < SLOTS / 16; s++) {
        if (turned) {
            load_transposed(low[s],
                            from + slots_at<SLOTS>(lane % 8 + lane / 16 * 8, s * 2 + lane / 8 % 2));
        } else load_matrices(low[s], from + slots_at<SLOTS>(lane % 16, s * 2 + lane / 16));
    }
}

/* sum of tiles t and t + 1 += low times the small matrix m of a warp's 32 numbers. */
template <int SLOTS>
static __device__ __forceinline__ void add_low(float sum[2][4], const uint32_t low[SLOTS / 16][4],
                                               const bf16 *m, int t, int lane)
{
#pragma unroll
    for (int s = 0; s < SLOTS / 16; s++) {
        uint32_t factor[4];
        load_matrices(factor,
                      m + slots_at<SLOTS>((t + lane / 16) * 8 + lane % 8, s * 2 + lane / 8 % 2));
        multiply(sum[0], low[s], factor);
        multiply(sum[1], low[s], factor + 2);
    }
}

static __device__ __forceinline__ float pair_number(uint32_t pair, int i)
{
    return __uint_as_float(i ? pair & 0xffff0000u : pair << 16);
}

/* word[h][t] holds numbers 2 t and 2 t + 1 of row h: tiles t and t + 1, as products have them. */
static __device__ __forceinline__ void open_pairs(float sum[2][4], const uint32_t word[2][TILES],
                                                  int t)
{
#pragma unroll
    for (int i = 0; i < 8; i++) {
        sum[i / 4][i % 4] = pair_number(word[i % 4 / 2][t + i / 4], i % 2);
    }
}

static __device__ __forceinline__ void close_pairs(uint32_t word[2][TILES], const float sum[2][4],
                                                   int t)
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        word[i % 2][t + i / 2] = two_bf16(sum[i / 2][i % 2 * 2], sum[i / 2][i % 2 * 2 + 1]);
    }
}

/* 8 x 8 numbers of a warp, transposed. */
static __device__ __forceinline__ uint32_t transposed(uint32_t pair)
{
    uint32_t to;
    asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(to) : "r"(pair));
    return to;
}

/* sum [slot, number] += sixteen inner rows, transposed, times the wide rows in `word`. */
template <int SLOTS>
static __device__ __forceinline__ void
add_grads(float sum[SLOTS / 16][TILES][4], const uint32_t word[2][TILES], const bf16 *low, int lane)
{
    uint32_t factor[SLOTS / 16][4];
    load_low<SLOTS>(factor, low, lane, true);
#pragma unroll
    for (int t = 0; t < TILES; t++) {
        const uint32_t rows[2] = {transposed(word[0][t]), transposed(word[1][t])};
#pragma unroll
        for (int s = 0; s < SLOTS / 16; s++) multiply(sum[s][t], factor[s], rows);
    }
}

/* Of a warp's eight columns from `to` on: the sums of each slot, `width` apart. */
template <int SLOTS>
static __device__ __forceinline__ void give_grads(float *to, const float sum[SLOTS / 16][TILES][4],
                                                  int64_t width, int lane)
{
#pragma unroll
    for (int i = 0; i < SLOTS / 8; i++) { /* slice, half of its slots */
        const float(*t)[4] = sum[i / 2];
        float *at = to + (i * 8 + lane / 4) * width;
        const int h = i % 2 * 2;
        *(float4 *)at = make_float4(t[0][h], t[0][h + 1], t[1][h], t[1][h + 1]);
        *(float4 *)(at + 4) = make_float4(t[2][h], t[2][h + 1], t[3][h], t[3][h + 1]);
    }
}

/* Four slots of a column, summed over the splits of the rows, which lie `next` apart. */
static __device__ __forceinline__ void sum_splits(float sum[4], const float *from, int64_t width,
                                                  int64_t next, int32_t splits)
{
#pragma unroll
    for (int j = 0; j < 4; j++) sum[j] = 0;
    for (int32_t i = 0; i < splits; i++, from += next) {
#pragma unroll
        for (int j = 0; j < 4; j++) sum[j] += from[j * width];
    }
}

static __device__ __forceinline__ void add_four(float *at, const float v[4])
{
    const float4 old = *(float4 *)at;
    *(float4 *)at = make_float4(old.x + v[0], old.y + v[1], old.z + v[2], old.w + v[3]);
}

/* Nobody moves a read of what a thread has copied itself past this. */
static __device__ __forceinline__ void own_copies(void) { asm volatile("" ::: "memory"); }

/* From and to a ring in shared memory whose slots lie `stride` apart. */
static __device__ __forceinline__ void take_words(uint32_t word[2][TILES], const uint4 *ring,
                                                  int stride)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const uint4 w = ring[h * stride];
        word[h][0] = w.x, word[h][1] = w.y, word[h][2] = w.z, word[h][3] = w.w;
    }
}

/* From where a thread copies to its ring, or to where it writes: eight numbers of two rows, eight
 * apart, of a step; `left` counts the rows from the first of them on, 0 or less: none. */
typedef struct row_walk {
    int64_t at, next; /* in numbers: of the first row; eight rows on */
    int left;
} row_walk;

static __device__ __forceinline__ row_walk walk_from(int64_t row, int64_t end, int64_t column,
                                                     int64_t width, bool there)
{
    const int64_t left = end - row;
    const row_walk w = {row * width + column, 8 * width, there ? (int)left : 0};
    return w;
}

static __device__ __forceinline__ void walk_on(row_walk *w)
{
    w->at += 2 * w->next;
    w->left -= M_ROWS;
}

static __device__ __forceinline__ void copy_two(uint4 *ring, int stride, const void *rows,
                                                const row_walk &w)
{
    const bf16 *from = (const bf16 *)rows + w.at;
    copy_or_zero(ring, from, w.left > 0);
    copy_or_zero(ring + stride, from + w.next, w.left > 8);
}

static __device__ __forceinline__ void give_two(void *rows, const uint32_t word[2][TILES],
                                                const row_walk &w)
{
    bf16 *to = (bf16 *)rows + w.at;
    if (w.left > 0) *(uint4 *)to = make_uint4(word[0][0], word[0][1], word[0][2], word[0][3]);
    if (w.left > 8)
        *(uint4 *)(to + w.next) = make_uint4(word[1][0], word[1][1], word[1][2], word[1][3]);
}

/* Stages of a ring, one after another. */
template <int STAGED> static __device__ __forceinline__ int stage_after(int stage)
{
    return stage + 1 == STAGED ? 0 : stage + 1;
}

/* May a block have so much shared memory here? */
static inline bool fits_block(size_t bytes)
{
    int card = 0, most = 0;
    cudaGetDevice(&card);
    cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, card);
    return bytes <= (size_t)most;
}

#endif
