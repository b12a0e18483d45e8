/* votes: see votes.h. */
#include "view/votes.h"

#include "stats/boot.h"
#include "stats/cluster.h"
#include "stats/curves.h"
#include "stats/prop.h"
#include "view/json_out.h"

#include <string.h>

bool votes_there(const gather *g, int32_t arm)
{
    const gather_ways *w = &g->ways[arm];
    return w->vote && w->n_parsed + w->n_unparsed > 0;
}

const int32_t *votes_of(const gather *g, int32_t arm, int64_t row)
{
    return g->ways[arm].vote + row * (g->study.n_class + 1);
}

/* The class with most votes; -1: none has any, or several have as many. */
static int32_t majority(const int32_t *vote, int32_t n_class)
{
    int32_t best = -1, most = 0;
    for (int32_t c = 0; c < n_class; c++) {
        if (vote[c] == most) best = -1;
        if (vote[c] > most) most = vote[best = c];
    }
    return best;
}

/* [n] whose text each is; NULL where every text has a patient of its own. */
typedef struct whose {
    int32_t *unit, n_unit;
} whose;

static bool find_patients(const gather *g, arena *scratch, whose *out, err *e)
{
    const verdict *r = &g->stats;
    *out = (whose){0};
    if (r->n_patient <= 0 || r->n_patient >= r->n) return true;
    int32_t *patient = arena_take(scratch, (size_t)r->n, sizeof *patient, e);
    out->unit = arena_take(scratch, (size_t)r->n, sizeof *out->unit, e);
    if (!patient || !out->unit) return false;
    for (int64_t i = 0; i < r->n; i++) patient[i] = g->study.row[r->row[i]].patient;
    return cluster_number(patient, r->n, out->unit, &out->n_unit, scratch, e);
}

typedef struct right_job {
    int64_t n;
    bool *right; /* [n] does the majority say the label? */
} right_job;

static bool find_right(const gather *g, int32_t arm, arena *scratch, right_job *out, err *e)
{
    const verdict *r = &g->stats;
    *out = (right_job){.n = r->n, .right = arena_take(scratch, (size_t)r->n, sizeof(bool), e)};
    for (int64_t i = 0; i < r->n && out->right; i++) {
        out->right[i] = majority(votes_of(g, arm, i), r->n_class) == g->study.row[r->row[i]].label;
    }
    return out->right;
}

static bool draw_right(const void *context, const uint16_t *weight, double *value)
{
    const right_job *j = context;
    int64_t n = 0, right = 0;
    for (int64_t i = 0; i < j->n; i++) {
        n += weight[i];
        if (j->right[i]) right += weight[i];
    }
    *value = n > 0 ? (double)right / (double)n : 0;
    return n > 0;
}

/* Texts of a patient are alike: the interval of their share is drawn by patient. */
static bool draw_interval(const gather *g, int32_t arm, const whose *w, arena *scratch,
                          stat_estimate *out, err *e)
{
    const verdict *s = &g->stats;
    const char *study = gather_fact(g, "study_sha256");
    right_job j;
    boot_result r;
    if (!find_right(g, arm, scratch, &j, e)) return false;
    stat_estimate o = {0};
    boot_plan plan = {.n = s->n,
                      .unit = w->unit,
                      .n_unit = w->n_unit,
                      .n_draw = curves_draws(s->n, false),
                      .seed_study = hash_to_seed(hash_of(study, strlen(study))),
                      .seed_analysis = boot_seed("votes by patient"),
                      .n_value = 1,
                      .statistic = draw_right,
                      .context = &j};
    pool *threads = pool_open(0, e);
    bool ok = threads && boot_run(&plan, threads, scratch, &r, e) &&
              boot_estimate(&r, 0, (boot_interval){.level = s->level}, scratch, &o, e);
    pool_close(threads);
    if (!ok) return false;
    out->has_interval = r.status == STAT_OK && o.has_interval;
    out->low = o.low;
    out->high = o.high;
    out->method = out->has_interval ? "bootstrap of patients" : "";
    return true;
}

static bool judge_share(const gather *g, int32_t arm, const whose *w, arena *scratch, votes *out,
                        err *e)
{
    const verdict *r = &g->stats;
    rank_parts parts;
    double *share = arena_take(scratch, (size_t)r->n, sizeof *share, e);
    uint8_t *positive = arena_take(scratch, (size_t)r->n, sizeof *positive, e);
    if (!share || !positive) return false;
    for (int64_t i = 0; i < r->n; i++) {
        const int32_t *vote = votes_of(g, arm, i);
        int64_t all = 0;
        for (int32_t c = 0; c <= r->n_class; c++) all += vote[c];
        share[i] = all > 0 ? (double)vote[r->positive] / (double)all : 0;
        positive[i] = g->study.row[r->row[i]].label == r->positive;
    }
    if (!rank_parts_take(share, positive, r->n, scratch, &parts, e)) return false;
    rank_auroc auroc = rank_auroc_of(&parts, r->level);
    const cluster_rows rows = {
        .n = r->n, .positive = positive, .cluster = w->unit, .n_cluster = w->n_unit};
    if (w->unit && stat_status_usable(parts.status) &&
        !cluster_auroc(&rows, &parts, r->level, scratch, &auroc, e))
        return false;
    out->share = auroc.logit;
    return true;
}

bool votes_count(const gather *g, int32_t arm, arena *scratch, votes *out, err *e)
{
    const verdict *r = &g->stats;
    *out = (votes){.n = r->n};
    for (int64_t i = 0; i < r->n; i++) {
        const int32_t said = majority(votes_of(g, arm, i), r->n_class);
        out->n_none += said < 0;
        out->n_right += said == g->study.row[r->row[i]].label;
    }
    out->right = prop_of(out->n_right, out->n, PROP_WILSON, r->level);
    if (r->n == 0) return true;
    const size_t mark = arena_mark(scratch);
    whose w;
    bool ok = find_patients(g, scratch, &w, e);
    if (ok && w.unit) ok = draw_interval(g, arm, &w, scratch, &out->right, e);
    if (ok && r->positive >= 0) ok = judge_share(g, arm, &w, scratch, out, e);
    arena_reset(scratch, mark);
    return ok;
}

static void json_estimate(buf *b, const char *key, const stat_estimate *o)
{
    json_open(b, key, '{');
    json_number(b, "value", o->has_value, o->value);
    json_number(b, "low", o->has_interval, o->low);
    json_number(b, "high", o->has_interval, o->high);
    json_close(b, '}');
}

void votes_json(const votes *v, buf *out)
{
    json_open(out, "votes", '{');
    json_estimate(out, "right", &v->right);
    json_estimate(out, "auroc_of_share", &v->share);
    json_close(out, '}');
}
