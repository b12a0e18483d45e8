/* int16_kernels_in: the kernels of int16_in.h over `vec` and `words`, put into a table called
 * INT16_KERNELS; included by int16_avx2.c and int16_vnni.c after their vec header and words_dot. */
#include "compute/cpu/int16_in.h"

#include "compute/cpu/tile_in.h"

#include "compute/cpu/unpack_in.h"

#include "compute/cpu/block_in.h"
#include "compute/cpu/wide_in.h"

#include "compute/cpu/rows_in.h"

#include <assert.h>

enum { SCALES_AT = 4 }; /* words a value of k before the scales of a panel; leasts: one more */

static int group_of(dtype type)
{
    if (!formats[type].unpack || formats[type].kind == CODE_NF4) return 0;
    const bool sixteens = type == DTYPE_Q2_K || type == DTYPE_Q3_K || type == DTYPE_Q6_K;
    if (dtype_get(type)->block_size % INT16_BLOCK != 0) return 0;
    return sixteens ? INT16_BLOCK / 2 : INT16_BLOCK;
}

static bool has_least(dtype type) { return formats[type].kind == CODE_SHIFTED; }

/* 32 values of up to LANES rows, a row a lane, to v; lanes of no row hold zeros. */
static inline __attribute__((always_inline)) void turn_rows(vec v[INT16_BLOCK],
                                                            const int16_round *t, int64_t k)
{
    for (int p = 0; p < INT16_BLOCK; p += LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            v[p + i] = i < t->rows ? vec_load(t->x + i * t->in + k + p) : vec_zero();
        }
        vec_transpose(v + p);
    }
}

/* One block of all rows of the tile. */
static inline __attribute__((always_inline)) void round_block(const int16_round *t, int64_t k)
{
    vec v[INT16_BLOCK], most = vec_zero(), wrong = vec_zero();
    words sum[2] = {words_all(0), words_all(0)};
    turn_rows(v, t, k);
    for (int i = 0; i < INT16_BLOCK; i++) {
        most = vec_max(vec_max(v[i], vec_sub(vec_zero(), v[i])), most);
        wrong = vec_fma(v[i], vec_zero(), wrong); /* NaN, where one is not finite */
    }
    most = vec_max(most, vec_all(INT16_LEAST));
    const vec scale = vec_add(vec_div(most, vec_all(INT16_MOST)), wrong);
    const vec way = vec_div(vec_all(INT16_MOST), most);
    for (int i = 0; i < INT16_BLOCK; i += 4) {
        words q[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            q[j] = words_rounded(vec_mul(v[i + j], way));
            sum[i / (INT16_BLOCK / 2)] = words_add(sum[i / (INT16_BLOCK / 2)], q[j]);
        }
        uint32_t *to = t->to + (k + i) / 2 * TILE_ROWS;
        for (int j = 0; j < 2; j++) {
            const words pair =
                words_or(words_and(q[j], words_all(0xffff)), words_left(q[j + 2], 16));
            vec_store_part((float *)to + j * TILE_ROWS, words_bits(pair), TILE_ROWS);
        }
    }
    const int64_t at = k / INT16_BLOCK * TILE_ROWS;
    vec_store_part(t->scale + at, scale, TILE_ROWS);
    vec_store_part(t->sum + at, vec_mul(words_float(words_add(sum[0], sum[1])), scale), TILE_ROWS);
    for (int i = 0; i < 2; i++) {
        vec_store_part(t->sum_16 + 2 * at + i * TILE_ROWS, vec_mul(words_float(sum[i]), scale),
                       TILE_ROWS);
    }
}

static void round_rows(const int16_round *t)
{
    for (int64_t k = 0; k < t->in; k += INT16_BLOCK) round_block(t, k);
}

/* Codes as they count: less what their format takes off. */
static inline void take_off(uint32_t *code, dtype type)
{
    const words minus = words_all(0x01010101u * (uint32_t)(256 - wide[type].minus));
#pragma GCC unroll 8
    for (int i = 0; i < 4 * GROUP; i += LANES) {
        words_store(code + i, words_add_bytes(words_load(code + i), minus));
    }
}

static void pack_codes(const pack_job *t, uint32_t *to)
{
    float *scale = (float *)to + SCALES_AT * t->k, *least = scale + t->k;
    for (int64_t p = 0; p < t->k; p += EXPAND_MAX) {
        const int64_t m = t->k - p < EXPAND_MAX ? t->k - p : EXPAND_MAX;
        const int64_t done = bytes_of(t, p), lines = (bytes_of(t, m) / (m / GROUP) + 63) / 64;
        unpack_rows((lanes){to + 4 * p, scale + p, least + p}, t, p, m);
        for (int64_t g = 0; g < m; g += GROUP) {
            fetch_some(later(t, done + g / GROUP * lines * 64, bytes_of(t, m)), lines);
            if (wide[t->type].minus) take_off(to + 4 * (p + g), t->type);
        }
    }
}

/* Where vector j of the tile's outputs is in its panel. */
static inline const uint32_t *panel_of(const int16_job *t, int j)
{
    return t->panel + j / SIXTEEN * INT16_WORDS * t->to.k + j % SIXTEEN * LANES;
}

/* sum [rows][PANEL] += what the leasts add. */
static inline __attribute__((always_inline)) void least_sums(const int rows, const int16_job *t,
                                                             float *sum)
{
    vec acc[ROWS_WRITTEN][2];
    const int step = t->group / GROUP;
    const float *x = step == 1 ? t->x_sum_16 : t->x_sum;
    const float *least[2] = {(const float *)panel_of(t, 0) + (SCALES_AT + 1) * t->to.k,
                             (const float *)panel_of(t, 1) + (SCALES_AT + 1) * t->to.k};
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) acc[i][0] = acc[i][1] = vec_zero();
    for (int64_t g = 0; g < t->to.k; g += t->group, x += TILE_ROWS) {
        const vec l[2] = {vec_load(least[0] + g), vec_load(least[1] + g)};
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            acc[i][0] = vec_fma(vec_all(x[i]), l[0], acc[i][0]);
            acc[i][1] = vec_fma(vec_all(x[i]), l[1], acc[i][1]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        float *to = sum + i * PANEL;
        vec_store(to, vec_add(vec_load(to), acc[i][0]));
        vec_store(to + LANES, vec_add(vec_load(to + LANES), acc[i][1]));
    }
}

/* acc += pairs of x, both products of each, times a vector of words for each half of the panel. */
static inline __attribute__((always_inline)) void
dot_step(words acc[ROWS_WRITTEN][2], const int rows, const uint32_t *x, words w0, words w1)
{
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        const words pair = words_all(x[i]);
        acc[i][0] = words_dot(acc[i][0], pair, w0);
        acc[i][1] = words_dot(acc[i][1], pair, w1);
    }
}

/* sum [rows][PANEL] += the products of codes. */
static inline __attribute__((always_inline)) void code_sums(const int rows, const int group,
                                                            const int16_job *t, float *sum)
{
    const uint32_t *x = t->x, *code[2] = {panel_of(t, 0), panel_of(t, 1)};
    const float *scale[2] = {(const float *)code[0] + SCALES_AT * t->to.k,
                             (const float *)code[1] + SCALES_AT * t->to.k};
    for (int64_t g = 0; g < t->to.k; g += group) {
        words acc[ROWS_WRITTEN][2];
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) acc[i][0] = acc[i][1] = words_all(0);
        for (int p = 0; p < group; p += 4, x += 2 * TILE_ROWS) {
            const words c0 = words_load(code[0]), c1 = words_load(code[1]);
            code[0] += GROUP, code[1] += GROUP;
            dot_step(acc, rows, x, words_even_bytes(c0), words_even_bytes(c1));
            dot_step(acc, rows, x + TILE_ROWS, words_odd_bytes(c0), words_odd_bytes(c1));
        }
        const vec s[2] = {vec_load(scale[0] + g), vec_load(scale[1] + g)};
        const float *x_scale = t->x_scale + g / INT16_BLOCK * TILE_ROWS;
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            const vec by = vec_all(x_scale[i]);
            float *to = sum + i * PANEL;
            vec_store(to, vec_fma(words_float(acc[i][0]), vec_mul(s[0], by), vec_load(to)));
            to += LANES;
            vec_store(to, vec_fma(words_float(acc[i][1]), vec_mul(s[1], by), vec_load(to)));
        }
    }
}

/* What the adapter adds. */
static inline void more_sums(const int rows, const tile_job *t, float *sum)
{
    const operands more = {t->a2, t->b2, t->k2, PANEL};
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < PANEL; j += LANES) {
            vec acc = vec_load(sum + i * PANEL + j);
            for (int64_t p = 0; p < more.k; p++) {
                acc = vec_fma(vec_all(more.a[p * TILE_ROWS + i]), vec_load(more.b + p * PANEL + j),
                              acc);
            }
            vec_store(sum + i * PANEL + j, acc);
        }
    }
}

static inline __attribute__((always_inline)) void int16_of(const int rows, const int16_job *t)
{
    float sum[TILE_ROWS * PANEL] __attribute__((aligned(64)));
    memset(sum, 0, sizeof *sum * (size_t)rows * PANEL);
    if (t->group == INT16_BLOCK) code_sums(rows, INT16_BLOCK, t, sum);
    else code_sums(rows, INT16_BLOCK / 2, t, sum);
    if (t->has_least) least_sums(rows, t, sum);
    if (t->to.k2 > 0) more_sums(t->to.rows, &t->to, sum);
    tile_end(t->to.rows, t->to.columns > LANES ? 2 : 1, sum, PANEL, &t->to);
}

/* Rows that are not there hold zeros, and are not written. */
static void int16_tile(const int16_job *t)
{
    const int rows = t->to.rows;
    if (rows == 1) int16_of(1, t);
    else if (rows == 2) int16_of(2, t);
    else if (rows <= 4) int16_of(4, t);
    else if (TILE_ROWS <= 6) int16_of(TILE_ROWS <= 6 ? TILE_ROWS : 1, t);
    else if (rows <= 6) int16_of(TILE_ROWS <= 6 ? 1 : 6, t);
    else if (rows <= 8) int16_of(TILE_ROWS <= 6 ? 1 : 8, t);
    else if (rows <= 10) int16_of(TILE_ROWS <= 6 ? 1 : 10, t);
    else if (rows <= 12) int16_of(TILE_ROWS <= 6 ? 1 : 12, t);
    else int16_of(TILE_ROWS, t);
}

#include "compute/cpu/int16_one_in.h"

static_assert(INT16_WORDS * INT16_K / PACK_ROWS <= K_BLOCK_MAX, "a task's panels have room");
static_assert(INT16_BLOCK % LANES == 0 && INT16_BLOCK == 2 * GROUP && PANEL == 2 * LANES, "");
static_assert(INT16_WORDS == SCALES_AT + 2, "a panel's codes, scales and leasts");

const int16_kernels INT16_KERNELS = {
    .group = group_of,
    .has_least = has_least,
    .round = round_rows,
    .pack = pack_codes,
    .tile = int16_tile,
    .one = one,
    .round_one = round_one,
};
