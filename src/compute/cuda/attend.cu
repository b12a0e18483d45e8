/* attend: attention over segments; see backend.h for what a query sees and in which order keys
 * are added, kernels.h for the arguments.
 *
 * A tile is up to `height` packed rows of one span and one K/V head: packed row p is query p /
 * group, head p % group of the heads that share the K/V head, so a group reads its keys once.
 * Keys come in blocks of 64 from each range's start; softmax runs online (Milakov and Gimelshein
 * 2018; Dao 2023). A block of which a row sees nothing changes nothing of that row, not even in
 * its last bit, so what else is in the tile does not matter. A row that sees no key gives zeros.
 *
 * Three kernels: `attend_tiles` multiplies in bf16 on the tensor units (mma.sync, one warp for 16
 * rows) and adds in float32 (attend_few.cu: tiles of 16 rows, by two warps); `attend_terms` takes
 * each factor as two bf16 numbers; `attend_precise` is float32 throughout, one warp a row. Head
 * widths are padded with zeros to the next of 64, 80, 96, 128, 256. */
#include "compute/cuda/soften_in.h"

enum { PRECISE_KEYS = 32, PRECISE_WARPS = 4 };

/* Queries that stay in registers need no room of their own: they come by way of the values'. */
static __host__ __device__ constexpr bool keeps_queries(int hd, int mt)
{
    return mt == 1 && hd <= 128;
}

/* blockIdx: 0, K/V head, tile: heads of a slot lie side by side and are read at about one time.
 * Dynamic shared memory: queries (or none), keys, values. */
/* long: one kernel, a pipeline whose stages hold the same registers */
template <typename T, int HD, int WARPS, int MT>
static __global__ void __launch_bounds__(WARPS *WARP) attend_tiles(k_attention a)
{
    constexpr int LD = HD + LANES, MINE = MT * M_ROWS, HEIGHT = WARPS * MINE;
    constexpr int THREADS = WARPS * WARP;
    constexpr bool KEPT = keeps_queries(HD, MT);
    extern __shared__ __align__(16) unsigned char space[];
    bf16 *ks = (bf16 *)space + (KEPT ? 0 : HEIGHT * LD), *vs = ks + KEYS * LD;
    bf16 *qs = KEPT ? vs : (bf16 *)space;
    uint32_t kept[KEPT ? HD / 16 : 1][4];
    const opening o = open_tile(a, HEIGHT);
    const k_tile &tile = o.tile;
    const k_span &span = o.span;
    const seen &s = o.see;
    const int lane = (int)threadIdx.x % WARP, mine = (int)threadIdx.x / WARP * MINE;
    copy_packed<T, HD, THREADS>(qs, (const T *)a.q, a, span, tile.first, HEIGHT);
    float out[MT][HD / 8][4] = {}, p[MT][KEYS / 8][4], fade[2];
    const float factor = logit_factor(a);
    running r[MT];
#pragma unroll
    for (int t = 0; t < MT; t++) r[t] = {{-CUDART_INF_F, -CUDART_INF_F}, {0, 0}};
    walk at = walk_begin();
    bool more = walk_on(a, tile, span, s, KEYS, &at);
    if (more) {
        const k_range first = at.range;
        copy_slots<T, HD, THREADS>(ks, (const T *)a.k, a, first.slot + at.from,
                                   first.count - at.from, KEYS);
    }
    copies_end();
    if (KEPT) {
        copies_wait<0>();
        __syncthreads();
        keep_rows<KEPT ? HD : 16>(kept, qs + mine * LD);
        __syncthreads();
    }
    while (more) {
        const k_range range = at.range;
        key_block keys = {range.position + at.from,
                          range.count - at.from < KEYS ? range.count - at.from : KEYS, false,
                          owner_of(tile, span, at.i)};
        keys.all = keys.n == KEYS && keys.position + KEYS - 1 <= s.first && a.window == 0 &&
                   keys.owner < 0;
        copy_slots<T, HD, THREADS>(vs, (const T *)a.v, a, range.slot + at.from, keys.n, KEYS);
        copies_end();
        copies_wait<1>(); /* the keys */
        __syncthreads();
        if (KEPT) kept_by_rows<KEPT ? HD : 16, KEYS>(p[0], kept, ks);
        else rows_by_rows<HD, KEYS, MT>(p, qs + mine * LD, ks);
        __syncthreads();
        at.from += KEYS;
        more = walk_on(a, tile, span, s, KEYS, &at);
        if (more) {
            const k_range next = at.range;
            copy_slots<T, HD, THREADS>(ks, (const T *)a.k, a, next.slot + at.from,
                                       next.count - at.from, KEYS);
        }
        copies_end();
#pragma unroll
        for (int t = 0; t < MT; t++) {
            const two_rows rows = two_rows_at(o, tile.first + mine + t * M_ROWS + lane / 4);
            cap_and_mask(p[t], a, rows, keys);
            soften(p[t], factor, &r[t], fade);
            fade_rows<HD>(out[t], fade);
        }
        copies_wait<1>(); /* the values */
        __syncthreads();
        by_columns<HD, HD, KEYS, MT>(out, p, vs);
        __syncthreads();
    }
    copies_wait<0>();
#pragma unroll
    for (int t = 0; t < MT; t++) {
        int64_t row[2];
        for (int h = 0; h < 2; h++) {
            const int32_t i = tile.first + mine + t * M_ROWS + lane / 4 + 8 * h;
            row[h] = i < o.packed ? packed_at(a, span, i) : -1;
        }
        write_rows<T, HD>(out[t], r[t], a, row);
    }
}

/* ---- two terms ---- */

/* Eight numbers as hi + lo, both bf16. */
static __device__ __forceinline__ void store_terms(bf16 *hi, bf16 *lo, float v[LANES])
{
    float h[LANES];
#pragma unroll
    for (int i = 0; i < LANES; i++) h[i] = number(__float2bfloat16_rn(v[i])), v[i] -= h[i];
    store8(hi, h);
    store8(lo, v);
}

static __device__ __forceinline__ void terms_at(bf16 *hi, bf16 *lo, const float *row, int j,
                                                int width)
{
    float v[LANES] = {0};
    if (row && width % LANES == 0 && j < width) {
        load8(v, row + j);
    } else {
#pragma unroll
        for (int i = 0; i < LANES; i++) v[i] = row && j + i < width ? row[j + i] : 0;
    }
    store_terms(hi, lo, v);
}

/* KEYS slots from `slot` on; slots from n on are zeros. */
template <int HD, int THREADS>
static __device__ void slots_of_terms(bf16 *hi, bf16 *lo, const float *from, const k_attention &a,
                                      int32_t slot, int32_t n)
{
    constexpr int CHUNKS = HD / LANES, LD = HD + LANES;
#pragma unroll 4
    for (int i = (int)threadIdx.x; i < KEYS * CHUNKS; i += THREADS) {
        const int key = i / CHUNKS, j = i % CHUNKS * LANES;
        const float *row = from + ((int64_t)(slot + key) * a.heads_kv + blockIdx.y) * a.head_dim;
        terms_at(hi + key * LD + j, lo + key * LD + j, key < n ? row : NULL, j, a.head_dim);
    }
}

/* s += (a hi + a lo)(b hi + b lo) without lo times lo, the small ones first. */
static __device__ __forceinline__ void multiply_terms(float s[4], const uint32_t a_hi[4],
                                                      const uint32_t a_lo[4],
                                                      const uint32_t b_hi[2],
                                                      const uint32_t b_lo[2])
{
    multiply(s, a_lo, b_hi);
    multiply(s, a_hi, b_lo);
    multiply(s, a_hi, b_hi);
}

template <int HD>
static __device__ __forceinline__ void
rows_of_terms(float s[KEYS / 8][4], const uint32_t q[2][HD / 16][4], const bf16 *hi, const bf16 *lo)
{
    constexpr int LD = HD + LANES;
    const int lane = (int)threadIdx.x % WARP;
    const int at = (lane % 8 + lane / 16 * 8) * LD + lane / 8 % 2 * 8;
#pragma unroll
    for (int i = 0; i < KEYS / 8; i++) s[i][0] = s[i][1] = s[i][2] = s[i][3] = 0;
#pragma unroll
    for (int d = 0; d < HD / 16; d++) {
#pragma unroll
        for (int i = 0; i < KEYS / 16; i++) {
            uint32_t h[4], l[4];
            load_matrices(h, hi + at + i * 16 * LD + d * 16);
            load_matrices(l, lo + at + i * 16 * LD + d * 16);
            multiply_terms(s[2 * i], q[0][d], q[1][d], h, l);
            multiply_terms(s[2 * i + 1], q[0][d], q[1][d], h + 2, l + 2);
        }
    }
}

/* Two neighbours as hi, and what is left of them as lo. */
static __device__ __forceinline__ void two_of_terms(uint32_t *hi, uint32_t *lo, float x, float y)
{
    const float a = number(__float2bfloat16_rn(x)), b = number(__float2bfloat16_rn(y));
    *hi = two_bf16(a, b);
    *lo = two_bf16(x - a, y - b);
}

template <int HD>
static __device__ __forceinline__ void
columns_of_terms(float out[HD / 8][4], const float p[KEYS / 8][4], const bf16 *hi, const bf16 *lo)
{
    constexpr int LD = HD + LANES;
    const int lane = (int)threadIdx.x % WARP;
    const int at = (lane % 8 + lane / 8 % 2 * 8) * LD + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++) {
        uint32_t a[2][4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float *from = p[2 * k + i / 2] + i % 2 * 2;
            two_of_terms(&a[0][i], &a[1][i], from[0], from[1]);
        }
#pragma unroll
        for (int d = 0; d < HD / 16; d++) {
            uint32_t h[4], l[4];
            load_transposed(h, hi + at + k * 16 * LD + d * 16);
            load_transposed(l, lo + at + k * 16 * LD + d * 16);
            multiply_terms(out[2 * d], a[0], a[1], h, l);
            multiply_terms(out[2 * d + 1], a[0], a[1], h + 2, l + 2);
        }
    }
}

/* As attend_tiles, of float32 rows: each factor counts with 16 bits. Shared memory: keys hi and lo,
 * values (first queries) hi and lo. */
template <int HD, int WARPS>
static __global__ void __launch_bounds__(WARPS *WARP) attend_terms(k_attention a)
{
    constexpr int LD = HD + LANES, HEIGHT = WARPS * M_ROWS, THREADS = WARPS * WARP;
    constexpr int CHUNKS = HD / LANES;
    extern __shared__ __align__(16) unsigned char space[];
    bf16 *kh = (bf16 *)space, *kl = kh + KEYS * LD, *vh = kl + KEYS * LD, *vl = vh + KEYS * LD;
    const opening o = open_tile(a, HEIGHT);
    const k_tile &tile = o.tile;
    const k_span &span = o.span;
    const seen &s = o.see;
    const int lane = (int)threadIdx.x % WARP, mine = (int)threadIdx.x / WARP * M_ROWS;
    const int32_t top = tile.first + mine + lane / 4;
    const two_rows rows = two_rows_at(o, top);
    uint32_t q[2][HD / 16][4];
    float out[HD / 8][4] = {}, p[KEYS / 8][4], fade[2];
    const float factor = logit_factor(a);
    running r = {{-CUDART_INF_F, -CUDART_INF_F}, {0, 0}};
    for (int i = (int)threadIdx.x; i < HEIGHT * CHUNKS; i += THREADS) {
        const int32_t row = tile.first + i / CHUNKS, j = i % CHUNKS * LANES;
        const float *from = (const float *)a.q + packed_at(a, span, row) * a.head_dim;
        const int to = i / CHUNKS * LD + j;
        terms_at(vh + to, vl + to, row < o.packed ? from : NULL, j, a.head_dim);
    }
    __syncthreads();
    keep_rows<HD>(q[0], vh + mine * LD);
    keep_rows<HD>(q[1], vl + mine * LD);
    walk at = walk_begin();
    for (; walk_on(a, tile, span, s, KEYS, &at); at.from += KEYS) {
        const k_range range = at.range;
        key_block keys = {range.position + at.from,
                          range.count - at.from < KEYS ? range.count - at.from : KEYS, false,
                          owner_of(tile, span, at.i)};
        keys.all = keys.n == KEYS && keys.position + KEYS - 1 <= s.first && a.window == 0 &&
                   keys.owner < 0;
        __syncthreads();
        slots_of_terms<HD, THREADS>(kh, kl, (const float *)a.k, a, range.slot + at.from, keys.n);
        slots_of_terms<HD, THREADS>(vh, vl, (const float *)a.v, a, range.slot + at.from, keys.n);
        __syncthreads();
        rows_of_terms<HD>(p, q, kh, kl);
        cap_and_mask(p, a, rows, keys);
        soften(p, factor, &r, fade);
        fade_rows<HD>(out, fade);
        columns_of_terms<HD>(out, p, vh, vl);
    }
    int64_t row[2];
    for (int h = 0; h < 2; h++)
        row[h] = top + 8 * h < o.packed ? packed_at(a, span, top + 8 * h) : -1;
    write_rows<float, HD>(out, r, a, row);
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
    walk at = walk_begin();
    for (; walk_on(a, tile, span, s, PRECISE_KEYS, &at); at.from += PRECISE_KEYS) {
        const k_range r = at.range;
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

template <typename T, int HD, int WARPS, int MT>
static void start_tiles(k_stream s, const k_attention *a)
{
    const int queries = keeps_queries(HD, MT) ? 0 : WARPS * MT * M_ROWS;
    const size_t bytes = (size_t)(queries + 2 * KEYS) * (HD + LANES) * sizeof(bf16);
    cudaFuncSetAttribute(attend_tiles<T, HD, WARPS, MT>,
                         cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    for (int32_t first = 0; first < a->n_tile; first += TILES_MAX) {
        k_attention part = *a;
        part.tile += first;
        const int32_t n = a->n_tile - first < TILES_MAX ? a->n_tile - first : TILES_MAX;
        const dim3 grid(1, (unsigned)a->heads_kv, (unsigned)n);
        attend_tiles<T, HD, WARPS, MT><<<grid, WARPS * WARP, bytes, s>>>(part);
    }
}

template <int HD, int WARPS> static void start_terms(k_stream s, const k_attention *a)
{
    const size_t bytes = (size_t)4 * KEYS * (HD + LANES) * sizeof(bf16);
    cudaFuncSetAttribute(attend_terms<HD, WARPS>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)bytes);
    for (int32_t first = 0; first < a->n_tile; first += TILES_MAX) {
        k_attention part = *a;
        part.tile += first;
        const int32_t n = a->n_tile - first < TILES_MAX ? a->n_tile - first : TILES_MAX;
        const dim3 grid(1, (unsigned)a->heads_kv, (unsigned)n);
        attend_terms<HD, WARPS><<<grid, WARPS * WARP, bytes, s>>>(part);
    }
}

static void start_width_of_terms(k_stream s, const k_attention *a)
{
    const bool low = a->height == M_ROWS;
    if (a->head_dim <= 64 && low) start_terms<64, 1>(s, a);
    else if (a->head_dim <= 64) start_terms<64, 4>(s, a);
    else if (a->head_dim <= 96 && low) start_terms<96, 1>(s, a);
    else if (a->head_dim <= 96) start_terms<96, 4>(s, a);
    else if (low) start_terms<128, 1>(s, a);
    else start_terms<128, 4>(s, a);
}

template <typename T, int HD> static void start_height(k_stream s, const k_attention *a)
{
    if (a->height == M_ROWS) start_tiles<T, HD, 1, 1>(s, a);
    else if (a->height == 4 * M_ROWS) start_tiles<T, HD, 4, 1>(s, a);
    else start_tiles<T, HD, 4, HD <= 128 ? 2 : 1>(s, a);
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
    } else if (a->two_terms) {
        start_width_of_terms(s, a);
    } else if (a->height == WIDE_HEIGHT && k_attend_is_wide(a)) {
        k_attend_wide(s, a);
    } else if (a->height == M_ROWS && k_attend_is_few(a)) {
        k_attend_few(s, a);
    } else if (a->type == ROWS_BF16) {
        start_width<bf16>(s, a);
    } else {
        start_width<float>(s, a);
    }
}
