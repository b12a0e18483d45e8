/* card_rows: what the benches of GPUs print: `name value unit ratio` a line, and the same with day
 * and card as a row of a CSV file. As report() of bench.h, with the card in place of the
 * processor. */
#ifndef CASELOAD_BENCH_GPU_CARD_ROWS_H
#define CASELOAD_BENCH_GPU_CARD_ROWS_H

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline void stop(const err *e)
{
    fprintf(stderr, "%s\n", e->text);
    exit((int)e->code);
}

typedef struct card_row {
    const char *name, *unit;
    double value, ratio;
} card_row;

/* csv: NULL prints only. */
static inline void card_row_write(const card_row *r, const char *csv, const char *card)
{
    printf("%-72s %12.3f %-10s %6.3f\n", r->name, r->value, r->unit, r->ratio);
    fflush(stdout);
    FILE *f = csv ? fopen(csv, "a") : NULL;
    if (!f) return;
    char day[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(day, sizeof day, "%Y-%m-%d", gmtime_r(&now, &utc));
    if (ftell(f) == 0) fprintf(f, "date,card,name,value,unit,ratio\n");
    fprintf(f, "%s,\"%s\",\"%s\",%.3f,%s,%.4f\n", day, card, r->name, r->value, r->unit, r->ratio);
    fclose(f);
}

#endif
