/* kernels_in: the parts put together into one table, called KERNELS; included by kernels_avx2.c and
 * kernels_avx512.c, after their vec header. */
#include "compute/cpu/cpu_in.h"

#include "compute/cpu/math_in.h"
#include "compute/cpu/tile_in.h"

#include "compute/cpu/attend_in.h"
#include "compute/cpu/back_in.h"
#include "compute/cpu/expand_in.h"

#include "compute/cpu/block_in.h"
#include "compute/cpu/wide_in.h"

#include "compute/cpu/rows_in.h"

#include "compute/cpu/pack_in.h"

#include <assert.h>

/* long: one switch that makes every tile height a constant */
static void tile(const tile_job *t)
{
    switch (t->rows) {
    case 1: tile_of(1, t); return;
    case 2: tile_of(2, t); return;
    case 3: tile_of(3, t); return;
    case 4: tile_of(4, t); return;
    case 5: tile_of(5, t); return;
    case 6: tile_of(6, t); return;
    default: break;
    }
    if (TILE_ROWS <= 6) return;
    switch (t->rows) {
    case 7: tile_of(TILE_ROWS <= 6 ? 1 : 7, t); return;
    case 8: tile_of(TILE_ROWS <= 6 ? 1 : 8, t); return;
    case 9: tile_of(TILE_ROWS <= 6 ? 1 : 9, t); return;
    case 10: tile_of(TILE_ROWS <= 6 ? 1 : 10, t); return;
    case 11: tile_of(TILE_ROWS <= 6 ? 1 : 11, t); return;
    case 12: tile_of(TILE_ROWS <= 6 ? 1 : 12, t); return;
    case 13: tile_of(TILE_ROWS <= 6 ? 1 : 13, t); return;
    default: tile_of(TILE_ROWS, t); return;
    }
}

static void attend(const attend_job *t)
{
    switch (t->rows) {
    case 1: attend_of(1, t); return;
    case 2: attend_of(2, t); return;
    case 3: attend_of(3, t); return;
    case 4: attend_of(4, t); return;
    case 5: attend_of(5, t); return;
    case 6: attend_of(6, t); return;
    default: break;
    }
    if (TILE_ROWS <= 6) return;
    if (t->rows <= 8) attend_of(TILE_ROWS <= 6 ? 1 : 8, t);
    else attend_of(TILE_ROWS, t);
}

static_assert(TASK_COLUMNS % PANEL == 0 && ATTEND_BLOCK % PANEL == 0, "whole panels");
static_assert(TASK_COLUMNS % FEW_PANEL == 0 && (int)FEW_PANEL <= FEW_PANEL_MAX, "whole panels");
static_assert(PANEL % PACK_ROWS == 0 && PACK_ROWS == 16, "a panel is packed in whole groups");

const cpu_kernels KERNELS = {
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
