/* token_map: see token_map.h. At most two thirds full; a trie is a pair map of (node, byte). */
#include "text/token_map.h"

#include <assert.h>

static uint64_t hash_bytes(str s)
{
    const uint64_t k = 0x9E3779B97F4A7C15u;
    uint64_t h = s.size * k, v = 0;
    const char *p = s.data;
    size_t n = s.size;
    for (; n >= sizeof v; p += sizeof v, n -= sizeof v) {
        memcpy(&v, p, sizeof v);
        h = (h ^ v) * k;
        h ^= h >> 29;
    }
    v = 0;
    for (size_t i = 0; i < n; i++) v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    h = (h ^ v) * k;
    h ^= h >> 32;
    return h * k;
}

static uint32_t slots_for(int64_t n)
{
    uint32_t slots = 16;
    while ((int64_t)slots * 2 < n * 3) slots *= 2;
    return slots;
}

bool text_map_open(text_map *m, int64_t n, arena *a, err *e)
{
    assert(n >= 0 && n < (int64_t)1 << 28);
    uint32_t slots = slots_for(n);
    m->slot = arena_take(a, slots, sizeof *m->slot, e);
    if (!m->slot) return false;
    m->mask = slots - 1;
    for (uint32_t i = 0; i < slots; i++) m->slot[i] = (text_slot){0, -1};
    return true;
}

void text_map_add(text_map *m, const str *text, int32_t id)
{
    uint64_t h = hash_bytes(text[id]);
    uint32_t i = (uint32_t)h & m->mask;
    for (; m->slot[i].id >= 0; i = (i + 1) & m->mask) {
        if (m->slot[i].tag == (uint32_t)(h >> 32) && str_equal(text[m->slot[i].id], text[id]))
            return;
    }
    m->slot[i] = (text_slot){(uint32_t)(h >> 32), id};
}

int32_t text_map_find(const text_map *m, const str *text, str key)
{
    uint64_t h = hash_bytes(key);
    uint32_t i = (uint32_t)h & m->mask;
    for (; m->slot[i].id >= 0; i = (i + 1) & m->mask) {
        if (m->slot[i].tag == (uint32_t)(h >> 32) && str_equal(text[m->slot[i].id], key))
            return m->slot[i].id;
    }
    return -1;
}

pair_map pair_map_empty(void) { return (pair_map){.grow = buf_up_to((size_t)1 << 32)}; }

static void pair_map_put(pair_map *m, pair_slot s)
{
    uint32_t i = (uint32_t)((s.key * 0x9E3779B97F4A7C15u) >> 32) & m->mask;
    for (; m->slot[i].key != UINT64_MAX; i = (i + 1) & m->mask) {
        if (m->slot[i].key != s.key) continue;
        if (s.rank < m->slot[i].rank) m->slot[i] = s;
        return;
    }
    m->slot[i] = s;
    m->n++;
}

static bool pair_map_grow(pair_map *m, uint32_t slots)
{
    pair_map wider = {.grow = buf_up_to((size_t)1 << 32), .mask = slots - 1};
    const pair_slot free_slot = {.key = UINT64_MAX};
    for (uint32_t i = 0; i < slots; i++) buf_add(&wider.grow, &free_slot, sizeof free_slot);
    if (wider.grow.failed) {
        buf_close(&wider.grow);
        return false;
    }
    wider.slot = (pair_slot *)(void *)wider.grow.data;
    for (uint32_t i = 0; m->slot && i <= m->mask; i++) {
        if (m->slot[i].key != UINT64_MAX) pair_map_put(&wider, m->slot[i]);
    }
    buf_close(&m->grow);
    *m = wider;
    return true;
}

bool pair_map_add(pair_map *m, uint64_t key, int32_t rank, int32_t id)
{
    assert(key != UINT64_MAX);
    if (!m->slot && !pair_map_grow(m, 16)) return false;
    if ((uint64_t)m->n * 3 >= (uint64_t)(m->mask + 1) * 2 && !pair_map_grow(m, (m->mask + 1) * 2))
        return false;
    pair_map_put(m, (pair_slot){.key = key, .rank = rank, .id = id});
    return true;
}

bool pair_map_settle(pair_map *m, arena *a, err *e)
{
    if (!m->slot && !pair_map_grow(m, 16))
        return err_set(e, ERR_RESOURCE, "out of memory for a tokenizer's tables");
    size_t n = (size_t)m->mask + 1;
    pair_slot *kept = arena_take(a, n, sizeof *kept, e);
    if (kept) memcpy(kept, m->slot, n * sizeof *kept);
    buf_close(&m->grow);
    m->slot = kept;
    return kept != NULL;
}

/* Nodes are numbered from 0, the root. An edge (node, byte) holds the next node as its rank and
 * the token that ends there, or -1, as its id. */
bool trie_add(pair_map *m, int32_t *n_node, str text, int32_t id)
{
    assert(text.size > 0 && *n_node >= 1);
    int32_t node = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint64_t key = pair_key(node, (unsigned char)text.data[i]);
        pair_slot *edge = NULL;
        if (m->slot) {
            const pair_slot *found = pair_map_find(m, key);
            edge = found ? m->slot + (found - m->slot) : NULL;
        }
        if (edge) {
            node = edge->rank;
            if (i + 1 == text.size && edge->id < 0) edge->id = id;
        } else {
            if (*n_node == INT32_MAX) return false;
            node = (*n_node)++;
            if (!pair_map_add(m, key, node, i + 1 == text.size ? id : -1)) return false;
        }
    }
    return true;
}
