/* Any bytes as a pattern (first byte even) or as a schema (odd): an automaton in which every state
 * reaches an accepted text, or a sentence. */
#include "base/rng.h"
#include "text/automaton.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A random text of the automaton: never a dead end; of a schema, JSON. */
static void walk(const automaton *m, bool json, uint64_t seed)
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
    json_t *value =
        json ? json_loadb(text, n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL) : json_null();
    if (!value) abort();
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
    for (uint64_t k = 0; good && k < 8; k++) walk(&m, json, k);
    arena_close(&a);
    return 0;
}
