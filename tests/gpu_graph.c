/* Graphs on a GPU change no bit: decoding of many streams that end at different times (drawn where
 * the logits are, and held by the host to a form, with every logit compared), and training of
 * several updates over micro-batches of two shapes, with graphs and op by op, on published shapes
 * of a few layers with random weights in several number formats. Without a GPU every test is
 * skipped, with one line. */
#include "base/rng.h"
#include "compute/cuda/cuda.h"
#include "compute/device.h"
#include "compute/graph.h"
#include "model/decode.h"
#include "model/place.h"
#include "model/plan.h"
#include "model/shapes.h"
#include "model/trainer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { VOCAB = 5003, STREAMS = 43, NEW = 20, PROMPTS = 3, HEAD = 70, TEXT_MAX = 101 };

typedef struct world {
    arena keep, block;
    pool *threads;
    backend b;
    model_config config;
    model_header header;
    model m;
} world;

static const struct {
    const char *shape, *numbers, *device;
    int32_t layers;
} kinds[] = {{"135m-smollm2", "bf16", "cuda", 30},     {"135m-smollm2", "NF4", "cuda", 3},
             {"0.5b-qwen2.5", "bf16", "cuda", 3},      {"0.6b-qwen3", "bf16", "cuda:bf16x3", 3},
             {"270m-gemma3", "bf16", "cuda", 3},       {"2b-gemma2", "bf16", "cuda", 3},
             {"135m-smollm2", "bf16", "cuda:fp32", 3}, {"1b-llama3.2", "Q4_K_M", "cuda", 3}};

/* Sane numbers of every format: small ones where the blocks' scales stand (bench/gpu/b_gpu.c). */
static void fill(const tensor *t, uint64_t seed)
{
    int64_t row = 0;
    if (!t->data) return;
    assert_true(dtype_row_bytes(t->type, t->dim[t->rank - 1], &row));
    const size_t bytes = (size_t)row * (size_t)(t->rank == 2 ? t->dim[0] : 1);
    const size_t unit = (size_t)dtype_get(t->type)->block_bytes;
    unsigned char *data = t->data;
    rng r = rng_for(7, seed, bytes);
    for (size_t k = 0; k < bytes; k += 8) {
        uint64_t word = rng_next(&r);
        if (t->type == DTYPE_BF16) word = (word & 0x807f807f807f807fu) | 0x3d003d003d003d00u;
        memcpy(data + k, &word, bytes - k < 8 ? bytes - k : 8);
    }
    for (size_t k = 0; t->type != DTYPE_BF16 && k + unit <= bytes; k += unit) {
        unsigned char *half = data + k + (t->type == DTYPE_Q6_K ? 208 : 0);
        half[0] = (unsigned char)rng_next(&r), half[1] = 0x04;
        if (t->type == DTYPE_Q4_K || t->type == DTYPE_Q5_K) half[2] = half[0], half[3] = 0x14;
        if (t->type == DTYPE_F32) half[2] = 0x80, half[3] = 0x3f;
        if (t->type == DTYPE_NF4) half[2] = 0x80, half[3] = 0x3d;
    }
}

static void open_world(world *w, size_t kind)
{
    err e = {0};
    const shape *published = shape_find(kinds[kind].shape, &e);
    const plan_numbers *how = plan_numbers_find(kinds[kind].numbers);
    assert_true(published && how);
    *w = (world){.threads = pool_open(2, &e)};
    if (!backend_open(&w->b, kinds[kind].device, w->threads, &e)) fail_msg("%s", e.text);
    assert_true(arena_open(&w->keep, (size_t)3 << 30, "model", &e));
    assert_true(shape_config(published, &w->config, &w->keep, &e));
    w->config.n_layer = kinds[kind].layers, w->config.n_vocab = VOCAB;
    const plan_source source = {published->name, &w->config, how, &w->keep};
    if (!plan_header(&w->header, &source, &w->keep, &e)) fail_msg("%s", e.text);
    w->m = (model){.header = &w->header, .config = &w->header.config};
    if (!model_bind(&w->m.weights, &w->header, &w->keep, &e)) fail_msg("%s", e.text);
    for (int32_t i = 0; i < w->header.n_tensor; i++) fill(&w->header.tensor[i].view, (uint64_t)i);
}

static void close_world(world *w)
{
    backend_close(&w->b);
    arena_close(&w->keep);
    pool_close(w->threads);
}

/* Weights where the file has them again, to be placed anew. */
static void bind_again(world *w)
{
    err e = {0};
    w->m.weights = (model_weights){0};
    assert_true(model_bind(&w->m.weights, &w->header, &w->keep, &e));
}

/* ---- decoding ---- */

enum { SLOTS = HEAD + PROMPTS * TEXT_MAX + STREAMS * NEW };

static session_shape shape_of(bool no_graphs)
{
    return (session_shape){.rows = HEAD + TEXT_MAX,
                           .slots = SLOTS,
                           .positions = HEAD + TEXT_MAX + NEW,
                           .out_rows = STREAMS,
                           .logit_rows = STREAMS,
                           .no_graphs = no_graphs};
}

static void open_session(world *w, session *s, bool no_graphs)
{
    err e = {0};
    arena plan = ARENA_MEASURE;
    bind_again(w);
    device_measure(&w->b);
    assert_true(model_place(&w->m, &w->b, &e));
    assert_true(session_lay_out(s, &w->m, &w->b, shape_of(no_graphs), &plan, &e));
    const size_t planned = device_planned(&w->b);
    if (!device_reserve(&w->b, planned, &e)) fail_msg("%s", e.text);
    assert_true(model_place(&w->m, &w->b, &e));
    assert_true(arena_open(&w->block, plan.peak, "session", &e));
    if (!session_lay_out(s, &w->m, &w->b, shape_of(no_graphs), &w->block, &e))
        fail_msg("%s", e.text);
    assert_int_equal(device_used(&w->b), planned);
}

static int32_t id_of(int32_t prompt, int32_t i) { return ((prompt + 2) * 977 + i * 131) % VOCAB; }

/* Where prompt `p`'s own tokens stand, and how many there are. */
static int32_t text_of(int32_t p, int32_t *n)
{
    *n = p == 0 ? 37 : p == 1 ? 64 : TEXT_MAX;
    return HEAD + p * TEXT_MAX;
}

static void prefill(session *s)
{
    int32_t id[HEAD + TEXT_MAX], position[HEAD + TEXT_MAX], n = HEAD;
    err e = {0};
    for (int32_t p = -1; p < PROMPTS; p++) { /* the head, then each text */
        const int32_t first = p < 0 ? 0 : text_of(p, &n), at = p < 0 ? 0 : HEAD;
        const attend_range range[] = {{0, HEAD, 0}, {first, n, at}};
        const attend_span span = {0, n, at, p < 0, p < 0 ? 1 : 2};
        const attend_range alone = {0, HEAD, 0};
        for (int32_t i = 0; i < n; i++) id[i] = id_of(p, i), position[i] = at + i;
        attend_span head = span;
        head.first_range = 0;
        session_forward(s, &(step){.n_row = n,
                                   .first_slot = first,
                                   .id = id,
                                   .position = position,
                                   .span = &head,
                                   .range = p < 0 ? &alone : range,
                                   .n_span = 1});
        if (!backend_sync(s->backend, &e)) fail_msg("%s", e.text);
    }
}

typedef struct drawn {
    int32_t id[STREAMS][NEW], n[STREAMS];
    decode_end end[STREAMS];
    uint64_t logits; /* all that the host saw */
    const decode_stream *first;
} drawn;

/* Even tokens only, for some streams; all logits are kept as a hash. */
static bool allow(void *context, const decode_stream *s, float *logit)
{
    drawn *d = context;
    uint64_t h = d->logits;
    for (int32_t i = 0; i < VOCAB; i++) {
        uint32_t bits;
        memcpy(&bits, &logit[i], sizeof bits);
        h = (h ^ bits) * 0x100000001b3u;
    }
    d->logits = h;
    if ((s - d->first) % 5 == 0) {
        for (int32_t i = 1; i < VOCAB; i += 2) logit[i] = -INFINITY;
    }
    return (s - d->first) % 7 != 3 || s->n < 4;
}

static bool stop_early(void *context, const decode_stream *s)
{
    (void)context;
    return s->n > 6 && s->id[s->n - 1] % 16 == 3;
}

static void decode_all(decoder *d, drawn *out, bool held)
{
    static const sampling ways[] = {{.temperature = 0},
                                    {.temperature = 1},
                                    {.temperature = 0.7f, .top_p = 0.9f},
                                    {.temperature = 1.2f, .top_k = 40, .repetition_penalty = 1.1f}};
    decode_stream stream[STREAMS];
    int32_t prefix[HEAD];
    err e = {0};
    const int32_t end_id[] = {17, 4000};
    for (int32_t i = 0; i < HEAD; i++) prefix[i] = id_of(-1, i);
    for (int32_t i = 0; i < STREAMS; i++) {
        const int32_t p = i * PROMPTS / STREAMS;
        int32_t n, first = text_of(p, &n);
        stream[i] = (decode_stream){.how = ways[i % 4],
                                    .generator = rng_for(1, (uint64_t)i, 3),
                                    .path = {{0, HEAD, 0}, {first, n, HEAD}},
                                    .n_path = 2,
                                    .position = HEAD + n,
                                    .last_id = id_of(p, n - 1),
                                    .last_slot = first + n - 1,
                                    .prefix = prefix,
                                    .n_prefix = HEAD,
                                    .slot = HEAD + PROMPTS * TEXT_MAX + i * NEW,
                                    .max_new = 1 + (i * 7) % NEW,
                                    .id = out->id[i]};
    }
    *out = (drawn){.first = stream};
    const decode_rules rules = {.end_id = end_id,
                                .n_end = 2,
                                .stop = stop_early,
                                .allow = held ? allow : NULL,
                                .context = out};
    if (!decode_run(d, stream, STREAMS, &rules, &e)) fail_msg("%s", e.text);
    for (int32_t i = 0; i < STREAMS; i++) out->n[i] = stream[i].n, out->end[i] = stream[i].end;
    out->first = NULL;
}

/* Bytes free on the card, -1 where they move by themselves: another program is at work there. */
static int64_t quiet_room(const backend *b)
{
    const struct timespec wait = {.tv_nsec = 20 * 1000 * 1000};
    const int64_t room = device_room(b);
    for (int i = 0; i < 10; i++) {
        nanosleep(&wait, NULL);
        if (device_room(b) != room) return -1;
    }
    return room;
}

/* What the graphs of one kind took of the card, held to the plan. */
static void check_room(const world *w, int64_t room, size_t kind, int64_t one_by_one,
                       graph_counts counts)
{
    const int64_t after = quiet_room(&w->b);
    print_message("%s %s %s: %lld op by op, %lld graphs, %lld launches", kinds[kind].shape,
                  kinds[kind].numbers, kinds[kind].device, (long long)one_by_one,
                  (long long)counts.recorded, (long long)counts.launched);
    if (room < 0 || after < 0) {
        print_message(", their memory not measured: others use the card\n");
        return;
    }
    print_message(", %lld bytes of the card\n", (long long)(room - after));
    assert_true(room - after <= (int64_t)w->b.beside);
}

static void test_decoding(void **state)
{
    (void)state;
    static drawn got[2][4]; /* with graphs, without; drawn there twice, held twice */
    for (size_t k = 0; k < countof(kinds); k++) {
        world w;
        open_world(&w, k);
        for (int plain = 0; plain < 2; plain++) {
            session s;
            decoder d;
            arena memory;
            err e = {0};
            open_session(&w, &s, plain);
            assert_true(arena_open(&memory, (size_t)64 << 20, "decoder", &e));
            assert_true(decoder_lay_out(&d, &s, STREAMS, &memory, &e));
            prefill(&s);
            s.shape.no_graphs = true; /* all kernels are there before memory is looked at */
            for (int i = 0; i < 2; i++) decode_all(&d, &got[plain][i], i);
            s.shape.no_graphs = plain;
            const graph_counts before = graph_counted(&w.b);
            const int64_t room = plain ? -1 : quiet_room(&w.b);
            for (int i = 0; i < 4; i++) decode_all(&d, &got[plain][i], i > 1);
            const graph_counts counts = graph_counted(&w.b);
            if (plain) assert_int_equal(counts.launched, before.launched);
            else assert_true(counts.launched >= 30);
            if (!plain) check_room(&w, room, k, counts.one_by_one - before.one_by_one, counts);
            arena_close(&memory);
            arena_close(&w.block);
        }
        for (int i = 0; i < 4; i++) {
            int32_t all = 0;
            for (int32_t j = 0; j < STREAMS; j++) all += got[0][i].n[j];
            assert_true(all > STREAMS);
            assert_memory_equal(&got[0][i], &got[1][i], sizeof got[0][i]);
        }
        assert_memory_equal(&got[0][2], &got[0][3], sizeof got[0][2]);
        close_world(&w);
    }
}

/* ---- failures ---- */

/* A body that asks for an answer half way: nothing that can be recorded. */
static void ask_half_way(void *context)
{
    session *s = context;
    float first[16];
    op_scatter(s->backend, tensor_f32(s->x, 8, s->model->config->d_model),
               tensor_f32(s->out_x, 1, s->model->config->d_model), (const int32_t[]){3});
    device_read(s->backend, first, s->x, sizeof first);
}

static void test_what_cannot_be_recorded(void **state)
{
    (void)state;
    world w;
    session s;
    err e = {0};
    open_world(&w, 0);
    open_session(&w, &s, false);
    graph_run(&w.b, ask_half_way, &s); /* op by op */
    assert_true(backend_sync(&w.b, &e));
    graph_run(&w.b, ask_half_way, &s);
    assert_false(backend_sync(&w.b, &e));
    print_message("%s\n", e.text);
    assert_int_equal(e.code, ERR_RESOURCE);
    assert_non_null(strstr(e.text, "GPU 0 failed in"));
    arena_close(&w.block);
    close_world(&w);
}

/* ---- training ---- */

enum { ROWS = 300, OUTS = 9, UPDATES = 8 };

/* Texts behind one head, each with its answer at its end. */
static void add_batch(trainer *t, int32_t texts, int32_t length, double *loss)
{
    int32_t id[ROWS], position[ROWS], out_row[OUTS], target[OUTS];
    float weight[OUTS];
    attend_span span[OUTS + 1];
    attend_range range[2 * OUTS + 1];
    err e = {0};
    int32_t row = HEAD;
    for (int32_t i = 0; i < HEAD; i++) id[i] = id_of(-1, i), position[i] = i;
    range[0] = (attend_range){0, HEAD, 0};
    span[0] = (attend_span){0, HEAD, 0, 0, 1};
    for (int32_t k = 0; k < texts; k++) {
        const int32_t n = length - k;
        range[1 + 2 * k] = range[0];
        range[2 + 2 * k] = (attend_range){row, n, HEAD};
        span[k + 1] = (attend_span){row, n, HEAD, 1 + 2 * k, 2};
        for (int32_t i = 0; i < n; i++) id[row + i] = id_of(k, i), position[row + i] = HEAD + i;
        row += n;
        out_row[k] = row - 1, target[k] = (k * 31 + 5) % VOCAB, weight[k] = 1 / (float)texts;
    }
    assert_true(row <= ROWS);
    const train_batch b = {.n_row = row,
                           .n_out = texts,
                           .n_span = texts + 1,
                           .id = id,
                           .position = position,
                           .span = span,
                           .range = range,
                           .out_row = out_row,
                           .target = target,
                           .weight = weight};
    if (!trainer_add(t, &b, loss, &e)) fail_msg("%s", e.text);
}

typedef struct trained {
    double loss[UPDATES][2];
    lora adapter;
    arena memory;
} trained;

static void train_all(world *w, trained *out, bool plain)
{
    err e = {0};
    trainer t;
    arena plan = ARENA_MEASURE, block;
    const lora_config config = {.rank = 16, .alpha = 32};
    const optim_config how = {.rate = 1e-3, .updates = UPDATES, .warmup = 2, .clip = 1};
    const train_shape shape = {.rows = ROWS,
                               .out_rows = OUTS,
                               .positions = HEAD + ROWS,
                               .rerun_layers = 1,
                               .micros = 1,
                               .no_graphs = plain};
    train_setup setup = {&w->m, &w->b, &out->adapter, shape};
    double norm;
    assert_true(arena_open(&out->memory, (size_t)256 << 20, "adapter", &e));
    assert_true(lora_lay_out(&out->adapter, &w->header.config, config, &out->memory, &e));
    lora_start(&out->adapter, 5);
    bind_again(w);
    device_measure(&w->b);
    assert_true(model_place(&w->m, &w->b, &e) && lora_upload(&out->adapter, &w->b, &e));
    assert_true(trainer_lay_out(&t, &setup, &plan, &e));
    const size_t planned = device_planned(&w->b);
    if (!device_reserve(&w->b, planned, &e)) fail_msg("%s", e.text);
    assert_true(model_place(&w->m, &w->b, &e) && lora_upload(&out->adapter, &w->b, &e));
    assert_true(arena_open(&block, plan.peak, "trainer", &e));
    if (!trainer_lay_out(&t, &setup, &block, &e)) fail_msg("%s", e.text);
    const graph_counts before = graph_counted(&w->b);
    for (int i = 0; i < UPDATES; i++) {
        add_batch(&t, 3, 61, &out->loss[i][0]);
        add_batch(&t, 1 + i % 2 * 8, 27, &out->loss[i][1]);
        if (!trainer_update(&t, &how, &norm, &e)) fail_msg("%s", e.text);
    }
    const graph_counts counts = graph_counted(&w->b);
    if (plain) assert_int_equal(counts.launched, before.launched);
    else assert_int_equal(counts.launched, 4 * UPDATES - 12); /* met; known; made */
    assert_int_equal(device_used(&w->b), planned);
    lora_download(&out->adapter, &w->b);
    arena_close(&block);
}

static void test_training(void **state)
{
    (void)state;
    static trained got[2];
    for (size_t k = 0; k < countof(kinds); k++) {
        world w;
        if (strchr(kinds[k].device, 'x')) continue; /* two terms: not for training */
        open_world(&w, k);
        for (int plain = 0; plain < 2; plain++) train_all(&w, &got[plain], plain);
        assert_memory_equal(got[0].loss, got[1].loss, sizeof got[0].loss);
        assert_true(got[0].loss[0][0] != got[0].loss[UPDATES - 1][0]);
        assert_memory_equal(got[0].adapter.value, got[1].adapter.value,
                            (size_t)got[0].adapter.n_value * sizeof(float));
        for (int plain = 0; plain < 2; plain++) arena_close(&got[plain].memory);
        close_world(&w);
    }
}

int main(void)
{
    if (cuda_count() == 0) {
        printf("gpu_graph: skipped, no NVIDIA GPU here\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decoding),
                                       cmocka_unit_test(test_training),
                                       cmocka_unit_test(test_what_cannot_be_recorded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
