/* T24: 24 notes of 16 patients, 10 of them positive, with ties inside and across the classes; two
 * models (a, b) and two readers (r1, r2). Made up by us; the known answers of the statistics tests
 * are its. */
#ifndef CASELOAD_TESTS_T24_H
#define CASELOAD_TESTS_T24_H

#include <stdint.h>

enum { T24_N = 24 };

static const int32_t t24_patient[T24_N] = {1,  1,  2,  3,  3,  4,  5,  6,  6,  7,  8,  9,
                                           10, 10, 11, 11, 12, 13, 13, 14, 15, 15, 16, 16};
static const char t24_site[T24_N + 1] = "XXXXXXXXYYYYYYXXXXYYYYYY";
static const uint8_t t24_y[T24_N] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                     0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const double t24_a[T24_N] = {0.05, 0.10, 0.10, 0.15, 0.20, 0.20, 0.25, 0.30,
                                    0.40, 0.45, 0.55, 0.60, 0.70, 0.85, 0.20, 0.35,
                                    0.40, 0.60, 0.70, 0.75, 0.80, 0.90, 0.95, 0.95};
static const double t24_b[T24_N] = {0.10, 0.05, 0.20, 0.30, 0.15, 0.60, 0.20, 0.40,
                                    0.70, 0.35, 0.30, 0.50, 0.65, 0.45, 0.40, 0.30,
                                    0.55, 0.50, 0.80, 0.60, 0.45, 0.85, 0.90, 0.75};
static const int32_t t24_r1[T24_N] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
                                      0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1};
static const int32_t t24_r2[T24_N] = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1,
                                      0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1};

#endif
