/* hash: SHA-256 (FIPS 180-4, by libsodium) as lower-case hexadecimal; what a result is keyed by. */
#ifndef CASELOAD_BASE_HASH_H
#define CASELOAD_BASE_HASH_H

#include "base/str.h"

typedef struct hash_text {
    char hex[65]; /* 64 digits and a 0 */
} hash_text;

typedef struct hash_state { /* opaque: room for libsodium's state, checked in hash.c */
    _Alignas(64) unsigned char bytes[128];
} hash_state;

void hash_start(hash_state *h);
void hash_add(hash_state *h, const void *data, size_t size);
void hash_add_field(hash_state *h,
                    str field); /* its length first: "ab","c" differs from "a","bc" */
hash_text hash_finish(hash_state *h);

hash_text hash_of(const void *data, size_t size);
uint64_t hash_to_seed(hash_text h); /* the first 64 bits */

#endif
