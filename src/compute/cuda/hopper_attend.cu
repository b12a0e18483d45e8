/* hopper_attend: attend_tiles of attend.cu in Hopper's own instructions, for bf16 rows and heads of
 * 64 or 128 numbers without a soft-cap.
 *
 * A block takes 64 packed rows a warpgroup. The products of a block of keys run while the block
 * before it is added up: queries and weights stay in registers, keys and values come by two stages
 * each. The order of every sum is that of attend_tiles, so are the bits. */
#include "compute/cuda/hopper_in.h"
#include "compute/cuda/soften_in.h"

enum { TILES_MAX = 65535 /* of a launch */ };

typedef struct coming { /* a block of keys that a tile looks at */
    key_block keys;
    int32_t slot;
    bool there;
} coming;

static __device__ __forceinline__ coming take_block(const k_attention &a, const k_tile &tile,
                                                    const k_span &span, seen s, block_at *at)
{
    coming c = {{0, 0, false, -1}, 0, find_block(a, tile, span, s, KEYS, at)};
    if (!c.there) return c;
    const k_range range = range_at(a, tile, span, at->range);
    const int32_t left = range.count - at->from;
    c.keys = (key_block){range.position + at->from, left < KEYS ? left : KEYS, false,
                         owner_of(tile, span, at->range)};
    c.keys.all = c.keys.n == KEYS && c.keys.position + KEYS - 1 <= s.first && a.window == 0 &&
                 c.keys.owner < 0;
    c.slot = range.slot + at->from;
    at->from += KEYS;
    return c;
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

template <int HD, int GROUPS> static constexpr size_t bytes_of(void)
{
    return ((size_t)4 * KEYS * HD + (size_t)GROUPS * 64 * (HD + LANES)) * sizeof(bf16);
}

/* blockIdx: 0, K/V head, tile. Dynamic shared memory: keys, values (two stages each), queries. */
/* long: one kernel, a pipeline whose stages hold the same registers */
template <int HD, int GROUPS>
static __global__ void __launch_bounds__(GROUPS *GROUP, 1) attend_wide(k_attention a)
{
    constexpr int HEIGHT = GROUPS * 64, THREADS = GROUPS * GROUP, BLOCK = KEYS * HD;
    extern __shared__ __align__(1024) unsigned char space[];
    bf16 *ks = (bf16 *)space, *vs = ks + 2 * BLOCK, *qs = vs + 2 * BLOCK;
    const k_tile tile = a.tile[blockIdx.z];
    k_span span = a.span[tile.span];
    if (tile.n_span > 1) span.count = tile.n_span; /* rows in a row, all at one position */
    const int32_t group = a.heads / a.heads_kv, packed = span.count * group;
    const int32_t step = tile.n_span > 1 ? 0 : 1; /* of the position, from query to query */
    const int lane = (int)threadIdx.x % WARP, mine = (int)threadIdx.x / WARP * M_ROWS;
    const int32_t end = tile.first + HEIGHT < packed ? tile.first + HEIGHT : packed;
    const seen see = {span.position + tile.first / group * step,
                      span.position + (end - 1) / group * step, a.window};
    const float factor = logit_factor(a);
    const int32_t top = tile.first + mine + lane / 4;
    const two_rows rows = {{span.position + top / group * step,
                            span.position + (top + 8) / group * step},
                           {top / group, (top + 8) / group}};
    uint32_t q[HD / 16][4], p[KEYS / 16][4];
    float out[HD / 8][4] = {}, s[KEYS / 8][4], fade[2];
    running r = {{-CUDART_INF_F, -CUDART_INF_F}, {0, 0}};
    block_at at = {0, 0};
    copy_packed<bf16, HD, THREADS>(qs, (const bf16 *)a.q, a, span, tile.first, HEIGHT);
    coming now = take_block(a, tile, span, see, &at), next = {};
    if (now.there) slots_to_factor<HD, KEYS, THREADS>(ks, a.k, a, now.slot, now.keys.n);
    copies_end();
    if (now.there) next = take_block(a, tile, span, see, &at);
    if (next.there) slots_to_factor<HD, KEYS, THREADS>(ks + BLOCK, a.k, a, next.slot, next.keys.n);
    if (now.there) slots_to_factor<HD, KEYS, THREADS>(vs, a.v, a, now.slot, now.keys.n);
    copies_end();
    copies_wait<1>(); /* queries, the first keys */
    copies_to_products();
    __syncthreads();
    keep_rows<HD>(q, qs + mine * (HD + LANES));
    if (now.there) {
        start_products();
        logits_of<HD>(s, q, ks);
        wait_products<0>();
        hold(s);
        cap_and_mask(s, a, rows, now.keys);
        soften(s, factor, &r, fade);
        weights_as_factor(p, s);
    }
    int turn = 0;
    for (; next.there; turn ^= 1) {
        coming after = {};
        copies_wait<0>(); /* this block's values, the next one's keys */
        copies_to_products();
        __syncthreads();
        after = take_block(a, tile, span, see, &at);
        if (after.there) {
            bf16 *to = ks + turn * BLOCK;
            slots_to_factor<HD, KEYS, THREADS>(to, a.k, a, after.slot, after.keys.n);
        }
        bf16 *to = vs + (turn ^ 1) * BLOCK;
        slots_to_factor<HD, KEYS, THREADS>(to, a.v, a, next.slot, next.keys.n);
        copies_end();
        hold(out);
        start_products();
        logits_of<HD>(s, q, ks + (turn ^ 1) * BLOCK);
        add_values<HD>(out, p, vs + turn * BLOCK);
        wait_products<1>();
        hold(s);
        cap_and_mask(s, a, rows, next.keys);
        soften(s, factor, &r, fade);
        wait_products<0>();
        hold(out);
        fade_rows<HD>(out, fade);
        weights_as_factor(p, s);
        now = next, next = after;
    }
    copies_wait<0>();
    copies_to_products();
    __syncthreads();
    if (now.there) {
        hold(out);
        start_products();
        add_values<HD>(out, p, vs + turn * BLOCK);
        wait_products<0>();
        hold(out);
    }
    const int64_t row[2] = {top < packed ? packed_at(a, span, top) : -1,
                            top + 8 < packed ? packed_at(a, span, top + 8) : -1};
    write_rows<bf16, HD>(out, r, a, row);
}

template <int HD> static void start_wide(k_stream s, const k_attention *a)
{
    constexpr int GROUPS = 2;
    constexpr size_t bytes = bytes_of<HD, GROUPS>();
    cudaFuncSetAttribute(attend_wide<HD, GROUPS>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)bytes);
    for (int32_t first = 0; first < a->n_tile; first += TILES_MAX) {
        k_attention part = *a;
        part.tile += first;
        const int32_t n = a->n_tile - first < TILES_MAX ? a->n_tile - first : TILES_MAX;
        const dim3 grid(1, (unsigned)a->heads_kv, (unsigned)n);
        attend_wide<HD, GROUPS><<<grid, GROUPS * GROUP, bytes, s>>>(part);
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
