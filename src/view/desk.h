/* desk: the small questions of a statistician beside a study, each a command: how many cases
 * (`size`), do readers agree (`agree`), how alike are generated texts and references (`overlap`),
 * what do errors among the reference labels do (`audit`). Numbers come from stats (plan, agree,
 * overlap, audit); here they are read from a table, named, and written as text or JSON.
 *
 *   agree    columns of ratings; rows that a rater left empty (or NA) are missing for that rater
 *   overlap  two columns of texts; ROUGE is the mean over rows, BLEU and chrF are of the corpus
 *   size     from an expected AUROC and prevalence: rows for a precision, or the precision of rows
 *   audit    counts of labels read again among texts that the model got right, and got wrong
 */
#ifndef CASELOAD_VIEW_DESK_H
#define CASELOAD_VIEW_DESK_H

#include "base/str.h"
#include "stats/audit.h"

enum { DESK_RATERS_MAX = 64 };

typedef struct desk_agree {
    const char *table;
    const char *const *rater; /* [n] columns */
    int n;
    bool ordered; /* categories are numbers, in their order: weighted kappa, ordinal alpha */
    uint64_t seed;
} desk_agree;

typedef struct desk_overlap {
    const char *table, *reference, *generated;
    bool ascii, stem; /* ascii: words as ROUGE-1.5.5 has them */
} desk_overlap;

typedef struct desk_size {
    double auroc, prevalence;
    int64_t rows;        /* 0: not given */
    double width, power; /* of the interval; against 0.5 */
    int32_t prompts;     /* ways tried on the same rows; 0: none */
} desk_size;

typedef struct desk_audit {
    audit_stratum right, wrong;
} desk_audit;

bool desk_write_agree(const desk_agree *o, bool json, buf *out, err *e);
bool desk_write_overlap(const desk_overlap *o, bool json, buf *out, err *e);
bool desk_write_size(const desk_size *o, bool json, buf *out, err *e);
/* ERR_USAGE when only texts that the model got wrong were read: that can only flatter it. */
bool desk_write_audit(const desk_audit *o, bool json, buf *out, err *e);

#endif
