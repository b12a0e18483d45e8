/* attend: attention over segments; see backend.h for what a query sees and in which order keys
 * are added, kernels.h for the arguments.
 *
 * A tile is up to `height` packed rows of one span and one K/V head: packed row p is query p /
 * group, head p % group of the heads that share the K/V head, so a group reads its keys once.
 * Keys come in blocks of 64 from each range's start; softmax runs online (Milakov and Gimelshein
 * 2018; Dao 2023). A block of which a row sees nothing changes nothing of that row, not even in
 * its last bit, so what else is in the tile does not matter. A row that sees no key gives zeros.
 *
 * Two kernels: `attend_tiles` multiplies in bf16 on the tensor units (mma.sync, one warp for 16
 * rows) and adds in float32; `attend_precise` is float32 throughout, one warp a row. Head widths
 * are padded with zeros to the next of 64, 80, 96, 128, 256. */
#include "compute/cuda/lanes_in.h"

#include <math_constants.h>

enum { KEYS = 64, ROWS_A_WARP = 16, PRECISE_KEYS = 32, PRECISE_WARPS = 4 };

/* ---- which keys ---- */

typedef struct block_at { /* a block of keys of the span's ranges */
    int32_t range, from;  /* range index, first key in it */
} block_at;

typedef struct seen { /* positions of the tile's queries, and the window */
    int32_t first, last, window;
} seen;

static __device__ __forceinline__ bool sees(int32_t query, int32_t key, int32_t window)
{
    return key <= query && (window == 0 || query - key < window);
}

/* The next block from `at` on of which any query of the tile sees anything; false at the end. */
static __device__ __forceinline__ bool find_block(const k_attention &a, const k_span &span, seen s,
                                                  int32_t keys, block_at *at)
{
    for (; at->range < span.n_range; at->range++, at->from = 0) {
        const k_range r = a.range[span.first_range + at->range];
        for (; at->from < r.count; at->from += keys) {
            const int32_t first = r.position + at->from;
            const int32_t left = r.count - at->from, n = left < keys ? left : keys;
            if (first > s.last) break; /* and all behind it */
            if (s.window == 0 || s.first - (first + n - 1) < s.window) return true;
        }
    }
    return false;
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

/* n keys (or values) from `slot` on, of one K/V head, as KEYS rows in shared memory. */
template <typename T, int HD, int THREADS>
static __device__ void copy_keys(bf16 *to, const T *from, const k_attention &a, int32_t slot,
                                 int32_t n, int32_t kv_head)
{
    constexpr int CHUNKS = HD / LANES, LD = HD + LANES;
    for (int i = (int)threadIdx.x; i < KEYS * CHUNKS; i += THREADS) {
        const int key = i / CHUNKS, j = i % CHUNKS * LANES;
        const T *row = from + ((int64_t)(slot + key) * a.heads_kv + kv_head) * a.head_dim;
        copy8(to + key * LD + j, key < n ? row : (const T *)NULL, j, a.head_dim);
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

/* logits [16, KEYS] of this warp's queries: rows of `qs` times rows of `ks` */
template <int HD> static __device__ void score(float s[KEYS / 8][4], const bf16 *qs, const bf16 *ks)
{
    constexpr int LD = HD + LANES;
    const int lane = (int)threadIdx.x % WARP;
    const bf16 *q = qs + (lane % 8 + lane / 8 % 2 * 8) * LD + lane / 16 * 8;
    const bf16 *k = ks + (lane % 8 + lane / 16 * 8) * LD + lane / 8 % 2 * 8;
#pragma unroll
    for (int i = 0; i < KEYS / 8; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) s[i][j] = 0;
    }
#pragma unroll
    for (int d = 0; d < HD; d += 16) {
        uint32_t a[4], b[4];
        load_matrices(a, q + d);
#pragma unroll
        for (int i = 0; i < KEYS / 16; i++) {
            load_matrices(b, k + i * 16 * LD + d);
            multiply(s[2 * i], a, b);
            multiply(s[2 * i + 1], a, b + 2);
        }
    }
}

/* out [16, HD] += p [16, KEYS] times values [KEYS, HD] */
template <int HD>
static __device__ void mix(float out[HD / 8][4], const float p[KEYS / 8][4], const bf16 *vs)
{
    constexpr int LD = HD + LANES;
    const int lane = (int)threadIdx.x % WARP;
    const bf16 *v = vs + (lane % 8 + lane / 8 % 2 * 8) * LD + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++) {
        const uint32_t a[4] = {two_bf16(p[2 * k][0], p[2 * k][1]),
                               two_bf16(p[2 * k][2], p[2 * k][3]),
                               two_bf16(p[2 * k + 1][0], p[2 * k + 1][1]),
                               two_bf16(p[2 * k + 1][2], p[2 * k + 1][3])};
#pragma unroll
        for (int d = 0; d < HD / 16; d++) {
            uint32_t b[4];
            load_transposed(b, v + k * 16 * LD + d * 16);
            multiply(out[2 * d], a, b);
            multiply(out[2 * d + 1], a, b + 2);
        }
    }
}

/* ---- online softmax ---- */

typedef struct running { /* of the two rows that a thread shares with three others */
    float largest[2], sum[2];
} running;

static __device__ __forceinline__ float of_four(float x, bool largest)
{
    const float y = __shfl_xor_sync(0xffffffffu, x, 1);
    x = largest ? fmaxf(x, y) : x + y;
    const float z = __shfl_xor_sync(0xffffffffu, x, 2);
    return largest ? fmaxf(x, z) : x + z;
}

static __device__ __forceinline__ float exp_two(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

typedef struct key_block { /* where a block's keys stand */
    int32_t position, n;
} key_block;

/* Dot products become weights exp(logit - largest); earlier sums are brought to the new largest.
 * Logits are kept in units of log 2. */
template <int HD>
static __device__ void soften(float s[KEYS / 8][4], float out[HD / 8][4], running *r,
                              const k_attention &a, const int32_t query[2], key_block keys)
{
    const float to_two = 1.4426950408889634f;
    const int column = (int)threadIdx.x % 4 * 2;
    const int32_t least = query[0] < query[1] ? query[0] : query[1];
    const bool all = keys.n == KEYS && keys.position + KEYS - 1 <= least && a.window == 0;
    float most[2] = {-CUDART_INF_F, -CUDART_INF_F};
#pragma unroll
    for (int i = 0; i < KEYS / 8; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int key = i * 8 + column + j % 2;
            float x = s[i][j] * a.scale;
            if (a.softcap > 0) x = a.softcap * tanhf(x / a.softcap);
            x *= to_two;
            if (!all && (key >= keys.n || !sees(query[j / 2], keys.position + key, a.window)))
                x = -CUDART_INF_F;
            s[i][j] = x;
            most[j / 2] = fmaxf(most[j / 2], x);
        }
    }
    float base[2], factor[2], sum[2] = {0, 0};
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float largest = fmaxf(r->largest[h], of_four(most[h], true));
        base[h] = largest == -CUDART_INF_F ? 0 : largest;
        factor[h] = exp_two(r->largest[h] - base[h]);
        r->largest[h] = largest;
    }
#pragma unroll
    for (int i = 0; i < KEYS / 8; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            s[i][j] = exp_two(s[i][j] - base[j / 2]);
            sum[j / 2] += s[i][j];
        }
    }
#pragma unroll
    for (int h = 0; h < 2; h++) r->sum[h] = r->sum[h] * factor[h] + of_four(sum[h], false);
#pragma unroll
    for (int i = 0; i < HD / 8; i++) {
        out[i][0] *= factor[0], out[i][1] *= factor[0];
        out[i][2] *= factor[1], out[i][3] *= factor[1];
    }
}

/* ---- a tile ---- */

template <typename T, int HD>
static __device__ void write_rows(const float out[HD / 8][4], const running &r,
                                  const k_attention &a, const int64_t row[2])
{
    const int column = (int)threadIdx.x % 4 * 2;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        if (row[h] < 0) continue;
        const float scale = r.sum[h] > 0 ? 1 / r.sum[h] : 0;
        T *to = (T *)a.o + row[h] * a.head_dim;
#pragma unroll
        for (int i = 0; i < HD / 8; i++) {
            const int j = i * 8 + column;
            if (j < a.head_dim) put(to + j, out[i][2 * h] * scale);
            if (j + 1 < a.head_dim) put(to + j + 1, out[i][2 * h + 1] * scale);
        }
        if (a.log_sum_exp && column == 0) {
            a.log_sum_exp[row[h]] =
                r.sum[h] > 0 ? r.largest[h] * 0.69314718055994531f + logf(r.sum[h]) : 0;
        }
    }
}

/* blockIdx: tile, K/V head. Dynamic shared memory: queries, keys, values. */
template <typename T, int HD, int WARPS>
static __global__ void __launch_bounds__(WARPS *WARP) attend_tiles(k_attention a)
{
    constexpr int LD = HD + LANES, HEIGHT = WARPS * ROWS_A_WARP, THREADS = WARPS * WARP;
    extern __shared__ __align__(16) unsigned char space[];
    bf16 *qs = (bf16 *)space, *ks = qs + HEIGHT * LD, *vs = ks + KEYS * LD;
    const k_tile tile = a.tile[blockIdx.x];
    const k_span span = a.span[tile.span];
    const int32_t kv_head = (int32_t)blockIdx.y, group = a.heads / a.heads_kv;
    const int32_t packed = span.count * group;
    for (int i = (int)threadIdx.x; i < HEIGHT * (HD / LANES); i += THREADS) {
        const int p = tile.first + i / (HD / LANES), j = i % (HD / LANES) * LANES;
        const int64_t row = (int64_t)(span.row + p / group) * a.heads + kv_head * group + p % group;
        const T *from = p < packed ? (const T *)a.q + row * a.head_dim : (const T *)NULL;
        copy8(qs + i / (HD / LANES) * LD + j, from, j, a.head_dim);
    }
    const int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
    int32_t query[2];
    int64_t row[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int32_t p = tile.first + warp * ROWS_A_WARP + lane / 4 + 8 * h;
        query[h] = span.position + p / group;
        row[h] = p < packed
                     ? (int64_t)(span.row + p / group) * a.heads + kv_head * group + p % group
                     : -1;
    }
    const int32_t end = tile.first + HEIGHT < packed ? tile.first + HEIGHT : packed;
    const seen s = {span.position + tile.first / group, span.position + (end - 1) / group,
                    a.window};
    float out[HD / 8][4], p[KEYS / 8][4];
#pragma unroll
    for (int i = 0; i < HD / 8; i++) out[i][0] = out[i][1] = out[i][2] = out[i][3] = 0;
    running r = {{-CUDART_INF_F, -CUDART_INF_F}, {0, 0}};
    block_at at = {0, 0};
    bool more = find_block(a, span, s, KEYS, &at);
    if (more) {
        const k_range first = a.range[span.first_range + at.range];
        copy_keys<T, HD, THREADS>(ks, (const T *)a.k, a, first.slot + at.from,
                                  first.count - at.from, kv_head);
    }
    copies_end();
    while (more) {
        const k_range range = a.range[span.first_range + at.range];
        const key_block keys = {range.position + at.from,
                                range.count - at.from < KEYS ? range.count - at.from : KEYS};
        copy_keys<T, HD, THREADS>(vs, (const T *)a.v, a, range.slot + at.from, keys.n, kv_head);
        copies_end();
        copies_wait<1>(); /* the keys */
        __syncthreads();
        score<HD>(p, qs + warp * ROWS_A_WARP * LD, ks);
        __syncthreads();
        at.from += KEYS;
        more = find_block(a, span, s, KEYS, &at);
        if (more) {
            const k_range next = a.range[span.first_range + at.range];
            copy_keys<T, HD, THREADS>(ks, (const T *)a.k, a, next.slot + at.from,
                                      next.count - at.from, kv_head);
        }
        copies_end();
        soften<HD>(p, out, &r, a, query, keys);
        copies_wait<1>(); /* the values */
        __syncthreads();
        mix<HD>(out, p, vs);
        __syncthreads();
    }
    copies_wait<0>();
    write_rows<T, HD>(out, r, a, row);
}

/* ---- float32 throughout ---- */

/* blockIdx: tile, K/V head; a warp a packed row. Shared memory: keys or values [32, hd + 1]. */
static __global__ void attend_precise(k_attention a)
{
    extern __shared__ float held[];
    const k_tile tile = a.tile[blockIdx.x];
    const k_span span = a.span[tile.span];
    const int32_t kv_head = (int32_t)blockIdx.y, group = a.heads / a.heads_kv, hd = a.head_dim;
    const int32_t packed = span.count * group, p = tile.first + (int32_t)threadIdx.x / WARP;
    const int lane = (int)threadIdx.x % WARP, ld = hd + 1;
    const bool mine = p < packed;
    const int32_t query = span.position + p / group;
    const int64_t row = (int64_t)(span.row + p / group) * a.heads + kv_head * group + p % group;
    const float *q = (const float *)a.q + row * hd;
    const int32_t end = tile.first + PRECISE_WARPS < packed ? tile.first + PRECISE_WARPS : packed;
    const seen s = {span.position + tile.first / group, span.position + (end - 1) / group,
                    a.window};
    float out[8] = {0}, largest = -CUDART_INF_F, sum = 0;
    block_at at = {0, 0};
    for (; find_block(a, span, s, PRECISE_KEYS, &at); at.from += PRECISE_KEYS) {
        const k_range r = a.range[span.first_range + at.range];
        const int32_t n = r.count - at.from < PRECISE_KEYS ? r.count - at.from : PRECISE_KEYS;
        float logit = -CUDART_INF_F;
        for (int pass = 0; pass < 2; pass++) {
            const float *from = (const float *)(pass ? a.v : a.k);
            __syncthreads();
            for (int i = (int)threadIdx.x; i < PRECISE_KEYS * hd; i += PRECISE_WARPS * WARP) {
                const int64_t slot = r.slot + at.from + i / hd;
                held[i / hd * ld + i % hd] =
                    i / hd < n ? from[(slot * a.heads_kv + kv_head) * hd + i % hd] : 0;
            }
            __syncthreads();
            if (!mine) continue;
            if (pass == 0) {
                float dot = 0;
                for (int j = 0; j < hd; j++) dot += q[j] * held[lane * ld + j];
                dot *= a.scale;
                if (a.softcap > 0) dot = a.softcap * tanhf(dot / a.softcap);
                if (lane < n && sees(query, r.position + at.from + lane, a.window)) logit = dot;
                continue;
            }
            const float most = fmaxf(largest, warp_max(logit));
            const float base = most == -CUDART_INF_F ? 0 : most, factor = expf(largest - base);
            const float weight = expf(logit - base);
            largest = most;
            sum = sum * factor + warp_sum(weight);
            for (int i = 0; i < 8; i++) out[i] *= factor;
            for (int key = 0; key < n; key++) {
                const float w = __shfl_sync(0xffffffffu, weight, key);
                for (int i = 0; i < 8 && lane + i * WARP < hd; i++) {
                    out[i] += w * held[key * ld + lane + i * WARP];
                }
            }
        }
    }
    if (!mine) return;
    const float scale = sum > 0 ? 1 / sum : 0;
    for (int i = 0; i < 8 && lane + i * WARP < hd; i++) {
        ((float *)a.o)[row * hd + lane + i * WARP] = out[i] * scale;
    }
    if (a.log_sum_exp && lane == 0) a.log_sum_exp[row] = sum > 0 ? largest + logf(sum) : 0;
}

/* ---- starting ---- */

template <typename T, int HD, int WARPS> static void start_tiles(k_stream s, const k_attention *a)
{
    const size_t bytes = (size_t)(WARPS * ROWS_A_WARP + 2 * KEYS) * (HD + LANES) * sizeof(bf16);
    const dim3 grid((unsigned)a->n_tile, (unsigned)a->heads_kv);
    cudaFuncSetAttribute(attend_tiles<T, HD, WARPS>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)bytes);
    attend_tiles<T, HD, WARPS><<<grid, WARPS * WARP, bytes, s>>>(*a);
}

template <typename T, int HD> static void start_height(k_stream s, const k_attention *a)
{
    if (a->height == ROWS_A_WARP) start_tiles<T, HD, 1>(s, a);
    else start_tiles<T, HD, 4>(s, a);
}

template <typename T> static void start_width(k_stream s, const k_attention *a)
{
    if (a->head_dim <= 64) start_height<T, 64>(s, a);
    else if (a->head_dim <= 80) start_height<T, 80>(s, a);
    else if (a->head_dim <= 96) start_height<T, 96>(s, a);
    else if (a->head_dim <= 128) start_height<T, 128>(s, a);
    else start_height<T, 256>(s, a);
}

void k_attend(k_stream s, const k_attention *a)
{
    if (a->n_tile == 0) return;
    if (a->precise) {
        const dim3 grid((unsigned)a->n_tile, (unsigned)a->heads_kv);
        const size_t bytes = (size_t)PRECISE_KEYS * (size_t)(a->head_dim + 1) * sizeof(float);
        attend_precise<<<grid, PRECISE_WARPS * WARP, bytes, s>>>(*a);
    } else if (a->type == ROWS_BF16) {
        start_width<bf16>(s, a);
    } else {
        start_width<float>(s, a);
    }
}
