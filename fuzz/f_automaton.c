/* Any bytes as a pattern (first byte even) or as a schema (odd): an automaton in which every state
 * reaches an accepted text, or a sentence. */
#include "base/rng.h"
#include "text/automaton.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Objects hold what the schema requires, and nothing that it does not name. */
static void check_objects(const json_t *schema, const json_t *value)
{
    const json_t *properties = json_object_get(schema, "properties"), *named;
    const json_t *required = json_object_get(schema, "required");
    const char *name, *type = json_string_value(json_object_get(schema, "type"));
    const json_t *one;
    size_t i;
    if (!type || strcmp(type, "object") || json_object_get(schema, "enum") ||
        json_object_get(schema, "const") || json_object_get(schema, "anyOf"))
        return;
    if (!json_is_object(value)) abort();
    json_array_foreach((json_t *)(uintptr_t)required, i, one)
        if (!json_object_get(value, json_string_value(one))) abort();
    json_object_foreach((json_t *)(uintptr_t)properties, name, named)
        if (!required && !json_object_get(value, name)) abort();
    json_object_foreach((json_t *)(uintptr_t)value, name, one)
    {
        if (!(named = json_object_get(properties, name))) abort();
        check_objects(named, one);
    }
}

/* A random text of the automaton: never a dead end; of a schema, JSON. */
static void walk(const automaton *m, const json_t *schema, uint64_t seed)
{
    char text[4096];
    size_t n = 0;
    rng g = rng_for(seed, 1, 2);
    int32_t state = 0;
    while (n < sizeof text && m->goes_on[state] && !(m->accepts[state] && rng_below(&g, 4) == 0)) {
        int32_t tries = 0, byte = (int32_t)rng_below(&g, 256);
        while (m->next[(int64_t)state * 256 + byte] < 0) {
            byte = (byte + 1) % 256;
            if (++tries > 256) abort();
        }
        state = m->next[(int64_t)state * 256 + byte];
        text[n++] = (char)byte;
    }
    if (n == sizeof text) return;
    if (!m->accepts[state]) abort();
    if (automaton_run(m, 0, (str){text, n}) != state) abort();
    if (!schema) return;
    json_t *value = json_loadb(
        text, n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_REJECT_DUPLICATES, NULL);
    if (!value) abort();
    check_objects(schema, value);
    json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err e = {0};
    arena a;
    automaton m;
    if (size == 0) return 0;
    bool json = data[0] & 1;
    str text = {(const char *)data + 1, size - 1};
    if (!arena_open(&a, (size_t)1 << 32, "fuzz", &e)) abort();
    bool good = json ? automaton_schema(&m, text, &a, &e) : automaton_pattern(&m, text, &a, &e);
    if (good != (e.code == ERR_NONE) || (!good && e.code != ERR_USAGE)) abort();
    for (int32_t i = 0; good && i < m.n_state; i++) {
        if (!m.accepts[i] && !m.goes_on[i]) abort();
    }
    json_t *schema = good && json ? json_loadb(text.data, text.size, JSON_DECODE_ANY, NULL) : NULL;
    if (good && json && !schema) abort();
    for (uint64_t k = 0; good && k < 8; k++) walk(&m, schema, k);
    json_decref(schema);
    arena_close(&a);
    return 0;
}
