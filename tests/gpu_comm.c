/* What goes between ranks: gradients added in the order of their micro-batches, to the bit, for
 * sizes that do not divide and rounds that are not full; copies from card to card; and that a rank
 * which fails ends all in a sentence, where NCCL's kernels on other cards wait for it. On every
 * card of this machine; with one card, on two ranks that stand there. Without a GPU every test is
 * skipped, with one line. */
#include "base/rng.h"
#include "compute/comm.h"
#include "compute/cuda/cuda.h"
#include "compute/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_MAX = 1000003, FAIL_SECONDS = 60 };
enum { OTHERS_MAX = 1200 << 20 }; /* bytes in use, our own context among them */

typedef struct world {
    pool *threads;
    int32_t n;
    backend b[RANKS_MAX];
    arena host;
} world;

static void open_world(world *w)
{
    err e = {0};
    const int32_t cards = cuda_count();
    *w = (world){.threads = pool_open(2, &e), .n = cards > 1 ? cards : 2};
    for (int32_t i = 0; i < w->n; i++) {
        char name[32];
        snprintf(name, sizeof name, "cuda:%d", i % cards);
        if (!backend_open(&w->b[i], name, w->threads, &e)) fail_msg("%s", e.text);
    }
}

static void close_world(world *w)
{
    for (int32_t i = 0; i < w->n; i++) {
        device_enter(&w->b[i]);
        backend_close(&w->b[i]);
    }
    pool_close(w->threads);
}

static void take_rank(comm_rank *r, world *w, int32_t i, int64_t n_value, arena *a)
{
    err e = {0};
    *r = (comm_rank){.backend = &w->b[i]};
    r->grad = device_take(r->backend, a, (size_t)n_value, sizeof(float), &e);
    r->total = device_take(r->backend, a, (size_t)n_value, sizeof(float), &e);
    assert_true(comm_lay_out(r, w->n, n_value, a, &e));
}

static void open_comm(comm *c, world *w, int64_t n_value)
{
    err e = {0};
    *c = (comm){.n = w->n, .n_value = n_value};
    assert_true(arena_open(&w->host, 1 << 20, "test", &e));
    for (int32_t i = 0; i < w->n; i++) {
        arena plan = ARENA_MEASURE;
        device_measure(&w->b[i]);
        take_rank(&c->rank[i], w, i, n_value, &plan);
        device_enter(&w->b[i]);
        if (!device_reserve(&w->b[i], device_planned(&w->b[i]), &e)) fail_msg("%s", e.text);
        take_rank(&c->rank[i], w, i, n_value, &w->host);
        op_zero(&w->b[i], tensor_f32(c->rank[i].total, 1, n_value));
        op_zero(&w->b[i], tensor_f32(c->rank[i].grad, 1, n_value));
        assert_true(backend_sync(&w->b[i], &e));
    }
    device_enter(&w->b[0]);
    if (!comm_open(c, &e)) fail_msg("%s", e.text);
}

static void close_comm(comm *c, world *w)
{
    comm_close(c);
    arena_close(&w->host);
}

static float *numbers(void)
{
    float *x = malloc(N_MAX * sizeof *x);
    assert_non_null(x);
    return x;
}

/* Three rounds, the last with `used` ranks. */
static void check_sums(world *w, int64_t n_value, int32_t used)
{
    float *sum = numbers(), *x = numbers();
    comm c;
    err e = {0};
    open_comm(&c, w, n_value);
    memset(sum, 0, (size_t)n_value * sizeof *sum);
    for (int32_t round = 0; round < 3; round++) {
        const int32_t n = round < 2 ? w->n : used;
        for (int32_t i = 0; i < n; i++) {
            rng r = rng_for(3, (uint64_t)(round * w->n + i), (uint64_t)n_value);
            for (int64_t k = 0; k < n_value; k++) {
                x[k] = (float)rng_unit(&r) - 0.5f;
                sum[k] += x[k];
            }
            device_enter(&w->b[i]);
            device_write(&w->b[i], c.rank[i].grad, x, (size_t)n_value * sizeof *x);
        }
        if (!comm_add(&c, n, &e)) fail_msg("%s", e.text);
    }
    if (!comm_share(&c, &e)) fail_msg("%s", e.text);
    for (int32_t i = 0; i < w->n; i++) {
        device_enter(&w->b[i]);
        device_read(&w->b[i], x, c.rank[i].total, (size_t)n_value * sizeof *x);
        assert_memory_equal(x, sum, (size_t)n_value * sizeof *x);
        device_read(&w->b[i], x, c.rank[i].grad, (size_t)n_value * sizeof *x);
        for (int64_t k = 0; k < n_value; k++) assert_true(x[k] == 0);
    }
    close_comm(&c, w);
    free(sum);
    free(x);
}

static void test_sums_are_in_order(void **state)
{
    (void)state;
    world w;
    const int64_t sizes[] = {1, 129, 4099, N_MAX};
    open_world(&w);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int32_t used = 1; used <= w.n; used += i < 3 ? 1 : w.n) check_sums(&w, sizes[i], used);
    }
    close_world(&w);
}

/* What NCCL takes of each card is planned; by copies nothing is taken. */
static void test_memory_is_planned(void **state)
{
    (void)state;
    world w;
    comm c;
    err e = {0};
    int64_t before[RANKS_MAX];
    size_t planned[RANKS_MAX];
    for (int32_t i = 0; i < cuda_count(); i++) {
        cuda_card card;
        assert_true(cuda_describe(i, &card, &e));
        if (card.bytes_free > card.bytes_total - OTHERS_MAX) continue;
        print_message("skip: others use GPU %d\n", i);
        skip();
    }
    open_world(&w);
    for (int32_t i = 0; i < w.n; i++) before[i] = device_room(&w.b[i]);
    open_comm(&c, &w, N_MAX);
    for (int32_t i = 0; i < w.n; i++) planned[i] = device_used(&w.b[i]);
    if (!comm_add(&c, w.n, &e) || !comm_share(&c, &e)) fail_msg("%s", e.text);
    for (int32_t i = 0; i < w.n && cuda_count() > 1; i++) {
        const int64_t took = before[i] - device_room(&w.b[i]);
        print_message("rank %d: %.1f MB of %.1f planned, gradients %s\n", i, (double)took / 1e6,
                      (double)planned[i] / 1e6, comm_way(&c));
        assert_true(took <= (int64_t)planned[i] + (8 << 20)); /* the driver takes whole pages */
    }
    close_comm(&c, &w);
    close_world(&w);
}

/* What one rank has goes to every other one, whole, behind what was started before. */
static void test_numbers_pass_from_card_to_card(void **state)
{
    (void)state;
    float *x = numbers(), *y = numbers();
    world w;
    comm c;
    err e = {0};
    open_world(&w);
    open_comm(&c, &w, N_MAX);
    for (int32_t from = 0; from < w.n; from++) {
        for (int32_t to = 0; to < w.n; to++) {
            backend *a = &w.b[from], *b = &w.b[to];
            if (to == from) continue;
            for (int64_t k = 0; k < N_MAX; k++) x[k] = (float)(k % 1000 + from);
            device_enter(a);
            device_write(a, c.rank[from].grad, x, N_MAX * sizeof *x);
            device_enter(b);
            device_write(b, c.rank[to].grad, x, N_MAX * sizeof *x);
            device_enter(a);
            for (int i = 0; i < 50; i++) /* of zeros; the copy is behind them */
                op_add(a, tensor_f32(c.rank[from].grad, 1, N_MAX),
                       tensor_f32(c.rank[from].total, 1, N_MAX));
            device_pass(a, c.rank[from].grad, b, c.rank[to].total, N_MAX * sizeof *x);
            device_enter(b);
            op_add(b, tensor_f32(c.rank[to].total, 1, N_MAX),
                   tensor_f32(c.rank[to].grad, 1, N_MAX));
            device_read(b, y, c.rank[to].total, N_MAX * sizeof *y);
            for (int64_t k = 0; k < N_MAX; k++) assert_true(y[k] == 2 * x[k]);
            op_zero(b, tensor_f32(c.rank[to].total, 1, N_MAX));
            assert_true(backend_sync(b, &e));
        }
    }
    close_comm(&c, &w);
    close_world(&w);
    free(x);
    free(y);
}

/* In a process of its own, whose card cannot be used any more afterwards. */
static int fail_alone(void)
{
    world w;
    comm c;
    err e = {0};
    open_world(&w);
    open_comm(&c, &w, N_MAX);
    if (!comm_add(&c, w.n, &e)) return 2;
    backend *last = &w.b[w.n - 1];
    device_enter(last);
    for (int i = 0; i < 5000; i++) /* others are in NCCL's kernels by then */
        op_add(last, tensor_f32(c.rank[w.n - 1].total, 1, N_MAX),
               tensor_f32(c.rank[w.n - 1].grad, 1, N_MAX));
    op_add(last, tensor_f32((float *)(uintptr_t)64, 1, N_MAX), /* nobody's memory */
           tensor_f32(c.rank[w.n - 1].grad, 1, N_MAX));
    device_enter(&w.b[0]);
    if (comm_add(&c, w.n, &e)) return 3;
    printf("told: %s\n", e.text);
    if (e.code != ERR_RESOURCE) return 4;
    comm_close(&c);
    close_world(&w);
    return 0;
}

static void test_a_failing_rank_ends_all(void **state)
{
    (void)state;
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(FAIL_SECONDS); /* outlives the exec */
        execl("/proc/self/exe", "gpu_comm", "fail", (char *)NULL);
        _exit(9);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    if (WIFSIGNALED(how)) fail_msg("ended by signal %d: it hung, or worse", WTERMSIG(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (cuda_count() == 0) {
        puts("skip: no NVIDIA GPU can be used here");
        return 0;
    }
    if (argc > 1) return fail_alone();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_planned),
        cmocka_unit_test(test_sums_are_in_order),
        cmocka_unit_test(test_numbers_pass_from_card_to_card),
        cmocka_unit_test(test_a_failing_rank_ends_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
