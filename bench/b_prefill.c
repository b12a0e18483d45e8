/* b_prefill: tokens a second of one prompt through a real model, and the memory it takes.
 *   b_prefill MODEL [--tokens 512] [--rows 512] [--threads N] [--repeats 5] [--device cpu]
 *             [--csv FILE]
 * Prints `prefill MODEL N tokens`, its tokens/s (median) and the share of the measured peak that
 * the products and the attention together reach; then `memory`: the largest resident set in MB
 * beside the file's size + K/V. With --seconds-only prints the seconds of each repeat, one a line,
 * for run_prefill. */
#include "bench_model.h"

#include <sys/resource.h>

typedef struct run {
    bench_model on;
    session s;
    int32_t tokens, rows;
    int32_t *id, *position;
} run;

static void open_run(run *r)
{
    err e = {0};
    session_shape shape = {.rows = r->rows,
                           .slots = r->tokens > r->rows ? r->tokens : r->rows,
                           .positions = r->tokens,
                           .out_rows = 1,
                           .picks = 0,
                           .n_top = 10};
    bench_model_session(&r->on, &r->s, shape);
    r->id = bench_ids(&r->on, r->tokens);
    r->position = arena_take(&r->on.keep, (size_t)r->tokens, sizeof *r->position, &e);
    if (!r->position) bench_stop(&e);
    for (int32_t i = 0; i < r->tokens; i++) r->position[i] = i;
}

static void forward(run *r)
{
    const int64_t no_picks[2] = {0, 0};
    for (int32_t first = 0; first < r->tokens; first += r->rows) {
        int32_t n = r->tokens - first < r->rows ? r->tokens - first : r->rows, last_row = n - 1;
        attend_range range = {.slot = 0, .count = first + n, .position = 0};
        attend_span span = {.row = 0, .count = n, .position = first, .n_range = 1};
        step st = {.n_row = n,
                   .first_slot = first,
                   .id = r->id + first,
                   .position = r->position + first,
                   .span = &span,
                   .range = &range,
                   .n_span = 1,
                   .out_row = &last_row,
                   .n_out = first + n == r->tokens,
                   .pick_start = no_picks,
                   .n_top = 10};
        session_forward(&r->s, &st);
    }
}

/* Multiply-adds count 2; the head is one row. */
static double flop_of(const run *r)
{
    const model_config *c = &r->on.header.config;
    double width = (double)c->head_dim * (2.0 * c->n_head + 2.0 * c->n_head_kv);
    double each = 2.0 * c->n_layer * c->d_model * (width + 3.0 * c->d_ff);
    double pairs = 0;
    for (int32_t l = 0; l < c->n_layer; l++) {
        for (int32_t i = 1; i <= r->tokens; i++) {
            pairs += c->layer_is_local[l] && c->window > 0 && i > c->window ? c->window : i;
        }
    }
    return each * r->tokens + 4.0 * c->n_head * c->head_dim * pairs +
           2.0 * c->d_model * (double)c->n_vocab;
}

static void report_memory(const run *r, const char *csv)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double file = (double)r->on.header.bytes_weights;
    double kv = (double)session_bytes_slot(&r->on.header.config, r->on.b.rows) * r->s.shape.slots;
    double resident = (double)used.ru_maxrss * 1024;
    char name[300];
    snprintf(name, sizeof name, "memory %s (file %.0f MB + K/V %.0f MB)", r->on.header.name,
             file / 1e6, kv / 1e6);
    report(csv, name, resident / 1e6, "MB", resident / (file + kv + 150e6));
}

int main(int argc, char **argv)
{
    if (argc < 2) return fprintf(stderr, "usage: b_prefill MODEL [--tokens N] ...\n"), 2;
    run r = {.tokens = number(argc, argv, "--tokens", "512"),
             .rows = number(argc, argv, "--rows", "512")};
    int repeats = number(argc, argv, "--repeats", "5");
    bool bare = has(argc, argv, "--seconds-only");
    const char *csv = option(argc, argv, "--csv", NULL);
    if (r.tokens < 1 || r.rows < 1 || repeats < 1 || repeats > 100) return 2;
    bench_model_open(&r.on, argc, argv);
    open_run(&r);
    double took[100], peaks[100];
    forward(&r); /* weights come in from the disk */
    for (int i = 0; i < repeats; i++) {
        double t = seconds_work(pool_size(r.on.threads));
        forward(&r);
        took[i] = seconds_work(pool_size(r.on.threads)) - t;
        if (bare) printf("%.6f\n", took[i]), fflush(stdout);
        else peaks[i] = peak_gflops(r.on.threads, r.on.b.isa, 1);
    }
    if (!bare) {
        double t = median(took, repeats), peak = median(peaks, repeats);
        char name[300];
        snprintf(name, sizeof name, "prefill %s %d tokens, rows %d", r.on.header.name, r.tokens,
                 r.rows);
        report(csv, name, r.tokens / t, "tokens/s", flop_of(&r) / t / 1e9 / peak);
        report_memory(&r, csv);
    }
    bench_model_close(&r.on);
    return 0;
}
