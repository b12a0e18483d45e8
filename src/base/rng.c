/* rng: see rng.h. */
#include "base/rng.h"

#include <assert.h>
#include <math.h>

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint64_t rng_next(rng *r)
{
    r->state += 0x9E3779B97F4A7C15u;
    return mix(r->state);
}

rng rng_for(uint64_t study, uint64_t row, uint64_t draw)
{
    uint64_t key = mix(study + 0x9E3779B97F4A7C15u);
    key = mix(key ^ mix(row + 0xD1B54A32D192ED03u));
    key = mix(key ^ mix(draw + 0x8CB92BA72F3D8DD7u));
    return (rng){.state = key};
}

double rng_unit(rng *r) { return (double)(rng_next(r) >> 11) * 0x1p-53; }

uint64_t rng_below(rng *r, uint64_t limit)
{
    assert(limit > 0);
    uint64_t reject = (0 - limit) % limit; /* 2^64 mod limit */
    uint64_t x = rng_next(r);
    while (x < reject) x = rng_next(r);
    return x % limit;
}

double rng_normal(rng *r)
{
    double u = 1.0 - rng_unit(r); /* (0, 1] */
    double v = rng_unit(r);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
}

void rng_shuffle(rng *r, int32_t *items, int64_t n_item)
{
    for (int64_t i = n_item - 1; i > 0; i--) {
        int64_t j = (int64_t)rng_below(r, (uint64_t)i + 1);
        int32_t kept = items[i];
        items[i] = items[j];
        items[j] = kept;
    }
}
