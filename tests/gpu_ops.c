/* Every op on a GPU against ref, in the usual mode (bf16 products), in the fp32 check mode and with
 * products of two terms, on odd, prime, one-row and empty shapes, and the promise that a row's bits
 * do not depend on the
 * rows beside it. In the usual mode ref gets the same numbers rounded to bf16, so that what is
 * left is the order of sums. Without a GPU every test is skipped, with one line. */
#include "gpu_tests.h" /* beside this file */

#include "compute/cache.h"
#include "compute/draw.h"
#include "model/decode.h"

#include <stdlib.h>

static double attention_share(const gpu *g) { return g->low ? 4e-3 : g->two_terms ? 1e-4 : 1e-5; }

/* ---- stored weights ---- */

static void test_expand_bits(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(1, 2, 3);
    for (int type = 0; type < DTYPE_I32; type++) {
        for (int64_t blocks = 1; blocks <= 5; blocks += 2) {
            enum { ROWS = 40 };
            int64_t n = blocks * dtype_get((dtype)type)->block_size * (type < 3 ? 23 : 1),
                    bytes = 0;
            tensor w = weight(&g.p, &r, (dtype)type, ROWS, n), y = randoms(&g.p, &r, ROWS, n);
            assert_true(dtype_row_bytes((dtype)type, n, &bytes));
            unsigned char *raw = w.data;
            for (int64_t i = 0; i < bytes * ROWS / 2; i++) raw[i] = (unsigned char)rng_next(&r);
            int32_t ids[ROWS];
            for (int i = 0; i < ROWS; i++) ids[i] = ROWS - 1 - i;
            tensor to = there(&g, y);
            op_embed(&g.p.b, to, there(&g, w), ids, 1);
            y = here(&g, to);
            float *want = take(&g.p, n);
            for (int i = 0; i < ROWS; i++) {
                dtype_to_f32((dtype)type, want, raw + bytes * ids[i], n);
                assert_same_numbers((float *)y.data + i * n, want, n);
            }
            gpu_reset(&g);
        }
    }
    gpu_close(&g);
}

/* ---- products ---- */

static void test_matmul(void **state)
{
    gpu g = gpu_open(*state);
    static const int64_t rows[] = {1, 2, 3, 5, 8, 13, 29, 64, 131};
    static const int64_t outs[] = {1, 3, 31, 32, 33, 64, 65, 192, 130, 512};
    rng r = rng_for(4, 5, 6);
    for (size_t c = 0; c < 90; c++) {
        int64_t n = rows[c % countof(rows)], out = outs[c % countof(outs)];
        dtype type = (dtype)(c % DTYPE_I32);
        int64_t unit = dtype_get(type)->block_size;
        int64_t in = unit == 1 ? 1 + (int64_t)rng_below(&r, 1500)
                               : unit * (1 + (int64_t)rng_below(&r, 2000 / (uint64_t)unit));
        if (c % 2 && unit == 1) in = (in + 7) / 8 * 8;
        tensor w = weight(&g.p, &r, type, out, in), x = randoms(&g.p, &r, n, in);
        tensor bias = weight(&g.p, &r, c % 2 ? DTYPE_F32 : DTYPE_BF16, 1, out);
        bias.rank = 1, bias.dim[0] = out, bias.dim[1] = 1;
        tensor y = randoms(&g.p, &r, n, out), z = copy(&g.p, y), bias_there = there(&g, bias);
        round_all(&g, x);
        const bool in_rows = c % 5 == 2, out_rows = c % 7 == 3; /* as rows of the device's type */
        if (out_rows) round_all(&g, z);
        tensor to = out_rows ? rows_there(&g, y) : there(&g, y);
        tensor from = in_rows ? rows_there(&g, x) : there(&g, x);
        op_matmul(&g.p.b, to, from, there(&g, w), c % 3 ? &bias_there : NULL, c % 4 == 0);
        op_matmul(&g.ref.b, z, x, as_read(&g, w), c % 3 ? &bias : NULL, c % 4 == 0);
        assert_near(here(&g, to), z, of_rows(&g, to, 4e-6 * (1 + sqrt((double)in))) * 2, "product");
        gpu_reset(&g);
    }
    tensor none = randoms(&g.p, &r, 0, 64), w = there(&g, weight(&g.p, &r, DTYPE_F32, 8, 64));
    op_matmul(&g.p.b, randoms(&g.p, &r, 0, 8), none, w, NULL, false);
    gpu_close(&g);
}

static void check_rows_alone(gpu *g, rng *r, dtype type, int64_t out, int64_t in, int64_t most)
{
    static const int64_t counts[] = {1, 2, 3, 8, 17, 64, 129, 500, 1000};
    tensor w = there(g, weight(&g->p, r, type, out, in)), x = there(g, randoms(&g->p, r, most, in));
    tensor all = there(g, randoms(&g->p, r, most, out)),
           some = there(g, randoms(&g->p, r, most, out));
    op_matmul(&g->p.b, all, x, w, NULL, false);
    tensor want = here(g, all);
    for (size_t c = 0; c < countof(counts) && counts[c] <= most; c++) {
        const int64_t n = counts[c], first = (int64_t)rng_below(r, (uint64_t)(most - n) + 1);
        op_matmul(&g->p.b, rows_of(some, first, n), rows_of(x, first, n), w, NULL, false);
        tensor got = here(g, rows_of(some, first, n));
        if (memcmp(got.data, (float *)want.data + first * out, (size_t)(n * out) * 4) != 0)
            fail_msg("%s [%lld, %lld]: %lld rows from %lld differ from the same rows of %lld",
                     dtype_get(type)->name, (long long)out, (long long)in, (long long)n,
                     (long long)first, (long long)most);
    }
    gpu_reset(g);
}

/* Any number of rows, anywhere in the step: the same bits. */
static void test_matmul_rows_stand_alone(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(7, 8, 9);
    check_rows_alone(&g, &r, DTYPE_BF16, 4096, 4096, 4096);
    check_rows_alone(&g, &r, DTYPE_BF16, 1024, 4096, 4096);
    check_rows_alone(&g, &r, DTYPE_BF16, 576, 1536, 2048);
    check_rows_alone(&g, &r, DTYPE_Q4_K, 512, 1024, 1024);
    check_rows_alone(&g, &r, DTYPE_Q4_1, 192, 576, 1024);
    check_rows_alone(&g, &r, DTYPE_F32, 16, 4096, 1024);
    check_rows_alone(&g, &r, DTYPE_F32, 4096, 16, 1024);
    check_rows_alone(&g, &r, DTYPE_F16, 37, 33, 300);
    gpu_close(&g);
}

/* ---- rows ---- */

static void test_rmsnorm(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(2, 2, 2);
    for (int c = 0; c < 3 * N_WIDTH; c++) {
        int64_t n = 1 + (int64_t)rng_below(&r, 70), m = widths[c / 3];
        tensor x = randoms(&g.p, &r, n, m), z = copy(&g.p, x);
        tensor w = weight(&g.p, &r, c % 2 ? DTYPE_BF16 : DTYPE_F32, 1, m);
        w.rank = 1, w.dim[0] = m, w.dim[1] = 1;
        if (c % 3 == 1) round_all(&g, x);
        tensor from = c % 3 == 1 ? rows_there(&g, x) : there(&g, x);
        tensor to = c % 3 == 0 ? there(&g, x) : rows_there(&g, x);
        tensor w_there = there(&g, w);
        op_rmsnorm(&g.p.b, to, from, w_there, 1e-6f, c % 2);
        op_rmsnorm(&g.ref.b, z, x, w, 1e-6f, c % 2);
        assert_near(here(&g, to), z, of_rows(&g, to, 3e-6), "norm");
        op_rmsnorm(&g.p.b, rows_of(to, 0, 0), rows_of(from, 0, 0), w_there, 1e-6f, 0);
        op_rmsnorm(&g.p.b, from, from, w_there, 1e-6f, c % 2); /* in place */
        assert_near(here(&g, from), z, of_rows(&g, from, 3e-6), "norm in place");
        gpu_reset(&g);
    }
    gpu_close(&g);
}

static void test_rope(void **state)
{
    gpu g = gpu_open(*state);
    static const int64_t dims[] = {2, 6, 8, 10, 16, 32, 64, 80, 96, 128, 256};
    rng r = rng_for(3, 2, 1);
    for (size_t c = 0; c < 4 * countof(dims); c++) {
        int64_t hd = dims[c / 4], n = 1 + (int64_t)rng_below(&r, 40);
        int64_t h = 1 + (int64_t)rng_below(&r, 5), turned = c % 8 > 5 && hd % 4 == 0 ? hd / 2 : hd;
        tensor x = randoms(&g.p, &r, n, h * hd), table = randoms(&g.p, &r, 50, turned);
        x.rank = 3, x.dim[1] = h, x.dim[2] = hd;
        if (c % 4 > 1) round_all(&g, x);
        tensor to = c % 4 > 1 ? rows_there(&g, x) : there(&g, x);
        int32_t positions[64];
        for (int i = 0; i < n; i++) positions[i] = (int32_t)rng_below(&r, 50);
        op_rope(&g.p.b, to, positions, there(&g, table), c % 2 ? ROPE_PAIRS : ROPE_HALVES);
        op_rope(&g.ref.b, x, positions, table, c % 2 ? ROPE_PAIRS : ROPE_HALVES);
        assert_near(here(&g, to), x, of_rows(&g, to, 2e-6), "rotation");
        gpu_reset(&g);
    }
    gpu_close(&g);
}

/* q, k and v into a cache at once: the bits of a rotation and a scatter each. */
static void test_cache(void **state)
{
    gpu g = gpu_open(*state);
    static const int64_t dims[] = {2, 6, 7, 10, 16, 64, 80, 128, 256};
    rng r = rng_for(3, 2, 4);
    for (size_t c = 0; c < 8 * countof(dims); c++) {
        const int64_t hd = dims[c / 8], n = 1 + (int64_t)rng_below(&r, 40), slots = n + 3;
        const int64_t g_kv = 1 + (int64_t)rng_below(&r, 3), h = c % 8 < 2 ? 0 : g_kv * 3;
        const int64_t even = hd / 2 * 2, turned = c % 8 > 5 && hd % 4 == 0 ? hd / 2 : even;
        const rope_style style = c % 2 ? ROPE_PAIRS : ROPE_HALVES;
        int32_t position[64], slot[64];
        for (int32_t i = 0; i < n; i++) {
            position[i] = (int32_t)rng_below(&r, 50), slot[i] = (int32_t)((i + 3) % n) + 2;
        }
        tensor q[2], k[2], v[2], key[2], value[2], table = randoms(&g.p, &r, 50, turned);
        tensor all[5] = {randoms(&g.p, &r, n, (h ? h : 1) * hd), randoms(&g.p, &r, n, g_kv * hd),
                         randoms(&g.p, &r, n, g_kv * hd), randoms(&g.p, &r, slots, g_kv * hd),
                         randoms(&g.p, &r, slots, g_kv * hd)};
        tensor *to[5] = {q, k, v, key, value}, angles = there(&g, table);
        for (int i = 0; i < 5; i++) {
            all[i].rank = 3, all[i].dim[1] = i == 0 ? (h ? h : 1) : g_kv, all[i].dim[2] = hd;
            for (int way = 0; way < 2; way++)
                to[i][way] = c % 4 > 1 ? rows_there(&g, all[i]) : there(&g, all[i]);
        }
        if (h == 0) q[0].data = NULL;
        op_cache(&g.p.b,
                 &(cache_rows){q[0], k[0], v[0], key[0], value[0], position, slot, angles, style});
        if (h > 0) op_rope(&g.p.b, q[1], position, angles, style);
        op_rope(&g.p.b, k[1], position, angles, style);
        op_scatter(&g.p.b, key[1], k[1], slot), op_scatter(&g.p.b, value[1], v[1], slot);
        if (h > 0) assert_near(here(&g, q[0]), here(&g, q[1]), 0, "queries");
        assert_near(here(&g, key[0]), here(&g, key[1]), 0, "keys");
        assert_near(here(&g, value[0]), here(&g, value[1]), 0, "values");
        gpu_reset(&g);
    }
    gpu_close(&g);
}

static void test_glu_add_move(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(3, 3, 3);
    for (int c = 0; c < 2 * N_WIDTH; c++) {
        int64_t n = 1 + (int64_t)rng_below(&r, 70), m = widths[c / 2];
        tensor a = randoms(&g.p, &r, n, m), u = randoms(&g.p, &r, n, m), z = copy(&g.p, a);
        for (int64_t i = 0; i < n * m; i += 5) ((float *)a.data)[i] *= 20;
        const bool in_rows = c % 3 == 1;
        if (in_rows) round_all(&g, a), round_all(&g, u);
        tensor x = in_rows ? rows_there(&g, a) : there(&g, a);
        tensor y = in_rows ? rows_there(&g, u) : there(&g, u);
        tensor w = in_rows ? rows_there(&g, u) : there(&g, u);
        op_glu(&g.p.b, w, x, y, c % 2 ? GLU_SILU : GLU_GELU_TANH);
        op_glu(&g.ref.b, z, a, u, c % 2 ? GLU_SILU : GLU_GELU_TANH);
        assert_near(here(&g, w), z, of_rows(&g, w, 2e-6), "gate");
        int32_t rows[70], order[70];
        for (int32_t i = 0; i < n; i++) {
            rows[i] = (int32_t)rng_below(&r, (uint64_t)n);
            order[i] = (int32_t)((i * 7 + 3) % n);
        }
        op_gather(&g.p.b, w, x, rows);
        op_gather(&g.ref.b, z, a, rows);
        assert_near(here(&g, w), z, 0, "gather");
        if (n % 7) {
            op_scatter(&g.p.b, w, x, order);
            op_scatter(&g.ref.b, z, a, order);
            assert_near(here(&g, w), z, 0, "scatter");
        }
        if (!in_rows) {
            op_add(&g.p.b, x, y), op_add(&g.ref.b, a, u);
            assert_near(here(&g, x), a, 0, "sum");
        }
        gpu_reset(&g);
    }
    gpu_close(&g);
}

/* ---- attention ---- */

static tensor heads(gpu *g, rng *r, int64_t n, int64_t h, int64_t hd)
{
    tensor t = heads_of(&g->p, r, n, h, hd);
    round_all(g, t);
    return t;
}

static void test_attend(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(1, 2, 3);
    for (int c = 0; c < 80; c++) {
        int64_t hd = job_dims[c % (int)countof(job_dims)], n_kv = 1 + (int64_t)rng_below(&r, 3);
        int64_t h = n_kv * (1 + (int64_t)rng_below(&r, 5));
        job j;
        job_make(&j, &r, 1 + c % 3, (int32_t)rng_below(&r, 200), c % 4 == 1 ? 5.0f : 0,
                 c % 3 == 1 ? 1 + (int32_t)rng_below(&r, 150) : 0);
        tensor q = heads(&g, &r, j.rows, h, hd), k = heads(&g, &r, j.slots, n_kv, hd);
        tensor v = heads(&g, &r, j.slots, n_kv, hd), z = copy(&g.p, q);
        const bool in_rows = c / (int)countof(job_dims) % 2 == c % 2; /* each width both ways */
        tensor y = in_rows ? rows_there(&g, q) : there(&g, q);
        tensor x[3] = {in_rows ? rows_there(&g, q) : there(&g, q),
                       in_rows ? rows_there(&g, k) : there(&g, k),
                       in_rows ? rows_there(&g, v) : there(&g, v)};
        op_attend(&g.p.b, y, x[0], x[1], x[2], &j.plan);
        op_attend(&g.ref.b, z, q, k, v, &j.plan);
        assert_near(here(&g, y), z, of_rows(&g, y, attention_share(&g)), "attention");
        gpu_reset(&g);
    }
    gpu_close(&g);
}

/* The rows of one case, in pieces, with other cases beside them or not. */
static void test_attend_rows_stand_alone(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(3, 2, 1);
    for (int c = 0; c < 40; c++) {
        int64_t hd = job_dims[c % (int)countof(job_dims)], n_kv = 1 + (int64_t)rng_below(&r, 2);
        int64_t h = n_kv * (1 + (int64_t)rng_below(&r, 4));
        job j;
        job_make(&j, &r, 3, (int32_t)rng_below(&r, 100), c % 4 == 1 ? 5.0f : 0,
                 c % 3 == 1 ? 1 + (int32_t)rng_below(&r, 150) : 0);
        tensor q = rows_there(&g, heads(&g, &r, j.rows, h, hd));
        tensor k = rows_there(&g, heads(&g, &r, j.slots, n_kv, hd));
        tensor v = rows_there(&g, heads(&g, &r, j.slots, n_kv, hd));
        tensor y = rows_there(&g, heads(&g, &r, j.rows, h, hd));
        tensor z = rows_there(&g, heads(&g, &r, j.rows, h, hd));
        const int64_t row_bytes = h * hd * dtype_get(q.type)->block_bytes;
        op_attend(&g.p.b, y, q, k, v, &j.plan);
        for (int i = 0; i < 3; i++) {
            for (int32_t first = 0, n = 0; first < j.span[i].count; first += n) {
                n = 1 + (int32_t)rng_below(&r, 30);
                if (n > j.span[i].count - first) n = j.span[i].count - first;
                job_piece t;
                job_piece_make(&t, &j, i, first, n);
                tensor zi = z, qi = q;
                zi.data = (char *)z.data + t.row * row_bytes, zi.dim[0] = n;
                qi.data = (char *)q.data + t.row * row_bytes, qi.dim[0] = n;
                op_attend(&g.p.b, zi, qi, k, v, &t.plan);
            }
        }
        assert_memory_equal(here(&g, y).data, here(&g, z).data, (size_t)tensor_count(&y) * 4);
        gpu_reset(&g);
    }
    gpu_close(&g);
}

/* Samples of a few prompts, one row each: together (they share tiles) and one by one. */
static void test_attend_samples(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(3, 5, 1);
    for (int c = 0; c < 30; c++) {
        enum { PROMPTS = 3, SAMPLES = 9, OWN = 70 };
        int64_t hd = job_dims[c % (int)countof(job_dims)], n_kv = 1 + (int64_t)rng_below(&r, 2);
        int64_t h = n_kv * (1 + (int64_t)rng_below(&r, 5));
        attend_span span[PROMPTS * SAMPLES];
        attend_range range[3 * PROMPTS * SAMPLES];
        const int32_t head = (int32_t)rng_below(&r, 100), text = 1 + (int32_t)rng_below(&r, 150);
        const int32_t own = 1 + (int32_t)rng_below(&r, OWN);
        for (int32_t i = 0; i < PROMPTS * SAMPLES; i++) {
            const int32_t at = head + PROMPTS * text + i * OWN;
            range[3 * i] = (attend_range){0, head, 0};
            range[3 * i + 1] = (attend_range){head + i / SAMPLES * text, text, head};
            range[3 * i + 2] = (attend_range){at, own - i % own, head + text};
            span[i] = (attend_span){i, 1, head + text + own - 1, 3 * i, 3};
        }
        const int64_t slots = head + PROMPTS * text + PROMPTS * SAMPLES * OWN;
        tensor q = heads(&g, &r, PROMPTS * SAMPLES, h, hd), k = heads(&g, &r, slots, n_kv, hd);
        tensor v = heads(&g, &r, slots, n_kv, hd), want = copy(&g.p, q);
        tensor q2 = rows_there(&g, q), k2 = rows_there(&g, k), v2 = rows_there(&g, v);
        tensor y = rows_there(&g, q), z = rows_there(&g, q);
        attend_plan plan = {.span = span, .range = range, .scale = 0.2f};
        plan.n_span = PROMPTS * SAMPLES;
        if (c % 3 == 1) plan.softcap = 5;
        if (c % 3 == 2) plan.window = 1 + (int32_t)rng_below(&r, 150);
        op_attend(&g.p.b, y, q2, k2, v2, &plan);
        op_attend(&g.ref.b, want, q, k, v, &plan);
        assert_near(here(&g, y), want, of_rows(&g, y, attention_share(&g)), "samples");
        for (int32_t i = 0; i < PROMPTS * SAMPLES; i++) {
            plan.span = &span[i], plan.n_span = 1;
            op_attend(&g.p.b, z, q2, k2, v2, &plan);
        }
        assert_memory_equal(here(&g, y).data, here(&g, z).data, (size_t)tensor_count(&y) * 4);
        gpu_reset(&g);
    }
    gpu_close(&g);
}

/* ---- answer head ---- */

typedef struct head_case {
    int64_t m, n_vocab, d;
    dtype type;
    float cap;
} head_case;

static void check_head(gpu *g, rng *r, head_case c)
{
    const int64_t m = c.m, n_vocab = c.n_vocab, d = c.d;
    enum { N_TOP = 11, PICKS = 3 };
    tensor w = weight(&g->p, r, c.type, n_vocab, d), x = randoms(&g->p, r, m, d);
    round_all(g, x);
    int64_t start[60];
    int32_t ids[180], top[2][60 * N_TOP];
    double lse[2][60];
    float pick[2][180], top_logit[2][60 * N_TOP];
    for (int64_t i = 0; i <= m; i++) start[i] = PICKS * i - (i > 1); /* the second row has two */
    for (int64_t i = 0; i < start[m]; i++) ids[i] = (int32_t)rng_below(r, (uint64_t)n_vocab);
    head_request want = {.pick_start = start, .pick_id = ids, .softcap = c.cap};
    want.n_top = n_vocab < N_TOP ? (int32_t)n_vocab : N_TOP;
    head_result got[2];
    for (int k = 0; k < 2; k++) got[k] = (head_result){lse[k], pick[k], top[k], top_logit[k]};
    op_head(&g->p.b, there(g, x), there(g, w), &want, &got[0]);
    op_head(&g->ref.b, x, as_read(g, w), &want, &got[1]);
    const double bound = 1e-5 * (1 + sqrt((double)d));
    for (int64_t i = 0; i < m; i++) assert_true(fabs(lse[0][i] - lse[1][i]) < bound);
    for (int64_t i = 0; i < start[m]; i++)
        assert_true(fabs((double)pick[0][i] - (double)pick[1][i]) < bound);
    for (int64_t i = 0; i < m * want.n_top; i++) {
        assert_true(fabs((double)top_logit[0][i] - (double)top_logit[1][i]) < bound);
        const bool near_tie =
            (i % want.n_top && top_logit[1][i - 1] - top_logit[1][i] < 2 * (float)bound) ||
            i % want.n_top == want.n_top - 1 ||
            top_logit[1][i] - top_logit[1][i + 1] < 2 * (float)bound;
        if (!near_tie) assert_int_equal(top[0][i], top[1][i]);
    }
    double alone; /* a row by itself */
    const int64_t none[2] = {0, 0};
    head_request one = {.pick_start = none, .softcap = c.cap};
    op_head(&g->p.b, there(g, rows_of(x, m / 2, 1)), there(g, w), &one,
            &(head_result){.log_sum_exp = &alone});
    assert_true(alone == lse[0][m / 2]);
    gpu_reset(g);
}

static void test_head(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(5, 1, 1);
    check_head(&g, &r, (head_case){37, 20011, 320, DTYPE_Q4_0, 0});
    check_head(&g, &r, (head_case){5, 16384, 576, DTYPE_BF16, 0});
    check_head(&g, &r, (head_case){13, 1009, 97, DTYPE_F32, 3});
    check_head(&g, &r, (head_case){1, 7, 5, DTYPE_F16, 0});
    check_head(&g, &r, (head_case){2, 512, 64, DTYPE_Q8_0, 30});
    gpu_close(&g);
}

/* ---- draws ---- */

typedef struct draw_case {
    int32_t n, n_vocab;
    float spread;   /* of the logits */
    int32_t levels; /* they take so many values; 0: any */
    sampling how;
    float cap;
} draw_case;

/* The same token as the host's for (nearly) every number: sums differ in their last bits. */
static void check_draw(gpu *g, rng *r, draw_case c)
{
    enum { ROWS_MAX = 64, SEEN = 40 };
    draw_row row[ROWS_MAX];
    int32_t seen[SEEN], id[ROWS_MAX];
    decode_stream stream[ROWS_MAX];
    tensor logits = randoms(&g->p, r, c.n, c.n_vocab);
    for (int64_t i = 0; i < tensor_count(&logits); i++) {
        float *x = (float *)logits.data + i;
        *x *= c.spread;
        if (c.levels > 0) *x = floorf(*x / c.spread * (float)c.levels) * c.spread;
    }
    if (c.n_vocab > 2) ((float *)logits.data)[1] = -INFINITY;
    for (int i = 0; i < SEEN; i++) seen[i] = (int32_t)rng_below(r, (uint64_t)c.n_vocab + 3);
    for (int32_t i = 0; i < c.n; i++) {
        stream[i] = (decode_stream){.how = c.how, .generator = rng_for(5, (uint64_t)i, 7)};
        stream[i].prefix = seen, stream[i].n_prefix = SEEN;
        rng copied = stream[i].generator;
        row[i] = (draw_row){.temperature = c.how.temperature,
                            .top_p = c.how.top_p,
                            .min_p = c.how.min_p,
                            .penalty = c.how.repetition_penalty,
                            .top_k = c.how.top_k,
                            .n_seen = SEEN,
                            .unit = rng_unit(&copied)};
        id[i] = -2;
    }
    err e = {0};
    int32_t *drawn = device_take(&g->p.b, &g->p.data, (size_t)c.n, sizeof *drawn, &e);
    draw_request want = {row, c.n, SEEN, seen, c.cap, drawn};
    op_draw(&g->p.b, there(g, logits), &want);
    device_read(&g->p.b, id, drawn, (size_t)c.n * sizeof *id);
    unsigned char *scratch = (unsigned char *)take(&g->p, (int64_t)c.n_vocab * 8);
    int32_t left = 0;
    for (int32_t i = 0; i < c.n; i++) {
        float *x = (float *)logits.data + (int64_t)i * c.n_vocab;
        for (int32_t k = 0; c.cap > 0 && k < c.n_vocab; k++) x[k] = c.cap * tanhf(x[k] / c.cap);
        const int32_t host =
            decode_draw(x, c.n_vocab, &stream[i], (struct decode_candidate *)(void *)scratch);
        left += id[i] == -1;
        if (id[i] != -1 && id[i] != host)
            fail_msg("row %d of %d: token %d (%.9g), the host draws %d (%.9g)", i, c.n_vocab, id[i],
                     (double)x[id[i] < 0 ? 0 : id[i]], host, (double)x[host]);
    }
    if (c.levels == 0) assert_int_equal(left, 0);
    gpu_reset(g);
}

static void test_draw(void **state)
{
    static const int32_t vocabularies[] = {1, 2, 7, 1009, 32000, 151936};
    static const sampling hows[] = {{0},
                                    {.temperature = 1},
                                    {.temperature = 0.7f, .top_p = 0.95f},
                                    {.temperature = 1.3f, .top_k = 40},
                                    {.temperature = 0.3f, .top_k = 900, .top_p = 0.5f},
                                    {.temperature = 1, .min_p = 0.05f},
                                    {.temperature = 0.8f, .top_p = 0.9f, .min_p = 0.02f},
                                    {.temperature = 0.01f, .repetition_penalty = 1.2f},
                                    {.temperature = 3, .repetition_penalty = 0.8f, .top_p = 0.3f},
                                    {.repetition_penalty = 1.5f}};
    gpu g = gpu_open(*state);
    rng r = rng_for(6, 6, 6);
    for (size_t v = 0; v < countof(vocabularies); v++) {
        for (size_t h = 0; h < countof(hows); h++) {
            draw_case c = {v < 4 ? 61 : 13, vocabularies[v], 6, 0, hows[h], h % 3 == 2 ? 30 : 0};
            check_draw(&g, &r, c);
            c.cap = 0, c.levels = 3; /* many equals */
            check_draw(&g, &r, c);
            c.n = 1, c.levels = 0, c.spread = 1e-3f; /* nearly flat */
            if (v < 4) check_draw(&g, &r, c);
        }
    }
    gpu_close(&g);
}

/* ---- training ---- */

static attend_tape make_tape(gpu *g, rng *r, const job *j, int64_t h, int64_t n_kv, int64_t hd)
{
    err e = {0};
    attend_tape t = {.q = heads(g, r, j->rows, h, hd), .o = heads(g, r, j->rows, h, hd)};
    t.k = heads(g, r, j->slots, n_kv, hd), t.v = heads(g, r, j->slots, n_kv, hd);
    t.log_sum_exp = arena_take_zero(&g->p.data, (size_t)(j->rows * h), sizeof(float), &e);
    return t;
}

typedef struct head_shape {
    int64_t n, n_kv, dim;
    bool in_rows; /* the backend's type, or float32 */
} head_shape;

/* Both ways through attention beside ref, and the way back twice. */
static void check_attend_back(gpu *g, rng *r, const job *j, head_shape s)
{
    attend_tape t = make_tape(g, r, j, s.n, s.n_kv, s.dim), u = t;
    attend_grad d = {heads(g, r, j->rows, s.n, s.dim), copy(&g->p, t.q), copy(&g->p, t.k),
                     copy(&g->p, t.v)};
    tensor (*const put)(gpu *, tensor) = s.in_rows ? rows_there : there;
    u.q = put(g, t.q), u.o = put(g, t.o), u.k = put(g, t.k), u.v = put(g, t.v);
    u.log_sum_exp = there(g, tensor_f32(t.log_sum_exp, j->rows, s.n)).data;
    attend_grad f = {put(g, d.d_o), put(g, d.dq), put(g, d.dk), put(g, d.dv)};
    op_attend_keep(&g->p.b, &u, &j->plan);
    op_attend_keep(&g->ref.b, &t, &j->plan);
    assert_near(here(g, u.o), t.o, of_rows(g, u.o, g->low ? 4e-3 : 1e-5), "attention kept");
    assert_near(here(g, tensor_f32(u.log_sum_exp, j->rows, s.n)),
                tensor_f32(t.log_sum_exp, j->rows, s.n), 1e-5, "log-sum-exp");
    op_attend_back(&g->p.b, &u, &f, &j->plan);
    t.o = here(g, u.o); /* as it was rounded there */
    op_attend_back(&g->ref.b, &t, &d, &j->plan);
    const double share = of_rows(g, u.q, g->low ? 1e-2 : 3e-5);
    assert_near(here(g, f.dq), d.dq, share, "dq");
    assert_near(here(g, f.dk), d.dk, share, "dk");
    assert_near(here(g, f.dv), d.dv, share, "dv");
    const tensor got[3] = {f.dq, f.dk, f.dv};
    tensor first[3]; /* again: the same bits */
    for (int i = 0; i < 3; i++) first[i] = here(g, got[i]);
    op_attend_back(&g->p.b, &u, &f, &j->plan);
    for (int i = 0; i < 3; i++)
        assert_memory_equal(here(g, got[i]).data, first[i].data,
                            (size_t)tensor_count(&first[i]) * 4);
    gpu_reset(g);
}

static void test_attend_back(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(9, 2, 3);
    for (int c = 0; c < 30; c++) {
        const int n_dim = (int)countof(job_dims);
        const int64_t n_kv = 1 + (int64_t)rng_below(&r, 2);
        job j;
        do {
            job_make(&j, &r, 1 + c % 3, (int32_t)rng_below(&r, 60), c % 4 == 1 ? 5.0f : 0,
                     c % 3 == 1 ? 1 + (int32_t)rng_below(&r, 150) : 0);
        } while (j.slots > 300);
        check_attend_back(&g, &r, &j,
                          (head_shape){n_kv * (1 + (int64_t)rng_below(&r, 4)), n_kv,
                                       job_dims[c % n_dim], c / n_dim % 2 == c % 2});
    }
    gpu_close(&g);
}

/* Both ways with rows and keys of many tiles: whole blocks without a mask, edges at odd places, one
 * row, windows, a head that is shared and one that is not there, no rows at all. */
static void test_attend_wide(void **state)
{
    static const job_size sizes[] = {{1, 1, 1, 1},      {2, 0, 1, 300},    {3, 64, 1, 129},
                                     {2, 131, 67, 257}, {3, 200, 140, 90}, {1, 128, 1, 401}};
    gpu g = gpu_open(*state);
    rng r = rng_for(9, 2, 4);
    for (int c = 0; c < 4 * (int)countof(sizes); c++) {
        const int64_t n_kv = 1 + c % 2, group = 1 + (int64_t)rng_below(&r, c % 3 ? 4 : 1);
        job j;
        job_make_sized(&j, &r, sizes[c / 4], 0, c % 4 == 3 ? 1 + (int32_t)rng_below(&r, 150) : 0);
        check_attend_back(&g, &r, &j, (head_shape){n_kv * group, n_kv, c % 4 ? 128 : 64, true});
    }
    job j;
    job_make(&j, &r, 1, 70, 0, 0);
    j.plan.n_span = 0; /* nobody looks */
    attend_tape t = make_tape(&g, &r, &j, 2, 1, 128);
    t.q = rows_there(&g, t.q), t.o = rows_there(&g, t.o), t.k = rows_there(&g, t.k);
    t.v = rows_there(&g, t.v);
    t.log_sum_exp = there(&g, tensor_f32(t.log_sum_exp, j.rows, 2)).data;
    attend_grad d = {t.q, t.q, t.k, t.v};
    op_attend_back(&g.p.b, &t, &d, &j.plan);
    const tensor none = here(&g, d.dk), none_either = here(&g, d.dv);
    for (int64_t i = 0; i < tensor_count(&none); i++) {
        assert_true(((const float *)none.data)[i] == 0);
        assert_true(((const float *)none_either.data)[i] == 0);
    }
    gpu_close(&g);
}

static void test_products_back(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(9, 9, 3);
    static const int64_t sizes[][3] = {
        {5, 11, 7}, {64, 96, 40}, {1, 1, 1}, {131, 64, 512}, {33, 16, 256}};
    for (size_t c = 0; c < 2 * countof(sizes); c++) {
        const int64_t n = sizes[c / 2][0], out = sizes[c / 2][1], in = sizes[c / 2][2];
        const dtype type = in % 256 == 0 ? DTYPE_Q4_K : DTYPE_BF16;
        tensor w = weight(&g.p, &r, type, out, in), dy = randoms(&g.p, &r, n, out);
        tensor x = randoms(&g.p, &r, n, in), dx = randoms(&g.p, &r, n, in);
        tensor dw = randoms(&g.p, &r, out, in);
        round_all(&g, dy), round_all(&g, x);
        tensor dx2 = there(&g, dx), dw2 = there(&g, dw), dy2 = there(&g, dy);
        op_matmul_back(&g.p.b, dx2, dy2, there(&g, w), c % 2);
        op_matmul_back(&g.ref.b, dx, dy, as_read(&g, w), c % 2);
        assert_near(here(&g, dx2), dx, 1e-5, "dx");
        op_weight_grad(&g.p.b, dw2, dy2, there(&g, x));
        op_weight_grad(&g.ref.b, dw, dy, x);
        assert_near(here(&g, dw2), dw, 1e-5, "dw");
        gpu_reset(&g);
    }
    gpu_close(&g);
}

/* A frozen base of a 7B model as it is stored: a whole matrix, forth and back. */
static void test_full_size(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(7, 7, 7);
    static const dtype types[] = {DTYPE_NF4, DTYPE_NF4_16, DTYPE_INT8, DTYPE_INT8_16, DTYPE_Q4_K};
    enum { ROWS = 3, IN = 4096, OUT = 11008 };
    for (size_t i = 0; i < countof(types); i++) {
        tensor w = weight(&g.p, &r, types[i], OUT, IN), x = randoms(&g.p, &r, ROWS, IN);
        tensor y = randoms(&g.p, &r, ROWS, OUT), dy = randoms(&g.p, &r, ROWS, OUT);
        tensor dx = randoms(&g.p, &r, ROWS, IN);
        round_all(&g, x), round_all(&g, dy);
        tensor stored = there(&g, w), y2 = there(&g, y), dx2 = there(&g, dx), read = as_read(&g, w);
        op_matmul(&g.p.b, y2, there(&g, x), stored, NULL, false);
        op_matmul(&g.ref.b, y, x, read, NULL, false);
        assert_near(here(&g, y2), y, 4e-6 * (1 + sqrt(IN)), "product of full size");
        op_matmul_back(&g.p.b, dx2, there(&g, dy), stored, false);
        op_matmul_back(&g.ref.b, dx, dy, read, false);
        assert_near(here(&g, dx2), dx, 4e-6 * (1 + sqrt(OUT)), "dx of full size");
        gpu_reset(&g);
    }
    gpu_close(&g);
}

static void test_rows_back(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(9, 8, 3);
    for (int c = 0; c < 2 * (N_WIDTH - 1); c++) {
        int64_t n = 1 + (int64_t)rng_below(&r, 40), m = widths[c / 2];
        tensor x = randoms(&g.p, &r, n, m), dy = randoms(&g.p, &r, n, m),
               dx = randoms(&g.p, &r, n, m);
        tensor w = randoms(&g.p, &r, 1, m), up = randoms(&g.p, &r, n, m), x2 = there(&g, x);
        w.rank = 1, w.dim[0] = m, w.dim[1] = 1;
        tensor dx2 = there(&g, dx), dy2 = there(&g, dy), up2 = there(&g, up);
        norm_shape norm = {.w = w, .eps = 1e-3f, .w_plus = 1};
        norm_shape norm2 = {.w = there(&g, w), .eps = 1e-3f, .w_plus = 1};
        op_rmsnorm_back(&g.p.b, dx2, dy2, x2, norm2, c % 2);
        op_rmsnorm_back(&g.ref.b, dx, dy, x, norm, c % 2);
        assert_near(here(&g, dx2), dx, 1e-5, "norm back");
        if (c % 4 > 1) { /* in the device's own type */
            tensor a = copy(&g.p, x), b = copy(&g.p, dy), to = copy(&g.p, dy);
            round_all(&g, a), round_all(&g, b);
            tensor b2 = rows_there(&g, b);
            op_rmsnorm_back(&g.p.b, b2, b2, rows_there(&g, a), norm2, false);
            op_rmsnorm_back(&g.ref.b, to, b, a, norm, false);
            assert_near(here(&g, b2), to, of_rows(&g, b2, 1e-5), "norm of rows back");
            tensor gate = copy(&g.p, a), u = copy(&g.p, b), gate2 = rows_there(&g, a);
            tensor u2 = rows_there(&g, b);
            op_glu_back(&g.p.b, gate2, u2, rows_there(&g, a), GLU_SILU);
            op_glu_back(&g.ref.b, gate, u, a, GLU_SILU);
            assert_near(here(&g, gate2), gate, of_rows(&g, u2, 1e-5), "gate of rows back");
            assert_near(here(&g, u2), u, of_rows(&g, u2, 1e-5), "up of rows back");
        }
        op_glu_back(&g.p.b, x2, up2, dy2, c % 2 ? GLU_SILU : GLU_GELU_TANH);
        op_glu_back(&g.ref.b, x, up, dy, c % 2 ? GLU_SILU : GLU_GELU_TANH);
        assert_near(here(&g, x2), x, 1e-5, "gate back");
        assert_near(here(&g, up2), up, 1e-5, "up back");
        op_scale(&g.p.b, dx2, 0.3f), op_scale(&g.ref.b, dx, 0.3f);
        int32_t rows[40];
        for (int32_t i = 0; i < n; i++) rows[i] = (int32_t)n - 1 - i;
        tensor sum = copy(&g.p, dx), sum2 = rows_there(&g, sum);
        round_all(&g, sum);
        op_scatter_add(&g.p.b, sum2, dy2, rows), op_scatter_add(&g.ref.b, sum, dy, rows);
        assert_near(here(&g, sum2), sum, of_rows(&g, sum2, 1e-5), "rows added to rows");
        op_scatter_add(&g.p.b, dx2, dy2, rows), op_scatter_add(&g.ref.b, dx, dy, rows);
        assert_near(here(&g, dx2), dx, 1e-5, "rows added");
        double a = op_sum_squares(&g.p.b, dx2.data, n * m);
        double b = op_sum_squares(&g.ref.b, here(&g, dx2).data, n * m);
        assert_true(fabs(a - b) <= 1e-12 * b);
        op_zero(&g.p.b, dx2);
        assert_true(op_sum_squares(&g.p.b, dx2.data, n * m) == 0);
        gpu_reset(&g);
    }
    gpu_close(&g);
}

static void test_loss(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(9, 7, 3);
    enum { M = 30, V = 2003, CHUNK = 640 };
    int64_t one_each[M + 1];
    int32_t target[M];
    float weights[M], logit[2][M];
    double lse[2][M], loss[2];
    for (int i = 0; i <= M; i++) one_each[i] = i;
    for (int k = 0; k < 2; k++) {
        tensor x = randoms(&g.p, &r, M, 320), w = weight(&g.p, &r, DTYPE_Q8_0, V, 320), dx[2];
        round_all(&g, x);
        for (int i = 0; i < M; i++)
            target[i] = (int32_t)rng_below(&r, V), weights[i] = (float)rng_unit(&r);
        for (int i = 0; i < 2; i++) {
            tensor chunk = randoms(&g.p, &r, M, CHUNK);
            loss_rows l = {.target = target,
                           .weight = weights,
                           .log_sum_exp = lse[i],
                           .logit = logit[i],
                           .chunk_ids = CHUNK,
                           .softcap = k ? 3 : 0,
                           .one_each = one_each};
            dx[i] = copy(&g.p, x);
            l.chunk = i ? chunk.data : there(&g, chunk).data;
            if (i == 0) dx[0] = there(&g, x);
            loss[i] = i ? op_answer_loss(&g.ref.b, dx[1], x, as_read(&g, w), &l)
                        : op_answer_loss(&g.p.b, dx[0], there(&g, x), there(&g, w), &l);
        }
        assert_true(fabs(loss[0] - loss[1]) < 1e-4 * fabs(loss[1]));
        assert_near(here(&g, dx[0]), dx[1], g.low ? 1e-2 : g.two_terms ? 1e-3 : 1e-4, "loss back");
        gpu_reset(&g);
    }
    gpu_close(&g);
}

static void test_adamw(void **state)
{
    gpu g = gpu_open(*state);
    rng r = rng_for(9, 6, 3);
    enum { N = 1013 };
    tensor t[4], u[4];
    for (int i = 0; i < 4; i++) t[i] = randoms(&g.p, &r, 1, N);
    for (int i = 0; i < N; i++) ((float *)t[3].data)[i] = fabsf(((float *)t[3].data)[i]);
    for (int i = 0; i < 4; i++) u[i] = there(&g, t[i]);
    for (int64_t step = 1; step < 4; step++) {
        adamw_step how = {1e-2, 0.9, 0.999, 1e-8, 0.01, 0.7, step};
        op_adamw(&g.p.b, &(adamw_state){u[0].data, u[1].data, u[2].data, u[3].data, N}, &how);
        op_adamw(&g.ref.b, &(adamw_state){t[0].data, t[1].data, t[2].data, t[3].data, N}, &how);
    }
    assert_near(here(&g, u[0]), t[0], 1e-6, "adamw");
    gpu_close(&g);
}

/* ---- names ---- */

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        err_code code;
    } wrong[] = {{"cuda:x", ERR_USAGE},
                 {"cuda:fp16", ERR_USAGE},
                 {"cuda:0:", ERR_USAGE},
                 {"cuda:999", ERR_RESOURCE}};
    err e = {0};
    pool *threads = pool_open(1, &e);
    for (size_t i = 0; i < countof(wrong); i++) {
        backend b;
        err why = {0};
        assert_false(backend_open(&b, wrong[i].name, threads, &why));
        assert_int_equal(why.code, wrong[i].code);
    }
    backend b;
    assert_true(backend_open(&b, "auto", threads, &e));
    assert_true(device_is_apart(&b));
    err full = {0}; /* more than any card has: an error in words, not a crash */
    assert_false(device_reserve(&b, (size_t)1 << 45, &full));
    assert_int_equal(full.code, ERR_RESOURCE);
    backend_close(&b);
    pool_close(threads);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } all[] = {{"expand", test_expand_bits},
               {"matmul", test_matmul},
               {"rows alone", test_matmul_rows_stand_alone},
               {"rmsnorm", test_rmsnorm},
               {"rope", test_rope},
               {"gate, sum, moves", test_glu_add_move},
               {"attend", test_attend},
               {"attend alone", test_attend_rows_stand_alone},
               {"attend samples", test_attend_samples},
               {"head", test_head},
               {"draw", test_draw},
               {"cache", test_cache},
               {"attend back", test_attend_back},
               {"attend wide", test_attend_wide},
               {"products back", test_products_back},
               {"full size", test_full_size},
               {"rows back", test_rows_back},
               {"loss", test_loss},
               {"adamw", test_adamw}};
    if (cuda_count() == 0) {
        err e = {0};
        cuda_card card;
        cuda_describe(0, &card, &e);
        printf("gpu_ops: skipped: %s\n", e.text);
        return 0;
    }
    struct CMUnitTest tests[N_MODE * countof(all) + 1];
    char names[N_MODE * countof(all)][48];
    for (size_t i = 0; i < N_MODE * countof(all); i++) {
        const char *mode = modes[i / countof(all)];
        snprintf(names[i], sizeof names[i], "%s on %s", all[i % countof(all)].name, mode);
        tests[i] = (struct CMUnitTest){.name = names[i],
                                       .test_func = all[i % countof(all)].run,
                                       .initial_state = (void *)(uintptr_t)mode};
    }
    tests[N_MODE * countof(all)] = (struct CMUnitTest)cmocka_unit_test(test_names);
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* a name, * for any part of it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
