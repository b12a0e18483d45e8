/* b_tile_avx512: shapes of the register tile tried for the matrix product, each checked against a
 * plain loop and timed on packed operands, 512 rows: the winner is in src/compute/cpu/tile_in.h.
 *
 *   version  rows x vectors  sums  loads a step
 *      1        14 x 2        28   2 vectors + 14 broadcasts    the winner: fewest bytes a product
 *      2        12 x 2        24   2 + 12
 *      3         8 x 3        24   3 + 8
 *      4         6 x 4        24   4 + 6
 * All four reach the peak on Zen 4; the first needs least from the second cache level. [--k 576] */
#include "../bench.h"

#include <math.h>

enum { ROWS = 504, COLUMNS = 192 }; /* whole tiles of every version */

typedef void tile_kernel(const float *a, const float *b, float *c, long k);

static inline __attribute__((always_inline)) void
tile(const int rows, const int vectors, const float *a, const float *b, float *c, long k)
{
    __m512 sum[14][4];
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) sum[i][j] = _mm512_setzero_ps();
    }
    for (long p = 0; p < k; p++, a += rows, b += vectors * 16) {
        __m512 w[4];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) w[j] = _mm512_loadu_ps(b + 16 * j);
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            __m512 x = _mm512_set1_ps(a[i]);
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) sum[i][j] = _mm512_fmadd_ps(x, w[j], sum[i][j]);
        }
    }
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) _mm512_storeu_ps(c + i * COLUMNS + 16 * j, sum[i][j]);
    }
}

static void tile_1(const float *a, const float *b, float *c, long k) { tile(14, 2, a, b, c, k); }
static void tile_2(const float *a, const float *b, float *c, long k) { tile(12, 2, a, b, c, k); }
static void tile_3(const float *a, const float *b, float *c, long k) { tile(8, 3, a, b, c, k); }
static void tile_4(const float *a, const float *b, float *c, long k) { tile(6, 4, a, b, c, k); }

static const struct {
    const char *name;
    tile_kernel *run;
    int rows, columns;
} version[] = {{"1: 14 x 32", tile_1, 14, 32},
               {"2: 12 x 32", tile_2, 12, 32},
               {"3: 8 x 48", tile_3, 8, 48},
               {"4: 6 x 64", tile_4, 6, 64}};

static void multiply(int v, const float *a, const float *b, float *c, long k)
{
    for (int column = 0; column < COLUMNS; column += version[v].columns) {
        for (int row = 0; row < ROWS; row += version[v].rows) {
            version[v].run(a + row * k, b + column * k, c + row * COLUMNS + column, k);
        }
    }
}

/* Element (row, column) as a plain sum over the packed operands. */
static double plain(int v, const float *a, const float *b, long k, int row, int column)
{
    int height = version[v].rows, width = version[v].columns;
    a += row / height * height * k + row % height;
    b += column / width * width * k + column % width;
    double sum = 0;
    for (long p = 0; p < k; p++) sum += (double)a[p * height] * (double)b[p * width];
    return sum;
}

int main(int argc, char **argv)
{
    err e = {0};
    long k = atol(option(argc, argv, "--k", "576"));
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx512f")) return printf("skip: no AVX-512 here\n"), 0;
    if (k < 1 || k > 100000) return 2;
    pool *one = pool_open(1, &e);
    float *a = malloc((size_t)(ROWS * k) * 4), *b = malloc((size_t)(COLUMNS * k) * 4);
    float *c = malloc((size_t)ROWS * COLUMNS * 4);
    if (!one || !a || !b || !c) return 5;
    for (long i = 0; i < ROWS * k; i++) a[i] = (float)(i * 7919 % 1000) / 1000 - 0.5f;
    for (long i = 0; i < COLUMNS * k; i++) b[i] = (float)(i * 104729 % 1000) / 1000 - 0.5f;
    for (int v = 0; v < (int)countof(version); v++) {
        multiply(v, a, b, c, k);
        for (int i = 0; i < ROWS; i += 13) {
            double d = plain(v, a, b, k, i, i % COLUMNS) - (double)c[i * COLUMNS + i % COLUMNS];
            if (fabs(d) > 1e-4) return printf("version %s is wrong\n", version[v].name), 1;
        }
        double reached[9], peak = peak_gflops(one, "avx512", 3);
        for (int r = 0; r < 9; r++) {
            double t = seconds_work(1);
            for (int i = 0; i < 10; i++) multiply(v, a, b, c, k);
            reached[r] = 20.0 * ROWS * COLUMNS * (double)k / (seconds_work(1) - t) / 1e9;
        }
        double middle = median(reached, 9);
        report(option(argc, argv, "--csv", NULL), version[v].name, middle, "GFLOP/s",
               middle / peak);
    }
    free(a), free(b), free(c);
    pool_close(one);
    return 0;
}
