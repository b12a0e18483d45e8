/* convert: the plan: which tensor becomes what. See convert.h. */
#include "model/convert_in.h"

#include "compute/quantise.h"

#include <assert.h>
#include <stdio.h>

static const size_t bytes_memory = (size_t)64 << 30; /* address space */

typedef struct type_row {
    const char *word;
    dtype matrix, wide; /* wide: embedding and head; DTYPE_COUNT: as they are */
    bool gguf, folder;
} type_row;

static const type_row types[] = {
    {"f32", DTYPE_F32, DTYPE_F32, true, true},      {"f16", DTYPE_F16, DTYPE_F16, true, true},
    {"bf16", DTYPE_BF16, DTYPE_BF16, true, true},   {"q8_0", DTYPE_Q8_0, DTYPE_Q8_0, true, false},
    {"q6_k", DTYPE_Q6_K, DTYPE_Q6_K, true, false},  {"q5_k", DTYPE_Q5_K, DTYPE_Q6_K, true, false},
    {"q4_k", DTYPE_Q4_K, DTYPE_Q6_K, true, false},  {"q4_1", DTYPE_Q4_1, DTYPE_Q6_K, true, false},
    {"q4_0", DTYPE_Q4_0, DTYPE_Q6_K, true, false},  {"nf4", DTYPE_NF4, DTYPE_COUNT, false, true},
    {"int8", DTYPE_INT8, DTYPE_COUNT, false, true},
};

const char *convert_types(void)
{
    return "f32, f16, bf16, q8_0, q6_k, q5_k, q4_k, q4_1, q4_0, nf4, int8";
}

static bool find_type(convert_plan *p, err *e)
{
    const char *word = p->o->type;
    p->matrix_type = p->wide_type = DTYPE_COUNT;
    if (!word) return true;
    for (size_t i = 0; i < countof(types); i++) {
        const type_row *row = &types[i];
        if (strcmp(row->word, word)) continue;
        if (!(p->to_gguf ? row->gguf : row->folder)) {
            return err_set(e, ERR_USAGE, "the type %s is not for a %s; give OUT %s", word,
                           p->to_gguf ? "GGUF file" : "folder",
                           p->to_gguf ? "as a folder" : "an ending of .gguf");
        }
        p->matrix_type = row->matrix;
        p->wide_type = row->wide;
        return true;
    }
    return err_set(e, ERR_USAGE, "unknown number type '%s'; there are %s", word, convert_types());
}

/* The nearest type whose blocks fill rows of so many values. */
static dtype fitting(dtype t, int64_t columns)
{
    static const dtype instead[DTYPE_COUNT] = {
        [DTYPE_Q4_K] = DTYPE_Q5_0, [DTYPE_Q5_K] = DTYPE_Q5_1, [DTYPE_Q6_K] = DTYPE_Q8_0};
    if (columns % dtype_get(t)->block_size == 0) return t;
    t = instead[t] != DTYPE_F32 ? instead[t] : DTYPE_F16;
    return columns % dtype_get(t)->block_size == 0 ? t : DTYPE_F16;
}

static bool is_wide(weight_slot s) { return s == SLOT_EMBED || s == SLOT_LM_HEAD; }

static dtype type_for(const convert_plan *p, const convert_item *item)
{
    const dtype from = item->from.type;
    const bool in_memory = from >= DTYPE_NF4 && from <= DTYPE_INT8_16; /* of a packed form */
    const dtype own = in_memory || (from > DTYPE_BF16 && !p->to_gguf) ? DTYPE_F32 : from;
    const dtype wanted = is_wide(item->slot) ? p->wide_type : p->matrix_type;
    if (item->from.rank == 1) { /* norms, biases, factors: exact */
        if (p->to_gguf) return DTYPE_F32;
        return wanted <= DTYPE_BF16 ? wanted : own;
    }
    if (wanted == DTYPE_COUNT || item->slot == SLOT_COUNT) return own;
    if (convert_is_packed(wanted)) return wanted;
    return fitting(wanted, item->from.dim[item->from.rank - 1]);
}

/* ---- what happens to a tensor on its way ---- */

static bool is_norm(weight_slot s)
{
    static const bool norm[SLOT_COUNT] = {
        [SLOT_OUTPUT_NORM] = true,  [SLOT_ATTN_NORM] = true,      [SLOT_Q_NORM] = true,
        [SLOT_K_NORM] = true,       [SLOT_POST_ATTN_NORM] = true, [SLOT_FFN_NORM] = true,
        [SLOT_POST_FFN_NORM] = true};
    return s < SLOT_COUNT && norm[s];
}

static void set_path(const convert_plan *p, convert_item *item)
{
    const model_config *c = &p->source.config;
    if (c->from_gguf == p->to_gguf) return;
    const weight_slot s = item->slot;
    const bool turned = s == SLOT_Q || s == SLOT_K || s == SLOT_Q_BIAS || s == SLOT_K_BIAS;
    const rope_style from = c->from_gguf ? c->family->rope_gguf : c->family->rope_hf;
    const rope_style to = p->to_gguf ? c->family->rope_gguf : c->family->rope_hf;
    if (turned && from != to) {
        item->order = to == ROPE_PAIRS ? ORDER_TO_PAIRS : ORDER_TO_HALVES;
    }
    if (is_norm(s) && c->family->norm_plus_one_hf) item->plus = p->to_gguf ? 1 : -1;
}

static void add_part(const convert_plan *p, convert_item *item, int32_t layer, lora_target t)
{
    if (lora_pair_of(&p->adapter, NULL, layer, t, &item->part[item->n_part])) item->n_part++;
}

static void set_parts(const convert_plan *p, convert_item *item, int32_t layer)
{
    static const struct {
        weight_slot slot;
        lora_target first;
        int n;
    } rows[] = {{SLOT_Q, LORA_Q, 1},       {SLOT_K, LORA_K, 1},       {SLOT_V, LORA_V, 1},
                {SLOT_O, LORA_O, 1},       {SLOT_GATE, LORA_GATE, 1}, {SLOT_UP, LORA_UP, 1},
                {SLOT_DOWN, LORA_DOWN, 1}, {SLOT_QKV, LORA_Q, 3},     {SLOT_GATE_UP, LORA_GATE, 2}};
    if (!p->o->adapter) return;
    for (size_t i = 0; i < countof(rows); i++) {
        for (int k = 0; rows[i].slot == item->slot && k < rows[i].n; k++)
            add_part(p, item, layer, (lora_target)(rows[i].first + k));
    }
}

static bool check_item(const convert_plan *p, const convert_item *item, err *e)
{
    const bool same = item->type == item->from.type && item->plus == 0 && item->n_part == 0;
    if (convert_is_packed(item->type) && convert_columns(&item->from) % 16 != 0) {
        return err_set(e, ERR_USAGE, "%s: the rows of `%s` are no multiple of 16; choose f16",
                       p->source.path, item->name);
    }
    if (same || quantise_knows(item->type) || convert_is_packed(item->type)) return true;
    return err_set(e, ERR_USAGE,
                   "%s: `%s` is %s, which can be read but not made; choose a --type (%s)",
                   p->source.path, item->name, dtype_get(item->type)->name, convert_types());
}

static bool add_item(convert_plan *p, const char *name, weight_slot slot, int32_t layer,
                     const tensor *from, err *e)
{
    convert_item *item = &p->item[p->n_item++];
    *item = (convert_item){.name = name, .slot = slot, .from = *from};
    item->type = type_for(p, item);
    if (slot < SLOT_COUNT) set_path(p, item);
    if (slot < SLOT_COUNT && slot_is_of_layer(slot)) set_parts(p, item, layer);
    if (item->order != ORDER_SAME && item->from.rank == 1) item->type = DTYPE_F32;
    p->bytes_all += tensor_count(from);
    return check_item(p, item, e);
}

static const char *keep_name(convert_plan *p, const char *name, err *e)
{
    return arena_copy_text(&p->memory, name, strlen(name), e);
}

/* The slots of the model, in their order; `seen` marks the file's tensors that they took. */
static bool add_slots(convert_plan *p, uint8_t *seen, err *e)
{
    const model_header *h = &p->source;
    char name[128];
    for (int32_t layer = -1; layer < h->config.n_layer; layer++) {
        for (int s = 0; s < SLOT_COUNT; s++) {
            const weight_slot slot = (weight_slot)s;
            if (slot_is_of_layer(slot) != (layer >= 0)) continue;
            const tensor_entry *t = model_slot_tensor(h, slot, layer);
            if (!t) continue;
            seen[t - h->tensor] = 1;
            const bool stays = h->config.from_gguf == p->to_gguf;
            const char *new_name = keep_name(p, "", e);
            if (stays) new_name = str_keep(&p->memory, t->name, e).data;
            else if (model_tensor_name(h->config.family, p->to_gguf, slot, layer, name))
                new_name = keep_name(p, name, e);
            tensor from;
            if (!new_name || !packed_tensor(&from, t, &p->memory, e) ||
                !add_item(p, new_name, slot, layer, &from, e)) {
                return false;
            }
        }
    }
    return true;
}

/* What the slots left: carried along into the same container. */
static bool add_rest(convert_plan *p, const uint8_t *seen, err *e)
{
    const model_header *h = &p->source;
    if (h->config.from_gguf != p->to_gguf) return true;
    for (int32_t i = 0; i < h->n_tensor; i++) {
        if (seen[i]) continue;
        const char *name = str_keep(&p->memory, h->tensor[i].name, e).data;
        if (!name || !add_item(p, name, SLOT_COUNT, -1, &h->tensor[i].view, e)) return false;
    }
    return true;
}

static bool plan_items(convert_plan *p, err *e)
{
    const model_header *h = &p->source;
    model_weights bound; /* checks shapes, finds what is missing or unknown */
    const size_t mark = arena_mark(&p->memory);
    if (!model_bind(&bound, h, &p->memory, e)) return false;
    arena_reset(&p->memory, mark);
    if (bound.n_unused > 0 && h->config.from_gguf != p->to_gguf) {
        char shown[NAME_SHOWN];
        return err_set(e, ERR_MODEL, "%s: the tensor `%s` has no place in a %s", h->path,
                       name_shown(shown, str_of(bound.first_unused)),
                       p->to_gguf ? "GGUF file" : "folder");
    }
    uint8_t *seen = arena_take_zero(&p->memory, (size_t)h->n_tensor, 1, e);
    p->item = arena_take_zero(&p->memory, (size_t)h->n_tensor + 2, sizeof *p->item, e);
    return seen && p->item && add_slots(p, seen, e) && add_rest(p, seen, e);
}

/* ---- report ---- */

static void describe(const convert_plan *p, buf *out)
{
    const char *from = p->source.format, *to = p->to_gguf ? "GGUF v3" : "safetensors";
    buf_printf(out, "wrote %s: %s from %s%s%s\n", p->o->out, to, from,
               p->o->adapter ? ", merged with " : "", p->o->adapter ? p->o->adapter : "");
    for (int t = 0; t < DTYPE_COUNT; t++) {
        int64_t n = 0, values = 0, bytes = 0;
        double squares = 0, errors = 0;
        for (int32_t i = 0; i < p->n_item; i++) {
            const convert_item *item = &p->item[i];
            if (item->type != (dtype)t) continue;
            int64_t row = 0, columns = item->from.dim[item->from.rank - 1];
            dtype_row_bytes(item->type, columns, &row);
            n++;
            values += tensor_count(&item->from);
            bytes += tensor_count(&item->from) / columns * row;
            squares += item->squares;
            errors += item->errors;
        }
        if (n == 0) continue;
        buf_printf(out, "  %-5s %4lld tensors, %lld values, %.1f MB", dtype_get((dtype)t)->name,
                   (long long)n, (long long)values, (double)bytes * 1e-6);
        if (errors > 0) buf_printf(out, ", rounded: relative error %.2e", sqrt(errors / squares));
        else buf_add_text(out, ", exact");
        buf_add_char(out, '\n');
    }
    if (p->o->adapter && p->matrix_type > DTYPE_BF16 && p->matrix_type != DTYPE_COUNT)
        buf_add_text(out, "  the merged weights are rounded to the number type: certify them, or "
                          "keep the adapter beside the model\n");
}

/* ---- the whole ---- */

static bool check_place(const convert_plan *p, err *e)
{
    const char *out = p->o->out;
    if (!*out) return err_set(e, ERR_USAGE, "give OUT: a name ending in .gguf, or a folder");
    if (!file_exists(out)) return true;
    if (file_is_folder(out) == p->to_gguf) {
        return err_set(e, ERR_USAGE, "%s is there already and is %s; choose another name", out,
                       p->to_gguf ? "a folder" : "no folder");
    }
    if (p->o->force) return true;
    return err_set(e, ERR_USAGE, "%s is there already; --force replaces it", out);
}

static bool open_source(convert_plan *p, err *e)
{
    if (!model_peek(&p->source, p->o->model, &p->memory, e)) return false;
    const model_config *c = &p->source.config;
    if (!c->family || p->source.n_tensor == 0) {
        return err_set(e, ERR_MODEL, "%s holds a vocabulary but no weights; take the whole model",
                       p->o->model);
    }
    p->head_dim = c->head_dim;
    return !p->o->adapter || adapter_read(&p->adapter, p->o->adapter, c, &p->memory, e);
}

bool convert_model(const convert_options *o, buf *report, err *e)
{
    assert(o && o->model && o->out && o->threads && report);
    convert_plan p = {.o = o, .to_gguf = str_ends(str_of(o->out), ".gguf")};
    if (!find_type(&p, e) || !check_place(&p, e)) return false;
    if (!arena_open_up_to(&p.memory, bytes_memory, "the conversion", e)) return false;
    bool ok = open_source(&p, e) && plan_items(&p, e);
    ok =
        ok && (p.to_gguf ? convert_write_gguf(&p, o->out, e) : convert_write_folder(&p, o->out, e));
    if (ok) describe(&p, report);
    if (p.source.path) model_close_header(&p.source);
    arena_close(&p.memory);
    return ok;
}
