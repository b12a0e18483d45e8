/* frontier: see frontier.h. */
#include "view/frontier.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

typedef struct ask { /* what makes two arms ask the same */
    const char *question, *system, *hash;
    int64_t shots;
} ask;

static const char *keep(const evidence *v, const json_t *o, const char *key, err *e)
{
    const char *text = json_string_value(json_object_get(o, key));
    return str_keep(&v->g->memory, str_of(text ? text : ""), e).data;
}

static void read_cost(const evidence *v, frontier_arm *f)
{
    char key[400];
    snprintf(key, sizeof key, "cost/%s", v->g->in.arm[f->arm].name);
    const char *text = gather_fact(v->g, key);
    json_t *cost = json_loads(text, 0, NULL);
    const json_t *peak = json_object_get(cost, "bytes_peak");
    f->bytes_peak = json_integer_value(peak);
    f->bytes_planned = json_integer_value(json_object_get(cost, "bytes_before")) +
                       json_integer_value(json_object_get(cost, "bytes_weights")) +
                       json_integer_value(json_object_get(cost, "bytes_planned"));
    double seconds = json_number_value(json_object_get(cost, "seconds"));
    double tokens = json_number_value(json_object_get(cost, "tokens_forwarded"));
    f->tokens_per_second = seconds > 0 ? tokens / seconds : 0;
    json_decref(cost);
}

static bool read_arm(frontier *f, const evidence *v, int32_t k, ask *asks, err *e)
{
    const store_arm *a = &v->g->study.arm[k];
    json_t *r = json_loadb(a->record_json.data, a->record_json.size, 0, NULL);
    const json_t *model = json_object_get(r, "model");
    if (json_is_string(model) && !v->g->in.arm[k].baseline) {
        frontier_arm *arm = &f->arm[f->n];
        *arm = (frontier_arm){.arm = k,
                              .model = keep(v, r, "model", e),
                              .numbers = keep(v, r, "quantisation", e),
                              .adapter = keep(v, r, "adapter", e),
                              .parameters = json_integer_value(json_object_get(r, "parameters")),
                              .against = -1};
        double bytes = json_number_value(json_object_get(r, "bytes_weights"));
        arm->bits = arm->parameters > 0 ? 8 * bytes / (double)arm->parameters : 0;
        asks[f->n++] = (ask){.question = keep(v, r, "question", e),
                             .system = keep(v, r, "system", e),
                             .hash = keep(v, r, "model_sha256", e),
                             .shots = json_integer_value(json_object_get(r, "shots"))};
        read_cost(v, arm);
    }
    json_decref(r);
    return e->code == ERR_NONE;
}

static bool same_ask(const frontier *f, const ask *asks, int32_t i, int32_t k)
{
    return asks[i].shots == asks[k].shots && !strcmp(asks[i].question, asks[k].question) &&
           !strcmp(asks[i].system, asks[k].system) && !strcmp(f->arm[i].adapter, f->arm[k].adapter);
}

/* Converters pad the vocabulary or cut its padding. */
static bool same_model(const frontier_arm *a, const frontier_arm *b)
{
    double ratio = (double)a->parameters / (double)(b->parameters > 0 ? b->parameters : 1);
    return ratio > 0.98 && ratio < 1.02;
}

static void choose_against(frontier *f, const ask *asks, int32_t i)
{
    int32_t best = -1, largest = i;
    for (int32_t k = 0; k < f->n; k++) {
        const frontier_arm *a = &f->arm[k], *l = &f->arm[largest];
        if (k == i || !same_ask(f, asks, i, k)) continue;
        if (same_model(a, &f->arm[i]) && a->bits > f->arm[i].bits + 0.01 &&
            (best < 0 || a->bits > f->arm[best].bits))
            best = k;
        bool larger = !same_model(a, l) && a->parameters > l->parameters;
        if (larger || (same_model(a, l) && a->bits > l->bits + 0.01)) largest = k;
    }
    f->arm[i].against = best >= 0 ? best : largest != i ? largest : -1;
}

bool frontier_make(frontier *f, const evidence *v, err *e)
{
    const int32_t n = v->g->study.n_arm;
    arena *a = &v->g->memory;
    *f = (frontier){.arm = arena_take_zero(a, (size_t)n, sizeof *f->arm, e)};
    ask *asks = arena_take_zero(a, (size_t)n, sizeof *asks, e);
    for (int32_t k = 0; f->arm && asks && k < n; k++) {
        if (!read_arm(f, v, k, asks, e)) return false;
    }
    if (e->code != ERR_NONE) return false;
    for (int32_t i = 0; i < f->n; i++) {
        bool seen = false;
        for (int32_t k = 0; k < i; k++) seen = seen || !strcmp(asks[i].hash, asks[k].hash);
        f->n_model += !seen;
        choose_against(f, asks, i);
    }
    if (f->n_model < 2 || !v->binary) f->n = 0;
    return true;
}

bool frontier_difference(const frontier *f, const evidence *v, int32_t i, rank_test *out)
{
    assert(i >= 0 && i < f->n);
    int sign = 1;
    int32_t against = f->arm[i].against;
    if (against < 0) return false;
    const verdict_pair *pair = evidence_pair(v, f->arm[i].arm, f->arm[against].arm, &sign);
    const rank_test *t = pair ? evidence_test(v, pair) : NULL;
    if (!t || !t->has_value) return false;
    *out = *t;
    if (sign > 0) return true;
    out->difference = -t->difference;
    out->low = -t->high;
    out->high = -t->low;
    out->statistic = -t->statistic;
    return true;
}
