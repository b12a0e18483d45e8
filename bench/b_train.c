/* b_train: tokens a second of LoRA training on a real model, where the time goes, and its memory.
 *   b_train MODEL [--prompts 8] [--text 256] [--head 0] [--rank 16] [--rerun 0] [--threads N]
 *           [--repeats 3] [--device cpu] [--csv FILE] [--ops]
 * A step is one micro-batch of `prompts` texts of `text` tokens behind a shared head of `head`
 * tokens, one answer token each, all seven targets, forward, backward and AdamW. Rows are what is
 * computed; tokens are what the prompts hold when each stands alone (head counted every time).
 * Prints the two rates (of the fastest step: other programs only slow a step down) and the share
 * of the measured peak that products and attention reach; with --ops the share of each kind of op.
 * With --seconds-only prints the seconds of each step, one a line, for run_train. */
#include "base/rng.h"
#include "bench_model.h"
#include "compute/train_table.h"
#include "model/describe.h"
#include "model/train_batch.h"

#include <sys/resource.h>

enum { KINDS = 14 };

typedef struct timed { /* a device's tables with a clock around each op */
    op_table ops;
    train_table train;
    const op_table *real;
    double seconds[KINDS], flop[KINDS];
    bool inside; /* an op that another one calls is that one's */
} timed;

typedef enum kind {
    K_MATMUL,
    K_BACK,
    K_BACK_LOSS,
    K_ATTEND,
    K_ATTEND_BACK,
    K_NORM,
    K_NORM_BACK,
    K_ROPE,
    K_GLU,
    K_GLU_BACK,
    K_ADAMW,
    K_SQUARES,
    K_HEAD,
    K_OTHER
} kind;

static const char *const kind_name[KINDS] = {"products",  "products back",  "loss back",
                                             "attention", "attention back", "norm",
                                             "norm back", "rotation",       "gate",
                                             "gate back", "optimiser",      "norm of gradient",
                                             "head",      "other"};

static timed *of(backend *b) { return (timed *)(uintptr_t)b->ops; }

static double begin(backend *b)
{
    of(b)->inside = true;
    return seconds_work(pool_size(b->threads));
}

static void end(backend *b, kind k, double start, double flop)
{
    timed *t = of(b);
    t->seconds[k] += seconds_work(pool_size(b->threads)) - start;
    t->flop[k] += flop;
    t->inside = false;
}

static double flop_of_part(tensor w, int64_t rows, const lora_pair *adapter)
{
    double numbers = (double)(w.dim[0] * w.dim[1]);
    if (adapter) numbers += (double)(adapter->a.dim[0] * (w.dim[0] + w.dim[1]));
    return 2.0 * (double)rows * numbers;
}

static void t_matmul(backend *b, tensor x, const matmul_part *part, int n)
{
    double at = begin(b), flop = 0;
    of(b)->real->matmul(b, x, part, n);
    for (int i = 0; i < n; i++) flop += flop_of_part(part[i].w, x.dim[0], part[i].adapter);
    end(b, K_MATMUL, at, flop);
}

static void t_back(backend *b, tensor dx, tensor dy, tensor w, bool add)
{
    double at = begin(b);
    of(b)->real->train->matmul_back(b, dx, dy, w, add);
    end(b, K_BACK_LOSS, at, flop_of_part(w, dx.dim[0], NULL));
}

/* The gradients of the adapter's matrices are products as large as its own. */
static void t_product_back(backend *b, const back_part *p)
{
    double at = begin(b), flop = p->dx ? flop_of_part(p->w, p->dy.dim[0], p->adapter) : 0;
    of(b)->real->train->product_back(b, p);
    const lora_pair *pair = p->adapter;
    if (pair) {
        flop += 2.0 * (double)p->dy.dim[0] * (double)pair->a.dim[0] *
                (double)(p->w.dim[0] + p->w.dim[1]);
    }
    end(b, K_BACK, at, flop);
}

/* Pairs of query and key that see each other. */
static double pairs_of(const attend_plan *plan)
{
    double pairs = 0;
    for (int32_t i = 0; i < plan->n_span; i++) {
        const attend_span *s = &plan->span[i];
        for (int32_t q = s->position; q < s->position + s->count; q++) {
            for (int32_t r = s->first_range; r < s->first_range + s->n_range; r++) {
                int64_t n = (int64_t)q + 1 - plan->range[r].position;
                if (n > plan->range[r].count) n = plan->range[r].count;
                if (n > 0) pairs += (double)n;
            }
        }
    }
    return pairs;
}

static void t_attend_keep(backend *b, const attend_tape *t, const attend_plan *plan)
{
    double at = begin(b), width = (double)(t->q.dim[1] * t->q.dim[2]);
    of(b)->real->train->attend_keep(b, t, plan);
    end(b, K_ATTEND, at, 4 * width * pairs_of(plan));
}

static void t_attend_back(backend *b, const attend_tape *t, const attend_grad *g,
                          const attend_plan *plan)
{
    double at = begin(b), width = (double)(t->q.dim[1] * t->q.dim[2]);
    of(b)->real->train->attend_back(b, t, g, plan);
    end(b, K_ATTEND_BACK, at, 10 * width * pairs_of(plan));
}

static void t_attend(backend *b, tensor o, tensor q, tensor k, tensor v, const attend_plan *plan)
{
    if (of(b)->inside) {
        of(b)->real->attend(b, o, q, k, v, plan);
        return;
    }
    double at = begin(b);
    of(b)->real->attend(b, o, q, k, v, plan);
    end(b, K_ATTEND, at, 4.0 * (double)(q.dim[1] * q.dim[2]) * pairs_of(plan));
}

static void t_rmsnorm(backend *b, tensor y, tensor x, tensor w, float eps, float plus)
{
    double at = begin(b);
    of(b)->real->rmsnorm(b, y, x, w, eps, plus);
    end(b, K_NORM, at, 0);
}

static void t_rmsnorm_back(backend *b, tensor dx, tensor dy, tensor x, const norm_shape *n, bool a)
{
    double at = begin(b);
    of(b)->real->train->rmsnorm_back(b, dx, dy, x, n, a);
    end(b, K_NORM_BACK, at, 0);
}

static void t_rope(backend *b, tensor x, const int32_t *positions, tensor table, rope_style s)
{
    double at = begin(b);
    of(b)->real->rope(b, x, positions, table, s);
    end(b, K_ROPE, at, 0);
}

static void t_rope_back(backend *b, tensor x, const int32_t *positions, tensor table, rope_style s)
{
    double at = begin(b);
    of(b)->real->train->rope_back(b, x, positions, table, s);
    end(b, K_ROPE, at, 0);
}

static void t_glu(backend *b, tensor y, tensor gate, tensor up, glu_kind k)
{
    double at = begin(b);
    of(b)->real->glu(b, y, gate, up, k);
    end(b, K_GLU, at, 0);
}

static void t_glu_back(backend *b, tensor gate, tensor up, tensor dy, glu_kind k)
{
    double at = begin(b);
    of(b)->real->train->glu_back(b, gate, up, dy, k);
    end(b, K_GLU_BACK, at, 0);
}

static void t_adamw(backend *b, const adamw_state *s, const adamw_step *step)
{
    double at = begin(b);
    of(b)->real->train->adamw(b, s, step);
    end(b, K_ADAMW, at, 0);
}

static double t_squares(backend *b, const float *x, int64_t n)
{
    double at = begin(b), sum = of(b)->real->train->sum_squares(b, x, n);
    end(b, K_SQUARES, at, 0);
    return sum;
}

static void t_head(backend *b, tensor x, tensor w, const head_request *want, head_result *got)
{
    double at = begin(b);
    of(b)->real->head(b, x, w, want, got);
    end(b, K_HEAD, at, 2.0 * (double)x.dim[0] * (double)(w.dim[0] * w.dim[1]));
}

static void put_clock(backend *b, timed *t)
{
    *t = (timed){.ops = *b->ops, .train = *b->ops->train, .real = b->ops};
    t->ops.matmul = t_matmul, t->ops.attend = t_attend, t->ops.rmsnorm = t_rmsnorm;
    t->ops.rope = t_rope, t->ops.glu = t_glu, t->ops.head = t_head;
    t->train.matmul_back = t_back;
    if (t->train.product_back) t->train.product_back = t_product_back;
    t->train.attend_keep = t_attend_keep, t->train.attend_back = t_attend_back;
    t->train.rmsnorm_back = t_rmsnorm_back, t->train.rope_back = t_rope_back;
    t->train.glu_back = t_glu_back;
    t->train.adamw = t_adamw, t->train.sum_squares = t_squares;
    t->ops.train = &t->train;
    b->ops = &t->ops;
}

typedef struct run {
    bench_model on;
    lora adapter;
    trainer t;
    tree tree;
    batcher batch;
    int32_t prompts, text, head;
    size_t bytes;
} run;

static void add_segment(run *r, tree_segment s, int32_t n, uint64_t seed)
{
    err e = {0};
    int32_t *id = calloc((size_t)n + 1, sizeof *id);
    if (!id) exit(5);
    for (int32_t i = 0; i < n; i++) {
        rng at = rng_for(seed, (uint64_t)i, 0);
        id[i] = (int32_t)(rng_next(&at) >> 33) % r->on.header.config.n_vocab;
    }
    if (tree_add(&r->tree, s, id, n, &e) < 0) bench_stop(&e);
    free(id);
}

static void open_run(run *r, int rank, int rerun)
{
    err e = {0};
    lora_config config = {.rank = rank, .alpha = 2.0 * rank};
    if (!lora_lay_out(&r->adapter, &r->on.header.config, config, &r->on.keep, &e)) bench_stop(&e);
    lora_start(&r->adapter, 1);
    train_shape shape = {.rows = r->head + r->prompts * r->text,
                         .out_rows = r->prompts,
                         .positions = r->head + r->text,
                         .rerun_layers = rerun};
    train_setup setup = {&r->on.m, &r->on.b, &r->adapter, shape};
    arena plan = ARENA_MEASURE;
    if (!trainer_lay_out(&r->t, &setup, &plan, &e)) bench_stop(&e);
    r->bytes = plan.used;
    if (!arena_open(&r->on.block, plan.used, "trainer", &e)) bench_stop(&e);
    if (!trainer_lay_out(&r->t, &setup, &r->on.block, &e)) bench_stop(&e);
    tree_open(&r->tree, 10000, 10000000);
    int32_t parent = TREE_ROOT;
    if (r->head > 0) {
        add_segment(r, (tree_segment){.parent = TREE_ROOT, .kind = TREE_HEAD}, r->head, 7);
        parent = 0;
    }
    for (int32_t i = 0; i < r->prompts; i++) {
        add_segment(r, (tree_segment){.parent = parent, .kind = TREE_CASE}, r->text,
                    (uint64_t)i + 9);
        int32_t text = tree_count(&r->tree) - 1;
        add_segment(r, (tree_segment){.parent = text, .kind = TREE_ANSWER}, 1, 5);
    }
    if (!batcher_lay_out(&r->batch, &r->tree, shape, &r->on.keep, &e)) bench_stop(&e);
    for (int32_t i = 0; i < tree_count(&r->tree); i++) {
        if (tree_at(&r->tree, i)->kind != TREE_ANSWER) continue;
        if (!batcher_take(&r->batch, i, 1.0f / (float)r->prompts)) exit(1);
    }
}

static double one_step(run *r)
{
    err e = {0};
    double loss = 0, norm = 0, start = seconds_work(pool_size(r->on.threads));
    optim_config o = {
        .rate = 2e-4, .clip = 1, .warmup = 10, .updates = 1000, .schedule = OPTIM_CONSTANT};
    train_batch b = batcher_view(&r->batch);
    if (!trainer_add(&r->t, &b, &loss, &e)) bench_stop(&e);
    if (!trainer_update(&r->t, &o, &norm, &e)) bench_stop(&e);
    return seconds_work(pool_size(r->on.threads)) - start;
}

static double flop_of(const timed *t)
{
    double flop = 0;
    for (int i = 0; i < KINDS; i++) flop += t->flop[i];
    return flop;
}

static void report_ops(const timed *t, double all, double peak)
{
    for (int i = 0; i < K_OTHER; i++) {
        if (t->seconds[i] <= 0) continue;
        printf("  %-24s %7.1f ms %5.1f %%", kind_name[i], 1e3 * t->seconds[i],
               100 * t->seconds[i] / all);
        if (t->flop[i] > 0) {
            double rate = t->flop[i] / t->seconds[i] / 1e9;
            printf(" %8.1f GFLOP/s %5.2f of the peak", rate, rate / peak);
        }
        printf("\n");
    }
}

static void report_run(run *r, double took, const char *csv, bool ops)
{
    static timed clock; /* too large for comfort on a stack */
    double peak = peak_gflops(r->on.threads, r->on.b.isa, 5);
    put_clock(&r->on.b, &clock);
    double watched = one_step(r);
    char name[300];
    const double rows = r->head + (double)r->prompts * r->text;
    snprintf(name, sizeof name, "train %s %d x %d, head %d, rows", r->on.header.name, r->prompts,
             r->text, r->head);
    report(csv, name, rows / took, "rows/s", flop_of(&clock) / took / 1e9 / peak);
    snprintf(name, sizeof name, "train %s %d x %d, head %d, tokens", r->on.header.name, r->prompts,
             r->text, r->head);
    double tokens = (double)r->prompts * (r->head + r->text);
    report(csv, name, tokens / took, "tokens/s", tokens / rows);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    report(csv, "resident", (double)used.ru_maxrss * 1024 / 1e6, "MB",
           (double)used.ru_maxrss * 1024 /
               ((double)r->bytes + (double)r->on.header.bytes_weights +
                4.0 * (double)r->adapter.n_value));
    if (ops) report_ops(&clock, watched, peak);
}

int main(int argc, char **argv)
{
    if (argc < 2) return fprintf(stderr, "usage: b_train MODEL [--prompts N] ...\n"), 2;
    run *r = calloc(1, sizeof *r);
    if (!r) return 5;
    r->prompts = number(argc, argv, "--prompts", "8");
    r->text = number(argc, argv, "--text", "256");
    r->head = number(argc, argv, "--head", "0");
    int repeats = number(argc, argv, "--repeats", "3");
    if (r->prompts < 1 || r->text < 1 || r->head < 0 || repeats < 1) return 2;
    bench_model_open(&r->on, argc, argv);
    open_run(r, number(argc, argv, "--rank", "16"), number(argc, argv, "--rerun", "0"));
    double best = one_step(r); /* weights come in from the disk */
    for (int i = 0; i < repeats; i++) {
        double took = one_step(r);
        if (has(argc, argv, "--seconds-only")) printf("%.6f\n", took), fflush(stdout);
        if (i == 0 || took < best) best = took;
    }
    if (!has(argc, argv, "--seconds-only")) {
        report_run(r, best, option(argc, argv, "--csv", NULL), has(argc, argv, "--ops"));
    }
    tree_close(&r->tree);
    bench_model_close(&r->on);
    free(r);
    return 0;
}
