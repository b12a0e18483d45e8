/* b_attend: attention of the shapes of small models, against the measured peak.
 *   --device cpu|cpu:avx2|cpu:avx512   --threads N   --repeats 9   --csv FILE   --only NAME
 * Counted: 4 h hd flop for every pair of a query and a key it sees. Ratio: of the peak. */
#include "bench_ops.h"

#include "base/rng.h"

typedef struct shape {
    const char *name;
    int32_t h, g, hd;
    int32_t before, rows, spans; /* keys all spans share, rows of each span */
    int32_t window;
} shape;

static const shape shapes[] = {
    {"smollm2 512", 9, 3, 64, 0, 512, 1, 0},
    {"smollm2 last 512 of 2048", 9, 3, 64, 1536, 512, 1, 0},
    {"smollm2 7 cases of 73 after 74", 9, 3, 64, 74, 73, 7, 0},
    {"smollm2 128 answers of 4 after 600", 9, 3, 64, 600, 4, 128, 0},
    {"qwen 512", 14, 2, 64, 0, 512, 1, 0},
    {"qwen last 512 of 2048", 14, 2, 64, 1536, 512, 1, 0},
    {"gemma 512", 4, 1, 256, 0, 512, 1, 0},
    {"gemma last 512 of 2048, window 512", 4, 1, 256, 1536, 512, 1, 512},
    {"gemma last 512 of 2048", 4, 1, 256, 1536, 512, 1, 0},
    {"llama 8b last 512 of 2048", 32, 8, 128, 1536, 512, 1, 0},
    {"phi-3 512", 32, 32, 96, 0, 512, 1, 0},
};

typedef struct attention {
    tensor o, q, key, v;
    attend_plan plan;
} attention;

static void attend_once(backend *b, void *of)
{
    attention *a = of;
    op_attend(b, a->o, a->q, a->key, a->v, &a->plan);
}

static tensor heads(bench *k, rng *r, int64_t n, int64_t h, int64_t hd)
{
    err e = {0};
    float *x = arena_take(&k->data, (size_t)(n * h * hd), sizeof *x, &e);
    for (int64_t i = 0; i < n * h * hd; i++) x[i] = (float)rng_normal(r);
    return tensor_f32_3(x, n, h, hd);
}

static void run(bench *k, const shape *s)
{
    rng r = rng_for(1, 2, 3);
    attend_span span[128];
    attend_range range[256];
    int64_t rows = (int64_t)s->rows * s->spans, slots = s->before + rows;
    for (int i = 0; i < s->spans; i++) {
        span[i] = (attend_span){.row = i * s->rows,
                                .count = s->rows,
                                .position = s->before,
                                .first_range = 2 * i,
                                .n_range = 2};
        range[2 * i] = (attend_range){.slot = 0, .count = s->before, .position = 0};
        range[2 * i + 1] = (attend_range){.slot = s->before + i * s->rows,
                                          .count = s->rows,
                                          .position = s->before};
    }
    double pairs = 0;
    for (int i = 0; i < s->rows; i++) {
        int seen = s->before + i + 1;
        pairs += s->window && seen > s->window ? s->window : seen;
    }
    double flop = 4.0 * s->h * s->hd * pairs * s->spans;
    attention of = {.o = heads(k, &r, rows, s->h, s->hd),
                    .q = heads(k, &r, rows, s->h, s->hd),
                    .key = heads(k, &r, slots, s->g, s->hd),
                    .v = heads(k, &r, slots, s->g, s->hd),
                    .plan = {.span = span,
                             .range = range,
                             .n_span = s->spans,
                             .window = s->window,
                             .scale = 1 / __builtin_sqrtf((float)s->hd)}};
    char name[100];
    snprintf(name, sizeof name, "%s attend %s", k->b.isa, s->name);
    bench_measure(k, name, flop, attend_once, &of);
}

int main(int argc, char **argv)
{
    bench k;
    backend_shape most = {.rows = 512,
                          .d_model = 64,
                          .d_ff = 64,
                          .n_vocab = 1,
                          .n_head = 32,
                          .n_head_kv = 1,
                          .head_dim = 256};
    if (!bench_open(&k, argc, argv, most)) return 2;
    for (size_t i = 0; i < countof(shapes); i++) {
        if (strstr(shapes[i].name, k.only)) run(&k, &shapes[i]);
    }
    bench_close(&k);
    return 0;
}
