/* votes: see votes.h. */
#include "view/votes.h"

#include "stats/prop.h"
#include "view/json_out.h"

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

static bool judge_share(const gather *g, int32_t arm, arena *scratch, votes *out, err *e)
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
    out->share = rank_auroc_of(&parts, r->level).logit;
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
    out->right = prop_of(out->n_right, out->n, PROP_WILSON, 0);
    if (r->positive < 0 || r->n == 0) return true;
    const size_t mark = arena_mark(scratch);
    const bool ok = judge_share(g, arm, scratch, out, e);
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
