/* token_map: the look-up tables of a tokenizer: texts to ids, and pairs of ids to merges (also
 * the edges of a trie). Open addressing; read-only once filled. */
#ifndef CASELOAD_TEXT_TOKEN_MAP_H
#define CASELOAD_TEXT_TOKEN_MAP_H

#include "base/str.h"

typedef struct text_slot {
    uint32_t tag; /* upper half of the hash */
    int32_t id;   /* -1: free */
} text_slot;

typedef struct text_map { /* text -> id, open addressing */
    text_slot *slot;
    uint32_t mask;
} text_map;

typedef struct pair_slot {
    uint64_t key; /* UINT64_MAX: free */
    int32_t rank, id;
} pair_slot;

typedef struct pair_map { /* two ids -> rank and result; also the edges of a trie */
    pair_slot *slot;
    uint32_t mask, n;
    buf grow; /* owns the slots until pair_map_settle */
} pair_map;

bool text_map_open(text_map *m, int64_t n, arena *a, err *e);
void text_map_add(text_map *m, const str *text, int32_t id); /* the first of equal texts stays */
int32_t text_map_find(const text_map *m, const str *text, str key);
pair_map pair_map_empty(void);
bool pair_map_add(pair_map *m, uint64_t key, int32_t rank, int32_t id); /* keeps the lower rank */
bool pair_map_settle(pair_map *m, arena *a, err *e);
bool trie_add(pair_map *m, int32_t *n_node, str text, int32_t id);

static inline const pair_slot *pair_map_find(const pair_map *m, uint64_t key)
{
    uint64_t h = key * 0x9E3779B97F4A7C15u;
    uint32_t i = (uint32_t)(h >> 32) & m->mask;
    while (m->slot[i].key != UINT64_MAX) {
        if (m->slot[i].key == key) return &m->slot[i];
        i = (i + 1) & m->mask;
    }
    return NULL;
}

static inline uint64_t pair_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

#endif
