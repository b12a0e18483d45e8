/* b_stats: the statistics at the size of a study, and larger.
 *   --threads N (0: all)   --repeats 5   --csv FILE   --dump FILE: the rows, for the peers
 *   (run_stats)
 * Ratio: of the time allowed (1 s is the goal of a line that allows 1 s; below 1 is faster). */
#include "bench.h"

#include "base/rng.h"
#include "stats/boot.h"
#include "stats/cluster.h"
#include "stats/rank.h"
#include "stats/weigh.h"

enum { MILLION = 1000000, ROWS = 12000, ARMS = 20, BOOT_ARMS = 5, PATIENTS = 7000, DRAWS = 10000 };

typedef struct data {
    double *score[ARMS], *million;
    uint8_t *y, *million_y;
    int32_t *patient;
} data;

static void fill(data *d, arena *a)
{
    err e = {0};
    d->million = arena_take(a, MILLION, sizeof(double), &e);
    d->million_y = arena_take(a, MILLION, 1, &e);
    d->y = arena_take(a, ROWS, 1, &e);
    d->patient = arena_take(a, ROWS, sizeof(int32_t), &e);
    for (int k = 0; k < ARMS; k++) d->score[k] = arena_take(a, ROWS, sizeof(double), &e);
    for (int64_t i = 0; i < MILLION; i++) {
        rng r = rng_for(1, 1, (uint64_t)i);
        d->million_y[i] = rng_unit(&r) < 0.1;
        d->million[i] = rng_normal(&r) + d->million_y[i];
    }
    for (int64_t i = 0; i < ROWS; i++) {
        rng r = rng_for(1, 2, (uint64_t)i);
        d->patient[i] = i < PATIENTS ? (int32_t)i : (int32_t)rng_below(&r, PATIENTS);
        d->y[i] = rng_unit(&r) < 0.2;
        double common = rng_normal(&r);
        for (int k = 0; k < ARMS; k++)
            d->score[k][i] = common + 0.8 * rng_normal(&r) + (0.8 + 0.02 * k) * d->y[i];
    }
}

static bool aurocs(const void *context, const uint16_t *weight, double *value)
{
    const weigh_order *o = context;
    for (int k = 0; k < BOOT_ARMS; k++) {
        if (!weigh_auroc(&o[k], weight, &value[k])) return false;
    }
    return true;
}

static double time_million(const data *d, arena *a, err *e)
{
    size_t mark = arena_mark(a);
    double t = seconds_now();
    rank_auroc r;
    if (!rank_auroc_rows(d->million, d->million_y, MILLION, a, &r, e)) exit(1);
    t = seconds_now() - t;
    arena_reset(a, mark);
    return t;
}

static double time_pairs(const data *d, arena *a, err *e)
{
    size_t mark = arena_mark(a);
    rank_parts p[ARMS];
    double t = seconds_now(), sum = 0;
    for (int k = 0; k < ARMS; k++)
        if (!rank_parts_take(d->score[k], d->y, ROWS, a, &p[k], e)) exit(1);
    for (int i = 0; i < ARMS; i++)
        for (int j = i + 1; j < ARMS; j++) sum += rank_compare_paired(&p[i], &p[j], 0).p;
    t = seconds_now() - t;
    arena_reset(a, mark);
    return sum >= 0 ? t : 0;
}

static double time_boot(const data *d, pool *p, arena *a, err *e)
{
    size_t mark = arena_mark(a);
    weigh_order order[BOOT_ARMS];
    double t = seconds_now();
    for (int k = 0; k < BOOT_ARMS; k++)
        if (!weigh_order_take(d->score[k], d->y, ROWS, a, &order[k], e)) exit(1);
    boot_plan plan = {.n = ROWS,
                      .unit = d->patient,
                      .n_unit = PATIENTS,
                      .n_draw = DRAWS,
                      .n_value = BOOT_ARMS,
                      .statistic = aurocs,
                      .context = order};
    boot_result r;
    if (!boot_run(&plan, p, a, &r, e)) exit(1);
    t = seconds_now() - t;
    arena_reset(a, mark);
    return t;
}

static void dump(const data *d, const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f) exit(1);
    fprintf(f, "y,patient,s0,s1,s2,s3,s4\n");
    for (int i = 0; i < ROWS; i++) {
        fprintf(f, "%d,%d", d->y[i], d->patient[i]);
        for (int k = 0; k < BOOT_ARMS; k++) fprintf(f, ",%.17g", d->score[k][i]);
        fputc('\n', f);
    }
    fclose(f);
}

int main(int n_arg, char **arg)
{
    err e = {0};
    arena a;
    data d;
    int threads = 0, repeats = 5;
    const char *csv = NULL;
    if (!arena_open(&a, (size_t)1 << 32, "bench", &e)) return 1;
    fill(&d, &a);
    for (int i = 1; i + 1 < n_arg; i += 2) {
        if (!strcmp(arg[i], "--threads")) threads = atoi(arg[i + 1]);
        if (!strcmp(arg[i], "--repeats")) repeats = atoi(arg[i + 1]);
        if (!strcmp(arg[i], "--csv")) csv = arg[i + 1];
        if (!strcmp(arg[i], "--dump")) dump(&d, arg[i + 1]);
    }
    pool *p = pool_open(threads, &e);
    double t[3][100];
    if (!p || repeats < 1 || repeats > 100) return 1;
    for (int r = 0; r < repeats; r++) {
        t[0][r] = time_million(&d, &a, &e);
        t[1][r] = time_pairs(&d, &a, &e);
        t[2][r] = time_boot(&d, p, &a, &e);
    }
    double million = median(t[0], repeats), pairs = median(t[1], repeats),
           boot = median(t[2], repeats);
    report(csv, "AUROC and DeLong, 1,000,000 scores", 1e3 * million, "ms", million / 0.5);
    report(csv, "paired DeLong, 20 arms, 12,000 rows", 1e3 * pairs, "ms", pairs / 1);
    report(csv, "10,000 patient bootstraps, 12,000 rows, 5 arms", boot, "s", boot / 10);
    pool_close(p);
    arena_close(&a);
    return 0;
}
