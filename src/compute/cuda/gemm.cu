/* gemm: products whose widths no aligned algorithm of cuBLASLt takes (not multiples of eight),
 * and small ones. Tiles of 32 x 32 results, 16 of k at a time in shared memory; each result is
 * one sum in float32 in the order of k, so a row's bits do not depend on the rows beside it. */
#include "compute/cuda/lanes_in.h"

enum { TILE = 32, DEPTH = 16, ROWS_A_THREAD = 4 };

static __device__ __forceinline__ float read_at(const void *p, int32_t type, int64_t i)
{
    return type == ROWS_BF16 ? number(((const bf16 *)p)[i]) : ((const float *)p)[i];
}

static __global__ void product(k_product p)
{
    __shared__ float xs[DEPTH][TILE + 1], ws[DEPTH][TILE + 1];
    const int lane = (int)threadIdx.x % TILE, group = (int)threadIdx.x / TILE;
    const int64_t row0 = (int64_t)blockIdx.y * TILE, out0 = (int64_t)blockIdx.x * TILE;
    float sum[ROWS_A_THREAD] = {0};
    for (int64_t k0 = 0; k0 < p.in; k0 += DEPTH) {
        for (int i = (int)threadIdx.x; i < TILE * DEPTH; i += (int)blockDim.x) {
            /* neighbours in memory by neighbouring threads: along k, or along rows */
            const int kx = p.x_k == 1 ? i % DEPTH : i / TILE,
                      rx = p.x_k == 1 ? i / DEPTH : i % TILE;
            const int kw = p.w_k == 1 ? i % DEPTH : i / TILE,
                      rw = p.w_k == 1 ? i / DEPTH : i % TILE;
            const bool has_x = row0 + rx < p.n && k0 + kx < p.in;
            const bool has_w = out0 + rw < p.out && k0 + kw < p.in;
            xs[kx][rx] =
                has_x ? read_at(p.x, p.type_x, (row0 + rx) * p.x_row + (k0 + kx) * p.x_k) : 0;
            ws[kw][rw] =
                has_w ? read_at(p.w, p.type_w, (out0 + rw) * p.w_row + (k0 + kw) * p.w_k) : 0;
        }
        __syncthreads();
        for (int k = 0; k < DEPTH && k0 + k < p.in; k++) {
#pragma unroll
            for (int i = 0; i < ROWS_A_THREAD; i++) {
                sum[i] += xs[k][group * ROWS_A_THREAD + i] * ws[k][lane];
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < ROWS_A_THREAD; i++) {
        const int64_t row = row0 + group * ROWS_A_THREAD + i, out = out0 + lane;
        if (row >= p.n || out >= p.out) continue;
        const int64_t at = row * p.ld + out;
        const float y = sum[i] + (p.add ? read_at(p.y, p.type_y, at) : 0);
        if (p.type_y == ROWS_BF16) put((bf16 *)p.y + at, y);
        else ((float *)p.y)[at] = y;
    }
}

void k_gemm(k_stream s, k_product p)
{
    if (p.n == 0 || p.out == 0) return;
    const dim3 grid(blocks_of(p.out, TILE), blocks_of(p.n, TILE));
    product<<<grid, TILE * TILE / ROWS_A_THREAD, 0, s>>>(p);
}

/* ---- two products compared ---- */

enum { THREADS = 256 };

static __global__ void noise(bf16 *to, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n) return;
    uint32_t h = (uint32_t)i * 2654435761u; /* Murmur's finish */
    h ^= h >> 16, h *= 2246822507u, h ^= h >> 13, h *= 3266489909u, h ^= h >> 16;
    put(to + i, (float)(int32_t)h * 0x1p-31f);
}

void k_noise(k_stream s, void *to, int64_t n)
{
    if (n > 0) noise<<<blocks_of(n, THREADS), THREADS, 0, s>>>((bf16 *)to, n);
}

static __global__ void differ(const uint16_t *a, const uint16_t *b, int64_t n, uint32_t *flag)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n && a[i] != b[i]) *flag = 1;
}

void k_differ(k_stream s, const void *a, const void *b, size_t bytes, uint32_t *flag)
{
    const int64_t n = (int64_t)(bytes / sizeof(uint16_t));
    if (n == 0) return;
    differ<<<blocks_of(n, THREADS), THREADS, 0, s>>>((const uint16_t *)a, (const uint16_t *)b, n,
                                                     flag);
}
