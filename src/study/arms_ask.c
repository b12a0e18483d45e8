/* arms_ask: a row's variants as ids, and what is made of their scores. */
#include "study/arms_in.h"

#include "stats/score.h"
#include "text/parse.h"

#include <assert.h>
#include <math.h>

static const char *const content_free[] = {"N/A", "", "[MASK]"};

/* ---- which variants ---- */

typedef struct variant_counts {
    int32_t way, chunk, shift, reference; /* reference: of one way, shifts included */
} variant_counts;

static variant_counts count_variants(const arms *a, const arm *m, int32_t row)
{
    const spec_ask *ask = &m->spec->ask;
    variant_counts n = {.way = m->n_way, .chunk = 1, .shift = 1};
    if (a->piece) n.chunk = a->piece[row + 1] - a->piece[row];
    if (ask->position == SPEC_CYCLIC) n.shift = arms_n_option(a, &a->rows->scored, row);
    if (ask->position == SPEC_PRIOR) n.reference = n.chunk;
    if (ask->calibrate == SPEC_DOMAIN) n.reference = n.shift;
    if (ask->calibrate == SPEC_CONTEXTUAL) n.reference = n.shift * (int32_t)countof(content_free);
    return n;
}

int32_t arms_variants(const arms *a, int32_t which, int32_t row)
{
    assert(which >= 0 && which < a->n_arm && row >= 0 && row < a->rows->scored.n);
    variant_counts n = count_variants(a, &a->arm[which], row);
    return n.way * (n.chunk * n.shift + n.reference);
}

static arms_variant describe(variant_counts n, int32_t variant)
{
    int32_t inner = variant / n.way, own = n.chunk * n.shift;
    arms_variant v = {.way = variant % n.way, .reference = inner < own ? -1 : inner - own};
    v.chunk = inner < own ? inner / n.shift : 0;
    v.shift = inner % n.shift; /* `own` is a multiple of the shifts */
    return v;
}

arms_variant arms_describe(const arms *a, int32_t which, int32_t row, int32_t variant)
{
    assert(variant >= 0 && variant < arms_variants(a, which, row));
    return describe(count_variants(a, &a->arm[which], row), variant);
}

const prompt_form *arms_form(const arms *a, int32_t which, int32_t row, int32_t variant)
{
    const arm *m = &a->arm[which];
    const arms_way *way = &m->way[arms_describe(a, which, row, variant).way];
    int32_t turn = way->draw * m->spec->ask.orders + way->order, n_row = a->rows->scored.n;
    int32_t set = m->spec->shots > 0 ? m->shots.set[(size_t)turn * (size_t)n_row + (size_t)row] : 0;
    return &m->form[way->first_form + set];
}

/* ---- what stands in a variant's slot ---- */

static bool asks_prior(const arm *m, arms_variant v)
{
    return v.reference >= 0 && m->spec->ask.position == SPEC_PRIOR;
}

static str text_of(const arms *a, int32_t which, int32_t row, int32_t variant)
{
    const arm *m = &a->arm[which];
    arms_variant v = arms_describe(a, which, row, variant);
    bool prior = asks_prior(m, v);
    if (v.reference >= 0 && !prior) {
        if (m->spec->ask.calibrate == SPEC_DOMAIN) return STR("");
        return str_of(content_free[v.reference / count_variants(a, m, row).shift]);
    }
    return a->piece ? a->chunk[a->piece[row] + (prior ? v.reference : v.chunk)] : a->text[row];
}

void arms_write_slot(const arms *a, int32_t which, int32_t row, int32_t variant, buf *out)
{
    const arm *m = &a->arm[which];
    arms_variant v = arms_describe(a, which, row, variant);
    arms_list l = {.set = &a->rows->scored,
                   .row = row,
                   .shift = v.shift,
                   .alike = asks_prior(m, v)};
    arms_write_slot_of(a, m, &m->way[v.way], text_of(a, which, row, variant), &l, out);
}

void arms_write(const arms *a, int32_t which, int32_t row, int32_t variant, buf *out)
{
    buf slot = buf_up_to(ARMS_TEXT_BYTES_MAX);
    arms_write_slot(a, which, row, variant, &slot);
    prompt_write(arms_form(a, which, row, variant), buf_view(&slot), out);
    buf_close(&slot);
}

/* ---- answers ---- */

static bool add_text(arms_answers *out, str text, int32_t class, bool space, err *e)
{
    bool add = space && text.size && text.data[0] != ' ';
    out->text[out->n] = add ? arms_join(out->memory, STR(" "), text, STR(""), e) : text;
    out->class[out->n++] = class;
    return e->code == ERR_NONE;
}

bool arms_list_answers(const arms *a, int32_t which, int32_t row, int32_t variant,
                       arms_answers *out, err *e)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const arm *m = &a->arm[which];
    const row_set *scored = &a->rows->scored;
    int32_t n_shift = m->spec->ask.position == SPEC_CYCLIC
                          ? arms_n_option(a, scored, row)
                          : 1; /* as in describe(), for a row whose text is not cut yet */
    const arms_way *way = &m->way[variant % m->n_way];
    arms_list l = {.set = scored, .row = row, .shift = variant / m->n_way % n_shift};
    bool space = out->behind || !m->model->chat, ok = true;
    bool by_letter = arms_has_list(m) && !way->by_text, own = scored->option_start != NULL;
    int32_t n = spec_has_labels(a->spec) ? arms_n_option(a, scored, row) : 0, room = 0;
    const spec_class *words = m->spec->ask.words ? m->spec->ask.words[way->words] : NULL;
    for (int32_t c = 0; c < n; c++) room += by_letter || own ? 1 : words[c].surfaces.n;
    out->own = own;
    out->n = 0;
    out->text = arena_take(out->memory, (size_t)room, sizeof(str), e);
    out->class = arena_take(out->memory, (size_t)room, sizeof(int32_t), e);
    if (!out->text || !out->class) return false;
    for (int32_t c = 0; ok && c < n; c++) {
        if (by_letter)
            ok = add_text(out, str_part(STR(letters), (size_t)c, 1), arms_option_at(a, way, &l, c),
                          space, e);
        else if (own) ok = add_text(out, arms_option_text(m, way, &l, c), c, space, e);
        for (int32_t i = 0; ok && !by_letter && !own && i < words[c].surfaces.n; i++)
            ok = add_text(out, words[c].surfaces.item[i].text, c, space, e);
    }
    return ok;
}

int32_t arms_read_text(const arms *a, int32_t which, int32_t row, int32_t variant, str text)
{
    const arm *m = &a->arm[which];
    const row_set *scored = &a->rows->scored;
    arms_variant v = arms_describe(a, which, row, variant);
    const arms_way *way = &m->way[v.way];
    const spec_class *words = m->spec->ask.words ? m->spec->ask.words[way->words] : NULL;
    arms_list l = {.set = scored, .row = row, .shift = v.shift};
    int32_t n = arms_n_option(a, scored, row), letter[SPEC_OPTIONS_MAX];
    buf texts = buf_up_to(ARMS_TEXT_BYTES_MAX), classes = buf_up_to(ARMS_TEXT_BYTES_MAX);
    for (int32_t c = 0; c < n; c++) {
        int32_t n_text = scored->option_start ? 1 : words[c].surfaces.n;
        for (int32_t i = 0; i < n_text; i++) {
            str one = scored->option_start ? arms_option_text(m, way, &l, c)
                                           : words[c].surfaces.item[i].text;
            buf_add(&texts, &one, sizeof one);
            buf_add(&classes, &c, sizeof c);
        }
        if (arms_has_list(m)) letter[c] = arms_option_at(a, way, &l, c);
    }
    parse_answers all = {.n = (int32_t)(classes.size / sizeof(int32_t)),
                         .text = (const str *)(const void *)texts.data,
                         .class = (const int32_t *)(const void *)classes.data,
                         .n_letter = arms_has_list(m) ? n : 0,
                         .letter_class = letter};
    int32_t found = texts.failed || classes.failed ? PARSE_NOTHING
                                                   : parse_text(&m->spec->ask.think, &all, text);
    buf_close(&texts);
    buf_close(&classes);
    return found;
}

static bool is_prefix(const asked *q, int32_t i, int32_t j)
{
    const int32_t *start = q->start.id;
    int32_t n = start[i + 1] - start[i], m = start[j + 1] - start[j];
    const int32_t *a = q->answers.id + start[i], *b = q->answers.id + start[j];
    return n <= m && !memcmp(a, b, (size_t)n * sizeof *a);
}

/* Answers of two classes that are the same tokens could never be told apart. */
static bool check_distinct(const arms_answers *all, const asked *q, err *e)
{
    const int32_t *class = q->answer_class.id;
    for (int32_t i = 0; i < q->n_answer; i++) {
        for (int32_t j = 0; j < i; j++) {
            if (class[i] == class[j] || !is_prefix(q, i, j) || !is_prefix(q, j, i)) continue;
            return err_set(
                e, ERR_USAGE,
                "'%.*s' of class %d and '%.*s' of class %d are the same tokens here; use "
                "other answers",
                (int)all->text[j].size, all->text[j].data, class[j] + 1, (int)all->text[i].size,
                all->text[i].data, class[i] + 1);
        }
    }
    return true;
}

/* No answer may be the beginning of another class's: its probability would hold the other's. If one
 * is, every answer gets the end of turn as its last token. */
static bool part_classes(const arms_answers *all, const tokenizer *t, asked *q, err *e)
{
    bool clash = false;
    const int32_t *class = q->answer_class.id;
    for (int32_t i = 0; i < q->n_answer; i++) {
        for (int32_t j = 0; j < q->n_answer; j++)
            clash = clash || (class[i] != class[j] && is_prefix(q, i, j));
    }
    if (!clash) return true;
    if (all && !check_distinct(all, q, e)) return false;
    int32_t end = token_eos(t);
    if (end < 0) {
        return err_set(
            e, ERR_USAGE,
            "an answer of one class begins an answer of another, and the model has no end token to "
            "tell them apart; use other answers");
    }
    token_list longer = {0};
    for (int32_t i = 0; i < q->n_answer; i++) {
        int32_t from = q->start.id[i], n = q->start.id[i + 1] - from;
        q->start.id[i] = (int32_t)longer.n;
        if (!token_list_add(&longer, q->answers.id + from, n, e) ||
            !token_list_add(&longer, &end, 1, e)) {
            token_list_close(&longer);
            return false;
        }
    }
    q->start.id[q->n_answer] = (int32_t)longer.n;
    token_list_close(&q->answers);
    q->answers = longer;
    return true;
}

static bool add_answer(const prompt_form *f, str slot, str answer, asked *q, err *e)
{
    prompt_answer ask = {.prompt = &q->prompt, .answer = answer, .out = &q->answers};
    int32_t start = (int32_t)q->answers.n;
    if (!token_list_add(&q->start, &start, 1, e) || !prompt_encode_answer(f, slot, &ask, e))
        return false;
    q->any_forced = q->any_forced || ask.forced;
    return true;
}

/* An answer behind the bridge: encoded with it, or apart where that would change its ids. */
static bool add_answer_behind(const arm *m, str answer, asked *q, err *e)
{
    const tokenizer *t = m->model->rules.tokens;
    buf both = buf_up_to(ARMS_TEXT_BYTES_MAX);
    token_list ids = {0};
    int32_t start = (int32_t)q->answers.n;
    buf_add_str(&both, m->bridge);
    buf_add_str(&both, answer);
    bool ok = buf_check(&both, "an answer", e) && token_list_add(&q->start, &start, 1, e) &&
              arms_count_tokens(t, buf_view(&both), &ids, e);
    int64_t n = q->bridge.n;
    bool apart =
        ok && (ids.n <= n || memcmp(ids.id, q->bridge.id, (size_t)n * sizeof *ids.id) != 0);
    if (apart) {
        ok = arms_count_tokens(t, answer, &ids, e);
        n = 0;
    }
    q->any_forced = q->any_forced || apart;
    ok = ok && token_list_add(&q->answers, ids.id + n, ids.n - n, e);
    token_list_close(&ids);
    buf_close(&both);
    return ok;
}

static bool ask_answers(const arm *m, const prompt_form *f, str slot, const arms_answers *all,
                        asked *q, err *e)
{
    bool ok = token_list_add(&q->answer_class, all->class, all->n, e);
    q->n_answer = all->n;
    if (m->bridge.size) ok = ok && arms_count_tokens(f->rules.tokens, m->bridge, &q->bridge, e);
    for (int32_t i = 0; ok && i < all->n; i++)
        ok = m->bridge.size ? add_answer_behind(m, all->text[i], q, e)
                            : add_answer(f, slot, all->text[i], q, e);
    int32_t end = (int32_t)q->answers.n;
    ok = ok && token_list_add(&q->start, &end, 1, e);
    /* a row's own options may be the same: it gives both the same score */
    return ok && (all->n == 0 || part_classes(all->own ? NULL : all, f->rules.tokens, q, e));
}

/* Where the text ends: what options follow it, and at which places, is asked behind the same text.
 * There it is where the prompt parts from one with nothing but the text in its slot. */
static bool find_stem(const arms *a, int32_t which, int32_t row, int32_t variant, asked *q, err *e)
{
    const prompt_form *f = arms_form(a, which, row, variant);
    int32_t n = (int32_t)q->prompt.n, same = 0;
    q->n_stem = prompt_stem(f, q->prompt.id, n);
    if (!arms_has_list(&a->arm[which])) return true;
    token_list alone = {0};
    bool ok = prompt_encode(f, text_of(a, which, row, variant), &alone, e);
    while (ok && same < n && same < alone.n && q->prompt.id[same] == alone.id[same]) same++;
    q->n_stem = same > f->n_head && n - same >= PROMPT_TAIL_MIN ? same : 0;
    token_list_close(&alone);
    return ok;
}

static const size_t bytes_answers = (size_t)64 << 20; /* address space for one row's answers */

bool arms_ask(const arms *a, int32_t which, int32_t row, int32_t variant, asked *q, err *e)
{
    const arm *m = &a->arm[which];
    const prompt_form *f = arms_form(a, which, row, variant);
    buf slot = buf_up_to(ARMS_TEXT_BYTES_MAX);
    arena memory;
    arms_answers all = {.memory = &memory, .behind = m->bridge.size > 0};
    q->prompt.n = q->answers.n = q->start.n = q->answer_class.n = q->bridge.n = 0;
    q->any_forced = false;
    if (!arena_open_up_to(&memory, bytes_answers, "the answers", e)) return false;
    arms_write_slot(a, which, row, variant, &slot);
    bool ok = buf_check(&slot, "a text", e) && prompt_check(f, buf_view(&slot), e) &&
              prompt_encode(f, buf_view(&slot), &q->prompt, e);
    ok = ok && find_stem(a, which, row, variant, q, e);
    ok = ok && arms_list_answers(a, which, row, variant, &all, e) &&
         ask_answers(m, f, buf_view(&slot), &all, q, e);
    buf_close(&slot);
    arena_close(&memory);
    if (ok) return true;
    return err_in(e, "row '%.*s'", (int)a->rows->scored.id[row].size, a->rows->scored.id[row].data);
}

void asked_close(asked *q)
{
    token_list_close(&q->prompt);
    token_list_close(&q->answers);
    token_list_close(&q->start);
    token_list_close(&q->answer_class);
    token_list_close(&q->bridge);
}

/* ---- from variants to a row ---- */

typedef struct combiner {
    const arms *arms;
    const arm *arm;
    const double *z;
    int32_t n_class;
    variant_counts n;
} combiner;

static const double *z_at(const combiner *c, int32_t way, int32_t inner)
{
    return c->z + ((size_t)inner * (size_t)c->n.way + (size_t)way) * (size_t)c->n_class;
}

/* log p of the classes; all -infinity where there is no p. */
static void log_shares(const double *z, int32_t n, double *out)
{
    double all = score_log_sum(z, n);
    for (int32_t i = 0; i < n; i++) out[i] = isinf(all) ? -INFINITY : z[i] - all;
}

/* sum[i] = log(exp(sum[i]) + exp(x[i])) */
static void log_add(double *sum, const double *x, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        const double both[2] = {sum[i], x[i]};
        sum[i] = score_log_sum(both, 2);
    }
}

/* The reference's log p, averaged over the content-free texts of one shift. */
static void reference_of(const combiner *c, int32_t way, int32_t chunk, int32_t shift, double *out)
{
    const spec_ask *ask = &c->arm->spec->ask;
    double one[SPEC_CLASSES_MAX];
    int32_t own = c->n.chunk * c->n.shift, n = c->n_class;
    int32_t first = ask->position == SPEC_PRIOR ? chunk : shift;
    int32_t step = ask->position == SPEC_PRIOR ? c->n.reference : c->n.shift;
    for (int32_t i = 0; i < n; i++) out[i] = -INFINITY;
    for (int32_t r = first; r < c->n.reference; r += step) {
        log_shares(z_at(c, way, own + r), n, one);
        log_add(out, one, n);
    }
}

/* Log p of one text under one way: calibrated, averaged over the places of its options. */
static void of_chunk(const combiner *c, int32_t way, int32_t chunk, double *out)
{
    double one[SPEC_CLASSES_MAX], free[SPEC_CLASSES_MAX];
    int32_t n = c->n_class;
    for (int32_t i = 0; i < n; i++) out[i] = -INFINITY;
    for (int32_t shift = 0; shift < c->n.shift; shift++) {
        const double *z = z_at(c, way, chunk * c->n.shift + shift);
        for (int32_t i = 0; i < n; i++) one[i] = z[i];
        if (c->n.reference > 0) {
            reference_of(c, way, chunk, shift, free);
            for (int32_t i = 0; i < n; i++) one[i] = isinf(free[i]) ? one[i] : one[i] - free[i];
        }
        log_shares(one, n, one);
        log_add(out, one, n);
    }
    log_shares(out, n, out);
}

/* log(1 - exp(x)), x <= 0 */
static double log_rest(double x)
{
    return x > -0.6931471805599453 ? log(-expm1(x)) : log1p(-exp(x));
}

/* Chunks to one text. With a positive class: its p by the rule, the rest shared as on average; else
 * every class by the rule, then shares. */
static void of_way(const combiner *c, int32_t way, double *out)
{
    double one[SPEC_CLASSES_MAX], rule[SPEC_CLASSES_MAX];
    spec_combine how = c->arms->spec->combine;
    int32_t n = c->n_class, positive = c->arms->spec->positive;
    for (int32_t i = 0; i < n; i++)
        out[i] = -INFINITY, rule[i] = how == SPEC_NOISY_OR ? 0 : -INFINITY;
    for (int32_t k = 0; k < c->n.chunk; k++) {
        of_chunk(c, way, k, one);
        log_add(out, one, n);
        for (int32_t i = 0; i < n; i++) {
            if (how == SPEC_MAX && one[i] > rule[i]) rule[i] = one[i];
            if (how != SPEC_NOISY_OR) continue;
            double others = i != positive || n != 2 ? log_rest(one[i]) : one[1 - i];
            rule[i] += others; /* log of: in none of them */
        }
    }
    log_shares(out, n, out);
    if (c->n.chunk == 1 || how == SPEC_MEAN) return;
    if (positive < 0) {
        for (int32_t i = 0; i < n; i++) out[i] = how == SPEC_MAX ? rule[i] : log_rest(rule[i]);
        log_shares(out, n, out);
        return;
    }
    double in = how == SPEC_MAX ? rule[positive] : log_rest(rule[positive]);
    double rest = how == SPEC_MAX ? log_rest(in) : rule[positive];
    double others = log_rest(out[positive]);
    for (int32_t i = 0; i < n; i++)
        out[i] = i == positive ? in : isinf(others) ? -INFINITY : out[i] - others + rest;
}

/* Log of the mean label mass of the row's own variants: what the model gives to any label. */
static double mean_mass(const combiner *c)
{
    double sum = -INFINITY;
    int32_t own = c->n.chunk * c->n.shift;
    for (int32_t i = 0; i < own * c->n.way; i++) {
        const double both[2] = {sum,
                                score_log_sum(c->z + (size_t)i * (size_t)c->n_class, c->n_class)};
        sum = score_log_sum(both, 2);
    }
    return sum - log((double)own * (double)c->n.way);
}

void arms_combine(const arms *a, int32_t which, int32_t row, const double *z, double *out,
                  double *way)
{
    const arm *m = &a->arm[which];
    combiner c = {
        .arms = a, .arm = m, .z = z, .n_class = a->spec->n_class, .n = count_variants(a, m, row)};
    int32_t n = c.n_class;
    double one[SPEC_CLASSES_MAX];
    if (arms_variants(a, which, row) == 1) { /* itself, to the bit */
        for (int32_t i = 0; i < n; i++) out[i] = z[i];
        for (int32_t i = 0; way && i < n; i++) way[i] = z[i];
        return;
    }
    double mass = mean_mass(&c);
    for (int32_t i = 0; i < n; i++) out[i] = -INFINITY;
    for (int32_t w = 0; w < c.n.way; w++) {
        of_way(&c, w, one);
        log_add(out, one, n);
        for (int32_t i = 0; way && i < n; i++)
            way[(size_t)w * (size_t)n + (size_t)i] = one[i] + mass;
    }
    log_shares(out, n, out);
    for (int32_t i = 0; i < n; i++) out[i] += mass;
}

void arms_rule(const arms *a, int32_t which, buf *out)
{
    const arm *m = &a->arm[which];
    const spec_ask *ask = &m->spec->ask;
    buf_printf(out, "mean of %d ways, %s, %s", m->n_way, spec_calibrate_name(ask->calibrate),
               spec_position_name(ask->position));
    if (a->piece)
        buf_printf(out, ", chunks %s of class %d", spec_combine_name(a->spec->combine),
                   a->spec->positive);
}
