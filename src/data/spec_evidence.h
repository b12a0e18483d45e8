/* spec_evidence: what a study file declares beforehand about its evidence.
 *
 *   primary: {compare: [few-shot, zero-shot], margin: 0.02}     one comparison, not adjusted; with
 *                                    a margin: is the first not worse than the second by more?
 *   operating_point: 0.5             probability; or youden, {sensitivity: 0.95},
 *                                    {specificity: 0.9}, {net_benefit: 0.2}: chosen on tune rows
 *   recalibrate: none                or temperature, platt, isotonic: fitted on tune rows
 *
 * What is chosen or fitted on tune rows needs a split with such rows, of both kinds; they are then
 * scored too, and never judged. */
#ifndef CASELOAD_DATA_SPEC_EVIDENCE_H
#define CASELOAD_DATA_SPEC_EVIDENCE_H

#include "base/str.h"

typedef struct spec_text { /* a scalar and where it stands; data NULL: absent */
    str text;
    int32_t line;
} spec_text;

typedef struct spec_list {
    int32_t n;
    int32_t line; /* 0: absent */
    spec_text *item;
} spec_list;

enum { SPEC_ISOTONIC_ROWS = 1000 }; /* fewer overfit */

typedef enum spec_point { /* how the threshold is found */
                          SPEC_POINT_FIXED,
                          SPEC_POINT_YOUDEN,
                          SPEC_POINT_SENSITIVITY,
                          SPEC_POINT_SPECIFICITY,
                          SPEC_POINT_NET_BENEFIT
} spec_point;
typedef enum spec_recalibrate {
    SPEC_RECALIBRATE_NONE,
    SPEC_RECALIBRATE_TEMPERATURE,
    SPEC_RECALIBRATE_PLATT,
    SPEC_RECALIBRATE_ISOTONIC
} spec_recalibrate;

typedef struct spec_evidence {
    spec_list compare; /* two arms, as declared: the first minus the second; n 0: none */
    double margin;     /* of non-inferiority in AUROC; 0: none */
    spec_point point;
    double target; /* the probability; the sensitivity .. wanted on tune rows */
    int32_t line_point, line_recalibrate; /* 0: not said */
    spec_recalibrate recalibrate;
} spec_evidence;

struct spec;

/* True when the tune rows must be scored too: something is chosen or fitted on them. */
bool spec_scores_tune(const struct spec *s);

/* "youden", "sensitivity" ..; "temperature" .., as in the study file. */
const char *spec_point_name(spec_point p);
const char *spec_recalibrate_name(spec_recalibrate k);

#endif
