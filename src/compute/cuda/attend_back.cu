/* attend_back: the way back through attention; see compute/train.h. With logits s, p = exp(s -
 * lse):
 *
 *     dv_k = sum p do      ds = p (do . v - do . o) (1 - (s/c)^2 with a soft-cap) scale
 *     dq = sum_k ds k      dk = sum ds q                          (Dao 2023, section 2.2)
 *
 * float32, and no two blocks add to one number: `queries_back` gives a warp one packed row and
 * runs over its keys; `keys_back` gives a block 32 slots of one K/V head and runs over the
 * queries that see them, span after span, row after row, head after head. Every sum has one
 * order. */
#include "compute/cuda/lanes_in.h"

enum { SLOTS = 32, WARPS = 8, KEYS_A_WARP = SLOTS / WARPS };

static __device__ __forceinline__ bool sees(int32_t query, int32_t key, int32_t window)
{
    return key <= query && (window == 0 || query - key < window);
}

/* do . o of every row and head: a warp each */
static __global__ void row_terms(k_attention_back b, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP;
    const int hd = b.a.head_dim;
    const float *d_o = b.d_o + i * hd, *o = (const float *)b.a.o + i * hd;
    float sum = 0;
    if (i >= n) return;
    for (int j = (int)threadIdx.x % WARP; j < hd; j += WARP) sum += d_o[j] * o[j];
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
        const packed_row r = {(const float *)a.q + row * hd, b.d_o + row * hd,
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
            b.dq[row * hd + lane + i * WARP] = dq[i];
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
            b.dk[at + i * WARP] = o.dk[key][i];
            b.dv[at + i * WARP] = o.dv[key][i];
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
        d_o[j] = there ? b.d_o[row * hd + lane + j * WARP] : 0;
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

void k_attend_back(k_stream s, const k_attention_back *b)
{
    const int64_t n = b->rows * b->a.heads;
    const dim3 slots(blocks_of(b->slots, SLOTS), (unsigned)b->a.heads_kv);
    const dim3 tiles((unsigned)b->a.n_tile, (unsigned)b->a.heads_kv);
    const size_t bytes = 2 * (size_t)SLOTS * (size_t)(b->a.head_dim + 1) * sizeof(float);
    if (n > 0) row_terms<<<blocks_of(n, WARPS), WARPS * WARP, 0, s>>>(*b, n);
    if (b->a.n_tile > 0) {
        cudaFuncSetAttribute(queries_back, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
        queries_back<<<tiles, WARPS * WARP, bytes, s>>>(*b);
    }
    if (b->slots == 0) return;
    if (b->a.head_dim <= 32) keys_back<1><<<slots, WARPS * WARP, 0, s>>>(*b);
    else if (b->a.head_dim <= 64) keys_back<2><<<slots, WARPS * WARP, 0, s>>>(*b);
    else if (b->a.head_dim <= 128) keys_back<4><<<slots, WARPS * WARP, 0, s>>>(*b);
    else keys_back<8><<<slots, WARPS * WARP, 0, s>>>(*b);
}
