/* attend_few: attention of tiles of up to 16 rows, as a step of decoding has them: samples of one
 * prompt, each with few keys of its own. What it takes is the time to read the keys. So the warps
 * of a block share the copies, which run ahead in a ring of keys, values, keys, ..; all of them
 * find all weights of a block of keys, and each adds up its own numbers of the values. And what
 * several samples have of their own goes into one block, each at a place of its own: a row sees one
 * of them. The bits are those of attend_tiles: of each sum the order is the same, and what a row
 * does not see adds zeros. */
#include "compute/cuda/soften_in.h"

enum { RANGES = 96 /* of a tile in shared memory */, SHORT = 32 /* keys of a short block */ };

template <int HD> struct few { /* what a block is */
    static constexpr int WARPS = 2, THREADS = WARPS * WARP, MINE = HD / WARPS, RING = 3;
    static constexpr int PER = HD <= 64 ? 6 : 4; /* multiprocessor */
    static constexpr int LD = HD + LANES, UNIT = KEYS * LD;
    static constexpr size_t BYTES = (size_t)RING * UNIT * sizeof(bf16);
};

typedef struct few_tile { /* what a tile runs over, in shared memory */
    k_range range[RANGES];
} few_tile;

static __device__ __forceinline__ k_range few_range(const few_tile *t, const k_attention &a,
                                                    const opening &o, int32_t i)
{
    return i < RANGES ? t->range[i] : range_at(a, o.tile, o.span, i);
}

typedef struct few_walk { /* over blocks of keys: */
    walk at;              /* a range's, or */
    int32_t pieces, each; /* so many ranges from there on, `each` places apart */
} few_walk;

/* How many ranges from i on, one span's each, have at most `each` keys. */
static __device__ __forceinline__ int32_t few_pieces(const few_tile *t, const opening &o, int32_t i,
                                                     int32_t each)
{
    const int32_t end = o.span.n_range + o.tile.n_span - 1;
    int32_t n = 0;
    while (n < KEYS / each && i + n < end && i + n < RANGES && t->range[i + n].count <= each) n++;
    return n;
}

/* As walk_on, from the block that it stands at. */
static __device__ __forceinline__ bool few_walk_on(const few_tile *t, const k_attention &a,
                                                   const opening &o, few_walk *f)
{
    walk *w = &f->at;
    w->i += f->pieces - 1, w->from += KEYS;
    for (;;) {
        const int32_t first = w->range.position + w->from, left = w->range.count - w->from;
        if (left > 0 && first <= o.see.last) {
            const int32_t n = left < KEYS ? left : KEYS;
            if (o.see.window == 0 || o.see.first - (first + n - 1) < o.see.window) break;
            w->from += KEYS;
            continue;
        }
        if (++w->i >= o.span.n_range + o.tile.n_span - 1) return false;
        w->range = few_range(t, a, o, w->i), w->from = 0;
    }
    f->pieces = 1, f->each = KEYS;
    if (owner_of(o.tile, o.span, w->i) < 0 || w->from > 0 || w->range.count > SHORT) return true;
    const int32_t least = few_pieces(t, o, w->i, M_ROWS);
    f->each = least > 1 ? (int32_t)M_ROWS : (int32_t)SHORT;
    f->pieces = least > 1 ? least : few_pieces(t, o, w->i, SHORT);
    if (f->pieces < 1) f->pieces = 1;
    return true;
}

/* Places of a block that are filled, with zeros where there are no keys. */
static __device__ __forceinline__ int32_t few_filled(const few_walk &f)
{
    const int32_t n = f.pieces > 1 ? f.pieces * f.each : f.at.range.count - f.at.from;
    return n <= SHORT ? SHORT : KEYS;
}

typedef struct few_ahead { /* what is copied next */
    few_walk at;
    bool more, values; /* of this block the keys are under way */
    int slot;          /* of the ring */
} few_ahead;

/* The next keys or values into the ring; a group of copies, with nothing in it at the end. */
template <int HD>
static __device__ __forceinline__ void few_copy(const few_tile *t, bf16 *ring, const k_attention &a,
                                                const opening &o, few_ahead *f)
{
    typedef few<HD> F;
    if (f->more) {
        const few_walk &w = f->at;
        const bf16 *from = (const bf16 *)(f->values ? a.v : a.k);
        bf16 *to = ring + f->slot * F::UNIT;
        const int32_t filled = few_filled(w);
        if (w.pieces == 1) {
            copy_slots<bf16, HD, F::THREADS>(to, from, a, w.at.range.slot + w.at.from,
                                             w.at.range.count - w.at.from, filled);
        }
        for (int32_t k = 0; w.pieces > 1 && k * w.each < filled; k++) {
            const k_range r = t->range[k < w.pieces ? w.at.i + k : w.at.i];
            copy_slots<bf16, HD, F::THREADS>(to + k * w.each * F::LD, from, a, r.slot,
                                             k < w.pieces ? r.count : 0, w.each);
        }
        if (f->values) f->more = few_walk_on(t, a, o, &f->at);
        f->values = !f->values;
    }
    f->slot = f->slot + 1 == F::RING ? 0 : f->slot + 1;
    copies_end();
}

/* cap_and_mask of a block of pieces: a row sees its span's. */
static __device__ __forceinline__ void mask_pieces(float s[KEYS / 8][4], const few_tile *t,
                                                   const k_attention &a, const opening &o,
                                                   const two_rows rows, const few_walk &f)
{
    const int32_t first = owner_of(o.tile, o.span, f.at.i);
    const int column = (int)threadIdx.x % 4 * 2;
    stretch seen[2];
    cap_and_mask(s, a, rows, {0, KEYS, true, -1});
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int32_t k = rows.span[h] - first;
        const bool own = k >= 0 && k < f.pieces;
        const k_range r = t->range[f.at.i + (own ? k : 0)];
        seen[h] = seen_of(rows.query[h], r.position, own ? r.count : 0, a.window);
        seen[h].first += (own ? k : 0) * f.each - column;
    }
#pragma unroll
    for (int i = 0; i < KEYS / 8 * 4; i++) {
        const bool there = is_in(seen[i % 4 / 2], i / 4 * 8 + i % 2);
        s[i / 4][i % 4] = there ? s[i / 4][i % 4] : -CUDART_INF_F;
    }
}

/* The same of any block. */
static __device__ __forceinline__ void mask_few(float s[KEYS / 8][4], const few_tile *t,
                                                const k_attention &a, const opening &o,
                                                const two_rows rows, const few_walk &f)
{
    if (f.pieces > 1) {
        mask_pieces(s, t, a, o, rows, f);
        return;
    }
    const int32_t left = f.at.range.count - f.at.from, n = left < KEYS ? left : KEYS;
    key_block keys = {f.at.range.position + f.at.from, n, false, owner_of(o.tile, o.span, f.at.i)};
    keys.all =
        n == KEYS && keys.position + KEYS - 1 <= o.see.first && a.window == 0 && keys.owner < 0;
    cap_and_mask(s, a, rows, keys);
}

/* blockIdx: 0, K/V head, tile. Dynamic shared memory: the ring; the queries come by way of its last
 * place. */
template <int HD>
static __global__ void __launch_bounds__(few<HD>::THREADS, few<HD>::PER) attend_few(k_attention a)
{
    typedef few<HD> F;
    extern __shared__ __align__(16) unsigned char space[];
    __shared__ few_tile t;
    bf16 *ring = (bf16 *)space, *qs = ring + (F::RING - 1) * F::UNIT;
    const opening o = open_tile(a, M_ROWS);
    const int lane = (int)threadIdx.x % WARP, warp = (int)threadIdx.x / WARP;
    const int32_t n_range = o.span.n_range + o.tile.n_span - 1;
    copy_packed<bf16, HD, F::THREADS>(qs, (const bf16 *)a.q, a, o.span, o.tile.first, M_ROWS);
    copies_end();
    for (int i = (int)threadIdx.x; i < RANGES && i < n_range; i += F::THREADS)
        t.range[i] = range_at(a, o.tile, o.span, i);
    __syncthreads();
    few_walk at = {walk_begin(), 1, KEYS};
    at.at.from = -KEYS;
    bool more = few_walk_on(&t, a, o, &at);
    few_ahead ahead = {at, more, false, 0};
#pragma unroll
    for (int i = 0; i < F::RING - 1; i++) few_copy<HD>(&t, ring, a, o, &ahead);
    uint32_t kept[HD / 16][4];
    copies_wait<F::RING - 1>();
    __syncthreads();
    keep_rows<HD>(kept, qs);
    float out[1][F::MINE / 8][4] = {}, p[1][KEYS / 8][4], fade[2];
    const float factor = logit_factor(a);
    const two_rows rows = two_rows_at(o, o.tile.first + lane / 4);
    running r = {{-CUDART_INF_F, -CUDART_INF_F}, {0, 0}};
    for (int slot = 0; more; more = few_walk_on(&t, a, o, &at)) {
        const bool is_short = few_filled(at) == SHORT;
        copies_wait<F::RING - 2>();
        __syncthreads(); /* the keys are there, and nobody is at the place before them */
        few_copy<HD>(&t, ring, a, o, &ahead);
        if (is_short) kept_by_rows<HD, SHORT>(p[0], kept, ring + slot * F::UNIT);
        else kept_by_rows<HD, KEYS>(p[0], kept, ring + slot * F::UNIT);
        slot = slot + 1 == F::RING ? 0 : slot + 1;
        mask_few(p[0], &t, a, o, rows, at);
        soften(p[0], factor, &r, fade);
        fade_rows<F::MINE>(out[0], fade);
        copies_wait<F::RING - 2>();
        __syncthreads(); /* the same of the values */
        few_copy<HD>(&t, ring, a, o, &ahead);
        const bf16 *vs = ring + slot * F::UNIT + warp * F::MINE;
        if (is_short) by_columns<HD, F::MINE, SHORT, 1>(out, (const float(*)[SHORT / 8][4]) p, vs);
        else by_columns<HD, F::MINE, KEYS, 1>(out, p, vs);
        slot = slot + 1 == F::RING ? 0 : slot + 1;
    }
    copies_wait<0>();
    int64_t row[2];
    for (int h = 0; h < 2; h++) {
        const int32_t i = o.tile.first + lane / 4 + 8 * h;
        row[h] = i < o.packed ? packed_at(a, o.span, i) : -1;
    }
    a.o = (bf16 *)a.o + warp * F::MINE;
    if (warp > 0) a.log_sum_exp = NULL;
    write_rows<bf16, F::MINE>(out[0], r, a, row);
}

template <int HD> static void start_few(k_stream s, const k_attention *a)
{
    typedef few<HD> F;
    cudaFuncSetAttribute(attend_few<HD>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         (int)F::BYTES);
    for (int32_t first = 0; first < a->n_tile; first += TILES_MAX) {
        k_attention part = *a;
        part.tile += first;
        const int32_t n = a->n_tile - first < TILES_MAX ? a->n_tile - first : TILES_MAX;
        const dim3 grid(1, (unsigned)a->heads_kv, (unsigned)n);
        attend_few<HD><<<grid, F::THREADS, F::BYTES, s>>>(part);
    }
}

/* Where a launch is a little more than one wave of these blocks but one of attend_tiles', six of
 * which fit a multiprocessor, those are faster. */
bool k_attend_is_few(const k_attention *a)
{
    enum {
        PROCESSORS = 132,
        ONE_WAVE = few<128>::PER * PROCESSORS,
        WAVE_OF_TILES = 6 * PROCESSORS
    };
    const int64_t blocks = (int64_t)a->n_tile * a->heads_kv;
    if (a->type != ROWS_BF16 || !a->hopper) return false;
    if (a->head_dim == 64) return true;
    return a->head_dim == 128 && (blocks <= ONE_WAVE || blocks > WAVE_OF_TILES);
}

void k_attend_few(k_stream s, const k_attention *a)
{
    if (a->head_dim == 64) start_few<64>(s, a);
    else start_few<128>(s, a);
}
