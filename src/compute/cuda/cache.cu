/* cache: new rows of q, k and v are rotated and k and v put into their slots, in one pass; see
 * kernels_decode.h. A thread has two numbers of a head: a pair that turns, or two that do not;
 * where widths allow it, eight pairs or sixteen numbers. The arithmetic is that of the rotation in
 * rows.cu. */
#include "compute/cuda/lanes_in.h"

enum { THREADS = 256 };

/* Of a head's numbers; those of q stay where they are. */
template <typename T> struct ends {
    const T *from;
    T *to;
};

/* head: q's, then k's, then v's; of_kv: its number among its own, k's or v's. */
template <typename T>
static __device__ __forceinline__ ends<T> ends_of(const k_cache &c, int64_t row, int32_t head,
                                                  int32_t of_kv)
{
    const bool is_q = head < c.heads, is_v = head >= c.heads + c.heads_kv;
    const T *from = (const T *)(is_q   ? c.q
                                : is_v ? c.v
                                       : c.k) +
                    (is_q ? row * c.heads + head : row * c.heads_kv + of_kv) * c.head_dim;
    T *to = is_q ? (T *)c.q + (row * c.heads + head) * c.head_dim
                 : (T *)(is_v ? c.value : c.key) +
                       ((int64_t)c.slot[row] * c.heads_kv + of_kv) * c.head_dim;
    return {from, to};
}

template <typename T> static __global__ void cache_each(k_cache c, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n) return;
    const int32_t lanes = c.head_dim / 2, all = c.heads + 2 * c.heads_kv, half = c.turned / 2;
    const int32_t j = (int32_t)(i % lanes), head = (int32_t)(i / lanes % all);
    const int64_t row = i / lanes / all;
    const int32_t of_kv = (head - c.heads) % c.heads_kv; /* k's heads, then v's */
    const bool is_q = head < c.heads, is_v = head >= c.heads + c.heads_kv;
    const bool turns = !is_v && j < half;
    const int32_t first = !turns ? (is_v ? 2 * j : c.turned + 2 * (j - half)) : c.pairs ? 2 * j : j;
    const int32_t second = first + (turns && !c.pairs ? half : 1);
    if (is_q && !turns) return;
    const ends<T> e = ends_of<T>(c, row, head, of_kv);
    const T *from = e.from;
    T *to = e.to;
    if (!turns) {
        to[first] = from[first], to[second] = from[second];
        return;
    }
    const float *cosine = c.table + (int64_t)c.position[row] * c.turned;
    const float a = number(from[first]), b = number(from[second]);
    const float x = cosine[j], y = cosine[half + j];
    put(to + first, __fsub_rn(__fmul_rn(a, x), __fmul_rn(b, y)));
    put(to + second, __fadd_rn(__fmul_rn(a, y), __fmul_rn(b, x)));
}

/* Halves turn; widths are multiples of sixteen. */
template <typename T> static __global__ void cache_eight(k_cache c, uint32_t n)
{
    const uint32_t i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= n) return;
    const uint32_t lanes = (uint32_t)c.head_dim / (2 * LANES), all = (uint32_t)(n / c.n) / lanes;
    const int32_t j = (int32_t)(i % lanes), head = (int32_t)(i / lanes % all);
    const int64_t row = i / lanes / all;
    const bool is_q = head < c.heads, is_v = head >= c.heads + c.heads_kv;
    const int32_t of_kv = head - c.heads - (is_v ? c.heads_kv : 0), half = c.turned / 2;
    const bool turns = !is_v && j * LANES < half;
    const int32_t first = (turns ? 1 : 2) * LANES * j, second = first + (turns ? half : LANES);
    if (is_q && !turns) return;
    const ends<T> e = ends_of<T>(c, row, head, of_kv);
    const T *from = e.from;
    T *to = e.to;
    float a[LANES], b[LANES], x[LANES], y[LANES];
    load8(a, from + first), load8(b, from + second);
    if (turns) {
        const float *cosine = c.table + (int64_t)c.position[row] * c.turned + first;
        load8(x, cosine), load8(y, cosine + half);
#pragma unroll
        for (int k = 0; k < LANES; k++) {
            const float was = a[k];
            a[k] = __fsub_rn(__fmul_rn(was, x[k]), __fmul_rn(b[k], y[k]));
            b[k] = __fadd_rn(__fmul_rn(was, y[k]), __fmul_rn(b[k], x[k]));
        }
    }
    store8(to + first, a), store8(to + second, b);
}

static bool is_wide(const k_cache *c, int64_t n)
{
    return !c->pairs && c->turned % (2 * LANES) == 0 && c->head_dim % (2 * LANES) == 0 &&
           n <= INT32_MAX && (!c->q || is_aligned(c->q)) && is_aligned(c->k) && is_aligned(c->v) &&
           is_aligned(c->key) && is_aligned(c->value) && is_aligned(c->table);
}

void k_cache_rows(k_stream s, const k_cache *c)
{
    const int64_t n = c->n * (c->heads + 2 * c->heads_kv) * (c->head_dim / 2);
    const int64_t wide = n / LANES;
    if (n == 0) return;
    if (is_wide(c, wide)) {
        const unsigned blocks = blocks_of(wide, THREADS);
        if (c->type == ROWS_BF16) cache_eight<bf16><<<blocks, THREADS, 0, s>>>(*c, (uint32_t)wide);
        else cache_eight<float><<<blocks, THREADS, 0, s>>>(*c, (uint32_t)wide);
        return;
    }
    if (c->type == ROWS_BF16) cache_each<bf16><<<blocks_of(n, THREADS), THREADS, 0, s>>>(*c, n);
    else cache_each<float><<<blocks_of(n, THREADS), THREADS, 0, s>>>(*c, n);
}
