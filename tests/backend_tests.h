/* backend_tests: what the tests of src/compute share: a device with its memory, random tensors, and
 * comparisons. */
#ifndef CASELOAD_TESTS_BACKEND_TESTS_H
#define CASELOAD_TESTS_BACKEND_TESTS_H

#include "base/rng.h"
#include "compute/backend.h"
#include "compute/cpu/cpu.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct place {
    backend b;
    pool *threads;
    arena space, data;
} place;

static inline int n_device(void) { return cpu_has_avx512() ? 2 : cpu_has_avx2() ? 1 : 0; }
static inline const char *device(int d) { return d ? "cpu:avx512" : "cpu:avx2"; }

static inline place place_open_adapter(const char *device, int threads, int32_t rank)
{
    err e = {0};
    place p = {.threads = pool_open(threads, &e)};
    assert_true(backend_open(&p.b, device, p.threads, &e));
    backend_shape shape = {.rows = 300,
                           .d_model = 2048,
                           .d_ff = 2048,
                           .n_vocab = 3000,
                           .head_rows = 37,
                           .n_head = 8,
                           .n_head_kv = 1,
                           .head_dim = 256,
                           .adapter_rank = rank};
    arena plan = ARENA_MEASURE;
    assert_true(backend_lay_out(&p.b, &shape, &plan, &e));
    assert_true(arena_open(&p.space, plan.used, "workspace", &e));
    assert_true(backend_lay_out(&p.b, &shape, &p.space, &e));
    assert_int_equal(p.space.used, plan.used); /* the plan is the allocation */
    assert_true(arena_open(&p.data, (size_t)1 << 30, "test data", &e));
    return p;
}

static inline place place_open(const char *device, int threads)
{
    return place_open_adapter(device, threads, 0);
}

static inline void place_reset(place *p) { arena_reset(&p->data, 0); }

static inline void place_close(place *p)
{
    arena_close(&p->space);
    arena_close(&p->data);
    pool_close(p->threads);
}

static inline float *take(place *p, int64_t n)
{
    err e = {0};
    float *x = arena_take(&p->data, (size_t)n, sizeof *x, &e);
    assert_non_null(x);
    return x;
}

static inline float random_float(rng *r) /* about normal, deviation 1 */
{
    float sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (float)((uint32_t)(rng_next(r) >> 32) >> 8) * 0x1p-24f - 0.5f;
    return sum * 1.7f;
}

static inline tensor randoms(place *p, rng *r, int64_t rows, int64_t columns)
{
    tensor t = tensor_f32(take(p, rows * columns), rows, columns);
    for (int64_t i = 0; i < rows * columns; i++) ((float *)t.data)[i] = random_float(r);
    return t;
}

static inline tensor copy(place *p, tensor t)
{
    size_t n = (size_t)tensor_count(&t);
    float *data = take(p, (int64_t)n);
    memcpy(data, t.data, n * sizeof *data);
    t.data = data;
    return t;
}

static inline tensor rows_of(tensor t, int64_t first, int64_t n)
{
    int64_t width = t.dim[1] * t.dim[2] * t.dim[3];
    t.data = (float *)t.data + first * width;
    t.dim[0] = n;
    return t;
}

static inline void put_half(unsigned char *p, rng *r) /* +-0.016 .. 0.06 */
{
    uint32_t bits = (uint32_t)(rng_next(r) >> 32);
    p[0] = (unsigned char)bits;
    p[1] = (unsigned char)((bits >> 8 & 0x83) | 0x24 | (bits >> 16 & 1) << 3);
}

/* A weight of any type: random codes (extreme ones among them), sane scales. */
static inline tensor weight(place *p, rng *r, dtype type, int64_t rows, int64_t columns)
{
    static const int scale_at[DTYPE_COUNT][2] = {
        [DTYPE_Q4_0] = {0, 0},     [DTYPE_Q4_1] = {0, 2},   [DTYPE_Q5_0] = {0, 0},
        [DTYPE_Q5_1] = {0, 2},     [DTYPE_Q8_0] = {0, 0},   [DTYPE_Q2_K] = {80, 82},
        [DTYPE_Q3_K] = {108, 108}, [DTYPE_Q4_K] = {0, 2},   [DTYPE_Q5_K] = {0, 2},
        [DTYPE_Q6_K] = {208, 208}, [DTYPE_IQ4_NL] = {0, 0}, [DTYPE_IQ4_XS] = {0, 0}};
    const dtype_info *info = dtype_get(type);
    int64_t blocks = rows * columns / info->block_size, bytes = info->block_bytes;
    unsigned char *data = (unsigned char *)take(p, (blocks * bytes + 3) / 4);
    for (int64_t i = 0; i < blocks; i++) {
        unsigned char *block = data + i * bytes;
        float value = random_float(r) * 0.2f;
        uint32_t bits;
        memcpy(&bits, &value, 4);
        if (type == DTYPE_F32) {
            memcpy(block, &value, 4);
        } else if (type == DTYPE_BF16) {
            block[0] = (unsigned char)(bits >> 16), block[1] = (unsigned char)(bits >> 24);
        } else if (type == DTYPE_F16) {
            put_half(block, r);
        } else {
            for (int64_t j = 0; j < bytes; j++)
                block[j] = (unsigned char)(uint32_t)(rng_next(r) >> 32);
            if ((uint32_t)(rng_next(r) >> 32) % 8 == 0)
                memset(block, (uint32_t)(rng_next(r) >> 32) % 2 ? 0xff : 0, (size_t)bytes);
            if (type >= DTYPE_NF4) {
                value *= type >= DTYPE_INT8 ? 0.02f : 1;
                memcpy(block, &value, 4);
                continue;
            }
            put_half(block + scale_at[type][0], r);
            put_half(block + scale_at[type][1], r);
        }
    }
    return (tensor){.data = data, .type = type, .rank = 2, .dim = {rows, columns, 1, 1}};
}

static inline double largest_of(tensor t)
{
    double most = 0;
    float row[4096];
    int64_t bytes = 0;
    assert_true(dtype_row_bytes(t.type, t.dim[1], &bytes) && t.dim[1] <= 4096);
    for (int64_t i = 0; i < t.dim[0]; i++) {
        dtype_to_f32(t.type, row, (unsigned char *)t.data + i * bytes, t.dim[1]);
        for (int64_t j = 0; j < t.dim[1]; j++) most = fmax(most, fabs((double)row[j]));
    }
    return most;
}

/* |a - b| <= absolute + relative |b|, and NaN only where the other is NaN. */
static inline void assert_close_relative(tensor a, tensor b, double absolute, double relative)
{
    assert_int_equal(tensor_count(&a), tensor_count(&b));
    for (int64_t i = 0; i < tensor_count(&a); i++) {
        double x = (double)((float *)a.data)[i], y = (double)((float *)b.data)[i];
        if (fabs(x - y) <= absolute + relative * fabs(y) || x == y) continue;
        fail_msg("value %lld of [%lld, %lld]: %.9g, not %.9g", (long long)i, (long long)a.dim[0],
                 (long long)a.dim[1], x, y);
    }
}

static inline void assert_close(tensor a, tensor b, double absolute)
{
    assert_close_relative(a, b, absolute, 0);
}

/* The same bits, or both not a number. */
static inline void assert_same_numbers(const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(a + i, b + i, 4) == 0 || (isnan(a[i]) && isnan(b[i]))) continue;
        fail_msg("value %lld: %.9g, not %.9g", (long long)i, (double)a[i], (double)b[i]);
    }
}

#endif
