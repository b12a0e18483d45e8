/* turn: what adapters add to the outputs of their products, and the rotation of queries and keys,
 * in one pass, and their way back; see kernels_fused.h. As in gates.cu, a thread works on numbers
 * that it has copied into a ring itself: eight of two rows in two places, which where halves turn
 * are both halves of eight pairs, so that they meet in registers. */
#include "compute/cuda/ring_in.h"

enum { PLACES = 2 };

template <int SLOTS> struct plan_of : slots_of_row<SLOTS> {
    typedef slots_of_row<SLOTS> R;
    static constexpr int CHUNKS = R::WARPS * 4; /* eights of the width in each place of a block */
    static constexpr int M = PLACES * R::WARPS * WARP_W * R::LD;
    static constexpr int STAGE = PLACES * 2 * R::THREADS;
};

template <int SLOTS, int STAGED> static constexpr size_t bytes_of(void)
{
    typedef plan_of<SLOTS> P;
    constexpr int lows = P::CHUNK > 1 ? 2 : STAGED;
    return (size_t)STAGED * P::STAGE * sizeof(uint4) + (P::M + lows * P::LOW) * sizeof(bf16);
}

/* The first of eight columns: `chunk` of this block, in one of its places; -1: past the width. */
template <int SLOTS>
static __device__ __forceinline__ int column_of(const k_turn &job, int chunk, int place)
{
    const int half = job.rope.turned / 2, at = (int)blockIdx.x * plan_of<SLOTS>::CHUNKS;
    if (half > 0 && !job.rope.pairs) {
        const int each = half / LANES, i = at + chunk;
        const int column = i / each * job.rope.head_dim + i % each * LANES + place * half;
        return i < job.rope.heads * each ? column : -1;
    }
    const int column = (PLACES * at + place * plan_of<SLOTS>::CHUNKS + chunk) * LANES;
    return column < (int)job.width ? column : -1;
}

template <int SLOTS> static __device__ __forceinline__ void copy_m(bf16 *to, const k_turn &job)
{
    typedef plan_of<SLOTS> P;
    constexpr int EACH = SLOTS / LANES;
    for (int i = (int)threadIdx.x; i < PLACES * P::WARPS * WARP_W * EACH; i += P::THREADS) {
        const int part = i % EACH, c = i / EACH; /* number c of the warps' 32, place by place */
        const int place = c / WARP_W % PLACES, warp = c / WARP_W / PLACES, in = c % WARP_W;
        const int column = column_of<SLOTS>(job, warp * 4 + in / LANES, place);
        const bool there = job.m && column >= 0;
        const bf16 *from = (const bf16 *)job.m + (int64_t)(column + in % LANES) * SLOTS;
        copy_or_zero(to + slots_at<SLOTS>(c - in + tile_row(in), part),
                     there ? from + part * LANES : (const bf16 *)job.rows, there);
    }
}

typedef struct angles { /* of two rows: cosines and sines of a thread's eight pairs */
    float c[2][LANES], s[2][LANES];
} angles;

static __device__ __forceinline__ void load4(float to[4], const float *from)
{
    const float4 v = *(const float4 *)from;
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}

/* Where in a row of the table a place's four cosines stand. Pairs: the first four are the first
 * place's, then the second's; halves: both places have the same eight. */
static __device__ __forceinline__ int angle_of(const k_turn &job, int column, int place)
{
    const int half = job.rope.turned / 2;
    if (half == 0 || column < 0) return 0;
    const int in = column % job.rope.head_dim;
    return job.rope.pairs ? in / 2 : in % half + place * 4;
}

/* Positions of a thread's two rows at a step; past the last row its own. */
static __device__ __forceinline__ void take_positions(int32_t to[2], const k_rope_how &rope,
                                                      int row, int last)
{
#pragma unroll
    for (int h = 0; h < 2; h++) to[h] = rope.positions[row + 8 * h <= last ? row + 8 * h : last];
}

static __device__ __forceinline__ void take_angles(angles *a, const k_rope_how &rope,
                                                   const int32_t position[2], const int at[PLACES])
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float *table = rope.table + (int64_t)position[h] * rope.turned;
#pragma unroll
        for (int p = 0; p < PLACES; p++) {
            load4(a->c[h] + 4 * p, table + at[p]);
            load4(a->s[h] + 4 * p, table + at[p] + rope.turned / 2);
        }
    }
}

static __device__ __forceinline__ void turn_pair(float *x, float *y, float c, float s)
{
    const float was = *x;
    *x = __fsub_rn(__fmul_rn(was, c), __fmul_rn(*y, s));
    *y = __fadd_rn(__fmul_rn(was, s), __fmul_rn(*y, c));
}

/* sum[place] of tiles t and t + 1 */
static __device__ __forceinline__ void turn_tiles(float sum[PLACES][2][4], const angles &a, int t,
                                                  bool pairs, bool back)
{
    if (pairs) {
#pragma unroll
        for (int i = 0; i < 8; i++) { /* place, tile, row */
            float *x = &sum[i / 4][i / 2 % 2][i % 2 * 2];
            const int k = i / 4 * 4 + t + i / 2 % 2;
            turn_pair(x, x + 1, a.c[i % 2][k], back ? -a.s[i % 2][k] : a.s[i % 2][k]);
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++) { /* tile, row, number */
        const int h = i / 2 % 2, k = 2 * (t + i / 4) + i % 2;
        turn_pair(&sum[0][i / 4][i % 4], &sum[1][i / 4][i % 4], a.c[h][k],
                  back ? -a.s[h][k] : a.s[h][k]);
    }
}

/* blockIdx: stretch of the width, split of the rows, `each` of them, job. */
/* long: one kernel */
template <int SLOTS, int STAGED>
static __global__ void __launch_bounds__(plan_of<SLOTS>::THREADS, SLOTS > 16 ? 1 : 2)
    turn(k_turns a, int64_t each)
{
    typedef plan_of<SLOTS> P;
    constexpr int LOWS = P::CHUNK > 1 ? 2 : STAGED, AHEAD_OF = STAGED - 1;
    extern __shared__ __align__(16) unsigned char space[];
    uint4 *const ring = (uint4 *)space + threadIdx.x;
    bf16 *const m = (bf16 *)((uint4 *)space + STAGED * P::STAGE), *const lows = m + P::M;
    const k_turn job = a.job[blockIdx.z];
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int64_t first = (int64_t)blockIdx.y * each;
    const int64_t end = first + each < a.low.n ? first + each : a.low.n;
    const int steps = (int)(end > first ? (end - first + M_ROWS - 1) / M_ROWS : 0);
    const bool turns = job.rope.turned > 0;
    const int row = (int)first + lane / 4;
    row_walk in[PLACES], out[PLACES];
    int angle[PLACES];
    int32_t position[2] = {0, 0};
    if (turns && steps > 0) take_positions(position, job.rope, row, (int)end - 1);
#pragma unroll
    for (int i = 0; i < PLACES; i++) {
        const int column = column_of<SLOTS>(job, warp * 4 + lane % 4, i);
        in[i] = walk_from(first + lane / 4, end, column, job.width, column >= 0);
        out[i] = in[i], angle[i] = angle_of(job, column, i);
    }
    copy_m<SLOTS>(m, job);
    for (int step = 0, fill = 0, use = 0; step < steps + AHEAD_OF; step++) {
        const int now = step - AHEAD_OF;
        angles by;
        if (now >= 0 && turns) { /* asked for before anybody waits; the positions a step ago */
            take_angles(&by, job.rope, position, angle);
            take_positions(position, job.rope, row + (now + 1) * M_ROWS, (int)end - 1);
        }
        own_copies();
        if (now >= 0) {
            copies_wait<STAGED - 2>();
            if (now % P::CHUNK == 0) __syncthreads(); /* inner rows are whole, those before read */
        }
        if (step < steps) {
#pragma unroll
            for (int i = 0; i < PLACES; i++) {
                copy_two(ring + fill * P::STAGE + i * 2 * P::THREADS, P::THREADS, job.rows, in[i]);
                walk_on(&in[i]);
            }
            if (step % P::CHUNK == 0) {
                copy_lows<SLOTS>(lows + (P::CHUNK > 1 ? step / P::CHUNK % 2 : fill) * P::LOW, a.low,
                                 (int)blockIdx.z, first + (int64_t)step * M_ROWS);
            }
            fill = stage_after<STAGED>(fill);
        }
        copies_end();
        if (now < 0) continue;
        const bf16 *here = lows + (P::CHUNK > 1 ? now / P::CHUNK % LOWS : use) * P::LOW +
                           now % P::CHUNK * M_ROWS * P::LD;
        uint32_t word[PLACES][2][TILES], low[P::SLICES][4];
        load_low<SLOTS>(low, here, lane, false);
#pragma unroll
        for (int i = 0; i < PLACES; i++)
            take_words(word[i], ring + use * P::STAGE + i * 2 * P::THREADS, P::THREADS);
#pragma unroll
        for (int t = 0; t < TILES; t += 2) {
            float sum[PLACES][2][4];
#pragma unroll
            for (int i = 0; i < PLACES; i++) {
                open_pairs(sum[i], word[i], t);
                add_low<SLOTS>(sum[i], low, m + (warp * PLACES + i) * WARP_W * P::LD, t, lane);
            }
            if (turns) turn_tiles(sum, by, t, job.rope.pairs, false);
#pragma unroll
            for (int i = 0; i < PLACES; i++) close_pairs(word[i], sum[i], t);
        }
#pragma unroll
        for (int i = 0; i < PLACES; i++) {
            give_two(job.rows, word[i], out[i]);
            walk_on(&out[i]);
        }
        use = stage_after<STAGED>(use);
    }
}

template <int SLOTS, int STAGED> static void start(k_stream s, const k_turns *a)
{
    typedef plan_of<SLOTS> P;
    constexpr size_t bytes = bytes_of<SLOTS, STAGED>();
    int64_t widest = 0;
    for (int32_t i = 0; i < a->n_job; i++) {
        if (a->job[i].width > widest) widest = a->job[i].width;
    }
    const int64_t across = blocks_of(widest, PLACES * P::CHUNKS * LANES);
    const int64_t want = TURN_FORWARD / (across * a->n_job), most = blocks_of(a->low.n, GATE_ROWS);
    const int64_t splits = want < 1 ? 1 : want < most ? want : most;
    const int64_t each = ((a->low.n + splits - 1) / splits + M_ROWS - 1) / M_ROWS * M_ROWS;
    const dim3 grid((unsigned)across, (unsigned)splits, (unsigned)a->n_job);
    cudaFuncSetAttribute(turn<SLOTS, STAGED>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)bytes);
    turn<SLOTS, STAGED><<<grid, P::THREADS, bytes, s>>>(*a, each);
}

template <int SLOTS> static void start_staged(k_stream s, const k_turns *a)
{
    if (fits_block(bytes_of<SLOTS, 3>())) start<SLOTS, 3>(s, a);
    else start<SLOTS, 2>(s, a);
}

void k_adapter_turn(k_stream s, const k_turns *a)
{
    if (a->low.n == 0 || a->n_job == 0) return;
    switch (a->low.slot / ADAPTER_SLICE) {
    case 1: start_staged<16>(s, a); break;
    case 2: start_staged<32>(s, a); break;
    case 3: start_staged<48>(s, a); break;
    default: start_staged<64>(s, a); break;
    }
}

/* ---- back ---- */

template <int SLOTS, int STAGED> static constexpr size_t bytes_back(void)
{
    typedef plan_of<SLOTS> P;
    return bytes_of<SLOTS, STAGED>() + 2 * P::WARPS * M_ROWS * (SLOTS + LANES) * sizeof(float);
}

/* inner [row, slot] of a warp's numbers in both places. */
template <int SLOTS>
static __device__ __forceinline__ void reduce_words(float inner[SLOTS / 8][4],
                                                    const uint32_t word[PLACES][2][TILES],
                                                    const bf16 *m, int lane)
{
    constexpr int LD = slots_of_row<SLOTS>::LD;
#pragma unroll
    for (int i = 0; i < PLACES * 2; i++) { /* place, pair of tiles */
        const int p = i / 2, t = i % 2 * 2;
        const uint32_t rows[4] = {word[p][0][t], word[p][1][t], word[p][0][t + 1],
                                  word[p][1][t + 1]};
#pragma unroll
        for (int s = 0; s < SLOTS / 16; s++) {
            uint32_t factor[4];
            load_transposed(factor, m + p * WARP_W * LD +
                                        slots_at<SLOTS>((t + lane / 8 % 2) * 8 + lane % 8,
                                                        s * 2 + lane / 16));
            multiply(inner[2 * s], rows, factor);
            multiply(inner[2 * s + 1], rows, factor + 2);
        }
    }
}

/* The warps' sums [warp][16 rows][SLOTS] of a step, added in their order. */
template <int SLOTS>
static __device__ __forceinline__ void give_inner(float *to, float *space,
                                                  const float inner[SLOTS / 8][4], int left)
{
    typedef plan_of<SLOTS> P;
    constexpr int LD = SLOTS + LANES;
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
#pragma unroll
    for (int i = 0; i < SLOTS / 8 * 2; i++) {
        float *at = space + (warp * M_ROWS + lane / 4 + i % 2 * 8) * LD + i / 2 * 8 + lane % 4 * 2;
        *(float2 *)at = make_float2(inner[i / 2][i % 2 * 2], inner[i / 2][i % 2 * 2 + 1]);
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < M_ROWS * SLOTS / P::THREADS; k++) {
        const int i = (int)threadIdx.x + k * P::THREADS, row = i / SLOTS, slot = i % SLOTS;
        float sum = 0;
#pragma unroll
        for (int w = 0; w < P::WARPS; w++) sum += space[(w * M_ROWS + row) * LD + slot];
        if (row < left) to[row * SLOTS + slot] = sum;
    }
}

/* blockIdx as in turn. sums [split, job, slot, ld]; inner_sums [job, block across, n, slot]. */
/* long: one kernel */
template <int SLOTS, int STAGED>
static __global__ void __launch_bounds__(plan_of<SLOTS>::THREADS, SLOTS > 16 ? 1 : 2)
    turn_back(k_turns_back b, int64_t each, int64_t ld)
{
    typedef plan_of<SLOTS> P;
    constexpr int LOWS = P::CHUNK > 1 ? 2 : STAGED, AHEAD_OF = STAGED - 1;
    extern __shared__ __align__(16) unsigned char space[];
    uint4 *const ring = (uint4 *)space + threadIdx.x;
    bf16 *const m = (bf16 *)((uint4 *)space + STAGED * P::STAGE), *const lows = m + P::M;
    float *const buffer = (float *)(lows + LOWS * P::LOW);
    const k_turn job = b.a.job[blockIdx.z];
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int64_t first = (int64_t)blockIdx.y * each, n = b.a.low.n;
    const int64_t end = first + each < n ? first + each : n;
    const int steps = (int)(end > first ? (end - first + M_ROWS - 1) / M_ROWS : 0);
    const bool turns = job.rope.turned > 0;
    const int row = (int)first + lane / 4;
    int32_t position[2] = {0, 0};
    if (turns && steps > 0) take_positions(position, job.rope, row, (int)end - 1);
    float *inner_to =
        b.inner_sums + (((int64_t)blockIdx.z * gridDim.x + blockIdx.x) * n + first) * SLOTS;
    row_walk in[PLACES], out[PLACES];
    int angle[PLACES];
    int64_t column[PLACES];
    float sum[PLACES][P::SLICES][TILES][4] = {};
#pragma unroll
    for (int i = 0; i < PLACES; i++) {
        column[i] = column_of<SLOTS>(job, warp * 4 + lane % 4, i);
        in[i] = walk_from(first + lane / 4, end, column[i], job.width, column[i] >= 0);
        out[i] = in[i], angle[i] = angle_of(job, (int)column[i], i);
    }
    copy_m<SLOTS>(m, job);
    for (int step = 0, fill = 0, use = 0; step < steps + AHEAD_OF; step++) {
        const int now = step - AHEAD_OF;
        angles by;
        if (now >= 0 && turns) { /* asked for before anybody waits; the positions a step ago */
            take_angles(&by, job.rope, position, angle);
            take_positions(position, job.rope, row + (now + 1) * M_ROWS, (int)end - 1);
        }
        own_copies();
        if (now >= 0) {
            copies_wait<STAGED - 2>();
            if (now % P::CHUNK == 0) __syncthreads(); /* inner rows are whole, those before read */
        }
        if (step < steps) {
#pragma unroll
            for (int i = 0; i < PLACES; i++) {
                copy_two(ring + fill * P::STAGE + i * 2 * P::THREADS, P::THREADS, job.rows, in[i]);
                walk_on(&in[i]);
            }
            if (step % P::CHUNK == 0) {
                copy_lows<SLOTS>(lows + (P::CHUNK > 1 ? step / P::CHUNK % 2 : fill) * P::LOW,
                                 b.a.low, (int)blockIdx.z, first + (int64_t)step * M_ROWS);
            }
            fill = stage_after<STAGED>(fill);
        }
        copies_end();
        if (now < 0) continue;
        const bf16 *here = lows + (P::CHUNK > 1 ? now / P::CHUNK % LOWS : use) * P::LOW +
                           now % P::CHUNK * M_ROWS * P::LD;
        uint32_t word[PLACES][2][TILES];
        float inner[SLOTS / 8][4] = {};
#pragma unroll
        for (int i = 0; i < PLACES; i++)
            take_words(word[i], ring + use * P::STAGE + i * 2 * P::THREADS, P::THREADS);
        if (turns) {
#pragma unroll
            for (int t = 0; t < TILES; t += 2) {
                float two[PLACES][2][4];
#pragma unroll
                for (int i = 0; i < PLACES; i++) open_pairs(two[i], word[i], t);
                turn_tiles(two, by, t, job.rope.pairs, true);
#pragma unroll
                for (int i = 0; i < PLACES; i++) close_pairs(word[i], two[i], t);
            }
#pragma unroll
            for (int i = 0; i < PLACES; i++) give_two(job.rows, word[i], out[i]);
        }
#pragma unroll
        for (int i = 0; i < PLACES; i++) {
            add_grads<SLOTS>(sum[i], word[i], here, lane);
            walk_on(&out[i]);
        }
        reduce_words<SLOTS>(inner, word, m + warp * PLACES * WARP_W * P::LD, lane);
        give_inner<SLOTS>(inner_to + (int64_t)now * M_ROWS * SLOTS,
                          buffer + now % 2 * P::WARPS * M_ROWS * (SLOTS + LANES), inner,
                          (int)(end - first) - now * M_ROWS);
        use = stage_after<STAGED>(use);
    }
#pragma unroll
    for (int i = 0; i < PLACES; i++) {
        const int64_t at = ((int64_t)blockIdx.y * gridDim.z + blockIdx.z) * SLOTS * ld + column[i];
        if (column[i] >= 0) give_grads<SLOTS>(b.sums + at, sum[i], ld, lane);
    }
}

/* blockIdx: stretch of the width, four slots, job. */
static __global__ void add_splits(k_turns_back b, int32_t splits, int64_t ld)
{
    const int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int slot = (int)blockIdx.y * 4, job = (int)blockIdx.z, rank = b.a.low.rank[job];
    const int64_t each = b.a.low.slot * ld;
    float add[4];
    if (column >= b.a.job[job].width || slot >= rank) return;
    sum_splits(add, b.sums + job * each + slot * ld + column, ld, gridDim.z * each, splits);
    add_four(b.grad[job] + column * rank + slot, add);
}

/* blockIdx: rows, job. Two slots a thread; sums of the blocks across, in their order. */
static __global__ void add_inner(k_turns_back b, int32_t across)
{
    const int slot = (int)threadIdx.x * 2, job = (int)blockIdx.y, rank = b.inner.rank[job];
    const int64_t row = (int64_t)blockIdx.x * blockDim.y + threadIdx.y, n = b.inner.n;
    const int64_t slots = b.a.low.slot;
    if (row >= n || slot >= rank) return;
    const float *from = b.inner_sums + ((int64_t)job * across * n + row) * slots + slot;
    const int here = (int)((b.a.job[job].width + b.across_each - 1) / b.across_each);
    float x = 0, y = 0;
    for (int i = 0; i < here; i++, from += n * slots) x += from[0], y += from[1];
    x *= b.inner.scale[job], y *= b.inner.scale[job];
    *(uint32_t *)((bf16 *)b.inner.rows[job] + row * rank + slot) = two_bf16(x, y);
    if (!b.inner.scaled[job]) return;
    const float by = b.inner.row_scale[row];
    *(uint32_t *)((bf16 *)b.inner.scaled[job] + row * rank + slot) = two_bf16(x * by, y * by);
}

template <int SLOTS, int STAGED> static void start_back(k_stream s, const k_turns_back *b)
{
    enum { EACH = 128 };
    typedef plan_of<SLOTS> P;
    constexpr size_t bytes = bytes_back<SLOTS, STAGED>();
    int64_t widest = 0;
    for (int32_t i = 0; i < b->a.n_job; i++) {
        if (b->a.job[i].width > widest) widest = b->a.job[i].width;
    }
    const unsigned jobs = (unsigned)b->a.n_job;
    const int64_t across = turn_back_across(widest, SLOTS);
    const int64_t splits = turn_back_splits(b->a.low.n, widest, SLOTS, b->a.n_job);
    const int64_t each = ((b->a.low.n + splits - 1) / splits + M_ROWS - 1) / M_ROWS * M_ROWS;
    const dim3 grid((unsigned)across, (unsigned)splits, jobs);
    const dim3 sums(blocks_of(widest, EACH), (unsigned)SLOTS / 4, jobs);
    const dim3 two(SLOTS / 2, 256 / (SLOTS / 2)), rows(blocks_of(b->a.low.n, two.y), jobs);
    k_turns_back to = *b;
    to.across_each = P::CHUNKS * PLACES * LANES;
    cudaFuncSetAttribute(turn_back<SLOTS, STAGED>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)bytes);
    turn_back<SLOTS, STAGED><<<grid, P::THREADS, bytes, s>>>(to, each, widest);
    add_splits<<<sums, EACH, 0, s>>>(to, (int32_t)splits, widest);
    add_inner<<<rows, two, 0, s>>>(to, (int32_t)across);
}

void k_adapter_turn_back(k_stream s, const k_turns_back *b)
{
    if (b->a.low.n == 0 || b->a.n_job == 0) return;
    const bool one = b->a.low.slot <= ADAPTER_SLICE;
    if (one && fits_block(bytes_back<16, 3>())) start_back<16, 3>(s, b);
    else if (one) start_back<16, 2>(s, b);
    else if (fits_block(bytes_back<32, 3>())) start_back<32, 3>(s, b);
    else start_back<32, 2>(s, b);
}
