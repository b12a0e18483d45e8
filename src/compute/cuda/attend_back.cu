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
#include "compute/cuda/back_in.h"

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

/* The same with eight numbers a thread: SHARE threads a row and head of at most 8 SHARE numbers. */
template <typename T, int SHARE>
static __global__ void row_terms_wide(k_attention_back b, int64_t n)
{
    const int64_t i = ((int64_t)blockIdx.x * WARPS * WARP + threadIdx.x) / SHARE;
    const int hd = b.a.head_dim, j = (int)threadIdx.x % SHARE * LANES;
    float sum = 0, x[LANES], y[LANES];
    if (i < n && j < hd) {
        load8(x, (const T *)b.d_o + i * hd + j), load8(y, (const T *)b.a.o + i * hd + j);
#pragma unroll
        for (int k = 0; k < LANES; k++) sum += x[k] * y[k];
    }
#pragma unroll
    for (int k = SHARE / 2; k > 0; k /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, k);
    if (i < n && j == 0) b.row_term[i] = sum;
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

static __device__ __forceinline__ row_number number_of(const k_attention_back &b,
                                                       const k_span &span, int32_t p)
{
    const int32_t group = b.a.heads / b.a.heads_kv;
    const float term = p < span.count * group ? b.row_term[packed_at(b.a, span, p)] : 0;
    return (row_number){lse_of(b, span, p), term, span.position + p / group};
}

/* s and dp of sixteen rows and N columns become p and ds / scale. lse and term stand by column
 * (those that a thread has) or by row (its two). Each step over all pairs at once: they do not wait
 * for each other. `hidden`: one bit a pair that sees nothing. */
template <int N, bool BY_COLUMN>
static __device__ __forceinline__ void turn_pairs(const k_attention_back &b, float s[N / 8][4],
                                                  float dp[N / 8][4], const float *lse,
                                                  const float *term, uint32_t hidden)
{
    const k_attention &a = b.a;
    static_assert(N <= 64, "a bit a pair");
    if (a.softcap > 0) {
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            const int r = BY_COLUMN ? i / 4 * 2 + i % 2 : i % 4 / 2;
            const float t = tanhf(s[i / 4][i % 4] * a.scale * b.one_by_cap);
            s[i / 4][i % 4] = exp_two(a.softcap * t * TO_TWO - lse[r]);
            dp[i / 4][i % 4] = (dp[i / 4][i % 4] - term[r]) * (1 - t * t);
        }
    } else {
        const float factor = a.scale * TO_TWO;
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            const int r = BY_COLUMN ? i / 4 * 2 + i % 2 : i % 4 / 2;
            s[i / 4][i % 4] = exp_two(s[i / 4][i % 4] * factor - lse[r]);
            dp[i / 4][i % 4] -= term[r];
        }
    }
    if (hidden) {
#pragma unroll
        for (int i = 0; i < N / 2; i++) {
            if (hidden >> i & 1) s[i / 4][i % 4] = 0;
        }
    }
#pragma unroll
    for (int i = 0; i < N / 2; i++) dp[i / 4][i % 4] *= s[i / 4][i % 4];
}

/* Rows first .. of q and do, past the span's end zeros. */
template <typename T, int HD, int THREADS>
static __device__ __forceinline__ void copy_rows(bf16 *qs, bf16 *ds, const k_attention_back &b,
                                                 const k_span &span, int32_t first, int32_t rows)
{
    constexpr int CHUNKS = HD / LANES, LD = HD + LANES, STEP = THREADS / CHUNKS;
    const int32_t group = b.a.heads / b.a.heads_kv, packed = span.count * group;
    if (sizeof(T) == sizeof(bf16) && THREADS % CHUNKS == 0 && b.a.head_dim == HD && group == 1) {
        const int row = (int)threadIdx.x / CHUNKS, j = (int)threadIdx.x % CHUNKS * LANES;
        const int64_t stride = (int64_t)b.a.heads * HD;
        const int64_t at = (span.row + first + row) * stride + (int64_t)blockIdx.y * HD + j;
        const T *q = (const T *)b.a.q + at, *d_o = (const T *)b.d_o + at;
#pragma unroll 4
        for (int i = row; i < rows; i += STEP, q += STEP * stride, d_o += STEP * stride) {
            const bool there = first + i < packed;
            copy_or_zero(qs + i * LD + j, there ? q : (const T *)b.a.q, there);
            copy_or_zero(ds + i * LD + j, there ? d_o : (const T *)b.d_o, there);
        }
        return;
    }
    for (int i = (int)threadIdx.x; i < rows * CHUNKS; i += THREADS) {
        const int32_t p = first + i / CHUNKS, j = i % CHUNKS * LANES;
        const int64_t at = p < packed ? packed_at(b.a, span, p) * b.a.head_dim : 0;
        const T *q = (const T *)b.a.q + at, *d_o = (const T *)b.d_o + at;
        copy8(qs + i / CHUNKS * LD + j, p < packed ? q : (const T *)NULL, j, b.a.head_dim);
        copy8(ds + i / CHUNKS * LD + j, p < packed ? d_o : (const T *)NULL, j, b.a.head_dim);
    }
}

/* Sixteen rows in shared memory as the first factor of products; HOLD: kept in registers. */
template <int HD, bool HOLD> struct sixteen {
    const bf16 *at;
    uint32_t held[HOLD ? HD / 16 : 1][4];
};

template <int HD, bool HOLD>
static __device__ __forceinline__ void take_sixteen(sixteen<HD, HOLD> *f, const bf16 *rows)
{
    const int lane = (int)threadIdx.x % WARP;
    f->at = rows + (lane % 8 + lane / 8 % 2 * 8) * (HD + LANES) + lane / 16 * 8;
#pragma unroll
    for (int d = 0; HOLD && d < HD / 16; d++) load_matrices(f->held[d], f->at + d * 16);
}

/* s [16, N] = the sixteen rows times N rows of `bs` */
template <int HD, int N, bool HOLD>
static __device__ __forceinline__ void sixteen_by_rows(float s[N / 8][4],
                                                       const sixteen<HD, HOLD> &f, const bf16 *bs)
{
    constexpr int LD = HD + LANES;
    const int lane = (int)threadIdx.x % WARP;
    const bf16 *at = bs + (lane % 8 + lane / 16 * 8) * LD + lane / 8 % 2 * 8;
#pragma unroll
    for (int i = 0; i < N / 8; i++) s[i][0] = s[i][1] = s[i][2] = s[i][3] = 0;
#pragma unroll
    for (int d = 0; d < HD / 16; d++) {
        uint32_t a[4], b[N / 16][4];
        if (!HOLD) load_matrices(a, f.at + d * 16);
#pragma unroll
        for (int i = 0; i < N / 16; i++) load_matrices(b[i], at + i * 16 * LD + d * 16);
#pragma unroll
        for (int i = 0; i < N / 16; i++) {
            multiply(s[2 * i], HOLD ? f.held[HOLD ? d : 0] : a, b[i]);
            multiply(s[2 * i + 1], HOLD ? f.held[HOLD ? d : 0] : a, b[i] + 2);
        }
    }
}

/* Blocks of N keys, the next on its way. blockIdx: tile of 64 packed rows, K/V head; a warp has 16
 * of them. Dynamic shared memory: q, do [64] unless HOLD, then twice k, v [N]. */
/* long: one kernel, a pipeline whose stages hold the same registers */
template <typename T, int HD, int N, bool HOLD>
static __global__ void __launch_bounds__(4 * WARP) queries_tiles(k_attention_back b)
{
    constexpr int LD = HD + LANES, HEIGHT = 4 * M_ROWS, THREADS = 4 * WARP;
    extern __shared__ __align__(16) unsigned char space[];
    bf16 *qs = (bf16 *)space, *ds = qs + HEIGHT * LD, *stages = HOLD ? qs : ds + HEIGHT * LD;
    const k_attention &a = b.a;
    const k_tile tile = a.tile[blockIdx.x];
    const k_span span = a.span[tile.span];
    const int32_t group = a.heads / a.heads_kv, packed = span.count * group;
    const int lane = (int)threadIdx.x % WARP, mine = (int)threadIdx.x / WARP * M_ROWS;
    const int32_t end = tile.first + HEIGHT < packed ? tile.first + HEIGHT : packed;
    const seen see = {span.position + tile.first / group, span.position + (end - 1) / group,
                      a.window};
    sixteen<HD, HOLD> q, d_o;
    copy_rows<T, HD, THREADS>(qs, ds, b, span, tile.first, HEIGHT);
    copies_end();
    copies_wait<0>();
    __syncthreads();
    take_sixteen(&q, qs + mine * LD), take_sixteen(&d_o, ds + mine * LD);
    if (HOLD) __syncthreads();
    const row_number row[2] = {number_of(b, span, tile.first + mine + lane / 4),
                               number_of(b, span, tile.first + mine + lane / 4 + 8)};
    const float lse[2] = {row[0].lse, row[1].lse}, term[2] = {row[0].term, row[1].term};
    float dq[1][HD / 8][4] = {}, s[N / 8][4], dp[1][N / 8][4];
    walk at = walk_begin();
    bool more = walk_on(a, tile, span, see, N, &at);
    for (int turn = 0, first = 1; more; turn ^= 1) {
        const k_range range = at.range;
        const int32_t n = range.count - at.from < N ? range.count - at.from : N;
        const int32_t position = range.position + at.from;
        bf16 *ks = stages + turn * 2 * N * LD, *vs = ks + N * LD;
        if (first) {
            copy_slots<T, HD, THREADS>(ks, (const T *)a.k, a, range.slot + at.from, n, N);
            copy_slots<T, HD, THREADS>(vs, (const T *)a.v, a, range.slot + at.from, n, N);
            copies_end();
            first = 0;
        }
        at.from += N;
        more = walk_on(a, tile, span, see, N, &at);
        if (more) {
            const k_range next = at.range;
            const int32_t left = next.count - at.from;
            bf16 *to = stages + (turn ^ 1) * 2 * N * LD;
            copy_slots<T, HD, THREADS>(to, (const T *)a.k, a, next.slot + at.from, left, N);
            copy_slots<T, HD, THREADS>(to + N * LD, (const T *)a.v, a, next.slot + at.from, left,
                                       N);
        }
        copies_end();
        copies_wait<1>();
        __syncthreads();
        sixteen_by_rows<HD, N>(s, q, ks);
        sixteen_by_rows<HD, N>(dp[0], d_o, vs);
        uint32_t hidden = 0;
        if (n < N || position + N - 1 > see.first || a.window > 0) {
#pragma unroll
            for (int i = 0; i < N / 2; i++) {
                const int key = i / 4 * 8 + lane % 4 * 2 + i % 2;
                const int32_t query = row[i % 4 / 2].query;
                hidden |= (uint32_t)(key >= n | !sees(query, position + key, a.window)) << i;
            }
        }
        turn_pairs<N, false>(b, s, dp[0], lse, term, hidden);
        by_columns<HD, HD, N, 1>(dq, dp, ks);
        __syncthreads(); /* read, and free for the block after the next */
    }
    copies_wait<0>();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int32_t p = tile.first + mine + lane / 4 + 8 * h;
        if (p >= packed) continue;
        T *to = (T *)b.dq + packed_at(a, span, p) * a.head_dim;
#pragma unroll
        for (int i = 0; i < HD / 8; i++) {
            put_two(to, i * 8 + lane % 4 * 2, a.head_dim, dq[0][i][2 * h] * a.scale,
                    dq[0][i][2 * h + 1] * a.scale);
        }
    }
}

template <int HD, int N> struct row_stage { /* N packed rows on their way */
    bf16 q[N * (HD + LANES)], d_o[N * (HD + LANES)];
};

/* Behind a row's numbers, in q's padding, stand its log-sum-exp and term. */
template <int HD, int N>
static __device__ __forceinline__ float *numbers_at(row_stage<HD, N> *s, int row)
{
    static_assert(2 * sizeof(float) <= LANES * sizeof(bf16), "the padding");
    return (float *)(s->q + row * (HD + LANES) + HD);
}

/* Rows past the span's end are zeros throughout: they add nothing, whatever their weight. */
template <typename T, int HD, int N, int THREADS>
static __device__ __forceinline__ void copy_stage(row_stage<HD, N> *to, const k_attention_back &b,
                                                  const rows_walk &at)
{
    const int32_t p = at.first + (int32_t)threadIdx.x;
    copy_rows<T, HD, THREADS>(to->q, to->d_o, b, at.span, at.first, N);
    if (threadIdx.x >= N) return;
    const bool there = p < at.packed;
    const int64_t row = there ? packed_at(b.a, at.span, p) : 0;
    copy_float(numbers_at(to, (int)threadIdx.x), b.a.log_sum_exp + row, there);
    copy_float(numbers_at(to, (int)threadIdx.x) + 1, b.row_term + row, there);
}

/* blockIdx: KEYS slots, K/V head; a warp has 16 of them, and 1 / SPLIT of the numbers of their
 * gradients. N packed rows at a time, the next on their way. Dynamic shared memory: k, v [KEYS],
 * which HOLD moves to registers before they are overwritten, and twice N rows. */
/* long: one kernel, a pipeline whose stages hold the same registers */
template <typename T, int HD, int SPLIT, int N, bool HOLD>
static __global__ void __launch_bounds__(4 * SPLIT * WARP) keys_tiles(k_attention_back b)
{
    constexpr int LD = HD + LANES, THREADS = 4 * SPLIT * WARP, ND = HD / SPLIT;
    extern __shared__ __align__(16) unsigned char space[];
    const k_attention &a = b.a;
    const int32_t slot0 = (int32_t)blockIdx.x * KEYS, group = a.heads / a.heads_kv;
    const int32_t left = (int32_t)b.slots - slot0 < KEYS ? (int32_t)b.slots - slot0 : KEYS;
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int mine = warp % 4 * M_ROWS, part = warp / 4 * ND;
    bf16 *ks = (bf16 *)space, *vs = ks + KEYS * LD;
    row_stage<HD, N> *stage = (row_stage<HD, N> *)(HOLD ? ks : vs + KEYS * LD);
    float dk[1][ND / 8][4] = {}, dv[1][ND / 8][4] = {}, s[1][N / 8][4], dp[1][N / 8][4];
    sixteen<HD, HOLD> k, v;
    copy_slots<T, HD, THREADS>(ks, (const T *)a.k, a, slot0, left, KEYS);
    copy_slots<T, HD, THREADS>(vs, (const T *)a.v, a, slot0, left, KEYS);
    copies_end();
    copies_wait<0>();
    __syncthreads();
    take_sixteen(&k, ks + mine * LD), take_sixteen(&v, vs + mine * LD);
    if (HOLD) __syncthreads();
    rows_walk at = rows_begin();
    bool more = rows_on(b, slot0, left, N, &at);
    if (more) copy_stage<T, HD, N, THREADS>(&stage[0], b, at);
    copies_end();
    for (int turn = 0; more; turn ^= 1) {
        const own_slots own = at.own;
        const int32_t first = at.first, position = at.span.position;
        row_stage<HD, N> *rows = &stage[turn];
        at.first += N;
        more = rows_on(b, slot0, left, N, &at);
        if (more) copy_stage<T, HD, N, THREADS>(&stage[turn ^ 1], b, at);
        copies_end();
        copies_wait<1>();
        __syncthreads();
        sixteen_by_rows<HD, N>(s[0], k, rows->q);
        sixteen_by_rows<HD, N>(dp[0], v, rows->d_o);
        float lse[N / 4], term[N / 4];
        uint32_t hidden = 0;
#pragma unroll
        for (int i = 0; i < N / 4; i++) {
            const int r = i / 2 * 8 + lane % 4 * 2 + i % 2;
            lse[i] = numbers_at(rows, r)[0] * TO_TWO, term[i] = numbers_at(rows, r)[1];
        }
        if (own.from > 0 || own.end < KEYS || a.window > 0 ||
            own.position + KEYS - 1 > position + first / group) {
#pragma unroll
            for (int i = 0; i < N / 2; i++) {
                const int key = mine + lane / 4 + i % 4 / 2 * 8;
                const int32_t query = position + (first + i / 4 * 8 + lane % 4 * 2 + i % 2) / group;
                const bool there = (key >= own.from) & (key < own.end);
                hidden |= (uint32_t)(!there | !sees(query, own.position + key, a.window)) << i;
            }
        }
        turn_pairs<N, true>(b, s[0], dp[0], lse, term, hidden);
        by_columns<HD, ND, N, 1>(dv, s, rows->d_o + part);
        by_columns<HD, ND, N, 1>(dk, dp, rows->q + part);
        __syncthreads(); /* read, and free for the rows after the next */
    }
    copies_wait<0>();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int32_t key = mine + lane / 4 + 8 * h;
        if (key >= left) continue;
        const int64_t to = ((int64_t)(slot0 + key) * a.heads_kv + blockIdx.y) * a.head_dim;
#pragma unroll
        for (int i = 0; i < ND / 8; i++) {
            const int j = part + i * 8 + lane % 4 * 2;
            put_two((T *)b.dk + to, j, a.head_dim, dk[0][i][2 * h] * a.scale,
                    dk[0][i][2 * h + 1] * a.scale);
            put_two((T *)b.dv + to, j, a.head_dim, dv[0][i][2 * h], dv[0][i][2 * h + 1]);
        }
    }
}

/* ---- starting ---- */

template <typename T, int HD, int SPLIT, int N, bool HOLD>
static void start_tiles(k_stream s, const k_attention_back *b)
{
    constexpr size_t held = (size_t)2 * KEYS * (HD + LANES) * sizeof(bf16);
    constexpr size_t slots2 = (size_t)4 * N * (HD + LANES) * sizeof(bf16);
    constexpr size_t rows2 = 2 * sizeof(row_stage<HD, N>);
    const size_t of_queries = !HOLD ? held + slots2 : held > slots2 ? held : slots2;
    const size_t of_keys = !HOLD ? held + rows2 : held > rows2 ? held : rows2;
    const dim3 slots(blocks_of(b->slots, KEYS), (unsigned)b->a.heads_kv);
    const dim3 tiles((unsigned)b->a.n_tile, (unsigned)b->a.heads_kv);
    cudaFuncSetAttribute(queries_tiles<T, HD, N, HOLD>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)of_queries);
    cudaFuncSetAttribute(keys_tiles<T, HD, SPLIT, N, HOLD>,
                         cudaFuncAttributeMaxDynamicSharedMemorySize, (int)of_keys);
    if (b->a.n_tile > 0) queries_tiles<T, HD, N, HOLD><<<tiles, 4 * WARP, of_queries, s>>>(*b);
    keys_tiles<T, HD, SPLIT, N, HOLD><<<slots, 4 * SPLIT * WARP, of_keys, s>>>(*b);
}

template <typename T> static void start_width(k_stream s, const k_attention_back *b)
{
    if (b->a.head_dim <= 64) start_tiles<T, 64, 1, 32, true>(s, b);
    else if (b->a.head_dim <= 80) start_tiles<T, 80, 1, 32, true>(s, b);
    else if (b->a.head_dim <= 96) start_tiles<T, 96, 1, 32, true>(s, b);
    else if (b->a.head_dim <= 128) start_tiles<T, 128, 1, 32, false>(s, b);
    else start_tiles<T, 256, 2, 16, false>(s, b);
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

template <typename T> static void start_terms(k_stream s, const k_attention_back *b)
{
    const int64_t n = b->rows * b->a.heads;
    const int hd = b->a.head_dim;
    if (n == 0) return;
    if (hd % LANES != 0 || !is_aligned(b->d_o) || !is_aligned(b->a.o))
        row_terms<T><<<blocks_of(n, WARPS), WARPS * WARP, 0, s>>>(*b, n);
    else if (hd <= WARP / 2 * LANES)
        row_terms_wide<T, WARP / 2><<<blocks_of(n, WARPS * 2), WARPS * WARP, 0, s>>>(*b, n);
    else row_terms_wide<T, WARP><<<blocks_of(n, WARPS), WARPS * WARP, 0, s>>>(*b, n);
}

void k_attend_back(k_stream s, const k_attention_back *b)
{
    const bool wide = k_attend_is_wide(&b->a); /* finds the terms on its way */
    if (!wide && b->a.type == ROWS_BF16) start_terms<bf16>(s, b);
    else if (!wide) start_terms<float>(s, b);
    if (b->slots == 0) return;
    if (wide) k_attend_back_wide(s, b);
    else if (b->a.precise) start_precise(s, b);
    else if (b->a.type == ROWS_BF16) start_width<bf16>(s, b);
    else start_width<float>(s, b);
}
