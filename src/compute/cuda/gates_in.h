/* gates_in: SwiGLU and GeGLU of one number, and their way back. For .cu files only. */
#ifndef CASELOAD_COMPUTE_CUDA_GATES_IN_H
#define CASELOAD_COMPUTE_CUDA_GATES_IN_H

#include "compute/cuda/lanes_in.h"

/* 1 / (1 + e^-x) to a few units of the last place, without branches: for rows in bf16. */
static __device__ __forceinline__ float sigmoid_near(float x)
{
    float power, share;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x * -1.4426950408889634f));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(share) : "f"(1 + power));
    return share;
}

/* Half of 1 + tanh z is the sigmoid of 2 z: both gates are g times a sigmoid of `turn`. */
static __device__ __forceinline__ float gate_turn(float g, int32_t gelu)
{
    const float twice = 1.59576912160573071f; /* 2 sqrt(2 / pi) */
    return gelu ? twice * (g + 0.044715f * g * g * g) : g;
}

/* NEAR: with sigmoid_near */
template <bool NEAR = false> static __device__ __forceinline__ float activate(float g, int32_t gelu)
{
    if (NEAR) return g * sigmoid_near(gate_turn(g, gelu));
    if (!gelu) return g / (1 + expf(-g));
    const float root = 0.79788456080286535588f; /* sqrt(2 / pi) */
    return 0.5f * g * (1 + tanhf(root * (g + 0.044715f * g * g * g)));
}

/* g and u become their gradients for d, that of act(g) u, which is returned. */
template <bool NEAR = false>
static __device__ __forceinline__ float glu_pair(float *g, float *u, float d, int32_t gelu)
{
    float act, slope;
    if (NEAR) {
        const float share = sigmoid_near(gate_turn(*g, gelu));
        const float turned = gelu ? 1.59576912160573071f * (1 + 3 * 0.044715f * *g * *g) : 1;
        act = *g * share;
        slope = share + act * (1 - share) * turned;
    } else if (gelu) {
        const float root = 0.79788456080286535588f;
        const float t = tanhf(root * (*g + 0.044715f * *g * *g * *g));
        act = 0.5f * *g * (1 + t);
        slope = 0.5f * (1 + t) + 0.5f * *g * (1 - t * t) * root * (1 + 3 * 0.044715f * *g * *g);
    } else {
        const float sigmoid = 1 / (1 + expf(-*g));
        act = *g * sigmoid;
        slope = sigmoid * (1 + *g * (1 - sigmoid));
    }
    const float y = act * *u;
    *g = d * *u * slope;
    *u = d * act;
    return y;
}

#endif
