/* bind: see bind.h. One table of names and shapes; a slot is wanted when the family (or, for
 * biases, the file) says so, and then it must be there with exactly its shape. */
#include "model/bind.h"

#include "model/files_in.h"
#include "model/packed.h"

#include <assert.h>
#include <stdio.h>

typedef enum extent { X_ONE, X_D, X_V, X_Q, X_KV, X_QKV, X_HD, X_F, X_FF } extent;

typedef struct slot_row {
    const char *gguf, *hf,
        *hf_sandwich;     /* "%d" is the layer; hf_sandwich: families with post-norms */
    extent rows, columns; /* columns X_ONE: a vector */
} slot_row;

static const slot_row slots[SLOT_COUNT] = {
    [SLOT_EMBED] = {"token_embd.weight", "embed_tokens.weight", NULL, X_V, X_D},
    [SLOT_OUTPUT_NORM] = {"output_norm.weight", "norm.weight", NULL, X_D, X_ONE},
    [SLOT_LM_HEAD] = {"output.weight", "lm_head.weight", NULL, X_V, X_D},
    [SLOT_ATTN_NORM] = {"blk.%d.attn_norm.weight", "layers.%d.input_layernorm.weight", NULL, X_D,
                        X_ONE},
    [SLOT_Q] = {"blk.%d.attn_q.weight", "layers.%d.self_attn.q_proj.weight", NULL, X_Q, X_D},
    [SLOT_K] = {"blk.%d.attn_k.weight", "layers.%d.self_attn.k_proj.weight", NULL, X_KV, X_D},
    [SLOT_V] = {"blk.%d.attn_v.weight", "layers.%d.self_attn.v_proj.weight", NULL, X_KV, X_D},
    [SLOT_QKV] = {"blk.%d.attn_qkv.weight", "layers.%d.self_attn.qkv_proj.weight", NULL, X_QKV,
                  X_D},
    [SLOT_O] = {"blk.%d.attn_output.weight", "layers.%d.self_attn.o_proj.weight", NULL, X_D, X_Q},
    [SLOT_Q_BIAS] = {"blk.%d.attn_q.bias", "layers.%d.self_attn.q_proj.bias", NULL, X_Q, X_ONE},
    [SLOT_K_BIAS] = {"blk.%d.attn_k.bias", "layers.%d.self_attn.k_proj.bias", NULL, X_KV, X_ONE},
    [SLOT_V_BIAS] = {"blk.%d.attn_v.bias", "layers.%d.self_attn.v_proj.bias", NULL, X_KV, X_ONE},
    [SLOT_O_BIAS] = {"blk.%d.attn_output.bias", "layers.%d.self_attn.o_proj.bias", NULL, X_D,
                     X_ONE},
    [SLOT_Q_NORM] = {"blk.%d.attn_q_norm.weight", "layers.%d.self_attn.q_norm.weight", NULL, X_HD,
                     X_ONE},
    [SLOT_K_NORM] = {"blk.%d.attn_k_norm.weight", "layers.%d.self_attn.k_norm.weight", NULL, X_HD,
                     X_ONE},
    [SLOT_POST_ATTN_NORM] = {"blk.%d.post_attention_norm.weight", NULL,
                             "layers.%d.post_attention_layernorm.weight", X_D, X_ONE},
    [SLOT_FFN_NORM] = {"blk.%d.ffn_norm.weight", "layers.%d.post_attention_layernorm.weight",
                       "layers.%d.pre_feedforward_layernorm.weight", X_D, X_ONE},
    [SLOT_GATE] = {"blk.%d.ffn_gate.weight", "layers.%d.mlp.gate_proj.weight", NULL, X_F, X_D},
    [SLOT_UP] = {"blk.%d.ffn_up.weight", "layers.%d.mlp.up_proj.weight", NULL, X_F, X_D},
    [SLOT_GATE_UP] = {"blk.%d.ffn_up.weight", "layers.%d.mlp.gate_up_proj.weight", NULL, X_FF, X_D},
    [SLOT_DOWN] = {"blk.%d.ffn_down.weight", "layers.%d.mlp.down_proj.weight", NULL, X_D, X_F},
    [SLOT_GATE_BIAS] = {"blk.%d.ffn_gate.bias", "layers.%d.mlp.gate_proj.bias", NULL, X_F, X_ONE},
    [SLOT_UP_BIAS] = {"blk.%d.ffn_up.bias", "layers.%d.mlp.up_proj.bias", NULL, X_F, X_ONE},
    [SLOT_DOWN_BIAS] = {"blk.%d.ffn_down.bias", "layers.%d.mlp.down_proj.bias", NULL, X_D, X_ONE},
    [SLOT_POST_FFN_NORM] = {"blk.%d.post_ffw_norm.weight", NULL,
                            "layers.%d.post_feedforward_layernorm.weight", X_D, X_ONE},
};

/* Where checkpoints of the same weights keep the decoder: alone, or in a model that also sees. */
static const char *const hf_prefixes[] = {"model.", "language_model.model.",
                                          "model.language_model.", ""};

/* Tensors that no slot wants and that change nothing: tables recomputed here, other senses. */
static const char *const harmless_parts[] = {
    "rotary_emb.inv_freq", "masked_bias",   "attn.bias",     "position_ids",
    "rope_freqs.weight",   "rope_factors_", "vision_tower.", "multi_modal_projector.",
};

static bool family_has(const model_family *f, weight_slot slot)
{
    switch (slot) {
    case SLOT_Q:
    case SLOT_K:
    case SLOT_V:
    case SLOT_GATE:
    case SLOT_UP: return !f->fused;
    case SLOT_QKV:
    case SLOT_GATE_UP: return f->fused;
    case SLOT_Q_NORM:
    case SLOT_K_NORM: return f->qk_norm;
    case SLOT_POST_ATTN_NORM:
    case SLOT_POST_FFN_NORM: return f->post_norms;
    case SLOT_Q_BIAS:
    case SLOT_K_BIAS:
    case SLOT_V_BIAS:
    case SLOT_O_BIAS:
    case SLOT_GATE_BIAS:
    case SLOT_UP_BIAS:
    case SLOT_DOWN_BIAS: return !f->fused;
    default: return true;
    }
}

static bool config_has(const model_config *c, weight_slot slot)
{
    switch (slot) {
    case SLOT_Q_BIAS:
    case SLOT_K_BIAS:
    case SLOT_V_BIAS: return c->qkv_bias;
    case SLOT_O_BIAS: return c->o_bias;
    case SLOT_GATE_BIAS:
    case SLOT_UP_BIAS:
    case SLOT_DOWN_BIAS: return c->mlp_bias;
    case SLOT_LM_HEAD: return !c->tied;
    default: return family_has(c->family, slot);
    }
}

/* snprintf with a table's format: "%d" appears once or not at all. */
static void fill_name(char buffer[128], const char *prefix, const char *pattern, int32_t layer)
{
    const char *at = strstr(pattern, "%d");
    if (at) {
        snprintf(buffer, 128, "%s%.*s%d%s", prefix, (int)(at - pattern), pattern, layer, at + 2);
    } else {
        snprintf(buffer, 128, "%s%s", prefix, pattern);
    }
}

static const char *name_with(const model_family *f, const char *prefix, weight_slot slot,
                             int32_t layer, char buffer[128])
{
    const slot_row *row = &slots[slot];
    const char *pattern = prefix ? row->hf : row->gguf;
    if (prefix && f->post_norms && row->hf_sandwich) pattern = row->hf_sandwich;
    if (!pattern || !family_has(f, slot)) return NULL;
    if (slot == SLOT_LM_HEAD) { /* beside the decoder, not in it */
        bool nested = prefix && !strcmp(prefix, "language_model.model.");
        prefix = nested ? "language_model." : "";
    }
    fill_name(buffer, prefix ? prefix : "", pattern, layer);
    return buffer;
}

const char *model_tensor_name(const model_family *f, bool from_gguf, weight_slot slot,
                              int32_t layer, char buffer[128])
{
    assert(f && (unsigned)slot < SLOT_COUNT && buffer);
    return name_with(f, from_gguf ? NULL : hf_prefixes[0], slot, layer, buffer);
}

/* NULL for GGUF; else the prefix under which the embedding is there. */
static const char *prefix_of(const model_header *h)
{
    char name[128];
    if (h->config.from_gguf) return NULL;
    for (size_t i = 0; i < countof(hf_prefixes); i++) {
        name_with(h->config.family, hf_prefixes[i], SLOT_EMBED, 0, name);
        if (model_find_tensor(h, name)) return hf_prefixes[i];
    }
    return hf_prefixes[0]; /* then the embedding is missing */
}

const tensor_entry *model_slot_tensor(const model_header *h, weight_slot slot, int32_t layer)
{
    char name[128];
    assert(h && h->config.family && (unsigned)slot < SLOT_COUNT);
    if (!config_has(&h->config, slot)) return NULL;
    const char *wanted = name_with(h->config.family, prefix_of(h), slot, layer, name);
    return wanted ? model_find_tensor(h, wanted) : NULL;
}

static int64_t extent_of(const model_config *c, extent x)
{
    int64_t q = (int64_t)c->n_head * c->head_dim, kv = (int64_t)c->n_head_kv * c->head_dim;
    switch (x) {
    case X_D: return c->d_model;
    case X_V: return c->n_vocab;
    case X_Q: return q;
    case X_KV: return kv;
    case X_QKV: return q + 2 * kv;
    case X_HD: return c->head_dim;
    case X_F: return c->d_ff;
    case X_FF: return 2 * (int64_t)c->d_ff;
    default: return 1;
    }
}

bool model_slot_shape(const model_config *c, weight_slot slot, int64_t *rows, int64_t *columns)
{
    assert((unsigned)slot < SLOT_COUNT);
    if (!config_has(c, slot) || !family_has(c->family, slot)) return false;
    *rows = extent_of(c, slots[slot].rows);
    *columns = slots[slot].columns == X_ONE ? 0 : extent_of(c, slots[slot].columns);
    return true;
}

typedef struct binder {
    const model_header *h;
    arena *a;
    const char *prefix; /* NULL: GGUF */
    uint8_t *used;      /* [n_tensor] */
    err *e;
} binder;

static bool report_shape(const binder *b, const tensor_entry *t, int64_t rows, int64_t columns)
{
    char has[96], wants[64], shown[NAME_SHOWN];
    int n = 0;
    for (int32_t i = 0; i < t->view.rank; i++) {
        n += snprintf(has + n, sizeof has - (size_t)n, "%s%lld", i ? " x " : "",
                      (long long)t->view.dim[i]);
    }
    snprintf(wants, sizeof wants, columns > 0 ? "%lld x %lld" : "%lld", (long long)rows,
             (long long)columns);
    return err_set(b->e, ERR_MODEL, "%s: tensor `%s` is %s; the configuration asks for %s",
                   b->h->file[t->file].path, name_shown(shown, t->name), has, wants);
}

/* The tensor of a slot into *out; *out stays empty when this model has none. */
static bool bind_slot(binder *b, weight_slot slot, int32_t layer, tensor *out)
{
    const model_config *c = &b->h->config;
    *out = (tensor){0};
    if (!config_has(c, slot)) return true;
    char name[128];
    const char *wanted = name_with(c->family, b->prefix, slot, layer, name);
    if (!wanted) return true;
    const tensor_entry *t = model_find_tensor(b->h, wanted);
    if (!t) {
        return err_set(b->e, ERR_MODEL, "%s: no tensor `%s`, which a %s model needs", b->h->path,
                       wanted, c->family->name);
    }
    int64_t rows = 0, columns = 0;
    if (!model_slot_shape(c, slot, &rows, &columns)) return true;
    bool fits = columns == 0
                    ? t->view.rank == 1 && t->view.dim[0] == rows
                    : t->view.rank == 2 && t->view.dim[0] == rows && t->view.dim[1] == columns;
    if (!fits) return report_shape(b, t, rows, columns);
    b->used[t - b->h->tensor] = 1;
    return packed_tensor(out, t, b->a, b->e);
}

/* Rows [from, from + n) of a matrix, in place. */
static tensor rows_of(tensor t, int64_t from, int64_t n)
{
    int64_t row_bytes = 0;
    bool whole = dtype_row_bytes(t.type, t.dim[1], &row_bytes);
    assert(whole && from + n <= t.dim[0]);
    t.data = (char *)t.data + from * row_bytes;
    t.dim[0] = n;
    return t;
}

static bool bind_layer(binder *b, int32_t i, layer_weights *w)
{
    const model_config *c = &b->h->config;
    tensor qkv, gate_up;
    bool ok =
        bind_slot(b, SLOT_ATTN_NORM, i, &w->attn_norm) && bind_slot(b, SLOT_Q, i, &w->q) &&
        bind_slot(b, SLOT_K, i, &w->k) && bind_slot(b, SLOT_V, i, &w->v) &&
        bind_slot(b, SLOT_QKV, i, &qkv) && bind_slot(b, SLOT_O, i, &w->o) &&
        bind_slot(b, SLOT_Q_BIAS, i, &w->q_bias) && bind_slot(b, SLOT_K_BIAS, i, &w->k_bias) &&
        bind_slot(b, SLOT_V_BIAS, i, &w->v_bias) && bind_slot(b, SLOT_O_BIAS, i, &w->o_bias) &&
        bind_slot(b, SLOT_Q_NORM, i, &w->q_norm) && bind_slot(b, SLOT_K_NORM, i, &w->k_norm) &&
        bind_slot(b, SLOT_POST_ATTN_NORM, i, &w->post_attn_norm) &&
        bind_slot(b, SLOT_FFN_NORM, i, &w->ffn_norm) && bind_slot(b, SLOT_GATE, i, &w->gate) &&
        bind_slot(b, SLOT_UP, i, &w->up) && bind_slot(b, SLOT_GATE_UP, i, &gate_up) &&
        bind_slot(b, SLOT_DOWN, i, &w->down) && bind_slot(b, SLOT_GATE_BIAS, i, &w->gate_bias) &&
        bind_slot(b, SLOT_UP_BIAS, i, &w->up_bias) &&
        bind_slot(b, SLOT_DOWN_BIAS, i, &w->down_bias) &&
        bind_slot(b, SLOT_POST_FFN_NORM, i, &w->post_ffn_norm);
    if (!ok) return false;
    if (c->family->fused) {
        int64_t q = extent_of(c, X_Q), kv = extent_of(c, X_KV);
        w->q = rows_of(qkv, 0, q);
        w->k = rows_of(qkv, q, kv);
        w->v = rows_of(qkv, q + kv, kv);
        w->gate = rows_of(gate_up, 0, c->d_ff);
        w->up = rows_of(gate_up, c->d_ff, c->d_ff);
    }
    return true;
}

static void count_unused(model_weights *w, const binder *b)
{
    for (int32_t i = 0; i < b->h->n_tensor; i++) {
        str name = b->h->tensor[i].name;
        bool harmless = b->used[i];
        for (size_t k = 0; k < countof(harmless_parts) && !harmless; k++) {
            harmless = str_find(name, str_of(harmless_parts[k])) >= 0;
        }
        /* A tied model's own copy of the embedding, which its makers ignore too. */
        harmless = harmless || (b->h->config.tied && str_ends(name, "lm_head.weight"));
        if (harmless) continue;
        if (w->n_unused++ == 0) w->first_unused = name.data;
    }
}

bool model_bind(model_weights *w, const model_header *h, arena *a, err *e)
{
    assert(w && h && a && !arena_measures(a));
    const model_config *c = &h->config;
    *w = (model_weights){0};
    if (h->n_tensor == 0 || !c->family) {
        return err_set(e, ERR_MODEL, "%s holds a vocabulary but no weights; take the whole model",
                       h->path);
    }
    binder b = {.h = h, .a = a, .e = e};
    b.used = arena_take_zero(a, (size_t)h->n_tensor, 1, e);
    w->layer = arena_take_zero(a, (size_t)c->n_layer, sizeof *w->layer, e);
    if (!b.used || !w->layer) return false;
    b.prefix = prefix_of(h);
    if (!bind_slot(&b, SLOT_EMBED, 0, &w->embed) ||
        !bind_slot(&b, SLOT_OUTPUT_NORM, 0, &w->output_norm) ||
        !bind_slot(&b, SLOT_LM_HEAD, 0, &w->lm_head)) {
        return false;
    }
    if (c->tied) w->lm_head = w->embed;
    for (int32_t i = 0; i < c->n_layer; i++) {
        if (!bind_layer(&b, i, &w->layer[i])) return false;
    }
    count_unused(w, &b);
    return true;
}
