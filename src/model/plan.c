/* plan: see plan.h. */
#include "model/plan.h"

#include "compute/cuda/space.h"
#include "compute/device.h"
#include "compute/train_table.h"
#include "model/files_in.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

static const plan_numbers table[] = {
    {.name = "f32",
     .bits = 32,
     .matrix = DTYPE_F32,
     .more = DTYPE_F32,
     .output = DTYPE_F32,
     .vector = DTYPE_F32,
     .fused = DTYPE_F32},
    {.name = "bf16",
     .bits = 16,
     .matrix = DTYPE_BF16,
     .more = DTYPE_BF16,
     .output = DTYPE_BF16,
     .vector = DTYPE_BF16,
     .fused = DTYPE_BF16},
    {.name = "Q8_0",
     .bits = 8,
     .matrix = DTYPE_Q8_0,
     .more = DTYPE_Q8_0,
     .output = DTYPE_Q8_0,
     .vector = DTYPE_F32,
     .fused = DTYPE_Q8_0,
     .quantised = true},
    {.name = "Q6_K",
     .bits = 6,
     .matrix = DTYPE_Q6_K,
     .more = DTYPE_Q6_K,
     .output = DTYPE_Q6_K,
     .vector = DTYPE_F32,
     .fused = DTYPE_Q6_K,
     .quantised = true},
    {.name = "Q5_K_M",
     .bits = 5,
     .matrix = DTYPE_Q5_K,
     .more = DTYPE_Q6_K,
     .output = DTYPE_Q6_K,
     .vector = DTYPE_F32,
     .fused = DTYPE_Q6_K,
     .quantised = true},
    {.name = "Q4_K_M",
     .bits = 4,
     .matrix = DTYPE_Q4_K,
     .more = DTYPE_Q6_K,
     .output = DTYPE_Q6_K,
     .vector = DTYPE_F32,
     .fused = DTYPE_Q5_K,
     .quantised = true},
    {.name = "Q4_0",
     .bits = 4,
     .matrix = DTYPE_Q4_0,
     .more = DTYPE_Q4_0,
     .output = DTYPE_Q6_K,
     .vector = DTYPE_F32,
     .fused = DTYPE_Q4_0,
     .quantised = true},
    {.name = "INT8",
     .bits = 8,
     .matrix = DTYPE_INT8,
     .more = DTYPE_INT8,
     .output = DTYPE_BF16,
     .vector = DTYPE_BF16,
     .fused = DTYPE_INT8,
     .quantised = true,
     .layers_only = true},
    {.name = "NF4",
     .bits = 4,
     .matrix = DTYPE_NF4,
     .more = DTYPE_NF4,
     .output = DTYPE_BF16,
     .vector = DTYPE_BF16,
     .fused = DTYPE_NF4,
     .quantised = true,
     .layers_only = true},
};

const plan_numbers *plan_numbers_all(int32_t *n)
{
    *n = (int32_t)countof(table);
    return table;
}

const plan_numbers *plan_numbers_find(const char *name)
{
    for (size_t i = 0; i < countof(table); i++) {
        if (!strcmp(table[i].name, name)) return &table[i];
    }
    return NULL;
}

/* Rows that are no whole blocks take the next format with smaller ones. */
static dtype fallback(dtype t, int64_t columns)
{
    static const dtype smaller[DTYPE_COUNT] = {
        [DTYPE_Q4_K] = DTYPE_Q5_0,  [DTYPE_Q5_K] = DTYPE_Q5_1,    [DTYPE_Q6_K] = DTYPE_Q8_0,
        [DTYPE_NF4] = DTYPE_NF4_16, [DTYPE_INT8] = DTYPE_INT8_16,
    };
    if (columns % dtype_get(t)->block_size == 0) return t;
    dtype small = smaller[t]; /* F32, the first, where there is none */
    return small != DTYPE_F32 && columns % dtype_get(small)->block_size == 0 ? small : DTYPE_F16;
}

static bool has_more_bits(int32_t layer, int32_t n)
{
    return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
}

static dtype type_of(const plan_numbers *q, const model_config *c, weight_slot slot, int32_t layer)
{
    const bool large = c->n_layer == 80 && c->n_head == 8 * c->n_head_kv; /* Llama 70B: a small v */
    switch (slot) {
    case SLOT_LM_HEAD: return q->output;
    case SLOT_EMBED: return c->tied || q->layers_only ? q->output : q->matrix;
    case SLOT_QKV: return q->fused;
    case SLOT_V:
        if (has_more_bits(layer, c->n_layer)) return q->more;
        return large && q->matrix == DTYPE_Q4_K ? DTYPE_Q5_K : q->matrix;
    case SLOT_DOWN: return has_more_bits(layer, c->n_layer) ? q->more : q->matrix;
    default: return q->matrix;
    }
}

typedef struct maker {
    const plan_source *source;
    model_header *h;
    tensor_entry *entry;
    int32_t n;
    arena *a;
    err *e;
} maker;

static bool add_slot(maker *m, weight_slot slot, int32_t layer)
{
    const model_config *c = m->source->config;
    const plan_numbers *q = m->source->numbers;
    int64_t rows = 0, columns = 0, row_bytes = 0;
    char name[128];
    if (!model_slot_shape(c, slot, &rows, &columns)) return true;
    if (!model_tensor_name(c->family, c->from_gguf, slot, layer, name)) return true;
    tensor_entry *t = &m->entry[m->n++];
    const bool vector = columns == 0;
    t->name = (str){arena_copy_text(m->a, name, strlen(name), m->e), strlen(name)};
    t->view = (tensor){.rank = vector ? 1 : 2, .dim = {rows, vector ? 1 : columns, 1, 1}};
    t->view.type = vector ? q->vector : fallback(type_of(q, c, slot, layer), columns);
    bool whole = dtype_row_bytes(t->view.type, vector ? rows : columns, &row_bytes);
    assert(whole);
    t->bytes = vector ? row_bytes : rows * row_bytes;
    t->view.data = (void *)(uintptr_t)(ARENA_ALIGN + m->h->bytes_weights); /* nobody reads there */
    if (m->source->weights) {
        t->view.data = arena_take(m->source->weights, (size_t)t->bytes, 1, m->e);
    }
    m->h->bytes_weights += t->bytes;
    return m->e->code == ERR_NONE;
}

static bool fill(model_header *h, const plan_source *s, arena *a, err *e)
{
    const model_config *c = s->config;
    maker m = {.source = s, .h = h, .a = a, .e = e};
    size_t most = (size_t)(c->n_layer + 1) * SLOT_COUNT;
    h->bytes_weights = 0;
    m.entry = arena_take_zero(a, most, sizeof *m.entry, e);
    if (!m.entry) return false;
    for (int slot = SLOT_EMBED; slot <= SLOT_LM_HEAD; slot++) {
        if (!add_slot(&m, (weight_slot)slot, 0)) return false;
    }
    for (int32_t i = 0; i < c->n_layer; i++) {
        for (int slot = SLOT_LM_HEAD + 1; slot < SLOT_COUNT; slot++) {
            if (!add_slot(&m, (weight_slot)slot, i)) return false;
        }
    }
    return files_sort_tensors(h, m.entry, m.n, e);
}

bool plan_header(model_header *h, const plan_source *s, arena *a, err *e)
{
    assert(s->config->family && s->numbers && !arena_measures(a));
    *h = (model_header){.path = s->name, .format = "planned", .name = s->name, .licence = ""};
    h->config = *s->config;
    return fill(h, s, a, e);
}

bool plan_complete_header(model_header *h, arena *a, err *e)
{
    plan_source from = {.name = h->path,
                        .config = &h->config,
                        .numbers = plan_numbers_find("bf16")};
    if (h->n_tensor == 0) return fill(h, &from, a, e);
    tensor_entry *own = arena_take(a, (size_t)h->n_tensor, sizeof *own, e);
    if (!own) return false;
    uintptr_t at = ARENA_ALIGN;
    for (int32_t i = 0; i < h->n_tensor; i++) {
        own[i] = h->tensor[i];
        if (!own[i].view.data) own[i].view.data = (void *)at;
        at += (uintptr_t)own[i].bytes;
    }
    h->tensor = own;
    return true;
}

int64_t plan_textbook(int64_t n_parameter, int32_t bits)
{
    return (int64_t)((double)n_parameter * 4 / (32.0 / bits) * 1.2);
}

/* The number behind ".layers." or "blk."; -1: outside the layers. */
static int32_t layer_of(str name)
{
    static const char *const parts[] = {"layers.", "blk."};
    for (size_t i = 0; i < countof(parts); i++) {
        int64_t at = str_find(name, str_of(parts[i]));
        if (at < 0) continue;
        int32_t layer = 0;
        for (size_t k = (size_t)at + strlen(parts[i]); k < name.size && name.data[k] != '.'; k++) {
            if (name.data[k] < '0' || name.data[k] > '9' || layer > MODEL_LAYERS_MAX) return -1;
            layer = 10 * layer + (name.data[k] - '0');
        }
        return layer;
    }
    return -1;
}

int64_t plan_layer_bytes(const model_header *h, int32_t first, int32_t end)
{
    int64_t bytes = 0;
    for (int32_t i = 0; i < h->n_tensor; i++) {
        const tensor_entry *t = &h->tensor[i];
        int32_t layer = layer_of(t->name);
        bool embed = str_find(t->name, STR("embd")) >= 0 || str_find(t->name, STR("embed")) >= 0;
        bool last = end == h->config.n_layer,
             tied_end = embed && h->config.tied && last && first > 0;
        bool ours = layer >= 0 ? layer >= first && layer < end : embed ? first == 0 : last;
        if (ours || tied_end) bytes += t->bytes; /* a tied output needs the embedding there too */
    }
    return bytes;
}

/* The workspace is cuda's own; nothing can be computed. */
static const train_table cuda_train = {.lay_out = cuda_space_lay_out_train};
static const op_table cuda_ops = {.name = "cuda (planned)",
                                  .lay_out = cuda_space_lay_out,
                                  .train = &cuda_train};

static void close_nothing(backend *b) { (void)b; }

static const device_table cuda_memory = {.close = close_nothing}; /* takes only count */

void plan_open_cuda(backend *b, pool *threads)
{
    *b = (backend){.threads = threads,
                   .ops = &cuda_ops,
                   .isa = "planned",
                   .rows = DTYPE_BF16,
                   .device = &cuda_memory};
    device_measure(b);
}
