/* spec_lora: see spec_lora.h. */
#include "data/spec_lora.h"

#include "data/spec_in.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>

static const char *const schedule_choices[] = {"cosine", "constant", NULL};
static const char *const sample_choices[] = {"all", "balanced", NULL};
static const char *const target_names[] = {"q", "k", "v", "o", "gate", "up", "down"};

/* ---- numbers with a fraction ---- */

typedef struct number_range {
    const char *name;
    double least, most;
    bool above; /* `least` itself is too small */
} number_range;

static const number_range ranges[] = {
    {"alpha", 0, 1e6, true},     {"learning_rate", 0, 1, true},   {"warmup", 0, 1, false},
    {"epochs", 0, 1000, true},   {"weight_decay", 0, 1, false},   {"clip", 0, 1e6, false},
    {"evaluate", 0, 100, false}, {"class_weights", 0, 1e6, true},
};

static bool read_double(spec_reader *r, const spec_key *key, const yaml_item *value, double *x)
{
    const number_range *range = NULL;
    for (size_t i = 0; i < countof(ranges); i++) {
        if (!strcmp(ranges[i].name, key->name)) range = &ranges[i];
    }
    assert(range);
    if (!spec_need_text(r, key, value)) return false;
    bool ok = str_to_double(str_trim(value->text), x) && isfinite(*x) && *x <= range->most;
    if (ok && (range->above ? *x > range->least : *x >= range->least)) return true;
    return spec_fail(r->s, value->line, r->e, "'%s' (%s) is a number %s %g, at most %g", key->name,
                     key->what, range->above ? "above" : "from", range->least, range->most);
}

static bool set_double(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    double x = 0;
    if (!read_double(r, key, value, &x)) return false;
    memcpy((char *)base + key->offset, &x, sizeof x);
    return true;
}

/* ---- lists ---- */

static bool set_targets(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_lora *l = base;
    spec_list list;
    if (!spec_read_list(r, key, value, &list)) return false;
    if (list.n == 1 && str_is(list.item[0].text, "all")) return true;
    for (int32_t i = 0; i < list.n; i++) {
        uint32_t found = 0;
        for (size_t k = 0; k < countof(target_names); k++) {
            if (str_is(list.item[i].text, target_names[k])) found = 1u << k;
        }
        if (!found)
            return spec_fail(r->s, list.item[i].line, r->e,
                             "'targets' is all, or a list of q, k, v, o, gate, up and down");
        l->targets |= found;
    }
    return true;
}

static bool set_seeds(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_lora *l = base;
    spec_list list;
    if (!spec_read_list(r, key, value, &list)) return false;
    for (int32_t i = 0; i < list.n; i++) {
        int64_t seed = 0;
        if (!str_to_int(str_trim(list.item[i].text), &seed) || seed < 0)
            return spec_fail(r->s, list.item[i].line, r->e,
                             "'seeds' is a list of whole numbers from 0 on");
        l->seed[l->n_seed++] = (uint64_t)seed;
    }
    return true;
}

static bool set_sizes(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_lora *l = base;
    spec_list list;
    if (!spec_read_list(r, key, value, &list)) return false;
    for (int32_t i = 0; i < list.n; i++) {
        int64_t n = 0;
        bool all = str_is(list.item[i].text, "all");
        if (!all && (!str_to_int(str_trim(list.item[i].text), &n) || n < 2 || n > INT32_MAX))
            return spec_fail(r->s, list.item[i].line, r->e,
                             "'sizes' is a list of numbers of training rows, from 2 on, or all");
        l->size[l->n_size++] = (int32_t)n;
    }
    return true;
}

static bool set_rerun(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_lora *l = base;
    if (value->kind == YAML_TEXT && str_is(value->text, "auto")) return true;
    int64_t n = 0;
    if (!spec_read_number(r, key, value, &n)) return false;
    l->rerun_layers = (int32_t)n;
    return true;
}

/* ---- weights, what to learn, the sweep ---- */

static bool set_weights(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_lora *l = base;
    if (value->kind == YAML_TEXT && str_is(value->text, "none")) return true;
    l->weighting = SPEC_WEIGHTS_BALANCED;
    if (value->kind == YAML_TEXT && str_is(value->text, "balanced")) return true;
    if (value->kind != YAML_MAP || value->n == 0)
        return spec_fail(r->s, value->line, r->e,
                         "'%s' (%s) is none, balanced, or a map such as {class: 2}", key->name,
                         key->what);
    l->weighting = SPEC_WEIGHTS_GIVEN;
    l->weight = arena_take(r->a, (size_t)r->s->n_class, sizeof *l->weight, r->e);
    if (!l->weight) return false;
    for (int32_t c = 0; c < r->s->n_class; c++) l->weight[c] = 1;
    for (const yaml_item *name = spec_child(r, value->first); name;) {
        const yaml_item *number = spec_child(r, name->next);
        spec_text text = spec_keep_text(r, name);
        int32_t c = spec_find_class(r->s, text.text);
        if (c < 0) return spec_fail_class(r, key->name, text);
        if (!read_double(r, key, number, &l->weight[c])) return false;
        name = spec_child(r, number->next);
    }
    return true;
}

static const spec_key learn_keys[] = {
    {"column", "the column with the text to write", spec_set_text,
     .offset = offsetof(spec_lora, column), .required = true},
};
static const spec_keys learn_place = {.key = learn_keys, .n = countof(learn_keys)};

static bool set_learn(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_lora *l = base;
    l->learn = value->kind == YAML_MAP                                        ? SPEC_LEARN_COLUMN
               : value->kind == YAML_TEXT && str_is(value->text, "reference") ? SPEC_LEARN_REFERENCE
                                                                              : SPEC_LEARN_LABEL;
    if (value->kind == YAML_MAP) return spec_read_map(r, key->name, value, learn_place, base);
    if (l->learn != SPEC_LEARN_LABEL || str_is(value->text, "label")) return true;
    return spec_fail(r->s, value->line, r->e, "'%s' (%s) is label, reference, or {column: NAME}",
                     key->name, key->what);
}

static bool set_rates(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_sweep *sweep = base;
    spec_list list;
    if (!spec_read_list(r, key, value, &list)) return false;
    for (int32_t i = 0; i < list.n; i++) {
        yaml_item one = {.text = list.item[i].text, .line = list.item[i].line, .kind = YAML_TEXT};
        if (!read_double(r, key, &one, &sweep->rate[sweep->n_rate++])) return false;
    }
    return true;
}

static bool set_ranks(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_sweep *sweep = base;
    spec_list list;
    if (!spec_read_list(r, key, value, &list)) return false;
    for (int32_t i = 0; i < list.n; i++) {
        yaml_item one = {.text = list.item[i].text, .line = list.item[i].line, .kind = YAML_TEXT};
        spec_key each = {key->name, key->what, .least = 1, .most = 4096};
        int64_t n = 0;
        if (!spec_read_number(r, &each, &one, &n)) return false;
        sweep->rank[sweep->n_rank++] = (int32_t)n;
    }
    return true;
}

static const spec_key sweep_keys[] = {
    {"learning_rate", "the rates to try", set_rates, .offset = 0, .least = 1,
     .most = SPEC_SWEEP_MAX},
    {"rank", "the ranks to try", set_ranks, .offset = 0, .least = 1, .most = SPEC_SWEEP_MAX},
};
static const spec_keys sweep_place = {.key = sweep_keys, .n = countof(sweep_keys)};

static const spec_key lora_keys[] = {
    {"rank", "columns of the adapter", spec_set_count, .offset = offsetof(spec_lora, rank),
     .least = 1, .most = 4096},
    {"alpha", "the adapter's scale, over the rank", set_double,
     .offset = offsetof(spec_lora, alpha)},
    {"targets", "the adapted weights", set_targets, .offset = 0, .least = 1,
     .most = countof(target_names)},
    {"learning_rate", "of the optimiser", set_double, .offset = offsetof(spec_lora, rate)},
    {"schedule", "of the rate", spec_set_choice, .offset = offsetof(spec_lora, schedule),
     .choices = schedule_choices},
    {"warmup", "share of the updates", set_double, .offset = offsetof(spec_lora, warmup)},
    {"epochs", "passes over the training rows", set_double, .offset = offsetof(spec_lora, epochs)},
    {"steps", "updates", spec_set_count, .offset = offsetof(spec_lora, steps), .least = 1,
     .most = 10 * 1000 * 1000},
    {"batch", "rows an update", spec_set_count, .offset = offsetof(spec_lora, batch), .least = 1,
     .most = 4096},
    {"weight_decay", "of the optimiser", set_double, .offset = offsetof(spec_lora, decay)},
    {"clip", "largest norm of the gradient", set_double, .offset = offsetof(spec_lora, clip)},
    {"seeds", "one adapter each", set_seeds, .offset = 0, .least = 1, .most = SPEC_SEEDS_MAX},
    {"class_weights", "what a row's loss counts", set_weights, .offset = 0},
    {"sample", "which rows an epoch has", spec_set_choice, .offset = offsetof(spec_lora, sample),
     .choices = sample_choices},
    {"learn", "what the model learns to write", set_learn, .offset = 0},
    {"evaluate", "times an epoch", set_double, .offset = offsetof(spec_lora, evaluate)},
    {"early_stop", "evaluations without a better one", spec_set_count,
     .offset = offsetof(spec_lora, patience), .most = 1000},
    {"rerun_layers", "layers forwarded again", set_rerun, .offset = 0, .most = 1000},
    {"micro_tokens", "tokens at once", spec_set_count, .offset = offsetof(spec_lora, micro_tokens),
     .least = 16, .most = 1 << 18},
    {"sizes", "numbers of training rows", set_sizes, .offset = 0, .least = 1,
     .most = SPEC_SIZES_MAX},
    {"sweep", "settings to choose from", spec_set_map, .offset = offsetof(spec_lora, sweep),
     .keys = &sweep_place},
};
static const spec_keys lora_place = {.key = lora_keys, .n = countof(lora_keys)};

bool spec_set_lora(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    if (value->kind != YAML_MAP)
        return spec_fail(r->s, value->line, r->e, "'%s' (%s) is a map; `lora: {}` is all defaults",
                         key->name, key->what);
    spec_lora *l = arena_take_zero(r->a, 1, sizeof *l, r->e);
    if (!l) return false;
    *l = (spec_lora){.line = value->line,
                     .rank = 16,
                     .rate = 2e-4,
                     .warmup = 0.05,
                     .batch = 8,
                     .clip = 1,
                     .evaluate = 2,
                     .patience = 3,
                     .micro_tokens = 1024,
                     .rerun_layers = SPEC_RERUN_AUTO};
    if (!spec_read_map(r, "lora", value, lora_place, l)) return false;
    if (l->steps > 0 && l->epochs > 0)
        return spec_fail(r->s, value->line, r->e,
                         "'epochs' and 'steps' both say how long to train; keep one");
    if (l->steps == 0 && !(l->epochs > 0)) l->epochs = 1;
    spec_training *t = arena_take_zero(r->a, 1, sizeof *t, r->e);
    if (!t) return false;
    t->lora = l;
    ((spec_arm *)base)->training = t;
    return true;
}

/* ---- the adapters of an arm ---- */

static bool finish_seeds(spec_reader *r, const spec_arm *arm, spec_lora *l)
{
    if (l->n_seed == 0) {
        l->n_seed = r->s->paper ? 3 : 1;
        for (int32_t i = 0; i < l->n_seed; i++) l->seed[i] = (uint64_t)i + 1;
    }
    if (l->n_size == 0) l->n_size = 1; /* all */
    if (!r->s->paper || l->n_seed >= 3) return true;
    return spec_fail(r->s, l->line, r->e,
                     "arm '%s' trains with %d seed%s, and the study says `paper: yes`; name at "
                     "least three 'seeds', so that their spread is known",
                     arm->name.text.data, l->n_seed, l->n_seed == 1 ? "" : "s");
}

static str unit_name(spec_reader *r, const spec_arm *arm, int32_t size, int32_t seed)
{
    const spec_lora *l = arm->training->lora;
    char name[200];
    int n = snprintf(name, sizeof name, "%.*s", (int)arm->name.text.size, arm->name.text.data);
    if (l->n_size > 1) {
        if (l->size[size] == 0) n += snprintf(name + n, sizeof name - (size_t)n, "/n-all");
        else n += snprintf(name + n, sizeof name - (size_t)n, "/n-%d", l->size[size]);
    }
    if (l->n_seed > 1)
        snprintf(name + n, sizeof name - (size_t)n, "/seed-%llu",
                 (unsigned long long)l->seed[seed]);
    return str_keep(r->a, str_of(name), r->e);
}

static void copy_units(spec_reader *r, const spec_arm *arm, spec_arm *out, int32_t *n)
{
    const spec_lora *l = arm->training->lora;
    for (int32_t i = 0; i < l->n_size; i++) {
        for (int32_t k = 0; k < l->n_seed; k++) {
            spec_arm *unit = &out[(*n)++];
            *unit = *arm;
            unit->name.text = unit_name(r, arm, i, k);
            spec_training *t = arena_take(r->a, 1, sizeof *t, r->e);
            if (!t) return;
            *t = (spec_training){arm->training->lora, arm->name.text, l->seed[k], l->size[i]};
            unit->training = t;
        }
    }
}

bool spec_spread_lora(spec_reader *r)
{
    spec *s = r->s;
    int64_t n_all = 0;
    bool any = false;
    for (int32_t i = 0; i < s->n_arm; i++) {
        spec_arm *arm = &s->arms[i];
        spec_lora *l = arm->training ? arm->training->lora : NULL;
        if (l && !s->data.split.text.data && !s->data.split_file.text.data)
            return spec_fail(s, l->line, r->e,
                             "arm '%s' is to be trained, but 'data' names no 'split' column and no "
                             "'split_file' (rows whose split is 'train'); write 'split_file: "
                             "splits.csv' there and make it with `caseload split`",
                             arm->name.text.data);
        if (l && !finish_seeds(r, arm, l)) return false;
        any = any || l;
        n_all += l ? (int64_t)l->n_seed * l->n_size : 1;
    }
    if (!any) return true;
    if (n_all > SPEC_ARMS_MAX)
        return spec_fail(s, s->arms[0].line, r->e,
                         "seeds and sizes make %lld arms; at most %d are possible",
                         (long long)n_all, SPEC_ARMS_MAX);
    spec_arm *all = arena_take_zero(r->a, (size_t)n_all, sizeof *all, r->e);
    if (!all) return false;
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_arm; i++) {
        if (s->arms[i].training) copy_units(r, &s->arms[i], all, &n);
        else all[n++] = s->arms[i];
    }
    s->arms = all;
    s->n_arm = n;
    return r->e->code == ERR_NONE;
}

void spec_write_lora(const spec *s, const spec_arm *arm, buf *out)
{
    const spec_training *t = arm->training;
    if (!t) return;
    const spec_lora *l = t->lora;
    buf_printf(out, "  lora: rank %d, alpha %.17g, targets %u, rate %.17g, %s, warmup %.17g, ",
               l->rank, l->alpha, l->targets, l->rate, schedule_choices[l->schedule], l->warmup);
    buf_printf(out, "epochs %.17g, steps %d, batch %d, decay %.17g, clip %.17g, sample %s, ",
               l->epochs, l->steps, l->batch, l->decay, l->clip, sample_choices[l->sample]);
    buf_printf(out, "weights %d, evaluate %.17g, patience %d, micro %d, seed %llu, size %d\n",
               l->weighting, l->evaluate, l->patience, l->micro_tokens, (unsigned long long)t->seed,
               t->size);
    for (int32_t c = 0; l->weight && c < s->n_class; c++)
        buf_printf(out, "    weight: %.17g\n", l->weight[c]);
    buf_printf(out, "    learn: %d\n", l->learn);
    spec_write_text(out, "  learn", l->column.text);
    for (int32_t i = 0; i < l->sweep.n_rate; i++)
        buf_printf(out, "    try rate: %.17g\n", l->sweep.rate[i]);
    for (int32_t i = 0; i < l->sweep.n_rank; i++)
        buf_printf(out, "    try rank: %d\n", l->sweep.rank[i]);
}
