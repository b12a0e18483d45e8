/* b_matmul: matrix products of the shapes of small models, packing included, against the measured
 * peak.
 *   --device cpu|cpu:int16|cpu:avx2|cpu:avx512   --threads N   --rows 512   --repeats 9
 *   --csv FILE   --only NAME
 * Weights are random, woven for up to four rows; rows of x are random too. A figure is the median
 * over the repeats, the peak is measured between them. Ratio: of the peak. */
#include "bench_ops.h"

#include "base/rng.h"
#include "compute/weave.h"

enum { FEW_ROWS = 4 };

typedef struct shape {
    const char *name;
    dtype type;
    int64_t out, in;
    int parts; /* weights of this shape that share x */
} shape;

static const shape shapes[] = {
    {"smollm2 q,o", DTYPE_Q4_1, 576, 576, 1},
    {"smollm2 k,v", DTYPE_Q4_1, 192, 576, 2},
    {"smollm2 gate,up", DTYPE_Q4_1, 1536, 576, 2},
    {"smollm2 down", DTYPE_Q4_1, 576, 1536, 1},
    {"qwen q,o", DTYPE_Q5_0, 896, 896, 1},
    {"qwen k,v", DTYPE_Q8_0, 128, 896, 2},
    {"qwen gate,up", DTYPE_Q5_0, 4864, 896, 2},
    {"qwen down q4_k", DTYPE_Q4_K, 896, 4864, 1},
    {"qwen down q6_k", DTYPE_Q6_K, 896, 4864, 1},
    {"qwen gate q4_0", DTYPE_Q4_0, 4864, 896, 1},
    {"gemma gate,up", DTYPE_Q5_0, 2048, 640, 2},
    {"gemma down q4_k", DTYPE_Q4_K, 640, 2048, 1},
    {"gemma down q6_k", DTYPE_Q6_K, 640, 2048, 1},
    {"wide bf16", DTYPE_BF16, 2048, 2048, 1},
    {"vocabulary q5_0", DTYPE_Q5_0, 151936, 896, 1},
    {"vocabulary q8_0", DTYPE_Q8_0, 151936, 896, 1},
    {"vocabulary q4_k", DTYPE_Q4_K, 151936, 1024, 1},
    {"wide f16", DTYPE_F16, 2048, 2048, 1},
    {"wide f32", DTYPE_F32, 2048, 2048, 1},
    {"wide q5_k", DTYPE_Q5_K, 2048, 2048, 1},
    {"wide q2_k", DTYPE_Q2_K, 2048, 2048, 1},
    {"wide iq4_nl", DTYPE_IQ4_NL, 2048, 2048, 1},
};

typedef struct product {
    tensor x;
    matmul_part part[MATMUL_PARTS_MAX];
    int parts;
} product;

static void multiply_once(backend *b, void *of)
{
    product *p = of;
    op_matmul_group(b, p->x, p->part, p->parts);
}

static tensor weight(bench *k, rng *r, const shape *s)
{
    err e = {0};
    int64_t bytes = 0;
    if (!dtype_row_bytes(s->type, s->in, &bytes)) exit(1);
    unsigned char *data = arena_take(&k->data, (size_t)(bytes * s->out), 1, &e);
    const dtype_info *info = dtype_get(s->type);
    for (int64_t i = 0; i < bytes * s->out; i++) data[i] = (unsigned char)(rng_next(r) >> 40);
    for (int64_t i = 0; i < bytes * s->out; i += info->block_bytes) { /* small, finite scales */
        for (int j = 1; j < info->block_bytes; j += 2) {
            if (info->block_size == 1 || j < 4 || j > info->block_bytes - 5) data[i + j] &= 0x2f;
        }
    }
    return (tensor){.data = data, .type = s->type, .rank = 2, .dim = {s->out, s->in, 1, 1}};
}

/* As they are when tokens are drawn one after another. */
static void weave(bench *k, tensor *w)
{
    err e = {0};
    int64_t bytes = 0;
    if (!backend_weaves(&k->b, w->type) || !dtype_row_bytes(w->type, w->dim[1], &bytes)) return;
    backend_weave(&k->b, w, arena_take(&k->data, (size_t)(bytes * w->dim[0]), 1, &e));
}

static void run(bench *k, const shape *s)
{
    err e = {0};
    rng r = rng_for(1, 2, 3);
    product p = {.parts = s->parts};
    p.x = tensor_f32(arena_take(&k->data, (size_t)(k->rows * s->in), 4, &e), k->rows, s->in);
    for (int64_t i = 0; i < k->rows * s->in; i++)
        ((float *)p.x.data)[i] = (float)rng_unit(&r) - 0.5f;
    for (int i = 0; i < s->parts; i++) {
        float *y = arena_take(&k->data, (size_t)(k->rows * s->out), 4, &e);
        p.part[i] = (matmul_part){.y = tensor_f32(y, k->rows, s->out), .w = weight(k, &r, s)};
        if (k->rows <= FEW_ROWS) weave(k, &p.part[i].w);
    }
    double flop = 2.0 * (double)k->rows * (double)s->in * (double)s->out * s->parts;
    char name[100];
    snprintf(name, sizeof name, "%s %s %lldx%lld rows %lld", k->b.isa, s->name, (long long)s->out,
             (long long)s->in, (long long)k->rows);
    bench_measure(k, name, flop, multiply_once, &p);
}

int main(int argc, char **argv)
{
    bench k;
    if (!bench_open(&k, argc, argv, (backend_shape){.d_model = 2048, .d_ff = 151936, .n_vocab = 1}))
        return 2;
    for (size_t i = 0; i < countof(shapes); i++) {
        if (strstr(shapes[i].name, k.only)) run(&k, &shapes[i]);
    }
    bench_close(&k);
    return 0;
}
