/* best_in: the likeliest token of a row, found by a block of threads; the order in which tokens of
 * equal logits come stands here alone. */
#ifndef CASELOAD_COMPUTE_CUDA_BEST_IN_H
#define CASELOAD_COMPUTE_CUDA_BEST_IN_H

#include "compute/cuda/lanes_in.h"

typedef struct candidate {
    float logit;
    int32_t id;
} candidate;

/* Falling logits, the lower id first among equals; ids below 0 are nothing. */
static __device__ __forceinline__ bool before(candidate a, candidate b)
{
    if (a.id < 0 || b.id < 0) return a.id >= 0;
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* The first of what the block's threads hold, for each of them. space: [WARPS], shared. */
template <int WARPS> static __device__ candidate block_best(candidate mine, candidate *space)
{
#pragma unroll
    for (int i = WARP / 2; i > 0; i /= 2) {
        const candidate other = {__shfl_xor_sync(0xffffffffu, mine.logit, i),
                                 __shfl_xor_sync(0xffffffffu, mine.id, i)};
        if (before(other, mine)) mine = other;
    }
    if (threadIdx.x % WARP == 0) space[threadIdx.x / WARP] = mine;
    __syncthreads();
    mine = space[0];
    for (int i = 1; i < WARPS; i++) {
        if (before(space[i], mine)) mine = space[i];
    }
    __syncthreads();
    return mine;
}

#endif
