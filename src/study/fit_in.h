/* fit_in: what the files of fit share. */
#ifndef CASELOAD_STUDY_FIT_IN_H
#define CASELOAD_STUDY_FIT_IN_H

#include "compute/device.h"
#include "study/fit_study.h"

/* Splits the layers of a job over as few cards as hold it; fills line->n_split and share. */
bool fit_split(fit_line *line, const fit_job *j, const fit_target *where, arena *a, err *e);

/* What layers [first, end) of something take on a card; false: it cannot be said. */
typedef struct fit_splitter {
    bool (*measure)(void *context, int32_t first, int32_t end, fit_bytes *bytes);
    void *context;
    int32_t n_layer;
    bool on_all; /* on all cards, where there are as many layers; else on as few as hold it */
} fit_splitter;

/* The number of cards, at most where->n_card; 0: not even on all. The fullest is as empty as it can
 * be. */
int32_t fit_split_layers(const fit_splitter *s, const fit_target *where,
                         fit_share share[FIT_CARDS_MAX]);

/* Rows of a book and the keys that they attend to, in all. */
void fit_count_rows(const book *b, int64_t *rows, double *keys, int32_t *longest);

/* The speed of a pass's model where it shall run; what cannot be measured is NaN, with the reason
 * in its source. Nothing is done when s->source is there already. */
bool fit_find_speed(fit_speed *s, run *r, const pass *p, const fit_target *where, err *e);

/* Memory and time of every adapter that the run trains: fills f->training and its sums. */
bool fit_make_trainings(fit_study *f, run *r, tune *t, arena *a, err *e);

#endif
