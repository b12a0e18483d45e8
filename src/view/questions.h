/* questions: of a study that asks about each option of a question by itself (`data: several:
 * each`), what that makes of the questions: how many have every option decided right (the exact
 * set), the share of options decided right, and how often the option with the highest score is a
 * right one. Decided at each arm's operating point. */
#ifndef CASELOAD_VIEW_QUESTIONS_H
#define CASELOAD_VIEW_QUESTIONS_H

#include "view/evidence.h"
#include "view/sheet.h"

typedef struct questions_arm {
    int64_t n, n_exact, n_top; /* questions; of which: every option right; the highest is right */
    double share;              /* of a question's options decided right, mean */
} questions_arm;

/* Over the judged rows, whose ids are "QUESTION/A", ..; one after the other as in the table. */
questions_arm questions_count(const gather *g, int32_t arm);

/* The study asks such questions, and some are judged. */
bool questions_there(const gather *g);

/* S7; n_column 0: the study asks no such questions. Close it in any case. */
void questions_table(const evidence *v, sheet *s);
/* The object "questions" of an arm in results.json; nothing where there are none. */
void questions_json(const gather *g, int32_t arm, buf *out);

#endif
