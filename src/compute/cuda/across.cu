/* across: what adapters give to rows, written alone, or added to the residual stream and normed in
 * one pass; see kernels_adapter.h and kernels_fused.h. Products on the tensor units have the width
 * as rows and the wide rows as columns, so that a thread has twice four numbers in a row of two
 * rows. In the norm a block has eight rows whole, and most of a row stays in registers between the
 * sum of squares and the norm. */
#include "compute/cuda/ring_in.h"

enum { ROWS = 8, WARPS = 16, PIECES = ADAPTER_TILE_W / M_ROWS, SECOND = ADAPTER_TILE_W / 2 };

/* Of the 64 numbers at a step: where the first or second four of a lane begin. */
static __device__ __forceinline__ int first_of(int lane, int second)
{
    return second * SECOND + lane / 4 * 4;
}

/* Four numbers in a row. */
static __device__ __forceinline__ void store4(float *at, const float v[4])
{
    *(float4 *)at = make_float4(v[0], v[1], v[2], v[3]);
}

static __device__ __forceinline__ void store4(bf16 *at, const float v[4])
{
    *(uint2 *)at = make_uint2(two_bf16(v[0], v[1]), two_bf16(v[2], v[3]));
}

static __device__ __forceinline__ void load4(float v[4], const float *at)
{
    const float4 f = *(const float4 *)at;
    v[0] = f.x, v[1] = f.y, v[2] = f.z, v[3] = f.w;
}

/* ---- packing ---- */

typedef struct tile_jobs {
    k_pack job[ADAPTER_PARTS];
    int32_t slices; /* of all */
} tile_jobs;

/* blockIdx: stretch of the width, slice of a job, job. A thread packs a lane's share of a piece. */
static __global__ void pack_tiles(tile_jobs all)
{
    const k_pack p = all.job[blockIdx.z];
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int lane = (int)(i % WARP), t = (int)(i / WARP % PIECES), s = (int)blockIdx.y;
    const int64_t step = i / WARP / PIECES;
    const int64_t column = step * ADAPTER_TILE_W + first_of(lane, t / 2) + t % 2 * 2;
    if (step * ADAPTER_TILE_W >= p.wide) return;
    uint32_t word[4];
#pragma unroll
    for (int k = 0; k < 4; k++) { /* two columns; slots from 0 and from 8 on */
        const int64_t at = column + k % 2;
        const int slot = s * ADAPTER_SLICE + k / 2 * 8 + lane % 4 * 2;
        const float *from = p.from + slot * p.from_rank + at * p.from_wide;
        const bool there = at < p.wide && slot < p.rank;
        word[k] = there ? two_bf16(from[0], from[p.from_rank]) : 0;
    }
    const int64_t slice = step * all.slices + blockIdx.z * gridDim.y + s;
    ((uint4 *)p.to)[(slice * PIECES + t) * WARP + lane] =
        make_uint4(word[0], word[1], word[2], word[3]);
}

void k_adapter_pack_tiles(k_stream s, const k_pack *job, int32_t n)
{
    enum { EACH = 128 };
    const int64_t steps = (job->wide + ADAPTER_TILE_W - 1) / ADAPTER_TILE_W;
    const unsigned slices = (unsigned)(job->slot / ADAPTER_SLICE);
    const dim3 grid(blocks_of(steps * PIECES * WARP, EACH), slices, (unsigned)n);
    tile_jobs all;
    all.slices = (int32_t)(n * slices);
    for (int32_t i = 0; i < n; i++) all.job[i] = job[i];
    if (steps > 0) pack_tiles<<<grid, EACH, 0, s>>>(all);
}

/* ---- written alone ---- */

/* Inner rows as the second factor: of row `row`, two slots from j on and two from j + 8 on. */
template <int SLICES>
static __device__ __forceinline__ void take_inner(uint32_t low[SLICES][2], const k_lows &l,
                                                  int64_t row)
{
#pragma unroll
    for (int i = 0; i < 2 * SLICES; i++) {
        const int slot = i * 8 + (int)threadIdx.x % 4 * 2, part = slot / l.slot, j = slot % l.slot;
        const int rank = l.rank[part];
        const bf16 *from = (const bf16 *)l.rows[part] + row * rank + j;
        low[i / 2][i % 2] = row < l.n && j < rank ? *(const uint32_t *)from : 0;
    }
}

/* blockIdx: 512 numbers of the width, split of the rows, `each` of them. A warp has 64 numbers and
 * keeps the small matrix of them in registers. */
template <typename T, int SLICES>
static __global__ void __launch_bounds__(8 * WARP, 2) write_low(k_adapter a, int64_t each)
{
    const k_wide job = a.job[0];
    const int lane = (int)threadIdx.x % WARP;
    const int64_t step = (int64_t)blockIdx.x * 8 + threadIdx.x / WARP, width = job.width;
    const int64_t column = step * ADAPTER_TILE_W + first_of(lane, 0), first = blockIdx.y * each;
    const int64_t end = first + each < a.low.n ? first + each : a.low.n;
    uint4 m[SLICES][PIECES];
    uint32_t low[SLICES][2], next[SLICES][2];
    if (step * ADAPTER_TILE_W >= width) return;
#pragma unroll
    for (int i = 0; i < SLICES * PIECES; i++) {
        m[i / PIECES][i % PIECES] =
            ((const uint4 *)job.m)[(step * SLICES * PIECES + i) * WARP + lane];
    }
    take_inner<SLICES>(next, a.low, first + lane / 4);
    T *to = (T *)job.rows + (first + lane % 4 * 2) * width + column;
    for (int64_t row = first; row < end; row += ROWS, to += ROWS * width) {
        float v[2][LANES];
#pragma unroll
        for (int i = 0; i < 2 * SLICES; i++) low[i / 2][i % 2] = next[i / 2][i % 2];
        take_inner<SLICES>(next, a.low, row + ROWS + lane / 4);
#pragma unroll
        for (int t = 0; t < PIECES; t++) {
            float sum[4] = {0, 0, 0, 0};
#pragma unroll
            for (int s = 0; s < SLICES; s++) {
                const uint32_t f[4] = {m[s][t].x, m[s][t].y, m[s][t].z, m[s][t].w};
                multiply(sum, f, low[s]);
            }
            v[0][2 * t] = sum[0], v[1][2 * t] = sum[1];
            v[0][2 * t + 1] = sum[2], v[1][2 * t + 1] = sum[3];
        }
#pragma unroll
        for (int e = 0; e < 2; e++) {
            if (row + lane % 4 * 2 + e >= end) continue;
            if (column < width) store4(to + e * width, v[e]);
            if (column + SECOND < width) store4(to + e * width + SECOND, v[e] + 4);
        }
    }
}

template <typename T> static void start_write(k_stream s, const k_adapter *a)
{
    enum { BLOCKS = 528, LEAST = 32 }; /* aimed at by splitting the rows, none of fewer */
    const int64_t across = blocks_of(a->job[0].width, 8 * ADAPTER_TILE_W);
    const int64_t want = BLOCKS / across, most = blocks_of(a->low.n, LEAST);
    const int64_t splits = want < 1 ? 1 : want < most ? want : most;
    const int64_t each = ((a->low.n + splits - 1) / splits + ROWS - 1) / ROWS * ROWS;
    const dim3 grid((unsigned)across, (unsigned)splits);
    switch (a->low.slot * a->low.n_part / ADAPTER_SLICE) {
    case 1: write_low<T, 1><<<grid, 8 * WARP, 0, s>>>(*a, each); break;
    case 2: write_low<T, 2><<<grid, 8 * WARP, 0, s>>>(*a, each); break;
    case 3: write_low<T, 3><<<grid, 8 * WARP, 0, s>>>(*a, each); break;
    default: write_low<T, 4><<<grid, 8 * WARP, 0, s>>>(*a, each); break;
    }
}

void k_adapter_write(k_stream s, const k_adapter *a, int32_t type)
{
    if (a->low.n == 0 || a->job[0].width == 0) return;
    if (type == ROWS_BF16) start_write<bf16>(s, a);
    else start_write<float>(s, a);
}

/* ---- and normed ---- */

/* A thread's twice four numbers of two rows at a step of the width. */
typedef struct part_at {
    int64_t at;       /* of the first row's first four; the second row is `width` on */
    int column, left; /* rows from the first on, and so many of the fours */
} part_at;

static __device__ __forceinline__ part_at part_of(const k_norm_add &h, int64_t group, int step)
{
    const int lane = (int)threadIdx.x % WARP, column = step * ADAPTER_TILE_W + first_of(lane, 0);
    const int64_t row = group * ROWS + lane % 4 * 2;
    const part_at p = {row * h.norm.width + column, column, (int)(h.norm.n - row)};
    return p;
}

/* Is there a row e, and four number i of it? */
static __device__ __forceinline__ bool is_there(const k_norm_add &h, const part_at &p, int e, int i)
{
    return e < p.left && p.column + i * SECOND < (int)h.norm.width;
}

/* Into this thread's own place of the ring. */
static __device__ __forceinline__ void copy_part(uint4 *to, const k_norm_add &h, const part_at &p)
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        copy_or_zero(to + i * WARPS * WARP, h.x + p.at + i / 2 * h.norm.width + i % 2 * SECOND,
                     is_there(h, p, i / 2, i % 2));
    }
}

static __device__ __forceinline__ void read_part(float v[2][LANES], const k_norm_add &h,
                                                 const part_at &p)
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float *to = v[i / 2] + i % 2 * 4;
        to[0] = to[1] = to[2] = to[3] = 0;
        if (is_there(h, p, i / 2, i % 2))
            load4(to, h.x + p.at + i / 2 * h.norm.width + i % 2 * SECOND);
    }
}

/* v += low m^T; it goes back to x, and rounded to `kept`. */
template <int SLICES>
static __device__ __forceinline__ void add_part(float v[2][LANES], const k_norm_add &h,
                                                const uint32_t low[SLICES][2], const part_at &p,
                                                int step)
{
    const int lane = (int)threadIdx.x % WARP;
    const uint4 *m = (const uint4 *)h.m + (int64_t)step * SLICES * PIECES * WARP + lane;
#pragma unroll
    for (int t = 0; t < PIECES; t++) {
        float sum[4] = {v[0][2 * t], v[1][2 * t], v[0][2 * t + 1], v[1][2 * t + 1]};
#pragma unroll
        for (int s = 0; s < SLICES; s++) {
            const uint4 f = __ldg(m + (s * PIECES + t) * WARP);
            const uint32_t a[4] = {f.x, f.y, f.z, f.w};
            multiply(sum, a, low[s]);
        }
        v[0][2 * t] = sum[0], v[1][2 * t] = sum[1];
        v[0][2 * t + 1] = sum[2], v[1][2 * t + 1] = sum[3];
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int64_t at = p.at + i / 2 * h.norm.width + i % 2 * SECOND;
        if (!is_there(h, p, i / 2, i % 2)) continue;
        store4(h.x + at, v[i / 2] + i % 2 * 4);
        store4((bf16 *)h.norm.kept + at, v[i / 2] + i % 2 * 4);
    }
}

static __device__ __forceinline__ void norm_part(const float v[2][LANES], const k_norm_add &h,
                                                 const float scale[2], const part_at &p)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float w[4], y[4];
        if (!is_there(h, p, 0, i)) continue;
        load4(w, h.norm.w + p.column + i * SECOND);
#pragma unroll
        for (int e = 0; e < 2; e++) {
            if (!is_there(h, p, e, i)) continue;
#pragma unroll
            for (int k = 0; k < 4; k++) y[k] = v[e][i * 4 + k] * scale[e] * (w[k] + h.norm.w_plus);
            store4((bf16 *)h.norm.y + p.at + e * h.norm.width + i * SECOND, y);
        }
    }
}

static __device__ __forceinline__ void add_squares(float squares[2], const float v[2][LANES])
{
#pragma unroll
    for (int i = 0; i < 2 * LANES; i++) {
        const float x = v[i / LANES][i % LANES];
        squares[i / LANES] += x * x;
    }
}

/* Groups of eight rows, one after another; the next one's numbers are on their way meanwhile. HELD:
 * steps of a row that stay in registers. */
/* long: one kernel */
template <int SLICES, int HELD>
static __global__ void __launch_bounds__(WARPS *WARP, 1) norm_add(k_norm_add h, int64_t groups)
{
    __shared__ float space[WARPS][ROWS];
    extern __shared__ __align__(16) unsigned char ring_space[];
    uint4 *const ring = (uint4 *)ring_space + threadIdx.x;
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int steps = (int)((h.norm.width + ADAPTER_TILE_W - 1) / ADAPTER_TILE_W);
    if (blockIdx.x >= groups) return;
#pragma unroll
    for (int k = 0; k < HELD; k++)
        copy_part(ring + k * 4 * WARPS * WARP, h, part_of(h, blockIdx.x, warp + k * WARPS));
    copies_end();
    for (int64_t group = blockIdx.x; group < groups; group += gridDim.x) {
        const int64_t row = group * ROWS + lane / 4;
        uint32_t low[SLICES][2];
        float held[HELD][2][LANES], v[2][LANES], squares[2] = {0, 0}, scale[2];
#pragma unroll
        for (int i = 0; i < SLICES * 2; i++) {
            const int slot = i * 8 + lane % 4 * 2;
            const bf16 *from = (const bf16 *)h.low + row * h.rank + slot;
            low[i / 2][i % 2] = row < h.norm.n && slot < h.rank ? *(const uint32_t *)from : 0;
        }
        copies_wait<0>();
#pragma unroll
        for (int i = 0; i < HELD * 4; i++) {
            const uint4 w = ring[i * WARPS * WARP];
            float *to = &held[i / 4][i / 2 % 2][i % 2 * 4];
            to[0] = __uint_as_float(w.x), to[1] = __uint_as_float(w.y);
            to[2] = __uint_as_float(w.z), to[3] = __uint_as_float(w.w);
        }
        if (group + gridDim.x < groups) {
#pragma unroll
            for (int k = 0; k < HELD; k++) {
                copy_part(ring + k * 4 * WARPS * WARP, h,
                          part_of(h, group + gridDim.x, warp + k * WARPS));
            }
        }
        copies_end();
#pragma unroll
        for (int k = 0; k < HELD; k++) {
            const int step = warp + k * WARPS;
            if (step >= steps) continue;
            add_part<SLICES>(held[k], h, low, part_of(h, group, step), step);
            add_squares(squares, held[k]);
        }
        for (int step = warp + HELD * WARPS; step < steps; step += WARPS) {
            const part_at p = part_of(h, group, step);
            read_part(v, h, p);
            add_part<SLICES>(v, h, low, p, step);
            add_squares(squares, v);
        }
#pragma unroll
        for (int e = 0; e < 2; e++) {
#pragma unroll
            for (int i = 4; i < WARP; i *= 2)
                squares[e] += __shfl_xor_sync(0xffffffffu, squares[e], i);
            if (lane < 4) space[warp][lane * 2 + e] = squares[e];
        }
        __syncthreads();
#pragma unroll
        for (int e = 0; e < 2; e++) {
            float sum = 0;
#pragma unroll
            for (int i = 0; i < WARPS; i++) sum += space[i][lane % 4 * 2 + e];
            scale[e] = 1 / sqrtf(sum / (float)h.norm.width + h.norm.eps);
            const int64_t mine = group * ROWS + lane % 4 * 2 + e;
            if (warp == 0 && lane < 4 && h.norm.scale && mine < h.norm.n)
                h.norm.scale[mine] = scale[e];
        }
#pragma unroll
        for (int k = 0; k < HELD; k++)
            norm_part(held[k], h, scale, part_of(h, group, warp + k * WARPS));
        for (int step = warp + HELD * WARPS; step < steps; step += WARPS) {
            const part_at p = part_of(h, group, step);
            read_part(v, h, p); /* what this thread has written */
            norm_part(v, h, scale, p);
        }
        __syncthreads(); /* the sums are read */
    }
}

template <int SLICES, int HELD> static void start_held(k_stream s, const k_norm_add *h)
{
    constexpr int bytes = HELD * 4 * WARPS * WARP * (int)sizeof(uint4);
    const int64_t groups = (h->norm.n + ROWS - 1) / ROWS;
    int card = 0, cores = 0;
    cudaGetDevice(&card);
    cudaDeviceGetAttribute(&cores, cudaDevAttrMultiProcessorCount, card);
    cudaFuncSetAttribute(norm_add<SLICES, HELD>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         bytes);
    const unsigned blocks = groups < cores ? (unsigned)groups : (unsigned)cores;
    norm_add<SLICES, HELD><<<blocks, WARPS * WARP, bytes, s>>>(*h, groups);
}

template <int SLICES> static void start(k_stream s, const k_norm_add *h)
{
    if (fits_block(4 * 4 * WARPS * WARP * sizeof(uint4))) start_held<SLICES, 4>(s, h);
    else start_held<SLICES, 2>(s, h);
}

void k_adapter_norm(k_stream s, const k_norm_add *h)
{
    if (h->norm.n == 0 || h->norm.width == 0) return;
    switch (h->slot / ADAPTER_SLICE) {
    case 1: start<1>(s, h); break;
    case 2: start<2>(s, h); break;
    case 3: start<3>(s, h); break;
    default: start<4>(s, h); break;
    }
}
