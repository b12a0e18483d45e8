/* hopper_back: queries_tiles and keys_tiles of attend_back.cu in Hopper's own instructions, for
 * bf16 rows and heads of 64 or 128 numbers without a soft-cap.
 *
 * A block is a warpgroup with 64 rows (or slots), which runs over blocks of 64 keys (or rows) that
 * come by stages; two of them share a multiprocessor. Every sum has the order that it has there. */
#include "compute/cuda/back_in.h"
#include "compute/cuda/hopper_in.h"

enum { HEIGHT = 64, STEP = 64 };     /* rows (slots) of a block; keys (rows) at a time */
enum { KEY_STAGES = 3, STAGES = 2 }; /* of two blocks of keys at a time, and of one of all else */

/* d = the HEIGHT rows of `as` times the STEP rows of `bs` */
template <int HD>
static __device__ __forceinline__ void rows_by_step(float (&d)[STEP / 8][4], const bf16 *as,
                                                    const bf16 *bs)
{
    const uint64_t a = factor_at(as, 0), b = factor_at(bs, 0);
#pragma unroll
    for (int k = 0; k < HD / 16; k++)
        product(d, columns_on(a, HEIGHT, k), columns_on(b, STEP, k), k > 0);
    end_products();
}

/* out [64, HD] += p [64, STEP] times the rows of `bs` */
template <int HD>
static __device__ __forceinline__ void add_step(float (&out)[HD / 8][4],
                                                const uint32_t p[STEP / 16][4], const bf16 *bs)
{
    const uint64_t b = factor_at(bs, STEP * PANEL * 2);
#pragma unroll
    for (int k = 0; k < STEP / 16; k++) product_turned(out, p[k], rows_on(b, k));
    end_products();
}

template <int HD> struct key_stages { /* blocks of keys and values on their way */
    bf16 k[KEY_STAGES][STEP * HD], v[STAGES][STEP * HD];
};

template <int HD>
static __device__ __forceinline__ void copy_keys(key_stages<HD> *to, int turn, const k_attention &a,
                                                 coming c)
{
    slots_to_factor<HD, STEP, GROUP>(to->k[turn % KEY_STAGES], a.k, a, c.slot, c.n);
    slots_to_factor<HD, STEP, GROUP>(to->v[turn % STAGES], a.v, a, c.slot, c.n);
}

/* Dot products q . k and do . v become p and ds / scale, of rows of 64 and a block of keys. */
static __device__ __forceinline__ void pairs_of_keys(float s[STEP / 8][4], float dp[STEP / 8][4],
                                                     const k_attention &a, seen see,
                                                     const row_number row[2], coming c)
{
    const float factor = a.scale * TO_TWO;
    if (c.n < STEP || c.position + STEP - 1 > see.first || a.window > 0) {
        stretch seen[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            seen[h] = seen_of(row[h].query, c.position, c.n, a.window);
            seen[h].first -= (int)threadIdx.x % 4 * 2;
        }
#pragma unroll
        for (int i = 0; i < STEP / 2; i++) {
            const bool there = is_in(seen[i % 4 / 2], i / 4 * 8 + i % 2);
            s[i / 4][i % 4] = there ? s[i / 4][i % 4] : -CUDART_INF_F;
        }
    }
#pragma unroll
    for (int i = 0; i < STEP / 2; i++) {
        const row_number &r = row[i % 4 / 2];
        s[i / 4][i % 4] = exp_two(s[i / 4][i % 4] * factor - r.lse);
        dp[i / 4][i % 4] = (dp[i / 4][i % 4] - r.term) * s[i / 4][i % 4];
    }
}

static __device__ __forceinline__ void block_as_factor(uint32_t p[STEP / 16][4],
                                                       const float x[STEP / 8][4])
{
#pragma unroll
    for (int k = 0; k < STEP / 16; k++) columns_as_factor(p[k], x[2 * k], x[2 * k + 1]);
}

/* A thread's part of o of its row: a quarter, every fourth chunk. */
template <int HD>
static __device__ __forceinline__ void take_output(uint4 (&o)[HD / 32], const k_attention_back &b,
                                                   const k_span &span, int32_t p)
{
    const bool there = p < span.count * (b.a.heads / b.a.heads_kv);
    const int64_t at = there ? packed_at(b.a, span, p) : 0;
    const uint4 *row = (const uint4 *)((const bf16 *)b.a.o + at * HD) + threadIdx.x % 4;
#pragma unroll
    for (int k = 0; k < HD / 32; k++) o[k] = there ? row[4 * k] : make_uint4(0, 0, 0, 0);
}

/* do . o of row r of those in shared memory, for the keys too: added as row_terms_wide does. */
template <int HD>
static __device__ __forceinline__ float term_of(const uint4 (&o)[HD / 32], const bf16 *ds, int r)
{
    float sum[HD / 32], x[LANES], y[LANES];
#pragma unroll
    for (int k = 0; k < HD / 32; k++) {
        load8(x, ds + swizzled<HEIGHT>(r, (int)threadIdx.x % 4 + 4 * k));
        load8(y, (const bf16 *)&o[k]);
        sum[k] = 0;
#pragma unroll
        for (int i = 0; i < LANES; i++) sum[k] += x[i] * y[i];
    }
    float all = HD == 64 ? sum[0] + sum[1] : (sum[0] + sum[HD / 64]) + (sum[1] + sum[HD / 32 - 1]);
    all += __shfl_xor_sync(0xffffffffu, all, 2);
    return all + __shfl_xor_sync(0xffffffffu, all, 1);
}

/* blockIdx: tile of HEIGHT packed rows, K/V head. Dynamic shared memory: q, do; stages of k and v.
 * Writes the rows' terms, which keys_wide reads. */
/* long: one kernel, a pipeline whose stages hold the same registers */
template <int HD>
static __global__ void __launch_bounds__(GROUP, 2) queries_wide(k_attention_back b)
{
    extern __shared__ __align__(1024) unsigned char space[];
    bf16 *qs = (bf16 *)space, *ds = qs + HEIGHT * HD;
    key_stages<HD> *stage = (key_stages<HD> *)(ds + HEIGHT * HD);
    const k_attention &a = b.a;
    const k_tile tile = a.tile[blockIdx.x];
    const k_span span = a.span[tile.span];
    const int32_t group = a.heads / a.heads_kv, packed = span.count * group;
    const int lane = (int)threadIdx.x % WARP, mine = (int)threadIdx.x / WARP * M_ROWS;
    const int32_t end = tile.first + HEIGHT < packed ? tile.first + HEIGHT : packed;
    const seen see = {span.position + tile.first / group, span.position + (end - 1) / group,
                      a.window};
    float dq[HD / 8][4] = {}, s[STEP / 8][4], dp[STEP / 8][4];
    uint32_t p[STEP / 16][4];
    walk at = walk_begin();
    bf16 *const to[2] = {qs, ds};
    const void *const from[2] = {a.q, b.d_o};
    rows_to_factors<HD, HEIGHT, GROUP>(to, from, a, span, tile.first);
    coming now = take_block(a, tile, span, see, &at), next = {};
    if (now.n > 0) copy_keys(stage, 0, a, now);
    copies_end();
    if (now.n > 0) next = take_block(a, tile, span, see, &at);
    if (next.n > 0) copy_keys(stage, 1, a, next);
    copies_end();
    const int32_t top = tile.first + mine + lane / 4;
    row_number row[2];
    uint4 o[2][HD / 32];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        take_output<HD>(o[h], b, span, top + 8 * h);
        row[h].lse = lse_of(b, span, top + 8 * h);
        row[h].query = span.position + (top + 8 * h) / group;
    }
    copies_wait<1>();
    copies_to_products();
    __syncthreads();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        row[h].term = term_of<HD>(o[h], ds, mine + lane / 4 + 8 * h);
        if (lane % 4 == 0 && top + 8 * h < packed)
            b.row_term[packed_at(a, span, top + 8 * h)] = row[h].term;
    }
    if (now.n > 0) {
        start_products();
        rows_by_step<HD>(s, qs, stage->k[0]);
        rows_by_step<HD>(dp, ds, stage->v[0]);
        wait_products<0>();
        hold(s), hold(dp);
        pairs_of_keys(s, dp, a, see, row, now);
        block_as_factor(p, dp);
    }
    int turn = 0; /* modulo the numbers of stages */
    for (; next.n > 0; turn = turn == KEY_STAGES * STAGES - 1 ? 0 : turn + 1) {
        copies_wait<0>();
        copies_to_products();
        __syncthreads(); /* the next block is there, and who read the one before this is done */
        const coming after = take_block(a, tile, span, see, &at);
        if (after.n > 0) copy_keys(stage, turn + 2, a, after);
        copies_end();
        hold(dq);
        start_products();
        rows_by_step<HD>(s, qs, stage->k[(turn + 1) % KEY_STAGES]);
        rows_by_step<HD>(dp, ds, stage->v[(turn + 1) % STAGES]);
        add_step<HD>(dq, p, stage->k[turn % KEY_STAGES]);
        wait_products<1>();
        hold(s), hold(dp);
        pairs_of_keys(s, dp, a, see, row, next);
        uint32_t all = 0;
#pragma unroll
        for (int i = 0; i < STEP / 2; i++) all ^= __float_as_uint(dp[i / 4][i % 4]);
        settle(all); /* while the products go on */
        wait_products<0>();
        hold(dq);
        block_as_factor(p, dp);
        now = next, next = after;
    }
    copies_wait<0>();
    if (now.n > 0) {
        hold(dq);
        start_products();
        add_step<HD>(dq, p, stage->k[turn % KEY_STAGES]);
        wait_products<0>();
        hold(dq);
    }
    const float by[2] = {a.scale, a.scale};
    const rows_place place = {span.row, a.heads, group, tile.first + mine, packed};
    __syncthreads(); /* who reads stages is done: they are room for the warps' rows */
    give_rows<HD>(b.dq, (bf16 *)stage + mine * (HD + LANES), dq, by, place);
}

template <int HD> struct row_stage { /* STEP packed rows on their way */
    bf16 q[STEP * HD], d_o[STEP * HD];
};

/* Rows past the span's end are zeros throughout: they add nothing, whatever their weight. */
template <int HD>
static __device__ __forceinline__ void copy_rows(row_stage<HD> *to, float *numbers,
                                                 const k_attention_back &b, const rows_walk &at)
{
    bf16 *const places[2] = {to->q, to->d_o};
    const void *const from[2] = {b.a.q, b.d_o};
    rows_to_factors<HD, STEP, GROUP>(places, from, b.a, at.span, at.first);
    if (threadIdx.x >= 2 * STEP) return;
    const int r = (int)threadIdx.x % STEP;
    const int32_t p = at.first + r;
    const bool there = p < at.packed;
    const int64_t row = there ? packed_at(b.a, at.span, p) : 0;
    copy_float(numbers + threadIdx.x, (threadIdx.x < STEP ? b.a.log_sum_exp : b.row_term) + row,
               there);
}

/* Which of a block's rows see which of its slots. */
typedef struct sight {
    own_slots own;
    int32_t first, position;
} sight;

/* The rows that see a slot. */
static __device__ __forceinline__ stretch rows_of_slot(const k_attention &a, const sight &s,
                                                       int slot, int32_t group)
{
    const int32_t query = s.own.position + slot - s.position; /* of the span, the first that does */
    const int32_t from = query * group - s.first, first = from > 0 ? from : 0;
    int32_t end = a.window > 0 ? from + a.window * group : STEP;
    if (end > STEP) end = STEP;
    if (slot < s.own.from || slot >= s.own.end) end = 0;
    return (stretch){first, end > first ? end - first : 0};
}

/* blockIdx: HEIGHT slots, K/V head. Dynamic shared memory: k, v; stages of rows; their numbers,
 * log-sum-exp and term. */
/* long: one kernel, a pipeline whose stages hold the same registers */
template <int HD> static __global__ void __launch_bounds__(GROUP, 2) keys_wide(k_attention_back b)
{
    extern __shared__ __align__(1024) unsigned char space[];
    const k_attention &a = b.a;
    const int32_t slot0 = (int32_t)blockIdx.x * HEIGHT, group = a.heads / a.heads_kv;
    const int32_t left = (int32_t)b.slots - slot0 < HEIGHT ? (int32_t)b.slots - slot0 : HEIGHT;
    const int lane = (int)threadIdx.x % WARP, mine = (int)threadIdx.x / WARP * M_ROWS;
    bf16 *ks = (bf16 *)space, *vs = ks + HEIGHT * HD;
    row_stage<HD> *stage = (row_stage<HD> *)(vs + HEIGHT * HD);
    float *numbers = (float *)(stage + STAGES);
    const float factor = a.scale * TO_TWO;
    float dk[HD / 8][4] = {}, dv[HD / 8][4] = {};
    uint32_t p[STEP / 16][4], dsp[STEP / 16][4];
    slots_to_factor<HD, HEIGHT, GROUP>(ks, a.k, a, slot0, left);
    slots_to_factor<HD, HEIGHT, GROUP>(vs, a.v, a, slot0, left);
    rows_walk at = rows_begin();
    bool more = rows_on(b, slot0, left, STEP, &at);
    if (more) copy_rows<HD>(stage, numbers, b, at);
    copies_end();
    for (int turn = 0; more;) {
        const sight see = {at.own, at.first, at.span.position};
        const row_stage<HD> *rows = stage + turn;
        const float *lse = numbers + turn * 2 * STEP + lane % 4 * 2, *term = lse + STEP;
        turn = turn == STAGES - 1 ? 0 : turn + 1;
        float s[STEP / 8][4], dp[STEP / 8][4];
        copies_wait<0>();
        copies_to_products();
        __syncthreads();
        at.first += STEP;
        more = rows_on(b, slot0, left, STEP, &at);
        if (more) copy_rows<HD>(stage + turn, numbers + turn * 2 * STEP, b, at);
        copies_end();
        start_products();
        rows_by_step<HD>(s, ks, rows->q);
        rows_by_step<HD>(dp, vs, rows->d_o);
        wait_products<1>();
        hold(s);
        if (see.own.from > 0 || see.own.end < HEIGHT || a.window > 0 ||
            see.own.position + HEIGHT - 1 > see.position + see.first / group) {
            stretch seen[2];
#pragma unroll
            for (int h = 0; h < 2; h++) {
                seen[h] = rows_of_slot(a, see, mine + lane / 4 + 8 * h, group);
                seen[h].first -= lane % 4 * 2;
            }
#pragma unroll
            for (int i = 0; i < STEP / 2; i++) {
                const bool there = is_in(seen[i % 4 / 2], i / 4 * 8 + i % 2);
                s[i / 4][i % 4] = there ? s[i / 4][i % 4] : -CUDART_INF_F;
            }
        }
#pragma unroll
        for (int i = 0; i < STEP / 8; i++) {
            const float2 l = *(const float2 *)(lse + i * 8);
#pragma unroll
            for (int j = 0; j < 4; j++)
                s[i][j] = exp_two(s[i][j] * factor - (j % 2 ? l.y : l.x) * TO_TWO);
        }
        block_as_factor(p, s);
        hold(dv);
        start_products();
        add_step<HD>(dv, p, rows->d_o);
        wait_products<1>();
        hold(dp);
#pragma unroll
        for (int i = 0; i < STEP / 8; i++) {
            const float2 t = *(const float2 *)(term + i * 8);
#pragma unroll
            for (int j = 0; j < 4; j++) dp[i][j] = (dp[i][j] - (j % 2 ? t.y : t.x)) * s[i][j];
        }
        block_as_factor(dsp, dp);
        hold(dk);
        start_products();
        add_step<HD>(dk, dsp, rows->q);
        wait_products<0>();
        hold(dv), hold(dk);
    }
    copies_wait<0>();
    const float by[2] = {a.scale, a.scale}, as_is[2] = {1, 1};
    const rows_place place = {slot0, a.heads_kv, 1, mine, left};
    bf16 *room = (bf16 *)stage + mine * (HD + LANES);
    __syncthreads(); /* who reads stages is done: they are room for the warps' rows */
    give_rows<HD>(b.dk, room, dk, by, place);
    give_rows<HD>(b.dv, room, dv, as_is, place);
}

template <int HD> static void start_wide(k_stream s, const k_attention_back *b)
{
    constexpr size_t held = (size_t)2 * HEIGHT * HD * sizeof(bf16);
    constexpr size_t of_keys = sizeof(key_stages<HD>);
    constexpr size_t of_rows = STAGES * (sizeof(row_stage<HD>) + 2 * STEP * sizeof(float));
    const dim3 slots(blocks_of(b->slots, HEIGHT), (unsigned)b->a.heads_kv);
    const dim3 tiles((unsigned)b->a.n_tile, (unsigned)b->a.heads_kv);
    cudaFuncSetAttribute(queries_wide<HD>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)(held + of_keys));
    cudaFuncSetAttribute(keys_wide<HD>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)(held + of_rows));
    if (b->a.n_tile > 0) queries_wide<HD><<<tiles, GROUP, held + of_keys, s>>>(*b);
    keys_wide<HD><<<slots, GROUP, held + of_rows, s>>>(*b);
}

void k_attend_back_wide(k_stream s, const k_attention_back *b)
{
    if (b->a.head_dim == 64) start_wide<64>(s, b);
    else start_wide<128>(s, b);
}
