/* Packed matrices in bitsandbytes' layout: what it packed stands for the same values here, bit for
 * bit; what we pack has its codes; broken ones are refused by name. */
#include "base/hash.h"
#include "broken.h" /* beside this file */
#include "model/convert.h"
#include "model/packed.h"
#include "tiny.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    (void)s;
    (void)kind;
    (void)where;
    return remove(path);
}

static arena open_memory(void)
{
    err e = {0};
    arena a;
    assert_true(arena_open(&a, (size_t)1 << 32, "test", &e));
    return a;
}

static void read_broken(const char *path, err *e)
{
    arena a = open_memory();
    model_header h;
    if (model_peek_without_tokenizer(&h, path, &a, e)) model_close_header(&h);
    arena_close(&a);
}

static void test_broken(void **state)
{
    (void)state;
    assert_int_equal(broken_run("packed", 28, read_broken), 0);
}

static json_t *golden(void)
{
    json_error_t why;
    json_t *root = json_load_file("tests/golden/packed/values.json", 0, &why);
    assert_non_null(root);
    return root;
}

static const char *text_of(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

static void test_values(void **state)
{
    (void)state;
    json_t *root = golden(), *row;
    size_t i;
    json_array_foreach(json_object_get(root, "rows"), i, row)
    {
        arena a = open_memory();
        model_header h;
        err e = {0};
        char path[200];
        snprintf(path, sizeof path, "tests/golden/packed/%s", text_of(row, "folder"));
        if (!model_peek_without_tokenizer(&h, path, &a, &e)) fail_msg("%s", e.text);
        const tensor_entry *t = model_find_tensor(&h, text_of(row, "name"));
        assert_non_null(t);
        tensor w;
        assert_true(packed_tensor(&w, t, &a, &e));
        const int64_t n = tensor_count(&w);
        float *x = test_malloc((size_t)n * sizeof *x);
        dtype_to_f32(w.type, x, w.data, n);
        assert_string_equal(hash_of(x, (size_t)n * sizeof *x).hex, text_of(row, "values"));
        test_free(x);
        model_close_header(&h);
        arena_close(&a);
    }
    json_decref(root);
}

/* The same matrices, packed here. */
static void test_codes(void **state)
{
    (void)state;
    json_t *root = golden(), *row;
    float map[256];
    size_t i;
    packed_nested_map(map);
    assert_string_equal(hash_of(map, sizeof map).hex, text_of(root, "nested_map"));
    json_array_foreach(json_object_get(root, "rows"), i, row)
    {
        if (strcmp(text_of(row, "folder"), "nf4")) continue; /* int8 went through float16 there */
        const char *name = text_of(row, "name");
        const bool down = strstr(name, "down_proj"), wide = down || strstr(name, "mlp");
        const bool half = strstr(name, "k_proj") || strstr(name, "v_proj");
        const int64_t columns = down ? 96 : 64, rows = down ? 64 : wide ? 96 : half ? 32 : 64;
        const int64_t n = rows * columns, blocks = n / PACKED_BLOCK;
        tiny_model m = {.seed = 20031, .bits = 24};
        tiny_tensor w = {.name = name, .kind = "matrix"};
        float *x = test_malloc((size_t)n * sizeof *x), absmax[256], outer[1], offset;
        uint8_t *code = test_malloc((size_t)n / 2), absmax_code[256];
        for (int64_t k = 0; k < n; k++) x[k] = tiny_value(&m, &w, k);
        packed_encode_nf4(code, absmax, x, n, 0, blocks);
        assert_string_equal(hash_of(code, (size_t)n / 2).hex, text_of(row, "codes"));
        float exact[256];
        memcpy(exact, absmax, sizeof exact);
        packed_encode_nested(absmax_code, outer, &offset, absmax, blocks);
        for (int64_t k = 0; k < blocks; k++) /* the widest gap of the code book is 0.014 */
            assert_true(fabsf(absmax[k] - exact[k]) <= 0.0071f * outer[0] + 1e-7f);
        test_free(x);
        test_free(code);
    }
    json_decref(root);
}

/* Packed here, read here: the values that were promised, and f32 out of it is exact. */
static void test_round_trip(void **state)
{
    (void)state;
    static const char *const types[] = {"nf4", "int8"};
    static const double bounds[] = {0.12, 0.012};
    char folder[] = "/tmp/caseload-packed-XXXXXX", path[4][200];
    tiny_model t;
    assert_true(tiny_open(&t, "qwen2"));
    assert_non_null(mkdtemp(folder));
    snprintf(path[0], sizeof path[0], "%s/hf", folder);
    tiny_write_folder(&t, path[0], 0);
    for (size_t i = 0; i < countof(types); i++) {
        err e = {0};
        buf report = buf_up_to(1 << 20);
        snprintf(path[1], sizeof path[1], "%s/%s", folder, types[i]);
        snprintf(path[2], sizeof path[2], "%s/%s.gguf", folder, types[i]);
        pool *threads = pool_open(2, &e);
        convert_options pack = {.model = path[0],
                                .out = path[1],
                                .type = types[i],
                                .threads = threads};
        convert_options back = {.model = path[1], .out = path[2], .threads = threads};
        if (!convert_model(&pack, &report, &e)) fail_msg("%s", e.text);
        if (!convert_model(&back, &report, &e)) fail_msg("%s", e.text);
        buf_close(&report);
        pool_close(threads);
        arena a = open_memory();
        model_header h[3];
        for (int k = 0; k < 3; k++)
            if (!model_peek(&h[k], path[k], &a, &e)) fail_msg("%s", e.text);
        double off = 0, all = 0;
        for (int32_t k = 0; k < h[0].n_tensor; k++) {
            const tensor_entry *p = &h[0].tensor[k], *q = model_find_tensor(&h[1], p->name.data);
            assert_non_null(q);
            const int64_t n = tensor_count(&p->view);
            assert_int_equal(n, tensor_count(&q->view));
            assert_true((q->packed != NULL) ==
                        (p->view.rank == 2 && str_find(p->name, STR("layers.")) > 0));
            if (!q->packed) continue;
            tensor w;
            assert_true(packed_tensor(&w, q, &a, &e));
            float *x = arena_take(&a, (size_t)n, sizeof *x, &e),
                  *y = arena_take(&a, (size_t)n, sizeof *y, &e);
            dtype_to_f32(p->view.type, x, p->view.data, n);
            dtype_to_f32(w.type, y, w.data, n);
            for (int64_t j = 0; j < n; j++) {
                off += pow((double)x[j] - (double)y[j], 2);
                all += pow((double)x[j], 2);
            }
        }
        const tensor_entry *g = model_find_tensor(&h[2], "blk.1.ffn_down.weight");
        const tensor_entry *q = model_find_tensor(&h[1], "model.layers.1.mlp.down_proj.weight");
        tensor w;
        assert_true(g && q && packed_tensor(&w, q, &a, &e));
        float *y = arena_take(&a, (size_t)tensor_count(&w), sizeof *y, &e);
        dtype_to_f32(w.type, y, w.data, tensor_count(&w));
        assert_int_equal(g->view.type, DTYPE_F32);
        assert_memory_equal(g->view.data, y, (size_t)tensor_count(&w) * sizeof *y);
        print_message("%s: relative error %.4f\n", types[i], sqrt(off / all));
        assert_true(sqrt(off / all) < bounds[i]);
        for (int k = 0; k < 3; k++) model_close_header(&h[k]);
        arena_close(&a);
    }
    tiny_close(&t);
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_broken), cmocka_unit_test(test_values),
                                       cmocka_unit_test(test_codes),
                                       cmocka_unit_test(test_round_trip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
