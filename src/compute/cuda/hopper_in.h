/* hopper_in: products by warpgroups (wgmma: four warps, m64nNk16, bf16 in, float32 out; of sm_90a
 * alone), and their factors in shared memory. For the .cu files hopper_*.
 *
 * A factor of R rows of HD numbers lies in panels of 64 columns, [HD / 64][R][64]; in a panel the
 * sixteen-byte chunk c of row r stands at c ^ (r % 8) (the 128-byte swizzle), so neither copies nor
 * products meet on a bank. Panels begin at multiples of 1,024 bytes.
 *
 * Products run beside the program. start_products() before a batch of them, end_products() after
 * it; wait_products<N> until all batches but the latest N are done. Until then a batch's registers
 * are not to be touched: hold() keeps the compiler from moving that. */
#ifndef CASELOAD_COMPUTE_CUDA_HOPPER_IN_H
#define CASELOAD_COMPUTE_CUDA_HOPPER_IN_H

#include "compute/cuda/tiles_in.h"

enum { GROUP = 4 * WARP, PANEL = 64 }; /* threads of a warpgroup (and its 64 rows); columns */

static __device__ __forceinline__ void start_products(void)
{
    asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
}

static __device__ __forceinline__ void end_products(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}

template <int LEFT> static __device__ __forceinline__ void wait_products(void)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(LEFT) : "memory");
}

template <int N> static __device__ __forceinline__ void hold(float (&d)[N][4])
{
#pragma unroll
    for (int i = 0; i < 4 * N; i++) asm volatile("" : "+f"(d[i / 4][i % 4])::"memory");
}

/* Puts what made x before the wait that follows: without it the assembler moves the wait up, and
 * the products run alone. (What stands here does nothing, and seldom.) */
static __device__ __forceinline__ void settle(uint32_t x)
{
    asm volatile(
        "{\n.reg .pred p;\nsetp.eq.u32 p, %0, 0x7fedcba9;\n@p nanosleep.u32 0;\n}\n" ::"r"(x)
        : "memory");
}

/* What this thread copied is there for products of all, after the next barrier. */
static __device__ __forceinline__ void copies_to_products(void)
{
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}

/* ---- factors in shared memory ---- */

/* For products that read along a panel's columns (k) or along its rows (k turned); `apart`: bytes
 * from panel to panel, for products of turned factors. */
static __device__ __forceinline__ uint64_t factor_at(const bf16 *at, uint32_t apart)
{
    const uint64_t place = (uint32_t)__cvta_generic_to_shared(at) >> 4;
    return place | (uint64_t)(apart >> 4) << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

/* The factor 16 columns on, or 16 rows on (turned). */
static __device__ __forceinline__ uint64_t columns_on(uint64_t f, int rows, int k)
{
    return f + (uint64_t)(k / 4 * (rows * PANEL * 2 >> 4) + k % 4 * (32 >> 4));
}

static __device__ __forceinline__ uint64_t rows_on(uint64_t f, int k)
{
    return f + (uint64_t)(k * (16 * PANEL * 2 >> 4));
}

/* Where numbers 8 c .. of row r of R stand, in numbers. */
template <int R> static __device__ __forceinline__ int swizzled(int r, int c)
{
    return c / 8 * (R * PANEL) + r * PANEL + ((c ^ r) % 8) * LANES;
}

/* R slots from `slot` on of one K/V head, those from n on zeros. */
template <int HD, int R, int THREADS>
static __device__ __forceinline__ void
slots_to_factor(bf16 *to, const void *from, const k_attention &a, int32_t slot, int32_t n)
{
    constexpr int CHUNKS = HD / LANES, STEP = THREADS / CHUNKS;
    static_assert(THREADS % CHUNKS == 0 && STEP % 8 == 0 && R % STEP == 0, "whole passes");
    const int first = (int)threadIdx.x / CHUNKS, c = (int)threadIdx.x % CHUNKS;
    const int64_t stride = (int64_t)a.heads_kv * HD;
    const bf16 *row = (const bf16 *)from + (slot + first) * stride + (int64_t)blockIdx.y * HD;
    bf16 *at = to + swizzled<R>(first, c);
    row += c * LANES;
#pragma unroll
    for (int i = 0; i < R; i += STEP, row += STEP * stride)
        copy_or_zero(at + i * PANEL, row, first + i < n); /* without `there` nothing is read */
}

/* Where packed row p of a span stands in [n, heads], and where the one `step` on does. */
typedef struct packed_walk {
    int32_t query, head, queries_on, heads_on;
} packed_walk;

static __device__ __forceinline__ packed_walk packed_from(int32_t p, int32_t step, int32_t group)
{
    if (group == 1) return (packed_walk){p, 0, step, 0};
    return (packed_walk){p / group, p % group, step / group, step % group};
}

static __device__ __forceinline__ void packed_on(packed_walk *w, int32_t group)
{
    w->query += w->queries_on, w->head += w->heads_on;
    if (w->head >= group) w->head -= group, w->query++;
}

/* Packed rows first .. of two [n, heads, HD]; past the span's end zeros. */
template <int HD, int R, int THREADS>
static __device__ __forceinline__ void rows_to_factors(bf16 *const to[2], const void *const from[2],
                                                       const k_attention &a, const k_span &span,
                                                       int32_t first)
{
    constexpr int CHUNKS = HD / LANES, STEP = THREADS / CHUNKS;
    static_assert(THREADS % CHUNKS == 0 && STEP % 8 == 0 && R % STEP == 0, "whole passes");
    const int32_t group = a.heads / a.heads_kv, packed = span.count * group;
    const int r = (int)threadIdx.x / CHUNKS, c = (int)threadIdx.x % CHUNKS;
    const int at = swizzled<R>(r, c);
    packed_walk w = packed_from(first + r, STEP, group);
#pragma unroll
    for (int i = 0; i < R; i += STEP, packed_on(&w, group)) {
        const bool there = first + r + i < packed;
        const int64_t row = (int64_t)(span.row + w.query) * a.heads + blockIdx.y * group + w.head;
#pragma unroll
        for (int k = 0; k < 2; k++)
            copy_or_zero(to[k] + at + i * PANEL, (const bf16 *)from[k] + row * HD + c * LANES,
                         there);
    }
}

/* Where rows first .. end of packed ones stand: row p at ((row + p / group) * heads + head of the
 * block's group + p % group). */
typedef struct rows_place {
    int64_t row;
    int32_t heads, group, first, end;
} rows_place;

/* A warp's sixteen rows of sums, times `scale` (of a thread's two), to where they stand: by way of
 * its own room [16, HD + LANES] in shared memory, so that whole lines are written. */
template <int HD>
static __device__ __forceinline__ void give_rows(void *to, bf16 *room, const float (&x)[HD / 8][4],
                                                 const float scale[2], rows_place at)
{
    constexpr int LD = HD + LANES, CHUNKS = HD / LANES, AT_ONCE = WARP / CHUNKS;
    const int lane = (int)threadIdx.x % WARP, c = lane % CHUNKS * LANES;
    uint32_t *own = (uint32_t *)(room + lane / 4 * LD + lane % 4 * 2);
    __syncwarp();
#pragma unroll
    for (int i = 0; i < HD / 8; i++) {
        own[i * 4] = two_bf16(x[i][0] * scale[0], x[i][1] * scale[0]);
        own[i * 4 + 8 * LD / 2] = two_bf16(x[i][2] * scale[1], x[i][3] * scale[1]);
    }
    __syncwarp();
    packed_walk w = packed_from(at.first + lane / CHUNKS, AT_ONCE, at.group);
#pragma unroll
    for (int i = lane / CHUNKS; i < M_ROWS; i += AT_ONCE, packed_on(&w, at.group)) {
        if (at.first + i >= at.end) return;
        const int64_t row = (at.row + w.query) * at.heads + blockIdx.y * at.group + w.head;
        *(uint4 *)((bf16 *)to + row * HD + c) = *(const uint4 *)(room + i * LD + c);
    }
}

/* ---- blocks of keys ---- */

typedef struct coming { /* a block of keys that a tile looks at; n 0: no more */
    int32_t position, slot, n, owner;
} coming;

static __device__ __forceinline__ coming take_block(const k_attention &a, const k_tile &tile,
                                                    const k_span &span, seen s, walk *w)
{
    if (!walk_on(a, tile, span, s, KEYS, w)) return (coming){0, 0, 0, -1};
    const int32_t from = w->from, left = w->range.count - from;
    w->from += KEYS;
    return (coming){w->range.position + from, w->range.slot + from, left < KEYS ? left : KEYS,
                    owner_of(tile, span, w->i)};
}

/* ---- products ---- */

#define SUMS /* the 32 sums of a thread, in the words of the instruction and in those of C */ \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define SUMS_OF_D \
    "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), \
    "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]), "+f"(d[1][3]), \
    "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), \
    "+f"(d[3][0]), "+f"(d[3][1]), "+f"(d[3][2]), "+f"(d[3][3]), \
    "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]), \
    "+f"(d[5][0]), "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), \
    "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]), \
    "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3])

/* d [64, 64] (+)= a b^T for 16 columns of a's 64 rows and of b's. */
static __device__ __forceinline__ void product(float (&d)[8][4], uint64_t a, uint64_t b, int add)
{
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
                 SUMS
                 "}, %32, %33, p, 1, 1, 0, 0;\n}\n"
                 : SUMS_OF_D
                 : "l"(a), "l"(b), "r"(add));
}

/* The same with a in registers. */
static __device__ __forceinline__ void product(float (&d)[8][4], const uint32_t a[4], uint64_t b,
                                               int add)
{
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
                 SUMS
                 "}, {%32, %33, %34, %35}, %36, p, 1, 1, 0;\n}\n"
                 : SUMS_OF_D
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}

/* d [64, 64] += a b for 16 columns of a, in registers, and 16 rows of b. */
static __device__ __forceinline__ void product_turned(float (&d)[8][4], const uint32_t a[4],
                                                      uint64_t b)
{
    asm volatile("{\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
                 SUMS
                 "}, {%32, %33, %34, %35}, %36, 1, 1, 1, 1;\n}\n"
                 : SUMS_OF_D
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

/* d [64, 128] += a b */
static __device__ __forceinline__ void product_turned(float (&d)[16][4], const uint32_t a[4],
                                                      uint64_t b)
{
    asm volatile("{\nwgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
                 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
                 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
                 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
                 "}, {%64, %65, %66, %67}, %68, 1, 1, 1, 1;\n}\n"
                 : SUMS_OF_D, "+f"(d[8][0]), "+f"(d[8][1]), "+f"(d[8][2]),
                   "+f"(d[8][3]), "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]),
                   "+f"(d[10][0]), "+f"(d[10][1]), "+f"(d[10][2]), "+f"(d[10][3]), "+f"(d[11][0]),
                   "+f"(d[11][1]), "+f"(d[11][2]), "+f"(d[11][3]), "+f"(d[12][0]), "+f"(d[12][1]),
                   "+f"(d[12][2]), "+f"(d[12][3]), "+f"(d[13][0]), "+f"(d[13][1]), "+f"(d[13][2]),
                   "+f"(d[13][3]), "+f"(d[14][0]), "+f"(d[14][1]), "+f"(d[14][2]), "+f"(d[14][3]),
                   "+f"(d[15][0]), "+f"(d[15][1]), "+f"(d[15][2]), "+f"(d[15][3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

/* Sixteen columns of a block of products as the next products' first factor. */
static __device__ __forceinline__ void columns_as_factor(uint32_t a[4], const float x[4],
                                                         const float y[4])
{
    a[0] = two_bf16(x[0], x[1]), a[1] = two_bf16(x[2], x[3]);
    a[2] = two_bf16(y[0], y[1]), a[3] = two_bf16(y[2], y[3]);
}

#endif
