/* cache: new rows of q, k and v after their products: rotated, and k and v put where their slots
 * are. An optional op: a device without it leaves op_table.cache NULL, and it is put together of a
 * rotation and a scatter each, with the same bits. */
#ifndef CASELOAD_COMPUTE_CACHE_H
#define CASELOAD_COMPUTE_CACHE_H

#include "compute/backend.h"

typedef struct cache_rows {
    tensor q;                /* [n,h,hd] turns in place; data NULL: none */
    tensor k, v;             /* [n,g,hd]; not read again: k may be left turned or not */
    tensor key, value;       /* [slots,g,hd] */
    const int32_t *position; /* [n] */
    const int32_t *slot;     /* [n] of the caches; rows of one slot are alike */
    tensor table;            /* as op_rope's */
    rope_style style;
} cache_rows;

void op_cache(backend *b, const cache_rows *c);

#endif
