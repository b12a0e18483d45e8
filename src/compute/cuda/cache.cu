/* cache: new rows of q, k and v are rotated and k and v put into their slots, in one pass; see
 * kernels_decode.h. A thread has two numbers of a head: a pair that turns, or two that do not. The
 * arithmetic is that of the rotation in rows.cu. */
#include "compute/cuda/lanes_in.h"

enum { THREADS = 256 };

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
    const T *from = (const T *)(is_q   ? c.q
                                : is_v ? c.v
                                       : c.k) +
                    (is_q ? row * c.heads + head : row * c.heads_kv + of_kv) * c.head_dim;
    T *to = is_q ? (T *)c.q + (row * c.heads + head) * c.head_dim
                 : (T *)(is_v ? c.value : c.key) +
                       ((int64_t)c.slot[row] * c.heads_kv + of_kv) * c.head_dim;
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

void k_cache_rows(k_stream s, const k_cache *c)
{
    const int64_t n = c->n * (c->heads + 2 * c->heads_kv) * (c->head_dim / 2);
    if (n == 0) return;
    if (c->type == ROWS_BF16) cache_each<bf16><<<blocks_of(n, THREADS), THREADS, 0, s>>>(*c, n);
    else cache_each<float><<<blocks_of(n, THREADS), THREADS, 0, s>>>(*c, n);
}
