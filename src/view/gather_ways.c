/* gather_ways: what the ways and the generated texts of an arm gave, apart. No text is kept. */
#include "data/store_parts.h"
#include "stats/score.h"
#include "view/gather.h"

#include <math.h>

typedef struct ways_job {
    gather *g;
    int32_t *judged; /* [study.n_row] number among the judged rows; -1 */
    arena *a;
    err *e;
} ways_job;

static int32_t most_probable(const double *z, int32_t n_class)
{
    int32_t best = -1;
    for (int32_t c = 0; c < n_class; c++) {
        if (!isnan(z[c]) && (best < 0 || z[c] > z[best])) best = c;
    }
    return best;
}

static void count_turned(const ways_job *j, const store_parts *p, gather_ways *out)
{
    for (int32_t i = 0; i < p->n;) {
        int32_t first = -1, n = 0, row = p->row[i];
        bool turned = false;
        for (; i < p->n && p->row[i] == row; i++) {
            if (!p->there[i]) continue;
            int32_t c =
                most_probable(p->class_logprob + (size_t)i * (size_t)p->n_class, p->n_class);
            turned = turned || (n > 0 && c != first);
            first = n++ ? first : c;
        }
        if (row >= j->g->study.n_row || j->judged[row] < 0) continue;
        out->n_way = n > out->n_way ? n : out->n_way;
        if (n < 2) continue;
        out->n_row++;
        out->n_turned += turned;
    }
}

/* AUROC of one way over the judged rows; NaN unless it scored all of them. */
static double way_auroc(const ways_job *j, const store_parts *p, int32_t way, double *score,
                        uint8_t *positive)
{
    const verdict *r = &j->g->stats;
    int64_t n = 0;
    for (int32_t i = 0; i < p->n; i++) {
        if (p->variant[i] != way || !p->there[i] || p->row[i] >= j->g->study.n_row ||
            j->judged[p->row[i]] < 0)
            continue;
        const double *z = p->class_logprob + (size_t)i * (size_t)p->n_class;
        double s = score_against_rest(z, p->n_class, r->positive);
        if (isnan(s)) return (double)NAN;
        positive[n] = j->g->study.row[p->row[i]].label == r->positive;
        score[n++] = s;
    }
    stat_estimate o = {0};
    rank_parts parts;
    size_t mark = arena_mark(j->a);
    if (n == r->n && rank_parts_take(score, positive, n, j->a, &parts, j->e))
        o = rank_auroc_of(&parts, r->level).logit;
    arena_reset(j->a, mark);
    return o.has_value ? o.value : (double)NAN;
}

static bool spread(const ways_job *j, const store_parts *p, gather_ways *out)
{
    enum { WAYS_MAX = 256 };
    double value[WAYS_MAX];
    int64_t n = j->g->stats.n;
    if (j->g->stats.positive < 0 || out->n_way < 2) return true;
    double *score = arena_take(j->a, (size_t)n, sizeof *score, j->e);
    uint8_t *positive = arena_take(j->a, (size_t)n, sizeof *positive, j->e);
    if (!score || !positive) return false;
    out->low = 1;
    for (int32_t way = 0; way < out->n_way && out->n_auroc < WAYS_MAX; way++) {
        double x = way_auroc(j, p, way, score, positive);
        if (isnan(x)) continue;
        value[out->n_auroc++] = x;
        out->low = fmin(out->low, x);
        out->high = fmax(out->high, x);
    }
    if (out->n_auroc > 0) out->mean = stat_mean(value, out->n_auroc);
    if (out->n_auroc > 1) out->sd = sqrt(stat_covariance(value, value, out->n_auroc));
    return j->e->code == ERR_NONE;
}

static void count_samples(const ways_job *j, const store_samples *s, gather_ways *out)
{
    for (int32_t i = 0; i < s->n; i++) {
        if (s->row[i] >= j->g->study.n_row || j->judged[s->row[i]] < 0) continue;
        out->n_sample++;
        out->n_token += s->n_token[i];
        out->n_unparsed += s->class[i] == STORE_UNPARSED;
        out->n_parsed += s->class[i] >= 0;
        out->n_long += str_is(s->end[i], "length");
    }
}

bool gather_read_ways(gather *g, const store *s, err *e)
{
    ways_job j = {.g = g, .a = &g->memory, .e = e};
    g->ways = arena_take_zero(j.a, (size_t)g->study.n_arm, sizeof *g->ways, e);
    j.judged = arena_take(j.a, (size_t)g->study.n_row, sizeof *j.judged, e);
    if (!g->ways || !j.judged) return false;
    for (int32_t i = 0; i < g->study.n_row; i++) j.judged[i] = -1;
    for (int64_t i = 0; i < g->stats.n; i++) j.judged[g->stats.row[i]] = (int32_t)i;
    for (int32_t k = 0; k < g->study.n_arm; k++) {
        size_t mark = arena_mark(j.a);
        store_parts p;
        store_samples samples;
        if (!store_get_parts(s, k, -1, &p, j.a, e) ||
            !store_get_samples(s, k, -1, &samples, j.a, e))
            return false;
        if (p.n_class == g->study.n_class) {
            count_turned(&j, &p, &g->ways[k]);
            if (!spread(&j, &p, &g->ways[k])) return false;
        }
        count_samples(&j, &samples, &g->ways[k]);
        arena_reset(j.a, mark);
    }
    return true;
}
