/* hash: see hash.h. */
#include "base/hash.h"

#include <sodium.h>

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(hash_state), "hash_state is too small");

static crypto_hash_sha256_state *state_of(hash_state *h)
{
    return (crypto_hash_sha256_state *)(void *)h->bytes;
}

void hash_start(hash_state *h) { crypto_hash_sha256_init(state_of(h)); }

void hash_add(hash_state *h, const void *data, size_t size)
{
    crypto_hash_sha256_update(state_of(h), data, size);
}

void hash_add_field(hash_state *h, str field)
{
    unsigned char size[8];
    for (int i = 0; i < 8; i++) size[i] = (unsigned char)((uint64_t)field.size >> (8 * i));
    hash_add(h, size, sizeof size);
    hash_add(h, field.data, field.size);
}

hash_text hash_finish(hash_state *h)
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(state_of(h), digest);
    hash_text t;
    sodium_bin2hex(t.hex, sizeof t.hex, digest, sizeof digest);
    return t;
}

hash_text hash_of(const void *data, size_t size)
{
    hash_state h;
    hash_start(&h);
    hash_add(&h, data, size);
    return hash_finish(&h);
}

uint64_t hash_to_seed(hash_text h)
{
    uint64_t seed = 0;
    for (int i = 0; i < 16; i++) {
        char c = h.hex[i];
        seed = seed << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return seed;
}
