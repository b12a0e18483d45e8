/* Tests of attention and of the answer head, on every path against ref, and of the promise that a
 * row's bits depend on its own query and keys alone. */
#include "attend_tests.h" /* beside this file */

#include <stdlib.h>

static void test_attend_against_ref(void **state)
{
    (void)state;
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2), q = place_open("ref", 2);
        rng r = rng_for(1, 2, 3);
        for (int c = 0; c < 60; c++) {
            int64_t hd = job_dims[c % (int)countof(job_dims)], g = 1 + (int64_t)rng_below(&r, 3);
            int64_t h = g * (1 + (int64_t)rng_below(&r, 5));
            job j;
            job_make(&j, &r, 1 + c % 3, (int32_t)rng_below(&r, 200), c % 4 == 1 ? 5.0f : 0,
                     c % 3 == 1 ? 1 + (int32_t)rng_below(&r, 150) : 0);
            tensor x = heads_of(&p, &r, j.rows, h, hd), k = heads_of(&p, &r, j.slots, g, hd);
            tensor v = heads_of(&p, &r, j.slots, g, hd), y = copy(&p, x), z = copy(&p, x);
            op_attend(&p.b, y, x, k, v, &j.plan);
            op_attend(&q.b, z, x, k, v, &j.plan);
            assert_close(y, z, 6e-6 * (1 + largest_of(rows_of(k, 0, 1))));
            place_reset(&p);
        }
        place_close(&p), place_close(&q);
    }
}

/* The rows of one case, computed in pieces, with other cases beside them or not, by other
 * threads. */
static void test_attend_rows_stand_alone(void **state)
{
    (void)state;
    for (int d = 0; d < n_device(); d++) {
        place two = place_open(device(d), 2), one = place_open(device(d), 1),
              three = place_open(device(d), 3);
        place *places[] = {&two, &one, &three};
        rng r = rng_for(3, 2, 1);
        for (int c = 0; c < 40; c++) {
            int64_t hd = job_dims[c % (int)countof(job_dims)], g = 1 + (int64_t)rng_below(&r, 2);
            int64_t h = g * (1 + (int64_t)rng_below(&r, 4));
            job j;
            job_make(&j, &r, 3, (int32_t)rng_below(&r, 100), c % 4 == 1 ? 5.0f : 0,
                     c % 3 == 1 ? 1 + (int32_t)rng_below(&r, 150) : 0);
            tensor q = heads_of(&two, &r, j.rows, h, hd), k = heads_of(&two, &r, j.slots, g, hd);
            tensor v = heads_of(&two, &r, j.slots, g, hd), y = copy(&two, q), z = copy(&two, q);
            op_attend(&two.b, y, q, k, v, &j.plan);
            for (int i = 0; i < 3; i++) {
                for (int32_t first = 0, n = 0; first < j.span[i].count; first += n) {
                    n = 1 + (int32_t)rng_below(&r, 30);
                    if (n > j.span[i].count - first) n = j.span[i].count - first;
                    job_piece t;
                    job_piece_make(&t, &j, i, first, n);
                    op_attend(&places[n % 3]->b, rows_of(z, t.row, n), rows_of(q, t.row, n), k, v,
                              &t.plan);
                }
            }
            assert_memory_equal(y.data, z.data, (size_t)tensor_count(&y) * 4);
            place_reset(&two);
        }
        place_close(&two), place_close(&one), place_close(&three);
    }
}

static void test_attend_to_nothing(void **state)
{
    (void)state;
    for (int d = 0; d <= n_device(); d++) {
        place p = place_open(d < n_device() ? device(d) : "ref", 1);
        rng r = rng_for(9, 9, 9);
        tensor q = heads_of(&p, &r, 2, 2, 16), k = heads_of(&p, &r, 4, 1, 16), y = copy(&p, q);
        attend_range range = {.slot = 0, .count = 4, .position = 5};
        attend_span span = {.row = 0, .count = 2, .position = 4, .n_range = 1};
        attend_plan plan = {.span = &span, .range = &range, .n_span = 1, .scale = 1};
        op_attend(&p.b, y, q, k, k, &plan); /* query 4 sees none, query 5 sees the first */
        for (int i = 0; i < 32; i++) assert_true(((float *)y.data)[i] == 0);
        for (int i = 0; i < 32; i++)
            assert_true(((float *)y.data)[32 + i] == ((float *)k.data)[i % 16]);
        place_close(&p);
    }
}

static void test_attend_large_logits(void **state)
{
    (void)state;
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2), q = place_open("ref", 2);
        rng r = rng_for(8, 8, 8);
        job j;
        job_make(&j, &r, 2, 150, 0, 0);
        j.plan.scale = 100;
        tensor x = heads_of(&p, &r, j.rows, 3, 64), k = heads_of(&p, &r, j.slots, 1, 64);
        tensor v = heads_of(&p, &r, j.slots, 1, 64), y = copy(&p, x), z = copy(&p, x);
        op_attend(&p.b, y, x, k, v, &j.plan);
        op_attend(&q.b, z, x, k, v, &j.plan);
        assert_close(y, z, 2e-2); /* logits of +-4,000: their last bit is worth 2e-4 */
        for (int i = 0; i < 64; i++) ((float *)x.data)[i] = i % 2 ? NAN : INFINITY;
        op_attend(&p.b, y, x, k, v, &j.plan);
        place_close(&p), place_close(&q);
    }
}

typedef struct answer {
    int64_t start[40];
    int32_t pick[120], top_id[40 * HEAD_TOP_MAX];
    double lse[40];
    float pick_logit[120], top_logit[40 * HEAD_TOP_MAX];
    head_request want;
    head_result got;
} answer;

static void answer_make(answer *a, rng *r, int64_t m, int32_t n_vocab, int32_t n_top, float softcap)
{
    a->start[0] = 0;
    for (int64_t i = 0; i < m; i++) {
        a->start[i + 1] = a->start[i] + (int64_t)rng_below(r, 4);
        for (int64_t k = a->start[i]; k < a->start[i + 1]; k++) {
            a->pick[k] = (int32_t)rng_below(r, (uint64_t)n_vocab);
        }
    }
    a->want = (head_request){a->start, a->pick, n_top, softcap};
    a->got = (head_result){a->lse, a->pick_logit, a->top_id, a->top_logit};
}

static void test_head_against_ref(void **state)
{
    (void)state;
    static const int32_t vocabs[] = {1, 5, 63, 64, 511, 512, 513, 1024, 2999};
    answer *a = calloc(1, sizeof *a), *c = calloc(1, sizeof *c);
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 2), q = place_open("ref", 2);
        rng r = rng_for(5, 6, 7);
        for (int i = 0; i < 36; i++) {
            int32_t n_vocab = vocabs[i % 9], n_top = 1 + (int32_t)rng_below(&r, 12);
            if (n_top > n_vocab) n_top = n_vocab;
            int64_t m = 1 + (int64_t)rng_below(&r, 39), in = i % 2 ? 576 : 1024;
            dtype type = i % 4 == 0 ? DTYPE_Q6_K : i % 4 == 1 ? DTYPE_Q8_0 : DTYPE_F16;
            tensor w = weight(&p, &r, type, n_vocab, in), x = randoms(&p, &r, m, in);
            float cap = i % 3 == 1 ? 30.0f : 0;
            answer_make(a, &r, m, n_vocab, n_top, cap);
            *c = *a;
            c->want.pick_start = c->start, c->want.pick_id = c->pick;
            c->got = (head_result){c->lse, c->pick_logit, c->top_id, c->top_logit};
            op_head(&p.b, x, w, &a->want, &a->got);
            op_head(&q.b, x, w, &c->want, &c->got);
            double close = 4e-6 * sqrt((double)in) * largest_of(w) * 3 + (cap > 0 ? 1e-5 : 0);
            for (int64_t k = 0; k < m; k++) {
                assert_true(fabs(a->lse[k] - c->lse[k]) <= close);
                for (int t = 0; t < n_top; t++) {
                    assert_true(fabsf(a->top_logit[k * n_top + t] - c->top_logit[k * n_top + t]) <=
                                (float)close);
                    assert_true(t == 0 ||
                                a->top_logit[k * n_top + t] <= a->top_logit[k * n_top + t - 1]);
                }
            }
            for (int64_t k = 0; k < a->start[m]; k++) {
                assert_true(fabsf(a->pick_logit[k] - c->pick_logit[k]) <= (float)close);
            }
            place_reset(&p);
        }
        place_close(&p), place_close(&q);
    }
    free(a), free(c);
}

/* Rows alone, and equal logits: ties go to the lower id whatever thread met it first. */
static void test_head_rows_stand_alone(void **state)
{
    (void)state;
    answer *a = calloc(1, sizeof *a), *c = calloc(1, sizeof *c);
    for (int d = 0; d < n_device(); d++) {
        place p = place_open(device(d), 3), q = place_open(device(d), 1);
        rng r = rng_for(5, 6, 7);
        enum { M = 39, V = 2999, D = 320, TOP = 40 };
        tensor w = weight(&p, &r, DTYPE_Q4_1, V, D), x = randoms(&p, &r, M, D);
        int64_t bytes = 0;
        assert_true(dtype_row_bytes(DTYPE_Q4_1, D, &bytes));
        for (int id = 100; id < V; id++) { /* 100 different rows, each 30 times */
            memcpy((char *)w.data + id * bytes, (char *)w.data + id % 100 * bytes, (size_t)bytes);
        }
        answer_make(a, &r, M, V, TOP, 0);
        op_head(&p.b, x, w, &a->want, &a->got);
        for (int i = 0; i < M; i++) {
            answer_make(c, &r, 1, V, TOP, 0);
            c->start[1] = a->start[i + 1] - a->start[i];
            memcpy(c->pick, a->pick + a->start[i], (size_t)c->start[1] * 4);
            op_head(&q.b, rows_of(x, i, 1), w, &c->want, &c->got);
            assert_memory_equal(&a->lse[i], c->lse, 8);
            assert_memory_equal(a->top_id + i * TOP, c->top_id, TOP * 4);
            assert_memory_equal(a->top_logit + i * TOP, c->top_logit, TOP * 4);
            assert_memory_equal(a->pick_logit + a->start[i], c->pick_logit,
                                (size_t)c->start[1] * 4);
            for (int t = 1; t < 29; t++) assert_int_equal(c->top_id[t], c->top_id[t - 1] + 100);
        }
        place_close(&p), place_close(&q);
    }
    free(a), free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attend_against_ref), cmocka_unit_test(test_attend_rows_stand_alone),
        cmocka_unit_test(test_attend_to_nothing),  cmocka_unit_test(test_attend_large_logits),
        cmocka_unit_test(test_head_against_ref),   cmocka_unit_test(test_head_rows_stand_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
