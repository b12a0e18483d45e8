/* b_gpu: a published model's shape with random weights on one GPU, row by row of the targets.
 *   b_gpu [--shape 7b-llama2] [--numbers bf16] [--device cuda] [--repeats 5] [--csv FILE]
 *         [--rows 8192] [--texts 8] [--layers N]
 *         [--what score,ops,train,profile,head,caseload,decode]
 * Lines are `name value unit ratio`; the ratio is what the name says (of the card's products at
 * 8192 x 8192 x 8192, measured first; of the target where there is one). Weights are random, never
 * zeros. Peak memory is the driver's figure beside the plan. */
#include "../bench.h"
#include "card_rows.h"
#include "profile.h"

#include "base/rng.h"
#include "compute/cuda/cuda.h"
#include "compute/device.h"
#include "model/decode.h"
#include "model/place.h"
#include "model/plan.h"
#include "model/session.h"
#include "model/shapes.h"
#include "model/trainer.h"

#include <cuda_runtime_api.h>

enum { REPEATS_MAX = 100 };
enum { SHARED = 3000, CASE = 1000, CASES = 8 }; /* of training behind a shared head */

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
    int repeats, layers; /* layers: 0 all of them */
    int32_t *id, *position, *out_row;
    double product; /* FLOP/s */
    double bus;     /* GB/s */
    double memory;  /* B/s */
} run;

static void tell(const run *r, const char *name, double value, const char *unit, double ratio)
{
    card_row_write(&(card_row){name, unit, value, ratio}, r->csv, r->b.isa);
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
    const bool nf4 = f->type == DTYPE_NF4 || f->type == DTYPE_NF4_16;
    const bool whole = f->type == DTYPE_INT8 || f->type == DTYPE_INT8_16;
    for (size_t k = at; f->type != DTYPE_BF16 && k + unit <= end; k += unit) {
        unsigned char *half = f->data + k + (f->type == DTYPE_Q6_K ? 208 : 0);
        half[0] = (unsigned char)rng_next(&r), half[1] = 0x04; /* about 6e-5 */
        if (f->type == DTYPE_Q4_K || f->type == DTYPE_Q5_K) half[2] = half[0], half[3] = 0x14;
        if (f->type == DTYPE_F32) half[2] = 0x80, half[3] = 0x3f; /* about 1: norms */
        if (nf4) half[2] = 0x80, half[3] = 0x3d; /* a float32: times codes of up to 1 about 0.03 */
        if (whole) half[2] = 0x00, half[3] = 0x3a; /* the same with codes of up to 127 */
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
    if (r->layers > 0 && r->layers < r->config.n_layer) r->config.n_layer = r->layers;
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

/* The card's memory: a copy within it, bytes read and written. B/s. */
static double measure_memory(run *r)
{
    enum { TIMES = 5, EACH = 1 << 29, COPIES = 20 };
    double took[TIMES];
    char *there = NULL;
    if (cudaMalloc((void **)&there, 2 * (size_t)EACH) != cudaSuccess) return 1;
    cudaMemset(there, 1, 2 * (size_t)EACH);
    for (int i = 0; i < TIMES; i++) {
        cudaDeviceSynchronize();
        took[i] = seconds_now();
        for (int k = 0; k < COPIES; k++)
            cudaMemcpyAsync(there, there + EACH, EACH, cudaMemcpyDeviceToDevice, NULL);
        cudaDeviceSynchronize();
        took[i] = seconds_now() - took[i];
    }
    cudaFree(there);
    const double rate = 2.0 * EACH * COPIES / median(took, TIMES);
    tell(r, "memory, a copy within it", rate / 1e12, "TB/s", 1);
    return rate;
}

/* The bus: pinned memory to the card, nothing else. GB/s. */
static double measure_bus(run *r)
{
    enum { TIMES = 5, EACH = 1 << 28 };
    double took[TIMES];
    void *pinned = NULL, *there = NULL;
    if (cudaMallocHost(&pinned, EACH) != cudaSuccess || cudaMalloc(&there, EACH) != cudaSuccess)
        return 0;
    memset(pinned, 1, EACH);
    for (int i = 0; i < TIMES; i++) {
        took[i] = seconds_now();
        for (int k = 0; k < 4; k++) cudaMemcpy(there, pinned, EACH, cudaMemcpyHostToDevice);
        took[i] = seconds_now() - took[i];
    }
    cudaFreeHost(pinned);
    cudaFree(there);
    const double rate = 4.0 * EACH / median(took, TIMES) / 1e9;
    tell(r, "bus, pinned memory to the card", rate, "GB/s", 1);
    return rate;
}

static void open_session(run *r, session_shape shape)
{
    err e = {0};
    arena plan = ARENA_MEASURE;
    device_measure(&r->b);
    if (!model_place(&r->m, &r->b, &e)) stop(&e);
    if (!session_lay_out(&r->s, &r->m, &r->b, shape, &plan, &e)) stop(&e);
    cuda_card before, after;
    if (r->bus == 0) r->bus = measure_bus(r), r->memory = measure_memory(r);
    cuda_describe(0, &before, &e);
    const size_t planned = device_planned(&r->b);
    if (!device_reserve(&r->b, planned, &e)) stop(&e);
    cuda_describe(0, &after, &e);
    double took = seconds_now();
    if (!model_place(&r->m, &r->b, &e) || !backend_sync(&r->b, &e)) stop(&e);
    took = seconds_now() - took;
    const double rate = (double)device_used(&r->b) / took / 1e9;
    tell(r, "load from memory; of the bus", rate, "GB/s", rate / r->bus);
    if (!arena_open(&r->block, plan.peak, "session", &e)) stop(&e);
    if (!session_lay_out(&r->s, &r->m, &r->b, shape, &r->block, &e)) stop(&e);
    double driver = (double)(before.bytes_free - after.bytes_free);
    const double block = (double)(planned - r->b.beside); /* graphs come later */
    tell(r, "memory planned / the driver's figure", block / 1e9, "GB", block / driver);
    size_t n = (size_t)r->rows > SHARED + CASES * CASE ? (size_t)r->rows : SHARED + CASES * CASE;
    r->id = arena_take(&r->keep, n, sizeof *r->id, &e);
    r->position = arena_take(&r->keep, n, sizeof *r->position, &e);
    r->out_row = arena_take(&r->keep, n, sizeof *r->out_row, &e);
    if (!r->id || !r->position || !r->out_row) stop(&e);
}

static void open_session_again(run *r, session_shape shape)
{
    err e = {0};
    arena_close(&r->block);
    r->m.weights = (model_weights){0};
    if (!model_bind(&r->m.weights, &r->header, &r->keep, &e)) stop(&e);
    open_session(r, shape);
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

/* ---- a caseload of four options ---- */

enum { HEAD = 1500, TEXT = 1000, OPTIONS = 4, TOKENS = 4, TEXTS = 256 };

typedef struct caseload_step { /* spans of one step, and what is read of it */
    step st;
    attend_span span[128];
    attend_range range[400];
    int32_t out_row[256], pick_id[512], n_range;
    int64_t pick_start[257];
} caseload_step;

/* Rows for `count` tokens from `position` on, behind the ranges that stand already from
 * `first_range` on; their own K/V goes to where the rows stand. */
static void add_span(run *r, caseload_step *c, int32_t first_range, int32_t count, int32_t position)
{
    const int32_t row = c->st.n_row;
    c->range[c->n_range++] = (attend_range){c->st.first_slot + row, count, position};
    c->span[c->st.n_span++] =
        (attend_span){row, count, position, first_range, c->n_range - first_range};
    for (int32_t i = 0; i < count; i++) {
        r->id[row + i] = (int32_t)((1000 + 7919LL * (row + i)) % r->header.config.n_vocab);
        r->position[row + i] = position + i;
    }
    c->st.n_row += count;
}

static void read_row(caseload_step *c, int32_t row, int32_t picks)
{
    const int32_t n = c->st.n_out++;
    c->out_row[n] = row;
    for (int32_t i = 0; i < picks; i++) c->pick_id[c->pick_start[n] + i] = 100 + 7 * i;
    c->pick_start[n + 1] = c->pick_start[n] + picks;
}

static void run_caseload_step(run *r, caseload_step *c)
{
    err e = {0};
    c->st.id = r->id, c->st.position = r->position;
    c->st.span = c->span, c->st.range = c->range, c->st.n_top = 10;
    c->st.out_row = c->out_row, c->st.pick_start = c->pick_start, c->st.pick_id = c->pick_id;
    session_forward(&r->s, &c->st);
    if (!backend_sync(&r->b, &e)) stop(&e);
}

/* Texts behind a head that is there, each with its options behind it. */
static void caseload_texts(run *r, int32_t n)
{
    static caseload_step c;
    c = (caseload_step){.st.first_slot = HEAD};
    for (int32_t i = 0; i < n; i++) {
        const int32_t first = c.n_range;
        c.range[c.n_range++] = (attend_range){0, HEAD, 0};
        add_span(r, &c, first, TEXT, HEAD);
        read_row(&c, c.st.n_row - 1, OPTIONS);
    }
    for (int32_t i = 0; i < n * OPTIONS; i++) {
        const int32_t first = c.n_range, text = i / OPTIONS;
        c.range[c.n_range++] = (attend_range){0, HEAD, 0};
        c.range[c.n_range++] = (attend_range){HEAD + text * TEXT, TEXT, HEAD};
        add_span(r, &c, first, TOKENS - 1, HEAD + TEXT);
        for (int32_t k = TOKENS - 1; k > 0; k--) read_row(&c, c.st.n_row - k, 1);
    }
    run_caseload_step(r, &c);
}

static double caseload_shared(run *r)
{
    static caseload_step c;
    const int32_t most = r->rows / (TEXT + OPTIONS * (TOKENS - 1));
    double took = seconds_now();
    c = (caseload_step){.st.first_slot = 0};
    add_span(r, &c, 0, HEAD, 0);
    run_caseload_step(r, &c);
    for (int32_t i = 0; i < TEXTS; i += most)
        caseload_texts(r, TEXTS - i < most ? TEXTS - i : most);
    return seconds_now() - took;
}

/* Every prompt whole: `steps` steps of as many prompts as they hold; seconds a prompt. */
static double caseload_whole(run *r, int32_t steps)
{
    static caseload_step c;
    const int32_t length = HEAD + TEXT + TOKENS - 1, most = r->rows / length;
    double took = seconds_now();
    for (int32_t i = 0; i < steps; i++) {
        c = (caseload_step){.st.first_slot = 0};
        for (int32_t k = 0; k < most; k++) {
            add_span(r, &c, c.n_range, length, 0);
            for (int32_t j = TOKENS; j > 0; j--) read_row(&c, c.st.n_row - j, 1);
        }
        run_caseload_step(r, &c);
    }
    return (seconds_now() - took) / (steps * most);
}

static void bench_caseload(run *r)
{
    enum { STEPS = 8 };
    double shared[REPEATS_MAX], whole[REPEATS_MAX];
    session_shape shape = {.rows = r->rows,
                           .slots = HEAD + r->rows,
                           .positions = HEAD + TEXT + TOKENS,
                           .out_rows = 256,
                           .picks = 512,
                           .n_top = 10};
    if (r->rows < HEAD + TEXT + TOKENS - 1 || r->rows > 8192) return;
    open_session_again(r, shape);
    caseload_whole(r, 1), caseload_texts(r, 4);
    for (int i = 0; i < r->repeats; i++) {
        shared[i] = caseload_shared(r);
        whole[i] = caseload_whole(r, STEPS) * TEXTS * OPTIONS;
    }
    const double s = median(shared, r->repeats), w = median(whole, r->repeats);
    char name[200];
    snprintf(name, sizeof name, "caseload %s, %d x (%d + %d + %d x %d); prompts whole / it",
             r->name, TEXTS, HEAD, TEXT, OPTIONS, TOKENS);
    tell(r, name, s, "s", w / s);
    tell(r, "caseload, every prompt whole, from 24 prompts; tokens/s", w, "s",
         (double)TEXTS * OPTIONS * (HEAD + TEXT + TOKENS - 1) / w);
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

typedef struct decode_step { /* token `at` of every sample: one row each, behind its prompt */
    step st;
    int32_t slot[PROMPTS * SAMPLES], every[PROMPTS * SAMPLES];
    attend_span span[PROMPTS * SAMPLES];
    attend_range range[2 * PROMPTS * SAMPLES];
} decode_step;

static void set_decode_step(run *r, decode_step *d, int32_t at)
{
    enum { ROWS = PROMPTS * SAMPLES };
    for (int32_t i = 0; i < ROWS; i++) {
        const int32_t own = PROMPTS * PROMPT + i * NEW;
        d->slot[i] = own + at, d->every[i] = i, r->position[i] = PROMPT + at;
        d->range[2 * i] = (attend_range){i / SAMPLES * PROMPT, PROMPT, 0};
        d->range[2 * i + 1] = (attend_range){own, at + 1, PROMPT};
        d->span[i] = (attend_span){i, 1, PROMPT + at, 2 * i, 2};
    }
    d->st = (step){.n_row = ROWS,
                   .slot = d->slot,
                   .id = r->id,
                   .position = r->position,
                   .span = d->span,
                   .range = d->range,
                   .n_span = ROWS,
                   .out_row = d->every,
                   .n_out = ROWS,
                   .hidden_only = true};
}

/* One op of a decode step, on layer `layer`. */
static void run_decode_op(run *r, const decode_step *d, int kind, int32_t layer)
{
    const model_config *c = &r->header.config;
    const layer_weights *w = &r->m.weights.layer[layer];
    session *s = &r->s;
    const int64_t n = d->st.n_row, q = (int64_t)c->n_head * c->head_dim;
    const int64_t kv = (int64_t)c->n_head_kv * c->head_dim;
    const dtype t = r->b.rows;
    const int64_t at = (int64_t)layer * s->shape.slots * kv * dtype_get(t)->block_bytes;
    tensor x = tensor_f32(s->x, n, c->d_model);
    tensor h = {.data = s->normed, .type = t, .rank = 2, .dim = {n, c->d_model, 1, 1}};
    tensor query = {.data = s->query, .type = t, .rank = 2, .dim = {n, q, 1, 1}}, out = query;
    tensor key = {.data = s->key_new, .type = t, .rank = 2, .dim = {n, kv, 1, 1}}, value = key;
    tensor gate = {.data = s->gate, .type = t, .rank = 2, .dim = {n, c->d_ff, 1, 1}}, up = gate;
    tensor keys = {.data = (char *)s->key + at,
                   .type = t,
                   .rank = 2,
                   .dim = {s->shape.slots, kv, 1, 1}};
    value.data = s->value_new, out.data = s->attended, up.data = s->up;
    const matmul_part qkv[3] = {{.y = key, .w = w->k},
                                {.y = value, .w = w->v},
                                {.y = query, .w = w->q}};
    const matmul_part gates[2] = {{.y = gate, .w = w->gate}, {.y = up, .w = w->up}};
    tensor hq = {.data = s->query, .type = t, .rank = 3, .dim = {n, c->n_head, c->head_dim, 1}};
    tensor ho = hq, hk = hq, all_k = hq, all_v;
    ho.data = s->attended, hk.data = s->key_new, hk.dim[1] = c->n_head_kv;
    all_k.data = keys.data, all_k.dim[0] = s->shape.slots, all_k.dim[1] = c->n_head_kv;
    all_v = all_k, all_v.data = (char *)s->value + at;
    tensor table = tensor_f32(s->rope_global, s->shape.positions, c->rotary_dim);
    const attend_plan plan = {.span = d->span,
                              .range = d->range,
                              .n_span = (int32_t)n,
                              .scale = 0.1f};
    switch (kind) {
    case 0: op_rmsnorm(&r->b, h, x, w->attn_norm, 1e-5f, 0); break;
    case 1: op_matmul_group(&r->b, h, qkv, 3); break;
    case 2:
        op_rope(&r->b, hq, r->position, table, ROPE_HALVES);
        op_rope(&r->b, hk, r->position, table, ROPE_HALVES);
        break;
    case 3: op_scatter(&r->b, keys, key, d->slot); break;
    case 4: op_attend(&r->b, ho, hq, all_k, all_v, &plan); break;
    case 5: op_matmul(&r->b, x, out, w->o, NULL, true); break;
    case 6: op_matmul_group(&r->b, h, gates, 2); break;
    case 7: op_glu(&r->b, gate, gate, up, GLU_SILU); break;
    default: op_matmul(&r->b, x, gate, w->down, NULL, true); break;
    }
}

/* Each op over all layers, so that nothing stays in the card's caches. */
static void bench_decode_ops(run *r, decode_step *d)
{
    const model_config *c = &r->header.config;
    const double n = PROMPTS * SAMPLES, dm = c->d_model, q = (double)c->n_head * c->head_dim;
    const double f = c->d_ff, kv = (double)c->n_head_kv * c->head_dim;
    const double keys = (PROMPTS * PROMPT + n * (d->range[1].count)) * kv * 4;
    const op_case all[] = {{"norm", 0, 0, n * dm * 6},       {"qkv", 1, 0, dm * (q + 2 * kv) * 2},
                           {"rope", 2, 0, n * (q + kv) * 4}, {"scatter of k", 3, 0, n * kv * 4},
                           {"attend", 4, 0, keys},           {"o", 5, 0, dm * q * 2},
                           {"gate, up", 6, 0, dm * f * 4},   {"glu", 7, 0, n * f * 6},
                           {"down", 8, 0, dm * f * 2}};
    double sum = 0;
    for (size_t k = 0; k < countof(all); k++) {
        double took[REPEATS_MAX];
        err e = {0};
        char name[100];
        for (int i = -1; i < r->repeats; i++) {
            backend_sync(&r->b, &e);
            double t = seconds_now();
            for (int32_t j = 0; j < c->n_layer; j++) run_decode_op(r, d, all[k].kind, j);
            if (!backend_sync(&r->b, &e)) stop(&e);
            if (i >= 0) took[i] = (seconds_now() - t) / c->n_layer;
        }
        const double t = median(took, r->repeats);
        sum += t * (k == 0 || k == 3 ? 2 : 1);
        snprintf(name, sizeof name, "decode op %s; TB/s of weights or K/V or rows", all[k].name);
        tell(r, name, t * 1e6, "us", all[k].bytes / t / 1e12);
    }
    tell(r, "decode ops of a layer, all; x layers, ms", sum * 1e6, "us", sum * c->n_layer * 1e3);
}

typedef struct stamps { /* when each step of decode_run was done */
    double at[NEW + 1];
    int n;
} stamps;

static bool stamp(void *context, int32_t n_row, err *e)
{
    stamps *t = context;
    (void)n_row;
    (void)e;
    if (t->n <= NEW) t->at[t->n++] = seconds_now();
    return true;
}

/* Seconds of a step of all samples, the draw and the host's work included. */
static double decode_all(run *r, decoder *d, sampling how, int32_t prompts, int32_t samples)
{
    enum { ROWS = PROMPTS * SAMPLES };
    static decode_stream stream[ROWS];
    static int32_t id[ROWS][NEW];
    double took[NEW];
    err e = {0};
    stamps t = {.n = 0};
    const decode_rules rules = {.step = stamp, .context = &t};
    for (int32_t i = 0; i < prompts * samples; i++) {
        const int32_t first = i / samples * PROMPT;
        stream[i] = (decode_stream){.how = how,
                                    .generator = rng_for(1, (uint64_t)i, 0),
                                    .path = {{first, PROMPT, 0}},
                                    .n_path = 1,
                                    .position = PROMPT,
                                    .last_id = r->id[PROMPT - 1],
                                    .last_slot = first + PROMPT - 1,
                                    .prefix = r->id,
                                    .n_prefix = PROMPT,
                                    .slot = PROMPTS * PROMPT + i * NEW,
                                    .max_new = NEW,
                                    .id = id[i]};
    }
    if (!decode_run(d, stream, prompts * samples, &rules, &e)) stop(&e);
    for (int i = 0; i + 2 < t.n; i++) took[i] = t.at[i + 2] - t.at[i + 1];
    return median(took, t.n - 2);
}

/* What memory and products allow, one after the other: K/V at the memory's rate, products at the
 * slower of reading the weights and the arithmetic. Seconds. */
static double decode_floor(const run *r, double rows, double bytes)
{
    const double weights = (double)r->header.bytes_weights, kv = bytes - weights;
    const model_config *c = &r->header.config;
    const double table = c->tied ? 0 : (double)c->n_vocab * c->d_model; /* looked up, not read */
    const double parameters = (double)r->header.n_parameter - table;
    const double read = weights / r->memory, compute = 2 * parameters * rows / r->product;
    return kv / r->memory + (read > compute ? read : compute);
}

/* What a graph of a decode step costs: recording it, making it, putting new arguments into one that
 * is there, starting it; and the card's memory that it takes. */
static void bench_recording(run *r, const decode_step *d)
{
    enum { TIMES = 20, PHASES = 6 };
    static const char *const names[PHASES] = {"recording its kernels",    "making a graph of them",
                                              "or new arguments for one", "starting it",
                                              "starting it again",        "the card's time"};
    double took[PHASES][TIMES];
    cudaStream_t stream = cuda_stream_of(&r->b);
    cudaGraphExec_t made[TIMES] = {0};
    size_t n = 0, before, after, total;
    char name[200];
    session_forward(&r->s, &d->st); /* its arrays are there now */
    cudaStreamSynchronize(stream);
    cudaMemGetInfo(&before, &total);
    for (int i = 0; i < TIMES; i++) {
        cudaGraph_t graph = NULL;
        cudaGraphExecUpdateResultInfo changed;
        double at[8] = {seconds_now()};
        cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
        session_forward(&r->s, &d->st);
        cudaError_t e = cudaStreamEndCapture(stream, &graph);
        at[1] = seconds_now();
        if (e == cudaSuccess) e = cudaGraphInstantiate(&made[i], graph, 0);
        at[2] = seconds_now();
        if (e == cudaSuccess) e = cudaGraphExecUpdate(made[i], graph, &changed);
        at[3] = seconds_now();
        if (e == cudaSuccess) e = cudaGraphLaunch(made[i], stream);
        at[4] = seconds_now();
        cudaStreamSynchronize(stream);
        at[5] = seconds_now();
        if (e == cudaSuccess) e = cudaGraphLaunch(made[i], stream);
        at[6] = seconds_now();
        cudaStreamSynchronize(stream);
        at[7] = seconds_now();
        if (e != cudaSuccess) printf("no graph: %s\n", cudaGetErrorString(e));
        cudaGraphGetNodes(graph, NULL, &n);
        cudaGraphDestroy(graph);
        for (int k = 0; k < 4; k++) took[k][i] = at[k + 1] - at[k];
        took[4][i] = at[6] - at[5], took[5][i] = at[7] - at[5];
    }
    cudaMemGetInfo(&after, &total);
    for (int i = 0; i < TIMES; i++) cudaGraphExecDestroy(made[i]);
    for (int k = 0; k < PHASES; k++) {
        snprintf(name, sizeof name, "decode step %s, %zu kernels, %s; us a kernel", r->name, n,
                 names[k]);
        const double t = median(took[k], TIMES);
        tell(r, name, t * 1e3, "ms", t * 1e6 / (double)n);
    }
    tell(r, "memory of a graph", ((double)before - (double)after) / TIMES / 1e3, "kB", 0);
}

/* Steps of few and many streams, with graphs and op by op, in turns. */
static void bench_graphs(run *r, decoder *d)
{
    static const struct {
        int32_t prompts, samples;
    } sizes[] = {{1, 1}, {16, 1}, {16, 8}, {PROMPTS, SAMPLES}};
    for (size_t k = 0; k < countof(sizes); k++) {
        const int32_t prompts = sizes[k].prompts, samples = sizes[k].samples;
        double took[2][REPEATS_MAX];
        char name[200];
        for (int i = -2; i < 2 * r->repeats; i++) {
            r->s.shape.no_graphs = i & 1;
            const double s = decode_all(r, d, (sampling){.temperature = 0}, prompts, samples);
            if (i >= 0) took[i & 1][i / 2] = s;
        }
        const double with = median(took[0], r->repeats), without = median(took[1], r->repeats);
        snprintf(name, sizeof name, "decode step %s, %d x %d, op by op", r->name, prompts, samples);
        tell(r, name, without * 1e3, "ms", 1);
        snprintf(name, sizeof name, "the same with graphs; op by op / it");
        tell(r, name, with * 1e3, "ms", without / with);
    }
    r->s.shape.no_graphs = false;
}

/* The wall: weights once, each prompt's keys and values once, each sample's own. */
static void bench_decode(run *r)
{
    static decode_step step;
    static const struct {
        const char *name;
        sampling how;
    } ways[] = {{"greedy", {.temperature = 0}},
                {"temperature 0.7, top-p 0.95", {.temperature = 0.7f, .top_p = 0.95f}},
                {"top-k 40, penalty 1.1",
                 {.temperature = 0.7f, .top_k = 40, .repetition_penalty = 1.1f}}};
    const int32_t rows = PROMPTS * SAMPLES;
    decoder d;
    err e = {0};
    arena memory;
    double took[NEW];
    char name[200];
    session_shape shape = {.rows = r->rows < 8 * PROMPT ? 8 * PROMPT : r->rows,
                           .slots = PROMPTS * PROMPT + rows * NEW,
                           .positions = PROMPT + NEW,
                           .out_rows = rows,
                           .logit_rows = rows};
    open_session_again(r, shape);
    if (!arena_open_up_to(&memory, (size_t)1 << 30, "decoder", &e)) stop(&e);
    if (!decoder_lay_out(&d, &r->s, rows, &memory, &e)) stop(&e);
    prefill_prompts(r);
    const double slot = (double)session_bytes_slot(&r->header.config, r->b.rows);
    const double bytes =
        (double)r->header.bytes_weights + slot * (PROMPTS * PROMPT + rows * (double)NEW / 2);
    for (int32_t i = 0; i < NEW; i++) {
        set_decode_step(r, &step, i);
        took[i] = seconds_now();
        session_forward(&r->s, &step.st);
        if (!backend_sync(&r->b, &e)) stop(&e);
        took[i] = seconds_now() - took[i];
    }
    const double floor = decode_floor(r, rows, bytes);
    tell(r, "decode step without logits; of the roofline", median(took, NEW) * 1e3, "ms",
         floor / median(took, NEW));
    bench_decode_ops(r, &step);
    for (size_t i = 0; i < countof(ways); i++) {
        const double s = decode_all(r, &d, ways[i].how, PROMPTS, SAMPLES);
        snprintf(name, sizeof name, "decode %s, %d x %d behind %d, %s; of the bandwidth wall",
                 r->name, PROMPTS, SAMPLES, PROMPT, ways[i].name);
        tell(r, name, rows / s, "tokens/s", bytes / s / r->memory);
        tell(r, "the same; of the roofline", s * 1e3, "ms", floor / s);
    }
    bench_recording(r, &step);
    bench_graphs(r, &d);
    arena_close(&memory);
}

/* ---- training ---- */

static void open_trainer(run *r, trainer *t, backend *b, lora *l, arena *block, train_shape shape)
{
    err e = {0};
    arena plan = ARENA_MEASURE;
    const lora_config config = {.rank = 16, .alpha = 32};
    train_setup setup = {&r->m, b, l, shape};
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

/* The last text is `less` tokens shorter. */
static double train_once(run *r, trainer *t, bool update, int32_t less)
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
    span[r->texts - 1].count -= less, range[r->texts - 1].count -= less;
    r->out_row[r->texts - 1] -= less;
    const train_batch b = {.n_row = r->rows - less,
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

/* Where a step's time goes, op by op, each waited for; the sum is larger than a step's time. */
static void profile_train(run *r, trainer *t)
{
    profile p;
    char name[100];
    double sum = 0;
    profile_open(&p, t->backend);
    train_once(r, t, true, 0);
    profile_reset(&p);
    for (int i = 0; i < r->repeats; i++) train_once(r, t, true, 0);
    for (int i = 0; i < p.n; i++) sum += p.op[i].seconds / r->repeats;
    for (int i = 0; i < p.n; i++) {
        const double each = p.op[i].seconds / r->repeats;
        snprintf(name, sizeof name, "train op %s, %lld calls; share", p.op[i].name,
                 (long long)(p.op[i].calls / r->repeats));
        tell(r, name, each * 1e3, "ms", each / sum);
    }
    tell(r, "train ops, all", sum * 1e3, "ms", 1);
    profile_close(&p);
}

/* Steps op by op and as graphs, in turns; of one shape, and of a new one each. */
static void bench_train_graphs(run *r, trainer *t)
{
    for (int anew = 0; anew < 2; anew++) {
        double took[2][REPEATS_MAX];
        for (int i = -4; i < 2 * r->repeats; i++) {
            t->shape.no_graphs = i & 1;
            const double s = train_once(r, t, true, anew ? (i + 4) / 2 + 1 : 0);
            if (i >= 0) took[i & 1][i / 2] = s;
        }
        const double with = median(took[0], r->repeats), without = median(took[1], r->repeats);
        tell(r, anew ? "training steps, each of a new shape, op by op" : "training step, op by op",
             without * 1e3, "ms", 1);
        tell(r, "the same with graphs; op by op / it", with * 1e3, "ms", without / with);
    }
}

static void bench_train(run *r, bool by_op)
{
    trainer t;
    backend b;
    lora l;
    arena block;
    double took[REPEATS_MAX];
    char name[200];
    open_trainer(r, &t, &b, &l, &block,
                 (train_shape){.rows = r->rows,
                               .out_rows = r->texts,
                               .positions = r->rows / r->texts});
    train_once(r, &t, true, 0);
    for (int i = 0; i < r->repeats; i++) took[i] = train_once(r, &t, true, 0);
    double s = median(took, r->repeats),
           flop = 2 * flop_forward(r, r->rows / r->texts, 2 * r->texts);
    snprintf(name, sizeof name, "LoRA r16 %s, %d x %d; of products", r->name, r->texts,
             r->rows / r->texts);
    tell(r, name, r->rows / s, "tokens/s", flop / s / r->product);
    bench_train_graphs(r, &t);
    t.shape.no_graphs = true; /* ops are timed one by one */
    if (by_op) profile_train(r, &t);
    backend_close(&b);
    arena_close(&block);
}

/* ---- a head that the rows of a micro-batch share ---- */

/* `n` cases behind one head, or each behind a head of its own. */
static void add_cases(run *r, trainer *t, int32_t n, bool shared)
{
    attend_span span[CASES + 1];
    attend_range range[2 * CASES + 1];
    int32_t target[CASES], n_span = 0, n_range = 0, row = 0;
    float weight[CASES];
    double loss;
    err e = {0};
    for (int32_t i = 0; i < n; i++) {
        const bool head = shared && i == 0;
        const int32_t count = shared ? CASE : SHARED + CASE, first = shared ? SHARED : 0;
        if (head) {
            range[n_range] = (attend_range){0, SHARED, 0};
            span[n_span++] = (attend_span){0, SHARED, 0, n_range++, 1};
            row = SHARED;
        }
        span[n_span++] = (attend_span){row, count, first, n_range, shared ? 2 : 1};
        if (shared) range[n_range++] = (attend_range){0, SHARED, 0};
        range[n_range++] = (attend_range){row, count, first};
        row += count;
        r->out_row[i] = row - 1, target[i] = 100 + i, weight[i] = 1.0f / CASES;
    }
    for (int32_t i = 0, s = 0; i < row; i++) {
        while (i >= span[s].row + span[s].count) s++;
        r->position[i] = span[s].position + i - span[s].row;
        r->id[i] = (int32_t)((1000 + 7919LL * i) % r->header.config.n_vocab);
    }
    const train_batch b = {.n_row = row,
                           .n_out = n,
                           .n_span = n_span,
                           .id = r->id,
                           .position = r->position,
                           .span = span,
                           .range = range,
                           .out_row = r->out_row,
                           .target = target,
                           .weight = weight};
    if (!trainer_add(t, &b, &loss, &e)) stop(&e);
}

/* Updates of eight rows: at once behind the shared head, or two and two with their heads. */
static void bench_head(run *r)
{
    trainer t;
    backend b;
    lora l;
    arena block;
    double took[2][REPEATS_MAX];
    const optim_config how = {.rate = 1e-5, .updates = 1000};
    open_trainer(r, &t, &b, &l, &block,
                 (train_shape){.rows = SHARED + CASES * CASE,
                               .out_rows = CASES,
                               .positions = SHARED + CASE});
    for (int i = -1; i < r->repeats; i++) {
        for (int shared = 0; shared < 2; shared++) {
            err e = {0};
            double start = seconds_now(), norm;
            for (int k = 0; k < CASES; k += shared ? CASES : 2)
                add_cases(r, &t, shared ? CASES : 2, shared);
            if (!trainer_update(&t, &how, &norm, &e)) stop(&e);
            if (i >= 0) took[shared][i] = seconds_now() - start;
        }
    }
    const double alone = median(took[0], r->repeats), together = median(took[1], r->repeats);
    tell(r, "LoRA, 8 rows, head of 3000 and text of 1000, each whole", CASES / alone, "rows/s", 1);
    tell(r, "LoRA, the same behind one head; of each whole", CASES / together, "rows/s",
         alone / together);
    backend_close(&b);
    arena_close(&block);
}

/* The card's rate of products, through the same op. */
static void measure_product(run *r)
{
    enum { N = 8192 };
    err e = {0};
    arena plan = ARENA_MEASURE, block;
    backend_shape shape = {N, N, N, 64, 1, 64, 64, 128, 0, false};
    device_measure(&r->b);
    backend_lay_out(&r->b, &shape, &plan, &e);
    const size_t each = (size_t)dtype_get(r->b.rows)->block_bytes;
    const size_t workspace = device_planned(&r->b), matrix = (size_t)N * N * each;
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
             .layers = atoi(option(argc, argv, "--layers", "0")),
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
    if (asked(what, "train")) bench_train(&r, asked(what, "profile"));
    if (asked(what, "head")) bench_head(&r);
    if (asked(what, "caseload")) bench_caseload(&r);
    if (asked(what, "decode")) bench_decode(&r);
    backend_close(&r.b);
    arena_close(&r.block);
    arena_close(&r.keep);
    pool_close(r.threads);
    return 0;
}
