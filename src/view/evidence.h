/* evidence: all that a paper shows beyond what every page shows (gather): curves with bands,
 * average precision, calibration, subgroups. Computed once; figures, tables and words draw from it.
 *
 * When some patient has several texts, intervals and tests are by patient (Obuchowski; patients
 * resampled); else texts are independent. Subgroup columns with more than EVIDENCE_LEVELS_MAX
 * values are named and left out.
 */
#ifndef CASELOAD_VIEW_EVIDENCE_H
#define CASELOAD_VIEW_EVIDENCE_H

#include "stats/curves.h"
#include "stats/paired.h"
#include "stats/subgroup.h"
#include "view/gather.h"

enum { EVIDENCE_BINS = 10, EVIDENCE_LEVELS_MAX = 40, EVIDENCE_CURVES_MAX = 12 };

typedef struct evidence_arm {
    const rank_auroc *auroc; /* by patient when there are clusters */
    stat_estimate auprc;     /* interval by bootstrap */
    int64_t auprc_draws;
    cut_measures cut; /* at the operating point; intervals of shares: evidence_share_words */
    stat_estimate log_loss, observed_expected, ece;
    calib_line line, line_own;    /* own: of the model's probabilities, before recalibration */
    calib_bin bin[EVIDENCE_BINS]; /* equal width */
    curve roc, precision, calibration, decision; /* of arms that are drawn */
    curve calibration_own;                       /* before recalibration, when there is one */
    double all[CURVES_DECISION];                 /* net benefit of treating all */
} evidence_arm;

typedef struct evidence_level { /* a subgroup */
    str name;                   /* "" where the cell was empty */
    int64_t n, events;
    int32_t n_patient; /* 0: no patient column */
    rank_auroc *auroc; /* [n_arm] */
} evidence_level;

typedef struct evidence_multi { /* more than two classes: an arm's summaries, with intervals */
    stat_estimate macro, weighted, hand_till; /* AUROC; hand_till: mean over pairs of classes */
    stat_estimate accuracy, macro_f1, weighted_f1, mcc, kappa, log_loss, brier;
    int32_t n_judged; /* classes with cases and non-cases */
    int64_t n_draw, n_redraw;
} evidence_multi;

typedef struct evidence_group {
    str name;
    int32_t n_level; /* 0: too many values */
    evidence_level *level;
    subgroup_test *test; /* [n_arm] do the levels differ? */
} evidence_group;

typedef struct evidence {
    gather *g;             /* its arena holds all this */
    bool binary;           /* a class is positive: only then there are arms and groups below */
    bool clusters;         /* some patient has several texts */
    int32_t reference;     /* the arm that others are compared with */
    evidence_arm *arm;     /* [n_arm] */
    evidence_multi *multi; /* [n_arm] with more than two classes; else NULL */
    const verdict_pair *primary;    /* declared beforehand; NULL: none */
    paired_noninferiority inferior; /* of the primary pair as declared, if it has a margin */
    /* [n_pair] of evidence_test, over all pairs but the primary one, which keeps its p; 0 where
     * there is no test */
    double *p_holm;
    /* Arms with curves: the first EVIDENCE_CURVES_MAX, without baselines that score every text
     * alike. */
    int32_t n_drawn, drawn[EVIDENCE_CURVES_MAX];
    int32_t n_group;
    evidence_group *group;
    /* Generated texts beside references (texts.h), put here by who reads them; NULL: none. */
    const struct texts *likeness;
} evidence;

bool evidence_compute(evidence *v, gather *g, err *e);

/* The pair of arms (either order); NULL when there is none. *sign: +1 when the pair's difference is
 * arm - reference, -1 the other way round. */
const verdict_pair *evidence_pair(const evidence *v, int32_t arm, int32_t reference, int *sign);
/* The test to report: by patient when there are clusters. */
const rank_test *evidence_test(const evidence *v, const verdict_pair *p);

/* The primary comparison as declared: *first against *second, and the sign of its pair. False when
 * there is none. */
bool evidence_primary(const evidence *v, int32_t *first, int32_t *second, int *sign);

/* "at a probability of 0.5, set beforehand"; "at the threshold of each arm with .. on 120 tune
 * rows"; in English or Korean. */
void evidence_add_point(const verdict *r, buf *b);
void evidence_add_point_korean(const verdict *r, buf *b);
/* "0.312"; "above every score" when nobody is called. */
void evidence_add_threshold(buf *b, const verdict_arm *a);
/* "Platt's method"; NULL: none. */
const char *evidence_recal_words(const verdict *r);
const char *evidence_recal_words_korean(const verdict *r);

/* "Wilson's intervals", or how patients are allowed for. */
const char *evidence_share_words(const evidence *v);

/* "value (low to high)" or "not estimable (reason)"; the decimals of all three. */
void evidence_add(buf *b, const stat_estimate *o, int decimals);
void evidence_add_signed(buf *b, double x, int decimals); /* "+0.012", with a true minus sign */
void evidence_add_p(buf *b, bool exists, double p);       /* "0.012", "<0.001" */
/* "+0.012 (-0.003 to +0.027)" of a test that has a value; sign -1: the other way round. */
void evidence_add_difference(buf *b, const rank_test *t, int sign);

#endif
