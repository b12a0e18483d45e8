/* run_baseline: the baselines and the split of a study, kept in its store. */
#include "study/run_in.h"

#include "stats/score.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

bool run_record_baselines(run *r, err *e)
{
    assert(r->store);
    for (int32_t k = 0; k < r->baselines.n; k++) {
        for (int32_t i = 0; i < r->rows.scored.n; i++) {
            store_asked q = {.arm = r->spec.n_arm + k,
                             .row = i,
                             .key = baselines_key(&r->baselines, k, i)};
            if (!store_add_asked(r->store, &q, e)) return false;
        }
    }
    return true;
}

/* The split file's rule and hash. A study whose split is not the one of its first run says so. */
bool run_record_split(run *r, err *e)
{
    str hash = r->rows.split_rule ? str_of(r->rows.split_hash.hex) : STR("");
    str rule = r->rows.split_rule ? str_of(r->rows.split_rule) : STR("");
    buf before = buf_up_to(1000);
    bool had = store_get(r->store, "split_sha256", &before, e);
    bool changed = had && before.size > 0 && !str_equal(buf_view(&before), hash);
    buf_close(&before);
    if (e->code != ERR_NONE) return false;
    if (changed && !store_set(r->store, "split_changed",
                              STR("The split was changed after an earlier run in this folder: the "
                                  "rows judged now are not the ones judged then."),
                              e))
        return false;
    return store_set(r->store, "split_rule", rule, e) &&
           store_set(r->store, "split_sha256", hash, e);
}

static bool all_there(const run *r, int32_t k, bool *all, err *e)
{
    *all = true;
    for (int32_t i = 0; *all && i < r->rows.scored.n; i++) {
        hash_text key = baselines_key(&r->baselines, k, i);
        if (!store_has(r->store, &key, all, e)) return false;
    }
    return true;
}

static double binary_score(const run *r, const double *z, double *part)
{
    int32_t n = 0;
    if (r->spec.positive < 0) return (double)NAN;
    for (int32_t c = 0; c < r->spec.n_class; c++) {
        if (c != r->spec.positive) part[n++] = z[c];
    }
    return z[r->spec.positive] - (n == 1 ? part[0] : score_log_sum(part, n));
}

static bool append_all(run *r, int32_t k, const double *z, double *part, str detail, err *e)
{
    char key[100];
    snprintf(key, sizeof key, "detail/%s", r->baselines.arm[k].name);
    for (int32_t i = 0; i < r->rows.scored.n; i++) {
        const double *own = z + (int64_t)i * r->spec.n_class;
        store_score score = {.key = baselines_key(&r->baselines, k, i),
                             .score = binary_score(r, own, part),
                             .label_mass = 1,
                             .n_class = r->spec.n_class,
                             .class_logprob = own};
        if (!store_append(r->store, &score, e)) return false;
    }
    return store_set(r->store, key, detail, e);
}

static bool score_baseline(run *r, int32_t k, err *e)
{
    bool all = false;
    if (!all_there(r, k, &all, e)) return false;
    if (all) return true;
    size_t mark = arena_mark(&r->memory);
    size_t n_class = (size_t)r->spec.n_class, n = (size_t)r->rows.scored.n;
    baseline_scores made = {.z = arena_take(&r->memory, n * n_class, sizeof(double), e),
                            .detail = buf_up_to(10000)};
    double *part = arena_take(&r->memory, n_class, sizeof *part, e);
    bool ok = made.z && part &&
              baselines_score(&r->baselines, k, r->model[0].engine.threads, &r->memory, &made, e) &&
              store_begin(r->store, e);
    if (ok) {
        ok = append_all(r, k, made.z, part, buf_view(&made.detail), e);
        if (!ok) store_undo(r->store);
        ok = ok && store_commit(r->store, e);
    }
    buf_close(&made.detail);
    arena_reset(&r->memory, mark);
    return ok;
}

bool run_score_baselines(run *r, err *e)
{
    for (int32_t k = 0; r->store && k < r->baselines.n; k++) {
        if (!score_baseline(r, k, e)) return err_in(e, "%s", r->baselines.arm[k].name);
    }
    return true;
}
