/* fit_forecast: how long a run or a training will take, said before it starts and held against what
 * it took. A few seconds of this computer are measured for it (fit_time.h), so it is made only for
 * work that takes minutes; not on a GPU, and not where several ranks share the work. */
#ifndef CASELOAD_STUDY_FIT_FORECAST_H
#define CASELOAD_STUDY_FIT_FORECAST_H

#include "study/fit_study.h"

typedef struct fit_forecast {
    bool made;
    double scoring, training; /* seconds */
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
