/* names: see names.h. A table twice as large as its contents, linear probing; FNV-1a, mixed once
 * more. */
#include "data/names.h"

#include <assert.h>

static uint64_t hash_name(str s)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < s.size; i++) h = (h ^ (unsigned char)s.data[i]) * 0x100000001B3u;
    return (h ^ h >> 32) * 0x9E3779B97F4A7C15u >> 17;
}

bool names_make(names *s, int32_t max, arena *a, err *e)
{
    assert(s && max >= 0 && max <= (1 << 28));
    int32_t n_slot = 16;
    while (n_slot < 2 * max) n_slot *= 2;
    *s = (names){.max = max, .n_slot = n_slot};
    s->name = arena_take(a, (size_t)max, sizeof(str), e);
    s->slot = arena_take(a, (size_t)n_slot, sizeof(int32_t), e);
    if (!s->name || !s->slot) return false;
    memset(s->slot, 0xFF, (size_t)n_slot * sizeof(int32_t));
    return true;
}

/* The slot that holds the name, or the free one where it belongs. */
static uint64_t find_slot(const names *s, str name)
{
    uint64_t mask = (uint64_t)s->n_slot - 1, at = hash_name(name) & mask;
    while (s->slot[at] >= 0 && !str_equal(s->name[s->slot[at]], name)) at = (at + 1) & mask;
    return at;
}

int32_t names_find(const names *s, str name) { return s->slot[find_slot(s, name)]; }

int32_t names_add(names *s, str name, bool *is_new)
{
    uint64_t at = find_slot(s, name);
    bool fresh = s->slot[at] < 0;
    if (is_new) *is_new = fresh;
    if (!fresh) return s->slot[at];
    assert(s->n < s->max);
    s->name[s->n] = name;
    return s->slot[at] = s->n++;
}
