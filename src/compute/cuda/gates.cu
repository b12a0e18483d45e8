/* gates: a gated feed-forward's inner rows with their adapters; see kernels_fused.h. A block has a
 * stretch of the width and a split of the rows; a warp has 32 numbers of the width and walks down
 * the rows, sixteen at a time. What a thread works on it has copied itself into a ring in shared
 * memory some steps ago, so nobody waits for anybody but for the inner rows, which a block shares.
 * On the way back the sums over rows that the adapters ask of the results stay in registers: none
 * of these rows is read again for them. */
#include "compute/cuda/gates_in.h"
#include "compute/cuda/ring_in.h"

enum { MOST = ADAPTER_PARTS };

/* What a kernel of SLOTS is made of. */
template <int SLOTS, bool BACK> struct plan_of : slots_of_row<SLOTS> {
    typedef slots_of_row<SLOTS> R;
    static constexpr int WIDTH = R::WARPS * WARP_W, PARTS = BACK ? 3 : 2, M = WIDTH * R::LD;
    static constexpr bool GRADS = BACK && SLOTS <= GATE_SLOTS;
};

template <int SLOTS, bool BACK, int STAGED> static constexpr size_t bytes_of(void)
{
    typedef plan_of<SLOTS, BACK> P;
    constexpr int lows = P::CHUNK > 1 ? 2 : STAGED;
    return (size_t)STAGED * P::PARTS * 2 * P::THREADS * sizeof(uint4) +
           (size_t)P::PARTS * (P::M + lows * P::LOW) * sizeof(bf16);
}

/* The adapters' small matrices [width, slots], in the order of products. */
template <int SLOTS, bool BACK>
static __device__ __forceinline__ void copy_m(bf16 *to, const k_gates &a, int64_t from)
{
    typedef plan_of<SLOTS, BACK> P;
    constexpr int CHUNKS = SLOTS / LANES;
    for (int i = (int)threadIdx.x; i < P::PARTS * P::WIDTH * CHUNKS; i += P::THREADS) {
        const int part = i / (P::WIDTH * CHUNKS), c = i / CHUNKS % P::WIDTH, chunk = i % CHUNKS;
        const bf16 *m = (const bf16 *)a.m[part];
        const bool there = m && from + c < a.width;
        copy_or_zero(to + part * P::M +
                         slots_at<SLOTS>(c / WARP_W * WARP_W + tile_row(c % WARP_W), chunk),
                     there ? m + (from + c) * SLOTS + chunk * LANES : (const bf16 *)a.gate, there);
    }
}

typedef struct warp_at { /* where in shared memory a warp finds its factors */
    const bf16 *m, *low;
    int lane;
} warp_at;

/* word[part] becomes gate, up (and what was d_act) as the way forward or back leaves them. */
template <int SLOTS, bool BACK, bool GELU>
static __device__ __forceinline__ void work(uint32_t word[][2][TILES], const warp_at &w)
{
    typedef plan_of<SLOTS, BACK> P;
    constexpr int PARTS = P::PARTS;
    uint32_t low[PARTS][P::SLICES][4];
#pragma unroll
    for (int i = 0; i < PARTS; i++) load_low<SLOTS>(low[i], w.low + i * P::LOW, w.lane, false);
#pragma unroll
    for (int t = 0; t < TILES; t += 2) {
        float sum[PARTS][2][4];
#pragma unroll
        for (int i = 0; i < PARTS; i++) {
            open_pairs(sum[i], word[i], t);
            add_low<SLOTS>(sum[i], low[i], w.m + i * P::M, t, w.lane);
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float *x = &sum[0][i / 4][i % 4], *u = &sum[1][i / 4][i % 4];
            float *d = &sum[PARTS - 1][i / 4][i % 4];
            if (BACK) *d = glu_pair<true>(x, u, *d, GELU);
            else *x = activate<true>(*x, GELU) * *u;
        }
#pragma unroll
        for (int i = 0; i < (BACK ? PARTS : 1); i++) close_pairs(word[i], sum[i], t);
    }
}

/* blockIdx: stretch of the width, split of the rows, `each` of them. */
/* long: one kernel */
template <int SLOTS, bool BACK, bool GELU, int STAGED>
static __global__ void __launch_bounds__(plan_of<SLOTS, BACK>::THREADS, SLOTS > 16 ? 1
                                                                        : BACK     ? 2
                                                                                   : 3)
    gates(k_gates a, int64_t each)
{
    typedef plan_of<SLOTS, BACK> P;
    constexpr int STAGE = P::PARTS * 2 * P::THREADS, LOWS = P::CHUNK > 1 ? 2 : STAGED;
    constexpr int AHEAD_OF = STAGED - 1; /* steps that copies run ahead */
    extern __shared__ __align__(16) unsigned char space[];
    uint4 *const ring = (uint4 *)space + threadIdx.x;
    bf16 *const m = (bf16 *)((uint4 *)space + STAGED * STAGE), *const lows = m + P::PARTS * P::M;
    void *const rows[MOST] = {a.gate, a.up, a.d_act};
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int64_t from = (int64_t)blockIdx.x * P::WIDTH, first = (int64_t)blockIdx.y * each;
    const int64_t column = from + warp * WARP_W + lane % 4 * LANES;
    const int64_t end = first + each < a.low.n ? first + each : a.low.n;
    const int steps = (int)(end > first ? (end - first + M_ROWS - 1) / M_ROWS : 0);
    row_walk in = walk_from(first + lane / 4, end, column, a.width, column < a.width), out = in;
    float sum[P::GRADS ? MOST : 1][P::SLICES][TILES][4] = {};
    copy_m<SLOTS, BACK>(m, a, from);
    for (int step = 0, fill = 0, use = 0; step < steps + AHEAD_OF; step++) {
        const int now = step - AHEAD_OF;
        if (now >= 0) {
            copies_wait<STAGED - 2>();
            if (now % P::CHUNK == 0) __syncthreads(); /* inner rows are whole, those before read */
        }
        if (step < steps) {
            uint4 *to = ring + fill * STAGE;
#pragma unroll
            for (int i = 0; i < P::PARTS; i++)
                copy_two(to + i * 2 * P::THREADS, P::THREADS, rows[i], in);
            if (step % P::CHUNK == 0) {
                bf16 *low = lows + (P::CHUNK > 1 ? step / P::CHUNK % 2 : fill) * P::PARTS * P::LOW;
#pragma unroll
                for (int i = 0; i < P::PARTS; i++) {
                    copy_lows<SLOTS>(low + i * P::LOW, a.low, i, first + (int64_t)step * M_ROWS);
                }
            }
            walk_on(&in);
            fill = stage_after<STAGED>(fill);
        }
        copies_end();
        if (now < 0) continue;
        uint32_t word[P::PARTS][2][TILES];
#pragma unroll
        for (int i = 0; i < P::PARTS; i++)
            take_words(word[i], ring + use * STAGE + i * 2 * P::THREADS, P::THREADS);
        const warp_at at = {m + warp * WARP_W * P::LD,
                            lows +
                                (P::CHUNK > 1 ? now / P::CHUNK % LOWS : use) * P::PARTS * P::LOW +
                                now % P::CHUNK * M_ROWS * P::LD,
                            lane};
        work<SLOTS, BACK, GELU>(word, at);
        give_two(BACK ? a.gate : a.act, word[0], out);
        if constexpr (BACK) give_two(a.up, word[1], out);
        if constexpr (P::GRADS) {
#pragma unroll
            for (int i = 0; i < MOST; i++)
                add_grads<SLOTS>(sum[i], word[i], at.low + i * P::LOW, lane);
        } else if constexpr (BACK) give_two(a.act, word[2], out);
        walk_on(&out);
        use = stage_after<STAGED>(use);
    }
    if constexpr (P::GRADS) {
#pragma unroll
        for (int i = 0; i < MOST && column < a.width; i++) {
            float *to = a.scratch + ((int64_t)blockIdx.y * MOST + i) * SLOTS * a.width + column;
            give_grads<SLOTS>(to, sum[i], a.width, lane);
        }
    }
}

/* blockIdx: stretch of the width, four slots, part. B's sums lie [width, rank], A's the other way.
 */
static __global__ void add_splits(k_gates a, int32_t splits)
{
    const int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int slot = (int)blockIdx.y * 4, part = (int)blockIdx.z, rank = a.low.rank[part];
    if (column >= a.width || slot >= rank || !a.grad[part]) return;
    float add[4];
    sum_splits(add, a.scratch + ((int64_t)part * a.low.slot + slot) * a.width + column, a.width,
               (int64_t)MOST * a.low.slot * a.width, splits);
    if (part < 2) {
        add_four(a.grad[part] + column * rank + slot, add);
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; j++) a.grad[part][(slot + j) * a.width + column] += add[j];
}

template <int SLOTS, bool BACK, bool GELU, int STAGED>
static void start(k_stream s, const k_gates *g)
{
    typedef plan_of<SLOTS, BACK> P;
    const size_t bytes = bytes_of<SLOTS, BACK, STAGED>();
    const int32_t splits = BACK ? gate_splits(g->low.n, g->width, SLOTS)
                                : gate_splits_forward(g->low.n, g->width, SLOTS);
    const int64_t each = ((g->low.n + splits - 1) / splits + M_ROWS - 1) / M_ROWS * M_ROWS;
    const dim3 grid(blocks_of(g->width, P::WIDTH), (unsigned)splits);
    cudaFuncSetAttribute(gates<SLOTS, BACK, GELU, STAGED>,
                         cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    gates<SLOTS, BACK, GELU, STAGED><<<grid, P::THREADS, bytes, s>>>(*g, each);
}

template <int SLOTS, bool BACK> static void start_staged(k_stream s, const k_gates *g)
{
    const bool three = fits_block(bytes_of<SLOTS, BACK, 3>());
    if (three && g->gelu) start<SLOTS, BACK, true, 3>(s, g);
    else if (three) start<SLOTS, BACK, false, 3>(s, g);
    else if (g->gelu) start<SLOTS, BACK, true, 2>(s, g);
    else start<SLOTS, BACK, false, 2>(s, g);
}

template <bool BACK> static void start_of(k_stream s, const k_gates *g)
{
    if (g->low.n == 0 || g->width == 0) return;
    switch (g->low.slot / ADAPTER_SLICE) {
    case 1: start_staged<16, BACK>(s, g); break;
    case 2: start_staged<32, BACK>(s, g); break;
    case 3: start_staged<48, BACK>(s, g); break;
    default: start_staged<64, BACK>(s, g); break;
    }
}

void k_adapter_gates(k_stream s, const k_gates *g) { start_of<false>(s, g); }

void k_adapter_gates_back(k_stream s, const k_gates *g)
{
    enum { EACH = 128 };
    start_of<true>(s, g);
    if (g->low.slot > GATE_SLOTS || g->low.n == 0 || g->width == 0) return;
    const dim3 sums(blocks_of(g->width, EACH), (unsigned)g->low.slot / 4, MOST);
    add_splits<<<sums, EACH, 0, s>>>(*g, gate_splits(g->low.n, g->width, g->low.slot));
}
