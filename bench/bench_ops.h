/* bench_ops: what the benches of single operators share: a device with room, and the loop that
 * takes the median of an operator's speed beside the measured peak. */
#ifndef CASELOAD_BENCH_BENCH_OPS_H
#define CASELOAD_BENCH_BENCH_OPS_H

#include "bench.h"
#include "compute/backend.h"

typedef struct bench {
    backend b;
    pool *threads;
    arena space, data; /* data is emptied after each shape */
    int64_t rows;
    int repeats;
    const char *csv, *only;
} bench;

/* --rows, --repeats, --csv, --only, --threads, --device; false: it said why. `most` may leave rows
 * at 0: those of the command line then. */
static inline bool bench_open(bench *k, int argc, char **argv, backend_shape most)
{
    err e = {0};
    *k = (bench){.rows = atoi(option(argc, argv, "--rows", "512")),
                 .repeats = atoi(option(argc, argv, "--repeats", "9")),
                 .csv = option(argc, argv, "--csv", NULL),
                 .only = option(argc, argv, "--only", "")};
    if (most.rows == 0) most.rows = k->rows;
    if (k->rows < 1 || k->repeats < 1 || k->repeats > 100)
        return fprintf(stderr, "--rows from 1, --repeats from 1 to 100\n"), false;
    k->threads = pool_open(atoi(option(argc, argv, "--threads", "0")), &e);
    const char *device = option(argc, argv, "--device", "cpu");
    if (!k->threads || !backend_open(&k->b, device, k->threads, &e) ||
        !arena_open(&k->space, (size_t)4 << 30, "workspace", &e) ||
        !arena_open(&k->data, (size_t)4 << 30, "data", &e) ||
        !backend_lay_out(&k->b, &most, &k->space, &e))
        return fprintf(stderr, "%s\n", e.text), false;
    report(k->csv, "peak", peak_gflops(k->threads, k->b.isa, 9), "GFLOP/s", 1);
    return true;
}

/* `op` again and again, 1 GFLOP at least a repeat; `flop` is one call's. */
static inline void bench_measure(bench *k, const char *name, double flop,
                                 void (*op)(backend *b, void *of), void *of)
{
    int inner = (int)(1e9 / flop) + 1, threads = pool_size(k->threads);
    double gflops[100], peaks[100];
    op(&k->b, of);
    for (int i = 0; i < k->repeats; i++) {
        double t = seconds_work(threads);
        for (int j = 0; j < inner; j++) op(&k->b, of);
        gflops[i] = flop * inner / (seconds_work(threads) - t) / 1e9;
        peaks[i] = peak_gflops(k->threads, k->b.isa, 1);
    }
    double reached = median(gflops, k->repeats);
    report(k->csv, name, reached, "GFLOP/s", reached / median(peaks, k->repeats));
    arena_reset(&k->data, 0);
}

static inline void bench_close(bench *k)
{
    arena_close(&k->space);
    arena_close(&k->data);
    pool_close(k->threads);
}

#endif
