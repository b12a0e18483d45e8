/* fit_forecast: how long a run or a training will take, said before it starts and held against what
 * it took.
 *
 *   processor      a few seconds of this computer are measured for it (fit_time.h), so it is made
 *                  only for work that takes minutes
 *   GPU            the rates of its card (model/cards.h), measured ones where there are some; a
 *                  third of them for bf16x3; none for fp32 or a card that is not in the table
 *   several ranks  one rank's time shared evenly, as if they did not slow each other; layers split
 *                  over cards work one after the other where batches do not take turns (crew.h)
 *
 * What is assumed stands in the line. */
#ifndef CASELOAD_STUDY_FIT_FORECAST_H
#define CASELOAD_STUDY_FIT_FORECAST_H

#include "study/fit_study.h"

typedef struct fit_forecast {
    bool made;
    double scoring, training; /* seconds */
    char assumed[200];        /* "" where this computer alone was measured */
} fit_forecast;

/* Of a run that stands ready, and of the adapters that `t` (NULL: none) has still to train.
 * `scores`: texts are scored too. `always`: however short the work is. */
typedef struct fit_forecast_ask {
    run *run;
    tune *tune;
    bool scores, always;
} fit_forecast_ask;

bool fit_forecast_make(fit_forecast *f, const fit_forecast_ask *ask, err *e);

/* A line: predicted and taken. Nothing when none was made. */
void fit_forecast_say(const fit_forecast *f, double seconds_taken, buf *out);

#endif
