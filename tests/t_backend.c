/* Tests of src/compute: every op on every path against ref, on odd, prime, one and empty shapes;
 * every stored type; the promise that a row's bits do not depend on its neighbours, the row count
 * or the threads. Attention and the answer head: t_attend.c. */
#include "backend_tests.h"
#include "compute/weave.h"

static const int64_t widths[] = {1, 2, 7, 16, 31, 64, 97, 320, 576};

static void test_unknown_device(void **state)
{
    (void)state;
    err e = {0};
    pool *p = pool_open(1, &e);
    backend b;
    assert_false(backend_open(&b, "gpu", p, &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_non_null(strstr(e.text, "unknown device \"gpu\""));
    e = (err){0};
    assert_true(backend_open(&b, "cpu", p, &e));
    assert_true(backend_sync(&b, &e));
    pool_close(p);
}

/* All values a byte pattern can hold, through the embedding: the bits of dtype_to_f32. */
static void test_expand_bits(void **state)
{
    (void)state;
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 1);
        rng r = rng_for(1, 2, 3);
        for (int type = 0; type < DTYPE_I32; type++) {
            for (int64_t blocks = 1; blocks <= 5; blocks += 2) {
                int64_t n = blocks * dtype_get((dtype)type)->block_size * (type < 3 ? 23 : 1);
                enum { ROWS = 40 };
                tensor w = weight(&p, &r, (dtype)type, ROWS, n);
                int64_t bytes = 0;
                assert_true(dtype_row_bytes((dtype)type, n, &bytes));
                unsigned char *raw = w.data;
                for (int64_t i = 0; i < bytes * ROWS / 2; i++)
                    raw[i] = (unsigned char)(uint32_t)rng_next(&r);
                tensor y = tensor_f32(take(&p, ROWS * n), ROWS, n);
                float *want = take(&p, n);
                int32_t ids[ROWS];
                for (int i = 0; i < ROWS; i++) ids[i] = ROWS - 1 - i;
                op_embed(&p.b, y, w, ids, 1);
                for (int i = 0; i < ROWS; i++) {
                    dtype_to_f32((dtype)type, want, raw + bytes * ids[i], n);
                    assert_same_numbers((float *)y.data + i * n, want, n);
                }
            }
        }
        place_close(&p);
    }
}

/* Rows of the identity pick out weights: every packed value of every type is the stored one. */
static void test_packed_values(void **state)
{
    (void)state;
    static const int64_t outs[] = {1, 15, 16, 17, 32, 61};
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2);
        rng r = rng_for(1, 2, 3);
        for (int type = 0; type < DTYPE_I32; type++) {
            int64_t out = outs[type % 6], in = dtype_get((dtype)type)->block_size == 1 ? 261 : 256;
            tensor w = weight(&p, &r, (dtype)type, out, in), x = randoms(&p, &r, in, in);
            tensor y = randoms(&p, &r, in, out);
            for (int64_t i = 0; i < in * in; i++) ((float *)x.data)[i] = i / in == i % in;
            op_matmul(&p.b, y, x, w, NULL, false);
            float row[261];
            for (int64_t o = 0; o < out; o++) {
                int64_t bytes = 0;
                assert_true(dtype_row_bytes((dtype)type, in, &bytes));
                dtype_to_f32((dtype)type, row, (unsigned char *)w.data + o * bytes, in);
                for (int64_t i = 0; i < in; i++) {
                    assert_true(((float *)y.data)[i * out + o] == row[i]);
                }
            }
            place_reset(&p);
        }
        place_close(&p);
    }
}

static void test_matmul_against_ref(void **state)
{
    (void)state;
    static const int64_t rows[] = {1, 2, 3, 5, 8, 13, 14, 15, 29, 64};
    static const int64_t outs[] = {1, 3, 31, 32, 33, 64, 65, 192, 130};
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2), q = place_open("ref", 2);
        rng r = rng_for(4, 5, 6);
        for (size_t c = 0; c < 60; c++) {
            int64_t n = rows[c % countof(rows)], out = outs[c % countof(outs)];
            dtype type = (dtype)(c % DTYPE_I32);
            int64_t unit = dtype_get(type)->block_size;
            int64_t in =
                unit == 1
                    ? 1 + (int64_t)((uint32_t)rng_next(&r) % 1500)
                    : unit * (1 + (int64_t)((uint32_t)rng_next(&r) % (2000 / (uint32_t)unit)));
            tensor w = weight(&p, &r, type, out, in), x = randoms(&p, &r, n, in);
            tensor bias = weight(&p, &r, c % 2 ? DTYPE_F32 : DTYPE_BF16, 1, out);
            bias.rank = 1, bias.dim[0] = out, bias.dim[1] = 1;
            tensor y = randoms(&p, &r, n, out), z = copy(&p, y);
            op_matmul(&p.b, y, x, w, c % 3 ? &bias : NULL, c % 4 == 0);
            op_matmul(&q.b, z, x, w, c % 3 ? &bias : NULL, c % 4 == 0);
            assert_close(y, z, 4e-6 * (1 + sqrt((double)in)) * largest_of(w) * 3);
            place_reset(&p), place_reset(&q);
        }
        place_close(&p), place_close(&q);
    }
}

/* One step of 61 rows in a group of three weights, against single rows, pairs, other threads. */
static void test_matmul_rows_stand_alone(void **state)
{
    (void)state;
    static const int64_t ins[] = {1, 33, 576, 1536, 2048};
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2), one = place_open(device(d), 1),
              three = place_open(device(d), 3);
        place *places[3] = {&p, &one, &three};
        rng r = rng_for(7, 8, 9);
        for (size_t c = 0; c < countof(ins); c++) {
            enum { N = 61 };
            dtype type = ins[c] % 256 == 0 ? DTYPE_Q6_K : ins[c] % 32 == 0 ? DTYPE_Q4_1 : DTYPE_F16;
            static const int64_t outs[3] = {192, 37, 64};
            matmul_part part[3];
            tensor x = randoms(&p, &r, N, ins[c]);
            for (int i = 0; i < 3; i++) {
                tensor y = randoms(&p, &r, N, outs[i]);
                part[i] = (matmul_part){.y = y, .w = weight(&p, &r, type, outs[i], ins[c])};
            }
            op_matmul_group(&p.b, x, part, 3);
            for (int i = 0; i < 3; i++) {
                tensor y = randoms(&p, &r, N, outs[i]);
                for (int64_t first = 0, n = 1; first < N;
                     first += n, n = 1 + (uint32_t)rng_next(&r) % 17) {
                    if (n > N - first) n = N - first;
                    place *at = places[n % 3];
                    op_matmul(&at->b, rows_of(y, first, n), rows_of(x, first, n), part[i].w, NULL,
                              false);
                }
                assert_memory_equal(y.data, part[i].y.data, (size_t)(N * outs[i]) * 4);
            }
            place_reset(&p);
        }
        place_close(&p), place_close(&one), place_close(&three);
    }
}

/* Few rows meet the weights as they are unpacked; every type gives the bits of the packed product,
 * over several k blocks and over outputs that fill no panel. */
static void test_few_rows_are_the_same_bits(void **state)
{
    (void)state;
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2);
        rng r = rng_for(7, 8, 10);
        for (int t = 0; t < DTYPE_I32; t++) {
            enum { N = 9 };
            const int64_t unit = dtype_get((dtype)t)->block_size, outs[3] = {16, 37, 130};
            const int64_t in = unit > 64 ? 7 * unit : 28 * 64;
            tensor x = randoms(&p, &r, N, in), bias = randoms(&p, &r, 1, 130);
            bias.rank = 1, bias.dim[1] = 1;
            for (int i = 0; i < 3; i++) {
                tensor w = weight(&p, &r, (dtype)t, outs[i], in),
                       start = randoms(&p, &r, N, outs[i]);
                tensor y = copy(&p, start);
                bias.dim[0] = outs[i];
                op_matmul(&p.b, y, x, w, &bias, true);
                for (int64_t n = 1; n <= 5; n++) {
                    tensor few = rows_of(copy(&p, start), N - n, n);
                    op_matmul(&p.b, few, rows_of(x, N - n, n), w, &bias, true);
                    assert_memory_equal(few.data, rows_of(y, N - n, n).data,
                                        (size_t)(n * outs[i]) * 4);
                }
            }
            place_reset(&p);
        }
        place_close(&p);
    }
}

/* A woven weight gives the bits of the same rows as they are stored: to products of any number of
 * rows, over several k blocks and outputs that are no whole sixteen, to embedding and head. */
static void test_woven_weights_are_the_same_bits(void **state)
{
    (void)state;
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2);
        rng r = rng_for(7, 8, 11);
        int woven = 0;
        for (int t = 0; t < DTYPE_I32; t++) {
            enum { N = 9 };
            if (!backend_weaves(&p.b, (dtype)t)) continue;
            woven++;
            const int64_t unit = dtype_get((dtype)t)->block_size, outs[4] = {5, 16, 37, 130};
            const int64_t in = unit > 64 ? 7 * unit : 28 * 64;
            int64_t bytes = 0;
            assert_true(dtype_row_bytes((dtype)t, in, &bytes));
            tensor x = randoms(&p, &r, N, in);
            for (int i = 0; i < 4; i++) {
                const int64_t out = outs[i];
                const tensor w = weight(&p, &r, (dtype)t, out, in);
                tensor v = w, y = randoms(&p, &r, N, out), z = copy(&p, y);
                backend_weave(&p.b, &v, take(&p, (bytes * out + 3) / 4));
                assert_true(v.woven && v.data != w.data);
                for (int64_t n = 1; n <= N; n += n < 5 ? 1 : 4) {
                    op_matmul(&p.b, rows_of(y, 0, n), rows_of(x, 0, n), w, NULL, n % 2);
                    op_matmul(&p.b, rows_of(z, 0, n), rows_of(x, 0, n), v, NULL, n % 2);
                    assert_memory_equal(y.data, z.data, (size_t)(N * out) * 4);
                }
                tensor a = tensor_f32(take(&p, 3 * in), 3, in), b = copy(&p, a);
                const int32_t ids[3] = {(int32_t)(out - 1), 0, (int32_t)(out / 2)};
                op_embed(&p.b, a, w, ids, 1);
                op_embed(&p.b, b, v, ids, 1);
                assert_memory_equal(a.data, b.data, (size_t)(3 * in) * 4);
                const int64_t pick_start[3] = {0, 1, 2};
                const int32_t pick[2] = {0, (int32_t)(out - 1)};
                const head_request want = {.pick_start = pick_start, .pick_id = pick, .n_top = 2};
                double sum[2][2];
                float logit[2][2], top[2][4];
                int32_t id[2][4];
                for (int k = 0; k < 2; k++) {
                    head_result got = {sum[k], logit[k], id[k], top[k]};
                    op_head(&p.b, rows_of(x, 0, 2), k ? v : w, &want, &got);
                }
                assert_memory_equal(sum[0], sum[1], sizeof sum[0]);
                assert_memory_equal(logit[0], logit[1], sizeof logit[0]);
                assert_memory_equal(id[0], id[1], sizeof id[0]);
            }
            place_reset(&p);
        }
        assert_int_equal(woven, 16);
        place_close(&p);
    }
}

static void test_matmul_of_no_rows(void **state)
{
    (void)state;
    place p = place_open("cpu", 1);
    rng r = rng_for(1, 1, 1);
    tensor w = weight(&p, &r, DTYPE_Q8_0, 5, 64), x = randoms(&p, &r, 0, 64);
    op_matmul(&p.b, randoms(&p, &r, 0, 5), x, w, NULL, false);
    op_add(&p.b, x, x);
    op_glu(&p.b, x, x, x, GLU_SILU);
    place_close(&p);
}

static void test_rmsnorm(void **state)
{
    (void)state;
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2), q = place_open("ref", 1);
        rng r = rng_for(2, 2, 2);
        for (size_t c = 0; c < countof(widths); c++) {
            int64_t n = 1 + (uint32_t)rng_next(&r) % 70, m = widths[c];
            tensor x = randoms(&p, &r, n, m), y = randoms(&p, &r, n, m), z = copy(&p, y);
            tensor w = weight(&p, &r, c % 2 ? DTYPE_BF16 : DTYPE_F32, 1, m);
            w.rank = 1, w.dim[0] = m, w.dim[1] = 1;
            op_rmsnorm(&p.b, y, x, w, 1e-6f, c % 3 == 0);
            op_rmsnorm(&q.b, z, x, w, 1e-6f, c % 3 == 0);
            assert_close(y, z, 3e-6 * largest_of(z));
            tensor one = copy(&p, rows_of(x, n / 2, 1)); /* alone, in place */
            op_rmsnorm(&p.b, one, one, w, 1e-6f, c % 3 == 0);
            assert_memory_equal(one.data, (float *)y.data + n / 2 * m, (size_t)m * 4);
        }
        place_close(&p), place_close(&q);
    }
}

static void test_rope(void **state)
{
    (void)state;
    static const int64_t dims[] = {2, 6, 8, 10, 16, 32, 64, 80, 96, 128, 256};
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2), q = place_open("ref", 1);
        rng r = rng_for(3, 2, 1);
        for (size_t c = 0; c < 2 * countof(dims); c++) {
            int64_t hd = dims[c / 2], n = 1 + (uint32_t)rng_next(&r) % 40,
                    h = 1 + (uint32_t)rng_next(&r) % 5;
            tensor x = randoms(&p, &r, n, h * hd);
            x.rank = 3, x.dim[1] = h, x.dim[2] = hd;
            int64_t turned = c % 3 && hd > 2 ? hd : 2 * ((hd + 3) / 4); /* whole heads, or a part */
            tensor z = copy(&p, x), table = randoms(&p, &r, 50, turned);
            int32_t positions[64];
            for (int i = 0; i < n; i++) positions[i] = (int32_t)((uint32_t)rng_next(&r) % 50);
            op_rope(&p.b, x, positions, table, c % 2 ? ROPE_PAIRS : ROPE_HALVES);
            op_rope(&q.b, z, positions, table, c % 2 ? ROPE_PAIRS : ROPE_HALVES);
            assert_close(x, z, 2e-6);
        }
        place_close(&p), place_close(&q);
    }
}

static void test_glu(void **state)
{
    (void)state;
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2), q = place_open("ref", 1);
        rng r = rng_for(3, 3, 3);
        for (size_t c = 0; c < 2 * countof(widths); c++) {
            int64_t n = 1 + (uint32_t)rng_next(&r) % 70, m = widths[c / 2];
            tensor g = randoms(&p, &r, n, m), u = randoms(&p, &r, n, m);
            op_add(&p.b, g, copy(&p, g)); /* a wider range: both tails of the gates */
            for (int64_t i = 0; i < n * m; i += 5) ((float *)g.data)[i] *= 20;
            tensor y = copy(&p, g), z = copy(&p, g);
            op_glu(&p.b, y, y, u, c % 2 ? GLU_SILU : GLU_GELU_TANH);
            op_glu(&q.b, z, z, u, c % 2 ? GLU_SILU : GLU_GELU_TANH);
            assert_close_relative(y, z, 2e-6, 1e-6);
            tensor one = rows_of(g, n - 1, 1);
            op_glu(&p.b, one, one, rows_of(u, n - 1, 1), c % 2 ? GLU_SILU : GLU_GELU_TANH);
            assert_memory_equal(one.data, (float *)y.data + (n - 1) * m, (size_t)m * 4);
        }
        place_close(&p), place_close(&q);
    }
}

static void test_add_gather_embed(void **state)
{
    (void)state;
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2), q = place_open("ref", 1);
        rng r = rng_for(5, 5, 5);
        for (size_t c = 0; c < countof(widths); c++) {
            int64_t n = 1 + (uint32_t)rng_next(&r) % 200, m = widths[c];
            tensor x = randoms(&p, &r, n, m), y = randoms(&p, &r, n, m), z = copy(&p, y);
            op_add(&p.b, y, x), op_add(&q.b, z, x);
            assert_close(y, z, 0);
            int32_t rows[200];
            for (int i = 0; i < n; i++) rows[i] = (int32_t)((uint32_t)rng_next(&r) % (uint32_t)n);
            op_gather(&p.b, y, x, rows), op_gather(&q.b, z, x, rows);
            assert_close(y, z, 0);
            op_embed(&p.b, y, x, rows, 1.5f), op_embed(&q.b, z, x, rows, 1.5f);
            assert_close(y, z, 0);
        }
        place_close(&p), place_close(&q);
    }
}

/* Infinities and NaN go through without harm to the program or to other rows. */
static void test_not_numbers(void **state)
{
    (void)state;
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f};
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2);
        rng r = rng_for(6, 6, 6);
        tensor x = randoms(&p, &r, 30, 96), w = weight(&p, &r, DTYPE_Q4_0, 40, 96);
        tensor y = randoms(&p, &r, 30, 40), z = randoms(&p, &r, 30, 40);
        op_matmul(&p.b, y, x, w, NULL, false);
        for (int i = 0; i < 96; i++) ((float *)x.data)[11 * 96 + i] = odd[i % 6];
        op_matmul(&p.b, z, x, w, NULL, false);
        for (int i = 0; i < 30; i++) {
            if (i == 11) continue;
            assert_memory_equal((float *)y.data + i * 40, (float *)z.data + i * 40, 160);
        }
        assert_true(isnan(((float *)z.data)[11 * 40]));
        tensor g = copy(&p, x);
        op_glu(&p.b, g, g, x, GLU_SILU);
        assert_true(isnan(((float *)g.data)[11 * 96]));
        op_glu(&p.b, g, x, x, GLU_GELU_TANH);
        assert_true(isnan(((float *)g.data)[11 * 96]));
        place_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_device),
        cmocka_unit_test(test_expand_bits),
        cmocka_unit_test(test_packed_values),
        cmocka_unit_test(test_matmul_against_ref),
        cmocka_unit_test(test_matmul_rows_stand_alone),
        cmocka_unit_test(test_few_rows_are_the_same_bits),
        cmocka_unit_test(test_woven_weights_are_the_same_bits),
        cmocka_unit_test(test_matmul_of_no_rows),
        cmocka_unit_test(test_rmsnorm),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_glu),
        cmocka_unit_test(test_add_gather_embed),
        cmocka_unit_test(test_not_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
