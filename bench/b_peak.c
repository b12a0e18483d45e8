/* b_peak: GFLOP/s of fused multiply-adds on this machine. --threads N */
#include "bench.h"

int main(int argc, char **argv)
{
    err e = {0};
    pool *p = pool_open(atoi(option(argc, argv, "--threads", "0")), &e);
    if (!p) return fprintf(stderr, "%s\n", e.text), (int)e.code;
    const char *csv = option(argc, argv, "--csv", NULL);
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        report(csv, "peak avx2", peak_gflops(p, "avx2", 9), "GFLOP/s", 1);
    if (__builtin_cpu_supports("avx512f")) {
        report(csv, "peak avx512", peak_gflops(p, "avx512", 9), "GFLOP/s", 1);
    }
    pool_close(p);
    return 0;
}
