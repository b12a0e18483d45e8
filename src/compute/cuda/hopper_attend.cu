/* hopper_attend: attend_tiles of attend.cu in Hopper's own instructions, for bf16 rows and heads of
 * 64 or 128 numbers without a soft-cap.
 *
 * A block is a warpgroup with 64 packed rows; two of them share a multiprocessor. The products of a
 * block of keys run while the block before it is added up: queries and weights stay in registers,
 * keys and values come by two stages each. The order of every sum is that of attend_tiles, so are
 * the bits. */
#include "compute/cuda/hopper_in.h"
#include "compute/cuda/soften_in.h"

static __device__ __forceinline__ void mask_block(float s[KEYS / 8][4], const k_attention &a,
                                                  seen see, const two_rows rows, coming c)
{
    if (c.n == KEYS && c.position + KEYS - 1 <= see.first && a.window == 0 && c.owner < 0) return;
    mask(s, a, rows, (key_block){c.position, c.n, false, c.owner});
}

template <int HD>
static __device__ __forceinline__ void logits_of(float (&s)[KEYS / 8][4],
                                                 const uint32_t q[HD / 16][4], const bf16 *ks)
{
    const uint64_t keys = factor_at(ks, 0);
#pragma unroll
    for (int k = 0; k < HD / 16; k++) product(s, q[k], columns_on(keys, KEYS, k), k > 0);
    end_products();
}

template <int HD>
static __device__ __forceinline__ void add_values(float (&out)[HD / 8][4],
                                                  const uint32_t p[KEYS / 16][4], const bf16 *vs)
{
    const uint64_t values = factor_at(vs, KEYS * PANEL * 2);
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++) product_turned(out, p[k], rows_on(values, k));
    end_products();
}

static __device__ __forceinline__ void weights_as_factor(uint32_t p[KEYS / 16][4],
                                                         const float s[KEYS / 8][4])
{
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++) columns_as_factor(p[k], s[2 * k], s[2 * k + 1]);
}

template <int HD> static constexpr size_t bytes_of(void)
{
    return (4 * KEYS * HD + WIDE_HEIGHT * (HD + LANES)) * sizeof(bf16);
}

/* blockIdx: 0, K/V head, tile. Dynamic shared memory: keys, values (two stages each), queries. */
/* long: one kernel, a pipeline whose stages hold the same registers */
template <int HD> static __global__ void __launch_bounds__(GROUP, 2) attend_wide(k_attention a)
{
    constexpr int BLOCK = KEYS * HD;
    extern __shared__ __align__(1024) unsigned char space[];
    bf16 *ks = (bf16 *)space, *vs = ks + 2 * BLOCK, *qs = vs + 2 * BLOCK;
    const opening o = open_tile(a, WIDE_HEIGHT);
    const k_tile &tile = o.tile;
    const k_span &span = o.span;
    const seen &see = o.see;
    const int lane = (int)threadIdx.x % WARP, mine = (int)threadIdx.x / WARP * M_ROWS;
    const float factor = a.scale * TO_TWO;
    const int32_t top = tile.first + mine + lane / 4;
    const two_rows rows = two_rows_at(o, top);
    uint32_t q[HD / 16][4], p[KEYS / 16][4];
    float out[HD / 8][4] = {}, s[KEYS / 8][4], fade[2];
    running r = {{-CUDART_INF_F, -CUDART_INF_F}, {0, 0}};
    walk at = walk_begin();
    copy_packed<bf16, HD, GROUP>(qs, (const bf16 *)a.q, a, span, tile.first, WIDE_HEIGHT);
    coming now = take_block(a, tile, span, see, &at), next = {};
    if (now.n > 0) slots_to_factor<HD, KEYS, GROUP>(ks, a.k, a, now.slot, now.n);
    copies_end();
    if (now.n > 0) next = take_block(a, tile, span, see, &at);
    if (next.n > 0) slots_to_factor<HD, KEYS, GROUP>(ks + BLOCK, a.k, a, next.slot, next.n);
    if (now.n > 0) slots_to_factor<HD, KEYS, GROUP>(vs, a.v, a, now.slot, now.n);
    copies_end();
    copies_wait<1>(); /* queries, the first keys */
    copies_to_products();
    __syncthreads();
    keep_rows<HD>(q, qs + mine * (HD + LANES));
    if (now.n > 0) {
        start_products();
        logits_of<HD>(s, q, ks);
        wait_products<0>();
        hold(s);
        mask_block(s, a, see, rows, now);
        soften(s, factor, &r, fade);
        weights_as_factor(p, s);
    }
    int turn = 0;
    for (; next.n > 0; turn ^= 1) {
        coming after = {};
        copies_wait<0>(); /* this block's values, the next one's keys */
        copies_to_products();
        __syncthreads();
        after = take_block(a, tile, span, see, &at);
        if (after.n > 0) {
            bf16 *to = ks + turn * BLOCK;
            slots_to_factor<HD, KEYS, GROUP>(to, a.k, a, after.slot, after.n);
        }
        bf16 *to = vs + (turn ^ 1) * BLOCK;
        slots_to_factor<HD, KEYS, GROUP>(to, a.v, a, next.slot, next.n);
        copies_end();
        hold(out);
        start_products();
        logits_of<HD>(s, q, ks + (turn ^ 1) * BLOCK);
        add_values<HD>(out, p, vs + turn * BLOCK);
        wait_products<1>();
        hold(s);
        mask_block(s, a, see, rows, next);
        soften(s, factor, &r, fade);
        settle(__float_as_uint(r.sum[0] + r.sum[1])); /* while the products go on */
        wait_products<0>();
        hold(out);
        fade_rows<HD>(out, fade);
        weights_as_factor(p, s);
        now = next, next = after;
    }
    copies_wait<0>();
    copies_to_products();
    __syncthreads();
    if (now.n > 0) {
        hold(out);
        start_products();
        add_values<HD>(out, p, vs + turn * BLOCK);
        wait_products<0>();
        hold(out);
    }
    float by[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float sum = sum_of_four(r.sum[h]);
        by[h] = sum > 0 ? 1 / sum : 0;
        if (a.log_sum_exp && lane % 4 == 0 && top + 8 * h < o.packed)
            a.log_sum_exp[packed_at(a, span, top + 8 * h)] = log_of(r.largest[h], sum);
    }
    const rows_place place = {span.row, a.heads, o.group, tile.first + mine, o.packed};
    give_rows<HD>(a.o, qs + mine * (HD + LANES), out, by, place);
}

template <int HD> static void start_wide(k_stream s, const k_attention *a)
{
    constexpr size_t bytes = bytes_of<HD>();
    cudaFuncSetAttribute(attend_wide<HD>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    for (int32_t first = 0; first < a->n_tile; first += TILES_MAX) {
        k_attention part = *a;
        part.tile += first;
        const int32_t n = a->n_tile - first < TILES_MAX ? a->n_tile - first : TILES_MAX;
        const dim3 grid(1, (unsigned)a->heads_kv, (unsigned)n);
        attend_wide<HD><<<grid, GROUP, bytes, s>>>(part);
    }
}

bool k_attend_is_wide(const k_attention *a)
{
    return a->hopper && a->type == ROWS_BF16 && !a->precise && !a->two_terms && a->softcap == 0 &&
           (a->head_dim == 64 || a->head_dim == 128);
}

void k_attend_wide(k_stream s, const k_attention *a)
{
    if (a->head_dim == 64) start_wide<64>(s, a);
    else start_wide<128>(s, a);
}
