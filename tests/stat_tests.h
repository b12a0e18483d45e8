/* stat_tests: what the tests of statistics share: near_to, an arena as the test's state, and the
 * published data set that several are checked on. Include behind cmocka.h. */
#ifndef CASELOAD_TESTS_STAT_TESTS_H
#define CASELOAD_TESTS_STAT_TESTS_H

#include "base/arena.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>

static inline void near_to(double got, double want, double within)
{
    if (!(fabs(got - want) <= within)) fail_msg("got %.15g, want %.15g", got, want);
}

static inline int open_arena(void **state)
{
    static arena a;
    err e = {0};
    *state = &a;
    return arena_open(&a, (size_t)1 << 33, "test", &e) ? 0 : 1;
}

static inline int close_arena(void **state)
{
    arena_close(*state);
    return 0;
}

/* asah.csv of pROC (113 patients; wfns, s100b, ndka; 1: poor outcome). 0: it is not there. */
static inline int64_t read_asah(double score[3][113], uint8_t *y)
{
    char line[300], outcome[20]; /* id,outcome,gos6,gender,age,wfns,s100b,ndka */
    FILE *f = fopen("../shared/data/auroc-vectors/asah.csv", "r");
    if (!f) return 0;
    int64_t n = 0;
    assert_non_null(fgets(line, sizeof line, f));
    while (fgets(line, sizeof line, f) && n < 113) {
        int got = sscanf(line, "%*[^,],%19[^,],%*[^,],%*[^,],%*[^,],%lf,%lf,%lf", outcome,
                         &score[0][n], &score[1][n], &score[2][n]);
        assert_int_equal(got, 4);
        y[n++] = outcome[0] == 'P';
    }
    fclose(f);
    return n;
}

#endif
