/* b_ranks: several GPUs of one machine, on a published model's shape with random weights (the same
 * bytes for every matrix: a model larger than the host's memory can be asked for).
 *   b_ranks [--devices cuda:all] [--shape 7b-llama2] [--rows 8192] [--texts 8] [--repeats 5]
 *           [--micros 4] [--layers N] [--csv FILE] [--what score,train,layers]
 * score: texts dealt to 1 rank, then to all. train: updates of `micros` micro-batches of LoRA r16
 * by 1, then by all; how long gradients are on their way. layers: the model's layers over all ranks
 * (with score: the same bits as whole). Lines are `name value unit ratio`; the ratio is what the
 * name says. */
#include "../bench.h"
#include "card_rows.h"

#include "base/rng.h"
#include "compute/comm.h"
#include "compute/cuda/cuda.h"
#include "compute/device.h"
#include "compute/ranks.h"
#include "model/place.h"
#include "model/plan.h"
#include "model/shapes.h"
#include "model/trainer.h"

enum { REPEATS_MAX = 100, TEXTS_MAX = 256, TOP = 10, APART = 256 };

typedef struct place { /* a rank, or a session beside one */
    pool *threads;
    backend b, training;
    arena keep, block, block_training;
    model m;
    model_part part;
    session s;
    trainer t;
    lora adapter;
    int32_t *id, *position, *out_row;
    const struct place *lender; /* whose weights are read; NULL: own ones */
} place;

typedef struct found { /* answers of a step */
    double log_sum_exp[TEXTS_MAX];
    float logit[TEXTS_MAX * TOP];
} found;

typedef struct world {
    rank_list list;
    place rank[2 * RANKS_MAX]; /* [n, 2 n): beside rank i % n */
    pool *together;
    arena keep;
    model_config config;
    model_header header;
    const char *csv, *shape;
    int32_t rows, texts, repeats, micros;
    int32_t n, first; /* of ranks; micro-batches of a round, the first one's number */
    comm one, all;
    int64_t room[RANKS_MAX]; /* before a training */
    size_t planned[RANKS_MAX];
    found whole;
    bool has_whole;
} world;

static void tell(const world *w, const char *name, double value, const char *unit, double ratio)
{
    card_row_write(&(card_row){name, unit, value, ratio}, w->csv, w->rank->b.isa);
}

/* ---- weights ---- */

/* bf16 of about +-0.03, and norms of about 1. */
static void point_weights(world *w)
{
    err e = {0};
    size_t most = 0, apart = (size_t)w->header.n_tensor * APART;
    for (int32_t i = 0; i < w->header.n_tensor; i++) {
        const size_t bytes = (size_t)w->header.tensor[i].bytes;
        if (bytes > most) most = bytes;
    }
    most = (most + apart + 7) / 8 * 8;
    unsigned char *random = arena_take(&w->keep, most, 1, &e);
    float *ones = arena_take(&w->keep, most / 16, sizeof *ones, &e);
    if (!random || !ones) stop(&e);
    rng r = rng_for(7, 1, most);
    for (size_t k = 0; k < most; k += 8) {
        const uint64_t word = (rng_next(&r) & 0x807f807f807f807fu) | 0x3c803c803c803c80u;
        memcpy(random + k, &word, 8);
    }
    for (size_t k = 0; k < most / 16; k++) ones[k] = 1 + (float)(k % 7) / 64;
    tensor_entry *own = arena_take(&w->keep, (size_t)w->header.n_tensor, sizeof *own, &e);
    if (!own) stop(&e);
    for (int32_t i = 0; i < w->header.n_tensor; i++) {
        own[i] = w->header.tensor[i];
        unsigned char *from = own[i].view.type == DTYPE_F32 ? (unsigned char *)ones : random;
        own[i].view.data = from + (size_t)i * APART;
    }
    w->header.tensor = own;
}

static void open_place(world *w, int32_t i, int threads)
{
    place *p = &w->rank[i];
    err e = {0};
    p->threads = pool_open(threads, &e);
    if (!p->threads || !backend_open(&p->b, w->list.name[i % w->n], p->threads, &e)) stop(&e);
    if (!arena_open_up_to(&p->keep, (size_t)4 << 30, "rank", &e)) stop(&e);
    p->id = arena_take(&p->keep, (size_t)w->rows, sizeof *p->id, &e);
    p->position = arena_take(&p->keep, (size_t)w->rows, sizeof *p->position, &e);
    p->out_row = arena_take(&p->keep, (size_t)w->texts, sizeof *p->out_row, &e);
    if (e.code != ERR_NONE) stop(&e);
}

static void open_world(world *w, const char *devices, int32_t layers)
{
    err e = {0};
    const shape *published = shape_find(w->shape, &e);
    if (!published || !ranks_read(&w->list, devices, 0, &e)) stop(&e);
    if (!arena_open_up_to(&w->keep, (size_t)16 << 30, "model", &e)) stop(&e);
    if (!shape_config(published, &w->config, &w->keep, &e)) stop(&e);
    if (layers > 0 && layers < w->config.n_layer) w->config.n_layer = layers;
    const plan_source source = {published->name, &w->config, plan_numbers_find("bf16"), NULL};
    if (!plan_header(&w->header, &source, &w->keep, &e)) stop(&e);
    point_weights(w);
    w->n = w->list.n;
    w->together = pool_open(w->n, &e);
    const int all = pool_default(&e);
    for (int32_t i = 0; i < w->n; i++) {
        open_place(w, i, all / w->n > 1 ? all / w->n : 1);
        printf("%s: %s\n", w->list.name[i], w->rank[i].b.isa);
    }
}

/* ---- ranks at the same time ---- */

typedef struct work {
    world *w;
    void (*task)(world *w, int32_t rank);
} work;

static void run_one(void *context, int64_t i, int thread)
{
    const work *k = context;
    (void)thread;
    device_enter(&k->w->rank[i].b);
    k->task(k->w, (int32_t)i);
}

static double run_ranks(world *w, int32_t n, void (*task)(world *w, int32_t rank))
{
    work k = {w, task};
    const double start = seconds_now();
    pool_run(w->together, n, run_one, &k);
    const double took = seconds_now() - start;
    device_enter(&w->rank->b);
    return took;
}

static void sync_or_stop(backend *b)
{
    err e = {0};
    if (!backend_sync(b, &e)) stop(&e);
}

/* ---- sessions ---- */

static bool lay_out_session(world *w, place *p, bool follows, arena *a, err *e)
{
    const session_shape shape = {.rows = w->rows,
                                 .slots = w->rows,
                                 .positions = w->rows / w->texts,
                                 .out_rows = w->texts,
                                 .n_top = TOP,
                                 .follows = follows};
    return (p->lender || model_place(&p->m, &p->b, e)) &&
           session_lay_out(&p->s, &p->m, &p->b, shape, a, e);
}

/* Layers first .. end on a rank; what the driver says it took beside the plan. */
static void open_session(world *w, int32_t rank, int32_t first, int32_t end)
{
    place *p = &w->rank[rank];
    err e = {0};
    arena plan = ARENA_MEASURE;
    cuda_card before = {0}, after = {0};
    const int32_t card = cuda_card_of(&p->b);
    char name[120];
    device_measure(&p->b);
    arena_close(&p->block);
    p->m = (model){.header = &w->header, .config = &w->header.config};
    p->part = (model_part){.first = first, .end = end};
    if (!p->lender && !model_bind(&p->m.weights, &w->header, &p->keep, &e)) stop(&e);
    model_cut(&p->m, &p->part);
    if (p->lender) p->m.weights = p->lender->m.weights;
    else model_cut_weights(&p->m, &p->part);
    if (!lay_out_session(w, p, first > 0, &plan, &e)) stop(&e);
    const size_t planned = device_planned(&p->b);
    if (card >= 0) cuda_describe(card, &before, &e);
    if (!device_reserve(&p->b, planned, &e)) stop(&e);
    if (card >= 0) cuda_describe(card, &after, &e);
    if (!arena_open(&p->block, plan.peak, "session", &e)) stop(&e);
    const double start = seconds_now();
    if (!lay_out_session(w, p, first > 0, &p->block, &e)) stop(&e);
    sync_or_stop(&p->b);
    const double took = seconds_now() - start;
    const double driver = (double)(before.bytes_free - after.bytes_free);
    snprintf(name, sizeof name, "%s, layers %d-%d: planned; of the driver's figure",
             w->list.name[rank % w->n], first + 1, end);
    tell(w, name, (double)planned / 1e9, "GB", driver > 0 ? (double)planned / driver : 0);
    if (p->lender) return;
    snprintf(name, sizeof name, "%s, weights placed", w->list.name[rank]);
    tell(w, name, (double)planned / 1e9 / took, "GB/s", 0);
}

static void open_whole(world *w, int32_t rank) { open_session(w, rank, 0, w->config.n_layer); }

static void open_share(world *w, int32_t rank)
{
    const int32_t all = w->config.n_layer;
    open_session(w, rank, all * rank / w->n, all * (rank + 1) / w->n);
}

/* ---- scoring ---- */

static void fill_rows(const world *w, place *p, int32_t number)
{
    const int32_t text = w->rows / w->texts;
    for (int32_t i = 0; i < w->rows; i++) {
        p->id[i] = (int32_t)((1000 + 7919LL * i + 13LL * number) % w->config.n_vocab);
        p->position[i] = i % text;
    }
    for (int32_t i = 0; i < w->texts; i++) p->out_row[i] = i * text + text - 1;
}

static void cut_texts(const world *w, attend_span *span, attend_range *range)
{
    const int32_t text = w->rows / w->texts;
    for (int32_t i = 0; i < w->texts; i++) {
        span[i] = (attend_span){i * text, text, 0, i, 1};
        range[i] = (attend_range){i * text, text, 0};
    }
}

static void score(world *w, int32_t rank)
{
    place *p = &w->rank[rank];
    attend_span span[TEXTS_MAX];
    attend_range range[TEXTS_MAX];
    int64_t picks[TEXTS_MAX + 1] = {0};
    cut_texts(w, span, range);
    const step st = {.n_row = w->rows,
                     .id = p->id,
                     .position = p->position,
                     .span = span,
                     .range = range,
                     .n_span = w->texts,
                     .out_row = p->out_row,
                     .n_out = w->texts,
                     .pick_start = picks,
                     .n_top = TOP};
    session_forward(&p->s, &st);
    sync_or_stop(&p->b);
}

static void score_times(world *w, int32_t rank)
{
    for (int i = 0; i < w->repeats; i++) score(w, rank);
}

static found answers(const world *w, int32_t rank)
{
    const head_result *got = &w->rank[rank].s.got;
    found f = {0};
    memcpy(f.log_sum_exp, got->log_sum_exp, (size_t)w->texts * sizeof(double));
    memcpy(f.logit, got->top_logit, (size_t)w->texts * TOP * sizeof(float));
    return f;
}

static void check_same(bool same, const char *what)
{
    printf("%s: %s\n", what, same ? "the same bits" : "DIFFERENT BITS");
    fflush(stdout);
    if (!same) exit(1);
}

static void bench_score(world *w)
{
    double one = 0;
    char name[120];
    run_ranks(w, w->n, open_whole);
    for (int32_t i = 0; i < w->n; i++) fill_rows(w, &w->rank[i], 0);
    run_ranks(w, w->n, score), run_ranks(w, w->n, score);
    w->whole = answers(w, 0), w->has_whole = true;
    for (int32_t i = 1; i < w->n; i++) {
        const found f = answers(w, i);
        check_same(!memcmp(&f, &w->whole, sizeof f), "answers of another rank");
    }
    for (int32_t n = 1; n <= w->n; n = n < w->n ? w->n : n + 1) {
        const double tokens = (double)w->rows * w->repeats * n;
        const double rate = tokens / run_ranks(w, n, score_times);
        if (n == 1) one = rate;
        snprintf(name, sizeof name, "score %s, %d x %d by %d; of one", w->shape, w->texts,
                 w->rows / w->texts, n);
        tell(w, name, rate, "tokens/s", rate / one);
    }
}

static void open_share_beside(world *w, int32_t rank)
{
    const int32_t all = w->config.n_layer, i = w->n + rank;
    w->rank[i].lender = &w->rank[rank];
    open_place(w, i, 1);
    device_enter(&w->rank[i].b);
    open_session(w, i, all * rank / w->n, all * (rank + 1) / w->n);
    fill_rows(w, &w->rank[i], 0);
}

/* Two lanes over the same ranks, so that neither card waits for the other. */
static void score_lane(world *w, int32_t lane)
{
    const int32_t last = lane * w->n + w->n - 1;
    device_enter(&w->rank[last].b);
    score_times(w, last);
}

static void bench_turns(world *w, double alone)
{
    char name[120];
    for (int32_t i = 0; i < w->n; i++) open_share_beside(w, i);
    for (int32_t i = 1; i < w->n; i++)
        session_follow(&w->rank[w->n + i].s, &w->rank[w->n + i - 1].s);
    for (int32_t i = 0; i < 2 * w->n; i++) w->rank[i].s.turn = w->rank[i % w->n].threads;
    score_lane(w, 1);
    const found f = answers(w, w->n - 1), g = answers(w, 2 * w->n - 1);
    check_same(!memcmp(&f, &g, sizeof f), "the lane beside it");
    const double tokens = 2.0 * w->rows * w->repeats, rate = tokens / run_ranks(w, 2, score_lane);
    snprintf(name, sizeof name, "score %s, the same, two lanes that take turns; of one", w->shape);
    tell(w, name, rate, "tokens/s", rate / alone);
}

static void bench_layers(world *w)
{
    const int32_t last = w->n - 1;
    char name[120];
    double took[REPEATS_MAX];
    run_ranks(w, w->n, open_share);
    for (int32_t i = 0; i < w->n; i++) fill_rows(w, &w->rank[i], 0);
    for (int32_t i = 1; i < w->n; i++) session_follow(&w->rank[i].s, &w->rank[i - 1].s);
    device_enter(&w->rank[last].b);
    score(w, last), score(w, last);
    const found f = answers(w, last);
    if (w->has_whole) check_same(!memcmp(&f, &w->whole, sizeof f), "layers split");
    for (int i = 0; i < w->repeats; i++) {
        took[i] = seconds_now();
        score(w, last);
        took[i] = seconds_now() - took[i];
    }
    const double t = median(took, w->repeats);
    snprintf(name, sizeof name, "score %s, %d x %d, layers over %d", w->shape, w->texts,
             w->rows / w->texts, w->n);
    tell(w, name, w->rows / t, "tokens/s", 0);
    const place *p = &w->rank[0], *q = &w->rank[last];
    const size_t bytes = (size_t)w->rows * (size_t)w->config.d_model * sizeof(float);
    for (int i = 0; i < w->repeats; i++) {
        took[i] = seconds_now();
        device_pass(q->s.backend, q->s.x, p->s.backend, p->s.x, bytes);
        took[i] = seconds_now() - took[i];
    }
    const double on_way = median(took, w->repeats);
    tell(w, "the same: rows from card to card; share of the step", on_way * 1e3, "ms",
         on_way * last / t);
    tell(w, "the same: their rate", (double)bytes / on_way / 1e9, "GB/s", 0);
    bench_turns(w, w->rows / t);
}

/* ---- training ---- */

static bool lay_out_training(world *w, int32_t rank, arena *a, err *e)
{
    place *p = &w->rank[rank];
    const train_setup setup = {&p->m,
                               &p->training,
                               &p->adapter,
                               {.rows = w->rows,
                                .out_rows = w->texts,
                                .positions = w->rows / w->texts,
                                .micros = w->micros}};
    comm_rank *own = &w->all.rank[rank];
    if (!lora_upload(&p->adapter, &p->training, e) || !trainer_lay_out(&p->t, &setup, a, e))
        return false;
    *own = (comm_rank){.backend = &p->training, .grad = p->t.grad, .total = p->t.total};
    return comm_lay_out(own, w->n, p->adapter.n_value, a, e);
}

static void open_training(world *w, int32_t rank)
{
    place *p = &w->rank[rank];
    err e = {0};
    arena plan = ARENA_MEASURE;
    const lora_config config = {.rank = 16, .alpha = 32};
    if (!device_open_beside(&p->training, &p->b, &e)) stop(&e);
    if (!lora_lay_out(&p->adapter, &w->header.config, config, &p->keep, &e)) stop(&e);
    device_measure(&p->training);
    if (!lay_out_training(w, rank, &plan, &e)) stop(&e);
    w->planned[rank] = device_used(&p->b) + device_planned(&p->training);
    if (!device_reserve(&p->training, device_planned(&p->training), &e)) stop(&e);
    if (!arena_open(&p->block_training, plan.peak, "trainer", &e)) stop(&e);
    if (!lay_out_training(w, rank, &p->block_training, &e)) stop(&e);
    sync_or_stop(&p->training);
}

static void start_again(world *w, int32_t rank)
{
    place *p = &w->rank[rank];
    const size_t n = (size_t)p->adapter.n_value * sizeof(float);
    lora_start(&p->adapter, 1);
    device_write(&p->training, p->adapter.placed, p->adapter.value, n);
    op_zero(&p->training, tensor_f32(p->t.first, 1, p->adapter.n_value));
    op_zero(&p->training, tensor_f32(p->t.second, 1, p->adapter.n_value));
    trainer_zero(&p->t);
    p->t.updates = 0;
    sync_or_stop(&p->training);
}

static void add_micro(world *w, int32_t rank)
{
    place *p = &w->rank[rank];
    attend_span span[TEXTS_MAX];
    attend_range range[TEXTS_MAX];
    int32_t target[TEXTS_MAX];
    float weight[TEXTS_MAX];
    double loss;
    err e = {0};
    cut_texts(w, span, range);
    fill_rows(w, p, w->first + rank);
    for (int32_t i = 0; i < w->texts; i++)
        target[i] = 100 + i, weight[i] = 1 / (float)(w->texts * w->micros);
    const train_batch b = {.n_row = w->rows,
                           .n_out = w->texts,
                           .n_span = w->texts,
                           .id = p->id,
                           .position = p->position,
                           .span = span,
                           .range = range,
                           .out_row = p->out_row,
                           .target = target,
                           .weight = weight};
    if (!trainer_add(&p->t, &b, &loss, &e)) stop(&e);
}

static void update(world *w, int32_t rank)
{
    const optim_config how = {.rate = 1e-4, .updates = 1000};
    double norm;
    err e = {0};
    if (!trainer_update(&w->rank[rank].t, &how, &norm, &e)) stop(&e);
}

/* An update by the ranks of c; *on_way: seconds in which gradients are added and shared. */
static double one_update(world *w, comm *c, double *on_way)
{
    const double start = seconds_now();
    err e = {0};
    *on_way = 0;
    for (w->first = 0; w->first < w->micros; w->first += c->n) {
        const int32_t left = w->micros - w->first, n = left < c->n ? left : c->n;
        run_ranks(w, n, add_micro);
        const double before = seconds_now();
        if (!comm_add(c, n, &e)) stop(&e);
        *on_way += seconds_now() - before;
    }
    const double before = seconds_now();
    if (!comm_share(c, &e)) stop(&e);
    *on_way += seconds_now() - before;
    run_ranks(w, c->n, update);
    return seconds_now() - start;
}

static void train_by(world *w, comm *c, double *one)
{
    double took[REPEATS_MAX], on_way[REPEATS_MAX];
    char name[120];
    run_ranks(w, w->n, start_again);
    for (int i = -2; i < w->repeats; i++) {
        double way, t = one_update(w, c, &way);
        if (i >= 0) took[i] = t, on_way[i] = way;
    }
    const double t = median(took, w->repeats), way = median(on_way, w->repeats);
    if (c->n == 1) *one = t;
    snprintf(name, sizeof name, "LoRA r16 %s, update of %d x %d x %d by %d; of one", w->shape,
             w->micros, w->texts, w->rows / w->texts, c->n);
    tell(w, name, (double)w->rows * w->micros / t, "tokens/s", *one / t);
    snprintf(name, sizeof name, "the same: gradients %s; share", comm_way(c));
    tell(w, name, way * 1e3, "ms", way / t);
}

static void open_comm(world *w)
{
    err e = {0};
    char name[120];
    const double start = seconds_now();
    w->all.n = w->n, w->all.n_value = w->rank->adapter.n_value;
    w->one = (comm){.n = 1, .n_value = w->all.n_value, .rank = {w->all.rank[0]}};
    w->one.rank[0].inbox = NULL;
    if (!comm_open(&w->one, &e) || !comm_open(&w->all, &e)) stop(&e);
    snprintf(name, sizeof name, "gradients %s: opening", comm_way(&w->all));
    tell(w, name, seconds_now() - start, "s", 0);
}

static void bench_train(world *w)
{
    err e = {0};
    double one = 0;
    char name[120];
    for (int32_t i = 0; i < w->n; i++) {
        device_enter(&w->rank[i].b);
        device_measure(&w->rank[i].b);
        w->room[i] = device_room(&w->rank[i].b);
    }
    run_ranks(w, w->n, open_whole);
    run_ranks(w, w->n, open_training);
    const size_t n = (size_t)w->rank->adapter.n_value;
    float *value = arena_take(&w->keep, n, sizeof *value, &e);
    if (!value) stop(&e);
    open_comm(w);
    train_by(w, &w->one, &one);
    lora_download(&w->rank->adapter, &w->rank->training);
    memcpy(value, w->rank->adapter.value, n * sizeof *value);
    if (w->n > 1) train_by(w, &w->all, &one);
    for (int32_t i = 0; i < w->n; i++) {
        place *p = &w->rank[i];
        device_enter(&p->training);
        lora_download(&p->adapter, &p->training);
        check_same(!memcmp(value, p->adapter.value, n * sizeof *value), "adapter of a rank");
    }
    for (int32_t i = 0; i < w->n; i++) {
        const double took = (double)(w->room[i] - device_room(&w->rank[i].b));
        snprintf(name, sizeof name, "%s: training planned; of the driver's figure in the end",
                 w->list.name[i]);
        tell(w, name, (double)w->planned[i] / 1e9, "GB", (double)w->planned[i] / took);
    }
    comm_close(&w->all);
    for (int32_t i = 0; i < w->n; i++) {
        device_enter(&w->rank[i].b);
        backend_close(&w->rank[i].training);
        arena_close(&w->rank[i].block_training);
    }
}

int main(int argc, char **argv)
{
    static world w;
    w.rows = atoi(option(argc, argv, "--rows", "8192"));
    w.texts = atoi(option(argc, argv, "--texts", "8"));
    w.repeats = atoi(option(argc, argv, "--repeats", "5"));
    w.micros = atoi(option(argc, argv, "--micros", "4"));
    w.csv = option(argc, argv, "--csv", NULL);
    w.shape = option(argc, argv, "--shape", "7b-llama2");
    const char *what = option(argc, argv, "--what", "score,train,layers");
    if (w.rows < 1 || w.texts < 1 || w.texts > TEXTS_MAX || w.texts > w.rows || w.repeats < 1 ||
        w.repeats > REPEATS_MAX || w.micros < 2)
        return 2;
    open_world(&w, option(argc, argv, "--devices", "cuda:all"),
               atoi(option(argc, argv, "--layers", "0")));
    if (strstr(what, "score")) bench_score(&w);
    if (strstr(what, "train")) bench_train(&w);
    if (strstr(what, "layers")) bench_layers(&w);
    for (int32_t i = 2 * w.n - 1; i >= 0; i--) {
        device_enter(&w.rank[i].b);
        backend_close(&w.rank[i].b);
        arena_close(&w.rank[i].block);
        arena_close(&w.rank[i].keep);
        pool_close(w.rank[i].threads);
    }
    pool_close(w.together);
    arena_close(&w.keep);
    return 0;
}
