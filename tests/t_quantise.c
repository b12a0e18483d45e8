/* Numbers into stored formats: rounding of halves and bfloats against what they stand for, blocks
 * that a format holds exactly, errors against llama.cpp's own quantiser on the same numbers
 * (tests/golden/quantise.json), blocks of hostile numbers. */
#include "base/rng.h"
#include "compute/quantise.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const dtype formats[] = {DTYPE_F16,  DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q6_K, DTYPE_Q5_K,
                                DTYPE_Q4_K, DTYPE_Q5_1, DTYPE_Q5_0, DTYPE_Q4_1, DTYPE_Q4_0};

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static void test_halves(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        const float x = dtype_half_to_f32((uint16_t)h);
        if (isnan(x)) continue;
        assert_int_equal(quantise_half(x), h);
        const uint32_t magnitude = h & 0x7fff;
        if (magnitude >= 0x7bff) continue; /* the largest number, and infinity */
        const float y = dtype_half_to_f32((uint16_t)(h + 1)), middle = (x + y) / 2;
        assert_int_equal(quantise_half(middle), h & 1 ? h + 1 : h); /* ties to even */
        assert_int_equal(quantise_half(nextafterf(middle, x)), h);
        assert_int_equal(quantise_half(nextafterf(middle, y)), h + 1);
    }
    assert_int_equal(quantise_half(65519.996f), 0x7bff);
    assert_int_equal(quantise_half(65520), 0x7c00);
    assert_int_equal(quantise_half(INFINITY), 0x7c00);
    assert_true(isnan(dtype_half_to_f32(quantise_half(NAN))));
}

static void test_bfloats(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7f80; h++) {
        assert_int_equal(quantise_bfloat(float_of(h << 16)), h);
        assert_int_equal(quantise_bfloat(float_of(h << 16 | 0x8000)), h & 1 ? h + 1 : h);
        assert_int_equal(quantise_bfloat(float_of(h << 16 | 0x7fff)), h);
        assert_int_equal(quantise_bfloat(float_of(h << 16 | 0x8001)), h + 1);
    }
    uint16_t nan = quantise_bfloat(NAN);
    assert_true(isnan(float_of((uint32_t)nan << 16)));
}

/* Known answers: d = 1/2, every code there is. */
static void test_known_blocks(void **state)
{
    (void)state;
    uint8_t out[256];
    float x[256];
    for (int i = 0; i < 32; i++) x[i] = 0.5f * (float)(i % 16 - 8);
    quantise(DTYPE_Q4_0, out, x, 32);
    assert_int_equal(out[0] | out[1] << 8, 0x3800);
    for (int i = 0; i < 16; i++) assert_int_equal(out[2 + i], i | i << 4);
    for (int i = 0; i < 32; i++) x[i] = 0.5f * (float)(i % 16) - 3;
    quantise(DTYPE_Q4_1, out, x, 32);
    assert_int_equal(out[0] | out[1] << 8, 0x3800);
    assert_int_equal(out[2] | out[3] << 8, 0xc200);
    for (int i = 0; i < 16; i++) assert_int_equal(out[4 + i], i | i << 4);
    for (int i = 0; i < 32; i++) x[i] = 0.5f * (float)(8 * i - 121);
    quantise(DTYPE_Q8_0, out, x, 32);
    x[31] = 0.5f * 127;
    quantise(DTYPE_Q8_0, out, x, 32);
    assert_int_equal(out[0] | out[1] << 8, 0x3800);
    for (int i = 0; i < 32; i++) assert_int_equal((int8_t)out[2 + i], i < 31 ? 8 * i - 121 : 127);
}

/* What a format can hold comes back nearly as it was: another scale may serve the same codes, but
 * rounding twice must cost far less than rounding once. */
static void test_twice(void **state)
{
    (void)state;
    rng r = rng_for(1, 2, 3);
    uint8_t block[512];
    float x[256], y[256], z[256];
    for (size_t f = 0; f < countof(formats); f++) {
        const dtype_info *info = dtype_get(formats[f]);
        const int n = info->block_size == 1 ? 256 : info->block_size;
        double once = 0, twice = 0;
        for (int k = 0; k < 200; k++) {
            for (int i = 0; i < n; i++) x[i] = (float)(rng_unit(&r) - 0.5);
            quantise(formats[f], block, x, n);
            dtype_to_f32(formats[f], y, block, n);
            quantise(formats[f], block, y, n);
            dtype_to_f32(formats[f], z, block, n);
            for (int i = 0; i < n; i++) {
                once += pow((double)x[i] - (double)y[i], 2);
                twice += pow((double)y[i] - (double)z[i], 2);
            }
        }
        print_message("%s: rounding twice adds %.3f of the first error\n", info->name,
                      sqrt(twice / once));
        assert_true(twice <= 0.09 * once);
    }
}

static void test_hostile(void **state)
{
    (void)state;
    static const float big[] = {0, 1e-38f, 1e-8f, 6e-8f, 1, 60000, 1e30f, 3e38f};
    uint8_t block[512];
    float x[256], y[256];
    for (size_t f = 0; f < countof(formats); f++) {
        for (size_t b = 0; b < countof(big); b++) {
            for (int kind = 0; kind < 4; kind++) {
                for (int i = 0; i < 256; i++) {
                    x[i] = kind == 0   ? big[b]
                           : kind == 1 ? -big[b]
                           : kind == 2 ? (i == 77 ? big[b] : 0)
                                       : (i % 2 ? big[b] : -big[b]);
                }
                const int n = dtype_get(formats[f])->block_size == 256 ? 256 : 32;
                quantise(formats[f], block, x, n);
                dtype_to_f32(formats[f], y, block, n);
                for (int i = 0; i < n && big[b] <= 60000; i++) {
                    assert_true(isfinite(y[i]));
                    assert_true(fabsf(y[i] - x[i]) <= 0.07f * big[b] + 1e-6f);
                }
            }
        }
    }
}

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* The numbers of tools/golden/make_quantise.py: sums of `terms` 24-bit units around 0. */
static void fill(float *x, int64_t n, uint64_t seed, int terms)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int k = 0; k < terms; k++) {
            uint64_t word = mix(seed + (uint64_t)(i * terms + k + 1) * 0x9E3779B97F4A7C15u);
            sum += (double)(word >> 40) / 16777216.0 - 0.5;
        }
        x[i] = (float)(sum * 0.125);
    }
}

static void test_against_llama_cpp(void **state)
{
    (void)state;
    json_error_t why;
    json_t *root = json_load_file("tests/golden/quantise.json", 0, &why);
    assert_non_null(root);
    const int64_t n = json_integer_value(json_object_get(root, "n"));
    const uint64_t seed = (uint64_t)json_integer_value(json_object_get(root, "seed"));
    float *x = test_malloc((size_t)n * sizeof *x), *y = test_malloc((size_t)n * sizeof *y);
    void *out = test_malloc((size_t)n * 4);
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(root, "rows"), i, row)
    {
        const dtype t = dtype_from_name(json_string_value(json_object_get(row, "type")));
        assert_true(quantise_knows(t));
        const int terms = (int)json_integer_value(json_object_get(row, "terms"));
        fill(x, n, seed, terms);
        quantise(t, out, x, n);
        dtype_to_f32(t, y, out, n);
        double off = 0;
        for (int64_t k = 0; k < n; k++) off += pow((double)x[k] - (double)y[k], 2);
        const double ours = sqrt(off / (double)n),
                     theirs = json_number_value(json_object_get(row, "rmse"));
        print_message("%-5s of %2d terms: error %.4g, llama.cpp %.4g, ratio %.4f\n",
                      dtype_get(t)->name, terms, ours, theirs, ours / theirs);
        assert_true(ours <= theirs * (1 + 1e-9));
    }
    test_free(x);
    test_free(y);
    test_free(out);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_halves),       cmocka_unit_test(test_bfloats),
        cmocka_unit_test(test_known_blocks), cmocka_unit_test(test_twice),
        cmocka_unit_test(test_hostile),      cmocka_unit_test(test_against_llama_cpp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
