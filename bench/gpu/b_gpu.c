/* b_gpu: a published model's shape with random weights on one GPU, row by row of the targets.
 *   b_gpu [--shape 7b-llama2] [--numbers bf16] [--device cuda] [--repeats 5] [--csv FILE]
 *         [--rows 8192] [--texts 8] [--what load,score,ops,train,decode]
 * Lines are `name value unit ratio`; the ratio is what the name says (of the card's products at
 * 8192 x 8192 x 8192, measured first; of the target where there is one). Weights are random, never
 * zeros. Peak memory is the driver's figure beside the plan. */
#include "../bench.h"

#include "base/rng.h"
#include "compute/cuda/cuda.h"
#include "compute/device.h"
#include "model/place.h"
#include "model/plan.h"
#include "model/session.h"
#include "model/shapes.h"
#include "model/trainer.h"

enum { REPEATS_MAX = 100 };

typedef struct run {
    pool *threads;
    backend b;
    arena keep, block;
    model_config config;
    model_header header;
    model m;
    session s;
    const char *csv, *name;
    int32_t rows, texts;
    int repeats;
    int32_t *id, *position, *out_row;
    double product; /* FLOP/s */
} run;

/* As report() of bench.h, with the card in place of the processor. */
static void tell(const run *r, const char *name, double value, const char *unit, double ratio)
{
    printf("%-64s %10.2f %-10s %6.3f\n", name, value, unit, ratio);
    fflush(stdout);
    FILE *f = r->csv ? fopen(r->csv, "a") : NULL;
    if (!f) return;
    char day[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(day, sizeof day, "%Y-%m-%d", gmtime_r(&now, &utc));
    if (ftell(f) == 0) fprintf(f, "date,card,name,value,unit,ratio\n");
    fprintf(f, "%s,\"%s\",\"%s\",%.3f,%s,%.4f\n", day, r->b.isa, name, value, unit, ratio);
    fclose(f);
}

static void stop(const err *e)
{
    fprintf(stderr, "%s\n", e->text);
    exit((int)e->code);
}

static bool asked(const char *list, const char *what) { return strstr(list, what) != NULL; }

/* ---- random weights ---- */

typedef struct filling {
    unsigned char *data;
    size_t bytes;
    dtype type;
} filling;

enum { FILL_BYTES = 1 << 22 };

/* bf16 of about +-0.03; blocks: any codes, then sane scales where the block's f16 stand. */
static void fill_task(void *context, int64_t i, int thread)
{
    (void)thread;
    const filling *f = context;
    const size_t unit = (size_t)dtype_get(f->type)->block_bytes;
    const size_t each = FILL_BYTES / unit * unit;
    size_t at = (size_t)i * each, end = at + each < f->bytes ? at + each : f->bytes;
    rng r = rng_for(7, (uint64_t)i, (uint64_t)f->bytes);
    for (size_t k = at; k + 8 <= end; k += 8) {
        uint64_t word = rng_next(&r);
        if (f->type == DTYPE_BF16) word = (word & 0x807f807f807f807fu) | 0x3c803c803c803c80u;
        memcpy(f->data + k, &word, 8);
    }
    for (size_t k = at; f->type != DTYPE_BF16 && k + unit <= end; k += unit) {
        unsigned char *half = f->data + k + (f->type == DTYPE_Q6_K ? 208 : 0);
        half[0] = (unsigned char)rng_next(&r), half[1] = 0x04; /* about 6e-5 */
        if (f->type == DTYPE_Q4_K || f->type == DTYPE_Q5_K) half[2] = half[0], half[3] = 0x14;
        if (f->type == DTYPE_F32) half[2] = 0x80, half[3] = 0x3f; /* about 1: norms */
    }
}

static void fill(run *r, const tensor *t)
{
    int64_t row = 0;
    if (!t->data || !dtype_row_bytes(t->type, t->dim[t->rank - 1], &row)) return;
    filling f = {t->data, (size_t)row * (size_t)(t->rank == 2 ? t->dim[0] : 1), t->type};
    size_t unit = (size_t)dtype_get(t->type)->block_bytes, each = FILL_BYTES / unit * unit;
    pool_run(r->threads, (int64_t)((f.bytes + each - 1) / each), fill_task, &f);
}

static void open_model(run *r, const char *shape_name, const char *numbers)
{
    err e = {0};
    const shape *published = shape_find(shape_name, &e);
    const plan_numbers *how = plan_numbers_find(numbers);
    if (!published || !how) stop(&e);
    if (!arena_open_up_to(&r->keep, (size_t)200 << 30, "model", &e)) stop(&e);
    if (!shape_config(published, &r->config, &r->keep, &e)) stop(&e);
    plan_source source = {published->name, &r->config, how, &r->keep};
    if (!plan_header(&r->header, &source, &r->keep, &e)) stop(&e);
    r->m = (model){.header = &r->header, .config = &r->header.config};
    if (!model_bind(&r->m.weights, &r->header, &r->keep, &e)) stop(&e);
    for (int32_t i = 0; i < r->header.n_tensor; i++) fill(r, &r->header.tensor[i].view);
}

/* ---- scoring ---- */

static double flop_forward(const run *r, int32_t text, int64_t head_rows)
{
    const model_config *c = &r->header.config;
    double width = (double)c->head_dim * (2.0 * c->n_head + 2.0 * c->n_head_kv);
    double each = 2.0 * c->n_layer * c->d_model * (width + 3.0 * c->d_ff);
    double pairs = (double)text * (text + 1) / 2 * r->texts * c->n_layer;
    return each * r->rows + 4.0 * c->n_head * c->head_dim * pairs +
           2.0 * c->d_model * (double)c->n_vocab * (double)head_rows;
}

static void open_session(run *r, session_shape shape)
{
    err e = {0};
    arena plan = ARENA_MEASURE;
    device_measure(&r->b);
    if (!model_place(&r->m, &r->b, &e)) stop(&e);
    if (!session_lay_out(&r->s, &r->m, &r->b, shape, &plan, &e)) stop(&e);
    cuda_card before, after;
    cuda_describe(0, &before, &e);
    const size_t planned = device_planned(&r->b);
    if (!device_reserve(&r->b, planned, &e)) stop(&e);
    cuda_describe(0, &after, &e);
    double took = seconds_now();
    if (!model_place(&r->m, &r->b, &e) || !backend_sync(&r->b, &e)) stop(&e);
    took = seconds_now() - took;
    tell(r, "load, GB/s", (double)device_used(&r->b) / took / 1e9, "GB/s", took);
    if (!arena_open(&r->block, plan.peak, "session", &e)) stop(&e);
    if (!session_lay_out(&r->s, &r->m, &r->b, shape, &r->block, &e)) stop(&e);
    double driver = (double)(before.bytes_free - after.bytes_free);
    tell(r, "memory planned / the driver's figure", (double)planned / 1e9, "GB",
         (double)planned / driver);
    size_t n = (size_t)r->rows;
    r->id = arena_take(&r->keep, n, sizeof *r->id, &e);
    r->position = arena_take(&r->keep, n, sizeof *r->position, &e);
    r->out_row = arena_take(&r->keep, n, sizeof *r->out_row, &e);
    if (!r->id || !r->position || !r->out_row) stop(&e);
}

static double score_once(run *r)
{
    enum { TEXTS_MAX = 256 };
    const int32_t text = r->rows / r->texts;
    attend_span span[TEXTS_MAX];
    attend_range range[TEXTS_MAX];
    int64_t picks[TEXTS_MAX + 1] = {0};
    err e = {0};
    for (int32_t i = 0; i < r->texts; i++) {
        span[i] = (attend_span){i * text, text, 0, i, 1};
        range[i] = (attend_range){i * text, text, 0};
        r->out_row[i] = i * text + text - 1;
    }
    for (int32_t i = 0; i < r->rows; i++) {
        r->id[i] = (int32_t)((1000 + 7919LL * i) % r->header.config.n_vocab);
        r->position[i] = i % text;
    }
    step st = {.n_row = r->rows,
               .id = r->id,
               .position = r->position,
               .span = span,
               .range = range,
               .n_span = r->texts,
               .out_row = r->out_row,
               .n_out = r->texts,
               .pick_start = picks,
               .n_top = 10};
    double took = seconds_now();
    session_forward(&r->s, &st);
    if (!backend_sync(&r->b, &e)) stop(&e);
    return seconds_now() - took;
}

static void bench_score(run *r)
{
    double took[REPEATS_MAX];
    char name[200];
    score_once(r), score_once(r);
    for (int i = 0; i < r->repeats; i++) took[i] = score_once(r);
    double t = median(took, r->repeats);
    snprintf(name, sizeof name, "score %s, %d x %d tokens; MFU", r->name, r->texts,
             r->rows / r->texts);
    tell(r, name, r->rows / t, "tokens/s",
         flop_forward(r, r->rows / r->texts, r->texts) / t / r->product);
}

/* ---- op by op ---- */

typedef struct op_case {
    const char *name;
    int kind;
    double flop, bytes;
} op_case;

static tensor rows_of(run *r, void *data, int64_t width)
{
    return (tensor){.data = data, .type = r->b.rows, .rank = 2, .dim = {r->rows, width, 1, 1}};
}

static void run_op(run *r, int kind)
{
    const model_config *c = &r->header.config;
    const layer_weights *w = &r->m.weights.layer[1];
    session *s = &r->s;
    const int64_t q = (int64_t)c->n_head * c->head_dim, kv = (int64_t)c->n_head_kv * c->head_dim;
    tensor x = tensor_f32(s->x, r->rows, c->d_model), h = rows_of(r, s->normed, c->d_model);
    tensor query = rows_of(r, s->query, q), out = rows_of(r, s->attended, q);
    tensor key = rows_of(r, s->key, kv), value = rows_of(r, s->value, kv);
    tensor gate = rows_of(r, s->gate, c->d_ff), up = rows_of(r, s->up, c->d_ff);
    const matmul_part qkv[3] = {{.y = query, .w = w->q},
                                {.y = key, .w = w->k},
                                {.y = value, .w = w->v}};
    const matmul_part gates[2] = {{.y = gate, .w = w->gate}, {.y = up, .w = w->up}};
    const int32_t text = r->rows / r->texts;
    attend_span span[256];
    attend_range range[256];
    tensor hq = query, hk = key, hv = value, ho = out;
    hq.rank = ho.rank = hk.rank = hv.rank = 3;
    hq.dim[1] = ho.dim[1] = c->n_head, hk.dim[1] = hv.dim[1] = c->n_head_kv;
    hq.dim[2] = ho.dim[2] = hk.dim[2] = hv.dim[2] = c->head_dim;
    tensor table = tensor_f32(s->rope_global, s->shape.positions, c->rotary_dim);
    switch (kind) {
    case 0: op_rmsnorm(&r->b, h, x, w->attn_norm, 1e-5f, 0); break;
    case 1: op_matmul_group(&r->b, h, qkv, 3); break;
    case 2:
        op_rope(&r->b, hq, r->position, table, ROPE_HALVES);
        op_rope(&r->b, hk, r->position, table, ROPE_HALVES);
        break;
    case 3:
        for (int32_t i = 0; i < r->texts; i++) {
            span[i] = (attend_span){i * text, text, 0, i, 1};
            range[i] = (attend_range){i * text, text, 0};
        }
        op_attend(&r->b, ho, hq, hk, hv,
                  &(attend_plan){.span = span, .range = range, .n_span = r->texts, .scale = 0.1f});
        break;
    case 4: op_matmul(&r->b, x, out, w->o, NULL, true); break;
    case 5: op_matmul_group(&r->b, h, gates, 2); break;
    case 6: op_glu(&r->b, gate, gate, up, GLU_SILU); break;
    default: op_matmul(&r->b, x, gate, w->down, NULL, true); break;
    }
}

static void bench_ops(run *r)
{
    const model_config *c = &r->header.config;
    const double n = r->rows, d = c->d_model, q = (double)c->n_head * c->head_dim, f = c->d_ff;
    const double kv = (double)c->n_head_kv * c->head_dim, text = n / r->texts;
    const op_case all[] = {
        {"rmsnorm", 0, 0, n * d * 6},     {"qkv", 1, 2 * n * d * (q + 2 * kv), 0},
        {"rope", 2, 0, n * (q + kv) * 4}, {"attend", 3, 2 * n * text * q, 0},
        {"o", 4, 2 * n * d * q, 0},       {"gate, up", 5, 4 * n * d * f, 0},
        {"glu", 6, 0, n * f * 6},         {"down", 7, 2 * n * d * f, 0}};
    double sum = 0;
    for (size_t k = 0; k < countof(all); k++) {
        enum { INNER = 10 };
        double took[REPEATS_MAX];
        err e = {0};
        char name[100];
        run_op(r, all[k].kind);
        for (int i = 0; i < r->repeats; i++) {
            backend_sync(&r->b, &e);
            took[i] = seconds_now();
            for (int j = 0; j < INNER; j++) run_op(r, all[k].kind);
            if (!backend_sync(&r->b, &e)) stop(&e);
            took[i] = (seconds_now() - took[i]) / INNER;
        }
        double t = median(took, r->repeats);
        sum += t;
        snprintf(name, sizeof name, "op %s; of products, or TB/s", all[k].name);
        tell(r, name, t * 1e3, "ms",
             all[k].flop > 0 ? all[k].flop / t / r->product : all[k].bytes / t / 1e12);
    }
    tell(r, "ops of a layer, all; x layers, s", sum * 1e3, "ms", sum * c->n_layer);
}

/* ---- decoding ---- */

enum { PROMPTS = 64, SAMPLES = 8, PROMPT = 1000, NEW = 24 };

static void prefill_prompts(run *r)
{
    err e = {0};
    for (int32_t first = 0; first < PROMPTS; first += 8) {
        attend_span span[8];
        attend_range range[8];
        for (int32_t i = 0; i < 8; i++) {
            span[i] = (attend_span){i * PROMPT, PROMPT, 0, i, 1};
            range[i] = (attend_range){(first + i) * PROMPT, PROMPT, 0};
        }
        for (int32_t i = 0; i < 8 * PROMPT; i++) r->position[i] = i % PROMPT;
        session_forward(&r->s, &(step){.n_row = 8 * PROMPT,
                                       .first_slot = first * PROMPT,
                                       .id = r->id,
                                       .position = r->position,
                                       .span = span,
                                       .range = range,
                                       .n_span = 8});
        if (!backend_sync(&r->b, &e)) stop(&e);
    }
}

/* Token `at` of every sample: one row each, behind its prompt; the logits come to the host. */
static double decode_once(run *r, int32_t at)
{
    enum { ROWS = PROMPTS * SAMPLES };
    static int32_t slot[ROWS], every[ROWS];
    static attend_span span[ROWS];
    static attend_range range[2 * ROWS];
    err e = {0};
    for (int32_t i = 0; i < ROWS; i++) {
        const int32_t own = PROMPTS * PROMPT + i * NEW;
        slot[i] = own + at, every[i] = i, r->position[i] = PROMPT + at;
        range[2 * i] = (attend_range){i / SAMPLES * PROMPT, PROMPT, 0};
        range[2 * i + 1] = (attend_range){own, at + 1, PROMPT};
        span[i] = (attend_span){i, 1, PROMPT + at, 2 * i, 2};
    }
    step st = {.n_row = ROWS,
               .slot = slot,
               .id = r->id,
               .position = r->position,
               .span = span,
               .range = range,
               .n_span = ROWS,
               .out_row = every,
               .n_out = ROWS,
               .hidden_only = true};
    double took = seconds_now();
    session_forward(&r->s, &st);
    session_read_logits(&r->s, every, ROWS);
    if (!backend_sync(&r->b, &e)) stop(&e);
    return seconds_now() - took;
}

/* The wall: weights once, each prompt's keys and values once, each sample's own. */
static void bench_decode(run *r)
{
    double took[NEW];
    char name[200];
    session_shape shape = {.rows = 8192,
                           .slots = PROMPTS * PROMPT + PROMPTS * SAMPLES * NEW,
                           .positions = PROMPT + NEW,
                           .out_rows = PROMPTS * SAMPLES,
                           .logit_rows = PROMPTS * SAMPLES};
    arena_close(&r->block);
    r->m.weights = (model_weights){0};
    err e = {0};
    if (!model_bind(&r->m.weights, &r->header, &r->keep, &e)) stop(&e);
    open_session(r, shape);
    prefill_prompts(r);
    for (int32_t i = 0; i < NEW; i++) took[i] = decode_once(r, i);
    const double s = median(took, NEW), rows = PROMPTS * SAMPLES;
    const double slot = (double)session_bytes_slot(&r->header.config, r->b.rows);
    const double bytes =
        (double)r->header.bytes_weights + slot * (PROMPTS * PROMPT + rows * NEW / 2);
    snprintf(name, sizeof name, "decode %s, %d x %d behind %d; GB/s of the wall's bytes", r->name,
             PROMPTS, SAMPLES, PROMPT);
    tell(r, name, rows / s, "tokens/s", bytes / s / 1e9);
}

/* ---- training ---- */

static void open_trainer(run *r, trainer *t, backend *b, lora *l, arena *block)
{
    err e = {0};
    arena plan = ARENA_MEASURE;
    const lora_config config = {.rank = 16, .alpha = 32};
    train_setup setup = {&r->m, b, l, {r->rows, r->texts, r->rows / r->texts, 0}};
    if (!device_open_beside(b, &r->b, &e)) stop(&e);
    if (!lora_lay_out(l, &r->header.config, config, &r->keep, &e)) stop(&e);
    lora_start(l, 1);
    device_measure(b);
    if (!lora_upload(l, b, &e) || !trainer_lay_out(t, &setup, &plan, &e)) stop(&e);
    const size_t planned = device_planned(b);
    tell(r, "LoRA memory with the weights, GiB",
         (double)(planned + (size_t)r->header.bytes_weights) / (1 << 30), "GiB", 0);
    if (!device_reserve(b, planned, &e) || !arena_open(block, plan.peak, "trainer", &e)) stop(&e);
    if (!lora_upload(l, b, &e) || !trainer_lay_out(t, &setup, block, &e)) stop(&e);
}

static double train_once(run *r, trainer *t, bool update)
{
    enum { TEXTS_MAX = 256 };
    const int32_t text = r->rows / r->texts;
    attend_span span[TEXTS_MAX];
    attend_range range[TEXTS_MAX];
    int32_t target[TEXTS_MAX];
    float weight[TEXTS_MAX];
    err e = {0};
    double loss, norm;
    for (int32_t i = 0; i < r->texts; i++) {
        span[i] = (attend_span){i * text, text, 0, i, 1};
        range[i] = (attend_range){i * text, text, 0};
        r->out_row[i] = i * text + text - 1;
        target[i] = 100 + i, weight[i] = 1 / (float)r->texts;
    }
    const train_batch b = {.n_row = r->rows,
                           .n_out = r->texts,
                           .n_span = r->texts,
                           .id = r->id,
                           .position = r->position,
                           .span = span,
                           .range = range,
                           .out_row = r->out_row,
                           .target = target,
                           .weight = weight};
    const optim_config how = {.rate = 1e-5, .updates = 1000};
    double took = seconds_now();
    if (!trainer_add(t, &b, &loss, &e)) stop(&e);
    if (update && !trainer_update(t, &how, &norm, &e)) stop(&e);
    return seconds_now() - took;
}

static void bench_train(run *r)
{
    trainer t;
    backend b;
    lora l;
    arena block;
    double took[REPEATS_MAX];
    char name[200];
    open_trainer(r, &t, &b, &l, &block);
    train_once(r, &t, true);
    for (int i = 0; i < r->repeats; i++) took[i] = train_once(r, &t, true);
    double s = median(took, r->repeats),
           flop = 2 * flop_forward(r, r->rows / r->texts, 2 * r->texts);
    snprintf(name, sizeof name, "LoRA r16 %s, %d x %d; of products", r->name, r->texts,
             r->rows / r->texts);
    tell(r, name, r->rows / s, "tokens/s", flop / s / r->product);
    backend_close(&b);
    arena_close(&block);
}

/* The card's rate of products, through the same op. */
static void measure_product(run *r)
{
    enum { N = 8192 };
    err e = {0};
    arena plan = ARENA_MEASURE, block;
    backend_shape shape = {N, N, N, 64, 1, 64, 64, 128, 0};
    device_measure(&r->b);
    backend_lay_out(&r->b, &shape, &plan, &e);
    const size_t workspace = device_planned(&r->b), matrix = (size_t)N * N * 2;
    if (!device_reserve(&r->b, workspace + 3 * matrix + 4096, &e)) stop(&e);
    if (!arena_open(&block, plan.peak, "bench", &e)) stop(&e);
    if (!backend_lay_out(&r->b, &shape, &block, &e)) stop(&e);
    tensor t[3];
    unsigned char *random = arena_take(&r->keep, matrix, 1, &e);
    filling f = {random, matrix, DTYPE_BF16};
    pool_run(r->threads, (int64_t)(matrix / FILL_BYTES), fill_task, &f);
    for (int i = 0; i < 3; i++) {
        t[i] = (tensor){.type = r->b.rows, .rank = 2, .dim = {N, N, 1, 1}};
        t[i].data = device_take(&r->b, &block, matrix, 1, &e);
        if (!t[i].data) stop(&e);
        device_write(&r->b, t[i].data, random, matrix);
    }
    double took[20];
    for (int i = 0; i < 20; i++) {
        backend_sync(&r->b, &e);
        took[i] = seconds_now();
        op_matmul(&r->b, t[2], t[0], t[1], NULL, false);
        if (!backend_sync(&r->b, &e)) stop(&e);
        took[i] = seconds_now() - took[i];
    }
    r->product = 2.0 * N * N * N / median(took, 20);
    tell(r, "product 8192^3 of bf16", r->product / 1e12, "TFLOP/s", 1);
    arena_close(&block);
}

int main(int argc, char **argv)
{
    err e = {0};
    run r = {.rows = atoi(option(argc, argv, "--rows", "8192")),
             .texts = atoi(option(argc, argv, "--texts", "8")),
             .repeats = atoi(option(argc, argv, "--repeats", "5")),
             .csv = option(argc, argv, "--csv", NULL)};
    const char *what = option(argc, argv, "--what", "score,ops");
    const char *shape_name = option(argc, argv, "--shape", "7b-llama2");
    const char *numbers = option(argc, argv, "--numbers", "bf16");
    char name[100];
    snprintf(name, sizeof name, "%s %s", shape_name, numbers);
    r.name = name;
    if (r.rows < 1 || r.texts < 1 || r.texts > 256 || r.repeats < 1 || r.repeats > REPEATS_MAX)
        return 2;
    r.threads = pool_open(0, &e);
    if (!r.threads || !backend_open(&r.b, option(argc, argv, "--device", "cuda"), r.threads, &e))
        stop(&e);
    printf("%s\n", r.b.isa);
    open_model(&r, shape_name, numbers);
    measure_product(&r);
    open_session(&r, (session_shape){.rows = r.rows,
                                     .slots = r.rows,
                                     .positions = r.rows / r.texts,
                                     .out_rows = r.texts,
                                     .n_top = 10});
    score_once(&r);
    if (asked(what, "score")) bench_score(&r);
    if (asked(what, "ops")) bench_ops(&r);
    if (asked(what, "train")) bench_train(&r);
    if (asked(what, "decode")) bench_decode(&r);
    backend_close(&r.b);
    arena_close(&r.block);
    arena_close(&r.keep);
    pool_close(r.threads);
    return 0;
}
