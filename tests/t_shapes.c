/* Tests of model/shapes, cards, plan and base/room: published figures, names, sizes of memory,
 * headers made without weights against those of files, room for memory as the kernel states it. */
#include "base/room.h"
#include "model/cards.h"
#include "model/plan.h"
#include "model/shapes.h"
#include "tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const families[] = {
    "llama2", "llama3.1", "llama-coarse",  "smollm2", "mistral", "qwen2",         "qwen3",
    "gemma",  "gemma2",   "gemma2-scaled", "gemma3",  "phi3",    "phi3-longrope", "gemma3-linear",
};

static void open_arena(arena *a)
{
    err e = {0};
    assert_true(arena_open(a, (size_t)1 << 30, "test", &e));
}

/* Every published count, to the last parameter; the sources are named in shapes.c. The figures are
 * stated here once more, so that an edit of the table alone cannot pass. */
static void shapes_count_what_is_published(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t published;
    } known[] = {
        {"7b-llama", 6738415616},        {"13b-llama", 13015864320},
        {"30b-llama", 32528943616},      {"65b-llama", 65285660672},
        {"7b-medalpaca", 6738415616},    {"13b-medalpaca", 13015864320},
        {"7b-llama2", 6738415616},       {"13b-llama2", 13015864320},
        {"70b-llama2", 68976648192},     {"7b-meditron", 6738554880},
        {"70b-meditron", 68976926720},   {"8b-llama3", 8030261248},
        {"70b-llama3", 70553706496},     {"1b-llama3.2", 1235814400},
        {"3b-llama3.2", 3212749824},     {"8b-llama3.1", 8030261248},
        {"70b-llama3.1", 70553706496},   {"70b-llama3.3", 70553706496},
        {"405b-llama3.1", 405853388800}, {"2b-gemma", 2506172416},
        {"7b-gemma", 8537680896},        {"2b-gemma2", 2614341888},
        {"9b-gemma2", 9241705984},       {"27b-gemma2", 27227128320},
        {"270m-gemma3", 268098176},      {"1b-gemma3", 999885952},
        {"4b-gemma3", 4300079472},       {"12b-gemma3", 12187325040},
        {"27b-gemma3", 27432406640},     {"4b-medgemma", 4300079472},
        {"27b-medgemma", 27009002240},   {"27b-medgemma-it", 27432406640},
        {"7b-mistral", 7241732096},      {"7b-mistral0.3", 7248023552},
        {"12b-mistral", 12247782400},    {"24b-mistral", 23572403200},
        {"0.5b-qwen2.5", 494032768},     {"1.5b-qwen2.5", 1543714304},
        {"3b-qwen2.5", 3085938688},      {"7b-qwen2.5", 7615616512},
        {"14b-qwen2.5", 14770033664},    {"32b-qwen2.5", 32763876352},
        {"72b-qwen2.5", 72706203648},    {"0.6b-qwen3", 596049920},
        {"1.7b-qwen3", 1720574976},      {"4b-qwen3", 4022468096},
        {"8b-qwen3", 8190735360},        {"14b-qwen3", 14768307200},
        {"32b-qwen3", 32762123264},      {"3.8b-phi3", 3821079552},
        {"3.8b-phi3.5", 3821079552},     {"14b-phi3", 13960238080},
        {"14b-phi4", 14659507200},       {"135m-smollm2", 134515008},
        {"360m-smollm2", 361821120},     {"1.7b-smollm2", 1711376384},
        {"1.1b-tinyllama", 1100048384},
    };
    int32_t n = 0;
    const shape *all = shapes_all(&n);
    assert_int_equal(n, countof(known));
    arena a;
    open_arena(&a);
    for (int32_t i = 0; i < n; i++) {
        err e = {0};
        model_config c;
        model_header h;
        model_weights w;
        arena_reset(&a, 0);
        assert_string_equal(all[i].name, known[i].name);
        assert_true(all[i].n_parameter == known[i].published);
        assert_true(shape_config(&all[i], &c, &a, &e));
        plan_source from = {all[i].name, &c, plan_numbers_find("bf16"), NULL};
        assert_true(plan_header(&h, &from, &a, &e));
        assert_true(h.n_parameter + all[i].n_eyes == known[i].published);
        assert_true(h.bytes_weights == 2 * h.n_parameter);
        assert_true(model_bind(&w, &h, &a, &e)); /* every tensor that binding asks for is there */
        assert_int_equal(w.n_unused, 0);
        /* Known again by its sizes; twins (a fine-tuned model, a later release) share them. */
        const shape *again = shape_of_config(&c);
        assert_non_null(again);
        assert_true(again->n_parameter - again->n_eyes == h.n_parameter || again->d_ff == c.d_ff);
    }
    arena_close(&a);
}

static void shapes_are_found_by_any_spelling(void **state)
{
    (void)state;
    err e = {0};
    static const char *const said[] = {"7b-llama2", "llama2-7b", "Llama2-7B", "7B-LLAMA2"};
    for (size_t i = 0; i < countof(said); i++)
        assert_string_equal(shape_find(said[i], &e)->name, "7b-llama2");
    assert_string_equal(shape_find("SmolLM2-135M", &e)->name, "135m-smollm2");
    assert_string_equal(shape_smaller(shape_find("13b-llama2", &e))->name, "7b-llama2");
    assert_null(shape_smaller(shape_find("7b-llama2", &e)));
    assert_null(shape_find("7b-lama2", &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_non_null(strstr(e.text, "did you mean `7b-llama2`"));
    e = (err){0};
    assert_null(shape_find("", &e));
    assert_null(
        shape_find("a-very-long-name-that-no-model-has-ever-had-and-none-will-have-either", &e));
}

static void cards_are_found_by_any_spelling(void **state)
{
    (void)state;
    static const char *const said[][2] = {
        {"a6000", "a6000"},         {"RTX A6000", "a6000"}, {"NVIDIA RTX A6000", "a6000"},
        {"RTX 4090", "rtx4090"},    {"4090", "rtx4090"},    {"GeForce RTX 5090", "rtx5090"},
        {"A100 80GB", "a100-80"},   {"a100-40", "a100-40"}, {"Tesla T4", "t4"},
        {"h100-pcie", "h100-pcie"}, {"H200", "h200"},       {"V100-16GB", "v100-16"},
    };
    for (size_t i = 0; i < countof(said); i++) {
        err e = {0};
        const card *c = card_find(said[i][0], &e);
        assert_non_null(c);
        assert_string_equal(c->name, said[i][1]);
    }
    int32_t n = 0;
    const card *all = cards_all(&n);
    for (int32_t i = 0; i < n; i++) {
        err e = {0};
        assert_ptr_equal(card_find(all[i].name, &e), &all[i]);
        assert_true(all[i].bytes_reserve > 0 && all[i].bytes_reserve < all[i].bytes_total / 3);
        assert_true(all[i].bandwidth > 1e10 && all[i].bandwidth < 1e13);
        assert_true(all[i].rate > 1e11 && all[i].rate < 1e16 && all[i].rows >= 512);
    }
    err e = {0};
    static const char *const drivers[][2] = {{"NVIDIA H200, sm_90, cuBLASLt 13", "h200"},
                                             {"NVIDIA H100 80GB HBM3", "h100"},
                                             {"NVIDIA H100 PCIe", "h100-pcie"},
                                             {"NVIDIA A100-SXM4-80GB", "a100-80"},
                                             {"NVIDIA A100-PCIE-40GB", "a100-40"},
                                             {"Tesla V100-SXM2-32GB", "v100"},
                                             {"Tesla T4", "t4"},
                                             {"NVIDIA L4", "l4"},
                                             {"NVIDIA L40S", "l40s"},
                                             {"NVIDIA GeForce RTX 4090", "rtx4090"},
                                             {"NVIDIA RTX A6000", "a6000"},
                                             {"NVIDIA B200", "b200"},
                                             {"NVIDIA GH200 480GB", NULL},
                                             {"NVIDIA L40", NULL},
                                             {"NVIDIA RTX 6000 Ada Generation", NULL},
                                             {"another, H100", NULL},
                                             {"", NULL}};
    for (size_t i = 0; i < countof(drivers); i++) {
        const card *c = card_of_device(drivers[i][0]);
        assert_true((c == NULL) == (drivers[i][1] == NULL));
        if (c) assert_string_equal(c->name, drivers[i][1]);
    }
    assert_null(card_find("a600", &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_non_null(strstr(e.text, "a6000"));
}

static void memory_is_read_as_people_write_it(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {
        {"48GB", 48000000000},     {"48 GB", 48000000000},       {"48g", 48000000000},
        {"48GiB", 51539607552},    {"48gib", 51539607552},       {" 24 GiB ", 25769803776},
        {"0.5TB", 500000000000},   {"44.5GiB", 47781511168},     {"500000 kB", 500000000},
        {"81559MiB", 85520809984}, {"51539607552", 51539607552}, {"51539607552 B", 51539607552},
        {"16G", 16000000000},      {"1000T", 1000000000000000},
    };
    for (size_t i = 0; i < countof(good); i++) {
        err e = {0};
        int64_t bytes = 0;
        assert_true(card_parse_memory(str_of(good[i].text), &bytes, &e));
        assert_true(bytes == good[i].bytes);
    }
    static const char *const bad[] = {"lots",  "",        "GB",  "48XB",     "-48GB", "48 G B",
                                      "48GBs", "1e9",     "0GB", "999999TB", "4 8GB", "48,5GB",
                                      ".",     "1.2.3GB", "nan", "inf GB",   "48i",   "2000T"};
    for (size_t i = 0; i < countof(bad); i++) {
        err e = {0};
        int64_t bytes = 0;
        assert_false(card_parse_memory(str_of(bad[i]), &bytes, &e));
        assert_int_equal(e.code, ERR_USAGE);
        assert_non_null(strstr(e.text, "48GB"));
    }
}

/* A header made from the configuration alone is that of the file: names, shapes, bytes. */
static void made_headers_are_those_of_files(void **state)
{
    (void)state;
    char folder[] = "/tmp/t_shapes_XXXXXX", path[128];
    assert_non_null(mkdtemp(folder));
    arena a;
    open_arena(&a);
    for (size_t i = 0; i < 2 * countof(families); i++) {
        err e = {0};
        tiny_model t;
        model_header real, made;
        const bool gguf = i % 2;
        arena_reset(&a, 0);
        assert_true(tiny_open(&t, families[i / 2]));
        snprintf(path, sizeof path, "%s/%s%s", folder, families[i / 2], gguf ? ".gguf" : "");
        if (gguf) tiny_write_gguf(&t, path, DTYPE_F32);
        else tiny_write_folder(&t, path, 1);
        assert_true(model_peek_without_tokenizer(&real, path, &a, &e));
        const char *type = dtype_get(real.tensor[0].view.type)->name;
        const plan_numbers *q = plan_numbers_find(strcmp(type, "F32") ? "bf16" : "f32");
        plan_source from = {"made", &real.config, q, NULL};
        assert_true(plan_header(&made, &from, &a, &e));
        int64_t unknown = 0;
        for (int32_t k = 0; k < real.n_tensor; k++) {
            const tensor_entry *r = &real.tensor[k], *m = model_find_tensor(&made, r->name.data);
            char name[256];
            snprintf(name, sizeof name, "%.*s", (int)r->name.size, r->name.data);
            m = model_find_tensor(&made, name);
            if (!m) { /* tables of frequencies; a tied model's own copy of its embedding */
                assert_true(strstr(name, "rope") || strstr(name, "lm_head"));
                unknown += r->bytes;
                continue;
            }
            assert_memory_equal(m->view.dim, r->view.dim, sizeof m->view.dim);
            if (q->bits == 32 || !gguf) assert_true(m->bytes == r->bytes);
        }
        if (q->bits == 32) assert_true(made.bytes_weights == real.bytes_weights - unknown);
        int64_t parts = 0;
        for (int32_t k = 0; k < real.config.n_layer; k++)
            parts += plan_layer_bytes(&made, k, k + 1);
        int64_t embedding = real.config.tied && real.config.n_layer > 1
                                ? (int64_t)real.config.n_vocab * real.config.d_model * q->bits / 8
                                : 0; /* on the first card and on the last */
        assert_true(parts - embedding == made.bytes_weights);
        model_close_header(&real);
        tiny_close(&t);
    }
    arena_close(&a);
    char command[160];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* llama.cpp's recipes, to the byte of published files. (Which layers get more bits
 * went by the order of names in older versions, blk.10 before blk.2: their number is the same.) */
static void recipes_are_those_of_published_files(void **state)
{
    (void)state;
    static const struct {
        const char *path, *numbers;
    } file[] = {
        {"models/gemma-3-270m.Q4_K_M.gguf", "Q4_K_M"},
        {"models/qwen2.5-coder-0.5b-instruct.Q4_K_M.gguf", "Q4_K_M"},
        {"models/qwen2.5-coder-1.5b-instruct.Q4_K_M.gguf", "Q4_K_M"},
    };
    int32_t seen = 0;
    arena a;
    open_arena(&a);
    for (size_t i = 0; i < countof(file); i++) {
        err e = {0};
        model_header real, made;
        if (access(file[i].path, R_OK) != 0) continue;
        arena_reset(&a, 0);
        assert_true(model_peek_without_tokenizer(&real, file[i].path, &a, &e));
        plan_source from = {"made", &real.config, plan_numbers_find(file[i].numbers), NULL};
        assert_true(plan_header(&made, &from, &a, &e));
        assert_int_equal(made.n_tensor, real.n_tensor);
        for (int32_t k = 0; k < real.n_tensor; k++) {
            assert_true(str_equal(made.tensor[k].name, real.tensor[k].name));
        }
        assert_true(made.bytes_weights == real.bytes_weights);
        model_close_header(&real);
        seen++;
    }
    arena_close(&a);
    if (seen == 0) {
        print_message("skip: no files under models/\n");
        skip();
    }
}

static void a_folder_of_one_file_or_the_first_bytes_will_do(void **state)
{
    (void)state;
    char folder[] = "/tmp/t_shapes_XXXXXX", path[128], command[400];
    assert_non_null(mkdtemp(folder));
    arena a;
    open_arena(&a);
    err e = {0};
    tiny_model t;
    model_header h, whole;
    assert_true(tiny_open(&t, "qwen2"));
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(json_dump_file(t.config, path, 0), 0);
    assert_true(model_peek_sizes(&h, folder, false, &a, &e));
    assert_int_equal(h.n_tensor, 0);
    assert_int_equal(h.config.n_layer,
                     json_integer_value(json_object_get(t.config, "num_hidden_layers")));
    model_close_header(&h);
    assert_false(model_peek_sizes(&h, folder, true, &a, &e)); /* a tokenizer was asked for */
    assert_int_equal(e.code, ERR_MODEL);
    e = (err){0};
    assert_false(model_peek_without_tokenizer(&h, folder, &a, &e)); /* weights were */
    e = (err){0};
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    tiny_write_gguf(&t, path, DTYPE_F32);
    assert_true(model_peek_without_tokenizer(&whole, path, &a, &e));
    int64_t first = (const char *)whole.tensor[0].view.data - (const char *)whole.file[0].data;
    for (int32_t i = 0; i < whole.n_tensor; i++) {
        int64_t at = (const char *)whole.tensor[i].view.data - (const char *)whole.file[0].data;
        if (at < first) first = at;
    }
    snprintf(command, sizeof command, "head -c %lld %s > %s.cut", (long long)first, path, path);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/m.gguf.cut", folder);
    assert_true(model_peek_sizes(&h, path, true, &a, &e));
    assert_int_equal(h.n_tensor, whole.n_tensor);
    assert_true(h.bytes_weights == whole.bytes_weights && h.tokens);
    assert_null(h.tensor[0].view.data);
    model_close_header(&h);
    assert_false(model_peek_without_tokenizer(&h, path, &a, &e));
    assert_non_null(strstr(e.text, "incomplete"));
    model_close_header(&whole);
    tiny_close(&t);
    arena_close(&a);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void room_is_read_as_the_kernel_writes_it(void **state)
{
    (void)state;
    assert_true(
        room_of_meminfo(STR("MemTotal:       24689764 kB\nMemAvailable:   23093200 kB\n")) ==
        23093200LL * 1024);
    assert_true(room_of_meminfo(STR("MemTotal: 1 kB\n")) == -1);
    assert_true(room_of_meminfo(STR("")) == -1);
    assert_true(room_of_group(STR("4294967296\n"), STR("1073741824\n"),
                              STR("anon 5\nfile 536870912\nfile_mapped 7\n"),
                              "file") == 4294967296 - 1073741824 + 536870912);
    assert_true(room_of_group(STR("max\n"), STR("1073741824\n"), STR(""), "file") == -1);
    assert_true(room_of_group(STR("9223372036854771712\n"), STR("5\n"), STR(""), "total_cache") ==
                -1);
    assert_true(room_of_group(STR("100\n"), STR("500\n"), STR(""), "file") == 0);
    assert_true(room_of_group(STR(""), STR(""), STR(""), "file") == -1);
    room now = room_now(0), small = room_now(300 << 20);
    assert_true(now.bytes > 1 << 20);
    assert_true(small.bytes <= 300 << 20 && small.bytes < now.bytes);
    assert_string_equal(small.bound, "--memory-limit leaves only");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_count_what_is_published),
        cmocka_unit_test(shapes_are_found_by_any_spelling),
        cmocka_unit_test(cards_are_found_by_any_spelling),
        cmocka_unit_test(memory_is_read_as_people_write_it),
        cmocka_unit_test(made_headers_are_those_of_files),
        cmocka_unit_test(recipes_are_those_of_published_files),
        cmocka_unit_test(a_folder_of_one_file_or_the_first_bytes_will_do),
        cmocka_unit_test(room_is_read_as_the_kernel_writes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
