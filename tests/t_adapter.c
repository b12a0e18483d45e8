/* Adapters on disk in PEFT's layout: one that PEFT saved is read number by number, ours come back
 * bit for bit, the rows of a GGUF base are turned and turned back, and broken ones are refused. */
#include "broken.h" /* beside this file */
#include "model/adapter_files.h"
#include "tiny.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static model_config small(const char *family)
{
    return (model_config){.family = model_family_by_gguf(str_of(family)),
                          .n_layer = 2,
                          .d_model = 4,
                          .n_head = 2,
                          .n_head_kv = 1,
                          .head_dim = 2,
                          .d_ff = 6,
                          .n_vocab = 10};
}

static model_config smollm2(void) /* the tiny one of tests/golden/models */
{
    return (model_config){.family = model_family_by_gguf(STR("llama")),
                          .n_layer = 3,
                          .d_model = 48,
                          .n_head = 3,
                          .n_head_kv = 1,
                          .head_dim = 16,
                          .d_ff = 96};
}

static arena open_memory(void)
{
    err e = {0};
    arena a;
    assert_true(arena_open(&a, (size_t)1 << 30, "test", &e));
    return a;
}

static void read_broken(const char *path, err *e)
{
    arena a = open_memory();
    model_config c = small("llama");
    lora l;
    adapter_read(&l, path, &c, &a, e);
    arena_close(&a);
}

static void test_broken(void **state)
{
    (void)state;
    assert_int_equal(broken_run("adapter", 30, read_broken), 0);
    assert_int_equal(broken_run("adapter-gguf", 28, read_broken), 0);
}

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    (void)s;
    (void)kind;
    (void)where;
    return remove(path);
}

static void assert_formula(const lora *l, int32_t layer, lora_target t, const char *module)
{
    char key[40];
    lora_pair pair;
    tiny_model m = {.seed = 20031, .bits = 24};
    assert_true(lora_pair_of(l, NULL, layer, t, &pair));
    for (int which = 0; which < 2; which++) {
        snprintf(key, sizeof key, "%d.%s.%c", layer, module, which ? 'B' : 'A');
        tiny_tensor w = {.name = key, .kind = "matrix"};
        const tensor *x = which ? &pair.b : &pair.a;
        for (int64_t i = 0; i < tensor_count(x); i++)
            assert_true(((float *)x->data)[i] == tiny_value(&m, &w, i));
    }
}

/* What PEFT's save_pretrained wrote, number by number. */
static void test_reads_what_peft_wrote(void **state)
{
    (void)state;
    arena a = open_memory();
    model_config c = smollm2();
    lora l;
    err e = {0};
    if (!adapter_read(&l, "tests/golden/lora/peft", &c, &a, &e)) fail_msg("%s", e.text);
    assert_int_equal(l.config.rank, 2);
    assert_true(l.config.alpha == 3);
    assert_int_equal(l.config.targets, 1u << LORA_Q | 1u << LORA_V | 1u << LORA_DOWN);
    for (int32_t i = 0; i < c.n_layer; i++) {
        assert_formula(&l, i, LORA_Q, "q_proj");
        assert_formula(&l, i, LORA_V, "v_proj");
        assert_formula(&l, i, LORA_DOWN, "down_proj");
    }
    arena_close(&a);
}

static void fill(lora *l)
{
    for (int64_t i = 0; i < l->n_value; i++) l->value[i] = (float)(i + 1) / 64;
}

/* Writes `l`, reads it for `c` into `back`. */
static void round_trip(const lora *l, lora *back, const model_config *c, arena *a)
{
    char folder[] = "/tmp/caseload-adapter-XXXXXX", path[200];
    err e = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/new/adapter", folder);
    if (!adapter_write(l, path, &(adapter_about){.base = "a \"base\"", .patient_derived = true},
                       &e))
        fail_msg("%s", e.text);
    if (!adapter_read(back, path, c, a, &e)) fail_msg("%s", e.text);
    snprintf(path, sizeof path, "%s/new/adapter/adapter_model.safetensors", folder);
    file_map m;
    assert_true(file_map_open(&m, path, ERR_MODEL, &e));
    assert_true(str_find((str){(const char *)m.data, m.size},
                         STR("\"contains-patient-derived-data\":\"true\"")) > 0);
    file_map_close(&m);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const families[] = {"llama", "phi3", "gemma3", "qwen2"};
    static const uint32_t targets[] = {0, 1u << LORA_O | 1u << LORA_DOWN, 1u << LORA_DOWN};
    for (size_t f = 0; f < countof(families); f++) {
        for (size_t k = 0; k < countof(targets); k++) {
            for (int gguf = 0; gguf < 2; gguf++) {
                arena a = open_memory();
                model_config c = small(families[f]);
                c.from_gguf = gguf;
                lora l, back;
                err e = {0};
                lora_config o = {.rank = 3, .alpha = 0.1, .targets = targets[k]};
                assert_true(lora_lay_out(&l, &c, o, &a, &e));
                fill(&l);
                round_trip(&l, &back, &c, &a);
                assert_int_equal(back.n_value, l.n_value);
                assert_true(back.config.alpha == l.config.alpha && back.config.rank == 3);
                assert_int_equal(back.config.targets, l.config.targets);
                assert_memory_equal(back.value, l.value, (size_t)l.n_value * sizeof(float));
                arena_close(&a);
            }
        }
    }
}

/* Trained on a GGUF base, used on its safetensors form: q's rows (head, half, j) come from (head,
 * j, half). */
static void test_gguf_rows_are_turned(void **state)
{
    (void)state;
    arena a = open_memory();
    model_config gguf = small("llama"), folder = small("llama");
    gguf.from_gguf = true;
    gguf.head_dim = folder.head_dim = 6;
    lora l, back;
    lora_pair x, y;
    err e = {0};
    assert_true(lora_lay_out(&l, &gguf, (lora_config){.rank = 1, .alpha = 1}, &a, &e));
    fill(&l);
    round_trip(&l, &back, &folder, &a);
    for (int t = 0; t < LORA_TARGETS; t++) {
        assert_true(lora_pair_of(&l, NULL, 1, (lora_target)t, &x));
        assert_true(lora_pair_of(&back, NULL, 1, (lora_target)t, &y));
        assert_memory_equal(x.a.data, y.a.data, (size_t)tensor_count(&x.a) * sizeof(float));
        for (int64_t i = 0; i < x.b.dim[0]; i++) {
            int64_t from = i, head = i / 6, half = i % 6 / 3, j = i % 3;
            if (t == LORA_Q || t == LORA_K) from = head * 6 + 2 * j + half;
            assert_true(((float *)y.b.data)[i] == ((float *)x.b.data)[from]);
        }
    }
    arena_close(&a);
}

/* An adapter on either form of a base, through a GGUF file onto either form: as through PEFT's. */
static void test_gguf_adapters(void **state)
{
    (void)state;
    static const char *const families[] = {"llama", "phi3", "gemma3", "qwen2"};
    char folder[] = "/tmp/caseload-adapter-XXXXXX", path[200];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x.gguf", folder);
    for (size_t f = 0; f < countof(families); f++) {
        for (int k = 0; k < 4; k++) {
            arena a = open_memory();
            model_config from = small(families[f]), to = small(families[f]);
            from.head_dim = to.head_dim = 6;
            from.from_gguf = k % 2;
            to.from_gguf = k / 2;
            lora l, by_folder, by_gguf;
            err e = {0};
            assert_true(lora_lay_out(&l, &from, (lora_config){.rank = 3, .alpha = 0.5}, &a, &e));
            fill(&l);
            round_trip(&l, &by_folder, &to, &a);
            assert_true(adapter_write_gguf(&l, path, &(adapter_about){.base = "x"}, &e));
            if (!adapter_read(&by_gguf, path, &to, &a, &e)) fail_msg("%s", e.text);
            assert_int_equal(by_gguf.config.rank, 3);
            assert_true(by_gguf.config.alpha == 0.5);
            assert_int_equal(by_gguf.config.targets, by_folder.config.targets);
            assert_memory_equal(by_gguf.value, by_folder.value, (size_t)l.n_value * sizeof(float));
            arena_close(&a);
        }
    }
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_rslora_and_no_room(void **state)
{
    (void)state;
    arena a = open_memory();
    model_config c = small("llama");
    lora l;
    err e = {0};
    assert_true(lora_lay_out(&l, &c, (lora_config){.rank = 4, .alpha = 1}, &a, &e));
    fill(&l);
    assert_false(adapter_write(&l, "/proc/none/adapter", &(adapter_about){.base = ""}, &e));
    assert_int_equal(e.code, ERR_RESOURCE);
    /* The files of a good adapter, but its configuration says rslora: alpha / sqrt(r). */
    e = (err){0};
    file_map m;
    assert_true(
        file_map_open(&m, "tests/golden/lora/peft/adapter_model.safetensors", ERR_MODEL, &e));
    static const char config[] =
        "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":3,\"use_rslora\":true}";
    model_config tiny = smollm2();
    adapter_bytes files = {"config", "tensors", str_of(config), {(const char *)m.data, m.size}};
    lora back;
    if (!adapter_parse(&back, &files, &tiny, &a, &e)) fail_msg("%s", e.text);
    lora_pair pair;
    assert_true(lora_pair_of(&back, NULL, 0, LORA_Q, &pair));
    assert_true(fabs((double)pair.scale - 3 / sqrt(2)) < 1e-6);
    file_map_close(&m);
    arena_close(&a);
}

/* `t_adapter write FOLDER` writes PEFT's adapter again, for tools/golden/check_adapter.py. */
static int write_again(const char *folder)
{
    arena a = open_memory();
    model_config c = smollm2();
    lora l;
    err e = {0};
    bool ok = adapter_read(&l, "tests/golden/lora/peft", &c, &a, &e) &&
              adapter_write(&l, folder, &(adapter_about){.base = "smollm2"}, &e);
    if (!ok) printf("%s\n", e.text);
    arena_close(&a);
    return !ok;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "write") == 0) return write_again(argv[2]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_broken),
                                       cmocka_unit_test(test_reads_what_peft_wrote),
                                       cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_gguf_rows_are_turned),
                                       cmocka_unit_test(test_gguf_adapters),
                                       cmocka_unit_test(test_rslora_and_no_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
