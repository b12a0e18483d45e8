/* lora: see lora.h. */
#include "model/lora.h"

#include "base/rng.h"
#include "compute/device.h"

#include <assert.h>
#include <math.h>

const char *lora_target_name(lora_target t)
{
    static const char *const name[LORA_TARGETS] = {"q", "k", "v", "o", "gate", "up", "down"};
    assert((unsigned)t < LORA_TARGETS);
    return name[t];
}

int64_t lora_in(const model_config *c, lora_target t)
{
    if (t == LORA_O) return (int64_t)c->n_head * c->head_dim;
    return t == LORA_DOWN ? c->d_ff : c->d_model;
}

int64_t lora_out(const model_config *c, lora_target t)
{
    switch (t) {
    case LORA_Q: return (int64_t)c->n_head * c->head_dim;
    case LORA_K:
    case LORA_V: return (int64_t)c->n_head_kv * c->head_dim;
    case LORA_GATE:
    case LORA_UP: return c->d_ff;
    default: return c->d_model;
    }
}

static const uint32_t every_target = (1u << LORA_TARGETS) - 1;

/* The target whose A this one shares: itself, or the first of a fused matrix. */
static lora_target first_of(const model_config *c, lora_target t)
{
    if (!c->family->fused) return t;
    if (t == LORA_K || t == LORA_V) return LORA_Q;
    return t == LORA_UP ? LORA_GATE : t;
}

static bool check(const model_config *c, const lora_config *o, err *e)
{
    if (o->rank < 1 || o->rank > c->d_model) {
        return err_set(e, ERR_USAGE, "a LoRA rank of %d; choose one from 1 to %d (often 8 or 16)",
                       o->rank, c->d_model);
    }
    if (!(o->alpha > 0) || !isfinite(o->alpha)) {
        return err_set(e, ERR_USAGE, "a LoRA alpha of %g; choose a number above 0 (often 2 x rank)",
                       o->alpha);
    }
    if (o->targets & ~every_target) return err_set(e, ERR_USAGE, "an unknown LoRA target");
    for (int t = 0; t < LORA_TARGETS; t++) {
        lora_target first = first_of(c, (lora_target)t);
        if ((o->targets >> t & 1) == (o->targets >> first & 1)) continue;
        return err_set(e, ERR_USAGE,
                       "a %s model keeps %s and %s in one matrix; adapt both or neither",
                       c->family->name, lora_target_name(first), lora_target_name((lora_target)t));
    }
    return true;
}

bool lora_lay_out(lora *l, const model_config *c, lora_config o, arena *a, err *e)
{
    assert(l && c && c->family && a);
    if (o.targets == 0) o.targets = every_target;
    *l = (lora){.model = c, .config = o};
    if (!check(c, &o, e)) return false;
    l->place = arena_take(a, (size_t)c->n_layer * LORA_TARGETS, sizeof *l->place, e);
    for (int32_t i = 0; i < c->n_layer; i++) {
        int64_t shared_a[LORA_TARGETS];
        for (int k = 0; k < LORA_TARGETS; k++) {
            const lora_target t = (lora_target)k, first = first_of(c, t);
            lora_place place = {-1, -1};
            if (o.targets >> k & 1) {
                if (first == t) {
                    shared_a[k] = l->n_value;
                    l->n_value += o.rank * lora_in(c, t);
                }
                place = (lora_place){shared_a[first], l->n_value};
                l->n_value += lora_out(c, t) * o.rank;
            }
            if (l->place) l->place[(int64_t)i * LORA_TARGETS + k] = place;
        }
    }
    l->value = l->placed = arena_take(a, (size_t)l->n_value, sizeof *l->value, e);
    return e->code == ERR_NONE;
}

void lora_start(lora *l, uint64_t seed)
{
    assert(l->value);
    memset(l->value, 0, (size_t)l->n_value * sizeof *l->value);
    for (int32_t i = 0; i < l->model->n_layer; i++) {
        for (int k = 0; k < LORA_TARGETS; k++) {
            const lora_place *place = &l->place[(int64_t)i * LORA_TARGETS + k];
            if (place->a < 0 || first_of(l->model, (lora_target)k) != (lora_target)k) continue;
            int64_t in = lora_in(l->model, (lora_target)k);
            rng r = rng_for(seed, (uint64_t)i, (uint64_t)k);
            double bound = 1 / sqrt((double)in);
            for (int64_t j = 0; j < l->config.rank * in; j++) {
                l->value[place->a + j] = (float)((2 * rng_unit(&r) - 1) * bound);
            }
        }
    }
}

bool lora_upload(lora *l, backend *b, err *e)
{
    l->placed = device_mirror(b, l->value, (size_t)l->n_value, sizeof *l->value, e);
    if (l->placed && l->value) {
        device_write(b, l->placed, l->value, (size_t)l->n_value * sizeof *l->value);
    }
    return e->code == ERR_NONE;
}

void lora_download(lora *l, backend *b)
{
    device_read(b, l->value, l->placed, (size_t)l->n_value * sizeof *l->value);
}

bool lora_pair_of(const lora *l, float *grad, int32_t layer, lora_target t, lora_pair *pair)
{
    if (!l) return false;
    assert(layer >= 0 && layer < l->model->n_layer && (unsigned)t < LORA_TARGETS);
    const lora_place place = l->place[(int64_t)layer * LORA_TARGETS + t];
    if (place.a < 0) return false;
    const int64_t r = l->config.rank, in = lora_in(l->model, t), out = lora_out(l->model, t);
    *pair = (lora_pair){.a = tensor_f32(l->placed + place.a, r, in),
                        .b = tensor_f32(l->placed + place.b, out, r),
                        .scale = (float)(l->config.alpha / l->config.rank)};
    if (grad) {
        pair->da = tensor_f32(grad + place.a, r, in);
        pair->db = tensor_f32(grad + place.b, out, r);
    }
    return true;
}
