/* draw: the next token of each row; see draw.h for the request and decode.h for the rules. A block
 * a row.
 *
 * The rules keep the first so many tokens of the falling order, so nothing is sorted whole: tokens
 * are counted and weighed in BINS by their distance from the largest logit, and only the bin in
 * which a rule's end or the draw falls is taken into shared memory and sorted. A bin's weight is a
 * sum of integers (weights are at most 1, in units of 2^-45), so the order in which threads come
 * does not matter. */
#include "compute/cuda/best_in.h"

#include <math_constants.h>

enum { THREADS = 512, BINS = 1024, SORTED = 4096, WARPS = THREADS / WARP };

static const double UNITS = 0x1p45, LEAST = -50; /* exp(-50) of the likeliest is nothing */

typedef struct place { /* a number of tokens of the falling order, and their weight */
    int64_t n;
    double mass;
} place;

typedef struct table { /* of one row, in shared memory */
    unsigned long long mass[BINS];
    int32_t count[BINS];
    candidate sorted[SORTED];
    int32_t n_sorted, bin; /* the bin that is in `sorted` */
    unsigned long long part[WARPS];
    place found;
    candidate best[WARPS];
} table;

static __device__ __forceinline__ unsigned long long units_of(double weight)
{
    return (unsigned long long)(weight * UNITS);
}

typedef struct ruler {                /* where bins lie */
    float top, temperature, by_width; /* the largest logit; 1 / the width of a bin */
} ruler;

static __device__ __forceinline__ double weight_of(float logit, ruler r)
{
    return exp(((double)logit - (double)r.top) / (double)r.temperature);
}

/* Larger for smaller logits; all that stand in an earlier bin come first in the order. -1: nothing
 * beside the largest. */
static __device__ __forceinline__ int bin_of(float logit, ruler r)
{
    const float below = r.top - logit, unit = -(float)LEAST * r.temperature;
    if (below > 1.01f * unit) return -1; /* near the end it is told exactly */
    if (!(below < 0.99f * unit) &&
        !(((double)logit - (double)r.top) / (double)r.temperature > LEAST))
        return -1;
    const int bin = (int)((r.top - logit) * r.by_width);
    return bin < BINS ? bin : BINS - 1;
}

/* Soft-cap, then the penalty on each id seen, once. */
static __device__ void change(float *logit, const k_draw &d, const k_draw_row &how)
{
    const int32_t *seen = d.seen + how.first_seen;
    if (d.softcap > 0) {
        for (int i = (int)threadIdx.x; i < d.n_vocab; i += THREADS)
            logit[i] = d.softcap * tanhf(logit[i] / d.softcap);
        __syncthreads();
    }
    if (how.penalty <= 0 || how.penalty == 1) return;
    for (int i = (int)threadIdx.x; i < how.n_seen; i += THREADS) {
        const int32_t id = seen[i];
        bool known = id < 0 || id >= d.n_vocab;
        for (int j = 0; j < i && !known; j++) known = seen[j] == id;
        if (known) continue;
        logit[id] = logit[id] > 0 ? __fdiv_rn(logit[id], how.penalty) : logit[id] * how.penalty;
    }
    __syncthreads();
}

/* Counts and weighs all bins; how many tokens have at least min_p of the largest's weight. */
static __device__ int64_t fill_bins(table *t, const float *logit, const k_draw &d,
                                    const k_draw_row &how, ruler r)
{
    int64_t heavy = 0;
    for (int i = (int)threadIdx.x; i < BINS; i += THREADS) t->mass[i] = 0, t->count[i] = 0;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < d.n_vocab; i += THREADS) {
        const int bin = bin_of(logit[i], r);
        if (bin < 0) continue;
        const double weight = weight_of(logit[i], r);
        atomicAdd(&t->mass[bin], units_of(weight));
        atomicAdd(&t->count[bin], 1);
        heavy += weight >= (double)how.min_p;
    }
    __syncthreads();
    return (int64_t)block_sum((double)heavy, (double *)t->part);
}

/* A bin's tokens into `sorted`, in falling order; false: they are too many. */
static __device__ bool open_bin(table *t, const float *logit, const k_draw &d, ruler r, int bin)
{
    if (t->bin == bin) return true; /* the same for all threads: set before a barrier */
    __syncthreads();
    if (t->count[bin] > SORTED) return false;
    if (threadIdx.x == 0) t->n_sorted = 0, t->bin = bin;
    __syncthreads();
    for (int i = (int)threadIdx.x; i < d.n_vocab; i += THREADS) {
        if (bin_of(logit[i], r) != bin) continue;
        t->sorted[atomicAdd(&t->n_sorted, 1)] = {logit[i], i};
    }
    __syncthreads();
    int size = 2;
    while (size < t->n_sorted) size *= 2;
    for (int i = t->n_sorted + (int)threadIdx.x; i < size; i += THREADS) t->sorted[i] = {0, -1};
    __syncthreads();
    for (int width = 2; width <= size; width *= 2) { /* Batcher's bitonic sort */
        for (int step = width / 2; step > 0; step /= 2) {
            for (int i = (int)threadIdx.x; i < size; i += THREADS) {
                const int j = i ^ step;
                const candidate a = t->sorted[i], b = t->sorted[j];
                if (j > i && ((i & width) == 0) == before(b, a)) t->sorted[i] = b, t->sorted[j] = a;
            }
            __syncthreads();
        }
    }
    return true;
}

typedef struct goal { /* the first place of the order .. */
    int64_t n;        /* .. of so many tokens, */
    double mass;      /* or, when n is 0, of at least this weight (`above`: of more) */
    bool above;
} goal;

static __device__ __forceinline__ bool reaches(goal g, int64_t n, double mass)
{
    if (g.n > 0) return n >= g.n;
    return g.above ? mass > g.mass : mass >= g.mass;
}

/* Of a warp's numbers those before a lane's and its own. */
static __device__ __forceinline__ unsigned long long sum_up_to(unsigned long long x, int lane)
{
#pragma unroll
    for (int i = 1; i < WARP; i *= 2) {
        const unsigned long long before = __shfl_up_sync(0xffffffffu, x, i);
        if (lane >= i) x += before;
    }
    return x;
}

/* The goal's bin, or the last with anything in it, and the place before it; by one warp, a stretch
 * of bins a lane. */
static __device__ void find_bin(table *t, goal g, int lane)
{
    enum { EACH = BINS / WARP };
    const int first = lane * EACH;
    unsigned long long mass = 0, count = 0;
    int full = -1;
    for (int i = first; i < first + EACH; i++) {
        mass += t->mass[i], count += (unsigned long long)t->count[i];
        if (t->count[i] > 0) full = i;
    }
    const unsigned long long mass_end = sum_up_to(mass, lane), end = sum_up_to(count, lane);
    const bool there = count > 0 && reaches(g, (int64_t)end, (double)mass_end / UNITS);
    const unsigned reached = __ballot_sync(0xffffffffu, there);
    const unsigned filled = __ballot_sync(0xffffffffu, count > 0);
    const int chosen = reached  ? __ffs((int)reached) - 1
                       : filled ? WARP - 1 - __clz((int)filled)
                                : 0;
    if (lane != chosen) return;
    int64_t n = (int64_t)(end - count);
    mass = mass_end - mass;
    int bin = full < 0 ? 0 : full;
    for (int i = first; i < bin; i++) {
        if (t->count[i] > 0 && reaches(g, n + t->count[i], (double)(mass + t->mass[i]) / UNITS)) {
            bin = i;
            break;
        }
        n += t->count[i], mass += t->mass[i];
    }
    t->found = {n, (double)mass / UNITS};
    t->part[0] = (unsigned long long)bin;
}

/* The goal's place among the sorted tokens of its bin, or their end; by one warp. */
static __device__ void find_in_bin(table *t, ruler r, goal g, place at, int lane)
{
    unsigned long long units = (unsigned long long)(at.mass * UNITS);
    for (int first = 0;; first += WARP) {
        const int i = first + lane, n = t->n_sorted;
        const unsigned long long mine = i < n ? units_of(weight_of(t->sorted[i].logit, r)) : 0;
        const unsigned long long sum = units + sum_up_to(mine, lane);
        const bool there = i < n && (i == n - 1 || reaches(g, at.n + i + 1, (double)sum / UNITS));
        const unsigned reached = __ballot_sync(0xffffffffu, there);
        if (reached && lane == __ffs((int)reached) - 1) {
            t->found = {at.n + i + 1, (double)sum / UNITS};
            t->part[0] = (unsigned long long)t->sorted[i].id;
        }
        if (reached || first >= n) return;
        units = __shfl_sync(0xffffffffu, sum, WARP - 1);
    }
}

/* The goal's place, or the order's end; *last: the token there. false: cannot be told here. */
static __device__ bool find_place(table *t, const float *logit, const k_draw &d, ruler r, goal g,
                                  place *at, int32_t *last)
{
    const int lane = (int)threadIdx.x % WARP;
    __syncthreads();
    if (threadIdx.x < WARP) find_bin(t, g, lane);
    __syncthreads();
    *at = t->found;
    const int bin = (int)t->part[0];
    if (!open_bin(t, logit, d, r, bin)) return false;
    __syncthreads();
    if (threadIdx.x < WARP) find_in_bin(t, r, g, *at, lane);
    __syncthreads();
    *at = t->found;
    *last = (int32_t)t->part[0];
    return true;
}

/* The draw of a row whose temperature is above 0; -1: the host's. */
static __device__ int32_t draw_one(table *t, const float *logit, const k_draw &d,
                                   const k_draw_row &how, ruler r)
{
    int32_t id = -1;
    place kept = {d.n_vocab, 0}, at;
    if (threadIdx.x == 0) t->bin = -1;
    const int64_t heavy = fill_bins(t, logit, d, how, r);
    const goal most = {how.top_k > 0 && how.top_k < d.n_vocab ? how.top_k : (int64_t)d.n_vocab};
    if (!find_place(t, logit, d, r, most, &kept, &id)) return -1;
    if (how.top_p > 0 && how.top_p < 1) {
        const goal enough = {0, (double)how.top_p * kept.mass, false};
        if (!find_place(t, logit, d, r, enough, &kept, &id)) return -1;
    }
    if (how.min_p > 0 && heavy < kept.n) {
        const goal few = {heavy > 1 ? heavy : 1};
        if (!find_place(t, logit, d, r, few, &kept, &id)) return -1;
    }
    const int32_t last = id;
    const goal drawn = {0, how.unit * kept.mass, true};
    if (!find_place(t, logit, d, r, drawn, &at, &id)) return -1;
    return at.n > kept.n ? last : id;
}

static __global__ void __launch_bounds__(THREADS, 3) draw_rows(k_draw d)
{
    __shared__ table t;
    const k_draw_row how = d.row[blockIdx.x];
    float *logit = d.logits + (int64_t)blockIdx.x * d.n_vocab;
    change(logit, d, how);
    candidate mine = {-CUDART_INF_F, -1};
    float least = CUDART_INF_F;
    for (int i = (int)threadIdx.x; i < d.n_vocab; i += THREADS) {
        const candidate c = {logit[i], i};
        if (c.logit == c.logit && before(c, mine)) mine = c;
        if (c.logit > -CUDART_INF_F && c.logit < least) least = c.logit;
    }
    const candidate top = block_best<WARPS>(mine, t.best);
    int32_t id = top.id < 0 ? 0 : top.id; /* no number at all: as the host takes it */
    if (how.temperature > 0 && top.logit > -CUDART_INF_F && top.logit < CUDART_INF_F) {
        const float range = top.logit + block_max(-least, (float *)t.part);
        const float widest = -(float)LEAST * how.temperature;
        const float used = fmaxf(fminf(range, widest), 1e-30f);
        id = draw_one(&t, logit, d, how, {top.logit, how.temperature, (float)BINS / used});
    }
    if (threadIdx.x == 0) d.id[blockIdx.x] = id;
}

void k_draw_rows(k_stream s, const k_draw *d)
{
    if (d->n > 0) draw_rows<<<(unsigned)d->n, THREADS, 0, s>>>(*d);
}
