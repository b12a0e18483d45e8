/* bench: what the benches share: a clock, medians, one line a figure, CSV rows, and the machine's
 * measured peak of fused multiply-adds, against which products are judged.
 *
 * A line is `name value unit ratio`; with --csv the same goes to a file as
 * date,cpu,name,value,unit,ratio (appended; the head line is written when the file is new). */
#ifndef CASELOAD_BENCH_BENCH_H
#define CASELOAD_BENCH_BENCH_H

#include "base/pool.h"

#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline double seconds_now(void) { return seconds_of(CLOCK_MONOTONIC); }

/* Wall time; with one thread the thread's own time, which other programs do not lengthen. */
static inline double seconds_work(int threads)
{
    return seconds_of(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC);
}

static inline int order_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, order_doubles);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* 12 chains of fused multiply-adds: enough for any latency. Returns flop done. */
__attribute__((target("avx512f"))) static inline double chains_avx512(float *sink, long steps)
{
    __m512 x[12], m = _mm512_set1_ps(0.9999f), a = _mm512_set1_ps(0.0001f);
    for (int i = 0; i < 12; i++) x[i] = _mm512_set1_ps((float)i + 2);
    for (long s = 0; s < steps; s++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) x[i] = _mm512_fmadd_ps(x[i], m, a);
    }
    for (int i = 1; i < 12; i++) x[0] = _mm512_add_ps(x[0], x[i]);
    *sink = _mm512_cvtss_f32(x[0]);
    return 12.0 * 32 * (double)steps;
}

__attribute__((target("avx2,fma"))) static inline double chains_avx2(float *sink, long steps)
{
    __m256 x[12], m = _mm256_set1_ps(0.9999f), a = _mm256_set1_ps(0.0001f);
    for (int i = 0; i < 12; i++) x[i] = _mm256_set1_ps((float)i + 2);
    for (long s = 0; s < steps; s++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) x[i] = _mm256_fmadd_ps(x[i], m, a);
    }
    for (int i = 1; i < 12; i++) x[0] = _mm256_add_ps(x[0], x[i]);
    *sink = _mm256_cvtss_f32(x[0]);
    return 12.0 * 16 * (double)steps;
}

typedef struct peak_work {
    bool wide;
    long steps;
    float sink[POOL_THREADS_MAX];
    double flop[POOL_THREADS_MAX];
} peak_work;

static inline void peak_task(void *context, int64_t i, int thread)
{
    (void)thread;
    peak_work *w = context;
    w->flop[i] =
        w->wide ? chains_avx512(&w->sink[i], w->steps) : chains_avx2(&w->sink[i], w->steps);
}

/* GFLOP/s of all threads together, best of `repeats` runs of about 30 ms. */
static inline double peak_gflops(pool *p, const char *isa, int repeats)
{
    peak_work w = {.wide = !strcmp(isa, "avx512"), .steps = 8000000};
    double best = 0;
    for (int r = 0; r < repeats; r++) {
        double t = seconds_work(pool_size(p)), flop = 0;
        pool_run(p, pool_size(p), peak_task, &w);
        t = seconds_work(pool_size(p)) - t;
        for (int i = 0; i < pool_size(p); i++) flop += w.flop[i];
        if (flop / t / 1e9 > best) best = flop / t / 1e9;
    }
    return best;
}

static inline void cpu_name(char *name, size_t size)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[300];
    snprintf(name, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "model name", 10) != 0 || !strchr(line, ':')) continue;
        snprintf(name, size, "%s", strchr(line, ':') + 2);
        name[strcspn(name, ",\n")] = 0;
        break;
    }
    if (f) fclose(f);
}

/* csv NULL: the line only. */
static inline void report(const char *csv, const char *name, double value, const char *unit,
                          double ratio)
{
    printf("%-44s %10.2f %-10s %6.3f\n", name, value, unit, ratio);
    fflush(stdout);
    if (!csv) return;
    FILE *f = fopen(csv, "a");
    if (!f) {
        fprintf(stderr, "cannot write %s\n", csv);
        exit(5);
    }
    if (ftell(f) == 0) fprintf(f, "date,cpu,name,value,unit,ratio\n");
    char cpu[200], day[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(day, sizeof day, "%Y-%m-%d", gmtime_r(&now, &utc));
    cpu_name(cpu, sizeof cpu);
    fprintf(f, "%s,%s,%s,%.3f,%s,%.4f\n", day, cpu, name, value, unit, ratio);
    fclose(f);
}

static inline const char *option(int argc, char **argv, const char *name, const char *otherwise)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (!strcmp(argv[i], name)) return argv[i + 1];
    }
    return otherwise;
}

#endif
