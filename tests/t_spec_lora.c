/* Tests of data/spec_lora: the `lora` map of an arm. */
#include "data/spec_lora.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

typedef struct place {
    arena a;
    spec s;
} place;

static void parse(place *p, const char *more)
{
    static const char base[] =
        "study: s\n"
        "data: {file: t.csv, id: id, text: text, label: label, split: part}\n"
        "classes: {yes: [Yes], no: [No]}\n"
        "positive: yes\n"
        "question: Was it?\n";
    char text[4000];
    err e = {0};
    snprintf(text, sizeof text, "%s%s", base, more);
    assert_true(arena_open(&p->a, (size_t)1 << 30, "test", &e));
    if (!spec_parse(&p->s, str_of(text), "study.yaml", &p->a, &e)) fail_msg("%s", e.text);
}

static void test_defaults(void **state)
{
    place p;
    (void)state;
    parse(&p, "arms:\n  - {name: zero}\n  - {name: tuned, lora: {}}\n");
    assert_int_equal(p.s.n_arm, 2);
    assert_null(p.s.arms[0].training);
    const spec_training *t = p.s.arms[1].training;
    const spec_lora *l = t->lora;
    assert_string_equal(p.s.arms[1].name.text.data, "tuned");
    assert_string_equal(t->arm.data, "tuned");
    assert_int_equal(t->seed, 1);
    assert_int_equal(t->size, 0);
    assert_int_equal(l->rank, 16);
    assert_true(l->alpha == 0 && l->targets == 0 && l->rate == 2e-4 && l->warmup == 0.05);
    assert_true(l->epochs == 1 && l->steps == 0 && l->batch == 8 && l->decay == 0 && l->clip == 1);
    assert_true(l->evaluate == 2 && l->patience == 3 && l->micro_tokens == 1024);
    assert_int_equal(l->rerun_layers, SPEC_RERUN_AUTO);
    assert_int_equal(l->weighting, SPEC_WEIGHTS_NONE);
    arena_close(&p.a);
}

static void test_every_key(void **state)
{
    place p;
    (void)state;
    parse(&p,
          "arms:\n"
          "  - name: tuned\n"
          "    lora: {rank: 8, alpha: 12.5, targets: [q, down], learning_rate: 1e-3,\n"
          "      schedule: constant, warmup: 0, steps: 70, batch: 4, weight_decay: 0.01,\n"
          "      clip: 0, seeds: 9, class_weights: {no: 0.25}, sample: balanced,\n"
          "      learn: {column: why}, evaluate: 0.5, early_stop: 0, rerun_layers: 3,\n"
          "      micro_tokens: 256, sizes: 40, sweep: {learning_rate: [1e-4, 3e-4], rank: 4}}\n");
    const spec_training *t = p.s.arms[0].training;
    const spec_lora *l = t->lora;
    assert_int_equal(p.s.n_arm, 1);
    assert_string_equal(p.s.arms[0].name.text.data, "tuned");
    assert_true(t->seed == 9 && t->size == 40);
    assert_true(l->rank == 8 && l->alpha == 12.5 && l->targets == (1u | 1u << 6));
    assert_true(l->rate == 1e-3 && l->schedule == 1 && l->warmup == 0 && l->steps == 70);
    assert_true(l->epochs == 0 && l->batch == 4 && l->decay == 0.01 && l->clip == 0);
    assert_int_equal(l->weighting, SPEC_WEIGHTS_GIVEN);
    assert_true(l->weight[0] == 1 && l->weight[1] == 0.25 && l->sample == 1);
    assert_string_equal(l->column.text.data, "why");
    assert_true(l->evaluate == 0.5 && l->patience == 0 && l->rerun_layers == 3);
    assert_int_equal(l->micro_tokens, 256);
    assert_true(l->sweep.n_rate == 2 && l->sweep.rate[1] == 3e-4);
    assert_true(l->sweep.n_rank == 1 && l->sweep.rank[0] == 4);
    arena_close(&p.a);
}

static void test_units(void **state)
{
    static const char *const names[] = {"zero",
                                        "tuned/n-50/seed-1",
                                        "tuned/n-50/seed-2",
                                        "tuned/n-50/seed-3",
                                        "tuned/n-all/seed-1",
                                        "tuned/n-all/seed-2",
                                        "tuned/n-all/seed-3",
                                        "last"};
    place p;
    (void)state;
    parse(&p, "paper: yes\narms:\n  - {name: zero}\n  - {name: tuned, lora: {sizes: [50, all]}}\n"
              "  - {name: last}\n");
    assert_int_equal(p.s.n_arm, countof(names));
    for (int i = 0; i < p.s.n_arm; i++) assert_string_equal(p.s.arms[i].name.text.data, names[i]);
    assert_true(p.s.arms[3].training->size == 50 && p.s.arms[3].training->seed == 3);
    assert_true(p.s.arms[4].training->size == 0 && p.s.arms[4].training->seed == 1);
    assert_string_equal(p.s.arms[4].training->arm.data, "tuned");
    assert_string_equal(p.s.arms[5].question.text.data, "Was it?");
    arena_close(&p.a);
}

static hash_text hash_with(const char *arm)
{
    place p;
    parse(&p, arm);
    hash_text h = p.s.hash;
    arena_close(&p.a);
    return h;
}

/* Whatever shapes an adapter changes the study's hash; how it is computed does not. */
static void test_hash(void **state)
{
    static const char *const changes[] = {"rank: 4",
                                          "alpha: 5",
                                          "targets: [q]",
                                          "learning_rate: 1e-3",
                                          "warmup: 0.5",
                                          "epochs: 2",
                                          "steps: 7",
                                          "batch: 2",
                                          "clip: 0",
                                          "seeds: 4",
                                          "class_weights: balanced",
                                          "sample: balanced",
                                          "sizes: 30",
                                          "weight_decay: 0.1",
                                          "learn: {column: c}",
                                          "micro_tokens: 64",
                                          "evaluate: 1",
                                          "early_stop: 1",
                                          "schedule: constant",
                                          "sweep: {rank: 4}"};
    (void)state;
    hash_text plain = hash_with("arms: [{name: a, lora: {}}]\n");
    for (size_t i = 0; i < countof(changes); i++) {
        char arm[200];
        snprintf(arm, sizeof arm, "arms: [{name: a, lora: {%s}}]\n", changes[i]);
        hash_text h = hash_with(arm);
        if (!strcmp(h.hex, plain.hex)) fail_msg("%s does not change the hash", changes[i]);
    }
    hash_text rerun = hash_with("arms: [{name: a, lora: {rerun_layers: 2}}]\n");
    assert_string_equal(rerun.hex, plain.hex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_every_key),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests_name("spec_lora", tests, NULL, NULL);
}
