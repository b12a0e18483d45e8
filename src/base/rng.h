/* rng: randomness is a value, seeded by what it is for (study, row, draw), so that any draw can be
 * made again alone, in any order. Generator: SplitMix64 (Steele, Lea and Flood 2014) over a
 * counter. */
#ifndef CASELOAD_BASE_RNG_H
#define CASELOAD_BASE_RNG_H

#include <stdint.h>

typedef struct rng {
    uint64_t state;
} rng;

rng rng_for(uint64_t study, uint64_t row, uint64_t draw);
uint64_t rng_next(rng *r);
double rng_unit(rng *r);                    /* [0, 1), 53 bits */
uint64_t rng_below(rng *r, uint64_t limit); /* [0, limit), unbiased; limit > 0 */
double rng_normal(rng *r);                  /* mean 0, variance 1 (Box and Muller 1958) */
void rng_shuffle(rng *r, int32_t *items, int64_t n_item); /* Fisher and Yates */

#endif
