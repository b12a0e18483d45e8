/* gather_ways: what the ways and the generated texts of an arm gave, apart. No text is kept. */
#include "data/store_parts.h"
#include "stats/cluster.h"
#include "stats/score.h"
#include "view/gather.h"

#include <jansson.h>
#include <math.h>

enum { WAYS_MAX = 256 };

/* In what ways may differ: its key in the record of a way; for readers. */
static const struct {
    const char *key, *name;
} factors[GATHER_FACTORS] = {{"wording", "wording of the question"},
                             {"labels", "label words"},
                             {"reversed", "order of the labels"},
                             {"by", "scored by"},
                             {"draw", "draw of the examples"},
                             {"order", "order of the examples"}};

typedef struct calling { /* how an arm asks, from its record */
    bool turns, prior, thinks;
    int32_t n_way, references; /* of a way, in turns of the options */
    int32_t level[GATHER_FACTORS][WAYS_MAX];
} calling;

typedef struct ways_job {
    gather *g;
    int32_t *judged; /* [study.n_row] number among the judged rows; -1 */
    arena *a;
    err *e;
} ways_job;

/* A level's number; words are told apart by their first letter. */
static int32_t level_of(const json_t *value)
{
    const char *text = json_string_value(value);
    const json_int_t n = text ? text[0] : json_is_true(value) ? 1 : json_integer_value(value);
    return n >= 0 && n < WAYS_MAX ? (int32_t)n : 0;
}

static void read_calling(const gather *g, int32_t arm, calling *c)
{
    const str text = g->study.arm[arm].record_json;
    json_t *r = json_loadb(text.data, text.size, 0, NULL);
    const json_t *ask = json_object_get(r, "ask"), *ways = json_object_get(ask, "ways");
    const char *position = json_string_value(json_object_get(ask, "position")),
               *calibrate = json_string_value(json_object_get(ask, "calibrate"));
    *c = (calling){.n_way = (int32_t)json_array_size(ways),
                   .thinks = json_is_object(json_object_get(ask, "think"))};
    if (c->n_way > WAYS_MAX) c->n_way = 0;
    for (int32_t i = 0; i < c->n_way; i++) {
        for (int32_t k = 0; k < GATHER_FACTORS; k++)
            c->level[k][i] =
                level_of(json_object_get(json_array_get(ways, (size_t)i), factors[k].key));
    }
    c->turns = position && !strcmp(position, "cyclic");
    c->prior = position && !strcmp(position, "prior");
    if (calibrate && !strcmp(calibrate, "domain")) c->references = 1;
    if (calibrate && !strcmp(calibrate, "contextual")) c->references = 3;
    json_decref(r);
}

static int32_t most_probable(const double *z, int32_t n_class)
{
    int32_t best = -1;
    for (int32_t c = 0; c < n_class; c++) {
        if (!isnan(z[c]) && (best < 0 || z[c] > z[best])) best = c;
    }
    return best;
}

/* How many of a row's n variants are no references (study/arms.h): prompts without content, or
 * with options that read alike, that the others are divided by. They stand behind the others. */
static int32_t own_variants(const calling *c, const store_parts *p, int32_t from, int32_t n)
{
    int32_t shift = 1, inner = c->n_way > 0 ? n / c->n_way : n;
    if (c->turns) {
        const double *z = p->class_logprob + (size_t)from * (size_t)p->n_class;
        shift = 0;
        for (int32_t k = 0; k < p->n_class; k++) shift += isfinite(z[k]) || isnan(z[k]);
    }
    if (c->n_way < 1 || n % c->n_way) return n;
    if (c->references > 0) inner -= c->references * shift;
    else if (c->prior) inner /= 2; /* one a chunk */
    return inner > 0 ? inner * c->n_way : n;
}

/* Marks references; most variants of a judged row in out->n_way. */
static void count_turned(const ways_job *j, const calling *c, const store_parts *p, bool *reference,
                         gather_ways *out)
{
    for (int32_t i = 0, to; i < p->n; i = to) {
        int32_t first = -1, n = 0, row = p->row[i];
        bool turned = false;
        for (to = i; to < p->n && p->row[to] == row;) to++;
        const int32_t own = own_variants(c, p, i, to - i);
        for (int32_t k = i; k < to; k++) {
            reference[k] = p->variant[k] >= own;
            if (!p->there[k] || reference[k]) continue;
            int32_t best =
                most_probable(p->class_logprob + (size_t)k * (size_t)p->n_class, p->n_class);
            turned = turned || (n > 0 && best != first);
            first = n++ ? first : best;
        }
        if (row >= j->g->study.n_row || j->judged[row] < 0) continue;
        out->n_way = n > out->n_way ? n : out->n_way;
        if (n < 2) continue;
        out->n_row++;
        out->n_turned += turned;
    }
}

typedef struct spread_job {
    const store_parts *p;
    const bool *reference; /* [p->n] */
    double *score;         /* [judged rows] */
    uint8_t *positive;
} spread_job;

/* AUROC of one variant over the judged rows; NaN unless it scored all of them. */
static double way_auroc(const ways_job *j, const spread_job *w, int32_t way)
{
    const verdict *r = &j->g->stats;
    const store_parts *p = w->p;
    int64_t n = 0;
    for (int32_t i = 0; i < p->n; i++) {
        if (p->variant[i] != way || !p->there[i] || w->reference[i] ||
            p->row[i] >= j->g->study.n_row || j->judged[p->row[i]] < 0)
            continue;
        const double *z = p->class_logprob + (size_t)i * (size_t)p->n_class;
        double s = score_against_rest(z, p->n_class, r->positive);
        if (isnan(s)) return (double)NAN;
        w->positive[n] = j->g->study.row[p->row[i]].label == r->positive;
        w->score[n++] = s;
    }
    stat_estimate o = {0};
    rank_parts parts;
    size_t mark = arena_mark(j->a);
    if (n == r->n && rank_parts_take(w->score, w->positive, n, j->a, &parts, j->e))
        o = rank_auroc_of(&parts, r->level).logit;
    arena_reset(j->a, mark);
    return o.has_value ? o.value : (double)NAN;
}

/* Of n numbers. */
static void describe(const double *x, int32_t n, double *mean, double *sd, double range[2])
{
    range[0] = INFINITY, range[1] = -INFINITY;
    for (int32_t i = 0; i < n; i++) {
        range[0] = fmin(range[0], x[i]);
        range[1] = fmax(range[1], x[i]);
    }
    *mean = stat_mean(x, n);
    *sd = n > 1 ? sqrt(stat_covariance(x, x, n)) : 0;
}

/* The levels' mean AUROCs; auroc [n] of each variant, NaN where it has none. */
static void split_factor(const calling *c, int32_t which, const double *auroc, int32_t n,
                         gather_ways *out)
{
    double sum[WAYS_MAX] = {0}, mean[WAYS_MAX], range[2];
    int32_t count[WAYS_MAX] = {0}, n_level = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t level = c->level[which][i % c->n_way];
        if (isnan(auroc[i])) continue;
        sum[level] += auroc[i];
        count[level]++;
    }
    for (int32_t l = 0; l < WAYS_MAX; l++) {
        if (count[l] > 0) mean[n_level++] = sum[l] / count[l];
    }
    if (n_level < 2) return;
    gather_factor *f = &out->factor[out->n_factor++];
    *f = (gather_factor){.name = factors[which].name, .n_level = n_level};
    describe(mean, n_level, &f->mean, &f->sd, range);
    f->low = range[0], f->high = range[1];
}

static bool spread(const ways_job *j, const calling *c, const store_parts *p, const bool *reference,
                   gather_ways *out)
{
    double auroc[WAYS_MAX], value[WAYS_MAX], range[2];
    const int64_t n = j->g->stats.n;
    const int32_t n_way = out->n_way < WAYS_MAX ? out->n_way : WAYS_MAX;
    if (j->g->stats.positive < 0 || out->n_way < 2) return true;
    spread_job w = {p, reference, arena_take(j->a, (size_t)n, sizeof *w.score, j->e),
                    arena_take(j->a, (size_t)n, sizeof *w.positive, j->e)};
    if (!w.score || !w.positive) return false;
    for (int32_t way = 0; way < n_way; way++) {
        auroc[way] = way_auroc(j, &w, way);
        if (!isnan(auroc[way])) value[out->n_auroc++] = auroc[way];
    }
    if (out->n_auroc > 0) {
        describe(value, out->n_auroc, &out->mean, &out->sd, range);
        out->low = range[0], out->high = range[1];
    }
    for (int32_t k = 0; c->n_way > 1 && k < GATHER_FACTORS; k++)
        split_factor(c, k, auroc, n_way, out);
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
    const int32_t n_class = j->g->study.n_class;
    for (int32_t i = 0; i < s->n; i++) {
        if (s->row[i] >= j->g->study.n_row || j->judged[s->row[i]] < 0) continue;
        const int32_t class = s->class[i];
        out->n_sample++;
        out->n_token += s->n_token[i];
        out->n_unparsed += class == STORE_UNPARSED;
        out->n_parsed += class >= 0;
        out->n_long += str_is(s->end[i], "length");
        if (out->vote)
            out->vote[j->judged[s->row[i]] * (n_class + 1) +
                      (class >= 0 && class < n_class ? class : n_class)]++;
    }
}

static bool read_ways(const ways_job *j, const store *s, int32_t arm, const calling *c)
{
    turning turns;
    store_parts p;
    store_samples samples;
    gather *g = j->g;
    gather_ways *out = &g->ways[arm];
    const bool listed = read_turning(j, arm, &turns);
    if (listed)
        out->place = turns.place =
            arena_take_zero(j->a, (size_t)turns.n_option, sizeof *turns.place, j->e);
    if (c->thinks)
        out->vote = arena_take_zero(j->a, (size_t)g->stats.n * (size_t)(g->study.n_class + 1) + 1,
                                    sizeof *out->vote, j->e);
    if ((listed && !out->place) || (c->thinks && !out->vote)) return false;
    const size_t mark = arena_mark(j->a);
    if (!store_get_parts(s, arm, -1, &p, j->a, j->e) ||
        !store_get_samples(s, arm, -1, &samples, j->a, j->e))
        return false;
    if (p.n_class == g->study.n_class) {
        bool *reference = arena_take_zero(j->a, (size_t)p.n + 1, sizeof *reference, j->e);
        if (!reference) return false;
        count_turned(j, c, &p, reference, out);
        if (!spread(j, c, &p, reference, out)) return false;
    }
    if (listed && !read_places(j, arm, &p, &turns)) return false;
    count_samples(j, &samples, out);
    arena_reset(j->a, mark);
    return true;
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
        calling c;
        read_calling(g, k, &c);
        if (!read_ways(&j, s, k, &c)) return false;
    }
    return true;
}
