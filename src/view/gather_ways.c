/* gather_ways: what the ways and the generated texts of an arm gave, apart. No text is kept. */
#include "data/store_parts.h"
#include "stats/cluster.h"
#include "stats/score.h"
#include "view/gather.h"

#include <jansson.h>
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

/* --- places of options --- */

/* Variants are way + n_way * (piece * n_option + shift), references behind. */
typedef struct turning {
    bool turns;                          /* else options keep their places */
    int32_t n_way, n_option, references; /* of a way, in turns */
    bool reversed[256];
    gather_place *place; /* [n_option] */
    double *gap;         /* [judged rows x n_option] what was chosen less what is expected */
    int32_t *patient;    /* [judged rows] */
    double sum[GATHER_PLACES_MAX], squares[GATHER_PLACES_MAX]; /* of shares chosen, over rows */
} turning;

/* False: the arm lists no options, or asks in ways that are no places. */
static bool read_turning(const ways_job *j, int32_t arm, turning *t)
{
    const str text = j->g->study.arm[arm].record_json;
    json_t *r = json_loadb(text.data, text.size, 0, NULL);
    const json_t *ask = json_object_get(r, "ask"), *ways = json_object_get(ask, "ways");
    const char *framing = json_string_value(json_object_get(ask, "framing")),
               *position = json_string_value(json_object_get(ask, "position")),
               *calibrate = json_string_value(json_object_get(ask, "calibrate"));
    *t = (turning){.n_way = (int32_t)json_array_size(ways), .n_option = j->g->study.n_class};
    bool lists = framing && !strcmp(framing, "options") && position && t->n_way > 0 &&
                 t->n_way <= (int32_t)countof(t->reversed) && t->n_option <= GATHER_PLACES_MAX;
    bool turns = t->turns = lists && !strcmp(position, "cyclic");
    bool fixed = lists && !strcmp(position, "as-is") && t->n_way == 1 && t->n_option > 1 &&
                 !json_is_true(json_object_get(json_array_get(ways, 0), "reversed"));
    for (int32_t i = 0; turns && i < t->n_way; i++)
        t->reversed[i] = json_is_true(json_object_get(json_array_get(ways, (size_t)i), "reversed"));
    if (calibrate && !strcmp(calibrate, "domain")) t->references = 1;
    if (calibrate && !strcmp(calibrate, "contextual")) t->references = 3;
    json_decref(r);
    return turns || fixed;
}

/* Where option c stands when the list is turned by `shift`. */
static int32_t place_of(const turning *t, int32_t way, int32_t shift, int32_t c)
{
    int32_t at = t->reversed[way] ? t->n_option - 1 - c : c;
    return (at - shift + t->n_option) % t->n_option;
}

/* Ways from..to of a row; chosen [n_option]. False: an option or a way is missing. */
static bool place_row(const store_parts *p, const turning *t, int32_t from, int32_t to,
                      int64_t *chosen, int32_t label)
{
    const int32_t turns = t->n_way * t->n_option, n = to - from;
    const int32_t own = n - t->references * turns;
    if (own <= 0 || n % turns) return false;
    for (int32_t i = from; i < to; i++) {
        const double *z = p->class_logprob + (size_t)i * (size_t)p->n_class;
        if (!p->there[i] || p->variant[i] != i - from) return false;
        for (int32_t c = 0; c < t->n_option; c++) {
            if (i - from < own && !isfinite(z[c])) return false;
        }
    }
    for (int32_t i = 0; i < own; i++) {
        const double *z = p->class_logprob + (size_t)(from + i) * (size_t)p->n_class;
        const int32_t way = i % t->n_way, shift = i / t->n_way % t->n_option;
        const int32_t best = most_probable(z, t->n_option);
        gather_place *held = &t->place[place_of(t, way, shift, label)];
        chosen[place_of(t, way, shift, best)]++;
        held->n_held++;
        held->n_right += best == label;
    }
    return true;
}

/* A row whose choices fell on places as `chosen` counts them; `wanted`: the expected shares. */
static void add_placed(const ways_job *j, turning *t, const int64_t *chosen, const double *wanted,
                       int32_t row, gather_ways *out)
{
    int64_t all = 0;
    double *gap = t->gap + out->n_placed * t->n_option;
    t->patient[out->n_placed++] = j->g->study.row[row].patient;
    for (int32_t c = 0; c < t->n_option; c++) all += chosen[c];
    for (int32_t c = 0; c < t->n_option; c++) {
        const double share = (double)chosen[c] / (double)all;
        out->place[c].n_chosen += chosen[c];
        t->sum[c] += share;
        t->squares[c] += share * share;
        gap[c] = share - wanted[c];
    }
}

static void count_places(const ways_job *j, const store_parts *p, turning *t, gather_ways *out)
{
    double even[GATHER_PLACES_MAX];
    for (int32_t c = 0; c < t->n_option; c++) even[c] = 1.0 / t->n_option;
    for (int32_t from = 0, to; from < p->n; from = to) {
        int64_t chosen[GATHER_PLACES_MAX] = {0};
        const int32_t row = p->row[from];
        for (to = from; to < p->n && p->row[to] == row;) to++;
        if (row >= j->g->study.n_row || j->judged[row] < 0) continue;
        const int32_t label = j->g->study.row[row].label;
        if (label >= 0 && label < t->n_option && place_row(p, t, from, to, chosen, label))
            add_placed(j, t, chosen, even, row, out);
    }
}

/* Options that keep their places: the class is the place. */
static void count_fixed(const ways_job *j, const store_results *got, turning *t, gather_ways *out)
{
    for (int32_t i = 0; i < got->n; i++) {
        int64_t chosen[GATHER_PLACES_MAX] = {0};
        double held[GATHER_PLACES_MAX] = {0};
        const int32_t row = got->row[i];
        const double *z = got->class_logprob + (size_t)i * (size_t)t->n_option;
        if (row >= j->g->study.n_row || j->judged[row] < 0 || !got->scored[i]) continue;
        const int32_t label = j->g->study.row[row].label;
        bool all = label >= 0 && label < t->n_option;
        for (int32_t c = 0; c < t->n_option; c++) all = all && isfinite(z[c]);
        if (!all) continue;
        const int32_t best = most_probable(z, t->n_option);
        chosen[best]++;
        held[label] = 1;
        out->place[label].n_held++;
        out->place[label].n_right += best == label;
        add_placed(j, t, chosen, held, row, out);
    }
}

/* Shares with their spread, and the test whether places are preferred. */
static bool finish_places(const ways_job *j, const turning *t, gather_ways *out)
{
    const double n = (double)out->n_placed;
    const verdict *r = &j->g->stats;
    for (int32_t c = 0; c < t->n_option && n > 0; c++) {
        const double sum = t->sum[c];
        out->place[c].share = sum / n;
        if (n > 1) out->place[c].sd = sqrt(fmax(0, (t->squares[c] - sum * sum / n) / (n - 1)));
    }
    out->n_place = n > 0 ? t->n_option : 0;
    out->turned = t->turns;
    margins_rows rows = {.n = out->n_placed, .n_category = t->n_option, .gap = t->gap};
    int32_t *cluster = arena_take(j->a, (size_t)out->n_placed + 1, sizeof *cluster, j->e);
    if (!cluster) return false;
    if (r->n_patient > 0 && r->n_patient < r->n) {
        if (!cluster_number(t->patient, rows.n, cluster, &rows.n_cluster, j->a, j->e)) return false;
        rows.cluster = cluster;
    }
    return margins_compare(&rows, j->a, &out->place_test, j->e);
}

static bool take_turning(const ways_job *j, turning *t)
{
    size_t n = (size_t)j->g->stats.n, k = (size_t)t->n_option;
    t->gap = arena_take(j->a, n * k + 1, sizeof *t->gap, j->e);
    t->patient = arena_take(j->a, n + 1, sizeof *t->patient, j->e);
    return t->gap && t->patient;
}

/* What a list of options shows of its places. */
static bool read_places(const ways_job *j, int32_t arm, const store_parts *p, turning *t)
{
    gather_ways *out = &j->g->ways[arm];
    if (!take_turning(j, t)) return false;
    if (t->turns && p->n_class == j->g->study.n_class) count_places(j, p, t, out);
    if (!t->turns) count_fixed(j, &j->g->got[arm], t, out);
    return finish_places(j, t, out);
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
        turning turns;
        const bool listed = read_turning(&j, k, &turns);
        if (listed)
            g->ways[k].place = turns.place =
                arena_take_zero(j.a, (size_t)turns.n_option, sizeof *turns.place, e);
        if (listed && !g->ways[k].place) return false;
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
        if (listed && !read_places(&j, k, &p, &turns)) return false;
        count_samples(&j, &samples, &g->ways[k]);
        arena_reset(j.a, mark);
    }
    return true;
}
