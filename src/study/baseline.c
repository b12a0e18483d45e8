/* baseline: see baseline.h. baseline_tfidf.c trains; this file plans, names keys, and holds the two
 * rules that need no training. */
#include "study/baseline.h"

#include "study/baseline_in.h"
#include "text/tfidf.h"
#include "text/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *name_of(int32_t kind)
{
    return kind == SPEC_PREVALENCE ? "baseline-prevalence"
           : kind == SPEC_KEYWORDS ? "baseline-keywords"
                                   : "baseline-tfidf";
}

/* ---- keywords ---- */

typedef struct keyword {
    str word; /* lower case, one blank between its words */
    int32_t class;
} keyword;

typedef struct keywords {
    int32_t n;
    keyword *item; /* longest first */
} keywords;

/* Lower case; blanks, hyphens and underscores become one blank each run. */
static void simplify(str s, buf *scratch, buf *out)
{
    buf_clear(scratch);
    utf8_lower(s, scratch);
    str lower = buf_view(scratch);
    for (size_t at = 0; at < lower.size;) {
        size_t here = at;
        int32_t c = utf8_next(lower, &at);
        bool blank = utf8_is_space(c) || c == '-' || c == '_' || c == 0x2010 || c == 0x2011;
        if (!blank) buf_add(out, lower.data + here, at - here);
        else if (out->size && out->data[out->size - 1] != ' ') buf_add_char(out, ' ');
    }
}

static bool add_keyword(keywords *k, str text, int32_t class, arena *a, err *e)
{
    buf scratch = buf_up_to(1 << 20), simple = buf_up_to(1 << 20);
    simplify(text, &scratch, &simple);
    str kept = str_keep(a, str_trim(buf_view(&simple)), e);
    bool ok = buf_check(&simple, "a keyword", e) && kept.data;
    buf_close(&scratch);
    buf_close(&simple);
    if (ok && kept.size) k->item[k->n++] = (keyword){kept, class};
    return ok;
}

static bool is_small_word(str s)
{
    static const char *const words[] = {"not", "no",   "non", "without", "with", "other",
                                        "and", "or",   "of",  "the",     "a",    "an",
                                        "in",  "none", "any", "class",   "type"};
    for (size_t i = 0; i < countof(words); i++) {
        if (str_is(s, words[i])) return true;
    }
    return false;
}

static int by_length(const void *a, const void *b)
{
    const keyword *x = a, *y = b;
    if (x->word.size != y->word.size) return x->word.size > y->word.size ? -1 : 1;
    int order = str_order(x->word, y->word);
    return order ? order : x->class - y->class;
}

/* Each word of a class's name that stands in no other class's name. */
static bool add_own_words(keywords *k, int32_t n_name, arena *a, err *e)
{
    for (int32_t i = 0; i < n_name; i++) {
        str name = k->item[i].word;
        for (size_t at = 0; at < name.size;) {
            int64_t blank = str_find(str_part(name, at, name.size - at), STR(" "));
            size_t size = blank < 0 ? name.size - at : (size_t)blank;
            str word = str_part(name, at, size);
            bool shared = is_small_word(word) || size < 2 || size == name.size;
            for (int32_t j = 0; j < n_name && !shared; j++)
                shared = j != i && str_find(k->item[j].word, word) >= 0;
            if (!shared && !add_keyword(k, word, k->item[i].class, a, e)) return false;
            at += size + 1;
        }
    }
    return true;
}

static bool take_keywords(keywords *k, const spec *s, arena *a, err *e)
{
    size_t room = 0;
    for (int32_t i = 0; i < s->n_class; i++) room += s->classes[i].name.text.size + 1;
    for (int32_t i = 0; i < s->n_keywords; i++) room += (size_t)s->keywords[i].surfaces.n;
    *k = (keywords){.item = arena_take(a, room, sizeof *k->item, e)};
    if (!k->item) return false;
    for (int32_t i = 0; i < s->n_keywords; i++) {
        int32_t class = 0;
        while (!str_equal(s->classes[class].name.text, s->keywords[i].name.text)) class ++;
        for (int32_t j = 0; j < s->keywords[i].surfaces.n; j++) {
            if (!add_keyword(k, s->keywords[i].surfaces.item[j].text, class, a, e)) return false;
        }
    }
    for (int32_t i = 0; s->n_keywords == 0 && i < s->n_class; i++) {
        if (!add_keyword(k, s->classes[i].name.text, i, a, e)) return false;
    }
    if (s->n_keywords == 0 && !add_own_words(k, k->n, a, e)) return false;
    if (k->n > 1) qsort(k->item, (size_t)k->n, sizeof *k->item, by_length);
    return true;
}

/* Latin words need an end on both sides; Korean, Chinese, Japanese and Thai ones may stand in
 * longer ones. */
static bool stands_alone(str text, size_t from, size_t to)
{
    str word = str_part(text, from, to - from);
    if (tfidf_suited(&word, 1) == TFIDF_CHARACTERS) return true;
    size_t at = to, before = from;
    if (to < text.size && tfidf_is_word(utf8_next(text, &at))) return false;
    if (from == 0) return true;
    while (before > 0 && ((unsigned char)text.data[--before] & 0xC0) == 0x80) {
    }
    return !tfidf_is_word(utf8_next(text, &before));
}

/* found[n_class]: different keywords of each class in the text, longest first, none inside
 * another. */
static void find_keywords(const keywords *k, str text, bool *seen, int32_t n_class, double *found)
{
    for (int32_t c = 0; c < n_class; c++) found[c] = 0;
    for (int32_t i = 0; i < k->n; i++) seen[i] = false;
    for (size_t at = 0; at < text.size;) {
        size_t next = at;
        utf8_next(text, &next);
        for (int32_t i = 0; i < k->n; i++) {
            str word = k->item[i].word;
            if (word.size > text.size - at || text.data[at] != word.data[0] ||
                memcmp(text.data + at, word.data, word.size) != 0 ||
                !stands_alone(text, at, at + word.size))
                continue;
            if (!seen[i]) found[k->item[i].class] += 1;
            seen[i] = true;
            next = at + word.size;
            break;
        }
        at = next;
    }
}

static bool score_keywords(const baselines *b, arena *a, double *z, buf *detail, err *e)
{
    const spec *s = b->spec;
    keywords k;
    if (!take_keywords(&k, s, a, e)) return false;
    bool *seen = arena_take(a, (size_t)k.n, sizeof *seen, e);
    if (!seen) return false;
    buf scratch = buf_up_to(BUF_MAX), simple = buf_up_to(BUF_MAX);
    int32_t n_hit = 0;
    for (int32_t i = 0; i < b->rows->scored.n; i++) {
        double *own = z + (int64_t)i * s->n_class, all = 1;
        buf_clear(&simple);
        simplify(b->rows->scored.text[i], &scratch, &simple);
        find_keywords(&k, buf_view(&simple), seen, s->n_class, own);
        for (int32_t c = 0; c < s->n_class; c++) all += own[c];
        n_hit += i < b->rows->n_use && all > 1;
        for (int32_t c = 0; c < s->n_class; c++) {
            double prior = s->n_class > 2 ? 1.0 / s->n_class : c == s->positive ? 0.25 : 0.75;
            own[c] = log((own[c] + prior) / all);
        }
    }
    bool ok = buf_check(&simple, "a text", e) && buf_check(&scratch, "a text", e);
    buf_close(&scratch);
    buf_close(&simple);
    buf_printf(detail, "%d words or phrases %s; found in %d of %d texts", k.n,
               s->n_keywords ? "given" : "from the classes' names", n_hit, b->rows->n_use);
    return ok;
}

/* ---- prevalence ---- */

static bool score_prevalence(const baselines *b, arena *a, double *z, buf *detail, err *e)
{
    const row_set *train = &b->rows->pool;
    int32_t n_class = b->spec->n_class;
    double *share = arena_take_zero(a, (size_t)n_class, sizeof *share, e), none = 0;
    if (!share) return false;
    for (int32_t i = 0; i < train->n; i++) share[train->label[i]] += 1;
    for (int32_t c = 0; c < n_class; c++) none = share[c] == 0 ? 0.5 : none;
    double all = train->n + none * n_class; /* half a row for all, should a class have none */
    for (int32_t i = 0; i < b->rows->scored.n; i++) {
        for (int32_t c = 0; c < n_class; c++)
            z[(int64_t)i * n_class + c] = log((share[c] + none) / all);
    }
    buf_printf(detail, "shares of the classes among %d training rows", train->n);
    return true;
}

/* ---- planning ---- */

typedef struct id_context {
    const str *id;
} id_context;

static int by_id(const void *a, const void *b, void *context)
{
    const id_context *c = context;
    return str_order(c->id[*(const int32_t *)a], c->id[*(const int32_t *)b]);
}

int32_t *baseline_order(const row_set *set, arena *a, err *e)
{
    int32_t *order = arena_take(a, (size_t)set->n, sizeof *order, e);
    id_context c = {set->id};
    for (int32_t i = 0; order && i < set->n; i++) order[i] = i;
    if (order && set->n > 1) qsort_r(order, (size_t)set->n, sizeof *order, by_id, &c);
    return order;
}

/* Rows that shape a baseline, whatever their order in the table. */
static bool hash_rows(hash_state *h, const baselines *b, const row_set *set, arena *a, err *e)
{
    size_t mark = arena_mark(a);
    int32_t *order = baseline_order(set, a, e);
    for (int32_t k = 0; order && k < set->n; k++) {
        int32_t i = order[k], patient = set->patient[i];
        hash_add_field(h, set->id[i]);
        hash_add_field(h, patient < 0 ? STR("") : b->rows->patient_id[patient]);
        hash_add_field(h, b->spec->classes[set->label[i]].name.text);
        hash_add_field(h, set->text[i]);
        if (set == &b->rows->pool && b->rows->pool_fold)
            hash_add(h, &b->rows->pool_fold[i], sizeof(int32_t));
    }
    hash_add_field(h, STR("end"));
    arena_reset(a, mark);
    return order != NULL;
}

static bool hash_head(const baselines *b, int32_t kind, hash_text *out, arena *a, err *e)
{
    hash_state h;
    const spec *s = b->spec;
    hash_start(&h);
    hash_add_field(&h, STR(BASELINE_VERSION));
    hash_add_field(&h, str_of(name_of(kind)));
    for (int32_t c = 0; c < s->n_class; c++) hash_add_field(&h, s->classes[c].name.text);
    hash_add(&h, &s->positive, sizeof s->positive);
    if (kind == SPEC_KEYWORDS) {
        keywords k;
        if (!take_keywords(&k, s, a, e)) return false;
        for (int32_t i = 0; i < k.n; i++) {
            hash_add_field(&h, k.item[i].word);
            hash_add(&h, &k.item[i].class, sizeof k.item[i].class);
        }
    } else {
        hash_add(&h, &s->tfidf, sizeof s->tfidf);
        if (!hash_rows(&h, b, &b->rows->pool, a, e) || !hash_rows(&h, b, &b->rows->tune, a, e))
            return false;
    }
    *out = hash_finish(&h);
    return true;
}

static bool add_baseline(baselines *b, int32_t kind, arena *a, err *e)
{
    baseline *arm = &b->arm[b->n];
    *arm = (baseline){.kind = kind, .name = name_of(kind)};
    for (int32_t i = 0; i < b->spec->n_arm; i++) {
        if (str_is(b->spec->arms[i].name.text, arm->name))
            return spec_fail(b->spec, b->spec->arms[i].line, e,
                             "'%s' is the name of a baseline; call the arm something else",
                             arm->name);
    }
    buf record = buf_up_to(10000);
    buf_printf(&record,
               "{\"kind\": \"baseline\", \"version\": \"%s\", \"shots\": 0, \"seed\": 0, "
               "\"training_rows\": %d, \"tuning_rows\": %d}",
               BASELINE_VERSION, kind == SPEC_KEYWORDS ? 0 : b->rows->pool.n,
               kind == SPEC_TFIDF ? b->rows->tune.n : 0);
    arm->record_json = str_keep(a, buf_view(&record), e);
    buf_close(&record);
    b->n++;
    return arm->record_json.data && hash_head(b, kind, &arm->head, a, e);
}

bool baselines_plan(baselines *b, const spec *s, const rows *r, arena *a, err *e)
{
    assert(b && s && r);
    *b = (baselines){.spec = s, .rows = r};
    bool several = false;
    for (int32_t i = 1; i < r->pool.n; i++) several |= r->pool.label[i] != r->pool.label[0];
    if ((s->baselines & SPEC_PREVALENCE) && r->pool.n > 0 &&
        !add_baseline(b, SPEC_PREVALENCE, a, e))
        return false;
    if ((s->baselines & SPEC_KEYWORDS) && !add_baseline(b, SPEC_KEYWORDS, a, e)) return false;
    if (!(s->baselines & SPEC_TFIDF)) return true;
    if (several) return add_baseline(b, SPEC_TFIDF, a, e);
    b->left_out = r->pool.n > 0 ? "There is no TF-IDF baseline: the training rows are of one class."
                                : "There is no TF-IDF baseline: the study has no training rows "
                                  "(`caseload split` makes some).";
    return true;
}

hash_text baselines_key(const baselines *b, int32_t which, int32_t row)
{
    assert(which >= 0 && which < b->n && row >= 0 && row < b->rows->scored.n);
    hash_state h;
    hash_start(&h);
    hash_add_field(&h, (str){b->arm[which].head.hex, 64});
    hash_add_field(&h, b->rows->scored.text[row]);
    return hash_finish(&h);
}

bool baselines_score(const baselines *b, int32_t which, pool *p, arena *a, baseline_scores *out,
                     err *e)
{
    assert(which >= 0 && which < b->n);
    size_t mark = arena_mark(a);
    bool ok = false;
    switch (b->arm[which].kind) {
    case SPEC_PREVALENCE: ok = score_prevalence(b, a, out->z, &out->detail, e); break;
    case SPEC_KEYWORDS: ok = score_keywords(b, a, out->z, &out->detail, e); break;
    default: ok = baseline_tfidf(b, p, a, out, e);
    }
    arena_reset(a, mark);
    return ok && buf_check(&out->detail, "a baseline's description", e);
}
