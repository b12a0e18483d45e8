/* kernels_avx2: the kernel table of one instruction set; all of its code is in kernels_in.h. */
#include "compute/cpu/vec_avx2_in.h"

#include "compute/cpu/kernels_in.h"

static_assert(TASK_COLUMNS % PANEL == 0 && ATTEND_BLOCK % PANEL == 0, "whole panels");

const cpu_kernels cpu_kernels_avx2 = {
    .lanes = LANES,
    .tile_rows = TILE_ROWS,
    .panel = PANEL,
    .expand =
        {
            [DTYPE_F16] = expand_f16,
            [DTYPE_BF16] = expand_bf16,
            [DTYPE_Q4_0] = expand_q4_0,
            [DTYPE_Q4_1] = expand_q4_1,
            [DTYPE_Q5_0] = expand_q5_0,
            [DTYPE_Q5_1] = expand_q5_1,
            [DTYPE_Q8_0] = expand_q8_0,
            [DTYPE_Q2_K] = expand_q2_k,
            [DTYPE_Q3_K] = expand_q3_k,
            [DTYPE_Q4_K] = expand_q4_k,
            [DTYPE_Q5_K] = expand_q5_k,
            [DTYPE_Q6_K] = expand_q6_k,
            [DTYPE_IQ4_NL] = expand_iq4_nl,
            [DTYPE_IQ4_XS] = expand_iq4_xs,
        },
    .transpose = transpose,
    .tile = tile,
    .attend = attend,
    .attend_end = attend_end,
    .scale = scale,
    .add = add,
    .rmsnorm = rmsnorm,
    .glu = glu,
    .rope = rope,
    .softcap = softcap,
    .largest = largest,
    .sum_exp = sum_exp,
};
