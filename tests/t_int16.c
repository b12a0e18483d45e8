/* Tests of the precision cpu:int16 (compute/cpu/int16_in.h): products and the answer head against
 * plain C of the same integers, bit for bit, for every stored type it takes, on odd, prime and
 * one-row sizes; the error against float32; rows that stand alone; what is not finite; other types
 * and adapters as in float32. */
#include "backend_tests.h"
#include "compute/weave.h"

#include <stdlib.h>

enum { BLOCK = 32 };

static int n_int16(void) { return cpu_has_vnni() ? 2 : cpu_has_avx2() ? 1 : 0; }
static const char *int16_device(int d) { return d ? "cpu:avx512:int16" : "cpu:avx2:int16"; }
static const char *float_device(int d) { return d ? "cpu:avx512" : "cpu:avx2"; }

static bool is_taken(dtype t)
{
    return dtype_get(t)->block_size % BLOCK == 0 && t != DTYPE_NF4 && !dtype_is_raw(t);
}

static int group_of(dtype t)
{
    return t == DTYPE_Q2_K || t == DTYPE_Q3_K || t == DTYPE_Q6_K ? BLOCK / 2 : BLOCK;
}

/* Scales, leasts and codes of a row, from what dtype.c says of the format and the floats the row
 * stands for: nothing here is shared with the kernels. */
typedef struct stored {
    float scale[2048 / 16], least[2048 / 16];
    int code[2048];
} stored;

static float half(const unsigned char *p)
{
    return dtype_half_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static int six_bits(const unsigned char *s, int j, bool least) /* scale or least j of Q4_K, Q5_K */
{
    if (j < 4) return s[j + (least ? 4 : 0)] & 63;
    const int low = least ? s[j + 4] >> 4 : s[j + 4] & 15;
    return low | s[j - (least ? 0 : 4)] >> 6 << 4;
}

/* Scale and least of sixteen values `g` of a block. */
static void scales_of(dtype type, const unsigned char *p, int g, float *scale, float *least)
{
    *least = 0;
    switch (type) {
    case DTYPE_Q4_1:
    case DTYPE_Q5_1: *scale = half(p), *least = half(p + 2); break;
    case DTYPE_Q2_K:
        *scale = half(p + 80) * (float)(p[g] & 15), *least = -(half(p + 82) * (float)(p[g] >> 4));
        break;
    case DTYPE_Q3_K: {
        const unsigned char *s = p + 96;
        const int low = s[g % 8] >> 4 * (g / 8) & 15, high = s[8 + g % 4] >> 2 * (g / 4) & 3;
        *scale = half(p + 108) * (float)((low | high << 4) - 32);
        break;
    }
    case DTYPE_Q4_K:
    case DTYPE_Q5_K:
        *scale = half(p) * (float)six_bits(p + 4, g / 2, false);
        *least = -(half(p + 2) * (float)six_bits(p + 4, g / 2, true));
        break;
    case DTYPE_Q6_K: *scale = half(p + 208) * (float)(int8_t)p[192 + g]; break;
    case DTYPE_IQ4_XS: {
        const int low = p[4 + g / 4] >> 4 * (g / 2 % 2) & 15,
                  high = (p[2] | p[3] << 8) >> g / 2 * 2;
        *scale = half(p) * (float)((low | (high & 3) << 4) - 32);
        break;
    }
    case DTYPE_INT8: memcpy(scale, p, 4); break;
    default: *scale = half(p); break;
    }
}

static void read_row(stored *s, const tensor *w, int64_t row)
{
    const dtype_info *info = dtype_get(w->type);
    const int64_t in = w->dim[1], bytes = in / info->block_size * info->block_bytes;
    const unsigned char *p = (const unsigned char *)w->data + row * bytes;
    float value[2048];
    dtype_to_f32(w->type, value, p, in);
    for (int64_t g = 0; g < in / 16; g++) {
        const int64_t a_block = info->block_size / 16;
        scales_of(w->type, p + g / a_block * info->block_bytes, (int)(g % a_block), &s->scale[g],
                  &s->least[g]);
        for (int64_t i = 16 * g; i < 16 * g + 16; i++) {
            const float c = s->scale[g] == 0 ? 0 : (value[i] - s->least[g]) / s->scale[g];
            s->code[i] = (int)rintf(c);
            assert_true(abs(s->code[i]) <= 128);
            const float again = (float)s->code[i] * s->scale[g];
            assert_true((s->least[g] == 0 ? again : again + s->least[g]) == value[i]);
        }
    }
}

typedef struct rounded {
    float scale[2048 / BLOCK];
    int q[2048];
} rounded;

static void round_row(rounded *r, const float *x, int64_t in)
{
    for (int64_t k = 0; k < in; k += BLOCK) {
        float most = 1e-30f;
        for (int64_t i = k; i < k + BLOCK; i++) most = fmaxf(most, fabsf(x[i]));
        const float way = 32767 / most;
        r->scale[k / BLOCK] = most / 32767;
        for (int64_t i = k; i < k + BLOCK; i++) r->q[i] = (int)rintf(x[i] * way);
    }
}

/* Length of k blocks: int16_in.h adds blocks up in order. */
static int64_t k_block(const tensor *w)
{
    const int64_t in = w->dim[1], unit = dtype_get(w->type)->block_size > 32 ? 256 : 32;
    const int64_t blocks = (in + 1023) / 1024,
                  k = ((in + blocks - 1) / blocks + unit - 1) / unit * unit;
    return k < in ? k : in;
}

static float plain_sum(const rounded *x, const stored *w, dtype type, int64_t first, int64_t k)
{
    const int64_t group = group_of(type);
    float sum = 0, least = 0;
    for (int turn = 0; turn < 2; turn++) {
        for (int64_t g = first; g < first + k; g += group) {
            int64_t dot = 0, all = 0;
            for (int64_t i = g; i < g + group; i++) {
                dot += (int64_t)x->q[i] * w->code[i];
                all += x->q[i];
            }
            assert_true(dot <= INT32_MAX && dot >= -INT32_MAX);
            const float by = x->scale[g / BLOCK];
            if (turn) least = fmaf((float)all * by, w->least[g / 16], least);
            else sum = fmaf((float)dot, w->scale[g / 16] * by, sum);
        }
    }
    const bool has = type == DTYPE_Q4_K || type == DTYPE_Q5_K || type == DTYPE_Q2_K ||
                     type == DTYPE_Q4_1 || type == DTYPE_Q5_1;
    return has ? sum + least : sum;
}

static float plain_product(const rounded *x, const stored *w, const tensor *of)
{
    float y = 0;
    for (int64_t k0 = 0, k = k_block(of); k0 < of->dim[1]; k0 += k) {
        const int64_t n = of->dim[1] - k0 < k ? of->dim[1] - k0 : k;
        const float sum = plain_sum(x, w, of->type, k0, n);
        y = k0 ? y + sum : sum;
    }
    return y;
}

static void check_product(const tensor *x, const tensor *w, const tensor *y)
{
    static rounded rows[64];
    static stored row;
    for (int64_t i = 0; i < x->dim[0]; i++)
        round_row(&rows[i], (const float *)x->data + i * x->dim[1], x->dim[1]);
    for (int64_t o = 0; o < w->dim[0]; o++) {
        read_row(&row, w, o);
        for (int64_t i = 0; i < x->dim[0]; i++) {
            const float want = plain_product(&rows[i], &row, w);
            const float got = ((const float *)y->data)[i * w->dim[0] + o];
            if (memcmp(&want, &got, 4) != 0 && !(want == 0 && got == 0))
                fail_msg("%s: row %d, output %d: %.9g, not %.9g", dtype_get(w->type)->name, (int)i,
                         (int)o, (double)got, (double)want);
        }
    }
}

static void test_products_are_the_plain_ones(void **state)
{
    (void)state;
    static const int64_t rows[] = {1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 14, 15, 29, 31};
    static const int64_t outs[] = {1, 3, 16, 31, 32, 33, 64, 65, 130};
    for (int d = 0; d < n_int16(); d++) {
        place p = place_open(int16_device(d), 2);
        rng r = rng_for(1, 2, 3);
        for (int c = 0, taken = 0; c < 6 * DTYPE_I32; c++) {
            const dtype type = (dtype)(c % DTYPE_I32);
            if (!is_taken(type)) continue;
            const int64_t unit = dtype_get(type)->block_size, n = rows[taken % (int)countof(rows)];
            const int64_t out = outs[taken % (int)countof(outs)];
            const int64_t in =
                unit * (1 + (int64_t)((uint32_t)rng_next(&r) % (2048 / (uint32_t)unit)));
            tensor w = weight(&p, &r, type, out, in), x = randoms(&p, &r, n, in);
            tensor y = randoms(&p, &r, n, out), z = copy(&p, y);
            op_matmul(&p.b, y, x, w, NULL, false);
            check_product(&x, &w, &y);
            if (backend_weaves(&p.b, type)) {
                tensor woven = w;
                backend_weave(&p.b, &woven, take(&p, out * in));
                op_matmul(&p.b, z, x, woven, NULL, false);
                assert_same_numbers(z.data, y.data, n * out);
            }
            taken++;
            place_reset(&p);
        }
        place_close(&p);
    }
}

/* All activations at their largest, extreme codes among the weights: nothing overflows. */
static void test_extremes(void **state)
{
    (void)state;
    for (int d = 0; d < n_int16(); d++) {
        place p = place_open(int16_device(d), 1);
        rng r = rng_for(1, 2, 3);
        for (int type = 0; type < DTYPE_I32; type++) {
            if (!is_taken((dtype)type)) continue;
            enum { ROWS = 3, OUT = 48, IN = 2048 };
            tensor w = weight(&p, &r, (dtype)type, OUT, IN), x = randoms(&p, &r, ROWS, IN);
            for (int i = 0; i < ROWS * IN; i++)
                ((float *)x.data)[i] = (i % 3 == 0 && i / IN == 2) || i / IN == 1 ? -3e30f : 3e30f;
            tensor y = randoms(&p, &r, ROWS, OUT);
            op_matmul(&p.b, y, x, w, NULL, false);
            check_product(&x, &w, &y);
            place_reset(&p);
        }
        place_close(&p);
    }
}

/* Against float32: no row is off by more than rounding to 16 bits makes likely. */
static void test_error(void **state)
{
    (void)state;
    for (int d = 0; d < n_int16(); d++) {
        place p = place_open(int16_device(d), 2), q = place_open("ref", 2);
        rng r = rng_for(4, 5, 6);
        for (int type = 0; type < DTYPE_I32; type++) {
            enum { ROWS = 19, OUT = 67, IN = 768 };
            tensor w = weight(&p, &r, (dtype)type, OUT, IN), x = randoms(&p, &r, ROWS, IN);
            tensor y = randoms(&p, &r, ROWS, OUT), z = copy(&p, y);
            tensor bias = weight(&p, &r, DTYPE_F32, 1, OUT);
            bias.rank = 1, bias.dim[0] = OUT, bias.dim[1] = 1;
            op_matmul(&p.b, y, x, w, &bias, true);
            op_matmul(&q.b, z, x, w, &bias, true);
            const double step = is_taken((dtype)type) ? 4.0 / 65534 : 4e-6;
            assert_close(y, z, 3 * step * sqrt(IN) * largest_of(w));
            place_reset(&p), place_reset(&q);
        }
        place_close(&p), place_close(&q);
    }
}

/* Types that are not taken have the bits of float32. */
static void test_other_types(void **state)
{
    (void)state;
    for (int d = 0; d < n_int16(); d++) {
        place p = place_open(int16_device(d), 2), q = place_open(float_device(d), 2);
        rng r = rng_for(7, 5, 6);
        for (int type = 0; type < DTYPE_I32; type++) {
            if (is_taken((dtype)type)) continue;
            for (int64_t n = 1; n < 40; n += 17) {
                tensor w = weight(&p, &r, (dtype)type, 67, 320), x = randoms(&p, &r, n, 320);
                tensor y = randoms(&p, &r, n, 67), z = copy(&p, y);
                op_matmul(&p.b, y, x, w, NULL, false);
                op_matmul(&q.b, z, x, w, NULL, false);
                assert_same_numbers(y.data, z.data, n * 67);
            }
        }
        place_close(&p), place_close(&q);
    }
}

/* Rows of a group of mixed types, one with an adapter, alone and together; another thread count. */
static void test_rows_stand_alone(void **state)
{
    (void)state;
    enum { N = 45, IN = 1536, RANK = 8 };
    static const dtype types[4] = {DTYPE_Q6_K, DTYPE_Q4_1, DTYPE_F16, DTYPE_Q8_0};
    static const int64_t outs[4] = {192, 37, 64, 100};
    for (int d = 0; d < n_int16(); d++) {
        place p = place_open_adapter(int16_device(d), 2, RANK);
        place one = place_open_adapter(int16_device(d), 1, RANK);
        rng r = rng_for(7, 8, 9);
        matmul_part part[4], single[4];
        tensor x = randoms(&p, &r, N, IN);
        lora_pair pair = {.a = randoms(&p, &r, RANK, IN),
                          .b = randoms(&p, &r, 37, RANK),
                          .scale = 2};
        for (int i = 0; i < 4; i++) {
            part[i] = (matmul_part){.y = randoms(&p, &r, N, outs[i]),
                                    .w = weight(&p, &r, types[i], outs[i], IN)};
        }
        part[1].adapter = &pair, part[1].low = randoms(&p, &r, N, RANK);
        op_matmul_group(&p.b, x, part, 4);
        for (int64_t first = 0, n = 1; first < N; first += n, n = n % 16 + 1) {
            if (n > N - first) n = N - first;
            for (int i = 0; i < 4; i++) {
                single[i] = part[i];
                single[i].y = randoms(&p, &r, n, outs[i]);
            }
            single[1].low = randoms(&p, &r, n, RANK);
            op_matmul_group(&one.b, rows_of(x, first, n), single, 4);
            for (int i = 0; i < 4; i++) {
                assert_same_numbers(single[i].y.data, rows_of(part[i].y, first, n).data,
                                    n * outs[i]);
            }
        }
        place_close(&p), place_close(&one);
    }
}

/* What is not finite makes all of its row NaN, and no other row; zeros give zeros. */
static void test_not_finite(void **state)
{
    (void)state;
    for (int d = 0; d < n_int16(); d++) {
        place p = place_open(int16_device(d), 1);
        rng r = rng_for(7, 8, 9);
        enum { ROWS = 4, OUT = 33, IN = 64 };
        tensor w = weight(&p, &r, DTYPE_Q4_0, OUT, IN), x = randoms(&p, &r, ROWS, IN);
        tensor y = randoms(&p, &r, ROWS, OUT);
        float *at = x.data, *got = y.data;
        at[5] = NAN, at[IN + 40] = INFINITY;
        memset(at + (size_t)2 * IN, 0, IN * sizeof *at);
        op_matmul(&p.b, y, x, w, NULL, false);
        for (int i = 0; i < OUT; i++) {
            assert_true(isnan(got[i]) && isnan(got[OUT + i]));
            assert_true(got[2 * OUT + i] == 0 && isfinite(got[3 * OUT + i]));
        }
        for (int row = 0; row < ROWS; row++) { /* alone */
            tensor z = randoms(&p, &r, 1, OUT);
            op_matmul(&p.b, z, rows_of(x, row, 1), w, NULL, false);
            assert_same_numbers(z.data, got + row * OUT, OUT);
        }
        place_close(&p);
    }
}

/* The answer head's logits are the products. */
static void test_head(void **state)
{
    (void)state;
    for (int d = 0; d < n_int16(); d++) {
        place p = place_open(int16_device(d), 2);
        rng r = rng_for(7, 8, 9);
        enum { ROWS = 41, VOCABULARY = 1234, IN = 1024, TOP = 3 };
        tensor w = weight(&p, &r, DTYPE_Q4_K, VOCABULARY, IN), x = randoms(&p, &r, ROWS, IN);
        tensor y = randoms(&p, &r, ROWS, VOCABULARY);
        int64_t start[ROWS + 1];
        int32_t pick[2 * ROWS], top[ROWS * TOP];
        float picked[2 * ROWS], top_logit[ROWS * TOP];
        double sum[ROWS];
        for (int i = 0; i <= ROWS; i++) start[i] = 2 * i;
        for (int i = 0; i < 2 * ROWS; i++) pick[i] = i * 29 % VOCABULARY;
        const head_request want = {.pick_start = start, .pick_id = pick, .n_top = TOP};
        head_result got = {sum, picked, top, top_logit};
        op_head(&p.b, x, w, &want, &got);
        op_matmul(&p.b, y, x, w, NULL, false);
        for (int i = 0; i < ROWS; i++) {
            const float *row = (const float *)y.data + i * VOCABULARY;
            for (int j = 0; j < 2; j++) assert_true(picked[2 * i + j] == row[pick[2 * i + j]]);
            for (int j = 0; j < TOP; j++) assert_true(top_logit[3 * i + j] == row[top[3 * i + j]]);
        }
        place_close(&p);
    }
}

int main(void)
{
    if (n_int16() == 0) print_message("skip: this machine has no AVX2\n");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products_are_the_plain_ones),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_other_types),
        cmocka_unit_test(test_rows_stand_alone),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_head),
    };
    return cmocka_run_group_tests_name("int16", tests, NULL, NULL);
}
