/* kernels_avx512: the kernel table of one instruction set; all of its code is in kernels_in.h. */
#include "compute/cpu/vec_avx512_in.h"

#include "compute/cpu/kernels_in.h"

static_assert(TASK_COLUMNS % PANEL == 0 && ATTEND_BLOCK % PANEL == 0, "whole panels");
static_assert(TASK_COLUMNS % FEW_PANEL == 0 && (int)FEW_PANEL <= FEW_PANEL_MAX, "whole panels");
static_assert(PANEL % PACK_ROWS == 0 && PACK_ROWS == 16, "a panel is packed in whole groups");

const cpu_kernels cpu_kernels_avx512 = {
    .lanes = LANES,
    .tile_rows = TILE_ROWS,
    .panel = PANEL,
    .few_panel = FEW_PANEL,
    .expand = expand,
    .pack = pack,
    .transpose = transpose,
    .tile = tile,
    .few = few,
    .takes_few = takes_few,
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
    .dot = dot,
    .rmsnorm_back = rmsnorm_back,
    .glu_back = glu_back,
    .softmax_back = softmax_back,
    .soften = soften,
    .mix = mix,
    .outer = outer,
};
