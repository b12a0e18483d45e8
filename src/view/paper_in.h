/* paper_in: what the files of paper share. */
#ifndef CASELOAD_VIEW_PAPER_IN_H
#define CASELOAD_VIEW_PAPER_IN_H

#include "view/paper.h"
#include "view/sheet.h"

enum { PAPER_TABLES = 16 }; /* T1 .. T7, S1 .. S9 */

typedef struct paper_arm { /* from the arm's record; "" and 0 where it says nothing */
    int32_t shots;
    int64_t seed;
    const char *question, *system, *template_kind, *kind;
    const char *framing, *method;
    const char *asking; /* all of how it asks but its question, as JSON: equal or not */
    int32_t wordings, samples;
    const char *model, *model_sha256, *quantisation, *adapter_sha256;
    int64_t parameters, bytes_weights; /* of the model; bytes of its file or files */
    int32_t adapter_rank;
    int64_t bytes_planned, bytes_peak, tokens_forwarded; /* of its pass; 0: not recorded */
    double seconds;
} paper_arm;

typedef struct paper {
    const evidence *v;
    const paper_arm *arm; /* [n_arm] */
} paper;

bool paper_read_arms(paper *p, err *e);

/* Fills the table, or says in `why` why there is none. */
bool paper_table(const paper *p, int32_t which, sheet *s, char why[200], err *e);
const char *paper_table_id(int32_t which);

void paper_methods_english(const paper *p, buf *out);
void paper_methods_korean(const paper *p, buf *out);

/* ": 149 serious, 271 not-serious", small counts withheld. */
void paper_add_classes(const paper *p, buf *out);

/* T1 by split, where the table has several parts (paper_parts.c). */
bool paper_has_parts(const paper *p);
void paper_parts(const paper *p, sheet *s);

/* T4, of several models (paper_frontier.c). */
bool paper_table_frontier(const paper *p, sheet *s, char why[200], err *e);
/* T5, of adapters over their seeds (paper_tuning.c). */
bool paper_tuning(const paper *p, sheet *s, char why[200]);
/* S3, ways and generated texts within arms; S4, each training (paper_ways.c). */
bool paper_ways(const paper *p, sheet *s, char why[200], err *e);
bool paper_trainings(const paper *p, sheet *s, char why[200], err *e);
/* S5, what each part of asking changes (paper_ablation.c); S6, by place of an option. */
bool paper_ablation(const paper *p, sheet *s, char why[200], err *e);
bool paper_places(const paper *p, sheet *s, char why[200], err *e);
/* Some arm has texts generated; some arm has an adapter. */
bool paper_generates(const paper *p);
bool paper_adapts(const paper *p);

/* Shared cells (paper_tables.c): "0.812 (0.790 to 0.834)"; arm k against the reference; a p. */
void paper_add_estimate(sheet *s, const stat_estimate *o, int decimals);
void paper_add_difference(const paper *p, sheet *s, int32_t k);
void paper_add_p(sheet *s, bool exists, double p);

void paper_checklist(const paper *p, sheet *s);

/* "head and tail", as words; what was done with long texts, "" when nothing is recorded. */
const char *paper_cut_words(const paper *p);
int64_t paper_n_cut(const paper *p); /* most texts cut in any arm */

#endif
