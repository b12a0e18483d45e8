/* hopper_back: queries_tiles and keys_tiles of attend_back.cu in Hopper's own instructions, for
 * bf16 rows and heads of 64 or 128 numbers without a soft-cap.
 *
 * A block has two warpgroups of 64 rows (or slots) each, which run over blocks of 64 keys (or rows)
 * that come by stages. Every sum has one order, and no two blocks add to one number. */
#include "compute/cuda/back_in.h"
#include "compute/cuda/hopper_in.h"

enum { GROUPS = 2, HEIGHT = GROUPS * 64, THREADS = GROUPS * GROUP, STEP = 64 };
enum { KEY_STAGES = 3, ROW_STAGES = 2 }; /* two blocks of keys are read at a time */

/* d [64, 64] = 64 rows of `as` (of AR) times the STEP rows of `bs` */
template <int HD, int AR>
static __device__ __forceinline__ void rows_by_step(float (&d)[STEP / 8][4], const bf16 *as,
                                                    const bf16 *bs)
{
    const uint64_t a = factor_at(as, 0), b = factor_at(bs, 0);
#pragma unroll
    for (int k = 0; k < HD / 16; k++)
        product(d, columns_on(a, AR, k), columns_on(b, STEP, k), k > 0);
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

typedef struct coming { /* a block of keys; n 0: no more */
    int32_t position, slot, n;
} coming;

static __device__ __forceinline__ coming take_block(const k_attention &a, const k_tile &tile,
                                                    const k_span &span, seen s, walk *w)
{
    if (!walk_on(a, tile, span, s, STEP, w)) return (coming){0, 0, 0};
    const int32_t from = w->from, left = w->range.count - from;
    w->from += STEP;
    return (coming){w->range.position + from, w->range.slot + from, left < STEP ? left : STEP};
}

template <int HD>
static __device__ __forceinline__ void copy_keys(bf16 *stage, const k_attention &a, coming c)
{
    slots_to_factor<HD, STEP, THREADS>(stage, a.k, a, c.slot, c.n);
    slots_to_factor<HD, STEP, THREADS>(stage + STEP * HD, a.v, a, c.slot, c.n);
}

/* Dot products q . k and do . v become p and ds / scale, of rows of 64 and a block of keys. */
static __device__ __forceinline__ void pairs_of_keys(float s[STEP / 8][4], float dp[STEP / 8][4],
                                                     const k_attention &a, seen see,
                                                     const row_number row[2], coming c)
{
    const int column = (int)threadIdx.x % 4 * 2;
    const float factor = a.scale * TO_TWO;
    if (c.n < STEP || c.position + STEP - 1 > see.first || a.window > 0) {
#pragma unroll
        for (int i = 0; i < STEP / 2; i++) {
            const int key = i / 4 * 8 + column + i % 2;
            const bool is_seen = sees(row[i % 4 / 2].query, c.position + key, a.window);
            s[i / 4][i % 4] = (key >= c.n) | !is_seen ? -CUDART_INF_F : s[i / 4][i % 4];
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

/* blockIdx: tile of HEIGHT packed rows, K/V head. Dynamic shared memory: q, do; KEY_STAGES of k,
 * v. */
/* long: one kernel, a pipeline whose stages hold the same registers */
template <int HD>
static __global__ void __launch_bounds__(THREADS, 1) queries_wide(k_attention_back b)
{
    extern __shared__ __align__(1024) unsigned char space[];
    constexpr int BLOCK = 2 * STEP * HD;
    bf16 *qs = (bf16 *)space, *ds = qs + HEIGHT * HD, *stages = ds + HEIGHT * HD;
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
    rows_to_factors<HD, HEIGHT, THREADS>(to, from, a, span, tile.first);
    coming now = take_block(a, tile, span, see, &at), next = {};
    if (now.n > 0) copy_keys<HD>(stages, a, now);
    copies_end();
    if (now.n > 0) next = take_block(a, tile, span, see, &at);
    if (next.n > 0) copy_keys<HD>(stages + BLOCK, a, next);
    copies_end();
    const row_number row[2] = {number_of(b, span, tile.first + mine + lane / 4),
                               number_of(b, span, tile.first + mine + lane / 4 + 8)};
    const bf16 *const q = qs + mine / 64 * 64 * PANEL, *const d_o = ds + mine / 64 * 64 * PANEL;
    copies_wait<1>();
    copies_to_products();
    __syncthreads();
    if (now.n > 0) {
        start_products();
        rows_by_step<HD, HEIGHT>(s, q, stages);
        rows_by_step<HD, HEIGHT>(dp, d_o, stages + STEP * HD);
        wait_products<0>();
        hold(s), hold(dp);
        pairs_of_keys(s, dp, a, see, row, now);
        block_as_factor(p, dp);
    }
    int turn = 0;
    while (next.n > 0) {
        const int turn1 = turn == KEY_STAGES - 1 ? 0 : turn + 1,
                  turn2 = turn1 == KEY_STAGES - 1 ? 0 : turn1 + 1;
        const bf16 *ks = stages + turn * BLOCK, *ks_next = stages + turn1 * BLOCK;
        copies_wait<0>();
        copies_to_products();
        __syncthreads(); /* the next block is there, and who read the one before this is done */
        const coming after = take_block(a, tile, span, see, &at);
        if (after.n > 0) copy_keys<HD>(stages + turn2 * BLOCK, a, after);
        copies_end();
        hold(dq);
        start_products();
        rows_by_step<HD, HEIGHT>(s, q, ks_next);
        rows_by_step<HD, HEIGHT>(dp, d_o, ks_next + STEP * HD);
        add_step<HD>(dq, p, ks);
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
        now = next, next = after, turn = turn1;
    }
    copies_wait<0>();
    if (now.n > 0) {
        hold(dq);
        start_products();
        add_step<HD>(dq, p, stages + turn * BLOCK);
        wait_products<0>();
        hold(dq);
    }
    const float by[2] = {a.scale, a.scale};
    const rows_place place = {span.row, a.heads, group, tile.first + mine, packed};
    __syncthreads(); /* who reads stages is done: they are room for the warps' rows */
    give_rows<HD>(b.dq, stages + mine * (HD + LANES), dq, by, place);
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
    rows_to_factors<HD, STEP, THREADS>(places, from, b.a, at.span, at.first);
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

static __device__ __forceinline__ bool sees_slot(const k_attention &a, const sight &s, int slot,
                                                 int row, int32_t group)
{
    const int32_t query = s.position + (s.first + row) / group;
    return (slot >= s.own.from) & (slot < s.own.end) & sees(query, s.own.position + slot, a.window);
}

/* blockIdx: HEIGHT slots, K/V head. Dynamic shared memory: k, v; ROW_STAGES of rows; their numbers,
 * log-sum-exp and term. */
/* long: one kernel, a pipeline whose stages hold the same registers */
template <int HD> static __global__ void __launch_bounds__(THREADS, 1) keys_wide(k_attention_back b)
{
    extern __shared__ __align__(1024) unsigned char space[];
    const k_attention &a = b.a;
    const int32_t slot0 = (int32_t)blockIdx.x * HEIGHT, group = a.heads / a.heads_kv;
    const int32_t left = (int32_t)b.slots - slot0 < HEIGHT ? (int32_t)b.slots - slot0 : HEIGHT;
    const int lane = (int)threadIdx.x % WARP, mine = (int)threadIdx.x / WARP * M_ROWS;
    const int first_slot = mine / 64 * 64;
    bf16 *ks = (bf16 *)space, *vs = ks + HEIGHT * HD;
    row_stage<HD> *stage = (row_stage<HD> *)(vs + HEIGHT * HD);
    float *numbers = (float *)(stage + ROW_STAGES);
    const float factor = a.scale * TO_TWO;
    float dk[HD / 8][4] = {}, dv[HD / 8][4] = {};
    uint32_t p[STEP / 16][4], dsp[STEP / 16][4];
    slots_to_factor<HD, HEIGHT, THREADS>(ks, a.k, a, slot0, left);
    slots_to_factor<HD, HEIGHT, THREADS>(vs, a.v, a, slot0, left);
    rows_walk at = rows_begin();
    bool more = rows_on(b, slot0, left, STEP, &at);
    if (more) copy_rows<HD>(stage, numbers, b, at);
    copies_end();
    for (int turn = 0; more;) {
        const sight see = {at.own, at.first, at.span.position};
        const row_stage<HD> *rows = stage + turn;
        const float *lse = numbers + turn * 2 * STEP + lane % 4 * 2, *term = lse + STEP;
        turn = turn == ROW_STAGES - 1 ? 0 : turn + 1;
        float s[STEP / 8][4], dp[STEP / 8][4];
        copies_wait<0>();
        copies_to_products();
        __syncthreads();
        at.first += STEP;
        more = rows_on(b, slot0, left, STEP, &at);
        if (more) copy_rows<HD>(stage + turn, numbers + turn * 2 * STEP, b, at);
        copies_end();
        start_products();
        rows_by_step<HD, HEIGHT>(s, ks + first_slot * PANEL, rows->q);
        rows_by_step<HD, HEIGHT>(dp, vs + first_slot * PANEL, rows->d_o);
        wait_products<1>();
        hold(s);
        if (see.own.from > 0 || see.own.end < HEIGHT || a.window > 0 ||
            see.own.position + HEIGHT - 1 > see.position + see.first / group) {
#pragma unroll
            for (int i = 0; i < STEP / 2; i++) {
                const int row = i / 4 * 8 + lane % 4 * 2 + i % 2;
                if (!sees_slot(a, see, mine + lane / 4 + i % 4 / 2 * 8, row, group))
                    s[i / 4][i % 4] = -CUDART_INF_F;
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
    constexpr size_t of_keys = (size_t)KEY_STAGES * 2 * STEP * HD * sizeof(bf16);
    constexpr size_t of_rows = ROW_STAGES * (sizeof(row_stage<HD>) + 2 * STEP * sizeof(float));
    const dim3 slots(blocks_of(b->slots, HEIGHT), (unsigned)b->a.heads_kv);
    const dim3 tiles((unsigned)b->a.n_tile, (unsigned)b->a.heads_kv);
    cudaFuncSetAttribute(queries_wide<HD>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)(held + of_keys));
    cudaFuncSetAttribute(keys_wide<HD>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)(held + of_rows));
    if (b->a.n_tile > 0) queries_wide<HD><<<tiles, THREADS, held + of_keys, s>>>(*b);
    keys_wide<HD><<<slots, THREADS, held + of_rows, s>>>(*b);
}

void k_attend_back_wide(k_stream s, const k_attention_back *b)
{
    if (b->a.head_dim == 64) start_wide<64>(s, b);
    else start_wide<128>(s, b);
}
