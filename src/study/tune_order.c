/* tune_order: which rows an adapter learns from, in which order, cut into which micro-batches; see
 * tune_in.h. All of it before a weight is read. */
#include "study/tune_in.h"

#include "base/rng.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { STREAM_SUBSET = 1, STREAM_EPOCH = 2, STREAM_WAY = 3, STREAM_CLASS = 4 }; /* of rng_for */
static const int64_t draws_max = (int64_t)1 << 30;

/* ---- which rows ---- */

typedef struct ranked_row {
    double place; /* within its class, 0 .. 1: the first n of all have each class's share */
    int32_t class, row;
} ranked_row;

static int by_place(const void *a, const void *b)
{
    const ranked_row *x = a, *y = b;
    if (x->place != y->place) return x->place < y->place ? -1 : 1;
    if (x->class != y->class) return x->class < y->class ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int32_t usable_rows(const tune_texts *x, int32_t *row)
{
    int32_t n = 0;
    for (int32_t i = 0; i < x->n_learn; i++) {
        if (x->first[i + 1] > x->first[i]) row[n++] = i;
    }
    return n;
}

/* The first `size` rows of one stratified order: smaller sizes are parts of larger ones. */
static bool take_subset(tune *t, tune_plan *p, err *e)
{
    const tune_texts *x = p->texts;
    const spec *s = &t->run->spec;
    arena *a = &t->memory;
    p->row = arena_take(a, (size_t)x->n_learn, sizeof *p->row, e);
    if (!p->row) return false;
    int32_t n = usable_rows(x, p->row), size = p->training->size;
    p->n_row = n;
    if (size == 0 || size == n) return true;
    if (size > n)
        return spec_fail(s, p->training->lora->line, e,
                         "arm '%s' is to learn from %d rows, but the part '%s' has %d that are "
                         "usable",
                         p->unit, size, s->data.train.text.data, n);
    size_t mark = arena_mark(a);
    ranked_row *ranked = arena_take(a, (size_t)n, sizeof *ranked, e);
    int32_t *member = arena_take(a, (size_t)n, sizeof *member, e);
    if (!ranked || !member) return false;
    int32_t done = 0;
    for (int32_t c = 0; c < s->n_class; c++) {
        int32_t m = 0;
        for (int32_t i = 0; i < n; i++) {
            if (x->label[p->row[i]] == c) member[m++] = p->row[i];
        }
        rng g = rng_for(s->seed, STREAM_SUBSET, (uint64_t)c);
        rng_shuffle(&g, member, m);
        for (int32_t i = 0; i < m; i++)
            ranked[done++] = (ranked_row){((double)i + 0.5) / (double)m, c, member[i]};
    }
    assert(done == n);
    qsort(ranked, (size_t)n, sizeof *ranked, by_place);
    for (int32_t i = 0; i < size; i++) p->row[i] = ranked[i].row;
    qsort(p->row, (size_t)size, sizeof *p->row, by_number);
    p->n_row = size;
    arena_reset(a, mark);
    return true;
}

/* ---- in which order ---- */

static int32_t pick_way(const tune_plan *p, int32_t row, int64_t epoch)
{
    const tune_texts *x = p->texts;
    const int32_t n = x->first[row + 1] - x->first[row];
    rng g = rng_for(p->training->seed, (uint64_t)row << 32 | (uint64_t)epoch, STREAM_WAY);
    return x->target[x->first[row] + (n > 1 ? (int32_t)rng_below(&g, (uint64_t)n) : 0)];
}

static void draw_all(tune_plan *p, int32_t *shuffled)
{
    for (int64_t i = 0; i < p->n_draw; i++) {
        const int64_t epoch = i / p->n_row, at = i % p->n_row;
        if (at == 0) {
            rng g = rng_for(p->training->seed, (uint64_t)epoch, STREAM_EPOCH);
            memcpy(shuffled, p->row, (size_t)p->n_row * sizeof *shuffled);
            rng_shuffle(&g, shuffled, p->n_row);
        }
        p->draw[i] = pick_way(p, shuffled[at], epoch);
    }
}

/* Classes in turn, each through its own rows, shuffled anew whenever they are used up. */
static void draw_balanced(const tune *t, tune_plan *p, int32_t *shuffled)
{
    const int32_t n_class = t->run->spec.n_class;
    int32_t n_present = 0, start = 0;
    bool present[SPEC_CLASSES_MAX];
    for (int32_t c = 0; c < n_class; c++) {
        present[c] = false;
        for (int32_t i = 0; i < p->n_row; i++)
            present[c] = present[c] || p->texts->label[p->row[i]] == c;
        n_present += present[c];
    }
    for (int32_t c = 0, turn = 0; c < n_class; c++) {
        int32_t *member = shuffled + start, m = 0;
        if (!present[c]) continue;
        for (int32_t i = 0; i < p->n_row; i++) {
            if (p->texts->label[p->row[i]] == c) member[m++] = p->row[i];
        }
        for (int64_t i = turn, k = 0; i < p->n_draw; i += n_present, k++) {
            if (k % m == 0) {
                rng g =
                    rng_for(p->training->seed, (uint64_t)c << 40 | (uint64_t)(k / m), STREAM_CLASS);
                qsort(member, (size_t)m, sizeof *member, by_number);
                rng_shuffle(&g, member, m);
            }
            p->draw[i] = pick_way(p, member[k % m], k / m);
        }
        start += m;
        turn++;
    }
}

static bool order_rows(tune *t, tune_plan *p, err *e)
{
    const spec_lora *l = p->training->lora;
    double rows = l->steps > 0 ? (double)l->steps * l->batch : ceil(l->epochs * p->n_row - 1e-9);
    if (rows > (double)draws_max)
        return spec_fail(&t->run->spec, l->line, e,
                         "arm '%s' would train on %.3g rows; at most %lld are possible: fewer "
                         "'epochs', 'steps' or a smaller 'batch'",
                         p->unit, rows, (long long)draws_max);
    p->n_draw = (int64_t)rows;
    p->optim.updates = (p->n_draw + l->batch - 1) / l->batch;
    p->optim.warmup = (int64_t)ceil(l->warmup * (double)p->optim.updates - 1e-9);
    p->draw = arena_take(&t->memory, (size_t)p->n_draw, sizeof *p->draw, e);
    size_t mark = arena_mark(&t->memory);
    int32_t *shuffled = arena_take(&t->memory, (size_t)p->n_row, sizeof *shuffled, e);
    if (!p->draw || !shuffled) return false;
    if (l->sample == 0) draw_all(p, shuffled);
    else draw_balanced(t, p, shuffled);
    arena_reset(&t->memory, mark);
    return true;
}

/* What a token of a row counts, by its class. */
static bool weigh_classes(tune *t, tune_plan *p, err *e)
{
    const spec_lora *l = p->training->lora;
    const int32_t n_class = t->run->spec.n_class;
    p->weight = arena_take(&t->memory, (size_t)n_class, sizeof *p->weight, e);
    if (!p->weight) return false;
    for (int32_t c = 0; c < n_class; c++) {
        int32_t n = 0;
        for (int32_t i = 0; i < p->n_row; i++) n += p->texts->label[p->row[i]] == c;
        p->weight[c] = 1;
        if (l->weighting == SPEC_WEIGHTS_GIVEN) p->weight[c] = l->weight[c];
        if (l->weighting == SPEC_WEIGHTS_BALANCED && n > 0)
            p->weight[c] = (double)p->n_row / ((double)n_class * n);
    }
    return true;
}

/* ---- in which micro-batches ---- */

static void measure_targets(tune_plan *p, const batcher *b)
{
    const tree *tree = &p->texts->learn;
    p->most = (train_shape){.rows = p->training->lora->micro_tokens};
    for (int64_t i = 0; i < p->n_draw; i++) {
        int32_t rows, out;
        const tree_segment *s = tree_at(tree, p->draw[i]);
        batcher_measure(b, p->draw[i], &rows, &out);
        if (rows > p->most.rows) p->most.rows = rows;
        if (s->position + s->count > p->most.positions) p->most.positions = s->position + s->count;
        p->tokens_unshared += rows;
    }
    p->most.out_rows = p->most.rows;
}

static void end_micro(tune_plan *p, batcher *b, int32_t *number)
{
    if (++*number > p->micros) p->micros = *number;
    if (b->n_row > p->shape.rows) p->shape.rows = b->n_row;
    if (b->n_out > p->shape.out_rows) p->shape.out_rows = b->n_out;
    p->tokens += b->n_row;
    p->n_micro++;
    batcher_reset(b);
}

bool tune_cut_micro(tune *t, tune_plan *p, err *e)
{
    size_t mark = arena_mark(&t->memory);
    batcher b = {.tree = &p->texts->learn};
    measure_targets(p, &b);
    p->shape = (train_shape){.positions = p->most.positions};
    if (!batcher_lay_out(&b, &p->texts->learn, p->most, &t->memory, e)) return false;
    const int32_t batch = p->training->lora->batch;
    int32_t number = 0; /* within the update */
    for (int64_t i = 0; i < p->n_draw; i++) {
        if (i > 0 && i % batch == 0) {
            end_micro(p, &b, &number);
            number = 0;
        }
        if (batcher_take(&b, p->draw[i], 1)) continue;
        end_micro(p, &b, &number);
        bool fits = batcher_take(&b, p->draw[i], 1);
        assert(fits);
        (void)fits;
    }
    end_micro(p, &b, &number);
    p->shape.micros = p->micros > 1 || p->texts->crew->n == 1 ? p->micros : 2;
    arena_reset(&t->memory, mark);
    int32_t n_context = p->texts->engine->header.config.n_context;
    if (n_context <= 0 || p->shape.positions <= n_context) return true;
    return err_set(e, ERR_USAGE,
                   "the longest prompt with what is to be learned has %d tokens, but %s was made "
                   "for %d; set `limits: max_tokens` lower",
                   p->shape.positions, p->texts->engine->header.path, n_context);
}

/* ---- when it is scored ---- */

bool tune_is_evaluation(const tune_plan *p, int64_t number)
{
    const spec_lora *l = p->training->lora;
    if (p->texts->n_choose == 0 || !(l->evaluate > 0)) return false;
    if (number == p->optim.updates) return true;
    const double each = l->evaluate / p->n_row;
    return floor((double)(number * l->batch) * each) >
           floor((double)((number - 1) * l->batch) * each);
}

static void count_evaluations(tune_plan *p)
{
    for (int64_t i = 1; i <= p->optim.updates; i++) p->n_evaluation += tune_is_evaluation(p, i);
    p->tokens_choose = p->n_evaluation * p->texts->schedule.rows_all;
}

/* ---- its key ---- */

static void add_number(hash_state *h, double x) { hash_add(h, &x, sizeof x); }

static void hash_plan(const tune *t, tune_plan *p)
{
    const tune_texts *x = p->texts;
    const spec_lora *l = p->training->lora;
    const optim_config *o = &p->optim;
    hash_state h;
    hash_start(&h);
    hash_add_field(&h, str_of(TUNE_VERSION));
    hash_add_field(&h, str_of(x->numerics));
    hash_add_field(&h, str_of(x->model->hash.hex));
    hash_add_field(&h, str_of(x->model->tokenizer_hash.hex));
    hash_add_field(&h, str_of(x->learn_hash.hex));
    hash_add_field(&h, p->n_evaluation ? str_of(x->choose_hash.hex) : STR(""));
    const double number[] = {p->lora.rank, p->lora.alpha,     p->lora.targets,   o->rate,
                             o->decay,     o->clip,           (double)o->warmup, (double)o->updates,
                             o->schedule,  (double)p->n_draw, p->n_row,          l->batch,
                             p->most.rows, l->evaluate,       l->patience};
    for (size_t i = 0; i < countof(number); i++) add_number(&h, number[i]);
    hash_add(&h, p->draw, (size_t)p->n_draw * sizeof *p->draw);
    for (int32_t c = 0; c < t->run->spec.n_class; c++) add_number(&h, p->weight[c]);
    hash_add(&h, &p->training->seed, sizeof p->training->seed);
    p->key = hash_finish(&h);
}

bool tune_plan_make(tune *t, tune_plan *p, err *e)
{
    const spec_lora *l = p->training->lora;
    p->lora.targets = l->targets;
    p->lora.alpha = l->alpha > 0 ? l->alpha : 2.0 * p->lora.rank;
    p->optim.decay = l->decay;
    p->optim.clip = l->clip;
    p->optim.schedule = l->schedule ? OPTIM_CONSTANT : OPTIM_COSINE;
    if (!take_subset(t, p, e)) return false;
    if (p->n_row == 0)
        return err_set(e, ERR_DATA,
                       "no training row is left for arm '%s': all are its own examples", p->unit);
    if (!order_rows(t, p, e) || !weigh_classes(t, p, e) || !tune_cut_micro(t, p, e)) return false;
    count_evaluations(p);
    if (!tune_choose_rerun(t, p, e)) return false;
    hash_plan(t, p);
    return true;
}
