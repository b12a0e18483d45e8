/* paper_ablation: S5, what each part of asking changes: pairs of arms that differ in one part, and
 * its mean effect over them. */
#include "data/spec_ask.h"
#include "stats/adjust.h"
#include "view/paper_in.h"
#include "view/right.h"

#include <jansson.h>
#include <stdio.h>

enum part { /* those before METHOD and those behind; SPEC_METHODS of it */
            PART_MODEL,
            PART_ADAPTER,
            PART_LANGUAGE,
            PART_FRAMING,
            PART_SCORE,
            PART_POSITION,
            PART_CALIBRATE,
            PART_SHOTS,
            PART_PICK,
            PART_DRAW,
            PART_QUESTION,
            PART_SYSTEM,
            PART_THINK,
            PART_LABELS,
            PART_WAYS,
            PART_WORDS,
            PART_METHOD,
            PARTS = PART_METHOD + SPEC_METHODS
};

enum { PAIRS_MAX = 400 };

static const char *const part_names[PART_METHOD] = {"model",
                                                    "adapter",
                                                    "language",
                                                    "framing",
                                                    "scored by",
                                                    "option places",
                                                    "calibration",
                                                    "examples",
                                                    "choice of examples",
                                                    "draw of examples",
                                                    "question",
                                                    "role text",
                                                    "generation",
                                                    "label words",
                                                    "ways",
                                                    "words of parts"};

typedef struct asking { /* "" where the record says nothing */
    bool asks;          /* false: a baseline */
    int64_t shots;
    const char *key[PARTS];      /* what is compared */
    const char *shown[PARTS];    /* NULL: the key is not for people */
    const char *framing, *order; /* of labels */
    json_t *words;               /* of the parts */
} asking;

typedef struct ablation {
    const paper *p;
    int32_t n;
    asking *arm; /* [n] */
    arena *a;
    err *e;
    rights right; /* without a positive class */
} ablation;

static const char *part_name(int part)
{
    return part < PART_METHOD ? part_names[part] : spec_part_name((spec_part)(part - PART_METHOD));
}

/* --- records --- */

static const char *keep(const ablation *b, const char *text)
{
    const char *kept = str_keep(b->a, str_of(text ? text : ""), b->e).data;
    return kept ? kept : "";
}

static const char *text_of(const ablation *b, const json_t *o, const char *key)
{
    return keep(b, json_string_value(json_object_get(o, key)));
}

static int add_dump(const char *text, size_t n, void *to)
{
    buf_add(to, text, n);
    return 0;
}

static const char *dump_of(const ablation *b, const json_t *o)
{
    buf text = buf_up_to(16 << 20);
    if (o) json_dump_callback(o, add_dump, &text, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    buf_add_char(&text, 0);
    const char *kept = keep(b, buf_check(&text, "an arm's record", b->e) ? text.data : "");
    buf_close(&text);
    return kept;
}

/* Sets of label words and their orders. */
static void read_labels(const ablation *b, asking *k, const json_t *record, const json_t *ask)
{
    int64_t most = 0;
    bool order[2] = {false, false};
    const json_t *ways = json_object_get(ask, "ways");
    for (size_t i = 0; i < json_array_size(ways); i++) {
        const json_t *w = json_array_get(ways, i);
        int64_t n = json_integer_value(json_object_get(w, "labels"));
        most = n > most ? n : most;
        order[json_is_true(json_object_get(w, "reversed"))] = true;
    }
    buf text = buf_up_to(16 << 20);
    k->order = order[0] && order[1] ? "both" : order[1] ? "reversed" : "given";
    buf_printf(&text, "%lld %s ", (long long)most, k->order);
    buf_add_text(&text, dump_of(b, json_object_get(record, "answers")));
    buf_add_char(&text, 0);
    k->key[PART_LABELS] = keep(b, buf_check(&text, "an arm's record", b->e) ? text.data : "");
    buf_close(&text);
}

static void read_methods(const ablation *b, asking *k, const json_t *ask)
{
    const json_t *list = json_object_get(ask, "method");
    (void)b;
    for (int m = 0; m < SPEC_METHODS; m++) {
        k->key[PART_METHOD + m] = "";
        for (size_t i = 0; i < json_array_size(list); i++) {
            const char *name = json_string_value(json_array_get(list, i));
            if (name && !strcmp(name, spec_part_name((spec_part)m)))
                k->key[PART_METHOD + m] = "with";
        }
        k->shown[PART_METHOD + m] = k->key[PART_METHOD + m][0] ? "with" : "without";
    }
}

static void read_shown(const ablation *b, asking *k, const json_t *record, const json_t *ask)
{
    static const struct {
        int part;
        const char *key;
    } plain[] = {{PART_LANGUAGE, "language"}, {PART_FRAMING, "framing"},     {PART_SCORE, "score"},
                 {PART_POSITION, "position"}, {PART_CALIBRATE, "calibrate"}, {PART_PICK, "pick"}};
    char text[400];
    for (size_t i = 0; i < countof(plain); i++)
        k->key[plain[i].part] = k->shown[plain[i].part] = text_of(b, ask, plain[i].key);
    k->framing = k->key[PART_FRAMING];
    if (!strcmp(k->framing, "options")) {
        const bool turned = strcmp(k->key[PART_POSITION], "as-is") != 0,
                   words = strcmp(k->key[PART_SCORE], "letter") != 0;
        snprintf(text, sizeof text, "options%s%.50s%s%.50s", turned ? ", " : "",
                 turned ? k->key[PART_POSITION] : "", words ? ", by " : "",
                 words ? k->key[PART_SCORE] : "");
        k->key[PART_FRAMING] = k->shown[PART_FRAMING] = keep(b, text);
    }
    snprintf(text, sizeof text, "%.200s, %.50s", text_of(b, record, "model"),
             text_of(b, record, "quantisation"));
    k->key[PART_MODEL] = text_of(b, record, "model_sha256");
    k->shown[PART_MODEL] = keep(b, text);
    k->shots = json_integer_value(json_object_get(record, "shots"));
    snprintf(text, sizeof text, "%lld", (long long)k->shots);
    k->key[PART_SHOTS] = k->shown[PART_SHOTS] = keep(b, text);
    snprintf(text, sizeof text, "seed %lld",
             (long long)json_integer_value(json_object_get(record, "seed")));
    k->key[PART_DRAW] = k->shown[PART_DRAW] = keep(b, text);
    k->key[PART_SYSTEM] = text_of(b, record, "system");
    k->shown[PART_SYSTEM] = k->key[PART_SYSTEM][0] ? "with" : "without";
}

static void read_arm(const ablation *b, int32_t which, asking *k)
{
    str text = b->p->v->g->study.arm[which].record_json;
    json_t *r = json_loadb(text.data, text.size, 0, NULL);
    const json_t *ask = json_object_get(r, "ask"), *think = json_object_get(ask, "think");
    char ways[100];
    k->asks = json_is_object(r) && !b->p->v->g->in.arm[which].baseline;
    read_shown(b, k, r, ask);
    read_methods(b, k, ask);
    k->key[PART_QUESTION] = text_of(b, r, "question");
    if (json_array_size(json_object_get(ask, "wordings")) > 1)
        k->key[PART_QUESTION] = dump_of(b, json_object_get(ask, "wordings"));
    k->key[PART_THINK] = dump_of(b, think);
    read_labels(b, k, r, ask);
    k->key[PART_ADAPTER] = k->shown[PART_ADAPTER] = "";
    if (b->p->arm[which].adapter_sha256[0]) { /* seeds are one */
        str name = str_of(b->p->v->g->in.arm[which].name);
        int64_t at = str_find(name, STR("/seed-"));
        if (at >= 0) name = str_part(name, 0, (size_t)at);
        const char *family = str_keep(b->a, name, b->e).data;
        k->key[PART_ADAPTER] = k->shown[PART_ADAPTER] = family ? family : "";
    }
    snprintf(ways, sizeof ways, "%lld x %lld %.50s",
             (long long)json_integer_value(json_object_get(ask, "draws")),
             (long long)json_integer_value(json_object_get(ask, "orders")),
             text_of(b, ask, "combine"));
    k->key[PART_WAYS] = k->shown[PART_WAYS] = keep(b, ways);
    k->key[PART_WORDS] = "";
    k->words = json_incref(json_object_get(ask, "parts"));
    json_decref(r);
}

/* --- pairs --- */

static bool unlike(const asking *a, const asking *b, int part)
{
    return strcmp(a->key[part], b->key[part]) != 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return m <= n && !strcmp(text + n - m, end);
}

/* A part that both have in other words. */
static bool other_words(const asking *a, const asking *b)
{
    const char *name;
    json_t *mine;
    json_object_foreach(a->words, name, mine)
    {
        json_t *other = json_object_get(b->words, name);
        if (other && !json_equal(mine, other)) return true;
    }
    return false;
}

static bool adds_role(const asking *a, const asking *b)
{
    const int role = PART_METHOD + SPEC_PART_ROLE;
    if (!unlike(a, b, role)) return false;
    return a->key[role][0] ? ends_with(a->key[PART_SYSTEM], b->key[PART_SYSTEM])
                           : ends_with(b->key[PART_SYSTEM], a->key[PART_SYSTEM]);
}

/* What goes with another part of the two is no part of its own: words go with their language,
 * answers with the framing, generated text with the method that asks for it. */
static bool differs(const asking *a, const asking *b, int part)
{
    const bool language = unlike(a, b, PART_LANGUAGE),
               framing = strcmp(a->framing, b->framing) != 0;
    const bool options = !framing && !strcmp(a->framing, "options");
    switch (part) {
    case PART_FRAMING: return framing;
    case PART_SCORE:
    case PART_POSITION: return options && unlike(a, b, part);
    case PART_PICK:
    case PART_DRAW: return a->shots > 0 && b->shots > 0 && unlike(a, b, part);
    case PART_QUESTION: return !language && unlike(a, b, part);
    case PART_WORDS: return !language && !framing && other_words(a, b);
    case PART_LABELS:
        if (framing || (options && unlike(a, b, PART_SCORE))) return strcmp(a->order, b->order);
        return unlike(a, b, part);
    case PART_SYSTEM: return !language && !adds_role(a, b) && unlike(a, b, part);
    case PART_WAYS: return a->shots > 0 && b->shots > 0 && unlike(a, b, part);
    case PART_THINK:
        return !framing && !unlike(a, b, PART_METHOD + SPEC_PART_COT) &&
               !unlike(a, b, PART_METHOD + SPEC_PART_SELF_CONSISTENCY) && unlike(a, b, part);
    default: return unlike(a, b, part);
    }
}

/* The one part in which the arms differ; -1: none or several. */
static int part_between(const asking *a, const asking *b)
{
    int found = -1;
    if (!a->asks || !b->asks) return -1;
    for (int part = 0; part < PARTS; part++) {
        if (!differs(a, b, part)) continue;
        if (found >= 0) return -1;
        found = part;
    }
    if (found == PART_ADAPTER && a->key[found][0] && b->key[found][0]) return -1; /* T5, S4 */
    return found;
}

typedef struct effect { /* of part, `to` less `from` */
    int part;
    int32_t from, to;
    bool done;
    rank_test right; /* difference in accuracy, without a positive class; p_holm over the table */
    double p_holm;
} effect;

/* Without stands before with, few examples before many, else what the study has first. */
static bool goes_first(const ablation *b, int part, int32_t i, int32_t k)
{
    const asking *x = &b->arm[i], *y = &b->arm[k];
    if (part == PART_SHOTS) return x->shots < y->shots;
    if (!x->key[part][0] || !y->key[part][0]) return !x->key[part][0];
    for (int32_t m = 0; m < b->n; m++) {
        if (!strcmp(b->arm[m].key[part], x->key[part])) return true;
        if (!strcmp(b->arm[m].key[part], y->key[part])) return false;
    }
    return true;
}

static bool same_change(const ablation *b, const effect *x, const effect *y)
{
    return x->part == y->part && !unlike(&b->arm[x->from], &b->arm[y->from], x->part) &&
           !unlike(&b->arm[x->to], &b->arm[y->to], x->part);
}

static int32_t find_effects(const ablation *b, effect *out, bool *all)
{
    int32_t n = 0;
    *all = true;
    for (int part = 0; part < PARTS; part++) {
        for (int32_t i = 0; i < b->n; i++) {
            for (int32_t k = i + 1; k < b->n; k++) {
                if (part_between(&b->arm[i], &b->arm[k]) != part) continue;
                if (n == PAIRS_MAX) {
                    *all = false;
                    return n;
                }
                bool order = goes_first(b, part, i, k);
                out[n++] = (effect){.part = part, .from = order ? i : k, .to = order ? k : i};
            }
        }
    }
    return n;
}

/* --- the table --- */

static void add_change(const ablation *b, sheet *s, const effect *x)
{
    const char *from = b->arm[x->from].shown[x->part], *to = b->arm[x->to].shown[x->part];
    sheet_add(s, str_of(part_name(x->part)));
    if (!from || !to || !strcmp(from, to)) sheet_add(s, STR("other"));
    else sheet_printf(s, "%s → %s", from[0] ? from : "none", to[0] ? to : "none");
}

static void add_test(sheet *s, const rank_test *t, int sign)
{
    buf text = buf_up_to(1000);
    if (!t || !t->has_value) buf_add_text(&text, "not estimable");
    else evidence_add_difference(&text, t, sign);
    sheet_add(s, buf_view(&text));
    buf_close(&text);
}

static void add_pair(const ablation *b, sheet *s, const effect *x)
{
    const evidence *v = b->p->v;
    int sign = 1;
    if (!v->binary) {
        const rank_test *t = &x->right;
        add_change(b, s, x);
        sheet_printf(s, "%s against %s", v->g->in.arm[x->to].name, v->g->in.arm[x->from].name);
        add_test(s, t, 1);
        paper_add_p(s, t->has_value, t->p);
        paper_add_p(s, t->has_value, x->p_holm);
        return;
    }
    const verdict_pair *pair = evidence_pair(v, x->to, x->from, &sign);
    const rank_test *t = pair ? evidence_test(v, pair) : NULL;
    add_change(b, s, x);
    sheet_printf(s, "%s against %s", v->g->in.arm[x->to].name, v->g->in.arm[x->from].name);
    add_test(s, t, sign);
    paper_add_p(s, t && t->has_value, t && t->has_value ? t->p : 0);
    paper_add_p(s, t && t->has_value, t && t->has_value ? v->p_holm[pair - v->g->stats.pair] : 0);
}

/* Mean of the differences: an AUROC's placements are sums, so those of a mean of differences are
 * the means of the differences of placements, and its variance theirs. */
static bool mean_parts(const ablation *b, const effect *list, int32_t n, const effect *like,
                       rank_parts *out, int32_t *n_pair)
{
    const verdict *r = &b->p->v->g->stats;
    *out = (rank_parts){.status = STAT_OK};
    *n_pair = 0;
    for (int32_t i = 0; i < n; i++) {
        if (!same_change(b, &list[i], like)) continue;
        ++*n_pair;
        for (int side = 0; side < 2; side++) {
            const rank_parts *q = &r->arm[side ? list[i].from : list[i].to].parts;
            const double sign = side ? -1 : 1;
            if (!stat_status_usable(q->status)) {
                out->status = q->status;
                continue;
            }
            if (!out->v10) {
                out->n = q->n;
                out->n_positive = q->n_positive;
                out->v10 = arena_take_zero(b->a, (size_t)q->n_positive, sizeof(double), b->e);
                out->v01 =
                    arena_take_zero(b->a, (size_t)(q->n - q->n_positive), sizeof(double), b->e);
                if (!out->v10 || !out->v01) return false;
            }
            out->auroc += sign * q->auroc;
            for (int64_t m = 0; m < q->n_positive; m++) out->v10[m] += sign * q->v10[m];
            for (int64_t m = 0; m < q->n - q->n_positive; m++) out->v01[m] += sign * q->v01[m];
        }
    }
    out->auroc /= *n_pair;
    for (int64_t m = 0; m < out->n_positive; m++) out->v10[m] /= *n_pair;
    for (int64_t m = 0; m < out->n - out->n_positive; m++) out->v01[m] /= *n_pair;
    return true;
}

static bool variance_of(const ablation *b, const rank_parts *q, double *value, bool *exists)
{
    const evidence *v = b->p->v;
    const int64_t n = v->g->stats.n;
    *exists = q->n_positive >= 2 && q->n - q->n_positive >= 2;
    if (!*exists) return true;
    if (!v->clusters) {
        *value = rank_covariance(q, q);
        return true;
    }
    int32_t *patient = arena_take(b->a, (size_t)n, sizeof *patient, b->e), n_cluster = 0;
    int32_t *cluster = arena_take(b->a, (size_t)n, sizeof *cluster, b->e);
    if (!patient || !cluster) return false;
    for (int64_t i = 0; i < n; i++) patient[i] = v->g->study.row[v->g->stats.row[i]].patient;
    if (!cluster_number(patient, n, cluster, &n_cluster, b->a, b->e)) return false;
    cluster_rows rows = {.n = n,
                         .positive = v->g->stats.arm[0].positive,
                         .cluster = cluster,
                         .n_cluster = n_cluster};
    cluster_variance c = {0};
    if (!cluster_covariance(&rows, q, q, b->a, &c, b->e)) return false;
    *exists = c.exists;
    *value = c.value;
    return true;
}

/* Of accuracies: the mean over pairs, row by row, is one paired difference. */
static bool mean_right(const ablation *b, const effect *list, int32_t n, const effect *like,
                       rank_test *out, int32_t *n_pair)
{
    right_pair *pairs = arena_take(b->a, (size_t)n, sizeof *pairs, b->e);
    *n_pair = 0;
    for (int32_t i = 0; pairs && i < n; i++) {
        if (same_change(b, &list[i], like))
            pairs[(*n_pair)++] = (right_pair){list[i].to, list[i].from};
    }
    return pairs && right_compare(&b->right, pairs, *n_pair, b->a, out, b->e);
}

/* Differences in accuracy of all pairs, with Holm's p over them. */
static bool compare_rights(ablation *b, effect *list, int32_t n)
{
    double *p = arena_take(b->a, (size_t)n + 1, sizeof *p, b->e);
    double *holm = arena_take(b->a, (size_t)n + 1, sizeof *holm, b->e);
    if (!p || !holm || !right_read(&b->right, b->p->v, b->a, b->e)) return false;
    for (int32_t i = 0; i < n; i++) {
        const right_pair pair = {list[i].to, list[i].from};
        if (!right_compare(&b->right, &pair, 1, b->a, &list[i].right, b->e)) return false;
        p[i] = list[i].right.has_value ? list[i].right.p : 1;
    }
    if (!adjust_holm(p, n, holm, b->a, b->e)) return false;
    for (int32_t i = 0; i < n; i++) list[i].p_holm = holm[i];
    return true;
}

static bool add_mean(const ablation *b, sheet *s, const effect *list, int32_t n, const effect *like)
{
    size_t mark = arena_mark(b->a);
    rank_parts q;
    rank_test t = {0};
    int32_t n_pair = 0;
    double variance = 0;
    bool exists = false;
    if (!b->p->v->binary) {
        if (!mean_right(b, list, n, like, &t, &n_pair)) return false;
    } else if (!mean_parts(b, list, n, like, &q, &n_pair)) {
        return false;
    }
    if (b->p->v->binary && n_pair > 1 && stat_status_usable(q.status)) {
        if (!variance_of(b, &q, &variance, &exists)) return false;
        if (exists) t = rank_test_with(q.auroc, variance, STAT_OK, b->p->v->g->stats.level);
    }
    arena_reset(b->a, mark);
    if (n_pair < 2) return true;
    add_change(b, s, like);
    sheet_printf(s, "mean of %d pairs", (int)n_pair);
    add_test(s, &t, 1);
    paper_add_p(s, t.has_value, t.p);
    sheet_add(s, STR(""));
    return true;
}

static bool add_rows(const ablation *b, sheet *s, effect *list, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (list[i].done) continue;
        for (int32_t k = i; k < n; k++) {
            if (!same_change(b, &list[i], &list[k])) continue;
            add_pair(b, s, &list[k]);
            list[k].done = true;
        }
        if (!add_mean(b, s, list, n, &list[i])) return false;
    }
    return true;
}

static void add_notes(const paper *p, sheet *s, bool all)
{
    const evidence *v = p->v;
    if (v->binary)
        sheet_note(s,
                   "Pairs of arms that differ in this part alone, on the same texts (paired), "
                   "with %.0f %% intervals%s. Means over pairs with the pairs' covariance. Holm: "
                   "over all pairs of the study; means are not adjusted.",
                   100 * v->g->stats.level,
                   v->clusters ? " that allow for several texts of a patient" : "");
    else
        sheet_note(s,
                   "Pairs of arms that differ in this part alone, on the same texts (paired): the "
                   "share of texts whose most probable class is right, with %.0f %% intervals%s. "
                   "Holm: over the pairs of this table; means are not adjusted.",
                   100 * v->g->stats.level,
                   v->clusters ? " and p by patient"
                               : "; p by McNemar's test, that of means by the normal distribution");
    sheet_note(s, "What a part brings along counts as the part: words in another language, the "
                  "answers of another framing, text generated by a method.");
    if (!all) sheet_note(s, "The first %d pairs are shown.", (int)PAIRS_MAX);
}

bool paper_ablation(const paper *p, sheet *s, char why[200], err *e)
{
    const bool binary = p->v->binary;
    ablation b = {.p = p, .n = p->v->g->stats.n_arm, .a = &p->v->g->memory, .e = e};
    bool all = true;
    if (p->v->g->stats.n == 0) {
        snprintf(why, 200, "no text was judged");
        return true;
    }
    effect *list = arena_take_zero(b.a, PAIRS_MAX, sizeof *list, e);
    b.arm = arena_take_zero(b.a, (size_t)b.n, sizeof *b.arm, e);
    if (!list || !b.arm) return false;
    for (int32_t k = 0; k < b.n; k++) read_arm(&b, k, &b.arm[k]);
    int32_t n = e->code == ERR_NONE ? find_effects(&b, list, &all) : 0;
    bool ok = e->code == ERR_NONE;
    if (ok && n == 0) snprintf(why, 200, "no two arms differ in one part alone");
    if (ok && n > 0 && !binary) ok = compare_rights(&b, list, n);
    if (ok && n > 0) {
        sheet_open(s, "S5", "What each part changes");
        sheet_column(s, "part", false);
        sheet_column(s, "change", false);
        sheet_column(s, "arms", false);
        sheet_column(s, binary ? "difference in AUROC" : "difference in accuracy", true);
        sheet_column(s, "p", true);
        sheet_column(s, "p (Holm)", true);
        ok = add_rows(&b, s, list, n);
        add_notes(p, s, all);
    }
    for (int32_t k = 0; k < b.n; k++) json_decref(b.arm[k].words);
    return ok;
}
