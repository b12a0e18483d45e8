/* centre: see centre.h. A class that no answer stands for in a row (Z -infinity) is left out of the
 * mean and stays as it is. */
#include "view/centre.h"

#include "data/spec.h"
#include "stats/score.h"

#include <jansson.h>
#include <math.h>

static bool is_batch(const store_arm *arm)
{
    json_t *record = json_loadb(arm->record_json.data, arm->record_json.size, 0, NULL);
    const char *kind =
        json_string_value(json_object_get(json_object_get(record, "ask"), "calibrate"));
    bool batch = kind && !strcmp(kind, "batch");
    json_decref(record);
    return batch;
}

static bool has_tune(const store_results *r, int32_t first_tune)
{
    for (int32_t i = 0; i < r->n; i++) {
        if (r->scored[i] && r->row[i] >= first_tune) return true;
    }
    return false;
}

static double mean_of(const store_results *r, int32_t class, int32_t first)
{
    double sum = 0;
    int32_t n = 0;
    for (int32_t i = 0; i < r->n; i++) {
        double z = r->class_logprob[(size_t)i * (size_t)r->n_class + (size_t) class];
        if (!r->scored[i] || r->row[i] < first || !isfinite(z)) continue;
        sum += z;
        n++;
    }
    return n > 0 ? sum / n : 0;
}

bool centre_arm(const store_arm *arm, int32_t first_tune, store_results *got)
{
    if (got->n_class > SPEC_CLASSES_MAX || !is_batch(arm)) return false;
    const int32_t first = has_tune(got, first_tune) ? first_tune : 0, n_class = got->n_class;
    double mean[SPEC_CLASSES_MAX];
    for (int32_t c = 0; c < n_class; c++) mean[c] = mean_of(got, c, first);
    for (int32_t i = 0; i < got->n; i++) {
        double *z = got->class_logprob + (size_t)i * (size_t)n_class;
        const double before = score_log_sum(z, n_class);
        for (int32_t c = 0; c < n_class; c++) z[c] -= mean[c];
        const double back = before - score_log_sum(z, n_class);
        for (int32_t c = 0; isfinite(back) && c < n_class; c++) z[c] += back;
    }
    return true;
}
