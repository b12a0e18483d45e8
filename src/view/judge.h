/* judge: every statistic of scores from anywhere: no model, no study. The door for statisticians;
 * `compare` shows arms of a study with it.
 *
 * In: rows as columns: positive or not, scores, optionally the patient (cluster) and a subgroup.
 * Out: for each score discrimination, measures at the threshold, calibration (of probabilities);
 * for each pair the paired difference; the same in each subgroup, and whether subgroups differ.
 * A row that lacks a score is left out of all scores.
 *
 *   arms    {name: {n, events, auroc, auroc_var, auroc_low, auroc_high (DeLong, logit),
 *             auroc_wald_low, auroc_wald_high, auroc_cluster_var, .._low, .._high (Obuchowski),
 *             auroc_boot_low, .._high, auprc, brier, citl, slope, ece10, sens, spec, ppv, npv, f1,
 *             mcc, kappa, status, ..}}
 *   pairs   [{a, b, diff (a - b), low, high, z, p, p_holm, cluster_.., boot_.., mcnemar_..}]
 *   groups  {value: {n, events, arms, pairs}}; group_tests, interaction
 * A number that cannot be computed is null, a status says why, and `notes` says it in a sentence.
 */
#ifndef CASELOAD_VIEW_JUDGE_H
#define CASELOAD_VIEW_JUDGE_H

#include "base/str.h"
#include "stats/boot.h"
#include "stats/calib.h"
#include "stats/cut.h"
#include "stats/decide.h"
#include "stats/paired.h"
#include "stats/recal.h"
#include "stats/subgroup.h"

enum {
    JUDGE_SCORES_MAX = 64,
    JUDGE_GROUPS_MAX = 64,
    JUDGE_DECISIONS = 4,
    JUDGE_NOTES_MAX = 200,
    JUDGE_BOOT_CELLS_MAX = 400000 /* rows x scores: above, no bootstrap unless asked */
};

typedef struct judge_rows { /* columns [n] */
    int64_t n;
    const uint8_t *positive;
    const int32_t *patient; /* equal numbers are one patient, negative: unknown; NULL: no column */
    const int32_t *group;   /* 0 .. n_group - 1; NULL: none */
    int32_t n_group, n_arm;
    const char *const *group_name, *const *arm_name;
    const double *const *score;       /* [n_arm][n] what is ranked; no NaN */
    const double *const *probability; /* [n_arm][n]; NULL: the scores are no probabilities */
} judge_rows;

typedef struct judge_settings {
    double threshold, level; /* of the probability, else of the score; level 0: 0.95 */
    int64_t n_draw;          /* -1: none; 0: 2,000 unless the table is large */
    uint64_t seed;
} judge_settings;

typedef enum judge_boot { /* what is drawn, for each score */
                          JUDGE_BOOT_AUROC,
                          JUDGE_BOOT_AUPRC,
                          JUDGE_BOOT_SENS,
                          JUDGE_BOOT_SPEC,
                          JUDGE_BOOT_ACCURACY,
                          JUDGE_BOOT_BRIER,
                          JUDGE_BOOT_COUNT
} judge_boot;

typedef struct judge_arm {
    rank_parts parts;
    rank_auroc auroc, cluster; /* cluster: only with patients */
    stat_estimate auprc;
    double partial, partial_corrected; /* specificity 0.9 to 1; where auroc has a value */
    cut_measures cut;
    cut_choice youden; /* of these very rows: describes, must not be reported as a test result */
    stat_status probability_status; /* no_cases: not given as probabilities */
    bool has_probability;           /* given, and within 0..1; what follows exists */
    stat_estimate brier, brier_scaled, log_loss, observed_expected, ece10, ece5, ece4_mass;
    calib_line line;
    calib_spiegelhalter spiegelhalter;
    recal_map temperature; /* of these very rows: describes */
    int64_t n_clipped;     /* probabilities nearer to 0 or 1 than 1e-15 */
    stat_status decision_status;
    decide_point decision[JUDGE_DECISIONS];
    stat_estimate boot[JUDGE_BOOT_COUNT]; /* without draws: no interval */
} judge_arm;

typedef struct judge_pair { /* a - b */
    int32_t a, b;
    rank_test test, cluster;
    double p_holm, cluster_p_holm;
    stat_estimate boot;
    double boot_p;
    paired_mcnemar mcnemar; /* right at the threshold */
} judge_pair;

typedef struct judge_set {
    int64_t n, events;
    int32_t n_patient, n_arm, n_pair;
    judge_arm *arm;
    judge_pair *pair;
    int64_t n_draw, n_redraw;
    stat_status boot_status;
} judge_set;

typedef struct judge_test { /* an arm in two subgroups, a - b */
    int32_t arm, a, b;
    rank_test test;
    double p_holm;
} judge_test;
typedef struct judge_result {
    const judge_rows *rows;
    judge_settings settings;
    judge_set all, *group; /* [n_group] */
    int32_t n_test;
    judge_test *test;
    subgroup_test *interaction; /* [n_arm]; NULL below two subgroups */
} judge_result;

bool judge_compute(const judge_rows *rows, judge_settings settings, pool *p, arena *a,
                   judge_result *out, err *e);

typedef struct judge_about { /* what stands above the numbers */
    const char *source;      /* the table's or the study's name */
    const char *positive;    /* "label = 1" */
    int32_t n_fact, n_note;
    const char *const *fact_name, *const *note;
    const int64_t *fact; /* counts: rows in the table, left out, .. */
} judge_about;

typedef struct judge_notes { /* finished sentences, in an arena */
    int32_t n;
    const char *note[JUDGE_NOTES_MAX];
} judge_notes;
void judge_note(judge_notes *n, arena *a, err *e, const char *format, ...) PRINTF(4, 5);
/* A sentence for all that could not be computed, or is weak. */
void judge_explain(const judge_result *r, judge_notes *n, arena *a, err *e);

bool judge_write_json(const judge_result *r, const judge_about *about, buf *out, err *e);
bool judge_write_text(const judge_result *r, const judge_about *about, buf *out, err *e);

typedef struct judge_options {
    const char *table, *label, *positive;
    const char *const *score; /* [n_score] column names */
    int32_t n_score;
    const char *patient, *group; /* columns; NULL: none */
    bool probability, json;
    judge_settings settings;
} judge_options;

/* ERR_USAGE: no such column; ERR_DATA: a score that is no number. Rows with an empty or NA label or
 * score are left out and counted. */
bool judge_table(const judge_options *o, buf *out, err *e);

#endif
