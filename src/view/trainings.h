/* trainings: the records of the study's trained adapters (facts training/ARM of the store), as
 * curves: loss by update, loss and AUROC of the tune rows by update, number of training rows. */
#ifndef CASELOAD_VIEW_TRAININGS_H
#define CASELOAD_VIEW_TRAININGS_H

#include "view/evidence.h"

typedef struct training_point {
    double update, loss, auroc; /* auroc: NaN when there is none */
} training_point;

typedef struct training_curve {
    int32_t arm;
    str family, base; /* NAME/n-250 of NAME/n-250/seed-3; NAME */
    int64_t n_row, seed, updates;
    int32_t n_loss, n_evaluation;
    training_point *loss;       /* [n_loss] of the training rows, mean since the point before */
    training_point *evaluation; /* [n_evaluation] of the tune rows */
    int32_t kept;               /* the evaluation whose adapter was kept; -1: none */
} training_curve;

typedef struct trainings {
    int32_t n;
    training_curve *curve; /* [n] by arm */
    bool sizes;            /* some arm was trained on several numbers of rows */
} trainings;

/* In the gather's arena. Damaged records are taken as far as they can be read. */
bool trainings_read(trainings *t, const evidence *v, err *e);

/* The arm's AUROC; of several classes their mean. */
const stat_estimate *trainings_auroc(const evidence *v, int32_t arm);

#endif
