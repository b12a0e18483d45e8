/* generate_ask: the "generate" object of a request, checked; see requests.h. */
#include "study/requests_in.h"

#include <assert.h>
#include <math.h>

typedef struct number_key { /* a key and where its number goes */
    const char *name;
    double least, most, otherwise;
    bool whole;
} number_key;

enum {
    KEY_SAMPLES,
    KEY_MAX_TOKENS,
    KEY_TEMPERATURE,
    KEY_TOP_K,
    KEY_TOP_P,
    KEY_MIN_P,
    KEY_PENALTY,
    KEY_SEED,
    KEY_COUNT
};

static const number_key keys[KEY_COUNT] = {
    [KEY_SAMPLES] = {"samples", 1, 1000, 1, true},
    [KEY_MAX_TOKENS] = {"max_tokens", 1, 4096, 256, true},
    [KEY_TEMPERATURE] = {"temperature", 0, 100, 0, false},
    [KEY_TOP_K] = {"top_k", 0, 1000000, 0, true},
    [KEY_TOP_P] = {"top_p", 0, 1, 0, false},
    [KEY_MIN_P] = {"min_p", 0, 1, 0, false},
    [KEY_PENALTY] = {"repetition_penalty", 0, 100, 0, false},
    [KEY_SEED] = {"seed", 0, 9007199254740992.0, 0, true},
};

static bool check_names(const json_t *object, err *e)
{
    const char *known[KEY_COUNT + 2], *name = NULL;
    json_t *value = NULL;
    for (int i = 0; i < KEY_COUNT; i++) known[i] = keys[i].name;
    known[KEY_COUNT] = "stop";
    known[KEY_COUNT + 1] = "constrain"; /* read by requests_form.c */
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        bool found = false;
        for (int i = 0; i < KEY_COUNT + 2; i++) found = found || !strcmp(name, known[i]);
        if (found) continue;
        const char *near = str_nearest(str_of(name), known, KEY_COUNT + 2);
        return err_set(e, ERR_DATA, "`generate` has no key '%.40s'%s%s%s", name,
                       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    return true;
}

static bool read_number(const json_t *object, const number_key *k, double *out, err *e)
{
    const json_t *value = json_object_get(object, k->name);
    *out = k->otherwise;
    if (!value) return true;
    *out = json_number_value(value);
    bool good = json_is_number(value) && *out >= k->least && *out <= k->most;
    if (good && (!k->whole || floor(*out) == *out)) return true;
    return err_set(e, ERR_DATA, "`generate: %s` must be a %snumber from %g to %g", k->name,
                   k->whole ? "whole " : "", k->least, k->most);
}

static bool read_stops(const json_t *stop, generate_ask *ask, err *e)
{
    size_t n = json_is_string(stop) ? 1 : json_array_size(stop);
    if (stop && !json_is_string(stop) && !json_is_array(stop)) {
        return err_set(e, ERR_DATA, "`generate: stop` must be a text or a list of texts");
    }
    if (n > GENERATE_STOPS_MAX) {
        return err_set(e, ERR_DATA, "`generate: stop` has %zu texts; at most %d are allowed", n,
                       GENERATE_STOPS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_string(stop) ? stop : json_array_get(stop, i);
        str text = {json_string_value(one), json_string_length(one)};
        if (!json_is_string(one) || text.size == 0) {
            return err_set(e, ERR_DATA, "`generate: stop` needs texts that are not empty");
        }
        ask->stop[ask->n_stop++] = text;
    }
    return true;
}

bool requests_read_generate(const json_t *object, str id, generate_ask *ask, err *e)
{
    double number[KEY_COUNT];
    *ask = (generate_ask){0};
    if (!object) return true;
    if (!json_is_object(object))
        return err_set(e, ERR_DATA, "`generate` must be an object, such as {\"max_tokens\": 64}");
    if (!check_names(object, e)) return false;
    for (int i = 0; i < KEY_COUNT; i++) {
        if (!read_number(object, &keys[i], &number[i], e)) return false;
    }
    *ask = (generate_ask){
        .samples = (int32_t)number[KEY_SAMPLES],
        .max_tokens = (int32_t)number[KEY_MAX_TOKENS],
        .how = {.temperature = (float)number[KEY_TEMPERATURE],
                .top_k = (int32_t)number[KEY_TOP_K],
                .top_p = (float)number[KEY_TOP_P],
                .min_p = (float)number[KEY_MIN_P],
                .repetition_penalty = (float)number[KEY_PENALTY]},
        .seed = (uint64_t)number[KEY_SEED],
        .row = hash_to_seed(hash_of(id.data, id.size)),
    };
    return read_stops(json_object_get(object, "stop"), ask, e);
}
