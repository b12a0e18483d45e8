/* Tests of text/tree and study/schedule: packing, batches, shapes. No model is needed. */
#include "study/schedule.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct world {
    tree tree;
    arena memory;
    err err;
} world;

static void open_world(world *w)
{
    *w = (world){0};
    tree_open(&w->tree, 10000, 100000);
    assert_true(arena_open(&w->memory, (size_t)1 << 26, "test", &w->err));
}

static void close_world(world *w)
{
    assert_int_equal(w->err.code, ERR_NONE);
    tree_close(&w->tree);
    arena_close(&w->memory);
}

/* One shared head of 5, then `n` cases of 3 + i tokens with answers of 1 and 3 tokens. */
static void grow(world *w, int32_t n)
{
    int32_t ids[64];
    for (int32_t i = 0; i < 64; i++) ids[i] = i;
    int32_t head =
        tree_add(&w->tree, (tree_segment){.parent = TREE_ROOT, .kind = TREE_HEAD, .owner = -1}, ids,
                 5, &w->err);
    for (int32_t i = 0; i < n; i++) {
        tree_segment c = {.parent = head, .kind = TREE_CASE, .owner = i};
        int32_t at = tree_add(&w->tree, c, ids, 3 + i, &w->err);
        tree_segment a = {.parent = at, .kind = TREE_ANSWER, .owner = i};
        tree_add(&w->tree, a, ids, 1, &w->err);
        a.answer = 1;
        tree_add(&w->tree, a, ids, 3, &w->err);
    }
}

static void test_tree_positions(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    grow(&w, 2);
    assert_int_equal(tree_count(&w.tree), 7);
    assert_int_equal(tree_at(&w.tree, 1)->position, 5);
    assert_int_equal(tree_at(&w.tree, 2)->position, 8);
    assert_int_equal(tree_rows(tree_at(&w.tree, 2)), 0);
    assert_int_equal(tree_rows(tree_at(&w.tree, 3)), 2);
    close_world(&w);
}

static void test_tree_is_bounded(void **state)
{
    (void)state;
    tree t;
    err e = {0};
    int32_t ids[8] = {0};
    tree_open(&t, 2, 8);
    tree_segment s = {.parent = TREE_ROOT, .kind = TREE_HEAD, .owner = -1};
    assert_int_equal(tree_add(&t, s, ids, 8, &e), 0);
    assert_int_equal(tree_add(&t, s, ids, 1, &e), -1);
    assert_int_equal(e.code, ERR_RESOURCE);
    tree_close(&t);
}

static void test_batches_hold_every_item_once(void **state)
{
    (void)state;
    for (int32_t rows = 1; rows < 60; rows += 7) {
        for (int32_t most = 0; most < 4; most++) {
            world w;
            schedule s;
            open_world(&w);
            grow(&w, 20);
            assert_true(schedule_make(&s, &w.tree,
                                      (schedule_options){.rows = rows, .batch_items = most},
                                      &w.memory, &w.err));
            assert_int_equal(s.n_item, 20);
            assert_int_equal(s.n_head, 1);
            assert_int_equal(s.rows_head, 5);
            assert_int_equal(s.rows_all, 5 + 20 * 3 + 190 + 20 * 2);
            int32_t seen[20] = {0};
            for (int32_t b = 0; b < s.n_batch; b++) {
                int32_t items = s.batch[b + 1] - s.batch[b];
                assert_true(items > 0);
                assert_true(items == 1 || schedule_batch_rows(&s, b) <= rows);
                assert_true(most == 0 || items <= most);
                for (int32_t i = s.batch[b]; i < s.batch[b + 1]; i++) seen[s.item[i].owner]++;
                assert_true(s.rows_head + schedule_batch_rows(&s, b) <= s.shape.slots);
            }
            for (int32_t i = 0; i < 20; i++) assert_int_equal(seen[i], 1);
            assert_int_equal(s.shape.positions, 5 + 22 + 3);
            close_world(&w);
        }
    }
}

static void test_unshared_counts_each_prompt(void **state)
{
    (void)state;
    world w;
    schedule s;
    open_world(&w);
    grow(&w, 1);
    assert_true(schedule_make(&s, &w.tree, (schedule_options){.rows = 64}, &w.memory, &w.err));
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_positions),
        cmocka_unit_test(test_tree_is_bounded),
        cmocka_unit_test(test_batches_hold_every_item_once),
        cmocka_unit_test(test_unshared_counts_each_prompt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
