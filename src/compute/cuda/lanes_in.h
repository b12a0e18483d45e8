/* lanes_in: what the kernels share: reading and writing eight numbers of either row type at once,
 * sums and maxima over a warp or a block in one fixed order. For .cu files only. */
#ifndef CASELOAD_COMPUTE_CUDA_LANES_IN_H
#define CASELOAD_COMPUTE_CUDA_LANES_IN_H

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <stdbool.h>
#include <stdint.h>

extern "C" {
#include "compute/cuda/kernels_decode.h"
#include "compute/cuda/kernels_train.h"
}

typedef __nv_bfloat16 bf16;

enum { WARP = 32, LANES = 8 };

static __device__ __forceinline__ float number(float x) { return x; }
static __device__ __forceinline__ float number(bf16 x) { return __bfloat162float(x); }
static __device__ __forceinline__ void put(float *to, float x) { *to = x; }
static __device__ __forceinline__ void put(bf16 *to, float x) { *to = __float2bfloat16_rn(x); }

static __device__ __forceinline__ uint32_t two_bf16(float low, float high)
{
    __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return *(uint32_t *)&both;
}

/* Numbers j and j + 1 of a row of `width`, j even; those past its end are not written. */
static __device__ __forceinline__ void put_two(float *row, int j, int width, float x, float y)
{
    if (j < width) row[j] = x;
    if (j + 1 < width) row[j + 1] = y;
}

static __device__ __forceinline__ void put_two(bf16 *row, int j, int width, float x, float y)
{
    if (width % 2 == 0) {
        if (j < width) *(uint32_t *)(row + j) = two_bf16(x, y);
        return;
    }
    if (j < width) put(row + j, x);
    if (j + 1 < width) put(row + j + 1, y);
}

/* Eight numbers in a row; `at` is aligned to eight of them (bf16) or four (float). */
static __device__ __forceinline__ void load8(float out[LANES], const float *at)
{
    float4 a = *(const float4 *)at, b = *(const float4 *)(at + 4);
    out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
    out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
}

static __device__ __forceinline__ void load8(float out[LANES], const bf16 *at)
{
    uint4 packed = *(const uint4 *)at;
    const uint32_t word[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        out[2 * i] = __uint_as_float(word[i] << 16);
        out[2 * i + 1] = __uint_as_float(word[i] & 0xffff0000u);
    }
}

template <typename T> struct eight_raw { /* numbers as they lie in memory */
    uint4 word[sizeof(T) / 2];
};

static __device__ __forceinline__ float raw_number(const eight_raw<float> &r, int i)
{
    const uint4 w = r.word[i / 4];
    const uint32_t bits = i % 4 == 0 ? w.x : i % 4 == 1 ? w.y : i % 4 == 2 ? w.z : w.w;
    return __uint_as_float(bits);
}

static __device__ __forceinline__ float raw_number(const eight_raw<bf16> &r, int i)
{
    const uint4 w = r.word[0];
    const uint32_t bits = i / 2 == 0 ? w.x : i / 2 == 1 ? w.y : i / 2 == 2 ? w.z : w.w;
    return __uint_as_float(i % 2 ? bits & 0xffff0000u : bits << 16);
}

template <typename T> static __device__ __forceinline__ eight_raw<T> raw8(const T *at)
{
    eight_raw<T> r;
#pragma unroll
    for (int i = 0; i < (int)sizeof(T) / 2; i++) r.word[i] = ((const uint4 *)at)[i];
    return r;
}

static __device__ __forceinline__ void store8(float *at, const float in[LANES])
{
    *(float4 *)at = make_float4(in[0], in[1], in[2], in[3]);
    *(float4 *)(at + 4) = make_float4(in[4], in[5], in[6], in[7]);
}

static __device__ __forceinline__ void store8(bf16 *at, const float in[LANES])
{
    *(uint4 *)at = make_uint4(two_bf16(in[0], in[1]), two_bf16(in[2], in[3]),
                              two_bf16(in[4], in[5]), two_bf16(in[6], in[7]));
}

static __device__ __forceinline__ float warp_sum(float x)
{
#pragma unroll
    for (int i = WARP / 2; i > 0; i /= 2) x += __shfl_xor_sync(0xffffffffu, x, i);
    return x;
}

static __device__ __forceinline__ double warp_sum(double x)
{
#pragma unroll
    for (int i = WARP / 2; i > 0; i /= 2) x += __shfl_xor_sync(0xffffffffu, x, i);
    return x;
}

static __device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
    for (int i = WARP / 2; i > 0; i /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, i));
    return x;
}

/* All threads of a block of whole warps get the sum; `space` holds one number a warp. */
template <typename T> static __device__ T block_sum(T x, T *space)
{
    const int warp = (int)threadIdx.x / WARP, n = (int)blockDim.x / WARP;
    x = warp_sum(x);
    if (threadIdx.x % WARP == 0) space[warp] = x;
    __syncthreads();
    T sum = 0;
    for (int i = 0; i < n; i++) sum += space[i];
    __syncthreads();
    return sum;
}

static __device__ __forceinline__ float block_max(float x, float *space)
{
    const int warp = (int)threadIdx.x / WARP, n = (int)blockDim.x / WARP;
    x = warp_max(x);
    if (threadIdx.x % WARP == 0) space[warp] = x;
    __syncthreads();
    float most = space[0];
    for (int i = 1; i < n; i++) most = fmaxf(most, space[i]);
    __syncthreads();
    return most;
}

static inline unsigned blocks_of(int64_t n, int64_t each)
{
    return (unsigned)((n + each - 1) / each);
}

/* For 16-byte reads. */
static inline bool is_aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

#endif
