/* gpu_tests: a card beside ref, numbers there and here, what is near enough. For tests/gpu_*.c. */
#ifndef CASELOAD_TESTS_GPU_TESTS_H
#define CASELOAD_TESTS_GPU_TESTS_H

#include "attend_tests.h" /* beside this file */

#include "compute/cuda/cuda.h"
#include "compute/device.h"
#include "compute/train.h"

enum { BYTES_DATA = 1 << 30 };

typedef struct gpu { /* a card, and ref for what should come out */
    place p;         /* its data arena holds the host's numbers */
    place ref;
    size_t mark;
    bool low;       /* products in bf16 */
    bool two_terms; /* of two terms */
} gpu;

/* Adapters of up to `rank`. */
static inline backend_shape gpu_shape(int32_t rank)
{
    return (backend_shape){.rows = 4200,
                           .d_model = 4096,
                           .d_ff = 11008,
                           .n_vocab = 20011,
                           .head_rows = 37,
                           .n_head = 8,
                           .n_head_kv = 1,
                           .head_dim = 256,
                           .adapter_rank = rank};
}

static inline void lay_out(place *p, const backend_shape *shape, arena *a, size_t *here,
                           size_t *there)
{
    err e = {0};
    if (!backend_lay_out(&p->b, shape, a, &e) || !train_lay_out(&p->b, shape, a, &e))
        fail_msg("%s", e.text);
    *here = a->used, *there = device_used(&p->b);
}

static inline gpu gpu_open_for(const char *device, int32_t rank)
{
    const backend_shape shape = gpu_shape(rank);
    err e = {0};
    gpu g = {.low = !strchr(device, ':'),
             .two_terms = strstr(device, "bf16x3"),
             .ref = place_open("ref", 4)};
    place *p = &g.p;
    p->threads = pool_open(2, &e);
    if (!backend_open(&p->b, device, p->threads, &e)) fail_msg("%s", e.text);
    arena plan = ARENA_MEASURE;
    size_t here, there, here_again, there_again;
    device_measure(&p->b);
    lay_out(p, &shape, &plan, &here, &there);
    assert_true(arena_open(&p->space, here, "workspace", &e));
    if (!device_reserve(&p->b, there + BYTES_DATA, &e)) fail_msg("%s", e.text);
    lay_out(p, &shape, &p->space, &here_again, &there_again);
    assert_int_equal(here, here_again); /* the plan is the allocation, on both sides */
    assert_int_equal(there, there_again);
    assert_true(arena_open(&p->data, (size_t)1 << 30, "test data", &e));
    g.mark = arena_mark(&p->b.memory);
    err w = {0};
    backend_shape wide = shape;
    wide.rows = 900, wide.head_rows = 40;
    arena_close(&g.ref.space);
    assert_true(arena_open(&g.ref.space, (size_t)1 << 30, "ref", &w));
    assert_true(backend_lay_out(&g.ref.b, &wide, &g.ref.space, &w));
    assert_true(train_lay_out(&g.ref.b, &wide, &g.ref.space, &w));
    return g;
}

static inline gpu gpu_open(const char *device) { return gpu_open_for(device, 64); }

static inline void gpu_reset(gpu *g)
{
    err e = {0};
    if (!backend_sync(&g->p.b, &e)) fail_msg("%s", e.text);
    arena_reset(&g->p.data, 0);
    arena_reset(&g->p.b.memory, g->mark);
}

static inline void gpu_close(gpu *g)
{
    gpu_reset(g);
    backend_close(&g->p.b);
    place_close(&g->p), place_close(&g->ref);
}

static const char *const modes[] = {"cuda", "cuda:fp32", "cuda:bf16x3"};
enum { N_MODE = 3 };

static inline float to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (isnan(x)) return x;
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, 4);
    return x;
}

/* What products read of a number. */
static inline void round_all(const gpu *g, tensor t)
{
    for (int64_t i = 0; g->low && i < tensor_count(&t); i++)
        ((float *)t.data)[i] = to_bf16(((float *)t.data)[i]);
}

/* The host's tensor on the card, float32 or as stored. */
static inline tensor there(gpu *g, tensor t)
{
    err e = {0};
    int64_t row = 0;
    assert_true(dtype_row_bytes(t.type, t.dim[t.rank - 1], &row));
    size_t bytes =
        (size_t)row * (size_t)(tensor_count(&t) / (t.dim[t.rank - 1] ? t.dim[t.rank - 1] : 1));
    void *data = device_take(&g->p.b, &g->p.data, bytes ? bytes : 1, 1, &e);
    assert_non_null(data);
    if (bytes) device_write(&g->p.b, data, t.data, bytes);
    t.data = data;
    return t;
}

/* The host's float32 tensor on the card in the type that rows have there. */
static inline tensor rows_there(gpu *g, tensor t)
{
    if (!g->low) return there(g, t);
    uint16_t *half = (uint16_t *)take(&g->p, (tensor_count(&t) + 1) / 2);
    for (int64_t i = 0; i < tensor_count(&t); i++) {
        float x = to_bf16(((float *)t.data)[i]);
        uint32_t bits;
        memcpy(&bits, &x, 4);
        half[i] = (uint16_t)(bits >> 16);
    }
    t.data = half, t.type = DTYPE_BF16;
    return there(g, t);
}

/* Back on the host, as float32. */
static inline tensor here(gpu *g, tensor t)
{
    size_t n = (size_t)tensor_count(&t), each = (size_t)dtype_get(t.type)->block_bytes;
    float *data = take(&g->p, (int64_t)n), *raw = take(&g->p, (int64_t)n);
    device_read(&g->p.b, raw, t.data, n * each);
    dtype_to_f32(t.type, data, raw, (int64_t)n);
    t.data = data, t.type = DTYPE_F32;
    return t;
}

/* A stored weight as float32 rows that products read. */
static inline tensor as_read(gpu *g, tensor w)
{
    tensor f = tensor_f32(take(&g->p, tensor_count(&w)), w.dim[0], w.dim[1]);
    int64_t row = 0;
    assert_true(dtype_row_bytes(w.type, w.dim[1], &row));
    for (int64_t i = 0; i < w.dim[0]; i++) {
        dtype_to_f32(w.type, (float *)f.data + i * w.dim[1], (char *)w.data + i * row, w.dim[1]);
    }
    round_all(g, f);
    return f;
}

static inline double size_of(tensor t)
{
    double most = 0;
    for (int64_t i = 0; i < tensor_count(&t); i++)
        most = fmax(most, fabs((double)((float *)t.data)[i]));
    return most;
}

/* As far from what should be as `share` of its largest number; rows of bf16 add their rounding. */
static inline void assert_near(tensor got, tensor want, double share, const char *what)
{
    const double size = size_of(want);
    double worst = 0;
    for (int64_t i = 0; i < tensor_count(&want); i++) {
        double x = (double)((float *)got.data)[i], y = (double)((float *)want.data)[i];
        if (!(fabs(x - y) <= share * size + 1e-30))
            fail_msg("%s: value %lld is %.9g, not %.9g (largest %.3g)", what, (long long)i, x, y,
                     size);
        worst = fmax(worst, fabs(x - y));
    }
}

static inline double of_rows(const gpu *g, tensor t, double share)
{
    return share + (g->low && t.type == DTYPE_BF16 ? 0x1p-8 : 0);
}

static const int64_t widths[] = {1, 2, 7, 16, 31, 64, 97, 320, 576, 1032, 2048, 4095};
enum { N_WIDTH = (int)(sizeof widths / sizeof *widths) };

#endif
