/* Tests of compute/dtype: every weight format read bit for bit as its makers read it. */
#include "base/file.h"
#include "base/hash.h"
#include "compute/dtype.h"
#include "model/gguf.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char vectors[] = "../shared/data/models/gguf-quant-vectors/quant-vectors.gguf";

static float bits_to_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static uint32_t float_to_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits;
}

/* All 65,536 halves against the definition in doubles (IEEE 754, binary16). */
static void test_every_half(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 1023);
        double sign = h & 0x8000 ? -1 : 1;
        float got = dtype_half_to_f32((uint16_t)h);
        if (exponent == 31 && fraction) {
            assert_true(isnan(got));
        } else if (exponent == 31) {
            assert_true(isinf(got) && (got < 0) == (sign < 0));
        } else {
            double wanted = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
            assert_int_equal(float_to_bits(got), float_to_bits((float)(sign * wanted)));
        }
    }
}

static void test_brain_floats(void **state)
{
    (void)state;
    const uint16_t in[] = {0x3f80, 0xc000, 0x0000, 0x8000, 0x7f80, 0x0001};
    float out[6];
    dtype_to_f32(DTYPE_BF16, out, in, 6);
    for (int i = 0; i < 6; i++) assert_int_equal(float_to_bits(out[i]), (uint32_t)in[i] << 16);
}

static uint64_t mix(uint64_t z)
{
    z *= 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Bytes of a formula against tests/golden/dtype.json (made by tools/golden/make_dtype.py). */
static void test_formula_blocks(void **state)
{
    (void)state;
    json_error_t why;
    json_t *root = json_load_file("tests/golden/dtype.json", 0, &why), *row, *field;
    assert_non_null(root);
    size_t i, k;
    json_t *rows = json_object_get(root, "rows");
    assert_true(json_array_size(rows) == 13);
    json_array_foreach(rows, i, row)
    {
        dtype t = dtype_from_name(json_string_value(json_object_get(row, "type")));
        assert_true(t < DTYPE_COUNT);
        const dtype_info *d = dtype_get(t);
        int64_t blocks = json_integer_value(json_object_get(row, "blocks"));
        size_t n_byte = (size_t)(blocks * d->block_bytes), n = (size_t)(blocks * d->block_size);
        uint8_t *in = malloc(n_byte + 1);
        float *out = malloc(n * sizeof *out);
        assert_true(in && out);
        for (size_t b = 0; b < n_byte; b++) {
            in[b] = (uint8_t)(mix(((uint64_t)d->ggml_type << 32) + b + 1) >> 56);
        }
        json_array_foreach(json_object_get(row, "f16_fields"), k, field)
        {
            for (int64_t b = 0; b < blocks; b++) {
                in[b * d->block_bytes + json_integer_value(field) + 1] &= 0xFB;
            }
        }
        dtype_to_f32(t, out, in, (int64_t)n);
        assert_string_equal(hash_of(out, n * sizeof *out).hex,
                            json_string_value(json_object_get(row, "sha256")));
        /* Unaligned input gives the same. */
        memmove(in + 1, in, n_byte);
        dtype_to_f32(t, out, in + 1, (int64_t)n);
        assert_string_equal(hash_of(out, n * sizeof *out).hex,
                            json_string_value(json_object_get(row, "sha256")));
        free(in);
        free(out);
    }
    json_decref(root);
}

/* Real weights, quantised and read back by ggml itself: TYPE.q must give TYPE.f32. */
static void test_vectors_of_ggml(void **state)
{
    (void)state;
    if (!file_exists(vectors)) {
        printf("skip: %s is absent\n", vectors);
        skip();
    }
    err e = {0};
    arena a;
    file_map m;
    gguf g;
    assert_true(arena_open(&a, 16 << 20, "test", &e));
    assert_true(file_map_open(&m, vectors, ERR_MODEL, &e));
    assert_true(gguf_read(&g, vectors, m.data, m.size, &a, &e));
    static const dtype types[] = {DTYPE_F16,  DTYPE_BF16, DTYPE_Q4_0,   DTYPE_Q4_1,  DTYPE_Q5_0,
                                  DTYPE_Q5_1, DTYPE_Q8_0, DTYPE_Q2_K,   DTYPE_Q3_K,  DTYPE_Q4_K,
                                  DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_IQ4_NL, DTYPE_IQ4_XS};
    for (size_t i = 0; i < countof(types); i++) {
        char name[32], lower[16];
        size_t n = 0;
        for (const char *p = dtype_get(types[i])->name; *p; p++) {
            lower[n++] = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
        }
        lower[n] = 0;
        snprintf(name, sizeof name, "%s.q", lower);
        const gguf_tensor *q = gguf_find_tensor(&g, name);
        snprintf(name, sizeof name, "%s.f32", lower);
        const gguf_tensor *f = gguf_find_tensor(&g, name);
        assert_true(q && f && q->view.type == types[i]);
        int64_t count = tensor_count(&q->view);
        assert_true(count == 2048 && tensor_count(&f->view) == count);
        float got[2048];
        dtype_to_f32(types[i], got, q->view.data, count);
        assert_memory_equal(got, f->view.data, sizeof got);
    }
    file_map_close(&m);
    arena_close(&a);
}

static void test_sizes_and_names(void **state)
{
    (void)state;
    int64_t bytes = 0;
    assert_true(dtype_row_bytes(DTYPE_Q4_K, 512, &bytes) && bytes == 288);
    assert_true(dtype_row_bytes(DTYPE_F32, 0, &bytes) && bytes == 0);
    assert_false(dtype_row_bytes(DTYPE_Q4_K, 255, &bytes));
    assert_false(dtype_row_bytes(DTYPE_Q4_0, -32, &bytes));
    assert_false(dtype_row_bytes(DTYPE_F32, INT64_MAX, &bytes));
    assert_int_equal(dtype_from_ggml(12), DTYPE_Q4_K);
    assert_int_equal(dtype_from_ggml(39), DTYPE_COUNT);
    assert_int_equal(dtype_from_name("BF16"), DTYPE_BF16);
    assert_int_equal(dtype_from_name("bf16"), DTYPE_COUNT);
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const dtype_info *d = dtype_get((dtype)t);
        if (d->ggml_type >= 0) assert_int_equal(dtype_from_ggml((uint32_t)d->ggml_type), t);
        assert_int_equal(dtype_from_name(d->name), t);
    }
    assert_true(bits_to_float(0x3f800000) == 1.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_half),      cmocka_unit_test(test_brain_floats),
        cmocka_unit_test(test_formula_blocks),  cmocka_unit_test(test_vectors_of_ggml),
        cmocka_unit_test(test_sizes_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
