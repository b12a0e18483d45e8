/* quantise: float32 numbers into a stored format: the other direction of dtype_to_f32.
 *
 * The codes and scales are chosen to make the sum of squared errors of a block small: several
 * scales are tried, each refitted by least squares to the codes it gives, and the codes are taken
 * last, with the scales as they will be stored. Floats are rounded to nearest, ties to even.
 *
 * Deterministic: plain C, one order of sums, no dependence on threads or instruction sets. A row at
 * a time, so that a caller may share rows between threads.
 */
#ifndef CASELOAD_COMPUTE_QUANTISE_H
#define CASELOAD_COMPUTE_QUANTISE_H

#include "compute/dtype.h"

/* F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K. */
bool quantise_knows(dtype t);

/* n finite values, a multiple of the block size. A number beyond the format's range becomes
 * infinite there (F16 ends at 65,504; so do the scales of the others): compare what comes back. */
void quantise(dtype t, void *out, const float *in, int64_t n);

uint16_t quantise_half(float x);   /* IEEE binary16 */
uint16_t quantise_bfloat(float x); /* upper half of a float */

#endif
