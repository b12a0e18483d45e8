/* "name value" lines of tests/golden, read whole. A missing name fails the test. */
#ifndef CASELOAD_TESTS_GOLDEN_FILE_H
#define CASELOAD_TESTS_GOLDEN_FILE_H

#include <stdio.h>
#include <string.h>

typedef struct golden_file {
    int n;
    char name[400][48];
    double value[400];
} golden_file;

static inline void golden_read(golden_file *g, const char *path)
{
    char line[400];
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s is not there", path);
    g->n = 0;
    while (f && fgets(line, sizeof line, f) && g->n < 400) {
        if (line[0] == '#') continue;
        if (sscanf(line, "%47s %lf", g->name[g->n], &g->value[g->n]) == 2) g->n++;
    }
    if (f) fclose(f);
}

static inline double golden(const golden_file *g, const char *name)
{
    for (int i = 0; i < g->n; i++) {
        if (!strcmp(g->name[i], name)) return g->value[i];
    }
    fail_msg("no value named %s", name);
    return 0;
}

/* tests/golden/stats_rows.csv */
enum { GOLDEN_ROWS = 600 };

typedef struct golden_rows {
    uint8_t y[GOLDEN_ROWS];
    double z[2][GOLDEN_ROWS], p[2][GOLDEN_ROWS]; /* log-odds and probability of models a, b */
    int32_t cluster[GOLDEN_ROWS], site[GOLDEN_ROWS], k[GOLDEN_ROWS];
    double p4[GOLDEN_ROWS * 4];
    int32_t rater[GOLDEN_ROWS * 3], rater_missing[GOLDEN_ROWS * 3]; /* -1: missing */
} golden_rows;

static inline void golden_rows_read(golden_rows *g)
{
    char line[400];
    FILE *f = fopen("tests/golden/stats_rows.csv", "r");
    if (!f || !fgets(line, sizeof line, f)) fail_msg("tests/golden/stats_rows.csv is not there");
    for (int i = 0; f && i < GOLDEN_ROWS; i++) {
        int y = 0, *r = g->rater + 3 * i, *m = g->rater_missing + 3 * i;
        double *q = g->p4 + 4 * i;
        int got = fgets(line, sizeof line, f)
                      ? sscanf(line, "%d,%lf,%lf,%d,%d,%d,%lf,%lf,%lf,%lf,%d,%d,%d,%d,%d,%d", &y,
                               &g->z[0][i], &g->z[1][i], &g->cluster[i], &g->site[i], &g->k[i],
                               &q[0], &q[1], &q[2], &q[3], &r[0], &r[1], &r[2], &m[0], &m[1], &m[2])
                      : 0;
        if (got != 16) fail_msg("row %d has %d fields", i, got);
        g->y[i] = (uint8_t)y;
        for (int k = 0; k < 2; k++) g->p[k][i] = 1 / (1 + exp(-g->z[k][i]));
    }
    if (f) fclose(f);
}

#endif
