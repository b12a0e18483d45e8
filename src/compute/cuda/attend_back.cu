/* attend_back: the way back through attention; see compute/train.h. With logits s and p = exp(s -
 * lse):
 *
 *     dv_k = sum p do      ds = p (do . v - do . o) (1 - (s/c)^2 with a soft-cap) scale
 *     dq = sum_k ds k      dk = sum ds q                          (Dao 2023, section 2.2)
 *
 * No two blocks add to one number, and every sum has one order. In the usual mode `queries_tiles`
 * gives a block 64 packed rows and runs over the keys they see, `keys_tiles` a block 64 slots of
 * one K/V head and runs over the queries that see them, span after span; products in bf16 on the
 * tensor units, sums in float32. In check mode `queries_back` and `keys_back` do the same in
 * float32 with a warp a row, or a warp four slots. */
#include "compute/cuda/tiles_in.h"

enum { SLOTS = 32, WARPS = 8, KEYS_A_WARP = SLOTS / WARPS };

/* do . o of every row and head: a warp each */
template <typename T> static __global__ void row_terms(k_attention_back b, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP;
    const int hd = b.a.head_dim;
    const T *d_o = (const T *)b.d_o + i * hd, *o = (const T *)b.a.o + i * hd;
    float sum = 0;
    if (i >= n) return;
    for (int j = (int)threadIdx.x % WARP; j < hd; j += WARP) sum += number(d_o[j]) * number(o[j]);
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) b.row_term[i] = sum;
}

/* p and ds of one pair, from the dot products q . k and do . v */
static __device__ __forceinline__ void pair_back(const k_attention &a, float qk, float dov,
                                                 float lse, float term, float *p, float *ds)
{
    float s = qk * a.scale, slope = 1;
    if (a.softcap > 0) {
        const float t = tanhf(s / a.softcap);
        s = a.softcap * t;
        slope = 1 - t * t;
    }
    *p = expf(s - lse);
    *ds = *p * (dov - term) * slope * a.scale;
}

/* Keys from .. from + n of a range and their values, [SLOTS, hd + 1] each. */
static __device__ void hold_keys(const k_attention &a, float *ks, float *vs, int64_t slot,
                                 int32_t n)
{
    const int32_t hd = a.head_dim, ld = hd + 1, kv_head = (int32_t)blockIdx.y;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < n * hd; i += WARPS * WARP) {
        const int64_t at = ((slot + i / hd) * a.heads_kv + kv_head) * hd + i % hd;
        ks[i / hd * ld + i % hd] = ((const float *)a.k)[at];
        vs[i / hd * ld + i % hd] = ((const float *)a.v)[at];
    }
    __syncthreads();
}

typedef struct packed_row { /* a query and head of it */
    const float *q, *d_o;
    float lse, term;
    int32_t query;
} packed_row;

/* dq of one row and a block of keys: a lane a key for ds, then a lane every 32nd number. */
static __device__ void add_keys(const k_attention &a, packed_row r, const float *ks,
                                const float *vs, int32_t position, int32_t n, float dq[8])
{
    const int lane = (int)threadIdx.x % WARP, hd = a.head_dim, ld = hd + 1;
    float qk = 0, dov = 0, weight, ds = 0;
    if (lane < n && sees(r.query, position + lane, a.window)) {
        for (int j = 0; j < hd; j++) {
            qk += r.q[j] * ks[lane * ld + j];
            dov += r.d_o[j] * vs[lane * ld + j];
        }
        pair_back(a, qk, dov, r.lse, r.term, &weight, &ds);
    }
    for (int key = 0; key < n; key++) {
        const float d = __shfl_sync(0xffffffffu, ds, key);
        for (int i = 0; i < 8 && lane + i * WARP < hd; i++)
            dq[i] += d * ks[key * ld + lane + i * WARP];
    }
}

/* blockIdx: tile of packed rows, K/V head; WARPS of its rows at a time. */
static __global__ void queries_back(k_attention_back b)
{
    extern __shared__ float held[];
    const k_attention &a = b.a;
    const k_tile tile = a.tile[blockIdx.x];
    const k_span span = a.span[tile.span];
    const int32_t group = a.heads / a.heads_kv, hd = a.head_dim, packed = span.count * group;
    const int lane = (int)threadIdx.x % WARP;
    const int32_t last = tile.first + a.height < packed ? tile.first + a.height : packed;
    const int32_t query_last = span.position + (last - 1) / group;
    for (int32_t first = tile.first; first < last; first += WARPS) {
        const int32_t p = first + (int32_t)threadIdx.x / WARP;
        const bool mine = p < last;
        const int64_t row =
            (int64_t)(span.row + p / group) * a.heads + (int32_t)blockIdx.y * group + p % group;
        const packed_row r = {(const float *)a.q + row * hd, (const float *)b.d_o + row * hd,
                              mine ? a.log_sum_exp[row] : 0, mine ? b.row_term[row] : 0,
                              span.position + p / group};
        float dq[8] = {0};
        for (int32_t k = span.first_range; k < span.first_range + span.n_range; k++) {
            const k_range range = a.range[k];
            for (int32_t from = 0; from < range.count; from += SLOTS) {
                const int32_t n = range.count - from < SLOTS ? range.count - from : SLOTS;
                if (range.position + from > query_last) break;
                hold_keys(a, held, held + SLOTS * (hd + 1), range.slot + from, n);
                if (mine) {
                    add_keys(a, r, held, held + SLOTS * (hd + 1), range.position + from, n, dq);
                }
            }
        }
        for (int i = 0; mine && i < 8 && lane + i * WARP < hd; i++) {
            ((float *)b.dq)[row * hd + lane + i * WARP] = dq[i];
        }
    }
}

template <int PARTS> struct own_keys { /* of a warp; a lane has every 32nd number */
    float k[KEYS_A_WARP][PARTS], v[KEYS_A_WARP][PARTS];
    float dk[KEYS_A_WARP][PARTS], dv[KEYS_A_WARP][PARTS];
    int32_t slot; /* the first */
};

template <int PARTS> static __device__ void take_keys(const k_attention_back &b, own_keys<PARTS> *o)
{
    const int32_t hd = b.a.head_dim, lane = (int32_t)threadIdx.x % WARP;
#pragma unroll
    for (int key = 0; key < KEYS_A_WARP; key++) {
#pragma unroll
        for (int i = 0; i < PARTS; i++) {
            const int64_t at = ((int64_t)(o->slot + key) * b.a.heads_kv + blockIdx.y) * hd + lane;
            const bool there = o->slot + key < b.slots && lane + i * WARP < hd;
            o->k[key][i] = there ? ((const float *)b.a.k)[at + i * WARP] : 0;
            o->v[key][i] = there ? ((const float *)b.a.v)[at + i * WARP] : 0;
            o->dk[key][i] = o->dv[key][i] = 0;
        }
    }
}

template <int PARTS>
static __device__ void give_keys(const k_attention_back &b, const own_keys<PARTS> &o)
{
    const int32_t hd = b.a.head_dim, lane = (int32_t)threadIdx.x % WARP;
#pragma unroll
    for (int key = 0; key < KEYS_A_WARP; key++) {
#pragma unroll
        for (int i = 0; i < PARTS; i++) {
            const int64_t at = ((int64_t)(o.slot + key) * b.a.heads_kv + blockIdx.y) * hd + lane;
            if (o.slot + key >= b.slots || lane + i * WARP >= hd) continue;
            ((float *)b.dk)[at + i * WARP] = o.dk[key][i];
            ((float *)b.dv)[at + i * WARP] = o.dv[key][i];
        }
    }
}

/* What one packed row adds to the warp's keys, those that lie in the range and that it sees. */
template <int PARTS>
static __device__ __forceinline__ void add_row(const k_attention_back &b, own_keys<PARTS> *o,
                                               const k_range &range, int64_t row, int32_t query)
{
    const k_attention &a = b.a;
    const int32_t hd = a.head_dim, lane = (int32_t)threadIdx.x % WARP;
    float q[PARTS], d_o[PARTS];
#pragma unroll
    for (int j = 0; j < PARTS; j++) {
        const bool there = lane + j * WARP < hd;
        q[j] = there ? ((const float *)a.q)[row * hd + lane + j * WARP] : 0;
        d_o[j] = there ? ((const float *)b.d_o)[row * hd + lane + j * WARP] : 0;
    }
#pragma unroll
    for (int key = 0; key < KEYS_A_WARP; key++) {
        const int32_t in_range = o->slot + key - range.slot;
        if (in_range < 0 || in_range >= range.count) continue;
        if (!sees(query, range.position + in_range, a.window)) continue;
        float qk = 0, dov = 0, p, ds;
#pragma unroll
        for (int j = 0; j < PARTS; j++) {
            qk += q[j] * o->k[key][j];
            dov += d_o[j] * o->v[key][j];
        }
        pair_back(a, warp_sum(qk), warp_sum(dov), a.log_sum_exp[row], b.row_term[row], &p, &ds);
#pragma unroll
        for (int j = 0; j < PARTS; j++) {
            o->dk[key][j] += ds * q[j];
            o->dv[key][j] += p * d_o[j];
        }
    }
}

/* blockIdx: 32 slots, K/V head; a warp holds KEYS_A_WARP of them. */
template <int PARTS>
static __global__ void __launch_bounds__(WARPS *WARP) keys_back(k_attention_back b)
{
    const k_attention &a = b.a;
    const int32_t group = a.heads / a.heads_kv;
    own_keys<PARTS> own;
    own.slot = (int32_t)blockIdx.x * SLOTS + (int32_t)threadIdx.x / WARP * KEYS_A_WARP;
    take_keys(b, &own);
    for (int32_t s = 0; s < b.n_span; s++) {
        const k_span span = a.span[s];
        for (int32_t r = span.first_range; r < span.first_range + span.n_range; r++) {
            const k_range range = a.range[r];
            const int32_t first = own.slot - range.slot; /* of the warp's keys in the range */
            if (first + KEYS_A_WARP <= 0 || first >= range.count) continue;
            const int32_t position = range.position + (first > 0 ? first : 0);
            const int32_t farthest = range.position + first + KEYS_A_WARP - 1;
            int32_t row0 = position - span.position; /* queries before it see none of them */
            if (row0 < 0) row0 = 0;
            for (int32_t i = row0 * group; i < span.count * group; i++) {
                const int32_t query = span.position + i / group;
                if (a.window > 0 && query - farthest >= a.window) break;
                const int64_t row = (int64_t)(span.row + i / group) * a.heads +
                                    (int32_t)blockIdx.y * group + i % group;
                add_row(b, &own, range, row, query);
            }
        }
    }
    give_keys(b, own);
}

/* ---- on the tensor units ---- */

typedef struct row_number { /* what a row's pairs need */
    float lse, term;        /* lse in units of log 2 */
    int32_t query;
} row_number;

static __device__ __forceinline__ row_number number_of(const k_attention_back &b,
                                                       const k_span &span, int32_t p)
{
    const int32_t group = b.a.heads / b.a.heads_kv;
    row_number r = {CUDART_INF_F, 0, span.position + p / group}; /* past the end: p is 0 */
    if (p >= span.count * group) return r;
    const int64_t at = packed_at(b.a, span, p);
    r.lse = b.a.log_sum_exp[at] * 1.4426950408889634f, r.term = b.row_term[at];
    return r;
}

/* s and dp of one pair become p and ds; `sees_it`: the query sees the key. */
static __device__ __forceinline__ void pair_tile(const k_attention_back &b, row_number r,
                                                 bool sees_it, float *s, float *dp)
{
    const k_attention &a = b.a;
    float x = *s * a.scale, slope = a.scale;
    if (a.softcap > 0) {
        const float t = tanhf(x * b.one_by_cap);
        x = a.softcap * t;
        slope *= 1 - t * t;
    }
    const float p = sees_it ? exp_two(x * 1.4426950408889634f - r.lse) : 0;
    *s = p;
    *dp = p * (*dp - r.term) * slope;
}

/* Blocks of N keys. blockIdx: tile of 64 packed rows, K/V head; a warp has 16 of them. Dynamic
 * shared memory: q, do [64], k, v [N]. */
template <typename T, int HD, int N>
static __global__ void __launch_bounds__(4 * WARP) queries_tiles(k_attention_back b)
{
    constexpr int LD = HD + LANES, HEIGHT = 4 * M_ROWS, THREADS = 4 * WARP;
    extern __shared__ __align__(16) unsigned char space[];
    bf16 *qs = (bf16 *)space, *ds = qs + HEIGHT * LD, *ks = ds + HEIGHT * LD, *vs = ks + N * LD;
    const k_attention &a = b.a;
    const k_tile tile = a.tile[blockIdx.x];
    const k_span span = a.span[tile.span];
    const int32_t group = a.heads / a.heads_kv, packed = span.count * group;
    const int lane = (int)threadIdx.x % WARP, mine = (int)threadIdx.x / WARP * M_ROWS;
    const int32_t end = tile.first + HEIGHT < packed ? tile.first + HEIGHT : packed;
    const seen see = {span.position + tile.first / group, span.position + (end - 1) / group,
                      a.window};
    copy_packed<T, HD, THREADS>(qs, (const T *)a.q, a, span, tile.first, HEIGHT);
    copy_packed<T, HD, THREADS>(ds, (const T *)b.d_o, a, span, tile.first, HEIGHT);
    const row_number row[2] = {number_of(b, span, tile.first + mine + lane / 4),
                               number_of(b, span, tile.first + mine + lane / 4 + 8)};
    float dq[1][HD / 8][4] = {}, s[1][N / 8][4], dp[1][N / 8][4];
    block_at at = {0, 0};
    for (; find_block(a, tile, span, see, N, &at); at.from += N) {
        const k_range range = a.range[span.first_range + at.range];
        const int32_t n = range.count - at.from < N ? range.count - at.from : N;
        const int32_t position = range.position + at.from;
        __syncthreads(); /* the block before is read */
        copy_slots<T, HD, THREADS>(ks, (const T *)a.k, a, range.slot + at.from, n, N);
        copy_slots<T, HD, THREADS>(vs, (const T *)a.v, a, range.slot + at.from, n, N);
        copies_end();
        copies_wait<0>();
        __syncthreads();
        rows_by_rows<HD, N, 1>(s, qs + mine * LD, ks);
        rows_by_rows<HD, N, 1>(dp, ds + mine * LD, vs);
#pragma unroll
        for (int i = 0; i < N / 8; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const int key = i * 8 + lane % 4 * 2 + j % 2;
                const row_number r = row[j / 2];
                pair_tile(b, r, key < n && sees(r.query, position + key, a.window), &s[0][i][j],
                          &dp[0][i][j]);
            }
        }
        by_columns<HD, HD, N, 1>(dq, dp, ks);
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int32_t p = tile.first + mine + lane / 4 + 8 * h;
        if (p >= packed) continue;
        T *to = (T *)b.dq + packed_at(a, span, p) * a.head_dim;
#pragma unroll
        for (int i = 0; i < HD / 8; i++) {
            const int j = i * 8 + lane % 4 * 2;
            if (j < a.head_dim) put(to + j, dq[0][i][2 * h]);
            if (j + 1 < a.head_dim) put(to + j + 1, dq[0][i][2 * h + 1]);
        }
    }
}

typedef struct own_slots { /* of a block of keys_tiles: KEYS slots, part of them in a range */
    int32_t first;         /* slot */
    int32_t position;      /* of the first, were it in the range */
    int32_t from, end;     /* those of them that are in it */
} own_slots;

/* What N packed rows from `first` on add to the block's keys. */
template <typename T, int HD, int ND, int N, int THREADS>
static __device__ __forceinline__ void add_rows(const k_attention_back &b, const k_span &span,
                                                own_slots own, int32_t first, bf16 *space,
                                                float dk[1][ND / 8][4], float dv[1][ND / 8][4])
{
    constexpr int LD = HD + LANES;
    bf16 *ks = space, *vs = ks + KEYS * LD, *qs = vs + KEYS * LD, *ds = qs + N * LD;
    const k_attention &a = b.a;
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int mine = warp % 4 * M_ROWS, part = warp / 4 * ND;
    float s[1][N / 8][4], dp[1][N / 8][4];
    __syncthreads(); /* the rows before are read */
    copy_packed<T, HD, THREADS>(qs, (const T *)a.q, a, span, first, N);
    copy_packed<T, HD, THREADS>(ds, (const T *)b.d_o, a, span, first, N);
    copies_end();
    copies_wait<0>();
    __syncthreads();
    rows_by_rows<HD, N, 1>(s, ks + mine * LD, qs);
    rows_by_rows<HD, N, 1>(dp, vs + mine * LD, ds);
#pragma unroll
    for (int i = 0; i < N / 8; i++) {
#pragma unroll
        for (int c = 0; c < 2; c++) {
            const row_number r = number_of(b, span, first + i * 8 + lane % 4 * 2 + c);
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const int key = mine + lane / 4 + 8 * h;
                const bool there = key >= own.from && key < own.end;
                pair_tile(b, r, there && sees(r.query, own.position + key, a.window),
                          &s[0][i][2 * h + c], &dp[0][i][2 * h + c]);
            }
        }
    }
    by_columns<HD, ND, N, 1>(dv, s, ds + part);
    by_columns<HD, ND, N, 1>(dk, dp, qs + part);
}

/* blockIdx: KEYS slots, K/V head; a warp has 16 of them, and 1 / SPLIT of the numbers of their
 * gradients. N packed rows at a time. Dynamic shared memory: k, v [KEYS], q, do [N]. */
template <typename T, int HD, int SPLIT, int N>
static __global__ void __launch_bounds__(4 * SPLIT * WARP) keys_tiles(k_attention_back b)
{
    constexpr int LD = HD + LANES, THREADS = 4 * SPLIT * WARP, ND = HD / SPLIT;
    extern __shared__ __align__(16) unsigned char space[];
    const k_attention &a = b.a;
    const int32_t group = a.heads / a.heads_kv, slot0 = (int32_t)blockIdx.x * KEYS;
    const int32_t left = (int32_t)b.slots - slot0 < KEYS ? (int32_t)b.slots - slot0 : KEYS;
    float dk[1][ND / 8][4] = {}, dv[1][ND / 8][4] = {};
    copy_slots<T, HD, THREADS>((bf16 *)space, (const T *)a.k, a, slot0, left, KEYS);
    copy_slots<T, HD, THREADS>((bf16 *)space + KEYS * LD, (const T *)a.v, a, slot0, left, KEYS);
    for (int32_t i = 0; i < b.n_span; i++) {
        const k_span span = a.span[i];
        for (int32_t r = span.first_range; r < span.first_range + span.n_range; r++) {
            const k_range range = a.range[r];
            own_slots own = {slot0, range.position + slot0 - range.slot, range.slot - slot0,
                             range.slot + range.count - slot0};
            if (own.from < 0) own.from = 0;
            if (own.end > left) own.end = left;
            if (own.from >= own.end) continue;
            int32_t row0 = own.position + own.from - span.position; /* nobody before sees them */
            row0 = row0 < 0 ? 0 : row0 * group / N * N;
            for (int32_t p = row0; p < span.count * group; p += N) {
                const int32_t query = span.position + p / group;
                if (a.window > 0 && query - (own.position + own.end - 1) >= a.window) break;
                add_rows<T, HD, ND, N, THREADS>(b, span, own, p, (bf16 *)space, dk, dv);
            }
        }
    }
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int32_t key = warp % 4 * M_ROWS + lane / 4 + 8 * h;
        if (key >= left) continue;
        const int64_t at = ((int64_t)(slot0 + key) * a.heads_kv + blockIdx.y) * a.head_dim;
#pragma unroll
        for (int i = 0; i < ND / 8; i++) {
#pragma unroll
            for (int c = 0; c < 2; c++) {
                const int j = warp / 4 * ND + i * 8 + lane % 4 * 2 + c;
                if (j >= a.head_dim) continue;
                put((T *)b.dk + at + j, dk[0][i][2 * h + c]);
                put((T *)b.dv + at + j, dv[0][i][2 * h + c]);
            }
        }
    }
}

/* ---- starting ---- */

template <typename T, int HD, int SPLIT, int N>
static void start_tiles(k_stream s, const k_attention_back *b)
{
    const size_t bytes = (size_t)(2 * KEYS + 2 * N) * (HD + LANES) * sizeof(bf16);
    const dim3 slots(blocks_of(b->slots, KEYS), (unsigned)b->a.heads_kv);
    const dim3 tiles((unsigned)b->a.n_tile, (unsigned)b->a.heads_kv);
    cudaFuncSetAttribute(queries_tiles<T, HD, N>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)bytes);
    cudaFuncSetAttribute(keys_tiles<T, HD, SPLIT, N>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)bytes);
    if (b->a.n_tile > 0) queries_tiles<T, HD, N><<<tiles, 4 * WARP, bytes, s>>>(*b);
    keys_tiles<T, HD, SPLIT, N><<<slots, 4 * SPLIT * WARP, bytes, s>>>(*b);
}

template <typename T> static void start_width(k_stream s, const k_attention_back *b)
{
    if (b->a.head_dim <= 64) start_tiles<T, 64, 1, 64>(s, b);
    else if (b->a.head_dim <= 80) start_tiles<T, 80, 1, 64>(s, b);
    else if (b->a.head_dim <= 96) start_tiles<T, 96, 1, 64>(s, b);
    else if (b->a.head_dim <= 128) start_tiles<T, 128, 1, 64>(s, b);
    else start_tiles<T, 256, 2, 32>(s, b);
}

static void start_precise(k_stream s, const k_attention_back *b)
{
    const dim3 slots(blocks_of(b->slots, SLOTS), (unsigned)b->a.heads_kv);
    const dim3 tiles((unsigned)b->a.n_tile, (unsigned)b->a.heads_kv);
    const size_t bytes = 2 * (size_t)SLOTS * (size_t)(b->a.head_dim + 1) * sizeof(float);
    if (b->a.n_tile > 0) {
        cudaFuncSetAttribute(queries_back, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
        queries_back<<<tiles, WARPS * WARP, bytes, s>>>(*b);
    }
    if (b->a.head_dim <= 32) keys_back<1><<<slots, WARPS * WARP, 0, s>>>(*b);
    else if (b->a.head_dim <= 64) keys_back<2><<<slots, WARPS * WARP, 0, s>>>(*b);
    else if (b->a.head_dim <= 128) keys_back<4><<<slots, WARPS * WARP, 0, s>>>(*b);
    else keys_back<8><<<slots, WARPS * WARP, 0, s>>>(*b);
}

void k_attend_back(k_stream s, const k_attention_back *b)
{
    const int64_t n = b->rows * b->a.heads;
    const unsigned blocks = blocks_of(n, WARPS);
    if (n > 0 && b->a.type == ROWS_BF16) row_terms<bf16><<<blocks, WARPS * WARP, 0, s>>>(*b, n);
    else if (n > 0) row_terms<float><<<blocks, WARPS * WARP, 0, s>>>(*b, n);
    if (b->slots == 0) return;
    if (b->a.precise) start_precise(s, b);
    else if (b->a.type == ROWS_BF16) start_width<bf16>(s, b);
    else start_width<float>(s, b);
}
