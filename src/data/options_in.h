/* options_in: shared by options.c (one right option a row) and options_each.c (several). */
#ifndef CASELOAD_DATA_OPTIONS_IN_H
#define CASELOAD_DATA_OPTIONS_IN_H

#include "data/options.h"

typedef struct options_reader {
    options *o;
    const spec *s;
    const table *t;
    arena *a;
    err *e;
    int32_t column[SPEC_OPTIONS_MAX], n_column, id, label;
    buf text; /* str[] */
    int32_t n_text;
} options_reader;

/* Fills start, text, n_most, n_repeated; what is right is not looked at. */
bool options_read_lists(options_reader *r);

bool options_fail_row(options_reader *r, int32_t row, const char *what);
bool options_has_label(const options_reader *r, int32_t row);

enum { OPTIONS_READINGS = 4 };
typedef struct options_reading { /* of a label: which option does it name; -1: none */
    spec_label_is is;
    const char *words, *key;
    int32_t (*find)(const str *option, int32_t n, str label);
} options_reading;
extern const options_reading options_readings[OPTIONS_READINGS];

#endif
