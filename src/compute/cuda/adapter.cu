/* adapter: see kernels_adapter.h. Products on the tensor units, float32 sums. Each number is one
 * sum in one order: `reduce` along the width, `spread` along the slots, `grad` along the rows of a
 * split and then over the splits. */
#include "compute/cuda/ring_in.h"

enum {
    ROWS = 64,      /* of a block of spread */
    EACH_N = 32,    /* a split of the rows of grad is a multiple */
    SPREAD_W = 512, /* numbers of the width to a block of spread */
};

/* ---- packing ---- */

typedef struct pack_jobs {
    k_pack job[2 * ADAPTER_PARTS];
} pack_jobs;

/* blockIdx: stretch of the width, slice, job. */
static __global__ void pack(pack_jobs all)
{
    const k_pack p = all.job[blockIdx.z];
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int32_t first = (int32_t)blockIdx.y * ADAPTER_SLICE;
    if (i >= p.wide || first >= p.slot) return;
    float v[ADAPTER_SLICE];
    const float *from = p.from + first * p.from_rank + i * p.from_wide;
    bf16 *to = (bf16 *)p.to + first * p.to_rank + i * p.to_wide;
    if (p.from_rank == 1 && first + ADAPTER_SLICE <= p.rank && p.from_wide % LANES == 0) {
        load8(v, from), load8(v + LANES, from + LANES);
    } else {
#pragma unroll
        for (int j = 0; j < ADAPTER_SLICE; j++)
            v[j] = first + j < p.rank ? from[j * p.from_rank] : 0;
    }
    if (p.to_rank == 1) {
        store8(to, v), store8(to + LANES, v + LANES);
        return;
    }
#pragma unroll
    for (int j = 0; j < ADAPTER_SLICE; j++) put(to + j * p.to_rank, v[j]);
}

void k_adapter_pack(k_stream s, const k_pack *job, int32_t n)
{
    enum { EACH = 128 };
    pack_jobs all;
    int64_t wide = 0;
    int32_t slot = 0;
    for (int32_t i = 0; i < n; i++) {
        all.job[i] = job[i];
        if (job[i].wide > wide) wide = job[i].wide;
        if (job[i].slot > slot) slot = job[i].slot;
    }
    if (wide == 0) return;
    const dim3 grid(blocks_of(wide, EACH), (unsigned)(slot / ADAPTER_SLICE), (unsigned)n);
    pack<<<grid, EACH, 0, s>>>(all);
}

/* ---- reduce ---- */

/* Sixteen bytes of a row, or zeros. */
static __device__ __forceinline__ uint4 eight_at(const bf16 *from, bool there)
{
    return there ? __ldg((const uint4 *)from) : make_uint4(0, 0, 0, 0);
}

/* One step of a warp: 32 numbers of the width for 32 rows and all slots. A thread has eight numbers
 * in a row of every row that it takes part in; which of them are k 0, 1, 8 and 9 of a product
 * is the same for both factors, so none has to move. */
template <int SLICES> struct reduce_step {
    uint4 rows[4], m[SLICES][2];
};

template <int SLICES>
static __device__ __forceinline__ void take_step(reduce_step<SLICES> *s, const bf16 *rows,
                                                 const bf16 *m, int64_t width, int at, int left)
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        s->rows[i] = eight_at(rows + i * 8 * width + at, at < (int)width && 8 * i < left);
    }
#pragma unroll
    for (int i = 0; i < 2 * SLICES; i++) {
        s->m[i / 2][i % 2] = eight_at(m + i * 8 * width + at, at < (int)width);
    }
}

template <int SLICES>
static __device__ __forceinline__ void add_step(float sum[2][2 * SLICES][4],
                                                const reduce_step<SLICES> &s)
{
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const uint4 x = s.rows[2 * r], y = s.rows[2 * r + 1];
        const uint32_t first[4] = {x.x, y.x, x.y, y.y}, second[4] = {x.z, y.z, x.w, y.w};
#pragma unroll
        for (int i = 0; i < 2 * SLICES; i++) {
            const uint4 w = s.m[i / 2][i % 2];
            const uint32_t low[2] = {w.x, w.y}, high[2] = {w.z, w.w};
            multiply(sum[r][i], first, low);
            multiply(sum[r][i], second, high);
        }
    }
}

/* blockIdx: 32 rows, job. Each warp sums over every eighth step of the width; then the warps' sums
 * are added in their order. */
template <int SLICES>
static __global__ void __launch_bounds__(8 * WARP, SLICES <= 2 ? 2 : 1) reduce(k_adapter a)
{
    constexpr int WARPS = 8, ROWS_B = 32, SLOTS = SLICES * ADAPTER_SLICE,
                  AHEAD_R = SLICES == 1 ? 3 : 2;
    __shared__ float space[WARPS / 2][ROWS_B][SLOTS + 4];
    const k_wide job = a.job[blockIdx.y];
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int64_t first = (int64_t)blockIdx.x * ROWS_B, width = job.width;
    const int steps = (int)((width + 31) / 32), n = (int)(a.low.n - first);
    const int left = n - lane / 4;
    const bf16 *rows = (const bf16 *)job.rows + (first + lane / 4) * width;
    const bf16 *m = (const bf16 *)job.m + lane / 4 * width;
    float sum[2][2 * SLICES][4] = {};
    for (int step = warp; step < steps; step += WARPS * AHEAD_R) {
        reduce_step<SLICES> s[AHEAD_R];
#pragma unroll
        for (int k = 0; k < AHEAD_R; k++) {
            take_step<SLICES>(&s[k], rows, m, width, (step + k * WARPS) * 32 + lane % 4 * LANES,
                              left);
        }
#pragma unroll
        for (int k = 0; k < AHEAD_R; k++) add_step<SLICES>(sum, s[k]);
    }
    /* the upper half of the warps gives its sums to the lower, and so on: always the same order */
#pragma unroll
    for (int half = WARPS / 2; half > 0; half /= 2) {
        if (warp >= half && warp < 2 * half) {
#pragma unroll
            for (int i = 0; i < 2 * 2 * SLICES * 4; i++) {
                const int r = i / (8 * SLICES), t = i / 4 % (2 * SLICES), e = i % 4;
                space[warp - half][r * 16 + lane / 4 + e / 2 * 8][t * 8 + lane % 4 * 2 + e % 2] =
                    sum[r][t][e];
            }
        }
        __syncthreads();
        if (warp < half) {
#pragma unroll
            for (int i = 0; i < 2 * 2 * SLICES * 4; i++) {
                const int r = i / (8 * SLICES), t = i / 4 % (2 * SLICES), e = i % 4;
                sum[r][t][e] +=
                    space[warp][r * 16 + lane / 4 + e / 2 * 8][t * 8 + lane % 4 * 2 + e % 2];
            }
        }
        __syncthreads();
    }
    if (warp > 0) return;
#pragma unroll
    for (int i = 0; i < 2 * 2 * SLICES * 2; i++) {
        const int r = i / (4 * SLICES), t = i / 2 % (2 * SLICES), h = i % 2;
        const int slot = t * 8 + lane % 4 * 2;
        const int part = a.n_job > 1 ? (int)blockIdx.y : slot / a.low.slot;
        const int j = slot % a.low.slot, rank = a.low.rank[part];
        const int row = r * 16 + lane / 4 + 8 * h;
        if (row >= n || j >= rank) continue;
        const float scale = a.low.scale[part];
        const float x = sum[r][t][2 * h] * scale, y = sum[r][t][2 * h + 1] * scale;
        const int64_t at = (first + row) * rank + j;
        *(uint32_t *)((bf16 *)a.low.rows[part] + at) = two_bf16(x, y);
        if (!a.low.scaled[part]) continue;
        const float by = a.low.row_scale[first + row];
        *(uint32_t *)((bf16 *)a.low.scaled[part] + at) = two_bf16(x * by, y * by);
    }
}

template <int SLICES> static void start_reduce(k_stream s, const k_adapter *a)
{
    const dim3 grid(blocks_of(a->low.n, 32), (unsigned)a->n_job);
    reduce<SLICES><<<grid, 8 * WARP, 0, s>>>(*a);
}

static int32_t slots_of(const k_adapter *a)
{
    return a->n_job > 1 ? a->low.slot : a->low.slot * a->low.n_part;
}

void k_adapter_reduce(k_stream s, const k_adapter *a)
{
    if (a->low.n == 0) return;
    switch (slots_of(a) / ADAPTER_SLICE) {
    case 1: start_reduce<1>(s, a); break;
    case 2: start_reduce<2>(s, a); break;
    case 3: start_reduce<3>(s, a); break;
    default: start_reduce<4>(s, a); break;
    }
}

/* ---- spread ---- */

/* Two numbers of a row of low at slot j; zeros where there is none. */
static __device__ __forceinline__ uint32_t low_pair(const k_lows &l, int part, int64_t row, int j)
{
    const int rank = l.rank[part];
    if (row >= l.n || j >= rank) return 0;
    return *(const uint32_t *)((const bf16 *)l.rows[part] + row * rank + j);
}

/* Sixteen rows of low from `row` on, slots s * 16 .., as the first factor of products. */
template <int SLICES>
static __device__ __forceinline__ void take_low(uint32_t low[SLICES][4], const k_lows &l, int job,
                                                int64_t first)
{
    const int64_t row = first + threadIdx.x % WARP / 4;
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        const int part = job >= 0 ? job : s * ADAPTER_SLICE / l.slot;
        const int j = s * ADAPTER_SLICE % l.slot + (int)threadIdx.x % 4 * 2;
        low[s][0] = low_pair(l, part, row, j), low[s][1] = low_pair(l, part, row + 8, j);
        low[s][2] = low_pair(l, part, row, j + 8), low[s][3] = low_pair(l, part, row + 8, j + 8);
    }
}

/* Thirty-two numbers of the width from `at` on, of all slots, as the second factor: number e of
 * tile t is 2 t + e of the eight that a thread has of each row. */
template <int SLICES>
static __device__ __forceinline__ void take_m(uint32_t m[4][SLICES][2], const void *of, int64_t at,
                                              int64_t width)
{
    const int g = (int)threadIdx.x % WARP / 4, q = (int)threadIdx.x % 4;
#pragma unroll
    for (int t = 0; t < 4; t++) {
        const int64_t to = at + g / 2 * 8 + t * 2 + g % 2;
        const bf16 *from = (const bf16 *)of + to * SLICES * ADAPTER_SLICE + 2 * q;
        const bool there = of && to < width;
#pragma unroll
        for (int s = 0; s < SLICES; s++) {
            m[t][s][0] = there ? *(const uint32_t *)(from + s * ADAPTER_SLICE) : 0;
            m[t][s][1] = there ? *(const uint32_t *)(from + s * ADAPTER_SLICE + 8) : 0;
        }
    }
}

/* Eight numbers of each of two rows eight apart, or zeros. */
template <typename T> struct raw_rows {
    eight_raw<T> half[2];
};

template <typename T>
static __device__ __forceinline__ void take_raw(raw_rows<T> *r, const void *rows, int64_t row,
                                                int64_t column, int64_t n, int64_t width)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const uint4 *from = (const uint4 *)((const T *)rows + (row + 8 * h) * width + column);
        const bool there = row + 8 * h < n && column < width;
#pragma unroll
        for (int i = 0; i < (int)sizeof(T) / 2; i++) {
            r->half[h].word[i] = there ? from[i] : make_uint4(0, 0, 0, 0);
        }
    }
}

/* v = what is there, plus low m^T; v[h][i] of row h, number i. */
template <typename T, int SLICES>
static __device__ __forceinline__ void add_adapter(float v[2][LANES], const raw_rows<T> &raw,
                                                   const uint32_t low[SLICES][4],
                                                   const uint32_t m[4][SLICES][2])
{
    float sum[4][4];
#pragma unroll
    for (int i = 0; i < 16; i++) {
        sum[i / 4][i % 4] = raw_number(raw.half[i % 4 / 2], i / 4 * 2 + i % 2);
    }
#pragma unroll
    for (int t = 0; t < 4; t++) {
#pragma unroll
        for (int s = 0; s < SLICES; s++) multiply(sum[t], low[s], m[t][s]);
    }
#pragma unroll
    for (int i = 0; i < 2 * LANES; i++) {
        v[i / LANES][i % LANES] = sum[i % LANES / 2][2 * (i / LANES) + i % 2];
    }
}

template <typename T>
static __device__ __forceinline__ void give_rows(void *rows, const float v[2][LANES], int64_t row,
                                                 int64_t column, int64_t n, int64_t width)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        if (row + 8 * h < n && column < width)
            store8((T *)rows + (row + 8 * h) * width + column, v[h]);
    }
}

/* blockIdx: 512 numbers of the width, 64 rows, job. A warp takes 32 numbers at a time of all rows;
 * of each row a thread has eight. */
template <typename T, int SLOTS, bool ADD>
static __global__ void __launch_bounds__(8 * WARP, SLOTS <= 48 && !ADD ? 2 : 1) spread(k_adapter a)
{
    constexpr int MT = ROWS / M_ROWS, SLICES = SLOTS / ADAPTER_SLICE;
    const k_wide job = a.job[blockIdx.z];
    const int64_t first = (int64_t)blockIdx.y * ROWS, stretch = (int64_t)blockIdx.x * SPREAD_W;
    const int lane = (int)threadIdx.x % WARP, g = lane / 4, q = lane % 4;
    uint32_t low[MT][SLICES][4];
#pragma unroll
    for (int r = 0; r < MT; r++) {
        take_low<SLICES>(low[r], a.low, a.n_job > 1 ? (int)blockIdx.z : -1, first + r * M_ROWS);
    }
    for (int64_t at = stretch + threadIdx.x / WARP * 32; at < stretch + SPREAD_W && at < job.width;
         at += 8 * 32) {
        const int64_t column = at + q * 8;
        uint32_t m[4][SLICES][2];
        raw_rows<T> old[ADD ? MT : 1] = {}; /* all on their way before the first is needed */
        take_m<SLICES>(m, job.m, at, job.width);
#pragma unroll
        for (int r = 0; ADD && r < MT; r++) {
            take_raw(&old[r], job.rows, first + r * M_ROWS + g, column, a.low.n, job.width);
        }
#pragma unroll
        for (int r = 0; r < MT; r++) {
            float v[2][LANES];
            add_adapter<T, SLICES>(v, old[ADD ? r : 0], low[r], m);
            give_rows<T>(job.rows, v, first + r * M_ROWS + g, column, a.low.n, job.width);
        }
    }
}

template <typename T, bool ADD> static void start_spread(k_stream s, const k_adapter *a, dim3 grid)
{
    switch (slots_of(a) / ADAPTER_SLICE) {
    case 1: spread<T, 16, ADD><<<grid, 8 * WARP, 0, s>>>(*a); break;
    case 2: spread<T, 32, ADD><<<grid, 8 * WARP, 0, s>>>(*a); break;
    case 3: spread<T, 48, ADD><<<grid, 8 * WARP, 0, s>>>(*a); break;
    default: spread<T, 64, ADD><<<grid, 8 * WARP, 0, s>>>(*a); break;
    }
}

static int64_t widest(const k_adapter *a)
{
    int64_t most = 0;
    for (int32_t i = 0; i < a->n_job; i++) {
        if (a->job[i].width > most) most = a->job[i].width;
    }
    return most;
}

void k_adapter_spread(k_stream s, const k_adapter *a, int32_t type, int32_t add)
{
    const dim3 grid(blocks_of(widest(a), SPREAD_W), blocks_of(a->low.n, ROWS), (unsigned)a->n_job);
    if (a->low.n == 0 || grid.x == 0) return;
    if (type == ROWS_BF16 && add) start_spread<bf16, true>(s, a, grid);
    else if (type == ROWS_BF16) start_spread<bf16, false>(s, a, grid);
    else if (add) start_spread<float, true>(s, a, grid);
    else start_spread<float, false>(s, a, grid);
}

/* ---- gradients ---- */

/* Wide rows as in gates.cu: a thread works on what it has copied into a ring itself; a block shares
 * the inner rows, some steps at a time. */
template <int SLOTS> struct grad_plan : slots_of_row<SLOTS> {
    static constexpr int WARPS = ADAPTER_STRETCH / WARP_W, THREADS = WARPS * WARP;
    static constexpr int STAGED = 8, AHEAD_OF = STAGED - 1; /* steps of a ring; that run ahead */
    static constexpr int CHUNK = 4, LOWS = AHEAD_OF / CHUNK + 2; /* steps to a copy of inner rows */
    static constexpr int LOW = CHUNK * M_ROWS * slots_of_row<SLOTS>::LD; /* in bf16 */
    static constexpr size_t BYTES =
        (size_t)STAGED * 2 * THREADS * sizeof(uint4) + (size_t)LOWS * LOW * sizeof(bf16);
};

/* A chunk of the inner rows from `first` on, all slots side by side. */
template <int SLOTS>
static __device__ __forceinline__ void copy_inner(bf16 *to, const k_adapter &a, int64_t first,
                                                  int64_t end)
{
    typedef grad_plan<SLOTS> P;
    constexpr int CHUNKS = SLOTS / LANES, COUNT = P::CHUNK * M_ROWS * CHUNKS;
#pragma unroll
    for (int i = (int)threadIdx.x; i < COUNT; i += P::THREADS) {
        const int row = i / CHUNKS, chunk = i % CHUNKS, slot = chunk * LANES;
        const int part = a.n_job > 1 ? (int)blockIdx.z : slot / a.low.slot;
        const int j = slot % a.low.slot, rank = a.low.rank[part];
        const bf16 *rows = (const bf16 *)a.low.rows[part];
        const bool there = first + row < end && j < rank;
        copy_or_zero(to + slots_at<SLOTS>(row, chunk),
                     there ? rows + (first + row) * rank + j : rows, there);
    }
}

/* blockIdx: stretch of the width, split of the rows, job. A warp has 32 numbers of the stretch. */
template <int SLOTS>
static __global__ void __launch_bounds__(4 * WARP)
    grad(k_adapter a, float *scratch, int64_t each, int64_t ld)
{
    typedef grad_plan<SLOTS> P;
    extern __shared__ __align__(16) unsigned char space[];
    uint4 *const ring = (uint4 *)space + threadIdx.x;
    bf16 *const lows = (bf16 *)((uint4 *)space + P::STAGED * 2 * P::THREADS);
    const k_wide job = a.job[blockIdx.z];
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int64_t from = (int64_t)blockIdx.x * ADAPTER_STRETCH, first = blockIdx.y * each;
    const int64_t column = from + warp * WARP_W + lane % 4 * LANES;
    const int64_t end = first + each < a.low.n ? first + each : a.low.n;
    const int steps = (int)(end > first ? (end - first + M_ROWS - 1) / M_ROWS : 0);
    row_walk in = walk_from(first + lane / 4, end, column, job.width, column < job.width);
    float sum[P::SLICES][TILES][4] = {};
    if (from >= job.width) return;
    for (int step = 0; step < steps + P::AHEAD_OF; step++) {
        const int now = step - P::AHEAD_OF;
        if (now >= 0) {
            copies_wait<P::STAGED - 2>();
            if (now % P::CHUNK == 0) __syncthreads(); /* inner rows are whole, those before read */
        }
        own_copies();
        if (step < steps) {
            copy_two(ring + step % P::STAGED * 2 * P::THREADS, P::THREADS, job.rows, in);
            walk_on(&in);
            if (step % P::CHUNK == 0) {
                copy_inner<SLOTS>(lows + step / P::CHUNK % P::LOWS * P::LOW, a,
                                  first + (int64_t)step * M_ROWS, end);
            }
        }
        copies_end();
        if (now < 0) continue;
        uint32_t word[2][TILES];
        take_words(word, ring + now % P::STAGED * 2 * P::THREADS, P::THREADS);
        add_grads<SLOTS>(sum, word,
                         lows + now / P::CHUNK % P::LOWS * P::LOW + now % P::CHUNK * M_ROWS * P::LD,
                         lane);
        own_copies();
    }
    const int64_t at = ((int64_t)blockIdx.y * a.n_job + blockIdx.z) * SLOTS * ld + column;
    if (column < job.width) give_grads<SLOTS>(scratch + at, sum, ld, lane);
}

/* blockIdx: stretch of the width, slot, job. */
static __global__ void add_splits(k_adapter a, k_adapter_sums to, int32_t splits, int32_t slots,
                                  int64_t ld)
{
    const int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int slot = (int)blockIdx.y, job = (int)blockIdx.z;
    const int part = a.n_job > 1 ? job : slot / a.low.slot, j = slot % a.low.slot;
    const int64_t width = a.job[job].width, rank = a.low.rank[part];
    if (column >= width || j >= rank) return;
    float *sum = to.to[part] + (to.turned ? column * rank + j : j * width + column), add = 0;
    for (int32_t i = 0; i < splits; i++) {
        add += to.scratch[(((int64_t)i * a.n_job + job) * slots + slot) * ld + column];
    }
    *sum += to.w ? add * (to.w[column] + to.w_plus) : add;
}

int32_t k_adapter_splits(const k_adapter *a)
{
    const int64_t blocks = (int64_t)blocks_of(widest(a), ADAPTER_STRETCH) * a->n_job;
    const int64_t n = blocks > 0 ? ADAPTER_BLOCKS / blocks : 1;
    return n < 1 ? 1 : n < ADAPTER_SPLITS ? (int32_t)n : ADAPTER_SPLITS;
}

template <int SLOTS>
static void start_grad(k_stream s, const k_adapter *a, const k_adapter_sums *to, int32_t splits)
{
    enum { EACH = 128 };
    constexpr size_t bytes = grad_plan<SLOTS>::BYTES;
    const int64_t ld = widest(a), share = (a->low.n + splits - 1) / splits;
    const int64_t each = (share + EACH_N - 1) / EACH_N * EACH_N;
    const dim3 grid(blocks_of(ld, ADAPTER_STRETCH), (unsigned)splits, (unsigned)a->n_job);
    const dim3 sums(blocks_of(ld, EACH), (unsigned)SLOTS, (unsigned)a->n_job);
    cudaFuncSetAttribute(grad<SLOTS>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    grad<SLOTS><<<grid, 4 * WARP, bytes, s>>>(*a, to->scratch, each, ld);
    add_splits<<<sums, EACH, 0, s>>>(*a, *to, splits, SLOTS, ld);
}

void k_adapter_grad(k_stream s, const k_adapter *a, const k_adapter_sums *to)
{
    const int32_t splits = k_adapter_splits(a);
    if (a->low.n == 0 || widest(a) == 0) return;
    switch (slots_of(a) / ADAPTER_SLICE) {
    case 1: start_grad<16>(s, a, to, splits); break;
    case 2: start_grad<32>(s, a, to, splits); break;
    case 3: start_grad<48>(s, a, to, splits); break;
    default: start_grad<64>(s, a, to, splits); break;
    }
}
